"""Where forum logs come from: our own traces, other frameworks' traces, and copies of the MoltBook archive.

The archive (SimulaMet/moltbook-observatory-archive, MIT) keeps folders ``posts``, ``comments`` and ``agents`` of
Parquet files, with several snapshots of one row; the latest is used. Comments are incomplete after March 2026, and its
agents have human owners: what they write is not all their own doing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shoal.diagnosis.conversation import Conversation, conversations, is_agent
from shoal.diagnosis.forum.log import ForumLog, forum_log
from shoal.errors import InputError
from shoal.traces import Event

if TYPE_CHECKING:
    import polars as pl

COLUMNS: dict[str, dict[str, tuple[str, ...]]] = {
    "agents": {
        "id": ("name", "agent_name", "id"), "joined": ("created_at", "first_seen_at", "joined"),
        "bio": ("description", "bio"), "karma": ("karma",),
    },
    "posts": {
        "id": ("id", "post_id"), "author": ("agent_name", "author_name", "author", "agent_id"), "title": ("title",),
        "body": ("content", "body"), "community": ("submolt", "community"), "votes": ("score", "upvotes", "votes"),
        "time": ("created_at", "time"),
    },
    "comments": {
        "id": ("id", "comment_id"), "post": ("post_id", "post"), "parent": ("parent_id", "parent"),
        "author": ("agent_name", "author_name", "author", "agent_id"), "body": ("content", "body"),
        "time": ("created_at", "time"),
    },
}  # fmt: skip
"""Our columns and the names under which the archive's exports have them, the surest first."""
SNAPSHOT = ("fetched_at", "last_seen_at", "dump_date")


def from_archive(folder: Path) -> ForumLog:
    """The log in a copy of the archive: Parquet files in folders named posts, comments and agents, at any depth.

    Raises:
        InputError: a table is not there, or lacks a column that is needed.
    """
    tables = {name: _archive_table(folder, name) for name in COLUMNS}
    return forum_log(**tables)


def _archive_table(folder: Path, name: str) -> pl.DataFrame:
    import polars as pl

    files = sorted(p for p in folder.rglob("*.parquet") if name in (p.parent.name, p.stem.partition("-")[0]))
    if not files:
        raise InputError("archive", str(folder), f"It holds no Parquet files of {name} ({name}/*.parquet).")
    table = pl.concat([pl.read_parquet(f) for f in files], how="diagonal_relaxed")
    stamp = next((c for c in SNAPSHOT if c in table.columns), None)
    if stamp is not None:
        table = table.sort(stamp, maintain_order=True, nulls_last=False)
    if "id" in table.columns:
        table = table.unique("id", keep="last", maintain_order=True)
    renamed: dict[str, pl.Expr] = {}
    for ours, theirs in COLUMNS[name].items():
        found = next((c for c in theirs if c in table.columns), None)
        if found is not None:
            renamed[ours] = _seconds(table, found) if ours in ("time", "joined") else pl.col(found)
    return table.select(expr.alias(ours) for ours, expr in renamed.items())


def _seconds(table: pl.DataFrame, column: str) -> pl.Expr:
    """Times as seconds since the epoch, from dates, numbers or ISO 8601 texts."""
    import polars as pl

    kind = table.schema[column]
    if kind.is_numeric():
        return pl.col(column).cast(pl.Float64)
    when = pl.col(column)
    if kind == pl.String:
        when = when.str.to_datetime(time_unit="us", time_zone="UTC", strict=False)
    return when.cast(pl.Datetime("us")).dt.epoch("us").cast(pl.Float64) / 1e6


def from_trace(events: Iterable[Event]) -> ForumLog:
    """The log of a trace of any engine or framework; see ``log_of``."""
    return log_of(conversations(list(events)))


def log_of(views: Sequence[Conversation]) -> ForumLog:
    """The log of conversations: each conversation's first word is a post, every later one a comment on what it used.

    A step without a known parent answers the step before it. Steps of users and tools are left out, except that a
    conversation may be opened by its user.

    Raises:
        InputError: nobody said anything.
    """
    import polars as pl

    posts: list[dict[str, Any]] = []
    comments: list[dict[str, Any]] = []
    for view in views:
        _add(view, posts, comments)
    if not posts:
        raise InputError("trace", "no messages", "Give a trace in which agents say something.")
    schema = {"id": pl.String, "post": pl.String, "parent": pl.String, "author": pl.String, "body": pl.String,
              "time": pl.Float64}  # fmt: skip
    frames = pl.DataFrame(posts), pl.DataFrame(comments, schema=schema)
    return forum_log(pl.DataFrame({"id": []}, schema={"id": pl.String}), *frames)


def _add(view: Conversation, posts: list[dict[str, Any]], comments: list[dict[str, Any]]) -> None:
    said = [s for s in view.steps if s.kind == "said"]
    if not said:
        return
    thread, known, last = f"{view.run}/{said[0].event.id}", {said[0].index}, said[0].index
    posts.append({
        "id": thread, "author": said[0].agent or "user", "title": view.question, "body": said[0].text,
        "community": "", "votes": None, "time": said[0].event.time,
    })  # fmt: skip
    for step in said[1:]:
        if not is_agent(step.agent):
            continue
        used = [view.by_event[p] for p in step.event.parents if view.by_event.get(p) in known]
        parent = max(used, default=last)
        comments.append({
            "id": f"{view.run}/{step.event.id}", "post": thread, "author": step.agent, "body": step.text,
            "parent": None if parent == said[0].index else f"{view.run}/{view.steps[parent].event.id}",
            "time": max(step.event.time, said[0].event.time),
        })  # fmt: skip
        known.add(step.index)
        last = step.index
