"""Solvers against published constants, closed forms, definitions checked by brute force, and second implementations."""

from __future__ import annotations

import warnings
from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from payoff_tables import table_of
from shoal.errors import InputError
from shoal.games import bimatrix, make_game, normal_form, sequential, symmetric, zero_sum
from shoal.games.extensive import Chance, Decision, End, Extensive, extensive
from shoal.games.normal_form import NormalForm
from shoal.games.solvers import (
    all_equilibria,
    best_response,
    cfr,
    correlated_equilibrium,
    correlated_gain,
    dominated,
    exploitability,
    is_equilibrium,
    iterated_dominance,
    maximin,
    mixed_stackelberg,
    nash_conv,
    pure_equilibria,
    pure_stackelberg,
    regret_matching,
    subgame_perfect,
    support_enumeration,
    tree_nash_conv,
)


def tree_of(spec: str) -> Extensive:
    game = make_game(spec)
    assert isinstance(game, Extensive)
    return game


def random_game(rng: np.random.Generator, *shape: int) -> NormalForm:
    return normal_form(rng.random((*shape, len(shape))))


def same(found: Any, wanted: Any) -> bool:
    """Whether two lists of profiles hold the same ones."""
    close = [[all(np.allclose(p, q, atol=1e-6) for p, q in zip(a, b, strict=True)) for b in wanted] for a in found]
    return len(found) == len(wanted) and all(map(any, close)) and all(map(any, zip(*close, strict=True)))


# all equilibria of two players


@pytest.mark.parametrize(
    ("spec", "wanted"),
    [
        ("prisoners-dilemma", [([0, 1], [0, 1])]),
        ("matching-pennies", [([0.5, 0.5], [0.5, 0.5])]),
        ("rock-paper-scissors", [([1 / 3] * 3, [1 / 3] * 3)]),
        ("battle-of-the-sexes", [([1, 0], [1, 0]), ([0, 1], [0, 1]), ([0.6, 0.4], [0.4, 0.6])]),
        ("hawk-dove", [([1, 0], [0, 1]), ([0, 1], [1, 0]), ([1 / 3, 2 / 3], [1 / 3, 2 / 3])]),
        ("stag-hunt", [([1, 0], [1, 0]), ([0, 1], [0, 1]), ([0.75, 0.25], [0.75, 0.25])]),
        ("inspection", [([0.5, 0.5], [0.75, 0.25])]),
        ("commitment", [([1, 0], [1, 0])]),
    ],
)
def test_known_equilibria(spec: str, wanted: Any) -> None:
    found = all_equilibria(table_of(spec))
    assert same(found.profiles, wanted)
    assert not found.degenerate


@pytest.mark.parametrize("options", [1, 2, 3, 4, 5])
def test_coordination_has_an_equilibrium_for_every_set_of_options(options: int) -> None:
    assert len(all_equilibria(table_of(f"coordination:options={options}"))) == 2**options - 1


def test_the_travellers_claim_the_least() -> None:
    game = table_of("travellers-dilemma:high=10")
    assert same(all_equilibria(game).profiles, [game.pure((0, 0))])
    assert iterated_dominance(game).kept == ((0,), (0,))  # only the lowest claim is rationalisable (Basu 1994)
    assert pure_equilibria(table_of("travellers-dilemma")) == [(0, 0)]


def test_random_games_have_an_odd_number_of_verified_equilibria() -> None:
    rng = np.random.default_rng(0)
    for _ in range(200):
        m, n = rng.integers(1, 7, 2)
        game = random_game(rng, m, n)
        found = all_equilibria(game)
        assert not found.degenerate
        assert len(found) % 2 == 1  # Wilson 1971
        assert all(is_equilibrium(game, profile) for profile in found.profiles)
        pure = [game.pure(joint) for joint in pure_equilibria(game)]
        assert same([p for p in found.profiles if all(q.max() > 1 - 1e-9 for q in p)], pure)


