"""What was said: contradictions, tool errors, wrong roles, flattery, guesses, and errors that spread."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator

from shoal.diagnosis.answers import values
from shoal.diagnosis.conversation import TOOLS, Conversation, Step, is_agent, quoted, same
from shoal.diagnosis.findings import Finding, detector
from shoal.diagnosis.usage import UsageGraph

_TOOL_ERROR = re.compile(
    r"\b(?:traceback \(most recent|exitcode: [1-9]|execution failed|[A-Z]\w*(?:Error|Exception)\b|command not found|"
    r"permission denied|404 not found|timed out|rate limit)",
    re.IGNORECASE,
)
_GUESS = re.compile(
    r"\b(?:let'?s assume|i(?:'ll| will)? assume|assuming (?:that|the)|placeholder|hypothetical|simulated?|"
    r"mock(?:ed)? data|"
    r"for the sake of|dummy|i(?:'m| am) not sure|roughly guess|without (?:access|actual)|example data)\b",
    re.IGNORECASE,
)
_CONVINCED = re.compile(
    r"\b(?:you(?:'re| are) (?:absolutely |completely |so )?right|great (?:point|idea|answer)|"
    r"i (?:fully |completely )?agree with|"
    r"the others? convinced me|(?:excellent|brilliant|wonderful) (?:point|work|answer))\b",
    re.IGNORECASE,
)


MOST_VALUES = 3
"""Different numbers beside the same words above which they are taken for a count, not a fact."""


@detector(
    "contradiction", "A step states another value than what it was made from",
    faults=("corrupted fact", "wrong tool result", "altered message"), blames=0.9, live=True,
)  # fmt: skip
def contradiction(conversation: Conversation, graph: UsageGraph) -> Iterator[Finding]:
    """The same words around another number than in a step before it, or than in the question.

    The blame goes to the step that departs from what it used (a parent that is sure); among unrelated steps to the
    one in the minority, and to the later one where there is none.
    """
    stated: dict[tuple[str, ...], list[tuple[int, str]]] = {}
    for value in values(conversation.question):
        stated.setdefault(value.about, []).append((-1, value.number))
    advice = "Let the step quote its source with the value, and check the value against the source before it is used."
    told: set[tuple[int, tuple[str, ...]]] = set()
    # What takes many values counts something (steps, items, attempts): that is no fact to contradict.
    spread: dict[tuple[str, ...], set[str]] = {}
    for step in conversation.steps:
        for value in values(step.text):
            spread.setdefault(value.about, set()).add(value.number)
    for step in conversation.steps:
        if step.kind == "failed":
            continue
        used = {e.source for e in graph.parents(step.index) if e.confidence >= 0.5} | {-1}
        own = values(step.text)
        numbers: dict[tuple[str, ...], set[str]] = {}
        for value in own:
            numbers.setdefault(value.about, set()).add(value.number)
        for about, mine in numbers.items():
            before = stated.get(about, [])[-40:]
            others = [(i, n) for i, n in before if n not in mine and (i < 0 or conversation.steps[i].event.id)]
            agreeing = [n for _, n in before if n in mine]
            counts = len(spread[about]) > MOST_VALUES
            if others and not agreeing and not counts and (step.index, about) not in told:
                told.add((step.index, about))
                index, number = others[-1]
                source = "the question" if index < 0 else f"{conversation.steps[index].agent or 'the user'}"
                now = sorted(mine)[0]
                words = " ".join(w for w in about if w != "|")
                score = 0.9 if index in used else 0.6
                ids = (() if index < 0 else (conversation.steps[index].event.id,)) + (step.event.id,)
                evidence = f'{step.agent} says {now} for "{words}" where {source} said {number}: "{quoted(step.event)}"'
                yield Finding("contradiction", score, step.agent, step.index, ids, evidence, advice)
        for about, mine in numbers.items():
            stated.setdefault(about, []).extend((step.index, n) for n in mine)


@detector("tool error", "A tool or a piece of code failed", faults=("failing tool",), blames=0.5, live=True)
def tool_error(conversation: Conversation, graph: UsageGraph) -> Iterator[Finding]:
    """Results marked as errors or that read like one; the blame goes to whoever called."""
    advice = "Read the error, mend the call, and let the agent see the mended call's result before it goes on."
    for step in conversation.steps:
        looks = _TOOL_ERROR.search(step.text[:4000]) if step.kind == "tool" or _is_terminal(step) else None
        if not step.error and looks is None:
            continue
        at = looks.start() if looks else 0
        callers = [s for s in conversation.steps[: step.index] if s.kind == "said" and is_agent(s.agent)]
        caller = callers[-1] if callers else step
        agent = caller.agent if _is_terminal(step) or not step.agent else step.agent
        index = caller.index if _is_terminal(step) else step.index
        evidence = f'a tool failed: "{" ".join(step.text[at : at + 160].split())}"'
        yield Finding("tool error", 0.7, agent, index, (caller.event.id, step.event.id), evidence, advice)


@detector(
    "wrong tool result", "A tool gives another result for the same call", faults=("wrong tool result",), blames=0.9,
    live=True,
)  # fmt: skip
def tool_disagreement(conversation: Conversation, graph: UsageGraph) -> Iterator[Finding]:
    """Two results of one tool for equal arguments that differ; the minority is blamed, or the later of two."""
    results: dict[str, list[Step]] = {}
    for step in conversation.steps:
        if step.kind == "tool" and step.event.payload.get("tool"):
            key = f"{step.event.payload['tool']} {step.event.payload.get('arguments')!r}"
            results.setdefault(key, []).append(step)
    for key, steps in results.items():
        texts = Counter(same(s.text) for s in steps)
        if len(texts) < 2:
            continue
        usual, most = texts.most_common(1)[0]
        odd = [s for s in steps if same(s.text) != usual] if most > 1 else steps  # of two, either may be the wrong one
        for step in odd:
            evidence = f'{key[:80]} gave "{quoted(step.event, 80)}", elsewhere "{quoted(steps[0].event, 80)}"'
            advice = "Call the tool again with the same arguments; pin its version and cache its results."
            ids = tuple(s.event.id for s in steps[:6])
            score = 0.9 if most > 1 else 0.6
            yield Finding("wrong tool result", score, step.agent, step.index, ids, evidence, advice)


@detector("wrong role", "An agent speaks as somebody else", faults=("wrong role",), blames=0.6, live=True)
def wrong_role(conversation: Conversation, graph: UsageGraph) -> Iterator[Finding]:
    """Replies that begin with another agent's name and a colon, or claim its role."""
    names = {same(a): a for a in conversation.agents}
    advice = "State the agent's own name and role in its system message, and cut replies at role markers."
    claim = re.compile(
        r"^\W*(?:i am|i'm|this is|speaking as|as) (?:the |your )?([\w\-]+(?: [\w\-]+)?)\s*[,.:;]", re.IGNORECASE
    )
    for step in conversation.steps:
        if step.kind != "said" or not is_agent(step.agent):
            continue
        label = re.match(r"\s*\**([A-Za-z][\w .\-]{0,40}?)\**\s*(?:\([^)]*\))?:", step.text)
        spoken = [same(label[1])] if label else []
        claims = list(claim.finditer(step.text[:200]))
        spoken += [same(m[1]) for m in claims] + [same(m[1]).split()[0] for m in claims]
        other = next((names[s] for s in spoken if s in names and names[s] != step.agent), None)
        if other is not None:
            evidence = f'{step.agent} speaks as {other}: "{quoted(step.event, 120)}"'
            score = 0.9 if label and same(label[1]) == same(other) else 0.7
            yield Finding("wrong role", score, step.agent, step.index, (step.event.id,), evidence, advice)


