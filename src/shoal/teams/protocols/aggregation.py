"""Many answers to one: plurality, weights, averages, rankings."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from shoal.tasks.problem import Question
from shoal.teams.outcome import Outcome
from shoal.teams.session import Session


@dataclass(frozen=True, slots=True)
class Opinion:
    """What an agent thinks the answer is.

    Attributes:
        agent: its name.
        text: what it said, cut where it began to speak for others.
        answer: the answer read from the text, or None.
        event: id of the trace event of the reply.
        failed: kind of failure if the call failed, else empty.
        certainty: mean probability of the written tokens, where log-probabilities were asked for, else None.
    """

    agent: str
    text: str
    answer: str | None
    event: str
    failed: str = ""
    certainty: float | None = None


@dataclass(frozen=True, slots=True)
class Tally:
    """The result of a count.

    Attributes:
        answer: the winner in canonical form, or None if nobody gave an answer.
        votes: weight behind each answer.
        text: the text of the first agent that gave the winner.
        event: its event.
        supporters: names of the agents that gave it.
    """

    answer: str | None
    votes: dict[str, float] = field(default_factory=dict)
    text: str = ""
    event: str = ""
    supporters: tuple[str, ...] = ()

    def share(self, of: int) -> float:
        """Supporters of the winner as a share of ``of`` agents, in [0, 1]."""
        return len(self.supporters) / of if of else 0.0


def tally(question: Question, opinions: Sequence[Opinion], weights: Mapping[str, float] | None = None) -> Tally:
    """Count the answers; the greatest weight wins, ties go to the answer that was given first.

    Args:
        question: decides which answers are the same.
        opinions: in a fixed order; those without an answer do not count.
        weights: by agent, at least 0; 1 for those not named. Plain plurality without it.
    """
    from shoal.tasks.answers import canonical

    votes: dict[str, float] = {}
    backers: dict[str, list[Opinion]] = {}
    for opinion in opinions:
        if opinion.answer is None:
            continue
        key = canonical(question, opinion.answer)
        votes[key] = votes.get(key, 0.0) + (1.0 if weights is None else weights.get(opinion.agent, 1.0))
        backers.setdefault(key, []).append(opinion)
    if not votes:
        return Tally(None)
    winner = max(votes, key=lambda key: votes[key])
    first = backers[winner][0]
    return Tally(winner, votes, first.text, first.event, tuple(o.agent for o in backers[winner]))


OPEN_CLASSES = 10
"""Answer classes ascribed to a question without options: wrong open answers rarely coincide."""


def answer_classes(question: Question) -> int:
    """How many different answers a question has: its options, two for booleans, else OPEN_CLASSES."""
    return len(question.options) or (2 if question.kind == "boolean" else OPEN_CLASSES)


def log_odds(competence: float, classes: int = 2) -> float:
    """The optimal weight of an independent voter who is right with that probability, at least 0.

    ln(p / (1 - p)) between two answers (Nitzan and Paroush, International Economic Review 23, 1982); with K answers
    and errors spread evenly over the wrong ones, the likelihood gives ln(p (K - 1) / (1 - p)). A voter no better than
    chance counts nothing.
    """
    p = min(max(competence, 0.0), 0.999)
    return max(0.0, math.log(p * (classes - 1) / (1.0 - p))) if p > 0 and classes > 1 else 0.0


def average(opinions: Sequence[Opinion], middle: str = "median") -> float | None:
    """Median or mean of the answers that are numbers; None if there is none."""
    numbers = sorted(n for o in opinions if (n := as_number(o.answer)) is not None)
    if not numbers:
        return None
    if middle == "mean":
        return sum(numbers) / len(numbers)
    half = len(numbers) // 2
    return numbers[half] if len(numbers) % 2 else (numbers[half - 1] + numbers[half]) / 2


def as_number(answer: str | None) -> float | None:
    """A finite number, or None."""
    if answer is None:
        return None
    try:
        number = float(answer.replace(",", ""))
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def borda(rankings: Sequence[Sequence[str]]) -> dict[str, float]:
    """Borda scores: the first of m candidates gets m - 1 points, the last 0; candidates left out get none."""
    candidates = {name for ranking in rankings for name in ranking}
    scores = dict.fromkeys(sorted(candidates), 0.0)
    for ranking in rankings:
        for place, name in enumerate(ranking):
            scores[name] += len(candidates) - 1 - place
    return scores


def conclude(
    session: Session,
    question: Question,
    opinions: Sequence[Opinion],
    *,
    rounds: int,
    weights: Mapping[str, float] | None = None,
    agent: str = "team",
    what: str = "vote",
    reason: str = "",
    parents: Sequence[str] = (),
) -> Outcome:
    """Count the opinions, record the decision with its facts, and return the outcome."""
    result = tally(question, opinions, weights)
    facts: dict[str, object] = {"answer": result.answer, "votes": result.votes, "supporters": result.supporters}
    if weights is not None:
        facts["weights"] = {o.agent: round(weights.get(o.agent, 1.0), 4) for o in opinions}
    if reason:
        facts["reason"] = reason
    event = session.decide(agent, what, parents or [o.event for o in opinions], **facts)
    return Outcome(result.answer, result.text, event, result.votes, rounds)
