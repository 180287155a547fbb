"""Six lanes of a run: at which stage of an act its agents were when, and which stages were skipped."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from shoal.diagnosis.conversation import Conversation
from shoal.diagnosis.lifecycle import OPERATIONALISATION, STAGES, gaps, lanes
from shoal.diagnosis.lifecycle import lifecycle as staged_events
from shoal.diagnosis.sections import ANALYSES, Bar, Section

MOST_SHOWN = 8


@ANALYSES.register("lifecycle")
def lifecycle(conversations: Sequence[Conversation], detail: str = "") -> Section:
    """Lanes of the longest conversation, counts and gaps of all."""
    told = {view.run: staged_events(view) for view in conversations}
    counts = Counter(item.stage for staged in told.values() for item in staged)
    found = {run: gaps(staged) for run, staged in told.items()}
    total, missing = sum(counts.values()), sum(map(len, found.values()))
    longest = max(told.values(), key=len, default=[])
    bars = [
        Bar(f"{i} {name}", counts[i] / total if total else 0.0, str(counts[i]))
        for i, name in enumerate(STAGES, start=1)
    ]
    headline = f"{total} events in six stages; {missing} gap{'s' * (missing != 1)} (a stage that an act skipped)."
    lines = [*lanes(longest), *(str(gap) for each in found.values() for gap in each[:MOST_SHOWN])][: 6 + MOST_SHOWN]
    document = {
        "stages": {name: counts[i] for i, name in enumerate(STAGES, start=1)},
        "gaps": [
            {"run": run, "actor": g.actor, "stage": g.stage, "missing": g.missing, "event": g.event}
            for run, each in found.items() for g in each
        ],
        "note": OPERATIONALISATION,
    }  # fmt: skip
    return Section("lifecycle", headline, [*lines, OPERATIONALISATION], document, bars)
