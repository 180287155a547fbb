"""Causal games of more than two moves: each move is a choice of layer and strategy, made in public.

The players of the causal game are its stages, in the order of play; ``owners`` tells which of them belong to the same
person. At its stage a person chooses a strategy of any layer; the strategy and the action it leads to are seen by all,
who update what they believe about the circumstance. Nothing is hidden but the circumstance, so backward induction
applies, with a chance move after each strategy. Deciding such games is PSPACE-complete (Thumm, arXiv 2511.06934): the
number of histories grows with the power of the depth. It is told first, and games that are too deep are refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import numpy as np
from numpy.typing import NDArray

from shoal.errors import InputError
from shoal.games.causal import LAYERS, CausalGame
from shoal.games.extensive import MOST_NODES, Chance, Decision, End, Extensive, Node, extensive
from shoal.games.game import TOLERANCE, Payoffs, require

Belief = NDArray[np.float64]


@dataclass(frozen=True)
class StagedEquilibrium:
    """What backward induction over all stages finds.

    Attributes:
        payoffs: of each person [persons].
        histories: ways through all stages that the tree has.
        visited: situations that were valued; equal ones (same actions, same belief) once.
    """

    payoffs: Payoffs
    histories: int
    visited: int


def staged_equilibrium(
    game: CausalGame, owners: Sequence[int] | None = None, layers: Sequence[int] = LAYERS
) -> StagedEquilibrium:
    """Backward induction with a memory for situations met before; an indifferent person is kind to the others.

    Args:
        game: its players are the stages, in order.
        owners: person who moves at each stage, numbered from 0; by default each stage has its own. A person's payoffs
            are those of its first stage.
        layers: what everybody may choose from.

    Raises:
        InputError: owners that do not fit, or too many histories.
    """
    owner, columns = _persons(game, owners)
    options = [game.strategies(t, layers)[0] for t in range(game.player_count)]
    count = histories(game, layers)
    memory: dict[tuple[tuple[int, ...], bytes], Payoffs] = {}

    def value(past: tuple[int, ...], belief: Belief) -> Payoffs:
        if len(past) == len(owner):
            return _worth(game, past, belief)[columns]
        key = past, belief.round(12).tobytes()
        if key not in memory:
            worth = np.array(
                [
                    sum(p * value((*past, x), after) for x, p, after in _outcomes(row, belief))
                    for row in options[len(past)]
                ]
            )
            memory[key] = worth[_choice(worth, owner[len(past)])]
        return memory[key]

    return StagedEquilibrium(value((), game.chances), count, len(memory))


def stage_tree(game: CausalGame, owners: Sequence[int] | None = None, layers: Sequence[int] = LAYERS) -> Extensive:
    """The same game as a tree with perfect information, for ``subgame_perfect``. Arguments and errors as above."""
    owner, columns = _persons(game, owners)
    histories(game, layers)
    options = [game.strategies(t, layers) for t in range(game.player_count)]

    def grown(past: tuple[int, ...], belief: Belief, said: str) -> Node:
        t = len(past)
        if t == len(owner):
            return End(tuple(float(v) for v in _worth(game, past, belief)[columns]))
        children = []
        for row, name in zip(*options[t], strict=True):
            outcomes = [
                (game.actions[t][x], p, grown((*past, x), after, f"{said}/{name}: {game.actions[t][x]}"))
                for x, p, after in _outcomes(row, belief)
            ]
            children.append(outcomes[0][2] if len(outcomes) == 1 else Chance(tuple(outcomes)))
        return Decision(owner[t], said or "start", options[t][1], tuple(children), said)

    people = [f"person-{i + 1}" for i in range(len(columns))]
    return extensive(grown((), game.chances, ""), people, name=f"{game.name}: stages", brief=True)


def histories(game: CausalGame, layers: Sequence[int] = LAYERS) -> int:
    """Ways through all stages, at most: for each stage the strategies, each with the actions that it may lead to.

    Raises:
        InputError: more than a tree may have.
    """
    ways = [
        sum(len(np.unique(row[game.chances > 0])) for row in game.strategies(t, layers)[0])
        for t in range(game.player_count)
    ]
    count = prod(ways)
    if count > MOST_NODES:
        raise InputError(
            "stages",
            f"{len(ways)} stages, {count:,} histories",
            f"At most {MOST_NODES:,}: use fewer stages, actions or instincts.",
        )
    return count


def _outcomes(row: NDArray[np.intp], belief: Belief) -> list[tuple[int, float, Belief]]:
    """Each action that the strategy may lead to, its chance, and the belief after it."""
    found = []
    for x in np.unique(row[belief > 0]):
        part = belief * (row == x)
        p = float(part.sum())
        found.append((int(x), p, part / p))
    return found


def _worth(game: CausalGame, past: tuple[int, ...], belief: Belief) -> Payoffs:
    """Expected payoffs of the stages after all of them."""
    table: Payoffs = np.moveaxis(game.table, 0, -2)[past]  # [circumstances, stages]
    return np.asarray(belief @ table)


def _choice(worth: Payoffs, mover: int) -> int:
    """Index of the mover's best option [options, persons]; of equal ones the best for the others."""
    own = worth[:, mover]
    ties = np.flatnonzero(own >= own.max() - TOLERANCE * (1 + abs(own.max())))
    return int(ties[int((worth[ties].sum(axis=1) - own[ties]).argmax())])


def _persons(game: CausalGame, owners: Sequence[int] | None) -> tuple[tuple[int, ...], list[int]]:
    owner = tuple(range(game.player_count)) if owners is None else tuple(owners)
    fits = len(owner) == game.player_count and sorted(set(owner)) == list(range(len(set(owner))))
    require("owners", owner, fits, f"Name a person, numbered from 0, for each of the {game.player_count} stages.")
    return owner, [owner.index(person) for person in range(len(set(owner)))]
