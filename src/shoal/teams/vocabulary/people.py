"""Actors: who may write and read on a channel, people among them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from shoal.models.interface import Completion, Model, Request
from shoal.stats import Evidence
from shoal.teams.vocabulary.components import component
from shoal.teams.vocabulary.schema import TeamSpec
from shoal.traces import Usage

HUMAN = "human"
"""What an agent's model is called if the agent is a person."""


@component(
    "actors",
    "agents",
    meaning="actors are named one by one",
    trade_off="exact; has to be changed whenever the team does",
)
def by_name(spec: TeamSpec) -> bool:
    """Whether a channel names agents."""
    names = {agent.name for agent in spec.agents}
    return any(label in names for channel in spec.channels for label in channel.actors)


@component(
    "actors",
    "roles",
    meaning="actors are named by role label; everybody with that role takes part",
    trade_off="channels stay valid when the team grows; a role must exist for each label",
)
def by_role(spec: TeamSpec) -> bool:
    """Whether a channel names roles."""
    roles = {agent.role for agent in spec.agents if agent.role}
    return any(label in roles for channel in spec.channels for label in channel.actors)


@component(
    "actors",
    "homogeneous",
    meaning="all agents share one model",
    trade_off="simple and cheap to serve; agents err alike, so votes gain little",
)
def homogeneous(spec: TeamSpec) -> bool:
    """Whether all agents name the same model."""
    return len({agent.model for agent in spec.agents}) == 1


@component(
    "actors",
    "heterogeneous",
    meaning="agents have models of their own",
    trade_off="more independent errors and complementary skills; uneven cost, weak agents can drag strong ones down",
)
def heterogeneous(spec: TeamSpec) -> bool:
    """Whether agents name different models."""
    return len({agent.model for agent in spec.agents}) > 1


@component(
    "actors",
    "human",
    meaning="a person takes an agent's place and answers at the terminal",
    trade_off="judgement and accountability; slow, and cannot be repeated",
    aliases=("person",),
)
def with_human(spec: TeamSpec) -> bool:
    """Whether a person is in the team."""
    return any(agent.model == HUMAN for agent in spec.agents)


class HumanModel(Model):
    """A person as a model: shows the prompt and waits for a line.

    Args:
        read: gets the prompt, returns the reply; by default the terminal's input.
    """

    # A person's words are a record of what really was said; there is no other class for them.
    evidence = Evidence.RECORDED
    spec = HUMAN
    identity = HUMAN

    def __init__(self, read: Callable[[str], str] = input) -> None:
        self.read = read
        self._one_at_a_time = asyncio.Lock()

    async def complete(self, request: Request) -> Completion:
        """What the person says; an ended input is an empty reply."""
        prompt = "\n".join(m["content"] for m in request.messages)
        async with self._one_at_a_time:  # one terminal, one question at a time
            try:
                text = await asyncio.to_thread(self.read, f"\n[{request.agent}]\n{prompt}\n> ")
            except EOFError:
                text = ""
        return Completion(text, Usage(self.count_tokens(prompt), self.count_tokens(text), calls=1))
