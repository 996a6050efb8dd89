"""Declarations for FindCoordinator (10): the broker that looks after a consumer group or a transactional id."""

from __future__ import annotations

from typing import Optional

from ..schema import Request, Response, Struct, array, int8, int16, int32, string


class FindCoordinatorRequest(Request, key=10, versions=(0, 6), flexible=3):
    """Ask any broker who coordinates a group (``key_type`` 0), a transactional id (1) or a share group (2, v6).

    Asking creates the internal topic behind the answer when it is not there yet.

    * v0 groups only. v1 ``key_type`` (KIP-98). v4 several keys at once, in ``coordinator_keys`` (KIP-699).
    * v6 share groups, whose key is ``group:topicId:partition`` (KIP-932).
    """

    key: str = string(until=3)
    key_type: int = int8(since=1)
    coordinator_keys: list[str] = array(string(), since=4)


class FindCoordinatorResponse(Response, key=10, versions=(0, 6), flexible=3):
    """The coordinator's id and address: at the top up to v3, one entry for each key from v4 on.

    COORDINATOR_NOT_AVAILABLE (15) and COORDINATOR_LOAD_IN_PROGRESS (14) pass: ask again.
    GROUP_AUTHORIZATION_FAILED (30) and TRANSACTIONAL_ID_AUTHORIZATION_FAILED (53) do not.

    * v1 throttle time and error message. v4 several keys (KIP-699). v5 may answer TRANSACTION_ABORTABLE (120).
    """

    class Coordinator(Struct):
        """Who coordinates ``key``; ``node_id`` is -1 with an error."""

        key: str = string(since=4)
        node_id: int = int32(since=4)
        host: str = string(since=4)
        port: int = int32(since=4)
        error_code: int = int16(since=4)
        error_message: Optional[str] = string(since=4, nullable=4)

    throttle_time_ms: int = int32(since=1)
    error_code: int = int16(until=3)
    error_message: Optional[str] = string(since=1, until=3, nullable=1)
    node_id: int = int32(until=3)
    host: str = string(until=3)
    port: int = int32(until=3)
    coordinators: list[Coordinator] = array(Coordinator, since=4)
