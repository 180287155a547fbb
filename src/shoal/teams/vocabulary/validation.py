"""Combinations of values that make no team, each with the field that is wrong and what to write instead."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from shoal.errors import InputError
from shoal.teams.vocabulary.schema import Channel, TeamSpec

Path = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Fault:
    """Something wrong in a team: where, what was found, and how to mend it."""

    path: Path
    value: object
    mend: str


def check_team(spec: TeamSpec) -> None:
    """Raise InputError for the first fault."""
    for fault in faults(spec):
        raise InputError(f"team {dotted(fault.path)}", fault.value, fault.mend)


def dotted(path: Path) -> str:
    """``("channels", 0, "hub")`` as ``channels[0].hub``."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def faults(spec: TeamSpec) -> Iterator[Fault]:
    """Everything that is wrong with a team, in the order of its fields."""
    names = [agent.name for agent in spec.agents]
    for i, agent in enumerate(spec.agents):
        if agent.name in names[:i]:
            yield Fault(("agents", i, "name"), agent.name, "Give each agent a name of its own.")
    titles = [channel.name for channel in spec.channels]
    for i, channel in enumerate(spec.channels):
        if channel.name in titles[:i]:
            yield Fault(("channels", i, "name"), channel.name, "Give each channel a name of its own.")
        yield from _channel_faults(spec, channel, ("channels", i))
    yield from _orchestration_faults(spec)


def _channel_faults(spec: TeamSpec, channel: Channel, path: Path) -> Iterator[Fault]:
    for i, label in enumerate(channel.actors):
        if not spec.resolve((label,)):
            yield Fault((*path, "actors", i), label, f"Name an agent or a role: {_labels(spec)}.")
    yield from _type_faults(spec, channel, path)
    yield from _strategy_faults(spec, channel, path)
    yield from _structure_faults(spec, channel, path)
    if channel.judge is not None and len(spec.resolve((channel.judge,))) != 1:
        yield Fault((*path, "judge"), channel.judge, f"Name one agent, or a role that one agent has: {_labels(spec)}.")
    if channel.stage == "late" and channel.rounds > 1:
        yield Fault((*path, "rounds"), channel.rounds, "Stage late combines outputs once: use rounds 1 or stage early.")
    if channel.stage == "mid":
        bare = [a.name for a in spec.agents if a.name in spec.resolve(channel.actors) and a.parameters is None]
        if bare:
            yield Fault(
                (*path, "stage"),
                "mid",
                f"It exchanges weights, and {', '.join(bare)} has no parameters. Language models are merged by their "
                "adapters after training (post-training), not while a team talks: use stage early or late.",
            )


def _type_faults(spec: TeamSpec, channel: Channel, path: Path) -> Iterator[Fault]:
    if channel.type == "competition" and channel.judge is None and channel.payoff is None:
        yield Fault((*path, "judge"), None, "Competition needs a judge or a payoff: somebody or something to win by.")
    if channel.type == "hybrid":
        if len(set(channel.types.values())) < 2 or "hybrid" in channel.types.values():
            yield Fault(
                (*path, "types"), channel.types, "A hybrid needs at least two actors of different types, none hybrid."
            )
    elif channel.types:
        yield Fault((*path, "types"), channel.types, "Only type hybrid has a type for each actor.")
    for label in channel.types:
        if not spec.resolve((label,)):
            yield Fault((*path, "types", label), label, f"Name an agent or a role: {_labels(spec)}.")
    if isinstance(channel.payoff, dict):
        for name in channel.payoff:
            if name not in spec.resolve(channel.actors):
                yield Fault((*path, "payoff", name), name, "Payoffs belong to the channel's own actors.")
    if channel.aggregate == "nash" and (
        not isinstance(channel.payoff, dict) or set(channel.payoff) != set(spec.resolve(channel.actors))
    ):
        yield Fault((*path, "payoff"), channel.payoff, "Aggregate nash needs a payoff table for each actor.")


