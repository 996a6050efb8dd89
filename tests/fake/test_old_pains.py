"""What PyKafka's users suffered from and no other file shows to be gone; ``tests/test_known_pains.py`` has the whole list."""

from __future__ import annotations

import contextlib
import logging
import queue
import threading
import time
from typing import Any

import pytest

from pykafka import KafkaClient
from pykafka._engine.loop import Loop
from pykafka.connection import SslConfig
from pykafka.exceptions import (
    ERROR_CODES,
    KafkaException,
    OffsetRequestFailedError,
    ProduceFailureError,
    TopicAuthorizationFailed,
    UnknownError,
)
from pykafka.protocol.messages import OffsetFetchResponse

from ..support import until, values
from .broker import DROP, fake_broker
from .scripts import Log, by_key, depose, with_metadata
from .test_changing_topics import Logs
from .test_connecting import closed_port
from .test_consumer_troubles import numbers, script
from .test_offsets import committed
from .test_produce_and_fetch import fetched, produced, stored
from .test_tls import CA, serving

NOBODY_KNOWS = 9999

# -- producing --------------------------------------------------------------------------------------------------------


def test_messages_one_by_one_leave_at_once_with_default_settings() -> None:
    with fake_broker() as broker, KafkaClient(broker.hosts) as client:
        Log(broker)
        with client.topics["t"].get_producer() as producer:
            began = time.monotonic()
            for _ in range(5):
                message = producer.produce(b"nobody waits for it")
                until(lambda message=message: message.done, what="its outcome")  # type: ignore[misc]
                producer.produce(b"somebody waits for it").result(30)
            # each took five seconds
            assert time.monotonic() - began < 20


def test_large_messages_wait_for_linger_once_and_not_one_after_the_other() -> None:
    with fake_broker() as broker, KafkaClient(broker.hosts) as client:
        log = Log(broker)
        with client.topics["t"].get_producer(linger_ms=500, max_request_size=10000) as producer:
            began = time.monotonic()
            messages = [producer.produce(bytes([number]) * 6000) for number in range(40)]
            until(lambda: all(message.done for message in messages), what="all outcomes, with nobody waiting for any")
            # forty batches of one message each: half a second for each was twenty
            assert time.monotonic() - began < 10
        assert len(log.written[0]) == 40


def test_a_full_queue_and_connections_that_break_do_not_wait_for_each_other() -> None:
    with fake_broker(partitions=2) as broker, KafkaClient(broker.hosts, reconnect_backoff_ms=1) as client:
        log = Log(broker)
        broken: list[int] = []

        def answer(request: Any, version: int) -> Any:
            if len(broken) < 10:
                broken.append(1)
                return DROP
            return log.answer(request, version)

        broker.scripts["Produce"] = answer
        with client.topics["t"].get_producer(max_queued_messages=3, retry_backoff_ms=1, partitioner=by_key) as producer:
            for number in range(100):
                producer.produce(b"%d" % number, partition_key=b"%d" % (number % 2))
            producer.flush(30)
        assert len(broken) == 10
        assert log.written == {pid: [b"%d" % number for number in range(pid, 100, 2)] for pid in range(2)}


def test_the_late_outcome_of_a_sync_message_is_not_taken_for_the_next_one() -> None:
    with fake_broker() as broker, KafkaClient(broker.hosts) as client:
        log = Log(broker)
        log.gate.clear()
        producer = client.topics["t"].get_sync_producer(pending_timeout_ms=200)
        with pytest.raises(ProduceFailureError, match="still being sent"):
            producer.produce(b"late")
        log.gate.set()
        producer.flush(20)
        message = producer.produce(b"next")
        assert (message.value, message.offset) == (b"next", 1)
        producer.stop()


def test_stop_after_a_retry_returns_as_soon_as_everything_has_its_outcome() -> None:
    answers: list[Any] = [produced(-1, error=6), DROP, produced(0)]
    with fake_broker() as broker, KafkaClient(broker.hosts, reconnect_backoff_ms=1) as client:
        broker.scripts["Produce"] = lambda request, version: answers.pop(0)
        producer = client.topics["t"].get_producer(pending_timeout_ms=60000, retry_backoff_ms=1)
        messages = producer.produce_many([b"%d" % number for number in range(50)])
        began = time.monotonic()
        producer.stop()
        assert time.monotonic() - began < 30
        assert [message.offset for message in messages] == list(range(50)) and answers == []


def test_unread_delivery_reports_are_bounded_and_warned_about_once(caplog: pytest.LogCaptureFixture) -> None:
    with fake_broker() as broker, KafkaClient(broker.hosts) as client:
        Log(broker)
        with client.topics["t"].get_producer(delivery_reports=True, max_queued_messages=10) as producer:
            with caplog.at_level(logging.WARNING, logger="pykafka"):
                for number in range(100):
                    producer.produce(b"%d" % number)
                producer.flush(20)
            kept = [producer.get_delivery_report(block=False)[0].value for _ in range(20)]
            assert kept == [b"%d" % number for number in range(80, 100)]
            with pytest.raises(queue.Empty):
                producer.get_delivery_report(block=False)
    assert len([record for record in caplog.records if "delivery reports are unread" in record.getMessage()]) == 1


