"""MANSA: a third learner decides in which states centralised learning is worth its price (arXiv 2302.05910).

Independent learners (IL) are cheap and fail where agents must coordinate; a central learner (CL) coordinates and costs
communication and computation. The third learner, Global, looks at the state and calls the central one there, g(s) = 1,
or not; it learns from the team's reward less a fee for every call, and a variant has a budget of calls per episode.

What is from the paper's abstract: three learners, a switch on the state, a fee, a budget as part of the state. The
full text was not to be had; all else is chosen here. IL: IQL on the team's reward. CL: QMIX by default, or VDN, or a
joint-action learner, which alone can represent payoffs that are not monotone. Global: double deep Q-learning with two
actions. One replay serves all three; the central learner learns from the steps in which it was called only, so that a
call costs central computation and not only communication. Agents never see the fee: else they would learn to keep away
from states in which they should coordinate. Global explores with a chance of its own, from calling in half of the
steps, and is slower than the agents.

What counts as a call: a step of a world in which the joint action is the central policy's (``calls``); gradient steps
in which the central learner learns are counted apart (``central_updates``).
"""

from __future__ import annotations

import dataclasses
import functools
import sys
from typing import Any, Literal, NamedTuple, Self, get_args

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray
from numpy.typing import NDArray
from pydantic import Field, ValidationInfo, field_validator, model_validator

from shoal.errors import InputError
from shoal.marl.action_values import GreedyPlayer, QNetwork, Values
from shoal.marl.compilation import QUICK, usable
from shoal.marl.jal import JointNetwork, JointValues, joint_count, whole
from shoal.marl.learner import Metrics, learner
from shoal.marl.mixers import Sum, monotone
from shoal.marl.players import Player, View, central_size, view
from shoal.marl.replay import Sample, Transition
from shoal.marl.rollouts import SEEDS
from shoal.marl.values import Decision, Loss, Parts, ValueLearner, ValueSettings, ValueState, weighted_mean
from shoal.worlds import World

Switching = Literal["learned", "shuffled", "never", "always", "schedule", "random"]
CentralLearner = Literal["qmix", "vdn", "jal"]


PerSeed = float | tuple[float, ...]
"""One number, or several that are dealt out to the seeds in turn."""
MODES: tuple[Switching, ...] = get_args(Switching)


class MANSASettings(ValueSettings):
    """Settings of MANSA, and of switches that do not learn, to compare it with.

    Fee, budget, switching and call share may be several, which are dealt out to the seeds in turn: so one program
    compares them. Seeds of one deal begin with the same parameters.
    """

    central_learner: CentralLearner = Field("qmix", description="What is switched to.")
    embed: int = Field(32, ge=1, description="Width of QMIX's mixing network.")
    fee: PerSeed = Field(0.01, description="Price of a call, 0 or more, in units of the team's reward.")
    fee_warmup: int = Field(0, ge=0, description="Steps over which the fee rises from 0; against an early collapse.")
    budget: int | tuple[int, ...] | None = Field(
        None, description="Most calls in an episode, 0 or more; empty for no limit."
    )
    switch_epsilon_start: float = Field(
        1.0, ge=0, le=1, description="Chance that the switch is thrown at random at the start; then it calls in half."
    )
    switch_epsilon_end: float = Field(0.05, ge=0, le=1, description="The same in the end.")
    switch_epsilon_steps: int = Field(
        100_000, ge=1, description="Steps over which it falls; the switch must see what the policies come to."
    )
    switch_pace: float = Field(0.3, gt=0, description="Learning rate of the switch relative to the agents'.")
    switch_lag: float = Field(0.5, gt=0, le=1, description="Rate of the switch's targets relative to the agents'.")
    agents_pace: float = Field(
        1.0, ge=0, description="Learning rate of both policies relative to learning_rate; 0 keeps them as they are."
    )
    switching: Switching | tuple[Switching, ...] = Field(
        "learned",
        description="By Global; by Global's decision in another world, so that only its rate is kept; never; always; "
        "on a schedule, for the first share of the training; or at random.",
    )
    call_share: PerSeed = Field(
        0.5, description="Share of the steps with a call, up to 1, for a switch on a schedule or at random."
    )
    execution: Literal["decentralised", "switched"] = Field(
        "decentralised", description="The trained policy: independent agents alone, or switched as in training."
    )

    @field_validator("fee", "budget", "call_share")
    @classmethod
    def _in_range(cls, value: Any, info: ValidationInfo) -> Any:
        most = 1.0 if info.field_name == "call_share" else sys.float_info.max
        numbers = () if value is None else value if isinstance(value, tuple) else (value,)
        if value == () or not all(0 <= x <= most for x in numbers):
            raise ValueError("use 1 or more numbers from 0" + (" to 1" if most == 1 else ""))
        return value

    @model_validator(mode="after")
    def _ends(self) -> Self:
        if "schedule" in self._several("switching") and self.total_steps is None:
            raise ValueError("a schedule needs total_steps")
        lengths = {len(self._several(name)) for name in ("fee", "budget", "switching", "call_share")} - {1}
        if len(lengths) > 1:
            raise ValueError(f"lists that are dealt out to the seeds need one length, not {sorted(lengths)}")
        return self

    def _several(self, name: str) -> tuple[Any, ...]:
        value = getattr(self, name)
        return value if isinstance(value, tuple) else (value,)

    @property
    def deal(self) -> int:
        """Seeds in one deal."""
        return max(len(self._several(name)) for name in ("fee", "budget", "switching", "call_share"))

    def terms(self, seed: int) -> Terms:
        """What that seed is dealt."""
        fee, budget, mode, share = (
            self._several(name)[seed % len(self._several(name))]
            for name in ("fee", "budget", "switching", "call_share")
        )
        number = jnp.float32
        limit = None if budget is None else number(budget)
        return Terms(number(fee), limit, number(share), number(MODES.index(mode)))


