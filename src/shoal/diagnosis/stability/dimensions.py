"""The twelve dimensions of stability: each compares a window of interactions with a baseline; 1 is as it was.

Statistics are those the paper names (arXiv 2601.04170). Where it leaves the map to [0, 1] open, the choice is ours and
stands in the function. Each returns None where it cannot be measured: a field is absent, the window holds no such
event, or the baseline has nothing to compare with. Tool choice and roles are compared within each type of task, so that
another mix of tasks is no drift.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any

import numpy as np

from shoal.diagnosis.stability.interactions import Array, Interaction
from shoal.stats.sequences import edit_distance

Window = Sequence[Interaction]
Dimension = Callable[[Window, Window], float | None]
BINS = 10
"""Confidence bins of the calibration."""
MAJORITY = 2 / 3 - 1e-9
"""Share of votes from which a decision counts as agreed."""
FREE = 0.5
"""Share of distinct values from which an argument counts as free text and is compared by its shape."""


def semantic(window: Window, baseline: Window) -> float | None:
    """C_sem: cosine of outputs to those of the baseline for the same task type, over the baseline's own cosine."""
    total = weight = 0.0
    references = _by_task([i for i in baseline if i.embedding is not None])
    for task, found in _by_task([i for i in window if i.embedding is not None]).items():
        rows = _rows(references.get(task, ()))
        if len(rows) < 2:
            continue
        whole = rows.sum(axis=0)
        own = (whole @ whole - (rows**2).sum()) / (len(rows) * (len(rows) - 1))
        if own <= 0:
            continue
        cosine = float(_rows(found).mean(axis=0) @ whole / len(rows))
        total += len(found) * min(1.0, max(0.0, cosine / own))
        weight += len(found)
    return total / weight if weight else None


def path(window: Window, baseline: Window) -> float | None:
    """C_path: 1 - edit distance / longer length between step sequences and the task's typical one in the baseline."""
    return _sequences(
        [(i.task, i.steps) for i in window if i.steps is not None],
        [(i.task, i.steps) for i in baseline if i.steps is not None],
    )


def calibration(window: Window, baseline: Window) -> float | None:
    """C_conf: 1 - the mean Jensen-Shannon divergence of stated from realised accuracy, over ten confidence bins.

    In each bin the two are Bernoulli distributions; bins weigh by their interactions. The baseline is not used.
    """
    told = [(i.confidence, float(i.correct)) for i in window if i.confidence is not None and i.correct is not None]
    if not told:
        return None
    confidence, correct = np.array(told).T
    bins = np.minimum((confidence * BINS).astype(int), BINS - 1)
    total = 0.0
    for b in np.unique(bins):
        inside = bins == b
        p, q = confidence[inside].mean(), correct[inside].mean()
        total += inside.sum() * jensen_shannon([p, 1 - p], [q, 1 - q])
    return 1.0 - float(total) / len(told)


def tool_choice(window: Window, baseline: Window) -> float | None:
    """T_sel: 1 - Cramér's V of tool frequencies between window and baseline, within each type of task.

    V is Bergsma's bias-corrected one: the plain V of two samples of one distribution of 5 tools is near 0.2 at the size
    of these windows, which would look like drift.
    """
    references = _by_task([i for i in baseline if i.tools])
    total = weight = 0.0
    for task, found in _by_task([i for i in window if i.tools]).items():
        if task in references:
            now, then = (Counter(c.name for i in part for c in i.tools or ()) for part in (found, references[task]))
            total += len(found) * (1.0 - cramers_v(now, then))
            weight += len(found)
    return total / weight if weight else None


def tool_order(window: Window, baseline: Window) -> float | None:
    """T_seq: 1 - normalised edit distance between sequences of tool names and the task's typical one."""
    names = [
        [(i.task, tuple(c.name for c in i.tools)) for i in part if i.tools is not None] for part in (window, baseline)
    ]
    return _sequences(*names) if any(s for _, s in names[0]) and any(s for _, s in names[1]) else None


