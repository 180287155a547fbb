"""Subgame-perfect equilibrium of a tree with perfect information, and best responses in any tree."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from shoal.errors import InputError
from shoal.games.extensive import Behaviour, Chance, Decision, End, Extensive, Node
from shoal.games.game import TOLERANCE, Payoffs

Ties = Literal["kind", "spiteful", "first"]


@dataclass(frozen=True)
class Induction:
    """What backward induction finds.

    Attributes:
        behaviour: the action taken at each information set, as probabilities.
        payoffs: expected payoffs [players].
        path: names of the actions on the way from the root to its first chance move or end.
    """

    behaviour: dict[str, np.ndarray]
    payoffs: Payoffs
    path: tuple[str, ...]


def subgame_perfect(game: Extensive, ties: Ties = "kind") -> Induction:
    """Backward induction.

    Args:
        game: a tree in which every information set has one node.
        ties: an indifferent player takes the action best for the others' sum (kind), worst (spiteful), or the first.

    Raises:
        InputError: the game has hidden moves, or no such rule for ties.
    """
    if ties not in ("kind", "spiteful", "first"):
        raise InputError("ties", ties, "Use kind, spiteful or first.")
    if not game.perfect_information:
        raise InputError("game", game.name, "It has hidden moves: use cfr, or all_equilibria on its normal form.")
    chosen: dict[str, np.ndarray] = {}

    def value(node: Node) -> Payoffs:
        if isinstance(node, End):
            return np.array(node.payoffs)
        if isinstance(node, Chance):
            return np.asarray(sum(p * value(child) for _, p, child in node.outcomes))
        values = np.array([value(child) for child in node.children])
        own = values[:, node.player]
        ties_at = np.flatnonzero(own >= own.max() - TOLERANCE * (1 + abs(own.max())))
        rest = values[ties_at].sum(axis=1) - own[ties_at]
        place = {"kind": int(rest.argmax()), "spiteful": int(rest.argmin()), "first": 0}[ties]
        action = int(ties_at[place])
        chosen[node.information] = np.eye(len(own))[action]
        return np.asarray(values[action])

    payoffs = value(game.root)
    path, node = [], game.root
    while isinstance(node, Decision):
        action = int(chosen[node.information].argmax())
        path.append(node.actions[action])
        node = node.children[action]
    return Induction(chosen, payoffs, tuple(path))


def best_response(game: Extensive, play: Behaviour, player: int) -> tuple[float, dict[str, np.ndarray]]:
    """A player's best answer to the others' behaviour strategies, and what it pays.

    Args:
        game: a tree with perfect recall.
        play: behaviour of all players; that player's own part is not used.
        player: index of the player.
    """
    full = game.behaviour(play)
    members: dict[str, list[tuple[Decision, float]]] = {}
    waiting: list[tuple[Node, float]] = [(game.root, 1.0)]
    while waiting:
        node, reach = waiting.pop()
        if isinstance(node, Chance):
            waiting += [(child, reach * p) for _, p, child in node.outcomes]
        elif isinstance(node, Decision):
            if node.player == player:
                members.setdefault(node.information, []).append((node, reach))
                waiting += [(child, reach) for child in node.children]
            else:
                waiting += [(child, reach * p) for p, child in zip(full[node.information], node.children, strict=True)]
    answer: dict[str, int] = {}

    def value(node: Node) -> float:
        if isinstance(node, End):
            return node.payoffs[player]
        if isinstance(node, Chance):
            return sum(p * value(child) for _, p, child in node.outcomes)
        if node.player != player:
            pairs = zip(full[node.information], node.children, strict=True)
            return sum(float(p) * value(child) for p, child in pairs if p > 0)
        if node.information not in answer:
            group = members[node.information]
            totals = [sum(reach * value(n.children[a]) for n, reach in group) for a in range(len(node.actions))]
            answer[node.information] = int(np.argmax(totals))
        return value(node.children[answer[node.information]])

    worth = value(game.root)
    for name, node in game.information.items():
        if node.player == player and name not in answer:
            answer[name] = 0
    return worth, {n: np.eye(len(game.information[n].actions))[a] for n, a in answer.items()}


def tree_nash_conv(game: Extensive, play: Behaviour) -> float:
    """Sum over players of what each could gain by a best response; 0 in a Nash equilibrium and only there."""
    pays = game.expected(play)
    return float(sum(best_response(game, play, i)[0] - pays[i] for i in range(game.player_count)))
