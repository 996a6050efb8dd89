"""The Message that users hold: those made by hand and those that were read. Produced ones are in queued.py."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Callable, Optional

from ..common import Message as MessageBase

if TYPE_CHECKING:
    import datetime

Headers = list[tuple[str, Optional[bytes]]]
OnDelivery = Callable[["Message", Optional[Exception]], object]

#: What PyKafka's messages cost on the old wire format, which ``len(message)`` still counts.
_FRAMING_BYTES = 14


class Origin:
    """What all messages of one batch (consumed) or one partition (produced) have in common; shared, so held once."""

    __slots__ = ("compression_type", "partition", "partition_id", "protocol_version", "topic")

    def __init__(
        self,
        topic: Optional[bytes] = None,
        partition_id: int = -1,
        partition: Any = None,
        compression_type: int = 0,
        protocol_version: int = 0,
    ) -> None:
        self.topic = topic
        self.partition_id = partition_id
        self.partition = partition
        self.compression_type = compression_type
        self.protocol_version = protocol_version


#: The first and last milliseconds that a datetime can hold, and the most that a record's timestamp can: 64 bits, signed.
_FIRST_DATETIME_MS = -62135596800000
_LAST_DATETIME_MS = 253402300799999
_MOST_MS = 2**63 - 1
#: A float below this (1973, in milliseconds) is time.time() in all likelihood. Integers may be any number of milliseconds.
_LEAST_FLOAT_MS = 1e11

#: Slots that are never written read as these: most messages never need them, and a store each is what they would cost.
_UNSET: dict[str, Any] = {
    "partition_key": None,
    "offset": -1,
    "timestamp": None,
    "headers": None,
    "produce_attempt": 0,
    "delivery_report_q": None,
    "_origin": Origin(),
}


class Message(MessageBase):
    """One message: ``value`` and ``partition_key`` (bytes or None), ``headers``, ``offset``, ``timestamp`` and where it is from.

    ``timestamp`` is epoch milliseconds, ``timestamp_dt`` the same as a naive UTC datetime. ``offset`` is -1 until known.
    Pickled (for a queue between processes, say) and copied it keeps all of that but ``partition``, which a copy shares.
    A message is always true, also an empty one, and ``len()`` is its size with PyKafka's old framing (at least 14).
    """

    __slots__ = ("_origin", "delivery_report_q", "headers", "offset", "partition_key", "produce_attempt", "timestamp", "value")

    value: Optional[bytes]
    partition_key: Optional[bytes]
    offset: int
    timestamp: Optional[int]
    headers: Headers
    produce_attempt: int
    delivery_report_q: Any

    def __init__(
        self,
        value: Optional[bytes],
        partition_key: Optional[bytes] = None,
        compression_type: int = 0,
        offset: int = -1,
        partition_id: int = -1,
        produce_attempt: int = 0,
        protocol_version: int = 0,
        timestamp: Optional[int] = None,
        delivery_report_q: Any = None,
    ) -> None:
        self.value = value
        self.partition_key = partition_key
        self.offset = offset
        self.timestamp = timestamp
        self.headers = []
        self.produce_attempt = produce_attempt
        self.delivery_report_q = delivery_report_q
        self._origin = Origin(None, partition_id, None, compression_type, protocol_version)

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            # only reached when the slot was never written, or the name does not exist
            if name == "headers":
                return []
            try:
                return _UNSET[name]
            except KeyError:
                raise AttributeError(f"a Message has no attribute {name!r}") from None

    def __bool__(self) -> bool:
        return True

    def __len__(self) -> int:
        return _FRAMING_BYTES + len(self.value or b"") + len(self.partition_key or b"")

    def __reduce__(self) -> tuple[Any, ...]:
        # the partition object leads to the client, its threads and sockets: none of that can go to another process
        headers = [(name, value) for name, value in self.headers or ()]
        columns = (self.value, self.partition_key, headers, self.offset, self.timestamp, self.produce_attempt)
        return _rebuild, (columns, self.topic, self.partition_id, self.compression_type, self.protocol_version)

    def __copy__(self) -> Message:
        twin: Message = _rebuild(*self.__reduce__()[1])
        twin._origin = self._origin
        return twin

    def __repr__(self) -> str:
        # never the payload: a repr ends up in logs
        size = "None" if self.value is None else f"{len(self.value)} bytes"
        return f"<{type(self).__name__} {self.topic!r}/{self.partition_id} offset={self.offset} value={size}>"

    @property
    def topic(self) -> Optional[bytes]:
        """Return the name of the topic, None for a message that was made by hand."""
        return self._origin.topic

    @property
    def partition_id(self) -> int:
        """Return the number of the partition, -1 when there is none."""
        return self._origin.partition_id

    @property
    def partition(self) -> Any:
        """Return the :class:`~pykafka.partition.Partition` a consumed message was read from, else None."""
        return self._origin.partition

    @property
    def compression_type(self) -> int:
        """Return the CompressionType of the batch that held the message."""
        return self._origin.compression_type

    @property
    def protocol_version(self) -> int:
        """Return the format ("magic") of the batch that held the message: 2 since Kafka 0.11."""
        return self._origin.protocol_version

    @property
    def timestamp_dt(self) -> Optional[datetime.datetime]:
        """Return the timestamp as a naive UTC datetime; may be assigned.

        None without one, which Kafka writes as -1, and for what no datetime can hold (years 1 to 9999).
        """
        if self.timestamp is None or self.timestamp == -1 or not _FIRST_DATETIME_MS <= self.timestamp <= _LAST_DATETIME_MS:
            return None
        import datetime  # a millisecond or two that only users of datetimes pay

        return datetime.datetime(1970, 1, 1) + datetime.timedelta(milliseconds=self.timestamp)

    @timestamp_dt.setter
    def timestamp_dt(self, moment: datetime.datetime) -> None:
        self.timestamp = to_epoch_ms(moment)

    def set_timestamp(self, timestamp: Any) -> None:
        """Set the timestamp from a datetime (naive means UTC) or epoch milliseconds."""
        self.timestamp = to_epoch_ms(timestamp)


def _rebuild(columns: tuple[Any, ...], topic: Optional[bytes], partition_id: int, codec: int, version: int) -> Message:
    message = Message(*columns[:2])
    message.headers, message.offset, message.timestamp, message.produce_attempt = columns[2:]
    message._origin = Origin(topic, partition_id, None, codec, version)
    return message


class BadTimestamp(TypeError, RuntimeError):
    """A time of the wrong type: RuntimeError is what PyKafka raised."""


def to_epoch_ms(timestamp: Any, what: str = "timestamp") -> int:
    """Return epoch milliseconds for a datetime (naive means UTC), an int or a float of milliseconds.

    :raises TypeError: for anything else
    :raises ValueError: for what does not fit into 64 bits, and for a float that looks like the seconds of ``time.time()``
    """
    if isinstance(timestamp, (int, float)) and not isinstance(timestamp, bool):
        # this way round a float that is not a number is refused as well
        if not -_MOST_MS - 1 <= timestamp <= _MOST_MS:
            raise ValueError(f"{what}={timestamp!r} is no number of milliseconds that a message can have (64 bits)")
        if isinstance(timestamp, float) and abs(timestamp) < _LEAST_FLOAT_MS:
            raise ValueError(f"{what}={timestamp!r}: seconds? give milliseconds, like int(time.time() * 1000), or a datetime")
        return int(timestamp)
    import datetime  # a millisecond or two that only users of datetimes pay

    if isinstance(timestamp, datetime.datetime):
        if timestamp.tzinfo is not None:
            timestamp = timestamp.astimezone(datetime.timezone.utc).replace(tzinfo=None)
        return int((timestamp - datetime.datetime(1970, 1, 1)) // datetime.timedelta(milliseconds=1))
    raise BadTimestamp(f"{what} must be a datetime or milliseconds since 1970, not {type(timestamp).__name__}")


class ConsumedMessage(Message):
    """A message that was read. Its constructor takes the columns of a decoded batch, in order."""

    __slots__ = ()

    # hot: per record
    def __init__(  # noqa: D107
        self,
        offset: int,
        timestamp: int,
        partition_key: Optional[bytes],
        value: Optional[bytes],
        headers: Headers,
        origin: Origin,
    ) -> None:
        self.offset = offset
        self.timestamp = timestamp
        self.partition_key = partition_key
        self.value = value
        self.headers = headers
        self._origin = origin


class KeyedConsumedMessage(Message):
    """A message that was read and has a key but no headers."""

    __slots__ = ()

    # hot: per record
    def __init__(  # noqa: D107
        self, offset: int, timestamp: int, partition_key: Optional[bytes], value: Optional[bytes], origin: Origin
    ) -> None:
        self.offset = offset
        self.timestamp = timestamp
        self.partition_key = partition_key
        self.value = value
        self._origin = origin


class BareConsumedMessage(Message):
    """A message that was read and has neither key nor headers: two stores fewer, which is what most messages are."""

    __slots__ = ()

    # hot: per record
    def __init__(self, offset: int, timestamp: int, value: Optional[bytes], origin: Origin) -> None:
        self.offset = offset
        self.timestamp = timestamp
        self.value = value
        self._origin = origin
