"""CMAT: agents agree on one latent vector and act at once (arXiv 2604.13472), beside MAT, as experiments that can fail.

Faithful: blocks, compressor, latent autoregression, gate, Huber loss of 10, value normalisation and one Adam, as in the
released code and its base MAT. Not the paper's: the tasks (no StarCraft, MuJoCo or Football here) and the size. Arms
have width 32, one block and one head; all learners of an experiment, MAPPO's perceptrons included, get the same worlds,
steps, epochs, minibatches, learning rate, clip and entropy weight. MAPPO keeps its own loss and gradient clipping. The
settings were searched with CMAT only, so a tie or a win of another arm says more than a win of CMAT.
Rate 2e-3, clip 0.2 and 5 epochs of 4 minibatches were chosen because CMAT learned under them: with the released 5e-4
and 0.05 it needed more episodes, and with 256 worlds and 3 epochs 8 of 10 seeds of ``assignment`` were still at chance
after 32,768 episodes.

Tasks. ``assignment``: four drivers who stand in different places choose among four orders; two on one order serve
nobody. A driver sees the way to every order, not the other drivers: what a perceptron on local observations lacks.
``assignment-ids`` also shows every driver its number, with which drivers can keep apart by a convention ("number i
takes order i") and no talk. ``alike``: all stand in one spot without numbers, the failing case. Climbing and penalty
are the published games. Spread and combat (ours, in the manner of SMAC) stand in for the benchmarks: short trainings,
to compare, not to master.

Thresholds. The page's: 1e-5, 20 orders, 5%. Ours: CMAT's returns over orders may differ by 1e-6 (sums in another order
round otherwise); "not worse than MAT" means at most 0.02 more conflicts; "clearly" means 0.05 more conflicts; "most
seeds" means more than half of them, by the whole interval. Policies take their most probable actions, except in
``alike``, where chance is all that could keep drivers apart. No product policy of equals can have fewer conflicts there
than 1 - (3/4)^3 = 0.578: each of four drivers is alone on order j with probability p_j (1 - p_j)^3, largest at 1/4.

The times of an action are of this machine at that moment and part of no claim. Execution of CMAT and MAT is central:
they need all observations at run time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from shoal.runs.mechanism import flows
from shoal.runs.results import Results
from shoal.runs.seeds import derive
from shoal.runs.study import Claim, Experiment, Study, StudyConfig, Trial, Vocabulary
from shoal.stats import Check, Evidence, exact, mean

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CMAT, MAT, MAT_DEC, MAPPO = "CMAT", "MAT", "MAT-Dec", "MAPPO"
JOINT, ONE_THOUGHT = "CMAT, joint ratio", "CMAT, L = 1"
APART, SILENT = "CMAT, no encoder attention", "CMAT, no encoder attention, no consensus"
RANDOM = "CMAT, random feature"

ARMS: dict[str, tuple[str, dict[str, Any]]] = {
    CMAT: ("cmat", {}),
    MAT: ("mat", {}),
    MAT_DEC: ("mat-dec", {}),
    MAPPO: ("mappo", {}),
    JOINT: ("cmat", {"ratio": "joint"}),
    ONE_THOUGHT: ("cmat", {"consensus_length": 1}),
    APART: ("cmat", {"encoder_attention": False}),
    SILENT: ("cmat", {"encoder_attention": False, "consensus": False}),
    RANDOM: ("cmat", {"random_features": 1}),
}
"""Learner and settings of each arm."""

WORLDS = {
    "assignment": "assignment:drivers=4,orders=4,ids=false",
    "assignment-ids": "assignment:drivers=4,orders=4",
    "alike": "assignment:drivers=4,orders=4,ids=false,scattered=false",
    "climbing": "climbing",
    "penalty": "penalty",
    "spread": "spread",
    "combat": "combat:roster=3m",
}
ONE_STEP = ("assignment", "assignment-ids", "alike", "climbing", "penalty")
GAMES = ("climbing", "penalty")
POINTS = 20
SAMPLED = ("alike", "spread", "combat")
COUNTS = (3, 10, 30)
EQUIVARIANCE_WORLDS = ("spread:agents=5", "assignment:drivers=4", "combat:roster=8m")
NETWORKS = 8
"""Random networks for each world of ``equivariance``."""
FLOOR = 1 - 0.75**3


class CMATConfig(StudyConfig):
    """Settings of the CMAT study."""

    width: int = Field(32, ge=1, le=512, description="Width of transformers and of MAPPO's hidden layers")
    steps: int = Field(24_576, ge=256, description="Training episodes of each seed in assignment")
    id_steps: int = Field(8_192, ge=256, description="Training episodes of each seed in assignment-ids and alike")
    game_steps: int = Field(8_192, ge=256, description="Training episodes of each seed in climbing and penalty")
    world_steps: int = Field(131_072, ge=4096, description="Training steps of each seed in spread and combat")
    learning_rate: float = Field(2e-3, gt=0, description="Of Adam, at the start, in every arm")
    clip: float = Field(0.2, gt=0, description="Clip of the probability ratio, in every arm")
    epochs: int = Field(5, ge=1, description="Passes over a rollout, in every arm")
    minibatches: int = Field(4, ge=1, description="Gradient steps in a pass, in every arm")
    orders: int = Field(20, ge=2, description="Random orders of the agents that trained policies are evaluated in")
    episodes: int = Field(512, ge=2, le=100_000, description="Episodes that each trained seed is evaluated on")
    brief: bool = Field(False, description="Compile quickly and train slowly: right for very short trainings")
    long: bool = Field(True, description="Run the experiments that take more than a minute")
    worlds: bool = Field(False, description="Run spread and combat, which take about ten minutes")


def trained(trial: Trial[CMATConfig]) -> list[dict[str, Any]]:
    """Train one arm on all seeds at once and evaluate it, in other orders of the agents too where that is asked."""
    import jax
    import jax.numpy as jnp

    from shoal.marl import train
    from shoal.marl.compilation import ONCE
    from shoal.marl.evaluation import evaluate_seeds
    from shoal.marl.ordering import Reordered
    from shoal.worlds import make_world

    config, experiment = trial.config, trial.experiment
    world = make_world(WORLDS[experiment])
    name, settings = ARMS[trial.variant]
    done = train(
        name,
        world,
        settings={**_shared(config, experiment, name), **settings},
        steps=_steps(config, experiment),
        seeds=[derive(trial.root, experiment, s, "training") % 2**31 for s in trial.seeds],
        episodes=0,
        compilation=ONCE if config.brief else None,
    )
    count, key = len(trial.seeds), jax.random.key(derive(trial.root, experiment, "evaluation") % 2**32)
    rng = np.random.default_rng(derive(trial.root, experiment, "orders"))
    players = done.learner.player(done.state)

    def played(order: NDArray[Any]) -> list[Any]:
        rows = jnp.broadcast_to(jnp.asarray(order), (count, world.agent_count))
        return evaluate_seeds(
            Reordered(players, rows), count, world, config.episodes, key, greedy=experiment not in SAMPLED
        )

    own = played(np.arange(world.agent_count))
    measured = [_figures(p, done.history["return"][:, s]) for s, p in enumerate(own)]
    if experiment == "assignment-ids":
        others = [played(rng.permutation(world.agent_count)) for _ in range(config.orders)]
        for s, found in enumerate(measured):
            found["return by order"] = [float(p[s].team.mean()) for p in others]
            found["range over orders"] = float(np.ptp(found["return by order"]))
    if experiment == "assignment" and name == "cmat":
        for found, gates in zip(measured, _gates(done.state.model, world, key, config.episodes), strict=True):
            found["gate"] = gates
    return measured


def _steps(config: CMATConfig, experiment: str) -> int:
    if experiment in GAMES:
        return config.game_steps
    if experiment in ("assignment-ids", "alike"):
        return config.id_steps
    return config.steps if experiment in ONE_STEP else config.world_steps


def _shared(config: CMATConfig, experiment: str, name: str) -> dict[str, Any]:
    """Settings that every arm of an experiment has."""
    batch = {"worlds": 128, "rollout": 1} if experiment in ONE_STEP else {"worlds": 32, "rollout": 64}
    size = {"hidden": (config.width, config.width)} if name == "mappo" else {"width": config.width}
    rates = {"learning_rate": config.learning_rate, "clip": config.clip}
    return {**batch, **size, **rates, "epochs": config.epochs, "minibatches": config.minibatches}


def _figures(played: Any, course: NDArray[Any]) -> dict[str, Any]:
    """Of one seed: its evaluation, and the course of its training."""
    bins = np.array_split(course, min(POINTS, len(course)))
    curve: list[float] = []
    for part in bins:
        known = part[np.isfinite(part)]
        curve.append(float(known.mean()) if known.size else (curve[-1] if curve else 0.0))
    found: dict[str, Any] = {"return": float(played.team.mean()), "curve": curve}
    return {**found, **{name: float(values.mean()) for name, values in played.metrics.items()}}


def _gates(model: Any, world: Any, key: Any, episodes: int) -> list[NDArray[np.float64]]:
    """Mean weight that each trained seed's gate gives to each thought of the chain."""
    import jax
    import jax.numpy as jnp

    from shoal.marl.players import view

    if model.decoder.silent:
        return [np.zeros(1)] * model.scale.mean.shape[0]
    state, timestep = world.reset(key, (episodes,))
    seen = view(world, state, timestep, jnp.ones(episodes, bool))
    none = jnp.zeros((0, world.agent_count, episodes))

    def weights(one: Any) -> Any:
        return one.decoder.agree(one.look(seen, none)[0])[1].mean(1)

    return list(np.asarray(jax.jit(jax.vmap(weights))(model), np.float64))


