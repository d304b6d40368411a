// Keeps a page current: only what changed is put in, and nothing that a person has open or types into.
const pulse = document.getElementById("pulse");
const connection = document.getElementById("connection");
let etag = "";
let done = 0; // requests of a person that were answered
let asked = 0; // how many of them, when the pulse last asked
let late = false; // its answer is older than what that person did since

const say = (words, link = "") => {
  connection.replaceChildren(words);
  if (link) {
    const reload = document.createElement("a");
    reload.href = location.href.split("#")[0];
    reload.textContent = link;
    connection.append(" ", reload, ".");
  }
  connection.hidden = !words;
};
const SIGN_IN = "Reload the page to sign in again";

if (pulse) {
  document.body.addEventListener("htmx:beforeRequest", (event) => {
    if (event.detail.elt !== pulse) return;
    if (document.hidden) event.preventDefault(); // a hidden tab costs nothing
    [asked, late] = [done, false];
  });
  document.body.addEventListener("htmx:beforeSwap", (event) => {
    if (event.detail.requestConfig.elt !== pulse) return;
    late = asked !== done;
    if (late) event.detail.shouldSwap = false;
  });
  document.body.addEventListener("htmx:configRequest", (event) => {
    if (event.detail.elt !== pulse) return;
    event.detail.path = location.pathname + location.search; // filters change the address
    if (etag) event.detail.headers["If-None-Match"] = etag;
  });
  document.body.addEventListener("htmx:afterRequest", (event) => {
    if (event.detail.elt !== pulse) done += 1;
    if (event.detail.elt !== pulse || !event.detail.xhr) return;
    const { status } = event.detail.xhr;
    if (status === 200 && !late) etag = event.detail.xhr.getResponseHeader("ETag") || "";
    if (status === 200 || status === 304) say("");
    else if (status === 401) say("You are signed out. What you typed is kept.", SIGN_IN);
    else if (status) say(`The server answered with error ${status}; what you see may be old.`);
    else say("The server cannot be reached; what you see may be old. It is tried again.");
  });
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden) htmx.trigger(pulse, "wake");
  });
}

const typedInto = (place) => {
  const texts = [...place.querySelectorAll("textarea")];
  return texts.some((text) => text.value.trim()) || (texts.length > 0 && place.contains(document.activeElement));
};

const edited = (place) =>
  [...place.querySelectorAll("details[open] :is(input, textarea)")].some(({ value, defaultValue }) => value !== defaultValue);

// The decision bar binds to what was on the page. It is left alone when that changed under the reader: they must look first.
const mustStay = (place, fresh) => {
  const before = place.querySelector("[data-seen]");
  const after = fresh.querySelector("[data-seen]");
  if (!before || !after) return typedInto(place);
  const shown = document.querySelector("main [data-diff]")?.dataset.diff; // the diff itself is not renewed
  if (!shown && after.dataset.diff && !typedInto(place)) location.reload(); // there was none to read yet
  const [seen, now] = [before.dataset.seen, after.dataset.seen];
  const diffMoved = shown !== after.dataset.diff;
  if (!diffMoved && (!seen || seen === now)) return typedInto(place);
  if (!diffMoved && !now && !typedInto(place)) return false; // decided by somebody else: there is nothing to lose
  place.dispatchEvent(new CustomEvent("signoff:outdated", { bubbles: true, detail: { fresh: fresh.cloneNode(true), diffMoved } }));
  return true;
};

document.body.addEventListener("htmx:oobBeforeSwap", (event) => {
  const place = event.detail.target;
  const fresh = event.detail.fragment.querySelector?.("[data-version]") || event.detail.fragment;
  if (place.dataset.version === fresh.dataset?.version) event.detail.shouldSwap = false;
  else if (place.id === "decide" && mustStay(place, fresh)) event.detail.shouldSwap = false;
  else if (place.id !== "decide" && edited(place)) event.detail.shouldSwap = false;
  else if (place.contains(document.activeElement) && document.activeElement.matches("input, select, textarea")) event.detail.shouldSwap = false;
  else {
    const refusal = place.querySelector(".decide > .refused:not(.stale)"); // to be read in one's own time
    if (refusal) fresh.querySelector?.(".decide")?.prepend(refusal.cloneNode(true));
  }
});

// Open details stay open, scrolled boxes stay scrolled, and the chosen row stays chosen when their fragment is renewed.
const remembered = new Map();
document.body.addEventListener("htmx:oobBeforeSwap", (event) => {
  const place = event.detail.target;
  remembered.delete(place.id); // htmx tells of the swap's end even when nothing was swapped
  if (event.detail.shouldSwap === false) return;
  remembered.set(place.id, {
    open: [...place.querySelectorAll("details")].map((each) => each.open),
    scrolled: [...place.querySelectorAll(".scroll, .reason")].map((each) => [each.scrollLeft, each.scrollTop]),
    row: place.querySelector("[data-row].on")?.id,
    focus: place.contains(document.activeElement) ? document.activeElement.getAttribute("href") : null,
  });
});
document.body.addEventListener("htmx:oobAfterSwap", (event) => {
  const place = document.getElementById(event.detail.target.id);
  const state = remembered.get(place?.id);
  if (!state) return;
  remembered.delete(place.id); // what a person opens or scrolls from here on is theirs
  place.querySelectorAll("details").forEach((each, i) => { each.open = state.open[i] ?? each.open; });
  place.querySelectorAll(".scroll, .reason").forEach((each, i) => { if (state.scrolled[i]) [each.scrollLeft, each.scrollTop] = state.scrolled[i]; });
  if (state.row) document.getElementById(state.row)?.classList.add("on");
  if (state.focus) place.querySelector(`a[href="${CSS.escape(state.focus)}"]`)?.focus({ preventScroll: true });
  document.dispatchEvent(new CustomEvent("signoff:changed", { detail: place.id }));
});

document.body.addEventListener("htmx:responseError", (event) => {
  if (event.detail.elt === pulse) return;
  const { status } = event.detail.xhr;
  if (status === 401) say("You are signed out: nothing was sent. What you typed is kept.", SIGN_IN);
  else if (status === 403 && event.detail.xhr.getResponseHeader("X-Refused") === "csrf") say("You signed in or out since this page was opened: nothing was sent. What you typed is kept.", "Reload the page");
  else if (status === 403) say("Your account may not do this. Nothing was changed.");
  else say(`That did not work (error ${status}). What you typed is kept.`, "Reload the page to see where it stands");
});
document.body.addEventListener("htmx:sendError", () => say("The server cannot be reached: nothing was sent. What you typed is kept; send it again."));
