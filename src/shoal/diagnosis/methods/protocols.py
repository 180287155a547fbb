"""The three ways to ask a judge of Who&When (Zhang et al., arXiv 2505.00212) as attribution methods."""

from __future__ import annotations

from shoal.diagnosis import inquiry
from shoal.diagnosis.incident import Blame, Incident, attribution_method


@attribution_method("all-at-once", "A model reads the whole log and names one agent and one step", asks=True)
async def all_at_once(incident: Incident) -> Blame:
    """One question over the whole log; an agent named without a step is blamed at its most suspicious one."""
    return _blame(incident, await inquiry.all_at_once(_judge(incident), incident))


@attribution_method("step-by-step", "A model reads the log step by step until it says that one is wrong", asks=True)
async def step_by_step(incident: Incident) -> Blame:
    """One question for each step, over the log so far; the first yes ends it."""
    return _blame(incident, await inquiry.step_by_step(_judge(incident), incident))


@attribution_method("binary search", "A model says which half of the log holds the error, again and again", asks=True)
async def binary_search(incident: Incident) -> Blame:
    """One question for each halving."""
    return _blame(incident, await inquiry.binary_search(_judge(incident), incident))


def _judge(incident: Incident) -> inquiry.Judge:
    assert incident.judge is not None, "asked_blame checks this"
    return incident.judge


def _blame(incident: Incident, answer: inquiry.Answer) -> Blame:
    if answer.step is None and answer.agent is not None:
        own = [s for s, agent in enumerate(incident.agents) if agent == answer.agent]
        return incident.one(max(own, key=lambda s: (incident.suspicion[s], -s), default=None))
    return incident.one(answer.step)