def equivariance(trial: Trial[CMATConfig]) -> dict[str, dict[str, Any]]:
    """How much an order of the agents changes random networks' probabilities and values, in three worlds."""
    import jax
    import jax.numpy as jnp

    from shoal.marl import make_learner
    from shoal.marl.compilation import ONCE, compiled
    from shoal.marl.ordering import order_gap, scattered
    from shoal.marl.players import view
    from shoal.worlds import make_world, random_actions

    measured: dict[str, dict[str, Any]] = {v: {"probability": [], "value": []} for v in (CMAT, MAT)}
    for spec in EQUIVARIANCE_WORLDS:
        world = make_world(spec)
        keys = jax.random.split(jax.random.key(trial.derive("networks", spec) % 2**32), 4)
        state, timestep = world.reset(keys[0], (1, 64))
        seen = view(world, state, timestep, jnp.ones((1, 64), bool))
        action = random_actions(world, keys[1], timestep)
        order = jnp.asarray(trial.rng("order", spec).permutation(world.agent_count))
        for variant, found in measured.items():
            learner = make_learner(ARMS[variant][0], width=trial.config.width)
            draws = jax.random.split(keys[3], NETWORKS)
            fresh = jax.eval_shape(lambda k, learner=learner, world=world: learner.model(k, world), keys[2])
            networks = jax.tree.map(lambda *xs: jnp.stack(xs), *(scattered(fresh, k) for k in draws))
            gap = compiled(jax.vmap(order_gap, (0, None, None, None)), networks, seen, action, order, options=ONCE)
            chances, values = gap(networks, seen, action, order)
            found["probability"].extend(np.asarray(chances, float))
            found["value"].extend(np.asarray(values, float))
    return measured


