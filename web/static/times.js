// Times as they lie from now, in the reader's own zone, kept right while the page stands open.
const UNITS = [["day", 86400], ["h", 3600], ["min", 60], ["s", 1]];
const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false });
const date = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short", hour12: false });
const whole = new Intl.DateTimeFormat(undefined, { dateStyle: "full", timeStyle: "medium", hour12: false });

function lasting(seconds) {
  let left = Math.round(seconds);
  const parts = [];
  for (const [unit, size] of UNITS) {
    const n = Math.floor(left / size);
    left %= size;
    if (n || (unit === "s" && !parts.length)) parts.push(`${n} ${unit}${unit === "day" && n !== 1 ? "s" : ""}`);
    else if (parts.length) break;
  }
  return parts.slice(0, seconds < 3600 ? 1 : 2).join(" ");
}

function fromNow(moment) {
  const seconds = (Date.now() - moment) / 1000;
  if (Math.abs(seconds) < 2) return "just now";
  return seconds > 0 ? `${lasting(seconds)} ago` : `in ${lasting(-seconds)}`;
}

export function tellTimes() {
  for (const element of document.querySelectorAll("time[data-manner]")) {
    const moment = new Date(element.dateTime);
    const words = { ago: fromNow, clock: (at) => clock.format(at), date: (at) => date.format(at) }[element.dataset.manner](moment);
    if (element.textContent !== words) element.textContent = words;
    element.title = whole.format(moment);
  }
}
setInterval(tellTimes, 1000);
