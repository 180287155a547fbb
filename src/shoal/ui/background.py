"""Slow work beside the event loop, which all pages share."""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec, TypeVar, cast

from nicegui import run

P = ParamSpec("P")
T = TypeVar("T")


async def in_thread(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """What ``work`` returns, done in a thread of its own; errors are raised here."""
    return cast(T, await run.io_bound(work, *args, **kwargs))
