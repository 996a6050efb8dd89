"""The coordinator of classic groups by itself, with a clock that is moved: who gets a seat, when, and who loses it."""

from __future__ import annotations

import pytest

from pykafka.protocol.messages import HeartbeatRequest, JoinGroupRequest, LeaveGroupRequest

from .group_play import Play, Sent


def test_a_new_member_is_given_an_id_and_joins_with_it() -> None:
    play = Play()
    member = play.new_id(client_id="reader")
    assert member == "reader-id1"
    answer = play.join(member).answer
    assert (answer.error_code, answer.generation_id, answer.leader, answer.member_id) == (0, 1, member, member)
    assert (answer.protocol_type, answer.protocol_name) == ("consumer", "range")
    assert [(row.member_id, bytes(row.metadata)) for row in answer.members] == [(member, b"wishes")]
    assert play.state == "CompletingRebalance"


@pytest.mark.parametrize("version", [0, 1, 2, 3])
def test_before_version_4_a_member_joins_at_once(version: int) -> None:
    play = Play()
    answer = play.join(version=version).answer
    assert answer.error_code == 0 and answer.member_id == answer.leader == "c-id1"


def test_the_first_version_has_one_time_for_sessions_and_rebalances() -> None:
    play = Play()
    member = play.join(version=0, session_s=8.0).answer.member_id
    assert play.sync(member, 1, version=0, shares={}).error == 0
    other = play.join(version=0, session_s=8.0)
    for _ in range(4):
        play.wait(1.9)
        assert play.beat(member, 1) == 27
    assert other.waits
    play.wait(0.5)
    assert other.answer.generation_id == 2 and other.answer.leader == other.answer.member_id


def test_a_member_id_that_is_not_used_in_time_is_forgotten() -> None:
    play = Play()
    member = play.new_id(session_s=10.0)
    play.wait(9.9)
    assert play.coordinator.next_tick() == pytest.approx(110.0)
    play.wait(0.2)
    assert play.join(member).error == 25


def test_a_rebalance_waits_for_who_was_given_an_id_and_has_not_joined_yet() -> None:
    play = Play()
    (leader,) = play.group(1)
    slow, quick = play.new_id(), play.new_id()
    joined = play.join(quick)
    assert play.join(leader).waits and joined.waits
    last = play.join(slow)
    assert joined.answer.generation_id == last.answer.generation_id == 2


def test_everybody_waits_until_all_have_joined_again_and_the_first_one_leads() -> None:
    play = Play()
    first, second = play.group(2)
    assert play.coordinator.groups["g"].generation == 2
    third = play.join(play.new_id())
    assert play.beat(first, 2) == play.beat(second, 2) == 27
    again = [play.join(second), play.join(first)]
    assert third.answer.leader == first and third.answer.members == []
    assert {row.member_id for row in again[1].answer.members} == {first, second, third.answer.member_id}


def test_who_does_not_join_again_in_time_has_lost_its_seat() -> None:
    play = Play()
    first, second = play.group(2, rebalance_s=5.0)
    third = play.join(play.new_id(), rebalance_s=5.0)
    play.join(second, rebalance_s=5.0)
    play.wait(4.9)
    assert third.waits and play.beat(first, 2) == 27
    play.wait(0.2)
    assert third.answer.generation_id == 3 and third.answer.leader == second
    assert play.beat(first, 2) == 25


def test_what_the_leader_has_decided_is_told_to_those_who_asked_before_and_after_it() -> None:
    play = Play()
    leader, member = play.group(2)
    assert play.join(leader).waits
    assert play.join(member).answer.generation_id == 3
    early = play.sync(member, 3)
    assert early.waits and play.state == "CompletingRebalance"
    told = play.sync(leader, 3, shares={leader: b"1", member: b"2"})
    assert bytes(told.answer.assignment) == b"1" and bytes(early.answer.assignment) == b"2"
    assert play.state == "Stable" and bytes(play.sync(member, 3).answer.assignment) == b"2"


