"""Learning action values from past experience: the core that every value learner here shares.

The algorithm is deep Q-learning (Mnih et al. 2015) with double estimation (van Hasselt et al. 2016, arXiv 1509.06461):
act epsilon-greedily, keep what happened, take gradient steps on the squared temporal-difference errors of samples of
it, let the targets' parameters lag behind. A method is a subclass that states what is different: the mixer of its
agents' values (``mixer``) or, where it learns several things at once, its ``parts`` and their ``losses``.

Departures from the papers: several worlds run side by side and several seeds at once, so that experience comes and
gradient steps are taken in blocks; Adam instead of RMSProp; targets follow softly by default. Recurrent networks learn
from chunks of episodes, from the memory that the acting network had before them (Kapturowski et al. 2019, "stored
state"), not from whole episodes; with ``chunk`` as long as the episodes, chunks are as long as them.
"""

from __future__ import annotations

from typing import Any, NamedTuple, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import optax  # type: ignore[import-untyped]
from jaxtyping import Array, Float, Int, PRNGKeyArray
from pydantic import Field

from shoal.errors import InputError
from shoal.marl.action_values import GreedyPlayer, QNetwork, Values
from shoal.marl.faults import LARGEST, finite, first_fault, largest
from shoal.marl.learner import Metrics, RolloutLearner, RolloutSettings
from shoal.marl.mixers import Mixer
from shoal.marl.networks import Activation, dense, encoder
from shoal.marl.players import Player, View, view
from shoal.marl.replay import Replay, Sample, Transition, slots_of
from shoal.marl.rollouts import SEEDS, Runner, Tally, begin, count_episodes
from shoal.worlds import World
from shoal.worlds.world import where_done


class ValueSettings(RolloutSettings):
    """Settings of all learners on the value core. Steps are environment steps of one seed, all its worlds together."""

    rollout: int = Field(4, ge=1, description="Steps of every world in one update.")
    batches: int = Field(2, ge=1, description="Gradient steps in one update.")
    batch: int = Field(64, ge=1, description="Steps in one gradient step; chunks where networks are recurrent.")
    buffer: int = Field(50_000, ge=1, description="Steps that are remembered.")
    warmup: int = Field(1000, ge=0, description="Steps before the first gradient step.")
    learning_rate: float = Field(5e-4, gt=0, description="Of Adam, at the start.")
    discount: float = Field(0.99, ge=0, le=1, description="Weight of the next step's reward (gamma).")
    epsilon_start: float = Field(1.0, ge=0, le=1, description="Chance of a random action at the start.")
    epsilon_end: float = Field(0.05, ge=0, le=1, description="Chance of a random action in the end.")
    epsilon_steps: int = Field(50_000, ge=1, description="Steps over which it falls linearly between the two.")
    double: bool = Field(True, description="The action that is looked ahead to is chosen by the learning network.")
    target_rate: float = Field(0.005, gt=0, le=1, description="How far targets move to the learning parameters (tau).")
    target_every: int = Field(
        1, ge=1, description="Gradient steps between such moves; 200 with target_rate 1 for periodic copies."
    )
    max_grad_norm: float = Field(10.0, gt=0, description="Norm to which gradients are clipped.")
    hidden: tuple[int, ...] = Field((64, 64), min_length=1, description="Widths of the dense layers.")
    activation: Activation = Field("relu", description="After every dense layer.")
    shared: bool = Field(True, description="One network for all agents; otherwise one for each.")
    agent_ids: bool = Field(True, description="Shared networks are told which agent they act for.")
    memory: int = Field(64, ge=1, description="Size of the memory of recurrent networks.")
    chunk: int = Field(8, ge=1, description="Steps through which recurrent networks are differentiated.")


V = TypeVar("V", bound=ValueSettings)
Parts = dict[str, Any]
"""What is learned, by name; parts share no parameters, and each has its own gradient norm and pace."""


class Loss(NamedTuple):
    """What a gradient step lowers for one part of one seed.

    Attributes:
        value: the loss.
        figures: for the metrics, scalars.
        active: false where the sample has nothing for this part, so that it stays as it is.
    """

    value: Float[Array, ""]
    figures: dict[str, Array]
    active: Array


class Decision(NamedTuple):
    """What was decided in a moment, for one seed.

    Attributes:
        action: of each agent.
        memory: for the next moment.
        extra: what to keep in the replay besides.
        value: action values, to be watched.
    """

    action: Int[Array, "agents *batch"]
    memory: Any
    extra: dict[str, Array]
    value: Array


