"""Reading a message-passing trace: who said what to whom in which round, and how much went over each edge."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from shoal.traces import Event

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, slots=True)
class Line:
    """One text of a conversation.

    Attributes:
        run: how many tasks had started in the trace before it, from 1; 0 if the trace names no task.
        round: in which it was written, from 0; it is read in the next.
        sender: who wrote it.
        receiver: to whom.
        content: what.
        dropped: why it did not arrive; empty if it did.
    """

    run: int
    round: int
    sender: str
    receiver: str
    content: Any
    dropped: str = ""


def lines(trace: Iterable[Event]) -> list[Line]:
    """The texts of a trace, in the order they were sent.

    Only messages whose parent is the decision of an outbox count: others belong to other protocols. The task they
    belong to follows from their ancestors, so that tasks may run side by side in one trace.
    """
    rounds: dict[str, int] = {}
    origin: dict[str, int] = {}
    found, runs = [], 0
    for event in trace:
        payload = event.payload
        if _starts(event):
            runs += 1
            origin[event.id] = runs
            continue
        run = origin[event.id] = max((origin.get(parent, 0) for parent in event.parents), default=0)
        if event.kind == "decision" and payload.get("decision") == "outbox":
            rounds[event.id] = int(payload["round"])
        elif event.kind in ("message", "message.dropped"):
            written = [rounds[parent] for parent in event.parents if parent in rounds]
            reason = payload.get("reason", "inspector") if event.kind == "message.dropped" else ""
            for receiver in payload["to"] if written else ():
                found.append(Line(run, written[0], event.agent, receiver, payload["content"], reason))
    return found


def transcript(trace: Iterable[Event]) -> str:
    """The conversations of a trace as text: per task, per edge, by round; dropped texts are marked with the reason."""
    events = list(trace)
    said = lines(events)
    starts = [event for event in events if _starts(event)]
    ends = {parent: event.payload for event in events if event.kind == "task.end" for parent in event.parents}
    parts = [*_edges([line for line in said if not line.run])]
    for run, start in enumerate(starts, 1):
        t = start.payload
        facts = f"{t['task']} on {t['family']} graph, n={t['n']}, diameter {t['diameter']}, {t['rounds']} rounds"
        parts.append(f"== {facts} ({t['model']}) ==")
        parts += _edges([line for line in said if line.run == run])
        if end := ends.get(start.id):
            answers = ", ".join(f"{name}: {answer}" for name, answer in end["answers"].items())
            parts.append(f"answers: {answers}")
            parts.append(f"score {end['soft']:.3f}, {'solved' if end['solved'] else 'not solved'}")
    return "\n".join(parts)


def _edges(said: Sequence[Line]) -> list[str]:
    by_edge: dict[tuple[str, str], list[Line]] = {}
    for line in said:
        edge = (min(line.sender, line.receiver), max(line.sender, line.receiver))
        by_edge.setdefault(edge, []).append(line)
    parts = []
    for edge in sorted(by_edge):
        parts.append(f"-- {edge[0]} - {edge[1]}")
        for line in sorted(by_edge[edge], key=lambda item: (item.round, item.sender)):
            lost = f"  [dropped: {line.dropped}]" if line.dropped else ""
            parts.append(f"  round {line.round}  {line.sender} -> {line.receiver}: {line.content}{lost}")
    return parts


def _starts(event: Event) -> bool:
    return event.kind == "task.start" and "edges" in event.payload


def edge_traffic(trace: Iterable[Event]) -> Counter[tuple[str, str]]:
    """Texts delivered per directed edge (sender, receiver)."""
    return Counter((line.sender, line.receiver) for line in lines(trace) if not line.dropped)


def plot_traffic(trace: Iterable[Event]) -> Figure:
    """Heat map of texts delivered: senders down, receivers across."""
    from matplotlib.figure import Figure

    traffic = edge_traffic(trace)
    names = sorted({name for edge in traffic for name in edge})
    counts = [[traffic[(a, b)] for b in names] for a in names]
    figure = Figure(figsize=(1.5 + 0.35 * len(names), 1 + 0.35 * len(names)), layout="constrained")
    axes = figure.add_subplot()
    image = axes.imshow(counts, cmap="viridis")
    axes.set_xticks(range(len(names)), names, rotation=90)
    axes.set_yticks(range(len(names)), names)
    axes.set_xlabel("receiver")
    axes.set_ylabel("sender")
    figure.colorbar(image, label="texts delivered")
    return figure
