"""What archetypes answered is kept: by share and word for word."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from command_line import Shoal
from shoal.populations.answers import replies_frame, shares_frame
from shoal.populations.archetypes import find_archetypes
from shoal.populations.behaviour import Situation
from shoal.populations.panel import Panel, read_answer
from shoal.populations.respondents import Respondent
from shoal.populations.weekly import Decision
from shoal.ui.population_runs import said, shares

SAMPLES = 4


@pytest.fixture(scope="module")
def decisions() -> list[Decision]:
    """Two weeks of a panel whose model is unreadable at times, and which is asked once only."""
    kinds = find_archetypes({"age": np.array([0, 3, 3, 8])}, {"age": tuple("abcdefghi")})
    panel = Panel(
        Respondent(2, unreadable=0.3), SAMPLES, actions=("isolate", "work"), attempts=1, most_lost=1.0, root=5
    )
    situations = [Situation(*(np.float32(x) for x in (100 * week, 0.0, week, 0.0))) for week in (0, 1)]
    answers = [asyncio.run(panel.ask(kinds, situation)) for situation in situations]
    return [Decision(7, week, *pair) for week, pair in enumerate(zip(situations, [kinds] * 2, answers, strict=True))]


def test_every_query_is_a_row_with_its_words_and_how_they_were_read(decisions: list[Decision]) -> None:
    frame = replies_frame(decisions)
    assert frame.height == 2 * 2 * 3 * SAMPLES
    assert set(frame["age"]) == {"a", "d", "i"} and set(frame["archetype"]) == {0, 3, 8}
    assert 0 < frame["unreadable"].sum() < frame.height
    for row in frame.to_dicts():
        assert row["yes"] == read_answer(row["reply"]) and row["unreadable"] == (row["yes"] is None)
        assert row["attempts"] == 1 and row["seed"] == 7


def test_shares_are_those_of_the_replies(decisions: list[Decision]) -> None:
    counted = replies_frame(decisions).group_by("week", "action", "archetype").agg(
        pl.col("yes").sum().alias("said"), pl.col("yes").count().alias("heard")
    )  # fmt: skip
    frame = shares_frame(decisions).join(counted, on=["week", "action", "archetype"])
    assert frame.height == 2 * 2 * 3
    assert (frame["yes"] == frame["said"]).all() and (frame["read"] == frame["heard"]).all()
    assert frame.filter(pl.col("archetype") == 3)["people"].unique().to_list() == [2]
    known = frame.filter(pl.col("read") > 0)
    np.testing.assert_allclose(known["share"], known["yes"] / known["read"])


def test_the_command_keeps_them_for_both_arms(shoal: Shoal) -> None:
    arguments = ["simulate", "epidemic", "--agents", "60", "--steps", "8", "--seeds", "1", "--set", "initial=0.05"]
    asking = ["--behaviour", "archetypes", "--model", "scripted", "--samples", "2", "--variables", "sex"]
    document = shoal.json(*arguments, *asking, "--counterfactual", "fatigue=30")
    answers, replies = f"{document['run']}/answers.parquet", f"{document['run']}/replies.parquet"
    frame = pl.read_parquet(replies)
    assert frame.columns[:5] == ["arm", "seed", "week", "action", "archetype"]
    assert set(frame["arm"]) == {"as set", "what if"} and set(frame["week"]) == {0, 1}
    assert frame.height == 2 * document["behaviour"]["asked"]["as set"]["queries"]
    (found,) = shares(answers)
    assert found.action == "isolate" and found.weeks == [0, 1] and len(found.kinds) == 2
    rows, count = said(replies, 1)
    assert len(rows) == 1 and count > 1
    assert set(rows[0]) == {"action", "archetype", "reply", "decision", "times", "weeks"}
    report = shoal.json("report", document["run"])
    page = Path(report["report"]).read_text()
    assert "Share that says yes: isolate" in page and rows[0]["reply"] in page and "What if fatigue = 30?" in page
