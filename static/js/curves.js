// The curves of a candidate, a run or a comparison: which series, over what, how. The view stands in the address.
import { Panel, looks, valueAt } from "./curves-panel.js";
import { exportCsv, exportPicture } from "./curves-export.js";
import { Overview } from "./curves-overview.js";
import { Readings } from "./curves-readings.js";
import { number as figure } from "./figures.js";
import { Address, stayCurrent } from "./plot.js";

const find = (id) => document.getElementById(`curves${id && `-${id}`}`);
const [host, tabs, axis, legend, words, note, say, controls, table] = ["", "series", "axis", "legend", "text", "note", "say", "controls", "table"].map(find);
const MAIN = [["val_loss", "Validation loss"], ["train_loss", "Train loss"], ["grad_norm", "Gradient norm"], ["tokens_per_second", "Tokens/s"], ["memory_mb", "Memory"]];
const HOW = { interval: "mean, 95% interval", std: "mean ± std", se: "mean ± standard error", all: "every run" };
const ROWS = 12; // of the table that says what the picture shows

const address = new Address({ series: "val_loss", x: "step", band: "interval", smooth: "0", log: "", clip: "on", show: host.dataset.show, from: "", to: "", low: "", high: "", hide: "", scale: "", at: "", ref: "" });
const view = address.read();
if (new URLSearchParams(location.search).get("view") === "difference") view.show = "difference"; // as older links say it
let panels = [];
let groups = [];
let offered = MAIN.map(([name, title]) => ({ name, title })); // until the data says what there is

const list = (text) => text.split(",").filter(Boolean);
const number = (text) => (text === "" || !Number.isFinite(Number(text)) ? null : Number(text));

// What a panel may ask and tell.
const desk = {
  looks: new Map(),
  at: null,
  get hidden() { return new Set(list(view.hide)); },
  get stacked() { return host.classList.contains("both"); },
  get single() { return panels.length === 1; },
  get clips() { return view.clip !== "off"; },
  swatch: (key) => swatch_of(key),
  get reference() { return groups.find(({ key }) => key === view.ref)?.name ?? "the baseline"; }, // what differences are to
  get logX() { return view.log.includes("x"); },
  get window() {
    const ends = [number(view.from), number(view.to)];
    return ends.includes(null) || ends[0] >= ends[1] ? null : ends;
  },
  logY: ({ series, difference }) => !difference && (view.log === "" ? series === "grad_norm" : view.log.includes("y")),

  address(panel) {
    const { x, band, smooth, log, from, to, scale, ref } = view;
    const at = panel === panels[0] ? view.at : ""; // read off the first panel alone
    const seen = panel.difference ? "difference" : "";
    const asked = Object.entries({ series: panel.series, x, band, smooth, log, view: seen, from, to, scale, at, ref }).filter(([, value]) => value !== "" && value !== "0");
    return `${host.dataset.source}${host.dataset.source.includes("?") ? "&" : "?"}${new URLSearchParams(asked)}`;
  },

  arrived(panel) {
    groups = panel.data.groups;
    desk.looks = looks(groups);
    if (panel === panels[0]) {
      offer(panel.data);
      readings.show(panel.data);
      survey();
    }
    describe();
  },

  // Over all panels; the one under the pointer shows its values by itself.
  point(from, x) {
    if (x === desk.at) return; // the others say the same when they are told
    desk.at = x;
    for (const panel of panels) panel.cross(x, panel !== from);
  },

  zoom(panel, x, y) {
    const all = x === null && y === null;
    const before = `${view.from} ${view.to}`;
    if (x || all) [view.from, view.to] = x ? x.map((end) => String(Number(end.toPrecision(6)))) : ["", ""];
    if (all) for (const each of panels) each.own = null;
    else if (y) panel.own = y;
    [view.low, view.high] = desk.single && panels[0].own ? panels[0].own.map((end) => String(Number(end.toPrecision(6)))) : ["", ""];
    address.write(view);
    if (`${view.from} ${view.to}` === before) redraw();
    else reload(); // the server cuts the window into buckets of its own
  },

  say(text) { say.textContent = text; },

  // A click on a curve: what all of them say there, with their uncertainty.
  read(x) { place(String(Number(x.toPrecision(8))), view.ref); },
};

