"""Advantage Alignment: credit and baselines on closed forms, the games' rules, and what training does."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from shoal.posttrain.advantage_alignment import NAIVE, Credit, Settings, advantages, credits, payoffs, train
from shoal.posttrain.credit import aligned_advantages
from shoal.posttrain.problems.bargaining import (
    ALWAYS_COOPERATE,
    ALWAYS_DEFECT,
    TIT_FOR_TAT,
    Dilemma,
    Split,
    TrustAndSplit,
    fixed,
)
from shoal.posttrain.problems.recurrent_bargaining import RecurrentDilemma, always, chance_after, remembered

pytestmark = pytest.mark.usefixtures("quick_compilation")
KEY = jax.random.key(0)


def test_credit_is_the_one_of_the_trainers() -> None:
    own, other = np.random.default_rng(0).normal(size=(2, 5, 7))
    found = credits(jnp.array(own.T), jnp.array(other.T), Credit(1.5), 0.9, KEY)
    np.testing.assert_allclose(found.T, aligned_advantages(own, other, 1.5, 0.9), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(credits(jnp.array(own.T), jnp.array(other.T), NAIVE, 0.9, KEY), own.T, rtol=1e-6)
    summed = credits(jnp.array(own.T), jnp.array(other.T), Credit(0.0, 1.0), 0.9, KEY)
    np.testing.assert_allclose(summed.T, own + other, rtol=1e-5, atol=1e-6)


def test_the_baseline_leaves_a_game_out_of_its_own_group() -> None:
    reward = np.random.default_rng(1).normal(size=(3, 6))
    found = advantages(jnp.array(reward), Settings(discount=0.5, group=3), 2.0)
    value = np.stack([sum(0.5 ** (u - t) * reward[u] / 2 for u in range(t, 3)) for t in range(3)])
    expected = value[0, 1] - (value[0, 0] + value[0, 2]) / 2
    assert found[0, 1] == pytest.approx(expected, abs=1e-5)
    np.testing.assert_allclose(np.asarray(found).reshape(3, 2, 3).sum(-1), 0, atol=1e-5)


@pytest.mark.parametrize(
    ("one", "two", "paid"),
    [
        (ALWAYS_COOPERATE, ALWAYS_COOPERATE, (3.0, 3.0)),
        (ALWAYS_DEFECT, ALWAYS_COOPERATE, (5.0, 0.0)),
        (ALWAYS_DEFECT, ALWAYS_DEFECT, (1.0, 1.0)),
        (TIT_FOR_TAT, ALWAYS_DEFECT, (0.9, 1.4)),
    ],
)
def test_the_dilemma_pays_what_its_table_says(one: tuple[float, ...], two: tuple[float, ...], paid: tuple) -> None:
    found = payoffs(Dilemma(), fixed(one), fixed(two), 512, KEY)  # type: ignore[arg-type]
    np.testing.assert_allclose(found, paid, atol=0.02)


def claims(game: TrustAndSplit, level: int) -> dict[str, jax.Array]:
    """Always claims that much."""
    fresh = game.fresh(KEY)
    return {**fresh, "claim": jnp.full_like(fresh["claim"], -50.0).at[..., level].set(50.0)}


def test_greedy_players_share_and_modest_ones_leave_coins() -> None:
    game = TrustAndSplit()
    greedy = payoffs(game, claims(game, 10), claims(game, 10), 512, KEY)
    assert greedy.sum() == pytest.approx(55.0, abs=1e-3)
    modest = payoffs(game, claims(game, 2), claims(game, 2), 512, KEY)
    assert modest.sum() == pytest.approx(2 * 11, abs=1e-3)
    unlike = payoffs(game, claims(game, 10), claims(game, 0), 4096, KEY)
    assert unlike[1] == 0 and unlike[0] == pytest.approx(55.0, abs=3.0), "upper hand in half of the rounds"


def test_games_of_a_group_are_dealt_the_same_hands() -> None:
    game = TrustAndSplit()
    deals = jax.random.split(KEY, 2)
    state = game.begin(8)
    rewards = []
    for level in (10, 0):
        policy = claims(game, level)
        _, seen = game.play(KEY, deals, (policy, claims(game, 0)), state)
        rewards.append(np.asarray(seen.reward))
    assert len(np.unique(rewards[0][0].reshape(2, 4), axis=1)[0]) == 1
    assert (rewards[1] == 0).all()


def test_split_has_equal_totals_and_a_kind_that_differs() -> None:
    game = Split()
    policy = jnp.full((2, 2, 2, 3), -50.0).at[..., 2].set(50.0)
    _, seen = game.play(KEY, jax.random.split(KEY, 64), (policy, policy), game.begin(64))
    assert set(np.unique(seen.reward)) == {60.0, 105.0}, "half of 10+1+1 or 10+1+10 tens"
    np.testing.assert_allclose(seen.reward[0], seen.reward[1])


def test_recurrent_players_begin_friendly_and_remember_their_own_games() -> None:
    game = RecurrentDilemma(width=4)
    player = game.fresh(KEY)
    for rounds in ((), (1,), (2, 4)):
        assert chance_after(player, rounds) == pytest.approx(0.8, abs=1e-6)
        assert chance_after(always(player, True), rounds) > 0.999 > 0.001 > chance_after(always(player, False), rounds)
    keen = player._replace(head=jnp.ones(4))
    memory, seen = game.play(KEY, KEY[None], (keen, player), game.begin(3))
    assert set(np.unique(memory.seen)) <= {1, 2, 3, 4} and seen.reward.shape == (2, 3)
    own = remembered(keen, jnp.zeros((3, 4)), jnp.zeros(3, jnp.int32))
    np.testing.assert_allclose(memory.hidden[0], own, atol=1e-6)
    seats = [remembered(keen, memory.hidden[i], memory.seen[i]) for i in range(2)]
    after, _ = game.play(KEY, KEY[None], (keen, keen), memory)
    np.testing.assert_allclose(after.hidden, jnp.stack(seats), atol=1e-6)
    assert chance_after(keen, (1, 1)) != chance_after(keen, (2, 1)), "what was two rounds ago can matter"


@pytest.mark.slow
def test_recurrent_players_learn_by_the_same_training() -> None:
    game, settings = RecurrentDilemma(width=4), Settings(updates=12, games=16, group=16, rate=0.05, pool=3)
    learn = jax.jit(jax.vmap(lambda key: train(game, settings, NAIVE, key)[0]))
    players = learn(jax.random.split(KEY, 2))
    chance = jax.vmap(lambda player: chance_after(player, (1,)))(players)
    assert (chance < 0.6).all() and chance[0] != chance[1]


@pytest.mark.slow
def test_own_reward_ends_in_defection_and_alignment_does_not() -> None:
    settings = Settings(updates=250, games=64, group=64, rate=0.1)
    game = Dilemma()
    arms = Credit(*(jnp.array(x) for x in ((0.0, 1.0), (0.0, 0.0), (0.0, 0.0), (0.5, 0.5))))
    policies, _ = jax.jit(jax.vmap(lambda credit: train(game, settings, credit, KEY)))(arms)
    pay = [float(payoffs(game, p, p, 512, KEY).mean()) for p in policies]
    assert pay[0] < 1.4 < 2.0 < pay[1]
