"""MALT: a chain of roles trained offline from trees of their own outputs (arXiv 2412.01928).

Generator, verifier and refiner answer in sequence (the protocol ``critique``). Every role writes several times on each
output of the one before (``branching``), only the leaves are graded, and the grade flows back as a mean
(``preference_trees``). Each role is then trained by itself: imitation of its good outputs, then preferences between
siblings (DPO, reference = the imitating model).

Departures: any team whose agents are asked in a fixed order can be trained; at most two pairs per parent, widest gap
first (the paper does not say). The first agent gets no preferences unless asked to: it hurt instruction-tuned bases.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass
from typing import Any, ClassVar

import numpy as np
import orjson
from pydantic import BaseModel, ConfigDict, Field

from shoal.errors import InputError
from shoal.posttrain.branching import grow
from shoal.posttrain.dpo import Preferring, margins
from shoal.posttrain.examples import Example, Preference, write_rows
from shoal.posttrain.offline import OfflineMethod, OfflineTraining, Passes, batches, by_policy, offline
from shoal.posttrain.policies import Policy
from shoal.posttrain.preference_trees import Node, Pair, good, pairs, tree_size, values
from shoal.posttrain.sft import Imitation
from shoal.posttrain.training import Figures
from shoal.runs.seeds import derive
from shoal.tasks.problem import Problem


class MaltSettings(BaseModel):
    """Settings of MALT."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    branches: int = Field(3, ge=2, le=16, description="Outputs of each role on each input, n.")
    temperature: float = Field(0.7, gt=0, le=2, description="Sampling temperature of the trees (the paper: 0.3).")
    max_tokens: int = Field(32, ge=1, le=4096, description="Longest output.")
    threshold: float = Field(0.5, ge=0, lt=1, description="Value above which an output is good.")
    most_pairs: int = Field(2, ge=1, le=256, description="Preference pairs of one parent.")
    imitation_rate: float = Field(1e-3, gt=0, le=1, description="Learning rate of imitation.")
    preference_rate: float = Field(5e-4, gt=0, le=1, description="Learning rate of preferences.")
    beta: float = Field(0.2, gt=0, le=10, description="How close preferences keep to the imitating model.")
    epochs: int = Field(1, ge=1, le=100, description="Passes over the data of each stage.")
    batch: int = Field(16, ge=1, le=4096, description="Outputs, or pairs, in one step.")
    questions: int = Field(64, ge=1, le=100_000, description="Questions with a tree each.")
    problems: int = Field(8, ge=1, le=4096, description="Trees grown in one update.")
    prefer: tuple[str, ...] = Field((), description="Agents that learn from preferences too; all but the first.")
    max_grad_norm: float = Field(1.0, gt=0, description="Norm to which a role's gradient is clipped.")

    @property
    def learning_rate(self) -> float:
        """Of the first stage that learns."""
        return self.imitation_rate


@dataclass(frozen=True)
class Tree:
    """Outputs on one question, with their values and pairs."""

    problem: Problem
    nodes: list[Node]
    worth: Any
    pairs: list[Pair]


def graded(problem: Problem, nodes: list[Node], settings: MaltSettings) -> Tree:
    """A tree with the values of its nodes, backed up from the leaves, and its pairs."""
    worth = values(nodes)
    return Tree(problem, nodes, worth, pairs(nodes, worth, settings.most_pairs, settings.threshold))


def train_role(
    policy: Policy, place: int, trees: Sequence[Tree], settings: MaltSettings, prefer: bool, seed: int
) -> dict[str, float]:
    """Imitation of a role's good outputs, then preferences; an empty set skips its stage.

    Returns figures: outputs imitated, pairs, the last losses, and the margin of the pairs after training.
    """
    found = {"imitated": 0.0, "pairs": 0.0}
    rng, roles = np.random.default_rng(derive(seed, "order", place)), {place: policy.role}
    examples, chosen = imitated(trees, roles, settings.threshold), preferred(trees, roles)
    found["imitated"] = float(len(examples))
    if examples:
        imitation = Imitation({policy.role: examples}, settings.imitation_rate, settings.epochs, settings.batch, seed)
        found[imitation.title] = _passed(imitation, policy, rng)
    if prefer and chosen:
        found["pairs"] = float(len(chosen))
        preferring = Preferring(
            {policy.role: chosen}, settings.preference_rate, settings.epochs, settings.batch, seed, beta=settings.beta
        )
        preferring.refer([policy])
        found[preferring.title] = _passed(preferring, policy, rng)
        reference = preferring.reference[policy.role]
        found["margin"] = float(margins(policy, reference, chosen, settings.beta).mean())
    return found


def _passed(passes: Passes[Any], policy: Policy, rng: np.random.Generator) -> float:
    """All passes of one policy with an optimiser of their own; the last loss."""
    import torch

    optimiser = torch.optim.AdamW(policy.parameters(), lr=passes.rate, weight_decay=0.0)
    loss = 0.0
    for _ in range(passes.epochs):
        for part in batches(len(passes.rows[policy.role]), passes.batch, rng):
            loss = passes.step(policy, optimiser, [int(i) for i in part])[passes.title]
    return loss


def imitated(trees: Sequence[Tree], roles: Mapping[int, str], threshold: float) -> list[Example]:
    """Good outputs of some roles, by their place in the chain."""
    return [
        Example(roles[node.role], node.prompt, node.tokens)
        for tree in trees
        for node, keep in zip(tree.nodes, good(tree.worth, threshold), strict=True)
        if keep and node.role in roles
    ]


