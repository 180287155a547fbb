"""Switching control, exactly: tabular games, and by value iteration the best states in which to call for help.

With an independent policy d and a central policy c, both fixed, the value of a state under the best switch solves
v = max(M v, D v), where M v(s) = R(s, c(s)) - fee + gamma E v(s') and D v(s) = R(s, d(s)) + gamma E v(s'). The operator
is a contraction, and the best switch calls where M v >= D v (MANSA, arXiv 2302.05910).
"""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray
from numpy.typing import NDArray

from shoal.errors import InputError
from shoal.worlds import Timestep, World
from shoal.worlds.catalogue import require
from shoal.worlds.encoding import legal_line, one_hot
from shoal.worlds.picture import Picture, Shape

LONGEST = 100_000
"""Sweeps of value iteration."""


class TabularState(eqx.Module):
    """Where the game is.

    Attributes:
        place: number of the state.
        time: steps since the episode began.
    """

    place: Int[Array, "*batch"]
    time: Int[Array, "*batch"]


@dataclasses.dataclass(frozen=True, eq=True)
class TabularGame(World[TabularState]):
    """A game whose rewards and chances are drawn once, from ``layout``; all get the same reward and see the state.

    Rewards of joint actions are uniform in [0, 1); after each joint action ``branches`` states may follow, with random
    chances. Episodes begin anywhere and have no end but the horizon, which truncates them.

    Attributes:
        count: agents.
        places: states.
        choices: actions of each agent.
        branches: states that may follow a state and a joint action.
        layout: seed of the game.
        horizon: steps of an episode.
    """

    random_steps = True
    name = "tabular-game"
    count: int = 2
    places: int = 10
    choices: int = 3
    branches: int = 3
    layout: int = 0
    horizon: int = 20

    def __post_init__(self) -> None:
        for field in ("count", "places", "choices", "horizon"):
            require(self, field, getattr(self, field), getattr(self, field) >= 1, "Use at least 1.")
        require(self, "branches", self.branches, 1 <= self.branches <= self.places, "Use 1 to the number of places.")

    @property
    def agents(self) -> tuple[str, ...]:
        """agent-0, agent-1, ..."""
        return tuple(f"agent-{i}" for i in range(self.count))

    @property
    def actions(self) -> tuple[tuple[str, ...], ...]:
        """a0, a1, ... for each."""
        return (tuple(f"a{k}" for k in range(self.choices)),) * self.count

    @property
    def observation_sizes(self) -> tuple[int, ...]:
        """The state, one-hot."""
        return (self.places,) * self.count

    def rewards(self) -> NDArray[np.float64]:
        """Reward of each state and joint action [places, joint]; the last agent's action counts fastest."""
        return np.random.default_rng([self.layout, 0]).random((self.places, self.choices**self.count))

    def chances(self) -> NDArray[np.float64]:
        """Probability of each next state [places, joint, places]."""
        rng, joint = np.random.default_rng([self.layout, 1]), self.choices**self.count
        follow = np.argsort(rng.random((self.places, joint, self.places)), axis=-1)[..., : self.branches]
        weight = rng.dirichlet(np.ones(self.branches), (self.places, joint))
        chances = np.zeros((self.places, joint, self.places))
        np.put_along_axis(chances, follow, weight, axis=-1)
        return chances

    def joint(self, actions: Any) -> Any:
        """Number of a joint action [agents, ...]."""
        number = actions[0]
        for own in actions[1:]:
            number = number * self.choices + own
        return number

    def at(self, place: Int[Array, "*batch"]) -> tuple[TabularState, Timestep]:
        """Episodes that begin in these states."""
        state = TabularState(place, jnp.zeros(place.shape, jnp.int32))
        return state, self._timestep(state, jnp.zeros(place.shape))

    def reset(self, key: PRNGKeyArray, batch: tuple[int, ...] = ()) -> tuple[TabularState, Timestep]:
        """Any state."""
        return self.at(jax.random.randint(key, batch, 0, self.places))

    def step(
        self, key: PRNGKeyArray, state: TabularState, actions: Int[Array, "agents *batch"]
    ) -> tuple[TabularState, Timestep]:
        """Look up the reward, draw the next state."""
        cell = state.place * self.choices**self.count + self.joint(actions)
        rewards = jnp.asarray(self.rewards().reshape(-1), jnp.float32)
        bounds = jnp.asarray(self.chances().cumsum(-1).reshape(-1, self.places).T[:-1], jnp.float32)
        drawn = jax.random.uniform(key, cell.shape)
        place = (bounds[:, cell] <= drawn).sum(0).astype(jnp.int32)
        state = TabularState(place, state.time + 1)
        return state, self._timestep(state, rewards[cell])

    def describe(self, state: TabularState, agent: int) -> str:
        """The number of the state."""
        where = f"You are {self.agents[agent]}, in state {int(state.place)} of {self.places}."
        return where + "\n" + legal_line(self.actions[agent], [True] * self.choices)

    def draw(self, state: TabularState) -> Picture:
        """States in a row, the present one in blue."""
        here = int(state.place)
        colours = ("#0072B2" if i == here else "#e8e8e8" for i in range(self.places))
        shapes = [Shape("circle", float(i), 0.0, 0.4, colour) for i, colour in enumerate(colours)]
        return Picture((-0.6, -0.6, self.places - 0.4, 0.6), shapes, f"step {int(state.time)}")

    def _timestep(self, state: TabularState, reward: Float[Array, "*batch"]) -> Timestep:
        n, batch = self.count, state.time.shape
        seen = one_hot(state.place[None], self.places)
        return Timestep(
            obs=jnp.broadcast_to(seen, (n, self.places, *batch)),
            reward=jnp.broadcast_to(reward, (n, *batch)),
            alive=jnp.ones((n, *batch), bool),
            legal=jnp.ones((n, self.choices, *batch), bool),
            terminated=jnp.zeros(batch, bool),
            truncated=state.time >= self.horizon,
            metrics={},
        )


