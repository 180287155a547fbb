"""Requests to an OpenAI-compatible server that survive what servers do, and count it.

Refused connections, 429 and 5xx replies, timeouts, torn or foreign replies are tried again with exponential backoff;
each failed attempt is tallied by kind. What the caller must mend (400, 401, 404) ends at once.
"""

from __future__ import annotations

import asyncio
import os
import random
import socket
import time
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

import orjson

from shoal.errors import InputError, ModelError
from shoal.models.lock import is_loopback, refuse_if_offline

if TYPE_CHECKING:
    from aiohttp import ClientResponse, ClientSession

T = TypeVar("T")

LONGEST_WAIT = 60.0
"""Seconds before another attempt at most, whatever the server asks for."""

LONGEST_CONNECT = 20.0
"""Seconds for a connection to come about, within the timeout of the attempt."""

_RETRIED_STATUS = frozenset({408, 409, 425, 429})


class BadReply(Exception):
    """A reply that arrived but cannot be used, or an attempt that failed; ``final`` where trying again is no use."""

    def __init__(
        self,
        kind: str,
        detail: str,
        *,
        final: bool = False,
        wait: float | None = None,
        status: int = 0,
        field: str = "",
    ) -> None:
        super().__init__(detail)
        self.kind = kind
        self.final = final
        self.wait = wait
        self.status = status
        self.field = field


class RequestError(ModelError):
    """A request that got no usable reply.

    Attributes:
        status: HTTP status of the last attempt, or 0.
        field: the field of the request that the server complains about, where it says so.
        failures: failed attempts by kind, the last one included.
    """

    def __init__(
        self,
        kind: str,
        message: str,
        status: int = 0,
        field: str = "",
        failures: Mapping[str, int] | None = None,
    ) -> None:
        super().__init__(kind, message)
        self.status = status
        self.field = field
        self.failures = dict(failures or {kind: 1})

    def __reduce__(self) -> tuple[Any, ...]:
        return (type(self), (self.kind, str(self), self.status, self.field, self.failures))


@dataclass(slots=True)
class _Pool:
    """The connections of one event loop."""

    session: ClientSession
    slots: asyncio.Semaphore
    keeper: AsyncGenerator[None, None]
    proxy: str | None
    closed_until: float = 0.0


