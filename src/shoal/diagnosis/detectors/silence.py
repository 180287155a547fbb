"""What is missing: silent agents, failed calls, stalls, early stops, lost and late messages, burnt budgets."""

from __future__ import annotations

import bisect
import re
from collections import Counter
from collections.abc import Iterator

from shoal.diagnosis.conversation import Conversation, Delivery, Step, is_agent, quoted, same
from shoal.diagnosis.findings import Finding, detector
from shoal.diagnosis.usage import UsageGraph

_UNABLE = re.compile(
    r"\b(?:i (?:can(?:no|')?t|am unable to|am not able to|could not|couldn't) "
    r"(?:access|open|find|browse|help|do|complete|"
    r"provide|continue|answer)|as an ai\b|no (?:answer|information|results?) (?:found|available)|i do not know)",
    re.IGNORECASE,
)
MOST_LATER = 40
"""Prompts of a receiver that a message is looked for in."""
_ASKED = re.compile(r"\banswer\b", re.IGNORECASE)
_STOPPED = re.compile(
    r"\b(?:terminate|task complete|we are done|stop here|nothing (?:more|further) to (?:do|add)|that is enough)\b",
    re.IGNORECASE,
)


@detector(
    "silent agent", "An agent gives no reply, or only empty or failed ones", faults=("silent agent",), blames=0.7,
    live=True,
)  # fmt: skip
def silent(conversation: Conversation, graph: UsageGraph) -> Iterator[Finding]:
    """Agents with empty or failed steps; agents that are written to and never heard."""
    advice = "Look at its model's log for that call; give it a retry, a time limit, or a deputy."
    for agent in conversation.agents:
        steps = [s for s in conversation.of(agent) if s.kind in ("said", "failed")]
        lost = [s for s in steps if s.kind == "failed" or not s.text.strip()]
        if lost:
            share = len(lost) / len(steps)
            why = quoted(lost[0].event, 120) or "empty"
            evidence = f'{agent} gave nothing in {len(lost)} of {len(steps)} turns: "{why}"'
            ids = tuple(s.event.id for s in lost[:6])
            yield Finding("silent agent", min(1.0, 0.6 + 0.4 * share), agent, lost[0].index, ids, evidence, advice)
    heard = {s.agent for s in conversation.steps}
    written: Counter[str] = Counter(r for d in conversation.deliveries for r in d.receivers)
    for name, times in written.items():
        if name not in heard and is_agent(name) and times >= 2 and not _is_place(name, conversation):
            ids = tuple(d.event.id for d in conversation.deliveries if name in d.receivers)[:6]
            evidence = f"{name} was written to {times} times and never said anything"
            yield Finding("silent agent", 0.6, name, None, ids, evidence, advice)


@detector(
    "stall", "Nobody gets on: refusals, or turns that bring nothing new", faults=("refusal",), blames=0.7, live=True
)
def stall(conversation: Conversation, graph: UsageGraph) -> Iterator[Finding]:
    """Refusals, and four or more steps in a row without a new word."""
    known: set[str] = set()
    idle: list[Step] = []
    advice = "Give the agent the tool or fact it lacks, or let another one take over after two empty turns."
    for step in conversation.steps:
        if step.kind != "said" or not is_agent(step.agent):
            continue
        if match := _UNABLE.search(step.text):
            evidence = f'{step.agent} cannot go on: "{step.text[match.start() : match.start() + 120].strip()}"'
            yield Finding("stall", 0.6, step.agent, step.index, (step.event.id,), evidence, advice)
        words = set(same(step.text).split())
        new, known = words - known, known | words
        idle = [*idle, step] if not new else []
        if len(idle) == max(4, len(conversation.agents) + 1):
            evidence = f'{len(idle)} turns bring no new word; the last: "{quoted(step.event, 120)}"'
            yield Finding("stall", 0.5, "", idle[0].index, tuple(s.event.id for s in idle), evidence, advice)


