"""Communication between agents: families, channels, recorded conversations, and measures with known answers."""

from __future__ import annotations

import functools
import math
from typing import Any
from unittest.mock import patch

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from shoal.errors import InputError, UnknownName
from shoal.marl import LEARNERS, make_learner, networks, train
from shoal.marl.actors import Actor, PolicyPlayer
from shoal.marl.communication import (
    COMMUNICATIONS,
    Chain,
    Clear,
    Cut,
    Delay,
    Drop,
    Noise,
    Packet,
    Scale,
    Scramble,
    Shuffle,
    listing,
    make_communication,
    metrics,
)
from shoal.marl.communication.aggregation import attention, averaged, slots, summed
from shoal.marl.communication.bottleneck import divergence
from shoal.marl.communication.conversations import exchange_of, intervene, measures, partners, record
from shoal.marl.communication.exchange import Exchange
from shoal.marl.communication.schednet import draw_log_p, ranks
from shoal.marl.evaluation import evaluate_seeds
from shoal.marl.players import View
from shoal.worlds import make_world

KEY = jax.random.key(0)
HIDDEN, OBS = 8, 5
SPEAKING = (
    "commnet", "commnet:rounds=2", "dial:width=3", "dial:combine=mean", "ic3net:price=0.1", "tarmac:key=4,value=4",
    "tarmac:rounds=2,key=4,value=4", "tarmac:uniform=true", "event:tau=0.1", "event:reuse=false,tau=0.1",
    "tokens:vocabulary=4", "rial:vocabulary=4", "graph:heads=2,key=4,value=4", "graph:graph=ring,key=4,value=4",
    "graph:hard=true,key=4,value=4", "graph:graph=radius,radius=10,key=4,value=4", "schednet:k=2", "bottleneck:width=3",
    "full", "full:share=hidden",
)  # fmt: skip

FAMILIES = (
    "commnet:rounds=2", "dial:width=3", "ic3net:price=0.1", "tarmac:rounds=2,key=4,value=4", "event:tau=0.1",
    "tokens:vocabulary=4", "rial:vocabulary=4", "graph:hard=true,key=4,value=4", "schednet:k=2", "bottleneck:width=3",
    "full",
)  # fmt: skip


@functools.cache
def module(spec: str, agents: int = 3, separate: bool = False) -> Exchange:
    # Plain normal weights: orthogonal ones take a compilation each, and nothing here depends on them.
    with patch.object(networks, "orthogonal", lambda key, *shape: jax.random.normal(key, shape[:2]) * shape[2] / 3):
        made = make_communication(spec, KEY, Scale(HIDDEN, agents, OBS, agents if separate else None))
    assert isinstance(made, Exchange)
    return made


def views(agents: int, *batch: int, alive: Any = None, fresh: bool = True) -> View:
    there = jnp.ones((agents, *batch), bool) if alive is None else jnp.asarray(alive)
    obs = jax.random.normal(jax.random.key(3), (OBS, agents, *batch))
    return View(obs * there, jnp.zeros((0, *batch)), there, jnp.ones((4, agents, *batch), bool), jnp.full(batch, fresh))


def features(agents: int, *batch: int, seed: int = 1) -> Any:
    return jnp.tanh(jax.random.normal(jax.random.key(seed), (HIDDEN, agents, *batch)))


def uniform(comm: Exchange, agents: int, *batch: int, seed: int = 2) -> Any:
    return jax.random.uniform(jax.random.key(seed), (comm.rows, agents, *batch))


def hear(comm: Exchange, h: Any, view: View, execute: bool = True, sent: Any = None, seed: int = 2) -> Any:
    agents, batch = h.shape[1], h.shape[2:]
    return comm(h, view, uniform(comm, agents, *batch, seed=seed), comm.start(agents, batch), sent, execute)


# Families.


