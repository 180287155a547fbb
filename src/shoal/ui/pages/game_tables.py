"""Payoffs with best responses and equilibria marked, and all that solvers say about a game."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from nicegui import ui

from shoal.ui.charts import as_csv
from shoal.ui.grids import heat_map
from shoal.ui.layout import facts, text
from shoal.ui.wording import number

if TYPE_CHECKING:
    from shoal.games.game import Game

MOST_CELLS = 12
"""Actions of a player up to which payoffs are written out."""
KNOWN = ("players", "actions", "equilibria", "count", "method", "strategies")


def payoffs(game: Game) -> None:
    """The table of a game in normal form; of more than two players for chosen actions of the others."""
    from shoal.games.causal import CausalGame
    from shoal.games.normal_form import NormalForm

    table = game.classical if isinstance(game, CausalGame) else game
    if not isinstance(table, NormalForm) or table.player_count < 2:
        return
    text("h2", "Payoffs")
    if max(table.shape[:2]) > MOST_CELLS:
        _large(table)
        return
    fixed = [0] * (table.player_count - 2)

    @ui.refreshable
    def shown() -> None:
        _written(table, tuple(fixed))

    def choose(place: int, value: int) -> None:
        fixed[place] = value
        shown.refresh()

    with ui.element("div").classes("row"):
        for place, names in enumerate(table.actions[2:]):
            options = dict(enumerate(names))
            label = f"{table.players[place + 2]} plays"
            ui.select(options, value=0, label=label, on_change=lambda e, k=place: choose(k, e.value)).props(
                "outlined dense"
            ).classes("filter")
    text(
        "p",
        f"Rows: {table.players[0]}, columns: {table.players[1]}; payoffs in the players' order. "
        "* is a best response to the others; N is a pure Nash equilibrium.",
    ).classes("small quiet")
    shown()
    ui.button(
        "Save payoffs as CSV", on_click=lambda: ui.download.content(as_csv(_rows(table)), f"{game.name}.csv")
    ).props("no-caps flat dense")


def best_responses(table: Any) -> np.ndarray:
    """Whether each player answers best in each cell [actions of player 1, ..., of player n, players]."""
    slack = 1e-9 * (1 + float(np.abs(table.table).max()))
    return np.stack(
        [
            table.table[..., i] >= table.table[..., i].max(axis=i, keepdims=True) - slack
            for i in range(table.player_count)
        ],
        axis=-1,
    )


def _written(table: Any, others: tuple[int, ...]) -> None:
    """Two players' actions, with the others' fixed."""
    best = best_responses(table)
    region = ui.element("div").classes("table-wrap").props('tabindex="0" role="region" aria-label="Payoffs"')
    with region, ui.element("table").classes("plain payoffs"):
        with ui.element("thead"), ui.element("tr"):
            text("td", "")
            for name in table.actions[1]:
                text("th", name).props('scope="col"')
        with ui.element("tbody"):
            for i, name in enumerate(table.actions[0]):
                with ui.element("tr"):
                    text("th", name).props('scope="row"')
                    for j in range(table.shape[1]):
                        _cell(table.table[(i, j, *others)], best[(i, j, *others)])


def _cell(pays: np.ndarray, best: np.ndarray) -> None:
    nash = bool(best.all())
    with ui.element("td").classes("nash" if nash else ""):
        for place, (x, answers) in enumerate(zip(pays, best, strict=True)):
            text("span", f"{number(float(x))}{'*' if answers else ''}").classes("best" if answers else "")
            text("span", ", " if place < len(pays) - 1 else "")
        if nash:
            text("strong", " N")


def _rows(table: Any) -> list[dict[str, Any]]:
    best = best_responses(table)
    return [
        {
            **{table.players[i]: table.actions[i][a] for i, a in enumerate(joint)},
            **{f"payoff of {name}": float(table.table[joint][i]) for i, name in enumerate(table.players)},
            "pure equilibrium": bool(best[joint].all()),
        }
        for joint in np.ndindex(*table.shape)
    ]


def _large(table: Any) -> None:
    """Too many actions to write out: a heat map for each of the first two players."""
    place = (slice(None), slice(None), *(0 for _ in table.shape[2:]))
    with ui.element("div").classes("columns"):
        for i in (0, 1):
            heat_map(
                f"Payoff of {table.players[i]}", list(table.actions[1]), list(table.actions[0]),
                table.table[place][..., i].tolist(), (table.players[1], table.players[0], "payoff"),
            )  # fmt: skip


def solution(found: Mapping[str, Any]) -> None:
    """Equilibria, strategies of trees, and everything else that was solved for."""
    text("h2", "Solution")
    if "equilibria" in found:
        count = found.get("count", len(found["equilibria"]))
        text("p", f"Equilibria: {count}. Method: {found['method']}.")
        equilibria(found["players"], found["equilibria"])
    elif "method" in found:
        text("p", f"By {found['method']}.")
    if "strategies" in found:
        _strategies(found["strategies"])
    for name in ("nash of layer 2", "causal nash"):
        if name in found:
            text("h3", name)
            equilibria(found["players"], found[name] if isinstance(found[name], list) else [found[name]])
    shown = (*KNOWN, "nash of layer 2", "causal nash")
    facts({name.replace("_", " "): _plain(value) for name, value in found.items() if name not in shown})


def equilibria(players: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> None:
    """One row for each profile: what everybody plays, and what it pays."""
    region = ui.element("div").classes("table-wrap").props('tabindex="0" role="region" aria-label="Equilibria"')
    with region, ui.element("table").classes("plain equilibria"):
        with ui.element("thead"), ui.element("tr"):
            for name in players:
                text("th", name).props('scope="col"')
            text("th", "Payoffs").props('scope="col"').classes("number")
        with ui.element("tbody"):
            for row in rows:
                with ui.element("tr"):
                    for strategy in row["strategies"]:
                        text("td", mixed(strategy))
                    text("td", ", ".join(number(x) for x in row["payoffs"])).classes("number")


def mixed(strategy: Mapping[str, float]) -> str:
    """A strategy in words: actions with their probabilities, the bare name of a pure one."""
    named = [(name, p) for name, p in strategy.items() if p > 0]
    parts = [name if p == 1 else f"{name} {number(p)}" for name, p in named[:8]]
    return ", ".join([*parts, *(["..."] if len(named) > 8 else [])])


def _strategies(strategies: Mapping[str, Mapping[str, float]]) -> None:
    region = ui.element("div").classes("table-wrap").props('tabindex="0" role="region" aria-label="Strategies"')
    with region, ui.element("table").classes("plain"):
        with ui.element("thead"), ui.element("tr"):
            text("th", "At").props('scope="col"')
            text("th", "Plays").props('scope="col"')
        with ui.element("tbody"):
            for place, strategy in strategies.items():
                with ui.element("tr"):
                    text("td", place)
                    text("td", mixed(strategy))


def _plain(value: Any) -> str:
    if isinstance(value, Mapping):
        return "; ".join(f"{name} {_plain(x)}" for name, x in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(f"({_plain(x)})" if isinstance(x, list | tuple) else _plain(x) for x in value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    return number(value) if isinstance(value, int | float) else str(value)
