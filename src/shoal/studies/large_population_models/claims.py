"""Claims and their checks; thresholds are the page's unless the study's header says otherwise."""

from __future__ import annotations

import numpy as np

from shoal.runs.checks import Checks, all_of, at_most, by_item
from shoal.runs.results import Results
from shoal.runs.study import Claim
from shoal.stats import Check, Estimate, exact, mean
from shoal.studies.large_population_models import experiments as run

RESAMPLES = 4000
EXACT = 1e-300
"""Nothing but 0 is below it that a single-precision number can be."""
SPEED, LINEAR = 100.0, 1.5
"""Least speed-up over the Python loop; most by which ten times the people take longer than ten times."""


def ratio(results: Results, variant: str, parameter: str, days: int) -> Estimate | None:
    """Mean slope over mean difference, with a bootstrap interval over keys; None if it was not measured."""
    slope, difference = (
        by_item(results, "gradient", variant, f"{kind} {parameter}, {days} days") for kind in ("slope", "difference")
    )
    if not slope.size:
        return None
    index = np.random.default_rng(0).integers(0, slope.size, (RESAMPLES, slope.size))
    drawn = slope[index].mean(1) / difference[index].mean(1)
    low, high = np.quantile(drawn, [0.025, 0.975])
    return Estimate(float(slope.mean() / difference.mean()), float(low), float(high), slope.size, method="bootstrap")


def lengths(results: Results) -> list[int]:
    """Days of the gradient check's runs, ascending."""
    names = [m for m in results.metrics("gradient") if m.startswith("slope reproduction")]
    return sorted(int(name.split(", ")[1].split()[0]) for name in names)


def _ratios(variant: str) -> Checks:
    def checks(results: Results) -> list[Check]:
        found = [
            (p, days, ratio(results, variant, p, days))
            for days in lengths(results)
            for p in ("reproduction", "initial")
        ]
        return [Check(f"{p}, {days} days", e, above=0.5, below=2.0) for p, days, e in found if e is not None]

    return checks


def _nothing(results: Results) -> list[Check]:
    names = [n for n in results.metrics("gradient") if n.startswith("slope") or n.startswith("largest")]
    found = [np.abs(by_item(results, "gradient", run.NONE, name)) for name in names]
    pairs = zip(names, found, strict=True)
    return [check for name, x in pairs for check in at_most(x, f"{name}, no surrogate", EXACT, needs=1)]


def lower(experiment: str, one: str, two: str, metric: str) -> Checks:
    """One is below two, town by town: the mean difference, and Wilcoxon's signed-rank test (one-sided p < 0.05)."""

    def checks(results: Results) -> list[Check]:
        from scipy.stats import wilcoxon

        a, b = (results.values(experiment, variant, metric) for variant in (one, two))
        if not a.size or a.size != b.size:
            return []
        p = float(wilcoxon(a, b, alternative="less").pvalue) if (a != b).any() else 1.0
        return [
            Check(f"{metric}: {one} - {two}", mean(a - b), below=0.0),
            Check(f"Wilcoxon's p, {metric}: {one} below {two}", exact(p, a.size), below=0.05, needs=6),
        ]

    return checks


def _no_difference(results: Results) -> list[Check]:
    from scipy.stats import wilcoxon

    metric = "held-out error, constant"
    a, b = (results.values("change", variant, metric) for variant in (run.NETWORK, run.CONSTANT))
    if not a.size:
        return []
    p = float(wilcoxon(a, b).pvalue) if (a != b).any() else 1.0
    return [Check(f"Wilcoxon's two-sided p, {metric}", exact(p, a.size), above=0.05, needs=6)]


def _equal(variants: tuple[str, ...], graphs: int) -> Checks:
    def checks(results: Results) -> list[Check]:
        found: list[Check] = []
        for variant in variants:
            gaps, infections = (by_item(results, "private", variant, m) for m in ("largest difference", "infections"))
            found += at_most(gaps, f"largest difference from the open run: {variant}", EXACT, needs=graphs)
            found += [Check(f"fewest infections: {variant}", exact(x.min(), x.size), above=100, needs=1)
                      for x in (infections,) if x.size]  # fmt: skip
            slopes = by_item(results, "private", variant, "relative difference of slopes")
            found += at_most(slopes, f"slopes, relative difference: {variant}", 1e-3, needs=1)
        return found

    return checks


def _blind(variant: str) -> Checks:
    def checks(results: Results) -> list[Check]:
        p = by_item(results, "leaks", variant, "p")
        if not p.size:
            return []
        least = min(1.0, float(p.min()) * p.size)
        return [Check(f"smallest p of {p.size} views, corrected: {variant}", exact(least, p.size), above=0.05)]

    return checks


