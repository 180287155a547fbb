"""A forum whose truth is known: who plays which role, who hears whom, what spreads by which law.

Activity follows a Pareto law and a daily rhythm; a small core writes most of it, the rest is periphery. In the core
each agent plays one of five roles, or none: then its habits vary as much, but independently of each other. All agents
are simulated at once, as arrays of events.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from shoal.diagnosis.forum.cascades import Cascades, cascades_of
from shoal.diagnosis.forum.log import DAY, ForumLog, forum_log
from shoal.diagnosis.forum.spreading import contact_cascades, contact_lists
from shoal.diagnosis.forum.writing import Writer

if TYPE_CHECKING:
    import polars as pl

EPOCH = 1_769_558_400.0
"""2026-01-28 00:00 UTC: the first day."""
CORE_LEVEL = 25.0
"""Activity of the core's least busy agent, in units of the least busy of all; the periphery keeps below a third."""
MOST_BUSY = 40.0
HABITS = ("posts", "communities", "length", "code", "questions", "links", "night", "regular")
"""What a role is made of: share of posts among contributions; communities written in; words of a text; share of texts
with code, questions and links; share written at night; 1 for even intervals."""
ROLES: dict[str, tuple[float, ...]] = {
    "broadcaster": (0.90, 1, 40, 0.02, 0.05, 0.60, 0.20, 0.0),
    "discussant": (0.05, 5, 12, 0.02, 0.10, 0.02, 0.20, 0.0),
    "coder": (0.40, 2, 30, 0.70, 0.05, 0.10, 0.20, 0.0),
    "scheduler": (0.70, 1, 15, 0.02, 0.02, 0.10, 0.50, 1.0),
    "explorer": (0.20, 12, 20, 0.05, 0.60, 0.10, 0.35, 0.0),
}
"""Planted roles of the core."""


@dataclass(frozen=True)
class Forum:
    """Settings of a simulated forum.

    Attributes:
        agents: how many.
        events: posts and comments expected, adoptions not counted.
        days: length.
        core: share of agents in the core.
        activity: exponent of the Pareto law of activity.
        roles: whether the core plays roles.
        communities: how many there are.
        contacts: how many others an agent hears, on average.
        cascades: how many are seeded.
        chance: h1, that a first exposure makes an agent adopt.
        saturation: s: the k-th exposure has the chance h1 * k^-s.
        hours: how long each cascade may grow; None for as long as the log lasts.
        coded: share of the cascades that are blocks of code; the others are phrases.
    """

    agents: int = 2_000
    events: int = 40_000
    days: float = 21.0
    core: float = 0.065
    activity: float = 2.3
    roles: bool = True
    communities: int = 40
    contacts: float = 8.0
    cascades: int = 100
    chance: float = 0.15
    saturation: float = 0.0
    hours: int | None = None
    coded: float = 0.1


@dataclass(frozen=True)
class SimulatedForum:
    """A log and its truth.

    Attributes:
        log: as anybody sees it.
        role: of each agent [agents]: -1 for the periphery, else a position in ROLES; 0 for all of a core without roles.
        heard: sparse graph; row i holds whom i hears.
        cascades: who adopted what when.
    """

    log: ForumLog
    role: NDArray[np.int64]
    heard: Any
    cascades: Cascades


def simulate_forum(forum: Forum, seed: int) -> SimulatedForum:
    """A forum and its log; the same (forum, seed) gives the same."""
    rng = np.random.default_rng(seed)
    role = np.full(forum.agents, -1)
    core = rng.permutation(forum.agents)[: max(1, round(forum.core * forum.agents))]
    role[core] = np.arange(core.size) % len(ROLES) if forum.roles else 0
    habits = _habits(role, forum.roles, rng)
    heard = contact_lists(forum.agents, forum.contacts, rng)
    agent, time, is_post = _events(forum, role, habits, rng)
    spread = _cascades(forum, heard, agent, rng)
    posts, comments = _tables(forum, agent, time, is_post, habits, heard, spread, rng)
    return SimulatedForum(forum_log(_accounts(forum, rng), posts, comments), role, heard, spread)


