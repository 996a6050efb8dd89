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


class Message(MessageBase):
    """One message: ``value`` and ``partition_key`` (bytes or None), ``headers``, ``offset``, ``timestamp`` and where it is from.

    ``timestamp`` is epoch milliseconds, ``timestamp_dt`` the same as a naive UTC datetime. ``offset`` is -1 until known.
    Pickled (for a queue between processes, say) and copied it keeps all of that but ``partition``, which a copy shares.
    A message is always true, also an empty one, and ``len()`` is its size with PyKafka's old framing (at least 14).
    """

    __slots__ = (
        "_delivery_report_q",
        "_headers",
        "_origin",
        "_produce_attempt",
        "offset",
        "partition_key",
        "timestamp",
        "value",
    )

    value: Optional[bytes]
    partition_key: Optional[bytes]
    offset: int
    timestamp: Optional[int]

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
        self._headers: Optional[Headers] = []
        self._produce_attempt = produce_attempt
        self._delivery_report_q = delivery_report_q
        self._origin = Origin(None, partition_id, None, compression_type, protocol_version)

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

    # What hardly any message has is a property: a default costs those nothing that way, and __getattr__, the other way to have
    # one, doubles what it costs to read anything.

    @property
    def headers(self) -> Headers:
        """Return the headers, (name, value) each; may be assigned."""
        return [] if self._headers is None else self._headers

    @headers.setter
    def headers(self, headers: Headers) -> None:
        self._headers = headers

    @property
    def produce_attempt(self) -> int:
        """Return what was assigned, 0 before: nothing here counts attempts."""
        return getattr(self, "_produce_attempt", 0)

    @produce_attempt.setter
    def produce_attempt(self, attempt: int) -> None:
        self._produce_attempt = attempt

    @property
    def delivery_report_q(self) -> Any:
        """Return what was assigned, None before."""
        return getattr(self, "_delivery_report_q", None)

    @delivery_report_q.setter
    def delivery_report_q(self, queue: Any) -> None:
        self._delivery_report_q = queue

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
    """A message that was read. Its constructor takes what stands in the columns of :mod:`.rows`, in order."""

    __slots__ = ()

    # hot: per message
    def __init__(  # noqa: D107
        self,
        value: Optional[bytes],
        offset: int,
        timestamp: int,
        origin: Origin,
        partition_key: Optional[bytes] = None,
        headers: Optional[Headers] = None,
    ) -> None:
        self.value = value
        self.offset = offset
        self.timestamp = timestamp
        self._origin = origin
        self.partition_key = partition_key
        self._headers = headers
