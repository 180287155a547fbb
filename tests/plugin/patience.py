"""A system from outside, found through its entry point: trials that only wait, for tests of live runs."""

import time

from pydantic import BaseModel, ConfigDict, Field

from shoal.runs.results import Measurements, Results
from shoal.runs.study import Claim, Experiment, Study, Trial
from shoal.stats import Check


class Patience(BaseModel):
    """Settings."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    wait: float = Field(0.0, ge=0, le=60, description="Seconds that each trial takes.")
    bonus: int = Field(3, ge=0, description="How much better the patient are.")


def trial(t: Trial[Patience]) -> Measurements:
    time.sleep(t.config.wait)
    return {"reward": float(t.rng().normal()) + t.config.bonus * (t.variant == "patient")}


def better(results: Results) -> list[Check]:
    return [Check("patient - hasty", results.difference("waiting", "patient", "hasty", "reward"), above=0.0)]


STUDY = Study(
    name="patience",
    title="Patience: waiting pays",
    paper="no paper (2026)",
    kind="survey",
    engine="teams",
    summary="Trials that only wait.",
    config=Patience,
    experiments=[Experiment("waiting", trial, ["patient", "hasty"])],
    claims=[Claim("pays", "The patient get more", "waiting", better)],
    seeds={"quick": 5, "standard": 8, "full": 8},
)
