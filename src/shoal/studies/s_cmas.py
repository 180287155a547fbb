"""S-CMAS: causal layers under a leader and a follower (arXiv 2511.06934) as experiments that can fail.

A player may follow its instinct (L1), override it (L2, ordinary game theory) or look at it and transform it (L3). Where
all move at once this can beat Nash, because instincts know of hidden circumstances (report R-125). S-CMAS asks whether
the advantage survives between a leader and a follower who sees what the leader does; its answer is no: the sequential
causal Nash equilibrium (S-CNE; not the other concepts that "CNE" abbreviates) brought no welfare over Stackelberg.

The comparator decides the answer, so pure and mixed (strong) Stackelberg stand beside every result. Welfare is the sum
of payoffs at the leader's optimum, not the best sum; the leader's gain and the welfare's may differ in sign.

Our reading. The details of the sequence are not published beyond a summary. Here nature draws a circumstance u, the
leader chooses a layer and a strategy in public, its action is realised and seen, the follower updates by Bayes' rule
(off the path: the prior) and answers from any layer; its ties go to the leader, the leader's to welfare. Games are
random: payoffs uniform on [0, 1], chances of circumstances from Dirichlet(1), instincts at random. Sizes, laws and
epsilons are ours, because the paper gives none.

Evidence. ``worked`` to ``stages`` are exact solutions of random games; games are the units of the intervals. Payoffs
that depend on u are outside the paper's negative claim: what is found there (``extension``, ``signalling``,
``simultaneous``) is **our extension**. ``learners`` are independent, myopic Q-learners on the causal dilemma of our
worked example (R-125's own gives only P(U = 0) = 0.6), at the rates 0.1 and 0.01: at 0.1 learners
that choose actions already earn 2.2 or more, because values of actions that are no longer tried are stale and the pair
moves in cycles; the claim reads the slow ones, which come near Nash. ``follower`` is a synthetic follower with a known
epsilon. ``language`` asks a model: its instinct is its first short answer, L2 a deliberate one, L3 an answer after it
was shown its instinct.

Thresholds are the page's: 1e-9, exactly 1.0 and 2.2, intervals beyond 0. Ours: the mechanism seen without the action
beats pure Stackelberg in more than 1% of games (the page's own check: 65 of 500, with laws it does not give), the
extension helps the leader in at least a third (48%), a known epsilon is found to within 0.05.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from shoal.runs.checks import Checks, ItemTable, all_of, at_most, by_item, gain, gaps, same, share
from shoal.runs.mechanism import flows
from shoal.runs.results import Results
from shoal.runs.study import Claim, Experiment, Study, StudyConfig, Trial, Vocabulary
from shoal.stats import Check, Estimate, Evidence, mean

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from shoal.games.causal import CausalGame
    from shoal.games.causal_sequential import Sees
    from shoal.games.normal_form import NormalForm
    from shoal.games.seats.layers import LayerAnswer
    from shoal.models.interface import Model
    from shoal.tasks.problem import Problem

SIZES = (2, 3, 4)
EPSILONS = (0.0, 0.05, 0.1, 0.2, 0.4, 0.8)
DEPTHS, RATES = (2, 3, 4, 5), (0.1, 0.01)

S_CNE, PURE, MIXED = "S-CNE", "pure Stackelberg", "mixed Stackelberg"
MECHANISM, L1_ONLY, L3_ONLY = "S-CNE, action unseen", "leader confined to L1", "leader confined to L3"
SAME_TIES, UNKIND = "pure Stackelberg, same ties", "pure Stackelberg, unkind ties"
NASH, CNE = "Nash (L2)", "CNE"
AVERAGED, INDEPENDENT = "CNE, averaged payoffs", "CNE, averaged, independent instincts"
FOLLOW, EXPLOITED, FLIPPED, DEVIATE = "L1 against L1", "L1, wrong instincts", "CNE, wrong instincts", "L2 against L1"
OWN, ANY, JOINT = "own best reply", "random instinct", "jointly best reply"
LEADER_2, SCN_AVERAGED = "leader L2, follower any", "S-CNE, averaged payoffs"
BEST_SIGNAL, WORST_SIGNAL = "signalling, best", "signalling, worst"
ALL_LAYERS, ACTIONS_ONLY = "all layers", "L2 only"
BLIND, REFLECTING = "Q-learners, L2", "Q-learners, L3"
INSTINCT, DELIBERATE, REFLECTED, CHANCE = "instinct (L1)", "deliberate (L2)", "reflected (L3)", "random answer"
SATISFICING, AGAINST = "satisficing follower, fitted", "against the model"
BOTH = (PURE, MIXED)
ByVariant = dict[str, dict[str, Any]]


class SCmasConfig(StudyConfig):
    """Settings of the S-CMAS study."""

    games: int = Field(600, ge=3, le=100_000, description="games of the sweep, a third for each of 2, 3 and 4 actions")
    satisficing_games: int = Field(500, ge=2, le=100_000, description="3x3 games with a satisficing follower")
    mechanism_games: int = Field(500, ge=2, le=100_000, description="2x2 games in which the action is not seen")
    extension_games: int = Field(400, ge=2, le=100_000, description="2x2 games whose payoffs depend on circumstances")
    simultaneous_games: int = Field(300, ge=2, le=100_000, description="2x2 games in which both move at once")
    staged_games: int = Field(40, ge=2, le=10_000, description="games for each number of stages")
    circumstances: int = Field(3, ge=1, le=4, description="hidden circumstances in sweep and satisficing")
    rounds: int = Field(20_000, ge=20, le=10_000_000, description="rounds of the Q-learners")
    learner_seeds: int = Field(64, ge=2, le=10_000, description="pairs of Q-learners")
    follower_games: int = Field(400, ge=10, le=100_000, description="games that a synthetic follower answers, per seed")
    tremble: float = Field(0.05, ge=0, le=0.5, description="chance that the synthetic follower does the other thing")
    language_games: int = Field(12, ge=2, le=10_000, description="2x2 games that the language model answers")
    temperature: float = Field(0.0, ge=0, le=2, description="sampling temperature of the language model")
    max_tokens: int = Field(48, ge=8, le=4096, description="longest deliberate reply")


def _comparators(game: NormalForm) -> dict[str, NDArray[np.float64]]:
    """Payoffs under pure and under mixed commitment, followers being kind."""
    from shoal.games.solvers.stackelberg import mixed_stackelberg, pure_stackelberg

    return {PURE: pure_stackelberg(game).payoffs, MIXED: mixed_stackelberg(game).payoffs}


def _pays(payoffs: NDArray[np.float64]) -> dict[str, float]:
    return {"leader": payoffs[0], "follower": payoffs[1], "welfare": payoffs[0] + payoffs[1]}


def _compare(table: ItemTable, game: NormalForm) -> None:
    for name, payoffs in _comparators(game).items():
        table.add(name, **_pays(payoffs))


def _checked(table: ItemTable, variant: str, game: CausalGame, found: Any, sees: Sees = "action") -> None:
    from shoal.games.causal_deviations import sequential_deviations

    leader, follower = sequential_deviations(game, found, sees)
    table.add(variant, **_pays(found.payoffs), deviation=max(leader, follower))


def worked(trial: Trial[SCmasConfig]) -> ByVariant:
    """(A) The worked dilemma: Nash 1, causal 2.2, the ablation with averaged payoffs, and instincts that mislead."""
    from shoal.games.causal import causal_equilibrium, causal_game
    from shoal.games.named.commitments import causal_dilemma
    from shoal.games.solvers.many_players import support_enumeration

    game = cast("CausalGame", causal_dilemma())
    wrong = causal_game([0.6, 0.4], [[0, 1], [0, 1]], game.table)
    right, fooled, averaged = (causal_equilibrium(g) for g in (game, wrong, game.averaged()))
    nash = [game.classical.expected(p) for p in support_enumeration(game.classical)]
    payoffs = {
        NASH: max(nash, key=lambda p: float(p.sum())), CNE: right.payoffs, FOLLOW: right.values[0, 0],
        DEVIATE: right.values[1, 0], AVERAGED: averaged.payoffs, EXPLOITED: np.array([fooled.values[0, 1, 0]] * 2),
        FLIPPED: fooled.payoffs,
    }  # fmt: skip
    return {name: {"row": float(p[0]), "welfare": float(p.sum())} for name, p in payoffs.items()}


def simultaneous(trial: Trial[SCmasConfig]) -> ByVariant:
    """Random games in which both move at once (our extension of (A)): CNE beside the best Nash equilibrium."""
    from shoal.games.causal import causal_equilibrium
    from shoal.games.causal_deviations import simultaneous_deviations
    from shoal.games.causal_instincts import random_causal_game
    from shoal.games.solvers.many_players import support_enumeration

    table, rng = ItemTable(), trial.rng("games")
    for _ in range(trial.config.simultaneous_games):
        game = random_causal_game(rng, 2, (2, 2), free=False)
        plain = [game.classical.expected(p) for p in support_enumeration(game.classical)]
        table.add(NASH, **_pays(max(plain, key=lambda p: float(p.sum()))))
        alone = replace(game.averaged(), instincts=np.array([[0, 1], [0, 0]]))  # one instinct moves, the other does not
        for name, variant in ((CNE, game), (AVERAGED, game.averaged()), (INDEPENDENT, alone)):
            found = causal_equilibrium(variant)
            inside, beyond = simultaneous_deviations(variant, found)
            table.add(name, **_pays(found.payoffs), deviation=inside, deviation_beyond=beyond)
    return table.rows


def sweep(trial: Trial[SCmasConfig]) -> ByVariant:
    """(B) Payoffs free of the circumstance: S-CNE, its ablations, and both comparators."""
    from shoal.games.causal_instincts import random_causal_game
    from shoal.games.causal_sequential import sequential_equilibrium

    config, table, rng = trial.config, ItemTable(), trial.rng("games")
    for k in range(config.games):
        size = SIZES[k % len(SIZES)]
        game = random_causal_game(rng, config.circumstances, (size, size), free=True)
        _checked(table, S_CNE, game, sequential_equilibrium(game))
        for name, layer in ((L1_ONLY, 1), (L3_ONLY, 3)):
            table.add(name, **_pays(sequential_equilibrium(game, leader_layers=(layer,)).payoffs))
        _compare(table, game.classical)
    return table.rows


def mechanism(trial: Trial[SCmasConfig]) -> ByVariant:
    """The follower sees the strategy but not the action: L1 and L3 are then mixed commitments."""
    from shoal.games.causal_instincts import random_causal_game
    from shoal.games.causal_sequential import sequential_equilibrium

    table, rng = ItemTable(), trial.rng("games")
    for _ in range(trial.config.mechanism_games):
        game = random_causal_game(rng, 3, (2, 2), free=True, informed=(True, False))
        _checked(table, MECHANISM, game, sequential_equilibrium(game, sees="mechanism"), "mechanism")
        _checked(table, S_CNE, game, sequential_equilibrium(game))
        _compare(table, game.classical)
    return table.rows


def ties(trial: Trial[SCmasConfig]) -> ByVariant:
    """Games of small whole payoffs, full of ties: the same rule in both solvers, and another in one of them."""
    from shoal.games.causal import causal_game
    from shoal.games.causal_deviations import table_stackelberg
    from shoal.games.causal_instincts import random_causal_game
    from shoal.games.causal_sequential import sequential_equilibrium
    from shoal.games.solvers.stackelberg import pure_stackelberg

    table, rng = ItemTable(), trial.rng("games")
    for _ in range(trial.config.mechanism_games):
        game = random_causal_game(rng, 2, (2, 2), free=True)
        payoffs = np.broadcast_to(rng.integers(0, 3, (2, 2, 2)), (2, 2, 2, 2)).astype(float)
        game = causal_game(game.chances, game.instincts, payoffs)
        _checked(table, S_CNE, game, sequential_equilibrium(game))
        table.add(SAME_TIES, **_pays(table_stackelberg(payoffs[0])))
        _compare(table, game.classical)
        table.add(UNKIND, **_pays(pure_stackelberg(game.classical, kind=False).payoffs))
    return table.rows


def satisficing(trial: Trial[SCmasConfig]) -> ByVariant:
    """(C) A follower keeps its instinct where that costs it at most epsilon."""
    from shoal.games.causal_instincts import habits, random_causal_game
    from shoal.games.causal_sequential import sequential_equilibrium

    config, table, rng = trial.config, ItemTable(), trial.rng("games")
    for _ in range(config.satisficing_games):
        game = random_causal_game(rng, config.circumstances, (3, 3), free=True)
        for name, payoffs in _comparators(game.classical).items():
            for epsilon in EPSILONS:
                table.add(name, **_at(epsilon, payoffs))
        for name, habit in habits(game.classical, rng).items():
            for epsilon in EPSILONS:
                found = sequential_equilibrium(game, epsilon=epsilon, instinct=habit)
                table.add(name, **_at(epsilon, found.payoffs))
    return table.rows


def _at(epsilon: float, payoffs: Any) -> dict[str, float]:
    return {f"welfare at {epsilon:g}": float(payoffs.sum()), f"leader at {epsilon:g}": float(payoffs[0])}


def extension(trial: Trial[SCmasConfig]) -> ByVariant:
    """(D) Our extension: payoffs depend on the circumstance, which the leader's instinct reveals."""
    from shoal.games.causal_instincts import random_causal_game
    from shoal.games.causal_sequential import sequential_equilibrium

    table, rng = ItemTable(), trial.rng("games")
    for _ in range(trial.config.extension_games):
        game = random_causal_game(rng, 2, (2, 2), free=False, informed=(True, False))
        _checked(table, S_CNE, game, sequential_equilibrium(game))
        _checked(table, SCN_AVERAGED, game.averaged(), sequential_equilibrium(game.averaged()))
        hidden = sequential_equilibrium(game, sees="mechanism")
        _checked(table, MECHANISM, game, hidden, "mechanism")
        table.add(L1_ONLY, **_pays(sequential_equilibrium(game, leader_layers=(1,)).payoffs))
        table.add(LEADER_2, **_pays(sequential_equilibrium(game, leader_layers=(2,)).payoffs))
        _compare(table, game.classical)
    return table.rows


