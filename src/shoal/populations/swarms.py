"""Swarms: agents in a square who see only their surroundings and act by one local rule.

A swarm model is three pure functions and a rule: ``observe(state)`` is what each agent sees [agents, 2],
``rule(key, observation, parameters)`` is what each does, ``transition(key, state, action, parameters)`` what comes of
it, and ``reward(state)`` says how well the swarm does as a whole. The rule is one of the classic ones by name, or any
function of that form: ``model.following(rule)``. The tasks and their constants are those of decentralised partially
observable mean-field control (Cui et al. 2024, arXiv 2307.06175) as far as they are known.
"""

from __future__ import annotations

import copy
import dataclasses
import math
from abc import abstractmethod
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Self, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray
from numpy.typing import NDArray
from pydantic import Field

from shoal.errors import InputError
from shoal.populations.model import Facts, Parameter, Parameters, PopulationModel, PopulationSettings, Substep
from shoal.populations.space import DENSE, Square, neighbour_sums

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SIDE = 4.0
TURN = 0.4
SHOWN = 200
"""Agents in a picture."""
WITNESSES = 100
"""Agents whose neighbours are counted for the report."""

Observation = Float[Array, "agents 2"]
Action = Float[Array, "agents *dims"]
Rule = Callable[[PRNGKeyArray, Observation, Parameters], Action]


class SwarmSettings(PopulationSettings):
    """What every swarm has."""

    agents: int = Field(200, ge=1, le=20_000_000, description="Number of agents.")
    side: float | None = Field(
        None, gt=0, lt=1e6, description="Side of the square; by default 4, beyond 2,000 agents as for that density."
    )
    radius: float = Field(1.0, ge=0, lt=1e6, description="How far an agent sees.")
    rule: str = Field(description="What everybody does.")

    @property
    def length(self) -> float:
        """Side of the square in use."""
        return self.side or SIDE * math.sqrt(max(1.0, self.agents / DENSE))


class Swarm(eqx.Module):
    """Where the agents are.

    Attributes:
        x: first coordinate, from 0 to the side.
        y: second coordinate.
    """

    x: Float[Array, " agents"]
    y: Float[Array, " agents"]


C = TypeVar("C", bound=SwarmSettings)
S = TypeVar("S", bound=Swarm)


class SwarmModel(PopulationModel[C, S]):
    """A swarm and the rule that it follows.

    Attributes:
        rules: the classic ones, by name; the settings' ``rule`` is one of them.
        torus: whether opposite edges of the square meet.
        action: shape of one agent's action.
        rule: in use.
    """

    rules: ClassVar[Mapping[str, Rule]]
    torus: ClassVar[bool]
    action: ClassVar[tuple[int, ...]]
    flows = frozenset()
    weekly = False
    rule: Rule

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.rule = self.rules[self.settings.rule]

    def following(self, rule: Rule) -> Self:
        """The same swarm with a rule from outside, in place of the settings': a pure function of what Rule says."""
        changed = copy.copy(self)
        changed.rule = rule
        return changed

    @property
    def square(self) -> Square:
        """Where it lives."""
        return Square(self.settings.length, self.torus)

    @abstractmethod
    def observe(self, state: S) -> Observation:
        """What every agent sees: two numbers; zeros where nobody is near."""

    @abstractmethod
    def transition(self, key: PRNGKeyArray, state: S, action: Action, parameters: Parameters) -> S:
        """The swarm after every agent has acted; actions are brought into their range first."""

    @abstractmethod
    def reward(self, state: S) -> Float[Array, ""]:
        """How well the swarm does."""

    def substeps(self) -> tuple[Substep[S], ...]:
        """One: see, act, move."""
        return (Motion(self),)

    def neighbours(self, state: S) -> Float[Array, ""]:
        """Mean number of neighbours, of the first WITNESSES agents."""
        apart = self.square.apart
        dx, dy = (apart(c[:WITNESSES, None] - c[None]) for c in (state.x, state.y))
        near = dx * dx + dy * dy < self.settings.radius**2
        # Nobody is their own neighbour.
        return jnp.maximum(near.sum(1) - 1, 0).mean(dtype=jnp.float32)

    @property
    def bytes_per_agent(self) -> float:
        """The sorted copies and a step's temporaries; all pairs in small swarms."""
        return 300 + (8 * self.settings.agents if self.settings.agents <= DENSE else 0)

    def __eq__(self, other: object) -> bool:
        return super().__eq__(other) and isinstance(other, SwarmModel) and self.rule == other.rule

    def __hash__(self) -> int:
        return hash((super().__hash__(), self.rule))


