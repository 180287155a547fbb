"""Who may talk to the page: the host and origin of every request, and the token of those that change something.

A page on the loopback address can still be reached by any site that the user's browser visits (forged requests, a
name that resolves to 127.0.0.1) and by other users of the machine. So: the host asked for must be the one served; a
browser's request that changes something, or opens the live channel, must come from the page itself; and it must carry
the token of this server, as a cookie that the page sets or as the header ``X-Shoal-Token``. Bound to another address
than loopback, every request needs the token.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from http.cookies import SimpleCookie
from urllib.parse import parse_qs, urlencode, urlsplit

from starlette.datastructures import Headers
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shoal.models.lock import is_loopback

COOKIE = "shoal_token"
HEADER = "x-shoal-token"
SAFE = ("GET", "HEAD", "OPTIONS")


@dataclass(frozen=True)
class Access:
    """What requests are held against.

    Attributes:
        host: address served.
        port: port served.
        token: secret of this server.
    """

    host: str
    port: int
    token: str = field(default_factory=lambda: secrets.token_urlsafe(24), repr=False)

    @property
    def local(self) -> bool:
        """Whether only this machine can reach it."""
        return is_loopback(self.host)

    @property
    def address(self) -> str:
        """Where the first page is, with the token where one is needed to see it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}/" + ("" if self.local else f"?token={self.token}")

    def knows_host(self, host: str) -> bool:
        """Whether a Host header names this server. A name that only resolves to loopback is not one."""
        name = urlsplit(f"//{host}").hostname or ""
        return not self.local or is_loopback(name)

    def admits(self, offered: str | None) -> bool:
        """Whether that is the token; compared in constant time."""
        return offered is not None and secrets.compare_digest(offered.encode(), self.token.encode())


class Guard:
    """ASGI middleware that holds every request against an ``Access``.

    Args:
        app: what is guarded.
        access: the rules.
    """

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self.app = app
        self.access = access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, refuse, or pass on."""
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        refusal = self._refusal(scope, headers)
        if refusal is None:
            await self.app(scope, receive, self._with_cookie(scope, headers, send))
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
        else:
            await refusal(scope, receive, send)

    def _refusal(self, scope: Scope, headers: Headers) -> Response | None:
        """Why a request is not answered; None if it is."""
        if not self.access.knows_host(headers.get("host", "")):
            return _refused(f"host {headers.get('host', '')!r} is not this server's; open {self.access.address}")
        query = parse_qs(scope.get("query_string", b"").decode("latin-1"))
        offered = headers.get(HEADER) or _cookie(headers) or query.get("token", [None])[0]
        if not self.access.local and not self.access.admits(offered):
            return _refused("this server needs its token: open the address that `shoal ui` printed")
        if "token" in query and scope["type"] == "http" and scope["method"] == "GET" and self.access.admits(offered):
            return self._without_token(scope, query)
        changes = scope["type"] == "websocket" or scope["method"] not in SAFE
        if not changes:
            return None
        origin = headers.get("origin")
        if origin is not None and urlsplit(origin).netloc != headers.get("host"):
            return _refused(f"origin {origin!r} may not change anything here")
        if not self.access.admits(offered):
            return _refused(f"send the server's token as the header {HEADER}; `shoal ui` printed it")
        return None

    def _without_token(self, scope: Scope, query: dict[str, list[str]]) -> Response:
        """On to the same page with the token in a cookie: addresses are copied, logged and kept in histories."""
        rest = urlencode({name: values for name, values in query.items() if name != "token"}, doseq=True)
        response = RedirectResponse(scope["path"] + (f"?{rest}" if rest else ""), status_code=303)
        response.set_cookie(COOKIE, self.access.token, httponly=True, samesite="strict")
        return response

    def _with_cookie(self, scope: Scope, headers: Headers, send: Send) -> Send:
        """Give the page its cookie: on loopback, whoever can open the page may use it."""
        if scope["type"] != "http" or not self.access.local or self.access.admits(_cookie(headers)):
            return send
        cookie = f"{COOKIE}={self.access.token}; HttpOnly; SameSite=strict; Path=/"

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                message.setdefault("headers", [])
                message["headers"] = [*message["headers"], (b"set-cookie", cookie.encode("latin-1"))]
            await send(message)

        return sending


def _cookie(headers: Headers) -> str | None:
    morsel = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
    return morsel.value if morsel is not None else None


def _refused(reason: str) -> Response:
    return JSONResponse({"error": reason}, status_code=403)
