"""Deep Q-learning of small decisions inside a compiled game: many tiny networks, each with a memory of its own.

The algorithm is deep Q-learning (Mnih et al. 2015): a network with one hidden layer, the smooth L1 loss of Q(s, a) to
r + discount * max Q_target(s'), Adam, one batch without replacement for each step stored, a target that is copied now
and then, and a chance to explore that falls with every update. Functions work on one network; ``vmap`` does the rest.

Two things keep thousands of networks fast. Where a state is one of a few (``StateSpace.extra`` is 0) all its values
are computed once and a batch only weights them: the same gradient, as exact, for a fraction of the work. And a memory
is kept in random order (a new item takes a random place, and what was there moves to the end), so that any window of
it is a uniform sample without replacement and no batch needs sorting; windows at random offsets make successive
batches differ. A full memory gives up a random item, not its oldest.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import optax  # type: ignore[import-untyped]
from jaxtyping import Array, Float, Int, PRNGKeyArray

HIDDEN = 128
BATCH = 100
TARGET_EVERY = 200


@dataclass(frozen=True)
class StateSpace:
    """What a decision depends on: one of a few situations, and numbers besides.

    Attributes:
        table: features of each situation; at most 16 situations.
        extra: how many further numbers there are.
        actions: at most 32.
    """

    table: tuple[tuple[float, ...], ...]
    extra: int
    actions: int

    @property
    def inputs(self) -> int:
        """Features of a state."""
        return len(self.table[0]) + self.extra

    @property
    def width(self) -> int:
        """Numbers that a stored step takes: a code, the reward, and the further numbers before and after."""
        return 2 + 2 * self.extra

    def states(self, situation: Int[Array, " rows"], extra: Float[Array, "extra rows"]) -> Float[Array, "inputs rows"]:
        """Features of states."""
        return jnp.concatenate([jnp.array(self.table).T[:, situation], extra])


class QNetwork(eqx.Module):
    """Action values; one hidden layer with rectifiers, states as columns.

    Attributes:
        first: weights of the hidden layer, its biases in the last column.
        second: weights of the values.
        bias: of the values.
    """

    first: Float[Array, "hidden inputs+1"]
    second: Float[Array, "actions hidden"]
    bias: Float[Array, " actions"]

    @classmethod
    def begin(cls, key: PRNGKeyArray, inputs: int, actions: int, hidden: int = HIDDEN) -> QNetwork:
        """Weights and biases uniform within 1 / sqrt(inputs of their layer), as in the released code's library."""
        draws = jax.random.uniform(key, (hidden * (inputs + 1) + actions * (hidden + 1),), minval=-1.0)
        first, second, bias = jnp.split(draws, (hidden * (inputs + 1), hidden * (inputs + 1) + actions * hidden))
        wide, narrow = max(1, inputs) ** -0.5, hidden**-0.5
        return cls(wide * first.reshape(hidden, -1), narrow * second.reshape(actions, hidden), narrow * bias)

    def __call__(self, states: Float[Array, "inputs rows"]) -> Float[Array, "actions rows"]:
        """Values of all actions."""
        hidden = jax.nn.relu(self.first[:, :-1] @ states + self.first[:, -1:])
        return self.second @ hidden + self.bias[:, None]


class Pace(NamedTuple):
    """How a network learns and explores; numbers, so that conditions with other ones share a program.

    Attributes:
        rate: Adam's learning rate.
        highest: chance of a random action at first.
        lowest: for ever.
        decay: part of the difference by which it falls with each update.
    """

    rate: Any
    highest: Any
    lowest: Any
    decay: Any

    def epsilon(self, updates: Array) -> Array:
        """Chance of a random action after that many updates."""
        return jnp.maximum(self.lowest, self.highest - (self.highest - self.lowest) * self.decay * updates)


class Learner(eqx.Module):
    """A network that learns.

    Attributes:
        network: acts.
        target: what it learns from; lags.
        moments: Adam's.
        updates: done so far.
    """

    network: QNetwork
    target: QNetwork
    moments: Any
    updates: Int[Array, ""]

    @classmethod
    def begin(cls, key: PRNGKeyArray, space: StateSpace) -> Learner:
        """A fresh one."""
        network = QNetwork.begin(key, space.inputs, space.actions)
        # The target's own copy: buffers are given away once only.
        return cls(network, jax.tree.map(jnp.copy, network), _adam.init(network), jnp.zeros((), jnp.int32))


