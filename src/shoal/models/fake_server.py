"""A fake OpenAI-compatible server that answers at once, after a delay, or wrongly on purpose.

For tests and benchmarks: in a process of its own (``python -m shoal.models.fake_server --port 0``, which prints its
base URL) or inside the caller's event loop (``async with FakeServer() as server: server.url``). It counts what it is
asked; ``GET /stats`` tells.
"""

from __future__ import annotations

import asyncio
import hashlib
import random
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import orjson

ANSWER = "Done, as asked."

MISBEHAVIOURS = (
    "400",
    "400 schema",
    "401",
    "404",
    "429",
    "429 wait",
    "500",
    "503",
    "half json",
    "empty choices",
    "null content",
    "wrong schema",
    "html",
    "mislabelled",
    "huge",
    "hang",
    "dribble",
    "drop",
    "truncated",
)
"""What the server can do wrong: statuses ("429 wait" with a Retry-After of 1 s, "400 schema" only to requests with a
response_format), unusable bodies ("mislabelled" is a good one sent as text), "huge" (10 MB), no answer at all ("hang"),
a byte now and then ("dribble"), a connection closed before ("drop") or within the reply ("truncated")."""

_HUGE = 10_000_000
_EMBEDDING_SIZE = 64


class FakeServer:
    """The server.

    Args:
        answer: the reply's text, or a function from the parsed request to it.
        delay: seconds before each reply.
        script: one entry for each chat or embeddings request in the order they come: a misbehaviour, or "ok". After
            the last entry ``rates`` decide.
        rates: probability of each misbehaviour, together at most 1; drawn from the seed and the order of requests.
        seed: root of those draws.
        port: 0 takes a free one.
        model: the name that replies carry.
        keep_bodies: keep each parsed request in ``bodies``, for tests that look at what was sent.
    """

    def __init__(
        self,
        answer: str | Callable[[dict[str, Any]], str] = ANSWER,
        delay: float = 0.0,
        script: Iterable[str] = (),
        rates: Mapping[str, float] | None = None,
        seed: int = 0,
        port: int = 0,
        model: str = "fake",
        keep_bodies: bool = False,
    ) -> None:
        self.answer = answer
        self.model = model
        self.delay = delay
        self.script = list(script)
        self.rates = dict(rates or {})
        for name in (*self.script, *self.rates):
            if name not in (*MISBEHAVIOURS, "ok"):
                raise ValueError(f"unknown misbehaviour {name!r}; known: {', '.join(MISBEHAVIOURS)}")
        if sum(self.rates.values()) > 1:
            raise ValueError("the rates add up to more than 1")
        self.port = port
        self.keep_bodies = keep_bodies
        self.bodies: list[dict[str, Any]] = []
        self.headers: list[bytes] = []
        self.counts: Counter[str] = Counter()
        self.seen: Counter[bytes] = Counter()
        self._random = random.Random(seed)
        self._connections: set[_Connection] = set()
        self._server: asyncio.Server | None = None
        self._good = _reply(_completion(answer, model=model)) if isinstance(answer, str) else b""

    @property
    def url(self) -> str:
        """The base URL of the started server."""
        return f"http://127.0.0.1:{self.port}/v1"

    @property
    def requests(self) -> int:
        """Chat and embeddings requests received so far."""
        return self.counts["requests"]

    def stats(self) -> dict[str, int]:
        """Counts: requests, unique and most_repeated bodies, connections, most_at_once, and misbehaviours by name."""
        most = max(self.seen.values(), default=0)
        return {**self.counts, "requests": self.requests, "unique": len(self.seen), "most_repeated": most}

    def repeats(self) -> list[int]:
        """How often each distinct body came, in order of first arrival."""
        return list(self.seen.values())

    async def __aenter__(self) -> FakeServer:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Connection(self), "127.0.0.1", self.port, backlog=2048)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *exc: object) -> None:
        assert self._server is not None
        self._server.close()
        for connection in list(self._connections):
            connection.abort()
        await self._server.wait_closed()
        await asyncio.sleep(0)  # the transports close in the next turn of the loop

    def draw(self) -> str:
        """What happens to the next request."""
        if self.script:
            return self.script.pop(0)
        if self.rates:
            point = self._random.random()
            for name, rate in self.rates.items():
                point -= rate
                if point < 0:
                    return name
        return "ok"

    def good_reply(self, route: bytes, body: bytes) -> bytes:
        """The full reply to a request that is served well."""
        if b"embeddings" in route:
            return _reply(_embeddings(orjson.loads(body)))
        if self._good and b'"logprobs":true' not in body:
            return self._good
        request = orjson.loads(body)
        text = self.answer if isinstance(self.answer, str) else self.answer(request)
        return _reply(_completion(text, bool(request.get("logprobs")), self.model))


