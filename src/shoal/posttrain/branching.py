"""Trees of a team's work: every trained call is answered several times, and each answer is gone on from.

Any team can be branched, because a path through the tree is an ordinary rollout: paths that begin the same way share
the calls that they have in common, which are written once. Agents that are not trained answer without branching.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from shoal.errors import InputError
from shoal.models.interface import Completion, Model, Request
from shoal.posttrain.policies import Policy
from shoal.posttrain.preference_trees import Node, tree_size
from shoal.posttrain.rollouts import PolicyModel, Reward, Rollout, Seat, Seating, Turn, correctness, roll_out
from shoal.runs.seeds import derive
from shoal.tasks.problem import Problem
from shoal.teams.agent import Agent
from shoal.teams.outcome import Team

Place = tuple[int, ...]
"""A call in a tree: the branches taken at the calls up to it; those below the last that branches take branch 0."""


def grow(
    team: Team,
    agents: Sequence[Agent],
    problems: Sequence[Problem],
    policies: Mapping[str, Policy],
    *,
    branches: int,
    seed: int,
    temperature: float,
    max_tokens: int,
    frozen: Model | None = None,
    reward: Reward = correctness,
) -> list[tuple[list[Node], list[Rollout]]]:
    """A tree for each problem, as deep as the team has trained agents; later calls do not branch.

    Args:
        team: any team whose trained agents are asked in a fixed order.
        agents: its agents.
        problems: roots of the trees.
        policies: of the trained agents, by name.
        branches: answers to each branching call.
        seed: root of the sampling seeds.
        temperature: of agents that set none.
        max_tokens: longest reply of agents that set none.
        frozen: model of the agents that are not trained and have none of their own.
        reward: grades the leaves.

    Returns for each problem its nodes, parents before children, a node's role being the place of its agent among
    ``policies``; and the rollouts along all paths.

    Raises:
        InputError: the trees would be too large, have no siblings, or the team's calls come in no fixed order.
    """
    depth = len(policies)
    tree_size(depth, branches, len(problems))
    paths = branches**depth
    seating = Branching(branches, depth)
    rollouts = roll_out(
        team, agents, problems, policies, group=paths, seed=seed, temperature=temperature, max_tokens=max_tokens,
        frozen=frozen, reward=reward, seating=seating,
    )  # fmt: skip
    roles = {name: i for i, name in enumerate(policies)}
    found = []
    for start in range(0, len(rollouts), paths):
        own = rollouts[start : start + paths]
        found.append((_nodes(own, seating, roles), own))
    return found


@dataclass
class Branching(Seating):
    """Seats for the paths of trees; a rollout's number says which path it is.

    Attributes:
        branches: answers to each branching call.
        depth: calls that branch.
        said: every call's turn, by problem and place.
        walks: the places of each rollout, by problem and number.
    """

    branches: int
    depth: int
    said: dict[tuple[str, Place], asyncio.Future[tuple[Completion, Turn]]] = field(default_factory=dict)
    asked: dict[tuple[str, Place], tuple[str, Any]] = field(default_factory=dict)
    walks: dict[tuple[str, int], list[Place]] = field(default_factory=dict)

    def seed(self, root: int, problem: Problem, sample: int) -> int:
        """One for all paths of a tree, so that what they have in common is the same."""
        return derive(root, problem.question.id)

    def seat(self, engine: PolicyModel, rollout: Rollout) -> Seat:
        """A seat that knows its path."""
        return BranchingSeat(engine, rollout.turns, tree=self, rollout=rollout)

    def place(self, rollout: Rollout) -> Place:
        """Where the rollout's next call stands; it is noted."""
        walk = self.walks.setdefault((rollout.problem.question.id, rollout.sample), [])
        path = [rollout.sample // self.branches**i % self.branches for i in reversed(range(self.depth))]
        walk.append((*(path + [0] * len(walk))[: len(walk) + 1],))
        return walk[-1]


@dataclass
class BranchingSeat(Seat):
    """A seat on one path of a tree.

    Attributes:
        tree: of the rollout.
        rollout: whose seat it is.
    """

    tree: Branching = field(kw_only=True)
    rollout: Rollout = field(kw_only=True)

    async def complete(self, request: Request) -> Completion:
        """What was said at this place of the tree; written by the path that comes to it first."""
        place = self.tree.place(self.rollout)
        key = (self.rollout.problem.question.id, place)
        asked = (request.agent, tuple(m["content"] for m in request.messages))
        if self.tree.asked.setdefault(key, asked) != asked:
            mend = "Its calls come in no fixed order, so they make no tree; use a team like chain, or another method."
            raise InputError("team", request.agent, mend)
        if key not in self.tree.said:
            fresh = replace(request, seed=derive(request.seed, "branch", *place))
            self.tree.said[key] = asyncio.ensure_future(self.write(fresh))
        completion, turn = await self.tree.said[key]
        self.turns.append(turn)
        return completion


def _nodes(rollouts: Sequence[Rollout], seating: Branching, roles: Mapping[str, int]) -> list[Node]:
    """Every call once, graded where no other follows."""
    nodes: list[Node] = []
    at: dict[Place, int] = {}
    for rollout in rollouts:
        name, last = rollout.problem.question.id, -1
        for place in seating.walks.get((name, rollout.sample), []):
            if place not in at:
                call = seating.said[name, place]
                if call.exception() is not None:  # a prompt beyond the context: the team went on without the reply
                    continue
                turn = call.result()[1]
                at[place] = len(nodes)
                nodes.append(Node(last, roles[turn.agent], turn.text, tuple(turn.prompt), tuple(turn.tokens)))
            last = at[place]
        if last >= 0:
            nodes[last] = replace(nodes[last], right=rollout.reward)
    return nodes
