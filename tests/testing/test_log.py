"""The pure parts of a fake cluster: logs, batches, fetch sessions, versions, timers, the journal."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import pytest

from pykafka.protocol.schema import REQUESTS
from pykafka.records.encode import encode_batch
from pykafka.testing.batches import Batch, MalformedBatch, Record, build, flip_a_bit, read, split, stamp, with_times
from pykafka.testing.fetch_sessions import FetchSessions, SessionError
from pykafka.testing.journal import Journal, Seen
from pykafka.testing.log import OUT_OF_ORDER, STALE_EPOCH, BadSequence, Found, Log
from pykafka.testing.timers import Timers
from pykafka.testing.versions import Version

from .peer import TIME_MS, batch, compressed, fetch, part, with_fields


def one(*values: bytes, **fields: Any) -> Batch:
    """Return a batch as a producer sends it."""
    return split(batch(*values, **fields))[0]


def log_of(*values: bytes) -> Log:
    """Return a log, in its first epoch, with a batch for each value."""
    log = Log()
    log.begin_epoch(0)
    for value in values:
        log.append(one(value))
    return log


def contents(log: Log) -> list[tuple[int, Any]]:
    """Return offsets and values of a log."""
    return [(record.offset, record.value) for record in log.records()]


# -- batches ----------------------------------------------------------------------------------------------------------


def test_records_come_back_as_they_were_put_in() -> None:
    rows = [
        Record(0, TIME_MS, b"k", b"v" * 300, [("a", b"1"), ("b", None), ("", b"")]),
        Record(1, TIME_MS - 5, None, None, []),
        Record(2, TIME_MS + 10**10, b"", b"", []),
    ]
    built = build(rows)
    assert built.is_sound and read(built) == rows
    assert (built.records_count, built.last_offset, built.max_timestamp) == (3, 2, TIME_MS + 10**10)
    assert [record.offset for record in read(stamp(built, 70, 5))] == [70, 71, 72]


@pytest.mark.parametrize("codec", ["none", "gzip", "snappy", "lz4", "zstd"])
def test_what_the_client_encodes_is_read(codec: str) -> None:
    number = ["none", "gzip", "snappy", "lz4", "zstd"].index(codec)
    times = [TIME_MS, TIME_MS + 1, TIME_MS + 2]
    (found,) = split(bytes(encode_batch([b"v0", None, b"v2"], [b"k", b"k", None], None, times, codec=number)))
    assert found.is_sound and found.codec == number
    assert [(row.offset, row.key, row.value, row.timestamp) for row in read(found)] == [
        (0, b"k", b"v0", TIME_MS),
        (1, b"k", None, TIME_MS + 1),
        (2, None, b"v2", TIME_MS + 2),
    ]


def test_every_flipped_bit_behind_the_checksum_is_found() -> None:
    data = batch(b"abc")
    for at in range(21, len(data)):
        for bit in range(8):
            changed = data[:at] + bytes((data[at] ^ 1 << bit,)) + data[at + 1 :]
            assert not split(changed)[0].is_sound
    assert not split(flip_a_bit(data))[0].is_sound


def test_what_is_no_batch_is_refused() -> None:
    data = batch(b"abc")
    for wrong in (data[:60], data[:-1], data + b"x", with_fields(data, magic=1), b"x" * 61):
        with pytest.raises(MalformedBatch):
            split(wrong)
    assert split(b"") == [] and len(split(data * 3)) == 3
    with pytest.raises(ValueError, match="at least one record"):
        build([])


def test_records_that_are_not_what_the_header_says_are_refused() -> None:
    whole = batch(b"abc")
    for at in range(61, len(whole)):
        cut = bytearray(whole[:at])
        cut[8:12] = (at - 12).to_bytes(4, "big")
        with pytest.raises(MalformedBatch):
            read(split(bytes(cut))[0])
    with pytest.raises(MalformedBatch, match="are behind its 1 records"):
        read(split(with_fields(batch(b"a", b"b"), records_count=1))[0])


def test_the_time_of_appending_is_that_of_every_record() -> None:
    stored = with_times(one(b"a", b"b"), TIME_MS + 999, True)
    assert stored.is_sound and {record.timestamp for record in read(stored)} == {TIME_MS + 999}
    assert with_times(one(b"a"), TIME_MS, False).data == batch(b"a")


# -- logs -------------------------------------------------------------------------------------------------------------


def test_batches_follow_one_another() -> None:
    log = log_of(b"a", b"b")
    assert log.append(one(b"c", b"d")).base_offset == 2
    assert contents(log) == [(0, b"a"), (1, b"b"), (2, b"c"), (3, b"d")]
    assert (log.start_offset, log.end_offset) == (0, 4)


def test_bytes_are_limited_but_the_first_batch_may_be_larger() -> None:
    log = log_of(b"a" * 100, b"b" * 100)
    size = len(log.batches[0].data)
    limits = ((0, False, 0), (0, True, 1), (1, True, 1), (size, True, 1), (size + 1, True, 2), (size, False, 1))
    for room, at_least_one, count in limits:
        assert len(log.batches_from(0, room, at_least_one)) == count
    assert log.batches_from(2, 10**6, True) == [] and len(log.batches_from(1, 10**6, True)) == 1


def test_reading_begins_with_the_batch_that_has_the_offset() -> None:
    log = Log()
    log.append(one(b"a", b"b", b"c"))
    assert log.batches_from(2, 10**6, True)[0].base_offset == 0


def producing(log: Log, sequence: int, count: int = 1, epoch: int = 0) -> tuple[int, bool]:
    """Append as producer 7 does; return the offset and whether it was there already."""
    found = log.append(one(*[b"v"] * count, producer=(7, epoch, sequence)))
    return found.base_offset, found.is_duplicate


def test_the_last_five_batches_of_a_producer_are_known_again() -> None:
    log = log_of()
    for sequence in range(7):
        assert producing(log, sequence) == (sequence, False)
    for sequence in range(2, 7):
        assert producing(log, sequence) == (sequence, True)
    for sequence in (0, 1, 8):
        with pytest.raises(BadSequence, match=OUT_OF_ORDER):
            producing(log, sequence)
    assert log.end_offset == 7
    assert producing(log, 7) == (7, False)


def test_a_newer_epoch_of_a_producer_begins_at_0_and_shuts_out_the_older() -> None:
    log = log_of()
    producing(log, 0)
    with pytest.raises(BadSequence, match=OUT_OF_ORDER):
        producing(log, 1, epoch=1)
    assert producing(log, 0, epoch=1) == (1, False)
    with pytest.raises(BadSequence, match=STALE_EPOCH):
        producing(log, 1)


def test_sequences_wrap() -> None:
    log = log_of()
    assert producing(log, 2**31 - 2, 4) == (0, False)
    assert producing(log, 2**31 - 2, 4) == (0, True)
    assert producing(log, 2) == (4, False)


def test_a_truncated_log_forgets_batches_epochs_and_sequences() -> None:
    log = log_of()
    for sequence in range(3):
        producing(log, sequence)
    log.begin_epoch(4)
    producing(log, 3)
    log.truncate(2)
    assert contents(log) == [(0, b"v"), (1, b"v")] and log.end_offset == 2 and log.latest_epoch == 0
    log.begin_epoch(5)
    assert producing(log, 2) == (2, False)
    assert log.end_of_epoch(0) == (0, 2) and log.end_of_epoch(4) == (0, 2) and log.end_of_epoch(5) == (5, 3)


def test_a_batch_that_is_cut_in_the_middle_goes_whole() -> None:
    log = Log()
    log.begin_epoch(0)
    log.append(one(b"a", b"b", b"c"))
    log.truncate(2)
    assert contents(log) == [] and log.end_offset == 2
    log.truncate(9)
    assert log.append(one(b"d")).base_offset == 2


def test_a_log_begins_where_records_are_deleted_up_to() -> None:
    log = log_of(b"a", b"b")
    log.append(one(b"c", b"d"))
    log.delete_before(3)
    assert contents(log) == [(3, b"d")] and log.start_offset == 3 and len(log.batches) == 1
    log.delete_before(1)
    assert log.start_offset == 3
    log.delete_before(100)
    assert (log.start_offset, log.end_offset, contents(log)) == (4, 4, [])


def test_epochs_end_where_the_next_one_begins() -> None:
    log = log_of(b"a")
    log.begin_epoch(1)
    log.begin_epoch(3)
    log.append(one(b"b"))
    log.begin_epoch(7)
    assert [log.end_of_epoch(epoch) for epoch in (-1, 0, 1, 2, 3, 5, 7, 8)] == [
        (-1, -1), (0, 1), (0, 1), (0, 1), (3, 2), (3, 2), (7, 2), (-1, -1),
    ]  # fmt: skip
    log.delete_before(1)
    assert log.end_of_epoch(0) == (0, 1) and log.epoch_at_start() == 3


def test_records_are_found_by_time_also_in_compressed_batches() -> None:
    log = log_of()
    log.append(split(compressed("gzip", b"a", b"b"))[0])
    log.append(one(b"c", time_ms=TIME_MS - 1000))
    log.append(one(b"d", time_ms=TIME_MS - 900))
    log.append(one(b"e", time_ms=TIME_MS + 500))
    log.append(one(b"f", time_ms=TIME_MS + 50))
    assert log.find_time(TIME_MS + 5) == Found(TIME_MS + 10, 1, 0)
    assert log.find_time(TIME_MS + 11) == Found(TIME_MS + 500, 4, 0)
    assert log.find_newest() == Found(TIME_MS + 500, 4, 0)
    assert log.find_time(TIME_MS + 501) == Found() == Log().find_newest()
    log.delete_before(1)
    assert log.find_time(0).offset == 1


# -- fetch sessions ---------------------------------------------------------------------------------------------------


def row_of(high_watermark: int = 0, records: bytes = b"", error: int = 0) -> Any:
    """Return what is looked at in a partition's row of an answer."""
    return SimpleNamespace(
        records=records,
        error_code=error,
        preferred_read_replica=-1,
        diverging_epoch=SimpleNamespace(epoch=-1),
        high_watermark=high_watermark,
        log_start_offset=0,
    )


