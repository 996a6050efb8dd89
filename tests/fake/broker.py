"""A broker made of a script: answers what a test tells it to, over real sockets, with our schemas and nothing else of ours.

For what a real broker never does on demand: errors at every level, corrupt batches, lost answers, garbage.
"""

from __future__ import annotations

import socket
import ssl
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, Callable, Optional, Union

from pykafka.exceptions import ProtocolError
from pykafka.protocol.api import decode_request, encode_response, response_of
from pykafka.protocol.schema import REQUESTS, Request

#: What a script returns: an answer, raw bytes to send in its place, DROP to close the connection, or None for silence.
DROP = object()
Answer = Union[Any, bytes, None]
Script = Callable[[Any, int], Answer]

NODE = 1


class FakeBroker:
    """Speaks for one broker with one topic; ``scripts`` maps an API's name to what answers it."""

    def __init__(
        self, topic: str = "t", partitions: int = 1, caps: Optional[dict[str, int]] = None, tls: Optional[ssl.SSLContext] = None
    ) -> None:
        self.topic = topic
        self.tls = tls
        self.partitions = partitions
        # commits are told to scripts by the names of topics, where nothing else is wanted
        self.caps = {"OffsetCommit": 9, **(caps or {})}
        self.requests: list[tuple[str, int, Any]] = []
        self.scripts: dict[str, Script] = {
            "ApiVersions": self.versions,
            "Metadata": self.metadata,
            "FindCoordinator": self.coordinator,
            "InitProducerId": lambda request, version: response_of(type(request))(producer_id=7, producer_epoch=0),
            "ListOffsets": self.list_offsets,
        }
        #: for one frame: how many bytes of the next request of one API are read, or of the answer to it sent, before a reset
        self.cut_request: Optional[tuple[str, int]] = None
        self.cut_answer: Optional[tuple[str, int]] = None
        #: for one answer to one API: how many seconds pass before each byte of it; and how many bytes of it came out
        self.trickle: Optional[tuple[str, float]] = None
        self.trickled = 0
        self._closed = threading.Event()
        #: API -> how many bytes the longest request had, and the longest answer
        self.request_sizes: dict[str, int] = {}
        self.answer_sizes: dict[str, int] = {}
        #: thread that serves a connection -> number of the request that it answers
        self.correlation_ids: dict[int, int] = {}
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._connections: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def hosts(self) -> str:
        """Return where it listens."""
        return f"127.0.0.1:{self.port}"

    def seen(self, api: str) -> list[Any]:
        """Return the requests of one kind, in the order they came."""
        return [request for name, _version, request in self.requests if name == api]

    # -- the usual answers --------------------------------------------------------------------------------------------

    def versions(self, request: Any, version: int) -> Any:
        """Offer everything we have declared, up to ``caps``."""
        cls = response_of(type(request))
        rows = [
            cls.ApiVersion(
                api_key=key, min_version=kind.MIN_VERSION, max_version=min(kind.MAX_VERSION, self.caps.get(kind.NAME, 99))
            )  # type: ignore[attr-defined]
            for key, kind in REQUESTS.items()
            if key >= 0
        ]
        return cls(api_keys=rows)

    def metadata(self, request: Any, version: int) -> Any:
        """List this one broker, which leads every partition."""
        cls: Any = response_of(type(request))
        rows = [
            cls.MetadataResponsePartition(
                partition_index=number, leader_id=NODE, leader_epoch=0, replica_nodes=[NODE], isr_nodes=[NODE]
            )
            for number in range(self.partitions)
        ]
        return cls(
            brokers=[cls.MetadataResponseBroker(node_id=NODE, host="127.0.0.1", port=self.port)],
            cluster_id="fake",
            controller_id=NODE,
            topics=[cls.MetadataResponseTopic(name=self.topic, topic_id=b"T" * 16, partitions=rows)],
        )

    def coordinator(self, request: Any, version: int) -> Any:
        """Coordinate every group."""
        cls: Any = response_of(type(request))
        if version < 4:
            return cls(node_id=NODE, host="127.0.0.1", port=self.port)
        rows = [cls.Coordinator(key=key, node_id=NODE, host="127.0.0.1", port=self.port) for key in request.coordinator_keys]
        return cls(coordinators=rows)

    def list_offsets(self, request: Any, version: int) -> Any:
        """Say that every log begins and ends at 0."""
        cls: Any = response_of(type(request))
        topics = [
            cls.ListOffsetsTopicResponse(
                name=topic.name,
                partitions=[
                    cls.ListOffsetsPartitionResponse(partition_index=part.partition_index, offset=0) for part in topic.partitions
                ],
            )
            for topic in request.topics
        ]
        return cls(topics=topics)

    # -- the wire -----------------------------------------------------------------------------------------------------

    def _accept(self) -> None:
        while True:
            try:
                conn, _address = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(conn,), daemon=True).start()

    def _serve(self, plain: socket.socket) -> None:
        with plain, suppress(OSError, ProtocolError), self._secured(plain) as conn:
            self._connections.append(conn)
            while True:
                if self.tls is None:
                    conn.recv(1, socket.MSG_PEEK)  # what is to be done with a request may be decided until it comes
                cut = self.cut_request
                if cut is not None:
                    size, name = _next_frame(conn)
                    if name == cut[0]:
                        self.cut_request = None
                        _exactly(conn, min(cut[1], size))
                        _reset(conn)
                        return
                size = struct.unpack(">i", _exactly(conn, 4))[0]
                request, version, correlation_id, _client = decode_request(memoryview(_exactly(conn, size)))
                self.requests.append((request.NAME, version, request))
                _note_longest(self.request_sizes, request.NAME, 4 + size)
                self.correlation_ids[threading.get_ident()] = correlation_id
                answer = self._answer(request, version)
                if answer is DROP:
                    return
                if answer is None:
                    continue
                frame = answer if isinstance(answer, bytes) else b"".join(encode_response(answer, version, correlation_id))
                whole = frame if isinstance(answer, bytes) else struct.pack(">i", len(frame)) + frame
                _note_longest(self.answer_sizes, request.NAME, len(whole))
                if self.cut_answer is not None and self.cut_answer[0] == request.NAME:
                    (_name, stop), self.cut_answer = self.cut_answer, None
                    conn.sendall(whole[:stop])
                    _reset(conn)
                    return
                if self.trickle is not None and self.trickle[0] == request.NAME:
                    (_name, pause_s), self.trickle = self.trickle, None
                    self._send_slowly(conn, whole, pause_s)
                else:
                    conn.sendall(whole)

    def _send_slowly(self, conn: socket.socket, whole: bytes, pause_s: float) -> None:
        for at in range(len(whole)):
            if self._closed.wait(pause_s):
                return
            conn.sendall(whole[at : at + 1])
            self.trickled += 1

    def _secured(self, conn: socket.socket) -> socket.socket:
        return conn if self.tls is None else self.tls.wrap_socket(conn, server_side=True)

    def _answer(self, request: Request, version: int) -> Answer:
        script = self.scripts.get(request.NAME)
        return DROP if script is None else script(request, version)

    def hang_up(self) -> None:
        """Close every connection, as a broker does with those that were idle for long, and go on listening."""
        for conn in self._connections:
            with suppress(OSError):
                conn.shutdown(socket.SHUT_RDWR)
        self._connections.clear()

    def close(self) -> None:
        """Stop listening and close every connection."""
        self._closed.set()
        # a blocked accept() does not end when its socket is merely closed
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.hang_up()


