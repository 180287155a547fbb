"""Direct punishment (arXiv 2301.08278) as experiments that can fail: who should punish, and what it brings.

Five independent Q-learners play repeated prisoner's dilemmas; after each round the victim, a bystander or both may
punish, and agents may choose partners by reputation. The paper compares the mixtures. Agents are **trained** networks
(a role that is scripted says so); rules, numbers and order are the released code's (``shoal.games.punishment``).

Faithful: payoffs, fines, reputations, three networks for each agent with the released settings, one update for each
step stored, totals computed from the environment and not from logs. Departures: a memory that is full gives up a
random item instead of its oldest (in 2,000 episodes none fills up); batches are windows of a memory kept in random
order (uniform, without replacement). "None" with selection chooses by reputations that nothing moves.

What to know when reading. The released decay is for each *update*, so that exploration is at its floor after two to
four of them; ``slow`` decays over 2,000 updates and lets punishers explore 1% in the end instead of 20%. Random unjust
punishing for ever is what drives the reward down: rewards are shown with and without punishments made by chance, and
after training without any exploration. Punishing a defector *pays* 2 here; where it costs 3 (``costly``) the claim is
tested in earnest. Without punishment cooperation dies within 60 episodes here, and in a plain NumPy rewrite of the
same settings; the page's own quick check saw it last for hundreds.

Sizes. 20 seeds everywhere that a claim needs them; standard plays 1,500 of the paper's 2,000 episodes, the least that
the page asks for before orderings are believed (20 minutes on two cores); full plays all of them.

Looked at afterwards: at 200 episodes TPP and DP+TPP without a fine still cooperated in a third of the plays: raw
reputations grow to thousands and freeze networks that see them, in cooperation as often as not (reputations alone do it
too). The claim as stated is kept, and one with normalised reputations, which differs in the fine only, was added beside
it. At 1,500 episodes that cooperation is gone with raw reputations (0.007 above the control).

Thresholds are the page's (intervals apart; above 0; 90% of greedy states). Ours: "not above the control" is less than
0.05 above it; speed is the first episode by which the mean of 20 episodes reached 0.8, the number of episodes if never;
"early" is the first 5% of the episodes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import Field

from shoal.runs.mechanism import flows
from shoal.runs.results import Measurements, Results
from shoal.runs.seeds import derive
from shoal.runs.study import Claim, Experiment, Study, StudyConfig, Trial, Vocabulary
from shoal.stats import Check, Evidence, exact, paired_difference

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from shoal.games.punishment import Condition
    from shoal.games.punishment_learning import History

NONE, REPUTATION, DP, TPP, BOTH = "none", "reputation only", "DP", "TPP", "DP+TPP"
MECHANISMS: dict[str, dict[str, Any]] = {
    NONE: {"by_play": False, "by_punishing": False},
    REPUTATION: {"by_punishing": False, "visible": True},
    DP: {"direct": True},
    TPP: {"third_party": True, "visible": True},
    BOTH: {"direct": True, "third_party": True, "visible": True},
}
PUNISHED = (DP, TPP, BOTH)
SELECTED = {name: f"{name}, selection" for name in MECHANISMS}
FINELESS = {name: f"{name}, no fine" for name in PUNISHED}
COSTLY = {name: f"{name}, costly" for name in PUNISHED}
RANDOM = {name: f"{name}, random punisher" for name in PUNISHED}
SLOW = {name: f"{name}, slow decay" for name in (NONE, *PUNISHED)}
SHOWN = f"{REPUTATION}, normalised"
BOUNDED = {name: f"{name}, no fine, normalised" for name in (TPP, BOTH)}
ABLATIONS = (*FINELESS.values(), *COSTLY.values(), *RANDOM.values(), SHOWN, *BOUNDED.values())

SWITCHES: dict[str, dict[str, Any]] = {
    "play and punishment": {},
    "play only": {"by_punishing": False},
    "punishment only": {"by_play": False},
    "individual views": {"individual": True},
    "normalised": {"normalised": True},
}
"""Where reputations come from and how they are shown, in TPP with selection."""
OPPONENTS: dict[str, tuple[str, ...]] = {
    "five learners": (),
    "one always defects": ("always-defect",),
    "one plays tit for tat": ("tit-for-tat",),
    "one is a just punisher": ("just-punisher",),
}
"""Scripted roles among learners in DP."""
PLACES: dict[str, dict[str, Any]] = {
    NONE: MECHANISMS[NONE], DP: MECHANISMS[DP] | {"visible": True}, TPP: MECHANISMS[TPP], BOTH: MECHANISMS[BOTH],
    SELECTED[DP]: MECHANISMS[DP] | {"visible": True, "selection": True},
}  # fmt: skip
CAVES = {
    SELECTED[NONE]: MECHANISMS[NONE] | {"selection": True},
    SELECTED[DP]: MECHANISMS[DP] | {"selection": True},
    SELECTED[TPP]: MECHANISMS[TPP] | {"selection": True},
}
ITSELF = "with itself"
BINS, WINDOW, REACHED, EARLY = 20, 20, 0.8, 0.05
NO_MORE = 0.05


class PunishmentConfig(StudyConfig):
    """Settings of the direct punishment study."""

    episodes: int = Field(200, ge=20, le=100_000, description="episodes of the main comparison")
    side_episodes: int = Field(
        60, ge=0, le=100_000, description="episodes of the switches, opponents, games and graphs; 0 leaves them out"
    )
    selection: bool = Field(True, description="also compare the mechanisms with partner selection")
    agents: int = Field(5, ge=3, le=30, description="agents of a society")
    rounds: int = Field(10, ge=1, le=100, description="rounds of a meeting")
    centipede_rounds: int = Field(3, ge=1, le=50, description="rounds of two moves of the centipede game")
    cave_agents: int = Field(25, ge=6, le=30, description="agents on the caveman graph")
    cave_cliques: int = Field(5, ge=1, le=10, description="its cliques")
    model_episode: bool = Field(
        False, description="let the run's language model play one episode with a punishment turn"
    )
    model_rounds: int = Field(4, ge=1, le=50, description="rounds of that episode")


def condition(config: PunishmentConfig, variant: str) -> Condition:
    """The society of a variant of the main comparison."""
    from shoal.games.punishment import SLOW as SLOW_PACES
    from shoal.games.punishment import Condition

    mechanism, *named = variant.split(", ")
    changes: dict[str, dict[str, Any]] = {
        "selection": {"selection": True}, "no fine": {"fine": 0.0}, "costly": {"just": -3.0},
        "random punisher": {"random_punisher": True}, "slow decay": {"paces": SLOW_PACES},
        "normalised": {"normalised": True},
    }  # fmt: skip
    changed = {field: value for name in named for field, value in changes[name].items()}
    return Condition(**MECHANISMS[mechanism], **changed, agents=config.agents, rounds=config.rounds)


def society(trial: Trial[PunishmentConfig]) -> Sequence[Measurements]:
    """One condition of the main comparison."""
    config = trial.config
    if trial.variant.endswith("selection") and not config.selection:
        return [{} for _ in trial.seeds]
    return _learned(trial, {trial.variant: condition(config, trial.variant)}, config.episodes)[trial.variant]


def switches(trial: Trial[PunishmentConfig]) -> Mapping[str, Sequence[Measurements]]:
    """Sources and forms of reputation, in TPP with selection."""
    return _variants(trial, {name: MECHANISMS[TPP] | {"selection": True} | change for name, change in SWITCHES.items()})


def opponents(trial: Trial[PunishmentConfig]) -> Mapping[str, Sequence[Measurements]]:
    """Learners among whom one is scripted, in DP; the last agent is the scripted one."""
    learners = ("learner",) * (trial.config.agents - 1)
    roles = {name: {"roles": learners + role if role else ()} for name, role in OPPONENTS.items()}
    return _variants(trial, {name: MECHANISMS[DP] | change for name, change in roles.items()})


def centipede(trial: Trial[PunishmentConfig]) -> Mapping[str, Sequence[Measurements]]:
    """The centipede game under the mechanisms; reputations by punishing only and visible, as released."""
    common = {"centipede": True, "rounds": trial.config.centipede_rounds}
    return _variants(trial, {name: place | {"by_play": False} | common for name, place in PLACES.items()})


def caveman(trial: Trial[PunishmentConfig]) -> Mapping[str, Sequence[Measurements]]:
    """A connected caveman graph: partners and bystanders are neighbours."""
    graph = {"agents": trial.config.cave_agents, "cliques": trial.config.cave_cliques}
    return _variants(trial, {name: place | graph for name, place in CAVES.items()})


def _variants(
    trial: Trial[PunishmentConfig], settings: Mapping[str, dict[str, Any]]
) -> Mapping[str, Sequence[Measurements]]:
    from shoal.games.punishment import Condition

    sized = {"agents": trial.config.agents, "rounds": trial.config.rounds}
    conditions = {name: Condition(**(sized | given)) for name, given in settings.items()}
    return _learned(trial, conditions, trial.config.side_episodes)


def _learned(
    trial: Trial[PunishmentConfig], conditions: Mapping[str, Condition], episodes: int
) -> Mapping[str, Sequence[Measurements]]:
    from shoal.games.punishment_learning import train_societies

    # The same luck in every experiment, so that conditions of two of them may be compared.
    seeds = [derive(trial.root, "society", seed) for seed in trial.seeds]
    histories = train_societies(conditions, episodes, seeds)
    return {name: [_told(history, k) for k in range(len(seeds))] for name, history in histories.items()}


def _told(history: History, seed: int) -> Measurements:
    """Measurements of one society."""
    course = {name: values[seed] for name, values in history.course.items()}
    good, reward = course["cooperation"], course["reward"]
    last = max(1, len(good) // 10)
    agents = course["cooperation of agents"][-last:]
    told: dict[str, Any] = {
        "cooperation": good[-last:].mean(), "cooperation, whole run": good.mean(),
        "final reward": reward[-last:].mean(), "total reward": reward.sum(), "episodes to 0.8": _reached(good),
        "spread over agents": np.nanmean(agents, 0).std(), "largest reputation": course["largest reputation"][-1],
        "partners cooperated": np.nanmean(course["partners cooperated"][-last:]),
        "cooperation without exploration": history.quiet["cooperation"][seed].mean(),
        "reward without exploration": history.quiet["reward"][seed].mean(),
        "cooperation by bin": _binned(good), "reward by bin": _binned(reward),
    }  # fmt: skip
    if "punished" in course:
        told |= _punishing(course, last, history.policy[seed] if history.policy is not None else None)
    return told


def _punishing(course: Mapping[str, Any], last: int, policy: Any) -> dict[str, Any]:
    """What punishing was like: its justice, its cost, and the greedy policies behind it."""
    early = max(1, round(EARLY * len(course["punished"])))
    quiet = course["reward without chance punishments"]
    expected = 1 - course["cooperation"][:early].mean()
    told = {
        "punished": course["punished"][-last:].mean(), "just, early": np.nanmean(course["just"][:early]),
        "just above chance, early": np.nanmean(course["just"][:early]) - expected,
        "final reward without chance punishments": quiet[-last:].mean(),
        "cost of chance punishments": (quiet - course["reward"]).sum(),
    }  # fmt: skip
    for name in ("just", "partners punished", "partners punished justly"):
        if np.isfinite(course[name][-last:]).any():
            told[name] = np.nanmean(course[name][-last:])
    if policy is not None:
        told["greedy justice"] = (policy == np.array([0.0, 1.0])[:, None]).mean()
    return told


def _reached(course: Any) -> float:
    """First episode by which the mean of ``WINDOW`` episodes is ``REACHED``, or the number of episodes."""
    means = np.convolve(course, np.full(WINDOW, 1 / WINDOW), "valid")
    found = np.flatnonzero(means >= REACHED)
    return float(found[0] + WINDOW if found.size else len(course))


def _binned(course: Any) -> list[float]:
    return [float(np.mean(part)) for part in np.array_split(course, min(BINS, len(course)))]


async def episode(trial: Trial[PunishmentConfig]) -> Measurements:
    """The run's language model plays one meeting with itself, or with a scripted opponent."""
    from shoal.games.playing import play_match
    from shoal.games.punishment_game import PunishmentGame, scripted_seat
    from shoal.games.seats.language import LanguageSeat

    game = PunishmentGame(rounds=trial.config.model_rounds)
    me = LanguageSeat(trial.need_model())
    other = me if trial.variant == ITSELF else scripted_seat(trial.variant)
    match = await play_match(game, [me, other], trial.derive("match"), trial.trace)
    mine = [t for t in match.moves if t.player == 0]
    plays = [t.action == game.names[0] for t in mine if t.action in game.names]
    punished = [t.action == game.answers[1] for t in mine if t.action in game.answers]
    return {
        "cooperation": float(np.mean(plays)), "punished": float(np.mean(punished)), "payoff": match.payoffs[0],
        "unread": float(np.mean([bool(t.failures) for t in mine])),
    }  # fmt: skip


