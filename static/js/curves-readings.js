// What the curves say at one place: every group with its 95% interval and n, and its difference to a reference.
import { number, within } from "./figures.js";

const WAIT = 400; // milliseconds after the last digit
const HEADS = [["group", ""], ["value", "mean, with its 95% interval where there are several runs"], ["n", "runs"], ["difference", "to the reference, with its 95% interval (Welch)"], ["", ""]];

const cell = (row, text, tag = "td") => {
  const made = document.createElement(tag);
  made.textContent = text;
  row.append(made);
  return made;
};

const signed = (text) => (/^[−0]/.test(text) && !/^0.*[1-9]/.test(text) ? text : `+${text}`);

// A difference with its interval, all three with the decimals that the interval allows.
const apart = (difference, low, high) => {
  if (low === null) return signed(number(difference));
  const half = (high - low) / 2;
  const [middle, from, to] = [difference, low, high].map((each) => signed(within(each, half)[0]));
  return `${middle} [${from}, ${to}]`;
};

export class Readings {
  // `place(at, reference)` is called with what a person chose; `swatch(key)` draws a group's line.
  constructor(host, place, swatch) {
    this.host = host;
    this.swatch = swatch;
    this.at = host.querySelector("input");
    this.ref = host.querySelector("select");
    this.clear = host.querySelector("[data-clear]");
    this.scroll = host.querySelector(".scroll");
    this.grid = host.querySelector("table");
    let timer = 0;
    const chosen = () => place(this.at.value, this.ref.value);
    this.at.addEventListener("input", () => {
      clearTimeout(timer);
      timer = setTimeout(chosen, WAIT);
    });
    this.ref.addEventListener("change", chosen);
    this.clear.addEventListener("click", () => {
      this.at.value = "";
      chosen();
      this.at.focus();
    });
  }

  // The fields as the view says.
  write({ at, ref }) {
    if (document.activeElement !== this.at) this.at.value = at;
    this.wanted = ref;
    if (at === "") this.hide();
  }

  hide() {
    this.scroll.hidden = true;
    this.clear.hidden = true;
  }

  show(data) {
    this.host.querySelector("[data-axis]").textContent = data.axis_title.toLowerCase();
    this.ref.closest("label").hidden = data.groups.length < 2;
    const options = data.groups.map(({ key, name }) => new Option(name, key));
    if (document.activeElement !== this.ref) this.ref.replaceChildren(...options);
    this.ref.value = data.reference;
    if (!data.readings) return this.hide();
    this.clear.hidden = this.scroll.hidden = false;
    this.fill(data);
    return undefined;
  }

  fill(data) {
    this.grid.replaceChildren();
    const head = this.grid.createTHead().insertRow();
    for (const [words, title] of HEADS) Object.assign(cell(head, words, "th"), { scope: "col", title });
    const body = this.grid.createTBody();
    for (const row of data.readings) this.row(body.insertRow(), row, data.reference);
    if (!data.readings.length) cell(body.insertRow(), "No run logged anything there.").colSpan = HEADS.length;
  }

  row(line, { key, name, n, value, half, difference, low, high }, reference) {
    const head = cell(line, "", "th");
    head.scope = "row";
    head.append(this.swatch(key), ` ${name}`);
    cell(line, half === null ? number(value) : within(value, half).join(" ± "));
    cell(line, String(n));
    if (key === reference) cell(line, "reference").className = "same";
    else if (difference === null) cell(line, "–").className = "same";
    else cell(line, apart(difference, low, high));
    const words = low === null ? "one run: no interval" : low <= 0 && high >= 0 ? "interval includes 0" : "";
    cell(line, difference === null ? "" : words).className = "same";
  }
}