def _seen(variant: str) -> Checks:
    def checks(results: Results) -> list[Check]:
        p = by_item(results, "leaks", variant, "p")
        return [Check(f"smallest p: {variant}", exact(float(p.min()), p.size), below=1e-6)] if p.size else []

    return checks


def _open(results: Results) -> list[Check]:
    rows = {v: results.values("identifiability", v, "reproduction covers") for v in (run.EARLY, run.WHOLE)}
    flagged = results.values("identifiability", run.EARLY, "flagged")
    if not flagged.size:
        return []
    return [
        Check("share of early waves that are flagged", exact(float(flagged.mean()), flagged.size), above=0.8),
        Check("share of R's range: whole wave - early wave", mean(rows[run.WHOLE] - rows[run.EARLY]), below=0.0),
    ]


def _fast(results: Results) -> list[Check]:
    engine, loop = (results.values("speed", v, "seconds a day") for v in (run.ENGINE, run.LOOP))
    if not engine.size or not loop.size:
        return []
    return [
        Check("Python loop / engine, median of rounds", exact(float(np.median(loop / engine)), loop.size), above=SPEED)
    ]


def _linear(results: Results) -> list[Check]:
    one, ten = (results.values("speed", run.ENGINE, f"seconds a day{more}") for more in ("", ", ten times the people"))
    if not one.size:
        return []
    growth = float(np.median(ten) / np.median(one) / 10)
    return [Check("time for ten times the people / ten times the time", exact(growth, one.size), below=LINEAR)]


# fmt: off
CLAIMS = (
    Claim("gradient", "The mean slope over 256 keys has the sign of the central difference of the mean loss and a "
          "ratio within 0.5 to 2 (estimator: hits).", "gradient", _ratios(run.HITS)),
    Claim("straight-through", "So has the straight-through slope, at every length of the run.", "gradient",
          _ratios(run.STRAIGHT),
          note="An ablation: the page warns that its bias grows with T and where events are rare."),
    Claim("no-surrogate", "Without a surrogate the slope is exactly 0 and calibration does not move.", "gradient",
          _nothing),
    Claim("held-out", "Planted R(t): the held-out 4-week error of gradient calibration (CalibNN) is below that of "
          "random search at the same number of simulator calls.", "planted",
          lower("planted", run.NETWORK, run.RANDOM, "held-out error")),
    Claim("held-out-cma", "It is also below that of CMA-ES at the same number of calls.", "planted",
          lower("planted", run.NETWORK, run.CMA, "held-out error")),
    Claim("held-out-numbers", "So is that of gradient calibration of plain weekly numbers, against both.", "planted",
          all_of(lower("planted", run.NUMBERS, run.RANDOM, "held-out error"),
                 lower("planted", run.NUMBERS, run.CMA, "held-out error")),
          note="Ours: the same parameters as those searches, without the network."),
    Claim("second-stream", "Adding the second stream (deaths) lowers the error of mortality.", "planted",
          lower("planted", run.NETWORK, run.CASES_ONLY, "error of log mortality")),
    Claim("change-point", "Time-varying CalibNN beats a constant theta on a curve with a planted change point.",
          "change", lower("change", run.NETWORK, run.CONSTANT, "held-out error, change")),
    Claim("constant-curve", "On a constant curve there is no significant difference.", "change", _no_difference,
          note="An absence of significance with that many towns; the difference and its interval are in the results."),
    Claim("bit-for-bit", "A private run equals the open one bit for bit on fixed-point inputs, on five graphs.",
          "private", all_of(_equal((run.SHARES, run.SERVERS), 5), _equal((run.LARGE,), 1))),
    Claim("blind-views", "A chi-square test on any single party's view cannot tell two neighbour assignments with "
          "equal sums.", "leaks", all_of(_blind(run.SHARES), _blind(run.SERVERS))),
    Claim("test-can-fail", "The same test finds masks that are too short, and numbers without masks.", "leaks",
          all_of(_seen(run.SHORT), _seen(run.CLEAR))),
    Claim("poorly-identifiable", "R and the first infections are poorly identifiable from an early wave, and are "
          "flagged; the whole wave pins R down better.", "identifiability", _open),
    Claim("speed", "The vectorised simulator is at least 100 times faster than a plain Python loop at 1e5 agents.",
          "speed", _fast),
    Claim("linear", "Time is nearly linear from 1e5 to 1e6 agents.", "speed", _linear),
)
# fmt: on
