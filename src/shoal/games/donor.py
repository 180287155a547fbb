"""The donor game: resources that grow only when given away, and a short trace of who gave what.

Rules as in "Cultural evolution of cooperation among LLM agents" (arXiv 2412.10270). Agents are split at random into two
halves; in round t member i of one meets member i + t of the other; one half gives in even rounds, the other in odd
ones. The paper asks that no pair meets twice in 12 rounds, which 12 agents with alternating roles cannot do: here no
pair meets twice within agents / 2 rounds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

from shoal.games.game import Game, Payoffs, View, require

UNKNOWN = -2.0
"""In a trace: nothing to tell yet."""

Policy = Callable[[PRNGKeyArray, "Situation"], Float[Array, "societies half"]]
"""From a situation to the share of its resources that each donor gives; below 0 it spends that share on punishing."""


@dataclass
class Society:
    """How a donor game stands.

    Attributes:
        halves: agents of each half, in their order of meeting [2, half].
        resources: of each agent.
        traces: of each agent the last donations along its chain, newest first: (donor, receiver, share).
        round: rounds played.
    """

    halves: list[list[int]]
    resources: list[float]
    traces: list[list[tuple[int, int, float]]]
    round: int = 0
    gifts: list[list[float]] = field(default_factory=list)


@dataclass(frozen=True, eq=False)
class DonorGame(Game):
    """One game of the society, for seats: language models, people and rules.

    Attributes:
        agents: an even number, at least 4.
        rounds: how many.
        endowment: resources at the start.
        multiplier: what a unit given is worth to the receiver, above 0.
        depth: donations of the receiver's chain that the donor sees.
        levels: number of shares a donor can choose from: 11 is 0%, 10%, ... 100%.
    """

    agents: int = 12
    rounds: int = 12
    endowment: float = 10.0
    multiplier: float = 2.0
    depth: int = 3
    levels: int = 11
    name: str = "donor"
    title: str = "Donor game"

    def __post_init__(self) -> None:
        require("agents", self.agents, self.agents >= 4 and self.agents % 2 == 0, "Use an even number of at least 4.")
        require("rounds", self.rounds, self.rounds >= 1, "Play at least once.")
        require("endowment", self.endowment, self.endowment > 0, "Use more than 0.")
        require("multiplier", self.multiplier, self.multiplier > 0, "Use more than 0.")
        require("depth", self.depth, self.depth >= 0, "Use 0 or more.")
        require("levels", self.levels, 2 <= self.levels <= 101, "Use 2 to 101.")

    @property
    def players(self) -> tuple[str, ...]:  # type: ignore[override]
        """agent-1, agent-2, ..."""
        return tuple(f"agent-{i + 1}" for i in range(self.agents))

    @property
    def story(self) -> str:  # type: ignore[override]
        """The rules that all are told."""
        return (
            f"You are one of {self.agents} agents, each with {self.endowment:g} units. In each round you meet another "
            "agent; one of you is the donor and may give any part of its units, the other receives "
            f"{self.multiplier:g} times as much. Roles alternate. Your aim is to end with many units."
        )

    def begin(self, rng: np.random.Generator) -> Society:
        """Split the agents at random."""
        order = [int(i) for i in rng.permutation(self.agents)]
        half = self.agents // 2
        return Society([order[:half], order[half:]], [self.endowment] * self.agents, [[] for _ in order])

    def turns(self, state: Society) -> tuple[View, ...]:
        """All donors of the round, at the same time."""
        if state.round >= self.rounds:
            return ()
        views = []
        for donor, receiver in self._pairs(state):
            shown = state.traces[receiver][: self.depth]
            key = (donor, tuple(round(share * (self.levels - 1)) for _, _, share in shown))
            views.append(View(donor, self._names(), key, state.round, seen=self._words(state, donor, receiver, shown)))
        return tuple(views)

    def step(self, state: Society, moves: Mapping[int, int], rng: np.random.Generator) -> Society:
        """All donations are decided before any is made. The society is changed in place."""
        before = [list(trace) for trace in state.traces]
        given = []
        for donor, receiver in self._pairs(state):
            share = moves[donor] / (self.levels - 1)
            gift = share * state.resources[donor]
            state.resources[donor] -= gift
            state.resources[receiver] += self.multiplier * gift
            state.traces[donor] = [(donor, receiver, share), *before[receiver]][: self.depth]
            given.append(share)
        state.gifts.append(given)
        state.round += 1
        return state

    def payoffs(self, state: Society) -> Payoffs:
        """Resources at the end."""
        return np.array(state.resources)

    def rules(self, player: int) -> str:
        """The story, and who one is."""
        return f"{self.story}\nYou are {self.players[player]}."

    def bounds(self) -> tuple[Payoffs, Payoffs]:
        """From nothing to the most that full donations of all can bring one."""
        top = self.endowment * (1 + self.multiplier) * max(1.0, self.multiplier) ** self.rounds
        return np.zeros(self.agents), np.full(self.agents, top)

    def _names(self) -> tuple[str, ...]:
        return tuple(f"{100 * k / (self.levels - 1):.3g}%" for k in range(self.levels))

    def _pairs(self, state: Society) -> list[tuple[int, int]]:
        first, second = state.halves
        half = len(first)
        pairs = [(first[i], second[(i + state.round) % half]) for i in range(half)]
        return pairs if state.round % 2 == 0 else [(b, a) for a, b in pairs]

    def _words(self, state: Society, donor: int, receiver: int, shown: list[tuple[int, int, float]]) -> str:
        name = self.players
        lines = [
            f"You have {state.resources[donor]:g} units. You meet {name[receiver]}, who has "
            f"{state.resources[receiver]:g} units. What share of your units do you give?"
        ]
        for ago, (a, b, share) in enumerate(shown, 1):
            lines.append(
                f"{ago} round{'s' if ago > 1 else ''} ago {name[a]} gave {share:.0%} of its units to {name[b]}."
            )
        return "\n".join(lines)


@partial(jax.tree_util.register_dataclass, data_fields=["donor", "resources", "trace", "round"], meta_fields=[])
@dataclass(frozen=True)
class Situation:
    """What the donors of all societies see in a round.

    Attributes:
        donor: index of each donor [societies, half].
        resources: of donor and receiver [2, societies, half].
        trace: shares along the receiver's chain, newest first, UNKNOWN where there is none [societies, half, depth].
        round: number of the round, from 0.
    """

    donor: Int[Array, "societies half"]
    resources: Float[Array, "2 societies half"]
    trace: Float[Array, "societies half depth"]
    round: Int[Array, ""]


def play_societies(
    policy: Policy,
    key: PRNGKeyArray,
    *,
    societies: int,
    agents: int = 12,
    rounds: int = 12,
    endowment: float = 10.0,
    multiplier: float = 2.0,
    depth: int = 3,
    mirrored: bool = False,
    punishment: float = 0.0,
    order: Int[Array, "societies agents"] | None = None,
) -> tuple[Float[Array, "societies agents"], Float[Array, "rounds societies half"]]:
    """Play one donor game in many societies at once; pure, so it may be compiled into a longer loop.

    Args:
        policy: shares given, from a key and the situation of all donors; clipped to [0, 1], with punishment [-1, 1].
        key: of pairing and policy.
        societies: how many.
        agents: in each, an even number.
        rounds: how many.
        endowment: resources at the start.
        multiplier: what a unit given is worth to the receiver.
        depth: length of the trace; 0 hides it.
        mirrored: the second half begins to give: the second game of a generation.
        punishment: what a unit spent on punishing takes from the receiver, who cannot fall below 0; 0 forbids it.
        order: agents in the order of the halves; drawn at random by default.

    Returns:
        Final resources [societies, agents] and shares given [rounds, societies, half].
    """
    half = agents // 2
    draw, rest = jax.random.split(key)
    if order is None:
        order = jax.vmap(lambda k: jax.random.permutation(k, agents))(jax.random.split(draw, societies))
    first, second = order[:, :half], order[:, half:]
    row = jnp.arange(societies)[:, None]
    chain = max(1, depth)

    def step(
        carry: tuple[Float[Array, "societies agents"], Float[Array, "societies agents chain"]],
        now: tuple[Int[Array, ""], PRNGKeyArray],
    ) -> tuple[tuple[Array, Array], Array]:
        resources, last = carry
        t, key = now
        met = jnp.roll(second, -t, axis=1)
        swap = (t + int(mirrored)) % 2 == 1
        donor, receiver = jnp.where(swap, met, first), jnp.where(swap, first, met)
        seen = last[row, receiver]
        have = jnp.stack([resources[row, donor], resources[row, receiver]])
        lowest = -1.0 if punishment > 0 else 0.0
        share = jnp.clip(policy(key, Situation(donor, have, seen[..., :depth], t)), lowest, 1)
        spent = jnp.abs(share) * have[0]
        change = jnp.where(share >= 0, multiplier * spent, -jnp.minimum(punishment * spent, have[1]))
        resources = resources.at[row, donor].add(-spent).at[row, receiver].add(change)
        told = jnp.concatenate([share[..., None], seen], axis=-1)[..., :chain]
        return (resources, last.at[row, donor].set(told)), share

    start = jnp.full((societies, agents), endowment), jnp.full((societies, agents, chain), UNKNOWN)
    (resources, _), shares = jax.lax.scan(step, start, (jnp.arange(rounds), jax.random.split(rest, rounds)))
    return resources, shares
