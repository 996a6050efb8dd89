"""PyKafka's requests and responses, which the raw methods of Broker take and return.

Their names are those of :mod:`pykafka.protocol.messages`, which declares what is on the wire for every version. These here
are what users put together and take apart: names are bytes, partitions are in ``topics[name][number]``, and an error is the
``err`` of a partition. Each request also makes a frame of one fixed version (``get_bytes()``) for those who talk to a broker
through a ``BrokerConnection``; that version is one that Kafka 0.11 to 4.4 all speak.
"""

from __future__ import annotations

from ..consumer_group import ConsumerGroupProtocolMetadata, MemberAssignment
from .base import Request, Response
from .fetch import FetchPartitionResponse, FetchRequest, FetchResponse, PartitionFetchRequest
from .group_offsets import (
    OffsetCommitPartitionResponse,
    OffsetCommitRequest,
    OffsetCommitResponse,
    OffsetFetchPartitionResponse,
    OffsetFetchRequest,
    OffsetFetchResponse,
    PartitionOffsetCommitRequest,
    PartitionOffsetFetchRequest,
)
from .groups import (
    DescribeGroupResponse,
    DescribeGroupsRequest,
    DescribeGroupsResponse,
    GroupListing,
    GroupMember,
    ListGroupsRequest,
    ListGroupsResponse,
)
from .log_offsets import ListOffsetRequest, ListOffsetResponse, OffsetPartitionResponse, PartitionOffsetRequest
from .membership import (
    HeartbeatRequest,
    HeartbeatResponse,
    JoinGroupRequest,
    JoinGroupResponse,
    LeaveGroupRequest,
    LeaveGroupResponse,
    SyncGroupRequest,
    SyncGroupResponse,
)
from .metadata import (
    ApiVersionsRequest,
    ApiVersionsResponse,
    ApiVersionsSpec,
    BrokerMetadata,
    GroupCoordinatorRequest,
    GroupCoordinatorResponse,
    MetadataRequest,
    MetadataResponse,
    PartitionMetadata,
    TopicMetadata,
)
from .produce import ProducePartitionResponse, ProduceRequest, ProduceResponse

#: The names these two had before PyKafka 2.7.
OffsetRequest = ListOffsetRequest
OffsetResponse = ListOffsetResponse

__all__ = [
    "ApiVersionsRequest",
    "ApiVersionsResponse",
    "ApiVersionsSpec",
    "BrokerMetadata",
    "ConsumerGroupProtocolMetadata",
    "DescribeGroupResponse",
    "DescribeGroupsRequest",
    "DescribeGroupsResponse",
    "FetchPartitionResponse",
    "FetchRequest",
    "FetchResponse",
    "GroupCoordinatorRequest",
    "GroupCoordinatorResponse",
    "GroupListing",
    "GroupMember",
    "HeartbeatRequest",
    "HeartbeatResponse",
    "JoinGroupRequest",
    "JoinGroupResponse",
    "LeaveGroupRequest",
    "LeaveGroupResponse",
    "ListGroupsRequest",
    "ListGroupsResponse",
    "ListOffsetRequest",
    "ListOffsetResponse",
    "MemberAssignment",
    "MetadataRequest",
    "MetadataResponse",
    "OffsetCommitPartitionResponse",
    "OffsetCommitRequest",
    "OffsetCommitResponse",
    "OffsetFetchPartitionResponse",
    "OffsetFetchRequest",
    "OffsetFetchResponse",
    "OffsetPartitionResponse",
    "OffsetRequest",
    "OffsetResponse",
    "PartitionFetchRequest",
    "PartitionMetadata",
    "PartitionOffsetCommitRequest",
    "PartitionOffsetFetchRequest",
    "PartitionOffsetRequest",
    "ProducePartitionResponse",
    "ProduceRequest",
    "ProduceResponse",
    "Request",
    "Response",
    "SyncGroupRequest",
    "SyncGroupResponse",
    "TopicMetadata",
]
