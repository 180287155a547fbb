"""Ocean clean-up with learned binary signals (arXiv 2304.05872) as experiments that can fail.

Vessels are paid for what each collects itself, may show a one-bit light, and learn with PPO; a graph neural network
spreads what lit vessels tell. Does communication pay for those who compete? The paper's text, code and figures were not
to be had: its abstract's claim is what is tested, by the checks of the system's page. The learner (``marl/signals.py``)
and the sea (``worlds/ocean.py``) say what they chose.

Scaled, and why. The page's plan (100 to 300 pebbles, 300 to 500 ticks, crash 1) is for minutes of one learner's time;
here ten seeds of five arms in four regimes have that time together. So: 4 vessels, 100 pebbles, 200 ticks, 60,000 ticks
of each seed, networks of 2 x 32, Adam at 2e-3 (2.5e-4 had learned less in more time). A view of 0.1 and one patch in
the abundant regime: with the world's three patches, scripted captains that tell and heed honestly collect hardly more
than captains that do not (``captains`` measures it), so there would be little to learn. Its patch (spread 0.08) is
larger than a vessel can clear in 200 ticks; the scarce sea has six of spread 0.03. Crashes cost 0.2: at 1 (3 seeds,
k = 2) vessels learned to keep apart, and lights that they chose did not help. All other vessels are neighbours: with
the page's k = 2 learned signals gained 2% (3 seeds, 60,000 ticks), with all 18 and 26% (2 seeds, 80,000 ticks, two
learning rates). These choices were made on other seeds than those that are judged.

All arms get the same worlds, steps and settings; ``no communication`` has as many parameters as the others, in wider
layers.

Arms. All regimes have the five that learn. ``full state`` (MAPPO in which every vessel knows the whole sea, paid
together) and ``greedy`` (nearest pebbles in view) do not depend on how pebbles are paid and are measured once for each
sea. ``shuffled`` and ``cut`` are the learned arm, evaluated in seas where lights show another vessel's choice, or reach
nobody. Pairs of arms meet the same evaluation episodes and begin with the same weights. Greedy vessels heed no light,
so what theirs show means nothing.

Regimes: abundant, scarce; fair (0.01 of the lowest count is added to all pay each tick) and team (all get the mean of
all pay) are the abundant sea. ``priced`` is abundant with a cost of each tick lit; ``separate`` gives every vessel
weights of its own. Fair, team, priced and separate have five seeds.

Thresholds are the page's: 95% interval above 0, 3%, 0.05 bit and 8 of 10 seeds, 5%. "Dense" is 5 pebbles in view. The
page asks for a lower signalling share or benefit in the scarce sea: both are judged, apart.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from shoal.runs.mechanism import flows
from shoal.runs.results import Results
from shoal.runs.seeds import derive
from shoal.runs.study import Claim, Experiment, Study, StudyConfig, Trial, Vocabulary
from shoal.stats import Check, Estimate, Evidence, exact, paired_difference

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from shoal.marl.players import Player
    from shoal.marl.training import Training
    from shoal.worlds.ocean import Ocean

NONE, LEARNED, ALWAYS = "no communication", "learned bit", "always on"
RANDOM, BIT, ROUNDS = "random bit", "bit only", "two rounds"
CENTRAL, GREEDY = "full state", "greedy"
SHUFFLED, CUT = "learned, shuffled", "learned, cut"
ARMS = {NONE: "none", LEARNED: "learned", ALWAYS: "always", RANDOM: "random", BIT: "bit"}
SIGNALLING = (LEARNED, ALWAYS, RANDOM, BIT)
REGIMES = ("abundant", "scarce", "fair", "team")
RANKS = ("lowest", "middle", "highest")
PATCHES = {"abundant": (1, 0.08), "scarce": (6, 0.03)}
"""Patches and their spread; fair and team are the abundant sea."""
CAPTAINS = {"silent": (1.0, 0.0), "honest": (1.0, 1.0), "half heeded": (1.0, 0.5), "chance": (0.5, 1.0),
            "lying": (0.0, 1.0)}  # fmt: skip
"""Honesty and attention of scripted captains."""
SEAS = ("abundant", "scarce", "three patches")
POINTS = 12
"""Points of a learning curve."""

Measured = dict[str, list[dict[str, Any]]]


class OceanCleanupConfig(StudyConfig):
    """Settings of the ocean clean-up study."""

    vessels: int = Field(4, ge=1, le=16, description="Vessels")
    pebbles: int = Field(100, ge=1, le=2000, description="Pebbles in the sea")
    horizon: int = Field(200, ge=10, le=5000, description="Ticks of an episode")
    view: float = Field(0.1, gt=0.015, le=1, description="How far a vessel sees, in sea sides")
    crash: float = Field(0.2, ge=0, description="Cost of a tick in a crash")
    neighbours: int = Field(3, ge=0, le=15, description="Nearest vessels whose lights are seen")
    price: float = Field(0.02, ge=0, description="Cost of a tick with the light on, in the priced experiment")
    steps: int = Field(60_000, ge=800, description="Ticks of training for each seed")
    worlds: int = Field(8, ge=1, description="Seas side by side in a training, for each seed")
    rollout: int = Field(100, ge=1, description="Ticks of every sea in an update")
    epochs: int = Field(2, ge=1, description="Passes over a rollout")
    learning_rate: float = Field(2e-3, gt=0, description="Of Adam, at the start")
    hidden: int = Field(32, ge=1, description="Units of each of the two hidden layers")
    message: int = Field(8, ge=1, description="Length of a message")
    episodes: int = Field(64, ge=1, description="Evaluation episodes for each seed")
    dense: int = Field(5, ge=1, description="Pebbles in view that count as dense")
    whole: bool = Field(True, description="All experiments and references; otherwise the two seas' arms and captains")

    def sea(self, regime: str, **changes: Any) -> Ocean:
        """The world of a regime."""
        from shoal.worlds.ocean import Ocean

        patches, spread = PATCHES["scarce" if regime == "scarce" else "abundant"]
        settings: dict[str, Any] = {
            "count": self.vessels, "regime": regime, "pebbles": self.pebbles, "patches": patches, "spread": spread,
            "horizon": self.horizon, "view": self.view, "crash": self.crash, "neighbours": self.neighbours, **changes,
        }  # fmt: skip
        return Ocean(**settings)

    def learning(self) -> dict[str, Any]:
        """What all trained arms share."""
        return {
            "worlds": self.worlds, "rollout": self.rollout, "epochs": self.epochs, "minibatches": 4,
            "learning_rate": self.learning_rate, "hidden": (self.hidden, self.hidden),
        }  # fmt: skip


def _train(trial: Trial[OceanCleanupConfig], learner: str, world: Ocean, each: int = 1, **settings: Any) -> Training:
    """Train ``each`` models for each of the trial's seeds in one program; neighbours in the order of seeds."""
    from shoal.marl.training import train

    firsts = [derive(trial.root, trial.experiment, seed, "training") % 2**32 for seed in trial.seeds]
    numbers = [(first + k) % 2**32 for first in firsts for k in range(each)]
    config = trial.config
    return train(
        learner, world, settings={**config.learning(), **settings}, steps=config.steps, seeds=numbers, episodes=0
    )


