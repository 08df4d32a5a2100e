// An article as it is written. Its Markdown comes in pieces; headings and paragraphs are enough of it to read along, and all of
// it is set as text, never as HTML. The finished article is the server's.
export class Writing {
  constructor() {
    this.text = "";
  }

  take({ offset, text }) {
    if (offset > this.text.length) return; // a piece is missing; the page itself has it soon
    this.text = this.text.slice(0, offset) + text;
    const element = document.querySelector("[data-writing]");
    // the title stands above already, as the page's heading
    const blocks = this.text.split(/\n{2,}/).filter((block) => block.trim() && !block.startsWith("# "));
    if (!element || !blocks.length) return;
    element.dataset.keep = "";
    if (!element.firstElementChild || element.querySelector(".ghost") || !("blocks" in element.dataset)) element.replaceChildren();
    element.dataset.blocks = "";
    blocks.forEach((block, place) => show(element, place, block));
    while (element.children.length > blocks.length) element.lastElementChild.remove();
  }
}

function show(element, place, block) {
  const [, marks, words] = /^(#{0,4})\s*([\s\S]*)$/.exec(block.trim());
  const name = marks ? `H${marks.length}` : "P";
  const there = element.children[place];
  if (there?.nodeName === name) {
    if (there.textContent !== words) there.textContent = words;
    return;
  }
  const made = document.createElement(name);
  made.textContent = words;
  if (there) there.replaceWith(made);
  else element.append(made);
}
