"""The quick way through produce() does what the whole of it does, only quicker."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest

from pykafka import KafkaClient
from pykafka.partitioners import murmur2_partitioner
from pykafka.producer import Producer
from pykafka.records.queued import EXTRA, KEY, TIMESTAMP, VALUE

from .broker import fake_broker
from .scripts import Log


def callback(message: Any, error: Any) -> None:
    """Be called."""


def other_callback(message: Any, error: Any) -> None:
    """Be called as well."""


class OwnBytes(bytes):
    """Bytes of somebody's own, which are refused."""


CONTENTS = [None, b"", b"abc", b"x" * 1000, b"x" * 1025, OwnBytes(b"x"), "text", 5]
CALLS = {
    "message": CONTENTS,
    "partition_key": CONTENTS,
    "timestamp": [None, 5, -1, "yesterday"],
    "headers": [None, [], [("h", b"v")], [("h", 5)]],
    "on_delivery": [None, callback, other_callback, 5],
}


def outcome(producer: Producer, call: dict[str, Any]) -> Any:
    """Return what is queued, or the error."""
    before = producer._core.queued, producer._core.room
    try:
        message = producer.produce(**call)
        refused = message.error  # too large, which a callback is told
    except Exception as error:
        refused = error
    if refused is not None:
        assert (producer._core.queued, producer._core.room) == before
        return type(refused), str(refused)
    assert producer._core.segment.rows[-1] is message._row
    row = message._row
    stamp = row[TIMESTAMP] if call.get("timestamp") is not None else "now"
    spent = before[1] - producer._core.room, producer._core.queued - before[0]
    return row[VALUE], row[KEY], stamp, row[EXTRA], spent, message.on_delivery, message.headers


@pytest.mark.parametrize("options", [{}, {"partitioner": murmur2_partitioner}], ids=["in turn", "by key"])
def test_the_quick_way_does_what_the_whole_of_it_does(options: dict[str, Any]) -> None:
    with fake_broker() as broker, KafkaClient(broker.hosts) as client:
        Log(broker)
        topic = client.topics["t"]
        options = {"linger_ms": 600000, "max_request_size": 1024, "max_queued_bytes": 2**30, **options}
        with topic.get_producer(**options) as quick, topic.get_producer(**options) as whole:
            quick._core.full_at = whole._core.full_at = 10**9
            for producer in (quick, whole):
                producer.produce(b"first", b"key", on_delivery=callback)
            whole._quick = whole._quick_keyed = False
            long_ways: list[Any] = []
            entire = quick._produce_any
            quick._produce_any = lambda *given: (long_ways.append(given), entire(*given))[1]  # type: ignore[method-assign]
            calls = [dict(zip(CALLS, values)) for values in product(*CALLS.values())]
            for call in calls:
                assert outcome(quick, call) == outcome(whole, call), call
            # three values without a key and eight pairs that fit into max_request_size: with nothing else, the usual callback, or
            # headers
            assert len(calls) - len(long_ways) == 3 * (8 if "partitioner" in options else 3 + 8)


def test_every_message_has_its_own_callback_called_whichever_is_the_usual_one_and_after_a_restart_too() -> None:
    called: list[tuple[str, Any]] = []

    def one(message: Any, error: Any) -> None:
        called.append(("one", message.value))

    def other(message: Any, error: Any) -> None:
        called.append(("other", message.value))

    with fake_broker() as broker, KafkaClient(broker.hosts) as client:
        Log(broker)
        producer = client.topics["t"].get_producer()
        for usual, rare in ((one, other), (other, one)):
            producer.start()
            core = producer._core
            producer.produce(b"first", on_delivery=usual)
            assert core.usual is not None and core.usual[1] is usual
            # another thread that had found no usual callback yet: what rows say already keeps its meaning
            core.note_usual((None, rare, None, -1))
            messages = [producer.produce(b"%d" % number, on_delivery=(usual, rare)[number % 2]) for number in range(6)]
            assert [message.on_delivery for message in messages] == [usual, rare] * 3
            producer.stop()
    names = ["one", "one", "other", "one", "other", "one", "other"]
    swapped = ["other" if name == "one" else "one" for name in names]
    values = [b"first", *(b"%d" % number for number in range(6))]
    assert called == [*zip(names, values), *zip(swapped, values)]


@pytest.mark.parametrize("quick", [True, False], ids=["the quick way", "the whole of it"])
def test_every_message_has_the_time_of_its_own_call_and_neighbours_share_the_number(
    quick: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    times_ms = [5_000_000, 5_000_000, 5_000_001, 5_000_001, 5_000_000]
    clock = iter([time_ms * 1_000_000 + 7 * number for number, time_ms in enumerate(times_ms)])
    monkeypatch.setattr("pykafka.producer.wall_ns", lambda: next(clock))
    with fake_broker() as broker, KafkaClient(broker.hosts) as client:
        Log(broker)
        with client.topics["t"].get_producer(linger_ms=600000) as producer:
            producer._quick = producer._quick and quick
            stamps = [producer.produce(b"x")._row[TIMESTAMP] for _ in times_ms]
    assert stamps == times_ms
    if quick:
        assert stamps[0] is stamps[1] is not stamps[4] and stamps[2] is stamps[3]
