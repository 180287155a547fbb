"""Error cascades in a stored run: the risk of its message graph, and values that contradict each other as they spread.

Every value that was stated is one small epidemic: who held it when. beta and delta are fitted to all of them together,
so they say how readily this team passes statements on and drops them, right or wrong (arXiv 2603.04474).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shoal.diagnosis.contagion.estimation import Fitted, fit
from shoal.diagnosis.contagion.risk import Risk, dangerous_seed, risk
from shoal.diagnosis.conversation import Conversation
from shoal.diagnosis.governance.claims import Fact, name
from shoal.diagnosis.governance.layer import Governance
from shoal.diagnosis.governance.stored import heard_by, rebuilt
from shoal.diagnosis.sections import ANALYSES, Bar, Section
from shoal.diagnosis.usage import usage_graph
from shoal.stats import Estimate

MOST_SHOWN = 5
MOST_FITTED = 200
"""Values that beta and delta are fitted to: those that most agents held."""


@dataclass(frozen=True)
class Rival:
    """A value that another one contradicts.

    Attributes:
        fact: subject and value.
        others: the values it stands against.
        agent: its first carrier.
        event: id of the event in which that agent stated it first.
        why: why it counts as wrong; empty if neither is known to be.
        coverage: S(t), share of agents that held it, by round.
    """

    fact: Fact
    others: tuple[str, ...]
    agent: str
    event: str
    why: str
    coverage: tuple[float, ...]


@dataclass(frozen=True)
class Cascades:
    """What one conversation shows.

    Attributes:
        conversation: which.
        risk: of its message graph at the fitted rates; NaN rates where they cannot be fitted.
        fitted: beta and delta; None without a value that anybody could pass on.
        claims: number of values they were fitted to.
        rivals: values that contradict others, those known to be wrong and those spread widest first.
    """

    conversation: Conversation
    risk: Risk
    fitted: Fitted | None
    claims: int
    rivals: tuple[Rival, ...]


@ANALYSES.register("cascades")
def cascades(conversations: Sequence[Conversation], brief: str = "") -> Section:
    """Risk with reach, first carriers and S(t) of the conversation that shows most; ``cascades:TEXT`` adds a brief."""
    found = [spread(c, brief) for c in conversations if len(c.agents) > 1]
    if not found:
        return Section("cascades", "Fewer than two agents spoke: nothing can spread.", (), {"conversations": 0})
    shown = max(found, key=_severity)
    lines = [f"conversation {shown.conversation.run}"] if len(found) > 1 else []
    lines += [_rates(shown), *(_told(rival) for rival in shown.rivals[:MOST_SHOWN])]
    if not shown.rivals:
        lines.append("No two values contradict each other in it (values are compared exactly, paraphrase is missed).")
    elif len(shown.rivals) > MOST_SHOWN:
        lines.append(f"... and {len(shown.rivals) - MOST_SHOWN} more values that contradict others")
    document = {"conversations": [_document(one) for one in found]}
    bars = [Bar(f"S({t})", s, f"{s:.2f}") for t, s in enumerate(shown.rivals[0].coverage[:24])] if shown.rivals else []
    return Section("cascades", headline(shown), lines, document, bars)


def spread(conversation: Conversation, brief: str = "") -> Cascades:
    """Rebuild the lineage of a conversation and measure how its values spread."""
    graph = usage_graph(conversation)
    governance = rebuilt(conversation, graph, brief=brief)
    lineage, table = governance.lineage, heard_by(conversation, graph)
    facts = [(s, v) for s, by_value in lineage.stated().items() for v in by_value]
    tables = [lineage.carried(fact) for fact in facts]
    states = _stacked(tables)
    fitted = fit(table, states, np.random.default_rng(0)) if states is not None else None
    beta, delta = _rate(fitted.beta if fitted else None), _rate(fitted.delta if fitted else None)
    known = math.isfinite(beta) and math.isfinite(delta)
    if known:
        danger = risk(table, beta, delta)
    else:
        still = risk(table, 0.0, 0.0, dangerous_seed(table))
        danger = Risk(still.agents, beta, delta, still.rho, math.nan, math.nan, still.seed, still.reach)
    return Cascades(
        conversation, danger, fitted, 0 if states is None else len(states), _rivals(governance, conversation)
    )


def headline(found: Cascades) -> str:
    """The risk in words."""
    names, danger = found.conversation.agents, found.risk
    if not math.isnan(danger.ratio) or danger.rho == 0:
        return danger.sentence(names)
    travels = f"one made by {names[danger.seed]} reaches {danger.reach} of {danger.agents - 1} others"
    return (
        f"rho = {danger.rho:.2f}; beta and delta cannot be fitted to this run, so R is unknown. "
        f"An error travels: {travels}."
    )


def _rivals(governance: Governance, conversation: Conversation) -> tuple[Rival, ...]:
    lineage, found = governance.lineage, []
    given = {subject: sorted(values) for subject, values in lineage.confirmed.items()}
    for subject, by_value in lineage.stated().items():
        for value, nodes in by_value.items():
            others = sorted({*by_value, *given.get(subject, ())} - {value})
            if others:
                why = next((n.evidence for n in nodes if n.status == "rejected"), "")
                event = _event(conversation, nodes[0].agent, nodes[0].claim.text)
                curve = tuple(lineage.coverage((subject, value)))
                found.append(Rival((subject, value), tuple(others), nodes[0].agent, event, why, curve))
    return tuple(sorted(found, key=lambda r: (not r.why, -max(r.coverage))))


def _event(conversation: Conversation, agent: str, words: str) -> str:
    said = [s for s in conversation.of(agent) if words in s.text]
    return said[0].event.id if said else ""


def _stacked(tables: list[NDArray[np.bool_]]) -> NDArray[np.bool_] | None:
    """Tables [rounds, agents] of the values that spread widest, as runs; None if there is no second round."""
    if not tables or tables[0].shape[0] < 2:
        return None
    widest = sorted(tables, key=lambda t: -int(t.any(axis=0).sum()))[:MOST_FITTED]
    return np.stack(widest)


def _rate(estimate: Estimate | None) -> float:
    return math.nan if estimate is None else estimate.value


def _severity(found: Cascades) -> tuple[bool, bool, float]:
    worst = max((max(r.coverage) for r in found.rivals), default=0.0)
    return (any(r.why for r in found.rivals), found.conversation.correct is False, worst)


def _rates(found: Cascades) -> str:
    if found.fitted is None or found.fitted.exposures == 0:
        return "beta and delta: nothing was stated that others could have passed on in a later round"
    beta, delta = found.fitted.beta, found.fitted.delta
    return f"beta {_shown(beta)}, delta {_shown(delta)}, fitted to {found.claims} values"


def _shown(e: Estimate) -> str:
    return f"{e.value:.2f} [{e.low:.2f}, {e.high:.2f}]" if math.isfinite(e.value) else "unknown"


def _told(rival: Rival) -> str:
    subject, value = rival.fact
    curve = " ".join(f"{s:.2f}" for s in rival.coverage[:12]) + (" ..." if len(rival.coverage) > 12 else "")
    wrong = f"; wrong: {rival.why}" if rival.why else ""
    return (
        f'"{name(subject)}" = {value} (also {", ".join(rival.others[:3])}): first carrier {rival.agent}, '
        f"event {rival.event}; S(t) {curve}{wrong}"
    )


def _document(found: Cascades) -> dict[str, Any]:
    danger, names = found.risk, found.conversation.agents
    fitted = {"beta": found.fitted.beta, "delta": found.fitted.delta} if found.fitted else {}
    rates = {
        rate: {"value": e.value, "ci_low": e.low, "ci_high": e.high} if math.isfinite(e.value) else None
        for rate, e in fitted.items()
    }
    return {
        "run": found.conversation.run, "agents": names, "rho": danger.rho,
        "ratio": danger.ratio if math.isfinite(danger.ratio) else None, "amplifies": bool(danger.amplifies),
        "seed": names[danger.seed], "reach": danger.reach, "claims": found.claims, **rates,
        "rivals": [{"subject": name(r.fact[0]), "value": r.fact[1], "others": list(r.others), "first_carrier": r.agent,
                    "event": r.event, "why": r.why, "coverage": list(r.coverage)} for r in found.rivals],
    }  # fmt: skip
