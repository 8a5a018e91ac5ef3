/* "in 12 min 05 s" until a moment, then "now". */
const places = [...document.querySelectorAll("[data-ph-countdown]")];

function words(seconds) {
  if (seconds >= 48 * 3600) return `in ${Math.round(seconds / 86400)} days`;
  if (seconds >= 2 * 3600) return `in ${Math.round(seconds / 3600)} hours`;
  if (seconds >= 60) return `in ${Math.floor(seconds / 60)} min ${String(seconds % 60).padStart(2, "0")} s`;
  return `in ${seconds} s`;
}

function show() {
  for (const place of places) {
    const at = new Date(place.dataset.phCountdown);
    const seconds = Math.max(0, Math.round((at - Date.now()) / 1000));
    place.textContent = seconds > 0 ? words(seconds) : "now";
    place.title = at.toLocaleString();
  }
}

show();
window.setInterval(show, 1000);
