"""Claims of the M-GRPO study."""

from __future__ import annotations

import functools

from shoal.runs.checks import difference, gain
from shoal.runs.results import Results
from shoal.runs.study import Claim
from shoal.stats import Check, exact, mean
from shoal.studies.m_grpo.settings import (
    FROZEN,
    HACKED_LOCAL,
    HACKED_MIX,
    LM_FROZEN,
    LM_MIX,
    LM_QUEUE,
    LM_START,
    MIX,
    OUTCOME,
    QUEUE,
    SHUFFLED,
    STAGE_1,
    UNTRAINED,
    WEIGHTS,
)


def _aligned(results: Results) -> list[Check]:
    """Sizes and homes always right, weights d/d_k within sampling error."""
    if not results.has("alignment"):
        return []
    size, home = (results.values("alignment", "copies", name) for name in ("right size", "own rollout"))
    error = results.values("alignment", "copies", "largest error of a weight")
    return [
        Check("draws with K*d rows", exact(float(size.min()), size.size), above=1 - 1e-9),
        Check("draws with rows of their own rollout only", exact(float(home.min()), home.size), above=1 - 1e-9),
        Check("largest error of a mean weight", mean(error), below=0.05),
    ]


def _no_rise(results: Results) -> list[Check]:
    """With shuffled advantages subtasks do not get better; with their own they do."""
    shuffled, own = (results.values("delegation", v, "rise of subtask success") for v in (SHUFFLED, MIX))
    if not shuffled.size or not own.size:
        return []
    return [
        Check("rise with shuffled advantages", mean(shuffled), below=0.1),
        Check("rise with their own", mean(own), above=0.1),
    ]


_more = functools.partial(difference, "delegation", metric="final success")
_lm_more = functools.partial(difference, "language", metric="accuracy", above=0.0)
_TINY = "Tiny transformers on held-out questions about bases that no training has seen, sampled as in training."

# fmt: off
CLAIMS = (
    Claim("1-co-train", "Training both agents ends with more right answers than training main alone from the same "
          "start", "delegation", _more(MIX, FROZEN, above=0.0)),
    Claim("2-alignment", "An aligned group has exactly K*d rows, all of their own rollout, each with a mean weight of "
          "d/d_k", "alignment", _aligned),
    Claim("3-aligned-better", "With alignment co-training ends higher than with groups cut from the queue",
          "delegation", _more(MIX, QUEUE, above=0.0)),
    Claim("4-shuffled", "With its advantages shuffled across rollouts the sub-agent's subtasks do not get better",
          "delegation", _no_rise),
    Claim("5-mix", "With a noisy judge the mixed reward is at least as good as the outcome alone (within 0.01)",
          "delegation", _more(MIX, OUTCOME, above=-0.01)),
    Claim("5b-hacked", "With a judge that rates long reports, local reward alone ends below the mix", "delegation",
          _more(HACKED_MIX, HACKED_LOCAL, above=0.0)),
    Claim("6-weights", "Weights d/d_k do what copies do (final success no more than 0.01 below)", "delegation",
          _more(WEIGHTS, MIX, above=-0.01), "Ours: the same expectation without the noise of drawing."),
    Claim("7-language", "A planner and a researcher (language models) answer more questions after both were trained "
          "than before", "language", _lm_more(LM_MIX, LM_START), _TINY),
    Claim("7b-co-train", "Training both ends with more right answers than training the planner alone", "language",
          _lm_more(LM_MIX, LM_FROZEN), _TINY),
    Claim("7c-aligned", "With alignment training ends with more right answers than with groups cut from the queue",
          "language", _lm_more(LM_MIX, LM_QUEUE), _TINY),
    Claim("7d-subtasks", "The researcher brings back more of the facts that it is asked for", "language",
          difference("language", LM_MIX, LM_START, "subtask success", above=0.0), _TINY),
    Claim("8-form", "SmolLM2-135M: a short imitation (stage 1) raises the share of planners' trajectories in form",
          "small", gain("small", STAGE_1, UNTRAINED, "formed", above=0.0),
          "One seed; over held-out questions. How much accuracy there is, is shown and not judged."),
)
# fmt: on
