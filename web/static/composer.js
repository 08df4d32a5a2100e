// The composer: says which field the chosen mode needs, gives times their zone, and counts what has a limit.
export function composer(form) {
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  form.elements.zone.value = zone;
  for (const element of form.querySelectorAll("[data-zone]")) element.textContent = `your time, ${zone}`;
  for (const choice of form.querySelectorAll("[data-governs]")) governing(form, choice);
  form.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) form.requestSubmit();
  });
}

function governing(form, choice) {
  const radios = [...choice.querySelectorAll("input")];
  const show = () => {
    for (const radio of radios) {
      const field = form.elements[radio.name.replace(/[^.]+$/, radio.value)];
      const label = form.querySelector(`label[for="${field.id}"]`);
      label.querySelector(".needed")?.remove();
      if (radio.checked) label.insertAdjacentHTML("beforeend", ' <span class="needed">needed</span>');
    }
  };
  choice.addEventListener("change", show);
  show();
}
