"""Conversations of trained policies: recorded, measured, interfered with, and held with strangers."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PRNGKeyArray
from numpy.typing import NDArray

from shoal.errors import InputError
from shoal.marl import categorical
from shoal.marl.actors import Actor, PolicyPlayer
from shoal.marl.communication import metrics
from shoal.marl.communication.channels import Chain, Channel, Clear, Cut, Edge, Shuffle, joined
from shoal.marl.communication.exchange import Exchange
from shoal.marl.compilation import QUICK, usable
from shoal.marl.learner import Learner, make_learner
from shoal.marl.players import View, view
from shoal.worlds import World

FOREIGN = (1, 2, 3, 5)
"""Worlds from which another message is taken for the influence of one: how many further."""


def exchange_of(player: PolicyPlayer) -> Exchange:
    """The communication of a policy. Raises InputError if it has none that can be interfered with."""
    actor = getattr(player.model, "actor", None)
    if not isinstance(actor, Actor) or not isinstance(actor.comm, Exchange):
        raise InputError("policy", type(player.model).__name__, "Train it with a communication that has a channel.")
    return actor.comm


def intervene(player: PolicyPlayer, channel: Channel) -> PolicyPlayer:
    """The policy with something done to its messages, behind the channel that it was trained with.

    Args:
        player: trained; parameters of one seed or of several.
        channel: what is done, such as ``Cut()``, ``Shuffle()``, ``Scramble(edges=((0, 1),))`` or ``Delay(steps=2)``.

    Raises:
        InputError: it has no communication.
    """
    return _with(player, joined(exchange_of(player).channel, channel))


def with_options(learner: Learner[Any, Any], player: PolicyPlayer, world: World[Any], spec: str) -> PolicyPlayer:
    """Trained parameters under other options of their family: another threshold, rate or channel.

    Args:
        learner: that trained it.
        player: parameters [seeds, ...].
        world: that it was trained in.
        spec: the family with its new options; they may not change the size of anything.

    Raises:
        InputError: another family, or options that need other parameters.
    """
    other = make_learner(learner.name, **{**learner.settings.model_dump(), "communication": spec})
    leaves = jax.tree.leaves(player)
    keys = jax.random.split(jax.random.key(0), leaves[0].shape[0])
    shape = jax.eval_shape(lambda: other.player(other.init(keys, world)))
    if [x.shape for x in jax.tree.leaves(shape)] != [x.shape for x in leaves]:
        raise InputError("communication", spec, f"Its parameters differ from {learner.settings.communication}.")
    return jax.tree.unflatten(jax.tree.structure(shape), leaves)  # type: ignore[no-any-return]


def partners(player: PolicyPlayer, table: NDArray[np.int64]) -> PolicyPlayer:
    """Teams of agents from different trainings, who hear each other.

    Args:
        player: parameters [seeds, agents, ...]: of a learner with ``shared=False``.
        table: for each team, the seed from which each agent comes [teams, agents].

    Returns a player with parameters [teams, agents, ...].

    Raises:
        InputError: agents share parameters, so none can change teams.
    """
    exchange_of(player)
    actor: Actor = player.model.actor  # type: ignore[attr-defined]
    if actor.encoder.layers[0].weight.ndim != 4 or actor.log_std is not None:
        raise InputError("partners", "shared parameters", "Train with shared=False, in several seeds.")
    pick, place = jnp.asarray(table), jnp.arange(table.shape[1])[None]
    mixed = jax.tree.map(lambda x: x[pick, place], actor)
    first = jnp.zeros(len(table), jnp.int32)
    rest = jax.tree.map(lambda x: x[first], player)
    return eqx.tree_at(lambda p: p.model.actor, rest, mixed)  # type: ignore[no-any-return]


@dataclass(frozen=True)
class Conversation:
    """What was seen, said and done in episodes side by side. Arrays [steps, ..., agents, worlds].

    Attributes:
        obs: observations [steps, features, agents, worlds].
        there: the agent was alive and the episode not over [steps, agents, worlds].
        message: uttered, sent or not [steps, width, agents, worlds].
        open: 1 where it was sent [steps, agents, worlds].
        weight: attention [steps, receivers, senders, worlds]; None where there is none.
        action: taken [steps, agents, worlds].
        reward: for it; 0 when the episode is over [steps, agents, worlds].
        policy: probabilities of actions [steps, actions, agents, worlds].
        without: the same with one sender's messages cut [steps, senders, actions, agents, worlds]; no senders if this
            was not probed, as in the next.
        foreign: the same with its messages from other worlds [steps, senders, others, actions, agents, worlds].
        bits: of a message.
    """

    obs: NDArray[np.float64]
    there: NDArray[np.bool_]
    message: NDArray[np.float64]
    open: NDArray[np.float64]
    weight: NDArray[np.float64] | None
    action: NDArray[np.int64]
    reward: NDArray[np.float64]
    policy: NDArray[np.float64]
    without: NDArray[np.float64]
    foreign: NDArray[np.float64]
    bits: float

    def sender(self, agent: int) -> dict[str, NDArray[Any]]:
        """An agent's samples over steps and worlds: observation, message (0 where unsent), action, next actions."""
        there = self.there[:, agent]
        sent = self.message[:, :, agent] * self.open[:, None, agent]
        return {
            "observation": np.moveaxis(self.obs[:, :, agent], 1, -1)[there],
            "message": np.moveaxis(sent, 1, -1)[there],
            "action": self.action[:, agent][there],
        }


