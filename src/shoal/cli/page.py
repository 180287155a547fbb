"""`shoal ui`: the web page."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from shoal.cli import console
from shoal.cli.execution import OUT, OutOption
from shoal.errors import InputError

if TYPE_CHECKING:
    from shoal.ui.access import Access


def page(
    out: OutOption = OUT,
    host: Annotated[
        str, typer.Option(help="Address to listen on; other than loopback, every request needs the token.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on; 0 for any free one.", min=0, max=65535)] = 8080,
    token: Annotated[
        str | None, typer.Option(help="Secret of this server, at least 16 characters; a new one by default.")
    ] = None,
    browser: Annotated[bool, typer.Option(help="Open it in the browser.")] = True,
) -> int:
    """Open the web page: systems, runs, traces, worlds, populations and games. It listens on this machine only."""
    try:
        from shoal.ui.server import serve
    except ModuleNotFoundError as error:
        raise InputError("ui", error.name, "Install the page's extra: pip install 'shoal[ui]'.") from error
    if token is not None and len(token) < 16:
        raise InputError("--token", "*" * len(token), "Use at least 16 characters.")
    logging.getLogger("asyncio").setLevel(logging.ERROR)
    serve(Path(out), host, port, token, _announce, browser)
    return 0


def _announce(access: Access) -> None:
    console.out.print(f"shoal listens at {access.address}", markup=False, soft_wrap=True)
    console.out.print(
        f"token {access.token} (for tools that change something, as the header X-Shoal-Token)", markup=False
    )
    console.out.print("Press Ctrl-C to stop; runs that were started here go on.", style="dim")
