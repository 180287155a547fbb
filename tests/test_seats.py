"""Seats: parsing, scripted rules, language models in worlds, cross-play of known policies, learning curves."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import orjson
import pytest

from serving import serving
from shoal.errors import InputError, ModelError, UnknownName
from shoal.marl import Policy, RandomPlayer, evaluate
from shoal.marl.crossplay import cross_play, draw_matrix
from shoal.marl.curves import draw_curves, read_curves
from shoal.marl.language import ModelSeat, play
from shoal.marl.players import View
from shoal.marl.rules import RULES, rule_player
from shoal.marl.seats import Mix, evaluate_seats, open_seats, split_seats
from shoal.models.interface import Completion, Model, Request
from shoal.models.source import SharedModel
from shoal.stats import Evidence
from shoal.traces import Usage
from shoal.worlds import World, make_world


class Parrot(Model):
    """Says the same to everything, or fails; keeps what it was asked."""

    spec, identity, evidence = "parrot", "parrot", Evidence.SCRIPTED

    def __init__(self, reply: str) -> None:
        self.reply = reply
        self.requests: list[Request] = []

    async def complete(self, request: Request) -> Completion:
        self.requests.append(request)
        if self.reply == "timeout":
            raise ModelError("timeout", "too late")
        return Completion(self.reply, Usage(10, 2, calls=1))


class OneModel(SharedModel):
    def __init__(self, model: Model) -> None:
        self.spec, self.scheme, self.model = "parrot", "http", model

    def open(self, answer_key: Any, seed: int) -> Model:
        return self.model

    async def aclose(self) -> None:
        """Nothing to close."""


def seated(world: World[Any], reply: str, *others: str) -> tuple[Mix, Parrot]:
    """A parrot in the first seat, others in the rest."""
    parrot = Parrot(reply)
    policy = Policy(RandomPlayer(world.action_range), world)
    rest = open_seats(["random", *others], policy)
    return Mix(("parrot", *others), (ModelSeat(OneModel(parrot)), *rest.seats[1:]), policy), parrot


def test_seats_are_split_at_commas_but_not_within_the_settings_of_a_model() -> None:
    assert split_seats("learned, random*2,scripted:competence=1,latency=0,runs/a#1") == [
        "learned", "random", "random", "scripted:competence=1,latency=0", "runs/a#1",
    ]  # fmt: skip
    assert split_seats("local:smollm2*3") == ["local:smollm2"] * 3


def test_one_seat_stands_for_all_and_equal_seats_are_one_player() -> None:
    world = make_world("spread")
    mix = open_seats("random", Policy(RandomPlayer(), world))
    assert mix.names == ("random",) * 3
    assert len({id(s) for s in mix.seats}) == 1


@pytest.mark.parametrize(
    ("reply", "paid"),
    [
        ('{"action": "a"}', 1.0),
        ('Sure! {"action": "a"} it is.', 1.0),
        ("a", 1.0),
        ('"a".', 1.0),
        ('{"action": "b"}', 0.0),
    ],
)
def test_a_model_names_an_action_in_json_or_alone(reply: str, paid: float) -> None:
    world = make_world("matrix")
    mix, parrot = seated(world, reply, "scripted:a")
    played = evaluate_seats(mix, world, 3)
    assert played.returns.tolist() == [[paid, paid]] * 3
    assert len(parrot.requests) == 3
    request = parrot.requests[0]
    assert request.schema is not None
    assert request.schema["properties"]["action"]["enum"] == ["a", "b"]
    assert world.describe(world.reset(jax.random.key(0))[0], 0) in request.messages[-1]["content"]
    assert mix.spent["parrot"] == {"asked": 3, "failures": {}, "prompt_tokens": 30, "completion_tokens": 6, "calls": 3}


@pytest.mark.parametrize(
    ("reply", "kind"), [("c", "no action"), ("", "no action"), ("I choose a or b", "no action"), ("timeout", "timeout")]
)
def test_what_is_no_action_is_counted_and_a_legal_one_drawn(reply: str, kind: str) -> None:
    world = make_world("matrix")
    mix, _ = seated(world, reply, "scripted:a")
    played = evaluate_seats(mix, world, 64)
    assert mix.spent["parrot"]["failures"] == {kind: 64}
    assert 0.2 < played.returns[:, 0].mean() < 0.8  # a coin
    assert np.array_equal(played.returns, evaluate_seats(seated(world, reply, "scripted:a")[0], world, 64).returns)


@pytest.mark.parametrize(("competence", "low", "high"), [("1", 1.0, 1.0), ("0", 0.0, 0.0), ("0.5", 0.35, 0.65)])
def test_a_scripted_model_takes_the_learned_action_as_often_as_it_is_competent(
    competence: str, low: float, high: float
) -> None:
    world = make_world("matrix")
    learned = Policy(rule_player("b", world), world)
    mix = open_seats(f"scripted:competence={competence},learned", learned)
    played = evaluate_seats(mix, world, 100)
    assert low <= played.returns[:, 0].mean() <= high
    assert sum(s["calls"] for s in mix.spent.values()) == 100


def test_an_endpoint_is_asked_with_the_legal_actions_and_may_be_asked_again() -> None:
    world = make_world("matrix")
    wanted: list[Any] = []

    def answer(request: dict[str, Any]) -> str:
        wanted.append(request["response_format"]["json_schema"]["schema"]["properties"]["action"]["enum"])
        return '{"action": "b"}'

    with serving(answer=answer) as server:
        mix = open_seats(f"{server.url}#m,scripted:b", Policy(RandomPlayer(), world))
        for _ in range(2):  # each time in an event loop of its own
            assert evaluate_seats(mix, world, 5).returns.tolist() == [[1.0, 1.0]] * 5
    assert wanted == [["a", "b"]] * 10
    (spent,) = mix.spent.values()
    assert (spent["asked"], spent["calls"], spent["failures"]) == (10, 10, {})


async def test_inside_a_running_event_loop() -> None:
    world = make_world("matrix")
    mix, _ = seated(world, "a", "scripted:a")
    assert evaluate_seats(mix, world, 2).returns.tolist() == [[1.0, 1.0]] * 2


def test_only_legal_actions_are_offered_and_nobody_is_asked_without_a_choice() -> None:
    world = make_world("traffic-junction:horizon=8")
    mix, parrot = seated(world, "gas", *["scripted:brake"] * (world.agent_count - 1))
    evaluate_seats(mix, world, 2)
    offered = {tuple(r.schema["properties"]["action"]["enum"]) for r in parrot.requests if r.schema}
    assert offered == {("gas", "brake")}
    assert mix.spent["parrot"]["asked"] == len(parrot.requests)


@pytest.mark.parametrize(("reply", "failures"), [('{"guess": 2.5}', {}), ('{"guess": 9e9}', {"no action": 2})])
def test_values_where_actions_are_continuous(reply: str, failures: dict[str, int]) -> None:
    world = make_world("sum-guessing", agents=2)
    mix, parrot = seated(world, reply, "random")
    evaluate_seats(mix, world, 2)
    assert parrot.requests
    assert mix.spent["parrot"]["failures"] == failures
    with pytest.raises(UnknownName, match="scripted rule"):
        rule_player("guess", world)


def test_stepping_by_hand_is_the_compiled_evaluation() -> None:
    world = make_world("spread:horizon=7")
    player = RandomPlayer()
    key = jax.random.key(3)
    states: list[Any] = []
    one = play(player, {}, world, 5, key, watch=states.append)
    two = evaluate(player, world, 5, key)
    assert np.allclose(one.returns, two.returns, rtol=1e-5)
    assert np.array_equal(one.lengths, two.lengths)
    assert np.allclose(one.metrics["distance"], two.metrics["distance"], rtol=1e-4)
    assert [int(s.time) for s in states] == list(range(8))


def test_scripted_rules_do_what_they_say() -> None:
    assert {"own-landmark", "chase"} <= set(RULES)
    spread = make_world("spread")
    covered = evaluate(rule_player("own-landmark", spread), spread, 64, 0).metrics["distance"]
    drifting = evaluate(RandomPlayer(), spread, 64, 0).metrics["distance"]
    assert covered.mean() < 0.4 < drifting.mean()  # three landmarks, each a little off
    tag = make_world("tag")
    chance = Policy(RandomPlayer(), tag)
    touches = {
        seats: evaluate_seats(open_seats(seats, chance), tag, 128).metrics["touches"].mean()
        for seats in ("random", "scripted:chase*3,random", "random*3,scripted:chase")
    }
    assert touches["scripted:chase*3,random"] > 3 * touches["random"] > 3 * touches["random*3,scripted:chase"]
    with pytest.raises(InputError, match="It is for tag"):
        rule_player("chase", spread)


def test_a_rule_for_an_action_that_is_not_legal_takes_the_first_legal_one() -> None:
    world = make_world("combat:roster=3m")
    player, attack = rule_player("attack-0", world), world.actions[0].index("attack-0")
    agents, batch = world.agent_count, 2
    legal = np.zeros((world.action_count, agents, batch), bool)
    legal[[1, attack], :, 0] = legal[[1, 2], :, 1] = True
    seen, alive = np.zeros((1, agents, batch)), np.ones((agents, batch), bool)
    view = View(*map(jnp.asarray, (seen, np.zeros((0, batch)), alive, legal, np.ones(batch, bool))))
    action, _ = player.act(jax.random.key(0), view, ())
    assert np.array_equal(action, [[attack, 1]] * agents)
    assert np.isfinite(evaluate(player, world, 2, 0).returns).all()


def test_cross_play_of_conventions_has_the_gap_that_it_must_have() -> None:
    world = make_world("matrix:horizon=3")
    policies = {name: Policy(rule_player(name, world), world) for name in ("a", "b")}
    result = cross_play(policies, episodes=4)
    assert result.returns.mean(2).tolist() == [[6.0, 0.0], [0.0, 6.0]]
    assert (result.self_play.value, result.cross_play.value, result.gap.value) == (6.0, 0.0, 6.0)
    assert result.gap_over_policies.value == 6.0
    assert draw_matrix(result).axes
    three = cross_play({**policies, "a again": policies["a"]}, episodes=2)
    assert three.cross_play.value == pytest.approx(2.0)  # two of six pairs agree
    assert three.gap_over_policies.value == pytest.approx(4.0)
    assert three.gap_over_policies.n == 3


def test_the_row_plays_its_seats() -> None:
    world = make_world("climbing")
    policies = {name: Policy(rule_player(name, world), world) for name in ("b", "c")}
    first = cross_play(policies, episodes=1).returns[:, :, 0] / 2
    assert first.tolist() == [[7.0, 6.0], [0.0, 5.0]]  # the published table: row agent 0, column agent 1
    second = cross_play(policies, episodes=1, row_seats=[1]).returns[:, :, 0] / 2
    assert second.tolist() == [[7.0, 0.0], [6.0, 5.0]]


def metrics_file(folder: Path, table: list[list[float | None]]) -> Path:
    lines = [
        {"update": u + 1, "step": 10 * (u + 1), "seed": s, "return": value}
        for u, row in enumerate(table)
        for s, value in enumerate(row)
    ]
    (folder / "metrics.jsonl").write_bytes(b"\n".join(orjson.dumps(line) for line in lines))
    return folder


def test_curves_are_means_of_bins_and_leave_empty_ones_out(tmp_path: Path) -> None:
    folder = metrics_file(tmp_path, [[1.0, 5.0], [3.0, None], [None, None], [None, None], [6.0, 7.0], [8.0, 7.0]])
    curves = read_curves(folder, points=3)
    assert curves.steps.tolist() == [20.0, 60.0]
    assert curves.values.tolist() == [[2.0, 7.0], [5.0, 7.0]]
    middle = curves.middle()
    assert [e.value for e in middle] == [3.5, 7.0]
    assert (middle[0].low, middle[0].high) == (2.0, 5.0)
    figure = draw_curves({"x": curves})
    assert figure.axes[0].get_xlabel() == "environment steps (each seed)"
    with pytest.raises(InputError, match="nonsense"):
        read_curves(folder, "nonsense")
    with pytest.raises(InputError):
        read_curves(tmp_path / "nowhere")


def test_a_training_without_an_ended_episode_has_no_curve(tmp_path: Path) -> None:
    curves = read_curves(metrics_file(tmp_path, [[None], [None]]))
    assert curves.steps.size == 0
    assert math.isfinite(len(curves.seeds))
