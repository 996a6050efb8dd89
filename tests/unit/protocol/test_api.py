"""Which version is used with which broker, what headers look like, and the compiler's command line."""

from __future__ import annotations

import subprocess
import sys
import traceback
from typing import Any

import pytest

from pykafka.exceptions import ProtocolError, UnsupportedVersion
from pykafka.protocol.api import choose_version, decode_request, decode_response, encode_request, encode_response, response_of
from pykafka.protocol.compiler import compile_codec, main, source_of
from pykafka.protocol.messages import (
    ApiVersionsRequest,
    ApiVersionsResponse,
    FetchRequest,
    FetchResponse,
    MetadataRequest,
    MetadataResponse,
    OffsetFetchRequest,
    ProduceRequest,
)
from pykafka.protocol.schema import REQUESTS, RESPONSES, Request

from .samples import CASES, IDS

# -- versions ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("broker", "cap", "expected"),
    [
        ((0, 13), None, 13),
        ((0, 99), None, 13),
        ((0, 5), None, 5),
        ((13, 20), None, 13),
        ((0, 99), 7, 7),
        ((0, 5), 7, 5),
        ((0, 99), 99, 13),
        ((7, 7), 7, 7),
    ],
)
def test_the_newest_common_version_is_chosen(broker: tuple[int, int], cap: Any, expected: int) -> None:
    assert choose_version(MetadataRequest, {3: broker}, cap) == expected


@pytest.mark.parametrize(
    ("broker", "cap", "why"),
    [
        ((14, 20), None, "no common version of Metadata: we speak 1 to 13, the broker 14 to 20"),
        ((8, 9), 7, "we speak 1 to 7, the broker 8 to 9"),
    ],
)
def test_no_common_version_names_both_ranges(broker: tuple[int, int], cap: Any, why: str) -> None:
    with pytest.raises(UnsupportedVersion, match=why) as raised:
        choose_version(MetadataRequest, {3: broker}, cap)
    assert raised.value.api == "Metadata"


@pytest.mark.parametrize(("request_class", "floor"), [(ProduceRequest, 3), (FetchRequest, 4)])
def test_versions_without_record_batches_are_never_used(request_class: type[Request], floor: int) -> None:
    key, name = request_class.KEY, request_class.NAME
    # brokers from 4.0 on advertise Produce from 0 on, and refuse 0 to 2
    assert choose_version(request_class, {key: (0, 99)}) == request_class.MAX_VERSION
    assert choose_version(request_class, {key: (0, floor)}) == floor
    with pytest.raises(UnsupportedVersion, match=f"{name}: we speak {floor} to .*, the broker 0 to {floor - 1}"):
        choose_version(request_class, {key: (0, floor - 1)})
    with pytest.raises(UnsupportedVersion, match=f"we speak {floor} to {floor - 1}"):
        choose_version(request_class, {key: (0, 99)}, floor - 1)


def test_a_request_that_the_broker_does_not_know_is_named() -> None:
    with pytest.raises(UnsupportedVersion, match="does not know OffsetFetch at all") as raised:
        choose_version(OffsetFetchRequest, {3: (0, 9), 8: (0, 9)})
    assert raised.value.api == "OffsetFetch"


@pytest.mark.parametrize("request_class", REQUESTS.values(), ids=lambda cls: cls.__name__)
def test_every_version_a_broker_can_end_at_is_either_used_or_refused(request_class: type[Request]) -> None:
    for newest in range(request_class.MAX_VERSION + 3):
        try:
            chosen = choose_version(request_class, {request_class.KEY: (0, newest)})
        except UnsupportedVersion:
            assert newest < {0: 3, 1: 4, 2: 1, 3: 1}[request_class.KEY]
        else:
            assert chosen == min(newest, request_class.MAX_VERSION)


def test_the_answer_to_a_request_is_known() -> None:
    assert response_of(FetchRequest) is FetchResponse
    assert all(response_of(cls).NAME == cls.NAME for cls in REQUESTS.values())


# -- headers ----------------------------------------------------------------------------------------------------------


def test_the_request_header_before_flexible_versions() -> None:
    frame = b"".join(encode_request(MetadataRequest(topics=[]), 8, 0x01020304, "me"))
    assert frame == b"\0\3" + b"\0\x08" + b"\1\2\3\4" + b"\0\2me" + b"\0\0\0\0" + b"\1\0\0"


def test_the_flexible_request_header_keeps_the_two_byte_size_of_the_client_id_and_has_tags() -> None:
    frame = b"".join(encode_request(MetadataRequest(topics=[]), 9, 0x01020304, "me"))
    assert frame == b"\0\3" + b"\0\x09" + b"\1\2\3\4" + b"\0\2me" + b"\0" + b"\1" + b"\1\0\0" + b"\0"


@pytest.mark.parametrize("version", [8, 9])
@pytest.mark.parametrize("client_id", [None, "", "me", "zażółć", "x" * 32767])
def test_any_client_id_survives(version: int, client_id: Any) -> None:
    frame = b"".join(encode_request(MetadataRequest(), version, 7, client_id))
    assert decode_request(memoryview(frame))[1:] == (version, 7, client_id)


