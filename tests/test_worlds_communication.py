"""Worlds that need communication, against hand-computed episodes, exact expectations and their origins."""

from __future__ import annotations

import itertools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from shoal.worlds import make_world
from shoal.worlds.addressee import Addressee, NeededMessage, Referential
from shoal.worlds.lever import Lever
from shoal.worlds.predator_prey import HuntState, PredatorPrey
from shoal.worlds.riddle import ColourDigit, ColourDigitState, SwitchRiddle
from shoal.worlds.sampling import distinct, successors
from shoal.worlds.traffic import Arrivals, TrafficJunction, arrival_at
from world_batches import assert_alone_is_fine, assert_batch_is_singles, assert_refused

KEY = jax.random.key(0)


def begin(world: Any, *batch: int, key: Any = KEY) -> Any:
    return jax.jit(world.reset, static_argnums=1)(key, batch)


def replace(state: Any, **changes: Any) -> Any:
    import dataclasses

    return dataclasses.replace(state, **changes)


# Draws.


def test_distinct_draws_every_ordered_sample_equally_often() -> None:
    picks = np.asarray(jax.jit(distinct, static_argnums=(1, 2, 3))(KEY, 2, 4, (12000,)))
    counts = dict.fromkeys(itertools.permutations(range(4), 2), 0)
    for pair in zip(*picks.tolist(), strict=True):
        counts[pair] += 1  # a repeated number would be a KeyError
    assert all(abs(c - 1000) < 5 * np.sqrt(1000 * 11 / 12) for c in counts.values())
    whole = np.asarray(jax.jit(distinct, static_argnums=(1, 2, 3))(KEY, 5, 5, (50,)))
    assert (np.sort(whole, 0) == np.arange(5)[:, None]).all()


def test_successors_are_one_round_through_everybody() -> None:
    follow = np.asarray(jax.jit(successors, static_argnums=(1, 2))(KEY, 6, (40,)))
    for b in range(40):
        here, seen = 0, []
        for _ in range(6):
            seen.append(here)
            here = int(follow[here, b])
        assert here == 0 and sorted(seen) == list(range(6))
    assert int(successors(KEY, 1, ())[0]) == 0


# The switch riddle.


def riddle(bulb: bool, rooms: list[int], actions: list[list[int]]) -> list[Any]:
    world = SwitchRiddle(bulb=bulb)
    state, _ = begin(world)
    state = replace(state, room=jnp.array(rooms[0]))
    advance, seen = jax.jit(world.advance), []
    for act, called in zip(actions, rooms[1:], strict=True):
        state, timestep = advance(state, jnp.array(act), jnp.array(called))
        seen.append(timestep)
    return seen


def test_telling_pays_only_when_all_have_been_in_the_room() -> None:
    steps = riddle(False, [0, 1, 2, 2], [[0, 0, 0], [0, 0, 0], [0, 0, 1]])
    assert [float(t.reward[0]) for t in steps] == [0, 0, 1]
    assert [bool(t.terminated) for t in steps] == [False, False, True]
    assert float(steps[-1].metrics["success"]) == 1
    early = riddle(False, [0, 1, 2], [[0, 0, 0], [0, 1, 0]])
    assert float(early[-1].reward[0]) == -1 and bool(early[-1].terminated)


def test_only_the_prisoner_in_the_room_acts_and_sees_the_light() -> None:
    steps = riddle(True, [0, 1, 0, 2], [[1, 2, 2], [0, 0, 0], [1, 0, 0]])
    assert not bool(steps[0].terminated)  # the others' tell is nothing
    assert np.asarray(steps[0].obs).tolist() == [[0, 0], [1, 1], [0, 0]]  # lit, seen from inside only
    assert np.asarray(steps[1].obs).tolist() == [[1, 1], [0, 0], [0, 0]]
    assert np.asarray(steps[2].obs).tolist() == [[0, 0], [0, 0], [1, 0]]  # switched off again
    assert np.asarray(steps[0].legal).tolist() == [[True, False, False], [True] * 3, [True, False, False]]


