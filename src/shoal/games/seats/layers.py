"""A language model on Pearl's ladder: its instinct, a deliberate answer, and what it makes of its own instinct."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shoal.games.seats.language import action_schema, read_action
from shoal.tasks.problem import Problem, Question

Ask = Callable[[str, Mapping[str, Any] | None], Awaitable[str]]
"""Asks the model once: (prompt, JSON schema of the reply or None for free words) -> its reply."""


WORDS = ("amber", "cedar", "maple", "ochre")
"""Names of actions that say nothing."""


@dataclass(frozen=True, slots=True)
class LayerAnswer:
    """One answer.

    Attributes:
        action: index in the actions.
        unread: replies that could not be read; after two the action was drawn at random.
    """

    action: int
    unread: int


async def layer_answers(
    ask: Ask, situation: str, actions: Sequence[str], rng: np.random.Generator
) -> list[LayerAnswer]:
    """Instinct (a short answer at once), the answer after thinking in free words, and after it was shown its instinct.

    Args:
        ask: the model.
        situation: what there is to choose, in words.
        actions: names of the actions.
        rng: draws the action where nothing could be read.
    """
    names = tuple(actions)
    form = f'Reply with {{"action": NAME}}, NAME one of: {", ".join(names)}.'

    async def answer(request: str) -> LayerAnswer:
        for attempt in range(2):
            action, _ = read_action(await ask(f"{situation}\n{request}\n{form}", action_schema(names)), names)
            if action is not None:
                return LayerAnswer(action, attempt)
        return LayerAnswer(int(rng.integers(len(names))), 2)

    instinct = await answer("Say at once what you choose.")
    thought = await ask(
        f"{situation}\nBefore you choose, compare in a sentence or two what each choice brings you.", None
    )
    deliberate = await answer(f"You have thought about it: {' '.join(thought.split())}\nNow choose.")
    shown = f"Your first thought was {names[instinct.action]}. Is it the best for you? Keep it or change it."
    return [instinct, deliberate, await answer(shown)]


def choice_problem(name: str, pays: NDArray[np.float64]) -> Problem:
    """A follower's choice in words, with the best one as the answer.

    Args:
        name: id of the question.
        pays: what each choice pays the other player and oneself [2 to 4 choices, 2], in tenths; told in whole points.
    """
    points, words = (10 * pays).round().astype(int), WORDS[: len(pays)]
    lines = [
        f"{w}: you get {own} points, the other player gets {a}." for w, (a, own) in zip(words, points, strict=True)
    ]
    text = "\n".join(["The other player has moved. You choose, and want as many points as you can get.", *lines])
    best = int(points[:, 1].argmax())
    lures = tuple(word for k, word in enumerate(words) if k != best)
    return Problem(Question(name, text, "text", words), words[best], lures)
