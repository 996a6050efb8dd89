"""One member of a newer group (KIP-848) by itself: what every answer does to it, and how it leaves from wherever it is."""

from __future__ import annotations

from typing import Any, Callable, NamedTuple

import pytest

from pykafka._machines.consumer_member import REACTIONS
from pykafka._machines.member import (
    AWAY,
    ENDED,
    GIVING_UP,
    JOINING,
    LEAVING,
    STABLE,
    Assign,
    Ended,
    LookUp,
    Lost,
    Rebalanced,
    Revoke,
)
from pykafka.exceptions import FencedInstanceId, SocketDisconnectedError

from .driven import IDS, REBALANCE_S, SESSION_S, Driven, beat, newer, tps

BEAT = "ConsumerGroupHeartbeat"
INTERVAL_S = 5.0
IN_A_WHILE = max(IDS)


def owned_in(request: Any) -> Any:
    """Return the partitions that a heartbeat says are read; None when it says nothing of them."""
    if request.topic_partitions is None:
        return None
    return tps(" ".join(f"{IDS[row.topic_id]}{number}" for row in request.topic_partitions for number in row.partitions))


def asking(joining: bool = False) -> Driven:
    """Return a member that waits for the answer to a heartbeat; one that stays reads two partitions."""
    if joining:
        return newer().start().find()
    member = newer().get_ready("a0 a1")
    member.step(INTERVAL_S)
    assert member.waiting() == [BEAT]
    return member


# -- the table of reactions, row by row ---------------------------------------------------------------------------------


class Then(NamedTuple):
    """What has to come of an error of a member that reads: the next request, whether it waits, and whether all is lost."""

    asks: str
    waits: bool
    loses: bool = False


THEN = {
    14: Then(BEAT, waits=True),
    15: Then("FindCoordinator", waits=True),
    16: Then("FindCoordinator", waits=True),
    25: Then(BEAT, waits=False, loses=True),
    # put out of a group that the members who were left made a classic one
    69: Then(BEAT, waits=True, loses=True),
    110: Then(BEAT, waits=False, loses=True),
}


def test_every_reaction_is_looked_at() -> None:
    assert set(THEN) == set(REACTIONS)


@pytest.mark.parametrize("code", sorted(THEN))
def test_what_an_error_does_to_a_member(code: int) -> None:
    then, member = THEN[code], asking()
    member.answer(BEAT, beat(code=code))
    assert (member.waiting() == []) is then.waits
    if then.waits:
        member.step(member.machine.wake_at() - member.now)
    if then.asks == "FindCoordinator":
        member.find()
    request = member.take(BEAT).request
    # everything is said anew: nobody knows what of the last one was taken in
    assert (request.rebalance_timeout_ms, request.subscribed_topic_names) == (REBALANCE_S * 1000, ["a", "b"])
    assert (request.server_assignor, request.member_id) == ("uniform", "me")
    assert request.member_epoch == (0 if then.loses else 3)
    assert owned_in(request) == (frozenset() if then.loses else tps("a0 a1"))
    assert [event.partitions for event in member.told(Lost)] == ([tps("a0 a1")] if then.loses else [])
    assert not member.told(Ended)


# what 69 does is below: it is another type of group, and joining again would not change that
@pytest.mark.parametrize("code", sorted(set(THEN) - {69}))
def test_what_an_error_does_to_a_member_that_joins(code: int) -> None:
    member = asking(joining=True)
    member.answer(BEAT, beat(code=code))
    assert not member.asks, "asked at once, it would be answered the same"
    member.step(member.machine.wake_at() - member.now)
    if THEN[code].asks == "FindCoordinator":
        member.find()
    assert member.take(BEAT).request.member_epoch == 0


def test_an_error_that_may_pass_is_waited_for() -> None:
    member = asking()
    member.answer(BEAT, beat(code=7))
    assert not member.asks and member.reading == tps("a0 a1")
    member.step(member.machine.wake_at() - member.now)
    member.answer(BEAT, beat())
    assert member.machine.state == STABLE and not member.told(Lost)


@pytest.mark.parametrize("code", [30, 35, 42, 81, 112, 128, -1])
def test_an_error_that_cannot_pass_ends_the_membership_and_leaves_the_seat(code: int) -> None:
    member = asking()
    member.answer(BEAT, beat(code=code))
    assert member.one(Lost).partitions == tps("a0 a1") and not member.told(Ended)
    assert member.answer(BEAT, beat(code=code)).request.member_epoch == -1
    assert member.one(Ended).error is not None and member.machine.state == ENDED
    member.step(1000.0)
    assert not member.asks


