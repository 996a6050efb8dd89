"""Turns: how fetched batches become messages in fair order, and how far the caller has got, wherever a turn is ended."""

from __future__ import annotations

import gc
import sys
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from itertools import islice
from typing import Any, Optional

import mock
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pykafka._engine.fetching import Parcel
from pykafka._machines import turns
from pykafka._machines.turns import MAX_READY_BYTES, PartitionBuffer, Turn, deal
from pykafka.common import TopicPartition
from pykafka.exceptions import KafkaException
from pykafka.records.batch import split_batches
from pykafka.records.decode import decode_batch
from pykafka.records.encode import encode_batch, encode_headers
from pykafka.records.message import ConsumedMessage, Headers, Message

ROOMY = 1 << 27


def batch(first: int, count: int, value: bytes = b"v", codec: int = 0) -> bytes:
    """Return a batch as a broker stores it, at offset ``first``."""
    data = encode_batch([value] * count, None, None, [1700000000000] * count, codec=codec)
    data[:8] = first.to_bytes(8, "big")
    return bytes(data)


def parcel(first: int, count: int, generation: int = 1) -> Parcel:
    """Return what a fetch of one batch brings."""
    raw = split_batches(batch(first, count), "t", 0)
    return Parcel(generation, raw, first + count, count, 1)


def jump(position: int, generation: int = 1) -> Parcel:
    """Return what is handed over when the log goes on somewhere else."""
    return Parcel(generation, [], position, 0, 0, is_jump=True)


def buffer(*parcels: Parcel, at: int = 0, partition_id: int = 0) -> PartitionBuffer:
    """Return a partition that goes on at ``at``, with these parcels fetched."""
    made = PartitionBuffer(TopicPartition("t", partition_id), None, deque(parcels), ROOMY)
    made.seek(at)
    return made


def deliver(buffers: list[PartitionBuffer], stops: list[int]) -> list[tuple[int, int]]:
    """Return (partition, offset) of everything delivered when turns are ended after so many messages each."""
    got: list[tuple[int, int]] = []
    for stop in [*stops, *[1000] * 50]:
        for one in buffers:
            one.refill()
        ready = [one for one in buffers if one.available]
        if not ready:
            break
        turn = deal(ready)
        for _ in range(stop):
            message = next(turn.ready, None)
            if message is None:
                break
            got.append((message.partition_id, message.offset))
        reached = turn.positions()
        turn.end()
        for one in buffers:
            assert reached.get(one.tp, one.position) == one.position
    return got


@pytest.mark.parametrize("stop", range(1, 21))
def test_a_log_that_goes_on_at_a_lower_offset_is_delivered_once_and_in_order_wherever_a_turn_ends(stop: int) -> None:
    one = buffer(parcel(90, 10), jump(0), parcel(0, 10), at=90)
    assert deliver([one], [stop]) == [(0, offset) for offset in [*range(90, 100), *range(10)]]
    assert one.position == 10


def test_a_jump_shows_only_when_everything_before_it_is_delivered() -> None:
    one = buffer(parcel(0, 10), jump(500))
    one.refill()
    assert (one.available, one.jumped_to, one.position) == (10, None, 0)
    turn = deal([one])
    list(turn.ready)
    turn.end()
    one.refill()
    assert (one.jumped_to, one.position) == (500, 500)


def test_a_seek_makes_an_older_jump_meaningless() -> None:
    one = buffer(jump(500))
    one.seek(7)
    one.refill()
    assert (one.jumped_to, one.position) == (None, 7)


@given(st.lists(st.integers(1, 30), min_size=1, max_size=4), st.lists(st.integers(0, 40), max_size=12))
def test_every_message_is_delivered_once_and_in_order_wherever_turns_end(sizes: list[int], stops: list[int]) -> None:
    buffers = [buffer(parcel(0, size), parcel(size, size), partition_id=number) for number, size in enumerate(sizes)]
    got = deliver(buffers, stops)
    for number, size in enumerate(sizes):
        assert [offset for partition, offset in got if partition == number] == list(range(2 * size))
        assert buffers[number].position == 2 * size


