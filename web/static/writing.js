// An article as it is written. Its Markdown comes in pieces; what articles are made of is enough of it to read along. All of it
// is set as text, never as HTML, and links and pictures as their words. The finished article is the server's.
const HEADING = /^(#{1,6})\s+(.*)$/;
const ITEM = /^\s*(?:[-*+]|(\d+)[.)])\s+(.*)$/;
const QUOTE = /^>\s?(.*)$/;
const FENCE = /^(```|~~~)/;
const MARKS = /\*\*(?=\S)(.+?)\*\*|\*(?=\S)(.+?)\*|`([^`]+)`|!?\[([^\]]*)\]\([^)]*\)/g;

export class Writing {
  constructor() {
    this.text = "";
    this.mark = "0"; // what the server is told when one comes back: so much is here already
    this.shown = [];
    this.element = null;
  }

  take({ offset, text }, eventId) {
    if (offset > this.text.length) return; // a piece is missing; the page itself has it soon
    this.text = this.text.slice(0, offset) + text;
    this.mark = eventId.split(":")[2] ?? "0";
    const element = document.querySelector("[data-writing]");
    const blocks = blocksOf(this.text);
    if (!element || !blocks.length) return;
    if (element !== this.element) {
      element.dataset.keep = "";
      element.replaceChildren();
      [this.element, this.shown] = [element, []];
    }
    blocks.forEach((block, place) => this.show(place, block));
    while (element.children.length > blocks.length) element.lastElementChild.remove();
    this.shown.length = blocks.length;
  }

  show(place, block) {
    const source = JSON.stringify(block);
    if (this.shown[place] === source) return;
    this.shown[place] = source;
    const there = this.element.children[place];
    if (there) there.replaceWith(built(block));
    else this.element.append(built(block));
  }
}

// The text's blocks, each with its element's name and its lines. The title is left out: it stands above as the page's heading.
function blocksOf(text) {
  const blocks = [];
  let open = null;
  for (const line of text.split("\n")) {
    const was = open;
    const begin = (name, words) => blocks.push((open = { name, lines: [words] }));
    const goOn = (name, words) => (was?.name === name ? was.lines.push(words) : begin(name, words));
    if (was?.name === "PRE" && !was.isClosed) {
      if (FENCE.test(line)) was.isClosed = true;
      else was.lines.push(line);
    } else if (FENCE.test(line)) {
      blocks.push((open = { name: "PRE", lines: [] }));
    } else if (!line.trim()) {
      open = null;
    } else {
      const [, marks, title] = HEADING.exec(line) ?? [];
      const [item, number, entry] = ITEM.exec(line) ?? [];
      const quote = QUOTE.exec(line);
      if (marks) begin(`H${marks.length}`, title);
      else if (item) goOn(number ? "OL" : "UL", entry);
      else if (quote) goOn("BLOCKQUOTE", quote[1]);
      else if (was && ["UL", "OL"].includes(was.name)) was.lines.push(`${was.lines.pop()} ${line.trim()}`);
      else goOn("P", line);
      if (marks) open = null;
    }
  }
  return blocks.filter((block) => block.name !== "H1");
}

function built({ name, lines }) {
  const made = document.createElement(name);
  if (name === "PRE") made.textContent = lines.join("\n");
  else if (name === "UL" || name === "OL") for (const line of lines) made.appendChild(document.createElement("LI")).append(...spoken(line));
  else made.append(...spoken(lines.join("\n")));
  return made;
}

// A line's words, with what is bold, stressed or code; what is still open at the text's end is taken as if it were closed.
function spoken(line) {
  const text = (line.match(/\*\*/g) ?? []).length % 2 ? `${line.replace(/\*+$/, "")}**` : line;
  const parts = [];
  let end = 0;
  for (const found of text.matchAll(MARKS)) {
    const [whole, strong, stressed, code, link] = found;
    parts.push(text.slice(end, found.index));
    end = found.index + whole.length;
    const name = strong ? "STRONG" : stressed ? "EM" : code ? "CODE" : "SPAN";
    const made = document.createElement(name);
    made.textContent = strong ?? stressed ?? code ?? link;
    parts.push(made);
  }
  return [...parts, text.slice(end)];
}
