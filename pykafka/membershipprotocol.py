"""How the members of a group share partitions: PyKafka's names, until groups are there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Callable, NamedTuple

if TYPE_CHECKING:
    from .partition import Partition


class GroupMembershipProtocol(NamedTuple):
    """A way of sharing: the names it has on the wire, and the function that decides what a member gets."""

    protocol_type: bytes
    protocol_name: bytes
    metadata: Any
    decide_partitions: Callable[..., set[Partition]]


def decide_partitions_range(
    participants: Iterable[bytes], partitions: Mapping[int, Partition], consumer_id: bytes
) -> set[Partition]:
    """Raise NotImplementedError: groups are not in this version yet."""
    raise NotImplementedError("sharing partitions in a group is not in this version yet")


def decide_partitions_roundrobin(
    participants: Iterable[bytes], partitions: Mapping[int, Partition], consumer_id: bytes
) -> set[Partition]:
    """Raise NotImplementedError: groups are not in this version yet."""
    raise NotImplementedError("sharing partitions in a group is not in this version yet")


RangeProtocol = GroupMembershipProtocol(b"consumer", b"range", None, decide_partitions_range)
RoundRobinProtocol = GroupMembershipProtocol(b"consumer", b"roundrobin", None, decide_partitions_roundrobin)
