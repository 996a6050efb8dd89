"""Groups with members of both protocols by themselves, with a clock that is moved: going over, coming back, and time."""

from __future__ import annotations

import random
from typing import Any, Optional

import pytest

from pykafka.protocol import messages as m
from pykafka.protocol.api import decode_data
from pykafka.testing.classic_group import ClassicGroup
from pykafka.testing.consumer_group import ConsumerGroup

from .group_play import TOPICS, Play, Sent
from .mixed_group import assignment, subscription

ALL = {topic: list(range(count)) for topic, (_id, count) in TOPICS.items()}
EVERYTHING = assignment(**ALL)


def classic(play: Play, **options: Any) -> str:
    """Return the id of the only member of a classic group, which reads everything."""
    options = {"metadata": subscription("a", "b"), **options}
    member = play.new_id(**options)
    assert play.join(member, **options).answer.generation_id == 1
    assert play.sync(member, 1, shares={member: EVERYTHING}).error == 0
    return member


def read(answer: Sent) -> str:
    """Return what a classic member is to read, as "a0 a1 b0"."""
    data = decode_data(m.ConsumerProtocolAssignment, answer.answer.assignment)[0]
    return " ".join(sorted(f"{row.topic}{number}" for row in data.assigned_partitions for number in row.partitions))


def rejoin(play: Play, member: str, **options: Any) -> str:
    """Have a classic member join again; return what it reads then."""
    generation = play.join(member, **{"metadata": subscription("a", "b"), **options}).answer.generation_id
    return read(play.sync(member, generation))


def test_a_classic_group_takes_a_newer_member_in_and_is_classic_again_when_it_leaves() -> None:
    play = Play()
    old = classic(play)
    assert play.share(play.consumer("m", 0)) == "" and isinstance(play.coordinator.groups["g"], ConsumerGroup)
    assert play.beat(old, 1) == 27 and play.sync(old, 1).error == 27
    kept = rejoin(play, old)
    assert len(kept.split()) == 3 and play.beat(old, 2) == 0
    given = play.share(play.consumer("m", 2))
    assert given is not None and sorted(kept.split() + given.split()) == sorted(f"{t}{n}" for t, c in ALL.items() for n in c)
    play.consumer("m", -1)
    assert isinstance(play.coordinator.groups["g"], ClassicGroup) and play.beat(old, 2) == 27
    joined = play.join(old).answer
    assert (joined.generation_id, joined.leader) == (3, old)


def test_who_is_asked_to_join_again_has_its_rebalance_timeout_for_it_however_often_it_asks() -> None:
    play = Play()
    old = classic(play, rebalance_s=7.0)
    play.consumer("m", 0)
    for _ in range(6):
        assert play.beat(old, 1) == 27
        play.wait(1.0)
    play.wait(0.9)
    assert play.coordinator.members("g") == [old, "m"]
    play.wait(0.2)
    assert play.coordinator.members("g") == ["m"] and play.beat(old, 1) == 25


def test_who_has_joined_has_its_rebalance_timeout_to_ask_what_it_reads() -> None:
    play = Play()
    play.consumer("m", 0)
    lazy, quick = ("lazy", "quick")
    for member in (lazy, quick):
        play.join(member, metadata=subscription("a"), rebalance_s=7.0, session_s=20.0)
    play.sync(quick, 4)
    play.wait(6.9)
    assert play.coordinator.members("g") == ["m", lazy, quick]
    play.wait(0.2)
    assert play.coordinator.members("g") == ["m", quick]


def test_a_classic_member_is_asked_to_join_again_once_all_is_shared_out_anew_and_not_before() -> None:
    play = Play(consumer_assignment_interval_ms=1000)
    play.consumer("m", 0)
    assert rejoin(play, "c") == "" and play.beat("c", 2) == 0
    play.wait(1.1)
    assert play.beat("c", 2) == 0 and play.sync("c", 2).error == 0
    kept = play.share(play.consumer("m", 2, "a0 a1 a2 a3 b0 b1"))
    assert play.beat("c", 2) == 27 and play.sync("c", 2).error == 27
    assert rejoin(play, "c") == "" and play.beat("c", 3) == 0, "m has not let go of anything yet"
    play.consumer("m", 2, kept)
    assert play.beat("c", 3) == 27 and len(rejoin(play, "c").split()) == 3


def test_a_classic_member_keeps_its_own_session_timeout_in_a_mixed_group_and_with_the_next_coordinator() -> None:
    play = Play()
    old = classic(play, session_s=10.0)
    play.consumer("m", 0)
    play.wait(9.0)
    play.coordinator.coordinator_moved("g", play.now)
    play.wait(9.9)
    assert play.coordinator.members("g") == [old, "m"]
    play.wait(0.2)
    assert play.coordinator.members("g") == ["m"]