def tool_arguments(window: Window, baseline: Window) -> float | None:
    """T_param: exp(-KL(window || baseline)) of each argument's values, counts plus one, weighted by calls.

    Arguments of free text (more distinct values in the baseline than half its calls) are compared by type and length.
    """
    now, then = _arguments(window), _arguments(baseline)
    total = weight = 0.0
    for name, values in now.items():
        if name not in then:
            continue
        reference = then[name]
        if len(reference) >= 4 and len(set(reference)) > FREE * len(reference):
            values, reference = [_shape(v) for v in values], [_shape(v) for v in reference]
        p, q = _histograms(Counter(values), Counter(reference), plus=1.0)
        total += len(values) * float((p * np.log(p / q)).sum())
        weight += len(values)
    return math.exp(-total / weight) if weight else None


def agreement(window: Window, baseline: Window) -> float | None:
    """I_agree: share of decisions with two thirds of the votes or more, over the baseline's share."""
    now, then = ([i.support >= MAJORITY for i in part if i.support is not None] for part in (window, baseline))
    return min(1.0, float(np.mean(now) / np.mean(then))) if now and any(then) else None


def hand_off(window: Window, baseline: Window) -> float | None:
    """I_handoff: messages for each successful delegation in the baseline over those in the window, at most 1."""
    counts = []
    for part in (window, baseline):
        told = [i for i in part if i.messages is not None and i.delegations is not None]
        counts.append((sum(i.messages or 0 for i in told), sum(i.delegations or 0 for i in told)))
    (sent, done), (sent_then, done_then) = counts
    if not sent or not sent_then or not done_then:
        return None
    return min(1.0, (sent_then / done_then) * (done / sent))


def roles(window: Window, baseline: Window) -> float | None:
    """I_role: information between agent and task type, over the lesser entropy, over the same of the baseline.

    Both weigh the types of task as the baseline does, over those that both hold: another mix of tasks is no drift.
    """
    tables = [Counter((i.task, i.agent) for i in part) for part in (window, baseline)]
    tasks = [t for t in dict.fromkeys(t for t, _ in tables[1]) if any(t == u for u, _ in tables[0])]
    agents = list(dict.fromkeys(a for table in tables for _, a in table))
    if len(tasks) < 2 or len(agents) < 2:
        return None
    now, then = (np.array([[table[t, a] for a in agents] for t in tasks], float) for table in tables)
    share = then.sum(axis=1) / then.sum()
    scores = [_information(part / part.sum(axis=1, keepdims=True) * share[:, None]) for part in (now, then)]
    if scores[0] is None or not scores[1]:
        return None
    return min(1.0, scores[0] / scores[1])


def length(window: Window, baseline: Window) -> float | None:
    """B_len: 1 - growth of the tokens' coefficient of variation - |ln(mean / the baseline's mean)|, at least 0."""
    now, then = (np.array([i.tokens for i in part if i.tokens is not None], float) for part in (window, baseline))
    if not now.size or not then.size or not now.mean() or not then.mean():
        return None
    growth = max(0.0, float(now.std() / now.mean() - then.std() / then.mean()))
    return max(0.0, 1.0 - growth - abs(math.log(now.mean() / then.mean())))


def errors(window: Window, baseline: Window) -> float | None:
    """B_err: 1 - Jensen-Shannon divergence (base 2) of the types of error, "none" among them."""
    now, then = (Counter(i.error for i in part if i.error is not None) for part in (window, baseline))
    return 1.0 - jensen_shannon(*_histograms(now, then)) if now and then else None


def overrides(window: Window, baseline: Window) -> float | None:
    """B_human: 1 - share of interactions that a human overrode. The baseline is not used."""
    told = [i.overridden for i in window if i.overridden is not None]
    return 1.0 - float(np.mean(told)) if told else None


DIMENSIONS: Mapping[str, Dimension] = {
    "C_sem": semantic, "C_path": path, "C_conf": calibration,
    "T_sel": tool_choice, "T_seq": tool_order, "T_param": tool_arguments,
    "I_agree": agreement, "I_handoff": hand_off, "I_role": roles,
    "B_len": length, "B_err": errors, "B_human": overrides,
}  # fmt: skip