Checks = Callable[[Results], list[Check]]
MAIN = "society"


def _measured(results: Results, *variants: str, metric: str = "cooperation") -> bool:
    return all(results.has(MAIN, v, metric) for v in variants)


def _apart(variants: Sequence[str], control: str) -> Checks:
    """95% intervals of the final share of C do not overlap."""

    def checks(results: Results) -> list[Check]:
        if not _measured(results, control, *variants):
            return []
        base = results.mean(MAIN, control, "cooperation")
        found = [(v, results.mean(MAIN, v, "cooperation")) for v in variants]
        return [
            Check(f"cooperation: lower end of {v} - upper end of {control}", exact(e.low - base.high, e.n), above=0.0)
            for v, e in found
        ]

    return checks


def _gap(one: str, two: str, metric: str, **region: Any) -> Checks:
    """Paired difference in the main comparison."""

    def checks(results: Results) -> list[Check]:
        if not _measured(results, one, two, metric=metric):
            return []
        return [Check(f"{metric}: {one} - {two}", results.difference(MAIN, one, two, metric), **region)]

    return checks


def _level(variants: Sequence[str], metric: str, experiment: str = MAIN, **region: Any) -> Checks:
    def checks(results: Results) -> list[Check]:
        found = [(v, results.mean(experiment, v, metric)) for v in variants if results.has(experiment, v, metric)]
        return [Check(f"{metric}: {v}", estimate, **region) for v, estimate in found]

    return checks


