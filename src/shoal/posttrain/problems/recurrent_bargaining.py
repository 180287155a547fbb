"""The iterated dilemma for small recurrent players: what they remember is learned, not the last round by design.

A player is a GRU (arXiv 1406.1078) that reads what happened in the last round and gives one number, the logit to
cooperate. Its own hidden state is carried from round to round, one for each seat.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from shoal.posttrain.advantage_alignment import Pair, Parameters, Round
from shoal.posttrain.problems.bargaining import PAYOFF, STATES, Dilemma, draw


class Player(NamedTuple):
    """Parameters of a recurrent player.

    Attributes:
        cell: reads the last round, one-hot over ``STATES``.
        head: from the hidden state to the logit to cooperate.
        bias: of that logit.
    """

    cell: Any
    head: Float[Array, " width"]
    bias: Float[Array, ""]


class Memory(NamedTuple):
    """What is carried: the last round as a number, and each seat's own hidden state."""

    seen: Int[Array, "players games"]
    hidden: Float[Array, "players games width"]


class RecurrentDilemma(Dilemma):
    """The iterated prisoner's dilemma with recurrent players; seats may only be taken by players of the same width.

    Args:
        width: of the hidden state.
        friendly: chance to cooperate before training, whatever was seen: the output begins as its bias.
        rounds: of one game.
    """

    def __init__(self, width: int = 8, friendly: float = 0.8, rounds: int = 10) -> None:
        super().__init__(friendly, rounds)
        self.width = width

    def fresh(self, key: PRNGKeyArray) -> Parameters:
        """A random memory whose output does not depend on it yet."""
        cell = eqx.nn.GRUCell(STATES, self.width, key=key)
        return Player(cell, jnp.zeros(self.width), super().fresh(key)[0])

    def begin(self, games: int) -> Memory:
        """Nothing seen, nothing remembered."""
        return Memory(super().begin(games), jnp.zeros((2, games, self.width)))

    def play(self, key: PRNGKeyArray, deal: PRNGKeyArray, pair: Pair, state: Memory) -> tuple[Memory, Round]:
        """Both read, remember and act at once."""
        hidden = jnp.stack([remembered(p, state.hidden[i], state.seen[i]) for i, p in enumerate(pair)])
        logits = jnp.stack([logit(p, hidden[i]) for i, p in enumerate(pair)])
        act, logp, entropy = draw(key, jnp.stack([logits, jnp.zeros_like(logits)], -1))
        other = act[::-1]
        return Memory(1 + 2 * act + other, hidden), Round(PAYOFF[act, other], logp, entropy)


def remembered(player: Player, hidden: Array, seen: Array) -> Float[Array, "games width"]:
    """The hidden state after another round was read."""
    after: Array = jax.vmap(player.cell)(jax.nn.one_hot(seen, STATES), hidden)
    return after


def logit(player: Player, hidden: Array) -> Float[Array, " games"]:
    """To cooperate."""
    return hidden @ player.head + player.bias


def always(player: Player, cooperates: bool) -> Player:
    """A player of the same shape that always does the same."""
    return player._replace(
        head=jnp.zeros_like(player.head), bias=jnp.full_like(player.bias, 9.0 if cooperates else -9.0)
    )


def chance_after(player: Player, rounds: tuple[int, ...]) -> Float[Array, ""]:
    """Chance to cooperate after rounds of ``STATES`` (1 CC, 2 CD, 3 DC, 4 DD, own act first), the game begun anew."""
    hidden = jnp.zeros((1, player.head.shape[0]))
    for seen in (0, *rounds):
        hidden = remembered(player, hidden, jnp.array([seen]))
    return jax.nn.sigmoid(logit(player, hidden)[0])
