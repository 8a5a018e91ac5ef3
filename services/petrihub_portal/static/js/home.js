/* Home: looks again while something is pending, keeps the focus, asks in a dialog, says what changed. */
const SOON = 1500; // ms between looks while something is pending
const NOW_AND_THEN = 20_000; // ms: a workspace may end by itself
const WORDS = {
  running: "is running",
  stopped: "has stopped",
  failed: "failed",
  waiting: "is waiting for its turn",
  starting: "is starting",
  stopping: "is stopping",
  restarting: "is restarting",
};
const box = document.getElementById("ph-workspaces");
const live = document.getElementById("ph-live");
const dialog = document.getElementById("ph-question");

let timer = null;
let shown = ""; // what was put in place last, as the server sent it
let place = ""; // the row whose control had the focus before a swap
let acted = ""; // the row whose button was pressed

const rows = () => [...box.querySelectorAll(".ph-workspace")];
const states = () => new Map(rows().map((row) => [row.id, row.dataset.state]));
let before = states();

function look() {
  window.clearTimeout(timer);
  if (!document.hidden) window.htmx.trigger(box, "ph-look");
}

function lookAgain() {
  window.clearTimeout(timer);
  const pending = box.querySelector("[data-pending=yes]");
  if (!document.hidden) timer = window.setTimeout(look, pending ? SOON : NOW_AND_THEN);
}

document.addEventListener("htmx:beforeSwap", (event) => {
  const { target, serverResponse, xhr } = event.detail;
  if (target !== box || xhr.status !== 200) return;
  if (box.querySelector("details[open]") && event.detail.requestConfig.verb === "get") {
    event.detail.shouldSwap = false; // a menu is open: not under somebody's hand
    return;
  }
  if (serverResponse === shown) event.detail.shouldSwap = false;
  shown = serverResponse;
  place = document.activeElement?.closest?.(".ph-workspace")?.id ?? acted;
  acted = "";
});
document.addEventListener("htmx:beforeRequest", (event) => {
  // a button that was pressed is disabled meanwhile and loses the focus
  if (event.detail.elt !== box) acted = event.detail.elt.closest(".ph-workspace")?.id ?? "";
});
document.addEventListener("htmx:afterSettle", (event) => {
  if (event.detail.target !== box) return;
  const row = place && document.getElementById(place);
  // the row itself has the focus while it has nothing to press
  if (row && (row === document.activeElement || !row.contains(document.activeElement))) {
    (row.querySelector(".ph-actions :is(a, button, summary)") ?? row).focus();
  }
  const now = states();
  for (const row of rows()) {
    const was = before.get(row.id);
    if (was && was !== row.dataset.state && WORDS[row.dataset.state]) {
      live.textContent = `${row.dataset.title} ${WORDS[row.dataset.state]}.`;
    }
  }
  const fullness = box.querySelector("[data-full]")?.dataset.full;
  before = now;
  for (const each of document.querySelectorAll("#ph-new-name, #ph-new button")) each.disabled = fullness === "yes";
});
document.addEventListener("htmx:afterRequest", lookAgain);
document.addEventListener("visibilitychange", look);
window.addEventListener("pageshow", (event) => {
  if (event.persisted) look();
});

// the page that follows a start counts from here
document.addEventListener("submit", (event) => {
  const { starts } = event.target.dataset;
  if (!starts) return;
  if (event.target.dataset.sent) {
    event.preventDefault();
    return;
  }
  event.target.dataset.sent = "yes";
  window.sessionStorage.setItem(`petrihub-start:${starts}`, String(Date.now()));
});
window.addEventListener("pageshow", () => {
  for (const form of document.querySelectorAll("form[data-sent]")) delete form.dataset.sent;
});

// a menu closes when the focus or a click goes elsewhere
const closeMenus = (except) => {
  for (const menu of box.querySelectorAll("details.ph-menu[open]")) if (menu !== except) menu.open = false;
};
document.addEventListener("click", (event) => closeMenus(event.target.closest("details.ph-menu")));
document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  const menu = box.querySelector("details.ph-menu[open]");
  closeMenus();
  menu?.querySelector("summary").focus();
});
box.addEventListener("focusout", (event) => {
  const menu = event.target.closest("details.ph-menu");
  if (menu && event.relatedTarget && !menu.contains(event.relatedTarget)) menu.open = false;
});

// questions open in a dialog; without scripts the same address is a page
box.addEventListener("click", async (event) => {
  const link = event.target.closest("a[data-ph-question]");
  if (!link) return;
  event.preventDefault();
  const summary = link.closest("details")?.querySelector("summary");
  closeMenus();
  summary?.focus(); // where the focus comes back to
  try {
    await window.htmx.ajax("GET", link.href, { target: dialog, swap: "innerHTML" });
  } catch {
    return; // portal.js has said what went wrong
  }
  if (dialog.childElementCount) dialog.showModal();
});
dialog.addEventListener("click", (event) => {
  if (!event.target.closest("[data-ph-close]")) return;
  event.preventDefault();
  dialog.close();
});

lookAgain();
