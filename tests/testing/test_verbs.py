"""Each verb of a fake cluster does what its name says."""

from __future__ import annotations

from typing import Any

import pytest

from pykafka import KafkaClient
from pykafka.exceptions import NotLeaderForPartition, ProduceFailureError
from pykafka.protocol import messages as m
from pykafka.testing import DROP, SILENCE, FakeCluster, ManualClock

from ..support import until
from .peer import Peer, address, batch, create_topic, fetch, list_offsets, metadata, part, peer_of, produce, read, write


def test_the_next_requests_fail_as_often_as_was_said(fakes: FakeCluster, peer: Peer) -> None:
    fakes.fail_next("Produce", NotLeaderForPartition, times=2)
    assert [write(peer, b"a").error_code for _ in range(3)] == [6, 6, 0]
    assert fakes.values("t") == [b"a"]
    fakes.fail_next(m.FetchRequest, 1)
    assert [read(peer).error_code for _ in range(2)] == [1, 0]
    fakes.fail_next("Fetch", 70)
    assert peer.ask(fetch("t", part(), session_epoch=-1), 12).error_code == 70


def test_only_the_partition_that_was_named_fails(fakes: FakeCluster, peer: Peer) -> None:
    fakes.create_topic("two", 3, replication_factor=1)
    here = [number for number in range(3) if fakes.leader("two", number) == 1]
    fakes.fail_next("ListOffsets", 5, topic="two", partition=here[0])
    assert peer.ask(list_offsets("t", -1)).topics[0].partitions[0].error_code == 0
    assert peer.ask(list_offsets("two", -1, partition=here[0])).topics[0].partitions[0].error_code == 5
    assert peer.ask(list_offsets("two", -1, partition=here[0])).topics[0].partitions[0].error_code == 0
    fakes.fail_next("Metadata", 29, topic="two")
    assert {row.name: row.error_code for row in peer.ask(metadata("t", "two")).topics} == {"t": 0, "two": 29}
    with pytest.raises(ValueError, match="of which topic"):
        fakes.fail_next("Fetch", 1, partition=0)


def test_a_fetch_in_a_session_fails_only_where_it_is_about_what_was_named(fakes: FakeCluster, peer: Peer) -> None:
    opened = peer.ask(fetch("t", part(), session_epoch=0), 12)
    fakes.fail_next("Fetch", 6, topic="other")
    fakes.fail_next("Fetch", 74, topic="t", partition=0)
    codes = []
    for epoch in (1, 2, 3):
        answer = peer.ask(fetch("t", session_epoch=epoch, session_id=opened.session_id), 12)
        codes.append([row.error_code for topic in answer.responses for row in topic.partitions])
    # what follows an error is told again
    assert codes == [[74], [0], []]


def test_only_the_broker_that_was_named_fails(fakes: FakeCluster, peer: Peer) -> None:
    fakes.fail_next("Metadata", 29, broker=2)
    assert peer.ask(metadata("t")).topics[0].error_code == 0
    with peer_of(address(fakes, 2)) as second:
        assert [second.ask(metadata("t")).topics[0].error_code for _ in range(2)] == [29, 0]


@pytest.mark.parametrize(
    ("request_", "code_of"),
    [
        (m.InitProducerIdRequest(transactional_id=None), lambda answer: answer.error_code),
        (m.FindCoordinatorRequest(coordinator_keys=["g"]), lambda answer: answer.coordinators[0].error_code),
        (create_topic("new"), lambda answer: answer.topics[0].error_code),
        (m.DeleteTopicsRequest(topics=[m.DeleteTopicsRequest.DeleteTopicState(name="t")]), lambda a: a.responses[0].error_code),
        (m.ApiVersionsRequest(client_software_name="a", client_software_version="1"), lambda answer: answer.error_code),
    ],
    ids=lambda value: getattr(value, "NAME", ""),
)
def test_every_request_can_fail(fakes: FakeCluster, peer: Peer, request_: Any, code_of: Any) -> None:
    fakes.fail_next(type(request_), 41)
    assert [code_of(peer.ask(request_)) for _ in range(2)] == [41, 0]


def test_errors_that_are_none_are_refused(fakes: FakeCluster) -> None:
    for wrong in (ProduceFailureError, ValueError, "6"):
        with pytest.raises(ValueError, match="no broker answers with"):
            fakes.fail_next("Produce", wrong)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="at least once"):
        fakes.fail_next("Produce", 6, times=0)


