"""What actors did, as arrays: the acts from which five dimensions of behaviour are measured, of many actors at once.

Whatever is unknown is nan (or -1 for choices): pay-offs that nobody wrote down, times that are missing. Logs of one's
own are read from JSON Lines or CSV; names of actors are hashed, contents are not kept.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shoal.errors import InputError

Floats = NDArray[np.float64]

UNKNOWN = np.nan
NAME_LENGTH = 12
"""Hexadecimal digits that are kept of an actor's hashed name."""


@dataclass(frozen=True)
class Behaviour:
    """Acts of actors.

    Attributes:
        gaps: natural logarithm of the seconds between acts [actors, acts].
        payoffs: of the options of each choice, on a scale from 0 to 1 [actors, choices, options].
        chosen: number of the option taken [actors, choices]; -1 where there was no choice.
        carried: share of each declared plan that was carried out in order [actors, plans].
        stayed: 1 where the last action was repeated though a strictly better option had become visible, 0 where not
            [actors, occasions].
        violated: 1 where the two answers to a pair of probes contradict each other, 0 where not [actors, probes].
        lengths: natural logarithm of the words of each act [actors, acts].
        names: of the actors, hashed; empty for synthetic ones.
    """

    gaps: Floats
    payoffs: Floats
    chosen: NDArray[np.int64]
    carried: Floats
    stayed: Floats
    violated: Floats
    lengths: Floats
    names: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.gaps)

    @property
    def events(self) -> NDArray[np.int64]:
        """Acts of each actor whose time or choice is known [actors]."""
        timed = np.isfinite(self.gaps).sum(axis=1)
        return np.asarray(np.maximum(timed, (self.chosen >= 0).sum(axis=1)))

    def where(self, actors: Any) -> Behaviour:
        """Some of the actors."""
        arrays = {n: getattr(self, n)[actors] for n in ARRAYS}
        names = tuple(np.array(self.names)[actors]) if self.names else ()
        return Behaviour(**arrays, names=names)

    def resampled(self, rng: np.random.Generator) -> Behaviour:
        """The acts of each actor drawn anew, with replacement, each kind by itself: for intervals."""
        found = {}
        for name in ARRAYS:
            values = getattr(self, name)
            found[name] = values[:, rng.integers(values.shape[1], size=values.shape[1])] if values.shape[1] else values
        place = rng.integers(max(1, self.chosen.shape[1]), size=self.chosen.shape[1])
        found |= {"payoffs": self.payoffs[:, place], "chosen": self.chosen[:, place]}
        return Behaviour(**found, names=self.names)


ARRAYS = ("gaps", "payoffs", "chosen", "carried", "stayed", "violated", "lengths")


def carried_out(plan: NDArray[Any], done: NDArray[Any]) -> Floats:
    """Longest common subsequence of plan and acts over the length of the plan.

    Args:
        plan: declared steps [..., steps]; steps that are not there are negative.
        done: acts [..., acts], negative where there are none.
    """
    length = np.zeros((*plan.shape[:-1], done.shape[-1] + 1))
    for i in range(plan.shape[-1]):
        before = length.copy()
        for j in range(done.shape[-1]):
            match = (plan[..., i] == done[..., j]) & (plan[..., i] >= 0)
            longest = np.maximum(before[..., j + 1], length[..., j])
            length[..., j + 1] = np.where(match, before[..., j] + 1, longest)
    steps = (plan >= 0).sum(axis=-1)
    return np.asarray(np.where(steps > 0, length[..., -1] / np.maximum(steps, 1), UNKNOWN))


def behaviour_of(records: Iterable[dict[str, Any]], field: str = "log") -> Behaviour:
    """Acts from records, one for each act.

    Args:
        records: each with ``actor``, and what is known of ``time`` (seconds), ``action``, ``words``, ``plan`` (list of
            declared steps, or a text with commas), ``payoffs`` (mapping of option to pay-off), ``better`` (whether a
            strictly better option became visible) and ``violates`` (whether a pair of probes was contradicted).
        field: how errors name the source.

    Raises:
        InputError: a record has no actor, or a number cannot be read.
    """
    acts: dict[str, list[dict[str, Any]]] = {}
    for place, record in enumerate(records, 1):
        actor = str(record.get("actor") or "")
        if not actor:
            raise InputError(f"{field} line {place} actor", record.get("actor"), "Name who acted.")
        acts.setdefault(actor, []).append(record)
    try:
        parts = [_one(rows) for rows in acts.values()]
    except (TypeError, ValueError) as error:
        raise InputError(
            field, str(error)[:80], "Give times and pay-offs as numbers, flags as true or false."
        ) from None
    padded = {name: _padded([p[name] for p in parts], -1 if name == "chosen" else UNKNOWN) for name in ARRAYS}
    arrays: dict[str, Any] = padded | {"chosen": padded["chosen"].astype(np.int64)}
    return Behaviour(**arrays, names=tuple(hashed(name) for name in acts))


