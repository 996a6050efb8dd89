"""One member of a classic group by itself: what every answer does to it, and how it leaves from wherever it is."""

from __future__ import annotations

from typing import Any, Callable, NamedTuple

import pytest

from pykafka._machines.assignors import RANGE
from pykafka._machines.classic_member import REACTIONS, SEATED
from pykafka._machines.member import (
    AWAY,
    DECIDING,
    ENDED,
    GIVING_UP,
    JOINING,
    LEAVING,
    STABLE,
    SYNCING,
    Assign,
    Decide,
    Ended,
    Keep,
    Lost,
    MemberMetadata,
    Rebalanced,
    Revoke,
)
from pykafka._machines.sharing import decide, readable
from pykafka.exceptions import (
    FencedInstanceId,
    GroupAuthorizationFailed,
    InconsistentGroupProtocol,
    KafkaException,
    SocketDisconnectedError,
    UnsupportedVersion,
)
from pykafka.protocol.messages import FindCoordinatorResponse, JoinGroupResponse, LeaveGroupResponse, SyncGroupResponse

from .driven import HEARTBEAT_S, REBALANCE_S, SESSION_S, Driven, calm, classic, join_error, joined, synced, tps


def rebalancing(member: Driven) -> Driven:
    """Have a member that reads hear that the group rebalances."""
    member.step(HEARTBEAT_S)
    member.answer("Heartbeat", calm(27))
    return member


def eager_reader() -> Driven:
    """Return a member that gives everything up before it joins, and reads two partitions."""
    member = classic("range").start().find()
    member.answer("JoinGroup", join_error(79, "m1"))
    member.answer("JoinGroup", joined(protocol="range"))
    member.answer("SyncGroup", synced("a0 a1"))
    return member


def leader() -> Driven:
    """Return a member that is to decide who reads what."""
    member = classic("range").start().find()
    member.answer("JoinGroup", join_error(79, "m1"))
    member.answer("JoinGroup", joined(leader="m1", protocol="range"))
    return member


def asking(api: str) -> Driven:
    """Return a member that reads two partitions while it waits for the answer to such a request."""
    member = classic().get_ready("a0 a1")
    if api == "Heartbeat":
        member.step(HEARTBEAT_S)
        return member
    rebalancing(member)
    if api == "SyncGroup":
        member.answer("JoinGroup", joined(generation=4))
    return member


REFUSALS: dict[str, Callable[[int], Any]] = {
    "JoinGroup": lambda code: join_error(code, "m9" if code == 79 else ""),
    "SyncGroup": lambda code: synced("", code),
    "Heartbeat": calm,
}

# -- the table of reactions, row by row ---------------------------------------------------------------------------------


class Then(NamedTuple):
    """What has to come of an error: the next request, whether that waits, whether partitions are lost, and the id it has."""

    asks: str
    waits: bool = False
    loses: bool = False
    member_id: str = "m1"


THEN = {
    ("JoinGroup", 14): Then("JoinGroup", waits=True),
    ("JoinGroup", 15): Then("FindCoordinator", waits=True),
    ("JoinGroup", 16): Then("FindCoordinator", waits=True),
    ("JoinGroup", 22): Then("JoinGroup", waits=True, loses=True, member_id=""),
    ("JoinGroup", 25): Then("JoinGroup", waits=True, loses=True, member_id=""),
    ("JoinGroup", 27): Then("JoinGroup", waits=True),
    ("JoinGroup", 79): Then("JoinGroup", waits=True, member_id="m9"),
    ("SyncGroup", 14): Then("JoinGroup"),
    ("SyncGroup", 15): Then("FindCoordinator", waits=True),
    ("SyncGroup", 16): Then("FindCoordinator", waits=True),
    ("SyncGroup", 22): Then("JoinGroup", loses=True),
    ("SyncGroup", 25): Then("JoinGroup", loses=True, member_id=""),
    ("SyncGroup", 27): Then("JoinGroup"),
    ("Heartbeat", 14): Then("Heartbeat", waits=True),
    ("Heartbeat", 15): Then("FindCoordinator", waits=True),
    ("Heartbeat", 16): Then("FindCoordinator", waits=True),
    ("Heartbeat", 22): Then("JoinGroup", loses=True),
    ("Heartbeat", 25): Then("JoinGroup", loses=True, member_id=""),
    ("Heartbeat", 27): Then("JoinGroup"),
}


