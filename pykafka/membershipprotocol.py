"""How the members of a group share the partitions of a topic: PyKafka's names, Java's algorithms.

Every member of a group has to know the same ways of sharing under the same names; the leader's own code decides.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Callable, NamedTuple, Protocol, TypeVar, Union

from .common import brief
from .protocol.consumer_group import ConsumerGroupProtocolMetadata
from .protocol.consumer_group import check_membership_protocol as check_membership_protocol
from .utils.arguments import to_text_name


class _Numbered(Protocol):
    """What a partition has to be: hashable, with a number."""

    @property
    def id(self) -> int:
        """Return the partition's number."""

    def __hash__(self) -> int: ...


P = TypeVar("P", bound=_Numbered)


class GroupMembershipProtocol(NamedTuple):
    """A way of sharing: the names it has on the wire, what members tell the leader, and the function that decides.

    ``metadata`` has ``get_bytes()``; a :class:`~pykafka.protocol.ConsumerGroupProtocolMetadata` without topics of its own gets
    those of the consumer that uses it. ``decide_partitions(participants, partitions, consumer_id)`` is called for each member in
    turn, with the ids of all of them and the partitions by number, and returns what that one reads.
    """

    protocol_type: bytes
    protocol_name: bytes
    metadata: Any
    decide_partitions: Callable[..., set[Any]]

    def __repr__(self) -> str:
        names = [name.decode() if isinstance(name, bytes) else str(name) for name in self[:2]]
        return f"<GroupMembershipProtocol {'/'.join(names)}>"


def decide_partitions_range(
    participants: Iterable[Union[str, bytes]], partitions: Mapping[int, P], consumer_id: Union[str, bytes]
) -> set[P]:
    """Return a stretch of neighbouring partitions, as Java's RangeAssignor does: the first members get the odd ones.

    :param participants: the ids of all members, in any order
    :param partitions: number -> partition
    :raises ValueError: when ``consumer_id`` is not one of ``participants``
    """
    place, members, ordered = _places(participants, partitions, consumer_id)
    size, odd = divmod(len(ordered), members)
    first = size * place + min(place, odd)
    return set(ordered[first : first + size + (place < odd)])


def decide_partitions_roundrobin(
    participants: Iterable[Union[str, bytes]], partitions: Mapping[int, P], consumer_id: Union[str, bytes]
) -> set[P]:
    """Return every so many-th partition, as Java's RoundRobinAssignor does: they are dealt out to the members in turn.

    :param participants: the ids of all members, in any order
    :param partitions: number -> partition
    :raises ValueError: when ``consumer_id`` is not one of ``participants``
    """
    place, members, ordered = _places(participants, partitions, consumer_id)
    return set(ordered[place::members])


def _places(
    participants: Iterable[Union[str, bytes]], partitions: Mapping[int, P], consumer_id: Union[str, bytes]
) -> tuple[int, int, list[P]]:
    """Return which member this is, of how many, and the partitions by number: the same wherever and whenever it is asked."""
    if isinstance(participants, (str, bytes)) or not isinstance(participants, Iterable):
        raise TypeError(f"participants must be the ids of all members, not {brief(participants)}")
    if not isinstance(partitions, Mapping):
        raise TypeError(f"partitions must be a dict of number -> Partition, as topic.partitions, not {brief(partitions)}")
    members = sorted({to_text_name(member, "a participant") for member in participants})
    me = to_text_name(consumer_id, "consumer_id")
    if me not in members:
        raise ValueError(f"consumer_id {brief(me)} is not one of the {len(members)} participants")
    return members.index(me), len(members), [partitions[number] for number in sorted(partitions)]


RangeProtocol = GroupMembershipProtocol(b"consumer", b"range", ConsumerGroupProtocolMetadata(), decide_partitions_range)
RoundRobinProtocol = GroupMembershipProtocol(
    b"consumer", b"roundrobin", ConsumerGroupProtocolMetadata(), decide_partitions_roundrobin
)
