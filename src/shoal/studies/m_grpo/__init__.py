"""M-GRPO: hierarchical groups for a main agent and the sub-agent it calls (arXiv 2511.13288).

What is here: advantages, alignment and rewards of the paper on the delegation bandit (tables; see
``shoal.posttrain.problems.delegation``), where the number of calls differs from rollout to rollout. Both agents begin
from one stage-1 start: a short training on easy questions for form alone, the same for all arms. Then the vertical
system as language models, by the engine: a planner and a researcher who searches and visits pages of a knowledge base.

Departures: tables or small networks instead of two 30B models; one update on each batch, so ratios are 1. "Without
alignment" is what the released code does: the sub-agent's groups are cut from a queue of all subtasks, so a group may
mix questions; the queue is emptied in each update, so nothing in it is older than one. The judge tells true subtask
success, flipped with chance ``noise``; the hackable judge rates the number of look-ups instead. The single agent of the
bandit plays both roles with one outcome advantage, and pays one unit more of the budget for each subtask, since its own
context fills up; how much that ought to be is our choice, so its rank is shown and not judged.

The paper gives curves without numbers; the comparisons judged here are the page's.

Language models. Stage 1 is imitation of well-formed trajectories with known slips (``Slips``: vague subtasks, two hops
asked for at once, wrong pages, wrong facts, guesses), masked as in training, where the paper uses RL on easy questions:
a network of 0.09 M parameters writes no call by chance. Stage 2 is M-GRPO with K = 4 and d = 2. The single agent has
the researcher's tools, imitates work with the same slips where it looks things up and none of a planner's, and learns
from the same reward of form and outcome until it has read and written as many tokens as the dearest team; its rank is
shown and not judged. Training, evaluation and demonstrations have bases of their own, so nothing can be known by heart.
Temperature is 0.7: at 1 most of the tiny networks' errors are slips of the pen. Subtasks that name nothing to be found
out have no right report, so subtask success counts the planner's vagueness too.

Names of the task, steps, batch, rates and temperature were chosen on seed 1001 under another root than the study's:
with names of two syllables and with titles in alphabetical order copying was not learned in 400 to 1,200 steps of
imitation; after 1,400 steps of 16 the pilot's team answered .29 of its questions (.60 greedily), and .85 (.99) after 20
updates of stage 2. They were not changed after the claims' own seeds were seen.

SmolLM2-135M has a LoRA adapter of rank 8 for each role and is trained for a few minutes only: what it shows is form and
that masks, judge and alignment are at work in a published model, not what it could reach.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from shoal.models.causal.network import lacking_packages
from shoal.runs.mechanism import flows
from shoal.runs.results import Results
from shoal.runs.study import Experiment, Study, Vocabulary
from shoal.stats import Evidence
from shoal.studies.m_grpo.claims import CLAIMS
from shoal.studies.m_grpo.delegation import alignment, delegate
from shoal.studies.m_grpo.language import language, no_small_model, small, vertical
from shoal.studies.m_grpo.settings import (
    ARMS,
    HACKED_LOCAL,
    HACKED_MIX,
    LM_LONE,
    LM_TEAMS,
    STAGES,
    VERTICAL,
    MGrpoConfig,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_FEW, _ONE = {"quick": 1, "standard": 5, "full": 10}, {"quick": 1, "standard": 1, "full": 3}


def plots(results: Results) -> dict[str, Figure]:
    """Success along the training, and where the arms end."""
    ends = {
        "delegation": ("final success", "rise of subtask success"), "language": ("accuracy", "subtask success"),
    }  # fmt: skip
    found = {name: _courses(results, name, ends[name]) for name in ends if results.has(name)}
    if results.has("small"):
        from shoal.runs.plots import bars, new_figure

        found["small"], axes = new_figure(2)
        bars(axes[0], results, "small", "formed")
        bars(axes[1], results, "small", "subtasks formed")
    return found


def _courses(results: Results, experiment: str, ends: Sequence[str]) -> Figure:
    """Share of right answers along stage 2, and two figures at its end."""
    from shoal.runs.plots import bars, new_figure

    figure, axes = new_figure(3)
    for variant in results.variants(experiment):
        if not results.has(experiment, variant, "course"):
            continue
        values, seeds = results.items(experiment, variant, "course")
        rows = [values[seeds == seed] for seed in np.unique(seeds)]
        shortest = min(row.size for row in rows)  # who gets a number of tokens makes more updates on some seeds
        course = np.mean([row[:shortest] for row in rows], 0)
        axes[0].plot(np.linspace(0, 1, shortest), course, label=variant, linewidth=1.2)
    axes[0].set(xlabel="share of stage 2", ylabel="share of right answers")
    axes[0].legend(fontsize=6, frameon=False)
    for place, metric in zip(axes[1:], ends, strict=True):
        bars(place, results, experiment, metric)
    return figure


# fmt: off
EXPERIMENTS = (
    Experiment("alignment", alignment, ("copies",), Evidence.EXACT, {"quick": 2, "standard": 5, "full": 20}),
    Experiment("delegation", delegate, (*ARMS, HACKED_MIX, HACKED_LOCAL), Evidence.TRAINED, vectorised=True),
    Experiment("language", language, (*LM_TEAMS, *LM_LONE), Evidence.TRAINED, _FEW, joint=True,
               skip=lambda config: lacking_packages()),
    Experiment("small", small, STAGES, Evidence.TRAINED, _ONE, joint=True, skip=no_small_model),
    Experiment("vertical", vertical, (VERTICAL,), seeds=_ONE, model=True),
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
        "Tested on a delegation bandit beside frozen, unaligned, single-agent and one-sided arms, and as a planner and "
        "a researcher with search and visit tools: tiny transformers, SmolLM2-135M, and any model without training."
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
        "quick": {
            "updates": 40,
            "start": 20,
            "draws": 500,
            "questions": 8,
            "lm_steps": 30,
            "lm_updates": 1,
            "lm_questions": 4,
            "lm_held": 8,
            "small_updates": 0,
            "vertical_questions": 1,
        },
        "full": {
            "updates": 3000,
            "draws": 100_000,
            "lm_updates": 200,
            "lm_held": 1000,
            "small_steps": 200,
            "small_updates": 50,
            "small_held": 100,
            "vertical_questions": 100,
        },
    },
    seeds={"quick": 3, "standard": 10, "full": 20},
    vocabulary=Vocabulary(
        ("planner", "worker"), ("cooperation",), ("hierarchical",), ("role-based",), ("delegation", "group-relative")
    ),
    plots=plots,
)
