"""Groups with members of both protocols, on a fake cluster and on a real broker: every field of every answer is the same."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import pytest

from pykafka.protocol import messages as m
from pykafka.testing import FakeCluster
from pykafka.testing.group_common import GroupSettings

from ..brokers import KafkaCluster
from .group_requests import (
    commit,
    coordinated,
    fetch_offsets,
    known_topic,
    leave,
    looks,
    news,
    owned,
    peer_of_same,
)
from .mixed_group import NEW, Classic, MixedComparer, alone, assignment, gone, newer, pair, share, subscription
from .peer import Peer, Play, Plays, answers, differences

PLAYS = Plays()
play = PLAYS.add
_numbers = itertools.count(1)


@play
def a_group_of_one_goes_over_and_back(peer: Peer, group: str) -> Iterator[Any]:
    topic_id = known_topic(peer, group, 2)
    old = alone(peer, group)
    yield peer.ask(commit(group, group, (0, 7, "note"), member_id=old.member_id, generation_id_or_member_epoch=1), 9)
    yield peer.ask(newer(group))
    yield from looks(peer, group)
    yield old.beat()
    yield old.sync()
    yield peer.ask(newer(group, 2))
    yield old.beat()
    yield old.join()
    yield from looks(peer, group)
    yield old.beat()
    answer = old.sync()
    yield answer, share(answer)
    yield old.beat()
    yield news(peer, newer(group, 2, topic_partitions=[]))
    yield old.beat()
    yield from looks(peer, group)
    (row,) = peer.ask(m.ConsumerGroupDescribeRequest(group_ids=[group])).groups
    (new,) = (one for one in row.members if one.member_id == NEW)
    yield peer.ask(newer(group, 2, topic_partitions=owned(topic_id, *new.assignment.topic_partitions[0].partitions)))
    yield from looks(peer, group)
    yield peer.ask(newer(group, -1))
    yield from looks(peer, group)
    yield old.beat()
    yield old.sync()
    yield old.join(owned={group: [0]})
    yield from looks(peer, group)
    yield old.sync({old.member_id: assignment(**{group: [0, 1]})})
    yield old.beat()
    yield peer.ask(fetch_offsets(group, None), 9)
    yield old.leave()
    yield from looks(peer, group)


@play
def a_group_of_two_goes_over_and_its_partitions_move(peer: Peer, group: str) -> Iterator[Any]:
    topic_id = known_topic(peer, group, 6)
    with peer_of_same(peer) as other:
        given = [assignment(**{group: [0, 1, 2]}), assignment(**{group: [3, 4, 5]})]
        first, second = pair(peer, other, group, *given)
        yield peer.ask(newer(group))
        yield from looks(peer, group)
        for member in (first, second):
            yield member.beat()
            yield member.join()
            answer = member.sync()
            yield answer, share(answer)
            yield member.beat()
            yield member.beat()
        yield peer.ask(newer(group, 3))
        yield first.beat()
        yield second.beat()
        for member in (second, first):
            if member.beat().error_code:
                yield member.join()
                answer = member.sync()
                yield answer, share(answer)
        yield peer.ask(newer(group, 3))
        yield from looks(peer, group)
        yield topic_id is None


@play
def members_that_keep_what_they_have(peer: Peer, group: str) -> Iterator[Any]:
    """They say what they have as cooperative members do, so they have to give it up before anybody else gets it."""
    topic_id = known_topic(peer, group, 4)
    old = alone(peer, group, partitions=4, protocols="cooperative-sticky")
    yield peer.ask(newer(group))
    yield old.beat()
    yield old.join(owned={group: [0, 1, 2, 3]})
    yield from looks(peer, group)
    answer = old.sync(protocol_name="cooperative-sticky")
    yield answer, share(answer)
    yield old.beat()
    kept = [number for _topic, numbers in share(answer)[2] for number in numbers]
    yield peer.ask(newer(group, 2))
    yield from looks(peer, group)
    yield old.join(owned={group: kept})
    yield from looks(peer, group)
    answer = old.sync(protocol_name="cooperative-sticky")
    yield answer, share(answer)
    yield old.beat()
    for generation in (0, 1, 2, 3):
        yield old.commit(group, *((number, 1, None) for number in range(5)), generation=generation)
    yield news(peer, newer(group, 2))
    yield from looks(peer, group)
    # and now something comes back to it
    yield peer.ask(newer(group, -1))
    yield old.beat()
    yield topic_id is None


@play
def what_comes_back_waits_for_who_has_it(peer: Peer, group: str) -> Iterator[Any]:
    topic_id = known_topic(peer, group, 2)
    yield peer.ask(newer(group))
    yield peer.ask(newer(group, 2, topic_partitions=owned(topic_id, 0, 1)))
    old = Classic(peer, group)
    yield old.join()
    yield from looks(peer, group)
    answer = old.sync()
    yield answer, share(answer)
    yield old.beat()
    yield peer.ask(newer(group, 2))
    yield old.beat()
    given = peer.ask(m.ConsumerGroupDescribeRequest(group_ids=[group])).groups[0]
    (new,) = (one for one in given.members if one.member_id == NEW)
    kept = new.target_assignment.topic_partitions[0].partitions
    yield peer.ask(newer(group, 2, topic_partitions=owned(topic_id, *kept)))
    yield old.beat()
    yield old.join()
    answer = old.sync()
    yield answer, share(answer)
    yield old.beat()
    yield from looks(peer, group)


@play
def joining_a_consumer_group_in_every_version(peer: Peer, group: str) -> Iterator[Any]:
    known_topic(peer, group, 2)
    for version in range(10):
        name = f"{group}-{version}"
        yield peer.ask(newer(name, subscribed_topic_names=[group]))
        old = Classic(peer, name, group)
        answer = peer.ask(old.wishes(), version)
        yield answer
        if answer.error_code == 79:
            old.member_id = answer.member_id
            answer = peer.ask(old.wishes(), version)
            yield answer
        old.joined(answer)
        answer = old.sync(version=min(version, 5))
        yield answer, share(answer)
        yield old.beat()
        yield old.leave()
        yield from itertools.islice(looks(peer, name), 6, 10)


@play
def wrong_members_and_generations(peer: Peer, group: str) -> Iterator[Any]:
    known_topic(peer, group, 2)
    yield peer.ask(newer(group))
    old = Classic(peer, group)
    yield old.join()
    generation = old.generation
    for who, number in ((old.member_id, 0), (old.member_id, generation + 1), ("~who", generation), ("", generation), (NEW, 2)):
        yield old.beat(member_id=who, generation=number)
        yield old.sync(member_id=who, generation=number)
        yield old.beat(member_id=who, generation=number, group_instance_id="i")
        yield old.sync(member_id=who, generation=number, group_instance_id="i")
    for kind, name in itertools.product(("consumer", "connect", None), ("range", "sticky", None)):
        yield old.sync(protocol_type=kind, protocol_name=name)
        yield old.sync(protocol_type=kind, protocol_name=name, version=4)
    yield peer.ask(Classic(peer, group).wishes(protocol_type="connect"), 9)
    yield peer.ask(Classic(peer, group).wishes(protocols=""), 9)
    yield peer.ask(Classic(peer, group).wishes(protocols="sticky"), 9)
    yield peer.ask(Classic(peer, group).wishes(protocols="sticky range"), 9)
    yield peer.ask(Classic(peer, group).wishes(metadata=b"what"), 4)
    stranger = Classic(peer, group)
    stranger.member_id = "~who"
    yield peer.ask(stranger.wishes(), 9)
    stranger.member_id = NEW
    yield peer.ask(stranger.wishes(), 9)
    yield peer.ask(newer(group, 0, old.member_id))
    yield peer.ask(newer(group, generation, old.member_id))
    yield peer.ask(leave(group, "~who", "", ("", "i"), (old.member_id, "i"), NEW, old.member_id, old.member_id))
    yield from looks(peer, group)


@play
def wishes_that_make_no_sense(peer: Peer, group: str) -> Iterator[Any]:
    known_topic(peer, group, 2)
    yield peer.ask(newer(group))
    for metadata in (b"what", b"", subscription(group, user_data=b"mine"), subscription("no-such-topic")):
        member = Classic(peer, group, metadata=metadata)
        member.member_id = "who"
        yield peer.ask(member.wishes(), 9)
        yield peer.ask(leave(group, "who"))


@play
def a_classic_member_leaves_two_others(peer: Peer, group: str) -> Iterator[Any]:
    known_topic(peer, group, 3)
    yield peer.ask(newer(group))
    first, second = Classic(peer, group, instance_id="1"), Classic(peer, group, instance_id="2")
    for member in (first, second):
        yield member.join()
        yield member.sync()
    yield first.leave()
    # nobody has shared out anew yet: a newer member's heartbeat does that, or another join
    yield second.beat()
    yield second.sync()
    yield peer.ask(newer(group, 2))
    yield second.beat()
    yield second.join()
    yield second.sync()
    yield from looks(peer, group)


@play
def the_newer_member_is_the_last_to_stay(peer: Peer, group: str) -> Iterator[Any]:
    topic_id = known_topic(peer, group, 2)
    old = alone(peer, group)
    yield peer.ask(newer(group))
    yield old.leave()
    yield from looks(peer, group)
    yield old.beat()
    yield news(peer, newer(group, 2))
    yield peer.ask(newer(group, 3, topic_partitions=owned(topic_id, 0, 1)))
    yield from looks(peer, group)
    yield peer.ask(newer(group, -1))
    yield from looks(peer, group)
    yield old.join()


@play
def sessions_that_end(peer: Peer, group: str) -> Iterator[Any]:
    known_topic(peer, group, 2)
    old = alone(peer, group, session_timeout_ms=6000)
    yield peer.ask(newer(group))
    # that it is gone is the only thing that can have changed
    yield news(peer, newer(group, 2))
    yield from looks(peer, group)
    yield old.beat()


@play
def who_does_not_rejoin_in_time_is_put_out(peer: Peer, group: str) -> Iterator[Any]:
    known_topic(peer, group, 2)
    old = alone(peer, group, rebalance_timeout_ms=1000, session_timeout_ms=6000)
    yield peer.ask(newer(group))
    yield old.beat()
    yield old.beat()
    yield gone(old)
    yield from looks(peer, group)


@play
def who_does_not_sync_in_time_is_put_out(peer: Peer, group: str) -> Iterator[Any]:
    known_topic(peer, group, 2)
    yield peer.ask(newer(group))
    old = Classic(peer, group, rebalance_timeout_ms=1000, session_timeout_ms=6000)
    yield old.join()
    yield old.beat()
    yield gone(old)
    yield from looks(peer, group)


@play
def offsets_in_a_mixed_group(peer: Peer, group: str) -> Iterator[Any]:
    known_topic(peer, group, 2)
    old = alone(peer, group)
    yield peer.ask(newer(group))
    # nothing has told it yet that the group is another one now
    for version in (2, 8, 9):
        for who, generation in ((old.member_id, 1), (old.member_id, 0), (old.member_id, 2), (old.member_id, -1), ("", -1)):
            yield old.commit(group, (0, 1, None), version=version, member_id=who, generation=generation)
    yield old.join()
    for version in (2, 8, 9):
        for who, generation in ((old.member_id, 1), (old.member_id, 2), (old.member_id, 3), (NEW, 2), (NEW, 1), ("who", 1)):
            yield old.commit(group, (0, 2, None), (1, 2, None), version=version, member_id=who, generation=generation)
    yield old.sync()
    yield old.commit(group, (0, 3, None), (1, 3, None))
    yield old.commit(group, (0, 3, None), (1, 3, None), generation=1)
    yield old.commit(group, (0, 3, None), group_instance_id="i")
    for who, epoch in ((old.member_id, 2), (old.member_id, 1), (old.member_id, 3), (old.member_id, -1), (None, -1), (NEW, 2)):
        yield peer.ask(fetch_offsets(group, group, 0, member_id=who, epoch=epoch), 9)
    yield peer.ask(fetch_offsets(group, group, 0), 7)
    yield peer.ask(newer(group, -1))
    yield old.commit(group, (0, 4, None))
    yield peer.ask(fetch_offsets(group, group, 0, 1), 9)


@play
def commits_of_an_older_generation(peer: Peer, group: str) -> Iterator[Any]:
    known_topic(peer, group, 2)
    known_topic(peer, f"{group}.other", 1)
    yield peer.ask(newer(group, subscribed_topic_names=[f"{group}.other"]))
    old = Classic(peer, group)
    yield old.join()
    yield old.sync()
    yield peer.ask(newer(group, 2, subscribed_topic_names=[group, f"{group}.other"], topic_partitions=[]))
    yield old.beat()
    yield old.join(owned={group: [0]})
    yield old.sync()
    yield old.beat()
    for generation in (2, 3, 4, 5):
        yield old.commit(group, (0, 1, None), (1, 1, None), generation=generation)


@play
def a_static_member_goes_over(peer: Peer, group: str) -> Iterator[Any]:
    known_topic(peer, group, 2)
    old = alone(peer, group, instance_id="i")
    # another process of the same static member; the one before has not said that it leaves
    yield peer.ask(newer(group, instance_id="i"))
    yield from looks(peer, group)
    yield old.beat()
    yield old.sync()
    yield old.join()
    yield peer.ask(newer(group, 1, instance_id="i"))
    # and back
    back = Classic(peer, group, instance_id="i")
    yield back.join()
    yield peer.ask(newer(group, -2, instance_id="i"))
    yield from looks(peer, group)
    yield back.join()
    yield from looks(peer, group)
    yield back.sync({back.member_id: assignment(**{group: [0, 1]})})
    yield back.beat()
    yield peer.ask(newer(group, 1, instance_id="i"))


@play
def a_static_member_that_comes_back_as_classic(peer: Peer, group: str) -> Iterator[Any]:
    known_topic(peer, group, 2)
    old = alone(peer, group, instance_id="i")
    yield peer.ask(newer(group, instance_id="j"))
    yield from looks(peer, group)
    again = Classic(peer, group, instance_id="i")
    yield again.join()
    yield from looks(peer, group)
    yield old.beat()
    yield old.sync()
    yield old.join()
    yield old.commit(group, (0, 1, None))
    yield again.beat()
    yield again.commit(group, (0, 1, None))
    yield again.sync()
    yield news(peer, newer(group, 2, instance_id="j"))
    once_more = Classic(peer, group, instance_id="i")
    yield once_more.join()
    yield once_more.sync()
    yield from looks(peer, group)
    yield again.beat()


@play
def a_classic_member_takes_the_seat_of_a_static_newer_one(peer: Peer, group: str) -> Iterator[Any]:
    topic_id = known_topic(peer, group, 2)
    yield peer.ask(newer(group, instance_id="j"))
    old = Classic(peer, group, instance_id="i")
    yield old.join()
    yield old.sync()
    yield peer.ask(newer(group, 2, instance_id="j"))
    yield peer.ask(newer(group, 2, instance_id="j", topic_partitions=owned(topic_id, 1)))
    yield old.beat_until()
    yield old.join()
    yield old.sync()
    yield from looks(peer, group)
    taken = Classic(peer, group, instance_id="j")
    yield peer.ask(newer(group, -2, instance_id="j"))
    yield from looks(peer, group)
    yield taken.join()
    yield from looks(peer, group)
    yield taken.sync()
    yield old.beat()
    yield taken.beat()


@play
def a_classic_member_takes_the_seat_of_a_static_newer_one_in_the_middle_of_moves(peer: Peer, group: str) -> Iterator[Any]:
    known_topic(peer, group, 2)
    yield peer.ask(newer(group, instance_id="j"))
    old = Classic(peer, group, instance_id="i")
    yield old.join()
    yield old.sync()
    yield peer.ask(newer(group, -2, instance_id="j"))
    taken = Classic(peer, group, instance_id="j")
    yield taken.join()
    yield from looks(peer, group)
    yield taken.sync()
    yield old.beat()
    yield taken.beat()


@play
def a_static_member_leaves_for_good(peer: Peer, group: str) -> Iterator[Any]:
    known_topic(peer, group, 2)
    yield peer.ask(newer(group))
    old = Classic(peer, group, instance_id="i")
    yield old.join()
    yield peer.ask(leave(group, ("", "j"), ("who", "i"), ("", "i")))
    yield old.beat()
    yield from looks(peer, group)


@play
def groups_that_cannot_go_over(peer: Peer, group: str) -> Iterator[Any]:
    known_topic(peer, group, 2)
    for number, (wishes, share_of_it, fields) in enumerate(
        (
            (b"wishes", b"share", {}),
            (subscription(group), b"share", {}),
            (subscription(group), b"", {}),
            (subscription(group, user_data=b"mine"), assignment(**{group: [0]}), {}),
            (subscription(group, user_data=b""), assignment(**{group: [0]}, user_data=b""), {}),
            (subscription(group), assignment(user_data=b"mine", **{group: [0]}), {}),
            (subscription(group, version=0), assignment(version=0, **{group: [0]}), {}),
            (subscription(group, version=3, rack_id="r"), assignment(version=3, **{group: [0]}), {}),
            (subscription(group), assignment(nothing=[0]), {}),
            (subscription(group), assignment(**{group: [0]}), {"protocol_type": "connect"}),
        )
    ):
        name = f"{group}-{number}"
        old = Classic(peer, name, group, metadata=wishes, **fields)
        old.join()
        old.sync({old.member_id: share_of_it}, version=4, protocol_type=None, protocol_name=None)
        yield peer.ask(newer(name, subscribed_topic_names=[group]))
        yield from looks(peer, name)


@play
def a_group_that_somebody_joins_who_does_not_know_what_it_has_chosen(peer: Peer, group: str) -> Iterator[Any]:
    known_topic(peer, group, 2)
    with peer_of_same(peer) as other:
        old = alone(peer, group, protocols="range sticky", instance_id="1")
        Classic(other, group, protocols="sticky", instance_id="2").send_join()
        old.beat_until()
        yield peer.ask(newer(group))


@play
def a_group_goes_over_in_the_middle_of_a_rebalance(peer: Peer, group: str) -> Iterator[Any]:
    known_topic(peer, group, 2)
    old = Classic(peer, group)
    yield old.join()
    # it has joined, and not said yet what is to be read
    yield peer.ask(newer(group))
    yield from looks(peer, group)
    yield old.sync()
    yield old.beat()
    with peer_of_same(peer) as other:
        name = f"{group}-joining"
        first, second = Classic(peer, name, group, instance_id="1"), Classic(other, name, group)
        first.join()
        first.sync({first.member_id: assignment(**{group: [0, 1]})})
        second.member_id = other.ask(second.wishes(), 9).member_id
        second.send_join()
        first.beat_until()
        yield peer.ask(newer(name, subscribed_topic_names=[group]))
        yield other.receive(second.wishes(), 9).error_code
        yield from looks(peer, name)
        yield first.beat()


@play
def downgrade_with_two_left(peer: Peer, group: str) -> Iterator[Any]:
    known_topic(peer, group, 4)
    yield peer.ask(newer(group))
    with peer_of_same(peer) as other:
        first, second = Classic(peer, group, instance_id="1"), Classic(other, group, instance_id="2")
        for member in (first, second):
            yield member.join()
            yield member.sync().error_code
        yield peer.ask(newer(group, -1))
        yield from looks(peer, group)
        yield first.beat()
        yield second.beat()
        yield first.commit(group, (0, 1, None), generation=first.generation)
        first.send_join()
        yield second.beat()
        second.send_join()
        got = [first.end_join(), second.end_join()]
        (leads,) = {one.leader for one in got}
        yield sorted(one.generation_id for one in got), leads in (first.member_id, second.member_id)
        for one in got:
            one.members, one.leader = sorted(one.members, key=lambda row: row.metadata), ""
        yield [(one.error_code, one.protocol_type, one.protocol_name, one.skip_assignment) for one in got]


def what_a_policy_allows(peer: Peer, group: str) -> Iterator[Any]:
    known_topic(peer, group, 2)
    old = alone(peer, group)
    yield peer.ask(newer(group))
    yield old.beat()
    yield from looks(peer, group)
    yield peer.ask(newer(group, 2))
    name = f"{group}.newer"
    yield peer.ask(newer(name, subscribed_topic_names=[group]))
    for version in (0, 4, 9):
        answer = peer.ask(Classic(peer, name, group, instance_id="1" if version else None).wishes(), version)
        yield answer
        yield peer.ask(leave(name, answer.member_id))
    joined = Classic(peer, name, group, instance_id="2")
    yield joined.join()
    yield peer.ask(newer(name, -1))
    yield from looks(peer, name)
    yield joined.beat()
    yield joined.join()
    yield joined.leave()
    # a group that nobody is in goes over in any case
    name = f"{group}.empty"
    yield peer.ask(commit(name, group, (0, 1, None)), 9)
    yield peer.ask(newer(name, subscribed_topic_names=[group]))
    yield peer.ask(newer(name, -1))
    yield Classic(peer, name, group).join().error_code
    yield from itertools.islice(looks(peer, name), 6, 10)


def members_that_come_before_all_is_shared_out_again(peer: Peer, group: str) -> Iterator[Any]:
    known_topic(peer, group, 2)
    yield peer.ask(newer(group))
    old = Classic(peer, group)
    yield old.join()
    yield from looks(peer, group)
    yield old.sync()
    yield old.beat()
    yield old.join()
    yield old.beat()
    yield news(peer, newer(group, 2))
    yield old.beat()
    yield old.join()
    yield old.sync()
    yield from looks(peer, group)


def hosts_of(policy: str, pause_ms: int = 0) -> Iterator[tuple[str, str]]:
    """Yield where a fake and a real cluster with that policy are; both share out at once, or after a pause."""
    now = {"group.consumer.assignment.interval.ms": pause_ms, "group.consumer.min.assignment.interval.ms": 0}
    # and do it themselves, not on a thread of its own
    here = {"group.consumer.assignor.offload.enable": "false", "group.consumer.migration.policy": policy}
    settings = GroupSettings(
        consumer_heartbeat_interval_ms=300, consumer_assignment_interval_ms=pause_ms, consumer_migration_policy=policy
    )
    with KafkaCluster(settings={**now, **here}) as real, FakeCluster(group_settings=settings) as fake:
        yield fake.hosts, real.hosts


@pytest.fixture(scope="module")
def both_ways(kafka: KafkaCluster) -> Iterator[tuple[str, str]]:
    """Two clusters whose groups go over to the newer protocol and back."""
    yield from hosts_of("bidirectional")


def compare(act: Play, hosts: tuple[str, str]) -> None:
    """Fail unless a play is the same on both clusters."""
    name = f"{act.__name__}.{next(_numbers)}"
    found, wanted = (answers(act, one, name, MixedComparer(), coordinated) for one in hosts)
    wrong = [f"{at}: {line}" for at, pair in enumerate(zip(found, wanted)) for line in differences(*pair)]
    assert not wrong, "\n".join(wrong)
    assert len(found) == len(wanted)


@pytest.mark.parametrize("act", PLAYS, ids=lambda act: act.__name__)
def test_mixed_groups_do_on_a_fake_cluster_what_they_do_on_a_real_one(act: Play, both_ways: tuple[str, str]) -> None:
    compare(act, both_ways)


@pytest.mark.parametrize("policy", ["upgrade", "downgrade", "disabled", "bidirectional"])
def test_a_policy_allows_on_a_fake_cluster_what_it_allows_on_a_real_one(policy: str, kafka: KafkaCluster) -> None:
    for hosts in hosts_of(policy):
        compare(what_a_policy_allows, hosts)


def test_members_wait_on_a_fake_cluster_for_their_turn_as_on_a_real_one(kafka: KafkaCluster) -> None:
    for hosts in hosts_of("bidirectional", pause_ms=2000):
        compare(members_that_come_before_all_is_shared_out_again, hosts)
