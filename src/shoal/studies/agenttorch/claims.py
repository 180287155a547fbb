"""Claims of the agenttorch study and the checks behind them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shoal.runs.checks import all_of
from shoal.runs.results import Results
from shoal.runs.study import Claim
from shoal.stats import Check, exact, mean, paired_difference
from shoal.studies.agenttorch import experiments as run
from shoal.studies.agenttorch.settings import AGENTS, ARCHETYPES, DEMOGRAPHICS, DISEASE, HEURISTIC, POLL

Checks = Callable[[Results], list[Check]]
SEEDS = 10
"""Fewest seeds for a firm verdict: the page's."""
NEARLY_CONSTANT = 0.5
"""A model whose answers spread less than this share of the hidden function's is called nearly constant."""


def difference(experiment: str, one: str, two: str, metric: str, **region: Any) -> Checks:
    """The paired mean of one minus two lies in the region."""

    def checks(results: Results) -> list[Check]:
        if not (results.has(experiment, one, metric) and results.has(experiment, two, metric)):
            return []
        found = results.difference(experiment, one, two, metric)
        return [Check(f"{metric}: {one} - {two}", found, needs=SEEDS, **region)]

    return checks


def level(experiment: str, variant: str, metric: str, needs: int = SEEDS, **region: Any) -> Checks:
    """The mean over seeds lies in the region."""

    def checks(results: Results) -> list[Check]:
        if not results.has(experiment, variant, metric):
            return []
        return [Check(f"{metric}: {variant}", results.mean(experiment, variant, metric), needs=needs, **region)]

    return checks


def each(experiment: str, variant: str, metric: str, **region: Any) -> Checks:
    """The value is in the region for every seed."""

    def checks(results: Results) -> list[Check]:
        values = results.values(experiment, variant, metric)
        return [Check(f"{metric}: {variant}, seed {k}", exact(v, 1), needs=1, **region) for k, v in enumerate(values)]

    return checks


