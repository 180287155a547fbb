"""Learning by play against oneself as one is and as one was: seats, past copies of policies, and the trainer.

In every game one seat learns; the other is taken by the policy as it is, or by a past copy of it. Only the learner's
turns are noted, so nothing else is trained on.
"""

from __future__ import annotations

import asyncio
import copy
import threading
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shoal.models.causal.writing import recurring
from shoal.models.interface import Completion, Request
from shoal.posttrain.choosing import Known, PlayerModel
from shoal.posttrain.method import Batch
from shoal.posttrain.policies import Policy
from shoal.posttrain.rollouts import PolicyModel, Rollout, Seat, Seating, Turn
from shoal.posttrain.trainer import Trainer
from shoal.posttrain.training import Figures
from shoal.runs.seeds import derive, generator
from shoal.tasks.problem import Problem

Floats = NDArray[np.float64]


@dataclass
class Pool:
    """Past copies of policies.

    Attributes:
        size: copies kept of each policy; the oldest makes room.
        copies: by role, oldest first, values of all parameters by name.
        known: by role, what each copy has read; not kept in checkpoints, since reading it again gives the same.
    """

    size: int
    copies: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    known: dict[str, list[Known]] = field(default_factory=dict)
    _stand_ins: dict[str, Policy] = field(default_factory=dict)

    def keep(self, policy: Policy) -> None:
        """A copy of the policy as it is now."""
        own = self.copies.setdefault(policy.role, [])
        own.append({name: tensor.detach().clone() for name, tensor in policy.named_parameters()})
        read = self.known.setdefault(policy.role, [])
        read.append({})
        del own[: -self.size], read[: -self.size]

    def opponent(self, policy: Policy, number: int) -> Policy:
        """The policy as it was in a copy. There is one at a time for each role; nothing of it is ever trained."""
        import torch

        if policy.role not in self._stand_ins:
            self._stand_ins[policy.role] = stand_in(policy)
        past = self._stand_ins[policy.role]
        with torch.no_grad():
            values = self.copies[policy.role][number].values()
            for tensor, value in zip(past.parameters(), values, strict=True):
                tensor.copy_(value)
        return past

    def tensors(self) -> dict[str, Any]:
        """All copies, for a checkpoint."""
        return {
            f"pool/{role}/{number}/{name}": value
            for role, own in self.copies.items()
            for number, one in enumerate(own)
            for name, value in one.items()
        }

    def restore(self, tensors: Mapping[str, Any], policies: Sequence[Policy]) -> None:
        """Take up what ``tensors`` gave."""
        for policy in policies:
            names, own = [name for name, _ in policy.named_parameters()], list[dict[str, Any]]()
            while f"pool/{policy.role}/{len(own)}/{names[0]}" in tensors:
                own.append({name: tensors[f"pool/{policy.role}/{len(own)}/{name}"] for name in names})
            self.copies[policy.role], self.known[policy.role] = own, [{} for _ in own]


def stand_in(policy: Policy) -> Policy:
    """A policy of the same shape: another adapter on the same base, or another network where there are none."""
    import torch

    if policy.adapter is None:
        return replace(policy, network=copy.deepcopy(policy.network).requires_grad_(False), lock=threading.Lock())
    slot = f"past_{policy.adapter}"
    if slot in policy.network.peft_config:
        return replace(policy, adapter=slot)
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # peft asks transformers by a name that is about to change
        policy.network.add_adapter(slot, policy.network.peft_config[policy.adapter])
    policy.network.set_adapter(policy.adapter)
    return replace(policy, adapter=slot)


