"""M-GRPO: hierarchical groups for a main agent and the sub-agent it calls (arXiv 2511.13288).

What is here: advantages, alignment and rewards of the paper on the delegation bandit (tables; see
``shoal.posttrain.problems.delegation``), where the number of calls differs from rollout to rollout. Both agents begin
from one stage-1 start: a short training on easy questions for form alone, the same for all arms.

Departures: tables instead of two 30B models; one update on each batch, so ratios are 1. "Without alignment" is what
the released code does: the sub-agent's groups are cut from a queue of all subtasks, so a group may mix questions. The
judge tells true subtask success, flipped with chance ``noise``; the hackable judge rates the number of look-ups
instead. The single agent plays both roles with one outcome advantage, and pays one unit more of the budget for each
subtask, since its own context fills up; how much that ought to be is our choice, so its rank is shown and not judged.

The paper gives curves without numbers; the comparisons judged here are the page's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from shoal.runs.mechanism import flows
from shoal.runs.results import Results
from shoal.runs.study import Claim, Experiment, Study, StudyConfig, Trial, Vocabulary
from shoal.stats import Check, Evidence, exact, mean

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from shoal.posttrain.problems.delegation import Delegations

MIX, FROZEN, QUEUE, OUTCOME, LOCAL, SHUFFLED, SINGLE, WEIGHTS = (
    "co-train, aligned", "main only", "co-train, no alignment", "outcome only (b3 = 0)", "local only (b2 = 0)",
    "sub advantages shuffled", "single agent", "co-train, weights d/d_k",
)  # fmt: skip
ARMS = (MIX, FROZEN, QUEUE, OUTCOME, LOCAL, SHUFFLED, SINGLE, WEIGHTS)
HACKED_MIX, HACKED_LOCAL = "hackable judge, mixed", "hackable judge, local only"
SHARES = {OUTCOME: (0.1, 0.9, 0.0), LOCAL: (0.1, 0.0, 0.9), HACKED_LOCAL: (0.1, 0.0, 0.9)}
MIXED_SHARES = (0.1, 0.4, 0.5)


class MGrpoConfig(StudyConfig):
    """Settings of the M-GRPO study."""

    questions: int = Field(16, ge=1, le=4096, description="Questions in one update")
    group: int = Field(8, ge=2, le=64, description="Rollouts of each question, K")
    calls: int = Field(8, ge=1, le=64, description="Subtasks counted in each rollout, d")
    start: int = Field(40, ge=1, le=10_000, description="Updates of stage 1")
    updates: int = Field(400, ge=1, le=100_000, description="Updates of stage 2")
    rate: float = Field(0.05, gt=0, le=1, description="Learning rate of Adam")
    noise: float = Field(0.1, ge=0, le=0.5, description="Chance that the judge is wrong about a subtask")
    draws: int = Field(20_000, ge=100, le=1_000_000, description="Draws in the check of the alignment")


def alignment(trial: Trial[MGrpoConfig]) -> dict[str, float]:
    """Aligned groups of rollouts with known numbers of calls: size, home, and mean weight of each row."""
    from shoal.posttrain.advantages import aligned_rows

    rng, d = trial.rng("rows"), trial.config.calls
    calls = rng.integers(1, 2 * d, 6)
    rollout = np.repeat(np.arange(6), calls)
    counts, sizes, homes = np.zeros(rollout.size), True, True
    for _ in range(trial.config.draws):
        rows = aligned_rows(rollout, d, rng)
        sizes &= rows.size == 6 * d
        homes &= bool((rollout[rows] == np.repeat(np.arange(6), d)).all())
        counts += np.bincount(rows, minlength=rollout.size)
    expected = (d / calls)[rollout]
    error = np.abs(counts / trial.config.draws - expected).max()
    return {"right size": float(sizes), "own rollout": float(homes), "largest error of a weight": float(error)}


def delegate(trial: Trial[MGrpoConfig]) -> list[dict[str, Any]]:
    """All seeds of one arm: stage 1, then stage 2."""
    from shoal.posttrain.problems.delegation import Delegation
    from shoal.posttrain.problems.tables import Adam, chances, gradients, take

    c, variant, seeds = trial.config, trial.variant, len(trial.seeds)
    rng, own_rng = trial.rng("play"), trial.rng("own")
    easy, optimiser = Delegation(1, 2), Adam(c.rate)
    tables = easy.fresh(seeds)
    for _ in range(c.start):
        done = easy.delegate(chances(tables), c.questions, c.group, rng)
        gain = _plain(done, done.well_formed)
        tables = optimiser.ascend(tables, gradients(easy, tables, done.rows, gain))
    problem, optimiser = Delegation(context=1 if variant == SINGLE else 0), Adam(c.rate)
    course = {name: np.zeros((c.updates, seeds)) for name in ("success", "subtask success", "calls", "look-ups")}
    for update in range(c.updates):
        done = problem.delegate(chances(tables), c.questions, c.group, rng)
        index, gain = _learned(trial, done, own_rng)
        slopes = gradients(problem, tables, take(done.rows, index), gain)
        if variant == FROZEN:
            slopes["sub"] = np.zeros_like(slopes["sub"])
        tables = optimiser.ascend(tables, slopes)
        for name, values in _figures(done, seeds).items():
            course[name][update] = values
    first, last = max(1, c.updates // 20), max(1, c.updates // 10)
    return [
        {
            **{f"final {name}": float(x[-last:, s].mean()) for name, x in course.items()},
            "mean success": float(course["success"][:, s].mean()),
            "rise of subtask success": float(
                course["subtask success"][-last:, s].mean() - course["subtask success"][:first, s].mean()
            ),
            "course": course["success"][:: max(1, c.updates // 50), s],
        }
        for s in range(seeds)
    ]


def _learned(
    trial: Trial[MGrpoConfig], done: Delegations, rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Which rows are learned from (copies included), and with which advantages."""
    from shoal.posttrain.m_grpo import main_reward, sub_reward

    c, rows = trial.config, done.rows
    main, sub = np.flatnonzero(rows.agent == 0), np.flatnonzero(rows.agent == 1)
    reward = main_reward(done.well_formed, rows.reward)
    if trial.variant == SINGLE:
        formed = done.formed.ravel()[rows.trajectory]
        return np.arange(rows.agent.size), _plain(done, main_reward(formed, rows.reward))
    hacked = trial.variant in (HACKED_MIX, HACKED_LOCAL)
    judged = done.lookups / 3 if hacked else np.abs(done.found - (rng.random(done.found.size) < c.noise))
    shares = SHARES.get(trial.variant, MIXED_SHARES)
    reward[sub] = sub_reward(done.well_formed[sub], rows.reward[sub], judged[sub], shares)
    main_gain = _gain(reward[main], rows.task[main], rows.trajectory[main])
    sub, sub_gain = _grouped(trial, done, sub, reward, rng)
    return np.concatenate([main, sub]), np.concatenate([main_gain, sub_gain])


