"""Causal normal-form games: players choose not only an action but a way of deciding.

After Pearl's hierarchy (Maiti, Jain and Bareinboim, "Counterfactual rationality", report R-125, 2025, as summarised in
Thumm, arXiv 2511.06934): layer 1 follows the instinct, layer 2 overrides it by a fixed action, layer 3 looks at the
instinct and transforms it. A hidden circumstance u moves the instincts and may move the payoffs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import product

import numpy as np
from numpy.typing import ArrayLike, NDArray

from shoal.errors import InputError
from shoal.games.game import Game, Payoffs, View, names_of, probabilities, require
from shoal.games.normal_form import NormalForm, Profile, normal_form, payoff_table

LAYERS = (1, 2, 3)
LAYER_NAMES = {1: "follow", 2: "act", 3: "reflect"}
MOST_MAPS = 4096
"""Layer-3 strategies of one player."""

Responses = NDArray[np.intp]
"""Action of each strategy in each circumstance [strategies, circumstances]."""


@dataclass(frozen=True, slots=True)
class Moment:
    """A play of a causal game: the circumstance, and the actions once chosen."""

    circumstance: int
    joint: tuple[int, ...] | None = None


@dataclass(frozen=True, eq=False)
class CausalGame(Game):
    """Circumstances, instincts and payoffs in tables. Make it with ``causal_game``, which checks it.

    Attributes:
        chances: probability of each circumstance [circumstances].
        instincts: what each player's instinct says [players, circumstances].
        table: payoffs [circumstances, actions of player 1, ..., actions of player n, players].
        actions: names of each player's actions.
        players: names of the players.
        name: short name.
        title: what it is, in a few words.
        story: what players are told.
    """

    chances: NDArray[np.float64]
    instincts: NDArray[np.intp]
    table: Payoffs
    actions: tuple[tuple[str, ...], ...]
    players: tuple[str, ...]
    name: str = "causal"
    title: str = ""
    story: str = ""

    @property
    def shape(self) -> tuple[int, ...]:
        """Number of actions of each player."""
        return self.table.shape[1:-1]

    def occurring(self, player: int) -> list[int]:
        """The instincts of that player that occur with positive probability, sorted."""
        return sorted({int(a) for a, p in zip(self.instincts[player], self.chances, strict=True) if p > 0})

    def strategies(self, player: int, layers: Sequence[int]) -> tuple[Responses, tuple[str, ...]]:
        """The strategies of those layers, as responses [strategies, circumstances] and names; none twice.

        Maps of layer 3 are told apart only on instincts that occur, which makes |actions| ^ |instincts| of them.

        Raises:
            InputError: no such layer, or too many maps.
        """
        found: dict[tuple[int, ...], str] = {}
        own, names = self.instincts[player], self.actions[player]
        for layer in layers:
            require("layer", layer, layer in LAYERS, "Use 1 (follow), 2 (act) or 3 (reflect).")
            if layer == 1:
                found.setdefault(tuple(own.tolist()), "follow the instinct")
            elif layer == 2:
                for a, name in enumerate(names):
                    found.setdefault((a,) * own.size, f"always {name}")
            else:
                self._add_maps(player, found)
        return np.array(list(found), np.intp), tuple(found.values())

    def layered(self, layers: Sequence[Sequence[int]]) -> NormalForm:
        """The game in normal form when each player may use the strategies of those layers.

        Payoffs are expected over circumstances: u_i(s) = sum_u P(u) R_i[u, s(u)].
        """
        require("layers", layers, len(layers) == self.player_count, f"Give the layers of {self.player_count} players.")
        sets = [self.strategies(i, chosen) for i, chosen in enumerate(layers)]
        total = np.zeros((*(len(r) for r, _ in sets), self.player_count))
        for u, p in enumerate(self.chances):
            total += p * self.table[u][np.ix_(*(r[:, u] for r, _ in sets))]
        labels = [names for _, names in sets]
        return normal_form(total, labels, self.players, name=self.name, title=self.title, story=self.story)

    @cached_property
    def classical(self) -> NormalForm:
        """Layer 2 for everybody: ordinary game theory, blind to circumstances."""
        return self.layered(((2,),) * self.player_count)

    def averaged(self) -> CausalGame:
        """The game whose payoffs no longer depend on the circumstance (the ablation): their mean."""
        mean = np.tensordot(self.chances, self.table, axes=(0, 0))
        return replace(self, table=np.broadcast_to(mean, self.table.shape))

    def begin(self, rng: np.random.Generator) -> Moment:
        """Nature draws the circumstance."""
        return Moment(int(rng.choice(self.chances.size, p=self.chances)))

    def turns(self, state: Moment) -> tuple[View, ...]:
        """All at once; each has felt its instinct."""
        if state.joint is not None:
            return ()
        views = []
        for i, names in enumerate(self.actions):
            felt = names[self.instincts[i, state.circumstance]]
            views.append(View(i, names, (i, felt), seen=f"Your instinct says: {felt}."))
        return tuple(views)

    def step(self, state: Moment, moves: Mapping[int, int], rng: np.random.Generator) -> Moment:
        """Everybody has chosen."""
        return Moment(state.circumstance, tuple(moves[i] for i in range(self.player_count)))

    def payoffs(self, state: Moment) -> Payoffs:
        """Of the actions in that circumstance."""
        assert state.joint is not None
        return np.asarray(self.table[(state.circumstance, *state.joint)])

    def bounds(self) -> tuple[Payoffs, Payoffs]:
        """Over all circumstances and cells."""
        axes = tuple(range(self.table.ndim - 1))
        return self.table.min(axis=axes), self.table.max(axis=axes)

    def rules(self, player: int) -> str:
        """Story, what instincts are, and the expected table."""
        mean = np.tensordot(self.chances, self.table, axes=(0, 0))
        average = NormalForm(mean, self.actions, self.players, self.name)
        instinct = (
            "Before you choose you feel an instinct. It comes from circumstances that nobody sees and that may also "
            "change what is paid. You may follow it, ignore it, or use what it tells. Payoffs on average over "
            "circumstances:"
        )
        return "\n".join(part for part in (self.story, instinct, average.rules(player)) if part)

    def _add_maps(self, player: int, found: dict[tuple[int, ...], str]) -> None:
        own, names, felt = self.instincts[player], self.actions[player], self.occurring(player)
        count = len(names) ** len(felt)
        if count > MOST_MAPS:
            raise InputError(
                "layer 3",
                f"{len(names)}^{len(felt)} = {count:,} maps",
                f"More than {MOST_MAPS:,}. Use fewer actions, or instincts with fewer values.",
            )
        for image in product(range(len(names)), repeat=len(felt)):
            h = dict(zip(felt, image, strict=True))
            label = ", ".join(f"{names[a]} -> {names[b]}" for a, b in h.items())
            found.setdefault(tuple(h.get(int(a), int(a)) for a in own), label)


@dataclass(frozen=True)
class CausalEquilibrium:
    """A causal Nash equilibrium.

    Attributes:
        values: payoffs of the selected equilibrium of each profile of layers [3, ..., 3, players].
        layers: the layers that each player mixes in the layer game's selected equilibrium.
        game: the game on the union of those layers' strategies.
        profile: its selected equilibrium.
        payoffs: of that [players].
        all_values: payoffs of every equilibrium of each profile of layers.
    """

    values: Payoffs
    layers: tuple[tuple[int, ...], ...]
    game: NormalForm
    profile: Profile
    payoffs: Payoffs
    all_values: Mapping[tuple[int, ...], Payoffs]


def causal_equilibrium(game: CausalGame) -> CausalEquilibrium:
    """The causal Nash equilibrium of the simultaneous game.

    Every profile of layers is solved on its strategy sets; the values form the layer game; its equilibrium names the
    layers in use; the result is an equilibrium on the union of their strategies. Where there are several equilibria the
    rule is: highest total payoff, then the first in the solver's order. ``all_values`` shows what it passed over.
    """
    from shoal.games.solvers.many_players import support_enumeration

    n = game.player_count
    values = np.zeros((*(len(LAYERS),) * n, n))
    everything: dict[tuple[int, ...], Payoffs] = {}
    for choice in product(LAYERS, repeat=n):
        part = game.layered([(layer,) for layer in choice])
        pays = np.array([part.expected(profile) for profile in support_enumeration(part)])
        everything[choice] = pays
        values[tuple(layer - 1 for layer in choice)] = pays[_selected(pays)]
    names = [[LAYER_NAMES[layer] for layer in LAYERS]] * n
    layer_game = normal_form(values, names, game.players, name=f"{game.name}: layers")
    found = support_enumeration(layer_game)
    chosen = found[_selected(np.array([layer_game.expected(p) for p in found]))]
    used = tuple(tuple(layer for layer, p in zip(LAYERS, mix, strict=True) if p > 1e-9) for mix in chosen)
    final = game.layered(used)
    profiles = support_enumeration(final)
    pays = np.array([final.expected(p) for p in profiles])
    best = _selected(pays)
    return CausalEquilibrium(values, used, final, profiles[best], pays[best], everything)


def causal_game(
    chances: ArrayLike,
    instincts: ArrayLike,
    payoffs: ArrayLike,
    actions: Sequence[Sequence[str]] | None = None,
    players: Sequence[str] | None = None,
    *,
    name: str = "causal",
    title: str = "",
    story: str = "",
) -> CausalGame:
    """A causal game from its tables.

    Args:
        chances: probability of each circumstance.
        instincts: action that each player's instinct says in each circumstance [players, circumstances].
        payoffs: [circumstances, actions of player 1, ..., actions of player n, players].
        actions: names of each player's actions.
        players: names of the players.
        name: short name.
        title: what it is, in a few words.
        story: what players are told.

    Raises:
        InputError: probabilities that do not sum to 1, an instinct outside the actions, ragged or non-finite payoffs.
    """
    p = probabilities(chances, "chances")
    table = payoff_table(payoffs, "payoffs")
    mend = f"Give a table for each of the {p.size} circumstances."
    require("payoffs", table.shape, table.ndim >= 3 and table.shape[0] == p.size, mend)
    first = normal_form(table[0], actions, players, name=name, title=title, story=story)
    felt = np.asarray(instincts)
    n = first.player_count
    mend = f"Give one action for each of {n} players and {p.size} circumstances."
    require("instincts", instincts, felt.shape == (n, p.size) and felt.dtype.kind in "iu", mend)
    for i, size in enumerate(first.shape):
        fits = bool(((felt[i] >= 0) & (felt[i] < size)).all())
        require(f"instincts of {first.players[i]}", felt[i].tolist(), fits, f"Actions are numbered 0 to {size - 1}.")
    names_of(first.players, n, "player", "players")
    return CausalGame(p, felt.astype(np.intp), table, first.actions, first.players, name, title, story)


def _selected(pays: Payoffs) -> int:
    """Index of the equilibrium with the highest total [equilibria, players]; the first of equal ones."""
    totals = pays.sum(axis=1)
    return int(np.flatnonzero(totals >= totals.max() - 1e-9)[0])