def test_who_joins_again_with_the_same_wishes_disturbs_nobody_but_the_leader_does() -> None:
    play = Play()
    leader, member = play.group(2)
    answer = play.join(member).answer
    assert (answer.generation_id, answer.leader, answer.members) == (2, leader, [])
    assert play.join(leader).waits and play.state == "PreparingRebalance"


def test_other_wishes_are_a_rebalance() -> None:
    play = Play()
    _leader, member = play.group(2)
    assert play.join(member, metadata=b"other wishes").waits and play.state == "PreparingRebalance"


def test_an_answer_that_was_lost_while_the_leader_decides_is_given_again() -> None:
    play = Play()
    leader, member = play.group(2)
    play.join(leader)
    play.join(member)
    assert play.state == "CompletingRebalance"
    again = play.join(leader).answer
    assert again.generation_id == 3 and len(again.members) == 2
    assert play.join(member).answer.members == []


def test_a_member_that_waits_for_its_share_is_told_of_a_rebalance() -> None:
    play = Play()
    leader, member = play.group(2)
    play.join(leader)
    play.join(member)
    waiting = play.sync(member, 3)
    play.join(play.new_id())
    assert waiting.error == 27 and play.sync(leader, 3).error == 27


def test_the_way_of_sharing_is_one_that_all_know_and_most_like() -> None:
    play = Play()
    first = play.join(play.new_id(), protocols="range sticky roundrobin")
    second = play.join(play.new_id(), protocols="roundrobin range")
    third = play.join(play.new_id(), protocols="roundrobin range")
    play.join(first.answer.member_id, protocols="range sticky roundrobin")
    assert second.answer.protocol_name == third.answer.protocol_name == "roundrobin"


@pytest.mark.parametrize("options", [{"protocols": "sticky"}, {"protocol_type": "connect"}, {"protocols": ""}])
def test_who_knows_no_way_of_sharing_of_the_group_is_refused(options: dict[str, str]) -> None:
    play = Play()
    play.group(1)
    assert play.join(**options).error == 23  # type: ignore[arg-type]
    assert play.state == "Stable"


@pytest.mark.parametrize("options", [{"protocols": ""}, {"protocol_type": ""}])
def test_the_first_member_has_to_say_how_it_shares(options: dict[str, str]) -> None:
    assert Play().join(**options).error == 23  # type: ignore[arg-type]


@pytest.mark.parametrize("session_s", [5.999, 1800.001])
def test_sessions_have_bounds(session_s: float) -> None:
    assert Play().join(session_s=session_s).error == 26


def test_a_group_has_room_for_so_many() -> None:
    play = Play(max_size=2)
    play.group(1)
    member = play.new_id()
    assert play.join().error == 81
    assert play.join(member).waits


def test_a_seat_is_lost_without_heartbeats_and_the_others_are_told() -> None:
    play = Play()
    first, second = play.group(2)
    play.wait(9.0)
    assert play.beat(first, 2) == 0
    play.wait(2.0)
    assert play.beat(first, 2) == 27 and play.beat(second, 2) == 25
    assert play.join(first).answer.generation_id == 3


def test_who_waits_for_an_answer_does_not_lose_its_seat() -> None:
    play = Play()
    first, second = play.group(2, rebalance_s=60.0)
    waiting = play.join(first, rebalance_s=60.0)
    for _ in range(5):
        play.wait(9.0)
        assert waiting.waits and play.beat(second, 2) == 27
    play.join(second, rebalance_s=60.0)
    assert waiting.answer.generation_id == 3


def test_a_new_member_that_nobody_hears_of_waits_five_minutes() -> None:
    play = Play()
    (first,) = play.group(1, rebalance_s=1000.0)
    waiting = play.join(play.new_id(), rebalance_s=1000.0)
    for _ in range(60):
        play.wait(5.0)
        assert play.beat(first, 1) == 27
    assert waiting.error == 25


