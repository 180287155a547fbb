"""Multi-agent teams hold experts back (arXiv 2602.01011, ICML 2026) as experiments that can fail: a negative result.

A team without roles does worse than its best member, even when told who that is. Its loss is split into not finding
the expert (identification) and not using it (leveraging); turns are coded as deference or compromise.

Evidence. ``concentrated``, ``distributed``, ``sizes``, ``coding`` and ``saboteur`` use **synthetic** members, score
vectors that average: that a compromise team keeps about 1/N of its expert is arithmetic, not evidence about language
models. ``quiz`` and ``guessing`` are synthetic too and show what the comparators do. ``published`` reads the paper's
own table again. ``talk`` asks a real model to rank five crates whose hidden order one member is given: "expert" there
is private information among equal models, and with so small a model noise is likely. Blaming alignment training is the
authors' hypothesis and is not tested.

Settings. N = 4, T = 4, 15 items, 200 tasks by 10 seeds, noises 0.1 and 1, lambda 0.5: the page's. Chosen here before
any claim was looked at, where it is silent: a correlation of 0.5 between members who do not know (with independent
errors the average of more members is better, so the raw gap must fall with N: ``sizes`` measures both); members of a
told team put 0.25 of their weight on the expert, so the size of the identification gap is chosen, not found, and 0
stands beside it; confidence is the true precision times a lognormal error of 1; each member but the expert opts out of
the last vote with chance 0.5. In ``coding`` yielding and the chance to defer are drawn evenly from 0 to 1 per member
and team. Debate means that all speak at once. In a synthetic ranking a majority vote is a member drawn at random: no
ranking is given twice. A turn of 80% of the way to the expert is deference (the page's); of less than 5%, neither.

Changed after a first look at five seeds, on which IC did not correlate at all (r = 0.01) and ED by -0.20: the first
coding called a move from the expert's view back to the middle neither of the two, which is the plainest case of
compromise. Added then, too: the same correlations over teams (mean of ten tasks each) beside those over dialogues. The
number of guessed questions was raised, so that the correction for guessing is measured as closely as it is judged.

Departures. The paper's rule of the smallest summed L1 distance is done as mean rank, then sort, as the page has it.
Turns are coded from movement; there is no annotator here, so the talk of a real model is not coded. Real benchmarks and
Student Body President are left out; the NASA and Lost at Sea orders are shipped (``talk_task``), but every model has
seen them, so what is run is generated.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from shoal.diagnosis import expert_teams as teams
from shoal.diagnosis import expertise
from shoal.runs.checks import Checks, all_of, at_most, by_item, gain, same
from shoal.runs.mechanism import flows
from shoal.runs.results import Results
from shoal.runs.study import Claim, Experiment, Study, StudyConfig, Trial, Vocabulary
from shoal.stats import Check, Estimate, Evidence, exact, mean

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CONTROL, UNTOLD, TOLD, BEST = "no information", "not mentioned", "reveal", "best individual"
IGNORED, PERSISTS, DEFERS = "reveal, ignored", "not mentioned, expert persists", "reveal, full deference"
VOTE, MEAN_RANK, DEBATE, OPT_OUT = "majority vote, no talk", "mean rank, no talk", "debate (reveal)", "opt-out (reveal)"
ORACLE, CONFIDENT, MEMBER = "oracle member", "confidence-weighted, no talk", "mean member"
ARMS = (
    CONTROL, UNTOLD, TOLD, BEST, IGNORED, PERSISTS, DEFERS,
    VOTE, MEAN_RANK, DEBATE, OPT_OUT, ORACLE, CONFIDENT, MEMBER,
)  # fmt: skip
SIZES = (2, 4, 8)
UNRELATED = "not mentioned, independent errors"
CODED, SHUFFLED = "dialogues", "dialogues, shuffled"
TEAMS, TEAMS_SHUFFLED = "teams", "teams, shuffled"
CODINGS = (CODED, SHUFFLED, TEAMS, TEAMS_SHUFFLED)
COMPROMISE, SABOTAGED = "compromise", "compromise, saboteur"
DEFERENCE, FALSE_EXPERT = "deference", "deference to the saboteur"
FIXED, FLATTERED, ALOC, KNOWN = (
    "best fixed member",
    "best fixed member, chosen on the test",
    "ALOC",
    "ALOC, no guessing",
)
QUIZ = (MEMBER, FIXED, FLATTERED, ALOC, KNOWN, VOTE, UNTOLD, TOLD)
OPTIONS = 4
PUBLISHED = {
    "MMLU-Pro": (86.0, 86.0, 86.5, 91.8, 6.3), "GPQA Diamond": (76.0, 83.0, 78.0, 88.8, 14.4),
    "SimpleQA": (51.0, 60.0, 52.0, 62.3, 18.1), "HLE text": (28.0, 36.0, 29.0, 47.5, 41.1),
    "MATH-500": (63.0, 75.0, 73.5, 79.0, 20.3),
}  # fmt: skip
"""The paper's table: team not told, team told, best fixed member, ALOC, and the gap it prints."""


