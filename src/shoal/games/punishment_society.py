"""Societies of independent deep Q-learners: what they see, decide and learn, one society at a time.

These are the parts that rounds of the dilemma (``punishment_episode``) and moves of the centipede game share; ``vmap``
makes many seeds and conditions of them. See ``punishment`` for the rules.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from shoal.games.deep_q import Learner, Memory, Pace, StateSpace, act, learn, pack, put, take
from shoal.games.punishment import COOPERATE, DEFECT, ROLES, UNKNOWN, Shape, Terms

PLAYS = tuple((float(other), float(own)) for other in range(3) for own in range(3))
"""Situations of a player: the last plays of the other and of itself."""
UNTRIED, SPARED, JUST, UNJUST = range(4)
"""What an agent last did as a punisher."""
DRAWS = 28


class Minds(eqx.Module):
    """The networks of one kind and their memories; all agents' on the first axis."""

    learners: Learner
    memory: Memory

    @classmethod
    def begin(cls, key: PRNGKeyArray, space: StateSpace, agents: int, capacity: int) -> Minds:
        """Fresh ones."""
        learners = jax.vmap(lambda k: Learner.begin(k, space))(jax.random.split(key, agents))
        return cls(learners, Memory.empty(agents, capacity, space))


class Society(eqx.Module):
    """How a society stands.

    Attributes:
        reputation: what each agent (row) thinks of each; all rows are equal where reputations are public.
        last: last play.
        habit: last act as a punisher: UNTRIED, SPARED, JUST or UNJUST.
        select: who choose partners; None where nobody does.
        play: who play.
        punish: who punish; None where nobody does.
    """

    reputation: Float[Array, "agents agents"]
    last: Int[Array, " agents"]
    habit: Int[Array, " agents"]
    select: Minds | None
    play: Minds
    punish: Minds | None


class Round(NamedTuple):
    """What happened in a round, or in a move of the centipede game; direct punishers first, then bystanders.

    Attributes:
        actor: who played.
        action: plays; UNKNOWN after the end of a centipede game.
        reward: of the two, payoffs less fines.
        who: punishers.
        deed: what their victims had played.
        punished: whether they punished.
        gain: what that paid them.
        chance: they did so by chance.
    """

    actor: Int[Array, " plays"]
    action: Int[Array, " plays"]
    reward: Float[Array, "2"]
    who: Int[Array, " decisions"]
    deed: Int[Array, " decisions"]
    punished: Int[Array, " decisions"]
    gain: Float[Array, " decisions"]
    chance: Array


def spaces(shape: Shape) -> tuple[StateSpace, StateSpace, StateSpace]:
    """What selectors, players and punishers decide on."""
    most = shape.agents - 1 if shape.seen == shape.agents else shape.seen
    punish = [(float(victim), float(other)) for victim in range(2) for other in range(3)]
    return (
        StateSpace(((),), shape.seen, most), StateSpace(PLAYS, 2 if shape.visible else 0, 2),
        StateSpace(tuple(punish), 0, 2),
    )  # fmt: skip


def begin(shape: Shape, key: PRNGKeyArray, episodes: int) -> Society:
    """A society before its first episode, with room for the memories of that many."""
    n, keys = shape.agents, jax.random.split(key, 3)
    select, play, punish = spaces(shape)
    moves = shape.rounds * episodes
    most = moves * min(n, shape.seen + 1)
    room, watched = min(131_072, most), min(524_288, 2 * most * (int(shape.direct) + int(shape.third_party)))
    return Society(
        jnp.zeros((n, n)), jnp.full(n, UNKNOWN), jnp.full(n, UNTRIED),
        Minds.begin(keys[0], select, n, min(131_072, moves)) if shape.selection else None,
        Minds.begin(keys[1], play, n, room),
        Minds.begin(keys[2], punish, n, watched) if watched else None,
    )  # fmt: skip


def observed(terms: Terms, reputation: Array, scale: Array) -> Array:
    """Reputations as shown."""
    return jnp.where(terms.normalised > 0, reputation / jnp.maximum(1.0, scale), reputation)