def timing(trial: Trial[CMATConfig]) -> dict[str, dict[str, Any]]:
    """Milliseconds that untrained networks take to act once, for one world, by team size."""
    import time

    import jax

    from shoal.marl import make_learner
    from shoal.marl.actors import PolicyPlayer
    from shoal.marl.policies import Policy
    from shoal.worlds import make_world

    measured: dict[str, dict[str, Any]] = {v: {} for v in (CMAT, ONE_THOUGHT, MAT)}
    for count in COUNTS:
        world = make_world(f"spread:agents={count}")
        obs = np.asarray(world.reset(jax.random.key(0))[1].obs)
        for variant, found in measured.items():
            name, settings = ARMS[variant]
            learner = make_learner(name, width=trial.config.width, **settings)
            policy = Policy(PolicyPlayer(_fresh(learner, world, jax.random.key(0))), world)
            policy.act(obs)
            took = []
            for _ in range(30):
                began = time.perf_counter()
                policy.act(obs)
                took.append(1e3 * (time.perf_counter() - began))
            found[f"ms, n={count}"] = float(np.median(took))
    return measured


def _fresh(learner: Any, world: Any, key: Any) -> Any:
    """An untrained model."""
    from shoal.marl.compilation import ONCE, compiled

    return compiled(lambda k: learner.model(k, world), key, options=ONCE)(key)


