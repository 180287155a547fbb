"""Hard limits hold with any number of calls in flight, and seeds are distinct by construction."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.errors import BudgetExceeded, InputError
from shoal.runs import Budget, Limits, derive, generator
from shoal.runs.study import Trial
from shoal.traces import TraceWriter, Usage


@pytest.mark.parametrize("value", [0, -1])
@pytest.mark.parametrize("name", ["tokens", "calls", "seconds", "money"])
def test_a_budget_of_nothing_is_refused(name: str, value: int) -> None:
    with pytest.raises(InputError, match=name) as caught:
        Limits(**{name: value})
    assert caught.value.exit_code == 2


@given(
    limit=st.integers(1, 500),
    calls=st.lists(st.tuples(st.integers(1, 60), st.floats(0, 1), st.booleans()), max_size=60),
)
def test_tokens_spent_never_pass_the_limit(limit: int, calls: list[tuple[int, float, bool]]) -> None:
    budget = Budget(Limits(tokens=limit))
    flying: list[tuple[int, int]] = []
    for most, share, finish in calls:
        try:
            budget.reserve("a", most)
            flying.append((most, int(most * share)))
        except BudgetExceeded:
            pass
        if finish and flying:
            reserved, used = flying.pop(0)
            budget.settle("a", reserved, Usage(completion_tokens=used, calls=1))
    for reserved, used in flying:
        budget.settle("a", reserved, Usage(completion_tokens=used, calls=1))
    assert budget.used.tokens <= limit


def test_agents_have_their_own_limits() -> None:
    budget = Budget(Limits(calls=3), per_agent=Limits(calls=1))
    budget.reserve("a", 1)
    with pytest.raises(BudgetExceeded, match="agent a"):
        budget.reserve("a", 1)
    budget.reserve("b", 1)
    budget.reserve("c", 1)
    with pytest.raises(BudgetExceeded, match="run"):
        budget.reserve("d", 1)


def test_money_and_time_stop_the_next_call() -> None:
    budget = Budget(Limits(money=0.01))
    budget.reserve("a", 1)
    budget.settle("a", 1, Usage(calls=1, money=0.02))
    with pytest.raises(BudgetExceeded, match=r"\$0\.01"):
        budget.reserve("a", 1)
    flying = Budget(Limits(money=0.05))
    flying.reserve("a", 1, 0.03)
    with pytest.raises(BudgetExceeded, match="set aside"):
        flying.reserve("a", 1, 0.03)
    late = Budget(Limits(seconds=1e-9))
    with pytest.raises(BudgetExceeded, match="s is over"):
        late.reserve("a", 1)


def test_seeds_are_distinct_and_do_not_depend_on_order() -> None:
    seeds = {derive(0, "experiment", i, name) for i in range(100) for name in ("a", "b")}
    assert len(seeds) == 200
    assert derive(0, 1, 2) != derive(0, 12)
    assert derive(0, "1") != derive(0, 1)
    # Recorded results name their seeds: what follows from one must not change between versions.
    assert derive(0, "experiment", 3, "a") == 1817425085479582293
    assert generator(7, "x").integers(1 << 30) == generator(7, "x").integers(1 << 30) == 738869082


def test_a_vectorised_trial_derives_what_each_replicate_would_alone() -> None:
    whole = Trial(
        config=None, experiment="x", variant="v", seed=2, root=7, trace=TraceWriter(None, "x"), seeds=(2, 3, 4)
    )
    alone = [dataclasses.replace(whole, seed=seed, variant="another").derive("luck") for seed in whole.seeds]
    assert whole.derive_each("luck") == alone
    assert len({*alone, *whole.derive_each("other luck")}) == 6