@detector(
    "early stop",
    "The run ends before there is an answer, or an agent breaks off",
    faults=("early stop", "cut off"),
    blames=0.6,
)
def early_stop(conversation: Conversation, graph: UsageGraph) -> Iterator[Finding]:
    """No stated outcome, replies cut by their length, agents that declare the work done without an answer."""
    advice = "Raise max_tokens or the round limit; require an answer line before the run may end."
    said = [s for s in conversation.steps if s.kind == "said" and is_agent(s.agent)]
    answering = sum(s.answer is not None for s in said)
    for step in said:
        finish = str(step.event.payload.get("finish") or "")
        if finish in ("length", "max_tokens"):
            evidence = f'{step.agent} was cut off at its token limit: "...{step.text[-80:].strip()}"'
            yield Finding("early stop", 0.8, step.agent, step.index, (step.event.id,), evidence, advice)
        elif step.answer is None and _STOPPED.search(step.text) and step is not said[-1]:
            evidence = f'{step.agent} ends the work without an answer: "{quoted(step.event, 120)}"'
            yield Finding("early stop", 0.7, step.agent, step.index, (step.event.id,), evidence, advice)
        elif step.answer is None and _ASKED.search(step.prompt[-160:]) and answering >= max(1, 0.3 * len(said)):
            evidence = f'{step.agent} gives no answer where others do: "{quoted(step.event, 120)}"'
            yield Finding("early stop", 0.55, step.agent, step.index, (step.event.id,), evidence, advice)
    left = _STOPPED.sub("", said[-1].text).strip(" .!*") if said else ""
    if said and not answering and conversation.outcome is None and len(left) < 20:
        evidence = f'the run ends without a stated answer: "{quoted(said[-1].event, 120)}"'
        yield Finding("early stop", 0.35, said[-1].agent, said[-1].index, (said[-1].event.id,), evidence, advice)


@detector(
    "lost message", "What was sent did not reach its receiver, or reached it changed, late or twice",
    faults=(
        "dropped message", "delayed message", "altered message", "duplicated message", "stale memory",
        "misrouted message",
    ),
    blames=0.9,
)  # fmt: skip
def lost(conversation: Conversation, graph: UsageGraph) -> Iterator[Finding]:
    """Compares each delivery with the recorded prompts of its receivers.

    Only where the trace holds prompts, and only for senders whose words do appear in some prompt word by word, so that
    teams that summarise are not accused.
    """
    readers: dict[str, list[tuple[int, Step, str]]] = {}
    order = {event.id: position for position, event in enumerate(conversation.events)}
    for step in conversation.steps:
        if step.prompt:
            readers.setdefault(step.agent, []).append((order[step.event.id], step, same(step.prompt)))
    verbatim = _verbatim(conversation, readers, order)
    for delivery in conversation.deliveries:
        content = same(delivery.content)
        if delivery.event.agent not in verbatim or len(content) < 4:
            continue
        for receiver in _readers_of(delivery, readers):
            later = _later(readers.get(receiver, []), order[delivery.event.id])
            if later:
                yield from _compare(delivery, receiver, content, later, conversation, order)


