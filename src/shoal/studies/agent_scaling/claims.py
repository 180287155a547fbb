"""Claims of the agent-scaling study and the checks behind them."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shoal.runs.checks import all_of, at_most, by_item, gaps
from shoal.runs.results import Results
from shoal.runs.study import Claim
from shoal.stats import Check, Estimate, exact, mean, paired_difference
from shoal.studies.agent_scaling.config import (
    BEST_COPIES,
    BY_CHANNELS,
    BY_NUMBER,
    COPIES,
    COPIES_MESH,
    DIFFERENT,
    DUPLICATE,
    EQUAL,
    GOOD,
    GREEDY,
    INDEPENDENT,
    MESH,
    MIXED,
    ORACLE,
    PADDED,
    PAIR,
    PAIR_OFF,
    PERSONAS,
    PLURALITY,
    RANDOM_COPIES,
    SAME_PERSONA,
    SAMPLES,
    SINGLE,
    SIXTEEN,
    SIZES,
    TEXTS,
    UNEQUAL,
    WEIGHTED,
)

Checks = Callable[[Results], list[Check]]
MEAN_SCORE, BY_VOTE = "correct, mean score", "correct, plurality"


def paired(experiment: str, one: str, two: str, metric: str, needs: int = 2, **region: Any) -> Checks:
    """The mean of one minus two, paired item by item, lies in the region."""

    def checks(results: Results) -> list[Check]:
        if not (results.has(experiment, one, metric) and results.has(experiment, two, metric)):
            return []
        found = results.difference(experiment, one, two, metric, per_item=True)
        return [Check(f"{metric}: {one} - {two}", found, needs=needs, **region)]

    return checks


def over_seeds(experiment: str, one: str, two: str, metric: str, **region: Any) -> Checks:
    """The same where seeds share their items: each item's mean over seeds is one unit."""

    def checks(results: Results) -> list[Check]:
        a, b = (_averaged(results, experiment, variant, metric) for variant in (one, two))
        if not a.size or a.size != b.size:
            return []
        return [Check(f"{metric}: {one} - {two}", paired_difference(a, b), **region)]

    return checks


def grown(variant: str, start: int, end: int, **region: Any) -> Checks:
    """What accuracy gains between two team sizes."""

    def checks(results: Results) -> list[Check]:
        (a, _), (b, _) = (results.items("scaling", variant, f"correct n={n}") for n in (end, start))
        return [Check(f"{variant}, {start} to {end} agents", mean(a - b), **region)] if a.size else []

    return checks


def more_often(experiment: str, share: float, condition: str = "") -> Checks:
    """The curve in K* has the higher R2 in at least that share of seeds."""

    def checks(results: Results) -> list[Check]:
        margin = gaps(results, experiment, BY_CHANNELS, BY_NUMBER, f"R2{condition}")
        if not margin.size:
            return []
        label = f"share of seeds with R2 of {BY_CHANNELS} above that of {BY_NUMBER}"
        return [Check(label, exact(float((margin > 0).mean()), margin.size), above=share)]

    return checks


def _averaged(results: Results, experiment: str, variant: str, metric: str) -> NDArray[np.float64]:
    values, seeds = results.items(experiment, variant, metric)
    return values.reshape(np.unique(seeds).size, -1).mean(axis=0) if values.size else values


def _every_duplicate(results: Results) -> list[Check]:
    found = gaps(results, "duplicates", INDEPENDENT, DUPLICATE, "gain")
    label = "smallest margin of an independent agent over a duplicate"
    return [Check(label, exact(float(found.min()), found.size), above=0.0)] if found.size else []


def _targets(results: Results) -> list[Check]:
    if not results.has("scaling"):
        return []
    worst = [
        results.mean("scaling", kind, f"relative error of K* n={n}") for kind in (EQUAL, DIFFERENT) for n in SIZES[1:]
    ]
    deciding = max(worst, key=lambda e: e.value)
    off = [abs(results.mean("equivalence", v, "accuracy - target").value) for v in (SINGLE, PAIR, PAIR_OFF, SIXTEEN)]
    return [
        Check("largest mean relative error of K*", deciding, below=0.03),
        *at_most(np.array(off), "largest |accuracy - Phi|, 4 teams, mean over seeds", bound=0.01),
    ]


