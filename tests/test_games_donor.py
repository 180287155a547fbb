"""The donor game by its closed forms, and what a donor sees of a receiver's chain."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from shoal.errors import InputError
from shoal.games import make_game, open_seat, play
from shoal.games.donor import DonorGame, Situation, play_societies


def test_the_donor_game_by_its_closed_forms() -> None:
    def policy(key: Any, s: Situation) -> Any:  # in the first society all give everything, in the second nothing
        return jnp.broadcast_to(jnp.array([[1.0], [0.0]]), s.donor.shape)

    final, shares = play_societies(policy, jax.random.key(0), societies=2)
    assert np.allclose(np.asarray(final).mean(axis=1), [30720, 10])
    assert np.allclose(final[1], 10)
    assert shares.shape == (12, 2, 6)
    half, shares = play_societies(lambda k, s: jnp.full(s.donor.shape, 0.5), jax.random.key(1), societies=2, rounds=1)
    assert np.allclose(np.asarray(half).sum(axis=1), 120 + (2 - 1) * 6 * 5)  # total grows by (b - 1) x gifts
    fined, shares = play_societies(
        lambda k, s: jnp.full(s.donor.shape, -0.5), jax.random.key(1), societies=2, rounds=1, punishment=2.0
    )
    assert sorted(np.asarray(fined[0]).tolist()) == [0.0] * 6 + [5.0] * 6  # 5 spent take 10 away
    assert np.allclose(shares, -0.5)
    seats = play(make_game("donor"), [open_seat("always:100%")] * 12)
    assert seats.payoffs.mean() == 30720


def test_donors_see_the_receivers_chain_and_nothing_newer() -> None:
    game = DonorGame(agents=4, rounds=4, depth=3)
    rng = np.random.default_rng(0)
    state = game.begin(rng)
    assert all("gave" not in view.seen for view in game.turns(state))
    given = {}
    for _ in range(3):
        views = game.turns(state)
        given = {view.player: 3 + view.player for view in views}
        state = game.step(state, given, rng)
    for view in game.turns(state):
        receiver = next(p for d, p in game._pairs(state) if d == view.player)
        assert f"1 round ago agent-{receiver + 1} gave {given[receiver]}0% of its units" in view.seen
        assert "3 rounds ago" in view.seen

    def follow(key: Any, s: Situation) -> Any:
        return jnp.where(s.trace[..., 0] < 0, 0.25, s.trace[..., 0])

    _, shares = play_societies(follow, jax.random.key(2), societies=2, rounds=6)
    assert np.allclose(shares, 0.25)  # the first round knows nothing, later ones copy it
    hidden = play_societies(
        lambda k, s: jnp.full(s.donor.shape, s.trace.shape[-1]), jax.random.key(3), societies=1, depth=0
    )
    assert np.allclose(hidden[0], 10)
    for settings, word in (({"agents": 5}, "even"), ({"multiplier": 0}, "multiplier"), ({"depth": -1}, "depth")):
        with pytest.raises(InputError, match=word):
            DonorGame(**settings)  # type: ignore[arg-type]
