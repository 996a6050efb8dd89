"""Requests of groups in a few words, and what else tests need that ask about groups over sockets."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from typing import Any, Optional

from pykafka.protocol import messages as m

from .peer import Comparer, Peer, new_topic, peer_of


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


class GroupComparer(Comparer):
    """Has ids of members, which brokers make, and members in an order that nobody promises."""

    def plain(self, value: Any, name: str = "") -> Any:
        if name in ("member_id", "leader") and value and "-" in value:
            start, _dash, rest = value.partition("-")
            return f"{start}-{self._id('made', rest)}"
        if name == "members" and isinstance(value, list):
            return sorted((super(GroupComparer, self).plain(row) for row in value), key=lambda row: str(row["member_id"]))
        if name == "topic_partitions" and isinstance(value, list):
            value = sorted(value, key=lambda row: row.partitions)
        return super().plain(value, name)


def coordinated(peer: Peer) -> None:
    """Wait until the broker coordinates groups, which a new one does after a while."""
    deadline = time.monotonic() + 20
    while True:
        keys = m.FindCoordinatorRequest(key_type=0, coordinator_keys=["any"])
        if not peer.ask(keys).coordinators[0].error_code and not peer.ask(fetch_offsets("any", None)).groups[0].error_code:
            return
        assert time.monotonic() < deadline
        time.sleep(0.05)


def new_member(peer: Peer, group: str, **options: Any) -> str:
    """Return the id that a new member is given."""
    return str(peer.ask(join(group, **options)).member_id)


def stable(peer: Peer, group: str, **options: Any) -> str:
    """Return the only member of a stable group, in generation 1."""
    member = new_member(peer, group, **options)
    assert peer.ask(join(group, member, **options)).generation_id == 1
    assert peer.ask(sync(group, member, 1, {member: b"share"}), 4).error_code == 0
    return member


def looks(peer: Peer, group: str) -> Iterator[Any]:
    """Yield what everybody can see of a group."""
    for version in range(7):
        yield peer.ask(m.DescribeGroupsRequest(groups=[group]), version)
    for version in range(2):
        yield peer.ask(m.ConsumerGroupDescribeRequest(group_ids=[group]), version)
    yield listed(peer, group)


def listed(peer: Peer, group: str, version: int = 5, **filters: Any) -> Any:
    """Return how a group is listed, if it is."""
    answer = peer.ask(m.ListGroupsRequest(**filters), version)
    answer.groups = [row for row in answer.groups if row.group_id == group]
    return answer


def peer_of_same(peer: Peer) -> Any:
    """Return another connection to the same broker."""
    host, port = peer.socket.getpeername()
    return peer_of(f"{host}:{port}")


def in_state(peer: Peer, group: str, state: str) -> None:
    """Wait until a group is in a state."""
    deadline = time.monotonic() + 10
    while peer.ask(m.DescribeGroupsRequest(groups=[group])).groups[0].group_state != state:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def known_topic(peer: Peer, name: str, partitions: int) -> bytes:
    """Create a topic, wait until the coordinator has heard of it, too, and return its id."""
    topic_id = new_topic(peer, name, partitions)
    deadline = time.monotonic() + 10
    for number in itertools.count():
        probe = f"{name}-probe-{number}"
        found = peer.ask(consumer(probe, "me", 0, subscribed_topic_names=[name])).assignment.topic_partitions
        peer.ask(consumer(probe, "me", -1))
        if found and len(found[0].partitions) == partitions:
            return topic_id
        assert time.monotonic() < deadline, f"the coordinator does not know {name}"
        time.sleep(0.02)
    raise AssertionError


def news(peer: Peer, request: Any) -> Any:
    """Return the first answer to a heartbeat that has another epoch, or an assignment: it is shared out now and then only."""
    deadline = time.monotonic() + 10
    while True:
        answer = peer.ask(request)
        if answer.error_code or answer.assignment is not None or answer.member_epoch != request.member_epoch:
            return answer
        assert time.monotonic() < deadline, "there is no news"
        time.sleep(0.02)
