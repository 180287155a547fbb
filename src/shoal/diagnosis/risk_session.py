"""Risks with a language model in all seats: asked through a session, with constrained output where a model can."""

from __future__ import annotations

from typing import Any

import numpy as np

from shoal.diagnosis.risk import Ask, Episode, Move, Number, Risk, Settings, read_move
from shoal.teams.agent import Agent
from shoal.teams.session import Session

MOVE_TOKENS, SPOKEN_TOKENS, TEXT_TOKENS = 16, 48, 96


async def enact_live(risk: Risk, session: Session, rng: np.random.Generator, settings: Settings) -> Episode:
    """Run a risk's world with the session's model in all seats.

    Args:
        risk: what to run.
        session: asks, pays and records.
        rng: the world's random numbers.
        settings: from ``risk.under``.
    """
    table = Table(risk, session, settings)
    course = risk.world(settings, rng)
    try:
        asks = next(course)
        while True:
            asks = course.send(await session.gather(*(table.answer(ask) for ask in asks)))
    except StopIteration as end:
        record = end.value
    episode = Episode(record, risk.occurs(record), risk.succeeds(record), table.moves, table.refused, table.defaults)
    session.decide("world", risk.name, occurred=episode.occurred, succeeded=episode.succeeded, defaults=table.defaults)
    return episode


class Table:
    """Asks agents for moves and counts those that cannot be used.

    Attributes:
        moves: asked for.
        refused: replies that could not be read or broke the rules.
        defaults: moves that were refused twice.
    """

    def __init__(self, risk: Risk, session: Session, settings: Settings) -> None:
        self.risk = risk
        self.session = session
        self.settings = settings
        self.moves = self.refused = self.defaults = 0

    async def answer(self, ask: Ask) -> Move:
        """One agent's move: asked, asked once more if it cannot be used, then the default."""
        self.moves += 1
        agent = Agent(ask.agent, persona=self.persona(ask.agent))
        schema = _schema(ask)
        form = f"Answer with {ask.form.asks}." if schema is None else f'Answer as {{"move": ...}}, {ask.form.asks}.'
        prompt = f"{ask.prompt}\n{form}"
        longest = TEXT_TOKENS if schema is None else SPOKEN_TOKENS if ask.speaks else MOVE_TOKENS
        for _ in range(2):
            reply = await self.session.ask(agent, prompt, schema=schema, max_tokens=longest)
            move = None if reply.failed else read_move(ask, reply.text)
            if move is not None:
                return move
            self.refused += 1
            self.session.failures["refused move"] += 1
            prompt = f"{ask.prompt}\nYour last answer could not be used. {form}"
        self.defaults += 1
        return Move(ask.default)

    def persona(self, agent: str) -> str:
        """The scenario and this agent's goal."""
        goal = self.risk.roles.get(agent) or self.risk.roles.get("*", "")
        told = self.risk.scenario.format_map(_Plain(self.settings))
        advice = self.settings.get("advice", "")
        return " ".join(part for part in (told, f"You are {agent}.", goal, advice) if part)


class _Plain(dict[str, Any]):
    """Settings for a scenario's braces; what is not set stays as it is."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)

    def __missing__(self, key: str) -> str:
        return "{" + key + "}"


def _schema(ask: Ask) -> dict[str, Any] | None:
    inner = ask.form.schema
    if inner is None:
        return None
    if isinstance(ask.form, Number) and ask.form.whole and ask.form.high - ask.form.low <= 100:
        inner = inner | {"minimum": int(ask.form.low), "maximum": int(ask.form.high)}
    properties: dict[str, Any] = {"move": inner}
    if ask.speaks:
        properties["say"] = {"type": "string"}
    return {"type": "object", "properties": properties, "required": list(properties)}
