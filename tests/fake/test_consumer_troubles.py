"""What a consumer does when offsets vanish, coordinators hang, users interfere and deserializers fail."""

from __future__ import annotations

import gc
import os
import threading
import weakref
from contextlib import suppress
from itertools import islice
from typing import Any, Callable, Optional

import mock
import pytest

from pykafka import KafkaClient, SimpleConsumer, reader
from pykafka._machines import turns
from pykafka.common import TopicPartition
from pykafka.exceptions import (
    ClusterAuthorizationFailed,
    ConsumerStoppedException,
    ForkedError,
    KafkaException,
    OperationTimedOut,
    TopicAuthorizationFailed,
    UnsupportedVersion,
)
from pykafka.protocol.messages import FetchResponse, ListOffsetsResponse

from ..support import until
from .broker import FakeBroker, fake_broker
from .scripts import interrupting
from .test_offsets import committed
from .test_offsets import fetched as found_committed
from .test_produce_and_fetch import fetched, stored

OUT_OF_RANGE = 1


def numbers(first: int, count: int) -> bytes:
    """Return a batch of messages that have their offsets for values."""
    return bytes(stored(first, [b"%d" % offset for offset in range(first, first + count)]))


def listed(offset: int, error: int = 0) -> ListOffsetsResponse:
    """Return an answer to ListOffsets for partition 0."""
    row = ListOffsetsResponse.ListOffsetsPartitionResponse(partition_index=0, offset=offset, error_code=error)
    return ListOffsetsResponse(topics=[ListOffsetsResponse.ListOffsetsTopicResponse(name="t", partitions=[row])])


def script(broker: FakeBroker, log: dict[int, Any], start: int = 0, reset: Optional[Callable[[], Any]] = None) -> None:
    """Have ``broker`` keep a group at ``start`` and answer Fetch from ``log``: offset -> records, an error code, or silence."""

    def fetch(request: Any, version: int) -> Any:
        answer = log.get(request.topics[0].partitions[0].fetch_offset)
        return fetched(b"", answer) if isinstance(answer, int) else None if answer is None else fetched(answer)

    broker.scripts["Fetch"] = fetch
    broker.scripts["OffsetFetch"] = lambda request, version: found_committed(start)
    broker.scripts["OffsetCommit"] = lambda request, version: committed()
    if reset is not None:
        broker.scripts["ListOffsets"] = lambda request, version: reset()


def commits(broker: FakeBroker) -> list[int]:
    """Return the offsets committed, in order."""
    return [row.committed_offset for request in broker.seen("OffsetCommit") for row in request.topics[0].partitions]


# -- offsets that are not in the log ----------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["seek", "restart"])
def test_a_late_reset_of_an_offset_out_of_range_gives_way_to_what_the_user_did_meanwhile(how: str) -> None:
    gate, starts = threading.Event(), [1000, 50]
    with fake_broker() as broker:
        script(broker, {1000: OUT_OF_RANGE, 50: numbers(50, 10), 200: numbers(200, 5)}, reset=lambda: listed(200))
        broker.scripts["OffsetFetch"] = lambda request, version: found_committed(starts.pop(0))
        with KafkaClient(broker.hosts) as client:
            topic = client.topics["t"]
            consumer = topic.get_simple_consumer("g", auto_start=False, consumer_timeout_ms=700)
            client.cluster.engine.offsets_worker.submit(gate.wait, 20)  # another consumer's slow commit
            consumer.start()
            until(lambda: broker.seen("Fetch"), what="the fetch that is out of range")
            fetch = consumer._core._fetches[topic.partitions[0].tp]  # type: ignore[union-attr]
            until(lambda: fetch.position is None, what="the answer to it")
            if how == "seek":
                consumer.seek(topic.partitions[0], 50)
            else:
                consumer.stop()
                consumer.start()
            gate.set()
            assert [message.offset for message in consumer] == list(range(50, 60))
            assert commits(broker) == []
            consumer.stop()


def test_an_offset_out_of_range_is_looked_up_again_after_a_passing_error() -> None:
    answers = [listed(-1, 6), listed(-1, 6), listed(0)]
    with fake_broker() as broker:
        script(broker, {1000: OUT_OF_RANGE, 0: numbers(0, 5)}, 1000, lambda: answers.pop(0) if len(answers) > 1 else answers[0])
        options = {"offsets_commit_max_retries": 0, "consumer_timeout_ms": 5000}
        with KafkaClient(broker.hosts) as client, client.topics["t"].get_simple_consumer("g", **options) as consumer:
            first = consumer.consume()
            assert first is not None and first.offset == 0


