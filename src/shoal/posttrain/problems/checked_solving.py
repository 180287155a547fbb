"""Solve, check, solve again: the orchestration of Dr. MAS for mathematics (arXiv 2602.08847, section 5).

A generator answers, a verifier says yes or no to the answer, and after a no a refiner answers, told what was refused.
The last attempt is not checked: it counts anyway. A reply of the verifier that does not end in "no" approves, as in the
paper. Departures: the paper's solver is two roles here, since first and later attempts are different work and meet
different rewards (later ones are asked for only where the team is about to fail), and there are three attempts.

Prompts are as short as they can be, because the roles are networks over characters. The verifier writes the sum before
its verdict: without it a network of 0.1 M parameters did not learn to judge in 1,200 steps.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

from shoal.errors import InputError
from shoal.models.causal.tokenizers import Tokenizer
from shoal.posttrain.rollouts import Rollout
from shoal.posttrain.tiny import Example
from shoal.tasks.answers import extract
from shoal.tasks.problem import Problem, Question
from shoal.teams.agent import Agent
from shoal.teams.outcome import Outcome
from shoal.teams.protocols.aggregation import Opinion, conclude
from shoal.teams.protocols.asking import Call, Post, own_and, poll
from shoal.teams.session import Message, Session

GENERATOR, VERIFIER, REFINER = ROLES = ("generator", "verifier", "refiner")
YES, NO = "yes", "no"
ATTEMPTS = 3
"""Most answers to one question."""
NEAR = 8
"""Lures that stand for wrong answers in examples: those that miss the sum by least."""


def attempt_prompt(question: Question, refused: Sequence[str] = ()) -> str:
    """What generator and refiner read: the question, and the answers that were refused."""
    return "\n".join([question.text, *(f"{NO} {answer}" for answer in refused)])


def check_prompt(question: Question, answer: str) -> str:
    """What the verifier reads: the proposed answer, then the question."""
    return f"{answer}?\n{question.text}"


async def solve_and_check(
    question: Question, agents: Sequence[Agent], session: Session, *, attempts: int = ATTEMPTS
) -> Outcome:
    """A team function for a generator, a verifier and a refiner, in this order."""
    generator, verifier, refiner = agents
    post, heard, refused = Post(session), list[Message](), list[str]()
    standing: Opinion | None = None
    for number in range(attempts):
        writer = refiner if number else generator
        prompt = attempt_prompt(question, refused)
        tried = (await poll(session, question, [Call(writer, prompt, own_and(None, heard))]))[0]
        if tried.answer is None:
            continue
        standing = tried
        if number + 1 == attempts:
            break
        post.send(writer.name, [verifier.name], tried.answer, (tried.event,))
        seen = own_and(None, post.read(verifier.name))
        call = Call(verifier, check_prompt(question, tried.answer), seen)
        verdict = (await poll(session, question, [call], answer=False))[0]
        if approves(verdict.text):
            break
        refused.append(tried.answer)
        post.send(verifier.name, [refiner.name], f"{NO} {tried.answer}", (verdict.event,))
        heard += post.read(refiner.name)
    return conclude(session, question, [standing] if standing else [], rounds=len(refused) + 1, what="approved answer")


def approves(verdict: str) -> bool:
    """Whether a verdict lets an answer pass: all do that do not end in "no"."""
    return verdict.lower().split()[-1:] != [NO]


def attempts_and_verdicts(rollout: Rollout) -> list[float]:
    """What each call came to, for the credit rule ``step``: 1 for a right attempt, and for a right verdict on one.

    Raises:
        InputError: a verdict on an attempt that is not in the rollout, since a frozen seat wrote it.
    """
    outcomes, right = list[float](), None
    for turn in rollout.turns:
        if turn.agent != VERIFIER:
            right = bool(rollout.problem.check(extract(rollout.problem.question, turn.text)))
            outcomes.append(float(right))
        elif right is None:
            raise InputError("credit", "step", "It judges a verdict by the attempt before it; train who wrote that.")
        else:
            outcomes.append(float(approves(turn.text) == right))
    return outcomes


async def answer_and_vote(
    question: Question, agents: Sequence[Agent], session: Session, *, samples: int = 1
) -> Outcome:
    """A team function for a generator alone: several answers at once, the most frequent one counts."""
    calls = [Call(agents[0], attempt_prompt(question))] * samples
    return conclude(session, question, await poll(session, question, calls), rounds=1)


def attempt_example(problem: Problem, rng: random.Random, tokenizer: Tokenizer) -> Example:
    """A right reply of generator or refiner, after none to two refused wrong answers."""
    near = problem.lures[:NEAR]
    refused = rng.sample(near, min(rng.randrange(ATTEMPTS), len(near)))
    return _example(attempt_prompt(problem.question, refused), problem.answer, tokenizer)


def check_example(problem: Problem, rng: random.Random, tokenizer: Tokenizer, rightly: float = 0.5) -> Example:
    """A right verdict on the right answer, shown ``rightly`` of the time, or on a wrong one.

    Whoever has seldom seen a wrong answer approves too much.
    """
    right = rng.random() < rightly or not problem.lures
    answer = problem.answer if right else rng.choice(problem.lures[:NEAR])
    total = sum(int(digit) for digit in answer)
    return _example(check_prompt(problem.question, answer), f"{total} {YES if right else NO}", tokenizer)


def _example(prompt: str, reply: str, tokenizer: Tokenizer) -> Example:
    ids = tokenizer.encode_chat([{"role": "user", "content": prompt}])
    return Example(ids, [*tokenizer.encode(reply), *tokenizer.end])
