"""Experiments on exact matrices and on synthetic families, where accuracy, information and K* have known targets."""

from __future__ import annotations

import numpy as np

from shoal.runs.study import Trial
from shoal.studies.agent_scaling.config import (
    BY_CHANNELS,
    BY_NUMBER,
    DIFFERENT,
    DUPLICATE,
    EQUAL,
    GOOD,
    INDEPENDENT,
    MISLED,
    PAIR,
    PAIR_OFF,
    SINGLE,
    SIXTEEN,
    SIZES,
    UNEQUAL,
    ByVariant,
    Config,
)

COSINES = (0.0, 0.25, 0.5, 0.9, 1.0)
MISLEADING = (0, 1, 2, 3)
"""Families of wrong agents that are added, one step after the other."""


def closed_form(trial: Trial[Config]) -> dict[str, list[float]]:
    """|K* - closed form| for n = 2 to 64 and five cosines, from vectors; both formulas of the code beside it."""
    from shoal.diagnosis.diversity import centred_channels, effective_channels, equal_cosines

    errors, other = [], []
    for n in range(2, 65):
        for r in COSINES:
            values, vectors = np.linalg.eigh(np.full((n, n), r) + (1.0 - r) * np.eye(n))
            rows = vectors * np.sqrt(np.clip(values, 0.0, None))
            target = equal_cosines(n, r)
            errors.append(abs(float(effective_channels(rows)) - target))
            if r == 0.9:
                other.append(centred_channels(rows) - target)
    return {"error": errors, "centred formula - K*": other}


def duplicates(trial: Trial[Config]) -> ByVariant:
    """K* after adding a copy of an agent, and after adding an agent with a random direction of its own."""
    from shoal.diagnosis.diversity import effective_channels
    from shoal.diagnosis.families import embed, team

    rng, config = trial.rng("directions"), trial.config
    found: ByVariant = {DUPLICATE: {"K*": [], "gain": []}, INDEPENDENT: {"K*": [], "gain": []}}
    for n in (2, 4, 8, 16):
        families = int(rng.integers(1, n + 1))
        rows = embed(team(n, families, 0.5, config.within, config.between), 1, config.dimensions, rng)[0]
        before = float(effective_channels(rows))
        for variant, new in ((DUPLICATE, rows[rng.integers(n)]), (INDEPENDENT, rng.normal(size=config.dimensions))):
            after = float(effective_channels(np.vstack([rows, new])))
            found[variant]["K*"].append(after)
            found[variant]["gain"].append(after - before)
    return found


def equivalence(trial: Trial[Config]) -> ByVariant:
    """Two different agents against sixteen equal ones, by mean score and by plurality, with diversity on and off."""
    from shoal.diagnosis.diversity import gram_channels
    from shoal.diagnosis.families import play, team

    c = trial.config
    teams = {
        SINGLE: team(1, 1, c.competence, c.within, c.between),
        PAIR: team(2, 2, c.competence, c.within, c.between),
        PAIR_OFF: team(2, 2, c.competence, c.within, c.within),
        SIXTEEN: team(16, 1, c.competence, c.within, c.between),
    }
    played = play(list(teams.values()), c.questions, trial.derive("luck"))
    return {
        name: {
            "correct, mean score": played.averaged[i],
            "correct, plurality": played.voted[i],
            "ties": played.tied[i],
            "accuracy - target": float(played.averaged[i].mean() - found.accuracy()),
            "K*, target": float(gram_channels(found.correlation())),
        }
        for i, (name, found) in enumerate(teams.items())
    }


def scaling(trial: Trial[Config]) -> ByVariant:
    """Accuracy and K* by team size, for copies of one agent and for agents that are a family each."""
    from shoal.diagnosis.diversity import effective_channels, gram_channels
    from shoal.diagnosis.families import embed, play, team

    c, rng = trial.config, trial.rng("directions")
    found: ByVariant = {EQUAL: {}, DIFFERENT: {}}
    teams = {(kind, n): team(n, 1 if kind == EQUAL else n, c.competence, c.within, c.between)
             for kind in found for n in SIZES}  # fmt: skip
    played = play(list(teams.values()), c.questions, trial.derive("luck"))
    for i, ((kind, n), players) in enumerate(teams.items()):
        channels = float(effective_channels(embed(players, c.embedded, c.dimensions, rng)).mean())
        target = float(gram_channels(players.correlation()))
        found[kind] |= {
            f"correct n={n}": played.averaged[i],
            f"K* n={n}": channels,
            f"relative error of K* n={n}": abs(channels - target) / target,
        }
    return found


