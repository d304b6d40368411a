// Parts of a page of which one is seen at a time; the address says which (#runs), and a link to anything inside opens its part.
// Without this script all of them stand below each other, and the same links lead to them.
const host = document.querySelector("[data-tabbed]");
const panels = [...host.querySelectorAll("[data-panel]")];
const tabs = [...host.querySelectorAll(".tab")];
const nameOf = (tab) => tab.hash.slice(1);

const choose = (name) => {
  for (const tab of tabs) {
    const chosen = nameOf(tab) === name;
    tab.setAttribute("aria-selected", String(chosen));
    tab.tabIndex = chosen ? 0 : -1;
  }
  for (const panel of panels) panel.hidden = panel.dataset.panel !== name;
};

// The part that an address leads to: by its own name, or by something that stands in it.
const partOf = (hash) => {
  const id = decodeURIComponent(hash.slice(1));
  const place = id && (panels.find((panel) => panel.dataset.panel === id) ?? document.getElementById(id)?.closest("[data-panel]"));
  return place ? place.dataset.panel : null;
};

const follow = () => {
  let name = null;
  try {
    name = partOf(location.hash);
  } catch {
    return; // no valid escape: somebody else's link
  }
  if (!name) return;
  choose(name);
  document.getElementById(decodeURIComponent(location.hash.slice(1)))?.scrollIntoView({ block: "nearest" });
};

host.querySelector(".tab-list").setAttribute("role", "tablist");
for (const tab of tabs) {
  tab.setAttribute("role", "tab");
  tab.id = `tab-${nameOf(tab)}`;
  tab.setAttribute("aria-controls", `panel-${nameOf(tab)}`);
}
for (const panel of panels) {
  panel.id = `panel-${panel.dataset.panel}`;
  panel.setAttribute("role", "tabpanel");
  panel.setAttribute("aria-labelledby", `tab-${panel.dataset.panel}`);
}
host.dataset.tabbed = "yes";
choose(nameOf(tabs[0]));
follow();

host.addEventListener("click", (event) => {
  const tab = event.target.closest(".tab");
  if (!tab || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  history.replaceState(history.state, "", tab.hash);
  choose(nameOf(tab));
});
host.querySelector(".tab-list").addEventListener("keydown", (event) => {
  const at = tabs.indexOf(event.target);
  const to = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: tabs.length - 1 }[event.key];
  const next = at < 0 || to === undefined ? null : tabs[(to + tabs.length) % tabs.length];
  if (!next) return;
  event.preventDefault();
  next.focus();
  next.click();
});
addEventListener("hashchange", follow);
document.addEventListener("click", (event) => {
  const link = event.target.closest("main a[href^='#']");
  if (link && link.hash === location.hash) follow(); // the address stays as it is
});
