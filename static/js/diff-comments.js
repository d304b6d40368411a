// Comments at lines. What is typed is kept until it is sent (drafts.js), so that neither a live update nor a reload loses it.
import { cellOf, cellOfRow, desk, placeOf, sectionOf, talkBelow } from "./diff-lines.js";
import { drop, placesTyped, restore as restoreDrafts } from "./drafts.js";

// A form for a first comment at a line, or with no line on the file; an open one at the same place is used again.
const compose = (section, side, line) => {
  const template = document.getElementById("comment-form");
  if (!template) return null;
  const cell = line ? cellOf(section, side, line) : null;
  const place = cell ? talkBelow(cell) : section.querySelector(".on-file");
  if (!place) return null;
  const old = [...place.querySelectorAll(".new-thread")].find((form) => form.elements.line.value === String(line || ""));
  if (old) return old;
  const form = template.content.firstElementChild.cloneNode(true);
  const about = desk().dataset;
  form.elements.ps.value = side === "old" ? about.oldPs : about.newPs;
  form.elements.side.value = side === "old" ? about.oldSide : about.newSide;
  form.elements.path.value = section.dataset.path;
  form.elements.line.value = line || "";
  if (!line) form.elements.text.placeholder = "Comment on this file";
  place.append(form);
  htmx.process(form);
  restoreDrafts(form);
  return form;
};

const write = (section, side, line) => compose(section, side, line)?.elements.text.focus();

// Opens the forms in which something was typed and not sent.
export const restore = async () => {
  const about = desk().dataset;
  for (const [ps, side, path, line] of await placesTyped(about.threadsAt)) {
    const at = ps === about.newPs && side === about.newSide ? "new" : ps === about.oldPs && side === about.oldSide ? "old" : "";
    const section = at && sectionOf(path);
    if (section) compose(section, at, line);
  }
};

document.body.addEventListener("htmx:afterSettle", (event) => {
  const refused = event.detail.elt?.matches?.(".new-thread, .thread") && event.detail.elt.querySelector("[role=alert]");
  if (refused) refused.closest("form").elements.text.focus();
  if (event.detail.elt?.matches?.(".lines")) restore(); // a file that was fetched
  count();
});

// The line that was moved to last: by n and p, by a click on its number, or the first change in view.
const currentCell = () => {
  const row = document.querySelector(".diff tr.linked, .diff tr.chunk.on");
  const first = [...document.querySelectorAll(".diff tr.chunk")].find((each) => each.getBoundingClientRect().bottom > 90);
  const chosen = row || first || document.querySelector(".diff tr.chunk");
  return chosen && (cellOfRow(chosen.matches(".linked") ? chosen : newRow(chosen)) || cellOfRow(chosen));
};

// Of a changed chunk one speaks about what is there now: its first line on the new side, where it has one.
const newRow = (row) => {
  let each = row;
  while (each?.matches(".removed, .talk, .flag")) each = each.nextElementSibling;
  return each?.matches(".added") ? each : row;
};

const writeAtCurrent = () => {
  const cell = currentCell();
  if (!cell) return;
  const { section, side, line } = placeOf(cell);
  write(section, side, line);
};

document.addEventListener("signoff:moved", (event) => {
  if (event.detail.kind === "data-chunk") document.querySelectorAll(".diff tr.linked").forEach((row) => row.classList.remove("linked"));
});
document.addEventListener("signoff:key", (event) => {
  const thread = event.detail.key === "c" && event.detail.current?.closest?.(".thread");
  if (!thread) return;
  thread.querySelector("details").open = true;
  thread.querySelector("textarea")?.focus();
  event.preventDefault();
});

// The button that appears beside the line under the pointer.
const add = document.createElement("button");
add.type = "button";
add.className = "add";
add.tabIndex = -1; // by keyboard it is c
add.setAttribute("aria-label", "Comment on this line");
const offer = (event) => {
  const cell = event.target.closest?.(".diff td");
  if (!cell || !document.getElementById("comment-form")) return;
  const own = cell.matches(".n") ? cell : cell.previousElementSibling;
  const number = own?.matches(".n") && own.textContent ? own : cellOfRow(cell.parentElement);
  if (number && add.parentElement !== number) number.append(add);
};
document.addEventListener("mouseover", offer);
document.addEventListener("click", (event) => {
  offer(event); // a finger does not hover
  const target = event.target;
  if (target === add) {
    const { section, side, line } = placeOf(add.parentElement);
    write(section, side, line);
  } else if (target.closest("[data-comment]")) writeAtCurrent();
  else if (target.closest("[data-comment-file]")) write(target.closest("[data-file]"), "new", null);
  else if (target.closest("[data-cancel]")) {
    const form = target.closest(".new-thread");
    drop(form);
    form.remove();
  }
});

const count = () => {
  const open = document.querySelectorAll(".thread:not(.resolved)").length;
  const place = document.querySelector("[data-open-count]");
  if (place) place.textContent = open ? ` · ${open} open` : "";
};

// Threads that others wrote to meanwhile. A reply that is being typed stays where it is.
const renew = async (id) => {
  const answer = await fetch(`${desk().dataset.threadsAt}${id}/?${desk().dataset.query}`);
  if (answer.status !== 200) return;
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html").querySelector(".thread");
  const old = document.getElementById(`thread-${id}`);
  if (!fresh || old?.dataset.version === fresh.dataset.version) return;
  const field = old?.querySelector("textarea");
  if (field && (field.value || field === document.activeElement)) {
    for (const part of ["summary", ".said", ".buttons"]) old.querySelector(part).replaceWith(fresh.querySelector(part));
    old.className = fresh.className;
    old.dataset.version = fresh.dataset.version;
  } else if (old) old.replaceWith(fresh);
  else place(fresh);
  htmx.process(fresh.isConnected ? fresh : old || fresh);
  count();
};

const place = (thread) => {
  const { path, side, line } = thread.dataset;
  const section = sectionOf(path);
  const cell = section && line && cellOf(section, side, line);
  (cell ? talkBelow(cell) : section?.querySelector(".on-file"))?.append(thread);
};

document.addEventListener("signoff:changed", (event) => {
  if (event.detail !== "talk-mark") return;
  const states = document.querySelector("[data-threads]").dataset.threads.split(" ").filter(Boolean);
  for (const [id, version] of states.map((each) => each.split(":"))) {
    if (document.getElementById(`thread-${id}`)?.dataset.version !== version) renew(id);
  }
});
