"""A small network under attack, and monitors that watch it: agents that govern agents (A4A, arXiv 2508.14415).

Thirty hosts, some with a weakness that a red actor finds by scanning and uses to move on; workers act on all hosts.
Every act passes the six stages of its lifecycle, each with one control that may trip: goal whitelist, data provenance,
reasoning log, policy check, rate gate, outcome audit. Red's acts trip them more often than a worker's. A monitor sees
trips (or the tempo of acts), adds up evidence host by host, isolates hosts, cleans them and patches their neighbours;
monitors differ in how they judge and in how long they take. It is a toy: no host, weakness or exploit is real. All
rates and rules are ours. All games are one compiled program.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import ndtri
from jaxtyping import Array
from numpy.typing import NDArray

from shoal.errors import UnknownName

CONTROLS = ("goal whitelist", "data provenance", "reasoning log", "policy check", "rate gate", "outcome audit")
MONITORS = ("none", "rules", "human-speed", "agent-speed", "agent and human", "random", "profile")
NONE, RULES, HUMAN, AGENT, ESCALATING, RANDOM, PROFILE = range(len(MONITORS))
SUSPICION = 7.0
"""Log odds (above those at rest) from which a host is isolated."""
SURE = float(np.log(0.7 / 0.3))
"""Above SUSPICION by less than this, confidence is below 0.7 and a human is asked."""
REST = -4.0
"""Log odds of a host at the start, and the least they fall to."""


@dataclass(frozen=True)
class Defence:
    """Settings of the game.

    Attributes:
        hosts: in the network.
        steps: of a game.
        degree: neighbours of a host, on average.
        weak: share of hosts with a weakness.
        work: acts of workers a step, on each host.
        trips: chance that a control trips on an act of red, by stage.
        false_trips: chance that it trips on a worker's act, by stage.
        exploit: chance that an exploit of a scanned weak host works.
        human: median steps that a human takes, log-normal with deviation 0.5.
        release: steps after which an isolated host comes back.
        tempo: how far the tempo of red's acts is from workers', in deviations, for a monitor that goes by tempo.
    """

    hosts: int = 30
    steps: int = 300
    degree: float = 4.0
    weak: float = 0.6
    work: int = 2
    trips: tuple[float, ...] = (0.10, 0.15, 0.20, 0.25, 0.20, 0.15)
    false_trips: tuple[float, ...] = (0.01, 0.02, 0.02, 0.02, 0.02, 0.01)
    exploit: float = 0.3
    human: float = 60.0
    release: int = 30
    tempo: float = 2.0


@dataclass(frozen=True)
class Outcome:
    """What games came to, each [games].

    Attributes:
        compromised: share of hosts that red holds at the end.
        blocked_work: share of workers' acts that were blocked.
        blocked_red: share of red's acts that were blocked.
        blocked: share of all acts that were blocked.
        detected: share of the hosts that red took (the first included) that were found and cleaned.
    """

    compromised: NDArray[np.float64]
    blocked_work: NDArray[np.float64]
    blocked_red: NDArray[np.float64]
    blocked: NDArray[np.float64]
    detected: NDArray[np.float64]


def defend(
    game: Defence, monitor: str, seeds: NDArray[np.int64], imitating: bool = False, rate: Any = 0.0, controls: int = 63
) -> Outcome:
    """Play one game for each seed; all monitors meet the same networks and the same luck.

    Args:
        game: settings.
        monitor: one of MONITORS.
        seeds: one for each game.
        imitating: red acts at a worker's tempo, with a worker's inertia (it repeats what it did half of the time).
        rate: chance that the random monitor blocks an act, one for all games or one each [games].
        controls: which stages have their control, one bit each.

    Raises:
        UnknownName: no such monitor.
    """
    if monitor not in MONITORS:
        raise UnknownName("monitor", monitor, MONITORS)
    chance = jnp.broadcast_to(jnp.asarray(rate, jnp.float32), (len(seeds),))
    on = jnp.array([(controls >> k) & 1 for k in range(len(CONTROLS))], jnp.float32)
    keys = jax.vmap(jax.random.key)(jnp.asarray(np.asarray(seeds) % 2**31, jnp.uint32))
    found = _games(game, keys, MONITORS.index(monitor), jnp.asarray(imitating), chance, on)
    return Outcome(*(np.asarray(x, float) for x in found))


@functools.partial(jax.jit, static_argnums=0)
def _games(game: Defence, keys: Array, monitor: Array, imitating: Array, rate: Array, on: Array) -> tuple[Array, ...]:
    return jax.vmap(lambda key, r: _game(game, key, monitor, imitating, r, on))(keys, rate)


def _game(game: Defence, key: Array, monitor: Array, imitating: Array, rate: Array, on: Array) -> tuple[Array, ...]:
    net_key, weak_key, start_key, key = jax.random.split(key, 4)
    n = game.hosts
    tie = jax.random.uniform(net_key, (n, n)) < game.degree / (n - 1)
    ring = jnp.roll(jnp.eye(n, dtype=bool), 1, axis=1)  # nobody is cut off from the start
    tie = (tie | ring) & ~jnp.eye(n, dtype=bool)
    tie = tie | tie.T
    weak = jax.random.uniform(weak_key, (n,)) < game.weak
    start = jax.random.randint(start_key, (), 0, n)
    state = {
        "held": jnp.arange(n) == start, "scanned": jnp.arange(n) == start, "weak": weak,
        "odds": jnp.full(n, REST), "until": jnp.zeros(n, jnp.int32), "due": jnp.full(n, -1, jnp.int32),
        "counts": jnp.array([0.0, 0, 0, 0, 1, 0]),
    }  # fmt: skip

    def step(carry: dict[str, Array], now: tuple[Array, Array]) -> tuple[dict[str, Array], None]:
        return _step(game, carry, now[0], now[1], tie, monitor, imitating, rate, on), None

    times = jnp.arange(game.steps)
    state, _ = jax.lax.scan(step, state, (jax.random.split(key, game.steps), times))
    work, stopped_work, red, stopped_red, taken, cleaned = state["counts"]
    return (
        state["held"].mean(), stopped_work / work, stopped_red / jnp.maximum(red, 1),
        (stopped_work + stopped_red) / (work + red), cleaned / taken,
    )  # fmt: skip


def _step(
    game: Defence, state: dict[str, Array], key: Array, now: Array, tie: Array, monitor: Array, imitating: Array,
    rate: Array, on: Array,
) -> dict[str, Array]:  # fmt: skip
    """One step: workers and red act, the monitor blocks and adds up, then its verdicts of earlier take effect."""
    n = game.hosts
    luck = _luck(game, key)
    isolated = state["until"] > now
    # Workers.
    trips = luck["trips"] < jnp.array(game.false_trips) * on
    by_rule = trips[..., 3] | (trips.sum(axis=2) >= 2)
    by_chance = luck["work"] < rate
    stopped = isolated[:, None] | ((monitor == RULES) & by_rule) | ((monitor == RANDOM) & by_chance)
    evidence = _one_of(game, _evidence(game, trips, on)).sum(axis=1)
    tempo = game.tempo * (ndtri(luck["tempo"]) - game.tempo / 2)
    # Red acts from one of the hosts it holds that are not isolated.
    able = state["held"] & ~isolated
    source = jnp.argmax(jnp.where(able, luck["source"], -1.0))
    # An imitator takes a worker's time and repeats what it did: half of its acts lead nowhere.
    acts = able.any() & (~imitating | (luck["acts"][0] < 0.5))
    red_trips = luck["red"] < jnp.array(game.trips) * on
    red_rule = red_trips[3] | (red_trips.sum() >= 2)
    red_chance = luck["acts"][1] < rate
    red_stopped = ((monitor == RULES) & red_rule) | ((monitor == RANDOM) & red_chance)
    before = state["held"].sum()
    state = state | _attack(game, state, luck, tie, isolated, source, acts & ~red_stopped)
    taken = state["held"].sum() - before
    shown = jnp.where(imitating, -game.tempo / 2, game.tempo / 2)
    red_tempo = game.tempo * (ndtri(luck["acts"][2]) + shown)
    mine = (jnp.arange(n) == source) & acts
    by_control = evidence + jnp.where(mine, _one_of(game, _evidence(game, red_trips, on)), 0.0)
    by_tempo = _one_of(game, tempo).sum(axis=1) + jnp.where(mine, _one_of(game, red_tempo), 0.0)
    added = jnp.where(monitor == PROFILE, by_tempo, by_control)
    odds = jnp.maximum(state["odds"] + jnp.where(isolated, 0.0, added), REST)
    counts = state["counts"] + jnp.array([n * game.work, stopped.sum(), acts, acts & red_stopped, taken, 0])
    return _respond(game, state | {"odds": odds, "counts": counts}, luck, now, tie, monitor)


def _luck(game: Defence, key: Array) -> dict[str, Array]:
    """All uniform numbers of a step, from one draw: every draw costs a second of compilation."""
    n = game.hosts
    shapes = {"trips": (n, game.work, 6), "work": (n, game.work), "tempo": (n, game.work), "source": (n,), "red": (6,),
              "acts": (4,), "target": (n,), "person": (n,)}  # fmt: skip
    sizes = [math.prod(shape) for shape in shapes.values()]
    parts = jnp.split(jax.random.uniform(key, (sum(sizes),), minval=1e-6, maxval=1 - 1e-6), np.cumsum(sizes)[:-1])
    return {name: part.reshape(shape) for (name, shape), part in zip(shapes.items(), parts, strict=True)}


def _evidence(game: Defence, trips: Array, on: Array) -> Array:
    """Log odds that trips [..., 6] speak for red."""
    hit, miss = jnp.array(game.trips), jnp.array(game.false_trips)
    return (on * jnp.where(trips, jnp.log(hit / miss), jnp.log((1 - hit) / (1 - miss)))).sum(axis=-1)


def _one_of(game: Defence, odds: Array) -> Array:
    """Log odds of an act if red is on the host: one act of so many is then its own, the others are workers'."""
    share = 1 / (game.work + 1)
    return jnp.log1p(share * jnp.expm1(odds))


