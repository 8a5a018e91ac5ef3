/* "Choose all" over a table of ticks, and a button that says how many are ticked. */
for (const form of document.querySelectorAll("[data-ph-selection]")) {
  const all = form.querySelector("[data-ph-all]");
  const button = form.querySelector("[data-ph-chosen]");
  if (!all || !button) continue;
  const ticks = [...form.querySelectorAll("input[name=workspace]")];
  const words = button.textContent;
  const show = () => {
    const count = ticks.filter((tick) => tick.checked).length;
    all.checked = count === ticks.length;
    all.indeterminate = count > 0 && count < ticks.length;
    button.disabled = count === 0;
    button.textContent = count ? `Stop ${count} workspace${count === 1 ? "" : "s"}` : words;
  };
  all.hidden = false;
  all.addEventListener("change", () => {
    for (const tick of ticks) tick.checked = all.checked;
    show();
  });
  form.addEventListener("change", show);
  show();
}
