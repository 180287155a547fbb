"""The picture of a trace's lanes."""

from __future__ import annotations

from xml.etree import ElementTree as ET

from hypothesis import given
from hypothesis import strategies as st

from shoal.traces.events import Event
from shoal.traces.lanes import MOST_LANES, lanes_picture


def event(number: int, agent: str, parents: tuple[str, ...] = ()) -> Event:
    return Event(str(number), "run", 0.0, number, agent, "message", parents, {"text": "hello"})


def test_an_event_is_a_dot_and_a_known_parent_an_arrow() -> None:
    events = [
        event(0, ""),
        event(1, "solver", ("0",)),
        event(2, "checker", ("1", "elsewhere")),
        event(3, "solver", ("2", "0")),
    ]
    picture = ET.fromstring(lanes_picture(events))
    assert len(picture.findall("circle")) == 4
    assert len(picture.findall("path")) == 4
    assert [text.text for text in picture.findall("text")] == ["(run)", "solver", "checker"]
    assert picture.get("aria-label") == "4 events of 3 agents: (run), solver, checker"


@given(st.lists(st.text(max_size=30), min_size=1, max_size=60))
def test_whatever_agents_are_called_it_is_a_picture_with_a_bounded_number_of_lanes(names: list[str]) -> None:
    clean = ["".join(c for c in name if c.isprintable()) for name in names]
    picture = ET.fromstring(lanes_picture([event(i, name) for i, name in enumerate(clean)]))
    lanes = picture.findall("text")
    assert len(lanes) == min(MOST_LANES, len({name or "(run)" for name in clean}))
    assert len(picture.findall("circle")) == len(names)


def test_markup_in_a_name_is_text() -> None:
    shown = lanes_picture([event(0, "<script>alert(1)</script>")])
    assert "<script" not in shown