def too_long(config: CMATConfig) -> str | None:
    """Why an experiment is left out of quick runs."""
    return None if config.long else "compiling and training take minutes: use --size standard or --set long=true"


def no_worlds(config: CMATConfig) -> str | None:
    """Why spread and combat are left out."""
    return None if config.worlds else "they take about ten minutes: use --size full or --set worlds=true"


Checks = Callable[[Results], Sequence[Check]]


def _less(experiment: str, one: str, other: str, metric: str, below: float = 0.0, needs: int = 10) -> Checks:
    """``one`` has less of the metric than ``other``, seed by seed."""

    def checks(r: Results) -> list[Check]:
        if not (r.has(experiment, one, metric) and r.has(experiment, other, metric)):
            return []
        found = r.difference(experiment, one, other, metric)
        return [Check(f"{experiment}: {one} - {other}, {metric}", found, below=below, needs=needs)]

    return checks


def _unmoved(variant: str) -> Checks:
    def checks(r: Results) -> list[Check]:
        parts = ((m, r.items("equivariance", variant, m)[0]) for m in ("probability", "value"))
        return [
            Check(f"{variant}: largest change of {m}", exact(x.max(), x.size), below=1e-5) for m, x in parts if x.size
        ]

    return checks


def _moved(r: Results) -> list[Check]:
    x, _ = r.items("equivariance", MAT, "probability")
    return [Check("MAT: smallest change of a log-probability", exact(x.min(), x.size), above=1e-3)] if x.size else []


def _range(variant: str, above: float | None = None, below: float | None = None) -> Checks:
    """Range of the return over orders: the largest of any seed for an upper bound, the mean for a lower one."""

    def checks(r: Results) -> list[Check]:
        x = r.values("assignment-ids", variant, "range over orders")
        if not x.size:
            return []
        found = exact(x.max(), x.size) if above is None else mean(x)
        return [Check(f"{variant}: range of the return over orders", found, above, below)]

    return checks


def _silent(r: Results) -> list[Check]:
    if not (r.has("assignment", APART) and r.has("assignment", SILENT)):
        return []
    worse = r.difference("assignment", SILENT, APART, "conflicts")
    poorer = r.difference("assignment", SILENT, APART, "return")
    return [
        Check("zeros - consensus, conflicts", worse, above=0.05, needs=10),
        Check("zeros - consensus, return", poorer, below=0.0, needs=10),
    ]


def _length(r: Results) -> list[Check]:
    if not (r.has("assignment-ids", CMAT) and r.has("assignment-ids", ONE_THOUGHT)):
        return []
    gap = r.difference("assignment-ids", ONE_THOUGHT, CMAT, "conflicts")
    return [Check("one thought - four, conflicts", gap, above=-0.02, below=0.02, needs=10)]


