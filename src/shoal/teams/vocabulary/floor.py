"""A channel at work: who has said what, who is linked to whom, and how words get from one to another."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from shoal.runs.seeds import derive
from shoal.tasks.problem import Question
from shoal.teams.agent import Agent
from shoal.teams.protocols.aggregation import Opinion
from shoal.teams.protocols.asking import Call, brief, gist, own_and, poll
from shoal.teams.session import Message, Session
from shoal.teams.vocabulary.schema import AgentSpec, Channel
from shoal.teams.vocabulary.strategies import Conduct

Links = Mapping[str, Sequence[str]]
"""Who can send to whom, by sender."""

BOARD = "board"
"""The receiver of what is written to shared memory."""


@dataclass
class Floor:
    """The state of one channel working on one question.

    Attributes:
        channel: its spec.
        roster: everybody in the team by name, with their specs; a judge need not be an actor.
        agents: the actors by name, in the order of the team.
        places: position of each agent in the team, which picks its private sheet.
        question: what is worked on.
        session: who pays and records.
        conduct: what the strategy adds to prompts and weights.
        hub: the centre, if the structure has one.
        levels: the levels, lowest first, if it has some.
        handed: outcomes of earlier channels.
        seed: root of the channel's random numbers.
        opinions: the latest opinion of each actor.
        context: what each actor has been given to keep (shared sheets).
        board: the shared memory.
        round: rounds of talk that are over.
        closer: who has had the last word.
        halted: why nobody may decide any more, or empty.
    """

    channel: Channel
    roster: Mapping[str, tuple[Agent, AgentSpec]]
    agents: dict[str, Agent]
    places: Mapping[str, int]
    question: Question
    session: Session
    conduct: Conduct
    hub: str | None = None
    levels: tuple[tuple[str, ...], ...] = ()
    handed: tuple[Message, ...] = ()
    seed: int = 0
    opinions: dict[str, Opinion] = field(default_factory=dict)
    context: dict[str, list[Message]] = field(default_factory=dict)
    board: list[Message] = field(default_factory=list)
    round: int = 0
    closer: str = ""
    halted: str = ""
    _inbox: dict[str, list[Message]] = field(default_factory=dict)

    @property
    def names(self) -> list[str]:
        """The actors."""
        return list(self.agents)

    def current(self) -> list[Opinion]:
        """The latest opinions, in the order of the actors."""
        return [self.opinions[name] for name in self.agents if name in self.opinions]

    def stream(self, *names: str | int) -> int:
        """A seed for one use in this round."""
        return derive(self.seed, self.question.id, self.channel.name, self.round, *names)

    async def answer(self, names: Iterable[str], board: bool = False) -> list[Opinion]:
        """Ask these actors at the same time, each with what it has heard since it last spoke.

        Args:
            names: who.
            board: whether they read the shared memory instead of their own messages.
        """
        calls, asked = [], [name for name in names if name in self.agents]
        for name in asked:
            heard = [*self.handed, *self.context.get(name, ()), *self._inbox.pop(name, ())]
            if board:
                heard += [note for note in self.board if name in note.receivers or note.sender == name][-8:]
            own = self.opinions.get(name)
            mine = f"You: Answer: {own.answer}" if own is not None and own.answer is not None else ""
            lead = self.conduct.lead(self, name, [m.sender for m in heard if m.sender in self.agents])
            prompt = brief(self.question, self.places[name], lead=lead, heard=heard, close=mine)
            calls.append(Call(self.agents[name], prompt, own_and(own, heard)))
        fresh = await poll(self.session, self.question, calls)
        for name, opinion in zip(asked, fresh, strict=True):
            if not opinion.failed:  # who fails stands by what it said before
                self.opinions[name] = opinion
                self.closer = name
        return fresh

    def tell(self, sender: str, receivers: Iterable[str], links: Links) -> list[str]:
        """Send an actor's latest words to others, over other agents where there is no direct link.

        Returns:
            Who got them.
        """
        opinion = self.opinions.get(sender)
        if opinion is None or not opinion.text:
            return []
        reached: list[str] = []
        content = self.conduct.label(self, sender, gist(opinion))
        for message in spread(self.session, links, sender, receivers, content, (opinion.event,)):
            for name in message.receivers:
                self._inbox.setdefault(name, []).append(message)
            reached += message.receivers
        return reached

    def hand_out(
        self, sender: str, receivers: Iterable[str], content: str, parents: Iterable[str], links: Links
    ) -> None:
        """Give others something to keep in view for the whole channel."""
        for message in spread(self.session, links, sender, receivers, content, parents):
            for name in message.receivers:
                self.context.setdefault(name, []).append(message)

    def note(self, sender: str, readers: Iterable[str]) -> None:
        """Write an actor's latest words to the shared memory, where the readers can see them."""
        opinion = self.opinions.get(sender)
        if opinion is None or not opinion.text:
            return
        content = self.conduct.label(self, sender, gist(opinion))
        sent = self.session.send(sender, [BOARD], content, [opinion.event])
        if sent is not None:
            self.board.append(Message(sender, tuple(r for r in readers if r != sender), sent.content, sent.event))


def spread(
    session: Session, links: Links, sender: str, receivers: Iterable[str], content: str, parents: Iterable[str]
) -> list[Message]:
    """Send content to all receivers along the shortest paths; agents between pass it on word for word.

    Each hop is a message of its own whose parent is the hop before; a hop that is dropped loses what lies behind it.

    Args:
        session: records the messages.
        links: who can send to whom.
        sender: who speaks first.
        receivers: who is meant; those that no path leads to are counted under the failure "unreachable".
        content: what is said.
        parents: events it was made from.

    Returns:
        What arrived: messages from ``sender`` to the receivers that were meant, with the event of their last hop.
    """
    wanted = [name for name in dict.fromkeys(receivers) if name != sender]
    towards = _tree(links, sender)
    hops: dict[str, list[str]] = {}
    for name in wanted:
        if name not in towards:
            session.failures["unreachable"] += 1
            continue
        while name != sender:
            before = towards[name]
            if name not in hops.setdefault(before, []):
                hops[before].append(name)
            name = before
    arrived: list[Message] = []
    queue: deque[tuple[str, str, tuple[str, ...]]] = deque([(sender, content, tuple(parents))])
    while queue:
        at, words, made_from = queue.popleft()
        if not hops.get(at):
            continue
        message = session.send(at, hops[at], words, made_from)
        if message is None:
            continue
        meant = tuple(name for name in message.receivers if name in wanted)
        if meant:
            arrived.append(Message(sender, meant, message.content, message.event))
        queue.extend((name, message.content, (message.event,)) for name in message.receivers)
    return arrived


def _tree(links: Links, root: str) -> dict[str, str]:
    """The agent before each one on a shortest path from the root."""
    before: dict[str, str] = {}
    queue = deque([root])
    while queue:
        at = queue.popleft()
        for name in links.get(at, ()):
            if name != root and name not in before:
                before[name] = at
                queue.append(name)
    return before
