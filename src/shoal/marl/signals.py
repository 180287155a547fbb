"""Signals: vessels learn when to show a light, and what a lit vessel tells goes through a graph neural network.

After "Learning to Communicate and Collaborate in a Competitive Multi-Agent Setup to Clean the Ocean from Macroplastics"
(arXiv 2304.05872), whose full text and code were not to be had; what follows is the reading given in its abstracts. PPO
with shared weights (or one set for each vessel), each vessel's own reward, and a critic that sees what its vessel sees.

What the world gives and what the network does. The world (``ocean``) owns the physical channel: the light is part of
the action, others see it one tick later, and only along the edges of the neighbour graph. Its observation has a
vessel's own light, how many lit neighbours it sees, and where they are: the "bit only" of the paper is complete there.
The network owns the meaning: whether to light up (a branch of its own beside throttle and steer), and the payload,
which the observation lacks. Who is lit is read from the receiver's observation alone, so that cutting, shuffling or
faking lights in the world acts on the payload too. The policy's input is [own features, c_i, own light, share of lit
neighbours]; where the neighbours are reaches it through the messages only.

The message of vessel j to vessel i, present only while i sees j's light of the tick before:
    h_j  = MLP([speed, density of pebbles in view, of near and of middle ring, way to their centre])
    e_ji = MLP([h_j, p_j - p_i, heading of j, centre of j's pebbles])
    c_i  = mean over lit neighbours of e_ji; 0 if there are none.
Departures, with reasons. Places, headings and centres are turned into the receiver's own frame on the edge, where they
depend on both ends (a small network learns a rotation slowly). The bit itself is no input of e_ji: it is 1 in every
message that is sent. The last layer of e is linear, so it is applied after the mean, which is the same and cheaper.
A second round sends MLP([h_j, c_j]) in place of h_j over the same edges. Bits of tick t act in tick t+1; the payload is
of the tick in which it is heard. No gradient passes through the choice of a light, as it lies in an earlier tick.

Arms. ``arms`` are dealt to the seeds in turn (learned, always, random, bit, none, learned, ...), so that a treatment
and its baselines train side by side in one program, from the same first weights: what tells them apart is a constant
in the model. ``none`` has c_i = 0 and no light; so that it is no smaller, hidden layers are wider by as many units as
the other arms' channel, light and extra inputs have parameters (those units are silent in the other arms).
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any, Literal, NamedTuple, Self

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray
from pydantic import Field, model_validator

from shoal.errors import InputError
from shoal.marl import categorical
from shoal.marl.actors import Decision, Evaluation, Memory, Model
from shoal.marl.learner import learner
from shoal.marl.networks import ACTIVATIONS, Activation, Dense, dense
from shoal.marl.players import Actions, View
from shoal.marl.ppo import PPO, PPOSettings, PPOState
from shoal.worlds import World
from shoal.worlds.ocean import RINGS, SECTORS, SIGNALS, Ocean

Arm = Literal["learned", "always", "random", "bit", "none"]
"""learned: light and payload; always, random: the light is on, or a fair coin, with payload; bit: a learned light
without payload; none: no light, nothing heard."""

Switches = Float[Array, "4"]
"""Constants of an arm: hears, payload, light is learned, chance of a light that is not."""

SWITCHES: dict[str, tuple[float, float, float, float]] = {
    "learned": (1, 1, 1, 0),
    "always": (1, 1, 0, 1),
    "random": (1, 1, 0, 0.5),
    "bit": (1, 0, 1, 0),
    "none": (0, 0, 0, 0),
}
NODE, EDGE, TAIL = 6, 6, 2
"""Numbers that describe a vessel, a pair, and the own light with the share of lit neighbours."""


class SignalsSettings(PPOSettings):
    """Settings of signals."""

    arms: tuple[Arm, ...] = Field(
        ("learned",), min_length=1, description="What lights are, dealt to the seeds in turn."
    )
    message: int = Field(16, ge=1, description="Length of a message.")
    rounds: int = Field(1, ge=1, le=2, description="Rounds of messages in a tick.")

    @model_validator(mode="after")
    def _plain(self) -> Self:
        if self.recurrent or self.agent_ids:
            raise ValueError("networks of signals have no memory and no agent ids; leave recurrent and agent_ids off")
        return self


class Scene(NamedTuple):
    """An observation taken apart.

    Attributes:
        own: own features, without the lights.
        tail: own light, share of lit neighbours.
        node: what a vessel can tell of itself.
        edge: where the sender, its heading and its pebbles are, in the receiver's frame.
        lit: the receiver sees the sender's light.

    Pairs are numbered by receiver and turn: the sender of turn t to receiver i is vessel i + t, counted in a ring.
    """

    own: Float[Array, "own agents *batch"]
    tail: Float[Array, "tail agents *batch"]
    node: Float[Array, "node agents *batch"]
    edge: Float[Array, "edge receivers turns *batch"]
    lit: Float[Array, "receivers turns *batch"]


def scene(obs: Float[Array, "features agents *batch"], view: float, neighbours: int) -> Scene:
    """Read an ocean's observation.

    Args:
        obs: as the ocean gives it with a channel, features first.
        view: the world's range of sight.
        neighbours: the world's number of nearest vessels whose lights are seen.
    """
    cut = obs.shape[0] - TAIL - 3 * neighbours
    own, tail, slots = obs[:cut], obs[cut : cut + TAIL], obs[cut + TAIL :]
    x, y, cos, sin, speed = obs[:5]
    seen, ahead, left = obs[7], view * obs[8], view * obs[9]
    rings = obs[10 : 10 + SECTORS * RINGS].reshape(SECTORS, RINGS, *obs.shape[1:]).sum(0)
    node = jnp.stack([speed, seen, rings[0], rings[1], obs[8], obs[9]])
    ox, oy, ocos, osin, oa, ob, full = (senders(v) for v in (x, y, cos, sin, ahead, left, seen))
    dx, dy, c, s = (ox - x[:, None]) / 2, (oy - y[:, None]) / 2, cos[:, None], sin[:, None]
    place = dx * c + dy * s, dy * c - dx * s
    heading = ocos * c + osin * s, osin * c - ocos * s
    centre = place[0] + oa * heading[0] - ob * heading[1], place[1] + oa * heading[1] + ob * heading[0]
    edge = jnp.stack([*place, *heading, *(jnp.where(full > 0, way, 0.0) for way in centre)])
    near = nearness(dx * dx + dy * dy)
    lit = sum(((near == k) * slots[3 * k][:, None] for k in range(neighbours)), jnp.zeros(near.shape))
    return Scene(own, tail, node, edge, lit)


def senders(x: Float[Array, "*leading agents rest"], axis: int = 0) -> Array:
    """The others' values for every receiver: a new axis of turns behind the axis of agents."""
    count = x.shape[axis]
    if count == 1:
        return jnp.zeros((*x.shape[: axis + 1], 0, *x.shape[axis + 1 :]), x.dtype)
    return jnp.stack([jnp.roll(x, -turn, axis) for turn in range(1, count)], axis + 1)


