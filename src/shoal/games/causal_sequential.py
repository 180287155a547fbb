"""The sequential form of a causal game: a leader chooses how to decide, a follower sees it and answers.

After Thumm, "Sequential causal normal form games" (arXiv 2511.06934); the order of moves is our reading of its
summary: nature draws the circumstance; the leader chooses a layer and a strategy; its action is realised; the follower
sees the strategy and, unless told otherwise, the action, updates its belief by Bayes' rule, and answers from any layer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from shoal.errors import InputError
from shoal.games.causal import LAYERS, CausalGame
from shoal.games.game import TOLERANCE, Payoffs, probabilities, require

Sees = Literal["action", "mechanism"]
MOST_SIGNALLING = 200_000


@dataclass(frozen=True)
class Answer:
    """The follower's answer to one strategy of the leader.

    Attributes:
        actions: what it plays [circumstances, actions], probabilities: its own instinct may tell circumstances apart.
        instinctive: share of probability in which it kept its instinct although another answer paid more.
    """

    actions: NDArray[np.float64]
    instinctive: float


@dataclass(frozen=True)
class SequentialEquilibrium:
    """What backward induction finds.

    Attributes:
        layer: the leader's layer.
        strategy: the leader's strategy in words.
        responses: its action in each circumstance [circumstances].
        answer: the follower's answer.
        payoffs: of leader and follower [2].
        values: payoffs of every strategy of the leader [strategies, 2], in the order of ``strategies``.
        strategies: (layer, words) of every strategy of the leader.
    """

    layer: int
    strategy: str
    responses: NDArray[np.intp]
    answer: Answer
    payoffs: Payoffs
    values: Payoffs
    strategies: tuple[tuple[int, str], ...]

    @property
    def welfare(self) -> float:
        """Sum of payoffs."""
        return float(self.payoffs.sum())


def sequential_equilibrium(
    game: CausalGame,
    *,
    leader_layers: Sequence[int] = LAYERS,
    follower_layers: Sequence[int] = LAYERS,
    sees: Sees = "action",
    epsilon: float = 0.0,
    instinct: ArrayLike | None = None,
) -> SequentialEquilibrium:
    """The sequential causal Nash equilibrium by backward induction; player 0 leads.

    The leader takes the strategy with its highest payoff; of equal ones the one with the highest welfare, then layer 2
    before 1 before 3, then the first. The follower's ties go to the leader. ``leader_layers=(2,)`` is the pure
    Stackelberg equilibrium under the same rules.

    Args:
        game: two players.
        leader_layers: what the leader may choose from.
        follower_layers: what the follower may choose from.
        sees: whether the follower sees the leader's action besides its strategy.
        epsilon: the follower keeps its ``instinct`` where that costs it at most this much in expectation.
        instinct: what the follower would do by itself: probabilities [leader's actions, follower's actions]. It is
            needed for epsilon above 0; without it the follower is rational.

    Raises:
        InputError: not two players, or a value that is not usable.
    """
    require("game", f"{game.player_count} players", game.player_count == 2, "One leader and one follower.")
    require("sees", sees, sees in ("action", "mechanism"), "Use action or mechanism.")
    require("epsilon", epsilon, bool(np.isfinite(epsilon)) and epsilon >= 0, "Use 0 or more.")
    habit = None if instinct is None else _habit(game, instinct)
    if habit is None and epsilon > 0:
        raise InputError("instinct", None, "Say what the follower does by itself: [leader's actions, its actions].")
    options: list[tuple[int, str, NDArray[np.intp]]] = []
    for layer in sorted(leader_layers, key=lambda k: (k != 2, k)):
        rows, names = game.strategies(0, (layer,))
        options += [(layer, name, row) for row, name in zip(rows, names, strict=True)]
    answers = [_answer(game, row, follower_layers, sees, epsilon, habit) for _, _, row in options]
    values = np.array([_worth(game, row, a.actions) for (_, _, row), a in zip(options, answers, strict=True)])
    slack = TOLERANCE * (1 + float(np.abs(game.table).max()))
    best = np.flatnonzero(values[:, 0] >= values[:, 0].max() - slack)
    welfare = values[best].sum(axis=1)
    k = int(best[np.flatnonzero(welfare >= welfare.max() - slack)[0]])
    layer, name, row = options[k]
    words = tuple((layer, name) for layer, name, _ in options)
    return SequentialEquilibrium(layer, name, row, answers[k], values[k], values, words)


@dataclass(frozen=True)
class SignallingEquilibrium:
    """A pure perfect Bayesian equilibrium in which the follower sees the action alone.

    Attributes:
        leader: the leader's action for each of its instincts that occur [instincts].
        follower: the follower's action for each action seen and each of its own instincts [actions, instincts].
        payoffs: of leader and follower [2].
        kind: pooling (one action whatever the instinct), separating (one for each), or partial.
    """

    leader: tuple[int, ...]
    follower: tuple[tuple[int, ...], ...]
    payoffs: Payoffs
    kind: str


def signalling_equilibria(game: CausalGame) -> list[SignallingEquilibrium]:
    """All pure perfect Bayesian equilibria when the layer is private: the leader's action is the signal.

    The leader knows its instinct, the follower its own and the action. Beliefs follow Bayes' rule on the path and are
    the prior off it.

    Raises:
        InputError: not two players, or too many strategy pairs.
    """
    require("game", f"{game.player_count} players", game.player_count == 2, "One leader and one follower.")
    felt, own = game.occurring(0), game.occurring(1)
    mine, theirs = game.shape
    count = mine ** len(felt) * theirs ** (mine * len(own))
    if count > MOST_SIGNALLING:
        raise InputError("game", f"{count:,} pairs of strategies", f"At most {MOST_SIGNALLING:,}: use fewer actions.")
    found = []
    for plan in product(range(mine), repeat=len(felt)):
        row = np.array([plan[felt.index(int(f))] if f in felt else 0 for f in game.instincts[0]], np.intp)
        replies = [_ties(game, row, x, own) for x in range(mine)]
        for choice in product(*(list(product(*per)) for per in replies)):
            worth = _leader_worth(game, choice, felt, own)
            slack = TOLERANCE * (1 + float(np.abs(game.table).max()))
            if all(worth[k, a] >= worth[k].max() - slack for k, a in enumerate(plan)):
                actions = np.zeros((game.chances.size, theirs))
                for u, x in enumerate(row):
                    actions[u, _reply(game, choice, u, int(x), own)] = 1
                kind = "pooling" if len(set(plan)) == 1 else "separating" if len(set(plan)) == len(plan) else "partial"
                found.append(SignallingEquilibrium(plan, choice, _worth(game, row, actions), kind))
    return found


def _answer(
    game: CausalGame,
    row: NDArray[np.intp],
    layers: Sequence[int],
    sees: Sees,
    epsilon: float,
    habit: NDArray[np.float64] | None,
) -> Answer:
    """The follower's best strategy for each situation it can tell apart, or its habit where that is near enough."""
    responses, _ = game.strategies(1, layers)
    actions = np.zeros((game.chances.size, game.shape[1]))
    kept = 0.0
    every = np.arange(game.chances.size)
    groups = [every[row == x] for x in np.unique(row)] if sees == "action" else [every]
    for group in groups:
        weights = game.chances[group]
        if weights.sum() <= 0:
            actions[group, 0] = 1  # cannot happen
            continue
        weights = weights / weights.sum()
        pays = game.table[group[None, :], row[group][None, :], responses[:, group]]
        worth = np.einsum("u,suk->sk", weights, pays)
        slack = TOLERANCE * (1 + float(np.abs(game.table).max()))
        ties = np.flatnonzero(worth[:, 1] >= worth[:, 1].max() - slack)
        best = int(ties[int(worth[ties, 0].argmax())])
        actions[group, responses[best, group]] = 1
        if habit is None:
            continue
        own = np.einsum("ua,ua->u", habit[row[group]], game.table[group, row[group], :, 1]) @ weights
        if own >= worth[best, 1] - epsilon - slack:
            actions[group] = habit[row[group]]
            kept += float(game.chances[group].sum()) * (own < worth[best, 1] - slack)
    return Answer(actions, kept)


