"""The common course of every communication here: speak, carry, listen; and the register of families.

Agent i says m_i = f(h_i), a channel carries it, and i gathers c_i from the messages of the others and turns it into
content tanh(H h_i + C c_i), which the policy's head reads beside h_i. Several rounds may be run before the act; with
``delay`` a message is heard in a later step instead. Agents that are not alive say and hear nothing; c_i is 0 where
nobody is heard.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray
from pydantic import BaseModel, ConfigDict, Field

from shoal.errors import UnknownName
from shoal.marl.actors import Communication, Heard, Hidden, Noise, PerAgent
from shoal.marl.communication.aggregation import slots
from shoal.marl.communication.channels import Channel, Clear, Delay, Drop, Packet, joined
from shoal.marl.communication.channels import Noise as NoisyChannel
from shoal.marl.networks import Dense, dense
from shoal.marl.players import View
from shoal.registry import Registry
from shoal.runs.settings import parse_assignments, validate


class Said(NamedTuple):
    """What went through a channel in one step, for measures.

    Attributes:
        message: as each agent uttered it in the first round, whether it was sent or not, [width, agents, *batch].
        open: 1 where it was sent, [agents, *batch].
        weight: how much each receiver listened to each sender in the last round, [receivers, senders, *batch];
            () where all count alike.
    """

    message: Float[Array, "width agents *batch"]
    open: Float[Array, "agents *batch"]
    weight: Any = ()


class Spoken(NamedTuple):
    """What the agents want to tell.

    Attributes:
        message: of each agent.
        open: 1 where the message is there to be heard, else 0.
        cost: 1 where it is sent in this step; None where that is the same.
        sent: decisions with a probability; () if none.
        log_p: of ``sent``.
        entropy: of its distributions, in nats.
        memory: of the speakers.
        stats: figures; ``loss`` is added to the objective.
    """

    message: Float[Array, "width agents *batch"]
    open: PerAgent
    cost: PerAgent | None = None
    sent: Any = ()
    log_p: PerAgent | None = None
    entropy: PerAgent | None = None
    memory: Any = ()
    stats: dict[str, Array] | None = None


class Scale(NamedTuple):
    """What a communication has to fit.

    Attributes:
        hidden: length of the features h.
        agents: number of agents.
        observation: length of an observation.
        separate: number of agents with parameters of their own; None to share.
    """

    hidden: int
    agents: int
    observation: int
    separate: int | None = None

    def dense(self, key: PRNGKeyArray, inputs: int, outputs: int, gain: float = 1.0) -> Dense:
        """A layer of every agent."""
        return dense(key, inputs, outputs, gain, self.separate)


class ExchangeSettings(BaseModel):
    """What every family has."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    delay: int = Field(0, ge=0, le=16, description="Steps until a message is heard; 0: before the act of its own step.")
    drop: float = Field(0.0, ge=0, le=1, description="Probability that a message is lost on its way to a receiver.")
    noise: float = Field(0.0, ge=0, description="Deviation of Gaussian noise on every number of a message.")

    def channel(self) -> Channel:
        """The channel that these settings describe."""
        parts: list[Channel] = []
        if self.noise:
            parts.append(NoisyChannel(deviation=self.noise))
        if self.drop:
            parts.append(Drop(chance=self.drop))
        if self.delay:
            parts.append(Delay(steps=self.delay))
        whole: Channel = Clear()
        for part in parts:
            whole = joined(whole, part)
        return whole


