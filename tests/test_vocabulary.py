"""The vocabulary: every value runs from YAML, impossible teams are refused by field, round trips are exact."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shoal.errors import InputError, UnknownName
from shoal.models.scripted import ScriptedModel
from shoal.runs.budget import Budget, Limits
from shoal.tasks.problem import Problem, Question, answer_key
from shoal.teams.catalogue import open_team, recipe_names
from shoal.teams.protocols import kill
from shoal.teams.session import Session
from shoal.teams.vocabulary import (
    COMPONENTS,
    TeamSpec,
    choices,
    compile_team,
    describe,
    dump_team,
    load_team,
    parse_team,
    to_config,
)
from shoal.teams.vocabulary import schema as team_schema
from shoal.teams.vocabulary.components import canonical_value, values
from shoal.teams.vocabulary.examples import REFUSED, example
from shoal.teams.vocabulary.floor import spread
from shoal.teams.vocabulary.parameters import (
    ParametricModel,
    federated_average,
    fit_linear,
    gossip_average,
    merge_adapters,
)
from shoal.traces import TraceWriter, read_trace
from test_protocols import Puppet, check_causal

CHOICE = Problem(Question("c", "Which is it?\n(A) one\n(B) two", "choice", options=("A", "B")), "A")
SUM = Problem(Question("s", "What is 3 + 4?", "number"), "7")
KEY = answer_key([CHOICE, SUM])
TABLE = {
    "stage": ("early", "late", "mid"),
    "type": ("competition", "cooperation", "coopetition", "hybrid"),
    "strategy": ("model-based", "role-based", "rule-based"),
    "structure": ("centralized", "decentralized", "hierarchical"),
    "paradigm": ("debate", "memory", "relay", "report"),
    "orchestration": ("dynamic", "static"),
    "actors": ("agents", "heterogeneous", "homogeneous", "human", "roles"),
}
NAMES = COMPONENTS.names()


def team(text: str, **options: Any) -> Any:
    return compile_team(parse_team(text), answer_key=KEY, **options)


async def play(text: str, problem: Problem = CHOICE, speak: Any = None, **options: Any) -> tuple[Any, Session]:
    compiled = team(text, **options)
    model = Puppet(speak) if speak is not None else ScriptedModel(KEY, competence=1.0)
    session = Session(model, problem.question)
    return await compiled.run(problem.question, compiled.agents, session), session


def test_the_table_of_the_page_is_complete_and_matches_the_schema() -> None:
    for field, expected in TABLE.items():
        assert tuple(c.name for c in values(field)) == expected
    literals = {
        "stage": "Stage", "type": "Type", "strategy": "Strategy", "structure": "Structure", "paradigm": "Paradigm",
        "graph": "Graph", "hub_form": "HubForm", "orchestration": "Mode", "plan": "Plan", "aggregate": "Aggregate",
    }  # fmt: skip
    for field, name in literals.items():
        assert set(get_args(getattr(team_schema, name))) == {c.name for c in values(field)}, field
    for _, known in COMPONENTS.items():
        assert known.meaning and known.trade_off and "\n" not in known.trade_off
    taken = [(c.field, alias) for _, c in COMPONENTS.items() for alias in (c.name, *c.aliases)]
    assert len(taken) == len(set(taken))


@pytest.mark.parametrize("name", NAMES)
async def test_every_value_runs_from_a_yaml_file(name: str, tmp_path: Path) -> None:
    known = COMPONENTS.get(name)
    path = tmp_path / "team.yaml"
    path.write_text(example(known.field, known.name))
    spec = load_team(path)
    compiled = compile_team(spec, answer_key=KEY, read=lambda prompt: "Answer: A")
    problem = SUM if name in ("stage/mid", "aggregate/mean", "aggregate/median") else CHOICE
    with TraceWriter(tmp_path / "t.jsonl", "t") as writer:
        session = Session(ScriptedModel(KEY, competence=1.0), problem.question, trace=writer)
        outcome = await compiled.run(problem.question, compiled.agents, session)
    assert problem.check(outcome.answer)
    check_causal(read_trace(tmp_path / "t.jsonl"))
    chosen = {(c.where.rpartition(".")[2], c.value) for c in describe(spec)}
    chosen |= {("orchestration", c.value) for c in describe(spec) if c.where == "orchestration.mode"}
    assert (known.field, known.name) in chosen


@pytest.mark.parametrize("name", NAMES)
def test_config_to_team_to_config_is_identical(name: str) -> None:
    known = COMPONENTS.get(name)
    spec = parse_team(example(known.field, known.name))
    compiled = compile_team(spec, answer_key=KEY)
    assert TeamSpec.model_validate(compiled.config()) == spec
    assert parse_team(dump_team(spec)) == spec
    assert to_config(TeamSpec.model_validate(compiled.config())) == compiled.config()


@pytest.mark.parametrize("what, text, field", REFUSED, ids=[r[0] for r in REFUSED])
def test_impossible_combinations_are_refused_with_file_line_and_field(
    what: str, text: str, field: str, tmp_path: Path
) -> None:
    path = tmp_path / "wrong.yaml"
    path.write_text(text)
    with pytest.raises(InputError) as caught:
        load_team(path)
    where, _, named = caught.value.field.partition(" ")
    file, _, line = where.rpartition(":")
    assert file == str(path)
    assert named == field
    assert 1 <= int(line) <= text.count("\n")


@pytest.mark.parametrize(
    "text, where",
    [
        ("agents: 3\nchannels:\n  - agregate: plurality\n", "x:3 channels[0].agregate"),
        ("agents: 3\nchannels:\n  - aggregate: plurality\n    type: cooperat\n", "x:4 channels[0].type"),
        ("agents: 3\nchannels:\n  - aggregate: vote\n    rounds: 99\n", "x:4 channels[0].rounds"),
        ("agents: 3\nchannels:\n  - aggregate: vote\n    budget:\n      tokns: 3\n", "x:5 channels[0].budget.tokns"),
        ("agents: 3\nchannels:\n  - aggregate: vote\n    actors: [bob]\n", "x:4 channels[0].actors[0]"),
        ("agents: 3\n\nchannels:\n  - aggregate: vote\n    judge: bob\n", "x:5 channels[0].judge"),
        ("agents: [a, a]\nchannels: [{aggregate: vote}]", "x:1 agents[1].name"),
        ("agents: 0\nchannels: [{aggregate: vote}]", "x:1 agents"),
        ("agents: 2\nchanels: []", "x:1 channels"),
        ("agents: 2\nagents: 3\n", "x:2 agents"),
        ("agents: &a [x]\nchannels: *a", "x:1 channels"),
        ("agents: 2\nchannels: [{aggregate: vote, stage: late, rounds: 3}]", "x:2 channels[0].rounds"),
        ("agents: 2\nchannels: [{aggregate: vote, hub: agent-1}]", "x:2 channels[0].hub"),
        ("agents: 2\nchannels: [{aggregate: vote, keep: 1}]", "x:2 channels[0].keep"),
        ("agents: 2\nchannels: [{aggregate: nash}]", "x:2 channels[0].payoff"),
        ("agents: 2\nchannels: [{strategy: role-based}]", "x:2 channels[0].strategy"),
        ("agents: 2\nchannels: [{aggregate: vote, type: hybrid}]", "x:2 channels[0].types"),
        ("agents: 3\nchannels: [{aggregate: vote, structure: layered, levels: [[agent-1], [agent-2]]}]",
         "x:2 channels[0].levels"),
        ("agents: 2\nchannels: [{aggregate: vote}]\norchestration: {mode: static, manager: agent-1}",
         "x:3 orchestration.manager"),
        ("a: [", "x:1"),
        ("- 1", "x:1"),
    ],
)  # fmt: skip
def test_errors_name_the_place(text: str, where: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_team(text, "x")
    assert caught.value.field == where


def test_unknown_values_suggest_the_nearest() -> None:
    with pytest.raises(UnknownName, match="Did you mean aggregate"):
        parse_team("agents: 3\nchannels:\n  - agregate: plurality\n")
    with pytest.raises(UnknownName, match="Did you mean dynamic"):
        parse_team("agents: 3\nchannels: [{aggregate: vote}]\norchestration: dynamik")
    with pytest.raises(InputError, match="team file"):
        load_team(Path("nowhere.yaml"))


@pytest.mark.parametrize(
    "field, alias, value",
    [
        ("structure", "star", "centralized"),
        ("structure", "peer-to-peer", "decentralized"),
        ("structure", "Distributed", "decentralized"),
        ("structure", "layered", "hierarchical"),
        ("paradigm", "bus", "memory"),
        ("paradigm", "star", "report"),
        ("paradigm", "ring", "relay"),
        ("paradigm", "tree", "debate"),
        ("strategy", "role", "role-based"),
        ("stage", "nonsense", "nonsense"),
    ],
)
def test_aliases(field: str, alias: str, value: str) -> None:
    assert canonical_value(field, alias) == value


def test_mesh_and_ring_as_structure_set_the_graph() -> None:
    spec = parse_team("agents: 4\nchannels: [{structure: ring, aggregate: vote}]")
    assert (spec.channels[0].structure, spec.channels[0].graph) == ("decentralized", "ring")


CHANNELS = st.fixed_dictionaries(
    {"aggregate": st.sampled_from(["plurality", "weighted", "median", "first", "last", "consensus"])},
    optional={
        "graph": st.sampled_from(["mesh", "ring", "random", "dynamic"]),
        "paradigm": st.sampled_from(["memory", "report", "relay", "debate"]),
        "strategy": st.sampled_from(["rule-based", "model-based"]),
        "rounds": st.integers(1, 50),
        "stop": st.fixed_dictionaries({}, optional={"agreement": st.floats(0.01, 1), "repeats": st.booleans()}),
        "budget": st.fixed_dictionaries({}, optional={"tokens": st.integers(1, 10**6), "calls": st.integers(1, 99)}),
        "payoff": st.one_of(st.just("zero-sum"), st.just({"agent-1": {"A": 1.5}})),
    },
)


@settings(max_examples=60, deadline=None)
@given(st.lists(CHANNELS, min_size=1, max_size=3), st.integers(2, 6), st.integers(0, 10**9), st.text(max_size=20))
def test_round_trip_of_any_team(channels: list[dict[str, Any]], agents: int, seed: int, words: str) -> None:
    spec = TeamSpec.model_validate({"agents": agents, "channels": channels, "seed": seed, "description": words})
    config = compile_team(spec).config()
    assert TeamSpec.model_validate(config) == spec
    assert parse_team(dump_team(spec)) == spec


@pytest.mark.parametrize("name", recipe_names())
async def test_every_recipe_runs(name: str, tmp_path: Path) -> None:
    plan = open_team(name)
    assert plan.name == name
    assert plan.description
    if name == "human-in-the-loop":
        plan_agents = compile_team(
            load_team(Path(__import__("shoal.teams.catalogue", fromlist=["RECIPES"]).RECIPES) / f"{name}.yaml"),
            read=lambda prompt: "Answer: A",
        ).agents
    else:
        plan_agents = plan.agents
    problem = SUM if name == "federated-sums" else CHOICE
    with TraceWriter(tmp_path / "t.jsonl", "t") as writer:
        session = Session(ScriptedModel(KEY, competence=1.0), problem.question, trace=writer)
        outcome = await plan.run(problem.question, plan_agents, session)
    assert problem.check(outcome.answer)
    check_causal(read_trace(tmp_path / "t.jsonl"))


def test_seed_teams_have_recipes_and_descriptions_say_the_trade_off() -> None:
    wanted = {"debate-trio", "metagpt-like", "agentverse-like", "dylan-like", "editing-chain", "manager-and-workers",
              "two-level-firm", "bargaining-pair"}  # fmt: skip
    assert wanted <= set(recipe_names())
    lines = describe(parse_team("agents: 3\nchannels: [{structure: star, hub: agent-1, aggregate: vote}]"))
    star = next(line for line in lines if line.where == "channels[0].structure")
    assert "single point of failure" in star.trade_off
    assert {c["value"] for c in choices()["structure"]} == set(TABLE["structure"])


async def test_structures_send_the_messages_they_promise() -> None:
    head = "agents: 5\nchannels:\n  - {aggregate: plurality, rounds: 2, stop: {repeats: false}, "
    counts = {}
    for name, rest in {
        "star": "structure: star, hub: agent-1",
        "mesh": "structure: mesh",
        "ring": "structure: ring",
        "bus": "paradigm: bus",
        "relay": "paradigm: relay",
    }.items():
        _, session = await play(head + rest + "}\n")
        counts[name] = session.messages
    assert counts == {"star": 2 * 2 * 4, "mesh": 2 * 5 * 4, "ring": 2 * 5 * 2, "bus": 2 * 5, "relay": 4 + 5}


async def test_relay_over_a_star_goes_through_the_hub() -> None:
    text = "agents: 4\nchannels: [{structure: star, hub: agent-1, paradigm: relay, aggregate: last}]"
    _, session = await play(text)
    assert session.messages == 1 + 2 + 2  # hub to the first leaf, then leaf to hub to leaf twice


async def test_dead_hub_stops_the_star_and_a_dead_peer_does_not_stop_the_mesh() -> None:
    for text, name, completes in (
        ("agents: 4\nchannels: [{structure: star, hub: agent-1, aggregate: plurality}]", "agent-1", False),
        ("agents: 4\nchannels: [{structure: star, hub: agent-1, aggregate: last}]", "agent-2", True),
        ("agents: 4\nchannels: [{structure: star, hub: agent-1, hub_form: leaves, aggregate: vote}]", "agent-1", False),
        ("agents: 4\nchannels: [{structure: mesh, aggregate: plurality}]", "agent-1", True),
    ):
        compiled = team(text)
        session = Session(ScriptedModel(KEY, competence=1.0), CHOICE.question)
        agents = kill(session, compiled.agents, name)
        outcome = await compiled.run(CHOICE.question, agents, session)
        assert (outcome.answer is not None) is completes, text


async def test_early_stage_shares_sheets_and_late_stage_does_not() -> None:
    question = Question(
        "p", "Which?\n(A) one\n(B) two", "choice", options=("A", "B"), sheets={"0": "sheet-0", "1": "sheet-1"}
    )
    for stage, shared in (("early", True), ("late", False)):
        compiled = team(f"agents: 2\nchannels: [{{stage: {stage}, aggregate: plurality}}]")
        puppet = Puppet(lambda r: "Answer: A")
        await compiled.run(question, compiled.agents, Session(puppet, question))
        assert ("agent-2: sheet-1" in puppet.prompts("agent-1")[0]) is shared
        assert "Only you know: sheet-0" in puppet.prompts("agent-1")[0]


async def test_roles_beliefs_and_rivalry_reach_the_prompts() -> None:
    spoken = Puppet(lambda r: f"Answer: {'A' if r.agent != 'b' else 'B'}")
    for text, expected in (
        (example("strategy", "role-based"), "(solver) Answer: A"),
        (example("strategy", "model-based"), "a is right about 50% of the time"),
        (example("type", "competition"), "rivals"),
        (example("type", "coopetition"), "To you alone: A is worth 1, B is worth 2."),
    ):
        compiled = team(text)
        spoken.requests.clear()
        await compiled.run(CHOICE.question, compiled.agents, Session(spoken, CHOICE.question))
        assert any(expected in prompt for prompt in spoken.prompts("b")), expected


async def test_aggregates() -> None:
    def speak(request: Any) -> str:
        return f"Answer: {'A' if request.agent in ('a', 'b') else 'B'}"

    outcomes = {}
    for name in ("plurality", "first", "last", "consensus", "nash"):
        outcome, _ = await play(example("aggregate", name), speak=speak)
        outcomes[name] = outcome.answer
    assert outcomes == {"plurality": "A", "first": "A", "last": "B", "consensus": "A", "nash": "A"}
    strict, _ = await play("agents: [a, b, c]\nchannels: [{aggregate: consensus, stop: {agreement: 1.0}}]", speak=speak)
    assert strict.answer is None
    numbers = {"a": "1", "b": "2", "c": "9"}
    for name, expected in (("mean", "4"), ("median", "2")):
        outcome, _ = await play(example("aggregate", name), SUM, speak=lambda r: f"Answer: {numbers[r.agent]}")
        assert outcome.answer == expected
    ranked, _ = await play(
        example("aggregate", "ranking"),
        speak=lambda r: "Ranking: c, a, b" if "Ranking:" in r.messages[-1]["content"] else speak(r),
    )
    assert ranked.answer == "B"


async def test_payoffs_become_rewards(tmp_path: Path) -> None:
    text = "agents: [a, b, c]\nchannels: [{type: competition, payoff: zero-sum, aggregate: plurality}]"
    compiled = team(text)
    with TraceWriter(tmp_path / "t.jsonl", "t") as writer:
        puppet = Puppet(lambda r: f"Answer: {'B' if r.agent == 'c' else 'A'}")
        await compiled.run(CHOICE.question, compiled.agents, Session(puppet, CHOICE.question, trace=writer))
    rewards = {e.agent: e.payload["reward"] for e in read_trace(tmp_path / "t.jsonl").of_kind("reward")}
    assert rewards == {"a": 0.5, "b": 0.5, "c": -1.0}


async def test_dynamic_plans_follow_the_manager() -> None:
    def manager(reply: str) -> Any:
        return lambda r: reply if r.agent == "a" and "Answer: <" not in r.messages[-1]["content"] else "Answer: A"

    for plan, reply, failure in (
        ("routing", "Channel: alone", "no route"),
        ("dag", "x | talk | think | -\ny | alone | decide | x", "bad plan"),
        ("personas", "Poet: rhymes\nClerk: counts", "too few personas"),
    ):
        outcome, session = await play(example("plan", plan), speak=manager(reply))
        assert outcome.answer == "A"
        assert session.failures[failure] == 0
    _, routed = await play(example("plan", "routing"), speak=manager("Channel: alone"))
    assert routed.usage.calls == 2  # the manager and the one agent of that channel


async def test_channel_budget_ends_the_channel_and_not_the_team() -> None:
    text = """
