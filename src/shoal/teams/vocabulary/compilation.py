"""From a team's spec to a team that runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from shoal.errors import InputError
from shoal.models.interface import Model
from shoal.models.opening import open_model
from shoal.models.tools import find_tools
from shoal.runs.seeds import derive
from shoal.runs.study import Vocabulary
from shoal.tasks.problem import AnswerKey, Question
from shoal.teams.agent import Agent
from shoal.teams.outcome import Outcome, Team
from shoal.teams.protocols.registration import check_agents
from shoal.teams.protocols.standing import Unfinished, within_budget
from shoal.teams.session import Message, Session
from shoal.teams.vocabulary.components import part, values
from shoal.teams.vocabulary.files import to_config
from shoal.teams.vocabulary.floor import Floor
from shoal.teams.vocabulary.orchestration import Work
from shoal.teams.vocabulary.parameters import ParametricModel
from shoal.teams.vocabulary.people import HUMAN, HumanModel
from shoal.teams.vocabulary.purse import limited
from shoal.teams.vocabulary.schema import AgentSpec, Channel, TeamSpec
from shoal.teams.vocabulary.validation import check_team


@dataclass(frozen=True)
class CompiledTeam:
    """A team that is ready to run.

    Attributes:
        spec: what it was made from.
        agents: who is in it.
        run: the team function; it takes no options, they are all in the spec.
        vocabulary: the spec in the words of a study.
        description: one line.
    """

    spec: TeamSpec
    agents: tuple[Agent, ...]
    run: Team
    vocabulary: Vocabulary
    description: str

    def config(self) -> dict[str, Any]:
        """Plain data from which the same team can be made again."""
        return to_config(self.spec)


def compile_team(
    spec: TeamSpec, *, answer_key: AnswerKey | None = None, read: Callable[[str], str] = input
) -> CompiledTeam:
    """Make a team that runs.

    Args:
        spec: the team.
        answer_key: problems for agents whose model is scripted; others never see it.
        read: how people are asked.

    Raises:
        InputError: the spec's values do not go together; names the field.
    """
    check_team(spec)
    agents = tuple(_agent(agent, answer_key, read, spec.seed) for agent in spec.agents)

    async def run(question: Question, agents: Sequence[Agent], session: Session, **options: Any) -> Outcome:
        if options:
            raise InputError(f"team {spec.name}", sorted(options), "A team file takes no options: edit the file.")
        check_agents(spec.name or "team", agents, (len(spec.agents), len(spec.agents), len(spec.agents)))
        if [agent.name for agent in agents] != [agent.name for agent in spec.agents]:
            raise InputError(f"team {spec.name} agents", [a.name for a in agents], "Pass the team's own agents.")

        async def run_channel(channel: Channel, agents: Sequence[Agent], handed: tuple[Message, ...]) -> Outcome:
            return await _run_channel(spec, channel, agents, handed, question, session)

        work = Work(spec, tuple(agents), question, session, run_channel)
        return await within_budget(
            question, session, "plurality", lambda: part("orchestration", spec.orchestration.mode)(work)
        )

    return CompiledTeam(spec, agents, run, _vocabulary(spec), spec.description or _summary(spec))


async def _run_channel(
    spec: TeamSpec,
    channel: Channel,
    agents: Sequence[Agent],
    handed: tuple[Message, ...],
    question: Question,
    session: Session,
) -> Outcome:
    """One channel on one question; a spent budget, the channel's or the session's, ends it with its best answer."""
    actors = spec.resolve(channel.actors)
    members = {agent.name: agent for agent in agents if agent.name in actors}
    hubs = spec.hubs(channel) if channel.structure == "centralized" else []
    with limited(session, channel.budget) as inner:
        floor = Floor(
            channel=channel,
            roster={a.name: (a, s) for a, s in zip(agents, spec.agents, strict=True)},
            agents=members,
            places={agent.name: i for i, agent in enumerate(agents)},
            question=question,
            session=inner,
            conduct=part("strategy", channel.strategy)(list(members.values())),
            hub=hubs[0] if hubs else None,
            levels=tuple(tuple(spec.resolve(level)) for level in channel.levels),
            handed=handed,
            seed=derive(spec.seed, "channel"),
        )
        unfinished: Unfinished = "last" if floor.hub or channel.strategy == "role-based" else "plurality"
        return await within_budget(question, inner, unfinished, lambda: part("stage", channel.stage)(floor))


def _agent(spec: AgentSpec, answer_key: AnswerKey | None, read: Callable[[str], str], seed: int) -> Agent:
    model: Model | None = None
    if spec.parameters is not None:
        model = ParametricModel.from_config(spec.parameters, f"agents {spec.name}")
    elif spec.model == HUMAN:
        model = HumanModel(read)
    elif spec.model:
        model = open_model(spec.model, answer_key=answer_key, seed=seed)
    persona = spec.persona or (f"You are the {spec.role}." if spec.role else "")
    tools = find_tools(spec.tools)
    return Agent(spec.name, persona, model, spec.temperature, spec.max_tokens, dict(spec.skills), tools)


def _vocabulary(spec: TeamSpec) -> Vocabulary:
    actors = [c.name for c in values("actors") if c.part(spec)]
    exchange = [f"stage {c.stage}" for c in spec.channels] + [c.paradigm for c in spec.channels if c.paradigm]
    rules = [c.aggregate for c in spec.channels if c.aggregate]
    return Vocabulary(
        actors=tuple(actors),
        type=tuple(spec.types()),
        structure=tuple(dict.fromkeys(c.structure for c in spec.channels)),
        strategy=tuple(dict.fromkeys(c.strategy for c in spec.channels)),
        protocol=tuple(dict.fromkeys([*exchange, *rules, spec.orchestration.mode])),
    )


def _summary(spec: TeamSpec) -> str:
    channels = "; ".join(f"{c.structure} {c.type}, {c.strategy}" for c in spec.channels)
    return f"{len(spec.agents)} agents, {spec.orchestration.mode}: {channels}"