def _strategy_faults(spec: TeamSpec, channel: Channel, path: Path) -> Iterator[Fault]:
    if channel.strategy == "rule-based" and channel.aggregate is None:
        yield Fault(
            (*path, "aggregate"), None, "A rule-based channel needs the rule: aggregate: plurality, for example."
        )
    if channel.strategy == "role-based":
        actors = spec.resolve(channel.actors)
        bare = [a.name for a in spec.agents if a.name in actors and not a.role]
        if bare:
            yield Fault((*path, "strategy"), "role-based", f"Give each actor a role; {', '.join(bare)} has none.")


def _structure_faults(spec: TeamSpec, channel: Channel, path: Path) -> Iterator[Fault]:
    actors = spec.resolve(channel.actors)
    hubs = spec.hubs(channel)
    if channel.structure == "centralized":
        if len(hubs) != 1:
            yield Fault((*path, "hub"), channel.hub, f"A star needs exactly one hub; this names {len(hubs)}.")
        elif hubs[0] not in actors:
            yield Fault((*path, "hub"), channel.hub, "The hub must be one of the channel's actors.")
    elif channel.hub is not None:
        yield Fault((*path, "hub"), channel.hub, "Only a centralized structure has a hub.")
    elif channel.hub_form != "both":
        yield Fault((*path, "hub_form"), channel.hub_form, "Only a centralized structure has a hub.")
    if channel.structure == "hierarchical":
        yield from _level_faults(spec, channel, path, actors)
    elif channel.levels:
        yield Fault((*path, "levels"), channel.levels, "Only a hierarchical structure has levels.")
    elif channel.keep is not None:
        yield Fault((*path, "keep"), channel.keep, "Only a hierarchical structure prunes between levels.")
    if channel.structure != "decentralized" and channel.graph != "mesh":
        yield Fault((*path, "graph"), channel.graph, "Only a decentralized structure has a graph.")


def _level_faults(spec: TeamSpec, channel: Channel, path: Path, actors: list[str]) -> Iterator[Fault]:
    if len(channel.levels) < 2:
        yield Fault(
            (*path, "levels"), channel.levels, "A hierarchy needs at least two levels, lowest first: [[a, b], [c]]."
        )
        return
    seen: list[str] = []
    for i, level in enumerate(channel.levels):
        members = spec.resolve(level)
        if not members:
            yield Fault((*path, "levels", i), level, f"Name agents or roles: {_labels(spec)}.")
        twice = [m for m in members if m in seen]
        if twice:
            yield Fault((*path, "levels", i), twice[0], "An agent stands on one level only.")
        seen += members
    if set(seen) != set(actors):
        odd = sorted(set(seen) ^ set(actors))
        yield Fault((*path, "levels"), odd, "The levels must hold the channel's actors, all of them and no others.")


def _orchestration_faults(spec: TeamSpec) -> Iterator[Fault]:
    orchestration = spec.orchestration
    path: Path = ("orchestration",)
    if orchestration.mode == "dynamic":
        if orchestration.manager is None:
            yield Fault((*path, "manager"), None, "Dynamic orchestration needs a manager: name one of the agents.")
        elif len(spec.resolve((orchestration.manager,))) != 1 or orchestration.manager == "all":
            yield Fault((*path, "manager"), orchestration.manager, f"Name one agent: {_labels(spec)}.")
        if orchestration.plan is None:
            yield Fault((*path, "plan"), None, "Say what the manager builds: personas, dag or routing.")
    else:
        for field in ("manager", "plan"):
            if getattr(orchestration, field) is not None:
                yield Fault((*path, field), getattr(orchestration, field), "Only dynamic orchestration has one.")


def _labels(spec: TeamSpec) -> str:
    return ", ".join(dict.fromkeys([a.name for a in spec.agents] + [a.role for a in spec.agents if a.role]))
