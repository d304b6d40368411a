// One panel of curves: what one series looks like. Which panels there are, and what they show, curves.js decides.
import { exponents, number } from "./figures.js";
import { Tip } from "./curves-tip.js";
import { Source, layout, options, plain, soft, token } from "./plot.js";

const DASHES = ["solid", "dot", "dashdot", "longdashdot"]; // of groups here that have the same colour
const BASELINES = ["dash", "longdash"];
const MANY = 12; // traces; above, a hover names the nearest one only
const LEVELS = { invalid: "--bad", warning: "--warn", info: "--ink-3" };

// A candidate has its own colour on every page, which follows from its number; baselines are grey and dashed.
export const looks = (groups) => {
  const found = new Map();
  const counts = new Map();
  for (const { key, role, colour } of groups) {
    const name = colour ? `--${colour}` : "--base-curve";
    const dashes = role === "baseline" ? BASELINES : DASHES;
    const kind = `${name} ${role}`;
    const at = counts.get(kind) ?? 0;
    counts.set(kind, at + 1);
    found.set(key, { name, dash: dashes[at % dashes.length] });
  }
  return found;
};

// The value of a trace at x, by a straight line between its points; null outside.
export const valueAt = (trace, x) => {
  const at = trace.x.findIndex((each) => each >= x);
  if (at < 0 || (at === 0 && trace.x[0] > x)) return null;
  if (trace.x[at] === x || at === 0) return trace.y[at];
  if (trace.y[at] === null || trace.y[at - 1] === null) return null; // a gap
  const share = (x - trace.x[at - 1]) / (trace.x[at] - trace.x[at - 1]);
  return trace.y[at - 1] + share * (trace.y[at] - trace.y[at - 1]);
};

export class Panel {
  static id(series, difference) { return `${series} ${difference ? "difference" : "values"}`; }

  constructor(series, difference, desk) {
    this.series = series;
    this.difference = difference;
    this.id = Panel.id(series, difference);
    this.desk = desk;
    this.source = new Source();
    this.data = null;
    this.seen = false; // only what came into view is fetched
    this.asked = 0;
    this.own = null; // a zoom of y where several panels share x
    this.place = document.createElement("div");
    this.place.className = "chart panel";
    this.place.dataset.series = series;
    this.place.tabIndex = 0;
    this.place.setAttribute("role", "application");
    this.place.setAttribute("aria-roledescription", "chart");
    this.name(series.replaceAll("_", " "));
    this.place.setAttribute("aria-describedby", "curves-text");
    this.plot = document.createElement("div");
    this.plot.className = "plot";
    this.title = document.createElement("p");
    this.title.className = "panel-title";
    this.line = document.createElement("i");
    this.line.className = "crosshair";
    this.line.hidden = true;
    this.tip = new Tip(this);
    this.place.append(this.title, this.plot, this.line, this.tip.place);
    this.place.addEventListener("keydown", (event) => this.key(event));
    this.place.addEventListener("blur", () => desk.point(null, null));
  }

  // What it is called: the series that it shows, and what the keys do there.
  name(title) {
    const of = this.difference ? `${title}, difference to ${this.desk.reference}` : title;
    this.place.setAttribute("aria-label", `${of}. Left and right read values, Enter lists them with their intervals, plus and minus zoom, 0 shows all.`);
  }

  async load(again = false) {
    const ticket = ++this.asked;
    this.seen = true;
    this.place.setAttribute("aria-busy", "true");
    try {
      const fresh = await this.source.get(this.desk.address(this), again && this.data !== null);
      if (ticket !== this.asked) return; // something newer was asked for
      if (fresh) {
        this.data = fresh;
        this.desk.arrived(this);
        if (this.place.isConnected) await this.draw();
      }
    } catch (error) {
      if (ticket === this.asked && !this.data) this.empty(error.message);
    } finally {
      if (ticket === this.asked) this.place.removeAttribute("aria-busy");
    }
  }

  get shown() {
    return this.data.traces.filter((trace) => !this.desk.hidden.has(trace.key));
  }

  empty(words) {
    Plotly.purge(this.plot);
    this.plot.textContent = words;
    this.place.classList.add("chart-empty");
  }