def configurations(config: Config) -> list[tuple[int, int, float, float]]:
    """The sweep: agents, families, rho_w, rho_b."""
    sweep = []
    for n in SIZES:
        sweep += [(n, 1, within, 0.0) for within in (0.5, config.within, 0.95)]
        for families in sorted({f for f in (2, 4, n) if 1 < f <= n}):
            sweep += [(n, families, config.within, between) for between in (0.0, config.between, 0.6)]
    return list(dict.fromkeys(sweep))


def saturation(trial: Trial[Config]) -> ByVariant:
    """R^2 of information = 1 - exp(-rate x) over the sweep, with x = K* (measured from embeddings) and with x = n.

    Twice: with one competence for all agents, as the law has one usefulness per channel, and with unequal ones.
    """
    from shoal.diagnosis.diversity import effective_channels, fit_saturation
    from shoal.diagnosis.families import embed, play, team

    c, rng = trial.config, trial.rng("directions")
    found: ByVariant = {BY_CHANNELS: {}, BY_NUMBER: {}}
    for spread, condition in ((0.0, ""), (c.spread, UNEQUAL)):
        teams = [team(n, f, c.competence, within, between, spread) for n, f, within, between in configurations(c)]
        gained = play(teams, c.questions, trial.derive("luck")).information
        channels = np.array([effective_channels(embed(t, c.embedded, c.dimensions, rng)).mean() for t in teams])
        for name, x in ((BY_CHANNELS, channels), (BY_NUMBER, np.array([float(t.agents) for t in teams]))):
            fit = fit_saturation(x, gained, ceiling=1.0)
            found[name] |= {
                f"R2{condition}": fit.r_squared,
                f"rank correlation{condition}": _rank_correlation(x, gained),
                f"rate{condition}": fit.rate,
                f"x{condition}": x,
                f"information{condition}": gained,
            }
    return found


def misleading(trial: Trial[Config]) -> ByVariant:
    """Families with a < 0 are added to a family that is right: K*, K*_effective and accuracy step by step."""
    from shoal.diagnosis.diversity import effective_channels, judged_channels
    from shoal.diagnosis.families import Families, embed, play

    c, rng = trial.config, trial.rng("directions")
    teams = [
        Families((1.0,) * 4 + (-0.5,) * (2 * added), (0,) * 4 + tuple(1 + i // 2 for i in range(2 * added)), c.within,
                 c.between) for added in MISLEADING
    ]  # fmt: skip
    played, embedded = play(teams, c.questions, trial.derive("luck")), min(c.questions, 5 * c.embedded)
    found: ByVariant = {}
    for i, (players, added) in enumerate(zip(teams, MISLEADING, strict=True)):
        rows = embed(players, embedded, c.dimensions, rng)
        right = played.right[i, :embedded, : players.agents]
        judged = judged_channels(rows, right)
        found[f"{MISLED}: {added}" if added else GOOD] = {
            "correct, mean score": played.averaged[i],
            "correct, plurality": played.voted[i],
            "K*": effective_channels(rows),
            "K* effective": judged.effective,
        }
    return found


def modes(trial: Trial[Config]) -> dict[str, float]:
    """Round-average mode hides what differs from question to question; random text has more channels than any team.

    Two agents have independent vectors on each question around one common mean: K* per question is nearly 2, K* of the
    round averages nearly 1.
    """
    from shoal.diagnosis.diversity import effective_channels, round_average
    from shoal.models.embedders import CharacterNgrams

    rng, d = trial.rng("directions"), trial.config.dimensions
    rows = rng.normal(size=(400, 2, d)) / np.sqrt(d) + 0.3 * np.eye(d)[0]
    letters = np.array(list("abcdefghijklmnopqrstuvwxyz "))
    noise = ["".join(rng.choice(letters, 200)) for _ in range(4)]
    steps = [f"She has {a} eggs and eats {b}, so {a} - {b} = {a - b} are left." for a, b in rng.integers(1, 20, (4, 2))]
    embedder = CharacterNgrams()
    return {
        "K* per question": float(effective_channels(rows).mean()),
        "K* of round averages": round_average(rows),
        "K* of random text": float(effective_channels(embedder.rows(noise))),
        "K* of four short solutions": float(effective_channels(embedder.rows(steps))),
    }


def _rank_correlation(x: np.ndarray, y: np.ndarray) -> float:
    from scipy.stats import spearmanr

    return float(spearmanr(x, y).statistic)
