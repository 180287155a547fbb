"""Signalling games in words: one agent knows something, tells it in a sentence, and another must act on it.

"referential": the speaker knows the target, the listener sees all candidates (Lewis 1969). "meeting": each of two
agents knows its own free days, tells the other, and both name a day; they meet if it is the same and free for both.
What was said can be replaced before it is heard, so that use is told apart from readability: a sentence may name every
fact and be ignored.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Literal, get_args

import numpy as np

from shoal.models.interface import Completion, Model, Request
from shoal.runs.seeds import derive
from shoal.stats import Evidence
from shoal.teams.agent import Agent, make_agents
from shoal.teams.session import Session
from shoal.traces import TraceWriter

Game = Literal["referential", "meeting"]
GAMES: tuple[Game, ...] = get_args(Game)
HOW = ("on", "zeroed", "shuffled", "noise")
ATTRIBUTES = (("small", "large"), ("red", "green", "blue"), ("circle", "square", "star"))
OBJECTS = tuple(" ".join(words) for words in product(*ATTRIBUTES))
DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday")
CANDIDATES = 4
FREE = 3
NOTHING = "(nothing was said)"


@dataclass(frozen=True)
class Scene:
    """One episode.

    Attributes:
        game: which game.
        facts: what each agent knows: the target and the candidates, or each agent's free days.
        choices: what an agent may name.
        right: choices that win.
    """

    game: Game
    facts: tuple[tuple[str, ...], tuple[str, ...]]
    choices: tuple[str, ...]
    right: tuple[str, ...]


def scenes(game: Game, count: int, rng: np.random.Generator) -> list[Scene]:
    """Random episodes; in a meeting exactly one day is free for both."""
    found = []
    for _ in range(count):
        if game == "referential":
            shown = tuple(OBJECTS[i] for i in rng.permutation(len(OBJECTS))[:CANDIDATES])
            target = shown[rng.integers(CANDIDATES)]
            found.append(Scene(game, ((target,), shown), shown, (target,)))
        else:
            days = rng.permutation(len(DAYS))
            both, mine, yours = days[0], days[1:FREE], days[FREE : 2 * FREE - 1]
            lists = tuple(tuple(DAYS[d] for d in sorted([both, *own])) for own in (mine, yours))
            found.append(Scene(game, (lists[0], lists[1]), DAYS, (DAYS[both],)))
    return found


def readable(scene: Scene, said: Sequence[str]) -> float:
    """Share of the facts' words that the sentences name; 1 is a full account, which says nothing of its use."""
    shares = []
    for text, facts in zip(said, scene.facts, strict=False):
        words = {word for fact in facts for word in fact.lower().split()}
        named = set(re.findall(r"[a-z]+", text.lower()))
        shares.append(len(words & named) / len(words))
    return float(np.mean(shares))


def exchanged(said: Sequence[Sequence[str]], how: str, rng: np.random.Generator) -> list[list[str]]:
    """What is heard in each episode instead of what was said.

    Args:
        said: sentences of each episode.
        how: "on" (as said), "zeroed" (nothing), "shuffled" (the next episode's) or "noise" (words of all in any order).
        rng: order of the words of noise.
    """
    if how == "on":
        return [list(lines) for lines in said]
    if how == "zeroed":
        return [[NOTHING] * len(lines) for lines in said]
    if how == "shuffled":
        return [list(said[(i + 1) % len(said)]) for i in range(len(said))]
    words = [word for lines in said for line in lines for word in line.split()] or [NOTHING]
    return [[" ".join(rng.choice(words, max(len(line.split()), 1))) for line in lines] for lines in said]


async def speak(scene: Scene, session: Session, agents: Sequence[Agent]) -> list[str]:
    """What the agents say: the speaker's sentence, or one of each of the two who meet."""
    speakers = agents[:1] if scene.game == "referential" else agents[:2]
    replies = []
    for i, agent in enumerate(speakers):
        replies.append(await session.ask(agent, _speaking(scene, i), max_tokens=32))
        hearers = [other.name for other in agents[:2] if other is not agent]
        session.send(agent.name, hearers, replies[-1].text, (replies[-1].event,))
    return [" ".join(reply.text.split()) for reply in replies]