class _Connection(asyncio.Protocol):
    """One client's connection: HTTP/1.1 with Content-Length, kept alive, no pipelining of replies out of order."""

    def __init__(self, server: FakeServer) -> None:
        self.server = server
        self.buffer = b""
        self.transport: asyncio.Transport
        self.drip: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.server._connections.add(self)
        self.server.counts["connections"] += 1

    def connection_lost(self, exc: Exception | None) -> None:
        self.server._connections.discard(self)
        if self.drip is not None:
            self.drip.cancel()

    def abort(self) -> None:
        self.transport.abort()

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        while (end := self.buffer.find(b"\r\n\r\n")) >= 0:
            head = self.buffer[:end]
            length = _content_length(head)
            if len(self.buffer) < end + 4 + length:
                return
            body, self.buffer = self.buffer[end + 4 : end + 4 + length], self.buffer[end + 4 + length :]
            self.serve(head, body)

    def serve(self, head: bytes, body: bytes) -> None:
        method, route, _ = head.split(b"\r\n", 1)[0].split(b" ", 2)
        server, counts = self.server, self.server.counts
        if method == b"GET":
            content = server.stats() if route == b"/stats" else {"object": "list", "data": [{"id": server.model}]}
            self.transport.write(_reply(content))
            return
        counts["requests"] += 1
        counts["now"] += 1
        counts["most_at_once"] = max(counts["most_at_once"], counts["now"])
        server.seen[hashlib.blake2b(body, digest_size=16).digest()] += 1
        if server.keep_bodies:
            server.bodies.append(orjson.loads(body))
            server.headers.append(head)
        what = server.draw()
        if what == "400 schema" and b'"response_format"' not in body:
            what = "ok"
        if what != "ok":
            counts[what] += 1
        if server.delay:
            asyncio.get_running_loop().call_later(server.delay, self.answer, what, route, body)
        else:
            self.answer(what, route, body)

    def answer(self, what: str, route: bytes, body: bytes) -> None:
        self.server.counts["now"] -= 1
        if self.transport.is_closing():
            return
        if what == "ok":
            self.transport.write(self.server.good_reply(route, body))
        elif what == "mislabelled":
            self.transport.write(self.server.good_reply(route, body).replace(b"application/json", b"text/plain", 1))
        elif what == "drop":
            self.transport.abort()
        elif what == "truncated":
            self.transport.write(self.server.good_reply(route, body)[:-10])
            self.transport.close()
        elif what == "dribble":
            self.trickle(self.server.good_reply(route, body))
        elif what != "hang":
            self.transport.write(_misbehaviour(what))

    def trickle(self, left: bytes) -> None:
        """One byte every 50 ms."""
        if left and not self.transport.is_closing():
            self.transport.write(left[:1])
            self.drip = asyncio.get_running_loop().call_later(0.05, self.trickle, left[1:])


def _content_length(head: bytes) -> int:
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(value)
    return 0


def _reply(content: Any, status: str = "200 OK", kind: str = "application/json", extra: str = "") -> bytes:
    body = content if isinstance(content, bytes) else orjson.dumps(content)
    head = f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n{extra}\r\n"
    return head.encode() + body


