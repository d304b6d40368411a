// Loss curves and their siblings: a mean with its band per group of seeds, one line for a single run.
import { Source, layout, options, plain, soft, stayCurrent, token } from "./plot.js";

const place = document.getElementById("curves");
const tabs = document.getElementById("curves-series");
const axis = document.getElementById("curves-axis");
const legend = document.getElementById("curves-legend");
const words = document.getElementById("curves-text");
const source = new Source();
let series = "val_loss";
let data = null;

const colour = (trace) => token(trace.role === "baseline" ? "--base-curve" : "--cand-curve");
const label = (trace) => `${trace.name} · ${trace.n === 1 ? "n = 1, one line" : `n = ${trace.n}, mean ± std`}`;

const traces = () => data.traces.flatMap((trace) => {
  const line = { x: trace.x, y: trace.y, type: "scatter", mode: trace.x.length > 1 ? "lines" : "markers", name: trace.name, line: { color: colour(trace), width: 1.8 }, marker: { color: colour(trace) }, hovertemplate: `%{y:.5~g}<extra>${trace.name.replace(/[<>&]/g, "")}</extra>` };
  if (!trace.low) return [line];
  const edge = { x: trace.x, type: "scatter", mode: "lines", line: { width: 0 }, hoverinfo: "skip" };
  return [{ ...edge, y: trace.low }, { ...edge, y: trace.high, fill: "tonexty", fillcolor: soft(colour(trace), 0.2) }, line];
});

// What detectors saw, as upright bands in the colour of its level; the words stand at the top of the first few.
const COLOURS = { invalid: "--bad", warning: "--warn", info: "--ink-3" };
const marks = () => data.marks.map(({ from, to, level }) => ({
  type: from === to ? "line" : "rect", layer: "below", xref: "x", yref: "paper", x0: from, x1: to, y0: 0, y1: 1,
  fillcolor: soft(token(COLOURS[level]), 0.14), line: { color: token(COLOURS[level]), width: from === to ? 1.2 : 0 },
}));
const markWords = () => data.marks.slice(0, 3).map(({ from, level, words: text }, i) => ({
  x: from, xref: "x", y: 1 - i * 0.08, yref: "paper", xanchor: "left", yanchor: "top", showarrow: false, text: plain(text), font: { size: 10, color: token(COLOURS[level]) },
}));

// The steep first drop would flatten all that matters: the view begins where the curves have come below it.
const range = () => {
  if (!/loss/.test(data.series)) return undefined;
  const low = Math.min(...data.traces.flatMap((trace) => trace.y));
  const settled = Math.max(...data.traces.map((trace) => trace.y[Math.floor(trace.y.length * 0.2)] ?? trace.y[0]));
  const top = settled + (settled - low) * 0.08;
  return top > low ? [low - (top - low) * 0.05, top] : undefined;
};

const draw = () => {
  if (!data) return;
  if (!data.traces.length) {
    Plotly.purge(place);
    place.textContent = "No curve was logged yet.";
    place.classList.add("chart-empty");
    return;
  }
  if (place.classList.contains("chart-empty")) {
    place.textContent = "";
    place.classList.remove("chart-empty");
  }
  Plotly.react(place, traces(), layout({
    hovermode: "x unified",
    shapes: marks(),
    annotations: markWords(),
    uirevision: `${data.series} ${data.axis}`, // a zoom outlives new points, not a new axis
    xaxis: { title: { text: data.axis_title, standoff: 6 }, rangemode: "tozero" },
    yaxis: { title: { text: data.unit, standoff: 8 }, range: range(), type: data.series === "grad_norm" ? "log" : "linear" },
  }), options);
};

const describe = () => {
  const said = data.traces.map((trace) => `${label(trace)}: ${trace.y.length} points, from ${trace.y[0]} to ${trace.y.at(-1)}${trace.low ? ` with std ${((trace.high.at(-1) - trace.low.at(-1)) / 2).toPrecision(2)}` : ""}`);
  words.textContent = `${data.title} over ${data.axis_title}. ${said.join(". ") || "No curve was logged yet"}.${data.marks.map((mark) => ` Marked from ${mark.from} to ${mark.to}: ${mark.words}.`).join("")}`;
  place.setAttribute("role", "img");
  place.setAttribute("aria-labelledby", words.id);
  legend.replaceChildren(...data.traces.map((trace) => {
    const item = document.createElement("li");
    const swatch = document.createElement("i");
    swatch.className = `swatch ${trace.role}`;
    item.append(swatch, label(trace));
    return item;
  }));
  tabs.replaceChildren(...data.offered.map(({ name, title }) => {
    const tab = document.createElement("button");
    tab.type = "button";
    tab.textContent = title;
    tab.dataset.series = name;
    tab.setAttribute("aria-pressed", String(name === data.series));
    return tab;
  }));
};

const load = async (again = false) => {
  try {
    const focus = tabs.contains(document.activeElement) ? series : "";
    const fresh = await source.get(`${place.dataset.source}?${new URLSearchParams({ series, x: axis.value })}`, again);
    if (!fresh) return;
    data = fresh;
    series = data.series;
    describe();
    draw();
    if (focus) tabs.querySelector(`[data-series="${CSS.escape(focus)}"]`)?.focus();
  } catch (error) {
    if (!data) words.textContent = place.textContent = error.message;
  }
};

tabs.addEventListener("click", (event) => {
  const tab = event.target.closest("[data-series]");
  if (!tab) return;
  series = tab.dataset.series;
  load();
});
axis.addEventListener("change", () => load());
stayCurrent("curves", () => load(true), draw);
load();