def _optimum(variant: str) -> Checks:
    def checks(r: Results) -> list[Check]:
        if not all(r.has(game, variant) for game in GAMES):
            return []
        shares = {game: r.mean(game, variant, "optimal") for game in GAMES}
        return [
            Check(f"{game}: {variant}, share of seeds at the optimum", share, above=0.5, needs=10)
            for game, share in shares.items()
        ]

    return checks


def _alike(r: Results) -> list[Check]:
    """CMAT stays at the floor of product policies; MAT and CMAT with a random feature get below it."""
    if not all(r.has("alike", v) for v in (CMAT, MAT, RANDOM)):
        return []
    return [
        Check(f"{CMAT}, conflicts", r.mean("alike", CMAT, "conflicts"), above=FLOOR - 0.02, needs=5),
        Check(f"{MAT}, conflicts", r.mean("alike", MAT, "conflicts"), below=FLOOR - 0.1, needs=5),
    ]


def _score(r: Results) -> list[Check]:
    checks = []
    for world in ("spread", "combat"):
        ours, theirs = (r.values(world, v, "return") for v in (CMAT, MAT))
        if ours.size and ours.size == theirs.size:
            found = mean(ours - theirs + 0.05 * np.abs(theirs))
            checks.append(Check(f"{world}: CMAT - (MAT - 5%)", found, above=0.0, needs=5))
    return checks if len(checks) == 2 else []


def _spread(r: Results) -> list[Check]:
    """Distance of each seed from its arm's mean: CMAT's less MAT's."""
    checks = []
    for world in ("spread", "combat"):
        ours, theirs = (r.values(world, v, "return") for v in (CMAT, MAT))
        if ours.size and ours.size == theirs.size:
            found = mean(np.abs(ours - ours.mean()) - np.abs(theirs - theirs.mean()))
            checks.append(Check(f"{world}: distance from the mean, CMAT - MAT", found, below=0.0, needs=5))
    return checks if len(checks) == 2 else []


# fmt: off
CLAIMS = (
    Claim("1-exact",
          "A new order of the agents permutes CMAT's action probabilities and leaves its value, for random weights "
          "(max abs error < 1e-5)",
          "equivariance", _unmoved(CMAT)),
    Claim("1b-mat-moves",
          "It changes MAT's probabilities (by more than 1e-3 in log)",
          "equivariance", _moved),
    Claim("2-order",
          "After training, CMAT's return is the same in 20 orders of the agents (range < 1e-6, every seed)",
          "assignment-ids", _range(CMAT, below=1e-6)),
    Claim("2b-order-mat",
          "MAT's return depends on the order (range > 0)",
          "assignment-ids", _range(MAT, above=0.0)),
    Claim("3-mappo",
          "Assignment game, n = 4: CMAT has fewer conflicts than MAPPO on local observations",
          "assignment", _less("assignment", CMAT, MAPPO, "conflicts")),
    Claim("3b-mat",
          "Assignment game, n = 4: CMAT has at most 0.02 more conflicts than MAT",
          "assignment", _less("assignment", CMAT, MAT, "conflicts", below=0.02)),
    Claim("3c-mappo-ids",
          "The same against MAPPO where drivers see their numbers",
          "assignment-ids", _less("assignment-ids", CMAT, MAPPO, "conflicts"),
          "With numbers a convention keeps drivers apart without any talk, at the price of worse matches."),
    Claim("3d-mat-ids",
          "The same against MAT where drivers see their numbers",
          "assignment-ids", _less("assignment-ids", CMAT, MAT, "conflicts", below=0.02)),
    Claim("4-consensus",
          "Without encoder attention, zeros in place of the consensus lose clearly (0.05 more conflicts, less return)",
          "assignment", _silent, "Both are trained so. Zeros leave local observations only."),
    Claim("4b-length",
          "One thought does as the n thoughts do (conflicts within 0.02)",
          "assignment-ids", _length, "Ours; the page reports the comparison and promises nothing."),
    Claim("5-score",
          "Spread and combat 3m: CMAT's final return is at least MAT's less 5%",
          "combat", _score, "Short trainings of small networks in our own worlds, not the paper's benchmarks."),
    Claim("5b-variance",
          "Spread and combat 3m: CMAT's seeds differ less than MAT's",
          "combat", _spread, "A few seeds say little about variance."),
    Claim("6-optimum",
          "CMAT finds the optimum, rather than a Nash equilibrium, of climbing and penalty in most seeds",
          "climbing", _optimum(CMAT), "A product policy under gradient descent promises nothing of the kind."),
    Claim("6b-optimum-joint",
          "The same with the paper's joint ratio",
          "climbing", _optimum(JOINT)),
    Claim("6c-optimum-mappo",
          "MAPPO does so too, by the same measure",
          "climbing", _optimum(MAPPO), "The control: if it does, the consensus is not the cause."),
    Claim("7-alike",
          "Agents that are alike and see alike cannot keep apart under CMAT (conflicts at the floor of 0.578), and can "
          "under MAT",
          "alike", _alike, "The failing case; a random feature or a number mends it (see the table)."),
    Claim("7b-random-feature",
          "A random feature in each observation lowers CMAT's conflicts there",
          "alike", _less("alike", RANDOM, CMAT, "conflicts", needs=5)),
    Claim("8-joint",
          "At the same clip the joint ratio has more conflicts than one ratio for each agent",
          "assignment-ids", _less("assignment-ids", CMAT, JOINT, "conflicts"),
          "Ours: why the per-agent ratio is the default."),
)