def test_who_had_something_to_read_comes_last_the_next_time() -> None:
    sessions = FetchSessions()
    opened = sessions.begin(fetch("t", part(0), part(1), part(2), session_epoch=0), 12)
    assert opened.session is not None and opened.is_full
    opened.session.has_news(opened.partitions[0], row_of(1, b"x"))
    again = sessions.begin(fetch("t", session_epoch=1, session_id=opened.session.id), 12)
    assert [wanted.partition for wanted in again.partitions] == [1, 2, 0] and not again.is_full


def test_only_news_is_told() -> None:
    sessions = FetchSessions()
    opened = sessions.begin(fetch("t", part(0), session_epoch=0), 12)
    session, (wanted,) = opened.session, opened.partitions
    assert session is not None
    told = [session.has_news(wanted, row) for row in (row_of(), row_of(), row_of(5), row_of(5), row_of(5, b"x"), row_of(5))]
    assert told == [True, False, True, False, True, False]
    # an error is told each time, and what follows it is news
    assert [session.has_news(wanted, row) for row in (row_of(-1, error=6), row_of(-1, error=6), row_of(5), row_of(5))] == [
        True, True, True, False,
    ]  # fmt: skip


def test_a_request_that_does_not_fit_its_session_is_refused() -> None:
    sessions = FetchSessions()
    opened = sessions.begin(fetch("t", part(0), session_epoch=0), 12).session
    assert opened is not None
    for session_id, epoch, version, code in ((opened.id + 1, 1, 12, 70), (opened.id, 2, 12, 71), (opened.id, 1, 13, 106)):
        with pytest.raises(SessionError) as caught:
            sessions.begin(fetch("t", session_epoch=epoch, session_id=session_id), version)
        assert caught.value.code == code


