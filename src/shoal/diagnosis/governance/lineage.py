"""The genealogy of claims: who said what first, who took it over from whom, and what it counts as.

Nodes are claims as said (agent, round, status, evidence); an edge leads from a claim to the ones derived from it: the
same subject, said later by somebody who had heard it. Kept while a team works, or rebuilt from its trace.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from shoal.diagnosis.conversation import same
from shoal.diagnosis.governance.claims import Claim, Fact, decompose

Status = Literal["untrusted", "confirmed", "rejected", "retracted"]
BRIEF = "the task"
"""Who said what was given with the task."""


@dataclass
class Node:
    """A claim as somebody said it.

    Attributes:
        id: position in the graph.
        claim: what was said.
        agent: who.
        round: when, counted from 0.
        status: what it counts as.
        evidence: what the status rests on.
        parents: nodes it was derived from.
        released: whether the layer let it pass.
    """

    id: int
    claim: Claim
    agent: str
    round: int
    status: Status = "untrusted"
    evidence: str = ""
    parents: tuple[int, ...] = ()
    released: bool = True


@dataclass
class Lineage:
    """All claims of one run.

    Attributes:
        nodes: in the order they were said.
        agents: everybody who spoke or was spoken to, in order of first appearance; the task is no agent.
    """

    nodes: list[Node] = field(default_factory=list)
    agents: list[str] = field(default_factory=list)
    _confirmed: dict[str, set[str]] = field(default_factory=dict)
    _said: set[str] = field(default_factory=set)
    _rejected: dict[str, str] = field(default_factory=dict)
    _heard: dict[str, dict[str, int]] = field(default_factory=dict)
    _children: dict[int, list[int]] = field(default_factory=dict)

    def confirm_brief(self, text: str) -> None:
        """Take every claim of a text as confirmed: the task itself."""
        for claim in decompose(text):
            self.confirm(self.add(claim, BRIEF, 0), BRIEF)

    def meet(self, *agents: str) -> None:
        """Take note of agents."""
        for agent in agents:
            if agent not in self.agents and agent != BRIEF:
                self.agents.append(agent)

    def add(self, claim: Claim, agent: str, round: int, receivers: Sequence[str] = (), released: bool = True) -> Node:
        """Enter a claim; its parents are what the speaker had heard or said on the same subject before."""
        self.meet(agent, *receivers)
        heard = self._heard.setdefault(agent, {})
        parents = tuple(dict.fromkeys(heard[t] for t in _topics(claim) if t in heard))
        node = Node(len(self.nodes), claim, agent, round, parents=parents, released=released)
        self.nodes.append(node)
        for parent in parents:
            self._children.setdefault(parent, []).append(node.id)
        for listener in (agent, *(receivers if released else ())):
            known = self._heard.setdefault(listener, {})
            for topic in _topics(claim):
                known[topic] = node.id
        return node

    def confirm(self, node: Node, evidence: str) -> None:
        """Let a claim count as proven; from now on others are held against it."""
        node.status, node.evidence = "confirmed", evidence
        self._rejected.pop(node.claim.key, None)
        if not node.claim.facts:
            self._said.add(same(node.claim.text))
        for subject, value in node.claim.facts:
            self._confirmed.setdefault(subject, set()).add(value)

    def reject(self, node: Node, evidence: str) -> None:
        """Let a claim count as false."""
        node.status, node.evidence = "rejected", evidence
        self._rejected[node.claim.key] = evidence

    def retract(self, fact: Fact, evidence: str) -> list[Node]:
        """Take a confirmation back: the claim, and all that was derived from it, count as unproven again.

        Claims that were rejected because of it are open again too. Returns the nodes whose status changed.
        """
        subject, value = fact
        self._confirmed.get(subject, set()).discard(value)
        if not self._confirmed.get(subject):
            self._confirmed.pop(subject, None)
        hit = self.holders(fact)
        changed = list(hit)
        for node in hit:
            node.status, node.evidence = "retracted", evidence
        for node in (self.nodes[i] for i in sorted(self.descendants(*(n.id for n in hit)))):
            if node.status == "confirmed" and not self._stands(node):
                node.status, node.evidence = "untrusted", evidence
                changed.append(node)
        for node in self.nodes:
            if node.status == "rejected" and any(s == subject for s, _ in node.claim.facts):
                node.status, node.evidence = "untrusted", evidence
                self._rejected.pop(node.claim.key, None)
                changed.append(node)
        return changed

    def holders(self, fact: Fact) -> list[Node]:
        """Confirmed claims that state that value."""
        return [n for n in self.nodes if fact in n.claim.facts and n.status == "confirmed"]

    def rejected(self, claim: Claim) -> str:
        """Why the same claim was rejected before; empty if it was not."""
        return self._rejected.get(claim.key, "")

    @property
    def confirmed(self) -> dict[str, set[str]]:
        """Confirmed values by subject."""
        return self._confirmed

    @property
    def said(self) -> set[str]:
        """Confirmed statements without values, as they are compared."""
        return self._said

    def descendants(self, *nodes: int) -> set[int]:
        """Claims derived from these, over any number of steps."""
        seen: set[int] = set()
        left = list(nodes)
        while left:
            for child in self._children.get(left.pop(), ()):
                if child not in seen:
                    seen.add(child)
                    left.append(child)
        return seen

    def stated(self) -> dict[str, dict[str, list[Node]]]:
        """Released claims that state values, by subject and value; what the task gives is left out."""
        found: dict[str, dict[str, list[Node]]] = {}
        for node in self.nodes:
            if node.agent != BRIEF and node.released:
                for subject, value in node.claim.facts:
                    found.setdefault(subject, {}).setdefault(value, []).append(node)
        return found

    def first_carrier(self, fact: Fact) -> Node | None:
        """The first release of that value by an agent."""
        return next(
            (n for n in self.nodes if n.released and n.agent != BRIEF and fact in n.claim.facts), None
        )  # fmt: skip

    def carried(self, fact: Fact) -> NDArray[np.bool_]:
        """Who held that value when [rounds, agents]: the last thing each had said on the subject up to that round."""
        last = max((n.round for n in self.nodes), default=0)
        table = np.zeros((last + 1, len(self.agents)), bool)
        place = {agent: i for i, agent in enumerate(self.agents)}
        subject, value = fact
        for node in self.nodes:  # later claims overwrite what earlier ones left for the rounds to come
            told = [v for s, v in node.claim.facts if s == subject]
            if told and node.agent in place and node.released:
                table[node.round :, place[node.agent]] = value in told
        return table

    def coverage(self, fact: Fact) -> list[float]:
        """S(t): share of all agents that held that value, round by round."""
        return [float(s) for s in self.carried(fact).mean(axis=1)] if self.agents else []

    def as_dict(self) -> dict[str, Any]:
        """Nodes and edges as JSON values."""
        nodes = [
            {"id": n.id, "text": n.claim.text, "kind": n.claim.kind, "agent": n.agent, "round": n.round,
             "status": n.status, "evidence": n.evidence, "released": n.released}
            for n in self.nodes
        ]  # fmt: skip
        return {"nodes": nodes, "edges": [[parent, n.id] for n in self.nodes for parent in n.parents]}

    def _stands(self, node: Node) -> bool:
        """Whether everything the claim states is still confirmed."""
        return all(value in self._confirmed.get(subject, ()) for subject, value in node.claim.facts)


def _topics(claim: Claim) -> list[str]:
    return [subject for subject, _ in claim.facts] or [same(claim.text)]
