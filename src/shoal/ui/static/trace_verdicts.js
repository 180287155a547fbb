// The diagnosis of a report: each conversation's suspects and findings, with links into its trace. All words of the trace
// are set as textContent.
"use strict";

class TraceVerdicts {
  constructor(root, { summary, left_out, talks, scores }, walk) {
    Object.assign(this, { walk, scores });
    root.append(this.line(this.whole(summary, left_out)), ...talks.map((talk, place) => this.verdict(talk, place === 0)));
    const first = talks[0].suspects.find((suspect) => suspect.reasons.length);
    if (first) walk.lanes.set({ path: first.path });
  }

  line(words, quiet = false) {
    return make("p", { className: quiet ? "small quiet" : "", textContent: words });
  }

  whole({ conversations, failed, unknown }, left) {
    if (conversations === 1) return "One conversation; as `shoal diagnose` reads it.";
    const others = left ? `; the ${left} others are not shown` : "";
    return `${conversations} conversations, as \`shoal diagnose\` reads them: ${failed} failed, ${unknown} of unknown outcome${others}.`;
  }

  verdict(talk, open) {
    const parts = [make("summary", { textContent: `${talk.run}: ${talk.headline}`.slice(0, 600) })];
    talk.suspects.forEach((suspect, place) => parts.push(this.suspect(suspect, place + 1)));
    if (talk.others.length) parts.push(make("h3", { textContent: "Also seen" }), ...talk.others.map((one) => this.finding(one)));
    if (talk.others_left_out) parts.push(this.line(`and ${talk.others_left_out} more findings`, true));
    if (talk.advice.length) {
      const steps = talk.advice.map((words) => make("li", { textContent: words }));
      parts.push(make("h3", { textContent: "Try next" }), make("ul", {}, steps));
    }
    return make("details", { className: "panel", open }, parts);
  }

  // The event is shown above, so the page goes there.
  link(position) {
    const link = this.walk.link(position);
    link.addEventListener("click", () => this.walk.panel.scrollIntoView({ block: "center" }));
    return link;
  }

  suspect({ agent, step, confidence, downstream, position, path, reasons }, rank) {
    const parts = [make("h3", { textContent: `${rank}. ${agent || "(run)"}, step ${step}: ${Math.round(100 * confidence)}%` })];
    if (position !== null) parts.push(this.link(position));
    parts.push(this.line(`${downstream} later ${downstream === 1 ? "step was" : "steps were"} made from it.`, true));
    if (path.length) {
      parts.push(this.walk.button(`Mark its path (${path.length} events)`, () => this.walk.lanes.set({ path })));
    }
    return make("div", { className: "suspect" }, [...parts, ...reasons.map((one) => this.finding(one))]);
  }

  finding({ detector, score, evidence, events }) {
    const links = events.map((position) => make("li", {}, [this.link(position)]));
    const words = [this.line(`${detector} (${score.toFixed(2)}): ${evidence}`), this.line(this.scores[detector], true)];
    return make("div", { className: "finding" }, [...words, make("ul", { className: "events" }, links)]);
  }
}
