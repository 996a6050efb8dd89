"""PyKafka's hand-made requests and responses about groups, and what is inside them: also as old and foreign members wrote it."""

from __future__ import annotations

import struct
from typing import Any, Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pykafka.exceptions import EncodeError, ProtocolError, UnicodeException
from pykafka.membershipprotocol import GroupMembershipProtocol, RangeProtocol, RoundRobinProtocol
from pykafka.protocol import legacy, messages
from pykafka.protocol.api import decode_data, decode_request, encode_data
from pykafka.protocol.consumer_group import Undecoded
from pykafka.protocol.legacy import (
    ConsumerGroupProtocolMetadata,
    DescribeGroupResponse,
    DescribeGroupsRequest,
    DescribeGroupsResponse,
    GroupListing,
    GroupMember,
    HeartbeatRequest,
    HeartbeatResponse,
    JoinGroupRequest,
    JoinGroupResponse,
    LeaveGroupRequest,
    LeaveGroupResponse,
    ListGroupsRequest,
    ListGroupsResponse,
    MemberAssignment,
    SyncGroupRequest,
    SyncGroupResponse,
)

from .legacy_checks import Refused, as_received, check_refused

#: What PyKafka 2.8 sent: a subscription, and an assignment that ends before its user data.
OLD_METADATA = bytes.fromhex("0000 00000001 000a") + b"dummytopic" + bytes.fromhex("0000000c") + b"testuserdata"
OLD_ASSIGNMENT = bytes.fromhex("0001 00000001 0003") + b"old" + bytes.fromhex("00000002 00000003 0000000a")
#: What members of the other kinds say: a Connect worker its address and how far it has read its settings.
CONNECT = bytes.fromhex("0000 0015") + b"http://connect-1:8083" + bytes.fromhex("000000000000002a")

SHARES = [(b"m-1", MemberAssignment([(b"t", [0, 1])])), ("m-2", MemberAssignment([("t", (2,)), ("u", [])]))]
REQUESTS: dict[str, legacy.Request] = {
    "JoinGroup": JoinGroupRequest("g", b"m-1", b"t", RangeProtocol),
    "SyncGroup": SyncGroupRequest(b"g", 7, "m-1", SHARES),
    "Heartbeat": HeartbeatRequest("g", 7, b"m-1"),
    "LeaveGroup": LeaveGroupRequest(b"g", b"m-1"),
    "ListGroups": ListGroupsRequest(),
    "DescribeGroups": DescribeGroupsRequest([b"g", "h\u00fc"]),
}
#: API -> the oldest version in 4.0, and the newest in 0.11.
SPOKEN = {
    "JoinGroup": (2, 2),
    "SyncGroup": (0, 1),
    "Heartbeat": (0, 1),
    "LeaveGroup": (0, 1),
    "ListGroups": (0, 1),
    "DescribeGroups": (0, 1),
}


@pytest.mark.parametrize("name", REQUESTS)
def test_the_bytes_of_a_request_are_a_frame_that_every_broker_reads(name: str) -> None:
    request = REQUESTS[name]
    frame = request.get_bytes()
    assert struct.unpack_from(">ihhih", frame) == (len(frame) - 4, request.API_KEY, request.API_VERSION, 0, 7)
    read, version, _correlation_id, client_id = decode_request(memoryview(frame)[4:])
    assert (read.NAME, client_id) == (name, "pykafka")
    assert SPOKEN[name][0] <= version <= SPOKEN[name][1]
    assert len(request) == len(frame) and request


