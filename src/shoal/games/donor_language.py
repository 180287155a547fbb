"""The donor game's full protocol with language models: sentences as strategies, generations, survivors, advice.

After arXiv 2412.10270, in our own words. Each agent writes one sentence of strategy, plays two mirrored games with it,
and the better half survives; newcomers write theirs after reading the survivors' sentences and scores. Where the paper
is silent: a pair may meet again after agents / 2 rounds, nobody falls below 0, and a reply that cannot be read twice
counts as no gift.
"""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from shoal.games.donor_evolution import PUNISHMENT, donors
from shoal.games.game import require

Ask = Callable[[str, str, str, "dict[str, Any] | None"], Awaitable[str]]
"""Asks a model once: (agent, system message, prompt, JSON schema or None) -> reply."""

PHRASE = "My strategy will be"
MENU = (
    "My strategy will be to give nothing.",
    "My strategy will be to give 20% to everybody.",
    "My strategy will be to give half to everybody.",
    "My strategy will be to give 80% to everybody.",
    "My strategy will be to give as large a share as the receiver gave last.",
    "My strategy will be to give half to those who gave at least 25% last, and nothing to others.",
    "My strategy will be to give 80% to those who gave at least half last, and 10% to others.",
    "My strategy will be to give half, except to those who gave little to somebody who had given much.",
)
SHARES = tuple(f"{k}%" for k in range(0, 101, 10))


@dataclass(frozen=True)
class Protocol:
    """Settings of a run.

    Attributes:
        agents: an even number, at least 4.
        rounds: of each game, an even number.
        generations: how many.
        endowment: resources at the start of a game.
        multiplier: what a unit given is worth to the receiver.
        depth: donations of the receiver's chain that are shown.
        menu: strategies and shares are chosen from lists, for models too small to write their own.
        advice: newcomers read the survivors' strategies and scores.
        selection: the better half survives; otherwise a random half.
        punishment: a donor may spend units to take twice as many away.
        pseudonyms: fresh names each round, so that nobody is known again.
    """

    agents: int = 12
    rounds: int = 12
    generations: int = 10
    endowment: float = 10.0
    multiplier: float = 2.0
    depth: int = 3
    menu: bool = False
    advice: bool = True
    selection: bool = True
    punishment: bool = False
    pseudonyms: bool = False

    def __post_init__(self) -> None:
        require("agents", self.agents, self.agents >= 4 and self.agents % 2 == 0, "Use an even number of at least 4.")
        require("rounds", self.rounds, self.rounds >= 2 and self.rounds % 2 == 0, "Use an even number of at least 2.")
        require("generations", self.generations, self.generations >= 1, "Use at least 1.")
        require("depth", self.depth, self.depth >= 0, "Use 0 or more.")
        require("multiplier", self.multiplier, self.multiplier > 0, "Use more than 0.")
        require("endowment", self.endowment, self.endowment > 0, "Use more than 0.")

    @property
    def strategy_calls(self) -> int:
        """Strategies written if every reply can be read."""
        return self.agents + (self.generations - 1) * self.agents // 2

    @property
    def donation_calls(self) -> int:
        """Donations decided if every reply can be read."""
        return self.generations * 2 * self.rounds * self.agents // 2


@dataclass(frozen=True, slots=True)
class Citizen:
    """An agent: its name (generation_number), its sentence, and whose advice it read."""

    name: str
    sentence: str
    advisers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Gift:
    """What a donor did: units spent, the share of its units, and whether it punished."""

    units: float
    share: float
    punished: bool = False


@dataclass
class Chronicle:
    """What happened; lists have one entry for each generation.

    Attributes:
        resources: mean final resources.
        donation: mean share given.
        punished: share of encounters with a punishment.
        differential: donations of survivors less the others', over the mean; 0 where nobody gives.
        drift: donations of newcomers less survivors', from the second generation on.
        length: mean characters of the strategies in play.
        citizens: who lived in each generation, survivors first.
        scores: of each citizen.
        failures: unreadable replies and clamped gifts by kind.
        replies: replies asked for, by kind ("strategy", "donation"), repeats included.
    """

    resources: list[float] = field(default_factory=list)
    donation: list[float] = field(default_factory=list)
    punished: list[float] = field(default_factory=list)
    differential: list[float] = field(default_factory=list)
    drift: list[float] = field(default_factory=list)
    length: list[float] = field(default_factory=list)
    citizens: list[list[Citizen]] = field(default_factory=list)
    scores: list[list[float]] = field(default_factory=list)
    failures: Counter[str] = field(default_factory=Counter)
    replies: Counter[str] = field(default_factory=Counter)


