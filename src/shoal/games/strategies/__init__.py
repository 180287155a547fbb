"""Strategies of iterated dilemmas, as finite-state machines."""

from shoal.games.strategies.automaton import Automaton
from shoal.games.strategies.catalogue import STRATEGIES, make_strategy

__all__ = ["STRATEGIES", "Automaton", "make_strategy"]
