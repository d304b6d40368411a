// Small help around candidates, on every page:
//   - A link to a candidate shows its card while a mouse rests on it, or while it has the keyboard's focus; never on touch.
//   - "=" puts the candidate in view into a comparison tray, kept per person in this browser, which opens Compare.
//   - Buttons with data-quote copy a number with its interval and n.
const CANDIDATE = /^\/projects\/([\w-]+)\/candidates\/(\d+)\/$/;
const REST = 300; // ms that the mouse rests on a link first
const FRESH = 60_000; // ms that a card is good for
const MOST = 50; // candidates that Compare takes

// Cards
const card = document.createElement("div");
Object.assign(card, { id: "card", className: "card hover-card", hidden: true });
card.setAttribute("role", "tooltip");
document.body.append(card);
const known = new Map(); // path → { at, html }
let wanted = null;
let timer = 0;

const candidateOf = (link) => {
  const address = link && new URL(link.href, location.href);
  return address?.origin === location.origin ? CANDIDATE.exec(address.pathname) : null;
};

const hide = () => {
  clearTimeout(timer);
  wanted?.removeAttribute("aria-describedby");
  wanted = null;
  card.hidden = true;
};

const htmlOf = async (path) => {
  const kept = known.get(path);
  if (kept && Date.now() - kept.at < FRESH) return kept.html;
  const answer = await fetch(`${path}card/`, { headers: { "X-Requested-With": "fetch" } });
  if (!answer.ok) return "";
  const html = await answer.text();
  known.set(path, { at: Date.now(), html });
  return html;
};

const show = async (link) => {
  const html = await htmlOf(candidateOf(link)[0]).catch(() => "");
  if (wanted !== link || !html || !link.isConnected) return;
  card.replaceChildren(...new DOMParser().parseFromString(html, "text/html").body.childNodes);
  card.hidden = false;
  const [at, size] = [link.getBoundingClientRect(), card.getBoundingClientRect()];
  const below = at.bottom + size.height + 8 < innerHeight;
  card.style.left = `${Math.max(8, Math.min(at.left, innerWidth - size.width - 8))}px`;
  card.style.top = `${below ? at.bottom + 6 : Math.max(8, at.top - size.height - 6)}px`;
  link.setAttribute("aria-describedby", "card");
};

const want = (link, wait) => {
  if (link === wanted) return;
  hide();
  const found = candidateOf(link);
  if (!found || found[0] === location.pathname) return;
  wanted = link;
  timer = setTimeout(show, wait, link);
};

document.addEventListener("pointerover", (event) => {
  if (event.pointerType !== "mouse") return;
  const link = event.target.closest?.("a[href]");
  if (link) want(link, REST);
  else if (wanted && wanted !== document.activeElement) hide();
});
document.addEventListener("focusin", (event) => {
  if (event.target.matches("a[href]:focus-visible")) want(event.target, REST);
});
document.addEventListener("focusout", (event) => { if (event.target === wanted) hide(); });
document.addEventListener("keydown", (event) => { if (event.key === "Escape") hide(); });
document.addEventListener("pointerdown", hide);
addEventListener("scroll", hide, { passive: true, capture: true });

// The tray
const key = `tray ${document.body.dataset.person}`;
const read = () => {
  try {
    const kept = JSON.parse(localStorage.getItem(key));
    return /^[\w-]+$/.test(kept.slug) && Array.isArray(kept.numbers) ? { slug: kept.slug, numbers: kept.numbers.filter(Number.isInteger) } : null;
  } catch {
    return null;
  }
};
const tray = document.createElement("aside");
Object.assign(tray, { id: "tray", className: "tray", hidden: true, ariaLabel: "Comparison tray" });
document.body.append(tray);

const element = (name, properties, ...content) => {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...content);
  return made;
};

const drawTray = () => {
  const kept = read();
  tray.hidden = !kept?.numbers.length;
  if (tray.hidden) return;
  const chips = kept.numbers.map((number) => element("button", { type: "button", className: "chip", ariaLabel: `Take C-${number} out of the tray`, onclick: () => toggle(kept.slug, number) }, `C-${number} ×`));
  const compare = element("a", { href: `/projects/${kept.slug}/compare/?c=${kept.numbers.join(",")}` }, "Compare");
  const clear = element("button", { type: "button", className: "plain", onclick: () => { localStorage.removeItem(key); drawTray(); } }, "Clear");
  tray.replaceChildren(...chips, compare, clear, element("span", { className: "visually-hidden", role: "status" }, `${kept.numbers.length} in the comparison tray`));
};

const toggle = (slug, number) => {
  const kept = read();
  const before = kept?.slug === slug ? kept.numbers : []; // candidates of two projects cannot be compared
  const numbers = before.includes(number) ? before.filter((each) => each !== number) : [...before, number].slice(-MOST);
  localStorage.setItem(key, JSON.stringify({ slug, numbers }));
  drawTray();
};

document.addEventListener("signoff:key", (event) => {
  if (event.detail.key !== "=") return;
  const row = event.detail.current ?? document.activeElement;
  const links = [document.activeElement, ...(row?.querySelectorAll?.("a[href]") ?? [])].filter((each) => each?.matches?.("a[href]"));
  const found = links.map(candidateOf).find(Boolean) ?? CANDIDATE.exec(location.pathname);
  if (!found) return;
  event.preventDefault();
  toggle(found[1], Number(found[2]));
});
addEventListener("storage", drawTray); // another tab
drawTray();

// Numbers
const copied = async (text) => {
  try {
    await navigator.clipboard.writeText(text);
  } catch { // no clipboard without https
    const field = element("textarea", { value: text, className: "visually-hidden" });
    document.body.append(field);
    field.select();
    document.execCommand("copy");
    field.remove();
  }
};
document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-quote]");
  if (!button || button.dataset.done) return;
  await copied(button.dataset.quote);
  const words = button.textContent;
  button.dataset.done = "yes";
  button.textContent = "✓";
  button.ariaLabel = "copied";
  setTimeout(() => { button.textContent = words; button.ariaLabel = null; delete button.dataset.done; }, 1400);
});
