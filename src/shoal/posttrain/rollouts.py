"""Rollouts of any team with any mix of trainable and frozen seats.

A team does not know that it is being trained: a trainable agent's model is a seat that writes with its role's policy
and notes the tokens that it read and wrote. Only what it wrote is trained on: other agents' words are prompt, which
gets no gradient by construction, and what a tool gave in the middle of a reply is masked.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from shoal.errors import InputError
from shoal.models.causal.model import CausalModel
from shoal.models.causal.writing import Prompt, Written
from shoal.models.interface import ChatMessage, Completion, Model, Request
from shoal.models.tools import ANYTHING
from shoal.posttrain.policies import Policy
from shoal.runs.budget import Budget, Limits
from shoal.runs.seeds import derive
from shoal.stats import Evidence
from shoal.tasks.answers import extract
from shoal.tasks.problem import Problem
from shoal.teams.agent import Agent
from shoal.teams.evaluation import answer_one
from shoal.teams.outcome import Team
from shoal.teams.session import Session
from shoal.traces import TraceWriter

CONCURRENT = 256
"""Rollouts at the same time: what they ask together is written in one batch."""


@dataclass
class Turn:
    """One call of one trainable seat.

    Attributes:
        role: whose policy wrote.
        agent: name in the team.
        prompt: token ids read.
        tokens: token ids of the reply.
        logprobs: of each, when written.
        temperature: at which.
        ended: False if the reply was cut at its longest length.
        text: the reply in words.
        given: by token, whether a tool gave it, so that nothing is learned from it; empty where no tool was called.
        tools: names of the tools that it could call.
    """

    role: str
    agent: str
    prompt: list[int]
    tokens: list[int]
    logprobs: list[float]
    temperature: float
    ended: bool
    text: str
    given: list[bool] = field(default_factory=list)
    tools: list[str] = field(default_factory=list)

    @property
    def written(self) -> int:
        """Tokens of the seat's own."""
        return len(self.tokens) - sum(self.given)


@dataclass
class Rollout:
    """A team's work on one problem.

    Attributes:
        problem: what was worked on.
        sample: number among the rollouts of that problem.
        turns: of the trainable seats, in order.
        reward: of the team.
        answer: what it came to, or None.
        tokens: spent by all agents.
        stopped: why it ended early, or empty.
    """

    problem: Problem
    sample: int
    turns: list[Turn]
    reward: float = 0.0
    answer: str | None = None
    tokens: int = 0
    stopped: str = ""


Reward = Callable[[Problem, "Rollout"], float]
"""From a problem and a rollout (its reward not yet set) to the team's reward."""


def correctness(problem: Problem, rollout: Rollout) -> float:
    """1 for the right answer, else 0."""
    return float(problem.check(rollout.answer))


StepOutcomes = Callable[["Rollout"], Sequence[float]]
"""From a rollout to what each of its calls came to."""


def standing_answers(rollout: Rollout) -> list[float]:
    """For each call, 1 if the team would be right if it stopped after it, else 0.

    Replies are read as the team reads them. One without an answer leaves the last one that there was, so that a call
    which only comments is worth what was said before it; teams with verdicts need a rule of their own.
    """
    outcomes, right = list[float](), 0.0
    for turn in rollout.turns:
        answer = extract(rollout.problem.question, turn.text)
        right = right if answer is None else float(rollout.problem.check(answer))
        outcomes.append(right)
    return outcomes


class PolicyModel(CausalModel):
    """A policy as a model; all its rollouts write in common batches."""

    def __init__(self, policy: Policy, order: asyncio.Lock) -> None:
        name = f"policy:{policy.role}"
        super().__init__(name, policy.network, policy.tokenizer, Evidence.TRAINED, identity=name)
        self.policy, self.order = policy, order

    def write(self, prompts: Sequence[Prompt]) -> list[Written]:
        """With the role's adapter."""
        return self.policy.write(prompts)


@dataclass
class Seat(Model):
    """A trainable agent's model in one rollout: notes each turn.

    Attributes:
        engine: writes.
        turns: where turns are noted.
    """

    engine: PolicyModel
    turns: list[Turn]
    calls_tools: bool = field(init=False, default=True)
    spec: str = field(init=False)
    identity: str = field(init=False)
    evidence: Evidence = field(init=False, default=Evidence.TRAINED)
    context: int | None = field(init=False)

    def __post_init__(self) -> None:
        self.spec, self.identity, self.context = self.engine.spec, self.engine.identity, self.engine.context

    def count_tokens(self, text: str) -> int:
        """Exactly."""
        return self.engine.count_tokens(text)

    def count_prompt(self, messages: Sequence[ChatMessage]) -> int:
        """Exactly."""
        return self.engine.count_prompt(messages)

    async def complete(self, request: Request) -> Completion:
        """Answer and note it."""
        completion, turn = await self.write(request)
        self.turns.append(turn)
        return completion

    async def write(self, request: Request) -> tuple[Completion, Turn]:
        """An answer, and the turn to be noted."""
        prompt, written, completion = await self.engine.written(request)
        turn = Turn(
            self.engine.policy.role, request.agent, list(prompt.ids), list(written.tokens), list(written.logprobs),
            request.temperature, written.ended, completion.text, list(written.given),
            [tool.name for tool in request.tools if tool.name != ANYTHING],
        )  # fmt: skip
        return completion, turn


