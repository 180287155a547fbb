"""HAMMER: a central network whispers a short private message to each local agent (arXiv 2102.00824), as experiments.

The centre sees every observation, earns nothing, and learns through the local agents' PPO losses. Tested: sum guessing
(the floor without messages is known exactly), cooperative navigation (particle spread) and beam carrying.

Faithful: networks, losses, gradient path, fixed deviation 0.5 of continuous actions, discount 0.95, clip 0.2, returns
by Monte Carlo and standardised per agent, 8 epochs and minibatches of 100 guesses at rate 3e-4 in sum guessing. In
spread one seed of the released settings (500,000 episodes) is hours of work; the study trains 64 worlds side by side
for 300,000 steps with rate 1e-3 and 4 epochs of 4 minibatches. After as many steps the released 8 full-batch epochs of
800 steps at 3e-4 were a little better (-20.8 against -21.2, three seeds) for twice the work. All arms of an experiment
have the same settings, steps and seeds. Observations and guesses of sum guessing are divided by 10 in every arm.
Episodes start anew each time (the released script repeats one fixed start). Local networks share their parameters, as
they do in effect in the released code, except in one arm. Sums and beams are judged on the actor's mean action; spread
on sampled actions, because the most probable move of a policy that is meant to be random can be a bad one.

Multiwalker needs a rigid-body engine. Beam carrying is a stand-in of the same kind of task and reward with far simpler
physics: its figures do not compare with multiwalker's. ``beam`` is the plain world; in ``beam-rough`` the ground is
three times as rough and a carrier feels only its own speed, lift and place, while the centre sees everything. Episodes
last 250 steps of at most 500.

Thresholds are the page's: -1.5 (N=2) and -3 (N=5), floors within 10%, 2.5 for hard bits. Ours: "the gain disappears"
and "random messages bring none" mean at most the same 10% of the floor above independent learners. The Welch tests are
one-sided at 5%, so the interval shown with them is the two-sided 90% one. "Individual" and "team" reward: every agent's
own (the default everywhere), or the mean over agents in training; what is reported is always the world's own reward.
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
from shoal.stats import Check, Estimate, Evidence, exact, mean

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from shoal.marl import Training
    from shoal.worlds import World

INDEPENDENT, HAMMER, HAMMER_4 = "independent (k = 0)", "HAMMER (k = 1)", "HAMMER (k = 4)"
BIT, BITS = "hard bits (k = 1)", "hard bits (k = 4)"
STOPPED, RANDOM, CENTRAL = "stop-gradient", "random messages", "centralised"
BOUNDED, SAMPLED, SEPARATE = "bounded by tanh", "messages as actions (v1)", "separate networks"
TEAM_INDEPENDENT, TEAM_HAMMER = "team reward, independent", "team reward, HAMMER"

ARMS: dict[str, dict[str, Any]] = {
    INDEPENDENT: {"message": 0},
    HAMMER: {},
    HAMMER_4: {"message": 4},
    BIT: {"channel": "bits"},
    BITS: {"channel": "bits", "message": 4},
    STOPPED: {"detach": True},
    RANDOM: {"channel": "random"},
    BOUNDED: {"squash": True},
    SAMPLED: {"channel": "actions"},
    SEPARATE: {"shared": False},
    TEAM_INDEPENDENT: {"message": 0, "team_reward": True},
    TEAM_HAMMER: {"team_reward": True},
}
"""What each arm changes in HAMMER's settings; ``CENTRAL`` is a learner of its own."""

FLOORS = {2: -5.0, 3: -20 / 3, 5: -28 / 3}
"""Best mean reward in sum guessing without a message: -E|sum of the others' numbers|, exactly."""
TARGETS = {2: -1.5, 5: -3.0}
POINTS = 20
BRIEF = 200_000
"""Agent samples up to which compiling takes longer than training."""
SUMS = {count: f"sums-{count}" for count in FLOORS}


