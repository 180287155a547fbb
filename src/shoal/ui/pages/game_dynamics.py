"""Dynamics of a game: courses in the square of two actions, in the triangle of three, or over time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from nicegui import ui

from shoal.errors import ShoalError
from shoal.ui.background import in_thread
from shoal.ui.charts import curves
from shoal.ui.grids import plane
from shoal.ui.layout import text

if TYPE_CHECKING:
    from shoal.games.dynamics.course import Course
    from shoal.games.game import Game
    from shoal.games.normal_form import NormalForm

RULES = ("replicator", "best response", "fictitious play")
MOST_CELLS = 20_000
SIDE = 5
"""Starts along each side of the square."""
CORNERS = ((0.0, 0.0), (1.0, 0.0), (0.5, 0.866))
MOST_LINES = 8
ACROSS: Mapping[str, Any] = {"nameLocation": "middle", "nameGap": 24}
UP: Mapping[str, Any] = {"nameLocation": "end", "nameTextStyle": {"align": "left"}}


def dynamics(game: Game, found: Mapping[str, Any]) -> None:
    """A choice of rules, and the figure of the chosen one."""
    from shoal.games.normal_form import NormalForm

    if not isinstance(game, NormalForm) or game.player_count < 2 or game.table.size > MOST_CELLS:
        return
    text("h2", "Dynamics")
    with ui.element("div").classes("row"):
        ui.select(list(RULES), value=RULES[0], label="rule", on_change=lambda e: draw(e.value)).props(
            "outlined dense"
        ).classes("filter")
        said = text("span", "").props('role="status"')
    place = ui.element("div").classes("dynamics")

    async def draw(rule: str) -> None:
        said.text = "Computing ..."
        try:
            course = await in_thread(courses, game, rule)
        except ShoalError as error:
            said.text = str(error)
            return
        said.text = ""
        place.clear()
        with place:
            _figure(game, rule, course, found)

    ui.timer(0.05, lambda: draw(RULES[0]), once=True)


def courses(game: NormalForm, rule: str) -> Course:
    """Where shares go by that rule: from a lattice of starts in square and triangle, else from random ones."""
    from shoal.games.dynamics import answering, replicator

    two = game.player_count == 2 and game.shape == (2, 2)
    populations = "each" if two else "auto"
    starts: Any = _square() if two else _triangle() if _one_triangle(game) else None
    if rule == "replicator":
        span = 40.0 / max(float(np.ptp(game.table)), 1e-9)
        return replicator(game, starts, time=span, steps=2_000, points=200, populations=populations)
    return answering(game, starts, rule=rule, populations=populations)


def _square() -> list[np.ndarray]:
    """Inner points of a lattice: shares of the first action of both players."""
    ticks = (np.arange(SIDE) + 0.5) / SIDE
    x, y = (z.ravel() for z in np.meshgrid(ticks, ticks))
    return [np.stack([x, 1 - x], axis=1), np.stack([y, 1 - y], axis=1)]


def _triangle() -> np.ndarray:
    """Inner points of a lattice in the triangle."""
    n = SIDE + 1
    points = [(i, j, n - i - j) for i in range(1, n) for j in range(1, n - i)]
    return np.array(points, float) / n


def _one_triangle(game: NormalForm) -> bool:
    return game.player_count == 2 and game.shape == (3, 3) and game.symmetric


def _figure(game: NormalForm, rule: str, course: Course, found: Mapping[str, Any]) -> None:
    if all(size == 2 for size in game.shape):
        _in_square(game, rule, course, found)
    elif all(size == 3 for size in game.shape) and game.player_count == 2:
        with ui.element("div").classes("columns" if len(course.shares) > 1 else ""):
            for player in range(len(course.shares)):
                _in_triangle(game, rule, course, player, found)
    else:
        _over_time(game, rule, course)


def _rows(game: NormalForm, course: Course) -> list[dict[str, Any]]:
    single = len(course.shares) == 1
    return [
        {"start": s, "time": float(t), "player": "all" if single else game.players[i],
         **{game.actions[i][a]: float(x) for a, x in enumerate(shares[s, k])}}
        for i, shares in enumerate(course.shares)
        for s in range(shares.shape[0])
        for k, t in enumerate(course.times)
    ]  # fmt: skip


def _in_square(game: NormalForm, rule: str, course: Course, found: Mapping[str, Any]) -> None:
    """Shares of the first action of the first two players; of a single population against time there is none."""
    first, second = (course.shares[min(i, len(course.shares) - 1)][:, :, 0] for i in (0, 1))
    lines = [list(zip(a.tolist(), b.tolist(), strict=True)) for a, b in zip(first, second, strict=True)]
    rest = [(_share(game, e, 0, 0), _share(game, e, 1, 0)) for e in found.get("equilibria", [])]
    axes = {
        name: {"type": "value", "min": 0, "max": 1, "name": f"share of {game.actions[i][0]}, {game.players[i]}", **look}
        for i, (name, look) in enumerate((("xAxis", ACROSS), ("yAxis", UP)))
    }
    spots = {"end": [line[-1] for line in lines], "equilibrium": rest}
    described = f"{len(lines)} courses; ends {_places(spots['end'])}; equilibria {_places(rest)}"
    plane(
        f"{rule.capitalize()} dynamics of {game.name}", {"course": lines}, spots, axes, _rows(game, course), described
    )


def _in_triangle(game: NormalForm, rule: str, course: Course, player: int, found: Mapping[str, Any]) -> None:
    """Shares of three actions, each corner one."""
    shares = course.shares[player]
    lines = [[_spot(point) for point in line] for line in shares]
    rest = [_spot([_share(game, e, player, a) for a in range(3)]) for e in found.get("equilibria", [])]
    edge = {"type": "line", "data": [list(c) for c in (*CORNERS, CORNERS[0])], "showSymbol": False, "silent": True,
            "lineStyle": {"color": "#7a7a7a", "width": 1}}  # fmt: skip
    names = [
        {"value": [x, y], "label": {"show": True, "formatter": name, "position": "bottom" if y == 0 else "top"}}
        for (x, y), name in zip(CORNERS, game.actions[player], strict=True)
    ]
    corners = {"type": "scatter", "data": names, "symbolSize": 3, "silent": True, "color": "#7a7a7a"}
    axes = {
        "xAxis": {"type": "value", "show": False, "min": -0.15, "max": 1.15},
        "yAxis": {"type": "value", "show": False, "min": -0.12, "max": 0.98},
        "more": [edge, corners],
    }
    who = "" if len(course.shares) == 1 else f", {game.players[player]}"
    spots = {"end": [line[-1] for line in lines], "equilibrium": rest}
    described = f"{len(lines)} courses in the triangle of {', '.join(game.actions[player])}"
    plane(
        f"{rule.capitalize()} dynamics of {game.name}{who}",
        {"course": lines},
        spots,
        axes,
        _rows(game, course),
        described,
    )


def _over_time(game: NormalForm, rule: str, course: Course) -> None:
    """The shares of the first player's most used actions, mean over starts."""
    mean = course.shares[0].mean(axis=0)
    used = sorted(np.argsort(-mean.max(axis=0))[:MOST_LINES].tolist())
    lines = {game.actions[0][a]: mean[:, a].tolist() for a in used}
    curves(f"{rule.capitalize()} dynamics of {game.name}, {game.players[0]}", lines, "point in time", "mean share")


def _share(game: NormalForm, equilibrium: Mapping[str, Any], player: int, action: int) -> float:
    return float(equilibrium["strategies"][player].get(game.actions[player][action], 0.0))


def _spot(shares: Any) -> tuple[float, float]:
    """Where shares of three actions are in the triangle."""
    x, y = np.asarray(shares, float) @ np.array(CORNERS)
    return float(x), float(y)


def _places(spots: list[Any]) -> str:
    different = sorted({tuple(round(x, 2) for x in spot) for spot in spots})
    return ", ".join(f"({x:g}, {y:g})" for x, y in different[:8]) or "none"
