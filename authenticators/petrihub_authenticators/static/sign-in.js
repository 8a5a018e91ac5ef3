// Shows a typed password while its button is pressed in, on every page with password fields.
"use strict";

for (const button of document.querySelectorAll("[data-show-password]")) {
  const fields = button.dataset.showPassword
    .split(" ")
    .map((id) => document.getElementById(id));
  button.hidden = false;
  button.addEventListener("click", () => {
    const shown = fields[0].type === "text";
    for (const field of fields) {
      field.type = shown ? "password" : "text";
    }
    button.textContent = shown ? "Show" : "Hide";
    button.setAttribute("aria-pressed", String(!shown));
  });
}
