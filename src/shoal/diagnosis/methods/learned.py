"""The learned tracer as an attribution method."""

from __future__ import annotations

from shoal.diagnosis.incident import Blame, Incident, attribution_method


@attribution_method(
    "tracer", "A small network trained on made-up failures by policy gradient (some seconds)", shares=True
)
def tracer(incident: Incident) -> Blame:
    """The trained policy over the incident's steps; trained once in a process, from a fixed seed."""
    from shoal.diagnosis.tracer import standard_tracer

    return standard_tracer().blame(incident)
