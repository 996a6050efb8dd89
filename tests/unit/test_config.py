"""Options: what is let through, what is refused and in which words, and that everything bad is said at once."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Any

import pytest

from pykafka.common import CompressionType, OffsetType
from pykafka.config import CLIENT, CONSUMER, PRODUCER, Option, check_options, describe, parse_hosts, parse_source, to_name
from pykafka.exceptions import BadNameError, KafkaConfigError, UnicodeException

TABLES = {"KafkaClient": CLIENT, "Producer": PRODUCER, "SimpleConsumer": CONSUMER}


def refusal(owner: str, **given: Any) -> str:
    """Return the message of the error that these options are refused with."""
    with pytest.raises(KafkaConfigError) as caught:
        check_options(owner, TABLES[owner], given)
    return str(caught.value)


@pytest.mark.parametrize(("owner", "name"), [(owner, name) for owner, table in TABLES.items() for name in table])
def test_every_default_passes_its_own_check(owner: str, name: str) -> None:
    option = TABLES[owner][name]
    assert name in check_options(owner, TABLES[owner], {name: option.default})
    assert option.doc.endswith(".") and option.allowed


@pytest.mark.parametrize(
    ("owner", "wrong", "meant"),
    [
        ("KafkaClient", "socket_timeout", "socket_timeout_ms"),
        ("KafkaClient", "host", "hosts"),
        ("Producer", "max_queued_mesages", "max_queued_messages"),
        ("Producer", "linger", "linger_ms"),
        ("SimpleConsumer", "auto_offset_rest", "auto_offset_reset"),
        ("SimpleConsumer", "fetch_max_byte", "fetch_max_bytes"),
    ],
)
def test_a_misspelt_option_is_answered_with_the_one_that_was_meant(owner: str, wrong: str, meant: str) -> None:
    assert refusal(owner, **{wrong: 1}) == f"{owner} got 1 bad option\n  {wrong}: unknown option; did you mean {meant}?"


def test_an_option_like_none_of_ours_is_answered_without_a_guess() -> None:
    assert refusal("Producer", zzz=1) == "Producer got 1 bad option\n  zzz: unknown option"


@pytest.mark.parametrize(
    ("owner", "given", "lines"),
    [
        (
            "KafkaClient",
            {
                "hosts": "kafka,a:0",
                "source_address": "x:y",
                "zookeeper_hosts": "zk:2181",
                "socket_timeout_ms": -1,
                "client_id": "c" * 32768,
                "broker_version": "banana",
                "client_idd": "x",
            },
            [
                "hosts='kafka,a:0': 'kafka': missing port, write 'kafka:9092'; 'a:0': the port must be a number from 1 to 65535",
                "source_address='x:y': write 'host' or 'host:port'",
                "zookeeper_hosts='zk:2181': Kafka has no ZooKeeper any more; write KafkaClient(hosts=",
                "socket_timeout_ms=-1: must be an integer from 1 to 2147483647 (milliseconds)",
                "must have at most 32767 bytes, not 32768",
                "broker_version='banana': must be a version like '2.8.1'",
                "client_idd: unknown option; did you mean client_id?",
            ],
        ),
        (
            "Producer",
            {"max_retries": -1, "linger_ms": "5", "sync": "no", "serializer": 5, "compression": "gzip", "required_acks": 2},
            [
                "max_retries=-1: must be an integer from 0",
                "linger_ms='5': must be an integer from 0",
                "sync='no': must be True or False",
                "serializer=5: must be callable, or None",
                "compression='gzip': must be a CompressionType (0 to 4)",
                "required_acks=2: must be one of 0, 1, -1",
            ],
        ),
        (
            "SimpleConsumer",
            {"consumer_group": 5, "fetch_min_byte": 3, "auto_offset_reset": 5, "fetch_min_bytes": 0},
            [
                "consumer_group=5: must be a str or bytes of 1 to 32767 ASCII characters",
                "fetch_min_byte: unknown option; did you mean fetch_min_bytes?",
                "auto_offset_reset=5: must be OffsetType.EARLIEST or OffsetType.LATEST",
                "fetch_min_bytes=0: must be an integer from 1",
            ],
        ),
    ],
)
def test_everything_bad_is_said_at_once(owner: str, given: dict[str, Any], lines: list[str]) -> None:
    text = refusal(owner, **given)
    assert text.startswith(f"{owner} got {len(lines)} bad options\n  ")
    assert [line for line in lines if line not in text] == []
    assert len(text.splitlines()) == len(lines) + 1


def test_the_error_is_whatever_pykafka_code_may_catch() -> None:
    assert issubclass(KafkaConfigError, TypeError) and issubclass(KafkaConfigError, ValueError)


# -- kinds of options -------------------------------------------------------------------------------------------------


class Codec(enum.IntEnum):
    """Somebody's own names for our numbers."""

    ZSTD = 4


