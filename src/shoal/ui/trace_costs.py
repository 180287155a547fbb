"""What a part of a trace cost: by agent, and by edge between agents."""

from __future__ import annotations

from typing import Any

import numpy as np

from shoal.ui.trace_index import COUNTED, Positions, TraceIndex

NOTHING = "(nothing)"
RUN = "(run)"


def by_agent(index: TraceIndex, places: Positions) -> list[dict[str, Any]]:
    """One row for each agent, the dearest first: events and the sums of its usage."""
    agent, spent = index.agent[places], index.spent[places]
    count = len(index.agents)
    sums = [np.bincount(agent, column, minlength=count) for column in spent.T]
    events = np.bincount(agent, minlength=count)
    rows = [
        {"agent": index.agents[i] or RUN, "events": int(events[i]), **_figures([s[i] for s in sums])}
        for i in np.flatnonzero(events).tolist()
    ]
    return sorted(rows, key=_dearest)


def by_edge(index: TraceIndex, places: Positions) -> list[dict[str, Any]]:
    """One row for each pair of agents with links between their events, the dearest first.

    What an event cost is shared equally among the events that it was made from, so the rows sum up to what all cost;
    events that were made from nothing have "(nothing)" for a source.
    """
    inside = np.zeros(len(index), bool)
    inside[places] = True
    kept = inside[index.children] & inside[index.parents]
    children, parents = index.children[kept], index.parents[kept]
    above = np.bincount(children, minlength=len(index))
    first = places[above[places] == 0]
    target = np.concatenate([children, first])
    source = np.concatenate([index.agent[parents], np.full(len(first), len(index.agents))])
    share = 1.0 / np.maximum(1, above[target])
    pair = index.agent[target] * (len(index.agents) + 1) + source
    pairs, place = np.unique(pair, return_inverse=True)
    spent = index.spent[target] * share[:, None]
    sums = [np.bincount(place, column, minlength=len(pairs)) for column in spent.T]
    links = np.bincount(place, minlength=len(pairs))
    names = [name or RUN for name in index.agents] + [NOTHING]
    rows = [
        {"from": names[code % len(names)], "to": names[code // len(names)], "links": int(links[i]),
         **_figures([s[i] for s in sums])}
        for i, code in enumerate(pairs.tolist())
    ]  # fmt: skip
    return sorted(rows, key=_dearest)


def _figures(sums: list[Any]) -> dict[str, float]:
    figures = {name: round(float(value), 6) for name, value in zip(COUNTED, sums, strict=True)}
    return figures | {"tokens": round(figures["prompt_tokens"] + figures["completion_tokens"], 6)}


def _dearest(row: dict[str, Any]) -> tuple[float, float, float]:
    return -row["money"], -row["tokens"], -row.get("events", row.get("links", 0))