def _next_frame(conn: socket.socket) -> tuple[int, str]:
    """Return how many bytes the next request has, and of which API it is, without taking anything of it."""
    head = conn.recv(6, socket.MSG_PEEK | socket.MSG_WAITALL)
    if len(head) < 6:
        raise OSError("closed")
    size, key = struct.unpack(">ih", head)
    return 4 + size, REQUESTS[key].NAME


def _note_longest(sizes: dict[str, int], name: str, size: int) -> None:
    sizes[name] = max(size, sizes.get(name, 0))


def _reset(conn: socket.socket) -> None:
    conn.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def _exactly(conn: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        piece = conn.recv(count - len(data))
        if not piece:
            raise OSError("closed")
        data += piece
    return data


@contextmanager
def fake_broker(**options: Any) -> Iterator[FakeBroker]:
    """Yield a running FakeBroker."""
    broker = FakeBroker(**options)
    try:
        yield broker
    finally:
        broker.close()


@contextmanager
def rude_peer(reply: bytes) -> Iterator[str]:
    """Yield the address of a server that answers anything with ``reply`` and is no broker at all."""
    listener = socket.create_server(("127.0.0.1", 0))
    held: list[socket.socket] = []

    def accept() -> None:
        with suppress(OSError):
            while True:
                conn, _address = listener.accept()
                held.append(conn)
                if reply:
                    conn.recv(1)
                    conn.sendall(reply)

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield f"127.0.0.1:{listener.getsockname()[1]}"
    finally:
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        for conn in held:
            conn.close()
