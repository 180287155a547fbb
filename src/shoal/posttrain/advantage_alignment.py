"""Advantage Alignment for two players in repeated games (arXiv 2511.19405, base algorithm 2406.14662).

The learner's credit is C_t = A1_t + beta W_t A2_t (``credit.aligned_advantages``): acts that are good for the other
player are raised when the past was good for the learner, lowered when it was bad. Advantages are returns minus the mean
of the other games of the same seed group. Learning is REINFORCE on the acts of whoever learns; half of the games are
played against past policies from a pool.

Here for policies as tables or small networks in JAX, all seeds in one program; ``Game`` says what a round is.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:  # whoever lists methods or rules of credit reads this module, and need not wait for JAX
    from jaxtyping import Array, Float, PRNGKeyArray


class Credit(NamedTuple):
    """What sets trainers apart, as numbers, so that all of them train in one program.

    Attributes:
        strength: beta; 0 without the term.
        other: weight of the other player's own advantage; 1 for the sum of rewards.
        shuffled: 1 if the weights of the past are dealt to other games (the ablation that must lose).
        pool: chance that a game is against a past policy.
    """

    strength: float | Array = 1.0
    other: float | Array = 0.0
    shuffled: float | Array = 0.0
    pool: float | Array = 0.5


NAIVE = Credit(strength=0.0)
SUM = Credit(strength=0.0, other=1.0)

Parameters = Any
"""A policy's parameters, a pytree."""
Pair = tuple[Parameters, Parameters]

Carried = Any
"""What each player carries from round to round, a pytree of arrays [2, games, ...]: what it saw, what it remembers."""


class Round(NamedTuple):
    """One round as both players saw it; arrays [2, games] (players first).

    Attributes:
        reward: of each player.
        logp: log-probability of each player's acts in the round, all of them together.
        entropy: of its distributions.
    """

    reward: Float[Array, "players games"]
    logp: Float[Array, "players games"]
    entropy: Float[Array, "players games"]


class Game(ABC):
    """A repeated game for two, with policies as parameters.

    Attributes:
        rounds: T.
        scale: c, by which rewards are divided.
    """

    rounds: int
    scale: float

    @abstractmethod
    def fresh(self, key: PRNGKeyArray) -> Parameters:
        """A policy before training."""

    def begin(self, games: int) -> Carried:
        """Before the first round: 0 for everybody, nothing was seen."""
        import jax.numpy as jnp

        return jnp.zeros((2, games), jnp.int32)

    @abstractmethod
    def play(self, key: PRNGKeyArray, deal: PRNGKeyArray, pair: Pair, state: Carried) -> tuple[Carried, Round]:
        """One round of all games between two policies.

        Args:
            key: of the players' acts.
            deal: of what the game deals; the same for the games of a group.
            pair: parameters of the two seats.
            state: what is carried, and then returned for the next round.
        """


@dataclass(frozen=True)
class Settings:
    """How a learner is trained, whatever its credit.

    Attributes:
        discount: g, of returns.
        weight_discount: g, of the past in W.
        group: games that share what is dealt; the baseline is the mean of the others.
        games: B, played in one update.
        updates: gradient steps.
        rate: of Adam.
        entropy: weight of the bonus.
        pool: past policies kept.
        store_every: updates between policies that go into the pool.
    """

    discount: float = 0.9
    weight_discount: float = 0.9
    group: int = 128
    games: int = 128
    updates: int = 1000
    rate: float = 0.03
    entropy: float = 0.01
    pool: int = 30
    store_every: int = 10


def credits(
    own: Float[Array, "time games"],
    other: Float[Array, "time games"],
    credit: Credit,
    discount: float,
    key: PRNGKeyArray,
) -> Float[Array, "time games"]:
    """C of a learner from both players' advantages; ``discount`` is g of the past, ``key`` deals it where shuffled."""
    import jax
    import jax.numpy as jnp

    def step(past: Array, gain: Array) -> tuple[Array, Array]:
        return discount * (past + gain), past

    _, weight = jax.lax.scan(step, jnp.zeros(own.shape[1]), own)
    dealt = weight[:, jax.random.permutation(key, own.shape[1])]
    weight = jnp.where(jnp.asarray(credit.shuffled) > 0, dealt, weight)
    return own + (credit.other + credit.strength * weight) * other


def advantages(reward: Float[Array, "time games"], settings: Settings, scale: float) -> Float[Array, "time games"]:
    """Discounted returns minus the mean of the other games of the group, at each step."""
    import jax
    import jax.numpy as jnp

    def step(ahead: Array, now: Array) -> tuple[Array, Array]:
        total = now / scale + settings.discount * ahead
        return total, total

    _, value = jax.lax.scan(step, jnp.zeros(reward.shape[1]), reward, reverse=True)
    if settings.group < 2:
        return value
    grouped = value.reshape(value.shape[0], -1, settings.group)
    others = (grouped.sum(-1, keepdims=True) - grouped) / (settings.group - 1)
    return (grouped - others).reshape(value.shape)


