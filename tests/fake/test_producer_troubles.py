"""What a producer does when something is wrong on this side: bad rows, missing metadata, Ctrl-C, neighbours, impatience."""

from __future__ import annotations

import gc
import threading
import traceback
from typing import Any

import pytest

from pykafka import KafkaClient
from pykafka.common import CompressionType
from pykafka.exceptions import (
    ClusterAuthorizationFailed,
    DeliveryTimeout,
    KafkaException,
    ProduceFailureError,
    ProducerStoppedException,
    TopicAuthorizationFailed,
    UnsupportedVersion,
)
from pykafka.partitioners import HashingPartitioner
from pykafka.protocol.api import response_of

from ..support import until
from .broker import fake_broker
from .scripts import Log, by_key, hesitant_versions, leaderless, on_io_thread, refused, without_topics

# -- several producers ------------------------------------------------------------------------------------------------


def test_two_producers_of_one_topic_never_share_a_request_for_a_partition() -> None:
    with fake_broker() as broker, KafkaClient(broker.hosts) as client:
        log = Log(broker)
        topic = client.topics["t"]
        with topic.get_producer(linger_ms=0) as one, topic.get_producer(linger_ms=0) as other:
            assert [producer.produce(b"warm up").result(10).offset for producer in (one, other)] == [0, 1]
            led = leaderless(broker)
            client.update_cluster()
            made = [one.produce(b"one"), other.produce(b"other")]
            until(lambda: all(producer._core.accumulator.active for producer in (one, other)), what="both to have something")
            led()
            assert sorted(message.result(10).offset for message in made) == [2, 3]
        for request in broker.seen("Produce"):
            assert [len(topic_data.partition_data) for topic_data in request.topic_data] == [1]
        assert sorted(log.written[0][2:]) == [b"one", b"other"]


def test_a_producer_with_little_patience_does_not_break_the_connection_under_the_others() -> None:
    with fake_broker() as broker, KafkaClient(broker.hosts) as client:
        log = Log(broker)
        log.gate.clear()
        topic = client.topics["t"]
        with topic.get_producer(required_acks=1, linger_ms=0) as patient:
            waiting = patient.produce(b"patient")
            until(lambda: broker.seen("Produce"), what="the request")
            with topic.get_producer(delivery_timeout_ms=100, linger_ms=0) as impatient:
                with pytest.raises(DeliveryTimeout) as caught:
                    impatient.produce(b"impatient").result(10)
                assert caught.value.possibly_written
                log.gate.set()
                assert waiting.result(10).offset == 0
                assert impatient.produce(b"again").result(10).offset == 2
        assert log.written[0] == [b"patient", b"impatient", b"again"]


def test_a_callback_that_forwards_to_another_producer_waits_while_that_ones_queue_is_full() -> None:
    with fake_broker(partitions=2) as broker, KafkaClient(broker.hosts) as client:
        log = Log(broker)
        topic = client.topics["t"]
        with topic.get_producer() as source, topic.get_producer(max_queued_messages=3) as sink:
            forwarded: list[Any] = []
            full_queue = threading.Event()

            def forward(_message: Any, _error: Any) -> None:
                assert full_queue.wait(20)
                forwarded.append(sink.produce(b"forwarded"))

            source.produce(b"warm up", on_delivery=forward).result(10)
            log.gate.clear()
            full = [sink.produce(b"x") for _ in range(3)]
            full_queue.set()
            until(lambda: len(sink._core._line), what="the callback waiting for room")
            assert sink._core.outstanding == 3
            log.gate.set()
            until(lambda: forwarded and forwarded[0].done and all(message.done for message in full), what="everything")


