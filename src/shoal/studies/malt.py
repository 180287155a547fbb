"""MALT: a chain of roles trained on trees of its own outputs (arXiv 2412.01928).

What is here: trees, values, labels, pairs, imitation and preferences of ``shoal.posttrain``, on a generator, verifier
and refiner as tables with exact success rates, and on tiny transformers over characters that choose the larger of two
digits. Baselines: the untrained chain, its generator alone, imitation only (STaR), the same with a vote of three; every
arm's number of calls is in the table.

Departures: tables and tiny networks instead of Llama-3.1-8B; one round, as in the paper; sampling temperature 0.7 for
the tiny roles, since at the paper's 0.3 nearly all of their trees are all right or all wrong. MALT without the vote
is not claimed to beat the chain: the paper's own table does not show it. Wrong answers of the tables are taken to
agree, which is the worst case for a vote.

The tables' steps and rates were set so that imitation and preferences have converged; they are the same in every arm.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import Field

from shoal.models.causal.network import lacking_packages
from shoal.runs.mechanism import flows
from shoal.runs.results import Results
from shoal.runs.settings import validate
from shoal.runs.study import Claim, Experiment, Study, StudyConfig, Trial, Vocabulary
from shoal.stats import Check, Evidence, exact, mean

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MALT, CHAIN, ALONE, STAR, SHUFFLED, G_TOO = (
    "MALT", "chain, untrained", "generator alone", "imitation only (STaR)", "MALT, labels shuffled",
    "MALT, generator prefers too",
)  # fmt: skip
SWAPPED = {role: f"MALT, untrained {role}" for role in ("generator", "verifier", "refiner")}
TABLES = (MALT, CHAIN, ALONE, STAR, SHUFFLED, G_TOO, *SWAPPED.values())
TRUE, MIXED = "MALT", "labels shuffled"
EPSILON, BOUND_BRANCHES = 0.3, 3


class MaltConfig(StudyConfig):
    """Settings of the MALT study."""

    questions: int = Field(200, ge=1, le=100_000, description="Questions whose trees are sampled, for the tables")
    branches: int = Field(3, ge=2, le=8, description="Outputs of each role on each input, n")
    most_pairs: int = Field(2, ge=1, le=64, description="Preference pairs of one parent")
    imitation_steps: int = Field(100, ge=0, le=10_000, description="Steps of imitation")
    preference_steps: int = Field(400, ge=0, le=10_000, description="Steps of preferences")
    rate: float = Field(1.0, gt=0, le=100, description="Step size of both")
    beta: float = Field(0.2, gt=0, le=10, description="How close preferences keep to the imitating policy")
    tiny_questions: int = Field(24, ge=2, le=10_000, description="Questions of the tiny roles' trees")
    tiny_held: int = Field(12, ge=1, le=10_000, description="Further questions, for held-out pairs")
    tiny_steps: int = Field(120, ge=1, le=100_000, description="Steps in which the tiny base learns the task before")


def backup(trial: Trial[MaltConfig]) -> dict[str, float]:
    """Backed-up values against the recursion over nodes, and their errors against the exact ones."""
    from shoal.posttrain.preference_trees import Node, value_bound, values
    from shoal.posttrain.problems.critique_chain import BASE, backed_up, draft_values, grow

    n = BOUND_BRANCHES
    trees = grow(BASE, 2000, n, trial.rng("trees"))
    worth = backed_up(trees)
    off = np.abs(worth[0] - draft_values(BASE)[trees.drafts])
    nodes = [Node(-1, 0, "") for _ in range(n)]
    nodes += [Node(j, 1, "") for j in range(n) for _ in range(n)]
    leaves = trees.right[0].reshape(n * n, n)
    nodes += [Node(n + k, 2, "", right=bool(x)) for k in range(n * n) for x in leaves[k]]
    table = np.concatenate([worth[0][0], worth[1][0].ravel()])
    return {
        "largest error of the back-up": float(np.abs(values(nodes)[: n + n * n] - table).max()),
        "share of drafts off by 0.3": float((off >= EPSILON).mean()),
        "bound": value_bound(n, EPSILON),
    }


def tables(trial: Trial[MaltConfig]) -> dict[str, dict[str, float]]:
    """Exact success of every arm; all of them learn from the same trees."""
    from shoal.posttrain.problems.critique_chain import BASE, ROLES, backed_up, examples, grow, success

    c = trial.config
    trees = grow(BASE, c.questions, c.branches, trial.rng("trees"))
    data = examples(trees, backed_up(trees))
    rng = trial.rng("shuffle")
    mixed = {role: (s, a, rng.permuted(w, axis=1)) for role, (s, a, w) in data.items()}
    trained, star, both = (_trained(c, data, prefer) for prefer in (ROLES[1:], (), ROLES))
    arms = {
        MALT: trained, CHAIN: dict(BASE), STAR: star, SHUFFLED: _trained(c, mixed, ROLES[1:]), G_TOO: both,
        **{name: {**trained, role: BASE[role]} for role, name in SWAPPED.items()},
    }  # fmt: skip
    found = {}
    for name, policies in arms.items():
        p = success(policies)
        found[name] = {"success": p, "success, vote of 3": 3 * p**2 - 2 * p**3, "calls": 3.0}
    alone = 0.5
    found[ALONE] = {"success": alone, "success, vote of 3": 3 * alone**2 - 2 * alone**3, "calls": 1.0}
    return found


def _trained(c: MaltConfig, data: dict[str, Any], prefer: tuple[str, ...]) -> dict[str, Any]:
    """Every role imitates; those named learn from preferences too."""
    from shoal.posttrain.problems.critique_chain import BASE, imitate, sibling_pairs
    from shoal.posttrain.problems.critique_chain import prefer as prefer_pairs

    policies = {}
    for role, (state, action, worth) in data.items():
        logits = imitate(BASE[role], state, action, worth > 0.5, c.imitation_steps, c.rate)
        if role in prefer:
            pairs = sibling_pairs(state, action, worth, c.most_pairs)
            logits = prefer_pairs(logits, *pairs, c.beta, c.preference_steps, c.rate / c.beta)
        policies[role] = logits
    return policies


def tiny(trial: Trial[MaltConfig]) -> dict[str, dict[str, float]]:
    """Tiny transformers: margins of held-out pairs and accuracy, with true labels and with shuffled ones."""
    import torch

    from shoal.models.causal.skills import Skill
    from shoal.posttrain.malt import ROLES, MaltSettings, answer, grow
    from shoal.posttrain.policies import make_policies
    from shoal.posttrain.tiny import pretrain
    from shoal.tasks.catalogue import open_task

    c = trial.config
    torch.set_num_threads(1)
    skill, seed = (
        Skill("choose", c.tiny_steps, 200, learning_rate=3e-3, optimiser="adamw", reading=0.0, bare=0.0),
        trial.derive("base") % 2**31,
    )
    base = pretrain(skill, seed=seed, held_out=0, width=64, layers=2, inner=128, heads=4)
    settings = validate(
        MaltSettings, {"max_tokens": 12, "branches": c.branches, "most_pairs": c.most_pairs}, "malt"
    )  # fmt: skip
    problems = open_task("choose").problems(c.tiny_questions + c.tiny_held, trial.derive("problems"))
    train, held = problems[: c.tiny_questions], problems[c.tiny_questions :]
    untrained = make_policies(ROLES, base.network, base.tokenizer)
    trees = grow(untrained, train, settings, trial.derive("trees"))
    tested = grow(untrained, held, settings, trial.derive("held"))
    found = {}
    for variant in (TRUE, MIXED):
        rng = trial.rng("shuffle") if variant == MIXED else None
        policies, figures = _train_tiny(trial, untrained, base, trees, settings, rng)
        margin = _held_margin(untrained, policies, tested, settings)
        one, three = (float(answer(policies, held, settings, trial.derive("answer"), v).mean()) for v in (1, 3))
        before = answer(untrained, held, settings, trial.derive("answer"))
        found[variant] = {
            **figures, "margin of held-out pairs": margin, "accuracy": one, "accuracy, vote of 3": three,
            "accuracy before": float(before.mean()),
            "trees with pairs": float(np.mean([bool(t.pairs) for t in trees])),
        }  # fmt: skip
    return found


def _train_tiny(
    trial: Trial[MaltConfig], untrained: Any, base: Any, trees: Any, settings: Any, rng: Any
) -> tuple[Any, dict[str, float]]:
    """A fresh set of roles trained on the trees; with ``rng`` on values shuffled among siblings."""
    from dataclasses import replace

    from shoal.posttrain.malt import train_role
    from shoal.posttrain.policies import make_policies
    from shoal.posttrain.preference_trees import pairs, shuffled_among_siblings

    if rng is not None:
        mixed = [replace(t, worth=shuffled_among_siblings(t.nodes, t.worth, rng)) for t in trees]
        trees = [replace(t, pairs=pairs(t.nodes, t.worth, settings.most_pairs)) for t in mixed]
    policies, figures = make_policies(list(untrained), base.network, base.tokenizer), {}
    for place, (role, policy) in enumerate(policies.items()):
        told = train_role(policy, place, trees, settings, role in settings.prefer, trial.derive("train"))
        figures.update({f"{role}: {name}": value for name, value in told.items() if name in ("imitated", "pairs")})
    return policies, figures


def _held_margin(untrained: Any, policies: Any, tested: Any, settings: Any) -> float:
    """Mean reward margin, against the untrained roles, of the true pairs of held-out trees."""
    from shoal.posttrain.dpo import margins, summed
    from shoal.posttrain.malt import preferred

    found = []
    for place, role in enumerate(policies):
        if role not in settings.prefer:
            continue
        chosen = preferred(tested, {place: role})
        if chosen:
            found.append(margins(policies[role], summed(untrained[role], chosen), chosen, settings.beta))
    return float(np.concatenate(found).mean()) if found else 0.0


def _backup(results: Results) -> list[Check]:
    """The back-up is exact, and errors are within the bound."""
    if not results.has("backup"):
        return []
    error = results.values("backup", "tables", "largest error of the back-up")
    off, bound = (results.values("backup", "tables", m) for m in ("share of drafts off by 0.3", "bound"))
    return [
        Check("largest error of the back-up", exact(float(error.max()), error.size), below=1e-6),
        Check("share of drafts off by 0.3", mean(off), below=float(bound[0])),
    ]


def _gap(one: str, two: str, metric: str = "success", **region: float) -> Callable[[Results], list[Check]]:
    """Exact success of one minus that of two."""

    def checks(results: Results) -> list[Check]:
        if not results.has("tables", one) or not results.has("tables", two):
            return []
        return [Check(f"{metric}: {one} - {two}", results.difference("tables", one, two, metric), **region)]  # type: ignore[arg-type]

    return checks


def _little(results: Results) -> list[Check]:
    """Gain with shuffled labels less a fifth of the true gain."""
    arms = [results.values("tables", name, "success") for name in (SHUFFLED, CHAIN, MALT)]
    if not all(x.size for x in arms):
        return []
    shuffled, chain, malt = arms
    return [Check("shuffled gain - a fifth of MALT's", mean((shuffled - chain) - 0.2 * (malt - chain)), below=0.0)]


def _swapped(results: Results) -> list[Check]:
    """Every untrained role lowers success."""
    return [check for name in SWAPPED.values() for check in _gap(MALT, name, above=0.0)(results)]


def _margin(results: Results) -> list[Check]:
    """Above 0, and above that of shuffled labels."""
    margin = results.values("tiny", TRUE, "margin of held-out pairs")
    if not margin.size or not results.has("tiny", MIXED):
        return []
    off = results.difference("tiny", TRUE, MIXED, "margin of held-out pairs")
    return [
        Check("margin of held-out pairs", mean(margin), above=0.0),
        Check("margin: true - shuffled labels", off, above=0.0),
    ]


def _accuracy(results: Results) -> list[Check]:
    """Tiny roles after training with a vote against before."""
    after, before = (results.values("tiny", TRUE, m) for m in ("accuracy, vote of 3", "accuracy before"))
    if not after.size:
        return []
    return [Check("accuracy with a vote of 3 - accuracy before", mean(after - before), above=0.0)]


def plots(results: Results) -> dict[str, Figure]:
    """Exact success of the tables; margins and accuracy of the tiny roles."""
    from shoal.runs.plots import bars, new_figure

    figures: dict[str, Figure] = {}
    if results.has("tables"):
        figures["tables"], axes = new_figure(2, 1, 5.4, 3.4)
        bars(axes[0], results, "tables", "success")
        bars(axes[1], results, "tables", "success, vote of 3")
    if results.has("tiny"):
        figures["tiny"], axes = new_figure(2)
        bars(axes[0], results, "tiny", "margin of held-out pairs")
        bars(axes[1], results, "tiny", "accuracy, vote of 3")
    return figures


# fmt: off
EXPERIMENTS = (
    Experiment("backup", backup, ("tables",), Evidence.EXACT),
    Experiment("tables", tables, TABLES, Evidence.TRAINED, joint=True),
    Experiment("tiny", tiny, (TRUE, MIXED), Evidence.TRAINED, {"quick": 1, "standard": 5, "full": 10}, joint=True,
               skip=lambda config: lacking_packages()),
)
CLAIMS = (
    Claim("1-backup", "The back-up is the exact mean (1e-6), and drafts whose value is off by 0.3 are rarer than "
          "the bound 2 exp(-2 n^2 eps^2)", "backup", _backup),
    Claim("2-chain", "MALT ends well more often than the untrained chain", "tables", _gap(MALT, CHAIN, above=0.0)),
    Claim("2b-imitation", "MALT ends well more often than imitation alone", "tables", _gap(MALT, STAR, above=0.0)),
    Claim("3-shuffled", "With labels shuffled among siblings less than a fifth of MALT's gain over the untrained "
          "chain is left", "tables", _little,
          "Shuffling keeps how many siblings are good, so an input that mostly ends well is still imitated."),
    Claim("4-roles", "Any one trained role replaced by the untrained one ends well less often", "tables", _swapped),
    Claim("5-margin", "Tiny transformers: the margin of held-out pairs is above 0 and above that of shuffled labels",
          "tiny", _margin),
    Claim("5b-accuracy", "Tiny transformers: with a vote of three more answers are right than before", "tiny",
          _accuracy, "Shown, not promised: 24 questions of training."),
    Claim("6-generator", "Preferences for the generator too do not lower success (within 0.02)", "tables",
          _gap(G_TOO, MALT, above=-0.02), "The paper leaves them out because they hurt its instruction-tuned base."),
)
# fmt: on

STUDY = Study(
    name="malt",
    title="MALT: a generator, a verifier and a refiner trained on trees of their own outputs",
    paper="arXiv 2412.01928 (2024; COLM 2025)",
    kind="post-training",
    engine="posttrain",
    summary=(
        "Every role writes several times on each output of the one before, only the leaves are graded, and the grade "
        "flows back as a mean; each role then imitates its good outputs and learns preferences between siblings. "
        "Tested with exact success rates on tables, and on tiny transformers."
    ),
    mechanism=flows(
        "question -> generator -(n drafts)-> verifier -(n critiques)-> refiner -(n answers)-> graded leaves",
        "graded leaves -(mean, backwards)-> values -(above a half)-> good and bad siblings",
        "good and bad siblings -> imitation, then preferences -(each role)-> generator",
        "refiner -(three runs)-> majority vote",
    ),
    config=MaltConfig,
    experiments=EXPERIMENTS,
    claims=CLAIMS,
    sizes={
        "quick": {"questions": 40, "tiny_questions": 4, "tiny_held": 3, "tiny_steps": 15},
        "full": {"questions": 5000, "tiny_questions": 200, "tiny_held": 100, "tiny_steps": 300},
    },
    seeds={"quick": 3, "standard": 10, "full": 20},
    vocabulary=Vocabulary(
        ("generator", "verifier", "refiner"),
        ("cooperation",),
        ("decentralized",),
        ("role-based",),
        ("relay", "critique"),
    ),
    plots=plots,
)
