// The inbox: rows that never move under the pointer, and the chosen one beside the list with its decision.
import { mark } from "./keys.js";

const WIDE = matchMedia("(min-width: 1200px)"); // css/inbox.css: from here on there is room for the preview
const SOON = 150; // milliseconds: who runs through the list with j loads the last row alone
const list = () => document.getElementById("waiting");
const pane = document.getElementById("preview");
const rowsOf = (place) => [...place.querySelectorAll("[data-row]")];
let next = null; // the list as it would be now, where that would move rows

const putIn = (old, now) => {
  if (old.isEqualNode(now)) return;
  old.replaceChildren(...now.cloneNode(true).childNodes);
  htmx.process(old);
};

// A renewed list takes the place of the old one only where no row would move. Otherwise rows are renewed where they stand, those
// that are gone say so, and new ones are counted until somebody asks for them.
const renewInPlace = (place, fresh) => {
  const coming = new Map(rowsOf(fresh).map((row) => [row.id, row]));
  const here = rowsOf(place);
  for (const row of here) {
    const renewed = coming.get(row.id);
    row.classList.toggle("left", !renewed);
    row.querySelector(".gone")?.toggleAttribute("hidden", Boolean(renewed));
    if (renewed && !row.contains(document.activeElement)) putIn(row, renewed);
  }
  for (const part of ["[data-head]", "[data-tabs]"]) {
    const [old, now] = [place.querySelector(part), fresh.querySelector(part)];
    if (old && now && !old.contains(document.activeElement)) putIn(old, now);
  }
  const known = new Set(here.map((row) => row.id));
  const added = [...coming.keys()].filter((id) => !known.has(id)).length;
  const left = here.filter((row) => row.classList.contains("left")).length;
  const words = [added && `${added} new`, left && `${left} gone`].filter(Boolean).join(", ") || "new order";
  const button = place.querySelector("[data-fresh]");
  if (button) [button.textContent, button.hidden] = [`${words} · show`, false];
};

const sameRows = (place, fresh) => {
  const [before, after] = [place, fresh].map((each) => rowsOf(each).map((row) => row.id));
  return before.length === after.length && before.every((id, i) => id === after[i]);
};

document.body.addEventListener("htmx:oobBeforeSwap", (event) => {
  const place = event.detail.target;
  if (place.id !== "waiting" || event.detail.shouldSwap === false) return;
  const fresh = event.detail.fragment.querySelector?.("#waiting") || event.detail.fragment;
  next = null;
  if (!rowsOf(place).length || sameRows(place, fresh)) return;
  event.detail.shouldSwap = false;
  next = fresh.cloneNode(true);
  renewInPlace(place, next);
});

document.addEventListener("click", (event) => {
  if (!event.target.closest("[data-fresh]") || !next) return;
  const chosen = list().querySelector("[data-row].on")?.id;
  next.removeAttribute?.("hx-swap-oob");
  list().replaceWith(next);
  next = null;
  htmx.process(list());
  const row = chosen && document.getElementById(chosen);
  if (row) mark(row, "data-row");
  else show(rowsOf(list())[0]);
});

// The preview. What is typed into a decision is kept by drafts.js, as on the candidate's page.
let shown = ""; // address of what stands there
let timer = 0;

const load = (row) => {
  const address = row.dataset.preview;
  if (!address || address === shown) return;
  shown = address;
  rowsOf(list()).forEach((each) => each.classList.toggle("previewed", each === row));
  pane.setAttribute("aria-busy", "true");
  htmx.ajax("GET", address, { target: pane, swap: "innerHTML", source: pane });
};

if (pane) {
  // Of two that were asked for, the one that was chosen last.
  pane.addEventListener("htmx:beforeSwap", (event) => {
    if (event.target === pane && event.detail.pathInfo.requestPath !== shown) event.detail.shouldSwap = false;
  });
  pane.addEventListener("htmx:afterSwap", (event) => {
    if (event.target !== pane) return;
    const back = pane.querySelector("[data-back]");
    if (back) back.value = location.search;
    pane.scrollTop = 0;
  });
  pane.addEventListener("htmx:afterRequest", (event) => {
    if (event.target !== pane) return;
    pane.removeAttribute("aria-busy");
    if (event.detail.successful || event.detail.pathInfo.requestPath !== shown) return;
    shown = "";
    const words = document.createElement("p");
    words.className = "empty";
    words.textContent = "It could not be loaded. Choose the row again, or open its page.";
    pane.replaceChildren(words);
  });
}

const show = (row) => {
  clearTimeout(timer);
  if (pane && row?.dataset.preview && WIDE.matches) timer = setTimeout(load, shown ? SOON : 0, row);
};

document.addEventListener("signoff:moved", (event) => show(event.target.closest("[data-preview]")));
document.addEventListener("click", (event) => {
  const row = event.target.closest(".decisions [data-preview]");
  if (!row || !WIDE.matches || event.target.closest("a, button") || event.ctrlKey || event.metaKey) return;
  mark(row, "data-row");
});
show(rowsOf(list())[0]);
WIDE.addEventListener("change", () => show(list().querySelector("[data-row].on") || rowsOf(list())[0]));
