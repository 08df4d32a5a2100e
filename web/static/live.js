// Keeps a page up to date. The server tells that something changed (main[data-live] names the stream); the page then asks for
// itself again, and takes over its regions. Without a stream it asks every three seconds. A page that nobody sees asks for
// nothing, and leaves its stream: a browser opens six connections to a server, and would open no seventh page.
import { morph } from "./morph.js";
import { tellTimes } from "./times.js";
import { Writing } from "./writing.js";

const APART = 700; // at least so many milliseconds between two looks
const WITHOUT_STREAM = 3;
const AGAIN = 5_000; // milliseconds until a stream that was refused is asked for again
const TOO_MANY = 429;

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
    this.restsUntil = 0;
    this.listensFrom = 0;
    this.pending = null;
    this.looking = false;
    this.again = false;
  }

  begin() {
    if (this.isOver()) return;
    this.listen();
    this.timer = setInterval(() => this.isDue() && this.look(), 1000);
    document.addEventListener("visibilitychange", () => this.turn());
    addEventListener("pagehide", () => this.leave());
    addEventListener("pageshow", (event) => event.persisted && location.reload());
  }

  turn() {
    if (document.hidden) {
      this.leave();
    } else if (!this.isOver()) {
      this.listen();
      this.look();
    }
  }

  listen() {
    if (!this.address || document.hidden || isFinal() || performance.now() < this.listensFrom) return;
    if (this.stream && this.stream.readyState !== EventSource.CLOSED) return;
    this.listensFrom = performance.now() + AGAIN;
    const text = document.querySelector("[data-writing]") ? `?text=${this.writing.mark}` : "";
    this.stream = new EventSource(this.address + text);
    for (const change of ["job", "resync"]) this.stream.addEventListener(change, () => this.soon());
    this.stream.addEventListener("text", (event) => this.writing.take(JSON.parse(event.data), event.lastEventId));
  }

  leave() {
    this.stream?.close();
    this.stream = null;
    this.listensFrom = 0;
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
    if (performance.now() < this.restsUntil) return; // isDue asks again
    this.looking = true;
    this.lookedAt = performance.now();
    const html = await this.fetched();
    this.looking = false;
    if (html) this.take(html);
    if (this.again) this.soon();
    this.again = false;
  }

  // The page as it is now; nothing where the server can't say.
  async fetched() {
    let isAway = true;
    try {
      const answer = await fetch(location.href, { headers: { Accept: "text/html" }, cache: "no-store" });
      if (answer.redirected || [401, 403, 404].includes(answer.status)) location.reload();
      if (answer.status === TOO_MANY) this.restsUntil = performance.now() + 1000 * (Number(answer.headers.get("Retry-After")) || WITHOUT_STREAM);
      isAway = !answer.ok && answer.status !== TOO_MANY;
      return answer.ok ? await answer.text() : "";
    } catch {
      isAway = true;
      return "";
    } finally {
      document.getElementById("offline").hidden = !isAway;
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
    if (isFinal()) this.leave(); // what follows the end is no news of the job's
    else this.listen(); // where the server had refused a stream, or a job was started over
    if (this.isOver()) this.end();
  }

  isOver() {
    return Boolean(document.querySelector("[data-settled]"));
  }

  end() {
    this.leave();
    clearInterval(this.timer);
  }
}

const isFinal = () => Boolean(document.querySelector("[data-final]"));
const stateOf = (page) => page.querySelector("#head .state")?.textContent ?? "";
