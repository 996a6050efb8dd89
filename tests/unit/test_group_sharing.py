"""Ways of sharing as users give them: the names of ours, functions of their own, and what comes of it when those are wrong."""

from __future__ import annotations

from typing import Any, Callable, Optional

import pytest

from pykafka._machines.member import Decide, MemberMetadata
from pykafka._machines.sharing import read_subscription
from pykafka.exceptions import KafkaException
from pykafka.group_sharing import BUILT_IN, Sharing
from pykafka.membershipprotocol import (
    CooperativeStickyProtocol,
    GroupMembershipProtocol,
    RangeProtocol,
    RoundRobinProtocol,
    StickyProtocol,
)
from pykafka.protocol import ConsumerGroupProtocolMetadata
from pykafka.protocol.consumer_group import MemberAssignment

THERE = {"a": [0, 1, 2], "b": [0, 1]}


def mine(decide: Callable[..., Any], metadata: Any = None, name: bytes = b"mine") -> GroupMembershipProtocol:
    """Return a way of sharing of a user's own."""
    return GroupMembershipProtocol(b"consumer", name, metadata or ConsumerGroupProtocolMetadata(), decide)


def asked(sharing: Sharing, **topics: str) -> Decide:
    """Return what the leader is asked when these members want topics of one letter each."""
    (protocol,) = sharing.protocols[:1]
    nothing: frozenset[Any] = frozenset()
    rows = [
        MemberMetadata(member, None, protocol.metadata(tuple(wanted), nothing, nothing, -1)) for member, wanted in topics.items()
    ]
    return Decide(1, protocol.name, tuple(rows))


def shares(sharing: Sharing, event: Decide, there: Optional[dict[str, list[int]]] = None) -> dict[str, str]:
    """Return member -> what it is told to read, as "a0 a1"."""
    told, remarks = sharing.decide(event, THERE if there is None else there)
    assert not remarks
    return {
        member: " ".join(
            f"{topic.decode()}{number}"
            for topic, numbers in MemberAssignment.from_bytestring(share).partition_assignment
            for number in numbers
        )
        for member, share in told
    }


# -- ours -------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("protocol", [RangeProtocol, RoundRobinProtocol, StickyProtocol, CooperativeStickyProtocol], ids=repr)
def test_our_ways_of_sharing_have_javas_names_and_a_like_at_the_coordinator(protocol: GroupMembershipProtocol) -> None:
    name = protocol.protocol_name.decode()
    ours, assignor, at_coordinator = BUILT_IN[name]
    assert (ours, assignor.name) == (protocol, name)
    assert Sharing(protocol).server_assignor == at_coordinator
    assert [one.name for one in Sharing(protocol).protocols] == [name]
    assert Sharing(protocol).protocols[0].cooperative is (name == "cooperative-sticky")


def test_there_is_nothing_else_that_is_ours() -> None:
    assert set(BUILT_IN) == {"range", "roundrobin", "sticky", "cooperative-sticky"}
    assert {at_coordinator for _, _, at_coordinator in BUILT_IN.values()} == {"range", "uniform"}


def test_several_ways_are_offered_in_the_order_given_and_each_once() -> None:
    sharing = Sharing([CooperativeStickyProtocol, RangeProtocol, CooperativeStickyProtocol])
    assert [one.name for one in sharing.protocols] == ["cooperative-sticky", "range"]
    assert sharing.server_assignor == "uniform"


@pytest.mark.parametrize(
    ("protocol", "expected"),
    [
        (RangeProtocol, {"m1": "a0 a1 b0", "m2": "a2 b1"}),
        (RoundRobinProtocol, {"m1": "a0 a2 b1", "m2": "a1 b0"}),
        (StickyProtocol, {"m1": "a0 a2 b1", "m2": "a1 b0"}),
        (CooperativeStickyProtocol, {"m1": "a0 a2 b1", "m2": "a1 b0"}),
    ],
    ids=lambda value: repr(value) if isinstance(value, GroupMembershipProtocol) else "",
)
def test_ours_share_out_several_topics(protocol: GroupMembershipProtocol, expected: dict[str, str]) -> None:
    sharing = Sharing(protocol)
    assert shares(sharing, asked(sharing, m1="ab", m2="ab")) == expected


def test_a_name_of_ours_with_a_function_of_the_users_is_the_users() -> None:
    everything_to_the_last = RangeProtocol._replace(
        decide_partitions=lambda members, partitions, me: set(partitions.values()) if me == max(members) else set()
    )
    sharing = Sharing(everything_to_the_last)
    assert sharing.server_assignor is None, "no coordinator shares out like this"
    assert shares(sharing, asked(sharing, m1="a", m2="a")) == {"m1": "", "m2": "a0 a1 a2"}


# -- a user's own -------------------------------------------------------------------------------------------------------------


def by_hand(members: list[bytes], partitions: dict[int, Any], me: bytes) -> set[Any]:
    """Give everything to the first."""
    return set(partitions.values()) if me == min(members) else set()


