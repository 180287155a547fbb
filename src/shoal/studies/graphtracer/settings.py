"""Settings of the GraphTracer study, and what its variants are called."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import Field

from shoal.runs.study import StudyConfig

if TYPE_CHECKING:
    from shoal.diagnosis.deep_search import Planting, Sees

RULE, NO_IMPACT, NO_PARENTS = "tracing", "tracing without impact", "tracing without parents"
CHAIN, SHUFFLED, FINDINGS = "tracing on a chain", "tracing on shuffled edges", "findings"
EARLIEST, LAST, TALKATIVE, RANDOM = "earliest suspicious", "last before failure", "most talkative", "random"
AGENT, STEP = "always one agent", "always step 1"
PROTOCOLS = ("all-at-once", "step-by-step", "binary search")
METHODS = (
    RULE, NO_IMPACT, NO_PARENTS, CHAIN, SHUFFLED, EARLIEST, LAST, TALKATIVE, AGENT, STEP, RANDOM, *PROTOCOLS,
)  # fmt: skip
FEW = (RULE, NO_IMPACT, NO_PARENTS, CHAIN, SHUFFLED, EARLIEST, RANDOM)
FAULTS: Sees = "faults"
ERRORS: Sees = "errors"
JUDGES: tuple[Sees, ...] = (FAULTS, ERRORS)
AUCS = (0.6, 0.7, 0.8, 0.9)
RUNS, FOUND, TRUE, CHANCE = "runs", "edges found in the text", "true edges", "chance"
TRAINED, UNTRAINED, CONTROL = "trained tracer", "untrained tracer", "trained on shuffled labels"
SOURCE_ONLY, PATH_ONLY = "reward: distance only", "reward: path only"
LESSONS: tuple[tuple[Planting, Sees], ...] = (("impact", FAULTS), ("impact", ERRORS), ("uniform", FAULTS))
TRACER, BEST_AGENT, LOADER = "tracer", "always the commonest agent", "loader"
LOG_METHODS = (
    RULE, NO_IMPACT, NO_PARENTS, CHAIN, SHUFFLED, FINDINGS, TRACER, EARLIEST, LAST, TALKATIVE, AGENT, STEP, RANDOM,
)  # fmt: skip
ASKED = tuple(f"{name}, {told}" for name in PROTOCOLS for told in ("without answer", "with answer"))
THRESHOLDS = tuple(round(0.05 * step, 2) for step in range(1, 20))


ByVariant = dict[str, dict[str, Any]]


class GraphTracerConfig(StudyConfig):
    """Settings of the GraphTracer study."""

    runs: int = Field(500, ge=20, le=100_000, description="Made-up failed runs per seed")
    auc: float = Field(0.75, gt=0.5, lt=1, description="Area under the ROC curve of the step judge")
    tuning_runs: int = Field(300, ge=10, le=100_000, description="Other runs on which the thresholds are tuned")
    condition_runs: int = Field(100, ge=10, le=100_000, description="Runs per seed and condition in conditions")
    text_runs: int = Field(100, ge=5, le=10_000, description="Runs per seed whose edges are found in their words")
    lessons: int = Field(600, ge=50, le=100_000, description="Runs that the tracer learns from, per seed")
    held_out: int = Field(300, ge=20, le=100_000, description="Runs that the tracer is tested on, per seed")
    updates: int = Field(600, ge=10, le=100_000, description="Gradient steps of the tracer")
    source_weight: float = Field(0.5, ge=0, le=1, description="lambda: weight of the distance to the true step")
    width: float = Field(1.0, gt=0, le=10, description="sigma of the distance, in edges")
    planted_tasks: int = Field(12, ge=1, le=10_000, description="Tasks per seed and team in which faults are planted")
    logs: str = Field("", description="Folder of annotated algorithm-generated logs; found by itself if empty")
    hand_logs: str = Field("", description="Folder of annotated hand-crafted logs (not shipped)")
    judged_runs: int = Field(20, ge=1, le=10_000, description="Short made-up runs that the real model judges")
    judged_logs: int = Field(5, ge=1, le=184, description="Real logs that the real model judges")
    characters: int = Field(
        3000, ge=200, le=10**6, description="Most characters of a log in one prompt of the real model"
    )
    max_tokens: int = Field(24, ge=1, description="Longest reply of the real model in tokens")
