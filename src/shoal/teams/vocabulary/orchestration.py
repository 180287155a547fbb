"""Orchestration: the layer that orders the channels, fixed in the config or made by a manager from the input."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace

from shoal.errors import InputError
from shoal.tasks.problem import Question
from shoal.teams.agent import Agent
from shoal.teams.outcome import Outcome
from shoal.teams.protocols.aggregation import Opinion, conclude
from shoal.teams.protocols.asking import Call, brief, one_line, own_and, poll
from shoal.teams.protocols.personas import recruit
from shoal.teams.protocols.planned import Step, TaskGraph, read_plan
from shoal.teams.session import Message, Session
from shoal.teams.vocabulary.components import component, part
from shoal.teams.vocabulary.schema import Channel, TeamSpec

REVISIONS = 2
"""How often a manager may name personas for one question."""

RunChannel = Callable[[Channel, Sequence[Agent], tuple[Message, ...]], Awaitable[Outcome]]

_CHANNEL = re.compile(r"channel\s*:\s*([\w.\-]+)", re.IGNORECASE)


@dataclass(frozen=True)
class Work:
    """One question in the hands of a team.

    Attributes:
        spec: the team.
        agents: its agents.
        question: what is asked.
        session: who pays and records.
        run_channel: runs one channel with these agents and what earlier ones handed over.
    """

    spec: TeamSpec
    agents: tuple[Agent, ...]
    question: Question
    session: Session
    run_channel: RunChannel

    @property
    def manager(self) -> Agent:
        """The agent that orchestrates."""
        name = self.spec.resolve((str(self.spec.orchestration.manager),))[0]
        return next(agent for agent in self.agents if agent.name == name)

    def hand_over(self, outcome: Outcome, sender: str, channel: Channel) -> tuple[Message, ...]:
        """An outcome as the message that a channel's actors start from; nothing if there is none."""
        if outcome.answer is None and not outcome.text:
            return ()
        content = one_line(outcome.text, outcome.answer)
        parents = [outcome.event] if outcome.event else []
        sent = self.session.send(sender, self.spec.resolve(channel.actors), content, parents)
        return (sent,) if sent is not None else ()


@component(
    "orchestration",
    "static",
    meaning="the channels act in the order of the config, each starting from the outcome of the one before",
    trade_off="predictable and easy to test; cannot react to an input it was not made for",
    aliases=("fixed", "sequential", "sequential-chaining"),
)
async def static(work: Work) -> Outcome:
    """Sequential chaining: y_i || x_i || x_collab. A channel without an answer leaves the earlier one standing."""
    return await in_order(work, work.agents)


async def in_order(work: Work, agents: Sequence[Agent]) -> Outcome:
    """All channels, one after the other."""
    best = Outcome(None)
    handed: tuple[Message, ...] = ()
    for i, channel in enumerate(work.spec.channels):
        outcome = await work.run_channel(channel, agents, handed)
        best = outcome if outcome.answer is not None or best.answer is None else best
        if i + 1 < len(work.spec.channels):
            handed = work.hand_over(outcome, channel.name, work.spec.channels[i + 1]) or handed
    return best


@component(
    "orchestration",
    "dynamic",
    meaning="a manager agent builds the team from the input: personas, a task graph of channels, or the channel to use",
    trade_off="fits each input; costs calls, and the manager's mistakes are everybody's",
    aliases=("adaptive",),
)
async def dynamic(work: Work) -> Outcome:
    """What the manager's plan says."""
    outcome: Outcome = await part("plan", str(work.spec.orchestration.plan))(work)
    return outcome


@component(
    "plan",
    "personas",
    meaning="the manager names a persona for each agent from the input, and names them anew if they do not agree",
    trade_off="brings in the expertise a question needs; personas add words, not knowledge",
    aliases=("persona", "agentverse"),
)
async def with_personas(work: Work) -> Outcome:
    """At most REVISIONS rounds of naming and working."""
    manager, said = work.manager, list[Opinion]()
    outcome = Outcome(None)
    for _ in range(REVISIONS):
        others = [agent for agent in work.agents if agent is not manager]
        team, named = await recruit(work.question, manager, max(1, len(others)), work.session, said)
        masks = {agent.name: member.persona for agent, member in zip(others, team, strict=False)}
        for name, persona in masks.items():
            work.session.send(manager.name, [name], persona, [named])
        agents = [replace(agent, persona=masks.get(agent.name, agent.persona)) for agent in work.agents]
        outcome = await in_order(work, agents)
        if len(outcome.votes) <= 1:
            break
        said = [Opinion("team", outcome.text, outcome.answer, outcome.event)]
    return outcome


