"""Tiny transformers trained here from scratch: real neural language models with known and different skills.

Some 0.1 M parameters over characters, taught by next-character prediction on one task's questions and replies: the
question alone, as an agent alone is asked, and as one in a chain is (after a colleague's answer, right or wrong).
Minutes on a processor. They are kept in the user's data folder and sit in any team as ``local:tiny-SKILL``.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from shoal.errors import InputError, UnknownName
from shoal.models.causal.network import context_of, need_packages, save_network, tiny_network
from shoal.models.causal.skills import SKILLS, Skill, write_card
from shoal.models.causal.tokenizers import CharacterTokenizer, Tokenizer
from shoal.models.causal.writing import padded, places
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
SPREAD = 0.08
"""Standard deviation of fresh weights. With the 0.02 of ``tiny_network`` copying was not begun after 230 steps, with
this it was half learned after 120."""
SHORTER = 0.7
"""Share of a batch that makes the part of its shorter examples: about those in which nobody has spoken before."""


DECAY = 0.01
"""Weight decay."""
Optimiser = Literal["adamw", "muon"]


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
        held_out: number of those problems.
        seconds: wall time.
    """

    network: Any
    tokenizer: CharacterTokenizer
    losses: list[float] = field(default_factory=list)
    accuracy: float = math.nan
    held_out: int = 0
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
    chosen = _skill(skill)
    total = chosen.steps if steps is None else steps
    started, tokenizer = time.perf_counter(), CharacterTokenizer()
    network = tiny_network(seed, spread=SPREAD, **{**chosen.shape, **shape})
    tested = _problems(chosen.task, held_out, derive(seed, "held out"))
    hidden = {p.question.text for p in tested}
    tasks = (chosen.task, *chosen.easier)
    each, drawn = chosen.problems // len(tasks), derive(seed, "training")
    known = [p for task in tasks for p in _problems(task, each, drawn) if p.question.text not in hidden]
    losses = imitate(
        network, tokenizer, lambda rng: example(rng.choice(known), rng, tokenizer, chosen.bare), steps=total,
        batch=chosen.batch, learning_rate=chosen.learning_rate, seed=derive(seed, "examples"), progress=progress,
        shorter=chosen.bare or SHORTER, optimiser=chosen.optimiser, reading=chosen.reading,
    )  # fmt: skip
    accuracy = answered_rightly(network, tokenizer, tested) if tested else math.nan
    return Pretraining(network, tokenizer, losses, accuracy, len(tested), time.perf_counter() - started)


def imitate(
    network: Any,
    tokenizer: Tokenizer,
    draw: Callable[[random.Random], Example],
    *,
    steps: int,
    batch: int = 64,
    learning_rate: float = 2e-3,
    seed: int = 0,
    progress: Callable[[int, int, float], None] | None = None,
    shorter: float = SHORTER,
    optimiser: Optimiser = "adamw",
    reading: float = 0.0,
) -> list[float]:
    """Train a network, in place, to write the replies of examples: a linear rise, then a cosine to a tenth.

    Args:
        network: a causal model of transformers; it is left in evaluation mode.
        tokenizer: its tokenizer.
        draw: gives an example, new or not, from random numbers.
        steps: gradient steps.
        batch: examples in a step.
        learning_rate: at its highest.
        seed: of the examples.
        progress: called with step, steps and loss.
        shorter: share of a batch that makes its part of shorter examples; each part is padded by itself.
        optimiser: AdamW; or Muon (orthogonalised momentum, arXiv 2502.16982) for matrices and AdamW for the rest.
        reading: weight of predicting the prompts beside that of the replies; the loss is per token of the replies.

    Returns the mean loss of each step, in nats per token of the replies.
    """
    import torch

    if steps < 1:
        raise InputError("steps", steps, "Train for at least 1 step.")
    rng, losses, parts = random.Random(seed), [], _optimisers(network, optimiser)
    network.train()
    for step in range(steps):
        for part in parts:
            part.zero_grad()
            for group in part.param_groups:
                group["lr"] = learning_rate * _schedule(step, steps)
        losses.append(_slope(network, [draw(rng) for _ in range(batch)], tokenizer.pad, shorter, reading))
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        for part in parts:
            part.step()
        if progress is not None:
            progress(step + 1, steps, losses[-1])
    network.eval()
    return losses