const place = (at, ref) => {
  const other = ref !== view.ref;
  [view.at, view.ref] = [at, ref];
  address.write(view);
  readings.write(view);
  panels[0]?.load();
  if (other) for (const panel of panels.slice(1)) if (panel.seen && panel.difference) panel.load();
};
const strip = find("overview");
const overview = strip && new Overview(strip, (window) => desk.zoom(panels[0], window, null));
const survey = () => {
  const whole = desk.address(panels[0]).replace(/&(from|to)=[^&]*/g, "");
  overview?.show(panels[0].data, desk.window, desk.logX, whole, (key) => desk.looks.get(key) ?? { name: "--base-curve" });
};
const readings = new Readings(find("readings"), place, swatch_of);

const redraw = () => {
  for (const panel of panels) panel.draw();
  describe();
};
const reload = (again = false) => {
  for (const panel of panels) if (panel.seen) panel.load(again);
  annotate();
};

const label = ({ key, name, title, n }) => {
  const trace = panels[0]?.data?.traces.find((each) => each.key === key);
  const drawn = trace ? trace.n : n;
  const how = HOW[view.band] ?? HOW.interval;
  return `${name}${title ? ` ${title}` : ""} · ${drawn === 1 ? "n = 1, one line" : `n = ${drawn}${drawn ? `, ${how}` : ""}`}`;
};

function swatch_of(key) {
  const look = desk.looks.get(key);
  return look ? swatch(look) : "";
}

const swatch = (look) => {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  const line = document.createElementNS("http://www.w3.org/2000/svg", "line");
  svg.setAttribute("class", "line-swatch");
  svg.setAttribute("width", "18");
  svg.setAttribute("height", "8");
  svg.setAttribute("aria-hidden", "true");
  for (const [name, value] of Object.entries({ x1: 0, x2: 18, y1: 4, y2: 4, class: `${look.name.slice(2)} ${look.dash}` })) line.setAttribute(name, value);
  svg.append(line);
  return svg;
};

// The same elements stay where nothing changed: a live update moves no focus and no layout.
const renew = (place, items, make) => {
  const key = JSON.stringify(items);
  if (place.dataset.items === key) return;
  const focus = place.contains(document.activeElement) ? document.activeElement.dataset.focus : null;
  place.dataset.items = key;
  place.replaceChildren(...items.map(make));
  if (focus) place.querySelector(`[data-focus="${CSS.escape(focus)}"]`)?.focus();
};

const button = (text, focus, pressed) => {
  const made = document.createElement("button");
  made.type = "button";
  made.textContent = text;
  made.dataset.focus = focus;
  if (pressed !== undefined) made.setAttribute("aria-pressed", String(pressed));
  return made;
};

const offer = (data) => {
  if (data.offered.length) offered = data.offered;
  if (data.offered.length && list(view.series).length === 1 && view.series !== "all" && !offered.some(({ name }) => name === view.series)) choose(offered[0].name, false);
  tabulate();
  const scales = controls.querySelector("[data-view=scale]");
  renew(scales, data.scales, (scale) => new Option(`scale ${scale}`, scale));
  scales.closest("label").hidden = data.scales.length < 2;
  scales.value = data.scale;
};

const tabulate = () => {
  const chosen = list(view.series);
  const entries = offered.map(({ name, title }) => [name, title, chosen.includes(name)]);
  if (offered.length > 1) entries.push(["all", "All", view.series === "all"]);
  renew(tabs, entries, ([name, title, pressed]) => {
    const tab = button(title, name, pressed);
    tab.dataset.series = name;
    if (name !== "all") tab.title = `${title}; with Shift beside the others`;
    return tab;
  });
};

const describe = () => {
  renew(legend, groups.map((group) => [group.key, label(group), desk.hidden.has(group.key)]), ([key, text, hidden]) => {
    const item = document.createElement("li");
    const toggle = button("", key, !hidden);
    toggle.className = "plain";
    toggle.dataset.group = key;
    toggle.title = "Only this one; again: all; with Shift: this one off or on";
    toggle.append(swatch(desk.looks.get(key)), text);
    item.append(toggle);
    return item;
  });
  words.textContent = panels.filter((panel) => panel.data).map(told).join(" ");
  annotate();
  if (table.closest("details").open) fill();
};

