"""Communication paradigms: how words travel in a round: memory (bus), report (star), relay (ring), debate (tree).

The structure says who is linked to whom; a paradigm that needs two unlinked agents to talk goes over those between.
"""

from __future__ import annotations

from shoal.teams.vocabulary.components import component
from shoal.teams.vocabulary.floor import Floor
from shoal.teams.vocabulary.structures import links_of, star_round


@component(
    "paradigm",
    "memory",
    meaning="a bus: everybody writes to one shared memory and reads from it; n messages a round",
    trade_off="cheap and loosely coupled; everybody depends on one store, and noise in it reaches all",
    aliases=("bus", "blackboard", "shared-memory"),
)
async def memory(floor: Floor) -> None:
    """Everybody writes down its opinion; everybody reads what its links let it see and answers."""
    if not floor.opinions:
        await floor.answer(floor.names)
    links = links_of(floor)
    for name in floor.names:
        floor.note(name, links[name])
    await floor.answer(floor.names, board=True)


@component(
    "paradigm",
    "report",
    meaning="a star: everybody reports to one centre, which answers",
    trade_off="short paths and one picture of the whole; the centre is the bottleneck",
    aliases=("star", "reporting"),
)
async def report(floor: Floor) -> None:
    """A star round around the hub, the top of the hierarchy, or the first actor."""
    centre = floor.hub or (floor.levels[-1][0] if floor.levels else floor.names[0])
    await star_round(floor, centre, links_of(floor))


@component(
    "paradigm",
    "relay",
    meaning="a ring: each agent passes its work on to the next; n-1 messages a round, n with the one that closes it",
    trade_off="fewest messages, each step builds on the last; slow, and one bad link spoils the rest",
    aliases=("ring", "chain", "sequential", "pipeline"),
)
async def relay(floor: Floor) -> None:
    """One after the other; from the second round on the first hears the last."""
    order = [name for level in floor.levels for name in level] or floor.names
    links = links_of(floor)
    last = order[-1]
    if floor.round and len(order) > 1:
        floor.tell(last, [order[0]], links)
    for i, name in enumerate(order):
        await floor.answer([name])
        if i + 1 < len(order):
            floor.tell(name, [order[i + 1]], links)


@component(
    "paradigm",
    "debate",
    meaning="a tree: pairs argue, the winner of each pair goes up and argues on, until one is left at the root",
    trade_off="deep scrutiny with few messages in view at a time; a good answer can lose in an early pair",
    aliases=("tree", "tournament"),
)
async def debate(floor: Floor) -> None:
    """Pairs tell each other and answer; of a pair that still disagrees, the one with more support goes on."""
    from shoal.tasks.answers import same_answer

    if not floor.opinions:
        await floor.answer(floor.names)
    links = links_of(floor)
    standing = list(floor.names)
    while len(standing) > 1:
        pairs = [(standing[i], standing[i + 1]) for i in range(0, len(standing) - 1, 2)]
        for one, two in pairs:
            floor.tell(one, [two], links)
            floor.tell(two, [one], links)
        await floor.answer([name for pair in pairs for name in pair])
        winners = []
        for pair in pairs:
            said = [floor.opinions[name] for name in pair if name in floor.opinions]
            backing = [
                sum(
                    o.answer is not None and s.answer is not None and same_answer(floor.question, o.answer, s.answer)
                    for o in floor.current()
                )
                for s in said
            ]
            winner = said[backing.index(max(backing))].agent if said else pair[0]
            floor.session.decide("team", "pair", [o.event for o in said], pair=list(pair), winner=winner)
            winners.append(winner)
        standing = winners + standing[2 * len(pairs) :]
    floor.closer = standing[0]
