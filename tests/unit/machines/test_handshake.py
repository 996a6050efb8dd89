"""The first words on a connection: which version of ApiVersions is asked for, and what the answer is taken to mean."""

from __future__ import annotations

from typing import Optional

import pytest

from pykafka._machines.handshake import Handshake
from pykafka.exceptions import ClusterAuthorizationFailed, UnsupportedVersion
from pykafka.protocol.api import decode_response, encode_request, encode_response
from pykafka.protocol.messages import ApiVersionsResponse

PEER = "3 (kafka-3:9092)"
API_VERSIONS = 18


def answer(code: int = 0, *rows: tuple[int, int, int]) -> ApiVersionsResponse:
    """Return an answer with (API key, min, max) rows."""
    keys = [ApiVersionsResponse.ApiVersion(api_key=key, min_version=low, max_version=high) for key, low, high in rows]
    return ApiVersionsResponse(error_code=code, api_keys=keys)


def refused(highest: Optional[int] = None) -> ApiVersionsResponse:
    """Return error 35, with the broker's own range for ApiVersions where it gives one."""
    return answer(35) if highest is None else answer(35, (API_VERSIONS, 0, highest))


def test_a_modern_broker_is_understood_at_once() -> None:
    handshake = Handshake("3.0")
    assert handshake.version == 4
    reply = answer(0, (0, 3, 12), (1, 4, 17))
    reply.finalized_features = [ApiVersionsResponse.FinalizedFeatureKey(name="kraft.version", max_version_level=1)]
    abilities = handshake.on_reply(reply, PEER)
    assert abilities is not None
    assert abilities.versions == {0: (3, 12), 1: (4, 17)}
    assert abilities.features == {"kraft.version": 1}


def test_it_says_who_it_is_in_words_a_broker_takes() -> None:
    request = Handshake("3.0.1").request()
    assert (request.client_software_name, request.client_software_version) == ("pykafka", "3.0.1")


@pytest.mark.parametrize("highest", [3, 2, 0])
def test_a_broker_that_tells_its_range_is_asked_again_with_its_highest_version(highest: int) -> None:
    handshake = Handshake("3.0")
    assert handshake.on_reply(refused(highest), PEER) is None
    assert handshake.version == highest
    assert handshake.on_reply(answer(0, (3, 0, 5)), PEER) is not None


def test_a_broker_that_tells_nothing_is_asked_with_version_zero() -> None:
    handshake = Handshake("3.0")
    assert handshake.on_reply(refused(), PEER) is None
    assert handshake.version == 0


def test_every_version_of_the_request_that_may_be_sent_can_be_encoded_and_its_answer_read() -> None:
    handshake = Handshake("3.0")
    for version in range(5):
        handshake.version = version
        assert b"".join(bytes(part) for part in encode_request(handshake.request(), version, 1, "me"))
        frame = memoryview(b"".join(bytes(part) for part in encode_response(answer(0, (3, 0, 5)), version, 1)))
        _number, reply = decode_response(ApiVersionsResponse, version, frame)
        assert isinstance(reply, ApiVersionsResponse)
        abilities = handshake.on_reply(reply, PEER)
        assert abilities is not None
        assert abilities.versions == {3: (0, 5)}


def test_a_broker_that_keeps_refusing_what_it_offers_is_not_asked_for_ever() -> None:
    handshake = Handshake("3.0")
    versions = []
    with pytest.raises(UnsupportedVersion):
        for _ in range(10):
            handshake.on_reply(refused(4), PEER)
            versions.append(handshake.version)
    assert versions == [3, 2, 1, 0]


def test_a_broker_that_refuses_even_version_zero_is_too_old_and_the_error_says_who() -> None:
    handshake = Handshake("3.0")
    handshake.on_reply(refused(), PEER)
    with pytest.raises(UnsupportedVersion, match=r"3 \(kafka-3:9092\).*older than Kafka 0\.10"):
        handshake.on_reply(refused(), PEER)


def test_a_nonsensical_range_is_refused() -> None:
    with pytest.raises(UnsupportedVersion):
        Handshake("3.0").on_reply(refused(-1), PEER)


def test_any_other_error_is_raised_with_its_circumstances() -> None:
    with pytest.raises(ClusterAuthorizationFailed) as caught:
        Handshake("3.0").on_reply(answer(31), PEER)
    assert (caught.value.broker, caught.value.api, caught.value.version) == (PEER, "ApiVersions", 4)
