"""Batched writing with a key-value cache: many prompts, each with its own temperature, length and random numbers.

Prompts are padded on the left, so that all rows write in the same column; one that several rows have is read once.
Rows that have ended leave the batch as soon as a quarter of it is idle. Each row draws from its own generator, so a
reply does not depend on its neighbours in the batch (up to rounding, which differs between batch shapes and may turn a
token whose probability is on the edge).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

IDLE = 0.25
"""Share of ended rows from which the batch is made smaller."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """What is to be continued.

    Attributes:
        ids: tokens, at least one.
        longest: most tokens to write, at least 1.
        temperature: 0 is greedy.
        seed: of its random numbers.
        is_done: whether the written tokens contain a text that ends the reply; or None.
    """

    ids: Sequence[int]
    longest: int
    temperature: float = 1.0
    seed: int = 0
    is_done: Callable[[list[int]], bool] | None = None


@dataclass(slots=True)
class Written:
    """What was written.

    Attributes:
        tokens: ids, the one that ended the reply included.
        logprobs: natural logarithm of each token's probability under the distribution it was drawn from, temperature
            included (greedy: under temperature 1).
        ended: False if it was cut at the longest length.
        given: by token, whether it is not the model's own but a tool's; empty where no tool was called.
    """

    tokens: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    ended: bool = False
    given: list[bool] = field(default_factory=list)

    @property
    def own(self) -> int:
        """Tokens of the model's own."""
        return len(self.tokens) - sum(self.given)


def write(network: Any, prompts: Sequence[Prompt], end: Sequence[int], pad: int) -> list[Written]:
    """Continue all prompts in one batch.

    Args:
        network: a causal model of transformers, in evaluation mode.
        prompts: what to continue.
        end: ids that end a reply.
        pad: id that fills the batch.
    """
    import torch

    results = [Written() for _ in prompts]
    if not prompts:
        return results
    device = next(network.parameters()).device
    distinct, which = recurring([p.ids for p in prompts])
    tokens, mask = (x.to(device) for x in padded(distinct, pad))
    draws = [np.random.default_rng(p.seed).random(p.longest) for p in prompts]
    heat = torch.tensor([p.temperature for p in prompts])
    rows, cache = list(range(len(prompts))), None
    place = places(mask)
    with torch.inference_mode():
        for step in range(max(p.longest for p in prompts)):
            out = network(
                input_ids=tokens, attention_mask=mask, position_ids=place, past_key_values=cache, use_cache=True,
                logits_to_keep=1,
            )  # fmt: skip
            cache, logits = out.past_key_values, out.logits[:, -1]
            if step == 0 and len(distinct) < len(prompts):
                copies = torch.tensor(which, device=device)
                cache.batch_select_indices(copies)
                mask, place, logits = mask[copies], place[copies], logits[copies]
            drawn = torch.tensor([draws[row][step] if step < len(draws[row]) else 0.0 for row in rows])
            chosen, chance = _choose(logits.float().cpu(), heat[rows], drawn)
            active = []
            for i, (row, token, logprob) in enumerate(zip(rows, chosen.tolist(), chance.tolist(), strict=True)):
                if results[row].ended or len(results[row].tokens) >= prompts[row].longest:
                    continue
                _add(results[row], prompts[row], token, logprob, end)
                if not results[row].ended and len(results[row].tokens) < prompts[row].longest:
                    active.append(i)
            if not active:
                break
            if len(active) <= (1 - IDLE) * len(rows):
                keep = torch.tensor(active, device=device)
                cache.batch_select_indices(keep)
                rows, chosen, mask, place = [rows[i] for i in active], chosen[active], mask[keep], place[keep]
            tokens = chosen[:, None].to(device)
            mask = torch.cat([mask, mask.new_ones(len(rows), 1)], 1)
            place = place[:, -1:] + 1
    return results


def recurring(prompts: Sequence[Sequence[int]]) -> tuple[list[Sequence[int]], list[int]]:
    """The different prompts in the order of their first, and for each prompt the number of the one that it is."""
    numbers: dict[tuple[int, ...], int] = {}
    which = [numbers.setdefault(tuple(prompt), len(numbers)) for prompt in prompts]
    return list(numbers), which


def padded(rows: Sequence[Sequence[int]], pad: int) -> tuple[Any, Any]:
    """Token ids at the right ends of the rows of a tensor, ``pad`` before them, and the mask of what is real (0, 1)."""
    import torch

    width = max(map(len, rows))
    ids = torch.full((len(rows), width), pad, dtype=torch.long)
    mask = torch.zeros(len(rows), width, dtype=torch.long)
    for i, row in enumerate(rows):
        if len(row):
            ids[i, width - len(row) :] = torch.as_tensor(list(row))
            mask[i, width - len(row) :] = 1
    return ids, mask


def places(mask: Any) -> Any:
    """Position of each token among the real ones of its row; 0 in padding."""
    return (mask.cumsum(-1) - 1).clamp(min=0)


def _choose(logits: Any, heat: Any, drawn: Any) -> tuple[Any, Any]:
    """A token for each row, by inversion of the cumulative distribution, and its log-probability."""
    import torch

    scaled = logits / torch.where(heat > 0, heat, 1.0)[:, None]
    logp = torch.log_softmax(scaled.double(), -1)
    total = logp.exp().cumsum(-1)
    sampled = torch.searchsorted(total, (drawn[:, None].double() * total[:, -1:])).squeeze(-1)
    chosen = torch.where(heat > 0, sampled.clamp(max=logits.shape[-1] - 1), logits.argmax(-1))
    return chosen, logp.gather(1, chosen[:, None]).squeeze(1)


def _add(result: Written, prompt: Prompt, token: int, logprob: float, end: Sequence[int]) -> None:
    """One more token of a reply; notes whether it ended."""
    result.tokens.append(token)
    result.logprobs.append(logprob)
    result.ended = token in end or (prompt.is_done is not None and prompt.is_done(result.tokens))
