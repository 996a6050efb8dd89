"""The same bytes given to decoders of others: what they read is what we read, or both refuse, or it is known why not (P11).

Answers and batches, whole and damaged, go to kafka-python's decoders and to ours; batches go to librdkafka, too, by a fake
cluster that serves each of them in a partition of its own. A disagreement of a kind that is not listed here fails the test.

librdkafka's own mock cluster is of no use here: 2.16's refuses ApiVersions in a layout of its own, and leaves a byte behind the
end of Metadata v13. Both are refused by us.
"""

from __future__ import annotations

import importlib
import random
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any, Callable, NamedTuple, Union

import pytest

from pykafka.exceptions import CorruptBatchError, ProtocolError
from pykafka.protocol.api import decode_response
from pykafka.protocol.messages import FetchRequest, FetchResponse
from pykafka.protocol.schema import Field, Struct
from pykafka.records.batch import split_batches
from pykafka.records.decode import decode_batch
from pykafka.testing import FakeCluster

from .. import needs
from ..support import until
from ..unit.protocol.samples import SAMPLES, encode, present_fields
from .targets import RESPONSE_CASES, mutated, seal, seeds

# kafka-python reads its schemas in a way that Python warns of
pytestmark = pytest.mark.filterwarnings("ignore:(read|open)_text is deprecated:DeprecationWarning")

#: How many damaged answers of each version and sample, and how many damaged batches with right and with wrong checksums.
DAMAGED_ANSWERS, DAMAGED_BATCHES = 12, 6000
ROOMY = 1 << 24


class Refusal(NamedTuple):
    """What a decoder said in the place of a value."""

    said: str


Outcome = Union[Refusal, Any]


def outcome(read: Callable[[], Any], *errors: type[Exception]) -> Outcome:
    """Return what ``read`` gives, or its refusal; other errors than these get out."""
    try:
        return read()
    except errors as error:
        return Refusal(f"{type(error).__name__}: {error}")


def compared(ours: Outcome, theirs: Outcome) -> str:
    """Return in which way two decoders agree or not, with what the one that refuses says."""
    refusals = isinstance(ours, Refusal), isinstance(theirs, Refusal)
    if refusals == (True, True):
        return "both refuse"
    if refusals == (False, False):
        # the text tells 0 from False, and not a number from itself
        return "both read the same" if repr(ours) == repr(theirs) else "they read something else"
    return f"only we refuse: {ours.said}" if refusals[0] else f"only they refuse: {theirs.said}"


def classified(found: list[tuple[str, str]], known: dict[str, str]) -> Counter[str]:
    """Return how often which kind of disagreement was there.

    :param found: pairs of what :func:`compared` said and of where that was
    :param known: patterns of disagreements, and why they are
    """
    kinds: Counter[str] = Counter()
    for said, where in found:
        reasons = [why for pattern, why in known.items() if re.search(pattern, said)]
        assert reasons or said.startswith("both"), f"{where}: {said}"
        kinds[reasons[0] if reasons else said] += 1
    return kinds


# -- answers ----------------------------------------------------------------------------------------------------------

LENIENT_ANSWERS = {
    r"only we refuse: .* ends at byte \d+, but \d+ bytes arrived": "kafka-python does not look at what is left over",
    r"only we refuse: .*impossible size -\d+": "kafka-python takes null where there is none, and any negative size for it",
    r"only we refuse: .*impossible size \d+": "kafka-python takes what there is of a text or of bytes that are longer",
    r"only we refuse: .*varint at byte \d+ is longer": "kafka-python takes numbers of any length",
    r"only we refuse: .*tag \d+": "kafka-python looks neither at the size of a tagged field nor at the order of the fields",
    r"only we refuse: .*unpack_from requires a buffer": "kafka-python has gone on in the wrong place, after one of these",
    r"only we refuse: .*index out of": "kafka-python has gone on in the wrong place, after one of these",
    r"ApiVersions with an error: ": "kafka-python reads an ApiVersions in error as version 0; brokers send only error 35 so",
}


def kafka_python_messages() -> dict[str, Any]:
    """Return kafka-python's classes of messages by name."""
    needs.package("kafka")
    for package in ("admin", "consumer", "metadata", "producer", "sasl"):
        importlib.import_module(f"kafka.protocol.{package}")
    base = importlib.import_module("kafka.protocol.api_message").ApiMessage

    def below(cls: Any) -> Iterator[Any]:
        for one in type.__subclasses__(cls):
            yield one
            yield from below(one)

    return {cls.__name__: cls for cls in below(base) if getattr(cls, "_json", None)}


def plain(value: Any, version: int) -> Any:
    """Return a message of ours as dicts and lists."""
    if isinstance(value, Struct):
        fields = present_fields(type(value), version)
        return {field.name: plain(getattr(value, field.name), version) for field in fields}
    if isinstance(value, (list, tuple)):
        return [plain(one, version) for one in value]
    return bytes(value) if isinstance(value, memoryview) else value


