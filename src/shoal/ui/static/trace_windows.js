// The trace that a report holds: the same windows of it that the server makes (trace_lanes.py; a test holds both
// against each other), and what the report's pages ask besides. It is columns, not events: thousands stay small.
"use strict";

class EmbeddedTrace {
  static MOST_EVENTS = 1500;
  static MOST_ARROWS = 3000;
  static MOST_LANES = 40;
  static MOST_TOLD = 50;

  constructor(data) {
    Object.assign(this, data);
    this.size = data.agent.length;
    this.bytes = 0;
    this.above = Array.from({ length: this.size }, () => []);
    this.below = Array.from({ length: this.size }, () => []);
    this.links.forEach(([child, parent]) => {
      this.above[child].push(parent);
      this.below[parent].push(child);
    });
    this.lower = this.says.map((place) => this.strings[place].toLowerCase());
  }

  places(part) {
    return part ? this.parts[part] : [...Array(this.size).keys()];
  }

  // Whether each event is in a selection.
  mask({ part = "", agents = [], kinds = [], text = "" }) {
    const chosen = new Uint8Array(this.size);
    for (const place of this.places(part)) chosen[place] = 1;
    const keep = (test) => chosen.forEach((_, i) => { if (!test(i)) chosen[i] = 0; });
    if (agents.length) keep((i) => agents.includes(this.agents[this.agent[i]]));
    if (kinds.length) keep((i) => kinds.includes(this.kinds[this.kind[i]]));
    if (text.trim()) {
      const wanted = text.trim().toLowerCase();
      keep((i) => this.lower[i].includes(wanted) || this.ids[i] === wanted);
    }
    return chosen;
  }

  found(selection) {
    const chosen = this.mask(selection);
    return this.places("").filter((i) => chosen[i]);
  }

  // All events that one was made from (of `above`), or that were made from it (of `below`), in order.
  reach(links, event) {
    const seen = new Set([event]);
    const front = [event];
    while (front.length) {
      for (const other of links[front.pop()]) if (!seen.has(other)) front.push(other) && seen.add(other);
    }
    seen.delete(event);
    return [...seen].sort((a, b) => a - b);
  }

  marks({ event = null, path = [], find = "" }) {
    const marks = new Uint8Array(this.size);
    if (event !== null) {
      for (const i of this.reach(this.above, event)) marks[i] |= ShoalTrace.ANCESTOR;
      for (const i of this.reach(this.below, event)) marks[i] |= ShoalTrace.DESCENDANT;
      marks[event] |= ShoalTrace.CHOSEN | ShoalTrace.ANCESTOR | ShoalTrace.DESCENDANT;
    }
    for (const i of path) if (i >= 0 && i < this.size) marks[i] |= ShoalTrace.PATH;
    if (find) this.mask({ text: find }).forEach((is, i) => { if (is) marks[i] |= ShoalTrace.MATCH; });
    return marks;
  }

  // Where each event of a part lies on an axis; NaN for those of other parts.
  coordinates(part, axis) {
    const where = new Float64Array(this.size).fill(NaN);
    const places = this.places(part);
    const first = places.reduce((least, i) => Math.min(least, this.moment[i]), Infinity);
    places.forEach((i, order) => { where[i] = axis === "step" ? order : this.moment[i] - first; });
    return where;
  }

  // One lane for each agent that occurs, in order of first appearance; of too many the busiest, and one for the others.
  lanesOf(places) {
    const counts = this.agents.map(() => 0);
    for (const i of places) counts[this.agent[i]] += 1;
    const present = counts.map((_, a) => a).filter((a) => counts[a]);
    let own = present;
    if (present.length > EmbeddedTrace.MOST_LANES) {
      own = [...present].sort((a, b) => counts[b] - counts[a]).slice(0, EmbeddedTrace.MOST_LANES - 1).sort((a, b) => a - b);
    }
    const lane = this.agents.map((_, a) => (counts[a] ? (own.includes(a) ? own.indexOf(a) : own.length) : -1));
    const lanes = own.map((a) => ({ name: this.agents[a] || "(run)", events: counts[a] }));
    const others = present.length - own.length;
    const told = lanes.reduce((sum, one) => sum + one.events, 0);
    if (others) lanes.push({ name: `${others} other agents`, events: places.length - told });
    return { lane, lanes, others };
  }

