"""What cannot be put into bytes reaches the caller at once: no broker is asked again and again for nonsense."""

from __future__ import annotations

import pytest

from pykafka import KafkaClient
from pykafka._engine.waiting import Deadline
from pykafka.exceptions import EncodeError
from pykafka.protocol.messages import ListOffsetsRequest

from .broker import fake_broker


def test_a_topic_whose_name_is_too_long_is_refused_and_the_client_goes_on() -> None:
    with fake_broker() as broker, KafkaClient(broker.hosts) as client:
        asked = len(broker.seen("Metadata"))
        with pytest.raises(EncodeError, match=r"topics\[0\].name: a string has at most 32767 bytes, not 40000"):
            client.topics["t" * 40000]
        assert len(broker.seen("Metadata")) == asked
        assert "t" in client.topics


def test_a_request_that_cannot_be_encoded_fails_alone() -> None:
    with fake_broker() as broker, KafkaClient(broker.hosts) as client:
        info = client.cluster.engine.view.brokers[1]
        with pytest.raises(EncodeError, match="ListOffsetsRequest .* replica_id: int32 is needed, not str"):
            client.cluster.engine.call(info, ListOffsetsRequest(replica_id="x"), Deadline(10.0))
        assert client.brokers[1].fetch_api_versions()
