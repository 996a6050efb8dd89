"""Fetch sessions (KIP-227): what a broker knows already is not told it again; pure.

A session belongs to one connection's worth of fetches. Its first request names all partitions; later ones name those that are
new or whose offset has changed, and those that are to be left out from now on. The broker answers with those that have news.
"""

from __future__ import annotations

from typing import Any

from ..protocol.messages import FetchRequest

NO_SESSION, FIRST_EPOCH, CLOSE_EPOCH = 0, 0, -1
MAX_EPOCH = 2**31 - 1


#: (topic's id, its name, partition)
Key = tuple[bytes, str, int]


class FetchSession:
    """One session, from the client's side. :meth:`apply` is called for every request, then one of the others for its outcome."""

    def __init__(self) -> None:
        self.id = NO_SESSION
        self._epoch = FIRST_EPOCH
        #: partitions as the broker was told of them last
        self._known: dict[Key, Any] = {}
        self._version = -1

    def apply(self, request: FetchRequest, cap: int) -> None:
        """Make ``request``, which names everything wanted, one of this session.

        :param cap: the newest version it may be sent in; another one means another session: it may be ids in the place of names
        """
        rows = [(topic, row) for topic in request.topics for row in topic.partitions]
        wanted = {(topic.topic_id, topic.topic, row.partition): row for topic, row in rows}
        if cap != self._version:
            self._start_over()
        self._version = cap
        request.session_id, request.session_epoch = self.id, self._epoch
        if self.id != NO_SESSION:
            changed = {key: row for key, row in wanted.items() if self._known.get(key) != row}
            forgotten = [key for key in self._known if key not in wanted]
            request.topics = _topics(changed)
            request.forgotten_topics_data = _forgotten(forgotten)
        self._known = wanted

    def repeat(self, request: FetchRequest) -> int:
        """Make ``request``, which names nothing, one that asks for the same once more; return the version to cap it at."""
        request.session_id, request.session_epoch = self.id, self._epoch
        return self._version

    def on_reply(self, session_id: int) -> None:
        """Note that the broker has answered, with the id of the session, 0 when it keeps none."""
        if session_id == NO_SESSION:
            self._start_over()
            return
        self.id = session_id
        # 0 would open another session
        self._epoch = 1 if self._epoch == MAX_EPOCH else self._epoch + 1

    def on_failure(self) -> None:
        """Note that there was no answer, or that the broker has another idea of the session: begin another one."""
        self._start_over()

    def _start_over(self) -> None:
        self.id, self._epoch, self._known = NO_SESSION, FIRST_EPOCH, {}


def _topics(rows: dict[Key, Any]) -> list[FetchRequest.FetchTopic]:
    topics: dict[tuple[bytes, str], FetchRequest.FetchTopic] = {}
    for (topic_id, name, _number), row in rows.items():
        if (topic_id, name) not in topics:
            topics[topic_id, name] = FetchRequest.FetchTopic(topic=name, topic_id=topic_id, partitions=[])
        topics[topic_id, name].partitions.append(row)
    return list(topics.values())


def _forgotten(keys: list[Key]) -> list[FetchRequest.ForgottenTopic]:
    topics: dict[tuple[bytes, str], FetchRequest.ForgottenTopic] = {}
    for topic_id, name, number in keys:
        if (topic_id, name) not in topics:
            topics[topic_id, name] = FetchRequest.ForgottenTopic(topic=name, topic_id=topic_id, partitions=[])
        topics[topic_id, name].partitions.append(number)
    return list(topics.values())
