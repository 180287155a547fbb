"""Tiny transformers trained here from scratch: real neural language models with known and different skills.

About 0.9 M parameters over characters, trained by next-character prediction on the replies to one task's prompts, as an
agent alone sees them and as one in a chain does (after a colleague's answer, right or wrong). Minutes on a processor.
They are kept in the user's data folder and sit in any team as ``local:tiny-SKILL``.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from shoal.errors import InputError, UnknownName
from shoal.models.causal.network import context_of, need_packages, save_network, tiny_network
from shoal.models.causal.skills import SKILLS, Skill, write_card
from shoal.models.causal.tokenizers import CharacterTokenizer
from shoal.runs.seeds import derive
from shoal.tasks.catalogue import open_task
from shoal.tasks.problem import Problem
from shoal.teams.protocols.asking import brief
from shoal.teams.protocols.passing import CHAIN_LEAD
from shoal.teams.session import Message

HEARD = 0.3
"""Share of the examples in which a colleague has spoken before."""
WRONG = 0.5
"""Share of those in which the colleague was wrong."""
WARM_UP = 0.05
"""Share of the steps in which the learning rate rises."""


@dataclass(frozen=True)
class Example:
    """A prompt and the reply that is wanted, as token ids."""

    prompt: list[int]
    reply: list[int]


@dataclass
class Pretraining:
    """How a tiny model came to be.

    Attributes:
        network: trained, in evaluation mode.
        tokenizer: of characters.
        losses: mean loss of each step, nats per character.
        accuracy: on problems that were not trained on, greedy.
        seconds: wall time.
    """

    network: Any
    tokenizer: CharacterTokenizer
    losses: list[float] = field(default_factory=list)
    accuracy: float = math.nan
    seconds: float = 0.0


def pretrain(
    skill: str | Skill,
    *,
    steps: int | None = None,
    seed: int = 0,
    held_out: int = 200,
    progress: Callable[[int, int, float], None] | None = None,
    **shape: int,
) -> Pretraining:
    """Train a tiny model of one skill.

    Args:
        skill: a name of ``SKILLS``, or a skill of your own.
        steps: gradient steps; the skill's own number if left out. Fewer give a weaker model.
        seed: of parameters and examples.
        held_out: problems to test with, none of which is trained on.
        progress: called with step, steps and loss.
        shape: of the network, see ``tiny_network``.
    """
    need_packages("tiny")
    import torch

    chosen = _skill(skill)
    total = chosen.steps if steps is None else steps
    if total < 1:
        raise InputError("steps", total, "Train for at least 1 step.")
    started, tokenizer = time.perf_counter(), CharacterTokenizer()
    network = tiny_network(seed, **shape)
    tested = _problems(chosen, held_out, derive(seed, "held out"))
    hidden = {p.question.text for p in tested}
    known = [p for p in _problems(chosen, chosen.problems, derive(seed, "training")) if p.question.text not in hidden]
    rng = random.Random(derive(seed, "examples"))
    optimiser = torch.optim.AdamW(network.parameters(), lr=chosen.learning_rate, betas=(0.9, 0.98), weight_decay=0.01)
    losses = []
    network.train()
    for step in range(total):
        for group in optimiser.param_groups:
            group["lr"] = chosen.learning_rate * _schedule(step, total)
        examples = [example(rng.choice(known), rng, tokenizer) for _ in range(chosen.batch)]
        loss = _loss(network, examples, tokenizer.pad)
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        losses.append(float(loss.detach()))
        if progress is not None:
            progress(step + 1, total, losses[-1])
    network.eval()
    accuracy = answered_rightly(network, tokenizer, tested) if tested else math.nan
    return Pretraining(network, tokenizer, losses, accuracy, time.perf_counter() - started)


def pretrain_and_save(skill: str, folder: Path, **options: Any) -> Pretraining:
    """Train a tiny model and keep it in a folder, with a card that says what it is."""
    made = pretrain(skill, **options)
    save_network(folder, made.network, made.tokenizer)
    facts = {"accuracy": made.accuracy, "seconds": made.seconds, "steps": len(made.losses)}
    write_card(folder, {"skill": skill, "task": _skill(skill).task, **facts})
    return made


def example(problem: Problem, rng: random.Random, tokenizer: CharacterTokenizer) -> Example:
    """A prompt for a problem, and the right reply: ``Answer: X``."""
    question, heard = problem.question, []
    if rng.random() < HEARD:
        said = rng.choice(problem.lures) if problem.lures and rng.random() < WRONG else problem.answer
        heard = [Message(f"agent-{rng.randint(1, 4)}", (), f"Answer: {said}", "")]
    text = brief(question, lead=CHAIN_LEAD if heard else "", heard=heard)
    prompt = tokenizer.encode_chat([{"role": "user", "content": text}])
    return Example(prompt, [*tokenizer.encode(f"Answer: {problem.answer}"), *tokenizer.end])


def answered_rightly(network: Any, tokenizer: Any, problems: Sequence[Problem]) -> float:
    """Share of problems answered rightly by greedy replies to the prompt of an agent alone."""
    from shoal.models.causal.writing import Prompt, write
    from shoal.tasks.answers import extract

    prompts = [
        Prompt(tokenizer.encode_chat([{"role": "user", "content": brief(p.question)}]), 64, temperature=0.0)
        for p in problems
    ]
    written = write(network, prompts, tokenizer.end, tokenizer.pad)
    replies = [tokenizer.decode(w.tokens) for w in written]
    return float(np.mean([p.check(extract(p.question, r)) for p, r in zip(problems, replies, strict=True)]))


def _loss(network: Any, examples: Sequence[Example], pad: int) -> Any:
    """Mean negative log-probability of the replies' characters."""
    import torch

    rows = [[*e.prompt, *e.reply][-context_of(network) :] for e in examples]
    width = max(len(row) for row in rows)
    ids = torch.full((len(rows), width), pad)
    wanted = torch.full((len(rows), width), -100)
    for i, (row, one) in enumerate(zip(rows, examples, strict=True)):
        ids[i, : len(row)] = torch.tensor(row)
        wanted[i, len(row) - len(one.reply) : len(row)] = torch.tensor(one.reply)
    logits = network(input_ids=ids, attention_mask=(ids != pad).long()).logits
    return torch.nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1), wanted[:, 1:].flatten())


def _schedule(step: int, total: int) -> float:
    """Linear rise, then a cosine to a tenth."""
    rise = max(1, int(total * WARM_UP))
    if step < rise:
        return (step + 1) / rise
    return 0.1 + 0.45 * (1 + math.cos(math.pi * (step - rise) / max(1, total - rise)))


def _problems(skill: Skill, count: int, seed: int) -> list[Problem]:
    return list(open_task(skill.task).problems(count, seed))


def _skill(skill: str | Skill) -> Skill:
    if isinstance(skill, Skill):
        return skill
    if skill not in SKILLS:
        raise UnknownName("skill", skill, SKILLS)
    return SKILLS[skill]
