"""Diversity of a stored team run: n agents, K* = x, and whether more agents would help.

Three ways of embedding (arXiv 2602.03794): per question (one text for each agent, all its rounds joined), per round
(mean embedding over the questions that all agents answered), and cumulative text per round, which grows with the
length of the talk and is diagnostic only.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from shoal.diagnosis.conversation import Conversation
from shoal.diagnosis.diversity import (
    effective_channels,
    equal_cosines,
    gram_channels,
    marginal_channels,
    redundancy,
    round_average,
    shuffled_channels,
    spectrum,
)
from shoal.diagnosis.sections import ANALYSES, Bar, Section
from shoal.models.interface import Embedder
from shoal.models.opening import open_embedder

Array = NDArray[np.float64]

ADDS, ADDS_LITTLE = 0.5, 0.15
"""Channels that the last agent must have added for "more would help", and below which they would not."""
MOST_SHOWN = 16
DROWNED = 1.3
"""K* of shuffled questions below which style and boilerplate make up nearly all that is embedded."""


@dataclass(frozen=True)
class Spoken:
    """What a team said.

    Attributes:
        agents: names.
        texts: ``texts[question][agent]`` lists what it said, one text for each round; empty if silent.
        checked: whether the outcome was right, for the questions where somebody checked.
    """

    agents: tuple[str, ...]
    texts: list[list[list[str]]]
    checked: list[bool]

    @property
    def rounds(self) -> int:
        """The most rounds that any agent spoke on a question."""
        return max((len(said) for team in self.texts for said in team), default=0)

    def joined(self, rounds: int | None = None) -> list[list[str]]:
        """One text for each question and agent: its first ``rounds`` rounds (all without it)."""
        return [["\n".join(said[:rounds]) for said in team] for team in self.texts]

    def of_round(self, number: int) -> list[list[str]]:
        """What each said in that round, from 0; empty if nothing."""
        return [[said[number] if number < len(said) else "" for said in team] for team in self.texts]


def spoken(conversations: Sequence[Conversation]) -> Spoken:
    """The agents' own words in a run, question by question; tools, users and failures are left out.

    Where any question was talked about by two agents or more, those of one speaker (a baseline's) are left out.
    """
    texts = [
        {
            agent: said
            for agent in c.agents
            if (said := [s.text for s in c.of(agent) if s.kind == "said" and s.text.strip()])
        }
        for c in conversations
    ]
    fewest = 2 if any(len(team) > 1 for team in texts) else 1
    kept = [(team, c.correct) for team, c in zip(texts, conversations, strict=True) if len(team) >= fewest]
    agents = tuple(dict.fromkeys(agent for team, _ in kept for agent in team))
    checked = [correct for _, correct in kept if correct is not None]
    return Spoken(agents, [[team.get(agent, []) for agent in agents] for team, _ in kept], checked)


@dataclass(frozen=True)
class TeamDiversity:
    """The figures of one run.

    Attributes:
        names: of the agents.
        questions: how many were talked about.
        skipped: times that an agent said nothing to a question.
        embedder: what embedded the texts.
        channels: K* per question, then the mean.
        eigenvalues: mean shares, the greatest first [agents].
        by_round: K* of the agents' mean embeddings, by round.
        cumulative: mean K* of all that was said up to each round.
        marginal: what each agent adds to K*, by name.
        redundancy: mean cosine of each pair [agents, agents].
        growth: mean K* of subteams by size [agents].
        null: K* where each agent's texts are dealt to other questions; None for fewer than three questions.
        accuracy: share of right outcomes; None where nobody checked.
    """

    names: tuple[str, ...]
    questions: int
    skipped: int
    embedder: str
    channels: float
    eigenvalues: list[float]
    by_round: list[float]
    cumulative: list[float]
    marginal: dict[str, float]
    redundancy: list[list[float]]
    growth: list[float]
    null: float | None
    accuracy: float | None


@ANALYSES.register("diversity")
def diversity(conversations: Sequence[Conversation], embedder: str = "") -> Section:
    """K* of the run by all three modes, what each agent adds, redundant pairs, the null, and accuracy beside it."""
    team = spoken(conversations)
    if not team.agents:
        return Section("diversity", "No agent said anything: there is nothing to compare.", (), {"agents": 0})
    found = asyncio.run(measured(team, open_embedder(embedder or "ngrams")))
    bars = [Bar(f"eigenvalue {i + 1}", share, f"{share:.3f}") for i, share in enumerate(found.eigenvalues[:MOST_SHOWN])]
    return Section("diversity", _headline(found), _lines(found), {"agents": len(found.names), **asdict(found)}, bars)


async def measured(team: Spoken, embedder: Embedder) -> TeamDiversity:
    """All figures of a team that said something."""
    rows = await _embedded(embedder, team.joined())
    rounds = range(min(team.rounds, MOST_SHOWN))
    apart = [await _embedded(embedder, team.of_round(r)) for r in rounds]
    joined = [await _embedded(embedder, team.joined(r + 1)) for r in rounds]
    return TeamDiversity(
        names=team.agents,
        questions=len(rows),
        skipped=int((np.linalg.norm(rows, axis=2) == 0).sum()),
        embedder=embedder.name,
        channels=float(effective_channels(rows, team.agents).mean()),
        eigenvalues=_mean_shares(rows).tolist(),
        by_round=[round_average(part) for part in apart],
        cumulative=[float(np.nanmean(effective_channels(part))) for part in joined],
        marginal=dict(zip(team.agents, _mean_marginals(rows).tolist(), strict=True)),
        redundancy=_mean_cosines(rows).tolist(),
        growth=growth(rows).tolist(),
        null=float(shuffled_channels(rows, np.random.default_rng(0)).mean()) if len(rows) > 2 else None,
        accuracy=float(np.mean(team.checked)) if team.checked else None,
    )


def growth(rows: Array, most: int = 200) -> Array:
    """Mean K* of subteams by size, 1 to n [n]: all subteams, or ``most`` of them where there are more.

    Args:
        rows: embeddings [questions, n, d].
        most: subteams looked at for each size.
    """
    from itertools import combinations, islice

    gram = redundancy(rows)
    agents, rng = gram.shape[-1], np.random.default_rng(0)
    found = []
    for size in range(1, agents + 1):
        every = list(islice(combinations(range(agents), size), most + 1))
        if len(every) > most:
            every = [tuple(rng.choice(agents, size, replace=False)) for _ in range(most)]
        sets = np.array(every)
        found.append(float(np.nanmean([_of_subset(gram, subset) for subset in sets])))
    return np.array(found)


def _of_subset(gram: Array, subset: NDArray[np.intp]) -> float:
    found = gram_channels(gram[:, subset[:, None], subset[None, :]])
    return float(np.nanmean(found)) if np.isfinite(found).any() else float("nan")


async def _embedded(embedder: Embedder, texts: list[list[str]]) -> Array:
    rows = await embedder.embed([text for team in texts for text in team])
    return rows.reshape(len(texts), len(texts[0]), -1)


def _mean_shares(rows: Array) -> Array:
    """Eigenvalue shares, the greatest first, averaged over questions [agents]."""
    shares = np.zeros((len(rows), rows.shape[1]))
    for i, question in enumerate(rows):
        found = spectrum(question).shares[: rows.shape[1]]
        shares[i, : len(found)] = found
    return np.asarray(shares.mean(axis=0))


def _mean_marginals(rows: Array) -> Array:
    """What each agent adds to K*, averaged over the questions on which it spoke [agents]."""
    spoke = np.linalg.norm(rows, axis=2) > 0
    added = np.stack([marginal_channels(question) for question in rows])
    return np.asarray((added * spoke).sum(axis=0) / np.maximum(1, spoke.sum(axis=0)))


def _mean_cosines(rows: Array) -> Array:
    """Cosine of each pair, averaged over the questions to which both spoke [agents, agents]."""
    spoke = np.linalg.norm(rows, axis=2) > 0
    both = (spoke[:, :, None] & spoke[:, None, :]).sum(axis=0)
    total = redundancy(rows).sum(axis=0)
    return np.asarray(np.divide(total, both, out=np.zeros(both.shape), where=both > 0).round(6))


def _headline(found: TeamDiversity) -> str:
    agents = len(found.names)
    return f"{agents} agent{'s' * (agents != 1)}, K* = {found.channels:.2f}. {_advice(found)}"


def _advice(found: TeamDiversity) -> str:
    """Whether more agents would help, from what the last one added on average."""
    if len(found.growth) < 2:
        return "One agent is one channel: nothing can be said about more."
    if found.null is not None and found.null < DROWNED:
        return (
            f"Even answers to different questions look alike (K* = {found.null:.2f}): boilerplate drowns the rest; "
            "embed the reasoning only, or take a better embedder."
        )
    added = found.growth[-1] - found.growth[-2]
    if added >= ADDS:
        return f"The last agent still added {added:.2f} channels: more agents of this kind may help."
    if added <= ADDS_LITTLE:
        return f"The last agent added {added:.2f} channels: more of the same would not help; another kind might."
    return f"The last agent added {added:.2f} channels: more agents would add little by little."


def _lines(found: TeamDiversity) -> list[str]:
    known = found.accuracy is not None
    lines = [f"accuracy {found.accuracy:.2f}" if known else "accuracy unknown: K* alone rewards noise"]
    lines.append("K* by team size: " + ", ".join(f"{k:.2f}" for k in found.growth[:MOST_SHOWN]))
    agents = len(found.names)
    if agents > 1:
        pairs = [(found.redundancy[i][j], found.names[i], found.names[j]) for i in range(agents) for j in range(i)]
        cosine, one, two = max(pairs)
        mean = float(np.clip(np.mean([p[0] for p in pairs]), 0.0, 1.0))
        lines.append(f"mean cosine {mean:.2f}; most alike: {one} and {two} ({cosine:.2f})")
        lines.append(f"{2 * agents} agents of this kind would come to about K* = {equal_cosines(2 * agents, mean):.2f}")
    if found.null is not None:
        lines.append(f"null (answers to different questions): K* = {found.null:.2f}")
    if found.skipped:
        lines.append(f"{found.skipped} times an agent said nothing to a question; skipped")
    return lines
