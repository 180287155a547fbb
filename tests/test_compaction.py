"""Compaction against numpy, and sums along few ties against sums over all, bit for bit."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from shoal.populations import network
from shoal.populations import networks as networks_module
from shoal.populations.compaction import positions, running


@pytest.mark.parametrize(("count", "room"), [(1, 1), (31, 40), (200, 30)])
def test_positions_are_those_of_the_set_agents(count: int, room: int) -> None:
    rng = np.random.default_rng(1)
    listed = jax.jit(positions, static_argnums=1)
    for share in (0.0, 0.02, 0.1, 0.5, 1.0):
        for _ in range(5):
            mask = rng.random(count) < share
            there = np.flatnonzero(mask)[:room]
            expected = np.pad(there, (0, room - there.size), constant_values=count)
            np.testing.assert_array_equal(listed(jnp.asarray(mask), room), expected)


def test_running_joins_all_before() -> None:
    values = np.random.default_rng(2).integers(-50, 50, 77).astype(np.int32)
    total, most = jax.jit(lambda x: (running(jnp.add, x), running(jnp.maximum, x)))(values)
    np.testing.assert_array_equal(total, np.cumsum(values))
    np.testing.assert_array_equal(most, np.maximum.accumulate(values))


@pytest.mark.parametrize("senders", [1, 15])
def test_sums_along_few_ties_are_those_over_all(senders: int) -> None:
    rng = np.random.default_rng(3)
    count = 1000
    net = network(count, *rng.integers(0, count - 5, (2, 2000)))  # the last five have no ties and may send
    weight = np.zeros(count, np.float32)
    chosen = rng.choice(count - 5, senders, replace=False)
    weight[chosen] = rng.random(senders)
    weight[-1] = 1.0 if senders == 1 else 0.0
    assert int(np.asarray(net.degrees)[weight != 0].sum()) <= net.ties // networks_module.FEW
    along, whole = (jax.jit(f)(net, jnp.asarray(weight)) for f in (networks_module._along, networks_module._whole))
    np.testing.assert_array_equal(along, whole)


def test_agents_numbered_by_their_ties_need_no_places() -> None:
    rng = np.random.default_rng(4)
    count = 400
    first, second = rng.integers(0, count, (2, 900))
    net = network(count, first, second)
    order = np.argsort(np.asarray(net.degrees), kind="stable")
    number = np.argsort(order)
    numbered = network(count, number[first], number[second])
    assert net.place is not None and numbered.place is None
    weight = rng.integers(0, 9, count).astype(np.float32)
    np.testing.assert_array_equal(numbered.total(jnp.asarray(weight[order])), np.asarray(net.total(weight))[order])


def test_thin_slices_are_joined_to_wider_ones() -> None:
    rng = np.random.default_rng(5)
    net = network(5000, *rng.integers(0, 5000, (2, 10_000)))
    rows = [table.shape[1] for table in net.slices]
    assert min(rows[:-1]) >= networks_module.THIN
    assert sum(rows) + net.lonely == 5000