def test_an_offset_that_cannot_be_looked_up_is_an_error_on_every_call_until_the_user_moves_on() -> None:
    with fake_broker() as broker:
        script(broker, {1000: OUT_OF_RANGE, 7: numbers(7, 1)}, 1000, lambda: listed(-1, 29))
        with KafkaClient(broker.hosts) as client:
            topic = client.topics["t"]
            with topic.get_simple_consumer("g", consumer_timeout_ms=5000) as consumer:
                for _ in range(3):
                    with pytest.raises(TopicAuthorizationFailed):
                        consumer.consume()
                consumer.seek(topic.partitions[0], 7)
                moved = consumer.consume()
                assert moved is not None and moved.offset == 7


def test_going_on_elsewhere_is_committed_only_when_everything_before_it_is_delivered() -> None:
    with fake_broker() as broker:
        script(broker, {0: numbers(0, 10), 10: OUT_OF_RANGE, 500: numbers(500, 1)}, 0, lambda: listed(500))
        options = {"consumer_timeout_ms": 5000}
        with KafkaClient(broker.hosts) as client, client.topics["t"].get_simple_consumer("g", **options) as consumer:
            first = consumer.consume()
            assert first is not None and first.offset == 0
            until(lambda: len(broker.seen("Fetch")) >= 3, what="the fetch from the new place")
            assert commits(broker) == []
            assert [consumer.consume().offset for _ in range(10)] == [*range(1, 10), 500]  # type: ignore[union-attr]
            until(lambda: commits(broker) == [500], what="the commit of the new place")


# -- errors of fetches ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("caps", "answer", "error"),
    [({"Fetch": 3}, None, UnsupportedVersion), ({}, FetchResponse(error_code=31, responses=[]), ClusterAuthorizationFailed)],
    ids=["no common version", "refused"],
)
def test_a_fetch_that_can_never_work_is_an_error_and_not_silence(caps: Any, answer: Any, error: type[Exception]) -> None:
    with fake_broker(caps=caps) as broker:
        broker.scripts["Fetch"] = lambda request, version: answer
        with KafkaClient(broker.hosts) as client, client.topics["t"].get_simple_consumer(consumer_timeout_ms=5000) as consumer:
            for _ in range(2):
                with pytest.raises(error):
                    consumer.consume()


def test_a_broker_that_fails_for_a_reason_it_cannot_name_is_asked_again() -> None:
    answers: list[Any] = [fetched(b"", -1), fetched(b"", -1), fetched(numbers(0, 1))]
    with fake_broker() as broker:
        broker.scripts["Fetch"] = lambda request, version: answers.pop(0) if answers else None
        with KafkaClient(broker.hosts) as client, client.topics["t"].get_simple_consumer(consumer_timeout_ms=5000) as consumer:
            assert consumer.consume() is not None


def test_an_answer_that_leads_nowhere_is_not_asked_for_again_at_once() -> None:
    with fake_broker() as broker:
        cut_off = numbers(0, 5)[:70]
        broker.scripts["Fetch"] = lambda request, version: fetched(cut_off)
        with KafkaClient(broker.hosts) as client, client.topics["t"].get_simple_consumer(consumer_timeout_ms=300) as consumer:
            assert consumer.consume() is None
            assert len(broker.seen("Fetch")) < 30


# -- commits ----------------------------------------------------------------------------------------------------------


def test_the_retry_of_an_old_commit_never_undoes_a_newer_one() -> None:
    first = threading.Event()

    def answer(request: Any, version: int) -> Any:
        if not first.is_set():
            first.set()
            return committed(14)
        return committed()

    with fake_broker() as broker:
        script(broker, {0: numbers(0, 10)})
        broker.scripts["OffsetCommit"] = answer
        options = {"auto_commit_enable": True, "auto_commit_interval_ms": 50, "consumer_timeout_ms": 5000}
        with KafkaClient(broker.hosts) as client, client.topics["t"].get_simple_consumer("g", **options) as consumer:
            for _ in range(3):
                consumer.consume()
            assert first.wait(20)
            for _ in range(7):
                consumer.consume()
            consumer.stop()
            assert commits(broker) == sorted(commits(broker))
            assert commits(broker)[-1] == 10


