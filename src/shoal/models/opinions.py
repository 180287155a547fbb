"""Correlated opinions of agents with known competence, as arrays: what scripted teams are made of.

Answers are classes: 0 is right, 1 to ``options - 1`` are the distinct wrong answers of the question.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from shoal.errors import InputError


def common_factor(
    competence: NDArray[np.float64], correlation: float
) -> tuple[float, NDArray[np.float64], NDArray[np.float64]]:
    """The two-point factor under which any two agents' correctness has exactly that Pearson correlation.

    A question is favourable with chance ``share``, and given that the agents err independently, agent i with accuracy
    ``p_i + sqrt(rho p_i q_i) z`` (q = 1 - p), where z has mean 0 and variance 1 over the two states. So the marginals
    are kept and every covariance is rho sqrt(p_i q_i p_j q_j). The favourable odds are the geometric mean of the
    extreme agents' odds, which keeps all accuracies within 0 and 1 for every correlation that two such agents can have
    at all (Frechet's bound).

    Args:
        competence: accuracies p [agents], each from 0 to 1. Those of 0 or 1 have no correlation and stay as they are.
        correlation: rho, from 0 to 1.

    Returns:
        ``share``, and the accuracies [agents] in the favourable and in the other state.

    Raises:
        InputError: an accuracy or the correlation is out of range, or no joint distribution has that correlation.
    """
    p = np.asarray(competence, dtype=float)
    if p.size == 0 or not np.all((p >= 0) & (p <= 1)):
        raise InputError("competence", p.tolist(), "Give accuracies from 0 to 1.")
    if not 0 <= correlation <= 1:
        raise InputError("correlation", correlation, "Give a number from 0 to 1.")
    unsure = p[(p > 0) & (p < 1)]
    if correlation == 0 or unsure.size == 0:
        return 0.5, p, p
    odds = unsure / (1 - unsure)
    most = math.sqrt(float(odds.min() / odds.max()))
    if correlation > most + 1e-9:
        raise InputError(
            "correlation",
            correlation,
            f"Agents right {unsure.min():g} and {unsure.max():g} of the time can have at most {most:.3g}.",
        )
    middle = math.sqrt(float(odds.min()) * float(odds.max()))
    share = middle / (1 + middle)
    spread = np.sqrt(correlation * p * (1 - p))
    high = np.clip(p + spread / math.sqrt(middle), 0, 1)  # z = sqrt((1 - share) / share)
    low = np.clip(p - spread * math.sqrt(middle), 0, 1)
    return share, high, low


def draw_answers(
    rng: np.random.Generator,
    questions: int,
    competence: ArrayLike,
    correlation: float = 0.0,
    lure: float = 0.0,
    options: int = 4,
    agents: int | None = None,
) -> NDArray[np.int64]:
    """First opinions of a team.

    Args:
        rng: source of randomness.
        questions: how many questions.
        competence: each agent's accuracy [agents]; one number is shared by ``agents`` agents.
        correlation: Pearson correlation of the correctness of any two agents on a question, see ``common_factor``.
        lure: chance that all wrong agents of a question give the same wrong answer; otherwise each picks one for
            itself, all equally likely.
        options: answer classes, the right one included; at least 2.
        agents: number of agents where ``competence`` is one number (1 if left out).

    Returns:
        Classes [questions, agents]: 0 is right.

    Raises:
        InputError: an argument is out of range.
    """
    if options < 2:
        raise InputError("options", options, "Give at least 2: the right answer and a wrong one.")
    if not 0 <= lure <= 1:
        raise InputError("lure", lure, "Give a chance from 0 to 1.")
    p = np.atleast_1d(np.asarray(competence, dtype=float))
    if agents is not None:
        p = np.broadcast_to(p, (agents,))
    share, high, low = common_factor(p, correlation)
    favourable = rng.random((questions, 1)) < share
    right = rng.random((questions, p.size)) < np.where(favourable, high, low)
    wrong = rng.integers(1, options, (questions, p.size))
    lured = rng.random((questions, 1)) < lure
    wrong = np.where(lured, rng.integers(1, options, (questions, 1)), wrong)
    return np.where(right, 0, wrong)


def revise(
    rng: np.random.Generator,
    answers: NDArray[np.int64],
    seen: ArrayLike,
    sycophancy: ArrayLike,
    weight: ArrayLike = 1.0,
) -> NDArray[np.int64]:
    """One round of conformity: each agent may adopt the most frequent answer among the peers that it sees.

    An agent whose answer is among the most frequent ones keeps it; another tie is broken at random. An agent that
    sees nobody keeps its answer; its own voice never counts.

    Args:
        rng: source of randomness.
        answers: classes [questions, agents]; a negative one is no answer, which nobody adopts.
        seen: whether agent i reads agent j [agents, agents], or that for each question [questions, agents, agents].
        sycophancy: chance to adopt, one number or one for each agent; 0 is a stubborn agent.
        weight: how much an agent's voice counts with others, one number or one for each agent; more than 1 is loud.

    Returns:
        The new classes [questions, agents].
    """
    count = answers.shape[1]
    reads = np.asarray(seen, dtype=np.float32) * np.broadcast_to(np.asarray(weight, dtype=np.float32), (count,))
    reads = reads * (1 - np.eye(count, dtype=np.float32))
    classes = int(answers.max(initial=0)) + 1
    given = (answers[:, :, None] == np.arange(classes)).astype(np.float32)
    support = np.matmul(reads, given)  # [questions, agents, classes]
    best = support.max(axis=2)
    own = np.take_along_axis(support, np.maximum(answers, 0)[:, :, None], axis=2)[:, :, 0]
    content = (answers >= 0) & (own >= best)
    leader = np.argmax(np.where(support >= best[:, :, None], rng.random(support.shape, np.float32), -1.0), axis=2)
    gives_way = rng.random(answers.shape) < np.broadcast_to(np.asarray(sycophancy, dtype=float), (count,))
    return np.where(gives_way & (best > 0) & ~content, leader, answers)