class Seating:
    """Which seats a rollout's trained agents get, and the root of its sampling seeds."""

    def seat(self, engine: PolicyModel, rollout: Rollout) -> Seat:
        """A seat that notes its turns in the rollout."""
        return Seat(engine, rollout.turns)

    def seed(self, root: int, problem: Problem, sample: int) -> int:
        """Another one for each rollout."""
        return derive(root, problem.question.id, sample)


def roll_out(
    team: Team,
    agents: Sequence[Agent],
    problems: Sequence[Problem],
    policies: Mapping[str, Policy],
    *,
    group: int = 1,
    seed: int = 0,
    temperature: float = 1.0,
    max_tokens: int = 64,
    frozen: Model | None = None,
    reward: Reward = correctness,
    trace: TraceWriter | None = None,
    limits: Limits | None = None,
    seating: Seating | None = None,
) -> list[Rollout]:
    """Let the team work on each problem ``group`` times.

    Args:
        team: any team function.
        agents: its agents; those named in ``policies`` are trainable seats, others keep their own model.
        problems: what to work on; the team sees the questions only.
        policies: by agent name.
        group: rollouts of each problem.
        seed: root of the sampling seeds.
        temperature: of agents that set none.
        max_tokens: longest reply of agents that set none.
        frozen: model of the agents that are not trainable and have none of their own.
        reward: of the team.
        trace: where events go.
        limits: hard budget of each rollout.
        seating: other seats for trained agents than ordinary ones.

    Returns rollouts of the first problem, then of the next, ...

    Raises:
        InputError: no trainable seat, or a frozen agent without a model.
    """
    check_seats(agents, policies, frozen)
    return asyncio.run(
        _roll_out(
            team, agents, problems, policies, group, seed, temperature, max_tokens, frozen, reward,
            trace or TraceWriter(None, "rollouts"), limits, seating or Seating(),
        )
    )  # fmt: skip


def check_seats(agents: Sequence[Agent], policies: Mapping[str, Policy], frozen: Model | None) -> None:
    """Every agent has a policy or a model, and one at least has a policy."""
    names = [agent.name for agent in agents]
    strangers = sorted(set(policies) - set(names))
    if strangers:
        raise InputError("--train", strangers[0], f"The team has no such agent; it has {', '.join(names)}.")
    if not set(names) & set(policies):
        raise InputError("team", ", ".join(names), "None of its agents is trainable; name one in --train.")
    lonely = [a.name for a in agents if a.name not in policies and a.model is None]
    if lonely and frozen is None:
        raise InputError("team", lonely[0], "This agent is not trained and has no model; give --frozen.")


async def _roll_out(
    team: Team,
    agents: Sequence[Agent],
    problems: Sequence[Problem],
    policies: Mapping[str, Policy],
    group: int,
    seed: int,
    temperature: float,
    max_tokens: int,
    frozen: Model | None,
    reward: Reward,
    trace: TraceWriter,
    limits: Limits | None,
    seating: Seating,
) -> list[Rollout]:
    order = asyncio.Lock()  # one batch at a time, so that batches, and so rounding, are the same in every run
    engines = {id(policy): PolicyModel(policy, order) for policy in policies.values()}
    for model in (frozen, *(agent.model for agent in agents)):
        if isinstance(model, CausalModel):
            model.order = order
    gate = asyncio.Semaphore(CONCURRENT)
    spare = frozen or next(iter(engines.values()))

    async def one(problem: Problem, sample: int) -> Rollout:
        rollout = Rollout(problem, sample, [])
        seated = [
            replace(a, model=seating.seat(engines[id(policies[a.name])], rollout)) if a.name in policies else a
            for a in agents
        ]
        session = Session(
            model=spare, question=problem.question, trace=trace, budget=Budget(limits),
            seed=seating.seed(seed, problem, sample), temperature=temperature, max_tokens=max_tokens,
        )  # fmt: skip
        async with gate:
            answered = await answer_one(team, seated, problem, session, "rollout")
        rollout.answer, rollout.stopped = answered.outcome.answer, answered.stopped
        rollout.tokens = answered.usage.tokens
        rollout.reward = float(reward(problem, rollout))
        return rollout

    return list(await asyncio.gather(*(one(p, sample) for p in problems for sample in range(group))))
