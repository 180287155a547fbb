"""Routing among real models whose answers are on record: the live router, fed from a log instead of by calls.

The router sees the question's text (its similarity to what each model says of itself, and a difficulty bin counted
from the text) and rewards; the recorded correctness is used for grading alone.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from shoal.errors import InputError, UnknownName
from shoal.tasks.problem import Question
from shoal.teams.routing import beacon
from shoal.teams.routing.beacon import Bid, Candidate, SubTask
from shoal.teams.routing.chains import step_reward
from shoal.teams.routing.router import Router, RouterSettings

Integers = NDArray[np.int64]

_NUMBERS = re.compile(r"\d+")


@dataclass(frozen=True)
class Log:
    """Recorded answers of a pool.

    Attributes:
        candidates: the models, as the router knows them.
        answers: final answers [models, problems], None where none can be read; for votes.
        correct: whether they are right [models, problems]; for grading.
        similarity: question text against capability text [problems, models].
        difficulty: bin of each question [problems], from its text.
        length: tokens of each reply [models, problems]; stands for latency.
    """

    candidates: tuple[Candidate, ...]
    answers: tuple[tuple[str | None, ...], ...]
    correct: NDArray[np.bool_]
    similarity: NDArray[np.float64]
    difficulty: tuple[str, ...]
    length: NDArray[np.float64]


CAPABILITIES = {
    "6b_finetuning": "a small model; one attempt at a grade-school word problem in arithmetic",
    "6b_verification": "a small model; the best of 100 attempts at a grade-school word problem, picked by a verifier",
    "175b_finetuning": "a large model; one attempt at a grade-school word problem in arithmetic",
    "175b_verification": "a large model; the best of 100 attempts at a grade-school word problem, picked by a verifier",
}
"""What each recorded model says of itself: size and method as its publisher describes them (arXiv 2110.14168)."""

SIZES_OF_MODELS = {"6b": 6.0, "175b": 175.0}


@lru_cache(maxsize=1)
def gsm8k_log() -> Log | None:
    """The four models' answers as the router's replay needs them; None where the file is absent."""
    from shoal.models.embedders import CharacterNgrams
    from shoal.models.recorded import gsm8k_recordings

    r = gsm8k_recordings()
    if r is None:
        return None
    embed = CharacterNgrams()
    questions = [p.question for p in r.problems]
    similarity = embed.rows([q.text for q in questions]) @ embed.rows([CAPABILITIES.get(m, m) for m in r.models]).T
    return Log(
        candidates=tuple(Candidate(m, CAPABILITIES.get(m, m), _cost(m)) for m in r.models),
        answers=tuple(r.answers[m] for m in r.models),
        correct=r.correct,
        similarity=similarity,
        difficulty=tuple(difficulty_bin(q) for q in questions),
        length=np.array([[len(text) / 4 for text in r.texts[m]] for m in r.models]),
    )


def no_recordings() -> str | None:
    """Why the recorded answers cannot be had here, with the mend; None if they can."""
    from shoal.tasks.datasets import absent

    return absent("gsm8k-recordings")


def _cost(model: str) -> float:
    """Billions of parameters times attempts: what a call costs in proportion."""
    size = SIZES_OF_MODELS.get(model.partition("_")[0], 1.0)
    return size * (100.0 if "verification" in model else 1.0)


@dataclass(frozen=True)
class Split:
    """Problems of the three phases, by position; they share none."""

    cold: Integers
    learn: Integers
    test: Integers


def split(problems: int, rng: np.random.Generator, shares: tuple[float, float] = (0.1, 0.7)) -> Split:
    """A random split; ``shares`` are those of the cold and the learn phase, the rest is the test.

    Raises:
        InputError: nothing is left for the test.
    """
    cold, learn = shares
    if cold < 0 or learn < 0 or cold + learn >= 1:
        raise InputError("phase shares", shares, "Leave some of the problems for the test.")
    order = rng.permutation(problems)
    first, second = round(cold * problems), round((cold + learn) * problems)
    return Split(order[:first], order[first:second], order[second:])


def difficulty_bin(question: Question, easy: int = 3) -> str:
    """``easy`` for a text with at most that many numbers in it, else ``hard``: all that can be told before solving."""
    return "easy" if len(_NUMBERS.findall(question.text)) <= easy else "hard"


@dataclass(frozen=True)
class Teaching:
    """What the router is told in the learn phase.

    Attributes:
        reward: ``truth``, or ``agreement`` with a vote of ``samples`` different models.
        quorum: votes an answer needs to win. With 1, as in the code, a model wins a vote in which nobody agrees with it
            if it was asked first, so that the favourite rewards itself.
        reduced: narrow the confidence radius.
        identity: one-hot of the model among the features.
        keep_radius: keep the confidence bonus in the test phase, where nothing shrinks it.
        cold_priors: see RouterSettings.
        learn: whether there is a learn phase at all (else only the cold start).
    """

    reward: str = "truth"
    quorum: int = 1
    reduced: bool = False
    identity: bool = False
    keep_radius: bool = False
    cold_priors: bool = True
    learn: bool = True


ROUTED: Mapping[str, Teaching] = {
    "routed, truth": Teaching(),
    "routed, truth, reduced": Teaching(reduced=True),
    "routed, truth, identity": Teaching(identity=True),
    "routed, agreement": Teaching("agreement"),
    "routed, agreement, reduced": Teaching("agreement", reduced=True),
    "routed, agreement of two": Teaching("agreement", quorum=2),
    "routed, agreement of two, reduced": Teaching("agreement", quorum=2, reduced=True),
    "routed, no format priors": Teaching(cold_priors=False),
    "routed, radius kept": Teaching(keep_radius=True),
    "routed, cold start only": Teaching(learn=False),
}
BASELINES = ("random", "round robin", "strongest in hindsight", "best of the learn phase", "vote of all", "oracle")


@dataclass(frozen=True)
class Played:
    """A test phase.

    Attributes:
        correct: per test problem [n].
        calls: calls per test problem.
        training_calls: calls in the phases before.
        chosen: model per test problem [n]; -1 where several were asked.
    """

    correct: NDArray[np.bool_]
    calls: float
    training_calls: int
    chosen: Integers


def play_baseline(name: str, log: Log, parts: Split, rng: np.random.Generator) -> Played:
    """One baseline on the test problems.

    ``strongest in hindsight`` knows the accuracies on all problems, the test included; ``best of the learn phase``
    asks every model about the cold and learn problems and keeps the best one.

    Raises:
        UnknownName: no such baseline.
    """
    test, models = parts.test, len(log.candidates)
    seen = np.concatenate([parts.cold, parts.learn])
    columns = np.arange(test.size)
    training = 0
    if name == "vote of all":
        return Played(np.array([_vote_right(log, p) for p in test]), models, 0, np.full(test.size, -1))
    if name == "oracle":
        return Played(np.asarray(log.correct[:, test].any(axis=0)), 1.0, 0, log.correct[:, test].argmax(axis=0))
    if name == "random":
        chosen = rng.integers(0, models, test.size)
    elif name == "round robin":
        chosen = columns % models
    elif name == "strongest in hindsight":
        chosen = np.full(test.size, int(log.correct.mean(axis=1).argmax()))
    elif name == "best of the learn phase":
        chosen = np.full(test.size, int(log.correct[:, seen].mean(axis=1).argmax()))
        training = models * seen.size
    else:
        raise UnknownName("baseline", name, BASELINES)
    return Played(log.correct[:, test][chosen, columns], 1.0, training, chosen)


def play_routed(name: str, log: Log, parts: Split, settings: RouterSettings) -> Played:
    """Cold start, learn, then test without updates, by the live router. Raises UnknownName."""
    if name not in ROUTED:
        raise UnknownName("routed", name, ROUTED)
    teaching = ROUTED[name]
    router = Router(log.candidates, settings)
    calls = 0
    for turn, problem in enumerate(parts.cold):
        router.rest()
        bid = _bids(router, log, int(problem))[turn % len(log.candidates)]
        _cold(router, log, int(problem), bid, settings)
        calls += 1
    for problem in parts.learn if teaching.learn else ():
        calls += _learn(router, log, int(problem), teaching, settings)
    chosen = np.zeros(parts.test.size, int)
    for i, problem in enumerate(parts.test):
        router.rest()
        chosen[i] = router.choose(_bids(router, log, int(problem)), "test").agent
    return Played(log.correct[:, parts.test][chosen, np.arange(chosen.size)], 1.0, calls, chosen)


def routed_settings(name: str, settings: RouterSettings, reduced: float) -> RouterSettings:
    """The settings with what the teaching changes about them; ``reduced`` is the factor of a narrowed radius."""
    teaching = ROUTED[name]
    radius = settings.radius
    if teaching.reduced:
        radius = replace(radius, scale=radius.scale * reduced)
    return replace(
        settings,
        radius=radius,
        identity=teaching.identity,
        explore_in_test=teaching.keep_radius,
        cold_priors=teaching.cold_priors,
    )


def _task(log: Log, problem: int) -> SubTask:
    return SubTask("Solve the task.", "gsm8k", log.difficulty[problem])


def _bids(router: Router, log: Log, problem: int) -> list[Bid]:
    return router.bids(_task(log, problem), log.similarity[problem].tolist())


def _latency(log: Log, bid: Bid, problem: int) -> float:
    from shoal.teams.routing.team import MS_PER_TOKEN

    return MS_PER_TOKEN * float(log.length[bid.agent, problem])


def _cold(router: Router, log: Log, problem: int, bid: Bid, settings: RouterSettings) -> None:
    took = _latency(log, bid, problem)
    worked = log.answers[bid.agent][problem] is not None
    router.observe(bid, worked, took)
    reward = step_reward(worked, float(beacon.latency_norm(took)), settings.latency_weight)
    router.learn(bid, _task(log, problem), reward, reward if settings.cold_priors else None)


def _learn(router: Router, log: Log, problem: int, teaching: Teaching, settings: RouterSettings) -> int:
    """One learn task; returns its calls."""
    router.rest()
    bids, task = _bids(router, log, problem), _task(log, problem)
    asked = [router.choose(bids)]
    while teaching.reward == "agreement" and len(asked) < min(settings.samples, len(bids)):
        asked.append(router.choose(bids, now=[b.name for b in asked]))
    if teaching.reward == "truth":
        earned = [float(log.correct[b.agent, problem]) for b in asked]
    else:
        winner = _plurality([log.answers[b.agent][problem] for b in asked], teaching.quorum)
        earned = [float(winner is not None and log.answers[b.agent][problem] == winner) for b in asked]
    for bid, reward in zip(asked, earned, strict=True):
        router.observe(bid, bool(reward), _latency(log, bid, problem))
        router.learn(bid, task, reward, reward)
    return len(asked)


def _plurality(answers: Sequence[str | None], quorum: int = 1) -> str | None:
    """The answer most often given, the first among equals; None below the quorum."""
    counts: dict[str, int] = {}
    for answer in answers:
        if answer is not None:
            counts[answer] = counts.get(answer, 0) + 1
    best = max(counts, key=lambda a: counts[a], default=None)
    return best if best is not None and counts[best] >= quorum else None


def _vote_right(log: Log, problem: int) -> bool:
    """Whether the plurality of all models is right; the first model's answer among equals."""
    answers = [row[problem] for row in log.answers]
    winner = _plurality(answers)
    return winner is not None and bool(log.correct[answers.index(winner), problem])
