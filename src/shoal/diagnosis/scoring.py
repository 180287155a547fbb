"""How good detectors and attribution are: teams with a planted fault and without, precision, recall, calibration."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shoal.diagnosis.attribution import Diagnosis, diagnose
from shoal.diagnosis.conversation import conversations
from shoal.diagnosis.faults import FAULTS, Planted, faulty_tool, plant
from shoal.diagnosis.findings import DETECTORS
from shoal.diagnosis.recording import Recording
from shoal.diagnosis.relay import NAMES, Reader, relay, relay_agents, relay_problem
from shoal.diagnosis.replay import Case
from shoal.models.interface import Completion, Model, Request
from shoal.models.scripted import ScriptedModel
from shoal.runs.seeds import derive
from shoal.stats import Evidence
from shoal.tasks import answer_key
from shoal.tasks.catalogue import open_task
from shoal.tasks.problem import Problem, Question
from shoal.teams.agent import Agent
from shoal.teams.catalogue import open_team
from shoal.teams.evaluation import answer_one
from shoal.teams.outcome import Outcome
from shoal.teams.session import Session

THRESHOLD = 0.5
RELAY = "relay"


class Phrased(Model):
    """A scripted model in words of its own: each reply of each agent gets another wording of the same remark, so that
    two agents of one opinion do not say the same by construction.

    Args:
        model: gives the replies.
        seed: picks the wordings.
    """

    evidence = Evidence.SCRIPTED

    def __init__(self, model: Model, seed: int) -> None:
        self.model = model
        self.seed = seed
        self.spec = model.spec
        self.identity = f"{model.identity} phrased {seed}"

    async def complete(self, request: Request) -> Completion:
        """The reply with its remark reworded; its answer stays."""
        reply = await self.model.complete(request)
        words = derive(self.seed, request.agent, request.seed)
        text = reply.text
        for remark, (openings, endings) in _WORDINGS.items():
            opening, ending = openings[words % len(openings)], endings[words // 7 % len(endings)]
            middle = f"{_PLACES[words // 35 % len(_PLACES)]} {_WAYS[words // 315 % len(_WAYS)]}"
            text = text.replace(remark, f"{opening} {middle}, {ending}")
        return Completion(text, reply.usage, reply.finish, reply.logprobs, reply.failures)


_PLACES = (
    "in the margin", "on the second sheet", "at the last line", "in my head", "with the table", "from the bottom up",
    "without the extras", "by pairs", "in one go",
)  # fmt: skip
_WAYS = (
    "quickly", "slowly", "twice over", "with care", "as before", "for good measure", "once more", "in plain figures",
    "to be safe", "with a pencil", "line for line",
)  # fmt: skip
_WORDINGS = {
    "I worked it out in small steps and checked the result.": (
        ("Going through the statement line by line,", "I set it up as an equation first, then",
         "Step by step,", "Working backwards,",
         "After listing what is given,", "Taking the parts one at a time,", "Having drawn a small table,"),
        ("I get this.", "this is what remains.", "the total comes out as below.", "my figure follows.",
         "here is where I land."),
    ),
    "The others see it as I do.": (
        ("My colleagues' figures match mine,", "We agree so far,", "I compared the lines above with my own,",
         "No difference to settle here,",
         "Their reasoning and mine meet,", "I checked the reports against my notes,"),
        ("so I leave it.", "hence no change.", "and I confirm.", "it stands.", "nothing to add but the value."),
    ),
    "I have read the other answers and keep mine.": (
        ("I looked at what was said,", "Some figures above differ,", "I recounted because of the disagreement,",
         "The objections do not hold,",
         "I see another result above,"),
        ("but stay with my own.", "yet mine checks out.", "and I keep it.", "still the same for me."),
    ),
    "The others convinced me.": (
        ("I recounted and found a slip of mine,", "Comparing the working above with mine shows my mistake,",
         "On a second pass the unit was wrong in my notes,", "I had left one item out,"),
        ("so I change.", "corrected now.", "my earlier figure falls.", "here is the new value."),
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Sighting:
    """One run that was diagnosed.

    Attributes:
        team: spec of the team.
        planted: the fault; None for a clean run.
        correct: whether the answer was right all the same.
        diagnosis: what came out, made without knowledge of the fault or of the right answer's value.
        changed: steps that the fault changed.
        erring: whether some agent stated a wrong answer, by the fault or by its own limited competence.
    """

    team: str
    planted: Planted | None
    correct: bool
    diagnosis: Diagnosis
    changed: frozenset[int]
    erring: bool

    def score(self, detector: str, agent: str = "") -> float:
        """The greatest score of a detector's findings (about that agent), 0 without any."""
        return max(
            (f.score for f in self.diagnosis.findings if f.detector == detector and agent in ("", f.agent)), default=0.0
        )


