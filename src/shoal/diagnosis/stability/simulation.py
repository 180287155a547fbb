"""Long runs of the synthetic team under cures, compiled: a scan over interactions, all runs and arms at once.

The first windows are the frozen baseline; cures begin when it is there and see only what the log shows (the index of
the team and of each agent), never the hidden drift. All arms of a run share their luck.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray
from numpy.typing import NDArray

from shoal.diagnosis.stability import synthetic
from shoal.diagnosis.stability.compiled import Reference, indices, measure, remember
from shoal.diagnosis.stability.cures import EVERY, MOST_EXEMPLARS
from shoal.diagnosis.stability.dimensions import DIMENSIONS
from shoal.diagnosis.stability.index import BASELINE, SMALLEST, THRESHOLD, WINDOW
from shoal.diagnosis.stability.synthetic import AGENTS, KINDS, Dynamics, Hidden, Log
from shoal.games.compilation import quickly_compiled

RATE, NOISE = 5e-4, 2e-3
"""Growth of drift per interaction and its noise: the page's."""
KEPT = 0.3
"""Share of a context's pollution that a consolidation leaves: the page's."""
BATCH = 50
"""Runs at a time: one size of batch for all, so that the program is compiled once for each number of arms."""
ROLES = list(DIMENSIONS).index("I_role")
PULL = 1e-3
"""What one exemplar takes off an agent's drift in an interaction, as a share of it: ours, the page gives no figure."""


Strength = float | Array
"""One number, or one for each arm once they are packed."""


class Arm(NamedTuple):
    """Which cures act and how strongly; a cure whose effect is nothing still costs its tokens.

    Attributes:
        consolidates: 1 where contexts are consolidated every 50 turns.
        kept: share of the pollution that is left then.
        routes: 1 where the router looks at stability and resets agents below the threshold.
        prefers: exponent of stability in the router's score.
        left: share of the drift that a reset leaves.
        anchors: 1 where exemplars are put into prompts.
        pull: what one exemplar takes off.
        resets: 1 where all agents are reset every 100 turns, whatever they do.
    """

    consolidates: Strength = 0.0
    kept: Strength = KEPT
    routes: Strength = 0.0
    prefers: Strength = 1.0
    left: Strength = synthetic.RESET
    anchors: Strength = 0.0
    pull: Strength = PULL
    resets: Strength = 0.0


ARMS = {
    "none": Arm(),
    "EMC": Arm(consolidates=1.0),
    "DAR": Arm(routes=1.0),
    "ABA": Arm(anchors=1.0),
    "all": Arm(consolidates=1.0, routes=1.0, anchors=1.0),
    "periodic reset": Arm(resets=1.0),
    "EMC, no effect": Arm(consolidates=1.0, kept=1.0),
    "DAR, no effect": Arm(routes=1.0, prefers=0.0, left=1.0),
    "ABA, no effect": Arm(anchors=1.0, pull=0.0),
}


@dataclass(frozen=True)
class Setting:
    """What a set of runs has in common.

    Attributes:
        interactions: in each run; whole windows.
        window: interactions in a window.
        baseline: windows of the frozen baseline, at least 1.
        threshold: index below which an agent is reset, and which scales the number of exemplars.
        moving: compare each window with the windows just before it instead of the frozen first ones (ablation).
    """

    interactions: int = 500
    window: int = WINDOW
    baseline: int = BASELINE
    threshold: float = THRESHOLD
    moving: bool = False


@dataclass(frozen=True)
class Courses:
    """What came out; windows count from the first one after the baseline.

    Attributes:
        dimensions: the twelve of the team [arms, runs, windows, 12].
        groups: the four groups [arms, runs, windows, 4].
        index: the team's index [arms, runs, windows].
        success: share of successful interactions [arms, runs, windows].
        drift: hidden mean drift at the window's end [arms, runs, windows].
        tokens: tokens per interaction, calls of the cures among them [arms, runs, windows].
        turns: interactions, hand-off messages and calls of the cures, per interaction [arms, runs, windows].
    """

    dimensions: NDArray[np.float32]
    groups: NDArray[np.float32]
    index: NDArray[np.float32]
    success: NDArray[np.float32]
    drift: NDArray[np.float32]
    tokens: NDArray[np.float32]
    turns: NDArray[np.float32]


