"""Asking agents and passing their words on.

Peers' words always reach a prompt as lines "NAME: their text Answer: X". Replies are cut where a model begins to speak
as its own user, a failure that small models show in every long chat.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from shoal.errors import BudgetExceeded
from shoal.tasks.problem import Question
from shoal.teams.agent import Agent
from shoal.teams.protocols.aggregation import Opinion, Tally, tally
from shoal.teams.protocols.standing import file_opinion
from shoal.teams.session import Message, Reply, Session

STOP = ("\nUser:", "\nHuman:", "<|im_start|>")
"""Texts that end a reply: what comes after is the model talking to itself."""

LONGEST_GIST = 160
"""Characters of a peer's text that are passed on, besides its answer."""

_ROLE_MARKER = re.compile(r"<\|im_(?:start|end)\|>|\n\s*(?:user|human|system|assistant)\s*:", re.IGNORECASE)
_OWN_LABEL = re.compile(r"^\s*(?:<\|im_start\|>)?\s*assistant\s*:?\s*", re.IGNORECASE)
_ANSWER_PART = re.compile(r"\b(?:final\s+)?answer\s*(?:is)?\s*:.*$", re.IGNORECASE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class Call:
    """One agent to be asked.

    Attributes:
        agent: who.
        prompt: what it reads.
        parents: events the prompt was made from.
    """

    agent: Agent
    prompt: str
    parents: tuple[str, ...] = ()


async def poll(
    session: Session,
    question: Question,
    calls: Sequence[Call],
    *,
    answer: bool = True,
    max_tokens: int | None = None,
    temperature: float | None = None,
    logprobs: int = 0,
) -> list[Opinion]:
    """Ask several agents at the same time and read their answers, in the order of the calls.

    Args:
        session: who pays and records.
        question: decides how answers are read.
        calls: who is asked what.
        answer: whether an answer is expected; False for plans, reviews and the like.
        max_tokens: longest reply, over the agents' own.
        temperature: over the agents' own.
        logprobs: alternatives per token to ask for; 0 for none.

    Raises:
        BudgetExceeded: after the calls that still fitted have come back and been filed.
    """

    async def ask(call: Call) -> Opinion | BudgetExceeded:
        try:
            reply = await session.ask(
                call.agent,
                call.prompt,
                parents=call.parents,
                stop=STOP,
                max_tokens=max_tokens,
                temperature=temperature,
                logprobs=logprobs,
            )
        except BudgetExceeded as stop:
            # Raised only after the others are back: a paid answer must not be lost to a neighbour's empty purse.
            return stop
        return read_opinion(session, question, reply, answer)

    results = await session.gather(*(ask(call) for call in calls))
    for result in results:
        if isinstance(result, BudgetExceeded):
            raise result
    return results


def read_opinion(session: Session, question: Question, reply: Reply, answer: bool = True) -> Opinion:
    """The opinion in a reply; files it as standing and counts "spoke as user" and "no answer" among the failures."""
    from shoal.tasks.answers import extract

    text, cut = cut_roles(reply.text)
    if cut:
        session.failures["spoke as user"] += 1
    found = extract(question, text) if answer and not reply.failed else None
    if answer and found is None and not reply.failed:
        session.failures["no answer"] += 1
    certainty = None
    if reply.logprobs:
        certainty = math.exp(sum(t.logprob for t in reply.logprobs) / len(reply.logprobs))
    opinion = Opinion(reply.agent, text, found, reply.event, reply.failed, certainty)
    file_opinion(opinion)
    return opinion


def cut_roles(text: str) -> tuple[str, bool]:
    """The text up to the first role marker, and whether anything was cut. A leading "Assistant:" is only removed."""
    text = _OWN_LABEL.sub("", text, count=1)
    match = _ROLE_MARKER.search(text)
    if match is None:
        return text.strip(), False
    return text[: match.start()].strip(), bool(text[match.end() :].strip())


def gist(opinion: Opinion, longest: int = LONGEST_GIST) -> str:
    """An agent's words as others read them: one line, shortened, its answer always at the end."""
    return one_line(opinion.text, opinion.answer, longest)


def one_line(text: str, answer: str | None, longest: int = LONGEST_GIST) -> str:
    """Text on one line and at most about ``longest`` characters, with "Answer: X" at the end if there is one."""
    words = _ANSWER_PART.sub("", text) if answer is not None else text
    words = " ".join(words.split())
    if len(words) > longest:
        words = words[:longest].rsplit(" ", 1)[0] + " ..."
    if answer is None:
        return words
    return f"{words} Answer: {answer}".strip()


def brief(
    question: Question,
    position: int | None = None,
    *,
    lead: str = "",
    heard: Sequence[Message] = (),
    close: str = "",
    answer: bool = True,
) -> str:
    """A prompt: lead, question, the agent's private sheet, what it heard, a closing request, the answer's form.

    Args:
        question: what is worked on.
        position: the agent's place in the team, which picks its private sheet; None for no sheet.
        lead: what the agent is to do, before the question.
        heard: messages from others, one line each.
        close: a request after them.
        answer: whether to ask for an answer in the question's form.
    """
    from shoal.tasks.answers import instruction

    parts = [lead, question.text]
    sheet = question.sheets.get(str(position)) if position is not None else None
    if sheet:
        parts.append(f"Only you know: {sheet}")
    if heard:
        parts.append("\n".join(f"{m.sender}: {m.content}" for m in heard))
    parts.append(close)
    if answer:
        parts.append(instruction(question))
    return "\n".join(part for part in parts if part)


def named_in(text: str, names: Sequence[str]) -> list[str]:
    """The names that a text mentions, as whole words, in the order of their first mention."""
    places = {n: re.search(rf"(?<![\w.-]){re.escape(n)}(?![\w-])", text, re.IGNORECASE) for n in names}
    found = {name: match.start() for name, match in places.items() if match is not None}
    return sorted(found, key=lambda name: found[name])


@dataclass
class Post:
    """The messages of a team: sends them through the session and keeps them until they are read.

    Attributes:
        session: records each message and lets inspectors drop or change it.
    """

    session: Session
    _waiting: dict[str, list[Message]] = field(default_factory=dict)

    def send(self, sender: str, receivers: Iterable[str], content: str, parents: Iterable[str] = ()) -> Message | None:
        """Send to everyone named but the sender; returns what was delivered, or None if nothing was."""
        others = [name for name in receivers if name != sender]
        if not others:
            return None
        message = self.session.send(sender, others, content, parents)
        if message is not None:
            for name in message.receivers:
                self._waiting.setdefault(name, []).append(message)
        return message

    def tell(self, opinion: Opinion, receivers: Iterable[str]) -> Message | None:
        """Send an opinion's gist; a failed call has nothing to say."""
        if opinion.failed or not opinion.text:
            return None
        return self.send(opinion.agent, receivers, gist(opinion), (opinion.event,))

    def read(self, name: str) -> list[Message]:
        """Messages for that agent since it last read, oldest first."""
        return self._waiting.pop(name, [])


def own_and(previous: Opinion | None, heard: Sequence[Message]) -> tuple[str, ...]:
    """Parents of a prompt made from the agent's own last reply and what it heard."""
    own = (previous.event,) if previous is not None and not previous.failed else ()
    return (*own, *events(heard))


def events(messages: Sequence[Message]) -> tuple[str, ...]:
    """Parents of a prompt made from messages."""
    return tuple(message.event for message in messages)


@dataclass
class Halt:
    """Rules that end a talk early; the most rounds are the loop's own.

    Attributes:
        agreement: share of the agents, in (0, 1], that must give the same answer; None for no such rule.
        repeats: stop when every agent said exactly what it had said in the round before.
    """

    agreement: float | None = 1.0
    repeats: bool = True
    _said: dict[str, str] = field(default_factory=dict)

    def reason(self, question: Question, opinions: Sequence[Opinion]) -> str:
        """Why to stop after this round: "agreement", "repeated", "nobody answered", or empty to go on."""
        count: Tally = tally(question, opinions)
        said = {o.agent: " ".join(o.text.lower().split()) for o in opinions if not o.failed}
        repeated = bool(said) and all(self._said.get(name) == text for name, text in said.items())
        self._said = said
        if not said:
            return "nobody answered"
        if self.agreement is not None and count.share(len(opinions)) >= self.agreement - 1e-9:
            return "agreement"
        return "repeated" if self.repeats and repeated else ""