def test_what_is_decoded_ahead_is_bounded_in_bytes_as_well_as_in_messages() -> None:
    raw = b"".join(batch(number, 1, bytes(1 << 20), codec=1) for number in range(300))
    assert len(raw) < 2_000_000  # small on the wire
    one = buffer(Parcel(1, split_batches(raw, "t", 0), 300, 300, len(raw)))
    one.refill()
    assert 1 <= one.available <= MAX_READY_BYTES // (1 << 20) + 1
    assert [offset for _partition, offset in deliver([one], [1000] * 300)] == list(range(300))


def test_what_was_delivered_is_another_thing_than_the_position() -> None:
    one = buffer(parcel(0, 4))
    one.refill()
    turn = deal([one])
    turn.begin()
    taken = list(islice(turn.ready, 3))
    assert (len(taken), one.delivered) == (3, None)
    turn.end()
    assert (one.delivered, one.position) == (3, 3)
    one.rewind()
    assert (one.delivered, one.position) == (3, 3)
    one.seek(7)
    assert (one.delivered, one.position) == (None, 7)
    behind = Parcel(1, split_batches(batch(0, 2), "t", 0), 9, 2, 0)  # control records up to 9
    two = buffer(behind)
    two.refill()
    turn = deal([two])
    turn.begin()
    assert len(list(turn.ready)) == 2
    turn.end()
    two.refill()
    assert (two.delivered, two.position) == (2, 9)


def test_an_error_waits_behind_the_messages_before_it() -> None:
    error = KafkaException("bad")
    one = buffer(parcel(0, 3), Parcel(1, [], 3, 0, 0, error))
    one.refill()
    assert one.available == 3
    assert one.error is error
    assert deliver([one], [])[-1] == (0, 2)