class Terms(eqx.Module):
    """The terms of calling. They sit beside the parameters, one of each for every seed, but nothing moves them.

    Attributes:
        fee: of a call.
        budget: calls in an episode; None for no limit.
        share: of the steps with a call, on a schedule or at random.
        mode: how it is decided, an index into MODES.
    """

    fee: Float[Array, ""]
    budget: Float[Array, ""] | None
    share: Float[Array, ""]
    mode: Float[Array, ""]


class Switch(eqx.Module):
    """Global: the state, and what is left of the budget, to the values of not calling and of calling.

    Attributes:
        network: with the whole team as its only agent.
        terms: of calling.
    """

    network: QNetwork
    terms: Terms

    def seen(self, view: View, left: Int[Array, "*batch"]) -> View:
        """What the switch sees; calling is legal while something is left."""
        legal = jnp.stack([jnp.ones_like(view.fresh), left > 0])[:, None]
        budget = jax.lax.stop_gradient(self.terms.budget)
        return whole(view, legal, *(() if budget is None else (left / jnp.maximum(budget, 1),)))

    def start(self, batch: tuple[int, ...]) -> Int[Array, "*batch"]:
        """What is left before the first step; terms of several seeds begin the batch."""
        budget = self.terms.budget
        if budget is None:
            return jnp.ones(batch, jnp.int32)
        each = budget.reshape(*budget.shape, *(1,) * (len(batch) - budget.ndim))
        return jnp.broadcast_to(each, batch).astype(jnp.int32)

    def left(self, before: Int[Array, "*batch"], fresh: Bool[Array, "*batch"]) -> Int[Array, "*batch"]:
        """What is left now: everything where an episode begins."""
        return jnp.where(fresh, self.start(fresh.shape), before)

    def spent(self, left: Int[Array, "*batch"], call: Int[Array, "*batch"]) -> Int[Array, "*batch"]:
        """What is left after the decision."""
        return left if self.terms.budget is None else left - call

    def decide(
        self, key: PRNGKeyArray, view: View, left: Int[Array, "*batch"], epsilon: Array | float
    ) -> tuple[Int[Array, "*batch"], Array]:
        """Whether to call, at random with chance ``epsilon``, and the values."""
        call, _, q = self.network.decide(key, self.seen(view, left), self.network.start(1, view.fresh.shape), epsilon)
        return call[0], q

    def errors(
        self, target: Switch, sample: Sample, fee: Array, discount: float, double: bool
    ) -> tuple[Float[Array, "..."], Float[Array, "..."], Float[Array, "..."]]:
        """As of ``Values``, on the team's reward less the fee of calls; [1, time, batch]."""
        steps = sample.steps
        call, left = steps.extra["call"], steps.extra["left"]
        charged = Transition(
            self.seen(steps.view, left),
            call[None],
            (steps.reward.mean(0) - fee * call)[None],
            self.seen(steps.next, self.spent(left, call)),
            steps.terminated,
            {},
        )
        memory = self.network.start(1, (call.shape[-1],))
        return Values(self.network).errors(Values(target.network), Sample(charged, memory), discount, double, True)