def test_epochs_of_a_session_begin_at_1_again() -> None:
    sessions = FetchSessions()
    opened = sessions.begin(fetch("t", part(0), session_epoch=0), 12).session
    assert opened is not None
    opened.epoch = 2**31 - 1
    sessions.begin(fetch("t", session_epoch=2**31 - 1, session_id=opened.id), 12)
    assert opened.epoch == 1


def test_a_broker_has_only_so_many_sessions_and_a_new_one_takes_the_place_of_the_clients_old_one() -> None:
    sessions = FetchSessions(max_sessions=2)
    first = sessions.begin(fetch("t", part(0), session_epoch=0), 12).session
    assert first is not None and sessions.begin(fetch("t", part(0), session_epoch=0), 12).session is not None
    assert sessions.begin(fetch("t", part(0), session_epoch=0), 12).session is None
    assert sessions.begin(fetch("t", part(0), session_epoch=0, session_id=first.id), 12).session is not None
    assert len(sessions) == 2
    assert sessions.begin(fetch("t", part(0)), 6).session is None


# -- the rest ---------------------------------------------------------------------------------------------------------


def test_every_version_has_what_the_client_needs() -> None:
    names = {request.NAME for request in REQUESTS.values()}
    for text in ("0.11", "1.0", "1.1", "2.0", "2.4", "2.8", "3.0", "3.9", "4.0", "4.1", "4.3", "4.4", "4.4.0"):
        ranges = Version(text).ranges(names)
        for key, (low, high) in ranges.items():
            assert REQUESTS[key].MIN_VERSION <= low <= high <= REQUESTS[key].MAX_VERSION, (text, REQUESTS[key].NAME)
        assert {0, 1, 2, 3, 8, 9, 10, 11, 12, 13, 14, 18, 19, 20, 22} <= ranges.keys()
        assert (68 in ranges) == (Version(text) >= "4.0") == bool(Version(text).features())


