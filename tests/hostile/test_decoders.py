"""Properties of everything that reads bytes, tried with some hundred thousand damaged inputs: the same ones in every run."""

from __future__ import annotations

import gc
import random
import subprocess
import sys
import tracemalloc
from collections.abc import Iterator
from itertools import islice
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pykafka._machines.member import MemberMetadata
from pykafka._machines.sharing import readable
from pykafka.exceptions import ProtocolError
from pykafka.protocol.api import decode_data, decode_response
from pykafka.protocol.primitives import encode_uvarint
from pykafka.protocol.schema import DATA, RESPONSES, Message, Request, Response, Struct
from pykafka.records.batch import split_batches
from pykafka.records.decode import decode_batch

from ..support import ROOT
from ..unit.protocol.samples import CASES, IDS, SAMPLES, decode, encode, present_fields
from . import fuzz
from .targets import CAP, RESPONSE_CASES, TARGETS, fed, golden, mutated, outcome, seeds

#: How many damaged inputs each target gets, by what it costs to read one.
DOSES = {"response": 30_000, "request": 20_000, "blob": 8_000, "frames": 5_000, "batches": 16_000, "sealed": 10_000}
CODEC_DOSE = 4_000
#: Damaged answers that are measured, too, one by one.
MEASURED = 20


def doses() -> list[tuple[str, int]]:
    """Return (target, number of inputs) for all of them."""
    return [(name, DOSES.get(name, CODEC_DOSE)) for name in TARGETS]


def test_there_are_as_many_inputs_as_are_promised() -> None:
    assert sum(dose for _name, dose in doses()) >= 100_000


