"""What the agents of a simulated forum write: words of their community's topic, and what they pass on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from shoal.diagnosis.forum.cascades import Cascades

if TYPE_CHECKING:
    import polars as pl

TOPIC_WORDS = 60
COMMON_WORDS = 400
COMMON_SHARE = 0.5
SYLLABLES = ("ka", "lo", "mi", "ren", "tu", "vas", "pel", "dor", "shi", "quo", "nem", "zan", "bri", "fel", "gul", "hox")


def word(number: int) -> str:
    """A pronounceable word of three syllables or more, another for each number."""
    sounds: list[str] = []
    while number or len(sounds) < 3:
        number, k = divmod(number, len(SYLLABLES))
        sounds.append(SYLLABLES[k])
    return "".join(sounds)


class Writer:
    """Writes texts for agents with habits.

    Args:
        topics: one for each community.
        spread: cascades whose phrases or code are passed on.
    """

    def __init__(self, topics: int, spread: Cascades) -> None:
        self.topics = topics
        rare = topics * TOPIC_WORDS + COMMON_WORDS
        self.vocabulary = [word(i) for i in range(rare)]
        self.passed = [self._carried(rare + 4 * i, kind) for i, kind in enumerate(spread.kinds)]

    @staticmethod
    def _carried(first: int, kind: str) -> str:
        words = [word(first + k) for k in range(4)]
        return f"```\n{words[0]}({words[1]}, {words[2]}) # {words[3]}\n```" if kind == "skill" else " ".join(words)

    def texts(
        self, agent: NDArray[np.int64], community: NDArray[np.int64], carried: NDArray[np.int64],
        habits: NDArray[np.float64], rng: np.random.Generator,
    ) -> pl.Series:  # fmt: skip
        """One text for each event.

        Args:
            agent: who writes [events].
            community: topic of the text [events].
            carried: cascade that it passes on, or -1 [events].
            habits: of the agents [agents, HABITS].
            rng: draws the words.
        """
        import polars as pl

        from shoal.diagnosis.forum.simulation import HABITS

        mine = {name: habits[agent, k] for k, name in enumerate(HABITS)}
        length = np.maximum(3, rng.poisson(mine["length"])).astype(int)
        row = np.repeat(np.arange(agent.size), length)
        own = community[row] * TOPIC_WORDS + (TOPIC_WORDS * rng.random(row.size) ** 2).astype(int)
        common = self.topics * TOPIC_WORDS + (COMMON_WORDS * rng.random(row.size) ** 2).astype(int)
        chosen = np.where(rng.random(row.size) < COMMON_SHARE, common, own)
        words = pl.Series(self.vocabulary).gather(chosen)
        body = (
            pl.DataFrame({"row": row.astype(np.int32), "word": words})
            .group_by("row", maintain_order=True).agg(pl.col("word").str.join(" ")).get_column("word")
        )  # fmt: skip
        extras = {
            name: rng.random(agent.size) < mine[habit]
            for name, habit in (("code", "code"), ("question", "questions"), ("link", "links"))
        }
        passed = pl.Series([*self.passed, ""]).gather(np.where(carried >= 0, carried, len(self.passed)))
        frame = pl.DataFrame({"body": body, "passed": passed, "number": np.arange(agent.size), **extras})
        block = pl.concat_str(pl.lit("\n```\nrun("), pl.col("number"), pl.lit(")\n```"))
        link = pl.concat_str(pl.lit(" https://example.org/"), pl.col("number"))
        return frame.select(
            pl.concat_str(
                "body", pl.when("question").then(pl.lit("?")).otherwise(pl.lit(".")),
                pl.when(pl.col("passed") != "").then(pl.concat_str(pl.lit("\n"), "passed")).otherwise(pl.lit("")),
                pl.when("link").then(link).otherwise(pl.lit("")), pl.when("code").then(block).otherwise(pl.lit("")),
            )
        ).to_series()  # fmt: skip
