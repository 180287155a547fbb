"""What HAMMER's messages say and whether anybody listens: interventions on them, and readings of them.

Positive signalling is measured by the correlation of a message with what its receiver cannot see, positive listening by
what the receiver does differently when the message is zeroed, and by the gradient of its action in the message.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, PRNGKeyArray
from numpy.typing import NDArray

from shoal.errors import InputError
from shoal.marl.communication.channels import Channel, Packet
from shoal.marl.compilation import QUICK, usable
from shoal.marl.hammer import HAMMERModel
from shoal.marl.players import Actions, Player, View, view
from shoal.worlds import World

Hidden = Callable[[Any], Float[Array, "quantities agents *batch"]]
"""From a world's state to quantities that each agent would like to know."""


class ChannelledPlayer(Player):
    """HAMMER at execution with a channel between the centre and the local actors: cut, shuffled, delayed, ...

    The centre is the only sender, so an edge is (agent, 0). ``Shuffle()`` gives agent i the message that its namesake
    in another episode got at the same step, which keeps the messages' distribution and takes their meaning.

    Attributes:
        model: trained; its leaves may have a leading seeds axis.
        channel: what happens to the messages.
    """

    model: HAMMERModel
    channel: Channel

    def start(self, agents: int, batch: tuple[int, ...]) -> Any:
        """The local actors' memory, and the channel's."""
        return self.model.start(agents, batch).actor, self.channel.start(self.model.message, agents, 1, batch)

    def act(self, key: PRNGKeyArray, view: View, memory: Any, greedy: bool = False) -> tuple[Actions, Any]:
        """As the model after training, on what comes through the channel."""
        own, kept = self.model.rows
        total = own + kept + self.channel.rows(self.model.message, 1)
        noise = jax.random.uniform(key, (total, *view.alive.shape))
        written = self.model.write(view, noise[own : own + kept], execute=True).content
        packet = Packet(written[:, :, None], view.alive[:, None].astype(jnp.float32))
        arrived, after = self.channel(packet, view.alive.shape[0], noise[own + kept :], memory[1], view.fresh)
        told = self.model.told(view, arrived.message[:, :, 0])
        decision, local = self.model.actor.decide(told, noise[:own], memory[0], greedy, execute=True)
        return decision.action, (local, after)


@dataclass(frozen=True)
class Readings:
    """Messages of one trained model over many moments.

    Attributes:
        messages: [moments, agents, message].
        hidden: what they may be about, [moments, agents, quantities].
        change: how the policy changes when the message is zeroed, [moments, agents]: distance between the mean actions,
            or total variation between the distributions where actions are numbered.
        slope: Frobenius norm of the derivative of the mean action, or of the actions' probabilities, in the message.
    """

    messages: NDArray[np.float64]
    hidden: NDArray[np.float64]
    change: NDArray[np.float64]
    slope: NDArray[np.float64]

    def correlations(self) -> NDArray[np.float64]:
        """Pearson's r of every number of a message with every hidden quantity: [agents, message, quantities]."""
        m, h = (x - x.mean(0) for x in (self.messages, self.hidden))
        both = np.einsum("tak,taq->akq", m, h)
        scale = np.sqrt(np.einsum("tak,tak->ak", m, m)[:, :, None] * np.einsum("taq,taq->aq", h, h)[:, None])
        r: NDArray[np.float64] = np.divide(both, scale, out=np.zeros_like(both), where=scale > 1e-9)
        return r

    @property
    def correlation(self) -> float:
        """Mean over agents of the largest absolute correlation of any number with any quantity."""
        return float(np.abs(self.correlations()).max((1, 2)).mean())

    @property
    def norm(self) -> float:
        """Mean Euclidean norm of a message."""
        return float(np.sqrt(np.square(self.messages).sum(2)).mean())


