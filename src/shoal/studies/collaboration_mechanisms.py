"""Collaboration mechanisms: the survey's channels (arXiv 2501.06322) as options that can be compared by one value.

The survey has no algorithm and no experiment. Its taxonomy is built as a schema, a validator, a compiler and one
component per value (``shoal.teams.vocabulary``), with a recipe for each kind of team it names; its statements about
channels are tested here.

Evidence. ``vocabulary``, ``voting``, ``cascade``, ``faults`` and ``roles`` use scripted agents (a known chance of being
right, a known readiness to follow others): they test the mechanisms, not language models. ``recorded`` lets the real
answers of four published models to GSM8K vote. ``model`` asks a real model, by default the small local one.

Settings. Voting uses two answer classes, because the binomial formula is about right and wrong; with more classes a
plurality needs less than half and beats the formula. In ``cascade`` the loud agent is always wrong, claims certainty
(which its readers count threefold) and never changes its mind; independent voting has the same loud agent in it. The
page names s = 0.8; four honest agents with competence 0.6 are ours. In ``faults`` the victim dies before its last call,
at a time drawn evenly from those. In ``roles`` the flat matrix has the mean of the block-diagonal one everywhere, so
that only the fit of role and skill differs; a part costs one call in every variant.

Thresholds are the page's: 3 standard errors, 3 points, 100%, 95%. Ours: "loses its edge" means that the whole interval
of the difference lies within 3 points of nothing, the same margin that the page gives a vote's gain at rho = 0.9; 400
questions a seed are what that takes (with the 48 of quick the interval is wider than the margin).

Sampling in ``model`` is at temperature 0.3 for vote, debate and self-consistency alike: at the usual 0.7 single samples
of the small model are right far less often than its greedy reply, and all three would be judged on noise. For equal
tokens, one agent's self-consistency draws as many samples as the debate's tokens pay for on that question, rounded to
the nearest, at least one.

Recorded answers cannot be revised, so only late-stage channels can be tested on them; weights and the best single model
are chosen on the other half of the problems.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from shoal.errors import InputError
from shoal.models.opinions import draw_answers
from shoal.models.recorded import RecordedAnswers, gsm8k_recordings
from shoal.models.scripted import ScriptedModel
from shoal.runs.mechanism import flows
from shoal.runs.results import Measurements, Results
from shoal.runs.seeds import derive
from shoal.runs.study import Claim, Experiment, Study, StudyConfig, Trial, Vocabulary
from shoal.stats import Check, Estimate, Evidence, exact, paired_difference
from shoal.tasks.catalogue import open_task
from shoal.tasks.datasets import missing
from shoal.tasks.problem import Problem, Question, answer_key
from shoal.teams.agent import Agent, make_agents
from shoal.teams.evaluation import Answered, answer_all, answer_one, measurements
from shoal.teams.outcome import Outcome
from shoal.teams.protocols import PROTOCOLS, kill
from shoal.teams.session import Session

if TYPE_CHECKING:
    from matplotlib.figure import Figure

VOTERS = (1, 3, 5, 9, 15)
TOPICS = ("arithmetic", "logic", "facts", "writing")
LOUD = "agent-5"

INDEPENDENT, CORRELATED, FIRST = "independent", "correlated", "first answer"
VOTE, DEBATE = "independent vote", "debate"
MEEK, QUIET = "debate, no sycophancy", "debate, nobody loud"
STAR, MESH = "star", "mesh"
NO_HUB, NO_LEAF, NO_PEER = "star, hub killed", "star, leaf killed", "mesh, one killed"
BLOCKS, FLAT = "block-diagonal", "flat"
ROLES, NO_ROLES, WRONG_ROLES = "roles", "no roles", "shuffled roles"
ONE, MANY = "one agent", "self-consistency, equal tokens"
RANDOM_MODEL, BEST_MODEL = "random single", "best single (held out)"
PLURALITY, BY_ACCURACY, BY_ODDS = "plurality", "weighted by accuracy", "weighted by log-odds"


class Config(StudyConfig):
    """Settings of the study."""

    competence: float = Field(0.6, gt=0, lt=1, description="chance that a voter is right")
    correlation: float = Field(0.9, ge=0, le=1, description="correlation of correctness in the correlated variant")
    items: int = Field(10_000, ge=10, le=1_000_000, description="questions per seed in voting")
    sycophancy: float = Field(0.8, ge=0, le=1, description="chance to adopt what most peers say, in cascade")
    questions: int = Field(30, ge=2, le=5_000, description="questions per seed in cascade")
    topic_questions: int = Field(100, ge=2, le=5_000, description="questions per seed and topic in roles")
    runs: int = Field(20, ge=4, le=5_000, description="team runs per seed in faults")
    team: int = Field(5, ge=3, le=10, description="agents of a team in faults")
    rounds: int = Field(2, ge=1, le=10, description="rounds of talk in cascade and faults")
    skill: float = Field(0.9, ge=0, le=1, description="competence of a role on its own topic")
    weakness: float = Field(0.3, ge=0, le=1, description="competence of a role on the other topics")
    model_questions: int = Field(24, ge=1, le=5_000, description="one-digit sums per seed for the language model")
    model_agents: int = Field(3, ge=2, le=10, description="agents of the teams of language models")
    max_tokens: int = Field(32, ge=8, le=4_096, description="longest reply of the language model")
    temperature: float = Field(0.3, gt=0, le=2, description="of every variant of the language model but the greedy one")
    recorded_problems: int = Field(1_319, ge=20, le=1_319, description="recorded problems that are voted on")


async def vocabulary(trial: Trial[Config]) -> Measurements:
    """Run the example of every value from YAML, refuse what must be refused, and go round from config to config."""
    from shoal.teams.vocabulary import COMPONENTS, TeamSpec, compile_team, dump_team, parse_team
    from shoal.teams.vocabulary.examples import REFUSED, example

    problem = Problem(Question("q", "What is 3 + 4?\n(7) seven\n(8) eight", "choice", options=("7", "8")), "7")
    payoffs = Problem(Question("p", "Which?\n(A) one\n(B) two", "choice", options=("A", "B")), "A")
    key = answer_key([problem, payoffs])
    model = ScriptedModel(key, competence=1.0, seed=trial.derive("model"))
    completed, same = [], []
    for name, known in COMPONENTS.items():
        spec = parse_team(example(known.field, known.name))
        team = compile_team(spec, answer_key=key, read=lambda prompt: "Answer: 7")
        of_choice = payoffs if name == "aggregate/nash" else problem
        session = Session(model, of_choice.question, trace=trial.trace, seed=trial.derive("session"))
        completed.append(float(of_choice.check((await team.run(of_choice.question, team.agents, session)).answer)))
        same.append(float(TeamSpec.model_validate(team.config()) == spec == parse_team(dump_team(spec))))
    refused = []
    for _, text, field in REFUSED:
        try:
            parse_team(text)
            refused.append(0.0)
        except InputError as error:
            refused.append(float(error.field.endswith(field)))
    return {"completed": completed, "round trip": same, "refused with field": refused}


def voting(trial: Trial[Config]) -> Measurements:
    """Accuracy of the first n of 15 voters, item by item, for each n."""
    config = trial.config
    rho = config.correlation if trial.variant == CORRELATED else 0.0
    answers = draw_answers(
        trial.rng("answers"), config.items, config.competence, correlation=rho, options=2, agents=max(VOTERS)
    )
    right = answers == 0
    if trial.variant == FIRST:
        return {f"accuracy n={n}": right[:, 0].astype(float) for n in VOTERS}
    votes: dict[str, Any] = {f"accuracy n={n}": majority(right[:, :n]).astype(float) for n in VOTERS}
    for n in VOTERS if trial.variant == INDEPENDENT else ():
        truth = binomial_majority(config.competence, n)
        error = math.sqrt(truth * (1 - truth) / config.items)
        votes |= {f"formula n={n}": truth, f"z n={n}": (float(votes[f"accuracy n={n}"].mean()) - truth) / error}
    return votes


def majority(right: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Whether more than half of the voters [items, n] are right, for odd n."""
    more: NDArray[np.bool_] = right.sum(axis=1) * 2 > right.shape[1]
    return more


