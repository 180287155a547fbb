"""MANSA: when to learn centrally (arXiv 2302.05910, ICML 2023), as experiments that can fail.

Independent learners (IL) act on their own observations; a third learner, Global, switches a central learner (CL) on in
the states in which it is worth its fee. ``shoal.marl.mansa`` says what is the paper's and what is chosen here.

A call is a step of a world, while training, in which the joint action is CL's ("calls", as a share of all steps; CL
alone has 1). CL learns from called steps only, so calls are its computation too; gradient steps in which it learned are
measured as "central updates". Shares while training include Global's own exploration (half of the steps at first, 5%
in the end); "greedy" shares and maps are those of the trained switch alone.

The central learner. The page proposes QMIX. In the coordination zone, however, every decision is one step deep, and
what QMIX can represent there (a payoff monotone in each agent's value) gives each agent an action that is best whatever
the others do, which IL finds as well; the penalty game is not of that kind, and QMIX fails where IL fails. Measured
before MANSA was run (2 agents, penalties 0 to -3; 3 agents, 0 to -1), QMIX was ahead of IL by 0.02 at most. So the zone
is asked twice: ``zone`` with a joint-action learner (JAL) as CL, which can represent the game, and ``igm`` with QMIX,
which is also the page's test of QMIX's weakness. The penalty is the world's own, -3 (-30 in the game's units).

All systems are arms of one program: IL only never calls, CL only always does, random switching takes Global's decision
in another world (its rate, another state). So all have the same networks, samples and steps.

Settings, all ours, searched with MANSA in the zone on other seeds (IL and CL had no search of their own): discount 0.9
(the walk does not depend on the actions), fee 0.05 of a mean step reward that is about 1, networks 64-64, one replay.
Agents stop exploring after an eighth of the training, the switch after six tenths: a switch that stops while CL is
still poor never calls again (with equal schedules it collapsed to no calls in every seed). The switch learns at the
agents' rate: at 0.3 of it, as the page proposes, it was still undecided outside the zones after as many steps.
"P(g=1|zone)" is the trained switch's, over the cells of each kind. Foraging is 8 by 8, 2 players, 2 foods, ``coop``,
full sight, 50 steps; its return is that of the last tenth of the training, exploration included, because greedy value
policies walk in circles there. Thresholds and Welch's test are the page's. Combat (3m) runs in the full size only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from shoal.runs.checks import Checks, all_of
from shoal.runs.mechanism import flows
from shoal.runs.results import Results
from shoal.runs.seeds import derive
from shoal.runs.study import Claim, Experiment, Study, StudyConfig, Trial, Vocabulary
from shoal.stats import Check, Estimate, Evidence, exact, mean

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from shoal.marl import Training

SHARES = (0.1, 0.3, 0.5, 0.7)
MAIN = 0.3
FEES = (0.0, 0.001, 0.01, 0.05, 0.1)
BUDGETS = (0, 3, 6, 12, 25)
TABLE_FEES = (0.0, 0.1, 10.0)
POINTS = 20

IL, CL, MANSA, RANDOM, SCHEDULE, BUDGET = (
    "IL only", "CL only", "MANSA", "random switch", "CL first, then IL", "MANSA, budget"
)  # fmt: skip
ARMS = {IL: "never", CL: "always", MANSA: "learned", RANDOM: "shuffled", SCHEDULE: "schedule"}
"""The systems, and how each decides on calls; they are trained side by side in one program."""

Metrics = dict[str, Any]


class MANSAConfig(StudyConfig):
    """Settings of the MANSA study."""

    steps: int = Field(80_000, ge=2000, description="Environment steps of each training in the zone")
    table_steps: int = Field(60_000, ge=2000, description="Steps of the tabular check")
    foraging_steps: int = Field(400_000, ge=2000, description="Steps in foraging")
    combat_steps: int = Field(0, ge=0, description="Steps in combat; 0 leaves it out")
    worlds: int = Field(16, ge=1, description="Worlds side by side in the zone")
    batches: int = Field(3, ge=1, description="Gradient steps for each 4 steps of all worlds")
    learning_rate: float = Field(2e-3, gt=0, description="Of Adam in the zone and the tabular check, at the start")
    switch_pace: float = Field(1.0, gt=0, description="Learning rate of the switch relative to the agents'")
    fee: float = Field(0.05, ge=0, description="Price of a call in the zone")
    penalty: float = Field(-3.0, le=0, description="Payoff of a clash in the zone")
    grid: int = Field(5, ge=2, le=12, description="Side of the zone's grid")
    first: float = Field(0.3, ge=0, le=1, description="Share of the training in which the schedule calls CL")
    foraging: str = Field("foraging:size=8,players=2,foods=2,coop=true", description="The foraging world")
    foraging_fee: float = Field(0.001, ge=0, description="Price of a call in foraging, of 0.5 for all food")
    combat: str = Field("combat:roster=3m", description="The combat world")
    combat_fee: float = Field(0.005, ge=0, description="Price of a call in combat, of 20 for a win")
    episodes: int = Field(64, ge=2, description="Episodes played with each trained policy")
    sweep: bool = Field(True, description="All shares of zones; otherwise 0.3 only")
    hasty: bool = Field(False, description="Compile quickly; pays for trainings of seconds")

    def zone_settings(self, steps: int, **changes: Any) -> Metrics:
        """Settings in the zone."""
        return {
            "worlds": self.worlds, "batches": self.batches, "batch": 128, "buffer": 20_000, "warmup": 1000,
            "discount": 0.9, "learning_rate": self.learning_rate, "epsilon_steps": max(steps // 8, 1),
            "switch_epsilon_steps": max(6 * steps // 10, 1), "fee": self.fee,
            "switch_pace": self.switch_pace, **changes,
        }  # fmt: skip


def _train(trial: Trial[MANSAConfig], world: Any, steps: int, conditions: int, **settings: Any) -> Training:
    """MANSA under several conditions, which are dealt out to the seeds: those of each replicate lie side by side."""
    from shoal.marl import train
    from shoal.marl.compilation import QUICK

    names = [derive(trial.root, trial.experiment, s, "train", c) for s in trial.seeds for c in range(conditions)]
    return train(
        "mansa", world, settings=settings, steps=steps, seeds=[name % 2**32 for name in names], episodes=0,
        compilation=QUICK if trial.config.hasty else None,
    )  # fmt: skip


def _zone(config: MANSAConfig, share: float) -> Any:
    from shoal.worlds import make_world

    return make_world("coordination-zone", share=share, penalty=config.penalty, size=config.grid)


def _curve(training: Training, metric: str, points: int = POINTS) -> NDArray[np.float64]:
    """A metric of the updates averaged over equal parts of the training [seeds, points]."""
    parts = np.array_split(np.asarray(training.history[metric], float), points)
    with np.errstate(invalid="ignore"):
        return np.stack([_nanmean(part) for part in parts], -1)


def _nanmean(part: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean over updates, leaving out those without a figure [seeds]; 0 where none has one."""
    known = np.isfinite(part)
    return np.asarray(np.where(known, part, 0.0).sum(0) / np.maximum(known.sum(0), 1))