@pytest.mark.parametrize("spec", SPEAKING)
def test_every_family_speaks_and_only_through_its_channel(spec: str) -> None:
    comm = module(spec, separate=SPEAKING.index(spec) % 2 == 1)
    h, view = features(3, 6), views(3, 6)
    heard = hear(comm, h, view)
    assert heard.content.shape == (comm.width, 3, 6) and bool(jnp.isfinite(heard.content).all())
    assert heard.log_p.shape == heard.entropy.shape == (3, 6)
    # Others' features and observations are turned: with the channel cut, agent 0 must not notice, to the last bit.
    turned = jnp.concatenate([h[:, :1], jnp.roll(h[:, 1:], 1, 2)], 1)
    other = eqx.tree_at(lambda v: v.obs, view, jnp.concatenate([view.obs[:, :1], jnp.roll(view.obs[:, 1:], 1, 2)], 1))
    cut = eqx.tree_at(lambda c: c.channel, comm, Cut(), is_leaf=lambda x: isinstance(x, Clear))
    sent = heard.sent if len(jax.tree.leaves(heard.sent)) else None
    one, two = hear(cut, h, view, sent=sent), hear(cut, turned, other, sent=sent)
    assert jnp.array_equal(one.content[:, 0], two.content[:, 0])
    if spec == "graph:graph=radius,radius=10,key=4,value=4" or sent is None:
        assert not jnp.allclose(heard.content[:, 0], hear(comm, turned, other).content[:, 0])


@pytest.mark.parametrize("spec", FAMILIES)
def test_the_dead_neither_hear_nor_are_heard_and_one_alone_hears_nothing(spec: str) -> None:
    comm = module(spec)
    alive = jnp.array([[True], [True], [False]])
    h, view = features(3, 1), views(3, 1, alive=alive)
    first = hear(comm, h, view)
    assert not first.content[:, 2].any() and not first.log_p[2].any() and not first.entropy[2].any()
    sent = first.sent if len(jax.tree.leaves(first.sent)) else None
    changed = h.at[:, 2].set(0.7)
    assert jnp.array_equal(first.content[:, :2], hear(comm, changed, view, sent=sent).content[:, :2])
    single = module(spec.replace("k=2", "k=1"), agents=1)
    lone = hear(single, h[:, :1], views(1, 1))
    silent = eqx.tree_at(lambda c: c.channel, single, Cut(), is_leaf=lambda x: isinstance(x, Clear))
    assert jnp.array_equal(lone.content, hear(silent, h[:, :1], views(1, 1)).content)


JUDGED = [("ic3net:price=0.1", True), ("event:tau=0.1", True), ("event:tau=0.1", False)]


@pytest.mark.parametrize(
    ("spec", "recurrent"),
    [*JUDGED, *(pytest.param(spec, True, marks=pytest.mark.slow) for spec in FAMILIES if (spec, True) not in JUDGED)],
)
def test_a_judgement_with_the_same_noise_and_decisions_is_the_same(spec: str, recurrent: bool) -> None:
    """The probability ratio of the PPO core is 1 before the first step of an update, also in channels with a memory."""
    world = make_world("addressee", count=3, talk=2)
    spec = spec.replace("radius=10", "radius=1")
    settings = {"hidden": (8, 8), "recurrent": recurrent, "memory": 8, "rollout": 4, "chunk": 4, "worlds": 2}
    learner = make_learner("ippo", communication=spec, minibatches=1, **settings)
    model = eqx.filter_jit(lambda key: learner.model(key, world))(KEY)  # type: ignore[attr-defined]
    actor: Actor = model.actor
    _, timestep = world.reset(KEY, (2,))
    memory = actor.start(3, (2,))
    start, seen, acted, noise = memory, [], [], []
    decide = eqx.filter_jit(actor.decide)
    for t in range(4):
        obs = jnp.swapaxes(timestep.obs, 0, 1) * (1.0 + t)
        legal = jnp.swapaxes(timestep.legal, 0, 1)
        view = View(obs, jnp.zeros((0, 2)), timestep.alive, legal, jnp.full((2,), t in (0, 2)))
        u = jax.random.uniform(jax.random.fold_in(KEY, t), (sum(actor.rows), 3, 2))
        decision, memory = decide(view, u, memory)
        seen.append(view)
        acted.append(decision)
        noise.append(u[actor.rows[0] :])
    stacked = jax.tree.map(lambda *xs: jnp.stack(xs, -2), *seen)
    many = jax.tree.map(lambda *xs: jnp.stack(xs, -2), *acted)
    if not recurrent and jax.tree.leaves(start[1]) == []:
        start = actor.start(3, (4, 2))
    sent = many.sent if len(jax.tree.leaves(many.sent)) else None
    log_p, _, stats = eqx.filter_jit(actor.judge)(stacked, many.action, sent, jnp.stack(noise, -2), start)
    np.testing.assert_allclose(log_p, many.log_p, atol=2e-5)
    assert set(stats) >= {"open", "bits"}


