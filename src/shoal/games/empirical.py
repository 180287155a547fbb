"""Empirical games from logs: a CSV file or a folder of runs becomes a payoff table with uncertainty.

Two forms of CSV are read. Wide: one match a line, columns ``strategy_1, payoff_1, strategy_2, payoff_2, ...`` (or with
names of roles instead of numbers). Long: one player of a match a line, columns ``match, strategy, payoff`` and
optionally ``role``. A folder is searched for ``events.jsonl`` files; their ``trial.end`` events name seats and payoffs.
"""

from __future__ import annotations

import csv
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np

from shoal.errors import InputError
from shoal.games.normal_form import NormalForm, normal_form
from shoal.stats import Estimate, mean

Seated = tuple[tuple[str, ...], tuple[float, ...]]
"""Strategies and payoffs of one match, by role."""


@dataclass(frozen=True)
class EmpiricalGame:
    """Payoffs of mixes of strategies as they were seen.

    Attributes:
        roles: names of the players' roles; all "player" if they are interchangeable.
        strategies: of each role.
        cells: payoffs [matches, players] of each mix that was seen, strategies in the order of roles, sorted if roles
            are interchangeable.
        symmetric: whether roles are interchangeable.
    """

    roles: tuple[str, ...]
    strategies: tuple[tuple[str, ...], ...]
    cells: Mapping[tuple[str, ...], np.ndarray]
    symmetric: bool

    @property
    def missing(self) -> list[tuple[str, ...]]:
        """Mixes that were never seen."""
        every = product(*self.strategies)
        wanted = {tuple(sorted(mix)) if self.symmetric else mix for mix in every}
        return sorted(wanted - set(self.cells))

    def estimate(self, mix: Sequence[str]) -> list[Estimate]:
        """Mean payoff of each player of that mix, in the order given, with its interval.

        Raises:
            InputError: the mix was never seen.
        """
        key = tuple(sorted(mix)) if self.symmetric else tuple(mix)
        if key not in self.cells:
            raise InputError("mix", ", ".join(mix), f"It was not seen; seen: {len(self.cells)} mixes.")
        order = _places(key, tuple(mix)) if self.symmetric else range(len(key))
        return [mean(self.cells[key][:, k]) for k in order]

    def normal_form(self, fill: float | None = None) -> NormalForm:
        """The table of means.

        Args:
            fill: payoff of mixes that were never seen; without it they are refused.

        Raises:
            InputError: a mix is missing, with its name.
        """
        return self._table({key: cell.mean(axis=0) for key, cell in self.cells.items()}, fill)

    def resampled(self, count: int = 200, seed: int = 0, fill: float | None = None) -> Iterable[NormalForm]:
        """Tables from matches drawn anew within each mix: carry uncertainty through any solver."""
        rng = np.random.default_rng(seed)
        for _ in range(count):
            means = {key: cell[rng.integers(0, len(cell), len(cell))].mean(axis=0) for key, cell in self.cells.items()}
            yield self._table(means, fill)

    def rows(self) -> list[dict[str, object]]:
        """One row for each player of each mix: strategy, payoff, interval, number of matches."""
        rows: list[dict[str, object]] = []
        for key in sorted(self.cells):
            for k, (name, e) in enumerate(zip(key, self.estimate(key), strict=True)):
                rows.append({"mix": ", ".join(key), "role": self.roles[k], "strategy": name, "payoff": e.value,
                             "low": e.low, "high": e.high, "matches": e.n})  # fmt: skip
        return rows

    def _table(self, means: Mapping[tuple[str, ...], np.ndarray], fill: float | None) -> NormalForm:
        n = len(self.roles)
        table = np.zeros((*(len(s) for s in self.strategies), n))
        for cell in np.ndindex(*table.shape[:-1]):
            mix = tuple(self.strategies[i][a] for i, a in enumerate(cell))
            key = tuple(sorted(mix)) if self.symmetric else mix
            if key in means:
                table[cell] = means[key][list(_places(key, mix))] if self.symmetric else means[key]
            elif fill is None:
                raise InputError("log", ", ".join(mix), "This mix was never played: play it, or give fill.")
            else:
                table[cell] = fill
        players = None if self.symmetric else self.roles
        return normal_form(table, self.strategies, players, name="empirical")


def empirical_game(path: Path | str, *, players: int | None = None, symmetric: bool | None = None) -> EmpiricalGame:
    """Read a log.

    Args:
        path: a CSV file, or a folder of runs.
        players: only matches of that many; needed where the log holds several numbers.
        symmetric: roles are interchangeable; by default if the log names none.

    Raises:
        InputError: the file cannot be read (with line and column), or holds no match of that many players.
    """
    source = Path(path)
    if source.is_dir():
        matches, roles = _from_folder(source)
    elif source.is_file():
        matches, roles = _from_csv(source)
    else:
        raise InputError("log", str(source), "Give a CSV file or a folder of runs.")
    return _collect(matches, roles, players, symmetric, str(source))


