"""What a member of a classic group tells its leader, and what the leader makes of it; pure."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import Any, Optional

from ..common import TopicPartition, by_topic
from ..exceptions import ProtocolError
from ..protocol.api import decode_data, encode_data
from ..protocol.consumer_group import MemberAssignment
from ..protocol.messages import ConsumerProtocolSubscription
from .assignors import STICKY, Assignor, Members, MemberSubscription, Partitions
from .classic_member import Protocol
from .member import MemberMetadata, Owned

_INT32 = struct.Struct(">i")
#: What kafka-python 3 has before the user data of its sticky assignor: its version. To others, 65,536 topics or more.
_KAFKA_PYTHON = b"\x00\x01"
#: Layouts of a subscription: without and with what the member has.
PLAIN, WITH_RACK = 0, 3


def protocol_of(assignor: Assignor, rack: Optional[str] = None) -> Protocol:
    """Return ``assignor`` as a way of sharing to offer to the coordinator."""

    def metadata(topics: tuple[str, ...], held: Owned, previous: Owned, generation: int) -> bytes:
        if not assignor.says_owned and rack is None:
            # the oldest layout, which clients of any age can read
            return encode_data(ConsumerProtocolSubscription(topics=sorted(topics)), PLAIN)
        row = ConsumerProtocolSubscription.TopicPartition
        owned = [row(topic=topic, partitions=ids) for topic, ids in by_topic(held).items()]
        says = assignor.says_owned
        subscription = ConsumerProtocolSubscription(
            topics=sorted(topics),
            user_data=_user_data(assignor, previous, generation) if says else None,
            owned_partitions=owned,
            generation_id=generation if says else -1,
            rack_id=rack,
        )
        return encode_data(subscription, WITH_RACK)

    return Protocol(assignor.name, metadata, assignor.cooperative)


def _user_data(assignor: Assignor, previous: Owned, generation: int) -> bytes:
    """Return what Java's sticky assignors read: ``sticky`` always, the cooperative one in subscriptions before version 2."""
    if assignor.cooperative:
        return _INT32.pack(generation)
    chunks = []
    topics = by_topic(previous)
    chunks.append(_INT32.pack(len(topics)))
    for topic, ids in topics.items():
        name = topic.encode()
        chunks += [struct.pack(">h", len(name)), name, struct.pack(f">i{len(ids)}i", len(ids), *ids)]
    return b"".join([*chunks, _INT32.pack(generation)])


def read_subscription(member: MemberMetadata, protocol: str) -> MemberSubscription:
    """Return what a member told its leader, for the way of sharing of that name.

    With ``sticky``, what a member had stands in its user data, in subscriptions of every version: it has given all of that up
    before it joins, so the partitions that the subscription itself names are none.

    :raises ProtocolError: when it cannot be read; it may come from any client, and be anything
    """
    data, version, _end = decode_data(ConsumerProtocolSubscription, member.metadata)
    owned = [TopicPartition(row.topic, number) for row in data.owned_partitions for number in row.partitions]
    generation = data.generation_id
    if protocol == STICKY.name:
        owned, generation = _read_user_data(data.user_data or b"")
    elif version < 2 or generation < 0:
        previous, generation = _read_user_data(data.user_data or b"")
        owned = owned or previous
    return MemberSubscription(tuple(data.topics), tuple(dict.fromkeys(owned)), generation, member.instance_id, data.rack_id)


def _read_user_data(data: bytes) -> tuple[list[TopicPartition], int]:
    """Return (partitions held, generation) of a sticky assignor's user data; nothing where it is none."""
    view = memoryview(data)
    if len(view) == _INT32.size:
        return [], int(_INT32.unpack(view)[0])
    if view[:2] == _KAFKA_PYTHON:
        view = view[2:]
    try:
        held, at = _read_held(view)
    except (struct.error, UnicodeDecodeError):
        return [], -1  # of another way of sharing: it says nothing to us
    return held, int(_INT32.unpack_from(view, at)[0]) if len(view) - at >= _INT32.size else -1


def _read_held(view: memoryview) -> tuple[list[TopicPartition], int]:
    held: list[TopicPartition] = []
    (count,), at = _INT32.unpack_from(view), _INT32.size
    for _ in range(count):
        (length,) = struct.unpack_from(">h", view, at)
        name = bytes(view[at + 2 : at + 2 + max(0, length)]).decode()
        at += 2 + max(0, length)
        (size,) = _INT32.unpack_from(view, at)
        # how many there are is checked by unpack_from against what is there
        held += [TopicPartition(name, number) for number in struct.unpack_from(f">{max(0, size)}i", view, at + 4)]
        at += 4 + 4 * max(0, size)
    return held, at


def decide(assignor: Assignor, members: Members, partitions: Partitions) -> list[tuple[str, bytes]]:
    """Return (member id, what it is told) of every member."""
    shares = assignor.assign(members, partitions)
    return [(member, encode_assignment(share)) for member, share in shares.items()]


def encode_assignment(share: Iterable[TopicPartition]) -> bytes:
    """Return partitions as a member is told of them."""
    return bytes(MemberAssignment(list(by_topic(share).items())).get_bytes())


def readable(
    members: Iterable[MemberMetadata], protocol: str
) -> tuple[dict[str, MemberSubscription], dict[str, ProtocolError]]:
    """Return member id -> what it wants, and member id -> what is wrong with what it says: such a one gets nothing to read.

    :param protocol: the way of sharing that they said it for
    """
    good: dict[str, MemberSubscription] = {}
    bad: dict[str, ProtocolError] = {}
    for member in members:
        try:
            good[member.member_id] = read_subscription(member, protocol)
        except ProtocolError as error:
            bad[member.member_id] = error
            good[member.member_id] = MemberSubscription((), instance_id=member.instance_id)
    return good, bad


def wanted_topics(members: Any) -> list[str]:
    """Return every topic that some member wants."""
    return sorted({topic for subscription in members.values() for topic in subscription.topics})
