"""MALT: a chain of roles trained on trees of its own outputs (arXiv 2412.01928).

What is here: trees, values, labels, pairs, imitation and preferences of ``shoal.posttrain``, on a generator, verifier
and refiner as tables with exact success rates, on tiny transformers over characters, and on SmolLM2-135M with an
adapter for each role; both language models choose the larger of two numbers. Baselines: the untrained chain, its
generator alone, imitation only (STaR), a debate of three untrained agents, labels shuffled; each with and without a
vote of three, and every arm's number of calls is in the table.

Departures: tables and small networks instead of Llama-3.1-8B; one round, as in the paper; sampling temperature 0.7 for
the language models, since at the paper's 0.3 nearly all of their trees are all right or all wrong. The tiny roles begin
from one network that was shown every role's work on this task for 180 steps (half of the drafts that it was to judge
were wrong) and half knows it. SmolLM2 begins as it is. MALT without the vote is not claimed to beat the chain: the
paper's own table does not show it. Wrong answers of the tables are taken to agree, which is the worst case for a vote.

The tables' steps and rates were set so that imitation and preferences have converged; they are the same in every arm.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from random import Random
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import Field

from shoal.models.causal.network import lacking_packages
from shoal.models.causal.pulled import lacking_pulled
from shoal.posttrain.policies import Policy, make_policies
from shoal.runs.mechanism import flows
from shoal.runs.results import Results
from shoal.runs.settings import validate
from shoal.runs.study import Claim, Experiment, Study, StudyConfig, Trial, Vocabulary
from shoal.stats import Check, Evidence, exact, mean
from shoal.tasks.catalogue import open_task
from shoal.tasks.problem import Problem, Task
from shoal.teams.agent import Agent
from shoal.teams.catalogue import open_team
from shoal.teams.outcome import Team
from shoal.teams.protocols.asking import brief
from shoal.teams.protocols.passing import CRITIC_LEAD, REFINER_LEAD
from shoal.teams.session import Message

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from shoal.models.causal.tokenizers import Tokenizer
    from shoal.posttrain.malt import MaltSettings, Tree
    from shoal.posttrain.tiny import Example

MALT, CHAIN, ALONE, STAR, SHUFFLED, G_TOO = (
    "MALT", "chain, untrained", "generator alone", "imitation only (STaR)", "MALT, labels shuffled",
    "MALT, generator prefers too",
)  # fmt: skip
SWAPPED = {role: f"MALT, untrained {role}" for role in ("generator", "verifier", "refiner")}
TABLES = (MALT, CHAIN, ALONE, STAR, SHUFFLED, G_TOO, *SWAPPED.values())
DEBATE = "debate of three, untrained"
ROLES = ("generator", "verifier", "refiner")
LEARNED = (MALT, STAR, SHUFFLED)
LANGUAGE = (*LEARNED, CHAIN, ALONE, DEBATE)
SMALL_LANGUAGE = (MALT, SHUFFLED, CHAIN, ALONE)
"""Arms that SmolLM2 can pay for on a processor."""
TEAMS = {CHAIN: "critique:agents=3", ALONE: "single", DEBATE: "debate:agents=3,rounds=2"}
TASK, SMOLLM2_TASK, SMOLLM2 = "choose:digits=2", "choose", "local:smollm2"
LONGEST, VOTES = 16, 3
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
    tiny_questions: int = Field(128, ge=2, le=10_000, description="Questions of the tiny roles' trees")
    tiny_held: int = Field(128, ge=1, le=10_000, description="Further questions, for held-out pairs and accuracy")
    tiny_steps: int = Field(180, ge=1, le=100_000, description="Steps in which the tiny base learns the task before")
    smollm2_questions: int = Field(6, ge=2, le=10_000, description="Questions of SmolLM2's trees")
    smollm2_held: int = Field(4, ge=1, le=10_000, description="Further questions, for held-out pairs and accuracy")


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
    """Every arm on tiny transformers, from one warm start that half knows the task."""
    import torch

    from shoal.models.causal.network import tiny_network
    from shoal.models.causal.tokenizers import CharacterTokenizer
    from shoal.posttrain.tiny import SPREAD, imitate

    c = trial.config
    torch.set_num_threads(1)
    tokenizer, task = CharacterTokenizer(), open_task(TASK)
    network = tiny_network(trial.derive("base") % 2**31, spread=SPREAD, width=64, layers=2, inner=128, heads=2)
    known = task.problems(2000, trial.derive("warm start"))
    imitate(
        network, tokenizer, lambda rng: _warm_example(rng.choice(known), rng, tokenizer), steps=c.tiny_steps, batch=32,
        learning_rate=4e-3, seed=trial.derive("examples") % 2**31, optimiser="muon",
    )  # fmt: skip
    policies = make_policies(_seats(LANGUAGE), network, tokenizer)
    return _compared(trial, LANGUAGE, policies, task, c.tiny_questions, c.tiny_held)


def smollm2(trial: Trial[MaltConfig]) -> dict[str, dict[str, float]]:
    """Some of the arms on SmolLM2-135M as it is, with an adapter for each role."""
    import torch

    from shoal.models.causal.network import load_base
    from shoal.posttrain.policies import Lora

    c = trial.config
    torch.set_num_threads(1)
    policies = make_policies(_seats(SMALL_LANGUAGE), *load_base(SMOLLM2), Lora(rank=8))
    task = open_task(SMOLLM2_TASK)
    return _compared(trial, SMALL_LANGUAGE, policies, task, c.smollm2_questions, c.smollm2_held)


def no_smollm2(config: MaltConfig) -> str | None:
    """Why SmolLM2 cannot be trained here, or with this size."""
    return lacking_pulled("smollm2") if config.smollm2_questions > 2 else "the quick size leaves SmolLM2 out"


def _seats(arms: Sequence[str]) -> list[str]:
    """Names of the policies of the arms that learn, and of the base that does not."""
    return ["base", *(f"{arm}, {role}" for arm in arms if arm in LEARNED for role in ROLES)]


def _warm_example(problem: Problem, rng: Random, tokenizer: Tokenizer) -> Example:
    """What one of the roles reads and should write; drafts that are read are wrong half the time."""
    from shoal.posttrain.tiny import Example

    question, role = problem.question, rng.randrange(3)
    said = rng.choice([problem.answer, *problem.lures[:1]])
    heard = [Message(ROLES[0], (), f"Answer: {said}", "")]
    verdict = "right" if said == problem.answer else "wrong"
    if role == 0:
        text, reply = brief(question), f"Answer: {problem.answer}"
    elif role == 1:
        text, reply = brief(question, lead=CRITIC_LEAD, heard=heard, answer=False), verdict
    else:
        heard.append(Message(ROLES[1], (), verdict, ""))
        text, reply = brief(question, lead=REFINER_LEAD, heard=heard), f"Answer: {problem.answer}"
    prompt = tokenizer.encode_chat([{"role": "user", "content": text}])
    return Example(prompt, [*tokenizer.encode(reply), *tokenizer.end])


def _compared(
    trial: Trial[MaltConfig],
    arms: Sequence[str],
    policies: Mapping[str, Policy],
    task: Task,
    many: int,
    held_out: int,
) -> dict[str, dict[str, float]]:
    """Arms that learn from one set of trees, and those that do not learn, on the same held-out problems."""
    from shoal.posttrain.branching import grow
    from shoal.posttrain.malt import MaltSettings, graded

    c = trial.config
    settings = validate(MaltSettings, {"branches": c.branches, "most_pairs": c.most_pairs}, "malt")
    every = {p.question.text: p for p in task.problems(20 * (many + held_out), trial.derive("problems"))}
    problems = list(every.values())[: many + held_out]
    train, held = problems[:many], problems[many:]
    base = dict.fromkeys(ROLES, policies["base"])

    def trees_of(some: Sequence[Problem], name: str) -> list[Tree]:
        grown = grow(
            _chain(), _agents(), some, base, branches=c.branches, seed=trial.derive(name) % 2**31,
            temperature=settings.temperature, max_tokens=LONGEST,
        )  # fmt: skip
        return [graded(p, nodes, settings) for p, (nodes, _) in zip(some, grown, strict=True)]

    trees, tested = trees_of(train, "trees"), trees_of(held, "held")
    found, share = {}, float(np.mean([bool(t.pairs) for t in trees]))
    for arm in arms:
        if arm in TEAMS:
            plan = open_team(TEAMS[arm])
            seated = dict.fromkeys([a.name for a in plan.agents], policies["base"])
            found[arm] = _examined(trial, plan.run, plan.agents, seated, held)
            continue
        own = {role: policies[f"{arm}, {role}"] for role in ROLES}
        figures = _train(trial, own, trees, settings, arm)
        margin = _held_margin(base, own, tested, settings)
        figures |= {"margin of held-out pairs": margin, "trees with pairs": share}
        found[arm] = {**figures, **_examined(trial, _chain(), _agents(), own, held)}
    return found


def _chain() -> Team:
    return open_team("critique:agents=3").run


def _agents() -> list[Agent]:
    return [Agent(role) for role in ROLES]


def _train(
    trial: Trial[MaltConfig], policies: Mapping[str, Policy], trees: Sequence[Tree], settings: MaltSettings, arm: str
) -> dict[str, float]:
    """Roles of one arm trained on the trees: with values shuffled among siblings, or without preferences."""
    from shoal.posttrain.malt import train_role
    from shoal.posttrain.preference_trees import pairs, shuffled_among_siblings

    if arm == SHUFFLED:
        rng = trial.rng("shuffle")
        mixed = [replace(t, worth=shuffled_among_siblings(t.nodes, t.worth, rng)) for t in trees]
        trees = [replace(t, pairs=pairs(t.nodes, t.worth, settings.most_pairs)) for t in mixed]
    figures: dict[str, float] = {}
    for place, (role, policy) in enumerate(policies.items()):
        told = train_role(policy, place, trees, settings, arm != STAR and place > 0, trial.derive("train") % 2**31)
        figures.update({f"{role}: {name}": value for name, value in told.items() if name in ("imitated", "pairs")})
    return figures


def _held_margin(
    base: Mapping[str, Policy], policies: Mapping[str, Policy], tested: Sequence[Tree], settings: MaltSettings
) -> float:
    """Mean reward margin, against the untrained roles, of the true pairs of held-out trees."""
    from shoal.posttrain.dpo import margins, summed
    from shoal.posttrain.malt import preferred

    found = []
    for place, role in enumerate(ROLES):
        chosen = preferred(tested, {place: role}) if place else []
        if chosen:
            found.append(margins(policies[role], summed(base[role], chosen), chosen, settings.beta))
    return float(np.concatenate(found).mean()) if found else 0.0


def _examined(
    trial: Trial[MaltConfig],
    team: Team,
    agents: Sequence[Agent],
    policies: Mapping[str, Policy],
    problems: Sequence[Problem],
) -> dict[str, float]:
    """Accuracy of one run and of the vote of three (ties: the first to lead), and calls of one run."""
    from shoal.posttrain.rollouts import roll_out

    seed = trial.derive("answers") % 2**31
    done = roll_out(team, agents, problems, policies, group=VOTES, seed=seed, temperature=0.7, max_tokens=LONGEST)
    single = [float(r.problem.check(r.answer)) for r in done]
    voted = []
    for start in range(0, len(done), VOTES):
        answers = [r.answer for r in done[start : start + VOTES] if r.answer is not None]
        most = max(answers, key=answers.count) if answers else None
        voted.append(float(done[start].problem.check(most)))
    calls = float(np.mean([len(r.turns) for r in done]))
    unread = float(np.mean([r.answer is None for r in done]))
    return {
        "accuracy": float(np.mean(single)), "accuracy, vote of 3": float(np.mean(voted)), "calls": calls,
        "no answer": unread,
    }  # fmt: skip


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


def _margin(experiment: str) -> Callable[[Results], list[Check]]:
    """Above 0, and above that of shuffled labels."""

    def checks(results: Results) -> list[Check]:
        metric = "margin of held-out pairs"
        margin = results.values(experiment, MALT, metric)
        if not margin.size or not results.has(experiment, SHUFFLED):
            return []
        off = results.difference(experiment, MALT, SHUFFLED, metric)
        return [Check(metric, mean(margin), above=0.0), Check("margin: true - shuffled labels", off, above=0.0)]

    return checks


def _more_right(
    other: str, experiment: str = "tiny", metric: str = "accuracy, vote of 3"
) -> Callable[[Results], list[Check]]:
    """MALT is right more often than another arm."""

    def checks(results: Results) -> list[Check]:
        if not results.has(experiment, MALT) or not results.has(experiment, other):
            return []
        off = results.difference(experiment, MALT, other, metric)
        return [Check(f"{metric}: {MALT} - {other}", off, above=0.0)]

    return checks


def plots(results: Results) -> dict[str, Figure]:
    """Exact success of the tables; margins and accuracy of the tiny roles."""
    from shoal.runs.plots import bars, new_figure

    figures: dict[str, Figure] = {}
    if results.has("tables"):
        figures["tables"], axes = new_figure(2, 1, 5.4, 3.4)
        bars(axes[0], results, "tables", "success")
        bars(axes[1], results, "tables", "success, vote of 3")
    for experiment in ("tiny", "smollm2"):
        if results.has(experiment):
            figures[experiment], axes = new_figure(2, 1, 5.4, 3.4)
            bars(axes[0], results, experiment, "margin of held-out pairs")
            bars(axes[1], results, experiment, "accuracy, vote of 3")
    return figures


# fmt: off
EXPERIMENTS = (
    Experiment("backup", backup, ("tables",), Evidence.EXACT),
    Experiment("tables", tables, TABLES, Evidence.TRAINED, joint=True),
    Experiment("tiny", tiny, LANGUAGE, Evidence.TRAINED, {"quick": 1, "standard": 5, "full": 10}, joint=True,
               skip=lambda config: lacking_packages()),
    Experiment("smollm2", smollm2, SMALL_LANGUAGE, Evidence.TRAINED, {"quick": 1, "standard": 3, "full": 5}, joint=True,
               skip=no_smollm2),
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
          "tiny", _margin("tiny")),
    Claim("5b-accuracy", "Tiny transformers: with a vote of three MALT is right more often than the untrained chain",
          "tiny", _more_right(CHAIN)),
    Claim("5c-imitation", "And than imitation alone", "tiny", _more_right(STAR)),
    Claim("5d-debate", "And than an untrained debate, which makes six calls to its three", "tiny", _more_right(DEBATE)),
    Claim("5e-smollm2", "SmolLM2-135M: the margin of held-out pairs is above 0 and above that of shuffled labels",
          "smollm2", _margin("smollm2"), "6 questions of training, which is what a processor gives."),
    Claim("5f-smollm2-accuracy", "SmolLM2-135M: with a vote of three MALT is right more often than the untrained chain",
          "smollm2", _more_right(CHAIN, "smollm2"), "Shown, not gated, as the page asks."),
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
        "quick": {
            "questions": 40,
            "tiny_questions": 4,
            "tiny_held": 3,
            "tiny_steps": 15,
            "smollm2_questions": 2,
            "smollm2_held": 1,
        },
        "full": {
            "questions": 5000,
            "tiny_questions": 500,
            "tiny_held": 500,
            "smollm2_questions": 200,
            "smollm2_held": 100,
        },
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
