"""Where every request comes by: read, noted, held against what tests want to go wrong, handled, answered."""

from __future__ import annotations

import struct
import traceback
from collections.abc import Mapping
from typing import Callable, Optional, Protocol

from ..exceptions import KafkaException, ProtocolError
from ..protocol.api import API_VERSIONS, decode_request, encode_response
from ..protocol.schema import REQUESTS, Request, Response
from .call import Call
from .configs import alter_configs, describe_configs, incremental_alter_configs
from .faults import DROP, SILENCE, Faults, Rule
from .fetching import Corruptions, Fetching
from .group_desk import GroupDesk, Groups
from .journal import Journal, Seen
from .listing import delete_records, list_offsets, offset_for_leader_epoch
from .metadata import api_versions, find_coordinator, metadata, unsupported_api_versions
from .producing import init_producer_id, produce
from .quorum import describe_quorum
from .state import Broker, ClusterState
from .timers import Timers
from .topics import create_partitions, create_topics, delete_topics

_HEADER = struct.Struct(">hhi")
_SIZE = struct.Struct(">i")
#: Brokers advertise Produce from 0 on for the sake of an old client, and take it from here on.
_LOWEST_PRODUCE = 3
#: From here on a broker tells the range of ApiVersions to who asks in a version that it does not know.
_RANGE_TOLD_SINCE = "2.4"
#: So many complaints are kept: whoever only listens all day, by itself, must not fill memory with what a port scanner sends.
KEPT_COMPLAINTS = 1000

Handler = Callable[[Call], None]
HANDLERS: Mapping[str, Handler] = {
    "Produce": produce,
    "ListOffsets": list_offsets,
    "Metadata": metadata,
    "FindCoordinator": find_coordinator,
    "CreateTopics": create_topics,
    "DeleteTopics": delete_topics,
    "CreatePartitions": create_partitions,
    "InitProducerId": init_producer_id,
    "OffsetForLeaderEpoch": offset_for_leader_epoch,
    "DeleteRecords": delete_records,
    "DescribeConfigs": describe_configs,
    "AlterConfigs": alter_configs,
    "IncrementalAlterConfigs": incremental_alter_configs,
    "DescribeQuorum": describe_quorum,
}


class Time(Protocol):
    """What tells the time."""

    def now(self) -> float:
        """Return seconds that only go forward."""

    def time_ms(self) -> int:
        """Return milliseconds since 1970."""


class Link(Protocol):
    """A client's connection, as the desk needs it."""

    broker: Broker
    client_host: str

    def reply(self, frame: bytes) -> None:
        """Send a frame, its size in front; then the next request may come."""

    def no_reply(self) -> None:
        """Go on with the next request."""

    def hang_up(self) -> None:
        """Close the connection."""


