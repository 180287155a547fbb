"""`shoal team`: is a team worth it? The team, one call of one agent, and one agent with the team's token budget.

The comparison is an ordinary study, so it has seeds, resume, a trace, plots, a report and verdicts like any other.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from pydantic import Field

from shoal.errors import BudgetExceeded, InputError
from shoal.runs.budget import Limits
from shoal.runs.results import Measurements, Results
from shoal.runs.seeds import derive
from shoal.runs.study import Claim, Experiment, Study, StudyConfig, Trial
from shoal.stats import Check, mcnemar, mean
from shoal.tasks.catalogue import open_task
from shoal.tasks.problem import AnswerKey, Problem, Question, answer_key
from shoal.teams.agent import Agent
from shoal.teams.catalogue import open_team
from shoal.teams.evaluation import FAILURE, Answered, answer_all, measurements
from shoal.teams.outcome import Outcome, Team
from shoal.teams.protocols.aggregation import Opinion, conclude
from shoal.teams.protocols.asking import Call, brief, poll
from shoal.teams.session import Session

EXPERIMENT = "comparison"
ONE_CALL = "one call"
MOST_SAMPLES = 1000


class TeamConfig(StudyConfig):
    """What `shoal team` was asked to do."""

    team: str = Field(description="Team: a recipe or protocol, with options, or a YAML file")
    against: str = Field("single", description="What it is compared with: single (equal tokens), or another team")
    task: str = Field("sums", description="Task set: a generated task, gsm8k, bbh:NAME or a JSONL file")
    questions: int = Field(32, ge=1, le=100_000, description="Problems per seed")
    budget_tokens: int | None = Field(
        None, ge=1, description="Tokens per problem for each system; by default the rival gets what the team used"
    )
    temperature: float = Field(0.7, ge=0, le=2, description="Sampling temperature of all systems but the greedy call")
    max_tokens: int = Field(128, ge=1, description="Longest reply in tokens")
    watch: str = Field("", description="What stands between the team's agents (flag, governance=balanced); or nothing")


Attach = Callable[[Session], object]
"""Puts something between the agents of a session."""


def team_study(config: TeamConfig, attach: Attach | None = None) -> Study[TeamConfig]:
    """The study that compares the team of ``config`` with what it is set against.

    Args:
        config: what was asked for.
        attach: puts what ``config.watch`` names into each session of the team; its rivals go without.

    Raises:
        InputError: a team, task or option is not usable; checked before anything is run.
    """
    plan = open_team(config.team)
    open_task(config.task)
    if config.against != "single":
        open_team(config.against)
    rival = _rival(config)
    return Study(
        name="team",
        title=f"{plan.name} on {config.task}",
        paper="own comparison",
        kind="team",
        engine="teams",
        summary=(
            f"The team {config.team} on {config.questions} problems of {config.task} per seed, beside one greedy call "
            f"of one agent and {rival} with the same tokens for each problem."
        ),
        config=TeamConfig,
        experiments=[
            Experiment(
                EXPERIMENT, partial(compare, attach=attach), (plan.name, rival, ONE_CALL), model=True, joint=True
            )
        ],
        claims=[
            Claim(
                "team-pays",
                f"{plan.name} answers more problems than {rival} at the same token budget",
                EXPERIMENT,
                lambda results: _checks(results, plan.name, rival),
            ),
            Claim(
                "beats-one-call",
                f"{plan.name} answers more problems than one greedy call",
                EXPERIMENT,
                lambda results: _checks(results, plan.name, ONE_CALL),
            ),
        ],
        seeds={"quick": 1, "standard": 3, "full": 5},
        vocabulary=plan.vocabulary,
    )


@dataclass(frozen=True)
class System:
    """One of the systems that are compared.

    Attributes:
        name: as in the trace and the results.
        run: the team function, its options bound.
        agents: the team.
        temperature: of its session.
    """

    name: str
    run: Team
    agents: Sequence[Agent]
    temperature: float


def systems(config: TeamConfig, key: AnswerKey, attach: Attach | None = None) -> tuple[System, System, System]:
    """The team, its rival and the single greedy call, in the order in which they work."""
    plan = open_team(config.team, answer_key=key)
    against_one = config.against == "single"
    rival = open_team("self-consistency" if against_one else config.against, answer_key=key)
    single = open_team("single")
    run = plan.run if attach is None else watched(plan.run, attach)
    return (
        System(plan.name, run, plan.agents, config.temperature),
        System(_rival(config), spend_it_all if against_one else rival.run, rival.agents, config.temperature),  # type: ignore[arg-type]
        System(ONE_CALL, single.run, single.agents, 0.0),
    )


def problems_of(config: TeamConfig, root: int, seed: int) -> list[Problem]:
    """The problems of one replicate."""
    return list(open_task(config.task).problems(config.questions, derive(root, EXPERIMENT, seed, "problems")))


async def compare(trial: Trial[TeamConfig], attach: Attach | None = None) -> Mapping[str, Measurements]:
    """Run the team, then its rival with the same tokens for each problem, then one greedy call."""
    config = trial.config
    problems = problems_of(config, trial.root, trial.seed)
    key = answer_key(problems)
    model = trial.need_model(key)
    seed = trial.derive("session")

    async def work(system: System, limits: Sequence[Limits] | Limits | None = None) -> list[Answered]:
        return await answer_all(
            system.run, system.agents, problems, model, trace=trial.trace, seed=seed, limits=limits,
            temperature=system.temperature, max_tokens=config.max_tokens, label=system.name,
        )  # fmt: skip

    team, rival, once = systems(config, key, attach)
    answers = {team.name: await work(team, Limits(tokens=config.budget_tokens))}
    shares = [Limits(tokens=rival_tokens(config, answered.usage.tokens)) for answered in answers[team.name]]
    answers[rival.name] = await work(rival, shares)
    answers[once.name] = await work(once)
    return {name: measurements(answered) for name, answered in answers.items()}


def rival_tokens(config: TeamConfig, used: int) -> int:
    """Tokens that the rival gets for a problem on which the team used so many."""
    return config.budget_tokens or max(1, used)


def watched(team: Team, attach: Attach) -> Team:
    """The team with something put between its agents at the start of each session."""

    async def run(question: Question, agents: Sequence[Agent], session: Session, **options: Any) -> Outcome:
        attach(session)
        return await team(question, agents, session, **options)

    return run


def system_rows(results: Results) -> list[dict[str, Any]]:
    """One row per system: accuracy with its interval over problems, total cost, and the slowest problem's seconds."""
    rows = []
    for variant in results.variants(EXPERIMENT):
        values, _ = results.items(EXPERIMENT, variant, "accuracy")
        accuracy = mean(values)
        row: dict[str, Any] = {
            "system": variant,
            "accuracy": accuracy.value,
            "ci_low": accuracy.low,
            "ci_high": accuracy.high,
            "problems": int(values.size),
        }
        for metric in ("tokens", "calls", "messages", "money", "unanswered", "failures"):
            row[metric] = float(results.items(EXPERIMENT, variant, metric)[0].sum())
        row["failures_by_kind"] = {
            metric.removeprefix(FAILURE): float(results.items(EXPERIMENT, variant, metric)[0].sum())
            for metric in results.metrics(EXPERIMENT)
            if metric.startswith(FAILURE) and results.seeds(EXPERIMENT, variant, metric)
        }
        row["seconds"] = float(results.items(EXPERIMENT, variant, "seconds")[0].max(initial=0.0))
        rows.append(row)
    return rows


