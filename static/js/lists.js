// The candidate list: addresses without empty values, and a choice of rows that outlives renewals of the table.
const chosen = new Set();

// A filter that is not used does not stand in the address.
document.body.addEventListener("htmx:configRequest", (event) => {
  if (!event.target.matches(".filters")) return;
  for (const [name, value] of [...event.detail.formData.entries()]) {
    if (value === "" || (name === "sort" && value === "newest")) event.detail.formData.delete(name);
  }
});

const boxes = () => [...document.querySelectorAll("input[name=pick]")];

const show = () => {
  const bar = document.querySelector(".bulk");
  if (!bar) return;
  const here = boxes();
  const count = here.filter((box) => box.checked).length;
  bar.classList.toggle("some", count > 0);
  document.body.classList.toggle("choosing", count > 0);
  bar.querySelector("[data-chosen]").textContent = `${count} chosen`;
  const compare = bar.querySelector("[data-compare]");
  compare.href = `${compare.pathname}?c=${here.filter((box) => box.checked).map((box) => box.value).join(",")}`;
  const all = document.querySelector("[data-choose-all]");
  all.hidden = false;
  all.checked = count > 0 && count === here.length;
  all.indeterminate = count > 0 && count < here.length;
};

const restore = () => {
  boxes().forEach((box) => { box.checked = chosen.has(box.value); });
  show();
};

document.addEventListener("change", (event) => {
  if (event.target.matches("[data-choose-all]")) boxes().forEach((box) => { box.checked = event.target.checked; });
  else if (!event.target.matches("input[name=pick]")) return;
  boxes().forEach((box) => { (box.checked ? chosen.add(box.value) : chosen.delete(box.value)); });
  show();
});
document.addEventListener("signoff:changed", restore);
document.body.addEventListener("htmx:afterSettle", restore);
addEventListener("pageshow", () => {
  boxes().forEach((box) => { if (box.checked) chosen.add(box.value); }); // going back brings choices back
  show();
});

// A popover closes when somebody clicks elsewhere or presses Escape.
const close = (but) => document.querySelectorAll("details.pop[open]").forEach((each) => { if (!each.contains(but)) each.open = false; });
document.addEventListener("click", (event) => close(event.target));
document.addEventListener("toggle", (event) => {
  if (event.target.matches?.(".pop[open]")) event.target.querySelector("input:not([type=hidden])").focus();
}, true);
document.addEventListener("keydown", (event) => {
  const open = event.key === "Escape" && document.querySelector("details.pop[open]");
  if (!open) return;
  open.open = false;
  open.querySelector("summary").focus();
});
