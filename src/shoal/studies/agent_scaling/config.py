"""Settings and names of the agent-scaling study."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from shoal.runs.study import StudyConfig

ByVariant = dict[str, dict[str, Any]]

SINGLE, PAIR, SIXTEEN, PAIR_OFF = "one agent", "2 different", "16 equal", "2 different, diversity off"
EQUAL, DIFFERENT = "equal agents", "different agents"
SIZES = (1, 2, 4, 8, 16)
DUPLICATE, INDEPENDENT = "duplicate added", "independent added"
BY_CHANNELS, BY_NUMBER = "curve in K*", "curve in n"
UNEQUAL = ", unequal competence"
GOOD, MISLED = "right family", "right family + misleading families"

RANDOM_COPIES, BEST_COPIES = "copies of a random model", "copies of the best model (held out)"
PLURALITY, WEIGHTED, ORACLE = "mixed, plurality", "mixed, weighted by log-odds (held out)", "mixed, any of them right"
BEST_PAIR = "two different (held out), log-odds"
TEXTS = "texts"

ONE, SAMPLES, COPIES, GREEDY = "one agent", "self-consistency", "copies", "copies, temperature 0"
PERSONAS, PADDED, SAME_PERSONA = "personas", "control A: padding", "control B: one persona"
WARMTHS, SHOTS = "temperatures", "few-shot sets"
MESH, SPARSE, HUB = "personas, full mesh", "personas, sparse", "personas, centralised"
COPIES_MESH = "copies, full mesh"
MIXED, MIXED_PERSONAS = "mixed models", "mixed models + personas"


class Config(StudyConfig):
    """Settings of the agent-scaling study."""

    competence: float = Field(0.5, gt=0, le=3, description="a of the synthetic agents; one is right with Phi(a)")
    within: float = Field(0.8, gt=0, lt=1, description="correlation of errors in a family, rho_w")
    between: float = Field(0.3, ge=0, lt=1, description="correlation of errors across families, rho_b")
    spread: float = Field(0.3, gt=0, le=2, description="half the range of a in the sweep with unequal competence")
    questions: int = Field(2000, ge=100, le=200_000, description="questions per seed for the synthetic agents")
    embedded: int = Field(40, ge=5, le=2000, description="questions per team that get synthetic embeddings")
    dimensions: int = Field(256, ge=64, le=4096, description="dimensions of the synthetic embeddings")
    recorded_questions: int = Field(1319, ge=40, le=1319, description="recorded problems used")
    minilm_questions: int = Field(
        300, ge=0, le=1319, description="recorded problems for the sentence embedder; 0: none"
    )
    task: str = Field("sums", description="task set of the live teams")
    team_questions: int = Field(24, ge=1, le=100_000, description="problems per seed of the live teams")
    agents: int = Field(4, ge=2, le=16, description="agents of the live teams")
    rounds: int = Field(1, ge=1, le=10, description="rounds of debate of the live teams (the paper's scripts: 3)")
    temperature: float = Field(0.5, gt=0, le=2, description="sampling temperature of every arm but the greedy one")
    max_tokens: int = Field(40, ge=8, le=4096, description="longest reply of the live teams (the paper: 512)")
    embedder: str = Field("ngrams", description="embedder of the live teams: ngrams, minilm, or an endpoint's URL")
    models: str = Field("", description="two or more model specs, separated by blanks, for the mixed live teams")