def match(
    game: Game, key: PRNGKeyArray, first: Parameters, second: Parameters, games: int, group: int
) -> tuple[Round, Float[Array, "time players"]]:
    """Whole games: rounds stacked along time, and mean rewards of each round and player."""
    import jax
    import jax.numpy as jnp

    _, deal_key, key = jax.random.split(key, 3)  # a third, unused key: recorded results were drawn so
    state = game.begin(games)
    deals = jax.random.split(deal_key, max(1, games // max(1, group)))

    def step(state: Carried, xs: tuple[Array, Array]) -> tuple[Carried, Round]:
        t, act_key = xs
        return game.play(act_key, jax.vmap(lambda k: jax.random.fold_in(k, t))(deals), (first, second), state)

    _, seen = jax.lax.scan(step, state, (jnp.arange(game.rounds), jax.random.split(key, game.rounds)))
    return seen, seen.reward.mean(-1)


def train(
    game: Game, settings: Settings, credit: Credit, key: PRNGKeyArray, opponent: Parameters | None = None
) -> tuple[Parameters, Float[Array, " updates"]]:
    """Train one policy; ``vmap`` over keys and credits for many seeds and trainers.

    The learner sits first in half of the games and second in the others. Half of the games are against a random policy
    of the pool, the rest against itself (or all against ``opponent``, which stays as it is).

    Returns the parameters, and the learner's mean reward per round in each update.
    """
    import jax
    import jax.numpy as jnp
    import optax  # type: ignore[import-untyped]

    s = settings
    init_key, key = jax.random.split(key)
    policy = game.fresh(init_key)
    adam = optax.adam(s.rate)
    size = s.pool
    pool = jax.tree.map(lambda x: jnp.broadcast_to(x, (size, *x.shape)), policy)

    def loss(policy: Parameters, other: Parameters, key: PRNGKeyArray) -> tuple[Array, Array]:
        total, paid = jnp.zeros(()), jnp.zeros(())
        for seat, seat_key in enumerate(jax.random.split(key)):
            pair = (policy, other) if seat == 0 else (other, policy)
            play_key, mix_key = jax.random.split(seat_key)
            seen, _ = match(game, play_key, *pair, s.games // 2, min(s.group, s.games // 2))
            gain = [advantages(jax.lax.stop_gradient(seen.reward[:, i]), _halved(s), game.scale) for i in range(2)]
            earned = credits(gain[seat], gain[1 - seat], credit, s.weight_discount, mix_key)
            total += -(earned * seen.logp[:, seat]).mean() - s.entropy * seen.entropy[:, seat].mean()
            paid += seen.reward[:, seat].mean() / 2
        return total / 2, paid

    def update(carry: tuple[Any, Any, Any], xs: tuple[Array, PRNGKeyArray]) -> tuple[tuple[Any, Any, Any], Array]:
        policy, state, pool = carry
        number, key = xs
        pick_key, coin_key, play_key = jax.random.split(key, 3)
        filled = jnp.minimum(number // s.store_every + 1, size)
        past = jax.tree.map(lambda x: x[jax.random.randint(pick_key, (), 0, filled)], pool)
        itself = jax.random.uniform(coin_key) >= credit.pool
        other = jax.tree.map(lambda a, b: jnp.where(itself, a, b), jax.lax.stop_gradient(policy), past)
        other = other if opponent is None else opponent
        slope, paid = jax.grad(loss, has_aux=True)(policy, other, play_key)
        move, state = adam.update(slope, state)
        policy = optax.apply_updates(policy, move)
        place = (number // s.store_every + 1) % size
        due = number % s.store_every == 0
        pool = jax.tree.map(lambda p, x: jnp.where(due, p.at[place].set(x), p), pool, policy)
        return (policy, state, pool), paid

    keys = jax.random.split(key, s.updates)
    (policy, _, _), paid = jax.lax.scan(update, (policy, adam.init(policy), pool), (jnp.arange(s.updates), keys))
    return policy, paid


def _halved(settings: Settings) -> Settings:
    """The group cannot be larger than the games of one seat."""
    return replace(settings, group=min(settings.group, settings.games // 2))


def payoffs(
    game: Game, first: Parameters, second: Parameters, games: int, key: PRNGKeyArray
) -> Float[Array, " players"]:
    """Mean reward per round of each player, over whole games."""
    _, paid = match(game, key, first, second, games, games)
    return paid.mean(0)
