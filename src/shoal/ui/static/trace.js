// Lanes of a trace on a canvas. A source answers what a window shows: counts zoomed out, single events zoomed in. On the
// page it is the server, which holds the trace; in a report it is the trace embedded there (trace_windows.js).
// Everything that comes from a trace is drawn with fillText or set as textContent, never as HTML.
"use strict";

const shoalTraces = {};

class ServedTrace {
  constructor(query) {
    this.query = query;
    this.bytes = 0;
  }

  async lanes(asked, signal) {
    const query = new URLSearchParams(this.query);
    for (const [name, value] of Object.entries(asked)) {
      for (const one of [value].flat()) if (one !== null && one !== "") query.append(name, one);
    }
    let answer, text;
    try {
      answer = await fetch(`/api/trace/lanes?${query}`, { signal });
      text = await answer.text();
    } catch (error) {
      throw error.name === "AbortError" ? error : new Error("The server does not answer.");
    }
    if (!answer.ok) throw new Error(JSON.parse(text).error ?? "The window could not be read.");
    this.bytes = text.length;
    return JSON.parse(text);
  }
}

class ShoalTrace {
  static ANCESTOR = 1;
  static DESCENDANT = 2;
  static CHOSEN = 4;
  static PATH = 8;
  static MATCH = 16;
  static LIGHT = { ancestor: "#0072b2", descendant: "#007a59", path: "#b84a00", match: "#7a5600", plain: "#6b7580" };
  static DARK = { ancestor: "#56b4e9", descendant: "#35c79b", path: "#ff8c42", match: "#f0c65a", plain: "#8b96a1" };

  constructor(canvas, status, source) {
    this.canvas = canvas;
    this.status = status;
    this.source = source;
    this.view = { axis: "step", start: null, end: null };
    this.lit = { event: null, path: [], find: "" };
    this.filter = { part: "", agents: [], kinds: [], text: "" };
    this.last = { form: "", items: 0, bytes: 0, requests: 0 };
    this.shown = null;
    this.reveal = false; // whether the next window that comes must hold the chosen event
    this.listen();
    new ResizeObserver(() => this.draw()).observe(canvas);
    new MutationObserver(() => this.draw()).observe(document.body, { attributes: true, attributeFilter: ["class"] });
  }

  // --- what is asked of the source ---

  asked() {
    const bins = Math.max(20, Math.min(300, Math.round(this.width() / 4)));
    return { ...this.view, bins, ...this.filter, ...this.lit };
  }

  async load() {
    this.waiting?.abort();
    const { signal } = (this.waiting = new AbortController());
    let shown;
    try {
      shown = await this.source.lanes(this.asked(), signal);
    } catch (error) {
      if (error.name !== "AbortError") this.status.textContent = error.message;
      return;
    }
    if (signal.aborted) return;
    this.shown = shown;
    const items = (shown.events ?? shown.cells).length;
    this.last = { form: shown.form, items, bytes: this.source.bytes, requests: this.last.requests + 1 };
    [this.view.start, this.view.end] = [shown.start, shown.end];
    const { reveal } = this;
    this.reveal = false;
    if (reveal && shown.chosen && (shown.chosen[1] < shown.start || shown.chosen[1] > shown.end)) {
      const half = (shown.end - shown.start) / 2;
      this.move(shown.chosen[1] - half, shown.chosen[1] + half);
      return;
    }
    this.draw();
    this.tell();
  }

