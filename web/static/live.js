// Keeps a page up to date. The server tells that something changed (main[data-live] names the stream); the page then asks for
// itself again, and takes over its regions. Without a stream it asks every three seconds.
import { morph } from "./morph.js";
import { tellTimes } from "./times.js";
import { Writing } from "./writing.js";

const APART = 700; // at least so many milliseconds between two looks
const WITHOUT_STREAM = 3;

export function goLive() {
  const main = document.querySelector("main[data-live], main[data-pace]");
  if (main) new Live(main).begin();
}

class Live {
  constructor(main) {
    this.address = main.dataset.live;
    this.pace = Number(main.dataset.pace);
    this.writing = new Writing();
    this.lookedAt = performance.now();
    this.pending = null;
    this.looking = false;
    this.again = false;
  }

  begin() {
    if (this.isOver()) return;
    if (this.address && !isFinal()) this.listen();
    this.timer = setInterval(() => this.isDue() && this.look(), 1000);
    document.addEventListener("visibilitychange", () => document.hidden || this.look());
    addEventListener("pagehide", () => this.stream?.close());
    addEventListener("pageshow", (event) => event.persisted && location.reload());
  }

  listen() {
    const text = document.querySelector("[data-writing]") ? "?text=0" : "";
    this.stream = new EventSource(this.address + text);
    for (const change of ["job", "resync"]) this.stream.addEventListener(change, () => this.soon());
    this.stream.addEventListener("text", (event) => this.writing.take(JSON.parse(event.data)));
  }

  isDue() {
    if (document.hidden) return false;
    const hears = this.stream?.readyState === EventSource.OPEN;
    const seconds = this.address && !hears ? WITHOUT_STREAM : this.pace;
    return performance.now() - this.lookedAt > seconds * 1000;
  }

  soon() {
    this.pending ??= setTimeout(() => this.look(), Math.max(APART - (performance.now() - this.lookedAt), 50));
  }

  async look() {
    clearTimeout(this.pending);
    this.pending = null;
    if (this.looking) {
      this.again = true; // what this look is told may be older than what was just heard
      return;
    }
    this.looking = true;
    this.lookedAt = performance.now();
    const html = await this.fetched();
    document.getElementById("offline").hidden = html !== null;
    this.looking = false;
    if (html !== null) this.take(html);
    if (this.again) this.soon();
    this.again = false;
  }

  // The page as it is now; null where the server can't say.
  async fetched() {
    try {
      const answer = await fetch(location.href, { headers: { Accept: "text/html" }, cache: "no-store" });
      if (answer.redirected || [401, 403, 404].includes(answer.status)) location.reload();
      return answer.ok ? await answer.text() : null;
    } catch {
      return null;
    }
  }

  take(html) {
    const page = new DOMParser().parseFromString(html, "text/html");
    const before = stateOf(document);
    for (const region of document.querySelectorAll("[data-region]")) {
      const fresh = page.getElementById(region.id);
      if (fresh) morph(region, fresh);
    }
    document.title = page.title;
    tellTimes();
    const after = stateOf(document);
    if (after !== before) document.getElementById("said").textContent = after;
    dispatchEvent(new Event("refreshed"));
    if (isFinal()) this.stream?.close(); // what follows the end is no news of the job's
    if (this.isOver()) this.end();
  }

  isOver() {
    return Boolean(document.querySelector("[data-settled]"));
  }

  end() {
    this.stream?.close();
    clearInterval(this.timer);
  }
}

const isFinal = () => Boolean(document.querySelector("[data-final]"));
const stateOf = (page) => page.querySelector("#head .state")?.textContent ?? "";
