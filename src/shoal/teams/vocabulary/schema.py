"""The typed schema of a team: agents, channels, orchestration, seed.

Every field's description says what it does; the choices of the vocabulary fields are explained by ``describe``.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from shoal.teams.vocabulary.components import canonical_value

Stage = Literal["early", "mid", "late"]
Type = Literal["cooperation", "competition", "coopetition", "hybrid"]
Strategy = Literal["rule-based", "role-based", "model-based"]
Structure = Literal["centralized", "decentralized", "hierarchical"]
Paradigm = Literal["memory", "report", "relay", "debate"]
Graph = Literal["mesh", "ring", "random", "dynamic"]
HubForm = Literal["both", "leaves", "hub"]
Mode = Literal["static", "dynamic"]
Plan = Literal["personas", "dag", "routing"]
Aggregate = Literal[
    "plurality", "weighted", "mean", "median", "first", "last", "ranking", "fusion", "gate", "nash", "consensus"
]


def _known(field: str) -> BeforeValidator:
    """Aliases are read as the value that they stand for."""
    return BeforeValidator(lambda value: canonical_value(field, value))


class Part(BaseModel):
    """Base of all parts: frozen, no unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Stop(Part):
    """Rules that end a channel before its last round."""

    agreement: float | None = Field(None, gt=0, le=1, description="share of the actors that must give one answer")
    repeats: bool = Field(True, description="stop when everybody says what they said the round before")


class ChannelBudget(Part):
    """Hard limits of one channel, within the session's own."""

    tokens: int | None = Field(None, ge=1, description="prompt and completion tokens")
    calls: int | None = Field(None, ge=1, description="model calls")
    seconds: float | None = Field(None, gt=0, description="wall time")
    money: float | None = Field(None, gt=0, description="US dollars")


class AgentSpec(Part):
    """An agent of the survey: a = (m, o, e, x, y)."""

    name: str = Field(min_length=1, pattern=r"^[\w.\-]+$", description="unique name; letters, digits, dot, hyphen")
    role: str = Field("", description="role label; channels may name it instead of the agent")
    objective: str = Field("", description="its own part of the shared goal, in one line")
    persona: str = Field("", description="system message")
    model: str = Field("", description="model spec; empty for the session's model; human for a person")
    skills: dict[str, float] = Field(default_factory=dict, description="known competence by topic, from 0 to 1")
    parameters: dict[str, Any] | None = Field(
        None, description="weights (k numbers) and bias of a linear agent, for stage mid; it answers w.x + b"
    )
    samples: int = Field(1, ge=1, description="how many examples its parameters were fitted to: weight of stage mid")
    temperature: float | None = Field(None, ge=0, le=2, description="sampling temperature")
    max_tokens: int | None = Field(None, ge=1, description="longest reply")
    tools: tuple[str, ...] = Field((), description="tools it may call while it writes: calculator")