def test_a_consumer_that_delivered_nothing_does_not_undo_what_somebody_else_committed() -> None:
    with fake_broker() as broker:
        script(broker, {}, start=5)
        options = {"auto_commit_enable": True, "auto_commit_interval_ms": 20}
        with KafkaClient(broker.hosts) as client, client.topics["t"].get_simple_consumer("g", **options):
            until(lambda: len(broker.seen("Fetch")) >= 1, what="a fetch")
        assert commits(broker) == []


def test_offsets_that_do_not_move_are_committed_again_before_brokers_forget_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pykafka.commits.RECOMMIT_S", 0.0)
    with fake_broker() as broker:
        script(broker, {}, start=5)
        options = {"auto_commit_enable": True, "auto_commit_interval_ms": 20}
        with KafkaClient(broker.hosts) as client, client.topics["t"].get_simple_consumer("g", **options):
            until(lambda: commits(broker)[:2] == [5, 5], what="two commits of the same offset")


def test_a_coordinator_that_hangs_is_given_up_in_time_for_another_try() -> None:
    answers: list[Any] = [None, found_committed(5)]
    with fake_broker() as broker:
        script(broker, {})
        broker.scripts["OffsetFetch"] = lambda request, version: answers.pop(0)
        with KafkaClient(broker.hosts, offsets_channel_socket_timeout_ms=300) as client:
            topic = client.topics["t"]
            with topic.get_simple_consumer("g", offsets_commit_max_retries=3, offsets_channel_backoff_ms=1000) as consumer:
                assert consumer.position(topic.partitions[0]) == 5


def test_without_retries_offsets_are_asked_for_once() -> None:
    with fake_broker() as broker:
        script(broker, {})
        broker.scripts["OffsetFetch"] = lambda request, version: found_committed(group_error=14)
        with KafkaClient(broker.hosts) as client:
            with pytest.raises(KafkaException):
                client.topics["t"].get_simple_consumer("g", offsets_commit_max_retries=0)
            assert len(broker.seen("OffsetFetch")) == 1


def test_any_number_of_retries_is_a_number_and_not_a_loop() -> None:
    with fake_broker() as broker:
        script(broker, {}, start=3)
        options = {"offsets_commit_max_retries": 2**31 - 1}
        with KafkaClient(broker.hosts) as client, client.topics["t"].get_simple_consumer("g", **options) as consumer:
            assert consumer.held_offsets == {0: 2}


def test_a_commit_waits_for_another_one_within_bounds() -> None:
    gate = threading.Event()

    def answer(request: Any, version: int) -> Any:
        gate.wait(20)
        return committed()

    with fake_broker() as broker:
        script(broker, {})
        broker.scripts["OffsetCommit"] = answer
        options = {"offsets_commit_max_retries": 0}
        with KafkaClient(broker.hosts, offsets_channel_socket_timeout_ms=1000) as client:
            topic = client.topics["t"]
            with topic.get_simple_consumer("g", **options) as consumer:
                pair = [(topic.partitions[0], 1)]
                taken, over = threading.Event(), threading.Event()

                def commit_for_long() -> None:
                    taken.set()
                    over.wait(20)

                other = threading.Thread(target=consumer._commits._in_turn, args=(commit_for_long,))
                other.start()
                taken.wait(20)
                with pytest.raises(OperationTimedOut, match="another thread's commit"):
                    consumer.commit_offsets(pair)
                over.set()
                other.join(20)
                gate.set()
                consumer.commit_offsets(pair)
        assert commits(broker) == [1]


# -- what users do ----------------------------------------------------------------------------------------------------


def test_a_deserializer_that_fails_loses_no_message_but_its_own() -> None:
    def picky(value: Any, key: Any) -> Any:
        if value == b"3":
            raise ValueError("three")
        return value, key

    with fake_broker() as broker:
        script(broker, {0: numbers(0, 6)})
        options: dict[str, Any] = {"consumer_timeout_ms": 5000, "deserializer": picky}
        with KafkaClient(broker.hosts) as client, client.topics["t"].get_simple_consumer(**options) as consumer:
            assert [message.offset for message in consumer.consume_batch()] == [0, 1, 2]
            with pytest.raises(ValueError, match="three"):
                consumer.consume_batch()
            assert [message.offset for message in consumer.consume_batch()] == [4, 5]