  soon() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.load(), 80);
  }

  set(changes, reveal = false) {
    for (const group of [this.view, this.lit, this.filter]) {
      for (const name of Object.keys(group)) if (name in changes) group[name] = changes[name];
    }
    this.reveal ||= reveal;
    return this.load();
  }

  // A window on its way is for where the view was: it must not undo the move when it comes.
  move(start, end) {
    this.waiting?.abort();
    const [low, high] = this.shown.span;
    const least = this.view.axis === "step" ? 4 : Math.max((high - low) / 1e6, 1e-6);
    let width = Math.min(Math.max(end - start, least), Math.max(high - low, least));
    start = Math.max(low, Math.min(start, high - width));
    [this.view.start, this.view.end] = [start, start + width];
    this.draw();
    this.soon();
  }

  zoom(factor, around = null) {
    if (!this.shown || this.shown.axis !== this.view.axis) return;
    const [low, high] = this.shown.span;
    const { start, end } = { start: this.view.start ?? low, end: this.view.end ?? high };
    const chosen = this.shown.chosen?.[1];
    const middle = around ?? (chosen >= start && chosen <= end ? chosen : (start + end) / 2);
    this.move(middle - (middle - start) / factor, middle + (end - middle) / factor);
  }

  whole() {
    [this.view.start, this.view.end] = [null, null];
    return this.load();
  }

  // --- where things are ---

  width() {
    return this.canvas.clientWidth || 800;
  }
  gutter() {
    return this.width() < 560 ? 84 : 150;
  }
  row() {
    return Math.max(18, Math.min(44, 520 / Math.max(1, this.shown.lanes.length)));
  }
  x(where) {
    const { start, end } = this.view;
    const room = this.width() - this.gutter() - 12;
    return this.gutter() + (end > start ? ((where - start) / (end - start)) * room : room / 2);
  }
  where(x) {
    const { start, end } = this.view;
    return start + ((x - this.gutter()) / (this.width() - this.gutter() - 12)) * (end - start);
  }
  y(lane) {
    return 8 + (lane + 0.5) * this.row();
  }

  // --- drawing ---

  draw() {
    if (!this.shown || !this.canvas.isConnected) return;
    const { canvas, shown } = this;
    const [width, height] = [this.width(), 8 + shown.lanes.length * this.row() + 30];
    const scale = window.devicePixelRatio || 1;
    canvas.style.height = `${height}px`;
    [canvas.width, canvas.height] = [width * scale, height * scale];
    const pen = (this.pen = canvas.getContext("2d"));
    pen.scale(scale, scale);
    const style = getComputedStyle(document.body);
    this.colours = document.body.classList.contains("body--dark") ? ShoalTrace.DARK : ShoalTrace.LIGHT;
    this.ink = style.getPropertyValue("--ink");
    this.line = style.getPropertyValue("--line");
    pen.font = "13px system-ui, sans-serif";
    this.drawLanes(width, style.getPropertyValue("--panel"));
    this.drawTicks(width, height);
    pen.save();
    pen.beginPath();
    pen.rect(this.gutter() - 8, 0, width, height);
    pen.clip();
    if (shown.form === "bins") this.drawBins();
    this.drawArrows();
    if (shown.form === "events") this.drawEvents();
    this.drawChosen(height);
    pen.restore();
  }

  drawLanes(width, panel) {
    const { pen } = this;
    pen.textBaseline = "middle";
    this.shown.lanes.forEach((lane, i) => {
      pen.fillStyle = panel;
      if (i % 2 === 0) pen.fillRect(0, this.y(i) - this.row() / 2, width, this.row());
      pen.fillStyle = this.ink;
      pen.fillText(this.fitted(lane.name, this.gutter() - 20), 6, this.y(i));
    });
  }

  fitted(words, room) {
    words = words.slice(0, 60);
    if (this.pen.measureText(words).width <= room) return words;
    while (words.length > 1 && this.pen.measureText(`${words}…`).width > room) words = words.slice(0, -1);
    return `${words}…`;
  }

  drawTicks(width, height) {
    const { pen } = this;
    const { start, end } = this.view;
    const room = width - this.gutter();
    const rough = (end - start) / Math.max(2, room / 110);
    if (!(rough > 0)) return;
    const power = 10 ** Math.floor(Math.log10(rough));
    let step = power * [1, 2, 5, 10].find((m) => m * power >= rough);
    if (this.view.axis === "step") step = Math.max(1, step);
    pen.fillStyle = this.ink;
    pen.strokeStyle = this.line;
    pen.textAlign = "center";
    for (let at = Math.ceil(start / step) * step; at <= end; at += step) {
      const x = this.x(at);
      pen.beginPath();
      pen.moveTo(x, 8);
      pen.lineTo(x, height - 24);
      pen.stroke();
      const digits = Math.max(0, -Math.floor(Math.log10(step)));
      const words = at.toFixed(Math.min(6, digits)) + (this.view.axis === "time" ? " s" : "");
      pen.fillText(words, Math.min(x, width - pen.measureText(words).width / 2 - 2), height - 12);
    }
    pen.textAlign = "left";
  }

  drawBins() {
    const { pen, shown, colours } = this;
    const most = shown.cells.reduce((m, c) => Math.max(m, c[2]), 1);
    const size = (shown.end - shown.start) / shown.bins;
    const [row, wide] = [this.row() - 4, Math.max(1, this.x(shown.start + size) - this.x(shown.start) - 0.5)];
    for (const [lane, bin, count, above, below, path, match] of shown.cells) {
      const [x, foot] = [this.x(shown.start + bin * size), this.y(lane) + row / 2];
      const bar = (part, colour) => {
        if (!part) return;
        const tall = Math.max(2, row * Math.sqrt(part / most));
        pen.fillStyle = colour;
        pen.fillRect(x, foot - tall, wide, tall);
      };
      pen.globalAlpha = this.lit.event === null ? 0.8 : 0.4;
      bar(count, colours.plain);
      pen.globalAlpha = 1;
      bar(above, colours.ancestor);
      bar(below, colours.descendant);
      bar(path, colours.path);
      if (match) {
        pen.fillStyle = colours.match;
        pen.fillRect(x - 1, foot - row, wide + 2, 3);
      }
    }
  }

  colour(marks) {
    if (marks & ShoalTrace.PATH) return this.colours.path;
    const both = ShoalTrace.ANCESTOR | ShoalTrace.DESCENDANT;
    if ((marks & both) === both) return this.ink;
    if (marks & ShoalTrace.ANCESTOR) return this.colours.ancestor;
    if (marks & ShoalTrace.DESCENDANT) return this.colours.descendant;
    return this.colours.plain;
  }

  drawArrows() {
    const { pen } = this;
    const lighted = this.lit.event !== null || this.lit.path.length > 0;
    for (const [from, fromLane, to, toLane, marks] of this.shown.arrows) {
      const [x1, y1, x2, y2] = [this.x(from), this.y(fromLane), this.x(to), this.y(toLane)];
      const lit = marks & (ShoalTrace.ANCESTOR | ShoalTrace.DESCENDANT | ShoalTrace.PATH);
      pen.strokeStyle = pen.fillStyle = this.colour(marks & ~ShoalTrace.CHOSEN);
      pen.globalAlpha = lit ? 1 : lighted ? 0.15 : 0.45;
      pen.lineWidth = marks & ShoalTrace.PATH ? 3 : lit ? 1.8 : 1;
      const bend = fromLane === toLane ? -Math.min(this.row() / 2 - 2, 6 + Math.abs(x2 - x1) / 10) : 0;
      const [cx, cy] = [(x1 + x2) / 2, (y1 + y2) / 2 + 2 * bend];
      pen.beginPath();
      pen.moveTo(x1, y1);
      pen.quadraticCurveTo(cx, cy, x2, y2);
      pen.stroke();
      if (Math.hypot(x2 - x1, y2 - y1) > 14) this.drawHead(cx, cy, x2, y2);
    }
    pen.globalAlpha = 1;
    pen.lineWidth = 1;
  }

  drawHead(cx, cy, x, y) {
    const turn = Math.atan2(y - cy, x - cx);
    const at = (back, side) => [
      x - back * Math.cos(turn) - side * Math.sin(turn),
      y - back * Math.sin(turn) + side * Math.cos(turn),
    ];
    this.pen.beginPath();
    this.pen.moveTo(...at(5, 0));
    this.pen.lineTo(...at(12, 4));
    this.pen.lineTo(...at(12, -4));
    this.pen.fill();
  }

  // Kinds by shape: a reply is a square, a message a disc, a decision a diamond, a failure a cross, all else a bar.
  drawEvents() {
    const { pen, shown } = this;
    const lighted = this.lit.event !== null;
    const size = Math.max(3, Math.min(6, this.row() / 5));
    for (const [, lane, where, kind, marks] of shown.events) {
      const [x, y, name] = [this.x(where), this.y(lane), shown.kinds[kind]];
      const lit = marks & ~ShoalTrace.MATCH;
      pen.fillStyle = pen.strokeStyle = this.colour(marks);
      pen.globalAlpha = lit || !lighted ? 1 : 0.4;
      pen.beginPath();
      if (name === "message" || name === "handoff") pen.arc(x, y, size, 0, 7);
      else if (name.endsWith("call")) pen.rect(x - size, y - size, 2 * size, 2 * size);
      else if (name === "decision") this.polygon([x, y - size - 1, x + size + 1, y, x, y + size + 1, x - size - 1, y]);
      else if (name.includes("failure") || name.includes("stop") || name.includes("dropped")) {
        pen.lineWidth = 2.5;
        for (const side of [-1, 1]) {
          pen.moveTo(x - size, y - side * size);
          pen.lineTo(x + size, y + side * size);
        }
        pen.stroke();
        pen.lineWidth = 1;
      } else pen.rect(x - 1.5, y - size - 1, 3, 2 * size + 2);
      pen.fill();
      if (marks & ShoalTrace.MATCH) {
        pen.strokeStyle = this.colours.match;
        pen.lineWidth = 2;
        pen.strokeRect(x - size - 3, y - size - 3, 2 * size + 6, 2 * size + 6);
        pen.lineWidth = 1;
      }
    }
    pen.globalAlpha = 1;
  }

  polygon(points) {
    this.pen.moveTo(points[0], points[1]);
    for (let i = 2; i < points.length; i += 2) this.pen.lineTo(points[i], points[i + 1]);
    this.pen.closePath();
  }

  drawChosen(height) {
    if (!this.shown.chosen) return;
    const { pen } = this;
    const [lane, where] = this.shown.chosen;
    pen.strokeStyle = this.ink;
    pen.setLineDash([3, 3]);
    pen.beginPath();
    pen.moveTo(this.x(where), 8);
    pen.lineTo(this.x(where), height - 24);
    pen.stroke();
    pen.setLineDash([]);
    pen.lineWidth = 2;
    pen.beginPath();
    pen.arc(this.x(where), this.y(lane), 9, 0, 7);
    pen.stroke();
    pen.lineWidth = 1;
  }

  // --- words beside the picture ---

  tell() {
    const { shown } = this;
    const number = (n) => n.toLocaleString("en");
    let words = `${number(shown.total)} of ${number(shown.matching)} events in view`;
    if (shown.form === "bins") words += ", counted in bins: zoom in for single events and their arrows";
    else if (shown.arrows_left_out) words += `, ${number(shown.arrows_left_out)} arrows left out: zoom in`;
    this.status.textContent = `${words}.`;
  }

  // --- mouse, touch and keys ---

  listen() {
    const { canvas } = this;
    let held = null;
    canvas.addEventListener("pointerdown", (e) => {
      held = { x: e.offsetX, start: this.view.start, end: this.view.end, moved: false };
      canvas.setPointerCapture(e.pointerId);
    });
    canvas.addEventListener("pointermove", (e) => {
      if (!held || !this.shown) return;
      if (Math.abs(e.offsetX - held.x) > 4) held.moved = true;
      if (!held.moved) return;
      const by = ((held.x - e.offsetX) / (this.width() - this.gutter() - 12)) * (held.end - held.start);
      this.move(held.start + by, held.end + by);
    });
    canvas.addEventListener("pointerup", (e) => {
      if (held && !held.moved) this.pick(e.offsetX, e.offsetY);
      held = null;
    });
    canvas.addEventListener("pointercancel", () => (held = null));
    canvas.addEventListener("dblclick", (e) => this.zoom(4, this.where(e.offsetX)));
    canvas.addEventListener(
      "wheel",
      (e) => {
        if (!e.ctrlKey && document.activeElement !== canvas) return; // else the page could not be scrolled past
        e.preventDefault();
        this.zoom(e.deltaY < 0 ? 1.5 : 1 / 1.5, this.where(e.offsetX));
      },
      { passive: false },
    );
    canvas.addEventListener("keydown", (e) => this.key(e));
  }

  pick(x, y) {
    if (!this.shown) return;
    if (this.shown.form === "bins") {
      this.status.textContent = "Counts are shown here: zoom in, or double-click, to choose a single event.";
      return;
    }
    let [best, nearest] = [null, 18];
    for (const [position, lane, where] of this.shown.events) {
      const far = Math.hypot(this.x(where) - x, this.y(lane) - y);
      if (far < nearest) [best, nearest] = [position, far];
    }
    if (best !== null) this.canvas.dispatchEvent(new CustomEvent("pick", { detail: best }));
  }

  static KEYS = {
    ArrowLeft: "previous", ArrowRight: "next", ArrowUp: "parent", ArrowDown: "child", Home: "first", End: "last",
    n: "next match", N: "previous match",
  };

  key(event) {
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    let name = ShoalTrace.KEYS[event.key];
    if (event.shiftKey && (name === "previous" || name === "next")) name += " of agent";
    if (name) this.canvas.dispatchEvent(new CustomEvent("walk", { detail: name }));
    else if (event.key === "+" || event.key === "=") this.zoom(2);
    else if (event.key === "-") this.zoom(0.5);
    else if (event.key === "0") this.whole();
    else return;
    event.preventDefault();
  }
}

// Starts the lanes of a page as soon as their elements are there, with all that was changed before.
const shoalEarlier = {};
function shoalTrace(id, status, query) {
  const [canvas, words] = [getHtmlElement(id), getHtmlElement(status)];
  if (!canvas || !words) {
    setTimeout(() => shoalTrace(id, status, query), 50);
    return;
  }
  shoalTraces[id] = new ShoalTrace(canvas, words, new ServedTrace(query));
  shoalTraces[id].set(shoalEarlier[id] ?? {}, true);
}

function shoalTraceSet(id, changes) {
  if (shoalTraces[id]) shoalTraces[id].set(changes, true);
  else shoalEarlier[id] = { ...shoalEarlier[id], ...changes };
}
