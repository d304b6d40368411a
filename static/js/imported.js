// Every score that another loop reported, by row: what was kept, what was discarded, and the noise around what was kept last.
import { exponents } from "./figures.js";
import { Source, layout, options, plain, soft, stayCurrent, token } from "./plot.js";

const [place, words, say] = ["", "-text", "-say"].map((end) => document.getElementById(`imported${end}`));
const source = new Source();
let data = null;
let at = -1; // the row that keys have come to

const LOOKS = {
  discard: { name: "discarded", colour: "--tried", symbol: "circle", size: 6 },
  small: { name: "kept, below the noise floor", colour: "--accent", symbol: "diamond", size: 9 },
  keep: { name: "kept", colour: "--good", symbol: "circle", size: 10 },
  baseline: { name: "baseline", colour: "--base-curve", symbol: "square", size: 9 },
};

const hover = (point) => [plain(point.words).replace(/(.{48}\S*)\s/g, "$1<br>"), point.about, plain(point.told)];

const dots = () => Object.entries(LOOKS).map(([kind, look]) => {
  const points = data.points[kind];
  return {
    x: points.map((p) => p.x), y: points.map((p) => p.y), type: "scatter", mode: "markers", name: look.name,
    customdata: points.map(hover), hovertemplate: "row %{x}: %{customdata[2]}<br>%{customdata[0]}<br>%{customdata[1]}, as reported<extra></extra>",
    marker: { color: token(look.colour), symbol: look.symbol, size: look.size, line: { color: token("--surface"), width: 1 } },
  };
});

const unscored = () => ({
  x: data.points.unscored.map((p) => p.x), y: data.points.unscored.map(() => 0.5), yaxis: "y2", type: "scatter", mode: "markers", name: "no score",
  customdata: data.points.unscored.map(hover), hovertemplate: "row %{x}<br>%{customdata[0]}<br>%{customdata[1]}<extra></extra>",
  marker: { color: token("--bad"), symbol: "x-thin", size: 7, line: { color: token("--bad"), width: 1.5 } },
});

const kept = () => ({
  x: [...data.steps.x, data.last], y: [...data.steps.y, data.steps.y.at(-1) ?? null], type: "scatter", mode: "lines", name: "what was kept last",
  line: { color: token("--accent"), width: 1.4, shape: "hv", dash: "dot" }, hoverinfo: "skip",
});

const bands = () => data.floor === null || data.steps.x.length > data.most_bands ? [] : data.steps.x.map((x, i) => ({
  type: "rect", layer: "below", x0: x, x1: data.steps.x[i + 1] ?? data.last + 0.5, y0: data.steps.y[i] - data.floor, y1: data.steps.y[i] + data.floor,
  line: { width: 0 }, fillcolor: soft(token("--base-curve"), 0.18),
}));

// One diverged run must not flatten the rest; zooming out shows all.
const range = () => {
  const scores = Object.keys(LOOKS).flatMap((kind) => data.points[kind].map((p) => p.y)).sort((a, b) => a - b);
  if (!scores.length) return undefined;
  const pick = (share) => scores[Math.round(share * (scores.length - 1))];
  const steps = data.steps.y.length ? data.steps.y : scores;
  const middle = scores.length > 8 ? pick(0.75) - pick(0.25) : Infinity;
  const lower = data.direction === "lower";
  const low = lower ? pick(0) : Math.max(pick(0), Math.min(...steps, pick(0.25) - 4 * middle));
  const high = lower ? Math.min(pick(1), Math.max(...steps, pick(0.75) + 4 * middle)) : pick(1);
  const room = (high - low || 0.1) * 0.08;
  return [low - room, high + room];
};

const draw = async () => {
  if (!data) return;
  const scores = Object.keys(LOOKS).flatMap((kind) => data.points[kind].map((p) => p.y));
  await Plotly.react(place, [kept(), ...dots(), unscored()], layout({
    hovermode: "closest", shapes: bands(), uirevision: "one",
    annotations: scores.length ? [] : [{ xref: "paper", yref: "paper", x: 0.5, y: 0.5, text: "No row has a score.", showarrow: false, font: { size: 13, color: token("--ink-2") } }],
    xaxis: { title: { text: "row", standoff: 6 }, range: [0.2, data.last + Math.max(1, data.last * 0.03)], tickformat: "d", nticks: Math.min(12, data.last + 2), anchor: "y2" },
    yaxis: { title: { text: plain(data.title), standoff: 8 }, range: range(), exponentformat: exponents(scores), domain: [data.points.unscored.length ? 0.08 : 0, 1] },
    yaxis2: { domain: [0, 0.06], range: [0, 1], visible: false, fixedrange: true },
  }), options);
  place.dataset.drawn = "yes";
};

const load = async (again = false) => {
  try {
    const fresh = await source.get(place.dataset.source, again);
    if (!fresh) return;
    const first = !data;
    data = fresh;
    const count = Object.entries(data.points).map(([kind, points]) => `${points.length} ${LOOKS[kind]?.name ?? "without a score"}`).join(", ");
    words.textContent = `${data.title} by row: ${count}. The table below holds the same.`;
    await draw();
    if (first) place.on("plotly_click", ({ points: [point] }) => { if (point.customdata) location.assign(`${data.address}${point.x}/`); });
  } catch (error) {
    if (!data) words.textContent = place.textContent = error.message;
  }
};

// Left and right go from row to row, Enter opens the one that is told.
place.tabIndex = 0;
place.setAttribute("role", "application");
place.setAttribute("aria-roledescription", "chart");
place.setAttribute("aria-label", "Every reported score. Left and right read them, Enter opens one.");
place.setAttribute("aria-describedby", words.id);
place.addEventListener("keydown", (event) => {
  if (!data || event.ctrlKey || event.metaKey || event.altKey) return;
  const found = Object.keys(LOOKS).flatMap((kind, i) => data.points[kind].map((p, number) => ({ ...p, curve: i + 1, number }))).sort((a, b) => a.x - b.x);
  if (!found.length) return;
  const stride = event.shiftKey ? 10 : 1;
  const go = { ArrowLeft: at < 0 ? found.length - 1 : at - stride, ArrowRight: at + stride, Home: 0, End: found.length - 1 }[event.key];
  if (go !== undefined) {
    at = Math.max(0, Math.min(found.length - 1, go));
    const { x, told, words: text, about, curve, number } = found[at];
    Plotly.Fx.hover(place, [{ curveNumber: curve, pointNumber: number }]);
    say.textContent = `Row ${x}, ${told}, ${about}: ${text}`;
  } else if (event.key === "Enter" && at >= 0) location.assign(`${data.address}${found[at].x}/`);
  else return;
  event.preventDefault();
  event.stopPropagation();
});

stayCurrent("imported", () => load(true), draw);
load();
