"""Names and settings of the error-cascades study."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from shoal.runs.study import StudyConfig

PRODUCT, POISSON = "product form", "Poisson form"
MEAN_FIELD, MONTE_CARLO = "mean field", "Monte Carlo"
RATIOS = (0.5, 0.8, 1.2, 1.6, 2.4)
PHASES = (0.5, 0.8, 1.0, 1.2, 1.5, 2.0, 3.0)
GRAPHS = ("ring", "sparse", "mesh")
HUB, LEAF, MESH_ONE, MESH_TWO = "star, hub errs", "star, leaf errs", "mesh, one errs", "mesh, another errs"
SPREADING, GATHERING, REACH, DEGREE = "u of the transpose", "u_1 (paper)", "reach", "out-degree"
CORRECTIONS = (2, 4, 6, 8)
NEVER = "never corrected"
TEAMS = ("chain", "star", "mesh")
PACKAGED = ("compliance", "fud")
ATTACKS = ("plain", *PACKAGED, "none")

NONE, REFLECTION, WHOLE = "no defence", "reflection", "blocking whole messages"
SPEED, BALANCED, STRICT = "Speed", "Balanced", "Strict"
DETECT, STOP = "detection without blocking", "stop the run"
NO_ATOMS, NO_DETECTION = "Strict, not atomised", "Strict, no detection"
DEFENCES = {
    NONE: "", REFLECTION: "", WHOLE: "whole", SPEED: "speed", BALANCED: "balanced", STRICT: "strict",
    DETECT: "detect", STOP: "stop", NO_ATOMS: "not-atomised", NO_DETECTION: "not-detecting",
}  # fmt: skip
MODES = (SPEED, BALANCED, STRICT)
NO_APPEALS = "Strict, no appeals"
CLEAN, PLAIN, COMPLIANCE, FUD = "no attack", "plain attack", "compliance attack", "fud attack"
RELAYED = (REFLECTION, WHOLE, SPEED, BALANCED, STRICT, DETECT, STOP)
RULES, MODEL = "rules", "model"
ByVariant = dict[str, dict[str, Any]]


class CascadesConfig(StudyConfig):
    """Settings of the error-cascades study."""

    graphs: int = Field(20, ge=2, le=10_000, description="random graphs of the threshold experiment")
    graph_agents: int = Field(30, ge=4, le=100_000, description="agents of each random graph")
    degree: float = Field(4.0, gt=0, description="mean degree of random graphs")
    settle: int = Field(200, ge=10, le=100_000, description="rounds until S has settled")
    runs: int = Field(200, ge=10, le=100_000, description="Monte Carlo runs of each comparison")
    agents: int = Field(11, ge=3, le=10_000, description="agents of star and mesh in the simulations")
    beta: float = Field(0.15, ge=0, le=1, description="chance of passing on, hub against leaf")
    delta: float = Field(0.3, ge=0, le=1, description="chance of mending, hub against leaf")
    rounds: int = Field(10, ge=1, le=10_000, description="rounds, hub against leaf")
    corrected_ratio: float = Field(2.5, gt=0, description="R before the correction")
    strength: float = Field(0.9, ge=0, le=1, description="chance of mending once a correction is out")
    threshold: float = Field(0.5, gt=0, lt=1, description="share of agents above which a round is polluted (tau)")
    observed: int = Field(60, ge=2, le=10_000, description="runs that beta and delta are fitted to")
    briefed: float = Field(0.8, ge=0, le=1, description="chance that the layer knows the attacked constraint")
    relay_items: int = Field(24, ge=1, le=10_000, description="statements that a chain of the model hands on")
    judge_items: int = Field(12, ge=1, le=10_000, description="statements that the model judges, in both wordings")
    max_tokens: int = Field(24, ge=4, le=4096, description="longest reply in the relay")