def test_the_registry_names_options_and_refuses_what_it_does_not_know() -> None:
    assert {"none", "alone", "full", "commnet", "dial", "ic3net", "tarmac", "event", "tokens", "rial", "graph",
            "schednet", "bottleneck", "random", "fixed-rate"} == set(COMMUNICATIONS)  # fmt: skip
    with pytest.raises(UnknownName, match="commnet"):
        make_learner("ippo", communication="comnet")
    with pytest.raises(UnknownName, match="rounds"):
        make_learner("ippo", communication="commnet:round=2")
    with pytest.raises(InputError, match="rounds"):
        make_learner("mappo", communication="commnet:rounds=0")
    with pytest.raises(InputError, match="at most the number of agents"):
        module("schednet:k=4")
    with pytest.raises(InputError, match="5 features"):
        module("graph:graph=radius,y=5")
    assert make_communication("none", KEY, Scale(8, 3, 5)) is None


def test_the_vocabulary_filters_families() -> None:
    assert {row["name"] for row in listing(when="gated")} == {"ic3net"}
    assert {row["name"] for row in listing(whom="one addressee")} == {"tarmac"}
    assert {row["name"] for row in listing(why="control")} == {"none", "alone", "full", "random", "fixed-rate"}
    assert len(listing()) == len(list(COMMUNICATIONS))
    with pytest.raises(UnknownName, match="gated"):
        listing(when="gate")
    with pytest.raises(UnknownName, match="when"):
        listing(wen="gated")


def test_the_control_without_communication_is_of_equal_size_and_hears_itself() -> None:
    from shoal.marl.networks import parameter_count

    alone, commnet = module("alone"), module("commnet")
    assert parameter_count(alone) == parameter_count(commnet)
    h, view = features(3, 2), views(3, 2)
    expected = jnp.tanh(alone.hear(jnp.concatenate([h, h])))
    np.testing.assert_allclose(hear(alone, h, view).content, expected, atol=1e-6)
    assert float(hear(alone, h, view).stats["bits"]) == 0.0


def test_commnet_is_the_mean_of_the_living_others_in_each_round() -> None:
    comm, h = module("commnet:rounds=2"), features(3, 2)
    alive = jnp.array([[True, True], [True, True], [True, False]])
    state = h
    for _ in range(2):
        there = np.asarray(state * alive)
        mean = np.zeros_like(there)
        for w in range(2):
            for i in range(3):
                near = [there[:, j, w] for j in range(3) if j != i and alive[j, w]]
                mean[:, i, w] = np.mean(near, 0) if near else 0.0
        state = jnp.tanh(comm.hear(jnp.concatenate([state, mean * alive])))
    np.testing.assert_allclose(hear(comm, h, views(3, 2, alive=alive)).content, state * alive, atol=1e-6)


def test_dial_sends_noisy_numbers_in_training_and_bits_afterwards() -> None:
    comm = module("dial:width=3,sigma=2")
    h, view = features(3, 500), views(3, 500)
    m = comm.mouth(h)  # type: ignore[attr-defined]
    hard = hear(comm, h, view).said.message
    assert jnp.array_equal(hard, (m > 0).astype(jnp.float32))
    soft = hear(comm, h, view, execute=False).said.message
    logit = jnp.log(soft) - jnp.log1p(-soft) - m
    assert float(logit.mean()) == pytest.approx(0.0, abs=0.1) and float(logit.std()) == pytest.approx(2.0, abs=0.1)


