"""A member of a group that reads very many topics: what it does for all of them at once does not grow with their square."""

from __future__ import annotations

import pytest

from pykafka._machines.sharing import encode_assignment
from pykafka.common import TopicPartition
from pykafka.protocol.messages import SyncGroupResponse

from .driven import HEARTBEAT_S, calm, classic, join_error, joined


class Name(str):
    """A topic's name that counts how often names are compared with it."""

    compared = 0
    __hash__ = str.__hash__

    def __eq__(self, other: object) -> bool:
        Name.compared += 1
        return str.__eq__(self, other)


@pytest.mark.parametrize("offer", ["range", "cooperative-sticky"])
def test_many_topics_are_not_looked_through_for_each_of_them(offer: str) -> None:
    names = [Name(f"t{number}") for number in range(200)]
    share = [TopicPartition(str(name), 0) for name in names]
    member = classic(offer, topics=names).start().find()
    member.answer("JoinGroup", join_error(79, "m1"))
    member.answer("JoinGroup", joined(protocol=offer))
    before = Name.compared
    member.answer("SyncGroup", SyncGroupResponse(assignment=encode_assignment(share)))
    assert len(member.reading) == 200
    member.step(HEARTBEAT_S)
    member.answer("Heartbeat", calm(27))
    assert Name.compared - before < 10 * 200