def test_extreme_equilibria_of_degenerate_games() -> None:
    # Row is indifferent: every pair (any x, first column) is an equilibrium; its ends are the extreme ones.
    flat = bimatrix([[1, 0], [1, 0]], [[1, 0], [1, 0]])
    found = all_equilibria(flat)
    assert found.degenerate
    assert same(found.profiles, [([1, 0], [1, 0]), ([0, 1], [1, 0])])
    # von Stengel 2002, section 2.5 (a column strategy that is a best response to an interval)
    game = bimatrix([[3, 3], [2, 5], [0, 6]], [[3, 3], [2, 6], [3, 1]])
    found = all_equilibria(game)
    assert found.degenerate
    wanted = [([1, 0, 0], [1, 0]), ([1, 0, 0], [2 / 3, 1 / 3]), ([0, 1 / 3, 2 / 3], [1 / 3, 2 / 3])]
    assert same(found.profiles, wanted)
    zeros = all_equilibria(bimatrix(np.zeros((2, 3)), np.zeros((2, 3))))
    assert zeros.degenerate
    assert len(zeros) == 6  # every pure profile


@examples(max_examples=150, deadline=None)
@given(st.integers(1, 4), st.integers(1, 4), st.data())
def test_games_of_small_integers_degenerate_or_not(m: int, n: int, data: Any) -> None:
    numbers = st.lists(st.integers(-2, 2), min_size=m * n, max_size=m * n)
    a, b = (np.array(data.draw(numbers), float).reshape(m, n) for _ in range(2))
    game = bimatrix(a, b)
    found = all_equilibria(game)
    assert len(found) >= 1
    assert all(is_equilibrium(game, profile) for profile in found.profiles)
    for joint in pure_equilibria(game):  # a pure profile is a vertex, so it is always extreme
        wanted = game.pure(joint)
        assert any(all(np.allclose(p, q) for p, q in zip(p, wanted, strict=True)) for p in found.profiles)
    moved = bimatrix(3 * a - 7, 0.5 * b + 2)  # a positive scale and a shift change nothing
    assert same(all_equilibria(moved).profiles, found.profiles)


def test_nothing_is_missed_that_nashpy_finds() -> None:
    nashpy = pytest.importorskip("nashpy")
    rng = np.random.default_rng(1)
    found = total = 0
    for k in range(500):
        m, n = (int(x) for x in rng.integers(1, 4 if k % 10 else 5, 2))
        a, b = rng.normal(size=(m, n)), rng.normal(size=(m, n))
        ours = all_equilibria(bimatrix(a, b)).profiles
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # where it misses one, it warns of an even number
            theirs = list(nashpy.Game(a, b).support_enumeration())
        assert all(any(same([p], [q]) for q in ours) for p in theirs)
        found += len(theirs)
        total += len(ours)
    assert found > 0.95 * total


def test_extreme_equilibria_agree_with_pygambit() -> None:
    gambit = pytest.importorskip("pygambit")
    rng = np.random.default_rng(2)
    for k in range(150):
        m, n = (int(x) for x in rng.integers(1, 5, 2))
        a, b = (rng.integers(0, 3 if k % 2 else 50, (m, n)) for _ in range(2))  # many of them degenerate
        game = gambit.Game.from_arrays(a, b)
        theirs = [
            tuple(np.array([float(p[s]) for s in player.strategies]) for player in game.players)
            for p in gambit.nash.enummixed_solve(game, rational=True).equilibria
        ]
        assert same(all_equilibria(bimatrix(a, b)).profiles, theirs)


def test_too_large_games_are_refused_with_what_would_do() -> None:
    with pytest.raises(InputError, match=r"12x12.*2,704,155 support systems.*regret_matching"):
        all_equilibria(normal_form(np.zeros((12, 12, 2))))
    with pytest.raises(InputError, match="regret_matching"):
        support_enumeration(normal_form(np.zeros((4, 4, 4, 4, 4))))
    with pytest.raises(InputError, match="coarse correlated"):
        correlated_equilibrium(normal_form(np.zeros((70, 70, 70, 3))))
    with pytest.raises(InputError, match="this solver is for two"):
        all_equilibria(table_of("minority"))


# more players


def test_volunteers_mix_as_diekmann_says() -> None:
    game = table_of("volunteers-dilemma:players=3,benefit=2,cost=1")
    wait = (1 / 2) ** (1 / 2)
    mixed = (np.array([1 - wait, wait]),) * 3
    found = support_enumeration(game)
    assert any(all(np.allclose(p, q, atol=1e-7) for p, q in zip(mixed, other, strict=True)) for other in found)
    assert len(pure_equilibria(game)) == 3
    assert all(is_equilibrium(game, p) for p in found)


