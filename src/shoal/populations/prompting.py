"""Prompt tuning: which wording of a template makes a model's answers fit the data (P3O, AgentTorch's ``optim/p3o``).

A template has places, each with a few wordings to choose from. A choice is drawn for each place from logits; the model
answers the prompt for several groups of people; the reward is 1 - (answer - target)^2, averaged over the groups. The
logits follow the score-function gradient (REINFORCE, Williams 1992) of reward less a running baseline, with a bonus for
the entropy of the choices (arXiv 2409.10568; the settings are those of its code).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from string import Formatter

import numpy as np
from numpy.typing import ArrayLike, NDArray

from shoal.errors import InputError
from shoal.runs.seeds import generator

Vector = NDArray[np.float64]
Answers = Callable[[str], ArrayLike]
"""From a prompt to what a model answers for each group: shares from 0 to 1 [groups]."""

BASELINE = 0.9
"""Of the running baseline, what is kept in each step."""
ENTROPY = 0.01
"""Weight of the entropy bonus."""
RATE = 0.3
"""First step of the logits; it falls to a tenth along a line."""


@dataclass(frozen=True)
class Template:
    """A text with places, and wordings for each.

    Attributes:
        text: with places in braces, as in ``"You are {who}. {question}"``.
        choices: wordings of every place, two or more.

    Raises:
        InputError: places without wordings, wordings without a place, or nothing to choose.
    """

    text: str
    choices: Mapping[str, Sequence[str]]

    def __post_init__(self) -> None:
        try:
            places = {name for _, name, _, _ in Formatter().parse(self.text) if name is not None}
        except ValueError as problem:
            raise InputError("template text", self.text, f"Write places as {{name}}: {problem}.") from None
        if not places:
            raise InputError("template text", self.text, "Write at least one place, as {name}.")
        for name in places.symmetric_difference(self.choices):
            raise InputError(
                f"template choices {name}", None, "Give wordings for each place in the text, and no others."
            )
        for name, wordings in self.choices.items():
            if len(wordings) < 2 or isinstance(wordings, str):
                raise InputError(f"template choices {name}", wordings, "Give at least two wordings.")

    def filled(self, chosen: Mapping[str, int]) -> str:
        """The text with the wording of that number at each place."""
        return self.text.format_map({name: self.choices[name][k] for name, k in chosen.items()})


@dataclass(frozen=True)
class TunedPrompt:
    """What prompt tuning came to.

    Attributes:
        template: that was tuned.
        probabilities: of the wordings of each place.
        rewards: of each step.
        queries: prompts that the model answered.
    """

    template: Template
    probabilities: dict[str, Vector]
    rewards: Vector = field(repr=False)
    queries: int

    @property
    def best(self) -> dict[str, int]:
        """The likeliest wording of each place."""
        return {name: int(p.argmax()) for name, p in self.probabilities.items()}

    @property
    def prompt(self) -> str:
        """The text with the likeliest wordings."""
        return self.template.filled(self.best)


def tune_prompt(
    template: Template, answers: Answers, targets: ArrayLike, steps: int = 200, seed: int = 0
) -> TunedPrompt:
    """Find the wordings whose answers come closest to the targets.

    Args:
        template: with its wordings.
        answers: asked once in each step, for all groups.
        targets: shares that the groups should come to [groups], from 0 to 1.
        steps: how many prompts are tried.
        seed: of the draws.

    Raises:
        InputError: no step, targets out of range, or answers that do not fit them.
    """
    aims = np.atleast_1d(np.asarray(targets, float))
    if not (aims.ndim == 1 and aims.size and ((aims >= 0) & (aims <= 1)).all()):
        raise InputError("targets", targets, "Give a share from 0 to 1 for each group.")
    if steps < 1:
        raise InputError("steps", steps, "Use at least 1.")
    rng = generator(seed, "prompt tuning")
    logits = {name: np.zeros(len(wordings)) for name, wordings in template.choices.items()}
    baseline: float | None = None
    rewards = []
    for step in range(steps):
        chosen = {name: int(rng.choice(x.size, p=_softmax(x))) for name, x in logits.items()}
        found = reward(answers(template.filled(chosen)), aims)
        rewards.append(found)
        # The first reward is its own baseline: from 0 on, whatever is drawn first would be reinforced.
        advantage = found - (found if baseline is None else baseline)
        baseline = found if baseline is None else BASELINE * baseline + (1 - BASELINE) * found
        rate = RATE * (1 - 0.9 * step / steps)
        for name, x in logits.items():
            x += rate * (advantage * _score(x, chosen[name]) + ENTROPY * _entropy_slope(x))
    shares = {name: _softmax(x) for name, x in logits.items()}
    return TunedPrompt(template, shares, np.asarray(rewards), steps)


def reward(answers: ArrayLike, targets: Vector) -> float:
    """1 - (answer - target)^2, averaged over groups.

    Raises:
        InputError: other groups than the targets', or an answer that is not finite.
    """
    given = np.atleast_1d(np.asarray(answers, float))
    if given.shape != targets.shape or not np.isfinite(given).all():
        raise InputError("answers", given.tolist(), f"Answer with a finite number for each of {targets.size} groups.")
    return float(np.mean(1 - (given - targets) ** 2))


def _softmax(logits: Vector) -> Vector:
    weights = np.exp(logits - logits.max())
    return np.asarray(weights / weights.sum())


def _score(logits: Vector, chosen: int) -> Vector:
    """Slope of the logarithm of the chosen one's probability."""
    return np.asarray((np.arange(logits.size) == chosen) - _softmax(logits))


def _entropy_slope(logits: Vector) -> Vector:
    """Slope of the entropy of the choice."""
    p = _softmax(logits)
    logs = np.log(np.maximum(p, 1e-300))
    return np.asarray(-p * (logs - (p * logs).sum()))
