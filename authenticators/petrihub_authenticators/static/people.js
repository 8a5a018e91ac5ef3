// Copies a one-time link; says so where screen readers hear it.
"use strict";

async function copy(field) {
  if (navigator.clipboard && window.isSecureContext) {
    await navigator.clipboard.writeText(field.value);
    return true;
  }
  // plain http on a network address: browsers keep the clipboard API from such pages
  field.select();
  return document.execCommand("copy");
}

for (const button of document.querySelectorAll("[data-copy]")) {
  button.hidden = false;
  button.addEventListener("click", async () => {
    const field = document.getElementById(button.dataset.copy);
    let copied = false;
    try {
      copied = await copy(field);
    } catch {
      copied = false;
    }
    field.select();
    document.getElementById(button.dataset.says).textContent = copied
      ? "Copied."
      : "Your browser does not let us copy. The link is selected: press Ctrl+C.";
  });
}
