"""Diagnostics of talking: to whom (addressee), when (needed-message), and in what words (referential).

They are the small worlds that the survey "The Five Ws of Multi-Agent Communication" (arXiv 2602.11583) calls for; their
rules are ours, since the survey runs nothing. Messages themselves are the learner's: where a learner delivers a message
only in the next step, ``talk`` or ``delay`` gives it the steps to do so.
"""

from __future__ import annotations

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray
from numpy.typing import NDArray

from shoal.worlds.catalogue import require, world
from shoal.worlds.encoding import first_only, identities, legal_line, one_hot, pick
from shoal.worlds.picture import Picture, Shape, colour_of
from shoal.worlds.sampling import distinct, successors
from shoal.worlds.world import Timestep, World, pad_features


class AddresseeState(eqx.Module):
    """Who holds what for whom.

    Attributes:
        symbol: what each agent knows.
        to: the agent to whom that matters.
        time: steps since the episode began.
    """

    symbol: Int[Array, "agents *batch"]
    to: Int[Array, "agents *batch"]
    time: Int[Array, "*batch"]


@world("addressee")
@dataclasses.dataclass(frozen=True, eq=True)
class Addressee(World[AddresseeState]):
    """Each agent's symbol matters to one other agent, drawn at random, which must name it.

    Everybody is addressed by exactly one sender. Guessing is right in 1 of ``symbols`` cases.

    Attributes:
        count: agents.
        symbols: different symbols; one action each.
        knows: who knows the pair, "sender" (sees its addressee) or "receiver" (sees its sender).
        shared: all get the share of right answers; otherwise 1 or 0 for the own answer.
        talk: steps before the one that counts.
    """

    count: int = 6
    symbols: int = 4
    knows: str = "sender"
    shared: bool = True
    talk: int = 0

    def __post_init__(self) -> None:
        require(self, "count", self.count, self.count >= 1, "Use at least 1 agent.")
        require(self, "symbols", self.symbols, self.symbols >= 2, "Use at least 2 symbols.")
        require(self, "knows", self.knows, self.knows in ("sender", "receiver"), "Use sender or receiver.")
        require(self, "talk", self.talk, self.talk >= 0, "Use 0 or more steps.")
        object.__setattr__(self, "horizon", self.talk + 1)

    @property
    def agents(self) -> tuple[str, ...]:
        """agent-0, agent-1, ..."""
        return tuple(f"agent-{i}" for i in range(self.count))

    @property
    def actions(self) -> tuple[tuple[str, ...], ...]:
        """One for each symbol."""
        return (_symbols(self.symbols),) * self.count

    @property
    def observation_sizes(self) -> tuple[int, ...]:
        """Own number, own symbol, partner known (addressee or sender), and 1 in the step that counts."""
        return (2 * self.count + self.symbols + 1,) * self.count

    def reset(self, key: PRNGKeyArray, batch: tuple[int, ...] = ()) -> tuple[AddresseeState, Timestep]:
        """Draw symbols, and a round through all agents: each sends to the next."""
        symbol_key, tour_key = jax.random.split(key)
        symbol = jax.random.randint(symbol_key, (self.count, *batch), 0, self.symbols)
        state = AddresseeState(symbol, successors(tour_key, self.count, batch), jnp.zeros(batch, jnp.int32))
        return state, self._timestep(state, jnp.zeros((self.count, *batch)))

    def step(
        self, key: PRNGKeyArray, state: AddresseeState, actions: Int[Array, "agents *batch"]
    ) -> tuple[AddresseeState, Timestep]:
        """Name the symbol; only the last step counts."""
        heard = pick(state.symbol, self.sender(state))
        right = ((actions == heard) & (state.time == self.talk)).astype(jnp.float32)
        state = dataclasses.replace(state, time=state.time + 1)
        return state, self._timestep(state, right)

    def sender(self, state: AddresseeState) -> Int[Array, "agents *batch"]:
        """The truth: whose symbol each agent must name."""
        numbers = jnp.arange(self.count)
        sends = one_hot(state.to, self.count)
        return (sends * numbers.reshape(self.count, *(1,) * (sends.ndim - 1))).sum(0).astype(jnp.int32)

    def describe(self, state: AddresseeState, agent: int) -> str:
        """Own symbol and the partner that is known."""
        acting = int(state.time) == self.talk
        lines = [f"You are {self.agents[agent]}. Your symbol is {_symbols(self.symbols)[int(state.symbol[agent])]}."]
        if self.knows == "sender":
            lines.append(f"It matters to {self.agents[int(state.to[agent])]}; another agent's symbol matters to you.")
        else:
            lines.append(f"Name the symbol of {self.agents[int(self.sender(state)[agent])]}.")
        lines.append("Act now." if acting else "This step is for talking.")
        return "\n".join([*lines, legal_line(self.actions[agent], (np.arange(self.symbols) == 0) | acting)])

    def draw(self, state: AddresseeState) -> Picture:
        """Agents on a circle with their symbols, arrows to whom they matter."""
        places = _circle(self.count)
        shapes: list[Shape] = []
        for i, (x, y) in enumerate(places):
            tx, ty = places[int(state.to[i])]
            shapes.append(Shape("arrow", x, y, colour=colour_of(i), to=(0.85 * tx + 0.15 * x, 0.85 * ty + 0.15 * y)))
        for i, (x, y) in enumerate(places):
            shapes.append(Shape("circle", x, y, 0.14, colour_of(i)))
            shapes.append(Shape("text", x, y, 0.15, "#ffffff", _symbols(self.symbols)[int(state.symbol[i])]))
        return Picture((-1.3, -1.3, 1.3, 1.3), shapes, f"step {int(state.time)}")

    def _timestep(self, state: AddresseeState, right: Float[Array, "agents *batch"]) -> Timestep:
        n, batch = self.count, state.time.shape
        acting = jnp.broadcast_to(state.time == self.talk, (n, *batch))
        partner = state.to if self.knows == "sender" else self.sender(state)
        parts = [identities(n, batch), one_hot(state.symbol, self.symbols), one_hot(partner, n)]
        share = right.mean(0)
        return Timestep(
            obs=jnp.concatenate([*parts, acting[:, None].astype(jnp.float32)], 1),
            reward=jnp.broadcast_to(share, (n, *batch)) if self.shared else right,
            alive=jnp.ones((n, *batch), bool),
            legal=first_only(acting, self.symbols),
            terminated=state.time > self.talk,
            truncated=jnp.zeros(batch, bool),
            metrics={"right": share},
        )