def signalling(trial: Trial[SCmasConfig]) -> ByVariant:
    """The layer is private and the action is the signal: all pooling and separating equilibria (our extension)."""
    from shoal.games.causal_instincts import random_causal_game
    from shoal.games.causal_sequential import sequential_equilibrium, signalling_equilibria

    table, rng = ItemTable(), trial.rng("games")
    for _ in range(trial.config.extension_games):
        game = random_causal_game(rng, 2, (2, 2), free=False, informed=(True, False))
        found = signalling_equilibria(game)
        kinds = [e.kind for e in found]
        shares = {"pooling": float("pooling" in kinds), "separating": float("separating" in kinds)}
        table.add(BEST_SIGNAL, exists=float(bool(found)), count=len(found), **shares)
        if not found:  # no pure equilibrium: nothing to compare
            continue
        public, by_leader = sequential_equilibrium(game).payoffs, sorted(found, key=lambda e: float(e.payoffs[0]))
        for name, one in ((BEST_SIGNAL, by_leader[-1]), (WORST_SIGNAL, by_leader[0])):
            table.add(name, **_pays(one.payoffs), below_public=float(public[0] - one.payoffs[0]))
        table.add(S_CNE, **_pays(public))
        _compare(table, game.classical)
    return table.rows


def stages(trial: Trial[SCmasConfig]) -> ByVariant:
    """More than two moves, leader and follower in turn, payoffs free of the circumstance: all layers beside L2 only."""
    from shoal.games.causal_instincts import random_causal_game
    from shoal.games.causal_stages import stage_tree, staged_equilibrium
    from shoal.games.solvers.backward_induction import subgame_perfect

    table = ItemTable()
    for depth in DEPTHS:
        rng, owners = trial.rng("games", depth), [t % 2 for t in range(depth)]
        for _ in range(trial.config.staged_games):
            game = random_causal_game(rng, 2, (2,) * depth, free=True)
            for name, layers in ((ALL_LAYERS, (1, 2, 3)), (ACTIONS_ONLY, (2,))):
                found = staged_equilibrium(game, owners, layers)
                metrics = {f"welfare, {depth}": float(found.payoffs.sum()), f"leader, {depth}": float(found.payoffs[0])}
                table.add(
                    name, **metrics, **{f"histories, {depth}": found.histories, f"visited, {depth}": found.visited}
                )
                if depth <= 4:
                    other = subgame_perfect(stage_tree(game, owners, layers)).payoffs
                    table.add(name, **{f"off the tree, {depth}": float(np.abs(other - found.payoffs).max())})
    return table.rows


