/* Light, dark or as the system. Runs before the first paint, so that no page flashes.
   The key is JupyterHub's own: its admin page reads the same choice. */
(() => {
  "use strict";
  const KEY = "jupyterhub-bs-theme";
  const dark = window.matchMedia("(prefers-color-scheme: dark)");

  const chosen = () => {
    try {
      const kept = window.localStorage.getItem(KEY);
      return kept === "light" || kept === "dark" ? kept : "auto";
    } catch {
      return "auto"; // storage is forbidden here: follow the system
    }
  };

  const show = (theme) => {
    const real = theme === "auto" ? (dark.matches ? "dark" : "light") : theme;
    document.documentElement.setAttribute("data-bs-theme", real);
    for (const button of document.querySelectorAll("[data-ph-theme]")) {
      button.setAttribute("aria-pressed", String(button.dataset.phTheme === theme));
    }
  };

  show(chosen());
  dark.addEventListener("change", () => show(chosen()));
  document.addEventListener("DOMContentLoaded", () => {
    show(chosen());
    for (const button of document.querySelectorAll("[data-ph-theme]")) {
      button.addEventListener("click", () => {
        try {
          window.localStorage.setItem(KEY, button.dataset.phTheme);
        } catch {
          // not kept, still shown
        }
        show(button.dataset.phTheme);
        const menu = button.closest("details");
        menu.open = false;
        menu.querySelector("summary").focus();
      });
    }
  });
})();
