// What all curves of a panel say under the pointer: sorted, the lowest first, each with the half width of its band and n.
import { valueAt } from "./curves-panel.js";
import { number, within } from "./figures.js";

const MOST = 14; // rows

export class Tip {
  constructor(panel) {
    this.panel = panel;
    this.place = document.createElement("div");
    this.place.className = "curve-tip";
    this.place.hidden = true;
  }

  hide() { this.place.hidden = true; }

  // At x of the axis, `left` pixels into the panel.
  show(x, left) {
    const { data, desk } = this.panel;
    const rows = this.rows(x);
    const head = document.createElement("b");
    head.textContent = `${data.axis_title} ${number(x)}`;
    const list = document.createElement("ol");
    for (const { trace, value, half } of rows.slice(0, MOST)) {
      const item = document.createElement("li");
      const [name, figures, runs] = ["span", "b", "small"].map((tag) => document.createElement(tag));
      name.textContent = trace.seed === undefined ? trace.name : `${trace.name} seed ${trace.seed}`;
      figures.textContent = half === null ? number(value) : within(value, half).join(" ± ");
      runs.textContent = trace.seed === undefined ? `n ${trace.n}` : "";
      item.append(desk.swatch(trace.key), name, figures, runs);
      list.append(item);
    }
    this.place.replaceChildren(head, list);
    if (rows.length > MOST) this.place.append(`and ${rows.length - MOST} more`);
    if (!rows.length) this.place.append("no value");
    this.place.hidden = false;
    const wide = this.place.offsetWidth;
    this.place.style.left = `${left + 14 + wide > this.panel.place.clientWidth ? Math.max(0, left - 14 - wide) : left + 14}px`;
  }

  rows(x) {
    const found = this.panel.shown.map((trace) => {
      const value = valueAt(trace, x);
      const high = trace.high ? valueAt({ x: trace.x, y: trace.high }, x) : null;
      return { trace, value, half: high === null || value === null ? null : high - value };
    });
    return found.filter(({ value }) => value !== null).sort((a, b) => a.value - b.value);
  }
}
