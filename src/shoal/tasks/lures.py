"""Plausible wrong answers, for agents that err on purpose."""

from __future__ import annotations

from collections.abc import Iterator

from shoal.tasks.answers import canonical, number
from shoal.tasks.problem import Problem


def wrong_answers(problem: Problem, count: int) -> tuple[str, ...]:
    """Up to ``count`` distinct wrong answers of a problem, always in the same order.

    The problem's own lures come first; then, by kind: the other labels, the other truth value, numbers near the
    answer, the words in another order, or the words "something else".
    """
    question = problem.question
    seen = {canonical(question, problem.answer)}
    found: list[str] = []
    for candidate in (*problem.lures, *_candidates(problem, count)):
        if len(found) == count:
            break
        key = canonical(question, candidate)
        if key not in seen:
            seen.add(key)
            found.append(candidate)
    return tuple(found)


def _candidates(problem: Problem, count: int) -> Iterator[str]:
    question, answer = problem.question, problem.answer
    if question.kind == "choice":
        yield from question.options
    elif question.kind == "boolean":
        yield from ("Yes", "No") if question.tags.get("form") == "yes-no" else ("True", "False")
    elif question.kind == "number":
        value = number(answer)
        for step in range(1, 2 * count + 2):
            distance = step // 2 + step % 2
            if value is not None:
                yield canonical(question, str(value + (distance if step % 2 else -distance)))
    elif question.kind == "words":
        words = answer.split()
        for gap in range(1, len(words)):
            for start in range(len(words) - gap):
                swapped = list(words)
                swapped[start], swapped[start + gap] = swapped[start + gap], swapped[start]
                yield " ".join(swapped)
        yield " ".join(words[:-1])
    if question.kind in ("words", "text"):
        yield from (f"something else ({step})" for step in range(1, count + 2))
