"""Advice for swarms: how strongly to contract or escape ("act"), and which neighbours to follow ("cooperate").

Steps 7 to 10 of LAC-MAS (arXiv 2605.00691). Every advisor has the same interface and the same schedule; what differs is
where the numbers come from: a constant, chance, the paper's rules stated as a script, or a language model that is told
those rules. An agent's advisor sees its own trail and its neighbours' descriptors only. Whatever is advised passes
``projected``: no reply can break row-stochasticity or put weight on a stranger.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shoal.games.consensus.swarm import START, Advisor, Moment

D_RANGE, C_RANGE = (0.5, 1.0), (1.0, 1.8)
ACT_WINDOW, COOPERATE_WINDOW = 19, 10
STEP = 0.1
"""By how much the scripted advisor raises a coefficient."""
STAGNANT, SLOW = 0.01, 0.05
"""Relative improvement over the window below which fitness stagnates, or makes slow progress."""
NEAR, FAR = 0.01, 0.1
"""Disagreement relative to its largest so far: low below, high above."""
GRADES = (0.15, 0.25, 0.4)
"""Weights of a bad and spread, a middling, and a good and concentrated neighbour, before the sum is made 1."""
D_OPTIONS, C_OPTIONS = (0.5, 0.6, 0.7, 0.85, 1.0), (1.0, 1.2, 1.3, 1.5, 1.8)
WEIGHT_OPTIONS = (0.1, 0.2, 0.3, 0.4, 0.5)
"""What models too small for free numbers choose from."""


def constant_act(moment: Moment) -> NDArray[np.float64]:
    """(0.7, 1.3), always."""
    return np.broadcast_to(np.array(START), moment.advice[0].shape).copy()


def constant_weights(moment: Moment) -> NDArray[np.float64]:
    """The graph's own."""
    return np.broadcast_to(moment.mixing, moment.advice[1].shape).copy()


def random_act(rng: np.random.Generator) -> Advisor:
    """Uniform in the ranges."""
    low, high = np.transpose([D_RANGE, C_RANGE])
    return lambda moment: rng.uniform(low, high, moment.advice[0].shape)


def random_weights(rng: np.random.Generator) -> Advisor:
    """Uniform over all distributions on oneself and one's neighbours."""

    def advise(moment: Moment) -> NDArray[np.float64]:
        drawn = rng.exponential(size=moment.advice[1].shape) * (moment.mixing > 0)
        return np.asarray(drawn / drawn.sum(-1, keepdims=True))

    return advise


def scripted_act(rng: np.random.Generator, error: float = 0.0) -> Advisor:
    """Rule 7 to the letter; with chance ``error`` an agent's numbers are drawn at random instead."""
    chance = random_act(rng)

    def advise(moment: Moment) -> NDArray[np.float64]:
        progress, apart = improvement(moment), closeness(moment)
        d, c = moment.advice[0][..., 0], moment.advice[0][..., 1]
        c = np.where((progress < STAGNANT) & (apart < NEAR), c + STEP, c)
        d = np.where((progress < SLOW) & (apart > FAR), d + STEP, d)
        told = np.stack([np.clip(d, *D_RANGE), np.clip(c, *C_RANGE)], -1)
        wrong = rng.random(d.shape) < error
        return np.where(wrong[..., None], chance(moment), told)

    return advise


def scripted_weights(rng: np.random.Generator, error: float = 0.0) -> Advisor:
    """Rule 8 to the letter, quality first; with chance ``error`` an agent's weights are drawn at random instead."""
    chance = random_weights(rng)

    def advise(moment: Moment) -> NDArray[np.float64]:
        window = slice(max(0, moment.loop - COOPERATE_WINDOW), moment.loop)
        objective, apart = (x[:, window].mean(1) for x in (moment.trail.objective, moment.trail.disagreement))
        near = moment.mixing > 0
        good, close = (_better_half(x, near) for x in (objective, apart))
        grade = np.select([good & close, ~good & ~close], [GRADES[2], GRADES[0]], GRADES[1])
        told = grade * near
        told = told / told.sum(-1, keepdims=True)
        wrong = rng.random(told.shape[:2]) < error
        return np.where(wrong[..., None], chance(moment), told)

    return advise


