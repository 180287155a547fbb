"""The live team: plan chains, route every step by beacon and LinUCB, execute, vote, and learn when feedback comes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shoal.errors import BudgetExceeded, InputError
from shoal.models.interface import Embedder
from shoal.tasks.answers import canonical, extract, instruction
from shoal.tasks.problem import Question, tag
from shoal.teams.agent import Agent
from shoal.teams.outcome import Outcome
from shoal.teams.routing import beacon
from shoal.teams.routing.beacon import Bid, Candidate, NoAgentAvailable, SubTask
from shoal.teams.routing.chains import (
    Chain,
    ChainRun,
    StepRecord,
    agreement_reward,
    cost_aware_reward,
    direct_chains,
    plan_chains,
    step_reward,
    vote_over_chains,
    vote_within,
)
from shoal.teams.routing.router import PHASES, Phase, Router, RouterSettings
from shoal.teams.session import Reply, Session

ROUTER = "router"
"""The router's name in traces."""

MS_PER_TOKEN = 20.0
"""Latency is counted, not clocked: tokens of the reply times this, so that a replay routes as the first run did."""

DEFAULT_CHAINS = 3


SOLVE = "Solve the task."


@dataclass
class _Work:
    """One question in work: what all its chains share."""

    question: Question
    session: Session
    phase: Phase
    similarity: Sequence[float] | None
    used: dict[tuple[int, str], set[str]] = field(default_factory=dict)


