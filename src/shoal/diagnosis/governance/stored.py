"""The layer over what a team has left behind: who said what first, how far it went, and who had read whom."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from shoal.diagnosis.conversation import Conversation, is_agent
from shoal.diagnosis.governance.layer import Governance
from shoal.diagnosis.governance.policy import Policy
from shoal.diagnosis.governance.staff import Rules
from shoal.diagnosis.usage import UsageGraph

SURE = 0.5
"""Confidence of a usage edge from which it counts as reading."""


def rebuilt(
    conversation: Conversation, graph: UsageGraph, policy: Policy | None = None, brief: str = ""
) -> Governance:  # fmt: skip
    """The layer as it would have seen a stored run; nothing is blocked.

    Tool results are evidence, the question (and ``brief``) is confirmed. A round is the number of agents' steps behind
    a step, its own and those it used.
    """
    rules = Rules()
    governance = Governance(policy or Policy("strict", block=False), rules)
    governance.lineage.confirm_brief("\n".join(part for part in (conversation.question, brief) if part))
    heard: dict[int, list[str]] = {}
    for delivery in conversation.deliveries:
        if delivery.step is not None:
            heard.setdefault(delivery.step, []).extend(delivery.receivers)
    governance.lineage.meet(*conversation.agents)
    rounds = causal_rounds(conversation, graph)
    for step in conversation.steps:
        if step.kind == "tool":
            rules.learn(step.text)
        elif step.kind == "said" and is_agent(step.agent) and step.text.strip():
            others = [a for a in conversation.agents if a != step.agent]
            known = [r for r in heard.get(step.index, []) if r in conversation.agents]
            governance.rule(step.agent, step.text, known or others, round=rounds[step.index])
    return governance


def causal_rounds(conversation: Conversation, graph: UsageGraph) -> list[int]:
    """How many steps of agents lie behind each step [steps], on the longest way."""
    depth: list[int] = []
    last: dict[str, int] = {}
    for step in conversation.steps:
        behind = [e.source for e in graph.parents(step.index)]
        behind += [last[step.agent]] if step.agent in last else []
        spoken = [depth[k] + (conversation.steps[k].kind == "said") for k in behind]
        depth.append(max(spoken, default=0) if is_agent(step.agent) else 0)
        last[step.agent] = step.index
    return depth


def heard_by(conversation: Conversation, graph: UsageGraph) -> NDArray[np.uint8]:
    """Who read whom [agents, agents], in the order of ``conversation.agents``: row i holds those whom i has read.

    From deliveries; from usage edges of fair confidence where the trace tells of none.
    """
    place = {agent: k for k, agent in enumerate(conversation.agents)}
    table = np.zeros((len(place), len(place)), np.uint8)
    pairs = [
        (receiver, conversation.steps[d.step].agent)
        for d in conversation.deliveries if d.step is not None for receiver in d.receivers
    ]  # fmt: skip
    if not any(receiver in place for receiver, _ in pairs):
        steps = conversation.steps
        pairs = [(steps[e.target].agent, steps[e.source].agent) for e in graph.edges if e.confidence >= SURE]
    for receiver, sender in pairs:
        if receiver in place and sender in place and receiver != sender:
            table[place[receiver], place[sender]] = 1
    return table