async def live(protocol: Protocol, ask: Ask, rng: np.random.Generator) -> Chronicle:
    """Run the generations; calls of a round run together.

    Args:
        protocol: settings.
        ask: the model.
        rng: pairings, and survivors where there is no selection.
    """
    told, half = Chronicle(), protocol.agents // 2
    names = [f"1_{k + 1}" for k in range(protocol.agents)]
    people = list(await asyncio.gather(*(_newcomer(protocol, ask, told, name, []) for name in names)))
    for generation in range(1, protocol.generations + 1):
        order = rng.permutation(protocol.agents)
        scores = np.zeros(protocol.agents)
        gifts: list[list[float]] = [[] for _ in people]
        punished = 0
        for mirrored in (False, True):
            final, given = await _game(protocol, ask, told, people, order, mirrored, generation)
            scores += final / 2
            for k, gift in given:
                gifts[k].append(0.0 if gift.punished else gift.share)
                punished += gift.punished
        means = np.array([float(np.mean(g)) for g in gifts])
        ranked = np.argsort(-scores, kind="stable") if protocol.selection else rng.permutation(protocol.agents)
        best, others = ranked[:half], ranked[half:]
        average = float(means.mean())
        told.resources.append(float(scores.mean()))
        told.donation.append(average)
        told.punished.append(punished / sum(len(g) for g in gifts))
        told.differential.append(float(means[best].mean() - means[others].mean()) / average if average > 0 else 0.0)
        if generation > 1:
            told.drift.append(float(means[half:].mean() - means[:half].mean()))
        told.length.append(float(np.mean([len(p.sentence) for p in people])))
        told.citizens.append(people)
        told.scores.append(scores.tolist())
        if generation < protocol.generations:
            advice = [(people[k], float(scores[k])) for k in best] if protocol.advice else []
            names = [f"{generation + 1}_{k + 1}" for k in range(half)]
            young = await asyncio.gather(*(_newcomer(protocol, ask, told, name, advice) for name in names))
            people = [people[k] for k in best] + list(young)
    return told


def system_message(protocol: Protocol) -> str:
    """The rules that every agent is told; the number of rounds is not among them."""
    text = (
        f"You take part in a game with other agents. Everybody starts with {protocol.endowment:g} units. In each round "
        "agents meet in pairs of a donor and a receiver, and roles change from round to round. The donor gives up any "
        f"part of its units, from none to all; the receiver gets {protocol.multiplier:g} times what was given. You "
        "never know whom you will meet. Your aim is to own as many units as you can when the last round is over. Then "
        "the better half of the agents survives, and new agents take the places of the others."
    )
    if protocol.punishment:
        text += (
            f" Instead of giving, a donor may spend units on punishing the receiver, who loses {PUNISHMENT:g} units "
            "for each unit spent. Others can do this to you."
        )
    return text


def strategy_prompt(protocol: Protocol, advice: list[tuple[Citizen, float]]) -> str:
    """Asks for a sentence of strategy, after the survivors' sentences and scores if there are any."""
    lines = []
    if advice:
        lines.append(
            "The best agents of the generation before you ended with these units and give you their strategies:"
        )
        lines += [f"- {score:.1f} units: {person.sentence}" for person, score in advice]
        lines.append("Change this advice into a strategy of your own.")
    if protocol.menu:
        lines += ["Choose one strategy by its letter:", *(f"{_letter(k)}: {s}" for k, s in enumerate(MENU))]
        lines.append('Reply with {"choice": LETTER}.')
    else:
        lines.append(
            "Think briefly about how you will decide what to give. Then write your strategy as one sentence that "
            f'begins with "{PHRASE}".'
        )
    return "\n".join(lines)


def donation_prompt(
    protocol: Protocol, me: Citizen, own: float, other: str, its: float, chain: list[str], generation: int, round: int
) -> str:
    """Asks a donor for its gift."""
    lines = [
        f"You are agent {me.name}. {me.sentence}",
        f"This is generation {generation}, round {round + 1}. You own {own:.1f} units and are the donor. The receiver "
        f"is agent {other}, who owns {its:.1f} units.",
        *chain,
    ]
    if protocol.menu:
        lines.append(
            f'Which share of your units do you give? Reply with {{"share": S}}, S one of: {", ".join(SHARES)}.'
        )
        return "\n".join(lines)
    lines.append("How many units do you give? Think in a few words, then end with a line: Answer: NUMBER")
    if protocol.punishment:
        lines.append("To punish instead, end with a line: Answer: punish NUMBER (the units that you spend on it)")
    return "\n".join(lines)


def read_gift(text: str, owned: float, punishment: bool = False) -> tuple[Gift | None, str]:
    """The gift that a reply states, and what was wrong with it: "no number", "several numbers", "clamped" or "".

    A line "Answer: NUMBER" wins, the last of them; else a number of units; else the only number; else the only
    percentage. "I give 5 units (50 %)" is 5 units. Negative numbers and more than is owned are clamped.
    """
    said = text.replace(",", "")[-4000:]
    number = r"(-?\d+(?:\.\d+)?)\s*(%?)"
    stated = re.findall(rf"answer[^\w-]{{0,4}}\s*(punish)?[^\d-]{{0,12}}?{number}", said, re.IGNORECASE)
    if not stated:
        stated = [("punish" if re.search(r"\bpunish", said, re.IGNORECASE) else "", n, "")
                  for n in re.findall(r"(-?\d+(?:\.\d+)?)\s*units?\b", said, re.IGNORECASE)]  # fmt: skip
    if not stated:
        plain = re.findall(number, said)
        stated = [("", *found) for found in ([f for f in plain if not f[1]] or plain)]
        if len({(n, p) for _, n, p in stated}) > 1:
            return None, "several numbers"
    if not stated:
        return None, "no number"
    word, figure, percent = stated[-1]
    units = float(figure) / 100 * owned if percent else float(figure)
    kept = min(max(units, 0.0), owned)
    gift = Gift(kept, kept / owned if owned > 0 else 0.0, bool(word) and punishment)
    return gift, "clamped" if abs(kept - units) > 1e-9 else ""