def learners(trial: Trial[SCmasConfig]) -> ByVariant:
    """Independent Q-learners at the causal dilemma: choosing actions only, or maps from instincts to actions."""
    from shoal.games.learning import learn
    from shoal.games.named.commitments import causal_dilemma

    config, measured, game = trial.config, ByVariant(), cast("CausalGame", causal_dilemma())
    for name, layer in ((BLIND, 2), (REFLECTING, 3)):
        table, seed = game.layered(((layer,), (layer,))), trial.derive("luck") % 2**31
        learned = learn(table, rounds=config.rounds, seeds=config.learner_seeds, rate=RATES, discount=0.0, seed=seed)
        for rate, payoffs in zip(RATES, learned.payoffs[..., -1], strict=True):
            measured[f"{name}, rate {rate:g}"] = {"row": payoffs[:, 0], "welfare": payoffs.sum(axis=1)}
    return measured


def follower(trial: Trial[SCmasConfig]) -> ByVariant:
    """A synthetic follower with a known epsilon that errs now and then; epsilon is estimated from what it does."""
    from shoal.games.causal_instincts import fitted_epsilon

    config, measured = trial.config, ByVariant()
    for epsilon in EPSILONS[:-1]:
        rng = trial.rng("follower")
        pays = rng.random((config.follower_games, 2))
        costs = pays.max(axis=1) - pays[np.arange(len(pays)), rng.integers(0, 2, len(pays))]
        slips = rng.random(len(pays)) < config.tremble
        found = fitted_epsilon(costs, (costs <= epsilon) ^ slips)
        measured[f"epsilon {epsilon:g}"] = {"estimate": found, "error": abs(found - epsilon)}
    return measured


