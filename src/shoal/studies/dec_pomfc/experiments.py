"""Training the arms of the Dec-POMFC study, and what their swarms come to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from shoal.runs.seeds import derive
from shoal.runs.study import Trial
from shoal.studies.dec_pomfc.settings import (
    ARMS,
    BLIND,
    CHANCE,
    CLASSIC,
    EVEN_DISTANCE,
    GATHER_BY_HAND,
    KERNEL,
    LATE,
    OPEN,
    PLANNERS,
    SHARED,
    STATIC,
    TASKS,
    TEAMS,
    TURN_BY_HAND,
    DecPomfcConfig,
)

if TYPE_CHECKING:
    from shoal.marl.players import Player
    from shoal.marl.training import Training
    from shoal.populations.mean_field.execution import Actor, Course, Plan
    from shoal.populations.mean_field.worlds import MeanFieldWorld, SwarmWorld

Measured = dict[str, list[dict[str, Any]]]

BRIEF = 10_000
"""Steps up to which compiling takes longer than training."""
POINTS = 12
"""Points of a learning curve."""
FRAMES, PICTURED = 4, 150
"""Moments and agents of a picture."""


def swarm(trial: Trial[DecPomfcConfig]) -> Measured:
    """All arms of the task that the experiment is named after."""
    config, task = trial.config, trial.experiment
    found: Measured = {name: [{} for _ in trial.seeds] for name in ARMS}
    arms = [name for name in PLANNERS if config.whole or name in (KERNEL, BLIND)]
    for name in [BLIND, KERNEL] if task == OPEN else arms:
        found |= _planned(trial, name)
    place = config.team_world(task, config.tested)
    if config.whole and task != OPEN:
        for name, learner in TEAMS.items():
            training = _train(trial, learner, config.team_world(task), config.team())
            found[name] = _measured(trial, _course(trial, _learned(training, place, True), place))
            _curve(found[name], training, task)
    from shoal.populations.mean_field.execution import Chance, Classic

    found[CLASSIC] = _measured(trial, _course(trial, Classic(place), place))
    found[CHANCE] = _measured(trial, _course(trial, Chance(place), place))
    return found


def _planned(trial: Trial[DecPomfcConfig], name: str) -> Measured:
    """One planner, its open-loop plan, and for the kernel's all modes, starts and sizes."""
    from shoal.populations.mean_field.execution import make_plan

    config, task = trial.config, trial.experiment
    small, place = (config.planned(task, count, **PLANNERS[name]) for count in (None, config.tested))
    training = _train(trial, "ippo", small, config.planner())
    plan = make_plan(_learned(training, small, True), small, _key(trial, "plan"), (len(trial.seeds), 1))
    found = {name: _measured(trial, _course(trial, plan, place))}
    _curve(found[name], training, task)
    if name == KERNEL and task != OPEN:
        broadcast = _learned(training, place, False)
        found[STATIC] = _measured(trial, _course(trial, plan.static, place))
        found[SHARED] = _measured(trial, _course(trial, broadcast, place))
        _from_clumps(trial, found, plan, training)
        _at_sizes(trial, found[KERNEL], plan)
        found[KERNEL][0] |= _picture(trial, plan, place)
    return found


def _train(trial: Trial[DecPomfcConfig], learner: str, world: Any, settings: dict[str, Any]) -> Training:
    """One arm, all seeds in one program."""
    from shoal.marl.compilation import ONCE
    from shoal.marl.training import train

    numbers = [derive(trial.root, trial.experiment, seed, "training") % 2**32 for seed in trial.seeds]
    steps = trial.config.steps
    quickly = ONCE if steps <= BRIEF else None
    return train(learner, world, settings=settings, steps=steps, seeds=numbers, episodes=0, compilation=quickly)


def _learned(training: Training, world: SwarmWorld, greedy: bool) -> Actor:
    from shoal.studies.dec_pomfc.learned import Learned

    players: Player = training.learner.player(training.state)
    return Learned(players, world, greedy)


def _key(trial: Trial[DecPomfcConfig], *names: str) -> Any:
    import jax

    return jax.random.key(derive(trial.root, trial.experiment, *names) % 2**32)


def _course(trial: Trial[DecPomfcConfig], actor: Actor, world: SwarmWorld, swarms: int | None = None) -> Course:
    """Episodes of every seed; all arms meet the same starts where their swarms are alike."""
    from shoal.populations.mean_field.execution import course

    batch = (len(trial.seeds), swarms or trial.config.episodes)
    return course(actor, world, _key(trial, "evaluation"), batch)


def _scores(task: str, rewards: Any) -> NDArray[np.float64]:
    """Rewards on the scale where 1 is perfect and 0 is nothing."""
    values = np.asarray(rewards, float)
    return 1 + values / EVEN_DISTANCE if task in ("aggregation", OPEN) else values


def _measured(trial: Trial[DecPomfcConfig], seen: Course) -> list[dict[str, Any]]:
    """Figures of each seed: means over its swarms [steps, seeds, swarms]."""
    scores = _scores(trial.experiment, seen.rewards)
    late = np.asarray(seen.rewards, float)[-LATE:].mean(0)
    left = late / np.asarray(seen.first, float)
    found = []
    for seed in range(scores.shape[1]):
        of = {"return": float(scores[:, seed].mean()), "late": float(scores[-LATE:, seed].mean())}
        if trial.experiment in ("aggregation", OPEN):
            of["left"] = float(left[seed].mean())
        found.append(of)
    return found


