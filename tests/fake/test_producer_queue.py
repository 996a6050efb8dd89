"""A producer's queue: who waits for room, who is let in first, and what produce_many() and partitioners make of it."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest

from pykafka import KafkaClient
from pykafka._engine import producing
from pykafka.exceptions import (
    KafkaException,
    MessageSizeTooLarge,
    ProducerQueueFullError,
)
from pykafka.partitioners import HashingPartitioner

from ..support import until
from .broker import fake_broker
from .scripts import Log, on_io_thread

# -- waiting ----------------------------------------------------------------------------------------------------------


def test_on_the_io_thread_nothing_waits_for_itself() -> None:
    with fake_broker() as broker, KafkaClient(broker.hosts) as client:
        log = Log(broker)
        log.gate.clear()
        with client.topics["t"].get_producer(max_queued_messages=2) as producer:
            waiting = [producer.produce(b"x"), producer.produce(b"y")]
            assert isinstance(on_io_thread(client, lambda: producer.produce(b"z")), ProducerQueueFullError)
            for step in (producer.flush, producer.stop, waiting[0].result):
                error = on_io_thread(client, step)
                assert isinstance(error, KafkaException) and "I/O thread" in str(error)
            log.gate.set()
            producer.stop()
            assert all(message.done for message in waiting)


def test_two_threads_may_wait_for_one_message(monkeypatch: pytest.MonkeyPatch) -> None:
    with fake_broker() as broker, KafkaClient(broker.hosts) as client:
        log = Log(broker)
        log.gate.clear()
        with client.topics["t"].get_producer() as producer:
            message = producer.produce(b"x")
            core = producer._core
            released, go_on = threading.Event(), threading.Event()
            wake = producing.wake_waiting

            def late(woken: Any) -> None:
                released.set()
                go_on.wait(20)
                wake(woken)

            monkeypatch.setattr(producing, "wake_waiting", late)
            first = threading.Thread(target=message.result, args=(20,), daemon=True)
            first.start()
            until(lambda: message._fates.waiting, what="the first waiter")
            log.gate.set()
            assert released.wait(20)
            # decided, but the first waiter was not told yet: the second finds the outcome, and leaves the first its turn
            core.wait_for(message, 20)
            go_on.set()
            first.join(20)
            assert not first.is_alive()


def test_who_needs_much_room_is_not_starved_by_many_who_need_little() -> None:
    with fake_broker() as broker, KafkaClient(broker.hosts) as client:
        log = Log(broker)
        with client.topics["t"].get_producer(max_queued_bytes=200_000) as producer:
            over = threading.Event()

            def little() -> None:
                while not over.is_set():
                    producer.produce(b"x" * 1000)

            threads = [threading.Thread(target=little, daemon=True) for _ in range(2)]
            for thread in threads:
                thread.start()
            try:
                until(lambda: len(producer._core._line), what="a full queue")
                began = time.monotonic()
                producer.produce(b"much" * 30_000)
                assert time.monotonic() - began < 20
            finally:
                over.set()
            for thread in threads:
                thread.join(20)
        assert b"much" * 30_000 in log.written[0]


def test_asking_a_full_queue_again_and_again_does_not_flood_the_io_thread() -> None:
    with fake_broker() as broker, KafkaClient(broker.hosts) as client:
        log = Log(broker)
        loop = client.cluster.engine.loop
        busy = threading.Event()
        with client.topics["t"].get_producer(max_queued_messages=5, block_on_queue_full=False) as producer:
            loop.call_soon(busy.wait, 20)
            for _ in range(5):
                producer.produce(b"x")
            for _ in range(100):
                with pytest.raises(ProducerQueueFullError):
                    producer.produce(b"x")
            assert len(loop._mailbox) < 10
            busy.set()
        assert log.written == {0: [b"x"] * 5}


def test_rows_that_arrive_during_every_collection_do_not_nest_collections() -> None:
    with fake_broker() as broker, KafkaClient(broker.hosts) as client:
        log = Log(broker)
        with client.topics["t"].get_producer(linger_ms=0) as producer:
            core = producer._core
            deal, left = core._deal, [2000]

            def more(taken: Any, partition_ids: Any) -> Any:
                if left[0]:
                    left[0] -= 1
                    producer.produce(b"more")
                return deal(taken, partition_ids)

            core._deal = more
            producer.produce(b"first")
            until(lambda: len(log.written.get(0, [])) == 2001, what="every message")


def test_ctrl_c_while_the_io_thread_is_woken_does_not_leave_the_queue_asleep(monkeypatch: pytest.MonkeyPatch) -> None:
    with fake_broker() as broker, KafkaClient(broker.hosts) as client:
        log = Log(broker)

        def interrupted(*args: Any) -> None:
            raise KeyboardInterrupt

        with client.topics["t"].get_producer() as producer:
            with monkeypatch.context() as patch:
                patch.setattr(client.cluster.engine.loop, "call_soon", interrupted)
                with pytest.raises(KeyboardInterrupt):
                    producer.produce(b"first")
            second = producer.produce(b"second")
            # nobody waits for it with result(), which would wake the queue in another way
            until(lambda: second.done, timeout_s=10, what="the acknowledgement")
        assert log.written == {0: [b"first", b"second"]}


# -- produce_many and partitioners ------------------------------------------------------------------------------------


Options = dict[str, Any]


@pytest.mark.parametrize(
    "options", [{}, {"delivery_reports": True}, {"sync": True}, {"partitioner": lambda parts, key: parts[0]}]
)
def test_produce_many_queues_nothing_when_one_of_them_is_wrong(options: Options) -> None:
    with fake_broker() as broker, KafkaClient(broker.hosts) as client:
        log = Log(broker)
        with client.topics["t"].get_producer(linger_ms=60000, max_request_size=5000, **options) as producer:
            with pytest.raises(TypeError, match="not str"):
                producer.produce_many([b"1", b"2", "3"])
            with pytest.raises(TypeError, match="partition_key"):
                producer.produce_many([b"1"], partition_key="key")
            with pytest.raises(MessageSizeTooLarge):
                producer.produce_many([b"1", b"2" * 5001])
            assert producer._core.outstanding == 0 and list(producer.produce_many([])) == []
            made = producer.produce_many([b"1", None, b"3"], partition_key=b"key")
            producer.flush(10)
            assert [message.offset for message in made] == [0, 1, 2]
        assert log.written == {0: [b"1", b"", b"3"]}


def test_produce_many_serializes_every_message_and_a_sync_one_waits_for_all() -> None:
    with fake_broker() as broker, KafkaClient(broker.hosts) as client:
        log = Log(broker)
        topic = client.topics["t"]
        with topic.get_producer(serializer=lambda value, key: (str(value).encode(), b"k"), sync=True) as producer:
            made = producer.produce_many([1, 2, 3])
            assert all(message.done and message.partition_key == b"k" for message in made)
        assert log.written == {0: [b"1", b"2", b"3"]}
        assert len(broker.seen("Produce")) == 1


def test_produce_many_keeps_to_the_bound_in_bytes() -> None:
    with fake_broker() as broker, KafkaClient(broker.hosts) as client:
        log = Log(broker)
        log.gate.clear()
        with client.topics["t"].get_producer(max_queued_bytes=100_000) as producer:
            thread = threading.Thread(target=producer.produce_many, args=([b"x" * 1000] * 500,), daemon=True)
            thread.start()
            until(lambda: len(producer._core._line), what="a full queue")
            assert producer._core.outstanding <= 100
            log.gate.set()
            thread.join(20)
        assert len(log.written[0]) == 500


def test_produce_many_of_more_than_the_queue_can_ever_hold_is_refused_when_it_is_not_to_block() -> None:
    with fake_broker() as broker, KafkaClient(broker.hosts) as client:
        Log(broker)
        with client.topics["t"].get_producer(max_queued_bytes=100_000, block_on_queue_full=False) as producer:
            with pytest.raises(ProducerQueueFullError):
                producer.produce_many([b"x" * 1000] * 500)
            assert producer._core.outstanding == 0
            producer.produce(b"x" * 200_000).result(10)


def test_a_subclass_of_the_hashing_partitioner_chooses_for_itself() -> None:
    class Third(HashingPartitioner):
        def __call__(self, partitions: Any, key: Any = None) -> Any:
            return sorted(partitions)[2]

    with fake_broker(partitions=4) as broker, KafkaClient(broker.hosts) as client:
        log = Log(broker)
        with client.topics["t"].get_producer(partitioner=Third()) as producer:
            producer.produce(b"with a key", b"key")
            producer.produce(b"without")
        assert log.written == {2: [b"with a key", b"without"]}
