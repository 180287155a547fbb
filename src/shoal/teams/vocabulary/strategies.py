"""Strategies: what decides who does what, beyond the schedule: fixed rules, roles, or beliefs about the others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

from shoal.tasks.problem import Question
from shoal.teams.agent import Agent
from shoal.teams.protocols.aggregation import Opinion
from shoal.teams.protocols.beliefs import Beliefs
from shoal.teams.vocabulary.components import component
from shoal.teams.vocabulary.objectives import objective_lead

if TYPE_CHECKING:
    from shoal.teams.vocabulary.floor import Floor

HEARSAY = 0.5
"""Weight of the others' agreement as evidence of a peer's competence."""


class Conduct(Protocol):
    """What a strategy does in a channel."""

    default_aggregate: str

    def lead(self, floor: Floor, name: str, speakers: Sequence[str]) -> str:
        """What an actor reads before the question."""
        ...

    def label(self, floor: Floor, name: str, content: str) -> str:
        """An actor's words as they are sent."""
        ...

    def observe(self, question: Question, before: Sequence[Opinion], now: Sequence[Opinion]) -> None:
        """See what everybody said before and after a round."""
        ...

    def weights(self) -> Mapping[str, float] | None:
        """Vote weights, or None for equal ones."""
        ...


@component(
    "strategy",
    "rule-based",
    meaning="fixed rules decide who acts on what: the schedule of the structure and the aggregate",
    trade_off="predictable, fair and cheap; does not adapt to the task",
    aliases=("rule", "rules"),
)
class RuleBased:
    """Everybody gets the same prompt; the aggregate is the rule."""

    default_aggregate = "plurality"

    def __init__(self, agents: Sequence[Agent]) -> None:
        self.agents = agents

    def lead(self, floor: Floor, name: str, speakers: Sequence[str]) -> str:
        """The shared or opposed objective."""
        return objective_lead(floor, name, bool(speakers))

    def label(self, floor: Floor, name: str, content: str) -> str:
        """The words themselves."""
        return content

    def observe(self, question: Question, before: Sequence[Opinion], now: Sequence[Opinion]) -> None:
        """Rules do not learn."""

    def weights(self) -> Mapping[str, float] | None:
        """Equal weights."""
        return None


@component(
    "strategy",
    "role-based",
    meaning="each actor has its own part of the shared objective and hands over work that is marked as its role's",
    trade_off="modular and uses expertise; rigid, and only as good as its roles are defined",
    aliases=("role", "roles"),
)
class RoleBased(RuleBased):
    """Segmented objectives; words are sent as the artefact of a role. The last role's answer counts."""

    default_aggregate = "last"

    def lead(self, floor: Floor, name: str, speakers: Sequence[str]) -> str:
        """The role and its part, besides the shared objective."""
        spec = floor.roster[name][1]
        own = f"You are the {spec.role}. {spec.objective or f'Do what a {spec.role} does.'}"
        return " ".join(p for p in (own, objective_lead(floor, name, bool(speakers))) if p)

    def label(self, floor: Floor, name: str, content: str) -> str:
        """The words under the name of the role: the hand-over contract says whose work it is."""
        return f"({floor.roster[name][1].role}) {content}"


@component(
    "strategy",
    "model-based",
    meaning="each actor keeps beliefs about the others (Beta of competence, probabilities of goals), reads them in its "
    "prompt, and the vote is weighted by them",
    trade_off="robust to uncertainty and to bad agents; costly and harder to follow",
    aliases=("model", "belief-based", "theory-of-mind"),
)
class ModelBased(RuleBased):
    """Beliefs about peers, updated after each round."""

    default_aggregate = "weighted"

    def __init__(self, agents: Sequence[Agent]) -> None:
        super().__init__(agents)
        self.beliefs = Beliefs(agents) if len(agents) > 1 else None

    def lead(self, floor: Floor, name: str, speakers: Sequence[str]) -> str:
        """What the reader believes about those it hears, after the objective."""
        about = self.beliefs.about if self.beliefs is not None else {}
        views = [about[name, s].describe(s) for s in dict.fromkeys(speakers) if (name, s) in about]
        return " ".join(p for p in (objective_lead(floor, name, bool(speakers)), *views) if p)

    def observe(self, question: Question, before: Sequence[Opinion], now: Sequence[Opinion]) -> None:
        """Bayes' rule on what everybody did in the round."""
        if self.beliefs is not None:
            self.beliefs.observe(question, before, now, HEARSAY)

    def weights(self) -> Mapping[str, float] | None:
        """Log-odds of the competence that the others ascribe to each."""
        return self.beliefs.weights() if self.beliefs is not None else None
