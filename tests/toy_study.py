"""A small study for testing the machinery: trials are module-level functions, so worker processes can import them."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from pydantic import Field

from shoal.runs import Claim, Experiment, Measurements, Results, Study, StudyConfig, Trial, Vocabulary
from shoal.stats import Check
from shoal.teams.agent import Agent
from shoal.teams.session import Session


class ToyConfig(StudyConfig):
    """Settings of the toy study."""

    effect: float = Field(1.0, ge=-5, le=5, description="True difference between treatment and baseline")
    marker: str = Field("", description="File that counts trials")
    pause: float = Field(0.0, ge=0, description="Seconds that each trial takes")
    broken_seed: int = Field(-1, description="Seed whose trial raises")
    asks: int = Field(0, ge=0, description="Model calls of each asking trial")


def plain(trial: Trial[ToyConfig]) -> Measurements:
    config = trial.config
    if config.marker:
        with Path(config.marker).open("a") as file:
            file.write(f"{trial.variant}-{trial.seed}\n")
    if trial.seed == config.broken_seed:
        raise ZeroDivisionError("as the test asked")
    time.sleep(config.pause)
    trial.trace.write("note", "toy", {"pid": os.getpid()})
    noise = trial.rng("noise").normal()
    return {"score": noise + config.effect * (trial.variant == "treatment"), "items": [1.0, 2.0]}


def batched(trial: Trial[ToyConfig]) -> Sequence[Measurements]:
    return [{"score": float(seed)} for seed in trial.seeds]


async def joint(trial: Trial[ToyConfig]) -> Mapping[str, Measurements]:
    model = trial.need_model()
    session = Session(model, trace=trial.trace, seed=trial.derive("session"))
    replies = [await session.ask(Agent("a"), f"question {i} of seed {trial.seed}") for i in range(trial.config.asks)]
    value = float(sum(not r.failed for r in replies))
    return {"treatment": {"answers": value}, "baseline": {"answers": 0.0}}


def checks(results: Results) -> list[Check]:
    return [Check("treatment - baseline", results.difference("plain", "treatment", "baseline", "score"), above=0.0)]


STUDY = Study(
    name="toy",
    title="Toy",
    paper="none",
    kind="benchmark",
    engine="teams",
    summary="For tests.",
    config=ToyConfig,
    experiments=[
        Experiment("plain", plain, ("treatment", "baseline")),
        Experiment("batched", batched, ("one",), vectorised=True),
        Experiment(
            "asking", joint, ("treatment", "baseline"), model=True, joint=True, seeds={"quick": 2, "standard": 3}
        ),
    ],
    claims=[Claim("effect", "the treatment helps", "plain", checks)],
    sizes={"quick": {"pause": 0.0}},
    seeds={"quick": 4, "standard": 12, "full": 12},
    vocabulary=Vocabulary(protocol=("none",)),
)
