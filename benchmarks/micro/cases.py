"""The parts to measure: name -> (how many messages, keys or bytes one call is about, what they are, the call)."""

from __future__ import annotations

import os
import random
from functools import partial
from typing import Any, Callable, NamedTuple

from pykafka._machines.dealing import by_hash, in_turn
from pykafka._machines.segments import Segment, Taken
from pykafka.partitioners import Murmur2Partitioner, RandomPartitioner, murmur2
from pykafka.records.batch import split_batches
from pykafka.records.crc32c import crc32c, crc32c_by_lanes
from pykafka.records.decode import decode_batch
from pykafka.records.encode import encode_batch, encode_headers
from pykafka.records.message import Message, Origin
from pykafka.records.rows import VALUES, messages_of, rows_of

COUNT = 2000
FIRST_MS = 1_700_000_000_000
PARTITIONS = list(range(12))
MAX_DECOMPRESSED = 2**30


class Case(NamedTuple):
    """``call`` is about ``amount`` of something."""

    amount: int
    unit: str
    call: Callable[[], Any]


class _Nobody:
    """Whom nobody has to be told of anything: rows are only handed over."""

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"{name} is not a part of handing over")


def _columns(kind: str) -> tuple[Any, Any, Any, list[int]]:
    chance = random.Random(1)
    sizes = [chance.randint(50, 150) if kind in ("mixed", "over-time") else 100 for _ in range(COUNT)]
    values = [chance.getrandbits(8 * size).to_bytes(size, "little") for size in sizes]
    keys = [b"key-%d" % chance.randrange(10**6) for _ in range(COUNT)] if kind in ("keyed", "over-time") else None
    some = [encode_headers([("trace-id", b"%016x" % number), ("type", b"order"), ("source", b"web")]) for number in range(COUNT)]
    step = 1 if kind == "over-time" else 0
    return values, keys, some if kind == "headers" else None, [FIRST_MS + number * step for number in range(COUNT)]


def _decoding(kind: str) -> Case:
    (batch,) = split_batches(bytes(encode_batch(*_columns(kind))), "t", 0)
    origin = Origin(b"t", 0)

    def decode() -> list[Message]:
        rows = rows_of(decode_batch(batch, "t", 0, MAX_DECOMPRESSED), origin, 0)
        return list(messages_of(iter(rows[VALUES]), rows))

    return Case(COUNT, "message", decode)


def _encoding(kind: str) -> Case:
    columns = _columns(kind)
    return Case(COUNT, "message", lambda: encode_batch(*columns))


def _hand_over() -> Taken:
    segment = Segment(_Nobody())  # type: ignore[arg-type]  # see there
    append = segment.rows.append
    for number in range(COUNT):
        append((b"value", None, number, None))
    segment.close()
    return segment.take(with_keys=False, with_extras=False, with_messages=False)


def _checksum(function: Callable[..., int]) -> Case:
    data = os.urandom(2**18)
    return Case(len(data) // 1024, "KiB", lambda: function(data))


def _murmur2() -> Case:
    key = b"key-00001234"
    return Case(1, "key", lambda: murmur2(key))


def _dealing(make: Callable[[], Any], *, anew: bool = False) -> Case:
    """Deal rows with keys to partitions, each time ``anew`` with a partitioner that has never seen them."""
    queued, known = _taken([b"key-%08d" % number for number in range(COUNT)]), make()
    return Case(COUNT, "message", lambda: (make() if anew else known)(queued, PARTITIONS).shares())


def _taken(keys: list[bytes]) -> Taken:
    segment = Segment(_Nobody())  # type: ignore[arg-type]  # see there
    segment.rows.extend((b"value", key, 0, None) for key in keys)
    segment.close()
    return segment.take(with_keys=True, with_extras=False, with_messages=False)


def _murmur2_dealer() -> Any:
    return by_hash(Murmur2Partitioner())


#: ``over-time`` is what others write: mixed sizes, keys, and timestamps that differ.
KINDS = ("equal", "mixed", "keyed", "headers", "over-time")
#: Name -> what makes the case: whoever measures one does not wait for the others.
CASES: dict[str, Callable[[], Case]] = {
    **{f"encode-{kind}": partial(_encoding, kind) for kind in KINDS},
    **{f"decode-{kind}": partial(_decoding, kind) for kind in KINDS},
    "crc32c": partial(_checksum, crc32c),
    "crc32c-without-wheel": partial(_checksum, crc32c_by_lanes),
    "murmur2": _murmur2,
    "partition-known-keys": partial(_dealing, _murmur2_dealer),
    "partition-new-keys": partial(_dealing, _murmur2_dealer, anew=True),
    "partition-in-turn": partial(_dealing, lambda: in_turn(RandomPartitioner())),
    "queue-hand-over": lambda: Case(COUNT, "message", _hand_over),
}
