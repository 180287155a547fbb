"""What can go wrong in training, found where it first shows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from shoal.errors import ShoalError

LARGEST = 1e6
"""Size from which a parameter counts as diverged."""

CAUSES = (
    "",
    "the world's observations are not finite",
    "the world's rewards are not finite",
    "the networks' values or probabilities are not finite",
    "the loss is not finite",
    "the gradient is not finite",
    f"a parameter left the range of +-{LARGEST:g}",
)
"""By code; 0 is none. The first that holds is reported: later ones follow from it."""


class TrainingDiverged(ShoalError):
    """Training was stopped because its numbers became useless; says at which step and why.

    Attributes:
        step: environment step at the end of the update.
        seed: number of the seed.
        cause: one of CAUSES.
    """

    def __init__(self, step: int, seed: int, cause: str, kept: str) -> None:
        super().__init__(f"Training stopped at step {step} (seed {seed}): {cause}. {kept}".rstrip())
        self.step, self.seed, self.cause = step, seed, cause

    def __reduce__(self) -> Any:
        return (ShoalError, (str(self),))


def fault_code(seen: Any, metrics: dict[str, Array], model: Any) -> Int[Array, " seeds"]:
    """The first of CAUSES that holds, for each seed.

    Args:
        seen: experience; arrays end with [seeds, worlds].
        metrics: figures of the update, each [seeds, ...].
        model: parameters [seeds, ...] after it.
    """
    losses = metrics["policy_loss"] + metrics["value_loss"] + metrics["entropy"]
    checks = [
        finite(seen.view.obs, -2),
        finite(seen.reward, -2),
        finite(seen.value, -2) & finite(seen.log_p, -2),
        jnp.isfinite(losses),
        jnp.isfinite(metrics["grad_norm"]),
        largest(model) < LARGEST,
    ]
    return first_fault(checks)


def first_fault(checks: Sequence[Bool[Array, " seeds"]]) -> Int[Array, " seeds"]:
    """The code of the first check that fails, for each seed; 0 where all hold. Checks are in the order of CAUSES."""
    code = jnp.zeros(checks[-1].shape, jnp.int32)
    for i, fine in reversed(list(enumerate(checks, 1))):
        code = jnp.where(fine, code, i)
    return code


def finite(x: Array, axis: int) -> Bool[Array, " seeds"]:
    """Whether all numbers are finite, for each entry of ``axis``."""
    return jnp.isfinite(jnp.moveaxis(x, axis, 0).reshape(x.shape[axis], -1)).all(1)


def largest(model: Any) -> Float[Array, " seeds"]:
    """The size of the largest parameter, for models [seeds, ...]."""
    leaves = [jnp.abs(x).reshape(x.shape[0], -1).max(1) for x in jax.tree.leaves(model)]
    # A NaN must not pass for small.
    return jnp.stack([jnp.where(jnp.isnan(x), jnp.inf, x) for x in leaves]).max(0)
