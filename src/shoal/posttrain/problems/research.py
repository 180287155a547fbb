"""Demonstrations of the research team, with known slips, and a judge of subtasks that knows the truth.

A demonstration is a trajectory as an agent of the team would write it, well-formed and only partly skilful: a planner
is vague, asks for too much at once, asks twice or guesses; a researcher takes a wrong page or a wrong fact, or makes a
report up. Whoever imitates them has the form and those slips, so that there is something left to learn from reward.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from shoal.models.causal.tokenizers import Tokenizer
from shoal.models.interface import ChatMessage
from shoal.models.tools import ToolCall, result_of
from shoal.posttrain.policies import Policy
from shoal.posttrain.rollouts import Rollout, Turn
from shoal.runs.seeds import derive
from shoal.tasks.answers import same_answer
from shoal.tasks.generated.facts import BOX, PLACE, PLACES, RELATIONS, KnowledgeBase, base_of, name_of, subtask
from shoal.tasks.problem import Problem, Question
from shoal.teams.protocols.researching import ASK, SEARCH, VISIT

PLANNER, RESEARCHER, ALONE = ROLES = ("planner", "researcher", "alone")
TOOLS = {PLANNER: (ASK,), RESEARCHER: (SEARCH, VISIT), ALONE: (SEARCH, VISIT)}
WARM_UP = 0.05
"""Share of the steps of imitation in which the learning rate rises."""
PIECE = 16
"""Trajectories that go through at once; those of like length do, since padding costs as much as text."""
MOST_NORM = 1.0
"""Norm to which gradients of imitation are clipped."""


@dataclass(frozen=True)
class Slips:
    """Chances of the slips in demonstrations.

    Attributes:
        vague: a subtask names nothing to be found out.
        short: a question of two hops is asked for in one subtask.
        again: a subtask is handed out a second time.
        guess: planner or researcher says something without having looked.
        page: the wrong one of the titles found.
        fact: any fact of a page instead of the one that is asked for.
    """

    vague: float = 0.3
    short: float = 0.2
    again: float = 0.15
    guess: float = 0.05
    page: float = 0.25
    fact: float = 0.4


@dataclass
class Draft:
    """A trajectory in the making: what was written, and what tools gave, in turn."""

    pieces: list[tuple[str, bool]] = field(default_factory=list)

    def call(self, tool: str, argument: str, result: str) -> None:
        """A call and its result."""
        self.pieces += [(f"[{tool}: {argument}]", False), (ToolCall(tool, argument, result).inserted, True)]

    def end(self, result: str) -> Draft:
        """What it comes to."""
        self.pieces.append((result, False))
        return self


def asked_for(question: Question) -> tuple[str, str, bool]:
    """Relation, name, and whether it is the name of an owner, of a question of the task ``facts``."""
    relation, _, rest = question.text.rstrip("?").partition(" of ")
    owner = rest.endswith("'s box")
    return relation.lower(), rest.removesuffix("'s box").removeprefix("box "), owner


def planner_draft(problem: Problem, rng: random.Random, slips: Slips) -> Draft:
    """A planner whose researcher reports as one with the same slips would."""
    base, draft = base_of(problem.question), Draft()
    relation, name, owner = asked_for(problem.question)
    if rng.random() < slips.guess:
        return draft.end(f"Answer: {_any(relation, rng)}")

    def ask(relation: str, name: str) -> str:
        words = name if rng.random() < slips.vague else subtask(relation, name)
        report = researcher_draft(base, words, rng, slips).pieces[-1][0]
        draft.call(ASK, words, report)
        return report

    def surely(relation: str, name: str) -> str:
        report = ask(relation, name)
        return ask(relation, name) if rng.random() < slips.again else report

    if owner and rng.random() >= slips.short:
        name = surely(BOX, name)
    return draft.end(f"Answer: {surely(relation, name)}")


def researcher_draft(base: KnowledgeBase, words: str, rng: random.Random, slips: Slips) -> Draft:
    """A researcher's work on a subtask."""
    draft = Draft()
    relation, _, name = words.rpartition(" of ") if " of " in words else ("", "", words)
    if rng.random() < slips.guess:
        return draft.end(_any(relation, rng))
    return draft.end(_looked_up(base, relation, name, draft, rng, slips))


def lone_draft(problem: Problem, rng: random.Random, slips: Slips) -> Draft:
    """One agent with the researcher's tools: the same slips where it looks things up, none of a planner's."""
    base, draft = base_of(problem.question), Draft()
    relation, name, owner = asked_for(problem.question)
    if rng.random() < slips.guess:
        return draft.end(f"Answer: {_any(relation, rng)}")
    name = _looked_up(base, BOX, name, draft, rng, slips) if owner else name
    return draft.end(f"Answer: {_looked_up(base, relation, name, draft, rng, slips)}")


def _looked_up(base: KnowledgeBase, relation: str, name: str, draft: Draft, rng: random.Random, slips: Slips) -> str:
    """A fact found by a search and a visit."""
    try:
        titles = base.search(name)
    except ValueError as error:
        draft.call(SEARCH, name, f"error: {error}")
        return "none"
    draft.call(SEARCH, name, ", ".join(titles))
    right = [title for title in titles if name_of(title) == name]
    wrong = [title for title in titles if title not in right]
    slip = not right or (wrong and rng.random() < slips.page)
    title = rng.choice(wrong if slip else right)
    draft.call(VISIT, title, base.visit(title))
    facts = base.pages[title]
    sure = relation in facts and rng.random() >= slips.fact
    return facts[relation] if sure else rng.choice(list(facts.values()))


