"""The gated recurrent unit over a sequence, with its derivative written out.

A derivative of a loop accumulates the weight's gradient in every step. Here the backward loop keeps only what must be
sequential (the memory's gradient); the weight's gradient is one matrix product over all steps afterwards.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

Gates = Float[Array, "gates n"]
Memory = Float[Array, "memory n"]


def gru_step(
    gates: Gates,
    weight: Float[Array, "gates memory"],
    bias: Float[Array, " memory"],
    memory: Memory,
    keep: Float[Array, " n"],
) -> Memory:
    """One step.

    Args:
        gates: the input's share of the reset, update and new gates, one behind the other.
        weight: from the memory to the gates.
        bias: of the memory's share in the new gate.
        memory: before the step.
        keep: 0 where the memory is to be forgotten first, else 1.
    """
    kept = memory * keep
    _, update, new, _ = _gates(gates, weight @ kept, bias)
    return new + update * (kept - new)


@jax.custom_vjp
def gru_sequence(
    gates: Float[Array, "time gates n"],
    weight: Float[Array, "gates memory"],
    bias: Float[Array, " memory"],
    memory: Memory,
    keep: Float[Array, "time n"],
) -> Float[Array, "time memory n"]:
    """The memories after every step; arguments as in ``gru_step``, with time in front. ``keep`` has no derivative."""
    return _forward(gates, weight, bias, memory, keep)[0]


def _gates(
    gates: Array, share: Array, bias: Float[Array, " memory"], axis: int = 0
) -> tuple[Array, Array, Array, Array]:
    """Reset, update and new gate, and the memory's share in the new gate; gates are on ``axis``."""
    size = bias.shape[0]

    def part(x: Array, start: int, end: int) -> Array:
        return jax.lax.slice_in_dim(x, start * size, end * size, axis=axis)

    both = jax.nn.sigmoid(part(gates, 0, 2) + part(share, 0, 2))
    reset, update = part(both, 0, 1), part(both, 1, 2)
    inner = part(share, 2, 3) + bias[:, None]
    return reset, update, jnp.tanh(part(gates, 2, 3) + reset * inner), inner


def _forward(gates: Array, weight: Array, bias: Array, memory: Array, keep: Array) -> tuple[Array, tuple[Array, ...]]:
    def step(memory: Array, xs: tuple[Array, Array]) -> tuple[Array, tuple[Array, Array]]:
        gate, keep = xs
        kept = memory * keep
        share = weight @ kept
        _, update, new, _ = _gates(gate, share, bias)
        memory = new + update * (kept - new)
        return memory, (memory, share)

    # Only the product is kept for the way back: storing the gates too would compute them once for each of them.
    _, (out, share) = jax.lax.scan(step, memory, (gates, keep))
    return out, (gates, weight, bias, memory, keep, out, share)


def _backward(saved: tuple[Array, ...], d_out: Array) -> tuple[Array, Array, Array, Array, None]:
    gates, weight, bias, memory, keep, out, share = saved
    kept = jnp.concatenate([memory[None], out[:-1]]) * keep[:, None]
    # What does not depend on later steps is computed for all steps at once.
    reset, update, new, inner = _gates(gates, share, bias, axis=1)
    to_new = (1 - update) * (1 - new * new)
    to_update = (kept - new) * update * (1 - update)
    to_reset = inner * reset * (1 - reset)
    size = bias.shape[0]
    back = [weight[i * size : (i + 1) * size].T for i in range(3)]

    def step(later: Array, xs: tuple[Array, ...]) -> tuple[Array, tuple[Array, ...]]:
        d_out, to_new, to_update, to_reset, reset, update, keep = xs
        d = later + d_out
        d_new = d * to_new
        d_reset, d_update, d_inner = d_new * to_reset, d * to_update, d_new * reset
        through = back[0] @ d_reset + back[1] @ d_update + back[2] @ d_inner
        return (through + d * update) * keep, (d_reset, d_update, d_new, d_inner)

    steps = (d_out, to_new, to_update, to_reset, reset, update, keep)
    first, (d_reset, d_update, d_new, d_inner) = jax.lax.scan(step, jnp.zeros_like(memory), steps, reverse=True)
    before = _rows(kept)
    contract = (((1,), (1,)), ((), ()))
    d_weight = [jax.lax.dot_general(_rows(d), before, contract) for d in (d_reset, d_update, d_inner)]
    d_gates = jnp.concatenate([d_reset, d_update, d_new], 1)
    return d_gates, jnp.concatenate(d_weight), d_inner.sum((0, 2)), first, None


def _rows(x: Float[Array, "time memory n"]) -> Float[Array, "memory time*n"]:
    return jnp.moveaxis(x, 1, 0).reshape(x.shape[1], -1)


gru_sequence.defvjp(_forward, _backward)
