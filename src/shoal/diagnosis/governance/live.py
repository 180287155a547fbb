"""The layer at work while a team is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from shoal.diagnosis.governance.layer import Governance, Package, Ruling
from shoal.diagnosis.governance.policy import POLICIES, find_policy
from shoal.diagnosis.watching import Stopped, Watch
from shoal.errors import InputError
from shoal.teams.agent import Agent
from shoal.teams.session import Message, Session


def attach(governance: Governance, session: Session) -> Governance:
    """Put the layer between the agents of a session, as an inspector; the question counts as confirmed.

    A message that is sent back is held; its reasons stand before the sender's next prompt, and what it sends then
    counts as the next attempt. Works with every team, because no agent and no way between agents is changed.
    """
    if session.question is not None:
        governance.lineage.confirm_brief(session.question.text)
    session.inspectors.append(partial(_inspect, governance, session))
    return governance


def _inspect(governance: Governance, session: Session, message: Message) -> Message | None:
    try:
        ruling = governance.rule(message.sender, message.content, message.receivers)
    except Stopped as end:
        session.trace.write("alarm", message.sender, {"detector": "governance", "evidence": str(end)})
        raise
    _record(session, message.sender, ruling)
    if ruling.package is not None:
        session.notices.setdefault(message.sender, []).append(ruling.package.prompt)
    return None if ruling.text is None else replace(message, content=ruling.text)


async def deliver(
    governance: Governance, session: Session, agent: Agent, receivers: Sequence[str], text: str,
    parents: Sequence[str] = (),
) -> Message | None:  # fmt: skip
    """Send a message through the layer, for teams that wait for it: its sender is asked to rewrite at once.

    Returns what was delivered, or None. The model's calls for rewriting count against the session's budget.
    """
    made_from = list(parents)

    async def rewrite(package: Package) -> str | None:
        reply = await session.ask(agent, package.prompt, parents=made_from)
        made_from.append(reply.event)
        return None if reply.failed else reply.text

    ruling = await governance.review(agent.name, text, receivers, rewrite=rewrite)
    _record(session, agent.name, ruling)
    if ruling.text is None:
        session.trace.write("message.dropped", agent.name, {"to": list(receivers), "content": text}, made_from)
        return None
    return session.send(agent.name, receivers, ruling.text, made_from)


def _record(session: Session, sender: str, ruling: Ruling) -> None:
    """Write a ruling to the trace, unless everything passed untouched."""
    if ruling.count("green") == len(ruling.items):
        return
    facts: dict[str, Any] = {label: ruling.count(label) for label in ("green", "yellow", "red")}
    facts |= {"released": ruling.text is not None, "attempts": ruling.attempts, "broken": ruling.broken}
    facts["rejected"] = [[i.claim.text, i.judgement.conflict] for i in ruling.items if i.judgement.label == "red"]
    session.trace.write("governance", sender, facts)


def open_watch(spec: str) -> Callable[[Session], object]:
    """What may stand between the agents of a team, by name.

    Args:
        spec: "flag", "block" or "stop" (detectors), or "governance=MODE" (this layer: speed, balanced, strict, ...).

    Returns:
        A function that puts it into a session.

    Raises:
        InputError, UnknownName: nothing of that name.
    """
    kind, _, mode = spec.partition("=")
    if kind == "governance":
        policy = find_policy(mode or "balanced")
        return lambda session: attach(Governance(policy), session)
    if spec not in ("flag", "block", "stop"):
        known = ", ".join(f"governance={name}" for name in POLICIES)
        raise InputError("--watch", spec, f"Use flag, block, stop, or one of {known}.")
    return lambda session: Watch(spec).attach(session)  # type: ignore[arg-type]
