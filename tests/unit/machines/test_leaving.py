"""Members that leave, and whose leave, or join before it, does not get to the coordinator at once."""

from __future__ import annotations

from typing import Any

import pytest

from pykafka._machines.member import AWAY, FIND_COORDINATOR, LEAVE_S, LEAVING, Assign, Decide, Ended
from pykafka.exceptions import KafkaException, SocketDisconnectedError
from pykafka.protocol.messages import LeaveGroupResponse

from .driven import Driven, beat, classic, join_error, joined, newer

BEAT = "ConsumerGroupHeartbeat"


@pytest.mark.parametrize("code", [14, 15, 16])
def test_a_leave_that_did_not_get_there_is_repeated(code: int) -> None:
    member = classic().get_ready("a0")
    member.machine.leave(member.now, "stopped")
    member.step()
    member.give_up()
    member.answer("LeaveGroup", LeaveGroupResponse(error_code=code))
    assert not member.asks and not member.told(Ended)
    member.step(member.machine.wake_at() - member.now)
    if code != 14:  # which is where the coordinator is, but not ready
        member.find(2)
    member.fail("LeaveGroup", SocketDisconnectedError("lost"))
    member.step(member.machine.wake_at() - member.now)
    member.find()
    assert member.answer("LeaveGroup", LeaveGroupResponse()).request.member_id == "m1"
    assert member.one(Ended).error is None and member.machine.state == AWAY


@pytest.mark.parametrize("reachable", [False, True])
def test_a_leave_that_gets_nowhere_is_given_up_in_time(reachable: bool) -> None:
    member = classic().get_ready("a0")
    member.machine.leave(member.now, "stopped")
    member.step()
    member.give_up()
    began = member.now
    if not reachable:
        member.fail("LeaveGroup", SocketDisconnectedError("lost"))
    while member.machine.state == LEAVING:
        member.step(member.machine.wake_at() - member.now)
        if not reachable and FIND_COORDINATOR in member.waiting():
            member.fail(FIND_COORDINATOR, SocketDisconnectedError("nobody there"))
    assert member.now - began == LEAVE_S and member.one(Ended).error is None


def _said_goodbye(member: Driven) -> None:
    member.machine.leave(member.now, "stopped")
    member.step()


def test_who_leaves_while_its_join_is_being_answered_says_so_and_what_the_join_brings_counts_for_nothing() -> None:
    member = newer().start().find()
    join = member.take(BEAT)
    _said_goodbye(member)
    assert member.take(BEAT).request.member_epoch == -1
    member.machine.on_reply(join, beat("a0", epoch=1), member.now)
    member.step()
    assert not member.asks and not member.told(Assign)


def test_who_leaves_after_the_answer_to_its_join_was_lost_finds_the_coordinator_and_says_so() -> None:
    member = newer().start().find()
    member.fail(BEAT, SocketDisconnectedError("lost"))
    _said_goodbye(member)
    assert member.machine.state == LEAVING and not member.told(Ended)
    member.step(member.machine.wake_at() - member.now)
    member.find()
    assert member.answer(BEAT, beat(epoch=-1)).request.member_epoch == -1
    assert member.one(Ended).error is None


@pytest.mark.parametrize("answer", [join_error(79, "m7"), joined("m7")], ids=["its id", "a seat"])
def test_who_leaves_before_it_knows_its_id_waits_for_that_and_says_so(answer: Any) -> None:
    """Else the others of the group would wait for it as long as a session lasts; brokers before KIP-394 give a seat at once."""
    member = classic().start().find()
    _said_goodbye(member)
    assert member.machine.state == LEAVING and member.waiting() == ["JoinGroup"] and not member.told(Ended)
    member.answer("JoinGroup", answer)
    assert member.answer("LeaveGroup", LeaveGroupResponse()).request.members[0].member_id == "m7"
    assert member.one(Ended).error is None and not member.told(Decide)


@pytest.mark.parametrize("answer", [join_error(16), join_error(81), SocketDisconnectedError("lost"), KafkaException("bad"), None])
def test_who_leaves_and_is_not_told_its_id_is_gone(answer: Any) -> None:
    member = classic().start().find()
    _said_goodbye(member)
    if answer is None:  # nor anything else, for as long as anybody waits
        assert member.machine.wake_at() == member.now + LEAVE_S
        member.step(LEAVE_S)
    elif isinstance(answer, Exception):
        member.fail("JoinGroup", answer)
    else:
        member.answer("JoinGroup", answer)
    assert member.one(Ended).error is None and member.machine.state == AWAY
    assert "LeaveGroup" not in member.waiting()


def test_a_static_member_leaves_without_waiting_for_its_id_since_its_seat_is_to_be_kept() -> None:
    member = classic(instance_id="i").start().find()
    _said_goodbye(member)
    assert member.one(Ended).error is None


@pytest.mark.parametrize("leaves", [False, True])
def test_who_drops_out_gives_nothing_up_first_and_what_comes_of_that_later_counts_for_nothing(leaves: bool) -> None:
    member = classic().get_ready("a0 a1")
    if leaves:
        _said_goodbye(member)
    asked = member.machine._revoking or 0
    member.machine.drop_out(member.now, "gone")
    member.step()
    assert not member.reading and member.waiting() == ["LeaveGroup"]
    member.machine.gave_up(asked, member.now)
    member.step()
    member.answer("LeaveGroup", LeaveGroupResponse())
    assert member.one(Ended).error is None and not member.asks


def test_who_was_refused_has_nothing_to_leave() -> None:
    member = newer().start().find()
    member.answer(BEAT, beat(code=14))
    _said_goodbye(member)
    assert not member.asks and member.one(Ended).error is None


def test_a_leave_that_did_not_get_there_is_repeated_where_the_coordinator_is_now() -> None:
    member = newer().get_ready("a0")
    _said_goodbye(member)
    member.give_up()
    member.answer(BEAT, beat(code=16))
    member.step(member.machine.wake_at() - member.now)
    member.find(2)
    member.fail(BEAT, SocketDisconnectedError("lost"))
    member.step(member.machine.wake_at() - member.now)
    member.find(1)
    assert member.answer(BEAT, beat(epoch=-1)).request.member_epoch == -1
    assert member.one(Ended).error is None and member.machine.state == AWAY
