"""Punishing learners: one update against NumPy, a whole episode against a plain rewrite, and the study's parts."""

from __future__ import annotations

import asyncio
from typing import Any

import jax
import jax.numpy as jnp
import networkx as nx
import numpy as np
import pytest

from shoal.errors import InputError
from shoal.games import make_game
from shoal.games.compilation import quickly_compiled
from shoal.games.deep_q import BATCH, Learner, Memory, Pace, StateSpace, act, learn, pack, unpack
from shoal.games.playing import play_match
from shoal.games.punishment import DILEMMA, FAITHFUL, SLOW, Condition, caveman
from shoal.games.punishment_episode import play_episode
from shoal.games.punishment_game import PunishmentGame, scripted_seat
from shoal.games.punishment_learning import train_societies
from shoal.games.punishment_society import PLAYS, begin
from shoal.runs.results import Results
from shoal.stats import Evidence, Verdict, judge
from shoal.studies import direct_punishment as study
from shoal.studies.direct_punishment import STUDY

# one update


def numpy_step(learner: Learner, states: Any, action: Any, goal: Any, rate: float) -> list[Any]:
    """The first Adam step on the smooth L1 loss, with derivatives written out."""
    first, second, bias = (
        np.asarray(x, float) for x in (learner.network.first, learner.network.second, learner.network.bias)
    )
    x = np.vstack([states, np.ones(states.shape[1])])
    hidden = np.maximum(first @ x, 0)
    values = second @ hidden + bias[:, None]
    error = np.clip(values[action, np.arange(BATCH)] - goal, -1, 1) / BATCH
    out = np.zeros_like(values)
    out[action, np.arange(BATCH)] = error
    back = (second.T @ out) * (hidden > 0)
    grads = [back @ x.T, out @ hidden.T, out.sum(1)]
    # At the first step both moments are corrected to the gradient itself.
    return [p - rate * g / (np.abs(g) + 1e-8) for p, g in zip((first, second, bias), grads, strict=True)]


@pytest.mark.parametrize("extra", [0, 2])
def test_an_update_is_the_numpy_step(extra: int) -> None:
    space, rng = StateSpace(PLAYS, extra, 2), np.random.default_rng(extra)
    learner = quickly_compiled("space")(Learner.begin)(jax.random.key(1), space)
    before, action, after, done = (rng.integers(0, k, BATCH) for k in (9, 2, 9, 2))
    reward, numbers = rng.normal(size=BATCH) * 3, rng.normal(size=(2 * extra, BATCH)) * 5
    rows = jnp.stack([pack(*map(jnp.asarray, (before, action, after, done))), jnp.asarray(reward), *numbers], 1)
    table = np.array(PLAYS).T
    states, nexts = (np.vstack([table[:, s], x]) for s, x in ((before, numbers[:extra]), (after, numbers[extra:])))
    ahead = np.asarray(learner.target(jnp.asarray(nexts))).max(0)
    wanted = numpy_step(learner, states, action, reward + 0.9 * (1 - done) * ahead, 0.01)
    once = quickly_compiled("space")(learn)
    new = once(space, learner, rows, jnp.array(True), Pace(0.01, 1.0, 0.1, 0.5), jnp.array(0.9))
    for mine, theirs in zip((new.network.first, new.network.second, new.network.bias), wanted, strict=True):
        assert np.allclose(mine, theirs, atol=2e-4)
    assert int(new.updates) == 1 and np.array_equal(new.target.first, learner.network.first)
    same = once(space, learner, rows, jnp.array(False), Pace(0.01, 1.0, 0.1, 0.5), jnp.array(0.9))
    assert np.array_equal(same.network.first, learner.network.first) and int(same.updates) == 0


def test_codes_exploration_and_choices() -> None:
    s, a, t, d = (jnp.array(x) for x in ([0, 15, 7], [31, 0, 3], [15, 8, 0], [1, 0, 1]))
    assert all(np.array_equal(x, y) for x, y in zip(unpack(pack(s, a, t, d)), (s, a, t, d), strict=True))
    falls = [float(FAITHFUL.punish.epsilon(jnp.array(k))) for k in range(4)]
    assert falls == pytest.approx([0.8889, 0.5444, 0.2, 0.2], abs=1e-3)  # at its floor after two updates
    assert float(SLOW.play.epsilon(jnp.array(1000))) == pytest.approx((0.8889 + 0.01) / 2)
    values = jnp.array([0.0, 2.0, 9.0])
    assert int(act(values, jnp.array(0.1), jnp.array(0.5), jnp.array(0.0), 2)) == 1
    assert int(act(values, jnp.array(0.6), jnp.array(0.5), jnp.array(0.99), 2)) == 1
    assert int(act(values, jnp.array(0.6), jnp.array(0.5), jnp.array(0.2), 2)) == 0


