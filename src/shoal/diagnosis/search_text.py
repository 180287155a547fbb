"""Made-up deep-search runs in words, so that usage edges must be found and a language model can be the judge.

Each step notes a number under a name of its own: read from a record, or the last three digits of the sum of the numbers
it uses. A step's own fault is a misread record or a wrong sum; a symptom adds up wrong numbers rightly. So every fault
can be found by reading, and the right answer of the task is known.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from shoal.diagnosis.conversation import Conversation, conversation
from shoal.diagnosis.deep_search import SearchRun
from shoal.traces import Event

QUESTION = (
    "Which number does the last step come to? A derived number is the last three digits of the sum of those it uses."
)
EXPLICIT = 0.85
"""Chance that a step names a number that it uses; the others it uses without a word."""
ASIDE = 0.2
"""Chance that a step names a number that it does not use."""
_ONSETS = ("B", "D", "F", "G", "K", "L", "M", "N", "P", "R", "S", "T", "V", "Z")
_MIDDLES = ("al", "em", "ir", "or", "un", "av", "el", "os")
_ENDINGS = ("dak", "fen", "gor", "lim", "mon", "nath", "ris", "tov", "vel", "zun")


def written(run: SearchRun, seed: int) -> tuple[Conversation, str]:
    """The run as a conversation, and the right answer of its task.

    Declared parents are left out: who used what must be read from the words.
    """
    rng = np.random.default_rng(seed)
    names = _names(run.graph.size, rng)
    true, stated = _numbers(run, rng)
    events = []
    for step, agent in enumerate(run.agents):
        text = _told(run, step, names, true, stated, rng)
        if step == run.terminal:
            text += f" Answer: {stated[step]}"
        events.append(Event(f"{step}", "search", float(step), step, agent, "message", (), {"content": text}))
    task = Event("task", "search", 0.0, 0, "", "task.start", (), {"text": QUESTION})
    return conversation("search", [task, *events]), str(true[run.terminal])


def _numbers(run: SearchRun, rng: np.random.Generator) -> tuple[list[int], list[int]]:
    """What each step would have noted without any fault, and what it notes."""
    read = rng.integers(100, 1000, run.graph.size)
    slip = rng.integers(1, 100, run.graph.size)
    passes = {(e.source, e.target): bool(p) for e, p in zip(run.graph.edges, run.passing, strict=True)}
    true: list[int] = []
    stated: list[int] = []
    for step in range(run.graph.size):
        above = [e.source for e in run.graph.parents(step)]
        right = sum(true[s] for s in above) % 1000 if above else int(read[step])
        found = sum(stated[s] if passes[s, step] else true[s] for s in above) % 1000 if above else right
        true.append(right)
        stated.append((found + int(slip[step])) % 1000 if run.faulty[step] else found)
    return true, stated


def _told(
    run: SearchRun, step: int, names: Sequence[str], true: list[int], stated: list[int], rng: np.random.Generator
) -> str:
    above = [e.source for e in run.graph.parents(step)]
    if not above:
        return f"I looked up the record of {names[step]}: it reads {true[step]}. I note {names[step]} = {stated[step]}."
    passes = {e.source: bool(p) for e, p in zip(run.graph.edges, run.passing, strict=True) if e.target == step}
    used = [f"{names[s]} = {stated[s] if passes[s] else true[s]}" for s in above if rng.random() < EXPLICIT]
    others = [s for s in range(step) if s not in above]
    aside = f", not {names[int(rng.choice(others))]}," if others and rng.random() < ASIDE else ""
    listed = " and ".join(used) if used else "what was noted before"
    return f"I use {listed}{aside} and add up. This gives {names[step]} = {stated[step]}."


def _names(count: int, rng: np.random.Generator) -> list[str]:
    """Different made-up names."""
    every = [a + b + c for a in _ONSETS for b in _MIDDLES for c in _ENDINGS]
    return [every[i] for i in rng.choice(len(every), count, replace=False)]
