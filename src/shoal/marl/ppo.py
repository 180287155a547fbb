"""Proximal policy optimisation for teams: the core that every policy-gradient learner here shares.

The algorithm is PPO with clipping (Schulman et al. 2017, arXiv 1707.06347): collect a rollout, estimate advantages,
take several epochs of minibatch steps on the clipped surrogate. A method is a subclass that states what is different:
its networks (``ActorCriticPPO``: ``actor``, ``critic``, ``communication``) or, where the structure differs, its whole
``model`` (``PPO``).

Departures from the paper, all usual: one Adam for both networks; gradients clipped by norm, actor and critic apart (or
a large value error would shrink the policy's step); advantages normalised in each minibatch. Recurrent networks are
trained on chunks of the rollout from the memory stored at the start of each (Yu et al. 2022, appendix). Minibatches are
made of whole time steps, or chunks, of groups of worlds; see ``batches``.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import Any, NamedTuple, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import optax  # type: ignore[import-untyped]
from jaxtyping import Array, Float, Int, PRNGKeyArray
from pydantic import Field, field_validator

from shoal.marl.actors import Actor, ActorCritic, Communication, Critic, Memory, Model, PolicyPlayer
from shoal.marl.advantages import advantages, explained_variance
from shoal.marl.batches import deal, deal_starts, groups_of, pieces_of, shuffle
from shoal.marl.communication.exchange import Scale, make_communication, parse
from shoal.marl.faults import fault_code
from shoal.marl.learner import Metrics, RolloutLearner, RolloutSettings
from shoal.marl.networks import Activation, Encoder, dense, encoder
from shoal.marl.players import View, view
from shoal.marl.rollouts import SEEDS, Experience, Runner, begin, collect
from shoal.worlds import World


class PPOSettings(RolloutSettings):
    """Settings of all learners on the PPO core."""

    epochs: int = Field(4, ge=1, description="Passes over the rollout in one update.")
    minibatches: int = Field(4, ge=1, description="Gradient steps in one pass.")
    discount: float = Field(0.99, ge=0, le=1, description="Weight of the next step's reward (gamma).")
    gae_lambda: float = Field(0.95, ge=0, le=1, description="Decay of the advantage estimate (lambda).")
    clip: float = Field(0.2, gt=0, description="How far a probability ratio may move from 1 before its gradient stops.")
    value_clip: float | None = Field(
        None, gt=0, description="How far a value may move in one update, in units of return; empty for freely."
    )
    normalise: bool = Field(True, description="Advantages are normalised in each minibatch.")
    entropy_weight: float = Field(0.01, ge=0, description="Weight of the policy's entropy in the objective.")
    value_weight: float = Field(0.5, ge=0, description="Weight of the squared value error in the objective.")
    huber: float | None = Field(
        None, gt=0, description="Value error from which its loss grows linearly; empty for the squared error."
    )
    max_grad_norm: float = Field(0.5, gt=0, description="Norm to which gradients are clipped.")
    clip_apart: bool = Field(
        True, description="Gradients of actor and critic are clipped each by its own norm; else by their common one."
    )
    hidden: tuple[int, ...] = Field((64, 64), min_length=1, description="Widths of the dense layers.")
    activation: Activation = Field("tanh", description="After every dense layer.")
    action_std: float = Field(0.5, gt=0, description="Deviation of continuous actions, at the start.")
    learn_std: bool = Field(False, description="The deviation of continuous actions is learned.")
    shared: bool = Field(True, description="One set of parameters for all agents; otherwise one for each.")
    agent_ids: bool | None = Field(
        None, description="Shared networks are told which agent they act for; empty: where agents differ."
    )
    communication: str = Field(
        "none",
        description="What agents tell each other before they act: none, commnet, dial, ic3net, tarmac, event, tokens, "
        "...; options after a colon (tarmac:rounds=2,key=8).",
    )
    piece: int = Field(
        16384, ge=1, description="Agent samples whose gradient is computed at once; bounds the memory, not the result."
    )

    @field_validator("communication")
    @classmethod
    def _known(cls, spec: str) -> str:
        parse(spec)
        return spec


P = TypeVar("P", bound=PPOSettings)


class PPOState(eqx.Module):
    """Everything that the next update depends on.

    Attributes:
        model: parameters [seeds, ...].
        optimiser: Adam's moments.
        runner: the worlds.
        key: of the whole training; an update uses its own share, by number.
        updates: done so far.
        world: what is learned.
    """

    model: Model
    optimiser: Any
    runner: Runner
    key: PRNGKeyArray
    updates: Int[Array, ""]
    world: World[Any] = eqx.field(static=True)


class Batch(NamedTuple):
    """What a gradient step looks at, for one seed: arrays [..., agents, time, batch]."""

    view: View
    action: Any
    sent: Any
    noise: Float[Array, "rows agents time batch"]
    log_p: Float[Array, "agents time batch"]
    value: Float[Array, "agents time batch"]
    advantage: Float[Array, "agents time batch"]
    target: Float[Array, "agents time batch"]


class PPO(RolloutLearner[P, PPOState]):
    """The shared core; see the module's header."""

    # What methods differ in

    @abstractmethod
    def model(self, key: PRNGKeyArray, world: World[Any]) -> Model:
        """A fresh model of one seed."""

    def credited(self, reward: Array, bootstrap: Array, alive: Array, last: Array) -> tuple[Array, Array, Array, Array]:
        """Rewards and life as the advantage estimate counts them; a method may credit the team as one.

        Args:
            reward: of each step [time, agents, seeds, worlds].
            bootstrap: value of the final observation where an episode was cut, else 0.
            alive: at each step.
            last: alive after the last step [agents, seeds, worlds].
        """
        return reward, bootstrap, alive, last

    def rescaled(self, model: Any, value: Array, target: Array, alive: Array) -> tuple[Any, Array]:
        """The models [seeds, ...] and the rollout's value estimates once its targets are known, before any step.

        For models that tell values in a unit of their own (``Model.value_unit``), which follows the targets.
        """
        return model, value

    def log_ratio(self, each: Array, alive: Array) -> Array:
        """Logarithms of the ratios that are clipped, from each agent's own [agents, time, batch]."""
        return each

    @property
    def central(self) -> bool:
        """The critic looks at the global state."""
        return False

    def encoder(self, key: PRNGKeyArray, world: World[Any], inputs: int, rows: int | None = None) -> Any:
        """An encoder by the settings; ``rows`` 1 for one that is not of an agent."""
        s = self.settings
        differ = len({*zip(world.observation_sizes, world.actions, strict=True)}) > 1
        told = differ if s.agent_ids is None else s.agent_ids
        agents = world.agent_count if rows is None else None
        separate = agents if not s.shared else None
        memory = s.memory if s.recurrent else None
        return encoder(key, inputs, s.hidden, memory, s.activation, separate, agents if told and s.shared else None)

    # The algorithm

    def init(self, key: PRNGKeyArray, world: World[Any]) -> PPOState:
        """Fresh parameters and worlds."""
        keys = jnp.atleast_1d(key)
        groups_of(self.chunks[0], self.settings.worlds, self.settings.minibatches)
        model = jax.vmap(lambda k: self.model(k, world))(keys)
        optimiser = jax.vmap(_adam.init)(model)
        batch = (keys.shape[0], self.settings.worlds)
        stream = jax.random.fold_in(keys[0], 1)
        for other in keys[1:]:
            stream = jax.random.fold_in(stream, jax.random.bits(other))
        reset_key, stream = jax.random.split(stream)
        runner = begin(world, reset_key, model.start(world.agent_count, batch), batch)
        return PPOState(model, optimiser, runner, stream, jnp.zeros((), jnp.int32), world)

    def player(self, state: PPOState) -> PolicyPlayer:
        """The policy."""
        return PolicyPlayer(state.model)

    def update(self, state: PPOState) -> tuple[PPOState, Metrics]:
        """One rollout and its epochs."""
        s, world = self.settings, state.world
        roll_key, step_key = jax.random.split(jax.random.fold_in(state.key, state.updates))
        runner, seen, memories, tally = collect(
            world, state.model, state.runner, roll_key, *self.chunks, central=self.central
        )
        gain, target = self._targets(state, runner, seen)
        start, value = self.rescaled(state.model, seen.value, target, seen.view.alive)
        data = Batch(seen.view, seen.action, seen.sent, seen.noise, seen.log_p, value, gain, target)
        groups, units, pieces = self._cut(world)
        rate = self._rate(state.updates)

        def dealt(order: Array) -> tuple[Batch, Memory]:
            return deal(data, order, groups), deal_starts(memories, order, groups)

        def step(carry: tuple[Any, Any], xs: tuple[Batch, Memory]) -> tuple[tuple[Any, Any], Metrics]:
            model, optimiser = carry
            grads, figures = self._gradient(model, *xs)
            move: Any = jax.vmap(self._move, (0, 0, 0, None))
            model, optimiser, norm = move(grads, optimiser, model, rate)
            return (model, optimiser), {**figures, "grad_norm": norm}

        def epoch(carry: tuple[Any, Any], key: PRNGKeyArray) -> tuple[tuple[Any, Any], Metrics]:
            order = shuffle(key, units, s.minibatches, pieces)
            if pieces == 1:
                return jax.lax.scan(step, carry, dealt(order))
            # Large rollouts are dealt out one minibatch at a time, so that no second copy of them is held.
            return jax.lax.scan(lambda c, x: step(c, _only(dealt(x[None]))), carry, order)

        keys = jax.random.split(step_key, s.epochs)
        (model, optimiser), figures = jax.lax.scan(epoch, (start, state.optimiser), keys)
        metrics = {**tally.means(), **{name: x.mean((0, 1)) for name, x in figures.items()}, "learning_rate": rate}
        seeds_first = [jnp.moveaxis(x, SEEDS, 0) for x in (seen.value, target, seen.view.alive)]
        metrics["explained_variance"] = jax.vmap(explained_variance)(*seeds_first)
        metrics["learning_rate"] = jnp.broadcast_to(rate, metrics["grad_norm"].shape)
        metrics["fault"] = fault_code(seen, metrics, model)
        return PPOState(model, optimiser, runner, state.key, state.updates + 1, world), metrics

    def _targets(self, state: PPOState, runner: Runner, seen: Experience) -> tuple[Array, Array]:
        """Advantages and value targets, shaped as the experience."""
        now = view(state.world, runner.state, runner.timestep, runner.fresh, self.central)
        judge: Any = jax.vmap(lambda m, *args: m.value(*args)[0], (0, SEEDS, SEEDS, SEEDS), SEEDS)
        # After the last step nothing has been sent; a critic that hears judges it without noise.
        still = jnp.full((state.model.rows[1], *runner.returns.shape), 0.5)
        last = judge(state.model, now, runner.memory.critic, still)
        shape = seen.value.shape
        flat = jax.tree.map(
            lambda x: x.reshape(shape[0] * shape[1], *x.shape[2:]),
            (seen.reward, seen.value, seen.done, seen.bootstrap, seen.view.alive),
        )
        reward, value, done, bootstrap, alive = flat
        s = self.settings
        reward, bootstrap, alive, alive_last = self.credited(reward, bootstrap, alive, now.alive)
        gain = advantages(reward, value, last, done, bootstrap, alive, alive_last, s.discount, s.gae_lambda)
        return gain.reshape(shape), (gain + value).reshape(shape)

    def _cut(self, world: World[Any]) -> tuple[int, int, int]:
        """Groups of worlds, units of a rollout, and pieces of a minibatch."""
        s, (chunks, length) = self.settings, self.chunks
        groups = groups_of(chunks, s.worlds, s.minibatches)
        units = chunks * groups
        samples = world.agent_count * length * (s.worlds // groups)
        return groups, units, pieces_of(units // s.minibatches, samples, s.piece)

    def _gradient(self, model: Any, batch: Batch, memory: Memory) -> tuple[Any, Metrics]:
        """Gradient of the objective over a minibatch [pieces, seeds, ...], and its figures, both summed over pieces."""
        gain, weight = batch.advantage, batch.view.alive.astype(jnp.float32)
        pieces, _, *rest = gain.shape
        axes = (0, *range(2, gain.ndim))
        count = jnp.maximum(weight.sum(axes), 1.0)
        mean = (gain * weight).sum(axes) / count
        off = jnp.square(gain - mean.reshape(-1, *(1,) * len(rest)))
        scale = (mean, jnp.sqrt((off * weight).sum(axes) / count), count)
        slope: Any = jax.vmap(jax.grad(self.objective, has_aux=True), (0, 0, 0, 0, None))

        def piece(xs: tuple[Batch, Memory]) -> tuple[Any, Metrics]:
            result: tuple[Any, Metrics] = slope(model, *xs, scale, pieces)
            return result

        parts = (batch, memory)
        if pieces == 1:
            return piece(_only(parts))
        zeros = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), jax.eval_shape(lambda: piece(_only(parts))))
        sums: tuple[Any, Metrics]
        sums, _ = jax.lax.scan(lambda sums, xs: (jax.tree.map(jnp.add, sums, piece(xs)), None), zeros, parts)
        return sums

    def objective(
        self,
        model: Any,
        batch: Batch,
        memory: Memory,
        scale: tuple[Array, Array, Array],
        pieces: int,
    ) -> tuple[Array, Metrics]:
        """What a step lowers, and figures; both add up over the pieces of a minibatch.

        Args:
            model: of one seed.
            batch: a piece of a minibatch.
            memory: at the start of its chunks.
            scale: mean and deviation of the minibatch's advantages, and the number of its samples.
            pieces: number of pieces.
        """
        s = self.settings
        judged = model.evaluate(batch.view, batch.action, batch.sent, batch.noise, memory)
        mean, deviation, count = scale
        share = batch.view.alive / count
        gain = (batch.advantage - mean) / (deviation + 1e-8) if s.normalise else batch.advantage
        log_ratio = self.log_ratio(judged.log_p - batch.log_p, batch.view.alive)
        ratio = jnp.exp(log_ratio)
        surrogate = jnp.minimum(ratio * gain, jnp.clip(ratio, 1 - s.clip, 1 + s.clip) * gain)
        policy_loss = -(surrogate * share).sum()
        unit = model.value_unit
        error = _error((judged.value - batch.target) / unit, s.huber)
        if s.value_clip is not None:
            near = batch.value + unit * jnp.clip((judged.value - batch.value) / unit, -s.value_clip, s.value_clip)
            error = jnp.maximum(error, _error((near - batch.target) / unit, s.huber))
        value_loss = 0.5 * (error * share).sum()
        entropy = (judged.entropy * share).sum()
        stats = {name: jnp.mean(x) / pieces for name, x in judged.stats.items()}
        total = policy_loss + s.value_weight * value_loss - s.entropy_weight * entropy + stats.get("loss", 0.0)
        figures = {
            "policy_loss": policy_loss,
            "value_loss": value_loss,
            "entropy": entropy,
            "kl": ((ratio - 1 - log_ratio) * share).sum(),
            "clip_fraction": ((jnp.abs(ratio - 1) > s.clip) * share).sum(),
            **{f"comm_{name}": x for name, x in stats.items()},
        }
        return total, figures

    def _move(self, grads: Any, optimiser: Any, model: Any, rate: Array) -> tuple[Any, Any, Array]:
        """One step of Adam for one seed; also the norm of the gradient before it was clipped."""
        norm = _norm(grads)
        if self.settings.clip_apart:
            parts, tree = jax.tree.flatten(grads, is_leaf=lambda x: x is not grads)
            grads = jax.tree.unflatten(tree, [self._clipped(part, _norm(part)) for part in parts])
        else:
            grads = self._clipped(grads, norm)
        direction, optimiser = _adam.update(grads, optimiser)
        return jax.tree.map(lambda p, d: p - rate * d, model, direction), optimiser, norm

    def _clipped(self, grads: Any, norm: Array) -> Any:
        shrink = jnp.minimum(1.0, self.settings.max_grad_norm / jnp.maximum(norm, 1e-12))
        return jax.tree.map(lambda g: g * shrink, grads)