def _worth(game: CausalGame, row: NDArray[np.intp], actions: NDArray[np.float64]) -> Payoffs:
    u = np.arange(game.chances.size)
    return np.asarray(np.einsum("u,ua,uak->k", game.chances, actions, game.table[u, row]))


def _habit(game: CausalGame, instinct: ArrayLike) -> NDArray[np.float64]:
    rows = np.asarray(instinct, float)
    require("instinct", instinct, rows.shape == game.shape, f"Give probabilities of the shape {game.shape}.")
    return np.array([probabilities(row, "instinct") for row in rows])


def _ties(game: CausalGame, row: NDArray[np.intp], x: int, own: list[int]) -> list[list[int]]:
    """The follower's best actions on seeing x, for each of its instincts."""
    believed = game.chances * (row == x)
    if believed.sum() <= 0:
        believed = game.chances
    slack = TOLERANCE * (1 + float(np.abs(game.table).max()))
    replies = []
    for y in own:
        weights = believed * (game.instincts[1] == y)
        if weights.sum() <= 0:
            weights = game.chances * (game.instincts[1] == y)
        pays = weights @ game.table[:, x, :, 1] / weights.sum()
        replies.append([int(a) for a in np.flatnonzero(pays >= pays.max() - slack)])
    return replies


def _leader_worth(
    game: CausalGame, choice: tuple[tuple[int, ...], ...], felt: list[int], own: list[int]
) -> NDArray[np.float64]:
    """What each action pays the leader for each of its instincts [instincts, actions]."""
    worth = np.zeros((len(felt), game.shape[0]))
    for k, f in enumerate(felt):
        weights = game.chances * (game.instincts[0] == f)
        for u in np.flatnonzero(weights > 0):
            for x in range(game.shape[0]):
                worth[k, x] += weights[u] * game.table[u, x, _reply(game, choice, int(u), x, own), 0]
        worth[k] /= weights.sum()
    return worth


def _reply(game: CausalGame, choice: tuple[tuple[int, ...], ...], u: int, x: int, own: list[int]) -> int:
    y = int(game.instincts[1, u])
    return choice[x][own.index(y)] if y in own else 0