class ExpertsBackConfig(StudyConfig):
    """Settings of the study of experts in teams."""

    tasks: int = Field(200, ge=10, le=100_000, description="Generated rankings per seed")
    items: int = Field(15, ge=3, le=100, description="Items of a ranking")
    members: int = Field(4, ge=3, le=16, description="Team size N")
    rounds: int = Field(4, ge=1, le=50, description="Rounds of talk T")
    expert_noise: float = Field(0.1, ge=0, le=10, description="Noise of who knows")
    other_noise: float = Field(1.0, gt=0, le=10, description="Noise of who does not know")
    correlation: float = Field(0.5, ge=0, le=1, description="Correlation of the noise of members who do not know")
    yields: float = Field(0.5, ge=0, le=1, description="Share of the way that a compromising member moves, lambda")
    heeds: float = Field(0.25, ge=0, le=1, description="Weight that members of a told team put on the expert")
    abstains: float = Field(0.5, ge=0, le=1, description="Chance that a member who is not the expert opts out")
    mixed_teams: int = Field(
        500, ge=10, le=100_000, description="Teams of mixed manners per seed, for the coding of turns"
    )
    team_tasks: int = Field(10, ge=1, le=1000, description="Tasks of each of them")
    questions: int = Field(1000, ge=20, le=1_000_000, description="Quiz questions per seed; half choose the member")
    guesses: int = Field(50_000, ge=20, le=1_000_000, description="Questions per seed for members who only guess")
    talk_puzzles: int = Field(1, ge=1, le=10_000, description="Rankings for the real model")
    talk_items: int = Field(5, ge=2, le=15, description="Items of such a ranking, where it is generated")
    talk_task: Literal["crates", "nasa", "sea"] = Field("crates", description="What is ranked: crates are generated")
    talk_rounds: int = Field(2, ge=1, le=20, description="Rounds of talk of the real model")
    max_tokens: int = Field(32, ge=8, le=4096, description="Longest reply of the real model")

    def knowledge(self, members: int | None = None, **changes: Any) -> teams.Knowledge:
        """Who knows how much in a team."""
        size = self.members if members is None else members
        given = {"correlation": self.correlation, **changes}
        return teams.Knowledge(size, self.items, self.expert_noise, self.other_noise, **given)

    @property
    def untold(self) -> teams.Manner:
        """Compromise."""
        return teams.Manner(self.yields)

    @property
    def told(self) -> teams.Manner:
        """Compromise with some weight on the expert."""
        return teams.Manner(self.yields, self.heeds)


FULL_DEFERENCE = teams.Manner(1.0, 1.0)


def conditions(trial: Trial[ExpertsBackConfig]) -> Mapping[str, Mapping[str, Any]]:
    """Every condition, ablation and baseline on the same tasks with the same luck; knowledge as the name says."""
    config = trial.config
    distributed = trial.experiment == "distributed"
    draws = config.knowledge(distributed=distributed).draw(config.tasks, trial.rng("tasks"))
    manners = {
        CONTROL: config.untold, UNTOLD: config.untold, TOLD: config.told, IGNORED: teams.Manner(config.yields, 0.0),
        PERSISTS: config.untold.expert_persists(config.members), DEFERS: FULL_DEFERENCE, DEBATE: config.told,
    }  # fmt: skip
    if distributed:
        del manners[PERSISTS]  # there is no one expert
    measured: dict[str, dict[str, Any]] = {}
    talks = {}
    for name, manner in manners.items():
        views = draws.uninformed if name == CONTROL else draws.informed
        talk = teams.talk(views, manner, draws.holder, config.rounds, trial.rng("talk"), at_once=name == DEBATE)
        talks[name] = talk
        measured[name] = {"error": expertise.rank_error(talk.decision(trial.rng("ties")), draws.truth)}
        if not distributed:
            measured[name] |= {f"{code} share": share for code, share in talk.codes.items()}
    errors = _baselines(trial, draws, talks[TOLD])
    measured |= {name: {"error": error} for name, error in errors.items()}
    best, control = (float(measured[name]["error"].mean()) for name in (BEST, CONTROL))
    for values in measured.values():
        values["gap"] = expertise.expert_gap(float(values["error"].mean()), best, control)
    loss = expertise.group_loss(*(-float(measured[name]["error"].mean()) for name in (BEST, TOLD, UNTOLD)))
    measured[UNTOLD] |= {
        "identification": loss.identification, "leveraging": loss.leveraging, "loss": loss.total,
    }  # fmt: skip
    return measured