def record(
    players: PolicyPlayer, seeds: int, world: World[Any], episodes: int, key: PRNGKeyArray, probe: bool = True
) -> list[Conversation]:
    """Play episodes side by side and keep everything that was said; one conversation for each seed.

    Args:
        players: parameters [seeds, ...], with a communication.
        seeds: how many.
        world: where; numbered actions.
        episodes: for each seed, at least 6.
        key: randomness.
        probe: also ask at each step what would be done without, or with other messages of, each sender.

    Raises:
        InputError: no communication, continuous actions, or too few episodes.
    """
    if world.continuous:
        raise InputError("world", world.name, "Measures of messages need numbered actions.")
    if episodes <= max(FOREIGN):
        raise InputError("episodes", episodes, f"Play more than {max(FOREIGN)}, to hear messages of other episodes.")
    exchange = exchange_of(players)
    kept = jax.tree.map(np.asarray, _program()(players, seeds, world, episodes, key, probe))
    seen, there, said, action, reward, policy, without, foreign = kept
    found = []
    for s in range(seeds):
        own = [x[..., s, :] for x in (seen, there, said.message, said.open, action, reward, policy, without, foreign)]
        weight = said.weight[..., s, :] if isinstance(said.weight, np.ndarray) else None
        o, t, message, opened, acted, paid, chance, cut, other = own
        found.append(
            Conversation(
                o, t, message, opened * t, weight, acted, paid, chance, cut, other, exchange.bits * exchange.rounds
            )
        )
    return found


def measures(conversation: Conversation, most: int = 4000, seed: int = 0) -> dict[str, float]:
    """All measures of a conversation, averaged over agents (as senders) and, for listening, over pairs.

    Args:
        conversation: recorded.
        most: samples of each agent that enter estimates of information.
        seed: of shuffles and samples.

    Returns ``signalling``, ``consistency``, ``coordination``, ``listening`` (L1), ``listening_kl``, ``influence``,
    ``entropy``, ``open`` and ``bits`` by name; information in bits.
    """
    rng = np.random.default_rng(seed)
    agents = conversation.there.shape[1]
    rows: dict[str, list[float]] = {name: [] for name in ("signalling", "consistency", "coordination", "entropy")}
    for i in range(agents):
        samples = conversation.sender(i)
        count = len(samples["action"])
        if count == 0:
            continue
        some = rng.permutation(count)[:most]
        said = metrics.clusters(samples["message"])
        rows["entropy"].append(metrics.entropy(said))
        seen = metrics.clusters(samples["observation"][some], most=64)
        rows["signalling"].append(metrics.positive_signalling(said[some], seen, rng=rng))
        rows["consistency"].append(metrics.speaker_consistency(said[some], samples["action"][some], rng=rng))
        for j in range(agents):
            if j != i and (pair := _next_actions(conversation, i, j)) is not None:
                rows["coordination"].append(metrics.instantaneous_coordination(*pair, rng=rng))
    result = {name: float(np.mean(values)) if values else 0.0 for name, values in rows.items()}
    result.update(_listening(conversation))
    share = metrics.open_share(conversation.open, conversation.there)
    return {**result, "open": share, "bits": share * conversation.bits}


def spoken_language(attributes: int, values: int, conversation: Conversation) -> dict[str, float]:
    """Measures of the first agent's code in a referential game: what it says for each object it met.

    Args:
        attributes: of an object; its observation begins with their values, one-hot.
        values: of an attribute.
        conversation: recorded; messages are one-hot symbols.

    Returns ``topographic similarity``, ``positional disentanglement``, ``context independence``, ``message entropy``.
    """
    seen = conversation.obs[0, : attributes * values, 0].reshape(attributes, values, -1).argmax(1).T
    uttered = conversation.message[0, :, 0]
    length = round(float(uttered.sum(0).mean()))
    said = uttered.reshape(-1, length, uttered.shape[-1]).argmax(0).T
    met, first = np.unique(seen, axis=0, return_index=True)
    return {
        "topographic similarity": metrics.topographic_similarity(met, said[first]),
        "positional disentanglement": metrics.positional_disentanglement(met, said[first]),
        "context independence": metrics.context_independence(met, said[first]),
        "message entropy": metrics.entropy(said),
    }


def _next_actions(conversation: Conversation, i: int, j: int) -> tuple[NDArray[Any], NDArray[Any]] | None:
    """Messages of i, and what j does one step later; None for episodes of one step."""
    both = conversation.there[:-1, i] & conversation.there[1:, j]
    if not both.any():
        return None
    sent = (conversation.message[:, :, i] * conversation.open[:, None, i])[:-1]
    return metrics.clusters(np.moveaxis(sent, 1, -1)[both]), conversation.action[1:, j][both]


