// Every experiment of the project by number: its score, the time it saves or its time to the target; the best so far, what
// landed, and the baseline's band.
import { exponents } from "./figures.js";
import { Address, Source, layout, options, plain, soft, stayCurrent, token } from "./plot.js";

const [place, words, note, say, measures] = ["", "-text", "-note", "-say", "-measures"].map((end) => document.getElementById(`progress${end}`));
const source = new Source();
const address = new Address({ measure: "score" });
const view = address.read();
let data = null;
let at = -1; // the experiment that keys have come to
let asked = 0;

const LOOKS = {
  tried: { name: "tried", colour: "--tried", symbol: "circle", size: 6 },
  waiting: { name: "at the gate", colour: "--accent", symbol: "diamond", size: 9 },
  landed: { name: "landed", colour: "--good", symbol: "circle", size: 10 },
};
const drawable = (kind) => data.points[kind].filter((p) => p.y !== null);

// No <b> in these: Plotly would write it as an inline style, which the policy forbids.
const dots = () => Object.entries(LOOKS).map(([kind, look]) => {
  const points = drawable(kind);
  return {
    x: points.map((p) => p.x), y: points.map((p) => p.y), type: "scatter", mode: kind === "landed" ? "markers+text" : "markers", name: look.name,
    text: points.map((p) => `C-${p.x}`), textposition: "top center", textfont: { color: token("--good"), size: 11 },
    customdata: points.map((p) => [plain(p.words).replace(/(.{48}\S*)\s/g, "$1<br>"), p.about, plain(p.told)]),
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

const draw = async () => {
  if (!data) return;
  const every = Object.values(data.points).flat();
  const scores = every.filter((p) => p.y !== null).map((p) => p.y);
  const last = Math.max(0, ...every.map((p) => p.x), ...data.best.x);
  const empty = data.measure === "score" ? (data.bands.length ? "No experiment was compared with the baseline yet." : "The baseline's runs come first.") : "Nothing can be read off yet.";
  const waiting = scores.length ? [] : [{ xref: "paper", yref: "paper", x: 0.5, y: 0.85, text: empty, showarrow: false, font: { size: 13, color: token("--ink-2") } }];
  await Plotly.react(place, [best(), ...dots(), unscored()], layout({
    hovermode: "closest",
    uirevision: data.measure, // a zoom outlives new points, not another measure
    shapes: bands(last + 1),
    annotations: waiting,
    xaxis: { title: { text: "candidate", standoff: 6 }, range: [0.2, last + Math.max(1, last * 0.03) + 0.3], tickformat: "d", nticks: Math.min(12, last + 2), anchor: "y2" },
    yaxis: { title: { text: data.title, standoff: 8 }, range: range(scores), tickformat: data.measure === "saved" ? ".0%" : "", exponentformat: exponents(scores), domain: [data.points.unscored.length ? 0.08 : 0, 1] },
    yaxis2: { domain: [0, 0.06], range: [0, 1], visible: false, fixedrange: true },
  }), options);
  place.dataset.drawn = data.measure;
};

const describe = () => {
  const count = Object.entries(data.points).map(([kind, points]) => `${points.length} ${kind}`).join(", ");
  const band = data.bands.at(-1);
  words.textContent = `${data.title} of every experiment by number: ${count}. ${band?.n ? `Baseline ${band.number}: ${band.told} over ${band.n} runs. ` : ""}${data.best.y.length ? `Best so far ${data.best_told}.` : ""} The list of candidates holds the same as a table.`;
  note.textContent = data.note || " ";
  for (const each of measures.querySelectorAll("[data-measure]")) each.setAttribute("aria-pressed", String(each.dataset.measure === data.measure));
};

const load = async (again = false) => {
  const ticket = ++asked;
  try {
    const fresh = await source.get(`${place.dataset.source}?${new URLSearchParams({ measure: view.measure })}`, again);
    if (!fresh || ticket !== asked) return;
    const first = !data;
    data = fresh;
    describe();
    await draw();
    if (first) place.on("plotly_click", ({ points: [point] }) => { if (point.customdata) location.assign(`${data.address}${point.x}/`); });
  } catch (error) {
    if (!data) words.textContent = place.textContent = error.message;
  }
};

measures.addEventListener("click", ({ target }) => {
  const chosen = target.closest("[data-measure]")?.dataset.measure;
  if (!chosen || chosen === view.measure) return;
  view.measure = chosen;
  address.write(view);
  load();
});

// Left and right go from experiment to experiment, Enter opens the one that is told.
place.tabIndex = 0;
place.setAttribute("role", "application");
place.setAttribute("aria-roledescription", "chart");
place.setAttribute("aria-label", "Every experiment. Left and right read them, Enter opens one.");
place.setAttribute("aria-describedby", words.id);
place.addEventListener("keydown", (event) => {
  if (!data || event.ctrlKey || event.metaKey || event.altKey) return;
  const found = Object.keys(LOOKS).flatMap((kind, i) => drawable(kind).map((p, number) => ({ ...p, curve: i + 1, number }))).sort((a, b) => a.x - b.x);
  if (!found.length) return;
  const stride = event.shiftKey ? 10 : 1;
  const go = { ArrowLeft: at < 0 ? found.length - 1 : at - stride, ArrowRight: at + stride, Home: 0, End: found.length - 1 }[event.key];
  if (go !== undefined) {
    at = Math.max(0, Math.min(found.length - 1, go));
    const { x, told, words: text, about, curve, number } = found[at];
    Plotly.Fx.hover(place, [{ curveNumber: curve, pointNumber: number }]);
    say.textContent = `C-${x}, ${told}, ${about}: ${text}`;
  } else if (event.key === "Enter" && at >= 0) location.assign(`${data.address}${found[at].x}/`);
  else return;
  event.preventDefault();
  event.stopPropagation();
});

stayCurrent("progress", () => load(true), draw);
load();
