"""What is between this process and its brokers: connections that are cut, held up, handed on in pieces or given other bytes."""

from __future__ import annotations

import contextlib
import random
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any, NamedTuple, Optional

#: Sent behind a reset, nothing else is read: what a peer's crash looks like.
AT_ONCE = struct.pack("ii", 1, 0)


class Faults(NamedTuple):
    """How likely each fault is, for one piece of what a connection carries."""

    cut: float = 0.0
    #: A pause of up to two seconds.
    stall: float = 0.0
    #: Handed on a few bytes at a time.
    crumble: float = 0.0
    #: Changed bytes in what brokers answer: what they are sent stays as it is, or what is in the log would not be ours to judge.
    mangle: float = 0.0


NONE = Faults()


def mangled(data: bytes, chance: random.Random) -> bytes:
    """Return ``data`` with something wrong in it: by radamsa where it is installed and for a third by flipped bits."""
    if radamsa is not None and chance.random() < 0.67:
        with _radamsa_lock:
            return bytes(radamsa.fuzz(data, seed=chance.randrange(2**31), max_mut=2 * len(data) + 100))
    changed = bytearray(data)
    for _ in range(chance.choice([1, 1, 2, 8])):
        changed[chance.randrange(len(changed))] ^= 1 << chance.randrange(8)
    return bytes(changed)


def _radamsa() -> Optional[Any]:
    try:
        import pyradamsa
    except ImportError:
        return None
    return pyradamsa.Radamsa()


radamsa = _radamsa()
# its heap is one for the process
_radamsa_lock = threading.Lock()


class Proxy:
    """A context manager: while it lasts, Python's sockets of this process reach these addresses through it.

    C has sockets of its own: confluent-kafka goes on reaching the brokers themselves, and so sees what is really there.
    """

    def __init__(self, ports: set[int], seed: int, faults: Faults = NONE) -> None:
        self.faults = faults
        self.happened: Counter[str] = Counter()
        self._ports = ports
        self._random = random.Random(seed)
        self._doors: dict[int, socket.socket] = {}
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()

    def __enter__(self) -> Proxy:
        for port in self._ports:
            self._doors[port] = door = socket.create_server(("127.0.0.1", 0))
            self._thread(self._admit, door, port)
        self._real = {name: getattr(socket.socket, name) for name in ("connect", "connect_ex")}
        for name, real in self._real.items():
            setattr(socket.socket, name, self._redirecting(real))
        return self

    def __exit__(self, *exc_info: object) -> None:
        for name, real in self._real.items():
            setattr(socket.socket, name, real)
        for door in self._doors.values():
            with contextlib.suppress(OSError):
                door.shutdown(socket.SHUT_RDWR)
            door.close()
        with self._lock:
            left = list(self._open)
        for sock in left:
            self._reset(sock)

    def _redirecting(self, real: Any) -> Any:
        def connect(sock: socket.socket, address: Any) -> Any:
            door = self._doors.get(address[1]) if isinstance(address, tuple) else None
            return real(sock, address if door is None else door.getsockname())

        return connect

    def _thread(self, target: Any, *arguments: Any) -> None:
        threading.Thread(target=target, args=arguments, name="proxy", daemon=True).start()

    def _admit(self, door: socket.socket, port: int) -> None:
        with contextlib.suppress(OSError):
            while True:
                self._join(door.accept()[0], port)

    def _join(self, client: socket.socket, port: int) -> None:
        broker = socket.socket()
        try:
            self._real["connect"](broker, ("127.0.0.1", port))
        except OSError:
            broker.close()
            self._reset(client)
            return
        with self._lock:
            self._open |= {client, broker}
            seed = self._random.random()
        for sock in (client, broker):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._thread(self._carry, client, broker, random.Random(seed), False)
        self._thread(self._carry, broker, client, random.Random(seed + 1), True)

    def _carry(self, source: socket.socket, target: socket.socket, chance: random.Random, answers: bool) -> None:
        try:
            while data := source.recv(65536):
                for piece in self._pieces(data, chance, answers):
                    target.sendall(piece)
            # what it has sent is read before its end
            target.shutdown(socket.SHUT_WR)
        except OSError:
            self._reset(source)
            self._reset(target)

    def _pieces(self, data: bytes, chance: random.Random, answers: bool) -> Iterator[bytes]:
        """Yield what is handed on of ``data``; raise OSError where the connection ends."""
        faults = self.faults
        if chance.random() < faults.stall:
            self.happened["stall"] += 1
            time.sleep(2 * chance.random() ** 2)
        if answers and chance.random() < faults.mangle:
            self.happened["mangle"] += 1
            data = mangled(data, chance)
        if chance.random() < faults.cut:
            self.happened["cut"] += 1
            yield data[: chance.randrange(len(data) + 1)]
            raise ConnectionResetError
        if chance.random() < faults.crumble:
            self.happened["crumble"] += 1
            size = max(1, len(data) // 20)
            for start in range(0, len(data), size):
                yield data[start : start + size]
        else:
            yield data

    def _reset(self, sock: socket.socket) -> None:
        with self._lock:
            self._open.discard(sock)
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, AT_ONCE)
            # a thread that waits in recv() is not woken by close() alone
            sock.shutdown(socket.SHUT_RDWR)
        sock.close()
