// All of the curves in a strip, with the window that is looked at: drag over it, or move its ends by key.
import { Source } from "./plot.js";

const [WIDTH, HEIGHT, POINTS, STEP] = [1000, 40, 200, 0.02];
const make = (name, attributes) => {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
};

export class Overview {
  // `zoom([from, to])` is called with what a person chose, `zoom(null)` for all.
  constructor(host, zoom) {
    this.host = host;
    this.zoom = zoom;
    this.source = new Source();
    this.svg = make("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", "aria-hidden": "true" });
    this.brush = document.createElement("i");
    this.ends = ["Begin of the window", "End of the window"].map((label, at) => this.handle(label, at));
    host.append(this.svg, this.brush, ...this.ends);
    host.addEventListener("pointerdown", (event) => this.drag(event));
  }

  handle(label, at) {
    const made = document.createElement("span");
    made.className = "brush-end";
    made.tabIndex = 0;
    made.setAttribute("role", "slider");
    made.setAttribute("aria-label", label);
    made.addEventListener("keydown", (event) => {
      const by = { ArrowLeft: -STEP, ArrowRight: STEP }[event.key];
      if (!by || !this.window) return;
      event.preventDefault();
      const next = [...this.window];
      next[at] += by * (this.high - this.low);
      this.choose(next);
    });
    return made;
  }

  // `data` is what a panel shows, `whole` the address of the same without a window.
  async show(data, window, logX, whole, look) {
    if (!window) this.data = data;
    else if (!this.data || this.data.series !== data.series || this.data.axis !== data.axis) this.data = await this.source.get(whole, false);
    const xs = this.data.traces.flatMap(({ x }) => [x[0], x.at(-1)]);
    this.host.hidden = logX || !xs.length; // on a logarithmic axis the strip would show another place
    if (this.host.hidden) return;
    [this.low, this.high] = [Math.min(0, ...xs), Math.max(...xs)];
    this.window = window ?? [this.low, this.high];
    this.draw(look);
  }

  draw(look) {
    const values = this.data.traces.flatMap(({ y }) => y.filter((each) => each !== null));
    const [low, high] = this.data.clip ?? [Math.min(...values), Math.max(...values)];
    const lines = this.data.traces.map((trace) => {
      const stride = Math.max(1, Math.floor(trace.x.length / POINTS));
      const points = trace.x.map((x, i) => [x, trace.y[i]]).filter(([, y], i) => y !== null && i % stride === 0);
      const at = points.map(([x, y]) => `${(this.share(x) * WIDTH).toFixed(1)},${(HEIGHT - 2 - Math.max(0, Math.min(1, (y - low) / (high - low || 1))) * (HEIGHT - 4)).toFixed(1)}`);
      return make("polyline", { points: at.join(" "), class: look(trace.key).name.slice(2) });
    });
    this.svg.replaceChildren(...lines);
    this.place();
  }

  share(x) { return (x - this.low) / (this.high - this.low || 1); }

  place() {
    const [from, to] = this.window.map((x) => Math.max(0, Math.min(1, this.share(x))));
    [this.brush.style.left, this.brush.style.width] = [`${from * 100}%`, `${(to - from) * 100}%`];
    [from, to].forEach((at, i) => {
      this.ends[i].style.left = `${at * 100}%`;
      for (const [name, value] of Object.entries({ valuemin: this.low, valuemax: this.high, valuenow: this.window[i] })) this.ends[i].setAttribute(`aria-${name}`, String(Number(value.toPrecision(6))));
    });
  }

  choose([from, to]) {
    const [low, high] = [Math.max(this.low, Math.min(from, to)), Math.min(this.high, Math.max(from, to))];
    if (high - low < (this.high - this.low) * 0.005) return;
    this.zoom(low <= this.low && high >= this.high ? null : [low, high]);
  }

  drag(event) {
    const box = this.host.getBoundingClientRect();
    const at = ({ clientX }) => this.low + Math.max(0, Math.min(1, (clientX - box.left) / box.width)) * (this.high - this.low);
    const end = this.ends.indexOf(event.target);
    const from = end < 0 ? at(event) : this.window[1 - end]; // an end that is taken moves against the other one
    event.preventDefault();
    event.target.focus();
    this.host.setPointerCapture(event.pointerId);
    const move = (each) => {
      this.window = [from, at(each)].sort((a, b) => a - b);
      this.place();
    };
    this.host.addEventListener("pointermove", move);
    this.host.addEventListener("pointerup", (last) => {
      this.host.removeEventListener("pointermove", move);
      this.choose([from, at(last)]);
    }, { once: true });
  }
}
