"""Dynamics and tournaments against closed forms, exact chains and second implementations."""

from __future__ import annotations

import sys
import warnings
from typing import Any

import numpy as np
import pytest

from payoff_tables import PD, table_of
from shoal.errors import InputError, UnknownName
from shoal.games import bimatrix, normal_form, symmetric, zero_sum
from shoal.games.dynamics import (
    alpha_rank,
    antisymmetric,
    best_response_path,
    drift,
    fictitious_play,
    fixation_probability,
    nash_averaging,
    replicator,
    sink_equilibria,
)
from shoal.games.learning import learn
from shoal.games.society import play_society
from shoal.games.solvers import pure_equilibria
from shoal.games.strategies import STRATEGIES, make_strategy
from shoal.games.tournament import expected_payoffs, play_tournament

# replicator


def test_replicator_ends_where_it_should() -> None:
    hawks = replicator(table_of("hawk-dove"), steps=1000, points=10)
    assert np.allclose(hawks.final[0], [1 / 3, 2 / 3], atol=1e-4)  # value / cost are hawks
    assert hawks.shares[0].shape == (16, 11, 2)
    pd = replicator(PD, [[0.99, 0.01], [1.0, 0.0]], steps=1000, points=10)
    assert np.allclose(pd.final[0], [[0, 1], [1, 0]], atol=1e-6)  # what is absent stays absent
    mutants = replicator(PD, [[1.0, 0.0]], mutation=0.01, steps=1000, points=10)
    x = mutants.final[0][0, 0]
    # At rest: x (1 - x) (payoff C - payoff D) + mutation (1/2 - x) = 0, with C - D = -1 - x.
    assert x * (1 - x) * (-1 - x) + 0.01 * (0.5 - x) == pytest.approx(0, abs=1e-9)


def test_replicator_keeps_the_product_of_shares_in_rock_paper_scissors() -> None:
    course = replicator(table_of("rock-paper-scissors"), [[0.5, 0.3, 0.2]], steps=1000, points=10)
    products = course.shares[0].prod(axis=-1)
    assert np.allclose(products, 0.03, rtol=1e-6)


def test_replicator_of_two_populations_and_of_three_players() -> None:
    sexes = replicator(table_of("battle-of-the-sexes"), [[[0.7, 0.3]], [[0.7, 0.3]]], steps=1000, points=1)
    assert np.allclose(sexes.final[0], [1, 0], atol=1e-6)
    three = replicator(table_of("minority"), steps=300, points=3)
    assert [s.shape for s in three.shares] == [(16, 4, 2)] * 3


