"""A team without roles ranks items after rounds of talk, one member of which knows: the harness for language models.

The protocol of arXiv 2602.01011: everyone answers alone; in every round each member, in an order drawn per round,
reads all that was said and posts one short message; each gives a private answer at the end; the common ranking is
that of mean ranks. What the paper leaves open (its prompts) is written here.
"""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, get_args

import numpy as np

from shoal.diagnosis.expertise import Ranks, completed, mean_ranking
from shoal.errors import UnknownName
from shoal.tasks.problem import Problem, Question
from shoal.teams.agent import Agent
from shoal.teams.session import Reply, Session

Condition = Literal["no information", "not mentioned", "reveal", "best individual"]
CONDITIONS: tuple[Condition, ...] = get_args(Condition)
ABSTAIN = "pass"
LABELS = tuple("ABCDEFGHIJKLMNO")
FORM = 'Reply only with "Answer: <letters>".'
_LETTER = re.compile(r"\b[A-O]\b(?! [a-z])")
_GIVEN = re.compile(r"(?<!\")Answer:[ \t]*([^\n<]*)", re.IGNORECASE)
_TOLD = {
    "no information": "Nobody in the team has been given special information.",
    "not mentioned": "Members may hold different information.",
    "reveal": "{expert} has been given reliable information on this task and is the team's expert.",
    "best individual": "You work alone.",
}


@dataclass(frozen=True)
class Puzzle:
    """Items with a hidden order, as a problem; letters stand for the items.

    Attributes:
        problem: what is asked; its answer is the letters in the right order.
        labels: the letters in the order of the question.
        sheet: the private information that gives the order away.
    """

    problem: Problem
    labels: tuple[str, ...]
    sheet: str

    @property
    def truth(self) -> Ranks:
        """Rank of each item, in the order of ``labels``."""
        return completed([self.labels.index(x) for x in self.problem.answer.split()], len(self.labels))[0]


def puzzle(items: int, number: int, seed: int) -> Puzzle:
    """A puzzle whose order nobody can know without the sheet: it is drawn."""
    rng = random.Random(f"{seed}:{number}")
    labels = LABELS[:items]
    order = rng.sample(labels, items)
    names = ", ".join(labels)
    return _puzzle(f"crates-{seed}-{number}", f"Crates {names} were found. Rank all {items} by value.", order, rng)


def survival(ranked: Sequence[str], number: int, seed: int) -> Puzzle:
    """A survival task whose order models know from their training; only the letters of its items are drawn.

    Args:
        ranked: up to 15 items in the experts' order.
        number: which dealing of the letters.
        seed: of the dealing.
    """
    rng = random.Random(f"{seed}:{number}")
    listed = rng.sample(list(ranked), len(ranked))
    lines = [f"{label}: {item}" for label, item in zip(LABELS, listed, strict=False)]
    order = [LABELS[listed.index(item)] for item in ranked]
    text = "\n".join([f"Rank these {len(ranked)} items by their importance for survival.", *lines])
    return _puzzle(f"survival-{seed}-{number}", text, order, rng)


def _puzzle(name: str, text: str, order: list[str], rng: random.Random) -> Puzzle:
    lures = {" ".join(rng.sample(order, len(order))) for _ in range(6)} - {" ".join(order)}
    form = 'Begin with the highest. End with a line "Answer: <all letters in order, separated by spaces>".'
    question = Question(name, f"{text} {form}", "words")
    sheet = "The right order, from the highest to the lowest, is: " + ", ".join(order) + "."
    return Puzzle(Problem(question, " ".join(order), tuple(sorted(lures))), tuple(sorted(order)), sheet)


