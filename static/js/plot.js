// What all charts share: colours from the tokens, one layout, data fetched with an ETag and drawn again on a theme change.
export const token = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

export const soft = (colour, share) => {
  const [r, g, b] = [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16));
  return `rgba(${r},${g},${b},${share})`;
};

export const plain = (text) => text.replace(/[&<>"]/g, (c) => ({ "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" })[c]);

export const layout = (more = {}) => {
  const axis = { gridcolor: token("--grid"), zeroline: false, linecolor: token("--line"), tickcolor: token("--line"), automargin: true, fixedrange: false, exponentformat: "SI" };
  const { xaxis, yaxis, ...rest } = more;
  return {
    margin: { l: 8, r: 14, t: 10, b: 8 },
    paper_bgcolor: "rgba(0,0,0,0)",
    plot_bgcolor: "rgba(0,0,0,0)",
    font: { family: token("--sans"), size: 11, color: token("--ink-3") },
    hoverlabel: { bgcolor: token("--surface"), bordercolor: token("--line-strong"), font: { family: token("--sans"), size: 12, color: token("--ink") }, align: "left" },
    showlegend: false,
    dragmode: "zoom",
    xaxis: { ...axis, ...xaxis },
    yaxis: { ...axis, ...yaxis },
    ...rest,
  };
};

export const options = { displayModeBar: false, responsive: true, doubleClick: "reset", scrollZoom: false };

// Fetches JSON from an address; null when nothing changed since.
export class Source {
  constructor() { this.etags = new Map(); }

  async get(address, again) {
    const headers = { "X-Requested-With": "fetch", Accept: "application/json" };
    if (again && this.etags.has(address)) headers["If-None-Match"] = this.etags.get(address);
    const answer = await fetch(address, { headers, credentials: "same-origin" });
    if (answer.status === 304) return null;
    if (!answer.ok) throw new Error(`The chart's data did not come (error ${answer.status}). Reload the page to try again.`);
    this.etags.set(address, answer.headers.get("ETag"));
    return answer.json();
  }
}

// Calls `draw` when the theme changes and `reload` when the server says that the data did.
export const stayCurrent = (name, reload, draw) => {
  let state = document.querySelector(`[data-chart="${name}"]`)?.dataset.state;
  document.addEventListener("signoff:theme", draw);
  document.addEventListener("signoff:changed", () => {
    const now = document.querySelector(`[data-chart="${name}"]`)?.dataset.state;
    if (now === state) return;
    state = now;
    reload();
  });
};

// The view in the address: a link restores it. What others keep there stays.
export class Address {
  constructor(defaults) { this.defaults = defaults; }

  read() {
    const given = new URLSearchParams(location.search);
    return Object.fromEntries(Object.entries(this.defaults).map(([key, value]) => [key, given.get(key) ?? value]));
  }

  write(view) {
    const given = new URLSearchParams(location.search);
    for (const [key, value] of Object.entries(view)) {
      if (value === this.defaults[key]) given.delete(key);
      else given.set(key, value);
    }
    const query = given.toString().replaceAll("%2C", ",");
    history.replaceState(history.state, "", `${location.pathname}${query ? `?${query}` : ""}${location.hash}`);
  }
}

// Gives a file to the person: `content` is a Blob.
export const download = (content, name) => {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(content);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
};
