"""The Agent Behavior: scores against exact values and second implementations, the game, the study's claims."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from command_line import Shoal
from judging import verdicts_of
from shoal.diagnosis.actors import AGENT_LIKE, HUMAN_LIKE, act, blended, draw_truth, with_of
from shoal.diagnosis.behaviour import Behaviour, behaviour_of, carried_out, hashed, read_behaviour
from shoal.diagnosis.conversation import conversation
from shoal.diagnosis.disparity import DIMENSIONS, SHARPEST, disparity, distances, index_of, scores, sharpness
from shoal.diagnosis.lifecycle import ACTION, DECISION, FEEDBACK, gaps, lanes, lifecycle, stage_of
from shoal.diagnosis.probes import PAIRS, letter, pair, probe
from shoal.diagnosis.recognition import SCORES, TIMING, auc, recogniser, score_table, without
from shoal.errors import InputError, UnknownName
from shoal.games.defence import Defence, defend
from shoal.models.interface import Completion, Model, Request
from shoal.runs.results import Results
from shoal.runs.study import Trial
from shoal.stats import Evidence, Verdict
from shoal.studies import agent_behavior as study
from shoal.studies.agent_behavior import STUDY
from shoal.teams.agent import Agent
from shoal.teams.session import Session
from shoal.traces import Event, TraceWriter, Usage


def event(number: int, kind: str, agent: str = "ann", **payload: Any) -> Event:
    return Event(f"e{number}", "run", float(number), number, agent, kind, (), payload)


# -- lifecycle -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("one", "stage"),
    [
        (event(0, "task.start", ""), 1), (event(0, "message", "user", text="please"), 1),
        (event(0, "tool.call", tool="search_web"), 2), (event(0, "model.call", text="let me think"), 3),
        (event(0, "model.call", text="Answer: 4"), 4), (event(0, "decision"), 4),
        (event(0, "tool.call", tool="send_mail"), 5), (event(0, "tool.result", text="ok"), 6),
        (event(0, "task.end", "", answer="4"), 6), (event(0, "trace.start", ""), None),
    ],
)  # fmt: skip
def test_stages_of_events(one: Event, stage: int | None) -> None:
    assert stage_of(one) == stage


def test_gaps_are_stages_that_an_act_skipped() -> None:
    whole = [event(0, "task.start", ""), event(1, "model.call", text="hm"), event(2, "decision"),
             event(3, "tool.call", tool="send"), event(4, "tool.result", text="done")]  # fmt: skip
    assert gaps(lifecycle(conversation("run", whole))) == []
    hasty = [event(0, "task.start", ""), event(1, "tool.call", tool="send"), event(2, "decision")]
    found = gaps(lifecycle(conversation("run", hasty)))
    assert [(g.stage, g.missing) for g in found] == [(ACTION, DECISION), (DECISION, 3), (FEEDBACK, ACTION)]
    assert "action without decision: ann, event e1" in str(found[0])
    drawn = lanes(lifecycle(conversation("run", whole)))
    assert len(drawn) == 6 and sum(line.count("#") for line in drawn) == 5


def test_diagnose_shows_the_six_lanes(shoal: Shoal, tmp_path: Path) -> None:
    out = shoal.json("diagnose", "sample:langgraph", "--with", "lifecycle", "--out", tmp_path / "page.html")
    found = out["analyses"]["lifecycle"]
    assert list(found["stages"]) == ["target", "information", "reasoning", "decision", "action", "feedback"]
    assert sum(found["stages"].values()) > 0 and "ours" in found["note"]


def test_diagnose_measures_disparity_where_it_can(shoal: Shoal, tmp_path: Path) -> None:
    rng, lines, now = np.random.default_rng(0), [], {"fast": 0.0, "slow": 0.0}
    for _ in range(40):
        for name, mean in (("fast", 1.0), ("slow", 60.0)):
            now[name] += float(rng.exponential(mean)) + 0.01
            lines.append((now[name], name))
    path = tmp_path / "chat.jsonl"
    path.write_text("\n".join(
        json.dumps({"agent": name, "content": "I go on", "time": 1.7e9 + time}) for time, name in sorted(lines)
    ))  # fmt: skip
    page = tmp_path / "page.html"
    found = shoal.json("diagnose", path, "--with", "disparity", "--out", page)["analyses"]["disparity"]
    assert {a["agent"]: a["measured"] for a in found["agents"]} == {"fast": 1, "slow": 1}
    assert all(a["distances"]["execution efficiency"] > 0.7 for a in found["agents"]) and "ours" in found["note"]
    assert shoal("diagnose", path, "--with", "disparity:nobody", "--out", page) == 2
    alone = shoal.json("diagnose", "sample:langgraph", "--with", "disparity", "--out", page)["analyses"]["disparity"]
    assert "Not measurable" in alone["headline"]


# -- scores ----------------------------------------------------------------------------------------------------------


def test_plans_are_compared_by_their_longest_common_subsequence() -> None:
    plan = np.array([[0, 1, 2, 3], [0, 1, 2, 3], [0, 1, -1, -1], [-1, -1, -1, -1]])
    done = np.array([[0, 1, 2, 3, 9], [3, 0, 2, 1, -1], [1, 0, 5, 1, -1], [0, 0, 0, 0, 0]])
    assert np.allclose(carried_out(plan, done), [1.0, 0.5, 1.0, np.nan], equal_nan=True)


def test_sharpness_is_the_maximum_of_the_likelihood() -> None:
    from scipy.optimize import minimize_scalar

    actors = act(draw_truth(HUMAN_LIKE, 3, np.random.default_rng(0)), 60, np.random.default_rng(1))
    found, identifiable = sharpness(actors.payoffs, actors.chosen)
    for k in range(3):
        u, taken = actors.payoffs[k], actors.chosen[k]

        def loss(b: float, u: Any = u, taken: Any = taken) -> float:
            return float(np.log(np.exp(b * u).sum(axis=1)).sum() - b * u[np.arange(60), taken].sum())

        assert found[k] == pytest.approx(minimize_scalar(loss, bounds=(0, 50), method="bounded").x, abs=2e-3)
    assert identifiable.all()


def test_sharpness_that_cannot_be_told_is_said_so() -> None:
    payoffs = np.array([[[0.0, 1.0], [1.0, 0.0]]] * 3 + [[[0.5, 0.5]] * 2, [[np.nan] * 2] * 2])
    chosen = np.array([[1, 0], [0, 1], [1, 1], [0, 1], [0, 1]])
    b, identifiable = sharpness(payoffs, chosen)
    assert b[0] == SHARPEST and not identifiable[0], "always the best"
    assert b[1] == pytest.approx(0.0, abs=1e-3), "always the worst: b is at its bound"
    assert b[2] == pytest.approx(0.0, abs=1e-3) and identifiable[2]
    assert np.isnan(b[3:]).all() and not identifiable[3:].any(), "nothing to choose, pay-offs unknown"


def test_known_numbers_are_recovered_and_unknown_ones_are_left_out() -> None:
    rng = np.random.default_rng(2)
    truth = draw_truth(AGENT_LIKE, 100, rng)
    actors = act(truth, 200, rng)
    found = scores(actors)
    for name, bound in (("c", 0.03), ("i", 0.05), ("q", 0.06)):
        assert np.abs(getattr(found, name) - getattr(truth, name)).mean() < bound
    assert np.abs(found.middle - np.log(truth.gap)).mean() < 0.06
    silent = Behaviour(**{**vars(actors), "gaps": np.full((100, 5), np.nan)})
    other = act(draw_truth(HUMAN_LIKE, 50, rng), 100, rng)
    told = disparity(silent, other, resamples=5)
    assert told.measured == 4 and np.isnan(told.distances["execution efficiency"])
    assert 0 < told.low <= told.index <= told.high + 0.02 and told.verdict == "measured"
    assert "ours" in told.note


def test_disparity_by_hand() -> None:
    assert index_of(dict.fromkeys(DIMENSIONS, 0.6)) == pytest.approx(0.6)
    assert index_of({DIMENSIONS[0]: 0.8, DIMENSIONS[1]: float("nan")}) == pytest.approx(0.8)
    assert np.isnan(index_of({DIMENSIONS[0]: float("nan")}))
    rng = np.random.default_rng(0)
    one = act(draw_truth(HUMAN_LIKE, 20, rng), 50, rng)
    assert distances(one, one) == dict.fromkeys(DIMENSIONS, 0.0)
    few = act(draw_truth(HUMAN_LIKE, 1, rng), 20, rng)
    assert "no verdict" in disparity(few, one, resamples=2).verdict
    with pytest.raises(InputError, match="actor"):
        disparity(one.where(slice(0, 0)), one)


# -- logs of one's own -----------------------------------------------------------------------------------------------

RECORDS = [
    {"actor": "Ann", "time": 0.0, "action": "a", "plan": "a, b, c", "words": "two words"},
    {"actor": "Ann", "time": 1.0, "action": "x", "payoffs": {"x": 1, "y": 4}},
    {"actor": "Ann", "time": 3.0, "action": "x", "better": True},
    {"actor": "Ann", "time": 4.0, "action": "c", "violates": True},
    {"actor": "Bob", "action": "y", "payoffs": {"x": 1, "y": 4}},
]


def test_a_log_is_read_with_hashed_names(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    path.write_text("\n".join(json.dumps(r) for r in RECORDS))
    read = read_behaviour(path)
    assert read.names == (hashed("Ann"), hashed("Bob")) and "Ann" not in str(read)
    assert np.allclose(np.exp(read.gaps[0]), [1.0, 2.0, 1.0])
    found = scores(read)
    assert found.c[0] == pytest.approx(2 / 3) and found.i[0] == 1.0 and found.q[0] == 1.0
    assert found.b[0] == pytest.approx(0.0, abs=1e-3) and found.b[1] == SHARPEST
    assert np.isnan(found.middle[1]) and read.chosen.tolist() == [[0], [1]]
    sheet = tmp_path / "log.csv"
    sheet.write_text("actor,time,action,better\nAnn,0,a,\nAnn,2,a,true\nAnn,3,b,true\n")
    assert scores(read_behaviour(sheet)).i[0] == 0.5


def test_bad_logs_name_the_line(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    path.write_text('{"actor": "a"}\nno json\n')
    with pytest.raises(InputError, match="line 2"):
        read_behaviour(path)
    with pytest.raises(InputError, match="line 1 actor"):
        behaviour_of([{"time": 1}])
    with pytest.raises(InputError, match="numbers"):
        behaviour_of([{"actor": "a", "time": "soon"}])
    with pytest.raises(InputError):
        read_behaviour(tmp_path / "none.jsonl")


# -- recognition -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tables() -> dict[str, list[Any]]:
    rng = np.random.default_rng(4)
    imitating = with_of(blended(0.6), HUMAN_LIKE, ("gap", "spread"))
    kinds = {"imitating": imitating, "same": HUMAN_LIKE}
    return {
        name: [score_table(act(draw_truth(k, 250, rng), 100, rng)) for k in (kind, HUMAN_LIKE, kind, HUMAN_LIKE)]
        for name, kind in kinds.items()
    }


def test_the_recogniser_is_a_logistic_regression(tables: dict[str, list[Any]]) -> None:
    a, b, c, d = tables["imitating"]
    ours = recogniser(a, b, SCORES)
    x = np.concatenate([a, b])[:, :6]
    scaled = (x - x.mean(axis=0)) / x.std(axis=0)
    theirs = LogisticRegression(C=100 / (0.01 * 500), tol=1e-10, max_iter=2000).fit(
        scaled, np.r_[np.ones(250), np.zeros(250)]
    )
    assert np.allclose(ours.weights[1:], theirs.coef_[0], atol=1e-3)
    labels = np.r_[np.ones(250), np.zeros(250)]
    assert auc(ours.chance(c), ours.chance(d)) == pytest.approx(
        roc_auc_score(labels, np.r_[ours.chance(c), ours.chance(d)])
    )


def test_five_scores_beat_timing_and_identical_kinds_cannot_be_told_apart(tables: dict[str, list[Any]]) -> None:
    found = {}
    for name, (a, b, c, d) in tables.items():
        for names in (SCORES, TIMING, without("behavioural inertia")):
            fitted = recogniser(a, b, names)
            found[name, names] = auc(fitted.chance(c), fitted.chance(d))
    assert found["imitating", SCORES] > found["imitating", TIMING] + 0.2
    assert found["imitating", SCORES] > found["imitating", without("behavioural inertia")]
    assert all(abs(found["same", names] - 0.5) < 0.08 for names in (SCORES, TIMING))
    hidden = [t.copy() for t in tables["imitating"]]
    hidden[3][:, 0] = np.nan  # unknown b counts as the mean
    assert np.isfinite(recogniser(hidden[0], hidden[1]).chance(hidden[3])).all()


# -- the game --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def games() -> dict[str, Any]:
    game, seeds = Defence(hosts=20, steps=200), np.arange(24)
    found = {name: defend(game, name, seeds) for name in ("none", "rules", "agent-speed", "human-speed", "profile")}
    found["imitated"] = defend(game, "profile", seeds, imitating=True)
    found["random"] = defend(game, "random", seeds, rate=found["agent-speed"].blocked)
    found["blind"] = defend(game, "agent-speed", seeds, controls=0)
    found["again"] = defend(game, "agent-speed", seeds)
    return found


def test_monitors_of_the_defence(games: dict[str, Any]) -> None:
    assert (games["none"].blocked == 0).all() and (games["none"].detected == 0).all()
    assert (games["none"].compromised >= 1 / 20).all()
    assert games["agent-speed"].compromised.mean() < games["human-speed"].compromised.mean() - 0.02
    assert games["agent-speed"].compromised.mean() < games["random"].compromised.mean() - 0.05
    assert games["random"].blocked.mean() == pytest.approx(games["agent-speed"].blocked.mean(), abs=0.003)
    assert games["rules"].blocked_red.mean() > 5 * games["rules"].blocked_work.mean()
    assert games["imitated"].detected.mean() < games["profile"].detected.mean()
    assert (games["blind"].detected == 0).all(), "without controls there is nothing to see"
    assert (games["again"].compromised == games["agent-speed"].compromised).all()
    with pytest.raises(UnknownName):
        defend(Defence(), "agents", np.arange(2))


# -- models ----------------------------------------------------------------------------------------------------------


class Obedient(Model):
    """Takes the best of a menu, keeps to its plan, and says A to everything else."""

    spec, evidence, identity = "obedient", Evidence.SCRIPTED, "obedient"

    async def complete(self, request: Request) -> Completion:
        text = request.messages[-1]["content"]
        if "Choose one option" in text:
            pays = [int(part.split(" pays ")[1].split()[0]) for part in text.split(": ", 1)[1].split(", ")]
            said = "ABC"[int(np.argmax(pays))]
        elif "In which order" in text:
            said = "C, A, B"
        elif "Your plan" in text:
            done = text.split("Done: ")[1].split(". Which")[0]
            said = "CAB"[0 if done == "nothing" else len(done.split(", "))]
        else:
            said = "A"
        return Completion(said, Usage(5, 1, 1))


async def test_a_model_is_measured_by_probes() -> None:
    actor = await probe(Agent("m"), Session(Obedient(), seed=0), np.random.default_rng(0), menus=6, pairs=8, plans=2)
    found = scores(actor)
    assert found.b[0] == SHARPEST and not found.identifiable[0]
    assert found.c[0] == 1.0 and found.i[0] == 1.0 and found.q[0] == 0.0
    assert letter("I say B.", 3) == "B" and letter("D", 3) is None and letter("Because", 2) is None
    for kind in PAIRS:
        one, two = pair(kind, np.random.default_rng(0))
        assert one != two and "A" in one


# -- the study -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def measured() -> Results:
    results = Results()
    config = STUDY.configure("quick", {"actors": 100, "acts": 150})
    for name in ("recovery", "attribution", "ablation"):
        experiment = STUDY.experiment(name)
        for seed in range(3):
            for variant in [""] if experiment.joint else list(experiment.variants):
                trial = Trial(config, name, variant, seed, 0, TraceWriter(None, "test"), None, (seed,))
                found: Any = experiment.trial(trial)
                for label, one in (found if experiment.joint else {variant: found}).items():
                    results.add(name, label, seed, one)
    return results


verdict = verdicts_of(STUDY)


def test_claims_read_what_was_measured(measured: Results) -> None:
    reproduced = ("recovered", "auc-low-overlap", "beats-timing", "ablation-carrier")
    wanted = dict.fromkeys(reproduced, Verdict.REPRODUCED) | {"governance": Verdict.NOT_RUN}
    assert {claim: verdict(claim, measured) for claim in wanted} == wanted
    lost = Results()
    for seed in range(20):
        lost.add("governance", study.FAST, seed, {"compromised": 0.5 + 0.01 * seed, "blocked work": 0.05})
        lost.add("governance", study.SLOW, seed, {"compromised": 0.4, "blocked work": 0.0})
        lost.add("governance", study.NOBODY, seed, {"compromised": 0.6, "blocked work": 0.0})
        lost.add("governance", study.RULES, seed, {"compromised": 0.6, "blocked work": 0.02})
    assert verdict("governance", lost) is Verdict.NOT_REPRODUCED
    assert verdict("no-more-blocked", lost) is Verdict.NOT_REPRODUCED
    assert set(study.plots(measured)) == {"recovery", "attribution", "ablation"}