class Channel(Part):
    """A collaboration channel."""

    name: str = Field("", description="name, for orchestration and traces; channel-1 and so on where it is left out")
    actors: tuple[str, ...] = Field(
        ("all",), min_length=1, description="agents or role labels that may write and read; all for everybody"
    )
    stage: Annotated[Stage, _known("stage")] = Field("early", description="what is exchanged")
    type: Annotated[Type, _known("type")] = Field("cooperation", description="how the objectives relate")
    types: dict[str, Annotated[Type, _known("type")]] = Field(
        default_factory=dict, description="for type hybrid: the type of each agent or role"
    )
    strategy: Annotated[Strategy, _known("strategy")] = Field("rule-based", description="what decides who does what")
    structure: Annotated[Structure, _known("structure")] = Field("decentralized", description="who is linked to whom")
    graph: Annotated[Graph, _known("graph")] = Field("mesh", description="the links of a decentralized structure")
    hub: str | tuple[str, ...] | None = Field(None, description="the centre of a centralized structure")
    hub_form: Annotated[HubForm, _known("hub_form")] = Field(
        "both", description="where the models are in a centralized structure"
    )
    levels: tuple[tuple[str, ...], ...] = Field((), description="levels of a hierarchical structure, lowest first")
    keep: int | None = Field(None, ge=1, description="agents of a level that may report upwards; the rest is pruned")
    paradigm: Annotated[Paradigm, _known("paradigm")] | None = Field(
        None, description="how words travel; left out: the structure's own way"
    )
    rounds: int = Field(1, ge=1, le=50, description="most rounds of talk")
    stop: Stop = Field(Stop(), description="rules that end it earlier")  # type: ignore[call-arg]
    aggregate: Annotated[Aggregate, _known("aggregate")] | None = Field(
        None, description="how the opinions become one answer"
    )
    judge: str | None = Field(None, description="agent or role that decides in the end, in place of the aggregate")
    payoff: Literal["zero-sum"] | dict[str, dict[str, float]] | None = Field(
        None, description="zero-sum, or what each agent earns by answer: its private terms"
    )
    budget: ChannelBudget | None = Field(None, description="hard limits of this channel")

    @model_validator(mode="before")
    @classmethod
    def _structure_aliases(cls, data: Any) -> Any:
        """A structure given as mesh, ring or random graph says two things at once: decentralized, and which graph."""
        if isinstance(data, dict) and isinstance(data.get("structure"), str):
            graph = canonical_value("graph", data["structure"])
            if graph in ("mesh", "ring", "random", "dynamic"):
                return {"graph": graph, **data, "structure": "decentralized"}
        return data


class Orchestration(Part):
    """The layer above the channels."""

    mode: Annotated[Mode, _known("orchestration")] = Field("static", description="fixed, or built from the input")
    manager: str | None = Field(None, description="agent that builds the team, for mode dynamic")
    plan: Annotated[Plan, _known("plan")] | None = Field(None, description="what the manager builds, for mode dynamic")

    @model_validator(mode="before")
    @classmethod
    def _shorthand(cls, data: Any) -> Any:
        return {"mode": data} if isinstance(data, str) else data


class TeamSpec(Part):
    """A whole team."""

    name: str = Field("", description="name of the team")
    description: str = Field("", description="one line")
    agents: tuple[AgentSpec, ...] = Field(min_length=1, description="who is in it, or how many")
    channels: tuple[Channel, ...] = Field(min_length=1, description="channels in the order in which they act")
    orchestration: Orchestration = Field(Orchestration(), description="static or dynamic")  # type: ignore[call-arg]
    seed: int = Field(0, ge=0, description="root of the team's own random numbers (random graphs)")

    @model_validator(mode="before")
    @classmethod
    def _expand(cls, data: Any) -> Any:
        """``agents: 3`` is agent-1 to agent-3; a bare name is an agent; channels get names."""
        if not isinstance(data, dict):
            return data
        data = dict(data)
        agents = data.get("agents")
        if isinstance(agents, int) and not isinstance(agents, bool) and 0 < agents <= 1000:
            data["agents"] = [{"name": f"agent-{i + 1}"} for i in range(agents)]
        elif isinstance(agents, list):
            data["agents"] = [{"name": a} if isinstance(a, str) else a for a in agents]
        channels = data.get("channels")
        if isinstance(channels, list):
            data["channels"] = [
                {"name": f"channel-{i + 1}", **c} if isinstance(c, dict) else c for i, c in enumerate(channels)
            ]
        return data

    def resolve(self, labels: tuple[str, ...]) -> list[str]:
        """Agent names for names and role labels, in the order of the team; unknown labels give nothing."""
        if "all" in labels:
            return [agent.name for agent in self.agents]
        return [agent.name for agent in self.agents if agent.name in labels or (agent.role and agent.role in labels)]

    def hubs(self, channel: Channel) -> list[str]:
        """The agents that the channel names as its centre; without a name, its actors with the role hub."""
        if channel.hub is None:
            actors = self.resolve(channel.actors)
            return [a.name for a in self.agents if a.name in actors and a.role == "hub"]
        return self.resolve((channel.hub,) if isinstance(channel.hub, str) else channel.hub)

    def types(self) -> list[str]:
        """The collaboration types in this team; more than one makes it a hybrid."""
        found = dict.fromkeys(c.type for c in self.channels)
        if len(found) > 1:
            found.setdefault("hybrid")
        return list(found)
