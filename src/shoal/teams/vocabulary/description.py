"""A team explained: each chosen value with its trade-off, and all choices for a form."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from shoal.teams.vocabulary.components import COMPONENTS, fields, values
from shoal.teams.vocabulary.schema import Channel, TeamSpec


@dataclass(frozen=True, slots=True)
class Choice:
    """A value that a team has chosen.

    Attributes:
        where: "channels[0].structure", "orchestration.mode" and so on.
        value: the value.
        meaning: what it does.
        trade_off: what it is good and bad at.
    """

    where: str
    value: str
    meaning: str
    trade_off: str


_CHANNEL_FIELDS = ("stage", "type", "strategy", "structure", "graph", "hub_form", "paradigm", "aggregate")


def describe(spec: TeamSpec) -> list[Choice]:
    """Every value of the vocabulary in a team, in the order of its fields, with its trade-off."""
    found = [_choice("actors", "actors", c.name) for c in values("actors") if c.part(spec)]
    for i, channel in enumerate(spec.channels):
        for field in _CHANNEL_FIELDS:
            value = getattr(channel, field)
            if value is not None and _matters(channel, field):
                found.append(_choice(f"channels[{i}].{field}", field, value))
    found.append(_choice("orchestration.mode", "orchestration", spec.orchestration.mode))
    if spec.orchestration.plan is not None:
        found.append(_choice("orchestration.plan", "plan", spec.orchestration.plan))
    return found


def choices() -> dict[str, list[dict[str, Any]]]:
    """All values by field, each with its meaning, trade-off and aliases: what a form offers."""
    return {
        field: [
            {"value": c.name, "meaning": c.meaning, "trade_off": c.trade_off, "aliases": list(c.aliases)}
            for c in values(field)
        ]
        for field in fields()
    }


def _choice(where: str, field: str, value: str) -> Choice:
    known = COMPONENTS.get(f"{field}/{value}")
    return Choice(where, value, known.meaning, known.trade_off)


def _matters(channel: Channel, field: str) -> bool:
    """Whether a field says anything in this channel: graphs belong to peers, hub forms to stars."""
    if field == "graph":
        return channel.structure == "decentralized"
    if field == "hub_form":
        return channel.structure == "centralized"
    return True