def _watch(trial: Trial[OceanCleanupConfig], players: Player, world: Ocean) -> list[dict[str, Any]]:
    """Figures of each seed; all callers of a trial meet the same episodes where their seas are alike."""
    import jax

    from shoal.marl.signal_use import watch

    key = jax.random.key(derive(trial.root, trial.experiment, "evaluation") % 2**32)
    used = watch(players, len(trial.seeds), world, trial.config.episodes, key, trial.config.dense)
    return [dict(use.figures()) for use in used]


def _dealt(training: Training, arm: int, arms: int) -> Player:
    """The players of one arm, for all seeds."""
    import jax

    players = training.learner.player(training.state)
    return jax.tree.map(lambda x: x[arm::arms], players)  # type: ignore[no-any-return]


def _arms(trial: Trial[OceanCleanupConfig], world: Ocean, names: Sequence[str], **settings: Any) -> Measured:
    """Train arms side by side and watch each; the learned arm also with its lights shuffled and cut."""
    message = {"message": trial.config.message, **settings}
    arms = tuple(ARMS[name] for name in names)
    training = _train(trial, "signals", world, len(arms), arms=arms, **message)
    found = {name: _watch(trial, _dealt(training, i, len(arms)), world) for i, name in enumerate(names)}
    curves = training.history["world_collected"]
    for i, name in enumerate(names):
        for seed, figures in enumerate(found[name]):
            figures["collected in training"] = _curve(curves[:, seed * len(arms) + i])
    return found | _ablations(trial, _dealt(training, names.index(LEARNED), len(arms)), world)


