"""Types of collaboration: how the actors' objectives relate, in their prompts and in what they earn."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shoal.teams.outcome import Outcome
from shoal.teams.vocabulary.components import component, part

if TYPE_CHECKING:
    from shoal.teams.vocabulary.floor import Floor


@component(
    "type",
    "cooperation",
    meaning="one shared objective: agents build on each other's work",
    trade_off="simple and additive; errors spread, since nobody is there to doubt",
    aliases=("cooperative",),
)
def cooperation(floor: Floor, name: str, heard: bool) -> str:
    """The shared objective, once there is something to share."""
    return "Work together: use what the others found." if heard else ""


@component(
    "type",
    "competition",
    meaning="conflicting objectives: agents defend their own answer before a judge or for a payoff",
    trade_off="finds errors and sharpens arguments; badly designed it loses to one agent, and needs a judge or payoff",
    aliases=("competitive", "adversarial"),
)
def competition(floor: Floor, name: str, heard: bool) -> str:
    """Win against the others."""
    return "The others are your rivals. Find their mistakes and defend your answer." if heard else ""


@component(
    "type",
    "coopetition",
    meaning="shared and private terms: a common result, different valuations of it",
    trade_off="fits real conflicts of interest and experts behind a gate; needs trade-offs and rules for a deal",
    aliases=("co-opetition", "mixed-motive"),
)
def coopetition(floor: Floor, name: str, heard: bool) -> str:
    """The common result and the agent's own interest in it."""
    payoff = floor.channel.payoff
    own = payoff.get(name) if isinstance(payoff, dict) else None
    terms = (
        f" To you alone: {', '.join(f'{answer} is worth {worth:g}' for answer, worth in own.items())}." if own else ""
    )
    return f"You need one common answer, and it should suit you.{terms}"


@component(
    "type",
    "hybrid",
    meaning="actors of one channel have different types: debaters compete, the summariser cooperates",
    trade_off="takes the best of several types; the most parts to set up and to explain",
    aliases=("mixed",),
)
def hybrid(floor: Floor, name: str, heard: bool) -> str:
    """The type of this actor; cooperation for those that have none."""
    types = floor.channel.types
    own = types.get(name) or types.get(floor.roster[name][1].role) or "cooperation"
    return str(part("type", own)(floor, name, heard))


def objective_lead(floor: Floor, name: str, heard: bool) -> str:
    """What the channel's type tells an actor."""
    return str(part("type", floor.channel.type)(floor, name, heard))


def rewards(floor: Floor, outcome: Outcome) -> dict[str, float]:
    """What each actor earns by the outcome, under the channel's payoff; empty without one.

    Zero-sum: those whose answer won share 1, the others share -1; nobody earns anything if all or none won.
    """
    from shoal.tasks.answers import canonical

    payoff = floor.channel.payoff
    if payoff is None or outcome.answer is None:
        return {}
    final = canonical(floor.question, outcome.answer)
    if isinstance(payoff, dict):
        tables = {name: {canonical(floor.question, a): worth for a, worth in t.items()} for name, t in payoff.items()}
        return {name: tables.get(name, {}).get(final, 0.0) for name in floor.names}
    said = {o.agent: canonical(floor.question, o.answer) for o in floor.current() if o.answer is not None}
    winners = [name for name, answer in said.items() if answer == final]
    losers = [name for name in floor.names if name not in winners]
    if not winners or not losers:
        return dict.fromkeys(floor.names, 0.0)
    return {name: 1 / len(winners) if name in winners else -1 / len(losers) for name in floor.names}
