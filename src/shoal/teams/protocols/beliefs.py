"""Theory of mind: each agent keeps beliefs about each other agent's competence and goals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated

from pydantic import Field

from shoal.runs.study import Vocabulary
from shoal.tasks.problem import Question
from shoal.teams.agent import Agent
from shoal.teams.outcome import Outcome
from shoal.teams.protocols.aggregation import Opinion, conclude, log_odds, tally
from shoal.teams.protocols.asking import Call, Halt, Post, brief, own_and, poll
from shoal.teams.protocols.debating import Agreement, Rounds, stand_by
from shoal.teams.protocols.independent import ask_alone, skill
from shoal.teams.protocols.registration import protocol
from shoal.teams.session import Session

GOALS = ("truth", "conform", "persist")
"""What a peer may be after: the right answer, what most say, or its own first answer."""

BEHAVIOUR: Mapping[str, Mapping[str, float]] = {
    "truth": {"joined": 0.45, "kept": 0.45, "other": 0.10},
    "conform": {"joined": 0.85, "kept": 0.10, "other": 0.05},
    "persist": {"joined": 0.05, "kept": 0.90, "other": 0.05},
}
"""P(what a peer does | its goal) when most others disagree with it. Our choice: the survey gives no numbers."""

WORDS = {"truth": "thinks for itself", "conform": "follows the others", "persist": "never changes its mind"}


@dataclass
class Belief:
    """What one agent believes about one peer.

    Attributes:
        alpha: of the Beta distribution of its competence, above 0.
        beta: the same.
        goals: probability of each goal; they add up to 1.
    """

    alpha: float = 1.0
    beta: float = 1.0
    goals: dict[str, float] = field(default_factory=lambda: dict.fromkeys(GOALS, 1 / len(GOALS)))

    @property
    def competence(self) -> float:
        """Expected chance that the peer is right."""
        return self.alpha / (self.alpha + self.beta)

    def saw_outcome(self, right: float, weight: float = 1.0) -> None:
        """Count an answer of the peer as right (1), wrong (0) or in between, with a weight below 1 for hearsay."""
        self.alpha += weight * right
        self.beta += weight * (1 - right)

    def saw_behaviour(self, what: str) -> None:
        """Bayes' rule on the goals: the peer "joined" the majority against it, "kept" its answer or did "other"."""
        posterior = {goal: p * BEHAVIOUR[goal][what] for goal, p in self.goals.items()}
        total = sum(posterior.values())
        self.goals = {goal: p / total for goal, p in posterior.items()}

    def describe(self, peer: str) -> str:
        """One line for a prompt."""
        goal = max(self.goals, key=lambda g: self.goals[g])
        habit = f", {WORDS[goal]}" if self.goals[goal] > 0.5 else ""
        return f"{peer} is right about {round(100 * self.competence)}% of the time{habit}."


class Beliefs:
    """All beliefs of a team: of each agent about each other one.

    Args:
        agents: the team. The prior of a peer's competence is its known skill, worth ``strength`` answers; a peer
            without one gets Beta(1, 1).
        topic: which skill counts.
        strength: how many answers the prior is worth.
    """

    def __init__(self, agents: Sequence[Agent], topic: str = "", strength: float = 4.0) -> None:
        self.names = [agent.name for agent in agents]
        prior = {a.name: skill(a, topic) for a in agents}
        self.about: dict[tuple[str, str], Belief] = {}
        for owner in self.names:
            for peer in self.names:
                p = prior[peer]
                if owner != peer:
                    self.about[owner, peer] = Belief(1 + strength * p, 1 + strength * (1 - p)) if p else Belief()

    def observe(self, question: Question, before: Sequence[Opinion], now: Sequence[Opinion], hearsay: float) -> None:
        """Update every agent's beliefs from the answers before and after a round of talk.

        Agreement of the rest of the team with a peer counts as weak evidence of its competence (weight ``hearsay``):
        the right answer is not known here.
        """
        from shoal.tasks.answers import canonical

        old = {o.agent: canonical(question, o.answer) for o in before if o.answer is not None}
        new = {o.agent: canonical(question, o.answer) for o in now if o.answer is not None}
        for (owner, peer), belief in self.about.items():
            rest = [o for o in before if o.agent != peer]
            majority = tally(question, rest).answer
            if peer not in old or peer not in new or majority is None or owner not in self.names:
                continue
            belief.saw_outcome(float(old[peer] == majority), hearsay)
            if old[peer] != majority:
                did = "joined" if new[peer] == majority else "kept" if new[peer] == old[peer] else "other"
                belief.saw_behaviour(did)

    def saw_outcome(self, agent: str, right: bool) -> None:
        """Tell everyone that an answer of that agent turned out right or wrong."""
        for (_, peer), belief in self.about.items():
            if peer == agent:
                belief.saw_outcome(float(right))

    def weights(self) -> dict[str, float]:
        """Vote weights: log-odds of the competence that the others ascribe to an agent, at least a small one."""
        weights = {}
        for name in self.names:
            views = [belief.competence for (_, peer), belief in self.about.items() if peer == name]
            weights[name] = max(0.05, log_odds(sum(views) / len(views)))
        return weights


@protocol(
    "theory-of-mind",
    title="Agents keep beliefs about each other's competence and goals, read them, and weigh votes by them",
    vocabulary=Vocabulary(
        ("peers",), ("cooperation",), ("decentralized",), ("model-based",), ("beliefs", "weighted vote")
    ),
    agents=(2, 3, 16),
)
async def theory_of_mind(
    question: Question,
    agents: Sequence[Agent],
    session: Session,
    *,
    rounds: Rounds = 2,
    agreement: Agreement = 1.0,
    hearsay: Annotated[float, Field(ge=0, le=1, description="weight of agreement as evidence of competence")] = 0.5,
    topic: Annotated[str, Field(description="which known skill is the prior of a peer's competence")] = "",
) -> Outcome:
    """Talk over the full mesh in which each prompt shows what its reader believes about the speakers."""
    beliefs, names, post = Beliefs(agents, topic), [a.name for a in agents], Post(session)
    opinions = await ask_alone(question, agents, session)
    halt, held = Halt(agreement), 0
    reason = halt.reason(question, opinions)
    while not reason and held < rounds:
        for opinion in opinions:
            post.tell(opinion, names)
        calls = []
        for i, (agent, own) in enumerate(zip(agents, opinions, strict=True)):
            heard = post.read(agent.name)
            views = " ".join(beliefs.about[agent.name, s].describe(s) for s in dict.fromkeys(m.sender for m in heard))
            mine = f"You: Answer: {own.answer}" if own.answer is not None else ""
            calls.append(Call(agent, brief(question, i, lead=views, heard=heard, close=mine), own_and(own, heard)))
        after = stand_by(opinions, await poll(session, question, calls))
        beliefs.observe(question, opinions, after, hearsay)
        session.decide("team", "beliefs", [o.event for o in after], beliefs=_shown(beliefs))
        opinions, held = after, held + 1
        reason = halt.reason(question, opinions)
    return conclude(session, question, opinions, rounds=held, weights=beliefs.weights(), reason=reason or "rounds")


def _shown(beliefs: Beliefs) -> dict[str, object]:
    return {
        f"{owner} about {peer}": {
            "competence": [round(belief.alpha, 3), round(belief.beta, 3)],
            "goals": {goal: round(p, 4) for goal, p in belief.goals.items()},
        }
        for (owner, peer), belief in beliefs.about.items()
    }
