"""Logs as compaction, transactions, clocks and buggy producers leave them: what is seen of them, and where reading goes on."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from typing import Any, NamedTuple, Optional

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pykafka import KafkaClient
from pykafka._machines.fetched import read_records
from pykafka.common import TopicPartition
from pykafka.exceptions import DeliveryTimeout, OperationTimedOut
from pykafka.protocol import Message
from pykafka.protocol.messages import FetchResponse
from pykafka.records.batch import CONTROL, LOG_APPEND_TIME, TRANSACTIONAL
from pykafka.records.decode import ABORT, COMMIT, decode_batch
from pykafka.records.encode import plain_records
from pykafka.testing import FakeCluster

from ..fake.broker import fake_broker
from ..unit.machines.making import ROOMY, accumulator, add, send, values_of
from ..unit.records.making import wrapped

TP = TopicPartition("t", 0)
FIRST, SECOND, NOBODY = 101, 102, 999
LAST_TIME = 2**63 - 1


def data(offset: int, producer_id: int = -1, values: tuple[bytes, ...] = (b"v", b"w"), **header: Any) -> bytes:
    """Return a batch; with a producer id it is part of a transaction."""
    attributes = header.pop("attributes", 0) | (TRANSACTIONAL if producer_id >= 0 else 0)
    stamps = header.pop("stamps", [1000] * len(values))
    body = b"".join(plain_records(list(values), None, None, stamps))
    header.setdefault("base_timestamp", stamps[0] if stamps else 1000)
    return wrapped(body, len(values), base_offset=offset, attributes=attributes, producer_id=producer_id, **header)


def control(offset: int, producer_id: int, *kinds: int) -> bytes:
    """Return a control batch with a marker for each of ``kinds``: there is never more than one, so no one knows what two mean."""
    keys: list[Optional[bytes]] = [b"\0\0" + kind.to_bytes(2, "big") for kind in kinds]
    body = b"".join(plain_records([bytes(6)] * len(kinds), keys, None, [1000] * len(kinds)))
    return wrapped(body, len(kinds), base_offset=offset, attributes=TRANSACTIONAL | CONTROL, producer_id=producer_id)


def seen(records: bytes, aborted: list[tuple[int, int]], position: int = 0) -> tuple[list[int], int]:
    """Return the offsets of the messages that a consumer of committed ones is given, and where it goes on."""
    found = read_records(TP, position, records, aborted)
    assert found.corrupt is None
    offsets = [offset for batch in found.visible for offset in decode_batch(batch, "t", 0, ROOMY).offsets]
    return [offset for offset in offsets if offset >= position], found.next_position


# -- transactions -----------------------------------------------------------------------------------------------------

LOG = (
    *(data(0, FIRST), data(2, SECOND), control(4, FIRST, ABORT), data(5, FIRST), control(7, SECOND, COMMIT)),
    *(control(8, FIRST, COMMIT), data(9, SECOND), control(11, SECOND, ABORT), data(12)),
)
ABORTED = [(FIRST, 0), (SECOND, 9)]


@pytest.mark.parametrize(
    "aborted",
    [
        ABORTED,
        ABORTED[::-1],
        ABORTED * 3,
        [*ABORTED, (NOBODY, 0), (NOBODY, 3), (-1, 0)],
        [(NOBODY, 2**63 - 1), *ABORTED[::-1], (SECOND, 9), (NOBODY, -(2**63))],
    ],
    ids=["as it is", "unsorted", "three times", "with unknown producers", "all of it"],
)
def test_the_list_of_aborted_transactions_means_the_same_however_it_is_written(aborted: list[tuple[int, int]]) -> None:
    assert seen(b"".join(LOG), aborted) == ([2, 3, 5, 6, 12, 13], 14)


def test_an_abort_marker_that_is_there_twice_ends_nothing_the_second_time() -> None:
    log = [data(0, FIRST), control(2, FIRST, ABORT), control(3, FIRST, ABORT), data(4, FIRST), control(6, FIRST, COMMIT)]
    assert seen(b"".join(log), [(FIRST, 0)]) == ([4, 5], 7)


def test_a_marker_of_a_producer_without_a_transaction_changes_nothing() -> None:
    log = [data(0, FIRST), control(2, NOBODY, ABORT), data(3, FIRST), control(5, NOBODY, COMMIT), control(6, FIRST, ABORT)]
    assert seen(b"".join(log), [(FIRST, 0)]) == ([], 7)


@pytest.mark.parametrize(("kinds", "visible"), [((ABORT, COMMIT), [4, 5]), ((COMMIT, ABORT), [])])
def test_of_two_markers_in_one_batch_the_first_counts(kinds: tuple[int, int], visible: list[int]) -> None:
    log = [data(0, FIRST), control(2, FIRST, *kinds), data(4, FIRST)]
    assert seen(b"".join(log), [(FIRST, 0)]) == (visible, 6)


class Step(NamedTuple):
    """One batch of a random log: ``kinds`` is None for messages, else those of a control batch."""

    producer_id: int
    kinds: Optional[tuple[int, ...]]
    gap: int


def _as_java(log: list[tuple[int, int, Step]], aborted: list[tuple[int, int]]) -> Iterator[int]:
    """Yield the first offsets of visible batches by the rules of Kafka's own consumer, told anew; rows: first, last, step."""
    begun = [(first, producer) for producer, first in aborted]
    heapq.heapify(begun)
    ongoing: set[int] = set()
    for first, last, step in log:
        while begun and begun[0][0] <= last:
            ongoing.add(heapq.heappop(begun)[1])
        if step.kinds and step.kinds[0] == ABORT:
            ongoing.discard(step.producer_id)
        elif step.kinds is None and step.producer_id not in ongoing:
            yield first


