"""Agents on a graph that minimise the mean of their private objectives and must agree on where it lies."""

from shoal.games.consensus.objectives import Objectives, consensus_objectives, localisation, mixing
from shoal.games.consensus.swarm import Rules, Run, optimise

__all__ = ["Objectives", "Rules", "Run", "consensus_objectives", "localisation", "mixing", "optimise"]
