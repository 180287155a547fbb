"""The network lock: while it is held, any connection that would leave this machine is an error.

Tests hold it so that no run of the suite can ever spend money or depend on a server somewhere. It covers what is
written in Python on the ``socket`` module, asyncio included; compiled code that opens its own sockets is out of reach.
"""

from __future__ import annotations

import ipaddress
import os
import socket
from collections.abc import Callable
from types import TracebackType
from typing import Any

from shoal.errors import ShoalError

OFFLINE_VARIABLE = "SHOAL_OFFLINE"


class NetworkForbidden(ShoalError):
    """A connection to another machine was tried under the lock, or with ``SHOAL_OFFLINE=1``."""

    def __init__(self, host: str, port: object, why: str = "the network lock is on") -> None:
        super().__init__(f"a connection to {host}, port {port}, is forbidden: {why}. Only this machine may be asked.")
        self.host = host
        self.port = port
        self.why = why

    def __reduce__(self) -> tuple[type[NetworkForbidden], tuple[str, object, str]]:
        return (type(self), (self.host, self.port, self.why))


def is_loopback(host: str) -> bool:
    """Whether that name or address can only be this machine; names other than ``localhost`` are not looked up."""
    name = host.strip("[]").rstrip(".").lower()
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        address = ipaddress.ip_address(name.split("%")[0])
    except ValueError:
        return False
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return (mapped or address).is_loopback


def refuse_if_offline(host: str, port: object) -> None:
    """Raise NetworkForbidden for another machine where the user has set ``SHOAL_OFFLINE``."""
    if os.environ.get(OFFLINE_VARIABLE, "0") not in ("", "0") and not is_loopback(host):
        raise NetworkForbidden(host, port, f"{OFFLINE_VARIABLE} is set")


def forbid_network() -> NetworkLock:
    """Lock the network now; ``release()`` on what is returned, or leaving it as a context, unlocks it."""
    lock = NetworkLock()
    lock.acquire()
    return lock


class NetworkLock:
    """Lets only loopback addresses and unix sockets through while it is held. Locks nest: the last one out unlocks."""

    def __init__(self) -> None:
        self._held = False

    def acquire(self) -> None:
        """Lock; a second call on the same lock changes nothing."""
        if not self._held:
            self._held = True
            _guards.lock()

    def release(self) -> None:
        """Unlock; a second call changes nothing."""
        if self._held:
            self._held = False
            _guards.unlock()

    def __enter__(self) -> NetworkLock:
        self.acquire()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.release()


class _Guards:
    """The patches on ``socket``, put in by the first lock and taken out by the last."""

    def __init__(self) -> None:
        self.depth = 0
        self.saved: dict[str, Any] = {}

    def lock(self) -> None:
        self.depth += 1
        if self.depth > 1:
            return
        # asyncio's loops call the method of the socket object, so that guarding the class covers them too.
        for name, position in (("connect", 0), ("connect_ex", 0), ("sendto", -1), ("sendmsg", 3)):
            self.saved[name] = vars(socket.socket).get(name)
            setattr(socket.socket, name, _guarded(getattr(socket.socket, name), position))
        self.saved["getaddrinfo"] = socket.getaddrinfo
        socket.getaddrinfo = _guarded_lookup(socket.getaddrinfo)

    def unlock(self) -> None:
        self.depth -= 1
        if self.depth:
            return
        socket.getaddrinfo = self.saved.pop("getaddrinfo")
        while self.saved:
            name, method = self.saved.popitem()
            if method is None:  # inherited from the compiled class: taking the guard away shows it again
                delattr(socket.socket, name)
            else:
                setattr(socket.socket, name, method)


def _guarded(original: Callable[..., Any], position: int) -> Callable[..., Any]:
    """The socket method, refusing a far address at that position of its arguments."""

    def method(self: socket.socket, *arguments: Any) -> Any:
        if -len(arguments) <= position < len(arguments):
            _check(self, arguments[position])
        return original(self, *arguments)

    return method


def _check(sock: socket.socket, address: Any) -> None:
    if sock.family == getattr(socket, "AF_UNIX", None) or address is None:
        return
    if sock.family in (socket.AF_INET, socket.AF_INET6) and isinstance(address, tuple):
        host, port = address[0], address[1]
        if is_loopback(str(host)):
            return
        raise NetworkForbidden(str(host), port)
    raise NetworkForbidden(repr(address), f"of {sock.family!r}")


def _guarded_lookup(original: Callable[..., Any]) -> Callable[..., Any]:
    """``getaddrinfo`` that resolves this machine only: a look-up is a request to a name server."""

    def getaddrinfo(host: Any, port: Any, *arguments: Any, **options: Any) -> Any:
        name = host.decode() if isinstance(host, bytes) else host
        # An address in figures needs no name server; connecting to it is refused where it is far.
        if name and not is_loopback(name) and not _is_address(name):
            raise NetworkForbidden(name, port)
        return original(host, port, *arguments, **options)

    return getaddrinfo


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name.split("%")[0])
    except ValueError:
        return False
    return True


_guards = _Guards()