def _within(variants: Sequence[str], one: str, two: str, **region: Any) -> Checks:
    """One measurement less another of the same society."""

    def checks(results: Results) -> list[Check]:
        pairs = [(v, results.values(MAIN, v, one), results.values(MAIN, v, two)) for v in variants]
        return [Check(f"{v}: {one} - {two}", paired_difference(a, b), **region) for v, a, b in pairs if a.size]

    return checks


def _all(*parts: Checks) -> Checks:
    return lambda results: [check for part in parts for check in part(results)]


def no_side(config: PunishmentConfig) -> str | None:
    """Why the smaller experiments are left out, if they are."""
    return None if config.side_episodes else "left out at this size: ask with --set side_episodes=100"


def no_model(config: PunishmentConfig) -> str | None:
    """Why no language model plays, if none does."""
    return None if config.model_episode else "one episode with a language model: ask with --set model_episode=true"


def plots(results: Results) -> dict[str, Figure]:
    """Courses of cooperation and reward, final figures, and what chance punishments cost."""
    from shoal.runs.plots import bars, new_figure

    figures: dict[str, Figure] = {}
    if results.has(MAIN):
        names = tuple(MECHANISMS)
        figures["courses"], axes = new_figure(2, 2, 4.8, 3.0)
        for k, metric in enumerate(("cooperation", "reward")):
            _courses(axes[k], results, names, metric, "drawn partners")
            _courses(axes[2 + k], results, tuple(SELECTED.values()), metric, "chosen partners")
        figures["final"], axes = new_figure(2, 1, 5.4, 6.4)
        bars(axes[0], results, MAIN, "cooperation")
        bars(axes[1], results, MAIN, "final reward")
        shown = [v for v in results.variants(MAIN) if results.has(MAIN, v, "cost of chance punishments")]
        if shown:
            figures["exploration"], axes = new_figure(2, 1, 5.4, 5.0)
            bars(axes[0], results, MAIN, "final reward without chance punishments", shown)
            bars(axes[1], results, MAIN, "reward without exploration", shown)
    for name in ("switches", "opponents", "centipede", "caveman"):
        if results.has(name):
            figures[name], axes = new_figure(2, 1, 5.0, 2.6)
            bars(axes[0], results, name, "cooperation")
            bars(axes[1], results, name, "final reward")
    return figures