def test_partitions_of_another_topic_are_refused_although_their_numbers_fit() -> None:
    with fake_broker() as broker, KafkaClient(broker.hosts) as client:
        script(broker, {})
        topic = client.topics["t"]
        other = type(topic.partitions[0])(type(topic)(client.cluster, b"u"), 0, None, [], [])
        with topic.get_simple_consumer("g") as consumer:
            calls: list[Callable[[], Any]] = [
                lambda: consumer.seek(other, 1),
                lambda: consumer.pause([other]),
                lambda: consumer.position(other),
                lambda: consumer.commit_offsets([(other, 7)]),
                lambda: consumer.reset_offsets([(other, 7)]),
                lambda: topic.get_simple_consumer(partitions=[other]),
            ]
            for call in calls:
                with pytest.raises(KafkaException, match="u/0"):
                    call()
            assert commits(broker) == []


@pytest.mark.parametrize("partitions", [5, [0, 1], [None], "t"])
def test_partitions_that_are_none_are_named(partitions: Any) -> None:
    with fake_broker() as broker, KafkaClient(broker.hosts) as client, pytest.raises(TypeError, match="partitions must be"):
        client.topics["t"].get_simple_consumer(partitions=partitions)


def test_offsets_that_cannot_be_are_refused_and_nothing_moves() -> None:
    with fake_broker() as broker, KafkaClient(broker.hosts) as client:
        script(broker, {}, start=5)
        topic = client.topics["t"]
        part = topic.partitions[0]
        with topic.get_simple_consumer("g") as consumer:
            calls: list[Callable[[], Any]] = [
                lambda: consumer.seek(part, -1),
                lambda: consumer.seek(part, 2**63),
                lambda: consumer.seek(part, True),
                lambda: consumer.commit_offsets([(part, -1)]),
                lambda: consumer.commit_offsets([(part, 5.9)]),  # type: ignore[list-item]
                lambda: consumer.commit_offsets([part]),  # type: ignore[list-item]
                lambda: consumer.reset_offsets([(part, -7)]),
                lambda: consumer.reset_offsets([(part, 2**63 - 1)]),
                lambda: consumer.reset_offsets([(part, "5")]),  # type: ignore[list-item]
                lambda: consumer.reset_offsets([(part, 1.5)]),  # type: ignore[list-item]
                lambda: consumer.consume_batch(0),
                lambda: consumer.consume_batch(1.5),  # type: ignore[arg-type]
                lambda: consumer.consume_batch(1, timeout_ms=float("nan")),  # type: ignore[arg-type]
            ]
            for call in calls:
                with pytest.raises((TypeError, ValueError)):
                    call()
            assert consumer.position(part) == 5
            assert commits(broker) == []


def test_a_dict_of_partitions_is_as_good_as_pairs() -> None:
    with fake_broker() as broker, KafkaClient(broker.hosts) as client:
        script(broker, {})
        topic = client.topics["t"]
        with topic.get_simple_consumer("g") as consumer:
            consumer.commit_offsets({topic.partitions[0]: 9})
        assert commits(broker) == [9]


def test_offsets_can_be_fetched_and_shown_before_the_start() -> None:
    with fake_broker() as broker, KafkaClient(broker.hosts) as client:
        script(broker, {}, start=69)
        consumer = client.topics["t"].get_simple_consumer("g", auto_start=False)
        assert consumer.held_offsets == {0: -2}
        with pytest.raises(ConsumerStoppedException):
            consumer.commit_offsets()
        ((_number, row),) = consumer.fetch_offsets()
        assert row.offset == 69
        assert consumer.held_offsets == {0: 68}


def test_without_a_group_stopping_and_starting_goes_on_where_it_was() -> None:
    with fake_broker() as broker, KafkaClient(broker.hosts) as client:
        script(broker, dict.fromkeys(range(5), numbers(0, 5)))
        with client.topics["t"].get_simple_consumer(consumer_timeout_ms=5000) as consumer:
            assert [one.offset for one in consumer.consume_batch(2)] == [0, 1]
            consumer.stop()
            # PyKafka's usage guide: what to do about a SocketDisconnectedError
            consumer.start()
            assert [one.offset for one in islice(consumer, 3)] == [2, 3, 4]


def test_a_consumer_that_resets_on_start_does_so_on_every_start() -> None:
    with fake_broker() as broker, KafkaClient(broker.hosts) as client:
        script(broker, dict.fromkeys(range(5), numbers(0, 5)))
        with client.topics["t"].get_simple_consumer(reset_offset_on_start=True, consumer_timeout_ms=5000) as consumer:
            assert len(consumer.consume_batch(2)) == 2
            consumer.stop()
            consumer.start()
            assert consumer.consume().offset == 0  # type: ignore[union-attr]


