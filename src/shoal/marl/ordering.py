"""Does the order of the agents matter? The same players with the agents' rows in another order."""

from __future__ import annotations

from itertools import accumulate
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from shoal.marl.actors import Model
from shoal.marl.players import Actions, Player, View


def reordered(view: View, order: Int[Array, " agents"]) -> View:
    """The view with agent ``order[i]`` in row i; without the world's global state, whose order is its own."""
    return View(view.obs[:, order], view.state[:0], view.alive[order], view.legal[:, order], view.fresh)


class Reordered(Player):
    """A player that is shown the agents in another order; every agent still does what is decided for it.

    Attributes:
        player: must have no memory, because memories have rows too.
        order: number of the agent in each row.
    """

    player: Player
    order: Int[Array, " agents"]

    def start(self, agents: int, batch: tuple[int, ...]) -> Any:
        """The player's."""
        return self.player.start(agents, batch)

    def act(self, key: PRNGKeyArray, view: View, memory: Any, greedy: bool = False) -> tuple[Actions, Any]:
        """Rows in the order on the way in, and back on the way out."""
        action, memory = self.player.act(key, reordered(view, self.order), memory, greedy)
        return action[jnp.argsort(self.order)], memory


def order_gap(
    model: Model, view: View, action: Actions, order: Int[Array, " agents"]
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """Largest change, by a new order of rows, of any agent's log-probability of its action, and of its value.

    Args:
        model: without memory or noise.
        view: of a batch whose first axis is time.
        action: a joint action of each sample.
        order: number of the agent in each row.
    """
    agents, *batch = view.alive.shape
    none = jnp.zeros((model.rows[1], *view.alive.shape))
    start = model.start(agents, tuple(batch[1:]))
    one = model.evaluate(view, action, (), none, start)
    two = model.evaluate(reordered(view, order), action[order], (), none, start)
    back = jnp.argsort(order)
    return jnp.abs(two.log_p[back] - one.log_p).max(), jnp.abs(two.value[back] - one.value).max()


def scattered(model: Model, key: PRNGKeyArray) -> Model:
    """The model, or its shapes, with random weights of ordinary size, so that nothing is near 0; scalars are 1."""
    leaves, tree = jax.tree.flatten(model)
    # One draw for all: random numbers for each leaf apart would take most of a minute to compile.
    ends = list(accumulate(leaf.size for leaf in leaves))
    numbers = jax.random.normal(key, (ends[-1],))
    drawn = []
    for leaf, end in zip(leaves, ends, strict=True):
        size = leaf.shape[-1] ** -0.5 if leaf.ndim > 1 else 0.5
        own = size * numbers[end - leaf.size : end].reshape(leaf.shape)
        drawn.append(own if leaf.ndim else jnp.ones(()))
    whole: Model = jax.tree.unflatten(tree, drawn)
    return whole
