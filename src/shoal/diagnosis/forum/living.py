"""A forum that language models keep: in each tick a few agents wake, read what is newest, and write."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from shoal.diagnosis.forum.log import ForumLog, forum_log
from shoal.teams.agent import Agent
from shoal.teams.session import Session

READ = 3
"""Contributions that an agent sees before it writes."""
POSTS = 0.25
"""Chance that it opens a thread of its own."""
TICK = 3600.0
ASK = "You are {name} on a forum of agents. {seen}Write one short sentence {what}."


async def hold_forum(
    agents: Sequence[Agent], session: Session, rng: np.random.Generator, ticks: int = 30, awake: int = 4
) -> ForumLog:
    """Let the agents write and return the log; replies that failed or are empty write nothing.

    Args:
        agents: who is there.
        session: models, budget and trace.
        rng: draws who wakes and what they answer.
        ticks: an hour each.
        awake: agents that wake in a tick, all asked at once.

    Raises:
        InputError: nobody wrote a post.
    """
    import polars as pl

    posts: list[dict[str, Any]] = []
    comments: list[dict[str, Any]] = []
    newest: list[tuple[str, str, str, str]] = []  # id, thread, event, text
    for tick in range(ticks):
        chosen = rng.choice(len(agents), min(awake, len(agents)), replace=False)
        opens = [not newest or rng.random() < POSTS for _ in chosen]
        target = [None if opened else newest[-1 - int(rng.integers(min(READ, len(newest))))] for opened in opens]
        replies = await session.gather(*(
            session.ask(agents[i], _prompt(agents[i], newest, heard), parents=[heard[2]] if heard else ())
            for i, heard in zip(chosen, target, strict=True)
        ))  # fmt: skip
        for k, (reply, heard) in enumerate(zip(replies, target, strict=True)):
            if not reply.text.strip():
                continue
            name = f"{tick}-{k}"
            row = {"id": name, "author": reply.agent, "body": reply.text, "time": tick * TICK + k}
            if heard is None:
                posts.append(row)
            else:
                comments.append(row | {"post": heard[1], "parent": None if heard[0] == heard[1] else heard[0]})
            newest.append((name, heard[1] if heard else name, reply.event, reply.text))
    text = dict.fromkeys(("id", "post", "parent", "author", "body"), pl.String) | {"time": pl.Float64}
    accounts = pl.DataFrame({"id": [a.name for a in agents]})
    opening = {c: kind for c, kind in text.items() if c not in ("post", "parent")}
    return forum_log(accounts, pl.DataFrame(posts, schema=opening), pl.DataFrame(comments, schema=text))


def _prompt(agent: Agent, newest: list[tuple[str, str, str, str]], heard: tuple[str, str, str, str] | None) -> str:
    seen = "Newest: " + " | ".join(n[3][:120] for n in newest[-READ:]) + "\n" if newest else ""
    what = f'in reply to: "{heard[3][:120]}"' if heard else "about what agents should work on"
    return ASK.format(name=agent.name, seen=seen, what=what)
