"""DPO: each role learns to prefer one reply over another, from pairs of a file (arXiv 2305.18290).

The reference is each role's policy as it is before the first update; its log-probabilities are taken once and kept in
checkpoints, so that no second network is needed. The figures show the log-probability of chosen replies too, because
it may fall while the margin grows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from shoal.posttrain.examples import Preference, read_preferences
from shoal.posttrain.losses import dpo
from shoal.posttrain.offline import FromFile, OfflineSettings, OfflineTraining, Passes, offline
from shoal.posttrain.policies import Policy
from shoal.posttrain.training import Figures

Floats = NDArray[np.float32]

AT_ONCE = 256
"""Pairs whose log-probabilities are computed at once."""


class DpoSettings(OfflineSettings):
    """Settings of DPO."""

    learning_rate: float = Field(5e-5, gt=0, le=1, description="Of AdamW.")
    beta: float = Field(0.1, gt=0, le=10, description="How close to the reference.")


def summed(policy: Policy, pairs: Sequence[Preference]) -> Floats:
    """Log-probabilities of whole replies, chosen and rejected [2, pairs], without gradient."""
    import torch

    found = np.zeros((2, len(pairs)), np.float32)
    with torch.no_grad():
        for start in range(0, len(pairs), AT_ONCE):
            part = pairs[start : start + AT_ONCE]
            for side, replies in enumerate(([p.chosen for p in part], [p.rejected for p in part])):
                new, _, _ = policy.logprobs([p.prompt for p in part], replies)
                found[side, start : start + len(part)] = new.sum(-1).cpu().numpy()
    return found


def margins(policy: Policy, reference: Floats, pairs: Sequence[Preference], beta: float) -> Floats:
    """Reward margin of each pair against log-probabilities under a reference [2, pairs], as ``summed`` gives them."""
    off = summed(policy, pairs) - reference
    gap: Floats = beta * (off[0] - off[1])
    return gap


@dataclass
class Preferring(Passes[Preference]):
    """The loss of DPO.

    Attributes:
        beta: how close to the reference.
        reference: log-probabilities under it [2, pairs], by role; set by ``refer``.
    """

    title = "preference loss"
    beta: float = 0.1
    reference: dict[str, Floats] = field(default_factory=dict)

    def refer(self, policies: Sequence[Policy]) -> None:
        """Take the policies as they are now for the reference."""
        self.reference = {p.role: summed(p, self.rows[p.role]) for p in policies if self.rows.get(p.role)}

    def loss(self, policy: Policy, part: Sequence[int]) -> tuple[Any, Figures]:
        """Of some rows; with the mean margin, the share of pairs in the right order, and the chosen log-probability."""
        import torch

        rows = [self.rows[policy.role][i] for i in part]
        reference = torch.as_tensor(self.reference[policy.role][:, list(part)])
        both = policy.logprobs([p.prompt for p in rows] * 2, [p.chosen for p in rows] + [p.rejected for p in rows])[0]
        both = both.sum(-1).reshape(2, len(rows))
        reference = reference.to(both)
        each, margin = dpo(both[0], both[1], reference[0], reference[1], self.beta)
        figures = {
            "margin": float(margin.detach().mean()),
            "ordered": float((margin.detach() > 0).float().mean()),
            "chosen": float(both[0].detach().mean()),
        }
        return each.mean(), figures

    def tensors(self) -> dict[str, Any]:
        """The reference."""
        import torch

        return {f"reference/{role}": torch.as_tensor(found) for role, found in self.reference.items()}

    def restore(self, tensors: Mapping[str, Any]) -> None:
        """Take up what ``tensors`` gave."""
        mark = "reference/"
        self.reference = {k.removeprefix(mark): x.numpy() for k, x in tensors.items() if k.startswith(mark)}


@offline("dpo")
class Dpo(FromFile[Preference]):
    """Pairs of a file: the better reply is made likelier than the worse (DPO, arXiv 2305.18290)."""

    schema: ClassVar[type[DpoSettings]] = DpoSettings
    idle = "no pair gave a gradient."
    _passes: Preferring

    def read(self, path: Path, policies: Mapping[str, Policy]) -> list[Preference]:
        """Pairs of a file."""
        return read_preferences(path, policies)

    def passes(self, rows: Mapping[str, Sequence[Preference]], seed: int) -> Preferring:
        """Preferences."""
        s = self.settings
        return Preferring(rows, s.learning_rate, s.epochs, s.batch, seed, s.max_grad_norm, s.beta)

    def learn(self, training: OfflineTraining) -> Figures:
        """One step of each role; the reference is taken before the first."""
        if training.updates == 0:
            self._passes.refer(training.distinct())
        return super().learn(training)

    def tensors(self) -> dict[str, Any]:
        """The reference's log-probabilities."""
        return self._passes.tensors()

    def restore(self, tensors: Mapping[str, Any]) -> None:
        """Take up what ``tensors`` gave."""
        self._passes.restore(tensors)
