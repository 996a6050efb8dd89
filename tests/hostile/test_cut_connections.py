"""A connection that is reset inside a request or an answer, at every byte: one outcome each, nothing twice, nothing in part."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from pykafka import KafkaClient
from pykafka.exceptions import NoBrokersAvailableError
from pykafka.protocol.api import encode_response
from pykafka.protocol.messages import ProduceResponse

from ..fake.broker import FakeBroker, fake_broker
from ..fake.scripts import stored_batch
from ..fake.test_produce_and_fetch import batches_of, fetched
from ..support import until

#: Pauses so short that hundreds of broken connections take seconds.
QUICK = {"reconnect_backoff_ms": 1, "reconnect_backoff_max_ms": 2}


class Remembering:
    """Writes as a broker does that knows the sequence numbers it has seen: what comes again is answered and not written."""

    def __init__(self, broker: FakeBroker) -> None:
        self.log: list[bytes] = []
        self.again = 0
        self._seen: dict[tuple[int, int, int], int] = {}
        broker.scripts["Produce"] = self.answer

    def answer(self, request: Any, version: int) -> Any:
        (batch,) = batches_of(request)
        number = batch.producer_id, batch.producer_epoch, batch.base_sequence
        self.again += number in self._seen
        if number not in self._seen:
            self._seen[number] = len(self.log)
            self.log.append(bytes(batch.data[batch.data.nbytes - 12 :]))
        row = ProduceResponse.PartitionProduceResponse(index=0, error_code=0, base_offset=self._seen[number])
        topic = request.topic_data[0]
        answer = ProduceResponse.TopicProduceResponse(topic_id=topic.topic_id, name=topic.name, partition_responses=[row])
        return ProduceResponse(responses=[answer])


@contextmanager
def producing() -> Iterator[tuple[FakeBroker, Remembering, Any, list[Any]]]:
    """Yield a broker, its log, a producer, and the list of what its callbacks were given."""
    outcomes: list[Any] = []
    with fake_broker() as broker, KafkaClient(broker.hosts, **QUICK) as client:
        log = Remembering(broker)
        with client.topics["t"].get_producer(linger_ms=0, retry_backoff_ms=1) as producer:
            producer.produce(b"message -01").result(10)
            yield broker, log, producer, outcomes


def sizes(broker: FakeBroker) -> tuple[int, int]:
    """Return how many bytes a request of ours and its answer have, at least."""
    request, version = next((request, version) for name, version, request in broker.requests if name == "Produce")
    with fake_broker() as other:
        answer = Remembering(other).answer(request, version)
    return len(request.topic_data[0].partition_data[0].records) + 40, 4 + len(b"".join(encode_response(answer, version, 0)))


@pytest.mark.parametrize("where", ["request", "answer"])
def test_a_reset_at_any_byte_of_a_produce_leaves_every_message_written_once(where: str) -> None:
    with producing() as (broker, log, producer, outcomes):
        request_size, answer_size = sizes(broker)
        cuts = range(request_size if where == "request" else answer_size)
        for cut in cuts:
            if where == "request":
                broker.cut_request = ("Produce", cut)
            else:
                broker.cut_answer = ("Produce", cut)
            message = producer.produce(b"message %03d" % cut, on_delivery=lambda *given: outcomes.append(given))
            assert message.result(10).offset == cut + 1
            assert broker.cut_request is None and broker.cut_answer is None
        until(lambda: len(outcomes) >= len(cuts), what="the callbacks")
    assert len(outcomes) == len(cuts) > (100 if where == "request" else 40)
    assert len(log.log) == len(cuts) + 1
    # with the answer lost the batch comes again, and is the same one
    assert log.again == (len(cuts) if where == "answer" else 0)


@pytest.mark.parametrize("api", ["ApiVersions", "Metadata"])
def test_a_reset_at_any_byte_of_the_first_answers_is_told_at_once_and_the_next_client_works(api: str) -> None:
    with fake_broker() as broker:
        for cut in (*range(30), 40, 55):
            broker.cut_answer = (api, cut)
            with pytest.raises(NoBrokersAvailableError, match=broker.hosts):
                KafkaClient(broker.hosts, **QUICK)
            assert broker.cut_answer is None
        with KafkaClient(broker.hosts, **QUICK) as client:
            assert list(client.topics["t"].partitions) == [0]


@pytest.mark.parametrize("api", ["InitProducerId", "FindCoordinator", "ListOffsets"])
def test_a_reset_at_any_byte_of_an_answer_is_asked_again(api: str) -> None:
    answered: list[int] = []
    for cut in (*range(30), 40, 55):
        with fake_broker() as broker:
            Remembering(broker)
            broker.cut_answer = (api, cut)
            with KafkaClient(broker.hosts, **QUICK) as client:
                topic = client.topics["t"]
                if api == "InitProducerId":
                    with topic.get_producer(linger_ms=0, retry_backoff_ms=1) as producer:
                        assert producer.produce(b"x").result(10).offset == 0
                elif api == "FindCoordinator":
                    assert client.cluster.get_group_coordinator(b"g").id == 1
                else:
                    assert topic.latest_available_offsets()[0].offset == [0]
            if broker.cut_answer is None:
                answered.append(cut)
    assert len(answered) == 32


def test_a_reset_at_any_byte_of_a_fetch_delivers_every_message_once_and_whole() -> None:
    size = 4 + len(b"".join(encode_response(fetched(stored_batch(0, [b"value 0"])), 12, 0)))
    with fake_broker() as broker, KafkaClient(broker.hosts, **QUICK) as client:
        cuts = iter(range(size))
        tried: list[int] = []

        def answer(request: Any, version: int) -> Any:
            partitions = [part for topic in request.topics for part in topic.partitions]
            offset = partitions[0].fetch_offset if partitions else None
            if offset is None or offset >= size:
                return None
            if offset not in tried:
                tried.append(offset)
                broker.cut_answer = ("Fetch", next(cuts))
            return fetched(stored_batch(offset, [b"value %d" % offset]))

        broker.scripts["Fetch"] = answer
        options = {"fetch_error_backoff_ms": 1, "consumer_timeout_ms": 10_000}
        with client.topics["t"].get_simple_consumer(**options) as consumer:
            for offset in range(size):
                message = consumer.consume()
                assert (message.offset, message.value) == (offset, b"value %d" % offset)
    assert tried == list(range(size))


def test_a_reset_is_what_the_fake_broker_does() -> None:
    with fake_broker() as broker, socket.create_connection(("127.0.0.1", broker.port)) as conn:
        broker.cut_request = ("Produce", 3)
        conn.sendall(struct.pack(">i", 100) + bytes(50))
        with pytest.raises(ConnectionResetError):
            conn.recv(1)
