"""Every request and response we speak, declared once for all versions. Codecs are compiled on first use, not here."""

from __future__ import annotations

from .admin import CreateTopicsRequest, CreateTopicsResponse, DeleteTopicsRequest, DeleteTopicsResponse
from .coordinator import FindCoordinatorRequest, FindCoordinatorResponse
from .fetch import FetchRequest, FetchResponse
from .list_offsets import ListOffsetsRequest, ListOffsetsResponse
from .metadata import MetadataRequest, MetadataResponse
from .offsets import OffsetCommitRequest, OffsetCommitResponse, OffsetFetchRequest, OffsetFetchResponse
from .produce import ProduceRequest, ProduceResponse
from .quorum import DescribeQuorumRequest, DescribeQuorumResponse
from .transactions import InitProducerIdRequest, InitProducerIdResponse
from .versions import ApiVersionsRequest, ApiVersionsResponse

__all__ = [
    "ApiVersionsRequest",
    "ApiVersionsResponse",
    "CreateTopicsRequest",
    "CreateTopicsResponse",
    "DeleteTopicsRequest",
    "DeleteTopicsResponse",
    "DescribeQuorumRequest",
    "DescribeQuorumResponse",
    "FetchRequest",
    "FetchResponse",
    "FindCoordinatorRequest",
    "FindCoordinatorResponse",
    "InitProducerIdRequest",
    "InitProducerIdResponse",
    "ListOffsetsRequest",
    "ListOffsetsResponse",
    "MetadataRequest",
    "MetadataResponse",
    "OffsetCommitRequest",
    "OffsetCommitResponse",
    "OffsetFetchRequest",
    "OffsetFetchResponse",
    "ProduceRequest",
    "ProduceResponse",
]