@dataclass
class Cast(Seating):
    """Who learns in each game of an update, and who sits opposite.

    Attributes:
        learners: name of the learning agent by problem; learners of a group are the same.
        policies: of the trained agents.
        past: past copies that are played against, by role, and what they have read.
        chance: of a game against the past.
        coin: root of the draws of such games.
    """

    learners: Mapping[str, str]
    policies: Mapping[str, Policy]
    past: Mapping[str, tuple[Policy, Known]]
    chance: float
    coin: int
    _models: dict[int, PlayerModel] = field(default_factory=dict)

    def seat(self, engine: PolicyModel, rollout: Rollout) -> Seat:
        """A seat that learns if it is the learner's."""
        problem = rollout.problem.question.id
        of_past = generator(self.coin, problem, rollout.sample).random() < self.chance
        rivals = {
            name: self.model(engine.order, *(self.past[policy.role] if of_past else (policy,)))
            for name, policy in self.policies.items()
        }
        own = self.model(engine.order, engine.policy)
        return PlayerSeat(own, rollout.turns, learner=self.learners[problem], rivals=rivals)

    def outside(self) -> float:
        """Share of the choices that free replies would not have made."""
        found = [chance for model in self._models.values() for chance in model.outside]
        return float(np.mean(found)) if found else 0.0

    def model(self, order: asyncio.Lock, policy: Policy, known: Known | None = None) -> PlayerModel:
        """One for each policy."""
        if id(policy) not in self._models:
            self._models[id(policy)] = PlayerModel(policy, order, known)
        return self._models[id(policy)]


@dataclass
class PlayerSeat(Seat):
    """A seat of a game: the learner's turns are noted, an opponent's are not.

    Attributes:
        learner: name of the agent that learns.
        rivals: models of the others.
    """

    learner: str = field(kw_only=True)
    rivals: Mapping[str, PlayerModel] = field(kw_only=True)

    async def complete(self, request: Request) -> Completion:
        """Answer as learner or as opponent."""
        if request.agent == self.learner:
            return await super().complete(request)
        return await self.rivals[request.agent].complete(request)


@dataclass
class SelfPlay(Trainer):
    """A trainer whose agents learn in turn by play against the other seat: a frozen model, a policy, or its past.

    Attributes:
        pool: past copies of the policies.
        past_chance: of a game against the past.
        store_every: updates between copies.
    """

    pool: Pool = field(kw_only=True)
    past_chance: float = field(kw_only=True, default=0.5)
    store_every: int = field(kw_only=True, default=10)
    _cast: Cast = field(init=False)

    def seating(self, problems: Sequence[Problem]) -> Seating:
        """Learners take turns by problem and update; past copies are drawn anew, one for each policy."""
        names = [agent.name for agent in self.agents if agent.name in self.policies]
        learners = {p.question.id: names[(i + self.updates) % len(names)] for i, p in enumerate(problems)}
        rng = generator(self.seed, "past", self.updates)
        past = {}
        for policy in self.distinct():
            number = int(rng.integers(len(self.pool.copies[policy.role])))
            past[policy.role] = self.pool.opponent(policy, number), self.pool.known[policy.role][number]
        self._cast = Cast(learners, self.policies, past, self.past_chance, derive(self.seed, "coin", self.updates))
        return self._cast

    def learn(self) -> Figures:
        """An update; now and then the policies it left are kept."""
        figures = super().learn()
        figures["outside"] = self._cast.outside()
        if (self.updates + 1) % self.store_every == 0:
            for policy in self.distinct():
                self.pool.keep(policy)
        return figures

    def _learn(
        self, policy: Policy, batch: Batch, rows: Sequence[int], gain: Floats, weight: Floats, rng: np.random.Generator
    ) -> Figures:
        """Turns with the same prompt and reply go through once, with their mean advantage and their number."""
        kept, mean, count = merged([batch.turns[i] for i in rows], gain, weight)
        return super()._learn(policy, batch, [rows[i] for i in kept], mean, count, rng)


def merged(turns: Sequence[Turn], gain: Floats, weight: Floats) -> tuple[list[int], Floats, Floats]:
    """Turns with different prompts or replies: the first of each, weighted mean of the gains, sum of the weights.

    Their gradient is that of all turns.
    """
    _, which = recurring([[*turn.prompt, -1, *turn.tokens] for turn in turns])
    first = np.unique(which, return_index=True)[1].tolist()
    count = np.bincount(which, weight).astype(float)
    return first, np.bincount(which, weight * gain) / np.maximum(count, 1e-12), count
