/* Fields for a moment hold UTC; here people see and write the time of their own clock instead.
   The name moves to a hidden twin, which always holds UTC. */
const two = (number) => String(number).padStart(2, "0");

function local(date) {
  const day = `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
  return `${day}T${two(date.getHours())}:${two(date.getMinutes())}`;
}

for (const field of document.querySelectorAll("[data-ph-moment]")) {
  const twin = document.createElement("input");
  twin.type = "hidden";
  twin.name = field.name;
  twin.value = field.value;
  field.removeAttribute("name");
  field.after(twin);
  if (field.value) field.value = local(new Date(`${field.value}Z`));
  field.addEventListener("input", () => {
    twin.value = field.value ? new Date(field.value).toISOString().slice(0, 16) : "";
  });
  const zone = document.querySelector(`label[for="${field.id}"] [data-ph-zone]`);
  if (zone) zone.textContent = "(your time)";
}