def log_slope(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    """Slope of log y on log x [seeds], of y [points, seeds]."""
    return np.asarray(np.polyfit(np.log(x), np.log(y), 1)[0], np.float64)


def _sampling(results: Results) -> list[Check]:
    rows = [results.values("answers", f"M = {m}", "error") for m in run.SAMPLES]
    if not rows[0].size:
        return []
    slope = log_slope(np.array(run.SAMPLES, float), np.stack(rows))
    return [Check("slope of log error on log M", mean(slope), above=-0.6, below=-0.4, needs=SEEDS)]


def _same_queries(results: Results) -> list[Check]:
    counts = [results.values("size", f"{n:,}", "queries") for n in run.NUMBERS]
    kinds = [results.values("size", f"{n:,}", "archetypes") for n in run.NUMBERS]
    if not counts[0].size:
        return []
    wide = float(np.ptp(np.concatenate(counts)))
    formula = float(np.abs(np.concatenate(counts) - 3 * np.concatenate(kinds)).max())
    return [
        Check("largest difference of queries between sizes", exact(wide, 3), below=1e-9),
        Check("largest |queries - K M|", exact(formula, 3), below=1e-9),
    ]


def _linear(metric: str) -> Checks:
    def checks(results: Results) -> list[Check]:
        rows = [results.values("size", f"{n:,}", metric) for n in run.NUMBERS]
        if not rows[0].size:
            return []
        slope = log_slope(np.array(run.NUMBERS, float), np.stack(rows))
        return [Check(f"slope of log {metric} on log N", mean(slope), below=1.0, needs=3)]

    return checks


def _recovered(results: Results) -> list[Check]:
    hits = results.values("recovery", run.THROUGH, "within 10%")
    return [Check("seeds within 10%, in tenths", exact(10 * hits.mean(), hits.size), above=8.0, needs=SEEDS)] if (
        hits.size
    ) else []  # fmt: skip


def _beats_both(results: Results) -> list[Check]:
    return [
        check
        for alone in (run.TIRED, run.FASTER)
        for check in difference("what-if", run.BOTH, alone, "peak", above=0.0)(results)
    ]


def _correlations(results: Results) -> list[Check]:
    steps = ((DISEASE, DEMOGRAPHICS), (ARCHETYPES, DISEASE))
    metric = "willingness correlation"
    return [c for more, less in steps for c in difference("architectures", more, less, metric, above=0.0)(results)]


def _constant(results: Results) -> list[Check]:
    """Ratio of spreads, over all prompts of all seeds; by log-probability where the model offers it."""
    variant = run.PROMPTS
    by_score = results.has("language", variant, "spread by log-probability")
    name = "spread by log-probability" if by_score else "spread of answers"
    spread, hidden = (results.values("language", variant, n) for n in (name, "spread of the hidden function"))
    if not spread.size:
        return []
    label = f"{name} / spread of the hidden function"
    return [Check(label, exact(float((spread / hidden).mean()), spread.size), below=NEARLY_CONSTANT, needs=1)]


def _biased(estimator: str) -> Checks:
    """Distance of an estimator from finite differences, as a share of them."""

    def checks(results: Results) -> list[Check]:
        slope, rise = (results.values("slopes", estimator, m) for m in ("slope", "finite difference"))
        if not slope.size:
            return []
        return [
            Check(f"slope, finite difference - {estimator}", paired_difference(rise, slope), above=0.0, needs=SEEDS)
        ]

    return checks


ARCHITECTURES = "architectures"
# fmt: off
CLAIMS = (
    Claim("archetypes-beat-the-rule",
          "Held-out infection MSE of archetypes is below the heuristic's, at equal budget and tuning.", ARCHITECTURES,
          difference(ARCHITECTURES, HEURISTIC, ARCHETYPES, "infection mse", above=0.0)),
    Claim("the-rule-beats-few-agents",
          "Held-out infection MSE of the heuristic is below that of one model for each of 300 agents, scaled up.",
          ARCHITECTURES, difference(ARCHITECTURES, AGENTS, HEURISTIC, "infection mse", above=0.0)),
    Claim("archetypes-beat-few-agents",
          "Held-out infection MSE of archetypes is below that of 300 agents, scaled up.", ARCHITECTURES,
          difference(ARCHITECTURES, AGENTS, ARCHETYPES, "infection mse", above=0.0)),
    Claim("unemployment",
          "Held-out unemployment MSE of archetypes is below the heuristic's and below that of 300 agents.",
          ARCHITECTURES,
          all_of(difference(ARCHITECTURES, HEURISTIC, ARCHETYPES, "unemployment mse", above=0.0),
                 difference(ARCHITECTURES, AGENTS, ARCHETYPES, "unemployment mse", above=0.0))),
    Claim("context", "Correlation with true willingness to work rises with each level of the prompt.", ARCHITECTURES,
          _correlations),
    Claim("kinds-matter",
          "Ablation, ours: archetypes beat one archetype for all that is asked as often (a poll of 300).",
          ARCHITECTURES, difference(ARCHITECTURES, POLL, ARCHETYPES, "infection mse", above=0.0),
          "The page asks for no such ablation; it tells what is due to kinds of people and what to scale."),
    Claim("prospective",
          "Ours: the effect of coming payments is told better by archetypes than by a rule that knows none.",
          ARCHITECTURES, difference(ARCHITECTURES, HEURISTIC, ARCHETYPES, "payment effect, error", above=0.0)),
    Claim("samples", "The error of p_a(k) shrinks as 1 / sqrt(M) for M = 1, 3, 6: slope -0.5 within 0.1.", "answers",
          _sampling),
    Claim("queries", "Queries of a decision are K M at 10^4, 10^5 and 10^6 people: identical.", "size", _same_queries),
    Claim("linear-time", "Time of a step (a decision and its week) grows at most linearly in the number of people.",
          "size", _linear("seconds a step")),
    Claim("linear-days", "Ours: so does the simulator alone, without asking.", "size", _linear("seconds a day"),
          "A city of 10,000 fits into the processor's cache and its days are cheaper for that."),
    Claim("recovery", "A planted weekly R is found within 10% (mean over weeks) in at least 8 of 10 seeds.", "recovery",
          _recovered),
    Claim("stop-gradient", "Ablation: with the gradient stopped in the sampler the search does not move at all.",
          "recovery",
          all_of(each("recovery", run.STOPPED, "way moved", below=1e-9),
                 difference("recovery", run.STOPPED, run.THROUGH, "error", above=0.0))),
    Claim("shared-draws", "Ablation: one draw for a whole archetype inflates the variance of isolations.", "draws",
          difference("draws", run.SHARED, run.OWN, "log variance of isolations", above=0.0)),
    Claim("fractions",
          "Trap: to give everybody the probability as a share is another model: isolations lose their chance.", "draws",
          difference("draws", run.OWN, run.FRACTION, "log variance of isolations, first week", above=0.0)),
    Claim("fatigue-isolation", "A fatigue offset of 30 weeks lowers isolation.", "what-if",
          difference("what-if", run.TIRED, run.AS_IS, "isolating", below=0.0)),
    Claim("fatigue-peak", "A fatigue offset of 30 weeks raises the peak.", "what-if",
          difference("what-if", run.TIRED, run.AS_IS, "peak", above=0.0)),
    Claim("fatigue-and-beta", "Fatigue and a higher beta together peak above either alone.", "what-if", _beats_both),
    Claim("distilled",
          "Ours: a distilled network keeps at least 90% of what chance lets anybody explain, on held-out weeks.",
          "distillation", level("distillation", run.NETWORK, "explained", needs=5, above=0.9)),
    Claim("distilled-curves", "Ours: infections simulated with it differ by at most 15% from those of the panel.",
          "distillation", level("distillation", run.NETWORK, "gap of infections", needs=5, below=0.15)),
    Claim("no-answers",
          "Trap: unreadable replies taken as no bias the probabilities; counted and retried they do not, and a panel "
          "that loses more than 5% is refused.", "unreadable",
          all_of(level("unreadable", run.AS_NO, "bias", below=-0.02),
                 level("unreadable", run.AS_NO, "refused", above=1.0),
                 level("unreadable", run.RETRIED, "bias", above=-0.01, below=0.01),
                 level("unreadable", run.RETRIED, "refused", below=1e-9))),
    Claim("straight-through-is-biased",
          "Trap: the straight-through slope through chains of draws is off finite differences of the mean.", "slopes",
          _biased("straight")),
    Claim("small-model-is-constant",
          "The small local model's answers hardly depend on who is asked and when: they spread less than half as much "
          "as the hidden function's.", "language", _constant,
          "Expected of a model of 135 million parameters. Whatever model is asked, what it read of 2020-22 is in its "
          "answers: agreement with those years is no forecast."),
)
# fmt: on
