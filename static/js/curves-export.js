// Curves as files: pictures drawn again at a size for papers, with title and legend; points as the server has them.
import { download, plain, token } from "./plot.js";

const SIZE = { width: 1200, height: 720 };
const fileName = (panel, kind) => `${location.pathname.split("/").filter(Boolean).slice(1).join("-")}-${panel.series}.${kind}`;

// One picture for each panel. Everything that is needed to read it stands in it: n, the band, what was done to the curves.
export const exportPicture = async (panels, kind, groups, note) => {
  for (const panel of panels) {
    const { data, layout } = panel.plot;
    const named = new Set(); // each group once, also where each of its runs is drawn
    const traces = data.map((trace) => {
      const group = groups.find(({ name }) => name === trace.name) ?? groups.find(({ name }) => trace.name?.startsWith(`${name} seed `));
      const showlegend = Boolean(group) && !named.has(group.key);
      if (group) named.add(group.key);
      return { ...trace, showlegend, name: plain(group?.words ?? "") };
    });
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
    download(blobOf(address), fileName(panel, kind));
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
    link.download = fileName(panel, "csv");
    link.click();
  }
};
