"""Molt Dynamics: the parts against published formulas and second implementations, and the study's claims."""

from __future__ import annotations

import asyncio
import datetime
import warnings
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
import polars as pl
import pytest
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score, silhouette_score

from command_line import Shoal
from judging import verdicts_of
from shoal.diagnosis import cooperation as joint
from shoal.diagnosis.clustering import correlated_null, independent_null, k_means, silhouette
from shoal.diagnosis.diffusion import contagion, fixed_cox, hazard_by_exposure, start_stop_cox
from shoal.diagnosis.forum.cascades import Cascades, behaviours, cascades_of, memes, skills
from shoal.diagnosis.forum.exposure import Exposures, intervals, pairs
from shoal.diagnosis.forum.features import role_features
from shoal.diagnosis.forum.interactions import betweenness, graph_of, interactions, pagerank, rewired
from shoal.diagnosis.forum.living import hold_forum
from shoal.diagnosis.forum.log import DAY, ForumLog, forum_log
from shoal.diagnosis.forum.simulation import EPOCH, Forum, SimulatedForum, simulate_forum
from shoal.diagnosis.forum.sources import from_archive, from_trace
from shoal.diagnosis.forum.spreading import contact_cascades, contact_lists, hazard_cascades
from shoal.diagnosis.roles import core_of, find_roles, role_table
from shoal.diagnosis.size_law import closed_form, draw_zeta, size_law
from shoal.diagnosis.survival import concordance, cox, logit
from shoal.errors import InputError
from shoal.models.interface import Completion, Model, Request
from shoal.runs.results import Results
from shoal.runs.study import Trial
from shoal.stats import Evidence, Verdict
from shoal.studies import molt_dynamics as study
from shoal.studies.molt_dynamics import STUDY
from shoal.teams.agent import make_agents
from shoal.teams.session import Session
from shoal.traces import Event, TraceWriter, Usage


@pytest.fixture(scope="module")
def forum() -> SimulatedForum:
    return simulate_forum(Forum(agents=600, events=9_000, cascades=80, chance=0.2), 3)


@pytest.fixture(scope="module")
def spread() -> tuple[Cascades, Any]:
    rng = np.random.default_rng(5)
    heard = contact_lists(300, 8.0, rng)
    return hazard_cascades(heard, 10, 0.3, rng, adopters=40), heard


def tables(**rows: list[dict[str, Any]]) -> list[pl.DataFrame]:
    return [pl.DataFrame(rows[name]) for name in ("agents", "posts", "comments")]


# -- the log ---------------------------------------------------------------------------------------------------------


def small_log() -> ForumLog:
    posts = [
        {"id": "p1", "author": "ann", "title": "How to sort", "body": "please", "time": 100.0},
        {"id": "p1", "author": "ann", "title": "How to sort", "body": "twice", "time": 101.0},
        {"id": "p2", "author": "ann", "title": "How to sort", "body": "please", "time": 100.0},
        {"id": "p3", "author": "[deleted]", "title": "", "body": "gone", "time": 100.0},
        {"id": "p4", "author": "bob", "title": "", "body": "no time", "time": None},
    ]
    comments = [
        {"id": "c1", "post": "p1", "parent": None, "author": "bob", "body": "so", "time": 200.0},
        {"id": "c2", "post": "p1", "parent": "c1", "author": "cid", "body": "no", "time": 300.0},
        {"id": "c3", "post": "p9", "parent": None, "author": "bob", "body": "lost", "time": 300.0},
        {"id": "c4", "post": "p1", "parent": None, "author": "bob", "body": "early", "time": 50.0},
        {"id": "c5", "post": "p1", "parent": "c2", "author": "cid", "body": "own", "time": 400.0},
    ]
    return forum_log(*tables(agents=[{"id": "ann", "karma": 3}], posts=posts, comments=comments))


def test_unusable_rows_are_dropped_and_counted() -> None:
    log = small_log()
    assert log.agents.get_column("id").to_list() == ["ann", "bob", "cid"]
    assert log.posts.height == 1 and log.comments.get_column("id").to_list() == ["c1", "c2", "c5"]
    assert log.dropped == {
        "posts of deleted authors": 1, "posts without id or time": 1, "posts with a duplicate id": 1,
        "posts repeated": 1, "comments without a post": 1, "comments before a post": 1,
    }  # fmt: skip


