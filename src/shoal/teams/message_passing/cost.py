"""Calls, tokens and money of a language-model run, estimated before it starts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from shoal.errors import InputError
from shoal.models.interface import Model
from shoal.stats import Evidence
from shoal.teams.message_passing.graphs import Graph
from shoal.traces import Usage

NODE_LIMITS = {Evidence.LOCAL: 4, Evidence.ENDPOINT: 16}
"""Largest graph a kind of model gets unless the caller raises the limit."""

TURN_FRAME = 60
"""Tokens of the fixed words around a round's messages."""


@dataclass(frozen=True, slots=True)
class CostEstimate:
    """What a run is expected to cost if no reply needs repair.

    Attributes:
        calls: n * (R + 1).
        prompt_tokens: each turn sends the conversation so far again, cut to the model's context.
        completion_tokens: calls times the expected reply.
        money: US dollars by the model's price table.
        largest_prompt: tokens of the longest prompt of any agent, before it is cut.
        overflowing: agents whose conversation outgrows the model's context.
    """

    calls: int
    prompt_tokens: int
    completion_tokens: int
    money: float
    largest_prompt: int
    overflowing: int

    @property
    def tokens(self) -> int:
        """Prompt and completion tokens together."""
        return self.prompt_tokens + self.completion_tokens

    def as_dict(self) -> dict[str, Any]:
        """All fields, for the trace."""
        return asdict(self)


def estimate_cost(
    graph: Graph, rounds: int, model: Model, system_tokens: Sequence[int], reply_tokens: int, reply_limit: int
) -> CostEstimate:
    """The expected cost of one task on one graph.

    Agent v with d neighbours sends in turn r its system message, its first request, and r times (its reply, and one
    message from each neighbour): the context grows with degree times rounds, the sum with rounds squared.

    Args:
        graph: its degrees decide.
        rounds: deliveries R.
        model: its prices and its context.
        system_tokens: tokens of each agent's system message [n].
        reply_tokens: expected tokens of one reply.
        reply_limit: most tokens of one reply, kept free in the context.
    """
    room = model.context - reply_limit if model.context else None
    prompt = largest = overflowing = 0
    for around, system in zip(graph.neighbours, system_tokens, strict=True):
        degree = len(around)
        # A reply is thought plus one text per neighbour; the texts are what the neighbours read.
        one_text = max(1, reply_tokens // (degree + 1))
        growth = reply_tokens + TURN_FRAME + degree * one_text
        lengths = [system + TURN_FRAME + r * growth for r in range(rounds + 1)]
        largest = max(largest, lengths[-1])
        if room is not None:
            overflowing += lengths[-1] > room
            lengths = [min(length, room) for length in lengths]
        prompt += sum(lengths)
    calls = graph.n * (rounds + 1)
    completion = calls * reply_tokens
    money = model.price(Usage(prompt_tokens=prompt, completion_tokens=completion, calls=calls))
    return CostEstimate(calls, prompt, completion, money, largest, overflowing)


def check_size(graph: Graph, model: Model, max_nodes: int | None = None) -> None:
    """Refuse a graph that is too large for that kind of model. Raises InputError above the limit.

    Args:
        graph: the graph.
        model: its evidence decides the default limit (NODE_LIMITS); other kinds have none.
        max_nodes: the caller's own limit, over the default.
    """
    limit = max_nodes if max_nodes is not None else NODE_LIMITS.get(model.evidence)
    if limit is not None and graph.n > limit:
        mend = f"Give at most {limit} nodes, or raise max_nodes after reading the cost estimate."
        raise InputError("nodes for a language model", graph.n, mend)