def _completion(text: str | None, logprobs: bool = False, model: str = "fake") -> dict[str, Any]:
    choice: dict[str, Any] = {
        "index": 0,
        "message": {"role": "assistant", "content": text, "refusal": None},
        "logprobs": None,
        "finish_reason": "stop",
    }
    if logprobs and text:
        choice["logprobs"] = {
            "content": [
                {"token": word, "logprob": -0.5, "bytes": None, "top_logprobs": [{"token": word, "logprob": -0.5}]}
                for word in text.split(" ")
            ]
        }
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1700000000,
        "model": model,
        "choices": [choice],
        "usage": {"prompt_tokens": 20, "completion_tokens": 10, "total_tokens": 30},
    }


def _embeddings(request: dict[str, Any]) -> dict[str, Any]:
    """One vector for each text, a function of the text alone, in reverse order: clients must go by ``index``."""
    data = []
    for index, text in enumerate(request["input"]):
        vector = [0.0] * _EMBEDDING_SIZE
        for word in text.lower().split():
            vector[zlib.crc32(word.encode()) % _EMBEDDING_SIZE] += 1.0
        data.append({"object": "embedding", "index": index, "embedding": vector})
    return {"object": "list", "model": "fake", "data": data[::-1], "usage": {"prompt_tokens": 1, "total_tokens": 1}}


def _misbehaviour(what: str) -> bytes:
    def error(status: str, message: str, param: str | None = None, extra: str = "") -> bytes:
        return _reply({"error": {"message": message, "type": "error", "param": param}}, status, extra=extra)

    good = orjson.dumps(_completion(ANSWER))
    replies: dict[str, Callable[[], bytes]] = {
        "400": lambda: error("400 Bad Request", "Invalid value for 'messages[0].content'.", "messages"),
        "400 schema": lambda: error("400 Bad Request", "response_format is not supported here.", "response_format"),
        "401": lambda: error("401 Unauthorized", "Incorrect API key provided."),
        "404": lambda: error("404 Not Found", "The model does not exist."),
        "429": lambda: error("429 Too Many Requests", "Slow down."),
        "429 wait": lambda: error("429 Too Many Requests", "Slow down.", extra="Retry-After: 1\r\n"),
        "500": lambda: _reply(b"Internal Server Error", "500 Internal Server Error", "text/plain"),
        "503": lambda: error("503 Service Unavailable", "Overloaded."),
        "half json": lambda: _reply(good[: len(good) // 2]),
        "empty choices": lambda: _reply({**_completion(ANSWER), "choices": []}),
        "null content": lambda: _reply(_completion(None)),
        "wrong schema": lambda: _reply({"result": ANSWER}),
        "html": lambda: _reply(b"<html><body>Please sign in.</body></html>", kind="text/html"),
        "huge": lambda: _reply(_completion("x" * _HUGE)),
    }
    return replies[what]()


async def serve(server: FakeServer) -> None:
    """Run a server until the task is cancelled; its base URL is the first line printed."""
    async with server:
        print(server.url, flush=True)
        await asyncio.Event().wait()


def main() -> None:
    """The command line."""
    import argparse
    import contextlib

    parser = argparse.ArgumentParser(description="A fake OpenAI-compatible server.")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one; the base URL is printed")
    parser.add_argument("--delay", type=float, default=0.0, help="seconds before each reply")
    parser.add_argument("--answer", default=ANSWER, help="text of the replies")
    parser.add_argument("--model", default="fake", help="name that the replies carry")
    parser.add_argument("--rate", action="append", default=[], metavar="NAME=P", help=", ".join(MISBEHAVIOURS))
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    rates = {}
    for entry in options.rate:
        name, _, rate = entry.rpartition("=")
        try:
            rates[name] = float(rate)
        except ValueError:
            parser.error(f"--rate {entry}: write it as NAME=P, P from 0 to 1")
    try:
        server = FakeServer(options.answer, options.delay, (), rates, options.seed, options.port, options.model)
    except ValueError as error:
        parser.error(str(error))
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(serve(server))


if __name__ == "__main__":
    main()
