"""MARFT: multi-agent PPO with one critic that values what each agent is about to answer (arXiv 2504.16129).

Agents act one after another, so the joint advantage splits into a sum of theirs: A(s, a_1..a_n) = sum_m A_m. MARFT-A
takes a whole reply as one action and runs GAE over replies in the order of speaking; MARFT-T takes each token as one.
The critic is a frozen copy of the base with a trained head (two hidden layers, no bias) on the hidden state of the last
token read (A) or of every token (T). Only the last call of an episode is rewarded; values carry it back.

Departures: the discount is applied between replies only, never inside one (the code's 0.99 a token leaves 0.6% of a
reward after 512 tokens); log-probabilities are those of the distribution that was sampled; true zeros among advantages
are kept (the code drops them as padding); the limit on the distance from the old policy is left out, since with one
pass over fresh data it fires on rounding only (the distance is among the figures).
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from shoal.posttrain.advantages import gae
from shoal.posttrain.losses import Ratio
from shoal.posttrain.method import Batch, Method, MethodSettings, method
from shoal.posttrain.policies import Policy
from shoal.posttrain.rollouts import Turn

Floats = NDArray[np.float64]


class MarftSettings(MethodSettings):
    """Settings of MARFT."""

    level: Literal["action", "token"] = Field("action", description="What is one action: a reply (A) or a token (T).")
    credit: str = Field("last", description="Only the last call is rewarded; values carry it back.")
    discount: float = Field(1.0, ge=0, le=1, description="Gamma, from one reply to the next.")
    gae_lambda: float = Field(0.95, ge=0, le=1, description="Lambda.")
    ratio: Ratio = Field("mean", description="sequence is the paper's for whole replies; mean divides by their length.")
    critic_rate: float = Field(1e-3, gt=0, le=1, description="Learning rate of the critic's head.")
    critic_steps: int = Field(4, ge=1, le=100, description="Steps of the critic on each batch.")
    value_clip: float = Field(0.2, gt=0, description="How far a value may move in one update.")
    huber: float = Field(10.0, gt=0, description="Value error from which its loss grows linearly.")
    warm_up: int = Field(0, ge=0, description="Updates in which only the critic learns.")
    hidden: tuple[int, int] = Field((1024, 512), description="Widths of the critic's head.")


@method("marft")
class Marft(Method):
    """PPO in the order of speaking, with one critic over replies or tokens (MARFT, arXiv 2504.16129)."""

    schema = MarftSettings

    def prepare(self, policies: Mapping[str, Policy]) -> None:
        """A frozen copy of the first role's network, and a fresh head."""
        import torch

        first = next(iter(policies.values()))
        network = copy.deepcopy(first.network)
        if first.adapter is not None:
            network = network.unload()
        self._base = network.requires_grad_(False).eval()
        self._pad = first.tokenizer.pad
        size = int(self._base.config.hidden_size)
        widths = (size, *self.settings.hidden, 1)
        layers: list[Any] = []
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            for a, b in pairwise(widths):
                layers += [torch.nn.Linear(a, b, bias=False), torch.nn.ReLU()]
        self._head = torch.nn.Sequential(*layers[:-1])
        torch.nn.init.zeros_(self._head[-1].weight)
        self._optimiser = torch.optim.AdamW(self._head.parameters(), lr=self.settings.critic_rate, weight_decay=0.0)

    def ready(self, update: int) -> bool:
        """After the warm-up."""
        return bool(update >= self.settings.warm_up)

    def advantages(self, batch: Batch, rng: np.random.Generator) -> Floats:
        """GAE along each rollout, normalised over the batch."""
        import torch

        s, token = self.settings, self.settings.level == "token"
        self._seen = self._features(batch.turns)
        with torch.no_grad():
            self._values = [self._head(x).squeeze(-1).numpy().astype(float) for x in self._seen]
        gains = [np.zeros(0)] * len(batch.turns)
        self._targets = [np.zeros(0)] * len(batch.turns)
        for number in range(len(batch.rollouts)):
            own = np.flatnonzero(batch.rollout == number)
            if not own.size:
                continue
            value = np.concatenate([self._values[i] for i in own])
            reward, discount = self._entries(batch, own)
            gain = gae(
                reward[None], value[None], [0.0], alive=True, discount=discount[None], decay=s.gae_lambda
            )[0]  # fmt: skip
            cuts = np.cumsum([self._values[i].size for i in own])[:-1]
            for i, a, target in zip(own, np.split(gain, cuts), np.split(gain + value, cuts), strict=True):
                gains[i], self._targets[i] = a, target
        every = np.concatenate(gains)
        scale = every.std() + 1e-8
        gains = [(a - every.mean()) / scale for a in gains]
        if not token:
            return np.array([a[0] for a in gains])
        longest = max(a.size for a in gains)
        return np.array([np.pad(a, (0, longest - a.size)) for a in gains])

    def after(self, batch: Batch, rng: np.random.Generator) -> dict[str, float]:
        """Steps of the critic on the returns, clipped around its old values, Huber loss."""
        import torch

        s = self.settings
        x = torch.cat(self._seen)
        old, target = (torch.tensor(np.concatenate(v), dtype=torch.float32) for v in (self._values, self._targets))
        for _ in range(s.critic_steps):
            value = self._head(x).squeeze(-1)
            near = old + (value - old).clamp(-s.value_clip, s.value_clip)
            losses = [torch.nn.functional.huber_loss(v, target, reduction="none", delta=s.huber) for v in (value, near)]
            loss = torch.maximum(*losses).mean()
            self._optimiser.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(self._head.parameters(), s.max_grad_norm)
            self._optimiser.step()
        spread = float(target.var())
        explained = 1 - float((target - old).var()) / spread if spread > 1e-12 else 0.0
        return {"critic loss": float(loss.detach()), "explained variance": explained}

    def tensors(self) -> dict[str, Any]:
        """The head and its optimiser."""
        kept = {f"head/{name}": x.detach() for name, x in self._head.named_parameters()}
        for name, x in self._head.named_parameters():
            kept.update({f"{part}/{name}": value for part, value in self._optimiser.state.get(x, {}).items()})
        return kept

    def restore(self, tensors: Mapping[str, Any]) -> None:
        """Take up what ``tensors`` gave."""
        import torch

        for name, x in self._head.named_parameters():
            with torch.no_grad():
                x.copy_(tensors[f"head/{name}"])
            if f"step/{name}" in tensors:
                self._optimiser.state[x] = {p: tensors[f"{p}/{name}"] for p in ("step", "exp_avg", "exp_avg_sq")}

    def _entries(self, batch: Batch, own: NDArray[np.int64]) -> tuple[Floats, Floats]:
        """Rewards and discounts of a rollout's actions: replies, or tokens with the reward on a reply's last one."""
        reward, discount = [], []
        for i in own:
            size = self._values[i].size
            reward.append(np.append(np.zeros(size - 1), batch.rewards[i]))
            discount.append(np.append(np.ones(size - 1), self.settings.discount))
        return np.concatenate(reward), np.concatenate(discount)

    def _features(self, turns: Sequence[Turn]) -> list[Any]:
        """Hidden states of the frozen base: of the last token read, or of what stands before each token written."""
        import torch

        token, found = self.settings.level == "token", []
        for start in range(0, len(turns), self.settings.piece):
            part = turns[start : start + self.settings.piece]
            rows = [[*t.prompt, *t.tokens[:-1]] if token else t.prompt for t in part]
            width = max(len(row) for row in rows)
            ids = torch.full((len(rows), width), self._pad)
            mask = torch.zeros(len(rows), width, dtype=torch.long)
            for i, row in enumerate(rows):
                ids[i, width - len(row) :] = torch.tensor(row)
                mask[i, width - len(row) :] = 1
            place = (mask.cumsum(-1) - 1).clamp(min=0)
            with torch.no_grad():
                inner = self._base.get_decoder() if hasattr(self._base, "get_decoder") else self._base.model
                hidden = inner(input_ids=ids, attention_mask=mask, position_ids=place).last_hidden_state
            found += [h[-(max(1, len(t.tokens)) if token else 1) :].float() for h, t in zip(hidden, part, strict=True)]
        return found