def _misled(metric: str, **region: Any) -> Checks:
    def checks(results: Results) -> list[Check]:
        steps = [GOOD, *(v for v in results.variants("misleading") if v != GOOD)]
        found = []
        for before, after in pairwise(steps):
            rise = gaps(results, "misleading", after, before, metric)
            if rise.size:
                found.append(Check(f"{metric}: {after} - {before}", mean(rise), **region))
        return found

    return checks


def _metric_gap(experiment: str, variant: str, one: str, two: str, **region: Any) -> Checks:
    def checks(results: Results) -> list[Check]:
        a, b = (_averaged(results, experiment, variant, metric) for metric in (one, two))
        return [Check(f"{one} - {two}", paired_difference(a, b), **region)] if a.size else []

    return checks


def _seed_gap(experiment: str, variant: str, one: str, two: str, **region: Any) -> Checks:
    """One metric less another, seed by seed."""

    def checks(results: Results) -> list[Check]:
        a, b = (results.values(experiment, variant, metric) for metric in (one, two))
        return [Check(f"{one} - {two}", paired_difference(a, b), **region)] if a.size else []

    return checks


def _correlated(experiment: str, metric: str, **region: Any) -> Checks:
    """Pearson's r of K* and a metric over questions, with a bootstrap interval over questions."""

    def checks(results: Results) -> list[Check]:
        x, y = (_averaged(results, experiment, TEXTS, name) for name in ("K*", metric))
        if x.size < 10:
            return []
        drawn = np.random.default_rng(0).integers(0, x.size, (1000, x.size))
        sampled = [np.corrcoef(x[i], y[i])[0, 1] for i in drawn]
        low, high = np.quantile(sampled, (0.025, 0.975))
        r = Estimate(float(np.corrcoef(x, y)[0, 1]), float(low), float(high), x.size, method="bootstrap")
        return [Check(f"r(K*, {metric})", r, **region)]

    return checks


def _mean_of(experiment: str, variant: str, metric: str, **region: Any) -> Checks:
    def checks(results: Results) -> list[Check]:
        values = by_item(results, experiment, variant, metric)
        return [Check(f"{metric}, {variant}", mean(values), **region)] if values.size else []

    return checks


_RECORDED = "Real answers of four models of 2021. A copy repeats its model's one recorded answer, whatever n is."
_LIVE = "A few problems and one small model: prompt diversity only; --model takes any endpoint."

