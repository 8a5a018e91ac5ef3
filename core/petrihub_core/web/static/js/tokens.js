/* Access tokens: make one, show it once; revoke. */
import { hub, person } from "./hub.js";

const problem = document.getElementById("ph-token-problem");

function show(error) {
  problem.lastElementChild.textContent = error.message;
  problem.hidden = false;
  problem.scrollIntoView({ block: "nearest" });
}

document.getElementById("request-token-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  problem.hidden = true;
  const wanted = {
    note: document.getElementById("token-note").value.trim() || "Made on the token page",
    expires_in: Number.parseInt(document.getElementById("token-expiration-seconds").value, 10) || null,
  };
  const scopes = document.getElementById("token-scopes").value.split(/[\s,]+/).filter(Boolean);
  if (scopes.length) wanted.scopes = scopes;
  try {
    const made = await hub("POST", ["users", person, "tokens"], wanted);
    document.getElementById("token-result").textContent = made.token;
    document.getElementById("token-area").hidden = false;
    event.target.reset();
  } catch (error) {
    show(error);
  }
});

document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-revoke]");
  if (!button) return;
  const row = button.closest("tr");
  button.disabled = true;
  problem.hidden = true;
  try {
    await hub("DELETE", ["users", person, "tokens", row.dataset.tokenId]);
    const section = row.closest("section");
    row.remove();
    if (!section.querySelector("tbody tr")) section.remove();
    document.getElementById("token-note").focus();
  } catch (error) {
    button.disabled = false;
    show(error);
  }
});