def test_a_request_to_join_says_what_pykafka_said() -> None:
    read: Any = decode_request(memoryview(REQUESTS["JoinGroup"].get_bytes())[4:])[0]
    assert (read.group_id, read.member_id, read.protocol_type) == ("g", "m-1", "consumer")
    assert (read.session_timeout_ms, read.rebalance_timeout_ms) == (30000, 30000)
    (protocol,) = read.protocols
    told = ConsumerGroupProtocolMetadata.from_bytestring(protocol.metadata)
    assert (protocol.name, told.version, told.topic_names, told.user_data) == ("range", 0, [b"t"], b"")
    other: Any = JoinGroupRequest("g", "", "t", RoundRobinProtocol, session_timeout=6000).declared()
    assert (other.session_timeout_ms, other.protocols[0].name) == (6000, "roundrobin")


def test_a_request_to_sync_says_what_everybody_gets() -> None:
    read: Any = decode_request(memoryview(REQUESTS["SyncGroup"].get_bytes())[4:])[0]
    assert (read.group_id, read.generation_id, read.member_id) == ("g", 7, "m-1")
    assert {row.member_id: MemberAssignment.from_bytestring(row.assignment).partition_assignment for row in read.assignments} == {
        "m-1": [(b"t", [0, 1])],
        "m-2": [(b"t", [2]), (b"u", [])],
    }


def test_versions_that_need_more_than_pykafka_knows_are_left_to_others() -> None:
    # SyncGroup 5 wants the protocol's name, LeaveGroup 3 several members; DescribeGroups 6 has an error where there was Dead
    newest = {name: request.NEWEST_VERSION for name, request in REQUESTS.items()}
    assert newest == {
        "JoinGroup": None, "SyncGroup": 4, "Heartbeat": None, "LeaveGroup": 2, "ListGroups": None, "DescribeGroups": 5,
    }  # fmt: skip


# -- what is inside ---------------------------------------------------------------------------------------------------


def test_metadata_and_assignments_have_the_bytes_that_all_clients_write() -> None:
    metadata = ConsumerGroupProtocolMetadata(topic_names=["a", b"bc"])
    assert metadata.get_bytes() == bytes.fromhex("0000 00000002 0001 61 0002 6263 00000000")
    assert ConsumerGroupProtocolMetadata(user_data=None).get_bytes() == bytes.fromhex("0000 00000000 ffffffff")
    assignment = MemberAssignment([("a", [2, 10])])
    assert assignment.get_bytes() == bytes.fromhex("0001 00000001 0001 61 00000002 00000002 0000000a ffffffff")
    assert (len(metadata), len(assignment)) == (17, 25) and metadata and assignment


def test_what_pykafka_2_8_wrote_is_read() -> None:
    metadata = ConsumerGroupProtocolMetadata.from_bytestring(OLD_METADATA)
    assert (metadata.version, metadata.topic_names, metadata.user_data) == (0, [b"dummytopic"], b"testuserdata")
    assert metadata.get_bytes() == OLD_METADATA
    assignment = MemberAssignment.from_bytestring(bytearray(OLD_ASSIGNMENT))
    assert (assignment.version, assignment.partition_assignment, assignment.user_data) == (1, [(b"old", [3, 10])], None)


def test_nothing_at_all_is_no_topics_and_no_partitions() -> None:
    assert ConsumerGroupProtocolMetadata.from_bytestring(b"").topic_names == []
    assert MemberAssignment.from_bytestring(b"").partition_assignment == []


@pytest.mark.parametrize("version", [0, 1, 2, 3, 4, 9, 32767])
def test_later_versions_are_read_as_far_as_they_are_known(version: int) -> None:
    wanted = messages.ConsumerProtocolSubscription(
        topics=["t"],
        user_data=b"u",
        owned_partitions=[messages.ConsumerProtocolSubscription.TopicPartition(topic="t", partitions=[1])],
        generation_id=5,
        rack_id="r",
    )
    head = version.to_bytes(2, "big")
    metadata = ConsumerGroupProtocolMetadata.from_bytestring(head + encode_data(wanted, min(version, 3))[2:] + b"more to come")
    assert (metadata.version, metadata.topic_names, metadata.user_data) == (version, [b"t"], b"u")
    share = encode_data(messages.ConsumerProtocolAssignment(user_data=b"u"), min(version, 3))[2:]
    assignment = MemberAssignment.from_bytestring(head + share + b"more to come")
    assert (assignment.version, assignment.partition_assignment, assignment.user_data) == (version, [], b"u")


