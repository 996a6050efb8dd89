"""How connections are secured, SslConfig, and a connection to talk to a broker by hand, BrokerConnection."""

from __future__ import annotations

import itertools
import socket
import struct
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Callable, Optional, Union

from ._engine.frames import FrameConnection, Host
from ._engine.waiting import Deadline
from .common import brief
from .config import BROKER, check_options
from .exceptions import EncodeError, KafkaConfigError, KafkaException, SocketDisconnectedError
from .handlers import ThreadingHandler
from .utils.arguments import MAX_INT32, whole_number

if TYPE_CHECKING:
    import ssl

    from ._machines.metadata import BrokerInfo

#: Larger frames are neither sent nor taken.
MAX_FRAME_BYTES = 100 * 1024 * 1024
#: The timeout of reconnect(), and the pause between attempts to connect (seconds).
RECONNECT_TIMEOUT_MS = 10000
ATTEMPT_PAUSE_S = 0.3
MAX_ATTEMPTS = 1000
_SIZE = struct.Struct(">i")
#: Where the correlation id is in a request: behind its size, its API key and its version.
_NUMBER_AT = 8
_NUMBER_END = 12

Password = Union[str, bytes, bytearray, Callable[[], Union[str, bytes, bytearray]], None]


class SslConfig:
    """TLS settings: who signed the brokers' certificates, and what this client shows them.

    The broker's certificate is verified and must name the host that was connected to (unlike PyKafka 2.8).

    :param cafile: PEM file of the authorities to trust; None trusts what the system trusts
    :param certfile: PEM file of this client's certificate, for brokers that ask for one, and ``keyfile`` its key
    :param password: of the key: str, bytes, or a callable that returns it
    :param check_hostname: False accepts any name in the broker's certificate: only where the names cannot be right
    """

    def __init__(
        self,
        cafile: Optional[str],
        certfile: Optional[str] = None,
        keyfile: Optional[str] = None,
        password: Password = None,
        *,
        check_hostname: bool = True,
    ) -> None:
        self.cafile = cafile
        self.certfile = certfile
        self.keyfile = keyfile
        self.password = password
        self.check_hostname = check_hostname
        self._context: Optional[ssl.SSLContext] = None

    def __repr__(self) -> str:
        secret = "" if self.password is None else ", password=***"
        return f"SslConfig(cafile={self.cafile!r}, certfile={self.certfile!r}, keyfile={self.keyfile!r}{secret})"

    def context(self) -> ssl.SSLContext:
        """Return the SSLContext that these settings make; made once.

        :raises KafkaConfigError: naming the file that is missing or is not what it should be
        """
        if self._context is None:
            import ssl  # 10 ms that only users of TLS pay

            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.minimum_version = ssl.TLSVersion.TLSv1_2
            context.check_hostname = self.check_hostname
            if self.cafile is None:
                context.load_default_certs()
            else:
                with _naming(f"cafile={brief(self.cafile)}"):
                    context.load_verify_locations(self.cafile)
            if self.certfile is not None:
                with _naming(f"certfile={brief(self.certfile)}, keyfile={brief(self.keyfile)}"):
                    context.load_cert_chain(self.certfile, self.keyfile, self.password)
            self._context = context
        return self._context

    def wrap_socket(self, sock: socket.socket, server_hostname: Optional[str] = None, **options: Any) -> ssl.SSLSocket:
        """Return ``sock`` wrapped in TLS; without ``server_hostname`` the peer's address is what it must be named."""
        name = server_hostname or sock.getpeername()[0]
        return self.context().wrap_socket(sock, server_hostname=name, **options)


@contextmanager
def _naming(files: str) -> Iterator[None]:
    """Have an error about ``files`` say that it is about them: what OpenSSL says names nothing."""
    try:
        yield
    except (OSError, TypeError, ValueError) as error:
        raise KafkaConfigError(f"SslConfig: {files} cannot be used: {error}") from error