async def language(trial: Trial[SCmasConfig]) -> ByVariant:
    """A language model as follower: what instinct, thought and reflection cost it, and what a leader makes of it."""
    from shoal.games.causal import causal_game
    from shoal.games.causal_instincts import fitted_epsilon
    from shoal.games.causal_sequential import sequential_equilibrium
    from shoal.games.seats.layers import choice_problem
    from shoal.tasks.problem import answer_key

    config, table = trial.config, ItemTable()
    rng = trial.rng("games")
    games = [np.round(rng.random((2, 2, 2)), 1) for _ in range(config.language_games)]
    places = [(k, x) for k in range(len(games)) for x in range(2)]
    problems = [choice_problem(f"game-{k}-{x}", games[k][x]) for k, x in places]
    model = trial.need_model(answer_key(problems))
    asked = await asyncio.gather(*(_answers(trial, model, problem) for problem in problems))
    answers = [asked[2 * k : 2 * k + 2] for k in range(len(games))]
    costs, kept = [], []
    for pays, three in zip(games, answers, strict=True):
        for x in range(2):
            worst = pays[x, :, 1].max() - pays[x, :, 1]
            for name, answer in zip((INSTINCT, DELIBERATE, REFLECTED), three[x], strict=True):
                table.add(name, cost=worst[answer.action], best=worst[answer.action] < 1e-9, unread=answer.unread)
            table.add(CHANCE, cost=worst.mean(), best=(worst < 1e-9).mean())
            costs.append(worst[three[x][0].action])
            kept.append(three[x][2].action == three[x][0].action)
    epsilon = fitted_epsilon(np.array(costs), np.array(kept))
    for pays, three in zip(games, answers, strict=True):
        game = causal_game([1.0], [[0], [0]], pays[None])
        habit = np.eye(2)[[three[x][0].action for x in range(2)]]
        found = sequential_equilibrium(game, epsilon=epsilon, instinct=habit)
        table.add(SATISFICING, **_pays(found.payoffs), epsilon=epsilon)
        replies = np.array([pays[x, three[x][2].action] for x in range(2)])
        table.add(AGAINST, **_pays(replies[int(replies[:, 0].argmax())]))
        _compare(table, game.classical)
    return table.rows


