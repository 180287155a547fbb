"""The chain bandit: a problem is shown to the first agent only, and must come out of the last one (after MARFT).

Each of n agents reads the reply of the one before and gives one of four; the episode is won if the last reply names the
problem. A reply can also be written as two binary tokens. Values are exact: what the rest of the chain makes of a reply
is a matrix product.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from shoal.posttrain.problems.tables import Floats, Ids, draw

REPLIES = 4
SYMBOLS = 2
STATES = REPLIES * (1 + SYMBOLS)
"""Of a token policy: what was read, and the first token if that is written."""


def play(chances: Sequence[Floats], batch: int, rng: np.random.Generator, cut: bool = False) -> tuple[Ids, Ids, Floats]:
    """Episodes of reply policies.

    Args:
        chances: of each agent [seeds, states, replies].
        batch: episodes for each seed.
        rng: randomness.
        cut: agents do not see earlier replies (they read 0).

    Returns what each agent read, what it replied [agents, seeds, batch], and rewards [seeds, batch].
    """
    seeds = chances[0].shape[0]
    row = np.broadcast_to(np.arange(seeds)[:, None], (seeds, batch))
    problem = rng.integers(0, REPLIES, (seeds, batch))
    read, said = [], []
    seen = problem
    for m, chance in enumerate(chances):
        seen = np.zeros_like(seen) if cut and m else seen
        reply = draw(chance[row, seen], rng.random((seeds, batch)))
        read.append(seen)
        said.append(reply)
        seen = reply
    return np.array(read), np.array(said), (seen == problem).astype(float)


def replies_of_tokens(chance: Floats) -> Floats:
    """Chances of whole replies [seeds, states, replies] under a token policy [seeds, STATES, SYMBOLS]."""
    first = chance[:, :REPLIES]
    second = chance[:, REPLIES:].reshape(chance.shape[0], REPLIES, SYMBOLS, SYMBOLS)
    whole: Floats = (first[..., None] * second).reshape(chance.shape[0], REPLIES, REPLIES)
    return whole


def worth(chances: Sequence[Floats]) -> Floats:
    """W[m, seed, problem, reply]: chance to win after agent m's reply; W[0] is indexed by what agent 1 reads."""
    seeds = chances[0].shape[0]
    found = [np.broadcast_to(np.eye(REPLIES), (seeds, REPLIES, REPLIES))]
    for chance in reversed(chances):
        found.append(np.einsum("sab,spb->spa", chance, found[-1]))
    return np.array(found[::-1])


def exact_advantages(chances: Sequence[Floats], problem: NDArray[np.int64], replies: Ids) -> Floats:
    """A_m = Q(p, a_1..a_m) - Q(p, a_1..a_{m-1}) of episodes of the first seed [agents, episodes]."""
    w = worth(chances)[:, 0]
    steps = [w[0, problem, problem], *(w[m + 1, problem, reply] for m, reply in enumerate(replies))]
    return np.diff(np.array(steps), axis=0)
