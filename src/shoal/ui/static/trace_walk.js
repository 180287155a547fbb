// The trace of a report: lanes, filters, search and one event closely. All words of the trace are set as textContent.
"use strict";

const WALK_BUTTONS = [
  ["Previous", "previous"], ["Next", "next"], ["Previous of agent", "previous of agent"],
  ["Next of agent", "next of agent"], ["Parent", "parent"], ["Child", "child"],
];
const MOST_NEAR = 20;
const BRIEF = 70;

class TraceWalk {
  constructor(root, data) {
    this.trace = new EmbeddedTrace(data);
    this.selection = { part: "", agents: [], kinds: [], text: "" };
    this.find = "";
    this.only = false;
    const find = (name) => root.querySelector(`[data-trace="${name}"]`);
    [this.panel, this.matches] = [find("event"), find("matches")];
    this.canvas = find("canvas");
    this.lanes = new ShoalTrace(this.canvas, find("status"), this.trace);
    shoalTraces.report = this.lanes;
    this.canvas.addEventListener("pick", (e) => this.choose(e.detail));
    this.canvas.addEventListener("walk", (e) => this.walk(e.detail));
    this.filters(find);
    const zooms = { in: () => this.lanes.zoom(2), out: () => this.lanes.zoom(0.5), all: () => this.lanes.whole() };
    for (const [name, act] of Object.entries(zooms)) find(`zoom-${name}`).onclick = act;
    const asked = Number(location.hash.match(/^#event-(\d+)$/)?.[1] ?? NaN);
    this.chosen = asked < this.trace.size ? asked : null;
    this.show();
    this.lanes.set({ event: this.chosen }, true);
  }

  filters(find) {
    const options = (select, names) => select.append(...names.map((name) => make("option", { value: name, textContent: name || "(run)" })));
    const parts = Object.keys(this.trace.parts);
    options(find("part"), parts.slice(0, 1000));
    find("part").parentElement.hidden = parts.length < 2;
    options(find("agent"), this.trace.agents.slice(0, 300));
    options(find("kind"), this.trace.kinds);
    // The first option stands for all; an agent's name may be empty, so places count, not values.
    const chosen = (e, names) => (e.target.selectedIndex ? [names[e.target.selectedIndex - 1]] : []);
    find("part").onchange = (e) => this.select({ part: chosen(e, parts)[0] ?? "" }, { start: null, end: null });
    find("axis").onchange = (e) => this.lanes.set({ axis: e.target.value, start: null, end: null });
    find("agent").onchange = (e) => this.select({ agents: chosen(e, this.trace.agents) });
    find("kind").onchange = (e) => this.select({ kinds: chosen(e, this.trace.kinds) });
    find("search").oninput = (e) => {
      clearTimeout(this.typing);
      this.typing = setTimeout(() => this.search(e.target.value.trim()), 250);
    };
    find("only").onchange = (e) => { this.only = e.target.checked; this.search(this.find); };
    find("previous-match").onclick = () => this.walk("previous match");
    find("next-match").onclick = () => this.walk("next match");
  }

  select(changes, window = {}) {
    Object.assign(this.selection, changes);
    this.lanes.set({ ...this.selection, ...window }, true);
    this.count();
  }

  search(words) {
    this.find = words;
    this.lanes.set({ find: words });
    this.select({ text: this.only ? words : "" });
  }

  // Tell how many events match, and go to the first if none is chosen that does.
  count() {
    this.matches.textContent = "";
    if (!this.find) return;
    const found = this.trace.found({ ...this.selection, text: this.find });
    this.matches.textContent = `${found.length.toLocaleString("en")} match${found.length === 1 ? "" : "es"}`;
    if (found.length && !found.includes(this.chosen)) this.choose(found[0]);
  }

  choose(position) {
    this.chosen = position;
    this.show();
    this.lanes.set({ event: position }, true);
    history.replaceState(null, "", `#event-${position}`);
  }

  walk(move) {
    const target = this.trace.target(move, this.chosen, this.selection, this.find);
    if (target === null) this.lanes.status.textContent = `No ${move}.`;
    else this.choose(target);
  }

  // --- one event ---

  show() {
    const [{ trace }, position] = [this, this.chosen];
    const buttons = WALK_BUTTONS.map(([label, move]) => this.button(label, () => this.walk(move)));
    const head = make("h3", { textContent: position === null ? "Event" : `Event ${position.toLocaleString("en")}` });
    const parts = [head, make("div", { className: "row" }, buttons)];
    if (position === null) {
      parts.push(make("p", { className: "quiet", textContent: "Choose an event in the lanes, search for words, or press Next." }));
    } else {
      const said = [this.facts(position), make("h4", { textContent: "What it says" }), this.said(trace.says[position])];
      const details = [this.prompt(trace.prompts[position]), this.rest(trace.rest[position])].filter(Boolean);
      parts.push(make("div", { className: "columns" }, [make("div", {}, [...said, ...details]), this.relatives(position)]));
    }
    this.panel.replaceChildren(...parts);
  }

  button(label, act) {
    return make("button", { type: "button", className: "button", textContent: label, onclick: act });
  }

  facts(position) {
    const { trace } = this;
    const cost = Object.entries(trace.usage[position] ?? {}).map(([name, value]) => `${value.toLocaleString("en")} ${name.replaceAll("_", " ")}`);
    const rows = {
      agent: trace.agents[trace.agent[position]] || "(run)", kind: trace.kinds[trace.kind[position]],
      id: `${trace.ids[position]} in ${trace.strings[trace.run[position]]}`,
      time: `${trace.moment[position].toFixed(3)} s after the first event`,
      to: trace.strings[trace.to[position]] ?? "", cost: cost.join(", ") || "nothing",
    };
    const cells = Object.entries(rows).filter(([, value]) => value);
    return make("dl", { className: "facts" }, cells.flatMap(([name, value]) => [make("dt", { textContent: name }), make("dd", { textContent: value })]));
  }

  said(place) {
    return make("div", { className: "said", textContent: this.trace.strings[place] || "(nothing)" });
  }

  prompt(messages) {
    if (!messages.length) return null;
    const shown = messages.flatMap(([role, place]) => [make("p", { className: "small quiet", textContent: this.trace.strings[role] }), this.said(place)]);
    const summary = make("summary", { textContent: `What it read (${messages.length} message${messages.length === 1 ? "" : "s"})` });
    return make("details", {}, [summary, ...shown]);
  }

  rest(place) {
    return place < 0 ? null : make("details", {}, [make("summary", { textContent: "Other fields" }), this.said(place)]);
  }

  relatives(position) {
    const { trace } = this;
    const groups = [["Made from", trace.above], ["Made from it", trace.below]];
    return make("div", {}, groups.flatMap(([title, links]) => {
      const near = [...links[position]].sort((a, b) => a - b);
      const all = trace.reach(links, position).length;
      const counts = `${near.length.toLocaleString("en")} directly, ${all.toLocaleString("en")} over any number of links`;
      const items = near.slice(0, MOST_NEAR).map((other) => make("li", {}, [this.link(other)]));
      const more = near.length > MOST_NEAR ? [make("p", { className: "small quiet", textContent: `and ${near.length - MOST_NEAR} more` })] : [];
      return [make("h4", { textContent: title }), make("p", { className: "small quiet", textContent: counts }), make("ul", { className: "events" }, items), ...more];
    }));
  }

  link(position) {
    const { trace } = this;
    const words = trace.strings[trace.says[position]].slice(0, 4 * BRIEF).split(/\s+/).join(" ");
    const told = `${position} ${trace.agents[trace.agent[position]] || "(run)"}, ${trace.kinds[trace.kind[position]]}: ${words.slice(0, BRIEF)}${words.length > BRIEF ? " ..." : ""}`;
    const link = make("a", { href: `#event-${position}`, textContent: told });
    link.onclick = (e) => { e.preventDefault(); this.choose(position); };
    return link;
  }
}