def test_replicator_agrees_with_nashpy() -> None:
    nashpy = pytest.importorskip("nashpy")
    rng = np.random.default_rng(0)
    table, starts = rng.random((4, 4)), rng.dirichlet(np.ones(4), 3)
    ours = replicator(symmetric(table), starts, time=20, steps=1000, points=10, populations="one")
    for k, start in enumerate(starts):
        theirs = nashpy.Game(table).replicator_dynamics(y0=start, timepoints=ours.times)
        assert np.allclose(ours.shares[0][k], theirs, atol=1e-5)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"starts": [[0.5, 0.6]]}, "sum to 1"),
        ({"starts": [[0.5, 0.2, 0.3]]}, "starts"),
        ({"time": float("nan")}, "time"),
        ({"mutation": 2}, "mutation"),
        ({"populations": "two"}, "populations"),
        ({"steps": 0}, "steps"),
    ],
)
def test_bad_input_of_the_replicator(settings: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        replicator(PD, **settings)
    with pytest.raises(InputError, match="not a symmetric"):
        replicator(table_of("matching-pennies"), populations="one")


# fictitious play and best responses


def test_fictitious_play_solves_zero_sum_games_and_cycles_in_shapleys() -> None:
    found = fictitious_play(table_of("matching-pennies"), 4000, starts=4)
    assert found.gains.max() < 0.05
    smooth = fictitious_play(table_of("matching-pennies"), 4000, starts=4, smoothing=0.1)
    assert np.allclose(smooth.profiles[0][0], 0.5, atol=0.02)
    shapley = bimatrix([[0, 0, 1], [1, 0, 0], [0, 1, 0]], [[0, 1, 0], [0, 0, 1], [1, 0, 0]])
    assert fictitious_play(shapley, 4000, starts=4).gains.min() > 0.1
    with pytest.raises(InputError, match="iterations"):
        fictitious_play(PD, 0)


def test_best_response_paths() -> None:
    assert best_response_path(PD, (0, 0)).joints[-1] == (1, 1)
    cycle = best_response_path(table_of("matching-pennies"), (0, 0))
    assert cycle.end == "cycle"
    assert set(cycle.cycle) == {(0, 0), (0, 1), (1, 0), (1, 1)}
    effort = table_of("weakest-link")
    for seed in range(10):
        path = best_response_path(effort, seed=seed)
        assert path.end == "equilibrium"
        assert path.joints[-1] in pure_equilibria(effort)
    with pytest.raises(InputError, match="start"):
        best_response_path(PD, (0, 2))
    assert sink_equilibria(PD) == [((1, 1),)]
    assert sink_equilibria(table_of("battle-of-the-sexes")) == [((0, 0),), ((1, 1),)]
    assert len(sink_equilibria(table_of("matching-pennies"))[0]) == 4


# alpha-rank, Nash averaging


def test_alpha_rank_of_known_games() -> None:
    assert np.allclose(alpha_rank(table_of("rock-paper-scissors")).mass, 1 / 3)
    found = alpha_rank(PD, intensity=10)
    assert found.order() == [1, 0]
    assert found.mass[1] == pytest.approx(1)
    sexes = alpha_rank(table_of("battle-of-the-sexes"), intensity=10).mass
    assert np.allclose([sexes[0, 0], sexes[1, 1]], 0.5)
    flat = alpha_rank(normal_form(np.zeros((2, 3, 2, 3))), intensity=5)
    assert np.allclose(flat.mass, 1 / 12)
    for settings, word in (({"intensity": -1}, "intensity"), ({"size": 1}, "size"), ({"single": True}, "single")):
        with pytest.raises(InputError, match=word):
            alpha_rank(table_of("matching-pennies"), **settings)  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"27,000 profiles.*[Rr]eplicator"):
        alpha_rank(normal_form(np.zeros((30, 30, 30, 3))))


def test_large_chains_are_solved_alike() -> None:
    rng = np.random.default_rng(1)
    module = sys.modules["shoal.games.dynamics.alpha_rank"]
    game = normal_form(rng.random((6, 5, 4, 3)))
    dense = alpha_rank(game, intensity=1.0, size=10).mass
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "DENSE", 0)
        assert np.allclose(alpha_rank(game, intensity=1.0, size=10).mass, dense, atol=1e-9)


def test_alpha_rank_agrees_with_open_spiel() -> None:
    peer = pytest.importorskip("open_spiel.python.egt.alpharank")
    rng = np.random.default_rng(2)
    for _ in range(10):
        a, b = rng.normal(size=(3, 4)), rng.normal(size=(3, 4))
        theirs = peer.compute([a, b], m=50, alpha=1.5)[2]
        assert np.allclose(alpha_rank(bimatrix(a, b), intensity=1.5, size=50).mass.ravel(), theirs, atol=1e-8)
        m = rng.normal(size=(4, 4))
        assert np.allclose(alpha_rank(symmetric(m), intensity=1.0, size=20).mass, peer.compute([m], m=20, alpha=1.0)[2])
        theirs = peer.compute([m], use_inf_alpha=True, inf_alpha_eps=0.01)[2]
        assert np.allclose(alpha_rank(symmetric(m)).mass, theirs)


