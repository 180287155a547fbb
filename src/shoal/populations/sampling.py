"""Drawing yes or no, differentiably: each agent's draw is exact going forward; going back it has a surrogate slope.

A draw has no derivative, but its mean has. The estimators differ in what they let through:

- ``straight``: the slope of the draw is taken as that of its probability (Bengio et al. 2013, arXiv 1308.3432). Exact
  for anything linear in the draw; biased otherwise.
- ``gumbel``: hard draw, slope of the relaxed one at temperature 0.1 (Jang et al. 2017, arXiv 1611.01144). Biased; a low
  temperature trades bias for variance.
- ``weights``: 1 / 2p where the draw was 1 and 1 / 2(1 - p) where it was 0 (the stochastic-triple form of Arya et al.
  2022 with both directions averaged, as in AgentTorch). Unbiased for one draw; not for chains of draws.
- ``hits``: 1 / p where the draw was 1, nothing where it was 0. The same on average, and all of the slope is on those
  whom the draw changed, so that it reaches what follows from their change (a new case's own contacts).
- ``smooth``: no draw at all going back or forward: the probability itself. No variance, but another model (mean field).
- ``none``: no slope.
"""

from __future__ import annotations

from functools import partial
from typing import Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

Estimator = Literal["straight", "gumbel", "weights", "hits", "smooth", "none"]

TEMPERATURE = 0.1
_EDGE = 1e-7


def draw(
    p: Float[Array, "*agents"], noise: Float[Array, "*agents"], estimator: Estimator = "straight"
) -> Float[Array, "*agents"]:
    """1 with probability ``p``, else 0 (the probability itself for ``smooth``).

    Args:
        p: probabilities, 0 and 1 included: such draws are certain.
        noise: uniform in [0, 1).
        estimator: of the slope.
    """
    if estimator == "smooth":
        return p
    if estimator == "none":
        return (noise < jax.lax.stop_gradient(p)).astype(p.dtype)
    if estimator == "gumbel":
        return _gumbel(p, noise)
    return _hard(p, noise, estimator)


@partial(jax.custom_jvp, nondiff_argnums=(2,))
def _hard(p: Array, noise: Array, estimator: Estimator) -> Array:
    return (noise < p).astype(p.dtype)


@_hard.defjvp
def _hard_jvp(estimator: Estimator, primals: tuple[Array, Array], tangents: tuple[Array, Array]) -> tuple[Array, Array]:
    p, noise = primals
    hit = _hard(p, noise, estimator)
    if estimator == "straight":
        return hit, tangents[0]
    if estimator == "hits":
        return hit, hit / jnp.maximum(p, _EDGE) * tangents[0]
    weight = jnp.where(hit > 0, 0.5 / jnp.maximum(p, _EDGE), 0.5 / jnp.maximum(1 - p, _EDGE))
    return hit, weight * tangents[0]


def _gumbel(p: Array, noise: Array) -> Array:
    inside, u = jnp.clip(p, _EDGE, 1 - _EDGE), jnp.clip(noise, _EDGE, 1 - _EDGE)
    # The same draw as the hard one: the logit of p against the logit of the noise.
    soft = jax.nn.sigmoid((jnp.log(inside / (1 - inside)) - jnp.log(u / (1 - u))) / TEMPERATURE)
    hard = (noise < p).astype(p.dtype)
    return soft + jax.lax.stop_gradient(hard - soft)


def above(x: Float[Array, "*any"], threshold: Float[Array, "*any"], steepness: float = 0.8) -> Float[Array, "*any"]:
    """1 where ``x`` is at least ``threshold``, else 0; the slope is that of sigmoid(steepness (x - threshold))."""
    soft = jax.nn.sigmoid(steepness * (x - threshold))
    return soft + jax.lax.stop_gradient((x >= threshold).astype(soft.dtype) - soft)