def _baselines(trial: Trial[ExpertsBackConfig], draws: teams.Draws, told: teams.Talk) -> dict[str, NDArray[np.float64]]:
    """Errors [tasks] of everything that needs no talk, and of the told team whose members may abstain."""
    config, truth = trial.config, draws.truth
    alone = expertise.ranks(draws.informed)
    each = expertise.rank_error(alone, truth[:, None])
    shape = each.shape
    stays = trial.rng("abstain").random(shape) >= config.abstains
    noise = np.full(shape, config.other_noise)
    if trial.experiment == "concentrated":
        stays[:, 0] = True
        noise[:, 0] = config.expert_noise
    confidence = trial.rng("confidence").lognormal(0.0, 1.0, shape) / np.maximum(noise, 1e-3)
    opted = expertise.rank_error(told.decision(trial.rng("ties"), stays.astype(float)), truth)
    worst = config.items**2 // 2
    return {
        BEST: expertise.rank_error(expertise.ranks(draws.alone), truth),
        VOTE: expertise.rank_error(expertise.plurality_ranking(alone, trial.rng("ties")), truth),
        MEAN_RANK: expertise.rank_error(expertise.mean_ranking(alone, trial.rng("ties")), truth),
        CONFIDENT: expertise.rank_error(expertise.mean_ranking(alone, trial.rng("ties"), confidence), truth),
        OPT_OUT: np.where(stays.any(axis=1), opted, worst),
        ORACLE: each.min(axis=1),
        MEMBER: each.mean(axis=1),
    }


def sizes(trial: Trial[ExpertsBackConfig]) -> Mapping[str, Mapping[str, Any]]:
    """Teams of 2, 4 and 8 with one expert: the larger ones hold the smaller, on the same tasks."""
    config = trial.config
    arms = {
        UNTOLD: (config.untold, config.correlation), TOLD: (config.told, config.correlation),
        DEFERS: (FULL_DEFERENCE, config.correlation), UNRELATED: (config.untold, 0.0),
    }  # fmt: skip
    measured = {}
    for name, (manner, correlation) in arms.items():
        largest = config.knowledge(max(SIZES), correlation=correlation).draw(config.tasks, trial.rng("tasks"))
        alone = expertise.rank_error(expertise.ranks(largest.alone), largest.truth)
        for size in SIZES:
            draws = largest.of(size)
            with_expert, without = (
                _decided(trial, views, draws, how)
                for views, how in ((draws.informed, manner), (draws.uninformed, config.untold))
            )
            gap = expertise.expert_gap(float(with_expert.mean()), float(alone.mean()), float(without.mean()))
            measured[sized(name, size)] = {"error": with_expert, "lost": with_expert - alone, "gap": gap}
    return measured


def sized(name: str, size: int) -> str:
    """A condition at a team size."""
    return f"{name}, N={size}"


def _decided(
    trial: Trial[ExpertsBackConfig], views: NDArray[np.float64], draws: teams.Draws, manner: teams.Manner
) -> NDArray[np.float64]:
    """Error of the team's decision [tasks]."""
    talk = teams.talk(views, manner, draws.holder, trial.config.rounds, trial.rng("talk"))
    return expertise.rank_error(talk.decision(trial.rng("ties")), draws.truth)


