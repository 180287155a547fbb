"""What is known about a game, by whichever solvers fit its kind and size."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from shoal.games.causal import CausalGame, causal_equilibrium
from shoal.games.causal_sequential import sequential_equilibrium
from shoal.games.extensive import Extensive
from shoal.games.game import Game
from shoal.games.normal_form import NormalForm, Profile
from shoal.games.repeated import Repeated
from shoal.games.seats.solver import MOST_QUICK
from shoal.games.solvers.backward_induction import subgame_perfect, tree_nash_conv
from shoal.games.solvers.cfr import cfr
from shoal.games.solvers.correlated import correlated_equilibrium, maximin
from shoal.games.solvers.dominance import iterated_dominance
from shoal.games.solvers.many_players import support_enumeration
from shoal.games.solvers.nash import all_equilibria, pure_equilibria
from shoal.games.solvers.regret_matching import regret_matching
from shoal.games.solvers.size import MOST_VARIABLES, support_systems
from shoal.games.solvers.stackelberg import mixed_stackelberg, pure_stackelberg

MOST_SHOWN = 20
MOST_QUICK_SUPPORTS = 400
MOST_CORRELATED = 1_000
MOST_DOMINANCE = 2_000


def solve(game: Game) -> dict[str, Any]:
    """Solutions of a game, as a JSON-ready document; large games are approximated and say so."""
    if isinstance(game, Repeated):
        return solve(game.stage)
    if isinstance(game, NormalForm):
        return _table(game)
    if isinstance(game, Extensive):
        return _tree(game)
    if isinstance(game, CausalGame):
        return _causal(game)
    return {"note": "no exact solver for this kind of game: play it, or simulate it"}


def _table(game: NormalForm) -> dict[str, Any]:
    found: dict[str, Any] = {"players": list(game.players), "actions": [list(a) for a in game.actions]}
    found["symmetric"], found["zero_sum"] = game.symmetric, game.zero_sum
    if np.prod(game.shape) <= MOST_DOMINANCE:
        left = iterated_dominance(game, mixed=bool(np.prod(game.shape) <= 200))
        found["undominated"] = [[game.actions[i][a] for a in keep] for i, keep in enumerate(left.kept)]
    found |= _equilibria(game)
    if game.player_count == 2:
        found["maximin"] = [maximin(game, i)[0] for i in (0, 1)]
        pure = pure_stackelberg(game)
        found["stackelberg pure"] = {"payoffs": pure.payoffs.tolist(), "answer": game.actions[1][pure.answer]}
        mixed = mixed_stackelberg(game) if game.shape[1] <= 120 else None
        if mixed is not None:
            strategy = _mix(game, 0, mixed.strategy)
            found["stackelberg mixed"] = {
                "strategy": strategy, "answer": game.actions[1][mixed.answer], "payoffs": mixed.payoffs.tolist()
            }  # fmt: skip
    if np.prod(game.shape) <= min(MOST_CORRELATED, MOST_VARIABLES):
        joint = correlated_equilibrium(game)
        found["best correlated welfare"] = float((joint[..., None] * game.table).sum())
    found["best welfare"] = float(game.table.sum(axis=-1).max())
    return found


def _equilibria(game: NormalForm) -> dict[str, Any]:
    limit = MOST_QUICK if game.player_count == 2 else MOST_QUICK_SUPPORTS
    if support_systems(game.shape) > limit and game.player_count == 2 and game.zero_sum:
        exact = maximin(game, 0)[1], maximin(game, 1)[1]
        return {"equilibria": [_profile(game, exact)], "method": "one equilibrium by linear programme"}
    if support_systems(game.shape) > limit:
        pure = [game.pure(joint) for joint in pure_equilibria(game)]
        rough = regret_matching(game, 3_000, starts=4)
        note = f"too large for all equilibria ({support_systems(game.shape):,} support systems): pure ones"
        if pure:
            return {"equilibria": [_profile(game, p) for p in pure[:MOST_SHOWN]], "method": note}
        approximate = _profile(game, rough.best) | {"gain by deviating": float(rough.gains.min())}
        return {"equilibria": [approximate], "method": "regret matching, approximate"}
    if game.player_count == 2:
        every = all_equilibria(game)
        method = "all extreme equilibria of a degenerate game" if every.degenerate else "all equilibria"
        profiles: list[Profile] = list(every.profiles)
    else:
        method, profiles = "support enumeration", support_enumeration(game)
    return {
        "equilibria": [_profile(game, p) for p in profiles[:MOST_SHOWN]], "count": len(profiles), "method": method
    }  # fmt: skip


def _tree(game: Extensive) -> dict[str, Any]:
    found: dict[str, Any] = {"players": list(game.players), "information sets": len(game.information)}
    if game.perfect_information:
        best = subgame_perfect(game)
        return found | {"method": "subgame perfect", "path": list(best.path), "payoffs": best.payoffs.tolist(),
                        "strategies": _strategies(game, best.behaviour)}  # fmt: skip
    play = cfr(game)
    gain = tree_nash_conv(game, play.behaviour)
    return found | {"method": "counterfactual regret minimisation, approximate", "payoffs": play.payoffs.tolist(),
                    "gain by deviating": gain, "strategies": _strategies(game, play.behaviour)}  # fmt: skip


def _strategies(game: Extensive, behaviour: Mapping[str, np.ndarray]) -> dict[str, dict[str, float]]:
    """Probabilities of the actions by name, in the order of the tree."""
    return {
        name: dict(zip(node.actions, (round(float(x), 4) for x in behaviour[name]), strict=True))
        for name, node in game.information.items()
    }


def _causal(game: CausalGame) -> dict[str, Any]:
    causal = causal_equilibrium(game)
    found: dict[str, Any] = {
        "players": list(game.players),
        "nash of layer 2": _equilibria(game.classical)["equilibria"],
        "causal nash": _profile(causal.game, causal.profile),
        "layers": [list(used) for used in causal.layers],
    }
    if game.player_count == 2:
        sequential = sequential_equilibrium(game)
        found["sequential causal nash"] = {
            "layer": sequential.layer, "strategy": sequential.strategy, "payoffs": sequential.payoffs.tolist()
        }  # fmt: skip
        bound = sequential_equilibrium(game, leader_layers=(2,))
        found["leader bound to layer 2"] = {"strategy": bound.strategy, "payoffs": bound.payoffs.tolist()}
        found["stackelberg of layer 2"] = {
            "pure": pure_stackelberg(game.classical).payoffs.tolist(),
            "mixed": mixed_stackelberg(game.classical).payoffs.tolist(),
        }
    return found


def _profile(game: NormalForm, profile: Profile) -> dict[str, Any]:
    return {
        "strategies": [_mix(game, i, p) for i, p in enumerate(profile)],
        "payoffs": [round(float(x), 9) for x in game.expected(profile)],
    }


def _mix(game: NormalForm, player: int, p: np.ndarray) -> dict[str, float]:
    return {game.actions[player][a]: round(float(x), 9) for a, x in enumerate(p) if x > 1e-9}