def test_the_next_coordinator_does_not_know_since_when_a_classic_member_is_to_join_or_to_ask() -> None:
    play = Play()
    old = classic(play, rebalance_s=7.0, session_s=20.0)
    play.consumer("m", 0)
    play.join("asks", metadata=subscription("a"), rebalance_s=7.0, session_s=20.0)
    assert play.beat(old, 1) == 27
    play.coordinator.coordinator_moved("g", play.now)
    play.wait(7.1)
    assert play.coordinator.members("g") == [old, "m", "asks"]
    assert play.beat(old, 1) == 27
    play.wait(7.1)
    assert play.coordinator.members("g") == ["m", "asks"]


def test_the_end_of_the_last_newer_members_session_makes_a_group_classic() -> None:
    play = Play(consumer_session_timeout_ms=5000)
    old = classic(play)
    play.consumer("m", 0)
    play.wait(5.1)
    assert isinstance(play.coordinator.groups["g"], ClassicGroup) and play.beat(old, 2) == 27


def test_a_newer_member_that_is_refused_leaves_a_classic_group_as_it_was() -> None:
    play = Play(max_size=1)
    old = classic(play)
    waiting = play.join(old, metadata=subscription("a")).answers
    assert play.consumer("m", 0).error_code == 81
    assert isinstance(play.coordinator.groups["g"], ClassicGroup) and play.beat(old, 2) == 0
    assert [answer.error_code for answer in waiting] == [0]


def test_what_a_static_member_was_to_let_go_of_went_with_its_process_before() -> None:
    play = Play()
    old = play.join("", instance_id="i", metadata=subscription("a", "b")).answer.member_id
    play.sync(old, 1, shares={old: EVERYTHING})
    play.consumer("m", 0)
    play.join(old, instance_id="i", metadata=subscription("a", "b", owned=ALL))
    assert play.share(play.consumer("m", 2)) is None, "nothing is free yet"
    play.join("", instance_id="i", metadata=subscription("a", "b"))
    given = play.share(play.consumer("m", 2))
    assert given is not None and len(given.split()) == 3


def test_a_classic_member_that_is_to_let_go_has_its_time_from_when_it_is_told_so() -> None:
    play = Play()
    old = classic(play, rebalance_s=7.0, session_s=20.0)
    play.consumer("m", 0)
    play.join(old, metadata=subscription("a", "b", owned=ALL), rebalance_s=7.0, session_s=20.0)
    play.sync(old, 1)
    play.wait(6.0)
    assert play.beat(old, 1) == 27
    play.wait(6.9)
    assert play.coordinator.members("g") == [old, "m"]
    play.wait(0.2)
    assert play.coordinator.members("g") == ["m"]


def test_who_waits_in_a_classic_group_that_goes_over_is_told_to_join_again() -> None:
    play = Play()
    old = classic(play)
    joining = play.join("", instance_id="i", metadata=subscription("a"))
    assert joining.waits and play.consumer("m", 0).error_code == 0
    assert joining.error == 27 and play.beat(old, 1) == 27
    new = joining.answer.member_id
    assert play.join(new, instance_id="i", metadata=subscription("a")).error == 0


def test_a_newer_member_is_refused_while_a_classic_group_waits_for_its_first_generation() -> None:
    play = Play(initial_rebalance_delay_ms=3000)
    waiting = play.join("", instance_id="i", metadata=subscription("a"))
    assert play.consumer("m", 0).error_code == -1
    play.wait(3.1)
    assert waiting.error == 0 and play.consumer("m", 0).error_code == 0


def test_a_newer_member_is_refused_while_somebody_joins_who_does_not_know_what_a_classic_group_has_chosen() -> None:
    play = Play()
    old = classic(play, protocols="range sticky")
    joining = play.join("", protocols="sticky", instance_id="i", metadata=subscription("a"))
    assert play.consumer("m", 0).error_code == -1 and play.beat(old, 1) == 27
    assert play.join(old, protocols="range sticky", metadata=subscription("a")).error == joining.error == 0
    assert play.consumer("m", 0).error_code == 0


@pytest.mark.parametrize("kind", ["classic", "consumer"])
def test_a_static_member_comes_back_to_a_group_that_is_full(kind: str) -> None:
    play = Play(max_size=1)
    play.consumer("m", 0, instance_id="i")
    play.consumer("m", -2, instance_id="i")
    assert play.consumer("n", 0, instance_id="j").error_code == 81
    if kind == "classic":
        assert play.join("", instance_id="i", metadata=subscription("a", "b")).error == 0
    else:
        assert play.consumer("n", 0, instance_id="i").error_code == 0
    assert len(play.coordinator.members("g")) == 1


def test_offsets_are_kept_on_the_way_to_the_newer_protocol_and_back() -> None:
    play = Play()
    old = classic(play)
    assert play.commit(5, member_id=old, generation_id_or_member_epoch=1) == 0
    play.consumer("m", 0)
    assert play.committed() == 5
    play.consumer("m", -1)
    assert play.committed() == 5


