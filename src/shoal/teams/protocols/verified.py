"""Work that a verifier sends back or lets through: the two orchestrations of Dr. MAS (arXiv 2602.08847, section 5)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated

from pydantic import Field

from shoal.runs.study import Vocabulary
from shoal.tasks.generated.facts import base_of
from shoal.tasks.problem import Question
from shoal.teams.agent import Agent
from shoal.teams.outcome import Outcome
from shoal.teams.protocols.aggregation import Opinion, conclude
from shoal.teams.protocols.asking import Call, Post, brief, own_and, poll
from shoal.teams.protocols.registration import protocol
from shoal.teams.session import Message, Session

SOLVER_LEAD = "Solve this. If a verifier refused an attempt below, mend it."
VERIFIER_LEAD = "Check the last attempt below."
VERDICT = "End with the word approve or the word reject."
ROUTER_LEAD = "Can this be answered from what has been found?"
ROUTE = "End with the word yes or the word no."
SEARCH_LEAD = "Write one search query for what is missing."
FOUND = 160
"""Characters of what a search gives that are kept."""


@protocol(
    "solve-check",
    title="A solver answers, a verifier approves or rejects, the solver tries again; the last attempt is not checked",
    vocabulary=Vocabulary(("solver", "verifier"), ("cooperation",), ("decentralized",), ("role-based",), ("loop",)),
    agents=(2, 2, 2),
    unfinished="last",
)
async def solve_check(
    question: Question,
    agents: Sequence[Agent],
    session: Session,
    *,
    rounds: Annotated[int, Field(ge=1, le=10, description="attempts; the last is not checked")] = 2,
) -> Outcome:
    """The orchestration for mathematics: a reply of the verifier without a verdict approves."""
    solver, verifier = agents
    post, heard, last = Post(session), list[Message](), list[Opinion]()
    for attempt in range(rounds):
        prompt = brief(question, 0, lead=SOLVER_LEAD if heard else "", heard=heard)
        tried = (await poll(session, question, [Call(solver, prompt, own_and(None, heard))]))[0]
        last = [tried] if tried.answer is not None else last
        if attempt + 1 == rounds:
            break
        message = post.tell(tried, [verifier.name])
        if message is None:
            continue
        heard = [*heard, Message(solver.name, (solver.name,), message.content, message.event)]
        seen = post.read(verifier.name)
        prompt = brief(question, 1, lead=VERIFIER_LEAD, heard=seen, close=VERDICT, answer=False)
        verdict = (await poll(session, question, [Call(verifier, prompt, own_and(None, seen))], answer=False))[0]
        if last_word(verdict.text, ("approve", "reject")) != "reject":
            break
        post.tell(verdict, [solver.name])
        heard += post.read(solver.name)
    return conclude(session, question, last, rounds=attempt + 1, what="last attempt")


@protocol(
    "search-loop",
    title="A verifier asks whether enough is known: no has a searcher search, yes has an answerer answer",
    vocabulary=Vocabulary(
        ("verifier", "search", "answer"), ("cooperation",), ("hierarchical",), ("role-based",), ("loop", "routing")
    ),
    agents=(3, 3, 3),
)
async def search_loop(
    question: Question,
    agents: Sequence[Agent],
    session: Session,
    *,
    turns: Annotated[int, Field(ge=1, le=16, description="times the verifier is asked")] = 4,
) -> Outcome:
    """The orchestration for search; still "no" at the last turn means no answer. Pages are those of the task ``facts``.

    A reply of the verifier without a verdict is a no, unless it answers the question already.
    """
    from shoal.tasks.answers import extract

    verifier, searcher, answerer = agents
    base, found = base_of(question), list[Message]()
    opinions, held = list[Opinion](), 0
    for _ in range(turns):
        prompt = brief(question, 0, lead=ROUTER_LEAD, heard=found, close=ROUTE, answer=False)
        route = (await poll(session, question, [Call(verifier, prompt, own_and(None, found))], answer=False))[0]
        said = last_word(route.text, ("yes", "no"))
        held += 1
        if said == "yes" or (said is None and extract(question, route.text) is not None):
            prompt = brief(question, 2, heard=found)
            call = Call(answerer, prompt, (*own_and(None, found), route.event))
            opinions = await poll(session, question, [call])
            break
        prompt = brief(question, 1, lead=SEARCH_LEAD, heard=found, answer=False)
        call = Call(searcher, prompt, (*own_and(None, found), route.event))
        query = (await poll(session, question, [call], answer=False))[0]
        try:
            pages = "; ".join(f"{title}: {base.visit(title)}" for title in base.search(query.text))
        except ValueError as nothing:
            pages = str(nothing)
        readers = [verifier.name, answerer.name]
        message = session.send(searcher.name, readers, f"{' '.join(query.text.split())[:FOUND]} -> {pages[:FOUND]}",
                               (query.event,))  # fmt: skip
        found += [message] if message is not None else []
    if not opinions:
        session.failures["no answer"] += 1
    return conclude(session, question, [o for o in opinions if o.answer is not None], rounds=held, what="answer")


def last_word(text: str, words: Sequence[str]) -> str | None:
    """The one of some words that comes last in a text, or None."""
    said = [word for word in re.findall(r"[a-z]+", text.lower()) if word in words]
    return said[-1] if said else None
