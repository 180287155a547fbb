"""Counterfactual replay: the same run up to one point, one thing changed there, the rest sampled anew k times.

What was said before the change is given back from the record, call by call, and checked against what is asked; what
comes after is asked of a model, with seeds that differ by sample and are the same with and without the change (common
random numbers). The effect of the change is the paired difference in the outcome.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from shoal.diagnosis.recording import Recording
from shoal.errors import BudgetExceeded, InputError, ModelError, UnknownName
from shoal.models.interface import Completion, Model, Request
from shoal.models.wrapper import ModelWrapper
from shoal.runs.seeds import derive
from shoal.stats import Estimate, exact, paired_difference
from shoal.stats import mean as mean_of
from shoal.tasks.problem import Question
from shoal.teams.agent import Agent
from shoal.teams.outcome import Outcome
from shoal.teams.session import Message, Session
from shoal.traces import Event, Trace, Usage

Run = Callable[[Question, Sequence[Agent], Session], Awaitable[Outcome]]
Score = Callable[[Outcome], float]


@dataclass
class Case:
    """A run that can be run again.

    Attributes:
        run: the team function, its options bound.
        question: what is worked on.
        agents: the team.
        model: what answers for agents without a model of their own: scripted, recorded or real.
        score: the outcome as a number, 1 for right and 0 for wrong in most cases.
        record: the trace of the run to replay; None runs it once and takes that.
        seed: the session's seed.
        temperature: the session's.
        max_tokens: the session's.
    """

    run: Run
    question: Question
    agents: Sequence[Agent]
    model: Model
    score: Score
    record: Trace | None = None
    seed: int = 0
    temperature: float = 0.0
    max_tokens: int = 256

    async def recorded(self) -> list[Event]:
        """The model calls of the record, in order; runs the case once if there is no record."""
        if self.record is None:
            trace = Recording("original")
            await work(self, self.agents, self._session(trace, self.model))
            self.record = trace.trace
        return self.record.of_kind("model.call", "model.failure")

    def _session(self, trace: Recording, model: Model) -> Session:
        return Session(
            model, self.question, trace=trace, seed=self.seed, temperature=self.temperature, max_tokens=self.max_tokens
        )


@dataclass(frozen=True)
class Change:
    """One thing that is made otherwise. Exactly one of reply, model and cut edge is given.

    Attributes:
        agent: whose reply, seat or outgoing edge it is.
        turn: number of the agent's call (from 0) at which the change begins; for a cut edge also of its message.
        reply: what it says there instead; an empty text for silence.
        model: who sits in its seat from there on.
        without: name of the agent that its messages no longer reach from there on.
    """

    agent: str
    turn: int = 0
    reply: str | None = None
    model: Model | None = None
    without: str | None = None

    def __post_init__(self) -> None:
        given = sum(x is not None for x in (self.reply, self.model, self.without))
        if given != 1:
            raise InputError("change", f"{given} changes", "Give exactly one of reply, model and without.")


@dataclass(frozen=True)
class Effect:
    """What a change did to the outcome.

    Attributes:
        difference: changed minus unchanged, paired by sample, with its 95% interval.
        changed: mean score with the change.
        unchanged: mean score when the same suffix is sampled without it.
        prefix: calls that were given back from the record in each sample.
        departed: calls before the change that asked something else than the record; 0 in an exact replay.
        answers: outcomes with the change, counted.
        failures: calls that the suffix's model could not answer ("not recorded" for recorded models), by kind.
    """

    difference: Estimate
    changed: Estimate
    unchanged: Estimate
    prefix: int
    departed: int
    answers: Mapping[str, int]
    failures: Mapping[str, int]


async def replay(case: Case, change: Change, samples: int = 10) -> Effect:
    """The effect of one change on the outcome of a run.

    Args:
        case: the run.
        change: what is made otherwise, and from where on the rest is sampled anew.
        samples: suffixes for each side.

    Raises:
        UnknownName: no such agent.
        InputError: the agent was not asked that often, or there are no samples.
    """
    if samples < 1:
        raise InputError("samples", samples, "Give at least 1.")
    calls = await case.recorded()
    cut = _cut(calls, change, [a.name for a in case.agents])
    sides: dict[bool, list[float]] = {True: [], False: []}
    answers: Counter[str] = Counter()
    failures: Counter[str] = Counter()
    departed = 0
    for sample in range(samples):
        for changed in (True, False):
            prefix = _Prefix(calls[:cut], calls[cut] if cut < len(calls) else None)
            outcome, session = await _sampled(case, prefix, change if changed else None, change, sample)
            sides[changed].append(case.score(outcome))
            departed = max(departed, prefix.departed)
            if changed:
                answers[str(outcome.answer)] += 1
                failures.update(session.failures)
    return Effect(
        paired_difference(sides[True], sides[False]) if samples > 1 else exact(sides[True][0] - sides[False][0], 1),
        mean_of(sides[True]) if samples > 1 else exact(sides[True][0], 1),
        mean_of(sides[False]) if samples > 1 else exact(sides[False][0], 1),
        cut, departed, dict(answers), dict(failures),
    )  # fmt: skip


async def rerun(case: Case, change: Change | None = None) -> tuple[Outcome, Trace]:
    """One run of a case and its trace: as it is, or its record up to one change and the rest anew.

    Raises:
        UnknownName: no such agent.
        InputError: the agent was not asked that often.
    """
    if change is None:
        trace = Recording("original")
        return await work(case, case.agents, case._session(trace, case.model)), trace.trace
    calls = await case.recorded()
    cut = _cut(calls, change, [a.name for a in case.agents])
    prefix = _Prefix(calls[:cut], calls[cut] if cut < len(calls) else None)
    outcome, session = await _sampled(case, prefix, change, change, 0)
    assert isinstance(session.trace, Recording)
    return outcome, session.trace.trace


def _cut(calls: Sequence[Event], change: Change, names: Sequence[str]) -> int:
    """Position of the call at which the change begins."""
    if change.agent not in names:
        raise UnknownName("agent to change", change.agent, names)
    if change.without is not None and change.without not in names:
        raise UnknownName("agent to cut off", change.without, names)
    own = [i for i, call in enumerate(calls) if call.agent == change.agent]
    if not 0 <= change.turn < max(1, len(own)):
        raise InputError("turn", change.turn, f"{change.agent} was asked {len(own)} times: give 0 to {len(own) - 1}.")
    return own[change.turn] if own else len(calls)


async def _sampled(
    case: Case, prefix: _Prefix, change: Change | None, place: Change, sample: int
) -> tuple[Outcome, Session]:  # fmt: skip
    def seat(model: Model) -> Model:
        return _Suffix(model, prefix, change, place, derive(case.seed, "suffix", sample))

    agents = [replace(a, model=seat(a.model)) if a.model is not None else a for a in case.agents]
    session = case._session(Recording(f"sample-{sample}"), seat(case.model))
    if change is not None and change.without is not None:
        sent = 0

        def cut_edge(message: Message) -> Message | None:
            nonlocal sent
            if message.sender != change.agent:
                return message
            sent += 1
            left = tuple(r for r in message.receivers if r != change.without)
            if sent <= change.turn or len(left) == len(message.receivers):
                return message
            return replace(message, receivers=left) if left else None

        session.channels.append(cut_edge)
    return await work(case, agents, session), session


async def work(case: Case, agents: Sequence[Agent], session: Session) -> Outcome:
    """Run a case with these agents in this session; a spent budget leaves no answer."""
    try:
        return await case.run(case.question, agents, session)
    except BudgetExceeded:
        return Outcome(None)


@dataclass
class _Prefix:
    """Recorded calls by agent and turn, and how far each agent has come in this sample."""

    calls: Sequence[Event]
    changed: Event | None
    departed: int = 0
    given: dict[tuple[str, int], Event] = field(default_factory=dict)
    turns: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        count: Counter[str] = Counter()
        for call in self.calls:
            self.given[(call.agent, count[call.agent])] = call
            count[call.agent] += 1

    def next(self, request: Request) -> tuple[int, Event | None]:
        """The agent's turn, and the recorded call if it lies before the change."""
        turn = self.turns[request.agent]
        self.turns[request.agent] += 1
        call = self.given.get((request.agent, turn))
        if call is not None and list(request.messages) != call.payload.get("prompt"):
            self.departed += 1
        return turn, call


