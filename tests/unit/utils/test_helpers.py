"""PyKafka's small helpers: error handlers, compat, sockets, structs, versions."""

from __future__ import annotations

import socket
import struct
import threading
from types import SimpleNamespace
from typing import Any

import pytest

from pykafka.exceptions import KafkaException, ProtocolError, SocketDisconnectedError, UnsupportedVersion
from pykafka.protocol import ApiVersionsSpec, FetchRequest
from pykafka.utils import ApiVersionAware, Serializable, compat, msg_protocol_version
from pykafka.utils.error_handlers import build_parts_by_error, handle_partition_responses, raise_error, valid_int
from pykafka.utils.socket import recvall_into
from pykafka.utils.struct_helpers import unpack_from

# -- error handlers ---------------------------------------------------------------------------------------------------

GOOD, BAD = SimpleNamespace(err=0), SimpleNamespace(err=6)
RESPONSE = SimpleNamespace(topics={b"t": {0: GOOD, 1: BAD}})


def test_each_code_has_its_handler_called_with_its_partitions() -> None:
    seen: list[tuple[str, Any]] = []
    handlers = {6: lambda parts: seen.append(("moved", parts)), 3: lambda parts: seen.append(("unknown", parts))}
    parts = handle_partition_responses(
        handlers,
        success_handler=lambda parts: seen.append(("fine", parts)),
        response=RESPONSE,
        partitions_by_id={0: "zero", 1: "one"},
    )
    assert seen == [("fine", [("zero", GOOD)]), ("moved", [("one", BAD)])]
    assert parts == {0: [("zero", GOOD)], 6: [("one", BAD)]}
    assert 0 not in handlers  # the caller's own dict is left alone


def test_parts_that_are_sorted_already_are_taken_as_they_are() -> None:
    seen: list[Any] = []
    parts: dict[int, list[tuple[Any, Any]]] = {6: [(None, BAD)]}
    assert handle_partition_responses({6: seen.append}, parts) is parts
    assert seen == [[(None, BAD)]]
    assert build_parts_by_error(RESPONSE, None) == {0: [(None, GOOD)], 6: [(None, BAD)]}


def test_what_cannot_be_sorted_is_named() -> None:
    with pytest.raises(TypeError, match="needs parts_by_error or response"):
        handle_partition_responses({})
    with pytest.raises(KeyError, match="about partition 1 of b't', which is not one of ours"):
        build_parts_by_error(RESPONSE, {0: "zero"})


def test_an_error_is_raised_with_its_words() -> None:
    with pytest.raises(KafkaException, match="^words$"):
        raise_error(KafkaException, "words")


@pytest.mark.parametrize(("value", "options"), [(1, {}), (0, {"allow_zero": True}), (-1, {"allow_negative": True}), (0.5, {})])
def test_a_number_that_is_allowed_is_returned(value: Any, options: dict[str, bool]) -> None:
    assert valid_int(value, **options) == value


@pytest.mark.parametrize(
    ("value", "error"),
    [(0, ValueError), (-1, ValueError), (float("nan"), ValueError), ("1", TypeError), (None, TypeError), (True, TypeError)],
)
def test_a_number_that_is_not_allowed_is_an_error(value: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        valid_int(value)


# -- compat -----------------------------------------------------------------------------------------------------------


def test_text_and_bytes_become_each_other_and_anything_else_stays_or_is_shown() -> None:
    assert [compat.get_bytes(value) for value in ("é", b"\xff", 5, None)] == ["é".encode(), b"\xff", 5, None]
    assert [compat.get_string(value) for value in ("é".encode(), "x", 5, b"\xff")] == ["é", "x", "5", b"\xff"]


def test_the_rest_is_what_python_3_has() -> None:
    assert list(compat.iteritems({1: 2})) == [(1, 2)] and list(compat.iterkeys({1: 2})) == [1]
    assert list(compat.itervalues({1: 2})) == [2] and list(compat.range(2)) == [0, 1]
    assert bytes(compat.buffer(b"x")) == b"x" and compat.Semaphore(1).acquire(blocking=False)
    with pytest.raises(compat.Empty):
        compat.Queue().get(block=False)


# -- sockets ----------------------------------------------------------------------------------------------------------


def test_everything_is_received_however_it_is_cut() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:

        def send() -> None:
            for byte in b"abcdef":
                theirs.sendall(bytes([byte]))

        threading.Thread(target=send).start()
        buffer = bytearray(b"0123456789")
        assert recvall_into(ours, buffer, 6) is buffer
        assert buffer == b"abcdef6789"
        assert recvall_into(ours, buffer, 0) == b"abcdef6789"


def test_a_peer_that_goes_or_is_silent_is_named() -> None:
    ours, theirs = socket.socketpair()
    with ours:
        with theirs:
            theirs.sendall(b"ab")
            ours.settimeout(0.01)
            with pytest.raises(SocketDisconnectedError, match="broke after 2 of 4 bytes: timed out"):
                recvall_into(ours, bytearray(4), 4)
        with pytest.raises(SocketDisconnectedError, match="closed the connection after 0 of 4 bytes"):
            recvall_into(ours, bytearray(4), 4)
        for size in (5, -1):
            with pytest.raises(ValueError, match="into a buffer of 4"):
                recvall_into(ours, bytearray(4), size)


# -- structs ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fmt", "data", "values"),
    [
        ("hi", struct.pack("!hi", 1, 2), (1, 2)),
        ("!h i", struct.pack("!hi", 1, 2), (1, 2)),
        ("S", b"\0\2ab", (b"ab",)),
        ("SY", b"\xff\xff\xff\xff\xff\xff", (None, None)),
        ("[i]", struct.pack("!iii", 2, 7, 8), [7, 8]),
        ("[S]", b"\0\0\0\1\0\1x", [b"x"]),
        ("[ih]", struct.pack("!iih", 1, 7, 8), [(7, 8)]),
        ("[S [ihq] ]", b"\0\0\0\1\0\1t\0\0\0\1" + struct.pack("!ihq", 0, 6, 9), [(b"t", [(0, 6, 9)])]),
        ("i[i]", struct.pack("!iii", 5, 1, 6), (5, [6])),
        ("[i][i]", struct.pack("!iiii", 1, 5, 1, 6), ([5], [6])),
        ("[i]", struct.pack("!i", -1), []),
    ],
)
def test_a_format_is_read_as_pykafka_read_it(fmt: str, data: bytes, values: Any) -> None:
    assert unpack_from(fmt, data) == values
    assert unpack_from(fmt, bytearray(b"..." + data), 3) == values


