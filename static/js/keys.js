// The keys, as reviewers know them from Gerrit. One registry for every page: other parts only mark their elements.
//
//   data-key="a"         The key acts on the first such element that can be seen and is enabled; one inside the current row, chunk,
//                        thread or file goes before others (so every file may have its own data-key="r"). A link, a summary, a checkbox,
//                        a radio and a button of type=button are clicked. A submit button, a field and anything else get the
//                        focus: a key never sends a form, Enter then does.
//   data-key="g b"       Two keys, one after the other.
//   data-key-words="…"   What the help sheet says about it; otherwise its title, label or text. Tooltips and aria-keyshortcuts
//                        come by themselves: write neither.
//   data-row             j k go from one to the next; it holds an a.open, which Enter opens.
//   data-chunk           n p     data-file   ] [     data-thread   N P
//                        The current one has the class "on" and the focus, and sends "signoff:moved" (bubbling).
//   data-send            On a form with a textarea (a comment, never a decision): Ctrl+Enter sends it, Escape leaves the field.
//   "signoff:key"        Event on the document before all of this, with detail.key ("c", "g b") and detail.current (the element
//                        that was moved to last, or null). Whoever handles it calls preventDefault().
//
// Off in inputs, in dialogs, and where the person turned keys off (data-keys="off" on the body).
const sheet = document.getElementById("keys");
const KINDS = { j: ["data-row", 1], k: ["data-row", -1], n: ["data-chunk", 1], p: ["data-chunk", -1] };
Object.assign(KINDS, { "]": ["data-file", 1], "[": ["data-file", -1], N: ["data-thread", 1], P: ["data-thread", -1] });
const TYPING = "textarea, select, [contenteditable], input:not([type=checkbox], [type=radio], [type=button], [type=submit])";
const CLICKED = "a[href], summary, button[type=button], input[type=checkbox], input[type=radio]";
const PAUSE = 1500; // milliseconds between two keys of a sequence
let current = null;
let before = { key: "", at: 0 };

const shown = (each) => each.getClientRects().length > 0;
const all = (selector) => [...document.querySelectorAll(selector)].filter(shown);
const top = () => (document.querySelector(".bar")?.getBoundingClientRect().bottom ?? 0) + 16;

export const mark = (item, attribute) => {
  document.querySelectorAll(`[${attribute}].on`).forEach((each) => each.classList.toggle("on", each === item));
  item.classList.add("on");
  current = item;
  const inside = item.querySelector("a.open");
  if (!inside && !item.hasAttribute("tabindex")) item.tabIndex = -1;
  (inside || item).focus({ preventScroll: true });
  const { top: begin, bottom: end } = item.getBoundingClientRect();
  if (attribute === "data-row") item.scrollIntoView({ block: "nearest" });
  else if (begin < top() || end > innerHeight - 80) item.scrollIntoView({ block: "start" });
  item.dispatchEvent(new CustomEvent("signoff:moved", { bubbles: true, detail: { kind: attribute } }));
};

// From the current one, or, where that was scrolled away, from what stands at the top of the window.
const move = (attribute, by) => {
  const items = all(`[${attribute}]`);
  if (!items.length) return false;
  const at = items.findIndex((each) => each.classList.contains("on"));
  const box = items[at]?.getBoundingClientRect();
  if (box && box.bottom > 0 && box.top < innerHeight) {
    mark(items[Math.max(0, Math.min(items.length - 1, at + by))], attribute);
    return true;
  }
  const below = items.findIndex((each) => each.getBoundingClientRect().bottom > top());
  const from = below < 0 ? items.length - 1 : below;
  mark(items[Math.max(0, by > 0 ? from : from - 1)], attribute);
  return true;
};

const press = (key) => {
  // A link of a menu that is closed can be followed too.
  const marked = [...document.querySelectorAll(`[data-key="${CSS.escape(key)}"]`)];
  const found = marked.filter((each) => !each.disabled && (shown(each) || each.matches("[popover] a")));
  const here = current?.isConnected ? [current, current.closest("[data-file]")] : [];
  const target = here.map((place) => found.find((each) => place?.contains(each))).find(Boolean) || found[0];
  if (!target) return false;
  if (target.matches(CLICKED)) target.click();
  else target.focus();
  return true;
};

const openRow = () => {
  const chosen = document.querySelector("[data-row].on a.open");
  chosen?.click();
  return Boolean(chosen);
};

const handle = (key) => {
  const heard = new CustomEvent("signoff:key", { cancelable: true, detail: { key, current: current?.isConnected ? current : null } });
  if (!document.dispatchEvent(heard)) return true;
  if (KINDS[key] && move(...KINDS[key])) return true;
  if (key === "Enter") return openRow();
  if (key === "?") return help();
  return press(key);
};

// What keys do on this page, from the elements that can be seen now.
const help = () => {
  const here = new Map();
  for (const each of all("main [data-key], .decide [data-key]")) {
    const words = each.dataset.keyWords || each.dataset.title || each.ariaLabel || each.placeholder || each.textContent;
    if (!here.has(each.dataset.key)) here.set(each.dataset.key, words.trim().replace(/\s+/g, " "));
  }
  const known = new Set([...sheet.querySelectorAll("[data-known]")].flatMap((each) => each.dataset.known.split(" ")));
  const rows = [...here].filter(([key]) => !known.has(key)).map(([key, words]) => {
    const row = document.createElement("div");
    const [term, meaning] = [document.createElement("dt"), document.createElement("dd")];
    term.append(...key.split(" ").flatMap((one) => {
      const cap = document.createElement("kbd");
      cap.textContent = one;
      return [cap, " "];
    }));
    meaning.textContent = words;
    row.append(term, meaning);
    return row;
  });
  sheet.querySelector("[data-here]").replaceChildren(...rows);
  sheet.querySelector("[data-here-title]").hidden = !rows.length;
  sheet.showModal();
  return true;
};

document.addEventListener("keydown", (event) => {
  const typing = event.target.closest?.(TYPING);
  if (typing) {
    if (event.key === "Escape") typing.blur();
    else if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) typing.closest("form[data-send]")?.requestSubmit();
    return;
  }
  if (event.key === "Shift" || event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
  if (document.body.dataset.keys === "off" || document.querySelector("dialog[open]")) return;
  if (["Enter", " "].includes(event.key) && event.target.closest?.("a, button, summary, input")) return;
  const second = before.key && event.timeStamp - before.at < PAUSE;
  const key = second ? `${before.key} ${event.key}` : event.key;
  before = { key: "", at: 0 };
  if (!second && document.querySelector(`[data-key^="${CSS.escape(event.key)} "]`)) before = { key, at: event.timeStamp };
  else if (handle(key)) event.preventDefault();
});

// The keys in tooltips, and for those who do not see them.
const tell = (root) => {
  for (const each of root.querySelectorAll?.("[data-key]") ?? []) {
    if (each.hasAttribute("aria-keyshortcuts")) continue;
    each.setAttribute("aria-keyshortcuts", each.dataset.key);
    if (each.title) each.dataset.title = each.title;
    if (document.body.dataset.keys !== "off") each.title = each.title ? `${each.title} (${each.dataset.key})` : `Key ${each.dataset.key}`;
  }
};
tell(document);
new MutationObserver((changes) => {
  if (changes.some((change) => change.addedNodes.length)) tell(document);
}).observe(document.body, { childList: true, subtree: true });

document.addEventListener("click", (event) => {
  if (event.target.closest("[data-help]")) help();
});
