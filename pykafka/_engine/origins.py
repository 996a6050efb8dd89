"""Where queued messages come from: shared by all of a partition, and the way from a message back to its producer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..records.message import Origin

if TYPE_CHECKING:
    from .producing import ProducerCore

#: The record format ("magic") that everything is written in.
RECORD_FORMAT = 2


class QueueOrigin(Origin):
    """The origin of rows whose partition is not chosen yet; leads back to the producer they were queued in."""

    __slots__ = ("delivery",)

    assigned = False

    def __init__(self, topic: bytes, delivery: ProducerCore) -> None:
        super().__init__(topic)
        self.delivery = delivery

    def settle(self, message: Any) -> None:
        """Have the I/O thread choose partitions for everything queued, and wait for that."""
        self.delivery.settle_partitions()


class AssignedOrigin(Origin):
    """The origin of queued rows of one partition; also leads back to the producer, for ``message.result()``."""

    __slots__ = ("delivery",)

    def __init__(self, topic: bytes, partition_id: int, codec: int, delivery: ProducerCore) -> None:
        super().__init__(topic, partition_id, None, codec, RECORD_FORMAT)
        self.delivery = delivery
