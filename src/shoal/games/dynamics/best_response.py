"""Best-response dynamics: one player at a time changes to its best action, until nobody wants to, or for ever."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from shoal.games.game import TOLERANCE, Joint, require
from shoal.games.normal_form import NormalForm


@dataclass(frozen=True)
class Path:
    """Where the dynamics went.

    Attributes:
        joints: joint actions, one after each change.
        end: "equilibrium" (a pure Nash equilibrium), "cycle", or "unfinished".
        cycle: the joint actions that repeat, if they do.
    """

    joints: tuple[Joint, ...]
    end: str
    cycle: tuple[Joint, ...] = ()


def best_response_path(game: NormalForm, start: Joint | None = None, *, seed: int = 0, most: int = 10_000) -> Path:
    """Follow best responses; players move in turn, and stay where they cannot gain.

    Potential games always end in an equilibrium (Monderer and Shapley 1996).

    Args:
        game: any game.
        start: first joint action; random by default.
        seed: of a random start.
        most: changes before giving up.

    Raises:
        InputError: a start that is not in the game.
    """
    if start is None:
        rng = np.random.default_rng(seed)
        start = tuple(int(rng.integers(size)) for size in game.shape)
    fits = len(start) == game.player_count and all(0 <= a < k for a, k in zip(start, game.shape, strict=True))
    require("start", start, fits, f"Give one action index for each player, below {game.shape}.")
    slack = TOLERANCE * (1 + float(np.abs(game.table).max()))
    joint, joints, player, still = start, [start], 0, 0
    seen: dict[tuple[Joint, int], int] = {}
    while still < game.player_count and len(joints) <= most:
        if (joint, player) in seen and still == 0:
            first = seen[joint, player]
            return Path(tuple(joints), "cycle", tuple(joints[first : len(joints) - 1]))
        if still == 0:
            seen[joint, player] = len(joints) - 1
        pays = game.table[tuple(slice(None) if i == player else a for i, a in enumerate(joint))][..., player]
        if pays.max() > pays[joint[player]] + slack:
            best = int(pays.argmax())
            joint = tuple(best if i == player else a for i, a in enumerate(joint))
            joints.append(joint)
            still = 0
        else:
            still += 1
        player = (player + 1) % game.player_count
    return Path(tuple(joints), "equilibrium" if still >= game.player_count else "unfinished")


def sink_equilibria(game: NormalForm) -> list[tuple[Joint, ...]]:
    """Sets of joint actions that better responses lead into and never out of (Goemans et al. 2005).

    A set with one member is a strict pure equilibrium, or one that nobody can leave with profit.
    """
    import networkx as nx

    from shoal.games.solvers.size import check_profiles

    check_profiles(game)
    slack = TOLERANCE * (1 + float(np.abs(game.table).max()))
    graph: nx.DiGraph[Joint] = nx.DiGraph()
    for joint in np.ndindex(*game.shape):
        graph.add_node(joint)
        for i, size in enumerate(game.shape):
            for a in range(size):
                other = (*joint[:i], a, *joint[i + 1 :])
                if game.table[other][i] > game.table[joint][i] + slack:
                    graph.add_edge(joint, other)
    parts = nx.condensation(graph)
    sinks = [n for n in parts.nodes if parts.out_degree(n) == 0]
    return sorted(tuple(sorted(parts.nodes[n]["members"])) for n in sinks)
