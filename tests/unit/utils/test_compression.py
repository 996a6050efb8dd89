"""PyKafka's functions for single codecs: they undo each other, and what inflates is bounded."""

from __future__ import annotations

from typing import Any, Callable

import pytest

from pykafka.exceptions import DecompressedSizeError
from pykafka.utils import compression

from ...needs import package

DATA = b"what is compressed " * 5000
PAIRS: dict[str, tuple[Callable[..., bytes], Callable[..., bytes]]] = {
    name: (getattr(compression, f"encode_{name}"), getattr(compression, f"decode_{name}"))
    for name in ("gzip", "snappy", "lz4", "lz4f", "lz4_old_kafka")
}


@pytest.mark.parametrize("name", PAIRS)
@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_decoding_undoes_encoding(name: str, kind: Callable[[bytes], Any]) -> None:
    encode, decode = PAIRS[name]
    for data in (DATA, b"x", b""):
        encoded = encode(kind(data))
        assert decode(kind(encoded)) == data
    assert len(encode(DATA)) < len(DATA) / 10


@pytest.mark.parametrize("name", PAIRS)
def test_what_inflates_too_far_is_refused(name: str) -> None:
    encode, decode = PAIRS[name]
    encoded = encode(DATA)
    assert decode(encoded, max_size=len(DATA)) == DATA
    with pytest.raises(DecompressedSizeError):
        decode(encoded, max_size=len(DATA) - 1)


@pytest.mark.parametrize("name", PAIRS)
def test_what_is_no_such_data_is_a_value_error(name: str) -> None:
    encode, decode = PAIRS[name]
    for wrong in (b"\xff" * 100, encode(DATA)[:-5], b"\x04\x22\x4d"):
        with pytest.raises(ValueError):
            decode(wrong)


@pytest.mark.parametrize("name", PAIRS)
@pytest.mark.parametrize("wrong", [None, "text", 5, ["x"]])
def test_what_is_no_bytes_is_a_type_error(name: str, wrong: Any) -> None:
    for function in PAIRS[name]:
        with pytest.raises(TypeError, match=f"bytes are needed, not {type(wrong).__name__}"):
            function(wrong)
    with pytest.raises(TypeError, match="max_size must be an integer"):
        PAIRS[name][1](PAIRS[name][0](DATA), max_size="1")


def test_snappy_is_a_raw_block_unless_the_framing_of_kafka_is_asked_for() -> None:
    snappy = package("cramjam").snappy
    assert bytes(snappy.decompress_raw(compression.encode_snappy(DATA))) == DATA
    framed = compression.encode_snappy(DATA, xerial_compatible=True, xerial_blocksize=1000)
    assert framed.startswith(b"\x82SNAPPY\0\0\0\0\1\0\0\0\1")
    assert compression.decode_snappy(framed) == DATA
    assert len(framed) > len(compression.encode_snappy(DATA, xerial_compatible=True))  # fewer, larger blocks
    with pytest.raises(ValueError, match="xerial_blocksize must be from 1"):
        compression.encode_snappy(DATA, True, 0)


def test_old_kafkas_lz4_differs_in_the_checksum_of_the_header_alone() -> None:
    frame = package("lz4.frame")
    right, old = compression.encode_lz4(DATA), compression.encode_lz4_old_kafka(DATA)
    assert frame.decompress(right) == DATA
    assert [at for at in range(len(right)) if right[at] != old[at]] == [6]
    with pytest.raises(ValueError, match="LZ4"):
        compression.decode_lz4(old)
    # a right one is taken too, and a longer header is found its way through
    assert compression.decode_lz4_old_kafka(right) == DATA
    sized = bytearray(frame.compress(DATA, store_size=True))
    sized[14] ^= 0xFF
    assert compression.decode_lz4_old_kafka(sized) == DATA


@pytest.mark.parametrize(("data", "digest"), [(b"", 0x02CC5D05), (b"a", 0x550D7456), (b"abc", 0x32D153FF)])
def test_the_header_checksum_is_xxhash(data: bytes, digest: int) -> None:
    assert compression._xxh32(bytearray(data)) == digest
