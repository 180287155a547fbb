"""One agent at work with tools until it has a result: in one reply where its model goes on after a tool's result, or in
as many turns as it takes where it does not (endpoints, scripted agents). What comes out has the same form.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from shoal.models.interface import ChatMessage
from shoal.models.tools import ANYTHING, EndOfReply, Tool, ToolCall, called, directions, is_well_formed, result_of
from shoal.teams.agent import Agent
from shoal.teams.session import Reply, Session

_BRACKETS = re.compile(r"\[[^\[\]\n]*\]")
_OWN_TURN = ("\nUser:", "\nHuman:", "<|im_start|>")
"""Texts that end a turn: what comes after is the model talking to itself."""


@dataclass(frozen=True)
class Trajectory:
    """What an agent wrote and was given on one piece of work.

    Attributes:
        agent: its name.
        text: calls with their results, and what it wrote between and after them.
        event: in the trace, of the record of the trajectory.
        formed: whether calls and results have the right form, and it ended by itself in a result.
        cut: whether it ran out of tokens, or its prompt had none left for it.
        failed: kind of failure if its model failed, else empty.
    """

    agent: str
    text: str
    event: str
    formed: bool
    cut: bool = False
    failed: str = ""

    @property
    def result(self) -> str:
        """What it came to, or nothing."""
        return "" if self.cut else result_of(self.text)


def ends(argument: str) -> str:
    """A tool's function that ends the reply: of names that are no tool's, and of calls beyond a limit."""
    raise EndOfReply


async def work(
    session: Session, agent: Agent, prompt: str, tools: Sequence[Tool], parents: Sequence[str] = ()
) -> Trajectory:
    """Let an agent work with tools. A call of no tool, or one that is none, ends its work; it is then not well-formed.

    Args:
        session: who pays and records.
        agent: who works; tools of its own are not used.
        prompt: what it reads.
        tools: what it may call.
        parents: events that the prompt was made from. May grow while the agent works, by what tools give to it.
    """
    model, known = agent.model or session.model, [tool.name for tool in tools]
    tools = [*tools, Tool(ANYTHING, "", ends)]
    if model.calls_tools:
        reply = await session.ask(replace(agent, tools=tuple(tools)), prompt, parents=parents)
        text = reply.text
    else:
        reply, text = await _by_turns(session, agent, prompt, tools, parents)
    cut = reply.finish == "length" or reply.failed == "too long"
    formed = not cut and not reply.failed and is_well_formed(text, known)
    event = session.decide(agent.name, "trajectory", [reply.event], formed=formed, cut=cut, result=result_of(text))
    return Trajectory(agent.name, text, event, formed, cut, reply.failed)


async def _by_turns(
    session: Session, agent: Agent, prompt: str, tools: Sequence[Tool], parents: Sequence[str]
) -> tuple[Reply, str]:
    """A turn for each call; the result comes as the next message. Returns the last reply, and the whole text."""
    told = "\n".join(part for part in (agent.persona, directions(tools)) if part)
    asked, text, given = replace(agent, persona=told, tools=()), "", list[str]()
    chat: list[ChatMessage] = [{"role": "user", "content": prompt}]
    while True:
        reply = await session.ask(asked, chat, parents=[*parents, *given], stop=_OWN_TURN)
        found = _BRACKETS.search(reply.text)
        said = reply.text if found is None else reply.text[: found.end()]
        text += said
        if found is None:
            return reply, text
        try:
            call = await called(text, tools)
        except EndOfReply:
            return reply, text
        assert call is not None  # a closing bracket is always some tool's
        given.append(_noted(session, agent, call, reply))
        text += call.inserted
        chat += [{"role": "assistant", "content": said}, {"role": "user", "content": call.inserted.strip()}]


def _noted(session: Session, agent: Agent, call: ToolCall, reply: Reply) -> str:
    """A tool's result in the trace."""
    facts = {"tool": call.tool, "arguments": call.argument, "content": call.result, "error": call.failed}
    return session.trace.write("tool.result", agent.name, facts, [reply.event])