def _alone(trial: Trial[MANSAConfig], training: Training) -> NDArray[np.float64]:
    """Mean payoff of a step of the trained independent agents alone [seeds]."""
    import jax

    from shoal.marl.evaluation import evaluate_seeds

    key, player = jax.random.key(trial.derive("evaluation") % 2**32), training.learner.independent(training.state)  # type: ignore[attr-defined]
    played = evaluate_seeds(player, len(training.seeds), training.world, trial.config.episodes, key, True)
    return np.array([e.returns.mean() / e.lengths.mean() for e in played])


def _switched(trial: Trial[MANSAConfig], training: Training) -> Any:
    """Episodes of the trained switch and both policies, with their calls."""
    import jax

    from shoal.marl.mansa import switched_episodes

    player = training.learner.switched(training.state)  # type: ignore[attr-defined]
    key = jax.random.key(trial.derive("evaluation") % 2**32)
    return switched_episodes(player, len(training.seeds), training.world, trial.config.episodes, key)


def _map(training: Training) -> NDArray[np.float64]:
    """Where the trained switch calls with its whole budget [seeds, cells]."""
    import jax.numpy as jnp

    from shoal.marl.mansa import decisions
    from shoal.marl.players import view
    from shoal.worlds.zones import CoordinationZone, ZoneState

    world = training.world
    assert isinstance(world, CoordinationZone)
    cell = jnp.arange(world.size**2)
    none = jnp.zeros_like(cell)
    # One step upwards from the cell below shows each cell.
    below = ZoneState((cell // world.size + 1) % world.size, cell % world.size, none)
    state, shown = world.advance(below, jnp.zeros((world.count, cell.size), jnp.int32), none)
    seen = view(world, state, shown, jnp.ones(cell.shape, bool), central=True)
    return np.asarray(decisions(training.state, seen).calls, float)


def _zone_metrics(trial: Trial[MANSAConfig], training: Training) -> list[Metrics]:
    """What was learned in the zone, one entry for each seed."""
    zones: NDArray[np.bool_] = training.world.zones()  # type: ignore[attr-defined]
    played, alone, calls = _switched(trial, training), _alone(trial, training), _curve(training, "calls")
    greedy = played.calls.sum(1) / played.lengths.sum(1)
    terms = [training.learner.settings.terms(i) for i in range(len(greedy))]
    learned = np.array([float(t.mode) == 0 for t in terms])
    # Any other switch does not look at the cell: it calls everywhere at its own rate.
    chosen = np.where(learned[:, None], _map(training), greedy[:, None])
    gap = chosen[:, zones].mean(1) - chosen[:, ~zones].mean(1)
    errors = {name: _curve(training, f"independent_td_error_{name}", 4)[:, -1] for name in ("called", "own")}
    updates = _curve(training, "central_updates", 1)[:, 0]
    returns = played.returns.mean(1) / played.lengths.mean(1)
    return [
        {
            "return": returns[s],
            "return, IL alone": alone[s],
            "kept by IL alone": alone[s] - 0.95 * returns[s],
            "calls": calls[s].mean(),
            "calls, greedy": greedy[s],
            "calls over time": calls[s],
            "zone gap": gap[s],
            "map": chosen[s],
            "most calls": float(played.calls[s].max()),
            "central updates": updates[s],
            **{f"TD error of IL, {name} steps": e[s] for name, e in errors.items()},
        }
        for s in range(len(chosen))
    ]


def _labelled(metrics: Mapping[str, Any], condition: str) -> Metrics:
    return {f"{name} {condition}": value for name, value in metrics.items()}


def label(share: float) -> str:
    """How a share of zones is named in metrics."""
    return f"rho={share:g}"


def zone(trial: Trial[MANSAConfig]) -> dict[str, list[Metrics]]:
    """All systems with JAL as the central learner; the switches that do not learn at one share of zones only."""
    shares = SHARES if trial.config.sweep else (MAIN,)
    return _merge(
        [_one_zone(trial, "jal", share, tuple(ARMS) if share == MAIN else (IL, CL, MANSA)) for share in shares]
    )


def igm(trial: Trial[MANSAConfig]) -> dict[str, list[Metrics]]:
    """The same with QMIX, which cannot represent the penalty game."""
    return _one_zone(trial, "qmix", MAIN, tuple(ARMS))


def _one_zone(trial: Trial[MANSAConfig], central: str, share: float, arms: Sequence[str]) -> dict[str, list[Metrics]]:
    config, world = trial.config, _zone(trial.config, share)
    settings = config.zone_settings(config.steps, central_learner=central, call_share=config.first)
    switching = tuple(ARMS[arm] for arm in arms)
    metrics = _zone_metrics(trial, _train(trial, world, config.steps, len(arms), switching=switching, **settings))
    return {arm: [_labelled(m, label(share)) for m in metrics[i :: len(arms)]] for i, arm in enumerate(arms)}


def _merge(parts: Sequence[Mapping[str, Sequence[Metrics]]]) -> dict[str, list[Metrics]]:
    """Metrics of several conditions put together, variant by variant and seed by seed."""
    variants = dict.fromkeys(variant for part in parts for variant in part)
    each = {variant: [part[variant] for part in parts if variant in part] for variant in variants}
    return {v: [{k: x for m in seed for k, x in m.items()} for seed in zip(*ms, strict=True)] for v, ms in each.items()}


def _dealt(trial: Trial[MANSAConfig], field: str, values: Sequence[float], labels: Sequence[str]) -> list[Metrics]:
    """MANSA with JAL under several terms at once."""
    config, world, count = trial.config, _zone(trial.config, MAIN), len(values)
    settings = config.zone_settings(config.steps, central_learner="jal", **{field: tuple(values)})
    metrics = _zone_metrics(trial, _train(trial, world, config.steps, count, **settings))
    return _merge([{"": [_labelled(m, name) for m in metrics[c::count]]} for c, name in enumerate(labels)])[""]


def fees(trial: Trial[MANSAConfig]) -> list[Metrics]:
    """Return against calls over the fee."""
    return _dealt(trial, "fee", FEES, [f"c={fee:g}" for fee in FEES])


def budgets(trial: Trial[MANSAConfig]) -> list[Metrics]:
    """Return over the calls that an episode may have."""
    return _dealt(trial, "budget", BUDGETS, [f"n={n}" for n in BUDGETS])


def table(trial: Trial[MANSAConfig]) -> list[Metrics]:
    """Global against value iteration: 2 agents, 10 states, both policies known and fixed (fresh networks' own)."""
    import jax.numpy as jnp

    from shoal.marl.mansa import decisions
    from shoal.marl.players import view
    from shoal.marl.switching import TabularGame, best_switch

    config, game, count = trial.config, TabularGame(), len(TABLE_FEES)
    settings = config.zone_settings(
        config.table_steps, central_learner="jal", fee=TABLE_FEES, agents_pace=0.0, epsilon_start=0.0, epsilon_end=0.0,
        switch_epsilon_end=1.0,
    )  # fmt: skip
    trained = _train(trial, game, config.table_steps, count, **settings)
    state, shown = game.at(jnp.arange(game.places))
    seen = view(game, state, shown, jnp.ones(game.places, bool), central=True)

    chosen, own, joint = decisions(trained.state, seen)
    found: list[Metrics] = [{} for _ in trial.seeds]
    for i in range(len(chosen)):
        fee = TABLE_FEES[i % count]
        best = best_switch(game, game.joint(own[i]), game.joint(joint[i]), fee, settings["discount"])
        # Without a fee, calling is neither better nor worse where both policies do the same.
        decided = np.abs(best.gain) > 1e-9
        agrees = (chosen[i] == best.calls)[decided]
        found[i // count] |= {f"agrees c={fee:g}": agrees.astype(float), f"best c={fee:g}": best.calls.mean()}
    return found


def foraging(trial: Trial[MANSAConfig]) -> dict[str, list[Metrics]]:
    """Level-based foraging with QMIX as the central learner."""
    c = trial.config
    return _large(trial, c.foraging, c.foraging_steps, c.foraging_fee, 1e-3)


def combat(trial: Trial[MANSAConfig]) -> dict[str, list[Metrics]]:
    """Combat with QMIX as the central learner."""
    c = trial.config
    return _large(trial, c.combat, c.combat_steps, c.combat_fee, 5e-4)


def _large(trial: Trial[MANSAConfig], world: str, steps: int, fee: float, rate: float) -> dict[str, list[Metrics]]:
    """A world of its own: return of the team and calls over the training, and in its last tenth."""
    arms = tuple(arm for arm in ARMS if arm != SCHEDULE)
    trained = _train(
        trial, world, steps, len(arms), switching=tuple(ARMS[arm] for arm in arms), fee=fee, worlds=32,
        batches=trial.config.batches, batch=128, buffer=min(50_000, steps), warmup=1000, discount=0.97,
        learning_rate=rate, epsilon_steps=max(steps // 4, 1), switch_epsilon_steps=max(6 * steps // 10, 1),
        switch_pace=trial.config.switch_pace,
    )  # fmt: skip
    returns, calls = _curve(trained, "return") / trained.world.agent_count, _curve(trained, "calls")
    metrics = [
        {"return": r[-2:].mean(), "return over time": r, "calls": c.mean(), "calls, end": c[-2:].mean(),
         "calls over time": c}
        for r, c in zip(returns, calls, strict=True)
    ]  # fmt: skip
    for name in trained.history:
        if name.startswith("world_"):
            for m, x in zip(metrics, _curve(trained, name), strict=True):
                m[name.removeprefix("world_")] = x[-2:].mean()
    return {arm: metrics[i :: len(arms)] for i, arm in enumerate(arms)}


def no_combat(config: MANSAConfig) -> str | None:
    """Why combat does not run."""
    return None if config.combat_steps else "combat runs in the full size, or with --set combat_steps=500000"


def welch(one: NDArray[np.float64], two: NDArray[np.float64]) -> Estimate:
    """Difference of two independent means with Welch's interval and two-sided p."""
    from scipy.stats import t

    gap, n = float(one.mean() - two.mean()), min(one.size, two.size)
    if n < 2:
        return Estimate(gap, -np.inf, np.inf, n, method="Welch")
    a, b = float(one.var(ddof=1) / one.size), float(two.var(ddof=1) / two.size)
    if a + b == 0:
        return Estimate(gap, gap, gap, n, method="Welch")
    spread, degrees = np.sqrt(a + b), (a + b) ** 2 / (a**2 / (one.size - 1) + b**2 / (two.size - 1))
    half = float(t.ppf(0.975, degrees) * spread)
    return Estimate(gap, gap - half, gap + half, n, float(2 * t.sf(abs(gap) / spread, degrees)), "Welch")


def _bound(
    experiment: str, variant: str, metric: str, above: float | None = None, below: float | None = None
) -> Checks:
    """Check of a variant's mean over seeds."""

    def checks(results: Results) -> list[Check]:
        if not results.has(experiment, variant, metric):
            return []
        return [Check(f"{metric}, {variant}", results.mean(experiment, variant, metric), above, below, needs=5)]

    return checks


def _difference(
    experiment: str, metric: str, one: str, two: str, above: float = 0.0, factor: float = 1.0, pair: bool = True
) -> Checks:
    """Check of metric: one - factor * two, paired by seed or by Welch."""

    def checks(results: Results) -> list[Check]:
        first, second = (results.values(experiment, v, metric) for v in (one, two))
        if not first.size or first.shape != second.shape:
            return []
        times = "" if factor == 1 else f"{factor:g} x "
        found = mean(first - factor * second) if pair else welch(first, factor * second)
        return [Check(f"{metric}: {one} - {times}{two}", found, above=above, needs=5)]

    return checks


def _rank(experiment: str, variant: str, metric: str, labels: Sequence[str]) -> Checks:
    """Spearman correlation of the metric with the order of the labels, seed by seed."""

    def checks(results: Results) -> list[Check]:
        from scipy.stats import spearmanr

        columns = [results.values(experiment, variant, f"{metric} {name}") for name in labels]
        if not all(c.size for c in columns) or len({c.shape for c in columns}) > 1:
            return []
        rows = np.stack(columns, 1)
        # A metric that is the same at every level does not grow with it.
        rho = [0.0 if np.ptp(row) == 0 else float(spearmanr(range(row.size), row).statistic) for row in rows]
        return [Check(f"Spearman of {metric} over {', '.join(labels)}", mean(rho), above=0.8, needs=5)]

    return checks


def _kept(results: Results) -> list[Check]:
    """No episode of any seed had more calls than its budget."""
    checks = []
    for n in BUDGETS:
        most, _ = results.items("budgets", BUDGET, f"most calls n={n}")
        if most.size:
            checks.append(Check(f"most calls in an episode, n={n}", exact(most.max(), most.size), below=n + 0.5))
    return checks


def plots(results: Results) -> dict[str, Figure]:
    """Maps of the switch, calls over time, and return against calls; each only if measured."""
    from shoal.runs.plots import new_figure

    figures: dict[str, Figure] = {}
    maps = [(e, s) for e in ("zone", "igm") for s in SHARES if results.has(e, MANSA, f"map {label(s)}")]
    if maps:
        figures["map"], axes = new_figure(len(maps), 1, 2.8, 3.0)
        for ax, (experiment, share) in zip(axes, maps, strict=True):
            _draw_map(ax, results, experiment, share)
    curves = [e for e in ("zone", "igm", "foraging", "combat") if results.has(e, MANSA)]
    if curves:
        figures["calls"], axes = new_figure(len(curves), 1, 3.6, 3.0)
        for ax, experiment in zip(axes, curves, strict=True):
            suffixes = [f" {label(s)}" for s in SHARES] if experiment in ("zone", "igm") else [""]
            for suffix in suffixes:
                if results.has(experiment, MANSA, f"calls over time{suffix}"):
                    shown = _over_seeds(results, experiment, f"calls over time{suffix}")
                    ax.plot((np.arange(shown.size) + 0.5) / shown.size, shown, label=suffix.strip() or MANSA)
            ax.set(xlabel="share of the training", ylabel="share of steps with a call", ylim=(0, 1))
            ax.set_title(experiment, fontsize=9, loc="left")
            ax.legend(fontsize=7, frameon=False)
    fronts = [("fees", MANSA, [f"c={c:g}" for c in FEES]), ("budgets", BUDGET, [f"n={n}" for n in BUDGETS])]
    fronts = [front for front in fronts if results.has(front[0])]
    if fronts:
        figures["pareto"], axes = new_figure(len(fronts), 1, 4.2, 3.2)
        for ax, (experiment, variant, names) in zip(axes, fronts, strict=True):
            _draw_front(ax, results, experiment, variant, names)
    return figures


def _over_seeds(results: Results, experiment: str, metric: str) -> NDArray[np.float64]:
    values, seeds = results.items(experiment, MANSA, metric)
    return np.asarray(values.reshape(np.unique(seeds).size, -1).mean(0), float)


def _draw_map(ax: Any, results: Results, experiment: str, share: float) -> None:
    """Share of the seeds in which the trained switch calls in each cell; crosses mark the zones."""
    values = _over_seeds(results, experiment, f"map {label(share)}")
    side = round(values.size**0.5)
    ax.imshow(values.reshape(side, side), cmap="Blues", vmin=0, vmax=1)
    for row, column in np.argwhere(
        _zone(STUDY.configure("standard", {"grid": side}), share).zones().reshape(side, side)
    ):
        ax.text(column, row, "x", ha="center", va="center", color="#D55E00")
    ax.set_title(f"{experiment}, {label(share)}: calls (x: zone)", fontsize=8, loc="left")
    ax.set(xticks=[], yticks=[])
    ax.grid(visible=False)


def _draw_front(ax: Any, results: Results, experiment: str, variant: str, names: Sequence[str]) -> None:
    for name in names:
        x, y = (results.mean(experiment, variant, f"{metric} {name}") for metric in ("calls, greedy", "return"))
        reach = [[[e.value - e.low], [e.high - e.value]] for e in (x, y)]
        ax.errorbar(x.value, y.value, xerr=reach[0], yerr=reach[1], marker="o", capsize=2, label=name)
    for reference in (IL, CL):
        if results.has("zone", reference, f"return {label(MAIN)}"):
            ax.axhline(results.mean("zone", reference, f"return {label(MAIN)}").value, color="#888888", linewidth=0.8)
    ax.set(xlabel="share of steps with a call", ylabel="mean payoff of a step")
    ax.set_title(f"{experiment}; lines: IL and CL only", fontsize=9, loc="left")
    ax.legend(fontsize=7, frameon=False)


_LABELS = tuple(label(share) for share in SHARES)
_COORDINATED = tuple(name for name, share in zip(_LABELS, SHARES, strict=True) if share >= 0.3)
_IGM = label(MAIN)
_NO_EDGE = "With QMIX as CL the zone holds nothing that CL does better; see the header."

# fmt: off
EXPERIMENTS = (
    Experiment("table", table, ("Global",), Evidence.TRAINED, vectorised=True),
    Experiment("zone", zone, tuple(ARMS), Evidence.TRAINED, vectorised=True, joint=True),
    Experiment("igm", igm, tuple(ARMS), Evidence.TRAINED, vectorised=True, joint=True),
    Experiment("fees", fees, (MANSA,), Evidence.TRAINED, vectorised=True),
    Experiment("budgets", budgets, (BUDGET,), Evidence.TRAINED, vectorised=True),
    Experiment("foraging", foraging, (IL, CL, MANSA, RANDOM), Evidence.TRAINED,
               seeds={"quick": 2, "standard": 8, "full": 10}, vectorised=True, joint=True),
    Experiment("combat", combat, (IL, CL, MANSA, RANDOM), Evidence.TRAINED,
               seeds={"quick": 2, "standard": 5, "full": 5}, vectorised=True, joint=True, skip=no_combat),
)
CLAIMS = (
    Claim("table",
          "On a game of 2 agents and 10 states with known policies, the learned switch is that of value iteration in "
          "95% of the states or more, without a fee, with 0.1 and with 10",
          "table", all_of(*(_bound("table", "Global", f"agrees c={fee:g}", above=0.95) for fee in TABLE_FEES))),
    Claim("where",
          "The switch calls where coordination is needed: P(g=1|zone) - P(g=1|elsewhere) is at least 0.3 (CL: JAL)",
          "zone", all_of(*(_bound("zone", MANSA, f"zone gap {name}", above=0.3) for name in _LABELS))),
    Claim("grows",
          "The share of calls grows with the share of zones: Spearman above 0.8 (CL: JAL)",
          "zone", _rank("zone", MANSA, "calls, greedy", _LABELS)),
    Claim("beats-il",
          "MANSA's return is above IL's where zones are 0.3 or more of the cells (CL: JAL)",
          "zone", all_of(*(_difference("zone", f"return {name}", MANSA, IL) for name in _COORDINATED))),
    Claim("keeps-up",
          "MANSA has at least 95% of CL's return at no more than 60% of its calls, exploration included (CL: JAL)",
          "zone", all_of(*(_difference("zone", f"return {name}", MANSA, CL, factor=0.95) for name in _LABELS),
                         *(_bound("zone", MANSA, f"calls {name}", below=0.6) for name in _LABELS))),
    Claim("random-return",
          "Switching at random at the same rate has a lower return than MANSA (Welch, p < 0.05; CL: JAL)",
          "zone", _difference("zone", f"return {_IGM}", MANSA, RANDOM, pair=False)),
    Claim("random-where",
          "Switching at random at the same rate does not call where it is needed as MANSA does (Welch; CL: JAL)",
          "zone", _difference("zone", f"zone gap {_IGM}", MANSA, RANDOM, pair=False)),
    Claim("schedule",
          "CL for the first 30% of the training and IL from then on has a lower return than MANSA (Welch; CL: JAL)",
          "zone", _difference("zone", f"return {_IGM}", MANSA, SCHEDULE, pair=False)),
    Claim("fee",
          "The share of calls falls with the fee: Spearman above 0.8 from dear to free",
          "fees", _rank("fees", MANSA, "calls, greedy", [f"c={fee:g}" for fee in reversed(FEES)])),
    Claim("budget-kept",
          "With a budget of n calls, no episode has more",
          "budgets", _kept),
    Claim("budget-pays",
          "The return grows with the budget: Spearman above 0.8",
          "budgets", _rank("budgets", BUDGET, "return", [f"n={n}" for n in BUDGETS])),
    Claim("decentralised",
          "After training the independent agents alone have at least 95% of the switched return (CL: JAL)",
          "zone", all_of(*(_bound("zone", MANSA, f"kept by IL alone {name}", above=0.0) for name in _LABELS)),
          "Ours: the page asks to show both modes."),
    Claim("igm-fails",
          "QMIX alone fails where payoffs are not monotone: its return is below 90% of JAL's, which is 1",
          "igm", _bound("igm", CL, f"return {_IGM}", below=0.9)),
    Claim("igm-no-worse",
          "There MANSA with QMIX is no worse than QMIX alone (within 0.02)",
          "igm", _difference("igm", f"return {_IGM}", MANSA, CL, above=-0.02)),
    Claim("qmix-where",
          "With QMIX as CL, P(g=1|zone) - P(g=1|elsewhere) is at least 0.3",
          "igm", _bound("igm", MANSA, f"zone gap {_IGM}", above=0.3), _NO_EDGE),
    Claim("qmix-beats-il",
          "With QMIX as CL, MANSA's return is above IL's",
          "igm", _difference("igm", f"return {_IGM}", MANSA, IL), _NO_EDGE),
    Claim("qmix-keeps-up",
          "With QMIX as CL, MANSA has at least 95% of CL's return at no more than 60% of its calls",
          "igm", all_of(_difference("igm", f"return {_IGM}", MANSA, CL, factor=0.95),
                        _bound("igm", MANSA, f"calls {_IGM}", below=0.6)), _NO_EDGE),
    Claim("foraging-return",
          "In foraging MANSA has at least QMIX's return",
          "foraging", _difference("foraging", "return", MANSA, CL)),
    Claim("foraging-calls",
          "In foraging 1% of the calls are enough: the share of the last tenth of the training is at most 0.01",
          "foraging", _bound("foraging", MANSA, "calls, end", below=0.01),
          "The share includes the switch's own exploration, which alone makes 2.5% of the steps calls."),
    Claim("foraging-il",
          "In foraging MANSA's return is no lower than IL's",
          "foraging", _difference("foraging", "return", MANSA, IL)),
    Claim("combat-return",
          "In combat MANSA has a higher return than QMIX",
          "combat", _difference("combat", "return", MANSA, CL)),
    Claim("combat-calls",
          "In combat MANSA needs at most 60% of QMIX's calls",
          "combat", _bound("combat", MANSA, "calls", below=0.6)),
)
# fmt: on

STUDY = Study(
    name="mansa",
    title="MANSA: when to learn centrally",
    paper="arXiv 2302.05910 (2023; ICML 2023)",
    kind="marl",
    engine="marl",
    summary=(
        "Independent learners, a central learner, and a third learner that switches the central one on in the states "
        "in which it is worth a fee, with or without a budget of calls. Tested against value iteration, in a grid in "
        "which a known share of the cells needs coordination, in foraging and in combat, beside both learners alone, "
        "random switching at the same rate and a schedule."
    ),
    mechanism=flows(
        "state -> Global switch -(otherwise)-> independent learners -> joint action -> world -(reward)-> replay",
        "budget of calls -> Global switch -(worth the fee)-> central learner -> joint action",
        "replay -(reward less fee)-> Global switch",
        "replay -> independent learners", "replay -(called steps)-> central learner",
    ),
    config=MANSAConfig,
    experiments=EXPERIMENTS,
    claims=CLAIMS,
    sizes={
        "quick": {
            "steps": 3000, "table_steps": 3000, "foraging_steps": 3000, "episodes": 8, "sweep": False, "hasty": True
        },
        "full": {"steps": 200_000, "batches": 4, "foraging_steps": 2_000_000, "combat_steps": 1_000_000},
    },
    seeds={"quick": 2, "standard": 10, "full": 20},
    vocabulary=Vocabulary(
        actors=("peers", "supervisor"),
        type=("cooperation",),
        structure=("decentralized", "centralized"),
        strategy=("model-based",),
        protocol=("learned switch between independent and central control",),
    ),
    plots=plots,
)  # fmt: skip