class Exchange(Communication):
    """A communication in rounds of messages.

    Attributes:
        hear: from features and what was gathered to the content.
        channel: carries the messages.
        agents: number of agents.
        rounds: messages each way before the act.
    """

    hear: Dense
    channel: Channel
    agents: int = eqx.field(static=True)
    rounds: int = eqx.field(static=True)

    @property
    def width(self) -> int:
        """Length of the content."""
        return self.hear.weight.shape[-2]

    @property
    @abstractmethod
    def size(self) -> int:
        """Length of a message."""

    @property
    def bits(self) -> float:
        """Bits of a message: 32 for each number, unless the family says otherwise."""
        return 32.0 * self.size

    @property
    def chances(self) -> int:
        """Uniform numbers that an agent needs to speak."""
        return 0

    @property
    def rows(self) -> int:
        """Those to speak, then those of the channel in each round."""
        return self.chances + self.rounds * self.channel.rows(self.size, self.agents)

    def recall(self, agents: int, batch: tuple[int, ...]) -> Any:
        """Memory of the speakers before the first step."""
        return ()

    def start(self, agents: int, batch: tuple[int, ...]) -> Any:
        """Memory of the speakers, and of the channel in each round."""
        carried = tuple(self.channel.start(self.size, agents, agents, batch) for _ in range(self.rounds))
        return self.recall(agents, batch), carried

    @abstractmethod
    def speak(self, h: Hidden, view: View, noise: Noise, memory: Any, sent: Any, execute: bool) -> Spoken:
        """Messages of the first round."""

    def again(self, state: Hidden) -> Float[Array, "width agents *batch"]:
        """Messages of a later round: the content of the one before, unless the family makes something else of it."""
        return state

    def gather(self, state: Hidden, packet: Packet, view: View) -> tuple[Float[Array, "gathered agents *batch"], Any]:
        """What every agent gathers (c) from what arrived, and the weights of the senders (or ()).

        All messages, side by side, unless the family joins them otherwise.
        """
        return slots(packet.message), ()

    def draw(self, u: Float[Array, "width *any"]) -> Float[Array, "width *any"]:
        """Messages that mean nothing, from uniform numbers; as this family's look."""
        return 2 * u - 1

    def __call__(
        self, h: Hidden, view: View, noise: Noise, memory: Any, sent: Any = None, execute: bool = False
    ) -> Heard:
        """One step of communication; see ``Communication``."""
        alive = view.alive.astype(h.dtype)
        spoken = self.speak(h, view, noise[: self.chances], memory[0], sent, execute)
        opened = spoken.open * alive
        cost = opened if spoken.cost is None else spoken.cost * alive
        state, message, weight, carried = h, spoken.message, (), []
        at, step = self.chances, self.channel.rows(self.size, self.agents)
        for k in range(self.rounds):
            message = message if k == 0 else self.again(state)
            packet = Packet((message * opened)[:, None], opened[None])
            packet, kept = self.channel(packet, self.agents, noise[at : at + step], memory[1][k], view.fresh, self.draw)
            gathered, weight = self.gather(state, packet, view)
            state = jnp.tanh(self.hear(jnp.concatenate([state, gathered * alive])))
            carried.append(kept)
            at += step
        zero = jnp.zeros_like(alive)
        share = cost.sum() / jnp.maximum(alive.sum(), 1.0)
        figures = {"open": share, "bits": share * self.bits * self.rounds, **(spoken.stats or {})}
        return Heard(
            content=state * alive,
            sent=spoken.sent,
            log_p=zero if spoken.log_p is None else spoken.log_p * alive,
            entropy=zero if spoken.entropy is None else spoken.entropy * alive,
            memory=(spoken.memory, tuple(carried)),
            stats=figures,
            said=Said(spoken.message * alive, cost, weight),
        )


class Words(NamedTuple):
    """A family in the words of the survey: each a tuple of values.

    Attributes:
        who: speaks.
        whom: is spoken to.
        what: is said, and in what form.
        when: it is said.
        why: it is said.
        how: it is encoded, aggregated, carried and learned.
    """

    who: tuple[str, ...]
    whom: tuple[str, ...]
    what: tuple[str, ...]
    when: tuple[str, ...]
    why: tuple[str, ...]
    how: tuple[str, ...]


Build = Callable[[PRNGKeyArray, Scale, Any], Communication | None]


@dataclass(frozen=True)
class Family:
    """A way to communicate.

    Attributes:
        name: as in ``communication="NAME:option=value"``.
        schema: its options.
        build: makes a fresh module.
        words: what it is in the survey's vocabulary.
        title: one line.
    """

    name: str
    schema: type[ExchangeSettings]
    build: Build
    words: Words
    title: str


COMMUNICATIONS: Registry[Family] = Registry("communication", "shoal.marl.communication")

B = TypeVar("B", bound=Build)


def communication(name: str, schema: type[ExchangeSettings], words: Words) -> Callable[[B], B]:
    """Decorator that registers a family: the function makes its module, its docstring's first line is the title."""

    def add(build: B) -> B:
        title = (build.__doc__ or "").strip().splitlines()[0]
        COMMUNICATIONS.register(name)(Family(name, schema, build, words, title))
        return build

    return add


def parse(spec: str) -> tuple[Family, ExchangeSettings]:
    """``"tarmac:rounds=2,key=8"`` as a family and its checked options. Raises UnknownName or InputError."""
    name, _, text = spec.partition(":")
    family = COMMUNICATIONS.get(name)
    given = parse_assignments([part for part in text.split(",") if part], f"communication {name}")
    return family, validate(family.schema, given, f"communication {name}")


def make_communication(spec: str, key: PRNGKeyArray, scale: Scale) -> Communication | None:
    """A fresh communication; None for "none". Raises UnknownName or InputError.

    Args:
        spec: a family's name, with options after a colon if any.
        key: randomness.
        scale: what it has to fit.
    """
    family, options = parse(spec)
    return family.build(key, scale, options)


def listing(**words: str | None) -> list[dict[str, Any]]:
    """The families with their vocabulary, as rows; only those that have the given words.

    Args:
        words: a value for who, whom, what, when, why or how; None for any.

    Raises:
        UnknownName: no such field, or no family has that value.
    """
    found = [family for _, family in COMMUNICATIONS.items()]
    for field, value in words.items():
        if field not in Words._fields:
            raise UnknownName("communication vocabulary", field, Words._fields)
        if value is None:
            continue
        known = {word for _, family in COMMUNICATIONS.items() for word in getattr(family.words, field)}
        if value not in known:
            raise UnknownName(f"--{field}", value, known)
        found = [family for family in found if value in getattr(family.words, field)]
    return [{"name": f.name, **{w: list(v) for w, v in f.words._asdict().items()}, "title": f.title} for f in found]