def hashed(name: str) -> str:
    """A name that cannot be read back."""
    return hashlib.sha256(name.encode()).hexdigest()[:NAME_LENGTH]


def read_behaviour(path: Path) -> Behaviour:
    """Acts from a file of JSON Lines or CSV; see ``behaviour_of``.

    Raises:
        InputError: there is no such file, or a line cannot be read.
    """
    if not path.is_file():
        raise InputError("log", str(path), "Give a file that exists (.jsonl or .csv).")
    text = path.read_text(encoding="utf-8", errors="replace")
    if path.suffix == ".csv":
        rows = [{k: _cell(v) for k, v in row.items() if k} for row in csv.DictReader(io.StringIO(text))]
        return behaviour_of(rows, path.name)
    records = []
    for place, line in enumerate(text.splitlines(), 1):
        if line.strip():
            try:
                record = json.loads(line)
            except json.JSONDecodeError as error:
                raise InputError(f"{path.name} line {place}", line[:60], f"It is no JSON: {error.msg}.") from None
            if not isinstance(record, dict):
                raise InputError(f"{path.name} line {place}", line[:60], "Write one object for each act.")
            records.append(record)
    return behaviour_of(records, path.name)


def _cell(text: str | None) -> Any:
    if text is None or not text.strip():
        return None
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return {"true": True, "false": False}.get(text.strip().lower(), text)


def _one(rows: list[dict[str, Any]]) -> dict[str, Floats]:
    """One actor's arrays, without the axis of actors."""
    times = np.array([float(r["time"]) if r.get("time") is not None else UNKNOWN for r in rows])
    gaps = np.diff(times)
    known = np.isfinite(gaps) & (gaps > 0)
    actions = [r.get("action") for r in rows]
    payoffs = [r["payoffs"] for r in rows if isinstance(r.get("payoffs"), dict) and r.get("action") in r["payoffs"]]
    taken = [r["action"] for r in rows if isinstance(r.get("payoffs"), dict) and r.get("action") in r["payoffs"]]
    plans = [(i, _steps(r["plan"])) for i, r in enumerate(rows) if r.get("plan")]
    ends = [*(i for i, _ in plans), len(rows)][1:]
    carried = [_carried(steps, actions[i:end]) for (i, steps), end in zip(plans, ends, strict=True)]
    stayed = [float(actions[i] == actions[i - 1]) for i, r in enumerate(rows) if i and r.get("better")]
    words = [np.log(max(1, len(str(r["words"]).split()))) for r in rows if r.get("words")]
    violated = [float(bool(r["violates"])) for r in rows if r.get("violates") is not None]
    most = max((len(p) for p in payoffs), default=1)
    scaled = np.full((len(payoffs), most), UNKNOWN)
    for row, options in zip(scaled, payoffs, strict=True):
        row[: len(options)] = [float(v) for v in options.values()]
    scale = np.nanmax(np.abs(scaled)) if scaled.size else 1.0
    return {
        "gaps": np.log(gaps[known]), "payoffs": scaled / (scale or 1.0),
        "chosen": np.array([list(p).index(t) for p, t in zip(payoffs, taken, strict=True)], float),
        "carried": np.array(carried), "stayed": np.array(stayed), "violated": np.array(violated),
        "lengths": np.array(words),
    }  # fmt: skip


def _steps(plan: Any) -> list[str]:
    return [s.strip() for s in plan.split(",")] if isinstance(plan, str) else [str(s) for s in plan]


def _carried(steps: Sequence[str], actions: Sequence[Any]) -> float:
    number = {step: i for i, step in enumerate(dict.fromkeys(steps))}
    done = np.array([number.get(str(a), -1) for a in actions])
    return float(carried_out(np.array([number[s] for s in steps]), done))


def _padded(parts: Sequence[Floats], fill: float) -> Floats:
    """Arrays of different lengths as one, padded at the end of each axis."""
    shape = [max((p.shape[k] for p in parts), default=0) for k in range(parts[0].ndim)] if parts else [0]
    found = np.full((len(parts), *shape), fill)
    for row, part in zip(found, parts, strict=True):
        row[tuple(slice(0, n) for n in part.shape)] = part
    return found