# -- rows that cannot be sent -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ({"timestamp": 2**63}, "timestamp=9223372036854775808"),
        ({"timestamp": float("nan")}, "timestamp=nan"),
        ({"timestamp": 1764091000.25}, r"timestamp=1764091000.25: seconds\? give milliseconds"),
        ({"headers": [("\ud800", b"")]}, "name of header"),
    ],
)
def test_what_no_record_can_hold_is_refused_before_it_is_queued(how: dict[str, Any], words: str) -> None:
    with fake_broker() as broker, KafkaClient(broker.hosts) as client:
        Log(broker)
        with client.topics["t"].get_producer() as producer:
            good = producer.produce(b"good")
            with pytest.raises(ValueError, match=words):
                producer.produce(b"bad", **how)
            assert producer.produce(b"after").result(10).offset == 1
            assert good.offset == 0


@pytest.mark.parametrize(
    ("given", "instead"),
    [
        (bytearray(b"x"), r"bytearray; write bytes\(buffer\)"),
        (memoryview(b"x"), r"memoryview; write bytes\(buffer\)"),
        ("x", r"str; write text.encode\(\), or give a serializer"),
        (5, "int; give a serializer"),
    ],
)
def test_what_is_no_bytes_is_refused_with_what_to_write(given: Any, instead: str) -> None:
    with fake_broker() as broker, KafkaClient(broker.hosts) as client, client.topics["t"].get_producer() as producer:
        for call in (
            lambda: producer.produce(given),
            lambda: producer.produce(b"", given),
            lambda: producer.produce_many([given]),
            lambda: producer.produce_many([b""], given),
        ):
            with pytest.raises(TypeError, match=f"must be bytes or None, not {instead}"):
                call()


@pytest.mark.parametrize("acks", [-1, 1])
def test_messages_that_cannot_be_in_one_batch_fail_and_take_nobody_with_them(acks: int) -> None:
    with fake_broker(partitions=2) as broker, KafkaClient(broker.hosts) as client:
        log = Log(broker)
        topic = client.topics["t"]
        with topic.get_producer(linger_ms=60000, required_acks=acks, partitioner=by_key) as producer:
            good = producer.produce(b"good", b"0")
            bad = producer.produce(b"bad", b"1", timestamp=-(2**62))
            producer.produce(b"bad", b"1", timestamp=2**62)
            producer.flush(10)
            assert good.offset == 0
            assert isinstance(bad.error, ProduceFailureError) and "t/1" in str(bad.error)
            assert [producer.produce(b"later", key).result(10).offset for key in (b"0", b"1")] == [1, 0]
        assert log.written == {0: [b"good", b"later"], 1: [b"later"]}


def test_what_cannot_be_dealt_to_partitions_fails_with_what_was_collected_with_it_and_nothing_else() -> None:
    with fake_broker() as broker, KafkaClient(broker.hosts) as client:
        Log(broker)
        with client.topics["t"].get_producer(linger_ms=60000) as producer:
            core = producer._core
            deal = core._deal

            def fails(taken: Any, partition_ids: Any) -> Any:
                core._deal = deal
                raise MemoryError("none left")

            core._deal = fails
            bad = producer.produce(b"bad")
            producer.flush(10)
            assert isinstance(bad.error, ProduceFailureError) and "none left" in str(bad.error)
            assert producer.produce(b"after").result(10).offset == 0
            assert producer._core._held_bytes == 0


def test_a_codec_that_the_broker_is_too_old_for_is_an_error_at_once() -> None:
    with fake_broker(caps={"Produce": 6}) as broker, KafkaClient(broker.hosts) as client:
        log = Log(broker)
        topic = client.topics["t"]
        with topic.get_producer(compression=CompressionType.ZSTD) as modern, topic.get_producer() as plain:
            refused_one, good = modern.produce(b"x"), plain.produce(b"y")
            with pytest.raises(UnsupportedVersion, match="use another codec"):
                refused_one.result(10)
            good.result(10)
        assert log.written == {0: [b"y"]}


