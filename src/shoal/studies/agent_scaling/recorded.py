"""Real evidence: four published models' recorded answers to 1,319 problems, as mixed teams and as copies.

One reply of each model was recorded. A copy of a model therefore repeats its answer and its words: sixteen copies are
one channel and one answer, as equal agents at temperature 0 are. Recorded answers cannot be revised, and they carry no
confidence, so that two voters only tie; weights come from the other half of the problems.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from shoal.runs.study import Trial
from shoal.studies.agent_scaling.config import (
    BEST_COPIES,
    BY_CHANNELS,
    BY_NUMBER,
    ORACLE,
    PLURALITY,
    RANDOM_COPIES,
    TEXTS,
    WEIGHTED,
    ByVariant,
    Config,
)

Array = NDArray[np.float64]


async def recorded(trial: Trial[Config], embedder: str = "ngrams") -> ByVariant:
    """Copies against mixed teams, and K* of the mixed teams' texts, on a bootstrap sample of questions for the fits."""
    from shoal.models.recorded import gsm8k_recordings

    recordings = gsm8k_recordings()
    if recordings is None:
        raise RuntimeError("the recordings have gone since the run began")
    count = trial.config.recorded_questions if embedder == "ngrams" else trial.config.minilm_questions
    right = recordings.correct.T[:count].astype(float)
    found = votes(right, _codes(count), trial.rng("order"))
    rows, padded = await _rows(embedder, count)
    return found | texts(right, _codes(count), rows, padded, trial.rng("texts"))


async def recorded_minilm(trial: Trial[Config]) -> ByVariant:
    """The same with a sentence embedder."""
    return await recorded(trial, "minilm")


def votes(right: Array, codes: NDArray[np.int_], rng: np.random.Generator) -> ByVariant:
    """Ways of deciding among four models; what is held out is learned on the other half of the questions.

    Args:
        right: whether each model is right [questions, models].
        codes: answers as integers [questions, models]; -1 for none.
        rng: splits the questions and breaks ties.
    """
    from shoal.teams.protocols.aggregation import OPEN_CLASSES, log_odds

    questions = len(right)
    half = rng.permutation(questions) < questions // 2
    known = np.where(half[:, None], right[~half].mean(axis=0), right[half].mean(axis=0))
    weights = np.vectorize(lambda p: log_odds(p, OPEN_CLASSES))(known)
    every = np.arange(questions)
    plural, tied = elected(codes, np.ones_like(weights), rng)
    weighted, _ = elected(codes, weights, rng)
    return {
        RANDOM_COPIES: {"correct": right.mean(axis=1), "ties": np.zeros(questions)},
        BEST_COPIES: {"correct": right[every, known.argmax(axis=1)], "ties": np.zeros(questions)},
        PLURALITY: {"correct": right[every, plural], "ties": tied},
        WEIGHTED: {"correct": right[every, weighted], "ties": np.zeros(questions)},
        ORACLE: {"correct": right.max(axis=1), "ties": np.zeros(questions)},
    }


def elected(codes: NDArray[np.int_], weights: Array, rng: np.random.Generator) -> tuple[NDArray[np.intp], Array]:
    """A member that gave the answer with the greatest weight, ties at random [questions], and whether it was a tie."""
    same = (codes[:, :, None] == codes[:, None, :]) & (codes[:, :, None] >= 0)
    support = np.where(codes >= 0, (same * weights[:, None, :]).sum(axis=2), -1.0)
    chosen = (support + 1e-9 * rng.random(support.shape)).argmax(axis=1)
    leading = np.isclose(support, support.max(axis=1, keepdims=True))
    first = np.take_along_axis(codes, chosen[:, None], axis=1)
    return chosen, (leading & (codes != first)).any(axis=1).astype(float)


