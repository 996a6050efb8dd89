"""Fetch sessions of one broker (KIP-227): which partitions a consumer reads, so that it need not say so in every request."""

from __future__ import annotations

import random
from typing import Any, NamedTuple, Optional

#: A broker keeps so many sessions; who comes after gets none and asks for everything each time.
MAX_SESSIONS = 1000
#: The epochs of a request that is a full one: in a new session, and in none.
INITIAL, FINAL = 0, -1
_LAST_EPOCH = 2**31 - 1

SESSION_NOT_FOUND, INVALID_EPOCH, TOPIC_ID_ERROR = 70, 71, 106
#: Topics have ids in requests from this version on.
_IDS_SINCE = 13
_SESSIONS_SINCE = 7

#: How a request names a topic: by name up to v12, by id from v13 on.
TopicKey = Any


class Wanted(NamedTuple):
    """What is asked of one partition."""

    topic: TopicKey
    partition: int
    fetch_offset: int
    max_bytes: int
    leader_epoch: int
    last_fetched_epoch: int


class Told(NamedTuple):
    """What a consumer was last told of a partition besides records."""

    high_watermark: int
    log_start_offset: int


#: For a partition that it was told nothing of, or an error.
NOTHING = Told(-1, -1)


class SessionError(Exception):
    """A request that does not fit its session; ``code`` goes to the top of the answer."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


class Session:
    """One consumer's session: its partitions, in the order in which they are read next."""

    def __init__(self, session_id: int, uses_ids: bool) -> None:
        self.id = session_id
        self.uses_ids = uses_ids
        self.epoch = 1
        self.wanted: dict[tuple[TopicKey, int], Wanted] = {}
        self.told: dict[tuple[TopicKey, int], Told] = {}

    def add(self, wanted: Wanted) -> None:
        """Add a partition, or change what is asked of it."""
        key = (wanted.topic, wanted.partition)
        self.wanted[key] = wanted
        self.told.setdefault(key, NOTHING)

    def forget(self, topic: TopicKey, partition: int) -> None:
        """Take a partition out."""
        self.wanted.pop((topic, partition), None)
        self.told.pop((topic, partition), None)

    def has_news(self, wanted: Wanted, row: Any) -> bool:
        """Return whether a partition's row belongs in an incremental answer, and note that it has been told."""
        key = (wanted.topic, wanted.partition)
        now = Told(row.high_watermark, row.log_start_offset)
        has_news = bool(
            row.records
            or row.error_code
            or row.preferred_read_replica >= 0
            or row.diverging_epoch.epoch >= 0
            or self.told.get(key) != now
        )
        # after an error everything is news again
        self.told[key] = NOTHING if row.error_code else now
        if row.records and key in self.wanted:
            # who had something to read comes last the next time
            self.wanted[key] = self.wanted.pop(key)
        return has_news


class Reading(NamedTuple):
    """What one request reads: the partitions, in which session if any, and whether all of them are answered for."""

    partitions: list[Wanted]
    session: Optional[Session]
    is_full: bool


class FetchSessions:
    """The sessions of one broker."""

    def __init__(self, max_sessions: int = MAX_SESSIONS) -> None:
        self._max = max_sessions
        self._sessions: dict[int, Session] = {}

    def __len__(self) -> int:
        return len(self._sessions)

    def clear(self) -> None:
        """Forget all of them."""
        self._sessions.clear()

    def partitions_of(self, request: Any) -> list[tuple[TopicKey, int]]:
        """Return what a request is about because it is in its session."""
        session = self._sessions.get(request.session_id) if request.session_epoch > 0 else None
        return list(session.wanted) if session is not None else []

    def begin(self, request: Any, version: int) -> Reading:
        """Return what a request reads.

        :raises SessionError: when it does not fit the session that it names
        """
        asked = [_wanted(topic, row, version) for topic in request.topics for row in topic.partitions]
        if version < _SESSIONS_SINCE or request.session_epoch in (INITIAL, FINAL):
            self._sessions.pop(request.session_id, None)
            if version < _SESSIONS_SINCE or request.session_epoch == FINAL:
                return Reading(asked, None, True)
            return Reading(asked, self._open(asked, version >= _IDS_SINCE), True)
        session = self._continue(request, version)
        for wanted in asked:
            session.add(wanted)
        for topic in request.forgotten_topics_data:
            for partition in topic.partitions:
                session.forget(_topic_key(topic, version), partition)
        if not session.wanted:
            del self._sessions[session.id]
            return Reading([], None, True)
        return Reading(list(session.wanted.values()), session, False)

    def _continue(self, request: Any, version: int) -> Session:
        session = self._sessions.get(request.session_id)
        if session is None:
            raise SessionError(SESSION_NOT_FOUND)
        if session.epoch != request.session_epoch:
            raise SessionError(INVALID_EPOCH)
        if session.uses_ids != (version >= _IDS_SINCE):
            raise SessionError(TOPIC_ID_ERROR)
        session.epoch = 1 if session.epoch == _LAST_EPOCH else session.epoch + 1
        return session

    def _open(self, asked: list[Wanted], uses_ids: bool) -> Optional[Session]:
        if len(self._sessions) >= self._max:
            return None
        session = Session(random.randint(1, 2**31 - 1), uses_ids)
        while session.id in self._sessions:
            session.id = random.randint(1, 2**31 - 1)
        for wanted in asked:
            session.add(wanted)
        self._sessions[session.id] = session
        return session


def _wanted(topic: Any, row: Any, version: int) -> Wanted:
    return Wanted(
        _topic_key(topic, version),
        row.partition,
        row.fetch_offset,
        row.partition_max_bytes,
        row.current_leader_epoch,
        row.last_fetched_epoch,
    )


def _topic_key(topic: Any, version: int) -> TopicKey:
    return topic.topic_id if version >= _IDS_SINCE else topic.topic
