"""Who saw which numbers: every message of a protocol, counted, and kept for the parties that are watched."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from shoal.populations.private.ring import Words, decode

if TYPE_CHECKING:
    import polars as pl

SHARE, PARTIAL, MASKED, REVEALED = "share", "partial sum", "sum of shares", "revealed"
KINDS = (SHARE, PARTIAL, MASKED, REVEALED)
"""A share of somebody's number; a sum of shares on its way to whom it is for; a server's sum; a total in the open."""
WORD_BYTES = 8
SERVER, ANALYST = -1, -1000
"""Helper servers are the parties -1, -2, ...; the analyst who learns totals is one more."""


class MessageLog:
    """Messages of a run.

    Args:
        watched: parties whose received messages are kept; None for all of them (small populations only).

    Attributes:
        watched: these.
        step: day that is being simulated; -1 before the first.
        counts: messages by kind.
    """

    def __init__(self, watched: Iterable[int] | None = ()) -> None:
        self.watched = None if watched is None else np.unique(np.asarray(list(watched), np.int64))
        self.step = -1
        self.counts: Counter[str] = Counter()
        self._rows: list[tuple[int, int, NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], Words]] = []

    @property
    def bytes(self) -> int:
        """Size of all messages; words only."""
        return WORD_BYTES * self.counts.total()

    def add(self, kind: str, senders: ArrayLike, receivers: ArrayLike, about: ArrayLike, words: Words) -> None:
        """File messages [any]; numbers kept by their own party are no messages.

        Args:
            kind: one of KINDS.
            senders: party that sends each.
            receivers: party that sees each.
            about: agent whose sum each is for; -1 for the population's.
            words: what is seen.
        """
        shape = words.shape
        sender, receiver, owner = (
            np.broadcast_to(np.asarray(x, np.int64), shape).ravel() for x in (senders, receivers, about)
        )
        sent = sender != receiver
        self.counts[kind] += int(sent.sum())
        if self.watched is not None:
            sent &= np.isin(receiver, self.watched)
        if sent.any():
            row = (self.step, KINDS.index(kind), sender[sent], receiver[sent], owner[sent], words.ravel()[sent])
            self._rows.append(row)

    def view(self, party: int, kind: str | None = None) -> Words:
        """Words that a party received from others, in order."""
        wanted = [
            words[receiver == party]
            for _, number, _, receiver, _, words in self._rows
            if kind is None or KINDS[number] == kind
        ]
        return np.concatenate(wanted) if wanted else np.empty(0, np.uint64)

    def frame(self) -> pl.DataFrame:
        """Kept messages: step, kind, sender, receiver, about, word, and the number that the word stands for."""
        import polars as pl

        steps = [np.full(words.size, step) for step, *_, words in self._rows]
        kinds = [np.full(words.size, number) for _, number, *_, words in self._rows]
        columns = [np.concatenate(c) if c else np.empty(0, np.int64) for c in (steps, kinds)]
        table = [np.concatenate(c) for c in zip(*(row[2:] for row in self._rows), strict=True)] if self._rows else None
        sender, receiver, about, words = table or [np.empty(0, t) for t in (np.int64, np.int64, np.int64, np.uint64)]
        return pl.DataFrame(
            {
                "step": columns[0].astype(np.int32),
                "kind": [KINDS[k] for k in columns[1]],
                "sender": sender,
                "receiver": receiver,
                "about": about,
                "word": words,
                "number": decode(words),
            },
            schema_overrides={"kind": pl.String},
        )