def test_memory_keeps_everything_and_samples_uniformly_without_replacement() -> None:
    space = StateSpace(((),), 0, 2)
    count, tries = 250, 400

    def filled(key: Any) -> Memory:
        def one(memory: Memory, k: Any) -> tuple[Memory, None]:
            u = jax.random.uniform(jax.random.fold_in(key, k), (2,))
            rows = jnp.stack([jnp.array([k, 1.0]), jnp.array([k, 2.0])])
            return memory.add(jnp.array([0, 2]), rows, u, jnp.array([True, k < 99])), None

        return jax.lax.scan(one, Memory.empty(3, 300, space), jnp.arange(count))[0]

    keys = jax.random.split(jax.random.key(0), tries)
    memory = quickly_compiled()(jax.vmap(filled))(keys)
    assert np.array_equal(memory.stored[0], [count, 0, 99])
    assert np.array_equal(np.sort(memory.rows[:, 0, :count, 0]), np.tile(np.arange(count), (tries, 1)))
    u = jax.random.uniform(jax.random.key(1), (tries, 2))
    batch, ready = quickly_compiled()(jax.vmap(lambda m, u: m.batch(jnp.array([0, 2]), u)))(memory, u)
    assert ready[:, 0].all() and not ready[:, 1].any()
    drawn = np.asarray(batch[:, 0, :, 0]).astype(int)
    assert all(len(set(row)) == BATCH for row in drawn)
    share = np.bincount(drawn.ravel(), minlength=count) / tries
    assert abs(share - BATCH / count).max() < 0.12  # 4.9 standard deviations of a share of 0.4


# a whole episode


def by_hand(condition: Condition, before: Any, episode: Any) -> dict[str, Any]:
    """Payoffs, reputations and everything stored, from what was done in an episode; plain Python throughout."""
    n, c = condition.agents, condition
    rep = [[float(x) for x in row] for row in before.reputation]
    last, habit = [int(x) for x in before.last], [int(x) for x in before.habit]
    frozen = [list(row) for row in rep]
    rounds = episode.rounds
    found: dict[str, Any] = {"reward": [], "gain": [], "play": [[] for _ in range(n)], "select": [[] for _ in range(n)],
                             "punish": [[] for _ in range(n)]}  # fmt: skip

    def raise_by(who: int, amount: float) -> None:
        for view in range(n):
            if not (c.individual and view == who):
                rep[view][who] += amount

    for i in range(n):
        j = int(episode.partner[i])
        assert j != i
        options = [k for k in range(n) if k != i]
        total = {i: 0.0, j: 0.0}
        over = False
        for t in range(rounds.action.shape[1]):
            actors = [i, j] if not c.centipede else [(i, j)[t % 2]]
            if over:
                assert (rounds.action[i, t] == 2).all() and not rounds.punished[i, t].any()
                found["reward"].append([0.0, 0.0])
                found["gain"].append([0.0] * rounds.gain.shape[2])
                continue
            plays = dict(zip(actors, (int(a) for a in rounds.action[i, t]), strict=True))
            seen = {a: (last[j if a == i else i], last[a]) for a in (i, j)}
            views = {a: (rep[a][j if a == i else i], rep[a][a]) for a in (i, j)}
            earned = {i: 0.0, j: 0.0}
            for a, play in plays.items():
                other = j if a == i else i
                if c.centipede:
                    earned[a] += -1 if play == 0 else 0
                    earned[other] += 5 if play == 0 else 0
                else:
                    earned[a] += DILEMMA[play][plays[other]]
            for a, play in plays.items():
                raise_by(a, (1 if play == 0 else -1) * c.by_play)
                last[a] = play
            gains = []
            for k, who in enumerate(int(w) for w in rounds.who[i, t]):
                victim = actors[k % len(actors)]
                facing = j if victim == i else i
                third = k >= len(actors) or not c.direct
                assert who == facing if not third else who not in (i, j)
                deed, done = last[victim], int(rounds.punished[i, t, k])
                gain = (c.just if deed == 1 else c.unjust) * done
                earned[victim] -= c.fine * done
                raise_by(who, (2 if deed == 1 else -3) * done * c.by_punishing)
                if c.individual and done:
                    rep[victim][who] -= 5
                    rep[facing][who] += 5 if deed == 1 else 0
                habit[who] = 1 if not done else 2 if deed == 1 else 3
                state = 3 * deed + last[facing]
                found["punish"][who].append((state, done, state, 0, gain))
                gains.append(gain)
            found["reward"].append([earned[i], earned[j]])
            found["gain"].append(gains)
            total = {a: total[a] + earned[a] for a in (i, j)}
            over = c.centipede and 1 in plays.values()
            ends = int(c.centipede and (over or t >= rounds.action.shape[1] - 2))
            if not c.centipede:
                found["select"][i].append((options.index(j), 0, earned[i], *frozen[i], *rep[i]))
            for a, play in plays.items():
                other = j if a == i else i
                now = (rep[a][other], rep[a][a])
                reward = total[a] if c.centipede else earned[a]
                found["play"][a].append(
                    (3 * seen[a][0] + seen[a][1], play, 3 * last[other] + play, ends, reward, *views[a], *now)
                )
        if c.centipede:
            found["select"][i].append((options.index(j), 1, total[i], *frozen[i], *rep[i]))
    return found | {"reputation": rep, "last": last, "habit": habit}


