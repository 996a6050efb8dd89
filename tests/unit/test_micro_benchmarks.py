"""Each micro-benchmark measures what its name says: the call works, and is about as much as it claims."""

from __future__ import annotations

import pytest

from benchmarks.micro.cases import CASES, COUNT


@pytest.mark.parametrize("name", CASES)
def test_a_case_can_be_called_again_and_again(name: str) -> None:
    case = CASES[name]()
    first, second = case.call(), case.call()
    assert case.amount >= 1 and case.unit
    if name.startswith("decode"):
        assert len(first) == len(second) == case.amount == COUNT
        assert {message.offset for message in first} == set(range(COUNT))
    if name.startswith("partition"):
        assert sum(len(places) for _partition, places in first) == sum(len(places) for _partition, places in second) == COUNT
    if name.startswith(("encode", "crc32c", "murmur2")):
        assert first == second
    if name == "queue-hand-over":
        assert len(first) == COUNT and first.timestamps == list(range(COUNT))