def test_the_gate_of_ic3net_samples_its_probability_and_mutes_but_does_not_deafen() -> None:
    comm = eqx.tree_at(lambda c: c.gate.bias, module("ic3net"), jnp.array([math.log(0.2 / 0.8)]))
    comm = eqx.tree_at(lambda c: c.gate.weight, comm, jnp.zeros((1, HIDDEN)))
    h, view = features(3, 4000), views(3, 4000)
    heard = hear(comm, h, view)
    assert float(heard.sent.mean()) == pytest.approx(0.2, abs=0.02) == float(heard.stats["open"])
    np.testing.assert_allclose(heard.log_p, jnp.where(heard.sent == 1, math.log(0.2), math.log(0.8)), atol=1e-5)
    entropy = -(0.2 * math.log(0.2) + 0.8 * math.log(0.8))
    np.testing.assert_allclose(heard.entropy, entropy, atol=1e-5)
    shut = jnp.zeros((3, 4000), jnp.int32).at[1].set(1)
    muted = hear(comm, h, view, sent=shut)
    mean = h[:, 1] / 2
    expected = jnp.tanh(comm.hear(jnp.concatenate([h[:, :1], mean[:, None]])))
    np.testing.assert_allclose(muted.content[:, :1], expected, atol=1e-5)
    priced = hear(module("ic3net:price=0.5"), h, view)
    assert float(priced.stats["loss"]) == pytest.approx(0.25, abs=0.01)


def test_attention_ignores_the_silent_and_is_zero_without_senders() -> None:
    scores = jnp.array([[9.0, 1.0, 2.0], [3.0, 9.0, 3.0], [0.0, 1.0, 9.0]])
    weight = attention(scores, jnp.array([[1.0, 1.0, 0.0]]))
    np.testing.assert_allclose(weight[0], [0, 1, 0], atol=1e-6)
    np.testing.assert_allclose(weight[1], [1, 0, 0], atol=1e-6)
    np.testing.assert_allclose(weight[2], [*jax.nn.softmax(jnp.array([0.0, 1.0])).tolist(), 0.0], atol=1e-6)
    assert not attention(scores, jnp.zeros((1, 3))).any()
    slope = jax.grad(lambda s: attention(s, jnp.zeros((1, 3))).sum())(scores)
    assert bool(jnp.isfinite(slope).all())


def test_uniform_attention_weighs_all_alike() -> None:
    heard = hear(module("tarmac:uniform=true", agents=4), features(4, 2), views(4, 2))
    np.testing.assert_allclose(heard.said.weight, (1 - jnp.eye(4))[..., None] / 3 * jnp.ones(2), atol=1e-6)


def test_graphs_join_whom_they_say() -> None:
    def joined(spec: str) -> Any:
        return np.asarray(hear(module(spec, agents=5), features(5, 1), views(5, 1)).said.weight[..., 0]) > 0

    r, s = np.indices((5, 5))
    assert (joined("graph:graph=ring") == np.isin((r - s) % 5, (1, 4))).all()
    assert (joined("graph:graph=line") == (abs(r - s) == 1)).all()
    assert (joined("graph:graph=star") == (((r == 0) | (s == 0)) & (r != s))).all()
    obs = np.asarray(views(5, 1).obs[..., 0])
    far = np.hypot(obs[0][:, None] - obs[0], obs[1][:, None] - obs[1])
    assert (joined("graph:graph=radius,radius=1.2") == ((far <= 1.2) & (r != s))).all()


def test_event_triggers_send_news_only() -> None:
    comm = module("event:tau=0.7,width=4")
    view = views(3, 2, fresh=False)
    h = features(3, 2)
    first = hear(comm, h, view)
    message = first.said.message
    size = jnp.sqrt(jnp.square(jnp.tanh(comm.mouth(h))).mean(0))  # type: ignore[attr-defined]
    assert jnp.array_equal(first.said.open, (size > 0.7).astype(jnp.float32))
    again = comm(h, view, uniform(comm, 3, 2), first.memory, None, True)
    np.testing.assert_allclose(again.said.open * (size > 0.7), 0.0)  # what was sent is no news
    np.testing.assert_allclose(again.said.message * (size > 0.7), message * (size > 0.7), atol=1e-6)
    fresh = comm(h, views(3, 2, fresh=True), uniform(comm, 3, 2), first.memory, None, True)
    assert jnp.array_equal(fresh.said.open, first.said.open)
    every = hear(module("event:tau=0,width=4"), h, view)
    assert float(every.stats["open"]) == 1.0
    silent = hear(module("event:tau=2,width=4,reuse=false"), h, view)
    assert float(silent.stats["open"]) == 0.0