def binomial_majority(p: float, n: int) -> float:
    """Condorcet's formula: the chance that more than half of n independent voters are right, for odd n."""
    return sum(math.comb(n, k) * p**k * (1 - p) ** (n - k) for k in range(n // 2 + 1, n + 1))


async def cascade(trial: Trial[Config]) -> Measurements:
    """Five agents, one of them wrong, certain and stubborn: a vote of first answers against a debate."""
    config, variant = trial.config, trial.variant
    problems = open_task("sums").problems(config.questions, trial.derive("problems"))
    loud = () if variant == QUIET else (LOUD,)
    model = ScriptedModel(
        answer_key(problems),
        seed=trial.derive("model"),
        competence={"*": config.competence, LOUD: 0.0},
        sycophancy=0.0 if variant == MEEK else config.sycophancy,
        loud=loud,
        stubborn=(LOUD,),
    )
    team = PROTOCOLS.get("vote").run
    if variant != VOTE:
        team = partial(PROTOCOLS.get("debate").run, rounds=config.rounds, agreement=None)
    answers = await answer_all(
        team, make_agents(5), problems, model, trace=trial.trace, seed=trial.derive("session"), label=variant
    )
    return log(answers)


async def faults(trial: Trial[Config]) -> Measurements:
    """Star and mesh, whole and with an agent that dies at a random time; each question is one run."""
    config, variant = trial.config, trial.variant
    problems = open_task("sums").problems(config.runs, trial.derive("problems"))
    model = ScriptedModel(answer_key(problems), seed=trial.derive("model"), competence=config.competence)
    rng = trial.rng("deaths")
    name = "mesh" if variant.startswith(MESH) else "star"
    run = partial(PROTOCOLS.get(name).run, rounds=config.rounds, agreement=None)
    answers = []
    for i, problem in enumerate(problems):
        seed = derive(trial.derive("session"), problem.question.id)
        session = Session(model, problem.question, trace=trial.trace, seed=seed)
        agents = make_agents(config.team)
        life = float(rng.random())
        if variant in (NO_HUB, NO_LEAF, NO_PEER):
            place = {NO_HUB: 0, NO_LEAF: 1 + i % (config.team - 1), NO_PEER: i % config.team}[variant]
            calls = config.rounds + (1 if name == "mesh" else 0)
            agents = kill(session, agents, agents[place].name, after=int(life * calls))
        answers.append(await answer_one(run, agents, problem, session, variant))
    per_round = [a.messages / a.outcome.rounds for a in answers if a.outcome.rounds]
    completed = [float(a.outcome.answer is not None) for a in answers]
    expected = config.team * (config.team - 1) if name == "mesh" else 2 * (config.team - 1)
    return {
        **log(answers),
        "completed": completed,
        "stopped": [1 - done for done in completed],
        "messages per round": per_round or [0.0],
        "messages off": [abs(count - expected) for count in per_round] or [0.0],
    }


async def roles(trial: Trial[Config]) -> Measurements:
    """Questions on four topics, one call each: to the role of that topic, to anybody, or to the wrong role."""
    config = trial.config
    labels, matrix = trial.variant.split(", ")
    base = open_task("sums").problems(config.topic_questions * len(TOPICS), trial.derive("problems"))
    problems = [_with_topic(problem, TOPICS[i % len(TOPICS)]) for i, problem in enumerate(base)]
    names = [f"agent-{i + 1}" for i in range(len(TOPICS))]
    skill = skill_matrix(config, matrix)
    competence = {(names[i], topic): float(skill[i, j]) for i in range(len(TOPICS)) for j, topic in enumerate(TOPICS)}
    model = ScriptedModel(answer_key(problems), seed=trial.derive("model"), competence=competence)
    shift = 1 if labels == WRONG_ROLES else 0
    agents = [
        Agent(name, skills={topic: float(TOPICS.index(topic) == (i + shift) % len(TOPICS)) for topic in TOPICS})
        for i, name in enumerate(names)
    ]
    team = dealt if labels == NO_ROLES else partial(PROTOCOLS.get("experts").run, top=1)
    answers = await answer_all(
        team, agents, problems, model, trace=trial.trace, seed=trial.derive("session"), label=trial.variant
    )
    return log(answers)


def skill_matrix(config: Config, kind: str) -> NDArray[np.float64]:
    """Competence of each role on each topic [roles, topics]: high on the diagonal, or the same mean everywhere."""
    blocks = np.full((len(TOPICS), len(TOPICS)), config.weakness)
    np.fill_diagonal(blocks, config.skill)
    return blocks if kind == BLOCKS else np.full_like(blocks, blocks.mean())


async def dealt(question: Question, agents: Sequence[Agent], session: Session, **options: Any) -> Outcome:
    """A team without roles: each question goes to an agent drawn at random."""
    chosen = agents[derive(session.seed, "dealt") % len(agents)]
    return await PROTOCOLS.get("single").run(question, [chosen], session, **options)


def _with_topic(problem: Problem, topic: str) -> Problem:
    question = replace(problem.question, id=f"{topic}-{problem.question.id}", tags={"topic": topic})
    return replace(problem, question=question)


async def language_model(trial: Trial[Config]) -> Mapping[str, Measurements]:
    """One agent, a vote and a debate on one-digit sums; then one agent with the debate's tokens."""
    config = trial.config
    problems = open_task("sums").problems(config.model_questions, trial.derive("problems"))
    model = trial.need_model(answer_key(problems))

    async def play(name: str, agents: int, label: str, temperature: float, **options: Any) -> list[Answered]:
        run = partial(PROTOCOLS.get(name).run, **options)
        return await answer_all(
            run, make_agents(agents), problems, model, trace=trial.trace, seed=trial.derive("session"),
            temperature=temperature, max_tokens=config.max_tokens, label=label,
        )  # fmt: skip

    one = await play("single", 1, ONE, 0.0)
    vote = await play("vote", config.model_agents, VOTE, config.temperature)
    debate = await play("debate", config.model_agents, DEBATE, config.temperature, rounds=1, agreement=None)
    samples = {
        a.problem.question.id: max(1, round(a.usage.tokens / max(1, b.usage.tokens)))
        for a, b in zip(debate, one, strict=True)
    }

    def drawn(question: Question) -> dict[str, Any]:
        return {"samples": min(200, samples[question.id]), "temperature": config.temperature}

    async def same_tokens(question: Question, agents: Sequence[Agent], session: Session, **options: Any) -> Outcome:
        run = PROTOCOLS.get("self-consistency").run
        return await run(question, agents, session, **drawn(question))

    many = await answer_all(
        same_tokens, make_agents(1), problems, model, trace=trial.trace, seed=trial.derive("session"),
        temperature=config.temperature, max_tokens=config.max_tokens, label=MANY,
    )  # fmt: skip
    return {ONE: log(one), MANY: log(many), VOTE: log(vote), DEBATE: log(debate)}


async def recorded(trial: Trial[Config]) -> Measurements:
    """Four real models' recorded answers: single ones and votes, weights and choices made on the other half."""
    recordings = gsm8k_recordings()
    if recordings is None:
        raise InputError("recorded", "gsm8k", missing("gsm8k-recordings"))
    order = trial.rng("folds").permutation(len(recordings.problems))[: trial.config.recorded_problems]
    order = np.sort(order)
    half = trial.rng("halves").permutation(order.size) < order.size // 2
    models = [RecordedAnswers(recordings, name) for name in recordings.models]
    answers: list[Answered] = []
    for mine in (True, False):
        rows = order[half == mine]
        held_out = recordings.correct[:, order[half != mine]].mean(axis=1)
        agents = [
            Agent(name, model=model, skills={"gsm8k": float(p)})
            for name, model, p in zip(recordings.models, models, held_out, strict=True)
        ]
        problems = [recordings.problems[i] for i in rows]
        team, agents = _recorded_team(trial.variant, agents)
        answers += await answer_all(
            team, agents, problems, models[0], trace=trial.trace, seed=trial.derive("session"), label=trial.variant
        )
    place = {p.question.id: i for i, p in enumerate(recordings.problems)}
    answers.sort(key=lambda a: place[a.problem.question.id])
    return log(answers)


def _recorded_team(variant: str, agents: list[Agent]) -> tuple[Any, list[Agent]]:
    if variant == RANDOM_MODEL:
        return dealt, agents
    if variant == BEST_MODEL:
        return PROTOCOLS.get("single").run, [max(agents, key=lambda a: a.skills["gsm8k"])]
    if variant == PLURALITY:
        return shuffled_vote, agents
    scale = "linear" if variant == BY_ACCURACY else "log-odds"
    return partial(PROTOCOLS.get("confidence-vote").run, source="skill", topic="gsm8k", scale=scale), agents


async def shuffled_vote(question: Question, agents: Sequence[Agent], session: Session, **options: Any) -> Outcome:
    """A plurality vote whose ties are broken at random: the first-listed model must not win them all."""
    order = np.random.default_rng(derive(session.seed, "ties")).permutation(len(agents))
    return await PROTOCOLS.get("vote").run(question, [agents[i] for i in order], session, **options)


def _no_recordings(config: Config) -> str | None:
    return None if gsm8k_recordings() is not None else missing("gsm8k-recordings")


def log(answers: Sequence[Answered]) -> dict[str, Any]:
    """What every run logs: accuracy, tokens, calls, messages, rounds, seconds and failures, and failures by type."""
    kinds = sorted({kind for answered in answers for kind in answered.failures})
    by_kind = {f"failure {kind}": [float(Counter(a.failures)[kind]) for a in answers] for kind in kinds}
    return {**measurements(answers), **by_kind}


def _exact_share(results: Results, experiment: str, variant: str, metric: str, label: str) -> list[Check]:
    items, _ = results.items(experiment, variant, metric)
    if not items.size:
        return []
    return [Check(label, exact(float(items.mean()), items.size), above=1.0, needs=1)]


def _vocabulary_checks(results: Results) -> list[Check]:
    return [
        check
        for metric in ("completed", "round trip", "refused with field")
        for check in _exact_share(results, "vocabulary", "every value", metric, f"share {metric}")
    ]


def _binomial_checks(results: Results) -> list[Check]:
    checks = []
    for n in VOTERS:
        items, _ = results.items("voting", INDEPENDENT, f"accuracy n={n}")
        for z in results.values("voting", INDEPENDENT, f"z n={n}"):
            checks.append(Check(f"(measured - formula) / standard error, n={n}", exact(z, items.size), -3.0, 3.0))
    return checks


def _gain(results: Results, variant: str, n: int) -> Estimate:
    """What n voters gain over the first of them, item by item."""
    votes, _ = results.items("voting", variant, f"accuracy n={n}")
    return paired_difference(votes, results.items("voting", variant, "accuracy n=1")[0])


def _correlated_checks(results: Results) -> list[Check]:
    if not results.has("voting", CORRELATED):
        return []
    return [Check(f"gain of n={n} at rho=0.9", _gain(results, CORRELATED, n), below=0.03) for n in VOTERS[1:]]


def _first_checks(results: Results) -> list[Check]:
    if not (results.has("voting", FIRST) and results.has("voting", INDEPENDENT)):
        return []
    return [
        Check(
            f"vote - first answer, n={n}",
            results.difference("voting", INDEPENDENT, FIRST, f"accuracy n={n}", per_item=True),
            above=0.0,
        )
        for n in VOTERS[1:]
    ]


def _difference(experiment: str, one: str, two: str, per_item: bool = False, **region: float) -> Any:
    """Checks that compare the accuracy of two variants over at least 20 seeds, or question by question."""

    def checks(results: Results) -> list[Check]:
        if not (results.has(experiment, one, "accuracy") and results.has(experiment, two, "accuracy")):
            return []
        estimate = results.difference(experiment, one, two, "accuracy", per_item)
        return [Check(f"accuracy: {one} - {two}", estimate, needs=20, **region)]

    return checks


def _hub_checks(results: Results) -> list[Check]:
    return _exact_share(results, "faults", NO_HUB, "stopped", "share of stars that stop without their hub")


def _mesh_checks(results: Results) -> list[Check]:
    if not results.has("faults", NO_PEER, "completed"):
        return []
    return [Check("share of meshes that complete", results.mean("faults", NO_PEER, "completed"), above=0.95, needs=3)]


def _message_checks(results: Results) -> list[Check]:
    checks = []
    for variant, formula in ((STAR, "2(n-1)"), (MESH, "n(n-1)")):
        items, _ = results.items("faults", variant, "messages off")
        if items.size:
            farthest = exact(items.max(), items.size)
            checks.append(Check(f"{variant}: greatest distance from {formula}", farthest, below=0.5))
    return checks


def plots(results: Results) -> dict[str, Figure]:
    """Votes against the formula; accuracy of debate and roles; messages and completion under faults."""
    from shoal.runs.plots import bars, new_figure

    figures: dict[str, Figure] = {}
    if results.has("voting", INDEPENDENT):
        figure, (ax,) = new_figure()
        formula = [results.mean("voting", INDEPENDENT, f"formula n={n}").value for n in VOTERS]
        ax.plot(VOTERS, formula, color="#888888", linewidth=3, alpha=0.5, label="binomial formula")
        for variant in results.variants("voting"):
            means = [results.mean("voting", variant, f"accuracy n={n}").value for n in VOTERS]
            ax.plot(VOTERS, means, "o-", markersize=4, label=variant)
        ax.set(xlabel="voters", ylabel="accuracy", title="Majority vote")
        ax.legend(frameon=False, fontsize=8)
        figures["voting"] = figure
    panels = {
        "teams": [("cascade", "accuracy"), ("roles", "accuracy")],
        "faults": [("faults", "completed"), ("faults", "messages per round")],
        "models": [("model", "accuracy"), ("model", "tokens"), ("recorded", "accuracy")],
    }
    for name, wanted in panels.items():
        shown = [(e, m) for e, m in wanted if results.has(e, metric=m)]
        if shown:
            figure, axes = new_figure(columns=len(shown), width=5.2, height=2.4)
            for ax, (experiment, metric) in zip(axes, shown, strict=True):
                bars(ax, results, experiment, metric)
            figures[name] = figure
    return figures


def _role_variants() -> list[str]:
    return [f"{labels}, {matrix}" for matrix in (BLOCKS, FLAT) for labels in (ROLES, NO_ROLES, WRONG_ROLES)]


ONCE = {"quick": 1, "standard": 1, "full": 1}

CLAIMS = [
    Claim(
        "vocabulary",
        "Every value of the vocabulary runs from YAML, every impossible combination is refused with its field, and "
        "config to team to config is identical",
        "vocabulary",
        _vocabulary_checks,
    ),
    Claim(
        "binomial",
        "A majority vote of n = 1, 3, 5, 9, 15 independent voters with p = 0.6 is right as often as the binomial "
        "formula says, within 3 standard errors",
        "voting",
        _binomial_checks,
    ),
    Claim(
        "correlated-errors",
        "With error correlation 0.9 a vote gains less than 3 points over one agent",
        "voting",
        _correlated_checks,
    ),
    Claim("first-answer", "Taking the first answer instead of the vote loses at rho = 0", "voting", _first_checks),
    Claim(
        "cascade",
        "With sycophancy 0.8 and a wrong loud agent a debate ends below independent voting",
        "cascade",
        _difference("cascade", DEBATE, VOTE, below=0.0),
    ),
    Claim(
        "hub-is-fatal", "Killing the hub stops the star in 100% of runs", "faults", _hub_checks,
        note="The star of the library hands all decisions to its hub, as the survey defines it.",
    ),
    Claim("mesh-survives", "Killing any one agent leaves at least 95% of mesh runs completed", "faults", _mesh_checks),
    Claim("message-counts", "A round costs 2(n-1) messages in a star and n(n-1) in a mesh", "faults", _message_checks),
    Claim(
        "roles-pay",
        "Roles beat no roles where the skill matrix is block-diagonal",
        "roles",
        _difference("roles", f"{ROLES}, {BLOCKS}", f"{NO_ROLES}, {BLOCKS}", above=0.0),
    ),
    Claim(
        "roles-need-skills",
        "Roles lose their edge where the skill matrix is flat (within 3 points)",
        "roles",
        _difference("roles", f"{ROLES}, {FLAT}", f"{NO_ROLES}, {FLAT}", above=-0.03, below=0.03),
    ),
    Claim(
        "wrong-roles-cost",
        "Roles that do not fit the skills lose to no roles",
        "roles",
        _difference("roles", f"{WRONG_ROLES}, {BLOCKS}", f"{NO_ROLES}, {BLOCKS}", below=0.0),
        note="Ours: the survey's remark that role-based teams are only as good as their roles.",
    ),
    Claim(
        "debate-beats-one",
        "A debate of the model with itself beats one agent's self-consistency at equal tokens",
        "model",
        _difference("model", DEBATE, MANY, True, above=0.0),
        note="The survey quotes that well-designed channels beat a single agent; the small local model decides here.",
    ),
    Claim(
        "vote-beats-one",
        "A vote of agents of the same model beats one greedy call",
        "model",
        _difference("model", VOTE, ONE, True, above=0.0),
        note="Not at equal tokens.",
    ),
    Claim(
        "weights-beat-best",
        "Four unequal real models voting with weights from held-out accuracy beat the best of them",
        "recorded",
        lambda results: [
            *_difference("recorded", BY_ACCURACY, BEST_MODEL, True, above=0.0)(results),
            *_difference("recorded", BY_ODDS, BEST_MODEL, True, above=0.0)(results),
        ],
    ),
    Claim(
        "plurality-beats-random",
        "A plurality of four unequal real models beats a random one of them",
        "recorded",
        _difference("recorded", PLURALITY, RANDOM_MODEL, True, above=0.0),
    ),
    Claim(
        "plurality-below-best",
        "A plurality of four unequal real models is below the best of them: weak voters drag it down",
        "recorded",
        _difference("recorded", PLURALITY, BEST_MODEL, True, below=0.0),
    ),
]  # fmt: skip

STUDY = Study(
    name="collaboration-mechanisms",
    title="Collaboration mechanisms: a vocabulary of channels for language-model teams",
    paper="arXiv 2501.06322 (2025)",
    kind="survey",
    engine="teams",
    summary=(
        "The survey describes any team by its channels: actors, stage, type, strategy, structure and orchestration. "
        "Every value runs from a YAML file here, and its warnings are tested: correlated errors, cascades of "
        "sycophancy, the hub as a single point of failure, roles that need skills to match."
    ),
    mechanism=flows(
        "goal and input -> orchestration -(static or dynamic)-> channels -> early: shared context -> agents",
        "type, structure, strategy -> channels -> mid: parameters -> agents -> late: outputs combined -> team output",
        "channels -> late: outputs combined",
    ),
    config=Config,
    experiments=[
        Experiment("vocabulary", vocabulary, ["every value"], seeds=ONCE),
        Experiment("voting", voting, [INDEPENDENT, CORRELATED, FIRST], seeds=ONCE),
        Experiment("cascade", cascade, [VOTE, DEBATE, MEEK, QUIET]),
        Experiment("faults", faults, [STAR, MESH, NO_HUB, NO_LEAF, NO_PEER]),
        Experiment("roles", roles, _role_variants()),
        Experiment(
            "recorded",
            recorded,
            [RANDOM_MODEL, BEST_MODEL, PLURALITY, BY_ACCURACY, BY_ODDS],
            evidence=Evidence.RECORDED,
            seeds=ONCE,
            skip=_no_recordings,
        ),
        Experiment(
            "model", language_model, [ONE, MANY, VOTE, DEBATE],
            model=True, joint=True, seeds={"quick": 1, "standard": 1, "full": 3},
        ),
    ],
    claims=CLAIMS,
    sizes={
        "quick": {"questions": 8, "topic_questions": 12, "runs": 5, "model_questions": 4, "recorded_problems": 300},
        "full": {"questions": 100, "model_questions": 100},
    },
    seeds={"quick": 20, "standard": 20, "full": 50},
    vocabulary=Vocabulary(
        actors=("agents", "roles", "homogeneous", "heterogeneous", "human"),
        type=("cooperation", "competition", "coopetition", "hybrid"),
        structure=("centralized", "decentralized", "hierarchical"),
        strategy=("rule-based", "role-based", "model-based"),
        protocol=("memory", "report", "relay", "debate"),
    ),
    plots=plots,
)  # fmt: skip
