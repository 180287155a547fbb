"""PettingZoo's own conformance tests on our worlds, and our seats in its environments."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

pytest.importorskip("pettingzoo")
with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # its test package imports environments that it has deprecated itself
    from pettingzoo.test import parallel_api_test, parallel_seed_test

from shoal.errors import InputError
from shoal.worlds import make_world
from shoal.worlds.pettingzoo import ParallelWorld, play_episode


@pytest.mark.parametrize("spec", ["spread", "spread:count=2,horizon=7"])
@pytest.mark.filterwarnings("ignore")
def test_pettingzoos_own_tests_pass(spec: str) -> None:
    parallel_api_test(ParallelWorld(make_world(spec)), num_cycles=60)
    parallel_seed_test(lambda: ParallelWorld(make_world(spec)), num_cycles=30)


def test_seats_play_an_episode() -> None:
    env = ParallelWorld(make_world("spread"), render_mode="rgb_array")
    seen: list[Any] = []

    def still(observation: Any, info: Any) -> int:
        seen.append((observation, info["action_mask"]))
        return 0

    totals = play_episode(env, dict.fromkeys(env.possible_agents, still))
    assert set(totals) == set(env.possible_agents)
    assert len(seen) == 3 * 25
    assert all(np.isfinite(list(totals.values())))
    picture = env.render()
    assert picture is not None
    assert picture.shape[2] == 3
    with pytest.raises(InputError, match="agent-2"):
        play_episode(env, {"agent-0": still, "agent-1": still})
