"""The decorator that registers a protocol: its options' schema, the checks on its agents, and what happens when the
budget ends in the middle of it.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, get_type_hints

from pydantic import BaseModel, ConfigDict, create_model

from shoal.errors import InputError
from shoal.registry import Registry
from shoal.runs.settings import validate
from shoal.runs.study import Vocabulary
from shoal.tasks.problem import Question
from shoal.teams.agent import Agent
from shoal.teams.outcome import Outcome, Team
from shoal.teams.protocols.standing import Unfinished, within_budget
from shoal.teams.session import Session

TeamFunction = Callable[..., Awaitable[Outcome]]


@dataclass(frozen=True)
class ProtocolEntry:
    """A registered protocol.

    Attributes:
        name: as in ``shoal team NAME``.
        run: the team function; checks its agents and options, and ends cleanly when the budget is spent.
        title: one line for lists.
        vocabulary: what it is in the words of the collaboration survey.
        agents: fewest, default and most agents.
        options: schema of its keyword options, with ranges and defaults.
    """

    name: str
    run: Team
    title: str
    vocabulary: Vocabulary
    agents: tuple[int, int, int]
    options: type[BaseModel]


PROTOCOLS: Registry[ProtocolEntry] = Registry("protocol", "shoal.teams.protocols")


def protocol(
    name: str,
    *,
    title: str,
    vocabulary: Vocabulary,
    agents: tuple[int, int, int],
    unfinished: Unfinished = "plurality",
) -> Callable[[TeamFunction], Team]:
    """Register an async function ``(question, agents, session, *, options...) -> Outcome`` as a protocol.

    Args:
        name: name on the command line.
        title: one line for lists.
        vocabulary: the collaboration vocabulary.
        agents: fewest, default and most agents.
        unfinished: how the best answer so far is read when the budget ends in the middle: ``plurality`` of the latest
            answer of each agent, or the ``last`` answer given (where each answer builds on the one before).
    """

    def add(function: TeamFunction) -> Team:
        options, limits = _options_schema(name, function), agents

        async def run(question: Question, agents: Sequence[Agent], session: Session, **given: Any) -> Outcome:
            check_agents(name, agents, limits)
            settings = validate(options, given, name)
            values = {field: getattr(settings, field) for field in options.model_fields}
            return await within_budget(
                question, session, unfinished, lambda: function(question, agents, session, **values)
            )

        functools.update_wrapper(run, function)
        PROTOCOLS.register(name)(ProtocolEntry(name, run, title, vocabulary, limits, options))
        return run

    return add


def check_agents(name: str, agents: Sequence[Agent], limits: tuple[int, int, int]) -> None:
    """Raise InputError unless the names are unique and their number is one the protocol can work with."""
    fewest, _, most = limits
    if not fewest <= len(agents) <= most:
        wanted = f"exactly {fewest}" if fewest == most else f"{fewest} to {most}"
        raise InputError(f"{name} agents", len(agents), f"It works with {wanted} agents.")
    names = [agent.name for agent in agents]
    twice = sorted({n for n in names if names.count(n) > 1})
    if twice:
        raise InputError(f"{name} agents", twice, "Give each agent a name of its own.")


def _options_schema(name: str, function: TeamFunction) -> type[BaseModel]:
    """A pydantic model of the function's keyword-only parameters."""
    hints = get_type_hints(function, include_extras=True)
    fields: dict[str, Any] = {}
    for parameter in inspect.signature(function).parameters.values():
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY:
            fields[parameter.name] = (hints[parameter.name], parameter.default)
    title = "".join(part.capitalize() for part in name.split("-")) + "Options"
    return create_model(title, __config__=ConfigDict(frozen=True, extra="forbid"), **fields)
