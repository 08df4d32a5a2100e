// What takes a while to find out comes after the page: a region with data-late is taken from that address.
import { morph } from "./morph.js";
import { tellTimes } from "./times.js";

const AGAIN = 3000;

export async function late() {
  const region = document.querySelector("[data-late]");
  if (!region) return;
  const address = region.dataset.late;
  const html = await fetched(address);
  document.getElementById("offline").hidden = html !== null;
  const whole = html && new DOMParser().parseFromString(html, "text/html").getElementById(region.id);
  if (!whole) {
    setTimeout(late, AGAIN);
    return;
  }
  morph(region, whole);
  tellTimes();
  if (location.hash) document.getElementById(location.hash.slice(1))?.scrollIntoView();
}

// The page there; null where the server can't say just now. A refusal is shown as any other.
async function fetched(address) {
  try {
    const answer = await fetch(address, { headers: { Accept: "text/html" }, cache: "no-store" });
    if (answer.redirected || [401, 403, 404].includes(answer.status)) location.assign(address);
    return answer.ok ? await answer.text() : null;
  } catch {
    return null;
  }
}
