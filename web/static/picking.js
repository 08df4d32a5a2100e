// Ticking jobs of the list: all of a page at once, and words that say what the buttons below would act on.
export function picking() {
  const form = document.querySelector("[data-pick]");
  if (!form) return;
  const boxes = () => [...form.querySelectorAll('[name="job"]')];
  const words = form.querySelector("[data-picked]")?.textContent;
  const tell = () => {
    const picked = boxes().filter((box) => box.checked).length;
    const element = form.querySelector("[data-picked]");
    if (element) element.textContent = picked ? `With the ${picked === 1 ? "selected job" : `${picked} selected jobs`}:` : words;
    const all = form.querySelector("[data-pick-all]");
    if (!all) return;
    all.checked = picked > 0 && picked === boxes().length;
    all.indeterminate = picked > 0 && !all.checked;
  };
  form.addEventListener("change", (event) => {
    if (event.target.matches("[data-pick-all]")) for (const box of boxes()) box.checked = event.target.checked;
    tell();
  });
  addEventListener("refreshed", tell);
  addEventListener("pageshow", tell);
}
