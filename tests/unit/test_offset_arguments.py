"""What users give as partitions and offsets, before anybody is asked about them."""

from __future__ import annotations

from typing import Any
from unittest import mock

import pytest

from pykafka.offset_arguments import answered_moves
from pykafka.partition import Partition

TOPIC = mock.Mock()
TOPIC.name = b"clicks"
OWN, OTHER = (Partition(TOPIC, number, None, [], []) for number in (0, 1))

ANSWERS: dict[str, tuple[Any, list[tuple[Partition, Any]]]] = {
    "nothing": (None, []),
    "an empty dict": ({}, []),
    "by number": ({0: 7}, [(OWN, 7)]),
    "by Partition": ({OWN: 7}, [(OWN, 7)]),
    "pairs": ([(OWN, 7)], [(OWN, 7)]),
    "pairs of a generator": (((one, 7) for one in (OWN,)), [(OWN, 7)]),
    "of somebody else by now": ({0: 7, 1: 8, OTHER: 9}, [(OWN, 7)]),
}


@pytest.mark.parametrize("kind", ANSWERS)
def test_a_callback_may_answer_with_whatever_reset_offsets_takes_and_by_number(kind: str) -> None:
    answer, moves = ANSWERS[kind]
    assert answered_moves(answer, {0: OWN}) == moves


def test_a_callback_that_has_lost_everything_meanwhile_moves_nothing() -> None:
    assert answered_moves({0: 7, OWN: 7}, {}) == []


def test_with_several_topics_a_partition_is_called_by_topic_and_number() -> None:
    assert answered_moves({(b"clicks", 0): 7, (b"clicks", 1): 8}, {(b"clicks", 0): OWN}) == [(OWN, 7)]


WRONG = [7, True, "0", b"0", [([0], 7)], {"0": 7}, {"t": 7}, {1.5: 7}, {(b"clicks", 0): 7}, {(b"clicks",): 7}, [OWN], [(0, 1, 2)]]


@pytest.mark.parametrize("answer", WRONG, ids=repr)
def test_any_other_answer_is_an_error_that_says_what_may_be_returned(answer: Any) -> None:
    with pytest.raises(TypeError, match=r"may return None, \{partition: offset\}.*\[\(Partition, offset\), \.\.\.\]"):
        answered_moves(answer, {0: OWN})


def test_a_number_alone_says_nothing_where_there_are_several_topics() -> None:
    with pytest.raises(TypeError, match="0 is no partition"):
        answered_moves({0: 7}, {(b"clicks", 0): OWN})


@pytest.mark.parametrize("key", [True, 1.0], ids=repr)
def test_what_merely_equals_a_number_is_none(key: Any) -> None:
    with pytest.raises(TypeError, match="is no partition"):
        answered_moves({key: 7}, {1: OTHER})
