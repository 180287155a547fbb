"""Structures: who is linked to whom, and the order of speech that belongs to each structure."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from shoal.teams.protocols.aggregation import tally
from shoal.teams.vocabulary.components import component, part
from shoal.teams.vocabulary.floor import Floor, Links, spread

CHOSEN_PEERS = 2
"""How many peers an agent of a random or dynamic graph hears in a round."""


@component(
    "structure",
    "centralized",
    meaning="a star: every word goes through the hub, which relays and decides; 2(n-1) messages a round",
    trade_off="simple, easy to steer, few messages; the hub is a bottleneck and a single point of failure",
    aliases=("star", "centralised", "hub", "hub-and-spoke"),
)
def centralized(floor: Floor) -> Links:
    """Links between the hub and everybody else, both ways."""
    hub = str(floor.hub)
    return {name: [other for other in floor.names if other != hub] if name == hub else [hub] for name in floor.names}


@component(
    "structure",
    "decentralized",
    meaning="peer to peer: agents talk to each other directly, over a mesh, a ring, or a random or dynamic graph",
    trade_off="resilient, no single point of failure; heavy traffic (n(n-1) messages a round in a mesh)",
    aliases=("decentralised", "distributed", "peer-to-peer", "p2p"),
)
def decentralized(floor: Floor) -> Links:
    """The links of the channel's graph."""
    links: Links = part("graph", floor.channel.graph)(floor)
    return links


@component(
    "structure",
    "hierarchical",
    meaning="levels: agents talk within their level and with the next ones; weak agents can be pruned between levels",
    trade_off="less of a bottleneck than a star, work is divided; latency, and a failed level cuts off those below",
    aliases=("layered", "hierarchy", "levels", "tree-structure"),
)
def hierarchical(floor: Floor) -> Links:
    """Links within a level and to the levels next to it."""
    links: dict[str, list[str]] = {}
    for i, level in enumerate(floor.levels):
        near = [name for j in (i - 1, i, i + 1) if 0 <= j < len(floor.levels) for name in floor.levels[j]]
        for name in level:
            links[name] = [other for other in near if other != name]
    return links


@component(
    "graph",
    "mesh",
    meaning="everybody is linked to everybody",
    trade_off="fastest spread, survives any death; n(n-1) messages a round",
    aliases=("full-mesh", "complete", "fully-connected"),
)
def mesh(floor: Floor) -> Links:
    """The complete graph."""
    return {name: [other for other in floor.names if other != name] for name in floor.names}


@component(
    "graph",
    "ring",
    meaning="everybody is linked to the two neighbours in the order of the team",
    trade_off="2n messages a round; news takes n/2 rounds to get around",
    aliases=("circle",),
)
def ring(floor: Floor) -> Links:
    """The cycle through all actors."""
    names = floor.names
    count = len(names)
    return {
        name: list(dict.fromkeys(o for o in (names[i - 1], names[(i + 1) % count]) if o != name))
        for i, name in enumerate(names)
    }


@component(
    "graph",
    "random",
    meaning=f"in each round everybody tells {CHOSEN_PEERS} peers that are drawn at random",
    trade_off="few messages and no fixed bottleneck; differs from round to round",
    aliases=("random-graph", "gossip"),
)
def random(floor: Floor) -> Links:
    """A random graph with that out-degree, drawn anew each round from the team's seed."""
    rng = np.random.default_rng(floor.stream("graph"))
    links = {}
    for name in floor.names:
        others = [other for other in floor.names if other != name]
        chosen = rng.permutation(len(others))[:CHOSEN_PEERS]
        links[name] = [others[i] for i in sorted(chosen)]
    return links


@component(
    "graph",
    "dynamic",
    meaning=f"in each round everybody hears the {CHOSEN_PEERS} peers whose answers have most support",
    trade_off="spends messages where they matter; the majority is heard even more, right or wrong",
    aliases=("learned", "dynamic-graph"),
)
def dynamic(floor: Floor) -> Links:
    """Rebuilt each round from the answers; ties go to the order of the team."""
    from shoal.tasks.answers import canonical

    opinions = floor.current()
    votes = tally(floor.question, opinions, floor.conduct.weights()).votes
    support = {o.agent: votes.get(canonical(floor.question, o.answer), 0.0) for o in opinions if o.answer is not None}
    links: dict[str, list[str]] = {name: [] for name in floor.names}
    for listener in floor.names:
        peers = sorted((n for n in floor.names if n != listener), key=lambda n: -support.get(n, 0.0))[:CHOSEN_PEERS]
        for speaker in peers:
            links[speaker].append(listener)
    return links