@dataclass
class SymphonyTeam:
    """A pool of agents and the router that works it.

    One instance lives through the phases cold, learn and test of a run and carries what was learned. Feedback is a
    call of its own, ``feedback``, that comes after the answer: the team never sees the right answer.

    Attributes:
        agents: the pool.
        capabilities: what each agent says it can do, in the pool's order; empty texts make similarity unknown.
        settings: of the router.
        planners: agents that propose chains; none takes ``chains`` direct ones.
        chains: K, direct chains per question where there are no planners.
        embedder: compares questions with capabilities; None makes similarity unknown (0.5).
        costs: price of a call, in the pool's order; equal where none are given.
        router: what was learned.
        waiting: executed chains by question id, until their feedback comes.
    """

    agents: Sequence[Agent]
    capabilities: Sequence[str] = ()
    settings: RouterSettings = field(default_factory=RouterSettings)
    planners: Sequence[Agent] = ()
    chains: int = DEFAULT_CHAINS
    embedder: Embedder | None = None
    costs: Sequence[float] = ()
    router: Router = field(init=False)
    waiting: dict[str, tuple[Phase, list[ChainRun], str | None]] = field(init=False, default_factory=dict)
    _known: NDArray[np.float64] | None = field(init=False, default=None)
    _turn: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        for name in ("capabilities", "costs"):
            given = getattr(self, name)
            if given and len(given) != len(self.agents):
                raise InputError(name, len(given), f"Give one for each of the {len(self.agents)} agents, or none.")
        texts = self.capabilities or [""] * len(self.agents)
        costs = self.costs or [1.0] * len(self.agents)
        self.router = Router(
            [Candidate(a.name, text, cost) for a, text, cost in zip(self.agents, texts, costs, strict=True)],
            self.settings,
        )

    async def __call__(
        self, question: Question, session: Session, *, phase: Phase = "learn", chains: Sequence[Chain] = ()
    ) -> Outcome:
        """Answer one question; several may be in work at once.

        Args:
            question: the question.
            session: its session.
            phase: ``cold`` deals the question to one agent in turn; ``learn`` and ``test`` route it.
            chains: plans to execute; none lets the planners propose, or takes direct chains.

        Where no agent is available, or the budget ends, a chain fails and the others vote; if all fail, the answer is
        None and ``session.failures`` says why.
        """
        if phase not in PHASES:
            raise InputError("phase", phase, f"Choose one of {', '.join(PHASES)}.")
        plans = list(chains)
        if phase == "cold":
            plans = [Chain((SOLVE,))]
        elif not plans and self.planners:
            try:
                plans = await plan_chains(question, self.planners, session)
            except BudgetExceeded:
                session.failures["no plan"] += 1
        plans = plans or direct_chains(self.chains)
        similarity = await self._similarity(question)
        self.router.rest()
        work = _Work(question, session, phase, similarity)
        runs = await session.gather(*(self._run_chain(chain, work) for chain in plans))
        winner, score = vote_over_chains([r.answer for r in runs], [r.chain.weight for r in runs])
        parents = [step.event for run in runs for step in run.steps if step.event]
        event = session.decide(ROUTER, "vote over chains", parents, votes=score, winner=winner)
        self.waiting[question.id] = (phase, runs, winner)
        text = next((r.text for r in runs if r.answer == winner and winner is not None), "")
        return Outcome(winner, text, event, score)

    def feedback(self, question: Question, session: Session, grade: Callable[[str], bool] | None = None) -> int:
        """Delayed feedback on one answered question; returns the number of updates made.

        In the cold phase a reply earns 1 if it is well-formed, minus latency. In the learn phase, with ``grade``, a
        reply earns 1[right] minus cost; without it, the winner bonus minus latency if it won the vote, and only the
        latter if it lost: the vote rewards agreement. An agent is judged by its own answer in the last step of a
        chain, by the chain's in the steps before. In the test phase nothing is learned. The agents' latencies and
        reputations follow here too, so that a run does not depend on which reply came first.

        Args:
            question: as answered.
            session: where the rewards are recorded.
            grade: whether an answer was right.
        """
        phase, runs, winner = self.waiting.pop(question.id, ("test", [], None))
        updates = 0
        for run in runs:
            for step in run.steps:
                for i, (bid, took) in enumerate(zip(step.bids, step.latency_ms, strict=False)):
                    self.router.observe(bid, step.worked[i], took)
                    if phase != "test":
                        answer = step.answers[i] if step.answers else run.answer
                        reward, success = self._reward(phase, bid, step.worked[i], took, answer, winner, grade)
                        learned = self.router.learn(bid, step.task, reward, success)
                        updates += learned
                        session.trace.write("reward", bid.name, {"reward": reward, "learned": learned}, [step.event])
        return updates

    def _reward(
        self,
        phase: Phase,
        bid: Bid,
        worked: bool,
        took: float,
        answer: str | None,
        winner: str | None,
        grade: Callable[[str], bool] | None,
    ) -> tuple[float, float | None]:
        """The reward of one reply, and its success for the priors."""
        slow = float(beacon.latency_norm(took))
        if phase == "cold":
            reward = step_reward(worked, slow, self.settings.latency_weight)
            return reward, reward if self.settings.cold_priors else None
        if grade is not None:
            right = answer is not None and grade(answer)
            return cost_aware_reward(right, self.router.cost_norm(bid), slow, self.settings.cost_weight), float(right)
        won = answer is not None and answer == winner
        return agreement_reward(won, slow, self.settings.winner_bonus, self.settings.latency_weight), float(won)

    async def _run_chain(self, chain: Chain, work: _Work) -> ChainRun:
        run = ChainRun(chain)
        try:
            for position in range(len(chain.steps)):
                await self._run_step(run, position, work)
        except (NoAgentAvailable, BudgetExceeded) as error:
            run.failed = str(error)
            kind = "no agent available" if isinstance(error, NoAgentAvailable) else "budget"
            work.session.failures[kind] += 1
            work.session.decide(ROUTER, "failed step", reason=run.failed, step=len(run.steps))
        return run

    async def _run_step(self, run: ChainRun, position: int, work: _Work) -> None:
        """Route and execute one step; the text of an early step is what the next one starts from."""
        question, session = work.question, work.session
        requirement, last = run.chain.steps[position], position == len(run.chain.steps) - 1
        step = StepRecord(_sub_task(question, requirement))
        self._route(step, work, work.used.setdefault((position, requirement), set()))
        run.steps.append(step)
        prompt = _prompt(question, "" if len(run.chain.steps) == 1 else requirement, run.text, final=last)
        replies = await session.gather(
            *(self._ask(self.agents[b.agent], question, prompt, session, (step.event,), last) for b in step.bids)
        )
        for bid, (reply, answer) in zip(step.bids, replies, strict=True):
            step.worked.append(answer is not None)
            step.latency_ms.append(self._latency(bid, reply, session))
        if not last:
            run.text = next((answer for _, answer in replies if answer is not None), "")
            return
        step.answers = [None if answer is None else canonical(question, answer) for _, answer in replies]
        run.answer = vote_within(question, step.answers)
        texts = [
            r.text for (r, _), key in zip(replies, step.answers, strict=True) if key is not None and key == run.answer
        ]
        run.text = texts[0] if texts else ""

    def _route(self, step: StepRecord, work: _Work, taken: set[str]) -> None:
        """Send the beacon, log the bids, and fill the step with the chosen agents."""
        session, phase = work.session, work.phase
        call = session.send(ROUTER, [a.name for a in self.agents], f"beacon: {step.task.requirement}")
        bids = self.router.bids(step.task, work.similarity)
        answers = [
            session.trace.write(
                "message", bid.name, {"to": [ROUTER], "beacon": beacon.bid_record(bid)}, [call.event] if call else ()
            )
            for bid in bids
        ]
        session.messages += len(bids)
        if phase == "cold":
            step.bids.append(self.router.take(bids[self._turn % len(bids)]))
            self._turn += 1
        else:
            bid = self.router.choose(bids, phase, taken)
            step.bids.append(bid)
            while len(step.bids) < self.settings.samples:
                if self.settings.spread:
                    bid = self.router.choose(bids, phase, taken, [b.name for b in step.bids])
                step.bids.append(bid)
        taken.update(b.name for b in step.bids)
        step.event = session.decide(
            ROUTER,
            "route",
            answers,
            requirement=step.task.requirement,
            bucket=step.task.bucket,
            agents=[b.name for b in step.bids],
            phase=phase,
        )

    async def _ask(
        self,
        agent: Agent,
        question: Question,
        prompt: str,
        session: Session,
        parents: Sequence[str],
        final: bool = True,
    ) -> tuple[Reply, str | None]:
        """One answer, asked for once more if it cannot be read; an intermediate step's answer is its text."""
        reply = await session.ask(agent, prompt, parents=parents)
        answer = extract(question, reply.text) if final else (reply.text.strip() or None)
        if answer is None:
            session.failures["no answer"] += 1
            again = f"{prompt}\n\nYour last reply had no answer that can be read. {instruction(question)}"
            reply = await session.ask(agent, again if final else prompt, parents=(reply.event,))
            answer = extract(question, reply.text) if final else (reply.text.strip() or None)
        return reply, answer

    async def _similarity(self, question: Question) -> list[float] | None:
        """Cosine of the question's text with each capability text; None where it is unknown."""
        if self.embedder is None or not any(self.capabilities):
            return None
        if self._known is None:
            self._known = await self.embedder.embed(list(self.capabilities))
        asked = await self.embedder.embed([question.text])
        return [float(v) for v in self._known @ asked[0]]

    def _latency(self, bid: Bid, reply: Reply, session: Session) -> float:
        model = self.agents[bid.agent].model or session.model
        return MS_PER_TOKEN * model.count_tokens(reply.text)


def _sub_task(question: Question, requirement: str) -> SubTask:
    benchmark, difficulty = tag(question, "benchmark"), tag(question, "difficulty")
    return SubTask(requirement, str(benchmark or question.kind), str(difficulty or "unknown"))


def _prompt(question: Question, requirement: str, done: str, final: bool = True) -> str:
    parts = [question.text]
    if done:
        parts.append(f"Result of the step before:\n{done}")
    if requirement:
        parts.append(f"Your step: {requirement}")
    if final:
        parts.append(instruction(question))
    return "\n\n".join(parts)


def team_facts(team: SymphonyTeam) -> dict[str, Any]:
    """What the router believes, for reports: reputation by agent, estimated weights by feature, updates."""
    names = [*beacon.FEATURES, *(c.name for c in team.router.candidates if team.settings.identity)]
    return {
        "reputation": {c.name: s.reputation for c, s in zip(team.router.candidates, team.router.states, strict=True)},
        "theta": dict(zip(names, (float(v) for v in team.router.selector.theta), strict=True)),
        "updates": team.router.selector.updates,
    }
