/* A form that starts something is sent once, and says that it was. */
export function onceOnly(root = document) {
  for (const form of root.querySelectorAll("form[data-ph-once]")) {
    form.addEventListener("submit", (event) => {
      if (form.dataset.sent) {
        event.preventDefault();
        return;
      }
      form.dataset.sent = "yes";
      // the page that follows the start counts from here
      const [owner, name] = new URL(form.action).pathname.split("/").slice(-2).map(decodeURIComponent);
      window.sessionStorage.setItem(`petrihub-start:${owner}/${name}`, String(Date.now()));
      const button = form.querySelector("[type=submit]");
      button.setAttribute("aria-disabled", "true");
      button.lastChild.textContent = "Starting…";
    });
  }
}

// coming back with the browser's Back button: the form may be sent again
window.addEventListener("pageshow", (event) => {
  if (event.persisted) window.location.reload();
});
