"""The sequential form of causal games as a tree: solved as such, it gives what backward induction on tables gives."""

from __future__ import annotations

import numpy as np
import pytest

from shoal.errors import InputError
from shoal.games import make_game
from shoal.games.causal import CausalGame, causal_game
from shoal.games.causal_sequential import Sees, sequential_equilibrium
from shoal.games.causal_tree import sequential_tree
from shoal.games.extensive import Extensive
from shoal.games.solvers import best_response, cfr


def random_game(rng: np.random.Generator, circumstances: int = 3, actions: int = 2) -> CausalGame:
    """Payoffs without ties, so that the solution is one."""
    return causal_game(
        rng.dirichlet(np.ones(circumstances)), rng.integers(0, actions, (2, circumstances)),
        rng.normal(size=(circumstances, actions, actions, 2)),
    )  # fmt: skip


def led(tree: Extensive, strategy: int) -> dict[str, np.ndarray]:
    """Behaviour in which the leader takes one strategy; the follower's part is uniform."""
    play = {name: np.full(len(node.actions), 1 / len(node.actions)) for name, node in tree.information.items()}
    play["begin"] = np.eye(len(tree.information["begin"].actions))[strategy]
    return play


@pytest.mark.parametrize("sees", ["action", "mechanism"])
def test_the_follower_answers_every_strategy_as_backward_induction_says(sees: Sees) -> None:
    rng = np.random.default_rng(5)
    for _ in range(15):
        game = random_game(rng)
        found = sequential_equilibrium(game, sees=sees)
        tree = sequential_tree(game, sees=sees)
        values = {name: value for (_, name), value in zip(found.strategies, found.values, strict=True)}
        for k, name in enumerate(tree.information["begin"].actions):
            pays, answer = best_response(tree, led(tree, k), 1)
            assert pays == pytest.approx(values[name][1])
            both = led(tree, k) | answer
            assert tree.expected(both) == pytest.approx(values[name])


def test_regret_minimisation_finds_the_equilibrium_of_the_causal_dilemma() -> None:
    tree = make_game("causal-leader")
    assert isinstance(tree, Extensive)
    solved = cfr(tree, iterations=2000)
    assert solved.payoffs == pytest.approx([2.2, 2.2], abs=1e-3)
    assert solved.gain < 1e-3


def test_what_the_follower_sees_makes_its_information_sets() -> None:
    payoffs = np.random.default_rng(0).normal(size=(2, 2, 2, 2))
    game = causal_game([0.5, 0.5], [[0, 1], [0, 1]], payoffs)  # the leader's instinct follows the circumstance
    seen, told = (sequential_tree(game, sees=sees) for sees in ("action", "mechanism"))
    assert len(told.information) == 1 + len(told.information["begin"].actions)
    assert len(seen.information) > len(told.information)
    assert not seen.perfect_information


def test_layers_bound_what_the_leader_may_choose() -> None:
    tree = sequential_tree(random_game(np.random.default_rng(0)), leader_layers=(2,))
    assert tree.information["begin"].actions == ("always a", "always b")


def test_bad_input() -> None:
    with pytest.raises(InputError, match="sees"):
        sequential_tree(random_game(np.random.default_rng(0)), sees="nothing")  # type: ignore[arg-type]
    three = causal_game([1.0], [[0], [0], [0]], np.zeros((1, 2, 2, 2, 3)))
    with pytest.raises(InputError, match="3 players"):
        sequential_tree(three)