@learner("mansa")
class MANSA(ValueLearner[MANSASettings]):
    """Independent and central learners, and a learner that switches between them."""

    schema = MANSASettings

    @property
    def central(self) -> bool:
        """The switch reads the global state."""
        return True

    @property
    def team_reward(self) -> bool:
        """All three learn from the team's."""
        return True

    def parts(self, key: PRNGKeyArray, world: World[Any]) -> Parts:
        """The three learners."""
        s = self.settings
        own_key, net_key, mixer_key, switch_key = jax.random.split(key, 4)
        size = central_size(world)
        central: Any
        if s.central_learner == "jal":
            network = self.estimator(net_key, size, joint_count(world), s.recurrent)
            central = JointValues(JointNetwork(network, world.action_count))
        else:
            mixer = Sum() if s.central_learner == "vdn" else monotone(mixer_key, world.agent_count, size, s.embed)
            central = Values(self.network(net_key, world), mixer)
        switch = self.estimator(switch_key, size + (s.budget is not None), 2, False)
        own = Values(self.network(own_key, world))
        return {"independent": own, "central": central, "switch": Switch(switch, s.terms(0))}

    def init(self, key: PRNGKeyArray, world: World[Any]) -> ValueState:
        """As of the core, with the terms dealt out. Raises InputError unless the seeds fill whole deals."""
        s, keys = self.settings, jnp.atleast_1d(key)
        if keys.shape[0] % s.deal:
            raise InputError("seeds", keys.shape[0], f"Train a multiple of {s.deal} seeds, one for each of the terms.")
        state = super().init(keys[:: s.deal].repeat(s.deal), world)
        terms = jax.tree.map(lambda *xs: jnp.stack(xs), *(s.terms(seed) for seed in range(keys.shape[0])))

        def dealt(parts: Parts) -> Parts:
            return {**parts, "switch": Switch(parts["switch"].network, jax.tree.map(jnp.copy, terms))}

        left = {"left": Switch(state.model["switch"].network, terms).start(state.runner.fresh.shape)}
        runner = dataclasses.replace(state.runner, memory={**state.runner.memory, **left})
        return dataclasses.replace(state, model=dealt(state.model), target=dealt(state.target), runner=runner)

    def pace(self, part: str) -> tuple[float, float]:
        """The switch is slower than what it switches between."""
        s = self.settings
        return (s.switch_pace, s.switch_lag) if part == "switch" else (s.agents_pace, 1.0)

    def start(self, parts: Parts, agents: int, batch: tuple[int, ...]) -> Any:
        """Memories of both policies, and the budget."""
        return _start(parts, agents, batch)

    def decide(self, key: PRNGKeyArray, parts: Parts, seen: View, memory: Any, step: Float[Array, ""]) -> Decision:
        """Both policies decide, and both remember; the switch says who is heard."""
        epsilon = self.epsilon(step)
        total = self.settings.total_steps
        begun = step / total if total else step
        action, call, left, memory, values = _decide(
            key, parts, seen, memory, epsilon, lambda k, left: _call(k, parts, seen, left, self._stray(step), begun)
        )
        sound = jnp.concatenate([x.reshape(-1, *x.shape[-1:]) for x in values])
        return Decision(action, memory, {"call": call, "left": left}, sound)

    def fee(self, parts: Parts, step: Float[Array, ""]) -> Float[Array, ""]:
        """Price of a call after that many steps."""
        full: Float[Array, ""] = parts["switch"].terms.fee
        wait = self.settings.fee_warmup
        return full * jnp.minimum(step / wait, 1.0) if wait else full

    def losses(self, parts: Parts, target: Parts, sample: Sample, step: Float[Array, ""]) -> dict[str, Loss]:
        """All steps for the independent learners, called ones for the central learner, all with fees for the switch."""
        s = self.settings
        called = sample.steps.extra["call"].astype(jnp.float32)
        losses = {"independent": self._independent(parts, target, sample, called)}
        # Each policy's network goes on from its own memory.
        heard = Sample(sample.steps, sample.memory["central"])
        central = self.loss(parts["central"], target["central"], heard, called)
        figures = {**central.figures, "updates": central.active.astype(jnp.float32), "samples": called.sum()}
        losses["central"] = Loss(central.value, figures, central.active)
        switch, lagging = parts["switch"], target["switch"]
        error, counts, value = switch.errors(lagging, sample, self.fee(parts, step), s.discount, s.double)
        loss = 0.5 * weighted_mean(jnp.square(error), counts)
        figures = {"td_error": weighted_mean(jnp.abs(error), counts), "value": weighted_mean(value, counts)}
        losses["switch"] = Loss(loss, figures, switch.terms.mode <= MODES.index("shuffled"))
        return losses

    def watch(self, chunks: Sample) -> Metrics:
        """Share of the steps in which the central policy acted."""
        return {"calls": chunks.steps.extra["call"].mean((0, 1, 3), dtype=jnp.float32)}

    def player(self, state: ValueState) -> Player:
        """By the setting ``execution``."""
        if self.settings.execution == "decentralised":
            return self.independent(state)
        return self.switched(state)

    def independent(self, state: ValueState) -> GreedyPlayer:
        """The independent agents alone: each acts on its own observation."""
        return GreedyPlayer(state.model["independent"].network)

    def switched(self, state: ValueState) -> SwitchedPlayer:
        """Switched as in training, without exploration; needs the global state."""
        return SwitchedPlayer(state.model, central_size(state.world))

    def _stray(self, step: Float[Array, ""]) -> Float[Array, ""]:
        s = self.settings
        share = jnp.minimum(step / s.switch_epsilon_steps, 1.0)
        return s.switch_epsilon_start + (s.switch_epsilon_end - s.switch_epsilon_start) * share

    def _independent(self, parts: Parts, target: Parts, sample: Sample, called: Array) -> Loss:
        """Learns off policy from both sources; errors are told apart by source."""
        s = self.settings
        own = Sample(sample.steps, sample.memory["independent"])
        error, counts, value = parts["independent"].errors(
            target["independent"], own, s.discount, s.double, self.team_reward
        )
        size = jnp.abs(error)
        figures = {
            "td_error": weighted_mean(size, counts),
            "td_error_called": weighted_mean(size, counts * called),
            "td_error_own": weighted_mean(size, counts * (1 - called)),
            "value": weighted_mean(value, counts),
        }
        return Loss(0.5 * weighted_mean(jnp.square(error), counts), figures, counts.sum() > 0)