def plain_of_theirs(message: Any, cls: type[Struct], version: int) -> dict[str, Any]:
    """Return a message of kafka-python's as :func:`plain` gives ours."""
    found = {}
    for field in present_fields(cls, version):
        is_bits = field.name.endswith("authorized_operations")
        value = getattr(message, "authorized_operations" if is_bits else field.name)
        found[field.name] = _bits(value) if is_bits else _value_of_theirs(value, field, version)
    return found


def _bits(numbers: Any) -> int:
    """Return a set of numbers of bits as the number with these bits; None stands for "not asked for", the lowest number."""
    number = sum(1 << bit for bit in ({31} if numbers is None else numbers))
    return number - (1 << 32) if number >= 1 << 31 else number


def _value_of_theirs(value: Any, field: Field, version: int) -> Any:
    if value is None and not field.is_nullable(version):
        if field.kind == "uuid":
            return bytes(16)
        # a tagged field that is not there has its default; anything else is null where there is none
        return plain(field.make_default(), version) if field.is_tagged(version) else None
    if value is None:
        return None
    if field.kind == "struct":
        assert field.struct is not None
        return plain_of_theirs(value, field.struct, version)
    if field.kind == "array":
        assert field.item is not None
        return [_value_of_theirs(one, field.item, version) for one in value]
    return value.bytes if field.kind == "uuid" else value


def test_answers_are_read_as_kafka_python_reads_them_or_it_is_known_why_not() -> None:
    theirs = kafka_python_messages()
    cases = [(cls, version) for cls, version in RESPONSE_CASES
             if cls.__name__ in theirs and version <= theirs[cls.__name__].max_version]  # fmt: skip
    assert len(cases) >= 170
    chance = random.Random(11)
    found: list[tuple[str, str]] = []
    for cls, version in cases:
        for sample in SAMPLES.values():
            whole = encode(sample(cls, version), version)
            for data in (whole, *(mutated(whole, chance) for _ in range(DAMAGED_ANSWERS))):
                ours = outcome(lambda: plain(decode_response(cls, version, memoryview(data))[1], version), ProtocolError)  # noqa: B023
                decode = theirs[cls.__name__].decode
                other = outcome(lambda: plain_of_theirs(decode(data, version=version, header=True), cls, version), Exception)  # noqa: B023
                said = compared(ours, other)
                in_error = cls.__name__ == "ApiVersionsResponse" and not isinstance(ours, Refusal) and ours["error_code"]
                if in_error and not said.startswith("both"):
                    said = f"ApiVersions with an error: {said}"
                assert data is not whole or said.startswith(("both read", "ApiVersions with")), said
                found.append((said, f"{cls.__name__} v{version} {data.hex()}"))
    kinds = classified(found, LENIENT_ANSWERS)
    print(kinds)
    assert kinds["both read the same"] > 2500 and kinds["both refuse"] > 5000


# -- batches ----------------------------------------------------------------------------------------------------------

LENIENT_BATCHES = {
    r"only we refuse: .*offset delta .* is out of order": "kafka-python gives messages any offset, also the same one twice",
    r"only we refuse: .*it begins before offset": "kafka-python lets batches overlap",
    r"only we refuse: .*records in .* offsets": "kafka-python does not compare the number of records with that of offsets",
    r"only we refuse: .*magic \d+, length": "kafka-python takes any other magic number for 2, and what is too short for the end",
    r"only we refuse: .*in the message format of Kafka 0\.10": "we do not read the format of before 0.11",
    r"only we refuse: .*bytes behind an LZ4 frame": "kafka-python does not look behind the end of compressed data",
    r"only we refuse: .*a field of -\d+ bytes": "kafka-python takes any negative size for null",
    r"only we refuse: .*unknown codec": "kafka-python takes a batch without records in any codec",
    r"only they refuse: .*invalid number of record headers": "kafka-python reads a record's attributes, a byte, as a varint",
    r"only they refuse: .*Invalid record size": "kafka-python reads a record's attributes, a byte, as a varint",
    r"only they refuse: error: unpack requires a buffer": "kafka-python reads the key of what is marked as a control batch",
    r"only they refuse: .*snappy compression codec not found": "kafka-python has no snappy here",
}


def columns(data: bytes) -> list[Any]:
    """Return what we read of batches: offset, timestamp, key, value and headers of every record.

    :raises CorruptBatchError: for the first thing that is wrong
    """
    rows: list[Any] = []
    for batch in split_batches(data, "t", 0):
        found = decode_batch(batch, "t", 0, ROOMY)
        nothing = [None] * len(found.values)
        headers = [list(pairs) for pairs in found.headers] if found.headers else [[] for _ in found.values]
        rows += zip(found.offsets, found.timestamps, found.keys or nothing, found.values, headers)
    return rows