class Motion(Substep[S]):
    """See, act by the rule, move."""

    model: SwarmModel[Any, S] = eqx.field(static=True)

    def observe(self, state: S, parameters: Parameters) -> Observation:
        """The surroundings."""
        return self.model.observe(state)

    def decide(self, key: PRNGKeyArray, observation: Observation, parameters: Parameters) -> Action:
        """By the rule. Raises InputError if its actions have another shape than the model's."""
        action, wanted = self.model.rule(key, observation, parameters), (observation.shape[0], *self.model.action)
        if action.shape != wanted:
            raise InputError("actions of the rule", action.shape, f"Return an array of the shape {wanted}.")
        return action

    def transition(self, key: PRNGKeyArray, state: S, decision: Action, parameters: Parameters) -> Mapping[str, Any]:
        """As the model says."""
        moved = self.model.transition(key, state, decision, parameters)
        return {field.name: getattr(moved, field.name) for field in dataclasses.fields(moved)}


class Heading(Swarm):
    """Where the agents are and where they look.

    Attributes:
        heading: angle, from -pi to pi.
        frequency: own turn of each in a step.
    """

    heading: Float[Array, " agents"]
    frequency: Float[Array, " agents"]


class HeadingSettings(SwarmSettings):
    """What every swarm with headings has."""

    turn: float = Field(TURN, ge=0, le=3.1416, description="Widest turn in a step, in radians.")


H = TypeVar("H", bound=HeadingSettings)


class HeadingModel(SwarmModel[H, Heading]):
    """A swarm on a torus whose agents see the mean heading around them and turn.

    An agent sees the mean of exp(i (heading_j - heading_i)) over its neighbours, as real and imaginary part. The
    reward is the order, the length of the mean of exp(i heading): 1 if all agree, about 0.9 / sqrt(agents) by chance.
    """

    torus = True
    action = ()
    parameters: ClassVar = {
        "noise": Parameter(0.05, 0.0, 10.0, "deviation of the headings' noise in a step", (0.0, 1.0)),
    }

    def observe(self, state: Heading) -> Observation:
        """Mean heading of the neighbours, seen from one's own."""
        c, s = jnp.cos(state.heading), jnp.sin(state.heading)
        values = jnp.stack([c, s, jnp.ones_like(c)])
        real, imaginary, number = neighbour_sums(self.square, self.settings.radius, state.x, state.y, values)
        number = jnp.maximum(number, 1.0)
        return jnp.stack([(real * c + imaginary * s) / number, (imaginary * c - real * s) / number], axis=-1)

    def reward(self, state: Heading) -> Float[Array, ""]:
        """The order."""
        # The tiny number keeps the slope finite where the headings cancel.
        return jnp.sqrt(jnp.cos(state.heading).mean() ** 2 + jnp.sin(state.heading).mean() ** 2 + 1e-16)

    def turned(self, key: PRNGKeyArray, state: Heading, action: Action, parameters: Parameters) -> Array:
        """Headings after the turn, at most ``turn``, the agents' own frequency, and noise."""
        most = self.settings.turn
        noise = parameters["noise"] * jax.random.normal(key, state.heading.shape)
        angle = state.heading + jnp.clip(action, -most, most) + state.frequency + noise
        return jnp.mod(angle + jnp.pi, 2 * jnp.pi) - jnp.pi

    def population(self, seed: int) -> Heading:
        """Agents anywhere, looking anywhere."""
        rng = np.random.default_rng(seed)
        x, y, heading = (jnp.asarray(rng.random(self.settings.agents), jnp.float32) for _ in range(3))
        side = self.square.side
        return Heading(side * x, side * y, jnp.pi * (2 * heading - 1), jnp.zeros_like(x))

    def begin(self, key: PRNGKeyArray, population: Heading, parameters: Parameters) -> Heading:
        """Elsewhere and looking elsewhere in every run."""
        x, y, heading = jax.random.uniform(key, (3, self.settings.agents))
        side = self.square.side
        return Heading(side * x, side * y, jnp.pi * (2 * heading - 1), population.frequency)

    def report(self, before: Heading, after: Heading) -> Facts:
        """The order, the mean number of neighbours, and some agents for the picture."""
        shown = jnp.stack([c[:SHOWN] for c in (after.x, after.y, after.heading)], axis=-1)
        return {"order": self.reward(after), "neighbours": self.neighbours(after), "shown": shown}

    def figures(self, series: Mapping[str, NDArray[np.float64]]) -> Mapping[str, Figure]:
        """Arrows of some agents, at four times of the first run."""
        from shoal.populations.pictures import swarm

        return {"swarm": swarm(series["shown"][0], self.square.side)}


def random_turn(key: PRNGKeyArray, observation: Observation, parameters: Parameters) -> Action:
    """Any turn that is allowed by default."""
    return jax.random.uniform(key, observation.shape[:1], minval=-TURN, maxval=TURN)


def no_turn(key: PRNGKeyArray, observation: Observation, parameters: Parameters) -> Action:
    """Straight on."""
    return jnp.zeros(observation.shape[:1])


def turn_to_mean(key: PRNGKeyArray, observation: Observation, parameters: Parameters) -> Action:
    """To the mean heading of the neighbours."""
    real, imaginary = observation[..., 0], observation[..., 1]
    # Where nobody is seen there is no angle; a safe argument keeps the slope finite.
    alone = (real == 0) & (imaginary == 0)
    return jnp.where(alone, 0.0, jnp.arctan2(imaginary, jnp.where(alone, 1.0, real)))
