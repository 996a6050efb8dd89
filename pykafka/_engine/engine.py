"""Everything of one client that runs on the I/O thread, and the doors through which other threads ask it for things."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Callable, Optional

from .._machines.backoff import Backoff
from .._machines.coordinators import about_group
from .._machines.metadata import ZERO_UUID, BrokerInfo, ClusterView, Findings, MetadataRefresh, condenser
from ..exceptions import KafkaException, SocketDisconnectedError, error_for
from ..protocol.api import Condense
from ..protocol.messages import FindCoordinatorRequest
from ..protocol.schema import Request
from .bootstrap import Bootstrap, metadata_request
from .clock import chance
from .direct_lines import DirectLines
from .lane import Call, ConnectionSettings, Lane
from .learning import Learner
from .loop import Loop, Timer
from .roster import Roster
from .sender import Sender
from .waiting import Deadline, Result, refuse_on_io_thread
from .worker import Worker

if TYPE_CHECKING:
    from .._machines.handshake import BrokerAbilities
    from .frames import Closeable
    from .producing import ProducerCore

log = logging.getLogger(__name__)

#: A broker that does not answer a metadata request within this many seconds is given up for another one.
METADATA_TIMEOUT_S = 5.0
#: Metadata is not asked for more often than this, however many things fail at once.
METADATA_PAUSE_S = 0.1
#: The pause doubles up to this while asking changes nothing: a topic that is gone may be gone for good.
METADATA_PAUSE_MAX_S = 2.5
#: A client that was dropped while its producers had something to send is looked at this often until they are done.
DROPPED_CHECK_S = 0.5
GROUP = 0  # FindCoordinator's key type

OnReply = Callable[[Any, Optional[Exception]], None]
#: Raises when a broker cannot do what a request asks for.
Check = Callable[["BrokerAbilities"], None]


class Engine:
    """The I/O side of a client. ``view`` may be read from any thread: it is replaced, never changed."""

    def __init__(self, settings: ConnectionSettings, seeds: list[tuple[str, int]], metadata_max_age_s: float) -> None:
        # before there is anything to close again: bootstrap() and close() both wait
        refuse_on_io_thread("making a client")
        self.settings = settings
        self.request_timeout_s = settings.request_timeout_s
        self.loop = Loop(on_death=self._fail_all)
        self.offsets_worker = Worker("pykafka-offsets")
        #: for answers that take long to decode or to go through
        self.decoder = Worker("pykafka-decoder")
        #: threads of consumers and for callbacks of producers: they end with the client, if nobody stopped them before
        self._workers: Roster[Worker] = Roster()
        self._callback_workers: Roster[Worker] = Roster()
        self._learner = Learner(self.loop, self.decoder, self._on_view)
        self.sender = Sender(self)
        #: what threads send by themselves
        self.direct_lines = DirectLines(settings)
        self.closed = False
        self._seeds = seeds
        self._lanes: dict[tuple[str, int, str], Lane] = {}
        #: connections that are no lanes: closed together with those
        self._adopted: list[Closeable] = []
        self._refresh = MetadataRefresh(metadata_max_age_s, Backoff(METADATA_PAUSE_S, METADATA_PAUSE_MAX_S, chance))
        self._refresh_timer: Optional[Timer] = None
        self._listeners: list[Callable[[], None]] = []
        self._coordinators: dict[str, BrokerInfo] = {}

    # -- any thread: asking and waiting -------------------------------------------------------------------------------

    def bootstrap(self, deadline: Deadline, topics: Optional[list[str]]) -> ClusterView:
        """Reach the cluster through the seeds and return its picture.

        :raises NoBrokersAvailableError: listing every address with its own reason
        """
        self.loop.start()
        result: Result[Any] = Result()
        self._post(result, lambda: Bootstrap(self, self._seeds, deadline.at, topics, result).start())
        # a second more than the seeds have, so that the list of reasons is what the caller sees
        reply = result.wait(Deadline(deadline.left() + 1.0), "reaching the cluster")
        return self._learn(reply, topics)

    def update(self, topics: Optional[list[str]], deadline: Deadline, auto_create: bool = False) -> ClusterView:
        """Return a fresh picture of ``topics`` (None: of all), asking one broker after the other until ``deadline``."""
        reply = self.call_any(metadata_request(topics, auto_create), deadline, condenser(self.view.topics))
        return self._learn(reply, topics)

    @property
    def view(self) -> ClusterView:
        """Return the present picture of the cluster; from any thread."""
        return self._learner.view

    def producer_cores(self) -> list[ProducerCore]:
        """Return the core of every producer that was not stopped."""
        cores: list[ProducerCore] = self._submit(lambda: self.sender.cores)
        return cores

    def _submit(self, fn: Callable[..., Any], *args: Any) -> Any:
        """Return what ``fn(*args)`` returns on the I/O thread."""
        refuse_on_io_thread("asking the I/O thread")
        result: Result[Any] = Result()
        self._post(result, lambda: result.succeed(fn(*args)))
        return result.wait(Deadline(self.request_timeout_s), "the I/O thread")

    def _learn(self, reply: Any, topics: Optional[list[str]]) -> ClusterView:
        """Return the cluster's picture once it shows ``reply``."""
        refuse_on_io_thread("asking the I/O thread")
        result: Result[Findings] = Result()
        self._post(result, lambda: self._learner.learn(reply, topics, _into(result)))
        return result.wait(Deadline(self.request_timeout_s), "the I/O thread").view

    def _post(self, result: Result[Any], step: Callable[[], object]) -> None:
        """Have ``step`` run on the I/O thread; what it raises is the outcome that ``result`` is waited for."""

        def run() -> None:
            try:
                step()
            except Exception as error:
                result.fail(error)

        self.loop.call_soon(run)

    def call(self, broker: BrokerInfo, request: Request, deadline: Deadline, **how: Any) -> Any:
        """Return ``broker``'s answer to ``request``; raise what went wrong. See :meth:`begin`."""
        return self.begin(broker, request, deadline, **how)()

    def begin(
        self,
        broker: BrokerInfo,
        request: Request,
        deadline: Deadline,
        *,
        lane: str = "control",
        cap: Optional[int] = None,
        held_s: float = 0.0,
        check: Optional[Check] = None,
    ) -> Callable[[], Any]:
        """Put ``request`` to ``broker``; return what waits for the answer and returns it, or raises what went wrong.

        That takes at most socket_timeout_ms, or until ``deadline``. The answer to a request that gets none (Produce with
        acks=0) is None, once it is written.

        :param check: raises when this broker cannot do what is asked, before anything is sent
        :param held_s: how long the request itself allows the broker to hold its answer back; that comes on top
        """
        refuse_on_io_thread(type(request).NAME)
        result: Result[Any] = Result()
        until = deadline.within(self.request_timeout_s + held_s)

        def ask() -> None:
            self._ask(self.lane(broker.host, broker.port, lane), request, until.at, _into(result), cap, check)

        self._post(result, ask)
        what = f"{type(request).NAME} to broker {broker.id} ({broker.host}:{broker.port})"
        return lambda: result.wait(Deadline(until.left() + 1.0), what)

    def call_any(self, request: Request, deadline: Deadline, condense: Optional[Condense] = None) -> Any:
        """Return the answer of any broker that gives one, trying one after the other until ``deadline``.

        :param condense: what becomes of each row of the answer; see :func:`~pykafka.protocol.schema.rows`
        """
        refuse_on_io_thread(type(request).NAME)
        while True:
            result: Result[Any] = Result()
            attempt = deadline.within(METADATA_TIMEOUT_S)
            self._ask_any_for(result, request, attempt, condense)
            try:
                return result.wait(Deadline(attempt.left() + 1.0), f"{type(request).NAME} to any broker")
            except KafkaException as error:
                if not error.retriable or deadline.passed or self.loop.stopped:
                    raise
                self.pause(METADATA_PAUSE_S)

    def _ask_any_for(
        self, result: Result[Any], request: Request, deadline: Deadline, condense: Optional[Condense]
    ) -> None:
        self._post(result, lambda: self.ask_any(request, _into(result), deadline.at, condense))

    @staticmethod
    def pause(seconds: float) -> None:
        """Wait before another try."""
        Result[None]()._signal.wait(Deadline(seconds))

    def coordinator(self, group: str, deadline: Deadline) -> BrokerInfo:
        """Return the broker that coordinates ``group``, remembered until :meth:`forget_coordinator`."""
        known = self._coordinators.get(group)
        if known is not None:
            return known
        request = FindCoordinatorRequest(key=group, key_type=GROUP, coordinator_keys=[group])
        while True:
            reply = self.call_any(request, deadline)
            try:
                found = about_group(reply, group)
                if found.error_code:
                    raise error_for(found.error_code, api="FindCoordinator", detail=found.error_message)
            except KafkaException as error:
                if not error.retriable or deadline.passed:
                    raise
                log.info("group %s: its coordinator is not known yet: %s", group, error)
                self.pause(METADATA_PAUSE_S)
                continue
            broker = BrokerInfo(found.node_id, found.host, found.port, None)
            self._coordinators[group] = broker
            return broker

    def forget_coordinator(self, group: str) -> None:
        """Ask again for the coordinator of ``group`` the next time it is needed."""
        self._coordinators.pop(group, None)

    def use_topics(self, topics: Iterable[str]) -> None:
        """Keep the metadata of ``topics`` fresh until :meth:`release_topics`."""
        self.loop.call_soon(self._refresh.use, list(topics))
        self.loop.call_soon(self._poll_metadata)

    def release_topics(self, topics: Iterable[str]) -> None:
        """Undo one :meth:`use_topics`."""
        if not self.loop.stopped:
            self.loop.call_soon(self._refresh.release, list(topics))

    def is_connected(self, host: str, port: int) -> bool:
        """Return whether there is a ready connection to ``host:port``."""
        return any(key[:2] == (host, port) and lane.state == "ready" for key, lane in list(self._lanes.items()))

    def find_lane(self, broker: BrokerInfo, name: str) -> Optional[Lane]:
        """Return the connection of that name to ``broker``, None when there is none; from any thread."""
        return self._lanes.get((broker.host, broker.port, name))

    def make_worker(self, name: str) -> Worker:
        """Return a thread for jobs, which ends at the latest when the client is closed."""
        worker = Worker(name)
        self._workers.add(worker)
        return worker

    def make_callback_worker(self, name: str, idle_s: float) -> Worker:
        """Return a thread for callbacks of one producer, which ends when it was idle for ``idle_s``, or with the client."""
        worker = Worker(name, idle_s)
        self._callback_workers.add(worker)
        return worker

    def callback_worker_here(self) -> Optional[Worker]:
        """Return the worker whose callback the calling thread runs, of any producer of this client; None elsewhere."""
        return next((worker for worker in self._callback_workers.present() if worker.in_worker()), None)

    def abandon(self) -> None:
        """Close everything without waiting: nobody is there to wait."""
        if not self.closed:
            self._shut(0.0)

    def abandon_when_idle(self) -> None:
        """Close everything, without waiting, as soon as no producer has messages without an outcome."""
        try:
            # there, not here: a producer that has just been started may not have been added yet
            self.loop.call_soon(self._check_dropped)
        except KafkaException:  # the loop has ended, or is the parent's
            self.abandon()

    def close(self, timeout_s: float) -> None:
        """Close every connection and end the threads.

        :raises KafkaException: on the I/O thread, which cannot wait for its own end
        """
        if not self.closed:
            refuse_on_io_thread("closing a client")
            self._shut(timeout_s)

    def _shut(self, timeout_s: float) -> None:
        self.closed = True
        if not self.loop.forked:
            with contextlib.suppress(KafkaException):  # the loop has ended already, and its connections with it
                self.loop.call_soon(self._close_lanes)
            self.loop.stop(timeout_s)
            self.offsets_worker.stop(timeout_s)
            self.decoder.stop(timeout_s)
            for worker in self._workers.present():
                worker.stop(0.0)  # it may run the very callback that closes the client
            deadline = Deadline(timeout_s)
            for worker in self._callback_workers.present():
                worker.stop(deadline.left())

    # -- the I/O thread -----------------------------------------------------------------------------------------------

    def lane(self, host: str, port: int, name: str) -> Lane:
        """Return the connection of that name to ``host:port``, made (but not opened) if there is none."""
        key = (host, port, name)
        lane = self._lanes.get(key)
        if lane is None:
            lane = self._lanes[key] = Lane(self.loop, host, port, name, self.settings, self.decoder, self.sender.dispatch)
        return lane

    def drop_lanes(self, name: str) -> None:
        """Close every connection of that name: who used them is gone."""
        for key in [key for key in self._lanes if key[2] == name]:
            self._lanes.pop(key).close()

    def drop_lane(self, host: str, port: int, name: str) -> None:
        """Close one connection, for a user who does not wait for its answer any more; called on the I/O thread."""
        lane = self._lanes.pop((host, port, name), None)
        if lane is not None:
            lane.close()

    @staticmethod
    def _ask(
        lane: Lane,
        request: Request,
        deadline: float,
        on_reply: OnReply,
        cap: Optional[int] = None,
        check: Optional[Check] = None,
        condense: Optional[Condense] = None,
    ) -> None:
        def build(abilities: BrokerAbilities) -> tuple[Request, Optional[int]]:
            if check is not None:
                check(abilities)
            return request, cap

        # with acks=0 a broker sends no reply to Produce, not even an error
        replies = getattr(request, "acks", None) != 0
        lane.request(Call(build, lambda reply, error, _call: on_reply(reply, error), deadline, replies, condense))

    def ask_any(
        self, request: Request, on_reply: OnReply, deadline: Optional[float] = None, condense: Optional[Condense] = None
    ) -> None:
        """Send ``request`` to the broker most likely to answer; one attempt."""
        until = self.loop.now() + METADATA_TIMEOUT_S if deadline is None else deadline
        lane = self._likeliest_lane()
        lane.asked_at = self.loop.now()
        self._ask(lane, request, until, on_reply, condense=condense)

    def _likeliest_lane(self) -> Lane:
        addresses = [(broker.host, broker.port) for broker in self.view.brokers.values()] + self._seeds
        lanes = [self.lane(host, port, "control") for host, port in dict.fromkeys(addresses)]
        # while brokers disagree all are heard, one after the other
        in_turn = bool(self.view.disputes)
        # who failed longest ago (or never), then who is connected, then who is least busy
        return min(
            lanes,
            key=lambda lane: (lane.last_failure_at, in_turn and lane.asked_at, lane.state != "ready", lane.outstanding),
        )

    def partition_ids(self, topic: str) -> list[int]:
        """Return the topic's partition numbers, ascending; empty while the topic is unknown."""
        return list(self.view.partitions(topic))

    def topic_id(self, topic: str) -> bytes:
        """Return the topic's id, 16 zero bytes where it is unknown."""
        info = self.view.topics.get(topic)
        return info.topic_id if info is not None else ZERO_UUID

    def add_listener(self, listener: Callable[[], None]) -> None:
        """Call ``listener`` on the I/O thread after every change of :attr:`view`."""
        self._listeners.append(listener)

    def remove_listener(self, listener: Callable[[], None]) -> None:
        """Stop calling ``listener``."""
        if listener in self._listeners:
            self._listeners.remove(listener)

    def refresh_soon(self) -> None:
        """Ask for metadata of the topics in use: acting on the present picture failed."""
        self._refresh.mark_stale(self.loop.now())
        self._poll_metadata()

    def _poll_metadata(self) -> None:
        now = self.loop.now()
        if self._refresh_timer is not None:
            self._refresh_timer.cancel()
            self._refresh_timer = None
        if self.closed:
            return
        if self._refresh.poll(now):
            topics = self._refresh.topics
            named = None if self._refresh.asks_for_all(len(self.view.topics)) else topics
            request, condense = metadata_request(named), condenser(self.view.topics)
            self.ask_any(request, lambda reply, error: self._on_metadata(reply, error, topics), condense=condense)
        elif self._refresh.wake_at() != float("inf"):
            self._refresh_timer = self.loop.call_at(self._refresh.wake_at(), self._poll_metadata)

    def _on_metadata(self, reply: Any, error: Optional[Exception], topics: list[str]) -> None:
        if error is not None:
            self._on_no_metadata(error)
            return
        self._learner.learn(reply, topics, self._on_learnt)

    def _on_learnt(self, found: Optional[Findings], error: Optional[Exception]) -> None:
        if found is None:
            self._on_no_metadata(error)
            return
        now = self.loop.now()
        self._refresh.on_reply(now, changed=found.is_news)
        if found.is_unsettled:
            self._refresh.mark_unsettled(now)
        self._poll_metadata()

    def _on_no_metadata(self, error: Optional[Exception]) -> None:
        self._refresh.on_failure(self.loop.now())
        self._poll_metadata()
        log.info("metadata could not be refreshed, asking another broker: %s", error)

    def _on_view(self) -> None:
        self._close_strays()
        for listener in list(self._listeners):
            listener()
        self.sender.dispatch()

    def _close_strays(self) -> None:
        """Close connections to where no broker is any more; one that is in use is left until the next picture."""
        known = {(broker.host, broker.port) for broker in self.view.brokers.values()}.union(self._seeds)
        for key in [key for key, lane in self._lanes.items() if key[:2] not in known and not lane.outstanding]:
            self._lanes.pop(key).close()
        self.direct_lines.tidy(known, self.loop.now())

    def adopt(self, connection: Closeable) -> None:
        """Close ``connection`` together with our own, unless it is disowned before."""
        self._adopted.append(connection)

    def disown(self, connection: Closeable) -> None:
        """Forget ``connection``: it is closed."""
        if connection in self._adopted:
            self._adopted.remove(connection)

    def _close_lanes(self, error: Optional[Exception] = None) -> None:
        for lane in list(self._lanes.values()):
            lane.close(error)
        self.direct_lines.close()
        for connection in list(self._adopted):
            connection.close_on_loop(error or SocketDisconnectedError("the client that this connection belongs to was closed"))

    def _check_dropped(self) -> None:
        if self.sender.busy:
            self.loop.call_at(self.loop.now() + DROPPED_CHECK_S, self._check_dropped)
        else:
            self.abandon()

    def _fail_all(self, error: KafkaException) -> None:
        """Give everything that waits its outcome: the I/O thread ends and will bring nothing any more."""
        self._close_lanes(error)
        for core in self.sender.cores:
            with contextlib.suppress(Exception):  # whatever is broken in one producer, the others get their outcomes
                core.give_up(error)
        for listener in list(self._listeners):
            listener()


def _into(result: Result[Any]) -> OnReply:
    """Return a reply handler that hands the outcome to a waiting thread."""

    def on_reply(reply: Any, error: Optional[Exception]) -> None:
        if error is not None:
            result.fail(error)
        else:
            result.succeed(reply)

    return on_reply
