"""A receiver of OpenTelemetry spans on this machine: OTLP/HTTP, with bodies in JSON or in protocol buffers.

Requests are appended, without their secrets, to a file of OTLP lines as they come: it survives a kill and can be
imported as it is. When the receiver stops, the spans become events of one trace file.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from shoal.errors import InputError, StorageError
from shoal.traces.importers.otlp_protobuf import decode_export
from shoal.traces.redaction import Redactor

if TYPE_CHECKING:
    from aiohttp import web

LARGEST_REQUEST = 64 * 2**20
PATH = "/v1/traces"


class Receiver:
    """The HTTP side.

    Args:
        spool: file of OTLP lines that requests are appended to.
        redact: take secrets out before anything is written.

    Attributes:
        requests: how many were taken.
        spans: how many they held.
        refused: bodies that were no trace exports.
    """

    def __init__(self, spool: Path, redact: bool = True) -> None:
        self.spool = spool
        self.redactor = Redactor() if redact else None
        self.requests = self.spans = self.refused = 0

    async def take(self, request: web.Request) -> web.Response:
        """Answer one POST of spans."""
        from aiohttp import web

        packed = "protobuf" in request.content_type
        body = await request.read()
        try:
            document = decode_export(body) if packed else orjson.loads(body)
            spans = sum(
                len(scope.get("spans", ()))
                for group in document["resourceSpans"]
                for scope in group.get("scopeSpans", ())
            )
        except (ValueError, KeyError, TypeError, AttributeError):
            self.refused += 1
            return web.json_response({"message": "this is no OTLP trace export"}, status=400)
        if self.redactor is not None:
            document = self.redactor.value(document)
        self._append(orjson.dumps(document, option=orjson.OPT_APPEND_NEWLINE))
        self.requests += 1
        self.spans += spans
        if packed:  # an empty message says that all was taken
            return web.Response(body=b"", content_type="application/x-protobuf")
        return web.json_response({"partialSuccess": {}})

    def _append(self, line: bytes) -> None:
        try:
            handle = os.open(self.spool, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
            try:
                os.write(handle, line)
            finally:
                os.close(handle)
        except OSError as error:
            raise StorageError(f"cannot write {self.spool}: {error.strerror}") from error

    async def serve(self, port: int, ready: Callable[[str], None], stop: asyncio.Event | None = None) -> None:
        """Listen on the loopback address until ``stop`` is set or the task is cancelled."""
        from aiohttp import web

        app = web.Application(client_max_size=LARGEST_REQUEST)
        app.router.add_post(PATH, self.take)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        try:
            site = web.TCPSite(runner, "127.0.0.1", port)
            try:
                await site.start()
            except OSError as error:
                raise InputError(
                    "--port", port, f"It cannot be opened ({error.strerror}); 0 takes a free one."
                ) from error
            taken = runner.addresses[0][1]
            ready(f"http://127.0.0.1:{taken}")
            await (stop or asyncio.Event()).wait()
        finally:
            await runner.cleanup()


def receive(
    to: Path,
    *,
    port: int = 4318,
    seconds: float | None = None,
    redact: bool = True,
    ready: Callable[[str], None] = lambda url: None,
) -> dict[str, Any]:
    """Receive until the time is over or somebody presses Ctrl-C, then write the trace.

    Args:
        to: the ``.jsonl`` file of events; the OTLP lines stay beside it as ``NAME.otlp.jsonl``.
        port: 0 takes a free one.
        seconds: how long; None for no end.
        redact: take secrets out.
        ready: called with the base URL once the port is open.

    Returns:
        Counts: requests, spans, refused, count (events), redacted, and the problems of the spans.
    """
    from shoal.traces.exporters import export_trace
    from shoal.traces.importers import import_trace

    spool = to.with_name(f"{to.stem}.otlp.jsonl")
    to.parent.mkdir(parents=True, exist_ok=True)
    receiver = Receiver(spool, redact)

    async def listen() -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(receiver.serve(port, ready), seconds)

    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(listen())
    facts: dict[str, Any] = {"requests": receiver.requests, "spans": receiver.spans, "refused": receiver.refused}
    facts |= {"count": 0, "redacted": receiver.redactor.total if receiver.redactor else 0, "to": str(to)}
    if spool.exists():
        imported = import_trace(spool, "otlp", redact)
        export_trace(imported, to, "jsonl")
        facts |= {"count": len(imported.trace), "problems": imported.problems.as_dict()}
    return facts