  lanes(asked) {
    const where = this.coordinates(asked.part, asked.axis);
    const whole = this.places(asked.part).map((i) => where[i]);
    const span = whole.reduce(([low, high], x) => [Math.min(low, x), Math.max(high, x)], [Infinity, -Infinity]);
    if (!whole.length) span.fill(0);
    const start = asked.start ?? span[0];
    const end = Math.max(start, asked.end ?? span[1]);
    const chosen = this.mask(asked);
    const matching = this.places("").filter((i) => chosen[i]);
    const { lane, lanes, others } = this.lanesOf(matching);
    const inside = matching.filter((i) => where[i] >= start && where[i] <= end);
    const marks = this.marks(asked);
    const at = (i) => [where[i], lane[this.agent[i]]];
    const drawn = (arrows) => arrows.map(([from, to, mark]) => [...at(from), ...at(to), mark]);
    const seen = asked.event !== null && !Number.isNaN(where[asked.event]) && lane[this.agent[asked.event]] >= 0;
    const told = {
      axis: asked.axis, start, end, span, total: inside.length, matching: matching.length, kinds: this.kinds,
      other_agents: others, lanes, chosen: seen ? at(asked.event).reverse() : null,
    };
    if (inside.length > EmbeddedTrace.MOST_EVENTS) {
      const cells = this.binned(inside, lane, where, marks, told, asked.bins);
      return { ...told, form: "bins", bins: asked.bins, cells, arrows: drawn(this.nearArrows(asked, chosen)) };
    }
    const events = inside.map((i) => [i, lane[this.agent[i]], where[i], this.kind[i], marks[i]]);
    const [arrows, left] = this.arrowsOf(inside, chosen, marks, asked);
    return { ...told, form: "events", events, arrows: drawn(arrows), arrows_left_out: left };
  }

  // Counts per lane and bin: [lane, bin, events, ancestors, descendants, on the path, matches].
  binned(inside, lane, where, marks, { start, end }, bins) {
    const cells = new Map();
    const flags = [ShoalTrace.ANCESTOR, ShoalTrace.DESCENDANT, ShoalTrace.PATH, ShoalTrace.MATCH];
    for (const i of inside) {
      const row = lane[this.agent[i]];
      const bin = end > start ? Math.min(Math.trunc(((where[i] - start) / (end - start)) * bins), bins - 1) : 0;
      const key = row * bins + bin;
      if (!cells.has(key)) cells.set(key, [row, bin, 0, 0, 0, 0, 0]);
      const cell = cells.get(key);
      cell[2] += 1;
      flags.forEach((flag, k) => { if (marks[i] & flag) cell[3 + k] += 1; });
    }
    return [...cells.keys()].sort((a, b) => a - b).map((key) => cells.get(key));
  }

  pathArrows({ path }, chosen) {
    const kept = path.filter((i) => chosen[i]);
    return kept.slice(1).map((to, k) => [kept[k], to, ShoalTrace.PATH]);
  }

  arrowsOf(inside, chosen, marks, asked) {
    const shown = new Uint8Array(this.size);
    for (const i of inside) shown[i] = 1;
    const links = this.links.filter(([to, from]) => (shown[to] && chosen[from]) || (shown[from] && chosen[to]));
    const kept = links.slice(0, EmbeddedTrace.MOST_ARROWS).map(([to, from]) => [from, to, marks[to] & marks[from]]);
    return [[...this.pathArrows(asked, chosen), ...kept], links.length - kept.length];
  }

  // Zoomed out, the path and the nearest relatives of the chosen event still have their arrows.
  nearArrows(asked, chosen) {
    const arrows = this.pathArrows(asked, chosen);
    const { event } = asked;
    if (event === null || !chosen[event]) return arrows;
    const near = (links) => links[event].filter((i) => chosen[i]).sort((a, b) => a - b).slice(0, EmbeddedTrace.MOST_TOLD);
    for (const i of near(this.above)) arrows.push([i, event, ShoalTrace.ANCESTOR]);
    for (const i of near(this.below)) arrows.push([event, i, ShoalTrace.DESCENDANT]);
    return arrows;
  }

  // Where a move leads from an event (null for none) through a selection; null where there is nothing.
  target(move, here, selection, find) {
    const places = this.found(move.includes("match") ? { ...selection, text: find } : selection);
    if (move === "first" || move === "last" || (here === null && !move.includes("match"))) {
      return (move === "last" ? places.at(-1) : places[0]) ?? null;
    }
    if (move === "parent") return this.above[here].length ? Math.max(...this.above[here]) : null;
    if (move === "child") return this.below[here].length ? Math.min(...this.below[here]) : null;
    if (move.includes("match") && !find) return null;
    const own = move.includes("agent") ? places.filter((i) => this.agent[i] === this.agent[here]) : places;
    const from = here ?? -1;
    return (move.includes("previous") ? own.findLast((i) => i < from) : own.find((i) => i > from)) ?? null;
  }
}