async def _answers(trial: Trial[SCmasConfig], model: Model, problem: Problem) -> list[LayerAnswer]:
    """The model's three answers to one problem."""
    from shoal.games.seats.layers import layer_answers
    from shoal.teams.agent import Agent
    from shoal.teams.session import Session

    config, question = trial.config, problem.question
    seed = trial.derive("session", question.id)
    session = Session(model, question, trial.trace, seed=seed, temperature=config.temperature)

    async def ask(prompt: str, schema: Any) -> str:
        longest = 16 if schema else config.max_tokens
        return (await session.ask(Agent("follower"), prompt, max_tokens=longest, schema=schema)).text

    return await layer_answers(ask, question.text, question.options, trial.rng("unread", question.id))


# claims


def _equals(variant: str, value: float) -> Checks:
    def checks(results: Results) -> list[Check]:
        found = np.abs(by_item(results, "worked", variant, "row") - value)
        return at_most(found, f"|row player, {variant} - {value:g}|", 1e-12, needs=1)

    return checks


def _deviations(results: Results) -> list[Check]:
    checks: list[Check] = []
    for experiment in results.experiments():
        for variant in results.variants(experiment):
            found = by_item(results, experiment, variant, "deviation")
            checks += at_most(found, f"{experiment}, {variant}: best deviation")
    return checks if results.has("sweep") else []


def _never_below(results: Results) -> list[Check]:
    pairs = [("sweep", S_CNE, PURE), ("mechanism", MECHANISM, PURE), ("ties", S_CNE, PURE)]
    pairs.append(("extension", S_CNE, LEADER_2))
    parts = [at_most(-gaps(results, e, a, b, "leader"), f"{e}: most that {a} falls below {b}") for e, a, b in pairs]
    return [check for part in parts for check in part]


def _habit(kind: str, epsilons: Sequence[float], **region: Any) -> Checks:
    def checks(results: Results) -> list[Check]:
        metrics = [f"welfare at {e:g}" for e in epsilons]
        pairs = [(m, gaps(results, "satisficing", kind, PURE, m)) for m in metrics]
        if not region:
            return [c for m, g in pairs for c in at_most(np.abs(g), f"{m}: largest |{kind} - {PURE}|")]
        return [Check(f"{m}: {kind} - {PURE}", mean(g), **region) for m, g in pairs if g.size]

    return checks