@pytest.mark.parametrize("code", [30, 42, 81, 111, 112, 128])
def test_who_has_no_seat_yet_leaves_none(code: int) -> None:
    member = asking(joining=True)
    member.answer(BEAT, beat(code=code))
    assert member.one(Ended).error is not None and not member.asks


def test_a_group_of_the_other_type_is_called_so_and_it_is_said_what_helps() -> None:
    member = asking(joining=True)
    member.answer(BEAT, beat(code=69, error_message="online upgrade is disabled."))
    said = str(member.one(Ended).error)
    assert "online upgrade is disabled; group g is there, but it is of another type and has live members" in said
    assert "group.consumer.migration.policy" in said and "group_protocol='classic'" in said


def test_another_process_of_the_same_instance_id_ends_it_and_is_left_alone() -> None:
    member = newer(instance_id="i-1").get_ready("a0")
    member.step(INTERVAL_S)
    member.answer(BEAT, beat(code=82))
    assert isinstance(member.one(Ended).error, FencedInstanceId) and not member.asks and not member.reading


# -- what a heartbeat says ------------------------------------------------------------------------------------------------


def test_the_first_heartbeat_says_everything_and_later_ones_what_has_changed() -> None:
    member = newer(rack="r1").start().find()
    first = member.answer(BEAT, beat("", epoch=3)).request
    assert (first.member_epoch, first.rack_id, first.subscribed_topic_names) == (0, "r1", ["a", "b"])
    assert (first.rebalance_timeout_ms, owned_in(first)) == (REBALANCE_S * 1000, frozenset())
    assert member.one(Assign).owned == frozenset() and member.one(Rebalanced).cause == "started"
    assert owned_in(member.answer(BEAT, beat(epoch=3)).request) == frozenset()
    assert not member.asks
    member.step(INTERVAL_S)
    later = member.answer(BEAT, beat(epoch=4)).request
    assert (later.member_epoch, later.rack_id, later.subscribed_topic_names, later.server_assignor) == (3, None, None, None)
    assert (later.rebalance_timeout_ms, owned_in(later)) == (-1, None)
    assert member.machine.generation == 4


def test_a_pattern_goes_to_the_broker_as_it_is() -> None:
    member = newer([], pattern="a.*").start().find()
    request = member.take(BEAT).request
    assert (request.subscribed_topic_names, request.subscribed_topic_regex) == ([], "a.*")


def test_after_a_lost_answer_everything_is_said_anew_with_the_epoch_that_is_known() -> None:
    member = asking()
    member.fail(BEAT, SocketDisconnectedError("gone"))
    member.step(member.machine.wake_at() - member.now)
    member.find(2)
    request = member.answer(BEAT, beat("a0 a1", epoch=7)).request
    assert (request.member_epoch, owned_in(request), request.subscribed_topic_names) == (3, tps("a0 a1"), ["a", "b"])
    assert member.machine.generation == 7 and member.reading == tps("a0 a1") and not member.told(Lost)


def test_other_topics_are_told_at_once_even_while_a_heartbeat_is_answered() -> None:
    member = asking()
    member.machine.subscribe(["c"], member.now)
    member.step()
    assert member.waiting() == [BEAT]
    member.answer(BEAT, beat())
    assert member.take(BEAT).request.subscribed_topic_names == ["c"]
    idle = newer().get_ready("a0")
    idle.machine.subscribe(["b", "a"], idle.now)
    idle.step()
    assert not idle.asks, "these are the same"
    idle.machine.subscribe(["b"], idle.now)
    idle.step()
    assert idle.take(BEAT).request.subscribed_topic_names == ["b"]


# -- assignments -------------------------------------------------------------------------------------------------------------


def test_an_assignment_is_begun_with_and_acknowledged_at_once() -> None:
    member = newer().start().find()
    member.machine.learn(IDS, member.now)
    member.answer(BEAT, beat("a0 b1", epoch=3))
    assert member.one(Assign) == Assign(tps("a0 b1"), tps("a0 b1"), 3)
    assert member.one(Rebalanced).gained == tps("a0 b1")
    assert owned_in(member.take(BEAT).request) == tps("a0 b1")