def paired_rows(results: Results) -> list[dict[str, Any]]:
    """The team against each other system: paired difference in accuracy with interval, and the exact McNemar p."""
    team, *rivals = results.variants(EXPERIMENT)
    rows = []
    for rival in rivals:
        e = results.difference(EXPERIMENT, team, rival, "accuracy", per_item=True)
        one, two = (results.items(EXPERIMENT, v, "accuracy")[0] for v in (team, rival))
        rows.append(
            {
                "team": team,
                "against": rival,
                "difference": e.value,
                "ci_low": e.low,
                "ci_high": e.high,
                "mcnemar_p": mcnemar(one, two),
                "n": e.n,
            }
        )
    return rows


async def spend_it_all(question: Question, agents: Sequence[Agent], session: Session) -> Outcome:
    """One agent that keeps sampling while its token budget holds another sample of the usual length, then a plurality.

    One sample at a time: calls in flight reserve their longest possible reply, so asking all at once would leave most
    of the budget unspent and make the baseline weaker than it is.
    """
    opinions: list[Opinion] = []
    while True:
        left = session.budget.tokens_left(agents[0].name)
        spent = session.usage.tokens
        if opinions and (left is None or left < spent / len(opinions)):
            break
        try:
            opinions += await poll(session, question, [Call(agents[0], brief(question, 0))])
        except BudgetExceeded:
            break
        if len(opinions) == MOST_SAMPLES or session.usage.tokens == spent:
            break  # calls that fail cost nothing and could be repeated for ever
    return conclude(session, question, opinions, rounds=1)


def _rival(config: TeamConfig) -> str:
    if config.against == "single":
        return "single, equal tokens"
    name = open_team(config.against).name
    if name == open_team(config.team).name:
        raise InputError("--against", config.against, "Choose another system than the team itself.")
    return name


def _checks(results: Results, team: str, rival: str) -> list[Check]:
    difference = results.difference(EXPERIMENT, team, rival, "accuracy", per_item=True)
    return [Check(f"{team} - {rival}", difference, above=0.0)]
