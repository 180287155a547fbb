"""Methods that follow who used what: tracing on the information dependency graph, and its ablations."""

from __future__ import annotations

import numpy as np

from shoal.diagnosis.incident import Blame, Incident, attribution_method
from shoal.diagnosis.information import reach
from shoal.diagnosis.tracing import chain, closure, shuffled, trace_back


@attribution_method("findings", "The default: tracing over all steps, weighted by what was made from them", shares=True)
def findings_method(incident: Incident) -> Blame:
    """The tracing rule without cutting steps off: usage edges of real logs have gaps."""
    return trace_back(incident.suspicion, incident.graph, reach(incident.graph, incident.terminal))


@attribution_method(
    "tracing", "Back from the failure along usage edges: suspicious, clean parents, Impact", shares=True
)
def tracing(incident: Incident) -> Blame:
    """GraphTracer's rule among the steps that the failing one was made from."""
    return trace_back(incident.suspicion, incident.graph, incident.impact, incident.terminal)


@attribution_method("tracing without impact", "Tracing, its Impact factor left out", shares=True)
def without_impact(incident: Incident) -> Blame:
    """Suspicion times clean parents in the closure."""
    return trace_back(incident.suspicion, incident.graph, None, incident.terminal)


@attribution_method("tracing without parents", "Tracing, its clean-parents factor left out", shares=True)
def without_parents(incident: Incident) -> Blame:
    """Suspicion times Impact in the closure."""
    inside = closure(incident.graph, incident.terminal)
    return np.where(inside, incident.suspicion * (0.5 + 0.5 * incident.impact), 0.0)


@attribution_method("tracing on a chain", "Tracing, each step taken to have used the one before", shares=True)
def on_chain(incident: Incident) -> Blame:
    """The ablation in which edges are those of time."""
    return tracing(incident.on(chain(incident.size)))


@attribution_method("tracing on shuffled edges", "Tracing, with usage edges drawn at random", shares=True)
def on_shuffled(incident: Incident) -> Blame:
    """The ablation in which edges say nothing."""
    return tracing(incident.on(shuffled(incident.graph, incident.seed)))