class HammerConfig(StudyConfig):
    """Settings of the HAMMER study."""

    sum_steps: int = Field(80_000, ge=400, description="Training steps of each seed in sum guessing")
    sum_rate: float = Field(3e-4, gt=0, description="Learning rate in sum guessing")
    spread_steps: int = Field(300_000, ge=1600, description="Training steps of each seed in spread")
    spread_rate: float = Field(1e-3, gt=0, description="Learning rate in spread")
    beam_steps: int = Field(200_000, ge=2000, description="Training steps of each seed in beam carrying")
    beam_rate: float = Field(1e-3, gt=0, description="Learning rate in beam carrying")
    agents: int = Field(3, ge=2, le=10, description="Agents in spread")
    visible: int = Field(
        10, ge=4, description="Entries that agents with partial views see in spread; 4 + 2 N hides others"
    )
    episodes: int = Field(1024, ge=2, le=100_000, description="Episodes that each trained seed is evaluated on")
    read: int = Field(64, ge=0, le=4096, description="Episodes in which each seed's messages are read; 0 for none")


def _spread(config: HammerConfig, **settings: Any) -> tuple[str, dict[str, Any], dict[str, Any], int]:
    core = {"worlds": 64, "epochs": 4, "minibatches": 4, "learning_rate": config.spread_rate}
    return f"spread:agents={config.agents}", core, settings, config.spread_steps


def _beam(config: HammerConfig, world: str, **settings: Any) -> tuple[str, dict[str, Any], dict[str, Any], int]:
    core = {"worlds": 16, "rollout": 125, "epochs": 4, "minibatches": 4, "learning_rate": config.beam_rate}
    return f"beam-carrying:horizon=250{world}", core, settings, config.beam_steps


def place(config: HammerConfig, experiment: str) -> tuple[str, dict[str, Any], dict[str, Any], int]:
    """World, settings of every arm, further settings of HAMMER's arms, and training steps of an experiment."""
    if experiment.startswith("sums"):
        count = 2 if experiment == "sums-forms" else int(experiment[-1])
        small = (10, 10)
        core: dict[str, Any] = {"worlds": 400, "rollout": 1, "minibatches": 4, "learning_rate": config.sum_rate}
        core |= {"hidden": small, "critic_hidden": small}
        return f"sum-guessing:agents={count},scaled=true", core, {"centre_hidden": small}, config.sum_steps
    if experiment == "beam":
        return _beam(config, "")
    if experiment == "beam-rough":
        return _beam(config, ",bumps=0.9", visible=6, centre_unlimited=True)
    if experiment == "spread-full":
        return _spread(config)
    if experiment == "spread-heterogeneous":
        return _spread(config, visible=config.visible, limited=1)
    return _spread(config, visible=config.visible)


def others_sum(state: Any) -> Any:
    """The sum of the others' numbers in sum guessing, [1, agents, *batch]."""
    return (state.numbers.sum(0) - state.numbers)[None]


def others_places(state: Any) -> Any:
    """Where the other agents of spread are, as seen from each: [2 (agents - 1), agents, *batch]."""
    import jax.numpy as jnp

    from shoal.worlds.particles import offsets_of_others

    return jnp.swapaxes(offsets_of_others(state.agents.x, state.agents.y), 0, 1)


def carriers(state: Any) -> Any:
    """What a carrier on rough ground does not feel: speed, place and lift of the others, [3 (carriers - 1), ...]."""
    import jax.numpy as jnp

    count = state.x.shape[0]
    facts = (state.v, state.x - state.bx, state.lift)
    others = [[j for j in range(count) if j != i] for i in range(count)]
    return jnp.stack([jnp.concatenate([fact[jnp.array(o)] for fact in facts]) for o in others], 1)


HIDDEN: dict[str, Callable[[Any], Any]] = {"sums": others_sum, "spread": others_places, "beam": carriers}


