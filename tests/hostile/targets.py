"""Everything of ours that reads bytes from the network, each as a function of one ``bytes``: for tests, corpus and campaigns.

A target returns when its input was read or refused with one of the errors it may raise. Anything else gets out: a fault of ours.
"""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any, Callable

from pykafka import compression
from pykafka._machines.fetched import read_records
from pykafka._machines.member import MemberMetadata
from pykafka._machines.sharing import readable
from pykafka.common import TopicPartition
from pykafka.exceptions import CorruptBatchError, DecompressedSizeError, ProtocolError
from pykafka.protocol import messages
from pykafka.protocol.api import decode_data, decode_request, decode_response, encode_data
from pykafka.protocol.schema import DATA, RESPONSES, Message, Request, Response
from pykafka.protocol.wire import FrameReader
from pykafka.records.batch import CRC_START, HEADER_SIZE
from pykafka.records.crc32c import crc32c
from pykafka.records.decode import decode_batch
from pykafka.records.encode import encode_batch, encode_headers

from ..unit.protocol.samples import CASES, SAMPLES, encode

#: Messages as kafka-python and Kafka's own client write them.
GOLDEN = Path(__file__).parents[1] / "golden" / "protocol"
#: What one input may inflate to.
CAP = 1024 * 1024
MAX_FRAME = 64 * 1024
RESPONSE_CASES = [(cls, version) for cls, version in CASES if issubclass(cls, Response)]
REQUEST_CASES = [(cls, version) for cls, version in CASES if issubclass(cls, Request)]
CODECS = (1, 2, 3, 4)
Target = Callable[[bytes], None]


def outcome(cls: type[Message], version: int, frame: bytes) -> Any:
    """Return the message in ``frame``, or None where it is refused; any error but ProtocolError gets out."""
    try:
        if issubclass(cls, Request):
            return decode_request(memoryview(frame))[0]
        if issubclass(cls, Response):
            return decode_response(cls, version, memoryview(frame))[1]
        data, _version, end = decode_data(cls, frame)  # type: ignore[type-var]
        return data if end == len(frame) else None
    except ProtocolError as error:
        assert str(error)
        return None


def response(data: bytes) -> None:
    """Read an answer: key and version in three bytes, then the frame."""
    cls = RESPONSES.get(int.from_bytes(data[:2], "big"))
    if cls is not None and len(data) > 2 and cls.MIN_VERSION <= data[2] <= cls.MAX_VERSION:
        outcome(cls, data[2], data[3:])


def request(data: bytes) -> None:
    """Read a request."""
    outcome(Request, 0, data)


def blob(data: bytes) -> None:
    """Read what members of a group tell each other through the broker."""
    member = MemberMetadata("m", None, data)
    for protocol in ("range", "sticky", "cooperative-sticky"):
        # what is of no use is an error of that member's, and never of who reads it
        good, bad = readable([member], protocol)
        assert set(good) == {"m"} >= set(bad)
    for cls in DATA:
        try:
            decode_data(cls, data)
        except ProtocolError as error:
            assert str(error)


def frames(data: bytes) -> None:
    """Cut a stream into frames; the result must not depend on how the bytes arrive."""
    whole = fed(data, [len(data)])
    assert fed(data, [1] * len(data)) == whole
    chance = random.Random(len(data))
    sizes: list[int] = []
    while sum(sizes) < len(data):
        sizes.append(chance.randint(1, 9))
    assert fed(data, sizes) == whole


def fed(data: bytes, sizes: list[int]) -> tuple[list[bytes], bool]:
    """Return the frames in ``data``, given in pieces of ``sizes``, and whether the stream was refused."""
    reader = FrameReader(MAX_FRAME, "a peer")
    found: list[bytes] = []
    at = 0
    try:
        for size in sizes:
            stop = min(len(data), at + size)
            while at < stop:
                buffer = reader.get_buffer()
                count = min(len(buffer), stop - at)
                buffer[:count] = data[at : at + count]
                at += count
                found += map(bytes, reader.received(count))
    except ProtocolError as error:
        assert "a peer" in str(error)
        # frames before the impossible size are lost when both came at once: the connection ends either way
        return [], True
    return found, False


def batches(data: bytes) -> None:
    """Read the records of a partition in an answer to Fetch, as a consumer of committed messages does."""
    found = read_records(TopicPartition("t", 0), 0, data, [(1, 0), (1, 0), (-1, 2**62)])
    assert found.corrupt is None or str(found.corrupt)
    for batch in found.visible:
        try:
            columns = decode_batch(batch, "t", 0, CAP)
        except CorruptBatchError as error:
            assert error.offset == batch.base_offset
        else:
            assert all(batch.base_offset <= offset <= batch.last_offset < found.next_position for offset in columns.offsets)


def seal(data: bytes) -> bytes:
    """Return a damaged batch with its length, its magic number and its checksum put right."""
    batch = bytearray(data)
    if len(batch) >= HEADER_SIZE:
        batch[8:12] = (len(batch) - 12).to_bytes(4, "big")
        batch[16] = 2
        batch[17:21] = crc32c(batch[CRC_START:]).to_bytes(4, "big")
    return bytes(batch)


