"""HAMMER: a central network learns to whisper a short private message to each local agent (arXiv 2102.00824).

The centre sees every observation: shared encoder h = f(s), one linear head for each agent, m_i = W_i h + b_i in R^k.
The local actor of agent i sees [o_i, m_i], its critic [o_i, stopgrad(m_i)]. Messages earn nothing themselves: the local
agents' PPO gradients flow through them into heads and encoder. ``message=0`` is independent PPO with the same settings.

Channels: ``continuous`` (the paper's v2), ``bits`` (v3, the discretise/regularise unit of DIAL, arXiv 1605.06676:
sigma(m + e) with e ~ N(0, 2^2) in training, the hard bit [m > 0] afterwards), ``actions`` (v1: the centre is itself a
stochastic policy whose continuous actions are the messages) and ``random`` (noise of the same shape, a baseline).

Departures from the released code, which the page of the system lists as faults unless stated otherwise: local networks
that are not shared are really separate; the channel's noise is kept by the rollout, so probability ratios are exactly 1
before the first step; noise is off at execution, and the hard rule's threshold is 0. One Adam step is made on the mean
of all agents' losses instead of one for each agent in turn. The centre also reads who is alive. In ``actions`` agent
i's message and action form one decision that is judged by agent i's own advantage; the centre has no critic.
"""

from __future__ import annotations

import warnings
from typing import Any, Literal, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax  # type: ignore[import-untyped]
from jaxtyping import Array, Float, PRNGKeyArray
from pydantic import Field

from shoal.errors import InputError
from shoal.marl import gaussian
from shoal.marl.actors import Actor, Critic, Decision, Evaluation, Memory, Model, Noise, PerAgent
from shoal.marl.learner import Metrics, learner
from shoal.marl.monte_carlo import MonteCarloPPO, MonteCarloSettings
from shoal.marl.networks import Activation, Dense, Encoder, dense, encoder
from shoal.marl.players import Actions, View
from shoal.marl.ppo import Batch
from shoal.worlds import World

Channel = Literal["continuous", "bits", "actions", "random"]
Messages = Float[Array, "message agents *batch"]


class HAMMERSettings(MonteCarloSettings):
    """Settings of HAMMER; defaults are those of cooperative navigation, with 32 worlds of 25 steps for 800 steps."""

    message: int = Field(1, ge=0, description="Numbers in each agent's private message (k); 0 for independent PPO.")
    channel: Channel = Field("continuous", description="continuous (v2), bits (v3), actions (v1) or random.")
    squash: bool = Field(False, description="Messages of the continuous channel pass a tanh, so they stay bounded.")
    channel_noise: float = Field(
        2.0, ge=0, description="Deviation of the noise before the sigmoid of bits in training."
    )
    message_std: float = Field(0.5, gt=0, description="Deviation of messages that are the centre's actions.")
    detach: bool = Field(
        False, description="Ablation: no gradient flows through messages, so the centre learns nothing."
    )
    visible: int | None = Field(
        None, ge=1, description="Entries of its observation that an agent sees (L); empty: all."
    )
    limited: int | None = Field(
        None, ge=0, description="Number of the only agent to which ``visible`` applies; empty: to all agents."
    )
    centre_unlimited: bool = Field(False, description="The centre sees whole observations where agents do not.")
    critic_hidden: tuple[int, ...] = Field((64, 32), min_length=1, description="Widths of the critic's dense layers.")
    centre_hidden: tuple[int, ...] = Field((64, 64), min_length=1, description="Widths of the centre's encoder.")
    activation: Activation = Field("relu", description="After every dense layer.")


class Sent(NamedTuple):
    """Messages of a moment.

    Attributes:
        content: what agents hear.
        decision: the same where the message is a decision of the centre, else ().
        log_p: log-probability of it, 0 where there is none.
    """

    content: Messages
    decision: Any
    log_p: PerAgent