@pytest.mark.parametrize("cls", [ConsumerGroupProtocolMetadata, MemberAssignment], ids=lambda cls: cls.__name__)
@pytest.mark.parametrize("cut", range(1, len(OLD_METADATA)))
def test_what_is_cut_short_is_not_read_as_less(cls: Any, cut: int) -> None:
    whole = OLD_METADATA if cls is ConsumerGroupProtocolMetadata else bytes(MemberAssignment([("t", [1, 2, 3, 4])]).get_bytes())
    without_user_data = len(whole) - (16 if cls is ConsumerGroupProtocolMetadata else 4)
    if cut < len(whole) and cut != without_user_data:
        with pytest.raises(ProtocolError):
            cls.from_bytestring(whole[:cut])


@pytest.mark.parametrize(
    "data", [b"\0", b"\xff\xff\0\0\0\0", b"\0\0\x7f\xff\xff\xff", CONNECT, b"\0\0\0\0\0\1\0\2\xff\xfe\0\0\0\0"]
)
def test_what_is_no_consumers_is_refused(data: bytes) -> None:
    with pytest.raises(ProtocolError):
        ConsumerGroupProtocolMetadata.from_bytestring(data)


names = st.text("abc.-_09", min_size=1, max_size=9)
blobs = st.none() | st.binary(max_size=9)


@given(version=st.integers(0, 5), topics=st.lists(names, max_size=4), user_data=blobs)
def test_any_metadata_survives(version: int, topics: list[str], user_data: Any) -> None:
    made = ConsumerGroupProtocolMetadata(version, topics, user_data)
    read = ConsumerGroupProtocolMetadata.from_bytestring(made.get_bytes())
    assert (read.topic_names, read.user_data) == ([name.encode() for name in topics], user_data)
    assert read.version == min(version, 3)


@given(shares=st.lists(st.tuples(names, st.lists(st.integers(0, 2**31 - 1), max_size=5)), max_size=4), user_data=blobs)
def test_any_assignment_survives(shares: list[tuple[str, list[int]]], user_data: Any) -> None:
    read = MemberAssignment.from_bytestring(MemberAssignment(shares, 0, user_data).get_bytes())
    assert read.partition_assignment == [(name.encode(), numbers) for name, numbers in shares]
    assert (read.version, read.user_data) == (0, user_data)


@given(st.binary(max_size=60))
def test_any_bytes_are_decoded_or_kept(data: bytes) -> None:
    row = messages.DescribeGroupsResponse.DescribedGroupMember(member_metadata=data, member_assignment=data)
    group = messages.DescribeGroupsResponse.DescribedGroup(group_id="g", protocol_type="consumer", members=[row])
    (member,) = DescribeGroupsResponse.of(messages.DescribeGroupsResponse(groups=[group])).groups[b"g"].members.values()
    for found in (member.member_metadata, member.member_assignment):
        assert not isinstance(found, bytes) or found == data


def test_what_a_field_was_set_to_is_looked_at_when_it_is_sent() -> None:
    assignment = MemberAssignment([("t", [1])])
    assignment.partition_assignment = [(b"t", [2**40])]
    with pytest.raises(EncodeError, match="partitions"):
        assignment.get_bytes()
    metadata = ConsumerGroupProtocolMetadata()
    metadata.user_data = "text"  # type: ignore[assignment]
    with pytest.raises(EncodeError, match="user_data"):
        metadata.get_bytes()
    metadata.topic_names = [5]  # type: ignore[list-item]
    with pytest.raises(TypeError, match="topic_names must be str or bytes, not int 5"):
        metadata.get_bytes()