@pytest.mark.parametrize(("name", "dose"), doses())
def test_whatever_arrives_is_read_or_refused_by_an_error_of_ours(name: str, dose: int) -> None:
    inputs = fuzz.pool(name)
    given_to: list[int] = []

    @settings(max_examples=dose // 500, deadline=None, database=None, derandomize=True)
    @given(st.integers(0, 2**63))
    def barrage(number: int) -> None:
        fuzz.barrage(name, inputs, number, 500)
        given_to.append(500)

    barrage()
    # hypothesis tries a number once; a few of them may be drawn twice
    assert sum(given_to) >= dose * 0.9


def test_the_same_holds_where_assertions_are_left_out() -> None:
    code = (
        "from tests.hostile import fuzz\n"
        "for name in sorted(fuzz.TARGETS):\n"
        "    inputs = fuzz.pool(name)\n"
        "    for number in range(20): fuzz.barrage(name, inputs, number)\n"
        "print('all read', __debug__)\n"
    )
    done = subprocess.run([sys.executable, "-O", "-c", code], capture_output=True, text=True, cwd=ROOT, timeout=120, check=False)
    assert done.stdout == "all read False\n", done.stderr


@pytest.mark.parametrize("path", sorted(fuzz.CORPUS.glob("*-*")), ids=lambda path: path.name)
def test_what_once_was_a_fault_is_none_any_more(path: Any) -> None:
    data = path.read_bytes()
    assert len(data) <= fuzz.LARGEST
    fuzz.attack(path.name.split("-")[0], data)


def test_valid_inputs_are_read_to_their_end() -> None:
    # otherwise everything above might be refused at its first byte
    for cls, version in RESPONSE_CASES:
        message = SAMPLES["null inside"](cls, version)
        assert outcome(cls, version, encode(message, version)) == message
    for name, count in (("batches", 2), ("sealed", 1)):
        for data in seeds(name):
            found = split_batches(data, "t", 0)
            assert [len(decode_batch(batch, "t", 0, CAP).values) for batch in found] == [40] * count
    for data in seeds("blob"):
        assert any(outcome(cls, 0, data) is not None for cls in DATA)
    sticky, _bad = readable([MemberMetadata("m", None, seeds("blob")[0])], "sticky")
    assert (sticky["m"].owned, sticky["m"].generation) == ((("t", 0), ("t", 1)), 7)
    frames = seeds("frames")[0]
    assert fed(frames, [len(frames)]) == ([b"abcd", b"", bytes(300)], False)


# -- the campaign itself ----------------------------------------------------------------------------------------------


def test_a_campaign_finds_a_fault_and_keeps_its_input_small(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    def faulty(data: bytes) -> None:
        if b"\xff\xff\xff\xff" in data:
            raise KeyError("what nobody thought of")

    monkeypatch.setitem(TARGETS, "blob", faulty)
    runs, fault = fuzz.by_hypothesis("blob", 20, 1)
    assert fault is not None
    assert "KeyError: 'what nobody thought of'" in fault.args[0]
    kept = fuzz.keep("blob", fault.args[-1], tmp_path)
    assert kept.read_bytes() == b"\xff\xff\xff\xff"
    assert kept.name.startswith("blob-")


def test_a_campaign_that_looks_for_new_code_sees_that_of_the_codecs_and_of_nobody_else() -> None:
    gc.unfreeze()  # conftest.py has what was imported with the tests looked over
    found = {(function.__code__.co_filename, function.__name__) for function in fuzz.functions_of_ours("response")}
    assert ("<pykafka FetchResponse v13>", "decode") in found
    assert any(name == "split_batches" for _file, name in found)
    assert not any("site-packages" in file or "argparse" in file for file, _name in found)


@pytest.mark.parametrize("name", ["response", "request", "blob"])
def test_what_other_clients_have_made_is_among_the_first_inputs_and_is_read(name: str) -> None:
    inputs = golden(name)
    assert len(inputs) >= 3
    for data in inputs:
        if name == "response":
            assert outcome(RESPONSES[int.from_bytes(data[:2], "big")], data[2], data[3:]) is not None
        elif name == "request":
            assert outcome(Request, 0, data) is not None
        else:
            assert any(outcome(cls, 0, data) is not None for cls in DATA)


def test_what_takes_too_long_is_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    def slow(data: bytes) -> None:
        sum(range(3_000_000))

    monkeypatch.setitem(TARGETS, "blob", slow)
    monkeypatch.setattr(fuzz, "MOST_SECONDS", 0.01)
    with pytest.raises(fuzz.Fault, match="3 bytes took"):
        fuzz.attack("blob", b"abc")


# -- beginnings, ends and what is behind ------------------------------------------------------------------------------


@pytest.mark.parametrize(("cls", "version"), CASES, ids=IDS)
def test_what_is_behind_a_message_is_never_read(cls: type[Message], version: int) -> None:
    frame = encode(SAMPLES["null inside"](cls, version), version)
    for behind in (b"\0", b"\xff" * 20):
        if issubclass(cls, (Request, Response)):
            # one frame holds one message, so a longer one is not what it says it is
            assert outcome(cls, version, frame + behind) is None
        else:
            data, _version, end = decode_data(cls, frame + behind)  # type: ignore[type-var]
            assert (data, end) == (decode(cls, version, frame), len(frame))


@pytest.mark.parametrize(("cls", "version"), RESPONSE_CASES[::7])
def test_a_frame_is_let_go_once_its_message_is_made(cls: type[Message], version: int) -> None:
    message = SAMPLES["lowest"](cls, version)
    frame = bytearray(encode(message, version))
    found = decode(cls, version, frame)  # type: ignore[arg-type]
    if cls.__name__ != "FetchResponse":  # whose records are slices of it, so that they are not copied
        frame.append(0)  # a BufferError while anything still refers to it
    assert found == message


# -- memory -----------------------------------------------------------------------------------------------------------


def _crowded(cls: type[Struct], version: int, count: int) -> Any:
    """Return a message whose first level of arrays holds ``count`` of the smallest items."""
    made = SAMPLES["default"](cls, version)
    for field in present_fields(cls, version):
        if field.kind == "array" and field.item is not None:
            item = _smallest(field.item.struct, version) if field.item.struct else None
            if item is not None:
                setattr(made, field.name, [item] * count)
    return made


def _smallest(cls: type[Struct], version: int) -> Any:
    made = cls()
    for field in present_fields(cls, version):
        if field.is_nullable(version):
            setattr(made, field.name, None)
    return made


def _size_of_objects(value: Any) -> int:
    """Return what Python takes for a message's structs and lists, without what is in their places."""
    if isinstance(value, list):
        return sys.getsizeof(value) + sum(map(_size_of_objects, value))
    if isinstance(value, Struct):
        return sys.getsizeof(value) + sum(_size_of_objects(getattr(value, name)) for name in type(value).FIELDS)
    return 0


@pytest.mark.parametrize("cls", dict(RESPONSE_CASES), ids=lambda cls: cls.__name__)
def test_a_message_takes_memory_by_what_it_is_made_of_and_never_by_what_it_claims(cls: Any) -> None:
    version = cls.MAX_VERSION
    frame = encode(_crowded(cls, version, 200), version)
    objects = _size_of_objects(decode(cls, version, frame))
    tracemalloc.start()
    try:
        decode(cls, version, frame)
        honest = tracemalloc.get_traced_memory()[1]
        worst = 0
        chance = random.Random(version)
        for _ in range(MEASURED):
            tracemalloc.reset_peak()
            data = mutated(frame, chance)
            outcome(cls, version, data)
            worst = max(worst, tracemalloc.get_traced_memory()[1])
    finally:
        tracemalloc.stop()
    # what is read takes 16 times its bytes at most, and nearly always less than twice as much; what Python takes for the objects
    # themselves comes on top. An item of three bytes, as the smallest are, becomes an object with a place for each field
    assert honest <= 16 * len(frame) + objects + 64 * 1024
    assert honest <= 40 * len(frame) + 64 * 1024, "more than docs/hostile_bytes.rst says"
    assert worst <= honest + 16 * len(frame) + 64 * 1024


def test_a_varint_without_end_anywhere_is_refused() -> None:
    chance = random.Random(7)
    for cls, version in RESPONSE_CASES:
        if version >= cls.FLEXIBLE:
            frame = encode(SAMPLES["null inside"](cls, version), version)
            for at in islice(_places(chance, len(frame)), 10):
                outcome(cls, version, frame[:at] + b"\x80" * 2000)


def _places(chance: random.Random, size: int) -> Iterator[int]:
    while True:
        yield chance.randrange(4, size + 1)


@pytest.mark.parametrize("count", [2**31, 2**32 - 2])
def test_no_count_of_any_answer_is_believed_beyond_the_bytes_there_are(count: int) -> None:
    claimed = encode_uvarint(count + 1)
    refused = 0
    tracemalloc.start()
    try:
        for cls, version in RESPONSE_CASES:
            if version < cls.FLEXIBLE:
                continue
            frame = encode(SAMPLES["lowest"](cls, version), version)
            before = tracemalloc.get_traced_memory()[0]
            for at in range(4, min(len(frame), 60)):
                try:
                    decode_response(cls, version, memoryview(frame[:at] + claimed + frame[at:]))
                except ProtocolError:
                    refused += 1
            assert tracemalloc.get_traced_memory()[0] - before < 2**22  # compiled codecs stay
    finally:
        tracemalloc.stop()
    assert refused > 2000