def test_three_player_games_against_pygambit() -> None:
    gambit = pytest.importorskip("pygambit")
    rng = np.random.default_rng(3)
    for _ in range(25):
        game = random_game(rng, 2, 2, 2)
        other = gambit.Game.from_arrays(*np.moveaxis(game.table, -1, 0))
        found = gambit.nash.enumpoly_solve(other).equilibria
        theirs = [tuple(np.array([float(p[s]) for s in player.strategies]) for player in other.players) for p in found]
        ours = support_enumeration(game)
        assert all(is_equilibrium(game, p) for p in ours)
        missing = [p for p in theirs if not any(same([p], [q]) for q in ours) and nash_conv(game, p) < 1e-6]
        assert not missing


def test_public_goods_are_not_provided() -> None:
    game = table_of("public-goods:players=4,factor=1.6,levels=3")
    assert iterated_dominance(game).kept == ((0,),) * 4
    assert pure_equilibria(game) == [(0, 0, 0, 0)]
    assert pure_equilibria(table_of("public-goods:players=3,factor=4")) == [(1, 1, 1)]


# regret matching, maximin, correlated equilibria


def test_regret_matching_solves_zero_sum_games() -> None:
    rng = np.random.default_rng(4)
    for _ in range(3):
        game = zero_sum(rng.normal(size=(4, 4)))
        found = regret_matching(game, 3000, starts=4, seed=1)
        assert found.gains.max() < 0.01
        value = maximin(game, 0)[0]
        assert game.expected(found.best)[0] == pytest.approx(value, abs=0.01)
        assert maximin(game, 1)[0] == pytest.approx(-value, abs=1e-8)


def test_regret_matching_tends_to_coarse_correlated_equilibria() -> None:
    game = random_game(np.random.default_rng(5), 3, 3, 3)
    few, many = (regret_matching(game, t, starts=4, plus=False) for t in (50, 5000))
    gains = [max(correlated_gain(game, j, coarse=True).max() for j in found.joint) for found in (few, many)]
    assert gains[1] < 0.02
    assert gains[1] < gains[0] or gains[0] < 1e-9
    assert np.allclose(many.joint.sum(axis=(1, 2, 3)), 1)


def test_correlated_equilibrium_of_chicken() -> None:
    # Aumann 1974's kind of example: payoffs 6,6 / 2,7 / 7,2 / 0,0; the best welfare is 10.5 (half, quarter, quarter).
    game = symmetric([[6, 2], [7, 0]])
    joint = correlated_equilibrium(game)
    assert np.allclose(joint, [[0.5, 0.25], [0.25, 0]])
    assert (joint[..., None] * game.table).sum() == pytest.approx(10.5)
    assert correlated_gain(game, joint).max() <= 1e-9
    best_nash = max(game.expected(p).sum() for p in all_equilibria(game).profiles)
    assert best_nash == pytest.approx(28 / 3)


def test_correlated_equilibria_contain_nash_and_obey_their_constraints() -> None:
    rng = np.random.default_rng(6)
    for _ in range(20):
        game = random_game(rng, 3, 3)
        joint = correlated_equilibrium(game)
        assert correlated_gain(game, joint).max() <= 1e-8
        welfare = (joint[..., None] * game.table).sum()
        for profile in all_equilibria(game).profiles:
            assert correlated_gain(game, np.multiply.outer(*profile)).max() <= 1e-8
            assert game.expected(profile).sum() <= welfare + 1e-8
        coarse = correlated_equilibrium(game, coarse=True)
        assert (coarse[..., None] * game.table).sum() >= welfare - 1e-8
        worst = correlated_equilibrium(game, [-1, -1])
        assert (worst[..., None] * game.table).sum() <= welfare + 1e-8
    with pytest.raises(InputError, match="weights"):
        correlated_equilibrium(game, [1.0])


# dominance


def test_dominance_strict_weak_pure_and_mixed() -> None:
    # The middle row is never best but only a mixture of the others beats it.
    game = bimatrix([[4, 0], [1, 1], [0, 4]], np.zeros((3, 2)))
    assert dominated(game, 0, mixed=False) == []
    assert dominated(game, 0) == [1]
    weak = bimatrix([[1, 1], [1, 0]], [[0, 0], [0, 0]])
    assert dominated(weak, 0) == []
    assert dominated(weak, 0, weak=True) == [1]
    mixed_weak = bimatrix([[4, 0, 2], [2, 2, 1], [0, 4, 2]], np.zeros((3, 3)))
    assert dominated(mixed_weak, 0) == []
    assert dominated(mixed_weak, 0, weak=True, mixed=False) == []
    assert dominated(mixed_weak, 0, weak=True) == [1]
    guess = iterated_dominance(table_of("beauty-contest:players=2,high=6"), weak=True)
    assert guess.solved
    assert guess.game.actions == (("guess-0",),) * 2


