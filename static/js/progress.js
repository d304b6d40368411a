// Every experiment of the project: its score by number, the best so far, what landed, and the baseline's band.
import { Source, layout, options, plain, soft, stayCurrent, token } from "./plot.js";

const place = document.getElementById("progress");
const words = document.getElementById("progress-text");
const source = new Source();
let data = null;

const LOOKS = {
  tried: { name: "tried", colour: "--tried", symbol: "circle", size: 6 },
  waiting: { name: "at the gate", colour: "--accent", symbol: "diamond", size: 9 },
  landed: { name: "landed", colour: "--good", symbol: "circle", size: 10 },
};

// No <b> in these: Plotly would write it as an inline style, which the policy forbids.
const dots = () => Object.entries(LOOKS).map(([kind, look]) => {
  const points = data.points[kind];
  return {
    x: points.map((p) => p.x), y: points.map((p) => p.y), type: "scatter", mode: kind === "landed" ? "markers+text" : "markers", name: look.name,
    text: points.map((p) => `C-${p.x}`), textposition: "top center", textfont: { color: token("--good"), size: 11 },
    customdata: points.map((p) => [plain(p.words).replace(/(.{48}\S*)\s/g, "$1<br>"), p.about, p.score]),
    hovertemplate: "C-%{x} %{customdata[2]}<br>%{customdata[0]}<br>%{customdata[1]}<extra></extra>",
    marker: { color: token(look.colour), symbol: look.symbol, size: look.size, line: { color: token("--surface"), width: 1 } },
  };
});

const unscored = () => ({
  x: data.points.unscored.map((p) => p.x), y: data.points.unscored.map(() => 0.5), yaxis: "y2", type: "scatter", mode: "markers", name: "no score",
  customdata: data.points.unscored.map((p) => [plain(p.words).replace(/(.{48}\S*)\s/g, "$1<br>"), p.about]),
  hovertemplate: "C-%{x}<br>%{customdata[0]}<br>%{customdata[1]}<extra></extra>",
  marker: { color: token("--bad"), symbol: "x-thin", size: 7, line: { color: token("--bad"), width: 1.5 } },
});

const best = () => ({ x: data.best.x, y: data.best.y, type: "scatter", mode: "lines", name: "best so far", line: { color: token("--accent"), width: 1.4, shape: "hv", dash: "dot" }, hoverinfo: "skip" });

const bands = (end) => data.bands.flatMap((band, i) => {
  const to = data.bands[i + 1]?.from ?? end;
  const x0 = band.from + (i ? 0.5 : -0.5);
  const x1 = to + 0.5;
  const line = { type: "line", layer: "below", x0, x1, y0: band.mean, y1: band.mean, line: { color: token("--base-curve"), width: 1.2 } };
  if (band.std === null) return [line];
  return [{ type: "rect", layer: "below", x0, x1, y0: band.mean - band.std, y1: band.mean + band.std, line: { width: 0 }, fillcolor: soft(token("--base-curve"), 0.18) }, line];
});

// One diverged experiment must not flatten the rest: the view holds what lies near the baseline, zooming out shows all.
const range = (scores) => {
  const reach = scores.length ? 3 : 10; // nothing but a band would fill the chart
  const edges = data.bands.flatMap((b) => [b.mean - (b.std ?? 0) * reach, b.mean + (b.std ?? 0) * reach]);
  const sorted = [...scores].sort((a, b) => a - b);
  const pick = (share) => sorted[Math.round(share * (sorted.length - 1))];
  const all = sorted.length ? [...edges, pick(0), pick(1)] : edges;
  if (!all.length) return undefined;
  if (!sorted.length) return [Math.min(...edges), Math.max(...edges)];
  const middle = sorted.length > 8 ? pick(0.75) - pick(0.25) : Infinity;
  const good = data.direction === "lower" ? [Math.min(...all), Math.min(Math.max(...all), Math.max(...edges, pick(0.75) + 4 * middle))] : [Math.max(Math.min(...all), Math.min(...edges, pick(0.25) - 4 * middle)), Math.max(...all)];
  const room = (good[1] - good[0] || 0.1) * 0.1;
  return [good[0] - room, good[1] + room];
};

const draw = () => {
  if (!data) return;
  const every = Object.values(data.points).flat();
  const scores = every.filter((p) => p.y !== null).map((p) => p.y);
  const last = Math.max(0, ...every.map((p) => p.x), ...data.best.x);
  const waiting = every.length ? [] : [{ xref: "paper", yref: "paper", x: 0.5, y: 0.85, text: data.bands.length ? "No experiment has a score yet." : "The baseline's runs come first.", showarrow: false, font: { size: 13, color: token("--ink-2") } }];
  Plotly.react(place, [best(), ...dots(), unscored()], layout({
    hovermode: "closest",
    uirevision: "progress",
    shapes: bands(last + 1),
    annotations: waiting,
    xaxis: { title: { text: "candidate", standoff: 6 }, range: [0.2, last + Math.max(1, last * 0.03) + 0.3], tickformat: "d", nticks: Math.min(12, last + 2), anchor: "y2" },
    yaxis: { title: { text: data.metric, standoff: 8 }, range: range(scores), domain: [data.points.unscored.length ? 0.08 : 0, 1] },
    yaxis2: { domain: [0, 0.06], range: [0, 1], visible: false, fixedrange: true },
  }), options);
};

const describe = () => {
  const count = Object.entries(data.points).map(([kind, points]) => `${points.length} ${kind}`).join(", ");
  const band = data.bands.at(-1);
  words.textContent = `${data.metric} of every experiment by number: ${count}. ${band ? `Baseline ${band.number}: mean ${band.mean.toPrecision(5)} over ${band.n} runs. ` : ""}${data.best.y.length ? `Best so far ${data.best.y.at(-1).toPrecision(5)}.` : ""} The list of candidates holds the same as a table.`;
  place.setAttribute("role", "img");
  place.setAttribute("aria-labelledby", words.id);
};

const load = async (again = false) => {
  try {
    const fresh = await source.get(place.dataset.source, again);
    if (!fresh) return;
    const first = !data;
    data = fresh;
    describe();
    draw();
    if (first) place.on("plotly_click", ({ points: [point] }) => { if (point.customdata) location.assign(`${data.address}${point.x}/`); });
  } catch (error) {
    if (!data) words.textContent = place.textContent = error.message;
  }
};

stayCurrent("progress", () => load(true), draw);
load();