def read_strategy(text: str) -> str | None:
    """The sentence that begins with the fixed phrase, or None."""
    found = re.search(rf"{PHRASE}\b[^.!?\n]*[.!?]?", text, re.IGNORECASE)
    return found[0].strip() if found and len(found[0]) > len(PHRASE) + 3 else None


async def _newcomer(
    protocol: Protocol, ask: Ask, told: Chronicle, name: str, advice: list[tuple[Citizen, float]]
) -> Citizen:
    prompt, sentence = strategy_prompt(protocol, advice), None
    letters = [_letter(k) for k in range(len(MENU))]
    schema = _schema("choice", letters) if protocol.menu else None
    for _ in range(2):
        told.replies["strategy"] += 1
        reply = await ask(name, system_message(protocol), prompt, schema)
        if protocol.menu:
            chosen = re.search(r'"choice"\s*:\s*"([A-H])"', reply)
            sentence = MENU[letters.index(chosen[1])] if chosen else None
        else:
            sentence = read_strategy(reply)
        if sentence is not None:
            break
        told.failures["strategy: not the phrase"] += 1
    # Who cannot write a strategy plays without one.
    return Citizen(name, sentence or "", tuple(person.name for person, _ in advice))


async def _game(
    protocol: Protocol, ask: Ask, told: Chronicle, people: list[Citizen], order: Any, mirrored: bool, generation: int
) -> tuple[Any, list[tuple[int, Gift]]]:
    resources = np.full(protocol.agents, protocol.endowment)
    chains: list[list[tuple[int, int, Gift]]] = [[] for _ in people]
    log: list[tuple[int, Gift]] = []
    half = protocol.agents // 2
    for t, places in enumerate(donors(protocol.agents, protocol.rounds, mirrored)):
        others = [half + (k + t) % half if p < half else (p - half - t) % half for k, p in enumerate(places)]
        pairs = [(int(order[p]), int(order[q])) for p, q in zip(places, others, strict=True)]
        alias = {
            k: f"{generation}.{t + 1}.{k + 1}" if protocol.pseudonyms else people[k].name for k in range(len(people))
        }

        async def decided(donor: int, receiver: int, t: int = t, alias: dict[int, str] = alias) -> Gift:
            shown = [
                f"{ago} round{'s' if ago > 1 else ''} ago {alias[a]} "
                + (f"spent {g.share:.0%} of its units on punishing {alias[b]}." if g.punished
                   else f"gave {g.share:.0%} of its units to {alias[b]}.")
                for ago, (a, b, g) in enumerate(chains[receiver][: protocol.depth], 1)
            ]  # fmt: skip
            prompt = donation_prompt(
                protocol, people[donor], resources[donor], alias[receiver], resources[receiver], shown, generation, t
            )
            return await _gift(protocol, ask, told, people[donor].name, prompt, float(resources[donor]))

        gifts = await asyncio.gather(*(decided(*pair) for pair in pairs))
        before = [list(chain) for chain in chains]
        for (donor, receiver), gift in zip(pairs, gifts, strict=True):
            resources[donor] -= gift.units
            change = -PUNISHMENT * gift.units if gift.punished else protocol.multiplier * gift.units
            resources[receiver] = max(0.0, resources[receiver] + change)
            chains[donor] = [(donor, receiver, gift), *before[receiver]][: max(1, protocol.depth)]
            log.append((donor, gift))
    return resources, log


async def _gift(protocol: Protocol, ask: Ask, told: Chronicle, name: str, prompt: str, owned: float) -> Gift:
    schema = _schema("share", list(SHARES)) if protocol.menu else None
    for _ in range(2):
        told.replies["donation"] += 1
        reply = await ask(name, system_message(protocol), prompt, schema)
        if protocol.menu:
            share = re.search(r'"share"\s*:\s*"?(\d+)', reply)
            gift = Gift(owned * min(int(share[1]), 100) / 100, min(int(share[1]), 100) / 100) if share else None
            problem = "" if share else "no number"
        else:
            gift, problem = read_gift(reply, owned, protocol.punishment)
        if problem:
            told.failures[f"donation: {problem}"] += 1
        if gift is not None:
            return gift
    return Gift(0.0, 0.0)


def _letter(k: int) -> str:
    return "ABCDEFGH"[k]


def _schema(name: str, values: list[str]) -> dict[str, Any]:
    properties = {name: {"type": "string", "enum": values}}
    return {"type": "object", "properties": properties, "required": [name], "additionalProperties": False}
