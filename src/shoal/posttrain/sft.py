"""SFT: each role imitates replies of a file, or what its team wrote in an earlier run where it was right.

The second is one round of rejection sampling (STaR, arXiv 2203.14465, without its rationalisation of failures). Only
the tokens of replies are in the loss.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from shoal.posttrain.examples import Example, read_examples
from shoal.posttrain.losses import sft
from shoal.posttrain.offline import FromFile, Passes, offline
from shoal.posttrain.policies import Policy
from shoal.posttrain.training import Figures


class Imitation(Passes[Example]):
    """Mean negative log-probability of the tokens of replies."""

    title = "imitation loss"

    def loss(self, policy: Policy, part: Sequence[int]) -> tuple[Any, Figures]:
        """Of some rows."""
        rows = [self.rows[policy.role][i] for i in part]
        new, _, mask = policy.logprobs([e.prompt for e in rows], [e.reply for e in rows])
        return sft(new, mask), {}


@offline("sft")
class Sft(FromFile[Example]):
    """Replies of a file, or of a run that were right, are imitated (SFT, rejection sampling)."""

    idle = "every reply was as likely as can be already."

    def read(self, path: Path, policies: Mapping[str, Policy]) -> list[Example]:
        """Examples of a file or of a run's trace."""
        return read_examples(path, policies)

    def passes(self, rows: Mapping[str, Sequence[Example]], seed: int) -> Imitation:
        """Imitation."""
        s = self.settings
        return Imitation(rows, s.learning_rate, s.epochs, s.batch, seed, s.max_grad_norm)
