// The shortlist: what a person picks and types is never renewed under them, and the address holds what they picked.
const form = document.getElementById("picks");
const notice = document.getElementById("list-changed");
const hide = document.getElementById("hide-conflicts");
const within = document.getElementById("within");
let touched = false;

const boxes = () => [...form.querySelectorAll("[name=pick]")];
const chosen = () => boxes().filter((box) => box.checked).map((box) => box.value);
const rowOf = (box) => box.closest(".pick");

form.addEventListener("input", () => { touched = true; });

document.body.addEventListener("htmx:oobBeforeSwap", (event) => {
  if (event.detail.target.id !== "list" || !touched) return;
  const fresh = event.detail.fragment.querySelector?.("[data-version]") || event.detail.fragment;
  if (fresh.dataset?.version === event.detail.target.dataset.version) return;
  event.detail.shouldSwap = false;
  notice.hidden = false;
});

notice.querySelector("button").addEventListener("click", () => location.reload());

// How many of the chosen each row conflicts with; those can be hidden, never a chosen one.
const tellConflicts = () => {
  const picked = new Set(chosen());
  for (const box of boxes()) {
    const count = rowOf(box).dataset.clashes.split(" ").filter((number) => picked.has(number)).length;
    const place = rowOf(box).querySelector("[data-with-chosen]");
    if (place) place.textContent = count ? `${count} with chosen` : "";
    rowOf(box).classList.toggle("off-set", hide.checked && count > 0 && !box.checked);
  }
};

// The address ticks the same ones again, in another order of the list too.
const tellAddress = () => {
  const query = new URLSearchParams(location.search);
  query.delete("pick");
  chosen().forEach((number) => query.append("pick", number));
  const text = `${query}`;
  history.replaceState(history.state, "", `${location.pathname}${text && `?${text}`}${location.hash}`);
  for (const link of document.querySelectorAll("[data-order]")) {
    query.set("sort", link.dataset.order);
    link.href = `?${query}`;
  }
};

const show = () => { tellConflicts(); tellAddress(); };

const tick = (numbers) => {
  boxes().forEach((box) => { box.checked = !box.disabled && numbers.has(box.value); });
  show();
};

const asAddressed = () => tick(new Set(new URLSearchParams(location.search).getAll("pick")));

// Ticking a candidate is meant for all of its rungs that are ticked; a rung alone picks its candidate.
form.addEventListener("change", (event) => {
  const option = event.target.closest(".option");
  const pick = option?.closest(".pick").querySelector("[name=pick]");
  if (option && event.target.checked && !pick.disabled) pick.checked = true;
  show();
});
hide.addEventListener("change", tellConflicts);
within.addEventListener("submit", () => {
  for (const number of chosen()) {
    const field = document.createElement("input");
    Object.assign(field, { type: "hidden", name: "pick", value: number });
    within.append(field);
  }
});

document.addEventListener("click", (event) => {
  const take = event.target.closest("[data-take]");
  if (!take) return;
  event.preventDefault();
  touched = true;
  tick(new Set(take.dataset.take.split(" ")));
  form.dispatchEvent(new Event("change", { bubbles: true }));
});

document.addEventListener("signoff:key", (event) => {
  const row = event.detail.current?.closest(".pick");
  if (!row || document.activeElement !== row) return;
  if (event.detail.key === "Enter") row.querySelector(".unfold").open ^= true;
  else if (event.detail.key === " ") row.querySelector("[name=pick]").click();
  else return;
  event.preventDefault();
});

// A link within the page unfolds what it leads to.
addEventListener("hashchange", () => {
  const row = document.getElementById(location.hash.slice(1))?.querySelector(".unfold");
  if (row) row.open = true;
});

document.body.addEventListener("htmx:oobAfterSwap", (event) => {
  if (event.detail.target.id === "list") asAddressed();
});
asAddressed();
