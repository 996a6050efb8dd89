"""Wrapping a socket by an object of the user's, which may block, without ever blocking the I/O thread."""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import Any, Callable, Optional

from ..common import brief
from ..exceptions import KafkaException, SocketDisconnectedError
from .clock import monotonic

#: Given the wrapped socket, or what went wrong.
OnWrapped = Callable[[Optional[socket.socket], Optional[SocketDisconnectedError]], None]
#: What a channel does with a socket, besides pending() and do_handshake(), which it need not have.
_METHODS = ("fileno", "setblocking", "settimeout", "recv_into", "send", "close")


def wants_more(error: OSError) -> bool:
    """Return whether TLS only has to wait for the socket (SSL_ERROR_WANT_*); known by name: importing ssl takes 10 ms."""
    return type(error).__name__ in ("SSLWantReadError", "SSLWantWriteError")


class Wrapping:
    """One call of a user's ``wrap_socket(sock)``, which may block, in a short-lived thread of its own.

    It is given ``plain``, blocking with ``timeout_s`` as its timeout, and is to give back a socket that sends and receives
    as ssl.SSLSocket does; a handshake that it has not done is done. The result comes through ``post``.
    """

    def __init__(self, config: Any, plain: socket.socket, peer: str, timeout_s: float) -> None:
        self._config = config
        self._plain = plain
        self._peer = peer
        # a timeout of 0 would mean non-blocking
        self._ends_at = monotonic() + max(timeout_s, 0.001)
        # wrapping takes the descriptor out of the plain socket: this one stays, to end the handshake by
        self._handle: Optional[socket.socket] = None

    def start(self, post: Callable[..., None], on_wrapped: OnWrapped) -> None:
        """Have ``on_wrapped(socket, error)`` called through ``post``, if it is not given up before.

        :raises OSError: when there is no descriptor or thread for it; the socket is closed
        """
        try:
            self._handle = self._plain.dup()
            threading.Thread(target=self._run, args=(post, on_wrapped), name="pykafka-tls", daemon=True).start()
        except (OSError, RuntimeError) as error:  # too many of them, or the interpreter is on its way out
            self.done()
            self._plain.close()
            raise OSError(f"no thread could be started for wrap_socket() of ssl_config: {error}") from error

    def give_up(self) -> None:
        """End the connection, so that who waits for it in the handshake returns."""
        if self._handle is not None:
            with contextlib.suppress(OSError):  # the peer may have ended it
                self._handle.shutdown(socket.SHUT_RDWR)
        self.done()

    def done(self) -> None:
        """Let go of what give_up() needs."""
        if self._handle is not None:
            self._handle.close()
            self._handle = None

    # -- the short-lived thread ---------------------------------------------------------------------------------------

    def _run(self, post: Callable[..., None], on_wrapped: OnWrapped) -> None:
        wrapped: Optional[socket.socket] = None
        failure: Optional[SocketDisconnectedError] = None
        try:
            self._plain.settimeout(self._rest_s())
            wrapped = self._usable(self._config.wrap_socket(self._plain))
            self._finish(wrapped)
        except Exception as error:
            if wrapped is not None:
                close_quietly(wrapped)
            wrapped, failure = None, self._failure(error)
            close_quietly(self._plain)
        try:
            post(on_wrapped, wrapped, failure)
        except KafkaException:  # the client was closed meanwhile: then nobody else closes it
            if wrapped is not None:
                close_quietly(wrapped)

    def _rest_s(self) -> float:
        return max(self._ends_at - monotonic(), 0.001)

    @staticmethod
    def _usable(given: Any) -> Any:
        missing = [name for name in _METHODS if not callable(getattr(given, name, None))]
        if missing:
            raise TypeError(f"it returned {brief(given)}, which is no socket: it has no {missing[0]}()")
        return given

    def _finish(self, wrapped: Any) -> None:
        if wrapped.fileno() < 0:
            raise ValueError("it returned a socket that is closed")
        if callable(getattr(wrapped, "do_handshake", None)):
            wrapped.settimeout(self._rest_s())
            wrapped.do_handshake()  # does nothing when it was done
        wrapped.setblocking(False)

    def _failure(self, error: Exception) -> SocketDisconnectedError:
        failure = SocketDisconnectedError(
            f"TLS with {self._peer} failed: wrap_socket(sock) of ssl_config={brief(type(self._config))}: {brief(error)}; check"
            " that this is a TLS listener, that the object trusts its certificate, and that it returns an ssl.SSLSocket; or give"
            " an SslConfig"
        )
        failure.__cause__ = error  # its traceback shows where in the user's object
        return failure


def close_quietly(sock: Any) -> None:
    """Close what a user's object gave back: anything that looks like a socket."""
    with contextlib.suppress(Exception):
        sock.close()