class Memory(eqx.Module):
    """What each agent remembers, in random order.

    Attributes:
        rows: stored steps.
        stored: how many there are.
    """

    rows: Float[Array, "agents capacity width"]
    stored: Int[Array, " agents"]

    @classmethod
    def empty(cls, agents: int, capacity: int, space: StateSpace) -> Memory:
        """Nothing yet."""
        return cls(jnp.zeros((agents, max(BATCH, capacity), space.width)), jnp.zeros(agents, jnp.int32))

    def add(
        self, who: Int[Array, " k"], rows: Float[Array, "k width"], u: Float[Array, " k"], live: Array | bool = True
    ) -> Memory:
        """With one more step for each of some different agents, if ``live``; ``u`` are uniform draws of its place."""
        capacity = self.rows.shape[1]
        end = self.stored[who]
        place = jnp.floor(u * jnp.minimum(end + 1, capacity)).astype(jnp.int32)
        moved = self.rows[who, place]
        end, place = (jnp.where(live, x, capacity) for x in (end, place))
        kept = self.rows.at[who, end].set(moved, mode="drop").at[who, place].set(rows, mode="drop")
        return Memory(kept, self.stored.at[who].set(jnp.where(live, jnp.minimum(end + 1, capacity), self.stored[who])))

    def batch(self, who: Int[Array, " k"], u: Float[Array, " k"]) -> tuple[Float[Array, "k batch width"], Array]:
        """A uniform sample without replacement for each of some agents, and whether there is enough for one yet."""
        stored = self.stored[who]
        offset = jnp.floor(u * stored).astype(jnp.int32)
        index = (offset[:, None] + jnp.arange(BATCH)) % jnp.maximum(stored, BATCH)[:, None]
        return self.rows[who[:, None], index], stored >= BATCH


def pack(before: Array, action: Array, after: Array, done: Array | int = 0) -> Array:
    """Situations, action and end of a step as one number below 2^14, which single precision holds exactly."""
    code = (before << 10) | (action << 5) | (after << 1) | done
    return code.astype(jnp.float32)


def unpack(code: Array) -> tuple[Array, Array, Array, Array]:
    """Situation before, action, situation after, and whether the episode ended there."""
    whole = code.astype(jnp.int32)
    return whole >> 10, (whole >> 5) & 31, (whole >> 1) & 15, whole & 1


def act(values: Float[Array, " actions"], epsilon: Array, coin: Array, pick: Array, count: Array | int) -> Array:
    """The best of the first ``count`` actions, or a random one with chance epsilon; coin and pick are uniform draws."""
    legal = jnp.where(jnp.arange(values.shape[0]) < count, values, -jnp.inf)
    return jnp.where(coin < epsilon, jnp.floor(pick * count).astype(jnp.int32), jnp.argmax(legal))


def learn(
    space: StateSpace, learner: Learner, rows: Float[Array, "batch width"], ready: Array, pace: Pace, discount: Array
) -> Learner:
    """One gradient step on a batch; nothing at all unless ``ready``."""
    before, action, after, done = unpack(rows[:, 0])
    reward, extra = rows[:, 1], space.extra
    if extra:
        ahead = learner.target(space.states(after, rows[:, 2 + extra :].T)).max(0)
        states = space.states(before, rows[:, 2 : 2 + extra].T)
        chosen = jax.nn.one_hot(action, space.actions, axis=0)
    else:
        table = jnp.array(space.table).T
        count = len(space.table)
        ahead = jax.nn.one_hot(after, count) @ learner.target(table).max(0)
        places = jax.nn.one_hot(before * space.actions + action, count * space.actions)
    goal = reward + discount * (1 - done) * ahead

    def loss(network: QNetwork) -> Array:
        value = (network(states) * chosen).sum(0) if extra else places @ network(table).T.ravel()
        losses: Array = optax.losses.huber_loss(value, goal)
        return losses.mean()

    direction, moments = _adam.update(jax.grad(loss)(learner.network), learner.moments)
    network = jax.tree.map(lambda p, d: p - pace.rate * d, learner.network, direction)
    updates = learner.updates + 1
    copies = updates % TARGET_EVERY == 0
    target = jax.tree.map(lambda t, p: jnp.where(copies, p, t), learner.target, network)
    moved = Learner(network, target, moments, updates)
    kept: Learner = jax.tree.map(lambda new, old: jnp.where(ready, new, old), moved, learner)
    return kept


def take(learners: Learner, who: Array) -> Learner:
    """The learners of some agents."""
    taken: Learner = jax.tree.map(lambda x: x[who], learners)
    return taken


def put(learners: Learner, who: Array, part: Learner) -> Learner:
    """All learners, those of some agents replaced."""
    whole: Learner = jax.tree.map(lambda x, new: x.at[who].set(new), learners, part)
    return whole


_adam = optax.scale_by_adam()