class Desk:
    """All requests of a cluster come by here. Everything is done in one thread, at the times that ``clock`` tells."""

    def __init__(self, state: ClusterState, clock: Time, groups: Groups) -> None:
        self.state = state
        self.timers = Timers()
        self.faults = Faults()
        self.corruptions = Corruptions()
        self.journal = Journal()
        #: what no client should have done, and what failed in here or in a test's own function
        self.complaints: list[str] = []
        self._clock = clock
        self._fetching = {broker_id: Fetching() for broker_id in state.brokers}
        #: what looks after the groups
        self.groups = groups
        self._group_desk = GroupDesk(groups, state)
        self._held: list[tuple[Call, Link]] = []
        self._calls: dict[Link, Call] = {}
        names = {*HANDLERS, "Fetch", "ApiVersions", *GroupDesk.names}
        self._ranges = state.version.ranges(names)

    # -- time ---------------------------------------------------------------------------------------------------------

    def next_deadline(self) -> float:
        """Return when :meth:`tick` has something to do."""
        return min(self.timers.next_deadline(), self.groups.next_tick())

    def tick(self) -> None:
        """Do what is due."""
        now = self._clock.now()
        self.timers.run(now)
        self.groups.tick(now)

    # -- connections --------------------------------------------------------------------------------------------------

    def receive(self, link: Link, frame: bytes) -> None:
        """Act on one request."""
        try:
            self._receive(link, frame)
        except Exception:
            self._failed(link, traceback.format_exc())

    def closed(self, link: Link) -> None:
        """Note that a connection is gone: nobody waits for its answer."""
        call = self._calls.pop(link, None)
        if call is not None:
            call.abandon()
            self._held = [(held, its) for held, its in self._held if held is not call]

    def complain(self, what: str) -> None:
        """Note what has to fail the test."""
        if len(self.complaints) < KEPT_COMPLAINTS:
            self.complaints.append(what)
        elif len(self.complaints) == KEPT_COMPLAINTS:
            self.complaints.append("and more, which are not kept")

    def _failed(self, link: Link, what: str) -> None:
        self.complain(what)
        link.hang_up()

    def _receive(self, link: Link, frame: bytes) -> None:
        if len(frame) < _HEADER.size:
            self._failed(link, f"{link.client_host} sent a request of {len(frame)} bytes, too short for a header")
            return
        key, version, correlation_id = _HEADER.unpack_from(frame)
        low, high = self._ranges.get(key, (0, -1))
        low = max(low, _LOWEST_PRODUCE) if key == 0 else low
        if not low <= version <= high:
            self._refuse_version(link, key, version, correlation_id)
            return
        try:
            # as with Kafka, what comes after a request is nothing: librdkafka asks for all topics with three bytes too many
            request, version, correlation_id, client_id = decode_request(memoryview(frame), to_end=False)
        except ProtocolError as error:
            self._failed(link, f"{link.client_host} sent a malformed {REQUESTS[key].NAME} v{version}: {error}")
            return
        self._take(link, request, version, correlation_id, client_id, len(frame))

    def _refuse_version(self, link: Link, key: int, version: int, correlation_id: int) -> None:
        if key == API_VERSIONS:
            # how a client learns which versions there are, so it is no mistake
            answer = unsupported_api_versions(self._ranges, key, self.state.version >= _RANGE_TOLD_SINCE)
            link.reply(_framed(answer, 0, correlation_id))
            return
        known = REQUESTS.get(key)
        what = f"API key {key}" if known is None else known.NAME
        has = "does not have it" if key not in self._ranges else f"has versions {self._ranges[key]}"
        self._failed(link, f"{link.client_host} sent {what} v{version} to broker {link.broker.id}, which {has}")

    # -- requests -----------------------------------------------------------------------------------------------------

    def _take(
        self, link: Link, request: Request, version: int, correlation_id: int, client_id: Optional[str], size: int
    ) -> None:
        now = self._clock.now()
        broker = link.broker
        self.journal.add(Seen(broker.id, client_id, request.NAME, version, request, now), size)
        if self.faults.take(self.faults.drops_before, request.NAME, broker.id):
            link.hang_up()
            return
        drop = self.faults.take(self.faults.drops_after, request.NAME, broker.id)
        delay = self.faults.take(self.faults.delays, request.NAME, broker.id)

        def send(response: Optional[Response]) -> None:
            self._answered(link, call, response, correlation_id, drop, delay)

        call = Call(
            request,
            version,
            broker=broker,
            state=self.state,
            timers=self.timers,
            now=now,
            time_ms=self._clock.time_ms(),
            send=send,
            client_id=client_id or "",
            client_host=link.client_host,
        )
        self._calls[link] = call
        in_session = self._fetching[broker.id].sessions.partitions_of(request) if request.NAME == "Fetch" else ()
        call.failures = self.faults.take_failures(request, broker.id, self.state.names.get, in_session)
        if request.NAME in self.faults.held:
            self._held.append((call, link))
        else:
            self._handle(call, link, correlation_id)

    def release(self, name: Optional[str]) -> int:
        """Go on with the held requests of an API (None: of all), and hold no more; return how many that were."""
        self.faults.held = set() if name is None else self.faults.held - {name}
        freed = [(call, link) for call, link in self._held if name in (None, call.name)]
        self._held = [(call, link) for call, link in self._held if name not in (None, call.name)]
        for call, link in freed:
            try:
                call.now, call.time_ms = self._clock.now(), self._clock.time_ms()
                self._handle(call, link, None)
            except Exception:
                self._failed(link, traceback.format_exc())
        return len(freed)

    def held(self, name: Optional[str] = None) -> int:
        """Return how many requests of an API (None: of any) are held."""
        return sum(name in (None, call.name) for call, _link in self._held)

    def _handle(self, call: Call, link: Link, correlation_id: Optional[int]) -> None:
        intercept = self.faults.intercepts.get(call.name)
        if intercept is None:
            self._dispatch(call)
            return
        answer = intercept(call.request, call.version)
        if answer is None:
            self._dispatch(call)
        elif answer is DROP:
            link.hang_up()
        elif isinstance(answer, (bytes, bytearray)):
            self._calls.pop(link, None)
            link.reply(bytes(answer))
        elif answer is not SILENCE:
            call.answer(answer)

    def _dispatch(self, call: Call) -> None:
        name = call.name
        if name == "Fetch":
            self._fetching[call.broker.id].fetch(call, self.corruptions)
        elif name == "ApiVersions":
            api_versions(call, self._ranges)
        elif name in GroupDesk.names:
            self._group_desk.handle(call)
        else:
            HANDLERS[name](call)

    def _answered(
        self,
        link: Link,
        call: Call,
        response: Optional[Response],
        correlation_id: int,
        drop: Optional[Rule],
        delay: Optional[Rule],
    ) -> None:
        if call.is_abandoned:
            return

        def deliver() -> None:
            if call.is_abandoned:
                return
            self._calls.pop(link, None)
            if drop is not None:
                link.hang_up()
            elif response is None:
                link.no_reply()
            else:
                self._send(link, call, response, correlation_id)

        if delay is None:
            deliver()
        else:
            self.timers.call_at(self._clock.now() + delay.what["seconds"], deliver)

    def _send(self, link: Link, call: Call, response: Response, correlation_id: int) -> None:
        try:
            frame = _framed(response, call.version, correlation_id)
        except KafkaException:
            # what a test's own function returned, or an error of ours
            self._failed(link, f"the answer to {call.name} v{call.version} cannot be sent:\n{traceback.format_exc()}")
            return
        link.reply(frame)

    # -- what tests do to brokers -------------------------------------------------------------------------------------

    def forget_fetch_sessions(self, broker_id: Optional[int] = None) -> None:
        """Forget the fetch sessions of one broker, or of all of them."""
        for known, fetching in self._fetching.items():
            if broker_id in (None, known):
                fetching.sessions.clear()

    def move_coordinator(self, group: str, to: int) -> None:
        """Have another broker look after a group."""
        self.state.coordinators[group] = self.state.broker(to).id
        self.groups.coordinator_moved(group, self._clock.now())


def _framed(response: Response, version: int, correlation_id: int) -> bytes:
    frame = b"".join(encode_response(response, version, correlation_id))
    return _SIZE.pack(len(frame)) + frame
