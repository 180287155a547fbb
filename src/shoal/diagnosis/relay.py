"""A small team whose talk is made of facts and tool results: for faults that answers alone do not show.

Two scouts look a river up with a tool, an analyst works out the difference, a checker asks the tool again, a writer
answers. Its scripted model can only read and repeat, so every wrong value has a cause that can be pointed at.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from shoal.models.interface import Completion, Model, Request
from shoal.runs.seeds import derive
from shoal.stats import Evidence
from shoal.tasks.problem import Problem, Question
from shoal.teams.agent import Agent
from shoal.teams.outcome import Outcome
from shoal.teams.session import Message, Session
from shoal.traces import Usage

RIVERS = ("Severn", "Ouse", "Trent", "Wye", "Tay", "Spey", "Tees", "Tyne", "Avon", "Mersey", "Exe", "Test")
NAMES = ("scout-1", "scout-2", "analyst", "checker", "writer")
_FACT = re.compile(r"\b([A-Z][a-z]+) is (-?\d+) km long")
_TOOL = re.compile(r"length\((\w+)\) gave (-?\d+) km")

Tool = Callable[[str], str]


class Reader(Model):
    """Reads facts in its prompt and reports, subtracts or repeats them; wording varies with the seed."""

    spec = identity = "scripted:relay"
    evidence = Evidence.SCRIPTED

    async def complete(self, request: Request) -> Completion:
        """What the agent's role makes of the facts in the prompt."""
        text = _say(request.agent, request.messages[-1]["content"], request.seed)
        prompt = sum(self.count_tokens(m["content"]) + 4 for m in request.messages)
        return Completion(text, Usage(prompt, self.count_tokens(text), calls=1))


def relay_agents() -> list[Agent]:
    """The five agents of the relay."""
    return [Agent(name, f"You are the {name}.") for name in NAMES]


def relay_problem(seed: int) -> tuple[Problem, Tool]:
    """A question about two rivers, and the tool that knows their lengths (made up, from the seed)."""
    lengths = {river: 40 + derive(seed, "length", river) % 700 for river in RIVERS}
    one = RIVERS[derive(seed, "first") % len(RIVERS)]
    rest = [r for r in RIVERS if r != one and lengths[r] != lengths[one]]
    two = rest[derive(seed, "second") % len(rest)]
    if lengths[two] > lengths[one]:
        one, two = two, one
    text = f"How many km longer than the {two} is the {one}?"
    question = Question(f"rivers-{seed}", text, kind="number", tags={"first": one, "second": two})
    return Problem(question, str(lengths[one] - lengths[two])), lambda river: f"{lengths.get(river, 0)} km"


async def relay(question: Question, agents: Sequence[Agent], session: Session, tool: Tool) -> Outcome:
    """Look up, work out, check, answer."""
    scouts, analyst, checker, writer = agents[:2], agents[2], agents[3], agents[4]
    rivers = (question.tags["first"], question.tags["second"])
    reports: list[Message] = []
    for scout, river in zip(scouts, rivers, strict=True):
        found = _look_up(session, scout.name, river, tool)
        reply = await session.ask(scout, f"{question.text}\nlength({river}) gave {found[0]}.", parents=[found[1]])
        sent = session.send(scout.name, [analyst.name], reply.text, [reply.event])
        reports += [sent] if sent is not None else []
    worked = await session.ask(analyst, _prompt(question, reports), parents=[m.event for m in reports])
    handed = session.send(analyst.name, [checker.name, writer.name], worked.text, [worked.event])
    heard = [handed] if handed is not None else []
    again = [_look_up(session, checker.name, river, tool) for river in rivers]
    results = "\n".join(f"length({r}) gave {text}." for r, (text, _) in zip(rivers, again, strict=True))
    prompt = f"{_prompt(question, heard if handed and checker.name in handed.receivers else [])}\n{results}"
    checked = await session.ask(checker, prompt, parents=[*(m.event for m in heard), *(e for _, e in again)])
    report = session.send(checker.name, [writer.name], checked.text, [checked.event])
    last = [m for m in (handed, report) if m is not None and writer.name in m.receivers]
    final = await session.ask(writer, _prompt(question, last), parents=[m.event for m in last])
    from shoal.tasks.answers import extract

    answer = extract(question, final.text)
    event = session.decide("team", "answer", [final.event], answer=answer)
    return Outcome(answer, final.text, event)


def _look_up(session: Session, agent: str, river: str, tool: Tool) -> tuple[str, str]:
    found = tool(river)
    payload = {"tool": "length", "arguments": river, "content": f"length({river}) gave {found}"}
    return found, session.trace.write("tool.result", agent, payload)


def _prompt(question: Question, heard: Sequence[Message]) -> str:
    return "\n".join([question.text, *(f"{m.sender}: {m.content}" for m in heard)])


def _say(agent: str, prompt: str, seed: int) -> str:
    rivers = re.findall(r"than the (\w+) is the (\w+)\?", prompt)
    two, one = rivers[0] if rivers else ("", "")
    facts = dict(_FACT.findall(prompt))
    tools = dict(_TOOL.findall(prompt))
    if agent.startswith("scout") and tools:
        river, length = next(iter(tools.items()))
        lead = ("I looked it up: the", "According to the tool the", "My source says the")[seed % 3]
        return f"{lead} {river} is {length} km long."
    said = re.findall(r"Answer: (-?\d+)", prompt)
    if agent == "writer" and said:
        return f"The {one} is longer than the {two}.\nAnswer: {said[-1]}"
    known = tools or facts
    if one in known and two in known:
        lead = "I asked the tool again. The" if agent == "checker" else "The scouts agree: the"
        gap = int(known[one]) - int(known[two])
        return f"{lead} {one} is {known[one]} km long and the {two} is {known[two]} km long.\nAnswer: {gap}"
    missing = ", ".join(r for r in (one, two) if r not in known)
    return f"I lack the length of {missing or 'both'} and cannot answer."
