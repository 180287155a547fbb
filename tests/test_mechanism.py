"""Mechanisms of systems: the notation, the pictures of all studies, and where they are shown."""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import networkx as nx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from command_line import Shoal
from shoal.errors import InputError
from shoal.runs import Flow, flows
from shoal.runs.flowchart import flowchart, wrapped
from shoal.runs.layering import layered
from shoal.runs.mechanism import in_words, nodes
from shoal.runs.placement import Box, Layout, lay_out
from shoal.runs.trials import run_study
from shoal.studies.catalogue import catalogue
from toy_study import STUDY

NAMESPACE = "{http://www.w3.org/2000/svg}"
HOSTILE = '"><script>alert(1)</script>&<b onload=x>'
MECHANISMS = {name: study.mechanism for name, study in catalogue().items() if study.mechanism}


def drawn(svg: str, tag: str) -> list[ET.Element]:
    return [element for element in ET.fromstring(svg).iter() if element.tag.removeprefix(NAMESPACE) == tag]


def test_chains_become_edges() -> None:
    assert flows("a -> b (c) -(not x->y)-> d-e -> a", "b (c) -> f") == (
        Flow("a", "b (c)"), Flow("b (c)", "d-e", "not x->y"), Flow("d-e", "a"), Flow("b (c)", "f"),
    )  # fmt: skip
    assert str(Flow("a", "b")) == "a -> b"
    assert flows(str(Flow("a", "b", "twice"))) == (Flow("a", "b", "twice"),)
    assert nodes(flows("a -> b", "c -> a")) == ["a", "b", "c"]
    assert in_words(flows("a -> b -(twice)-> c")) == "a to b; b to c (twice)."


@pytest.mark.parametrize("chain", ["", "alone", "a ->", "-> b", "a->b -> c"])
def test_a_chain_that_is_none_is_named(chain: str) -> None:
    with pytest.raises(InputError, match="mechanism"):
        flows(chain)


def test_an_edge_back_to_what_led_here_is_a_loop_and_a_late_source_stands_by_its_target() -> None:
    layers = layered([("a", "b"), ("b", "c"), ("c", "a"), ("a", "c"), ("late", "c"), ("c", "c")])
    assert layers.loops == {2, 5}
    assert {name: layers.layer[name] for name in ("a", "b", "c", "late")} == {"a": 0, "b": 1, "c": 2, "late": 1}


def test_crossed_edges_are_untangled() -> None:
    layers = layered([("a", "y"), ("b", "x"), ("a", "s"), ("s", "x2"), ("b", "x2")])
    place = {item: row.index(item) for row in layers.rows for item in row}
    for row in layers.rows:
        lines = [(place[one], place[two]) for one in row for two in layers.after.get(one, [])]
        assert not any((a - c) * (b - d) < 0 for (a, b), (c, d) in combinations(lines, 2))


def overlap(one: Box, two: Box) -> bool:
    along, across = abs(one.along - two.along), abs(one.across - two.across)
    return along < (one.length + two.length) / 2 and across < (one.breadth + two.breadth) / 2


def check_layout(layout: Layout) -> None:
    assert not any(overlap(one, two) for one, two in combinations(layout.boxes.values(), 2))
    for route in layout.routes:
        for box in layout.boxes.values():
            for along, across in route.points:
                inside = (
                    abs(along - box.along) < box.length / 2 - 1e-6,
                    abs(across - box.across) < box.breadth / 2 - 1e-6,
                )
                assert not all(inside), "a line runs through a box"