def nearness(square: Float[Array, "receivers turns *batch"]) -> Array:
    """Rank of each sender by distance from the receiver, 0 for the nearest; ties to the lower index."""
    receivers, turns, *batch = square.shape
    number = (jnp.arange(receivers)[:, None] + 1 + jnp.arange(turns)) % max(receivers, 1)
    lower = (number[:, :, None] < number[:, None]).reshape(receivers, turns, turns, *(1,) * len(batch))
    one, other = square[:, :, None], square[:, None]
    return ((one < other) | ((one == other) & lower)).sum(1)


class Round(eqx.Module):
    """One round of messages.

    Attributes:
        node: from what a vessel tells of itself to h.
        content: from h into the message's hidden layer.
        place: from the edge into the same.
        out: from the hidden layer to the message.
    """

    node: Dense
    content: Dense
    place: Dense
    out: Dense

    def __call__(
        self,
        told: Float[Array, "told agents *batch"],
        edge: Float[Array, "edge receivers turns *batch"],
        lit: Float[Array, "receivers turns *batch"],
        payload: Float[Array, ""],
    ) -> Float[Array, "message agents *batch"]:
        """What each vessel gathers: the mean message of the lit vessels it sees, 0 where there are none."""
        content = self.content(jnp.tanh(self.node(told))) * payload
        # With nothing but the bit, only the sender's place is known.
        known = edge * jnp.where(jnp.arange(EDGE) < 2, 1.0, payload).reshape(-1, *(1,) * (edge.ndim - 1))
        hidden = jnp.tanh(senders(content, 1) + self.place(known))
        count = lit.sum(1)
        mean = (hidden * lit).sum(2) / jnp.maximum(count, 1.0)
        return self.out(mean) * (count > 0)


