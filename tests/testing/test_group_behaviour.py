"""What groups do, on a fake cluster and on a real broker of the same version: every field of every answer is the same."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from typing import Any

import pytest

from pykafka.protocol import messages as m
from pykafka.testing import FakeCluster
from pykafka.testing.group_common import GroupSettings

from ..brokers import KafkaCluster
from .group_requests import (
    GroupComparer,
    beat,
    commit,
    consumer,
    coordinated,
    fetch_offsets,
    in_state,
    join,
    known_topic,
    leave,
    listed,
    looks,
    new_member,
    news,
    owned,
    peer_of_same,
    stable,
    sync,
)
from .peer import Peer, Play, Plays, answers, differences, new_topic

PLAYS = Plays()
play = PLAYS.add
_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def fake() -> Iterator[FakeCluster]:
    """A fake cluster as the real one is set up."""
    settings = GroupSettings(consumer_heartbeat_interval_ms=300, consumer_assignment_interval_ms=1000)
    with FakeCluster(group_settings=settings) as cluster:
        yield cluster


# -- classic groups -----------------------------------------------------------------------------------------------------


@play
def a_group_that_is_not_there(peer: Peer, group: str) -> Iterator[Any]:
    yield from looks(peer, group)
    for version in range(10):
        yield peer.ask(join(group, "who"), version)
    for version in range(6):
        yield peer.ask(sync(group, "who", 1, protocol_type="consumer", protocol_name="range"), version)
    for version in range(5):
        yield peer.ask(beat(group, "who", 1), version)
    for version in range(6):
        yield peer.ask(leave(group, "who"), version)
    yield peer.ask(leave(group))
    for version in range(3):
        yield peer.ask(m.DeleteGroupsRequest(groups_names=[group]), version)
    yield from looks(peer, group)


@play
def a_group_without_a_name(peer: Peer, group: str) -> Iterator[Any]:
    yield peer.ask(join(""))
    yield peer.ask(sync("", "who", 1), 4)
    yield peer.ask(beat("", "who", 1))
    yield peer.ask(leave("", "who"))
    yield from itertools.islice(looks(peer, ""), 9)
    yield peer.ask(m.DeleteGroupsRequest(groups_names=[""]))
    yield peer.ask(fetch_offsets("", None), 7)
    yield peer.ask(fetch_offsets("", None), 9)
    yield peer.ask(consumer("", "who", 0))


@play
def joining_in_every_version(peer: Peer, group: str) -> Iterator[Any]:
    for version in range(10):
        answer = peer.ask(join(f"{group}-{version}", protocols="range sticky"), version)
        yield answer
        if answer.error_code:
            answer = peer.ask(join(f"{group}-{version}", answer.member_id, protocols="range sticky"), version)
            yield answer
        member = answer.member_id
        shares = {member: b"share", "who": b"nothing"}
        yield peer.ask(
            sync(f"{group}-{version}", member, 1, shares, protocol_type="consumer", protocol_name="range"), min(version, 5)
        )
        yield peer.ask(beat(f"{group}-{version}", member, 1), min(version, 4))
        yield peer.ask(leave(f"{group}-{version}", member), min(version, 5))


@play
def each_state_of_a_group(peer: Peer, group: str) -> Iterator[Any]:
    member = new_member(peer, group)
    yield from looks(peer, group)
    yield peer.ask(join(group, member))
    yield from looks(peer, group)
    yield peer.ask(beat(group, member, 1))
    yield peer.ask(commit(group, "none", (0, 1, None), member_id=member, generation_id_or_member_epoch=1), 9)
    yield peer.ask(sync(group, member, 1, {member: b"share"}), 4)
    yield from looks(peer, group)
    yield peer.ask(m.DeleteGroupsRequest(groups_names=[group]))
    for states in (["Stable"], ["stable", "Empty"], ["Empty"], ["what"]):
        yield listed(peer, group, 4, states_filter=states)
    for types in (["classic"], ["Classic", "share"], ["consumer"]):
        yield listed(peer, group, 5, types_filter=types)
    waiting = join(group, member, metadata=b"leads")
    new_member(peer, group)
    peer.send(waiting, 9)
    with peer_of_same(peer) as other:
        in_state(other, group, "PreparingRebalance")
        yield from looks(other, group)
        yield other.ask(beat(group, member, 1))
        yield other.ask(sync(group, member, 1), 4)
        yield other.ask(m.DeleteGroupsRequest(groups_names=[group]))
        yield other.ask(leave(group, member))
        yield peer.receive(waiting, 9)


@play
def wrong_members_and_generations(peer: Peer, group: str) -> Iterator[Any]:
    member = stable(peer, group)
    for who, generation in (("who", 1), ("", 1), (member, 0), (member, 2), (member, -1)):
        yield peer.ask(beat(group, who, generation))
        yield peer.ask(sync(group, who, generation), 4)
        yield peer.ask(beat(group, who, generation, group_instance_id="i"))
    yield peer.ask(join(group, "who"))
    yield peer.ask(join(group, member, group_instance_id="i"))
    yield peer.ask(leave(group, "who", "", ("", "i"), (member, "i"), member, member))
    yield from looks(peer, group)
    yield peer.ask(beat(group, member, 1))
    yield peer.ask(beat(group, member, 2))
    yield peer.ask(sync(group, member, 2), 4)
    yield peer.ask(join(group, member))
    yield peer.ask(m.DeleteGroupsRequest(groups_names=[group, group]))
    yield from looks(peer, group)


@play
def protocols_that_do_not_fit(peer: Peer, group: str) -> Iterator[Any]:
    yield peer.ask(join(group, protocols=""))
    yield peer.ask(join(group, protocol_type=""))
    yield listed(peer, group)
    member = stable(peer, group, protocols="range sticky")
    for options in ({"protocols": "roundrobin"}, {"protocol_type": "connect"}, {"protocols": ""}):
        yield peer.ask(join(group, **options))
        yield peer.ask(join(group, member, **options))
    for kind, name in itertools.product(("consumer", "connect", None), ("range", "sticky", None)):
        yield peer.ask(sync(group, member, 1, protocol_type=kind, protocol_name=name))


@play
def sessions_out_of_bounds(peer: Peer, group: str) -> Iterator[Any]:
    for session_ms in (-1, 0, 5999, 6000, 1800000, 1800001):
        yield peer.ask(join(group, session_timeout_ms=session_ms))


@play
def joining_again_with_the_same_wishes(peer: Peer, group: str) -> Iterator[Any]:
    member = new_member(peer, group)
    yield peer.ask(join(group, member))
    yield peer.ask(join(group, member))
    yield peer.ask(sync(group, member, 1, {member: b"share"}), 4)
    yield peer.ask(sync(group, member, 1, {member: b"other"}), 4)
    yield peer.ask(join(group, member))
    yield peer.ask(beat(group, member, 1))
    yield peer.ask(join(group, member, metadata=b"other"))


@play
def two_members(peer: Peer, group: str) -> Iterator[Any]:
    first = stable(peer, group)
    second = new_member(peer, group)
    with peer_of_same(peer) as other:
        waiting = join(group, second)
        other.send(waiting, 9)
        in_state(peer, group, "PreparingRebalance")
        yield peer.ask(beat(group, first, 1))
        yield peer.ask(join(group, first))
        yield other.receive(waiting, 9)
        waiting = sync(group, second, 2)
        other.send(waiting, 4)
        yield peer.ask(beat(group, second, 2))
        yield peer.ask(sync(group, first, 2, {second: b"2"}), 4)
        yield other.receive(waiting, 4)
        yield peer.ask(m.DescribeGroupsRequest(groups=[group]))
        yield peer.ask(join(group, second))
        yield peer.ask(leave(group, first))
        yield peer.ask(beat(group, second, 2))
        yield peer.ask(join(group, second))


@play
def a_static_member_that_comes_back(peer: Peer, group: str) -> Iterator[Any]:
    for version in range(5, 10):
        name = f"{group}-{version}"
        first = peer.ask(join(name, group_instance_id="i"), version)
        yield first
        yield peer.ask(sync(name, first.member_id, 1, {first.member_id: b"share"}, group_instance_id="i"), 4)
        second = peer.ask(join(name, group_instance_id="i", metadata=b"other"), version)
        yield second
        yield peer.ask(sync(name, second.member_id, 1, group_instance_id="i"), 4)
        for who in (first.member_id, second.member_id, "who", ""):
            yield peer.ask(beat(name, who, 1, group_instance_id="i"))
            yield peer.ask(sync(name, who, 1, group_instance_id="i"), 4)
            yield peer.ask(
                commit(name, "none", (0, 1, None), member_id=who, generation_id_or_member_epoch=1, group_instance_id="i"), 9
            )
        yield peer.ask(join(name, first.member_id, group_instance_id="i"), version)
        yield from itertools.islice(looks(peer, name), 4, 6)
        yield peer.ask(leave(name, (first.member_id, "i"), ("", "other"), ("", "i")))
        yield from itertools.islice(looks(peer, name), 4, 6)


@play
def a_static_member_with_another_favourite(peer: Peer, group: str) -> Iterator[Any]:
    first = peer.ask(join(group, group_instance_id="i", protocols="range sticky")).member_id
    yield peer.ask(sync(group, first, 1, {first: b"share"}, group_instance_id="i"), 4)
    yield peer.ask(join(group, group_instance_id="i", protocols="sticky range"))


@play
def a_static_member_that_comes_back_before_it_has_synced(peer: Peer, group: str) -> Iterator[Any]:
    yield peer.ask(join(group, group_instance_id="i"))
    yield peer.ask(join(group, group_instance_id="i"))


# -- offsets ------------------------------------------------------------------------------------------------------------


@play
def commits_of_nobody_in_every_version(peer: Peer, group: str) -> Iterator[Any]:
    topic_id = new_topic(peer, group, 2)
    for version in range(2, 11):
        name = f"{group}-{version}"
        rows = [(0, version, "note"), (1, 5, None), (2, 5, None), (-1, 5, None)]
        yield peer.ask(commit(name, group, *rows, topic_id=topic_id), version)
        for fetched in range(1, 11):
            yield peer.ask(fetch_offsets(name, group, 0, 1, 2, topic_id=topic_id), fetched)
        for fetched in range(2, 11):
            yield peer.ask(fetch_offsets(name, None), fetched)
    yield peer.ask(m.DescribeGroupsRequest(groups=[name]))
    yield listed(peer, name)
    yield peer.ask(m.DeleteGroupsRequest(groups_names=[name]))
    yield peer.ask(fetch_offsets(name, None))


@play
def offsets_of_what_is_not_there(peer: Peer, group: str) -> Iterator[Any]:
    topic_id = new_topic(peer, group)
    yield peer.ask(commit(group, "no-such-topic", (0, 1, None)), 9)
    yield peer.ask(commit(group, "", (0, 1, None), topic_id=b"?" * 16), 10)
    yield peer.ask(commit(group, "", (0, 1, None)), 10)
    yield listed(peer, group)
    for version in (1, 7, 8, 9):
        yield peer.ask(fetch_offsets(group, "no-such-topic", 0), version)
    yield peer.ask(fetch_offsets(group, "", 0, topic_id=b"?" * 16), 10)
    yield peer.ask(fetch_offsets(group, "", 0, topic_id=topic_id), 10)
    for version in (5, 8, 9):
        yield peer.ask(commit(group, group, (0, 1, None), generation_id_or_member_epoch=3, member_id="who"), version)


@play
def notes_that_are_long(peer: Peer, group: str) -> Iterator[Any]:
    new_topic(peer, group, 3)
    rows = ((0, 1, "x" * 4096), (1, 1, "x" * 4097), (2, 1, "ä" * 4096))
    yield peer.ask(commit(group, group, *rows), 9)
    yield peer.ask(fetch_offsets(group, group, 0, 1, 2), 9)


@play
def odd_offsets(peer: Peer, group: str) -> Iterator[Any]:
    new_topic(peer, group, 2)
    yield peer.ask(commit(group, group, (0, -1, None), (1, -5, None)), 9)
    yield peer.ask(fetch_offsets(group, group, 0, 1), 9)
    yield peer.ask(fetch_offsets(group, None), 9)


@play
def commits_of_members_and_others(peer: Peer, group: str) -> Iterator[Any]:
    new_topic(peer, group)
    member = new_member(peer, group)
    rows = (0, 1, None)
    yield peer.ask(commit(group, group, rows), 9)
    yield peer.ask(join(group, member))
    for version in (2, 5, 9):
        for who, generation in ((member, 1), (member, 2), (member, -1), ("who", 1), ("", 1), ("", -1), ("who", -1)):
            yield peer.ask(commit(group, group, rows, member_id=who, generation_id_or_member_epoch=generation), version)
    yield peer.ask(sync(group, member, 1, {member: b"share"}), 4)
    for version in (2, 5, 9):
        for who, generation in ((member, 1), (member, 2), (member, -1), ("who", 1), ("", 1), ("", -1), ("who", -1)):
            yield peer.ask(commit(group, group, rows, member_id=who, generation_id_or_member_epoch=generation), version)
    yield peer.ask(commit(group, group, rows, member_id=member, generation_id_or_member_epoch=1, group_instance_id="i"), 9)
    yield peer.ask(fetch_offsets(group, group, 0, member_id="who", epoch=7), 9)
    yield peer.ask(leave(group, member))
    for who, generation in ((member, 1), (member, 2), ("who", -1), ("", -1)):
        yield peer.ask(commit(group, group, rows, member_id=who, generation_id_or_member_epoch=generation), 9)


# -- groups of the newer protocol -----------------------------------------------------------------------------------------


@play
def heartbeats_that_make_no_sense(peer: Peer, group: str) -> Iterator[Any]:
    yield peer.ask(consumer(group, "me", 5))
    yield peer.ask(consumer(group, "me", -1))
    yield peer.ask(consumer(group, "", 0))
    yield peer.ask(consumer(group, "", 0, topic_partitions=None), 0)
    for bad in (
        {"instance_id": ""},
        {"rack_id": ""},
        {"rebalance_timeout_ms": -1},
        {"topic_partitions": None},
        {"topic_partitions": owned(b"?" * 16, 0)},
        {"subscribed_topic_names": None},
        {"server_assignor": "what"},
        {"server_assignor": ""},
        {"subscribed_topic_regex": "("},
        {"subscribed_topic_regex": "a(?=b)"},
        {"subscribed_topic_regex": "(a)\\1"},
    ):
        yield peer.ask(consumer(group, "me", 0, **bad))
    yield peer.ask(consumer(group, "me", -2))
    yield peer.ask(consumer(group, "me", -3))
    yield from looks(peer, group)


@play
def a_life_of_a_consumer(peer: Peer, group: str) -> Iterator[Any]:
    topic_id = known_topic(peer, group, 3)
    yield peer.ask(consumer(group, "me", 0, subscribed_topic_names=[group]))
    yield from looks(peer, group)
    yield peer.ask(m.DeleteGroupsRequest(groups_names=[group]))
    yield peer.ask(consumer(group, "me", 2))
    yield peer.ask(consumer(group, "me", 2, topic_partitions=owned(topic_id, 0, 1, 2)))
    yield peer.ask(consumer(group, "me", 0, subscribed_topic_names=[group]))
    for epoch in (1, 3):
        yield peer.ask(consumer(group, "me", epoch))
    yield peer.ask(consumer(group, "who", 2))
    full = {"rebalance_timeout_ms": 5000, "topic_partitions": owned(topic_id, 0)}
    yield peer.ask(consumer(group, "me", 2, subscribed_topic_names=[group], **full))
    yield peer.ask(consumer(group, "me", -1))
    yield peer.ask(consumer(group, "me", -1))
    yield from looks(peer, group)
    yield peer.ask(consumer(group, "me", 0, subscribed_topic_names=[group]))
    yield peer.ask(consumer(group, "me", -1))
    yield peer.ask(m.DeleteGroupsRequest(groups_names=[group]))
    yield from looks(peer, group)


@play
def two_consumers_and_a_partition_that_moves(peer: Peer, group: str) -> Iterator[Any]:
    topic_id = known_topic(peer, group, 2)
    wanted = {"subscribed_topic_names": [group], "server_assignor": "range"}
    yield peer.ask(consumer(group, "a", 0, **wanted))
    yield peer.ask(consumer(group, "b", 0, **wanted))
    yield from looks(peer, group)
    yield news(peer, consumer(group, "a", 2))
    yield from looks(peer, group)
    yield peer.ask(consumer(group, "b", 2))
    yield peer.ask(consumer(group, "a", 2, topic_partitions=owned(topic_id, 0, 1)))
    yield peer.ask(consumer(group, "a", 2))
    yield peer.ask(consumer(group, "a", 2, topic_partitions=owned(topic_id, 0)))
    yield peer.ask(consumer(group, "a", 2, topic_partitions=owned(topic_id, 0)))
    yield peer.ask(consumer(group, "a", 2, topic_partitions=owned(topic_id, 0, 1)))
    yield peer.ask(consumer(group, "b", 3))
    yield peer.ask(consumer(group, "b", 3, topic_partitions=owned(topic_id, 1)))
    yield from looks(peer, group)
    yield peer.ask(consumer(group, "b", -1))
    yield news(peer, consumer(group, "a", 3, topic_partitions=owned(topic_id, 0)))
    yield from looks(peer, group)


@play
def another_subscription(peer: Peer, group: str) -> Iterator[Any]:
    topic_id, other = known_topic(peer, group, 2), group + "-other"
    known_topic(peer, other, 1)
    yield peer.ask(consumer(group, "me", 0, subscribed_topic_names=[group, other]))
    yield peer.ask(consumer(group, "me", 2, subscribed_topic_names=[other, group]))
    yield peer.ask(consumer(group, "me", 2, rack_id="r1"))
    yield peer.ask(consumer(group, "me", 2, subscribed_topic_names=[group], topic_partitions=[]))
    yield from looks(peer, group)
    yield news(peer, consumer(group, "me", 2))
    yield peer.ask(consumer(group, "me", 3, subscribed_topic_names=[], topic_partitions=owned(topic_id, 0, 1)))
    yield from looks(peer, group)
    yield news(peer, consumer(group, "me", 3, topic_partitions=[]))
    yield from looks(peer, group)


#: What RE2 knows and what it does not: groups, flags, escapes, classes, brackets, repetitions, quotations.
PATTERNS = (
    *("a", "a|", "()", "((((a))))", "(", ")", "a)", "(a", "(?", "(?:a)", "(?:", "(?>a)", "(?#c)a", "(?(1)a|b)", "(a)\\1"),
    *("(?P<n>a)", "(?<n>a)", "(?P<1>a)", "(?P<n>a)(?P<n>b)", "(?P=n)", "(?P>n)", "(?P<>a)", "(?P<n", "(?=a)", "(?<=a)", "(?!a)"),
    *("(?i)a", "a(?i)b", "(?-i)a", "(?i-s:a)", "(?s).", "(?U)a+", "(?m)^a$", "(?x)a", "(?a)a", "(?u)a", "(?i", "(?-)", "(?i-)a"),
    *("\\d\\w\\s\\D\\W\\S", "\\b\\B", "\\A", "\\z", "\\Z", "\\a\\f\\t\\n\\r\\v", "\\e"),
    *("\\C", "\\G", "\\R", "\\X", "\\h", "\\_", "\\-", "\\é"),
    *("\\x41", "\\x{41}", "\\x", "\\x4", "\\x{110000}", "\\u0041", "\\N{DIGIT ONE}"),
    *("\\0", "\\012", "\\12", "\\1", "\\18", "\\8", "\\"),
    *("\\pL", "\\pl", "\\p{L}+", "\\P{L}", "\\p{^L}", "\\p{Greek}", "\\p{Nope}", "\\p", "\\pX", "[\\p{L}x]", "é"),
    *("[a-", "[b-a]", "[]a]", "[^]a]", "[a&&b]", "[a||b]", "[-a]"),
    *("[a-]", "[\\d-z]", "[a-\\d]", "[a\\]", "[z-\\x41]", "[[a]", "]"),
    *("[[:alpha:]]+", "[[:^alpha:]]", "[[:word:]]", "[[:nope:]]", "[[:^nope:]]", "[[=a=]]", "[[.a.]]", "[:alpha:]"),
    *("*a", "+", "?", "a|*", "(?i)*", "^*", "$+", "^{2}", "\\b+", "a**", "a*+", "a++", "a*?", "a*??", "a+?+", "a{2,}?", "a{2}?+"),
    *("a{2}", "a{,2}", "a{1,}", "a{1000}", "a{1001}", "a{1,1001}"),
    *("a{2,1}", "a{1}{2}", "(a{100}){100}", "x{", "x{a}", "a{1", "}"),
    *("\\Qa.b\\E", "\\Q", "\\Q(\\E+", "\\Qa\\E*", "\\E"),
)


@play
def patterns_of_all_kinds(peer: Peer, group: str) -> Iterator[Any]:
    for number, pattern in enumerate(PATTERNS):
        answer = peer.ask(consumer(f"{group}-{number}", "me", 0, subscribed_topic_names=None, subscribed_topic_regex=pattern))
        # epochs depend on when a broker looks for topics
        yield pattern, answer.error_code, answer.error_message


#: What is behind the names of some topics, and what finds some of them.
ENDS = ("-a", "-B", ".c", "_1", "-22", "-a.b")
FINDS = (
    *("-[[:alpha:]]", "-\\pL", "[-_]\\d+", "\\Q-a.b\\E"),
    *("(?i:-b)", "-(?i)b|-A", "(-a|(?i)\\.C|_1)", "[^-]c", ".[^[:alnum:]]?\\w"),
    *("-[^\\pL]+", "\\W\\p{^N}", "(?U)-a.*", "-.{2,}", "\\x2d\\x{61}", "-a\\z", "-\\P{Lu}"),
)


@play
def topics_that_patterns_find(peer: Peer, group: str) -> Iterator[Any]:
    for end in ENDS:
        known_topic(peer, group + end, 1)
    for number, pattern in enumerate(FINDS):
        name = f"{group}={number}"
        peer.ask(consumer(name, "me", 0, subscribed_topic_names=None, subscribed_topic_regex=group + pattern))
        yield sorted(row.topic_name for row in assigned_by_a_pattern(peer, name).assignment.topic_partitions)


def assigned_by_a_pattern(peer: Peer, group: str) -> Any:
    """Return the only member of a group, once topics were found for it: a broker looks for them by and by."""
    deadline = time.monotonic() + 10
    while True:
        answer = peer.ask(m.ConsumerGroupDescribeRequest(group_ids=[group]))
        (member,) = answer.groups[0].members
        if member.assignment.topic_partitions and answer.groups[0].group_state == "Stable":
            return member
        assert time.monotonic() < deadline
        peer.ask(consumer(group, "me", member.member_epoch))


@play
def topics_by_a_pattern(peer: Peer, group: str) -> Iterator[Any]:
    known_topic(peer, group + "-a", 1)
    known_topic(peer, group + "-b", 1)
    peer.ask(consumer(group, "me", 0, subscribed_topic_names=None, subscribed_topic_regex=f"{group}-[ax]"))
    member = assigned_by_a_pattern(peer, group)
    yield member.assignment
    yield member.subscribed_topic_names, member.subscribed_topic_regex


@play
def a_topic_that_is_not_there(peer: Peer, group: str) -> Iterator[Any]:
    yield peer.ask(consumer(group, "me", 0, subscribed_topic_names=[group]))
    new_topic(peer, group, 2)
    yield news(peer, consumer(group, "me", 2))
    yield from looks(peer, group)


@play
def static_consumers(peer: Peer, group: str) -> Iterator[Any]:
    topic_id = known_topic(peer, group, 2)
    wanted = {"subscribed_topic_names": [group], "instance_id": "i"}
    yield peer.ask(consumer(group, "a", 0, **wanted))
    yield peer.ask(consumer(group, "b", 0, **wanted))
    yield peer.ask(consumer(group, "b", 2, instance_id="i"))
    yield peer.ask(consumer(group, "a", 2, instance_id="j"))
    yield peer.ask(consumer(group, "b", -2, instance_id="i"))
    yield peer.ask(consumer(group, "b", -2, instance_id="j"))
    yield peer.ask(consumer(group, "a", -2, instance_id="i"))
    yield from looks(peer, group)
    yield peer.ask(consumer(group, "a", 2, instance_id="i"))
    yield peer.ask(consumer(group, "b", 0, **wanted))
    yield from looks(peer, group)
    yield peer.ask(consumer(group, "b", 2, instance_id="i", topic_partitions=owned(topic_id, 0, 1)))
    yield peer.ask(consumer(group, "a", 2, instance_id="i"))
    yield peer.ask(consumer(group, "b", -1, instance_id="i"))
    yield from looks(peer, group)


@play
def commits_of_consumers_and_others(peer: Peer, group: str) -> Iterator[Any]:
    topic_id = known_topic(peer, group, 2)
    rows = (0, 1, None)
    yield peer.ask(consumer(group, "me", 0, subscribed_topic_names=[group]))
    for version in (2, 8, 9, 10):
        for who, epoch in (("me", 2), ("me", 0), ("me", 3), ("me", -1), ("who", 2), ("", -1), ("", 2)):
            yield peer.ask(
                commit(group, group, rows, topic_id=topic_id, member_id=who, generation_id_or_member_epoch=epoch), version
            )
    for who, epoch in (("me", 2), ("me", 0), ("me", 3), ("who", 2), ("", -1), (None, -1), ("me", -1)):
        yield peer.ask(fetch_offsets(group, group, 0, member_id=who, epoch=epoch), 9)
    yield peer.ask(fetch_offsets(group, group, 0), 8)
    yield peer.ask(consumer(group, "me", -1))
    yield peer.ask(commit(group, group, rows, member_id="me", generation_id_or_member_epoch=2), 9)
    yield peer.ask(commit(group, group, rows), 9)


@play
def commits_of_an_older_epoch(peer: Peer, group: str) -> Iterator[Any]:
    other = group + "-other"
    known_topic(peer, group, 2)
    known_topic(peer, other, 1)
    yield peer.ask(consumer(group, "me", 0, subscribed_topic_names=[group]))
    yield news(peer, consumer(group, "me", 2, subscribed_topic_names=[group, other]))
    for epoch in (0, 1, 2, 3, 4):
        for topic, partition in ((group, 0), (other, 0), (other, 1)):
            row = (partition, 1, None)
            yield peer.ask(commit(group, topic, row, member_id="me", generation_id_or_member_epoch=epoch), 9)
        yield peer.ask(fetch_offsets(group, group, 0, member_id="me", epoch=epoch), 9)


@play
def a_consumer_in_a_classic_group(peer: Peer, group: str) -> Iterator[Any]:
    known_topic(peer, group, 1)
    member = stable(peer, group)
    refused = peer.ask(consumer(group, "me", 0, subscribed_topic_names=[group]))
    # the real one could take in a consumer if it understood what the others say
    refused.error_message = None
    yield refused
    yield peer.ask(consumer(group, "me", 1))
    yield peer.ask(m.ConsumerGroupDescribeRequest(group_ids=[group]))
    yield peer.ask(commit(group, group, (0, 7, None), member_id=member, generation_id_or_member_epoch=1), 9)
    yield peer.ask(leave(group, member))
    yield peer.ask(consumer(group, "me", 0, subscribed_topic_names=[group]))
    yield peer.ask(fetch_offsets(group, None))
    yield peer.ask(consumer(group, "me", -1))
    yield peer.ask(join(group))
    yield peer.ask(fetch_offsets(group, None))
    yield from looks(peer, group)


@pytest.mark.parametrize("act", PLAYS, ids=lambda act: act.__name__)
def test_groups_do_on_a_fake_cluster_what_they_do_on_a_real_one(act: Play, fake: FakeCluster, kafka: KafkaCluster) -> None:
    for _attempt in range(3):
        # a broker that is slow today may share out between two requests where it usually does after both
        name = f"{act.__name__}-{next(_numbers)}"
        found, wanted = (answers(act, hosts, name, GroupComparer(), coordinated) for hosts in (fake.hosts, kafka.hosts))
        wrong = [f"{at}: {line}" for at, pair in enumerate(zip(found, wanted)) for line in differences(*pair)]
        if not wrong:
            break
    assert not wrong, "\n".join(wrong)
    assert len(found) == len(wanted)
