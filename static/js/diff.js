// The diff: links to lines, folding, viewed marks, another comparison without losing one's place. Comments: diff-comments.js.
import { restore } from "./diff-comments.js";
import { cellOf, desk, loaded, sectionOf } from "./diff-lines.js";

// #train.py-12 is line 12 of the new side, #train.py-b12 of the old one.
const linked = () => {
  try {
    const [, path, before, line] = decodeURIComponent(location.hash.slice(1)).match(/^(.+)-(b?)(\d+)$/) || [];
    const section = path && sectionOf(path);
    return section && { section, side: before ? "old" : "new", line };
  } catch {
    return null; // no valid escape: somebody else's link
  }
};

const point = (cell) => {
  document.querySelectorAll(".diff tr.linked").forEach((row) => row.classList.remove("linked"));
  const row = cell?.closest("tr");
  row?.classList.add("linked");
  return row;
};

// A thread of a file whose lines have not been fetched yet: the decision bar's link to it knows the file.
const goToThread = async () => {
  const link = document.querySelector(`a[data-thread-of][href$="${CSS.escape(location.hash)}"]`);
  const section = link && sectionOf(link.dataset.threadOf);
  if (section) {
    fold(section, false);
    await loaded(section);
    if (!document.querySelector(location.hash) && link.dataset.line) await loaded(section, link.dataset.line);
  }
  (document.querySelector(location.hash) ?? section)?.scrollIntoView({ block: "center" });
};

const goToLink = async () => {
  if (/^#thread-\d+$/.test(location.hash)) return goToThread();
  const place = linked();
  if (!place) return undefined;
  fold(place.section, false);
  await loaded(place.section);
  if (!cellOf(place.section, place.side, place.line)) await loaded(place.section, place.line);
  point(cellOf(place.section, place.side, place.line))?.scrollIntoView({ block: "center" });
  return undefined;
};

const fold = (section, folded) => {
  section.classList.toggle("folded", folded);
  section.querySelector("[data-fold]")?.setAttribute("aria-expanded", String(!folded));
};

const countViewed = () => {
  const count = document.querySelector("[data-viewed-count]");
  if (count) count.textContent = document.querySelectorAll("[data-viewed]:checked").length;
};

document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-fold]");
  if (button) {
    const section = button.closest("[data-file]");
    fold(section, !section.classList.contains("folded"));
    return;
  }
  const number = event.target.closest(".diff td.n");
  if (number?.textContent && !event.target.closest("button")) {
    const path = number.closest("[data-file]").dataset.path.split("/").map(encodeURIComponent).join("/");
    history.replaceState(history.state, "", `#${path}-${number.matches(".b") ? "b" : ""}${number.textContent}`);
    point(number);
    return;
  }
  const entry = event.target.closest(".tree a[href^='#file-']");
  if (entry) fold(document.querySelector(entry.hash), false);
});

document.addEventListener("change", (event) => {
  const box = event.target.closest("[data-viewed]");
  if (!box) return;
  const section = box.closest("[data-file]");
  fold(section, box.checked);
  if (section.getBoundingClientRect().top < 0) section.scrollIntoView();
  const mark = document.querySelector(`[data-mark="${section.dataset.file}"]`);
  if (mark) {
    mark.firstElementChild.textContent = box.checked ? "✓" : "○";
    mark.lastElementChild.textContent = box.checked ? "viewed" : "not viewed";
  }
  countViewed();
});

// The file of the change or thread that one went to is the one that ] and [ go on from.
document.addEventListener("signoff:moved", (event) => {
  const section = event.target.closest("[data-file]");
  if (section) document.querySelectorAll("[data-file]").forEach((each) => each.classList.toggle("on", each === section));
});

// Side by side, a selection stays on the side where it began.
document.addEventListener("mousedown", (event) => {
  const code = event.target.closest(".diff.split td.code");
  if (code) code.closest(".diff").dataset.select = code.previousElementSibling.matches(".a") ? "a" : "b";
});

// Another comparison or view: the line at the top of the window stays there.
let kept = null;
document.body.addEventListener("htmx:beforeSwap", (event) => {
  if (event.detail.target.id !== "diff") return;
  const cell = [...document.querySelectorAll(".diff td.n.a")].find((each) => each.textContent && each.getBoundingClientRect().top > 90);
  const top = cell?.getBoundingClientRect().top;
  kept = cell && top < innerHeight ? { path: cell.closest("[data-file]").dataset.path, line: cell.textContent, top } : null;
});
document.body.addEventListener("htmx:afterSettle", (event) => {
  if (event.detail.target.id !== "diff" && event.detail.elt?.id !== "diff") return;
  restore();
  const section = kept && sectionOf(kept.path);
  const cell = section && cellOf(section, "new", kept.line);
  if (cell) scrollBy(0, cell.getBoundingClientRect().top - kept.top);
  kept = null;
});

// A flag in a file whose lines have not been fetched yet.
document.addEventListener("click", (event) => {
  const link = event.target.closest("a[href^='#'], a[data-thread-of]");
  if (link && link.hash === location.hash && link.pathname === location.pathname) goToLink();
});
addEventListener("hashchange", goToLink);
if (desk()) {
  restore();
  goToLink();
}