def test_offsets_can_be_reset_before_the_start_with_and_without_a_group() -> None:
    with fake_broker() as broker, KafkaClient(broker.hosts) as client:
        script(broker, dict.fromkeys(range(5), numbers(0, 5)))
        topic = client.topics["t"]
        consumer = topic.get_simple_consumer(auto_start=False, consumer_timeout_ms=5000)
        consumer.reset_offsets([(topic.partitions[0], 2)])
        assert consumer.held_offsets == {0: 2}
        with consumer:
            assert consumer.consume().offset == 3  # type: ignore[union-attr]
        topic.get_simple_consumer("g", auto_start=False).reset_offsets([(topic.partitions[0], 2)])
        assert commits(broker) == [3]


class Counting(SimpleConsumer):
    """As people derive from the consumer, to see every message."""

    seen = 0

    def consume(self, block: bool = True, unblock_event: Any = None) -> Any:
        self.seen += 1
        return super().consume(block, unblock_event)


def test_another_consume_in_the_place_of_ours_sees_every_message_of_a_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    with fake_broker() as broker, KafkaClient(broker.hosts) as client:
        script(broker, {0: numbers(0, 5)})
        with Counting(client.topics["t"], client.cluster, consumer_timeout_ms=5000) as consumer:
            assert [one.offset for one in islice(consumer, 5)] == [0, 1, 2, 3, 4] and consumer.seen == 5
        ours, traced = SimpleConsumer.consume, []
        # what tracing tools do
        monkeypatch.setattr(SimpleConsumer, "consume", lambda self, *args: traced.append(ours(self, *args)) or traced[-1])
        with client.topics["t"].get_simple_consumer(consumer_timeout_ms=5000) as consumer:
            assert list(islice(consumer, 5)) == traced and len(traced) == 5
        monkeypatch.undo()
        with client.topics["t"].get_simple_consumer(consumer_timeout_ms=5000) as consumer:
            monkeypatch.setattr(consumer, "consume", mock.Mock(wraps=consumer.consume))
            assert len(list(islice(consumer, 5))) == consumer.consume.call_count == 5  # type: ignore[attr-defined]


def test_stopping_in_the_middle_of_stopping_is_harmless() -> None:
    with fake_broker() as broker, KafkaClient(broker.hosts) as client:
        script(broker, {})
        consumer = client.topics["t"].get_simple_consumer("g")
        # what a signal handler does when it interrupts a stop()
        consumer._put_back_turn = consumer.stop  # type: ignore[method-assign]
        thread = threading.Thread(target=consumer.stop, daemon=True)
        thread.start()
        thread.join(20)
        assert not thread.is_alive()


def test_pykafkas_private_view_of_partitions_is_still_there() -> None:
    with fake_broker() as broker, KafkaClient(broker.hosts) as client:
        script(broker, {0: numbers(0, 4)})
        topic = client.topics["t"]
        with topic.get_simple_consumer(consumer_timeout_ms=5000) as consumer:
            consumer.consume()
            until(lambda: consumer._partitions[topic.partitions[0]].last_offset_consumed == 0, what="the position")
            owned = consumer._partitions[topic.partitions[0]]
            assert (owned.next_offset, owned.message_count) == (1, 0)


def test_a_consumer_id_may_be_text_and_is_stored_with_the_commit() -> None:
    with fake_broker() as broker, KafkaClient(broker.hosts) as client:
        script(broker, {})
        topic = client.topics["t"]
        with topic.get_simple_consumer("g", consumer_id="me") as consumer:
            consumer.commit_offsets([(topic.partitions[0], 1)])
        (request,) = broker.seen("OffsetCommit")
        assert '"consumer_id": "me"' in request.topics[0].partitions[0].committed_metadata


def test_looking_for_a_message_never_waits_for_another_threads_start() -> None:
    gate, asked = threading.Event(), threading.Event()

    def slow(request: Any, version: int) -> Any:
        asked.set()
        gate.wait(20)
        return found_committed(0)

    with fake_broker() as broker, KafkaClient(broker.hosts) as client:
        script(broker, {})
        consumer = client.topics["t"].get_simple_consumer("g", auto_start=False)
        broker.scripts["OffsetFetch"] = slow
        thread = threading.Thread(target=consumer.start)
        thread.start()
        assert asked.wait(20)
        with pytest.raises(ConsumerStoppedException):
            consumer.consume(block=False)
        gate.set()
        thread.join(20)
        consumer.stop()