def test_every_reaction_is_looked_at() -> None:
    assert set(THEN) == set(REACTIONS)


@pytest.mark.parametrize(("api", "code"), sorted(THEN))
def test_what_an_error_does_to_a_member(api: str, code: int) -> None:
    then, member = THEN[api, code], asking(api)
    member.asks = [ask for ask in member.asks if ask.api == api]
    member.answer(api, REFUSALS[api](code))
    assert (member.waiting() == []) is then.waits
    if then.waits:
        member.step(max(0.0, member.machine.wake_at() - member.now))
    assert member.waiting() == [then.asks]
    assert member.machine.member_id == then.member_id
    lost = [event.partitions for event in member.told(Lost)]
    assert lost == ([tps("a0 a1")] if then.loses else [])
    assert member.reading == (set() if then.loses else tps("a0 a1"))
    assert not member.told(Ended)


@pytest.mark.parametrize("api", sorted(REFUSALS))
def test_an_error_that_may_pass_is_waited_for_and_one_that_cannot_ends_the_membership(api: str) -> None:
    member = asking(api)
    member.answer(api, REFUSALS[api](7))
    assert not member.asks and not member.told(Ended)
    member.step(member.machine.wake_at() - member.now)
    assert member.waiting() == [api]
    member.answer(api, REFUSALS[api](30))
    assert member.one(Lost).partitions == tps("a0 a1") and not member.told(Ended)
    # the others do not have to wait until the session is over
    member.answer("LeaveGroup", LeaveGroupResponse())
    error = member.one(Ended).error
    assert isinstance(error, GroupAuthorizationFailed) and error.api == api
    assert member.machine.state == ENDED
    member.step(1000.0)
    assert not member.asks


@pytest.mark.parametrize("code", [23, 24, 26, 30, 81])
def test_who_has_no_seat_yet_leaves_none(code: int) -> None:
    member = classic().start().find()
    member.answer("JoinGroup", join_error(code))
    assert member.one(Ended).error is not None and not member.asks


def test_a_group_that_takes_no_member_like_this_is_said_to_be_of_another_type_perhaps() -> None:
    member = classic("range", "sticky").start().find()
    member.answer("JoinGroup", join_error(23))
    said = str(member.one(Ended).error)
    assert "share by none of the ways that this one offers, which are range, sticky" in said
    assert "of another type" in said and "group_protocol='consumer'" in said


def test_a_coordinator_that_forgets_new_members_at_once_is_not_asked_without_end() -> None:
    member = classic().start().find()
    asked = 0
    until = member.now + 10.0
    while member.now < until:
        if "JoinGroup" in member.waiting():
            asked += 1
            known = member.machine.member_id
            member.answer("JoinGroup", join_error(25) if known else join_error(79, f"m{asked}"))
        else:
            member.step(member.machine.wake_at() - member.now)
    assert asked < 100


# -- joining --------------------------------------------------------------------------------------------------------------


def test_a_member_joins_with_the_id_that_it_is_given_and_begins_with_its_share() -> None:
    member = classic().start().find()
    first = member.answer("JoinGroup", join_error(79, "m1")).request
    second = member.answer("JoinGroup", joined(generation=3)).request
    assert (first.member_id, second.member_id) == ("", "m1")
    assert second.rebalance_timeout_ms == REBALANCE_S * 1000 and second.reason == "started"
    sync = member.answer("SyncGroup", synced("a0 b1")).request
    assert (sync.generation_id, sync.assignments) == (3, [])
    assert member.one(Assign) == Assign(tps("a0 b1"), tps("a0 b1"), 3)
    rebalanced = member.one(Rebalanced)
    assert (rebalanced.cause, rebalanced.gained, rebalanced.lost) == ("started", tps("a0 b1"), frozenset())
    assert member.machine.status().last_rebalance == rebalanced


def test_joining_twice_is_joining_once() -> None:
    member = classic().start()
    member.start().find()
    member.start()
    assert member.waiting() == ["JoinGroup"]
    ready = classic().get_ready()
    ready.start()
    assert not ready.asks and ready.machine.state == STABLE


