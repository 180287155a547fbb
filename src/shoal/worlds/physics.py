"""Particle physics on the plane: discs with soft contact, damping and a speed limit, written by component.

The rules and constants are those of the multi-particle environments (Mordatch & Abbeel 2017, arXiv 1703.04908; Lowe et
al. 2017, arXiv 1706.02275) as kept by the mpe2 package: positions move by the old velocity, then velocities are damped
and pushed.
"""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

DT = 0.1
"""Seconds per step."""
DAMPING = 0.25
"""Share of the velocity lost in a step."""
CONTACT_FORCE = 1e2
CONTACT_MARGIN = 1e-3
"""Softness of the contact: the penetration is a softplus of this width."""

Component = Float[Array, "bodies *batch"]


class Bodies(eqx.Module):
    """Moving discs.

    Attributes:
        x: position, first coordinate.
        y: position, second coordinate.
        vx: velocity, first coordinate.
        vy: velocity, second coordinate.
    """

    x: Component
    y: Component
    vx: Component
    vy: Component


def distances(ax: Component, ay: Component, bx: Component, by: Component) -> Float[Array, "a b *batch"]:
    """Distance of every body of a to every body of b."""
    dx, dy = ax[:, None] - bx[None], ay[:, None] - by[None]
    return jnp.sqrt(dx * dx + dy * dy)


def contact(
    bodies: Bodies, size: Float[Array, " bodies"], hx: Component, hy: Component, hard: Float[Array, " obstacles"]
) -> tuple[Component, Component]:
    """Contact forces on each body, from the other bodies and from fixed obstacles.

    Args:
        bodies: the discs.
        size: their radii.
        hx: first coordinate of the obstacles (empty for none).
        hy: second coordinate.
        hard: radii of the obstacles.
    """
    # Each pair once: what one body feels, the other feels reversed; obstacles feel nothing.
    n, m = size.shape[0], hard.shape[0]
    one, two = np.triu_indices(n, 1)
    first, obstacle = np.concatenate([one, np.repeat(np.arange(n), m)]), np.tile(np.arange(m), n)
    signs = np.zeros((n, len(first)), np.float32)
    signs[first, np.arange(len(first))] = 1
    signs[two, np.arange(len(two))] = -1
    x, y = jnp.concatenate([bodies.x[two], hx[obstacle]]), jnp.concatenate([bodies.y[two], hy[obstacle]])
    dx, dy = bodies.x[first] - x, bodies.y[first] - y
    reach = size[first] + jnp.concatenate([size[two], hard[obstacle]])
    strength = _strength(dx, dy, reach.reshape(-1, *(1,) * (dx.ndim - 1)))
    exact = jax.lax.Precision.HIGHEST
    return jnp.tensordot(signs, strength * dx, 1, precision=exact), jnp.tensordot(
        signs, strength * dy, 1, precision=exact
    )


def integrate(
    bodies: Bodies,
    fx: Component,
    fy: Component,
    mass: float = 1.0,
    fastest: Float[Array, " bodies"] | None = None,
) -> Bodies:
    """One step of time under the given forces.

    Args:
        bodies: the discs.
        fx: force, first coordinate.
        fy: force, second coordinate.
        mass: of every body.
        fastest: speed limit of each body; infinity or None for none.
    """
    x, y = bodies.x + bodies.vx * DT, bodies.y + bodies.vy * DT
    vx = bodies.vx * (1 - DAMPING) + fx * (DT / mass)
    vy = bodies.vy * (1 - DAMPING) + fy * (DT / mass)
    if fastest is not None:
        limit = fastest.reshape(fastest.shape + (1,) * (vx.ndim - 1))
        speed = jnp.sqrt(vx * vx + vy * vy)
        slow = jnp.where(speed > limit, limit / jnp.maximum(speed, 1e-12), 1.0)
        vx, vy = vx * slow, vy * slow
    return Bodies(x, y, vx, vy)


def _strength(dx: Component, dy: Component, reach: Component) -> Component:
    distance = jnp.sqrt(dx * dx + dy * dy)
    depth = (reach - distance) / CONTACT_MARGIN
    penetration = (jnp.maximum(depth, 0) + jnp.log1p(jnp.exp(-jnp.abs(depth)))) * CONTACT_MARGIN
    # At distance 0 the direction is undefined and the force is taken as 0.
    return jnp.where(distance > 0, CONTACT_FORCE * penetration / jnp.where(distance > 0, distance, 1.0), 0.0)
