"""Partitions are shared out as Java's assignors do it, completely and evenly, whoever asks and in whatever order."""

from __future__ import annotations

from itertools import cycle
from typing import Any, Callable, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pykafka.exceptions import UnicodeException
from pykafka.membershipprotocol import (
    GroupMembershipProtocol,
    RangeProtocol,
    RoundRobinProtocol,
    decide_partitions_range,
    decide_partitions_roundrobin,
)
from pykafka.protocol import ConsumerGroupProtocolMetadata
from pykafka.protocol.legacy import JoinGroupRequest


class Part(NamedTuple):
    """A partition as far as sharing looks at it; ``leader`` is what PyKafka 2.8 looked at too."""

    id: int
    leader: Any = None


Decide = Callable[..., set[Part]]
DECIDE: dict[str, Decide] = {"range": decide_partitions_range, "roundrobin": decide_partitions_roundrobin}


def range_assignor(members: list[str], count: int) -> dict[str, set[int]]:
    """Share ``count`` partitions out as Java's RangeAssignor describes it: neighbours, the first members get one more."""
    each, extra = count // len(members), count % len(members)
    shares: dict[str, set[int]] = {}
    following = 0
    for place, member in enumerate(sorted(members)):
        size = each + 1 if place < extra else each
        shares[member] = set(range(following, following + size))
        following += size
    return shares


def roundrobin_assignor(members: list[str], count: int) -> dict[str, set[int]]:
    """Share ``count`` partitions out as Java's RoundRobinAssignor describes it: dealt to members in turn."""
    shares: dict[str, set[int]] = {member: set() for member in members}
    for number, member in zip(range(count), cycle(sorted(members))):
        shares[member].add(number)
    return shares


ORACLES = {"range": range_assignor, "roundrobin": roundrobin_assignor}

member_names = st.text("abcxyz-0129é", min_size=1, max_size=12)
groups = st.lists(member_names, min_size=1, max_size=12, unique=True)


def shares_of(decide: Decide, members: list[str], partitions: dict[int, Part]) -> dict[str, set[int]]:
    """Return what each member gets, as numbers."""
    names = [member.encode() for member in members]
    return {name.decode(): {part.id for part in decide(names, partitions, name)} for name in names}


@pytest.mark.parametrize("name", DECIDE)
@given(members=groups, count=st.integers(0, 40), chance=st.randoms(use_true_random=False))
def test_every_partition_has_one_owner_and_nobody_two_more_than_another(
    name: str, members: list[str], count: int, chance: Any
) -> None:
    order = list(range(count))
    chance.shuffle(order)
    # leaders change and dicts come in any order: neither moves a partition
    partitions = {number: Part(number, chance.choice(["a", "b", None])) for number in order}
    shares = shares_of(DECIDE[name], members, partitions)
    assert sorted(number for share in shares.values() for number in share) == list(range(count))
    sizes = [len(share) for share in shares.values()]
    assert max(sizes) - min(sizes) <= 1
    assert shares == ORACLES[name](members, count)
    others = list(members)
    chance.shuffle(others)
    assert shares_of(DECIDE[name], others, dict(sorted(partitions.items()))) == shares


@pytest.mark.parametrize("name", DECIDE)
@given(members=groups, numbers=st.sets(st.integers(0, 2**31 - 1), max_size=20))
def test_gaps_in_the_numbers_change_nothing_but_the_numbers(name: str, members: list[str], numbers: set[int]) -> None:
    ordered = sorted(numbers)
    shares = shares_of(DECIDE[name], members, {number: Part(number) for number in numbers})
    expected = ORACLES[name](members, len(ordered))
    assert shares == {member: {ordered[place] for place in share} for member, share in expected.items()}


def test_partition_ten_comes_after_two() -> None:
    partitions = {number: Part(number) for number in range(12)}
    assert {part.id for part in decide_partitions_range([b"a", b"b"], partitions, b"a")} == {0, 1, 2, 3, 4, 5}
    assert {part.id for part in decide_partitions_roundrobin([b"a", b"b"], partitions, b"b")} == {1, 3, 5, 7, 9, 11}


