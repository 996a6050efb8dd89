"""What a Broker needs around it: the I/O side it works on, and the connections that its raw requests use."""

from __future__ import annotations

import itertools
import threading
import weakref
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Callable, Protocol

from ._engine import forking
from ._engine.engine import Engine
from .config import CLIENT, check_options
from .exceptions import SocketDisconnectedError
from .handlers import RequestHandler, checked_handler

if TYPE_CHECKING:
    from ._machines.metadata import BrokerInfo
    from .connection import BrokerConnection

#: Seconds that close() waits for the threads to end.
CLOSE_TIMEOUT_S = 5.0


class BrokerHome(Protocol):
    """What a Broker works on: a Cluster, or a HandmadeHome."""

    engine: Engine
    socket_timeout_s: float
    offsets_timeout_s: float

    @property
    def handler(self) -> Any:
        """Return a handler of :mod:`pykafka.handlers`."""

    def require_open(self) -> None:
        """Return if requests can be sent."""


class HandmadeHome:
    """An I/O side for one Broker that was made by hand, which ends with that Broker."""

    def __init__(self, broker: Any, options: Mapping[str, Any], handler: Any) -> None:
        from .cluster import connection_settings  # which imports brokers

        timeouts = {name: options[name] for name in ("socket_timeout_ms", "offsets_channel_socket_timeout_ms")}
        as_client = check_options("Broker", CLIENT, {**timeouts, "ssl_config": options["ssl_config"]})
        source = (options["source_host"], options["source_port"]) if options["source_host"] or options["source_port"] else None
        as_client["source_address"] = source
        self.socket_timeout_s: float = options["socket_timeout_ms"] / 1000.0
        self.offsets_timeout_s: float = options["offsets_channel_socket_timeout_ms"] / 1000.0
        self.handler = checked_handler(handler)
        self._name = f"{options['host']}:{options['port']}"
        seeds = [(options["host"], options["port"])]
        self.engine = Engine(connection_settings(as_client), seeds, as_client["metadata_max_age_ms"] / 1000.0)
        self._finalizer = weakref.finalize(broker, self.engine.abandon)
        # at exit the threads are daemons, and the operating system closes the sockets
        self._finalizer.atexit = False
        self.engine.loop.start()

    def require_open(self) -> None:
        """Return if requests can be sent.

        :raises SocketDisconnectedError: after :meth:`close`
        """
        if self.engine.closed:
            raise SocketDisconnectedError(f"the Broker for {self._name} was closed: make a new one")

    def close(self) -> None:
        """Close every connection and end the threads; twice is harmless."""
        self._finalizer.detach()
        self.engine.close(CLOSE_TIMEOUT_S)


class NamePool:
    """Names of connections: each is lent to one thread at a time, and as few as possible are used."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._lock = threading.RLock()
        self._lent: set[int] = set()

    @contextmanager
    def lend(self, drop: Callable[[str], None]) -> Iterator[str]:
        """Give a name that nobody else has meanwhile.

        :param drop: closes the connection of that name: called when who has the name leaves it with an error, since the answer
            that was waited for may be still to come, and who has the name next would have to wait for it
        """
        with self._lock:
            number = next(number for number in itertools.count(1) if number not in self._lent)
            self._lent.add(number)
        name = f"{self._prefix}-{number}"
        try:
            yield name
        except BaseException:
            drop(name)
            raise
        finally:
            with self._lock:
                self._lent.discard(number)


class RequestHandlers:
    """The RequestHandlers of one Broker by name, made and connected when they are asked for."""

    def __init__(self) -> None:
        self._settle()
        forking.watch_with(self, RequestHandlers._settle)

    def _settle(self) -> None:
        """Begin with nothing: also in a forked child, where locks may be held for ever and all connections are the parent's."""
        self._lock = threading.RLock()
        #: one lock for each name, held while its connection is made: stop() must not wait for that
        self._connecting: dict[str, Any] = {}
        self._made: dict[str, tuple[RequestHandler, BrokerConnection]] = {}
        self._stops = 0

    def get(self, name: str, home: BrokerHome, info: BrokerInfo, timeout_s: float) -> RequestHandler:
        """Return the handler of that name, with a connection that stands.

        :raises SocketDisconnectedError: when the broker cannot be connected to, or :meth:`stop` is called meanwhile
        """
        home.require_open()
        with self._lock:
            stops = self._stops
            connecting = self._connecting.setdefault(name, threading.RLock())
        with connecting:
            with self._lock:
                known = self._made.get(name)
            if known is not None and known[1].connected:
                return known[0]
            connection = self._connection(home, info, timeout_s)
            handler = RequestHandler(home.handler, connection)
            with self._lock:
                closed = self._stops != stops
                if not closed:
                    known = self._made.get(name)  # a signal handler in the middle of this may have made one, too
                    self._made[name] = handler, connection
            if closed:
                connection.disconnect()
                handler.stop()
                raise SocketDisconnectedError(f"the Broker for {info.host}:{info.port} was closed while it was connected to")
            handler.start()
        if known is not None:
            known[0].stop()
        return handler

    @staticmethod
    def _connection(home: BrokerHome, info: BrokerInfo, timeout_s: float) -> BrokerConnection:
        from .connection import BrokerConnection  # only those who put requests together by hand pay for it

        settings = home.engine.settings
        connection = BrokerConnection.of(home.engine, info, home.handler, settings.source, settings.tls)
        connection.connect(int(timeout_s * 1000))
        return connection

    def stop(self) -> None:
        """Close the connections and stop the handlers; what is under way fails."""
        with self._lock:
            self._stops += 1
            made, self._made = self._made, {}
        for handler, connection in made.values():
            connection.disconnect()
            handler.stop()
