"""The Message that users hold: what it says of itself, and what it defaults to."""

from __future__ import annotations

import copy
import datetime
import pickle
from typing import Any, Optional

import pytest

import pykafka.protocol
from pykafka.common import Message as MessageBase
from pykafka.exceptions import KafkaException, OperationTimedOut
from pykafka.records.encode import encode_headers
from pykafka.records.message import ConsumedMessage, Message, Origin, to_epoch_ms
from pykafka.records.queued import DELIVERED, QueuedMessage, Row, queued_message

ORIGIN = Origin(b"clicks", 3, "the partition", 4, 2)
CONSUMED = {
    "full": ConsumedMessage(b"value", 7, 1000, ORIGIN, b"key", [("h", b"1")]),
    "keyed": ConsumedMessage(b"value", 7, 1000, ORIGIN, b"key"),
    "bare": ConsumedMessage(b"value", 7, 1000, ORIGIN),
}


class _Fates:
    """Fates of one row, with a producer behind them that decides when it is waited for."""

    of_block = False
    origin = Origin(b"clicks", -1, None, 1, 2)
    usual = None

    def __init__(self, outcome: Any = None, when_waited: Any = None) -> None:
        self.outcome = outcome
        self.when_waited = when_waited
        self.waited: list[Optional[float]] = []

    def place_of(self, row: Row) -> Optional[int]:
        """Return the only place."""
        return 0

    def outcome_of(self, row: Row, place: Optional[int]) -> Any:
        """Return what was decided."""
        return self.outcome

    def partition_of(self, row: Row, place: Optional[int]) -> int:
        """Return the only partition."""
        return 3

    def wait_for(self, message: QueuedMessage, timeout: Optional[float]) -> None:
        """Decide."""
        self.waited.append(timeout)
        if isinstance(self.when_waited, OperationTimedOut):
            raise self.when_waited
        self.outcome = self.when_waited


# -- made by hand -----------------------------------------------------------------------------------------------------


def test_a_message_made_by_hand_has_defaults() -> None:
    message = Message(b"value")
    assert (message.value, message.partition_key, message.offset, message.timestamp) == (b"value", None, -1, None)
    assert (message.topic, message.partition, message.partition_id) == (None, None, -1)
    assert (message.compression_type, message.protocol_version, message.produce_attempt) == (0, 0, 0)
    assert message.headers == []
    assert message.delivery_report_q is None


def test_a_message_made_by_hand_keeps_what_it_is_given() -> None:
    message = Message(
        b"v",
        partition_key=b"k",
        compression_type=2,
        offset=5,
        partition_id=6,
        produce_attempt=1,
        protocol_version=1,
        timestamp=99,
        delivery_report_q="queue",
    )
    assert (message.partition_key, message.compression_type, message.offset, message.partition_id) == (b"k", 2, 5, 6)
    assert (message.produce_attempt, message.protocol_version, message.timestamp) == (1, 1, 99)
    assert message.delivery_report_q == "queue"


def test_it_is_the_message_of_the_old_import_places() -> None:
    assert pykafka.protocol.Message is Message
    assert issubclass(Message, MessageBase)
    assert all(isinstance(message, Message) for message in CONSUMED.values())


# -- consumed ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("message", CONSUMED.values(), ids=CONSUMED.keys())
def test_a_consumed_message_knows_where_it_is_from(message: Message) -> None:
    assert (message.topic, message.partition_id, message.partition) == (b"clicks", 3, "the partition")
    assert (message.offset, message.timestamp, message.value) == (7, 1000, b"value")
    assert (message.compression_type, message.protocol_version) == (4, 2)
    assert (message.produce_attempt, message.delivery_report_q) == (0, None)


def test_what_a_consumed_message_lacks_reads_as_none() -> None:
    assert (CONSUMED["full"].partition_key, CONSUMED["full"].headers) == (b"key", [("h", b"1")])
    assert (CONSUMED["keyed"].partition_key, CONSUMED["keyed"].headers) == (b"key", [])
    assert (CONSUMED["bare"].partition_key, CONSUMED["bare"].headers) == (None, [])


def test_headers_of_one_message_are_not_those_of_another() -> None:
    first, second = ConsumedMessage(b"", 1, 1, ORIGIN), ConsumedMessage(b"", 2, 1, ORIGIN)
    first.headers.append(("mine", None))
    assert second.headers == []


@pytest.mark.parametrize("message", [Message(b"v"), *CONSUMED.values()])
def test_an_unknown_attribute_is_an_attribute_error_that_names_it(message: Any) -> None:
    with pytest.raises(AttributeError, match="no attribute 'ofset'"):
        _ = message.ofset
    with pytest.raises(AttributeError):
        message.ofset = 5


