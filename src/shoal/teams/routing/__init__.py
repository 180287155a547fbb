"""Routing work among unequal agents: beacons, screening, a contextual bandit, and feedback that arrives late."""

from shoal.teams.routing.beacon import AgentState, Bid, Candidate, NoAgentAvailable, Priors, SubTask
from shoal.teams.routing.chains import Chain, vote_over_chains, vote_within
from shoal.teams.routing.linucb import BatchedLinUCB, LinUCB, Radius
from shoal.teams.routing.router import Router, RouterSettings
from shoal.teams.routing.team import SymphonyTeam

__all__ = [
    "AgentState",
    "BatchedLinUCB",
    "Bid",
    "Candidate",
    "Chain",
    "LinUCB",
    "NoAgentAvailable",
    "Priors",
    "Radius",
    "Router",
    "RouterSettings",
    "SubTask",
    "SymphonyTeam",
    "vote_over_chains",
    "vote_within",
]
