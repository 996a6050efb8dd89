"""From bytes to frames to replies, and from requests to bytes, for one connection; no socket is touched here."""

from __future__ import annotations

import struct
from collections import deque
from typing import Any, NamedTuple, Optional

from ..exceptions import ProtocolError
from .api import API_VERSIONS, Condense, decode_response, encode_request, response_of
from .primitives import Buffer
from .schema import Request, Response

_SIZE = struct.Struct(">i")
#: Small frames are read into one buffer of this size and copied out; larger ones get a buffer of their own.
READ_SIZE = 256 * 1024
#: The first piece of memory for a large frame: it grows as bytes arrive, so a lying size costs next to nothing.
FIRST_PIECE = 1024 * 1024
#: Pieces of a request below this size are joined; larger ones (record batches) are sent from where they are.
JOIN_BELOW = 4096
MAX_CORRELATION_ID = 2**31 - 1


class FrameReader:
    """Cuts the incoming stream into frames. Read into :meth:`get_buffer`, then tell :meth:`received` how much.

    A frame larger than ``max_frame``, or of negative size, is refused before memory is spent on it.
    """

    def __init__(self, max_frame: int, peer: str = "the peer", read_size: int = READ_SIZE) -> None:
        self._max_frame = max_frame
        self._read_size = read_size
        self._peer = peer
        self._buffer = bytearray(read_size)
        self._view = memoryview(self._buffer)
        self._filled = 0
        self._big = bytearray()
        self._big_size = 0
        self._big_filled = 0
        self._heard = False

    def get_buffer(self) -> memoryview:
        """Return where the next bytes belong; never empty."""
        if self._big_size:
            return memoryview(self._big)[self._big_filled :]
        return self._view[self._filled :]

    def received(self, count: int) -> list[memoryview]:
        """Return the frames, without their sizes, that ``count`` more bytes have completed.

        :raises ProtocolError: for an impossible size; says so when the peer speaks TLS or HTTP
        """
        if self._big_size:
            return self._received_big(count)
        self._filled += count
        frames: list[memoryview] = []
        start = 0
        while self._filled - start >= 4:
            size = self._check_size(start)
            stop = start + 4 + size
            if stop > self._filled:
                if size + 4 > self._read_size // 2:
                    self._begin_big(start + 4, size)
                    return frames
                break
            # a copy: the buffer is read into again while the frame is still looked at
            frames.append(memoryview(bytes(self._view[start + 4 : stop])))
            start = stop
        rest = self._filled - start
        if start and rest:
            self._view[:rest] = bytes(self._view[start : self._filled])
        self._filled = rest
        return frames

    def _check_size(self, start: int) -> int:
        (size,) = _SIZE.unpack_from(self._buffer, start)
        if not self._heard:
            self._heard = True
            self._recognise(bytes(self._view[start : start + 4]))
        if not 0 <= size <= self._max_frame:
            raise ProtocolError(
                f"{self._peer} announced a frame of {size} bytes, more than max_response_bytes={self._max_frame} (or not a"
                " size at all): it is not a Kafka broker, or the limit is too low"
            )
        return int(size)

    def _recognise(self, first: bytes) -> None:
        if first == b"HTTP":
            raise ProtocolError(f"{self._peer} answered in HTTP: this is a web server, not a Kafka broker; check the port")
        if first[:2] == b"\x15\x03":
            raise ProtocolError(f"{self._peer} answered with a TLS alert: this is a TLS listener; give ssl_config")

    def _begin_big(self, start: int, size: int) -> None:
        have = self._filled - start
        self._big = bytearray(min(size, max(FIRST_PIECE, 2 * have)))
        self._big[:have] = self._view[start : self._filled]
        self._big_size = size
        self._big_filled = have
        self._filled = 0

    def _received_big(self, count: int) -> list[memoryview]:
        self._big_filled += count
        if self._big_filled == self._big_size:
            # the frame takes its memory along: record batches are decoded from it without another copy
            frame = memoryview(self._big)
            self._big = bytearray()
            self._big_size = self._big_filled = 0
            return [frame]
        if self._big_filled == len(self._big):
            grown = bytearray(min(self._big_size, 2 * len(self._big)))
            grown[: self._big_filled] = self._big
            self._big = grown
        return []


class _Awaited(NamedTuple):
    correlation_id: int
    response: type[Response]
    version: int
    tag: Any
    condense: Optional[Condense]


class Wire:
    """Numbers requests and matches replies to them, in order, for one connection."""

    def __init__(self, client_id: str, peer: str = "the broker") -> None:
        self._client_id = client_id
        self._peer = peer
        self._next_id = 0
        self._awaited: deque[_Awaited] = deque()

    def send(self, request: Request, version: int, tag: Any, condense: Optional[Condense] = None) -> list[Buffer]:
        """Return the buffers to send for ``request``; :meth:`receive` gives ``tag`` back with the reply.

        :param condense: what becomes of each row of the reply; see :func:`~pykafka.protocol.schema.rows`
        :raises EncodeError: when the request cannot be encoded; nothing is awaited then
        """
        correlation_id = self._next_id
        chunks = _joined(encode_request(request, version, correlation_id, self._client_id))
        self._next_id = 0 if correlation_id == MAX_CORRELATION_ID else correlation_id + 1
        # with acks=0 a broker sends no reply to Produce, not even an error
        if getattr(request, "acks", None) != 0:
            self._awaited.append(_Awaited(correlation_id, response_of(type(request)), version, tag, condense))
        return [_SIZE.pack(sum(len(chunk) for chunk in chunks)), *chunks]

    @property
    def next_answer(self) -> Optional[type[Response]]:
        """Return what the next frame is the answer of, if anything was asked."""
        return self._awaited[0].response if self._awaited else None

    def receive(self, frame: memoryview) -> tuple[Any, Any]:
        """Return (tag, reply) for a frame.

        :raises ProtocolError: for a frame nobody asked for, a wrong correlation id or a malformed reply
        """
        if not self._awaited:
            raise ProtocolError(f"{self._peer} sent {len(frame)} bytes that nobody asked for")
        awaited = self._awaited.popleft()
        version = awaited.version
        if awaited.response.KEY == API_VERSIONS and bytes(frame[4:6]) == b"\0\x23":
            version = 0  # error 35 comes in the layout of v0, whatever was asked with (KIP-511)
        correlation_id, reply = decode_response(awaited.response, version, frame, awaited.condense)
        if correlation_id != awaited.correlation_id:
            raise ProtocolError(
                f"{self._peer} answered request {correlation_id} where the answer to {awaited.correlation_id}"
                f" ({awaited.response.NAME} v{version}) was due"
            )
        return awaited.tag, reply


def _joined(chunks: list[Buffer]) -> list[Buffer]:
    """Return ``chunks`` with small neighbours joined: every piece costs a system call some work."""
    joined: list[Buffer] = []
    small: list[Buffer] = []
    for chunk in chunks:
        if len(chunk) < JOIN_BELOW:
            small.append(chunk)
            continue
        if small:
            joined.append(b"".join(small))
            small = []
        joined.append(chunk)
    if small:
        joined.append(b"".join(small))
    return joined
