"""What a producer and a consumer do when answers are lost, late, wrong or corrupt."""

from __future__ import annotations

import queue
import struct
import threading
from typing import Any

import pytest

from pykafka import KafkaClient
from pykafka.exceptions import (
    CorruptBatchError,
    DeliveryTimeout,
    MessageSizeTooLarge,
    OperationTimedOut,
    ProduceFailureError,
    ProducerQueueFullError,
    ProducerStoppedException,
    TopicAuthorizationFailed,
)
from pykafka.protocol.messages import FetchResponse, ListOffsetsResponse, ProduceResponse
from pykafka.records.batch import HEADER, split_batches
from pykafka.records.decode import decode_batch
from pykafka.records.encode import encode_batch

from ..support import until, values
from .broker import DROP, FakeBroker, fake_broker
from .scripts import Log


def produced(offset: int = 0, error: int = 0, message: Any = None) -> ProduceResponse:
    """Return an answer to Produce for partition 0."""
    row = ProduceResponse.PartitionProduceResponse(index=0, error_code=error, base_offset=offset, error_message=message)
    return ProduceResponse(responses=[ProduceResponse.TopicProduceResponse(topic_id=b"T" * 16, partition_responses=[row])])


def batches_of(request: Any) -> list[Any]:
    """Return the batches of a Produce request."""
    return split_batches(request.topic_data[0].partition_data[0].records, "t", 0)


def stored(offset: int, messages: list[bytes]) -> bytearray:
    """Return a batch as a broker stores it, at ``offset``."""
    data = encode_batch(messages, None, None, [1700000000000] * len(messages))
    struct.pack_into(">q", data, 0, offset)
    return data


def fetched(records: bytes, error: int = 0) -> FetchResponse:
    """Return an answer to Fetch for partition 0."""
    row = FetchResponse.PartitionData(partition_index=0, error_code=error, high_watermark=100, records=records)
    return FetchResponse(responses=[FetchResponse.FetchableTopicResponse(topic_id=b"T" * 16, partitions=[row])])


def serve(broker: FakeBroker, log: dict[int, bytes]) -> None:
    """Have ``broker`` answer Fetch from ``log`` (offset asked for -> records), and be silent about other offsets."""

    def answer(request: Any, version: int) -> Any:
        records = log.get(request.topics[0].partitions[0].fetch_offset)
        return None if records is None else fetched(bytes(records))

    broker.scripts["Fetch"] = answer


def test_an_answer_that_is_lost_leads_to_the_same_batch_again_with_the_same_sequence() -> None:
    answers: list[Any] = [DROP, produced(10)]
    with fake_broker() as broker, KafkaClient(broker.hosts) as client:
        broker.scripts["Produce"] = lambda request, version: answers.pop(0)
        with client.topics["t"].get_producer() as producer:
            message = producer.produce(b"once")
            assert message.result(10).offset == 10
        first, second = (batches_of(request)[0] for request in broker.seen("Produce"))
        assert (first.producer_id, first.producer_epoch, first.base_sequence) == (7, 0, 0)
        assert bytes(first.data) == bytes(second.data)


def test_a_duplicate_that_the_broker_recognises_is_a_success_without_an_offset() -> None:
    answers: list[Any] = [DROP, produced(-1, error=46)]
    with fake_broker() as broker, KafkaClient(broker.hosts) as client:
        broker.scripts["Produce"] = lambda request, version: answers.pop(0)
        with client.topics["t"].get_producer() as producer:
            message = producer.produce(b"once").result(10)
            assert message.done and message.error is None and message.offset == -1


def test_what_cannot_be_delivered_is_an_error_that_says_whether_it_may_have_been_written() -> None:
    with fake_broker() as broker, KafkaClient(broker.hosts) as client:
        broker.scripts["Produce"] = lambda request, version: DROP
        producer = client.topics["t"].get_producer(delivery_timeout_ms=300, retry_backoff_ms=20)
        with pytest.raises(DeliveryTimeout) as caught:
            producer.produce(b"never").result(10)
        assert caught.value.possibly_written is True
        producer.stop()