def _collect(
    matches: list[Seated], roles: tuple[str, ...] | None, players: int | None, symmetric: bool | None, source: str
) -> EmpiricalGame:
    counts = sorted({len(s) for s, _ in matches})
    if players is None and len(counts) > 1:
        raise InputError("players", counts, "The log holds matches of several sizes: choose one with players=.")
    n = players if players is not None else (counts[0] if counts else 0)
    kept = [m for m in matches if len(m[0]) == n]
    if not kept:
        raise InputError("log", source, f"It holds no match of {n} players." if n else "It holds no match.")
    same = roles is None if symmetric is None else symmetric
    cells: dict[tuple[str, ...], list[list[float]]] = defaultdict(list)
    for strategies, payoffs in kept:
        order = sorted(range(n), key=lambda i: strategies[i]) if same else range(n)
        cells[tuple(strategies[i] for i in order)].append([payoffs[i] for i in order])
    if same:
        names = tuple(sorted({s for key in cells for s in key}))
        by_role: tuple[tuple[str, ...], ...] = (names,) * n
    else:
        by_role = tuple(tuple(sorted({key[i] for key in cells})) for i in range(n))
    shown = ("player",) * n if same or roles is None else roles
    return EmpiricalGame(shown, by_role, {k: np.array(v) for k, v in cells.items()}, same)


def _from_csv(path: Path) -> tuple[list[Seated], tuple[str, ...] | None]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            columns = [c.strip() for c in reader.fieldnames or []]
            rows = [{(k or "").strip(): v for k, v in row.items()} for row in reader]
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError("log", str(path), f"It is no CSV file: {error}.") from None
    if {"match", "strategy", "payoff"} <= set(columns):
        return _long(path, rows, "role" in columns)
    suffixes = [c.removeprefix("strategy_") for c in columns if c.startswith("strategy_")]
    if not suffixes or any(f"payoff_{s}" not in columns for s in suffixes):
        raise InputError(f"{path.name} columns", columns, "Use strategy_1, payoff_1, ... or match, strategy, payoff.")
    matches = []
    for number, row in enumerate(rows, 2):
        present = [s for s in suffixes if (row.get(f"strategy_{s}") or "").strip()]
        strategies = tuple(str(row[f"strategy_{s}"]).strip() for s in present)
        matches.append((strategies, tuple(_payoff(path, number, row.get(f"payoff_{s}")) for s in present)))
    return matches, None if all(s.isdigit() for s in suffixes) else tuple(suffixes)


def _long(path: Path, rows: list[dict[str, str]], with_roles: bool) -> tuple[list[Seated], tuple[str, ...] | None]:
    grouped: dict[str, list[tuple[str, str, float]]] = defaultdict(list)
    for number, row in enumerate(rows, 2):
        strategy = (row["strategy"] or "").strip()
        if not strategy:
            raise InputError(f"{path.name} line {number}", row, "Name the strategy.")
        role = (row.get("role") or "").strip() if with_roles else ""
        grouped[row["match"]].append((role, strategy, _payoff(path, number, row["payoff"])))
    matches, names = [], None
    for key, entries in grouped.items():
        ordered = sorted(entries, key=lambda e: e[0]) if with_roles else entries
        roles = tuple(role for role, _, _ in ordered)
        if with_roles and names is not None and roles != names:
            raise InputError(f"{path.name} match {key}", roles, f"All matches need the roles {', '.join(names)}.")
        names = roles if with_roles else None
        matches.append((tuple(s for _, s, _ in ordered), tuple(p for _, _, p in ordered)))
    return matches, names


def _from_folder(folder: Path) -> tuple[list[Seated], None]:
    from shoal.traces import read_trace

    files = sorted(folder.rglob("events.jsonl"))
    if not files:
        raise InputError("log", str(folder), "The folder holds no events.jsonl.")
    matches = []
    for file in files:
        for event in read_trace(file).of_kind("trial.end"):
            seats, pays = event.payload.get("seats"), event.payload.get("payoffs")
            if not isinstance(seats, list) or not isinstance(pays, list) or len(seats) != len(pays):
                continue
            if all(isinstance(p, int | float) and math.isfinite(p) for p in pays):
                matches.append((tuple(map(str, seats)), tuple(map(float, pays))))
    return matches, None


def _payoff(path: Path, line: int, text: str | None) -> float:
    try:
        value = float(text or "")
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise InputError(f"{path.name} line {line} payoff", text, "Payoffs are finite numbers.")
    return value


def _places(key: tuple[str, ...], mix: tuple[str, ...]) -> list[int]:
    """For each strategy of the mix its column in the sorted key; equal strategies take different columns."""
    left: dict[str, list[int]] = defaultdict(list)
    for k, name in enumerate(key):
        left[name].append(k)
    return [left[name].pop(0) for name in mix]
