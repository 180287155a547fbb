// What a report does by itself: theme, files of figures and tables, and the views of what it holds.
"use strict";

const THEMES = ["auto", "light", "dark"];

// The data of a script element that holds JSON; null where the report has none of that name.
function shoalData(name) {
  const element = document.getElementById(name);
  return element && JSON.parse(element.textContent);
}

// An episode that the report holds. Shapes and observations that come again are kept once.
class EmbeddedReplay {
  constructor(episode) {
    this.episode = episode;
    this.rows = `data:text/csv;charset=utf-8,${encodeURIComponent(this.csv())}`;
  }

  about() {
    return this.episode.about;
  }

  frames(start, count) {
    const { frames, shapes } = this.episode;
    return frames.slice(start, start + count).map((frame) => ({ ...frame, shapes: frame.shapes.map((k) => shapes[k]) }));
  }

  observations(time) {
    const { frames, words } = this.episode;
    return frames[time].observed.map((k) => words[k]);
  }

  picture(time) {
    const [{ bounds, shapes }] = this.frames(time, 1);
    return `data:image/svg+xml;charset=utf-8,${encodeURIComponent(shoalSvg(bounds, shapes))}`;
  }

  csv() {
    const { about, frames } = this.episode;
    const rows = [["time", "agent", "action", "reward", "return", "alive"]];
    frames.slice(0, -1).forEach((frame, time) => about.agents.forEach(({ name }, i) => {
      const { reward, returns } = frames[time + 1];
      rows.push([time, name, frame.actions[i], reward[i], returns[i], frame.alive[i]]);
    }));
    return shoalCsv(rows);
  }
}

// A frame as an SVG picture, as worlds/picture.py writes it.
function shoalSvg([left, bottom, right, top], shapes, width = 800) {
  const picture = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  const element = (tag, attributes, parent = picture) => {
    const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    parent.append(made);
    return made;
  };
  const scale = width / (right - left);
  const height = Math.max(24, (top - bottom) * scale);
  const [x, y] = [(value) => (value - left) * scale, (value) => (top - value) * scale];
  for (const [name, value] of Object.entries({ width, height, viewBox: `0 0 ${width} ${height}` })) picture.setAttribute(name, value);
  element("rect", { width, height, fill: "#ffffff" });
  for (const [kind, sx, sy, size, colour, text, toX, toY, tall, opacity] of shapes) {
    if (kind === "circle") element("circle", { cx: x(sx), cy: y(sy), r: size * scale, fill: colour, opacity });
    else if (kind === "rect") {
      const half = (tall ?? size) * scale;
      element("rect", { x: x(sx) - size * scale, y: y(sy) - half, width: 2 * size * scale, height: 2 * half, fill: colour, opacity });
    } else if (kind === "text") {
      const look = { "text-anchor": "middle", "dominant-baseline": "central", "font-family": "sans-serif" };
      element("text", { x: x(sx), y: y(sy), "font-size": size * scale, fill: colour, opacity, ...look }).textContent = text;
    } else {
      element("line", { x1: x(sx), y1: y(sy), x2: x(toX), y2: y(toY), stroke: colour, "stroke-width": 2, opacity });
      if (kind === "arrow") element("circle", { cx: x(toX), cy: y(toY), r: 4, fill: colour, opacity });
    }
  }
  return new XMLSerializer().serializeToString(picture);
}

function shoalCsv(rows) {
  const cell = (value) => (/[",\n\r]/.test(String(value)) ? `"${String(value).replaceAll('"', '""')}"` : String(value));
  return `${rows.map((row) => row.map(cell).join(",")).join("\r\n")}\r\n`;
}

function saveText(words, name) {
  shoalDownload(`data:text/csv;charset=utf-8,${encodeURIComponent(words)}`, name);
}

// Buttons below figures and tables: data-save says what.
function listenToSaves() {
  for (const button of document.querySelectorAll("button[data-save]")) {
    const kind = button.dataset.save;
    const name = button.dataset.name.toLowerCase().replace(/[^\p{L}\p{N}]+/gu, "-").slice(0, 80);
    const place = button.closest("figure, .saved");
    const image = place.querySelector("img");
    const table = place.querySelector("table");
    const rows = place.querySelector("script");
    button.onclick = () => {
      if (kind === "csv" && rows) saveText(shoalCsv(JSON.parse(rows.textContent)), `${name}.csv`);
      else if (kind === "csv") saveText(shoalCsv([...table.rows].map((row) => [...row.cells].map((c) => c.textContent.trim()))), `${name}.csv`);
      else if (kind === "png" && image.src.startsWith("data:image/svg")) shoalPaintAddress(image.src, image.naturalWidth, image.naturalHeight, name);
      else shoalDownload(image.src, `${name}.${kind}`);
    };
  }
}

function listenToTheme() {
  const button = document.getElementById("theme");
  const system = matchMedia("(prefers-color-scheme: dark)");
  let now = 0;
  const apply = () => {
    button.textContent = `Theme: ${THEMES[now]}`;
    const dark = THEMES[now] === "dark" || (THEMES[now] === "auto" && system.matches);
    document.body.classList.toggle("body--dark", dark);
  };
  button.onclick = () => { now = (now + 1) % THEMES.length; apply(); };
  system.addEventListener("change", apply);
  apply();
}

function openReplays(episodes) {
  const root = document.getElementById("replay");
  const choice = document.getElementById("episode");
  const show = () => {
    shoalReplays.replay?.pause();
    shoalReplays.replay = new Replay(root, new EmbeddedReplay(episodes[choice.selectedIndex]));
  };
  choice.onchange = show;
  show();
}

document.addEventListener("DOMContentLoaded", () => {
  listenToTheme();
  listenToSaves();
  const [trace, diagnosis, episodes] = ["trace-data", "diagnosis-data", "replay-data"].map(shoalData);
  const walk = trace && (shoalTraces.walk = new TraceWalk(document.getElementById("trace"), trace));
  if (walk && diagnosis) new TraceVerdicts(document.getElementById("diagnosis"), diagnosis, walk);
  if (episodes) openReplays(episodes);
});