def test_silent_prisoners_who_tell_at_the_end_get_the_exact_expectation() -> None:
    world = SwitchRiddle(bulb=False)
    assert world.horizon == 6

    def episode(key: Any) -> Any:
        state, _ = world.reset(key, (20000,))
        for t in range(6):
            last = jnp.full((3, 20000), t == 5).astype(jnp.int32)
            state, timestep = world.step(jax.random.fold_in(key, t), state, last)
        return timestep.reward[0].mean()

    # All three appear in six draws with probability 540/729.
    assert float(jax.jit(episode)(KEY)) == pytest.approx(2 * 540 / 729 - 1, abs=4 / np.sqrt(20000))


def test_the_riddle_steps_as_in_jaxmarl() -> None:
    origin = pytest.importorskip("jaxmarl").make("switch_riddle", num_agents=4)
    world = SwitchRiddle(count=4)
    assert world.horizon == origin.max_steps
    step, theirs, rng = jax.jit(world.step), jax.jit(origin.step_env), np.random.default_rng(0)
    for seed in range(10):
        key = jax.random.key(seed)
        (state, timestep), (obs, other) = begin(world, key=key), origin.reset(key)
        for t in range(world.horizon):
            key, actions = jax.random.fold_in(key, t), rng.choice(3, 4, p=[0.5, 0.4, 0.1])
            state, timestep = step(key, state, jnp.array(actions))
            named = {f"agent_{i}": jnp.array(a) for i, a in enumerate(actions)}
            obs, other, reward, done, _ = theirs(key, other, named)
            assert (np.asarray(timestep.obs) == np.stack([obs[f"agent_{i}"] for i in range(4)])).all()
            assert float(timestep.reward[0]) == float(reward["agent_0"])
            assert bool(timestep.done) == bool(done["__all__"])
            if bool(timestep.done):
                break


def test_who_has_been_in_the_room_is_hidden() -> None:
    world = SwitchRiddle()
    state, _ = begin(world)
    other = replace(state, been=jnp.array([True, False, True]))
    for agent in range(3):
        assert world.describe(state, agent) == world.describe(other, agent)
    same = [jax.jit(world.advance)(s, jnp.zeros(3, int), jnp.array(1))[1].obs for s in (state, other)]
    assert (same[0] == same[1]).all()


# Colour-digit.


@pytest.mark.parametrize(("told", "value"), [("nothing", 0), ("colour", 2), ("parity", 4), ("all", 4)])
def test_colour_digit_is_worth_the_bit_that_is_told(told: str, value: float) -> None:
    """All 400 pairs of cards, with the best play for what each agent knows."""
    cards = np.array(list(itertools.product(range(2), range(10), range(2), range(10)))).T
    colour, digit = cards[[0, 2]], cards[[1, 3]]
    by_parity, by_colour = (colour + digit[::-1]) % 2, (digit + colour[::-1]) % 2
    # Who knows both cards still plays by the parity, the part that counts double.
    play = {"nothing": 0 * colour, "colour": by_colour, "parity": by_parity, "all": by_parity}[told]
    world = ColourDigit()
    step = jax.jit(world.step)
    state = ColourDigitState(jnp.array(colour), jnp.array(digit), jnp.full(400, 1))
    _, timestep = step(KEY, state, jnp.array(play))
    reward = np.asarray(timestep.reward[0])
    assert reward.mean() == pytest.approx(value) and timestep.terminated.all()
    if told == "all":
        every = [step(KEY, state, jnp.array([[a] * 400, [b] * 400]))[1].reward[0] for a in range(2) for b in range(2)]
        assert (np.max(every, 0) == reward).all()


def test_colour_digit_pays_in_the_last_step_only_and_hides_the_other_card() -> None:
    world = ColourDigit(goal="digit", horizon=3)
    state = ColourDigitState(jnp.array([0, 1]), jnp.array([3, 8]), jnp.array(0))
    step, pays = jax.jit(world.step), []
    for _ in range(3):
        changed = replace(state, digit=jnp.array([3, 1]), colour=jnp.array([0, 0]))
        assert world.describe(state, 0) == world.describe(changed, 0)
        state, timestep = step(KEY, state, jnp.array([8, 2]))
        pays.append(float(timestep.reward[0]))
    assert pays == [0, 0, 0.5]
    assert np.asarray(timestep.obs[0, :12]).tolist() == [1, 0, *[float(d == 3) for d in range(10)]]