def _stage_checks(results: Results) -> list[Check]:
    checks = [c for d in DEPTHS for c in same("stages", ALL_LAYERS, ACTIONS_ONLY, f"welfare, {d}")(results)]
    for name, d in ((name, d) for name in (ALL_LAYERS, ACTIONS_ONLY) for d in DEPTHS[:3]):
        found = by_item(results, "stages", name, f"off the tree, {d}")
        checks += at_most(found, f"{name}, {d} stages: distance from backward induction on the tree")
    return checks


def _found_epsilon(results: Results) -> list[Check]:
    errors = {v: results.mean("follower", v, "error") for v in results.variants("follower")}
    return [Check(f"|estimate - truth|, {v}", error, below=0.05) for v, error in errors.items()]


def _cheaper(one: str, two: str) -> Checks:
    def checks(results: Results) -> list[Check]:
        gap = gaps(results, "language", one, two, "cost")
        # The two answers to one game share its payoffs: games are the units.
        games = gap.reshape(-1, 2).mean(axis=1)
        return [Check(f"cost: {one} - {two}", mean(games), below=0.0, needs=10)] if gap.size else []

    return checks


def plots(results: Results) -> dict[str, Figure]:
    """Payoffs beside both comparators; welfare by epsilon; cost of depth; what the model's answers cost."""
    from shoal.runs.plots import bars, new_figure

    figures: dict[str, Figure] = {}
    for name in ("sweep", "mechanism", "extension", "signalling", "language"):
        if results.has(name):
            figures[name], axes = new_figure(2, 1, 5.2, 2.6)
            for ax, metric in zip(axes, ("cost" if name == "language" else "leader", "welfare"), strict=True):
                bars(ax, results, name, metric)
    if results.has("satisficing"):
        figures["satisficing"], axes = new_figure(2, 1)
        for ax, metric in zip(axes, ("welfare", "leader"), strict=True):
            for kind in (OWN, ANY, JOINT, MIXED):
                gains = [mean(gaps(results, "satisficing", kind, PURE, f"{metric} at {e:g}")) for e in EPSILONS]
                ax.errorbar(EPSILONS, [g.value for g in gains], yerr=_reach(gains), marker="o", capsize=2, label=kind)
            ax.axhline(0, color="#444444", linewidth=0.8, linestyle="--")
            ax.set(xlabel="epsilon", ylabel=f"{metric} - pure Stackelberg")
        axes[0].legend(fontsize=7, frameon=False)
    if results.has("stages"):
        figures["stages"], (ax,) = new_figure()
        for name in (ALL_LAYERS, ACTIONS_ONLY):
            for metric, style in (("histories", "o-"), ("visited", "s--")):
                counts = [results.mean("stages", name, f"{metric}, {d}").value for d in DEPTHS]
                ax.plot(DEPTHS, counts, style, markersize=4, label=f"{name}: {metric}")
        ax.set(xlabel="stages", ylabel="count", yscale="log", xticks=DEPTHS)
        ax.legend(fontsize=7, frameon=False)
    return figures


def _reach(estimates: Sequence[Estimate]) -> NDArray[np.float64]:
    return np.abs([[e.value - e.low for e in estimates], [e.high - e.value for e in estimates]])


ONCE = {"quick": 1, "standard": 1, "full": 1}
_OURS = "Our extension: payoffs depend on the circumstance, which the paper's negative claim leaves out."
_WORKED = (NASH, CNE, FOLLOW, DEVIATE, AVERAGED, EXPLOITED, FLIPPED)
_LEARNERS = tuple(f"{name}, rate {rate:g}" for name in (BLIND, REFLECTING) for rate in RATES)
_LANGUAGE = (INSTINCT, DELIBERATE, REFLECTED, CHANCE, SATISFICING, AGAINST, *BOTH)
_SYNTHETIC = tuple(f"epsilon {e:g}" for e in EPSILONS[:-1])


def _experiment(name: str, trial: Any, variants: Sequence[str], **more: Any) -> Experiment[SCmasConfig]:
    return Experiment(name, trial, variants, **{"evidence": Evidence.EXACT, "seeds": ONCE, "joint": True, **more})