def test_a_member_that_has_left_can_join_again() -> None:
    member = classic().get_ready()
    member.leave()
    assert member.machine.member_id == ""
    member.get_ready("b0")
    assert member.reading == tps("b0")


def test_a_leader_has_it_decided_and_spreads_it() -> None:
    member = classic("range").start().find()
    member.answer("JoinGroup", join_error(79, "m1"))
    mine = member.take("JoinGroup")
    row = JoinGroupResponse.JoinGroupResponseMember
    rows = [row(member_id=name, metadata=mine.request.protocols[0].metadata) for name in ("m1", "m2")]
    member.machine.on_reply(mine, joined(leader="m1", protocol="range", members=rows), member.now)
    member.step()
    event = member.one(Decide)
    assert member.machine.state == DECIDING and not member.asks
    wanted, bad = readable(event.members, event.protocol)
    assert not bad
    member.machine.decided(event.number, decide(RANGE, wanted, {"a": [0, 1], "b": [0]}))
    member.step()
    sent = {row.member_id: row.assignment for row in member.take("SyncGroup").request.assignments}
    assert set(sent) == {"m1", "m2"}


def test_a_decision_that_comes_too_late_counts_for_nothing() -> None:
    member = leader()
    event = member.one(Decide)
    member.step(HEARTBEAT_S)
    member.answer("Heartbeat", calm(27))
    member.machine.decided(event.number, [("m1", b"")])
    member.machine.undecided(event.number, KafkaException("too late"), member.now)
    member.step()
    assert member.waiting() == ["JoinGroup"] and not member.told(Ended)


@pytest.mark.parametrize("decided", [False, True])
def test_topics_that_change_while_it_is_shared_out_are_shared_out_once_that_is_over(decided: bool) -> None:
    member = leader()
    event = member.one(Decide)
    if not decided:
        member.machine.rebalance(member.now, "a grew")
    member.machine.decided(event.number, [("m1", b"")])
    member.step()
    if decided:
        member.machine.rebalance(member.now, "a grew")
        member.step()
    member.answer("SyncGroup", synced("a0"))
    assert member.one(Assign).partitions == tps("a0")
    assert member.give_up().cause == "a grew"
    member.answer("JoinGroup", joined(leader="m1", protocol="range", generation=4))
    member.machine.decided(member.one(Decide).number, [("m1", b"")])
    member.step()
    member.answer("SyncGroup", synced("a0 a1"))
    assert member.machine.state == STABLE and "JoinGroup" not in member.waiting()


def test_a_leader_that_cannot_decide_tries_again_or_leaves_it_to_another() -> None:
    member = leader()
    member.machine.undecided(member.one(Decide).number, SocketDisconnectedError("metadata"), member.now)
    member.step()
    assert not member.asks
    member.step(member.machine.wake_at() - member.now)
    again = member.answer("JoinGroup", joined(leader="m1", protocol="range", generation=4))
    assert "could not decide" in again.request.reason
    member.machine.undecided(member.one(Decide).number, KafkaException("no reader for a0"), member.now)
    member.step()
    member.answer("LeaveGroup", LeaveGroupResponse())
    assert "no reader for a0" in str(member.one(Ended).error)


def test_a_static_leader_that_comes_back_is_told_who_the_members_are_and_not_asked_to_decide() -> None:
    member = classic("range", instance_id="i-1").start().find()
    row = JoinGroupResponse.JoinGroupResponseMember(member_id="m2", group_instance_id="i-2", metadata=b"wants a")
    member.answer("JoinGroup", joined(leader="m1", protocol="range", skip_assignment=True, members=[row]))
    assert not member.told(Decide)
    assert member.one(Keep) == Keep("range", (MemberMetadata("m2", "i-2", b"wants a"),))
    assert member.take("SyncGroup").request.assignments == []


def test_a_way_of_sharing_that_was_not_offered_is_refused_and_the_seat_left() -> None:
    member = classic("range").start().find()
    member.answer("JoinGroup", join_error(79, "m1"))
    member.answer("JoinGroup", joined(protocol="sticky"))
    member.answer("LeaveGroup", LeaveGroupResponse())
    error = member.one(Ended).error
    assert isinstance(error, InconsistentGroupProtocol) and "'sticky', which was not offered" in str(error)


