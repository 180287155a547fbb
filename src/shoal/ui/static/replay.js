// The replay of an episode: the picture on a canvas, what the agents do, say and get, and the controls.
// Frames come from a source in pieces; whatever they say is shown as text.
const shoalReplays = {};
const PIECE = 40;
const STEPS_A_SECOND = 4;
const MOST_NUMBERS = 8;

function shoalReplay(host, key) {
  const root = document.getElementById(host);
  if (!root) return;
  shoalReplays[host]?.pause();
  shoalReplays[host] = new Replay(root, new ServedReplay(key));
}

// A live episode has gone on: show its newest moment.
function shoalReplayGoesOn(host) {
  shoalReplays[host]?.open(true);
}

// Where frames come from: the server, which holds the recording. In a report they are embedded (report.js).
class ServedReplay {
  constructor(key) {
    this.address = `/api/replays/${encodeURIComponent(key)}`;
    this.rows = `${this.address}/rows.csv`;
  }

  about() {
    return this.json("");
  }

  frames(start, count) {
    return this.json(`/frames?start=${start}&count=${count}`);
  }

  observations(time) {
    return this.json(`/observations/${time}`);
  }

  picture(time) {
    return `${this.address}/frames/${time}.svg`;
  }

  async json(what) {
    const answer = await fetch(this.address + what);
    return answer.ok ? answer.json() : null;
  }
}

class Replay {
  constructor(root, source) {
    this.root = root;
    this.source = source;
    this.frames = [];
    this.pending = {};
    this.time = 0;
    this.timer = null;
    this.watched = 0;
    this.speed = 1;
    root.replaceChildren(make("p", { textContent: "Loading ..." }));
    this.open(false);
  }

  async open(last) {
    const about = await this.source.about();
    if (!about) {
      this.root.replaceChildren(make("p", { className: "problem", textContent: "The recording is gone; record it again." }));
      return;
    }
    this.about = about;
    if (!this.canvas) this.build();
    // The last frame of a live episode learns only later what was done in it.
    if (last) this.frames.length = Math.max(0, this.frames.length - 1);
    this.slider.max = this.about.steps;
    await this.show(last ? this.about.steps : Math.min(this.time, this.about.steps));
  }

  build() {
    const button = (label, act) => make("button", { type: "button", textContent: label, onclick: act });
    this.canvas = make("canvas", { tabIndex: 0, className: "stage" });
    this.canvas.setAttribute("role", "img");
    this.canvas.addEventListener("keydown", (event) => this.key(event));
    this.caption = make("p", { className: "small quiet" });
    this.playing = button("Play", () => this.toggle());
    this.slider = make("input", { type: "range", min: 0, max: this.about.steps, value: 0, "aria-label": "Step" });
    this.slider.oninput = () => { this.pause(); this.show(Number(this.slider.value)); };
    const speeds = [0.5, 1, 2, 4, 8].map((x) => make("option", { value: x, textContent: `${x}x`, selected: x === 1 }));
    const speed = make("select", { "aria-label": "Speed", onchange: (e) => { this.speed = Number(e.target.value); if (this.timer) { this.pause(); this.toggle(); } } }, speeds);
    const step = (by) => () => { this.pause(); this.show(this.time + by); };
    const controls = make("div", { className: "controls" }, [
      button("First", () => { this.pause(); this.show(0); }), button("Back", step(-1)), this.playing, button("Next", step(1)),
      button("Last", () => { this.pause(); this.show(this.about.steps); }), this.slider, speed,
    ]);
    this.status = make("p", { className: "small" });
    this.status.setAttribute("role", "status");
    this.head = ["Agent", "Seat", "Action", "Reward", "Return"];
    this.body = make("tbody");
    const header = make("tr", {}, this.head.map((name) => make("th", { scope: "col", textContent: name })));
    const table = make("table", { className: "plain" }, [make("thead", {}, [header]), this.body]);
    const wrap = make("div", { className: "table-wrap", tabIndex: 0, role: "region", "aria-label": "What the agents do" }, [table]);
    this.rows = this.about.agents.map((agent, i) => this.row(agent, i));
    this.body.append(...this.rows.map((row) => row.line));
    const choice = make("select", { onchange: (e) => { this.watched = Number(e.target.value); this.observe(); } },
      this.about.agents.map((agent, i) => make("option", { value: i, textContent: agent.name })));
    const label = make("label", { className: "small" }, ["What is observed by ", choice]);
    this.observed = make("pre", { className: "said observed", tabIndex: 0, role: "region", "aria-label": "Observation in words" });
    this.ring = make("canvas", { className: "ring", hidden: true });
    this.ring.setAttribute("role", "img");
    this.messages = make("pre", { className: "said", hidden: true, tabIndex: 0, role: "region", "aria-label": "Messages" });
    const saves = make("p", { className: "small saves-links" }, [
      make("button", { type: "button", textContent: "Frame as PNG", onclick: () => this.save() }), " ",
      (this.svg = make("a", { textContent: "Frame as SVG", download: "" })), " ",
      make("a", { textContent: "Episode as CSV", href: this.source.rows, download: `${this.about.world}.csv` }),
    ]);
    this.root.replaceChildren(
      make("div", { className: "replay-picture" }, [this.canvas, this.caption, controls, this.status, saves]),
      make("div", { className: "replay-facts" }, [wrap, this.ring, this.messages, label, this.observed]),
    );
    new ResizeObserver(() => this.frames[this.time] && this.paint(this.frames[this.time])).observe(this.canvas);
  }