def _courses(ax: Any, results: Results, variants: Sequence[str], metric: str, title: str) -> None:
    """Mean course of each variant, with its 95% interval as a band."""
    for variant in variants:
        items, seeds = results.items(MAIN, variant, f"{metric} by bin")
        if not items.size:
            continue
        runs = items.reshape(np.unique(seeds).size, -1)
        middle, half = runs.mean(0), 1.96 * runs.std(0) / np.sqrt(len(runs))
        x = (np.arange(middle.size) + 0.5) / middle.size
        (line,) = ax.plot(x, middle, label=variant, linewidth=1.5)
        ax.fill_between(x, middle - half, middle + half, color=line.get_color(), alpha=0.2, linewidth=0)
    ax.set(xlabel="part of the run", ylabel=metric)
    ax.set_title(title, fontsize=9, loc="left")
    if ax.lines:
        ax.legend(fontsize=6)


_ORDER = "The paper's ordering."
_SIDE = {"quick": 2, "standard": 5, "full": 20}
_FULL_MIX = SELECTED[BOTH]
_OTHERS = (*MECHANISMS, *(v for k, v in SELECTED.items() if k != BOTH))

# fmt: off
EXPERIMENTS = (
    Experiment(MAIN, society, (*MECHANISMS, *SELECTED.values(), *ABLATIONS, *SLOW.values()), Evidence.TRAINED,
               vectorised=True),
    Experiment("switches", switches, tuple(SWITCHES), Evidence.TRAINED, _SIDE, joint=True, vectorised=True,
               skip=no_side),
    Experiment("opponents", opponents, tuple(OPPONENTS), Evidence.TRAINED, _SIDE, joint=True, vectorised=True,
               skip=no_side),
    Experiment("centipede", centipede, tuple(PLACES), Evidence.TRAINED, _SIDE, joint=True, vectorised=True,
               skip=no_side),
    Experiment("caveman", caveman, tuple(CAVES), Evidence.TRAINED, _SIDE, joint=True, vectorised=True, skip=no_side),
    Experiment("episode", episode, (ITSELF, "always-defect", "tit-for-tat", "just-punisher"), model=True,
               seeds={"quick": 1, "standard": 2, "full": 5}, skip=no_model),
)
CLAIMS = (
    Claim("cooperation", "With DP, TPP and DP+TPP more cooperate in the end than without punishment; intervals apart",
          MAIN, _apart(PUNISHED, NONE)),
    Claim("reward-dp-tpp", "Total reward over the whole run: DP above TPP", MAIN,
          _gap(DP, TPP, "total reward", above=0.0)),
    Claim("reward-tpp-both", "Total reward over the whole run: TPP above DP+TPP", MAIN,
          _gap(TPP, BOTH, "total reward", above=0.0)),
    Claim("justice", "Early punishments are just more often than random ones would be", MAIN,
          _level(PUNISHED, "just above chance, early", above=0.0)),
    Claim("greedy-justice", "Without exploration punishers decide justly in at least 90% of states", MAIN,
          _level(PUNISHED, "greedy justice", above=0.9)),
    Claim("no-fine", "Ablation, a victim loses nothing: no more cooperation than without punishment", MAIN,
          _all(*(_gap(v, NONE, "cooperation", below=NO_MORE) for v in FINELESS.values())),
          "At 200 episodes it fails: raw reputations freeze some players in cooperation for a while, even so."),
    Claim("no-fine-normalised", "The same where players see normalised reputations, against reputations alone", MAIN,
          _all(*(_gap(v, SHOWN, "cooperation", below=NO_MORE) for v in BOUNDED.values())),
          "Added after the ablation above came out: a control that differs in the fine only."),
    Claim("random-punisher", "Ablation, punishers flip coins: no more cooperation than without punishment", MAIN,
          _all(*(_gap(v, NONE, "cooperation", below=NO_MORE) for v in RANDOM.values()))),
    Claim("costly", "Where just punishment costs 3, punishing still brings more cooperation than the control", MAIN,
          _all(*(_gap(v, NONE, "cooperation", above=0.0) for v in COSTLY.values())),
          "The real test: in the default rules punishing a defector is paid."),
    Claim("tpp-cooperates", "TPP ends with more cooperation than DP", MAIN,
          _gap(TPP, DP, "cooperation", above=0.0), _ORDER),
    Claim("full-mix-cooperates", "DP+TPP with selection ends with more cooperation than all others", MAIN,
          _all(*(_gap(_FULL_MIX, v, "cooperation", above=0.0) for v in _OTHERS)), _ORDER),
    Claim("full-mix-fastest", "DP+TPP with selection reaches 80% cooperation before all others", MAIN,
          _all(*(_gap(_FULL_MIX, v, "episodes to 0.8", below=0.0) for v in _OTHERS)), _ORDER),
    Claim("chance-costs", "With punishments made by chance taken out of the books, DP+TPP earns more than DP", MAIN,
          lambda results: _chance(results)),
    Claim("slow-decay", "With slow decay final reward rises in every mechanism", MAIN,
          _all(*(_gap(SLOW[v], v, "final reward", above=0.0) for v in PUNISHED))),
    Claim("slow-order", "With slow decay, too, TPP ends with more cooperation than DP", MAIN,
          _gap(SLOW[TPP], SLOW[DP], "cooperation", above=0.0), _ORDER),
)
# fmt: on