class ActorCriticPPO(PPO[P]):
    """The core for methods whose actor and critic are networks apart; a method states its critic at least."""

    @abstractmethod
    def critic(self, key: PRNGKeyArray, world: World[Any]) -> Critic:
        """The value function of a fresh model."""

    def communication(self, key: PRNGKeyArray, world: World[Any], width: int) -> Communication | None:
        """What tells agents about each other, between encoder and head: by the settings; None for nothing.

        Args:
            key: randomness.
            world: the world.
            width: length of the features h.
        """
        separate = None if self.settings.shared else world.agent_count
        scale = Scale(width, world.agent_count, world.observation_size, separate)
        return make_communication(self.settings.communication, key, scale)

    def actor(self, key: PRNGKeyArray, world: World[Any]) -> Actor:
        """The policy of a fresh model: encoder, communication, head."""
        body_key, comm_key, head_key = jax.random.split(key, 3)
        body = self.encoder(body_key, world, world.observation_size)
        comm = self.communication(comm_key, world, body.width)
        return self.policy(head_key, world, body, body.width + (0 if comm is None else comm.width), comm)

    def policy(
        self, key: PRNGKeyArray, world: World[Any], body: Encoder, width: int, comm: Communication | None = None
    ) -> Actor:
        """The actor on an encoder and a communication; its head has ``width`` inputs."""
        separate = None if self.settings.shared else world.agent_count
        head = dense(key, width, world.continuous or world.action_count, 0.01, separate)
        if not world.continuous:
            return Actor(body, head, comm)
        log_std = jnp.full(world.continuous, math.log(self.settings.action_std))
        return Actor(body, head, comm, log_std, self.settings.learn_std)

    def model(self, key: PRNGKeyArray, world: World[Any]) -> Model:
        """A fresh model of one seed."""
        actor_key, critic_key = jax.random.split(key)
        return ActorCritic(self.actor(actor_key, world), self.critic(critic_key, world))


_adam = optax.flatten(optax.scale_by_adam(eps=1e-5))


def _norm(tree: Any) -> Float[Array, ""]:
    """Euclidean length of all numbers in a pytree."""
    return jnp.sqrt(sum(jnp.sum(jnp.square(x)) for x in jax.tree.leaves(tree)))


def _error(off: Array, huber: float | None) -> Array:
    """Square of an error, or twice its Huber loss."""
    if huber is None:
        return jnp.square(off)
    return jnp.where(jnp.abs(off) <= huber, jnp.square(off), huber * (2 * jnp.abs(off) - huber))


def _only(tree: Any) -> Any:
    """The first entry of every array."""
    return jax.tree.map(lambda x: x[0], tree)
