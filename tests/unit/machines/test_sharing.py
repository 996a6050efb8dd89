"""What members tell their leader: as other clients write it, and as nobody should."""

from __future__ import annotations

import struct
import time
import tracemalloc
from typing import Any, Optional

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pykafka._machines.assignors import ASSIGNORS, COOPERATIVE_STICKY, RANGE, STICKY, Assignor, MemberSubscription
from pykafka._machines.member import MemberMetadata, Owned
from pykafka._machines.sharing import decide, encode_assignment, protocol_of, read_subscription, readable, wanted_topics
from pykafka.common import TopicPartition
from pykafka.exceptions import ProtocolError
from pykafka.protocol.api import encode_data
from pykafka.protocol.consumer_group import MemberAssignment
from pykafka.protocol.messages import ConsumerProtocolSubscription

TOPICS = ("a", "b-topic")


def tps(**numbers: list[int]) -> tuple[TopicPartition, ...]:
    return tuple(TopicPartition(topic.replace("_", "-"), number) for topic, ids in numbers.items() for number in ids)


def read(metadata: bytes, instance_id: Optional[str] = None, protocol: str = "cooperative-sticky") -> MemberSubscription:
    return read_subscription(MemberMetadata("m1", instance_id, metadata), protocol)


# -- as other clients write it: what a broker had of their members (DescribeGroups) --------------------------------------

RECORDED = {
    # kafka-python 3.0.12
    "kafka-python range": ("0000000000020007622d746f70696300016100000000", (), -1, None),
    "kafka-python sticky, joining": ("0000000000020007622d746f70696300016100000000", (), -1, None),
    "kafka-python sticky, joining again": (
        "0000000000020007622d746f7069630001610000002a0001"
        "0000000200016100000001000000030007622d746f70696300000002000000000000000100000003",
        tps(a=[3], b_topic=[0, 1]),
        3,
        None,
    ),
    "kafka-python cooperative-sticky, joining": ("0001000000020001610007622d746f7069630000000000000000", (), -1, None),
    "kafka-python cooperative-sticky, joining again": (
        "0001000000020001610007622d746f706963000000000000000200016100000001000000030007622d746f706963000000020000000000000001",
        tps(a=[3], b_topic=[0, 1]),
        -1,
        None,
    ),
    # confluent-kafka, which is librdkafka
    "librdkafka range": ("0003000000020001610007622d746f7069630000000000000000ffffffff0000", (), -1, None),
    "librdkafka cooperative-sticky, joining again": (
        "0003000000020001610007622d746f70696300000028"
        "0000000200016100000001000000030007622d746f70696300000002000000000000000100000002"
        "0000000200016100000001000000030007622d746f706963000000020000000000000001000000020000",
        tps(a=[3], b_topic=[0, 1]),
        2,
        "",
    ),
}


@pytest.mark.parametrize("name", RECORDED)
def test_subscriptions_of_other_clients_are_understood(name: str) -> None:
    hexed, owned, generation, rack = RECORDED[name]
    found = read(bytes.fromhex(hexed), "i-1")
    assert sorted(found.topics) == sorted(TOPICS)
    assert (found.owned, found.generation, found.instance_id) == (owned, generation, "i-1")
    assert rack is None or found.rack == rack


def held(topics: dict[str, list[int]], generation: Optional[int]) -> bytes:
    """Return user data as Java's StickyAssignor writes it: v0 without, v1 with the generation."""
    chunks = [struct.pack(">i", len(topics))]
    for topic, ids in topics.items():
        chunks.append(struct.pack(f">h{len(topic)}si{len(ids)}i", len(topic), topic.encode(), len(ids), *ids))
    return b"".join(chunks) + (b"" if generation is None else struct.pack(">i", generation))


@pytest.mark.parametrize("generation", [None, 0, 7])
@pytest.mark.parametrize("version", [0, 1])
def test_user_data_of_javas_sticky_assignor_says_what_was_held(version: int, generation: Optional[int]) -> None:
    subscription = ConsumerProtocolSubscription(topics=["a"], user_data=held({"a": [0, 2], "b": []}, generation))
    found = read(encode_data(subscription, version))
    assert found.owned == tps(a=[0, 2])
    assert found.generation == (-1 if generation is None else generation)


def test_what_the_subscription_itself_says_counts_more_than_user_data() -> None:
    row = ConsumerProtocolSubscription.TopicPartition(topic="a", partitions=[1])
    subscription = ConsumerProtocolSubscription(
        topics=["a"], user_data=held({"a": [0]}, 3), owned_partitions=[row], generation_id=9
    )
    assert read(encode_data(subscription, 2)) == MemberSubscription(("a",), tps(a=[1]), 9)
    assert read(encode_data(subscription, 1)) == MemberSubscription(("a",), tps(a=[1]), 3)