class SwitchedPlayer(Player):
    """Both policies and the switch between them.

    Attributes:
        parts: trained; their leaves may have a leading seeds axis.
        size: features of the global state.
    """

    parts: Parts
    size: int = eqx.field(static=True)

    @property
    def central(self) -> bool:
        """It must be shown the global state."""
        return True

    def start(self, agents: int, batch: tuple[int, ...]) -> Any:
        """Memories of both policies, and the budget."""
        return _start(self.parts, agents, batch)

    def act(
        self, key: PRNGKeyArray, view: View, memory: Any, greedy: bool = False
    ) -> tuple[Int[Array, "agents *batch"], Any]:
        """The action of the policy that the switch chooses."""
        action, _, memory = self.choose(key, view, memory)
        return action, memory

    def choose(
        self, key: PRNGKeyArray, view: View, memory: Any
    ) -> tuple[Int[Array, "agents *batch"], Int[Array, "*batch"], Any]:
        """The same, with whether it was a call. Raises InputError where the view lacks the global state."""
        if view.everything.shape[0] != self.size:
            mend = f"A switched policy looks at the global state ({self.size} features), which is not shown here."
            raise InputError("execution", "switched", mend + " Use execution=decentralised.")
        action, call, _, memory, _ = _decide(
            key, self.parts, view, memory, 0.0, lambda k, left: _call(k, self.parts, view, left, 0.0, 1.0)
        )
        return action, call, memory


def _call(
    key: PRNGKeyArray, parts: Parts, view: View, left: Array, epsilon: Array | float, begun: Array | float
) -> tuple[Int[Array, "*batch"], Array]:
    """Whether to call, never when nothing is left, and the switch's values; ``begun`` is the share of the training."""
    own_key, key = jax.random.split(key)
    switch = parts["switch"]
    own, q = switch.decide(own_key, view, left, epsilon)
    count = left.shape[-1] if left.ndim else 1
    turn = jax.random.randint(key, (), 1, max(count, 2))
    other = own[..., (jnp.arange(count) + turn) % count] if left.ndim else own
    scheduled = jnp.broadcast_to(begun < switch.terms.share, left.shape)
    drawn = jax.random.uniform(key, left.shape) < switch.terms.share
    ways = {
        "learned": own, "shuffled": other, "never": jnp.zeros_like(own), "always": jnp.ones_like(own),
        "schedule": scheduled, "random": drawn,
    }  # fmt: skip
    call = jnp.zeros_like(own)
    for number, name in enumerate(MODES):
        call = jnp.where(switch.terms.mode == number, ways[name].astype(own.dtype), call)
    return jnp.where(left > 0, call, 0), q


def _start(parts: Parts, agents: int, batch: tuple[int, ...]) -> Any:
    memories = {name: parts[name].network.start(agents, batch) for name in ("independent", "central")}
    return {**memories, "left": parts["switch"].start(batch)}