class Draws(NamedTuple):
    """Uniform random numbers of a round (a move, in the centipede game); conditions share them.

    Attributes:
        play: coin and pick of both players.
        punish: coin and pick of up to four decisions.
        bystander: who watches each victim.
        place: where memories are kept: of the selector, both players, four punishers.
        window: which of them are learned from, likewise.
    """

    play: Float[Array, "2 2"]
    punish: Float[Array, "4 2"]
    bystander: Float[Array, "2"]
    place: Float[Array, "7"]
    window: Float[Array, "7"]

    @classmethod
    def of(cls, u: Float[Array, "28"]) -> Draws:
        """From a row of them."""
        return cls(u[:4].reshape(2, 2), u[4:12].reshape(4, 2), u[12:14], u[14:21], u[21:28])


class Local(NamedTuple):
    """Networks of those who meet, taken out for as long as they do.

    Attributes:
        play: of both.
        select: of the first.
        punish: of both, where only players punish.
    """

    play: Learner
    select: Learner | None
    punish: Learner | None


def standing(terms: Terms, reputation: Array, i: Array) -> Float[Array, " seen"]:
    """Reputations that agent i chooses by."""
    seen = terms.seen[i]
    shown = observed(terms, reputation[i], jnp.abs(reputation[i]).max())
    return jnp.where(seen >= 0, shown[seen], 0.0)


def player_extra(shape: Shape, terms: Terms, reputation: Array, pair: Array) -> Float[Array, "2 extra"]:
    """The other's and one's own reputation as both players see them, if they do."""
    if not shape.visible:
        return jnp.zeros((2, 0))
    mine = reputation[pair]
    shown = observed(terms, mine, jnp.abs(mine).max(1, keepdims=True))
    return jnp.stack([shown[jnp.arange(2), pair[::-1]], shown[jnp.arange(2), pair]], 1)


def bystanders(terms: Terms, pair: Array, u: Float[Array, "2"]) -> Int[Array, "2"]:
    """One for each victim, uniform over those near either of the two; it may be the same one."""
    n = terms.near.shape[0]
    around = (terms.near[pair[0]] | terms.near[pair[1]]) & ~(jnp.arange(n)[:, None] == pair).any(1)
    rank = jnp.cumsum(around)
    wanted = jnp.floor(u * rank[-1])
    return jnp.argmax(rank > wanted[:, None], axis=1)


def situations(society: Society, pair: Array) -> Int[Array, "2"]:
    """Of both players: the other's last play and their own, as numbers into ``PLAYS``."""
    return 3 * society.last[pair[::-1]] + society.last[pair]


def punishers(shape: Shape, terms: Terms, pair: Array, draws: Draws) -> list[Int[Array, "2"]]:
    """Who may punish each of the two: the other player, then a bystander, as far as the shape has them."""
    near = [pair[::-1]] if shape.direct else []
    far = [bystanders(terms, pair, draws.bystander)] if shape.third_party else []
    return [*near, *far]


def played(terms: Terms, pair: Array, last: Array, greedy: Array) -> Array:
    """What the roles of the two make of what a learner would play."""
    role, other = terms.roles[pair], last[pair[::-1]]
    copied = jnp.where(other == DEFECT, DEFECT, COOPERATE)
    ruled = jnp.where(role == ROLES.index("always-defect"), DEFECT, COOPERATE)
    ruled = jnp.where(role == ROLES.index("tit-for-tat"), copied, ruled)
    return jnp.where(role == 0, greedy, ruled)


def judged(terms: Terms, reputation: Array, who: Array, victim: Array, other: Array, done: Array, just: Array) -> Array:
    """Reputations after one decision to punish (``done``) or not."""
    n = reputation.shape[0]
    agents = jnp.arange(n)
    others_only = jnp.where(terms.individual > 0, agents != who, True)
    amount = terms.by_punishing * done * jnp.where(just, 2.0, -3.0)
    reputation = reputation.at[:, who].add(amount * others_only)
    feeling = terms.individual * done * jnp.where(agents == victim, -5.0, jnp.where(agents == other, 5.0 * just, 0.0))
    return reputation.at[:, who].add(feeling)


