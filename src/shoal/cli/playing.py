"""`shoal play`: seats at a game, cross-play tables, and empirical games from logs; and games for `list` and `show`."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from shoal.cli import console
from shoal.cli.execution import JsonOption
from shoal.errors import InputError

if TYPE_CHECKING:
    from shoal.games.crossplay import CrossPlay
    from shoal.games.empirical import EmpiricalGame
    from shoal.games.game import Game
    from shoal.games.playing import Result
    from shoal.games.seats import Seat
    from shoal.stats import Estimate
    from shoal.traces import TraceWriter

DEFAULT_ROUNDS = 10


def play(
    game: Annotated[str, typer.Argument(help="A game (shoal list games), or a log: CSV file or folder of runs.")],
    seats: Annotated[str | None, typer.Option(help="Who plays: tit-for-tat,local:smollm2,nash,me")] = None,
    rounds: Annotated[int | None, typer.Option(help="Rounds of a game in normal form; default 10.")] = None,
    noise: Annotated[float, typer.Option(help="Chance that an action is carried out as another one.")] = 0.0,
    repeats: Annotated[int, typer.Option(help="Matches of each mix of seats.")] = 1,
    table: Annotated[bool, typer.Option("--table", help="Every mix of the seats, ranked.")] = False,
    disguise: Annotated[int | None, typer.Option(help="Play the game under other names and payoffs; a seed.")] = None,
    players: Annotated[int | None, typer.Option(help="Of a log: only matches of that many players.")] = None,
    seed: Annotated[int, typer.Option(help="Root of all random numbers.")] = 0,
    out: Annotated[Path | None, typer.Option(help="Folder for events.jsonl and the call cache.")] = None,
    json: JsonOption = False,
) -> int:
    """Seat strategies, solvers, learners, language models or yourself at a game; or analyse a log of matches."""
    from shoal.games.catalogue import GAMES, make_game
    from shoal.games.disguise import disguise as disguised
    from shoal.games.playing import as_played
    from shoal.games.seats import split_seats

    if game.partition(":")[0] not in GAMES and Path(game).exists():
        return _log(Path(game), players, json)
    chosen = as_played(make_game(game), *_repetition(game, rounds, noise))
    if disguise is not None:
        chosen = disguised(chosen, disguise).game
    names = split_seats(seats) if seats else []
    if not names:
        known = f"{chosen.player_count} seats, separated by commas: shoal list strategies shows some."
        raise InputError("--seats", seats, f"Name {known}")
    length = getattr(chosen, "rounds", 1)
    places = _opened(names, length, seed, out)
    trace = _trace(out, game)
    try:
        if table or len(names) > chosen.player_count:
            return _table(chosen, places, repeats, seed, trace, json)
        return _matches(chosen, places, repeats, seed, trace, json)
    finally:
        if trace is not None:
            trace.close()


def games() -> list[dict[str, Any]]:
    """One row for each named game."""
    from shoal.games.catalogue import GAMES, make_game

    rows = []
    for name, entry in GAMES.items():
        made = make_game(name)
        shape = getattr(made, "shape", None)
        rows.append(
            {
                "name": name,
                "what": entry.title,
                "family": entry.family,
                "players": made.player_count,
                "actions": "x".join(map(str, shape)) if shape else "-",
                "settings": ", ".join(f"{k}={v:g}" for k, v in entry.settings.items()),
                "known": entry.known,
            }
        )
    return rows


def strategies() -> list[dict[str, Any]]:
    """One row for each seat that has a name."""
    from shoal.games.seats.opening import OTHERS
    from shoal.games.seats.solver import SOLVERS
    from shoal.games.strategies import STRATEGIES
    from shoal.models.opening import SCHEMES

    rows = [{"name": name, "kind": "strategy", "what": entry.title} for name, entry in STRATEGIES.items()]
    rows += [{"name": name, "kind": "solver", "what": what} for name, what in SOLVERS.items()]
    rows += [{"name": name, "kind": "other", "what": what} for name, what in OTHERS.items()]
    return rows + [{"name": f"{name}:...", "kind": "model", "what": what} for name, what in SCHEMES.items()]


def game_names() -> list[str]:
    """Names of all games."""
    from shoal.games.catalogue import GAMES

    return GAMES.names()


def is_game(name: str) -> bool:
    """Whether that is the name of a game, with or without settings."""
    from shoal.games.catalogue import GAMES

    return name.partition(":")[0] in GAMES


def show_game(name: str, json: bool) -> int:
    """Rules and solution of a game."""
    from shoal.games.catalogue import GAMES, make_game
    from shoal.games.solution import solve

    made = make_game(name)
    entry = GAMES.get(name.partition(":")[0])
    found = solve(made)
    document = {"name": name, "title": entry.title, "family": entry.family, "settings": entry.settings,
                "known": entry.known, "rules": made.rules(0), "solution": found}  # fmt: skip
    if json:
        console.print_json(document)
        return 0
    console.out.print(f"{entry.title}  ({entry.family})", style="bold")
    console.out.print(entry.known, markup=False)
    console.out.print(f"\n{made.rules(0)}", markup=False)
    for key, value in found.items():
        if key == "equilibria":
            rows = [(_mixes(e["strategies"]), ", ".join(f"{x:.4g}" for x in e["payoffs"])) for e in value]
            title = f"\nEquilibria ({found.get('count', len(value))}; {found.get('method', '')})"
            console.table(title, ("strategies", "payoffs"), rows)
        elif key == "strategies":
            console.table("\nStrategies", ("at", "plays"), [(at, _mix(p)) for at, p in value.items()])
        elif key not in ("players", "actions", "count"):
            console.out.print(f"{key}: {_plain(value)}", markup=False, soft_wrap=True)
    return 0


def _repetition(spec: str, rounds: int | None, noise: float) -> tuple[int | None, float]:
    from shoal.games.catalogue import make_game
    from shoal.games.normal_form import NormalForm

    if rounds is None and isinstance(make_game(spec), NormalForm):
        return DEFAULT_ROUNDS, noise
    return rounds, noise


def _opened(names: list[str], rounds: int, seed: int, out: Path | None) -> list[Seat]:
    """The seats, each name opened once, so that players of the same name share a model."""
    from shoal.games.seats import open_seat
    from shoal.models.cache import CallCache

    cache = CallCache(out / "calls.sqlite") if out is not None else None
    made: dict[str, Seat] = {}
    for name in names:
        if name not in made:
            made[name] = open_seat(name, rounds=rounds, seed=seed, cache=cache)
    return [made[name] for name in names]


def _trace(out: Path | None, game: str) -> TraceWriter | None:
    if out is None:
        return None
    from shoal.traces import TraceWriter

    return TraceWriter(out / "events.jsonl", f"play {game}")


def _matches(game: Game, seats: list[Seat], repeats: int, seed: int, trace: TraceWriter | None, json: bool) -> int:
    from shoal.games.playing import play as play_all

    result = play_all(game, seats, repeats, seed, trace)
    rows = [_player_row(result, i, seats[i]) for i in range(len(seats))]
    if json:
        console.print_json(_game_facts(game) | {"repeats": repeats, "seed": seed, "players": rows,
                                                "payoffs": result.payoffs.tolist()})  # fmt: skip
        return _answered(rows)
    console.out.print(f"{game.title or game.name}, {repeats} match{'es' if repeats > 1 else ''}", style="bold")
    console.table(
        "",
        ("player", "seat", "evidence", "payoff [95%]", "actions", "unreadable"),
        [
            (r["player"], r["seat"], r["evidence"], _interval(r), _mix(r["actions"]),
             ", ".join(f"{n} {kind}" for kind, n in r["failures"].items()) or "0")
            for r in rows
        ],
    )  # fmt: skip
    return _answered(rows)


def _table(game: Game, seats: list[Seat], repeats: int, seed: int, trace: TraceWriter | None, json: bool) -> int:
    from shoal.games.crossplay import cross_play

    async def all_of_it() -> CrossPlay:
        try:
            return await cross_play(game, list(dict.fromkeys(seats)), repeats, seed, trace)
        finally:
            for seat in set(seats):
                await seat.aclose()

    found = asyncio.run(all_of_it())
    document = _game_facts(game) | {"repeats": repeats, "seed": seed} | _ranked(found)
    document["failures"] = _failures(found)
    if json:
        console.print_json(document)
        return 0
    console.out.print(f"{game.title or game.name}, {repeats} matches of each mix", style="bold")
    _tell_ranked(found, document)
    for name, kinds in document["failures"].items():
        if kinds:
            console.out.print(f"{name}: " + ", ".join(f"{n} {kind}" for kind, n in kinds.items()), markup=False)
    return 0


def _ranked(found: CrossPlay) -> dict[str, Any]:
    columns = {"alpha_rank": found.alpha_rank(), "exploitability": found.exploitability()}
    if found.symmetric and found.players == 2:
        columns["nash_averaging"] = found.nash_averaging()
    rows: list[dict[str, Any]] = []
    for k, name in enumerate(found.names):
        rows.append({"seat": name} | {key: _numbers(column[k]) for key, column in columns.items()})
    rows.sort(key=lambda row: -row["alpha_rank"]["value"])
    return {"seats": list(found.names), "symmetric": found.symmetric, "means": found.means.tolist(), "ranking": rows}


def _tell_ranked(found: CrossPlay, document: dict[str, Any]) -> None:
    if found.players == 2:
        pays = found.payoffs()
        rows = [(name, *(_interval(_numbers(e)) for e in row)) for name, row in zip(found.names, pays, strict=True)]
        console.table("\nPayoff of row against column [95%]", ("seat", *found.names), rows, right=found.names)
    keys = [key for key in document["ranking"][0] if key != "seat"]
    shown = [(row["seat"], *(_interval(row[key]) for key in keys)) for row in document["ranking"]]
    console.table("\nRanking [95%]", ("seat", *(key.replace("_", " ") for key in keys)), shown)


def _failures(found: CrossPlay) -> dict[str, dict[str, int]]:
    totals: dict[str, dict[str, int]] = {name: {} for name in found.names}
    for mix, result in (found.results or {}).items():
        for player, k in enumerate(mix):
            for kind, n in result.failures(player).items():
                counts = totals[found.names[k]]
                counts[kind] = counts.get(kind, 0) + n
    return totals


def _log(path: Path, players: int | None, json: bool) -> int:
    from shoal.games.empirical import empirical_game
    from shoal.games.solution import solve

    found = empirical_game(path, players=players)
    rows = found.rows()
    missing = [", ".join(mix) for mix in found.missing]
    solution = None if missing else solve(found.normal_form())
    if json:
        console.print_json({"log": str(path), "symmetric": found.symmetric, "rows": rows, "missing": missing,
                            "ranking": None if missing else _log_ranking(found), "solution": solution})  # fmt: skip
        return 0
    console.table(
        f"{path}: {sum(len(c) for c in found.cells.values())} matches",
        ("mix", "role", "strategy", "payoff [95%]", "matches"),
        [(r["mix"], r["role"], r["strategy"], _interval({"value": r["payoff"], **r}), r["matches"]) for r in rows],
        right=("matches",),
    )
    if missing:
        console.out.print(f"never played: {'; '.join(missing[:10])}{' ...' if len(missing) > 10 else ''}", markup=False)
        return 0
    for title, ranks in _log_ranking(found).items():
        console.table(
            f"\nAlpha-rank, {title} [95%]", ("strategy", "mass"), [(r["strategy"], _interval(r)) for r in ranks]
        )
    return 0


def _log_ranking(found: EmpiricalGame) -> dict[str, list[dict[str, Any]]]:
    """Alpha-rank mass of each role's strategies, with percentiles over resampled matches."""
    import numpy as np

    from shoal.games.dynamics.alpha_rank import alpha_rank

    point = alpha_rank(found.normal_form()).scores
    drawn = [alpha_rank(table, single=len(point) == 1).scores for table in found.resampled()]
    if found.symmetric:  # interchangeable roles are one population
        point, drawn = (np.mean(point, axis=0),), [(np.mean(d, axis=0),) for d in drawn]
    ranking = {}
    for i, mass in enumerate(point):
        low, high = np.quantile([d[i] for d in drawn], [0.025, 0.975], axis=0)
        rows: list[dict[str, Any]] = [
            {"strategy": name, "value": float(mass[k]), "low": float(low[k]), "high": float(high[k])}
            for k, name in enumerate(found.strategies[i])
        ]
        ranking[found.roles[i]] = sorted(rows, key=lambda r: -r["value"])
    return ranking


