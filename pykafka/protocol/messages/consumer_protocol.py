"""Declarations of what consumers tell each other through the coordinator, inside JoinGroup and SyncGroup.

No newer version removes or reorders anything, so what a later one adds at the end can be left unread.
"""

from __future__ import annotations

from typing import Optional

from ..schema import Data, Struct, array, bytes_, int32, string


class ConsumerProtocolSubscription(Data, versions=(0, 3)):
    """What a member tells the leader: the topics it wants, and whatever else its way of sharing needs.

    * v1 the partitions it still holds (KIP-429). v2 the generation that these are from. v3 its rack (KIP-881).
    """

    class TopicPartition(Struct):
        """A topic's partitions that the member holds."""

        topic: str = string(since=1)
        partitions: list[int] = array(int32(), since=1)

    topics: list[str] = array(string())
    user_data: Optional[bytes] = bytes_(nullable=0, default=None)
    owned_partitions: list[TopicPartition] = array(TopicPartition, since=1)
    generation_id: int = int32(since=2, default=-1)
    rack_id: Optional[str] = string(since=3, nullable=3, default=None)


class ConsumerProtocolAssignment(Data, versions=(0, 3)):
    """What the leader has a member read; all versions are alike."""

    class TopicPartition(Struct):
        """A topic's partitions that the member is to read."""

        topic: str = string()
        partitions: list[int] = array(int32())

    assigned_partitions: list[TopicPartition] = array(TopicPartition)
    user_data: Optional[bytes] = bytes_(nullable=0, default=None)