def test_nash_averaging_is_not_moved_by_copies() -> None:
    cycle = np.array([[0, 1, -1], [-1, 0, 1], [1, -1, 0.0]])
    found = nash_averaging(cycle)
    assert np.allclose(found.weights, 1 / 3)
    copy = np.array([0, 1, 2, 2])
    doubled = nash_averaging(cycle[np.ix_(copy, copy)])
    assert np.allclose(doubled.weights, [1 / 3, 1 / 3, 1 / 6, 1 / 6], atol=1e-5)
    assert np.allclose(doubled.ratings, 0, atol=1e-6)
    best = nash_averaging([[0, 2, 1], [-2, 0, 1], [-1, -1, 0]])
    assert np.allclose(best.weights, [1, 0, 0])
    assert np.allclose(best.ratings, [0, -2, -1])
    assert np.allclose(nash_averaging(np.zeros((4, 4))).weights, 0.25)
    rng = np.random.default_rng(3)
    for _ in range(20):
        table = antisymmetric(rng.normal(size=(5, 5)))
        found = nash_averaging(table)
        assert found.ratings.max() < 1e-6  # nobody beats the equilibrium
        assert np.allclose(found.ratings[found.weights > 1e-6], 0, atol=1e-5)
    with pytest.raises(InputError, match="gains"):
        nash_averaging([[0, 1], [1, 0]])


# drift


def test_fixation_of_a_neutral_and_of_a_selected_mutant() -> None:
    assert fixation_probability(np.ones((2, 2)), 10) == pytest.approx(0.1)
    game = table_of("stag-hunt")
    seeds, size = 3000, 6
    found = drift(game, size=size, intensity=0.3, mutation=0, steps=600, points=2, seeds=seeds, start=[1, 5])
    won = (found.final[0, :, 0] == size).mean()
    exact = fixation_probability(game.table[..., 0], size, 0.3)
    assert won == pytest.approx(exact, abs=4 * np.sqrt(exact / seeds))
    assert np.isin(found.final[0, :, 0], (0, size)).mean() > 0.99


def test_drift_runs_conditions_side_by_side() -> None:
    found = drift(PD, size=20, intensity=[0.0, 2.0], mutation=0.02, steps=4000, points=10, seeds=32)
    assert found.course.shape == (2, 32, 10, 2)
    assert (found.course.sum(axis=-1) == 20).all()
    neutral, selected = found.shares.mean(axis=1)[:, 1]
    assert neutral == pytest.approx(0.5, abs=0.1)
    assert selected > 0.85
    for settings, word in (({"size": 1}, "size"), ({"mutation": 2}, "mutation"), ({"start": [1, 2]}, "start")):
        with pytest.raises(InputError, match=word):
            drift(PD, **settings)  # type: ignore[arg-type]


# tournaments

AXELROD = {
    "cooperator": "Cooperator", "defector": "Defector", "coin": "Random", "alternator": "Alternator",
    "cycler-ccd": "CyclerCCD", "tit-for-tat": "TitForTat", "suspicious-tit-for-tat": "SuspiciousTitForTat",
    "bully": "Bully", "tit-for-two-tats": "TitFor2Tats", "two-tits-for-tat": "TwoTitsForTat",
    "hard-tit-for-tat": "HardTitForTat", "hard-tit-for-two-tats": "HardTitFor2Tats", "generous-tit-for-tat": "GTFT",
    "joss": "FirstByJoss", "grim": "Grudger", "pavlov": "WinStayLoseShift", "stochastic-pavlov": "StochasticWSLS",
    "win-shift-lose-stay": "WinShiftLoseStay", "firm-but-fair": "FirmButFair", "zd-extort-2": "ZDExtort2",
    "zd-generous-2": "ZDGTFT2", "desperate": "Desperate", "hopeless": "Hopeless", "willing": "Willing",
    "go-by-majority": "GoByMajority", "hard-go-by-majority": "HardGoByMajority", "prober": "Prober",
}  # fmt: skip