@component(
    "hub_form",
    "both",
    meaning="leaves and hub have models: the leaves report, the hub decides",
    trade_off="the hub can weigh and correct; n calls a round",
)
def everywhere(floor: Floor) -> list[str]:
    """Everybody has a model."""
    return floor.names


@component(
    "hub_form",
    "leaves",
    meaning="models at the leaves: the hub relays their words and counts, it has no model",
    trade_off="a cheap hub that cannot err by itself; it cannot reason either",
    aliases=("models-at-leaves",),
)
def at_the_leaves(floor: Floor) -> list[str]:
    """Everybody but the hub has a model."""
    return [name for name in floor.names if name != floor.hub]


@component(
    "hub_form",
    "hub",
    meaning="model at the hub: the leaves send what they know, only the hub reasons",
    trade_off="one call and one picture of the whole; nothing is worked out in parallel, and nobody checks the hub",
    aliases=("model-at-hub",),
)
def at_the_hub(floor: Floor) -> list[str]:
    """Only the hub has a model."""
    return [name for name in floor.names if name == floor.hub]


def links_of(floor: Floor) -> Links:
    """The links of the channel's structure in this round."""
    links: Links = part("structure", floor.channel.structure)(floor)
    return links


async def natural_round(floor: Floor) -> None:
    """One round in the structure's own order of speech."""
    if floor.channel.structure == "centralized":
        await star_round(floor, str(floor.hub), links_of(floor))
    elif floor.channel.structure == "hierarchical":
        await level_round(floor)
    else:
        await exchange_round(floor)


async def exchange_round(floor: Floor) -> None:
    """Everybody tells those it is linked to; then everybody answers. First answers come before."""
    if not floor.opinions:
        await floor.answer(floor.names)
    links = links_of(floor)
    for name in floor.names:
        floor.tell(name, links[name], links)
    await floor.answer(floor.names)


async def star_round(floor: Floor, hub: str, links: Links) -> None:
    """The hub hands out the task or what it thinks so far, the others report, the hub decides.

    In the form "leaves" the hub has no model: it relays the reports to the leaves and decides by the aggregate alone.
    In the form "hub" only the hub has one: the leaves send what they know.
    """
    leaves = [name for name in floor.names if name != hub]
    thinking = part("hub_form", floor.channel.hub_form)(floor)
    if thinking == [hub]:
        for leaf in leaves if floor.round == 0 else ():
            sheet = floor.question.sheets.get(str(floor.places[leaf]), "") or "nothing to add"
            floor.hand_out(leaf, [hub], sheet, (), links)
        await floor.answer([hub])
        return
    if hub in floor.opinions:
        reached = floor.tell(hub, leaves, links)
    else:
        orders = spread(floor.session, links, hub, leaves, "Work on this task and report.", ())
        reached = [name for order in orders for name in order.receivers]
    await floor.answer(reached)
    for leaf in reached:
        floor.tell(leaf, [hub] if hub in thinking else floor.names, links)
    if hub in thinking:
        verdict = await floor.answer([hub])
        if floor.channel.structure == "centralized" and verdict[0].failed:
            floor.halted = "the hub failed"


async def level_round(floor: Floor) -> None:
    """Level by level, lowest first: a level answers, its best report upwards, and it tells its own and the lower level.

    Pruned agents have told nobody above; what is told within and downwards is heard in the next round.
    """
    links = links_of(floor)
    for i, level in enumerate(floor.levels):
        await floor.answer(level)
        above = floor.levels[i + 1] if i + 1 < len(floor.levels) else ()
        below = floor.levels[i - 1] if i > 0 else ()
        kept = strongest(floor, level) if above else list(level)
        for name in level:
            floor.tell(name, [*(above if name in kept else ()), *(o for o in level if o != name), *below], links)


def strongest(floor: Floor, level: Sequence[str]) -> list[str]:
    """The ``keep`` agents of a level whose answers have most support in it; all of them without a limit."""
    from shoal.tasks.answers import canonical

    keep = floor.channel.keep
    if keep is None or keep >= len(level):
        return list(level)
    opinions = [floor.opinions[name] for name in level if name in floor.opinions]
    votes = tally(floor.question, opinions, floor.conduct.weights()).votes
    scores = {
        o.agent: votes.get(canonical(floor.question, o.answer), 0.0) if o.answer is not None else 0.0 for o in opinions
    }
    kept = sorted(scores, key=lambda name: -scores[name])[:keep]
    floor.session.decide("ranker", "keep", [o.event for o in opinions], kept=kept, scores=scores)
    return kept