class _Suffix(ModelWrapper):
    """Gives back what was recorded, makes the change, and asks the model for the rest with other seeds."""

    def __init__(self, model: Model, prefix: _Prefix, change: Change | None, place: Change, seed: int) -> None:
        super().__init__(model, f"replayed {seed}")
        self.prefix = prefix
        self.change = change
        self.place = place
        self.seed = seed

    async def complete(self, request: Request) -> Completion:
        """The recorded, the changed, or a freshly sampled reply."""
        turn, call = self.prefix.next(request)
        if call is not None:
            return _given_back(call)
        change = self.change
        if change is not None and request.agent == change.agent and turn >= change.turn:
            if change.reply is not None and turn == change.turn:
                return Completion(change.reply, self._worth(change.reply, request))
            if change.model is not None:
                return await change.model.complete(replace(request, seed=derive(self.seed, request.agent, turn)))
        at_place = request.agent == self.place.agent and turn == self.place.turn
        if change is None and at_place and self.place.reply is not None and self.prefix.changed is not None:
            return _given_back(self.prefix.changed)  # unchanged means: as recorded
        return await self.model.complete(replace(request, seed=derive(self.seed, request.agent, turn)))

    def _worth(self, reply: str, request: Request) -> Usage:
        """What a reply that nobody was asked for counts in budgets: as many tokens as if the model had given it."""
        recorded = self.prefix.changed.usage if self.prefix.changed is not None else None
        prompt = recorded.prompt_tokens if recorded else sum(self.count_tokens(m["content"]) for m in request.messages)
        return Usage(prompt, self.count_tokens(reply), calls=1, cached=1)


def _given_back(call: Event) -> Completion:
    if call.kind == "model.failure":
        raise ModelError(str(call.payload.get("failure", "error")), str(call.payload.get("error", "")))
    spent = call.usage or Usage(calls=1)
    usage = Usage(spent.prompt_tokens, spent.completion_tokens, spent.calls, spent.seconds, 0.0, spent.calls)
    return Completion(str(call.payload.get("text", "")), usage, str(call.payload.get("finish", "stop")))