  row(agent, i) {
    const dot = make("span", { className: "dot" });
    dot.style.background = agent.colour;
    const cells = { action: make("td"), reward: make("td", { className: "number" }), total: make("td", { className: "number" }) };
    const line = make("tr", {}, [make("td", {}, [dot, " ", agent.name]), make("td", { textContent: agent.seat }), cells.action, cells.reward, cells.total]);
    return { line, ...cells };
  }

  key(event) {
    const moves = { ArrowLeft: -1, ArrowRight: 1, PageUp: -10, PageDown: 10 };
    if (event.key in moves) { this.pause(); this.show(this.time + moves[event.key]); }
    else if (event.key === "Home") { this.pause(); this.show(0); }
    else if (event.key === "End") { this.pause(); this.show(this.about.steps); }
    else if (event.key === " ") this.toggle();
    else return;
    event.preventDefault();
  }

  toggle() {
    if (this.timer) return this.pause();
    if (this.time >= this.about.steps) this.time = -1;
    this.playing.textContent = "Pause";
    this.timer = setInterval(() => {
      if (!document.body.contains(this.root) || this.time >= this.about.steps) return this.pause();
      if (!this.busy) this.show(this.time + 1);
    }, 1000 / STEPS_A_SECOND / this.speed);
  }

  pause() {
    clearInterval(this.timer);
    this.timer = null;
    if (!this.playing) return;
    this.playing.textContent = "Play";
    if (this.frames[this.time]) this.observe();
  }

  async piece(time) {
    const start = this.frames[time] ? null : time;
    if (start === null) return;
    const found = (await this.source.frames(start, PIECE)) ?? [];
    found.forEach((frame, k) => { this.frames[start + k] = frame; });
  }

  async show(time) {
    time = Math.max(0, Math.min(time, this.about.steps));
    this.asked = time;
    this.busy = true;
    await this.piece(time);
    this.busy = false;
    const frame = this.frames[time];
    if (!frame || this.asked !== time) return;
    this.time = time;
    this.slider.value = time;
    this.paint(frame);
    this.caption.textContent = frame.caption;
    this.svg.href = this.source.picture(time);
    this.svg.download = `${this.about.world}-step-${time}.svg`;
    const facts = Object.entries(frame.metrics).map(([name, value]) => `${name.replaceAll("_", " ")} ${digits(value)}`);
    this.status.textContent = [`Step ${time} of ${this.about.steps}${frame.over ? ", the end" : ""}`, ...facts].join(" · ");
    this.canvas.setAttribute("aria-label", `${this.about.world} at step ${time} of ${this.about.steps}. ${frame.caption}`);
    this.rows.forEach((row, i) => {
      row.action.textContent = frame.actions ? frame.actions[i] : "";
      row.reward.textContent = digits(frame.reward[i]);
      row.total.textContent = digits(frame.returns[i]);
      row.line.classList.toggle("gone", !frame.alive[i]);
    });
    this.talk(frame.talk);
    if (!this.timer) this.observe();
  }

  observe() {
    clearTimeout(this.waiting);
    this.waiting = setTimeout(async () => {
      const time = this.time;
      const seen = await this.source.observations(time);
      if (seen && time === this.time) this.observed.textContent = seen[this.watched];
    }, 120);
  }

  paint(frame) {
    const [left, bottom, right, top] = frame.bounds;
    const width = this.canvas.clientWidth || 400;
    const scale = width / (right - left);
    const height = Math.max(24, (top - bottom) * scale);
    this.canvas.style.height = `${height}px`;
    const pen = sharp(this.canvas, width, height);
    const x = (value) => (value - left) * scale;
    const y = (value) => (top - value) * scale;
    for (const shape of frame.shapes) drawShape(pen, shape, x, y, scale);
  }