def by_play(terms: Terms, reputation: Array, who: Array, action: Array) -> Array:
    """Reputations after a play."""
    others_only = jnp.where(terms.individual > 0, jnp.arange(reputation.shape[0]) != who, True)
    return reputation.at[:, who].add(terms.by_play * jnp.where(action == COOPERATE, 1.0, -1.0) * others_only)


def taken(shape: Shape, society: Society, pair: Array) -> Local:
    """The networks that a pair needs again and again."""
    direct_only = shape.direct and not shape.third_party and not shape.centipede
    return Local(
        take(society.play.learners, pair),
        take(society.select.learners, pair[0]) if society.select else None,
        take(society.punish.learners, pair) if society.punish and direct_only else None,
    )


def returned(society: Society, local: Local, pair: Array) -> Society:
    """The society with them back in their places."""

    def back(minds: Minds | None, who: Array, part: Learner | None) -> Minds | None:
        return minds if minds is None or part is None else Minds(put(minds.learners, who, part), minds.memory)

    play = Minds(put(society.play.learners, pair, local.play), society.play.memory)
    select, punish = back(society.select, pair[0], local.select), back(society.punish, pair, local.punish)
    return moved(society, select=select, play=play, punish=punish)


def plays(
    shape: Shape, terms: Terms, society: Society, local: Local, pair: Array, situation: Array, extra: Array,
    draws: Draws,
) -> Int[Array, "2"]:  # fmt: skip
    """What the two play, each in its own situation."""
    space = spaces(shape)[1]
    states = jax.vmap(lambda s, x: space.states(s[None], x[:, None]))(situation, extra)
    values = jax.vmap(lambda net, x: net(x)[:, 0])(local.play.network, states)
    epsilon = terms.play.epsilon(local.play.updates)
    greedy = jax.vmap(lambda v, e, u: act(v, e, u[0], u[1], 2))(values, epsilon, draws.play)
    return played(terms, pair, society.last, greedy)


def punish(
    shape: Shape, terms: Terms, society: Society, local: Local, pair: Array, who: Array, victim: Array, other: Array,
    done: Round, draws: Draws, live: Array | bool = True,
) -> tuple[Society, Local, Round]:  # fmt: skip
    """Decisions about punishing, what they do to reputations, and what punishers learn.

    Args:
        shape: static.
        terms: of the condition.
        society: after the plays.
        local: networks of the pair.
        pair: who met.
        who: punishers [decisions].
        victim: places of their victims in the pair [decisions].
        other: plays of the victims' opponents [decisions].
        done: the round so far.
        draws: of the round.
        live: the meeting has not ended.
    """
    deed = society.last[pair][victim]
    state = 3 * deed + other
    punished, chance = _punishments(shape, terms, society, local, who, victim, state, draws)
    punished, just = jnp.where(live, punished, 0), deed == DEFECT
    gain = punished * jnp.where(just, terms.just, terms.unjust)
    reputation, habit = society.reputation, society.habit
    for k in range(who.shape[0]):
        eyes = pair[victim[k]], pair[1 - victim[k]]
        reputation = judged(terms, reputation, who[k], *eyes, punished[k], just[k])
        act_of = jnp.where(punished[k] == 0, SPARED, jnp.where(just[k], JUST, UNJUST))
        habit = habit.at[who[k]].set(jnp.where(live, act_of, habit[who[k]]))
    rows = jnp.stack([pack(state, punished, state), gain], 1)
    society, local = learn_to_punish(
        shape, terms, moved(society, reputation=reputation, habit=habit), local, who, rows, draws, live
    )
    deed = jnp.where(live, deed, UNKNOWN)
    told = done._replace(who=who, deed=deed, punished=punished, gain=gain, chance=chance & (punished > 0))
    return society, local, told