def stored(memory: Memory, agent: int, select: bool = False) -> list[tuple[float, ...]]:
    """What an agent remembers, decoded and in order of size."""
    rows = np.asarray(memory.rows[agent, : int(memory.stored[agent])])
    before, action, after, done = unpack(rows[:, 0])
    heads = (action, done) if select else (before, action, after, done)
    return sorted(tuple(map(float, row)) for row in np.column_stack([*heads, rows[:, 1:]]))


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"individual": True}, id="dilemma"),
        pytest.param({"centipede": True, "rounds": 2}, id="centipede", marks=pytest.mark.slow),
    ],
)
def test_an_episode_is_the_plain_rewrite(changes: dict[str, Any]) -> None:
    settings: dict[str, Any] = {"direct": True, "third_party": True, "selection": True, "visible": True, "rounds": 3}
    condition = Condition(**(settings | changes))
    shape, terms = condition.shape, jax.tree.map(jnp.asarray, condition.terms())
    run = quickly_compiled("shape")(lambda shape, society, key: play_episode(shape, terms, society, key))
    before = quickly_compiled("shape", "episodes")(begin)(shape, jax.random.key(0), 2)
    rng = np.random.default_rng(1)
    for number in range(2):
        society, episode = jax.tree.map(np.asarray, run(shape, before, jax.random.key(number + 5)))
        wanted = by_hand(condition, before, episode)
        assert np.allclose(np.asarray(episode.rounds.reward).reshape(-1, 2), wanted["reward"])
        assert np.allclose(np.asarray(episode.rounds.gain).reshape(len(wanted["gain"]), -1), wanted["gain"])
        assert np.allclose(society.reputation, wanted["reputation"])
        assert np.array_equal(society.last, wanted["last"]) and np.array_equal(society.habit, wanted["habit"])
        if number == 0:
            for name in ("play", "punish", "select"):
                memory = getattr(society, name).memory
                for agent in range(condition.agents):
                    expected = sorted(tuple(map(float, row)) for row in wanted[name][agent])
                    assert np.allclose(stored(memory, agent, name == "select"), expected), (name, agent)
        # Later episodes start from reputations and plays of some age.
        before = type(society)(
            rng.integers(-9, 9, (5, 5)).astype(np.float32), society.last, society.habit, society.select,
            society.play, society.punish,
        )  # fmt: skip
    assert float(episode.rounds.punished.sum()) > 0


# societies


@pytest.fixture(scope="module")
def histories() -> Any:
    common: dict[str, Any] = {"direct": True, "rounds": 2}
    roles = ("learner", "learner", "just-punisher", "tit-for-tat", "always-defect")
    conditions = {
        "DP": Condition(**common), "no fine": Condition(**common, fine=0.0),
        "random": Condition(**common, random_punisher=True), "roles": Condition(**common, roles=roles),
    }  # fmt: skip
    return train_societies(conditions, 16, [3, 4], chunk=8)


