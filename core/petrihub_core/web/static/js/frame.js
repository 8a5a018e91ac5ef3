/* The bar of every page: where we are, and menus that close as people expect. */
import { startTimes } from "./times.js";

for (const link of document.querySelectorAll("[data-ph-nav]")) {
  const here = window.location.pathname;
  const there = new URL(link.href).pathname;
  if (here === there || (link.dataset.phNav === "below" && here.startsWith(`${there}/`))) {
    link.setAttribute("aria-current", "page");
  }
}

const menus = [...document.querySelectorAll("details.ph-menu")];

document.addEventListener("click", (event) => {
  for (const menu of menus) {
    if (menu.open && !menu.contains(event.target)) menu.open = false;
  }
});
document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  for (const menu of menus.filter((each) => each.open)) {
    menu.open = false;
    menu.querySelector("summary").focus();
  }
});
for (const menu of menus) {
  menu.addEventListener("focusout", (event) => {
    if (event.relatedTarget && !menu.contains(event.relatedTarget)) menu.open = false;
  });
}

startTimes();