@pytest.mark.parametrize("client_id", ["x" * 32768, "\ud800"])
def test_a_client_id_that_does_not_fit_is_a_protocol_error(client_id: str) -> None:
    with pytest.raises(ProtocolError):
        encode_request(MetadataRequest(), 9, 7, client_id)


def test_no_client_id_is_minus_one_bytes() -> None:
    assert b"".join(encode_request(ApiVersionsRequest(), 0, 1, None)) == b"\0\x12\0\0\0\0\0\1\xff\xff"


@pytest.mark.parametrize(("version", "header"), [(8, b"\0\0\0\5"), (9, b"\0\0\0\5\0")])
def test_the_response_header_has_tags_in_flexible_versions(version: int, header: bytes) -> None:
    chunks = encode_response(MetadataResponse(), version, 5)
    assert chunks[0] == header
    assert decode_response(MetadataResponse, version, memoryview(b"".join(chunks))) == (5, MetadataResponse())


@pytest.mark.parametrize("version", range(ApiVersionsResponse.MAX_VERSION + 1))
def test_the_response_header_of_api_versions_never_has_tags(version: int) -> None:
    frame = b"".join(encode_response(ApiVersionsResponse(error_code=0x0102), version, 5))
    assert frame[:6] == b"\0\0\0\5\1\2"
    assert decode_response(ApiVersionsResponse, version, memoryview(frame))[1] == ApiVersionsResponse(error_code=0x0102)


def test_correlation_ids_are_signed_32_bits() -> None:
    frame = b"".join(encode_response(MetadataResponse(), 0, -5))
    assert decode_response(MetadataResponse, 0, memoryview(frame))[0] == -5


# -- the compiler -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("wrong", [-1, 14, 10**6])
def test_a_version_that_is_not_declared_is_refused(wrong: int) -> None:
    with pytest.raises(ProtocolError, match=f"MetadataRequest has versions 0 to 13, not {wrong}"):
        compile_codec(MetadataRequest, wrong)


def test_a_codec_is_compiled_once() -> None:
    assert compile_codec(FetchRequest, 12) is compile_codec(FetchRequest, 12)
    assert compile_codec(FetchRequest, 12) is not compile_codec(FetchRequest, 11)


@pytest.mark.parametrize(("cls", "version"), CASES, ids=IDS)
def test_generated_source_is_short_of_nothing_it_names(cls: Any, version: int) -> None:
    source, names = source_of(cls, version)
    code = compile(source, "<generated>", "exec")
    builtins = {"len", "str", "list", "bytes", "range", "repr", "memoryview"}
    errors = {"IndexError", "UnicodeDecodeError", "TypeError", "AttributeError", "ValueError", "OverflowError"}
    for function in (constant for constant in code.co_consts if hasattr(constant, "co_names")):
        attributes = {"pack", "unpack_from", "encode", "append", "join"} | _field_names(cls)
        assert set(function.co_names) <= set(names) | builtins | errors | attributes


def _field_names(cls: Any) -> set[str]:
    names = set(cls.FIELDS)
    for field in cls.FIELDS.values():
        if field.struct is not None:
            names |= _field_names(field.struct)
    return names


def test_neighbouring_fields_of_fixed_size_are_read_at_once() -> None:
    source, names = source_of(FetchRequest, 4)
    assert source.count("m.max_wait_ms, m.min_bytes, m.max_bytes, m.isolation_level = ") == 1
    assert any(getattr(value, "format", None) == ">iiiib" for value in names.values())


def test_tracebacks_show_generated_lines() -> None:
    with pytest.raises(ProtocolError) as raised:
        compile_codec(MetadataRequest, 0).encode(MetadataRequest(topics=[None]), [].append)
    assert raised.value.__cause__ is not None
    lines = traceback.extract_tb(raised.value.__cause__.__traceback__)
    assert lines[-1].filename == "<pykafka MetadataRequest v0>"
    assert ".name" in (lines[-1].line or "")


def test_the_command_line_prints_both_sources() -> None:
    command = [sys.executable, "-m", "pykafka.protocol.compiler", "Fetch", "12"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert done.stderr == ""
    assert done.stdout.startswith("# FetchRequest v12\ndef encode(m, w):\n")
    assert "\n# FetchResponse v12\ndef encode(m, w):\n" in done.stdout
    assert done.stdout.count("def decode(b, p, end, condense=None):") == 2
    compile(done.stdout, "<printed>", "exec")


@pytest.mark.parametrize("arguments", [[], ["Fetch"], ["Fetch", "newest"], ["Fetch", "1", "2"], ["Fetch", "-1"]])
def test_the_command_line_shows_its_usage(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    assert "usage: python -m pykafka.protocol.compiler Fetch 12" in capsys.readouterr().out


def test_requests_and_responses_are_registered_by_key() -> None:
    assert REQUESTS[1] is FetchRequest
    assert RESPONSES[18] is ApiVersionsResponse
