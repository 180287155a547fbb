"""Agents in families whose correlations are known, so that a team's accuracy, information and K* have known targets.

On a question with truth y = +1 or -1 agent i of family g has the score

    y a_i + sqrt(rho_b) u + sqrt(rho_w - rho_b) v_g + sqrt(1 - rho_w) e_i        (u, v, e standard normal)

and answers its sign. Errors correlate by rho_w within a family and by rho_b between families; a sets competence, a
single agent is right with probability Phi(a). Synthetic by construction: a result from here is about the measure and
the ways of deciding, not about language models. Whole sweeps of teams are one compiled batch on common random numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import expit
from numpy.typing import NDArray

from shoal.errors import InputError

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Families:
    """A team of synthetic agents.

    Attributes:
        competence: a of each agent [n]; below 0 for agents that are wrong more often than right.
        family: number of each agent's family [n].
        within: correlation of errors in a family, rho_w in [0, 1].
        between: correlation across families, rho_b in [0, rho_w].
    """

    competence: tuple[float, ...]
    family: tuple[int, ...]
    within: float
    between: float

    def __post_init__(self) -> None:
        if not 0.0 <= self.between <= self.within <= 1.0:
            raise InputError("between", self.between, f"Give a correlation from 0 to that within, {self.within}.")
        if len(self.competence) != len(self.family) or not self.family:
            raise InputError("competence", len(self.competence), f"Give one for each of the {len(self.family)} agents.")

    @property
    def agents(self) -> int:
        """How many agents it has."""
        return len(self.family)

    def correlation(self) -> Array:
        """Correlation of the agents' errors [n, n]; also the Gram matrix of their embeddings."""
        family = np.array(self.family)
        matrix = np.where(family[:, None] == family[None, :], self.within, self.between)
        np.fill_diagonal(matrix, 1.0)
        return matrix

    def accuracy(self) -> float:
        """Chance that the mean score has the right sign, Phi(mean a / sqrt(variance of the mean))."""
        from scipy.stats import norm

        return float(norm.cdf(np.mean(self.competence) / np.sqrt(self.correlation().mean())))

    def information(self) -> float:
        """I(Y; scores) in bits, at most 1: a binary channel in Gaussian noise of signal-to-noise a' C^-1 a."""
        a = np.array(self.competence)
        power = float(a @ np.linalg.pinv(self.correlation()) @ a)
        nodes, weights = np.polynomial.hermite_e.hermegauss(80)
        loss = np.logaddexp(0.0, -2.0 * (power + np.sqrt(power) * nodes)) / np.log(2.0)
        return float(1.0 - (weights * loss).sum() / weights.sum())


def team(agents: int, families: int, competence: float, within: float, between: float, spread: float = 0.0) -> Families:
    """A team dealt evenly over families: agent i belongs to family i mod ``families``.

    Args:
        agents: n, at least 1.
        families: at most n; 1 for copies of one agent.
        competence: mean a.
        within: correlation in a family.
        between: correlation across families.
        spread: half the range of a over the agents, evenly spaced.

    Raises:
        InputError: more families than agents, or none.
    """
    if not 1 <= families <= agents:
        raise InputError("families", families, f"Give a whole number from 1 to the number of agents, {agents}.")
    steps = np.linspace(-spread, spread, agents) if agents > 1 else np.zeros(1)
    return Families(tuple(competence + steps), tuple(i % families for i in range(agents)), within, between)


@dataclass(frozen=True)
class Played:
    """What teams did on the same questions; one row for each team.

    Attributes:
        averaged: whether the mean score has the right sign [teams, questions].
        voted: chance that a plurality of signs is right, a tie counting half [teams, questions].
        tied: whether the vote was a tie [teams, questions].
        right: whether each agent is right [teams, questions, agents of the largest team]; 0 beyond a team's own.
        information: bits about y in the scores, read by weights fitted on the other half of the questions [teams].
    """

    averaged: Array
    voted: Array
    tied: Array
    right: Array
    information: Array