def test_there_are_more_than_twenty_strategies() -> None:
    assert set(STRATEGIES.names()) >= set(AXELROD)
    assert len(STRATEGIES.names()) >= 20


def test_deterministic_strategies_play_exactly_as_in_axelrod() -> None:
    axelrod = pytest.importorskip("axelrod")
    names = [n for n in AXELROD if make_strategy(n).deterministic]
    ours = expected_payoffs(names, PD, rounds=30)
    for i, a in enumerate(names):
        for j, b in enumerate(names[: i + 1]):
            match = axelrod.Match([getattr(axelrod, AXELROD[n])() for n in (a, b)], turns=30)
            match.play()
            theirs = match.final_score_per_turn()
            assert (ours[i, j], ours[j, i]) == pytest.approx(theirs), (a, b)


def test_noisy_tournaments_agree_with_axelrod_within_noise() -> None:
    axelrod = pytest.importorskip("axelrod")
    names, repeats = [*list(AXELROD)[2:24:3], "joss", "zd-extort-2"], 20
    ours = expected_payoffs(names, PD, rounds=25, noise=0.1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        players = [getattr(axelrod, AXELROD[n])() for n in names]
        found = axelrod.Tournament(players, turns=25, repetitions=repeats, noise=0.1, seed=3).play(progress_bar=False)
    gap = np.abs(np.array(found.payoff_matrix) - ours)
    error = np.array(found.payoff_stddevs) / np.sqrt(repeats)
    assert (gap < 4.5 * error + 0.02).all()


def test_simulated_tournaments_tend_to_the_expected_payoffs() -> None:
    names = ["tit-for-tat", "generous-tit-for-tat", "coin", "grim", "go-by-majority", "prober", "zd-extort-2"]
    exact = expected_payoffs(names, PD, rounds=20, noise=0.05)
    found = play_tournament(names, PD, rounds=20, repeats=3000, noise=0.05, seed=1)
    assert np.abs(found.payoffs - exact).max() < 0.05
    again = play_tournament(names, PD, rounds=20, repeats=3000, noise=0.05, seed=1)
    assert (again.scores == found.scores).all()


def test_folk_results_of_the_repeated_dilemma() -> None:
    names = ["cooperator", "defector", "tit-for-tat", "grim", "pavlov"]
    pays = expected_payoffs(names, PD, rounds=100)
    tft = names.index("tit-for-tat")
    assert pays[tft, tft] == 3  # full cooperation between equals
    assert pays[1, tft] == pytest.approx((5 + 99) / 100)  # one temptation, then punishment for ever
    assert pays[tft, 1] == pytest.approx(99 / 100)
    assert (pays[:, tft] >= pays[tft, :] - 0.05 - 1e-9).all()  # it never beats anybody by much, nor loses much
    noisy = expected_payoffs(["tit-for-tat", "pavlov", "generous-tit-for-tat"], PD, rounds=1000, noise=0.01)
    assert noisy[0, 0] == pytest.approx(2.25, abs=0.1)  # noise ruins tit-for-tat among equals (1/4 of each outcome)
    assert noisy[1, 1] > 2.9  # but neither pavlov
    assert noisy[2, 2] > 2.9  # nor generosity
    extort = expected_payoffs(["zd-extort-2", "cooperator"], PD, rounds=2000)
    assert extort[0, 1] - 1 >= 2 * (extort[1, 0] - 1) - 0.01  # twice the other's surplus (Press and Dyson 2012)


def test_tournament_facts() -> None:
    found = play_tournament(["cooperator", "defector"], PD, rounds=10, repeats=3)
    assert found.scores.shape == (2, 2, 3)
    assert found.payoffs.tolist() == [[3, 0], [5, 1]]
    assert found.ranking() == ["defector", "cooperator"]
    assert found.cooperation[0, 1].tolist() == [1, 1, 1]
    assert pure_equilibria(found.game()) == [(1, 1)]
    with pytest.raises(UnknownName, match="tit-for-tat"):
        play_tournament(["tit-for-tot"], PD)
    with pytest.raises(UnknownName, match="sneak"):
        make_strategy("joss:sneek=0.2")
    with pytest.raises(InputError, match="Chances lie between"):
        make_strategy("joss:sneak=2")
    for settings, word in (({"noise": -0.1}, "noise"), ({"rounds": 0}, "rounds"), ({"repeats": 0}, "repeats")):
        with pytest.raises(InputError, match=word):
            play_tournament(["coin"], PD, **settings)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="two actions"):
        play_tournament(["coin"], table_of("rock-paper-scissors"))
    with pytest.raises(InputError, match="fewer repeats"):
        play_tournament(["coin"], PD, rounds=10**6, repeats=10**5)


