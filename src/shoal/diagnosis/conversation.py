"""A trace as a conversation: the steps in which somebody said or did something, and what was delivered to whom.

Traces of every origin come down to this one view. A step is a reply of a model, a message, a tool's result or a
failure; a message that only hands on what its sender has just said is a delivery of that step, not a step of its own.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

from shoal.diagnosis.answers import answer_in
from shoal.traces import Event, Trace

SPOKEN = ("model.call", "message", "handoff")
TOOLS = ("tool.result",)
FAILED = ("model.failure", "budget.stop")
OUTSIDE = ("", "user", "human", "system", "user_proxy", "userproxy", "userproxyagent")
"""Names of speakers that are no agents (compared without case)."""
EXECUTORS = ("computer_terminal", "computerterminal", "code_executor", "executor")
"""Speakers that only run other agents' code (compared without case): what they say is a tool's result."""
_CODE_OUTPUT = re.compile(r"\s*exitcode: ?-?\d+", re.IGNORECASE)
MOST_STEPS = 20_000
"""Steps of one run that are looked at: the last ones."""
_SPACE = re.compile(r"\s+")


@dataclass(frozen=True, slots=True)
class Step:
    """One thing said or done.

    Attributes:
        index: position among the steps, from 0.
        event: its event.
        agent: who; empty for the user or the run itself.
        kind: "said", "tool" or "failed".
        text: what was said; for failures what the error says.
        prompt: what the agent read before it, where the trace holds it.
        answer: the answer that the text states, or None.
        error: whether a tool reported an error.
    """

    index: int
    event: Event
    agent: str
    kind: str
    text: str
    prompt: str = ""
    answer: str | None = None
    error: bool = False


@dataclass(frozen=True, slots=True)
class Delivery:
    """A message on its way: event, sender's step (or None), receivers and what was handed over."""

    event: Event
    step: int | None
    receivers: tuple[str, ...]
    content: str


@dataclass
class Conversation:
    """One run (or one task of a run).

    Attributes:
        run: its name.
        events: all its events in order.
        steps: what was said and done.
        deliveries: messages between agents.
        question: the task, where it is known.
        outcome: the answer that the run ended with, where the trace tells or the last step states one.
        left_out: earlier steps that are not looked at, where there are more than MOST_STEPS.
        correct: whether a checker in the run found the outcome right; None if nobody checked.
    """

    run: str
    events: list[Event]
    steps: list[Step]
    deliveries: list[Delivery] = field(default_factory=list)
    question: str = ""
    outcome: str | None = None
    correct: bool | None = None
    left_out: int = 0

    @cached_property
    def agents(self) -> list[str]:
        """Everybody who said or did something, in order of first appearance; users and the run itself left out."""
        return list(dict.fromkeys(s.agent for s in self.steps if is_agent(s.agent)))

    @cached_property
    def _by_agent(self) -> dict[str, list[Step]]:
        found: dict[str, list[Step]] = {}
        for step in self.steps:
            found.setdefault(step.agent, []).append(step)
        return found

    @cached_property
    def by_event(self) -> dict[str, int]:
        """Step index by event id; deliveries lead to the step that they hand on."""
        found = {step.event.id: step.index for step in self.steps}
        found.update({d.event.id: d.step for d in self.deliveries if d.step is not None})
        return found

    @property
    def final(self) -> int | None:
        """The step that the outcome was taken from: the last one that states it, else the last that said anything."""
        said = [s for s in self.steps if s.kind == "said" and s.text.strip() and is_agent(s.agent)]
        if not said:
            return None
        if self.outcome:
            wanted = same(self.outcome)
            holding = [s for s in said if s.answer is not None and same(s.answer) == wanted]
            if holding:
                return holding[-1].index
        stating = [s for s in said if s.answer is not None]
        return (stating or said)[-1].index

    def of(self, agent: str) -> list[Step]:
        """The steps of one agent."""
        return self._by_agent.get(agent, [])


def conversations(trace: Trace | Sequence[Event]) -> list[Conversation]:
    """The conversations of a trace: one for each run, or for each task where a run holds several."""
    found = [conversation(name, events) for name, events in parts(trace)]
    return [c for c in found if c.steps] or found[:1]


def parts(trace: Trace | Sequence[Event]) -> list[tuple[str, list[Event]]]:
    """Name and events of each conversation, in the order in which they begin."""
    runs: dict[str, list[Event]] = {}
    for event in trace:
        if event.kind not in ("trace.start", "label"):
            runs.setdefault(event.run, []).append(event)
    found: list[tuple[str, list[Event]]] = []
    for run, events in runs.items():
        tasks = [e for e in events if e.kind == "task.start"]
        if len(tasks) < 2:
            found.append((run, events))
        else:
            found += [(f"{run}/{task}", part) for task, part in _by_task(events, tasks).items()]
    return found


