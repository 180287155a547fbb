"""The log of a forum in one schema: agents, posts and comments, whatever they came from.

What cannot be used is dropped and counted: rows without author, id or time, duplicated ids and reposts, comments on
posts that are not there or written before them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from shoal.errors import InputError

if TYPE_CHECKING:
    import polars as pl

    from shoal.diagnosis.forum.tokens import Tokens

AGENTS = ("id", "joined", "bio", "karma")
POSTS = ("id", "author", "title", "body", "community", "votes", "time")
COMMENTS = ("id", "post", "parent", "author", "body", "time")
NUMBERS = ("joined", "karma", "votes", "time")
NOBODY = ("", "[deleted]", "deleted", "[removed]", "None", "null")
"""Names of authors that stand for a deleted account."""
DAY = 86_400.0


@dataclass(frozen=True)
class ForumLog:
    """A cleaned log; made by ``forum_log``.

    Attributes:
        agents: one row for each agent (id, joined, bio, karma); the row number is the agent's number.
        posts: id, author, title, body, community, votes, time, and ``agent``, the author's number.
        comments: id, post, parent (null for a comment on the post itself), author, body, time, and ``agent``.
        dropped: rows that could not be used, by reason.
    """

    agents: pl.DataFrame
    posts: pl.DataFrame
    comments: pl.DataFrame
    dropped: dict[str, int] = field(default_factory=dict)

    @property
    def count(self) -> int:
        """Number of agents."""
        return self.agents.height

    @cached_property
    def contributions(self) -> pl.DataFrame:
        """Posts and comments together in the order of time: agent, time, text, title, community, thread, kind."""
        import polars as pl

        posts = self.posts.select(
            "agent", "time", "community", pl.col("id").alias("thread"), "title", "body", pl.lit("post").alias("kind")
        )
        comments = self.comments.join(
            self.posts.select(pl.col("id").alias("post"), "community"), on="post", how="left", maintain_order="left"
        ).select(
            "agent", "time", "community", pl.col("post").alias("thread"),
            pl.lit("").alias("title"), "body", pl.lit("comment").alias("kind"),
        )  # fmt: skip
        both = pl.concat([posts, comments])
        text = pl.when(pl.col("title") == "").then(pl.col("body")).otherwise(
            pl.concat_str("title", "body", separator="\n")
        )  # fmt: skip
        return both.with_columns(text.alias("text")).drop("title", "body").sort("time", maintain_order=True)

    @cached_property
    def tokens(self) -> Tokens:
        """The words of all contributions, in their order."""
        from shoal.diagnosis.forum.tokens import Tokens

        return Tokens(self.contributions.get_column("text"))

    @cached_property
    def days(self) -> float:
        """Length of the log in days."""
        time = self.contributions.get_column("time")
        return float(time[-1] - time[0]) / DAY if len(time) else 0.0

    def without(self, begin: float, end: float) -> ForumLog:
        """The log without what was written from ``begin`` until before ``end`` (seconds): a test of sensitivity."""
        import polars as pl

        keep = ~pl.col("time").is_between(begin, end, closed="left")
        posts = self.posts.filter(keep)
        comments = self.comments.filter(keep).filter(pl.col("post").is_in(posts.get_column("id").implode()))
        return ForumLog(self.agents, posts, comments, {})


def forum_log(agents: pl.DataFrame, posts: pl.DataFrame, comments: pl.DataFrame) -> ForumLog:
    """A cleaned log from tables in our schema; missing columns are null.

    Args:
        agents: AGENTS; authors who are not in it are added.
        posts: POSTS; time in seconds since the epoch.
        comments: COMMENTS; ``parent`` is another comment's id, or null.

    Raises:
        InputError: a table lacks its ids or authors, or nothing of it can be used.
    """
    import polars as pl

    dropped: dict[str, int] = {}
    agents = _typed(agents, AGENTS, "agents").filter(pl.col("id").is_not_null()).unique("id", maintain_order=True)
    posts = _usable(_typed(posts, POSTS, "posts"), "posts", dropped)
    comments = _usable(_typed(comments, COMMENTS, "comments"), "comments", dropped)
    posts = _counted(posts, posts.select(pl.struct("author", "title", "body", "time").is_first_distinct()), dropped,
                     "posts repeated")  # fmt: skip
    born = comments.select("post").join(
        posts.select(pl.col("id").alias("post"), pl.col("time").alias("born")), on="post", how="left",
        maintain_order="left",
    ).get_column("born")  # fmt: skip
    comments = comments.with_columns(born)
    comments = _counted(comments, comments.select(pl.col("born").is_not_null()), dropped, "comments without a post")
    comments = _counted(comments, comments.select(pl.col("time") >= pl.col("born")), dropped, "comments before a post")
    comments = comments.drop("born")
    if not posts.height:
        raise InputError("forum log", f"{posts.height} posts", "Give at least one post with id, author and time.")
    authors = pl.concat([posts.get_column("author"), comments.get_column("author")]).unique(maintain_order=True)
    new = authors.filter(~authors.is_in(agents.get_column("id").implode()))
    agents = pl.concat([agents, pl.DataFrame({"id": new})], how="diagonal")
    numbers = agents.select(pl.col("id").alias("author")).with_row_index("agent")
    posts, comments = (t.join(numbers, on="author", how="left", maintain_order="left") for t in (posts, comments))
    return ForumLog(agents, posts, comments, dropped)


def _typed(table: pl.DataFrame, columns: tuple[str, ...], name: str) -> pl.DataFrame:
    import polars as pl

    for needed in {"id", "author", "time", "post"} & set(columns):
        if needed not in table.columns:
            raise InputError(f"{name} column", needed, f"The table has: {', '.join(table.columns)}.")
    missing = [pl.lit(None).alias(c) for c in columns if c not in table.columns]
    types = {c: pl.Float64 if c in NUMBERS else pl.String for c in columns}
    found = table.with_columns(missing).select(pl.col(c).cast(kind, strict=False) for c, kind in types.items())
    return found.with_columns(pl.col(c).fill_null("") for c in ("title", "body", "bio", "community") if c in columns)


def _usable(table: pl.DataFrame, name: str, dropped: dict[str, int]) -> pl.DataFrame:
    import polars as pl

    known = pl.col("author").is_not_null() & ~pl.col("author").is_in(NOBODY)
    table = _counted(table, table.select(known), dropped, f"{name} of deleted authors")
    usable = pl.col("id").is_not_null() & pl.col("time").is_finite().fill_null(False)
    table = _counted(table, table.select(usable), dropped, f"{name} without id or time")
    return _counted(table, table.select(pl.col("id").is_first_distinct()), dropped, f"{name} with a duplicate id")


def _counted(table: pl.DataFrame, keep: pl.DataFrame, dropped: dict[str, int], reason: str) -> pl.DataFrame:
    """The rows to keep; the others are counted under the reason."""
    import polars as pl

    mask = keep.to_series()
    if lost := int((~mask).sum()):
        dropped[reason] = dropped.get(reason, 0) + lost
        return table.filter(pl.Series(mask))
    return table
