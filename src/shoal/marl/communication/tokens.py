"""Discrete messages: tokens with a straight-through gradient, and messages as actions.

"tokens": each of L symbols is drawn from softmax over V by the Gumbel trick; forward it is one-hot, backward the
gradient is that of the soft sample at a temperature (Jang et al. 2017, arXiv 1611.01144). "rial": the message is an
extra action with a probability of its own, trained by the policy gradient; no gradient passes between agents (Foerster
et al. 2016, arXiv 1605.06676, there with Q-values). After training the most probable symbol is said in both.
"""

from __future__ import annotations

import math
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray
from pydantic import Field

from shoal.marl import categorical
from shoal.marl.actors import Communication, Hidden, Noise
from shoal.marl.communication.exchange import Exchange, ExchangeSettings, Scale, Spoken, Words, communication
from shoal.marl.networks import Dense
from shoal.marl.players import View


class TokensSettings(ExchangeSettings):
    """Options of discrete messages."""

    vocabulary: int = Field(16, ge=2, le=1024, description="Different symbols, V.")
    length: int = Field(2, ge=1, le=16, description="Symbols of a message, L.")
    temperature: float = Field(1.0, gt=0, description="Of the soft sample that gradients pass through.")


class RIALSettings(ExchangeSettings):
    """Options of messages as actions."""

    vocabulary: int = Field(4, ge=2, le=1024, description="Different messages.")
    explore: float = Field(1.0, ge=0, description="Weight of the message's entropy, relative to the action's.")


class Symbols(Exchange):
    """Messages of one-hot symbols, heard side by side.

    Attributes:
        mouth: from features to logits, symbol by symbol.
        vocabulary: different symbols.
    """

    mouth: Dense
    vocabulary: int = eqx.field(static=True)

    @property
    def size(self) -> int:
        """One-hot symbols one behind the other."""
        return self.mouth.weight.shape[-2]

    @property
    def length(self) -> int:
        """Symbols of a message."""
        return self.size // self.vocabulary

    @property
    def bits(self) -> float:
        """The logarithm of the number of messages."""
        return self.length * math.log2(self.vocabulary)

    def logits(self, h: Hidden) -> Float[Array, "vocabulary length agents *batch"]:
        """Of every symbol."""
        return _split(self.mouth(h), self.vocabulary)

    def draw(self, u: Float[Array, "width *any"]) -> Float[Array, "width *any"]:
        """Symbols of equal chance."""
        return _flat(_hard(_split(u, self.vocabulary)))


class Tokens(Symbols):
    """Sampled by the Gumbel trick.

    Attributes:
        temperature: of the soft sample.
    """

    temperature: float = eqx.field(static=True)

    def __init__(self, hear: Dense, mouth: Dense, scale: Scale, options: TokensSettings) -> None:
        self.hear, self.channel, self.agents, self.rounds = hear, options.channel(), scale.agents, 1
        self.mouth, self.vocabulary, self.temperature = mouth, options.vocabulary, options.temperature

    @property
    def chances(self) -> int:
        """One for each logit."""
        return self.size

    def speak(self, h: Hidden, view: View, noise: Noise, memory: Any, sent: Any, execute: bool) -> Spoken:
        """One-hot symbols."""
        logits = self.logits(h)
        if not execute:
            gumbel = -jnp.log(-jnp.log(jnp.clip(_split(noise, self.vocabulary), 1e-7, 1 - 1e-7)))
            logits = logits + gumbel
        soft = jax.nn.softmax(logits / self.temperature, axis=0)
        message = _hard(logits) + (soft - jax.lax.stop_gradient(soft))
        return Spoken(_flat(message), jnp.ones(h.shape[1:]))


class RIAL(Symbols):
    """One symbol, as an action.

    Attributes:
        explore: weight of its entropy.
    """

    explore: float = eqx.field(static=True)

    def __init__(self, hear: Dense, mouth: Dense, scale: Scale, options: RIALSettings) -> None:
        self.hear, self.channel, self.agents, self.rounds = hear, options.channel(), scale.agents, 1
        self.mouth, self.vocabulary, self.explore = mouth, options.vocabulary, options.explore

    @property
    def chances(self) -> int:
        """One to sample."""
        return 1

    def speak(self, h: Hidden, view: View, noise: Noise, memory: Any, sent: Any, execute: bool) -> Spoken:
        """A sampled symbol and its probability."""
        log_p = jax.nn.log_softmax(self.mouth(h), axis=0)
        if sent is None:
            sent = categorical.best(log_p) if execute else categorical.sample(log_p, noise[0])
        number = jnp.arange(self.vocabulary).reshape(-1, *(1,) * sent.ndim)
        return Spoken(
            message=(sent[None] == number).astype(h.dtype),
            open=jnp.ones(h.shape[1:]),
            sent=sent,
            log_p=categorical.log_probability(log_p, sent),
            entropy=self.explore * categorical.entropy(log_p),
        )


def _split(x: Float[Array, "width *any"], vocabulary: int) -> Float[Array, "vocabulary length *any"]:
    return x.reshape(vocabulary, -1, *x.shape[1:])


def _flat(x: Float[Array, "vocabulary length *any"]) -> Float[Array, "width *any"]:
    return x.reshape(-1, *x.shape[2:])


def _hard(x: Float[Array, "vocabulary length *any"]) -> Float[Array, "vocabulary length *any"]:
    number = jnp.arange(x.shape[0]).reshape(-1, *(1,) * (x.ndim - 1))
    return (jnp.argmax(x, 0)[None] == number).astype(x.dtype)


_DISCRETE = Words(
    ("every agent",),
    ("broadcast",),
    ("hidden state", "discrete symbols", "sequence"),
    ("every step",),
    ("partial observability", "coordinate actions"),
    ("MLP encoder", "quantiser", "concatenation", "limited bits", "backprop through channel"),
)


@communication("tokens", TokensSettings, _DISCRETE)
def tokens(key: PRNGKeyArray, scale: Scale, options: TokensSettings) -> Communication | None:
    """Discrete tokens: Gumbel-softmax with a straight-through gradient."""
    ear, mouth = jax.random.split(key)
    d, size = scale.hidden, options.vocabulary * options.length
    return Tokens(scale.dense(ear, d + size * (scale.agents - 1), d), scale.dense(mouth, d, size), scale, options)


@communication(
    "rial",
    RIALSettings,
    _DISCRETE._replace(
        what=("hidden state", "discrete symbols"),
        how=("MLP encoder", "concatenation", "limited bits", "RL on messages"),
    ),
)
def rial(key: PRNGKeyArray, scale: Scale, options: RIALSettings) -> Communication | None:
    """RIAL: the message is a discrete action; no gradient passes between agents."""
    ear, mouth = jax.random.split(key)
    d, size = scale.hidden, options.vocabulary
    hear = scale.dense(ear, d + size * (scale.agents - 1), d)
    return RIAL(hear, scale.dense(mouth, d, size, 0.01), scale, options)
