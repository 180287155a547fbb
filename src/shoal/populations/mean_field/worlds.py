"""A swarm as a world, twice: as a team of agents, and as one agent that chooses everybody's rule.

``swarm`` is the team: every agent sees its surroundings and acts; all earn the swarm's reward. ``mean-field`` is its
mean-field decision process (Cui et al. 2024, arXiv 2307.06175): the one agent sees features of the swarm's distribution
and chooses a whole kernel rule, by which all agents of the swarm then act on what each sees. A learner for single
agents in ``mean-field`` is Dec-POMFPPO. Both have the same physics, the same starts for the same key, and the same
global state: the features.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

from shoal.populations.mean_field.features import Features
from shoal.populations.mean_field.rules import Kernels, raw_rule
from shoal.populations.model import make_model
from shoal.populations.space import DENSE
from shoal.populations.swarms import Heading, HeadingModel, Swarm, SwarmModel
from shoal.worlds.catalogue import require, world
from shoal.worlds.picture import Picture, Shape, colour_of
from shoal.worlds.world import Timestep, World

TASKS = ("aggregation", "vicsek", "kuramoto")
FORMS = ("kernel", "histogram")
STARTS = ("even", "clumps")
PLACES = {"aggregation": (7, 0), "vicsek": (5, 4), "kuramoto": (5, 4)}
"""Centres of the features along each coordinate, and of the heading."""
CLUMP = 0.4
"""Side of a clump, in sides of the square."""
SHOWN = 200
LATE = 20
"""Steps at the end of an episode over which metrics are averaged."""


class SwarmState(eqx.Module):
    """A swarm in an episode.

    Attributes:
        swarm: the agents.
        late: sum of the rewards of the last LATE steps of the episode so far.
        time: steps since the episode began.
    """

    swarm: Any
    late: Float[Array, "*batch"]
    time: Int[Array, "*batch"]


@functools.cache
def swarm_model(task: str, count: int, radius: float | None, walls: bool) -> SwarmModel[Any, Any]:
    """The model behind a world."""
    settings: dict[str, Any] = {} if radius is None else {"radius": radius}
    model = make_model(task, agents=count, **settings, **({} if walls else {"walls": False}))
    assert isinstance(model, SwarmModel)
    return model


@world("swarm")
@dataclasses.dataclass(frozen=True, eq=True)
class SwarmWorld(World[SwarmState]):
    """A swarm whose agents see their surroundings and are paid together: it gathers, flocks or falls into step.

    Attributes:
        task: aggregation, vicsek or kuramoto, as the population model of that name.
        count: agents.
        horizon: steps of an episode.
        radius: how far an agent sees; empty for the task's own.
        start: "even" (anywhere, looking anywhere), or "clumps": two in opposite corners, looking in opposite ways.
        features: of the distribution: "kernel", or "histogram" with as many cells.
        walls: in aggregation, the square's edges stop agents. Then a wall is a place to meet that nobody has to see.
    """

    random_steps = True

    task: str = "vicsek"
    count: int = 50
    horizon: int = 100
    radius: float | None = None
    start: str = "even"
    features: str = "kernel"
    walls: bool = True

    def __post_init__(self) -> None:
        require(self, "task", self.task, self.task in TASKS, f"Use {', '.join(TASKS)}.")
        require(self, "count", self.count, 1 <= self.count <= DENSE, f"Use 1 to {DENSE} agents.")
        require(self, "horizon", self.horizon, self.horizon >= 1, "Use at least 1.")
        require(self, "start", self.start, self.start in STARTS, f"Use {', '.join(STARTS)}.")
        require(self, "features", self.features, self.features in FORMS, f"Use {', '.join(FORMS)}.")
        bounded = self.walls or self.task == "aggregation"
        require(self, "walls", self.walls, bounded, "Headings live on a torus; leave walls out.")
        _ = self.model  # the model checks the radius

    @property
    def model(self) -> SwarmModel[Any, Any]:
        """The swarm's physics."""
        return swarm_model(self.task, self.count, self.radius, self.walls)

    @property
    def bound(self) -> float:
        """Largest action of the physics, in each dimension; worlds take actions from -1 to 1."""
        model = self.model
        return float(model.settings.turn) if isinstance(model, HeadingModel) else 1.0

    @property
    def dims(self) -> tuple[str, ...]:
        """What a single agent decides."""
        return ("x", "y") if self.model.action else ("turn",)

    @property
    def distribution(self) -> Features:
        """Features of the swarm's distribution."""
        return Features(self.model.square, *PLACES[self.task], histogram=self.features == "histogram")

    @property
    def agents(self) -> tuple[str, ...]:
        """member-0, member-1, ..."""
        return tuple(f"member-{i}" for i in range(self.count))

    @property
    def actions(self) -> tuple[tuple[str, ...], ...]:
        """A stride (x, y) in aggregation, else a turn."""
        return (self.dims,) * self.count

    @property
    def observation_sizes(self) -> tuple[int, ...]:
        """The mean of the neighbours: where they are, or cosine and sine of where they look as seen from here."""
        return (2,) * self.count

    @property
    def continuous(self) -> int:
        """Dimensions of an action."""
        return len(self.actions[0])

    @property
    def action_range(self) -> tuple[tuple[float, float], ...]:
        """In units of the largest action."""
        return ((-1.0, 1.0),) * self.continuous

    def reset(self, key: PRNGKeyArray, batch: tuple[int, ...] = ()) -> tuple[SwarmState, Timestep]:
        """A new swarm."""
        model = self.model
        population, parameters = model.population(0), model.check({})
        keys = jax.random.split(key, batch) if batch else key
        swarm = batched(lambda k: model.begin(k, population, parameters), len(batch))(keys)
        if self.start == "clumps":
            swarm = _in_clumps(swarm, self.model.square.side)
        state = SwarmState(swarm, jnp.zeros(batch), jnp.zeros(batch, jnp.int32))
        return state, self._timestep(state, jnp.zeros(batch))

    def step(
        self, key: PRNGKeyArray, state: SwarmState, actions: Float[Array, "agents dims *batch"]
    ) -> tuple[SwarmState, Timestep]:
        """Everybody acts and moves."""
        return self.advance(key, state, actions)

    def advance(
        self, key: PRNGKeyArray, state: SwarmState, actions: Float[Array, "members dims *batch"]
    ) -> tuple[SwarmState, Timestep]:
        """The swarm after all its members have acted, actions from -1 to 1."""
        model, batch = self.model, state.time.shape
        parameters = model.check({})
        keys = jax.random.split(key, batch) if batch else key
        action = self.bound * jnp.clip(actions, -1.0, 1.0)
        chosen = action if model.action else action[:, 0]
        move = batched(lambda k, s, a: model.transition(k, s, a, parameters), len(batch))
        # Swarms stay when all episodes are over. The branch is there for speed: where the moves end in one, a compiler
        # does not work them out again for every pair of agents that rewards and observations look at (5 times slower).
        swarm = jax.lax.cond(
            (state.time < self.horizon).any(), lambda: move(keys, state.swarm, chosen), lambda: state.swarm
        )
        reward = batched(model.reward, len(batch))(swarm)
        time = state.time + 1
        late = state.late + jnp.where(time > self.horizon - LATE, reward, 0.0)
        moved = SwarmState(swarm, late, time)
        return moved, self._timestep(moved, reward)

    def seen(self, state: SwarmState) -> Float[Array, "members 2 *batch"]:
        """What every member of the swarm sees."""
        seen: Array = batched(self.model.observe, state.time.ndim)(state.swarm)
        return seen

    def global_state(self, state: SwarmState, timestep: Timestep) -> Float[Array, "features *batch"]:
        """The distribution, for critics."""
        return self.features_of(state)

    def features_of(self, state: SwarmState) -> Float[Array, "features *batch"]:
        """Features of the distribution; 1 where the swarm is as dense as if it were spread evenly."""
        features, swarm = self.distribution, state.swarm
        found = features(swarm.x, swarm.y, swarm.heading if isinstance(swarm, Heading) else None)
        return found / features.even.reshape(-1, *(1,) * state.time.ndim)

    def observed(self, state: SwarmState) -> Float[Array, "agents features *batch"]:
        """The observation."""
        return self.seen(state)

    def _timestep(self, state: SwarmState, reward: Float[Array, "*batch"]) -> Timestep:
        batch = state.time.shape
        over = state.time >= self.horizon
        return Timestep(
            obs=self.observed(state),
            reward=jnp.broadcast_to(reward, (self.agent_count, *batch)),
            alive=jnp.ones((self.agent_count, *batch), bool),
            legal=jnp.ones((self.agent_count, self.continuous, *batch), bool),
            terminated=jnp.zeros(batch, bool),
            truncated=over,
            metrics={"late": state.late / min(LATE, self.horizon)},
        )

    def describe(self, state: SwarmState, agent: int) -> str:
        """What a member sees."""
        first, second = (float(v) for v in self.seen(state)[agent])
        where = ("right", "up") if self.model.action else ("cosine", "sine")
        what = "Your neighbours' mean is at" if self.model.action else "Your neighbours' mean heading, from yours, is"
        return f"{what} {where[0]} {first:.3f}, {where[1]} {second:.3f}. Choose {', '.join(self.dims)} from -1 to 1."

    def draw(self, state: SwarmState) -> Picture:
        """The agents in their square, arrows where they look somewhere."""
        swarm, side = state.swarm, self.model.square.side
        x, y = (np.asarray(c)[:SHOWN] for c in (swarm.x, swarm.y))
        caption = f"{self.task}, step {int(state.time)}"
        if not isinstance(swarm, Heading):
            dots = [Shape("circle", float(a), float(b), 0.01 * side, colour_of(0)) for a, b in zip(x, y, strict=True)]
            return Picture((0, 0, side, side), dots, caption)
        heading = np.asarray(swarm.heading)[:SHOWN]
        ends = np.stack([x, y, x + 0.04 * side * np.cos(heading), y + 0.04 * side * np.sin(heading)], -1).tolist()
        arrows = [Shape("arrow", a, b, colour=colour_of(0), to=(c, d)) for a, b, c, d in ends]
        return Picture((0, 0, side, side), arrows, caption)