def read_messages(
    models: HAMMERModel, seeds: int, world: World[Any], episodes: int, key: PRNGKeyArray, hidden: Hidden
) -> list[Readings]:
    """Play episodes, every agent taking its best action, and read the messages of execution.

    Args:
        models: trained, parameters [seeds, ...].
        seeds: how many.
        world: where to play.
        episodes: of each seed.
        key: randomness.
        hidden: quantities to compare the messages with, from the world's state.

    Raises:
        InputError: a model without messages.
    """
    if models.centre is None:
        raise InputError("message", 0, "There are no messages to read; train with message=1 or more.")
    *read, running = jax.tree.map(np.asarray, _program()(models, seeds, world, episodes, key, hidden))
    result = []
    for s in range(seeds):
        going = running[:, s]
        # From [time, rows, agents, episodes] to [moments, agents, rows].
        rows = [np.moveaxis(x[:, :, :, s], 3, 1)[going].transpose(0, 2, 1).astype(np.float64) for x in read]
        result.append(Readings(rows[0], rows[1], rows[2][..., 0], rows[3][..., 0]))
    return result


@functools.cache
def _program() -> Callable[..., Any]:
    return jax.jit(_read, static_argnums=(1, 2, 3, 5), compiler_options=usable(tuple(QUICK.items())))


def _read(
    models: HAMMERModel, seeds: int, world: World[Any], episodes: int, key: PRNGKeyArray, hidden: Hidden
) -> tuple[Array, Array, Array, Array, Bool[Array, "time seeds episodes"]]:
    """Messages, hidden quantities, changes and slopes, each [time, rows, agents, seeds, episodes], and what counts."""
    batch = (seeds, episodes)
    reset_key, key = jax.random.split(key)
    state, timestep = world.reset(reset_key, batch)
    memory = models.start(world.agent_count, batch).actor
    one: Any = jax.vmap(_moment, (0, -2, -2, -2), -2)

    def step(carry: Any, time: Array) -> tuple[Any, Any]:
        state, timestep, memory, running = carry
        noise_key, step_key = jax.random.split(jax.random.fold_in(key, time))
        seen = view(world, state, timestep, jnp.broadcast_to(time == 0, batch))
        noise = jax.random.uniform(noise_key, (sum(models.rows), *seen.alive.shape))
        action, memory, content, change, slope = one(models, seen, noise, memory)
        told = hidden(state)
        state, timestep = world.step(step_key, state, action)
        return (state, timestep, memory, running & ~timestep.done), (content, told, change, slope, running)

    start = (state, timestep, memory, jnp.ones(batch, bool))
    read: tuple[Array, Array, Array, Array, Array] = jax.lax.scan(step, start, jnp.arange(world.horizon))[1]
    return read


def _moment(model: HAMMERModel, view: View, noise: Array, memory: Any) -> tuple[Any, Any, Array, Array, Array]:
    """Action, memory, message, and what the message does, of one seed."""
    own = model.rows[0]
    content = model.write(view, noise[own:], execute=True).content
    decision, after = model.actor.decide(model.told(view, content), noise[:own], memory, greedy=True, execute=True)

    def policy(content: Array) -> Array:
        out, _, _ = model.actor.outputs(model.told(view, content), memory, noise[:0], execute=True)
        return out if model.actor.log_std is not None else jax.nn.softmax(jnp.where(view.legal, out, -1e9), axis=0)

    out, pull = jax.vjp(policy, content)
    off = out - policy(jnp.zeros_like(content))
    far = jnp.sqrt(jnp.square(off).sum(0)) if model.actor.log_std is not None else 0.5 * jnp.abs(off).sum(0)
    # An agent's outputs depend on its own message only, so one row for all agents at once gives one gradient each.
    rows = [pull(jnp.zeros_like(out).at[row].set(1.0))[0] for row in range(out.shape[0])]
    steep = jnp.sqrt(sum((jnp.square(row).sum(0) for row in rows), jnp.zeros_like(far)))
    return decision.action, after, content, far[None], steep[None]