@dataclass(frozen=True)
class Runs:
    """Dynamics of runs as arrays: growth by kind [runs, kinds], noise [runs], onset in interactions [runs]."""

    rate: NDArray[np.float64]
    onset: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    noise: float = NOISE

    def dynamics(self, which: NDArray[np.int64], seed: int) -> tuple[PRNGKeyArray, Dynamics]:
        """Keys and dynamics of some of the runs; what a run gets does not depend on the others."""
        onset = self.onset if self.onset.size else np.zeros(len(self.rate), np.int64)
        keys = jax.vmap(partial(jax.random.fold_in, jax.random.key(seed % 2**32)))(jnp.asarray(which))
        return keys, Dynamics(
            jnp.asarray(self.rate[which], jnp.float32), jnp.full(len(which), self.noise),
            jnp.asarray(onset[which], jnp.int32),
        )  # fmt: skip


def simulate(runs: Runs, seed: int, arms: dict[str, Arm] | None = None, setting: Setting | None = None) -> Courses:
    """Let the team work under each arm (only "none" by default) in every run."""
    setting, arms = setting or Setting(), arms or {"none": ARMS["none"]}
    packed = Arm(*(jnp.asarray(column, jnp.float32) for column in zip(*arms.values(), strict=True)))
    count = len(runs.rate)
    whole = np.arange(-(-count // BATCH) * BATCH)
    parts = [_batch(*runs.dynamics(part % count, seed), packed, setting) for part in whole.reshape(-1, BATCH)]
    joined = [np.concatenate(of, axis=1)[:, :count] for of in zip(*parts, strict=True)]
    return Courses(*joined)


def logs(runs: Runs, seed: int, interactions: int) -> list[Log]:
    """The whole log of each run without cures, [interactions] in every field."""
    keys, dynamics = runs.dynamics(np.arange(len(runs.rate)), seed)
    _, whole = _baseline(keys, dynamics, interactions)
    held = jax.device_get(whole)
    return [Log(*(part[i] for part in held)) for i in range(len(keys))]


class _State(NamedTuple):
    """Between two windows: the hidden state, what was last read (team first, then agents), and the last log."""

    hidden: Hidden
    stability: Float[Array, " team_and_agents"]
    previous: Log


def _batch(keys: PRNGKeyArray, dynamics: Dynamics, arms: Arm, setting: Setting) -> list[NDArray[np.float32]]:
    """Courses [arms, runs, windows, ...] of one batch: the baseline, then window after window."""
    first = setting.window * setting.baseline
    hidden, log = _baseline(keys, dynamics, first)
    references = _references(log)
    count = jnp.size(arms.kept)
    wide = partial(jax.tree.map, lambda x: jnp.broadcast_to(x, (count, *x.shape)))
    state = _State(wide(hidden), jnp.ones((count, len(keys), AGENTS + 1)), wide(log))
    found = []
    for time in range(first, setting.interactions - setting.window + 1, setting.window):
        if setting.moving:
            references = _references(jax.tree.map(lambda x: x[0], state.previous))
        state, told = _windows(state, references, keys, dynamics, arms, jnp.int32(time), setting)
        found.append(told)
    return [np.stack(of, axis=2) for of in zip(*found, strict=True)]


@quickly_compiled("count")
def _baseline(keys: PRNGKeyArray, dynamics: Dynamics, count: int) -> tuple[Hidden, Log]:
    """The first interactions of each run, without cures: state [runs] and log [runs, count]."""

    def run(key: PRNGKeyArray, each: Dynamics) -> tuple[Hidden, Log]:
        return _work(synthetic.fresh(), key, each, jnp.arange(count), jnp.ones(AGENTS), jnp.float32(0))

    return jax.vmap(run)(keys, dynamics)


@quickly_compiled()
def _references(log: Log) -> Reference:
    """What the team and each agent is remembered by, [runs, team and agents], from logs [runs, n]."""
    return jax.vmap(lambda one: jax.vmap(lambda mask: remember(one, mask))(_masks(one, one.task.size)))(log)


@quickly_compiled("setting")
def _windows(
    state: _State, references: Reference, keys: PRNGKeyArray, dynamics: Dynamics, arms: Arm, time: Array,
    setting: Setting,
) -> tuple[_State, Any]:  # fmt: skip
    """One window of all runs under all arms."""

    def run(held: _State, reference: Reference, key: PRNGKeyArray, each: Dynamics, arm: Arm) -> tuple[_State, Any]:
        return _window(held, reference, key, each, arm, time, setting)

    return jax.vmap(jax.vmap(run, (0, 0, 0, 0, None)), (0, None, None, None, 0))(
        state, references, keys, dynamics, arms
    )


def _window(
    state: _State, references: Reference, key: PRNGKeyArray, dynamics: Dynamics, arm: Arm, time: Array,
    setting: Setting,
) -> tuple[_State, Any]:  # fmt: skip
    """The cures, then the interactions, then the reading of one window."""
    before, exemplars, preference, calls, spent = _cure(state, arm, time, setting)
    times = time + jnp.arange(setting.window)
    after, log = _work(before, key, dynamics, times, preference, arm.pull * exemplars)
    recent = jax.tree.map(lambda a, b: jnp.concatenate([a, b]), state.previous, log)
    pair = jax.tree.map(lambda x: x[-2 * setting.window :], recent)  # an agent has a part of each window only
    masks = _masks(pair, setting.window)
    values = jax.vmap(measure, (None, 0, 0))(pair, masks, references)
    values = values.at[1:, ROLES].set(jnp.nan)  # one agent alone has no role
    read = jax.vmap(indices)(values)
    index = jnp.where(masks.sum(axis=1) < SMALLEST, state.stability, read[:, -1])
    prompt = synthetic.PROMPT + synthetic.CONTEXT * before.pollution.mean() + synthetic.EXEMPLAR * exemplars
    told = (
        values[0], read[0, :-1], read[0, -1], log.correct.mean(), after.drift.mean(),
        prompt + log.tokens.mean() + spent / setting.window, 1.0 + (log.messages.sum() + calls) / setting.window,
    )  # fmt: skip
    return _State(after, index, jax.tree.map(lambda x, y: x[-len(y) :], recent, state.previous)), told


def _masks(log: Log, window: int) -> Float[Array, "team_and_agents n"]:
    """Whose interactions each reading takes: the team's last ``window`` ones, and all of each agent's."""
    place = jnp.arange(log.task.size)
    team = place >= log.task.size - window
    return jnp.concatenate([team[None], log.agent == jnp.arange(AGENTS)[:, None]]).astype(jnp.float32)


def _cure(state: _State, arm: Arm, time: Array, setting: Setting) -> tuple[Hidden, Array, Array, Array, Array]:
    """What the cures do before a window: the state, exemplars, router's preference, and their calls and tokens."""
    pollution, drift = state.hidden
    team, agents = state.stability[0], state.stability[1:]
    due = (time % EVERY == 0) * arm.consolidates
    pollution = pollution * jnp.where(due > 0, arm.kept, 1.0)
    unstable = arm.routes * (agents < setting.threshold)
    reset = jnp.maximum(unstable, arm.resets * (time % (2 * EVERY) == 0))
    drift = drift * jnp.where(reset > 0, arm.left, 1.0)[:, None]
    pollution = pollution * jnp.where((reset > 0) & (arm.left < 1), 0.0, 1.0)
    wanted = jnp.clip((1.0 - team) / (1.0 - setting.threshold), 0.0, 1.0)
    exemplars = arm.anchors * jnp.ceil(MOST_EXEMPLARS * wanted)
    preference = jnp.where(arm.routes > 0, agents**arm.prefers, 1.0)
    calls = AGENTS * due + reset.sum()
    spent = AGENTS * due * synthetic.NOTES + reset.sum() * synthetic.PROMPT
    return Hidden(pollution, drift), exemplars, preference, calls, spent


def _work(
    hidden: Hidden, key: PRNGKeyArray, dynamics: Dynamics, times: Array, preference: Array, pull: Array
) -> tuple[Hidden, Log]:
    """The interactions of these times."""

    def one(held: Hidden, time: Array) -> tuple[Hidden, Log]:
        luck = synthetic.draw(jax.random.fold_in(key, time))
        return synthetic.grow(held, dynamics, luck, time, pull), synthetic.act(held, luck, preference)

    return jax.lax.scan(one, hidden, times)


def growth(runs: int, factor: float | NDArray[np.float64] = 1.0, kinds: tuple[str, ...] = KINDS) -> NDArray[np.float64]:
    """Rates [runs, kinds]: the page's times a factor for the kinds that drift, 0 for the others."""
    wanted = np.array([float(k in kinds) for k in KINDS])
    return np.asarray(RATE * np.broadcast_to(np.asarray(factor, float), (runs,))[:, None] * wanted)