def _ablations(trial: Trial[OceanCleanupConfig], players: Player, world: Ocean) -> Measured:
    import dataclasses

    shuffled, cut = dataclasses.replace(world, lights="shuffled"), dataclasses.replace(world, hearing=0.0)
    return {SHUFFLED: _watch(trial, players, shuffled), CUT: _watch(trial, players, cut)}


def _curve(collected: NDArray[Any]) -> list[float]:
    """Means of a training's episodes over equal parts of it; updates in which none ended are left out."""
    done = collected[np.isfinite(collected)]
    return [float(part.mean()) for part in np.array_split(done, min(POINTS, done.size))] if done.size else []


def regime(trial: Trial[OceanCleanupConfig]) -> Measured:
    """All arms of the regime that the experiment is named after."""
    config = trial.config
    world = config.sea(trial.experiment)
    found = _arms(trial, world, tuple(ARMS))
    if trial.experiment not in PATCHES:
        return found
    from shoal.marl.captains import captain

    silent = np.zeros(len(trial.seeds))
    found[GREEDY] = _watch(trial, captain(world, silent, silent, config.dense), world)
    missing: list[dict[str, Any]] = [{} for _ in trial.seeds]
    found |= {CENTRAL: _central(trial) if config.whole else missing}
    if trial.experiment == "abundant":
        found |= {ROUNDS: _rounds(trial, world) if config.whole else missing}
    return found


def _central(trial: Trial[OceanCleanupConfig]) -> list[dict[str, Any]]:
    """Every vessel knows the whole sea and all vessels; the pay is shared, so one policy works for the whole."""
    config = trial.config
    chart = config.sea(
        trial.experiment, chart=True, lights="always", neighbours=max(config.vessels - 1, 0), shared=1
    )  # fmt: skip
    return _watch(trial, _dealt(_train(trial, "mappo", chart), 0, 1), chart)


def _rounds(trial: Trial[OceanCleanupConfig], world: Ocean) -> list[dict[str, Any]]:
    training = _train(trial, "signals", world, arms=("learned",), message=trial.config.message, rounds=2)
    return _watch(trial, _dealt(training, 0, 1), world)


def priced(trial: Trial[OceanCleanupConfig]) -> Measured:
    """The abundant sea where light costs."""
    return _arms(trial, trial.config.sea("abundant", price=trial.config.price), PRICED)


def separate(trial: Trial[OceanCleanupConfig]) -> Measured:
    """The abundant sea, every vessel with weights of its own."""
    return _arms(trial, trial.config.sea("abundant"), SEPARATE, shared=False)


def captains(trial: Trial[OceanCleanupConfig]) -> Measured:
    """Scripted captains of known honesty and attention in three seas; the last has the world's own sizes."""
    from shoal.marl.captains import captain

    config, count = trial.config, len(trial.seeds)
    found: Measured = {name: [{} for _ in trial.seeds] for name in CAPTAINS}
    for sea in SEAS:
        sizes = {"patches": 3, "pebbles": 300, "horizon": 400, "view": 0.15} if sea == "three patches" else {}
        world = config.sea("scarce" if sea == "scarce" else "abundant", **sizes)
        for name, (honesty, attention) in CAPTAINS.items():
            crew = captain(world, np.full(count, honesty), np.full(count, attention), config.dense)
            for into, figures in zip(found[name], _watch(trial, crew, world), strict=True):
                into |= {f"{metric}, {sea}": figures[metric] for metric in ("collected", "gini", "lit", "information")}
    return found


PRICED = (NONE, LEARNED, ALWAYS)
SEPARATE = (NONE, LEARNED)


def not_whole(config: OceanCleanupConfig) -> str | None:
    """Why an experiment beyond the two seas is left out."""
    return None if config.whole else "left out of this size; use --set whole=true"


