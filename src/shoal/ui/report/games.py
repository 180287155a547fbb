"""What a report says about games: payoffs of mixes from a log of matches, and cross-play of trained policies."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson

from shoal.errors import InputError
from shoal.traces import Event
from shoal.ui.report.blocks import MOST_ROWS, Section, Table, cell, table_of
from shoal.ui.wording import estimate, interval

CROSS_PLAY = "cross_play.json"
MOST_ACROSS = 40


def game_sections(folder: Path, events: Sequence[Event]) -> list[Section]:
    """Sections of a run that played games or crossed policies; none for other runs."""
    return [section for section in (_crossed(folder), _matches(folder, events)) if section]


def _crossed(folder: Path) -> Section:
    """The matrix of ``shoal cross-play``."""
    section = Section("cross-play", "Cross-play")
    path = folder / CROSS_PLAY
    if not path.is_file():
        return section
    document = orjson.loads(path.read_bytes())
    names, matrix = document["policies"], document["matrix"]
    rows = [[name, *(_shown(e) for e in line)] for name, line in zip(names, matrix, strict=True)]
    note = f"Mean return of all agents [95% over {document['episodes']} episodes]; the row plays "
    section.blocks.append(Table("Return", ["", *names], rows, note + ", ".join(document["row_seats"]) + "."))
    kinds = ("self_play", "cross_play", "gap", "gap_over_policies")
    summed = [[kind.replace("_", " "), _shown(document[kind])] for kind in kinds if kind in document]
    section.blocks.append(Table("Self-play and cross-play", ["", "Return"], summed))
    return section


def _shown(e: dict[str, Any]) -> str:
    return estimate({"estimate": e["value"], "ci_low": e.get("low"), "ci_high": e.get("high")})


def _matches(folder: Path, events: Sequence[Event]) -> Section:
    """Payoffs of every mix of strategies that met, as the trace tells."""
    from shoal.games.empirical import empirical_game

    section = Section("games", "Payoffs")
    if not any(e.kind == "trial.end" and "payoffs" in e.payload and "seats" in e.payload for e in events):
        return section
    try:
        found = empirical_game(folder)
    except InputError as error:
        section.notes.append(f"No table: {error}")
        return section
    if len(found.roles) == 2 and max(map(len, found.strategies)) <= MOST_ACROSS:
        rows, columns = found.strategies

        def payoff(row: str, column: str) -> str:
            try:
                return interval(found.estimate((row, column))[0])
            except InputError:
                return "not played"

        cells = [[row, *(payoff(row, column) for column in columns)] for row in rows]
        section.blocks.append(Table("Payoff of the row against the column", ["", *columns], cells, "Means [95%]."))
    listed = [
        {"mix": row["mix"], "role": row["role"], "strategy": row["strategy"],
         "payoff": estimate({"estimate": row["payoff"], "ci_low": row["low"], "ci_high": row["high"]}),
         "matches": cell(row["matches"])}
        for row in found.rows()[: MOST_ROWS + 1]
    ]  # fmt: skip
    section.blocks.append(table_of("Payoffs of each mix", listed))
    return section