def test_a_refusal_is_raised_by_result_reported_and_given_to_the_callback() -> None:
    seen: list[Any] = []
    with fake_broker() as broker, KafkaClient(broker.hosts) as client:
        broker.scripts["Produce"] = lambda request, version: produced(-1, error=29, message="not you")
        producer = client.topics["t"].get_producer(delivery_reports=True)
        message = producer.produce(
            b"no", on_delivery=lambda message, error: seen.append((message, error, threading.current_thread().name))
        )
        with pytest.raises(TopicAuthorizationFailed, match="not you"):
            message.result(10)
        reported, error = producer.get_delivery_report(timeout=10)
        assert reported == message and isinstance(error, TopicAuthorizationFailed)
        until(lambda: seen, what="the callback")
        assert seen[0][0] == message and seen[0][1] is error and seen[0][2] == "pykafka-callbacks-t"
        producer.stop()


def test_a_sync_producer_never_has_a_report_and_says_so_at_once() -> None:
    with fake_broker() as broker, KafkaClient(broker.hosts) as client:
        broker.scripts["Produce"] = lambda request, version: produced(0)
        with client.topics["t"].get_sync_producer(delivery_reports=True) as producer:
            producer.produce(b"x")
            with pytest.raises(queue.Empty):
                producer.get_delivery_report()


def test_after_a_batch_that_failed_the_next_ones_get_a_new_epoch_and_start_at_sequence_0() -> None:
    answers: list[Any] = [produced(-1, error=29), produced(0)]
    with fake_broker() as broker, KafkaClient(broker.hosts) as client:
        broker.scripts["Produce"] = lambda request, version: answers.pop(0)
        with client.topics["t"].get_producer() as producer:
            with pytest.raises(TopicAuthorizationFailed):
                producer.produce(b"refused").result(10)
            producer.produce(b"accepted").result(10)
        last = batches_of(broker.seen("Produce")[-1])[0]
        assert (last.producer_epoch, last.base_sequence) == (1, 0)


def test_a_batch_that_is_too_large_for_the_topic_is_halved_until_it_fits() -> None:
    written: list[bytes] = []

    def answer(request: Any, version: int) -> Any:
        (batch,) = batches_of(request)
        if batch.records_count > 2:
            return produced(-1, error=10)
        offset = len(written)
        written.extend(value or b"" for value in decode_batch(batch, "t", 0, 2**20).values)
        return produced(offset)

    with fake_broker() as broker, KafkaClient(broker.hosts) as client:
        broker.scripts["Produce"] = answer
        with client.topics["t"].get_producer(linger_ms=50) as producer:
            messages = producer.produce_many([b"%d" % number for number in range(7)])
            producer.flush(10)
        assert written == [b"%d" % number for number in range(7)]
        assert [message.offset for message in messages] == list(range(7))


def test_a_full_queue_raises_at_once_when_it_is_not_to_block() -> None:
    with fake_broker() as broker, KafkaClient(broker.hosts) as client:
        broker.scripts["Produce"] = lambda request, version: None
        producer = client.topics["t"].get_producer(block_on_queue_full=False, max_queued_messages=10, pending_timeout_ms=100)
        with pytest.raises(ProducerQueueFullError, match="max_queued_messages=10"):
            for _ in range(11):
                producer.produce(b"x")
        with pytest.raises(ProduceFailureError, match="10 messages"):
            producer.stop()


def test_a_full_queue_blocks_until_there_is_room() -> None:
    gate = threading.Event()
    with fake_broker() as broker, KafkaClient(broker.hosts) as client:

        def answer(request: Any, version: int) -> Any:
            gate.wait(20)
            return produced(0)

        broker.scripts["Produce"] = answer
        with client.topics["t"].get_producer(max_queued_messages=5) as producer:
            done = threading.Event()

            def work() -> None:
                for _ in range(8):
                    producer.produce(b"x")
                done.set()

            threading.Thread(target=work, daemon=True).start()
            until(lambda: producer._core.outstanding >= 5, what="five queued messages")
            assert not done.wait(0.2)
            gate.set()
            assert done.wait(20)