class NeededState(eqx.Module):
    """Everything that will happen in the episode.

    Attributes:
        needed: in which steps each agent's symbol matters.
        symbol: each agent's symbol in each step.
        time: steps since the episode began.
    """

    needed: Bool[Array, "agents steps *batch"]
    symbol: Int[Array, "agents steps *batch"]
    time: Int[Array, "*batch"]


@world("needed-message")
@dataclasses.dataclass(frozen=True, eq=True)
class NeededMessage(World[NeededState]):
    """In each step an agent's private symbol matters to its neighbour with probability q; else the neighbour must rest.

    Agent i listens to agent i - 1 (the first to the last). An agent sees whether its symbol matters, its neighbour does
    not. Silence can say one thing, best the most frequent one: the least share of steps with a message at full return
    is min(q, 1 - q / symbols), which is q up to q = symbols / (symbols + 1).

    Attributes:
        count: agents; one alone listens to itself.
        q: probability that a symbol matters.
        symbols: different symbols.
        delay: an action is judged by the facts of this many steps ago, for channels that deliver in the next step;
            the first ``delay`` steps pay 0.
        shared: all get the share of right answers; otherwise 1 or 0 for the own answer.
        horizon: steps of an episode.
    """

    count: int = 2
    q: float = 0.5
    symbols: int = 2
    delay: int = 0
    shared: bool = False
    horizon: int = 10

    def __post_init__(self) -> None:
        require(self, "count", self.count, self.count >= 1, "Use at least 1 agent.")
        require(self, "q", self.q, 0 <= self.q <= 1, "Use a probability from 0 to 1.")
        require(self, "symbols", self.symbols, self.symbols >= 1, "Use at least 1 symbol.")
        require(self, "horizon", self.horizon, self.horizon >= 1, "Use at least 1 step.")
        require(self, "delay", self.delay, 0 <= self.delay < self.horizon, "Use 0 to horizon - 1 steps.")

    @property
    def agents(self) -> tuple[str, ...]:
        """agent-0, agent-1, ..."""
        return tuple(f"agent-{i}" for i in range(self.count))

    @property
    def actions(self) -> tuple[tuple[str, ...], ...]:
        """Rest, or name a symbol."""
        return (("rest", *_symbols(self.symbols)),) * self.count

    @property
    def observation_sizes(self) -> tuple[int, ...]:
        """Own number, whether the own symbol matters, the own symbol."""
        return (self.count + 1 + self.symbols,) * self.count

    @property
    def least_talking(self) -> float:
        """The least share of steps with a message at full return."""
        return min(self.q, 1 - self.q / self.symbols)

    def reset(self, key: PRNGKeyArray, batch: tuple[int, ...] = ()) -> tuple[NeededState, Timestep]:
        """Draw the facts of all steps."""
        need_key, symbol_key = jax.random.split(key)
        shape = (self.count, self.horizon + 1, *batch)
        needed = jax.random.uniform(need_key, shape) < self.q
        symbol = jax.random.randint(symbol_key, shape, 0, self.symbols)
        state = NeededState(needed, symbol, jnp.zeros(batch, jnp.int32))
        return state, self._timestep(state, jnp.zeros((self.count, *batch)))

    def step(
        self, key: PRNGKeyArray, state: NeededState, actions: Int[Array, "agents *batch"]
    ) -> tuple[NeededState, Timestep]:
        """Judge the answers by the neighbours' facts."""
        needed, symbol = self._facts(state, state.time - self.delay)
        asked = jnp.roll(jnp.where(needed, symbol + 1, 0), 1, 0)
        right = ((actions == asked) & (state.time >= self.delay)).astype(jnp.float32)
        state = dataclasses.replace(state, time=state.time + 1)
        return state, self._timestep(state, right)

    def describe(self, state: NeededState, agent: int) -> str:
        """The own facts of this step."""
        needed, symbol = self._facts(state, state.time)
        name, word = _symbols(self.symbols)[int(symbol[agent])], "matters" if bool(needed[agent]) else "does not matter"
        neighbour = self.agents[(agent - 1) % self.count]
        return "\n".join(
            [
                f"You are {self.agents[agent]}. Your symbol is {name}; it {word} now.",
                f"Name the symbol of {neighbour} if it matters, rest if not.",
                legal_line(self.actions[agent], [True] * self.action_count),
            ]
        )

    def draw(self, state: NeededState) -> Picture:
        """Agents on a circle; a symbol that matters is drawn with an arrow to the listener."""
        needed, symbol = self._facts(state, state.time)
        places = _circle(self.count)
        shapes: list[Shape] = []
        for i, (x, y) in enumerate(places):
            if bool(needed[i]):
                shapes.append(Shape("arrow", x, y, colour=colour_of(i), to=places[(i + 1) % self.count]))
        for i, (x, y) in enumerate(places):
            shapes.append(Shape("circle", x, y, 0.15, colour_of(i), opacity=1.0 if bool(needed[i]) else 0.3))
            shapes.append(Shape("text", x, y, 0.15, "#000000", _symbols(self.symbols)[int(symbol[i])]))
        return Picture((-1.3, -1.3, 1.3, 1.3), shapes, f"step {int(state.time)}")

    def _facts(
        self, state: NeededState, when: Int[Array, "*batch"]
    ) -> tuple[Bool[Array, "agents *batch"], Int[Array, "agents *batch"]]:
        steps = jnp.arange(self.horizon + 1).reshape(-1, *(1,) * when.ndim)
        now = (steps == jnp.maximum(when, 0))[None]
        return (state.needed & now).any(1), jnp.where(now, state.symbol, 0).sum(1)

    def _timestep(self, state: NeededState, right: Float[Array, "agents *batch"]) -> Timestep:
        n, batch = self.count, state.time.shape
        needed, symbol = self._facts(state, state.time)
        parts = [identities(n, batch), needed[:, None].astype(jnp.float32), one_hot(symbol, self.symbols)]
        share = right.mean(0)
        return Timestep(
            obs=jnp.concatenate(parts, 1),
            reward=jnp.broadcast_to(share, (n, *batch)) if self.shared else right,
            alive=jnp.ones((n, *batch), bool),
            legal=jnp.ones((n, self.action_count, *batch), bool),
            terminated=jnp.zeros(batch, bool),
            truncated=state.time >= self.horizon,
            metrics={"right": share, "needed": needed.mean(0)},
        )


