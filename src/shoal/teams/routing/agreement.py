"""Voting rewards agreement, not truth: a pool whose weak agents err together, under the paper's winner bonus.

Five agents answer every task in chains; the weighted vote over chains picks the answer, and the chains that gave it are
rewarded. One agent is good and errs alone. The others are weak and share their errors with correlation rho (a Gaussian
copula), and a wrong one gives the lure that they have in common with probability rho. This world is our own: the paper
simulates none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shoal.errors import InputError, UnknownName
from shoal.teams.routing import beacon
from shoal.teams.routing.linucb import BatchedLinUCB, Radius

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

CHAIN_WEIGHTS = np.array([1.0, 0.9, 0.8])
"""Weights of the three chains: any two that agree outvote the third."""

TRUTH, LURE = 0, 1


@dataclass(frozen=True)
class Feedback:
    """Who is rewarded, and how.

    Attributes:
        truth: reward 1 for a right answer; otherwise the bonus goes to chains with the winning answer.
        losers: chains that lost the vote are told 0; the paper's losers are told nothing.
        step_reward: the step reward 1 (the call worked) is added to the bonus.
        twice: step reward and bonus are two updates with the same features, not one with their sum.
    """

    truth: bool = False
    losers: bool = False
    step_reward: bool = False
    twice: bool = False


FEEDBACK: Mapping[str, Feedback] = {
    "truth": Feedback(truth=True, losers=True),
    "winners only": Feedback(),
    "winners and losers": Feedback(losers=True),
    "summed once": Feedback(losers=True, step_reward=True),
    "counted twice": Feedback(losers=True, step_reward=True, twice=True),
}


@dataclass(frozen=True)
class AgreementLog:
    """What happened.

    Attributes:
        voted_right: whether the vote's answer was right [S, T].
        first_strong: whether the first chain went to the strong agent [S, T].
        rewarded_wrong: share of the bonuses given so far that went to wrong answers, per seed [S].
        width: mean confidence width of the five agents at the end [S], without the radius.
    """

    voted_right: NDArray[np.bool_]
    first_strong: NDArray[np.bool_]
    rewarded_wrong: Floats
    width: Floats


def draw_answers(generators: Sequence[np.random.Generator], tasks: int, competence: Floats, rho: float) -> Integers:
    """Answers [S, T, A]: 0 is right, 1 the lure in common, 2 + j agent j's own error. Agent 0 errs alone.

    Raises:
        InputError: a correlation outside [0, 1].
    """
    if not 0 <= rho <= 1:
        raise InputError("rho", rho, "Give a correlation from 0 to 1.")
    from scipy.special import ndtr

    agents = competence.size
    out = []
    for g in generators:
        common, own, lured = (
            g.standard_normal((tasks, 1)),
            g.standard_normal((tasks, agents)),
            g.random((tasks, agents)),
        )
        mixed = np.sqrt(rho) * common + np.sqrt(1 - rho) * own
        mixed[:, 0] = own[:, 0]
        wrong = np.where(lured < rho, LURE, 2 + np.arange(agents))
        wrong[:, 0] = 2
        out.append(np.where(ndtr(mixed) < competence, TRUTH, wrong))
    return np.stack(out)


def vote(answers: Integers, weights: Floats) -> Integers:
    """The answer [S] with most weight among chains' answers [S, K]; the first chain's among equals."""
    support = ((answers[:, :, None] == answers[:, None, :]) * weights[None, None, :]).sum(-1)
    return np.take_along_axis(answers, support.argmax(axis=1)[:, None], axis=1)[:, 0]


def run_agreement(name: str, answers: Integers, radius: Radius, bonus: float = 0.5) -> AgreementLog:
    """Route all tasks under one kind of feedback.

    Args:
        name: one of FEEDBACK.
        answers: what each agent would say [S, T, A], shared by all kinds of feedback.
        radius: of the bandit, which sees reputation and identity.
        bonus: for the steps of a winning chain.

    Raises:
        UnknownName: no such feedback.
    """
    if name not in FEEDBACK:
        raise UnknownName("feedback", name, FEEDBACK)
    feedback = FEEDBACK[name]
    seeds, tasks, agents = answers.shape
    rows = np.arange(seeds)[:, None]
    bandit = BatchedLinUCB(seeds, len(beacon.FEATURES) + agents, 1, radius)
    reputation = np.full((seeds, agents), beacon.UNKNOWN)
    right, first = np.zeros((seeds, tasks), bool), np.zeros((seeds, tasks), bool)
    bonuses, wrong_bonuses = np.zeros(seeds), np.zeros(seeds)
    x = np.empty(0)
    for t in range(tasks):
        x = beacon.features(beacon.UNKNOWN, 0.0, 500.0, reputation, 1.0, identity=True)
        # Each chain takes the best agent that this sub-task has not used yet.
        chain = np.argsort(-bandit.scores(x), axis=1, kind="stable")[:, : CHAIN_WEIGHTS.size]
        said = answers[rows, t, chain]
        winner = vote(said, CHAIN_WEIGHTS)
        right[:, t], first[:, t] = winner == TRUTH, chain[:, 0] == 0
        won = said == TRUTH if feedback.truth else said == winner[:, None]
        bonuses += won.sum(1)
        wrong_bonuses += (won & (said != TRUTH)).sum(1)
        reputation[rows, chain] += beacon.REPUTATION_RATE * (won - reputation[rows, chain])
        _learn(bandit, feedback, x[rows, chain], won, bonus)
    width = bandit.widths(x).mean(axis=1)
    return AgreementLog(right, first, wrong_bonuses / np.maximum(bonuses, 1), width)


def _learn(bandit: BatchedLinUCB, feedback: Feedback, x: Floats, won: NDArray[np.bool_], bonus: float) -> None:
    for k in range(x.shape[1]):
        told = np.ones(len(won), bool) if feedback.losers else won[:, k]
        earned = np.where(won[:, k], 1.0 if feedback.truth else bonus, 0.0)
        if feedback.step_reward and not feedback.twice:
            bandit.update(x[:, k], earned + bonus, learn=told)
        else:
            if feedback.step_reward:
                bandit.update(x[:, k], np.full(len(won), bonus), learn=told)
            bandit.update(x[:, k], earned, learn=told)
