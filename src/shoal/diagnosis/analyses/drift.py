"""Drift of a stored run: the stability index by window and agent, alarms, how many of twelve dimensions are measured.

``--with drift`` looks at windows of 50 interactions, ``--with drift:30`` at windows of 30; ``--with drift:30,minilm``
also names the embedder of the texts (hashed character n-grams without it). The index and its thresholds
are those of arXiv 2601.04170, whose figures are simulated or projected: no deployed system stands behind them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from shoal.diagnosis.conversation import Conversation
from shoal.diagnosis.sections import ANALYSES, Bar, Section
from shoal.diagnosis.stability.dimensions import DIMENSIONS
from shoal.diagnosis.stability.index import Course, Reading, Rule, agent_courses, course
from shoal.diagnosis.stability.interactions import Array, Interaction, interactions
from shoal.errors import InputError
from shoal.models.opening import open_embedder
from shoal.traces import Event

MOST_BARS = 40
MOST_COURSES = 6
"""Runs, and agents of each, that are told one by one."""
ALL = "all runs in turn"


@ANALYSES.register("drift")
def drift(conversations: Sequence[Conversation], detail: str = "") -> Section:
    """Readings of each run that is long enough; of all in turn where none is."""
    window, _, embedder = detail.partition(",")
    rule = _rule(window)
    runs = _runs(conversations, rule, embedder)
    told = {name: course(found, rule) for name, found in runs.items()}
    told = {name: one for name, one in told.items() if one.readings and one.measured}
    most = sum(len(found) for found in runs.values())
    if not told:
        needed = rule.window * (rule.baseline + 1)
        headline = (
            f"Not measurable: {most} interactions, and {needed} are needed ({rule.baseline} windows of {rule.window} "
            f"as the baseline and one to compare); windows of 20 are the shortest (drift:20)."
        )
        return Section("drift", headline, (), {"interactions": most, "window": rule.window, "runs": []})
    agents = {name: agent_courses(runs[name], rule) for name in told}
    shown = min(told, key=_urgency_of(told))
    return Section(
        "drift",
        _headline(shown, told[shown], len(told)),
        [*_lines(told[shown], agents[shown]), *_others(told, shown)],
        {
            "interactions": most,
            "window": rule.window,
            "runs": [{"run": name, **_document(one, agents[name])} for name, one in told.items()],
        },
        [_bar(reading, rule) for reading in told[shown].readings[-MOST_BARS:]],
    )


def _rule(window: str) -> Rule:
    if not window:
        return Rule()
    if not window.isdigit():
        raise InputError("--with drift", window, "Give the interactions of a window, drift:30 for example.")
    return Rule(window=int(window))


def _runs(conversations: Sequence[Conversation], rule: Rule, embedder: str) -> dict[str, list[Interaction]]:
    """Interactions by run; all runs as one, in the order of the file, where no single one can be read."""
    events: dict[str, list[Event]] = {}
    for conversation in conversations:
        for event in conversation.events:
            events.setdefault(event.run, []).append(event)
    opened = open_embedder(embedder or "ngrams")

    def embed(texts: list[str]) -> Array:
        return asyncio.run(opened.embed(texts))

    runs = {name: interactions(found, embed) for name, found in events.items()}
    long = {name: found for name, found in runs.items() if len(found) >= rule.window * (rule.baseline + 1)}
    return long or {ALL: interactions([e for found in events.values() for e in found], embed)}


def _urgency_of(told: dict[str, Course]) -> Any:
    """Sorts runs: those with drift first, then by the last index."""

    def urgency(name: str) -> tuple[bool, float]:
        last = [r.index for r in told[name].readings if r.index is not None]
        return told[name].drift is None, last[-1] if last else 1.0

    return urgency


def _headline(run: str, one: Course, runs: int) -> str:
    last = next((r.index for r in reversed(one.readings) if r.index is not None), None)
    state = "drift" if one.drift is not None else "early onset" if one.onset is not None else "stable"
    where = one.drift if one.drift is not None else one.onset
    since = f" at interaction {one.readings[where].end}" if where is not None else ""
    weakest = f"; weakest group: {one.weakest}" if where is not None else ""
    index = "not measurable" if last is None else f"{last:.2f}"
    name = f"{run}: " if runs > 1 else ""
    return f"{name}{state}{since}, index {index} in the last window, {one.measured} of 12 measured{weakest}."


def _lines(one: Course, agents: dict[str, Course]) -> list[str]:
    reading = one.readings[-1]
    values = ", ".join(f"{d} {v:.2f}" for d, v in reading.dimensions.items() if v is not None)
    missing = [d for d in DIMENSIONS if all(r.dimensions[d] is None for r in one.readings)]
    lines = [f"last window: {values}"]
    if missing:
        lines.append(f"not in this log: {', '.join(missing)}; their weight goes to what was measured")
    for name, own in sorted(agents.items(), key=lambda item: item[1].readings[-1].index or 1.0)[:MOST_COURSES]:
        course_of = " ".join("-" if r.index is None else f"{r.index:.2f}" for r in own.readings[-12:])
        alarm = " drift" if own.drift is not None else " early onset" if own.onset is not None else ""
        lines.append(f"{name} ({own.measured} of 12): {course_of}{alarm}")
    if one.onset is not None:
        lines.append(
            "try: summarise old context, reset or route around the agents that read lowest, show examples from the "
            "baseline; and compare with plainly starting afresh"
        )
    return lines


def _others(told: dict[str, Course], shown: str) -> list[str]:
    rest = [name for name in told if name != shown]
    if not rest:
        return []
    drifted = sum(told[name].drift is not None for name in rest)
    return [f"{len(rest)} other runs were long enough; {drifted} of them drift"]


def _bar(reading: Reading, rule: Rule) -> Bar:
    label = f"{reading.start + 1}-{reading.end}"
    if reading.index is None:
        return Bar(label, 0.0, "not measurable")
    mark = " below " + f"{rule.threshold:g}" if reading.index < rule.threshold else ""
    mark = mark or (f" below {rule.onset:g}" if reading.index < rule.onset else "")
    return Bar(label, reading.index, f"{reading.index:.2f} ({reading.measured} of 12){mark}")


def _document(one: Course, agents: dict[str, Course] | None = None) -> dict[str, Any]:
    return {
        "measured": one.measured,
        "onset": None if one.onset is None else one.readings[one.onset].end,
        "drift": None if one.drift is None else one.readings[one.drift].end,
        "weakest": one.weakest,
        "windows": [
            {"from": r.start + 1, "to": r.end, "index": r.index, "measured": r.measured, "groups": dict(r.groups),
             "dimensions": dict(r.dimensions)}
            for r in one.readings
        ],
        **({} if agents is None else {"agents": {name: _document(own) for name, own in agents.items()}}),
    }  # fmt: skip
