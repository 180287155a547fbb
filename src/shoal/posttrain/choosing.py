"""Policies that choose: replies of one token out of a few, with the log-probabilities of that choice.

A choice cannot be unreadable, and prompts that begin alike are read once up to where they differ, which makes a game
with few different prompts cheap to play and to learn.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shoal.errors import InputError
from shoal.models.causal.writing import Prompt, Written, padded, places
from shoal.posttrain.policies import Policy
from shoal.posttrain.rollouts import PolicyModel

Floats = NDArray[np.float64]
Known = dict[tuple[tuple[int, ...], float], tuple[Floats, float]]
"""By prompt and temperature: log-probabilities of the allowed tokens, and the chance of all others."""


@dataclass
class Chooser(Policy):
    """A policy whose replies are one of a few tokens: log-probabilities are those of the choice between them.

    Attributes:
        allowed: ids of the tokens.
    """

    allowed: tuple[int, ...] = ()

    def choices(self, prompts: Sequence[Sequence[int]], heat: Sequence[float], reference: bool = False) -> Any:
        """Log-probabilities of the allowed tokens after each prompt, as if there were no others, and their sum's.

        Returns:
            Log-probabilities [prompts, allowed], and the logarithm of the chance that a free reply begins with one of
            them [prompts].
        """
        import torch

        ids = torch.tensor(self.allowed)
        with self.base() if reference else self.active() as network, torch.no_grad() if reference else nullcontext():
            logits = next_logits(network, prompts, self.tokenizer.pad)
        warmth = torch.tensor([t if t > 0 else 1.0 for t in heat], device=logits.device)
        free = torch.log_softmax(logits / warmth[:, None], -1)[:, ids.to(logits.device)]
        return torch.log_softmax(free, -1), torch.logsumexp(free, -1)

    def logprobs(
        self,
        prompts: Sequence[Sequence[int]],
        replies: Sequence[Sequence[int]],
        temperatures: Sequence[float] | None = None,
        reference: bool = False,
        entropy: bool = False,
    ) -> tuple[Any, Any, Any]:
        """As of any policy, for replies of one allowed token."""
        import torch

        rows = list(zip(map(tuple, prompts), temperatures or [1.0] * len(prompts), strict=True))
        known = {row: i for i, row in enumerate(dict.fromkeys(rows))}
        logp, _ = self.choices([prompt for prompt, _ in known], [heat for _, heat in known], reference)
        logp = logp[[known[row] for row in rows]]
        which = torch.tensor([self.allowed.index(reply[0]) for reply in replies], device=logp.device)
        chosen = logp.gather(1, which[:, None])
        spread = -(logp.exp() * logp).sum(-1, keepdim=True) if entropy else torch.zeros_like(chosen)
        return chosen, spread, torch.ones_like(chosen, dtype=torch.bool)

    def write(self, prompts: Sequence[Prompt]) -> list[Written]:
        """One allowed token for each prompt."""
        import torch

        with self.lock, torch.inference_mode():
            logp, _ = self.choices([prompt.ids for prompt in prompts], [prompt.temperature for prompt in prompts])
        rows = logp.double().cpu().numpy()
        return [self.drawn(prompt, row) for prompt, row in zip(prompts, rows, strict=True)]

    def drawn(self, prompt: Prompt, logp: Floats) -> Written:
        """A choice by the prompt's own random number; the likeliest at temperature 0."""
        total = np.exp(logp).cumsum()
        number = np.random.default_rng(prompt.seed).random() * total[-1]
        which = int(np.searchsorted(total, number)) if prompt.temperature > 0 else int(logp.argmax())
        return Written([self.allowed[which]], [float(logp[which])], True)


def next_logits(network: Any, prompts: Sequence[Sequence[int]], pad: int) -> Any:
    """Logits of the token after each prompt [prompts, vocabulary]; what all prompts begin with is read once."""
    import torch

    device, count = next(network.parameters()).device, len(prompts)
    alike = min(len(common_beginning(prompts)), min(map(len, prompts)) - 1)
    ids, real = (x.to(device) for x in padded([prompt[alike:] for prompt in prompts], pad))
    if not alike or count == 1:
        ids, real = (x.to(device) for x in padded(prompts, pad))
        read = network(input_ids=ids, attention_mask=real, position_ids=places(real), logits_to_keep=1)
        return read.logits[:, -1].float()
    start = network(input_ids=torch.tensor([list(prompts[0][:alike])], device=device), use_cache=True, logits_to_keep=1)
    start.past_key_values.batch_select_indices(torch.zeros(count, dtype=torch.long, device=device))
    seen = torch.cat([real.new_ones(count, alike), real], 1)
    read = network(
        input_ids=ids, attention_mask=seen, position_ids=places(seen)[:, alike:],
        past_key_values=start.past_key_values, use_cache=True, logits_to_keep=1,
    )  # fmt: skip
    return read.logits[:, -1].float()


def common_beginning(rows: Sequence[Sequence[int]]) -> list[int]:
    """What all rows begin with."""
    alike = itertools.takewhile(lambda column: len(set(column)) == 1, zip(*rows, strict=False))
    return [column[0] for column in alike]


def choosers(policies: Mapping[str, Policy], allowed: Sequence[str]) -> dict[str, Chooser]:
    """The policies, held to replies of one token each; shared ones stay shared.

    Raises:
        InputError: a reply is not one token of its own.
    """
    made: dict[int, Chooser] = {}
    for policy in policies.values():
        ids = [policy.tokenizer.encode(text) for text in allowed]
        if any(len(one) != 1 for one in ids) or len({one[0] for one in ids}) < len(ids):
            mend = "Each has to be one token of the model's own; use --set constrained=false."
            raise InputError("replies", ", ".join(allowed), mend)
        made[id(policy)] = made.get(id(policy)) or Chooser(**{**vars(policy), "allowed": tuple(one[0] for one in ids)})
    return {name: made[id(policy)] for name, policy in policies.items()}


class PlayerModel(PolicyModel):
    """A policy while it does not change (an update; a past copy for ever): where it chooses, prompts are read once.

    In a game with few different prompts, such as those that tell of the last round only, this saves most of the
    reading.

    Args:
        policy: writes.
        order: as of any causal model.
        known: what was read before, to be added to.

    Attributes:
        outside: of each choice, the chance that a free reply would have begun with none of the allowed tokens.
    """

    def __init__(self, policy: Policy, order: asyncio.Lock, known: Known | None = None) -> None:
        super().__init__(policy, order)
        self.outside: list[float] = []
        self._known: Known = {} if known is None else known

    def write(self, prompts: Sequence[Prompt]) -> list[Written]:
        """Free replies are written as ever."""
        if not isinstance(self.policy, Chooser):
            return super().write(prompts)
        keys = [(tuple(prompt.ids), prompt.temperature) for prompt in prompts]
        self._read([key for key in dict.fromkeys(keys) if key not in self._known])
        self.outside += [self._known[key][1] for key in keys]
        return [self.policy.drawn(prompt, self._known[key][0]) for prompt, key in zip(prompts, keys, strict=True)]

    def _read(self, fresh: Sequence[tuple[tuple[int, ...], float]]) -> None:
        import torch

        if not fresh or not isinstance(self.policy, Chooser):
            return
        with self.policy.lock, torch.inference_mode():
            logp, inside = self.policy.choices([ids for ids, _ in fresh], [heat for _, heat in fresh])
        rows = zip(logp.double().cpu().numpy(), (1 - inside.exp()).tolist(), strict=True)
        self._known.update(zip(fresh, rows, strict=True))
