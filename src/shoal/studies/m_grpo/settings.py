"""Settings of the M-GRPO study, and the names of its arms."""

from __future__ import annotations

from pydantic import Field

from shoal.runs.study import StudyConfig

MIX, FROZEN, QUEUE, OUTCOME, LOCAL, SHUFFLED, SINGLE, WEIGHTS = (
    "co-train, aligned", "main only", "co-train, no alignment", "outcome only (b3 = 0)", "local only (b2 = 0)",
    "sub advantages shuffled", "single agent", "co-train, weights d/d_k",
)  # fmt: skip
ARMS = (MIX, FROZEN, QUEUE, OUTCOME, LOCAL, SHUFFLED, SINGLE, WEIGHTS)
HACKED_MIX, HACKED_LOCAL = "hackable judge, mixed", "hackable judge, local only"
SHARES = {OUTCOME: (0.1, 0.9, 0.0), LOCAL: (0.1, 0.0, 0.9), HACKED_LOCAL: (0.1, 0.0, 0.9)}
MIXED_SHARES = (0.1, 0.4, 0.5)
LM_TEAMS = (LM_START, LM_MIX, LM_FROZEN, LM_QUEUE) = ("team, stage 1 only", MIX, FROZEN, QUEUE)
LM_LONE = (LM_ALONE_START, LM_ALONE) = ("single agent, stage 1 only", "single agent, same tokens")
STAGES = (UNTRAINED, STAGE_1, STAGE_2) = ("untrained", "after stage 1", "after stage 2")
VERTICAL = "planner and researcher"


class MGrpoConfig(StudyConfig):
    """Settings of the M-GRPO study."""

    questions: int = Field(16, ge=1, le=4096, description="Questions in one update")
    group: int = Field(8, ge=2, le=64, description="Rollouts of each question, K")
    calls: int = Field(8, ge=1, le=64, description="Subtasks counted in each rollout, d")
    start: int = Field(40, ge=1, le=10_000, description="Updates of stage 1")
    updates: int = Field(400, ge=1, le=100_000, description="Updates of stage 2")
    rate: float = Field(0.05, gt=0, le=1, description="Learning rate of Adam")
    noise: float = Field(0.1, ge=0, le=0.5, description="Chance that the judge is wrong about a subtask")
    draws: int = Field(20_000, ge=100, le=1_000_000, description="Draws in the check of the alignment")
    lm_steps: int = Field(1400, ge=1, le=1_000_000, description="Tiny transformers: steps of imitation, stage 1")
    lm_batch: int = Field(16, ge=1, le=4096, description="Tiny transformers: trajectories in one of them")
    lm_updates: int = Field(20, ge=1, le=100_000, description="Tiny transformers: updates of stage 2")
    lm_questions: int = Field(32, ge=1, le=4096, description="Tiny transformers: questions in one of them")
    lm_group: int = Field(4, ge=2, le=64, description="Language models: rollouts of each question, K")
    lm_calls: int = Field(2, ge=1, le=64, description="Language models: subtasks counted in each rollout, d")
    lm_rate: float = Field(5e-4, gt=0, le=1, description="Tiny transformers: learning rate of stage 2")
    lm_held: int = Field(200, ge=1, le=5000, description="Tiny transformers: held-out questions, of other bases")
    small_steps: int = Field(24, ge=1, le=100_000, description="SmolLM2: steps of imitation of each role, stage 1")
    small_batch: int = Field(4, ge=1, le=256, description="SmolLM2: trajectories in one of them")
    small_updates: int = Field(3, ge=0, le=100_000, description="SmolLM2: updates of stage 2; 0 leaves it all out")
    small_questions: int = Field(2, ge=1, le=256, description="SmolLM2: questions in one of them")
    small_held: int = Field(16, ge=1, le=5000, description="SmolLM2: held-out questions")
    vertical_questions: int = Field(8, ge=1, le=5000, description="Questions of the run without training")
