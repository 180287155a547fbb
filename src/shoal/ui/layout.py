"""What all pages share: the frame with its navigation, the theme, and the small pieces that say one thing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from nicegui import ui
from nicegui.elements.mixins.text_element import TextElement

from shoal.ui.wording import VERDICT_MARKS

STATIC = Path(__file__).parent / "static"
STATIC_ADDRESS = "/static-shoal"
NAVIGATION = (
    ("Systems", "/"),
    ("Runs", "/runs"),
    ("Worlds", "/worlds"),
    ("Populations", "/populations"),
    ("Games", "/games"),
)
THEMES: Mapping[str, bool | None] = {"auto": None, "light": False, "dark": True}
THEME_COOKIE = "shoal_theme"

_HEAD = f"""
<link rel="stylesheet" href="{STATIC_ADDRESS}/shoal.css">
<script src="{STATIC_ADDRESS}/shoal.js"></script>
"""


@contextmanager
def frame(title: str, section: str = "") -> Iterator[None]:
    """The page around its content.

    Args:
        title: heading of the page; also the browser's title.
        section: address of the navigation entry that it belongs to.
    """
    ui.page_title(f"{title} - shoal")
    ui.add_head_html(_HEAD)
    ui.colors(primary="#00629b", secondary="#4b5563", positive="#00705a", negative="#a8320a", warning="#7a5600")
    with ui.element("header").classes("top"):
        ui.link("shoal", "/").classes("brand")
        with ui.element("nav").props('aria-label="Pages"').classes("pages"):
            for name, address in NAVIGATION:
                link = ui.link(name, address)
                if address == section:
                    link.classes("here").props('aria-current="page"')
        _theme_switch()
    with ui.element("main").props('id="content"').classes("content") as content:
        text("h1", title)
        yield
    ui.skip_link("Skip to content", target=content)


def _theme_switch() -> None:
    """A button that goes through auto, light and dark; the browser remembers the choice."""
    request = ui.context.client.request
    chosen = request.cookies.get(THEME_COOKIE, "auto") if request is not None else "auto"
    chosen = chosen if chosen in THEMES else "auto"
    dark = ui.dark_mode(THEMES[chosen])

    def turn() -> None:
        names = list(THEMES)
        now = names[(names.index(switch.text.removeprefix("Theme: ")) + 1) % len(names)]
        switch.text = f"Theme: {now}"
        dark.value = THEMES[now]
        ui.run_javascript(f"document.cookie = '{THEME_COOKIE}={now}; path=/; SameSite=Strict; max-age=31536000'")

    switch = button(f"Theme: {chosen}", turn).classes("theme")


def button(label: str, action: Callable[[], object], kind: Literal["plain", "go", "danger"] = "plain") -> ui.button:
    """A button: plain, the one that does what the page is for, or one that destroys."""
    shown = ui.button(label, on_click=action, color=None)
    return shown.props("unelevated no-caps dense").classes(f"button {kind}")


def text(tag: str, words: str) -> TextElement:
    """An element that holds text, shown as text whatever is in it."""
    return TextElement(tag=tag, text=words)


def empty(what: str, how: str) -> None:
    """Nothing is here, and what to do about it."""
    with ui.element("div").classes("empty"):
        text("p", what)
        text("p", how).classes("quiet")


def verdict(value: str) -> TextElement:
    """A verdict as a sign, a colour and a word."""
    mark, kind = VERDICT_MARKS.get(value, ("–", "none"))
    return text("span", f"{mark} {value}").classes(f"verdict {kind}")


def facts(rows: Mapping[str, object]) -> None:
    """Names and values."""
    with ui.element("dl").classes("facts"):
        for name, value in rows.items():
            text("dt", name)
            text("dd", str(value))
