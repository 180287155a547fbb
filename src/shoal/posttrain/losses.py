"""Losses on replies: policy gradients, preference pairs, imitation. Each row is one reply; masks pass padding over.

Arrays are torch tensors [rows, tokens] padded anywhere, with a mask. Sums over a batch can be split into pieces:
each loss takes the batch's own divisor.
"""

from __future__ import annotations

from typing import Any, Literal

MOST_LOG_RATIO = 20.0
"""Logarithms of ratios are held within this before exp: the ratio of a whole reply can be beyond any float."""

Ratio = Literal["token", "sequence", "mean"]
Average = Literal["token", "reply"]


def log_ratios(new: Any, old: Any, mask: Any, ratio: Ratio = "token") -> Any:
    """Logarithms of the ratios that are clipped, [rows, tokens].

    Args:
        new: log-probabilities now.
        old: log-probabilities when written.
        mask: real tokens.
        ratio: of each token (GRPO); of the whole reply (MARFT-A), or its geometric mean over the tokens (GSPO,
            arXiv 2507.18071), both the same at every token.
    """
    off = (new - old) * mask
    if ratio != "token":
        whole = off.sum(-1, keepdim=True)
        off = (whole / mask.sum(-1, keepdim=True).clamp(min=1) if ratio == "mean" else whole).expand_as(off)
    return off.clamp(-MOST_LOG_RATIO, MOST_LOG_RATIO)


def clipped(log_ratio: Any, advantage: Any, low: float, high: float) -> Any:
    """-min(rho A, clip(rho, 1 - low, 1 + high) A), elementwise (PPO, arXiv 1707.06347, eq. 7)."""
    import torch

    ratio = log_ratio.exp()
    return -torch.minimum(ratio * advantage, ratio.clamp(1 - low, 1 + high) * advantage)


def reinforce(new: Any, old: Any, advantage: Any, most_weight: float = 2.0) -> Any:
    """-A log pi, times min(pi / pi_old, ``most_weight``) without gradient (AdAlign, section 4)."""
    weight = (new - old).clamp(-MOST_LOG_RATIO, MOST_LOG_RATIO).exp().clamp(max=most_weight).detach()
    return -weight * advantage * new


def kl_estimate(new: Any, reference: Any) -> Any:
    """exp(d) - d - 1 with d = log pi_ref - log pi: never negative, unbiased (Schulman's k3)."""
    off = (reference - new).clamp(-MOST_LOG_RATIO, MOST_LOG_RATIO)
    return off.exp() - off - 1


def averaged(each: Any, mask: Any, average: Average = "token", divisor: float | None = None) -> Any:
    """Sum over real tokens, divided.

    Args:
        each: per token.
        mask: real tokens.
        average: every token counts the same, or every reply does (its own mean).
        divisor: tokens, or replies, of the whole batch; of this one if left out.
    """
    mask = mask.to(each.dtype)
    if average == "token":
        return (each * mask).sum() / (mask.sum().clamp(min=1) if divisor is None else divisor)
    own = (each * mask).sum(-1) / mask.sum(-1).clamp(min=1)
    return own.sum() / (max(1, own.shape[0]) if divisor is None else divisor)


def sft(new: Any, mask: Any) -> Any:
    """Mean negative log-probability of the tokens of replies to imitate."""
    return averaged(-new, mask)


def dpo(chosen: Any, rejected: Any, chosen_reference: Any, rejected_reference: Any, beta: float) -> tuple[Any, Any]:
    """Direct preference optimisation (arXiv 2305.18290, eq. 7).

    Args:
        chosen: summed log-probabilities of the better replies [pairs].
        rejected: of the worse ones.
        chosen_reference: the same under the reference, without gradient.
        rejected_reference: likewise.
        beta: how close to the reference.

    Returns the loss of each pair and its reward margin, beta times the difference of log-ratios.
    """
    import torch

    margin = beta * ((chosen - chosen_reference) - (rejected - rejected_reference))
    return -torch.nn.functional.logsigmoid(margin), margin