def test_tokens_are_one_hot_forward_and_have_a_gradient() -> None:
    comm = module("tokens:vocabulary=5,length=2")
    h, view = features(3, 7), views(3, 7)
    for execute in (False, True):
        message = np.asarray(hear(comm, h, view, execute=execute).said.message).reshape(5, 2, 3, 7)
        np.testing.assert_allclose(np.sort(message, 0)[:-1], 0.0, atol=1e-6)
        np.testing.assert_allclose(message.sum(0), 1.0, atol=1e-6)
    slope = jax.grad(lambda c: hear(c, h, view, execute=False).content.sum())(comm)
    assert float(jnp.abs(slope.mouth.weight).max()) > 0
    assert comm.bits == pytest.approx(2 * math.log2(5))


def test_rial_passes_no_gradient_but_a_probability() -> None:
    comm = module("rial:vocabulary=3")
    h, view = features(2, 4000), views(2, 4000)
    comm = module("rial:vocabulary=3", agents=2)
    heard = hear(comm, h, view, execute=False)
    p = jax.nn.softmax(comm.mouth(h), 0)  # type: ignore[attr-defined]
    share = np.bincount(np.asarray(heard.sent).ravel(), minlength=3) / heard.sent.size
    np.testing.assert_allclose(share, np.asarray(p.mean((1, 2))), atol=0.02)
    slope = jax.grad(lambda c: hear(c, h, view, sent=heard.sent).content.sum())(comm)
    assert not slope.mouth.weight.any()
    slope = jax.grad(lambda c: hear(c, h, view, sent=heard.sent).log_p.sum())(comm)
    assert slope.mouth.weight.any()


def test_the_schedule_lets_k_speak_with_the_chances_of_plackett_and_luce() -> None:
    score = jnp.log(jnp.array([0.6, 0.3, 0.1]))[:, None]
    u = jax.random.uniform(KEY, (3, 20000))
    order = np.asarray(ranks(score - jnp.log(-jnp.log(u)), 2))
    assert (np.sort(order, 0) == np.array([[0], [1], [2]])).all()
    p = np.array([0.6, 0.3, 0.1])
    for a in range(3):
        for b in range(3):
            if a != b:
                chance = p[a] * p[b] / (1 - p[a])
                assert ((order[a] == 0) & (order[b] == 1)).mean() == pytest.approx(chance, abs=0.015)
                drawn = jnp.full((3, 1), 2).at[a].set(0).at[b].set(1)
                assert float(jnp.exp(draw_log_p(score, drawn, 2).sum())) == pytest.approx(chance, abs=1e-5)
    dead = jnp.array([[True], [False], [False]])
    heard = hear(module("schednet:k=2"), features(3, 1), views(3, 1, alive=dead))
    assert np.asarray(heard.said.open)[:, 0].tolist() == [1.0, 0.0, 0.0] and bool(jnp.isfinite(heard.log_p).all())


def test_the_bottleneck_charges_the_divergence_from_a_standard_normal() -> None:
    mean, log_std = jnp.array([[0.5], [-1.0]]), jnp.array([[0.2], [-0.7]])
    z = mean + jnp.exp(log_std) * jax.random.normal(KEY, (2, 200_000))

    def log_density(x: Any, m: Any, s: Any) -> Any:
        return -0.5 * jnp.square((x - m) / jnp.exp(s)) - s

    sampled = (log_density(z, mean, log_std) - log_density(z, 0.0, jnp.zeros(()))).sum(0).mean()
    assert float(divergence(mean, log_std)[0]) == pytest.approx(float(sampled), abs=0.02)
    assert float(divergence(jnp.zeros((3, 1)), jnp.zeros((3, 1)))[0]) == 0.0


def test_messages_add_up_side_by_side_and_nobody_hears_itself() -> None:
    one = jnp.array([[1.0, 10.0, 100.0]])[..., None]
    wide = jnp.broadcast_to(one[:, None], (1, 3, 3, 1))
    for message in (one[:, None], wide):
        assert summed(message)[0, :, 0].tolist() == [110.0, 101.0, 11.0]
        assert slots(message)[:, 0, 0].tolist() == [10.0, 100.0] and slots(message)[:, 2, 0].tolist() == [1.0, 10.0]
    alive = jnp.array([[True], [True], [False]])
    assert averaged(one[:, None] * alive, alive)[0, :, 0].tolist() == [10.0, 1.0, 5.5]
    assert not averaged(one[:, None, :1], alive[:1]).any() and slots(one[:, None, :1]).shape[0] == 0