def play(teams: Sequence[Families], questions: int, seed: int) -> Played:
    """Let teams answer the same questions with the same luck.

    Args:
        teams: of any sizes; smaller ones are padded and masked.
        questions: how many, at least 20.
        seed: of the luck, shared by all teams.

    Raises:
        InputError: fewer than 20 questions, or no team.
    """
    if questions < 20 or not teams:
        raise InputError("questions", questions, "Give 20 questions or more, and at least one team.")
    width = max(t.agents for t in teams)

    def padded(values: Sequence[float] | Sequence[int], fill: float) -> list[float]:
        return [*values, *[fill] * (width - len(values))]

    found = _play(
        jax.random.key(seed % 2**32),
        jnp.array([padded(t.competence, 0.0) for t in teams]),
        jnp.array([padded(t.family, width - 1) for t in teams], jnp.int32),
        jnp.array([[t.within, t.between] for t in teams]),
        jnp.array([t.agents for t in teams]),
        questions=questions,
    )
    return Played(*(np.asarray(part, float) for part in found))


def embed(players: Families, questions: int, dimensions: int, rng: np.random.Generator) -> Array:
    """Embeddings whose cosines are the error correlations, up to the noise of finite dimensions.

    Returns:
        Unit rows [questions, n, dimensions]; fresh directions for each question.
    """
    kinds = max(players.family) + 1
    normal = rng.normal(size=(questions, 1 + kinds + players.agents, dimensions)) / np.sqrt(dimensions)
    common, by_family, own = normal[:, :1], normal[:, 1 : 1 + kinds], normal[:, 1 + kinds :]
    shared = np.sqrt(players.within - players.between) * by_family[:, list(players.family)]
    rows = np.sqrt(players.between) * common + shared + np.sqrt(1.0 - players.within) * own
    return np.asarray(rows / np.linalg.norm(rows, axis=2, keepdims=True))


@partial(jax.jit, static_argnames="questions")
def _play(
    key: jax.Array, competence: jax.Array, family: jax.Array, correlation: jax.Array, agents: jax.Array, questions: int
) -> tuple[jax.Array, ...]:
    width = competence.shape[1]
    keys = jax.random.split(key, 4)
    truth = jnp.where(jax.random.bernoulli(keys[0], 0.5, (questions,)), 1.0, -1.0)
    luck = (
        jax.random.normal(keys[1], (questions, 1)),
        jax.random.normal(keys[2], (questions, width)),
        jax.random.normal(keys[3], (questions, width)),
    )
    one = partial(_play_team, truth, luck)
    return jax.vmap(one)(competence, family, correlation, agents)


def _play_team(
    truth: jax.Array,
    luck: tuple[jax.Array, jax.Array, jax.Array],
    competence: jax.Array,
    family: jax.Array,
    correlation: jax.Array,
    agents: jax.Array,
) -> tuple[jax.Array, ...]:
    common, by_family, own = luck
    within, between = correlation
    here = jnp.arange(competence.shape[0]) < agents
    noise = jnp.sqrt(between) * common + jnp.sqrt(within - between) * by_family[:, family] + jnp.sqrt(1 - within) * own
    scores = jnp.where(here, truth[:, None] * competence + noise, 0.0)
    averaged = scores.sum(axis=1) * truth > 0
    votes = jnp.sign(scores).sum(axis=1) * truth
    voted = jnp.where(votes == 0, 0.5, votes > 0)
    return averaged, voted, votes == 0, scores * truth[:, None] > 0, _usable_bits(scores, truth, here)


def _usable_bits(scores: jax.Array, truth: jax.Array, here: jax.Array) -> jax.Array:
    """1 - E[log2(1 + exp(-y llr))] on the second half, llr = 2 a' C^-1 z with a and C estimated on the first half."""
    half = scores.shape[0] // 2
    fit, fit_truth, rest, rest_truth = scores[:half], truth[:half], scores[half:], truth[half:]
    centre = (fit * fit_truth[:, None]).mean(axis=0)
    noise = fit - fit_truth[:, None] * centre
    covariance = noise.T @ noise / half + jnp.diag(jnp.where(here, 1e-4, 1.0))
    llr = 2.0 * rest @ jnp.linalg.solve(covariance, centre)
    return 1.0 + jnp.log2(jnp.clip(expit(rest_truth * llr), 1e-12)).mean()
