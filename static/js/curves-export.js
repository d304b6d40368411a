// Curves as files: pictures drawn again at a size for papers, with title and legend; points as the server has them.
import { download, plain, token } from "./plot.js";

const SIZE = { width: 1200, height: 720 };
const named = (panel, kind) => `${location.pathname.split("/").filter(Boolean).slice(1).join("-")}-${panel.series}.${kind}`;

// One picture for each panel. Everything that is needed to read it stands in it: n, the band, what was done to the curves.
export const exportPicture = async (panels, kind, groups, note) => {
  for (const panel of panels) {
    const { data, layout } = panel.plot;
    const names = new Map(groups.map((group) => [group.name, group.words]));
    const traces = data.map((trace) => ({ ...trace, showlegend: names.has(trace.name), name: plain(names.get(trace.name) ?? trace.name ?? "") }));
    const figure = {
      data: traces,
      layout: {
        ...layout, ...SIZE,
        title: { text: plain([panel.data.title, note.trim()].filter(Boolean).join(". ")), font: { size: 15, color: token("--ink") }, x: 0.02, xanchor: "left" },
        margin: { l: 70, r: 24, t: 56, b: 60 }, showlegend: true, paper_bgcolor: token("--surface"), plot_bgcolor: token("--surface"),
        font: { ...layout.font, size: 13 }, legend: { orientation: "h", y: -0.14 },
      },
    };
    const address = await Plotly.toImage(figure, { format: kind, ...SIZE, scale: kind === "png" ? 2 : 1 });
    download(blobOf(address), named(panel, kind));
  }
};

// From a data: address, without fetching it: the policy allows no such request.
const blobOf = (address) => {
  const [head, body] = [address.slice(5, address.indexOf(",")), address.slice(address.indexOf(",") + 1)];
  const text = head.includes("base64") ? atob(body) : decodeURIComponent(body);
  const bytes = head.includes("base64") ? Uint8Array.from(text, (letter) => letter.charCodeAt(0)) : text;
  return new Blob([bytes], { type: head.split(";")[0] });
};

export const exportCsv = (panels, desk) => {
  for (const panel of panels) {
    const link = document.createElement("a");
    link.href = `${desk.address(panel.series)}&format=csv`;
    link.download = named(panel, "csv");
    link.click();
  }
};
