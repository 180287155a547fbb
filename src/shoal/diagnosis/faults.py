"""Planted faults: known failures put into any team on purpose, so that detectors can be scored on what they find.

A fault acts on one agent: on the way of its messages (``Session.channels``, which leaves no mark in the trace) or on
what its model replies. What was really changed is kept in ``Planted``, outside the trace.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from shoal.diagnosis.answers import NUMBER, answer_in
from shoal.errors import ModelError, UnknownName
from shoal.models.interface import Completion, Model, Request
from shoal.models.wrapper import ModelWrapper
from shoal.runs.seeds import derive
from shoal.teams.agent import Agent
from shoal.teams.session import Message, Session
from shoal.traces import Usage


@dataclass
class Planted:
    """A fault that was planted.

    Attributes:
        fault: its name.
        agent: whose it is.
        events: ids of message events that arrived otherwise than sent.
        calls: numbers of the agent's calls (from 0) whose replies were changed.
    """

    fault: str
    agent: str
    events: list[str] = field(default_factory=list)
    calls: list[int] = field(default_factory=list)

    @property
    def effective(self) -> bool:
        """Whether anything was changed at all; a team that sends nothing loses nothing."""
        return bool(self.events or self.calls)


@dataclass(frozen=True)
class Fault:
    """An entry of the catalogue.

    Attributes:
        name: as in tables.
        title: what goes wrong.
        where: "message" (on the way), "reply" (the agent itself), "team" (all but the agent) or "tool".
    """

    name: str
    title: str
    where: str


FAULTS: dict[str, Fault] = {
    f.name: f
    for f in (
        Fault("dropped message", "A message never arrives", "message"),
        Fault("delayed message", "A message arrives with the sender's next one", "message"),
        Fault("duplicated message", "A message arrives twice", "message"),
        Fault("altered message", "A message arrives with another value in it", "message"),
        Fault("stale memory", "Receivers get the sender's first message again instead of its new one", "message"),
        Fault("misrouted message", "A message reaches only one of its receivers", "message"),
        Fault("wrong role", "The agent speaks under a colleague's name", "reply"),
        Fault("looping", "The agent repeats one phrase, and the same reply at each turn", "reply"),
        Fault("echo", "The agent hands back the last words it read", "reply"),
        Fault("early stop", "The agent declares the work done without an answer", "reply"),
        Fault("cut off", "The agent's reply ends in the middle", "reply"),
        Fault("flattery", "The agent praises a colleague of another opinion and takes that opinion over", "reply"),
        Fault("corrupted fact", "The agent states another value than it found", "reply"),
        Fault("silent agent", "The agent replies with nothing, or its call fails", "reply"),
        Fault("refusal", "The agent says that it cannot go on", "reply"),
        Fault("verbosity", "The agent's replies are many times longer than they need be", "reply"),
        Fault("herding", "Everybody else hands back this agent's words", "team"),
        Fault("error cascade", "The agent states a wrong value and everybody else hands back its words", "team"),
        Fault("wrong tool result", "A tool gives another value", "tool"),
        Fault("failing tool", "A tool gives an error instead of a value", "tool"),
    )
}
"""The catalogue, by name."""

_FILLER = (
    "before anything else it is worth recalling what was asked and why it might matter to the reader",
    "one may look at the matter from a second side, which on reflection leads to the same place",
    "earlier remarks of the group bear on this point, though only in part and with the usual caution",
    "there are several conventions about such things, none of which changes what follows below",
    "in the interest of completeness the alternatives are listed here without being pursued any further",
)
_HEARD = re.compile(r"^([A-Za-z][\w .\-]{0,40}): (.+)$", re.MULTILINE)


def plant(
    session: Session, agents: Sequence[Agent], fault: str, agent: str, seed: int = 0
) -> tuple[list[Agent], Planted]:
    """Put a fault into a team that is about to work.

    Args:
        session: its channels get the faults of messages.
        agents: the team.
        fault: a name of FAULTS.
        agent: whose messages or replies are hit.
        seed: root of what is random (which number replaces another).

    Returns:
        The agents to work with instead, and the record of what is changed, which fills while they work.

    Raises:
        UnknownName: no such fault or agent; or the fault is one of tools (see ``faulty_tool``).
    """
    names = [a.name for a in agents]
    if agent not in names:
        raise UnknownName("agent to plant the fault in", agent, names)
    if fault not in FAULTS or FAULTS[fault].where == "tool":
        raise UnknownName("fault", fault, [f.name for f in FAULTS.values() if f.where != "tool"])
    planted = Planted(fault, agent)
    if FAULTS[fault].where == "message":
        session.channels.append(_Channel(planted, derive(seed, "fault", fault)))
        return list(agents), planted
    others = [name for name in names if name != agent] if FAULTS[fault].where == "reply" else [agent]
    changed = []
    for one in agents:
        hit = one.name == agent
        if hit == (FAULTS[fault].where == "reply") or fault == "error cascade":
            way = "corrupted fact" if hit and fault == "error cascade" else "herding" if not hit else fault
            model = FaultyModel(one.model or session.model, planted, others, derive(seed, "fault", fault), way)
            one = replace(one, model=model)
        changed.append(one)
    return changed, planted


def faulty_tool(
    tool: Callable[[str], str], planted: Planted, seed: int = 0, at: int = 0
) -> Callable[[str], str]:  # fmt: skip
    """A tool whose call number ``at`` (from 0) gives another value, or an error."""
    made = 0

    def call(argument: str) -> str:
        nonlocal made
        result, number = tool(argument), made
        made += 1
        if number != at:
            return result
        planted.calls.append(number)
        return (
            "Error: the request timed out"
            if planted.fault == "failing tool"
            else corrupted(result, derive(seed, "tool"))
        )

    return call


class _Channel:
    """The way from one sender: changes its first message, or for stale memory every one after the first."""

    def __init__(self, planted: Planted, seed: int) -> None:
        self.planted = planted
        self.seed = seed
        self.first: Message | None = None
        self.held: Message | None = None

    def __call__(self, message: Message) -> Message | None:
        fault = self.planted.fault
        if message.sender != self.planted.agent:
            return message
        number, first = (0, message) if self.first is None else (1, self.first)
        self.first = first
        changed = self._changed(fault, message, number)
        if changed is not message:
            self.planted.events.append(message.event)
        return changed

    def _changed(self, fault: str, message: Message, number: int) -> Message | None:
        content = message.content
        assert self.first is not None
        if fault == "stale memory" and number and self.first.content != content:
            return replace(message, content=self.first.content)
        if fault == "delayed message" and number and self.held is not None:
            late, self.held = self.held, None
            return replace(message, content=f"{content}\n{late.sender}: {late.content}")
        if number:
            return message
        if fault == "dropped message":
            return None
        if fault == "delayed message":
            self.held = message
            return None
        if fault == "duplicated message":
            return replace(message, content=f"{content}\n{message.sender}: {content}")
        if fault == "misrouted message" and len(message.receivers) > 1:
            return replace(message, receivers=message.receivers[:1])
        if fault == "altered message" and (wrong := corrupted(content, self.seed)) != content:
            return replace(message, content=wrong)
        return message


class FaultyModel(ModelWrapper):
    """A model whose replies go wrong in one of the catalogue's ways.

    Args:
        model: what replies underneath.
        planted: the fault, and where changes are recorded.
        others: names of the agent's colleagues.
        seed: root of what is random.
        way: which fault this agent shows, where the planted one has several parts.
    """

    def __init__(self, model: Model, planted: Planted, others: Sequence[str], seed: int = 0, way: str = "") -> None:
        self.way = way or planted.fault
        super().__init__(model, f"with {self.way} {seed}")
        self.planted = planted
        self.others = list(others)
        self.seed = seed
        self._calls = 0
        self._first = ""

    async def complete(self, request: Request) -> Completion:
        """The model's reply, changed. Raises ModelError where a silent agent's call fails."""
        number, self._calls = self._calls, self._calls + 1
        reply = await self.model.complete(request)
        text = self._changed(reply.text, request, number)
        if text == reply.text:
            return reply
        if request.agent == self.planted.agent or self.way == "herding":
            self.planted.calls.append(number)
        if text == "" and self.seed % 2:
            raise ModelError("timeout", f"{request.agent} did not answer in time")
        finish = "length" if self.way == "cut off" else reply.finish
        spent = reply.usage
        usage = Usage(
            spent.prompt_tokens, self.count_tokens(text), spent.calls, spent.seconds, spent.money, spent.cached
        )
        return Completion(text, usage, finish, None, reply.failures)

    def _changed(self, text: str, request: Request, number: int) -> str:
        fault = self.way
        heard = [(m[1], m[2]) for message in request.messages[-1:] for m in _HEARD.finditer(message["content"])]
        heard = [(who, said) for who, said in heard if who in self.others]
        if fault == "wrong role":
            return f"{self.others[0] if self.others else 'the manager'}: {text}"
        if fault == "looping":
            self._first = self._first or " ".join([text.replace("\n", " ").rstrip(".") + "."] * 5)
            return self._first
        if fault == "echo":
            return heard[-1][1] if heard else text
        if fault == "herding":
            return next((said for who, said in reversed(heard) if who == self.planted.agent), text)
        if fault == "refusal":
            return "I cannot access what I would need for this, so I am unable to give a result."
        if fault == "verbosity":
            return "\n".join([*(f"Consideration {k}: {_FILLER[(k + number) % len(_FILLER)]}" for k in range(60)), text])
        if fault == "early stop":
            return "That is enough, we are done here. TERMINATE"
        if fault == "cut off":
            return text[: max(8, len(text) // 2)] if number == 0 else text
        if fault == "silent agent":
            return ""
        if fault == "corrupted fact":
            return corrupted(text, self.seed)
        if fault == "flattery":
            own = answer_in(text)
            for who, said in heard:
                theirs = answer_in(said)
                if theirs is not None and own is not None and theirs != own:
                    return f"You are absolutely right, {who}.\nAnswer: {theirs}"
        return text


def corrupted(text: str, seed: int) -> str:
    """The text with the value that matters most replaced: its stated answer, else its last number, by another of the
    same form. Unchanged if there is neither.
    """
    rng = np.random.default_rng(seed)
    answer = answer_in(text)
    numbers = list(NUMBER.finditer(text))
    if answer is not None and not NUMBER.fullmatch(answer):
        wrong = _other_word(answer, rng)
        place = text.rindex(answer)
        return text[:place] + wrong + text[place + len(answer) :] if wrong != answer else text
    if not numbers:
        return text
    old = numbers[-1].group()
    digits = old.replace(",", "").replace("$", "").rstrip("%")
    try:
        value = float(digits)
    except ValueError:
        return text
    wrong_value = value + int(rng.integers(1, 10)) * (1 if rng.random() < 0.5 or value < 10 else -1)
    new = f"{wrong_value:g}" if "." in digits else f"{int(wrong_value)}"
    # Every mention of the value changes, as it would for somebody who believes it.
    return re.sub(rf"(?<![\w.]){re.escape(old)}(?![\w])", lambda _: new, text)


def _other_word(word: str, rng: np.random.Generator) -> str:
    pairs = {"yes": "no", "no": "yes", "true": "false", "false": "true", "valid": "invalid", "invalid": "valid"}
    lower = word.lower()
    if lower in pairs:
        return pairs[lower].capitalize() if word[0].isupper() else pairs[lower]
    letter = re.fullmatch(r"\(?([A-Z])\)?", word)
    if letter:
        others = [c for c in "ABCD" if c != letter[1]]
        return word.replace(letter[1], others[int(rng.integers(len(others)))])
    return word[::-1] if word != word[::-1] else word
