/* Takes the code out of the address, so that it stays in no history, and keeps it over the sign-in. */
const KEPT = "petrihub-join";
const code = window.location.hash.slice(1);

if (code) {
  window.sessionStorage.setItem(KEPT, code);
  window.history.replaceState(null, "", window.location.pathname);
}
const form = document.getElementById("ph-join-form");
if (form) {
  const field = form.elements.code;
  field.value = window.sessionStorage.getItem(KEPT) ?? "";
  window.sessionStorage.removeItem(KEPT);
  form.addEventListener("submit", () => {
    // whoever pastes the whole link means its code
    field.value = field.value.slice(field.value.indexOf("#") + 1).trim();
  });
}