class SignalModel(Model):
    """Policy, critic and channel of one seed.

    Attributes:
        rounds: of messages; policy and critic share them.
        actor: hidden layers of the policy.
        move: head for throttle and steer.
        light: head for the light.
        critic: hidden layers of the value, and its head.
        switches: what tells the arms apart; constant.
        activation: after every hidden layer.
        view: the world's range of sight.
        neighbours: the world's number of nearest vessels whose lights are seen.
    """

    rounds: tuple[Round, ...]
    actor: tuple[Dense, ...]
    move: Dense
    light: Dense
    critic: tuple[Dense, ...]
    switches: Switches
    activation: Activation = eqx.field(static=True)
    view: float = eqx.field(static=True)
    neighbours: int = eqx.field(static=True)

    @property
    def rows(self) -> tuple[int, int]:
        """One for throttle and steer, one for the light."""
        return 2, 0

    def start(self, agents: int, batch: tuple[int, ...]) -> Memory:
        """Nothing to remember: the lights of the tick before are in the observation."""
        return Memory((), ())

    def gathered(self, view: View) -> tuple[Float[Array, "message agents *batch"], Scene]:
        """c_i of every vessel, and the observation taken apart."""
        hears, payload, *_ = jax.lax.stop_gradient(self.switches)
        seen = scene(view.obs, self.view, self.neighbours)
        told = seen.node
        for one in self.rounds:
            content = one(told, seen.edge, seen.lit, payload) * hears
            told = jnp.concatenate([seen.node, content])
        return content, seen

    def _inputs(self, view: View) -> Float[Array, "inputs agents *batch"]:
        content, seen = self.gathered(view)
        return jnp.concatenate([seen.own, content, seen.tail * jax.lax.stop_gradient(self.switches[0])])

    def _through(self, layers: tuple[Dense, ...], x: Array) -> Array:
        for layer in layers:
            x = ACTIVATIONS[self.activation](layer(x))
        return x

    def _policy(self, view: View) -> tuple[Array, Array]:
        """Log-probabilities of the moves and of the light [choices, agents, *batch]."""
        h = self._through(self.actor, self._inputs(view))
        return jax.nn.log_softmax(self.move(h), axis=0), jax.nn.log_softmax(self.light(h), axis=0)

    def act(
        self, view: View, noise: Array, memory: Any, greedy: bool = False, execute: bool = False
    ) -> tuple[Decision, Any]:
        """Throttle, steer and light."""
        move_p, light_p = self._policy(view)
        learned, chance = self.switches[2], self.switches[3]
        move = categorical.best(move_p) if greedy else categorical.sample(move_p, noise[0])
        light = categorical.best(light_p) if greedy else categorical.sample(light_p, noise[1])
        light = jnp.where(learned > 0, light, noise[1] < chance).astype(jnp.int32)
        log_p = categorical.log_probability(move_p, move) + learned * categorical.log_probability(light_p, light)
        return Decision(move * len(SIGNALS) + light, (), log_p), memory

    def value(self, view: View, memory: Any, noise: Array) -> tuple[Array, Any]:
        """Each vessel's value of what it sees and has gathered."""
        return self._value(view), memory

    def _value(self, view: View) -> Array:
        *body, head = self.critic
        return jnp.asarray(head(self._through(tuple(body), self._inputs(view)))[0])

    def evaluate(self, view: View, action: Actions, sent: Any, noise: Array, memory: Memory) -> Evaluation:
        """Judge what was done; a light that is not learned has no probability."""
        move_p, light_p = self._policy(view)
        learned = jax.lax.stop_gradient(self.switches[2])
        move, light = action // len(SIGNALS), action % len(SIGNALS)
        log_p = categorical.log_probability(move_p, move) + learned * categorical.log_probability(light_p, light)
        entropy = categorical.entropy(move_p) + learned * categorical.entropy(light_p)
        return Evaluation(log_p, entropy, self._value(view), {"lit": light.astype(jnp.float32).mean()})