def test_our_client_gets_over_errors_that_pass(fakes: FakeCluster) -> None:
    with KafkaClient(fakes.hosts) as client, client.topics["t"].get_producer(delivery_reports=False) as producer:
        fakes.fail_next("Produce", NotLeaderForPartition, times=2)
        producer.produce(b"a")
        until(lambda: fakes.values("t") == [b"a"])
        # what was written before the connection broke is sent again, and known again
        fakes.drop_connection(after="Produce")
        producer.produce(b"b")
    assert fakes.values("t") == [b"a", b"b"]
    assert len(fakes.requests.seen("Produce")) == 5


def test_a_connection_is_dropped_before_or_after_the_request_is_acted_on(fakes: FakeCluster) -> None:
    for when, written in (("before", 0), ("after", 1)):
        fakes.drop_connection(**{when: "Produce"})
        with peer_of(fakes.hosts) as peer, pytest.raises((EOFError, ConnectionResetError)):
            write(peer, b"a")
        assert len(fakes.values("t")) == written
    with pytest.raises(ValueError, match="not both"):
        fakes.drop_connection(before="Fetch", after="Fetch")


def test_all_connections_are_dropped_at_once(fakes: FakeCluster, peer: Peer) -> None:
    with peer_of(address(fakes, 2)) as second:
        fakes.drop_connection(broker=2)
        assert second.is_closed()
    assert write(peer, b"a").error_code == 0
    fakes.drop_connection()
    assert peer.is_closed()


def test_an_answer_is_delayed_but_not_what_it_is_about() -> None:
    clock = ManualClock()
    with FakeCluster(topics={"t": 1}, clock=clock) as fakes, peer_of(fakes.hosts) as peer:
        fakes.delay("Produce", 5)
        peer.send(produce("t", batch(b"a")), 12)
        until(lambda: fakes.values("t") == [b"a"])
        clock.advance(4.9)
        peer.socket.settimeout(0.05)
        with pytest.raises(TimeoutError):
            peer.socket.recv(1)
        clock.advance(0.2)
        peer.socket.settimeout(10)
        assert peer.receive(produce("t"), 12).responses[0].partition_responses[0].error_code == 0


def test_a_long_poll_ends_when_the_clock_is_moved_or_something_is_written() -> None:
    clock = ManualClock()
    with FakeCluster(topics={"t": 1}, clock=clock) as fakes, peer_of(fakes.hosts) as peer:
        asked = fetch("t", part(), session_epoch=-1, wait_ms=30000)
        for act in (lambda: clock.advance(31), lambda: fakes.produce("t", ["a"])):
            fakes.requests.clear()
            peer.send(asked, 12)
            until(lambda: fakes.requests.seen("Fetch"))
            act()
            (row,) = peer.receive(asked, 12).responses[0].partitions
        assert row.high_watermark == 1 and len(row.records) > 60


def test_a_manual_clock_does_not_go_back() -> None:
    clock = ManualClock(time_ms=1000)
    for wrong in (-1, float("nan")):
        with pytest.raises(ValueError, match="cannot go back"):
            clock.advance(wrong)
    clock.advance(1.5)
    assert (clock.now(), clock.time_ms()) == (1.5, 2500)


