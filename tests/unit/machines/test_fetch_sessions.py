"""Fetch sessions: whatever happens, the broker knows in the end exactly what is wanted, and is told no more than it has to be."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from pykafka._machines.fetch_sessions import MAX_EPOCH, FetchSession
from pykafka.protocol.messages import FetchRequest

NAMED, WITH_IDS = 12, 17


def request(offsets: dict[int, int], topic_id: bytes = bytes(16)) -> FetchRequest:
    """Return a request for partitions of one topic, from these offsets on."""
    rows = [FetchRequest.FetchPartition(partition=number, fetch_offset=offset) for number, offset in offsets.items()]
    return FetchRequest(topics=[FetchRequest.FetchTopic(topic="t", topic_id=topic_id, partitions=rows)])


class Broker:
    """What a broker does about sessions."""

    def __init__(self) -> None:
        self.sessions: dict[int, tuple[int, dict[int, int]]] = {}
        self.made = 0
        self.listed = 0

    def answer(self, asked: FetchRequest) -> tuple[int, int, dict[int, int]]:
        """Return (error, session id, partition -> offset that is read)."""
        rows = {row.partition: row.fetch_offset for topic in asked.topics for row in topic.partitions}
        gone = [number for topic in asked.forgotten_topics_data for number in topic.partitions]
        self.listed = len(rows) + len(gone)
        if asked.session_epoch <= 0:
            self.sessions.pop(asked.session_id, None)
            self.made += 1
            self.sessions[self.made] = (1, rows)
            return 0, self.made, rows
        if asked.session_id not in self.sessions:
            return 70, 0, {}
        epoch, known = self.sessions[asked.session_id]
        if epoch != asked.session_epoch:
            return 71, 0, {}
        read = {number: offset for number, offset in {**known, **rows}.items() if number not in gone}
        self.sessions[asked.session_id] = (epoch + 1, read)
        return 0, asked.session_id, read


def fetch(session: FetchSession, broker: Broker, wanted: dict[int, int], cap: int = NAMED) -> Any:
    asked = request(wanted)
    session.apply(asked, cap)
    error, session_id, read = broker.answer(asked)
    if error:
        session.on_failure()
        return error
    session.on_reply(session_id)
    return read


def test_a_session_tells_only_what_has_changed() -> None:
    session, broker = FetchSession(), Broker()
    everything = dict.fromkeys(range(100), 0)
    assert fetch(session, broker, everything) == everything and broker.listed == 100
    assert fetch(session, broker, everything) == everything and broker.listed == 0
    moved = {**everything, 7: 5}
    assert fetch(session, broker, moved) == moved and broker.listed == 1
    fewer = {number: offset for number, offset in moved.items() if number != 3}
    assert fetch(session, broker, fewer) == fewer and broker.listed == 1
    assert fetch(session, broker, moved) == moved and broker.listed == 1


def test_a_broker_that_has_forgotten_the_session_is_told_everything_again() -> None:
    session, broker = FetchSession(), Broker()
    fetch(session, broker, {0: 1})
    broker.sessions.clear()
    assert fetch(session, broker, {0: 1}) == 70
    assert fetch(session, broker, {0: 1}) == {0: 1}


def test_the_same_is_asked_again_without_naming_anything() -> None:
    session, broker = FetchSession(), Broker()
    fetch(session, broker, {0: 1, 1: 2})
    for _ in range(3):
        asked = FetchRequest(topics=[])
        assert session.repeat(asked) == NAMED
        error, session_id, read = broker.answer(asked)
        assert (error, read, broker.listed) == (0, {0: 1, 1: 2}, 0)
        session.on_reply(session_id)
    assert fetch(session, broker, {0: 1, 1: 3}) == {0: 1, 1: 3} and broker.listed == 1


def test_another_way_of_naming_topics_needs_another_session() -> None:
    session, broker = FetchSession(), Broker()
    fetch(session, broker, {0: 1}, NAMED)
    assert fetch(session, broker, {0: 1}, WITH_IDS) == {0: 1} and broker.listed == 1


def test_a_broker_without_sessions_is_told_everything_every_time() -> None:
    session = FetchSession()
    for _ in range(3):
        asked = request({0: 1, 1: 2})
        session.apply(asked, NAMED)
        session.on_reply(0)
        assert (asked.session_id, asked.session_epoch, len(asked.topics[0].partitions)) == (0, 0, 2)


def test_the_number_of_requests_goes_round_without_being_zero() -> None:
    session = FetchSession()
    session.apply(request({0: 1}), NAMED)
    session.on_reply(5)
    session._epoch = MAX_EPOCH
    session.on_reply(5)
    asked = request({0: 1})
    session.apply(asked, NAMED)
    assert asked.session_epoch == 1


wants = st.dictionaries(st.integers(0, 6), st.integers(0, 3), min_size=1)


@given(st.lists(st.tuples(wants, st.sampled_from(["answered", "lost", "forgotten", "not sent"])), max_size=30))
def test_whatever_happens_what_is_read_is_what_is_wanted(story: list[tuple[dict[int, int], str]]) -> None:
    session, broker = FetchSession(), Broker()
    for wanted, what in story:
        asked = request(wanted)
        session.apply(asked, NAMED)
        if what == "forgotten":
            broker.sessions.clear()
        if what == "not sent":
            session.on_failure()
            continue
        error, session_id, read = broker.answer(asked)
        if error or what == "lost":
            session.on_failure()
            continue
        assert read == wanted
        session.on_reply(session_id)
