"""The city's epidemic in shares: the open run to the bit with all measures, slopes, one party's view, refusals."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from command_line import Shoal
from shoal.errors import InputError
from shoal.populations import Network, make_model, network, simulate
from shoal.populations.behaviour import Heuristic, with_behaviour
from shoal.populations.decentralised import Exchange, networks
from shoal.populations.objective import objective
from shoal.populations.private import MessageLog, private, simulate_privately
from shoal.populations.private.leaks import leak_test
from shoal.populations.private.simulation import run_privately
from shoal.populations.private.sums import HelperServers, NeighbourShares, Sums
from shoal.populations.rollout import rollout, run_keys

pytestmark = pytest.mark.usefixtures("quick_compilation")

AT = {"initial": 0.05, "isolation": 0.2, "testing": 0.2, "vaccination": 0.02, "mortality": 0.2, "reproduction": 5.0}
SMALL: dict[str, Any] = {"agents": 240, "workplace": 2.0, "school": 3.0, "others": 3.0}
NETWORKS = ("home", "work", "street")


@pytest.fixture(scope="module")
def city() -> tuple[Any, Any]:
    model = make_model("epidemic", exact=True, **SMALL)
    return model, model.population(0)


@pytest.mark.parametrize("protocol", ["shares", "servers"])
def test_a_private_run_of_the_city_is_the_open_one_to_the_bit(city: tuple[Any, Any], protocol: str) -> None:
    model, population = city
    plain = simulate(model, 21, 2, AT, population=population)
    hidden = simulate_privately(
        model, 21, 2, AT, protocol=protocol, population=population, figures=tuple(plain.series)
    )  # fmt: skip
    for name in ("infections", "deaths", "isolating", "quarantined", "vaccinated"):
        assert plain.series[name].sum() > 0
    for name, x in plain.series.items():
        np.testing.assert_array_equal(hidden.series[name], x)
    assert 0 < hidden.revealing <= 1


def test_every_person_ends_in_the_same_state(city: tuple[Any, Any], sent: tuple[Any, dict[str, np.ndarray]]) -> None:
    model, population = city
    key, values, state = run_keys([3])[0], model.check(AT), sent[0]
    sums = HelperServers(population.home, np.random.default_rng(0), 2)
    run = run_privately(model, 14, key, population, values, sums, ["deaths"])
    for field in ("stage", "caught", "ill", "isolating", "quarantined", "vaccinated"):
        np.testing.assert_array_equal(getattr(run.state, field), getattr(state, field))
    assert run.state.deaths.shape == (240,)  # openly it is one number
    assert run.state.deaths.sum() == state.deaths


@pytest.mark.slow
def test_private_slopes_of_the_city_are_the_open_ones(city: tuple[Any, Any]) -> None:
    model, population = city
    fixed = {name: x for name, x in AT.items() if name not in ("reproduction", "mortality")}
    cases = simulate(model, 14, [5], AT, population=population).series
    data = {"cases": cases["infections"][0], "deaths": cases["deaths"][0]}
    free = {"reproduction": (0.5, 8.0), "mortality": (0.01, 0.5)}
    problem = objective(model, data, free, fixed=fixed, population=population)
    keys = run_keys([1])
    (loss, slope), (private_loss, private_slope) = (
        o.slope(np.zeros(2), keys) for o in (problem, private(problem, "servers"))
    )
    assert private_loss == pytest.approx(loss, rel=1e-6)
    assert np.abs(slope).min() > 1e-3
    np.testing.assert_allclose(private_slope, slope, rtol=1e-3)


@pytest.fixture(scope="module")
def sent(city: tuple[Any, Any]) -> tuple[Any, dict[str, np.ndarray]]:
    """The city on day 14, and what everybody sends there."""
    model, population = city
    state, _ = rollout(model, 14, run_keys([3])[0], population, model.check(AT))
    (exchange,) = (substep for substep in model.substeps() if isinstance(substep, Exchange))
    return state, {name: np.asarray(x) for name, x in exchange.messages(state, model.check(AT)).items()}


def test_numbers_that_are_sent_are_on_the_grid(sent: tuple[Any, dict[str, np.ndarray]]) -> None:
    state, messages = sent
    assert set(messages) == set(NETWORKS) == set(networks(state))
    for x in messages.values():
        assert x.max() > 0
        np.testing.assert_array_equal(x * 2**16, np.round(x * 2**16))
    home, away = np.asarray(state.quarantined + state.isolating) > 0, messages["street"]
    assert not away[home].any()  # those who stay at home send nothing abroad


@pytest.mark.parametrize("kind", [NeighbourShares, HelperServers])
@pytest.mark.parametrize("name", NETWORKS)
def test_no_view_tells_which_of_two_contacts_is_ill(
    sent: tuple[Any, dict[str, np.ndarray]], kind: type[Sums], name: str
) -> None:
    """The numbers of two contacts of somebody change places: the same sum, another assignment."""
    net, one = around_somebody(getattr(sent[0], name), sent[1][name])
    two = one.copy()
    quiet, loud = 1 + one[1:].argmin(), 1 + one[1:].argmax()
    two[[quiet, loud]] = one[[loud, quiet]]
    for party in (0, -1) if kind is HelperServers else (0,):
        found = leak_test(net, one, two, party, kind, repeats=500)
        assert found.p > 0.01
        assert found.messages >= 2


def around_somebody(net: Network, numbers: np.ndarray) -> tuple[Network, np.ndarray]:
    """Somebody (0) with three contacts or more who do not all send the same, their ties, and what they send."""
    offsets, neighbours = np.asarray(net.offsets), np.asarray(net.neighbours)
    groups = (np.append(k, neighbours[offsets[k] : offsets[k + 1]]) for k in range(net.count))
    people = next(g for g in groups if g.size > 3 and np.ptp(numbers[g[1:]]) > 0)
    place = {int(person): k for k, person in enumerate(people)}
    ties = [(place[a], place[b]) for a in place for b in neighbours[offsets[a] : offsets[a + 1]].tolist() if b in place]
    return network(len(people), *(list(ends) for ends in zip(*ties, strict=True))), numbers[people]


def test_messages_over_all_networks_are_counted(city: tuple[Any, Any]) -> None:
    """240 people give each of two servers a share for each network, and get a number of each; totals go there too."""
    model, population = city
    log = MessageLog()
    sums = HelperServers(population.home, np.random.default_rng(0), 2, log)
    run_privately(model, 3, run_keys([1])[0], population, model.check(AT), sums, ["infections"])
    assert log.counts["partial sum"] == 3 * 3 * 2 * 240
    assert log.counts["share"] == 3 * (3 + 1) * 2 * 240


def test_a_behaviour_that_heeds_all_cases_is_refused(city: tuple[Any, Any]) -> None:
    model, population = city
    deciding = with_behaviour(population, Heuristic(population.age))
    with pytest.raises(InputError, match="private behaviour"):
        simulate_privately(model, 2, population=deciding)


def test_the_city_in_shares_from_the_command_line(shoal: Shoal) -> None:
    arguments = ["private", "epidemic", "--agents", "200", "--steps", "6", "--protocol", "servers"]
    arguments += ["--set", "exact=true", "--set", "initial=0.1", "--set", "testing=0.3", "--watch", "-1"]
    document = shoal.json(*arguments)
    assert document["largest_difference"] == {"deaths": 0.0, "infections": 0.0}
    assert document["totals"]["infections"] > 0
