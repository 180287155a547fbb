"""The centipede game with punishment: moves alternate, each may be punished, and a defection ends the meeting.

Cooperating costs the mover 1 and gives the other 5. As released, players learn from their running total after each of
their moves, selectors from the total at the end, and the last round is terminal.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array

from shoal.games import punishment_society as parts
from shoal.games.deep_q import pack
from shoal.games.punishment import COOPERATE, DEFECT, GETS, GIVES, UNKNOWN, Shape, Terms
from shoal.games.punishment_society import Draws, Local, Round, Society

Carry = tuple[Society, Local, Array, Array]
"""Society, networks of the pair, running totals [2], and whether the meeting has ended."""


def meet(
    shape: Shape, terms: Terms, society: Society, pair: Array, option: Array, frozen: Array, u: Array
) -> tuple[Society, Round]:
    """All moves of one pair; see ``punishment_episode.play_episode``."""
    local = parts.taken(shape, society, pair)

    def step(carry: Carry, each: tuple[Array, Array]) -> tuple[Carry, Round]:
        return _move(shape, terms, carry, pair, each[0], Draws.of(each[1]))

    start = (society, local, jnp.zeros(2), jnp.zeros((), bool))
    (society, local, total, _), rounds = jax.lax.scan(step, start, (jnp.arange(2 * shape.rounds), u))
    society, local = parts.learn_to_select(
        shape, terms, society, local, pair[0], option, frozen, total[0], 1, Draws.of(u[-1])
    )
    return parts.returned(society, local, pair), rounds


def _move(shape: Shape, terms: Terms, carry: Carry, pair: Array, number: Array, draws: Draws) -> tuple[Carry, Round]:
    society, local, before, over = carry
    live, m = ~over, number % 2
    mover, other = pair[m], pair[1 - m]
    situation = parts.situations(society, pair)
    extra = parts.player_extra(shape, terms, society.reputation, pair)
    action = parts.plays(shape, terms, society, local, pair, situation, extra, draws)[m]
    gives = live & (action == COOPERATE)
    total = before + gives * jnp.where(jnp.arange(2) == m, -GIVES, GETS)
    ends = (action == DEFECT) | (number >= 2 * shape.rounds - 2)
    reputation = parts.by_play(terms, society.reputation, mover, action)
    society = parts.moved(
        society, reputation=jnp.where(live, reputation, society.reputation),
        last=society.last.at[mover].set(jnp.where(live, action, society.last[mover])),
    )  # fmt: skip
    done = parts.nobody(mover[None], jnp.where(live, action, UNKNOWN)[None])
    if society.punish is not None:
        who = jnp.stack([each[m] for each in parts.punishers(shape, terms, pair, draws)])
        victim, facing = (jnp.broadcast_to(x, who.shape) for x in (m, society.last[other]))
        society, local, done = parts.punish(shape, terms, society, local, pair, who, victim, facing, done, draws, live)
        total = total - jnp.where(jnp.arange(2) == m, terms.fine * done.punished.sum(), 0.0)
    society, local = _learn(shape, terms, society, local, pair, m, situation, extra, action, total, ends, live, draws)
    return (society, local, total, over | (action == DEFECT)), done._replace(reward=total - before)


def _learn(
    shape: Shape, terms: Terms, society: Society, local: Local, pair: Array, m: Array, situation: Array, extra: Array,
    action: Array, total: Array, ends: Array, live: Array, draws: Draws,
) -> tuple[Society, Local]:  # fmt: skip
    """The mover learns."""
    mover, other = pair[m], pair[1 - m]
    code = pack(situation[m], action, 3 * society.last[other] + action, ends.astype(jnp.int32))
    after = parts.player_extra(shape, terms, society.reputation, pair)[m]
    row = jnp.concatenate([jnp.stack([code, total[m]]), extra[m], after])
    own = jax.tree.map(lambda x: x[m][None], local.play)
    minds, own = parts.studied(
        parts.spaces(shape)[1], society.play, own, mover[None], row[None], draws.place[1:2], draws.window[1:2],
        terms.play, terms.discount, live,
    )  # fmt: skip
    learners = jax.tree.map(lambda x, new: x.at[m].set(new[0]), local.play, own)
    return parts.moved(society, play=minds), local._replace(play=learners)
