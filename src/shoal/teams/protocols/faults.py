"""Faults on purpose: an agent that dies in the middle of the work."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from shoal.errors import ModelError, UnknownName
from shoal.models.interface import Completion, Model, Request
from shoal.models.wrapper import ModelWrapper
from shoal.teams.agent import Agent
from shoal.teams.session import Message, Session


class DyingModel(ModelWrapper):
    """A model that answers a few times and then fails for good.

    Args:
        model: answers while it lives.
        calls: how many calls it answers.
    """

    def __init__(self, model: Model, calls: int) -> None:
        super().__init__(model, f"dying after {calls}")
        self.left = calls

    @property
    def dead(self) -> bool:
        """Whether it has answered its last call."""
        return self.left <= 0

    async def complete(self, request: Request) -> Completion:
        """The model's reply, or ModelError of kind "agent killed"."""
        if self.dead:
            raise ModelError("agent killed", f"{request.agent} is dead")
        self.left -= 1
        return await self.model.complete(request)


def kill(session: Session, agents: Sequence[Agent], name: str, after: int = 0) -> list[Agent]:
    """The same agents, of which one dies after some calls.

    A dead agent answers no call, and no message from it or to it is delivered.

    Args:
        session: its inspectors get the rule that drops the messages.
        agents: the team.
        name: who dies.
        after: calls that it still answers; 0 for dead from the start.

    Raises:
        UnknownName: no agent of that name.
    """
    if name not in [agent.name for agent in agents]:
        raise UnknownName("agent to kill", name, [agent.name for agent in agents])
    victim = next(agent for agent in agents if agent.name == name)
    dying = DyingModel(victim.model or session.model, after)

    def inspect(message: Message) -> Message | None:
        if not dying.dead:
            return message
        receivers = tuple(r for r in message.receivers if r != name)
        if message.sender == name or not receivers:
            return None
        return replace(message, receivers=receivers)

    session.inspectors.append(inspect)
    return [replace(agent, model=dying) if agent.name == name else agent for agent in agents]
