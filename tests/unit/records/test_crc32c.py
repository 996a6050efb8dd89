"""CRC-32C: known values, and three ways to compute it that all agree."""

from __future__ import annotations

import random
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Callable

import crc32c as wheel
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pykafka.records import crc32c as module
from pykafka.records.crc32c import crc32c, crc32c_by_lanes, crc32c_by_table

WAYS: list[Callable[..., int]] = [crc32c, crc32c_by_table, crc32c_by_lanes]
#: Around where lanes begin, around powers of two, where the number of lanes and steps changes, and odd ones.
SIZES = [*range(20), 255, 2047, 2048, 2049, 2303, 4095, 4096, 4097, 8191, 8192, 12345, 16383, 16384, 32769, 65535, 100_003]


def _noise(size: int) -> bytes:
    return random.Random(size).randbytes(size)


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", 0),
        (b"123456789", 0xE3069283),
        (b"a", 0xC1D04330),
        # RFC 3720, B.4
        (bytes(32), 0x8A9136AA),
        (b"\xff" * 32, 0x62A8AB43),
        (bytes(range(32)), 0x46DD794E),
        (bytes(range(31, -1, -1)), 0x113FDB5C),
    ],
)
def test_known_values(way: Callable[..., int], data: bytes, expected: int) -> None:
    assert way(data) == expected


@pytest.mark.parametrize("size", SIZES)
def test_lanes_table_and_wheel_agree(size: int) -> None:
    data = _noise(size)
    assert crc32c_by_lanes(data) == crc32c_by_table(data) == wheel.crc32c(data)


@pytest.mark.parametrize("fill", [0, 0x80, 0xFF])
@pytest.mark.parametrize("size", [2048, 5000, 70_000])
def test_they_agree_on_data_without_variety(size: int, fill: int) -> None:
    data = bytes([fill]) * size
    assert crc32c_by_lanes(data) == crc32c_by_table(data) == wheel.crc32c(data)


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
@pytest.mark.parametrize("cut", [0, 1, 2047, 2048, 2049, 5000, 9999, 10_000])
def test_a_checksum_is_continued_from_what_came_before(way: Callable[..., int], cut: int) -> None:
    data = _noise(10_000)
    assert way(data[cut:], way(data[:cut])) == way(data) == wheel.crc32c(data)


@settings(max_examples=60, deadline=None, database=None)
@given(st.integers(0, 20_000), st.integers(0, 2**32 - 1), st.integers(0, 1000))
def test_lanes_agree_with_the_wheel_for_any_size_and_beginning(size: int, value: int, seed: int) -> None:
    data = random.Random(seed).randbytes(size)
    assert crc32c_by_lanes(data, value) == wheel.crc32c(data, value)


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
@pytest.mark.parametrize("size", [9, 3000])
def test_any_buffer_is_taken(way: Callable[..., int], kind: Any, size: int) -> None:
    data = _noise(size)
    assert way(kind(data)) == wheel.crc32c(data)
    assert way(memoryview(bytearray(b"xx" + data + b"yy"))[2:-2]) == wheel.crc32c(data)


def test_every_single_flipped_bit_changes_the_checksum() -> None:
    data = bytearray(_noise(300))
    right = crc32c_by_lanes(data)
    for bit in range(len(data) * 8):
        data[bit >> 3] ^= 1 << (bit & 7)
        assert crc32c_by_table(data) != right
        data[bit >> 3] ^= 1 << (bit & 7)


# -- which implementation is taken ------------------------------------------------------------------------------------


def test_the_wheel_is_taken_when_it_is_there() -> None:
    assert module._load() is wheel.crc32c


def test_lanes_are_taken_when_no_package_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "crc32c", None)
    monkeypatch.setitem(sys.modules, "google_crc32c", None)
    monkeypatch.setattr(module, "_loaded", None)
    assert crc32c(b"123456789") == 0xE3069283
    assert module._loaded is crc32c_by_lanes


def _google(implementation: str) -> Any:
    def extend(value: int, data: bytes) -> int:
        assert type(data) is bytes
        return crc32c_by_table(data, value)

    return SimpleNamespace(implementation=implementation, extend=extend)


def test_googles_package_is_taken_when_it_has_its_c_part(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "crc32c", None)
    monkeypatch.setitem(sys.modules, "google_crc32c", _google("c"))
    monkeypatch.setattr(module, "_loaded", None)
    assert crc32c(memoryview(b"123456789")) == 0xE3069283
    assert crc32c(b"6789", crc32c(b"12345")) == 0xE3069283
    assert module._loaded is not crc32c_by_lanes


@pytest.fixture
def broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Return what installs packages that cannot be imported, in the place of those that can."""

    def install(*packages: str, code: str) -> None:
        for package in packages:
            (tmp_path / f"{package}.py").write_text(code)
            monkeypatch.delitem(sys.modules, package, raising=False)
        monkeypatch.syspath_prepend(str(tmp_path))
        monkeypatch.setattr(module, "_loaded", None)

    return install


NO_LIBRARY = 'raise ImportError("libcrc32c.so.1: cannot open shared object file")'


def test_a_package_that_is_broken_is_named_once_and_the_next_one_taken(
    broken: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    broken("crc32c", code=NO_LIBRARY)
    monkeypatch.setitem(sys.modules, "google_crc32c", _google("c"))
    with pytest.warns(RuntimeWarning) as said:
        assert crc32c(b"123456789") == crc32c(b"123456789") == 0xE3069283
    (warning,) = said
    assert str(warning.message) == (
        "crc32c is installed but cannot be imported, so that checksums may take longer: ImportError: libcrc32c.so.1: cannot open"
        " shared object file; install it anew"
    )
    assert module._loaded is not crc32c_by_lanes


@pytest.mark.parametrize("code", [NO_LIBRARY, "import a_module_that_it_needs"])
def test_without_any_package_that_can_be_imported_lanes_are_taken(broken: Callable[..., None], code: str) -> None:
    broken("crc32c", "google_crc32c", code=code)
    with pytest.warns(RuntimeWarning) as said:
        assert crc32c(b"123456789") == 0xE3069283
    assert [str(warning.message).split()[0] for warning in said] == ["crc32c", "google_crc32c"]
    assert module._loaded is crc32c_by_lanes


def test_a_package_that_cannot_be_read_just_now_is_tried_again(broken: Callable[..., None]) -> None:
    broken("crc32c", code='raise OSError(24, "Too many open files")')
    with pytest.raises(OSError, match="Too many open files"):
        module.load()
    assert module._loaded is None


def test_googles_package_is_left_alone_without_its_c_part(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "crc32c", None)
    monkeypatch.setitem(sys.modules, "google_crc32c", _google("python"))
    assert module._load() is crc32c_by_lanes