# Levers.


def test_levers_pay_the_share_of_different_ones() -> None:
    world = Lever()
    state, first = begin(world, 3)
    pulls = jnp.array([[0, 1, 2, 3, 4], [2, 2, 2, 2, 2], [0, 0, 1, 1, 4]]).T
    _, timestep = jax.jit(world.step)(KEY, state, pulls)
    np.testing.assert_allclose(timestep.reward[0], [1.0, 0.2, 0.6], atol=1e-6)
    assert np.asarray(timestep.metrics["success"]).tolist() == [1, 0, 0]
    assert (first.obs.sum(1) == 1).all() and first.obs.shape == (5, 50, 3)


def test_random_pulls_get_the_exact_share() -> None:
    world = Lever()
    state, _ = begin(world, 40000)
    pulls = jax.random.randint(KEY, (5, 40000), 0, 5)
    share = jax.jit(world.step)(KEY, state, pulls)[1].metrics["distinct"]
    assert float(share.mean()) == pytest.approx(1 - 0.8**5, abs=4 * float(share.std()) / 200)


# Traffic junction.


def drive(world: TrafficJunction, comes: list[list[int]], actions: list[list[int]]) -> list[Any]:
    """Episode with given arrivals; free cars are taken by number."""
    state, _ = begin(world)
    advance, seen = jax.jit(world.advance), []
    doors = len(comes[0])
    for come, act in zip(comes, actions, strict=True):
        noise = jnp.arange(world.count) / world.count
        chance = Arrivals(jnp.array(come, bool), jnp.zeros(doors, jnp.int32), noise)
        state, timestep = advance(state, jnp.array(act), chance)
        seen.append((state, timestep))
    return seen


def test_a_lone_car_crosses_the_easy_map() -> None:
    world = TrafficJunction(count=1)
    steps = drive(world, [[1, 0]] + [[0, 0]] * 7 + [[1, 0]], [[0]] * 9)
    rewards = [float(t.reward[0]) for _, t in steps]
    np.testing.assert_allclose(rewards, [0, *(-0.01 * k for k in range(1, 7)), 0, 0], atol=1e-6)
    assert [bool(t.alive[0]) for _, t in steps] == [True] * 7 + [False, True]
    state, last = steps[7]
    assert int(state.arrived) == 1 and not last.obs.any() and np.asarray(last.legal).tolist() == [[True, False]]


def test_cars_that_share_a_cell_crash_each_step() -> None:
    world = TrafficJunction(count=2)
    go, stop = [0, 0], [1, 1]
    steps = drive(world, [[1, 1]] + [[0, 0]] * 5, [go, go, go, go, stop, go])
    rewards = np.array([np.asarray(t.reward) for _, t in steps])
    np.testing.assert_allclose(rewards[:, 0], [0, -0.01, -0.02, -10.03, -10.04, -0.05], atol=1e-5)
    np.testing.assert_allclose(rewards[:, 0], rewards[:, 1], atol=1e-6)
    assert [float(t.metrics["success"]) for _, t in steps] == [1, 1, 1, 0, 0, 0]
    assert float(steps[-1][1].metrics["crashes"]) == 4
    seen = np.asarray(steps[4][1].obs)
    assert seen[0, 0] == 1 and seen[0, -1] == 2  # braked; two cars in the cell


@pytest.mark.parametrize(("level", "entrances", "routes"), [("easy", 2, 2), ("medium", 4, 12), ("hard", 8, 56)])
def test_routes_are_as_many_as_published_and_stay_on_the_road(level: str, entrances: int, routes: int) -> None:
    world = TrafficJunction(level=level)
    found, road = world.routes(), world.road()
    assert len(found) == len(set(found)) == routes
    assert len({r[0] for r in found}) == entrances
    edge = {0, world.side - 1}
    for route in found:
        cells = np.array(route)
        assert (np.abs(np.diff(cells, axis=0)).sum(1) == 1).all() and road[tuple(cells.T)].all()
        assert set(route[0]) & edge and set(route[-1]) & edge


