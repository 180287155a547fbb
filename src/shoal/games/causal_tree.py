"""The sequential form of a causal game as a tree, to be played in seats and solved by any solver of trees.

The order of moves is that of ``causal_sequential``: the leader chooses how to decide, nature draws the circumstance,
the leader's action follows from both, and the follower, who knows the leader's way and (unless told otherwise) its
action, but not the circumstance, chooses its own way.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from shoal.games.causal import LAYERS, CausalGame
from shoal.games.causal_sequential import Sees
from shoal.games.extensive import Chance, Decision, End, Extensive, extensive
from shoal.games.game import require

STORY = (
    "A hidden circumstance gives each player an instinct and decides what is paid. The leader first chooses how "
    "it will decide: follow its instinct, take a fixed action whatever the instinct says, or map instincts to "
    "actions. The follower is told that choice{action}, and chooses how it will decide."
)


def sequential_tree(
    game: CausalGame,
    *,
    leader_layers: Sequence[int] = LAYERS,
    follower_layers: Sequence[int] = LAYERS,
    sees: Sees = "action",
) -> Extensive:
    """The tree of a two-player causal game in which player 0 leads.

    Its solution is that of ``sequential_equilibrium`` with the same arguments, up to how ties are broken.

    Args:
        game: two players.
        leader_layers: what the leader may choose from.
        follower_layers: what the follower may choose from.
        sees: whether the follower sees the leader's action besides its strategy.

    Raises:
        InputError: not two players, or a value that is not usable.
    """
    require("game", f"{game.player_count} players", game.player_count == 2, "One leader and one follower.")
    require("sees", sees, sees in ("action", "mechanism"), "Use action or mechanism.")
    rows, ways = game.strategies(0, leader_layers)
    replies, answers = game.strategies(1, follower_layers)
    happens = np.flatnonzero(game.chances > 0)

    def answered(way: str, action: int, u: int) -> Decision:
        shown = f"{way}, which came to {game.actions[0][action]}" if sees == "action" else way
        ends = tuple(End(_paid(game, u, action, int(reply[u]))) for reply in replies)
        return Decision(1, f"after: {shown}", answers, ends, f"{game.players[0]} chose: {shown}.")

    def drawn(way: str, row: NDArray[np.intp]) -> Chance:
        return Chance(tuple(
            (f"circumstance {u + 1}", float(game.chances[u]), answered(way, int(row[u]), int(u))) for u in happens
        ))  # fmt: skip

    root = Decision(0, "begin", ways, tuple(drawn(way, row) for way, row in zip(ways, rows, strict=True)))
    story = STORY.format(action=" and the action that came of it" if sees == "action" else "")
    return extensive(
        root, game.players, name=f"{game.name}-tree", title=f"{game.title}, one after the other", story=story
    )


def _paid(game: CausalGame, u: int, leader: int, follower: int) -> tuple[float, ...]:
    return tuple(float(x) for x in game.table[u, leader, follower])
