"""Declarations for DescribeConfigs (32), AlterConfigs (33), IncrementalAlterConfigs (44): settings of brokers, topics, groups."""

from __future__ import annotations

from typing import Optional

from ..schema import Request, Response, Struct, array, boolean, int8, int16, int32, string

#: ``resource_type`` of a group.
GROUP = 32


class DescribeConfigsRequest(Request, key=32, versions=(0, 4), flexible=4):
    """Ask for settings of topics (``resource_type`` 2), brokers (4) and groups (32).

    ``configuration_keys`` are the settings that are wanted, None for all of them.
    The right to DescribeConfigs of each resource is needed. Settings of a group may be asked for where there is no such group.

    * v1 ``include_synonyms`` (KIP-226). v3 ``include_documentation`` (KIP-569).
    """

    class DescribeConfigsResource(Struct):
        """What is asked about."""

        resource_type: int = int8()
        resource_name: str = string()
        configuration_keys: Optional[list[str]] = array(string(), nullable=0)

    resources: list[DescribeConfigsResource] = array(DescribeConfigsResource)
    include_synonyms: bool = boolean(since=1)
    include_documentation: bool = boolean(since=3)


class DescribeConfigsResponse(Response, key=32, versions=(0, 4), flexible=4):
    """The settings of each resource, with what is in force where nobody has set anything.

    TOPIC_AUTHORIZATION_FAILED (29), GROUP_AUTHORIZATION_FAILED (30) and CLUSTER_AUTHORIZATION_FAILED (31) want an ACL,
    INVALID_REQUEST (42) is what an older broker says to a type that it does not know.

    * v1 where a setting comes from, and its synonyms, in the place of ``is_default``. v3 its type and documentation.
    """

    class DescribeConfigsResult(Struct):
        """One resource."""

        class DescribeConfigsResourceResult(Struct):
            """One setting; ``value`` is None where it is not shown, such as that of a password."""

            class DescribeConfigsSynonym(Struct):
                """A setting of another name or place that this one follows."""

                name: str = string(since=1)
                value: Optional[str] = string(since=1, nullable=0)
                source: int = int8(since=1)

            name: str = string()
            value: Optional[str] = string(nullable=0)
            read_only: bool = boolean()
            is_default: bool = boolean(until=0)
            config_source: int = int8(since=1, default=-1)
            is_sensitive: bool = boolean()
            synonyms: list[DescribeConfigsSynonym] = array(DescribeConfigsSynonym, since=1)
            config_type: int = int8(since=3)
            documentation: Optional[str] = string(since=3, nullable=0)

        error_code: int = int16()
        error_message: Optional[str] = string(nullable=0)
        resource_type: int = int8()
        resource_name: str = string()
        configs: list[DescribeConfigsResourceResult] = array(DescribeConfigsResourceResult)

    DescribeConfigsResourceResult = DescribeConfigsResult.DescribeConfigsResourceResult

    throttle_time_ms: int = int32()
    results: list[DescribeConfigsResult] = array(DescribeConfigsResult)


class AlterConfigsRequest(Request, key=33, versions=(0, 2), flexible=2):
    """Have resources be set as is said here, and by default in everything else. v1 changes nothing here."""

    class AlterConfigsResource(Struct):
        """A resource, and all that is not as by default."""

        class AlterableConfig(Struct):
            """One setting."""

            name: str = string()
            value: Optional[str] = string(nullable=0)

        resource_type: int = int8()
        resource_name: str = string()
        configs: list[AlterableConfig] = array(AlterableConfig)

    AlterableConfig = AlterConfigsResource.AlterableConfig

    resources: list[AlterConfigsResource] = array(AlterConfigsResource)
    validate_only: bool = boolean()


class AlterConfigsResponse(Response, key=33, versions=(0, 2), flexible=2):
    """What became of each resource; INVALID_CONFIG (40) says what is wrong in words."""

    class AlterConfigsResourceResponse(Struct):
        """What became of one resource."""

        error_code: int = int16()
        error_message: Optional[str] = string(nullable=0)
        resource_type: int = int8()
        resource_name: str = string()

    throttle_time_ms: int = int32()
    responses: list[AlterConfigsResourceResponse] = array(AlterConfigsResourceResponse)


class IncrementalAlterConfigsRequest(Request, key=44, versions=(0, 1), flexible=1):
    """Change single settings of resources (KIP-339)."""

    class AlterConfigsResource(Struct):
        """A resource, and what is to change."""

        class AlterableConfig(Struct):
            """One setting; ``config_operation`` 0 sets it, 1 has it as by default, 2 and 3 add to a list and take away."""

            name: str = string()
            config_operation: int = int8()
            value: Optional[str] = string(nullable=0)

        resource_type: int = int8()
        resource_name: str = string()
        configs: list[AlterableConfig] = array(AlterableConfig)

    AlterableConfig = AlterConfigsResource.AlterableConfig

    resources: list[AlterConfigsResource] = array(AlterConfigsResource)
    validate_only: bool = boolean()


class IncrementalAlterConfigsResponse(Response, key=44, versions=(0, 1), flexible=1):
    """What became of each resource, as with AlterConfigs."""

    class AlterConfigsResourceResponse(Struct):
        """What became of one resource."""

        error_code: int = int16()
        error_message: Optional[str] = string(nullable=0)
        resource_type: int = int8()
        resource_name: str = string()

    throttle_time_ms: int = int32()
    responses: list[AlterConfigsResourceResponse] = array(AlterConfigsResourceResponse)