def test_edges_go_from_who_answers_to_who_is_answered() -> None:
    assert interactions(small_log()).toarray().tolist() == [[0, 0, 0], [1, 0, 0], [0, 1, 0]]


def test_a_log_without_posts_or_columns_is_refused() -> None:
    with pytest.raises(InputError, match="at least one post"):
        forum_log(*tables(agents=[{"id": "a"}], posts=[{"id": "p", "author": "", "time": 1.0}],
                          comments=[{"id": "c", "post": "p", "author": "a", "time": 1.0}]))  # fmt: skip
    with pytest.raises(InputError, match="author"):
        forum_log(*tables(agents=[{"id": "a"}], posts=[{"id": "p", "time": 1.0}], comments=[{"id": "c"}]))


def test_the_archive_is_read_in_its_own_columns_latest_snapshot_first(tmp_path: Path, forum: SimulatedForum) -> None:
    when = pl.from_epoch((pl.col("time") * 1e6).cast(pl.Int64), time_unit="us")
    posts = forum.log.posts.select(
        "id", pl.col("author").alias("agent_name"), pl.col("community").alias("submolt"), "title",
        pl.col("body").alias("content"), pl.lit(1).alias("score"), when.alias("created_at"),
        pl.lit(datetime.datetime(2026, 2, 1)).alias("fetched_at"),
    )  # fmt: skip
    stale = posts.head(3).with_columns(
        pl.lit("old text").alias("content"), pl.lit(datetime.datetime(2026, 1, 1)).alias("fetched_at")
    )
    comments = forum.log.comments.select(
        "id", pl.col("post").alias("post_id"), pl.col("parent").alias("parent_id"),
        pl.col("author").alias("agent_name"), pl.col("body").alias("content"),
        when.dt.strftime("%Y-%m-%dT%H:%M:%S%.6fZ").alias("created_at"),
    )  # fmt: skip
    agents = forum.log.agents.select(pl.col("id").alias("name"), pl.lit("a bot").alias("description"), "karma")
    for name, parts in {"posts": [posts, stale], "comments": [comments], "agents": [agents]}.items():
        (tmp_path / "data" / name).mkdir(parents=True)
        for i, part in enumerate(parts):
            part.write_parquet(tmp_path / "data" / name / f"{i}.parquet")
    read = from_archive(tmp_path)
    assert read.posts.height == forum.log.posts.height and read.comments.height == forum.log.comments.height
    assert "old text" not in read.posts.get_column("body")
    assert np.allclose(np.sort(read.comments["time"].to_numpy()), np.sort(forum.log.comments["time"].to_numpy()))
    assert (interactions(read) != interactions(forum.log)).nnz == 0
    with pytest.raises(InputError, match="posts"):
        from_archive(tmp_path / "data" / "agents")


def said(number: int, agent: str, text: str, *parents: str) -> Event:
    return Event(f"e{number}", "run", float(number), number, agent, "message", parents, {"text": text})


def test_a_trace_becomes_threads_and_a_window_can_be_left_out() -> None:
    log = from_trace([said(0, "ann", "one"), said(1, "bob", "two", "e0"), said(2, "cid", "three", "e0", "e1")])
    assert log.posts.height == 1 and log.comments.height == 2
    assert interactions(log).toarray().tolist() == [[0, 0, 0], [1, 0, 0], [0, 1, 0]]
    assert log.without(1.0, 2.0).comments.get_column("author").to_list() == ["cid"]
    with pytest.raises(InputError):
        from_trace([])


# -- graph -----------------------------------------------------------------------------------------------------------


def test_centralities_are_those_of_networkx() -> None:
    rng = np.random.default_rng(0)
    graph = graph_of(60, rng.integers(60, size=300), rng.integers(60, size=300))
    other = nx.from_scipy_sparse_array(graph, create_using=nx.DiGraph)
    want = nx.pagerank(other, alpha=0.85, tol=1e-12, max_iter=500)
    assert np.allclose(pagerank(graph), [want[i] for i in range(60)], atol=1e-8)
    exact = nx.betweenness_centrality(other, normalized=False)
    assert np.allclose(betweenness(graph, 60, rng), [exact[i] for i in range(60)], atol=1e-3)