def test_ranges_only_grow_at_the_newer_end() -> None:
    names = {request.NAME for request in REQUESTS.values()}
    before: dict[int, tuple[int, int]] = {}
    released = {"0": [11], "1": range(2), "2": range(9), "3": range(10), "4": range(5)}
    for text in (f"{major}.{minor}" for major, minors in released.items() for minor in minors):
        now = Version(text).ranges(names)
        assert all(now[key][1] >= high for key, (_low, high) in before.items())
        before = now


@pytest.mark.parametrize("text", ["", "0.10", "5.0", "2", "x", "4.5", "-1"])
def test_other_versions_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="as_version="):
        Version(text)


def test_timers_run_in_the_order_of_time_and_not_when_they_are_cancelled() -> None:
    timers, done = Timers(), []
    timers.call_at(3, lambda: done.append("c"))
    timers.call_at(1, lambda: done.append("a"))
    timers.call_at(1, lambda: done.append("b"))
    timers.call_at(0, lambda: done.append("no")).cancel()
    assert timers.next_deadline() == 1
    timers.run(2)
    assert done == ["a", "b"] and timers.next_deadline() == 3
    timers.run(3)
    assert done == ["a", "b", "c"] and timers.next_deadline() == math.inf


def test_timers_that_are_cancelled_are_not_kept_until_they_would_be_due() -> None:
    timers = Timers()
    for _ in range(10_000):
        timers.call_at(10**9, lambda: None).cancel()
    assert len(timers) < 1000


def test_a_full_journal_says_so_in_place_of_leaving_something_out() -> None:
    for journal in (Journal(kept=2), Journal(kept_bytes=250)):
        for number in range(3):
            journal.add(Seen(1, "c", "Produce", 3, number, 0.0), 100)
        assert [entry.request for entry in journal] == [1, 2] and journal.forgotten == 1
    with pytest.raises(RuntimeError, match="1 older ones forgotten"):
        journal.seen("Produce")
    journal.clear()
    assert journal.seen("Produce") == []
