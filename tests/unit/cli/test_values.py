"""What users write on the command line: what each reader takes, and that everything else is explained."""

from __future__ import annotations

import datetime
from argparse import ArgumentTypeError
from typing import Any, Callable

import pytest

from pykafka.cli import values
from pykafka.cli.values import Word
from pykafka.common import OffsetType


def refusal(read: Callable[[str], Any], text: str) -> str:
    """Return what ``read`` says of a text that it does not take."""
    with pytest.raises(ArgumentTypeError) as caught:
        read(text)
    return str(caught.value)


@pytest.mark.parametrize(("text", "number"), [("0", 0), ("7", 7), ("007", 7), ("+3", 3), ("10", 10)])
def test_whole_numbers_are_taken_as_they_are_written(text: str, number: int) -> None:
    assert values.whole(0, 10)(text) == number


@pytest.mark.parametrize("text", ["", "-1", "11", "1.0", "1e1", "1_0", " 1", "٣", "x", "9" * 5000, "+", "--1"])
def test_what_is_no_whole_number_in_range_is_refused_with_the_range(text: str) -> None:
    assert "is not a whole number from 0 to 10" in refusal(values.whole(0, 10), text)


@pytest.mark.parametrize("text", ["EARLIEST", "earliest", "Earliest"])
def test_the_words_of_offsets_are_taken_in_any_case(text: str) -> None:
    assert values.moment_or_end(text) == OffsetType.EARLIEST
    assert isinstance(values.place(text), Word)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-01-31T12:00:00", datetime.datetime(2026, 1, 31, 12)),
        ("2026-01-31", datetime.datetime(2026, 1, 31)),
        ("2026-01-31T12:00:00Z", datetime.datetime(2026, 1, 31, 12)),
        ("2026-01-31T12:00:00+02:00", datetime.datetime(2026, 1, 31, 10)),
        ("2026-01-31 12:00:00.250", datetime.datetime(2026, 1, 31, 12, 0, 0, 250000)),
    ],
)
def test_moments_are_in_utc_whatever_zone_they_are_written_in(text: str, moment: datetime.datetime) -> None:
    assert values.moment_or_end(text) == moment
    assert values.place(text) == moment


@pytest.mark.parametrize("text", ["", "yesterday", "2026-13-01T00:00:00", "0001-01-01T00:00:00+14:00", "5"])
def test_what_is_no_moment_is_refused_with_an_example(text: str) -> None:
    assert "2026-01-31T12:00:00" in refusal(values.moment_or_end, text)


def test_a_place_may_be_an_offset_and_is_then_never_taken_for_a_word() -> None:
    assert values.place("5") == 5
    assert not isinstance(values.place("5"), Word)
    assert values.place(str(2**63 - 1)) == 2**63 - 1
    assert "whole number" in refusal(values.place, str(2**63))
    assert "an offset (0 or more)" in refusal(values.place, "-2")


def test_partitions_are_read_in_order_and_each_once() -> None:
    assert values.partition_numbers("2,0, 2,5") == [2, 0, 5]
    for text in ("", "1,", "a", "-1"):
        assert "whole number" in refusal(values.partition_numbers, text)


def test_names_are_ascii_and_not_empty() -> None:
    assert values.name("clicks") == "clicks"
    assert "at least one character" in refusal(values.name, "")
    assert "ASCII" in refusal(values.name, "клики")
    assert values.name("x" * 32767)
    said = refusal(values.name, "x" * 32768)
    assert "more than 32767" in said and len(said) < 300


def test_a_separator_may_be_a_tab_and_any_bytes_but_not_empty() -> None:
    assert values.separator("\\t") == b"\t"
    assert values.separator("->") == b"->"
    assert values.separator("\udcff") == b"\xff"  # how Python hands over an argument that is no UTF-8
    assert "at least one character" in refusal(values.separator, "")


def test_an_assignment_is_a_json_object_of_partition_and_brokers() -> None:
    assert values.replica_assignment('{"0": [1, 2], "1": [2, 3]}') == {0: [1, 2], 1: [2, 3]}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "is not JSON"),
        ("[" * 100000, "is not JSON"),
        ("[[1, 2]]", "is not a JSON object"),
        ("{}", "has no partition"),
        ('{"x": [1]}', "whole number"),
        ('{"-1": [1]}', "whole number"),
        ('{"0": [1], "0": [2]}', "twice"),
        ('{"0": []}', "not a list of broker ids"),
        ('{"0": 1}', "not a list of broker ids"),
        ('{"0": [true]}', "not a list of broker ids"),
        ('{"0": ["1"]}', "not a list of broker ids"),
        ('{"0": {"1": 2}}', "not a list of broker ids"),
    ],
)
def test_an_assignment_that_is_none_is_refused(text: str, words: str) -> None:
    assert words in refusal(values.replica_assignment, text)


def test_settings_of_a_topic_are_written_as_kafka_writes_them() -> None:
    given = '{"retention.ms": 3600000, "preallocate": true, "cleanup.policy": "compact", "min.cleanable.dirty.ratio": 0.1}'
    assert values.config_entries(given) == {
        "retention.ms": "3600000",
        "preallocate": "true",
        "cleanup.policy": "compact",
        "min.cleanable.dirty.ratio": "0.1",
    }
    assert values.config_entries("{}") == {}
    for text in ('{"a": null}', '{"a": [1]}', '{"a": {}}', '"a"', "3"):
        assert "JSON object" in refusal(values.config_entries, text)
    assert "UTF-8" in refusal(values.config_entries, '{"a": "\\ud800"}')
    assert "more than 32767 bytes" in refusal(values.config_entries, '{"a": "' + "é" * 16384 + '"}')


def test_headers_keep_their_order_and_may_be_there_twice() -> None:
    assert values.headers('{"b": "1", "a": null, "b": "2", "c": ""}') == [("b", b"1"), ("a", None), ("b", b"2"), ("c", b"")]
    assert "neither text nor null" in refusal(values.headers, '{"a": 1}')
    assert "UTF-8" in refusal(values.headers, '{"a": "\\ud800"}')