def test_an_assignment_that_cannot_be_read_ends_the_membership_and_leaves_the_seat() -> None:
    member = classic().start().find()
    member.answer("JoinGroup", join_error(79, "m1"))
    member.answer("JoinGroup", joined())
    member.answer("SyncGroup", SyncGroupResponse(assignment=b"\x00\x00\x7f\xff\xff\xff"))
    member.answer("LeaveGroup", LeaveGroupResponse())
    assert "cannot be read" in str(member.one(Ended).error)


def test_partitions_of_topics_that_it_did_not_ask_for_are_left_to_others() -> None:
    member = classic(topics=["a"]).get_ready("a0")
    rebalancing(member)
    member.answer("JoinGroup", joined(generation=4))
    member.answer("SyncGroup", synced("a0 z0 z1"))
    assert member.machine.owned == tps("a0") and not member.told(Ended)


# -- rebalances -------------------------------------------------------------------------------------------------------------


def test_an_eager_member_gives_everything_up_before_it_joins_and_keeps_its_seat_meanwhile() -> None:
    eager = rebalancing(eager_reader())
    assert eager.machine.state == GIVING_UP and not eager.asks
    for _ in range(4):
        eager.step(HEARTBEAT_S)
        eager.answer("Heartbeat", calm(27))
        assert eager.machine.state == GIVING_UP
    assert eager.give_up().partitions == tps("a0 a1")
    assert eager.waiting() == ["JoinGroup"]


def test_a_cooperative_member_gives_up_what_moves_and_joins_again() -> None:
    member = rebalancing(classic().get_ready("a0 a1 a2"))
    assert member.reading == tps("a0 a1 a2") and member.waiting() == ["JoinGroup"]
    member.answer("JoinGroup", joined(generation=4))
    member.answer("SyncGroup", synced("a0 b0"))
    revoke = member.told(Revoke)
    assert [event.partitions for event in revoke] == [tps("a1 a2")] and revoke[0].generation == 4
    assert member.reading == tps("a0 b0")
    member.machine.gave_up(revoke[0].number, member.now)
    member.step()
    assert member.waiting() == ["JoinGroup"]


def test_answers_of_what_was_given_up_before_count_for_nothing() -> None:
    member = rebalancing(classic().get_ready("a0 a1"))
    member.answer("JoinGroup", joined(generation=4))
    member.answer("SyncGroup", synced("a0"))
    number = member.one(Revoke).number
    member.machine.gave_up(number - 1, member.now)
    assert member.machine.state == GIVING_UP
    member.machine.gave_up(number, member.now)
    member.machine.gave_up(number, member.now)
    member.step()
    assert member.machine.owned == tps("a0") and member.waiting() == ["JoinGroup"]


def test_late_answers_of_an_old_generation_are_ignored() -> None:
    member = rebalancing(classic().get_ready("a0"))
    old = member.take("JoinGroup")
    member.machine.on_failure(old, SocketDisconnectedError("gone"), member.now)
    member.step()
    member.step(member.machine.wake_at() - member.now)
    member.find(2)
    member.machine.on_reply(old, joined(generation=99, member_id="m99"), member.now)
    member.step()
    assert (member.machine.generation, member.machine.member_id) == (3, "m1")
    member.answer("JoinGroup", joined(generation=5))
    member.answer("SyncGroup", synced("a0 a1"))
    member.machine.on_reply(old, join_error(25), member.now)
    member.machine.on_failure(old, UnsupportedVersion("late"), member.now)
    member.step()
    assert member.machine.generation == 5 and member.reading == tps("a0 a1") and not member.told(Lost)


def test_what_is_not_given_up_when_the_others_stop_waiting_is_lost() -> None:
    member = rebalancing(eager_reader())
    until = member.now - HEARTBEAT_S + REBALANCE_S  # when all was calm last
    while member.machine.wake_at() < until:
        member.step(member.machine.wake_at() - member.now)
        member.answer("Heartbeat", calm(27))
    member.step(until - member.now)
    assert "not given up within 20 s" in member.one(Lost).cause
    assert "JoinGroup" in member.waiting()