def test_what_goes_is_given_up_before_anything_new_is_begun_with_and_heartbeats_go_on() -> None:
    member = asking()
    member.answer(BEAT, beat("a1 b0", epoch=3))
    revoke = member.one(Revoke)
    assert revoke.partitions == tps("a0") and member.reading == tps("a1") and member.machine.state == GIVING_UP
    for _ in range(3):
        member.step(INTERVAL_S)
        # what is being given up is not free yet
        assert owned_in(member.answer(BEAT, beat()).request) in (tps("a0 a1"), None)
    assert member.machine.state == GIVING_UP
    member.machine.gave_up(revoke.number, member.now)
    member.step()
    assert member.one(Assign).partitions == tps("b0") and member.reading == tps("a1 b0")
    assert owned_in(member.take(BEAT).request) == tps("a1 b0")
    rebalanced = member.one(Rebalanced)
    assert (rebalanced.gained, rebalanced.lost) == (tps("b0"), tps("a0"))


def test_an_assignment_that_comes_while_another_one_is_worked_off_counts() -> None:
    member = asking()
    member.answer(BEAT, beat("a1", epoch=3))
    first = member.one(Revoke)
    member.step(INTERVAL_S)
    member.answer(BEAT, beat("b1", epoch=3))
    assert not member.told(Revoke)
    member.machine.gave_up(first.number, member.now)
    member.step()
    second = member.one(Revoke)
    assert second.partitions == tps("a1")
    member.machine.gave_up(second.number, member.now)
    member.step()
    assert member.reading == tps("b1")


def test_what_is_freed_while_a_heartbeat_is_answered_is_told_right_after_that() -> None:
    member = asking()
    member.answer(BEAT, beat("a1", epoch=3))
    member.step(INTERVAL_S)
    assert member.waiting() == [BEAT]
    member.give_up()
    member.answer(BEAT, beat())
    assert owned_in(member.take(BEAT).request) == tps("a1")


def test_an_assignment_is_acknowledged_also_when_nothing_changes_for_us() -> None:
    # of a topic that has no name here yet, the partition was ours, and is another's now: the coordinator waits for our word
    member = newer().start().find()
    member.machine.learn({topic_id: name for topic_id, name in IDS.items() if name == "a"}, member.now)
    member.answer(BEAT, beat("a0 b0", epoch=3))
    assert member.one(LookUp).topic_ids == {b"b".ljust(16)}
    assert owned_in(member.answer(BEAT, beat(epoch=3)).request) == tps("a0")
    member.step(INTERVAL_S)
    member.answer(BEAT, beat("a0", epoch=3))
    assert owned_in(member.answer(BEAT, beat(epoch=4)).request) == tps("a0")
    assert member.machine.generation == 4


def test_who_has_lost_everything_and_is_given_the_same_again_begins_with_it() -> None:
    member = asking()
    member.answer(BEAT, beat(code=110))
    member.answer(BEAT, beat("a0 a1", epoch=9))
    assert member.one(Assign) == Assign(tps("a0 a1"), tps("a0 a1"), 9)
    assert member.reading == tps("a0 a1")
    rebalanced = member.one(Rebalanced)
    assert "epoch" in rebalanced.cause.lower() and not rebalanced.gained and not rebalanced.lost


def test_topics_without_a_name_are_looked_up_once_for_each_heartbeat_and_begun_with_later() -> None:
    member = newer().start().find()
    member.answer(BEAT, beat("a0", epoch=3))
    assert member.one(LookUp).topic_ids == {b"a".ljust(16)} and not member.reading
    member.answer(BEAT, beat())
    for _ in range(3):
        assert member.one(LookUp).topic_ids == {b"a".ljust(16)}
        member.machine.learn({IN_A_WHILE: "c"}, member.now)  # which does not help
        member.step()
        assert not member.told(LookUp)
        member.step(INTERVAL_S)
        member.answer(BEAT, beat())
    member.machine.learn(IDS, member.now)
    member.step()
    assert member.reading == tps("a0") and owned_in(member.take(BEAT).request) == tps("a0")
    member.step(INTERVAL_S)
    assert len(member.told(LookUp)) == 1


def test_what_a_name_brings_to_light_is_not_begun_with_while_the_coordinator_is_told_that_it_is_not_read() -> None:
    # told so, the coordinator may give it to others before it answers: found by test_group_stateful.py
    member = newer().start().find()
    member.machine.learn({b"a".ljust(16): "a"}, member.now)
    member.answer(BEAT, beat("a0", epoch=3))
    member.answer(BEAT, beat(epoch=3))
    member.step(INTERVAL_S)
    member.answer(BEAT, beat("a0 b0 b1", epoch=3))
    late = member.take(BEAT)
    assert owned_in(late.request) == tps("a0")
    member.machine.learn(IDS, member.now)
    member.step()
    assert member.reading == tps("a0")
    member.machine.on_reply(late, beat("b1", epoch=3), member.now)
    member.step()
    assert member.give_up().partitions == tps("a0")
    assert member.reading == tps("b1"), "b0 went to another one"


