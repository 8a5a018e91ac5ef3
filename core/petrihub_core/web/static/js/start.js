/* Start page: sizes that the chosen profile does not have are switched off, and one line sums up. */
import { onceOnly } from "./once.js";

const form = document.getElementById("spawn_form");

/* checkpoints that stand on another image than the chosen profile's cannot be chosen */
function followCheckpoints(profile) {
  const list = form.querySelector("select[name=checkpoint]");
  if (!list) return "";
  for (const each of list.options) each.disabled = Boolean(each.value) && !each.dataset.profiles.split(" ").includes(profile.value);
  if (list.selectedOptions[0]?.disabled) list.value = "";
  const older = list.selectedOptions[0]?.dataset.older;
  form.querySelector("[data-checkpoint-note]").textContent = older ? ` ${older}` : "";
  return list.value ? `from ${list.selectedOptions[0].textContent.trim()}` : "";
}

function follow() {
  const profile = form.querySelector("input[name=profile]:checked");
  const button = form.querySelector("[type=submit]");
  const words = document.getElementById("ph-start-words");
  button.disabled = !profile;
  if (!profile) {
    words.textContent = "";
    return;
  }
  const offered = profile.dataset.sizes.split(" ");
  const sizes = [...form.querySelectorAll("input[name=size]")];
  const refused = (size) => "refused" in size.dataset; // its reason stands below, with whom to ask
  for (const size of sizes) size.disabled = refused(size) || !offered.includes(size.value);
  if (!sizes.some((size) => size.checked && !size.disabled)) {
    const first = sizes.find((size) => !size.disabled);
    if (first) first.checked = true;
  }
  const title = form.querySelector(`label[for="${profile.id}"]`).textContent.trim();
  const note = form.querySelector("[data-size-note]");
  const off = sizes.filter((size) => size.disabled && !refused(size));
  note.hidden = off.length === 0;
  note.textContent = off.length ? `${title} is not offered in the crossed-out size${off.length > 1 ? "s" : ""}.` : "";
  const size = form.querySelector("input[name=size]:checked");
  const sizeWords = size ? form.querySelector(`label[for="${size.id}"] span`).textContent.trim() : "";
  const usual = size ? JSON.parse(profile.dataset.usual)[size.value] : "";
  words.textContent = [title, sizeWords, usual, followCheckpoints(profile)].filter(Boolean).join(", ");
}

if (form) {
  form.addEventListener("change", follow);
  follow();
}
onceOnly();