def test_a_function_of_the_users_is_asked_for_each_topic_and_about_those_only_that_want_it() -> None:
    calls: list[tuple[Any, ...]] = []

    def noting(members: list[bytes], partitions: dict[int, Any], me: bytes) -> set[Any]:
        calls.append((sorted(members), sorted(partitions), {part.topic for part in partitions.values()}, me))
        return by_hand(members, partitions, me)

    sharing = Sharing(mine(noting))
    assert shares(sharing, asked(sharing, m1="ab", m2="b", m3="a")) == {"m1": "a0 a1 a2 b0 b1", "m2": "", "m3": ""}
    assert calls == [
        ([b"m1", b"m3"], [0, 1, 2], {b"a"}, b"m1"),
        ([b"m1", b"m3"], [0, 1, 2], {b"a"}, b"m3"),
        ([b"m1", b"m2"], [0, 1], {b"b"}, b"m1"),
        ([b"m1", b"m2"], [0, 1], {b"b"}, b"m2"),
    ]


def test_a_topic_without_partitions_is_nobodys() -> None:
    sharing = Sharing(mine(by_hand))
    assert shares(sharing, asked(sharing, m1="a", m2="a"), there={}) == {"m1": "", "m2": ""}


def test_a_function_cannot_spoil_the_partitions_for_the_next_member() -> None:
    def greedy(members: list[bytes], partitions: dict[int, Any], me: bytes) -> set[Any]:
        chosen = by_hand(members, partitions, me)
        partitions.clear()
        return chosen

    sharing = Sharing(mine(greedy))
    assert shares(sharing, asked(sharing, m1="a", m2="a")) == {"m1": "a0 a1 a2", "m2": ""}


WRONG: dict[str, tuple[Callable[..., Any], str]] = {
    "leaves one out": (lambda members, partitions, me: {partitions[0]} if me == b"m1" else {partitions[2]}, r"\[0, 2\] of a"),
    "gives one twice": (lambda members, partitions, me: set(partitions.values()), r"\[0, 0, 1, 1, 2, 2\] of a"),
    "gives nothing": (lambda members, partitions, me: set(), r"\[\] of a"),
}


@pytest.mark.parametrize("fault", WRONG)
def test_a_partition_without_exactly_one_reader_is_an_error_that_names_it_all(fault: str) -> None:
    decide, what = WRONG[fault]
    sharing = Sharing(mine(decide))
    with pytest.raises(KafkaException, match=rf"consumer/mine> gave partitions {what} to 2 members.*\[0, 1, 2\] has to have"):
        sharing.decide(asked(sharing, m1="a", m2="a"), THERE)


def test_one_partition_twice_to_the_same_member_is_an_error_too() -> None:
    sharing = Sharing(mine(lambda members, partitions, me: [*partitions.values(), partitions[0]]))
    with pytest.raises(KafkaException, match=r"gave partitions \[0, 0, 1, 2\]"):
        sharing.decide(asked(sharing, m1="a"), THERE)


def _raise(*_: Any) -> Any:
    raise ZeroDivisionError("a bug of mine")


#: What a function may do wrong beyond that -> what the error says.
ODD: dict[str, tuple[Callable[..., Any], str]] = {
    "raises": (_raise, r"of a failed: ZeroDivisionError\('a bug of mine'\)"),
    "returns None": (lambda *_: None, "of a returned None"),
    "returns numbers": (lambda *_: {0, 1, 2}, r"of a returned \{0, 1, 2\}"),
    "invents a partition": (
        lambda members, partitions, me: [*partitions.values(), partitions[0]._replace(id=9)],
        r"\[0, 1, 2, 9\]",
    ),
}


@pytest.mark.parametrize("fault", ODD)
def test_whatever_a_function_does_wrong_the_error_names_it_and_the_topic(fault: str) -> None:
    decide, what = ODD[fault]
    sharing = Sharing(mine(decide))
    with pytest.raises(KafkaException, match=f"decide_partitions of <GroupMembershipProtocol consumer/mine> .*{what}") as raised:
        sharing.decide(asked(sharing, m1="a"), THERE)
    if fault == "raises":
        assert isinstance(raised.value.__cause__, ZeroDivisionError)


# -- what members tell the leader ---------------------------------------------------------------------------------------------


def test_metadata_of_the_users_own_goes_out_as_it_is() -> None:
    own = ConsumerGroupProtocolMetadata(0, [b"b"], b"hello")
    (protocol,) = Sharing(mine(by_hand, own)).protocols
    assert protocol.metadata(("a",), frozenset(), frozenset(), -1) == bytes(own.get_bytes())
    (raw,) = Sharing(mine(by_hand, b"\x00\x00 raw")).protocols
    assert raw.metadata(("a",), frozenset(), frozenset(), -1) == b"\x00\x00 raw"


def test_metadata_without_topics_gets_those_of_the_consumer_and_stays_as_it_is() -> None:
    own = ConsumerGroupProtocolMetadata(user_data=b"hello")
    (protocol,) = Sharing(mine(by_hand, own)).protocols
    for topics in (("b", "a"), ("c",)):
        found = read_subscription(MemberMetadata("m1", None, protocol.metadata(topics, frozenset(), frozenset(), -1)), "mine")
        assert found.topics == tuple(sorted(topics))
    assert own.topic_names == []


def test_members_that_cannot_be_understood_are_remarked_upon_and_given_nothing() -> None:
    for given in (RangeProtocol, mine(by_hand)):
        sharing = Sharing(given)
        event = asked(sharing, m1="a")
        event = event._replace(members=(*event.members, MemberMetadata("m2", None, b"\x00")))
        assert sharing.wanted(event) == ["a"]
        told, remarks = sharing.decide(event, THERE)
        assert [member for member, _ in told] == ["m1", "m2"]
        assert MemberAssignment.from_bytestring(dict(told)["m2"]).partition_assignment == []
        (remark,) = remarks
        assert remark.startswith("member m2 is given nothing to read: ")
