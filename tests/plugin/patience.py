"""The toy study as a system from outside, found through its entry point: trials that only wait, for live runs."""

from dataclasses import replace

from toy_study import STUDY as TOY

STUDY = replace(
    TOY,
    name="patience",
    title="Patience: waiting pays",
    summary="Trials that only wait.",
    experiments=[TOY.experiment("plain")],
    sizes={},
    seeds={"quick": 5, "standard": 8, "full": 8},
)
