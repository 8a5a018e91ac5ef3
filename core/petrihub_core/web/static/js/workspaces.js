/* Home: stop, delete, make a workspace; follow what is pending without loading the page again.
   The server renders the rows; here they are only fetched again and put in place. */
import { hub, person, baseUrl } from "./hub.js";
import { showTimes } from "./times.js";
import { onceOnly } from "./once.js";

const EVERY = 1500; // ms between looks while something is pending
const box = document.getElementById("ph-workspaces");
const live = document.getElementById("ph-live");
const dialog = document.getElementById("ph-delete");
const WORDS = { running: "is running", stopped: "has stopped", failed: "failed to start", starting: "is starting", stopping: "is stopping" };

const inFlight = new Set(); // names whose request has not been answered yet
let looking = null;
let shown = ""; // the HTML that was put in place last, as the server sent it

const rows = () => [...box.querySelectorAll(".ph-workspace")];
const rowOf = (name) => rows().find((row) => row.dataset.name === name);

function say(words) {
  live.textContent = words;
}

/** Puts the rows of a freshly rendered page in place; keeps focus and what was typed. */
function put(fresh) {
  const before = new Map(rows().map((row) => [row.dataset.name, row]));
  const typed = document.getElementById("ph-new-name")?.value ?? "";
  const focused = document.activeElement;
  const place = focused?.closest?.(".ph-workspace")?.dataset.name;
  const action = focused?.dataset?.action;
  const inForm = focused?.id === "ph-new-name";

  for (const row of fresh.querySelectorAll(".ph-workspace")) {
    const { name, title, state } = row.dataset;
    const old = before.get(name);
    if (old && inFlight.has(name)) {
      row.replaceWith(old);
    } else if (old && old.dataset.state !== state && WORDS[state]) {
      say(`${title} ${WORDS[state]}.`);
    }
  }
  box.replaceChildren(...fresh.childNodes);
  box.dataset.limit = fresh.dataset.limit;
  showTimes(box);
  onceOnly(box);
  const input = document.getElementById("ph-new-name");
  if (input) input.value = typed;
  if (inForm) input?.focus();
  if (place) {
    const row = rowOf(place);
    (row?.querySelector(`[data-action="${action}"]`) ?? row?.querySelector(".ph-actions .btn") ?? input)?.focus();
  }
}

async function look() {
  window.clearTimeout(looking);
  try {
    const answer = await fetch(window.location.href, { cache: "no-store" });
    if (answer.redirected) {
      window.location.reload(); // signed out meanwhile
      return;
    }
    if (answer.ok) {
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      const fresh = page.getElementById("ph-workspaces");
      const count = page.getElementById("ph-count");
      if (fresh && fresh.innerHTML !== shown) {
        shown = fresh.innerHTML;
        put(document.adoptNode(fresh));
      }
      if (count) document.getElementById("ph-count").textContent = count.textContent;
    }
  } catch {
    // the hub restarts or the network is away: look again
  }
  lookAgain();
}

function lookAgain() {
  window.clearTimeout(looking);
  const pending = rows().some((row) => ["starting", "stopping"].includes(row.dataset.state));
  if (pending && !document.hidden) looking = window.setTimeout(look, EVERY);
}

async function act(row, state, words, path, body) {
  const { name } = row.dataset;
  inFlight.add(name);
  row.dataset.state = state;
  row.setAttribute("aria-busy", "true");
  const pill = row.querySelector("[data-pill]");
  pill.className = "ph-pill ph-pill-busy";
  pill.textContent = words;
  const note = document.createElement("span");
  note.className = "ph-note";
  note.textContent = "Saving and closing";
  row.querySelector(".ph-actions").replaceChildren(note);
  row.tabIndex = -1;
  row.focus(); // its button is gone
  let problem = null;
  try {
    await hub("DELETE", path, body);
  } catch (error) {
    problem = error.message;
  }
  inFlight.delete(name);
  shown = "";
  await look();
  if (problem) {
    const line = rowOf(name)?.querySelector("[data-problem]");
    if (line) {
      line.textContent = problem;
      line.hidden = false;
    }
  }
  return !problem;
}

function askAndDelete(row) {
  const { name, title } = row.dataset;
  document.getElementById("ph-delete-title").textContent = `Delete ${title}?`;
  dialog.returnValue = "keep";
  dialog.showModal();
  dialog.addEventListener(
    "close",
    async () => {
      if (dialog.returnValue !== "delete") return;
      if (await act(row, "stopping", "Deleting", ["users", person, "servers", name], { remove: true })) {
        say(`${title} is deleted.`);
        document.getElementById("ph-new-name")?.focus();
      }
    },
    { once: true },
  );
}

/** The name for addresses, or "" when nothing usable is left; the rules are JupyterHub's. */
export function addressName(typed) {
  const plain = typed
    .normalize("NFKD")
    .replace(/\p{M}/gu, "")
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, "-")
    .replace(/^[^a-z]+/, "");
  return plain.slice(0, 30).replace(/-+$/, "");
}

function make(form) {
  const input = form.elements.name;
  const line = document.getElementById("ph-new-problem");
  const title = input.value.normalize("NFC").replace(/\s+/g, " ").trim();
  const name = addressName(title);
  let problem = "";
  if (!title) problem = "Give the workspace a name, such as rna-study.";
  else if (!name) problem = "The name needs at least one letter from a to z.";
  else if (rowOf(name)) problem = `You already have a workspace called ${rowOf(name).dataset.title}. Choose another name.`;
  line.textContent = problem;
  line.hidden = !problem;
  input.setAttribute("aria-invalid", String(Boolean(problem)));
  if (problem) {
    input.focus();
    return;
  }
  const label = title === name ? "" : `?display_name=${encodeURIComponent(title)}`;
  window.location.assign(`${baseUrl}spawn/${encodeURIComponent(person)}/${name}${label}`);
}

box.addEventListener("click", (event) => {
  const button = event.target.closest("button[data-action]");
  const row = button?.closest(".ph-workspace");
  if (!row) return;
  if (button.dataset.action === "stop") act(row, "stopping", "Stopping", ["users", person, "servers", row.dataset.name]);
  if (button.dataset.action === "delete") askAndDelete(row);
});
box.addEventListener("submit", (event) => {
  if (event.target.id !== "ph-new-form") return;
  event.preventDefault();
  make(event.target);
});
document.addEventListener("visibilitychange", () => {
  if (!document.hidden) look();
});
window.addEventListener("pageshow", (event) => {
  if (event.persisted) look();
});

onceOnly(box);
lookAgain();
