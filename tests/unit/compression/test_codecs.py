"""The codecs: what they write is read back and fits Kafka's other clients, and what they read cannot outgrow its bound."""

from __future__ import annotations

import gzip
import random
import struct
import sys
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Callable

import lz4.frame
import pytest
import zstandard
from cramjam import snappy as cramjam
from hypothesis import given, settings
from hypothesis import strategies as st

from pykafka import compression
from pykafka.compression import CODECS, compress, decompress, require
from pykafka.exceptions import CorruptBatchError, DecompressedSizeError, MissingCodecError

GZIP, SNAPPY, LZ4, ZSTD = CODECS
ALL = pytest.mark.parametrize("codec", CODECS, ids=[name for name, _, _ in CODECS.values()])
ROOMY = 1 << 24
#: From Python 3.14 on the standard library's zstd is used.
OLD_ZSTD = sys.version_info < (3, 14)
#: The Java library cuts its input into blocks of this size.
BLOCK = 32 * 1024
XERIAL = b"\x82SNAPPY\0" + struct.pack(">ii", 1, 1)
SIZES = [0, 1, 100, BLOCK - 1, BLOCK, BLOCK + 1, 64 * 1024, 64 * 1024 + 1, 300_000]


def _noise(size: int) -> bytes:
    return random.Random(size).randbytes(size)