PRODUCERS = st.sampled_from([FIRST, SECOND, 103])
MARKERS = st.none() | st.none() | st.sampled_from([(ABORT,), (COMMIT,), (ABORT, COMMIT), (COMMIT, ABORT), (5,)])
STEPS = st.lists(st.builds(Step, PRODUCERS, MARKERS, st.sampled_from([0, 0, 1, 7])), max_size=14)


@settings(max_examples=600, deadline=None, database=None, derandomize=True)
@given(STEPS, st.lists(st.tuples(PRODUCERS | st.just(NOBODY), st.integers(-1, 60)), max_size=8))
def test_whatever_log_and_list_are_what_is_seen_is_what_javas_rules_say(
    steps: list[Step], aborted: list[tuple[int, int]]
) -> None:
    offset, records, log = 0, b"", []
    for step in steps:
        offset += step.gap
        batch = data(offset, step.producer_id) if step.kinds is None else control(offset, step.producer_id, *step.kinds)
        count = 2 if step.kinds is None else len(step.kinds)
        log.append((offset, offset + count - 1, step))
        records += batch
        offset += count
    found = read_records(TP, 0, records, aborted)
    assert found.corrupt is None
    assert [batch.base_offset for batch in found.visible] == list(_as_java(log, aborted))
    assert found.next_position == (offset if steps else 0)


# -- gaps, empty batches, clocks --------------------------------------------------------------------------------------


def empty(offset: int, last_delta: int, **header: Any) -> bytes:
    """Return a batch of which compaction has left nothing but the header, which spans the offsets all the same."""
    return data(offset, values=(), last_delta=last_delta, **header)


def test_the_position_moves_past_gaps_and_empty_batches_up_to_the_end() -> None:
    log = [data(3), empty(10, 4), data(20, last_delta=9), empty(40, 59)]
    assert seen(b"".join(log), []) == ([3, 4, 20, 21], 100)


@pytest.mark.parametrize("position", [*range(101)])
def test_whatever_offset_is_asked_for_nothing_before_it_is_seen_and_the_end_is_reached(position: int) -> None:
    log = b"".join([data(3), empty(10, 4), data(20, last_delta=9), empty(40, 59)])
    offsets = [offset for offset in (3, 4, 20, 21) if offset >= position]
    assert seen(log, [], position) == (offsets, 100)


def test_an_answer_of_nothing_but_empty_batches_moves_the_position() -> None:
    assert seen(empty(0, 0) + empty(1, 999), []) == ([], 1001)


@pytest.mark.parametrize("stamps", [[-1, -1], [0, LAST_TIME], [LAST_TIME, LAST_TIME], [-(2**63), -1], [LAST_TIME, 0]])
def test_times_at_both_ends_of_the_range_are_what_they_are(stamps: list[int]) -> None:
    (batch,) = read_records(TP, 0, data(0, stamps=stamps), []).visible
    assert decode_batch(batch, "t", 0, ROOMY).timestamps == stamps


def test_a_time_beyond_the_range_is_one_that_no_calendar_has() -> None:
    made = data(0, stamps=[0, 1], base_timestamp=LAST_TIME)
    (batch,) = read_records(TP, 0, made, []).visible
    (one, other) = decode_batch(batch, "t", 0, ROOMY).timestamps
    assert one == LAST_TIME and Message(b"v", timestamp=LAST_TIME).timestamp_dt is None
    assert other in (LAST_TIME + 1, -(2**63))


@pytest.mark.parametrize("time", [-1, 0, LAST_TIME, -(2**63)])
def test_the_time_of_appending_is_that_of_every_message(time: int) -> None:
    (batch,) = read_records(TP, 0, data(0, attributes=LOG_APPEND_TIME, max_timestamp=time), []).visible
    assert decode_batch(batch, "t", 0, ROOMY).timestamps == [time, time]


