"""The trainer: rollouts, credit, advantages, a step of each role's policy. Methods state only what differs.

An update's randomness comes from the root seed and the update's number alone, and batches are written in a fixed order,
so a training that is resumed gives the numbers of one that was never stopped.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shoal.errors import InputError, ShoalError
from shoal.models.interface import Model
from shoal.posttrain.checkpoints import load_tensors, save_tensors
from shoal.posttrain.losses import averaged, clipped, kl_estimate, log_ratios
from shoal.posttrain.method import Batch, Method
from shoal.posttrain.policies import Policy
from shoal.posttrain.rollouts import Reward, Rollout, check_seats, correctness, roll_out
from shoal.runs.seeds import derive
from shoal.tasks.problem import Problem, Task
from shoal.teams.agent import Agent
from shoal.teams.outcome import Team
from shoal.traces import TraceWriter

CHECKPOINT = "checkpoint"
"""Folder of a training's latest checkpoint, inside its own."""
METRICS = "metrics.jsonl"
"""File of a training's curves, inside its folder."""
Figures = dict[str, float]


class LossNotFinite(ShoalError):
    """A loss or gradient stopped being finite; says in which update and for which role, and where the batch lies."""


@dataclass
class Trainer:
    """A team in training.

    Attributes:
        team: any team function.
        agents: its agents.
        policies: of the trainable agents, by name; agents with the same policy object are trained as one.
        method: how advantages come about, and all settings.
        task: where problems come from.
        seed: root of all randomness.
        frozen: model of agents that are not trained and have none of their own.
        reward: of the team for a rollout.
        trace: where events go; one ``update`` event for each update, besides the rollouts' own.
        folder: for checkpoints, and for a batch whose loss is not finite; nothing is kept without it.
        updates: done so far.
        history: figures of each update; ``tokens`` were written by trained seats, ``spent`` read and written by all.
    """

    team: Team
    agents: Sequence[Agent]
    policies: Mapping[str, Policy]
    method: Method
    task: Task
    seed: int = 0
    frozen: Model | None = None
    reward: Reward = correctness
    trace: TraceWriter | None = None
    folder: Path | None = None
    updates: int = 0
    history: list[Figures] = field(default_factory=list)
    _optimisers: dict[int, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        import torch

        check_seats(self.agents, self.policies, self.frozen)
        rate = self.method.settings.learning_rate
        for policy in self.distinct():
            for tensor in policy.parameters():
                tensor.requires_grad_(True)
            self._optimisers[id(policy)] = torch.optim.AdamW(policy.parameters(), lr=rate, weight_decay=0.0)
        self.method.prepare(self.policies)

    def distinct(self) -> list[Policy]:
        """Policies, each once."""
        return list({id(policy): policy for policy in self.policies.values()}.values())

    def train(self, updates: int, progress: Callable[[int, Figures], None] | None = None, every: int = 0) -> None:
        """Go on until ``updates`` are done; ``every`` updates a checkpoint is written, and one at the end."""
        while self.updates < updates:
            figures = self.update()
            self._note(self.updates, figures)
            if progress is not None:
                progress(self.updates, figures)
            if self.folder is not None and (self.updates == updates or (every and self.updates % every == 0)):
                self.save(self.folder / CHECKPOINT)

    def _note(self, number: int, figures: Figures) -> None:
        """One more line of the curves, for whoever watches."""
        if self.folder is not None:
            self.folder.mkdir(parents=True, exist_ok=True)
            with (self.folder / METRICS).open("a", encoding="utf-8") as lines:
                lines.write(json.dumps({"update": number, **figures}) + "\n")

    def update(self) -> Figures:
        """Rollouts of fresh problems, and one update of the policies whose turn it is.

        Raises:
            LossNotFinite: nothing has been changed by this update's last step; the batch was saved.
        """
        s, began = self.method.settings, time.perf_counter()
        rng = np.random.default_rng(derive(self.seed, "update", self.updates))
        problems = self.task.problems(s.problems, derive(self.seed, "problems", self.updates))
        rollouts = self.rollouts(problems)
        wrote = time.perf_counter()
        batch = self.batch(rollouts)
        gain = self.method.advantages(batch, rng)
        figures = {
            "reward": float(np.mean([r.reward for r in rollouts])),
            "tokens": float(sum(len(turn.tokens) for turn in batch.turns)),
            "spent": float(sum(r.tokens for r in rollouts)),
            "right": float(np.mean([r.problem.check(r.answer) for r in rollouts])),
            "answered": float(np.mean([r.answer is not None for r in rollouts])),
        }
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
        figures.update(rollout_seconds=wrote - began, seconds=time.perf_counter() - began)
        self.updates += 1
        self.history.append(figures)
        if self.trace is not None:
            self.trace.write("update", "trainer", {"update": self.updates, **figures})
        return figures

    def rollouts(self, problems: Sequence[Problem]) -> list[Rollout]:
        """The team's work on problems, ``group`` times each."""
        s = self.method.settings
        return roll_out(
            self.team, self.agents, problems, self.policies, group=s.group,
            seed=derive(self.seed, "rollouts", self.updates), temperature=s.temperature, max_tokens=s.max_tokens,
            frozen=self.frozen, reward=self.reward, trace=self.trace,
        )  # fmt: skip

    def batch(self, rollouts: Sequence[Rollout]) -> Batch:
        """Calls of all rollouts with their rewards."""
        rewards = [self.method.rewards(r) for r in rollouts]
        turns = [turn for r in rollouts for turn in r.turns]
        number = np.repeat(np.arange(len(rollouts)), [len(r.turns) for r in rollouts])
        return Batch(rollouts, turns, number, np.concatenate(rewards) if turns else np.zeros(0))

    def save(self, folder: Path) -> None:
        """Everything that the next update depends on, as data."""
        import torch

        tensors: dict[str, Any] = {f"method/{name}": x for name, x in self.method.tensors().items()}
        for number, policy in enumerate(self.distinct()):
            state = self._optimisers[id(policy)].state
            for name, tensor in policy.named_parameters():
                tensors[f"{number}/value/{name}"] = tensor.detach()
                for part, x in state.get(tensor, {}).items():
                    tensors[f"{number}/{part}/{name}"] = torch.as_tensor(x)
        facts = {"updates": self.updates, "shape": self._shape(), "seed": self.seed, "history": self.history}
        save_tensors(folder, tensors, facts)

    def load(self, folder: Path) -> None:
        """Go on from a checkpoint. Raises InputError if it is of another team, method or seed, with both named."""
        import torch

        tensors, facts = load_tensors(folder)
        for name, mine, theirs in (
            ("team shape", self._shape(), facts["shape"]), ("seed", self.seed, facts["seed"]),
        ):  # fmt: skip
            if mine != theirs:
                raise InputError(
                    f"resume: {name}", json.dumps(theirs), f"The checkpoint's; yours is {json.dumps(mine)}."
                )
        for number, policy in enumerate(self.distinct()):
            optimiser = self._optimisers[id(policy)]
            for name, tensor in policy.named_parameters():
                with torch.no_grad():
                    tensor.copy_(tensors[f"{number}/value/{name}"])
                parts = {p: tensors.get(f"{number}/{p}/{name}") for p in ("step", "exp_avg", "exp_avg_sq")}
                if parts["step"] is not None:
                    optimiser.state[tensor] = parts
        own = {k.removeprefix("method/"): x for k, x in tensors.items() if k.startswith("method/")}
        self.method.restore(own)
        self.updates, self.history = int(facts["updates"]), list(facts["history"])
        if self.folder is not None:  # updates after the checkpoint will be made again
            (self.folder / METRICS).unlink(missing_ok=True)
            for number, figures in enumerate(self.history, 1):
                self._note(number, figures)

    def _shape(self) -> dict[str, Any]:
        """What a checkpoint must agree with."""
        distinct = self.distinct()
        roles = {name: next(i for i, p in enumerate(distinct) if p is q) for name, q in self.policies.items()}
        sizes = [sum(x.numel() for x in policy.parameters()) for policy in distinct]
        return {"method": self.method.name, "roles": roles, "parameters": sizes}

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
        """One step of AdamW on a minibatch, its gradient summed over pieces of calls of like length (less padding)."""
        import torch

        s, optimiser = self.method.settings, self._optimisers[id(policy)]
        order = sorted(range(len(turns)), key=lambda i: len(turns[i].prompt) + len(turns[i].tokens))
        turns, gain, weight = [turns[i] for i in order], gain[order], weight[order]
        optimiser.zero_grad()
        tokens = float(sum(len(turn.tokens) * w for turn, w in zip(turns, weight, strict=True)))
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
            raise self._stopped(policy, turns, gain)
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
        old = _padded([t.logprobs for t in turns], width).to(new)
        one = _padded([np.broadcast_to(a, len(t.tokens)) for a, t in zip(_cut(gain, turns), turns, strict=True)], width)
        one = one.to(new)
        off = log_ratios(new, old, mask, s.ratio)
        each = clipped(off, one, s.clip, s.clip_high) - s.entropy * entropy
        distance = torch.zeros_like(new)
        if s.kl > 0:
            base, _, _ = policy.logprobs(prompts, replies, heat, reference=True)
            distance = kl_estimate(new, base)
            each = each + s.kl * distance
        each = each * torch.as_tensor(weight).to(new)[:, None]
        share = float(mask.sum()) / max(1.0, float(sum(len(r) for r in replies)))
        outside = ((off.exp() < 1 - s.clip) | (off.exp() > 1 + s.clip_high)) & mask
        count = max(1.0, divisor if s.average == "token" else float(mask.sum()))
        figures = {
            "entropy": share * float((entropy * mask).sum().detach()) / count,
            "kl": float((distance * mask).sum().detach()) / count,
            "clipped": float(outside.sum()) / count,
        }
        return averaged(each, mask, s.average, divisor), figures

    def _stopped(self, policy: Policy, turns: Sequence[Any], gain: Any) -> LossNotFinite:
        where = ""
        if self.folder is not None:
            self.folder.mkdir(parents=True, exist_ok=True)
            path = self.folder / f"batch-{self.updates}-{policy.role}.json"
            rows = [{**vars(t), "advantage": np.asarray(a).tolist()} for t, a in zip(turns, gain, strict=True)]
            path.write_text(json.dumps(rows), encoding="utf-8")
            where = f" The batch lies in {path}."
        return LossNotFinite(
            f"update {self.updates}, role {policy.role}: the loss or its gradient is not finite.{where} "
            "Lower learning_rate, or look at the rewards."
        )


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
