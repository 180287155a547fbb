"""Counterfactual regret minimisation for game trees (Zinkevich et al. 2007), in the plus variant of Tammelin (2014).

The tree is laid out level by level; one iteration is a pass down (reach probabilities), a pass up (values) and one
update of all information sets of one player at once. Players take turns; all iterations are one compiled loop. In
two-player zero-sum games average play tends to a Nash equilibrium; elsewhere the reported gain says how far it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from shoal.errors import InputError
from shoal.games.compilation import quickly_compiled
from shoal.games.extensive import Chance, Decision, End, Extensive, Node, children
from shoal.games.game import Payoffs
from shoal.games.solvers.backward_induction import tree_nash_conv
from shoal.games.solvers.regret_matching import matched


@dataclass(frozen=True)
class RegretMinimised:
    """Average play.

    Attributes:
        behaviour: average strategy at each information set.
        payoffs: expected payoffs [players].
        gain: sum of the players' gains by best responses (NashConv); 0 is a Nash equilibrium.
    """

    behaviour: dict[str, NDArray[np.float64]]
    payoffs: Payoffs
    gain: float


class Layout(eqx.Module):
    """A tree as arrays; nodes are numbered level by level, the root is 0.

    Attributes:
        parent: [nodes]; of the root 0.
        owner: who moves at the parent: a player, ``players`` for chance [nodes].
        slot: place of the edge from the parent in the flat strategies [nodes]; for chance edges the last slot.
        chance: probability of the edge if the parent is chance, else 0 [nodes].
        payoffs: of leaves, else 0 [nodes, players].
        legal: which actions exist [information sets, actions].
    """

    parent: jax.Array
    owner: jax.Array
    slot: jax.Array
    chance: jax.Array
    payoffs: jax.Array
    legal: jax.Array
    levels: tuple[tuple[int, int], ...] = eqx.field(static=True)


def cfr(game: Extensive, iterations: int = 2_000, *, plus: bool = True) -> RegretMinimised:
    """Run counterfactual regret minimisation.

    Args:
        game: a tree with perfect recall.
        iterations: at least 1.
        plus: regrets never fall below 0 and later iterations weigh more.

    Raises:
        InputError: iterations below 1.
    """
    if iterations < 1:
        raise InputError("iterations", iterations, "Use 1 or more.")
    with jax.enable_x64(True):
        sums = np.asarray(_run(_layout(game), iterations, plus))
    behaviour = {}
    for row, (name, node) in zip(sums, game.information.items(), strict=True):
        part = row[: len(node.actions)]
        behaviour[name] = part / part.sum() if part.sum() > 0 else np.full(part.size, 1 / part.size)
    return RegretMinimised(behaviour, game.expected(behaviour), tree_nash_conv(game, behaviour))


@quickly_compiled("iterations", "plus")
def _run(tree: Layout, iterations: int, plus: bool) -> jax.Array:
    players = tree.payoffs.shape[1]
    sets, width = tree.legal.shape

    uniform = tree.legal / tree.legal.sum(axis=1, keepdims=True)

    def body(carry: Any, step: tuple[jax.Array, jax.Array]) -> tuple[Any, None]:
        regrets, sums = carry
        t, player = step
        positive = jnp.where(tree.legal, jnp.maximum(regrets, 0), 0)
        play = jnp.where((positive > 0).any(axis=1, keepdims=True), matched(positive), uniform)
        flat = jnp.append(play.ravel(), 0.0)
        edge = jnp.where(tree.owner == players, tree.chance, flat[tree.slot])
        reach = _reaches(tree, edge, player)
        values = _values(tree, edge)[:, player]
        mine = tree.owner == player
        gain = jnp.where(mine, reach[1, tree.parent] * (values - values[tree.parent]), 0)
        new = regrets + jnp.zeros(sets * width + 1).at[tree.slot].add(gain)[:-1].reshape(sets, width)
        own = jnp.zeros(sets * width + 1).at[tree.slot].max(jnp.where(mine, reach[0, tree.parent], 0))
        weight = (t + 1.0) if plus else 1.0
        sums = sums + weight * own[:-1].reshape(sets, width).max(axis=1, keepdims=True) * play
        return (jnp.maximum(new, 0) if plus else new, sums), None

    start = jnp.zeros((sets, width))
    steps = jnp.repeat(jnp.arange(iterations), players), jnp.tile(jnp.arange(players), iterations)
    (_, sums), _ = jax.lax.scan(body, (start, start), steps)
    return sums


def _reaches(tree: Layout, edge: jax.Array, player: jax.Array) -> jax.Array:
    """The player's part of the probability of getting to each node, and everybody else's [2, nodes]."""
    mine = tree.owner == player
    parts = jnp.stack([jnp.where(mine, edge, 1.0), jnp.where(mine, 1.0, edge)])
    reach = jnp.ones((2, edge.size))
    for first, end in tree.levels[1:]:
        reach = reach.at[:, first:end].set(reach[:, tree.parent[first:end]] * parts[:, first:end])
    return reach


def _values(tree: Layout, edge: jax.Array) -> jax.Array:
    """Expected payoffs from each node on [nodes, players]."""
    values = tree.payoffs
    for first, end in reversed(tree.levels[1:]):
        values = values.at[tree.parent[first:end]].add(edge[first:end, None] * values[first:end])
    return values


def _layout(game: Extensive) -> Layout:
    order = {name: k for k, name in enumerate(game.information)}
    width = max(len(node.actions) for node in game.information.values())
    nodes: list[Node] = [game.root]
    rows: list[tuple[int, int, int, float]] = [(0, game.player_count, len(order) * width, 1.0)]
    levels, first = [(0, 1)], 0
    while first < len(nodes):
        end = len(nodes)
        for number in range(first, end):
            node = nodes[number]
            for k, child in enumerate(children(node)):
                nodes.append(child)
                if isinstance(node, Chance):
                    rows.append((number, game.player_count, len(order) * width, node.outcomes[k][1]))
                else:
                    assert isinstance(node, Decision)
                    rows.append((number, node.player, order[node.information] * width + k, 0.0))
        first = end
        if len(nodes) > end:
            levels.append((end, len(nodes)))
    parent, owner, slot, chance = zip(*rows, strict=True)
    pays = [node.payoffs if isinstance(node, End) else (0.0,) * game.player_count for node in nodes]
    legal = np.array([[k < len(node.actions) for k in range(width)] for node in game.information.values()])
    return Layout(
        parent=jnp.array(parent),
        owner=jnp.array(owner),
        slot=jnp.array(slot),
        chance=jnp.array(chance),
        payoffs=jnp.array(pays),
        legal=jnp.array(legal),
        levels=tuple(levels),
    )