def test_bytes_bound_the_queue_as_well_as_messages() -> None:
    with fake_broker() as broker, KafkaClient(broker.hosts) as client:
        broker.scripts["Produce"] = lambda request, version: None
        producer = client.topics["t"].get_producer(block_on_queue_full=False, max_queued_bytes=10000, pending_timeout_ms=50)
        with pytest.raises(ProducerQueueFullError, match="max_queued_bytes=10000"):
            for _ in range(100):
                producer.produce(b"x" * 1000)
        with pytest.raises(ProduceFailureError):
            producer.stop()


def test_flush_that_runs_out_of_time_says_how_many_are_undecided() -> None:
    with fake_broker() as broker, KafkaClient(broker.hosts) as client:
        broker.scripts["Produce"] = lambda request, version: None
        producer = client.topics["t"].get_producer(pending_timeout_ms=50)
        for _ in range(3):
            producer.produce(b"x")
        with pytest.raises(OperationTimedOut, match="3 messages"):
            producer.flush(0.2)
        with pytest.raises(ProduceFailureError, match="3 messages"):
            producer.stop()


def test_a_message_larger_than_max_request_size_is_refused_before_it_is_queued() -> None:
    with (
        fake_broker() as broker,
        KafkaClient(broker.hosts) as client,
        client.topics["t"].get_producer(max_request_size=5000) as producer,
    ):
        with pytest.raises(MessageSizeTooLarge, match="5001 bytes.*max_request_size=5000"):
            producer.produce(b"x" * 5001)
        with pytest.raises(MessageSizeTooLarge, match="5001 bytes"):
            producer.produce(b"x" * 4990, b"key", headers=[("name", b"1234")])
        with pytest.raises(MessageSizeTooLarge, match="5001 bytes"):
            producer.produce_many([b"small", b"x" * 4998], b"key")
        assert broker.seen("Produce") == []


def test_a_message_of_exactly_max_request_size_is_sent() -> None:
    with (
        fake_broker() as broker,
        KafkaClient(broker.hosts) as client,
        client.topics["t"].get_producer(max_request_size=5000) as producer,
    ):
        log = Log(broker)
        producer.produce(b"x" * 5000).result(10)
        producer.produce(b"y" * 4985, b"key", headers=[("name", b"12345"), ("", None)]).result(10)
        assert [message.result(10).offset for message in producer.produce_many([b"z" * 4997, None], b"key")] == [2, 3]
        assert [len(value) for value in log.written[0]] == [5000, 4985, 4997, 0]


# -- fetching ---------------------------------------------------------------------------------------------------------


def test_a_corrupt_batch_is_an_error_with_topic_partition_and_offset_and_nothing_is_skipped() -> None:
    bad = stored(2, [b"c", b"d"])
    bad[-2] ^= 1
    with fake_broker() as broker, KafkaClient(broker.hosts) as client:
        serve(broker, {0: stored(0, [b"a", b"b"]) + bad + stored(4, [b"e"]), 4: stored(4, [b"e"])})
        topic = client.topics["t"]
        with topic.get_simple_consumer(consumer_timeout_ms=10000) as consumer:
            assert [consumer.consume().value, consumer.consume().value] == [b"a", b"b"]  # type: ignore[union-attr]
            for _ in range(2):  # it stays where it is until it is told to go on
                with pytest.raises(CorruptBatchError) as caught:
                    consumer.consume()
                assert (caught.value.topic, caught.value.partition, caught.value.offset) == ("t", 0, 2)
            assert consumer.position(topic.partitions[0]) == 2
            consumer.seek(topic.partitions[0], 4)
            assert consumer.consume().value == b"e"  # type: ignore[union-attr]