def _listening(conversation: Conversation) -> dict[str, float]:
    """Changes of policies when one sender is cut, or says what it says elsewhere, over pairs that both are there."""
    agents = conversation.there.shape[1] if conversation.without.shape[1] else 0
    changes: dict[str, list[float]] = {"listening": [], "listening_kl": [], "influence": []}
    for s in range(agents):
        for r in range(agents):
            both = conversation.there[:, s] & conversation.there[:, r]
            if s == r or not both.any():
                continue
            own = np.moveaxis(conversation.policy[:, :, r], 1, -1)[both]
            cut = np.moveaxis(conversation.without[:, s, :, r], 1, -1)[both]
            blind = np.moveaxis(conversation.foreign[:, s, :, :, r].mean(1), 1, -1)[both]
            heard = metrics.positive_listening(own, cut)
            changes["listening"].append(heard["l1"])
            changes["listening_kl"].append(heard["kl"])
            changes["influence"].append(float(metrics.divergence(own, blind).mean()))
    return {name: float(np.mean(values)) if values else 0.0 for name, values in changes.items()}


def _with(player: PolicyPlayer, channel: Channel) -> PolicyPlayer:
    # A channel has no arrays, so it is part of the structure; trees are rebuilt, not edited.
    return eqx.tree_at(  # type: ignore[no-any-return]
        lambda p: p.model.actor.comm.channel, player, channel, is_leaf=lambda x: isinstance(x, Channel)
    )


@functools.cache
def _program() -> Callable[..., Any]:
    return jax.jit(_record, static_argnums=(1, 2, 3, 5), compiler_options=usable(tuple(QUICK.items())))


def _record(players: PolicyPlayer, seeds: int, world: World[Any], episodes: int, key: PRNGKeyArray, probe: bool) -> Any:
    batch, agents = (seeds, episodes), world.agent_count
    exchange = exchange_of(players)

    def variant(extra: Channel) -> PolicyPlayer:
        # Always a chain of two, so that one memory fits all variants.
        return _with(players, Chain(links=(exchange.channel, extra)))

    def probabilities(player: PolicyPlayer, seen: View, memory: Any, noise: Array) -> Array:
        def one(p: PolicyPlayer, seen: View, memory: Any, noise: Array) -> Array:
            actor: Actor = p.model.actor  # type: ignore[attr-defined]
            out, _, _ = actor.outputs(seen, memory, noise, execute=True)
            return jnp.exp(categorical.log_probabilities(out, seen.legal))

        return jax.vmap(one, (0, -2, -2, -2), -2)(player, seen, memory, noise)

    def act(p: PolicyPlayer, seen: View, memory: Any, noise: Array) -> Any:
        actor: Actor = p.model.actor  # type: ignore[attr-defined]
        out, memory, heard = actor.outputs(seen, memory, noise[1:], execute=True)
        log_p = categorical.log_probabilities(out, seen.legal)
        assert heard is not None
        return categorical.sample(log_p, noise[0]), jnp.exp(log_p), heard.said, memory

    whole = variant(Clear())
    probed = range(agents) if probe else range(0)
    senders: Sequence[tuple[Edge, ...]] = [tuple((r, s) for r in range(agents)) for s in probed]
    cuts = [variant(Cut(edges=edges)) for edges in senders]
    others = [[variant(Shuffle(edges=edges, by=k)) for k in FOREIGN] for edges in senders]
    rows = 1 + whole.model.rows[1]
    reset_key, key = jax.random.split(key)
    state, timestep = world.reset(reset_key, batch)
    start = (state, timestep, whole.start(agents, batch), jnp.ones(batch, bool))

    def step(carry: Any, time: Array) -> Any:
        state, timestep, memory, running = carry
        noise_key, step_key = jax.random.split(jax.random.fold_in(key, time))
        seen = view(world, state, timestep, jnp.broadcast_to(time == 0, batch))
        noise = jax.random.uniform(noise_key, (rows, agents, *batch))
        action, policy, said, after = jax.vmap(act, (0, -2, -2, -2), -2)(whole, seen, memory, noise)
        nothing = jnp.zeros((0, *policy.shape))
        without = jnp.stack([probabilities(p, seen, memory, noise[1:]) for p in cuts]) if probe else nothing
        foreign = nothing[:, None]
        if probe:
            foreign = jnp.stack([jnp.stack([probabilities(p, seen, memory, noise[1:]) for p in row]) for row in others])
        state, timestep = world.step(step_key, state, action)
        reward = jnp.where(running, timestep.reward, 0.0)
        kept = (seen.obs, seen.alive & running, said, action, reward, policy, without, foreign)
        return (state, timestep, after, running & ~timestep.done), kept

    return jax.lax.scan(step, start, jnp.arange(world.horizon))[1]