def test_members_may_be_given_by_any_iterable_as_bytes_or_str_and_twice() -> None:
    partitions = {number: Part(number) for number in range(3)}
    members = {b"m2": None, b"m1": None}
    assert decide_partitions_range(iter(members), partitions, b"m1") == {Part(0), Part(1)}
    assert decide_partitions_range(["m2", b"m1", "m1"], partitions, "m1") == {Part(0), Part(1)}
    assert decide_partitions_range(members, partitions, b"m2") == {Part(2)}


def test_more_members_than_partitions_leave_some_without_any() -> None:
    members = [b"m%d" % number for number in range(5)]
    for decide in DECIDE.values():
        assert [len(decide(members, {0: Part(0), 1: Part(1)}, member)) for member in members] == [1, 1, 0, 0, 0]
        assert decide(members, {}, b"m0") == set()


BAD = {
    "not a member": (([b"a"], {0: Part(0)}, b"b"), ValueError, "consumer_id b'b' is not one of the 1 participants"),
    "no members": (([], {0: Part(0)}, b"b"), ValueError, "not one of the 0 participants"),
    "one member by itself": ((b"abc", {}, b"a"), TypeError, "participants must be the ids of all members, not b'abc'"),
    "no iterable": ((5, {}, b"a"), TypeError, "participants must be the ids of all members, not 5"),
    "a number as a member": (([5], {}, b"a"), TypeError, "a participant must be str or bytes, not int 5"),
    "no UTF-8": (([b"\xff"], {}, b"a"), UnicodeException, "a participant b'\\\\xff' must be UTF-8"),
    "a list of partitions": (([b"a"], [Part(0)], b"a"), TypeError, "partitions must be a dict of number -> Partition"),
    "no consumer_id": (([b"a"], {}, None), TypeError, "consumer_id must be str or bytes, not NoneType None"),
}


@pytest.mark.parametrize("kind", BAD)
@pytest.mark.parametrize("name", DECIDE)
def test_what_cannot_be_shared_out_is_a_named_error(name: str, kind: str) -> None:
    arguments, error, words = BAD[kind]
    with pytest.raises(error, match=words):
        DECIDE[name](*arguments)


def test_a_protocol_is_shown_by_its_names() -> None:
    assert repr(RangeProtocol) == "<GroupMembershipProtocol consumer/range>"
    assert repr(RoundRobinProtocol) == "<GroupMembershipProtocol consumer/roundrobin>"
    assert repr(RangeProtocol._replace(protocol_name="mine")) == "<GroupMembershipProtocol consumer/mine>"


def metadata_in(request: JoinGroupRequest) -> ConsumerGroupProtocolMetadata:
    """Return what a request tells the leader."""
    return ConsumerGroupProtocolMetadata.from_bytestring(request.group_protocols[0][1])


@pytest.mark.parametrize("protocol", [RangeProtocol, RoundRobinProtocol], ids=repr)
def test_consumers_of_two_topics_do_not_disturb_each_other(protocol: GroupMembershipProtocol) -> None:
    requests = [JoinGroupRequest("g", "", topic, protocol) for topic in ("t", b"u")]
    assert [metadata_in(request).topic_names for request in requests] == [[b"t"], [b"u"]]
    assert protocol.metadata.topic_names == [] and protocol.metadata.user_data == b""


def test_the_topics_and_the_user_data_of_ones_own_protocol_are_told() -> None:
    mine = ConsumerGroupProtocolMetadata(1, ["t", "u"], b"rack 7")
    protocol = RangeProtocol._replace(protocol_name=b"mine", metadata=mine)
    told = metadata_in(JoinGroupRequest("g", "", "t", protocol))
    assert (told.version, told.topic_names, told.user_data) == (1, [b"t", b"u"], b"rack 7")
    # topics left behind by a consumer of another topic are not this one's
    assert metadata_in(JoinGroupRequest("g", "", "other", protocol)).topic_names == [b"other"]
    assert mine.topic_names == [b"t", b"u"]


def test_metadata_of_a_kind_of_its_own_is_sent_as_it_is() -> None:
    class Own:
        def get_bytes(self) -> bytes:
            return b"own words"

    for metadata in (Own(), b"own words", bytearray(b"own words")):
        request = JoinGroupRequest("g", "", "t", RangeProtocol._replace(metadata=metadata))
        assert request.group_protocols == [(b"range", b"own words")]