const told = ({ data, shown, difference }) => {
  const said = shown.map((trace) => `${label(trace)}: ${trace.y.length} points, from ${figure(trace.y[0])} to ${figure(trace.y.at(-1))}${trace.low ? ` within ${figure(trace.low.at(-1))} to ${figure(trace.high.at(-1))}` : ""}`);
  const marks = data.marks.map((mark) => ` Marked from ${figure(mark.from)} to ${figure(mark.to)}: ${mark.words}.`).join("");
  const holes = data.gaps.map((gap) => ` ${gap.words}${gap.from === gap.to ? `, ${figure(gap.from)}` : ` from ${figure(gap.from)} to ${figure(gap.to)}`}.`).join("");
  return `${data.title}${difference ? `, difference to ${desk.reference},` : ""} over ${data.axis_title}. ${said.join(". ") || "No curve was logged yet"}.${marks}${holes}`;
};

// One line under the curves: what was left out of the picture, and how to get it back.
const annotate = () => {
  const first = panels.find((panel) => panel.data)?.data;
  const parts = [];
  if (desk.window || panels.some((panel) => panel.own)) parts.push("Zoomed; a double click or 0 shows all.");
  else if (first?.outside && desk.clips && !desk.logY(panels[0])) parts.push(`${first.outside.toLocaleString("en")} point${first.outside === 1 ? " lies" : "s lie"} outside the view.`);
  const holes = first ? new Set(first.gaps.map(({ key }) => key)).size : 0;
  if (holes) parts.push(`× marks where no number was logged (${first.gaps[0].words}${first.gaps.length > 1 ? ", …" : ""}); the line is broken there.`);
  if (view.smooth !== "0") parts.push(`Smoothed (${view.smooth}), as logged in the shadow. Verdicts never read smoothed curves.`);
  if (panels.some((panel) => panel.difference)) parts.push(`Difference: less the mean of ${desk.reference} at the same place.`);
  note.textContent = parts.join(" ") || " ";
};

// What the picture shows as a table: values at a dozen places.
const fill = () => {
  const made = panels.filter((panel) => panel.data?.traces.length).map(({ data, shown, difference }) => {
    const longest = shown.reduce((best, trace) => (trace.x.length > best.x.length ? trace : best), shown[0]);
    const count = Math.min(ROWS, longest.x.length);
    const places = Array.from({ length: count }, (_, i) => longest.x[Math.round((i * (longest.x.length - 1)) / Math.max(1, count - 1))]);
    const grid = document.createElement("table");
    grid.createCaption().textContent = `${data.title}${data.unit ? `, ${data.unit}` : ""}${difference ? `, difference to ${desk.reference}` : ""}`;
    const head = grid.createTHead().insertRow();
    for (const text of [data.axis_title, ...shown.map((trace) => (trace.seed === undefined ? `${trace.name}, n = ${trace.n}` : `${trace.name} seed ${trace.seed}`))]) {
      const cell = document.createElement("th");
      cell.scope = "col";
      cell.textContent = text;
      head.append(cell);
    }
    const body = grid.createTBody();
    for (const x of places) {
      const row = body.insertRow();
      const cell = document.createElement("th");
      cell.scope = "row";
      cell.textContent = figure(x);
      row.append(cell);
      for (const trace of shown) {
        const value = valueAt(trace, x);
        row.insertCell().textContent = value === null ? "–" : figure(value);
      }
    }
    return grid;
  });
  table.replaceChildren(...made);
};

const watcher = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) {
    const panel = panels.find((each) => each.place === target);
    if (isIntersecting && panel && !panel.seen) panel.load();
  }
}, { rootMargin: "300px" });

// One panel for each chosen series; those that stay keep what they have.
const arrange = () => {
  const names = offered.map(({ name }) => name);
  const wanted = view.series === "all" ? names : list(view.series);
  const kept = new Map(panels.map((panel) => [panel.id, panel]));
  const sides = { values: [false], difference: [true] }[view.show] ?? [false, true];
  panels = wanted.flatMap((name) => sides.map((side) => kept.get(Panel.id(name, side)) ?? new Panel(name, side, desk)));
  for (const panel of kept.values()) if (!panels.includes(panel)) watcher.unobserve(panel.place);
  host.replaceChildren(...panels.map((panel) => panel.place));
  host.classList.toggle("several", wanted.length > 1);
  host.classList.toggle("both", sides.length > 1 && wanted.length === 1);
  if (desk.single && number(view.low) !== null && number(view.high) !== null) panels[0].own = [number(view.low), number(view.high)];
  panels.forEach((panel) => { if (!panel.seen) watcher.observe(panel.place); });
};

