"""Samples of a population's ties."""

from __future__ import annotations

import numpy as np
import pytest

from shoal.errors import InputError
from shoal.populations import make_model, network
from shoal.populations.samples import networks_of, snowball


def test_a_snowball_holds_neighbours_and_all_ties_among_them() -> None:
    ring = network(10, np.arange(10), (np.arange(10) + 1) % 10)
    sample = snowball({"ring": ring}, size=5, seed=2)
    gaps = sorted(np.diff(np.sort(sample.agents)).tolist())
    assert sample.agents.size == 5
    assert gaps in ([1, 1, 1, 1], [1, 1, 1, 6])  # an arc, perhaps across agent 0
    assert len(sample.ties["ring"]) == 4
    assert sample.place.shape == (5, 2)
    assert np.abs(sample.place).max() <= 1 + 1e-9
    again = snowball({"ring": ring}, size=5, seed=2)
    assert np.array_equal(again.agents, sample.agents)


def test_all_are_taken_where_there_are_few_and_none_where_there_are_no_ties() -> None:
    pair = network(3, [0], [1])
    assert snowball({"pair": pair}, size=80).agents.tolist() == [0, 1]
    with pytest.raises(InputError, match="no ties"):
        snowball({}, size=80)
    with pytest.raises(InputError, match="at least 2"):
        snowball({"pair": pair}, size=1)


def test_networks_are_found_in_a_population_by_name() -> None:
    city = make_model("epidemic", agents=100).population(0)
    assert set(networks_of(city)) == {"home", "work", "street"}
    swarm = make_model("vicsek", agents=10).population(0)
    assert networks_of(swarm) == {}
