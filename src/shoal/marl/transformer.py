"""Attention over the agents of a world, in the layout of ``networks``: features first, agents second, the batch last.

The products of attention are sums over a few agents for each of thousands of samples. As batched matrix products they
are thousands of tiny products; here they are a few long vector operations along the batch. Measured (width 64, value
and gradient, two busy cores): 4 agents and 2,048 samples 1.2 ms against 18 ms, 8 agents and 512 samples 1.2 against 19.
"""

from __future__ import annotations

import math

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from shoal.marl.networks import Dense, Features, dense
from shoal.worlds.world import over_batch

Heads = Float[Array, "heads depth agents *batch"]
Weights = Float[Array, "heads askers asked *batch"]
Mask = Bool[Array, "askers asked *batch"]
"""Who may look at whom; axes of length 1 stand for all."""

HIDDEN = -1e9
"""Score of what may not be looked at; its weight is exactly 0 in float32 unless nothing may."""
SMALL = 0.01
"""Gain of layers that end a branch (MAT's), so that blocks begin as almost nothing."""
STEPS = 8
"""Features that one turn of the loop in ``scores`` takes."""


class LayerNorm(eqx.Module):
    """Features of a sample brought to mean 0 and deviation 1, then scaled and shifted.

    Attributes:
        scale: trained, [features].
        shift: trained, [features].
    """

    scale: Float[Array, " features"]
    shift: Float[Array, " features"]

    def __call__(self, x: Features) -> Features:
        """Over the first axis."""
        x = x - x.mean(0)
        x = x * jax.lax.rsqrt(jnp.square(x).mean(0) + 1e-5)
        return x * over_batch(self.scale, x) + over_batch(self.shift, x)


def layer_norm(size: int) -> LayerNorm:
    """A fresh one."""
    return LayerNorm(jnp.ones(size), jnp.zeros(size))


def _normed(norm: LayerNorm | None, x: Features) -> Features:
    return x if norm is None else norm(x)


class Perceptron(eqx.Module):
    """Two dense layers with GELU between them, and norms before either.

    Attributes:
        before: norm of the input; None for none.
        first: to the hidden features.
        between: norm of the hidden features; None for none.
        last: to the output.
    """

    before: LayerNorm | None
    first: Dense
    between: LayerNorm | None
    last: Dense

    def __call__(self, x: Features) -> Features:
        """The output for each sample by itself."""
        return self.last(_normed(self.between, jax.nn.gelu(self.first(_normed(self.before, x)))))


def perceptron(
    key: PRNGKeyArray, inputs: int, hidden: int, outputs: int, before: bool = True, between: bool = True
) -> Perceptron:
    """A fresh one; ``before`` and ``between`` say which norms it has."""
    first, last = jax.random.split(key)
    return Perceptron(
        layer_norm(inputs) if before else None,
        dense(first, inputs, hidden, math.sqrt(2.0)),
        layer_norm(hidden) if between else None,
        dense(last, hidden, outputs, SMALL),
    )


@jax.custom_vjp
def scores(asks: Heads, keys: Heads) -> Weights:
    """Products of every asker with everyone asked, summed over the depth."""
    return _sum_over_depth(asks, keys)


@jax.custom_vjp
def mixture(weights: Weights, values: Heads) -> Heads:
    """Sums of values by weight, for every asker."""
    return _sum_over_asked(weights, values)