async def act(scene: Scene, heard: Sequence[str], session: Session, agents: Sequence[Agent]) -> bool:
    """Whether the game is won with these sentences heard."""
    if scene.game == "referential":
        reply = await session.ask(agents[1], _acting(scene, 1, heard[0]), max_tokens=12)
        return chosen(reply.text, scene.choices) in scene.right
    named = []
    for i in range(2):
        reply = await session.ask(agents[i], _acting(scene, i, heard[1 - i]), max_tokens=12)
        named.append(chosen(reply.text, scene.choices))
    return named[0] == named[1] and named[0] in scene.right


async def play_all(model: Model, count: int, seed: int, trace: TraceWriter) -> dict[str, dict[str, list[float]]]:
    """Both games with what was said heard as it is, not at all, from another episode, and garbled.

    Args:
        model: of all agents.
        count: episodes of each game, at least 2.
        seed: of the scenes, the exchange and the model's calls.
        trace: is written to.

    Returns for each game ``readable`` and ``won, on`` (``zeroed``, ``shuffled``, ``noise``), a value for each episode.
    """
    agents, measured = make_agents(2), dict[str, dict[str, list[float]]]()

    def session(*names: str | int) -> Session:
        return Session(model=model, trace=trace, seed=derive(seed, *names), max_tokens=32)

    for game in GAMES:
        played = scenes(game, count, np.random.default_rng(derive(seed, game, "scenes")))
        said = await asyncio.gather(*(speak(s, session(game, i), agents) for i, s in enumerate(played)))
        found = {"readable": [readable(s, lines) for s, lines in zip(played, said, strict=True)]}
        for how in HOW:
            heard = exchanged(said, how, np.random.default_rng(derive(seed, game, "exchange")))
            pairs = enumerate(zip(played, heard, strict=True))
            wins = await asyncio.gather(*(act(s, h, session(game, "act", i), agents) for i, (s, h) in pairs))
            found[f"won, {how}"] = [float(w) for w in wins]
        measured[game] = found
    return measured


def chosen(text: str, choices: Sequence[str]) -> str | None:
    """The first choice that a reply names, whole."""
    places = {choice: text.lower().find(choice.lower()) for choice in choices}
    named = [choice for choice, place in places.items() if place >= 0]
    return min(named, key=lambda choice: places[choice]) if named else None


def _speaking(scene: Scene, place: int) -> str:
    if scene.game == "referential":
        return f"Target: {scene.facts[0][0]}.\nTell your friend in one short sentence which object is the target."
    days = ", ".join(scene.facts[place])
    return f"You are free on: {days}.\nTell your friend in one short sentence on which days you are free."


def _acting(scene: Scene, place: int, heard: str) -> str:
    if scene.game == "referential":
        shown = "; ".join(scene.choices)
        return f"Objects: {shown}.\nYour friend said: {heard}\nWhich object does your friend mean? Copy its full name."
    days = ", ".join(scene.facts[place])
    return (
        f"You are free on: {days}.\nYour friend said: {heard}\n"
        "Name the one day on which you are both free. Answer with the day only."
    )


class ReliablePartner(Model):
    """A scripted agent: it says what it knows, and heeds what it hears with a known chance, else it guesses.

    With full accounts, ``reliability`` r and c choices, the referential game is won with probability r + (1 - r) / c.

    Args:
        reliability: chance to heed a sentence.
        seed: of its guesses.
    """

    evidence = Evidence.SCRIPTED

    def __init__(self, reliability: float, seed: int = 0) -> None:
        self.reliability, self.seed = reliability, seed
        self.spec = self.identity = f"reliable:{reliability:g}:{seed}"

    async def complete(self, request: Request) -> Completion:
        """A sentence with all facts, or a choice."""
        facts = _fields(str(request.messages[-1]["content"]))
        if "said" not in facts:
            return Completion(f"It is {facts['known']}.")
        rng = np.random.default_rng(derive(self.seed, request.agent, request.seed))
        own, heard = [f.strip() for f in re.split("[;,]", facts["known"])], set(re.findall(r"\w+", facts["said"]))
        fits = [sum(word in heard for word in choice.split()) for choice in own]
        best = [choice for choice, fit in zip(own, fits, strict=True) if fit == max(fits)]
        heeds = rng.random() < self.reliability
        return Completion(str(rng.choice(best if heeds else own)))


def _fields(prompt: str) -> Mapping[str, str]:
    known = re.search(r"^(?:Target|Objects|You are free on): (.*)\.$", prompt, re.MULTILINE)
    said = re.search(r"^Your friend said: (.*)$", prompt, re.MULTILINE)
    found = {"known": known.group(1) if known else ""}
    return {**found, "said": said.group(1)} if said else found
