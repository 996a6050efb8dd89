"""Errors carry what was asked of whom, survive pickling, and no code is unknown enough to be lost."""

from __future__ import annotations

import pickle
from typing import Any

import pytest

from pykafka import exceptions
from pykafka.exceptions import (
    ERROR_CODES,
    CorruptBatchError,
    DeliveryTimeout,
    KafkaException,
    PartitionOwnedError,
    UnknownError,
    error_for,
)

CLASSES = [one for one in vars(exceptions).values() if isinstance(one, type) and issubclass(one, Exception)]


def test_a_code_we_do_not_know_is_an_unknown_error_that_carries_the_number() -> None:
    error = error_for(9999, broker="2 (kafka-2:9092)", api="Produce", version=9, topic=b"clicks", partition=3)
    assert type(error) is exceptions.UnknownError
    assert error.code == 9999 and not error.retriable
    assert str(error) == (
        "UnknownError (9999): broker 2 (kafka-2:9092) refused Produce v9 for clicks/3;"
        " a code this version of pykafka does not know"
    )


@pytest.mark.parametrize("code", ERROR_CODES)
def test_every_code_has_a_class_of_its_own_with_a_sentence(code: int) -> None:
    error = error_for(code)
    assert type(error) is ERROR_CODES[code] and error.code == code == error.ERROR_CODE
    assert str(error).startswith(f"{type(error).__name__} ({code}): the broker refused the request; ")
    assert len(error.hint) > 10


def test_the_brokers_own_words_are_added_and_cannot_break_a_log() -> None:
    error = error_for(3, api="CreateTopics", topic="a\nb", detail="line\nbreak")
    assert "for a\\nb; " in str(error) and "(line\\nbreak)" in str(error)
    assert error.topic == "a\\nb"


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_every_exception_is_pickled_whole(cls: type[Exception]) -> None:
    error = cls("the message")
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is cls and str(copy) == str(error)


@pytest.mark.parametrize(
    "error",
    [
        error_for(9999, broker="1 (k:9)", api="Fetch", version=12, topic=b"t", partition=7, detail="words"),
        error_for(6, broker="1 (k:9)", api="Produce", version=9, topic="t", partition=0),
        DeliveryTimeout("late", possibly_written=False, topic="t", partition=1),
        CorruptBatchError("bad", offset=17, topic=b"t", partition=2),
        PartitionOwnedError("p0"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_what_an_error_carries_is_pickled_with_it(error: KafkaException) -> None:
    copy: Any = pickle.loads(pickle.dumps(error))
    assert type(copy) is type(error) and copy.args == error.args and copy.__dict__ == error.__dict__


def test_what_can_help_is_said_by_the_class() -> None:
    assert error_for(6).retriable and error_for(6).refresh == "metadata"
    assert error_for(16).retriable and error_for(16).refresh == "coordinator"
    assert not error_for(10).retriable and error_for(10).refresh is None
    assert exceptions.ProtocolError("x").retriable and not exceptions.EncodeError("x").retriable


def test_errors_can_be_caught_by_the_builtin_they_are_like() -> None:
    assert issubclass(exceptions.OperationTimedOut, TimeoutError)
    assert issubclass(exceptions.MissingCodecError, ImportError)
    assert issubclass(exceptions.KafkaConfigError, (TypeError, ValueError))
    assert issubclass(exceptions.EncodeError, ValueError)


def test_an_error_without_context_has_none() -> None:
    error = KafkaException("words")
    assert (error.broker, error.api, error.version, error.topic, error.partition, error.code) == (None,) * 6


def test_a_code_that_nobody_knows_is_an_unknown_error_with_its_number() -> None:
    number, known = 30999, len(ERROR_CODES)
    with pytest.raises(UnknownError, match="of topic t") as caught:
        raise ERROR_CODES[number]("of topic t")
    assert caught.value.code == number == ERROR_CODES[number].ERROR_CODE and str(number) in str(ERROR_CODES[number]())
    assert number not in ERROR_CODES and ERROR_CODES.get(number) is None and len(ERROR_CODES) == known
    copy = pickle.loads(pickle.dumps(caught.value))
    assert type(copy) is UnknownError and copy.code == number and copy.args == caught.value.args
    with pytest.raises(KeyError):
        ERROR_CODES["x"]  # type: ignore[index]  # only numbers are codes


def test_the_partition_that_somebody_owns_is_in_the_error() -> None:
    assert PartitionOwnedError("p0").partition == "p0"
