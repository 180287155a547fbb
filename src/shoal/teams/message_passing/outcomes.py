"""What one run of one task leaves: answers, scores, traffic and failures; in the trace as task.start and task.end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from shoal.teams.message_passing.engine import Conversation
from shoal.teams.message_passing.graphs import Graph
from shoal.teams.message_passing.scoring import SOLVED, score_answers
from shoal.traces import TraceWriter


@dataclass(frozen=True, slots=True)
class TaskRun:
    """One task on one graph.

    Attributes:
        task: its name.
        family: of the graph.
        n: number of nodes.
        diameter: of the graph.
        max_degree: of the graph.
        rounds: deliveries held.
        answers: one per node; None is no valid answer.
        soft: the task's score, in 0..1.
        messages: texts delivered, one per receiver.
        dropped: texts not delivered, by reason.
        failures: for language models: per agent, how many of which failure.
    """

    task: str
    family: str
    n: int
    diameter: int
    max_degree: int
    rounds: int
    answers: tuple[str | None, ...]
    soft: float
    messages: int
    dropped: Mapping[str, int] = field(default_factory=dict)
    failures: Mapping[str, Mapping[str, int]] = field(default_factory=dict)

    @property
    def solved(self) -> bool:
        """Whether the score is 1."""
        return self.soft >= SOLVED

    def failed(self, kind: str) -> int:
        """Failures of one kind, over all agents."""
        return sum(counts.get(kind, 0) for counts in self.failures.values())


def record_start(trace: TraceWriter, graph: Graph, task: str, rounds: int, model: str) -> str:
    """Write what is about to run; returns the event id."""
    facts = {
        "task": task,
        "family": graph.family,
        "n": graph.n,
        "edges": graph.edges.tolist(),
        "names": list(graph.names),
        "diameter": graph.diameter,
        "max_degree": graph.max_degree,
        "rounds": rounds,
        "model": model,
    }
    return trace.write("task.start", payload=facts)


def finish(
    graph: Graph,
    task: str,
    talk: Conversation,
    *,
    failures: Mapping[str, Mapping[str, int]] | None = None,
    trace: TraceWriter | None = None,
    start: str = "",
) -> TaskRun:
    """Score a conversation, and write the end of the run if there is a trace."""
    run = TaskRun(
        task=task,
        family=graph.family,
        n=graph.n,
        diameter=graph.diameter,
        max_degree=graph.max_degree,
        rounds=talk.rounds,
        answers=tuple(talk.answers),
        soft=score_answers(task, graph, talk.answers),
        messages=talk.messages,
        dropped=dict(talk.dropped),
        failures=failures or {},
    )
    if trace is not None:
        facts = {
            "task": task,
            "answers": dict(zip(graph.names, run.answers, strict=True)),
            "soft": run.soft,
            "solved": run.solved,
            "messages": run.messages,
            "dropped": run.dropped,
            "failures": run.failures,
        }
        trace.write("task.end", payload=facts, parents=(start,) if start else ())
    return run
