"""Declarations for InitProducerId (22): the identity of an idempotent or transactional producer."""

from __future__ import annotations

from typing import Optional

from ..schema import Request, Response, int16, int32, int64, string


class InitProducerIdRequest(Request, key=22, versions=(0, 5), flexible=2):
    """Ask for a producer id and an epoch (KIP-98).

    Without ``transactional_id`` (``None``) any broker will do, and ``transaction_timeout_ms`` does not count. With one
    it is for the transaction coordinator, which also ends what the id's former owner left open.

    * v3 passes the present id and epoch, to have the epoch raised in place of a new id (KIP-360).
    """

    transactional_id: Optional[str] = string(nullable=0)
    transaction_timeout_ms: int = int32()
    producer_id: int = int64(since=3, default=-1)
    producer_epoch: int = int16(since=3, default=-1)


class InitProducerIdResponse(Response, key=22, versions=(0, 5), flexible=2):
    """The id and the epoch to stamp on batches, whose sequence numbers start at 0 again.

    COORDINATOR_LOAD_IN_PROGRESS (14), CONCURRENT_TRANSACTIONS (51) and NOT_COORDINATOR (16) want another try.
    PRODUCER_FENCED (90, from v4; before it INVALID_PRODUCER_EPOCH, 47): someone else has the id now.
    CLUSTER_AUTHORIZATION_FAILED (31): idempotent writing is not allowed here. v5 may answer TRANSACTION_ABORTABLE (120).
    """

    throttle_time_ms: int = int32()
    error_code: int = int16()
    producer_id: int = int64(default=-1)
    producer_epoch: int = int16()