def _punishments(
    shape: Shape, terms: Terms, society: Society, local: Local, who: Array, victim: Array, state: Array, draws: Draws
) -> tuple[Array, Array]:
    """Whether each of ``who`` punishes in its state, and whether it drew that by chance."""
    assert society.punish is not None
    own, at = (local.punish, 1 - victim) if local.punish is not None else (society.punish.learners, who)
    table = jnp.array(spaces(shape)[2].table).T
    values = jax.vmap(lambda net: net(table))(own.network)[at, :, state]
    epsilon, u = terms.punish.epsilon(own.updates)[at], draws.punish[: who.shape[0]]
    chosen = jax.vmap(lambda v, e, c: act(v, e, c[0], c[1], 2))(values, epsilon, u)
    role, scripted = terms.roles[who], terms.roles[who] > 0
    ruled = jnp.where((role == ROLES.index("just-punisher")) & (state >= 3), 1, 0)
    return jnp.where(scripted, ruled, chosen), (u[:, 0] < epsilon) & ~scripted


def nobody(actor: Array, action: Array) -> Round:
    """A round in which nobody decides about punishing."""
    none = jnp.zeros(0, jnp.int32)
    return Round(actor, action, jnp.zeros(2), none, none, none, jnp.zeros(0), jnp.zeros(0, bool))


def moved(society: Society, **changes: Any) -> Society:
    """The society with some parts replaced."""
    parts = {name: getattr(society, name) for name in ("reputation", "last", "habit", "select", "play", "punish")}
    return Society(**(parts | changes))


def studied(
    space: StateSpace, minds: Minds, learners: Learner, who: Array, rows: Array, place: Array, window: Array,
    pace: Pace, discount: Array, live: Array | bool = True,
) -> tuple[Minds, Learner]:  # fmt: skip
    """One step stored and learned from by each of some different agents: their memories, and ``learners`` after it."""
    memory = minds.memory.add(who, rows, place, live)
    batch, ready = memory.batch(who, window)
    learners = jax.vmap(lambda learner, b, r: learn(space, learner, b, r & live, pace, discount))(
        learners, batch, ready
    )
    return Minds(minds.learners, memory), learners


def learn_to_select(
    shape: Shape, terms: Terms, society: Society, local: Local, i: Array, option: Array, frozen: Array, reward: Array,
    done: int, draws: Draws,
) -> tuple[Society, Local]:  # fmt: skip
    """The first of a pair learns what its choice brought; its state stays that of the episode's start."""
    if society.select is None or local.select is None:
        return society, local
    zero = jnp.zeros((), jnp.int32)
    row = jnp.concatenate([
        jnp.stack([pack(zero, option, zero, done), reward]), standing(terms, frozen, i),
        standing(terms, society.reputation, i),
    ])  # fmt: skip
    one = jax.tree.map(lambda x: x[None], local.select)
    select, one = studied(
        spaces(shape)[0], society.select, one, i[None], row[None], draws.place[:1], draws.window[:1], terms.select,
        terms.discount,
    )  # fmt: skip
    return moved(society, select=select), local._replace(select=jax.tree.map(lambda x: x[0], one))


def learn_to_punish(
    shape: Shape, terms: Terms, society: Society, local: Local, who: Array, rows: Array, draws: Draws,
    live: Array | bool = True,
) -> tuple[Society, Local]:  # fmt: skip
    """Every punisher learns: the two players at once, or one decision after the other where bystanders take part,
    because both victims may have the same one.
    """
    space, count = spaces(shape)[2], who.shape[0]
    place, window = draws.place[3 : 3 + count], draws.window[3 : 3 + count]
    assert society.punish is not None
    minds: Minds = society.punish
    if local.punish is not None:
        learners = jax.tree.map(lambda x: x[::-1], local.punish)
        minds, learners = studied(space, minds, learners, who, rows, place, window, terms.punish, terms.discount, live)
        local = local._replace(punish=jax.tree.map(lambda x: x[::-1], learners))
    else:
        # A loop and not four copies of its body: only so are memories changed in place.
        def one(minds: Minds, each: Any) -> tuple[Minds, None]:
            k, row, place, window = (x[None] for x in each)
            minds, learners = studied(
                space, minds, take(minds.learners, k), k, row, place, window, terms.punish, terms.discount, live
            )
            return Minds(put(minds.learners, k, learners), minds.memory), None

        each: Any = (who, rows, place, window)
        minds, _ = jax.lax.scan(one, minds, each)
    return moved(society, punish=minds), local