@pytest.mark.parametrize("interrupted", [1, 2, 3])
def test_a_batch_that_ctrl_c_kept_from_being_decoded_is_delivered_next_time(
    interrupted: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []

    def decode(*given: Any) -> Any:
        calls.append(given)
        if len(calls) == interrupted:
            raise KeyboardInterrupt
        return decode_batch(*given)

    monkeypatch.setattr(turns, "decode_batch", decode)
    one = buffer(parcel(0, 3), Parcel(1, split_batches(batch(3, 4) + batch(7, 2), "t", 0), 9, 6, 1))
    with pytest.raises(KeyboardInterrupt):
        one.refill()
    assert one.refill().messages == 9, "what was taken before is told as well"
    assert [offset for _partition, offset in deliver([one], [])] == list(range(9))


def test_a_turn_that_is_ended_before_it_began_in_the_middle_or_twice_loses_and_repeats_nothing() -> None:
    pairs = [buffer(parcel(0, 5), partition_id=0), buffer(parcel(0, 5), partition_id=1)]
    for one in pairs:
        one.refill()
    turn = deal(pairs)
    assert [one.available for one in pairs] == [5, 5], "what is dealt and lost is dealt again"
    pairs[0].advance(turn._parts[0], 5, turn)  # a Ctrl-C in the middle of beginning
    assert next(turn.ready).offset == 0
    for _ in range(2):
        turn.end()
        assert [(one.position, one.available) for one in pairs] == [(1, 4), (0, 5)]
    pairs[0].seek(3)
    turn.end()
    assert pairs[0].available == 0, "what it was before a seek counts no more"
    assert deliver(pairs[1:], []) == [(1, offset) for offset in range(5)]


@pytest.mark.parametrize("step", ["rows_of", "joined"])
@pytest.mark.parametrize("partitions", [1, 2])
def test_a_seek_by_a_signal_handler_while_messages_are_prepared_is_where_they_go_on(step: str, partitions: int) -> None:
    some = [buffer(parcel(1000, 10), at=1000, partition_id=number) for number in range(partitions)]
    prepare = getattr(turns, step)

    def interrupted(*args: Any) -> Any:
        result = prepare(*args)
        setattr(turns, step, prepare)
        some[0].seek(0)
        return result

    with mock.patch.object(turns, step, interrupted):
        for one in some:
            one.refill()
        turn = deal([one for one in some if one.available])
        turn.begin()
        got = [(message.partition_id, message.offset) for message in turn.ready]
        turn.end()
    assert (some[0].position, some[0].after, some[0].available) == (0, 0, 0)
    some[0]._parcels.append(parcel(0, 5, generation=some[0].generation))
    got += deliver(some, [])
    assert [offset for number, offset in got if number == 0] == [0, 1, 2, 3, 4]
    assert [offset for number, offset in got if number == 1] == [*range(1000, 1010)] * (partitions - 1)


def test_batches_without_messages_cost_nothing_but_themselves() -> None:
    empty = split_batches(batch(0, 1), "t", 0)[0]
    one = buffer(Parcel(1, [empty] * 5000, 5000, 0, 1), parcel(5000, 1))
    none = decode_batch(empty, "t", 0, ROOMY)._replace(offsets=[], timestamps=[], values=[])
    real = decode_batch
    with mock.patch.object(turns, "decode_batch", lambda raw, *place: none if raw is empty else real(raw, *place)):
        one.refill()
    assert (one.available, len(one._pieces)) == (1, 1)
    assert deliver([one], []) == [(0, 5000)]


def test_what_waits_behind_a_batch_that_cannot_be_decoded_is_let_go() -> None:
    raw = bytearray(batch(3, 4))
    raw[-1] ^= 1
    bad = Parcel(1, split_batches(bytes(raw), "t", 0), 7, 4, len(raw))
    one = buffer(parcel(0, 3), bad, parcel(7, 5), parcel(12, 5))
    taken = one.refill()
    assert (one.available, taken.messages, one.has_come) == (3, 17, False)
    assert one.error is not None
    assert deliver([one], [])[-1] == (0, 2)


def test_what_is_held_shrinks_as_messages_are_taken_and_grows_as_they_are_decoded() -> None:
    raw = batch(0, 1000, bytes(900))
    one = buffer(Parcel(1, split_batches(raw, "t", 0), 1000, 1000, len(raw)), parcel(1000, 10))
    one.refill()
    full = one.held_bytes
    assert 1_000_000 <= full <= 1_100_000
    Turn([one.share(600)]).begin()
    assert one.held_bytes == full * 2 // 5
    one.refill()  # the small ones do not count as if they were large
    assert one.available == 410
    assert full * 2 // 5 < one.held_bytes < full * 2 // 5 + 10_000
    Turn([one.share(410)]).begin()
    assert one.held_bytes == 0


def test_a_rewound_partition_forgets_what_was_fetched_and_goes_on_where_it_was() -> None:
    one = buffer(parcel(0, 3), parcel(3, 600), parcel(603, 5))
    one.refill()
    turn = deal([one])
    list(islice(turn.ready, 2))
    turn.end()
    assert (one.position, one.available, one.has_come) == (2, 601, True)
    taken = one.rewind()
    assert taken == (5, len(batch(603, 5)))
    assert (one.position, one.available, one.held_bytes, one.has_come, one.generation) == (2, 0, 0, False, 2)


@pytest.mark.parametrize("raises", [False, True])
def test_a_rewind_by_a_signal_handler_while_messages_are_prepared_loses_and_repeats_nothing(raises: bool) -> None:
    total = 2 + 40 + 3 + 4 + 5

    def fetched(generation: int) -> list[Parcel]:
        raws = split_batches(b"".join(batch(first, count) for first, count in ((0, 2), (2, 40), (42, 3))), "t", 0)
        raws += split_batches(batch(45, 4), "t", 0)
        return [Parcel(generation, raws[:2], 42, 42, 1), Parcel(generation, raws[2:], 49, 7, 1), parcel(49, 5, generation)]

    def play(number: int) -> bool:
        """Rewind at the so many'th call in refill(), and return whether there was one."""
        one, calls, taken, fetches = buffer(*fetched(1)), 0, [0], 1

        def interrupt(frame: Any, event: str, arg: Any) -> None:
            nonlocal calls, fetches
            if event == "call":
                calls += 1
                if calls == number:  # where a signal handler may run
                    sys.setprofile(None)
                    told = one.rewind()
                    assert told is not None
                    taken.append(told.messages)
                    one._parcels.extend(fetched(one.generation))
                    fetches += 1
                    if raises:
                        raise KeyboardInterrupt

        with suppress(KeyboardInterrupt):
            sys.setprofile(interrupt)
            try:
                told = one.refill()
            finally:
                sys.setprofile(None)
            taken.append(told.messages)
        taken.append(one.refill().messages)
        assert [offset for _, offset in deliver([one], [])] == list(range(total)), number
        assert sum(taken) == fetches * total, number
        return calls >= number

    number = 1
    while play(number):
        number += 1
    assert number > 20


@pytest.mark.parametrize("parcels", [[jump(9)], [Parcel(1, [], 3, 0, 0, KafkaException("bad"))]])
def test_what_a_broker_may_say_only_once_is_not_forgotten_by_rewinding(parcels: list[Parcel]) -> None:
    one = buffer(*parcels)
    one.refill()
    assert one.rewind() is None
    assert one.jumped_to == 9 or one.error is not None
    waiting = buffer(parcel(0, 3), jump(9))
    assert waiting.rewind() is None
    assert PartitionBuffer(TopicPartition("t", 0), None, deque(), ROOMY).rewind() is None


def test_a_batch_without_messages_moves_the_position_all_the_same() -> None:
    empty: Any = Parcel(1, [], 42, 0, 0)
    one = buffer(empty)
    one.refill()
    assert one.position == 42


# -- messages are made when they are taken: the same as if all had been made at once --------------------------------------

#: (key, value, headers, timestamp) of a record; which of them a whole batch has none of is what decides on its columns
Record = tuple[Optional[bytes], Optional[bytes], Headers, int]
SOME_BYTES = st.sampled_from([None, b"", b"a", b"longer"])
RECORDS = st.tuples(
    SOME_BYTES, SOME_BYTES, st.lists(st.tuples(st.sampled_from(["h", "i"]), SOME_BYTES), max_size=2), st.integers(1000, 1200)
)
BARE = st.tuples(st.none(), SOME_BYTES, st.just([]), st.integers(1000, 1200))
KEYED = st.tuples(SOME_BYTES, SOME_BYTES, st.just([]), st.integers(1000, 1200))
#: (records, codec) of the batches of a partition, and where in the first one a fetch starts
LOGS = st.tuples(
    st.lists(
        st.tuples(st.one_of([st.lists(kind, min_size=1, max_size=20) for kind in (BARE, KEYED, RECORDS)]), st.integers(0, 1)),
        min_size=1,
        max_size=4,
    ),
    st.integers(0, 19),
)


def fetched(partition_id: int, batches: list[tuple[list[Record], int]], at: int) -> tuple[PartitionBuffer, list[Any]]:
    """Return a partition with these batches decoded, and the oracle: what each message from ``at`` on must be."""
    data, end = b"", 0
    expected: list[Any] = []
    for records, codec in batches:
        keys, values, headers, stamps = zip(*records)
        encoded = encode_batch(values, keys, [encode_headers(pairs) if pairs else None for pairs in headers], stamps, codec=codec)
        encoded[:8] = end.to_bytes(8, "big")
        data += bytes(encoded)
        for key, value, pairs, stamp in records:
            expected.append((partition_id, end, stamp, key, value, pairs, codec))
            end += 1
    one = buffer(Parcel(1, split_batches(data, "t", 0), end, end, 1), at=at, partition_id=partition_id)
    one.refill()
    return one, expected[at:]


def seen(message: Message) -> Any:
    """Return everything that a user sees of a message."""
    columns = message.offset, message.timestamp, message.partition_key, message.value, message.headers
    assert (message.topic, message.partition, message.protocol_version) == (b"t", None, 2)
    return (message.partition_id, *columns, message.compression_type)


@given(st.lists(LOGS, min_size=1, max_size=4), st.integers(0, 100))
def test_a_turn_gives_what_making_every_message_at_once_gives(logs: list[Any], stop: int) -> None:
    pairs = [fetched(number, batches, min(at, len(batches[0][0]) - 1)) for number, (batches, at) in enumerate(logs)]
    most = min(len(expected) for _one, expected in pairs)
    turn = deal([one for one, _expected in pairs])
    in_turn = [expected[number] for number in range(most) for _one, expected in pairs]
    assert [seen(message) for message in islice(turn.ready, stop)] == in_turn[:stop]
    reached = turn.positions()
    turn.end()
    assert next(turn.ready, None) is None
    for one, expected in pairs:
        delivered = sum(1 for row in in_turn[:stop] if row[0] == one.tp.partition)
        if delivered:
            # the same, for who asks in the middle of a turn and for who ends it
            assert reached[one.tp] == one.position == expected[delivered - 1][1] + 1
        assert one.available == len(expected) - delivered
        if one.available:
            assert [seen(message) for message in deal([one]).ready] == expected[delivered:]


@pytest.fixture
def restless() -> Iterator[None]:
    """Have threads switch as often as the interpreter can, also within C code that makes anything the collector tracks."""
    before, thresholds = sys.getswitchinterval(), gc.get_threshold()
    callback = mock.Mock()
    sys.setswitchinterval(1e-6)
    gc.callbacks.append(callback)
    gc.set_threshold(30)
    yield
    gc.set_threshold(*thresholds)
    gc.callbacks.remove(callback)
    sys.setswitchinterval(before)


@pytest.mark.parametrize("way", ["next", "islice"])
def test_each_message_goes_whole_to_one_thread_or_comes_again(restless: None, way: str) -> None:
    record: Record = (b"k", b"v", [], 1000)
    for repeat in range(5):
        pairs = [fetched(number, [([record] * 2000, 0)], 0) for number in range(3)]
        for one, expected in pairs:
            # values that tell where they belong, as no two columns may ever be out of step
            (rows,) = one._pieces
            one._pieces = (([row[:2] for row in expected], *rows[1:]),)
        turn = deal([one for one, _expected in pairs])
        got: list[list[Message]] = [[] for _ in range(4)]

        def take(mine: list[Message], turn: Any = turn) -> None:
            if way == "next":
                mine.extend(iter(lambda: next(turn.ready, None), None))
            while batch := list(islice(turn.ready, 50)):
                mine.extend(batch)

        threads = [threading.Thread(target=take, args=(mine,)) for mine in got]
        for thread in threads:
            thread.start()
        while repeat and sum(map(len, got)) < repeat * 1000 and any(thread.is_alive() for thread in threads):
            pass
        if repeat:
            turn.end()
        for thread in threads:
            thread.join(20)
        assert all(message.value == (message.partition_id, message.offset) for mine in got for message in mine)
        together = sorted(message.value for mine in got for message in mine)
        again = [value for one, _expected in pairs for value in one.share(2000).rows[0]] if repeat else []
        assert sorted(together + again) == [(number, offset) for number in range(3) for offset in range(2000)]
        assert turn.positions() == {one.tp: 2000 - sum(value[0] == one.tp.partition for value in again) for one, _ in pairs}


@pytest.mark.parametrize("number", [1, 2, 7, 10])
def test_a_message_that_is_just_made_when_a_turn_ends_is_delivered_and_counted(number: int) -> None:
    one, expected = fetched(0, [([(b"k", b"v", [], 1000)] * 10, 0)], 0)
    turn, calls = deal([one]), 0

    def interrupt(frame: Any, event: str, arg: Any) -> None:
        nonlocal calls
        if event == "call" and frame.f_code is ConsumedMessage.__init__.__code__:
            calls += 1
            if calls == number:  # where a signal handler may run, or another thread
                sys.setprofile(None)
                turn.end()

    sys.setprofile(interrupt)
    try:
        got = list(turn.ready)
    finally:
        sys.setprofile(None)
    assert [seen(message) for message in got] == expected[:number]
    assert one.position == number
    assert one.available == 10 - number


def test_messages_share_where_they_are_from() -> None:
    one, _expected = fetched(0, [([(None, b"v", [], 1000)] * 3, codec) for codec in (0, 1, 0)], 0)
    got = list(deal([one]).ready)
    assert [message.compression_type for message in got] == [0, 0, 0, 1, 1, 1, 0, 0, 0]
    assert len({id(message._origin) for message in got}) == 2


def test_what_is_not_taken_yet_is_no_message_yet() -> None:
    one, _expected = fetched(0, [([(None, b"v", [], 1000)] * 100, 0)], 0)
    turn, made = deal([one]), 0

    def count(frame: Any, event: str, arg: Any) -> None:
        nonlocal made
        made += event == "call" and frame.f_code is ConsumedMessage.__init__.__code__

    sys.setprofile(count)
    try:
        next(turn.ready)
        turn.end()
    finally:
        sys.setprofile(None)
    assert made == 1
