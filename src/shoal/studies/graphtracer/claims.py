"""The claims of the GraphTracer study and their checks."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from shoal.runs.checks import all_of, gain, gaps
from shoal.runs.results import Results
from shoal.runs.study import Claim
from shoal.stats import Check, exact, mean
from shoal.studies.graphtracer.settings import (
    ASKED,
    BEST_AGENT,
    CHAIN,
    CHANCE,
    CONTROL,
    EARLIEST,
    ERRORS,
    FAULTS,
    FOUND,
    LESSONS,
    LOADER,
    NO_IMPACT,
    NO_PARENTS,
    PROTOCOLS,
    RULE,
    RUNS,
    SHUFFLED,
    STEP,
    TRAINED,
    UNTRAINED,
)

if TYPE_CHECKING:
    from shoal.diagnosis.deep_search import Planting, Sees

_REAL_NOTE = "Suspicions come from detectors whose rules were made while looking at these logs: no held-out figure."


def _gain(sees: str, above: float, against: str = EARLIEST, variant: str = RULE) -> Callable[[Results], list[Check]]:
    return gain("tracing", variant, against, f"step, {sees}", above=above, needs=100)


def _loses_gain(results: Results) -> list[Check]:
    """On a chain less than half of the gain over "earliest suspicious" is left."""
    metric = f"step, {FAULTS}"
    whole, left = (gaps(results, "tracing", one, EARLIEST, metric) for one in (RULE, CHAIN))
    return (
        [Check(f"{metric}: gain on a chain - half the gain", mean(left - 0.5 * whole), below=0.0)] if whole.size else []
    )


def _grows(against: str) -> Callable[[Results], list[Check]]:
    """Slope of the gap over the steps from cause to symptom, by seed."""

    def checks(results: Results) -> list[Check]:
        distance, seeds = results.items("tracing", RUNS, "steps to failure")
        gap = gaps(results, "tracing", RULE, against, f"step, {FAULTS}")
        if not gap.size or gap.size != distance.size:
            return []
        slopes = [10 * np.polyfit(distance[seeds == s], gap[seeds == s], 1)[0] for s in np.unique(seeds)]
        return [Check(f"{RULE} - {against}: change per 10 steps", mean(slopes), above=0.0, needs=5)]

    return checks


def _learned(metric: str, against: str, lesson: tuple[Planting, Sees] = LESSONS[0]) -> Callable[[Results], list[Check]]:
    """Trained minus another, paired by seed."""
    planting, sees = lesson
    name = f"{metric}, {sees}, {planting} faults"

    def checks(results: Results) -> list[Check]:
        if not results.has("learning", TRAINED, name):
            return []
        difference = results.difference("learning", TRAINED, against, name)
        return [Check(f"{name}: {TRAINED} - {against}", difference, above=0.0, needs=3)]

    return checks


def _at_chance(lesson: tuple[Planting, Sees]) -> Callable[[Results], list[Check]]:
    planting, sees = lesson
    name = f"step, {sees}, {planting} faults"

    def checks(results: Results) -> list[Check]:
        if not results.has("learning", CONTROL, name):
            return []
        difference = results.difference("learning", CONTROL, CHANCE, name)
        return [Check(f"{name}: {CONTROL} - {CHANCE}", difference, below=0.03, needs=3)]

    return checks


def _is(experiment: str, variant: str, metric: str, count: int, of: int) -> Callable[[Results], list[Check]]:
    """Exactly so many logs."""

    def checks(results: Results) -> list[Check]:
        values = results.items(experiment, variant, metric)[0]
        if not values.size:
            return []
        total = float(values.sum())
        return [Check(f"{metric}: {variant}, of {of}", exact(total, of), above=float(count), below=float(count))]

    return checks


def _near_chance(results: Results) -> list[Check]:
    found = [results.items("judges", name, "step less chance")[0] for name in ASKED if name.endswith("without answer")]
    return [
        Check(f"step: {name} - {CHANCE}", mean(values), above=-0.15, below=0.15, needs=20)
        for name, values in zip(PROTOCOLS, found, strict=True)
        if values.size
    ]


# fmt: off
CLAIMS = (
    Claim("gain",
          'Tracing beats "earliest suspicious" by at least 10 points of exact step accuracy (judge of own faults)',
          "tracing", _gain(FAULTS, 0.10)),
    Claim("gain-errors", "The same where the judge sees errors, inherited ones too", "tracing", _gain(ERRORS, 0.10)),
    Claim("ahead", 'Tracing beats "earliest suspicious" at all', "tracing", _gain(FAULTS, 0.0)),
    Claim("ahead-errors", "The same where the judge sees errors", "tracing", _gain(ERRORS, 0.0)),
    Claim("ahead-protocols", "Tracing beats all three protocols of asking the same judge",
          "tracing", all_of(*(_gain(FAULTS, 0.0, against=name) for name in PROTOCOLS))),
    Claim("chain",
          "With usage edges replaced by edges t -> t + 1 accuracy falls, and less than half of the gain is left",
          "tracing", all_of(_gain(FAULTS, 0.0, against=CHAIN), _loses_gain)),
    Claim("shuffled", "Shuffled edges do worse still than the chain",
          "tracing", gain("tracing", SHUFFLED, CHAIN, f"step, {FAULTS}", below=0.0, needs=100)),
    Claim("distance", "The gap to the chain grows with the distance between cause and symptom",
          "tracing", _grows(CHAIN)),
    Claim("distance-earliest", 'The gap to "earliest suspicious" grows with the distance between cause and symptom',
          "tracing", _grows(EARLIEST)),
    Claim("impact", "Impact helps: tracing without it is worse",
          "tracing", _gain(FAULTS, 0.0, against=NO_IMPACT)),
    Claim("parents", "Clean parents help: tracing without that factor is worse",
          "tracing", _gain(FAULTS, 0.0, against=NO_PARENTS)),
    Claim("parents-errors", "The same where the judge sees errors",
          "tracing", _gain(ERRORS, 0.0, against=NO_PARENTS)),
    Claim("extracted", "With edges found in the words, tracing beats tracing on a chain",
          "extraction", gain("extraction", FOUND, CHAIN, f"step, {FAULTS}", above=0.0, needs=50)),
    Claim("learning-reward", "Training raises the held-out reward over the untrained tracer",
          "learning", _learned("reward", UNTRAINED)),
    Claim("learning-step", "Training raises held-out step accuracy over the untrained tracer",
          "learning", _learned("step", UNTRAINED)),
    Claim("learning-uniform", "It raises step accuracy also where faults are planted uniformly",
          "learning", _learned("step", UNTRAINED, LESSONS[2])),
    Claim("learned-over-rule", "The trained tracer beats the fixed rule on graph-aware faults, with both judges",
          "learning", all_of(*(_learned("step", RULE, lesson) for lesson in LESSONS[:2]))),
    Claim("control", "Trained on shuffled labels it stays at chance (uniform faults)",
          "learning", _at_chance(LESSONS[2])),
    Claim("control-impact", "Trained on shuffled labels it stays at chance (graph-aware faults)",
          "learning", _at_chance(LESSONS[0]),
          "Graph-aware faults sit in central steps, which the reward alone favours."),
    Claim("loader", '126 algorithm-generated logs are read; "always step 1" is right in 34 of them (27.0%)',
          "logs", all_of(_is("logs", LOADER, "logs", 126, 126), _is("logs", STEP, "step", 34, 126))),
    Claim("loader-hand", '58 hand-crafted logs are read; "always WebSurfer" is right in 33 of them (56.9%)',
          "logs-hand", all_of(_is("logs-hand", LOADER, "logs", 58, 58), _is("logs-hand", BEST_AGENT, "agent", 33, 58))),
    Claim("real-step", 'On real logs tracing names the step more often than "always step 1"',
          "logs", gain("logs", RULE, STEP, "step", above=0.0, needs=50), _REAL_NOTE),
    Claim("real-agent", 'On real logs tracing names the agent more often than "always step 1"',
          "logs", gain("logs", RULE, STEP, "agent", above=0.0, needs=50), _REAL_NOTE),
    Claim("small-judge", "A small language model as judge is near chance (within 0.15) on short made-up runs",
          "judges", _near_chance,
          "Said of the local 135M model; --model takes any endpoint. It needs 20 runs for a verdict."),
)
# fmt: on
