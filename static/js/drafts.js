// What people type is kept in this browser until it is sent. It survives a reload, a session that ended and a closed tab.
//
// One mechanism for every form that posts (and for others marked data-draft): text areas and text fields. Marks on elements:
//   data-draft-place="ps side line"  On a form: fields that tell apart several forms with one action, such as comments at lines.
//   data-draft-with="seen"           On a form: a hidden field that belongs to what was typed, and comes back with it.
//   data-draft-only="why-3"          On a button: it sends this field alone.
//   data-secret                      On a field: kept while the tab is open, and nowhere else.
//
// Each tab writes entries of its own, so two tabs never overwrite each other; what a closed tab left, the next one takes over.
// Entries carry the person's number: nobody finds another person's text in a browser that they share.
const person = document.body.dataset.person;
const DAYS = 30; // after which an entry is forgotten
const ANSWER = 150; // ms within which another open tab answers
const KEPT = "textarea, input:not([type]), input:is([type=text], [type=number], [type=email], [type=url])";
const FORMS = "form[method=post], form[data-draft]";

const newName = () => Math.random().toString(36).slice(2, 12);
const page = newName(); // this document, where a duplicated tab has the same name
let tab = sessionStorage.getItem("tab") || newName();
sessionStorage.setItem("tab", tab);

// Entries: `draft <person> <tab> <form> <field>` → { text, base, along, at }. `base` is what stood in the field before.
const SEPARATOR = "\u0000";
const keyOf = (form, field, owner = tab) => ["draft", person, owner, formKey(form), field].join(SEPARATOR);
export const formKey = (form) => {
  const action = new URL(form.getAttribute("action") || location.pathname, location.href).pathname;
  const place = (form.dataset.draftPlace || "").split(" ").filter(Boolean).map((name) => form.elements[name].value);
  return place.length ? `${action} ${JSON.stringify(place)}` : action;
};
const storeOf = (field) => ("secret" in field.dataset ? sessionStorage : localStorage);
const parsed = (text) => {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
};

// Every entry of this person: [{ key, owner, form, field, entry }].
const entries = () => [localStorage, sessionStorage].flatMap((store) => Object.keys(store).map((key) => {
  const [kind, whose, owner, form, field] = key.split(SEPARATOR);
  return kind === "draft" && whose === person ? { key, store, owner, form, field, entry: parsed(store.getItem(key)) } : null;
})).filter((each) => each?.entry);

const fieldsOf = (form) => [...form.elements].filter((field) => field.matches(KEPT) && field.name && !field.readOnly);
const formOf = (field) => (field.matches?.(KEPT) && field.name && !field.readOnly && field.form?.matches(FORMS) ? field.form : null);

const write = (field, form) => {
  const key = keyOf(form, field.name);
  const base = parsed(storeOf(field).getItem(key))?.base ?? field.defaultValue; // a refused form comes back with the text in it
  if (field.value === base || (!base && !field.value.trim())) {
    storeOf(field).removeItem(key);
    return;
  }
  const along = (form.dataset.draftWith || "").split(" ").filter(Boolean).map((name) => [name, form.elements[name].value]);
  try {
    storeOf(field).setItem(key, JSON.stringify({ text: field.value, base, along, at: Date.now() }));
  } catch {
    tell(field, "This is too long to be kept in the browser: it would be lost with the page.");
  }
};

// A line below a field, with what can be done about it.
const tell = (field, words, buttons = []) => {
  const old = field.parentElement.querySelector(`.draft-note[data-for="${CSS.escape(field.name)}"]`);
  const line = document.createElement("p");
  line.className = "draft-note hint";
  line.dataset.for = field.name;
  line.setAttribute("role", "status");
  line.append(words, ...buttons.flatMap(([text, act]) => {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "small";
    button.textContent = text;
    button.addEventListener("click", () => {
      line.remove();
      act();
    });
    return [" ", button];
  }));
  old?.remove();
  field.after(line);
};

const fill = (field, entry) => {
  field.value = entry.text;
  for (const [name, value] of entry.along || []) if (field.form.elements[name]) field.form.elements[name].value = value;
  for (let place = field.closest("details"); place; place = place.parentElement.closest("details")) {
    if (!place.matches(".pop")) place.open = true;
  }
  field.dispatchEvent(new Event("input", { bubbles: true })); // others look at what is typed too
};

const put = (field, form, entry) => {
  if (field.value === entry.text || field.value !== field.defaultValue) return; // there already, or typed since
  if (!field.defaultValue || entry.base === field.defaultValue) fill(field, entry);
  else {
    tell(field, "What you typed before is kept; what stands here has changed since.", [
      ["Put it in", () => fill(field, entry)],
      ["Discard it", () => storeOf(field).removeItem(keyOf(form, field.name))],
    ]);
  }
};

// Puts back what this tab had, and what closed tabs left.
export const restore = (root = document) => {
  if (!person) return;
  const forms = [...new Set([...root.querySelectorAll(FORMS), ...(root.closest?.(FORMS) ? [root.closest(FORMS)] : [])])];
  const all = entries();
  if (!all.length) return;
  const foreign = [];
  for (const form of forms) {
    const key = formKey(form);
    for (const field of fieldsOf(form)) {
      const here = all.filter((each) => each.form === key && each.field === field.name);
      const own = here.find(({ owner }) => owner === tab);
      if (own) put(field, form, own.entry);
      else if (here.length) foreign.push([field, form, here.sort((a, b) => b.entry.at - a.entry.at)]);
    }
  }
  if (foreign.length) takeOver(foreign);
};

