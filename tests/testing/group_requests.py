"""Requests of groups in a few words, for tests that ask over sockets."""

from __future__ import annotations

from typing import Any, Optional

from pykafka.protocol import messages as m


def join(group: str, member_id: str = "", protocols: str = "range", metadata: bytes = b"wishes", **fields: Any) -> Any:
    """Return a request to join a classic group."""
    rows = [m.JoinGroupRequest.JoinGroupRequestProtocol(name=name, metadata=metadata) for name in protocols.split()]
    usual = {"session_timeout_ms": 10000, "rebalance_timeout_ms": 20000, "protocol_type": "consumer"}
    return m.JoinGroupRequest(**{**usual, "group_id": group, "member_id": member_id, "protocols": rows, **fields})


def sync(group: str, member_id: str, generation: int, shares: Optional[dict[str, bytes]] = None, **fields: Any) -> Any:
    """Return a request for what to read, with everybody's shares from the leader."""
    kind = m.SyncGroupRequest.SyncGroupRequestAssignment
    rows = [kind(member_id=member, assignment=share) for member, share in (shares or {}).items()]
    return m.SyncGroupRequest(group_id=group, generation_id=generation, member_id=member_id, assignments=rows, **fields)


def beat(group: str, member_id: str, generation: int, **fields: Any) -> Any:
    """Return a heartbeat of a member of a classic group."""
    return m.HeartbeatRequest(group_id=group, generation_id=generation, member_id=member_id, **fields)


def leave(group: str, *members: Any) -> Any:
    """Return a request to leave; a member is its id or (id, instance id)."""
    pairs = [(one, None) if isinstance(one, str) else one for one in members]
    rows = [m.LeaveGroupRequest.MemberIdentity(member_id=member, group_instance_id=instance) for member, instance in pairs]
    return m.LeaveGroupRequest(group_id=group, member_id=pairs[0][0] if pairs else "", members=rows)


def commit(group: str, topic: str, *rows: tuple[int, int, Optional[str]], topic_id: bytes = bytes(16), **fields: Any) -> Any:
    """Return a request to commit (partition, offset, metadata) of one topic."""
    kind = m.OffsetCommitRequest
    partitions = [
        kind.OffsetCommitRequestPartition(
            partition_index=number, committed_offset=offset, committed_metadata=metadata, committed_leader_epoch=0
        )
        for number, offset, metadata in rows
    ]
    topics = [kind.OffsetCommitRequestTopic(name=topic, topic_id=topic_id, partitions=partitions)]
    return kind(group_id=group, topics=topics, **fields)


def fetch_offsets(
    group: str, topic: Optional[str], *partitions: int, topic_id: bytes = bytes(16), member_id: Any = None, epoch: int = -1
) -> Any:
    """Return a request for what was committed, of all versions at once; no topic means all of them."""
    kind = m.OffsetFetchRequest
    old = None if topic is None else [kind.OffsetFetchRequestTopic(name=topic, partition_indexes=list(partitions))]
    new = (
        None
        if topic is None
        else [kind.OffsetFetchRequestTopics(name=topic, topic_id=topic_id, partition_indexes=list(partitions))]
    )
    row = kind.OffsetFetchRequestGroup(group_id=group, member_id=member_id, member_epoch=epoch, topics=new)
    return kind(group_id=group, topics=old, groups=[row])


def consumer(group: str, member_id: str, epoch: int, **fields: Any) -> Any:
    """Return a heartbeat of a member of a group of the newer protocol; with epoch 0 all that it has to say then."""
    usual = {"rebalance_timeout_ms": 20000, "subscribed_topic_names": [], "topic_partitions": []} if epoch == 0 else {}
    who = {"group_id": group, "member_id": member_id, "member_epoch": epoch}
    return m.ConsumerGroupHeartbeatRequest(**{**usual, **who, **fields})


def owned(topic_id: bytes, *partitions: int) -> list[Any]:
    """Return partitions of one topic, as a member has them."""
    if not partitions:
        return []
    return [m.ConsumerGroupHeartbeatRequest.TopicPartitions(topic_id=topic_id, partitions=list(partitions))]
