"""Every number there can be, as an error code: in every field that holds one, and in everything that acts on one."""

from __future__ import annotations

import copy
import struct
from collections import deque
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, Callable, Optional, cast

import pytest

from pykafka import KafkaClient, quorum
from pykafka._engine.fetching import FetchCore
from pykafka._machines.accumulator import Answer
from pykafka._machines.fetch_plan import FetchLimits, PartitionFetch
from pykafka._machines.fetch_requests import Asked, FetchSettings
from pykafka._machines.handshake import Handshake
from pykafka._machines.idempotence import Verdict, judge
from pykafka._machines.member import AWAY, ENDED, FIND_COORDINATOR
from pykafka._machines.metadata import EMPTY_VIEW, BrokerInfo, apply_reply, condenser
from pykafka.common import OffsetType, TopicPartition
from pykafka.exceptions import ERROR_CODES, KafkaException, ProtocolClientError, UnknownError, UnsupportedVersion, error_for
from pykafka.group_protocols import _session_timeout_s
from pykafka.offsets import Committer, OffsetManager, OffsetSettings
from pykafka.protocol.api import decode_response
from pykafka.protocol.messages import (
    ApiVersionsResponse,
    DescribeConfigsResponse,
    DescribeQuorumResponse,
    FetchResponse,
    FindCoordinatorResponse,
    LeaveGroupResponse,
    ListOffsetsResponse,
    MetadataResponse,
    OffsetCommitResponse,
    OffsetFetchResponse,
    SyncGroupResponse,
)
from pykafka.protocol.schema import Struct

from ..fake.broker import fake_broker
from ..fake.scripts import Log
from ..fake.test_group_troubles import Coordinator
from ..fake.test_produce_and_fetch import fetched
from ..unit.machines.driven import HEARTBEAT_S, Driven, beat, calm, classic, join_error, joined, newer
from ..unit.machines.making import accumulator, send_each
from ..unit.protocol.samples import encode
from .targets import RESPONSE_CASES

ALL_CODES = range(-(2**15), 2**15)
ERRORS = [code for code in ALL_CODES if code]
#: How many rows of one answer are given a code each: reading a row takes far less time than reading an answer.
ROWS = 1024
MARK = 0x1357
TP = TopicPartition("t", 0)


def is_right(error: Optional[BaseException], code: int) -> bool:
    """Return whether ``error`` is what ``code`` has to become: of its own class, or of that for unknown ones, with the number."""
    kind = ERROR_CODES.get(code, UnknownError)
    if type(error) is not kind or error.code != code or str(code) not in str(error):
        return False
    return code in ERROR_CODES or not error.retriable


# -- reading ----------------------------------------------------------------------------------------------------------


def test_every_error_code_is_an_error_of_ours_and_an_unknown_one_is_never_tried_again() -> None:
    for code in ERRORS:
        error = error_for(code, topic="t")
        assert isinstance(error, ProtocolClientError)
        assert is_right(error, code)
    assert 100 < len(ERROR_CODES) < 200