@pytest.mark.parametrize("fmt", ["", "x", "i]", "[i", "[]", "[[i]", "4s", "]"])
def test_what_is_no_format_is_a_value_error(fmt: str) -> None:
    with pytest.raises(ValueError, match="is no format"):
        unpack_from(fmt, bytes(100))


@pytest.mark.parametrize(
    ("fmt", "data"),
    [("i", b"\0"), ("S", b"\0\5ab"), ("S", b"\xff\xfe"), ("Y", b"\x7f\xff\xff\xff"), ("[h]", b"\x7f\xff\xff\xff")],
)
def test_bytes_that_end_too_early_are_a_protocol_error(fmt: str, data: bytes) -> None:
    with pytest.raises(ProtocolError):
        unpack_from(fmt, data)
    with pytest.raises(ProtocolError, match="no byte 50"):
        unpack_from(fmt, data, 50)


# -- versions ---------------------------------------------------------------------------------------------------------


class Old:
    """Stands for the class of version 0."""


class New:
    """Stands for the class of version 2."""


class Aware(ApiVersionAware):
    """Knows two versions."""

    API_KEY = 1

    @classmethod
    def get_versions(cls) -> dict[int, type[Any]]:
        return {0: Old, 2: New}


def spec(low: int, high: int) -> dict[int, ApiVersionsSpec]:
    """Return what a broker says of its versions."""
    return {1: ApiVersionsSpec(1, low, high)}


def test_the_newest_common_version_is_chosen_for_each_broker_anew() -> None:
    assert [Aware.get_version_impl(said) for said in (spec(0, 5), spec(0, 1), spec(2, 2), None, {})] == [New, Old, New, Old, Old]
    assert FetchRequest.get_version_impl(spec(4, 18)) is FetchRequest


@pytest.mark.parametrize(
    ("said", "words"),
    [(spec(3, 9), r"we speak \[0, 2\], the broker 3 to 9"), ({7: ApiVersionsSpec(7, 0, 1)}, "the broker does not know it")],
)
def test_no_common_version_is_an_error_that_says_what_each_side_speaks(said: Any, words: str) -> None:
    with pytest.raises(UnsupportedVersion, match=words):
        Aware.get_version_impl(said)


def test_the_bases_say_what_is_missing() -> None:
    with pytest.raises(NotImplementedError, match="Serializable does not say"):
        len(Serializable())
    with pytest.raises(NotImplementedError, match="Serializable cannot be written"):
        Serializable().pack_into(bytearray(), 0)
    with pytest.raises(UnsupportedVersion, match="names no version"):
        ApiVersionAware.get_version_impl(None)


def test_the_message_format_follows_the_version_as_in_pykafka() -> None:
    assert [msg_protocol_version(text) for text in ("0.8.2", "0.9.0", "0.10.0", "0.11", "1.0.0", "3")] == [0, 0, 1, 1, 1, 1]
    for wrong in ("", "new", None, 5):
        with pytest.raises(ValueError, match="must be a version like"):
            msg_protocol_version(wrong)  # type: ignore[arg-type]
