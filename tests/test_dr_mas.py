"""Dr. MAS: tables that play and learn as they should, and the study's claims."""

from __future__ import annotations

import numpy as np
import pytest

from shoal.posttrain.advantages import agent_advantages
from shoal.posttrain.problems.search_team import EASY, FOUND_BY_GOOD, Repair, SearchTeam
from shoal.posttrain.problems.tables import Adam, Rows, chances, gradients
from shoal.studies.dr_mas import AGENT, MIXED, STUDY, advantages


def expert(problem: SearchTeam, turns: int) -> dict[str, np.ndarray]:
    """Searches with the good template until the fact is known or ``turns`` are spent, then answers rightly."""
    tables = problem.fresh(1)
    tables["search"][..., 0] = tables["answer"][..., 0] = 50.0
    tables["verifier"][:, :turns, 0] = 50.0
    tables["verifier"][:, turns:, 1] = 50.0
    return chances(tables)


@pytest.mark.parametrize("turns", [0, 1, 3])
def test_the_search_team_earns_what_its_rules_say(turns: int) -> None:
    rows = SearchTeam().play(expert(SearchTeam(), turns), 4000, 5, np.random.default_rng(0))
    lost = (1 - FOUND_BY_GOOD) ** turns
    assert rows.outcome.mean() == pytest.approx(1 - lost * (1 - EASY), abs=0.02)


def test_a_repairer_is_called_only_after_failure() -> None:
    rows = Repair().play(chances(Repair().fresh(2)), 500, 4, np.random.default_rng(0))
    solver, repairer = rows.agent == 0, rows.agent == 1
    assert solver.sum() == rows.outcome.size
    assert rows.reward[repairer].mean() < 0.1 < rows.outcome.mean()
    alone = np.setdiff1d(rows.trajectory[solver], rows.trajectory[repairer])
    assert (rows.outcome.ravel()[alone] == 1).all()


def test_gradients_are_those_of_the_expected_advantage() -> None:
    problem, rng = SearchTeam(), np.random.default_rng(1)
    tables = {name: rng.normal(size=x.shape) for name, x in problem.fresh(2).items()}
    rows = problem.play(chances(tables), 6, 3, rng)
    gain = rng.normal(size=rows.agent.size)

    def value(change: dict[str, np.ndarray]) -> float:
        now, total = chances(change), 0.0
        for number, name in enumerate(problem.agents):
            own = rows.agent == number
            for seed in range(2):
                mine = own & (rows.seed == seed)
                logp = np.log(now[name][seed, rows.state[mine], rows.action[mine]])
                total += float((gain[mine] * logp).mean()) if mine.any() else 0.0
        return total

    slopes = gradients(problem, tables, rows, gain)
    for name in problem.agents:
        place = tuple(rng.integers(0, n) for n in tables[name].shape)
        up, down = ({k: x.copy() for k, x in tables.items()} for _ in range(2))
        up[name][place] += 1e-5
        down[name][place] -= 1e-5
        assert slopes[name][place] == pytest.approx((value(up) - value(down)) / 2e-5, abs=1e-6)


def test_tables_learn_the_task() -> None:
    problem, rng = SearchTeam(), np.random.default_rng(0)
    tables, optimiser, reward = problem.fresh(2), Adam(0.1), []
    for _ in range(80):
        rows = problem.play(chances(tables), 16, 5, rng)
        gain = agent_advantages(rows.reward, task=rows.task, trajectory=rows.trajectory, agent=rows.agent)
        tables = optimiser.ascend(tables, gradients(problem, tables, rows, gain))
        reward.append(rows.outcome.mean())
    assert np.mean(reward[:5]) < 0.1 and np.mean(reward[-5:]) > 0.85


def test_permuted_names_stay_in_their_episode() -> None:
    trajectory = np.repeat([0, 1, 2, 3], [3, 1, 4, 2])
    agent = np.array([0, 1, 1, 0, 0, 1, 2, 1, 2, 2])
    task = np.zeros(10, np.int64)
    rows = Rows(task, task, trajectory, agent, task, task, np.arange(10.0), np.zeros((1, 1, 4)))
    shuffled = advantages(rows, MIXED, np.random.default_rng(0))
    assert shuffled.shape == (10,) and not np.allclose(shuffled, advantages(rows, AGENT, np.random.default_rng(0)))
    same = Rows(task, task, np.arange(10), agent, task, task, np.arange(10.0), np.zeros((1, 1, 10)))
    np.testing.assert_allclose(
        advantages(same, MIXED, np.random.default_rng(0)), advantages(same, AGENT, np.random.default_rng(0))
    )


def test_claims_follow_the_measurements() -> None:
    from shoal.runs.results import Results

    claims = {claim.id: claim for claim in STUDY.claims}
    results = Results()
    for seed in range(10):
        for mode, spike in (("agent", 2.0), ("global", 5.0)):
            results.add("repair", mode, seed, {"gradient, p99 over median": spike + 0.01 * seed, "final reward": 0.5})
    (check,) = claims["3-spikes"].checks(results)
    assert check.estimate.value == 1.0
    (check,) = claims["5b-reward-stress"].checks(results)
    assert check.estimate.value == 0.0
    assert claims["2-search"].checks(results) == []