def _curve(found: list[dict[str, Any]], training: Training, task: str) -> None:
    """Adds the course of each seed's training: mean late score of the episodes in equal parts of it."""
    late = _scores(task, training.history["world_late"])
    for seed, figures in enumerate(found):
        done = late[np.isfinite(late[:, seed]), seed]
        if done.size:
            figures["in training"] = [float(part.mean()) for part in np.array_split(done, min(POINTS, done.size))]


def _from_clumps(trial: Trial[DecPomfcConfig], found: Measured, plan: Plan, training: Training) -> None:
    """Adds what becomes of a start that the plan was not made for, and whether the plan warns of either start."""
    import jax

    config, task, count = trial.config, trial.experiment, len(trial.seeds)
    shifted = config.planned(task, config.tested, start="clumps")
    for name, actor in ((KERNEL, plan), (SHARED, _learned(training, shifted, False))):
        for into, figures in zip(found[name], _measured(trial, _course(trial, actor, shifted)), strict=True):
            into["return from clumps"] = figures["return"]
    for start, world in (("even", config.planned(task, config.tested)), ("clumps", shifted)):
        states, _ = jax.jit(world.reset, static_argnums=1)(_key(trial, "warning"), (count,))
        for seed, into in enumerate(found[KERNEL]):
            own = jax.tree.map(lambda x, s=seed: x[..., s], states)
            into[f"warns, {start}"] = float(plan.warning(world, own) is not None)


def _at_sizes(trial: Trial[DecPomfcConfig], found: list[dict[str, Any]], plan: Plan) -> None:
    """Adds the plan's return in smaller and larger swarms; fewer swarms where they are large."""
    config = trial.config
    for count in config.sizes():
        swarms = min(4 * config.episodes, max(2, 400 * config.episodes // count))
        world = config.planned(trial.experiment, count)
        same = count == config.tested
        figures = found if same else _measured(trial, _course(trial, plan, world, swarms))
        for into, of in zip(found, figures, strict=True):
            into[size_metric(count)] = of["return"]


def size_metric(count: int) -> str:
    """Name of the return in swarms of that size."""
    return f"return, N={count}"


def _picture(trial: Trial[DecPomfcConfig], plan: Plan, world: MeanFieldWorld) -> dict[str, Any]:
    """Agents of one swarm of the first seed at a few moments, as flat lists."""
    import jax

    from shoal.populations.mean_field.execution import Plan, course

    first = Plan(plan.rules[:, :, 0, 0], plan.start)
    shown = jax.device_get(course(first, world, _key(trial, "picture"), (), True).shown)
    times = np.linspace(0, world.horizon - 1, FRAMES).astype(int)
    parts = ("x", "y", "heading") if hasattr(shown, "heading") else ("x", "y")
    found = {f"shown {part}": np.asarray(getattr(shown, part))[times, :PICTURED].ravel() for part in parts}
    return {**found, "shown at": times + 1}


def by_hand(trial: Trial[DecPomfcConfig]) -> Measured:
    """Kernel rules set by hand, the classic rules and chance in the population models themselves."""
    from shoal.populations.mean_field.rules import Kernels, gather_rule, turn_rule
    from shoal.populations.model import make_model
    from shoal.populations.simulation import simulate
    from shoal.populations.swarms import TURN, SwarmModel

    config, seeds = trial.config, [trial.derive("hand", str(s)) % 2**31 for s in trial.seeds]
    found: Measured = {name: [{} for _ in trial.seeds] for name in (TURN_BY_HAND, GATHER_BY_HAND, CLASSIC, CHANCE)}
    for task in TASKS if config.whole else TASKS[1:2]:
        gathers = task == "aggregation"
        rule = gather_rule(Kernels()).follow(1.0, False) if gathers else turn_rule(Kernels(), TURN).follow(TURN, True)
        model, chance = (make_model(task, agents=config.tested, **more) for more in ({}, {"rule": "random"}))
        assert isinstance(model, SwarmModel)
        hand = (GATHER_BY_HAND if gathers else TURN_BY_HAND, model.following(rule))
        for name, swarm in (hand, (CLASSIC, model), (CHANCE, chance)):
            run = simulate(swarm, config.horizon, seeds)
            late = run.series["distance" if gathers else "order"][:, -LATE:].mean(1)
            _file(found[name], task, late / EVEN_DISTANCE if gathers else late, run.series["neighbours"][:, 0])
    return found


def _file(found: list[dict[str, Any]], task: str, late: NDArray[Any], neighbours: NDArray[Any]) -> None:
    what = "left" if task == "aggregation" else "order"
    for figures, value, near in zip(found, late, neighbours, strict=True):
        figures |= {f"{task}: {what}": float(value), f"{task}: neighbours at the start": float(near)}


def sizes_of(metrics: Sequence[str]) -> list[int]:
    """The sizes that were measured, sorted."""
    prefix = size_metric(0)[:-1]
    return sorted(int(name[len(prefix) :]) for name in metrics if name.startswith(prefix))
