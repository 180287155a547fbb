"""What a trained policy loses when its messages are taken away, exchanged or garbled: the causal test of their use."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import PRNGKeyArray
from numpy.typing import NDArray

from shoal.marl.actors import PolicyPlayer
from shoal.marl.communication.channels import Channel, Cut, Scramble, Shuffle
from shoal.marl.communication.conversations import intervene
from shoal.marl.evaluation import Episodes, evaluate_seeds
from shoal.worlds import World

INTERVENTIONS: Mapping[str, Channel] = {
    "zeroed": Cut(),
    "shuffled": Shuffle(among="episodes"),
    "other agents'": Shuffle(among="agents"),
    "noise": Scramble(),
}
"""The usual four, by name."""


def ablate(
    players: PolicyPlayer,
    seeds: int,
    world: World[Any],
    episodes: int,
    key: PRNGKeyArray,
    interventions: Mapping[str, Channel] = INTERVENTIONS,
) -> dict[str, list[Episodes]]:
    """Play the same episodes under each intervention.

    Args:
        players: trained; parameters [seeds, ...].
        seeds: how many.
        world: where.
        episodes: for each seed.
        key: randomness, the same for all.
        interventions: channels by name.

    Returns the episodes of each seed by name, and untouched as ``on``.
    """
    found = {"on": evaluate_seeds(players, seeds, world, episodes, key)}
    for name, channel in interventions.items():
        found[name] = evaluate_seeds(intervene(players, channel), seeds, world, episodes, key)
    return found


def drops(ablated: Mapping[str, list[Episodes]]) -> dict[str, NDArray[np.float64]]:
    """Team return lost by each intervention, [seeds]: what the messages were worth."""
    on = np.array([e.team.mean() for e in ablated["on"]])
    return {name: on - np.array([e.team.mean() for e in played]) for name, played in ablated.items() if name != "on"}