@pytest.mark.parametrize(
    ("policy", "goes_over", "comes_back"),
    [("disabled", False, False), ("upgrade", True, False), ("downgrade", False, True), ("bidirectional", True, True)],
)
def test_a_policy_says_which_way_groups_go(policy: str, goes_over: bool, comes_back: bool) -> None:
    play = Play(consumer_migration_policy=policy)
    classic(play)
    answer = play.consumer("m", 0)
    assert (answer.error_code == 0) is goes_over
    if not goes_over:
        assert answer.error_message == "Cannot upgrade classic group g to consumer group because online upgrade is disabled."
    play = Play(consumer_migration_policy=policy)
    play.consumer("m", 0)
    assert play.join("c", metadata=subscription("a")).error == (23 if policy == "disabled" else 0)
    play.consumer("m", -1)
    is_classic = isinstance(play.coordinator.groups["g"], ClassicGroup)
    assert is_classic is comes_back


def test_under_upgrade_a_classic_member_left_alone_is_not_told_and_has_everything_when_it_joins_again() -> None:
    play = Play(consumer_migration_policy="upgrade")
    play.consumer("m", 0)
    rejoin(play, "c")
    kept = play.share(play.consumer("m", 2))
    play.consumer("m", 2, kept)
    assert len(rejoin(play, "c").split()) == 3
    play.consumer("m", -1)
    assert play.beat("c", 3) == 0
    assert len(rejoin(play, "c").split()) == 6


def test_a_policy_that_there_is_not_is_an_error_at_once() -> None:
    with pytest.raises(ValueError, match="consumer_migration_policy='both'.*'bidirectional'"):
        Play(consumer_migration_policy="both")


class Member:
    """A member that does as coordinators tell it; ``holds`` is what it reads."""

    def __init__(self, play: Play, member_id: str, kind: str) -> None:
        self.play, self.member_id, self.kind = play, member_id, kind
        self.holds: set[str] = set()
        self.epoch = 0
        self.act = self._start if kind == "newer" else self._join

    def __repr__(self) -> str:
        return f"{self.kind} {self.member_id} in {self.epoch} with {sorted(self.holds)}"

    def leave(self) -> None:
        self.holds = set()
        if self.kind == "newer":
            self.play.consumer(self.member_id, -1)
        else:
            self.play.leave(self.member_id)

    def _start(self) -> None:
        self._told(self.play.consumer(self.member_id, 0))
        self.act = self._beat

    def _beat(self) -> None:
        self._told(self.play.consumer(self.member_id, self.epoch, " ".join(sorted(self.holds))))

    def _told(self, answer: Any) -> None:
        assert answer.error_code == 0, answer
        self.epoch = answer.member_epoch
        share = self.play.share(answer)
        self.holds = self.holds if share is None else set(share.split())

    def _join(self) -> None:
        if self.kind == "eager":
            self.holds = set()
        owned: dict[str, list[int]] = {}
        for one in sorted(self.holds):
            owned.setdefault(one[0], []).append(int(one[1:]))
        metadata = subscription("a", "b", owned=owned)
        self.epoch = self.play.join(self.member_id, metadata=metadata, session_s=1000, rebalance_s=1000).answer.generation_id
        self.act = self._sync

    def _sync(self) -> None:
        sent = self.play.sync(self.member_id, self.epoch)
        if sent.error == 27:
            self.act = self._join
            return
        self.holds = set(read(sent).split())
        self.act = self._beat_classic

    def _beat_classic(self) -> None:
        error = self.play.beat(self.member_id, self.epoch)
        assert error in (0, 27)
        if error:
            self.act = self._join


@pytest.mark.parametrize("seed", range(40))
def test_no_partition_is_read_by_two_members_whatever_they_do_and_all_are_read_in_the_end(seed: int) -> None:
    chance = random.Random(seed)
    play = Play(consumer_session_timeout_ms=10**9)
    # it stays, so that the group is one of the newer protocol all the time
    members = [Member(play, "first", "newer")]
    members[0].act()

    def check() -> None:
        held = [one for member in members for one in member.holds]
        assert len(held) == len(set(held)), members

    for number in range(150):
        if chance.random() < 0.06 and len(members) < 6:
            members.append(Member(play, f"m{number}", chance.choice(["newer", "eager", "cooperative"])))
        if chance.random() < 0.04 and len(members) > 1:
            members.pop(chance.randrange(1, len(members))).leave()
        chance.choice(members).act()
        check()
    before: Optional[str] = None
    while before != (before := repr(members)):
        for _ in range(4):
            for member in members:
                member.act()
                check()
    assert sum(len(member.holds) for member in members) == 6 and play.state == "Stable"
