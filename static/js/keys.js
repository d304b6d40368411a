// The keys, as reviewers know them from Gerrit. Off while somebody types.
const sheet = document.getElementById("keys");
let before = "";

const rows = () => [...document.querySelectorAll("[data-row]")];
const press = (key) => {
  const target = [...document.querySelectorAll(`[data-key="${key}"]`)].find((each) => each.offsetParent !== null || each.closest(".decide"));
  if (!target || target.disabled) return false;
  if (target.matches("a")) target.click();
  else target.focus();
  return true;
};

const move = (by) => {
  const all = rows();
  if (!all.length) return false;
  const at = all.findIndex((row) => row.classList.contains("on"));
  const next = all[Math.max(0, Math.min(all.length - 1, at < 0 ? (by > 0 ? 0 : all.length - 1) : at + by))];
  all.forEach((row) => row.classList.toggle("on", row === next));
  next.querySelector("a.open").focus({ preventScroll: true });
  next.scrollIntoView({ block: "nearest" });
  return true;
};

const actions = {
  j: () => move(1) || press("j"),
  k: () => move(-1) || press("k"),
  a: () => press("a"),
  x: () => press("x"),
  u: () => press("u"),
  "/": () => {
    const box = document.querySelector("#id_q, [data-search]");
    box?.focus();
    return Boolean(box);
  },
  Enter: () => {
    const chosen = document.querySelector("[data-row].on a.open");
    chosen?.click();
    return Boolean(chosen);
  },
  "?": () => {
    sheet.showModal();
    return true;
  },
};

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
  const typing = event.target.closest("input, textarea, select, [contenteditable]");
  if (typing) {
    if (event.key === "Escape") event.target.blur();
    return;
  }
  if (sheet.open || (event.key === "Enter" && event.target.closest("a, button, summary"))) return;
  const sequence = before + event.key;
  before = event.key === "g" ? "g" : "";
  if (sequence === "gi") location.assign(document.querySelector(".brand").href);
  else if (actions[event.key]?.()) event.preventDefault();
});
