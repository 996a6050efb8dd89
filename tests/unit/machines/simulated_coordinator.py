"""The coordinator of the fake cluster, which is held against real brokers', as simulations of one group look at it."""

from __future__ import annotations

import itertools
from typing import Any, Callable, Union

from pykafka.common import TopicPartition
from pykafka.protocol.messages import OffsetCommitRequest, SyncGroupRequest
from pykafka.testing.classic_group import STABLE, ClassicGroup
from pykafka.testing.consumer_group import ConsumerGroup
from pykafka.testing.group_common import GroupSettings
from pykafka.testing.groups import GroupCoordinator

GROUP = "g"


class Coordinator:
    """One group. Requests are handled at once; answers may come later, from :meth:`tick` or another request."""

    def __init__(self, topics: dict[str, int], settings: GroupSettings) -> None:
        numbers = itertools.count(1)
        rows = {name: (f"id of {name}".ljust(16).encode(), count) for name, count in topics.items()}
        #: topics by their ids
        self.names = {topic_id: name for name, (topic_id, _count) in rows.items()}
        self._groups = GroupCoordinator(lambda: rows, settings, lambda: f"m{next(numbers)}")
        #: (generation, place in time) -> member -> what it was told to read; a generation that another coordinator never
        #: heard of has its number used again
        self.told: dict[tuple[int, int], dict[str, bytes]] = {}

    @property
    def _group(self) -> Union[ClassicGroup, ConsumerGroup, None]:
        return self._groups.groups.get(GROUP)

    @property
    def seats(self) -> dict[str, Any]:
        """Return the members."""
        group = self._groups.groups.get(GROUP)
        return {} if group is None else group.seats  # type: ignore[return-value]  # of either kind

    @property
    def protocol(self) -> str:
        """Return the way of sharing that a classic group has chosen."""
        return self._group.protocol if isinstance(self._group, ClassicGroup) else ""

    @property
    def committed(self) -> dict[TopicPartition, int]:
        """Return how far everything was read."""
        return {TopicPartition(*place): one.offset for place, one in self._groups.committed(GROUP).items()}

    def handle(self, request: Any, now: float, answer: Callable[[Any], None]) -> None:
        """Act on a request; ``answer`` is called with the response, at most once."""
        group = self._group
        decides = isinstance(request, SyncGroupRequest) and group is not None and group.state != STABLE
        self._groups.handle(request, type(request).MAX_VERSION, now, answer)
        if decides and isinstance(group, ClassicGroup) and group.state == STABLE:
            shares = {member_id: seat.assignment for member_id, seat in group.seats.items()}
            self.told[group.generation, len(self.told)] = shares
        if isinstance(self._group, ConsumerGroup):
            held = [place for seat in self._group.seats.values() for place in seat.holds]
            assert len(held) == len(set(held)), "the coordinator itself gave a partition to two members"

    def commit(self, member_id: str, generation: int, offsets: dict[TopicPartition, int], now: float) -> None:
        """Commit as a member; all of it is taken, or some, or nothing."""
        made, row = OffsetCommitRequest.OffsetCommitRequestTopic, OffsetCommitRequest.OffsetCommitRequestPartition
        rows: dict[str, list[Any]] = {}
        for tp, offset in offsets.items():
            rows.setdefault(tp.topic, []).append(row(partition_index=tp.partition, committed_offset=offset))
        topics = [made(name=name, partitions=partitions) for name, partitions in rows.items()]
        request = OffsetCommitRequest(
            group_id=GROUP, generation_id_or_member_epoch=generation, member_id=member_id, topics=topics
        )
        self._groups.handle(request, 9, now, lambda _answer: None)

    def next_tick(self) -> float:
        """Return when :meth:`tick` has something to do."""
        return self._groups.next_tick()

    def tick(self, now: float) -> None:
        """Put out whoever was not heard of for too long, and end a rebalance whose time is over."""
        self._groups.tick(now)

    def moved(self, now: float) -> None:
        """Begin at another broker: what is held back is never answered, and all seats get a new session."""
        self._groups.coordinator_moved(GROUP, now)
