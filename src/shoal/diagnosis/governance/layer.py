"""The governance layer of "From Spark to Fire" (arXiv 2603.04474, section VI): nothing unproven passes as proven.

Each outgoing message is taken apart into claims (stage 1), each is labelled against what is confirmed (green, red,
yellow), unproven ones are verified as the mode asks (2, 3), and a message with a wrong claim goes back to its sender
with the reasons; after K refusals a circuit breaker drops what is wrong and lets the rest go, marked (4).

The layer does no reading or writing itself. It *asks* (for claims, labels, verdicts, a rewritten message) and a driver
answers: with rules at once (``rule``), or with a model and the sender, awaited (``review``). So one object serves as an
inspector of a session, inside a team that awaits it, and over a stored trace.
"""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Awaitable, Callable, Generator, Sequence
from dataclasses import dataclass, field
from typing import Any

from shoal.diagnosis.governance.claims import HIGH_RISK, UNSURE, Claim, Judgement, assembled, tagged
from shoal.diagnosis.governance.lineage import BRIEF, Lineage
from shoal.diagnosis.governance.policy import Policy, is_hub
from shoal.diagnosis.governance.staff import Rules, Staff
from shoal.diagnosis.watching import Stopped
from shoal.errors import InputError


@dataclass(frozen=True, slots=True)
class Package:
    """What goes back to the sender of a wrong message: what was rejected, why, and the order to rewrite."""

    sender: str
    text: str
    rejected: tuple[tuple[Claim, str], ...]

    @property
    def prompt(self) -> str:
        """The request to rewrite, in words."""
        reasons = "\n".join(f'- "{claim.text}": {why}' for claim, why in self.rejected)
        return (
            f"Your message was not delivered. These statements in it are contradicted:\n{reasons}\n"
            f"Your message was:\n{self.text}\n"
            "Write it again with these statements corrected or left out. Keep the rest. Reply with the message only."
        )


@dataclass(frozen=True, slots=True)
class Rewrite:
    """The layer asks the sender for another message."""

    package: Package


@dataclass(frozen=True, slots=True)
class Consult:
    """The layer asks its staff: the name of the method and its arguments."""

    what: str
    arguments: tuple[Any, ...]


Steps = Generator[Rewrite | Consult, Any, Any]


@dataclass(frozen=True, slots=True)
class Item:
    """A claim of a message with its label and what that rests on."""

    claim: Claim
    judgement: Judgement
    verified: bool = False


@dataclass(frozen=True, slots=True)
class Ruling:
    """What became of a message.

    Attributes:
        text: what is released, or None if it is held back.
        items: its claims as they were judged last.
        package: what goes back to the sender, where it is held back for a rewrite.
        attempts: how often it was judged.
        broken: whether the circuit breaker let the rest go.
    """

    text: str | None
    items: tuple[Item, ...]
    package: Package | None = None
    attempts: int = 1
    broken: bool = False

    def count(self, label: str) -> int:
        """Number of claims with that label."""
        return sum(item.judgement.label == label for item in self.items)


