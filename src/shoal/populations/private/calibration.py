"""Calibration in shares: the server names parameters, agents answer with totals and the totals' slopes, no more.

The server forms the loss and its slope from the revealed series x and their Jacobian dx/dtheta and chains the
parametrisation's own slope on behind, so that CalibNN is fitted like plain numbers. ``search`` does the rest.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import PRNGKeyArray
from numpy.typing import ArrayLike, NDArray

from shoal.populations.model import Parameters
from shoal.populations.objective import Objective, valued
from shoal.populations.private.messages import MessageLog
from shoal.populations.private.simulation import (
    PrivateRun,
    protocol_of,
    protocol_over,
    require_decentralised,
    run_privately,
)
from shoal.runs.seeds import generator


@dataclass(frozen=True)
class PrivateObjective(Objective):
    """An objective whose runs are made in shares.

    Attributes:
        protocol: shares or servers.
        servers: helper servers.
    """

    protocol: str = "shares"
    servers: int = 3

    def curves(self, parameters: Mapping[str, Any], keys: PRNGKeyArray) -> NDArray[np.float64]:
        """What the runs of these keys reveal [keys, streams, steps]."""
        values = self.fixed | {name: jnp.asarray(x, jnp.float32) for name, x in parameters.items()}
        return np.stack([self._stacked(self._run(key, values, None).series) for key in keys])

    def slope(self, flat: ArrayLike, keys: PRNGKeyArray) -> tuple[float, NDArray[np.float64]]:
        """Mean loss over the runs of these keys, and its slope along the weights [numbers]."""
        values, back = jax.vjp(valued(self.free), jnp.asarray(flat, jnp.float32))
        theta, form = ravel_pytree(values)
        ways = {name: jnp.zeros((theta.size, *x.shape)) for name, x in self.fixed.items()}
        ways |= jax.vmap(form)(jnp.eye(theta.size))
        runs = [self._run(key, self.fixed | values, ways) for key in keys]
        curves = np.stack([self._stacked(run.series) for run in runs])
        weights = 2 * (curves - self._aims(curves)) / self.scale[:, None] ** 2 / self.steps
        slopes = [np.einsum("st,stn->n", w, self._stacked(run.slopes)) for w, run in zip(weights, runs, strict=True)]
        slope = form(jnp.asarray(np.mean(slopes, 0), jnp.float32))
        return float(self._losses(curves).mean()), np.asarray(back(slope)[0], np.float64)

    def _run(self, key: PRNGKeyArray, values: Parameters, ways: Any) -> PrivateRun:
        model, rng = require_decentralised(self.model), generator(int(jax.random.bits(key)), "shares")
        sums = protocol_over(self.population, self.protocol, rng, self.servers, MessageLog())
        return run_privately(model, self.steps, key, self.population, values, sums, self.names, ways)

    def _stacked(self, by_name: Mapping[str, NDArray[np.float64]]) -> NDArray[np.float64]:
        return np.stack([by_name[name] for name in self.names])


def private(problem: Objective, protocol: str = "shares", servers: int = 3) -> PrivateObjective:
    """The objective with its runs in shares.

    Raises:
        InputError, UnknownName: a model or population that is not decentralised, or no such protocol.
    """
    require_decentralised(problem.model).apart(problem.population)
    protocol_of(protocol)
    return PrivateObjective(**vars(problem), protocol=protocol, servers=servers)