def conversation(run: str, events: Sequence[Event]) -> Conversation:
    """The conversation of events that belong together."""
    view = Conversation(run, list(events), [])
    tasks = [e for e in events if e.kind == "task.start"]
    asked = [e.payload.get("text") for e in tasks] + [e.payload.get("input") for e in events if e.kind == "trial.start"]
    view.question = next((str(text) for text in asked if text), "")
    by_event: dict[str, int] = {}
    waiting: list[Event] = []
    for event in events:
        payload = event.payload
        if event.kind in ("message", "handoff") and (owner := _handed_on(event, by_event, view.steps)) is not None:
            by_event[event.id] = owner
            view.deliveries.append(_delivery(event, owner))
        elif event.kind in (*SPOKEN, *TOOLS, *FAILED):
            step = _step(len(view.steps), event)
            by_event[event.id] = step.index
            view.steps.append(step)
            if event.kind in ("message", "handoff") and payload.get("to"):
                view.deliveries.append(_delivery(event, step.index))
        elif event.kind == "task.end":
            answer = payload.get("answer")
            view.outcome = None if answer is None else str(answer)
            view.correct = bool(payload["correct"]) if "correct" in payload else None
        elif event.kind == "decision" and payload.get("answer") is not None:
            waiting.append(event)
    if view.outcome is None and waiting:
        view.outcome = str(waiting[-1].payload["answer"])
    if view.outcome is None and view.final is not None:
        view.outcome = view.steps[view.final].answer
    if not view.question:
        outside = [s for s in view.steps[:2] if not is_agent(s.agent)]
        view.question = outside[0].text if outside else ""
    if len(view.steps) > MOST_STEPS:
        first = events.index(view.steps[-MOST_STEPS].event)
        end = conversation(run, events[first:])
        end.left_out, end.question = len(view.steps) - len(end.steps), view.question
        return end
    return view


def is_agent(name: str) -> bool:
    """Whether a speaker is an agent, not the user or the run itself."""
    return name.casefold() not in OUTSIDE


def same(text: str) -> str:
    """A text as it is compared: one line, lower case, without closing punctuation."""
    return _SPACE.sub(" ", text).strip().strip(".!\"'* ").casefold()


def quoted(event: Event, longest: int = 200) -> str:
    """An event's words on one line, cut."""
    text = _SPACE.sub(" ", _text(event)).strip()
    return text if len(text) <= longest else text[:longest].rsplit(" ", 1)[0] + " ..."


def _step(index: int, event: Event) -> Step:
    payload, text = event.payload, _text(event)
    ran = _CODE_OUTPUT.match(text) is not None or event.agent.casefold() in EXECUTORS
    kind = "failed" if event.kind in FAILED else "tool" if event.kind in TOOLS or ran else "said"
    prompt = payload.get("prompt")
    read = (
        "\n".join(str(m.get("content", "")) for m in prompt if isinstance(m, dict)) if isinstance(prompt, list) else ""
    )
    answer = answer_in(text) if kind == "said" else None
    return Step(index, event, event.agent, kind, text, read, answer, kind == "tool" and bool(payload.get("error")))


def _text(event: Event) -> str:
    payload = event.payload
    if event.kind in FAILED:
        return str(payload.get("error") or payload.get("reason") or payload.get("failure") or "")
    found = payload.get("text") or payload.get("content") or payload.get("output") or ""
    if not found and payload.get("tool_calls"):
        found = f"calls {payload['tool_calls']}"
    return found if isinstance(found, str) else str(found)


def _handed_on(event: Event, by_event: dict[str, int], steps: list[Step]) -> int | None:
    """The step that a message hands on: a parent of the same sender, or its last step with the same words."""
    for parent in event.parents:
        index = by_event.get(parent)
        if index is not None and steps[index].agent == event.agent and steps[index].event.kind == "model.call":
            return index
    content = same(_text(event))
    for step in reversed(steps[-6:]):
        if step.agent == event.agent and step.event.kind == "model.call" and content and same(step.text) == content:
            return step.index
    return None


def _delivery(event: Event, step: int) -> Delivery:
    to = event.payload.get("to") or ()
    receivers = (to,) if isinstance(to, str) else tuple(str(r) for r in to)
    return Delivery(event, step, receivers, _text(event))


def _by_task(events: list[Event], tasks: list[Event]) -> dict[str, list[Event]]:
    """Events by task: those connected by parents go together; loose ones go where their prompt holds the question."""
    root = {e.id: e.id for e in events}

    def top(name: str) -> str:
        while root[name] != name:
            root[name] = root[root[name]]
            name = root[name]
        return name

    for event in events:
        for parent in event.parents:
            if parent in root:
                root[top(event.id)] = top(parent)
    names = {task.id: str(task.payload.get("question") or task.id) for task in tasks}
    twice = Counter(names.values())
    for task in tasks:  # one question worked on by several systems
        if twice[names[task.id]] > 1:
            names[task.id] += f" ({task.agent})" if task.agent else f" ({task.id})"
    texts = {task.id: str(task.payload.get("text") or "") for task in tasks}
    owner = {top(task): task for task in names}
    order = {event.id: position for position, event in enumerate(events)}
    for event in events:
        if top(event.id) not in owner and isinstance(event.payload.get("prompt"), list):
            read = "\n".join(str(m.get("content", "")) for m in event.payload["prompt"] if isinstance(m, dict))
            fitting = [t for t, text in texts.items() if text and text in read and order[t] < order[event.id]]
            if fitting:
                owner[top(event.id)] = max(fitting, key=lambda t: (len(texts[t]), order[t]))
    found: dict[str, list[Event]] = {}
    for event in events:
        belongs = owner.get(top(event.id))
        if belongs is not None:
            found.setdefault(names[belongs], []).append(event)
    return found