@dataclass
class Governance:
    """The layer over one run.

    Attributes:
        policy: mode and switches.
        staff: who takes messages apart, judges and verifies; its methods may be coroutines.
        lineage: all claims so far.
        counts: messages, consultations by kind, rewrites, blocked messages, dropped and tagged claims, retractions.
    """

    policy: Policy = field(default_factory=Policy)
    staff: Staff = field(default_factory=Rules)
    lineage: Lineage = field(default_factory=Lineage)
    counts: Counter[str] = field(default_factory=Counter)
    _receivers: dict[str, set[str]] = field(default_factory=dict)
    _strikes: Counter[str] = field(default_factory=Counter)
    _turns: Counter[str] = field(default_factory=Counter)

    def rule(
        self, sender: str, text: str, receivers: Sequence[str] = (), *, round: int | None = None,
        rewrite: Callable[[Package], str | None] = lambda package: None,
    ) -> Ruling:  # fmt: skip
        """Judge a message at once.

        Args:
            sender: whose it is.
            text: what it says.
            receivers: to whom.
            round: when; by default the number of messages that the sender has sent before.
            rewrite: the sender's next attempt, or None if it cannot be asked now: then the message is held back, and
                its next one counts as the next attempt.

        Raises:
            Stopped: the policy ends the run at a wrong claim.
            InputError: the staff works with a model; use ``review``.
        """
        steps, answer = self._passage(sender, text, tuple(receivers), round), None
        while True:
            try:
                ask = steps.send(answer)
            except StopIteration as end:
                return end.value  # type: ignore[no-any-return]
            answer = rewrite(ask.package) if isinstance(ask, Rewrite) else self._consult(ask)
            if inspect.iscoroutine(answer):
                answer.close()
                raise InputError("staff", type(self.staff).__name__, "It has to be awaited: use review or deliver.")

    async def review(
        self, sender: str, text: str, receivers: Sequence[str] = (), *, round: int | None = None,
        rewrite: Callable[[Package], Awaitable[str | None]] | None = None,
    ) -> Ruling:  # fmt: skip
        """The same for staff or senders that must be awaited."""
        steps, answer = self._passage(sender, text, tuple(receivers), round), None
        while True:
            try:
                ask = steps.send(answer)
            except StopIteration as end:
                return end.value  # type: ignore[no-any-return]
            if isinstance(ask, Rewrite):
                answer = await rewrite(ask.package) if rewrite is not None else None
            else:
                found = self._consult(ask)
                answer = await found if inspect.isawaitable(found) else found

    def _consult(self, ask: Consult) -> Any:
        self.counts[ask.what] += 1
        return getattr(self.staff, ask.what)(*ask.arguments)

    def _passage(self, sender: str, text: str, receivers: tuple[str, ...], round: int | None) -> Steps:
        """One message on its way through the four stages; returns the Ruling."""
        turn = self._turns[sender] if round is None else round
        self._turns[sender] += 1
        self._receivers.setdefault(sender, set()).update(receivers)
        self.counts["messages"] += 1
        attempts = 0
        while True:
            attempts += 1
            items = yield from self._examined(sender, text)
            red = [item for item in items if item.judgement.label == "red"]
            if not red or not self.policy.block:
                break
            self.counts["blocked"] += 1
            if self.policy.stop:
                wrong = red[0]
                raise Stopped(f"stopped by governance: {sender}: {wrong.claim.text!r}: {wrong.judgement.conflict}")
            if self._strikes[sender] >= self.policy.retries:
                return (yield from self._broken(sender, items, receivers, turn, attempts))
            self._strikes[sender] += 1
            self._enter(red, sender, receivers, turn, released=False)
            package = Package(sender, text, tuple((i.claim, i.judgement.conflict) for i in red))
            again = yield Rewrite(package)
            if again is None:
                return Ruling(None, tuple(items), package, attempts)
            self.counts["rewrites"] += 1
            text = again
        self._strikes[sender] = 0
        self._enter(items, sender, receivers, turn)
        return Ruling(self._released(text, items, UNSURE), tuple(items), None, attempts)

    def _examined(self, sender: str, text: str) -> Steps:
        """Stages 1 to 3: the message's claims, judged and, where the mode asks for it, verified."""
        claims: list[Claim] = yield Consult("decompose", (text,))
        if claims and not self.policy.atomise:
            claims = [Claim(text, "factual", tuple(dict.fromkeys(fact for c in claims for fact in c.facts)))]
        if not self.policy.detect:
            return [Item(claim, Judgement("yellow")) for claim in claims]
        judged: list[Judgement] = (yield Consult("judge", (claims, self.lineage))) if claims else []
        items = []
        for claim, judgement in zip(claims, judged, strict=True):
            before = self.lineage.rejected(claim)
            if before and judgement.label != "green":
                judgement = Judgement("red", before)
            verified = False
            if judgement.label == "yellow" and self._verifies(sender):
                verdict = yield Consult("verify", (claim, self.lineage))
                verified = verdict is True
                if verdict is not None:
                    judgement = Judgement("green") if verdict else Judgement("red", "the evidence says otherwise")
            items.append(Item(claim, judgement, verified))
        return items

    def _broken(
        self, sender: str, items: list[Item], receivers: tuple[str, ...], turn: int, attempts: int
    ) -> Steps:  # fmt: skip
        """The circuit breaker: appeals, then what is still wrong is dropped and the rest goes on, marked."""
        self._strikes[sender] = 0
        self.counts["broken"] += 1
        kept = []
        for item in items:
            if item.judgement.label == "red" and (yield from self._appealed(sender, item.claim)):
                item = Item(item.claim, Judgement("green"), True)
            kept.append(item)
        items = kept
        right = [item for item in items if item.judgement.label != "red"]
        wrong = [item for item in items if item.judgement.label == "red"]
        self.counts["dropped"] += len(wrong)
        self._enter(wrong, sender, receivers, turn, released=False)
        if self.policy.whole and wrong:
            return Ruling(None, tuple(items), None, attempts, broken=True)
        self._enter(right, sender, receivers, turn)
        text = self._released("", right, HIGH_RISK) if right else None
        return Ruling(text, tuple(items), None, attempts, broken=True)

    def _appealed(self, sender: str, claim: Claim) -> Steps:
        """Whether a claim wins against a rival that was confirmed by verification: that one is retracted then."""
        if not (self.policy.appeals and self._verifies(sender)):
            return False
        for subject, value in claim.facts:
            for rival in sorted(self.lineage.confirmed.get(subject, set()) - {value}):
                holders = self.lineage.holders((subject, rival))
                if not holders or any(n.evidence == BRIEF for n in holders):
                    continue
                stands = yield Consult("verify", (holders[0].claim, self.lineage))
                if stands is not True and (yield Consult("verify", (claim, self.lineage))) is True:
                    self.lineage.retract((subject, rival), f"{sender} appealed with {value!r}")
                    self.counts["retracted"] += 1
                    return True
        return False

    def _verifies(self, sender: str) -> bool:
        mode = self.policy.mode
        return mode == "strict" or (mode == "balanced" and is_hub(self.policy, sender, self._receivers))

    def _enter(
        self, items: Sequence[Item], sender: str, receivers: Sequence[str], turn: int, released: bool = True
    ) -> None:  # fmt: skip
        for item in items:
            node = self.lineage.add(item.claim, sender, turn, receivers, released)
            if item.judgement.label == "red":
                self.lineage.reject(node, item.judgement.conflict)
            elif item.judgement.label == "green":
                self.lineage.confirm(node, "verified" if item.verified else "entailed by what was confirmed")

    def _released(self, text: str, items: Sequence[Item], tag: str) -> str:
        """The message as it goes out: unchanged if all of it is proven or nothing is blocked, else marked."""
        unproven = [item for item in items if item.judgement.label == "yellow"]
        if not self.policy.block or (text and not unproven):
            return text
        self.counts["tagged"] += len(unproven)
        marks = [tag if item.judgement.label == "yellow" else "" for item in items]
        return assembled([tagged(item.claim, mark) for item, mark in zip(items, marks, strict=True)])
