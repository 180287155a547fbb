"""Language models that are friendly before they learn: where players of the repeated dilemma begin, and what they are.

Advantage Alignment needs a start in which players mostly cooperate (a published model is friendly by nature). A tiny
transformer gets it by imitation: it answers A with a given chance whatever happened, and beside it learns to say who
did what in the last round, without which it could not learn to answer one act by another. A pulled model can read
already: a few steps on its adapter make the form of the answer known and set the chance.

With prompts that tell of the last round only a player is five chances, so what it earns is computed, not sampled.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shoal.models.causal.network import tiny_network
from shoal.models.causal.tokenizers import CharacterTokenizer, Tokenizer
from shoal.models.causal.writing import Prompt, write
from shoal.models.interface import ChatMessage
from shoal.posttrain.choosing import Chooser, choosers
from shoal.posttrain.policies import Policy
from shoal.posttrain.problems.repeated_games import Acts, Dilemma
from shoal.posttrain.tiny import Example, imitate
from shoal.runs.seeds import derive

Floats = NDArray[np.float64]

LAST: tuple[tuple[Acts, ...], ...] = ((), (("A", "A"),), (("A", "B"),), (("B", "A"),), (("B", "B"),))
"""Last rounds that a player can be told of, own act first; A cooperates."""
ASKED = ("You?", "Other?")
"""Questions about the last round."""
NOBODY = "N"
"""The answer where there was none."""
WIDTH = 32
"""Of the tiny transformer: two layers, 0.02 M parameters."""
SPREAD = 0.8 / WIDTH**0.5
"""Of its fresh weights, by the rule of ``tiny_network``."""
LAYERS = r".*layers\.2\d\..*_proj"
"""Of a network of thirty layers, the last ten: a gradient need not go further down."""
LESSON, LESSONS = 300, 5
"""Steps of imitation between tests of what was learned, and most lessons."""


def prompts(tokenizer: Tokenizer) -> list[list[int]]:
    """What a player reads in each state of ``LAST``."""
    return [tokenizer.encode_chat(_chat(last)) for last in LAST]


def questions(tokenizer: Tokenizer) -> list[Example]:
    """Who did what, in each state, with the right answers."""
    return [
        Example(tokenizer.encode_chat(_chat(last, asked)), tokenizer.encode(last[0][who] if last else NOBODY))
        for last in LAST
        for who, asked in enumerate(ASKED)
    ]


def friendly_tiny(seed: int, friendly: float = 0.8, lessons: int = LESSONS) -> tuple[Any, CharacterTokenizer]:
    """A tiny transformer that has imitated a friendly player, in lessons until it can tell who did what.

    Args:
        seed: of parameters and examples.
        friendly: chance of A in every state.
        lessons: most of them.
    """
    tokenizer = CharacterTokenizer()
    network = tiny_network(seed % 2**31, spread=SPREAD, width=WIDTH, layers=2, heads=2, inner=2 * WIDTH, context=320)
    told, asked = prompts(tokenizer), questions(tokenizer)

    def draw(rng: random.Random) -> Example:
        if rng.random() < 0.5:
            return rng.choice(asked)
        return Example(rng.choice(told), tokenizer.encode("A" if rng.random() < friendly else "B"))

    for lesson in range(lessons):
        imitate(
            network, tokenizer, draw, steps=LESSON, batch=16, learning_rate=3e-3, seed=derive(seed, "lesson", lesson)
        )
        if reads(network, tokenizer) == 1:
            break
    return network, tokenizer


def reads(network: Any, tokenizer: Tokenizer) -> float:
    """Share of the questions about the last round that are answered rightly."""
    asked = questions(tokenizer)
    written = write(network, [Prompt(one.prompt, 1, 0.0) for one in asked], tokenizer.end, tokenizer.pad)
    return float(np.mean([w.tokens == one.reply for w, one in zip(written, asked, strict=True)]))


def chosen(policy: Policy) -> Chooser:
    """The policy, held to A and B."""
    (held,) = choosers({policy.role: policy}, Dilemma().acts()).values()
    return held


def befriend(policy: Chooser, friendly: float = 0.8, steps: int = 30, learning_rate: float = 1e-3) -> None:
    """Steps on a policy's parameters towards free replies of A with that chance and B otherwise, in every state.

    It stops early once all chances are within 0.05 of it and 9 in 10 free replies would begin with a letter.
    """
    import torch

    optimiser = torch.optim.Adam(policy.parameters(), lr=learning_rate)
    told = prompts(policy.tokenizer)
    for _ in range(steps):
        logp, inside = policy.choices(told, [1.0] * len(told))
        chance = logp[:, 0].exp()
        if float((chance - friendly).abs().max()) < 0.05 and float(inside.exp().min()) > 0.9:
            break
        optimiser.zero_grad()
        (-(friendly * logp[:, 0] + (1 - friendly) * logp[:, 1] + inside).mean()).backward()
        optimiser.step()


def chances(policy: Chooser) -> Floats:
    """Chance of A in each state of ``LAST``."""
    import torch

    told = prompts(policy.tokenizer)
    with torch.no_grad():
        logp, _ = policy.choices(told, [1.0] * len(told))
    found: Floats = logp[:, 0].exp().double().cpu().numpy()
    return found


def expected_points(own: Sequence[float], other: Sequence[float], rounds: int) -> tuple[float, float]:
    """Mean points of a round of two players, exactly, from their chances of A in each state of ``LAST``."""
    p, q = np.asarray(own, float), np.asarray(other, float)
    there = np.eye(len(LAST))[0]
    seen = [0, 1, 3, 2, 4]  # states as the other player has them
    payoff = np.array([Dilemma.payoff[last[0]] for last in LAST[1:]])
    total = np.zeros(2)
    for _ in range(rounds):
        a, b = p, q[seen]
        move = np.stack([a * b, a * (1 - b), (1 - a) * b, (1 - a) * (1 - b)], 1)
        after = there @ move
        total += after @ payoff
        there = np.concatenate([[0.0], after])
    first, second = total / rounds
    return float(first), float(second)


def _chat(last: Sequence[Acts], asks: str = "") -> list[ChatMessage]:
    """A player's prompt, with another question at its end."""
    game = Dilemma()
    chat = game.prompt(game.problems(1, 0)[0].question, 0, last)
    if asks:
        chat[-1]["content"] = chat[-1]["content"].replace(game.asks(), asks)
    return chat
