"""What a fetch asks for, and which of it an answer is about; pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, Optional

from ..common import TopicPartition
from ..protocol.messages import FetchRequest
from .fetch_plan import FetchLimits, PartitionFetch
from .metadata import ZERO_UUID, ClusterView

#: The last Fetch version that names topics; 17 is the last that a consumer gains anything from (18 is for replicas).
LAST_NAMED_VERSION = 12
NEWEST_USEFUL_VERSION = 17


class FetchSettings(NamedTuple):
    """How a consumer fetches."""

    max_wait_ms: int
    min_bytes: int
    max_bytes: int
    partition_max_bytes: int
    read_committed: bool
    error_backoff_s: float
    limits: FetchLimits
    rack: str = ""

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> FetchSettings:
        """Return what a consumer's ``options`` say."""
        return cls(
            max_wait_ms=options["fetch_wait_max_ms"],
            min_bytes=options["fetch_min_bytes"],
            max_bytes=options["fetch_max_bytes"],
            partition_max_bytes=options["fetch_message_max_bytes"],
            read_committed=options["isolation_level"] == "read_committed",
            error_backoff_s=options["fetch_error_backoff_ms"] / 1000.0,
            limits=FetchLimits(options["queued_max_messages"], options["fetch_memory_bytes"]),
            rack=options["client_rack"],
        )


class Asked:
    """What one fetch asked for. An answer about a partition counts as long as nothing else is wanted of it meanwhile."""

    def __init__(self, partitions: dict[TopicPartition, tuple[PartitionFetch, int, int]]) -> None:
        self.partitions = partitions
        #: how often what is wanted had changed when it was asked for, and when it is to be looked at anew at the latest
        self.changes = 0
        self.good_until = 0.0
        #: how large the answer may be
        self.max_bytes = 0
        #: topic id -> name, as the request had them
        self.names: dict[bytes, str] = {}

    @classmethod
    def of(cls, fetches: list[PartitionFetch]) -> Asked:
        """Return what asking for ``fetches`` now means."""
        return cls({fetch.tp: (fetch, fetch.question, fetch.position or 0) for fetch in fetches})

    @property
    def topics(self) -> str:
        """Return the names of the topics, for people."""
        return ", ".join(dict.fromkeys(tp.topic for tp in self.partitions))

    def current(self) -> Iterator[tuple[PartitionFetch, int]]:
        """Yield (partition, offset asked for) where the question still stands."""
        for fetch, question, position in self.partitions.values():
            if fetch.question == question:
                yield fetch, position

    def answered(self, topic: Any, partition: int) -> tuple[Optional[PartitionFetch], int]:
        """Return (partition, offset asked for) that a row of the answer is about; None for one not asked for, or before a seek.

        :param topic: the row of the topic, which has its name up to version 12 and its id from 13 on
        """
        name = topic.topic or self.names.get(topic.topic_id, "")
        fetch, question, position = self.partitions.get(TopicPartition(name, partition), (None, 0, 0))
        return (fetch, position) if fetch is not None and fetch.question == question else (None, 0)


def fetch_request(
    fetches: list[PartitionFetch],
    view: ClusterView,
    topic_ids: Mapping[str, bytes],
    settings: FetchSettings,
    max_bytes: int,
) -> tuple[FetchRequest, int, dict[bytes, str]]:
    """Return the request for ``fetches``, the newest version it can be sent in, and topic id -> name.

    :param topic_ids: the ids of the topics that the positions are about, which need not be those in ``view``
    :param max_bytes: how large the answer may be, unless the first batch in it is larger (KIP-74)
    """
    topics: dict[str, FetchRequest.FetchTopic] = {}
    for fetch in fetches:
        name, number = fetch.tp
        info, topic_id = view.topics.get(name), topic_ids.get(name, ZERO_UUID)
        if name not in topics:
            topics[name] = FetchRequest.FetchTopic(topic=name, topic_id=topic_id, partitions=[])
        # the epochs of another topic of the same name mean nothing in this one
        known = info.partitions.get(number) if info is not None and info.topic_id == topic_id else None
        row = FetchRequest.FetchPartition(
            partition=number,
            current_leader_epoch=known.leader_epoch if known is not None else -1,
            fetch_offset=fetch.position or 0,
            last_fetched_epoch=fetch.last_epoch,
            partition_max_bytes=settings.partition_max_bytes,
        )
        topics[name].partitions.append(row)
    request = request_of(list(topics.values()), settings, max_bytes)
    has_ids = all(topic.topic_id != ZERO_UUID for topic in topics.values())
    names = {topic.topic_id: topic.topic for topic in topics.values()}
    return request, NEWEST_USEFUL_VERSION if has_ids else LAST_NAMED_VERSION, names


def request_of(topics: list[FetchRequest.FetchTopic], settings: FetchSettings, max_bytes: int) -> FetchRequest:
    """Return a request that names ``topics``, of no session."""
    return FetchRequest(
        max_wait_ms=settings.max_wait_ms,
        min_bytes=settings.min_bytes,
        max_bytes=max_bytes,
        isolation_level=1 if settings.read_committed else 0,
        session_id=0,
        session_epoch=-1,
        topics=topics,
        rack_id=settings.rack,
    )


def has_news(reply: Any) -> bool:
    """Return whether an answer says anything of any partition but that there is nothing."""
    return any(
        part.records or part.error_code or part.preferred_read_replica >= 0 or part.diverging_epoch.end_offset >= 0
        for topic in reply.responses
        for part in topic.partitions
    )
