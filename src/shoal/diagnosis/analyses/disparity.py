"""How far each agent's behaviour is from the others', in five dimensions; ``--with disparity:NAME`` for one agent.

Most traces hold times and texts only, so that one of the five is measured; events whose payload names ``payoffs``,
``plan``, ``better`` or ``violates`` (see ``shoal.diagnosis.behaviour``) give the others.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from shoal.diagnosis.behaviour import Behaviour, behaviour_of
from shoal.diagnosis.conversation import Conversation, is_agent
from shoal.diagnosis.disparity import DIMENSIONS, OPERATIONALISATION, Disparity
from shoal.diagnosis.disparity import disparity as apart
from shoal.diagnosis.sections import ANALYSES, Bar, Section
from shoal.errors import UnknownName

KNOWN = ("payoffs", "plan", "better", "violates")
MOST_SHOWN = 10


@ANALYSES.register("disparity")
def disparity(conversations: Sequence[Conversation], agent: str = "") -> Section:
    """Each agent (or the one named) against all others.

    Raises:
        UnknownName: no such agent.
    """
    names, actors = _behaviour(conversations)
    if agent and agent not in names:
        raise UnknownName("--with disparity", agent, names)
    if len(names) < 2:
        return Section("disparity", "Two agents are needed to compare.", (), {"agents": [], "note": OPERATIONALISATION})
    place = np.arange(len(names))
    chosen = [agent] if agent else names[:MOST_SHOWN]
    told = {n: apart(actors.where(place == names.index(n)), actors.where(place != names.index(n))) for n in chosen}
    farthest = max(told, key=lambda n: np.nan_to_num(told[n].index))
    bars = [Bar(n, float(np.nan_to_num(d.index)), _figure(d)) for n, d in told.items()]
    lines = [f"{n}: {_distances(d)}; {d.verdict}" for n, d in told.items()]
    headline = f"Farthest from the others is {farthest} ({_figure(told[farthest])}). There is no threshold for bad."
    if not any(d.measured for d in told.values()):
        headline = "Not measurable: no agent acted twice at known times, and no event names pay-offs, plans or probes."
    document = {"agents": [_document(n, d) for n, d in told.items()], "note": OPERATIONALISATION}
    return Section("disparity", headline, [*lines, OPERATIONALISATION], document, bars)


def _behaviour(conversations: Sequence[Conversation]) -> tuple[list[str], Behaviour]:
    """Names of the agents, in the order of their rows, and what they did."""
    records: list[dict[str, Any]] = []
    for view in conversations:
        for step in view.steps:
            if is_agent(step.agent):
                payload = step.event.payload
                action = payload.get("action") or payload.get("tool") or step.kind
                known = {key: payload[key] for key in KNOWN if key in payload}
                records.append(
                    {"actor": step.agent, "time": step.event.time, "words": step.text, "action": action, **known}
                )
    names = list(dict.fromkeys(r["actor"] for r in records))
    return names, behaviour_of(records, "trace")


def _figure(found: Disparity) -> str:
    if not found.measured:
        return "not measurable"
    return (
        f"index {found.index:.2f} [{found.low:.2f}, {found.high:.2f}], {found.measured} of {len(DIMENSIONS)} measured"
    )


def _distances(found: Disparity) -> str:
    return ", ".join(f"{n} {d:.2f}" if np.isfinite(d) else f"{n} not measurable" for n, d in found.distances.items())


def _document(name: str, found: Disparity) -> dict[str, Any]:
    def value(x: float) -> float | None:
        return round(x, 4) if np.isfinite(x) else None

    return {
        "agent": name, "index": value(found.index), "low": value(found.low), "high": value(found.high),
        "measured": found.measured, "verdict": found.verdict,
        "distances": {n: value(d) for n, d in found.distances.items()},
    }  # fmt: skip