_T = Evidence.TRAINED
EXPERIMENTS = (
    Experiment("equivariance", equivariance, (CMAT, MAT), Evidence.EXACT, joint=True,
               seeds={"quick": 1, "standard": 1, "full": 5}),
    Experiment("assignment-ids", trained, (CMAT, MAT, MAPPO, JOINT, ONE_THOUGHT), _T, vectorised=True, skip=too_long,
               seeds={"quick": 2, "standard": 10, "full": 20}),
    Experiment("alike", trained, (CMAT, MAT, RANDOM), _T, vectorised=True, skip=too_long),
    Experiment("climbing", trained, (CMAT, JOINT, MAT, MAPPO), _T, vectorised=True,
               seeds={"quick": 2, "standard": 10, "full": 50}),
    Experiment("penalty", trained, (CMAT, JOINT, MAPPO), _T, vectorised=True, skip=too_long,
               seeds={"quick": 2, "standard": 10, "full": 50}),
    Experiment("assignment", trained, (CMAT, MAT, MAPPO, APART, SILENT), _T, vectorised=True, skip=too_long,
               seeds={"quick": 2, "standard": 10, "full": 20}),
    *(Experiment(world, trained, (CMAT, MAT, MAT_DEC, MAPPO), _T, vectorised=True, skip=no_worlds)
      for world in ("spread", "combat")),
    Experiment("time", timing, (CMAT, ONE_THOUGHT, MAT), Evidence.EXACT, joint=True, skip=too_long,
               seeds={"quick": 1, "standard": 1, "full": 1}),
)
# fmt: on