# fmt: off
EXPERIMENTS = (
    _experiment("worked", worked, _WORKED),
    _experiment("simultaneous", simultaneous, (NASH, CNE, AVERAGED, INDEPENDENT)),
    _experiment("sweep", sweep, (S_CNE, *BOTH, L1_ONLY, L3_ONLY)),
    _experiment("mechanism", mechanism, (MECHANISM, S_CNE, *BOTH)),
    _experiment("ties", ties, (S_CNE, SAME_TIES, *BOTH, UNKIND)),
    _experiment("satisficing", satisficing, (OWN, ANY, JOINT, *BOTH)),
    _experiment("extension", extension, (S_CNE, *BOTH, LEADER_2, L1_ONLY, MECHANISM, SCN_AVERAGED)),
    _experiment("signalling", signalling, (S_CNE, BEST_SIGNAL, WORST_SIGNAL, *BOTH)),
    _experiment("stages", stages, (ALL_LAYERS, ACTIONS_ONLY)),
    _experiment("learners", learners, _LEARNERS, evidence=Evidence.TRAINED),
    _experiment("follower", follower, _SYNTHETIC, evidence=Evidence.SCRIPTED, seeds=None),
    _experiment("language", language, _LANGUAGE, model=True),
)
CLAIMS = (
    Claim("zero-gain", "The welfare of S-CNE is that of pure Stackelberg, to 1e-9, in at least 200 random games whose "
          "payoffs do not depend on circumstances; nor does the leader gain", "sweep",
          all_of(*(same("sweep", S_CNE, PURE, metric, needs=200) for metric in ("welfare", "leader")))),
    Claim("mixed-is-more", "A mixed commitment is worth more to the leader than S-CNE", "sweep",
          gain("sweep", MIXED, S_CNE, "leader", above=0.0)),
    Claim("instinct-alone-costs", "A leader confined to its instinct (L1) falls below S-CNE", "sweep",
          gain("sweep", S_CNE, L1_ONLY, "leader", above=0.0)),
    Claim("never-below-stackelberg", "The leader never has less than under pure Stackelberg with the same follower",
          "sweep", _never_below),
    Claim("no-deviation", "In every reported game no deviation to any strategy of any layer gains more than 1e-9 "
          "(where both move at once: within the layers of the equilibrium)", "sweep", _deviations),
    Claim("worked-nash", "In the worked dilemma Nash pays exactly 1.0", "worked", _equals(NASH, 1.0)),
    Claim("worked-causal", "There the causal Nash equilibrium pays exactly 2.2, against 1.8 for deviating to an action",
          "worked", all_of(_equals(CNE, 2.2), _equals(FOLLOW, 2.2), _equals(DEVIATE, 1.8))),
    Claim("worked-wrong-instincts", "With the opposite instincts, pure instinct is exploited (0.4) and reflection "
          "brings 2.2 back", "worked", all_of(_equals(EXPLOITED, 0.4), _equals(FLIPPED, 2.2))),
    Claim("averaged-payoffs", "Payoffs averaged over circumstances (ablation) bring the causal equilibrium to Nash",
          "worked", same("worked", AVERAGED, NASH, "row", 1)),
    Claim("causal-over-nash", "When both move at once, causal equilibria beat the best Nash equilibrium on average",
          "simultaneous", gain("simultaneous", CNE, NASH, "welfare", above=0.0), _OURS),
    Claim("averaged-random", "The ablation holds in random games too, to 1e-9",
          "simultaneous", same("simultaneous", AVERAGED, NASH, "welfare"),
          "Instincts that share a circumstance are a correlating device even where payoffs do not depend on it."),
    Claim("averaged-independent", "It holds in random games where only one player's instinct varies",
          "simultaneous", same("simultaneous", INDEPENDENT, NASH, "welfare")),
    Claim("stable-against-all-layers", "No strategy of any layer, used or not, gains against a causal Nash equilibrium",
          "simultaneous", lambda r: at_most(by_item(r, "simultaneous", CNE, "deviation beyond"), "best deviation"),
          "The definition, as summarised, compares whole layers; a reflecting deviator may still gain."),
    Claim("satisficing-aligned", "Instincts that are the follower's own best reply change nothing at any epsilon",
          "satisficing", _habit(OWN, EPSILONS)),
    Claim("satisficing-rational", "With epsilon 0 no instinct changes anything", "satisficing",
          all_of(*(_habit(kind, (0.0,)) for kind in (OWN, ANY, JOINT)))),
    Claim("satisficing-random", "Random instincts cost welfare at epsilon 0.4 and above", "satisficing",
          _habit(ANY, (0.4, 0.8), below=0.0)),
    Claim("satisficing-joint", "Instincts that are good for both bring welfare at epsilon 0.2: the paper's theoretical "
          "example", "satisficing", _habit(JOINT, (0.2,), above=0.0), "Ours: its own experiments found no benefit."),
    Claim("mechanism-beats-pure", "If the action is not seen, L1 and L3 beat pure Stackelberg in some games (over 1%)",
          "mechanism", share("mechanism", MECHANISM, PURE, "leader", 0.01)),
    Claim("mechanism-not-mixed", "They never beat mixed Stackelberg", "mechanism",
          lambda r: at_most(gaps(r, "mechanism", MECHANISM, MIXED, "leader"), "most above mixed Stackelberg")),
    Claim("ties", "Under one rule for ties the gain is zero in games full of ties", "ties",
          all_of(same("ties", S_CNE, SAME_TIES, "welfare"), same("ties", S_CNE, SAME_TIES, "leader"))),
    Claim("ties-mixed-up", "Another rule in the comparator shows a false gain: for the leader where the follower is "
          "unkind, in welfare where an indifferent leader takes its first action", "ties",
          all_of(gain("ties", S_CNE, UNKIND, "leader", above=0.0), gain("ties", S_CNE, PURE, "welfare", above=0.0))),
    Claim("extension-leader", "Where payoffs depend on circumstances that the leader's instinct reveals, layers help "
          "it in at least a third of games", "extension", share("extension", S_CNE, LEADER_2, "leader", 1 / 3), _OURS),
    Claim("extension-welfare", "There they raise welfare on average", "extension",
          gain("extension", S_CNE, LEADER_2, "welfare", above=0.0), _OURS),
    Claim("extension-losers", "In some of these games (over 2%) welfare falls although the leader gains", "extension",
          share("extension", LEADER_2, S_CNE, "welfare", 0.02), _OURS),
    Claim("extension-averaged", "With averaged payoffs (ablation) the gain is zero again", "extension",
          same("extension", SCN_AVERAGED, PURE, "welfare"), _OURS),
    Claim("signalling", "With a private layer no pooling or separating equilibrium gives the leader more than S-CNE",
          "signalling", lambda r: at_most(-by_item(r, "signalling", BEST_SIGNAL, "below public"), "most above"), _OURS),
    Claim("stages", "Zero gain with 2, 3, 4 and 5 moves; the same payoffs by backward induction on the tree", "stages",
          _stage_checks),
    Claim("learners", "Independent Q-learners that reflect on instincts earn more than those that choose actions",
          "learners", gain("learners", f"{REFLECTING}, rate 0.01", f"{BLIND}, rate 0.01", "row", above=0.0),
          "At rate 0.01; at 0.1 learners of actions cooperate by accident: see the header."),
    Claim("known-epsilon", "The epsilon of a synthetic follower is found from what its answers cost, to within 0.05",
          "follower", _found_epsilon),
    Claim("model-thinks", "A model's deliberate answers (L2) cost it less than its instincts (L1)", "language",
          _cheaper(DELIBERATE, INSTINCT)),
    Claim("model-reflects", "Answers after seeing its own instinct (L3) cost it less than its instincts", "language",
          _cheaper(REFLECTED, INSTINCT)),
    Claim("model-reads", "Its deliberate answers cost it less than random ones", "language",
          _cheaper(DELIBERATE, CHANCE)),
)
# fmt: on

