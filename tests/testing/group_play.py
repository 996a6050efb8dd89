"""A group coordinator and its clock, asked by hand: what tests of the pure machines share."""

from __future__ import annotations

import itertools
from typing import Any, Optional

from pykafka.protocol.messages import (
    ConsumerGroupHeartbeatRequest,
    HeartbeatRequest,
    JoinGroupRequest,
    LeaveGroupRequest,
    OffsetCommitRequest,
    OffsetFetchRequest,
    SyncGroupRequest,
)
from pykafka.protocol.schema import Request
from pykafka.testing.group_common import GroupSettings
from pykafka.testing.groups import GroupCoordinator

TOPICS = {"a": (b"id of a".ljust(16), 4), "b": (b"id of b".ljust(16), 2)}


class Sent:
    """A request that was sent, and what was answered so far."""

    def __init__(self) -> None:
        self.answers: list[Any] = []

    @property
    def waits(self) -> bool:
        """Return whether there is no answer yet."""
        return not self.answers

    @property
    def answer(self) -> Any:
        """Return the only answer; there has to be one."""
        (answer,) = self.answers
        return answer

    @property
    def error(self) -> int:
        """Return the error code that it was answered with."""
        return int(self.answer.error_code)


class Play:
    """The coordinator of a few topics. Time stands still but for :meth:`wait`."""

    def __init__(self, **settings: Any) -> None:
        self.topics = dict(TOPICS)
        self.now = 100.0
        numbers = itertools.count(1)
        self.coordinator = GroupCoordinator(lambda: self.topics, GroupSettings(**settings), lambda: f"id{next(numbers)}")

    def ask(self, request: Request, version: Optional[int] = None, client_id: str = "c") -> Sent:
        """Send a request, of the newest version unless it is given."""
        sent = Sent()
        newest = type(request).MAX_VERSION if version is None else version
        self.coordinator.handle(request, newest, self.now, sent.answers.append, client_id, "/127.0.0.1")
        return sent

    def wait(self, seconds: float) -> None:
        """Let time pass, in as many steps as things are due."""
        end = self.now + seconds
        while self.coordinator.next_tick() <= end:
            self.now = max(self.now, self.coordinator.next_tick())
            self.coordinator.tick(self.now)
            assert self.coordinator.next_tick() > self.now, "it would be woken again at once, for nothing"
        self.now = end

    # -- members of a classic group -----------------------------------------------------------------------------------

    def join(
        self,
        member_id: str = "",
        *,
        protocols: str = "range",
        version: Optional[int] = None,
        metadata: bytes = b"wishes",
        instance_id: Optional[str] = None,
        rebalance_s: float = 20.0,
        session_s: float = 10.0,
        protocol_type: str = "consumer",
        client_id: str = "c",
    ) -> Sent:
        rows = [JoinGroupRequest.JoinGroupRequestProtocol(name=name, metadata=metadata) for name in protocols.split()]
        request = JoinGroupRequest(
            group_id="g",
            session_timeout_ms=int(session_s * 1000),
            rebalance_timeout_ms=-1 if version == 0 else int(rebalance_s * 1000),
            member_id=member_id,
            group_instance_id=instance_id,
            protocol_type=protocol_type,
            protocols=rows,
        )
        return self.ask(request, version, client_id)

    def new_id(self, **options: Any) -> str:
        """Return the id that a new member is given to join with."""
        sent = self.join(**options)
        assert sent.error == 79
        return str(sent.answer.member_id)

    def sync(self, member_id: str, generation: int, version: int = 4, **fields: Any) -> Sent:
        shares = fields.pop("shares", {})
        rows = [SyncGroupRequest.SyncGroupRequestAssignment(member_id=key, assignment=share) for key, share in shares.items()]
        request = SyncGroupRequest(
            group_id="g", generation_id=generation, member_id=member_id, assignments=rows, **fields
        )
        return self.ask(request, version)

    def beat(self, member_id: str, generation: int, instance_id: Optional[str] = None) -> int:
        request = HeartbeatRequest(
            group_id="g", generation_id=generation, member_id=member_id, group_instance_id=instance_id
        )
        return self.ask(request).error

    def leave(self, *member_ids: str) -> list[int]:
        """Leave with several members; return the verdict on each."""
        rows = [LeaveGroupRequest.MemberIdentity(member_id=one) for one in member_ids]
        answer = self.ask(LeaveGroupRequest(group_id="g", members=rows)).answer
        assert answer.error_code == 0
        return [row.error_code for row in answer.members]

    def group(self, count: int, **options: Any) -> list[str]:
        """Return the ids of so many members of a stable group, the leader first."""
        ids: list[str] = []
        for _ in range(count):
            made = self.new_id(**options)
            sent = [(made, self.join(made, **options))] + [(one, self.join(one, **options)) for one in ids]
            generation = sent[0][1].answer.generation_id
            ids = sorted(dict(sent), key=lambda one: one != sent[0][1].answer.leader)
            for one in ids:
                assert self.sync(one, generation, shares={each: each.encode() for each in ids}).waits is False
        return ids

    # -- members of a group of the newer protocol ---------------------------------------------------------------------

    def consumer(self, member_id: str, epoch: int, owned: Optional[str] = None, **fields: Any) -> Any:
        """Return the answer to a heartbeat; ``owned`` are partitions of "a0 a1 b0"; with epoch 0 it wants all topics."""
        usual: dict[str, Any] = {}
        if epoch == 0:
            usual = {"rebalance_timeout_ms": 20000, "subscribed_topic_names": sorted(self.topics), "topic_partitions": []}
        if owned is not None:
            made = ConsumerGroupHeartbeatRequest.TopicPartitions
            usual["topic_partitions"] = [
                made(topic_id=self.topics[one[0]][0], partitions=[int(one[1:])]) for one in owned.split()
            ]
        who = {"group_id": "g", "member_id": member_id, "member_epoch": epoch}
        return self.ask(ConsumerGroupHeartbeatRequest(**{**usual, **who, **fields})).answer

    def share(self, answer: Any) -> Optional[str]:
        """Return what an answer gives a member to read, as "a0 a1 b0"; None for what it has already."""
        names = {topic_id: name for name, (topic_id, _count) in self.topics.items()}
        if answer.assignment is None:
            return None
        rows = answer.assignment.topic_partitions
        return " ".join(f"{names[row.topic_id]}{number}" for row in rows for number in row.partitions)

    @property
    def state(self) -> str:
        return str(self.coordinator.groups["g"].state)

    # -- offsets ------------------------------------------------------------------------------------------------------

    def commit(
        self, offset: int, *, topic: str = "a", partition: int = 0, version: int = 9, metadata: Optional[str] = None, **who: Any
    ) -> int:
        """Commit the offset of a partition; return the verdict on it."""
        made = OffsetCommitRequest.OffsetCommitRequestTopic
        row = OffsetCommitRequest.OffsetCommitRequestPartition(
            partition_index=partition, committed_offset=offset, committed_metadata=metadata
        )
        topic_id = self.topics.get(topic, (topic.encode().ljust(16), 0))[0]
        named = made(topic_id=topic_id, partitions=[row]) if version >= 10 else made(name=topic, partitions=[row])
        answer = self.ask(OffsetCommitRequest(group_id="g", topics=[named], **who), version).answer
        ((verdict,),) = ([one.error_code for one in each.partitions] for each in answer.topics)
        return int(verdict)

    def committed(self, topic: str = "a", partition: int = 0) -> int:
        """Return the offset that anybody is told of, who asks."""
        made = OffsetFetchRequest.OffsetFetchRequestTopic(name=topic, partition_indexes=[partition])
        answer = self.ask(OffsetFetchRequest(group_id="g", topics=[made]), 7).answer
        assert answer.error_code == 0
        return int(answer.topics[0].partitions[0].committed_offset)
