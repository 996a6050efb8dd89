"""What a coordinator must be able to do for what a member was set to; pure."""

from __future__ import annotations

from collections.abc import Mapping

from ..exceptions import UnsupportedVersion
from ..protocol.messages import ConsumerGroupHeartbeatRequest, JoinGroupRequest
from ..protocol.schema import Request

#: The first versions with static members, and of the newer group protocol that is not a preview.
STATIC_MEMBERS, NEWER_PROTOCOL = 5, 1


def require_able(request: Request, versions: Mapping[int, tuple[int, int]]) -> Request:
    """Return a member's request as it is if the coordinator can do what the member's options ask for.

    Older versions of a request leave the name of a static member out: it would be an ordinary one without a word.

    :param versions: API key -> (oldest, newest) as the broker's ApiVersions said
    :raises UnsupportedVersion: when it cannot, naming the option
    """
    newest = versions.get(request.KEY, (0, -1))[1]
    if isinstance(request, JoinGroupRequest) and request.group_instance_id is not None and newest < STATIC_MEMBERS:
        raise UnsupportedVersion(
            f"group_instance_id={request.group_instance_id!r}: the coordinator is older than Kafka 2.3 and has no static members,"
            " so the group was not joined; leave the option out, or update the brokers",
            api=request.NAME,
        )
    if isinstance(request, ConsumerGroupHeartbeatRequest) and newest < NEWER_PROTOCOL:
        raise UnsupportedVersion(
            "the coordinator is older than Kafka 4.0, or has the newer group protocol (KIP-848) turned off, so the group was not"
            " joined; group_protocol='auto' joins by what there is at the start, 'classic' works everywhere",
            api=request.NAME,
        )
    return request
