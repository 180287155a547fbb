"""Tiny transformers: imitation, skills, and teams that solve, check and solve again."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the extra posttrain")
pytest.importorskip("transformers", reason="needs the extra posttrain")
pytest.importorskip("peft", reason="needs the extra posttrain")

from shoal.errors import InputError  # noqa: E402
from shoal.models.causal.model import CausalModel  # noqa: E402
from shoal.models.causal.network import tiny_network  # noqa: E402
from shoal.models.causal.skills import SKILLS, Skill, read_card  # noqa: E402
from shoal.models.causal.tokenizers import CharacterTokenizer  # noqa: E402
from shoal.models.interface import Completion, Model, Request  # noqa: E402
from shoal.posttrain import tiny  # noqa: E402
from shoal.posttrain.driver import HeldOut  # noqa: E402
from shoal.posttrain.method import METHODS  # noqa: E402
from shoal.posttrain.problems import checked_solving as solving  # noqa: E402
from shoal.posttrain.problems.triples import Triples  # noqa: E402
from shoal.posttrain.rollouts import Rollout, Turn, standing_answers  # noqa: E402
from shoal.runs.budget import Budget, Limits  # noqa: E402
from shoal.runs.study import Trial  # noqa: E402
from shoal.stats import Evidence  # noqa: E402
from shoal.studies import dr_mas  # noqa: E402
from shoal.tasks.catalogue import open_task  # noqa: E402
from shoal.tasks.problem import Problem, Question  # noqa: E402
from shoal.teams.agent import Agent  # noqa: E402
from shoal.teams.outcome import Outcome  # noqa: E402
from shoal.teams.session import Session  # noqa: E402
from shoal.traces import TraceWriter, Usage  # noqa: E402

pytestmark = [pytest.mark.filterwarnings("ignore"), pytest.mark.usefixtures("one_thread")]
TOKENS = CharacterTokenizer()


class Said(Model):
    """Says what it was given, in turn, and remembers what it read."""

    def __init__(self, replies: Sequence[str]) -> None:
        self.replies, self.read = list(replies), list[str]()

    def count_tokens(self, text: str) -> int:
        return len(text)

    async def complete(self, request: Request) -> Completion:
        self.read.append(str(request.messages[-1]["content"]))
        return Completion(self.replies.pop(0), Usage(1, 1, 1, 0.0), "stop", None)


async def solved(generator: str, verdicts: Sequence[str], refiner: Sequence[str]) -> tuple[Outcome, list[Said]]:
    voices = [Said([generator]), Said(verdicts), Said(refiner)]
    agents = [Agent(name, model=voice) for name, voice in zip(solving.ROLES, voices, strict=True)]
    question = Question("q", "113346: 11", "number")
    return await solving.solve_and_check(question, agents, Session(voices[0], question)), voices


async def test_an_approved_answer_stands_and_a_refused_one_goes_to_the_refiner() -> None:
    outcome, voices = await solved("146", ["11 yes"], [])
    assert (outcome.answer, outcome.rounds) == ("146", 1)
    assert voices[1].read == ["146?\n113346: 11"]
    outcome, voices = await solved("346", ["13 no", "11 yes"], ["146"])
    assert (outcome.answer, outcome.rounds) == ("146", 2)
    assert voices[2].read == ["113346: 11\nno 346"]


async def test_the_last_attempt_counts_unchecked_and_a_mute_verifier_approves() -> None:
    outcome, voices = await solved("346", ["no", "no"], ["336", "113"])
    assert outcome.answer == "113" and not voices[1].replies
    assert voices[2].read[-1] == "113346: 11\nno 346\nno 336"
    assert (await solved("346", [""], []))[0].answer == "346"


async def test_one_agent_answers_several_times_and_the_most_frequent_answer_counts() -> None:
    voice, question = Said(["1", "146", "146"]), Question("q", "113346: 11", "number")
    outcome = await solving.answer_and_vote(question, [Agent("a", model=voice)], Session(voice, question), samples=3)
    assert outcome.answer == "146" and voice.read == ["113346: 11"] * 3


def test_a_triple_is_the_only_one_with_its_sum_and_lures_miss_it() -> None:
    from itertools import combinations

    for problem in Triples().problems(200, 0):
        given, _, total = problem.question.text.partition(": ")
        fitting = {t for t in combinations(given, 3) if sum(map(int, t)) == int(total)}
        assert fitting == {tuple(problem.answer)}
        assert all(sum(map(int, lure)) != int(total) for lure in problem.lures)
        off = [abs(sum(map(int, lure)) - int(total)) for lure in problem.lures]
        assert off == sorted(off)


def test_examples_are_right_and_do_not_tell_the_answer_in_the_prompt_of_an_attempt() -> None:
    rng, problems = random.Random(0), Triples().problems(60, 1)
    verdicts = []
    for problem in problems:
        attempt, check = (make(problem, rng, TOKENS) for make in (solving.attempt_example, solving.check_example))
        assert TOKENS.decode(attempt.reply) == problem.answer
        assert problem.answer not in TOKENS.decode(attempt.prompt).split()
        proposed = TOKENS.decode(check.prompt).partition("?")[0]
        total, verdict = TOKENS.decode(check.reply).split()
        assert int(total) == sum(map(int, proposed))
        assert (verdict == "yes") == (proposed == problem.answer)
        verdicts.append(verdict)
    assert 15 < verdicts.count("yes") < 45


def test_imitation_in_two_parts_is_imitation_in_one() -> None:
    rng, problems = random.Random(0), Triples().problems(8, 1)
    examples = [solving.attempt_example(p, rng, TOKENS) for p in problems]
    net = tiny_network(0, width=16, layers=1, heads=2, inner=16)
    slopes = []
    for share in (tiny.SHORTER, 1.0):
        net.zero_grad()
        loss = tiny._slope(net, examples, TOKENS.pad, share)
        slopes.append((loss, [x.grad.clone() for x in net.parameters()]))
    assert slopes[0][0] == pytest.approx(slopes[1][0], rel=1e-5)
    for a, b in zip(slopes[0][1], slopes[1][1], strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)
    with pytest.raises(InputError, match="at least 1 step"):
        tiny.imitate(net, TOKENS, lambda rng: examples[0], steps=0)


def test_predicting_prompts_is_a_loss_beside_that_of_the_replies() -> None:
    rng, problems = random.Random(0), Triples().problems(8, 1)
    examples = [solving.attempt_example(p, rng, TOKENS) for p in problems]
    net = tiny_network(0, width=16, layers=1, heads=2, inner=16)
    replies, prompts = (float(x) for x in tiny._losses(net, examples, TOKENS.pad, 1.0))
    assert float(tiny._losses(net, examples, TOKENS.pad, 0.0)[0]) == pytest.approx(replies, rel=1e-5)
    ours, read, known, written = 0.0, 0.0, 0, 0
    for one in examples:  # one by one, without padding
        text = torch.tensor([[*one.prompt, *one.reply]])
        logp = torch.log_softmax(net(input_ids=text).logits, -1)[0, :-1].gather(-1, text[0, 1:, None])[:, 0]
        ours -= float(logp[-len(one.reply) :].sum())
        read -= float(logp[: -len(one.reply)].sum())
        known, written = known + len(one.prompt) - 1, written + len(one.reply)
    assert replies == pytest.approx(ours, rel=1e-5)
    assert prompts == pytest.approx(read / known * written, rel=1e-5)


@pytest.mark.parametrize("optimiser", ["adamw", "muon"])
def test_both_optimisers_move_every_parameter_and_lower_the_loss(optimiser: Any) -> None:
    net = tiny_network(0, width=16, layers=1, heads=2, inner=16)
    before = [x.detach().clone() for x in net.parameters()]
    problems = open_task("choose").problems(4, 0)
    losses = tiny.imitate(
        net, TOKENS, lambda rng: tiny.example(rng.choice(problems), rng, TOKENS, 1.0), steps=12, batch=4,
        learning_rate=1e-2, optimiser=optimiser, reading=0.3,
    )  # fmt: skip
    assert losses[-1] < 0.9 * losses[0]
    assert all(not torch.equal(a, b) for a, b in zip(before, net.parameters(), strict=True))


async def test_the_budget_of_one_call_buys_that_call_again() -> None:
    model = CausalModel("m", tiny_network(0, width=16, layers=1, heads=2, inner=16), TOKENS, Evidence.TRAINED)
    question, agent = Question("q", "What is 3 + 4?", "number"), Agent("ann", persona="You add.")
    free = Session(model, question, max_tokens=9)
    first = await free.ask(agent, question.text)
    bound = Session(model, question, budget=Budget(Limits(tokens=free.usage.tokens)), max_tokens=9)
    again = await bound.ask(agent, question.text)
    assert again.text == first.text and bound.usage.tokens == free.usage.tokens


def test_fresh_weights_have_the_spread_that_is_asked_for() -> None:
    shape = {"width": 64, "layers": 2, "heads": 2, "inner": 128}
    for spread in (0.02, 0.08):
        found = [float(x.detach().std()) for x in tiny_network(0, spread=spread, **shape).parameters() if x.dim() == 2]
        np.testing.assert_allclose(found, spread, rtol=0.05)


def test_easier_problems_are_mixed_in_evenly() -> None:
    read = list[str]()

    def noted(network: Any, tokenizer: Any, draw: Any, **options: Any) -> list[float]:
        rng = random.Random(0)
        read.extend(TOKENS.decode(draw(rng).prompt) for _ in range(60))
        return [0.0]

    skill = Skill("lookup", 1, 60, shape={"width": 16, "layers": 1, "heads": 2, "inner": 16}, easier=("copy",))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tiny, "imitate", noted)
        made = tiny.pretrain(skill, held_out=5)
    assert made.held_out == 5
    assert 15 < sum("list of words" in text for text in read) < 45


def test_a_share_of_the_questions_stands_alone() -> None:
    problems = open_task("choose").problems(20, 0)
    rng = random.Random(0)

    def alone(share: float) -> float:
        drawn = [(p, tiny.example(p, rng, TOKENS, share)) for p in problems for _ in range(10)]
        assert all(TOKENS.decode(e.reply).strip() == f"Answer: {p.answer}" for p, e in drawn)
        bare = [e.prompt == TOKENS.encode_chat([{"role": "user", "content": p.question.text}]) for p, e in drawn]
        return float(np.mean(bare))

    assert alone(0.0) == 0.0 and alone(1.0) == 1.0 and 0.7 < alone(0.8) < 0.9


def test_imitation_lowers_the_loss_and_a_card_says_what_came_of_it(tmp_path: Any) -> None:
    skill = Skill("choose", 30, 60, 16, 5e-3, {"width": 32, "layers": 1, "heads": 2, "inner": 32})
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(SKILLS, "larger", skill)
        made = tiny.pretrain_and_save("larger", tmp_path / "tiny-larger", held_out=10)
    assert np.mean(made.losses[-5:]) < 0.7 * np.mean(made.losses[:5])
    card = read_card(tmp_path / "tiny-larger")
    assert (card["held_out"], card["steps"], card["task"]) == (10, 30, "choose")
    assert card["accuracy"] == made.accuracy
    assert card["parameters"] == sum(x.numel() for x in made.network.parameters())


def rolled(*calls: tuple[str, str]) -> Rollout:
    """A rollout in which the named agents said this; the answer is 379."""
    problem = Problem(Question("1", "123789: 19", "number"), "379")
    return Rollout(problem, 0, [Turn(agent, agent, [1], [1], [0.0], 1.0, True, text) for agent, text in calls], 1.0)


def test_own_credit_tells_a_first_attempt_from_what_was_mended() -> None:
    """A wrong attempt that is refused and mended: the team earns 1, and so does every call but the wrong attempt."""
    mended = rolled(("generator", "289"), ("verifier", "19 no"), ("refiner", "379"), ("verifier", "19 no"))
    assert solving.attempts_and_verdicts(mended) == [0, 1, 1, 0]
    assert solving.attempts_and_verdicts(rolled(("generator", "?"), ("refiner", "379"))) == [0, 1]
    assert solving.attempts_and_verdicts(rolled(("generator", "289"), ("verifier", "19 yes"))) == [0, 0]
    method = METHODS.get("dr-mas")(credit="step", penalty=0.0)
    method.step_outcomes = solving.attempts_and_verdicts
    np.testing.assert_array_equal(method.rewards(mended), [0, 1, 1, 0])
    with pytest.raises(InputError, match="train who wrote"):
        solving.attempts_and_verdicts(rolled(("verifier", "19 no")))


def test_a_call_without_an_answer_is_worth_the_one_that_stands() -> None:
    said = rolled(("a", "Let me see."), ("b", "Answer: 379"), ("c", "Well done."), ("d", "Answer: 12"))
    assert standing_answers(said) == [0, 1, 1, 0]


class Ten:
    """Ten problems in a fixed order; a longer draw begins with the shorter one."""

    name = title = "ten"

    def problems(self, count: int, seed: int) -> list[Problem]:
        return [Problem(Question(str(i), str(i), "number"), "0") for i in range(min(count, 10))]


@pytest.mark.parametrize("hidden", [range(0), range(3), range(1, 9), range(10)])
def test_problems_that_are_held_out_are_never_given(hidden: range) -> None:
    source = HeldOut(Ten(), frozenset(map(str, hidden)))
    given = [p.question.text for p in source.problems(4, 0)]
    assert given == [str(i) for i in range(10) if i not in hidden][:4]


def test_all_arms_of_the_team_experiment_share_base_and_held_out_problems_and_count_their_tokens() -> None:
    config = dr_mas.STUDY.configure("quick", {"team_steps": 2, "team_updates": 1, "team_problems": 2, "team_group": 2})
    found = dr_mas.team(Trial(config, "team", "", 0, 0, TraceWriter(None, "t")))
    assert set(found) == {*dr_mas.TEAMS, dr_mas.ALONE, dr_mas.ALONE_IMITATING}
    for rival in (dr_mas.TRAINED, dr_mas.OWN):
        assert found[dr_mas.ALONE]["training tokens"] >= found[rival]["training tokens"] > 0
    assert "accuracy of verdicts" in found[dr_mas.OWN]
    assert "accuracy of verdicts" not in found[dr_mas.FROZEN], "its verifier is the base, which is no trained seat"
    assert found[dr_mas.IMITATING]["training tokens"] == 0
    for one, whole in ((dr_mas.ALONE, dr_mas.TRAINED), (dr_mas.ALONE_IMITATING, dr_mas.IMITATING)):
        assert found[one]["votes"] >= 1 and found[whole]["tokens per problem"] > 0
        ways = [found[one][f"accuracy of {way}"] for way in ("first attempts", "the vote")]
        assert found[one]["accuracy"] == max(ways)
