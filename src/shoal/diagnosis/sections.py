"""Analyses of a whole run, and the decorator that registers one: what ``--with NAME`` adds to a diagnosis.

A detector looks for signs of failure in one conversation; an analysis measures something over all of a run's
conversations and reports it as a section of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from shoal.diagnosis.conversation import Conversation
from shoal.registry import Registry


@dataclass(frozen=True)
class Bar:
    """One bar of a section's picture: its label, its length from 0 to 1, and the figure written beside it."""

    label: str
    share: float
    figure: str


@dataclass(frozen=True)
class Section:
    """What an analysis reports.

    Attributes:
        name: of the analysis.
        headline: the result in one sentence.
        lines: more, for the terminal and the page.
        document: the figures as JSON values.
        bars: a picture, where there is one.
    """

    name: str
    headline: str
    lines: Sequence[str]
    document: dict[str, Any]
    bars: Sequence[Bar] = field(default=())


Analyse = Callable[[Sequence[Conversation], str], Section]
"""From the conversations of a run and the detail after the name's colon ("diversity:minilm") to a section."""

ANALYSES: Registry[Analyse] = Registry("analysis", "shoal.diagnosis.analyses")


def sections(conversations: Sequence[Conversation], wanted: Sequence[str]) -> list[Section]:
    """The sections of the analyses named, each as ``NAME`` or ``NAME:DETAIL``."""
    parts = [name.partition(":") for name in wanted]
    return [ANALYSES.get(name)(conversations, detail) for name, _, detail in parts]


def split(names: Sequence[str]) -> tuple[list[str], list[str]]:
    """Names given to ``--with``: those of detectors, and those of analyses.

    Raises:
        UnknownName: it is neither.
    """
    from shoal.diagnosis.findings import DETECTORS
    from shoal.errors import UnknownName

    analyses = [name for name in names if name.partition(":")[0] in ANALYSES]
    detectors = [name for name in names if name not in analyses]
    for name in detectors:
        if name not in DETECTORS:
            raise UnknownName("--with", name, [*DETECTORS.names(), *ANALYSES.names()])
    return detectors, analyses
