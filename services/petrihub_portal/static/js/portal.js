/* What every page of the portal needs: the XSRF token on htmx's requests, errors in their place, copying. */
import { showTimes } from "../../frame/js/times.js";

// on a narrow screen the panel's menu is a strip: the page that is open must be seen in it
for (const strip of document.querySelectorAll(".ph-panel-menu")) {
  const here = strip.querySelector("[aria-current]");
  if (here) strip.scrollLeft = here.offsetLeft - strip.offsetLeft - (strip.clientWidth - here.offsetWidth) / 2;
}
document.addEventListener("htmx:configRequest", (event) => {
  event.detail.headers["X-XSRFToken"] = document.body.dataset.xsrf;
});
// an error answer of ours carries where its words go
document.addEventListener("htmx:beforeSwap", (event) => {
  if (event.detail.xhr.status >= 400 && event.detail.xhr.getResponseHeader("HX-Retarget")) {
    event.detail.shouldSwap = true;
    event.detail.isError = false;
  }
});
document.addEventListener("htmx:sendError", () => {
  document.getElementById("ph-said").textContent =
    "PetriHub does not answer. Check your connection, then try again.";
});
document.addEventListener("htmx:afterSwap", (event) => showTimes(event.detail.target));

document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-ph-copy]");
  if (!button) return;
  const field = button.parentElement.querySelector("[data-ph-copy-from]");
  field.select();
  try {
    await navigator.clipboard.writeText(field.value);
    button.textContent = "Copied";
  } catch {
    // the browser forbids it: the text is selected, so that Ctrl-C copies it
  }
});