def test_rewiring_keeps_degrees_and_moves_edges() -> None:
    rng = np.random.default_rng(1)
    graph = contact_lists(200, 6.0, rng)
    other = rewired(graph, rng)
    assert (np.diff(graph.indptr) == np.diff(other.indptr)).all()
    assert (np.diff(graph.T.tocsr().indptr) == np.diff(other.T.tocsr().indptr)).all()
    assert (graph != other).nnz > graph.nnz and other.diagonal().sum() == 0 and other.max() == 1


# -- cascades and exposure -------------------------------------------------------------------------------------------


def test_planted_phrases_and_code_are_found_with_their_sizes(forum: SimulatedForum) -> None:
    sizes, kinds = forum.cascades.sizes, np.array(forum.cascades.kinds)
    found = memes(forum.log)
    whole = np.array([len(name.split()) == 4 for name in found.names])
    planted = sorted(s for s in sizes[kinds == "meme"] if s >= 10)
    assert sorted(found.sizes[whole]) == planted, "the phrases planted have four words"
    chance = found.count - len(planted)
    assert chance <= 6 and memes(forum.log, distinct=False).count >= 3 * len(planted)
    assert sorted(skills(forum.log).sizes) == sorted(s for s in sizes[kinds == "skill"] if s >= 5)
    assert behaviours(forum.log).names == ("link",)


def test_phrase_rules() -> None:
    def log(text: str) -> ForumLog:
        posts = [
            {"id": f"p{i}", "author": f"a{i % 12}", "title": "", "body": text, "time": float(i)} for i in range(24)
        ]
        comments = pl.DataFrame(schema={"id": pl.String, "post": pl.String, "author": pl.String, "time": pl.Float64})
        return forum_log(pl.DataFrame({"id": ["a0"]}), pl.DataFrame(posts), comments)

    assert memes(log("velvet lobster parade")).sizes.tolist() == [12]
    assert memes(log("velvet lobster parade"), adopters=13).count == 0
    assert memes(log("this is the one")).count == 0, "more than half stop words"
    assert memes(log("ab cd ef")).count == 0, "fewer than ten characters"
    assert memes(log("```\nvelvet lobster parade\n```")).count == 0, "code is no phrase"
    with pytest.raises(InputError, match="length"):
        memes(log("x"), words=(3, 2))


def test_exposures_of_a_hand_made_cascade() -> None:
    heard = graph_of(4, np.array([1, 2, 2, 3]), np.array([0, 0, 1, 0]))
    one = cascades_of(np.zeros(3), np.array([0, 1, 2]), np.array([10.0, 14.0, 20.0]), ["x"], ["meme"])
    rows = intervals(one, heard)
    told = sorted(zip(rows.agent, rows.start, rows.stop, rows.exposures, rows.adopted, strict=True))
    assert told == [(1, 0, 4, 1, True), (2, 0, 4, 1, False), (2, 4, 10, 2, True), (3, 0, 10, 1, False)]
    fixed = pairs(one, heard)
    told = sorted(zip(fixed.agent, fixed.stop, fixed.exposures, fixed.adopted, strict=True))
    assert told == [(1, 4, 1, True), (2, 10, 2, True), (3, 10, 1, False)]
    shuffled = one.shuffled(np.random.default_rng(0))
    assert shuffled.agent[0] == 0 and shuffled.time.tolist() == one.time.tolist()


def test_everybody_at_risk_adds_up(spread: tuple[Cascades, Any]) -> None:
    cascades, heard = spread
    rows = intervals(cascades, heard, everyone=True)
    assert rows.adopted.sum() == len(cascades.agent) - cascades.count
    ends = cascades.time[np.r_[cascades.starts[1:], len(cascades.time)] - 1] - cascades.time[cascades.starts]
    alive = 300 * cascades.count - len(cascades.agent)
    since = cascades.time - np.repeat(cascades.time[cascades.starts], cascades.sizes)
    assert np.isclose((rows.stop - rows.start).sum(), since.sum() + (ends * (300 - cascades.sizes)).sum())
    assert (rows.exposures[rows.start == 0] <= heard.shape[0]).all() and alive > 0