# Claims. Percentages are of the baseline's mean over seeds.


def percent(
    results: Results, experiment: str, treatment: str, baseline: str, metric: str = "collected"
) -> Estimate | None:
    """Treatment minus baseline, paired over seeds, in percent of the baseline's mean; None where one is missing."""
    gains = _gains(results, experiment, treatment, baseline, metric)
    return None if gains is None else paired_difference(gains, np.zeros(gains.size))


def _gains(
    results: Results, experiment: str, treatment: str, baseline: str, metric: str = "collected"
) -> NDArray[np.float64] | None:
    one, two = (results.values(experiment, variant, metric) for variant in (treatment, baseline))
    if not one.size or one.size != two.size:
        return None
    return np.asarray(100 * (one - two) / max(float(two.mean()), 1e-9))


def _percent(
    experiment: str, treatment: str, baseline: str, above: float | None = None, below: float | None = None,
    metric: str = "collected",
) -> Callable[[Results], list[Check]]:  # fmt: skip
    def checks(results: Results) -> list[Check]:
        found = percent(results, experiment, treatment, baseline, metric)
        label = f"{experiment}: {metric}, {treatment} against {baseline}, %"
        return [] if found is None else [Check(label, found, above, below)]

    return checks


def _meaning(results: Results) -> list[Check]:
    told, control = (results.values("abundant", LEARNED, m) for m in ("information", "information, shuffled"))
    if not told.size:
        return []
    share = float((told > control).mean())
    return [
        Check("abundant: bits between light and dense", results.mean("abundant", LEARNED, "information"), above=0.05),
        Check("abundant: share of seeds above the shuffled control", exact(share, told.size), above=0.8, needs=8),
    ]


def winner(results: Results, experiment: str) -> str | None:
    """The arm with a light that collects most."""
    shown = [v for v in SIGNALLING if results.has(experiment, v, "collected")]
    return max(shown, key=lambda v: results.values(experiment, v, "collected").mean(), default=None)


def _ranks(results: Results) -> list[Check]:
    arms = dict.fromkeys(v for v in (LEARNED, winner(results, "abundant")) if v is not None)
    return [c for arm in arms for rank in RANKS for c in _percent("abundant", arm, NONE, -5.0, metric=rank)(results)]


def _scarcer(metric: str) -> Callable[[Results], list[Check]]:
    """Scarce minus abundant, paired over seeds: the gain in percent, or the share of ticks lit."""

    def of(results: Results, experiment: str) -> NDArray[np.float64] | None:
        if metric == "gain":
            return _gains(results, experiment, LEARNED, NONE)
        lit = results.values(experiment, LEARNED, metric)
        return lit if lit.size else None

    def checks(results: Results) -> list[Check]:
        scarce, abundant = of(results, "scarce"), of(results, "abundant")
        if scarce is None or abundant is None or scarce.size != abundant.size:
            return []
        return [Check(f"{metric}: scarce - abundant", paired_difference(scarce, abundant), below=0.0)]

    return checks


def _matches_always(results: Results) -> list[Check]:
    checks = _percent("abundant", LEARNED, ALWAYS, above=-3.0)(results)
    if checks:
        fewer = results.difference("abundant", LEARNED, ALWAYS, "lit")
        checks.append(Check("abundant: share of ticks lit, learned - always", fewer, below=0.0))
    return checks


def _difference(
    experiment: str, treatment: str, baseline: str, metric: str, above: float
) -> Callable[[Results], list[Check]]:
    def checks(results: Results) -> list[Check]:
        if not (results.has(experiment, treatment, metric) and results.has(experiment, baseline, metric)):
            return []
        found = results.difference(experiment, treatment, baseline, metric)
        return [Check(f"{experiment}: {metric}, {treatment} - {baseline}", found, above=above)]

    return checks


def _listening(results: Results) -> list[Check]:
    metric = "turn to a light - to the dark"
    if not results.has("abundant", LEARNED, metric):
        return []
    return [Check("abundant: degrees a tick", results.mean("abundant", LEARNED, metric), above=0.0)]


def _captains(results: Results) -> list[Check]:
    one = _percent("captains", "honest", "silent", 10.0, metric="collected, abundant")(results)
    return one + _percent("captains", "honest", "silent", -5.0, 5.0, metric="collected, three patches")(results)


