"""A language model in a seat: the game's text face, a constrained answer, and a count of unreadable replies."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from shoal.errors import ModelError
from shoal.games.game import Game, View
from shoal.games.repeated import Repeated
from shoal.games.seats.seat import Move, Seat
from shoal.games.seats.solver import SolverSeat
from shoal.models.interface import ChatMessage, Model, Request
from shoal.models.structured import json_objects
from shoal.runs.seeds import derive
from shoal.tasks.problem import Problem, Question
from shoal.traces import Usage

ATTEMPTS = 2
MAX_TOKENS = 64


@dataclass(slots=True)
class _Sitting:
    game: Game
    player: int
    tutor: Any = None
    turns: int = 0
    spoken: list[str] = field(default_factory=list)


class LanguageSeat(Seat):
    """A model that reads rules and history and answers with the name of an action.

    The reply may be a JSON object {"action": NAME}, which is also the schema that the model is asked to keep to, or
    name one action in words. A reply that cannot be read is asked for once more; after that the action is drawn at
    random, and both are counted. Calls of all matches in progress run together, so that the model can batch them.

    A scripted model is told the solver's action by its answer key and errs as often as its settings say.

    Args:
        model: any model.
        temperature: 0 is greedy.
        persona: put before the rules.
        concurrency: most calls at the same time.
    """

    def __init__(self, model: Model, *, temperature: float = 0.0, persona: str = "", concurrency: int = 32) -> None:
        self.model = model
        self.spec = model.spec
        self.evidence = model.evidence
        self.temperature = temperature
        self.persona = persona
        self._concurrency = concurrency
        self._gate: tuple[Any, asyncio.Semaphore] | None = None
        self._solver = SolverSeat("nash")

    def begin(self, game: Game, player: int) -> _Sitting:
        """Take the seat."""
        tutor = None
        if hasattr(self.model, "problems"):
            tutor = self._solver.begin(game, player)
        return _Sitting(game, player, tutor)

    def prompt(self, view: View, sitting: _Sitting) -> list[ChatMessage]:
        """Rules as the system message; history, situation and the form of the answer as the user's."""
        game = sitting.game
        rules = "\n".join(part for part in (self.persona, game.rules(view.player)) if part)
        recall = game.recall(view) if isinstance(game, Repeated) else ""
        names = ", ".join(view.actions)
        form = f'Choose one of: {names}.\nReply with a JSON object and nothing else: {{"action": "NAME"}}'
        text = "\n".join(part for part in (recall, view.seen, form) if part)
        return [{"role": "system", "content": rules}, {"role": "user", "content": text}]

    async def act(self, view: View, memory: _Sitting, rng: np.random.Generator) -> tuple[Move, Any]:
        """Ask, read, ask again, draw."""
        memory.turns += 1
        request = self._request(view, memory, int(rng.integers(2**31)))
        failures: list[str] = []
        usage, said = Usage(), ""
        for _ in range(ATTEMPTS):
            try:
                async with self._semaphore():
                    completion = await self.model.complete(request)
            except ModelError as error:
                failures.append(error.kind)
                continue
            usage.add(completion.usage)
            said = completion.text
            action, problem = read_action(said, view.actions)
            if action is not None:
                return Move(action, said, tuple(failures), usage=usage), memory
            failures.append(problem)
            repair = f'That could not be read. Reply with {{"action": "NAME"}}, NAME one of: {", ".join(view.actions)}.'
            request = request.with_messages({"role": "assistant", "content": said}, {"role": "user", "content": repair})
        return Move(int(rng.integers(len(view.actions))), said, tuple(failures), guessed=True, usage=usage), memory

    async def aclose(self) -> None:
        """Close the model."""
        await self.model.aclose()

    def _request(self, view: View, sitting: _Sitting, seed: int) -> Request:
        question = ""
        if sitting.tutor is not None:
            question = self._taught(view, sitting, seed)
        return Request(
            messages=self.prompt(view, sitting),
            max_tokens=MAX_TOKENS,
            temperature=self.temperature,
            seed=derive(0, "seat", seed) % 2**31,
            schema=action_schema(view.actions),
            question=question,
            agent=sitting.game.players[view.player],
        )

    def _taught(self, view: View, sitting: _Sitting, seed: int) -> str:
        """File the solver's action under a question of its own, for a scripted model to look up."""
        p = np.clip(np.asarray(sitting.tutor(view)), 0, None)
        action = int(np.random.default_rng(seed).choice(p.size, p=p / p.sum()))
        name = f"{sitting.game.name}:{view.player}:{seed}:{view.round}"
        labels = view.actions
        question = Question(name, f"Choose one of: {', '.join(labels)}.", "text", tuple(labels))
        problems: dict[str, Problem] = self.model.problems  # type: ignore[attr-defined]
        lures = tuple(a for a in labels if a != labels[action])
        problems[name] = Problem(question, labels[action], lures)
        return name

    def _semaphore(self) -> asyncio.Semaphore:
        """One for each event loop: a seat may be used in several runs."""
        loop = asyncio.get_running_loop()
        if self._gate is None or self._gate[0] is not loop:
            self._gate = loop, asyncio.Semaphore(self._concurrency)
        return self._gate[1]


def action_schema(actions: tuple[str, ...]) -> dict[str, Any]:
    """The JSON schema of a reply."""
    return {
        "type": "object",
        "properties": {"action": {"type": "string", "enum": list(actions)}},
        "required": ["action"],
        "additionalProperties": False,
    }


def read_action(text: str, actions: tuple[str, ...]) -> tuple[int | None, str]:
    """The action that a reply names, or None and why: "no action", "unknown action" or "several actions".

    A JSON object with the field "action" wins; else the last line "Answer: NAME" or "Action: NAME"; else the only
    action named anywhere in the text. Case and quotes do not matter.
    """
    names = {_plain(name): k for k, name in enumerate(actions)}
    stated = False
    for found in json_objects(text[:20_000]):
        if "action" in found:
            stated = True
            if _plain(str(found["action"])) in names:
                return names[_plain(str(found["action"]))], ""
    for line in reversed(re.findall(r"(?:answer|action)\s*(?:is)?\s*[:=]\s*([^\n]+)", text[:20_000], re.IGNORECASE)):
        if _plain(line) in names:
            return names[_plain(line)], ""
    if stated:
        return None, "unknown action"
    named = {k for name, k in names.items() if re.search(rf"(?<![\w%-]){re.escape(name)}(?![\w%-])", _plain(text))}
    if len(named) == 1:
        return named.pop(), ""
    return None, "several actions" if named else "no action"


def _plain(text: str) -> str:
    return " ".join(text.casefold().strip(" \t\n\"'`*.,;!<>()[]{}").split())