@detector(
    "flattery", "An agent gives up its own answer for another's without a reason", faults=("flattery",), blames=0.5,
    live=True,
)  # fmt: skip
def flattery(conversation: Conversation, graph: UsageGraph) -> Iterator[Finding]:
    """A change to an answer that somebody else had stated, in words of praise or with no new fact."""
    held: dict[str, str] = {}
    seen: dict[str, Step] = {}
    backing: Counter[str] = Counter()
    advice = "Ask for a reason with each change of mind, and keep the first answers for the final count."
    for step in conversation.steps:
        if step.kind != "said" or step.answer is None or not is_agent(step.agent):
            continue
        now, before = same(step.answer), held.get(step.agent)
        praise = _CONVINCED.search(step.text)
        if before is not None and now != before and now in seen and seen[now].agent != step.agent:
            score = 0.35 + (0.45 if praise else 0.0) + (0.1 if backing[now] <= backing[before] else 0.0)
            words = f'"{step.text[praise.start() : praise.end()]}"' if praise else "no new fact"
            evidence = f"{step.agent} drops {before!r} for {seen[now].agent}'s {now!r} with {words}"
            ids = (seen[now].event.id, step.event.id)
            yield Finding("flattery", min(score, 1.0), step.agent, step.index, ids, evidence, advice)
        if before is not None:
            backing[before] -= 1
        backing[now] += 1
        held[step.agent] = now
        seen.setdefault(now, step)