def _grouped(
    trial: Trial[MGrpoConfig],
    done: Delegations,
    sub: NDArray[np.int64],
    reward: NDArray[np.float64],
    rng: np.random.Generator,
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Sub's rows in the groups of the arm, with their advantages."""
    from shoal.posttrain.advantages import agent_advantages, aligned_rows

    c, rows, variant = trial.config, done.rows, trial.variant
    if variant == QUEUE:  # whatever lies in the queue, by groups of the same size
        order = sub[np.argsort(rows.seed[sub], kind="stable")]
        place = np.arange(order.size) - np.searchsorted(rows.seed[order], rows.seed[order])
        group = rows.seed[order] * order.size + place // c.calls
        return order, _gain(reward[order], group, np.arange(order.size))
    if variant == WEIGHTS:
        weight = c.calls / np.bincount(rows.trajectory[sub])[rows.trajectory[sub]]
        gain = agent_advantages(
            reward[sub], task=rows.task[sub], trajectory=np.arange(sub.size), agent=np.zeros(sub.size, np.int64),
            weights=weight,
        )  # fmt: skip
        share = np.bincount(rows.seed[sub])[rows.seed[sub]] / np.bincount(rows.seed[sub], weight)[rows.seed[sub]]
        return sub, gain * weight * share
    chosen = sub[aligned_rows(rows.trajectory[sub], c.calls, rng)] if sub.size else sub
    gain = _gain(reward[chosen], rows.task[chosen], np.arange(chosen.size))
    if variant == SHUFFLED:  # within each seed
        order = np.lexsort((rng.random(chosen.size), rows.seed[chosen]))
        back = np.lexsort((np.arange(chosen.size), rows.seed[chosen]))
        mixed = np.empty_like(gain)
        mixed[back] = gain[order]
        gain = mixed
    return chosen, gain


def _gain(reward: NDArray[np.float64], group: NDArray[np.int64], trajectory: NDArray[np.int64]) -> NDArray[np.float64]:
    """Advantages of one role, each trajectory counted once."""
    from shoal.posttrain.advantages import agent_advantages

    same = np.zeros(reward.size, np.int64)
    return agent_advantages(reward, task=group, trajectory=trajectory, agent=same, mode="global")


def _plain(done: Delegations, reward: NDArray[np.float64]) -> NDArray[np.float64]:
    """Advantages of whole rollouts, by the mean reward of their rows."""
    return _gain(reward, done.rows.task, done.rows.trajectory)


def _figures(done: Delegations, seeds: int) -> dict[str, NDArray[np.float64]]:
    """Of one update, for each seed."""
    sub = done.rows.agent == 1
    count = np.maximum(np.bincount(done.rows.seed[sub], minlength=seeds), 1)

    def over(values: NDArray[np.float64]) -> NDArray[np.float64]:
        each: NDArray[np.float64] = np.bincount(done.rows.seed[sub], values[sub], minlength=seeds) / count
        return each

    return {
        "success": done.rows.outcome.mean((1, 2)),
        "subtask success": over(done.found),
        "calls": done.calls.mean((1, 2)),
        "look-ups": over(done.lookups),
    }


def _more(one: str, two: str, metric: str = "final success", above: float = 0.0) -> Callable[[Results], list[Check]]:
    """One has more than two."""

    def checks(results: Results) -> list[Check]:
        if not results.has("delegation", one) or not results.has("delegation", two):
            return []
        return [Check(f"{metric}: {one} - {two}", results.difference("delegation", one, two, metric), above=above)]

    return checks


def _aligned(results: Results) -> list[Check]:
    """Sizes and homes always right, weights d/d_k within sampling error."""
    if not results.has("alignment"):
        return []
    size, home = (results.values("alignment", "copies", name) for name in ("right size", "own rollout"))
    error = results.values("alignment", "copies", "largest error of a weight")
    return [
        Check("draws with K*d rows", exact(float(size.min()), size.size), above=1 - 1e-9),
        Check("draws with rows of their own rollout only", exact(float(home.min()), home.size), above=1 - 1e-9),
        Check("largest error of a mean weight", mean(error), below=0.05),
    ]


def _no_rise(results: Results) -> list[Check]:
    """With shuffled advantages subtasks do not get better; with their own they do."""
    shuffled, own = (results.values("delegation", v, "rise of subtask success") for v in (SHUFFLED, MIX))
    if not shuffled.size or not own.size:
        return []
    return [
        Check("rise with shuffled advantages", mean(shuffled), below=0.1),
        Check("rise with their own", mean(own), above=0.1),
    ]


def plots(results: Results) -> dict[str, Figure]:
    """Success along the training, and where the arms end."""
    from shoal.runs.plots import bars, new_figure

    if not results.has("delegation"):
        return {}
    figure, axes = new_figure(3)
    for variant in results.variants("delegation"):
        values, seeds = results.items("delegation", variant, "course")
        rows = values.reshape(np.unique(seeds).size, -1)
        axes[0].plot(np.linspace(0, 1, rows.shape[1]), rows.mean(0), label=variant, linewidth=1.2)
    axes[0].set(xlabel="share of stage 2", ylabel="share of right answers")
    axes[0].legend(fontsize=6, frameon=False)
    bars(axes[1], results, "delegation", "final success")
    bars(axes[2], results, "delegation", "rise of subtask success")
    return {"delegation": figure}


# fmt: off
EXPERIMENTS = (
    Experiment("alignment", alignment, ("copies",), Evidence.EXACT, {"quick": 2, "standard": 5, "full": 20}),
    Experiment("delegation", delegate, (*ARMS, HACKED_MIX, HACKED_LOCAL), Evidence.TRAINED, vectorised=True),
)
CLAIMS = (
    Claim("1-co-train", "Training both agents ends with more right answers than training main alone from the same "
          "start", "delegation", _more(MIX, FROZEN)),
    Claim("2-alignment", "An aligned group has exactly K*d rows, all of their own rollout, each with a mean weight of "
          "d/d_k", "alignment", _aligned),
    Claim("3-aligned-better", "With alignment co-training ends higher than with groups cut from the queue",
          "delegation", _more(MIX, QUEUE)),
    Claim("4-shuffled", "With its advantages shuffled across rollouts the sub-agent's subtasks do not get better",
          "delegation", _no_rise),
    Claim("5-mix", "With a noisy judge the mixed reward is at least as good as the outcome alone (within 0.01)",
          "delegation", _more(MIX, OUTCOME, above=-0.01)),
    Claim("5b-hacked", "With a judge that rates long reports, local reward alone ends below the mix", "delegation",
          _more(HACKED_MIX, HACKED_LOCAL)),
    Claim("6-weights", "Weights d/d_k do what copies do (final success no more than 0.01 below)", "delegation",
          _more(WEIGHTS, MIX, above=-0.01), "Ours: the same expectation without the noise of drawing."),
)
# fmt: on

STUDY = Study(
    name="m-grpo",
    title="M-GRPO: group-relative training of a main agent and the sub-agent it calls",
    paper="arXiv 2511.13288 (2025)",
    kind="post-training",
    engine="posttrain",
    summary=(
        "A main agent hands out subtasks as often as it likes; each role has its own group-relative advantage, the "
        "sub-agent a mixed reward, and its trajectories are copied or dropped to the same number for every rollout. "
        "Tested on a delegation bandit beside frozen, unaligned, single-agent and one-sided arms."
    ),
    mechanism=flows(
        "question -> main agent -(subtasks)-> sub-agent -(reports)-> main agent",
        "main agent -(answer)-> main reward -(over rollouts)-> main advantage -> main agent",
        "sub-agent -> mixed reward -> aligned trajectories -(copied or dropped)-> sub-agent's advantage -> sub-agent",
        "main reward -(was it right)-> mixed reward",
        "judge of subtasks -> mixed reward",
    ),
    config=MGrpoConfig,
    experiments=EXPERIMENTS,
    claims=CLAIMS,
    sizes={
        "quick": {"updates": 40, "start": 20, "draws": 500, "questions": 8},
        "full": {"updates": 3000, "draws": 100_000},
    },
    seeds={"quick": 3, "standard": 10, "full": 20},
    vocabulary=Vocabulary(
        ("planner", "worker"), ("cooperation",), ("hierarchical",), ("role-based",), ("delegation", "group-relative")
    ),
    plots=plots,
)