@pytest.mark.parametrize(
    ("option", "value"),
    [("compression", 1.0), ("compression", True), ("compression", None), ("required_acks", 1.0), ("required_acks", True)],
)
def test_what_merely_equals_a_choice_is_refused(option: str, value: Any) -> None:
    # 1.0 == 1, but it cannot be packed into a request
    assert f"{option}={value!r}: must be" in refusal("Producer", **{option: value})
    assert "auto_offset_reset=-1.0" in refusal("SimpleConsumer", auto_offset_reset=-1.0)


def test_a_choice_comes_back_as_our_own_constant() -> None:
    chosen = check_options("Producer", PRODUCER, {"compression": Codec.ZSTD})["compression"]
    assert chosen == CompressionType.ZSTD and type(chosen) is int


@pytest.mark.parametrize("value", [True, "5", None, 5.5, float("nan"), float("inf"), 2**31, 0, -1, 1 + 0j])
def test_only_a_whole_number_in_range_is_an_integer(value: Any) -> None:
    assert "must be an integer from 1 to 2147483647 (milliseconds)" in refusal("KafkaClient", socket_timeout_ms=value)


def test_a_whole_float_is_taken_as_the_integer_it_is() -> None:
    checked = check_options("KafkaClient", CLIENT, {"socket_timeout_ms": 5000.0})
    assert checked["socket_timeout_ms"] == 5000 and type(checked["socket_timeout_ms"]) is int


@pytest.mark.parametrize("value", ["c" * 32768, "é" * 16384, "\ud800", b"\xff", 5, None])
def test_a_client_id_that_cannot_go_into_a_header_is_refused(value: Any) -> None:
    assert "client_id=" in refusal("KafkaClient", client_id=value)


def test_text_may_be_given_as_bytes() -> None:
    assert check_options("KafkaClient", CLIENT, {"client_id": "tést".encode()})["client_id"] == "tést"


@pytest.mark.parametrize("value", ["0.9.0", "4.4", "2.8.1-custom", b"3.9.0"])
def test_any_version_is_accepted_for_broker_version(value: Any) -> None:
    check_options("KafkaClient", CLIENT, {"broker_version": value})


@pytest.mark.parametrize(("given", "name"), [(None, None), ("", None), (b"", None), ("group", b"group"), (b"group", b"group")])
def test_a_group_may_be_str_bytes_or_none(given: Any, name: Any) -> None:
    assert check_options("SimpleConsumer", CONSUMER, {"consumer_group": given})["consumer_group"] == name


@pytest.mark.parametrize(("given", "meant"), [(1, True), (0, False), (True, True)])
def test_one_and_zero_are_as_good_as_true_and_false(given: Any, meant: bool) -> None:
    assert check_options("SimpleConsumer", CONSUMER, {"auto_commit_enable": given})["auto_commit_enable"] is meant


@pytest.mark.parametrize("given", ["False", "", None, 2, 1.0])
def test_what_is_no_truth_value_is_refused(given: Any) -> None:
    # "False" from a file of settings is true to Python
    assert "must be True or False" in refusal("SimpleConsumer", auto_commit_enable=given)


@pytest.mark.parametrize("group", ["g" * 32768, 5, 0])
def test_a_group_with_too_many_characters_or_that_is_no_name_is_refused(group: Any) -> None:
    assert "must be a str or bytes of 1 to 32767 ASCII characters" in refusal("SimpleConsumer", consumer_group=group)


@pytest.mark.parametrize("group", ["é", b"\xff"])
def test_a_group_that_is_not_ascii_is_a_unicode_exception_among_all_other_problems(group: Any) -> None:
    with pytest.raises(UnicodeException) as caught:
        check_options("SimpleConsumer", CONSUMER, {"fetch_min_bytes": 0, "consumer_group": group})
    assert isinstance(caught.value, BadNameError) and isinstance(caught.value, KafkaConfigError)
    assert "must be ASCII" in str(caught.value) and "fetch_min_bytes=0" in str(caught.value)