STUDY = Study(
    name="s-cmas",
    title="S-CMAS: causal layers between a leader and a follower",
    paper="arXiv 2511.06934 (2025)",
    kind="game",
    engine="games",
    summary=(
        "Players choose a way of deciding: follow the instinct, override it, or reflect on it. Moving at once this can "
        "beat Nash; with a leader and a follower who sees the leader's action it brings nothing over Stackelberg. The "
        "zero is reproduced beside both comparators, and its limits are measured: unseen actions, satisficing "
        "followers, and payoffs that depend on circumstances (our extension)."
    ),
    mechanism=flows(
        "circumstance -> leader's instinct -> leader's layer -> leader's action -> follower's belief",
        "circumstance -> follower's instinct -> follower's layer -> payoffs -> welfare beside Stackelberg",
        "leader's layer -(public)-> follower's belief -> follower's layer", "leader's action -> payoffs",
    ),
    config=SCmasConfig,
    experiments=EXPERIMENTS,
    claims=CLAIMS,
    sizes={
        "quick": {"games": 210, "satisficing_games": 300, "mechanism_games": 300, "extension_games": 200,
                  "simultaneous_games": 80, "staged_games": 6, "language_games": 4},
        "full": {"games": 3000, "satisficing_games": 4000, "mechanism_games": 4000, "extension_games": 4000,
                 "simultaneous_games": 2000, "staged_games": 200, "language_games": 100},
    },
    seeds={"quick": 20, "standard": 20, "full": 100},
    vocabulary=Vocabulary(("roles",), ("competition",), ("hierarchical",), ("rule-based",), ("leader and follower",)),
    plots=plots,
)  # fmt: skip