def test_equilibria_live_on_undominated_actions() -> None:
    rng = np.random.default_rng(7)
    for _ in range(30):
        game = random_game(rng, 4, 4)
        left = iterated_dominance(game)
        for profile in all_equilibria(game).profiles:
            for p, keep in zip(profile, left.kept, strict=True):
                assert set(np.flatnonzero(p > 1e-9)) <= set(keep)
        assert len(all_equilibria(left.game)) == len(all_equilibria(game))


# commitment


def test_stackelberg_examples() -> None:
    game = table_of("commitment")
    assert pure_stackelberg(game).payoffs.tolist() == [3, 1]
    best = mixed_stackelberg(game)
    assert np.allclose(best.strategy, [0.5, 0.5])
    assert np.allclose(best.payoffs, [3.5, 0.5])
    # Whole quantities leave the follower ties; if it does not break them for the leader, the textbook comes out:
    # half of demand, the follower a quarter.
    duopoly = pure_stackelberg(table_of("cournot:demand=12"), kind=False)
    assert np.argmax(duopoly.strategy) == 6
    assert duopoly.answer == 3
    assert duopoly.payoffs.tolist() == [18, 9]
    assert pure_stackelberg(game, leader=1).payoffs.tolist() == [2, 1]


def test_commitment_is_worth_at_least_as_much_as_any_equilibrium() -> None:
    rng = np.random.default_rng(8)
    for _ in range(40):
        game = random_game(rng, 3, 3)
        for leader in (0, 1):
            mixed, pure = mixed_stackelberg(game, leader), pure_stackelberg(game, leader)
            assert mixed.payoffs[leader] >= pure.payoffs[leader] - 1e-9
            # von Stengel and Zamir 2010: never below the worst equilibrium; strong Stackelberg not below any
            assert all(mixed.payoffs[leader] >= game.expected(p)[leader] - 1e-8 for p in all_equilibria(game).profiles)
            first = subgame_perfect(sequential(game, (leader, 1 - leader)))
            assert np.allclose(first.payoffs, pure.payoffs)
    zero = zero_sum(rng.normal(size=(3, 3)))
    assert mixed_stackelberg(zero).payoffs[0] == pytest.approx(maximin(zero)[0])
    for bad in (2, -1):
        with pytest.raises(InputError, match="leader"):
            mixed_stackelberg(game, bad)


def test_ties_of_the_follower() -> None:
    game = bimatrix([[1, 0], [2, -5]], [[0, 0], [0, 0]])
    assert pure_stackelberg(game).payoffs[0] == 2
    assert pure_stackelberg(game, kind=False).payoffs[0] == 0


# exploitability


def test_exploitability_is_zero_at_equilibria_only() -> None:
    game = table_of("rock-paper-scissors")
    third = [1 / 3] * 3
    assert exploitability(game, [third, third]) == pytest.approx(0)
    assert exploitability(game, [[1, 0, 0], third]) == pytest.approx(0.5)
    assert nash_conv(game, [[1, 0, 0], [1, 0, 0]]) == pytest.approx(2)


# trees


def test_kuhn_poker_is_worth_minus_an_eighteenth() -> None:
    game = tree_of("kuhn-poker")
    found = cfr(game, 2000)
    assert found.payoffs[0] == pytest.approx(-1 / 18, abs=1e-4)
    assert found.gain < 1e-3
    assert tree_nash_conv(game, found.behaviour) == found.gain
    # Kuhn 1950: a king bets three times as often as a jack bluffs; a queen called with passes first.
    bluff, value = found.behaviour["jack:"][1], found.behaviour["king:"][1]
    assert value == pytest.approx(3 * bluff, abs=0.02)
    assert found.behaviour["queen:"][1] == pytest.approx(0, abs=0.01)
    assert found.behaviour["jack:b"][1] == pytest.approx(0, abs=0.01)
    assert found.behaviour["queen:b"][1] == pytest.approx(1 / 3, abs=0.02)
    assert maximin(game.normal_form())[0] == pytest.approx(-1 / 18)


