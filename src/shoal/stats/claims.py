"""Claims and verdicts.

A claim is a sentence of a paper and the checks that test it. A check is an estimate and the region in which the
sentence is true; the verdict follows from where the interval lies, never from the point alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from shoal.stats.estimates import Estimate


class Verdict(StrEnum):
    """What came out. ``NOT_RUN`` says that the evidence could not be had here, with the reason in the note."""

    REPRODUCED = "reproduced"
    NOT_REPRODUCED = "not reproduced"
    INCONCLUSIVE = "inconclusive"
    NOT_RUN = "not run"


class Evidence(StrEnum):
    """What the agents of a result were."""

    SCRIPTED = "scripted"
    TRAINED = "trained"
    LOCAL = "local"
    ENDPOINT = "endpoint"
    RECORDED = "recorded"
    EXACT = "exact"


@dataclass(frozen=True, slots=True)
class Check:
    """One estimate and where it must lie for the claim to hold.

    Attributes:
        label: what is compared, in words ("SelfOrg - single, p=0.5").
        estimate: the measured quantity with its interval.
        above: the claim needs the quantity to be at least this; more than this where it is 0, because a difference of
            exactly nothing supports no direction.
        below: the claim needs the quantity to be at most this; less than this where it is 0.
        needs: fewest independent units for a firm verdict; with fewer the check stays inconclusive.
    """

    label: str
    estimate: Estimate
    above: float | None = None
    below: float | None = None
    needs: int = 2

    @property
    def verdict(self) -> Verdict:
        """Reproduced if the whole interval lies in the region, not reproduced if none of it does."""
        e = self.estimate
        if e.n < self.needs:
            return Verdict.INCONCLUSIVE
        above = -math.inf if self.above is None else math.nextafter(0, 1) if self.above == 0 else self.above
        below = math.inf if self.below is None else math.nextafter(0, -1) if self.below == 0 else self.below
        if e.low >= above and e.high <= below:
            return Verdict.REPRODUCED
        return Verdict.NOT_REPRODUCED if e.high < above or e.low > below else Verdict.INCONCLUSIVE

    @property
    def margin(self) -> float:
        """Distance of the point estimate to the nearest bound of the region, negative outside it."""
        gaps = [self.estimate.value - self.above] if self.above is not None else []
        if self.below is not None:
            gaps.append(self.below - self.estimate.value)
        return min(gaps, default=0.0)


@dataclass(frozen=True, slots=True)
class Finding:
    """A claim with its verdict, as written to results and reports.

    Attributes:
        id: short name, unique in its study.
        statement: the paper's sentence, or ours where the page proposes one.
        verdict: what came out over all checks: the worst of them.
        estimate: of the check that decides (the worst verdict, then the smallest margin).
        evidence: what the agents were.
        checks: every check.
        note: why it was not run, or what to know when reading it.
    """

    id: str
    statement: str
    verdict: Verdict
    estimate: Estimate | None
    evidence: Evidence
    checks: tuple[Check, ...] = ()
    note: str = ""


_WORST_FIRST = (Verdict.NOT_REPRODUCED, Verdict.INCONCLUSIVE, Verdict.REPRODUCED)


def judge(id: str, statement: str, evidence: Evidence, checks: Sequence[Check], note: str = "") -> Finding:
    """The finding for one claim from its checks; all must hold for *reproduced*."""
    if not checks:
        return Finding(id, statement, Verdict.NOT_RUN, None, evidence, (), note or "no measurements")
    deciding = min(checks, key=lambda c: (_WORST_FIRST.index(c.verdict), c.margin))
    return Finding(id, statement, deciding.verdict, deciding.estimate, evidence, tuple(checks), note)
