"""PyKafka's exception tree: every error knows what was asked of whom, and says what can be done about it."""

from __future__ import annotations

from typing import Any, ClassVar, Optional, Union

Name = Union[bytes, str, None]


def printable(name: Name) -> Optional[str]:
    """Return a topic's name as printable text; names arrive from the network, and errors end up in logs."""
    if name is None:
        return None
    plain = name.decode("utf-8", "replace") if isinstance(name, bytes) else str(name)
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in plain)


class UnicodeException(Exception):
    """A name that must be ASCII is not. Not a KafkaException, as ever in PyKafka."""


class KafkaException(Exception):
    """The base of (almost) all errors here.

    :param broker: the broker that was asked, for people: ``2 (kafka-2:9092)``
    :param api: the request, for instance ``Produce``, and ``version`` its version
    :param topic: and ``partition``: what it was about
    """

    #: Whether doing the same again later can help.
    retriable: bool = False
    #: The protocol's error code, None where the error is the client's own.
    code: Optional[int] = None

    def __init__(
        self,
        message: str = "",
        *,
        broker: Any = None,
        api: Optional[str] = None,
        version: Optional[int] = None,
        topic: Name = None,
        partition: Optional[int] = None,
    ) -> None:
        super().__init__(message)
        self.broker = broker
        self.api = api
        self.version = version
        self.topic = printable(topic)
        self.partition = partition

    def __reduce__(self) -> tuple[Any, ...]:
        # Exception's own way forgets keyword arguments
        return (rebuilt, (type(self), self.args, self.__dict__))


def rebuilt(cls: type[KafkaException], args: tuple[Any, ...], state: dict[str, Any]) -> KafkaException:
    """Return an error made of its parts, whatever its constructor takes."""
    error = cls.__new__(cls)
    Exception.__init__(error, *args)
    error.__dict__.update(state)
    return error


class NoBrokersAvailableError(KafkaException):
    """No broker could be reached; the message lists every address tried with its own reason."""

    retriable = True


class LeaderNotFoundError(KafkaException):
    """No leader could be found for a partition."""

    retriable = True


class SocketDisconnectedError(KafkaException):
    """A connection could not be made, or broke."""

    retriable = True


class OperationTimedOut(KafkaException, TimeoutError):
    """A call did not finish in its time; what it asked for may still happen."""

    retriable = True


class ProduceFailureError(KafkaException):
    """A message could not be delivered."""


class DeliveryTimeout(ProduceFailureError):
    """A message was not acknowledged within ``delivery_timeout_ms``; ``possibly_written`` tells whether it may be in the log."""

    def __init__(self, message: str = "", *, possibly_written: bool = True, **context: Any) -> None:
        super().__init__(message, **context)
        self.possibly_written = possibly_written


class ProducerQueueFullError(KafkaException):
    """The producer's queue is full (``max_queued_messages``, ``max_queued_bytes``) and the call was not to wait."""

    retriable = True


class ProducerStoppedException(KafkaException):
    """The producer is not running."""


class ConsumerStoppedException(KafkaException):
    """The consumer is not running."""


class NoMessagesConsumedError(KafkaException):
    """No messages were consumed (kept for code that catches it)."""


class OffsetRequestFailedError(KafkaException):
    """Offsets could not be looked up."""


class PartitionOwnedError(KafkaException):
    """The partition is owned by another consumer."""

    def __init__(self, partition: Any = None, message: str = "") -> None:
        super().__init__(message or f"the partition is owned by another consumer: {partition!r}")
        self.partition = partition


class ForkedError(KafkaException):
    """A client made before a fork is used in the child: its thread and connections belong to the parent."""


class ProtocolError(KafkaException):
    """A peer sent bytes that are not what the protocol says; the connection is closed."""

    retriable = True


class EncodeError(ProtocolError, ValueError):
    """A request cannot be put into bytes: a value is of the wrong type or too large; sending it again cannot help."""

    retriable = False


class MessageSetDecodeFailure(KafkaException):
    """Records could not be decoded."""


class CorruptBatchError(MessageSetDecodeFailure):
    """A record batch fails its checksum or has an impossible structure; ``offset`` is where it starts.

    ``seek(partition, error.next_offset)`` goes on without it. That is behind the batch where what it says of itself can be
    believed, else one offset further than what was asked for, which may be the same batch again: nothing else is skipped.
    """

    def __init__(
        self, message: str = "", *, offset: Optional[int] = None, next_offset: Optional[int] = None, **context: Any
    ) -> None:
        super().__init__(message, **context)
        self.offset = offset
        self.next_offset = (offset or 0) + 1 if next_offset is None else next_offset
        #: the readable batches that came before it in the same answer
        self.good_batches: list[Any] = []

    def was_met_at(self, position: int) -> None:
        """Note where the reader was: it goes on behind that at least, or it would meet the same again for ever."""
        self.next_offset = max(self.next_offset, position + 1)


class DecompressedSizeError(CorruptBatchError):
    """A batch inflates to more than ``max_decompressed_bytes``: refused before memory is spent on it."""


class MissingCodecError(KafkaException, ImportError):
    """The package that (de)compresses this codec is not installed, and the message names the extra; or it is broken."""


class KafkaConfigError(KafkaException, TypeError, ValueError):
    """Options are unknown, of the wrong type or out of range; the message lists all of them."""


class BadNameError(KafkaConfigError, UnicodeException):
    """Among the bad options is a name that must be ASCII and is not."""


class RdKafkaException(KafkaException):
    """Never raised any more: this client needs no C library (kept for code that catches it)."""


class RdKafkaStoppedException(RdKafkaException):
    """Never raised any more."""


class ProtocolClientError(KafkaException):
    """A broker answered with an error code; there is one subclass per code."""

    ERROR_CODE: ClassVar[int] = 0
    #: What to ask for again before another try: "metadata", "coordinator" or nothing.
    refresh: ClassVar[Optional[str]] = None
    #: A sentence for people: what it means and what helps.
    hint: ClassVar[str] = ""

    def __init_subclass__(cls, code: Optional[int] = None, retriable: bool = False, refresh: Optional[str] = None) -> None:
        super().__init_subclass__()
        if code is not None:
            cls.ERROR_CODE = code
            cls.retriable = retriable
            cls.refresh = refresh
            text = (cls.__doc__ or cls.__name__).rstrip(".")
            cls.hint = text[0].lower() + text[1:]

    def __init__(self, message: str = "", *, code: Optional[int] = None, **context: Any) -> None:
        super().__init__(message or self.hint, **context)
        self.code = self.ERROR_CODE if code is None else code


__all__ = [
    "BadNameError",
    "ConsumerStoppedException",
    "CorruptBatchError",
    "DecompressedSizeError",
    "DeliveryTimeout",
    "EncodeError",
    "ForkedError",
    "KafkaConfigError",
    "KafkaException",
    "LeaderNotFoundError",
    "MessageSetDecodeFailure",
    "MissingCodecError",
    "NoBrokersAvailableError",
    "NoMessagesConsumedError",
    "OffsetRequestFailedError",
    "OperationTimedOut",
    "PartitionOwnedError",
    "ProduceFailureError",
    "ProducerQueueFullError",
    "ProducerStoppedException",
    "ProtocolClientError",
    "ProtocolError",
    "RdKafkaException",
    "RdKafkaStoppedException",
    "SocketDisconnectedError",
    "UnicodeException",
]