def test_batches_are_corrupted_as_they_are_sent_and_not_in_the_log(fakes: FakeCluster, peer: Peer) -> None:
    for value in (b"a", b"b"):
        write(peer, value)
    good = bytes(read(peer).records)
    fakes.corrupt("t", offset=1)
    bad = bytes(read(peer).records)
    assert bad[: len(good) // 2] == good[: len(good) // 2] and bad != good
    assert sum(bin(one ^ other).count("1") for one, other in zip(good, bad)) == 1
    assert bytes(read(peer).records) == good and fakes.values("t") == [b"a", b"b"]


def test_a_truncated_log_is_told_by_its_epochs(fakes: FakeCluster, peer: Peer) -> None:
    for value in (b"a", b"b", b"c"):
        write(peer, value)
    fakes.truncate("t", 0, 1)
    assert fakes.values("t") == [b"a"]
    assert write(peer, b"B").base_offset == 1
    asked = fetch("t", part(offset=3, last_fetched_epoch=0, current_leader_epoch=1), session_epoch=-1)
    (row,) = peer.ask(asked, 12).responses[0].partitions
    assert (row.error_code, row.diverging_epoch.epoch, row.diverging_epoch.end_offset) == (0, 0, 1)
    (row,) = peer.ask(fetch("t", part(current_leader_epoch=0), session_epoch=-1), 12).responses[0].partitions
    assert row.error_code == 74


def test_a_log_begins_later_after_records_are_deleted(fakes: FakeCluster, peer: Peer) -> None:
    for value in (b"a", b"b", b"c"):
        write(peer, value)
    fakes.delete_records("t", 0, 2)
    assert fakes.values("t") == [b"c"]
    row = read(peer)
    assert (row.error_code, read(peer, 2).log_start_offset) == (1, 2)
    assert peer.ask(list_offsets("t", -2)).topics[0].partitions[0].offset == 2


def test_leadership_moves_and_old_leaders_say_where(fakes: FakeCluster, peer: Peer) -> None:
    fakes.move_leader("t", 0, to=3)
    assert fakes.leader("t") == 3
    topic_id = peer.ask(metadata("t")).topics[0].topic_id
    answer = peer.ask(produce("t", batch(b"a"), topic_id=topic_id))
    (row,) = answer.responses[0].partition_responses
    assert (row.error_code, row.current_leader.leader_id, row.current_leader.leader_epoch) == (6, 3, 1)
    assert [f"{one.host}:{one.port}" for one in answer.node_endpoints] == [address(fakes, 3)]
    with peer_of(address(fakes, 3)) as third:
        assert write(third, b"a").error_code == 0
    with pytest.raises(ValueError, match="no broker 4"):
        fakes.move_leader("t", 0, to=4)


def test_a_broker_stops_and_comes_back_at_the_same_place(fakes: FakeCluster, peer: Peer) -> None:
    write(peer, b"a")
    fakes.stop_broker(1)
    assert peer.is_closed()
    with pytest.raises(ConnectionRefusedError):
        Peer(address(fakes, 1))
    leader = fakes.leader("t")
    assert leader in (2, 3)
    with peer_of(address(fakes, 2)) as second:
        answer = second.ask(metadata("t"))
        (row,) = answer.topics[0].partitions
        assert [broker.node_id for broker in answer.brokers] == [2, 3] and row.offline_replicas == (1,)
        assert sorted(row.isr_nodes) == [2, 3] and row.leader_epoch == 1
    fakes.start_broker(1)
    with peer_of(address(fakes, 1)) as again:
        assert sorted(again.ask(metadata("t")).topics[0].partitions[0].isr_nodes) == [1, 2, 3]
    assert fakes.values("t") == [b"a"]


def test_a_partition_with_one_copy_has_no_leader_while_its_broker_is_down(fakes: FakeCluster) -> None:
    fakes.create_topic("single", 1, replication_factor=1)
    leader = fakes.leader("single")
    assert leader is not None
    other = leader % 3 + 1
    fakes.stop_broker(leader)
    assert fakes.leader("single") is None
    with peer_of(address(fakes, other)) as peer:
        (row,) = peer.ask(metadata("single")).topics[0].partitions
        assert (row.error_code, row.leader_id) == (5, -1)
    fakes.start_broker(leader)
    assert fakes.leader("single") == leader


def test_too_few_copies_take_nothing_that_wants_all(fakes: FakeCluster, peer: Peer) -> None:
    fakes.create_topic("safe", min_insync_replicas=2)
    fakes.move_leader("safe", 0, to=1)
    assert write(peer, b"a", topic="safe").error_code == 0
    fakes.stop_broker(2)
    fakes.stop_broker(3)
    assert write(peer, b"a", topic="safe").error_code == 19
    assert write(peer, b"a", topic="safe", acks=1).error_code == 0


def test_our_client_goes_on_when_brokers_stop_and_come_back(fakes: FakeCluster) -> None:
    fakes.create_topic("clicks", 3)
    with KafkaClient(fakes.hosts) as client, client.topics["clicks"].get_producer() as producer:
        for number in range(60):
            if number % 20 == 10:
                fakes.stop_broker(number // 20 + 1)
            producer.produce(b"%d" % number)
            if number % 20 == 19:
                fakes.start_broker(number // 20 + 1)
    assert sorted(fakes.values("clicks"), key=lambda value: int(value or b"")) == [b"%d" % number for number in range(60)]


def test_requests_are_held_until_they_are_released(fakes: FakeCluster, peer: Peer) -> None:
    fakes.hold("Produce")
    peer.send(produce("t", batch(b"a")), 12)
    until(lambda: fakes.held("Produce") == 1)
    assert fakes.values("t") == []
    assert fakes.release("Produce") == 1
    assert peer.receive(produce("t"), 12).responses[0].partition_responses[0].error_code == 0
    assert write(peer, b"b").error_code == 0
    assert fakes.release() == 0


def test_a_request_whose_client_is_gone_is_not_held_any_more(fakes: FakeCluster) -> None:
    fakes.hold("Produce")
    with peer_of(fakes.hosts) as peer:
        peer.send(produce("t", batch(b"a")), 12)
        until(lambda: fakes.held() == 1)
    until(lambda: fakes.held() == 0)
    assert fakes.release() == 0 and fakes.values("t") == []


def test_a_function_answers_in_the_place_of_the_broker(fakes: FakeCluster, peer: Peer) -> None:
    answers: list[Any] = [m.ProduceResponse(throttle_time_ms=7), None]
    seen: list[Any] = []

    def act(request: Any, version: int) -> Any:
        seen.append((request.acks, version))
        return answers.pop(0)

    fakes.on("Produce", act)
    assert peer.ask(produce("t", batch(b"a")), 12).throttle_time_ms == 7
    assert write(peer, b"b").error_code == 0
    assert fakes.values("t") == [b"b"] and seen == [(-1, 12), (-1, 12)]
    fakes.on("Produce", None)
    assert write(peer, b"c").error_code == 0


def test_a_function_has_other_ways_out(fakes: FakeCluster, peer: Peer) -> None:
    fakes.on("Metadata", lambda request, version: b"\0\0\0\4rude")
    peer.send(metadata(), 9)
    assert peer.receive_frame() == b"rude"
    fakes.on("Metadata", lambda request, version: SILENCE)
    peer.send(metadata(), 9)
    # nothing that comes later on the connection is answered either: answers have an order
    peer.send(list_offsets("t", -1), 9)
    peer.socket.settimeout(0.1)
    with pytest.raises(TimeoutError):
        peer.socket.recv(1)
    fakes.on("Metadata", lambda request, version: DROP)
    with peer_of(fakes.hosts) as second:
        second.send(metadata(), 9)
        assert second.is_closed()


def test_a_function_that_raises_fails_the_test_and_says_where() -> None:
    def act(request: Any, version: int) -> Any:
        raise ZeroDivisionError("in a test's function")

    fakes = FakeCluster().start()
    fakes.on("Metadata", act)
    with peer_of(fakes.hosts) as peer:
        peer.send(metadata(), 9)
        assert peer.is_closed()
    with pytest.raises(AssertionError, match=r"(?s)in act.*in a test's function"):
        fakes.stop()


def test_verbs_may_be_used_by_a_function(fakes: FakeCluster, peer: Peer) -> None:
    fakes.on("Metadata", lambda request, version: fakes.stop_broker(3))
    assert [broker.node_id for broker in peer.ask(metadata()).brokers] == [1, 2]


def test_fetch_sessions_are_forgotten(fakes: FakeCluster, peer: Peer) -> None:
    opened = peer.ask(fetch("t", part(), session_epoch=0), 12)
    assert opened.session_id > 0
    fakes.forget_fetch_sessions()
    assert peer.ask(fetch("t", session_epoch=1, session_id=opened.session_id), 12).error_code == 70


def test_a_coordinator_moves(fakes: FakeCluster, peer: Peer) -> None:
    def coordinator() -> int:
        return int(peer.ask(m.FindCoordinatorRequest(coordinator_keys=["g"])).coordinators[0].node_id)

    before = coordinator()
    moved = 2 if before != 2 else 3
    fakes.move_coordinator("g", moved)
    assert coordinator() == moved
    # when it stops, another one takes over
    fakes.stop_broker(moved)
    assert coordinator() != moved


def test_everything_heals(fakes: FakeCluster, peer: Peer) -> None:
    fakes.fail_next("Produce", 6, times=9)
    fakes.drop_connection(before="Produce")
    fakes.on("Produce", lambda request, version: DROP)
    fakes.delay("Produce", 60)
    fakes.hold("Fetch")
    fakes.corrupt("t")
    fakes.heal()
    assert write(peer, b"a").error_code == 0
    assert bytes(read(peer).records[61:]) == batch(b"a")[61:]


def test_consumers_are_sent_to_a_copy_in_their_rack() -> None:
    with FakeCluster(brokers=2, topics={"t": 1}, racks=["a", "b"]) as fakes:
        leader = fakes.leader("t") or 0
        with peer_of(address(fakes, leader)) as peer, peer_of(address(fakes, 3 - leader)) as other:
            write(peer, b"x")
            rack = {1: "b", 2: "a"}[leader]
            row = read(peer, rack_id=rack)
            assert (row.preferred_read_replica, bytes(row.records)) == (3 - leader, b"")
            assert read(peer, rack_id="c").preferred_read_replica == -1
            assert len(read(other, rack_id=rack).records) > 60