# Channels.


def packet(*batch: int) -> Packet:
    message = jax.random.normal(KEY, (2, 1, 3, *batch))
    return Packet(message, jnp.ones((1, 3, *batch)))


def carried(channel: Any, sent: Packet, memory: Any = None, fresh: bool = False) -> Any:
    batch = sent.open.shape[2:]
    u = jax.random.uniform(jax.random.key(5), (channel.rows(2, 3), 4, *batch))
    start = channel.start(2, 4, 3, batch) if memory is None else memory
    return channel(sent, 4, u, start, jnp.full(batch, fresh))


def test_a_clear_channel_changes_nothing_and_a_cut_one_leaves_nothing() -> None:
    sent = packet(5)
    assert carried(Clear(), sent)[0] is sent
    got, _ = carried(Cut(), sent)
    assert got.message.shape == (2, 4, 3, 5) and not got.message.any() and not got.open.any()
    some, _ = carried(Cut(edges=((1, 2), (0, 0))), sent)
    gone = np.asarray(some.open[..., 0]) == 0
    assert sorted(zip(*np.nonzero(gone), strict=True)) == [(0, 0), (1, 2)]
    assert jnp.array_equal(some.message[:, 2], sent.message[:, 0])
    with pytest.raises(InputError, match="edge"):
        carried(Cut(edges=((4, 0),)), sent)


def test_messages_are_lost_at_the_given_rate_by_each_receiver() -> None:
    got, _ = carried(Drop(chance=0.3), packet(5000))
    assert float(got.open.mean()) == pytest.approx(0.7, abs=0.01)
    assert not jnp.array_equal(got.open[0], got.open[1])
    assert not got.message[:, got.open == 0].any()


def test_noise_has_its_deviation_and_scrambled_messages_tell_nothing() -> None:
    sent = packet(5000)
    got, _ = carried(Noise(deviation=0.5), sent)
    assert float((got.message - sent.message).std()) == pytest.approx(0.5, abs=0.02)
    mixed, _ = carried(Scramble(), sent)
    assert abs(float(jnp.corrcoef(mixed.message[0, 0, 0], sent.message[0, 0, 0])[0, 1])) < 0.05
    closed = sent._replace(open=jnp.zeros_like(sent.open), message=jnp.zeros_like(sent.message))
    assert not carried(Noise(deviation=0.5), closed)[0].message.any() and not carried(Scramble(), closed)[0].open.any()


def test_shuffles_bring_real_messages_of_others() -> None:
    sent = packet(5)
    got, _ = carried(Shuffle(among="episodes", by=2), sent)
    assert jnp.array_equal(got.message[:, 3], jnp.roll(sent.message, 2, -1)[:, 0])
    got, _ = carried(Shuffle(among="agents"), sent)
    for world in range(5):
        found = [
            [np.allclose(got.message[:, 0, s, world], sent.message[:, 0, t, world]) for t in range(3)] for s in range(3)
        ]
        turn = np.asarray(found)
        assert (turn.sum(1) == 1).all() and not turn.diagonal().any()
        np.testing.assert_array_equal(got.message[:, 0, :, world], got.message[:, 3, :, world])
    with pytest.raises(InputError, match="2 worlds"):
        carried(Shuffle(), packet(1))


def test_a_delay_brings_messages_later_and_forgets_at_the_start_of_an_episode() -> None:
    channel = Chain(links=(Delay(steps=2), Clear()))
    sent = [Packet(jnp.full((2, 1, 3, 1), float(t + 1)), jnp.ones((1, 3, 1))) for t in range(5)]
    memory, heard = None, []
    for t in range(5):
        got, memory = carried(channel, sent[t], memory, fresh=t == 4)
        heard.append((float(got.message[0, 0, 0, 0]), float(got.open[0, 0, 0])))
    assert heard == [(0.0, 0.0), (0.0, 0.0), (1.0, 1.0), (2.0, 1.0), (0.0, 0.0)]


# Learning, intervening, recording.