class Transport:
    """POST requests to one server, from any number of event loops.

    Args:
        base_url: ``http://host:port/v1`` or the like: what the routes are added to.
        key: bearer token; it goes into one header and nowhere else.
        key_hint: where the user sets the key, for error messages.
        concurrency: most requests at the same time, at least 1.
        timeout: seconds for one attempt from connecting to the last byte, above 0.
        retries: attempts after the first, at least 0.
        backoff: seconds before the first retry, doubled for each further one, with jitter; at most LONGEST_WAIT.
        read_limit: longest reply in bytes; reading stops there.
        seed: root of the jitter.
    """

    def __init__(
        self,
        base_url: str,
        *,
        key: str | None = None,
        key_hint: str = "SHOAL_API_KEY",
        concurrency: int = 64,
        timeout: float = 120.0,
        retries: int = 5,
        backoff: float = 0.5,
        read_limit: int = 4_000_000,
        seed: int = 0,
    ) -> None:
        counts = (("concurrency", concurrency, 1), ("retries", retries, 0), ("read_limit", read_limit, 1))
        for name, value, least in counts:
            if value < least:
                raise InputError(name, value, f"Give a whole number of at least {least}.")
        if not timeout > 0:
            raise InputError("timeout", timeout, "Give a number of seconds above 0.")
        if not backoff >= 0:
            raise InputError("backoff", backoff, "Give a number of seconds from 0.")
        self.base_url = checked_url(base_url)
        parts = urlsplit(self.base_url)
        self.host = parts.hostname or ""
        self.port = parts.port or (443 if parts.scheme == "https" else 80)
        self.concurrency = concurrency
        self.timeout = timeout
        self.retries = retries
        self.backoff = backoff
        self.read_limit = read_limit
        self._key = key.strip() if key else ""
        self._key_hint = key_hint
        self._jitter = random.Random(seed)
        self._pools: dict[asyncio.AbstractEventLoop, _Pool] = {}

    async def post(self, route: str, body: bytes, read: Callable[[Any], T]) -> tuple[T, dict[str, int], float]:
        """Send a JSON body and read the reply.

        Args:
            route: path under the base URL, "/chat/completions".
            body: the JSON.
            read: turns the parsed reply into what is wanted; raises BadReply if it cannot, which counts as a failed
                attempt.

        Returns:
            What was read, the failed attempts before it by kind, and the seconds from the first attempt on.

        Raises:
            RequestError: no usable reply after all retries, or one that more attempts cannot mend.
            NetworkForbidden: another machine, while ``SHOAL_OFFLINE`` is set.
        """
        refuse_if_offline(self.host, self.port)
        pool = self._pools.get(asyncio.get_running_loop())
        if pool is None or pool.session.closed:
            pool = await self._open()
        failures: Counter[str] = Counter()
        begun = 0.0
        while True:
            try:
                if (wait := pool.closed_until - time.monotonic()) > 0:
                    await asyncio.sleep(wait)
                async with pool.slots:
                    begun = begun or time.perf_counter()
                    value = await self._attempt(pool, route, body, read, failures)
                return value, dict(failures), time.perf_counter() - begun
            except BadReply as bad:
                failures[bad.kind] += 1
                if bad.final or failures.total() > self.retries:
                    raise self._error(bad, failures) from None
                wait = self._pause(failures.total(), bad.wait)
                if bad.wait is not None:
                    # The server named a time: every other caller would only be turned away before it, too.
                    pool.closed_until = max(pool.closed_until, time.monotonic() + min(bad.wait, LONGEST_WAIT))
            await asyncio.sleep(wait)

    async def aclose(self) -> None:
        """Close the connections of the running event loop; the next request opens new ones."""
        pool = self._pools.pop(asyncio.get_running_loop(), None)
        if pool is not None:
            await pool.keeper.aclose()

    async def _open(self) -> _Pool:
        import aiohttp

        loop = asyncio.get_running_loop()
        for dead in [old for old in self._pools if old.is_closed()]:
            del self._pools[dead]
        headers = {"Content-Type": "application/json", "Accept-Encoding": "identity"}
        if self._key:
            headers["Authorization"] = f"Bearer {self._key}"
        session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=60),
            timeout=aiohttp.ClientTimeout(total=self.timeout, sock_connect=min(self.timeout, LONGEST_CONNECT)),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers=headers,
        )
        # A loop shuts its asynchronous generators down when it ends, so that connections never outlive their loop,
        # even where nobody calls aclose().
        keeper = _closing(session)
        pool = self._pools[loop] = _Pool(session, asyncio.Semaphore(self.concurrency), keeper, self._proxy())
        await anext(keeper)
        return pool

    def _proxy(self) -> str | None:
        import urllib.request

        if is_loopback(self.host) or urllib.request.proxy_bypass(self.host):
            return None
        return urllib.request.getproxies().get(urlsplit(self.base_url).scheme)

    async def _attempt(
        self, pool: _Pool, route: str, body: bytes, read: Callable[[Any], T], failures: Counter[str]
    ) -> T:
        import aiohttp

        try:
            async with pool.session.post(
                self.base_url + route, data=body, proxy=pool.proxy, allow_redirects=False
            ) as response:
                if response.status != 200:
                    raise await self._refusal(response)
                raw = await self._body(response, self.read_limit)
                mislabelled = "json" not in response.headers.get("Content-Type", "json")
        except aiohttp.ConnectionTimeoutError:
            raise BadReply("timeout", f"no connection within {min(self.timeout, LONGEST_CONNECT):g} s") from None
        except TimeoutError:
            raise BadReply("timeout", f"no full reply within {self.timeout:g} s") from None
        except (aiohttp.ClientError, OSError) as error:
            raise _connection_failure(error) from None
        try:
            value = read(orjson.loads(raw))
        except (orjson.JSONDecodeError, BadReply) as error:
            if mislabelled:
                kind = response.headers.get("Content-Type", "")[:60]
                raise BadReply("wrong content type", f"the reply is {kind}, not JSON") from None
            if isinstance(error, BadReply):
                raise
            raise BadReply("bad json", f"the reply is not JSON: {error}") from None
        if mislabelled:
            failures["wrong content type"] += 1
        return value

    async def _body(self, response: ClientResponse, limit: int) -> bytes:
        """The reply's bytes, as far as the limit: what is longer is cut off on the wire, not after reading it."""
        if (response.content_length or 0) <= limit:
            pieces, size = [], 0
            async for piece in response.content.iter_any():
                size += len(piece)
                if size > limit:
                    break
                pieces.append(piece)
            else:
                return b"".join(pieces)
        response.close()
        raise BadReply("too large", f"the reply is longer than {limit} bytes")

    async def _refusal(self, response: ClientResponse) -> BadReply:
        status = response.status
        try:
            detail, field = _complaint(await self._body(response, min(self.read_limit, 65_536)))
        except BadReply:
            detail, field = "", ""
        wait = _retry_after(response.headers.get("Retry-After")) if status in _RETRIED_STATUS or status >= 500 else None
        final = status < 500 and status not in _RETRIED_STATUS
        return BadReply(str(status), detail, final=final, wait=wait, status=status, field=field)

    def _pause(self, attempt: int, asked: float | None) -> float:
        """Seconds before the next attempt: exponential with jitter, never less than the server asked for."""
        wait = self.backoff * float(2 ** min(attempt - 1, 20)) * self._jitter.uniform(0.5, 1.0)
        return min(LONGEST_WAIT, max(wait, asked or 0.0))

    def _error(self, bad: BadReply, failures: Counter[str]) -> RequestError:
        mend = {
            401: f"The server does not take the key. Set {self._key_hint}.",
            403: f"The key may not do this. Set another one in {self._key_hint}.",
            404: "Nothing is there: check the path (it mostly ends in /v1) and the model's name after #.",
        }.get(bad.status, f"Mend the field {bad.field}." if bad.field and bad.final else "")
        tally = ", ".join(f"{kind} {count}x" for kind, count in failures.items())
        said = f"{bad.kind} ({bad})" if str(bad) else bad.kind
        attempts = f" after {failures.total()} attempts ({tally})" if failures.total() > 1 else ""
        message = f"{self.base_url}: {said}{attempts}. {mend}".strip()
        if self._key:
            message = message.replace(self._key, "***")
        return RequestError(bad.kind, " ".join(message.split()), bad.status, bad.field, failures)