class ValueState(eqx.Module):
    """Everything that the next update depends on.

    Attributes:
        model: parameters by part [seeds, ...].
        target: the same, lagging.
        optimiser: Adam's moments by part.
        runner: the worlds.
        replay: the past.
        key: of the whole training; an update uses its own share, by number.
        updates: done so far.
        learned: gradient steps taken.
        world: what is learned.
    """

    model: Parts
    target: Parts
    optimiser: dict[str, Any]
    runner: Runner
    replay: Replay
    key: PRNGKeyArray
    updates: Int[Array, ""]
    learned: Int[Array, ""]
    world: World[Any] = eqx.field(static=True)


class ValueLearner(RolloutLearner[V, ValueState]):
    """The shared core; see the module's header."""

    # What methods differ in

    def mixer(self, key: PRNGKeyArray, world: World[Any]) -> Mixer | None:
        """How the agents' values become the team's; None where every agent learns for itself."""
        return None

    @property
    def central(self) -> bool:
        """Something looks at the global state while training."""
        return False

    @property
    def team_reward(self) -> bool:
        """Agents without a mixer learn from the mean reward of all of them instead of their own."""
        return False

    def parts(self, key: PRNGKeyArray, world: World[Any]) -> Parts:
        """Everything that one seed learns."""
        network_key, mixer_key = jax.random.split(key)
        return {"values": Values(self.network(network_key, world), self.mixer(mixer_key, world))}

    def pace(self, part: str) -> tuple[float, float]:
        """Learning rate, and rate of the targets, of a part relative to the settings'."""
        return 1.0, 1.0

    def start(self, parts: Parts, agents: int, batch: tuple[int, ...]) -> Any:
        """The memory before the first step."""
        return parts["values"].network.start(agents, batch)

    def decide(self, key: PRNGKeyArray, parts: Parts, seen: View, memory: Any, step: Float[Array, ""]) -> Decision:
        """What to do, with exploration, after ``step`` steps of training."""
        action, memory, q = parts["values"].network.decide(key, seen, memory, self.epsilon(step))
        return Decision(action, memory, {}, q)

    def losses(self, parts: Parts, target: Parts, sample: Sample, step: Float[Array, ""]) -> dict[str, Loss]:
        """What a gradient step lowers, by part."""
        return {"values": self.loss(parts["values"], target["values"], sample)}

    def player(self, state: ValueState) -> Player:
        """The greedy policy."""
        return GreedyPlayer(state.model["values"].network)

    # What methods are made of

    def network(self, key: PRNGKeyArray, world: World[Any]) -> QNetwork:
        """Action values of every agent from its own observation, by the settings."""
        s = self.settings
        separate = None if s.shared else world.agent_count
        ids = world.agent_count if s.shared and s.agent_ids and world.agent_count > 1 else None
        return self.estimator(key, world.observation_size, world.action_count, s.recurrent, separate, ids)

    def estimator(
        self,
        key: PRNGKeyArray,
        inputs: int,
        outputs: int,
        recurrent: bool,
        separate: int | None = None,
        ids: int | None = None,
    ) -> QNetwork:
        """A network from ``inputs`` features to ``outputs`` action values; see ``networks.encoder``."""
        s = self.settings
        body_key, head_key = jax.random.split(key)
        body = encoder(body_key, inputs, s.hidden, s.memory if recurrent else None, s.activation, separate, ids)
        return QNetwork(body, dense(head_key, body.width, outputs, 0.01, separate))

    def epsilon(self, step: Float[Array, ""]) -> Float[Array, ""]:
        """Chance of a random action after that many steps."""
        s = self.settings
        return s.epsilon_start + (s.epsilon_end - s.epsilon_start) * jnp.minimum(step / s.epsilon_steps, 1.0)

    def loss(self, values: Values, target: Values, sample: Sample, weight: Array | None = None) -> Loss:
        """Half the mean squared error of a sample.

        Args:
            values: learn.
            target: lag.
            sample: chunks.
            weight: of each step [time, batch]; all count the same without it.
        """
        s = self.settings
        error, counts, value = values.errors(target, sample, s.discount, s.double, self.team_reward)
        counts = counts if weight is None else counts * weight
        figures = {"td_error": weighted_mean(jnp.abs(error), counts), "value": weighted_mean(value, counts)}
        return Loss(0.5 * weighted_mean(jnp.square(error), counts), figures, counts.sum() > 0)

    # The algorithm

    def init(self, key: PRNGKeyArray, world: World[Any]) -> ValueState:
        """Fresh parameters, worlds, and no experience."""
        s = self.settings
        if world.continuous:
            mend = "Action values need numbered actions; use a policy-gradient learner, such as ippo."
            raise InputError(f"learner {self.name} world", world.name, mend)
        keys = jnp.atleast_1d(key)
        slots = slots_of(s.buffer, s.worlds, *self.chunks)
        model = jax.vmap(lambda k: self.parts(k, world))(keys)
        optimiser = {name: jax.vmap(_adam.init)(part) for name, part in model.items()}
        batch = (keys.shape[0], s.worlds)
        stream = jax.random.fold_in(keys[0], 1)
        for other in keys[1:]:
            stream = jax.random.fold_in(stream, jax.random.bits(other))
        reset_key, stream = jax.random.split(stream)
        runner = begin(world, reset_key, self.start(model, world.agent_count, batch), batch)
        zero = jnp.zeros((), jnp.int32)
        shapes = jax.eval_shape(lambda: self._collect(world, model, runner, stream, zero)[1])
        replay = Replay.empty(shapes, slots)
        # The targets' own copy: a buffer may be given away once only.
        target = jax.tree.map(jnp.copy, model)
        return ValueState(model, target, optimiser, runner, replay, stream, zero, zero, world)

    def update(self, state: ValueState) -> tuple[ValueState, Metrics]:
        """One rollout, and its gradient steps once there is enough experience."""
        s = self.settings
        roll_key, step_key = jax.random.split(jax.random.fold_in(state.key, state.updates))
        runner, chunks, tally, watched = self._collect(state.world, state.model, state.runner, roll_key, state.updates)
        replay = state.replay.add(chunks)
        updates = state.updates + 1
        step = updates * float(self.steps_per_update)
        rate = self._rate(state.updates)

        def learn(carry: Any, key: PRNGKeyArray) -> tuple[Any, Metrics]:
            model, target, optimiser, learned = carry
            sample = replay.sample(key, s.batch)
            move: Any = jax.vmap(self._learn, (0, 0, 0, 0, None, None, None))
            *moved, figures = move(model, target, optimiser, sample, rate, learned, step)
            return (*moved, learned + 1), figures

        def steps(carry: Any) -> tuple[Any, Metrics]:
            carry, figures = jax.lax.scan(learn, carry, jax.random.split(step_key, s.batches))
            return carry, {name: x.mean(0) for name, x in figures.items()}

        carry = (state.model, state.target, state.optimiser, state.learned)
        _, shapes = jax.eval_shape(steps, carry)
        ready = step > s.warmup
        unknown = jax.tree.map(lambda x: jnp.full(x.shape, jnp.nan, x.dtype), shapes)
        carry, figures = jax.lax.cond(ready, steps, lambda c: (c, unknown), carry)
        model, target, optimiser, learned = carry
        metrics = {**tally.means(), **watched, **figures}
        seeds = metrics["grad_norm"].shape
        metrics["epsilon"] = jnp.broadcast_to(self.epsilon(step), seeds)
        metrics["learning_rate"] = jnp.broadcast_to(rate, seeds)
        metrics["fault"] = self._fault(chunks, metrics, model, ready)
        world, key = state.world, state.key
        return ValueState(model, target, optimiser, runner, replay, key, updates, learned, world), metrics

    def _collect(
        self, world: World[Any], model: Parts, runner: Runner, key: PRNGKeyArray, updates: Int[Array, ""]
    ) -> tuple[Runner, Sample, Tally, Metrics]:
        """A rollout: the runner after it, its chunks [chunks, ..., seeds, worlds], ended episodes, figures [seeds]."""
        s = self.settings
        chunks, length = self.chunks
        seeds = runner.fresh.shape[0]
        decide: Any = jax.vmap(self.decide, (0, 0, SEEDS, SEEDS, None), SEEDS)
        keys = jax.random.split(key, (chunks, length))
        first = (updates * s.rollout + jnp.arange(s.rollout).reshape(chunks, length)) * float(s.worlds)
        zero = jnp.zeros(seeds)
        tally = Tally(zero, jnp.zeros((world.agent_count, seeds)), zero, dict.fromkeys(runner.timestep.metrics, zero))

        def step(carry: tuple[Runner, Tally], xs: tuple[Array, Array]) -> tuple[tuple[Runner, Tally], Any]:
            (runner, tally), (key, step) = carry, xs
            act_key, step_key, reset_key = jax.random.split(key, 3)
            seen = view(world, runner.state, runner.timestep, runner.fresh, self.central)
            decided = decide(jax.random.split(act_key, seeds), model, seen, runner.memory, step)
            state, timestep = world.step(step_key, runner.state, decided.action)
            after = view(world, state, timestep, jnp.zeros_like(runner.fresh), self.central)
            done = timestep.done
            moved = Runner(state, timestep, done, decided.memory, runner.returns + timestep.reward, runner.length + 1)

            def renew(both: tuple[Runner, Tally]) -> tuple[Runner, Tally]:
                runner, tally = both
                state, first = where_done(done, world.reset(reset_key, done.shape), (runner.state, runner.timestep))
                returns, length = where_done(done, (0.0, 0.0), (runner.returns, runner.length))
                return Runner(state, first, done, runner.memory, returns, length), count_episodes(tally, runner, done)

            runner, tally = jax.lax.cond(done.any(), renew, lambda both: both, (moved, tally))
            kept = Transition(seen, decided.action, timestep.reward, after, timestep.terminated, decided.extra)
            return (runner, tally), (kept, finite(decided.value, SEEDS))

        def chunk(carry: tuple[Runner, Tally], xs: Any) -> tuple[tuple[Runner, Tally], Any]:
            memory = carry[0].memory
            carry, (steps, sound) = jax.lax.scan(step, carry, xs)
            last = jax.tree.map(lambda x: jnp.moveaxis(x, 0, -3), steps)
            return carry, (Sample(last, memory), sound)

        (runner, tally), (sample, sound) = jax.lax.scan(chunk, (runner, tally), (keys, first))
        watched = {"sound": sound.all((0, 1)), **self.watch(sample)}
        return runner, sample, tally, watched

    def watch(self, chunks: Sample) -> Metrics:
        """Figures of a rollout [seeds], from its chunks [chunks, ..., time, seeds, worlds]."""
        return {}

    def _learn(
        self, model: Parts, target: Parts, optimiser: Any, sample: Sample, rate: Array, learned: Array, step: Array
    ) -> tuple[Parts, Parts, Any, Metrics]:
        """One gradient step of one seed, and the targets' move."""
        s = self.settings

        def objective(model: Parts) -> tuple[Array, dict[str, Loss]]:
            losses = self.losses(model, target, sample, step)
            return sum((loss.value for loss in losses.values()), jnp.zeros(())), losses

        grads, losses = jax.grad(objective, has_aux=True)(model)
        figures: Metrics = {"loss": sum((loss.value for loss in losses.values()), jnp.zeros(()))}
        norms = []
        for name, loss in losses.items():
            slow, lag = self.pace(name)
            norm = jnp.sqrt(sum(jnp.square(g).sum() for g in jax.tree.leaves(grads[name])))
            shrink = jnp.minimum(1.0, s.max_grad_norm / jnp.maximum(norm, 1e-12))
            clipped = jax.tree.map(lambda g, shrink=shrink: g * shrink, grads[name])
            direction, moments = _adam.update(clipped, optimiser[name])
            pace = jnp.where(loss.active, rate * slow, 0.0)
            model = {**model, name: jax.tree.map(lambda p, d, pace=pace: p - pace * d, model[name], direction)}
            kept = jax.tree.map(lambda new, old, on=loss.active: jnp.where(on, new, old), moments, optimiser[name])
            optimiser = {**optimiser, name: kept}
            near = jnp.where((learned + 1) % s.target_every == 0, s.target_rate * lag, 0.0)
            follow = jax.tree.map(lambda t, p, near=near: t + near * (p - t), target[name], model[name])
            target = {**target, name: follow}
            norms.append(norm)
            prefix = "" if len(losses) == 1 else f"{name}_"
            figures |= {f"{prefix}{key}": x for key, x in loss.figures.items()}
        figures["grad_norm"] = jnp.stack(norms).max()
        return model, target, optimiser, figures

    def _fault(self, chunks: Sample, metrics: Metrics, model: Parts, ready: Array) -> Int[Array, " seeds"]:
        steps = chunks.steps
        return first_fault(
            [
                finite(steps.next.obs, SEEDS),
                finite(steps.reward, SEEDS),
                metrics.pop("sound"),
                ~ready | jnp.isfinite(metrics["loss"]),
                ~ready | jnp.isfinite(metrics["grad_norm"]),
                largest(model) < LARGEST,
            ]
        )


def weighted_mean(x: Array, weight: Array) -> Float[Array, ""]:
    """Mean of ``x`` by weights of 0 and 1; 0 where all are 0."""
    mean: Float[Array, ""] = (x * weight).sum() / jnp.maximum(weight.sum(), 1.0)
    return mean


_adam = optax.flatten(optax.scale_by_adam(eps=1e-5))