@pytest.mark.parametrize("version", range(4))
@pytest.mark.parametrize("now", [[], [1]])
def test_sticky_members_say_what_they_had_in_their_user_data_whatever_the_subscription_has(version: int, now: list[int]) -> None:
    rows = [ConsumerProtocolSubscription.TopicPartition(topic="a", partitions=now)]
    user_data = held({"a": [0, 2]}, 3)
    subscription = ConsumerProtocolSubscription(topics=["a"], user_data=user_data, owned_partitions=rows, generation_id=9)
    found = read(encode_data(subscription, version), protocol="sticky")
    assert (found.owned, found.generation) == (tps(a=[0, 2]), 3)
    subscription.user_data = None
    found = read(encode_data(subscription, version), protocol="sticky")
    assert (found.owned, found.generation) == ((), -1)


def test_sticky_members_that_gave_everything_up_to_join_get_back_what_they_had() -> None:
    had = {"m1": tps(a=[0, 3]), "m2": tps(a=[1, 2])}
    metadata = protocol_of(STICKY).metadata
    rows = [MemberMetadata(member, None, metadata(("a",), frozenset(), frozenset(share), 5)) for member, share in had.items()]
    members, bad = readable(rows, STICKY.name)
    assert not bad
    assert {member: tuple(share) for member, share in STICKY.assign(members, {"a": range(4)}).items()} == had


def test_a_version_that_is_still_to_come_is_read_as_far_as_it_is_known() -> None:
    subscription = ConsumerProtocolSubscription(topics=["a"], generation_id=4, rack_id="r1")
    known = encode_data(subscription, 3)
    later = struct.pack(">h", 77) + known[2:] + b"whatever it has more of"
    assert read(later) == MemberSubscription(("a",), (), 4, None, "r1")


def test_bytes_after_the_end_are_of_no_interest() -> None:
    subscription = encode_data(ConsumerProtocolSubscription(topics=["a"]), 0)
    assert read(subscription + bytes(1000)).topics == ("a",)


@pytest.mark.parametrize("assignor", ASSIGNORS.values(), ids=ASSIGNORS)
@pytest.mark.parametrize("rack", [None, "r1"])
def test_what_we_write_is_what_we_read(assignor: Assignor, rack: Optional[str]) -> None:
    now: Owned = frozenset(tps(a=[0]))
    before: Owned = frozenset(tps(a=[0, 1]))
    found = read(protocol_of(assignor, rack).metadata(("b-topic", "a"), now, before, 5), protocol=assignor.name)
    assert found.topics == TOPICS and found.rack == rack
    has = tps(a=[0, 1]) if assignor is STICKY else tps(a=[0])
    assert (found.owned, found.generation) == ((has, 5) if assignor.says_owned else (has if rack else (), -1))


def test_who_has_nothing_says_so() -> None:
    for assignor in (STICKY, COOPERATIVE_STICKY):
        found = read(protocol_of(assignor).metadata(("a",), frozenset(), frozenset(), -1), protocol=assignor.name)
        assert (found.owned, found.generation) == ((), -1)


# -- as nobody should ------------------------------------------------------------------------------------------------------


def _subscriptions() -> list[bytes]:
    row = ConsumerProtocolSubscription.TopicPartition
    rows = [row(topic="a", partitions=[0, 1, 2]), row(topic="b", partitions=[5])]
    made = []
    for version in range(4):
        for user_data in (None, b"", b"\x00\x00\x00\x07", held({"a": [0, 1], "b": [2]}, 3), held({"a": [0]}, None)):
            subscription = ConsumerProtocolSubscription(
                topics=["a", "b"], user_data=user_data, owned_partitions=rows, generation_id=3, rack_id="r"
            )
            made.append(encode_data(subscription, version))
    return made


GOOD = [*_subscriptions(), *(bytes.fromhex(recorded[0]) for recorded in RECORDED.values())]


def read_or_refuse(metadata: bytes) -> Optional[MemberSubscription]:
    """Read it, or have it refused with the one error that there is for this, within little time and memory."""
    tracemalloc.start()
    began = time.process_time()
    try:
        found: Optional[MemberSubscription] = read(metadata)
        read(metadata, protocol="sticky")
    except ProtocolError:
        found = None
    took, (_, peak) = time.process_time() - began, tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert took < 1.0 and peak < 200_000 + 200 * len(metadata)
    if found is not None:
        assert all(isinstance(topic, str) for topic in found.topics)
        assert all(isinstance(tp.topic, str) and isinstance(tp.partition, int) for tp in found.owned)
        assert len(set(found.owned)) == len(found.owned)
    return found


@settings(deadline=None)
@given(metadata=st.binary(max_size=300))
@example(b"")
@example(b"\x00")
@example(b"\x00\x00")
@example(b"\xff\xff" + bytes(20))
def test_any_bytes_are_read_or_refused(metadata: bytes) -> None:
    read_or_refuse(metadata)


@settings(deadline=None)
@given(
    metadata=st.sampled_from(GOOD),
    changes=st.lists(st.tuples(st.integers(0, 200), st.sampled_from([0, 1, 2, 0x7F, 0x80, 0xFF])), min_size=1, max_size=6),
    length=st.none() | st.integers(0, 200),
    tail=st.binary(max_size=8),
)
def test_changed_bytes_are_read_or_refused(
    metadata: bytes, changes: list[tuple[int, int]], length: Optional[int], tail: bytes
) -> None:
    changed = bytearray(metadata)
    for at, byte in changes:
        changed[at % len(changed)] = byte
    read_or_refuse(bytes(changed[:length]) + tail)