@component(
    "plan",
    "dag",
    meaning="the manager draws a graph of subtasks for the channels; independent ones run in parallel; it merges",
    trade_off="parallel work and clear dependencies; a bad split cannot be repaired later",
    aliases=("task-graph", "graph"),
)
async def with_task_graph(work: Work) -> Outcome:
    """Nodes are channels. A plan that cannot be used is replaced by the channels in the order of the config."""
    manager, names = work.manager, [channel.name for channel in work.spec.channels]
    close = (
        f"Split this over the groups {', '.join(names)}. One line a step: ID | GROUP | TASK | NEEDS, for example:\n"
        f"a | {names[0]} | find the numbers | -\nb | {names[-1]} | add them | a"
    )
    place = work.agents.index(manager)
    prompt = brief(work.question, place, close=close, answer=False)
    said = (await poll(work.session, work.question, [Call(manager, prompt)], answer=False))[0]
    try:
        graph = read_plan(said.text, names, 2 * len(names))
    except InputError:
        graph = None
    if graph is None:
        work.session.failures["bad plan"] += 1
        chain = [Step(name, name, "", (names[i - 1],) if i else ()) for i, name in enumerate(names)]
        graph = TaskGraph({step.id: step for step in chain})
    steps = [[s.id, s.agent, s.task, list(s.needs)] for s in graph.steps.values()]
    planned = work.session.decide(manager.name, "plan", [said.event], steps=steps)
    done: dict[str, Outcome] = {}
    for stage in graph.stages():
        outcomes = await work.session.gather(*(_run_step(work, step, planned, done) for step in stage))
        done |= {step.id: outcome for step, outcome in zip(stage, outcomes, strict=True)}
    ends = [(step, done[step.id]) for step in graph.sinks()]
    if len(ends) == 1:
        return ends[0][1]
    heard = [_report(work, step, outcome, manager.name) for step, outcome in ends if outcome.answer is not None]
    kept = [message for message in heard if message is not None]
    prompt = brief(work.question, place, lead="Put the results below together.", heard=kept)
    merged = (await poll(work.session, work.question, [Call(manager, prompt, own_and(None, kept))]))[0]
    opinions = [merged] if merged.answer is not None else [
        Opinion(step.agent, outcome.text, outcome.answer, outcome.event) for step, outcome in ends
    ]  # fmt: skip
    return conclude(work.session, work.question, opinions, rounds=1, agent=manager.name, what="merge")


async def _run_step(work: Work, step: Step, planned: str, done: dict[str, Outcome]) -> Outcome:
    channel = next(c for c in work.spec.channels if c.name == step.agent)
    handed: tuple[Message, ...] = ()
    if step.task:
        order = work.session.send(
            work.manager.name, work.spec.resolve(channel.actors), f"Your part: {step.task}", [planned]
        )
        handed = (order,) if order is not None else ()
    for need in step.needs:
        handed += work.hand_over(done[need], f"step-{need}", channel)
    return await work.run_channel(channel, work.agents, handed)


def _report(work: Work, step: Step, outcome: Outcome, receiver: str) -> Message | None:
    parents = [outcome.event] if outcome.event else []
    return work.session.send(f"step-{step.id}", [receiver], one_line(outcome.text, outcome.answer), parents)


@component(
    "plan",
    "routing",
    meaning="the manager reads the input and picks the one channel that works on it",
    trade_off="spends only on what the input needs; a wrong route is not noticed",
    aliases=("router", "route"),
)
async def with_routing(work: Work) -> Outcome:
    """The named channel; without a readable name the first one."""
    manager, channels = work.manager, {c.name.lower(): c for c in work.spec.channels}
    roster = "; ".join(f"{c.name}: {', '.join(c.actors)} in {c.type}" for c in work.spec.channels)
    close = f"Groups: {roster}. Which one should work on this? Reply only 'Channel: NAME'."
    prompt = brief(work.question, work.agents.index(manager), close=close, answer=False)
    said = (await poll(work.session, work.question, [Call(manager, prompt)], answer=False))[0]
    match = _CHANNEL.search(said.text)
    chosen = channels.get(match.group(1).lower().rstrip(".")) if match else None
    if chosen is None:
        work.session.failures["no route"] += 1
        chosen = work.spec.channels[0]
    event = work.session.decide(manager.name, "route", [said.event], channel=chosen.name)
    order = work.session.send(manager.name, work.spec.resolve(chosen.actors), "This one is yours.", [event])
    return await work.run_channel(chosen, work.agents, (order,) if order is not None else ())
