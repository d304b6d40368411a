// Constants against effects: a scatter of one, and parallel coordinates of all, read off the table that stands above them.
// The lines are drawn as SVG traces: Plotly's own parallel coordinates need WebGL, name no line under the pointer and dash none.
import { number } from "./figures.js";
import { layout, options, plain, token } from "./plot.js";

const AXES = 8; // of the parallel coordinates, beside the effect
const place = document.getElementById("constants");
let read = null;

const value = (text) => {
  const trimmed = text.trim().replaceAll("_", "").replace("−", "-");
  return trimmed !== "" && Number.isFinite(Number(trimmed)) ? Number(trimmed) : null;
};
const real = (text) => (text === undefined ? null : Number(text));

// The table as numbers: candidates with an effect, the baselines at 0, and constants of which at least two values are numbers.
const parse = (table) => {
  const sides = [...table.tHead.rows[0].cells].slice(1).map(({ dataset }) => ({
    name: dataset.side, colour: dataset.colour, effect: dataset.effect === undefined && !dataset.colour ? 0 : real(dataset.effect), low: real(dataset.low), high: real(dataset.high),
  }));
  const knobs = [...table.tBodies[0].rows].map((row) => ({ name: row.cells[0].textContent.trim(), values: [...row.cells].slice(1).map((cell) => value(cell.textContent)) }));
  return { sides, metric: table.dataset.metric, knobs: knobs.filter(({ values }) => new Set(values.filter((each, i) => each !== null && sides[i].effect !== null)).size > 1) };
};

const colourOf = (side) => token(side.colour ? `--${side.colour}` : "--base-curve");
const told = (side) => `${side.name}: ${number(side.effect)}${side.low === null ? "" : ` [${number(side.low)}, ${number(side.high)}]`}`;

const scatter = (host, { sides, metric }, knob) => {
  const traces = sides.map((side, i) => ({ side, x: knob.values[i] })).filter(({ side, x }) => x !== null && side.effect !== null).map(({ side, x }) => ({
    x: [x], y: [side.effect], name: plain(side.name), type: "scatter", mode: "markers+text", text: [plain(side.name)], textposition: "middle right", cliponaxis: false, textfont: { size: 10, color: token("--ink-2") },
    marker: { color: colourOf(side), size: 9, symbol: side.colour ? "circle" : "diamond-open" }, hovertemplate: `${plain(told(side))}<br>${plain(knob.name)} ${number(x)}<extra></extra>`,
    ...(side.low === null ? {} : { error_y: { type: "data", symmetric: false, array: [side.high - side.effect], arrayminus: [side.effect - side.low], color: colourOf(side), thickness: 1.4, width: 4 } }),
  }));
  host.setAttribute("aria-label", `Effect in ${metric} against ${knob.name}. ${sides.map((side, i) => (knob.values[i] === null || side.effect === null ? "" : `${knob.name} ${number(knob.values[i])}, ${told(side)}`)).filter(Boolean).join("; ")}.`);
  return Plotly.react(host, traces, layout({ xaxis: { title: { text: plain(knob.name) } }, yaxis: { title: { text: `effect, ${plain(metric)}` }, zeroline: true, zerolinecolor: token("--line-strong") } }), options);
};

const parallel = (host, { sides, knobs }) => {
  const effect = { name: "effect", values: sides.map((side) => side.effect) };
  const axes = [...knobs.slice(0, AXES), effect].map((axis) => {
    const finite = axis.values.filter((each) => each !== null);
    const [low, high] = [Math.min(...finite), Math.max(...finite)];
    return { ...axis, low, high, at: (each) => (each === null ? null : high > low ? (each - low) / (high - low) : 0.5) };
  });
  const traces = sides.map((side, i) => ({ side, i })).filter(({ side }) => side.effect !== null).map(({ side, i }) => ({
    x: axes.map((_, at) => at), y: axes.map((axis) => axis.at(axis.values[i])), name: plain(side.name), type: "scatter", mode: "lines+markers", connectgaps: false,
    line: { color: colourOf(side), width: 1.8, dash: side.colour ? "solid" : "dash" }, marker: { color: colourOf(side), size: 6 },
    customdata: axes.map((axis) => number(axis.values[i])), text: axes.map((axis) => plain(axis.name)), hovertemplate: `${plain(side.name)}<br>%{text} %{customdata}<extra></extra>`,
  }));
  const annotations = axes.flatMap((axis, at) => [[1.02, axis.high, "bottom"], [-0.02, axis.low, "top"]].map(([y, each, yanchor]) => ({ x: at, y, text: number(each, 3), showarrow: false, yanchor, font: { size: 10 } })));
  const shapes = axes.map((_, at) => ({ type: "line", x0: at, x1: at, y0: 0, y1: 1, layer: "below", line: { color: token("--line-strong"), width: 1 } }));
  host.setAttribute("aria-label", `Parallel coordinates of ${axes.map(({ name }) => name).join(", ")} for ${sides.filter((side) => side.effect !== null).map(told).join("; ")}. The table above has the values.`);
  return Plotly.react(host, traces, layout({
    hovermode: "closest", annotations, shapes,
    xaxis: { tickvals: axes.map((_, at) => at), ticktext: axes.map(({ name }) => plain(name)), showgrid: false, range: [-0.3, axes.length - 0.7] }, yaxis: { visible: false, range: [-0.14, 1.14] },
  }), options);
};

const draw = () => {
  const host = place?.querySelector(".knobs");
  if (!host || !read) return;
  const select = host.querySelector("[data-knob]");
  scatter(host.querySelector("[data-scatter]"), read, read.knobs[select.selectedIndex] ?? read.knobs[0]);
  parallel(host.querySelector("[data-parallel]"), read);
};

const begin = () => {
  const table = place?.querySelector("table[data-knobs]");
  if (!table) return;
  read = parse(table);
  const host = place.querySelector(".knobs");
  if (!read.knobs.length || read.sides.filter((side) => side.colour && side.effect !== null).length < 2) return;
  host.hidden = false;
  host.querySelector("[data-knob]").replaceChildren(...read.knobs.map(({ name }) => new Option(name)));
  draw();
};

document.body.addEventListener("htmx:afterSettle", (event) => { if (event.detail.target === place) begin(); });
place?.addEventListener("change", (event) => { if (event.target.matches("[data-knob]")) draw(); });
document.addEventListener("signoff:theme", draw);
begin();
