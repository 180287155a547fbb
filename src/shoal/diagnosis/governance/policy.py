"""How strict the layer is: three modes, and the switches that its ablations and rivals need."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from shoal.errors import InputError, UnknownName

Mode = Literal["speed", "balanced", "strict"]
MODES: tuple[Mode, ...] = ("speed", "balanced", "strict")
HUB_ROLES = re.compile(
    r"aggregat|summari|decid|decision|manager|leader|lead\b|chief|coordinator|orchestrat|planner|judge|moderator|"
    r"editor|writer|boss|supervisor",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Policy:
    """What is looked at, and what is done about it.

    Attributes:
        mode: which unproven claims are verified: "speed" none (all are tagged), "balanced" those of hubs, "strict"
            all.
        retries: how often a message is sent back before the circuit breaker drops what is wrong in it.
        atomise: whether messages are taken apart into claims; without it a message is one claim.
        detect: whether claims are judged at all; without it every one stays unproven and is tagged.
        block: whether anything is held back or marked; without it findings are only noted.
        whole: hold back the whole message where one claim in it is wrong, also after the last retry.
        stop: end the run at the first wrong claim.
        appeals: let a claim that was rejected to the last have its rival verified again.
        hubs: names of hubs; without them, agents with a deciding role by their name, or with more receivers than usual.
    """

    mode: Mode = "balanced"
    retries: int = 2
    atomise: bool = True
    detect: bool = True
    block: bool = True
    whole: bool = False
    stop: bool = False
    appeals: bool = True
    hubs: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise InputError("mode", self.mode, f"Use one of {', '.join(MODES)}.")
        if self.retries < 0:
            raise InputError("retries", self.retries, "Give 0 or more.")


POLICIES: dict[str, Policy] = {
    "speed": Policy("speed"),
    "balanced": Policy("balanced"),
    "strict": Policy("strict"),
    "detect": Policy("strict", block=False),
    "whole": Policy("strict", whole=True),
    "stop": Policy("strict", stop=True),
    "not-atomised": Policy("strict", atomise=False),
    "not-detecting": Policy("strict", detect=False),
}
"""By the name given to ``--watch governance=NAME``; the last five are rivals and ablations."""


def find_policy(name: str) -> Policy:
    """The policy of that name. Raises UnknownName."""
    if name not in POLICIES:
        raise UnknownName("governance", name, POLICIES)
    return POLICIES[name]


def is_hub(policy: Policy, agent: str, receivers: dict[str, set[str]]) -> bool:
    """Whether an agent's word weighs more: named so, of a deciding role, or heard by more agents than usual.

    Args:
        policy: its ``hubs`` decide where there are any.
        agent: whose message it is.
        receivers: everybody each agent has sent to so far.
    """
    if policy.hubs:
        return agent in policy.hubs
    if HUB_ROLES.search(agent):
        return True
    sizes: Sequence[int] = [len(names) for names in receivers.values()]
    return len(receivers.get(agent, ())) > sum(sizes) / max(1, len(sizes)) > 0
