"""Dynamics: how populations and learners move, and where they end."""

from shoal.games.dynamics.alpha_rank import alpha_rank
from shoal.games.dynamics.answers import answering
from shoal.games.dynamics.best_response import best_response_path, sink_equilibria
from shoal.games.dynamics.drift import drift, fixation_probability
from shoal.games.dynamics.fictitious_play import fictitious_play
from shoal.games.dynamics.nash_averaging import antisymmetric, nash_averaging
from shoal.games.dynamics.replicator import replicator

__all__ = [
    "alpha_rank",
    "answering",
    "antisymmetric",
    "best_response_path",
    "drift",
    "fictitious_play",
    "fixation_probability",
    "nash_averaging",
    "replicator",
    "sink_equilibria",
]