@pytest.mark.parametrize(("version", "most"), [(4, 1), (5, 3)], ids=["Kafka 0.11", "Kafka 1.0"])
def test_a_broker_that_remembers_only_the_last_batch_is_sent_one_at_a_time(version: int, most: int) -> None:
    with fake_broker(caps={"Produce": version}) as broker, KafkaClient(broker.hosts) as client:
        log = Log(broker)
        with client.topics["t"].get_producer(linger_ms=0) as producer:
            producer.produce(b"first").result(10)
            log.gate.clear()
            for number in range(3):
                producer.produce(b"%d" % number)
                producer._core.settle_partitions()  # so that each gets a batch of its own
            in_flight = on_io_thread(client, lambda: len(producer._core.accumulator._queues[0].in_flight))
            assert in_flight == most
            log.gate.set()
        assert log.written == {0: [b"first", b"0", b"1", b"2"]}


# -- metadata ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{}, {"partitioner": HashingPartitioner()}], ids=["in turn", "by key"])
def test_messages_wait_while_no_partition_is_known_and_leave_in_order_when_there_is_one(options: dict[str, Any]) -> None:
    with fake_broker() as broker, KafkaClient(broker.hosts) as client:
        log = Log(broker)
        topic = client.topics["t"]
        end = without_topics(broker)
        client.update_cluster()
        with topic.get_producer(linger_ms=0, **options) as producer:
            made = []
            for number in range(3):
                made.append(producer.produce(b"%d" % number, b"key"))
                until(lambda: producer._core.accumulator.has_unplaced and not producer._core.queued, what="a collection")
            assert producer._core.outstanding == 3
            end()
            assert [message.result(10).offset for message in made] == [0, 1, 2]
        assert log.written == {0: [b"0", b"1", b"2"]}
        assert producer._core._held_bytes == 0


def test_messages_for_which_no_partition_ever_appears_expire() -> None:
    with fake_broker() as broker, KafkaClient(broker.hosts) as client:
        topic = client.topics["t"]
        without_topics(broker)
        client.update_cluster()
        with topic.get_producer(delivery_timeout_ms=200) as producer:
            with pytest.raises(DeliveryTimeout) as caught:
                producer.produce(b"x").result(10)
            assert not caught.value.possibly_written


def test_messages_that_expire_before_there_is_a_connection_were_not_written_and_never_will_be() -> None:
    with fake_broker() as broker, KafkaClient(broker.hosts) as client:
        log = Log(broker)
        with client.topics["t"].get_producer(delivery_timeout_ms=1000) as producer:
            gate = hesitant_versions(broker)
            message = producer.produce(b"late")
            with pytest.raises(DeliveryTimeout, match="it was not written") as caught:
                message.result(20)
            assert not caught.value.possibly_written
            gate.set()
            until(lambda: not list(producer._core.accumulator.active), what="the end of the old batch")
            producer.produce(b"in time").result(20)
        assert log.written == {0: [b"in time"]}


def test_what_is_given_up_at_stop_before_there_is_a_connection_is_never_written() -> None:
    with fake_broker() as broker, KafkaClient(broker.hosts) as client:
        log = Log(broker)
        producer = client.topics["t"].get_producer(pending_timeout_ms=200, linger_ms=0)
        gate = hesitant_versions(broker)
        message = producer.produce(b"given up")
        with pytest.raises(ProduceFailureError, match="1 message was not acknowledged"):
            producer.stop()
        assert isinstance(message.error, ProducerStoppedException)
        assert not getattr(message.error, "possibly_written", False)
        gate.set()
        with client.topics["t"].get_producer() as successor:  # over the same connection, so after it
            successor.produce(b"after").result(20)
        assert log.written == {0: [b"after"]}


def test_an_answer_is_understood_although_the_topic_was_forgotten_meanwhile() -> None:
    with fake_broker() as broker, KafkaClient(broker.hosts) as client:
        log = Log(broker)
        log.gate.clear()
        with client.topics["t"].get_producer(required_acks=1, linger_ms=0) as producer:
            message = producer.produce(b"once")
            until(lambda: broker.seen("Produce"), what="the request")
            without_topics(broker)
            client.update_cluster()
            log.gate.set()
            message.result(10)
        assert log.written == {0: [b"once"]}


