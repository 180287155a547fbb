"""Small games in extensive form: trees with chance, hidden moves and information sets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import product
from math import prod

import numpy as np
from numpy.typing import ArrayLike

from shoal.errors import InputError
from shoal.games.game import Game, Payoffs, View, names_of, probabilities, require
from shoal.games.normal_form import NormalForm, normal_form

MOST_NODES = 200_000
MOST_PURE = 4_000
"""Pure strategies of one player that a normal form may have."""
MOST_CELLS = 2_000_000
MOST_ENDS_IN_WORDS = 40

Behaviour = Mapping[str, ArrayLike]
"""Probabilities of the actions at each information set."""


@dataclass(frozen=True, slots=True)
class End:
    """A leaf: what each player gets."""

    payoffs: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Chance:
    """A move of nature: (name, probability, what follows)."""

    outcomes: tuple[tuple[str, float, Node], ...]


@dataclass(frozen=True, slots=True)
class Decision:
    """A move of a player.

    Attributes:
        player: index of who moves.
        information: name of its information set; nodes of one set have the same player and actions.
        actions: their names.
        children: what follows each.
        seen: the situation in words, as the player knows it.
    """

    player: int
    information: str
    actions: tuple[str, ...]
    children: tuple[Node, ...]
    seen: str = ""


Node = End | Chance | Decision


@dataclass(frozen=True, eq=False)
class Extensive(Game):
    """A game tree. Make it with ``extensive``, which checks it.

    Attributes:
        root: the first node.
        players: names of the players.
        name: short name.
        title: what it is, in a few words.
        story: what players are told.
        brief: the story tells everything, so that the rules do not list the ends.
    """

    root: Node
    players: tuple[str, ...]
    name: str = "tree"
    title: str = ""
    story: str = ""
    brief: bool = False

    @cached_property
    def information(self) -> dict[str, Decision]:
        """One node of each information set, in the order of the tree."""
        found: dict[str, Decision] = {}
        for node in walk(self.root):
            if isinstance(node, Decision):
                found.setdefault(node.information, node)
        return found

    @property
    def perfect_information(self) -> bool:
        """Whether every information set has one node."""
        return sum(isinstance(node, Decision) for node in walk(self.root)) == len(self.information)

    def begin(self, rng: np.random.Generator) -> Node:
        """The root, chance resolved."""
        return _resolved(self.root, rng)

    def turns(self, state: Node) -> tuple[View, ...]:
        """One player at a time."""
        if not isinstance(state, Decision):
            return ()
        return (View(state.player, state.actions, state.information, seen=state.seen),)

    def step(self, state: Node, moves: Mapping[int, int], rng: np.random.Generator) -> Node:
        """The child, chance resolved."""
        assert isinstance(state, Decision)
        return _resolved(state.children[moves[state.player]], rng)

    def payoffs(self, state: Node) -> Payoffs:
        """Of the leaf."""
        assert isinstance(state, End)
        return np.array(state.payoffs)

    def bounds(self) -> tuple[Payoffs, Payoffs]:
        """Over all leaves."""
        ends = np.array([node.payoffs for node in walk(self.root) if isinstance(node, End)])
        return ends.min(axis=0), ends.max(axis=0)

    def rules(self, player: int) -> str:
        """Story, and all ways through a small tree."""
        lines = [self.story] if self.story else []
        lines.append(f"You are {self.players[player]}.")
        ends = list(_ways(self.root, self.players))
        if not self.brief and len(ends) <= MOST_ENDS_IN_WORDS:
            lines += [
                f"If {' and '.join(way) or 'nothing happens'}: "
                + ", ".join(f"{name} gets {x:g}" for name, x in zip(self.players, pays, strict=True))
                + "."
                for way, pays in ends
            ]
        return "\n".join(lines)

    def behaviour(self, given: Behaviour) -> dict[str, np.ndarray]:
        """A behaviour strategy of all players, checked; information sets left out are played uniformly.

        Raises:
            InputError: an unknown information set, or no probabilities.
        """
        for name in given:
            if name not in self.information:
                raise InputError("information set", name, f"Known: {', '.join(list(self.information)[:8])}, ...")
        full = {}
        for name, node in self.information.items():
            k = len(node.actions)
            p = probabilities(given[name], f"strategy at {name}") if name in given else np.full(k, 1 / k)
            require(f"strategy at {name}", list(p), p.size == k, f"Give {k} probabilities.")
            full[name] = p
        return full

    def expected(self, given: Behaviour) -> Payoffs:
        """Expected payoffs [players] under behaviour strategies."""
        play = self.behaviour(given)

        def value(node: Node) -> Payoffs:
            if isinstance(node, End):
                return np.array(node.payoffs)
            if isinstance(node, Chance):
                return np.asarray(sum(p * value(child) for _, p, child in node.outcomes))
            return np.asarray(
                sum(p * value(c) for p, c in zip(play[node.information], node.children, strict=True) if p > 0)
            )

        return value(self.root)

    def normal_form(self) -> NormalForm:
        """The game of pure strategies: one action for each of a player's information sets.

        Raises:
            InputError: too many of them.
        """
        sets = [[n for n, node in self.information.items() if node.player == i] for i in range(self.player_count)]
        counts = [prod(len(self.information[n].actions) for n in names) for names in sets]
        if max(counts) > MOST_PURE or prod(counts) > MOST_CELLS:
            shown = "x".join(f"{c:,}" for c in counts)
            raise InputError("game", shown, "Too many pure strategies for a normal form. Use cfr on the tree.")
        plans = [list(product(*(range(len(self.information[n].actions)) for n in names))) for names in sets]
        table = np.zeros((*counts, self.player_count))
        for cell in product(*(range(c) for c in counts)):
            chosen = {n: plans[i][cell[i]][k] for i, names in enumerate(sets) for k, n in enumerate(names)}
            table[cell] = _played(self.root, chosen)
        actions = [
            [
                "; ".join(f"{n}: {self.information[n].actions[a]}" for n, a in zip(names, plan, strict=True)) or "-"
                for plan in plans[i]
            ]
            for i, names in enumerate(sets)
        ]
        if any(len(set(names)) < len(names) for names in actions):
            actions = None  # type: ignore[assignment]
        return normal_form(table, actions, self.players, name=self.name, title=self.title, story=self.story)

    def mixture(self, plan: Sequence[float], player: int) -> dict[str, np.ndarray]:
        """Behaviour strategy that plays like a mixture over the pure strategies of ``normal_form`` (Kuhn 1953).

        Args:
            plan: probabilities of the player's pure strategies.
            player: index of the player.
        """
        names = [n for n, node in self.information.items() if node.player == player]
        sizes = [len(self.information[n].actions) for n in names]
        weights = np.asarray(plan, float).reshape(sizes)
        before = own_moves(self)
        found = {}
        for k, name in enumerate(names):
            # Only plans that reach the set count: those that fit the player's own moves before it.
            place: list[int | slice] = [slice(None)] * len(names)
            for earlier, action in before[name]:
                place[names.index(earlier)] = action
            reached = weights[tuple(place)]
            axis = sum(1 for j in range(k) if isinstance(place[j], slice))
            p = reached.sum(axis=tuple(j for j in range(reached.ndim) if j != axis))
            found[name] = p / p.sum() if p.sum() > 0 else np.full(sizes[k], 1 / sizes[k])
        return found


def extensive(
    root: Node, players: Sequence[str] | int, *, name: str = "tree", title: str = "", story: str = "",
    brief: bool = False,
) -> Extensive:  # fmt: skip
    """A game tree, checked.

    Args:
        root: the first node.
        players: their names, or how many.
        name: short name.
        title: what it is, in a few words.
        story: what players are told.
        brief: the story tells everything about payoffs.

    Raises:
        InputError: payoffs for the wrong number of players or not finite, probabilities that do not sum to 1,
            information sets whose nodes differ or that forget the player's own moves, or too many nodes.
    """
    count = players if isinstance(players, int) else len(players)
    who = names_of(None if isinstance(players, int) else players, count, "player", "players")
    game = Extensive(root, who, name, title, story, brief)
    sets: dict[str, Decision] = {}
    for number, node in enumerate(walk(root)):
        require("tree", f"more than {MOST_NODES:,} nodes", number < MOST_NODES, "Use a smaller game: fewer rounds.")
        if isinstance(node, End):
            fits = len(node.payoffs) == count
            require("payoffs", node.payoffs, fits, f"Give {count} payoffs, one for each player.")
            require("payoffs", node.payoffs, bool(np.isfinite(node.payoffs).all()), "Payoffs are finite numbers.")
        elif isinstance(node, Chance):
            probabilities([p for _, p, _ in node.outcomes], "chance")
        else:
            _check_decision(node, sets.setdefault(node.information, node), count)
    own_moves(game)
    return game


def sequential(game: NormalForm, order: Sequence[int] | None = None) -> Extensive:
    """The game in which players move one after another, each seeing what was chosen before.

    Args:
        game: a game in normal form.
        order: indices of the players; as they are numbered by default.
    """
    turn = tuple(range(game.player_count)) if order is None else tuple(order)
    require("order", list(turn), sorted(turn) == list(range(game.player_count)), "Name every player once.")

    def grown(chosen: dict[int, int]) -> Node:
        if len(chosen) == len(turn):
            joint = tuple(chosen[i] for i in range(len(turn)))
            return End(tuple(float(x) for x in game.table[joint]))
        player = turn[len(chosen)]
        said = "; ".join(f"{game.players[i]} chose {game.actions[i][a]}" for i, a in chosen.items())
        key = f"{game.players[player]} | {said}" if said else game.players[player]
        children = tuple(grown({**chosen, player: a}) for a in range(game.shape[player]))
        return Decision(player, key, game.actions[player], children, f"{said}." if said else "")

    who = " then ".join(game.players[i] for i in turn)
    story = f"{game.story}\nPlayers move one after another: {who}. Each sees the choices before.".strip()
    return extensive(grown({}), game.players, name=game.name, title=game.title, story=story)


def walk(root: Node) -> Iterator[Node]:
    """All nodes, parents first."""
    waiting = [root]
    while waiting:
        node = waiting.pop()
        yield node
        waiting += reversed(children(node))


def children(node: Node) -> tuple[Node, ...]:
    """What may follow."""
    if isinstance(node, Decision):
        return node.children
    return tuple(child for _, _, child in node.outcomes) if isinstance(node, Chance) else ()


def own_moves(game: Extensive) -> dict[str, tuple[tuple[str, int], ...]]:
    """The player's own moves (information set, action) before each of its information sets.

    Raises:
        InputError: two nodes of one set have different ones (imperfect recall).
    """
    found: dict[str, tuple[tuple[str, int], ...]] = {}
    waiting: list[tuple[Node, tuple[tuple[tuple[str, int], ...], ...]]] = [(game.root, ((),) * game.player_count)]
    while waiting:
        node, past = waiting.pop()
        if isinstance(node, Decision):
            mine = past[node.player]
            known = found.setdefault(node.information, mine)
            mend = "A player must remember its own moves; give the nodes different information sets."
            require("information set", node.information, known == mine, mend)
            for a, child in enumerate(node.children):
                after = tuple((*p, (node.information, a)) if i == node.player else p for i, p in enumerate(past))
                waiting.append((child, after))
        else:
            waiting += [(child, past) for child in children(node)]
    return found


def renamed(game: Extensive, **words: str) -> Extensive:
    """The same tree under another name, title or story."""
    return replace(game, **words)  # type: ignore[arg-type]


def _check_decision(node: Decision, first: Decision, count: int) -> None:
    field = f"information set {node.information}"
    require(field, node.player, 0 <= node.player < count, f"Players are numbered from 0 to {count - 1}.")
    require(field, node.actions, len(node.actions) == len(node.children) > 0, "Give one child for each action.")
    same = node.player == first.player and node.actions == first.actions
    require(field, node.actions, same, "All its nodes need the same player and actions.")
    names_of(node.actions, len(node.actions), "action", f"actions at {node.information}")


def _resolved(node: Node, rng: np.random.Generator) -> Node:
    while isinstance(node, Chance):
        p = np.array([p for _, p, _ in node.outcomes])
        node = node.outcomes[int(rng.choice(len(p), p=p / p.sum()))][2]
    return node


def _played(node: Node, chosen: Mapping[str, int]) -> Payoffs:
    if isinstance(node, End):
        return np.array(node.payoffs)
    if isinstance(node, Chance):
        return np.asarray(sum(p * _played(child, chosen) for _, p, child in node.outcomes))
    return _played(node.children[chosen[node.information]], chosen)


def _ways(
    node: Node, players: tuple[str, ...], past: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], tuple[float, ...]]]:
    if isinstance(node, End):
        yield past, node.payoffs
    elif isinstance(node, Chance):
        for name, p, child in node.outcomes:
            yield from _ways(child, players, (*past, f"chance brings {name} ({p:.3g})"))
    else:
        for action, child in zip(node.actions, node.children, strict=True):
            yield from _ways(child, players, (*past, f"{players[node.player]} chooses {action}"))