def test_data_has_its_version_in_front() -> None:
    made = messages.ConsumerProtocolAssignment(user_data=b"x")
    assert encode_data(made, 3) == bytes.fromhex("0003 00000000 00000001 78")
    assert decode_data(messages.ConsumerProtocolAssignment, b"\0\x09" + encode_data(made, 3)[2:] + b"++") == (made, 9, 11)


# -- what is not right ------------------------------------------------------------------------------------------------


def join(protocol: Any = RangeProtocol, **options: Any) -> Callable[[], Any]:
    """Return what makes a request to join."""
    fields = {"group_id": "g", "member_id": b"", "topic_name": "t", **options}
    return lambda: JoinGroupRequest(membership_protocol=protocol, **fields)


BAD: dict[str, Refused] = {
    "no group": (join(group_id=None), TypeError, "consumer_group must be str or bytes"),
    "a group not ASCII": (join(group_id="\u00fc"), UnicodeException, "consumer_group '\u00fc' must be ASCII"),
    "no member": (join(member_id=5), TypeError, "member_id must be str or bytes"),
    "a member that is no text": (join(member_id=b"\xff"), UnicodeException, "member_id b'.xff' must be UTF-8"),
    "no topic": (join(topic_name=None), TypeError, "topic_name must be str or bytes"),
    "a timeout of 0": (join(session_timeout=0), ValueError, "session_timeout must be from 1"),
    "no timeout": (join(session_timeout=None), TypeError, "session_timeout must be an integer"),
    "no protocol": (
        join("range"),
        TypeError,
        "must be a GroupMembershipProtocol like RangeProtocol or .*, not 'range'",
    ),
    "a protocol without a name": (
        join(RangeProtocol._replace(protocol_name=b"")),
        ValueError,
        "protocol_name must have at least",
    ),
    "a type that is no name": (join(RangeProtocol._replace(protocol_type=None)), TypeError, "protocol_type must be str or bytes"),
    "no metadata": (join(RangeProtocol._replace(metadata=None)), TypeError, "metadata must be bytes, or have get_bytes"),
    "no function": (join(RangeProtocol._replace(decide_partitions=5)), TypeError, "decide_partitions must be callable, not 5"),
    "a generation": (lambda: SyncGroupRequest("g", -2, "m"), ValueError, "generation_id must be from -1"),
    "no generation": (lambda: HeartbeatRequest("g", None, "m"), TypeError, "generation_id must be an integer"),  # type: ignore[arg-type]
    "an assignment by itself": (
        lambda: SyncGroupRequest("g", 1, "m", MemberAssignment([])),
        TypeError,
        "group_assignment must be pairs of a member's id and a MemberAssignment, not <MemberAssignment",
    ),
    "a dict of assignments": (lambda: SyncGroupRequest("g", 1, "m", {}), TypeError, "group_assignment must be pairs"),
    "no pair": (lambda: SyncGroupRequest("g", 1, "m", [b"m"]), TypeError, r"group_assignment\[0\] must be a pair"),
    "nothing assigned": (
        lambda: SyncGroupRequest("g", 1, "m", [("m", None)]),
        TypeError,
        r"the assignment in group_assignment\[0\] must be bytes, or have get_bytes\(\), not None",
    ),
    "assigned to nobody": (lambda: SyncGroupRequest("g", 1, "m", [(5, b"")]), TypeError, "the member's id in group_assignment"),
    "who leaves": (lambda: LeaveGroupRequest("g", None), TypeError, "member_id must be str or bytes"),  # type: ignore[arg-type]
    "a group by itself": (lambda: DescribeGroupsRequest("g"), TypeError, "group_ids must be a list of names, not 'g'"),
    "no groups": (lambda: DescribeGroupsRequest(None), TypeError, "group_ids must be a list of names, not None"),  # type: ignore[arg-type]
    "a group that is no name": (lambda: DescribeGroupsRequest(["g", 5]), TypeError, r"group_ids\[1\] must be str or bytes"),  # type: ignore[list-item]
    "a topic by itself": (
        lambda: ConsumerGroupProtocolMetadata(topic_names="t"),
        TypeError,
        "topic_names must be a list of names, not 't'",
    ),
    "a topic that is no name": (lambda: ConsumerGroupProtocolMetadata(0, [5]), TypeError, r"topic_names\[0\] must be str"),  # type: ignore[list-item]
    "a version": (lambda: ConsumerGroupProtocolMetadata(-1), ValueError, "version must be from 0"),
    "user data that is text": (
        lambda: MemberAssignment([], user_data="x"),  # type: ignore[arg-type]
        TypeError,
        "user_data must be bytes or None, not 'x'",
    ),
    "a dict of topics": (lambda: MemberAssignment({"t": [0]}), TypeError, "partition_assignment must be pairs of a topic"),  # type: ignore[arg-type]
    "no list of partitions": (
        lambda: MemberAssignment([("t", 5)]),  # type: ignore[list-item]
        TypeError,
        r"partition_assignment\[0\] must have a list of partitions, not 5",
    ),
    "a topic without partitions": (lambda: MemberAssignment(["t"]), TypeError, r"\[0\] must be a pair of a topic and"),  # type: ignore[list-item]
    "a negative partition": (lambda: MemberAssignment([("t", [-1])]), ValueError, r"partition_assignment\[0\] must be from 0"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_not_right_is_named_before_anything_is_sent(name: str) -> None:
    check_refused(BAD[name])


# -- responses --------------------------------------------------------------------------------------------------------


def join_reply(**fields: Any) -> messages.JoinGroupResponse:
    """Return an answer to a leader with two members, one of them of PyKafka 2.8 and one that nobody can read."""
    cls = messages.JoinGroupResponse
    rows = [
        cls.JoinGroupResponseMember(member_id="m-1", metadata=OLD_METADATA),
        cls.JoinGroupResponseMember(member_id="m-\u00fc", metadata=CONNECT),
    ]
    return cls(**{"generation_id": 3, "protocol_name": "range", "leader": "m-1", "member_id": "m-1", "members": rows, **fields})


def test_a_seat_has_pykafkas_names() -> None:
    for seat in (JoinGroupResponse(as_received(join_reply(), 2)), JoinGroupResponse.of(join_reply(), REQUESTS["JoinGroup"])):
        assert (seat.error_code, seat.generation_id, seat.group_protocol) == (0, 3, b"range")
        assert (seat.leader_id, seat.member_id) == (b"m-1", b"m-1")
        assert list(seat.members) == [b"m-1", "m-\u00fc".encode()]
        assert seat.members[b"m-1"].topic_names == [b"dummytopic"]
        assert seat.members["m-\u00fc".encode()] == CONNECT


def test_an_error_is_in_the_answer_and_is_not_raised() -> None:
    refused = JoinGroupResponse.of(messages.JoinGroupResponse(error_code=79, member_id="m-9", protocol_name=None))
    assert (refused.error_code, refused.member_id, refused.group_protocol, refused.members) == (79, b"m-9", b"", {})
    assert SyncGroupResponse(as_received(messages.SyncGroupResponse(error_code=27), 0)).error_code == 27
    assert HeartbeatResponse(as_received(messages.HeartbeatResponse(error_code=25), 0)).error_code == 25
    assert LeaveGroupResponse(as_received(messages.LeaveGroupResponse(error_code=16), 0)).error_code == 16


def test_members_of_another_kind_are_left_as_they_are() -> None:
    connect = GroupMembershipProtocol(b"connect", b"default", OLD_METADATA, RangeProtocol.decide_partitions)
    # what looks like a subscription is none there
    seat = JoinGroupResponse.of(join_reply(), JoinGroupRequest("g", "", "t", connect))
    assert seat.members[b"m-1"] == OLD_METADATA and isinstance(seat.members[b"m-1"], Undecoded)
    assert JoinGroupResponse.of(join_reply(protocol_type="connect")).members[b"m-1"] == OLD_METADATA


def test_an_assignment_is_decoded_or_kept() -> None:
    reply = messages.SyncGroupResponse(assignment=OLD_ASSIGNMENT)
    for share in (SyncGroupResponse(as_received(reply, 0)), SyncGroupResponse.of(reply)):
        assert (share.error_code, share.member_assignment.partition_assignment) == (0, [(b"old", [3, 10])])
    assert SyncGroupResponse.of(messages.SyncGroupResponse()).member_assignment.partition_assignment == []
    assert SyncGroupResponse.of(messages.SyncGroupResponse(assignment=CONNECT)).member_assignment == CONNECT


def test_who_looks_for_topics_in_what_cannot_be_read_finds_none() -> None:
    kept = Undecoded(CONNECT)
    assert (kept.topic_names, kept.partition_assignment) == ([], [])
    assert isinstance(kept, bytes) and repr(kept).startswith("<Undecoded b'")
    assert len(repr(Undecoded(bytes(10_000)))) < 500


def listed(**fields: Any) -> messages.ListGroupsResponse:
    """Return an answer that lists two groups."""
    cls = messages.ListGroupsResponse
    rows = [
        cls.ListedGroup(group_id="g", protocol_type="consumer", group_state="Stable", group_type="classic"),
        cls.ListedGroup(group_id="\u00fc", protocol_type="", group_state="Empty", group_type="share"),
    ]
    return cls(groups=rows, **fields)


def test_groups_are_listed_by_name() -> None:
    groups = {b"g": GroupListing(b"g", b"consumer"), "\u00fc".encode(): GroupListing("\u00fc".encode(), b"")}
    old = ListGroupsResponse(as_received(listed(error_code=14), 0))
    assert (old.groups, old.error_code, old.error, old.states, old.types) == (groups, 14, 14, {}, {})
    new = ListGroupsResponse.of(listed())
    assert (new.groups, new.error_code, new.states[b"g"]) == (groups, 0, b"Stable")
    assert new.types == {b"g": b"classic", "\u00fc".encode(): b"share"}


def test_a_group_is_described_with_pykafkas_names_and_one_left_out_is_no_success() -> None:
    cls = messages.DescribeGroupsResponse
    member = cls.DescribedGroupMember(
        member_id="m", client_id="c", client_host="/h", member_metadata=OLD_METADATA, member_assignment=OLD_ASSIGNMENT
    )
    rows = [
        cls.DescribedGroup(group_id="g", group_state="Stable", protocol_type="consumer", protocol_data="range", members=[member]),
        cls.DescribedGroup(group_id="k", group_state="Stable", protocol_type="connect", members=[member]),
    ]
    for response in (DescribeGroupsResponse(as_received(cls(groups=rows), 0)), DescribeGroupsResponse.of(cls(groups=rows))):
        group = response.groups[b"g"]
        assert group[:5] == (0, b"g", b"Stable", b"consumer", b"range")
        found = group.members[b"m"]
        assert found[:3] == (b"m", b"c", b"/h")
        assert found.member_metadata.topic_names == [b"dummytopic"]
        assert found.member_assignment.partition_assignment == [(b"old", [3, 10])]
        foreign = GroupMember(b"m", b"c", b"/h", Undecoded(OLD_METADATA), Undecoded(OLD_ASSIGNMENT))
        assert response.groups[b"k"].members == {b"m": foreign}
    asked = DescribeGroupsRequest(["g", b"lost"])
    answer = DescribeGroupsResponse.of(cls(groups=rows[:1]), asked)
    assert answer.groups[b"lost"] == DescribeGroupResponse(-1, b"lost", b"", b"", b"", {})
