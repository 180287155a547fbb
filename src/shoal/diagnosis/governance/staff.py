"""Who takes messages apart, judges and verifies for the layer: rules here, a model in ``prompts``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from shoal.diagnosis.governance.claims import Claim, Judgement, decompose, facts_in, judge
from shoal.diagnosis.governance.lineage import Lineage


class Staff(Protocol):
    """What the layer needs done. Each method may be a coroutine; then the layer must be awaited (``review``)."""

    def decompose(self, text: str) -> Any:
        """The claims of a text, list[Claim]."""
        ...

    def judge(self, claims: Sequence[Claim], lineage: Lineage) -> Any:
        """A label for each claim against what is confirmed, list[Judgement]."""
        ...

    def verify(self, claim: Claim, lineage: Lineage) -> Any:
        """True, False, or None where the evidence does not tell."""
        ...


class Rules:
    """Exact rules: values are compared by subject, evidence is looked up among texts that were learned.

    Args:
        evidence: texts that count as proof (tool results, sheets, documents).
    """

    def __init__(self, *evidence: str) -> None:
        self.evidence: dict[str, set[str]] = {}
        for text in evidence:
            self.learn(text)

    def learn(self, text: str) -> None:
        """Add a text to the evidence."""
        for subject, value in facts_in(text):
            self.evidence.setdefault(subject, set()).add(value)

    def decompose(self, text: str) -> list[Claim]:
        """Sentences, and halves of sentences that state a value each."""
        return decompose(text)

    def judge(self, claims: Sequence[Claim], lineage: Lineage) -> list[Judgement]:
        """By confirmed values and statements."""
        return [judge(claim, lineage.confirmed, lineage.said) for claim in claims]

    def verify(self, claim: Claim, lineage: Lineage) -> bool | None:
        """False where the evidence has another value, True where it has all of them, else None."""
        known = [value in self.evidence[subject] for subject, value in claim.facts if subject in self.evidence]
        if not known:
            return None
        return False if not all(known) else True if len(known) == len(claim.facts) else None
