"""Swarms that search alone and agree with their neighbours: MASOIE, and the adaptive dynamics of LAC-MAS.

Each agent holds a swarm. An outer loop (MASOIE, doi 10.1109/TEVC.2024.3380436) is: a few generations of level-based
learning on the own objective; one exchange in which particle p of an agent moves by its velocity and towards particle
p of its neighbours; and less learning between exchanges once the own best stagnates. LAC-MAS (arXiv 2605.00691, steps
5 and 6) scales the velocity by a coefficient that depends on how far the swarm is spread: below d1 it is enlarged (c),
above d2 damped (d). An advisor may change (d, c) and the weights of the neighbours at fixed times (steps 7 to 9).

Departures. The printed velocity rule has no attraction; as the page reads it, V = w (r V) + sum a_ik (X_k - X_i). The
relative improvement of a generation is (old - new) / (|old| + |new|), because objectives may be negative. w follows the
rule with a moving average over about two loops (``SMOOTH``). Runs stop when the next loop would exceed the budget of
any agent, so that no variant uses more evaluations than another.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int
from numpy.typing import ArrayLike, NDArray

from shoal.games.compilation import quickly_compiled
from shoal.games.consensus.objectives import BOX, Objectives, local_values, mean_value
from shoal.games.game import require

LEVELS = (4, 6, 8, 10, 20, 50)
GENERATIONS, LEAST_GENERATIONS, PATIENCE = 4, 2, 10
SHARPNESS, SOCIAL, SMOOTH = 7.0, 0.5, 0.5
SETTLED = 1e-5
"""Sum of absolute velocities below which an agent has settled."""
START = (0.7, 1.3)
"""(d, c) before any advice."""
BRIEF = 10_000_000
"""Coordinates evaluated by all agents up to which compiling takes longer than running."""
NUMBER = 8
"""Bytes of a number that is sent."""


@dataclass(frozen=True)
class Rules:
    """What a run is.

    Attributes:
        adaptive: velocities are scaled by the spread of the swarm; MASOIE without.
        particles: of each agent's swarm; at least the largest number of levels.
        budget: evaluations of each agent's objective.
        low: spread below which a swarm is to escape, relative to its first one (d1).
        high: spread above which it is to contract (d2).
        frozen: w is 1 after the horizon, so that agents agree in the end.
        central: one swarm on the mean objective, which no agent could evaluate alone: an upper bound.
        searching: False leaves only the exchange, to the end of the budget: consensus without optimisation.
    """

    adaptive: bool = False
    particles: int = 60
    budget: int = 20_000
    low: float = 1e-4
    high: float = 0.1
    frozen: bool = False
    central: bool = False
    searching: bool = True

    def __post_init__(self) -> None:
        require("particles", self.particles, self.particles >= max(LEVELS), f"Use at least {max(LEVELS)}: the levels.")
        least = (GENERATIONS + 2) * self.particles
        require("budget", self.budget, self.budget >= least, f"Use at least {least}: one loop of all particles.")
        require("low", self.low, 0 <= self.low <= self.high, "Use 0 <= low <= high.")

    @property
    def loops(self) -> int:
        """Outer loops if learning is never shortened."""
        return (self.budget - self.particles) // ((GENERATIONS + 1) * self.particles)

    @property
    def most_loops(self) -> int:
        """Outer loops at the most."""
        least = LEAST_GENERATIONS * self.searching + (not self.central)
        return (self.budget - self.particles) // (least * self.particles) + 1


def shape_of(rules: Rules) -> Rules:
    """What a program must be compiled for: variants that differ in their coefficients run in the very same one."""
    return replace(rules, adaptive=False, frozen=False)


class Swarms(NamedTuple):
    """How the swarms of one seed stand; first axis: agents.

    Attributes:
        x: places of the particles.
        v: external velocities.
        fitness: own objective of each particle.
        gains: last relative improvement with each number of levels.
        best: own best so far.
        stalled: loops without a new best.
        generations: of learning between exchanges.
        used: evaluations.
        first: spread at the start.
        w: coefficient of the velocity, smoothed.
        settled: it has stopped moving.
    """

    x: Float[Array, "agents particles dimensions"]
    v: Float[Array, "agents particles dimensions"]
    fitness: Float[Array, "agents particles"]
    gains: Float[Array, "agents levels"]
    best: Float[Array, " agents"]
    stalled: Int[Array, " agents"]
    generations: Int[Array, " agents"]
    used: Int[Array, " agents"]
    first: Float[Array, " agents"]
    w: Float[Array, " agents"]
    settled: Array


class Trail(NamedTuple):
    """What an agent may know of each loop [seeds, loops, agents].

    Attributes:
        objective: mean own objective of the swarm.
        disagreement: distance of the swarm's centre to the mean of its neighbours'.
        spread: mean squared distance of the particles to the centre.
        step: distance that the centre moved.
    """

    objective: Any
    disagreement: Any
    spread: Any
    step: Any


Advice = tuple[NDArray[np.float64], NDArray[np.float64]]
"""(d, c) [seeds, agents, 2], and weights [seeds, agents, agents]."""


@dataclass(frozen=True)
class Moment:
    """What advisors are shown.

    Attributes:
        loop: number of the outer loop about to begin.
        trail: of the loops before.
        advice: in force.
        mixing: the graph's own weights [agents, agents].
    """

    loop: int
    trail: Trail
    advice: Advice
    mixing: NDArray[np.float64]


Advisor = Callable[[Moment], NDArray[np.float64]]
"""From a moment to new coefficients, or to new weights."""


@dataclass(frozen=True)
class Run:
    """How a run ended; arrays [seeds, ...].

    Attributes:
        value: objective at the mean of the agents' answers.
        disagreement: sum of the distances of the agents' answers to their mean.
        messages: bytes sent until each seed stopped.
        used: most evaluations of any agent.
        loops: outer loops.
        answers: centres of the swarms [seeds, agents, dimensions].
        trail: of every loop.
        advice: in force at the end.
    """

    value: NDArray[np.float64]
    disagreement: NDArray[np.float64]
    messages: NDArray[np.float64]
    used: NDArray[np.int64]
    loops: NDArray[np.int64]
    answers: NDArray[np.float64]
    trail: Trail
    advice: Advice


class Schedule(NamedTuple):
    """When advisors are asked, in outer loops (step 9).

    Attributes:
        act: loops before which coefficients are advised.
        cooperate: loops before which weights are.
        horizon: no advice from here on.
    """

    act: tuple[int, ...] = ()
    cooperate: tuple[int, ...] = ()
    horizon: int = 0

    @classmethod
    def of(
        cls, rules: Rules, horizon: float = 0.75, every: float = 0.1, acts: tuple[float, ...] = (0.3, 0.6)
    ) -> Schedule:
        """Cooperation at every multiple of a tenth of the horizon, coefficients at 0.3 and 0.6 of it."""
        last = max(2, int(horizon * rules.loops))

        def loops(shares: Iterable[float]) -> tuple[int, ...]:
            return tuple(sorted({t for x in shares if 0 < (t := int(np.ceil(x * last - 1e-9))) < last}))

        return cls(loops(acts), loops(m * every for m in range(1, int(1 / every) + 1)), last)


def optimise(
    problem: Objectives, weights: ArrayLike, rules: Rules, seeds: Sequence[int], *, act: Advisor | None = None,
    cooperate: Advisor | None = None, schedule: Schedule | None = None, start: tuple[float, float] = START,
) -> Run:  # fmt: skip
    """``guided`` with advisors that answer at once: ``act`` advises (d, c), ``cooperate`` weights; None leaves them."""
    times = schedule or Schedule.of(rules)
    times = times._replace(act=times.act if act else (), cooperate=times.cooperate if cooperate else ())
    course = guided(problem, weights, rules, seeds, times, start)
    try:
        moment = next(course)
        while True:
            advice = moment.advice
            if act and moment.loop in times.act:
                advice = (act(moment), advice[1])
            if cooperate and moment.loop in times.cooperate:
                advice = (advice[0], cooperate(moment))
            moment = course.send(advice)
    except StopIteration as end:
        run: Run = end.value
    return run


def guided(
    problem: Objectives, weights: ArrayLike, rules: Rules, seeds: Sequence[int], schedule: Schedule,
    start: tuple[float, float] = START,
) -> Generator[Moment, Advice, Run]:  # fmt: skip
    """A run that stops to be advised: yields what advisors are shown, takes their advice, returns how it ended.

    Args:
        problem: one for each seed.
        weights: of the graph, row-stochastic [agents, agents].
        rules: of the swarms.
        seeds: of the swarms, as many as problems.
        schedule: when to stop.
        start: (d, c) before any advice.

    Raises:
        InputError: weights that are no row-stochastic matrix of the agents, or objectives that are no numbers.
    """
    rows = np.asarray(weights, float)
    fits = rows.shape == (problem.agents,) * 2 and bool((rows >= 0).all()) and bool(np.allclose(rows.sum(1), 1))
    require("weights", rows.shape, fits, "Give a row-stochastic matrix of the agents.")
    require("seeds", list(seeds), len(seeds) == len(problem.optimum), "Give one for each problem.")
    own = np.ones((1, 1)) if rules.central else rows
    count, n = len(seeds), len(own)
    advice: Advice = (np.tile(np.array(start), (count, n, 1)), np.tile(own, (count, 1, 1)))
    with jax.enable_x64(True):
        keys = jnp.stack([jax.random.key(s % 2**32) for s in seeds])
        data = jax.tree.map(jnp.asarray, problem)
        brief = count * n * problem.dimensions * rules.budget <= BRIEF
        begin, advance = _HURRIED if brief else _THOROUGH
        state = begin(shape_of(rules), data, keys)
        require("objective", "not a number", bool(jnp.isfinite(state.fitness).all()), "Check the problem's data.")
        trail = Trail(*(jnp.zeros((count, rules.most_loops, n)) for _ in Trail._fields))
        loops = jnp.zeros(count, int)
    done = 0
    for stop in [*sorted({*schedule.act, *schedule.cooperate}), rules.most_loops]:
        with jax.enable_x64(True):
            numbers = map(jnp.asarray, (*advice, done, stop, schedule.horizon, rules.adaptive, rules.frozen))
            state, trail, loops = advance(shape_of(rules), data, keys, state, trail, loops, *numbers)
        done = stop
        if stop < rules.most_loops:
            advice = yield Moment(stop, Trail(*(np.asarray(x)[:, :stop] for x in trail)), advice, own)
    answers, used = np.asarray(state.x).mean(2), np.asarray(state.used).max(1)
    with jax.enable_x64(True):
        value = np.asarray(_mean_values(data, jnp.asarray(answers.mean(1, keepdims=True))))[:, 0]
    apart = np.linalg.norm(answers - answers.mean(1, keepdims=True), axis=-1).sum(1)
    ended = np.asarray(loops)
    sent = ended * float(int((own > 0).sum() - n) * rules.particles * problem.dimensions * NUMBER)
    return Run(value, apart, sent, used, ended, answers, Trail(*map(np.asarray, trail)), advice)


@jax.jit
def _mean_values(data: Objectives, points: Array) -> Array:
    return jax.vmap(mean_value)(data, points)


def _evaluate(rules: Rules, data: Objectives, x: Array) -> Array:
    """Objective of every particle [agents, particles], for one seed."""
    return mean_value(data, x[0])[None] if rules.central else local_values(data, x)


def _begin(rules: Rules, data: Objectives, keys: Array) -> Swarms:
    n = 1 if rules.central else data.agents

    def one(data: Objectives, key: Array) -> Swarms:
        x = jax.random.uniform(key, (n, rules.particles, data.dimensions), jnp.float64, -BOX, BOX)
        fitness = _evaluate(rules, data, x)
        zero = jnp.zeros(n, int)
        return Swarms(
            x, jnp.zeros_like(x), fitness, jnp.zeros((n, len(LEVELS))), fitness.min(1), zero, zero + GENERATIONS,
            zero + rules.particles, spread(x), jnp.ones(n), jnp.zeros(n, bool),
        )  # fmt: skip

    return jax.vmap(one)(data, keys)


def spread(x: Float[Array, "agents particles dimensions"]) -> Float[Array, " agents"]:
    """Mean squared distance of the particles to their centre (step 5)."""
    return ((x - x.mean(1, keepdims=True)) ** 2).sum(-1).mean(1)


def _advance(
    rules: Rules, data: Objectives, keys: Array, state: Swarms, trail: Trail, count: Array, coefficients: Array,
    weights: Array, start: Array, stop: Array, horizon: Array, adaptive: Array, frozen: Array,
) -> tuple[Swarms, Trail, Array]:  # fmt: skip
    """Outer loops from ``start`` to before ``stop``, or until no seed has budget left; stopped seeds stay."""

    def live(state: Swarms) -> Array:
        cost = (state.generations * rules.searching + (not rules.central)) * rules.particles
        return ((state.used + cost).max(1) <= rules.budget) & ~state.settled.all(1)

    def step(carry: Any) -> Any:
        t, state, trail, count = carry
        on = live(state)
        loop = partial(_loop, rules, t, adaptive & ~(frozen & (t >= horizon)))
        new, seen = jax.vmap(loop)(data, keys, state, coefficients, weights)
        state = jax.tree.map(lambda a, b: jnp.where(on.reshape(-1, *(1,) * (a.ndim - 1)), a, b), new, state)
        trail = Trail(*(kept.at[:, t].set(now) for kept, now in zip(trail, seen, strict=True)))
        return t + 1, state, trail, count + on

    carry = (start, state, trail, count)
    return jax.lax.while_loop(lambda c: (c[0] < stop) & live(c[1]).any(), step, carry)[1:]


def _loop(
    rules: Rules, t: Array, adaptive: Array, data: Objectives, key: Array, state: Swarms, coefficients: Array,
    weights: Array,
) -> tuple[Swarms, Trail]:  # fmt: skip
    """One outer loop of one seed: learn alone, exchange, shorten the learning of those who stagnate."""
    keys = jax.random.split(jax.random.fold_in(key, t + 1), GENERATIONS + 1)
    before = state.x.mean(1)
    if rules.searching:

        def learn(carry: tuple[Swarms, Array], each: tuple[Array, Array]) -> tuple[tuple[Swarms, Array], None]:
            number, key = each
            return _generation(rules, data, key, *carry, number < carry[0].generations), None

        (state, _), _ = jax.lax.scan(learn, (state, state.v), (jnp.arange(GENERATIONS), keys[:-1]))
    if rules.central:
        return state, Trail(state.fitness.mean(1), jnp.zeros(1), spread(state.x), jnp.zeros(1))
    wanted = coefficient(rules, spread(state.x) / state.first, coefficients)
    w = jnp.where(adaptive, state.w + SMOOTH * (wanted - state.w), 1.0)
    x, v = exchange(state.x, state.v, weights, w, jax.random.uniform(keys[-1], (*state.x.shape[:2], 1), jnp.float32))
    fitness = _evaluate(rules, data, x)
    best = jnp.minimum(state.best, fitness.min(1))
    stalled = jnp.where(best < state.best, 0, state.stalled + 1)
    shorter = (stalled > PATIENCE) & (state.generations > LEAST_GENERATIONS)
    state = state._replace(
        x=x, v=v, fitness=fitness, best=best, stalled=jnp.where(shorter, 0, stalled), w=w,
        generations=state.generations - shorter, used=state.used + rules.particles,
        settled=(jnp.abs(v).sum((1, 2)) < SETTLED) & rules.searching,
    )  # fmt: skip
    centre = x.mean(1)
    around = weights - jnp.diag(jnp.diag(weights))
    others = around @ centre / jnp.maximum(around.sum(1, keepdims=True), 1e-300)
    away, moved = (jnp.linalg.norm(centre - y, axis=-1) for y in (others, before))
    return state, Trail(fitness.mean(1), away, spread(x), moved)


def coefficient(rules: Rules, relative: Array, coefficients: Array) -> Array:
    """What the velocity is multiplied with: c where the swarm is narrow, d where it is wide, 1 between (step 6)."""
    narrow, wide = relative < rules.low, relative > rules.high
    return jnp.where(narrow, coefficients[:, 1], jnp.where(wide, coefficients[:, 0], 1.0))


def exchange(x: Array, v: Array, weights: Array, w: Array, r: Array) -> tuple[Array, Array]:
    """External learning: everybody moves at once, from what all sent before anybody moved; the swarms stay aligned.

    Args:
        x: places [agents, particles, dimensions].
        v: external velocities.
        weights: row-stochastic [agents, agents].
        w: coefficient of each agent.
        r: uniform draws [agents, particles, 1].
    """
    pull = jnp.einsum("nk,kpd->npd", weights, x) - weights.sum(1)[:, None, None] * x
    v = w[:, None, None] * (r * v) + pull
    return jnp.clip(x + v, -BOX, BOX), v


def _generation(rules: Rules, data: Objectives, key: Array, state: Swarms, v: Array, on: Array) -> tuple[Swarms, Array]:
    """One generation of level-based learning (Yang et al. 2018) of those agents that are still at it."""
    choose_key, level_key, move_key = jax.random.split(key, 3)
    n, particles, _ = state.x.shape
    choice = jax.random.categorical(choose_key, SHARPNESS * state.gains)
    size = (particles // jnp.array(LEVELS))[choice]
    order = jnp.argsort(state.fitness, axis=1)
    ranks = jnp.arange(particles)
    level = jnp.minimum(ranks // size[:, None], jnp.array(LEVELS)[choice][:, None] - 1)
    one, two = _exemplars(jax.random.uniform(level_key, (4, n, particles), jnp.float32), level, size)
    sorted_x, sorted_v = (jnp.take_along_axis(y, order[..., None], 1) for y in (state.x, v))
    p1, p2 = (jnp.take_along_axis(sorted_x, p[..., None], 1) for p in (one, two))
    u = jax.random.uniform(move_key, (3, *state.x.shape), jnp.float32)
    new_v = u[0] * sorted_v + u[1] * (p1 - sorted_x) + SOCIAL * u[2] * (p2 - sorted_x)
    new_v = jnp.where((level > 0)[..., None], new_v, sorted_v)
    new_x = jnp.where((level > 0)[..., None], jnp.clip(sorted_x + new_v, -BOX, BOX), sorted_x)
    back = jnp.argsort(order, axis=1)
    moved_x, moved_v = (jnp.take_along_axis(y, back[..., None], 1) for y in (new_x, new_v))
    here = on[:, None, None]
    x = jnp.where(here, moved_x, state.x)
    fitness = jnp.where(on[:, None], _evaluate(rules, data, x), state.fitness)
    old, new = state.fitness.min(1), fitness.min(1)
    gain = jnp.maximum(0.0, (old - new) / jnp.maximum(jnp.abs(old) + jnp.abs(new), 1e-300))
    gains = state.gains.at[jnp.arange(n), choice].set(jnp.where(on, gain, state.gains[jnp.arange(n), choice]))
    used = state.used + rules.particles * on
    return state._replace(x=x, fitness=fitness, gains=gains, used=used), jnp.where(here, moved_v, v)


def _exemplars(u: Array, level: Array, size: Array) -> tuple[Array, Array]:
    """Ranks of the two that each particle learns from, the better first: from two better levels, or both from the
    best level for those of the second.
    """
    one = jnp.floor(u[0] * level).astype(int)
    two = jnp.floor(u[1] * jnp.maximum(level - 1, 1)).astype(int)
    two = jnp.where(level > 1, two + (two >= one), 0)
    near, far = jnp.minimum(one, two), jnp.maximum(one, two)
    first, second = (
        lvl * size[:, None] + jnp.floor(u[k] * size[:, None]).astype(int) for k, lvl in ((2, near), (3, far))
    )
    return jnp.minimum(first, second), jnp.maximum(first, second)


_HURRIED = tuple(quickly_compiled("rules")(f) for f in (_begin, _advance))
_THOROUGH = tuple(jax.jit(f, static_argnames="rules") for f in (_begin, _advance))