async def sighting(
    team: str, fault: str, seed: int, *, competence: float = 0.85, task: str = "word-problems"
) -> Sighting:
    """Run one team on one problem with one fault (empty for none) and diagnose its trace.

    Args:
        team: spec of a protocol or recipe of the foundation, or "relay".
        fault: a name of the catalogue.
        seed: picks the problem, the agent that is hit, and all that is random; the same for clean and planted runs.
        competence: of the scripted agents.
        task: where problems come from.
    """
    trace = Recording(f"{team}-{fault or 'clean'}-{seed}")
    if team == RELAY:
        return await _relay_sighting(trace, fault, seed)
    problem = open_task(task).problems(1, seed=seed)[0]
    plan = open_team(team)
    scripted = ScriptedModel(answer_key([problem]), seed=seed, competence=competence, sycophancy=0.3)
    model = Phrased(scripted, derive(seed, "wording"))
    session = Session(model, problem.question, trace=trace, seed=derive(seed, "session"))
    agents, planted = list(plan.agents), None
    if fault:
        victim = agents[derive(seed, "victim") % len(agents)].name
        agents, planted = plant(session, agents, fault, victim, seed)
    answered = await answer_one(plan.run, agents, problem, session, team)
    return _seen(team, problem, planted, answered.correct, trace)


async def _relay_sighting(trace: Recording, fault: str, seed: int) -> Sighting:
    problem, tool = relay_problem(seed)
    session = Session(Reader(), problem.question, trace=trace, seed=derive(seed, "session"))
    agents, planted = relay_agents(), None
    if fault and FAULTS[fault].where == "tool":
        call = derive(seed, "victim") % 2
        planted = Planted(fault, NAMES[call])
        tool = faulty_tool(tool, planted, seed, at=call)
    elif fault:
        victim = NAMES[derive(seed, "victim") % len(NAMES)]
        agents, planted = plant(session, agents, fault, victim, seed)

    async def run(question: object, team: Sequence[Agent], work: Session, **options: object) -> object:
        return await relay(problem.question, team, work, tool)

    answered = await answer_one(run, agents, problem, session, RELAY)  # type: ignore[arg-type]
    return _seen(RELAY, problem, planted, answered.correct, trace)


def replayable(team: str, seed: int, *, competence: float = 0.95, task: str = "word-problems") -> Case:
    """One team on one problem as a case that can be run again, for faults planted in the middle of a run.

    Args:
        team: spec of a protocol or recipe of the foundation, or "relay".
        seed: picks the problem and all that is random.
        competence: of the scripted agents, who give way to what they hear in eight cases of ten.
        task: where problems come from.
    """

    def right(outcome: Outcome) -> float:
        return float(problem.check(outcome.answer))

    if team == RELAY:
        problem, tool = relay_problem(seed)

        async def run(question: Question, agents: Sequence[Agent], session: Session) -> Outcome:
            return await relay(question, agents, session, tool)

        return Case(run, problem.question, relay_agents(), Reader(), right, seed=derive(seed, "session"))
    problem = open_task(task).problems(1, seed=seed)[0]
    plan = open_team(team)
    scripted = ScriptedModel(answer_key([problem]), seed=seed, competence=competence, sycophancy=0.8)
    model = Phrased(scripted, derive(seed, "wording"))
    return Case(plan.run, problem.question, plan.agents, model, right, seed=derive(seed, "session"))


def _seen(team: str, problem: Problem, planted: Planted | None, correct: bool, trace: Recording) -> Sighting:
    view = conversations(trace.trace)[0]
    diagnosis = diagnose(view)  # it knows whether the run failed, as whoever asks for a diagnosis does, and no more
    changed: set[int] = set()
    if planted is not None:
        changed |= {view.by_event[e] for e in planted.events if e in view.by_event}
        tool = FAULTS[planted.fault].where == "tool"
        kinds = ("tool",) if tool else ("said", "failed")
        own = [s.index for s in view.of(planted.agent) if s.kind in kinds]
        numbers = [0] if tool and planted.calls else planted.calls
        changed |= {own[n] for n in numbers if n < len(own)}
    stated = [step.answer for step in view.steps if step.kind == "said" and step.answer is not None]
    erring = any(not problem.check(answer) for answer in stated)
    return Sighting(team, planted, correct, diagnosis, frozenset(changed), erring)


