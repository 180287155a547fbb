"""Populations in shares: agents keep their own numbers, and only sums are learned."""

from shoal.populations.private.calibration import PrivateObjective, private
from shoal.populations.private.messages import MessageLog
from shoal.populations.private.simulation import PrivateSimulation, simulate_privately
from shoal.populations.private.sums import GaussianNoise

__all__ = [
    "GaussianNoise",
    "MessageLog",
    "PrivateObjective",
    "PrivateSimulation",
    "private",
    "simulate_privately",
]