def name_of(agent: int) -> str:
    """An agent's name in the log."""
    return f"molt-{agent:06d}"


def _accounts(forum: Forum, rng: np.random.Generator) -> pl.DataFrame:
    import polars as pl

    return pl.DataFrame({
        "id": [name_of(i) for i in range(forum.agents)],
        "joined": EPOCH - DAY * rng.random(forum.agents),
        "karma": rng.poisson(3, forum.agents).astype(float),
    })  # fmt: skip


def _habits(role: NDArray[np.int64], roles: bool, rng: np.random.Generator) -> NDArray[np.float64]:
    """Habits of each agent [agents, habits]: those of its role, or drawn habit by habit from all roles' range."""
    table = np.array(list(ROLES.values()))
    middle = np.where(np.array(HABITS) == "communities", 3.0, table.mean(axis=0))
    middle[HABITS.index("regular")] = 0.0
    found = np.tile(middle, (role.size, 1))
    core = role >= 0
    if roles:
        found[core] = table[role[core]]
    else:
        spread = rng.beta(2, 2, size=(int(core.sum()), len(HABITS)))
        found[core] = table.min(axis=0) + spread * (table.max(axis=0) - table.min(axis=0))
    shares = [k for k, habit in enumerate(HABITS) if habit not in ("communities", "length", "regular")]
    noisy = found[:, shares] + rng.normal(0, 0.03, (role.size, len(shares)))
    found[:, shares] = np.clip(noisy, 0.0, 1.0)
    return found


def _events(
    forum: Forum, role: NDArray[np.int64], habits: NDArray[np.float64], rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.bool_]]:
    """Who wrote when [events], in the order of time, and whether it was a post."""
    level = 1 + rng.pareto(forum.activity - 1, forum.agents)
    level = np.where(role >= 0, CORE_LEVEL * np.minimum(level, MOST_BUSY), np.minimum(level, CORE_LEVEL / 3))
    number = rng.poisson(forum.events * level / level.sum())
    agent = np.repeat(np.arange(forum.agents), number)
    first = np.repeat(np.cumsum(number) - number, number)
    even = (np.arange(agent.size) - first + rng.random(agent.size) * 0.1) / np.repeat(number, number)
    regular = rng.random(agent.size) < habits[agent, HABITS.index("regular")]
    day = np.floor(rng.random(agent.size) * forum.days)
    night = rng.random(agent.size) < habits[agent, HABITS.index("night")]
    hour = np.where(night, rng.random(agent.size) * 8, 8 + 16 * rng.beta(2, 2, agent.size))
    time = np.where(regular, even * forum.days, np.minimum(day + hour / 24, forum.days))
    order = np.argsort(time, kind="stable")
    is_post = rng.random(agent.size) < habits[agent, HABITS.index("posts")]
    is_post[order[: max(1, min(20, agent.size))]] = True  # somebody begins
    return agent[order], EPOCH + time[order] * DAY, is_post[order]


def _cascades(forum: Forum, heard: Any, agent: NDArray[np.int64], rng: np.random.Generator) -> Cascades:
    seeds = rng.choice(agent, forum.cascades)
    begin = EPOCH + DAY * (0.5 + rng.random(forum.cascades) * max(0.1, forum.days * 0.5))
    ticks = forum.hours or max(2, int(forum.days * 24 * 0.45))
    spread = contact_cascades(heard, seeds, rng, forum.chance, forum.saturation, ticks, begin)
    coded = np.arange(forum.cascades) < round(forum.coded * forum.cascades)
    kinds = ["skill" if c else "meme" for c in coded]
    # Seconds within the hour, so that no two adoptions fall together; the order of hours is kept.
    time = spread.time + np.random.default_rng(0).random(len(spread.time))
    return cascades_of(spread.cascade, spread.agent, time, spread.names, kinds)


