"""What fake brokers answer when something is to go wrong: scripts that several test files give them."""

from __future__ import annotations

import struct
import threading
from typing import Any, Callable

import pytest

from pykafka import KafkaClient
from pykafka.protocol.messages import ProduceResponse
from pykafka.records.batch import split_batches
from pykafka.records.decode import decode_batch
from pykafka.records.encode import encode_batch

from ..support import until
from .broker import FakeBroker


class Log:
    """Answers Produce as a broker does that writes everything, and keeps what it was sent by partition."""

    def __init__(self, broker: FakeBroker) -> None:
        self.written: dict[int, list[bytes]] = {}
        #: while it is cleared, nothing is answered
        self.gate = threading.Event()
        self.gate.set()
        broker.scripts["Produce"] = self.answer

    def answer(self, request: Any, version: int) -> Any:
        self.gate.wait(20)
        topics = []
        for topic in request.topic_data:
            rows = []
            for part in topic.partition_data:
                log = self.written.setdefault(part.index, [])
                rows.append(ProduceResponse.PartitionProduceResponse(index=part.index, error_code=0, base_offset=len(log)))
                log += values_of(part)
            topics.append(
                ProduceResponse.TopicProduceResponse(topic_id=topic.topic_id, name=topic.name, partition_responses=rows)
            )
        return ProduceResponse(responses=topics)


def values_of(part: Any) -> list[bytes]:
    """Return the values in what one partition was sent."""
    (batch,) = split_batches(bytes(part.records), "t", part.index)
    return [value or b"" for value in decode_batch(batch, "t", part.index, 2**24).values]


def stored_batch(offset: int, messages: list[bytes]) -> bytes:
    """Return a batch as a broker stores it, at ``offset``."""
    data = encode_batch(messages, None, None, [1700000000000] * len(messages))
    struct.pack_into(">q", data, 0, offset)
    return bytes(data)


def by_key(partitions: Any, key: Any) -> Any:
    """Choose the partition whose number the key is."""
    return partitions[int(key)]


def without_topics(broker: FakeBroker) -> Callable[[], None]:
    """Have the broker know no topics, as one that has just started; return what ends that."""
    return with_metadata(broker, lambda answer: answer.topics.clear())


def leaderless(broker: FakeBroker) -> Callable[[], None]:
    """Have no partition a leader; return what ends that."""

    def depose(answer: Any) -> None:
        for partition in answer.topics[0].partitions:
            partition.leader_id = -1

    return with_metadata(broker, depose)


def depose(partition_id: int, leader: int = -1) -> Any:
    """Return a change of metadata: one partition is led by somebody else, or by nobody."""

    def change(answer: Any) -> None:
        answer.topics[0].partitions[partition_id].leader_id = leader

    return change


def with_metadata(broker: FakeBroker, change: Callable[[Any], object]) -> Callable[[], None]:
    """Have ``change`` made to all metadata from now on; return what ends that."""
    full = broker.scripts["Metadata"]

    def changed(request: Any, version: int) -> Any:
        answer = full(request, version)
        change(answer)
        return answer

    def end() -> None:
        broker.scripts["Metadata"] = full

    broker.scripts["Metadata"] = changed
    return end


def refused(request: Any, version: int) -> Any:
    """Answer that the topic may not be written to."""
    row = ProduceResponse.PartitionProduceResponse(index=0, error_code=29, base_offset=-1)
    return ProduceResponse(responses=[ProduceResponse.TopicProduceResponse(topic_id=b"T" * 16, partition_responses=[row])])


def on_io_thread(client: KafkaClient, step: Callable[[], object]) -> Any:
    """Return what ``step`` returns or raises on the I/O thread: where the log handlers of an application may run."""
    got: list[Any] = []

    def run() -> None:
        try:
            got.append(step())
        except Exception as error:
            got.append(error)

    client.cluster.engine.loop.call_soon(run)
    until(lambda: got, what="the step on the I/O thread")
    return got[0]


def hesitant_versions(broker: FakeBroker) -> threading.Event:
    """From now on no new connection is of use before the event returned is set."""
    versions, gate = broker.scripts["ApiVersions"], threading.Event()

    def answer(request: Any, version: int) -> Any:
        gate.wait(20)
        return versions(request, version)

    broker.scripts["ApiVersions"] = answer
    return gate


def interrupting(monkeypatch: pytest.MonkeyPatch, place: Any, name: str, handler: Callable[[], Any]) -> None:
    """Have ``handler`` run once, in the same thread, when ``place.name()`` has done its work: as for a signal."""
    real, waiting = getattr(place, name), [handler]

    def interrupted(*args: Any, **kwargs: Any) -> Any:
        result = real(*args, **kwargs)
        if waiting:
            waiting.pop()()
        return result

    monkeypatch.setattr(place, name, interrupted)