def _text(size: int) -> bytes:
    return (b"a line that repeats, with number %d\n" * (size // 30 + 1))[:size]


def _peak(call: Any) -> int:
    """Return the most memory that ``call`` had at once."""
    tracemalloc.start()
    try:
        call()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


# -- there and back ---------------------------------------------------------------------------------------------------


@ALL
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("make", [bytes, _noise, _text])
def test_data_survives(codec: int, size: int, make: Any) -> None:
    data = make(size)
    assert decompress(codec, compress(codec, data), ROOMY) == data


@ALL
@settings(max_examples=60, deadline=None, database=None)
@given(data=st.binary(max_size=300), times=st.sampled_from([1, 1, 3, 500]))
def test_any_data_survives(codec: int, data: bytes, times: int) -> None:
    assert decompress(codec, compress(codec, data * times), ROOMY) == data * times


@ALL
@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_any_buffer_is_taken_and_bytes_are_given(codec: int, kind: Any) -> None:
    data = _text(1000)
    compressed = compress(codec, kind(data))
    assert type(compressed) is bytes
    around = memoryview(bytearray(b"xx" + compressed + b"yy"))[2:-2]
    for found in (decompress(codec, kind(compressed), ROOMY), decompress(codec, around, ROOMY)):
        assert type(found) is bytes
        assert found == data


@ALL
def test_what_repeats_gets_smaller(codec: int) -> None:
    assert len(compress(codec, _text(100_000))) < 20_000


@pytest.mark.parametrize("number", [0, 5, 7, -1])
def test_there_are_no_other_codecs(number: int) -> None:
    with pytest.raises(ValueError, match=f"no compression codec {number}"):
        compress(number, b"")


# -- the bound --------------------------------------------------------------------------------------------------------


@ALL
@pytest.mark.parametrize("make", [bytes, _noise])
@pytest.mark.parametrize("size", [1, 1000, BLOCK, BLOCK + 1, 100_000])
def test_the_bound_is_exact(codec: int, size: int, make: Any) -> None:
    data = make(size)
    compressed = compress(codec, data)
    assert decompress(codec, compressed, size) == data
    with pytest.raises(DecompressedSizeError, match=f"max_decompressed_bytes={size - 1}:"):
        decompress(codec, compressed, size - 1)


@ALL
def test_a_bomb_is_refused_without_memory_being_used(codec: int) -> None:
    bomb = compress(codec, bytes(40 << 20))
    assert len(bomb) < 3 << 20

    def refused() -> None:
        with pytest.raises(DecompressedSizeError, match="max_decompressed_bytes=65536: raise the limit"):
            decompress(codec, bomb, 1 << 16)

    assert _peak(refused) < len(bomb) + (1 << 20)


def test_a_snappy_block_that_only_says_it_is_large_is_refused() -> None:
    lie = b"\xff\xff\xff\xff\x0f" + b"\0x"
    for data in (lie, XERIAL + struct.pack(">i", len(lie)) + lie):
        with pytest.raises(DecompressedSizeError):
            decompress(SNAPPY, data, ROOMY)


def test_the_blocks_of_snappy_share_one_bound() -> None:
    compressed = compress(SNAPPY, bytes(3 * BLOCK))
    assert len(decompress(SNAPPY, compressed, 3 * BLOCK)) == 3 * BLOCK
    with pytest.raises(DecompressedSizeError, match=f"={3 * BLOCK - 1}:"):
        decompress(SNAPPY, compressed, 3 * BLOCK - 1)


def test_the_members_of_gzip_share_one_bound() -> None:
    members = gzip.compress(bytes(1000)) * 3
    assert len(decompress(GZIP, members, 3000)) == 3000
    with pytest.raises(DecompressedSizeError, match="=2999:"):
        decompress(GZIP, members, 2999)


def test_a_bomb_is_a_corrupt_batch_to_those_who_do_not_tell_them_apart() -> None:
    assert issubclass(DecompressedSizeError, CorruptBatchError)


@pytest.mark.parametrize(
    "codec",
    [
        GZIP,
        SNAPPY,
        pytest.param(
            ZSTD,
        ),
    ],
)
def test_a_roomy_bound_costs_no_memory_by_itself(codec: int) -> None:
    compressed = compress(codec, b"small")
    assert _peak(lambda: decompress(codec, compressed, 128 << 20)) < 1 << 20


# -- what is not valid ------------------------------------------------------------------------------------------------

GARBAGE = [
    b"\0",
    b"garbage",
    b"\xff" * 50,
    bytes(50),
    b"\x1f\x8b",
    b"\x04\x22\x4d\x18",
    b"HTTP/1.1 200 OK\r\n",
]


@ALL
@pytest.mark.parametrize("garbage", GARBAGE)
def test_garbage_is_a_value_error(codec: int, garbage: bytes) -> None:
    if codec == SNAPPY and garbage == b"\0":
        assert decompress(codec, garbage, ROOMY) == b""  # one raw block of no bytes
        return
    # a size that cannot be may also be refused for being too large
    with pytest.raises((ValueError, DecompressedSizeError)):
        decompress(codec, garbage, ROOMY)


@ALL
@settings(max_examples=150, deadline=None, database=None)
@given(data=st.binary(max_size=80))
def test_random_bytes_are_refused_or_inflate_within_the_bound(codec: int, data: bytes) -> None:
    try:
        assert len(decompress(codec, data, 5000)) <= 5000
    except (ValueError, DecompressedSizeError) as error:
        assert str(error)


@ALL
def test_a_flipped_byte_is_refused_or_inflates_within_the_bound(codec: int) -> None:
    compressed = bytearray(compress(codec, _text(3000)))
    for at in range(len(compressed)):
        for flip in (0x01, 0x80, 0xFF):
            compressed[at] ^= flip
            try:
                assert len(decompress(codec, bytes(compressed), 5000)) <= 5000
            except (ValueError, DecompressedSizeError) as error:
                assert str(error)
            compressed[at] ^= flip


@pytest.mark.parametrize(
    "codec",
    [
        GZIP,
        LZ4,
        ZSTD,
    ],
)
@pytest.mark.parametrize("make", [_noise, _text])
def test_data_that_ends_too_early_is_a_value_error(codec: int, make: Any) -> None:
    compressed = compress(codec, make(5000))
    for cut in range(1, len(compressed), 7):
        with pytest.raises(ValueError, match="early|not "):
            decompress(codec, compressed[:cut], ROOMY)


@pytest.mark.parametrize("size", [5000, 2 * BLOCK])
def test_snappy_that_ends_too_early_is_a_value_error(size: int) -> None:
    compressed = compress(SNAPPY, _noise(size))
    (first,) = struct.unpack_from(">i", compressed, len(XERIAL))
    boundary = len(XERIAL) + 4 + first  # nothing says how many blocks there are
    for cut in range(len(XERIAL) + 1, len(compressed), 97):
        if cut != boundary:
            with pytest.raises(ValueError, match="snappy data"):
                decompress(SNAPPY, compressed[:cut], ROOMY)


@pytest.mark.parametrize("cut", range(8, 16))
def test_snappy_that_ends_inside_its_header_is_a_value_error(cut: int) -> None:
    with pytest.raises(ValueError, match="snappy"):
        decompress(SNAPPY, compress(SNAPPY, b"data")[:cut], ROOMY)


@pytest.mark.parametrize(
    "codec",
    [
        GZIP,
        SNAPPY,
        ZSTD,
    ],
)
def test_what_stands_behind_the_data_is_not_passed_over(codec: int) -> None:
    with pytest.raises(ValueError, match="not|impossible"):
        decompress(codec, compress(codec, b"data") + b"something else", ROOMY)


@pytest.mark.parametrize("size", [-1, -(2**31), 2**31 - 1, 6])
def test_an_impossible_block_size_of_snappy_is_a_value_error(size: int) -> None:
    with pytest.raises(ValueError, match=f"impossible block size {size}"):
        decompress(SNAPPY, XERIAL + struct.pack(">i", size) + b"\x03\x08abc", ROOMY)


# -- the formats ------------------------------------------------------------------------------------------------------


def test_gzip_is_one_member_that_others_read() -> None:
    assert gzip.decompress(compress(GZIP, _text(5000))) == _text(5000)


@pytest.mark.parametrize("members", [1, 2, 50])
def test_several_members_of_gzip_are_one_stream(members: int) -> None:
    data = b"".join(gzip.compress(b"part %d;" % number) for number in range(members))
    assert decompress(GZIP, data, ROOMY) == b"".join(b"part %d;" % number for number in range(members))


def test_snappy_is_written_in_blocks_with_the_framing_of_java() -> None:
    data = _noise(2 * BLOCK + 5)
    compressed = compress(SNAPPY, data)
    assert compressed.startswith(XERIAL)
    at, blocks = len(XERIAL), []
    while at < len(compressed):
        (size,) = struct.unpack_from(">i", compressed, at)
        blocks.append(bytes(cramjam.decompress_raw(compressed[at + 4 : at + 4 + size])))
        at += 4 + size
    assert [len(block) for block in blocks] == [BLOCK, BLOCK, 5]
    assert b"".join(blocks) == data


def test_snappy_as_one_raw_block_is_read() -> None:
    data = _text(3 * BLOCK)
    assert decompress(SNAPPY, bytes(cramjam.compress_raw(data)), ROOMY) == data


def test_snappy_with_blocks_of_any_size_is_read() -> None:
    parts = [_text(size) for size in (1, 100_000, 7)]
    blocks = [bytes(cramjam.compress_raw(part)) for part in parts]
    framed = XERIAL + b"".join(struct.pack(">i", len(block)) + block for block in blocks)
    assert decompress(SNAPPY, framed, ROOMY) == b"".join(parts)


def test_lz4_is_a_frame_of_independent_64_kib_blocks_without_a_size() -> None:
    compressed = compress(LZ4, _text(200_000))
    assert compressed[:4] == b"\x04\x22\x4d\x18"
    flags, descriptor = compressed[4], compressed[5]
    assert flags >> 6 == 1  # the version
    assert flags & 0x20  # independent blocks
    assert not flags & 0x08  # no content size
    assert not flags & 0x01  # no dictionary
    assert descriptor >> 4 & 7 == 4  # 64 KiB
    assert lz4.frame.decompress(compressed) == _text(200_000)


@pytest.mark.parametrize(
    "options", [{"block_linked": True}, {"store_size": True}, {"content_checksum": True, "block_checksum": True}]
)
def test_other_frames_of_lz4_are_read(options: dict[str, bool]) -> None:
    data = _text(200_000)
    assert decompress(LZ4, lz4.frame.compress(data, **options), ROOMY) == data


@pytest.mark.parametrize("sized", [True, False])
def test_zstd_frames_are_read_whether_they_say_their_size_or_not(sized: bool) -> None:
    data = _text(5000)
    frame = zstandard.ZstdCompressor(write_content_size=sized).compress(data)
    assert decompress(ZSTD, frame, ROOMY) == data
    assert decompress(ZSTD, frame + frame, ROOMY) == data + data


def test_zstd_is_a_frame_that_others_read() -> None:
    assert zstandard.ZstdDecompressor().decompress(compress(ZSTD, _text(5000))) == _text(5000)


# -- packages that are not there --------------------------------------------------------------------------------------


@pytest.fixture
def unloaded(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """No codec imported yet."""
    monkeypatch.setattr(compression, "_loaded", {})
    for _, module, _ in CODECS.values():
        monkeypatch.delitem(sys.modules, f"pykafka.compression.{module}", raising=False)
        monkeypatch.delattr(compression, module, raising=False)
    return monkeypatch


PACKAGES = ("cramjam", "snappy", "lz4", "zstandard")
MISSING = [(SNAPPY, "snappy", ["cramjam", "snappy"]), (LZ4, "lz4", ["lz4"]), (ZSTD, "zstd", ["zstandard"])]


def remove(monkeypatch: pytest.MonkeyPatch, *packages: str) -> None:
    """Have ``packages`` be not installed."""

    class Nowhere:
        """Finds none of them."""

        @staticmethod
        def find_spec(name: str, *_where: Any) -> None:
            if name in packages:
                raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    for package in (*packages, "lz4.frame"):
        monkeypatch.delitem(sys.modules, package, raising=False)
    monkeypatch.setattr(sys, "meta_path", [Nowhere, *sys.meta_path])


@pytest.mark.parametrize(("codec", "extra", "packages"), MISSING, ids=["snappy", "lz4", "zstd"])
def test_a_missing_package_is_named_with_the_extra_to_install(
    unloaded: pytest.MonkeyPatch, codec: int, extra: str, packages: list[str]
) -> None:
    if codec == ZSTD and not OLD_ZSTD:
        pytest.skip("the standard library has zstd")
    remove(unloaded, *packages)
    for call in (lambda: compress(codec, b""), lambda: decompress(codec, b"", 1), lambda: require(codec)):
        with pytest.raises(MissingCodecError, match=rf"{extra} needs a package.*pip install 'pykafka\[{extra}\]'") as raised:
            call()
        assert isinstance(raised.value, ImportError)


def test_a_package_installed_later_is_found(unloaded: pytest.MonkeyPatch) -> None:
    with unloaded.context() as gone:
        remove(gone, "lz4")
        with pytest.raises(MissingCodecError):
            require(LZ4)
    require(LZ4)


def test_gzip_and_no_compression_need_nothing(unloaded: pytest.MonkeyPatch) -> None:
    remove(unloaded, *PACKAGES)
    require(0)
    require(GZIP)
    assert list(compression._loaded) == [GZIP]


def test_a_codec_is_imported_on_first_use(unloaded: pytest.MonkeyPatch) -> None:
    assert compression._loaded == {}
    compress(ZSTD, b"")
    assert list(compression._loaded) == [ZSTD]


def test_python_snappy_is_taken_where_there_is_no_cramjam(unloaded: pytest.MonkeyPatch) -> None:
    class PythonSnappy:
        compress = staticmethod(lambda data: bytes(cramjam.compress_raw(data)))
        uncompress = staticmethod(lambda data: bytes(cramjam.decompress_raw(data)))

    unloaded.setitem(sys.modules, "cramjam", None)
    unloaded.setitem(sys.modules, "snappy", PythonSnappy)  # type: ignore[arg-type]
    assert decompress(SNAPPY, compress(SNAPPY, _text(100_000)), ROOMY) == _text(100_000)
    assert sys.modules["pykafka.compression.snappy"]._compress_raw is PythonSnappy.compress


@pytest.fixture
def broken(unloaded: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., None]:
    """Return what installs packages that cannot be imported, in the place of those that can."""

    def install(*packages: str, code: str = 'raise ImportError("libz9.so: cannot open shared object file")') -> None:
        for package in packages:
            (tmp_path / f"{package}.py").write_text(code)
            unloaded.delitem(sys.modules, package, raising=False)
        unloaded.delitem(sys.modules, "lz4.frame", raising=False)
        unloaded.syspath_prepend(str(tmp_path))

    return install


@pytest.mark.parametrize(("codec", "name", "packages"), MISSING, ids=["snappy", "lz4", "zstd"])
def test_a_package_that_is_there_and_cannot_be_imported_is_not_said_to_be_missing(
    broken: Callable[..., None], codec: int, name: str, packages: list[str]
) -> None:
    if codec == ZSTD and not OLD_ZSTD:
        pytest.skip("the standard library has zstd")
    broken(*packages)
    with pytest.raises(MissingCodecError) as raised:
        require(codec)
    assert str(raised.value) == (
        f"{name} needs a package that is installed but cannot be imported (ImportError: libz9.so: cannot open shared object"
        " file): install it anew"
    )


def test_what_a_package_needs_and_does_not_find_is_not_taken_for_the_package(broken: Callable[..., None]) -> None:
    broken("lz4", code="import a_module_that_it_needs")
    with pytest.raises(MissingCodecError, match="cannot be imported .*a_module_that_it_needs"):
        require(LZ4)


def test_a_broken_cramjam_is_the_error_without_python_snappy_and_a_warning_with_it(
    broken: Callable[..., None], unloaded: pytest.MonkeyPatch
) -> None:
    broken("cramjam")
    remove(unloaded, "snappy")
    with pytest.raises(MissingCodecError, match="libz9.so"):
        require(SNAPPY)
    unloaded.setitem(sys.modules, "snappy", SimpleNamespace(compress=bytes, uncompress=bytes))  # type: ignore[arg-type]
    with pytest.warns(RuntimeWarning, match="cramjam is installed but .* so that python-snappy is used: ImportError: libz9"):
        require(SNAPPY)