def test_the_medium_left_turn_passes_the_middle() -> None:
    straight, right, left = TrafficJunction(level="medium").routes()[:3]
    assert straight == tuple((r, 6) for r in range(14))
    assert right == (*((r, 6) for r in range(7)), *((6, c) for c in range(5, -1, -1)))
    assert left == (*((r, 6) for r in range(8)), *((7, c) for c in range(7, 14)))


def test_arrivals_have_their_rate_and_end_when_the_road_is_full() -> None:
    world = TrafficJunction(count=30, arrival=0.3)

    def mean(key: Any) -> Any:
        state, _ = world.reset(key, (3000,))
        return world.step(key, state, jnp.zeros((30, 3000), int))[1].alive.sum(0).mean()

    assert float(jax.jit(mean)(KEY)) == pytest.approx(0.6, abs=4 * np.sqrt(0.42 / 3000))
    crowded = drive(TrafficJunction(count=1), [[1, 1]] * 2, [[1], [1]])
    assert int(crowded[-1][0].active.sum()) == 1


def test_the_curriculum_rises_in_hundredths() -> None:
    assert [arrival_at("easy", e) for e in (0, 250, 750, 1250, 2000)] == [0.1, 0.1, 0.2, 0.3, 0.3]
    assert arrival_at("medium", 1250) == 0.2 and arrival_at("hard", 250 + 1000 / 3) == 0.03


def test_a_car_sees_no_further_than_its_vision() -> None:
    world = TrafficJunction(count=2, vision=1)
    state = drive(world, [[1, 1]], [[0, 0]])[0][0]
    observe = jax.jit(lambda s: world._timestep(s)[1].obs[0])
    near, far = replace(state, progress=jnp.array([2, 2])), replace(state, progress=jnp.array([2, 0]))
    gone = replace(far, active=jnp.array([True, False]))
    assert (observe(near) != observe(gone)).any()
    assert (observe(far) == observe(gone)).all()


# Predator and prey.


def hunt(world: PredatorPrey, rows: list[int], columns: list[int], prey: tuple[int, int]) -> HuntState:
    nobody = jnp.zeros(len(rows), bool)
    return HuntState(jnp.array(rows), jnp.array(columns), nobody, jnp.array(prey[0]), jnp.array(prey[1]), jnp.array(0))


@pytest.mark.parametrize(
    ("pay", "one", "two"), [("mixed", 0.0, 0.0), ("cooperative", 0.05, 0.10), ("competitive", 0.05, 0.025)]
)
def test_the_prey_pays_by_the_number_of_predators(pay: str, one: float, two: float) -> None:
    world = PredatorPrey(pay=pay, prey_talks=True)
    step = jax.jit(world.step)
    state = hunt(world, [0, 2, 4], [1, 1, 4], (1, 1))
    state, timestep = step(KEY, state, jnp.array([2, 4, 4, 0]))
    np.testing.assert_allclose(timestep.reward, [one, -0.05, -0.05, 0.0], atol=1e-7)
    state, timestep = step(KEY, state, jnp.array([0, 0, 2, 0]))  # the first is there and stays; walls stop the third
    np.testing.assert_allclose(timestep.reward, [two, two, -0.05, 0.0], atol=1e-7)
    assert (int(state.row[0]), int(state.row[2])) == (1, 4)
    assert not bool(timestep.terminated)
    state, timestep = step(KEY, replace(state, row=jnp.array([1, 1, 1]), column=jnp.array([1, 1, 2])), jnp.full(4, 3))
    assert float(timestep.metrics["success"]) == 1
    assert bool(timestep.terminated) == (pay == "mixed")


def test_a_free_prey_gains_and_can_only_stay() -> None:
    world = PredatorPrey(prey_talks=True)
    state, timestep = jax.jit(world.step)(KEY, hunt(world, [0, 0, 0], [0, 1, 2], (4, 4)), jnp.array([4, 4, 4, 0]))
    assert float(timestep.reward[3]) == pytest.approx(0.05)
    assert (int(state.prey_row), int(state.prey_column)) == (4, 4)
    assert np.asarray(timestep.legal[3]).tolist() == [False] * 4 + [True]
    assert world.agents[3] == "prey"


