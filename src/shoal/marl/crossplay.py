"""Cross-play: how well policies that were not trained together play together (Hu et al. 2020, arXiv 2003.02979).

Every policy plays with every other, the one in some seats and the other in the rest. Partners that agreed on arbitrary
conventions in training do well with themselves and badly with others; the gap between the two is what is measured.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import jax
import numpy as np
from jaxtyping import PRNGKeyArray
from numpy.typing import NDArray

from shoal.errors import InputError
from shoal.marl.evaluation import evaluate
from shoal.marl.players import Seats
from shoal.marl.policies import Policy
from shoal.stats import Estimate, mean
from shoal.worlds import World

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LARGEST_ANNOTATED = 12
"""Policies up to which the cells of the heat map show their number."""


@dataclass(frozen=True)
class CrossPlay:
    """Returns of all pairs.

    Attributes:
        names: of the policies.
        row_seats: agents that the policy of the row plays; that of the column plays the others.
        agents: names of all agents.
        returns: summed over agents [rows, columns, episodes]; all pairs begin with the same starts.
    """

    names: tuple[str, ...]
    row_seats: tuple[int, ...]
    agents: tuple[str, ...]
    returns: NDArray[np.float64]

    def cell(self, row: int, column: int) -> Estimate:
        """Mean return of a pair, with a 95% interval over episodes."""
        return mean(self.returns[row, column])

    @property
    def self_play(self) -> Estimate:
        """Mean of the diagonal, over episodes."""
        return mean(np.einsum("iie->ie", self.returns).mean(0))

    @property
    def cross_play(self) -> Estimate:
        """Mean of everything off the diagonal, over episodes."""
        return mean(self.returns[~np.eye(len(self.names), dtype=bool)].mean(0))

    @property
    def gap(self) -> Estimate:
        """Self-play minus cross-play, paired over episodes: what holds for these policies."""
        own = np.einsum("iie->ie", self.returns).mean(0)
        return mean(own - self.returns[~np.eye(len(self.names), dtype=bool)].mean(0))

    @property
    def gap_over_policies(self) -> Estimate:
        """The same with policies as units: what to expect of others from the same training.

        The gap of a policy is its return with itself minus its mean return with the others, in either role. The gaps
        of two policies share the games between them, which the interval does not know.
        """
        table = self.returns.mean(2)
        others = (table.sum(0) + table.sum(1) - 2 * np.diag(table)) / (2 * (len(self.names) - 1))
        return mean(np.diag(table) - others)


def cross_play(
    policies: Mapping[str, Policy],
    episodes: int = 128,
    key: PRNGKeyArray | int = 0,
    row_seats: Sequence[int] | None = None,
    greedy: bool = False,
) -> CrossPlay:
    """Let every policy play with every other.

    Args:
        policies: by name, at least two, all of the same world.
        episodes: of each pair.
        key: randomness, or a seed number; the same for all pairs.
        row_seats: agents that the row's policy plays, by number; the first half (rounded up) if left out.
        greedy: policies take their best action instead of sampling.

    Raises:
        InputError: fewer than two policies, different worlds, or seats that leave one of the two without any.
    """
    names, players = tuple(policies), tuple(policies.values())
    if len(players) < 2:
        raise InputError("policies", list(names), "Give at least two, or a checkpoint with several seeds.")
    world = players[0].world
    for name, policy in policies.items():
        if policy.world != world:
            raise InputError(f"policy {name}", repr(policy.world), f"The first one plays {world!r}; use one world.")
    rows = _rows(row_seats, world)
    seat = tuple(0 if agent in rows else 1 for agent in range(world.agent_count))
    key = jax.random.key(key) if isinstance(key, int) else key
    returns = np.zeros((len(players), len(players), episodes))
    for i, one in enumerate(players):
        for j, other in enumerate(players):
            pair = Seats((one.player, other.player), seat)
            returns[i, j] = evaluate(pair, world, episodes, key, greedy).team
    return CrossPlay(names, rows, world.agents, returns)


def draw_matrix(result: CrossPlay, title: str = "") -> Figure:
    """The matrix as a heat map: brighter is better; rows and columns are policies."""
    from shoal.runs.plots import new_figure

    count = len(result.names)
    side = max(3.2, 0.62 * count + 1.6)
    figure, (ax,) = new_figure(width=side + 0.8, height=side)
    table = result.returns.mean(2)
    image = ax.imshow(table, cmap="viridis")
    ax.grid(visible=False)
    ax.set_xticks(range(count), result.names, rotation=45, ha="right", fontsize=7)
    ax.set_yticks(range(count), result.names, fontsize=7)
    middle = (table.min() + table.max()) / 2
    for i in range(count if count <= LARGEST_ANNOTATED else 0):
        for j in range(count):
            ink = "black" if table[i, j] > middle else "white"
            ax.text(j, i, f"{table[i, j]:.3g}", ha="center", va="center", fontsize=7, color=ink)
    rows = ", ".join(result.agents[i] for i in result.row_seats)
    ax.set_ylabel(f"plays {rows}" if len(rows) < 40 else f"plays {len(result.row_seats)} seats", fontsize=8)
    ax.set_xlabel("plays the others", fontsize=8)
    ax.set_title(title, fontsize=9, loc="left")
    figure.colorbar(image, ax=ax, shrink=0.8).ax.tick_params(labelsize=7)
    return figure


def _rows(given: Sequence[int] | None, world: World[Any]) -> tuple[int, ...]:
    agents = world.agent_count
    if agents < 2:
        raise InputError("world", world.name, "Cross-play needs at least two agents.")
    rows = tuple(range((agents + 1) // 2)) if given is None else tuple(dict.fromkeys(given))
    if not rows or len(rows) == agents or not all(0 <= r < agents for r in rows):
        mend = f"Give some, but not all, of the agents 0 to {agents - 1}."
        raise InputError("row seats", list(rows), mend)
    return rows
