"""Host names to addresses without ever blocking the I/O thread."""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import Any, Callable, Optional

from ..exceptions import KafkaException

Address = tuple[int, tuple[Any, ...]]  # (address family, socket address)
OnResolved = Callable[[list[Address], Optional[OSError]], None]


def spelled(host: str, port: int) -> str:
    """Return an address as people write it: an IPv6 one in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _numeric(host: str, port: int) -> Optional[Address]:
    """Return the address that ``host`` is, if it is one. It never waits; under gevent even getaddrinfo of numbers does."""
    kinds: tuple[tuple[int, tuple[Any, ...]], ...] = (
        (socket.AF_INET, (host, port)),
        (socket.AF_INET6, (host, port, 0, 0)),
    )
    for family, address in kinds:
        with contextlib.suppress(OSError, ValueError):
            socket.inet_pton(family, host)
            return family, address
    return None


def _lookup(host: str, port: int) -> list[Address]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    # the same address may be listed once per protocol: each is tried once, in the resolver's order
    return list(dict.fromkeys((family, address) for family, _type, _proto, _name, address in found))


def resolve(host: str, port: int, post: Callable[..., None], on_resolved: OnResolved) -> None:
    """Give ``on_resolved(addresses, error)`` through ``post``; numeric addresses at once, names from a short-lived thread.

    getaddrinfo can take half a minute when a name server is silent; it cannot be interrupted, so it gets a thread of its
    own and the caller's deadline decides how long the answer is waited for.
    """
    address = _numeric(host, port)
    if address is not None:
        on_resolved([address], None)
    else:
        _resolve_aside(host, port, post, on_resolved)


def _resolve_aside(host: str, port: int, post: Callable[..., None], on_resolved: OnResolved) -> None:
    thread = threading.Thread(target=_resolve, args=(host, port, post, on_resolved), name="pykafka-dns", daemon=True)
    try:
        thread.start()
    except RuntimeError as error:  # too many threads, or the interpreter is on its way out
        on_resolved([], OSError(f"no thread could be started for the look-up: {error}"))


def _resolve(host: str, port: int, post: Callable[..., None], on_resolved: OnResolved) -> None:
    found: list[Address] = []
    failure: Optional[OSError] = None
    try:
        found = _lookup(host, port)
    except OSError as error:
        failure = error
    except UnicodeError as error:
        failure = OSError(f"{host!r} is not a host name: {error}")
    # the client may have been closed while the name server was silent: then nobody wants to know
    with contextlib.suppress(KafkaException):
        post(on_resolved, found, failure)