def test_what_was_fetched_is_let_go_at_stop() -> None:
    with fake_broker() as broker, KafkaClient(broker.hosts) as client:
        script(broker, {0: numbers(0, 1000)})
        consumer = client.topics["t"].get_simple_consumer("g", auto_commit_enable=True, consumer_timeout_ms=5000)
        consumer.consume()
        core = weakref.ref(consumer._core)  # type: ignore[arg-type]
        consumer.stop()
        assert consumer.held_offsets == {0: 0}
        until(lambda: gc.collect() is not None and core() is None, what="the end of the fetching half")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_in_a_forked_child_a_consumer_raises_and_gives_none_of_the_parents_messages() -> None:
    with fake_broker() as broker, KafkaClient(broker.hosts) as client:
        script(broker, {0: numbers(0, 4)})
        with client.topics["t"].get_simple_consumer(consumer_timeout_ms=5000) as consumer:
            first = consumer.consume()
            assert first is not None and first.offset == 0
            child = os.fork()
            if child == 0:
                status = 1
                try:
                    consumer.consume()
                except ForkedError:
                    status = 0
                finally:
                    os._exit(status)
            assert os.waitpid(child, 0)[1] == 0
            assert [consumer.consume().offset for _ in range(3)] == [1, 2, 3]  # type: ignore[union-attr]


# -- signal handlers --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("restarts", [False, True])
@pytest.mark.parametrize("where", ["refill", "deal", "end"])
def test_a_stop_in_the_middle_of_consume_delivers_nothing_more_and_loses_nothing(
    where: str, restarts: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    with fake_broker() as broker:
        script(broker, {0: numbers(0, 20), 3: numbers(3, 17)})
        with KafkaClient(broker.hosts) as client:
            consumer = client.topics["t"].get_simple_consumer(consumer_timeout_ms=500)

            def handle() -> None:
                consumer.stop()
                if restarts:
                    consumer.start()

            if where == "end":  # what seek() and pause() do first, and consume() at the end of a turn
                got = [consumer.consume() for _ in range(3)]
                interrupting(monkeypatch, turns.Turn, "end", handle)
                with suppress(ConsumerStoppedException):
                    consumer.pause([])
            else:
                place = turns.PartitionBuffer if where == "refill" else reader
                got = []
                until(lambda: consumer._core.parcels[TopicPartition("t", 0)], what="messages")  # type: ignore[union-attr]
                interrupting(monkeypatch, place, where, handle)
                if not restarts:
                    with pytest.raises(ConsumerStoppedException):
                        consumer.consume()
            consumer.start()
            got += list(consumer)
            assert [message.offset for message in got if message] == list(range(20))
            consumer.stop()


def test_a_stop_in_the_middle_of_start_is_done_at_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    with fake_broker() as broker:
        script(broker, {})
        with KafkaClient(broker.hosts) as client:
            options = {"auto_start": False, "auto_commit_enable": True}
            consumer = client.topics["t"].get_simple_consumer("g", **options)
            for place, name in [(consumer._offsets, "start"), (consumer, "_begin"), (consumer, "_start_auto_commits")]:
                with monkeypatch.context() as patch:
                    interrupting(patch, place, name, consumer.stop)
                    consumer.start()
                with pytest.raises(ConsumerStoppedException):
                    consumer.consume()
                assert consumer._auto_commits is None
            consumer.start()
            assert consumer.consume(block=False) is None
            consumer.stop()


@pytest.mark.parametrize("how", ["seek", "reset_offsets", "stop", "seek elsewhere"])
def test_a_deserializers_error_is_forgotten_with_the_position_it_is_about(how: str) -> None:
    def picky(value: Any, key: Any) -> Any:
        return int(value), key

    with fake_broker(partitions=2) as broker:
        script(broker, {0: stored(0, [b"0", b"?"]), 7: numbers(7, 1)})
        options: dict[str, Any] = {"consumer_timeout_ms": 5000, "deserializer": picky}
        with KafkaClient(broker.hosts) as client:
            topic = client.topics["t"]
            with topic.get_simple_consumer(**options) as consumer:
                assert [message.value for message in consumer.consume_batch()] == [0]
                if how == "seek":
                    consumer.seek(topic.partitions[0], 7)
                elif how == "reset_offsets":
                    consumer.reset_offsets([(topic.partitions[0], 6)])
                elif how == "stop":
                    consumer.stop()
                    consumer._parked[TopicPartition("t", 0)] = 7
                    consumer.start()
                else:
                    consumer.seek(topic.partitions[1], 7)
                    with pytest.raises(ValueError, match=r"\?"):
                        consumer.consume()
                    return
                message = consumer.consume()
                assert message is not None and message.value == 7
