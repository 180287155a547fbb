"""Rollouts: experience collected by a model in a batch of worlds [seeds, worlds], as one compiled loop."""

from __future__ import annotations

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from shoal.marl.actors import Memory, Model
from shoal.marl.players import View, view
from shoal.worlds import Timestep, World
from shoal.worlds.world import where_done

SEEDS = -2
"""Where the seeds axis is in every array of a batch of worlds."""


class Runner(eqx.Module):
    """Worlds in the middle of their episodes.

    Attributes:
        state: of the worlds.
        timestep: what they show.
        fresh: where an episode has just begun.
        memory: of the networks.
        returns: rewards of the running episodes so far.
        length: steps of the running episodes so far.
    """

    state: Any
    timestep: Timestep
    fresh: Bool[Array, "seeds worlds"]
    memory: Any
    returns: Float[Array, "agents seeds worlds"]
    length: Float[Array, "seeds worlds"]


class Experience(eqx.Module):
    """What was seen and done; every array begins with [chunks, time] and ends with [seeds, worlds].

    Attributes:
        view: before the action.
        action: taken by each agent.
        sent: decisions in the communication.
        noise: uniform numbers that the communication used.
        log_p: log-probability of action and messages when taken.
        value: estimate before the action.
        reward: for the action.
        done: the episode ended with the action.
        bootstrap: value of the final observation of an episode that was truncated, else 0.
    """

    view: View
    action: Any
    sent: Any
    noise: Float[Array, "chunks time rows agents seeds worlds"]
    log_p: Float[Array, "chunks time agents seeds worlds"]
    value: Float[Array, "chunks time agents seeds worlds"]
    reward: Float[Array, "chunks time agents seeds worlds"]
    done: Bool[Array, "chunks time seeds worlds"]
    bootstrap: Float[Array, "chunks time agents seeds worlds"]


class Tally(NamedTuple):
    """Sums over the episodes that ended in a rollout.

    Attributes:
        episodes: how many ended.
        returns: sum of their returns.
        length: sum of their lengths.
        metrics: sums of their last step's metrics.
    """

    episodes: Float[Array, " seeds"]
    returns: Float[Array, "agents seeds"]
    length: Float[Array, " seeds"]
    metrics: dict[str, Float[Array, " seeds"]]

    def means(self) -> dict[str, Array]:
        """Means over episodes by name, NaN where none ended; ``return`` is summed over agents."""
        some = jnp.where(self.episodes > 0, self.episodes, jnp.nan)
        each = self.returns / some
        named = {f"world_{name}": total / some for name, total in self.metrics.items()}
        return {
            "return": each.sum(0),
            "agent_returns": each.T,
            "episode_length": self.length / some,
            "episodes": self.episodes,
            **named,
        }


def begin(world: World[Any], key: PRNGKeyArray, memory: Any, batch: tuple[int, int]) -> Runner:
    """Worlds at the beginning of their first episodes."""
    state, timestep = world.reset(key, batch)
    return Runner(
        state, timestep, jnp.ones(batch, bool), memory, jnp.zeros((world.agent_count, *batch)), jnp.zeros(batch)
    )


def collect(
    world: World[Any], model: Model, runner: Runner, key: PRNGKeyArray, chunks: int, length: int, central: bool
) -> tuple[Runner, Experience, Memory, Tally]:
    """Act for ``chunks * length`` steps.

    Args:
        world: the world.
        model: parameters [seeds, ...].
        runner: where the worlds are.
        key: randomness.
        chunks: sequences into which the rollout is cut; the memory at the start of each is kept.
        length: steps of each.
        central: the critic looks at the global state.

    Returns the runner after the last step, the experience, the memories at the start of each chunk [chunks, ...], and
    the tally of ended episodes.
    """
    act: Any = jax.vmap(lambda m, *args: m.act(*args), (0, SEEDS, SEEDS, SEEDS), SEEDS)
    judge: Any = jax.vmap(lambda m, *args: m.value(*args), (0, SEEDS, SEEDS, SEEDS), SEEDS)
    noise_key, key = jax.random.split(key)
    own, kept = model.rows
    noise = jax.random.uniform(noise_key, (chunks, length, own + kept, *runner.returns.shape))
    keys = jax.random.split(key, (chunks, length))
    seeds = runner.fresh.shape[0]
    zero = jnp.zeros(seeds)
    tally = Tally(zero, jnp.zeros((world.agent_count, seeds)), zero, dict.fromkeys(runner.timestep.metrics, zero))

    def step(carry: tuple[Runner, Tally], xs: tuple[Array, Array]) -> tuple[tuple[Runner, Tally], Experience]:
        runner, tally = carry
        noise, key = xs
        step_key, reset_key = jax.random.split(key)
        seen = view(world, runner.state, runner.timestep, runner.fresh, central)
        (action, sent, log_p), actor = act(model, seen, noise, runner.memory.actor)
        value, critic = judge(model, seen, runner.memory.critic, noise[own:])
        state, timestep = world.step(step_key, runner.state, action)
        done = timestep.done
        moved = Runner(
            state, timestep, done, Memory(actor, critic), runner.returns + timestep.reward, runner.length + 1
        )

        def renew(both: tuple[Runner, Tally]) -> tuple[Runner, Tally, Array]:
            runner, tally = both
            cut = timestep.truncated & ~timestep.terminated
            final, _ = judge(model, view(world, state, timestep, jnp.zeros_like(done), central), critic, noise[own:])
            bootstrap = jnp.where(cut & timestep.alive, final, 0.0)
            tally = count_episodes(tally, runner, done)
            fresh = where_done(done, world.reset(reset_key, done.shape), (runner.state, runner.timestep))
            returns, length = where_done(done, (0.0, 0.0), (runner.returns, runner.length))
            return Runner(fresh[0], fresh[1], done, runner.memory, returns, length), tally, bootstrap

        # Everything that only the end of an episode needs is computed only in steps in which an episode ends.
        runner, tally, bootstrap = jax.lax.cond(
            done.any(), renew, lambda both: (*both, jnp.zeros_like(value)), (moved, tally)
        )
        return (runner, tally), Experience(
            seen, action, sent, noise[own:], log_p, value, timestep.reward, done, bootstrap
        )

    def chunk(carry: tuple[Runner, Tally], xs: tuple[Array, Array]) -> tuple[tuple[Runner, Tally], Any]:
        memory = carry[0].memory
        carry, experience = jax.lax.scan(step, carry, xs)
        return carry, (experience, memory)

    (runner, tally), (experience, memories) = jax.lax.scan(chunk, (runner, tally), (noise, keys))
    return runner, experience, memories, tally


def count_episodes(tally: Tally, runner: Runner, done: Bool[Array, "seeds worlds"]) -> Tally:
    """The tally with the episodes that ended just now; ``runner`` is not yet reset."""
    over = done.astype(jnp.float32)
    last = runner.timestep.metrics
    return Tally(
        tally.episodes + over.sum(-1),
        tally.returns + (runner.returns * over).sum(-1),
        tally.length + (runner.length * over).sum(-1),
        {name: tally.metrics[name] + (last[name] * over).sum(-1) for name in tally.metrics},
    )