@pytest.mark.parametrize("message", [ConsumedMessage(b"", 1, 1, ORIGIN), Message(b"")])
def test_attributes_may_be_assigned(message: Any) -> None:
    assigned = {
        "value": b"w",
        "offset": 5,
        "partition_key": b"k",
        "timestamp": 9,
        "headers": [("h", b"1")],
        "produce_attempt": 3,
        "delivery_report_q": "a queue",
    }
    assert (message.produce_attempt, message.delivery_report_q) == (0, None)
    for name, wanted in assigned.items():
        setattr(message, name, wanted)
    assert {name: getattr(message, name) for name in assigned} == assigned


# -- truth, size, repr ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [None, b"", b"x"])
def test_a_message_is_true_whatever_it_holds(value: Optional[bytes]) -> None:
    assert Message(value)
    assert ConsumedMessage(value, 1, 1, ORIGIN)


@pytest.mark.parametrize(
    ("value", "key", "size"), [(None, None, 14), (b"", b"", 14), (b"12345", None, 19), (None, b"123", 17), (b"1", b"2", 16)]
)
def test_len_is_the_size_with_the_old_framing(value: Optional[bytes], key: Optional[bytes], size: int) -> None:
    assert len(Message(value, key)) == size
    assert len(ConsumedMessage(value, 1, 1, ORIGIN, key)) == size


def test_repr_tells_everything_but_the_payload() -> None:
    text = repr(ConsumedMessage(b"secret", 7, 1, ORIGIN, b"secret key", [("secret", b"secret")]))
    assert text == "<ConsumedMessage b'clicks'/3 offset=7 value=6 bytes>"
    assert repr(Message(None)) == "<Message None/-1 offset=-1 value=None>"


# -- timestamps -------------------------------------------------------------------------------------------------------

UTC = datetime.timezone.utc
WARSAW = datetime.timezone(datetime.timedelta(hours=2))


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (0, 0),
        (1234567890123, 1234567890123),
        (1537533015250.9, 1537533015250),
        (datetime.datetime(1970, 1, 1), 0),
        (datetime.datetime(2009, 2, 13, 23, 31, 30, 123456), 1234567890123),
        (datetime.datetime(2009, 2, 13, 23, 31, 30, 999, tzinfo=UTC), 1234567890000),
        (datetime.datetime(2009, 2, 14, 1, 31, 30, 123999, tzinfo=WARSAW), 1234567890123),
        (datetime.datetime(1969, 12, 31, 23, 59, 59), -1000),
        (datetime.datetime(9999, 12, 31, 23, 59, 59, 999999), 253402300799999),
    ],
)
def test_epoch_milliseconds_of_what_users_give(given: Any, expected: int) -> None:
    assert to_epoch_ms(given) == expected
    message = Message(b"")
    message.set_timestamp(given)
    assert message.timestamp == expected


@pytest.mark.parametrize("wrong", ["2009-02-13", None, True, b"1", datetime.date(2009, 2, 13), [1]])
def test_anything_else_is_a_type_error_that_names_the_type(wrong: Any) -> None:
    with pytest.raises(TypeError, match=f"not {type(wrong).__name__}"):
        to_epoch_ms(wrong)


def test_timestamp_dt_is_naive_utc() -> None:
    message = Message(b"", timestamp=1234567890123)
    assert message.timestamp_dt == datetime.datetime(2009, 2, 13, 23, 31, 30, 123000)
    assert message.timestamp_dt.tzinfo is None


@pytest.mark.parametrize("timestamp", [None, -1])
def test_timestamp_dt_without_a_timestamp_is_none(timestamp: Optional[int]) -> None:
    assert Message(b"", timestamp=timestamp).timestamp_dt is None


def test_timestamp_dt_beyond_the_year_9999_is_none() -> None:
    assert Message(b"", timestamp=253402300799999).timestamp_dt == datetime.datetime(9999, 12, 31, 23, 59, 59, 999000)
    assert Message(b"", timestamp=253402300800000).timestamp_dt is None
    assert Message(b"", timestamp=2**63 - 1).timestamp_dt is None


@pytest.mark.parametrize("wrong", [2**63, -(2**63) - 1, 1e300, float("inf"), float("nan")])
def test_a_timestamp_that_does_not_fit_into_64_bits_is_refused(wrong: float) -> None:
    with pytest.raises(ValueError, match="64 bits"):
        to_epoch_ms(wrong)
    assert to_epoch_ms(2**63 - 1) == 2**63 - 1 and to_epoch_ms(-(2**63)) == -(2**63)


@pytest.mark.parametrize("seconds", [1764091000.25, 1764091000.0, -1764091000.5, 0.0, 99999999999.9])
def test_a_float_that_looks_like_seconds_is_refused(seconds: float) -> None:
    with pytest.raises(ValueError, match=rf"timestamp={seconds!r}: seconds\? give milliseconds"):
        to_epoch_ms(seconds)


@pytest.mark.parametrize("given", [100000000000.0, -100000000000.0, 5, 1764091000, 0])
def test_integers_are_milliseconds_whatever_they_are_and_floats_where_they_must_be(given: float) -> None:
    assert to_epoch_ms(given) == given


