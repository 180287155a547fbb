"""Repetition: loops, echoes, collapse of all agents onto one text."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Iterator

from shoal.diagnosis.conversation import Conversation, Step, is_agent, quoted, same
from shoal.diagnosis.findings import Finding, detector
from shoal.diagnosis.usage import UsageGraph

LOOPS = 3
"""Times that an agent must say the same, in a row of its own steps, to be called looping."""
ALIKE = 0.92
"""Share of equal text (difflib's ratio) above which two texts count as the same."""
SHORTEST = 12


@detector("loop", "An agent says or does the same again and again", faults=("looping",), blames=0.6, live=True)
def loop(conversation: Conversation, graph: UsageGraph) -> Iterator[Finding]:
    """Runs of LOOPS or more alike steps of one agent; also a phrase repeated within one step."""
    for agent in conversation.agents:
        run: list[Step] = []
        for step in [*(s for s in conversation.of(agent) if s.kind == "said" and s.text.strip()), None]:
            if step is not None and (not run or _alike(run[-1].text, step.text)):
                run.append(step)
                continue
            if len(run) >= LOOPS:
                yield _looping(agent, run)
            run = [step] if step is not None else []
    for step in conversation.steps:
        if step.kind == "said" and is_agent(step.agent) and (times := _stutter(step.text)):
            score = min(1.0, 0.5 + 0.1 * times)
            evidence = f'{step.agent} says one phrase {times} times over: "{quoted(step.event)}"'
            yield Finding("loop", score, step.agent, step.index, (step.event.id,), evidence, _LOOP_ADVICE)


_LOOP_ADVICE = (
    "Stop the agent after two equal replies, or tell it what it said before; check that its stop rule can be met."
)


def _looping(agent: str, run: list[Step]) -> Finding:
    evidence = f'{agent} says the same {len(run)} times: "{quoted(run[0].event)}"'
    score = min(1.0, 0.4 + 0.15 * len(run))
    return Finding("loop", score, agent, run[1].index, tuple(s.event.id for s in run[:6]), evidence, _LOOP_ADVICE)


@detector(
    "echo",
    "An agent hands on another's words as its own and adds nothing",
    faults=("echo", "herding", "error cascade"),
    blames=0.4,
    live=True,
)
def echo(conversation: Conversation, graph: UsageGraph) -> Iterator[Finding]:
    """Steps that are nearly the same text as an earlier step of somebody else that the agent could read."""
    said: list[Step] = []
    own: Counter[str] = Counter()
    for step in conversation.steps:
        if step.kind != "said" or not is_agent(step.agent) or len(step.text.strip()) < SHORTEST:
            continue
        text = same(step.text)
        # Agents that start at the same time may say the same without having read each other.
        read = {e.source for e in graph.parents(step.index) if e.origin in ("declared", "quoted", "reference")}
        for earlier in reversed(said[-12:]):
            heard = earlier.index in read or (not read and not step.prompt)
            if earlier.agent != step.agent and heard and _alike(earlier.text, step.text):
                own[step.agent] += 1
                formula = sum(same(s.text) == text for s in said) > 2
                score = min(1.0, (0.35 if formula else 0.7) + 0.1 * own[step.agent])
                evidence = f'{step.agent} repeats {earlier.agent}: "{quoted(step.event)}"'
                advice = f"Ask {step.agent} for its own reasons before it sees {earlier.agent}'s, or do without it."
                yield Finding(
                    "echo", score, step.agent, step.index, (earlier.event.id, step.event.id), evidence, advice
                )
                break
        said.append(step)


@detector(
    "collapse", "All agents end up saying the same text", faults=("herding", "error cascade"), blames=0.0, live=True
)
def collapse(conversation: Conversation, graph: UsageGraph) -> Iterator[Finding]:
    """The last words of seven in ten of three or more agents are one text, and were not at the start."""
    first: dict[str, Step] = {}
    last: dict[str, Step] = {}
    for step in conversation.steps:
        if step.kind == "said" and is_agent(step.agent) and len(step.text.strip()) >= SHORTEST:
            first.setdefault(step.agent, step)
            last[step.agent] = step
    if len(last) < 3 or all(first[a].index == last[a].index for a in last):
        return
    now, before = _agreement(list(last.values())), _agreement(list(first.values()))
    if now >= 0.7 and now - before > 0.3:
        steps = list(last.values())
        evidence = f'{now:.0%} of {len(steps)} agents say the same at the end: "{quoted(steps[-1].event)}"'
        advice = "Let agents answer alone first and compare; one independent voice tells agreement from copying."
        yield Finding(
            "collapse", min(1.0, now), "", steps[-1].index, tuple(s.event.id for s in steps[:6]), evidence, advice
        )


def _alike(one: str, two: str) -> bool:
    a, b = same(one)[:2000], same(two)[:2000]
    if a == b:
        return bool(a)
    if min(len(a), len(b)) < SHORTEST or abs(len(a) - len(b)) > 0.15 * max(len(a), len(b)):
        return False
    matcher = difflib.SequenceMatcher(None, a, b, autojunk=False)
    if matcher.real_quick_ratio() < ALIKE or matcher.quick_ratio() < ALIKE:
        return False
    # A changed number is news, however alike the words are.
    return matcher.ratio() >= ALIKE and [c for c in a if c.isdigit()] == [c for c in b if c.isdigit()]


def _stutter(text: str) -> int:
    """How often the most frequent sentence of a text occurs, if that is four times or more and most of the text."""
    parts = [same(p) for p in text.replace("\n", ". ").split(". ") if len(p.strip()) >= SHORTEST]
    if len(parts) < 4:
        return 0
    _, times = Counter(parts).most_common(1)[0]
    return times if times >= 4 and times > 0.6 * len(parts) else 0


def _agreement(steps: list[Step]) -> float:
    texts = [same(s.text) for s in steps]
    return max(Counter(texts).values()) / len(texts)