def test_who_never_asks_for_its_share_has_lost_its_seat() -> None:
    play = Play()
    leader, member = play.group(2, rebalance_s=15.0)
    play.join(leader, rebalance_s=15.0)
    play.join(member, rebalance_s=15.0)
    waiting = play.sync(member, 3)
    for _ in range(7):
        play.wait(2.0)
        assert play.beat(leader, 3) == 0
    assert waiting.waits
    play.wait(2.0)
    assert waiting.error == 27 and play.beat(leader, 3) == 25


def test_who_leaves_is_gone_and_the_last_one_leaves_an_empty_group() -> None:
    play = Play()
    first, second = play.group(2)
    assert play.leave(second) == [0] and play.beat(first, 2) == 27
    assert play.join(first).answer.generation_id == 3
    assert play.leave(first) == [0] and play.state == "Empty"
    assert play.beat(first, 3) == 25 and play.leave(first) == [25]
    assert play.join(play.new_id(), protocols="sticky", protocol_type="other").answer.generation_id == 5


def test_leaving_up_to_version_2_is_one_verdict() -> None:
    play = Play()
    (member,) = play.group(1)
    assert play.ask(LeaveGroupRequest(group_id="g", member_id="who"), 2).error == 25
    assert play.ask(LeaveGroupRequest(group_id="g", member_id=member), 2).error == 0
    assert play.state == "Empty"


def test_who_leaves_before_it_has_joined_holds_up_nobody() -> None:
    play = Play()
    (first,) = play.group(1)
    second, third = play.new_id(), play.new_id()
    joined = play.join(third)
    play.join(first)
    assert joined.waits and play.leave(second) == [0]
    assert joined.answer.generation_id == 2


@pytest.mark.parametrize(("member", "generation", "error"), [("who", 1, 25), ("", 1, 25), (None, 0, 22), (None, 2, 22)])
def test_strangers_and_other_generations_are_refused(member: str, generation: int, error: int) -> None:
    play = Play()
    (mine,) = play.group(1)
    assert play.beat(mine if member is None else member, generation) == error
    assert play.sync(mine if member is None else member, generation).error == error


def test_there_is_nothing_to_do_in_a_group_that_is_not_there() -> None:
    play = Play()
    assert play.beat("who", 1) == play.sync("who", 1).error == play.join("who").error == 25
    assert play.leave("who", "me") == [25, 25]
    assert play.ask(LeaveGroupRequest(group_id="g", member_id="who"), 2).error == 25
    assert not play.coordinator.groups
    assert play.ask(HeartbeatRequest(group_id="")).error == play.ask(JoinGroupRequest(group_id="")).error == 24


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"protocol_type": "consumer", "protocol_name": "range"}, 0),
        ({"protocol_type": "connect", "protocol_name": "range"}, 23),
        ({"protocol_type": "consumer", "protocol_name": "sticky"}, 23),
        ({"protocol_type": "consumer"}, 23),
        ({}, 23),
    ],
)
def test_from_version_5_on_the_share_is_asked_for_with_the_name_of_the_protocol(fields: dict[str, str], error: int) -> None:
    play = Play()
    (member,) = play.group(1)
    answer = play.sync(member, 1, version=5, **fields).answer
    assert answer.error_code == error
    assert (answer.protocol_type, answer.protocol_name) == ((None, None) if error else ("consumer", "range"))