// Which of the other tabs are open? They answer; a closed one cannot.
const channel = "BroadcastChannel" in window ? new BroadcastChannel("signoff drafts") : null;
const answered = new Set();
channel?.addEventListener("message", ({ data }) => {
  if (data.ask && data.page !== page) channel.postMessage({ here: tab, page });
  if (data.here && data.page !== page) {
    answered.add(data.here);
    if (data.here === tab && data.to === page) rename();
  }
  if (data.hello === tab && data.page !== page) channel.postMessage({ here: tab, page, to: data.page });
});

// A duplicated tab begins with the other's name and text: from here on it writes its own.
const rename = () => {
  const mine = entries().filter(({ owner }) => owner === tab);
  tab = newName();
  sessionStorage.setItem("tab", tab);
  for (const { store, form, field, entry } of mine) store.setItem(["draft", person, tab, form, field].join(SEPARATOR), JSON.stringify(entry));
};

const askOthers = () => {
  channel?.postMessage({ ask: true, page });
  return new Promise((done) => { setTimeout(done, ANSWER); });
};

const takeOver = async (foreign) => {
  await askOthers();
  for (const [field, form, found] of foreign) {
    const left = found.find(({ owner }) => !answered.has(owner));
    if (left && field.isConnected) put(field, form, left.entry);
  }
};

// Forms of an action that a script makes, such as comments at lines: the places at which something was typed.
export const placesTyped = async (action) => {
  const there = entries().filter(({ form }) => form.startsWith(`${action} [`));
  if (there.some(({ owner }) => owner !== tab)) await askOthers();
  const left = there.filter(({ owner }) => owner === tab || !answered.has(owner));
  return [...new Set(left.map(({ form }) => form))].map((form) => JSON.parse(form.slice(action.length + 1)));
};

// It was sent: this tab's entries go, and those that it took over.
export const drop = (form, only = "") => {
  const key = formKey(form);
  const sent = new Map(fieldsOf(form).map((field) => [field.name, field.value]));
  for (const { key: stored, store, owner, form: of, field, entry } of entries()) {
    if (of !== key || (only && field !== only)) continue;
    if (owner === tab || (!answered.has(owner) && sent.get(field) === entry.text)) store.removeItem(stored);
  }
};

// A plain form leaves the page: the server says by a cookie that it was taken, and the next page forgets it.
const sentOf = (nonce) => `sent${SEPARATOR}${nonce}`;
let sender = null;
document.addEventListener("submit", (event) => { sender = event.submitter; }, true);
document.addEventListener("formdata", ({ target, formData }) => {
  if (!person || !target.matches(FORMS)) return;
  const [key, only] = [formKey(target), sender?.dataset.draftOnly];
  const mine = entries().filter(({ form, field }) => form === key && (!only || field === only));
  const sent = mine.filter(({ owner, field, entry }) => owner === tab || formData.get(field) === entry.text);
  if (!sent.length) return;
  const nonce = newName();
  formData.set("draft", nonce);
  localStorage.setItem(sentOf(nonce), JSON.stringify({ keys: sent.map(({ key: stored }) => stored), at: Date.now() }));
});

const forget = () => {
  for (const [name, nonce] of [...document.cookie.matchAll(/(signoff_sent_\w+)=(\w+)/g)].map((each) => each.slice(1))) {
    const told = parsed(localStorage.getItem(sentOf(nonce)));
    for (const key of told?.keys ?? []) [localStorage, sessionStorage].forEach((store) => store.removeItem(key));
    localStorage.removeItem(sentOf(nonce));
    if (told) document.cookie = `${name}=; path=/; max-age=0; samesite=lax`;
  }
  const oldest = Date.now() - DAYS * 86_400_000;
  for (const key of Object.keys(localStorage)) {
    const old = /^(draft|sent)\u0000/.test(key) && !(parsed(localStorage.getItem(key))?.at > oldest);
    if (old) localStorage.removeItem(key);
  }
  for (const key of Object.keys(sessionStorage)) {
    const [kind, whose] = key.split(SEPARATOR);
    if (kind === "draft" && whose !== person) sessionStorage.removeItem(key); // another person's secret
  }
};

if (person) {
  forget();
  channel?.postMessage({ hello: tab, page });
  document.addEventListener("input", ({ target }) => {
    const form = formOf(target);
    if (form) write(target, form);
  });
  document.addEventListener("submit", ({ target }) => {
    if (target.matches("form[data-draft]:not([method=post])")) drop(target); // the address has it from here on
  });
  // A form that a script sends: the answer says whether it was taken.
  document.body.addEventListener("htmx:beforeOnLoad", ({ detail: { xhr, requestConfig } }) => {
    const form = requestConfig.elt.closest?.("form") ?? requestConfig.elt;
    if (requestConfig.verb !== "post" || xhr.status < 200 || xhr.status > 299 || !form.matches?.(FORMS)) return;
    drop(form, requestConfig.triggeringEvent?.submitter?.dataset.draftOnly);
  });
  document.body.addEventListener("htmx:load", ({ detail }) => restore(detail.elt));
  restore();
}
