"""Declarations for ApiVersions (18): which requests, in which versions, the broker at the other end understands."""

from __future__ import annotations

from typing import Optional

from ..schema import Request, Response, Struct, array, boolean, int16, int32, int64, string


class ApiVersionsRequest(Request, key=18, versions=(0, 5), flexible=3):
    """Ask for the broker's version table; the first request on every connection.

    A broker that lacks the version asked for answers with error 35 and a body in the layout of v0.

    * v3 says who we are (KIP-511). The broker refuses names with anything but letters, digits, ``.`` and ``-``.
    * v4 lets the reply list features whose lowest version is 0.
    * v5 names the cluster and the node we believe to be talking to (KIP-1242); error 129 tells that it is another one.
    """

    client_software_name: str = string(since=3)
    client_software_version: str = string(since=3)
    cluster_id: Optional[str] = string(since=5, nullable=5, default=None)
    node_id: int = int32(since=5, default=-1)


class ApiVersionsResponse(Response, key=18, versions=(0, 5), flexible=3):
    """The broker's version table and the features that the cluster has switched on.

    The header of this reply has no tag section in any version: a client that does not know yet what the broker
    speaks must be able to read it. Error 35 comes with the range for key 18 alone (since 2.4) or with no range.

    * v1 throttle time. v3 features (KIP-584), in tags.
    """

    class ApiVersion(Struct):
        """One request kind, with the lowest and the highest version the broker takes."""

        api_key: int = int16()
        min_version: int = int16()
        max_version: int = int16()

    class SupportedFeatureKey(Struct):
        """A feature this broker could run, with its range of levels."""

        name: str = string(since=3)
        min_version: int = int16(since=3)
        max_version: int = int16(since=3)

    class FinalizedFeatureKey(Struct):
        """A feature the whole cluster runs, ``transaction.version`` for one. The highest level precedes the lowest."""

        name: str = string(since=3)
        max_version_level: int = int16(since=3)
        min_version_level: int = int16(since=3)

    error_code: int = int16()
    api_keys: list[ApiVersion] = array(ApiVersion)
    throttle_time_ms: int = int32(since=1)
    supported_features: list[SupportedFeatureKey] = array(SupportedFeatureKey, since=3, tag=0)
    finalized_features_epoch: int = int64(since=3, tag=1, default=-1)
    finalized_features: list[FinalizedFeatureKey] = array(FinalizedFeatureKey, since=3, tag=2)
    zk_migration_ready: bool = boolean(since=3, tag=3)  # KIP-866, of interest to controllers only
