"""A Kafka cluster for tests: what a user starts, looks into, and breaks."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Callable, Optional, TypeVar, Union

from .arguments import Name, Payload, as_name, as_seconds, as_sizes, records, whole_number
from .batches import Header, Record, build
from .clock import ManualClock, SystemClock
from .desk import Desk
from .faults import Api, ErrorCode, Intercept, Rule, api_name, check_parts, error_code
from .group_common import GroupSettings
from .groups import GroupCoordinator
from .journal import Journal
from .offsets import Committed
from .server import Server
from .settings import problem_with
from .state import NO_LEADER, Broker, ClusterState, Partition, problem_with_name
from .versions import NEWEST, Version

if TYPE_CHECKING:
    import ssl

T = TypeVar("T")


class FakeCluster:
    """Brokers on loopback sockets in one thread of this process, which keep nothing when they stop.

    A context manager: it serves from ``with`` on, and at its end raises an AssertionError if a client sent what no broker
    understands. Every method may be called from any thread, also by functions given to :meth:`on`.

    :param brokers: how many; their ids are 1, 2, ...
    :param topics: names and numbers of partitions of the topics to begin with
    :param as_version: the version of Kafka whose requests they understand, ``"0.11"`` to ``"4.4"``
    :param clock: a ManualClock, by which all waits of the brokers go; without one they go by the system's
    :param ssl_context: for servers, with a certificate: makes all connections TLS
    :param auto_create_topics: whether a topic is created when a client asks for its metadata
    :param default_partitions: how many partitions such a topic has
    :param port: that of the first broker, the others follow; 0 takes any that are free
    :param host: where they listen and tell clients to connect to
    :param racks: the racks of the brokers, in order: consumers read from a copy in their own (KIP-392)
    :param group_settings: how long members may be silent, and the like
    """

    def __init__(
        self,
        brokers: int = 1,
        topics: Optional[Mapping[Name, int]] = None,
        as_version: str = NEWEST,
        clock: Optional[ManualClock] = None,
        ssl_context: Optional[ssl.SSLContext] = None,
        auto_create_topics: bool = True,
        port: int = 0,
        host: str = "127.0.0.1",
        default_partitions: int = 1,
        racks: Optional[Sequence[str]] = None,
        group_settings: Optional[GroupSettings] = None,
    ) -> None:
        if whole_number("brokers", brokers) < 1:
            raise ValueError(f"brokers={brokers}: a cluster has at least one")
        if not 0 <= whole_number("port", port) <= 65536 - brokers:
            raise ValueError(f"port={port}: {brokers} brokers need ports up to {port + brokers - 1}, and there are 1 to 65535")
        if racks is not None and len(racks) != brokers:
            raise ValueError(f"racks={list(racks)!r}: one for each of {brokers} brokers")
        for what, given, kind in (("clock", clock, ManualClock), ("group_settings", group_settings, GroupSettings)):
            if given is not None and not isinstance(given, kind):
                raise TypeError(f"{what}={given!r}: give a {kind.__name__}(...)")
        nodes = [
            Broker(number + 1, host, port + number if port else 0, racks[number] if racks else None) for number in range(brokers)
        ]
        self._state = ClusterState(nodes, Version(as_version), auto_create_topics, default_partitions)
        self._clock = clock or SystemClock()
        self._groups = GroupCoordinator(self._state.topic_sizes, group_settings or GroupSettings())
        self._desk = Desk(self._state, self._clock, self._groups)
        self._tls = ssl_context
        self._server: Optional[Server] = None
        for name, partitions in as_sizes(topics).items():
            self.create_topic(name, partitions)

    def __repr__(self) -> str:
        state = "serving" if self._server is not None else "stopped"
        return f"<FakeCluster {state} {self.hosts} topics={sorted(self._state.topics)}>"

    # -- from beginning to end ----------------------------------------------------------------------------------------

    def start(self) -> FakeCluster:
        """Return the cluster once it serves.

        :raises OSError: when a port is taken, naming it
        """
        if self._server is not None:
            raise RuntimeError("the cluster has been started already")
        server = Server(self._desk, self._clock, self._tls)
        try:
            for broker in self._state.running:
                server.listen(broker)
        except OSError:
            server.stop()
            raise
        self._server = server
        self._clock.on_move(self._clock_moved)
        server.start()
        return self

    def stop(self) -> None:
        """Close every connection and end the thread; a second time does nothing.

        :raises AssertionError: naming what a client sent that no broker of this version understands, and what failed in here
        """
        server, self._server = self._server, None
        if server is None:
            return
        self._clock.off_move(self._clock_moved)
        server.stop()
        complaints, self._desk.complaints = self._desk.complaints, []
        if complaints:
            raise AssertionError("the fake cluster saw what must not happen:\n" + "\n".join(f"- {one}" for one in complaints))

    def __enter__(self) -> FakeCluster:
        return self.start()

    def __exit__(self, exc_type: Optional[type[BaseException]], *_details: object) -> None:
        try:
            self.stop()
        except AssertionError as error:
            if exc_type is None:
                raise
            # the test's own error comes first; pytest shows this one below it
            print(error, file=sys.stderr)

    @property
    def hosts(self) -> str:
        """Return what clients connect to: ``host:port`` of every broker, with commas between them."""
        return ",".join(f"{broker.host}:{broker.port}" for broker in self._state.brokers.values())

    @property
    def requests(self) -> Journal:
        """Return what clients have asked: ``kafka.requests.seen("Produce")``."""
        return self._desk.journal

    @property
    def complaints(self) -> list[str]:
        """Return what :meth:`stop` will raise about; a test that means it clears the list."""
        return self._desk.complaints

    # -- topics and messages ------------------------------------------------------------------------------------------

    def create_topic(
        self, name: Name, partitions: int = 1, replication_factor: Optional[int] = None, **configs: Union[str, int, bool]
    ) -> None:
        """Create a topic; ``cleanup_policy="compact"`` stands for its setting ``cleanup.policy``.

        :param replication_factor: how many copies, by default as many as there are brokers and at most 3
        :raises ValueError: for what Kafka refuses, too
        """
        name = as_name("topic", name)
        settings = {key.replace("_", "."): _as_setting(value) for key, value in configs.items()}
        problems = [problem_with_name(name), *(problem_with(key, value) for key, value in settings.items())]
        copies = self._state.default_replication if replication_factor is None else whole_number("copies", replication_factor)
        if whole_number("partitions", partitions) < 1 or not 1 <= copies <= len(self._state.brokers):
            problems.append(f"{partitions} partitions in {copies} copies on {len(self._state.brokers)} brokers")
        for problem in problems:
            if problem:
                raise ValueError(f"topic {name!r} cannot be created: {problem}")

        def create() -> None:
            if name in self._state.topics:
                raise ValueError(f"topic {name!r} is there already")
            self._state.create(name, partitions, min(copies, len(self._state.running)), settings)

        self._run(create)

    def delete_topic(self, name: Name) -> None:
        """Delete a topic and what is in it."""
        name = as_name("topic", name)

        def delete() -> None:
            if name not in self._state.topics:
                raise ValueError(f"there is no topic {name!r}; there are {sorted(self._state.topics)}")
            self._state.delete(name)

        self._run(delete)

    def add_partitions(self, name: Name, total: int) -> None:
        """Give a topic more partitions, ``total`` altogether."""
        name = as_name("topic", name)

        def add() -> None:
            topic = self._state.get(name, 0).topic
            if total <= len(topic.partitions):
                raise ValueError(f"topic {name!r} has {len(topic.partitions)} partitions: {total} are not more")
            self._state.add_partitions(topic, total - len(topic.partitions), len(topic.partitions[0].replicas))

        self._run(add)

    def produce(
        self,
        topic: Name,
        values: Iterable[Payload],
        partition: int = 0,
        keys: Optional[Iterable[Payload]] = None,
        timestamps: Optional[Iterable[int]] = None,
        headers: Optional[Iterable[Sequence[Header]]] = None,
    ) -> int:
        """Write messages as one batch without a client, creating the topic if need be; return the first one's offset.

        :param keys: one for each of the values; without them the messages have no key
        :param timestamps: in milliseconds since 1970; without them it is now
        :param headers: lists of (name, value)
        :raises TypeError: for a single value that is in no list, and for what cannot be written
        """
        topic = as_name("topic", topic)
        if isinstance(values, (bytes, bytearray, memoryview, str)):
            raise TypeError(f"produce() takes a list of values, not a single one: produce({topic!r}, [value])")
        rows = records(values, keys, timestamps, headers, self._clock.time_ms())

        def append() -> int:
            if topic not in self._state.topics and self._state.auto_create:
                self._state.create(topic, max(self._state.default_partitions, partition + 1), 1)
            found = self._state.get(topic, partition)
            offset = found.log.append(build(rows)).base_offset
            found.tell()
            return offset

        return self._run(append)

    def records(self, topic: Name, partition: int = 0) -> list[Record]:
        """Return what is in a partition: offset, timestamp, key, value and headers of each message."""
        name = as_name("topic", topic)
        return self._run(lambda: self._state.get(name, partition).log.records())

    def values(self, topic: Name, partition: Optional[int] = None) -> list[Optional[bytes]]:
        """Return the values of the messages in a partition, or in all of them, one partition after the other."""
        name = as_name("topic", topic)
        if partition is not None:
            return [record.value for record in self.records(name, partition)]

        def read() -> list[Optional[bytes]]:
            found = self._state.get(name, 0).topic
            return [record.value for part in found.partitions for record in part.log.records()]

        return self._run(read)

    def leader(self, topic: Name, partition: int = 0) -> Optional[int]:
        """Return the id of the broker that leads a partition, None when none does."""
        name = as_name("topic", topic)

        def look() -> Optional[int]:
            found = self._state.get(name, partition).leader
            return None if found == NO_LEADER else found

        return self._run(look)

    # -- what goes wrong ----------------------------------------------------------------------------------------------

    def fail_next(
        self,
        request: Api,
        error: ErrorCode,
        times: int = 1,
        topic: Optional[Name] = None,
        partition: Optional[int] = None,
        broker: Optional[int] = None,
    ) -> None:
        """Answer the next requests of a kind with an error, and do nothing of what they ask.

        With ``topic`` and ``partition`` only requests about these count, and only these parts of them fail.

        :param request: a class of ``pykafka.protocol.messages`` or its name, ``"Produce"``
        :param error: a class of ``pykafka.exceptions``, or the number of an error
        """
        if partition is not None and topic is None:
            raise ValueError(f"partition={partition}: of which topic?")
        name = None if topic is None else as_name("topic", topic)
        api = api_name(request)
        check_parts(api, name, partition)
        rule = Rule(api, times, self._known(broker), code=error_code(error), topic=name, partition=partition)
        self._run(lambda: self._desk.faults.failures.append(rule))

    @property
    def faults(self) -> list[str]:
        """Return what is still to go wrong, a line each: a test that ends with any has asked for what has never happened."""
        return self._run(lambda: [rule.text for rule in self._desk.faults.rules()] + self._desk.corruptions.texts())

    def delay(self, request: Api, seconds: float, times: int = 1, broker: Optional[int] = None) -> None:
        """Do what the next requests of a kind ask at once, but answer them so much later."""
        rule = Rule(api_name(request), times, self._known(broker), seconds=as_seconds(seconds))
        self._run(lambda: self._desk.faults.delays.append(rule))

    def drop_connection(
        self, *, before: Optional[Api] = None, after: Optional[Api] = None, times: int = 1, broker: Optional[int] = None
    ) -> None:
        """Close connections: all that are open now, or those by which the next requests of a kind come.

        :param before: the request is not acted on
        :param after: it is acted on, but its answer never arrives
        :param broker: only connections to this one
        """
        if before is not None and after is not None:
            raise ValueError("give before= or after=, not both")
        if before is not None:
            early = Rule(api_name(before), times, self._known(broker))
            self._run(lambda: self._desk.faults.drops_before.append(early))
        elif after is not None:
            late = Rule(api_name(after), times, self._known(broker))
            self._run(lambda: self._desk.faults.drops_after.append(late))
        elif self._server is not None:
            server = self._server
            self._run(lambda: server.drop_connections(broker))

    def corrupt(self, topic: Name, partition: int = 0, offset: Optional[int] = None, times: int = 1) -> None:
        """Flip a bit of a batch as it is sent to consumers, so many times; what is in the log stays right.

        :param offset: of a message in the batch; without it the first batch of the next answer
        """

        name = as_name("topic", topic)

        def add() -> None:
            self._state.get(name, partition)
            self._desk.corruptions.add(name, partition, offset, times)

        self._run(add)

    def truncate(self, topic: Name, partition: int, offset: int) -> None:
        """Lose everything from an offset on, as a leader does that was behind when it took over: its epoch is a new one.

        :raises ValueError: for an offset behind the end of the log, from which there is nothing to lose
        """

        if whole_number("offset", offset) < 0:
            raise ValueError(f"offset={offset}: a log ends at 0 at least")
        name = as_name("topic", topic)

        def cut() -> None:
            found = self._state.get(name, partition)
            _check_in_log("offset", offset, found)
            found.log.truncate(offset)
            found.led_by(found.leader)

        self._run(cut)

    def delete_records(self, topic: Name, partition: int, before: int) -> None:
        """Let a partition begin at an offset, as retention does.

        :raises ValueError: for an offset behind the end of the log
        """
        name = as_name("topic", topic)

        def delete() -> None:
            found = self._state.get(name, partition)
            if whole_number("before", before) < 0:
                raise ValueError(f"before={before}: a log begins at 0 at least")
            _check_in_log("before", before, found)
            found.log.delete_before(before)
            found.tell()

        self._run(delete)

    def move_leader(self, topic: Name, partition: int, to: int) -> None:
        """Let another broker lead a partition; it becomes one of its replicas if it is none."""
        name = as_name("topic", topic)

        def move() -> None:
            found = self._state.get(name, partition)
            broker = self._state.broker(to)
            if not broker.is_up:
                raise ValueError(f"broker {to} is stopped and cannot lead {name}/{partition}")
            for copies in (found.replicas, found.isr):
                if to not in copies:
                    copies.append(to)
            found.led_by(to)

        self._run(move)

    def stop_broker(self, broker_id: int) -> None:
        """Stop a broker: connections to it end and are refused, and what it leads goes to others that have a copy."""

        def stop() -> None:
            broker = self._state.broker(broker_id)
            if not broker.is_up:
                return
            self._state.stopped(broker)
            self._desk.forget_fetch_sessions(broker_id)
            if self._server is not None:
                self._server.close_broker(broker)

        self._run(stop)

    def start_broker(self, broker_id: int) -> None:
        """Start a stopped broker again, at the same address."""

        def start() -> None:
            broker = self._state.broker(broker_id)
            if broker.is_up:
                return
            if self._server is not None:
                self._server.listen(broker)
            self._state.started(broker)

        self._run(start)

    def forget_fetch_sessions(self) -> None:
        """Forget which partitions consumers read, as a broker does that has too many sessions."""
        self._run(self._desk.forget_fetch_sessions)

    def move_coordinator(self, group: Name, to: int) -> None:
        """Let another broker look after a group."""
        name = as_name("group", group)

        def move() -> None:
            if not self._state.broker(to).is_up:
                raise ValueError(f"broker {to} is stopped and cannot look after group {name}")
            self._desk.move_coordinator(name, to)

        self._run(move)

    def members(self, group: Name) -> list[str]:
        """Return the ids of a group's members; none for a group that is not there."""
        name = as_name("group", group)
        return self._run(lambda: self._groups.members(name))

    def committed(self, group: Name) -> dict[tuple[str, int], Committed]:
        """Return what a group has committed: (topic, partition) -> offset, leader epoch and metadata."""
        name = as_name("group", group)
        return self._run(lambda: self._groups.committed(name))

    def expire_session(self, group: Name, member: Optional[str] = None) -> None:
        """Put a member out of a group as if it had not been heard of for too long; without ``member``, all of them.

        :param member: its id, or the instance id of a static member
        :raises ValueError: when there is no such group or member
        """

        name = as_name("group", group)

        def expire() -> None:
            self._groups.expire(name, member)
            self._desk.tick()

        self._run(expire)

    def hold(self, request: Api) -> None:
        """Do nothing with requests of a kind, and answer none of them, until :meth:`release`."""
        name = api_name(request)
        self._run(lambda: self._desk.faults.held.add(name))

    def release(self, request: Optional[Api] = None) -> int:
        """Go on with the requests that are held, of one kind or of all; return how many there were."""
        name = None if request is None else api_name(request)
        return self._run(lambda: self._desk.release(name))

    def held(self, request: Optional[Api] = None) -> int:
        """Return how many requests are being held, of one kind or of all."""
        name = None if request is None else api_name(request)
        return self._run(lambda: self._desk.held(name))

    def on(self, request: Api, act: Optional[Intercept]) -> None:
        """Let ``act(request, version)`` answer requests of a kind; None takes it away again.

        It runs in the cluster's thread and returns a response, the bytes of a frame to send in its place, DROP to close the
        connection, SILENCE to answer nothing more on it, or None for the usual answer.
        """
        if act is not None and not callable(act):
            raise TypeError(f"{act!r} cannot be called: give a function of the request and its version, or None")
        name = api_name(request)

        def change() -> None:
            if act is None:
                self._desk.faults.intercepts.pop(name, None)
            else:
                self._desk.faults.intercepts[name] = act

        self._run(change)

    def heal(self) -> None:
        """Let nothing go wrong any more, and release what is held; brokers that are stopped stay so."""

        def clear() -> None:
            self._desk.faults.clear()
            self._desk.corruptions.clear()
            self._desk.release(None)

        self._run(clear)

    # -- inside -------------------------------------------------------------------------------------------------------

    def _clock_moved(self) -> None:
        self._run(self._desk.tick)

    def _known(self, broker: Optional[int]) -> Optional[int]:
        return None if broker is None else self._state.broker(broker).id

    def _run(self, act: Callable[[], T]) -> T:
        """Do something in the thread that all of it belongs to."""
        return act() if self._server is None else self._server.run(act)


def _check_in_log(what: str, offset: int, partition: Partition) -> None:
    end = partition.log.end_offset
    if offset > end:
        raise ValueError(f"{what}={offset}: {partition.topic.name}/{partition.number} ends at {end}")


def _as_setting(value: Union[str, int, bool]) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