# -- errors -----------------------------------------------------------------------------------------------------------


def test_a_code_that_nobody_knows_fails_what_it_is_about_and_nothing_else() -> None:
    assert NOBODY_KNOWS not in ERROR_CODES
    answers: list[Any] = [produced(-1, error=NOBODY_KNOWS), produced(7)]
    with fake_broker() as broker, KafkaClient(broker.hosts) as client:
        script(broker, {0: NOBODY_KNOWS, 5: numbers(5, 1)})
        broker.scripts["Produce"] = lambda request, version: answers.pop(0)
        topic = client.topics["t"]
        with topic.get_producer() as producer:
            with pytest.raises(UnknownError) as caught:
                producer.produce(b"x").result(20)
            assert caught.value.code == NOBODY_KNOWS
            assert producer.produce(b"y").result(20).offset == 7
        with topic.get_simple_consumer(consumer_timeout_ms=20000) as consumer:
            with pytest.raises(UnknownError) as caught:
                consumer.consume()
            assert caught.value.code == NOBODY_KNOWS
            consumer.seek(topic.partitions[0], 5)
            assert values(consumer.consume_batch()) == [b"5"]


@pytest.mark.parametrize("code", [22, 25], ids=["IllegalGeneration", "UnknownMemberId"])
def test_a_commit_that_the_group_refuses_is_raised_at_once_and_not_tried_again(code: int) -> None:
    with fake_broker() as broker, KafkaClient(broker.hosts) as client:
        script(broker, {})
        with client.topics["t"].get_simple_consumer("g") as consumer:
            broker.scripts["OffsetCommit"] = lambda request, version: committed(code)
            with pytest.raises(ERROR_CODES[code]):
                consumer.commit_offsets()
            assert len(broker.seen("OffsetCommit")) == 1


def test_a_partition_whose_offset_could_not_be_had_is_never_committed() -> None:
    rows = [
        OffsetFetchResponse.OffsetFetchResponsePartitions(partition_index=0, committed_offset=-1),
        OffsetFetchResponse.OffsetFetchResponsePartitions(partition_index=1, committed_offset=-1, error_code=29),
    ]
    topics = [OffsetFetchResponse.OffsetFetchResponseTopics(name="t", partitions=rows)]
    half = OffsetFetchResponse(groups=[OffsetFetchResponse.OffsetFetchResponseGroup(group_id="g", topics=topics)])
    with fake_broker() as broker:
        logs = Logs(broker, partitions=2)
        broker.scripts["OffsetFetch"] = lambda request, version: half
        with KafkaClient(broker.hosts) as client:
            topic = client.topics["t"]
            with pytest.raises(TopicAuthorizationFailed):
                topic.get_simple_consumer("g", auto_commit_enable=True)
            consumer = topic.get_simple_consumer("g", auto_start=False)
            with pytest.raises((OffsetRequestFailedError, TopicAuthorizationFailed)):
                consumer.fetch_offsets()
            assert logs.committed == {}


# -- consuming --------------------------------------------------------------------------------------------------------


def test_a_fetch_that_nobody_answers_is_given_up_and_asked_again() -> None:
    answers: list[Any] = [None, None, fetched(numbers(0, 1))]
    with fake_broker() as broker, KafkaClient(broker.hosts, socket_timeout_ms=300) as client:
        broker.scripts["Fetch"] = lambda request, version: answers.pop(0) if answers else None
        with client.topics["t"].get_simple_consumer(consumer_timeout_ms=20000) as consumer:
            assert values(consumer.consume_batch()) == [b"0"]


def test_gaps_between_batches_are_read_over() -> None:
    compacted = numbers(0, 1) + numbers(7, 2) + numbers(100, 1)
    with fake_broker() as broker, KafkaClient(broker.hosts) as client:
        script(broker, {0: compacted, 101: numbers(5000, 2)})
        for flag in (False, True):
            with client.topics["t"].get_simple_consumer(consumer_timeout_ms=20000, compacted_topic=flag) as consumer:
                got = [consumer.consume() for _ in range(6)]
                assert [message.offset for message in got if message] == [0, 7, 8, 100, 5000, 5001]
                assert consumer.held_offsets == {0: 5001}


def test_a_deserializer_is_never_called_without_a_message() -> None:
    seen: list[Any] = []

    def note(value: Any, key: Any) -> Any:
        seen.append((value, key))
        return value, key

    with fake_broker() as broker, KafkaClient(broker.hosts) as client:
        script(broker, {0: bytes(stored(0, [None]))})
        with client.topics["t"].get_simple_consumer(consumer_timeout_ms=100, deserializer=note) as consumer:
            assert values(consumer.consume_batch(timeout_ms=20000)) == [None]
            assert consumer.consume() is None and consumer.consume(block=False) is None
            assert consumer.consume_batch() == [] and list(consumer) == []
    assert seen == [(None, None)]


