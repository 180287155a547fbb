"""Claims: the smallest statements of a message, and what they are about.

A claim that states a value ("the gate is 4 m wide") is compared by subject and value; any other one by its words. Exact
comparison misses paraphrase, which is why a model can take the place of every rule here (``prompts``).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from shoal.diagnosis.answers import NUMBER, answer_in, values
from shoal.diagnosis.conversation import same

Kind = Literal["factual", "faithfulness"]
Label = Literal["green", "red", "yellow"]
Fact = tuple[str, str]
"""Subject and value: ("gate|m", "4")."""

UNSURE = "[unverified]"
HIGH_RISK = "[high risk: rejected once, unproven]"
TAGS = (UNSURE, HIGH_RISK)
_SENTENCE = re.compile(r"(?<=[.!?;])\s+(?=\S)|\n+")
_HALVES = re.compile(r",? and (?=[^,;.]*\d)|, (?=[^,;.]*\d)")
_ANSWERS = re.compile(r"\banswer\b|\\boxed", re.IGNORECASE)
""""The result is ruined" is prose, not an answer."""
_ENTITY = re.compile(r"\b[A-Z][a-z]+\b|\[\d+\]|https?://|\"[^\"]+\"")


@dataclass(frozen=True, slots=True)
class Claim:
    """One statement.

    Attributes:
        text: its words, without tags.
        kind: "factual" (entities, numbers, citations) or "faithfulness" (constraints, decisions, internal state).
        facts: what it says about what, where it states values.
    """

    text: str
    kind: Kind
    facts: tuple[Fact, ...] = ()

    @property
    def key(self) -> str:
        """What makes two claims the same: their facts, else their words."""
        return " & ".join(f"{subject}={value}" for subject, value in self.facts) or same(self.text)


@dataclass(frozen=True, slots=True)
class Judgement:
    """A claim held against the confirmed ones.

    Attributes:
        label: "green" (entailed), "red" (contradicted) or "yellow" (neither).
        conflict: the confirmed statement that contradicts it, or why it was rejected.
    """

    label: Label
    conflict: str = ""


def decompose(text: str) -> list[Claim]:
    """The claims of a text in order; a text in which none is found is one claim, an empty one has none."""
    parts = [part.strip() for part in _SENTENCE.split(text) if part.strip()]
    found = [claim_of(piece) for part in parts for piece in _split(part)]
    return found or ([Claim(text.strip(), "faithfulness")] if text.strip() else [])


def claim_of(text: str) -> Claim:
    """One statement as a claim; tags of the layer are taken off."""
    for tag in TAGS:
        text = text.replace(tag, "")
    text = text.strip()
    facts = tuple(dict.fromkeys(_facts(text)))
    factual = bool(facts) or NUMBER.search(text) is not None or _ENTITY.search(text[1:]) is not None
    return Claim(text, "factual" if factual else "faithfulness", facts)


def facts_in(text: str) -> list[Fact]:
    """All values that a text states, with what they are about."""
    return [fact for claim in decompose(text) for fact in claim.facts]


def judge(claim: Claim, confirmed: dict[str, set[str]], said: set[str] | frozenset[str] = frozenset()) -> Judgement:
    """Hold a claim against confirmed values.

    Args:
        claim: what is judged.
        confirmed: confirmed values by subject.
        said: confirmed statements without values, as compared by ``same``.
    """
    for subject, value in claim.facts:
        if subject in confirmed and value not in confirmed[subject]:
            return Judgement("red", f"{name(subject)} {' or '.join(sorted(confirmed[subject]))}")
    known = claim.facts and all(value in confirmed.get(subject, ()) for subject, value in claim.facts)
    return Judgement("green" if known or same(claim.text) in said else "yellow")


def name(subject: str) -> str:
    """A subject in words."""
    return " ".join(part for part in subject.split("|") if part.strip())


def tagged(claim: Claim, tag: str) -> str:
    """The claim's words with a tag before them."""
    return f"{tag} {claim.text}" if tag else claim.text


def assembled(parts: Sequence[str]) -> str:
    """Parts of a message in their order, as one text."""
    return " ".join(part if part.endswith((".", "!", "?", ";", ":")) else f"{part}." for part in parts if part)


def _split(part: str) -> list[str]:
    """A sentence with several values as several statements, each with its own."""
    halves = _HALVES.split(part)
    if len(halves) > 1 and all(values(half) for half in halves):
        return halves
    return [part]


def _facts(text: str) -> list[Fact]:
    answer = answer_in(text) if _ANSWERS.search(text) else None
    if answer is not None:
        return [("answer", same(answer))]
    return [("|".join(v.about), v.number) for v in values(text)]