class TestStaticMembers:
    def stable(self, play: Play, *, version: int = 9) -> tuple[str, str]:
        """Return the ids of two members, the leader first."""
        first = play.join(instance_id="i-1", version=version)
        second = play.join(instance_id="i-2", version=version)
        again = play.join(first.answer.member_id, instance_id="i-1", version=version).answer
        for member, instance in ((again.member_id, "i-1"), (second.answer.member_id, "i-2")):
            shares = {again.member_id: b"1", second.answer.member_id: b"2"}
            assert play.sync(member, 2, shares=shares, group_instance_id=instance).error == 0
        return again.member_id, second.answer.member_id

    def test_one_joins_at_once_and_its_id_begins_with_its_name(self) -> None:
        answer = Play().join(instance_id="i-1").answer
        assert answer.error_code == 0 and answer.member_id == "i-1-id1"
        assert answer.members[0].group_instance_id == "i-1"

    def test_one_that_comes_back_has_its_share_without_a_rebalance(self) -> None:
        play = Play()
        leader, member = self.stable(play)
        answer = play.join(instance_id="i-2").answer
        assert answer.generation_id == 2 and answer.member_id != member and answer.leader == leader
        assert not answer.skip_assignment and play.state == "Stable"
        assert bytes(play.sync(answer.member_id, 2, group_instance_id="i-2").answer.assignment) == b"2"
        assert play.beat(member, 2, "i-2") == 82 and play.beat(answer.member_id, 2, "i-2") == 0

    def test_a_leader_that_comes_back_leads_without_sharing_out(self) -> None:
        play = Play()
        leader, member = self.stable(play)
        answer = play.join(instance_id="i-1").answer
        assert answer.leader == answer.member_id and answer.skip_assignment
        assert {row.member_id for row in answer.members} == {answer.member_id, member}
        assert leader not in play.coordinator.groups["g"].seats

    def test_before_version_9_such_a_leader_is_told_that_somebody_else_leads(self) -> None:
        play = Play()
        leader, _member = self.stable(play, version=5)
        answer = play.join(instance_id="i-1", version=8).answer
        assert answer.leader == leader != answer.member_id and answer.members == []

    def test_one_that_comes_back_with_another_favourite_is_a_rebalance(self) -> None:
        play = Play()
        first = play.join(instance_id="i-1", protocols="range sticky").answer
        assert play.sync(first.member_id, 1, group_instance_id="i-1").error == 0
        answer = play.join(instance_id="i-1", protocols="sticky range").answer
        assert answer.generation_id == 2 and answer.protocol_name == "sticky"

    def test_one_that_is_away_keeps_its_seat_through_a_rebalance_until_its_session_is_over(self) -> None:
        play = Play()
        _leader, member = self.stable(play)
        play.wait(9.0)
        third = play.join(instance_id="i-3", rebalance_s=0.5)
        play.join(member, instance_id="i-2", rebalance_s=0.5)
        assert third.waits
        play.wait(1.5)
        assert "i-1" not in {seat.instance_id for seat in play.coordinator.groups["g"].seats.values()}
        assert third.answer.generation_id == 3

    def test_the_older_of_two_is_told_in_the_middle_of_its_waiting(self) -> None:
        play = Play()
        _leader, member = self.stable(play)
        waiting = play.join(member, instance_id="i-2", metadata=b"new wishes")
        assert waiting.waits
        play.join(instance_id="i-2")
        assert waiting.error == 82
        assert play.join(member, instance_id="i-2").error == 82
        assert play.sync(member, 2, group_instance_id="i-2").error == 82

    def test_a_name_that_nobody_has_is_of_no_use(self) -> None:
        play = Play()
        leader, _member = self.stable(play)
        assert play.beat(leader, 2, "i-9") == 25

    def test_one_can_be_put_out_by_its_name(self) -> None:
        play = Play()
        self.stable(play)
        rows = [
            LeaveGroupRequest.MemberIdentity(member_id="", group_instance_id="i-2"),
            LeaveGroupRequest.MemberIdentity(member_id="", group_instance_id="i-9"),
            LeaveGroupRequest.MemberIdentity(member_id="other", group_instance_id="i-1"),
        ]
        answer = play.ask(LeaveGroupRequest(group_id="g", members=rows)).answer
        assert [row.error_code for row in answer.members] == [0, 25, 82]
        assert play.state == "PreparingRebalance"