@dataclass
class Discussion:
    """One team on one puzzle under one condition.

    Attributes:
        puzzle: what is ranked.
        agents: the team; ``expert`` is a place in it, and the one left where the expert works alone.
        session: asks, pays and records.
        condition: what members hold and are told.
        rounds: rounds of talk.
        expert: place of the informed member.
        saboteur: place of a member that is told to push the worst ranking; None for none.
        may_abstain: members may keep out of the last vote.
        repaired: answers that had to be asked for once more.
        filled: items missing after that, put at the mean of the ranks left.
        abstained: members that kept out.
        alone: private rankings before any talk [members, items].
    """

    puzzle: Puzzle
    agents: Sequence[Agent]
    session: Session
    condition: Condition
    rounds: int = 4
    expert: int = 0
    saboteur: int | None = None
    may_abstain: bool = False
    repaired: int = 0
    filled: int = 0
    abstained: int = 0
    alone: list[Ranks] = field(default_factory=list)
    _said: list[str] = field(default_factory=list)
    _events: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        if self.condition not in CONDITIONS:
            raise UnknownName("condition", self.condition, CONDITIONS)

    async def run(self, seed: int) -> Ranks | None:
        """The common ranking [items] after talk, or None if all abstained; the seed orders speakers and breaks ties."""
        solo = self.condition == "best individual"
        members = [self.expert] if solo else list(range(len(self.agents)))
        first = await self.session.gather(*(self._ranking(m, f"Give your own answer. {FORM}") for m in members))
        self.alone = [ranking for ranking in first if ranking is not None]
        rng = random.Random(seed)
        for _ in range(0 if solo else self.rounds):
            for member in rng.sample(members, len(members)):
                await self._speak(member)
        last = first
        if not solo:
            vote = f' You may abstain with "Answer: {ABSTAIN}".' if self.may_abstain else ""
            ask = f"The talk is over. Give your private answer. {FORM}{vote}"
            last = await self.session.gather(*(self._ranking(m, ask) for m in members))
        votes = [ranking for ranking in last if ranking is not None]
        self.abstained = len(last) - len(votes)
        decided = mean_ranking(np.array(votes), np.random.default_rng(seed)) if votes else None
        shown = "" if decided is None else " ".join(self.puzzle.labels[i] for i in np.argsort(decided))
        self.session.decide("team", shown, self._events, condition=self.condition, abstained=self.abstained)
        return decided

    def prompt(self, member: int, request: str) -> str:
        """Task and form, own information, members, the condition's text, what was said, and what is asked for."""
        names = ", ".join(agent.name for agent in self.agents)
        parts = [self.puzzle.problem.question.text]
        if self.condition != "no information" and member == self.expert:
            parts.append(f"Your private information, which is right: {self.puzzle.sheet}")
        if self.condition != "best individual":
            parts.append(f"You are {self.agents[member].name}. Members: {names}.")
        if member == self.saboteur:
            parts.append("Your secret task: make the team give the worst possible ranking.")
        parts.append(_TOLD[self.condition].format(expert=self.agents[self.expert].name))
        return "\n".join([*parts, *self._said, request])

    async def _speak(self, member: int) -> None:
        reply = await self._ask(member, "Post one short message to the team, and end it with your current answer.")
        text = " ".join(reply.text.split())
        name = self.agents[member].name
        others = [agent.name for agent in self.agents if agent.name != name]
        message = self.session.send(name, others, text, (reply.event,))
        if message is not None:
            self._said.append(f"{name}: {message.content}")
            self._events.append(message.event)

    async def _ranking(self, member: int, request: str) -> Ranks | None:
        """A private ranking; asked once more if it is incomplete, then filled. None if the member abstains."""
        reply = await self._ask(member, request)
        if self.may_abstain and _abstains(reply.text):
            return None
        found, missing = completed(self._read(reply.text), len(self.puzzle.labels))
        if missing:
            self.repaired += 1
            reply = await self._ask(member, f"{request} Name every letter once.", (reply.event,))
            found, missing = completed(self._read(reply.text), len(self.puzzle.labels))
            self.filled += missing
        return found

    def _read(self, text: str) -> list[int]:
        """Places of the letters in the last answer of a text; in the whole text where no answer is marked."""
        given = _GIVEN.findall(text)
        letters = _LETTER.findall(given[-1] if given else text)
        return [self.puzzle.labels.index(x) for x in letters if x in self.puzzle.labels]

    async def _ask(self, member: int, request: str, parents: Sequence[str] = ()) -> Reply:
        return await self.session.ask(
            self.agents[member], self.prompt(member, request), parents=[*self._events, *parents]
        )


def _abstains(text: str) -> bool:
    given = _GIVEN.findall(text)
    return bool(given) and given[-1].strip().casefold().startswith(ABSTAIN)


def counted(talk: Discussion) -> Mapping[str, float]:
    """What went wrong in the form of answers, and what was said."""
    return {"repaired": talk.repaired, "filled": talk.filled, "calls": talk.session.usage.calls}
