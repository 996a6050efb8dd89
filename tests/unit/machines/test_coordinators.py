"""What an answer to FindCoordinator is taken for, and what it is not."""

from __future__ import annotations

from typing import Any

import pytest

from pykafka._machines.coordinators import about_group
from pykafka._machines.member import FIND_COORDINATOR
from pykafka.exceptions import ProtocolError
from pykafka.protocol.messages import FindCoordinatorResponse

from .driven import classic, newer

Row = FindCoordinatorResponse.Coordinator
OTHER = Row(key="another", node_id=7, host="h7", port=9092)
OURS = Row(key="g", node_id=1, host="h1", port=9092)

#: Answers that say nothing of group "g".
EMPTY: dict[str, Any] = {
    "no row at all": FindCoordinatorResponse(coordinators=[]),
    "another group": FindCoordinatorResponse(coordinators=[OTHER]),
    "no host": FindCoordinatorResponse(coordinators=[Row(key="g", node_id=1, host="", port=9092)]),
    "no port": FindCoordinatorResponse(coordinators=[Row(key="g", node_id=1, host="h", port=0)]),
    "an impossible port": FindCoordinatorResponse(node_id=1, host="h", port=70000),
}


@pytest.mark.parametrize("version_4", [True, False])
def test_the_row_of_the_group_counts_wherever_it_stands(version_4: bool) -> None:
    old = FindCoordinatorResponse(node_id=1, host="h1", port=9092)
    reply = FindCoordinatorResponse(coordinators=[OTHER, OURS]) if version_4 else old
    found = about_group(reply, "g")
    assert (found.node_id, found.host, found.port) == (1, "h1", 9092)


def test_an_error_needs_no_address() -> None:
    reply = FindCoordinatorResponse(coordinators=[Row(key="g", node_id=-1, host="", port=-1, error_code=15)])
    assert about_group(reply, "g").error_code == 15


@pytest.mark.parametrize("what", EMPTY)
def test_an_answer_that_says_nothing_of_the_group_is_a_protocol_error(what: str) -> None:
    with pytest.raises(ProtocolError, match="coordinator of group g"):
        about_group(EMPTY[what], "g")


@pytest.mark.parametrize("make", [classic, newer])
@pytest.mark.parametrize("what", EMPTY)
def test_a_member_that_is_told_nothing_of_its_coordinator_asks_again_in_a_while(make: Any, what: str) -> None:
    member = make().start()
    ask = member.take(FIND_COORDINATOR)
    with pytest.raises(ProtocolError) as caught:
        member.machine.on_reply(ask, EMPTY[what], member.now)
    member.machine.on_failure(ask, caught.value, member.now)
    member.step()
    assert not member.asks, "asked at once, it would be answered the same"
    member.step(member.machine.wake_at() - member.now)
    member.find()
    assert member.machine.coordinator.id == 1
