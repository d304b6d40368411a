// The decision bar: what changed since the page was opened. What was typed survives looking at it (drafts.js).
import { restore } from "./drafts.js";

const NAMES = ["its diff", "its base", "its evidence", "the policy of this gate"];
let fresh = null; // the bar as it would be now, where the diff is still the one on the page

const bar = () => document.getElementById("decide");

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
  if (!fresh) {
    location.reload();
    return;
  }
  const next = fresh;
  fresh = null;
  next.removeAttribute("hx-swap-oob");
  bar().replaceWith(next);
  htmx.process(next);
  restore(next);
  document.getElementById("verdict")?.scrollIntoView({ block: "nearest" });
  (next.querySelector("[data-key=a]") || next.querySelector("a, button"))?.focus();
});