@pytest.fixture(scope="module")
def pairs() -> Any:
    """Two pairs, quickly trained to point to the right one of two objects."""
    world = make_world("referential", attributes=1, values=2, candidates=2)
    settings = {
        "communication": "tokens:vocabulary=4,length=1", "shared": False, "worlds": 64, "rollout": 2, "hidden": (32,),
        "minibatches": 1, "learning_rate": 5e-3, "entropy_weight": 0.1,
    }  # fmt: skip
    return world, train("ippo", world, settings=settings, steps=128_000, seeds=2, episodes=200)


def players(training: Any) -> PolicyPlayer:
    player = training.learner.player(training.state)
    assert isinstance(player, PolicyPlayer)
    return player


def test_a_learned_code_works_is_measured_and_fails_when_it_is_disturbed(pairs: Any) -> None:
    world, training = pairs
    player = players(training)
    for episodes in training.evaluation:
        assert episodes.metrics["success"].mean() > 0.9
    for channel in (Cut(), Shuffle(), Scramble(), Delay(steps=1), Cut(edges=((1, 0),))):
        for played in evaluate_seeds(intervene(player, channel), 2, world, 400, KEY):
            assert played.metrics["success"].mean() < 0.75
    for played in evaluate_seeds(intervene(player, Cut(edges=((0, 1),))), 2, world, 400, KEY):
        assert played.metrics["success"].mean() > 0.9  # nobody needs the listener's words
    for talk in record(player, 2, world, 300, KEY):
        found = measures(talk)
        assert talk.policy.shape == (1, 2, 2, 300) and talk.without.shape == (1, 2, 2, 2, 300)
        assert found["signalling"] > 0.3 and found["influence"] > 0.1 and found["listening"] > 0.3
        assert found["open"] == 1.0 and found["bits"] == pytest.approx(math.log2(4))
        speaker = talk.sender(0)
        said, seen = metrics.clusters(speaker["message"]), metrics.codes(speaker["observation"])
        assert metrics.positive_signalling(said, seen) == pytest.approx(1.0, abs=0.05)
    assert training.history["comm_bits"].mean() == pytest.approx(math.log2(4), abs=1e-4)


def test_strangers_hear_each_other_in_mixed_teams(pairs: Any) -> None:
    world, training = pairs
    player = players(training)
    table = np.array([[0, 0], [1, 1], [0, 1], [1, 0]])
    own = evaluate_seeds(player, 2, world, 400, KEY)
    mixed = evaluate_seeds(partners(player, table), 4, world, 400, KEY)
    for seed in range(2):
        assert mixed[seed].metrics["success"].mean() == pytest.approx(own[seed].metrics["success"].mean(), abs=0.08)
    heads, own_heads = partners(player, table).model.actor.head.weight, player.model.actor.head.weight  # type: ignore[attr-defined]
    for team, seats in enumerate(table):
        for agent, seed in enumerate(seats):
            assert jnp.array_equal(heads[team, agent], own_heads[seed, agent])


def test_policies_without_a_channel_cannot_be_interfered_with() -> None:
    world = make_world("lever", count=2, pool=2)
    learner = make_learner("ippo", worlds=2, rollout=2, minibatches=1)
    player = learner.player(learner.init(jax.random.split(KEY, 1), world))
    assert isinstance(player, PolicyPlayer)
    with pytest.raises(InputError, match="channel"):
        intervene(player, Cut())
    talking = make_learner("ippo", worlds=2, rollout=2, minibatches=1, communication="commnet")
    shared = talking.player(talking.init(jax.random.split(KEY, 1), world))
    assert isinstance(shared, PolicyPlayer)
    assert isinstance(exchange_of(shared).channel, Clear)
    with pytest.raises(InputError, match="shared=False"):
        partners(shared, np.zeros((1, 2), int))
    with pytest.raises(InputError, match="Play more"):
        record(shared, 1, world, 3, KEY)


def test_every_policy_gradient_learner_has_the_setting() -> None:
    for name in ("ippo", "mappo"):
        assert LEARNERS.get(name).schema.model_fields["communication"].default == "none"


# Measures, on scripted agents.