def test_a_predator_sees_the_square_around_it() -> None:
    world = PredatorPrey(vision=1)
    look = jax.jit(lambda s: world._timestep(s, jnp.zeros(3)).obs)
    obs = np.asarray(look(hunt(world, [0, 0, 4], [0, 0, 4], (1, 1))))
    outside, prey, predators = obs[0, 25:].reshape(3, 3, 3)
    assert outside.tolist() == [[1, 1, 1], [1, 0, 0], [1, 0, 0]]
    assert prey[2, 2] == 1 and prey.sum() == 1
    assert predators[1, 1] == 2 and predators.sum() == 2
    assert obs[0, :25].argmax() == 0 and obs[2, :25].argmax() == 24
    moved = np.asarray(look(hunt(world, [0, 0, 3], [0, 0, 3], (2, 2))))
    hidden = np.asarray(look(hunt(world, [0, 0, 4], [0, 0, 3], (3, 2))))
    assert (moved[:2] == hidden[:2]).all()


# Addressee, needed message, referential.


@pytest.mark.parametrize("knows", ["sender", "receiver"])
def test_the_addressed_symbol_is_the_answer(knows: str) -> None:
    world = Addressee(knows=knows, shared=False)
    state, first = begin(world, 50)
    symbol, to = np.asarray(state.symbol), np.asarray(state.to)
    answer = np.zeros_like(symbol)
    for b in range(50):
        answer[to[:, b], b] = symbol[:, b]
    right = answer.copy()
    right[0] = (right[0] + 1) % 4
    _, timestep = jax.jit(world.step)(KEY, state, jnp.array(right))
    assert np.asarray(timestep.reward[0]).tolist() == [0] * 50 and bool((timestep.reward[1:] == 1).all())
    assert bool(timestep.terminated.all())
    partner = np.asarray(first.obs)[:, 10:16].argmax(1)
    assert (partner == (to if knows == "sender" else to.argsort(0))).all()


def test_other_agents_symbols_are_hidden() -> None:
    world = Addressee()
    state, _ = begin(world)
    other = replace(state, symbol=state.symbol.at[1:].set((state.symbol[1:] + 1) % 4))
    look = jax.jit(lambda s: world._timestep(s, jnp.zeros(6)).obs)
    assert (look(state)[0] == look(other)[0]).all() and (look(state)[1] != look(other)[1]).any()
    assert world.describe(state, 0) == world.describe(other, 0)


def test_a_needed_message_is_needed_with_probability_q() -> None:
    world = NeededMessage(q=0.3, symbols=4, horizon=4)
    state, timestep = begin(world, 2000)
    needed, symbol = np.asarray(state.needed), np.asarray(state.symbol)
    assert needed.mean() == pytest.approx(0.3, abs=4 * np.sqrt(0.21 / needed.size))
    step = jax.jit(world.step)
    for t in range(4):
        answer = np.where(needed[::-1, t], symbol[::-1, t] + 1, 0)
        rest = step(KEY, state, jnp.zeros((2, 2000), int))[1]
        assert (np.asarray(rest.reward) == ~needed[::-1, t]).all()
        state, timestep = step(KEY, state, jnp.array(answer))
        assert bool((timestep.reward == 1).all())
    assert bool(timestep.truncated.all())
    assert world.least_talking == 0.3 and NeededMessage(q=1.0, symbols=4).least_talking == 0.75


def test_a_delayed_answer_is_judged_by_the_fact_before() -> None:
    world = NeededMessage(q=1.0, delay=1, horizon=3)
    state, _ = begin(world, 20)
    symbol, step = np.asarray(state.symbol), jax.jit(world.step)
    state, timestep = step(KEY, state, jnp.array(symbol[::-1, 0] + 1))
    assert not bool(timestep.reward.any())
    _, timestep = step(KEY, state, jnp.array(symbol[::-1, 0] + 1))
    assert bool((timestep.reward == 1).all())


def test_facts_of_others_and_of_later_steps_are_hidden() -> None:
    world = NeededMessage()
    state, _ = begin(world)
    other = replace(state, needed=~state.needed.at[0, 0].set(~state.needed[0, 0]), symbol=state.symbol.at[0, 1:].set(9))
    look = jax.jit(lambda s: world._timestep(s, jnp.zeros(2)).obs[0])
    assert (look(state) == look(other)).all()


