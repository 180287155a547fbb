"""Worlds: JAX environments of several agents with a text face. Trailing axes are the batch; see ``world.py``."""

from shoal.worlds.catalogue import WORLDS, make_world, world
from shoal.worlds.conformance import check
from shoal.worlds.rollout import play, random_actions, step_and_reset
from shoal.worlds.world import Timestep, World

__all__ = ["WORLDS", "Timestep", "World", "check", "make_world", "play", "random_actions", "step_and_reset", "world"]
