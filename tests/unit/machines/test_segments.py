"""Rows between ``produce()`` and their outcome: taken out of an open queue exactly once, and what their holders hear."""

from __future__ import annotations

import gc
import random
import threading
import weakref
from typing import Any, Optional

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pykafka._machines.dealing import InTurn, OneByOne
from pykafka._machines.segments import Decision, Fates, Segment, Taken, taken_block
from pykafka.exceptions import KafkaException
from pykafka.records.queued import DELIVERED, Block, QueuedMessage, QueuedMessages, Row, queued_message

from .making import NoProducer, row, taken_of


def segment_of(*values: bytes) -> Segment:
    """Return an open segment with a row for each value."""
    segment = Segment(NoProducer())
    segment.rows += [row(value) for value in values]
    return segment


def taken(segment: Segment, with_messages: bool = False) -> Taken:
    """Close ``segment`` and return its columns."""
    segment.close()
    return segment.take(with_keys=True, with_extras=True, with_messages=with_messages)


def test_what_is_taken_is_what_was_queued_before() -> None:
    segment = Segment(NoProducer())
    rows = [row(b"a", b"k", [("h", None)], 5), row(None, None, None, 6)]
    segment.rows += rows
    columns = taken(segment)
    segment.rows.append(row(b"late"))
    assert (columns.values, columns.keys, columns.timestamps) == ([b"a", None], [b"k", None], [5, 6])
    assert columns.headers(range(2)) == [b"\2\2h\1", None] and columns.headers([1]) is None
    assert segment.closed and [segment.holds(each) for each in (*rows, segment.rows[-1])] == [True, True, False]


def test_a_row_equal_to_one_that_was_taken_is_not_taken_itself() -> None:
    segment = segment_of(b"same")
    segment.close()
    twin: Row = (b"same", *segment.rows[0][1:])
    assert twin == segment.rows[0] and not segment.holds(twin)


def test_rows_of_many_threads_are_taken_once_each_while_segments_are_closed_under_them() -> None:
    current = [Segment(NoProducer())]
    lock = threading.Lock()
    closed: list[Segment] = []
    done = threading.Event()

    def produce(number: int) -> None:
        for count in range(3000):
            segment, each = current[0], row(b"%d/%d" % (number, count))
            segment.rows.append(each)
            if segment.closed:
                with lock:
                    if not segment.holds(each):
                        current[0].rows.append(each)

    def collect() -> None:
        while not done.is_set():
            with lock:
                segment, current[0] = current[0], Segment(NoProducer())
                segment.close()
                closed.append(segment)

    collector = threading.Thread(target=collect)
    producers = [threading.Thread(target=produce, args=(number,)) for number in range(4)]
    for thread in (collector, *producers):
        thread.start()
    for thread in producers:
        thread.join()
    done.set()
    collector.join()
    current[0].close()
    values = [each[0] for segment in [*closed, current[0]] for each in segment.close()]
    for number in range(4):
        assert [value for value in values if value.startswith(b"%d/" % number)] == [b"%d/%d" % (number, c) for c in range(3000)]


# -- fates ------------------------------------------------------------------------------------------------------------


@st.composite
def decided(draw: st.DrawFn) -> tuple[int, Any, list[Decision]]:
    """Return a number of rows, how they were dealt, and decisions about all of them, in any order."""
    count = draw(st.integers(1, 40))
    partitions = draw(st.integers(1, 4))
    if draw(st.booleans()):
        deal: Any = InTurn(count, draw(st.integers(0, 9)), list(range(partitions)))
    else:
        deal = OneByOne([draw(st.integers(0, partitions - 1)) for _ in range(count)])
    decisions = []
    for _partition_id, places in deal.shares():
        cut = draw(st.integers(0, len(places)))
        for part in (places[:cut], places[cut:]):
            kind = draw(st.sampled_from(["offset", "error", "not told"]))
            offset = draw(st.integers(0, 10**12)) if kind == "offset" else -1
            decisions.append(Decision(part, offset, KafkaException("no") if kind == "error" else None))
    draw(st.randoms(use_true_random=False)).shuffle(decisions)
    return count, deal, decisions


def plainly(decisions: list[Decision]) -> dict[int, Any]:
    """Return the outcome of every place, a row at a time."""
    found: dict[int, Any] = {}
    for places, base_offset, error in decisions:
        for number, place in enumerate(places):
            found[place] = error or (base_offset + number if base_offset >= 0 else DELIVERED)
    return found


@given(decided(), st.integers(0, 2**32))
@settings(max_examples=150, deadline=None, database=None)
def test_every_holder_hears_what_became_of_its_row_whenever_it_asks(story: tuple[int, Any, list[Decision]], seed: int) -> None:
    count, deal, decisions = story
    segment = segment_of(*[b"same"] * count)
    messages = [queued_message(each, segment.fates) for each in segment.rows]
    assert not any(message.done for message in messages)
    columns = taken(segment)
    segment.fates.deal = deal
    chance = random.Random(seed)
    for number, decision in enumerate(decisions):
        segment.fates.decide(decision)
        known = plainly(decisions[: number + 1])
        for place in chance.sample(range(count), min(count, 3)):
            assert messages[place]._outcome is known.get(place) or messages[place]._outcome == known[place]
    columns.told(count)  # from here on the rows are not kept any more
    for place, message in enumerate(messages):
        outcome = plainly(decisions)[place]
        assert message.done and message._outcome == outcome
        assert message.offset == (outcome if isinstance(outcome, int) else -1)
        assert message.error is (outcome if isinstance(outcome, Exception) else None)
        assert message.partition_id == deal.partition_at(place)


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (0, 0, 1), (1, 2, 0), (2, 2, 2)])
@pytest.mark.parametrize("told", [False, True], ids=["rows are kept", "rows are gone"])
def test_a_message_has_its_own_outcome_in_whatever_order_they_are_asked_for(order: tuple[int, ...], told: bool) -> None:
    segment = segment_of(b"same", b"same", b"same")
    messages = [queued_message(each, segment.fates) for each in segment.rows]
    columns = taken(segment)
    segment.fates.decide(Decision(range(3), 40, None))
    del segment
    if told:
        columns.told(3)
    assert [messages[place].result(0).offset for place in order] == [40 + place for place in order]