def _chance(results: Results) -> list[Check]:
    """Reward with chance punishments taken out, DP+TPP less DP, over the whole run."""
    parts = {
        v: [results.values(MAIN, v, m) for m in ("total reward", "cost of chance punishments")] for v in (DP, BOTH)
    }
    if not all(p.size for pair in parts.values() for p in pair):
        return []
    found = paired_difference(sum(parts[BOTH]), sum(parts[DP]))
    return [Check("total reward without chance punishments: DP+TPP - DP", found, above=0.0)]


STUDY = Study(
    name="direct-punishment",
    title="Direct punishment: who should punish among learners",
    paper="arXiv 2301.08278 (2023)",
    kind="marl",
    engine="games",
    summary=(
        "Independent deep Q-learners play repeated dilemmas; victims, bystanders or both may punish, and partners may "
        "be chosen by reputation. Tested: which mixture brings cooperation and reward, what exploration costs, and "
        "whether anything is left when the fine is 0, punishing is random, or punishing a defector costs."
    ),
    mechanism=flows(
        "reputation -> partner selection -> round of the dilemma -> victim or bystander -(may punish)-> punishment",
        "punishment -> rewards -> Q-learners -(select, play, punish)-> partner selection",
        "round of the dilemma -> rewards",
        "round of the dilemma -(by play)-> reputation",
        "punishment -(by justice)-> reputation",
    ),
    config=PunishmentConfig,
    experiments=EXPERIMENTS,
    claims=CLAIMS,
    sizes={
        "quick": {"episodes": 20, "side_episodes": 0, "selection": False},
        "standard": {"episodes": 1500},
        "full": {"episodes": 2000, "side_episodes": 1500},
    },
    seeds={"quick": 2, "standard": 20, "full": 20},
    vocabulary=Vocabulary(
        ("peers",), ("coopetition",), ("decentralized",), ("model-based",), ("indirect reciprocity",)
    ),
    plots=plots,
)