def coding(trial: Trial[ExpertsBackConfig]) -> Mapping[str, Mapping[str, Any]]:
    """Told teams whose members yield and defer as drawn: what their turns are coded as, and how much is lost.

    Every team meets several tasks: once a dialogue stands for its team, once the mean over all of the team's tasks.
    """
    config, rng = trial.config, trial.rng("manners")
    each, count = config.team_tasks, config.mixed_teams
    draws = config.knowledge().draw(each * count, trial.rng("tasks"))
    yields = np.repeat(rng.random((count, config.members)), each, axis=0)
    defers = np.repeat(rng.random((count, 1)), each, axis=0)
    talk = teams.talk(
        draws.informed, teams.Manner(yields, 0.0, defers), draws.holder, config.rounds, trial.rng("talk")
    )  # fmt: skip
    error = expertise.rank_error(talk.decision(trial.rng("ties")), draws.truth)
    lost = error - expertise.rank_error(expertise.ranks(draws.alone), draws.truth)
    values = {"lost": lost, **{f"{code} share": share for code, share in talk.codes.items()}}
    table = {name: value.reshape(count, each) for name, value in values.items()}
    one = {name: value[:, 0] for name, value in table.items()}
    whole = {name: value.mean(axis=1) for name, value in table.items()}
    dealt = trial.rng("shuffle").permutation(count)
    return {
        CODED: one, SHUFFLED: {**one, "lost": one["lost"][dealt]},
        TEAMS: whole, TEAMS_SHUFFLED: {**whole, "lost": whole["lost"][dealt]},
    }  # fmt: skip


def saboteur(trial: Trial[ExpertsBackConfig]) -> Mapping[str, Mapping[str, Any]]:
    """The last member pushes the reversed truth and never moves; or it is also revealed, falsely, as the expert."""
    config = trial.config
    draws = config.knowledge().draw(config.tasks, trial.rng("tasks"))
    last = config.members - 1
    bad = draws.informed.copy()
    # Its own scores, dealt out in the reversed true order: the worst ranking, no louder than any other.
    bad[:, last] = -np.sort(-draws.informed[:, last], axis=1)[
        np.arange(config.tasks)[:, None], config.items - draws.truth.astype(int)
    ]
    keeps = np.where(np.arange(config.members) == last, 0.0, config.yields)
    sabotaged = teams.Draws(draws.truth, bad, draws.uninformed, draws.alone, np.full_like(draws.holder, last))
    return {
        COMPROMISE: {"error": _decided(trial, draws.informed, draws, config.untold)},
        SABOTAGED: {"error": _decided(trial, bad, draws, teams.Manner(keeps))},
        DEFERENCE: {"error": _decided(trial, draws.informed, draws, FULL_DEFERENCE)},
        FALSE_EXPERT: {"error": _decided(trial, bad, sabotaged, FULL_DEFERENCE)},
    }


