"""Every registered world meets the contract; and the contract is one that a wrong world breaks."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import pytest

from shoal.errors import InputError, UnknownName
from shoal.worlds import WORLDS, check, make_world
from shoal.worlds.conformance import NotConforming
from shoal.worlds.spread import Spread, SpreadState
from shoal.worlds.world import Timestep


@pytest.mark.parametrize("name", WORLDS.names())
def test_a_world_meets_the_contract(name: str) -> None:
    report = check(make_world(name))
    assert not report.failed
    assert len(report.passed) >= 8


@dataclasses.dataclass(frozen=True)
class Broken(Spread):
    """Spread with one rule broken at a time."""

    name = "broken"
    fault: str = ""

    def step(self, key: Any, state: SpreadState, actions: Any) -> tuple[SpreadState, Timestep]:
        state, t = super().step(key, state, actions)
        if self.fault == "nan":
            t = dataclasses.replace(t, reward=t.reward.at[0].set(jnp.nan))
        if self.fault == "dead":
            t = dataclasses.replace(t, alive=t.alive.at[0].set(False))
        if self.fault == "leak":  # worlds of one batch see each other
            t = dataclasses.replace(t, obs=t.obs + t.obs.mean())
        if self.fault == "endless":
            t = dataclasses.replace(t, truncated=jnp.zeros_like(t.truncated))
        if self.fault == "metrics":
            t = dataclasses.replace(t, metrics={})
        if self.fault == "type":
            t = dataclasses.replace(t, obs=t.obs.astype(jnp.int32))
        return state, t

    def describe(self, state: SpreadState, agent: int) -> str:
        return "" if self.fault == "silent" else super().describe(state, agent)


@pytest.mark.parametrize("fault", ["nan", "dead", "leak", "endless", "metrics", "type", "silent"])
def test_the_contract_catches_a_broken_world(fault: str) -> None:
    with pytest.raises(NotConforming, match="broken"):
        check(Broken(fault=fault), steps=8)


def test_worlds_are_made_by_name_with_settings() -> None:
    world = make_world("spread:count=4,horizon=9", local_ratio=1.0)
    assert (world.agent_count, world.horizon) == (4, 9)
    assert hash(world) == hash(make_world("spread", count=4, horizon=9, local_ratio=1.0))
    assert make_world("spread:agents=4") == make_world("spread", agents=4) == make_world("spread", count=4)
    with pytest.raises(UnknownName, match="Did you mean spread"):
        make_world("sprad")
    with pytest.raises(UnknownName, match="Did you mean count"):
        make_world("spread:counts=3")
    with pytest.raises(InputError, match="count"):
        make_world("spread", count=0)


def test_a_compiled_rollout_counts_whole_episodes() -> None:
    from shoal.worlds import play, random_actions

    world = make_world("spread")
    tally, _ = jax.jit(lambda key: play(world, lambda k, t: random_actions(world, k, t), key, 60, (7,)))(
        jax.random.key(0)
    )
    assert float(tally.episodes) == 14
    assert float(tally.steps) == 14 * 25
    assert float(tally.mean_return().max()) < 0