def trained(trial: Trial[HammerConfig]) -> list[dict[str, Any]]:
    """Train one arm on all seeds at once, evaluate it, and read its messages."""
    import jax

    from shoal.marl import train
    from shoal.marl.compilation import ONCE
    from shoal.marl.evaluation import evaluate_seeds
    from shoal.worlds import make_world

    config = trial.config
    spec, core, extra, steps = place(config, trial.experiment)
    central = trial.variant == CENTRAL
    world = make_world(spec)
    training = train(
        "centralised" if central else "hammer",
        world,
        settings={"total_steps": None, **core, **({} if central else {**extra, **ARMS[trial.variant]})},
        steps=steps,
        seeds=[derive(trial.root, trial.experiment, s, "training") % 2**31 for s in trial.seeds],
        episodes=0,
        compilation=ONCE if steps * len(trial.seeds) * world.agent_count <= BRIEF else None,
    )
    key = jax.random.key(derive(trial.root, trial.experiment, "evaluation") % 2**32)
    count = len(trial.seeds)
    players = training.learner.player(training.state)
    greedy = world.continuous > 0
    played = evaluate_seeds(players, count, world, config.episodes, key, greedy)
    measured = [{"reward": float(p.returns.mean()), **_course(training, s)} for s, p in enumerate(played)]
    if not central and ARMS[trial.variant].get("message", 1) and ARMS[trial.variant].get("channel") != "random":
        for found, told in zip(measured, _messages(trial, training, world, key), strict=True):
            found.update(told)
    return measured


