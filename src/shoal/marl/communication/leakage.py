"""Does anything reach an agent beside the messages? Others' observations are exchanged while its messages are cut."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import PRNGKeyArray

from shoal.marl.actors import Actor, PolicyPlayer
from shoal.marl.communication.channels import Cut
from shoal.marl.communication.conversations import intervene
from shoal.marl.compilation import ONCE, compiled
from shoal.marl.players import view
from shoal.worlds import World

WORLDS = 16


def leakage(player: PolicyPlayer, world: World[Any], key: PRNGKeyArray) -> dict[str, float]:
    """Largest change of the first agent's logits when the others see what they would see in another world.

    Args:
        player: parameters of one seed, with a communication.
        world: where; first moments of episodes are looked at.
        key: randomness.

    Returns the change with messages ``on`` (it should be more than 0 if they say anything) and ``cut`` (exactly 0 if
    nothing leaks), as it would be after training.

    Raises:
        InputError: no communication.
    """
    reset_key, noise_key = jax.random.split(key)
    state, timestep = world.reset(reset_key, (WORLDS,))
    seen = view(world, state, timestep, jnp.ones(WORLDS, bool))
    strange = jnp.concatenate([seen.obs[:, :1], jnp.roll(seen.obs[:, 1:], 1, -1)], 1)
    other = eqx.tree_at(lambda v: v.obs, seen, strange)
    found = {}
    for name, chosen in (("on", player), ("cut", intervene(player, Cut()))):
        actor: Actor = chosen.model.actor  # type: ignore[attr-defined]
        start = actor.start(world.agent_count, (WORLDS,))
        noise = jax.random.uniform(noise_key, (actor.rows[1], world.agent_count, WORLDS))
        outputs = compiled(lambda v, a=actor, s=start, u=noise: a.outputs(v, s, u, execute=True)[0], seen, options=ONCE)
        found[name] = float(jnp.abs(outputs(seen) - outputs(other))[:, 0].max())
    return found
