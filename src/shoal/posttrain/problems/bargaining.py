"""Repeated games of two for Advantage Alignment (arXiv 2511.19405): the dilemma, a split, and Trust-and-Split.

Policies are tables of logits. In the dilemma a player remembers the last round; in the splits it claims by what it sees
now: its own hand, what was said, and how the other claimed last time.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray

from shoal.posttrain.advantage_alignment import Carried, Game, Pair, Parameters, Round

COOPERATE, DEFECT = 0, 1
PAYOFF = jnp.array([[3.0, 0.0], [5.0, 1.0]])
"""Own payoff by own and other act."""
STATES = 5
"""What a round of the dilemma can look like to a player: none yet, CC, CD, DC, DD (own act first)."""
LEVELS = 11
"""Claims 0 to 10."""


def draw(key: PRNGKeyArray, logits: Array) -> tuple[Array, Array, Array]:
    """An act for each row of logits, its log-probability, and the entropy."""
    logp = jax.nn.log_softmax(logits)
    act = jax.random.categorical(key, logits)
    chosen = jnp.take_along_axis(logp, act[..., None], -1)[..., 0]
    return act, chosen, -(jnp.exp(logp) * logp).sum(-1)


def _shares(claim: Array) -> Array:
    """What each of the two gets of ten: its claim, scaled down where the claims [2, ...] are over the stock."""
    return 10.0 * claim / jnp.maximum(10.0, claim.sum(0))


class Dilemma(Game):
    """The iterated prisoner's dilemma: states start, CC, CD, DC, DD (own act first).

    Args:
        friendly: chance to cooperate before training, in every state.
        rounds: of one game.
    """

    def __init__(self, friendly: float = 0.8, rounds: int = 10) -> None:
        self.friendly, self.rounds, self.scale = friendly, rounds, 5.0

    def fresh(self, key: PRNGKeyArray) -> Parameters:
        """Logits to cooperate in each state."""
        return jnp.full((STATES,), jnp.log(self.friendly / (1 - self.friendly)))

    def play(self, key: PRNGKeyArray, deal: PRNGKeyArray, pair: Pair, state: Carried) -> tuple[Carried, Round]:
        """Both act at once."""
        logits = jnp.stack([p[state[i]] for i, p in enumerate(pair)])
        act, logp, entropy = draw(key, jnp.stack([logits, jnp.zeros_like(logits)], -1))
        other = act[::-1]
        return 1 + 2 * act + other, Round(PAYOFF[act, other], logp, entropy)


def fixed(chances: tuple[float, float, float, float, float]) -> Array:
    """A dilemma strategy by its chances to cooperate at the start and after CC, CD, DC, DD."""
    p = jnp.clip(jnp.array(chances), 1e-4, 1 - 1e-4)
    return jnp.log(p / (1 - p))


ALWAYS_DEFECT = (0.0, 0.0, 0.0, 0.0, 0.0)
ALWAYS_COOPERATE = (1.0, 1.0, 1.0, 1.0, 1.0)
TIT_FOR_TAT = (1.0, 1.0, 0.0, 1.0, 0.0)


class TrustAndSplit(Game):
    """Ten coins a round; who has the upper hand values them at 10, the other at 1; only one's own hand is seen.

    Hands are of rock, paper, scissors, always different. Each says one of ``symbols`` symbols, then both claim 0 to 10.
    Claims over the stock are scaled down. A claim is made by: own hand, what the other said, and whether the other
    claimed more than half last round. What is said depends on the hand.

    Args:
        symbols: that can be said.
        muted: what is said does not arrive.
        rounds: of one game.
    """

    def __init__(self, symbols: int = 3, muted: bool = False, rounds: int = 10) -> None:
        self.symbols, self.muted, self.rounds, self.scale = symbols, muted, rounds, 100.0

    def fresh(self, key: PRNGKeyArray) -> Parameters:
        """Claims near a half, words near uniform."""
        say_key, claim_key = jax.random.split(key)
        near = -0.15 * jnp.square(jnp.arange(LEVELS) - 5.0)
        return {
            "say": 0.1 * jax.random.normal(say_key, (3, self.symbols)),
            "claim": near + 0.1 * jax.random.normal(claim_key, (3, self.symbols, 2, LEVELS)),
        }

    def play(self, key: PRNGKeyArray, deal: PRNGKeyArray, pair: Pair, state: Carried) -> tuple[Carried, Round]:
        """Hands, words, claims."""
        games = state.shape[1]
        groups = deal.shape[0]
        hand = jax.vmap(lambda k: jax.random.randint(k, (2,), 0, jnp.array([3, 2])))(deal)
        own = jnp.repeat(hand[:, 0], games // groups)
        # The other's hand is one of the two that differ; its number says which.
        theirs = (own + 1 + jnp.repeat(hand[:, 1], games // groups)) % 3
        hands = jnp.stack([own, theirs])
        say_key, claim_key = jax.random.split(key)
        words = jnp.stack([p["say"][hands[i]] for i, p in enumerate(pair)])
        said, say_logp, say_entropy = draw(say_key, words)
        heard = jnp.zeros_like(said) if self.muted else said[::-1]
        logits = jnp.stack([p["claim"][hands[i], heard[i], state[i]] for i, p in enumerate(pair)])
        claim, claim_logp, claim_entropy = draw(claim_key, logits)
        upper = (hands - hands[::-1]) % 3 == 1
        reward = _shares(claim) * jnp.where(upper, 10.0, 1.0)
        greedy = (claim[::-1] > 5).astype(jnp.int32)
        return greedy, Round(reward, say_logp + claim_logp, say_entropy + claim_entropy)


class Split(Game):
    """Three kinds of items, ten of each; both values of each kind are public, one or ten, with equal totals.

    A player claims 0, 5 or 10 of each kind at once, by its own and the other's value of the kind and whether the other
    claimed most of a kind that it did not value last round.

    Args:
        rounds: of one game.
    """

    def __init__(self, rounds: int = 10) -> None:
        self.rounds, self.scale = rounds, 100.0

    def fresh(self, key: PRNGKeyArray) -> Parameters:
        """Near uniform: own value, other's value, greed seen, claim."""
        return 0.1 * jax.random.normal(key, (2, 2, 2, 3))

    def play(self, key: PRNGKeyArray, deal: PRNGKeyArray, pair: Pair, state: Carried) -> tuple[Carried, Round]:
        """Values are dealt, both claim at once."""
        games, groups = state.shape[1], deal.shape[0]

        def values(key: PRNGKeyArray) -> Array:
            # One kind is dear to the first only, one to the second only, the third to both or to neither.
            kinds_key, both_key = jax.random.split(key)
            both = jax.random.bernoulli(both_key).astype(jnp.int32)
            table = jnp.stack([jnp.array([1, 0]), jnp.array([0, 1]), jnp.stack([both, both])])
            return jax.random.permutation(kinds_key, table)

        value = jnp.repeat(jax.vmap(values)(deal), games // groups, 0)  # [games, kinds, players]
        own = jnp.moveaxis(value, -1, 0)
        other = own[::-1]
        logits = jnp.stack([p[own[i], other[i], state[i][:, None]] for i, p in enumerate(pair)])
        act, logp, entropy = draw(key, logits)
        claim = 5.0 * act
        reward = (_shares(claim) * jnp.where(own == 1, 10.0, 1.0)).sum(-1)
        greed = ((claim[::-1] == 10) & (other == 0) & (own == 1)).any(-1)
        return greed.astype(jnp.int32), Round(reward, logp.sum(-1), entropy.sum(-1))