class BrokerConnection:
    """A connection that carries requests to a broker and brings its answers, one after the other, as bytes.

    Whoever uses it chooses the versions of the requests. Brokers answer in the order in which they were asked; requests are
    numbered as they are sent (their correlation id), so that no answer is taken for that of another. It is not connected before
    :meth:`connect`, and closed when it is collected.

    :param host: a name or address, as str or bytes; with ``ssl_config`` the port of a TLS listener
    :param handler: a handler of :mod:`pykafka.handlers`, None for a ThreadingHandler; its ``sleep`` makes the pauses
    :param buffer_size: accepted and without effect: buffers grow with what is received, up to 100 MiB
    :param source_host: and ``source_port``: what the connection is made from
    :raises KafkaConfigError: naming everything that is not right
    """

    def __init__(
        self,
        host: Union[str, bytes],
        port: int,
        handler: Optional[Any],
        buffer_size: int = 1048576,
        source_host: str = "",
        source_port: int = 0,
        ssl_config: Optional[Any] = None,
    ) -> None:
        given = {name: value for name, value in locals().items() if name in BROKER}
        options = check_options("BrokerConnection", BROKER, given)
        self.host: str = options["host"]
        self.port: int = options["port"]
        self.source_host: str = options["source_host"]
        self.source_port: int = options["source_port"]
        self._tls = options["ssl_config"]
        self._handler = ThreadingHandler() if handler is None else handler
        self._engine: Optional[Host] = None
        self._timeout_s = RECONNECT_TIMEOUT_MS / 1000.0
        self._frames: Optional[FrameConnection] = None
        self._numbers = itertools.count(1)
        self._finalizer: Optional[weakref.finalize[..., Any]] = None

    @classmethod
    def of(cls, engine: Host, info: BrokerInfo, handler: Any, source: Optional[tuple[str, int]], tls: Any) -> BrokerConnection:
        """Return a connection that runs on the I/O thread of an engine and is closed with it."""
        host, port = source or ("", 0)
        connection = cls(info.host, info.port, handler, source_host=host, source_port=port, ssl_config=tls)
        connection._engine = engine
        return connection

    def __repr__(self) -> str:
        return f"<BrokerConnection {self.host}:{self.port} {'connected' if self.connected else 'not connected'}>"

    @property
    def connected(self) -> bool:
        """Return whether the connection stands, as far as we know."""
        return self._frames is not None and self._frames.is_open

    def connect(self, timeout_ms: int, attempts: int = 1) -> None:
        """Return once the connection stands; one that stood before is closed.

        :param timeout_ms: how long each attempt may take, TLS included, and later each request and each answer
        :param attempts: how many times to try, with 0.3 s in between
        :raises SocketDisconnectedError: when none of them succeeds, saying why the last one did not
        """
        timeout_s = whole_number("timeout_ms", timeout_ms, 1, MAX_INT32) / 1000.0
        left = whole_number("attempts", attempts, 1, MAX_ATTEMPTS)
        self.disconnect()
        self._timeout_s = timeout_s
        while True:
            left -= 1
            try:
                self._connect_once(timeout_s)
                return
            except SocketDisconnectedError:
                if not left:
                    raise
            self._handler.sleep(ATTEMPT_PAUSE_S)

    def _connect_once(self, timeout_s: float) -> None:
        source = (self.source_host, self.source_port) if self.source_host or self.source_port else None
        frames = FrameConnection(
            self.host, self.port, tls=self._tls, source=source, max_frame=MAX_FRAME_BYTES, engine=self._engine
        )
        try:
            frames.open(timeout_s)
        except BaseException:
            frames.close()
            raise
        self._frames = frames
        self._finalizer = weakref.finalize(self, frames.abandon)
        # at exit the thread is a daemon, and the operating system closes the socket
        self._finalizer.atexit = False

    def disconnect(self) -> None:
        """Close the connection; harmless when there is none. :meth:`connect` makes a new one."""
        frames, self._frames = self._frames, None
        if frames is not None:
            if self._finalizer is not None:
                self._finalizer.detach()
            frames.close()

    def reconnect(self) -> None:
        """Close the connection and make a new one, within ten seconds."""
        self.disconnect()
        self.connect(RECONNECT_TIMEOUT_MS)

    def request(self, request: Any) -> None:
        """Send a request; return when the operating system has taken it. Its answer is one of :meth:`response`.

        :param request: anything with ``get_bytes()`` that returns a whole frame: its size in 4 bytes, big-endian and not counting
            themselves, then the header and the body of the request. PyKafka's requests in :mod:`pykafka.protocol` do.
        :raises TypeError: for anything else
        :raises EncodeError: when it is no frame with a header, or one of more than 100 MiB; nothing is sent then
        :raises SocketDisconnectedError: without a connection, and when it breaks
        :raises OperationTimedOut: when it takes longer than the ``timeout_ms`` of :meth:`connect`; the connection is closed
        """
        self._send(request, wants_answer=True)

    def request_only(self, request: Any) -> None:
        """Send a request as :meth:`request` does whose answer, should there be one, is nobody's."""
        self._send(request, wants_answer=False)

    def _send(self, request: Any, wants_answer: bool) -> None:
        get_bytes = getattr(request, "get_bytes", None)
        if not callable(get_bytes):
            raise TypeError(f"request must have get_bytes(), as the requests in pykafka.protocol, not {brief(request)}")
        frame = get_bytes()
        if not isinstance(frame, (bytes, bytearray, memoryview)):
            raise TypeError(f"get_bytes() of a request must return bytes, not {type(frame).__name__}")
        if len(frame) - 4 > MAX_FRAME_BYTES:
            raise EncodeError(f"a request of {len(frame)} bytes is larger than the {MAX_FRAME_BYTES} that a frame may have")
        if len(frame) < 4 or _SIZE.unpack_from(frame)[0] != len(frame) - 4:
            raise EncodeError(f"the {len(frame)} bytes of a request are no frame: the first four must be the size of the others")
        if len(frame) < _NUMBER_END:
            raise EncodeError(f"the {len(frame)} bytes of a request are too few for the header of a request")
        # a copy: the caller may go on with its buffer while what the socket did not take at once is still waiting
        numbered = bytearray(frame)
        number = next(self._numbers) & MAX_INT32
        _SIZE.pack_into(numbered, _NUMBER_AT, number)
        self._require_frames().send(numbered, number, Deadline(self._timeout_s), wants_answer)

    def response(self) -> memoryview:
        """Return the next answer, without its size and correlation id: what the constructors of PyKafka's responses take.

        :raises KafkaException: when no request was sent that it could be the answer to
        :raises SocketDisconnectedError: without a connection, and when it breaks
        :raises ProtocolError: when an answer comes to what nobody has asked; the connection is closed
        :raises OperationTimedOut: when it takes longer than the ``timeout_ms`` of :meth:`connect`; the connection is closed
        """
        frames = self._require_frames()
        if frames.is_open and not frames.expects_frame:
            raise KafkaException(f"{self!r}: no request was sent that an answer could come to")
        return frames.receive(Deadline(self._timeout_s))

    def _require_frames(self) -> FrameConnection:
        if self._frames is None:
            raise SocketDisconnectedError(f"{self!r}: connect() first")
        return self._frames