@dataclass(frozen=True)
class Score:
    """How a detector did.

    Attributes:
        detector: its name.
        fault: the fault it was scored on; empty for all of its faults together.
        planted: runs with the fault.
        found: of these, runs in which it fired.
        located: of these, runs in which it named the right agent.
        fired: runs of all in which it fired.
        right: of these, runs with one of its faults (for dissent: with any wrong answer, planted or not).
        clean: runs without any fault (and without any wrong answer).
        false: of these, runs in which it fired.
        brier: mean squared difference of score and truth over all runs.
        error: expected calibration error over ten bins of score.
    """

    detector: str
    fault: str
    planted: int
    found: int
    located: int
    fired: int
    right: int
    clean: int
    false: int
    brier: float
    error: float

    @property
    def recall(self) -> float:
        """Share of planted runs that it found."""
        return self.found / self.planted if self.planted else float("nan")

    @property
    def precision(self) -> float:
        """Share of its alarms that were right."""
        return self.right / self.fired if self.fired else float("nan")

    @property
    def false_alarms(self) -> float:
        """Share of clean runs in which it fired."""
        return self.false / self.clean if self.clean else float("nan")


def score_detectors(runs: Sequence[Sighting], threshold: float = THRESHOLD) -> list[Score]:
    """Scores of each detector with faults of its own, for each of these and for all together.

    Runs whose fault changed nothing count as clean.
    """
    scores = []
    for name, entry in DETECTORS.items():
        if not entry.faults:
            continue
        values = np.array([run.score(name) for run in runs])
        facts = name == "dissent"
        truth = np.array([_fault(run) in entry.faults or (facts and run.erring) for run in runs])
        clean = np.array([not _fault(run) and not run.erring for run in runs])
        fired = values >= threshold
        for fault in ("", *entry.faults):
            wanted = np.array([_fault(r) == fault if fault else _fault(r) in entry.faults for r in runs])
            located = sum(
                run.planted is not None and run.score(name, run.planted.agent) >= threshold
                for run, w in zip(runs, wanted, strict=True)
                if w
            )
            scores.append(
                Score(
                    name,
                    fault,
                    int(wanted.sum()),
                    int((fired & wanted).sum()),
                    located,
                    int(fired.sum()),
                    int((fired & truth).sum()),
                    int(clean.sum()),
                    int((fired & clean).sum()),
                    float(np.mean((values - truth) ** 2)),
                    calibration_error(values, truth),
                )
            )
    return scores


def calibration_error(confidence: NDArray[np.float64], truth: NDArray[np.bool_], bins: int = 10) -> float:
    """Expected calibration error: mean over bins, by size, of |mean confidence - share true|."""
    place = np.minimum((confidence * bins).astype(int), bins - 1)
    total = 0.0
    for b in range(bins):
        inside = place == b
        if inside.any():
            total += inside.mean() * abs(float(confidence[inside].mean()) - float(truth[inside].mean()))
    return total


@dataclass(frozen=True)
class AttributionScore:
    """How attribution did on runs with a fault, beside baselines that look at nothing.

    Attributes:
        fault: name; empty for all.
        runs: with that fault, in which it changed something.
        agent: share in which the first suspect is the agent that was hit.
        step: share in which it is also a step that the fault changed.
        random_agent: what a random agent would score on average.
        talkative: share for "whoever spoke most".
        first: share for "the first step".
        error: expected calibration error of the first suspect's confidence (as to agent and step).
    """

    fault: str
    runs: int
    agent: float
    step: float
    random_agent: float
    talkative: float
    first: float
    error: float


def score_attribution(runs: Sequence[Sighting]) -> list[AttributionScore]:
    """Scores for all faults together, and for each; faults of whole teams have no single culprit and are left out."""
    hit = [r for r in runs if r.planted is not None and r.planted.effective and FAULTS[r.planted.fault].where != "team"]
    faults = sorted({r.planted.fault for r in hit if r.planted is not None})
    return [_attributed(f, [r for r in hit if f in ("", _fault(r))]) for f in ("", *faults)]


def _attributed(fault: str, runs: Sequence[Sighting]) -> AttributionScore:
    agents, steps, chance, talk, first, sure = [], [], [], [], [], []
    for run in runs:
        assert run.planted is not None
        view, suspects = run.diagnosis.conversation, run.diagnosis.suspects
        top = suspects[0] if suspects else None
        agents.append(top is not None and top.agent == run.planted.agent)
        steps.append(top is not None and top.step in run.changed)
        sure.append(top.confidence if top is not None else 0.0)
        chance.append(1 / max(1, len(view.agents)))
        most = max(view.agents, key=lambda name: sum(len(s.text) for s in view.of(name)), default="")
        talk.append(most == run.planted.agent)
        first.append(bool(view.steps) and view.steps[0].agent == run.planted.agent)
    error = calibration_error(np.array(sure), np.array(steps, dtype=bool)) if runs else float("nan")
    a, s, c, t, f = (float(np.mean(x)) if runs else float("nan") for x in (agents, steps, chance, talk, first))
    return AttributionScore(fault, len(runs), a, s, c, t, f, error)


def _fault(run: Sighting) -> str:
    return run.planted.fault if run.planted is not None and run.planted.effective else ""