def _better_half(x: NDArray[np.float64], near: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Whether k is no worse than the median of those near i [seeds, i, k]."""
    seen = np.where(near, x[:, None, :], np.nan)
    return np.asarray(x[:, None, :] <= np.nanmedian(seen, axis=-1, keepdims=True))


def improvement(moment: Moment) -> NDArray[np.float64]:
    """How far the own objective fell over the window, relative to its size [seeds, agents]."""
    first, last = (moment.trail.objective[:, k] for k in (max(0, moment.loop - ACT_WINDOW), moment.loop - 1))
    return np.asarray((first - last) / np.maximum(np.abs(first) + np.abs(last), 1e-300))


def closeness(moment: Moment) -> NDArray[np.float64]:
    """Disagreement now, relative to the largest so far [seeds, agents]."""
    apart = moment.trail.disagreement
    return np.asarray(apart[:, -1] / np.maximum(apart.max(1), 1e-300))


# Words


def act_prompt(moment: Moment, seed: int, agent: int, menu: bool) -> str:
    """Asks one agent for its coefficients, from its own data."""
    window = slice(max(0, moment.loop - ACT_WINDOW), moment.loop)
    d, c = moment.advice[0][seed, agent]
    lines = [
        f"You tune the search of one agent. It is iteration {moment.loop}. Now d = {d:.2f} and c = {c:.2f}.",
        f"Its objective of late (lower is better): {_told(moment.trail.objective[seed, window, agent])}.",
        f"Its disagreement with its neighbours: {_told(moment.trail.disagreement[seed, window, agent])}.",
        "If the objective stagnates while disagreement is low, raise c. If progress is slow while disagreement is "
        "high, raise d. Otherwise keep them.",
    ]
    if menu:
        lines.append(f"Choose d from {_listed(D_OPTIONS)} and c from {_listed(C_OPTIONS)}.")
        lines.append('Reply with {"d": "...", "c": "..."}.')
    else:
        lines.append("d lies between 0.5 and 1, c between 1 and 1.8. End with a line: (d, c)")
    return "\n".join(lines)


def weights_prompt(moment: Moment, seed: int, agent: int, menu: bool) -> str:
    """Asks one agent whom to follow, from descriptors of itself and its neighbours."""
    window = slice(max(0, moment.loop - COOPERATE_WINDOW), moment.loop)
    members = members_of(moment, agent)
    lines = ["You weigh what an agent takes over from itself and its neighbours."]
    for k in members:
        objective, apart, step = (
            float(x[seed, window, k].mean())
            for x in (moment.trail.objective, moment.trail.disagreement, moment.trail.step)
        )
        name = "itself" if k == agent else f"neighbour {k}"
        lines.append(f"{name}: objective {objective:.3g}, disagreement {apart:.3g}, step {step:.3g}.")
    lines.append(
        "Lower is better. Good and concentrated ones get 0.3 to 0.5, bad and spread ones 0.1 to 0.2; quality counts "
        "before concentration."
    )
    if menu:
        form = ", ".join(f'"{k}": "..."' for k in members)
        lines.append(f"Choose each weight from {_listed(WEIGHT_OPTIONS)}; {agent} is the agent itself.")
        lines.append(f"Reply with {{{form}}}.")
    else:
        lines.append(f"The weights sum to 1. End with a list of {len(members)} numbers in this order: [w, ...]")
    return "\n".join(lines)


def members_of(moment: Moment, agent: int) -> list[int]:
    """The agent and its neighbours, in order."""
    return [int(k) for k in np.flatnonzero(moment.mixing[agent] > 0)]


def act_schema() -> dict[str, Any]:
    """JSON schema of a menu's coefficients."""
    return _schema({"d": D_OPTIONS, "c": C_OPTIONS})


def weights_schema(members: Sequence[int]) -> dict[str, Any]:
    """JSON schema of a menu's weights."""
    return _schema({str(k): WEIGHT_OPTIONS for k in members})


def read_coefficients(text: str) -> tuple[float, float] | None:
    """The last pair that a reply states, as (d, c) or JSON, moved into the ranges; reasoning before it is ignored."""
    found = _numbers(text, ("d", "c"))
    if found is None:
        pairs = [p for p in re.findall(r"\(([^()]*)\)", text[-4000:]) if p.count(",") == 1]
        found = _floats(pairs[-1].split(",")) if pairs else None
    if found is None or len(found) != 2 or not all(math.isfinite(x) for x in found):
        return None
    return min(max(found[0], D_RANGE[0]), D_RANGE[1]), min(max(found[1], C_RANGE[0]), C_RANGE[1])


def read_weights(text: str, members: Sequence[int], agents: int) -> NDArray[np.float64] | None:
    """The last list that a reply states, as a row of weights [agents]; None where it has another length."""
    found = _numbers(text, [str(k) for k in members])
    if found is None:
        lists = re.findall(r"\[([^\[\]]*)\]", text[-4000:])
        found = _floats(lists[-1].split(",")) if lists else None
    if found is None or len(found) != len(members):
        return None
    row = np.zeros(agents)
    row[list(members)] = found
    return row


def projected(row: Any, near: NDArray[np.bool_], old: NDArray[np.float64]) -> NDArray[np.float64]:
    """The weights that a reply comes to (step 8): negative ones and strangers' are 0, and the rest sums to 1.

    Args:
        row: anything; None, another length, or numbers that are not finite keep the old weights.
        near: oneself and one's neighbours [agents].
        old: weights in force [agents].
    """
    try:
        given = np.asarray(row, float)
    except (TypeError, ValueError):
        return old
    if given.shape != old.shape or not np.isfinite(given).all():
        return old
    kept = np.where(near, np.maximum(given, 0.0), 0.0)
    top = kept.max()
    if top <= 0:
        return old
    kept = kept / top
    return np.asarray(kept / kept.sum())


def _numbers(text: str, keys: Sequence[str]) -> list[float] | None:
    """Values of those keys in the last JSON object that has them all."""
    for part in reversed(re.findall(r"\{[^{}]*\}", text[-4000:])):
        try:
            found = json.loads(part)
        except ValueError:
            continue
        if all(key in found for key in keys):
            return _floats([found[key] for key in keys])
    return None


def _floats(parts: Sequence[Any]) -> list[float] | None:
    try:
        return [float(p) for p in parts]
    except (TypeError, ValueError):
        return None


def _schema(options: dict[str, tuple[float, ...]]) -> dict[str, Any]:
    properties = {name: {"type": "string", "enum": [f"{x:g}" for x in values]} for name, values in options.items()}
    return {"type": "object", "properties": properties, "required": list(options), "additionalProperties": False}


def _told(values: NDArray[np.float64]) -> str:
    return ", ".join(f"{x:.3g}" for x in values)


def _listed(values: tuple[float, ...]) -> str:
    return ", ".join(f"{x:g}" for x in values)
