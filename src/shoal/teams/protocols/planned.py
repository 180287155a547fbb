"""A planner's task graph: subtasks with dependencies, run in parallel where they can be."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from shoal.errors import InputError
from shoal.models.structured import json_objects
from shoal.runs.study import Vocabulary
from shoal.tasks.problem import Question
from shoal.teams.agent import Agent
from shoal.teams.outcome import Outcome
from shoal.teams.protocols.aggregation import Opinion, conclude
from shoal.teams.protocols.asking import Call, Post, brief, own_and, poll
from shoal.teams.protocols.registration import protocol
from shoal.teams.session import Message, Session

_STEP = re.compile(r"^\W*(\w+)\s*\|\s*([^|\n]+?)\s*\|\s*([^|\n]+?)\s*(?:\|\s*([^|\n]*))?$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Step:
    """A node of a task graph: what is to be done, by whom, after which other steps."""

    id: str
    agent: str
    task: str
    needs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TaskGraph:
    """Steps by id. Raises InputError if a step needs an unknown one or the graph has a cycle."""

    steps: Mapping[str, Step]

    def __post_init__(self) -> None:
        for step in self.steps.values():
            for need in step.needs:
                if need not in self.steps:
                    raise InputError(f"plan step {step.id}", need, f"It needs a step among {', '.join(self.steps)}.")
        self.stages()

    def stages(self) -> list[list[Step]]:
        """Steps in groups that can run at the same time, each after all it needs (Kahn's algorithm).

        Raises:
            InputError: steps that wait for each other.
        """
        waiting = {id: set(step.needs) for id, step in self.steps.items()}
        stages: list[list[Step]] = []
        while waiting:
            ready = [id for id, needs in waiting.items() if not needs]
            if not ready:
                raise InputError("plan", sorted(waiting), "These steps wait for each other: remove the cycle.")
            stages.append([self.steps[id] for id in ready])
            for id in ready:
                del waiting[id]
            for needs in waiting.values():
                needs.difference_update(ready)
        return stages

    def sinks(self) -> list[Step]:
        """Steps that no other step needs."""
        needed = {need for step in self.steps.values() for need in step.needs}
        return [step for id, step in self.steps.items() if id not in needed]


def read_plan(text: str, names: Sequence[str], most: int) -> TaskGraph | None:
    """The task graph in a planner's reply: lines "ID | AGENT | TASK | NEEDS", or JSON with nodes and edges.

    Args:
        text: the reply.
        names: the agents; a step for anybody else is dealt to one of them in turn.
        most: steps beyond this number are left out, with the dependencies on them.

    Returns:
        The graph, or None if the reply holds no step.

    Raises:
        InputError: a step needs an unknown one, or there is a cycle.
    """
    rows = list(_json_steps(text)) or [
        (m[1], m[2], m[3], [n for n in re.split(r"[\s,]+", m[4] or "") if n and n not in ("-", "none", "None")])
        for m in _STEP.finditer(text)
        if m[1].lower() != "id"
    ]
    steps: dict[str, Step] = {}
    dropped = {row[0] for row in rows[most:]}
    by_lower = {name.lower(): name for name in names}
    for i, (id, agent, task, needs) in enumerate(rows[:most]):
        who = by_lower.get(agent.lower(), names[i % len(names)])
        steps[id] = Step(id, who, task, tuple(n for n in needs if n not in dropped))
    return TaskGraph(steps) if steps else None


def _json_steps(text: str) -> Iterable[tuple[str, str, str, list[str]]]:
    for plan in json_objects(text):
        nodes, edges = plan.get("nodes"), plan.get("edges")
        if not isinstance(nodes, list):
            continue
        arrows = [e for e in edges if isinstance(e, list) and len(e) == 2] if isinstance(edges, list) else []
        for node in nodes:
            if isinstance(node, dict) and "id" in node:
                id = str(node["id"])
                needs = [str(a) for a, b in arrows if str(b) == id]
                yield id, str(node.get("agent", "")), str(node.get("task", "")), needs
        return


@protocol(
    "dag",
    title="A planner draws a graph of subtasks; independent ones run in parallel; a delegator merges the ends",
    vocabulary=Vocabulary(
        ("planner", "workers"), ("cooperation",), ("hierarchical",), ("role-based",), ("dynamic", "task graph")
    ),
    agents=(2, 4, 16),
    unfinished="last",
)
async def dag(
    question: Question,
    agents: Sequence[Agent],
    session: Session,
    *,
    steps: Annotated[int, Field(ge=1, le=32, description="most subtasks")] = 4,
    retries: Annotated[int, Field(ge=0, le=5, description="further tries of a planner whose plan cannot be used")] = 1,
) -> Outcome:
    """DAG orchestration (survey, section 4.5): the first agent plans and merges, the others work.

    A plan with a cycle is refused and asked for again with the reason. Without a usable plan, every worker gets the
    whole question and the delegator merges, which is the plan a manager without ideas would make.
    """
    planner, workers = agents[0], agents[1:]
    graph, planned = await _plan(question, planner, workers, session, steps, retries)
    post, place = Post(session), {a.name: i for i, a in enumerate(agents)}
    by_name = {a.name: a for a in workers}
    results: dict[str, Message] = {}
    done: list[Opinion] = []
    for stage in graph.stages():
        calls = []
        for step in stage:
            order = post.send(planner.name, [step.agent], f"Your part: {step.task}", [planned])
            post.read(step.agent)
            if order is None:
                continue
            heard = [order, *(results[n] for n in step.needs if n in results)]
            prompt = brief(question, place[step.agent], heard=heard)
            calls.append((step, Call(by_name[step.agent], prompt, own_and(None, heard))))
        opinions = await poll(session, question, [call for _, call in calls])
        for (step, _), opinion in zip(calls, opinions, strict=True):
            readers = [other.agent for other in graph.steps.values() if step.id in other.needs] or [planner.name]
            message = post.tell(opinion, dict.fromkeys(r for r in readers if r != opinion.agent))
            if message is None and not opinion.failed and opinion.agent in readers:
                message = Message(opinion.agent, (opinion.agent,), opinion.text[:160], opinion.event)
            if message is not None:
                results[step.id] = message
            done.append(opinion)
    return await _merge(question, planner, [results[s.id] for s in graph.sinks() if s.id in results], done, session)


async def _plan(
    question: Question, planner: Agent, workers: Sequence[Agent], session: Session, steps: int, retries: int
) -> tuple[TaskGraph, str]:
    """The planner's graph and the id of the decision that holds it."""
    names = [worker.name for worker in workers]
    close = (
        f"Split this into at most {steps} steps for {', '.join(names)}. One line a step: ID | AGENT | TASK | NEEDS, "
        f"for example:\na | {names[0]} | find the numbers | -\nb | {names[-1]} | add them | a"
    )
    parents: list[str] = []
    complaint = ""
    for _ in range(retries + 1):
        prompt = brief(question, 0, close="\n".join(p for p in (close, complaint) if p), answer=False)
        said = (await poll(session, question, [Call(planner, prompt, tuple(parents))], answer=False))[0]
        parents = [said.event]
        try:
            graph = read_plan(said.text, names, steps)
        except InputError as error:
            complaint, graph = str(error), None
        if graph is not None:
            shown = [[s.id, s.agent, s.task, list(s.needs)] for s in graph.steps.values()]
            return graph, session.decide(planner.name, "plan", parents, steps=shown)
        session.failures["bad plan"] += 1
        if said.failed:
            break
    graph = TaskGraph({name: Step(name, name, "the whole task") for name in names})
    return graph, session.decide(planner.name, "plan", parents, steps=[], reason="no usable plan")


async def _merge(
    question: Question, delegator: Agent, heard: list[Message], done: Sequence[Opinion], session: Session
) -> Outcome:
    """The delegator's answer from the results of the sinks; the last readable result if it has none."""
    prompt = brief(question, 0, lead="Put the results below together." if heard else "", heard=heard)
    merged = (await poll(session, question, [Call(delegator, prompt, own_and(None, heard))]))[0]
    if merged.answer is not None:
        return conclude(session, question, [merged], rounds=1, agent=delegator.name, what="merge")
    readable = [o for o in done if o.answer is not None]
    return conclude(session, question, readable, rounds=1, reason="the delegator gave no answer")
