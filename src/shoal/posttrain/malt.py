"""MALT: a chain of roles trained offline from trees of their own outputs (arXiv 2412.01928).

Generator, Verifier and Refiner answer in sequence. Every role writes several times on each output of the one before,
only the leaves are graded, and the grade flows back as a mean (``preference_trees``). Each role is then trained by
itself: imitation of its good outputs, then preferences between siblings (DPO, reference = the imitating model).

Departures: the roles are a list, so other chains work; at most two pairs per parent, widest gap first (the paper does
not say). The generator is not given preferences unless asked to: for instruction-tuned bases it hurt.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from shoal.models.causal.writing import Prompt
from shoal.posttrain.losses import dpo, sft
from shoal.posttrain.policies import Policy
from shoal.posttrain.preference_trees import Node, Pair, good, pairs, tree_size, values
from shoal.runs.seeds import derive
from shoal.tasks.problem import Problem, Question
from shoal.teams.protocols.asking import brief
from shoal.teams.session import Message

ROLES = ("generator", "verifier", "refiner")
LEADS = {
    "generator": "",
    "verifier": "Check this attempt and say what is wrong with it.",
    "refiner": "Write an improved answer.",
}


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
    prefer: tuple[str, ...] = Field(("verifier", "refiner"), description="Roles that learn from preferences too.")


@dataclass(frozen=True)
class Tree:
    """Outputs on one question, with their values and pairs."""

    problem: Problem
    nodes: list[Node]
    worth: Any
    pairs: list[Pair]


def role_prompt(role: str, question: Question, before: Sequence[tuple[str, str]]) -> str:
    """What a role reads: its duty, the question, and what earlier roles wrote. Never the answer."""
    heard = [Message(name, (role,), " ".join(text.split()), "") for name, text in before]
    return brief(question, lead=LEADS.get(role, ""), heard=heard)


def grow(policies: Mapping[str, Policy], problems: Sequence[Problem], settings: MaltSettings, seed: int) -> list[Tree]:
    """A tree for each problem; all outputs of one role are written in one batch.

    Raises:
        InputError: the trees would be too large, or have no siblings.
    """
    from shoal.tasks.answers import extract

    roles = list(policies)
    tree_size(len(roles), settings.branches, len(problems))
    forests: list[list[Node]] = [[] for _ in problems]
    # Where each path has got to: its tree, its last node, and what was said on the way.
    paths: list[tuple[int, int, list[tuple[str, str]]]] = [(t, -1, []) for t in range(len(problems))]
    for place, role in enumerate(roles):
        policy = policies[role]
        prompts, homes = [], []
        for t, parent, said in paths:
            text = role_prompt(role, problems[t].question, said)
            ids = policy.tokenizer.encode_chat([{"role": "user", "content": text}])
            for branch in range(settings.branches):
                number = derive(seed, t, parent, place, branch)
                prompts.append(Prompt(ids, settings.max_tokens, settings.temperature, number))
                homes.append((t, parent, said))
        paths = []
        for prompt, (t, parent, said), written in zip(prompts, homes, policy.write(prompts), strict=True):
            text, problem = policy.tokenizer.decode(written.tokens), problems[t]
            last = place == len(roles) - 1
            right = problem.check(extract(problem.question, text)) if last else None
            forests[t].append(Node(parent, place, text, tuple(prompt.ids), tuple(written.tokens), right))
            paths.append((t, len(forests[t]) - 1, [*said, (role, text)]))
    trees = []
    for problem, nodes in zip(problems, forests, strict=True):
        worth = values(nodes)
        trees.append(Tree(problem, nodes, worth, pairs(nodes, worth, settings.most_pairs, settings.threshold)))
    return trees


def train_role(
    policy: Policy, place: int, trees: Sequence[Tree], settings: MaltSettings, prefer: bool, seed: int
) -> dict[str, float]:
    """Imitation of a role's good outputs, then preferences; an empty set skips its stage.

    Returns figures: outputs imitated, pairs, the last losses, and the margin of the pairs after training.
    """
    nodes = [
        (node.prompt, node.tokens)
        for tree in trees
        for node, keep in zip(tree.nodes, good(tree.worth, settings.threshold), strict=True)
        if keep and node.role == place
    ]
    found = {"imitated": float(len(nodes)), "pairs": 0.0}
    rng = np.random.default_rng(derive(seed, "order", place))
    if nodes:
        found["imitation loss"] = _imitate(policy, nodes, settings, rng)
    chosen = [(tree.nodes[p.chosen], tree.nodes[p.rejected]) for tree in trees for p in tree.pairs if p.role == place]
    if prefer and chosen:
        found["pairs"] = float(len(chosen))
        found["preference loss"], found["margin"] = _prefer(policy, chosen, settings, rng)
    return found


def margins(policy: Policy, reference: Sequence[Any], held: Sequence[tuple[Node, Node]], beta: float) -> Any:
    """Reward margin of each pair against log-probabilities under a reference [2, pairs], as ``summed`` gives them."""
    better, worse = (summed(policy, [pair[i] for pair in held]) for i in range(2))
    return beta * ((better - reference[0]) - (worse - reference[1]))


def summed(policy: Policy, nodes: Sequence[Node]) -> Any:
    """Log-probability of each whole output, without gradient."""
    import torch

    with torch.no_grad():
        new, _, _ = policy.logprobs([n.prompt for n in nodes], [n.tokens for n in nodes])
    return new.sum(-1).numpy()


def _imitate(policy: Policy, nodes: Sequence[Any], settings: MaltSettings, rng: np.random.Generator) -> float:
    import torch

    optimiser = torch.optim.AdamW(policy.parameters(), lr=settings.imitation_rate, weight_decay=0.0)
    loss = torch.zeros(())
    for _ in range(settings.epochs):
        for part in _batches(len(nodes), settings.batch, rng):
            new, _, mask = policy.logprobs([nodes[i][0] for i in part], [nodes[i][1] for i in part])
            loss = sft(new, mask)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    return float(loss.detach())


def _prefer(
    policy: Policy, chosen: Sequence[tuple[Node, Node]], settings: MaltSettings, rng: np.random.Generator
) -> tuple[float, float]:
    """Last loss, and mean margin of the pairs after training."""
    import torch

    reference = [torch.as_tensor(summed(policy, [pair[i] for pair in chosen])) for i in range(2)]
    optimiser = torch.optim.AdamW(policy.parameters(), lr=settings.preference_rate, weight_decay=0.0)
    loss = torch.zeros(())
    for _ in range(settings.epochs):
        for part in _batches(len(chosen), settings.batch, rng):
            both = []
            for side in range(2):
                nodes = [chosen[i][side] for i in part]
                new, _, _ = policy.logprobs([n.prompt for n in nodes], [n.tokens for n in nodes])
                both.append(new.sum(-1))
            each, _ = dpo(both[0], both[1], reference[0][part], reference[1][part], settings.beta)
            loss = each.mean()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    after = margins(policy, [x.numpy() for x in reference], chosen, settings.beta)
    return float(loss.detach()), float(after.mean())


def _batches(count: int, size: int, rng: np.random.Generator) -> list[Any]:
    return np.array_split(rng.permutation(count), max(1, round(count / size)))


def answer(
    policies: Mapping[str, Policy], problems: Sequence[Problem], settings: MaltSettings, seed: int, votes: int = 1
) -> Any:
    """Right answers of the chain, 0 or 1 [problems]: one pass, or the majority of several (ties: the first to lead)."""
    from shoal.tasks.answers import extract

    found: list[list[str | None]] = [[] for _ in problems]
    for vote in range(votes):
        said: list[list[tuple[str, str]]] = [[] for _ in problems]
        for place, (role, policy) in enumerate(policies.items()):
            prompts = [
                Prompt(
                    policy.tokenizer.encode_chat(
                        [{"role": "user", "content": role_prompt(role, p.question, said[i])}]
                    ),
                    settings.max_tokens, settings.temperature, derive(seed, vote, place, i),
                )
                for i, p in enumerate(problems)
            ]  # fmt: skip
            for i, written in enumerate(policy.write(prompts)):
                said[i].append((role, policy.tokenizer.decode(written.tokens)))
        for i, p in enumerate(problems):
            found[i].append(extract(p.question, said[i][-1][1]))
    return np.array([float(p.check(_majority(f))) for p, f in zip(problems, found, strict=True)])


def _majority(answers: Sequence[str | None]) -> str | None:
    """The most frequent readable answer; of equals the one that came first."""
    known = [a for a in answers if a is not None]
    return max(known, key=known.count) if known else None