@pytest.mark.parametrize("metadata", GOOD, ids=range(len(GOOD)))
def test_every_way_to_cut_a_subscription_off_is_read_or_refused(metadata: bytes) -> None:
    outcomes = [read_or_refuse(metadata[:length]) for length in range(len(metadata))]
    assert outcomes[:6] == [None] * 6, "without its topics it says nothing"


HUGE = struct.pack(">i", 2**31 - 1)


@pytest.mark.parametrize("at", range(2, 26))
def test_counts_that_promise_more_than_there_is_cost_nothing(at: int) -> None:
    for metadata in GOOD:
        read_or_refuse(metadata[:at] + HUGE + metadata[at + 4 :])


@pytest.mark.parametrize(
    "user_data",
    [
        HUGE,
        HUGE + bytes(5000),  # as many topics without a name as fit
        struct.pack(">i", -5),
        struct.pack(">ih", 1, -1) + HUGE,
        struct.pack(">ih", 1, 5) + b"a",
        struct.pack(">ih2si", 1, 2, b"\xff\xfe", 0),
        struct.pack(">ihsi", 1, 1, b"a", -(2**31)),
        struct.pack(">ihsi", 1, 1, b"a", 2**31 - 1) + bytes(64),
        b"\x00\x01",
        b"\x00\x01" + HUGE,
        b"not sticky at all",
    ],
    ids=lambda user_data: user_data[:12].hex(),
)
def test_user_data_that_is_none_of_ours_says_nothing_and_harms_nobody(user_data: bytes) -> None:
    found = read_or_refuse(encode_data(ConsumerProtocolSubscription(topics=["a"], user_data=user_data), 0))
    assert found is not None and found.topics == ("a",)
    assert not [tp for tp in found.owned if tp.topic == "a"]


# -- what the leader makes of it -----------------------------------------------------------------------------------------


def test_a_member_that_cannot_be_understood_gets_nothing_and_the_others_everything() -> None:
    good = protocol_of(RANGE).metadata(("a",), frozenset(), frozenset(), -1)
    rows = [MemberMetadata("m1", None, good), MemberMetadata("m2", "i-2", b"\x00\x00\x7f"), MemberMetadata("m3", None, b"")]
    members, bad = readable(rows, "range")
    assert set(bad) == {"m2", "m3"} and members["m2"] == MemberSubscription((), instance_id="i-2")
    assert wanted_topics(members) == ["a"]
    told = dict(decide(RANGE, members, {"a": [0, 1]}))
    assert {member: MemberAssignment.from_bytestring(share).partition_assignment for member, share in told.items()} == {
        "m1": [(b"a", [0, 1])],
        "m2": [],
        "m3": [],
    }


def test_a_generation_that_cannot_be_counts_as_none() -> None:
    for generation in (-2, -(2**31)):
        odd = MemberSubscription(("a",), tps(a=[0]), generation)
        assert STICKY.assign({"m1": odd, "m2": odd._replace(owned=())}, {"a": [0]})["m1"] == list(tps(a=[0]))


claims = st.lists(st.tuples(st.sampled_from(["a", "b", "z"]), st.integers(-(2**31), 2**31 - 1) | st.integers(0, 4)), max_size=8)


@pytest.mark.parametrize("assignor", ASSIGNORS.values(), ids=ASSIGNORS)
@settings(deadline=None)
@given(
    members=st.lists(
        st.tuples(st.lists(st.sampled_from(["a", "b", "z"]), max_size=4), claims, st.integers(-(2**31), 2**31 - 1)),
        min_size=1,
        max_size=5,
    )
)
def test_whatever_members_claim_no_partition_has_two_readers(assignor: Assignor, members: Any) -> None:
    group = {
        f"m{number}": MemberSubscription(tuple(topics), tuple(TopicPartition(*claim) for claim in owned), generation)
        for number, (topics, owned, generation) in enumerate(members)
    }
    there = {"a": [0, 1, 2], "b": [0]}
    shares = assignor.assign(group, there)
    read_by_all = [tp for share in shares.values() for tp in share]
    assert len(set(read_by_all)) == len(read_by_all)
    wanted = {TopicPartition(topic, number) for topic in wanted_topics(group) for number in there.get(topic, ())}
    assert set(read_by_all) <= wanted
    if not assignor.cooperative:
        assert set(read_by_all) == wanted
    assert all(encode_assignment(share) for share in shares.values())


def test_a_thousand_members_that_all_claim_everything_are_served_in_good_time() -> None:
    topics = tuple(f"t{number}" for number in range(20))
    there = {topic: range(50) for topic in topics}
    everything = tuple(TopicPartition(topic, number) for topic in topics for number in range(50))
    group = {f"m{number}": MemberSubscription(topics[: number % 20 + 1], everything, number % 3) for number in range(1000)}
    began = time.process_time()
    shares = STICKY.assign(group, there)
    assert time.process_time() - began < 10.0
    assert sorted(tp for share in shares.values() for tp in share) == sorted(everything)
