"""Turns: how fetched batches become messages in fair order, and how far the caller has got, wherever a turn is ended."""

from __future__ import annotations

from collections import deque
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pykafka._engine.fetching import Parcel
from pykafka._machines.turns import MAX_READY_BYTES, PartitionBuffer, deal
from pykafka.common import TopicPartition
from pykafka.exceptions import KafkaException
from pykafka.records.batch import split_batches
from pykafka.records.encode import encode_batch

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
        for tp, rest in turn.end().items():
            by_name = {one.tp: one for one in buffers}
            by_name[tp].put_back(rest)
            assert reached.get(tp, by_name[tp].position) == by_name[tp].position
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


def test_an_error_waits_behind_the_messages_before_it() -> None:
    error = KafkaException("bad")
    one = buffer(parcel(0, 3), Parcel(1, [], 3, 0, 0, error))
    one.refill()
    assert one.available == 3
    assert one.error is error
    assert deliver([one], [])[-1] == (0, 2)


def test_a_batch_without_messages_moves_the_position_all_the_same() -> None:
    empty: Any = Parcel(1, [], 42, 0, 0)
    one = buffer(empty)
    one.refill()
    assert one.position == 42