def checked_url(url: str) -> str:
    """The base URL without its trailing slash. Raises InputError if it is none, or carries a secret or a query."""
    parts = urlsplit(url)
    shown = url
    if parts.username is not None or parts.password is not None:
        shown = f"{parts.scheme}://***@{parts.hostname or ''}{parts.path}"
        raise InputError("endpoint", shown, "Leave the user and password out; the key goes into SHOAL_API_KEY.")
    if parts.query:
        shown = f"{url.partition('?')[0]}?***"
        raise InputError("endpoint", shown, "Leave the query out; the key goes into SHOAL_API_KEY.")
    try:
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port that is no number
        usable = False
    if not usable:
        raise InputError("endpoint", shown, "Write it as http://host:port/v1 (https too).")
    return f"{parts.scheme}://{parts.netloc}{parts.path}".rstrip("/")


def key_from(variable: str) -> str | None:
    """The key in that environment variable, or None."""
    return os.environ.get(variable) or None


async def _closing(session: ClientSession) -> AsyncGenerator[None, None]:
    try:
        yield
    finally:
        await session.close()


def _connection_failure(error: Exception) -> BadReply:
    import aiohttp

    if isinstance(error, aiohttp.ClientConnectorDNSError):
        lost = isinstance(error.os_error, socket.gaierror) and error.os_error.errno == socket.EAI_NONAME
        return BadReply("unknown host", "there is no machine of that name", final=lost)
    if isinstance(error, aiohttp.ClientSSLError):
        return BadReply("tls", str(error), final=True)
    if isinstance(error, aiohttp.ClientConnectorError):
        refused = isinstance(error.os_error, ConnectionRefusedError)
        return BadReply("refused", "nobody answers at that port") if refused else BadReply("no connection", str(error))
    if isinstance(error, aiohttp.ClientResponseError):
        return BadReply("bad http", error.message or type(error).__name__)
    return BadReply("disconnected", "the server closed the connection before the reply was complete")


def _complaint(raw: bytes) -> tuple[str, str]:
    """What an error reply says, in one line of at most 300 characters, and the field it names."""
    try:
        content = orjson.loads(raw)
    except orjson.JSONDecodeError:
        return " ".join(raw[:300].decode("utf-8", "replace").split()), ""
    error = content.get("error", content) if isinstance(content, dict) else content
    if not isinstance(error, dict):
        return " ".join(str(error).split())[:300], ""
    said = error.get("message") or error.get("detail") or error
    field = error.get("param")
    return " ".join(str(said).split())[:300], field if isinstance(field, str) else ""


def _retry_after(value: str | None) -> float | None:
    """Seconds from a Retry-After header, given as seconds or as a date; None if it is neither."""
    if not value:
        return None
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(value).timestamp() - time.time()
        except ValueError:
            return None
    return min(max(seconds, 0.0), LONGEST_WAIT) if seconds == seconds else None