def test_a_new_group_waits_for_more_members_as_long_as_more_come() -> None:
    play = Play(initial_rebalance_delay_ms=3000)
    first = play.join(play.new_id())
    play.wait(2.0)
    second = play.join(play.new_id())
    play.wait(1.5)
    assert first.waits and second.waits
    play.wait(3.0)
    assert first.answer.generation_id == second.answer.generation_id == 1
    assert len(first.answer.members) == 2


def test_a_new_group_waits_no_longer_than_a_rebalance_may_take() -> None:
    play = Play(initial_rebalance_delay_ms=3000)
    first = play.join(play.new_id(), rebalance_s=7.0)
    for _ in range(3):
        play.wait(2.2)
        play.join(play.new_id(), rebalance_s=7.0)
    assert first.waits
    play.wait(0.5)
    assert len(first.answer.members) == 4


def test_another_coordinator_knows_what_is_in_the_log_and_the_one_before_answers_what_it_held_back() -> None:
    play = Play()
    first, second = play.group(2)
    held = play.join(play.new_id())
    assert play.join(first).waits
    play.coordinator.coordinator_moved("g", play.now)
    assert play.state == "Stable" and held.error == 16
    assert play.beat(first, 2) == play.beat(second, 2) == 0
    play.wait(11.0)
    assert play.state == "Empty"


def test_who_waits_for_its_share_is_told_that_the_coordinator_has_moved() -> None:
    play = Play()
    first, second = play.group(2)
    joined = [play.join(first, metadata=b"new wishes"), play.join(second, metadata=b"new wishes")]
    waiting = play.sync(second, joined[1].answer.generation_id)
    assert waiting.waits
    play.coordinator.coordinator_moved("g", play.now)
    assert waiting.error == 16


def test_who_joins_a_group_all_of_whose_members_were_put_out_meanwhile_is_taken() -> None:
    play = Play(initial_rebalance_delay_ms=3000)
    play.join(play.new_id())
    play.coordinator.expire("g")
    play.wait(0.0)
    assert play.state == "PreparingRebalance" and not play.coordinator.members("g")
    late = play.join(play.new_id())
    for _ in range(2):  # one had come while it waited
        play.wait(3.0)
    assert late.answer.generation_id == 1 and late.answer.leader == late.answer.member_id


def test_a_group_that_was_never_written_is_not_known_to_another_coordinator() -> None:
    play = Play()
    member = play.new_id()
    play.coordinator.coordinator_moved("g", play.now)
    assert play.join(member).error == 25 and not play.coordinator.groups


def test_sessions_can_be_made_to_end() -> None:
    play = Play()
    first, second = play.group(2)
    waiting = play.join(second, metadata=b"new wishes")
    play.coordinator.expire("g", second)
    assert play.coordinator.next_tick() < play.now
    play.wait(0.0)
    assert waiting.error == 25 and play.beat(first, 2) == 27
    play.coordinator.expire("g")
    play.wait(0.0)
    assert play.state == "Empty"
    for group, member in (("nothing", None), ("g", first)):
        with pytest.raises(ValueError, match="there is no group|has no member"):
            play.coordinator.expire(group, member)


def test_who_is_answered_may_ask_again_at_once() -> None:
    play = Play()
    leader, member = play.group(2)
    asked: list[Sent] = []
    beat = HeartbeatRequest(group_id="g", generation_id=2, member_id=member)
    play.coordinator.handle(beat, 4, play.now, lambda _answer: asked.append(play.join(leader)))
    (again,) = asked
    assert again.waits
    play.coordinator.handle(
        JoinGroupRequest(
            group_id="g",
            session_timeout_ms=10_000,
            rebalance_timeout_ms=20_000,
            member_id=member,
            protocol_type="consumer",
            protocols=[JoinGroupRequest.JoinGroupRequestProtocol(name="range", metadata=b"wishes")],
        ),
        9,
        play.now,
        lambda answer: asked.append(play.sync(answer.member_id, answer.generation_id)),
    )
    # the leader has its answer by the time that the member asks on
    assert again.answer.generation_id == 3 and asked[1].waits