def _compare(
    delivery: Delivery, receiver: str, content: str, later: list[tuple[int, Step, str]], conversation: Conversation,
    order: dict[str, int],
) -> Iterator[Finding]:  # fmt: skip
    """Findings about one message to one reader whose prompts are known."""
    sender, step, prompt = delivery.event.agent, later[0][1], later[0][2]
    label = same(sender)
    ids = (delivery.event.id, step.event.id)
    own = delivery.step if delivery.step is not None else step.index
    advice = f"Check the channel from {sender} to {receiver}: number the messages and let the receiver confirm them."
    times = prompt.count(f"{label}: {content}")
    words = quoted(delivery.event, 100)
    if content in prompt:
        sent = sum(
            d.event.agent == sender and same(d.content) == content and order[d.event.id] < later[0][0]
            for d in conversation.deliveries
        )
        if times > max(1, sent):
            evidence = f'{receiver} read {sender}\'s message {times} times, sent {sent} time(s): "{words}"'
            yield Finding("lost message", 0.9, sender, own, ids, evidence, advice)
        return
    if any(content in text for _, _, text in later[1:]):
        evidence = f'{receiver} got {sender}\'s message a turn late: "{words}"'
        yield Finding("lost message", 0.85, sender, own, ids, evidence, advice)
        return
    instead = re.search(rf"(?:^|[\s])({re.escape(label)}: .{{1,160}})", prompt)
    if instead is not None:
        evidence = f'{receiver} read something else than {sender} sent: sent "{words}", read "{instead[1][:100]}"'
        yield Finding("lost message", 0.9, sender, own, ids, evidence, advice)
        return
    evidence = f'{receiver} never read what {sender} sent: "{words}"'
    yield Finding("lost message", 0.75, sender, own, ids, evidence, advice)


def _verbatim(
    conversation: Conversation, readers: dict[str, list[tuple[int, Step, str]]], order: dict[str, int]
) -> set[str]:  # fmt: skip
    """Senders in a team whose messages reach most of their readers word by word."""
    reached = tried = 0
    for delivery in conversation.deliveries[:500]:
        content = same(delivery.content)
        for receiver in _readers_of(delivery, readers):
            later = _later(readers.get(receiver, []), order[delivery.event.id])
            if later and len(content) >= 4:
                tried += 1
                reached += any(content in text for _, _, text in later)
    if not tried or reached / tried < 0.5:
        return set()
    return {d.event.agent for d in conversation.deliveries}


def _later(read: list[tuple[int, Step, str]], after: int) -> list[tuple[int, Step, str]]:
    """The next few prompts after a place in the trace."""
    first = bisect.bisect_right(read, after, key=lambda r: r[0])
    return read[first : first + MOST_LATER]


def _readers_of(delivery: Delivery, readers: dict[str, list[tuple[int, Step, str]]]) -> list[str]:
    """The receivers that read; everybody but the sender where the receiver is a board that does not."""
    found = [r for r in delivery.receivers if r in readers]
    return found or [r for r in readers if r != delivery.event.agent]


@detector(
    "budget burn", "One agent or phase spends far more than its share", faults=("verbosity",), blames=0.4, live=True
)
def budget_burn(conversation: Conversation, graph: UsageGraph) -> Iterator[Finding]:
    """Budget stops, and agents that spend more than twice an equal share (and half) of the tokens."""
    spent: Counter[str] = Counter()
    for event in conversation.events:
        if event.usage is not None and event.agent:
            spent[event.agent] += event.usage.tokens
    whole, advice = sum(spent.values()), "Give each agent a budget of its own, and shorten what it is shown."
    for event in conversation.events:
        if event.kind == "budget.stop":
            evidence = f'the budget ended the work: "{quoted(event, 120)}"'
            at = conversation.by_event.get(event.id)
            yield Finding("budget burn", 0.9, event.agent, at, (event.id,), evidence, advice)
    if len(spent) < 3 or whole < 500:
        return
    agent, most = spent.most_common(1)[0]
    if most > max(0.5, 2.0 / len(spent)) * whole:
        ids = tuple(s.event.id for s in conversation.of(agent)[:3])
        evidence = f"{agent} spent {most} of {whole} tokens, {len(spent)} agents in all"
        longest = max(conversation.of(agent), key=lambda s: len(s.text), default=None)
        step = longest.index if longest is not None else None
        yield Finding("budget burn", min(1.0, most / whole), agent, step, ids, evidence, advice)


def _is_place(name: str, conversation: Conversation) -> bool:
    """Whether a receiver is a board or channel: everybody writes to it and nobody else is written to."""
    receivers = {r for d in conversation.deliveries for r in d.receivers}
    return receivers == {name}