# -- models of exposure ----------------------------------------------------------------------------------------------


def frame_of(rows: Exposures) -> Any:
    import pandas as pd

    names = ("cascade", "agent", "start", "stop", "exposures", "adopted")
    frame = pd.DataFrame({name: getattr(rows, name) for name in names})
    frame["start"], frame["stop"] = frame["start"] / 3600, frame["stop"] / 3600
    frame["adopted"] = frame["adopted"].astype(int)
    return frame


def test_cox_with_fixed_exposure_is_that_of_lifelines(spread: tuple[Cascades, Any]) -> None:
    from lifelines import CoxPHFitter

    rows = pairs(*spread)
    frame = frame_of(rows)
    frame["stop"] = frame["stop"].round(1) + 0.1  # ties
    ours = cox(np.zeros(len(frame)), frame["stop"], frame["adopted"], frame["exposures"])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = CoxPHFitter().fit(frame[["stop", "exposures", "adopted"]], "stop", "adopted")
        grouped = CoxPHFitter().fit(
            frame[["stop", "exposures", "adopted", "cascade"]], "stop", "adopted", cluster_col="cascade", robust=True
        )
    assert ours.value == pytest.approx(float(theirs.params_["exposures"]), abs=1e-5)
    assert ours.error == pytest.approx(float(theirs.standard_errors_["exposures"]), rel=1e-4)
    assert concordance(frame["stop"], frame["adopted"], -frame["exposures"]) == pytest.approx(
        float(theirs.concordance_index_), abs=1e-9
    )
    clustered = cox(
        np.zeros(len(frame)), frame["stop"], frame["adopted"], frame["exposures"], clusters=frame["cascade"]
    )
    assert clustered.robust == pytest.approx(float(grouped.standard_errors_["exposures"]), rel=0.02)


