"""What is given to create or delete topics is checked before a broker is asked, and what is wrong with it is named."""

from __future__ import annotations

from typing import Any

import pytest

from pykafka.config import require_names
from pykafka.protocol import CreateTopicRequest
from pykafka.topic_arguments import broker_timeout_ms, creatable_topics


def one(**fields: Any) -> list[CreateTopicRequest]:
    """Return a list of one request, for topic ``t``."""
    return [CreateTopicRequest("t", **fields)]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (None, "topic_reqs must be a list of CreateTopicRequest, not None"),
        (5, "topic_reqs must be a list of CreateTopicRequest, not 5"),
        ("abc", "topic_reqs must be a list of CreateTopicRequest, not 'abc'"),
        (CreateTopicRequest("t"), r"topic_reqs must be a list .* not CreateTopicRequest\(topic_name='t'"),
        (["x"], r"topic_reqs\[0\] must be a CreateTopicRequest, not 'x'"),
        ([CreateTopicRequest("t"), None], r"topic_reqs\[1\] must be a CreateTopicRequest, not None"),
        ([CreateTopicRequest(5)], r"topic_reqs\[0\].topic_name must be str or bytes, not int 5"),  # type: ignore[arg-type]
        (one(num_partitions="x"), "num_partitions of topic 't' must be an integer, not 'x'"),
        (one(num_partitions=True), "num_partitions of topic 't' must be an integer, not True"),
        (one(num_partitions=1.0), "num_partitions of topic 't' must be an integer, not 1.0"),
        (one(replication_factor=None), "replication_factor of topic 't' must be an integer, not None"),
        (one(replica_assignment=5), "replica_assignment of topic 't' must be a dict .* not 5"),
        (one(replica_assignment={0: 5}), "replica_assignment of topic 't' must have a list of broker ids .* not 5"),
        (one(replica_assignment={0: ["1"]}), "a broker in replica_assignment of topic 't' must be an integer, not '1'"),
        (one(replica_assignment={"0": [1]}), "the partition in replica_assignment of topic 't' must be an integer, not '0'"),
        (one(config_entries="ab"), "config_entries of topic 't' must be a dict .* not 'ab'"),
        (one(config_entries={5: "x"}), "a name in config_entries of topic 't' must be a str, not 5"),
        (one(config_entries={"a": [5]}), r"config_entries\['a'\] of topic 't' must be a str, not \[5\]"),
    ],
)
def test_what_is_of_the_wrong_type_is_a_type_error_naming_argument_and_value(given: Any, words: str) -> None:
    with pytest.raises(TypeError, match=words):
        creatable_topics(given)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"num_partitions": 0}, "num_partitions of topic 't' must be at least 1, or -1 for the brokers' default, not 0"),
        ({"num_partitions": -5}, "num_partitions of topic 't' must be from -1 to 2147483647, not -5"),
        ({"num_partitions": 2**40}, "num_partitions of topic 't' must be from -1 to 2147483647, not 1099511627776"),
        ({"replication_factor": 32768}, "replication_factor of topic 't' must be from -1 to 32767, not 32768"),
        ({"replica_assignment": {-1: [1]}}, "the partition in replica_assignment of topic 't' must be from 0"),
        ({"replica_assignment": {0: [2**31]}}, "a broker in replica_assignment of topic 't' must be from 0"),
    ],
)
def test_a_number_out_of_range_is_a_value_error_naming_argument_and_value(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        creatable_topics(one(**fields))


def test_an_assignment_replaces_the_numbers() -> None:
    (row,) = creatable_topics(one(num_partitions=7, replication_factor=3, replica_assignment={0: (1, 2)}))
    assert (row.num_partitions, row.replication_factor) == (-1, -1)
    assert [(part.partition_index, part.broker_ids) for part in row.assignments] == [(0, [1, 2])]


def test_pairs_are_as_good_as_dicts_and_a_setting_may_be_none() -> None:
    (row,) = creatable_topics(one(num_partitions=2, config_entries=[("cleanup.policy", "compact"), ("retention.ms", None)]))
    assert row.num_partitions == 2
    assert [(entry.name, entry.value) for entry in row.configs] == [("cleanup.policy", "compact"), ("retention.ms", None)]


@pytest.mark.parametrize(
    ("timeout", "error"),
    [(-1, ValueError), (2**40, ValueError), ("x", TypeError), (None, TypeError), (1.5, TypeError), (True, TypeError)],
)
def test_a_bad_timeout_is_named(timeout: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match=f"timeout must be .* not {timeout!r}"):
        broker_timeout_ms(timeout, 30.0)


def test_no_timeout_is_the_clients_own() -> None:
    assert (broker_timeout_ms(0, 30.0), broker_timeout_ms(5, 30.0)) == (30000, 5)


@pytest.mark.parametrize("names", [None, 5, "topic", b"topic"])
def test_one_name_in_place_of_a_list_is_named(names: Any) -> None:
    with pytest.raises(TypeError, match=f"topics must be a list of names, not {names!r}"):
        require_names(names, "topics")


def test_a_bad_name_in_a_list_is_named_by_its_place() -> None:
    with pytest.raises(TypeError, match=r"topics\[1\] must be str or bytes, not int 5"):
        require_names(["a", 5], "topics")


def test_settings_may_be_bytes_and_numbers_and_are_spelled_as_brokers_do() -> None:
    given: Any = {b"cleanup.policy": b"compact", "retention.ms": 5, "preallocate": True, "min.cleanable.dirty.ratio": 0.5}
    (row,) = creatable_topics(one(config_entries=given))
    assert [(entry.name, entry.value) for entry in row.configs] == [
        ("cleanup.policy", "compact"), ("retention.ms", "5"), ("preallocate", "true"), ("min.cleanable.dirty.ratio", "0.5"),
    ]  # fmt: skip
