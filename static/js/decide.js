// The decision bar: what changed since the page was opened, and what was typed survives looking at it.
const NAMES = ["its diff", "its base", "its evidence", "the policy of this gate"];
const kept = `typed ${location.pathname}`;
let fresh = null; // the bar as it would be now, where the diff is still the one on the page

const bar = () => document.getElementById("decide");
const fields = () => [...bar().querySelectorAll("[data-keep] textarea")];

const restore = (typed) => {
  for (const [name, value] of Object.entries(typed)) {
    const field = fields().find((each) => each.name === name);
    if (field && !field.value) field.value = value;
    if (value) field?.closest("details")?.setAttribute("open", "");
  }
};
const typed = () => Object.fromEntries(fields().filter((each) => each.value.trim()).map((each) => [each.name, each.value]));

const said = (before, after, diffMoved) => {
  if (!after && !diffMoved) return "This was decided or moved on meanwhile.";
  const [old, now] = [before.split(" "), after.split(" ")];
  const changed = diffMoved ? ["its diff"] : NAMES.filter((_, i) => old[i] !== now[i]);
  return `Since you opened this page, ${changed.join(" and ")} changed. Look again, then decide.`;
};

document.addEventListener("signoff:outdated", (event) => {
  const place = event.target;
  const { fresh: next, diffMoved } = event.detail;
  fresh = diffMoved ? null : next;
  const notice = place.querySelector(".stale");
  const words = said(place.querySelector("[data-seen]").dataset.seen, next.querySelector("[data-seen]").dataset.seen, diffMoved);
  const line = notice.querySelector("[data-changed]");
  if (line.textContent !== words) line.textContent = words; // an alert is read out when it changes
  notice.hidden = false;
  place.querySelector(".refused:not(.stale)")?.remove();
});

document.addEventListener("htmx:afterSwap", (event) => {
  if (event.detail.target?.id === "decide") fresh = null; // the answer to a click is newer
});

document.addEventListener("click", (event) => {
  if (!bar()?.contains(event.target) || !event.target.closest("[data-reload]")) return;
  event.preventDefault();
  const words = typed();
  if (!fresh) {
    sessionStorage.setItem(kept, JSON.stringify(words));
    location.reload();
    return;
  }
  const next = fresh;
  fresh = null;
  next.removeAttribute("hx-swap-oob");
  bar().replaceWith(next);
  htmx.process(next);
  restore(words);
  document.getElementById("verdict")?.scrollIntoView({ block: "nearest" });
  (next.querySelector("[data-key=a]") || next.querySelector("a, button"))?.focus();
});

if (bar()) {
  const words = sessionStorage.getItem(kept);
  sessionStorage.removeItem(kept);
  if (words) restore(JSON.parse(words));
}