class BestSwitch(NamedTuple):
    """The solution of v = max(M v, D v).

    Attributes:
        value: of each state [places].
        calls: M v >= D v [places].
        gain: M v - D v [places]; how sure the decision is.
    """

    value: NDArray[np.float64]
    calls: NDArray[np.bool_]
    gain: NDArray[np.float64]


def best_switch(
    game: TabularGame,
    independent: NDArray[np.integer[Any]],
    central: NDArray[np.integer[Any]],
    fee: float,
    discount: float,
    tolerance: float = 1e-10,
) -> BestSwitch:
    """Value iteration over the two-action problem of calling or not.

    Args:
        game: the game.
        independent: joint action of the independent policy in each state [places].
        central: of the central policy [places].
        fee: of a call.
        discount: gamma, below 1.
        tolerance: change of the value at which iteration stops.

    Raises:
        InputError: a fee below 0, a discount that does not contract, or policies of another game.
    """
    if not fee >= 0:
        raise InputError("fee", fee, "Use 0 or more.")
    if not 0 <= discount < 1:
        raise InputError("discount", discount, "Use a number from 0 up to, but not including, 1.")
    rewards, chances, states = game.rewards(), game.chances(), np.arange(game.places)
    for field, policy in (("independent", independent), ("central", central)):
        if policy.shape != states.shape or policy.min() < 0 or policy.max() >= rewards.shape[1]:
            mend = f"Give a joint action below {rewards.shape[1]} for each of the {game.places} states."
            raise InputError(field, policy.tolist(), mend)
    value = np.zeros(game.places)
    for _ in range(LONGEST):
        ahead = discount * chances @ value
        call = rewards[states, central] - fee + ahead[states, central]
        stay = rewards[states, independent] + ahead[states, independent]
        new = np.maximum(call, stay)
        if np.abs(new - value).max() < tolerance:
            break
        value = new
    return BestSwitch(new, call >= stay, call - stay)