# -- the cluster ------------------------------------------------------------------------------------------------------


def test_a_partition_without_a_leader_hinders_no_other() -> None:
    with fake_broker() as broker:
        logs, log = Logs(broker, partitions=2), Log(broker)
        logs.logs, logs.committed = [[b"read"], [b"later"]], {0: 0, 1: 0}
        elected = with_metadata(broker, depose(1))
        with KafkaClient(broker.hosts) as client:
            topic = client.topics["t"]
            with topic.get_producer(partitioner=by_key) as producer:
                waits = producer.produce(b"waits", partition_key=b"1")
                assert producer.produce(b"goes", partition_key=b"0").result(20).offset == 0
                assert not waits.done
                # a consumer that knows where to start; one that has to ask the leader needs it for that
                with topic.get_simple_consumer("g", consumer_timeout_ms=20000) as consumer:
                    assert values(consumer.consume_batch()) == [b"read"]
                    elected()
                    assert waits.result(20).offset == 0
                    assert values(consumer.consume_batch()) == [b"later"]
            assert log.written == {0: [b"goes"], 1: [b"waits"]}


def test_a_broker_that_cannot_be_reached_hinders_no_other() -> None:
    port = closed_port()

    def add(answer: Any) -> None:
        answer.brokers.append(type(answer).MetadataResponseBroker(node_id=2, host="127.0.0.1", port=port))
        depose(1, leader=2)(answer)

    with fake_broker() as broker:
        logs = Logs(broker, partitions=2)
        Log(broker)
        logs.logs[0].append(b"read")
        back = with_metadata(broker, add)
        with KafkaClient(broker.hosts) as client:
            assert sorted(client.brokers) == [1, 2]
            topic = client.topics["t"]
            with topic.get_producer(partitioner=by_key) as producer:
                waits = producer.produce(b"waits", partition_key=b"1")
                assert producer.produce(b"goes", partition_key=b"0").result(20).offset == 0
                client.update_cluster()
                with topic.get_simple_consumer(partitions=[topic.partitions[0]], consumer_timeout_ms=20000) as consumer:
                    assert values(consumer.consume_batch()) == [b"read"]
                back()
                assert waits.result(20).offset == 0


def test_metadata_is_refreshed_from_any_broker_when_the_seeds_are_gone() -> None:
    with fake_broker() as seed, fake_broker() as broker:
        seed.scripts["Metadata"] = broker.metadata
        with KafkaClient(seed.hosts) as client:
            seed.close()
            for _ in range(3):
                client.update_cluster()
            assert len(broker.seen("Metadata")) >= 3


def test_every_connection_of_a_tls_client_speaks_tls() -> None:
    # a listener that speaks nothing else: the coordinator's connection is one of its own, as are those for fetching
    with fake_broker(tls=serving()) as broker:
        logs, _log = Logs(broker), Log(broker)
        logs.logs[0].append(b"x")
        with KafkaClient(broker.hosts, ssl_config=SslConfig(CA)) as client:
            topic = client.topics["t"]
            with topic.get_sync_producer() as producer:
                producer.produce(b"x")
            for group in ("first", "second"):
                with topic.get_simple_consumer(group, consumer_timeout_ms=20000) as consumer:
                    assert consumer.consume() is not None
                    consumer.commit_offsets()
                    assert logs.committed == {0: 1}
                    logs.committed.clear()
        assert len(broker._connections) >= 4


# -- rest -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("trouble", ["nothing", "a full queue", "no partition to read"])
def test_a_client_with_nothing_to_do_sleeps(monkeypatch: pytest.MonkeyPatch, trouble: str) -> None:
    turns = 0
    run_once = Loop.run_once

    def counted(self: Loop, *args: Any) -> None:
        nonlocal turns
        turns += 1
        run_once(self, *args)

    monkeypatch.setattr(Loop, "run_once", counted)
    with fake_broker() as broker, KafkaClient(broker.hosts) as client:
        broker.scripts["Fetch"] = broker.scripts["Produce"] = lambda request, version: None
        topic = client.topics["t"]
        producer = topic.get_producer(linger_ms=0, max_queued_messages=3, pending_timeout_ms=10)
        with topic.get_simple_consumer(consumer_timeout_ms=500) as consumer:
            if trouble == "no partition to read":
                consumer.pause(topic.partitions.values())
            if trouble == "a full queue":
                producer.produce_many([b"x"] * 3)
                waiting = threading.Thread(target=_try_to_produce, args=(producer,), daemon=True)
                waiting.start()
                until(lambda: len(producer._core._line) == 1, what="a thread that waits for room")
            consumer.consume()
            before = turns
            assert consumer.consume() is None
            assert turns - before <= 10
        if trouble == "a full queue":
            with pytest.raises(ProduceFailureError):
                producer.stop()
            waiting.join(20)
            assert not waiting.is_alive()
        else:
            producer.stop()


def _try_to_produce(producer: Any) -> None:
    with contextlib.suppress(KafkaException):  # the producer, or the client already, was stopped meanwhile
        producer.produce(b"x")