def _decide(
    key: PRNGKeyArray, parts: Parts, view: View, memory: Any, epsilon: Array | float, call_of: Any
) -> tuple[Array, Array, Array, Any, list[Array]]:
    """Action, call, budget before it, next memory, and all values. Both policies stray with the same chance."""
    act_key, call_key = jax.random.split(key)
    own, own_memory, q_own = parts["independent"].network.decide(act_key, view, memory["independent"], epsilon)
    joint, joint_memory, q_joint = parts["central"].network.decide(act_key, view, memory["central"], epsilon)
    left = parts["switch"].left(memory["left"], view.fresh)
    call, q_call = call_of(call_key, left)
    action = jnp.where(call[None] == 1, joint, own)
    after = {
        "independent": own_memory, "central": joint_memory, "left": parts["switch"].spent(left, call)
    }  # fmt: skip
    return action, call, left, after, [q_own, q_joint, q_call]


class Decisions(NamedTuple):
    """What trained learners would do in given moments, without exploration.

    Attributes:
        calls: whether the switch calls, with its whole budget [seeds, moments].
        independent: actions of the independent policy [seeds, agents, moments].
        central: of the central policy [seeds, agents, moments].
    """

    calls: NDArray[np.int64]
    independent: NDArray[np.int64]
    central: NDArray[np.int64]


def decisions(state: ValueState, seen: View) -> Decisions:
    """Decisions at the beginning of episodes.

    Args:
        state: trained by MANSA.
        seen: the moments [..., moments], with the global state.
    """
    agents, moments = seen.alive.shape
    batch = (moments,)

    def look(parts: Parts) -> tuple[Array, Array, Array]:
        key = jax.random.key(0)
        nets = (parts["independent"].network, parts["central"].network)
        own, joint = (net.decide(key, seen, net.start(agents, batch), 0.0)[0] for net in nets)
        return parts["switch"].decide(key, seen, parts["switch"].start(batch), 0.0)[0], own, joint

    return Decisions(*(np.asarray(x, np.int64) for x in jax.jit(jax.vmap(look))(state.model)))


class SwitchedEpisodes(NamedTuple):
    """What switched episodes came to, each [seeds, episodes].

    Attributes:
        returns: mean over agents.
        calls: steps in which the central policy acted.
        lengths: steps.
    """

    returns: NDArray[np.float64]
    calls: NDArray[np.int64]
    lengths: NDArray[np.int64]


def switched_episodes(
    player: SwitchedPlayer, seeds: int, world: World[Any], episodes: int, key: PRNGKeyArray
) -> SwitchedEpisodes:
    """Play whole episodes and count the calls of each.

    Args:
        player: of several seeds, parameters [seeds, ...].
        seeds: how many.
        world: where.
        episodes: for each seed.
        key: randomness.
    """
    returns, calls, lengths = _program()(player, seeds, world, episodes, key)
    return SwitchedEpisodes(np.asarray(returns, np.float64), np.asarray(calls, np.int64), np.asarray(lengths, np.int64))


def _play(player: SwitchedPlayer, seeds: int, world: World[Any], episodes: int, key: PRNGKeyArray) -> Any:
    batch = (seeds, episodes)
    choose: Any = jax.vmap(lambda p, k, v, m: p.choose(k, v, m), (0, 0, SEEDS, SEEDS), SEEDS)
    reset_key, key = jax.random.split(key)
    state, timestep = world.reset(reset_key, batch)
    zeros = jnp.zeros(batch)
    start = (jnp.int32(0), state, timestep, player.start(world.agent_count, batch), jnp.ones(batch, bool))

    def step(carry: Any) -> Any:
        (time, state, timestep, memory, running), (returns, calls, lengths) = carry
        act_key, step_key = jax.random.split(jax.random.fold_in(key, time))
        seen = view(world, state, timestep, jnp.broadcast_to(time == 0, batch), central=True)
        action, call, memory = choose(player, jax.random.split(act_key, seeds), seen, memory)
        state, timestep = world.step(step_key, state, action)
        sums = (returns + timestep.reward.mean(0) * running, calls + call * running, lengths + running)
        return (time + 1, state, timestep, memory, running & ~timestep.done), sums

    return jax.lax.while_loop(lambda carry: carry[0][4].any(), step, (start, (zeros, zeros, zeros)))[1]


@functools.cache
def _program() -> Any:
    return jax.jit(_play, static_argnums=(1, 2, 3), compiler_options=usable(tuple(QUICK.items())))