def test_a_consumer_reads_such_a_log_from_end_to_end() -> None:
    log = [
        data(3, values=(b"a",), stamps=[-1]),
        data(4, values=(b"b",), stamps=[LAST_TIME]),
        empty(10, 4),
        data(20, values=(b"c",), last_delta=9, attributes=LOG_APPEND_TIME, max_timestamp=77),
        data(30, FIRST, values=(b"aborted",)),
        control(31, FIRST, ABORT),
        control(32, FIRST, ABORT),
        empty(40, 59),
    ]
    asked: list[int] = []

    def answer(request: Any, version: int) -> Any:
        offsets = [part.fetch_offset for topic in request.topics for part in topic.partitions]
        asked.extend(offsets)
        if not offsets or offsets[0] >= 100:
            return None
        gone = [FetchResponse.AbortedTransaction(producer_id=pid, first_offset=at) for pid, at in ((NOBODY, 99), (FIRST, 30))]
        row = FetchResponse.PartitionData(partition_index=0, high_watermark=100, records=b"".join(log))
        row.aborted_transactions = gone * 2
        return FetchResponse(responses=[FetchResponse.FetchableTopicResponse(topic_id=b"T" * 16, partitions=[row])])

    with fake_broker() as broker, KafkaClient(broker.hosts) as client:
        broker.scripts["Fetch"] = answer
        topic = client.topics["t"]
        with topic.get_simple_consumer(consumer_timeout_ms=300) as consumer:
            found = list(consumer)
            assert [(one.offset, one.value, one.timestamp) for one in found] == [
                (3, b"a", -1),
                (4, b"b", LAST_TIME),
                (20, b"c", 77),
            ]
            # neither time is one that a calendar has
            assert [one.timestamp_dt for one in found[:2]] == [None, None]
            assert consumer.position(topic.partitions[0]) == 100
    assert set(asked) == {0, 100}


# -- buffers ----------------------------------------------------------------------------------------------------------


def test_no_byte_of_one_topic_gets_into_a_batch_of_another_when_batches_expire_on_their_way() -> None:
    """Two topics, 100,000 messages: batches expire while the socket still has them, and others are made meanwhile."""
    machines = {"a": accumulator(), "b": accumulator()}
    on_their_way: list[tuple[str, Any, memoryview, bytes]] = []
    now, number = 0.0, 0
    for _round in range(200):
        for name, machine in machines.items():
            values = [f"{name}-{number + at}" for at in range(250)]
            number += 250
            add(machine, *values, now=now)
            batch = send(machine, now=now)
            assert values_of(batch) == values
            # what a socket that is full keeps
            on_their_way.append((name, batch, memoryview(batch.data), bytes(batch.data)))
        now += 121.0
        for name, batch, _view, _copy in on_their_way[-2:]:
            (outcome,) = machines[name].expire(now)
            assert isinstance(outcome.error, DeliveryTimeout) and batch.expired
        for name, batch, _view, _copy in on_their_way[-2:]:
            # the connection is given up, its socket may have the bytes for a while yet
            assert machines[name].on_no_answer(batch, OperationTimedOut("late"), True, now) == []
        now += 1.0
    assert number == 100_000
    assert len({id(batch.data) for _name, batch, _view, _copy in on_their_way}) == len(on_their_way)
    for name, _batch, view, copy in on_their_way:
        assert view == copy
        other = b"b-" if name == "a" else b"a-"
        assert other not in copy[61:]


def test_no_records_at_all_and_no_list_of_aborted_transactions_mean_nothing_new() -> None:
    # in place of the empty ones that Kafka sends; both may be null by the protocol
    nothing: list[int] = []

    def null_at_first(request: Any, version: int) -> Any:
        if len(nothing) >= 3 or not request.topics:
            return None
        nothing.append(request.topics[0].partitions[0].fetch_offset)
        row = FetchResponse.PartitionData(partition_index=0, high_watermark=2, records=None, aborted_transactions=None)
        topic = FetchResponse.FetchableTopicResponse(
            topic=request.topics[0].topic, topic_id=request.topics[0].topic_id, partitions=[row]
        )
        return FetchResponse(responses=[topic])

    with FakeCluster(topics={"t": 1}) as cluster, KafkaClient(cluster.hosts) as client:
        cluster.produce("t", [b"a", b"b"])
        cluster.on("Fetch", null_at_first)
        with client.topics["t"].get_simple_consumer(consumer_timeout_ms=10000) as consumer:
            assert [consumer.consume().value for _ in range(2)] == [b"a", b"b"]
    assert nothing == [0, 0, 0], "asked again from where it was"