def test_information_is_corrected_for_its_bias() -> None:
    rng = np.random.default_rng(0)
    x = rng.integers(0, 8, 400)
    y = rng.integers(0, 8, 400)
    assert metrics.mutual_information(x, y, shuffles=0) > 0.05
    assert metrics.mutual_information(x, y) == pytest.approx(0.0, abs=0.03)
    exact = np.repeat(np.arange(4), 100)
    assert metrics.mutual_information(exact, exact, shuffles=0) == pytest.approx(2.0)
    noisy = np.where(np.arange(400) % 4 == 0, 1 - exact % 2, exact % 2)
    h = -(0.25 * math.log2(0.25) + 0.75 * math.log2(0.75))
    assert metrics.mutual_information(exact % 2, noisy, shuffles=0) == pytest.approx(1 - h, abs=1e-9)
    assert metrics.entropy(exact) == 2.0 and metrics.entropy(np.zeros((5, 2))) == 0.0
    with pytest.raises(InputError, match="as many"):
        metrics.mutual_information(x, y[:-1])


def test_signalling_without_listening_has_information_and_no_influence() -> None:
    """A scripted speaker that tells all, and a listener that does not care."""
    rng = np.random.default_rng(1)
    seen = rng.integers(0, 4, 2000)
    deaf = np.tile([0.7, 0.3], (2000, 1))
    assert metrics.positive_signalling(seen, seen) == pytest.approx(2.0, abs=0.02)
    assert metrics.positive_listening(deaf, deaf) == {"l1": 0.0, "kl": 0.0}
    chances = np.full((2000, 4), 0.25)
    assert metrics.causal_influence(chances, np.tile([0.7, 0.3], (2000, 4, 1))) == pytest.approx(0.0, abs=1e-12)
    obeys = np.tile(np.eye(4), (2000, 1, 1))
    assert metrics.causal_influence(chances, obeys) == pytest.approx(2.0)
    assert metrics.positive_listening(np.eye(2), np.eye(2)[::-1])["l1"] == 2.0
    with pytest.raises(InputError, match="add up"):
        metrics.positive_listening(np.ones((2, 2)), np.ones((2, 2)))


def test_consistency_and_coordination_of_scripted_agents() -> None:
    rng = np.random.default_rng(2)
    said = rng.integers(0, 2, 3000)
    assert metrics.speaker_consistency(said, said) == pytest.approx(1.0, abs=0.01)
    assert metrics.speaker_consistency(said, rng.integers(0, 2, 3000)) == pytest.approx(0.0, abs=0.005)
    assert metrics.instantaneous_coordination(said[:-1], 1 - said[:-1]) == pytest.approx(1.0, abs=0.01)


@pytest.mark.parametrize("attributes", [2, 3])
def test_a_compositional_language_scores_1_and_a_holistic_one_less(attributes: int) -> None:
    values = 4
    meanings = np.stack(np.meshgrid(*[range(values)] * attributes, indexing="ij"), -1).reshape(-1, attributes)
    # One symbol for each value of each attribute, at the attribute's own place: edit distance is Hamming distance.
    words = meanings + values * np.arange(attributes)
    assert metrics.topographic_similarity(meanings, words) == pytest.approx(1.0)
    assert metrics.positional_disentanglement(meanings, words) == pytest.approx(1.0)
    assert metrics.context_independence(meanings, words) == pytest.approx(1.0)
    mixed = words[np.random.default_rng(0).permutation(len(words))]
    assert abs(metrics.topographic_similarity(meanings, mixed)) < 0.25
    assert metrics.positional_disentanglement(meanings, mixed) < 0.3
    assert metrics.context_independence(meanings, mixed) < 0.6
    same = np.zeros_like(words)
    assert metrics.topographic_similarity(meanings, same) == 0.0 == metrics.positional_disentanglement(meanings, same)


def test_messages_become_few_symbols() -> None:
    rng = np.random.default_rng(3)
    centres = np.array([[0.0, 0.0], [5.0, 5.0], [0.0, 5.0]])
    truth = rng.integers(0, 3, 300)
    found = metrics.clusters(centres[truth] + 0.1 * rng.normal(size=(300, 2)), most=3)
    assert metrics.mutual_information(found, truth, shuffles=0) == pytest.approx(metrics.entropy(truth))
    exact = metrics.clusters(truth[:, None])
    assert (exact == truth).all()


def test_the_share_of_open_gates_counts_living_steps() -> None:
    assert metrics.open_share([[1, 0], [1, 0]], [[True, True], [False, False]]) == 0.5
    assert metrics.open_share([1.0], [False]) == 0.0
