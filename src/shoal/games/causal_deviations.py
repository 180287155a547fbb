"""What anybody could gain by deviating from an equilibrium of a causal game: a check that shares no code with solvers.

A follower's best strategy over all layers splits by its instinct: whatever a map does for one instinct leaves the
others free. So the best of all maps is found action by action, which is an enumeration of all of them.
"""

from __future__ import annotations

import numpy as np

from shoal.games.causal import LAYERS, CausalEquilibrium, CausalGame, Responses
from shoal.games.causal_sequential import Sees, SequentialEquilibrium
from shoal.games.game import Payoffs


def sequential_deviations(game: CausalGame, found: SequentialEquilibrium, sees: Sees = "action") -> tuple[float, float]:
    """Most that leader and follower could gain by any other strategy of any layer.

    The follower is held to its best answer to every strategy that the leader might have chosen, on and off the path;
    for a satisficing follower its gain is what its habit costs it.

    Args:
        game: two players.
        found: of that game.
        sees: what the follower saw.
    """
    rows, names = game.strategies(0, LAYERS)
    answers = {name: _best_answer(game, row, sees) for row, name in zip(rows, names, strict=True)}
    leader = max(worth[0] for worth in answers.values()) - float(found.payoffs[0])
    by_row = {tuple(row.tolist()): answers[name] for row, name in zip(rows, names, strict=True)}
    follower = 0.0
    for layer in {layer for layer, _ in found.strategies}:
        listed = dict(zip(*reversed(game.strategies(0, (layer,))), strict=True))
        for (of, name), worth in zip(found.strategies, found.values, strict=True):
            if of == layer:
                follower = max(follower, by_row[tuple(listed[name].tolist())][1] - float(worth[1]))
    return leader, follower


def simultaneous_deviations(game: CausalGame, found: CausalEquilibrium) -> tuple[float, float]:
    """Most that anybody could gain within the layers of a causal equilibrium, and by any strategy of any layer."""
    inside = beyond = 0.0
    sets = [game.strategies(i, layers)[0] for i, layers in enumerate(found.layers)]
    for i in range(game.player_count):
        for k, responses in enumerate((sets[i], game.strategies(i, LAYERS)[0])):
            worth = _against(game, i, responses, sets, found.profile).max() - float(found.payoffs[i])
            inside, beyond = (max(inside, worth), beyond) if k == 0 else (inside, max(beyond, worth))
    return inside, beyond


def _best_answer(game: CausalGame, row: Responses, sees: Sees) -> tuple[float, float]:
    """Payoffs of leader and follower when the follower answers one strategy best, kind where it is indifferent."""
    total = np.zeros(2)
    seen = row if sees == "action" else np.zeros_like(row)
    for x in np.unique(seen):
        for y in np.unique(game.instincts[1]):
            here = np.flatnonzero((seen == x) & (game.instincts[1] == y))
            if not here.size:
                continue
            pays: Payoffs = np.einsum("u,uak->ak", game.chances[here], game.table[here, row[here]])
            best = np.flatnonzero(pays[:, 1] >= pays[:, 1].max() - 1e-10)
            total += pays[best[pays[best, 0].argmax()]]
    return float(total[0]), float(total[1])


def _against(
    game: CausalGame, player: int, responses: Responses, sets: list[Responses], profile: tuple[Payoffs, ...]
) -> Payoffs:
    """What each of a player's strategies pays against the others' mixtures [strategies]; two players."""
    other = 1 - player
    worth = np.zeros(len(responses))
    for u, p in enumerate(game.chances):
        pays = np.moveaxis(game.table[u], player, 0)[..., player]
        worth += p * pays[responses[:, u]][:, sets[other][:, u]] @ profile[other]
    return worth


def table_stackelberg(pays: Payoffs) -> Payoffs:
    """Pure Stackelberg payoffs [2] straight from a table [leader's, follower's actions, 2], with S-CNE's rule for ties.

    Ties are exact: for tables of whole numbers.
    """
    answers = [max((other, own) for own, other in row) for row in pays.tolist()]  # an indifferent follower is kind
    return np.array(max((own, other) for other, own in answers))
