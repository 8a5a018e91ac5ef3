/* Shows only what fits the chosen kind of share. Without JavaScript everything is shown, and works. */
const form = document.querySelector("[data-ph-share]");

function fit() {
  const kind = form.elements.with.value;
  for (const part of form.querySelectorAll("[data-ph-for]")) part.hidden = part.dataset.phFor !== kind;
  const person = form.elements.person;
  person.required = kind === "person";
  const hours = form.elements.hours;
  for (const option of hours.options) {
    option.disabled = option.dataset.phNotFor === kind;
    option.hidden = option.disabled;
  }
  if (hours.selectedOptions[0]?.disabled) {
    hours.value = [...hours.options].findLast((each) => !each.disabled).value;
  }
}

if (form) {
  form.addEventListener("change", fit);
  fit();
}