@pytest.mark.parametrize("is_lost", [False, True])
def test_it_is_begun_with_once_the_coordinator_has_said_that_it_is_still_ours(is_lost: bool) -> None:
    member = newer().start().find()
    member.answer(BEAT, beat("a0", epoch=3))
    assert owned_in(member.asks[0].request) == frozenset()
    if is_lost:
        member.fail(BEAT, SocketDisconnectedError("gone"))
    member.machine.learn(IDS, member.now)
    member.step()
    assert not member.reading
    if is_lost:
        member.step(member.machine.wake_at() - member.now)
        member.find()
    member.answer(BEAT, beat(epoch=3))
    assert member.reading == tps("a0") and owned_in(member.take(BEAT).request) == tps("a0")


def test_late_answers_are_ignored() -> None:
    member = asking()
    old = member.take(BEAT)
    member.machine.on_failure(old, SocketDisconnectedError("gone"), member.now)
    member.step()
    member.step(member.machine.wake_at() - member.now)
    member.find(2)
    member.machine.on_reply(old, beat("b0", epoch=99), member.now)
    member.machine.on_reply(old, beat(code=110), member.now)
    member.step()
    assert member.machine.generation == 3 and member.reading == tps("a0 a1")
    member.answer(BEAT, beat(epoch=3))
    assert member.reading == tps("a0 a1") and not member.told(Lost)


def test_who_is_told_that_its_epoch_is_old_asks_for_the_new_one_at_once() -> None:
    member = asking()
    member.answer(BEAT, beat("a1", epoch=3))
    number = member.one(Revoke).number
    assert not member.asks and member.machine.gives_up(number)
    member.machine.catch_up(member.now)
    member.step()
    member.answer(BEAT, beat(epoch=4))
    assert member.machine.generation == 4 and member.machine.gives_up(number) and not member.asks


def test_what_is_lost_while_it_is_given_up_is_given_up_no_more() -> None:
    member = asking()
    member.answer(BEAT, beat("a1", epoch=3))
    number = member.one(Revoke).number
    member.machine.catch_up(member.now)
    member.step()
    member.answer(BEAT, beat(code=110))
    assert not member.machine.gives_up(number)
    member.machine.catch_up(member.now)  # who joins is asking already
    member.step()
    assert member.waiting() == [BEAT]


def ids_in(request: Any) -> set[bytes]:
    """Return the topic ids that a heartbeat says are read."""
    return {row.topic_id for row in request.topic_partitions}


ANEW = b"a made anew".ljust(16)


def test_partitions_of_a_topic_made_anew_are_told_under_the_id_they_were_given_under() -> None:
    member = newer().get_ready("a0 a1")
    member.machine.learn({ANEW: "a"}, member.now)
    member.step(INTERVAL_S)
    member.fail(BEAT, SocketDisconnectedError("gone"))  # so that everything is said anew
    member.step(member.machine.wake_at() - member.now)
    member.find()
    request = member.take(BEAT).request
    assert ids_in(request) == {b"a".ljust(16)} and request.topic_partitions[0].partitions == [0, 1]


def test_partitions_that_are_given_anew_under_another_id_are_told_under_that_one() -> None:
    member = newer().get_ready("a0 b0")
    member.machine.learn({ANEW: "a"}, member.now)
    member.step(INTERVAL_S)
    member.answer(BEAT, beat("b0", unknown=[ANEW]))
    assert member.reading == tps("a0 b0") and not member.told(Revoke)
    assert ids_in(member.take(BEAT).request) == {ANEW, b"b".ljust(16)}


def test_topics_that_were_not_asked_for_are_read_as_the_coordinator_has_it() -> None:
    # it looks at patterns, and at what we asked for a moment ago: unlike a leader, it cannot be older than we are
    member = newer(["a"]).get_ready("a0 b0")
    assert member.reading == tps("a0 b0")


# -- time ----------------------------------------------------------------------------------------------------------------------


def test_the_coordinators_interval_counts() -> None:
    member = newer(heartbeat_interval_s=1.0).get_ready("a0")
    member.step(INTERVAL_S - 0.001)
    assert not member.asks
    member.step(0.001)
    assert member.waiting() == [BEAT]


def test_an_interval_that_is_longer_than_our_session_costs_nobody_the_seat() -> None:
    member = newer(session_timeout_s=4.0).get_ready("a0")  # the coordinator wants to hear of it every 5 s
    for _ in range(5):
        member.step(member.machine.wake_at() - member.now)
        member.answer(BEAT, beat())
    assert member.reading == tps("a0") and not member.told(Lost)


