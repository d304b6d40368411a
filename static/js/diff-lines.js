// Where lines of the diff are on the page.
export const desk = () => document.getElementById("diff");

export const sectionOf = (path) => [...document.querySelectorAll("[data-file]")].find((each) => each.dataset.path === path);

// The cell with the number of a line: `side` is "old" or "new". Numbers are the cells' only text.
export const cellOf = (section, side, line) => {
  const cells = section.querySelectorAll(`.diff td.n.${side === "old" ? "b" : "a"}`);
  return [...cells].find((cell) => cell.textContent === String(line));
};

export const isSplit = () => desk().classList.contains("split");

// What a number cell stands for.
export const placeOf = (cell) => ({
  section: cell.closest("[data-file]"),
  side: cell.matches(".b") ? "old" : "new",
  line: Number(cell.textContent),
});

// The number cell that speaks for a row: the new side, where there is one.
export const cellOfRow = (row) => {
  const [before, after] = [row.querySelector("td.n.b"), row.querySelector("td.n.a")];
  return after?.textContent ? after : before?.textContent ? before : null;
};

// The place below a line where its threads stand; made where there is none.
export const talkBelow = (cell) => {
  const side = cell.matches(".b") ? "old" : "new";
  let row = cell.closest("tr");
  while (row.nextElementSibling?.matches(".flag")) row = row.nextElementSibling;
  let talk = row.nextElementSibling;
  if (!talk?.matches(".talk")) {
    talk = document.createElement("tr");
    talk.className = "talk";
    for (const span of isSplit() ? [2, 2] : [3]) talk.insertCell().colSpan = span;
    row.after(talk);
  }
  return isSplit() && side === "new" ? talk.cells[1] : talk.cells[0];
};

// Resolves when the lines of a file are there; with `line`, fetched anew and opened around it.
export const loaded = async (section, line) => {
  const lines = section.querySelector(".lines");
  if (!line && !lines.matches(".waiting")) return;
  const address = section.dataset.address + (line ? `&line=${line}` : "");
  await htmx.ajax("GET", address, { source: lines, target: lines }); // its hx-swap says how
};