class ReferentialState(eqx.Module):
    """Objects on the table.

    Attributes:
        objects: number of each candidate among all objects.
        target: place of the target among the candidates.
        time: steps since the episode began.
    """

    objects: Int[Array, "candidates *batch"]
    target: Int[Array, "*batch"]
    time: Int[Array, "*batch"]


@world("referential")
@dataclasses.dataclass(frozen=True, eq=True)
class Referential(World[ReferentialState]):
    """A speaker sees one object, a listener sees several and must point to it (Lewis 1969's signalling game).

    Objects differ in ``attributes`` attributes of ``values`` values each, so that messages can be compositional. The
    candidates are different objects in random order; both get 1 if the listener points to the target.

    Attributes:
        attributes: of an object.
        values: of an attribute.
        candidates: objects that the listener sees.
        talk: steps before the one that counts.
    """

    attributes: int = 2
    values: int = 5
    candidates: int = 4
    talk: int = 0

    def __post_init__(self) -> None:
        require(self, "attributes", self.attributes, self.attributes >= 1, "Use at least 1 attribute.")
        require(self, "values", self.values, self.values >= 1, "Use at least 1 value.")
        number = self.values**self.attributes
        fits = 1 <= self.candidates <= number
        require(self, "candidates", self.candidates, fits, f"Use 1 to values ** attributes = {number} objects.")
        require(self, "talk", self.talk, self.talk >= 0, "Use 0 or more steps.")
        object.__setattr__(self, "horizon", self.talk + 1)

    @property
    def agents(self) -> tuple[str, ...]:
        """Speaker, listener."""
        return ("speaker", "listener")

    @property
    def actions(self) -> tuple[tuple[str, ...], ...]:
        """The speaker can only wait; the listener points."""
        return (("wait",), tuple(f"object-{i}" for i in range(self.candidates)))

    @property
    def observation_sizes(self) -> tuple[int, ...]:
        """One-hot attributes of the target; of all candidates and 1 in the step that counts."""
        one = self.attributes * self.values
        return (one, one * self.candidates + 1)

    def meanings(self) -> NDArray[np.int64]:
        """The attributes of every object, [objects, attributes]; for measures of the emerged language."""
        powers = self.values ** np.arange(self.attributes)
        return np.arange(self.values**self.attributes)[:, None] // powers % self.values

    def reset(self, key: PRNGKeyArray, batch: tuple[int, ...] = ()) -> tuple[ReferentialState, Timestep]:
        """Draw the objects and the target."""
        object_key, target_key = jax.random.split(key)
        objects = distinct(object_key, self.candidates, self.values**self.attributes, batch)
        target = jax.random.randint(target_key, batch, 0, self.candidates)
        state = ReferentialState(objects, target, jnp.zeros(batch, jnp.int32))
        return state, self._timestep(state, jnp.zeros(batch))

    def step(
        self, key: PRNGKeyArray, state: ReferentialState, actions: Int[Array, "agents *batch"]
    ) -> tuple[ReferentialState, Timestep]:
        """Point; only the last step counts."""
        right = ((actions[1] == state.target) & (state.time == self.talk)).astype(jnp.float32)
        state = dataclasses.replace(state, time=state.time + 1)
        return state, self._timestep(state, right)

    def describe(self, state: ReferentialState, agent: int) -> str:
        """The target to the speaker, the candidates to the listener."""
        words = [", ".join(map(str, self.meanings()[int(o)])) for o in state.objects]
        if agent == 0:
            text = f"You are the speaker. The target has the attributes ({words[int(state.target)]})."
            return f"{text}\n" + legal_line(self.actions[0], [True])
        acting = int(state.time) == self.talk
        lines = ["You are the listener. Point to the object that the speaker sees."]
        lines += [f"object-{i} has the attributes ({word})." for i, word in enumerate(words)]
        lines.append("Act now." if acting else "This step is for talking.")
        return "\n".join([*lines, legal_line(self.actions[1], (np.arange(self.candidates) == 0) | acting)])

    def draw(self, state: ReferentialState) -> Picture:
        """The candidates in a row, the target in yellow."""
        shapes: list[Shape] = []
        for i, number in enumerate(np.asarray(state.objects)):
            shapes.append(Shape("rect", float(i), 0.0, 0.45, "#F0E442" if i == int(state.target) else "#e8e8e8"))
            word = "".join(map(str, self.meanings()[int(number)]))
            shapes.append(Shape("text", float(i), 0.0, 0.35, "#000000", word))
        return Picture((-0.6, -0.6, self.candidates - 0.4, 0.6), shapes, f"step {int(state.time)}")

    def _timestep(self, state: ReferentialState, right: Float[Array, "*batch"]) -> Timestep:
        batch = state.time.shape
        acting = state.time == self.talk
        powers = jnp.array([self.values**a for a in range(self.attributes)])
        values = state.objects[:, None] // powers.reshape(1, -1, *(1,) * len(batch)) % self.values
        flat = one_hot(values.reshape(-1, *batch), self.values).reshape(self.candidates, -1, *batch)
        seen = (flat * one_hot(state.target[None], self.candidates)[0][:, None]).sum(0)
        table = jnp.concatenate([flat.reshape(-1, *batch), acting[None].astype(jnp.float32)])
        pointing = first_only(jnp.stack([jnp.zeros_like(acting), acting]), self.candidates)
        return Timestep(
            obs=pad_features([seen, table], self.observation_size),
            reward=jnp.broadcast_to(right, (2, *batch)),
            alive=jnp.ones((2, *batch), bool),
            legal=pointing,
            terminated=state.time > self.talk,
            truncated=jnp.zeros(batch, bool),
            metrics={"success": right},
        )


def _symbols(count: int) -> tuple[str, ...]:
    return tuple(chr(ord("A") + i) if i < 26 else f"S{i}" for i in range(count))


def _circle(count: int) -> list[tuple[float, float]]:
    angles = 2 * np.pi * np.arange(count) / count
    return [(float(np.sin(a)), float(np.cos(a))) for a in angles]
