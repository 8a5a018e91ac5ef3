// Takes the code out of the address (so that it stays in no history) and checks both passwords.
"use strict";

const codeForm = document.getElementById("code-form");

function takeCode() {
  const code = window.location.hash.slice(1);
  if (!codeForm || !code) {
    return;
  }
  window.history.replaceState(null, "", window.location.pathname);
  codeForm.elements.code.value = code;
  codeForm.requestSubmit();
}

takeCode();
window.addEventListener("hashchange", takeCode);

const joinForm = document.getElementById("join-form");

if (joinForm) {
  const { password, again } = joinForm.elements;
  const compare = () => {
    again.setCustomValidity(
      again.value && again.value !== password.value ? "The two passwords are not the same." : "",
    );
  };
  password.addEventListener("input", compare);
  again.addEventListener("input", compare);
}