def error_fields(cls: type[Struct], version: int, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Return the way to every error code in a message of one version."""
    for name, field in cls.FIELDS.items():
        if field.kind == "int16" and "error_code" in name and field.in_version(version):
            yield (*path, name)
        elif field.struct is not None and field.in_version(version):
            yield from error_fields(field.struct, version, (*path, name))


def owners(message: Any, path: tuple[str, ...]) -> list[Any]:
    """Return what holds the last field on the way: the items of the list that it ends in, of which the first item leads on."""
    found = [message]
    for name in path[:-1]:
        inner = getattr(found[0], name)
        found = inner if isinstance(inner, list) else [inner]
    return found


def widened(cls: type[Struct], version: int, path: tuple[str, ...]) -> Any:
    """Return a message whose rows, where the field is in one, are as many as there are codes to try at once."""
    message: Any = cls()
    owner = message
    for at, name in enumerate(path[:-1]):
        field = owner.FIELDS[name]
        inner = field.struct()
        setattr(owner, name, [inner] * (ROWS if at == len(path) - 2 else 1) if field.kind == "array" else inner)
        owner = inner
    setattr(owner, path[-1], MARK)
    return message


FIELDS = [
    (cls, version, path)
    for cls, version in RESPONSE_CASES
    if version in (cls.MIN_VERSION, cls.MAX_VERSION)
    for path in error_fields(cls, version)
]


@pytest.mark.parametrize(
    ("cls", "version", "path"), FIELDS, ids=[f"{cls.__name__}-v{version}-{'.'.join(path)}" for cls, version, path in FIELDS]
)
def test_any_error_code_arrives_in_any_field_as_it_was_sent(cls: Any, version: int, path: tuple[str, ...]) -> None:
    message = widened(cls, version, path)
    count = len(owners(message, path))
    frame = bytearray(encode(message, version))
    mark = MARK.to_bytes(2, "big")
    assert frame.count(mark) == count
    first = frame.index(mark)
    step = frame.index(mark, first + 2) - first if count > 1 else 0
    for start in range(0, len(ALL_CODES), count):
        codes = ALL_CODES[start : start + count]
        for place, code in enumerate(codes):
            struct.pack_into(">h", frame, first + place * step, code)
        found = decode_response(cls, version, memoryview(frame))[1]
        assert [getattr(owner, path[-1]) for owner in owners(found, path)] == list(codes)


def test_the_fields_are_those_of_everything_the_client_asks() -> None:
    asked = ("ApiVersions", "Metadata", "Produce", "Fetch", "ListOffsets", "OffsetCommit", "OffsetFetch", "JoinGroup")
    assert {f"{name}Response" for name in asked} <= {cls.__name__ for cls, _version, _path in FIELDS}


# -- acting on it: what is decided purely -----------------------------------------------------------------------------


def test_a_handshake_ends_with_the_error_whatever_its_code() -> None:
    for code in ALL_CODES:
        handshake, reply = Handshake("3"), ApiVersionsResponse(error_code=code)
        if code == 0:
            assert handshake.on_reply(reply, "h:1") is not None
        elif code == 35:
            assert handshake.on_reply(reply, "h:1") is None and handshake.version == 0
            with pytest.raises(UnsupportedVersion):
                handshake.on_reply(reply, "h:1")
        else:
            with pytest.raises(KafkaException) as caught:
                handshake.on_reply(reply, "h:1")
            assert is_right(caught.value, code)


@pytest.mark.parametrize("idempotent", [True, False])
@pytest.mark.parametrize("oldest", [True, False])
def test_a_batch_that_is_answered_with_an_unknown_code_is_not_written_again(oldest: bool, idempotent: bool) -> None:
    fail = Verdict.FAIL_AND_RENUMBER if idempotent else Verdict.FAIL
    for code in ERRORS:
        found = judge(code, retriable=error_for(code).retriable, oldest=oldest, idempotent=idempotent, count=2)
        assert found is fail or code in ERROR_CODES


def test_a_batch_has_one_outcome_or_is_sent_again_whatever_the_code() -> None:
    for code in ERRORS:
        machine = accumulator()
        (batch,) = send_each(machine, "a")
        outcomes = machine.on_answer(batch, Answer(code, 5, None), 1.0)
        again = machine.sendable(1000.0) == [0]
        assert len(outcomes) + again == 1
        if code not in ERROR_CODES:
            assert is_right(outcomes[0].error, code)


def test_metadata_is_taken_over_with_any_code_and_keeps_it() -> None:
    topic, partition = MetadataResponse.MetadataResponseTopic, MetadataResponse.MetadataResponsePartition
    part = partition(partition_index=0, leader_id=1, leader_epoch=0)
    row = topic(name="t", topic_id=b"T" * 16, partitions=[part])
    for code in ALL_CODES:
        row.error_code = part.error_code = code
        answer = MetadataResponse(topics=[condenser({})(row)])
        info = apply_reply(EMPTY_VIEW, answer, ["t"], 0.0).view.topics["t"]
        assert (info.error_code, info.partitions[0].error_code) == (code, code)


# -- members of groups ------------------------------------------------------------------------------------------------


def asking(api: str) -> Driven:
    """Return a member that waits for the answer to such a request."""
    if api == FIND_COORDINATOR:
        return classic().start()
    if api == "ConsumerGroupHeartbeat":
        member = newer().get_ready("a0 a1")
        member.step(5.0)
        return member
    if api == "SyncGroup":
        member = classic().start().find()
        member.answer("JoinGroup", join_error(79, "m1"))
        member.answer("JoinGroup", joined())
        return member
    if api == "JoinGroup":
        return classic().start().find()
    member = classic().get_ready("a0 a1")
    if api == "Heartbeat":
        member.step(HEARTBEAT_S)
    else:
        member.machine.leave(member.now, "stopped")
        member.step()
        member.give_up()
    return member


REFUSALS: dict[str, Any] = {
    FIND_COORDINATOR: FindCoordinatorResponse(node_id=1, host="h", port=9092),
    "JoinGroup": join_error(0, "m9"),
    "SyncGroup": SyncGroupResponse(),
    "Heartbeat": calm(),
    "LeaveGroup": LeaveGroupResponse(),
    "ConsumerGroupHeartbeat": beat(),
}


@pytest.mark.parametrize("api", REFUSALS)
def test_a_member_goes_on_or_ends_with_the_error_whatever_the_code(api: str) -> None:
    waiting = asking(api)
    ask, reply = waiting.take(api), REFUSALS[api]
    ended = 0
    for code in ERRORS:
        reply.error_code = code
        # what a machine has is replaced when it changes, apart from its events: a copy of the surface is one of its own
        machine = copy.copy(waiting.machine)
        machine._events = []
        machine.on_reply(ask, reply, waiting.now)
        machine.poll(waiting.now)
        over = machine.state in (AWAY, ENDED) or machine._leaving is not None
        if api == "LeaveGroup":
            assert over and machine._error is None
        elif over:
            assert is_right(machine._error, code)
            ended += 1
        else:
            assert code in ERROR_CODES
    # every number that nobody knows, and of those that are known what no try can help with
    assert ended > 65_000 or api == "LeaveGroup"


# -- offsets ----------------------------------------------------------------------------------------------------------


class Answering:
    """In the place of an engine: whatever it is asked, the answer is the same one."""

    closed = False
    view = SimpleNamespace(leader=lambda topic, partition: NODE, topics={})

    def __init__(self, reply: Any) -> None:
        self.engine = self
        self.socket_timeout_s = 1.0
        self.reply = reply

    def coordinator(self, group: str, deadline: Any) -> BrokerInfo:
        """Return the only broker."""
        return NODE

    def call(self, *_args: Any, **_options: Any) -> Any:
        """Return the answer."""
        return self.reply

    call_any = call

    def begin(self, *_args: Any) -> Callable[[], Any]:
        """Return what returns the answer."""
        return lambda: self.reply


NODE = BrokerInfo(1, "h", 9092, None)
COMMITTED = OffsetFetchResponse.OffsetFetchResponseGroup(group_id="g", topics=[])
COMMIT_ROW = OffsetCommitResponse.OffsetCommitResponsePartition(partition_index=0)
FETCH_ROW = OffsetFetchResponse.OffsetFetchResponsePartitions(partition_index=0, committed_offset=3)
LIST_ROW = ListOffsetsResponse.ListOffsetsPartitionResponse(partition_index=0, offset=3)
QUORUM = DescribeQuorumResponse()
QUORUM_ROW = DescribeQuorumResponse.PartitionData()
CONFIG_ROW = DescribeConfigsResponse.DescribeConfigsResult()


def _manager(reply: Any) -> OffsetManager:
    settings = OffsetSettings(b"g", OffsetType.EARLIEST, False, True, max_retries=0, backoff_s=0.0, timeout_s=1.0)
    return OffsetManager(cast(Any, Answering(reply)), settings)


def _commit(row: Any) -> Callable[[], Any]:
    topic = OffsetCommitResponse.OffsetCommitResponseTopic(name="t", partitions=[row])
    manager = _manager(OffsetCommitResponse(topics=[topic]))
    return lambda: manager.commit({TP: 3}, Committer())


def _fetch_partition(row: Any) -> Callable[[], Any]:
    topic = OffsetFetchResponse.OffsetFetchResponseTopics(name="t", partitions=[row])
    group = OffsetFetchResponse.OffsetFetchResponseGroup(group_id="g", topics=[topic])
    manager = _manager(OffsetFetchResponse(groups=[group]))
    return lambda: manager.fetch_committed([TP])


def _fetch_group(row: Any) -> Callable[[], Any]:
    manager = _manager(OffsetFetchResponse(groups=[row]))
    return lambda: manager.fetch_committed([TP])


def _list(row: Any) -> Callable[[], Any]:
    topic = ListOffsetsResponse.ListOffsetsTopicResponse(name="t", partitions=[row])
    manager = _manager(ListOffsetsResponse(topics=[topic]))
    return lambda: manager.look_up({TP: OffsetType.EARLIEST})


def _quorum(reply: Any) -> Callable[[], Any]:
    return lambda: quorum.controller_time(cast(Any, Answering(reply)))


def _quorum_partition(row: Any) -> Callable[[], Any]:
    topic = DescribeQuorumResponse.TopicData(partitions=[row])
    return _quorum(DescribeQuorumResponse(topics=[topic]))


def _config(row: Any) -> Callable[[], Any]:
    return lambda: _session_timeout_s(DescribeConfigsResponse(results=[row]), "g")


@pytest.mark.parametrize(
    ("row", "call"),
    [
        (COMMIT_ROW, _commit(COMMIT_ROW)),
        (FETCH_ROW, _fetch_partition(FETCH_ROW)),
        (COMMITTED, _fetch_group(COMMITTED)),
        (LIST_ROW, _list(LIST_ROW)),
        (QUORUM, _quorum(QUORUM)),
        (QUORUM_ROW, _quorum_partition(QUORUM_ROW)),
        (CONFIG_ROW, _config(CONFIG_ROW)),
    ],
    ids=["commit", "fetch a partition", "fetch a group", "list", "quorum", "partition of the quorum", "configs"],
)
def test_a_call_raises_the_error_whatever_the_code(row: Any, call: Callable[[], Any]) -> None:
    raised = 0
    for code in ALL_CODES:
        row.error_code = code
        try:
            call()
        except KafkaException as error:
            assert is_right(error, code) or code == 0
            raised += 1
        else:
            # nothing is wrong, or no group of that name has committed anything
            assert code == 0 or (code == 69 and row is COMMITTED)
    assert raised >= len(ALL_CODES) - 2


# -- fetching ---------------------------------------------------------------------------------------------------------


def _fetching() -> tuple[FetchCore, PartitionFetch]:
    """Return the I/O thread's half of a consumer that reads one partition, without an I/O thread."""
    loop = SimpleNamespace(now=lambda: 100.0, call_soon=lambda *_args: None)
    engine = SimpleNamespace(loop=loop, refresh_soon=lambda: None, view=EMPTY_VIEW, request_timeout_s=1.0)
    settings = FetchSettings(500, 1, 1, 1, True, 0.1, FetchLimits(1, 1))
    core = FetchCore(cast(Any, engine), settings, lambda *_args: None, lambda *_args: None)
    fetch = PartitionFetch(TP)
    return core, fetch


@pytest.mark.parametrize("level", ["partition", "answer"])
def test_a_partition_is_fetched_again_or_fails_with_the_error_whatever_the_code(level: str) -> None:
    core, fetch = _fetching()
    reply = FetchResponse()
    failed = 0
    for code in ERRORS:
        fetch.position, fetch.failed, fetch.not_before, fetch.failures = 5, False, 0.0, 0
        core.parcels = {TP: deque()}
        if level == "partition":
            told = core._on_error(fetch, 5, code, "h:1")
        else:
            reply.error_code = code
            core._on_failure(Asked.of([fetch]), error_for(code, api="Fetch"), "h:1")
            told = fetch.failed
        assert told == fetch.failed
        if fetch.failed:
            (parcel,) = core.parcels[TP]
            assert is_right(parcel.error, code)
            failed += 1
        else:
            # it is tried after a pause, or a new place is looked for
            assert code in ERROR_CODES and (fetch.not_before > 100.0 or fetch.position is None)
    assert failed > 65_000


# -- through a client -------------------------------------------------------------------------------------------------


SOME_CODES = [-32768, -2, 200, 999, 32767]
QUICK = {"reconnect_backoff_ms": 1, "reconnect_backoff_max_ms": 2}


@pytest.mark.parametrize("code", SOME_CODES)
def test_an_unknown_error_fails_the_call_it_is_about_and_names_the_code(code: int) -> None:
    with fake_broker() as broker, KafkaClient(broker.hosts, **QUICK) as client:
        log = Log(broker)

        def refused(request: Any, version: int) -> Any:
            answer = log.answer(request, version)
            answer.responses[0].partition_responses[0].error_code = code
            return answer

        broker.scripts["Produce"] = refused
        with client.topics["t"].get_producer(linger_ms=0) as producer, pytest.raises(KafkaException, match=str(code)):
            producer.produce(b"x").result(10)
        broker.scripts["Fetch"] = lambda request, version: fetched(b"", code)
        with (
            client.topics["t"].get_simple_consumer(consumer_timeout_ms=5000) as consumer,
            pytest.raises(KafkaException, match=str(code)),
        ):
            consumer.consume()


def _send(client: KafkaClient) -> None:
    with client.topics["t"].get_producer(linger_ms=0) as producer:
        producer.produce(b"x").result(10)


def _commit_offsets(client: KafkaClient) -> None:
    with client.topics["t"].get_simple_consumer("g", consumer_timeout_ms=100) as consumer:
        consumer.commit_offsets()


def _first(answer: Any, lists: tuple[str, ...]) -> Any:
    for name in lists:
        answer = getattr(answer, name)[0]
    return answer


CALLS: dict[str, tuple[tuple[str, ...], Callable[[KafkaClient], Any]]] = {
    "InitProducerId": ((), _send),
    "Produce": (("responses", "partition_responses"), _send),
    "FindCoordinator": (("coordinators",), lambda client: client.cluster.get_group_coordinator(b"g")),
    "ListOffsets": (("topics", "partitions"), lambda client: client.topics["t"].latest_available_offsets()),
    "Metadata": (("topics",), lambda client: client.topics["other"]),
    "OffsetFetch": (("groups",), _commit_offsets),
    "OffsetCommit": (("topics", "partitions"), _commit_offsets),
}


@pytest.mark.parametrize("api", CALLS)
@pytest.mark.parametrize("code", [-2, 200])
def test_every_call_fails_at_once_with_the_unknown_error_of_what_it_asks(api: str, code: int) -> None:
    lists, call = CALLS[api]
    with fake_broker() as broker, KafkaClient(broker.hosts, **QUICK) as client:
        Log(broker)
        Coordinator(broker).epoch = -1  # of who is no member
        plain = broker.scripts[api]

        def refused(request: Any, version: int) -> Any:
            answer = plain(request, version)
            if api == "Metadata":
                answer.topics.append(MetadataResponse.MetadataResponseTopic(name="other", error_code=code))
            else:
                _first(answer, lists).error_code = code
            return answer

        broker.scripts[api] = refused
        with pytest.raises(KafkaException) as caught:
            call(client)
        assert is_right(caught.value, code)
        assert len(broker.seen(api)) <= 2