def _attack(
    game: Defence, state: dict[str, Array], luck: dict[str, Array], tie: Array, isolated: Array, source: Array,
    acts: Array,
) -> dict[str, Array]:  # fmt: skip
    """Red uses a weak neighbour that it has scanned, else scans one that it has not."""
    near = tie[source] & ~state["held"] & ~isolated
    open_ = near & state["scanned"] & state["weak"]
    fresh = near & ~state["scanned"]
    aims = jnp.where(open_.any(), open_, fresh)
    target = jnp.argmax(jnp.where(aims, luck["target"], -1.0))
    hit = (jnp.arange(game.hosts) == target) & aims & acts
    works = open_.any() & (luck["acts"][3] < game.exploit)
    return {"held": state["held"] | (hit & works), "scanned": state["scanned"] | hit}


def _respond(
    game: Defence, state: dict[str, Array], luck: dict[str, Array], now: Array, tie: Array, monitor: Array
) -> dict[str, Array]:
    """Suspicion sets a verdict due; due verdicts isolate the host and patch its neighbours. A human who finds a host
    clean lets it be: it sees whether red is there.
    """
    rise = state["odds"] > SUSPICION
    person = game.human * jnp.exp(0.5 * ndtri(luck["person"]))
    asked = (monitor == HUMAN) | ((monitor == ESCALATING) & (state["odds"] < SUSPICION + SURE))
    watching = (monitor == HUMAN) | (monitor == AGENT) | (monitor == ESCALATING) | (monitor == PROFILE)
    wait = jnp.where(asked, jnp.maximum(person, 1.0), 1.0).astype(jnp.int32)
    due = jnp.where(rise & (state["due"] < 0) & watching, now + wait, state["due"])
    ripe = (due >= 0) & (due <= now)
    struck = ripe & (~asked | state["held"])
    until = jnp.where(struck, now + game.release, state["until"])
    patched = struck | (tie & struck[:, None]).any(axis=0)
    cleaned = state["held"] & struck
    counts = state["counts"].at[5].add(cleaned.sum())
    return state | {
        "odds": jnp.where(ripe, REST, state["odds"]), "due": jnp.where(ripe, -1, due), "until": until,
        "weak": state["weak"] & ~patched, "held": state["held"] & ~cleaned, "counts": counts,
    }  # fmt: skip