def _any(relation: str, rng: random.Random) -> str:
    return rng.choice(PLACES) if relation == PLACE else str(rng.randint(10, 99))


@dataclass(frozen=True)
class Demonstrations:
    """Trajectories to imitate, as turns of the team whose prompts say nothing of tools (``told=false``).

    Attributes:
        problems: of the task ``facts``.
        tokenizer: of the learner.
        slips: of the demonstrators.
    """

    problems: Sequence[Problem]
    tokenizer: Tokenizer
    slips: Slips = Slips()

    def draw(self, role: str, rng: random.Random) -> Turn:
        """A trajectory of a role. The one who works alone is told so, which tells its prompts from a planner's."""
        problem = rng.choice(self.problems)
        if role == RESEARCHER:
            return self._turn(role, *self._subtask(base_of(problem.question), rng))
        make = lone_draft if role == ALONE else planner_draft
        return self._turn(role, problem.question.text, make(problem, rng, self.slips))

    def _subtask(self, base: KnowledgeBase, rng: random.Random) -> tuple[str, Draft]:
        """A subtask as such a planner would put it, and work on it."""
        title = rng.choice(list(base.pages))
        relation = rng.choice(RELATIONS if rng.random() < self.slips.short else list(base.pages[title]))
        name = name_of(title)
        words = name if rng.random() < self.slips.vague else subtask(relation, name)
        return words, researcher_draft(base, words, rng, self.slips)

    def _turn(self, role: str, prompt: str, draft: Draft) -> Turn:
        chat: list[ChatMessage] = [{"role": "system", "content": ALONE}] if role == ALONE else []
        ids = self.tokenizer.encode_chat([*chat, {"role": "user", "content": prompt}])
        parts = [(self.tokenizer.encode(text), given) for text, given in draft.pieces]
        parts.append((list(self.tokenizer.end[:1]), False))
        tokens = [token for part, _ in parts for token in part]
        given = [passed for part, passed in parts for _ in part]
        text = "".join(text for text, _ in draft.pieces)
        return Turn(role, role, ids, tokens, [0.0] * len(tokens), 1.0, True, text, given, list(TOOLS[role]))


def imitate(
    policy: Policy,
    draw: Callable[[random.Random], Turn],
    *,
    steps: int,
    batch: int,
    learning_rate: float,
    seed: int = 0,
) -> list[float]:
    """Train a policy, adapter or whole network, to write what is its own in trajectories; what tools gave is masked.

    AdamW, a linear rise, then a cosine to a tenth. Returns the mean loss of each step, in nats per token of its own.
    """
    import torch

    rng, losses = random.Random(seed), []
    optimiser = torch.optim.AdamW(policy.parameters(), lr=learning_rate, betas=(0.9, 0.98), weight_decay=0.01)
    rise = max(1, int(steps * WARM_UP))
    for step in range(steps):
        for group in optimiser.param_groups:
            along = max(0.0, (step - rise) / max(1, steps - rise))
            group["lr"] = learning_rate * min((step + 1) / rise, 0.55 + 0.45 * math.cos(math.pi * along))
        turns = sorted((draw(rng) for _ in range(batch)), key=lambda turn: len(turn.prompt) + len(turn.tokens))
        tokens, total = sum(turn.written for turn in turns), 0.0
        optimiser.zero_grad()
        for start in range(0, batch, PIECE):
            loss = _loss(policy, turns[start : start + PIECE]) / tokens
            loss.backward()
            total += float(loss.detach())
        torch.nn.utils.clip_grad_norm_(policy.parameters(), MOST_NORM)
        optimiser.step()
        losses.append(total)
    return losses


def _loss(policy: Policy, turns: Sequence[Turn]) -> Any:
    """Negative log-probability of the tokens that are the learner's own, summed."""
    import torch

    logp, _, _ = policy.logprobs([turn.prompt for turn in turns], [turn.tokens for turn in turns])
    own = torch.zeros_like(logp)
    for row, turn in enumerate(turns):
        own[row, logp.shape[1] - len(turn.tokens) :] = torch.tensor([not given for given in turn.given])
    return -(logp * own).sum()


@dataclass(frozen=True)
class SubtaskJudge:
    """Whether a researcher's report is the truth that its subtask asks for, and a judge that is wrong at a known rate.

    Attributes:
        tokenizer: of the researcher; its prompt tells the subtask.
        noise: chance that the judge says the opposite.
        seed: of its mistakes; the same call is always judged alike.
    """

    tokenizer: Tokenizer
    noise: float = 0.0
    seed: int = 0

    def success(self, rollout: Rollout, turn: Turn) -> bool:
        """The truth. A subtask that asks for nothing the base knows has no right report."""
        question = rollout.problem.question
        base, lines = base_of(question), self.tokenizer.decode(turn.prompt).splitlines()
        truth = next((found for line in lines if (found := base.truth(line)) is not None), None)
        report = result_of(turn.text) if turn.ended else ""
        return truth is not None and bool(report) and same_answer(question, report, truth)

    def __call__(self, rollout: Rollout, turn: Turn) -> float:
        """The judge's view, 0 or 1."""
        names = (rollout.problem.question.id, rollout.sample, str(turn.prompt), turn.text)
        wrong = derive(self.seed, "judge", *names) / 2.0**63 < self.noise
        return float(self.success(rollout, turn) != wrong)
