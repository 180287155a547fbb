"""Training: runs a learner to an end, and keeps everything that is needed to look at it, use it or go on with it.

A folder of a training holds ``metrics.jsonl`` (one line for each update and seed), ``checkpoints/step-...``,
``events.jsonl`` (a few episodes of the result, as a trace) and ``summary.json`` (settings, machine, evaluation).
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from shoal.errors import InputError, ShoalError
from shoal.marl.checkpoints import read, save, training_keys
from shoal.marl.compilation import ONCE, QUICK, THOROUGH, Options, compiled
from shoal.marl.episodes import trace_key, write_episodes
from shoal.marl.evaluation import Episodes, evaluate_seeds
from shoal.marl.faults import CAUSES, TrainingDiverged
from shoal.marl.learner import LEARNERS, Learner
from shoal.marl.policies import Policy
from shoal.marl.records import Records
from shoal.runs.seeds import derive
from shoal.traces import TraceWriter
from shoal.worlds import World, make_world

LONGEST_CALL = 256
"""Most updates in one call of the compiled loop."""
CALL_SECONDS = 1.0
"""How long such a call is meant to take, so that progress shows and Ctrl-C is heard."""
SHORT = 4_000_000
"""Agent samples up to which a training is compiled quickly."""


@dataclass(frozen=True)
class Progress:
    """How far a training is.

    Attributes:
        step: environment steps done, for each seed.
        steps: to be done.
        rate: environment steps a second, all seeds together, in the last call.
        metrics: of the last update, means over seeds.
    """

    step: int
    steps: int
    rate: float
    metrics: dict[str, float]


class TrainingInterrupted(ShoalError):
    """Ctrl-C: training was stopped after an update and can be resumed.

    Attributes:
        path: the checkpoint, or None where nothing is kept.
        step: environment steps done, for each seed.
    """

    exit_code = 130

    def __init__(self, path: Path | None, step: int) -> None:
        how = f'Resume with shoal.marl.train(resume="{path}").' if path else "Nothing was kept: no folder was given."
        super().__init__(f"Training stopped at step {step}. {how}")
        self.path, self.step = path, step

    def __reduce__(self) -> Any:
        return (type(self), (self.path, self.step))


@dataclass
class Training:
    """A finished training.

    Attributes:
        learner: with its settings.
        world: what was learned.
        seeds: seed numbers.
        state: after the last update; parameters [seeds, ...].
        history: metrics of this call's updates by name, each [updates, seeds, ...].
        evaluation: episodes of the final parameters, for each seed; empty if none were asked for.
        seconds: wall time of the updates.
        compile_seconds: wall time of tracing and compiling.
        path: its folder, or None.
    """

    learner: Learner[Any, Any]
    world: World[Any]
    seeds: tuple[int, ...]
    state: Any
    history: dict[str, NDArray[Any]]
    evaluation: list[Episodes] = field(default_factory=list)
    seconds: float = 0.0
    compile_seconds: float = 0.0
    path: Path | None = None

    def policy(self, seed: int | None = None) -> Policy:
        """The trained policy of a seed; of the first if left out."""
        index = 0 if seed is None else self.seeds.index(seed)
        return Policy(jax.tree.map(lambda x: x[index], self.learner.player(self.state)), self.world)


def train(
    learner: str | None = None,
    world: World[Any] | str | None = None,
    *,
    settings: Mapping[str, Any] | None = None,
    steps: int = 1_000_000,
    seeds: int | Sequence[int] = 1,
    out: Path | str | None = None,
    resume: Path | str | None = None,
    start: Path | str | None = None,
    progress: Callable[[Progress], None] | None = None,
    checkpoint_every: int | None = None,
    episodes: int = 128,
    traced: int = 2,
    compilation: Options | None = None,
) -> Training:
    """Train, evaluate what came out, and keep it.

    Args:
        learner: name of a learner; not given when resuming.
        world: the world or its spec; not given when resuming.
        settings: of the learner; ``total_steps`` is ``steps`` unless given.
        steps: environment steps for each seed; whole updates that fit in, at least one.
        seeds: seed numbers, or how many (0, 1, ...); all are trained in one program.
        out: folder for metrics, checkpoints, trace and summary; nothing is kept without it.
        resume: a checkpoint, or a training's folder, to go on from until its own number of steps, in its own folder.
        start: a checkpoint, or a training's folder, whose parameters to begin with, for fine-tuning: of the same
            networks and number of seeds, in any world that they fit. All else begins anew, the optimiser too.
        progress: called about once a second.
        checkpoint_every: environment steps between checkpoints; a fifth of the training if left out.
        episodes: to evaluate the final parameters with, for each seed; 0 for none.
        traced: episodes to write to the trace.
        compilation: options of the compiler; by the training's length if left out.

    Raises:
        InputError, UnknownName: settings that do not fit, or a checkpoint that cannot be used.
        TrainingDiverged: numbers stopped being finite; says when and why.
        TrainingInterrupted: Ctrl-C; says how to resume.
        StorageError: the folder cannot be written.
    """
    if resume is not None:
        return _resumed(resume, progress).run()
    if learner is None or world is None:
        raise InputError("train", (learner, world), "Give a learner and a world, or a checkpoint to resume.")
    if steps < 1:
        raise InputError("steps", steps, "Train for at least 1 step.")
    place = make_world(world) if isinstance(world, str) else world
    chosen = LEARNERS.get(learner)(**{"total_steps": steps, **(settings or {})})
    numbers = tuple(range(seeds)) if isinstance(seeds, int) else tuple(seeds)
    if not numbers or len(set(numbers)) != len(numbers):
        raise InputError("seeds", seeds, "Give at least one, each once.")
    plan = Plan(max(1, steps // chosen.steps_per_update), checkpoint_every or max(1, steps // 5), episodes, traced)
    run = _Run(chosen, place, numbers, plan, Path(out) if out is not None else None, progress)
    run.compilation, run.start = compilation, start
    return run.run()


@dataclass(frozen=True)
class Plan:
    """What a training is to do.

    Attributes:
        updates: in all.
        checkpoint_every: environment steps between checkpoints.
        episodes: of the evaluation.
        traced: episodes in the trace.
    """

    updates: int
    checkpoint_every: int
    episodes: int
    traced: int


def _resumed(path: Path | str, progress: Callable[[Progress], None] | None) -> _Run:
    checkpoint = read(path)
    out = checkpoint.path.parent.parent
    run = _Run(checkpoint.learner, checkpoint.world, checkpoint.seeds, Plan(**checkpoint.extra["plan"]), out, progress)
    run.state, run.done = checkpoint.state(), checkpoint.updates
    return run


class _Run:
    """One training from its first or a later update to the end."""

    def __init__(
        self,
        learner: Learner[Any, Any],
        world: World[Any],
        seeds: tuple[int, ...],
        plan: Plan,
        out: Path | None,
        progress: Callable[[Progress], None] | None,
    ) -> None:
        self.learner, self.world, self.seeds, self.plan = learner, world, seeds, plan
        self.out, self.progress = out, progress
        self.state: Any = None
        self.done = 0
        self.history: list[dict[str, NDArray[Any]]] = []
        self.seconds = 0.0
        self.compilation: Options | None = None
        self.start: Path | str | None = None

    def run(self) -> Training:
        """To the end."""
        began = time.perf_counter()
        if self.state is None:
            keys = training_keys(self.seeds)
            start = compiled(lambda k: self.learner.init(k, self.world), keys, options=ONCE)
            self.state = start(keys)
            if self.start is not None:
                shapes = jax.eval_shape(lambda: self.state.model)
                self.state = eqx.tree_at(lambda s: s.model, self.state, read(self.start).fill(shapes, ".model"))
        options = self.compilation or (QUICK if self._short() else THOROUGH)
        self.advance = compiled(self._loop, self.state, jnp.int32(1), options=options, donate=(0,))
        compile_seconds = time.perf_counter() - began
        self.records = Records(self.out, self.seeds, self.done)
        with _listening() as stop:
            count = 1
            while self.done < self.plan.updates:
                count = self._call(count)
                if stop.is_set() and self.done < self.plan.updates:
                    raise TrainingInterrupted(self._save(), self.done * self.learner.steps_per_update)
        self._save()
        result = Training(
            self.learner,
            self.world,
            self.seeds,
            self.state,
            {k: np.concatenate([part[k] for part in self.history]) for k in (self.history[0] if self.history else ())},
            self._evaluate(),
            self.seconds,
            compile_seconds,
            self.out,
        )
        self.records.summary(result)
        return result

    def _short(self) -> bool:
        """Too short for thorough compilation to pay; several seeds and recurrent networks need it to be fast at all."""
        samples = self.plan.updates * self.learner.steps_per_update * self.world.agent_count
        return not self.learner.heavy and len(self.seeds) == 1 and samples <= SHORT

    def _loop(self, state: Any, count: Any) -> tuple[Any, Any]:
        """Up to LONGEST_CALL updates, stopping at the first fault."""
        _, shapes = jax.eval_shape(self.learner.update, state)
        table = jax.tree.map(lambda x: jnp.zeros((LONGEST_CALL, *x.shape), x.dtype), shapes)

        def body(carry: Any) -> Any:
            i, state, table, _ = carry
            state, metrics = self.learner.update(state)
            table = jax.tree.map(lambda t, m: t.at[i].set(m), table, metrics)
            return i + 1, state, table, metrics["fault"].max()

        def more(carry: Any) -> Any:
            return (carry[0] < count) & (carry[3] == 0)

        _, state, table, _ = jax.lax.while_loop(more, body, (jnp.int32(0), state, table, jnp.int32(0)))
        return state, table

    def _call(self, count: int) -> int:
        """Some updates, recorded; returns how many to ask for next."""
        every = max(1, self.plan.checkpoint_every // self.learner.steps_per_update)
        to_mark = every - self.done % every
        count = min(count, to_mark, self.plan.updates - self.done, LONGEST_CALL)
        began = time.perf_counter()
        self.state, table = self.advance(self.state, jnp.int32(count))
        part = {name: np.asarray(x)[:count] for name, x in table.items()}
        took = time.perf_counter() - began
        self.seconds += took
        each = self.learner.steps_per_update
        rate = count * each * len(self.seeds) / took
        faults = part.pop("fault").reshape(count, -1)
        bad = np.argwhere(faults > 0)
        if bad.size:
            update, seed = bad[0]
            self.records.write({k: x[: update + 1] for k, x in part.items()}, self.done, each, rate)
            kept = f"The last sound state is in {self.records.last}." if self.records.last else ""
            cause = CAUSES[faults[update, seed]]
            raise TrainingDiverged(int(self.done + update + 1) * each, self.seeds[seed], cause, kept)
        self.records.write(part, self.done, each, rate)
        self.history.append(part)
        self.done += count
        if self.done % every == 0 and self.done < self.plan.updates:
            self._save()
        if self.progress is not None:
            latest = {name: float(np.mean(x[-1])) for name, x in part.items()}
            self.progress(Progress(self.done * each, self.plan.updates * each, rate, latest))
        return max(1, min(2 * count, int(CALL_SECONDS * count / took)))

    def _save(self) -> Path | None:
        if self.out is None:
            return None
        path = self.out / "checkpoints" / f"step-{self.done * self.learner.steps_per_update:012d}"
        plan = {name: getattr(self.plan, name) for name in ("updates", "checkpoint_every", "episodes", "traced")}
        self.records.last = save(path, self.state, self.learner, self.world, self.seeds, plan=plan)
        return self.records.last

    def _evaluate(self) -> list[Episodes]:
        """Episodes of the very parameters that were saved and are returned."""
        players = self.learner.player(self.state)
        if self.out is not None and self.plan.traced:
            first = jax.tree.map(lambda x: x[0], players)
            with TraceWriter(self.out / "events.jsonl", self.out.name) as trace:
                facts = {"seed": self.seeds[0], "trained": self.done * self.learner.steps_per_update}
                write_episodes(first, self.world, self.plan.traced, trace_key(self.seeds[0]), trace, **facts)
        if not self.plan.episodes:
            return []
        key = jax.random.key(derive(self.seeds[0], "evaluation") % 2**32)
        return evaluate_seeds(players, len(self.seeds), self.world, self.plan.episodes, key)


@contextmanager
def _listening() -> Iterator[threading.Event]:
    """An event that the first Ctrl-C sets; a second one interrupts as usual."""
    stop = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return

    def hear(*_: Any) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()

    before = signal.signal(signal.SIGINT, hear)
    try:
        yield stop
    finally:
        signal.signal(signal.SIGINT, before)
