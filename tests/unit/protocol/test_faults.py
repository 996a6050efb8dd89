"""What cannot be put into bytes is refused once and for all, naming the field but not what it holds."""

from __future__ import annotations

from typing import Any

import pytest

from pykafka.exceptions import EncodeError, ProtocolError
from pykafka.protocol.api import decode_response, encode_request
from pykafka.protocol.messages import (
    CreateTopicsRequest,
    InitProducerIdRequest,
    ListOffsetsRequest,
    MetadataRequest,
    MetadataResponse,
    OffsetCommitRequest,
    ProduceRequest,
)
from pykafka.protocol.schema import Request


def refusal(request: Request, version: int) -> str:
    """Return the message of the error that encoding ``request`` raises."""
    with pytest.raises(EncodeError) as caught:
        encode_request(request, version, 1, "test")
    return str(caught.value)


def commit(**fields: Any) -> OffsetCommitRequest:
    """Return a commit of one partition."""
    partition = OffsetCommitRequest.OffsetCommitRequestPartition(**fields)
    topic = OffsetCommitRequest.OffsetCommitRequestTopic(name="t", partitions=[partition])
    return OffsetCommitRequest(group_id="g", topics=[topic])


@pytest.mark.parametrize("version", [2, 8, 9])
@pytest.mark.parametrize(
    ("value", "words"),
    [
        (2**63, "the number does not fit into int64: 9223372036854775808"),
        (-(2**63) - 1, "the number does not fit into int64: -9223372036854775809"),
        (2**5000, "one of 5001 bits"),
        ("5", "int64 is needed, not str"),
        (1.0, "int64 is needed, not float"),
        (None, "int64 is needed, not NoneType"),
    ],
)
def test_a_number_that_does_not_fit_is_named_with_its_place(version: int, value: Any, words: str) -> None:
    text = refusal(commit(committed_offset=value), version)
    assert text.startswith(f"OffsetCommitRequest v{version} cannot be encoded: topics[0].partitions[0].committed_offset: ")
    assert words in text


@pytest.mark.parametrize("version", [2, 8, 9])
def test_a_string_that_is_too_long_or_no_text_is_refused_without_showing_it(version: int) -> None:
    assert "committed_metadata: a string has at most 32767 bytes, not 32768" in refusal(
        commit(committed_metadata="s" * 32768), version
    )
    text = refusal(commit(committed_metadata="secret\ud800"), version)
    assert "committed_metadata: this str cannot be encoded as UTF-8" in text and "secret" not in text
    assert "committed_metadata: string is needed, not int" in refusal(commit(committed_metadata=7), version)
    encode_request(commit(committed_metadata="s" * 32767), version, 1, None)


@pytest.mark.parametrize(
    ("request_", "version", "words"),
    [
        (MetadataRequest(topics=5), 1, "topics: a list is needed, not int"),
        (MetadataRequest(topics=[5]), 1, "topics[0]: a MetadataRequestTopic is needed, not int"),
        (MetadataRequest(topics=[MetadataRequest.MetadataRequestTopic(topic_id=b"x")]), 12, "a uuid has 16 bytes, not 1"),
        (ProduceRequest(topic_data=None), 3, "topic_data: a list is needed, not NoneType"),
        (InitProducerIdRequest(transaction_timeout_ms=2**31), 0, "transaction_timeout_ms: the number does not fit into int32"),
        (ListOffsetsRequest(replica_id="x"), 1, "replica_id: int32 is needed, not str"),
    ],
)
def test_anything_of_the_wrong_type_is_named_with_its_place(request_: Request, version: int, words: str) -> None:
    assert words in refusal(request_, version)


def test_numbers_in_a_list_are_counted() -> None:
    assignment = CreateTopicsRequest.CreatableReplicaAssignment(partition_index=0, broker_ids=[1, "two"])
    topic = CreateTopicsRequest.CreatableTopic(name="t", assignments=[assignment])
    assert "topics[0].assignments[0].broker_ids[1]: int32 is needed, not str" in refusal(CreateTopicsRequest(topics=[topic]), 5)


@pytest.mark.parametrize("client_id", ["c" * 32768, "\ud800", 5])
def test_a_client_id_that_cannot_be_sent_is_refused(client_id: Any) -> None:
    with pytest.raises(EncodeError, match="client_id cannot be sent"):
        encode_request(MetadataRequest(), 1, 1, client_id)


def test_only_what_a_peer_did_is_worth_another_try() -> None:
    with pytest.raises(EncodeError) as ours:
        encode_request(commit(committed_offset=2**63), 2, 1, None)
    with pytest.raises(ProtocolError) as theirs:
        decode_response(MetadataResponse, 1, memoryview(bytes(6)))
    assert not ours.value.retriable
    assert theirs.value.retriable and not isinstance(theirs.value, EncodeError)
