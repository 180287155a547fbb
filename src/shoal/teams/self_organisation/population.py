"""Controlled agents: thousands of questions at once, with known competence (evidence: scripted).

An agent is a probability of being right; a reader takes over an upstream answer with a fixed probability *whatever the
answer is*. Answers are integers: 0 is right, 1 to K - 1 are wrong; only the final scoring looks at which is which.

Reading is neutral on purpose: one upstream message is drawn at random and, if it differs, adopted with probability a.
Every agent's chance of being right then stays p under any graph that does not depend on the answers, so whatever a
team gains comes from its graph and its selection. (Drawing among the *differing* messages only would not be neutral:
it moves agents away from majorities.)
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from shoal.errors import InputError
from shoal.teams.self_organisation.contribution import (
    AggregateMode,
    ContributionRule,
    aggregate,
    consensus,
    contributions,
    unit_rows,
)
from shoal.teams.self_organisation.graph import EdgeRule, Graph, build_graph, random_graph, resolve_threshold

Ablation = Literal["none", "shuffle", "random-graph"]


@dataclass(frozen=True)
class Population:
    """What the agents are like.

    Attributes:
        competence: probability p that an answer is right.
        lure: probability rho that on a question all wrong answers are the same one.
        agents: team size N.
        options: answers K per question, one of them right; at least 2.
        noise: length of the embedding noise over that of the signal.
        dimensions: of the embeddings; at least ``options``.
        adoption: probability a that a reader takes over an upstream answer that differs.
    """

    competence: float
    lure: float = 0.0
    agents: int = 5
    options: int = 8
    noise: float = 0.0
    dimensions: int = 64
    adoption: float = 0.6

    def __post_init__(self) -> None:
        for name in ("competence", "lure", "adoption"):
            if not 0 <= getattr(self, name) <= 1:
                raise InputError(name, getattr(self, name), "Give a probability.")
        if self.agents < 1 or self.options < 2 or self.dimensions < self.options or self.noise < 0:
            raise InputError(
                "population", self, "It needs agents >= 1, options >= 2, dimensions >= options and noise >= 0."
            )

    @property
    def wrong_agreement(self) -> float:
        """Probability that two agents give the same wrong answer: the lemma's sum of p_k squared over wrong k."""
        return (1 - self.competence) ** 2 * (self.lure + (1 - self.lure) / (self.options - 1))


@dataclass(frozen=True)
class Draws:
    """All chance of a set of questions, drawn before any team plays, so that teams meet the same luck.

    Attributes:
        population: what the agents are like.
        answers: independent answers [questions, samples]; the first N are the team's own, the rest are for votes.
        noise: embedding noise [questions, rounds + 1, agents, dimensions], of expected squared length 1; empty where
            the population has none. Drawn last, so that the noise leaves all other luck as it is.
        source: uniform numbers that pick the message read [questions, rounds, agents].
        adopt: uniform numbers that decide on adopting it [questions, rounds, agents].
        shuffle: uniform numbers that rank agents in ablations [questions, rounds + 1, agents].
        pairs: uniform numbers that pick random edges [questions, rounds, pairs].
        ties: uniform numbers that break ties between answers in votes [questions, options].
    """

    population: Population
    answers: NDArray[np.int_]
    noise: NDArray[np.float32]
    source: NDArray[np.float64]
    adopt: NDArray[np.float64]
    shuffle: NDArray[np.float64]
    pairs: NDArray[np.float64]
    ties: NDArray[np.float64]

    @property
    def rounds(self) -> int:
        """Rounds that were drawn for."""
        return int(self.source.shape[1])


