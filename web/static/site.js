// Every page's script. What it does is an addition: without it each page works by links, forms and reloading.
import { composer } from "./composer.js";
import { late } from "./late.js";
import { goLive } from "./live.js";
import { picking } from "./picking.js";
import { themes } from "./themes.js";
import { tellTimes } from "./times.js";

themes();
tellTimes();
goLive();
late();

for (const form of document.querySelectorAll("[data-composer]")) composer(form);
for (const form of document.querySelectorAll("[data-filter]")) {
  form.addEventListener("change", (event) => event.target.matches("select") && form.requestSubmit());
}
picking();
document.querySelector("[data-focus]")?.focus();

// A form is sent once, however often its button is pressed.
document.addEventListener("submit", (event) => {
  if (event.target.method !== "post") return;
  if (event.target.dataset.sent) event.preventDefault();
  event.target.dataset.sent = "yes";
});
addEventListener("pageshow", () => {
  for (const form of document.forms) delete form.dataset.sent;
});
addEventListener("click", (event) => {
  for (const menu of document.querySelectorAll(".menu[open]")) if (!menu.contains(event.target)) menu.open = false;
});
addEventListener("keydown", (event) => {
  if (event.key === "Escape") for (const menu of document.querySelectorAll(".menu[open]")) menu.open = false;
});
