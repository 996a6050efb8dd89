"""Every message in every version, encoded and decoded again, is what it was."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from pykafka.exceptions import ProtocolError
from pykafka.protocol.compiler import compile_codec
from pykafka.protocol.messages import (
    ApiVersionsResponse,
    FetchRequest,
    FetchResponse,
    InitProducerIdRequest,
    MetadataRequest,
    MetadataResponse,
    ProduceRequest,
    ProduceResponse,
)
from pykafka.protocol.primitives import encode_uvarint
from pykafka.protocol.schema import Message, Struct

from .samples import CASES, IDS, SAMPLES, decode, encode, largest_value, messages, present_fields

FLEXIBLE = [(cls, version) for cls, version in CASES if version >= cls.FLEXIBLE]


def test_samples_are_as_thorough_as_they_say() -> None:
    fetched = SAMPLES["maximal"](FetchResponse, 16)
    partition = fetched.responses[2].partitions[2]
    assert (partition.high_watermark, len(partition.records), partition.current_leader.leader_id) == (2**63 - 1, 5120, 2**31 - 1)
    assert len(partition.aborted_transactions) == len(fetched.node_endpoints) == 3
    assert SAMPLES["null"](MetadataRequest, 13).topics is None
    assert SAMPLES["null inside"](MetadataRequest, 13).topics[1].name is None
    assert SAMPLES["empty"](FetchRequest, 13).cluster_id == ""
    assert SAMPLES["lowest"](InitProducerIdRequest, 5).producer_id == -(2**63)


@pytest.mark.parametrize("make", SAMPLES.values(), ids=SAMPLES.keys())
@pytest.mark.parametrize(("cls", "version"), CASES, ids=IDS)
def test_a_message_survives(cls: type[Message], version: int, make: Any) -> None:
    message = make(cls, version)
    frame = encode(message, version)
    found = decode(cls, version, frame)
    assert found == message
    assert encode(found, version) == frame


@pytest.mark.parametrize(("cls", "version"), CASES, ids=IDS)
def test_fields_absent_from_a_version_come_back_as_defaults(cls: type[Message], version: int) -> None:
    # the largest values of all versions at once: what this one has no room for must neither be written nor come back
    message = _of_all_versions(cls, version)
    found = decode(cls, version, encode(message, version))
    assert found == _without_absent(message, version)
    assert encode(found, version) == encode(message, version)


def _of_all_versions(cls: type[Struct], version: int) -> Any:
    made = cls()
    for field in cls.FIELDS.values():
        if not field.in_version(version):
            value = largest_value(field, field.since)
        elif field.struct is not None:
            value = _of_all_versions(field.struct, version)
            value = [value, value] if field.kind == "array" else value
        else:
            value = largest_value(field, version)
        setattr(made, field.name, value)
    return made


def _without_absent(struct: Any, version: int) -> Any:
    cls = type(struct)
    kept = {}
    for field in present_fields(cls, version):
        value = getattr(struct, field.name)
        if field.struct is not None and value is not None:
            value = [_without_absent(one, version) for one in value] if field.kind == "array" else _without_absent(value, version)
        kept[field.name] = value
    return cls(**kept)


@settings(max_examples=250, deadline=None, database=None, suppress_health_check=list(HealthCheck))
@given(messages())
def test_any_message_survives(drawn: tuple[Message, int]) -> None:
    message, version = drawn
    assert decode(type(message), version, encode(message, version)) == message


# -- tags -------------------------------------------------------------------------------------------------------------


def _with_tags(frame: bytes, *tags: tuple[int, bytes]) -> bytes:
    """Return a frame whose last byte, an empty tag section, is replaced."""
    assert frame[-1:] == b"\0"
    section = b"".join(encode_uvarint(tag) + encode_uvarint(len(content)) + content for tag, content in tags)
    return frame[:-1] + encode_uvarint(len(tags)) + section


@pytest.mark.parametrize(("cls", "version"), FLEXIBLE, ids=[f"{cls.__name__}-v{version}" for cls, version in FLEXIBLE])
def test_unknown_tags_are_skipped(cls: type[Message], version: int) -> None:
    message = SAMPLES["default"](cls, version)
    frame = _with_tags(encode(message, version), (50, b""), (51, b"what" * 50), (2**32 - 1, b"\xff"))
    assert decode(cls, version, frame) == message


def test_unknown_tags_between_known_ones_are_skipped() -> None:
    expected = ApiVersionsResponse(finalized_features_epoch=7, zk_migration_ready=True)
    frame = _with_tags(
        encode(ApiVersionsResponse(), 3), (1, (7).to_bytes(8, "big")), (3, b"\1"), (4, b"later"), (99, b"much later")
    )
    assert decode(ApiVersionsResponse, 3, frame) == expected


def test_unknown_tags_in_the_header_are_skipped() -> None:
    frame = encode(MetadataResponse(cluster_id="c"), 9)
    assert frame[4:5] == b"\0"
    tagged = frame[:4] + b"\2" + b"\x07\x02hi" + b"\x09\x00" + frame[5:]
    assert decode(MetadataResponse, 9, tagged) == MetadataResponse(cluster_id="c")


def test_tags_with_defaults_are_not_written() -> None:
    assert encode(ApiVersionsResponse(), 3).endswith(b"\0\0\0\0" + b"\0")
    body = encode(ApiVersionsResponse(finalized_features_epoch=0), 3)
    assert body.endswith(b"\x01" + b"\x01\x08" + bytes(8))


def test_tags_are_written_in_ascending_order() -> None:
    feature = ApiVersionsResponse.SupportedFeatureKey(name="f", min_version=0, max_version=1)
    frame = encode(ApiVersionsResponse(zk_migration_ready=True, supported_features=[feature], finalized_features_epoch=5), 3)
    assert frame.endswith(b"\3" + b"\0\x08\x02\x02f\0\0\0\1\0" + b"\x01\x08" + (5).to_bytes(8, "big") + b"\3\1\1")


@pytest.mark.parametrize(
    ("tags", "why"),
    [
        (((3, b"\1"), (1, bytes(8))), "order"),
        (((3, b"\1"), (3, b"\1")), "order"),
        (((1, bytes(9)),), "wrong size"),
        (((1, bytes(7)), (60, b"more to come")), "wrong size"),
    ],
)
def test_tags_out_of_order_or_of_wrong_size_are_refused(tags: Any, why: str) -> None:
    with pytest.raises(ProtocolError, match=why):
        decode(ApiVersionsResponse, 3, _with_tags(encode(ApiVersionsResponse(), 3), *tags))


# -- what goes in and comes out ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", [3, 9, 13])
def test_a_batch_is_not_copied_on_its_way_out(version: int) -> None:
    batch = bytearray(5000)
    data = ProduceRequest.PartitionProduceData(index=0, records=batch)
    chunks: list[Any] = []
    topic = ProduceRequest.TopicProduceData(name="t", partition_data=[data])
    compile_codec(ProduceRequest, version).encode(ProduceRequest(topic_data=[topic]), chunks.append)
    assert any(chunk is batch for chunk in chunks)


@pytest.mark.parametrize("version", [4, 12, 18])
def test_fetched_records_are_a_slice_of_the_frame(version: int) -> None:
    partition = FetchResponse.PartitionData(records=b"0123456789")
    response = FetchResponse(responses=[FetchResponse.FetchableTopicResponse(partitions=[partition])])
    frame = bytearray(encode(response, version))
    found: Any = decode(FetchResponse, version, frame)  # type: ignore[arg-type]
    records = found.responses[0].partitions[0].records
    assert isinstance(records, memoryview)
    frame[frame.index(b"0123456789")] = ord("X")
    assert bytes(records) == b"X123456789"


@pytest.mark.parametrize(
    ("message", "version"),
    [
        (MetadataRequest(topics=None), 0),  # null is known from v1 on
        (InitProducerIdRequest(transaction_timeout_ms=2**31), 0),
        (InitProducerIdRequest(transaction_timeout_ms="soon"), 0),
        (ProduceRequest(topic_data=[None]), 3),
        (ProduceRequest(transactional_id="x" * 32768), 3),
        (ProduceRequest(transactional_id="\ud800"), 3),
        (ProduceResponse(responses=7), 3),
        (ProduceRequest(), 14),
        (ProduceRequest(), -1),
    ],
)
def test_what_does_not_fit_is_a_protocol_error(message: Message, version: int) -> None:
    with pytest.raises(ProtocolError):
        encode(message, version)


@pytest.mark.parametrize("size", [0, 15, 17, 36])
def test_a_uuid_of_another_size_is_a_protocol_error(size: int) -> None:
    topic = FetchRequest.FetchTopic(topic_id=b"u" * size)
    with pytest.raises(ProtocolError):
        encode(FetchRequest(topics=[topic]), 13)


def test_a_field_that_is_not_declared_is_refused_by_the_constructor() -> None:
    with pytest.raises(TypeError, match="no field 'topicz'; it has topics"):
        MetadataRequest(topicz=[])


def test_lists_and_structs_are_not_shared_between_messages() -> None:
    first, second = FetchRequest(), FetchRequest()
    first.topics.append("mine")
    first.replica_state.replica_id = 5
    assert second.topics == []
    assert second.replica_state.replica_id == -1


def test_repr_shows_sizes_and_no_payload() -> None:
    text = repr(ProduceRequest.PartitionProduceData(index=1, records=b"secret payload"))
    assert text == "PartitionProduceData(index=1, records=<14 bytes>)"
    assert "<9 items>" in repr(MetadataRequest(topics=[1] * 9))


def test_equality_is_by_type_and_fields_and_there_is_no_hash() -> None:
    assert MetadataRequest() == MetadataRequest()
    assert MetadataRequest() != MetadataRequest(topics=None)
    assert InitProducerIdRequest() != MetadataRequest()
    with pytest.raises(TypeError, match="unhashable"):
        hash(MetadataRequest())