def test_a_batch_with_an_impossible_header_is_an_error_after_the_good_ones() -> None:
    bad = stored(2, [b"c"])
    bad[HEADER.size - 1] = 99  # a hundred records in one offset
    with fake_broker() as broker, KafkaClient(broker.hosts) as client:
        serve(broker, {0: stored(0, [b"a", b"b"]) + bad})
        with client.topics["t"].get_simple_consumer(consumer_timeout_ms=10000) as consumer:
            assert values(consumer.consume_batch(2)) == [b"a", b"b"]
            with pytest.raises(CorruptBatchError, match="t/0 at offset 2"):
                consumer.consume()


def test_a_batch_cut_off_at_the_end_is_fetched_again_whole() -> None:
    whole = stored(2, [b"c"])
    with fake_broker() as broker, KafkaClient(broker.hosts) as client:
        serve(broker, {0: stored(0, [b"a", b"b"]) + whole[:-5], 2: whole})
        with client.topics["t"].get_simple_consumer(consumer_timeout_ms=10000) as consumer:
            assert [consumer.consume().value for _ in range(3)] == [b"a", b"b", b"c"]  # type: ignore[union-attr]


def test_a_fetch_that_begins_before_the_position_delivers_from_the_position_on() -> None:
    with fake_broker() as broker, KafkaClient(broker.hosts) as client:
        serve(broker, {2: stored(0, [b"a", b"b", b"c", b"d"])})
        topic = client.topics["t"]
        with topic.get_simple_consumer(consumer_timeout_ms=10000, auto_start=True) as consumer:
            consumer.seek(topic.partitions[0], 2)
            assert [consumer.consume().value for _ in range(2)] == [b"c", b"d"]  # type: ignore[union-attr]


def test_an_offset_out_of_range_goes_to_auto_offset_reset() -> None:
    row = ListOffsetsResponse.ListOffsetsPartitionResponse(partition_index=0, offset=50)
    limits = ListOffsetsResponse(topics=[ListOffsetsResponse.ListOffsetsTopicResponse(name="t", partitions=[row])])
    with fake_broker() as broker, KafkaClient(broker.hosts) as client:

        def answer(request: Any, version: int) -> Any:
            offset = request.topics[0].partitions[0].fetch_offset
            if offset == 3:
                return fetched(b"", error=1)
            return fetched(bytes(stored(50, [b"later"]))) if offset == 50 else None

        broker.scripts["Fetch"] = answer
        topic = client.topics["t"]
        with topic.get_simple_consumer(consumer_timeout_ms=10000) as consumer:
            broker.scripts["ListOffsets"] = lambda request, version: limits
            consumer.seek(topic.partitions[0], 3)
            message = consumer.consume()
            assert message is not None and (message.offset, message.value) == (50, b"later")


def test_a_fetch_error_that_passes_is_not_shown_and_one_that_stays_is() -> None:
    answers: list[Any] = [fetched(b"", error=6), DROP, fetched(bytes(stored(0, [b"a"]))), fetched(b"", error=29)]
    with fake_broker() as broker, KafkaClient(broker.hosts) as client:
        broker.scripts["Fetch"] = lambda request, version: answers.pop(0) if answers else None
        with client.topics["t"].get_simple_consumer(consumer_timeout_ms=10000) as consumer:
            assert consumer.consume().value == b"a"  # type: ignore[union-attr]
            with pytest.raises(TopicAuthorizationFailed):
                consumer.consume()


def test_slow_callbacks_slow_the_producer_down_and_flush_waits_for_them() -> None:
    gate = threading.Event()
    called: list[Any] = []

    def on_delivery(message: Any, error: Any) -> None:
        gate.wait(20)
        called.append(message)

    with fake_broker() as broker, KafkaClient(broker.hosts) as client:
        broker.scripts["Produce"] = lambda request, version: produced(0)
        with client.topics["t"].get_producer(max_queued_messages=5, block_on_queue_full=False) as producer:
            messages = [producer.produce(b"x", on_delivery=on_delivery) for _ in range(5)]
            until(lambda: all(message.done for message in messages), what="the acknowledgements")
            # acknowledged, but their callbacks have not run: they still count, or a slow callback would eat all memory
            with pytest.raises(ProducerQueueFullError):
                producer.produce(b"x")
            gate.set()
            producer.flush(20)
            assert called == messages


