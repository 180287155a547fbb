"""The call cache: a reply that was paid for once is never paid for again, whatever kills the process.

Content-addressed, in SQLite with a write-ahead log: a reply is committed before the caller sees it, so it survives
``kill -9``; several processes may share one file.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Sequence
from pathlib import Path

import orjson

from shoal.errors import StorageError
from shoal.models.interface import ChatMessage, Completion, Model, Request, TokenLogprob
from shoal.models.tools import ToolCall
from shoal.traces import Usage


class CallCache:
    """A file of completions by content address.

    Args:
        path: the SQLite file, created with its folder; None keeps the cache in memory.
    """

    def __init__(self, path: Path | None) -> None:
        self.path = path
        try:
            if path is not None:
                path.parent.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(path or ":memory:", isolation_level=None, timeout=30)
            self._db.execute("PRAGMA journal_mode=WAL")
            # NORMAL survives a killed process, which is what is promised; FULL would also survive a power cut, at
            # the price of a disk flush for each call.
            self._db.execute("PRAGMA synchronous=NORMAL")
            self._db.execute(
                "CREATE TABLE IF NOT EXISTS calls"
                " (key TEXT PRIMARY KEY, model TEXT, time REAL, reply BLOB) WITHOUT ROWID"
            )
        except (sqlite3.Error, OSError) as error:
            raise StorageError(f"cannot open the call cache {path}: {error}") from error

    def get(self, key: str) -> Completion | None:
        """The stored completion, its usage marked as cached; None if there is none."""
        row = self._db.execute("SELECT reply FROM calls WHERE key = ?", (key,)).fetchone()
        return None if row is None else _decode(row[0])

    def put(self, key: str, model: str, completion: Completion) -> None:
        """Store a completion durably. Raises StorageError when the disk is full."""
        try:
            self._db.execute(
                "INSERT OR REPLACE INTO calls VALUES (?, ?, ?, ?)", (key, model, time.time(), _encode(completion))
            )
        except sqlite3.Error as error:
            raise StorageError(
                f"cannot write the call cache {self.path}: {error}. Free some space; the run can be resumed"
            ) from error

    def __len__(self) -> int:
        return int(self._db.execute("SELECT count(*) FROM calls").fetchone()[0])

    def close(self) -> None:
        """Close the file."""
        self._db.close()


class CachedModel(Model):
    """A model whose replies are kept.

    Equal requests in flight at the same time share one call. Only completions are kept; failures are tried again.
    """

    def __init__(self, model: Model, cache: CallCache) -> None:
        self.model = model
        self.cache = cache
        self.spec = model.spec
        self.evidence = model.evidence
        self.identity = model.identity
        self.context = model.context
        self.calls_tools = model.calls_tools
        self._flying: dict[str, asyncio.Future[Completion]] = {}

    async def complete(self, request: Request) -> Completion:
        """The stored reply, or the model's, stored before it is returned."""
        key = request.key(self.identity)
        if (kept := self.cache.get(key)) is not None:
            return kept
        while (flying := self._flying.get(key)) is not None:
            await asyncio.wait({flying})
            if not flying.cancelled():  # the other caller gave up: this one makes the call itself
                return _as_cached(flying.result())
        future: asyncio.Future[Completion] = asyncio.get_running_loop().create_future()
        self._flying[key] = future
        try:
            completion = await self.model.complete(request)
            self.cache.put(key, self.identity, completion)
        except BaseException as error:  # whoever waits for this call must hear how it ended, also if it was cancelled
            if isinstance(error, asyncio.CancelledError):
                future.cancel()
            else:
                future.set_exception(error)
                future.exception()  # marks it as seen: there may be nobody else waiting
            raise
        else:
            future.set_result(completion)
            return completion
        finally:
            del self._flying[key]

    async def aclose(self) -> None:
        """Close the model; the cache belongs to whoever opened it."""
        await self.model.aclose()

    def price(self, usage: Usage) -> float:
        """The model's price."""
        return self.model.price(usage)

    def count_tokens(self, text: str) -> int:
        """The model's count."""
        return self.model.count_tokens(text)

    def count_prompt(self, messages: Sequence[ChatMessage]) -> int:
        """The model's count."""
        return self.model.count_prompt(messages)


def _encode(completion: Completion) -> bytes:
    logprobs = completion.logprobs
    return orjson.dumps(
        {
            "text": completion.text,
            "usage": completion.usage.as_dict(),
            "finish": completion.finish,
            "logprobs": [[t.token, t.logprob, t.top] for t in logprobs] if logprobs is not None else None,
            "calls": [[c.tool, c.argument, c.result, c.failed] for c in completion.calls],
        }
    )


def _decode(blob: bytes) -> Completion:
    record = orjson.loads(blob)
    logprobs = record["logprobs"]
    completion = Completion(
        text=record["text"],
        usage=Usage(**record["usage"]),
        finish=record["finish"],
        logprobs=None
        if logprobs is None
        else tuple(TokenLogprob(t, lp, tuple((a, b) for a, b in top)) for t, lp, top in logprobs),
        calls=tuple(ToolCall(*call) for call in record.get("calls", ())),
    )
    return _as_cached(completion)


def _as_cached(completion: Completion) -> Completion:
    spent = completion.usage
    usage = Usage(spent.prompt_tokens, spent.completion_tokens, spent.calls, spent.seconds, 0.0, spent.calls)
    return Completion(completion.text, usage, completion.finish, completion.logprobs, {}, completion.calls)