agents: 4
channels:
  - {name: talk, aggregate: plurality, rounds: 5, stop: {repeats: false}, budget: {calls: 6}}
  - {name: close, actors: [agent-1], stage: late, aggregate: first}
"""
    outcome, session = await play(text)
    assert outcome.answer == "A"
    assert session.usage.calls == 7
    compiled = team(text)
    short = Session(ScriptedModel(KEY, competence=1.0), CHOICE.question, budget=Budget(Limits(calls=2)))
    best = await compiled.run(CHOICE.question, compiled.agents, short)
    assert best.answer == "A"
    assert short.usage.calls == 2


def test_unknown_agents_and_options_are_refused() -> None:
    compiled = team("agents: 2\nchannels: [{aggregate: vote}]")
    session = Session(ScriptedModel(KEY), CHOICE.question)
    for agents, options in ((compiled.agents[:1], {}), (compiled.agents, {"rounds": 2})):
        with pytest.raises(InputError):
            compiled.run(CHOICE.question, agents, session, **options).send(None)


def test_spread_follows_shortest_paths_once_per_link() -> None:
    links = {"a": ["b"], "b": ["a", "c", "d"], "c": ["b"], "d": ["b"]}
    session = Session(ScriptedModel(KEY))
    arrived = spread(session, links, "a", ["c", "d", "z"], "hello", ())
    assert session.messages == 3  # a to b, b to c and d
    assert [m.receivers for m in arrived] == [("c", "d")]
    assert arrived[0].sender == "a"
    assert session.failures["unreachable"] == 1


shapes = st.lists(st.floats(-5, 5), min_size=3, max_size=3)


@given(st.lists(shapes, min_size=1, max_size=5), st.data())
def test_federated_average_is_the_weighted_mean(rows: list[list[float]], data: st.DataObject) -> None:
    samples = data.draw(st.lists(st.integers(1, 50), min_size=len(rows), max_size=len(rows)))
    merged = federated_average([{"weights": np.array(r), "bias": np.array(r[0])} for r in rows], samples)
    assert np.allclose(merged["weights"], np.average(np.array(rows), axis=0, weights=samples))
    assert np.allclose(merged["bias"], np.average(np.array(rows)[:, 0], weights=samples))


def test_gossip_keeps_the_mean_and_converges() -> None:
    rng = np.random.default_rng(0)
    sets = [{"weights": rng.normal(size=4)} for _ in range(6)]
    target = np.mean([s["weights"] for s in sets], axis=0)
    ring = [[(i - 1) % 6, (i + 1) % 6] for i in range(6)]
    for _ in range(80):
        sets = gossip_average(sets, ring)
        assert np.allclose(np.mean([s["weights"] for s in sets], axis=0), target)
    assert np.allclose([s["weights"] for s in sets], target, atol=1e-6)
    with pytest.raises(InputError, match="both ways"):
        gossip_average(sets[:2], [[1], []])


def test_shapes_must_match() -> None:
    with pytest.raises(InputError, match=r"parameters\[1\]\.weights.*identical"):
        federated_average([{"weights": np.zeros(2)}, {"weights": np.zeros(3)}])
    with pytest.raises(InputError, match=r"parameters\[1\].*bias"):
        federated_average([{"weights": np.zeros(2)}, {"weights": np.zeros(2), "bias": np.zeros(())}])
    with pytest.raises(InputError, match="samples"):
        federated_average([{"weights": np.zeros(2)}], [0])


def test_adapters_merge_by_their_product() -> None:
    rng = np.random.default_rng(1)
    a1, b1 = rng.normal(size=(2, 5)), rng.normal(size=(3, 2))
    a2, b2 = rng.normal(size=(4, 5)), rng.normal(size=(3, 4))
    merged = merge_adapters([{"q": (a1, b1)}, {"q": (a2, b2)}], [3, 1])
    assert np.allclose(merged["q"], 0.75 * b1 @ a1 + 0.25 * b2 @ a2)
    with pytest.raises(InputError, match="ranks"):
        merge_adapters([{"q": (a1, b2)}])
    with pytest.raises(InputError, match="identical"):
        merge_adapters([{"q": (a1, b1)}, {"q": (rng.normal(size=(2, 4)), b1)}])


async def test_averaging_mends_agents_that_each_learnt_from_a_shard_of_their_own() -> None:
    x = np.array([[a, b] for a in range(1, 10) for b in range(1, 10)], float)
    north = fit_linear(x, x[:, 0] * 1.4 + x[:, 1] * 0.6)
    south = fit_linear(x, x[:, 0] * 0.6 + x[:, 1] * 1.4)
    problem = Problem(Question("s", "What is 9 + 1?", "number"), "10")
    alone = ParametricModel(north)
    outcomes = []
    for stage in ("late", "mid"):
        agents = [
            {"name": n, "parameters": {k: v.tolist() for k, v in p.items()}} for n, p in (("n", north), ("s", south))
        ]
        spec = TeamSpec.model_validate({"agents": agents, "channels": [{"stage": stage, "aggregate": "plurality"}]})
        compiled = compile_team(spec)
        outcomes.append(
            (await compiled.run(problem.question, compiled.agents, Session(alone, problem.question))).answer
        )
    assert outcomes == ["13", "10"]
    with pytest.raises(InputError, match="weights"):
        ParametricModel({"w": np.zeros(2)})