@world("mean-field")
@dataclasses.dataclass(frozen=True, eq=True)
class MeanFieldWorld(SwarmWorld):
    """One agent that sees the distribution of a swarm and chooses the rule by which all of it acts.

    Its action is any numbers; tanh makes means and spreads of a kernel rule of them (``rules.raw_rule``). All members
    follow the one rule; chance is each member's own.

    Attributes:
        centres: of the rule along each coordinate of what a member sees; 1 for a rule that ignores it.
        rule: "kernel", or "histogram": the nearest centre decides alone.
    """

    centres: int = 5
    rule: str = "kernel"

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self, "rule", self.rule, self.rule in FORMS, f"Use {', '.join(FORMS)}.")
        _ = self.kernels  # they check the centres

    @property
    def kernels(self) -> Kernels:
        """Where rules look."""
        return Kernels(self.centres, table=self.rule == "histogram")

    @property
    def agents(self) -> tuple[str, ...]:
        """The planner."""
        return ("planner",)

    @property
    def actions(self) -> tuple[tuple[str, ...], ...]:
        """Means of all centres, then spreads: mean-turn-0, mean-turn-1, ..., spread-turn-0, ..."""
        each = [f"{dim}-{b}" for b in range(self.kernels.count) for dim in self.dims]
        return (tuple(f"{part}-{name}" for part in ("mean", "spread") for name in each),)

    @property
    def observation_sizes(self) -> tuple[int, ...]:
        """Features of the distribution."""
        return (self.distribution.size,)

    @property
    def action_range(self) -> tuple[tuple[float, float], ...]:
        """Beyond it tanh hardly changes."""
        return ((-2.0, 2.0),) * self.continuous

    def step(
        self, key: PRNGKeyArray, state: SwarmState, actions: Float[Array, "agents dims *batch"]
    ) -> tuple[SwarmState, Timestep]:
        """Every member acts by the rule on what it sees."""
        noise_key, key = jax.random.split(key)
        seen = self.seen(state)
        noise = jax.random.normal(noise_key, (self.count, len(self.dims), *state.time.shape))
        return self.advance(key, state, raw_rule(self.kernels, actions[0]).act(noise, seen))

    def observed(self, state: SwarmState) -> Float[Array, "agents features *batch"]:
        """The distribution, for the planner."""
        return self.features_of(state)[None]

    def describe(self, state: SwarmState, agent: int) -> str:
        """The distribution in numbers."""
        densities = ", ".join(f"{float(v):.2f}" for v in self.features_of(state))
        return f"Density around each centre, 1 if even: {densities}. Choose {self.continuous} numbers of a rule."


def batched(function: Callable[..., Any], axes: int) -> Callable[..., Any]:
    """A function of one swarm over trailing axes of all its arguments."""
    for _ in range(axes):
        function = jax.vmap(function, -1, -1)
    return function


def _in_clumps(swarm: Swarm, side: float) -> Swarm:
    """The first half moved to one corner and looking to the right, the others to the opposite one, looking left."""
    first = jnp.arange(swarm.x.shape[0]) < (swarm.x.shape[0] + 1) // 2
    first = first.reshape(-1, *(1,) * (swarm.x.ndim - 1))
    corner = jnp.where(first, 0.0, (1 - CLUMP) * side)
    x, y = corner + CLUMP * swarm.x, corner + CLUMP * swarm.y
    if not isinstance(swarm, Heading):
        placed: Swarm = eqx.tree_at(lambda s: (s.x, s.y), swarm, (x, y))
        return placed
    heading = swarm.heading / 8 + jnp.where(first, 0.0, jnp.pi)
    heading = jnp.mod(heading + jnp.pi, 2 * jnp.pi) - jnp.pi
    turned: Swarm = eqx.tree_at(lambda s: (s.x, s.y, s.heading), swarm, (x, y, heading))
    return turned