def plots(results: Results) -> dict[str, Figure]:
    """Conflicts and returns, courses of training, returns by order, gate weights and times; each only if measured."""
    from shoal.runs.plots import bars, new_figure

    figures: dict[str, Figure] = {}
    found = [e for e in ("assignment", "assignment-ids", "alike") if results.has(e)]
    if found:
        figures["conflicts"], axes = new_figure(len(found), 1, 5.2, 3.4)
        for ax, experiment in zip(axes, found, strict=True):
            bars(ax, results, experiment, "conflicts")
    found = [e for e in WORLDS if results.has(e, metric="curve")]
    if found:
        figures["courses"], axes = new_figure(2, (len(found) + 1) // 2)
        for ax, experiment in zip(axes, found, strict=False):
            _courses(ax, results, experiment)
        for ax in axes[len(found) :]:
            ax.set_visible(False)
    if results.has("assignment-ids", metric="return by order"):
        figures["orders"], (ax,) = new_figure()
        for place, variant in enumerate(results.variants("assignment-ids")):
            values, seeds = results.items("assignment-ids", variant, "return by order")
            ax.plot(seeds + 0.2 * (place - 1), values, ".", markersize=3, label=variant)
        ax.set(xlabel="seed", ylabel="return", title="one dot for each order of the agents")
        ax.legend(fontsize=7, frameon=False)
    if results.has("assignment", CMAT, "gate"):
        figures["gate"], (ax,) = new_figure()
        weights, seeds = results.items("assignment", CMAT, "gate")
        for row in weights.reshape(np.unique(seeds).size, -1):
            ax.plot(row, color="#0072B2", alpha=0.4, marker="o", markersize=3)
        ax.set(xlabel="thought (0 is the prefix)", ylabel="gate weight", title="one line for each seed")
    if results.has("time"):
        figures["time"], (ax,) = new_figure()
        for variant in results.variants("time"):
            ax.plot(COUNTS, [results.mean("time", variant, f"ms, n={n}").value for n in COUNTS], "o-", label=variant)
        ax.set(xlabel="agents", ylabel="ms for a joint action", ylim=(0, None))
        ax.legend(fontsize=7, frameon=False)
    return figures


def _courses(ax: Any, results: Results, experiment: str) -> None:
    """Mean return over seeds along the training, with the seeds' range."""
    for variant in results.variants(experiment):
        values, seeds = results.items(experiment, variant, "curve")
        rows = values.reshape(np.unique(seeds).size, -1)
        along = np.linspace(0, 1, rows.shape[1])
        (line,) = ax.plot(along, rows.mean(0), label=variant, linewidth=1.2)
        ax.fill_between(along, rows.min(0), rows.max(0), color=line.get_color(), alpha=0.12, linewidth=0)
    ax.set(xlabel="share of training", ylabel="return", title=experiment)
    ax.legend(fontsize=6, frameon=False)


STUDY = Study(
    name="cmat",
    title="CMAT: an order-independent multi-agent transformer with a latent consensus",
    paper="arXiv 2604.13472 (2026); MAT: arXiv 2205.14953 (2022)",
    kind="marl",
    engine="marl",
    summary=(
        "A transformer encodes all agents, writes a short chain of latent thoughts and mixes them into one consensus; "
        "all agents then act at once. Tested beside MAT, MAT-Dec and MAPPO: order independence, assignment games, "
        "ablations of consensus and length, climbing and penalty, agents that are alike, spread and combat. Execution "
        "is central: all observations are needed at run time."
    ),
    mechanism=flows(
        "observations -> encoder -> compressor -(prefix)-> chain of latent thoughts -(gate)-> consensus vector",
        "consensus vector -> actions, all at once -(reward)-> PPO update",
        "encoder -(attended to)-> chain of latent thoughts",
        "encoder -(own encoding)-> actions, all at once",
        "compressor -> team value -> PPO update",
    ),
    config=CMATConfig,
    experiments=EXPERIMENTS,
    claims=CLAIMS,
    sizes={
        "quick": {"game_steps": 1024, "episodes": 128, "brief": True, "long": False},
        "standard": {},
        "full": {
            "worlds": True,
            "steps": 131_072,
            "id_steps": 65_536,
            "game_steps": 65_536,
            "world_steps": 1_048_576,
            "episodes": 4096,
            "width": 64,
        },
    },
    seeds={"quick": 2, "standard": 5, "full": 10},
    vocabulary=Vocabulary(
        actors=("agents",),
        type=("cooperation",),
        structure=("centralized",),
        strategy=("model-based",),
        protocol=("latent consensus", "sequential actions"),
    ),
    plots=plots,
)