def texts(
    right: Array, codes: NDArray[np.int_], rows: Array, with_question: Array, rng: np.random.Generator
) -> ByVariant:
    """What K* of the replies tells about these teams.

    Args:
        right: whether each model is right [questions, models].
        codes: answers as integers [questions, models].
        rows: embedded replies [questions, models, d].
        with_question: the same with the question before each reply, as boilerplate.
        rng: shuffles for the null and resamples questions for the fits.
    """
    from shoal.diagnosis import diversity as k

    drawn = rng.integers(0, len(right), len(right))
    channels = k.effective_channels(rows)
    judged = k.judged_channels(rows, right)
    pairs = list(combinations(range(right.shape[1]), 2))
    cosines = np.asarray(k.redundancy(rows).mean(axis=0))
    errors = np.asarray(np.corrcoef(right.T))
    found: ByVariant = {
        TEXTS: {
            "K*": channels,
            "K*, questions shuffled": k.shuffled_channels(rows, rng),
            "K*, question embedded too": k.effective_channels(with_question),
            "K* effective": judged.effective,
            "disagreement": np.nan_to_num(k.disagreement(codes)),
            "share right": right.mean(axis=1),
            "cosine of pairs": [cosines[i, j] for i, j in pairs],
            "error correlation of pairs": [errors[i, j] for i, j in pairs],
            "marginal K*": channels.mean() - _without_each(rows),
        }
    }
    return found | fits(right[drawn], rows[drawn])


def fits(right: Array, rows: Array) -> ByVariant:
    """R^2 of coverage = 1 - exp(-rate x) over all 15 teams of the four models, with x = K* and with x = n.

    Coverage, the share of questions that some member solves, is what a perfect reader of the answers could get out.
    """
    from shoal.diagnosis.diversity import fit_saturation, gram_channels, redundancy

    gram, models = redundancy(rows), right.shape[1]
    teams = [np.array(t) for n in range(1, models + 1) for t in combinations(range(models), n)]
    channels = np.array([gram_channels(gram[:, t[:, None], t]).mean() for t in teams])
    number = np.array([float(len(t)) for t in teams])
    coverage = np.array([right[:, t].max(axis=1).mean() for t in teams])
    fitted = {BY_CHANNELS: channels, BY_NUMBER: number}
    return {name: {"R2": fit_saturation(x, coverage, 1.0).r_squared, "x": x, "coverage": coverage}
            for name, x in fitted.items()}  # fmt: skip


def _without_each(rows: Array) -> Array:
    from shoal.diagnosis.diversity import effective_channels

    return np.array([effective_channels(np.delete(rows, i, axis=1)).mean() for i in range(rows.shape[1])])


@lru_cache(maxsize=2)
def _codes(count: int) -> NDArray[np.int_]:
    from shoal.models.recorded import gsm8k_recordings
    from shoal.teams.self_organisation.selection import answer_codes

    recordings = gsm8k_recordings()
    assert recordings is not None
    return np.array(
        [answer_codes(problem.question, [recordings.answers[m][i] for m in recordings.models])
         for i, problem in enumerate(recordings.problems[:count])]
    )  # fmt: skip


_EMBEDDED: dict[tuple[str, int], tuple[Array, Array]] = {}


async def _rows(spec: str, count: int) -> tuple[Array, Array]:
    """Replies embedded alone and with their question; once for all seeds of a process."""
    from shoal.models.opening import open_embedder
    from shoal.models.recorded import gsm8k_recordings
    from shoal.teams.self_organisation.selection import embed_teams

    if (spec, count) not in _EMBEDDED:
        recordings = gsm8k_recordings()
        assert recordings is not None
        asked = [p.question.text for p in recordings.problems[:count]]
        said: Mapping[str, tuple[str, ...]] = recordings.texts
        alone = [[said[m][i] for m in recordings.models] for i in range(count)]
        both = [[f"{question}\n{text}" for text in team] for question, team in zip(asked, alone, strict=True)]
        embedder = open_embedder(spec)
        _EMBEDDED[spec, count] = await embed_teams(embedder, alone), await embed_teams(embedder, both)
    return _EMBEDDED[spec, count]
