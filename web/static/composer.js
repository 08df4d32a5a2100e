// The composer: shows the field that the chosen mode needs, and the others when they are wanted, gives times their zone, and counts what has a limit.
export function composer(form) {
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  form.elements.zone.value = zone;
  for (const element of form.querySelectorAll("[data-zone]")) element.textContent = `your time, ${zone}`;
  for (const choice of form.querySelectorAll("[data-governs]")) governing(form, choice);
  for (const button of form.querySelectorAll("[data-fills]")) example(form, button);
  form.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) form.requestSubmit();
  });
}

function governing(form, choice) {
  const radios = [...choice.querySelectorAll("input")];
  const adders = document.createElement("p");
  adders.className = "field wide adders";
  const governed = radios.map((radio) => ({ radio, ...partsOf(form, radio) }));
  for (const { field, box, label } of governed) {
    const adder = document.createElement("button");
    adder.type = "button";
    adder.dataset.adds = box.id = `box-${field.id}`;
    adder.textContent = `+ ${label.firstChild.data.trim()}`;
    adder.addEventListener("click", () => {
      box.hidden = false;
      adder.hidden = true;
      adders.hidden = !adders.querySelector("button:not([hidden])");
      field.focus();
    });
    adders.append(adder);
  }
  const show = () => {
    for (const { radio, field, box, label } of governed) {
      label.querySelector(".needed")?.remove();
      if (radio.checked) label.insertAdjacentHTML("beforeend", ' <span class="needed">required</span>');
      const isWanted = radio.checked || field.value || field.hasAttribute("aria-invalid");
      box.hidden = !isWanted;
      adders.querySelector(`[data-adds="${box.id}"]`).hidden = isWanted;
    }
    adders.hidden = !adders.querySelector("button:not([hidden])");
  };
  governed.at(-1).box.after(adders);
  choice.addEventListener("change", show);
  show();
}

function partsOf(form, radio) {
  const field = form.elements[radio.name.replace(/[^.]+$/, radio.value)];
  return { field, box: field.closest(".field"), label: form.querySelector(`label[for="${field.id}"]`) };
}

// A long example is there to be begun from, not only to be looked at.
function example(form, button) {
  const field = form.elements[button.dataset.fills];
  const show = () => (button.hidden = Boolean(field.value.trim()));
  button.addEventListener("click", () => {
    field.value = button.dataset.example;
    field.focus();
    show();
  });
  field.addEventListener("input", show);
  show();
}