def test_other_topics_are_joined_for_without_giving_up_what_stays() -> None:
    member = classic(topics=["a", "b"]).get_ready("a0 b0")
    member.machine.subscribe(["b", "c"], member.now)
    member.step()
    assert member.give_up().partitions == tps("a0") and member.reading == tps("b0")
    assert member.waiting() == ["JoinGroup"]
    member.machine.subscribe(["c", "b"], member.now)  # the same ones
    member.step()
    assert member.waiting() == ["JoinGroup"]


# -- the coordinator is not heard of ----------------------------------------------------------------------------------------


def test_a_session_that_is_over_on_our_side_is_lost_before_others_read() -> None:
    member = classic().get_ready("a0 a1")
    member.step(HEARTBEAT_S)
    member.take("Heartbeat")  # and there is no answer
    member.step(SESSION_S - HEARTBEAT_S - 0.001)
    assert not member.told(Lost)
    member.step(0.001)
    lost = member.one(Lost)
    assert lost.partitions == tps("a0 a1") and "not heard of for 10 s" in lost.cause
    assert member.waiting() == ["JoinGroup"]


@pytest.mark.parametrize("api", ["JoinGroup", "SyncGroup"])
def test_a_process_that_stood_still_longer_than_a_session_trusts_no_answer_from_before(api: str) -> None:
    member = asking(api)  # it reads on while it waits
    waiting = member.take(api)
    for _ in range(3):
        member.step(HEARTBEAT_S)  # awake, and it may take longer than a session
    member.now += SESSION_S
    answer = joined(generation=4) if api == "JoinGroup" else synced("a0 a1")
    member.machine.on_reply(waiting, answer, member.now)
    member.step()
    lost = member.one(Lost)
    assert lost.partitions == tps("a0 a1") and "stood still for 10.0 s" in lost.cause
    assert member.waiting() == ["JoinGroup"]


def test_a_join_that_takes_longer_than_a_session_costs_a_member_that_is_awake_nothing() -> None:
    member = asking("JoinGroup")
    for _ in range(10):
        member.step(HEARTBEAT_S)
    member.answer("JoinGroup", joined(generation=4))
    member.answer("SyncGroup", synced("a0 a1"))
    assert not member.told(Lost) and not member.told(Revoke) and member.reading == tps("a0 a1")


def test_a_lost_connection_keeps_the_seat_and_the_partitions() -> None:
    member = classic().get_ready("a0 a1")
    member.step(HEARTBEAT_S)
    member.fail("Heartbeat", SocketDisconnectedError("gone"))
    member.step(member.machine.wake_at() - member.now)
    member.answer("FindCoordinator", FindCoordinatorResponse(error_code=15, node_id=-1, host="", port=0))
    member.step(member.machine.wake_at() - member.now)
    member.find(2)
    assert member.waiting() == ["Heartbeat"] and member.reading == tps("a0 a1")
    member.answer("Heartbeat", calm())
    assert member.machine.state == STABLE and not member.told(Lost)


def test_a_coordinator_that_nobody_may_ask_ends_the_membership() -> None:
    member = classic().start()
    member.answer("FindCoordinator", FindCoordinatorResponse(error_code=30, node_id=-1, host="", port=0))
    assert isinstance(member.one(Ended).error, GroupAuthorizationFailed)


def test_a_request_that_can_never_be_sent_ends_the_membership() -> None:
    member = classic().start().find()
    member.fail("JoinGroup", ValueError("no such thing"))
    assert "ValueError" in str(member.one(Ended).error) and not member.asks


def test_another_process_of_the_same_instance_id_ends_it_and_is_left_alone() -> None:
    member = classic(instance_id="i-1").get_ready("a0")
    member.step(HEARTBEAT_S)
    member.answer("Heartbeat", calm(82))
    assert isinstance(member.one(Ended).error, FencedInstanceId) and not member.asks and not member.reading


# -- leaving ----------------------------------------------------------------------------------------------------------------


def _giving_up() -> Driven:
    member = rebalancing(classic().get_ready("a0 a1 a2"))
    member.answer("JoinGroup", joined(generation=4))
    member.answer("SyncGroup", synced("a0"))
    return member


def _leaving() -> Driven:
    member = classic(max_poll_interval_s=1.0).get_ready()
    member.step(1.0)
    return member


def _ended() -> Driven:
    member = classic().start().find()
    member.answer("JoinGroup", join_error(30))
    member.told(Ended)
    return member