const choose = (series, write = true) => {
  view.series = series;
  [view.low, view.high] = ["", ""];
  for (const panel of panels) panel.own = null;
  if (write) address.write(view);
  tabulate();
  arrange();
  redraw();
};

const show = () => {
  axis.value = view.x;
  for (const control of controls.querySelectorAll("[data-view]")) {
    const { view: name, on } = control.dataset;
    if (control.type !== "checkbox") control.value = view[name] || control.value;
    else if (name === "log") control.checked = on === "x" ? desk.logX : desk.logY({ series: list(view.series)[0], difference: false });
    else control.checked = view[name] === on;
  }
};

const changed = (name, value, needed) => {
  view[name] = value;
  if (name === "x" || name === "scale") [view.from, view.to, view.at] = ["", "", ""]; // a window of another axis means nothing
  readings.write(view);
  if (name !== "clip") for (const panel of panels) panel.own = null;
  [view.low, view.high] = ["", ""];
  address.write(view);
  show();
  if (name === "show") arrange();
  if (needed) reload();
  else redraw();
};

tabs.addEventListener("click", (event) => {
  const name = event.target.closest("[data-series]")?.dataset.series;
  if (!name) return;
  const now = list(view.series).filter((each) => each !== "all");
  if (!event.shiftKey || name === "all") choose(name);
  else if (!now.includes(name)) choose([...now, name].join(","));
  else if (now.length > 1) choose(now.filter((each) => each !== name).join(","));
});
legend.addEventListener("click", (event) => {
  const key = event.target.closest("[data-group]")?.dataset.group;
  if (!key) return;
  const others = groups.map((group) => group.key).filter((each) => each !== key);
  let hidden = desk.hidden;
  if (event.shiftKey) {
    if (!hidden.delete(key)) hidden.add(key);
  } else if (!hidden.has(key) && others.length && others.every((each) => hidden.has(each))) hidden = new Set();
  else hidden = new Set(others);
  view.hide = [...hidden].join(",");
  address.write(view);
  redraw();
});
axis.addEventListener("change", () => changed("x", axis.value, true));
controls.addEventListener("change", ({ target }) => {
  const { view: name, on, off } = target.dataset;
  if (!name) return;
  if (name === "log") {
    const chosen = [...controls.querySelectorAll("[data-view=log]:checked")].map((box) => box.dataset.on).join("");
    changed("log", chosen || "none", true);
  } else if (target.type === "checkbox") changed(name, target.checked ? on : off, name !== "clip");
  else changed(name, target.value, true);
});
controls.addEventListener("click", async ({ target }) => {
  const kind = target.closest("[data-export]")?.dataset.export;
  if (kind === "csv") exportCsv(panels, desk);
  else if (kind) await exportPicture(panels.filter((panel) => panel.plot.data), kind, groups.filter(({ key }) => !desk.hidden.has(key)).map((group) => ({ ...group, words: label(group) })), note.textContent);
  if (target.closest("[data-reset]")) {
    Object.assign(view, address.defaults, { scale: view.scale });
    for (const panel of panels) panel.own = null;
    address.write(view);
    readings.write(view);
    show();
    arrange();
    reload();
  }
});
find("more").addEventListener("click", ({ target }) => {
  controls.hidden = !controls.hidden;
  target.setAttribute("aria-expanded", String(!controls.hidden));
});
find("full").addEventListener("click", async () => {
  const figure = host.closest("figure");
  if (document.fullscreenElement) await document.exitFullscreen();
  else if (figure.requestFullscreen) await figure.requestFullscreen();
});
document.addEventListener("fullscreenchange", () => {
  find("full").setAttribute("aria-pressed", String(Boolean(document.fullscreenElement)));
  dispatchEvent(new Event("resize")); // Plotly measures its place again
});
table.closest("details").addEventListener("toggle", ({ target }) => { if (target.open) fill(); });

const hand = Object.entries(address.defaults).some(([name, value]) => !["series", "x", "hide", "at", "ref", "from", "to", "low", "high"].includes(name) && view[name] !== value);
if (hand) find("more").click(); // a link that sets something shows where
show();
readings.write(view);
tabulate();
arrange();
stayCurrent("curves", () => reload(true), redraw);
