"""What old coordinators cannot do for a member is refused in words, and nothing else is."""

from __future__ import annotations

import pytest

from pykafka._machines.group_abilities import require_able
from pykafka.exceptions import UnsupportedVersion
from pykafka.protocol.messages import ConsumerGroupHeartbeatRequest, HeartbeatRequest, JoinGroupRequest
from pykafka.protocol.schema import Request

STATIC, ORDINARY, NEWER = JoinGroupRequest(group_instance_id="a"), JoinGroupRequest(), ConsumerGroupHeartbeatRequest()


@pytest.mark.parametrize(("request_", "newest"), [(STATIC, 5), (STATIC, 9), (ORDINARY, 2), (NEWER, 1), (HeartbeatRequest(), 0)])
def test_what_the_coordinator_can_do_is_sent_as_it_is(request_: Request, newest: int) -> None:
    assert require_able(request_, {request_.KEY: (0, newest)}) is request_


@pytest.mark.parametrize(
    ("request_", "newest", "words"),
    [
        (STATIC, 4, "group_instance_id='a': .* older than Kafka 2.3"),
        (NEWER, 0, "^the coordinator is older than Kafka 4.0, .*group_protocol='auto'.*'classic'"),
    ],
)
def test_what_it_cannot_do_is_an_error_that_names_the_option(request_: Request, newest: int, words: str) -> None:
    with pytest.raises(UnsupportedVersion, match=words):
        require_able(request_, {request_.KEY: (0, newest)})


def test_a_coordinator_that_has_never_heard_of_the_newer_protocol_is_too_old_for_it() -> None:
    with pytest.raises(UnsupportedVersion, match="group_protocol"):
        require_able(NEWER, {})