def test_fates_that_nobody_holds_are_gone_and_with_them_the_rows() -> None:
    segment = segment_of(b"a", b"b")
    message = queued_message(segment.rows[0], segment.fates)
    columns = taken(segment)
    fates = weakref.ref(segment.fates)
    del segment
    assert columns.fates is fates() is not None
    del message
    gc.collect()
    assert columns.fates is None
    columns.told(2)


def test_a_message_that_is_kept_does_not_keep_the_others_once_all_are_decided() -> None:
    def callback(*_args: Any) -> None:
        """Be something whose end can be seen."""

    segment = Segment(NoProducer())
    segment.rows += [row(b"a"), (b"b", None, 0, (None, callback, None, -1))]
    other = weakref.ref(callback)
    del callback
    message = queued_message(segment.rows[0], segment.fates)
    columns = taken(segment)
    segment.fates.decide(Decision(range(2), 7, None))
    del segment
    columns.told(1)
    assert other() is not None
    columns.told(1)
    del columns
    gc.collect()
    assert other() is None and message.offset == 7


class UsualCallback(NoProducer):
    """A producer whose messages mostly have one callback."""

    usual = (None, print, None, -1)


def test_callbacks_get_a_message_equal_to_the_one_that_was_returned() -> None:
    segment = Segment(UsualCallback())
    segment.rows += [(b"a", None, 1, True), (b"a", None, 1, None), (b"a", None, 1, (b"\2\2h\1", None, None, -1))]
    returned = [queued_message(each, segment.fates) for each in segment.rows]
    columns = taken(segment, with_messages=True)
    segment.fates.decide(Decision(range(3), 7, None))
    told = list(columns.messages(range(3)))
    assert [message for _extra, message in told] == [returned[0], returned[2]]
    assert [extra for extra, _message in told] == [(None, print, None, -1), (b"\2\2h\1", None, None, -1)]
    for (_extra, message), same in zip(told, [returned[0], returned[2]]):
        assert message is not same and hash(message) == hash(same) and message.offset == same.offset
        assert message.on_delivery is same.on_delivery and message.headers == same.headers
    assert returned[0] != returned[1] and returned[0] != b"a" and len({*returned, *(message for _extra, message in told)}) == 3
    columns.told(3)
    assert list(columns.messages(range(3))) == []


# -- blocks -----------------------------------------------------------------------------------------------------------


def block_of(*values: Optional[bytes], keys: Optional[list[Optional[bytes]]] = None) -> Block:
    """Return a block as produce_many() makes it."""
    return Block(list(values), keys, 5, None, Fates(NoProducer(), of_block=True))


def test_messages_of_blocks_are_made_when_they_are_asked_for() -> None:
    blocks = [block_of(b"a", b"b", keys=[b"k", None]), block_of(None)]
    messages = QueuedMessages(blocks)
    assert len(messages) == 3 and [message.value for message in messages] == [b"a", b"b", None]
    assert messages[0].partition_key == b"k" and messages[-1].partition_key is None and messages[0].timestamp == 5
    assert [message.value for message in messages[1:]] == [b"b", None]
    for wrong in (3, -4):
        try:
            messages[wrong]
        except IndexError:
            continue
        raise AssertionError("there is no such message")


def test_a_message_of_a_block_is_the_same_however_often_it_is_asked_for() -> None:
    messages = QueuedMessages([block_of(b"a", b"a")])
    assert messages[0] == messages[0] and hash(messages[0]) == hash(messages[0])
    assert messages[0] != messages[1] and messages[0] != QueuedMessages([block_of(b"a", b"a")])[0]


def test_messages_of_a_block_hear_what_became_of_them() -> None:
    block = block_of(b"a", None, keys=[b"k", b"l"])
    columns = taken_block(block, with_messages=True)
    assert (columns.values, columns.keys, columns.timestamps) == ([b"a", None], [b"k", b"l"], [5, 5])
    messages = QueuedMessages([block])
    block.fates.decide(Decision([1, 0], 3, None))  # type: ignore[attr-defined]  # Fates of ours
    assert [message.offset for message in messages] == [4, 3]
    assert list(columns.messages(range(2))) == [], "with neither callbacks nor reports there is nobody to tell"


def test_taken_rows_without_extras_have_no_column_of_them() -> None:
    columns = taken_of([row(b"a"), row(b"b")])
    assert columns.extras is None and columns.headers(range(2)) is None


def test_a_queued_message_cannot_be_changed() -> None:
    message = queued_message(row(b"a"), Fates(NoProducer()))
    for name in ("value", "partition_key", "timestamp", "offset", "headers", "on_delivery"):
        try:
            setattr(message, name, None)
        except AttributeError:
            continue
        raise AssertionError(f"{name} was changed")
    assert isinstance(message, QueuedMessage) and message.value == b"a"