def test_the_listener_points_among_different_objects_and_does_not_see_the_target() -> None:
    world = Referential(attributes=2, values=3, candidates=4)
    state, first = begin(world, 300)
    objects, target = np.asarray(state.objects), np.asarray(state.target)
    assert all(len(set(column)) == 4 for column in objects.T)
    meanings = world.meanings()
    assert len({tuple(m) for m in meanings}) == 9
    spoken = np.asarray(first.obs)[0, :6].reshape(2, 3, 300).argmax(1).T
    assert (spoken == meanings[objects[target, np.arange(300)]]).all()
    shown = np.asarray(first.obs)[1, :24].reshape(4, 2, 3, 300).argmax(2)
    assert (shown.transpose(2, 0, 1) == meanings[objects.T]).all()
    assert not np.asarray(first.obs)[0, 6:].any()
    step = jax.jit(world.step)
    _, right = step(KEY, state, jnp.stack([jnp.zeros(300, jnp.int32), state.target]))
    _, wrong = step(KEY, state, jnp.stack([jnp.zeros(300, jnp.int32), (state.target + 1) % 4]))
    assert bool((right.reward == 1).all()) and not bool(wrong.reward.any())
    look = jax.jit(lambda s: world._timestep(s, jnp.zeros(300)).obs[1])
    assert (look(state) == look(replace(state, target=(state.target + 1) % 4))).all()


# All of them.


def called(count: int) -> Any:
    return lambda key, batch: jax.random.randint(key, batch, 0, count)


def arrivals(world: TrafficJunction) -> Any:
    def draw(key: Any, batch: tuple[int, ...]) -> Arrivals:
        noise = jax.random.uniform(key, (world.count + 8, *batch))
        return Arrivals(noise[:4] < 0.5, (noise[4:8] * 3).astype(jnp.int32), noise[8:])

    return draw


@pytest.mark.parametrize(
    ("spec", "draws"),
    [
        ("switch-riddle", called(3)),
        ("colour-digit", None),
        ("lever", None),
        ("traffic-junction:level=medium,vision=1", arrivals(TrafficJunction(level="medium"))),
        ("predator-prey:vision=1,pay=competitive,prey_talks=true", None),
        ("addressee", None),
        ("needed-message:delay=1", None),
        ("referential", None),
    ],
)
def test_a_batch_is_its_worlds_one_by_one(spec: str, draws: Any) -> None:
    many = "traffic" in spec or "prey" in spec
    assert_batch_is_singles(make_world(spec), 5 if many else 2, draws=draws, fold="traffic" in spec)


@pytest.mark.parametrize(
    "spec",
    [
        "switch-riddle:count=1",
        "lever:count=1",
        "traffic-junction:count=1",
        "predator-prey:count=1",
        "addressee:count=1",
    ],
)
def test_one_agent_alone_runs(spec: str) -> None:
    assert_alone_is_fine(spec, 2)


def test_bad_settings_are_refused() -> None:
    for name in ("switch-riddle", "lever", "traffic-junction", "predator-prey", "addressee", "needed-message"):
        assert_refused(name, "count", 0)
    assert_refused("switch-riddle", "horizon", 0)
    assert_refused("colour-digit", "goal", "shade")
    assert_refused("lever", "pool", 4)
    assert_refused("traffic-junction", "level", "brutal")
    assert_refused("traffic-junction", "arrival", 1.5)
    assert_refused("traffic-junction", "size", 7)
    assert_refused("traffic-junction", "vision", 6)
    assert_refused("predator-prey", "size", 1)
    assert_refused("predator-prey", "pay", "piecework")
    assert_refused("predator-prey", "vision", -2)
    assert_refused("addressee", "symbols", 1)
    assert_refused("addressee", "knows", "nobody")
    assert_refused("needed-message", "q", 1.5)
    assert_refused("needed-message", "delay", 10)
    assert_refused("referential", "candidates", 26)
    assert_refused("referential", "talk", -1)