  async draw() {
    if (!this.data) return;
    this.name(this.data.title);
    this.title.textContent = this.desk.single ? "" : `${this.data.title}${this.difference ? `, difference to ${this.desk.reference}` : ""}`;
    if (!this.data.traces.length) {
      const none = this.difference ? `No run and no baseline logged ${this.data.title.toLowerCase()} at the same place.` : `No run logged ${this.data.title.toLowerCase()}.`;
      this.empty(this.data.offered.length ? none : "No curve was logged yet.");
      return;
    }
    if (this.place.classList.contains("chart-empty")) {
      this.plot.textContent = "";
      this.place.classList.remove("chart-empty");
    }
    const first = !this.plot.data;
    await Plotly.react(this.plot, this.traces(), this.layout(), { ...options, doubleClick: false });
    if (first) this.listen();
    this.place.dataset.drawn = `${this.data.series} ${this.data.traces.length}`;
  }

  listen() {
    this.plot.on("plotly_hover", ({ xvals, points }) => this.desk.point(this, xvals?.[0] ?? points[0].x));
    this.plot.on("plotly_unhover", () => this.desk.point(null, null));
    this.plot.on("plotly_click", ({ points }) => this.desk.read(points[0].x));
    this.plot.on("plotly_doubleclick", () => this.desk.zoom(this, null, null));
    this.plot.on("plotly_relayout", (change) => this.zoomed(change));
  }

  zoomed(change) {
    const read = (axis, log) => {
      const ends = [change[`${axis}.range[0]`], change[`${axis}.range[1]`]];
      return ends.every(Number.isFinite) ? ends.map((end) => (log ? 10 ** end : end)) : null;
    };
    const x = read("xaxis", this.desk.logX);
    const y = read("yaxis", this.logY);
    if (x || y) this.desk.zoom(this, x, y);
  }

  get logY() {
    return this.desk.logY(this);
  }

  line_of(trace, style, look, mark) {
    const colour = token(look.name);
    const name = trace.seed === undefined ? trace.name : `${trace.name} seed ${trace.seed}`;
    const width = trace.role === "baseline" && style.many ? 2.4 : trace.seed !== undefined ? 1.1 : 1.8;
    return {
      x: trace.x, y: trace.y, type: "scatter", mode: trace.x.length > 1 ? "lines" : "markers", name,
      line: { color: colour, width, dash: look.dash }, marker: { color: colour }, opacity: mark,
      connectgaps: false, hoverinfo: "none", // the tip says all of them, sorted
    };
  }

  traces() {
    const many = this.data.traces.length > MANY;
    const under = [];
    const over = [];
    for (const trace of this.shown) {
      const look = this.desk.looks.get(trace.key);
      const colour = token(look.name);
      if (trace.raw) under.push({ x: trace.raw.x, y: trace.raw.y, type: "scatter", mode: "lines", line: { color: soft(colour, 0.22), width: 1 }, hoverinfo: "skip" });
      if (trace.low) {
        const edge = { x: trace.x, type: "scatter", mode: "lines", line: { width: 0 }, hoverinfo: "skip" };
        under.push({ ...edge, y: trace.low }, { ...edge, y: trace.high, fill: "tonexty", fillcolor: soft(colour, many ? 0.08 : 0.18) });
      }
      over.push(this.line_of(trace, { many }, look, trace.seed !== undefined ? 0.75 : 1));
    }
    return [...under, ...over];
  }

  // Where a run logged no number: a cross at the lower edge, and what it was.
  gaps() {
    return this.data.gaps.filter(({ key }) => !this.desk.hidden.has(key));
  }

  // What detectors saw, as upright bands in the colour of its level; the words stand at the top of the first few.
  marks() {
    return this.data.marks.filter(({ key }) => !this.desk.hidden.has(key));
  }

  // The view without outliers: nothing is taken out of the curves, and zooming out shows all.
  range() {
    if (this.own) return this.logY ? this.own.map(Math.log10) : this.own;
    if (!this.desk.clips || !this.data.clip) return undefined;
    const [low, high] = this.data.clip;
    if (!this.logY) return [low, high];
    return low > 0 ? [Math.log10(low), Math.log10(high)] : undefined;
  }