@pytest.mark.parametrize("upright", [False, True], ids=["wide", "upright"])
@pytest.mark.parametrize("name", sorted(MECHANISMS))
def test_boxes_of_a_study_do_not_touch_and_text_fits_them(name: str, upright: bool) -> None:
    svg = flowchart(MECHANISMS[name], name, upright=upright)
    boxes = [r for r in drawn(svg, "rect") if r.get("rx")]
    assert len(boxes) == len(nodes(MECHANISMS[name]))
    areas = [tuple(float(box.get(key, "nan")) for key in ("x", "y", "width", "height")) for box in boxes]
    for (x1, y1, w1, h1), (x2, y2, w2, h2) in combinations(areas, 2):
        assert x1 + w1 <= x2 or x2 + w2 <= x1 or y1 + h1 <= y2 or y2 + h2 <= y1
    left, top, width, height = (float(part) for part in ET.fromstring(svg).get("viewBox", "").split())
    for x, y, w, h in areas:
        assert left <= x and x + w <= left + width and top <= y and y + h <= top + height
    assert len(drawn(svg, "path")) == len(drawn(svg, "polygon")) == len(MECHANISMS[name])
    said = ET.fromstring(svg).get("aria-label", "")
    assert all(flow.source in said and flow.target in said and flow.label in said for flow in MECHANISMS[name])


GRAPHS = st.sets(st.tuples(st.sampled_from("abcdefghi"), st.sampled_from("abcdefghi")), min_size=1, max_size=14)


@settings(max_examples=60, deadline=None)
@given(GRAPHS, st.randoms(use_true_random=False))
def test_any_graph_is_laid_out_without_touching(edges: set[tuple[str, str]], random: Any) -> None:
    ordered = sorted(edges)
    random.shuffle(ordered)
    sizes = {name: (40.0 + 10 * (ord(name) % 5), 20.0 + 7 * (ord(name) % 3)) for edge in ordered for name in edge}
    layers = layered(ordered)
    forward = [edge for number, edge in enumerate(ordered) if number not in layers.loops]
    assert nx.is_directed_acyclic_graph(nx.DiGraph(forward))
    assert all(layers.layer[source] < layers.layer[target] for source, target in forward)
    check_layout(lay_out(ordered, sizes, [(30.0, 12.0)] * len(ordered)))


def test_hostile_words_stay_words() -> None:
    mechanism = (Flow(HOSTILE, "b", HOSTILE), Flow("b", "]]>"), Flow("]]>", HOSTILE))
    for themed in (True, False):
        svg = flowchart(mechanism, HOSTILE, themed=themed)
        assert "<script" not in svg and "<b" not in svg
        tags = {element.tag.removeprefix(NAMESPACE) for element in ET.fromstring(svg).iter()}
        assert tags == {"svg", "path", "polygon", "rect", "text", "tspan"}
        assert HOSTILE in ET.fromstring(svg).get("aria-label", "")
        assert "".join(t.text or "" for t in drawn(svg, "tspan")).count("<script>") == 2


def test_a_file_of_its_own_needs_no_stylesheet() -> None:
    svg = flowchart(flows("a -> b"), "x", themed=False)
    assert "var(" not in svg and "style=" not in svg
    assert "var(--ink" in flowchart(flows("a -> b"), "x")


@given(st.text(alphabet="ab <&", max_size=80))
def test_wrapping_loses_nothing(words: str) -> None:
    lines = wrapped(words, 15)
    assert "".join(lines).replace(" ", "") == "".join(words.split())
    assert all(len(line) <= 15 for line in lines)


def test_show_prints_a_line_for_each_edge(shoal: Shoal) -> None:
    study = catalogue()["selforg"]
    document = shoal.json("show", "selforg")
    assert [Flow(**edge) for edge in document["mechanism"]] == list(study.mechanism)
    assert shoal("show", "selforg") == 0
    lines = {line.strip() for line in shoal.out.splitlines()}
    assert {str(flow) for flow in study.mechanism} <= lines


def test_the_report_of_a_run_holds_both_pictures(runs: Path) -> None:
    study = replace(
        STUDY, title=HOSTILE, mechanism=(*flows("question -> answer -(again)-> question"), Flow("answer", HOSTILE))
    )
    page = (run_study(study, size="quick", seeds=1, out=runs, processes=1).folder.path / "report.html").read_text()
    pictures = re.findall(r'<svg role="img".*?</svg>', page, re.DOTALL)
    assert len(pictures) == 2
    for picture in pictures:
        assert "question to answer; answer to question (again);" in ET.fromstring(picture).get("aria-label", "")
    assert "<script" not in page
    assert "http:" not in page
