// Curves as files: pictures drawn again at a size for papers, with title and legend; points as the server has them.
import { download, plain, token } from "./plot.js";

const SIZE = { width: 1200, height: 720 };
const SHARPNESS = 2; // pixels of a PNG for each of these
const fileName = (panel, kind) => `${location.pathname.split("/").filter(Boolean).slice(1).join("-")}-${panel.series}${panel.difference ? "-difference" : ""}.${kind}`;

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
    const address = await Plotly.toImage(figure, { format: "svg", ...SIZE });
    const svg = decodeURIComponent(address.slice(address.indexOf(",") + 1));
    download(kind === "svg" ? new Blob([svg], { type: "image/svg+xml" }) : await painted(svg), fileName(panel, kind));
  }
};

// Painted by way of a data: address; Plotly would take a blob: address, which the policy does not let in.
const painted = async (svg) => {
  const image = new Image();
  image.src = `data:image/svg+xml,${encodeURIComponent(svg)}`;
  await image.decode();
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [SIZE.width * SHARPNESS, SIZE.height * SHARPNESS];
  canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height);
  return new Promise((done) => { canvas.toBlob(done, "image/png"); });
};

export const exportCsv = (panels, desk) => {
  for (const panel of panels) {
    const link = document.createElement("a");
    link.href = `${desk.address(panel)}&format=csv`;
    link.download = fileName(panel, "csv");
    link.click();
  }
};
