"""Pictures of worlds: a few flat shapes in world coordinates, written as SVG, PNG or GIF.

A world's ``draw`` returns shapes; how they look on paper or screen is decided here, so every viewer can use them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

# Okabe and Ito's colours, distinguishable for colour-blind readers; agents take them in turn.
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#000000")
GREY = "#b0b0b0"


@dataclass(frozen=True, slots=True)
class Shape:
    """One flat shape.

    Attributes:
        kind: what it is.
        x: centre (circle, rect, text) or start (line, arrow), in world coordinates.
        y: the same; up is positive.
        size: radius of a circle, half the side of a square, height of a text.
        colour: of the filling, or of the line.
        text: what a text says.
        to: end of a line or arrow.
        height: half the height of a rect where it is not a square.
        opacity: 0 invisible to 1 solid.
    """

    kind: Literal["circle", "rect", "line", "arrow", "text"]
    x: float
    y: float
    size: float = 0.05
    colour: str = GREY
    text: str = ""
    to: tuple[float, float] | None = None
    height: float | None = None
    opacity: float = 1.0


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture.

    Attributes:
        bounds: (left, bottom, right, top) in world coordinates.
        shapes: drawn in order.
        caption: one line below.
    """

    bounds: tuple[float, float, float, float]
    shapes: Sequence[Shape] = field(default_factory=tuple)
    caption: str = ""


def colour_of(agent: int) -> str:
    """The colour of an agent, by its number."""
    return COLOURS[agent % len(COLOURS)]


def to_svg(picture: Picture, width: int = 400) -> str:
    """The picture as one SVG document; texts are escaped."""
    left, bottom, right, top = picture.bounds
    scale = width / (right - left)
    height = round((top - bottom) * scale)
    footer = 20 if picture.caption else 0
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height + footer}" '
        f'viewBox="0 0 {width} {height + footer}" font-family="sans-serif">',
        '<defs><marker id="tip" markerWidth="6" markerHeight="6" refX="5" refY="3" orient="auto">'
        '<path d="M0,0 L6,3 L0,6 z"/></marker></defs>',
        f'<rect width="{width}" height="{height + footer}" fill="#ffffff"/>',
    ]
    for s in picture.shapes:
        parts.append(_svg(s, lambda x: (x - left) * scale, lambda y: (top - y) * scale, scale))
    if picture.caption:
        parts.append(f'<text x="4" y="{height + 15}" font-size="12">{escape(picture.caption)}</text>')
    return "\n".join([*parts, "</svg>"])


def _svg(s: Shape, px: Callable[[float], float], py: Callable[[float], float], scale: float) -> str:
    x, y = px(s.x), py(s.y)
    look = f'fill="{s.colour}" opacity="{s.opacity:g}"'
    if s.kind == "circle":
        return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{s.size * scale:.1f}" {look}/>'
    if s.kind == "rect":
        w, h = s.size * scale, (s.height if s.height is not None else s.size) * scale
        return f'<rect x="{x - w:.1f}" y="{y - h:.1f}" width="{2 * w:.1f}" height="{2 * h:.1f}" {look}/>'
    if s.kind == "text":
        place = f'x="{x:.1f}" y="{y:.1f}" text-anchor="middle" dominant-baseline="central"'
        return f'<text {place} font-size="{s.size * scale:.1f}" {look}>{escape(s.text)}</text>'
    assert s.to is not None
    ends = f'x1="{x:.1f}" y1="{y:.1f}" x2="{px(s.to[0]):.1f}" y2="{py(s.to[1]):.1f}"'
    tip = ' marker-end="url(#tip)"' if s.kind == "arrow" else ""
    return f'<line {ends} stroke="{s.colour}" stroke-width="2" opacity="{s.opacity:g}"{tip}/>'


def save(pictures: Sequence[Picture], path: Path, width: int = 400, seconds: float = 0.15) -> Path:
    """Write one picture as .svg or .png, or several as an animated .gif; the ending decides.

    Raises:
        InputError: another ending, or several pictures for a format that holds one.
    """
    from shoal.errors import InputError

    if path.suffix not in (".svg", ".png", ".gif"):
        raise InputError("picture", str(path), "Use a name that ends in .svg, .png or .gif.")
    if len(pictures) != 1 and path.suffix != ".gif":
        raise InputError("picture", str(path), "Several frames need a .gif.")
    if path.suffix == ".svg":
        path.write_text(to_svg(pictures[0], width), encoding="utf-8")
        return path
    from PIL import Image

    frames = [Image.fromarray(to_pixels(p, width)) for p in pictures]
    if path.suffix == ".png":
        frames[0].save(path)
    else:
        frames[0].save(path, save_all=True, append_images=frames[1:], duration=int(seconds * 1000), loop=0)
    return path


def to_pixels(picture: Picture, width: int = 400) -> NDArray[np.uint8]:
    """The picture as an array [height, width, 3] of bytes."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.patches import Circle, Rectangle

    left, bottom, right, top = picture.bounds
    inches = width / 100
    tall = inches * (top - bottom) / (right - left) + (0.25 if picture.caption else 0)
    figure = Figure(figsize=(inches, tall), dpi=100)
    canvas: Any = FigureCanvasAgg(figure)
    ax = figure.add_axes((0, 0, 1, 1))
    ax.set_xlim(left, right)
    ax.set_ylim(bottom, top)
    ax.set_aspect("equal", adjustable="box")
    ax.axis("off")
    points = 72 * inches / (right - left)
    for s in picture.shapes:
        if s.kind == "circle":
            ax.add_patch(Circle((s.x, s.y), s.size, color=s.colour, alpha=s.opacity, linewidth=0))
        elif s.kind == "rect":
            h = s.height if s.height is not None else s.size
            corner = (s.x - s.size, s.y - h)
            ax.add_patch(Rectangle(corner, 2 * s.size, 2 * h, color=s.colour, alpha=s.opacity, linewidth=0))
        elif s.kind == "text":
            ax.text(s.x, s.y, s.text, color=s.colour, fontsize=s.size * points, ha="center", va="center")
        else:
            assert s.to is not None
            style = "-|>" if s.kind == "arrow" else "-"
            look = {"arrowstyle": style, "color": s.colour, "alpha": s.opacity}
            ax.annotate("", xy=s.to, xytext=(s.x, s.y), arrowprops=look)
    if picture.caption:
        figure.text(0.01, 0.01, picture.caption, fontsize=8)
    canvas.draw()
    pixels: NDArray[np.uint8] = np.asarray(canvas.buffer_rgba())[..., :3].copy()
    return pixels