def test_timestamp_dt_may_be_assigned() -> None:
    message = Message(b"")
    message.timestamp_dt = datetime.datetime(2009, 2, 13, 23, 31, 30, 123456)
    assert message.timestamp == 1234567890123
    assert message.timestamp_dt == datetime.datetime(2009, 2, 13, 23, 31, 30, 123000)


# -- queued -----------------------------------------------------------------------------------------------------------


def _queued(fates: _Fates) -> QueuedMessage:
    return queued_message((b"value", b"key", 1000, (encode_headers([("h", None)]), print, None, -1)), fates)


def test_a_queued_message_is_undecided() -> None:
    message = _queued(_Fates())
    assert (message.done, message.error, message.offset, message.on_delivery) == (False, None, -1, print)
    assert (message.value, message.partition_key, message.timestamp, message.headers) == (b"value", b"key", 1000, [("h", None)])
    assert (message.topic, message.partition_id, message.compression_type, message.protocol_version) == (b"clicks", 3, 1, 2)
    assert (message.produce_attempt, message.delivery_report_q, message.partition) == (0, None, None)


def test_an_offset_decides_a_message() -> None:
    message = _queued(_Fates(0))
    assert (message.done, message.error, message.offset) == (True, None, 0)
    assert message.result() is message


def test_delivery_without_an_offset_decides_a_message() -> None:
    message = _queued(_Fates(DELIVERED))
    assert (message.done, message.error, message.offset) == (True, None, -1)
    assert message.result(0) is message


def test_a_failure_is_raised_by_result_each_time() -> None:
    failure = KafkaException("broken")
    message = _queued(_Fates(failure))
    assert (message.done, message.error, message.offset) == (True, failure, -1)
    for _ in range(2):
        with pytest.raises(KafkaException, match="broken") as raised:
            message.result()
        assert raised.value is failure


@pytest.mark.parametrize("timeout", [None, 0, 2.5])
def test_result_waits_for_an_undecided_message(timeout: Optional[float]) -> None:
    fates = _Fates(None, 42)
    message = _queued(fates)
    assert message.result(timeout) is message
    assert (fates.waited, message.offset) == ([timeout], 42)
    message.result()
    assert fates.waited == [timeout]  # decided: there is nothing to wait for


def test_result_raises_what_came_out_while_it_waited() -> None:
    with pytest.raises(KafkaException, match="too late"):
        _queued(_Fates(None, KafkaException("too late"))).result()


def test_a_timeout_of_result_leaves_the_message_undecided() -> None:
    message = _queued(_Fates(None, OperationTimedOut("not yet")))
    with pytest.raises(OperationTimedOut):
        message.result(1)
    assert (message.done, message.error) == (False, None)


# -- to another process, and copies -----------------------------------------------------------------------------------


def everything_of(message: Message) -> list[Any]:
    """Return what people read of a message."""
    names = ("value", "partition_key", "headers", "offset", "timestamp", "topic", "partition_id", "compression_type")
    return [getattr(message, name) for name in (*names, "protocol_version", "timestamp_dt")]


class Unpicklable:
    """Stands for a Partition, which leads to threads and sockets."""

    def __reduce__(self) -> Any:
        raise AssertionError("a partition must not be pickled")


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_message_goes_to_another_process_without_its_partition(protocol: int) -> None:
    origin = Origin(b"clicks", 3, Unpicklable(), 2, 2)
    for message in (
        ConsumedMessage(b"value", 7, 1, origin, b"key", [("a", b"b")]),
        ConsumedMessage(None, 8, 2, origin, b"key"),
        ConsumedMessage(b"", 9, 3, origin),
        queued_message((b"v", None, 5, None), _Fates()),
        Message(b"by hand", b"key", timestamp=5),
    ):
        twin = pickle.loads(pickle.dumps(message, protocol))
        assert everything_of(twin) == [value or [] if index == 2 else value for index, value in enumerate(everything_of(message))]
        assert twin.partition is None and twin


def test_a_copy_shares_the_partition_and_may_be_changed_alone() -> None:
    partition = Unpicklable()
    message = ConsumedMessage(b"value", 7, 1, Origin(b"clicks", 3, partition, 2, 2), b"key", [("a", b"b")])
    twin = copy.copy(message)
    assert everything_of(twin) == everything_of(message) and twin.partition is partition
    twin.value = b"other"
    twin.headers.append(("c", None))
    assert (message.value, message.headers) == (b"value", [("a", b"b")])
    assert everything_of(copy.deepcopy(message)) == everything_of(message)


@pytest.mark.parametrize("kind", [TypeError, RuntimeError], ids=lambda kind: kind.__name__)
def test_a_time_of_the_wrong_type_is_the_error_of_pykafka_too(kind: type[Exception]) -> None:
    with pytest.raises(kind, match="timestamp must be a datetime or milliseconds since 1970, not str"):
        Message(b"").set_timestamp("now")
