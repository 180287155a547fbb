"""Synthetic teams under attack: agents that hold propositions, pass a falsehood on with beta and mend with delta.

Everybody knows the key (a constraint of the task) and one fact of its own; in each round everybody tells its
neighbours all it holds. One agent is made to believe a false key. Packaging multiplies beta and divides delta. The
artefact is what the deciding agent says in the end. Claims are structured, so they are taken apart exactly; what can
go wrong in the layer is its judge and its verifier, with error rates that are set here.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from shoal.diagnosis.contagion.graphs import topology
from shoal.diagnosis.governance import claims as rules
from shoal.diagnosis.governance.attacks import Attack
from shoal.diagnosis.governance.claims import Claim, Judgement
from shoal.diagnosis.governance.layer import Governance, Package
from shoal.diagnosis.governance.lineage import BRIEF, Lineage
from shoal.diagnosis.governance.policy import Policy
from shoal.diagnosis.watching import Stopped
from shoal.runs.seeds import derive

KEY, TRUE, FALSE = "key", "417", "993"
_PART = re.compile(r"(\[[^\]]*\] )?(\w+)=(\w+)")
PER_FACT, PER_PROMPT, PER_JUDGEMENT, PER_VERIFICATION = 8, 60, 20, 250
"""Tokens that a stated fact, the frame of a prompt, a label and a verification (retrieval and judge) cost."""


@dataclass(frozen=True, slots=True)
class Reliability:
    """How good the layer's judge and verifier are.

    Attributes:
        miss: chance that the judge does not see a contradiction with what is confirmed.
        false_alarm: chance that it sees one where there is none.
        false_accept: chance that the verifier takes a false claim for true.
        false_reject: chance that it takes a true claim for false.
        unresolved: chance that it comes to no verdict.
    """

    miss: float = 0.05
    false_alarm: float = 0.01
    false_accept: float = 0.05
    false_reject: float = 0.05
    unresolved: float = 0.1


COIN = Reliability(false_accept=0.5, false_reject=0.5, unresolved=0.0)
"""A verifier that tosses a coin."""


@dataclass(frozen=True, slots=True)
class Team:
    """A synthetic team and its weaknesses.

    Attributes:
        topology: "chain", "star" or "mesh".
        agents: how many.
        rounds: of talk before the artefact.
        beta: chance to take a plain falsehood over, per message.
        delta: chance to mend it, per round.
        comply: chance that a sender mends what was sent back.
        discount: by what factor a tag lowers the chance that a falsehood is taken over.
        usable: share of the team's facts that a usable artefact states.
    """

    topology: str = "star"
    agents: int = 6
    rounds: int = 8
    beta: float = 0.15
    delta: float = 0.6
    comply: float = 0.7
    discount: float = 0.5
    usable: float = 0.8

    @property
    def decider(self) -> int:
        """Who writes the artefact: the hub of a star, the end of a chain, the last of a mesh."""
        return 0 if self.topology == "star" else self.agents - 1


@dataclass
class Defence:
    """What stands against the falsehood.

    Attributes:
        name: as in tables.
        policy: the layer's policy; None for no layer.
        reflects: whether agents check themselves once more before they speak.
    """

    name: str
    policy: Policy | None = None
    reflects: bool = False


@dataclass
class Played:
    """One run of a team.

    Attributes:
        infected: whether the artefact holds the falsehood.
        complete: whether the artefact states enough of the team's true facts to be of use.
        tokens: what agents and layer cost together.
        states: who believed the falsehood when [rounds + 1, agents].
        governance: the layer, where there was one.
        stopped: whether the run was ended.
    """

    infected: bool
    complete: bool
    tokens: int
    states: NDArray[np.bool_]
    governance: Governance | None = None
    stopped: bool = False

    @property
    def safe(self) -> bool:
        """Safe completion: the falsehood was kept out of a usable artefact."""
        return self.complete and not self.infected


@dataclass
class Luck:
    """The draws of one run, shared by all defences."""

    adopt: NDArray[np.float64]
    mend: NDArray[np.float64]
    reflect: NDArray[np.float64]
    comply: NDArray[np.float64]
    seed: int


def luck(team: Team, seed: int) -> Luck:
    """Draw everything that chance decides in a run of that team."""
    rng = np.random.default_rng(derive(seed, "team"))
    shape = (team.rounds + 1, team.agents)
    return Luck(
        rng.random((*shape, team.agents)), rng.random(shape), rng.random(shape), rng.random((*shape, 8)), seed
    )  # fmt: skip


class ErringStaff:
    """Exact decomposition; a judge and a verifier that err at known rates, the same way on the same claim and speaker.

    A message that is not taken apart is looked at once as a whole: of its m facts each must be read right, so every
    rate of error e becomes 1 - (1 - e)^m.
    """

    def __init__(self, reliability: Reliability, truth: dict[str, str], seed: int) -> None:
        self.reliability = reliability
        self.truth = truth
        self.seed = seed
        self.tokens = 0
        self._verified = 0

    def decompose(self, text: str) -> list[Claim]:
        """One claim for each fact stated."""
        self.tokens += 2 * PER_FACT * text.count("=") + PER_PROMPT
        return [Claim(f"{subject}={value}", "factual", ((subject, value),)) for _, subject, value in read(text)]

    def judge(self, claims: Sequence[Claim], lineage: Lineage) -> list[Judgement]:
        """Labels by confirmed values, with misses and false alarms."""
        self.tokens += PER_PROMPT + PER_JUDGEMENT * len(claims)
        return [self._label(claim, lineage) for claim in claims]

    def verify(self, claim: Claim, lineage: Lineage) -> bool | None:
        """The truth, with errors; a fresh draw each time it is asked."""
        self.tokens += PER_VERIFICATION
        self._verified += 1
        r, right = self.reliability, all(self.truth.get(s) == v for s, v in claim.facts)
        if self._draw("resolved", claim.key, self._verified) < r.unresolved:
            return None
        error = _of_many(r.false_reject if right else r.false_accept, claim)
        return right != (self._draw("verdict", claim.key, self._verified) < error)

    def _label(self, claim: Claim, lineage: Lineage) -> Judgement:
        exact = rules.judge(claim, lineage.confirmed, lineage.said)
        draw = self._draw("judge", claim.key, 0)
        if exact.label == "red":
            return Judgement("yellow") if draw < _of_many(self.reliability.miss, claim) else exact
        alarmed = draw < _of_many(self.reliability.false_alarm, claim)
        return Judgement("red", "taken for a contradiction") if alarmed else exact

    def _draw(self, *names: str | int) -> float:
        return derive(self.seed, *names) / 2**63


def _of_many(error: float, claim: Claim) -> float:
    """Chance of an error on a claim of several facts."""
    return float(1 - (1 - error) ** len(claim.facts))


def read(text: str) -> list[tuple[str, str, str]]:
    """Tag, subject and value of each fact that a message states."""
    return _PART.findall(text)


def play(
    team: Team, attack: Attack | None, defence: Defence, draws: Luck, *,
    reliability: Reliability | None = None, briefed: bool = True,
) -> Played:  # fmt: skip
    """Let a team work under attack.

    Args:
        team: who.
        attack: how the falsehood is packaged; None for no falsehood.
        defence: what stands against it.
        draws: the run's luck.
        reliability: of judge and verifier.
        briefed: whether the layer knows the key from the task.
    """
    return _Run(team, attack, defence, draws, reliability or Reliability(), briefed).play()


@dataclass
class _Run:
    team: Team
    attack: Attack | None
    defence: Defence
    luck: Luck
    reliability: Reliability
    briefed: bool
    tokens: int = 0
    beliefs: list[dict[str, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        team = self.team
        self.hears = topology(team.topology, team.agents).toarray().astype(bool)
        self.truth = {KEY: TRUE, **{f"fact{i}": str(100 + i) for i in range(team.agents)}}
        self.beliefs = [{KEY: TRUE, f"fact{i}": str(100 + i)} for i in range(team.agents)]
        if self.attack is not None:
            self.beliefs[0][KEY] = FALSE
        self.withheld: list[set[str]] = [set() for _ in range(team.agents)]
        self.beta = min(1.0, team.beta * (self.attack.urge if self.attack else 1.0))
        self.delta = team.delta / (self.attack.hold if self.attack else 1.0)
        self.staff = ErringStaff(self.reliability, self.truth, self.luck.seed)
        self.layer: Governance | None = None
        if self.defence.policy is not None:
            self.layer = Governance(replace(self.defence.policy, hubs=(f"a{team.decider}",)), self.staff)
            self.layer.lineage.meet(*(f"a{i}" for i in range(team.agents)))
            if self.briefed:
                given = Claim(f"{KEY}={TRUE}", "faithfulness", ((KEY, TRUE),))
                self.layer.lineage.confirm(self.layer.lineage.add(given, BRIEF, 0), BRIEF)

    def play(self) -> Played:
        """All rounds, then the artefact."""
        states = np.zeros((self.team.rounds + 1, self.team.agents), bool)
        states[0] = self._infected()
        try:
            for t in range(self.team.rounds):
                self._round(t)
                states[t + 1] = self._infected()
            artefact = self._message(self.team.rounds, self.team.decider)
        except Stopped:
            return Played(False, False, self._spent(), states, self.layer, stopped=True)
        said = {subject: value for _, subject, value in read(artefact or "")}
        facts = [s for s in self.truth if s != KEY]
        share = sum(said.get(s) == self.truth[s] for s in facts) / len(facts)
        return Played(said.get(KEY) == FALSE, share >= self.team.usable, self._spent(), states, self.layer)

    def _round(self, t: int) -> None:
        """Everybody speaks, then everybody takes over, learns and mends at once."""
        messages = [self._message(t, i) for i in range(self.team.agents)]
        infected = self._infected()
        for i, beliefs in enumerate(self.beliefs):
            if infected[i] and self.luck.mend[t, i] < self.delta:
                beliefs[KEY] = TRUE
            for j in np.flatnonzero(self.hears[i]):
                for tag, subject, value in read(messages[j] or ""):
                    if subject != KEY:
                        beliefs.setdefault(subject, value)
                    elif value == FALSE and not infected[i]:
                        chance = self.beta * (self.team.discount if tag else 1.0)
                        if self.luck.adopt[t, i, j] < chance:
                            beliefs[KEY] = FALSE

    def _message(self, t: int, i: int) -> str | None:
        """What an agent says, as far as it gets through."""
        beliefs = self.beliefs[i]
        calls = 1
        if self.defence.reflects:
            calls = 2
            if beliefs[KEY] == FALSE and self.luck.reflect[t, i] < self.delta:
                beliefs[KEY] = TRUE
        text = self._words(i)
        self.tokens += calls * (PER_PROMPT + 2 * PER_FACT * len(beliefs))
        if self.layer is None:
            return text
        attempt = 0

        def rewrite(package: Package) -> str:
            nonlocal attempt, text
            attempt += 1
            self.tokens += PER_PROMPT + 2 * PER_FACT * len(beliefs)
            if self.luck.comply[t, i, attempt % 8] < self.team.comply:
                refused = {fact for claim, _ in package.rejected for fact in claim.facts}
                if (KEY, FALSE) in refused:
                    beliefs[KEY] = TRUE  # it remembers what the task says
                self.withheld[i] |= {subject for subject, _ in refused if (KEY, FALSE) not in refused}
                text = self._words(i)
            return text

        receivers = [f"a{j}" for j in np.flatnonzero(self.hears[:, i])]
        return self.layer.rule(f"a{i}", text, receivers, round=t, rewrite=rewrite).text

    def _words(self, i: int) -> str:
        """All that an agent holds and has not been told to leave out."""
        return "; ".join(f"{s}={v}" for s, v in self.beliefs[i].items() if s not in self.withheld[i])

    def _infected(self) -> NDArray[np.bool_]:
        return np.array([beliefs[KEY] == FALSE for beliefs in self.beliefs])

    def _spent(self) -> int:
        return self.tokens + self.staff.tokens