def test_a_session_that_is_over_on_our_side_is_lost_before_others_read() -> None:
    member = newer().get_ready("a0 a1")
    member.step(INTERVAL_S)
    member.take(BEAT)
    member.step(SESSION_S - INTERVAL_S - 0.001)
    assert not member.told(Lost)
    member.step(0.001)
    assert "not heard of for 10 s" in member.one(Lost).cause
    assert member.take(BEAT).request.member_epoch == 0


def test_what_is_not_given_up_in_time_is_lost_with_everything_else() -> None:
    member = asking()
    asked_at = member.now
    member.answer(BEAT, beat("a1", epoch=3))
    while member.machine.wake_at() < asked_at + REBALANCE_S:
        member.step(member.machine.wake_at() - member.now)
        member.answer(BEAT, beat())
    assert member.reading == tps("a1")
    member.step(asked_at + REBALANCE_S - member.now)
    lost = member.one(Lost)
    assert "not given up within 20 s" in lost.cause and lost.partitions == tps("a0 a1")
    assert member.take(BEAT).request.member_epoch == 0


def test_what_was_given_up_but_cannot_be_told_is_as_good_as_not_given_up() -> None:
    member = newer(session_timeout_s=1000.0).get_ready("a0 a1")
    member.step(INTERVAL_S)
    asked_at = member.now
    member.answer(BEAT, beat("a1", epoch=3))
    member.give_up()
    assert owned_in(member.take(BEAT).request) == tps("a1")  # and there is no answer
    member.step(asked_at + REBALANCE_S - member.now)
    assert member.one(Lost).partitions == tps("a1")


def test_what_was_given_up_and_told_in_time_is_over() -> None:
    member = newer(session_timeout_s=1000.0).get_ready("a0 a1")
    member.step(INTERVAL_S)
    member.answer(BEAT, beat("a1", epoch=3))
    member.give_up()
    member.answer(BEAT, beat())
    member.step(REBALANCE_S)
    assert member.reading == tps("a1") and not member.told(Lost)


# -- leaving -------------------------------------------------------------------------------------------------------------------


def _giving_up() -> Driven:
    member = asking()
    member.answer(BEAT, beat("a1", epoch=3))
    return member


def _leaving() -> Driven:
    member = newer(max_poll_interval_s=1.0).get_ready()
    member.step(1.0)
    return member


def _ended() -> Driven:
    member = asking(joining=True)
    member.answer(BEAT, beat(code=30))
    member.told(Ended)
    return member


PLACES: dict[str, tuple[str, Callable[[], Driven]]] = {
    "away": (AWAY, newer),
    "looking for the coordinator": (JOINING, lambda: newer().start()),
    "joining": (JOINING, lambda: asking(joining=True)),
    "stable": (STABLE, asking),
    "giving up": (GIVING_UP, _giving_up),
    "leaving": (LEAVING, _leaving),
    "ended": (ENDED, _ended),
}


def test_leaving_is_looked_at_in_every_state() -> None:
    assert {state for state, _ in PLACES.values()} == {AWAY, JOINING, STABLE, GIVING_UP, LEAVING, ENDED}


@pytest.mark.parametrize("place", PLACES)
def test_a_member_can_leave_from_wherever_it_is(place: str) -> None:
    state, arrive = PLACES[place]
    member = arrive()
    assert member.machine.state == state
    member.leave()


def test_a_static_member_leaves_for_a_while_and_another_one_for_good() -> None:
    for instance_id, epoch in ((None, -1), ("i-1", -2)):
        member = newer(instance_id=instance_id).get_ready("a0")
        member.machine.leave(member.now, "stopped")
        member.step()
        member.give_up()
        request = member.answer(BEAT, beat(epoch=epoch)).request
        assert (request.member_epoch, request.instance_id, owned_in(request)) == (epoch, instance_id, None)
        assert member.one(Ended).error is None


def test_a_member_that_left_joins_again_under_its_id() -> None:
    member = newer().get_ready("a0")
    member.leave()
    member.get_ready("b0")
    assert member.reading == tps("b0") and member.machine.member_id == "me"


def test_a_member_whose_user_takes_nothing_leaves_and_comes_back() -> None:
    member = newer(max_poll_interval_s=4.0).get_ready("a0")
    member.step(4.0)
    assert "took no message for 4 s" in member.one(Lost).cause
    assert member.answer(BEAT, beat(epoch=-1)).request.member_epoch == -1
    assert member.machine.state == AWAY and not member.told(Ended)
    member.machine.active(member.now + 1.0)
    member.step(1.0)
    assert member.take(BEAT).request.member_epoch == 0
