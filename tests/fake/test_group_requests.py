"""Group requests by hand against a scripted broker: old versions, errors at every level, answers held back, silence, garbage."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, Callable, Optional

import pytest

from pykafka import Broker, KafkaClient, RangeProtocol
from pykafka.exceptions import (
    GroupLoadInProgress,
    KafkaException,
    OperationTimedOut,
    ProtocolError,
    SocketDisconnectedError,
    UnsupportedVersion,
)
from pykafka.protocol import MemberAssignment, messages
from pykafka.protocol.consumer_group import Undecoded

from ..support import until
from .broker import DROP, FakeBroker, fake_broker

#: What Kafka 0.11 speaks, and the newest versions that a request by hand is sent in.
OLD = {"JoinGroup": 2, "SyncGroup": 1, "Heartbeat": 1, "LeaveGroup": 1, "ListGroups": 1, "DescribeGroups": 1}
BY_HAND = {"JoinGroup": 9, "SyncGroup": 4, "Heartbeat": 4, "LeaveGroup": 2, "ListGroups": 5, "DescribeGroups": 5}
METADATA = bytes.fromhex("0000 00000001 0001 74 00000000")
ASSIGNMENT = bytes.fromhex("0000 00000001 0001 74 00000001 00000000 00000000")


@contextmanager
def broker_of(fake: FakeBroker, timeout_ms: int = 10000) -> Iterator[Broker]:
    """Yield a Broker made by hand for ``fake``."""
    with Broker(1, "127.0.0.1", fake.port, None, timeout_ms, timeout_ms) as broker:
        yield broker


def seat(error: int = 0, member: str = "m-1", **fields: Any) -> messages.JoinGroupResponse:
    """Return the answer to a member that leads a group of its own."""
    rows = [messages.JoinGroupResponse.JoinGroupResponseMember(member_id=member, metadata=METADATA)]
    made = {"protocol_name": "range", "generation_id": 1, "leader": member, "members": rows, **fields}
    return messages.JoinGroupResponse(error_code=error, member_id=member, **made)


def described(
    name: str = "g", error: int = 0, metadata: bytes = METADATA, kind: str = "consumer", state: str = "Stable"
) -> messages.DescribeGroupsResponse.DescribedGroup:
    """Return the description of a group with one member."""
    cls = messages.DescribeGroupsResponse
    member = cls.DescribedGroupMember(
        member_id="m-1", client_id="c", client_host="/127.0.0.1", member_metadata=metadata, member_assignment=ASSIGNMENT
    )
    return cls.DescribedGroup(
        group_id=name, error_code=error, group_state=state, protocol_type=kind, protocol_data="range", members=[member]
    )


def with_groups(fake: FakeBroker, *listed: tuple[str, str, str], groups: Optional[list[Any]] = None, error: int = 0) -> None:
    """Have ``fake`` list groups, each with its protocol type and its own type, and describe what it is asked about."""
    cls = messages.ListGroupsResponse
    rows = [
        cls.ListedGroup(group_id=name, protocol_type=protocol, group_state="Stable", group_type=kind)
        for name, protocol, kind in listed
    ]
    known = {group.group_id: group for group in groups or [described(name) for name, _protocol, _kind in listed]}
    fake.scripts["ListGroups"] = lambda request, version: cls(groups=rows, error_code=error)
    fake.scripts["DescribeGroups"] = lambda request, version: messages.DescribeGroupsResponse(
        groups=[known[name] for name in request.groups if name in known]
    )


def answering(fake: FakeBroker) -> None:
    """Have ``fake`` answer every group request with success."""
    fake.scripts["JoinGroup"] = lambda request, version: seat()
    fake.scripts["SyncGroup"] = lambda request, version: messages.SyncGroupResponse(assignment=ASSIGNMENT)
    fake.scripts["Heartbeat"] = lambda request, version: messages.HeartbeatResponse()
    fake.scripts["LeaveGroup"] = lambda request, version: messages.LeaveGroupResponse()
    with_groups(fake, ("g", "consumer", "classic"))


CALLS: dict[str, Callable[[Broker], Any]] = {
    "JoinGroup": lambda broker: broker.join_group("c", "g", b"m-1", b"t", RangeProtocol),
    "SyncGroup": lambda broker: broker.sync_group("c", "g", 1, b"m-1", [(b"m-1", MemberAssignment([(b"t", [0])]))]),
    "Heartbeat": lambda broker: broker.heartbeat("c", "g", 1, b"m-1"),
    "LeaveGroup": lambda broker: broker.leave_group("c", "g", b"m-1"),
    "ListGroups": lambda broker: broker.list_groups(),
    "DescribeGroups": lambda broker: broker.describe_groups(["g"]),
}


@pytest.mark.parametrize("caps", [OLD, {}], ids=["0.11", "newest"])
def test_every_request_is_understood_by_old_and_new_brokers(caps: dict[str, int]) -> None:
    with fake_broker(caps=caps) as fake, broker_of(fake) as broker:
        answering(fake)
        joined = CALLS["JoinGroup"](broker)
        assert (joined.error_code, joined.member_id, joined.leader_id) == (0, b"m-1", b"m-1")
        assert joined.members[b"m-1"].topic_names == [b"t"]
        assert CALLS["SyncGroup"](broker).member_assignment.partition_assignment == [(b"t", [0])]
        assert CALLS["Heartbeat"](broker).error_code == CALLS["LeaveGroup"](broker).error_code == 0
        assert CALLS["ListGroups"](broker).groups == {b"g": (b"g", b"consumer")}
        assert CALLS["DescribeGroups"](broker).groups[b"g"].members[b"m-1"].member_assignment.version == 0
        used = {name: version for name, version, _request in fake.requests if name in CALLS}
        assert used == {**BY_HAND, **caps}


def test_what_is_sent_is_what_was_given() -> None:
    with fake_broker() as fake, broker_of(fake) as broker:
        answering(fake)
        for call in CALLS.values():
            call(broker)
        (join,), (sync,), (beat,), (leave,) = (fake.seen(name) for name in ("JoinGroup", "SyncGroup", "Heartbeat", "LeaveGroup"))
        assert (join.group_id, join.member_id, join.session_timeout_ms, join.rebalance_timeout_ms) == ("g", "m-1", 30000, 30000)
        assert (sync.group_id, sync.generation_id, sync.member_id, len(sync.assignments)) == ("g", 1, "m-1", 1)
        assert (beat.group_id, beat.generation_id, beat.member_id) == ("g", 1, "m-1")
        assert (leave.group_id, leave.member_id) == ("g", "m-1")


def test_a_new_member_asks_again_with_the_id_it_is_given() -> None:
    with fake_broker() as fake, broker_of(fake) as broker:
        fake.scripts["JoinGroup"] = lambda request, version: (
            seat() if request.member_id else seat(79, generation_id=-1, protocol_name=None, leader="", members=[])
        )
        assert broker.join_group("c", "g", b"", b"t", RangeProtocol).generation_id == 1
        assert [request.member_id for request in fake.seen("JoinGroup")] == ["", "m-1"]


def test_a_broker_that_keeps_asking_for_an_id_gets_an_end() -> None:
    with fake_broker() as fake, broker_of(fake) as broker:
        fake.scripts["JoinGroup"] = lambda request, version: seat(79)
        assert broker.join_group("c", "g", b"", b"t", RangeProtocol).error_code == 79
        assert len(fake.seen("JoinGroup")) == 2


@pytest.mark.parametrize("code", [14, 15, 16, 22, 23, 25, 26, 27, 30, 81, 82, 999])
def test_what_the_coordinator_refuses_is_an_error_code_and_is_not_tried_again(code: int) -> None:
    with fake_broker() as fake, broker_of(fake) as broker:
        fake.scripts["JoinGroup"] = lambda request, version: seat(code)
        fake.scripts["SyncGroup"] = lambda request, version: messages.SyncGroupResponse(error_code=code)
        fake.scripts["Heartbeat"] = lambda request, version: messages.HeartbeatResponse(error_code=code)
        fake.scripts["LeaveGroup"] = lambda request, version: messages.LeaveGroupResponse(error_code=code)
        with_groups(fake, ("g", "consumer", "classic"), groups=[described(error=code)], error=code)
        assert [CALLS[name](broker).error_code for name in ("JoinGroup", "SyncGroup", "Heartbeat", "LeaveGroup")] == [code] * 4
        assert (broker.list_groups().error_code, broker.list_groups().error) == (code, code)
        assert broker.describe_groups(["g"]).groups[b"g"].error_code == code
        assert [len(fake.seen(name)) for name in ("JoinGroup", "SyncGroup", "Heartbeat", "LeaveGroup")] == [1, 1, 1, 1]


# -- answers held back, silence, garbage ------------------------------------------------------------------------------


def test_a_join_that_is_held_back_holds_up_nothing_else_even_under_the_same_id() -> None:
    with fake_broker() as fake, broker_of(fake) as broker:
        answering(fake)
        gate = threading.Event()
        fake.scripts["JoinGroup"] = lambda request, version: gate.wait(20) and seat()
        seats: list[Any] = []
        joining = [threading.Thread(target=lambda: seats.append(CALLS["JoinGroup"](broker))) for _ in range(3)]
        for thread in joining:
            thread.start()
        until(lambda: len(fake.seen("JoinGroup")) == 3, what="three joins under way")
        began = time.monotonic()
        for _ in range(5):
            for name in ("SyncGroup", "Heartbeat", "LeaveGroup", "ListGroups", "DescribeGroups"):
                CALLS[name](broker)
        assert time.monotonic() - began < 5.0
        gate.set()
        for thread in joining:
            thread.join(10)
        assert [one.error_code for one in seats] == [0, 0, 0]
        # one connection for each call at a time, however many ids there were
        for number in range(50):
            broker.heartbeat(f"connection {number}", "g", 1, b"m-1")
        names = {lane for _host, _port, lane in broker._cluster.engine._lanes if lane.startswith("raw-group")}
        assert len(names) == 4


@pytest.mark.parametrize("name", ["JoinGroup", "SyncGroup"])
def test_an_answer_may_be_held_back_for_longer_than_a_request_may_take(name: str) -> None:
    with fake_broker() as fake, broker_of(fake, timeout_ms=200) as broker:
        answering(fake)
        answer = fake.scripts[name]

        def late(request: Any, version: int) -> Any:
            threading.Event().wait(0.6)
            return answer(request, version)

        fake.scripts[name] = late
        assert CALLS[name](broker).error_code == 0


@pytest.mark.parametrize("name", ["Heartbeat", "LeaveGroup", "ListGroups", "DescribeGroups"])
def test_silence_is_an_error_in_time_that_names_the_broker(name: str) -> None:
    with fake_broker() as fake, broker_of(fake, timeout_ms=200) as broker:
        fake.scripts[name] = lambda request, version: None
        began = time.monotonic()
        with pytest.raises(OperationTimedOut, match=f"127.0.0.1:{fake.port}"):
            CALLS[name](broker)
        assert time.monotonic() - began < 5.0
        answering(fake)
        assert CALLS["Heartbeat"](broker).error_code == 0  # over another connection


@pytest.mark.parametrize("name", CALLS)
def test_a_connection_that_ends_is_an_error_and_the_next_call_has_a_new_one(name: str) -> None:
    with fake_broker() as fake, broker_of(fake) as broker:
        fake.scripts[name] = lambda request, version: DROP
        with pytest.raises(SocketDisconnectedError, match=f"127.0.0.1:{fake.port}"):
            CALLS[name](broker)
        answering(fake)
        CALLS[name](broker)


@pytest.mark.parametrize("name", CALLS)
def test_garbage_is_a_protocol_error(name: str) -> None:
    with fake_broker() as fake, broker_of(fake) as broker:
        fake.scripts[name] = lambda request, version: b"\0\0\0\x08" + b"\x7f" * 8
        with pytest.raises(ProtocolError):
            CALLS[name](broker)


@pytest.mark.parametrize("name", CALLS)
def test_a_broker_without_groups_is_named(name: str) -> None:
    words = f"no common version of {name}"
    with fake_broker(caps={name: -1}) as fake, broker_of(fake) as broker, pytest.raises(UnsupportedVersion, match=words):
        CALLS[name](broker)


@pytest.mark.parametrize("name", CALLS)
def test_a_closed_broker_says_so(name: str) -> None:
    with fake_broker() as fake:
        with broker_of(fake) as broker:
            pass
        with pytest.raises(SocketDisconnectedError, match="was closed: make a new one"):
            CALLS[name](broker)


# -- all groups of a cluster ------------------------------------------------------------------------------------------


@contextmanager
def cluster_of(count: int) -> Iterator[tuple[list[FakeBroker], KafkaClient]]:
    """Yield scripted brokers that know of each other, numbered from 1, and a client of them."""
    with ExitStack() as stack:
        fakes = [stack.enter_context(fake_broker()) for _ in range(count)]

        def all_of_them(request: Any, version: int) -> Any:
            answer = fakes[0].metadata(request, version)
            cls = type(answer)
            answer.brokers = [
                cls.MetadataResponseBroker(node_id=number, host="127.0.0.1", port=fake.port)
                for number, fake in enumerate(fakes, 1)
            ]
            return answer

        for fake in fakes:
            fake.scripts["Metadata"] = all_of_them
            with_groups(fake)
        yield fakes, stack.enter_context(KafkaClient(fakes[0].hosts, socket_timeout_ms=3000, reconnect_backoff_ms=1))


def test_the_groups_of_all_brokers_come_together() -> None:
    with cluster_of(3) as (fakes, client):
        with_groups(fakes[0], ("a", "consumer", "classic"), ("b", "consumer", "classic"))
        with_groups(fakes[2], ("c", "consumer", "classic"))
        found = client.cluster.get_managed_group_descriptions()
        assert sorted(found) == [b"a", b"b", b"c"]
        assert found[b"c"][:5] == (0, b"c", b"Stable", b"consumer", b"range")
        assert found[b"c"].members[b"m-1"].member_metadata.topic_names == [b"t"]
        # who has no groups is not asked about them
        assert [len(fake.seen("DescribeGroups")) for fake in fakes] == [1, 0, 1]


def test_a_cluster_without_groups_has_no_descriptions() -> None:
    with cluster_of(2) as (_fakes, client):
        assert client.cluster.get_managed_group_descriptions() == {}


def test_all_brokers_are_asked_before_one_has_answered() -> None:
    with cluster_of(3) as (fakes, client):
        together = threading.Barrier(3)
        empty = fakes[0].scripts["ListGroups"]

        def meet(request: Any, version: int) -> Any:
            together.wait(10)  # breaks, and so does the connection, unless all three are here
            return empty(request, version)

        for fake in fakes:
            fake.scripts["ListGroups"] = meet
        assert client.cluster.get_managed_group_descriptions() == {}


TROUBLES: dict[str, tuple[Callable[[FakeBroker], object], type[KafkaException], str]] = {
    "listing refused": (lambda fake: with_groups(fake, error=14), GroupLoadInProgress, "refused ListGroups"),
    "listing dropped": (lambda fake: fake.scripts.update(ListGroups=lambda r, v: DROP), SocketDisconnectedError, "closed"),
    "listing unanswered": (lambda fake: fake.scripts.update(ListGroups=lambda r, v: None), OperationTimedOut, "in time|did not"),
    "describing dropped": (lambda fake: fake.scripts.update(DescribeGroups=lambda r, v: DROP), SocketDisconnectedError, "closed"),
    "garbage": (lambda fake: fake.scripts.update(DescribeGroups=lambda r, v: b"\0\0\0\4nope"), ProtocolError, "tags of a header"),
    "gone": (lambda fake: fake.close(), SocketDisconnectedError, "refused|reset|closed"),
}


@pytest.mark.parametrize("name", TROUBLES)
def test_what_is_wrong_with_one_broker_is_raised_and_names_it(name: str) -> None:
    trouble, kind, words = TROUBLES[name]
    with cluster_of(3) as (fakes, client):
        for fake in fakes:
            with_groups(fake, ("a", "consumer", "classic"))
        trouble(fakes[1])
        with pytest.raises(kind, match=words) as caught:
            client.cluster.get_managed_group_descriptions()
        assert caught.value.broker == f"2 (127.0.0.1:{fakes[1].port})"


def newer(*names: str) -> messages.ConsumerGroupDescribeResponse:
    """Return what a broker says of groups of the newer protocol."""
    reads = messages.ConsumerGroupDescribeResponse.TopicPartitions(topic_name="t", partitions=[1])
    share = messages.ConsumerGroupDescribeResponse.Assignment(topic_partitions=[reads])
    member = messages.ConsumerGroupDescribeResponse.Member(member_id="m-2", subscribed_topic_names=["t"], assignment=share)
    row = messages.ConsumerGroupDescribeResponse.DescribedGroup
    groups = [row(group_id=name, group_state="Stable", assignor_name="uniform", members=[member]) for name in names]
    return messages.ConsumerGroupDescribeResponse(groups=groups)


def test_groups_of_other_kinds_are_there_too_and_none_of_them_spoils_the_rest() -> None:
    garbage = bytes.fromhex("0000 7fffffff")
    with fake_broker() as fake, KafkaClient(fake.hosts) as client:
        with_groups(
            fake,
            ("fine", "consumer", "classic"), ("broken", "consumer", "classic"), ("connect", "connect", "classic"),
            ("offsets", "", "classic"), ("new", "consumer", "consumer"), ("sharing", "share", "share"), ("old broker", "", ""),
            groups=[
                described("fine"), described("broken", metadata=garbage), described("connect", metadata=garbage, kind="connect"),
                described("offsets", kind="", state="Empty"), described("old broker", error=30, kind=""),
            ],
        )  # fmt: skip
        fake.scripts["ConsumerGroupDescribe"] = lambda request, version: newer(*request.group_ids)
        found = client.cluster.get_managed_group_descriptions()
        assert found[b"fine"].members[b"m-1"].member_metadata.topic_names == [b"t"]
        for name in (b"broken", b"connect"):
            kept = found[name].members[b"m-1"].member_metadata
            assert kept == garbage and isinstance(kept, Undecoded) and kept.topic_names == []
        assert found[b"connect"].members[b"m-1"].member_assignment == ASSIGNMENT
        assert found[b"offsets"].state == b"Empty" and found[b"old broker"].error_code == 30
        assert found[b"new"][2:5] == (b"Stable", b"consumer", b"uniform")
        assert found[b"new"].members[b"m-2"].member_assignment.partition_assignment == [(b"t", [1])]
        # nobody knows more of these than what the listing says
        assert found[b"sharing"] == (0, b"sharing", b"Stable", b"share", b"", {})
        assert fake.seen("DescribeGroups")[0].groups == ["fine", "broken", "connect", "offsets", "old broker"]


def test_of_a_group_that_moves_the_description_without_an_error_is_kept() -> None:
    for first, second in ((16, 0), (0, 16)):
        with cluster_of(2) as (fakes, client):
            for fake, code in zip(fakes, (first, second)):
                with_groups(fake, ("g", "consumer", "classic"), groups=[described(error=code)])
            assert client.cluster.get_managed_group_descriptions()[b"g"].error_code == 0


def test_a_group_that_a_broker_lists_and_does_not_describe_is_no_success() -> None:
    with fake_broker() as fake, KafkaClient(fake.hosts) as client:
        with_groups(fake, ("g", "consumer", "classic"), groups=[described("another")])
        assert client.cluster.get_managed_group_descriptions()[b"g"].error_code == -1


def test_a_broker_that_has_left_the_cluster_is_not_asked() -> None:
    with cluster_of(2) as (fakes, client):
        with_groups(fakes[0], ("g", "consumer", "classic"))
        fakes[0].scripts["Metadata"] = fakes[0].metadata  # which knows of itself alone
        fakes[1].close()
        assert list(client.cluster.get_managed_group_descriptions()) == [b"g"]
