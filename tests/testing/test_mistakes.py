"""What users get wrong in their tests is an error at that very call, which says what to write; names may be bytes."""

from __future__ import annotations

import re
import time
from typing import Any

import pytest

from pykafka import KafkaClient
from pykafka.testing import FakeCluster, ManualClock


def test_names_of_topics_and_groups_may_be_bytes_as_those_of_pykafka_are(fakes: FakeCluster) -> None:
    with KafkaClient(fakes.hosts) as client:
        topic = client.topics["t"]
        assert isinstance(topic.name, bytes)
        fakes.produce(topic.name, ["a", "b"])
        assert fakes.values("t") == fakes.values(topic.name) == [b"a", b"b"]
        assert fakes.records(topic.name)[1].value == b"b" and fakes.leader(topic.name) == fakes.leader("t")
        with topic.get_simple_consumer(b"g", consumer_timeout_ms=10000) as consumer:
            assert [consumer.consume().value for _ in range(2)] == [b"a", b"b"]  # type: ignore[union-attr]
            consumer.commit_offsets()
        assert fakes.committed(b"g") == fakes.committed("g") != {}
        fakes.delete_records(topic.name, 0, 1)
        assert fakes.values("t") == [b"b"]
        fakes.delete_topic(topic.name)
        fakes.create_topic(b"new")
        client.update_cluster()
        assert list(client.topics) == [b"new"]


@pytest.mark.parametrize(
    ("call", "error", "said"),
    [
        (lambda kafka: kafka.produce(5, ["a"]), TypeError, "topic=5: give the name of the topic, a str or bytes"),
        (lambda kafka: kafka.values(None), TypeError, "topic=None: give the name"),
        (lambda kafka: kafka.produce("t", [1]), TypeError, "1 is no value of a message: give bytes, a str"),
        (lambda kafka: kafka.produce("t", ["a"], keys=[1]), TypeError, "1 is no key of a message"),
        (lambda kafka: kafka.produce("t", ["a"], keys="k"), TypeError, "keys='k': give a list, with one for each of the values"),
        (lambda kafka: kafka.produce("t", ["a"], timestamps=[time.time()]), TypeError, "give milliseconds since 1970 as an int"),
        (lambda kafka: kafka.produce("t", ["a"], headers=[("n", b"v")]), TypeError, "'n' is no header; give a list for"),
        (lambda kafka: kafka.fail_next("Produce", 6, broker=7), ValueError, "there is no broker 7"),
        (lambda kafka: kafka.fail_next("Heartbeat", 27, topic="t"), ValueError, "topic: Heartbeat fails as a whole; those that"),
        (lambda kafka: kafka.fail_next("Metadata", 27, topic="t", partition=0), ValueError, "partition: Metadata fails as"),
        (lambda kafka: kafka.delete_records("t", 0, -5), ValueError, "before=-5: a log begins at 0 at least"),
        (lambda kafka: kafka.fail_next("Produce", 0), ValueError, "no broker answers with 0"),
        (lambda kafka: kafka.fail_next("Produce", True), ValueError, "no broker answers with True"),
        (lambda kafka: kafka.fail_next("Produce", 40000), ValueError, "no broker answers with 40000"),
        (lambda kafka: kafka.values("ordrs"), ValueError, "there is no topic ordrs; there are ['t']"),
        (lambda kafka: kafka.records("t", 9), ValueError, "there is no partition t/9; it has 1, from 0 on"),
        (lambda kafka: kafka.truncate("t", 0, 3), ValueError, "offset=3: t/0 ends at 0"),
        (lambda kafka: kafka.delete_records("t", 0, 3), ValueError, "before=3: t/0 ends at 0"),
        (lambda kafka: kafka.stop_broker(3) or kafka.move_coordinator("g", 3), ValueError, "broker 3 is stopped and cannot look"),
        (lambda kafka: FakeCluster(clock=ManualClock), TypeError, "give a ManualClock(...)"),
        (lambda kafka: FakeCluster(group_settings={"a": 1}), TypeError, "group_settings={'a': 1}: give a GroupSettings(...)"),
        (lambda kafka: kafka.fail_next(0, 6), ValueError, "there is no request 0; there are AlterConfigs"),
        (lambda kafka: kafka.delay("Produce", -1), ValueError, "-1 is no time to wait: give seconds"),
        (lambda kafka: kafka.delay("Produce", "1"), ValueError, "'1' is no time to wait: give seconds"),
        (lambda kafka: kafka.on("Produce", 5), TypeError, "5 cannot be called: give a function of the request and its version"),
        (lambda kafka: kafka.truncate("t", 0, -1), ValueError, "offset=-1: a log ends at 0 at least"),
        (lambda kafka: kafka.requests.seen(b"Produce"), ValueError, "there is no request b'Produce'"),
        (lambda kafka: FakeCluster(topics=["t"]), TypeError, "topics=['t']: give a dict of names and numbers of partitions"),
        (lambda kafka: FakeCluster(topics={"t": "3"}), TypeError, "partitions='3': give a whole number"),
        (lambda kafka: FakeCluster("127.0.0.1:9092"), TypeError, "brokers='127.0.0.1:9092': give a whole number"),
        (lambda kafka: FakeCluster(3, port=65534), ValueError, "port=65534: 3 brokers need ports up to 65536"),
        (lambda kafka: FakeCluster(port=-1), ValueError, "port=-1: 1 brokers need ports"),
        (lambda kafka: FakeCluster(as_version=2.8), ValueError, "as_version=2.8 is no version of Kafka: write it as '2.8'"),
    ],
)
def test_a_mistake_is_an_error_that_says_what_to_write(fakes: FakeCluster, call: Any, error: Any, said: str) -> None:
    with pytest.raises(error, match=re.escape(said)):
        call(fakes)
    assert fakes.values("t") == []


def test_topics_come_to_be_while_all_brokers_are_stopped(fakes: FakeCluster) -> None:
    for broker in (1, 2, 3):
        fakes.stop_broker(broker)
    fakes.produce("new", ["a"])
    assert fakes.values("new") == [b"a"] and fakes.leader("new") is None
