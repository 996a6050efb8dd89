"""The ways of sharing that a member of a group offers: PyKafka's objects, Java's names, and what they decide."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, Optional, Union

from ._machines.assignors import COOPERATIVE_STICKY, RANGE, ROUNDROBIN, STICKY, Assignor
from ._machines.classic_member import Protocol
from ._machines.member import Decide, Keep, Owned
from ._machines.sharing import decide, encode_assignment, protocol_of, readable, wanted_topics
from .common import TopicPartition, brief
from .exceptions import KafkaException
from .membershipprotocol import (
    CooperativeStickyProtocol,
    GroupMembershipProtocol,
    RangeProtocol,
    RoundRobinProtocol,
    StickyProtocol,
)
from .protocol.consumer_group import ConsumerGroupProtocolMetadata, as_field

#: PyKafka's objects -> our own ways of sharing, which work on several topics at once, and what a coordinator calls them.
BUILT_IN: dict[str, tuple[GroupMembershipProtocol, Assignor, str]] = {
    "range": (RangeProtocol, RANGE, "range"),
    "roundrobin": (RoundRobinProtocol, ROUNDROBIN, "uniform"),
    "sticky": (StickyProtocol, STICKY, "uniform"),
    "cooperative-sticky": (CooperativeStickyProtocol, COOPERATIVE_STICKY, "uniform"),
}


class Numbered(NamedTuple):
    """A partition for a user's ``decide_partitions``: hashable, with a number."""

    topic: bytes
    id: int


class Sharing:
    """What a member offers, the best first, and what it decides as the leader of its group."""

    def __init__(self, given: Any, rack: Optional[str] = None) -> None:
        offered = [given] if isinstance(given, GroupMembershipProtocol) else list(given)
        self._ways = {_name(protocol): protocol for protocol in offered}
        self.protocols = [self._protocol(protocol, rack) for protocol in self._ways.values()]

    @property
    def server_assignor(self) -> Optional[str]:
        """Return the way of sharing to ask a coordinator for that shares out itself (KIP-848); None where it has none like it."""
        names = list(self._ways)
        return BUILT_IN[names[0]][2] if all(_is_built_in(one) for one in self._ways.values()) else None

    @staticmethod
    def _protocol(protocol: GroupMembershipProtocol, rack: Optional[str]) -> Protocol:
        if _is_built_in(protocol):
            return protocol_of(BUILT_IN[_name(protocol)][1], rack)

        def metadata(topics: tuple[str, ...], _held: Owned, _previous: Owned, _generation: int) -> bytes:
            own = protocol.metadata
            if isinstance(own, ConsumerGroupProtocolMetadata) and not own.topic_names:
                own = ConsumerGroupProtocolMetadata(own.version, sorted(topics), own.user_data)
            return as_field(own, "membership_protocol.metadata")

        return Protocol(_name(protocol), metadata)

    def wanted(self, event: Union[Decide, Keep]) -> list[str]:
        """Return the topics that the members want; what has to be known before it can be decided."""
        return wanted_topics(readable(event.members, event.protocol)[0])

    def decide(self, event: Decide, partitions: Mapping[str, Sequence[int]]) -> tuple[list[tuple[str, bytes]], list[str]]:
        """Return (member id, what it is told) of every member, and what is to be said of members that cannot be understood.

        :param partitions: topic -> partition numbers, of every topic that there is
        :raises KafkaException: when a ``decide_partitions`` of the user's gave something that nobody, or two, would read
        """
        members, bad = readable(event.members, event.protocol)
        remarks = [f"member {member} is given nothing to read: {error}" for member, error in bad.items()]
        protocol = self._ways[event.protocol]
        if _is_built_in(protocol):
            return decide(BUILT_IN[event.protocol][1], members, partitions), remarks
        shares: dict[str, list[TopicPartition]] = {member: [] for member in members}
        for topic in wanted_topics(members):
            takers = sorted(member for member, subscription in members.items() if topic in subscription.topics)
            for member, numbers in _ask(protocol, topic, takers, partitions.get(topic, ())).items():
                shares[member] += [TopicPartition(topic, number) for number in numbers]
        return [(member, encode_assignment(share)) for member, share in shares.items()], remarks


def _ask(protocol: GroupMembershipProtocol, topic: str, takers: list[str], numbers: Iterable[int]) -> dict[str, list[int]]:
    """Return member -> partitions, as the user's function has it."""
    partitions = {number: Numbered(topic.encode(), number) for number in sorted(numbers)}
    participants = [member.encode() for member in takers]
    shares: dict[str, list[int]] = {}
    for member in takers:
        try:
            chosen = protocol.decide_partitions(participants, dict(partitions), member.encode())
        except (Exception, SystemExit) as error:  # whoever waits for a share is to be told
            raise KafkaException(f"decide_partitions of {protocol!r} for member {member} of {topic} failed: {error!r}") from error
        try:
            shares[member] = sorted(partition.id for partition in chosen)
        except (TypeError, AttributeError):
            raise KafkaException(
                f"decide_partitions of {protocol!r} for member {member} of {topic} returned {brief(chosen)},"
                " where it has to return some of the partitions that it was given"
            ) from None
    given = sorted(number for share in shares.values() for number in share)
    if given != sorted(partitions):
        raise KafkaException(
            f"decide_partitions of {protocol!r} gave partitions {given} of {topic} to {len(takers)} members,"
            f" where each of {sorted(partitions)} has to have exactly one reader"
        )
    return shares


def _name(protocol: GroupMembershipProtocol) -> str:
    name = protocol.protocol_name
    return name.decode() if isinstance(name, bytes) else str(name)


def _is_built_in(protocol: GroupMembershipProtocol) -> bool:
    """Return whether it is one of ours, with nothing of the user's in it."""
    ours = BUILT_IN.get(_name(protocol), (None,))[0]
    return ours is not None and (protocol.decide_partitions, protocol.metadata) == (ours.decide_partitions, ours.metadata)