def _tables(
    forum: Forum, agent: NDArray[np.int64], time: NDArray[np.float64], is_post: NDArray[np.bool_],
    habits: NDArray[np.float64], heard: Any, spread: Cascades, rng: np.random.Generator,
) -> tuple[pl.DataFrame, pl.DataFrame]:  # fmt: skip
    """Posts and comments, ordinary ones and those that carry what spreads."""
    carried = np.r_[np.full(agent.size, -1), spread.cascade]
    agent, time = np.r_[agent, spread.agent], np.r_[time, spread.time]
    is_post = np.r_[is_post, rng.random(spread.agent.size) < 0.5]
    order = np.argsort(time, kind="stable")
    agent, time, is_post, carried = agent[order], time[order], is_post[order], carried[order]
    is_post[0] = True
    home = rng.integers(forum.communities, size=forum.agents)
    width = np.maximum(1, habits[agent, HABITS.index("communities")].astype(int))
    community = (home[agent] + np.floor(rng.random(agent.size) ** 1.5 * width).astype(int)) % forum.communities
    target = _targets(agent, is_post, heard, rng)
    thread = _threads(is_post, target)
    community = np.where(is_post, community, community[thread])
    text = Writer(forum.communities, spread).texts(agent, community, carried, habits, rng)
    return _frames(agent, time, is_post, community, target, thread, text)


def _targets(
    agent: NDArray[np.int64], is_post: NDArray[np.bool_], heard: Any, rng: np.random.Generator
) -> NDArray[np.int64]:
    """The event that each comment answers [events]: the latest of somebody it hears, or a recent one of anybody."""
    count, place = heard.shape[0], np.arange(agent.size)
    degree = np.diff(heard.indptr)[agent]
    pick = heard.indptr[agent] + (rng.random(agent.size) * degree).astype(int)
    contact = np.where(degree > 0, heard.indices[np.minimum(pick, heard.indices.size - 1)], -1)
    order = np.lexsort((place, agent))
    key = agent[order].astype(np.int64) * (agent.size + 1) + place[order]
    found = np.searchsorted(key, contact.astype(np.int64) * (agent.size + 1) + place) - 1
    latest = order[np.maximum(found, 0)]
    hears = (contact >= 0) & (found >= 0) & (agent[latest] == contact) & (rng.random(agent.size) < 0.9)
    recent = np.maximum(place - 1 - rng.geometric(min(1.0, 20 / count), agent.size), 0)
    target = np.where(hears, latest, recent)
    return np.where(is_post, place, np.minimum(target, np.maximum(place - 1, 0)))


def _threads(is_post: NDArray[np.bool_], target: NDArray[np.int64]) -> NDArray[np.int64]:
    """The post at the head of each event's thread [events], by doubling steps."""
    thread = target.copy()
    while not is_post[thread].all():
        thread = thread[thread]
    return thread


def _frames(
    agent: NDArray[np.int64], time: NDArray[np.float64], is_post: NDArray[np.bool_], community: NDArray[np.int64],
    target: NDArray[np.int64], thread: NDArray[np.int64], text: pl.Series,
) -> tuple[pl.DataFrame, pl.DataFrame]:  # fmt: skip
    import polars as pl

    whole = pl.DataFrame({
        "id": np.arange(agent.size), "author": agent, "time": time, "community": community, "body": text,
        "post": thread, "parent": np.where(target == thread, -1, target),
    }).with_columns(
        pl.concat_str(pl.lit("molt-"), pl.col("author").cast(pl.String).str.zfill(6)).alias("author"),
        pl.concat_str(pl.lit("m/"), pl.col("community").cast(pl.String)).alias("community"),
        pl.when(pl.col("parent") >= 0).then(pl.col("parent")).alias("parent"),
    )  # fmt: skip
    posts = whole.filter(pl.Series(is_post)).select("id", "author", "body", "community", "time")
    comments = whole.filter(pl.Series(~is_post)).select("id", "post", "parent", "author", "body", "time")
    return posts, comments