  layout() {
    const { data, desk } = this;
    const logX = desk.logX;
    const range = this.range();
    const marks = this.marks();
    const window = desk.window && (logX ? desk.window.map((x) => Math.log10(Math.max(x, 1e-12))) : desk.window);
    const unit = this.difference ? `${data.unit ? `${data.unit}, ` : ""}difference` : data.unit;
    const position = (x) => (logX ? Math.log10(Math.max(x, 1e-12)) : x);
    const stacked = this.desk.stacked; // panels below each other have their x at the same places
    return layout({
      hovermode: "x",
      ...(stacked ? { margin: { l: 72, r: 14, t: 10, b: 8 } } : {}),
      uirevision: false,
      shapes: marks.map(({ from, to, level }) => ({
        type: from === to ? "line" : "rect", layer: "below", xref: "x", yref: "paper", x0: from, x1: to, y0: 0, y1: 1,
        fillcolor: soft(token(LEVELS[level]), 0.14), line: { color: token(LEVELS[level]), width: from === to ? 1.2 : 0 },
      })),
      annotations: [...this.gaps().map(({ from, words }) => ({
        x: position(from), xref: "x", y: 0, yref: "paper", yanchor: "bottom", showarrow: false, text: "×", hovertext: plain(words), captureevents: true, font: { size: 14, color: token("--bad") },
      })), ...marks.slice(0, 3).map(({ from, level, words }, i) => ({
        x: position(from), xref: "x", y: 1 - i * 0.08, yref: "paper", xanchor: "left", yanchor: "top", showarrow: false, text: plain(words), font: { size: 10, color: token(LEVELS[level]) },
      }))],
      xaxis: { title: { text: data.axis_title, standoff: 6 }, type: logX ? "log" : "linear", ...(window ? { range: window } : { autorange: true, rangemode: logX ? "normal" : "tozero" }) },
      yaxis: { ...(stacked ? { automargin: false } : {}), exponentformat: exponents(this.shown.flatMap((trace) => trace.y)), title: { text: unit, standoff: 8 }, type: this.logY ? "log" : "linear", ...(range ? { range } : { autorange: true }), zeroline: this.difference, zerolinecolor: token("--line-strong") },
    });
  }

  // The shared crosshair: an upright line at x, and where there are few curves their values.
  cross(x, tell) {
    const axis = this.plot._fullLayout?.xaxis;
    if (x === null || !axis || !this.data?.traces.length) {
      this.line.hidden = true;
      this.tip.hide();
      return;
    }
    const left = axis._offset + axis.d2p(x);
    this.line.hidden = !(left >= axis._offset && left <= axis._offset + axis._length);
    this.line.style.left = `${left + this.plot.offsetLeft}px`;
    if (this.line.hidden || (tell && this.shown.length > MANY)) this.tip.hide();
    else this.tip.show(x, left + this.plot.offsetLeft);
  }

  said(x) {
    const values = this.shown.map((trace) => {
      const value = valueAt(trace, x);
      return value === null ? "" : `${trace.name}${trace.seed === undefined ? "" : ` seed ${trace.seed}`} ${number(value)}`;
    });
    return `${this.data.axis_title} ${number(x)}: ${values.filter(Boolean).join("; ") || "no value"}`;
  }

  key(event) {
    if (!this.data?.traces.length || event.ctrlKey || event.metaKey || event.altKey) return;
    if (!this.shown.length) return;
    const longest = this.shown.reduce((best, trace) => (trace.x.length > best.x.length ? trace : best));
    const xs = longest.x;
    const now = this.desk.at === null ? -1 : xs.findIndex((x) => x >= this.desk.at);
    const stride = event.shiftKey ? 10 : 1;
    const go = { ArrowLeft: now < 0 ? xs.length - 1 : now - stride, ArrowRight: now + stride, Home: 0, End: xs.length - 1 }[event.key];
    if (go !== undefined) {
      const x = xs[Math.max(0, Math.min(xs.length - 1, go))];
      this.desk.point(null, x);
      this.desk.say(this.said(x));
    } else if (event.key === "+" || event.key === "=" || event.key === "-") {
      const [low, high] = this.desk.window ?? [Math.min(0, xs[0]), xs.at(-1)];
      const middle = this.desk.at ?? (low + high) / 2;
      const half = ((high - low) / 2) * (event.key === "-" ? 2 : 0.5);
      this.desk.zoom(this, [Math.max(0, middle - half), middle + half], null);
    } else if (event.key === "Enter" && this.desk.at !== null) {
      this.desk.read(this.desk.at);
    } else if (event.key === "0") {
      this.desk.zoom(this, null, null);
    } else {
      return;
    }
    event.preventDefault();
    event.stopPropagation();
  }
}
