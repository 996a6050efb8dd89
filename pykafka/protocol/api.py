"""Messages with their headers, to bytes and back, and which version to use with which broker."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Callable, Optional, Union

from ..exceptions import EncodeError, ProtocolError, UnsupportedVersion
from .primitives import Buffer, decode_uvarint
from .schema import REQUESTS, RESPONSES, Data, Message, Request, Response

if TYPE_CHECKING:
    from .compiler import Codec

#: Kafka's key of ApiVersions, whose reply header never has tags: it is read before anything is known of the broker.
API_VERSIONS = 18

#: Versions below these are never used, whatever a broker says: before Produce v3 and Fetch v4 there are no v2 batches.
#: Brokers from 4.0 on even advertise Produce 0 to 2 and refuse them (KAFKA-18659). ListOffsets v0 answers something else, and
#: Metadata v0 cannot ask for no topic.
LOWEST_USED = {0: 3, 1: 4, 2: 1, 3: 1}

_HEADER = struct.Struct(">hhi")
_INT32 = struct.Struct(">i")
_INT16 = struct.Struct(">h")


#: Makes something smaller of a struct as soon as it is decoded; see :func:`~pykafka.protocol.schema.rows`.
Condense = Callable[[Any], Any]

#: As many as there are messages and versions.
_codecs: dict[tuple[type[Message], int], Codec] = {}


def _codec(cls: type[Message], version: int) -> Codec:
    """Return the codec of a message, compiled on first use."""
    codec = _codecs.get((cls, version))
    if codec is None:
        from .compiler import compile_codec  # some milliseconds that importing pykafka need not take

        codec = _codecs[(cls, version)] = compile_codec(cls, version)
    return codec


def choose_version(request: type[Request], ranges: Mapping[int, tuple[int, int]], cap: Optional[int] = None) -> int:
    """Return the newest version that we and the broker speak, at most ``cap``.

    :param ranges: API key -> (oldest, newest) as the broker's ApiVersions said
    :raises UnsupportedVersion: when there is none, saying what each side speaks
    """
    name = request.NAME
    if request.KEY not in ranges:
        raise UnsupportedVersion(f"the broker does not know {name} at all: it is too old, or not a broker", api=name)
    oldest, newest = ranges[request.KEY]
    ours_oldest = max(request.MIN_VERSION, LOWEST_USED.get(request.KEY, 0))
    ours_newest = request.MAX_VERSION if cap is None else min(cap, request.MAX_VERSION)
    chosen = min(newest, ours_newest)
    if chosen < max(oldest, ours_oldest):
        raise UnsupportedVersion(
            f"no common version of {name}: we speak {ours_oldest} to {ours_newest}, the broker {oldest} to {newest}", api=name
        )
    return chosen


def encode_request(request: Request, version: int, correlation_id: int, client_id: Optional[str]) -> list[Buffer]:
    """Return the request with its header as buffers to send in order, without the frame size.

    :raises EncodeError: for a field that does not fit its type, naming it
    :raises ProtocolError: for a version that is not declared
    """
    flexible = version >= request.FLEXIBLE
    name = _client_id(client_id)
    chunks: list[Buffer] = [_HEADER.pack(request.KEY, version, correlation_id) + name + (b"\0" if flexible else b"")]
    _codec(type(request), version).encode(request, chunks.append)
    return chunks


def _client_id(client_id: Optional[str]) -> bytes:
    """Return the client id as it stands in the header: with two bytes of length also in the flexible one (KIP-482)."""
    if client_id is None:
        return b"\xff\xff"
    try:
        text = client_id.encode()
        return struct.pack(">h", len(text)) + text
    except (AttributeError, UnicodeEncodeError, struct.error) as error:
        raise EncodeError(f"client_id cannot be sent: {type(error).__name__}; it must be text of at most 32767 bytes") from error


def encode_response(response: Response, version: int, correlation_id: int) -> list[Buffer]:
    """Return the response with its header as buffers, without the frame size: what a broker sends."""
    chunks: list[Buffer] = [_INT32.pack(correlation_id) + (b"\0" if _has_tags(response, version) else b"")]
    _codec(type(response), version).encode(response, chunks.append)
    return chunks


def _has_tags(response: Union[Response, type[Response]], version: int) -> bool:
    return version >= response.FLEXIBLE and response.KEY != API_VERSIONS


def decode_response(
    cls: type[Response], version: int, frame: memoryview, condense: Optional[Condense] = None
) -> tuple[int, Response]:
    """Return (correlation id, response) of a frame without its size.

    :param condense: see :func:`~pykafka.protocol.schema.rows`
    :raises ProtocolError: for anything but exactly one well-formed response
    """
    if len(frame) < 4:
        raise ProtocolError(f"a response of {len(frame)} bytes has no room for a correlation id")
    at = 4
    if _has_tags(cls, version):
        # no tags, which is what there nearly always is
        at = 5 if len(frame) > 4 and frame[4] == 0 else _skip_tags(frame, at)
    return _INT32.unpack_from(frame)[0], decode_body(cls, version, frame, at, condense=condense)


def decode_request(frame: memoryview, to_end: bool = True) -> tuple[Request, int, int, Optional[str]]:
    """Return (request, version, correlation id, client id) of a frame without its size: what a broker reads.

    :param to_end: whether anything after the request is an error; brokers take no notice of it
    :raises ProtocolError: for an unknown API or version, and for anything malformed
    """
    try:
        key, version, correlation_id = _HEADER.unpack_from(frame)
        (length,) = struct.unpack_from(">h", frame, 8)
        at = 10 + max(length, 0)
        client_id = None if length < 0 else str(frame[10:at], "utf-8")
    except (struct.error, UnicodeDecodeError) as error:
        raise ProtocolError(f"the header of a request is malformed: {error}") from error
    cls = REQUESTS.get(key)
    if cls is None:
        raise ProtocolError(f"a request has the unknown API key {key}")
    if version >= cls.FLEXIBLE:
        at = _skip_tags(frame, at)
    return decode_body(cls, version, frame, at, to_end), version, correlation_id, client_id


def _skip_tags(frame: memoryview, at: int) -> int:
    try:
        count, at = decode_uvarint(frame, at)
        for _ in range(count):
            _tag, at = decode_uvarint(frame, at)
            size, at = decode_uvarint(frame, at)
            at += size
    except IndexError as error:
        raise ProtocolError("the tags of a header run beyond the end of the frame") from error
    return at


def decode_body(
    cls: Any, version: int, frame: memoryview, at: int, to_end: bool = True, condense: Optional[Condense] = None
) -> Any:
    """Return the message that begins at byte ``at`` and ends with the frame; or before that, without ``to_end``.

    :raises ProtocolError: for anything but exactly one well-formed message
    """
    message, end = _codec(cls, version).decode(frame, at, len(frame), condense)
    if to_end and end != len(frame):
        raise ProtocolError(f"{cls.__name__} v{version} ends at byte {end}, but {len(frame)} bytes arrived")
    return message


def encode_data(data: Data, version: int) -> bytes:
    """Return what goes into a ``bytes`` field of another message: the version, then the data.

    :raises EncodeError: for a field that does not fit its type, naming it
    """
    chunks: list[Buffer] = [_INT16.pack(version)]
    _codec(type(data), version).encode(data, chunks.append)
    return b"".join(chunks)


def decode_data(cls: type[Data], field: Buffer) -> tuple[Any, int, int]:
    """Return (data, version, end) of a ``bytes`` field; what a version unknown to us has more of begins at ``end``.

    :raises ProtocolError: for anything that does not begin with well-formed data
    """
    view = memoryview(field)
    if len(view) < 2:
        raise ProtocolError(f"a {cls.__name__} of {len(view)} bytes has no room for a version")
    (version,) = _INT16.unpack_from(view)
    if version < cls.MIN_VERSION:
        raise ProtocolError(f"there is no {cls.__name__} v{version}")
    data, end = _codec(cls, min(version, cls.MAX_VERSION)).decode(view, 2, len(view))
    return data, version, end


def response_of(request: type[Request]) -> type[Response]:
    """Return the class of the answer to ``request``."""
    return RESPONSES[request.KEY]