def _sum_over_depth(asks: Heads, keys: Heads) -> Weights:
    depth = asks.shape[1]
    steps = math.gcd(depth, STEPS)

    def some(turn: Array, total: Weights) -> Weights:
        for step in range(steps):
            d = turn * steps + step
            total = total + asks[:, d][:, :, None] * keys[:, d][:, None]
        return total

    zeros = jnp.zeros((asks.shape[0], asks.shape[2], *keys.shape[2:]))
    total: Weights = jax.lax.fori_loop(0, depth // steps, some, zeros)
    return total


def _sum_over_asked(weights: Weights, values: Heads) -> Heads:
    parts = (weights[:, None, :, j] * values[:, :, None, j] for j in range(values.shape[2]))
    return sum(parts, jnp.zeros((*values.shape[:2], weights.shape[1], *values.shape[3:])))


def _scores_backward(saved: tuple[Heads, Heads], d: Weights) -> tuple[Heads, Heads]:
    asks, keys = saved
    return _sum_over_asked(d, keys), _sum_over_asked(jnp.swapaxes(d, 1, 2), asks)


def _mixture_backward(saved: tuple[Weights, Heads], d: Heads) -> tuple[Weights, Heads]:
    weights, values = saved
    return _sum_over_depth(d, values), _sum_over_asked(jnp.swapaxes(weights, 1, 2), d)


# Each is the other's derivative; the automatic ones would be slow reductions again.
scores.defvjp(lambda asks, keys: (_sum_over_depth(asks, keys), (asks, keys)), _scores_backward)
mixture.defvjp(lambda weights, values: (_sum_over_asked(weights, values), (weights, values)), _mixture_backward)


class Asked(eqx.Module):
    """What a sequence offers to those who attend to it.

    Attributes:
        keys: by which it is found.
        values: what is taken.
    """

    keys: Heads
    values: Heads

    def write(self, place: Array, one: Asked) -> Asked:
        """The same with one place of the sequence replaced."""

        def put(whole: Heads, part: Heads) -> Heads:
            return jax.lax.dynamic_update_slice_in_dim(whole, part, place, 2)

        return Asked(put(self.keys, one.keys), put(self.values, one.values))

    def blank(self, length: int) -> Asked:
        """Zeros for a sequence of that length."""
        shape = (*self.keys.shape[:2], length, *self.keys.shape[3:])
        return Asked(jnp.zeros(shape), jnp.zeros(shape))


class Attention(eqx.Module):
    """Scaled dot-product attention (Vaswani et al. 2017, arXiv 1706.03762, section 3.2).

    Attributes:
        query: to what askers look for.
        key: to what is found.
        value: to what is taken.
        out: of all heads together.
        heads: number of them.
    """

    query: Dense
    key: Dense
    value: Dense
    out: Dense
    heads: int = eqx.field(static=True)

    def offer(self, x: Features) -> Asked:
        """Keys and values of a sequence."""
        return Asked(self._split(self.key(x)), self._split(self.value(x)))

    def __call__(self, x: Features, asked: Asked, mask: Mask | None) -> Features:
        """What each place of ``x`` gathers from the places that the mask lets it see."""
        asks = self._split(self.query(x))
        found = scores(asks, asked.keys) / math.sqrt(asks.shape[1])
        if mask is not None:
            found = jnp.where(mask[None], found, HIDDEN)
        gathered = mixture(jax.nn.softmax(found, axis=2), asked.values)
        return self.out(gathered.reshape(-1, *gathered.shape[2:]))

    def _split(self, x: Features) -> Heads:
        return x.reshape(self.heads, -1, *x.shape[1:])


def attention(key: PRNGKeyArray, width: int, heads: int) -> Attention:
    """A fresh one."""
    query, keys, value, out = (dense(k, width, width, SMALL) for k in jax.random.split(key, 4))
    return Attention(query, keys, value, out, heads)


class Block(eqx.Module):
    """Self-attention, attention to another sequence (optional), and a perceptron, each added to what it is given.

    Attributes:
        attention: of the sequence to itself; None leaves its places apart.
        cross: attention that involves another sequence, place by place or as a whole; None for none.
        perceptron: of each place.
        norms: before everything, after self-attention, after cross-attention, and at the end; None for none.
        turned: the other sequence asks this one, and what is gathered is added to the other (MAT's decoder); else this
            one asks the other (CMAT's).
    """

    attention: Attention | None
    cross: Attention | None
    perceptron: Perceptron
    norms: tuple[LayerNorm | None, LayerNorm | None, LayerNorm | None, LayerNorm | None]
    turned: bool = eqx.field(static=True)

    def __call__(
        self, x: Features, mask: Mask | None, other: Features | None = None, other_mask: Mask | None = None
    ) -> Features:
        """All places at once.

        Args:
            x: the sequence.
            mask: who sees whom in the sequence.
            other: the other sequence.
            other_mask: which of its places may be seen; not used where it asks.
        """
        x = _normed(self.norms[0], x)
        own = None if self.attention is None else self.attention.offer(x)
        x = self._attend(x, own, mask)
        if self.cross is not None and other is not None:
            seen = self.cross.offer(x if self.turned else other)
            x = self._cross(x, other, seen, mask if self.turned else other_mask)
        return _normed(self.norms[3], x + self.perceptron(x))

    def begin(self, x: Features, other: Features, length: int) -> tuple[Asked | None, Asked | None]:
        """What ``step`` remembers before the first place: nothing of this sequence, and all of one that is asked."""
        own = None if self.attention is None else self.attention.offer(x).blank(length)
        if self.cross is None:
            return own, None
        return own, self.cross.offer(x).blank(length) if self.turned else self.cross.offer(other)

    def step(
        self,
        x: Features,
        place: Array,
        memory: tuple[Asked | None, Asked | None],
        mask: Mask | None,
        other: Features,
        other_mask: Mask | None = None,
    ) -> tuple[Features, tuple[Asked | None, Asked | None]]:
        """One place of the sequence, which sees itself and what came before; equals that place of ``__call__``.

        Args:
            x: the place's features [width, 1, *batch].
            place: its number.
            memory: of the places before.
            mask: what of the sequence may be seen [1, length, *batch].
            other: the same place of the other sequence where it asks; not used where it is asked.
            other_mask: which places of the other sequence may be seen.
        """
        x = _normed(self.norms[0], x)
        own, seen = memory
        if self.attention is not None and own is not None:
            own = own.write(place, self.attention.offer(x))
        x = self._attend(x, own, mask)
        if self.cross is not None and seen is not None:
            if self.turned:
                seen = seen.write(place, self.cross.offer(x))
            x = self._cross(x, other, seen, mask if self.turned else other_mask)
        return _normed(self.norms[3], x + self.perceptron(x)), (own, seen)

    def _attend(self, x: Features, own: Asked | None, mask: Mask | None) -> Features:
        if self.attention is not None and own is not None:
            x = x + self.attention(x, own, mask)
        return _normed(self.norms[1], x)

    def _cross(self, x: Features, other: Features, seen: Asked, mask: Mask | None) -> Features:
        assert self.cross is not None
        asker = other if self.turned else x
        return _normed(self.norms[2], asker + self.cross(asker, seen, mask))


def block(
    key: PRNGKeyArray,
    width: int,
    heads: int,
    post_norm: bool,
    crossed: bool = False,
    attentive: bool = True,
) -> Block:
    """A fresh block of MAT or CMAT.

    Args:
        key: randomness.
        width: features of a place.
        heads: of each attention; must divide the width.
        post_norm: MAT's order of norms (after each part); else CMAT's (before all, and after each attention).
        crossed: has attention that involves another sequence: turned in MAT's, plain in CMAT's.
        attentive: has self-attention.
    """
    self_key, cross_key, inner_key = jax.random.split(key, 3)
    return Block(
        attention(self_key, width, heads) if attentive else None,
        attention(cross_key, width, heads) if crossed else None,
        perceptron(inner_key, width, width, width, before=False, between=False),
        (
            None if post_norm else layer_norm(width),
            layer_norm(width),
            layer_norm(width) if crossed else None,
            layer_norm(width) if post_norm else None,
        ),
        post_norm,
    )


class Embedding(eqx.Module):
    """From what a place shows to its features.

    Attributes:
        before: norm of the input; None for none.
        layer: followed by GELU.
        after: norm of the features; None for none.
    """

    before: LayerNorm | None
    layer: Dense
    after: LayerNorm | None

    def __call__(self, x: Features) -> Features:
        """Each place by itself."""
        return _normed(self.after, jax.nn.gelu(self.layer(_normed(self.before, x))))


def embedding(
    key: PRNGKeyArray, inputs: int, width: int, before: bool, after: bool, ids: int | None = None
) -> Embedding:
    """A fresh one; ``ids`` is the number of places that it tells apart, None for none."""
    layer = dense(key, inputs, width, math.sqrt(2.0), ids=ids)
    return Embedding(layer_norm(inputs) if before else None, layer, layer_norm(width) if after else None)


class SetEncoder(eqx.Module):
    """Observations of all agents to features that know of each other: attention without places, so order is nothing.

    Attributes:
        embedding: of each observation.
        blocks: in order.
    """

    embedding: Embedding
    blocks: tuple[Block, ...]

    def __call__(self, obs: Features, alive: Bool[Array, "agents *batch"]) -> Features:
        """Features of all agents; agents that are not alive are not seen by the others."""
        x = self.embedding(obs)
        for part in self.blocks:
            x = part(x, alive[None])
        return x


def sinusoids(length: int, width: int) -> Float[Array, "width length"]:
    """Codes of places (Vaswani et al. 2017, section 3.5): sines on even, cosines on odd features."""
    place = jnp.arange(length)[None]
    speed = jnp.exp(-math.log(10_000.0) * jnp.arange(0, width, 2) / width)[:, None]
    both = jnp.stack([jnp.sin(speed * place), jnp.cos(speed * place)], 1)
    return both.reshape(-1, length)[:width]


def causal(length: int, batch_axes: int) -> Bool[Array, "askers asked *ones"]:
    """Everyone sees itself and what came before; ones for the axes of the batch."""
    return jnp.tril(jnp.ones((length, length), bool)).reshape(length, length, *(1,) * batch_axes)