def sealed(data: bytes) -> None:
    """Read records whose checksum is right whatever they are: what a hostile producer can write."""
    batches(seal(data))


def codec(number: int) -> Target:
    """Return a target that inflates by one codec."""

    def inflate(data: bytes) -> None:
        try:
            assert len(compression.decompress(number, data, CAP)) <= CAP
        except (ValueError, DecompressedSizeError) as error:
            assert str(error)

    return inflate


TARGETS: dict[str, Target] = {
    "response": response,
    "request": request,
    "blob": blob,
    "frames": frames,
    "batches": batches,
    "sealed": sealed,
    **{compression.CODECS[number][0]: codec(number) for number in CODECS},
}


def batch_of(number: int, count: int = 40) -> bytes:
    """Return a batch in one codec (0: none) with keys, a null, headers and text that can be compressed."""
    values = [None if at == 3 else b"value %d " % at * 2 for at in range(count)]
    headers = [encode_headers([("h", b"x"), ("n", None)]) if at % 7 == 5 else None for at in range(count)]
    keys = [b"key %d" % at for at in range(count)]
    return bytes(encode_batch(values, keys, headers, list(range(1700000000000, 1700000000000 + count)), codec=number))


def seeds(name: str) -> list[bytes]:
    """Return valid inputs of a target, made by our encoders."""
    if name == "response":
        return [
            cls.KEY.to_bytes(2, "big") + bytes([version]) + encode(SAMPLES[kind](cls, version), version)
            for cls, version in RESPONSE_CASES
            for kind in ("null inside", "lowest")
        ]
    if name == "request":
        return [encode(SAMPLES["null inside"](cls, version), version) for cls, version in REQUEST_CASES]
    if name == "blob":
        cases = [(cls, version) for cls, version in CASES if cls in DATA]
        held = b"\0\0\0\1\0\1t\0\0\0\2\0\0\0\0\0\0\0\1\0\0\0\7"  # of a sticky assignor: t/0 and t/1 in generation 7
        sticky = encode_data(messages.ConsumerProtocolSubscription(topics=["t"], user_data=held), 1)
        plain = [encode(SAMPLES[kind](cls, version), version) for cls, version in cases for kind in ("null inside", "lowest")]
        return [sticky, *plain]
    if name == "frames":
        whole = b"".join(len(one).to_bytes(4, "big") + one for one in (b"abcd", b"", bytes(300)))
        return [whole, b"HTTP/1.1 400", b"\x15\3\3\0\2"]
    if name in ("batches", "sealed"):
        # a checksum does not cover the offset at which a batch begins
        second = (40).to_bytes(8, "big") + batch_of(0)[8:] if name == "batches" else b""
        return [batch_of(number) + second for number in (0, *CODECS)]
    (number,) = [number for number in CODECS if compression.CODECS[number][0] == name]
    return [compression.compress(number, data) for data in (b"", b"one two " * 50, bytes(range(256)) * 20)]


def golden(name: str) -> list[bytes]:
    """Return valid inputs of a target that other clients have made."""
    made = []
    rows = [row for path in sorted(GOLDEN.glob("*.json")) for row in json.loads(path.read_text())["messages"]]
    for row in rows if name in ("response", "request", "blob") else ():
        cls, version, body = getattr(messages, row["message"]), row["version"], bytes.fromhex(row["body"])
        if name == "response" and issubclass(cls, Response):
            tags = b"\0" if version >= cls.FLEXIBLE and cls is not messages.ApiVersionsResponse else b""
            made.append(cls.KEY.to_bytes(2, "big") + bytes([version]) + bytes(4) + tags + body)
        elif name == "request" and "frame" in row:
            made.append(bytes.fromhex(row["frame"])[4:])
        elif name == "blob" and cls in DATA:
            made.append(version.to_bytes(2, "big") + body)
    return made


#: Numbers that are on an edge of something.
_EDGES = (
    *(b"\0", b"\1", b"\x7f", b"\x80", b"\xff"),
    *(b"\xff" * 4, b"\x7f\xff\xff\xff", b"\x80\0\0\0", b"\xff\xff\xff\xff\x0f", b"\x80" * 11),
)


def mutated(data: bytes, chance: random.Random) -> bytes:
    """Return ``data`` damaged in one to four places."""
    changed = bytearray(data)
    for _ in range(chance.choice((1, 1, 2, 4))):
        at = chance.randrange(len(changed) + 1)
        kind = chance.randrange(6)
        if kind == 0 and at < len(changed):
            changed[at] ^= 1 << chance.randrange(8)
        elif kind == 1:
            edge = chance.choice(_EDGES)
            changed[at : at + len(edge)] = edge
        elif kind == 2:
            changed[at:at] = chance.choice(_EDGES)
        elif kind == 3:
            del changed[at : at + chance.randint(1, 8)]
        elif kind == 4:
            changed[at : at + 4] = chance.randbytes(4)
        else:
            start = chance.randrange(len(changed) + 1)
            changed[at:at] = changed[start : start + chance.randint(1, 30)]
    return bytes(changed)