def alike(one: Sequence[Hashable], two: Sequence[Hashable]) -> float:
    """1 - edit distance / longer length; 1 for two empty sequences."""
    return 1.0 - edit_distance(one, two) / max(len(one), len(two), 1)


def jensen_shannon(p: Any, q: Any) -> float:
    """Jensen-Shannon divergence of two distributions [n] in bits, in [0, 1]."""
    both = np.asarray([p, q], float)
    middle = both.mean(axis=0)
    ratio = np.divide(both, middle, out=np.ones_like(both), where=both > 0)
    return float(max(0.0, 0.5 * (both * np.log2(ratio)).sum()))


def cramers_v(one: Mapping[Any, int], two: Mapping[Any, int]) -> float:
    """Cramér's V of the 2 x m table of two histograms, corrected for bias (Bergsma 2013), in [0, 1]."""
    names = list(dict.fromkeys((*one, *two)))
    table = np.array([[h.get(n, 0) for n in names] for h in (one, two)], float)
    n, m = table.sum(), len(names)
    if m < 2 or n < 2:
        return 0.0
    expected = np.outer(table.sum(axis=1), table.sum(axis=0)) / n
    phi = float(((table - expected) ** 2 / expected).sum()) / n
    corrected = max(0.0, phi - (m - 1) / (n - 1))
    rows, columns = 2 - 1 / (n - 1), m - (m - 1) ** 2 / (n - 1)
    least = min(rows, columns) - 1
    return min(1.0, math.sqrt(corrected / least)) if least > 0 else 0.0


def _sequences(
    now: Sequence[tuple[str, tuple[str, ...]]], then: Sequence[tuple[str, tuple[str, ...]]]
) -> float | None:  # fmt: skip
    """Mean likeness of sequences to the medoid of the baseline's sequences of the same task."""
    known: dict[str, Counter[tuple[str, ...]]] = {}
    for task, steps in then:
        known.setdefault(task, Counter())[steps] += 1
    typical = {task: _medoid(counts) for task, counts in known.items()}
    scores = [alike(steps, typical[task]) for task, steps in now if task in typical]
    return float(np.mean(scores)) if scores else None


def _medoid(counts: Counter[tuple[str, ...]], most: int = 100) -> tuple[str, ...]:
    """The sequence most like all others, of the commonest ones."""
    found = counts.most_common(most)
    return max(found, key=lambda one: sum(n * alike(one[0], other) for other, n in found))[0]


def _rows(part: Window) -> Array:
    """Embeddings of those that have one [n, d]."""
    return np.array([i.embedding for i in part if i.embedding is not None], float)


def _by_task(found: Sequence[Interaction]) -> dict[str, list[Interaction]]:
    parts: dict[str, list[Interaction]] = {}
    for entry in found:
        parts.setdefault(entry.task, []).append(entry)
    return parts


def _arguments(part: Window) -> dict[tuple[str, str], list[str]]:
    found: dict[tuple[str, str], list[str]] = {}
    for entry in part:
        for call in entry.tools or ():
            for name, value in call.arguments.items():
                found.setdefault((call.name, name), []).append(str(value))
    return found


def _shape(value: str) -> str:
    kind = "number" if value.replace(".", "", 1).lstrip("-").isdigit() else "text"
    return f"{kind} of 2^{len(value).bit_length()} characters"


def _histograms(one: Mapping[Any, int], two: Mapping[Any, int], plus: float = 0.0) -> tuple[Any, Any]:
    names = list(dict.fromkeys((*one, *two)))
    rows = np.array([[h.get(n, 0) + plus for n in names] for h in (one, two)], float)
    rows /= rows.sum(axis=1, keepdims=True)
    return rows[0], rows[1]


def _information(joint: Any) -> float | None:
    """Mutual information of a table of probabilities over the lesser of its two entropies; None where that is 0."""
    rows, columns = joint.sum(axis=1), joint.sum(axis=0)
    least = min(_entropy(rows), _entropy(columns))
    return (_entropy(rows) + _entropy(columns) - _entropy(joint.ravel())) / least if least > 1e-12 else None


def _entropy(p: Any) -> float:
    held = p[p > 0]
    return float(-(held * np.log(held)).sum())