def test_a_callback_may_produce_even_when_the_queue_is_full() -> None:
    with fake_broker() as broker, KafkaClient(broker.hosts) as client:
        broker.scripts["Produce"] = lambda request, version: produced(0)
        with client.topics["t"].get_producer(max_queued_messages=2) as producer:
            again: list[Any] = []
            for _ in range(10):
                producer.produce(b"x", on_delivery=lambda message, error: again.append(producer.produce(b"again")))
            until(lambda: len(again) == 10 and all(message.done for message in again), what="ten more messages")


def test_produce_many_queues_all_or_nothing_when_it_is_not_to_block() -> None:
    with fake_broker() as broker, KafkaClient(broker.hosts) as client:
        broker.scripts["Produce"] = lambda request, version: produced(0)
        with client.topics["t"].get_producer(max_queued_messages=100, block_on_queue_full=False, linger_ms=60000) as producer:
            producer.produce(b"x")
            with pytest.raises(ProducerQueueFullError):
                producer.produce_many([b"x"] * 100)
            assert producer._core.outstanding == 1
            assert len(producer.produce_many([b"x"] * 99)) == 99


def test_a_message_that_arrives_while_the_producer_stops_still_has_an_outcome() -> None:
    with fake_broker() as broker, KafkaClient(broker.hosts) as client:
        broker.scripts["Produce"] = lambda request, version: produced(0)
        producer = client.topics["t"].get_producer()
        core = producer._core
        producer.stop()
        # what a produce() in another thread does that looked whether the producer runs, and has room, just before it stopped
        producer._running = True
        core.row_limit = 1
        late = producer.produce(b"late")
        producer._running = False
        with pytest.raises(ProducerStoppedException):
            late.result(10)
        assert core.outstanding == 0


def test_a_paused_partition_with_messages_waiting_does_not_keep_the_processor_busy() -> None:
    with fake_broker() as broker, KafkaClient(broker.hosts) as client:
        serve(broker, {0: stored(0, [b"a"])})
        topic = client.topics["t"]
        with topic.get_simple_consumer(consumer_timeout_ms=400) as consumer:
            consumer.pause(topic.partitions.values())
            until(lambda: any(consumer._core.parcels.values()), what="a fetched batch")  # type: ignore[union-attr]
            before = consumer._turn
            assert consumer.consume() is None
            turns = []
            original = consumer._look
            consumer._look = lambda: turns.append(1) or original()  # type: ignore[method-assign,func-returns-value]
            assert consumer.consume() is None
            assert before is not None and len(turns) <= 5
            consumer.resume(topic.partitions.values())
            assert consumer.consume().value == b"a"  # type: ignore[union-attr]


@pytest.mark.parametrize(("size", "let_run"), [(1, True), (50_000, False)])
def test_whoever_waits_for_a_few_messages_goes_on_before_more_are_asked_for(
    size: int, let_run: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    happened: list[Any] = []
    monkeypatch.setattr("pykafka._engine.fetching.let_others_run", lambda: happened.append("others run"))
    waiting = threading.Event()
    with fake_broker() as broker, KafkaClient(broker.hosts) as client:

        def answer(request: Any, version: int) -> Any:
            offset = request.topics[0].partitions[0].fetch_offset
            happened.append(offset)
            return fetched(bytes(stored(0, [b"v" * size]))) if offset == 0 and waiting.wait(10) else None

        broker.scripts["Fetch"] = answer
        with client.topics["t"].get_simple_consumer(consumer_timeout_ms=10000) as consumer:
            core = consumer._core
            assert core is not None
            watcher = threading.Thread(target=lambda: (until(lambda: len(core.arrived) > 0, what="a waiter"), waiting.set()))
            watcher.start()
            assert consumer.consume() is not None
            watcher.join()
            until(lambda: 1 in happened, what="the next fetch")
            assert len(core.arrived) == 0
    assert happened == ([0, "others run", 1] if let_run else [0, 1])