def test_cox_with_exposure_that_grows_is_that_of_lifelines(spread: tuple[Cascades, Any]) -> None:
    from lifelines import CoxTimeVaryingFitter

    rows = intervals(*spread)
    frame = frame_of(rows)
    frame["row"] = frame["cascade"] * 1000 + frame["agent"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = CoxTimeVaryingFitter().fit(
            frame[["row", "start", "stop", "exposures", "adopted", "cascade"]], event_col="adopted",
            start_col="start", stop_col="stop", id_col="row", strata="cascade",
        )  # fmt: skip
    ours = start_stop_cox(rows, "none")
    assert ours.value == pytest.approx(float(theirs.params_["exposures"]), abs=1e-5)
    assert ours.error == pytest.approx(float(theirs.standard_errors_["exposures"]), rel=1e-4)
    assert ours.events == int(rows.adopted.sum()) and ours.interval()[0] < ours.value < ours.interval()[1]


def test_cox_without_events_or_with_reversed_rows() -> None:
    assert np.isnan(cox([0, 0], [1, 2], [0, 0], [1, 2]).error)
    assert cox([0, 0], [1, 2], [1, 1], [3, 3]).value == 0.0
    with pytest.raises(InputError, match="end"):
        cox([2.0], [1.0], [1], [0])


def test_logit_and_its_clustered_errors_are_those_of_statsmodels(spread: tuple[Cascades, Any]) -> None:
    import statsmodels.api as sm

    rows = pairs(*spread)
    k = rows.exposures.astype(float)
    design = np.stack([np.ones(len(k)), k, k * k], axis=1)
    model = sm.Logit(rows.adopted.astype(float), design)
    plain = model.fit(disp=0)
    grouped = model.fit(disp=0, cov_type="cluster", cov_kwds={"groups": rows.agent})
    ours = logit(design, rows.adopted, rows.agent)
    assert np.allclose([c.value for c in ours], plain.params, atol=1e-5)
    assert np.allclose([c.error for c in ours], plain.bse, rtol=1e-4)
    assert np.allclose([c.robust for c in ours], grouped.bse, rtol=1e-4)
    assert contagion(rows).quadratic.value == pytest.approx(float(plain.params[2]), abs=1e-5)
    assert contagion(rows, "agent").quadratic.used == pytest.approx(float(grouped.bse[2]), rel=1e-4)


def test_immortal_time_turns_a_helping_exposure_into_a_hindering_one(spread: tuple[Cascades, Any]) -> None:
    cascades, heard = spread
    low, high = start_stop_cox(intervals(cascades, heard, everyone=True), "none").interval()
    assert low < 0.3 < high
    assert fixed_cox(pairs(cascades, heard)).ratio < 0.5


@pytest.mark.parametrize(("saturation", "kind"), [(0.0, "simple"), (1.0, "saturating")])
def test_the_chance_of_each_exposure_is_recovered(saturation: float, kind: str) -> None:
    rng = np.random.default_rng(7)
    heard = contact_lists(600, 12.0, rng)
    cascades = contact_cascades(heard, rng.integers(600, size=150), rng, 0.15, saturation)
    curve = hazard_by_exposure(intervals(cascades, heard))
    assert curve.kind == kind
    assert curve.chance[0] == pytest.approx(0.15, abs=0.01)
    assert curve.chance[2] == pytest.approx(0.15 * 3**-saturation, abs=0.02)


# -- size law --------------------------------------------------------------------------------------------------------


def test_the_exponent_is_recovered_and_is_that_of_the_package() -> None:
    import powerlaw

    for alpha in (2.2, 2.57, 3.0):
        sizes = draw_zeta(alpha, 1, 10_000, np.random.default_rng(11))
        law = size_law(sizes, compare=False)
        assert law.alpha == pytest.approx(alpha, abs=0.05)
        fixed = size_law(sizes, x_min=2, compare=False)
        theirs = powerlaw.Fit(
            sizes, discrete=True, xmin=2, verbose=False, estimate_discrete=False, parameter_ranges={"alpha": [1, 12]}
        ).power_law
        assert fixed.alpha == pytest.approx(float(theirs.alpha), abs=2e-3)
        assert fixed.distance == pytest.approx(float(theirs.D), abs=2e-3)


def test_draws_follow_the_law_and_the_closed_form_needs_a_large_minimum() -> None:
    from scipy.special import zeta

    drawn = draw_zeta(2.5, 3, 200_000, np.random.default_rng(0))
    for x in (3, 4, 10):
        assert (drawn == x).mean() == pytest.approx(float(x**-2.5 / zeta(2.5, 3)), abs=0.004)
    high = draw_zeta(2.5, 8, 50_000, np.random.default_rng(0))
    assert closed_form(high, 8) == pytest.approx(2.5, abs=0.02)
    low = draw_zeta(2.5, 1, 50_000, np.random.default_rng(0))
    assert closed_form(low, 1) < 2.3


def test_what_is_no_power_law_is_not_called_one() -> None:
    rng = np.random.default_rng(2)
    sizes = np.maximum(1, np.round(rng.lognormal(2, 1, 5_000))).astype(int)
    assert size_law(sizes, resamples=10, rng=rng).verdict != "power law"
    assert size_law(draw_zeta(2.5, 1, 5_000, rng), resamples=10, rng=rng).verdict == "power law"
    assert size_law(draw_zeta(2.5, 1, 5_000, rng), compare=False).verdict == "undecided"
    few = size_law([10] * 49)
    assert few.alpha is None and few.verdict == "too few sizes"
    with pytest.raises(InputError, match="whole"):
        size_law([0.5, 2.0])


# -- roles -----------------------------------------------------------------------------------------------------------


def test_clusters_and_silhouette_are_those_of_scikit_learn() -> None:
    rng = np.random.default_rng(3)
    x = np.concatenate([rng.normal(c, 0.4, (60, 3)) for c in (0.0, 2.0, 5.0)])
    ours = k_means(x, 3, 10, rng)
    theirs = KMeans(3, n_init=10, random_state=0).fit(x)
    assert adjusted_rand_score(ours.labels, theirs.labels_) == 1.0
    assert ours.inertia == pytest.approx(theirs.inertia_, rel=1e-9)
    assert silhouette(x, ours.labels, rng) == pytest.approx(silhouette_score(x, ours.labels), abs=1e-9)
    assert silhouette(x, np.zeros(len(x), int), rng) == 0.0


def test_nulls_keep_marginals_and_the_second_one_correlations() -> None:
    rng = np.random.default_rng(4)
    x = rng.exponential(size=(2000, 1)) + 0.3 * rng.normal(size=(2000, 2))
    for null in (independent_null(x, rng), correlated_null(x, rng)):
        assert np.allclose(np.sort(null, axis=0), np.sort(x, axis=0))
    assert abs(np.corrcoef(independent_null(x, rng).T)[0, 1]) < 0.08
    assert np.corrcoef(correlated_null(x, rng).T)[0, 1] > 0.7


def test_roles_are_found_where_planted_and_only_there(forum: SimulatedForum) -> None:
    made = {True: forum, False: simulate_forum(Forum(agents=600, events=9_000, cascades=10, roles=False), 3)}
    verdicts = {}
    for planted, one in made.items():
        features = role_features(one.log, interactions(one.log), topics=8)
        roles = find_roles(features, starts=5, bootstraps=5, nulls=5)
        core = one.role >= 0
        assert (core_of(features) & core).sum() >= 0.9 * core.sum()
        verdicts[planted] = roles.verdict
        rows = role_table(roles)
        assert sum(n for _, n, _ in rows) == 600 and rows[0][0] == "periphery"
        if planted:
            assert adjusted_rand_score(one.role[core & roles.core], roles.labels[core & roles.core]) >= 0.8
            assert len(rows) == 6
        else:
            assert roles.everybody.silhouette > 0.4, "imbalance alone"
    assert verdicts == {True: "roles", False: "core-periphery only"}


# -- cooperation -----------------------------------------------------------------------------------------------------


def test_the_chance_of_a_thread_is_the_page_s_formula() -> None:
    assert joint.thread_chance(0.5, 3, 0.5, 0.9) == pytest.approx(1 - 0.75**1.2)
    assert joint.thread_chance(0.5, 3, 0.0, 1.0) == pytest.approx(0.5)
    assert joint.thread_chance(0.4, 4, 0.0, 0.0) == pytest.approx(1 - 0.6**4)


def test_threads_that_count_and_their_solutions() -> None:
    rng = np.random.default_rng(0)
    done = joint.work(30, 0.5, 0.9, rng)
    made = joint.threads_of(done, 10, rng)
    comments = pl.DataFrame(made["comments"], schema_overrides={"parent": pl.String})
    log = forum_log(pl.DataFrame({"id": [""]}).clear(), pl.DataFrame(made["posts"]), comments)
    events = joint.cooperation_events(log)
    assert events.height == 40 and joint.cooperation_events(log, joint.NARROW).height == 30
    assert events.get_column("authors").to_list()[:30] == done.size.tolist()
    assert "def solve_0" in events.filter(pl.col("thread") == "work-0").get_column("solution")[0]
    model = joint.success_model(events.head(30), done.together)
    assert set(model) == {"size", "density", "mean degree", "log duration"}


def test_surface_quality_by_hand() -> None:
    assert joint.surface_quality("t", "```\nf(x)  # adds\nassert f(1)\n```") == pytest.approx(1.0)
    assert joint.surface_quality("t", "```\nf(x\n```") == pytest.approx(0.3)
    long = "sort the list: 1. compare\n2. swap " + "and so on " * 10
    assert joint.surface_quality("How to sort a list", long + "\n1. done") == pytest.approx(1.0)
    assert joint.surface_quality("How to sort", "yes") == 0.0


def test_the_permutation_test_is_not_constant_and_the_original_is() -> None:
    rng = np.random.default_rng(0)
    same, better = rng.random(60), rng.random(60)
    p = [joint.sign_flip_p(better + shift, same, rng) for shift in (0.0, 0.1, 1.0)]
    assert p[0] > 0.05 and p[2] < 0.002 and p[0] > p[1] > p[2]
    assert {joint.shuffled_mean_p(rng.random(40) + shift, rng) for shift in (-2.0, 0.0, 2.0)} == {1.0}
    d, t = joint.constant_d(same)
    assert t == pytest.approx(d * 60**0.5) and round(-11.21 / 164**0.5, 3) == -0.875
    assert joint.paired_d(same, same) == 0.0


# -- a forum of models, the command line, the study ------------------------------------------------------------------


class Greeter(Model):
    spec, evidence, identity = "greeter", Evidence.SCRIPTED, "greeter"

    async def complete(self, request: Request) -> Completion:
        return Completion(f"{request.agent} says hello", Usage(1, 1, 1))


async def test_models_keep_a_forum() -> None:
    session = Session(Greeter(), seed=1)
    log = await hold_forum(make_agents(5), session, np.random.default_rng(0), ticks=4, awake=3)
    assert log.posts.height + log.comments.height == 12 and log.count == 5
    assert interactions(log).nnz > 0


def test_diagnose_tells_who_talks_to_whom_in_which_role(shoal: Shoal, tmp_path: Path) -> None:
    out = shoal.json("diagnose", "sample:langgraph", "--with", "roles", "--out", tmp_path / "page.html")
    found = out["analyses"]["roles"]
    assert {(t["from"], t["to"]) for t in found["ties"]} == {("researcher", "checker"), ("checker", "writer")}
    assert {a["agent"]: a["role"] for a in found["agents"]} == {
        "researcher": "source", "checker": "hub", "writer": "closer"
    }  # fmt: skip


def trial_of(experiment: str, variant: str = "", seed: int = 0, **changes: Any) -> Trial[Any]:
    config = STUDY.configure("quick", changes)
    return Trial(config, experiment, variant, seed, 0, TraceWriter(None, "test"), None, (seed,))


@pytest.fixture(scope="module")
def measured() -> Results:
    results = Results()
    for name in ("exposure", "cooperation", "reported"):
        experiment = STUDY.experiment(name)
        for seed in range(4):
            trials = [""] if experiment.joint else list(experiment.variants)
            for variant in trials:
                found: Any = experiment.trial(
                    trial_of(name, variant, seed, network=300, cascades=12, adopters=40, tasks=120)
                )
                assert not asyncio.iscoroutine(found)
                for label, one in (found if experiment.joint else {variant: found}).items():
                    results.add(name, label, seed, one)
    return results


verdict = verdicts_of(STUDY)


def test_claims_read_what_was_measured(measured: Results) -> None:
    wanted = {
        "fixed-below-one": Verdict.REPRODUCED, "time-shuffle": Verdict.NOT_REPRODUCED,
        "cooperation-hurts": Verdict.REPRODUCED, "cooperation-helps": Verdict.REPRODUCED,
        "shuffled-mean": Verdict.REPRODUCED, "reported-d": Verdict.REPRODUCED, "chat": Verdict.REPRODUCED,
        "coverage": Verdict.INCONCLUSIVE,
    }  # fmt: skip
    assert {claim: verdict(claim, measured) for claim in wanted} == wanted
    flipped = Results()
    for seed in range(4):
        flipped.add("cooperation", study.COSTLY, seed, {"d": 0.5 + 0.01 * seed})
    assert verdict("cooperation-hurts", flipped) is Verdict.NOT_REPRODUCED
    assert verdict("core-roles", measured) is Verdict.NOT_RUN
    assert set(study.plots(measured)) == {"exposure", "cooperation"}


def test_a_window_of_the_simulated_forum_starts_where_it_says(forum: SimulatedForum) -> None:
    time = forum.log.contributions.get_column("time")
    assert time.min() >= EPOCH and forum.log.days < 22.0  # type: ignore[operator]
    left = forum.log.without(EPOCH, EPOCH + DAY)
    assert left.posts.get_column("time").min() >= EPOCH + DAY  # type: ignore[operator]
    again = simulate_forum(Forum(agents=600, events=9_000, cascades=80, chance=0.2), 3)
    assert again.log.posts.equals(forum.log.posts)