def preferred(trees: Sequence[Tree], roles: Mapping[int, str]) -> list[Preference]:
    """Pairs of some roles, by their place in the chain."""
    return [
        Preference(roles[p.role], t.nodes[p.chosen].prompt, t.nodes[p.chosen].tokens, t.nodes[p.rejected].tokens)
        for t in trees
        for p in t.pairs
        if p.role in roles
    ]


@offline("malt")
class Malt(OfflineMethod):
    """Roles learn from trees of their team's work: imitation, then preferences (MALT, arXiv 2412.01928).

    The trees grow through the team itself, so every role is trained on the prompts that it gets there. Updates grow
    trees, then imitate, then prefer; what was gathered lies beside the curves, for ``sft`` and ``dpo`` to read.
    """

    schema: ClassVar[type[MaltSettings]] = MaltSettings
    source = "trees of its own work"
    idle = (
        "no output was good and no siblings differed. Begin from a model that solves some of the problems, "
        "or raise --set branches, questions or temperature."
    )

    def begin(self, training: OfflineTraining) -> None:
        """Draw the questions; raises InputError for trees that cannot be and roles that there are not."""
        s, self._roles, self._team = self.settings, dict(enumerate(training.policies)), training
        strangers = sorted(set(s.prefer) - set(training.policies))
        if strangers:
            raise InputError("malt prefer", strangers[0], f"Trained agents are {', '.join(training.policies)}.")
        handy = [agent.name for agent in training.agents if agent.tools and agent.name in training.policies]
        if handy:
            raise InputError("malt team", handy[0], "It has tools, whose results would be imitated; use grpo.")
        tree_size(len(self._roles), s.branches, s.questions)
        self._questions = list(training.task.problems(s.questions, derive(training.seed, "questions")))
        self._growing = -(-len(self._questions) // s.problems)
        self._outputs = tree_size(len(self._roles), s.branches, len(self._questions))
        self._examples: list[Example] = []
        self._pairs: list[Preference] = []
        self._arrange()

    def length(self) -> int:
        """Of growing; when all trees are there, of the passes over what they gave too."""
        length: int = self._growing + self._imitation.length() + self._preferring.length()
        return length

    def outlook(self) -> str:
        """How large the trees are."""
        return f"{len(self._questions)} questions, {self._outputs:,} outputs at most"

    def learn(self, training: OfflineTraining) -> Figures:
        """Trees of some questions, or a step of each role."""
        number = training.updates - self._growing
        if number < 0:
            return self._grow(training)
        if number < self._imitation.length():
            return self._imitation.learn(training, number)
        number -= self._imitation.length()
        if number == 0:
            training.forget_moments()
            self._preferring.refer(training.distinct())
        return self._preferring.learn(training, number)

    def shape(self) -> dict[str, Any]:
        """All settings: they say what the updates after a checkpoint are about."""
        return {"settings": self.settings.model_dump(mode="json")}

    def tensors(self) -> dict[str, Any]:
        """What was gathered, and the reference."""
        import torch

        rows = orjson.dumps([[astuple(row) for row in rows] for rows in (self._examples, self._pairs)])
        return {"rows": torch.from_numpy(np.frombuffer(rows, np.uint8).copy()), **self._preferring.tensors()}

    def restore(self, tensors: Mapping[str, Any]) -> None:
        """Take up what ``tensors`` gave."""
        examples, pairs = orjson.loads(tensors["rows"].numpy().tobytes())
        self._examples = [Example(role, *map(tuple, tokens)) for role, *tokens in examples]
        self._pairs = [Preference(role, *map(tuple, tokens)) for role, *tokens in pairs]
        self._arrange()
        self._preferring.restore(tensors)

    def _grow(self, training: OfflineTraining) -> Figures:
        s, first = self.settings, training.updates * self.settings.problems
        problems = self._questions[first : first + s.problems]
        grown = grow(
            training.team, training.agents, problems, training.policies, branches=s.branches,
            seed=derive(training.seed, "trees"), temperature=s.temperature, max_tokens=s.max_tokens,
            frozen=training.frozen, reward=training.reward,
        )  # fmt: skip
        trees = [graded(problem, nodes, s) for problem, (nodes, _) in zip(problems, grown, strict=True)]
        examples, chosen = imitated(trees, self._roles, s.threshold), preferred(trees, self._roles)
        self._examples += examples
        self._pairs += chosen
        if training.updates + 1 == self._growing:
            self._arrange()
            self._keep(training)
        ends = [rollout for _, rollouts in grown for rollout in rollouts]
        return {
            "right": float(np.mean([r.reward for r in ends])),
            "answered": float(np.mean([r.answer is not None for r in ends])),
            "outputs": float(sum(len(nodes) for nodes, _ in grown)), "good": float(len(examples)),
            "pairs": float(len(chosen)), "trees with pairs": float(np.mean([bool(t.pairs) for t in trees])),
        }  # fmt: skip

    def _arrange(self) -> None:
        """The passes over what was gathered."""
        s, team = self.settings, self._team
        liking = set(s.prefer) or {role for place, role in self._roles.items() if place > 0 or len(self._roles) == 1}
        pairs, shape = [p for p in self._pairs if p.role in liking], (s.epochs, s.batch, team.seed, s.max_grad_norm)
        self._imitation = Imitation(by_policy(self._examples, team.policies), s.imitation_rate, *shape)
        self._preferring = Preferring(by_policy(pairs, team.policies), s.preference_rate, *shape, s.beta)

    def _keep(self, training: OfflineTraining) -> None:
        """Files that ``sft`` and ``dpo`` read."""
        if training.folder is not None:
            training.folder.mkdir(parents=True, exist_ok=True)
            write_rows(training.folder / "examples.jsonl", self._examples, training.policies)
            write_rows(training.folder / "pairs.jsonl", self._pairs, training.policies)
