"""Batches with every single bit flipped, and what inflates without end."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from pykafka import compression
from pykafka.exceptions import CorruptBatchError
from pykafka.records.batch import CRC_START, split_batches
from pykafka.records.decode import decode_batch

from ..support import ROOT
from .targets import CODECS, batch_of

ROOMY = 2**24
#: What lies before the checksum, and with that outside of it: base offset, length, leader epoch, magic. The checksum itself is
#: in there as well, but what is wrong with it is found.
OUTSIDE = 17
OFFSET_END = 8
LENGTH_END = 12
EPOCH_END = 16


def delivered(data: bytes) -> list[Any]:
    """Return every message that would be delivered: (key, value, headers, timestamp, offset)."""
    found = []
    for batch in split_batches(data, "t", 0):
        columns = decode_batch(batch, "t", 0, ROOMY)
        keys = columns.keys or [None] * len(columns.values)
        headers = columns.headers or [[] for _ in columns.values]
        found += list(zip(keys, columns.values, headers, columns.timestamps, columns.offsets))
    return found


@pytest.mark.parametrize("codec", [0, *CODECS])
def test_no_flipped_bit_of_a_batch_delivers_a_wrong_record(codec: int) -> None:
    data = bytearray(batch_of(codec, 400 if codec else 40))
    while len(data) < 1000:
        data = bytearray(batch_of(codec, 4000))
    right = delivered(bytes(data))
    wrong, corrupt, others = [], 0, set()
    flips = range(8 * min(len(data), 1400)) if codec == 0 else range(8 * 1000)
    for bit in flips:
        at = bit >> 3
        data[at] ^= 1 << (bit & 7)
        try:
            found = delivered(bytes(data))
        except CorruptBatchError:
            corrupt += 1
        else:
            if at < OFFSET_END:
                # the one place where Kafka checks nothing: the records are right, all moved alike
                assert [row[:4] for row in found] == [row[:4] for row in right]
            elif found and found != right:
                wrong.append(bit)
            others.add(at)
        data[at] ^= 1 << (bit & 7)
    assert len(flips) >= 8000
    assert wrong == []
    # an offset that is moved, a length that announces more than there is, an epoch: everything else is found out
    assert others <= set(range(EPOCH_END))
    assert corrupt >= len(flips) - 8 * EPOCH_END
    assert CRC_START - 4 == OUTSIDE


def test_an_offset_that_no_request_can_name_is_corrupt() -> None:
    data = bytearray(batch_of(0))
    data[:8] = (2**63 - 1).to_bytes(8, "big")
    with pytest.raises(CorruptBatchError, match="beyond what a request can ask for"):
        split_batches(data, "t", 0)
    data[:8] = (2**63 - 1 - 40).to_bytes(8, "big")
    assert delivered(bytes(data))[-1][4] == 2**63 - 2


BOMB = """
import sys, zlib
sys.path.insert(0, {root!r})
from pykafka import compression
from pykafka.exceptions import DecompressedSizeError
codec, cap = int(sys.argv[1]), 128 << 20
zeros = bytes(1 << 20)
compression.require(codec)
def gigabytes(count):
    for _ in range(count * 1024):
        yield zeros
if codec == 1:
    # a block that stands for itself again and again: ten gigabytes are not compressed one by one
    deflate = zlib.compressobj(9, zlib.DEFLATED, -15)
    piece = b"".join(deflate.compress(zeros) for _ in range(256)) + deflate.flush(zlib.Z_FULL_FLUSH)
    data = zlib.compressobj(9, zlib.DEFLATED, 31).flush(zlib.Z_FULL_FLUSH) + piece * 40
elif codec == 2:
    from pykafka.compression import snappy
    data = snappy.compress(bytes(256 << 20))
elif codec == 3:
    import lz4.frame
    deflate = lz4.frame.LZ4FrameCompressor()
    data = deflate.begin() + b"".join(map(deflate.compress, gigabytes(1))) + deflate.flush()
else:
    try:
        from compression import zstd
        deflate = zstd.ZstdCompressor(19)
    except ImportError:
        import zstandard
        deflate = zstandard.ZstdCompressor(level=19).compressobj()
    data = b"".join(map(deflate.compress, gigabytes(1))) + deflate.flush()
def status(name):
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith(name)) // 1024
open("/proc/self/clear_refs", "w").write("5")
before = status("VmRSS")
try:
    compression.decompress(codec, data, cap)
except DecompressedSizeError:
    print(len(data), status("VmHWM") - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="memory is measured by /proc")
@pytest.mark.parametrize("codec", CODECS, ids=lambda number: compression.CODECS[number][0])
def test_what_inflates_without_end_is_refused_with_little_more_memory_than_the_limit(codec: int) -> None:
    code = BOMB.format(root=str(ROOT))
    done = subprocess.run([sys.executable, "-c", code, str(codec)], capture_output=True, text=True, timeout=120, check=False)
    size, mebibytes = map(int, done.stdout.split() or pytest.fail(done.stderr))
    if codec == 1:
        assert size >= 10_000_000  # which stands for ten gigabytes
    assert mebibytes < 128 + 16