# -- stopping, starting, dropping -------------------------------------------------------------------------------------


def test_stop_that_was_interrupted_is_finished_by_the_next_one(monkeypatch: pytest.MonkeyPatch) -> None:
    with fake_broker() as broker, KafkaClient(broker.hosts) as client:
        Log(broker)
        producer = client.topics["t"].get_producer(linger_ms=60000)
        made = producer.produce_many([b"x"] * 10)

        def interrupted(deadline: Any) -> None:
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(producer._core, "flush", interrupted)
            with pytest.raises(KeyboardInterrupt):
                producer.stop()
        with pytest.raises(ProducerStoppedException):
            producer.produce(b"no more")
        producer.stop()
        assert [message.offset for message in made] == list(range(10))
        assert client.cluster.engine.sender.cores == []


def test_a_producer_started_again_while_it_stops_goes_on() -> None:
    with fake_broker() as broker, KafkaClient(broker.hosts) as client:
        log = Log(broker)
        log.gate.clear()
        producer = client.topics["t"].get_producer()
        first = producer.produce(b"1")
        old = producer._core
        stopping = threading.Thread(target=producer.stop)
        stopping.start()
        until(lambda: not producer._running, what="stop() to have begun")
        producer.start()
        log.gate.set()
        stopping.join(10)
        assert first.done and old.closed
        assert producer.produce(b"2").result(10).offset == 1
        producer.stop()


def test_a_producer_of_a_closed_client_does_not_start_and_says_so() -> None:
    with fake_broker() as broker:
        client = KafkaClient(broker.hosts)
        producer = client.topics["t"].get_producer(auto_start=False)
        client.close()
        with pytest.raises(KafkaException, match="closed"):
            producer.start()
        assert "stopped" in repr(producer)


def test_what_a_dropped_producer_had_queued_is_sent_and_then_nothing_of_it_is_left() -> None:
    with fake_broker() as broker, KafkaClient(broker.hosts) as client:
        log = Log(broker)
        producer: Any = client.topics["t"].get_producer(linger_ms=60000)
        message = producer.produce(b"x")
        with pytest.warns(ResourceWarning, match="never stopped"):
            del producer
            gc.collect()
        until(lambda: message.done and not client.cluster.engine.sender.cores, what="the end of the producer")
        assert log.written == {0: [b"x"]}
        until(lambda: not client.cluster.engine._refresh._uses, what="the topic to be given back")


def test_raising_one_error_again_and_again_does_not_make_it_grow() -> None:
    with fake_broker() as broker, KafkaClient(broker.hosts) as client:
        broker.scripts["Produce"] = refused
        with client.topics["t"].get_producer() as producer:
            message = producer.produce(b"x")
            for _ in range(20):
                with pytest.raises(TopicAuthorizationFailed):
                    message.result(10)
            assert message.error is not None
            assert len(traceback.extract_tb(message.error.__traceback__)) < 5


def test_a_producer_that_could_not_send_for_want_of_rights_can_once_it_has_them() -> None:
    answers = [31, 0]

    def init(request: Any, version: int) -> Any:
        return response_of(type(request))(error_code=answers.pop(0), producer_id=7, producer_epoch=0)  # type: ignore[call-arg]

    with fake_broker() as broker, KafkaClient(broker.hosts) as client:
        Log(broker)
        broker.scripts["InitProducerId"] = init
        with client.topics["t"].get_producer() as producer:
            with pytest.raises(ClusterAuthorizationFailed):
                producer.produce(b"x").result(10)
            with pytest.raises(ClusterAuthorizationFailed):
                producer._raise_worker_exceptions()
            producer.produce(b"y").result(10)
            producer._raise_worker_exceptions()
