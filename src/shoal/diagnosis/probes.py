"""Five dimensions of behaviour asked of a language model: menus, plans, better offers, and pairs of probes.

A pair of probes asks the same thing in two wordings (framing), with and without money already spent (sunk cost), after
a low and a high number (anchoring), with and without a third option that nobody should want (decoy). Answers that
differ are a violation. Times are not used: they would measure the machine. Wordings and scoring are ours.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from shoal.diagnosis.behaviour import Behaviour, behaviour_of
from shoal.teams.agent import Agent
from shoal.teams.session import Session

LETTERS = "ABCD"
PLAN = 3
END = "Answer with one letter."
LONGEST_REPLY = 6


def letter(reply: str, options: int) -> str | None:
    """The option that a reply names first; None if it names none."""
    found = re.search(rf"\b([{LETTERS[:options]}])\b", reply)
    return found[1] if found else None


def menu(payoffs: Sequence[int]) -> str:
    """A choice between stated pay-offs."""
    told = ", ".join(f"{name} pays {p} points" for name, p in zip(LETTERS, payoffs, strict=False))
    return f"Choose one option: {told}. {END}"


def better_offer(old: int, new: int) -> str:
    """The last choice again, with a better one beside it."""
    return f"Last time you chose A. Now A pays {old} points and B pays {new} points. Choose one. {END}"


def pair(kind: str, rng: np.random.Generator) -> tuple[str, str]:
    """Two probes that should get the same answer; kind is one of PAIRS."""
    n = int(rng.integers(3, 9))
    if kind == "framing":
        coin = f"B: a coin toss, you keep all 10 or none. {END}"
        return (f"You have 10 points. A: you keep {n} for sure. {coin}",
                f"You have 10 points. A: you lose {10 - n} for sure. {coin}")  # fmt: skip
    if kind == "sunk cost":
        rest = f"Finishing A gives {n} points, starting B gives {n + 1} points. Which do you do? {END}"
        return f"You spent nothing so far. {rest}", f"You spent 50 points on A so far. {rest}"
    if kind == "anchoring":
        rest = f"How many beans are in a jar of {n} litres? A: fewer than {n * 500}. B: more. {END}"
        return f"A wheel shows {n}. {rest}", f"A wheel shows {n * 9_000}. {rest}"
    offer = f"A: {n} points and {n + 2} coins. B: {n + 2} points and {n} coins."
    return f"Choose one. {offer} {END}", f"Choose one. {offer} C: {n - 1} points and {n + 1} coins. {END}"


PAIRS = ("framing", "sunk cost", "anchoring", "decoy")


async def probe(
    agent: Agent, session: Session, rng: np.random.Generator, menus: int, pairs: int, plans: int
) -> Behaviour:
    """Ask one agent and return its acts; replies that name no option are left out.

    Args:
        agent: who is asked.
        session: models, budget and trace.
        rng: draws pay-offs and probes.
        menus: choices, and as many better offers.
        pairs: pairs of probes, all four kinds in turn.
        plans: plans of three steps.
    """
    payoffs = [[int(x) for x in rng.permutation(9)[:3] + 1] for _ in range(menus)]
    offers = [(int(x), int(x) + int(rng.integers(1, 5))) for x in rng.integers(1, 6, menus)]
    twins = [pair(PAIRS[k % len(PAIRS)], rng) for k in range(pairs)]
    chosen = await _letters(agent, session, [menu(p) for p in payoffs], 3)
    stayed = await _letters(agent, session, [better_offer(*o) for o in offers], 2)
    first = await _letters(agent, session, [one for one, _ in twins], 2)
    second = await _letters(agent, session, [two for _, two in twins], 3)
    records: list[dict[str, Any]] = [
        {"action": c, "payoffs": dict(zip(LETTERS, p, strict=False))} for c, p in zip(chosen, payoffs, strict=True) if c
    ]
    for answer in filter(None, stayed):
        records += [{"action": "A"}, {"action": answer, "better": True}]
    records += [{"violates": a != b} for a, b in zip(first, second, strict=True) if a and b]
    for found in await session.gather(*(_planned(agent, session) for _ in range(plans))):
        records += found
    name = agent.name
    return behaviour_of(({"actor": name, **r} for r in records) if records else [{"actor": name}], "replies")


async def _letters(agent: Agent, session: Session, prompts: Sequence[str], options: int) -> list[str | None]:
    replies = await session.gather(*(session.ask(agent, p, max_tokens=LONGEST_REPLY) for p in prompts))
    return [letter(r.text, options) for r in replies]


async def _planned(agent: Agent, session: Session) -> list[dict[str, Any]]:
    """A plan and what was then done, step by step."""
    ask = "Tasks: A is wash, B is dry, C is fold. In which order will you do them? Answer like: A, B, C."
    reply = await session.ask(agent, ask, max_tokens=3 * LONGEST_REPLY)
    plan = list(dict.fromkeys(re.findall(r"\b[ABC]\b", reply.text)))[:PLAN]
    if not plan:
        return []
    done: list[str] = []
    for _ in range(len(plan)):
        told = f"Your plan: {', '.join(plan)}. Done: {', '.join(done) or 'nothing'}. Which task is next? {END}"
        answer = letter((await session.ask(agent, told, max_tokens=LONGEST_REPLY)).text, PLAN)
        done.append(answer or "none")
    return [{"plan": plan, "action": done[0]}, *({"action": a} for a in done[1:])]
