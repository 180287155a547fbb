"""Episodes step by step: the frames of players, people, models and traces."""

from __future__ import annotations

from pathlib import Path

import jax
import numpy as np
import pytest

from shoal.errors import InputError
from shoal.marl.episodes import trace_key, write_episodes
from shoal.marl.frames import retraced
from shoal.marl.learner import make_learner
from shoal.marl.live import open_episode
from shoal.marl.players import RandomPlayer
from shoal.marl.policies import Policy
from shoal.traces import TraceWriter, read_trace
from shoal.worlds import make_world


def test_an_episode_ends_and_is_the_same_again() -> None:
    world = make_world("lever:count=3")
    one, two = (open_episode(world, ["random"], seed=4).finish() for _ in range(2))
    assert one.frames[-1].over
    assert one.actions == two.actions
    assert one.returns[-1].tolist() == sum(frame.reward for frame in one.frames).tolist()
    assert [row["agent"] for row in one.rows()] == list(world.agents)


def test_a_person_does_what_it_says_and_nothing_illegal() -> None:
    world = make_world("climbing")
    live = open_episode(world, ["person", "scripted:a"])
    assert live.options(0) == ("a", "b", "c")
    with pytest.raises(InputError, match="action of"):
        live.advance()
    with pytest.raises(InputError, match="jump"):
        live.advance({0: "jump"})
    frame = live.advance({0: "a"})
    assert live.recording.actions == [("a", "a")]
    assert frame.over and frame.reward.tolist() == [11.0, 11.0]
    with pytest.raises(InputError, match="over"):
        live.advance({0: "a"})


def test_language_models_play_and_one_that_cannot_answer_is_replaced_by_chance() -> None:
    world = make_world("climbing")
    live = open_episode(world, ["scripted:competence=1", "scripted:b"])
    live.finish()
    assert live.mix.models[0].asked == 1
    assert live.recording.actions[0][1] == "b"


def test_what_agents_say_is_kept() -> None:
    world = make_world("needed-message:horizon=2")
    learner = make_learner("ippo", communication="tarmac")
    state = learner.init(jax.random.split(jax.random.key(0), 1), world)
    policy = Policy(jax.tree.map(lambda x: x[0], learner.player(state)), world)
    made = open_episode(world, ["person", "learned"], policy=policy)
    made.advance({0: made.options(0)[0]})
    talk = made.recording.talk[0]
    assert talk is not None
    assert talk.sent.shape == (2,)
    assert talk.weight is not None
    assert np.allclose(talk.weight.sum(1), 1, atol=1e-5)


@pytest.mark.parametrize("spec", ["spread:horizon=3", "sum-guessing"])
def test_an_episode_of_a_trace_is_made_again(spec: str, tmp_path: Path) -> None:
    world = make_world(spec)
    path = tmp_path / "events.jsonl"
    with TraceWriter(path, "x") as trace:
        write_episodes(RandomPlayer(world.action_range), world, 2, trace_key(7), trace)
    steps = [event.payload for event in read_trace(path) if event.kind == "world.step"]
    made = retraced(world, steps, 1, trace_key(7))
    assert len(made.frames) == world.horizon + 1
    assert made.frames[-1].over
    with pytest.raises(InputError, match="rewards"):
        retraced(world, steps, 1, trace_key(8))
    with pytest.raises(InputError, match="episode"):
        retraced(world, steps, 5, trace_key(7))