@pytest.mark.slow
def test_poker_with_more_cards_by_two_ways() -> None:
    game = tree_of("kuhn-poker:cards=4")
    value = maximin(game.normal_form())[0]
    found = cfr(game, 1000, plus=False)
    assert found.payoffs[0] == pytest.approx(value, abs=0.01)


def test_kuhn_poker_against_open_spiel() -> None:
    pyspiel = pytest.importorskip("pyspiel")
    pytest.importorskip("open_spiel.python.algorithms.exploitability")
    from open_spiel.python import policy as policies
    from open_spiel.python.algorithms import exploitability as peer

    game, other = tree_of("kuhn-poker"), pyspiel.load_game("kuhn_poker")
    rng = np.random.default_rng(9)
    cards = {"jack": "0", "queen": "1", "king": "2"}
    for _ in range(20):
        play = {name: rng.dirichlet(np.ones(2)) for name in game.information}
        table = policies.TabularPolicy(other)
        for name, p in play.items():
            card, said = name.split(":")
            table.action_probability_array[table.state_lookup[cards[card] + said]] = p
        assert tree_nash_conv(game, play) == pytest.approx(2 * peer.exploitability(other, table))


def test_a_mixture_of_plans_and_its_behaviour_pay_the_same() -> None:
    game = tree_of("kuhn-poker")
    table = game.normal_form()
    rng = np.random.default_rng(10)
    for _ in range(10):
        plans = [rng.dirichlet(np.full(size, 0.2)) for size in table.shape]
        behaviour = game.mixture(plans[0], 0) | game.mixture(plans[1], 1)
        assert np.allclose(game.expected(behaviour), table.expected(plans))
    best, answer = best_response(game, behaviour, 0)
    assert best == pytest.approx(table.deviations(plans, 0).max())
    assert game.expected(behaviour | answer)[0] == pytest.approx(best)


def test_backward_induction() -> None:
    ultimatum = subgame_perfect(tree_of("ultimatum:pie=10"))
    assert ultimatum.payoffs.tolist() == [10, 0]
    assert ultimatum.path == ("offer-0", "accept")
    spiteful = subgame_perfect(tree_of("ultimatum:pie=10"), "spiteful")
    assert spiteful.path == ("offer-1", "accept")  # who refuses when indifferent must be offered the least unit
    assert spiteful.payoffs.tolist() == [9, 1]
    assert subgame_perfect(tree_of("centipede")).path == ("stop",)
    assert subgame_perfect(tree_of("trust")).path == ("send-0", "return-0")
    assert subgame_perfect(tree_of("entry-deterrence")).payoffs.tolist() == [2, 2]
    with pytest.raises(InputError, match="hidden moves"):
        subgame_perfect(tree_of("kuhn-poker"))
    with pytest.raises(InputError, match="ties"):
        subgame_perfect(tree_of("trust"), "odd")  # type: ignore[arg-type]


def test_backward_induction_is_an_equilibrium_of_random_trees() -> None:
    rng = np.random.default_rng(11)
    count = 0

    def grown(depth: int) -> Any:
        nonlocal count
        if depth == 0:
            return End((float(rng.normal()), float(rng.normal())))
        if rng.random() < 0.2:
            return Chance((("left", 0.3, grown(depth - 1)), ("right", 0.7, grown(depth - 1))))
        count += 1
        name = f"node-{count}"
        return Decision(int(rng.integers(2)), name, ("a", "b"), (grown(depth - 1), grown(depth - 1)))

    for _ in range(20):
        game = extensive(grown(4), 2)
        found = subgame_perfect(game)
        assert np.allclose(game.expected(found.behaviour), found.payoffs)
        assert tree_nash_conv(game, found.behaviour) == pytest.approx(0, abs=1e-9)


def test_all_equilibria_by_definition_on_a_grid() -> None:
    """A brute-force second opinion: on 2 x 2 games no grid point off the list is near an equilibrium."""
    rng = np.random.default_rng(12)
    grid = np.linspace(0, 1, 41)
    for _ in range(10):
        game = random_game(rng, 2, 2)
        found = all_equilibria(game).profiles
        for x, y in product(grid, grid):
            profile = (np.array([x, 1 - x]), np.array([y, 1 - y]))
            if game.regrets(profile).max() < 2e-4:
                assert min(np.abs(p[0] - [x, 1 - x]).max() + np.abs(p[1] - [y, 1 - y]).max() for p in found) < 0.2
