"""Stages: what is exchanged on a channel: context (early), parameters (mid) or outputs (late)."""

from __future__ import annotations

from dataclasses import replace

from shoal.errors import InputError
from shoal.teams.outcome import Outcome
from shoal.teams.protocols.asking import Halt
from shoal.teams.vocabulary.components import component, part
from shoal.teams.vocabulary.floor import Floor, spread
from shoal.teams.vocabulary.parameters import (
    Parameters,
    ParametricModel,
    check_same_shapes,
    federated_average,
    gossip_average,
)
from shoal.teams.vocabulary.settlement import settle
from shoal.teams.vocabulary.structures import links_of, natural_round


@component(
    "stage",
    "early",
    meaning="context is shared: private sheets go round first, then rounds of talk, then the aggregate",
    trade_off="agents can correct and complete each other; errors spread too, and it costs most tokens",
    aliases=("data", "context"),
)
async def early(floor: Floor) -> Outcome:
    """Share what is known, talk, settle."""
    channel = floor.channel
    if floor.channel.hub_form != "hub":
        share_sheets(floor)
    halt, reason = Halt(channel.stop.agreement, channel.stop.repeats), ""
    talk = natural_round if channel.paradigm is None else part("paradigm", channel.paradigm)
    while floor.round < channel.rounds and not reason and not floor.halted:
        before = floor.current()
        await talk(floor)
        floor.round += 1
        now = floor.current()
        if before:
            floor.conduct.observe(floor.question, before, now)
        reason = halt.reason(floor.question, now)
    return await settle(floor, reason or "rounds")


def share_sheets(floor: Floor) -> None:
    """Every actor with a private sheet sends it to those it is linked to, who keep it in view."""
    links = links_of(floor)
    for name in floor.names:
        sheet = floor.question.sheets.get(str(floor.places[name]))
        if sheet:
            floor.hand_out(name, links[name], sheet, (), links)


@component(
    "stage",
    "mid",
    meaning="parameters are exchanged and averaged before the agents answer: by a server (star), level by level, or "
    "by gossip over the graph",
    trade_off="shares what was learnt without sharing the data; needs identical architectures. Language models have "
    "only their adapters to merge, after training",
    aliases=("model", "weights", "parameters"),
)
async def mid(floor: Floor) -> Outcome:
    """Average the actors' parameters, then let each answer with what it has got."""
    models: dict[str, ParametricModel] = {}
    for name, agent in floor.agents.items():
        if not isinstance(agent.model, ParametricModel):
            raise InputError(f"stage mid {name}", agent.model and agent.model.spec, "It has no parameters to exchange.")
        models[name] = agent.model
    sets: dict[str, Parameters] = {name: model.parameters for name, model in models.items()}
    check_same_shapes(list(sets.values()))
    shapes = ", ".join(f"{name} {array.shape}" for name, array in next(iter(sets.values())).items())
    if floor.channel.structure == "decentralized":
        for _ in range(floor.channel.rounds):
            sets = _by_gossip(floor, sets, shapes)
            floor.round += 1
    else:
        sets = _by_server(floor, sets, shapes)
        floor.round = 1
    for name in floor.names:
        floor.agents[name] = replace(floor.agents[name], model=ParametricModel(sets[name], name))
    await floor.answer(floor.names)
    return await settle(floor, "averaged")


def _by_gossip(floor: Floor, sets: dict[str, Parameters], shapes: str) -> dict[str, Parameters]:
    """One round of averaging with the neighbours of this round's graph."""
    links = {name: list(near) for name, near in links_of(floor).items()}
    for name in floor.names:  # averaging needs both ways; a drawn graph may have one only
        for other in floor.names:
            if other in links[name] and name not in links[other]:
                links[other].append(name)
    order = floor.names
    for name in order:
        floor.session.send(name, links[name], f"parameters: {shapes}")
    mixed = gossip_average([sets[n] for n in order], [[order.index(o) for o in links[n]] for n in order])
    return dict(zip(order, mixed, strict=True))


def _by_server(floor: Floor, sets: dict[str, Parameters], shapes: str) -> dict[str, Parameters]:
    """The hub, or the top level's first agent, averages what reaches it and sends the mean back."""
    server, links = floor.hub or floor.levels[-1][0], links_of(floor)
    clients, parents = [server], list[str]()
    for name in floor.names:
        for message in spread(floor.session, links, name, [server], f"parameters: {shapes}", ()):
            clients.append(name)
            parents.append(message.event)
    samples = [float(floor.roster[name][1].samples) for name in clients]
    average = federated_average([sets[name] for name in clients], samples)
    event = floor.session.decide(server, "average", parents, clients=clients, samples=samples)
    answers = spread(floor.session, links, server, floor.names, f"averaged parameters: {shapes}", [event])
    reached = {server, *(name for message in answers for name in message.receivers)}
    return {name: average if name in reached else own for name, own in sets.items()}


@component(
    "stage",
    "late",
    meaning="outputs are combined: everybody answers alone, then the aggregate (vote, ranking, fusion) decides",
    trade_off="cheap, parallel, errors stay independent; nobody can learn from anybody",
    aliases=("output", "outputs"),
)
async def late(floor: Floor) -> Outcome:
    """No talk; in a star the leaves send their outputs to the hub."""
    if floor.channel.structure == "centralized" and floor.channel.hub_form != "both":
        await natural_round(floor)
    else:
        await floor.answer(floor.names)
        if floor.hub is not None:
            floor.halted = "" if floor.hub in floor.opinions else "the hub failed"
            links = links_of(floor)
            for name in floor.names:
                floor.tell(name, [floor.hub], links)
    floor.round = 1
    return await settle(floor, "outputs")