class Centre(eqx.Module):
    """The central network with its channel.

    Attributes:
        encoder: shared by all messages.
        heads: from features to the messages of all agents; the rows of agent i are its own head.
        channel: kind of messages.
        squash: tanh on continuous messages.
        noise: deviation of the noise in ``bits``.
        std: deviation of messages in ``actions``.
        detach: cut the gradient.
    """

    encoder: Encoder
    heads: Dense
    channel: Channel = eqx.field(static=True)
    squash: bool = eqx.field(static=True)
    noise: float = eqx.field(static=True)
    std: float = eqx.field(static=True)
    detach: bool = eqx.field(static=True)

    def __call__(
        self,
        seen: Float[Array, "features 1 *batch"],
        agents: int,
        noise: Noise,
        decision: Any = None,
        execute: bool = False,
    ) -> Sent:
        """Messages to all agents.

        Args:
            seen: everything.
            agents: how many to write to.
            noise: uniform numbers, as many rows as a message has numbers; none in the continuous channel.
            decision: messages to judge instead of new ones.
            execute: as after training: bits hard, no noise but that of the random channel.
        """
        h, _ = self.encoder(seen, self.encoder.start((1, *seen.shape[2:])), jnp.zeros(seen.shape[2:], bool))
        raw = self.heads(h)
        raw = raw.reshape(raw.shape[0] // agents, agents, *seen.shape[2:])
        silent = jnp.zeros(raw.shape[1:])
        if self.channel == "actions":
            log_std = jnp.full(raw.shape[0], jnp.log(self.std))
            if decision is None:
                decision = raw if execute else gaussian.sample(raw, log_std, noise)
            decision = jax.lax.stop_gradient(decision)
            mean = jax.lax.stop_gradient(raw) if self.detach else raw
            return Sent(decision, decision, gaussian.log_probability(mean, log_std, decision))
        if self.channel == "random":
            return Sent(gaussian.normal(noise), (), silent)
        if self.channel == "bits":
            hard = (raw > 0).astype(jnp.float32)
            content = hard if execute else jax.nn.sigmoid(raw + self.noise * gaussian.normal(noise))
        else:
            content = jnp.tanh(raw) if self.squash else raw
        return Sent(jax.lax.stop_gradient(content) if self.detach else content, (), silent)


class HAMMERModel(Model):
    """Centre, local actors and local critics.

    Attributes:
        centre: writes the messages; None where they have no length.
        actor: of local agents, on [own observation, message].
        critic: the same, without a gradient into the message.
        visible: entries of its own observation that an agent sees; None for all.
        limited: the only agent to which that applies; None for all.
        unlimited: the centre sees whole observations nevertheless.
        agents: how many the centre writes to.
    """

    centre: Centre | None
    actor: Actor
    critic: Critic
    visible: int | None = eqx.field(static=True)
    limited: int | None = eqx.field(static=True)
    unlimited: bool = eqx.field(static=True)
    agents: int = eqx.field(static=True)

    @property
    def message(self) -> int:
        """Numbers in a message."""
        return 0 if self.centre is None else self.centre.heads.weight.shape[-2] // self.agents

    @property
    def rows(self) -> tuple[int, int]:
        """The actor's, and the noise of the channel."""
        silent = self.centre is None or self.centre.channel == "continuous"
        return self.actor.rows[0], 0 if silent else self.message

    def start(self, agents: int, batch: tuple[int, ...]) -> Memory:
        """Of the local networks."""
        return Memory(self.actor.start(agents, batch), self.critic.encoder.start((agents, *batch)))

    def own(self, view: View) -> Float[Array, "features agents *batch"]:
        """What each agent sees itself: cut for all, or zeros beyond for one."""
        if self.visible is None:
            return view.obs
        if self.limited is None:
            return view.obs[: self.visible]
        hidden = np.zeros(view.obs.shape[:2], bool)
        hidden[self.visible :, self.limited] = True
        return jnp.where(hidden.reshape(*hidden.shape, *(1,) * view.fresh.ndim), 0.0, view.obs)

    def write(self, view: View, noise: Noise, decision: Any = None, execute: bool = False) -> Sent:
        """The centre's messages; of length 0 without a centre."""
        if self.centre is None:
            none = jnp.zeros((0, *view.alive.shape))
            return Sent(none, (), jnp.zeros(view.alive.shape))
        obs = view.obs if self.unlimited else self.own(view)
        seen = jnp.concatenate([obs.reshape(-1, *obs.shape[2:]), view.alive.astype(jnp.float32)])
        sent = self.centre(seen[:, None], self.agents, noise, decision, execute)
        return sent._replace(content=jnp.where(view.alive, sent.content, 0.0))

    def told(self, view: View, content: Messages) -> View:
        """The view of local agents: own observation and message."""
        told: View = eqx.tree_at(lambda v: v.obs, view, jnp.concatenate([self.own(view), content]))
        return told

    def act(
        self, view: View, noise: Noise, memory: Any, greedy: bool = False, execute: bool = False
    ) -> tuple[Decision, Any]:
        """Write, then act."""
        sent = self.write(view, noise[self.rows[0] :], execute=execute)
        decision, memory = self.actor.decide(self.told(view, sent.content), noise, memory, greedy, execute)
        return Decision(decision.action, sent.decision, decision.log_p + sent.log_p), memory

    def value(self, view: View, memory: Any, noise: Noise) -> tuple[PerAgent, Any]:
        """On what the agents heard."""
        content = jax.lax.stop_gradient(self.write(view, noise).content)
        return self.critic(self.told(view, content), memory)

    def evaluate(self, view: View, action: Actions, sent: Any, noise: Noise, memory: Memory) -> Evaluation:
        """Messages are written anew by the current centre, with the noise that was kept."""
        message = self.write(view, noise, sent if self._decides else None)
        told = self.told(view, message.content)
        log_p, entropy, _ = self.actor.judge(told, action, (), noise[:0], memory.actor)
        still = self.told(view, jax.lax.stop_gradient(message.content))
        value, _ = self.critic(still, memory.critic, sequence=True)
        norm = jnp.sqrt(jnp.square(message.content).sum(0))
        return Evaluation(log_p + message.log_p, entropy, value, {"message_norm": norm})

    @property
    def _decides(self) -> bool:
        return self.centre is not None and self.centre.channel == "actions"


@learner("hammer")
class HAMMER(MonteCarloPPO[HAMMERSettings]):
    """The learner; see the module's header."""

    schema = HAMMERSettings

    def critic(self, key: PRNGKeyArray, world: World[Any]) -> Critic:
        """On an agent's own observation and its message."""
        body_key, head_key = jax.random.split(key)
        body = self._local(body_key, world, self.settings.critic_hidden)
        separate = None if self.settings.shared else world.agent_count
        return Critic(body, dense(head_key, body.width, 1, 1.0, separate), central=False)

    def actor(self, key: PRNGKeyArray, world: World[Any]) -> Actor:
        """On an agent's own observation and its message."""
        body_key, head_key = jax.random.split(key)
        body = self._local(body_key, world, self.settings.hidden)
        return self.policy(head_key, world, body, body.width)

    def centre(self, key: PRNGKeyArray, world: World[Any]) -> Centre | None:
        """From all observations to all messages."""
        s, n = self.settings, world.agent_count
        if s.message == 0:
            return None
        body_key, head_key = jax.random.split(key)
        features = world.observation_size if s.centre_unlimited else self._seen(world)
        body = encoder(body_key, (features + 1) * n, s.centre_hidden, None, s.activation)
        heads = dense(head_key, body.width, s.message * n, 1.0)
        return Centre(body, heads, s.channel, s.squash, s.channel_noise, s.message_std, s.detach)

    def model(self, key: PRNGKeyArray, world: World[Any]) -> HAMMERModel:
        """A fresh model of one seed."""
        self._fits(world)
        actor_key, critic_key, centre_key = jax.random.split(key, 3)
        s = self.settings
        return HAMMERModel(
            self.centre(centre_key, world),
            self.actor(actor_key, world),
            self.critic(critic_key, world),
            s.visible,
            s.limited,
            s.centre_unlimited,
            world.agent_count,
        )

    def _gradient(self, model: Any, batch: Batch, memory: Memory) -> tuple[Any, Metrics]:
        """The core's, and the gradient norm of the central weights before it is clipped."""
        grads, figures = super()._gradient(model, batch, memory)
        norm: Any = jax.vmap(optax.tree.norm)
        seeds = batch.advantage.shape[1]
        centre = jnp.zeros(seeds) if grads.centre is None else norm(grads.centre)
        return grads, {**figures, "centre_grad_norm": centre}

    def _seen(self, world: World[Any]) -> int:
        """Features of a local observation without the message."""
        s, size = self.settings, world.observation_size
        return size if s.visible is None or s.limited is not None else min(size, s.visible)

    def _local(self, key: PRNGKeyArray, world: World[Any], hidden: tuple[int, ...]) -> Encoder:
        s, n = self.settings, world.agent_count
        differ = len({*zip(world.observation_sizes, world.actions, strict=True)}) > 1
        told = differ if s.agent_ids is None else s.agent_ids
        memory = s.memory if s.recurrent else None
        inputs = self._seen(world) + s.message
        return encoder(
            key, inputs, hidden, memory, s.activation, None if s.shared else n, n if told and s.shared else None
        )

    def _fits(self, world: World[Any]) -> None:
        s, n = self.settings, world.agent_count
        if s.limited is not None and s.limited >= n:
            raise InputError("settings limited", s.limited, f"Use an agent's number, 0 to {n - 1}.")
        if n == 1 and s.message:
            warnings.warn("HAMMER with one agent: the centre knows no more than the agent does", stacklevel=3)
        if len(set(world.observation_sizes)) > 1:
            sizes = ", ".join(map(str, world.observation_sizes))
            warnings.warn(
                f"observations of {sizes} features are padded with zeros to {world.observation_size}", stacklevel=3
            )
