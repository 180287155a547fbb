// An element with properties, or attributes where it has no such property, and children; words are text.
function make(tag, properties = {}, children = []) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name in element) element[name] = value;
    else element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

// Saves a chart that was drawn as SVG: as it is, or painted on a canvas at twice its size.
async function shoalSave(id, name, kind) {
  const chart = getElement(id).chart;
  const address = chart.getDataURL({ type: "svg" });
  if (kind === "svg") return shoalDownload(address, `${name}.svg`);
  await shoalPaintAddress(address, chart.getWidth(), chart.getHeight(), name);
}

// Saves the text of an SVG picture as PNG.
async function shoalPaint(picture, name) {
  const size = new DOMParser().parseFromString(picture, "image/svg+xml").documentElement;
  const address = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(picture)}`;
  await shoalPaintAddress(address, Number(size.getAttribute("width")), Number(size.getAttribute("height")), name);
}

async function shoalPaintAddress(address, width, height, name) {
  const image = new Image();
  image.src = address;
  await image.decode();
  const canvas = document.createElement("canvas");
  canvas.width = 2 * width;
  canvas.height = 2 * height;
  const pen = canvas.getContext("2d");
  pen.fillStyle = "#fff";
  pen.fillRect(0, 0, canvas.width, canvas.height);
  pen.drawImage(image, 0, 0, canvas.width, canvas.height);
  shoalDownload(canvas.toDataURL("image/png"), `${name}.png`);
}

function shoalDownload(address, name) {
  const link = document.createElement("a");
  link.href = address;
  link.download = name;
  link.click();
}

// An interval as a line with two ends, for bar charts: data is [category, low, high].
function shoalWhisker(params, api) {
  const [x1, y] = api.coord([api.value(1), api.value(0)]);
  const [x2] = api.coord([api.value(2), api.value(0)]);
  const line = (a, b, c, d) => ({
    type: "line",
    shape: { x1: a, y1: b, x2: c, y2: d },
    style: { stroke: "#7a7a7a", lineWidth: 1.5 },
  });
  return { type: "group", children: [line(x1, y, x2, y), line(x1, y - 4, x1, y + 4), line(x2, y - 4, x2, y + 4)] };
}

// Keys belong to the panel that has just asked for one, not to what was used before it. A select whose list fades out
// takes the focus back, and would keep keys to itself: for that long it is taken from it again.
const FADED = 1000;
function shoalListen(id) {
  const panel = getHtmlElement(id);
  const take = () => { if (!panel.contains(document.activeElement)) panel.focus({ preventScroll: true }); };
  const again = (event) => { if (event.target.matches("[role=combobox]")) take(); };
  take();
  document.addEventListener("focusin", again);
  setTimeout(() => document.removeEventListener("focusin", again), FADED);
}

// Tables scroll sideways in narrow windows: let the keyboard reach them.
new MutationObserver(() => {
  for (const region of document.querySelectorAll(".q-table__middle:not([tabindex])")) region.tabIndex = 0;
}).observe(document, { childList: true, subtree: true });
