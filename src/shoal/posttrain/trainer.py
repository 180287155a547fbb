"""The trainer: rollouts, credit, advantages, a step of each role's policy. Methods state only what differs.

An update's randomness comes from the root seed and the update's number alone, and batches are written in a fixed order,
so a training that is resumed gives the numbers of one that was never stopped.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from shoal.posttrain.losses import averaged, kl_estimate, log_ratios
from shoal.posttrain.method import Batch, Method
from shoal.posttrain.policies import Policy
from shoal.posttrain.rollouts import Rollout, Seating, roll_out
from shoal.posttrain.training import CHECKPOINT, METRICS, Figures, LossNotFinite, Training
from shoal.runs.seeds import derive
from shoal.tasks.problem import Problem

__all__ = ["CHECKPOINT", "METRICS", "Figures", "LossNotFinite", "Trainer"]

UPDATES = 50
"""Of a training where nothing else is said."""


@dataclass
class Trainer(Training):
    """A team that learns from its own rollouts.

    In the history ``tokens`` were written by trained seats, ``spent`` read and written by all.
    """

    method: Method

    curves: ClassVar[tuple[str, ...]] = ("reward", "grad_norm", "entropy", "kl")

    def __post_init__(self) -> None:
        super().__post_init__()
        self.method.prepare(self.policies)

    def length(self, wanted: int | None = None) -> int:
        """As many as are asked for; there is no end by itself."""
        return UPDATES if wanted is None else wanted

    @property
    def idle(self) -> str:
        """All rewards were the same."""
        return (
            "in every group all rollouts had the same reward. Begin from a model that solves some of the problems, "
            "or raise --set group or temperature."
        )

    def learn(self) -> Figures:
        """Rollouts of fresh problems, and one update of the policies whose turn it is."""
        s, began = self.method.settings, time.perf_counter()
        rng = np.random.default_rng(derive(self.seed, "update", self.updates))
        rollouts = self.rollouts(self.task.problems(s.problems, derive(self.seed, "problems", self.updates)))
        wrote = time.perf_counter()
        batch = self.batch(rollouts)
        gain = self.method.advantages(batch, rng)
        figures = _told(rollouts, batch)
        turn_of = self._learning()
        for policy in self.distinct():
            rows = [i for i, turn in enumerate(batch.turns) if self.policies[turn.agent] is policy]
            if not rows:
                continue
            figures[f"{policy.role} reward"] = float(np.mean(batch.rewards[rows]))
            if (turn_of is None or policy is turn_of) and self.method.ready(self.updates):
                own = self._learn(policy, batch, rows, gain[rows], self.method.weights(batch)[rows], rng)
                figures.update({f"{policy.role} {name}": value for name, value in own.items()})
        figures.update(self.method.after(batch, rng))
        return {**figures, "rollout_seconds": wrote - began}

    def rollouts(self, problems: Sequence[Problem]) -> list[Rollout]:
        """The team's work on problems, ``group`` times each."""
        s = self.method.settings
        return roll_out(
            self.team, self.agents, problems, self.policies, group=s.group,
            seed=derive(self.seed, "rollouts", self.updates), temperature=s.temperature, max_tokens=s.max_tokens,
            frozen=self.frozen, reward=self.reward, trace=self.trace, seating=self.seating(problems),
        )  # fmt: skip

    def seating(self, problems: Sequence[Problem]) -> Seating | None:
        """Other seats for the trained agents than ordinary ones, in this update."""
        return None

    def batch(self, rollouts: Sequence[Rollout]) -> Batch:
        """Calls of all rollouts with their rewards."""
        rewards = [self.method.rewards(r) for r in rollouts]
        turns = [turn for r in rollouts for turn in r.turns]
        number = np.repeat(np.arange(len(rollouts)), [len(r.turns) for r in rollouts])
        return Batch(rollouts, turns, number, np.concatenate(rewards) if turns else np.zeros(0))

    def _learning(self) -> Policy | None:
        """The only policy that learns in this update; None for all."""
        s = self.method.settings
        if s.schedule == "joint":
            return None
        distinct = self.distinct()
        turn: Policy = distinct[self.updates // s.interval % len(distinct)]
        return turn

    def _learn(
        self,
        policy: Policy,
        batch: Batch,
        rows: Sequence[int],
        gain: NDArray[np.float64],
        weight: NDArray[np.float64],
        rng: np.random.Generator,
    ) -> Figures:
        """Gradient steps of one policy on its own calls; mean figures of the steps."""
        s, steps = self.method.settings, []
        for _ in range(s.epochs):
            order = rng.permutation(len(rows))
            for part in np.array_split(order, min(s.minibatches, len(rows))):
                steps.append(self._step(policy, [batch.turns[rows[i]] for i in part], gain[part], weight[part]))
        return {name: float(np.mean([step[name] for step in steps])) for name in steps[0]}

    def _step(self, policy: Policy, turns: Sequence[Any], gain: Any, weight: Any) -> Figures:
        """One step of AdamW on a minibatch, its gradient summed over pieces.

        Calls of like length are in a piece (less padding), those with one prompt side by side (it is read once).
        """
        import torch

        s, optimiser = self.method.settings, self._optimisers[id(policy)]
        order = sorted(range(len(turns)), key=lambda i: (len(turns[i].prompt), turns[i].prompt, len(turns[i].tokens)))
        turns, gain, weight = [turns[i] for i in order], gain[order], weight[order]
        for group in optimiser.param_groups:
            group["lr"] = s.learning_rate * min(1.0, (self.updates + 1) / max(1, s.rate_warm_up))
        optimiser.zero_grad()
        tokens = float(sum(turn.written * w for turn, w in zip(turns, weight, strict=True)))
        divisor = max(1.0, tokens if s.average == "token" else float(weight.sum()))
        sums: Figures = {"loss": 0.0, "entropy": 0.0, "kl": 0.0, "clipped": 0.0}
        for start in range(0, len(turns), s.piece):
            part = slice(start, start + s.piece)
            loss, figures = self._loss(policy, turns[part], gain[part], weight[part], divisor)
            loss.backward()
            for name, value in {"loss": float(loss.detach()), **figures}.items():
                sums[name] += value
        norm = float(torch.nn.utils.clip_grad_norm_(policy.parameters(), s.max_grad_norm))
        if not np.isfinite(norm) or not np.isfinite(sums["loss"]):
            pairs = zip(turns, gain, strict=True)
            raise self.stopped(policy, [{**vars(t), "advantage": np.asarray(a).tolist()} for t, a in pairs])
        optimiser.step()
        return {**sums, "grad_norm": norm}

    def _loss(self, policy: Policy, turns: Any, gain: Any, weight: Any, divisor: float) -> tuple[Any, Figures]:
        """This piece's share of the loss."""
        import torch

        s = self.method.settings
        prompts, replies = [t.prompt for t in turns], [t.tokens for t in turns]
        heat = [t.temperature for t in turns]
        new, entropy, mask = policy.logprobs(prompts, replies, heat, entropy=True)
        width = new.shape[1]
        mask = mask & ~_padded([t.given for t in turns], width).to(mask)
        old = _padded([t.logprobs for t in turns], width).to(new)
        one = _padded([np.broadcast_to(a, len(t.tokens)) for a, t in zip(_cut(gain, turns), turns, strict=True)], width)
        one = one.to(new)
        off = log_ratios(new, old, mask, s.ratio)
        each = self.method.objective(new, old, off, one) - s.entropy * entropy
        distance = torch.zeros_like(new)
        if s.kl > 0:
            base, _, _ = policy.logprobs(prompts, replies, heat, reference=True)
            distance = kl_estimate(new, base)
            each = each + s.kl * distance
        counted = torch.as_tensor(weight).to(new)[:, None]
        each = each * counted
        outside = ((off.exp() < 1 - s.clip) | (off.exp() > 1 + s.clip_high)) & mask
        count = max(1.0, divisor if s.average == "token" else float(mask.sum()))
        figures = {
            "entropy": float((entropy * mask * counted).sum().detach()) / count,
            "kl": float((distance * mask * counted).sum().detach()) / count,
            "clipped": float((outside * counted).sum()) / count,
        }
        return averaged(each, mask, s.average, divisor), figures


def _told(rollouts: Sequence[Rollout], batch: Batch) -> Figures:
    """What an update's rollouts came to."""
    return {
        "reward": float(np.mean([r.reward for r in rollouts])),
        "tokens": float(sum(turn.written for turn in batch.turns)),
        "spent": float(sum(r.tokens for r in rollouts)),
        "right": float(np.mean([r.problem.check(r.answer) for r in rollouts])),
        "answered": float(np.mean([r.answer is not None for r in rollouts])),
    }


def _cut(gain: NDArray[np.float64], turns: Sequence[Any]) -> list[Any]:
    """The advantage of each call, or of each token that it has."""
    return [a if gain.ndim == 1 else a[: len(t.tokens)] for a, t in zip(gain, turns, strict=True)]


def _padded(rows: Sequence[Any], width: int) -> Any:
    """Rows of numbers at the right end of a tensor, zeros before: where ``Policy.logprobs`` has replies."""
    import torch

    table = torch.zeros(len(rows), width)
    for i, row in enumerate(rows):
        if len(row):
            table[i, width - len(row) :] = torch.as_tensor(np.asarray(row, np.float32))
    return table