@learner("signals")
class Signals(PPO[SignalsSettings]):
    """PPO with learned lights."""

    schema = SignalsSettings

    def init(self, key: PRNGKeyArray, world: World[Any]) -> PPOState:
        """Fresh parameters and worlds; seeds that share a deal of the arms begin with the same parameters.

        Raises:
            InputError: another world than an ocean with a channel, or seeds that do not fill whole deals of the arms.
        """
        if not isinstance(world, Ocean) or not world.channel:
            raise InputError("world", repr(world), "Signals need the ocean with channel=1.")
        arms, keys = self.settings.arms, jnp.atleast_1d(key)
        if keys.shape[0] % len(arms):
            raise InputError("seeds", keys.shape[0], f"Train a multiple of {len(arms)} seeds, one for each arm.")
        first = keys[jnp.arange(keys.shape[0]) // len(arms) * len(arms)]
        switches = jnp.tile(jnp.array([SWITCHES[arm] for arm in arms], jnp.float32), (keys.shape[0] // len(arms), 1))
        state = super().init(keys, world)
        model = jax.vmap(lambda k, constants: self._dressed(self.model(k, world), constants, world))(first, switches)
        return dataclasses.replace(state, model=model)

    def model(self, key: PRNGKeyArray, world: World[Any]) -> SignalModel:
        """A fresh model, with the first arm's constants."""
        assert isinstance(world, Ocean)
        s = self.settings
        separate = None if s.shared else world.agent_count
        keys = iter(jax.random.split(key, 4 * s.rounds + 2 * len(s.hidden) + 3))
        gain, told = math.sqrt(2.0), NODE
        rounds = []
        for _ in range(s.rounds):
            node = dense(next(keys), told, s.message, gain, separate)
            content = dense(next(keys), s.message, s.message, 1.0, separate)
            place = dense(next(keys), EDGE, s.message, 1.0, separate)
            rounds.append(Round(node, content, place, dense(next(keys), s.message, s.message, 1.0, separate)))
            told = NODE + s.message
        widths = [w + self.spare(world) for w in s.hidden]
        inputs = own_size(world) + s.message + TAIL
        actor, critic = ([
            dense(next(keys), i, w, gain, separate) for i, w in zip((inputs, *widths), widths, strict=False)
        ] for _ in range(2))  # fmt: skip
        move = dense(next(keys), widths[-1], moves(world), 0.01, separate)
        light = dense(next(keys), widths[-1], len(SIGNALS), 0.01, separate)
        critic.append(dense(next(keys), widths[-1], 1, 1.0, separate))
        return SignalModel(
            tuple(rounds), tuple(actor), move, light, tuple(critic), jnp.array(SWITCHES[s.arms[0]], jnp.float32),
            s.activation, world.view, world.neighbours,
        )  # fmt: skip

    def _dressed(self, model: SignalModel, switches: Switches, world: Ocean) -> SignalModel:
        """The model with an arm's constants; the units that only the arm without communication has are silent."""
        s, spare = self.settings, self.spare(world)
        hears = switches[0] > 0
        awake = [jnp.arange(w + spare) < jnp.where(hears, w, w + spare) for w in s.hidden]

        def silence(layer: Dense, outs: Array | None, ins: Array | None) -> Dense:
            # A unit whose weights are 0 on both sides has no gradient on either: it stays silent.
            weight = layer.weight if outs is None else layer.weight * outs[:, None]
            return Dense(weight if ins is None else weight * ins, layer.bias, layer.own)

        body = [silence(layer, awake[i], awake[i - 1] if i else None) for i, layer in enumerate(model.actor)]
        value = [silence(layer, awake[i], awake[i - 1] if i else None) for i, layer in enumerate(model.critic[:-1])]
        return dataclasses.replace(
            model,
            actor=tuple(body),
            move=silence(model.move, None, awake[-1]),
            light=silence(model.light, None, awake[-1]),
            critic=(*value, silence(model.critic[-1], None, awake[-1])),
            switches=switches,
        )

    def spare(self, world: Ocean) -> int:
        """Units by which every hidden layer of the arm without communication is wider, so that it is no smaller."""
        if "none" not in self.settings.arms:
            return 0
        goal, extra = self.active(world, "learned", 0), 0
        while self.active(world, "none", extra) < goal:
            extra += 1
        return extra

    def active(self, world: Ocean, arm: str, extra: int | None = None) -> int:
        """Parameters that matter in an arm, of one set of weights.

        Args:
            world: the world.
            arm: which.
            extra: units added to every hidden layer; what the learner itself adds if left out.
        """
        s, m, own = self.settings, self.settings.message, own_size(world)
        wider = (self.spare(world) if arm == "none" else 0) if extra is None else extra
        widths = [w + wider for w in s.hidden]
        inputs = own if arm == "none" else own + m + TAIL
        body = sum((i + 1) * w for i, w in zip((inputs, *widths), widths, strict=False))
        heads = (widths[-1] + 1) * (moves(world) + 1)
        if arm == "none":
            return 2 * body + heads
        told = [NODE, *(NODE + m,) * (s.rounds - 1)]
        channel = sum((t + 1) * m + (m + 1) * m + (EDGE + 1) * m + (m + 1) * m for t in told)
        return 2 * body + heads + (widths[-1] + 1) * len(SIGNALS) + channel


def own_size(world: Ocean) -> int:
    """Features of an observation before the lights."""
    return world.observation_size - TAIL - 3 * world.neighbours


def moves(world: Ocean) -> int:
    """Choices of throttle and steer."""
    return world.action_count // len(SIGNALS)