@detector("guess", "A step works with assumed or made-up facts", blames=0.5, live=True)
def guess(conversation: Conversation, graph: UsageGraph) -> Iterator[Finding]:
    """Words of assumption in what an agent says."""
    advice = "Give the agent the missing input, or make it stop and ask where it would assume."
    for step in conversation.steps:
        if step.kind == "said" and is_agent(step.agent) and (match := _GUESS.search(step.text)):
            words = " ".join(step.text[max(0, match.start() - 20) : match.end() + 80].split())
            yield Finding(
                "guess", 0.5, step.agent, step.index, (step.event.id,), f'{step.agent} assumes: "{words}"', advice
            )


@detector("dissent", "An agent's answer is not the one that most agents gave", faults=("corrupted fact",), blames=0.3)
def dissent(conversation: Conversation, graph: UsageGraph) -> Iterator[Finding]:
    """First answers in the minority of three or more."""
    first = _first_answers(conversation)
    if len(first) < 3:
        return
    count = Counter(same(s.answer or "") for s in first.values())
    usual, most = count.most_common(1)[0]
    for step in first.values():
        if most >= 2 and same(step.answer or "") != usual:
            evidence = f"{step.agent} answers {step.answer!r}, {most} of {len(first)} answer {usual!r}"
            advice = f"Ask {step.agent} to show its work; check the odd answer before it is outvoted or adopted."
            yield Finding("dissent", most / len(first), step.agent, step.index, (step.event.id,), evidence, advice)


@detector(
    "error cascade", "A minority's or contradicting value is taken over by others", faults=("error cascade",),
    blames=0.3, live=True,
)  # fmt: skip
def cascade(conversation: Conversation, graph: UsageGraph) -> Iterator[Finding]:
    """Contradictions whose value turns up in later steps of two or more other agents that used them, and answers of
    one agent that two or more others take over although more of them had agreed on another.
    """
    yield from _conversions(conversation)
    for finding in contradiction(conversation, graph):
        if finding.step is None:
            continue
        source = conversation.steps[finding.step]
        theirs = {v.about: v.number for v in values(source.text)}
        carriers: dict[str, Step] = {}
        below = graph.descendants(finding.step)
        for step in conversation.steps[finding.step + 1 :]:
            if step.index in below and step.agent != source.agent and is_agent(step.agent):
                mine = {n.number for n in values(step.text)}
                if mine & set(theirs.values()):
                    carriers.setdefault(step.agent, step)
        if len(carriers) >= 2:
            reach = len(carriers) / max(1, len(conversation.agents) - 1)
            evidence = f"{finding.evidence}; {len(carriers)} others took it over ({', '.join(carriers)})"
            ids = (*finding.events, *(s.event.id for s in carriers.values()))[:8]
            advice = "Check values where they enter, and send a correction to everybody who used this one."
            yield Finding(
                "error cascade", min(1.0, 0.5 + 0.5 * reach), source.agent, finding.step, ids, evidence, advice
            )


def _conversions(conversation: Conversation) -> Iterator[Finding]:
    """Answers that spread from one agent against the majority of its time."""
    held: dict[str, str] = {}
    origin: dict[str, tuple[Step, int]] = {}
    converts: dict[str, dict[str, Step]] = {}
    for step in conversation.steps:
        if step.kind != "said" or step.answer is None or not is_agent(step.agent):
            continue
        answer, before = same(step.answer), held.get(step.agent)
        held[step.agent] = answer
        if answer not in origin:
            rivals = Counter(a for a in held.values() if a != answer)
            origin[answer] = step, max(rivals.values(), default=0)
        elif before is not None and before != answer and origin[answer][0].agent != step.agent:
            converts.setdefault(answer, {}).setdefault(step.agent, step)
    for answer, agents in converts.items():
        step, _ = origin[answer]
        firsts = Counter(same(s.answer or "") for s in _first_answers(conversation).values())
        if len(agents) >= 2 and firsts[answer] < max(firsts.values()):
            reach = len(agents) / max(1, len(conversation.agents) - 1)
            evidence = (
                f"{step.agent}'s answer {step.answer!r} began in the minority "
                f"({firsts[answer]} of {sum(firsts.values())}) "
                f"and {len(agents)} others took it over ({', '.join(agents)})"
            )
            ids = (step.event.id, *(s.event.id for s in agents.values()))[:8]
            advice = (
                f"Ask {step.agent} for its source before others read the answer; count first answers, not last ones."
            )
            yield Finding("error cascade", min(1.0, 0.5 + 0.5 * reach), step.agent, step.index, ids, evidence, advice)


def _first_answers(conversation: Conversation) -> dict[str, Step]:
    first: dict[str, Step] = {}
    for step in conversation.steps:
        if step.kind == "said" and step.answer is not None and is_agent(step.agent):
            first.setdefault(step.agent, step)
    return first


def _is_terminal(step: Step) -> bool:
    """Whether a step is the output of code that another agent wrote (AutoGen's executors speak as agents)."""
    return step.kind == "tool" and step.event.kind not in TOOLS
