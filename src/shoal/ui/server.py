"""The server: the guard, the JSON interface and the pages, on one address of this machine."""

from __future__ import annotations

import socket
import webbrowser
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI
from nicegui import app as nicegui_app
from nicegui import run as background
from nicegui import ui

from shoal.errors import InputError
from shoal.studies.catalogue import catalogue
from shoal.ui import diagnosis_interface, replays, trace_interface
from shoal.ui.access import Access, Guard
from shoal.ui.interface import router
from shoal.ui.layout import STATIC, STATIC_ADDRESS
from shoal.ui.pages import games, populations, runs, systems, trace, worlds
from shoal.ui.workspace import Workspace

PAGES: Mapping[str, Callable[..., Any]] = {
    "/": systems.catalogue_page,
    "/systems/{name}": systems.system_page,
    "/runs": runs.runs_page,
    "/runs/{name}": runs.run_page,
    "/runs/{name}/trace": trace.run_trace_page,
    "/trace": trace.file_trace_page,
    "/compare": runs.compare_page,
    "/worlds": worlds.worlds_page,
    "/worlds/{name}": worlds.world_page,
    "/populations": populations.populations_page,
    "/populations/{name}": populations.population_page,
    "/populations/runs/{name}": populations.population_run_page,
    "/games": games.games_page,
    "/games/{name}": games.game_page,
}
"""Address -> the function that builds its page; called with the workspace and what the address names."""
PATIENCE = 30.0
"""Seconds for which a silent browser is still there. NiceGUI's 3 cut pages off, and their clicks were lost, while
a simulation compiled on the same processor."""


def build(workspace: Workspace, access: Access) -> FastAPI:
    """The web application.

    Args:
        workspace: what is shown.
        access: who may see it.
    """
    from shoal.runs.machine import shoal_version

    application = FastAPI(
        title="shoal", version=shoal_version(), docs_url=None, redoc_url=None, openapi_url="/api/openapi.json"
    )
    application.include_router(router(workspace), prefix="/api")
    for part in (trace_interface, diagnosis_interface, replays):
        application.include_router(part.router(workspace), prefix="/api")
    background.process_pool_start_method = "spawn"  # a forked server would take its threads' locks with it
    nicegui_app.add_static_files(STATIC_ADDRESS, STATIC)
    for address, page in PAGES.items():
        ui.page(address)(partial(page, workspace))
    ui.run_with(
        application, title="shoal", language="en-US", show_welcome_message=False, tailwind=False,
        reconnect_timeout=PATIENCE,
    )  # fmt: skip
    application.add_middleware(Guard, access=access)
    return application


def serve(
    out: Path, host: str, port: int, token: str | None, announce: Callable[[Access], None], browser: bool
) -> None:
    """Serve the page until interrupted.

    Args:
        out: folder of run folders.
        host: address to listen on.
        port: to listen on; 0 for any free one.
        token: secret of this server; a new one if None.
        announce: called with the address once it listens.
        browser: open it in the user's browser.

    Raises:
        InputError: the address cannot be listened on.
    """
    try:
        listening = socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        raise InputError("--port", port, f"{error.strerror}; choose another, or 0 for any free one.") from error
    bound = listening.getsockname()[1]
    access = Access(host, bound) if token is None else Access(host, bound, token)
    workspace = Workspace(out)
    server = uvicorn.Server(uvicorn.Config(build(workspace, access), log_level="warning", ws_max_size=2**24))
    catalogue()  # systems and runs are read before anybody waits for a page
    workspace.runs()
    announce(access)
    if browser:
        webbrowser.open(access.address)
    server.run(sockets=[listening])
