"""Prompt tuning: slopes against finite differences, a planted best wording, what entropy keeps open, refusals."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from shoal.errors import InputError
from shoal.populations.prompting import Template, _entropy_slope, _score, _softmax, reward, tune_prompt

TEMPLATE = Template(
    "You are {who}. {risk} Do you stay at home?",
    {"who": ("a clerk", "a worried parent", "a student"), "risk": ("Cases rise.", "Cases fall.")},
)
TARGETS = np.array([0.8, 0.3])
LEAN = {"worried": np.array([0.4, 0.1]), "rise": np.array([0.3, 0.1])}


def scripted(prompt: str) -> np.ndarray:
    """Says 0.1 (0.1) of its own, and more by what the prompt mentions: the targets are met by one wording alone."""
    return 0.1 + sum((lean for word, lean in LEAN.items() if word in prompt), np.zeros(2))


def test_the_planted_best_wording_is_found() -> None:
    rewards = {k: reward(scripted(TEMPLATE.filled(dict(zip(("who", "risk"), k, strict=True)))), TARGETS)
               for k in product(range(3), range(2))}  # fmt: skip
    assert max(rewards, key=lambda k: rewards[k]) == (1, 0)
    found = [tune_prompt(TEMPLATE, scripted, TARGETS, 600, seed) for seed in range(4)]
    for tuned in found:
        assert tuned.best == {"who": 1, "risk": 0}
        assert tuned.prompt == "You are a worried parent. Cases rise. Do you stay at home?"
        assert tuned.queries == tuned.rewards.size == 600
        assert tuned.rewards[-100:].mean() > tuned.rewards[:100].mean()
    assert np.mean([tuned.probabilities["who"][1] for tuned in found]) > 0.6


def test_wordings_that_make_no_difference_stay_open() -> None:
    """Rewards are all the same: nothing is reinforced, and entropy has nothing to mend."""
    tuned = tune_prompt(TEMPLATE, lambda prompt: TARGETS, TARGETS, 50)
    for shares in tuned.probabilities.values():
        np.testing.assert_allclose(shares, 1 / shares.size)
    assert (tuned.rewards == 1.0).all()


def test_the_same_seed_draws_the_same_prompts() -> None:
    a, b, c = (tune_prompt(TEMPLATE, scripted, TARGETS, 30, seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(a.rewards, b.rewards)
    assert (a.rewards != c.rewards).any()


def test_slopes_are_those_of_finite_differences() -> None:
    logits = np.array([0.3, -1.2, 0.8])

    def entropy(x: np.ndarray) -> float:
        return float(-(_softmax(x) * np.log(_softmax(x))).sum())

    for k, step in enumerate(1e-5 * np.eye(3)):
        difference = (np.log(_softmax(logits + step)[1]) - np.log(_softmax(logits - step)[1])) / 2e-5
        assert _score(logits, 1)[k] == pytest.approx(difference, abs=1e-8)
        difference = (entropy(logits + step) - entropy(logits - step)) / 2e-5
        assert _entropy_slope(logits)[k] == pytest.approx(difference, abs=1e-8)


def test_the_reward_is_the_mean_over_groups() -> None:
    assert reward([0.5, 0.5], np.array([0.5, 1.0])) == pytest.approx((1 + 0.75) / 2)


def test_bad_templates_targets_and_answers() -> None:
    for text, choices, match in (
        ("nothing to choose", {}, "place"),
        ("{a} {b}", {"a": ("x", "y")}, "choices b"),
        ("{a}", {"a": ("x", "y"), "b": ("x", "y")}, "choices b"),
        ("{a}", {"a": ("x",)}, "two wordings"),
        ("{a", {"a": ("x", "y")}, "text"),
    ):
        with pytest.raises(InputError, match=match):
            Template(text, choices)
    for targets in ([], [1.2], [float("nan")], [[0.5]]):
        with pytest.raises(InputError, match="targets"):
            tune_prompt(TEMPLATE, scripted, targets)
    with pytest.raises(InputError, match="steps"):
        tune_prompt(TEMPLATE, scripted, TARGETS, 0)
    for wrong in ([0.5], [float("nan"), 0.5]):
        with pytest.raises(InputError, match="answers"):
            tune_prompt(TEMPLATE, lambda prompt, wrong=wrong: wrong, TARGETS)