def columns_of_theirs(data: bytes) -> list[Any]:
    """Return what kafka-python reads of batches, with their checksums looked at, as it is set by default."""
    batches = importlib.import_module("kafka.record").MemoryRecords(data)
    rows: list[Any] = []
    while batches.has_next():
        batch = batches.next_batch()
        if not batch.validate_crc():
            raise ValueError("the checksum is wrong")
        rows += [(row.offset, row.timestamp, row.key, row.value, list(row.headers)) for row in batch]
    return rows


@pytest.mark.parametrize("name", ["batches", "sealed"])
def test_batches_are_read_as_kafka_python_reads_them_or_it_is_known_why_not(name: str) -> None:
    needs.package("kafka")
    chance, inputs = random.Random(name), seeds(name)
    damaged = [mutated(chance.choice(inputs), chance) for _ in range(DAMAGED_BATCHES)]
    found = []
    for data in [*inputs, *(seal(one) if name == "sealed" else one for one in damaged)]:
        ours, other = outcome(lambda: columns(data), CorruptBatchError), outcome(lambda: columns_of_theirs(data), Exception)  # noqa: B023
        found.append((compared(ours, other), data.hex()))
    kinds = classified(found, LENIENT_BATCHES)
    print(kinds)
    assert kinds["both read the same"] > 100 and kinds["both refuse"] > DAMAGED_BATCHES / 2


# -- librdkafka -------------------------------------------------------------------------------------------------------

#: How many damaged batches, whose checksums are wrong. Those with right checksums are not given to it: of 60 of them one had it
#: go round and round for ever.
DAMAGED_FOR_LIBRDKAFKA = 40
LENIENT_LIBRDKAFKA = {
    r"only we refuse: .*magic \d+, length": "librdkafka takes what is too short to be a batch for one that is cut off, and waits",
}


class Served:
    """What a fake cluster gives for the beginning of each partition of a topic, and how often it was asked for."""

    def __init__(self, batches: list[bytes]) -> None:
        self.batches = batches
        self.fetched: Counter[int] = Counter()

    def answer(self, request: FetchRequest, version: int) -> FetchResponse:
        """Return the batch of each partition whose beginning is asked for."""
        topics = []
        for topic in request.topics:
            self.fetched.update(row.partition for row in topic.partitions)
            rows = [
                FetchResponse.PartitionData(
                    partition_index=row.partition,
                    high_watermark=2**40,
                    last_stable_offset=2**40,
                    log_start_offset=0,
                    aborted_transactions=None,
                    records=b"" if row.fetch_offset else self.batches[row.partition],
                )
                for row in topic.partitions
            ]
            topics.append(FetchResponse.FetchableTopicResponse(topic=topic.topic, topic_id=topic.topic_id, partitions=rows))
        return FetchResponse(responses=topics)


def read_by_librdkafka(batches: list[bytes]) -> list[Outcome]:
    """Return what librdkafka reads of each of the batches."""
    confluent = needs.package("confluent_kafka")
    served = Served(batches)
    rows: dict[int, list[Any]] = {number: [] for number in range(len(batches))}
    refusals: dict[int, Refusal] = {}
    with FakeCluster(topics={"t": len(batches)}) as cluster:
        cluster.on("Fetch", served.answer)
        quick = {"fetch.error.backoff.ms": 10, "fetch.queue.backoff.ms": 10, "log_level": 0}
        consumer = confluent.Consumer({"bootstrap.servers": cluster.hosts, "group.id": "g", "check.crcs": True, **quick})
        consumer.assign([confluent.TopicPartition("t", number, 0) for number in rows])

        def look() -> bool:
            for one in consumer.consume(500, 0.1):
                if one.error():
                    refusals[one.partition()] = Refusal(str(one.error()))
                else:
                    row = (one.offset(), one.timestamp()[1], one.key(), one.value(), one.headers() or [])
                    rows[one.partition()].append(row)
            # whoever has asked for the same three times has nothing more to say
            return all(served.fetched[number] >= 3 for number in rows)

        until(look, what="librdkafka has looked at all batches")
        look()
        consumer.close()
    return [refusals.get(number, rows[number]) for number in rows]


def test_batches_are_read_as_librdkafka_reads_them_or_it_is_known_why_not() -> None:
    chance, whole = random.Random(5), seeds("sealed")
    batches = [*whole, *(mutated(chance.choice(whole), chance) for _ in range(DAMAGED_FOR_LIBRDKAFKA))]
    found = []
    for data, theirs in zip(batches, read_by_librdkafka(batches)):
        found.append((compared(outcome(lambda: columns(data), CorruptBatchError), theirs), data.hex()))  # noqa: B023
    assert [said for said, _data in found[: len(whole)]] == ["both read the same"] * len(whole)
    kinds = classified(found, LENIENT_LIBRDKAFKA)
    print(kinds)
    assert kinds["both refuse"] > DAMAGED_FOR_LIBRDKAFKA / 2

