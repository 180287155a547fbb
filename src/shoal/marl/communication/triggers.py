"""Event triggers: send only what is news (ETC, and with ``reuse=False`` VBC, arXiv 1909.02682).

"event": a message goes out when it differs from the last one sent by more than tau (root mean square over its numbers,
each in -1..1); receivers go on with the last they heard. With ``reuse=False`` it goes out when it is itself larger than
tau, and silence is 0: small messages are not worth sending. tau is given; a ``price`` teaches to stay under it.

The trigger is a step, so its gradient is that of a sigmoid around tau (straight-through): a receiver's loss can open
it. Through a message that is remembered no gradient passes beyond a chunk of the rollout.
"""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import PRNGKeyArray
from pydantic import Field

from shoal.marl.actors import Communication, Hidden, Noise
from shoal.marl.communication.exchange import Exchange, ExchangeSettings, Scale, Spoken, Words, communication
from shoal.marl.networks import Dense
from shoal.marl.players import View

LOUD = 3.0
"""Gain of the first messages: they begin well above the threshold, or they fall silent before anybody listens."""


class EventSettings(ExchangeSettings):
    """Options of event triggers."""

    width: int = Field(8, ge=1, le=1024, description="Length of a message.")
    tau: float = Field(0.25, ge=0, le=2, description="Change (or size) from which a message is sent.")
    price: float = Field(0.0, ge=0, description="Cost of a message in the objective, in units of advantage.")
    reuse: bool = Field(True, description="Receivers go on with the last message; otherwise silence is 0.")
    slope: float = Field(0.2, gt=0, description="Width of the sigmoid whose gradient stands for the trigger's.")


class Event(Exchange):
    """Messages behind a trigger.

    Attributes:
        mouth: from features to the message.
        options: tau, price, reuse and slope.
    """

    mouth: Dense
    options: EventSettings = eqx.field(static=True)

    def __init__(self, hear: Dense, mouth: Dense, scale: Scale, options: EventSettings) -> None:
        self.hear, self.channel, self.agents, self.rounds = hear, options.channel(), scale.agents, 1
        self.mouth, self.options = mouth, options

    @property
    def size(self) -> int:
        """Length of a message."""
        return self.mouth.weight.shape[-2]

    def recall(self, agents: int, batch: tuple[int, ...]) -> Any:
        """The last message sent; none yet."""
        return jnp.zeros((self.size, agents, *batch)) if self.options.reuse else ()

    def speak(self, h: Hidden, view: View, noise: Noise, memory: Any, sent: Any, execute: bool) -> Spoken:
        """The message if it is news, else the last one, or nothing."""
        o = self.options
        message = jnp.tanh(self.mouth(h))
        last = jnp.zeros_like(message)
        if o.reuse:
            # A new episode, or an agent that was not there, has sent nothing yet.
            last = jnp.where(view.fresh | ~view.alive, 0.0, memory)
        news = jnp.sqrt(jnp.square(message - last).mean(0) + 1e-12)
        soft = jax.nn.sigmoid((news - o.tau) / o.slope)
        go = (news > o.tau).astype(h.dtype) + (soft - jax.lax.stop_gradient(soft))
        alive = view.alive.astype(h.dtype)
        stats = {}
        if o.price:
            stats["loss"] = o.price * (soft * alive).sum() / jnp.maximum(alive.sum(), 1.0)
        if not o.reuse:
            return Spoken(message, go, stats=stats)
        current = go * message + (1 - go) * last
        return Spoken(current, jnp.ones(h.shape[1:]), go, memory=jax.lax.stop_gradient(current), stats=stats)


@communication(
    "event",
    EventSettings,
    Words(
        ("learned senders",),
        ("broadcast",),
        ("hidden state", "continuous vector"),
        ("event-triggered",),
        ("partial observability", "coordinate actions"),
        ("MLP encoder", "concatenation", "lossless", "backprop through channel"),
    ),
)
def event(key: PRNGKeyArray, scale: Scale, options: EventSettings) -> Communication | None:
    """Event trigger: a message is sent when it differs enough from the last one."""
    ear, mouth = jax.random.split(key)
    d = scale.hidden
    hear = scale.dense(ear, d + options.width * (scale.agents - 1), d)
    return Event(hear, scale.dense(mouth, d, options.width, LOUD), scale, options)