# Pictures.


def plots(results: Results) -> Mapping[str, Figure]:
    """What each regime's arms collect, how seeds learn, and what the lights mean."""
    from shoal.runs.plots import PALETTE, bars, new_figure

    figures: dict[str, Figure] = {}
    regimes = [r for r in REGIMES if results.has(r)]
    if not regimes:
        return figures
    figures["collected"], axes = new_figure(2, (len(regimes) + 1) // 2, 5.0, 2.8)
    for ax, name in zip(axes, regimes, strict=False):
        bars(ax, results, name, "collected")
    for ax in axes[len(regimes) :]:
        ax.set_visible(False)
    figures["learning"], axes = new_figure(len(regimes), 1, 3.6, 3.0)
    for ax, name in zip(axes, regimes, strict=True):
        for variant in ARMS:
            values, seeds = results.items(name, variant, "collected in training")
            rows = len(set(seeds.tolist()))
            if values.size and values.size % rows == 0:
                ax.plot(values.reshape(rows, -1).mean(0), label=variant)
        ax.set_title(f"{name}: collected in training", fontsize=9, loc="left")
        ax.set_xlabel("twelfth of the training" if name == regimes[0] else "", fontsize=8)
    if axes[0].lines:
        axes[0].legend(fontsize=7)
    figures["meaning"], axes = new_figure(2, 1, 4.6, 3.0)
    for k, name in enumerate(regimes):
        told, control = (results.values(name, LEARNED, m) for m in ("information", "information, shuffled"))
        axes[0].plot(control, told, "o", color=PALETTE[k], label=name)
    top = max(0.05, *(float(line.get_ydata().max(initial=0)) for line in axes[0].lines))  # type: ignore[union-attr]
    axes[0].plot([0, top], [0, top], color="#888888", linewidth=0.8)
    axes[0].axhline(0.05, color="#888888", linewidth=0.8, linestyle="--")
    axes[0].set_title("bits between light and dense view", fontsize=9, loc="left")
    axes[0].set_xlabel("another vessel's light", fontsize=8)
    axes[0].legend(fontsize=7)
    for k, rank in enumerate(RANKS):
        gains = [percent(results, name, LEARNED, NONE, rank) for name in regimes]
        axes[1].bar(np.arange(len(regimes)) + 0.27 * (k - 1), [g.value if g else 0.0 for g in gains], 0.25, label=rank)
    axes[1].set_xticks(range(len(regimes)), regimes, fontsize=8)
    axes[1].set_title("learned bit: gain of each rank, %", fontsize=9, loc="left")
    axes[1].legend(fontsize=7)
    return figures


_FEW = {"quick": 2, "standard": 5, "full": 20}
_FOUR = (*ARMS, SHUFFLED, CUT)


def _trained(name: str, trial: Any, variants: Sequence[str], extra: bool = False) -> Experiment[OceanCleanupConfig]:
    few = _FEW if extra else None
    skip = not_whole if extra else None
    return Experiment(name, trial, variants, Evidence.TRAINED, few, vectorised=True, joint=True, skip=skip)


EXPERIMENTS = (
    _trained("abundant", regime, (*_FOUR, GREEDY, CENTRAL, ROUNDS)),
    _trained("scarce", regime, (*_FOUR, GREEDY, CENTRAL)),
    _trained("fair", regime, _FOUR, extra=True),
    _trained("team", regime, _FOUR, extra=True),
    _trained("priced", priced, (*PRICED, SHUFFLED, CUT), extra=True),
    _trained("separate", separate, (*SEPARATE, SHUFFLED, CUT), extra=True),
    Experiment("captains", captains, tuple(CAPTAINS), vectorised=True, joint=True),
)
# fmt: off
CLAIMS = (
    Claim("gain",
          "In the abundant sea, vessels with learned signals collect more than without communication",
          "abundant", _percent("abundant", LEARNED, NONE, above=0.0)),
    Claim("shuffled",
          "Shuffling the lights between vessels at evaluation brings that down to within 3% of no communication",
          "abundant", _percent("abundant", SHUFFLED, NONE, -3.0, 3.0),
          "Falling below is a failure too: a policy that trusts lights does worse with false ones than one without."),
    Claim("cut",
          "Cutting all edges at evaluation brings it down to within 3% of no communication",
          "abundant", _percent("abundant", CUT, NONE, -3.0, 3.0)),
    Claim("meaning",
          "The light tells of density: more than 0.05 bit, and more than another vessel's light in 8 of 10 seeds",
          "abundant", _meaning),
    Claim("listening",
          "A vessel with nothing in view turns more towards its nearest vessel when that is lit",
          "abundant", _listening),
    Claim("ranks",
          "No rank (lowest, middle, highest count) falls by more than 5% with learned signals, or in the best arm",
          "abundant", _ranks),
    Claim("scarce-gain",
          "The benefit of learned signals is smaller in the scarce sea",
          "scarce", _scarcer("gain")),
    Claim("scarce-share",
          "Vessels signal less in the scarce sea",
          "scarce", _scarcer("lit")),
    Claim("as-good-as-always",
          "Learned signals match lights that are always on (within 3%) with fewer signals",
          "abundant", _matches_always),
    Claim("over-chance",
          "Learned signals beat lights by a fair coin",
          "abundant", _percent("abundant", LEARNED, RANDOM, above=0.0)),
    Claim("payload",
          "Learned signals with a payload beat the bit alone",
          "abundant", _percent("abundant", LEARNED, BIT, above=0.0)),
    Claim("two-rounds",
          "A second round of messages helps",
          "abundant", _percent("abundant", ROUNDS, LEARNED, above=0.0)),
    Claim("upper-reference",
          "A policy that knows the whole sea, paid together, collects more than learned signals",
          "abundant", _percent("abundant", CENTRAL, LEARNED, above=0.0)),
    Claim("over-greedy",
          "Learned signals beat going for the nearest pebbles in view",
          "abundant", _percent("abundant", LEARNED, GREEDY, above=0.0)),
    Claim("gain-fair",
          "Learned signals help where the lowest count is paid to all",
          "fair", _percent("fair", LEARNED, NONE, above=0.0)),
    Claim("gain-team",
          "Learned signals help where pay is shared",
          "team", _percent("team", LEARNED, NONE, above=0.0)),
    Claim("separate",
          "Learned signals help where every vessel has weights of its own",
          "separate", _percent("separate", LEARNED, NONE, above=0.0)),
    Claim("priced",
          "Where light costs, choosing it earns more than having it always on",
          "priced", _difference("priced", LEARNED, ALWAYS, "return", above=0.0)),
    Claim("captains",
          "Scripted captains that tell and heed honestly collect 10% more in the abundant sea; in the world's own sea "
          "of three patches, 300 pebbles and 400 ticks telling is worth less than 5%",
          "captains", _captains),
)
# fmt: on

STUDY = Study(
    name="ocean-cleanup",
    title="Ocean clean-up: competitors learn to signal",
    paper="arXiv 2304.05872 (2023; ICLR 2023 climate workshop)",
    kind="marl",
    engine="marl",
    summary=(
        "Vessels collect floating plastic, each for itself, and may show a one-bit light; a graph neural network "
        "spreads what lit vessels tell. Tested is whether self-interested learners gain from signalling, what the "
        "light comes to mean, and in which seas telling pays."
    ),
    mechanism=flows(
        "own view -> policy -(moves)-> sea -(own pebbles)-> pay -(PPO)-> policy",
        "sea -> own view",
        "policy -> one-bit light -(next tick)-> graph network -(what is told)-> policy",
        "plastic seen by neighbours -> graph network",
    ),
    config=OceanCleanupConfig,
    experiments=EXPERIMENTS,
    claims=CLAIMS,
    sizes={
        "quick": {"steps": 3200, "worlds": 4, "episodes": 8, "whole": False},
        "standard": {},
        "full": {"steps": 400_000, "worlds": 16, "hidden": 64, "message": 16, "episodes": 256},
    },
    seeds={"quick": 2, "standard": 10, "full": 20},
    vocabulary=Vocabulary(
        actors=("peers",),
        type=("competition", "coopetition"),
        structure=("decentralized",),
        strategy=("model-based: learned",),
        protocol=("one-bit signals with a payload over a neighbour graph",),
    ),
    plots=plots,
)
