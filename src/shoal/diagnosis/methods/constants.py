"""Baselines that look at little or nothing. A method that does not beat these has found nothing."""

from __future__ import annotations

from collections import Counter

import numpy as np

from shoal.diagnosis.incident import Blame, Incident, attribution_method

SUSPICIOUS = 0.5
"""Suspicion from which on a step counts as suspicious."""


@attribution_method("random", "A step of some agent, drawn at random")
def random_step(incident: Incident) -> Blame:
    """Each step of an agent with equal chance."""
    return incident.one(int(np.random.default_rng(incident.seed).choice(incident.blamable)))


@attribution_method("always step 1", "The second step (number 1), whatever happened")
def constant_step(incident: Incident, step: int = 1) -> Blame:
    """Always the step of that number, the last one where there are fewer."""
    return incident.one(min(step, incident.size - 1))


@attribution_method("always one agent", "The agent first in the alphabet, at its first step")
def constant_agent(incident: Incident, agent: str = "") -> Blame:
    """Always the agent of that name, at its first step; the first of all names where it is not there."""
    names = sorted({incident.agents[s] for s in incident.blamable})
    chosen = agent if agent in names else names[0]
    return incident.one(incident.agents.index(chosen))


@attribution_method("earliest suspicious", "The first step that looks suspicious; the most suspicious if none does")
def earliest_suspicious(incident: Incident, threshold: float = SUSPICIOUS) -> Blame:
    """The first step of an agent with at least that suspicion: reading in order of time."""
    own = incident.blamable
    above = own[incident.suspicion[own] >= threshold]
    return incident.one(int(above[0]) if above.size else int(own[incident.suspicion[own].argmax()]))


@attribution_method("last before failure", "The step of an agent just before the failing one")
def last_before(incident: Incident) -> Blame:
    """The last step before the terminal; the terminal where nothing stands before it."""
    before = incident.blamable[incident.blamable < incident.terminal]
    return incident.one(int(before[-1]) if before.size else incident.terminal)


@attribution_method("most talkative", "The agent with most steps, at its most suspicious one")
def most_talkative(incident: Incident) -> Blame:
    """Whoever spoke most often; of equals whoever spoke first."""
    own = incident.blamable
    most = Counter(incident.agents[s] for s in own).most_common(1)[0][0]
    steps = np.array([s for s in own if incident.agents[s] == most])
    return incident.one(int(steps[incident.suspicion[steps].argmax()]))