def _answered(rows: list[dict[str, Any]]) -> int:
    """1, with what to look at, if a model gave no usable reply at all; else 0."""
    mute = [r for r in rows if r["failures"].get("guessed", 0) == r["moves"] > 0]
    for r in mute:
        kinds = ", ".join(kind for kind in r["failures"] if kind != "guessed")
        text = f"shoal: {r['seat']} gave no usable reply ({kinds}); all its moves were drawn at random."
        console.err.print(text, style="red", markup=False, soft_wrap=True)
    return 1 if mute else 0


def _player_row(result: Result, i: int, seat: Seat) -> dict[str, Any]:
    usage = result.usage(i).as_dict()
    moves = sum(t.player == i for m in result.matches for t in m.moves)
    return {"player": result.game.players[i], "seat": seat.spec, "evidence": str(seat.evidence),
            **_numbers(result.estimates()[i]), "actions": result.actions(i), "failures": result.failures(i),
            "moves": moves, "usage": usage}  # fmt: skip


def _game_facts(game: Game) -> dict[str, Any]:
    facts: dict[str, Any] = {"game": game.name, "title": game.title}
    return facts | {key: getattr(game, key) for key in ("rounds", "noise") if hasattr(game, key)}


def _numbers(e: Estimate) -> dict[str, float]:
    return {"value": e.value, "low": e.low, "high": e.high}


def _interval(row: dict[str, Any]) -> str:
    return console.estimate_text(row["value"], row["low"], row["high"])


def _mixes(strategies: list[dict[str, float]]) -> str:
    return "  |  ".join(_mix(s) for s in strategies)


def _mix(p: dict[str, float]) -> str:
    return ", ".join(name if x == 1 else f"{name} {x:.3g}" for name, x in list(p.items())[:6]) + (
        ", ..." if len(p) > 6 else ""
    )


def _plain(value: Any) -> str:
    if isinstance(value, dict):
        return "; ".join(f"{k} {_plain(v)}" for k, v in value.items())
    if isinstance(value, list):
        return ", ".join(f"({_plain(v)})" if isinstance(v, list) else _plain(v) for v in value)
    return f"{value:.4g}" if isinstance(value, float) else str(value)
