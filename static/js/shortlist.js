// The shortlist: what a person picks and types is never renewed under them; they are told that the list changed.
const form = document.getElementById("picks");
const notice = document.getElementById("list-changed");
let touched = false;

form.addEventListener("input", () => { touched = true; });

document.body.addEventListener("htmx:oobBeforeSwap", (event) => {
  if (event.detail.target.id !== "list" || !touched) return;
  const fresh = event.detail.fragment.querySelector?.("[data-version]") || event.detail.fragment;
  if (fresh.dataset?.version === event.detail.target.dataset.version) return;
  event.detail.shouldSwap = false;
  notice.hidden = false;
});

notice.querySelector("button").addEventListener("click", () => location.reload());

// Ticking a candidate is meant for all of its rungs that are ticked; a rung alone picks its candidate.
form.addEventListener("change", (event) => {
  const option = event.target.closest(".option");
  if (!option || !event.target.checked) return;
  const pick = option.closest(".pick").querySelector("[name=pick]");
  if (!pick.disabled) pick.checked = true;
});
