"""A small team file for every value of the vocabulary, and files that must be refused."""

from __future__ import annotations

from typing import Any

import yaml

from shoal.errors import UnknownName
from shoal.teams.vocabulary.components import COMPONENTS

_STAR = {"structure": "centralized", "hub": "b"}
_LEVELS = {"structure": "hierarchical", "levels": [["a", "b"], ["c"]]}
_PAYOFF = {"a": {"A": 2, "B": 1}, "b": {"A": 1, "B": 2}, "c": {"A": 1, "B": 1}}
_ROLES = [
    {"name": "a", "role": "solver", "objective": "Solve it."},
    {"name": "b", "role": "checker", "objective": "Check it."},
    {"name": "c", "role": "writer", "objective": "Give the answer."},
]
_LINEAR = [
    {"name": n, "parameters": {"weights": [1.0 + d, 1.0 - d], "bias": 0.0}}
    for n, d in zip("abc", (0.3, -0.3, 0), strict=True)
]

_CHANNELS: dict[str, dict[str, Any]] = {
    "stage/late": {"stage": "late"},
    "type/competition": {"type": "competition", "judge": "c", "actors": ["a", "b"]},
    "type/coopetition": {"type": "coopetition", "payoff": _PAYOFF},
    "type/hybrid": {"type": "hybrid", "types": {"a": "competition", "b": "competition", "c": "cooperation"}},
    "strategy/model-based": {"strategy": "model-based", "aggregate": None},
    "structure/centralized": _STAR,
    "structure/hierarchical": {**_LEVELS, "keep": 1},
    "hub_form/both": _STAR,
    "hub_form/leaves": {**_STAR, "hub_form": "leaves"},
    "hub_form/hub": {**_STAR, "hub_form": "hub"},
    "aggregate/nash": {"aggregate": "nash", "payoff": _PAYOFF},
}


def example(field: str, value: str) -> str:
    """The YAML of a three-agent team that uses that value. Raises UnknownName if there is no such value."""
    name = f"{field}/{value}"
    if name not in COMPONENTS:
        raise UnknownName("vocabulary value", name, COMPONENTS.names())
    agents: list[Any] = ["a", "b", "c"]
    channel: dict[str, Any] = {"name": "talk", "strategy": "rule-based", "aggregate": "plurality"}
    channel |= _CHANNELS.get(name, {field: value} if field in ("graph", "paradigm", "aggregate") else {})
    channels = [channel]
    team: dict[str, Any] = {"name": f"{field}-{value}", "agents": agents, "channels": channels}
    if name == "stage/mid":
        team["agents"], channel["stage"] = _LINEAR, "mid"
    elif name in ("strategy/role-based", "actors/roles"):
        team["agents"] = _ROLES
        channel |= {"strategy": "role-based", "actors": ["solver", "checker", "writer"], "paradigm": "relay"}
        del channel["aggregate"]
    elif name == "actors/agents":
        channel["actors"] = ["a", "c"]
    elif name == "actors/heterogeneous":
        team["agents"] = ["a", {"name": "b", "model": "scripted:competence=0.9"}, "c"]
    elif name == "actors/human":
        team["agents"] = ["a", "b", {"name": "c", "model": "human"}]
    elif name == "orchestration/static":
        channels.append({"name": "check", "stage": "late", "strategy": "rule-based", "aggregate": "plurality"})
    elif name == "orchestration/dynamic" or field == "plan":
        plan = value if field == "plan" else "routing"
        channel["actors"] = ["b", "c"]
        channels.append(
            {"name": "alone", "actors": ["c"], "stage": "late", "strategy": "rule-based", "aggregate": "first"}
        )
        team["orchestration"] = {"mode": "dynamic", "manager": "a", "plan": plan}
    channels[:] = [{key: part for key, part in c.items() if part is not None} for c in channels]
    return yaml.safe_dump(team, sort_keys=False)


_HEAD = "name: wrong\nagents: [a, b, c]\nchannels:\n"

REFUSED: tuple[tuple[str, str, str], ...] = (
    ("rule-based without an aggregate", _HEAD + "  - strategy: rule-based\n", "channels[0].aggregate"),
    (
        "a star without a hub",
        _HEAD + "  - {strategy: rule-based, aggregate: plurality,\n     structure: star}\n",
        "channels[0].hub",
    ),
    (
        "a star with two hubs",
        _HEAD + "  - aggregate: plurality\n    structure: star\n    hub: [a, b]\n",
        "channels[0].hub",
    ),
    (
        "a hierarchy without levels",
        _HEAD + "  - aggregate: plurality\n    structure: hierarchical\n",
        "channels[0].levels",
    ),
    (
        "competition without judge or payoff",
        _HEAD + "  - aggregate: plurality\n    type: competition\n",
        "channels[0].judge",
    ),
    (
        "dynamic without a manager",
        _HEAD + "  - aggregate: plurality\norchestration: {mode: dynamic, plan: dag}\n",
        "orchestration.manager",
    ),
    (
        "weights of agents that have none",
        _HEAD + "  - aggregate: plurality\n    stage: mid\n",
        "channels[0].stage",
    ),
)
"""Files that make no team: (what is wrong, text, the field that the error must name)."""