  // Who is heard by whom: agents on a ring, an arrow for each message, as wide as it is listened to.
  talk(said) {
    this.ring.hidden = this.messages.hidden = !said;
    if (!said) return;
    const size = Math.min(320, this.ring.parentElement.clientWidth || 320);
    const pen = sharp(this.ring, size, size);
    const count = said.sent.length;
    const place = (i) => {
      const angle = (2 * Math.PI * i) / count - Math.PI / 2;
      return [size / 2 + 0.38 * size * Math.cos(angle), size / 2 + 0.38 * size * Math.sin(angle)];
    };
    const heard = [];
    for (let receiver = 0; receiver < count; receiver++) {
      for (let sender = 0; sender < count; sender++) {
        if (receiver === sender || !said.sent[sender]) continue;
        const weight = said.weight ? said.weight[receiver][sender] : 1 / Math.max(1, count - 1);
        if (weight < 0.01) continue;
        heard.push(`${this.about.agents[receiver].name} hears ${this.about.agents[sender].name} (${weight.toFixed(2)})`);
        arrow(pen, place(sender), place(receiver), this.about.agents[sender].colour, 1 + 7 * weight);
      }
    }
    this.about.agents.forEach((agent, i) => {
      const [cx, cy] = place(i);
      pen.fillStyle = agent.colour;
      pen.beginPath();
      pen.arc(cx, cy, 12, 0, 2 * Math.PI);
      pen.fill();
    });
    this.ring.setAttribute("aria-label", `Messages. ${heard.join("; ") || "Nobody is heard."}`);
    const line = (agent, i) => `${agent.name} ${said.sent[i] ? "says" : "keeps to itself"} ${said.message[i].slice(0, MOST_NUMBERS).map((v) => digits(v)).join(" ")}${said.message[i].length > MOST_NUMBERS ? " ..." : ""}`;
    this.messages.textContent = this.about.agents.map(line).join("\n");
  }

  save() {
    const link = make("a", { href: this.canvas.toDataURL("image/png"), download: `${this.about.world}-step-${this.time}.png` });
    link.click();
  }
}

// A pen on a cleared white canvas that is sharp on any screen.
function sharp(canvas, width, height) {
  const ratio = window.devicePixelRatio || 1;
  canvas.width = width * ratio;
  canvas.height = height * ratio;
  const pen = canvas.getContext("2d");
  pen.scale(ratio, ratio);
  pen.fillStyle = "#ffffff";
  pen.fillRect(0, 0, width, height);
  return pen;
}

function drawShape(pen, [kind, sx, sy, size, colour, text, toX, toY, tall, opacity], x, y, scale) {
  pen.globalAlpha = opacity;
  pen.fillStyle = colour;
  if (kind === "circle") {
    pen.beginPath();
    pen.arc(x(sx), y(sy), size * scale, 0, 2 * Math.PI);
    pen.fill();
  } else if (kind === "rect") {
    const half = (tall ?? size) * scale;
    pen.fillRect(x(sx) - size * scale, y(sy) - half, 2 * size * scale, 2 * half);
  } else if (kind === "text") {
    pen.font = `${size * scale}px system-ui, sans-serif`;
    pen.textAlign = "center";
    pen.textBaseline = "middle";
    pen.fillText(text, x(sx), y(sy));
  } else if (kind === "arrow") {
    arrow(pen, [x(sx), y(sy)], [x(toX), y(toY)], colour, 2);
  } else {
    pen.strokeStyle = colour;
    pen.lineWidth = 2;
    pen.beginPath();
    pen.moveTo(x(sx), y(sy));
    pen.lineTo(x(toX), y(toY));
    pen.stroke();
  }
  pen.globalAlpha = 1;
}

function arrow(pen, [x1, y1], [x2, y2], colour, width) {
  const angle = Math.atan2(y2 - y1, x2 - x1);
  const head = 4 + 2 * width;
  pen.strokeStyle = pen.fillStyle = colour;
  pen.lineWidth = width;
  pen.beginPath();
  pen.moveTo(x1, y1);
  pen.lineTo(x2 - head * Math.cos(angle), y2 - head * Math.sin(angle));
  pen.stroke();
  pen.beginPath();
  pen.moveTo(x2, y2);
  pen.lineTo(x2 - head * Math.cos(angle - 0.45), y2 - head * Math.sin(angle - 0.45));
  pen.lineTo(x2 - head * Math.cos(angle + 0.45), y2 - head * Math.sin(angle + 0.45));
  pen.fill();
}

function digits(value) {
  return Number.isInteger(value) ? String(value) : value.toFixed(Math.abs(value) < 10 ? 3 : 1);
}
