"""Disguised games: other names, another story, payoffs on another scale; the structure stays.

Who plays the disguised game like the open one reasons about payoffs; who plays only the open one well may recall it.
Equilibria, dominance and best answers are the same, because each player's payoffs change by a positive factor and a
constant, and actions only by name and order.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from shoal.errors import InputError
from shoal.games.extensive import Chance, Decision, End, Extensive, Node, extensive, walk
from shoal.games.game import Game, Joint, Payoffs
from shoal.games.normal_form import NormalForm, Profile, normal_form
from shoal.games.repeated import Repeated

STORIES = (
    "Independent workshops set their machines for the day. What a workshop earns depends on all settings.",
    "Fishing crews pick where to cast their nets. The catch of a crew depends on where everybody casts.",
    "Gardeners choose what to plant in neighbouring beds. A gardener's harvest depends on all beds.",
    "Couriers choose routes through a town. A courier's takings depend on everybody's route.",
)
WORDS = (
    "amber", "basil", "cedar", "delta", "ember", "fjord", "grove", "heath", "indigo", "jade", "kelp", "larch", "maple",
    "nectar", "ochre", "pearl", "quartz", "reed", "slate", "tulip", "umber", "violet", "willow", "xenon", "yarrow",
    "zinc",
)  # fmt: skip
NAMES = ("Ada", "Bo", "Cleo", "Dan", "Eve", "Finn", "Gus", "Hana", "Ivo", "June", "Kai", "Lea")


@dataclass(frozen=True)
class Disguise:
    """A game and its disguise.

    Attributes:
        open: the game as it was.
        game: the disguised one.
        order: for games in normal form, the original action behind each disguised one, for each player.
        factor: payoffs were multiplied by this [players], above 0 ...
        shift: ... and this was added [players].
    """

    open: Game
    game: Game
    order: tuple[NDArray[np.intp], ...]
    factor: Payoffs
    shift: Payoffs

    def revealed(self, joint: Joint) -> Joint:
        """The joint action of the open game that this one of the disguised game stands for."""
        return tuple(int(order[a]) for order, a in zip(self.order, joint, strict=True))

    def revealed_profile(self, profile: Profile) -> Profile:
        """Mixed strategies of the open game that these of the disguised one stand for."""
        return tuple(np.asarray(p)[np.argsort(order)] for p, order in zip(profile, self.order, strict=True))

    def revealed_payoffs(self, payoffs: Payoffs) -> Payoffs:
        """Payoffs on the open game's scale."""
        return np.asarray((payoffs - self.shift) / self.factor)


def disguise(game: Game, seed: int = 0) -> Disguise:
    """Rename everything, rescale payoffs, shuffle actions; trees keep their order of moves.

    Args:
        game: in normal form, repeated, or a tree.
        seed: of the disguise.

    Raises:
        InputError: another kind of game.
    """
    rng = np.random.default_rng(seed)
    n = game.player_count
    factor = np.round(rng.choice([0.5, 2.0, 3.0, 4.0], size=n), 2)
    shift = rng.integers(1, 20, size=n).astype(float)
    if isinstance(game, Repeated):
        inner = disguise(game.stage, seed)
        assert isinstance(inner.game, NormalForm)
        return Disguise(game, replace(game, stage=inner.game), inner.order, inner.factor, inner.shift)
    story = STORIES[int(rng.integers(len(STORIES)))]
    who = tuple(NAMES[i] if i < len(NAMES) else f"person-{i}" for i in range(n))
    if isinstance(game, NormalForm):
        order = tuple(rng.permutation(k) for k in game.shape)
        table = game.table[np.ix_(*order)] * factor + shift
        labels = _shared_labels(game, rng)
        actions = [[labels[i][int(a)] for a in order[i]] for i in range(n)]
        hidden: Game = normal_form(table, actions, who, name="disguised", title="A disguised game", story=story)
        return Disguise(game, hidden, order, factor, shift)
    if isinstance(game, Extensive):
        return Disguise(game, _hidden_tree(game, rng, factor, shift, who, story), (), factor, shift)
    raise InputError("game", game.name, "Disguises are for games in normal form, repeated ones and trees.")


def _shared_labels(game: NormalForm, rng: np.random.Generator) -> list[list[str]]:
    """New names of the original actions; players whose actions were called the same keep common names."""
    if len(set(game.actions)) == 1:
        return [_words(game.shape[0], rng)] * game.player_count
    pool = _words(sum(game.shape), rng)
    edges = np.cumsum([0, *game.shape])
    return [pool[a:b] for a, b in itertools.pairwise(edges)]


def _words(count: int, rng: np.random.Generator) -> list[str]:
    chosen = [WORDS[int(k)] for k in rng.permutation(len(WORDS))]
    return [chosen[k % len(chosen)] + (f"-{k // len(chosen) + 1}" if k >= len(chosen) else "") for k in range(count)]


def _hidden_tree(
    game: Extensive, rng: np.random.Generator, factor: Payoffs, shift: Payoffs, who: tuple[str, ...], story: str
) -> Extensive:
    labels = sorted({a for node in game.information.values() for a in node.actions})
    events = sorted(_events(game.root))
    pool = _words(len(labels) + len(events), rng)
    renamed = dict(zip(labels, pool, strict=False))
    chance = dict(zip(events, pool[len(labels) :], strict=False))
    sets = {name: f"point-{k + 1}" for k, name in enumerate(game.information)}
    ways: dict[str, list[str]] = {name: [] for name in game.information}

    def travelled(node: Node, past: tuple[str, ...]) -> None:
        """Note all ways that lead to each information set: that is what its player knows."""
        if isinstance(node, Chance):
            for name, _, child in node.outcomes:
                travelled(child, (*past, f"chance brings {chance[name]}"))
        elif isinstance(node, Decision):
            ways[node.information].append(" and ".join(past) or "nothing happened yet")
            for action, child in zip(node.actions, node.children, strict=True):
                travelled(child, (*past, f"{who[node.player]} chooses {renamed[action]}"))

    def hidden(node: Node) -> Node:
        if isinstance(node, End):
            return End(tuple(float(x) for x in np.array(node.payoffs) * factor + shift))
        if isinstance(node, Chance):
            return Chance(tuple((chance[name], p, hidden(child)) for name, p, child in node.outcomes))
        names = tuple(renamed[a] for a in node.actions)
        said = f"What you know: {'; or '.join(ways[node.information])}."
        return Decision(node.player, sets[node.information], names, tuple(map(hidden, node.children)), said)

    travelled(game.root, ())
    return extensive(hidden(game.root), who, name="disguised", title="A disguised game", story=story)


def _events(root: Node) -> set[str]:
    found: set[str] = set()
    for node in walk(root):
        if isinstance(node, Chance):
            found |= {name for name, _, _ in node.outcomes}
    return found