PLACES: dict[str, tuple[str, Callable[[], Driven]]] = {
    "away": (AWAY, classic),
    "looking for the coordinator": (JOINING, lambda: classic().start()),
    "without an id": (JOINING, lambda: classic().start().find()),
    "joining": (JOINING, lambda: asking("JoinGroup")),
    "deciding": (DECIDING, leader),
    "syncing": (SYNCING, lambda: asking("SyncGroup")),
    "stable": (STABLE, lambda: asking("Heartbeat")),
    "giving up": (GIVING_UP, _giving_up),
    "leaving": (LEAVING, _leaving),
    "ended": (ENDED, _ended),
}


def test_leaving_is_looked_at_in_every_state() -> None:
    assert {state for state, _ in PLACES.values()} == {
        AWAY, JOINING, DECIDING, SYNCING, STABLE, GIVING_UP, LEAVING, ENDED
    }  # fmt: skip
    assert set(SEATED) < {state for state, _ in PLACES.values()}


@pytest.mark.parametrize("place", PLACES)
def test_a_member_can_leave_from_wherever_it_is(place: str) -> None:
    state, arrive = PLACES[place]
    member = arrive()
    assert member.machine.state == state
    member.leave()


@pytest.mark.parametrize("place", PLACES)
def test_leaving_twice_is_leaving_once(place: str) -> None:
    member = PLACES[place][1]()
    member.machine.leave(member.now, "stopped")
    member.step()
    if member.machine.state in (AWAY, ENDED):
        assert member.one(Ended).error is None  # and whoever asks again is told again
    member.leave()


def test_nothing_is_given_up_twice_by_a_member_that_leaves_while_it_gives_up() -> None:
    member = _giving_up()
    first = member.told(Revoke)
    member.machine.leave(member.now, "stopped")
    member.step()
    assert not member.told(Revoke)
    member.machine.gave_up(first[0].number, member.now)
    member.step()
    second = member.told(Revoke)
    assert [event.partitions for event in [*first, *second]] == [tps("a1 a2"), tps("a0")]
    member.machine.gave_up(second[0].number, member.now)
    member.step()
    assert member.answer("LeaveGroup", LeaveGroupResponse()).request.members[0].reason == "stopped"
    assert member.one(Ended).error is None


def test_a_member_keeps_its_seat_while_it_gives_up_what_it_has_to_leave() -> None:
    member = classic().get_ready("a0")
    member.machine.leave(member.now, "stopped")
    member.step(HEARTBEAT_S)
    member.answer("Heartbeat", calm())
    assert member.machine.state == GIVING_UP
    member.give_up()
    assert member.waiting() == ["LeaveGroup"]


@pytest.mark.parametrize("code", [0, 25, 30])
def test_whatever_the_coordinator_says_to_that_a_member_that_leaves_is_gone(code: int) -> None:
    member = classic().get_ready("a0")
    member.machine.leave(member.now, "stopped")
    member.step()
    member.give_up()
    member.answer("LeaveGroup", LeaveGroupResponse(error_code=code))
    assert member.one(Ended).error is None and member.machine.state == AWAY


def test_a_static_member_leaves_its_seat_to_its_next_process() -> None:
    member = classic(instance_id="i-1").get_ready("a0")
    member.machine.leave(member.now, "stopped")
    member.step()
    member.give_up()
    assert not member.asks and member.one(Ended).error is None


def test_a_member_whose_user_takes_nothing_leaves_and_says_why_and_comes_back() -> None:
    member = classic(max_poll_interval_s=5.0).get_ready("a0")
    member.machine.active(member.now)
    for _ in range(2):
        member.step(HEARTBEAT_S)
        member.answer("Heartbeat", calm())
    member.step(1.0)
    assert "took no message for 5 s" in member.one(Lost).cause
    reason = member.answer("LeaveGroup", LeaveGroupResponse()).request.members[0].reason
    assert "max_poll_interval_ms" in reason
    assert member.machine.state == AWAY and not member.told(Ended)
    member.step(100.0)
    assert not member.asks
    member.machine.active(member.now)
    member.step()
    assert member.answer("JoinGroup", join_error(79, "m2")).request.reason == "its user takes messages again"
