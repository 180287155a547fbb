"""A mechanism as an SVG picture: drawn here, without a browser, for the web page and the report alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from xml.etree import ElementTree as ET

from shoal.runs.mechanism import Flow, in_words, nodes
from shoal.runs.placement import Layout, Point, Route, lay_out

FONT = 14
LINE = 17
LABEL_FONT = 12
LABEL_LINE = 14
PADDING = (12, 9)
"""Between the text and the border of a box, sideways and up, in pixels as all lengths here."""
LABEL_PADDING = (3, 0)
MARGIN = 4
CORNER = 9.0
ARROW = (8.0, 4.0)
"""Length and half width of an arrowhead."""
SMALLEST = 0.8
"""A picture is shrunk to that share of its size; in a narrower place it is to be scrolled."""

COLOURS = {"ink": "#1b1f23", "paper": "#ffffff", "panel": "#f5f6f7"}
"""Fall-backs of the CSS variables of the same names."""


@dataclass(frozen=True)
class _Style:
    """How a drawing is oriented and coloured."""

    upright: bool
    themed: bool

    def colour(self, name: str) -> str:
        return f"var(--{name}, {COLOURS[name]})" if self.themed else COLOURS[name]

    def turned(self, point: Point) -> Point:
        """(along, across) as (x, y), or (x, y) as (along, across)."""
        return (point[1], point[0]) if self.upright else point


def flowchart(mechanism: Sequence[Flow], title: str, *, upright: bool = False, themed: bool = True) -> str:
    """A mechanism as an SVG element; all text is escaped.

    Args:
        mechanism: its edges; at least one.
        title: of which system; read out together with the edges.
        upright: from top to bottom, for narrow screens, instead of from left to right.
        themed: for a place in a page, whose CSS variables --ink, --paper and --panel give the colours and so the theme;
            otherwise they are fixed, on white paper, for a file of its own.
    """
    style = _Style(upright, themed)
    texts = {name: wrapped(name, 15) for name in nodes(mechanism)}
    labels = [wrapped(flow.label, 13) if flow.label else [] for flow in mechanism]
    layout = lay_out(
        [(flow.source, flow.target) for flow in mechanism],
        {name: style.turned(_size(lines, FONT, LINE, PADDING)) for name, lines in texts.items()},
        [style.turned(_size(lines, LABEL_FONT, LABEL_LINE, LABEL_PADDING)) for lines in labels],
    )
    x, y, width, height = _extent(layout, labels, style)
    svg = _element(
        None, "svg", role="img", aria_label=f"Mechanism of {title}: {in_words(mechanism)}",
        viewBox=f"{_short(x)} {_short(y)} {_short(width)} {_short(height)}", width=width, height=height,
        font_family="system-ui, sans-serif",
    )  # fmt: skip
    if themed:
        smallest = width * SMALLEST
        svg.set("style", f"width: 100%; height: auto; min-width: {smallest:.0f}px; max-width: {width:.0f}px")
    else:
        svg.set("xmlns", "http://www.w3.org/2000/svg")
        _element(svg, "rect", x=x, y=y, width=width, height=height, fill=COLOURS["paper"])
    for route in layout.routes:
        _line(svg, route, style)
    for name, lines in texts.items():
        _box(svg, layout, name, lines, style)
    for route, lines in zip(layout.routes, labels, strict=True):
        if lines:
            _label(svg, style.turned(route.label), lines, style)
    return ET.tostring(svg, encoding="unicode")


def wrapped(words: str, most: int) -> list[str]:
    """Words in lines of about ``most`` characters, as even as they can be; a longer word is cut."""
    pieces = [word[i : i + most] for word in words.split() for i in range(0, len(word), most)]
    total = len(" ".join(pieces))
    goal = total / max(1, -(-total // most))
    lines: list[str] = []
    for piece in pieces:
        joined = f"{lines[-1]} {piece}" if lines else piece
        if lines and len(joined) <= most and len(joined) - goal <= goal - len(lines[-1]):
            lines[-1] = joined
        else:
            lines.append(piece)
    return lines


def _size(lines: Sequence[str], font: int, line: int, padding: tuple[int, int]) -> Point:
    """Width and height of lines of text with the padding round them; (0, 0) for none."""
    if not lines:
        return 0.0, 0.0
    return max(_text_width(text) for text in lines) * font + 2 * padding[0], line * len(lines) + 2 * padding[1]


def _text_width(text: str) -> float:
    """Width in units of the font's size: a little more than the common sans-serif fonts take."""
    return sum(
        0.32 if c in "iljtfr.,:;'|!() -" else 0.9 if c in "mwMW@%" else 0.7 if c.isupper() else 0.58 for c in text
    )


def _extent(layout: Layout, labels: Sequence[Sequence[str]], style: _Style) -> tuple[float, float, float, float]:
    """Left, top, width and height of all that is drawn."""
    corners = [
        style.turned((box.along + side * box.length / 2, box.across + side * box.breadth / 2))
        for box in layout.boxes.values()
        for side in (-1, 1)
    ]
    for route, lines in zip(layout.routes, labels, strict=True):
        corners += [style.turned(point) for point in route.points]
        (x, y), (width, height) = style.turned(route.label), _size(lines, LABEL_FONT, LABEL_LINE, LABEL_PADDING)
        corners += [(x - width / 2, y - height / 2), (x + width / 2, y + height / 2)]
    left, top = min(x for x, _ in corners) - MARGIN, min(y for _, y in corners) - MARGIN
    return left, top, max(x for x, _ in corners) + MARGIN - left, max(y for _, y in corners) + MARGIN - top