def _course(training: Training, seed: int) -> dict[str, Any]:
    """The training's course: mean return of an agent in the last 5% of it, its curve, and the centre's gradient."""
    course = training.history["return"][:, seed] / training.world.agent_count
    bins = np.array_split(course, min(POINTS, len(course)))
    found: dict[str, Any] = {"training": float(np.nanmean(course[-max(1, len(course) // 20) :]))}
    found["curve"] = [float(np.nanmean(b)) if np.isfinite(b).any() else 0.0 for b in bins]
    if "centre_grad_norm" in training.history:
        found["centre gradient"] = float(training.history["centre_grad_norm"][:, seed].mean())
    return found


def _messages(trial: Trial[HammerConfig], training: Training, world: World[Any], key: Any) -> list[dict[str, Any]]:
    """What the messages say, what they do, and how well the agents do on those of another episode."""
    from shoal.marl.communication import Shuffle
    from shoal.marl.evaluation import evaluate_seeds
    from shoal.marl.hammer_messages import ChannelledPlayer, read_messages

    model, count, config = training.state.model, len(trial.seeds), trial.config
    wrong = ChannelledPlayer(model, Shuffle())
    shuffled = evaluate_seeds(wrong, count, world, config.episodes, key, greedy=world.continuous > 0)
    measured = [{"shuffled": float(other.returns.mean())} for other in shuffled]
    if config.read:
        hidden = HIDDEN[trial.experiment.split("-")[0]]
        for found, r in zip(measured, read_messages(model, count, world, config.read, key, hidden), strict=True):
            found |= {"correlation": r.correlation, "norm": r.norm}
            found |= {"change when zeroed": float(r.change.mean()), "slope": float(r.slope.mean())}
    if trial.experiment in SUMS.values() and trial.variant in (HAMMER, STOPPED):
        for found, moved in zip(measured, _moved(training), strict=True):
            found["centre moved"] = moved
    return measured


def _moved(training: Training) -> list[float]:
    """Largest change of any central weight in training, for each seed."""
    import jax

    from shoal.marl.checkpoints import training_keys
    from shoal.marl.compilation import ONCE, compiled

    keys = training_keys(training.seeds)
    begin = compiled(lambda k: training.learner.init(k, training.world).model.centre, keys, options=ONCE)
    pairs = zip(jax.tree.leaves(begin(keys)), jax.tree.leaves(training.state.model.centre), strict=True)
    far = [np.abs(np.asarray(a) - np.asarray(b)).reshape(len(keys), -1).max(1) for a, b in pairs]
    return [float(x) for x in np.max(far, axis=0)]


def welch(treatment: Sequence[float] | NDArray[Any], baseline: Sequence[float] | NDArray[Any]) -> Estimate:
    """Difference of means of independent samples with Welch's t: two-sided 90% interval and one-sided p.

    The lower end is above 0 exactly where the one-sided p is below 0.05.
    """
    from scipy.stats import ttest_ind

    a, b = np.asarray(treatment, float), np.asarray(baseline, float)
    off, n = float(a.mean() - b.mean()), min(a.size, b.size)
    if n < 2:
        return Estimate(off, -np.inf, np.inf, n, method="welch")
    if a.std() == 0 and b.std() == 0:
        return exact(off, n)
    test = ttest_ind(a, b, equal_var=False, alternative="greater")
    interval = ttest_ind(a, b, equal_var=False).confidence_interval(0.90)
    return Estimate(off, float(interval.low), float(interval.high), n, float(test.pvalue), "welch, 90%")


Checks = Callable[[Results], list[Check]]


def _beats(experiment: str, treatment: str = HAMMER, baseline: str = INDEPENDENT) -> Checks:
    """One-sided Welch test on the last 5% of training."""

    def checks(results: Results) -> list[Check]:
        a, b = (results.values(experiment, v, "training") for v in (treatment, baseline))
        if not (a.size and b.size):
            return []
        found = welch(a, b)
        p = "" if found.p is None else f" (one-sided Welch p = {found.p:.2g})"
        return [Check(f"{experiment}: {treatment} - {baseline}{p}", found, above=0.0)]

    return checks


def _reward(variant: str, above: float | None = None, below: float | None = None) -> Callable[..., list[Check]]:
    """Mean reward of a trained arm."""

    def make(results: Results, place: str) -> list[Check]:
        return [Check(f"{place}: {variant}", results.mean(place, variant, "reward"), above, below)]

    return make


def _over(places: Sequence[str], make: Callable[[Results, str], list[Check]], needed: Sequence[str]) -> Checks:
    """The checks of several experiments; none at all while one of them lacks a needed arm."""

    def checks(results: Results) -> list[Check]:
        if not all(results.has(p, v) for p in places for v in needed):
            return []
        return [check for p in places for check in make(results, p)]

    return checks


def _gain(results: Results, place: str, variant: str, against: str) -> Estimate:
    return results.difference(place, variant, against, "reward")


def _message_checks(results: Results, place: str) -> list[Check]:
    gain = _gain(results, place, HAMMER, INDEPENDENT)
    target = TARGETS[int(place[-1])]
    return [
        Check(f"{place}: {HAMMER}", results.mean(place, HAMMER, "reward"), above=target),
        Check(f"{place}: {HAMMER} - {INDEPENDENT}", gain, above=0.0),
    ]


def _floor_checks(results: Results, place: str) -> list[Check]:
    floor = FLOORS[int(place[-1])]
    found = results.mean(place, INDEPENDENT, "reward")
    return [Check(f"{place}: {INDEPENDENT}, floor {floor:.2f}", found, above=1.1 * floor, below=0.9 * floor)]


def _shuffled_checks(results: Results, place: str) -> list[Check]:
    wrong, floor = (results.values(place, *what) for what in ((HAMMER, "shuffled"), (INDEPENDENT, "reward")))
    return [Check(f"{place}: {HAMMER} on shuffled messages - {INDEPENDENT}", mean(wrong - floor), below=0.0)]


def _no_gain(variant: str) -> Callable[[Results, str], list[Check]]:
    """No more than 10% of the floor over independent learners."""

    def make(results: Results, place: str) -> list[Check]:
        near = 0.1 * abs(FLOORS[int(place[-1])])
        return [Check(f"{place}: {variant} - {INDEPENDENT}", _gain(results, place, variant, INDEPENDENT), below=near)]

    return make


def _still_checks(results: Results, place: str) -> list[Check]:
    return [
        Check(f"{place}: central weights, {STOPPED}", results.mean(place, STOPPED, "centre moved"), -1e-12, 1e-12),
        Check(f"{place}: central weights, {HAMMER}", results.mean(place, HAMMER, "centre moved"), above=0.0),
    ]


def _used_checks(results: Results, place: str) -> list[Check]:
    off = results.values(place, HAMMER, "shuffled") - results.values(place, HAMMER, "reward")
    return [Check(f"{place}: {HAMMER}, shuffled - own messages", mean(off), below=0.0)]


def _difference(variant: str, against: str) -> Callable[[Results, str], list[Check]]:
    def make(results: Results, place: str) -> list[Check]:
        return [Check(f"{place}: {variant} - {against}", _gain(results, place, variant, against), above=0.0)]

    return make


def _form_checks(results: Results, place: str) -> list[Check]:
    return [
        Check(f"{place}: {v}", results.mean(place, v, "reward"), above=TARGETS[2]) for v in (BOUNDED, SAMPLED, SEPARATE)
    ]


def plots(results: Results) -> dict[str, Figure]:
    """Rewards of sum guessing beside the floors, learning curves of the others, and what the messages say and do."""
    from shoal.runs.plots import bars, new_figure

    figures: dict[str, Figure] = {}
    sums = [e for e in results.experiments() if e.startswith("sums")]
    if sums:
        figures["sums"], axes = new_figure(2, (len(sums) + 1) // 2, 5.2, 3.0)
        for ax, experiment in zip(axes, sums, strict=False):
            bars(ax, results, experiment, "reward")
            count = 2 if experiment == "sums-forms" else int(experiment[-1])
            ax.axvline(FLOORS[count], color="#444444", linewidth=0.8, linestyle="--")
        for ax in axes[len(sums) :]:
            ax.set_visible(False)
    others = [e for e in results.experiments() if not e.startswith("sums")]
    if others:
        figures["curves"], axes = new_figure(2, (len(others) + 1) // 2, 5.2, 3.2)
        for ax, experiment in zip(axes, others, strict=False):
            _curves(ax, results, experiment)
        for ax in axes[len(others) :]:
            ax.set_visible(False)
    told = [e for e in results.experiments() if results.has(e, HAMMER, "shuffled")]
    if told:
        figures["messages"], axes = new_figure(2, 1, 5.2, 3.4)
        for ax, (first, second) in zip(
            axes, (("reward", "shuffled"), ("correlation", "change when zeroed")), strict=True
        ):
            _pairs(ax, results, told, first, second)
    return figures


def _curves(ax: Any, results: Results, experiment: str) -> None:
    for variant in results.variants(experiment):
        values, seeds = results.items(experiment, variant, "curve")
        course = values.reshape(np.unique(seeds).size, -1)
        at = (np.arange(course.shape[1]) + 0.5) / course.shape[1]
        (line,) = ax.plot(at, course.mean(0), label=variant)
        ax.fill_between(at, course.min(0), course.max(0), color=line.get_color(), alpha=0.12, linewidth=0)
    ax.set_title(experiment, fontsize=9, loc="left")
    ax.set(xlabel="share of training", ylabel="return of an agent")
    ax.legend(fontsize=7, frameon=False)


def _pairs(ax: Any, results: Results, experiments: Sequence[str], first: str, second: str) -> None:
    """Two metrics of HAMMER side by side for each experiment."""
    from shoal.runs.plots import PALETTE

    at = np.arange(len(experiments))[::-1]
    for metric, colour, up in ((first, PALETTE[0], 0.18), (second, PALETTE[1], -0.18)):
        found = [results.mean(e, HAMMER, metric) for e in experiments]
        ax.barh(at + up, [e.value for e in found], height=0.34, color=colour, label=metric)
    ax.set_yticks(at, experiments, fontsize=8)
    ax.set_title(f"{HAMMER}: {first}, {second}", fontsize=9, loc="left")
    ax.legend(fontsize=7, frameon=False)


def _too_short(config: HammerConfig) -> str | None:
    """The quick size keeps under a minute: most of it is compilation, and so short a training tells nothing here."""
    return "the training is too short to tell: use --size standard" if config.spread_steps < 20_000 else None


def _experiment(
    name: str, variants: Sequence[str], seeds: dict[str, int] | None = None, long: bool = False
) -> Experiment[HammerConfig]:
    skip = _too_short if long else None
    return Experiment(name, trained, variants, Evidence.TRAINED, seeds=seeds, vectorised=True, skip=skip)


_FEWER: dict[str, int] = {"quick": 2, "standard": 5, "full": 10}
_PRINTED = "Printed as found: the page makes this no gate."
_STAND_IN = "Beam carrying is a stand-in for multiwalker with far simpler physics; figures do not compare."
_ALL, _TWO = tuple(SUMS.values()), (SUMS[2], SUMS[5])

# fmt: off
EXPERIMENTS = (
    _experiment("sums-2", (INDEPENDENT, HAMMER, BIT, BITS, STOPPED, RANDOM, CENTRAL)),
    _experiment("sums-3", (INDEPENDENT, HAMMER)),
    _experiment("sums-5", (INDEPENDENT, HAMMER, STOPPED, RANDOM, CENTRAL, TEAM_INDEPENDENT, TEAM_HAMMER)),
    _experiment("sums-forms", (BOUNDED, SAMPLED, SEPARATE), _FEWER, long=True),
    _experiment("spread-partial", (INDEPENDENT, HAMMER, HAMMER_4, RANDOM, CENTRAL)),
    _experiment("spread-full", (INDEPENDENT, HAMMER), long=True),
    _experiment("spread-heterogeneous", (INDEPENDENT, HAMMER), _FEWER, long=True),
    _experiment("spread-team", (TEAM_INDEPENDENT, TEAM_HAMMER), _FEWER, long=True),
    _experiment("beam", (INDEPENDENT, HAMMER), _FEWER, long=True),
    _experiment("beam-rough", (INDEPENDENT, HAMMER, CENTRAL), _FEWER),
)
CLAIMS = (
    Claim("message",
          "Sum guessing: one private number lifts the mean reward above -1.5 (N = 2) and -3 (N = 5), and above "
          "independent learners",
          "sums-2", _over(_TWO, _message_checks, (HAMMER, INDEPENDENT))),
    Claim("floor",
          "Independent learners (k = 0) sit at the exact floor, within 10%, for N = 2, 3 and 5",
          "sums-2", _over(_ALL, _floor_checks, (INDEPENDENT,))),
    Claim("shuffled",
          "With messages shuffled across episodes the same networks fall to or below independent learners",
          "sums-2", _over(_ALL, _shuffled_checks, (HAMMER, INDEPENDENT))),
    Claim("stop-gradient-weights",
          "With the message detached in the actor's loss, no central weight moves; otherwise they do",
          "sums-2", _over(_TWO, _still_checks, (HAMMER, STOPPED))),
    Claim("stop-gradient-gain",
          "With the message detached, the gain over independent learners disappears (within 10% of the floor; N = 5)",
          "sums-5", _over(("sums-5",), _no_gain(STOPPED), (STOPPED, INDEPENDENT))),
    Claim("stop-gradient-gain-2",
          "The same with two agents",
          "sums-2", _over(("sums-2",), _no_gain(STOPPED), (STOPPED, INDEPENDENT)),
          "An untrained centre still sends a fixed random function of all numbers. Of two numbers, of which the agent "
          "knows one, that often tells the other, and the agent learns to read it."),
    Claim("training-the-centre",
          "A trained centre beats an untrained one that the local agents learn to read",
          "sums-2", _over(_TWO, _difference(HAMMER, STOPPED), (HAMMER, STOPPED))),
    Claim("random",
          "Random messages of the same shape bring no gain (within 10% of the floor)",
          "sums-2", _over(_TWO, _no_gain(RANDOM), (RANDOM, INDEPENDENT))),
    Claim("bits",
          "Four hard bits bring the error below 2.5, half the floor (N = 2)",
          "sums-2", _over(("sums-2",), _reward(BITS, above=-2.5), (BITS,))),
    Claim("one-bit",
          "One hard bit cannot bring the error below 2.5 (N = 2)",
          "sums-2", _over(("sums-2",), _reward(BIT, below=-2.5), (BIT,))),
    Claim("forms",
          "The gain holds for messages bounded by tanh, messages as the centre's actions, and separate local networks: "
          "above -1.5 (N = 2)",
          "sums-forms", _over(("sums-forms",), _form_checks, (BOUNDED, SAMPLED, SEPARATE))),
    Claim("team-reward",
          "Trained on the team's mean reward, HAMMER still beats independent learners (N = 5)",
          "sums-5", _over(("sums-5",), _difference(TEAM_HAMMER, TEAM_INDEPENDENT), (TEAM_HAMMER, TEAM_INDEPENDENT))),
    Claim("upper-bound",
          "The centralised controller is better than HAMMER in sum guessing (N = 2 and 5)",
          "sums-2", _over(_TWO, _difference(CENTRAL, HAMMER), (CENTRAL, HAMMER))),
    Claim("spread-partial",
          "Spread, N = 3, other agents hidden: HAMMER (k = 1) beats independent learners in the last 5% of training",
          "spread-partial", _beats("spread-partial"), _PRINTED),
    Claim("spread-partial-4",
          "The same with four numbers in a message",
          "spread-partial", _beats("spread-partial", HAMMER_4), _PRINTED),
    Claim("spread-listening",
          "Spread, other agents hidden: messages shuffled across episodes lower the return of the same networks",
          "spread-partial", _over(("spread-partial",), _used_checks, (HAMMER,))),
    Claim("spread-full",
          "Spread, N = 3, with full observations: HAMMER (k = 1) beats independent learners",
          "spread-full", _beats("spread-full"), "The page expects that the gap may vanish here."),
    Claim("spread-heterogeneous",
          "Spread where one agent alone does not see the others: HAMMER (k = 1) beats independent learners",
          "spread-heterogeneous", _beats("spread-heterogeneous")),
    Claim("spread-team",
          "Spread, other agents hidden, trained on the team's mean reward: HAMMER (k = 1) beats independent learners",
          "spread-team", _beats("spread-team", TEAM_HAMMER, TEAM_INDEPENDENT)),
    Claim("beam",
          "Beam carrying (in place of multiwalker): HAMMER (k = 1) beats independent learners",
          "beam", _beats("beam"), _STAND_IN),
    Claim("beam-rough",
          "Beam carrying on rough ground by carriers that feel only themselves: HAMMER (k = 1) beats independent "
          "learners",
          "beam-rough", _beats("beam-rough"), _STAND_IN),
)
# fmt: on

STUDY = Study(
    name="hammer",
    title="HAMMER: coordination by learned private messages from a central network",
    paper="arXiv 2102.00824 (2021; Neural Computing and Applications 2023)",
    kind="marl",
    engine="marl",
    summary=(
        "A central network sees all observations and learns to send each local agent a private message of one to four "
        "numbers, only through the local agents' policy gradients. Tested against independent learners with the same "
        "settings, random, shuffled, detached and binary messages, and a centralised controller, in sum guessing, "
        "particle spread and beam carrying."
    ),
    mechanism=flows(
        "all observations -> central network -> private messages -> local actors -> world -(rewards)-> local losses",
        "own observation -> local actors",
        "local losses -> local actors",
        "local losses -(through the messages)-> central network",
    ),
    config=HammerConfig,
    experiments=EXPERIMENTS,
    claims=CLAIMS,
    sizes={
        "quick": {"sum_steps": 16_000, "spread_steps": 16_000, "beam_steps": 10_000, "episodes": 256, "read": 0},
        "standard": {},
        "full": {"sum_steps": 400_000, "spread_steps": 5_000_000, "beam_steps": 2_000_000, "episodes": 4096},
    },
    seeds={"quick": 2, "standard": 10, "full": 10},
    vocabulary=Vocabulary(
        actors=("centre", "local agents"),
        type=("cooperation",),
        structure=("centralized",),
        strategy=("learned",),
        protocol=("private messages from a centre", "messages in every step"),
    ),
    plots=plots,
)