def quiz(trial: Trial[ExpertsBackConfig]) -> Mapping[str, Mapping[str, Any]]:
    """Four unequal members at multiple choice: the team beside each comparator, on the half that chose nobody."""
    from shoal.models.opinions import draw_answers, revise

    config, rng = trial.config, trial.rng("talk")
    skill = np.linspace(0.65, 0.55, config.members)
    answers = draw_answers(trial.rng("quiz"), config.questions, skill, 0.2, 0.0, OPTIONS)
    named, fixed = expertise.fixed_member(answers == 0)
    tested = answers[config.questions // 2 :]
    everyone = np.ones((config.members, config.members))
    final = tested
    told = tested
    luck = trial.rng("heed").random((config.rounds, *tested.shape))
    for turn in range(config.rounds):
        final = revise(rng, final, everyone, config.yields)
        told = revise(rng, told, everyone, config.yields)
        told = np.where(luck[turn] < config.heeds, told[:, [named]], told)
    right = tested == 0
    aloc = right.any(axis=1)
    known = expertise.without_guessing(expertise.at_least_one(right), config.members, OPTIONS)
    scores: dict[str, Any] = {
        MEMBER: right.mean(axis=1), FIXED: fixed, FLATTERED: expertise.fixed_member(answers == 0, False)[1],
        ALOC: aloc, KNOWN: known, VOTE: _voted(tested, trial), UNTOLD: _voted(final, trial), TOLD: _voted(told, trial),
    }  # fmt: skip
    measured = {name: {"accuracy": np.asarray(score, float)} for name, score in scores.items()}
    team = float(measured[UNTOLD]["accuracy"].mean())
    for name in (MEMBER, FIXED, FLATTERED, ALOC):
        level = float(measured[name]["accuracy"].mean())
        measured[name]["gap of the team"] = np.array([expertise.synergy_gap(team, level)])
    return measured


def _voted(answers: NDArray[np.int64], trial: Trial[ExpertsBackConfig]) -> NDArray[np.bool_]:
    """Whether the majority [questions, members] is right; ties are drawn."""
    votes = (answers[:, :, None] == np.arange(OPTIONS)).sum(axis=1)
    return np.asarray((votes + 0.5 * trial.rng("vote").random(votes.shape)).argmax(axis=1) == 0)


def guessing(trial: Trial[ExpertsBackConfig]) -> Mapping[str, Mapping[str, Any]]:
    """Members who know nothing and guess between four options."""
    right = trial.rng("guess").integers(0, OPTIONS, (trial.config.guesses, max(SIZES))) == 0
    measured = {}
    for size in SIZES:
        aloc = expertise.at_least_one(right[:, :size])
        measured[f"N={size}"] = {"ALOC": aloc, "corrected": expertise.without_guessing(aloc, size, OPTIONS)}
    return measured


def published(trial: Trial[ExpertsBackConfig]) -> Mapping[str, Mapping[str, Any]]:
    """The paper's table again: each gap against each comparator, in per cent."""
    untold, told, fixed, aloc, printed = np.array(list(PUBLISHED.values())).T
    return {
        ALOC: {"gap": 100 * (aloc - untold) / aloc, "told gap": 100 * (aloc - told) / aloc, "printed": printed},
        FIXED: {"gap": 100 * (fixed - untold) / fixed, "told gap": 100 * (fixed - told) / fixed, "printed": printed},
    }


async def talk(trial: Trial[ExpertsBackConfig]) -> Mapping[str, Any]:
    """A model in all seats ranks crates under one of the paper's four conditions."""
    from shoal.diagnosis.expert_talk import Discussion, counted, puzzle, survival
    from shoal.tasks.problem import answer_key
    from shoal.teams.agent import make_agents
    from shoal.teams.session import Session

    config = trial.config
    known = {"nasa": expertise.NASA_MOON, "sea": expertise.LOST_AT_SEA}.get(config.talk_task)
    seed = trial.derive("puzzles")
    puzzles = [
        puzzle(config.talk_items, i, seed) if known is None else survival(known, i, seed)
        for i in range(config.talk_puzzles)
    ]
    model = trial.need_model(answer_key([p.problem for p in puzzles]))
    agents = make_agents(config.members)
    rows: dict[str, list[float]] = {"error": [], "best alone": []}
    for number, one in enumerate(puzzles):
        session = Session(
            model=model, question=one.problem.question, trace=trial.trace, seed=trial.derive("session", number),
            max_tokens=config.max_tokens,
        )  # fmt: skip
        team = Discussion(one, agents, session, trial.variant, config.talk_rounds)  # type: ignore[arg-type]
        decided = await team.run(trial.derive("order", number))
        worst = len(one.labels) ** 2 // 2
        error = worst if decided is None else float(expertise.rank_error(decided, one.truth))
        alone = [float(expertise.rank_error(ranking, one.truth)) for ranking in team.alone]
        for name, value in {"error": error, "best alone": min(alone), **counted(team)}.items():
            rows.setdefault(name, []).append(float(value))
    return rows


def _wilcoxon(experiment: str, team: str) -> Checks:
    """Paired over tasks: the team errs more than the best individual, and by so little chance."""

    def checks(results: Results) -> list[Check]:
        from scipy.stats import wilcoxon

        found = [by_item(results, experiment, name, "error") for name in (team, BEST)]
        if not found[0].size or not found[1].size:
            return []
        differ = bool((found[0] != found[1]).any())  # without any difference there is nothing to rank
        p = float(wilcoxon(found[0], found[1], alternative="greater").pvalue) if differ else 1.0
        return [Check(f"Wilcoxon p: error of {team} above {BEST}", exact(p, found[0].size), below=0.001, needs=20)]

    return checks


def _closes(results: Results) -> list[Check]:
    levels = [results.values("concentrated", name, "gap") for name in (UNTOLD, DEFERS)]
    if not levels[0].size:
        return []
    return [Check("share of the gap that full deference closes", mean(1 - levels[1] / levels[0]), above=0.9)]


def _rises(name: str) -> Checks:
    """Page's trend test over the sizes: raw loss by task, the relative gap by seed; and the rise itself."""

    def checks(results: Results) -> list[Check]:
        from scipy.stats import page_trend_test

        variants = [sized(name, size) for size in SIZES]
        lost = np.array([by_item(results, "sizes", v, "lost") for v in variants]).T
        gaps = np.array([results.values("sizes", v, "gap") for v in variants]).T
        if not lost.size:
            return []
        rise = mean(lost[:, -1] - lost[:, 0])
        found = [Check(f"lost error, N={SIZES[-1]} - N={SIZES[0]}: {name}", rise, above=0.0)]
        for label, table in (("lost error", lost), ("relative gap", gaps)):
            if len(table) > 2:
                p = float(page_trend_test(table, method="asymptotic").pvalue)
                found.append(Check(f"Page's p, {label}: {name}", exact(p, len(table)), below=0.01))
        return found

    return checks


def _flat(results: Results) -> list[Check]:
    lost = [by_item(results, "sizes", sized(DEFERS, size), "lost") for size in SIZES]
    return at_most(np.abs(lost[-1] - lost[0]), "largest change of lost error, N=2 to 8: full deference")


def _correlation(variant: str, code: str, **region: Any) -> Checks:
    """Pearson r of the share of a code with the loss, over all teams, with Fisher's interval."""

    def checks(results: Results) -> list[Check]:
        share, lost = (by_item(results, "coding", variant, m) for m in (f"{code} share", "lost"))
        if not share.size:
            return []
        r, half = float(np.corrcoef(share, lost)[0, 1]), 1.96 / np.sqrt(share.size - 3)
        low, high = (float(np.tanh(np.arctanh(r) + sign * half)) for sign in (-1, 1))
        found = Estimate(r, low, high, share.size, method="Fisher's z")
        return [Check(f"r of {code} share and lost error: {variant}", found, **region)]

    return checks


def _robust(results: Results) -> list[Check]:
    e = [by_item(results, "saboteur", v, "error") for v in (COMPROMISE, SABOTAGED, DEFERENCE, FALSE_EXPERT)]
    if not e[0].size:
        return []
    return [
        Check("harm to a compromise team less harm to one deferring to the saboteur",
              mean((e[1] - e[0]) - (e[3] - e[2])), below=0.0),
        Check("harm to a compromise team", mean(e[1] - e[0]), above=0.0),
    ]  # fmt: skip


def _adds_up(results: Results) -> list[Check]:
    parts = [results.values("concentrated", UNTOLD, part) for part in ("identification", "leveraging")]
    levels = [results.values("concentrated", name, "error") for name in (UNTOLD, BEST)]
    return at_most(np.abs(parts[0] + parts[1] - (levels[0] - levels[1])), "largest |sum of parts - whole|")


def _bottleneck(results: Results) -> list[Check]:
    parts = [results.values("concentrated", UNTOLD, part) for part in ("leveraging", "identification")]
    return [Check("leveraging - identification", mean(parts[0] - parts[1]), above=0.0)] if parts[0].size else []


def _as_printed(results: Results) -> list[Check]:
    found = [by_item(results, "published", ALOC, metric) for metric in ("gap", "printed")]
    return at_most(np.abs(found[0] - found[1]), "largest |gap against ALOC, not told - printed|", 0.1)


def _told_beats_fixed(results: Results) -> list[Check]:
    gap = by_item(results, "published", FIXED, "told gap")
    return [Check("benchmarks on which the told team beats the best fixed member", exact(float((gap < 0).sum()),
            gap.size), above=4)] if gap.size else []  # fmt: skip


def _guesses(results: Results) -> list[Check]:
    raw, corrected = ({s: results.values("guessing", f"N={s}", m) for s in SIZES} for m in ("ALOC", "corrected"))
    if not raw[2].size:
        return []
    rise = Check("ALOC of guessers, N=8 - N=2", mean(raw[8] - raw[2]), above=0.3)
    return [rise, *(Check(f"corrected, N={s}", mean(corrected[s]), above=-0.05, below=0.05) for s in SIZES)]


def plots(results: Results) -> dict[str, Figure]:
    """Errors of all arms, gaps by size, coded turns, harm of a saboteur, comparators."""
    from shoal.runs.plots import bars, new_figure

    figures: dict[str, Figure] = {}
    panels = {"concentrated": "error", "distributed": "error", "saboteur": "error", "quiz": "accuracy", "talk": "error"}
    for experiment, metric in panels.items():
        if results.has(experiment):
            rows = len(results.variants(experiment))
            figures[experiment], axes = new_figure(1, 1, 5.6, 0.8 + 0.24 * rows)
            bars(axes[0], results, experiment, metric)
    if results.has("sizes"):
        figures["sizes"], axes = new_figure(2, 1)
        for ax, metric in zip(axes, ("lost", "gap"), strict=True):
            for name in (UNTOLD, TOLD, DEFERS, UNRELATED):
                found = [results.mean("sizes", sized(name, size), metric).value for size in SIZES]
                ax.plot(SIZES, found, marker="o", label=name)
            ax.set(xlabel="members", ylabel={"lost": "L1 more than the expert's", "gap": "relative gap"}[metric])
        axes[0].legend(fontsize=7, frameon=False)
    if results.has("coding"):
        figures["coding"], axes = new_figure(2, 1)
        for ax, code in zip(axes, ("IC", "ED"), strict=True):
            share, lost = (by_item(results, "coding", CODED, m) for m in (f"{code} share", "lost"))
            ax.plot(share, lost, ".", markersize=2, alpha=0.4)
            ax.set(xlabel=f"{code} share of turns", ylabel="L1 more than the expert's")
    return figures


def _lost(experiment: str, team: str) -> Checks:
    return all_of(gain(experiment, team, BEST, "error", above=0.0), _wilcoxon(experiment, team))


_ARITHMETIC = "Synthetic: members average by construction, so this is arithmetic, not evidence about language models."
_TALK = "One small model in all seats: the expert is private information, and noise is likely. Few puzzles."

# fmt: off
CLAIMS = (
    Claim("below-expert", "A compromise team of four errs more than its expert, told or not (Wilcoxon p < 0.001)",
          "concentrated", all_of(_lost("concentrated", UNTOLD), _lost("concentrated", TOLD)), _ARITHMETIC),
    Claim("deference-closes", "Control: full deference to the revealed expert closes at least 90% of the gap",
          "concentrated", _closes, _ARITHMETIC),
    Claim("below-expert-distributed", "The same where knowledge is dealt out in pieces over all members",
          "distributed", all_of(_lost("distributed", UNTOLD), _lost("distributed", TOLD)), _ARITHMETIC),
    Claim("told-in-vain", "Ablation: where members ignore who is revealed, revealing changes nothing",
          "concentrated", same("concentrated", IGNORED, UNTOLD, "error")),
    Claim("persistence", "Ablation: an expert that never moves loses less of its knowledge to the team",
          "concentrated", gain("concentrated", PERSISTS, UNTOLD, "error", below=0.0), _ARITHMETIC),
    Claim("adds-up", "Identification and leveraging add up exactly to f(best) - f(not mentioned)",
          "concentrated", _adds_up, "An identity: it tests the bookkeeping."),
    Claim("bottleneck", "Leveraging is the larger part of the loss",
          "concentrated", _bottleneck, "Synthetic: how much a told team heeds its expert was chosen (0.25)."),
    Claim("size", "The gap rises over N = 2, 4, 8 (Page p < 0.01), raw and relative",
          "sizes", _rises(UNTOLD), _ARITHMETIC + " Needs correlated errors; see size-independent."),
    Claim("size-told", "It does so where the expert is revealed, too", "sizes", _rises(TOLD), _ARITHMETIC),
    Claim("size-deference", "Control: with full deference it does not rise", "sizes", _flat),
    Claim("size-independent", "The gap rises with N also where members err independently", "sizes",
          _rises(UNRELATED), "The raw loss decides here; the relative gap has a control that itself falls with N."),
    Claim("coding", "Per dialogue, the loss rises with compromise (IC share), falls with deference (ED): |r| > 0.4",
          "coding", all_of(_correlation(CODED, "IC", above=0.4), _correlation(CODED, "ED", below=-0.4)), _ARITHMETIC),
    Claim("coding-teams", "The same over teams, each by the mean over its ten tasks", "coding",
          all_of(_correlation(TEAMS, "IC", above=0.4), _correlation(TEAMS, "ED", below=-0.4)),
          "Added after the first look. " + _ARITHMETIC),
    Claim("coding-shuffled", "Control: with losses dealt to other teams |r| < 0.1", "coding",
          all_of(*(_correlation(variant, code, above=-0.1, below=0.1)
                   for variant in (SHUFFLED, TEAMS_SHUFFLED) for code in ("IC", "ED")))),
    Claim("saboteur", "A saboteur harms a compromise team less than one that defers to it as a false expert",
          "saboteur", _robust, _ARITHMETIC),
    Claim("comparator", "Against ALOC a team's gap is larger than against its best fixed member", "quiz",
          gain("quiz", ALOC, FIXED, "gap of the team", above=0.0)),
    Claim("held-out", "Choosing the best member on the test questions flatters it", "quiz",
          gain("quiz", FLATTERED, FIXED, "accuracy", above=0.0)),
    Claim("guessing", "ALOC of members who only guess rises with N; corrected for guessing it stays near 0 (0.05)",
          "guessing", _guesses),
    Claim("as-printed", "The paper's gaps are those of the team that was not told, against ALOC (within 0.1 points)",
          "published", _as_printed),
    Claim("told-beats-fixed", "In the paper's table the told team beats the best fixed member on 4 of 5 benchmarks",
          "published", _told_beats_fixed),
    Claim("talk-below-expert", "A told team of a small model errs more than the informed member alone", "talk",
          lambda results: [Check(c.label, c.estimate, c.above, c.below, needs=20)
                           for c in gain("talk", TOLD, BEST, "error", above=0.0)(results)], _TALK),
)
# fmt: on

_TALK_ARMS: Sequence[str] = (CONTROL, UNTOLD, TOLD, BEST)
_SIZE_ARMS = tuple(sized(name, size) for name in (UNTOLD, TOLD, DEFERS, UNRELATED) for size in SIZES)
_ONCE = {"quick": 1, "standard": 1, "full": 1}

STUDY = Study(
    name="experts-back",
    title="Multi-agent teams hold experts back",
    paper="arXiv 2602.01011 (2026; ICML 2026)",
    kind="team",
    engine="diagnosis",
    summary=(
        "A team without roles falls short of its best member, told or not who that is. Its loss is split into not "
        "finding and not using the expert; turns are coded as deference or compromise; sizes and a saboteur are swept. "
        "Synthetic members show the arithmetic, beside three comparators, the paper's table, and a small model's talk."
    ),
    mechanism=flows(
        "one member's knowledge -> answers -> rounds of talk -> private answers -(vote or mean rank)-> team answer",
        "who is the expert -(told or not)-> rounds of talk -(coded)-> deference or compromise",
        "team answer -> gap: finding and using the expert",
        "one member's knowledge -(best member)-> gap: finding and using the expert",
    ),
    config=ExpertsBackConfig,
    experiments=(
        Experiment("concentrated", conditions, ARMS, joint=True),
        Experiment("distributed", conditions, tuple(arm for arm in ARMS if arm != PERSISTS), joint=True),
        Experiment("sizes", sizes, _SIZE_ARMS, joint=True),
        Experiment("coding", coding, CODINGS, joint=True),
        Experiment("saboteur", saboteur, (COMPROMISE, SABOTAGED, DEFERENCE, FALSE_EXPERT), joint=True),
        Experiment("quiz", quiz, QUIZ, joint=True),
        Experiment("guessing", guessing, tuple(f"N={size}" for size in SIZES), joint=True),
        Experiment("published", published, (ALOC, FIXED), Evidence.RECORDED, seeds=_ONCE, joint=True),
        Experiment("talk", talk, _TALK_ARMS, seeds=_ONCE, model=True),
    ),
    claims=CLAIMS,
    sizes={
        "quick": {"talk_puzzles": 1, "talk_rounds": 1, "talk_items": 3},
        "standard": {},
        "full": {"tasks": 1000, "questions": 10_000, "talk_puzzles": 50, "talk_rounds": 4, "max_tokens": 128},
    },
    seeds={"quick": 5, "standard": 10, "full": 20},
    vocabulary=Vocabulary(
        actors=("peers",),
        type=("cooperation",),
        structure=("decentralized",),
        strategy=("model-based",),
        protocol=("sequential rounds of messages to all", "late: majority vote or mean rank"),
    ),
    plots=plots,
)