@pytest.mark.parametrize("option", ["sasl_config", "ssl_config"])
def test_what_may_hold_a_password_is_never_shown(option: str) -> None:
    text = refusal("KafkaClient", **{option: {"password": "hunter2"}})
    assert f"{option}=<dict>" in text and "hunter2" not in text


def test_a_long_value_is_cut() -> None:
    assert len(refusal("Producer", linger_ms="x" * 1000)) < 250


@pytest.mark.parametrize("kind", [OffsetType.EARLIEST, OffsetType.LATEST])
def test_both_offset_types_are_accepted(kind: int) -> None:
    assert check_options("SimpleConsumer", CONSUMER, {"auto_offset_reset": kind})["auto_offset_reset"] == kind


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
def test_the_table_for_the_documentation_has_a_full_row_per_option(table: Mapping[str, Option]) -> None:
    rows = describe(table)
    assert [row[0] for row in rows] == list(table)
    assert all(len(row) == 4 and all(row) for row in rows)


# -- hosts and names --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("hosts", "found"),
    [
        ("kafka:9092", [("kafka", 9092)]),
        (b"kafka:9092", [("kafka", 9092)]),
        (" a:1 ,, b:2,a:1", [("a", 1), ("b", 2)]),
        ("a:1/chroot,b:2/x/y", [("a", 1), ("b", 2)]),
        ("[::1]:9092,[fe80::1%eth0]:65535", [("::1", 9092), ("fe80::1%eth0", 65535)]),
    ],
)
def test_hosts_are_parsed(hosts: Any, found: list[tuple[str, int]]) -> None:
    assert parse_hosts(hosts) == found


@pytest.mark.parametrize(
    ("hosts", "words"),
    [
        ("kafka", "'kafka': missing port, write 'kafka:9092'"),
        ("[::1]", "missing port, write '[::1]:9092'"),
        ("[::1:9", "brackets are for an IPv6 address and have the port behind them: write '[::1]:9092'"),
        ("[::1]9", "write '[::1]:9092'"),
        ("[kafka]:9092", "brackets are for an IPv6 address"),
        ("::1:9092", "write an IPv6 address in brackets"),
        (":9092", "missing host, write 'localhost:9092'"),
        ("a:0", "the port must be a number from 1 to 65535, not '0'"),
        ("a:99999", "not '99999'"),
        ("a:" + "9" * 5000, "the port must be a number"),
        ("a:９", "the port must be a number"),
        ("http://kafka:9092", "no scheme belongs here"),
        ("", "is empty"),
        (" , ", "is empty"),
        (5, "must be a str like 'kafka-1:9092,kafka-2:9092'"),
        (["a:1"], "must be a str like 'kafka-1:9092,kafka-2:9092'; join them with commas: ','.join(hosts)"),
        (None, "must be a str like 'kafka-1:9092,kafka-2:9092'"),
    ],
)
def test_a_bad_host_is_answered_with_what_to_write(hosts: Any, words: str) -> None:
    with pytest.raises(ValueError) as caught:
        parse_hosts(hosts)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("address", "found"),
    [
        ("", None),
        ("10.0.0.7", ("10.0.0.7", 0)),
        (b"10.0.0.7:5000", ("10.0.0.7", 5000)),
        ("::1", ("::1", 0)),
        ("[::1]", ("::1", 0)),
        ("[::1]:5000", ("::1", 5000)),
    ],
)
def test_a_source_address_is_parsed(address: Any, found: Any) -> None:
    assert parse_source(address) == found


@pytest.mark.parametrize("address", ["x:y", ":5", "x:65536", "x:-1", "::1:99999", "[::1:5", 5, None])
def test_a_bad_source_address_is_refused(address: Any) -> None:
    assert "source_address=" in refusal("KafkaClient", source_address=address)


def test_names_become_bytes() -> None:
    assert to_name("t", "topic") == to_name(b"t", "topic") == b"t"
    with pytest.raises(TypeError, match="topic must be str or bytes, not int 5"):
        to_name(5, "topic")
    for name in ("é", b"\xff"):
        with pytest.raises(UnicodeException, match="must be ASCII"):
            to_name(name, "topic")
