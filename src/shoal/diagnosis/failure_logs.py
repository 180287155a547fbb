"""Failure logs with a known culprit (Who&When), and how well a method names agent and step, strictly and leniently.

Labels are compared as they are: brackets and case are stripped from names, and nothing is corrected, although in some
logs the speaker at the annotated step is not the annotated agent. The lenient evaluator is that of the data set's own
repository: a label counts as found where its text is part of the answer's ("1" in "12"), and an agent's name ends at
its first blank. It is offered for comparison with published figures only.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from shoal.diagnosis.conversation import Conversation, conversations
from shoal.errors import InputError
from shoal.stats import Estimate, proportion
from shoal.traces.importers import import_traces
from shoal.traces.importers.who_and_when import plain_name


@dataclass(frozen=True)
class FailureLog:
    """A failed run and its annotation.

    Attributes:
        file: where it was read.
        conversation: the run.
        agent: the annotated agent, as written.
        step: the annotated index into the history.
        truth: the right answer of the task; None where it is not told.
        entries: length of the history.
    """

    file: Path
    conversation: Conversation
    agent: str
    step: int
    truth: str | None
    entries: int

    @property
    def speaker(self) -> str:
        """Who speaks at the annotated step."""
        return next((s.agent for s in self.conversation.steps if s.event.step == self.step), "")

    @property
    def consistent(self) -> bool:
        """Whether the speaker at the annotated step is the annotated agent."""
        return plain_name(self.speaker) == plain_name(self.agent)

    def entry(self, step: int | None) -> int | None:
        """The history index of a step of the conversation."""
        return None if step is None else self.conversation.steps[step].event.step


@dataclass(frozen=True)
class Prediction:
    """What a method says of a log: an agent's name and a history index; None where it says nothing readable."""

    agent: str | None
    step: int | None


def failure_logs(folder: Path) -> list[FailureLog]:
    """All annotated logs of a folder (or file), in order of their files.

    Raises:
        InputError: a log is empty or its annotation cannot be used; names the file and the field.
    """
    found = []
    for imported in import_traces(folder):
        if imported.format != "who-and-when":
            continue
        by_run = {talk.run: talk for talk in conversations(imported.trace)}
        for run, label in imported.labels.items():
            talk = by_run.get(run)
            if talk is None or not talk.steps:
                raise InputError(
                    f"{imported.path.name} history", [], "An empty log has no step to blame: leave it out."
                )
            found.append(_log(imported.path, talk, label))
    return found


def _log(path: Path, talk: Conversation, label: dict[str, object]) -> FailureLog:
    for name in ("mistake_agent", "mistake_step"):
        if name not in label:
            raise InputError(
                f"{path.name} {name}", None, "The log is not annotated: add the field or leave the log out."
            )
    step, entries = label["mistake_step"], talk.steps[-1].event.step + 1
    if not isinstance(step, int):
        raise InputError(f"{path.name} mistake_step", step, "Give the index of an entry of history, from 0.")
    if not 0 <= step < entries:
        raise InputError(
            f"{path.name} mistake_step", step, f"The history has {entries} entries: give 0 to {entries - 1}."
        )
    truth = label.get("ground_truth")
    return FailureLog(path, talk, str(label["mistake_agent"]), step, None if truth is None else str(truth), entries)


def names_agent(log: FailureLog, prediction: Prediction) -> bool:
    """Whether the predicted agent is the annotated one, brackets and case aside."""
    return prediction.agent is not None and plain_name(prediction.agent) == plain_name(log.agent)


def names_step(log: FailureLog, prediction: Prediction, within: int = 0) -> bool:
    """Whether the predicted step is the annotated one, or at most that many entries away from it."""
    return prediction.step is not None and abs(prediction.step - log.step) <= within


def names_agent_leniently(log: FailureLog, prediction: Prediction) -> bool:
    """Whether the annotated name is part of the predicted one up to its first character that is no letter or digit."""
    read = re.match(r"\w+", prediction.agent or "")
    return read is not None and log.agent in read[0]


def names_step_leniently(log: FailureLog, prediction: Prediction) -> bool:
    """Whether the digits of the annotated step are part of those predicted."""
    return prediction.step is not None and str(log.step) in str(prediction.step)


def accuracy(logs: Sequence[FailureLog], predictions: Sequence[Prediction], within: int = 0) -> dict[str, Estimate]:
    """Shares of logs with Wilson intervals: agent and step by both evaluators, and answers without a step."""
    pairs = list(zip(logs, predictions, strict=True))
    counts = {
        "agent": sum(names_agent(log, p) for log, p in pairs),
        "step": sum(names_step(log, p) for log, p in pairs),
        f"step within {within}": sum(names_step(log, p, within) for log, p in pairs),
        "agent, lenient": sum(names_agent_leniently(log, p) for log, p in pairs),
        "step, lenient": sum(names_step_leniently(log, p) for log, p in pairs),
        "unread": sum(p.step is None for p in predictions),
    }
    return {name: proportion(count, len(pairs)) for name, count in counts.items()}


def constant_answers(logs: Sequence[FailureLog]) -> tuple[tuple[str, int], tuple[int, int]]:
    """The best constant answers: the commonest annotated agent and step, each with the logs that it is right in."""
    agents = Counter(plain_name(log.agent) for log in logs)
    steps = Counter(log.step for log in logs)
    agent, step = (min(c.items(), key=lambda item: (-item[1], str(item[0]))) for c in (agents, steps))
    return agent, step  # type: ignore[return-value]