def draw(population: Population, questions: int, rounds: int, rng: np.random.Generator) -> Draws:
    """Draw answers and luck; populations of the same shape meet the same random numbers for the same generator."""
    n, k = population.agents, population.options
    samples = n * (rounds + 1)
    right = rng.random((questions, samples))
    lured = rng.random((questions, 1)) < population.lure
    bait = rng.integers(1, k, (questions, 1))
    wrong = np.where(lured, bait, rng.integers(1, k, (questions, samples)))
    answers = np.where(right < population.competence, 0, wrong)
    luck = Draws(
        population,
        answers,
        noise=np.empty(0, np.float32),
        source=rng.random((questions, rounds, n)),
        adopt=rng.random((questions, rounds, n)),
        shuffle=rng.random((questions, rounds + 1, n)),
        pairs=rng.random((questions, rounds, n * (n - 1) // 2)),
        ties=rng.random((questions, k)),
    )
    if population.noise == 0:
        return luck
    noise = rng.standard_normal((questions, rounds + 1, n, population.dimensions), dtype=np.float32)
    return replace(luck, noise=noise / np.float32(np.sqrt(population.dimensions)))


@dataclass(frozen=True)
class Played:
    """What teams came to.

    Attributes:
        answer: final answer per question [questions].
        calls: model calls per question [questions].
        edges: edges used per question, over all rounds [questions].
    """

    answer: NDArray[np.int_]
    calls: NDArray[np.int_]
    edges: NDArray[np.int_]

    @property
    def correct(self) -> NDArray[np.float64]:
        """1 where the final answer is right [questions]."""
        return np.asarray(self.answer == 0, float)


@dataclass(frozen=True)
class Rules:
    """How SelfOrg is set; see ``self_organise`` for the meaning. ``contribution`` None follows ``rule``.

    A threshold "quantile:Q" is calibrated over all questions of the batch at once.
    """

    rule: EdgeRule = "paper"
    contribution: ContributionRule | None = None
    aggregate: AggregateMode = "centre"
    threshold: float | str = -1.0
    neighbours: int = 2
    rounds: int = 2
    reform: bool = True
    consensus: float = 0.95
    spread: float = 0.1
    ablation: Ablation = "none"

    @property
    def contribution_rule(self) -> ContributionRule:
        """The contribution formula in use."""
        return self.contribution or self.rule


def embed(draws: Draws, answers: NDArray[np.int_], turn: NDArray[np.int_]) -> NDArray[np.float64]:
    """Unit embeddings [questions, agents, dimensions]: the answer's class vector plus noise.

    Args:
        draws: the luck.
        answers: answer of each agent [questions, agents].
        turn: the round in which each agent last wrote [questions, agents]; the same text keeps its noise.
    """
    population = draws.population
    signal: NDArray[np.float64] = np.eye(population.dimensions)[answers]
    if population.noise == 0:
        return signal
    rows, agents = np.indices(answers.shape)
    return unit_rows(signal + population.noise * draws.noise[rows, turn, agents])


def self_organise_population(draws: Draws, rules: Rules | None = None) -> Played:
    """SelfOrg (steps 2 to 9) on all questions at once.

    Raises:
        InputError: more rounds than were drawn for.
    """
    rules = rules or Rules()
    if rules.rounds > draws.rounds:
        raise InputError("rounds", rules.rounds, f"At most {draws.rounds} were drawn for.")
    questions, agents = draws.answers.shape[0], draws.population.agents
    answers = draws.answers[:, :agents].copy()
    turn = np.zeros(answers.shape, int)
    calls, edges_used = np.full(questions, agents), np.zeros(questions, int)
    rows, psi = _look(draws, answers, turn, rules, 0)
    active = ~consensus(rows, psi, rules.consensus, rules.spread)
    graph: Graph | None = None
    for t in range(rules.rounds):
        if not active.any():
            break
        if graph is None or rules.reform:
            graph = _graph(draws, rows, psi, rules, t)
        called = _propagate(draws, graph, answers, t, active)
        turn[called] = t + 1
        calls += called.sum(axis=1)
        edges_used += np.where(active, graph.edges.sum(axis=(1, 2)), 0)
        rows, fresh = _look(draws, answers, turn, rules, t + 1)
        psi = np.where(active[:, None], fresh, psi)
        active &= ~consensus(rows, psi, rules.consensus, rules.spread)
    chosen = aggregate(rows, psi, rules.aggregate)
    return Played(answers[np.arange(questions), chosen], calls, edges_used)


def _look(
    draws: Draws, answers: NDArray[np.int_], turn: NDArray[np.int_], rules: Rules, t: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Embeddings and contributions; the ablation deals the contributions out to agents at random."""
    rows = embed(draws, answers, turn)
    psi = contributions(rows, rules.contribution_rule)
    if rules.ablation == "shuffle":
        psi = np.take_along_axis(psi, np.argsort(draws.shuffle[:, t], axis=1), axis=1)
    return rows, psi


def _graph(draws: Draws, rows: NDArray[np.float64], psi: NDArray[np.float64], rules: Rules, t: int) -> Graph:
    threshold, _ = resolve_threshold(rules.threshold, rows)
    graph = build_graph(rows, psi, rule=rules.rule, threshold=threshold, neighbours=rules.neighbours)
    if rules.ablation == "random-graph":
        return random_graph(graph.edges.sum(axis=(1, 2)), draws.pairs[:, t], draws.shuffle[:, t])
    return graph


def _propagate(
    draws: Draws, graph: Graph, answers: NDArray[np.int_], t: int, active: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """Step 7, in place: in speaking order, each agent with sources reads one and may adopt it.

    The first of the order refines alone (a call that changes nothing here); others without sources skip.

    Returns:
        Who was called [questions, agents].
    """
    called = np.zeros(answers.shape, bool)
    row = np.arange(len(answers))
    for position in range(answers.shape[1]):
        agent = graph.order[:, position]
        sources = graph.edges[row, :, agent]
        heard = sources.any(axis=1) & active
        called[row, agent] = (heard | (position == 0)) & active
        message = answers[row, _pick(sources, draws.source[row, t, agent])]
        taken = heard & (draws.adopt[row, t, agent] < draws.population.adoption)
        answers[row, agent] = np.where(taken, message, answers[row, agent])
    return called


def _pick(allowed: NDArray[np.bool_], uniform: NDArray[np.float64]) -> NDArray[np.intp]:
    """One allowed position per row, each as likely; 0 where none is allowed."""
    wanted = np.floor(uniform * allowed.sum(axis=1)).astype(int) + 1
    picked: NDArray[np.intp] = np.argmax(np.cumsum(allowed, axis=1) >= wanted[:, None], axis=1)
    return picked


def single(draws: Draws) -> Played:
    """One agent, one call."""
    return _flat(draws, draws.answers[:, 0], 1)


def vote(draws: Draws, samples: int | NDArray[np.int_]) -> Played:
    """Plurality over the first ``samples`` independent answers (one number, or one per question), ties at random.

    Raises:
        InputError: more samples than were drawn, or none.
    """
    count = np.broadcast_to(np.asarray(samples), (len(draws.answers),))
    most = draws.answers.shape[1]
    if count.min() < 1 or count.max() > most:
        raise InputError("samples", int(count.max()), f"From 1 to {most} were drawn.")
    counted = np.arange(most) < count[:, None]
    played = _flat(draws, _plurality(draws, draws.answers, counted), 0)
    return replace(played, calls=count.astype(int))


def debate(draws: Draws) -> Played:
    """Full-mesh debate: in each round everybody reads one of all the others at the same time; then a plurality vote."""
    agents = draws.population.agents
    answers = draws.answers[:, :agents].copy()
    others = ~np.eye(agents, dtype=bool)
    for t in range(draws.rounds if agents > 1 else 0):
        picked = np.stack(
            [_pick(np.tile(others[n], (len(answers), 1)), draws.source[:, t, n]) for n in range(agents)], axis=1
        )
        message = np.take_along_axis(answers, picked, axis=1)
        answers = np.where(draws.adopt[:, t] < draws.population.adoption, message, answers)
    final = _plurality(draws, answers, np.ones(answers.shape, bool))
    return _flat(draws, final, agents * (1 + draws.rounds), agents * (agents - 1) * draws.rounds)


def chain(draws: Draws) -> Played:
    """A chain walked once per round: each agent reads the one before it; the last one's answer counts."""
    agents = draws.population.agents
    answers = draws.answers[:, :agents].copy()
    for t in range(draws.rounds):
        for n in range(1, agents):
            taken = draws.adopt[:, t, n] < draws.population.adoption
            answers[:, n] = np.where(taken, answers[:, n - 1], answers[:, n])
    # The first agent refines alone in each round, as SelfOrg's does.
    return _flat(draws, answers[:, -1], agents * (1 + draws.rounds), (agents - 1) * draws.rounds)


def contribution_gap(draws: Draws, rule: ContributionRule = "paper") -> float:
    """Mean contribution of right answers less that of wrong ones, before any talk; NaN without one of the sorts."""
    agents = draws.population.agents
    answers = draws.answers[:, :agents]
    psi = contributions(embed(draws, answers, np.zeros(answers.shape, int)), rule)
    right = answers == 0
    if right.all() or not right.any():
        return float("nan")
    return float(psi[right].mean() - psi[~right].mean())


def _plurality(draws: Draws, answers: NDArray[np.int_], counted: NDArray[np.bool_]) -> NDArray[np.int_]:
    votes = (answers[:, :, None] == np.arange(draws.population.options)) & counted[:, :, None]
    return np.asarray((votes.sum(axis=1) + 0.5 * draws.ties).argmax(axis=1))


def _flat(draws: Draws, answer: NDArray[np.int_], calls: int, edges: int = 0) -> Played:
    questions = len(draws.answers)
    return Played(answer, np.full(questions, calls), np.full(questions, edges))
