// The list that one came from: on a candidate's page j, k and u stay in it, in its order and with its filters.
// Kept per tab, so that two tabs go two ways. Without this script the bar leads through what waits at the gates.
const KEPT = "signoff:way";
const MOST = 500; // candidates of a list that are kept
const links = () => [...document.querySelectorAll("[data-row] a.open")].filter((link) => /\/candidates\/\d+\/$/.test(link.pathname));

// Written when a row is opened: the list may have been renewed or narrowed since the page came.
document.addEventListener("click", (event) => {
  const link = event.target.closest("a");
  if (!link || !/\/candidates\/\d+\/$/.test(link.pathname) || !link.closest("[data-row], #preview")) return;
  const candidates = [...new Set(links().map((each) => each.pathname))].slice(0, MOST);
  const words = document.querySelector("h1")?.textContent.trim() || "list";
  sessionStorage.setItem(KEPT, JSON.stringify({ list: location.pathname + location.search, words, candidates }));
}, true);

const read = () => {
  try {
    const { list, words, candidates } = JSON.parse(sessionStorage.getItem(KEPT));
    const at = candidates.indexOf(location.pathname);
    return at < 0 || !/^\/(?!\/)/.test(list) ? null : { list, words: String(words), candidates, at };
  } catch {
    return null; // nothing was kept, or something else
  }
};

const anchor = (address, key, words, rel = "") => {
  const link = document.createElement("a");
  const cap = document.createElement("kbd");
  cap.textContent = key;
  [link.href, link.dataset.key, link.rel] = [address, key, rel];
  link.append(cap, ` ${words}`);
  return link;
};

const numbered = (address) => `C-${address.match(/(\d+)\/$/)[1]}`;

const lead = () => {
  const place = document.querySelector("#decide .neighbours");
  const way = place && !place.closest("#preview") && !place.dataset.way && read();
  if (!way) return;
  const { candidates, at } = way;
  const where = document.createElement("a");
  where.className = "where";
  where.href = way.list;
  where.textContent = `from: ${way.words} ${at + 1} of ${candidates.length}`;
  const parts = [where];
  if (at > 0) parts.push(anchor(candidates[at - 1], "k", numbered(candidates[at - 1]), "prev"));
  if (at + 1 < candidates.length) parts.push(anchor(candidates[at + 1], "j", numbered(candidates[at + 1]), "next"));
  parts.push(anchor(way.list, "u", way.list.startsWith("/projects/") ? "list" : "inbox"));
  place.replaceChildren(...parts);
  place.dataset.way = "yes";
};

if (read()) {
  lead();
  new MutationObserver(lead).observe(document.body, { childList: true, subtree: true }); // the bar is renewed
}