def test_societies_learn_side_by_side_and_roles_are_kept(histories: Any) -> None:
    dp, free = histories["DP"].course, histories["no fine"].course
    assert dp["cooperation"].shape == (2, 16) and dp["cooperation of agents"].shape == (2, 16, 5)
    # Before the first update (episode 13 at the earliest) conditions differ by nothing but the fine.
    assert np.array_equal(dp["cooperation"][:, :10], free["cooperation"][:, :10])
    lost = 3 * 20 * dp["punished"][:, :10]
    assert np.allclose(free["reward"][:, :10] - dp["reward"][:, :10], lost)
    assert abs(histories["random"].course["punished"].mean() - 0.5) < 0.1
    agents = np.nanmean(histories["roles"].course["cooperation of agents"], (0, 1))
    assert agents[2] == 1.0 and agents[4] == 0.0 and 0 < agents[3] < 1
    assert histories["DP"].policy.shape == (2, 5, 2, 2)
    assert (histories["DP"].quiet["reward without chance punishments"] == histories["DP"].quiet["reward"]).all()
    told = study._told(histories["DP"], 1)
    assert set(told) >= {"cooperation", "total reward", "greedy justice", "just above chance, early", "punished"}
    assert told["cost of chance punishments"] > 0


def test_measures() -> None:
    rising = np.concatenate([np.zeros(30), np.ones(30)])
    assert study._reached(rising) == 46.0  # 16 of the 20 episodes before it
    assert study._reached(np.zeros(50)) == 50.0
    config = STUDY.configure("standard")
    main = STUDY.experiment(study.MAIN)
    made = {v: study.condition(config, v) for v in main.variants}
    assert made[study.DP].fine == 3 and made["TPP, no fine, normalised"].normalised
    assert made["TPP, no fine, normalised"].fine == 0 and made["DP, costly"].just == -3
    assert made["DP+TPP, selection"].punishers == 2 and made["DP+TPP, selection"].selection
    assert made["DP, slow decay"].paces is SLOW and not made[study.NONE].by_play


def test_conditions_that_cannot_be_played_are_refused() -> None:
    for settings, field in (
        ({"agents": 2, "third_party": True}, "agents"), ({"agents": 1}, "agents"), ({"rounds": 0}, "rounds"),
        ({"agents": 7, "cliques": 2}, "cliques"), ({"discount": 1.0}, "discount"), ({"roles": ("learner",)}, "roles"),
        ({"roles": ("a",) * 5}, "roles"), ({"agents": 40}, "agents"),
    ):  # fmt: skip
        with pytest.raises(InputError, match=field):
            Condition(**settings)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="episodes"):
        train_societies({"a": Condition()}, 0)
    with pytest.raises(InputError, match="seeds"):
        train_societies({"a": Condition()}, 5, [])


def test_the_caveman_graph_is_networkx_own() -> None:
    for agents, cliques in ((25, 5), (12, 3), (9, 3)):
        theirs = nx.to_numpy_array(nx.connected_caveman_graph(cliques, agents // cliques)) > 0
        assert np.array_equal(caveman(agents, cliques), theirs)
    terms = Condition(agents=25, cliques=5, third_party=True, selection=True).terms()
    for i in range(25):
        near = np.flatnonzero(terms.near[i])
        assert np.array_equal(terms.choices[i, : terms.degree[i]], near)
        assert np.array_equal(terms.seen[i][terms.seen[i] >= 0], near)


# the game for seats


def test_scripted_seats_play_the_game() -> None:
    game = make_game("punishment:rounds=4")
    assert isinstance(game, PunishmentGame)
    match = asyncio.run(play_match(game, [scripted_seat("just-punisher"), scripted_seat("always-defect")], 0))
    assert match.payoffs == pytest.approx([0 + 2, 4 - 3])
    match = asyncio.run(play_match(game, [scripted_seat("tit-for-tat"), scripted_seat("always-defect")], 0))
    assert match.payoffs == pytest.approx([(0 + 1 + 1 + 1) / 4, (4 + 1 + 1 + 1) / 4])
    low, high = game.bounds()
    assert low[0] == -13 and high[0] == 6
    assert scripted_seat("tit-for-tat").evidence is Evidence.SCRIPTED
    with pytest.raises(InputError, match="role"):
        scripted_seat("learner")


def test_claims_and_plots_without_measurements() -> None:
    assert STUDY.plots is not None and STUDY.plots(Results()) == {}
    for claim in STUDY.claims:
        finding = judge(claim.id, "", STUDY.experiment(claim.experiment).evidence, claim.checks(Results()))
        assert finding.verdict is Verdict.NOT_RUN
    quick = STUDY.configure("quick")
    assert study.no_side(quick) and study.no_model(quick)