def pretrain_and_save(skill: str, folder: Path, **options: Any) -> Pretraining:
    """Train a tiny model and keep it in a folder, with a card that says what it is."""
    made = pretrain(skill, **options)
    save_network(folder, made.network, made.tokenizer)
    facts = {
        "accuracy": made.accuracy, "held_out": made.held_out, "seconds": made.seconds, "steps": len(made.losses),
        "parameters": sum(x.numel() for x in made.network.parameters()),
    }  # fmt: skip
    write_card(folder, {"skill": skill, "task": _skill(skill).task, **facts})
    return made


def example(problem: Problem, rng: random.Random, tokenizer: CharacterTokenizer, bare: float = 0.0) -> Example:
    """A prompt for a problem, or with probability ``bare`` its question alone, and the right reply: ``Answer: X``."""
    question, heard = problem.question, []
    alone = bare > 0 and rng.random() < bare
    if not alone and rng.random() < HEARD:
        said = rng.choice(problem.lures) if problem.lures and rng.random() < WRONG else problem.answer
        heard = [Message(f"agent-{rng.randint(1, 4)}", (), f"Answer: {said}", "")]
    text = question.text if alone else brief(question, lead=CHAIN_LEAD if heard else "", heard=heard)
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


def _optimisers(network: Any, kind: Optimiser) -> list[Any]:
    """For all parameters; Muon is for the matrices between embedding and output."""
    import torch

    def hidden(name: str, tensor: Any) -> bool:
        return kind == "muon" and tensor.ndim == 2 and "embed" not in name

    matrices = [x for name, x in network.named_parameters() if hidden(name, x)]
    others = [x for name, x in network.named_parameters() if not hidden(name, x)]
    adamw = torch.optim.AdamW(others, lr=1.0, betas=(0.9, 0.98), weight_decay=DECAY)
    if not matrices:
        return [adamw]
    # Scaled so that an update is as large as one of AdamW, and one learning rate does for both.
    return [torch.optim.Muon(matrices, lr=1.0, weight_decay=DECAY, adjust_lr_fn="match_rms_adamw"), adamw]


def _slope(
    network: Any, examples: Sequence[Example], pad: int, shorter: float = SHORTER, reading: float = 0.0
) -> float:
    """Gradient of the mean negative log-probability of the replies' tokens, added to what is there; returns that mean.

    Examples of like length go through together, in two parts, since padding costs as much as text.
    """
    ordered = sorted(examples, key=lambda one: len(one.prompt) + len(one.reply))
    tokens, total = sum(len(one.reply) for one in examples), 0.0
    cut = round(len(ordered) * shorter)
    for part in filter(None, (ordered[:cut], ordered[cut:])):
        loss, extra = _losses(network, part, pad, reading)
        ((loss + reading * extra) / tokens).backward()
        total += float(loss.detach()) / tokens
    return total


def _losses(network: Any, examples: Sequence[Example], pad: int, reading: float) -> tuple[Any, Any]:
    """Negative log-probability of the replies' tokens, summed; and the prompts', as if they had as many tokens."""
    import torch

    ids, mask = padded([[*e.prompt, *e.reply][-context_of(network) :] for e in examples], pad)
    # Padded on the left, so that the replies lie at the right end; where only they count, only their logits are made.
    wanted, real = padded([e.reply for e in examples], pad)
    keep = ids.shape[1] if reading else wanted.shape[1] + 1
    out = network(input_ids=ids, attention_mask=mask, position_ids=places(mask), logits_to_keep=keep)
    every = torch.nn.functional.cross_entropy(out.logits[:, :-1].transpose(1, 2), ids[:, 1 - keep :], reduction="none")
    real = torch.nn.functional.pad(real, (every.shape[1] - real.shape[1], 0))
    known = mask[:, -keep:-1] * mask[:, 1 - keep :] * (1 - real)
    return (every * real).sum(), (every * known).sum() * real.sum() / known.sum().clamp(min=1)


def _schedule(step: int, total: int) -> float:
    """Linear rise, then a cosine to a tenth."""
    rise = max(1, int(total * WARM_UP))
    if step < rise:
        return (step + 1) / rise
    return 0.1 + 0.45 * (1 + math.cos(math.pi * (step - rise) / max(1, total - rise)))


def _problems(task: str, count: int, seed: int) -> list[Problem]:
    return list(open_task(task).problems(count, seed))


def _skill(skill: str | Skill) -> Skill:
    if isinstance(skill, Skill):
        return skill
    if skill not in SKILLS:
        raise UnknownName("skill", skill, SKILLS)
    return SKILLS[skill]