# learners and societies


def test_independent_learners_in_the_dilemma_and_in_coordination() -> None:
    found = learn(PD, rounds=3000, blocks=5, seeds=32, discount=[0.0, 0.9], explore=0.02)
    assert found.values.shape == (2, 32, 2, 5, 2)
    last = found.shares[:, :, :, -1, 0].mean(axis=(1, 2))
    assert last[0] < 0.1  # who does not look ahead defects
    assert last[1] > last[0]
    both = learn(table_of("coordination"), rounds=2000, blocks=5, seeds=16)
    assert both.payoffs[0, :, 0, -1].mean() > 0.8
    odd = learn(normal_form(np.random.default_rng(0).random((2, 3, 2))), rounds=100, blocks=2, seeds=2)
    assert np.isinf(odd.values[0, 0, 0, :, 2]).all()
    for settings, word in (({"rate": 0}, "rate"), ({"discount": 1}, "discount"), ({"explore": 2}, "explore")):
        with pytest.raises(InputError, match=word):
            learn(PD, **settings)  # type: ignore[arg-type]


def test_societies_on_graphs_and_with_choice() -> None:
    defectors, cooperators, mixed = [0.0] * 5, [1.0] * 5, [1, 1, 0, 1, 0]
    ring = np.roll(np.eye(12), 1, axis=1) + np.roll(np.eye(12), -1, axis=1)
    common = {"rounds": 10, "generations": 30, "seeds": 8}
    found = play_society(PD, [defectors, cooperators], ring, **common)  # type: ignore[arg-type]
    assert found.shares.shape == (8, 30, 2)
    assert np.allclose(found.cooperation, found.shares[..., 1], atol=0.1)  # some meet more often than others
    assert found.shares[:, -1, 0].mean() > found.shares[:, 0, 0].mean()
    chosen = play_society(PD, [defectors, mixed], agents=12, choosiness=8.0, **common)  # type: ignore[arg-type]
    anyone = play_society(PD, [defectors, mixed], agents=12, choosiness=0.0, **common)  # type: ignore[arg-type]
    sought = chosen.asked[:, 0, 1] - chosen.shares[:, 0, 1]
    assert sought.mean() > (anyone.asked[:, 0, 1] - anyone.shares[:, 0, 1]).mean() + 0.05
    for graph, word in (([[0, 1], [0, 0]], "symmetric"), (np.zeros((3, 3)), "without neighbours"), ([1], "square")):
        with pytest.raises(InputError, match=word):
            play_society(PD, [mixed], graph)
    with pytest.raises(InputError, match="strategies"):
        play_society(PD, [[1, 0]])


def test_zero_sum_helper_takes_from_the_column_player_what_the_row_player_wins() -> None:
    game = zero_sum([[1, -2], [0, 3]])
    assert game.zero_sum and not PD.zero_sum
    assert np.array_equal(game.table, [[[1, -1], [-2, 2]], [[0, 0], [3, -3]]])
    with pytest.raises(InputError, match="actions"):
        zero_sum([[1, -2], [0, 3]], (("up", "down"), ("left",)))
