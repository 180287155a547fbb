"""What archetypes answered, as tables: one line for each share that a week was decided by, and one for each reply."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import polars as pl

    from shoal.populations.weekly import Decision


def shares_frame(decisions: Sequence[Decision]) -> pl.DataFrame:
    """One row for each run, week, action and archetype.

    Columns: seed, week, action, archetype (its number among all conceivable ones, the same in every week), one for
    each variable, people, yes and read (readable replies), share (the probability that the people were given).
    """
    import polars as pl

    rows = []
    for decision in decisions:
        answers, share = decision.answers, decision.answers.share
        for action, kind, facts in _asked(decision):
            yes, read = int(answers.yes[action, kind]), int(answers.read[action, kind])
            people = int(decision.archetypes.sizes[kind])
            rows.append(facts | {"people": people, "yes": yes, "read": read, "share": float(share[action, kind])})
    return pl.DataFrame(rows, infer_schema_length=None)


def replies_frame(decisions: Sequence[Decision]) -> pl.DataFrame:
    """One row for each query.

    Columns: seed, week, action, archetype, the variables, sample, reply (the last one), yes (how it was read; null if
    it could not be), unreadable (whether all attempts were), attempts.
    """
    import polars as pl

    rows = []
    for decision in decisions:
        replies, kinds = decision.answers.replies, decision.archetypes.count
        samples = len(replies) // max(1, kinds * len(decision.answers.actions))
        for action, kind, facts in _asked(decision):
            first = (action * kinds + kind) * samples
            for sample, reply in enumerate(replies[first : first + samples]):
                told = {"reply": reply.text, "yes": reply.yes, "unreadable": reply.yes is None}
                rows.append(facts | {"sample": sample, **told, "attempts": reply.attempts})
    return pl.DataFrame(rows, infer_schema_length=None)


def _asked(decision: Decision) -> Iterator[tuple[int, int, dict[str, Any]]]:
    """Number of the action, number of the archetype, and what both are called."""
    people = [decision.archetypes.described(kind) for kind in range(decision.archetypes.count)]
    for action, name in enumerate(decision.answers.actions):
        for kind, person in enumerate(people):
            cell = int(decision.archetypes.cell[kind])
            yield action, kind, {
                "seed": decision.seed, "week": decision.week, "action": name, "archetype": cell, **person
            }  # fmt: skip
