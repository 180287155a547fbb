"""Populations: millions of agents as arrays, substeps as pure functions, time as one compiled loop."""

from shoal.populations.model import MODELS, Parameter, PopulationModel, PopulationSettings, Substep, make_model
from shoal.populations.networks import Network, network
from shoal.populations.simulation import Simulation, simulate

__all__ = [
    "MODELS",
    "Network",
    "Parameter",
    "PopulationModel",
    "PopulationSettings",
    "Simulation",
    "Substep",
    "make_model",
    "network",
    "simulate",
]