# fmt: off
CLAIMS = (
    Claim("closed-form", "K* equals its closed form within 1e-6 for n = 2 to 64 and cosines 0, .25, .5, .9, 1",
          "closed-form", lambda r: at_most(by_item(r, "closed-form", "K*", "error"), "largest error", 1e-6)),
    Claim("duplicates", "A duplicate raises K* by less than an independent agent does, in every seed",
          "duplicates", _every_duplicate),
    Claim("targets", "Synthetic teams hit their known accuracies (within 0.01) and K* (within 3%)",
          "scaling", _targets),
    Claim("equivalence", "Sixteen equal agents do not exceed two different ones (mean score, rho_w = .8, rho_b = .3)",
          "equivalence", paired("equivalence", PAIR, SIXTEEN, MEAN_SCORE, above=0.0)),
    Claim("diversity-off", "With rho_b = rho_w the two agents lose against the sixteen",
          "equivalence", paired("equivalence", PAIR_OFF, SIXTEEN, MEAN_SCORE, below=0.0)),
    Claim("tie-rule", "By plurality with random ties two different agents are no better than one (within 0.01)",
          "equivalence", paired("equivalence", PAIR, SINGLE, BY_VOTE, above=-0.01, below=0.01),
          "Two voters that differ tie: the equivalence needs score or confidence averaging."),
    Claim("plateau", "Equal agents stop gaining at about n = 4: less than 0.01 from 4 to 16",
          "scaling", grown(EQUAL, 4, 16, below=0.01)),
    Claim("still-rising", "Different agents still gain more than 0.01 from 4 to 8",
          "scaling", grown(DIFFERENT, 4, 8, above=0.01)),
    Claim("saturation", "1 - exp(-alpha K*) explains information better than the curve in n, in 18 of 20 seeds or more",
          "saturation", more_often("saturation", 0.9)),
    Claim("saturation-fit", "The curve in K* explains the information well: R2 of 0.8 or more (equal competence)",
          "saturation", _mean_of("saturation", BY_CHANNELS, "R2", above=0.8),
          "Ours: the page asks only which curve is better."),
    Claim("saturation-unequal", "The comparison holds with unequal competence too (18 of 20 seeds)",
          "saturation", more_often("saturation", 0.9, UNEQUAL), "With unequal agents a channel has no one usefulness."),
    Claim("misleading", "Adding families that are wrong raises K* and lowers accuracy and K*_effective, each time",
          "misleading", all_of(_misled("K*", above=0.0), _misled(MEAN_SCORE, below=0.0),
                               _misled("K* effective", below=0.0))),
    Claim("round-average", "K* of round averages hides diversity that K* per question shows: lower by more than 0.5",
          "modes", _seed_gap("modes", "K*", "K* per question", "K* of round averages", above=0.5)),
    Claim("noise-wins", "Random text has more channels than real solutions: K* rewards noise",
          "modes", _seed_gap("modes", "K*", "K* of random text", "K* of four short solutions", above=0.0)),
    Claim("recorded-random", "Four real models by plurality beat four copies of one of them drawn at random",
          "recorded", over_seeds("recorded", PLURALITY, RANDOM_COPIES, "correct", above=0.0), _RECORDED),
    Claim("recorded-best", "Four real models by plurality beat four copies of the best (chosen on the other half)",
          "recorded", over_seeds("recorded", PLURALITY, BEST_COPIES, "correct", above=0.0), _RECORDED),
    Claim("recorded-weighted", "With held-out log-odds weights the four beat four copies of the best",
          "recorded", over_seeds("recorded", WEIGHTED, BEST_COPIES, "correct", above=0.0), _RECORDED),
    Claim("recorded-coverage", "The four together solve at least 0.10 more than the best: room for a better reader",
          "recorded", over_seeds("recorded", ORACLE, BEST_COPIES, "correct", above=0.10), _RECORDED),
    Claim("recorded-saturation", "Over all 15 teams of the four models, coverage follows K* better than n (18 in 20)",
          "recorded", more_often("recorded", 0.9), "Seeds resample the questions. Embedder: n-grams of whole replies."),
    Claim("recorded-disagreement", "On real answers K* rises with disagreement: r above 0.2",
          "recorded", _correlated("recorded", "disagreement", above=0.2)),
    Claim("recorded-accuracy", "On real answers K* falls with accuracy, question by question: r below 0",
          "recorded", _correlated("recorded", "share right", below=0.0),
          "Easy questions are answered alike: K* of a question is no sign of a good answer."),
    Claim("boilerplate", "Embedding the question with the reply lowers K*: boilerplate hides diversity",
          "recorded", _metric_gap("recorded", TEXTS, "K*, question embedded too", "K*", below=0.0)),
    Claim("null", "Real replies share more than replies to shuffled questions: K* below its null",
          "recorded", _metric_gap("recorded", TEXTS, "K*", "K*, questions shuffled", below=0.0)),
    Claim("minilm", "The same with a sentence embedder: K* falls with accuracy and stays below its null",
          "recorded-minilm", all_of(_metric_gap("recorded-minilm", TEXTS, "K*", "K*, questions shuffled", below=0.0),
                                    _correlated("recorded-minilm", "share right", below=0.0))),
    Claim("live-personas", "A real model with four personas beats four copies at the same temperature",
          "live", paired("live", PERSONAS, COPIES, "correct", needs=20, above=0.0), _LIVE),
    Claim("live-equal-calls", "Four personas beat one agent that samples four times",
          "live", paired("live", PERSONAS, SAMPLES, "correct", needs=20, above=0.0), _LIVE),
    Claim("live-persona-channels", "Personas raise K* against both controls: neutral padding, and one persona for all",
          "live", all_of(paired("live", PERSONAS, PADDED, "K*", above=0.0),
                         paired("live", PERSONAS, SAME_PERSONA, "K*", above=0.0)), _LIVE),
    Claim("live-debate", "Debate over the full mesh lowers K* of the last replies, with personas and without",
          "live", all_of(paired("live", MESH, PERSONAS, "K*", below=0.0),
                         paired("live", COPIES_MESH, COPIES, "K*", below=0.0)), _LIVE),
    Claim("live-greedy", "At temperature 0 equal agents are one channel: K* = 1, flat scaling is trivial there",
          "live", _mean_of("live", GREEDY, "K*", above=1.0 - 1e-6, below=1.0 + 1e-6), _LIVE),
    Claim("several-models", "A team of several models beats copies of each, n = 4",
          "several", all_of(paired("several", MIXED, "copies of model 1", "correct", needs=20, above=0.0),
                            paired("several", MIXED, "copies of model 2", "correct", needs=20, above=0.0)),
          "The paper's own experiment: needs two or more models."),
)
# fmt: on
