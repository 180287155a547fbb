"""An episode of a society that punishes, in the released order.

The order matters, because reputations change from pair to pair: partners are chosen at once from the reputations at
the start, then agent after agent plays its rounds with its partner, and after every round who chose, played or punished
learns from it.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from shoal.games import punishment_centipede
from shoal.games import punishment_society as parts
from shoal.games.deep_q import act, pack
from shoal.games.punishment import Shape, Terms
from shoal.games.punishment_society import DRAWS, Draws, Local, Round, Society


class Episode(NamedTuple):
    """What happened in an episode.

    Attributes:
        partner: whom each agent met.
        rounds: in order, [agents, rounds, ...].
        habits: what partners had last done: play, and act as a punisher [2, agents].
        reputation: after it.
    """

    partner: Int[Array, " agents"]
    rounds: Round
    habits: Int[Array, "2 agents"]
    reputation: Float[Array, "agents agents"]


def play_episode(shape: Shape, terms: Terms, society: Society, key: PRNGKeyArray) -> tuple[Society, Episode]:
    """Choose partners, then let agent after agent meet its own.

    Args:
        shape: static.
        terms: of the condition.
        society: before.
        key: of the episode.
    """
    n, moves = shape.agents, shape.rounds * (2 if shape.centipede else 1)
    choose_key, meet_key = jax.random.split(key)
    frozen = society.reputation
    option, partner = _partners(shape, terms, society, jax.random.uniform(choose_key, (n, 2)))
    habits = jnp.stack([society.last[partner], society.habit[partner]])
    draws = jax.random.uniform(meet_key, (n, moves, DRAWS))
    meet = punishment_centipede.meet if shape.centipede else _meet

    def one(society: Society, each: tuple[Array, Array, Array, Array]) -> tuple[Society, Round]:
        i, j, choice, u = each
        return meet(shape, terms, society, jnp.stack([i, j]), choice, frozen, u)

    society, rounds = jax.lax.scan(one, society, (jnp.arange(n), partner, option, draws))
    return society, Episode(partner, rounds, habits, society.reputation)


def _partners(shape: Shape, terms: Terms, society: Society, u: Array) -> tuple[Array, Array]:
    """Index of the choice, and whom it means, for all agents at once."""
    if society.select is None:
        option = jnp.floor(u[:, 1] * terms.degree).astype(jnp.int32)
    else:
        features = jax.vmap(lambda i: parts.standing(terms, society.reputation, i))(jnp.arange(shape.agents))
        values = jax.vmap(lambda net, x: net(x[:, None])[:, 0])(society.select.learners.network, features)
        epsilon = terms.select.epsilon(society.select.learners.updates)
        option = jax.vmap(act)(values, epsilon, u[:, 0], u[:, 1], terms.degree)
    return option, terms.choices[jnp.arange(shape.agents), option]


def _meet(
    shape: Shape, terms: Terms, society: Society, pair: Array, option: Array, frozen: Array, u: Array
) -> tuple[Society, Round]:
    """All rounds of one pair."""
    local = parts.taken(shape, society, pair)

    def step(carry: tuple[Society, Local], u: Array) -> tuple[tuple[Society, Local], Round]:
        return _round(shape, terms, *carry, pair, option, frozen, Draws.of(u))

    (society, local), rounds = jax.lax.scan(step, (society, local), u)
    return parts.returned(society, local, pair), rounds


def _round(
    shape: Shape, terms: Terms, society: Society, local: Local, pair: Array, option: Array, frozen: Array, draws: Draws
) -> tuple[tuple[Society, Local], Round]:
    situation = parts.situations(society, pair)
    before = parts.player_extra(shape, terms, society.reputation, pair)
    action = parts.plays(shape, terms, society, local, pair, situation, before, draws)
    reputation = society.reputation
    for k in range(2):
        reputation = parts.by_play(terms, reputation, pair[k], action[k])
    society = parts.moved(society, reputation=reputation, last=society.last.at[pair].set(action))
    done, fines = parts.nobody(pair, action), jnp.zeros(2)
    if society.punish is not None:
        who = jnp.concatenate(parts.punishers(shape, terms, pair, draws))
        victim = jnp.arange(who.shape[0]) % 2
        society, local, done = parts.punish(
            shape, terms, society, local, pair, who, victim, action[1 - victim], done, draws
        )
        fines = terms.fine * done.punished.reshape(-1, 2).sum(0)
    reward = terms.payoffs[action, action[::-1]] - fines
    society, local = parts.learn_to_select(shape, terms, society, local, pair[0], option, frozen, reward[0], 0, draws)
    after = parts.player_extra(shape, terms, society.reputation, pair)
    codes = pack(situation, action, 3 * action[::-1] + action)
    rows = jnp.concatenate([codes[:, None], reward[:, None], before, after], 1)
    minds, learners = parts.studied(
        parts.spaces(shape)[1], society.play, local.play, pair, rows, draws.place[1:3], draws.window[1:3], terms.play,
        terms.discount,
    )  # fmt: skip
    return (parts.moved(society, play=minds), local._replace(play=learners)), done._replace(reward=reward)