def _box(svg: ET.Element, layout: Layout, name: str, lines: Sequence[str], style: _Style) -> None:
    box = layout.boxes[name]
    x, y = style.turned((box.along, box.across))
    width, height = style.turned((box.length, box.breadth))
    _element(
        svg, "rect", x=x - width / 2, y=y - height / 2, width=width, height=height, rx=6,
        fill=style.colour("panel"), stroke=style.colour("ink"), stroke_opacity=0.55,
    )  # fmt: skip
    _text(svg, (x, y), lines, FONT, LINE, style)


def _text(svg: ET.Element, centre: Point, lines: Sequence[str], font: int, line: int, style: _Style) -> None:
    """Lines centred on a point."""
    text = _element(svg, "text", text_anchor="middle", font_size=font, fill=style.colour("ink"))
    first = centre[1] - line * (len(lines) - 1) / 2 + 0.35 * font
    for place, words in enumerate(lines):
        _element(text, "tspan", x=centre[0], y=first + place * line).text = words


def _label(svg: ET.Element, centre: Point, lines: Sequence[str], style: _Style) -> None:
    """Words on a line, which is covered beneath them."""
    width, height = _size(lines, LABEL_FONT, LABEL_LINE, LABEL_PADDING)
    x, y = centre[0] - width / 2, centre[1] - height / 2
    _element(svg, "rect", x=x, y=y, width=width, height=height, fill=style.colour("paper"))
    _text(svg, centre, lines, LABEL_FONT, LABEL_LINE, style)


def _line(svg: ET.Element, route: Route, style: _Style) -> None:
    """The line of an edge with its arrowhead; the line ends where the head begins."""
    points = [style.turned(point) for point in route.points]
    (x1, y1), (x2, y2) = points[-2:]
    way = _unit(x2 - x1, y2 - y1) if route.loop else style.turned((1.0, 0.0))
    neck = (x2 - way[0] * ARROW[0], y2 - way[1] * ARROW[0])
    points[-1] = neck
    drawn = _turning(points) if route.loop else _bending(points, style)
    _element(svg, "path", d=drawn, fill="none", stroke=style.colour("ink"), stroke_opacity=0.7, stroke_width=1.4)
    side = (-way[1] * ARROW[1], way[0] * ARROW[1])
    corners = ((x2, y2), (neck[0] + side[0], neck[1] + side[1]), (neck[0] - side[0], neck[1] - side[1]))
    head = " ".join(f"{_short(x)},{_short(y)}" for x, y in corners)
    _element(svg, "polygon", points=head, fill=style.colour("ink"), fill_opacity=0.8)


def _bending(points: Sequence[Point], style: _Style) -> str:
    """A path that bends in the gaps between layers and is straight beside boxes."""
    path = [f"M{_at(points[0])}"]
    for place, (one, two) in enumerate(pairwise(points)):
        if place % 2:
            path.append(f"L{_at(two)}")
        else:
            (a1, c1), (a2, c2) = style.turned(one), style.turned(two)
            middle = (a1 + a2) / 2
            path.append(f"C{_at(style.turned((middle, c1)))} {_at(style.turned((middle, c2)))} {_at(two)}")
    return " ".join(path)


def _turning(points: Sequence[Point]) -> str:
    """A path of straight lines with rounded corners."""
    path = [f"M{_at(points[0])}"]
    for one, corner, two in zip(points, points[1:], points[2:], strict=False):
        radius = min(CORNER, _length(one, corner) / 2, _length(corner, two) / 2)
        back, on = _unit(one[0] - corner[0], one[1] - corner[1]), _unit(two[0] - corner[0], two[1] - corner[1])
        path.append(f"L{_at((corner[0] + radius * back[0], corner[1] + radius * back[1]))}")
        path.append(f"Q{_at(corner)} {_at((corner[0] + radius * on[0], corner[1] + radius * on[1]))}")
    return " ".join([*path, f"L{_at(points[-1])}"])


def _length(one: Point, two: Point) -> float:
    return float(((two[0] - one[0]) ** 2 + (two[1] - one[1]) ** 2) ** 0.5)


def _unit(x: float, y: float) -> Point:
    length = _length((0.0, 0.0), (x, y)) or 1.0
    return x / length, y / length


def _at(point: Point) -> str:
    return f"{_short(point[0])},{_short(point[1])}"


def _short(number: float) -> str:
    return f"{number:.2f}".rstrip("0").rstrip(".")


def _element(parent: ET.Element | None, tag: str, **attributes: str | float) -> ET.Element:
    written = {
        name.replace("_", "-"): value if isinstance(value, str) else _short(value) for name, value in attributes.items()
    }
    return ET.Element(tag, written) if parent is None else ET.SubElement(parent, tag, written)
