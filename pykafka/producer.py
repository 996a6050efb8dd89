"""The Producer: messages in, acknowledgements out."""

from __future__ import annotations

import contextlib
import logging
import operator
import queue
import threading
import warnings
from collections.abc import Iterable, Iterator
from types import MethodType
from typing import TYPE_CHECKING, Any, Callable, Literal, Optional, Union

from . import compression as codecs
from ._engine import exiting
from ._engine.clock import wall_ns
from ._engine.direct import acknowledged
from ._engine.producing import ProducerCore
from ._engine.queueing import ROW_BYTES
from ._engine.waiting import Deadline
from ._machines import dealing
from ._machines.accumulator import SendSettings
from ._machines.segments import Fates, refused
from .common import CompressionType, checked_timeout
from .config import PRODUCER, check_options
from .delivery_reports import DeliveryReports
from .exceptions import (
    KafkaException,
    MessageSizeTooLarge,
    OperationTimedOut,
    ProduceFailureError,
    ProducerQueueFullError,
    ProducerStoppedException,
)
from .partitioners import HashingPartitioner, RandomPartitioner
from .produce_arguments import cut, encoded_headers, lengths, listed, not_bytes, quick_headers, size_of
from .records import crc32c
from .records.message import Message, OnDelivery, to_epoch_ms
from .records.queued import (
    EXTRA,
    HEADERS,
    ON_DELIVERY,
    Block,
    Extra,
    QueuedMessage,
    QueuedMessages,
    Row,
    new_message,
    queued_message,
)

if TYPE_CHECKING:
    from .cluster import Cluster
    from .topic import Topic

log = logging.getLogger(__name__)

Serializer = Callable[[Any, Any], tuple[Optional[bytes], Optional[bytes]]]
#: produce_many() queues this many messages at a time, so that a bounded queue stays one.
MANY_AT_ONCE = 8000
#: ... and at most this part of the bounds, so that what was queued before is sent while the rest waits for room.
STEPS_IN_QUEUE = 4
#: A size that no bound allows: produce() takes the long way then.
_NEVER = 1 << 62
#: How many delivery reports a thread may leave unread, as a multiple of max_queued_messages.
UNREAD_FACTOR = 2


class Producer:
    """Produces to one topic. Threads may share it; make one per topic and keep it.

    Messages are queued and sent in batches in the background, in order within each partition, and sent again until
    acknowledged or ``delivery_timeout_ms`` has passed. With ``required_acks=-1`` (the default) a retry never writes twice.
    Options and their defaults are listed in the documentation (``pykafka.config.PRODUCER``).

    :raises KafkaConfigError: naming every option that is unknown, of the wrong type or out of range
    """

    def __init__(
        self,
        cluster: Cluster,
        topic: Topic,
        partitioner: Optional[Callable[..., Any]] = None,
        compression: int = CompressionType.NONE,
        max_retries: Optional[int] = None,
        retry_backoff_ms: int = 100,
        required_acks: int = -1,
        ack_timeout_ms: int = 10000,
        max_queued_messages: int = 100000,
        min_queued_messages: int = 70000,
        linger_ms: int = 5,
        queue_empty_timeout_ms: int = 0,
        block_on_queue_full: bool = True,
        max_request_size: int = 1000012,
        sync: bool = False,
        delivery_reports: bool = False,
        pending_timeout_ms: int = 5000,
        auto_start: bool = True,
        serializer: Optional[Serializer] = None,
        *,
        delivery_timeout_ms: int = 120000,
        max_queued_bytes: int = 67108864,
        **unknown: Any,
    ) -> None:
        given = dict(locals())
        given = {name: value for name, value in given.items() if name in PRODUCER}
        options = check_options("Producer", PRODUCER, {**given, **unknown})
        codecs.require(options["compression"])
        crc32c.load()
        self._cluster = cluster
        self._topic = topic
        self._options = options
        self._partitioner = options["partitioner"] or RandomPartitioner()
        self._serializer: Optional[Serializer] = options["serializer"]
        self._sync: bool = options["sync"]
        #: value, key and headers of one message; what queueing it costs is counted beside them in produce()
        self._max_size: int = options["max_request_size"]
        self._most_counted = self._max_size + ROW_BYTES
        self._needs_key = isinstance(self._partitioner, HashingPartitioner) and self._partitioner.is_builtin
        self._reports = DeliveryReports(options["max_queued_messages"] * UNREAD_FACTOR) if self._keeps_reports else None
        self._running = False
        #: while running: messages, those with a key too, need nothing looked at but their types and size
        self._quick = self._quick_keyed = False
        #: a signal handler may start or stop us in the middle of either
        self._lock = threading.RLock()
        self._is_starting = self._is_stop_wanted = False
        self._core: ProducerCore
        #: what stop() has not finished: Ctrl-C may interrupt it, and start() come before it is done
        self._unfinished: list[ProducerCore] = []
        #: what a start() has begun with that is not whole: when Ctrl-C interrupts it, the next stop() ends that
        self._half_started: list[ProducerCore] = []
        self._chooser: Optional[Callable[[Optional[bytes]], int]] = None
        if options["auto_start"]:
            self.start()

    @property
    def _keeps_reports(self) -> bool:
        return bool(self._options["delivery_reports"]) and not self._sync

    def __repr__(self) -> str:
        state = f"outstanding={self._core.outstanding}" if self._running else "stopped"
        return f"<Producer {self._topic.name.decode()} {state}>"

    def __del__(self) -> None:
        running = getattr(self, "_running", False)
        half = [*getattr(self, "_unfinished", []), *getattr(self, "_half_started", [])]
        for core in [*half, *([self._core] if running else [])]:
            core.leave()
        if running:
            warnings.warn(f"{self!r} was never stopped: use a with block, or stop()", ResourceWarning, source=self, stacklevel=2)

    def __enter__(self) -> Producer:
        self.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.stop()

    # -- starting and stopping ----------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin to accept messages; does nothing when running. A stopped producer can be started again."""
        with self._lock:
            if self._running or self._is_starting:
                return
            try:
                self._is_starting, self._is_stop_wanted = True, False
                if not self._running:  # else a signal handler has started us since that look
                    self._start()
            except KafkaException:  # the client was closed: nothing has begun
                self._half_started.clear()
                raise
            finally:
                self._is_starting = False
        if self._is_stop_wanted:
            self.stop()

    def _start(self) -> None:
        engine = self._cluster.engine
        core = self._make_core()
        for other in self._half_started:
            other.leave()  # a start() that Ctrl-C has ended
        self._half_started[:] = [core]
        self._cluster.track(self)
        engine.loop.call_soon(engine.sender.add, core)
        engine.use_topics([self._topic.name.decode()])
        exiting.flush_at_exit(core)
        self._core = core
        self._running = True
        self._quick_keyed = not (self._sync or self._serializer or self._reports or self._chooser)
        self._quick = self._quick_keyed and not self._needs_key
        self._half_started.clear()

    def _make_core(self) -> ProducerCore:
        options = self._options
        settings = SendSettings(
            topic=self._topic.name.decode(),
            codec=options["compression"],
            acks=options["required_acks"],
            max_batch_bytes=options["max_request_size"],
            delivery_timeout_s=options["delivery_timeout_ms"] / 1000.0,
            retry_backoff_s=options["retry_backoff_ms"] / 1000.0,
            max_retries=options["max_retries"],
        )
        core = ProducerCore(
            self._cluster.engine,
            settings,
            self._dealer(),
            linger_s=options["linger_ms"] / 1000.0,
            max_queued_messages=options["max_queued_messages"],
            max_queued_bytes=options["max_queued_bytes"],
            ack_timeout_ms=options["ack_timeout_ms"],
        )
        if type(self._partitioner) is RandomPartitioner:
            core.deal_one = dealing.one_in_turn(self._partitioner)
        core.wants_reports = self._keeps_reports
        return core

    def _dealer(self) -> dealing.Dealer:
        """Return how rows get their partitions: by column on the I/O thread for our own partitioners, else in produce()."""
        partitioner = self._partitioner
        if type(partitioner) is RandomPartitioner:
            return dealing.in_turn(partitioner)
        if isinstance(partitioner, HashingPartitioner) and partitioner.is_builtin:
            return dealing.by_hash(partitioner)
        self._chooser = self._choose_partition
        return dealing.as_chosen

    def _choose_partition(self, partition_key: Optional[bytes]) -> int:
        partitions = sorted(self._topic.partitions.values())
        return int(self._partitioner(partitions, partition_key).id)

    def stop(self) -> None:
        """Send what is queued, wait for the outcome (at most ``pending_timeout_ms``), and stop. Twice is harmless.

        When it was interrupted, call it again to have the rest done.

        :raises ProduceFailureError: when messages were still undecided; each has an error and says so in its report
        """
        with self._lock:
            self._is_stop_wanted = self._is_starting
            if self._is_starting:
                return  # a signal handler: what is half started is stopped when it is whole
            self._unfinished += self._half_started
            self._half_started.clear()
            if self._running:
                core = self._core
                self._unfinished.append(core)  # first: Ctrl-C may come between any two lines
                if self._core is core:  # else a signal handler has stopped it and started us anew
                    self._running = self._quick = self._quick_keyed = False
        deadline = self._pending_deadline()
        left = 0
        trouble = ""
        for core in list(self._unfinished):
            unsettled, why = self._finish(core, deadline)
            left += unsettled
            trouble = why or trouble
            with contextlib.suppress(ValueError):  # another thread's stop() was faster
                self._unfinished.remove(core)
        if left:
            messages = "1 message was" if left == 1 else f"{left} messages were"
            raise ProduceFailureError(
                f"{messages} not acknowledged when the producer of {self._topic.name.decode()} stopped; what was sent"
                f" may have been written{trouble}. Wait longer with pending_timeout_ms or flush()",
                topic=self._topic.name,
            )

    def _pending_deadline(self) -> Deadline:
        pending_ms = self._options["pending_timeout_ms"]
        return Deadline(None if pending_ms < 0 else pending_ms / 1000.0)

    def _finish(self, core: ProducerCore, deadline: Deadline) -> tuple[int, str]:
        """Return how many messages stayed without an outcome, and why as far as known."""
        loop = self._cluster.engine.loop
        trouble = ""
        if loop.forked:
            return 0, trouble
        try:
            if not loop.stopped:
                core.flush(deadline)
        except OperationTimedOut as error:
            log.debug("stop() ran out of time: %s", error)
            trouble = core.trouble
        return core.close(Deadline(5.0)), trouble

    def flush(self, timeout: Optional[float] = None) -> None:
        """Return when every message queued before the call has an outcome, sending at once instead of lingering.

        :param timeout: in seconds; None waits until all are decided, at most about ``delivery_timeout_ms``
        :raises OperationTimedOut: saying how many were still undecided
        """
        self._running_core().flush(Deadline(checked_timeout(timeout)))

    def _running_core(self) -> ProducerCore:
        if not self._running:
            raise ProducerStoppedException(f"the producer of {self._topic.name.decode()} is stopped: start() it first")
        return self._core

    # -- producing ----------------------------------------------------------------------------------------------------

    # hot: per message
    def produce(
        self,
        message: Any,
        partition_key: Any = None,
        timestamp: Any = None,
        *,
        headers: Optional[Iterable[tuple[str, Optional[bytes]]]] = None,
        on_delivery: Optional[OnDelivery] = None,
    ) -> QueuedMessage:
        """Queue one message and return it; a sync producer waits for the acknowledgement first.

        :param message: bytes, or None for a tombstone (anything that the serializer takes, where there is one)
        :param partition_key: bytes or None
        :param timestamp: a datetime (naive means UTC) or epoch milliseconds; now when None. Times before 1970 are negative, as
            Kafka has them; -1 is Kafka's way to write that there is none
        :param headers: pairs of a str and bytes or None
        :param on_delivery: called with (message, error or None) once the outcome is known, one after the other on a
            thread of this producer
        :raises TypeError: for a message or key of another type
        :raises ProducerQueueFullError: when the queue is full and ``block_on_queue_full`` is off
        :raises ProducerStoppedException: when the producer is not running
        """
        if type(message) is bytes and timestamp is None:
            # what most messages are, without the looks at everything that few have; _produce_any does the same for those
            if partition_key is None:
                size = ROW_BYTES + len(message) if self._quick else _NEVER
            elif type(partition_key) is bytes:
                size = ROW_BYTES + len(message) + len(partition_key) if self._quick_keyed else _NEVER
            else:
                size = _NEVER
            encoded: Optional[bytes] = None
            if headers is not None and size < _NEVER:
                encoded = quick_headers(headers) if on_delivery is None else None
                size = _NEVER if encoded is None else size + len(encoded)
            if size <= self._most_counted:
                # once: another thread may stop and start the producer meanwhile, which gives it another core
                core = self._core
                segment = core.segment
                rows = segment.rows
                usual = on_delivery is None or (core.usual is not None and on_delivery is core.usual[ON_DELIVERY])
                if usual and size <= core.room and len(rows) < core.row_limit:
                    if partition_key is not None:
                        core.has_keys = True
                    extra: Union[Extra, Literal[True], None] = None if on_delivery is None else True
                    if encoded is not None:
                        core.has_extras = True
                        extra = (encoded, None, None, -1)
                    # before the append: fates that nobody holds are not written when the outcome is known
                    fates = segment.fates
                    core.room -= size
                    now_ms = wall_ns() // 1_000_000
                    if now_ms == core.now_ms:
                        now_ms = core.now_ms  # one number for all messages of a millisecond: 32 bytes less for each
                    else:
                        core.now_ms = now_ms
                    row = (message, partition_key, now_ms, extra)
                    rows.append(row)
                    if segment.closed:
                        fates = core.place_late(segment, row)
                    queued = new_message(QueuedMessage)
                    queued._row = row
                    queued._fates = fates
                    queued._place = None
                    if len(rows) >= core.act_at:
                        core.act()
                    return queued
        return self._produce_any(message, partition_key, timestamp, headers, on_delivery)

    def _produce_any(
        self, message: Any, partition_key: Any, timestamp: Any, headers: Any, on_delivery: Optional[OnDelivery]
    ) -> QueuedMessage:
        """Queue any message: the whole of what :meth:`produce` promises."""
        core = self._running_core()
        if self._serializer is not None:
            message, partition_key = self._serializer(message, partition_key)
        if type(message) is not bytes and message is not None:
            raise not_bytes("message", type(message))
        if type(partition_key) is not bytes and partition_key is not None:
            raise not_bytes("partition_key", type(partition_key))
        if partition_key is not None:
            core.has_keys = True
        elif self._needs_key:
            raise ValueError("this partitioner needs a partition_key for every message")
        timestamp = wall_ns() // 1_000_000 if timestamp is None else to_epoch_ms(timestamp)
        extra: Union[Extra, Literal[True], None] = None
        size = ROW_BYTES + len(message or b"") + len(partition_key or b"")
        if headers is not None or on_delivery is not None or self._reports is not None or self._chooser is not None:
            extra = self._dress(core, partition_key, headers, on_delivery)
            size += 0 if extra is True else len(extra[HEADERS] or b"")
        row: Row = (message, partition_key, timestamp, extra)
        if size > self._most_counted and size_of(row) > self._max_size:
            return self._refuse_size(row, core)
        if self._sync:
            return self._produce_and_wait(core, row, size)
        queued = queued_message(row, self._queue_row(core, row, size))
        if len(core.segment.rows) >= core.act_at:
            core.act()
        return queued

    def _queue_row(self, core: ProducerCore, row: Row, size: int) -> Fates:
        if len(core.segment.rows) >= core.row_limit or core.room < size:
            return self._queue_in_turn(core, row, 1, size)
        return core.queue(row, size)

    def _produce_and_wait(self, core: ProducerCore, row: Row, size: int) -> QueuedMessage:
        deadline = self._pending_deadline()
        extra = row[EXTRA]
        # a callback runs on a thread of its own, in turn with the others
        calls_back = extra is not None and (extra is True or extra[ON_DELIVERY] is not None)
        queued = None if calls_back else core.direct.produce(row, deadline)
        if queued is None:
            queued = queued_message(row, self._queue_row(core, row, size))
        elif acknowledged(queued):
            return queued
        return self._wait_sync(queued, deadline)

    def _dress(
        self, core: ProducerCore, partition_key: Optional[bytes], headers: Any, on_delivery: Any
    ) -> Union[Extra, Literal[True]]:
        """Return what only some rows have; True for the same callback as the first one and nothing else."""
        if on_delivery is not None and headers is None and self._is_usual(core, on_delivery):
            return True
        encoded = None if headers is None else encoded_headers(headers)
        reports = self._reports and self._reports.queue
        partition_id = -1 if self._chooser is None else self._chooser(partition_key)
        extra = (encoded, on_delivery, reports, partition_id)
        core.has_extras = True
        if on_delivery is not None:
            if not callable(on_delivery):
                raise TypeError(f"on_delivery must be callable, not {type(on_delivery).__name__}")
            core.wants_callbacks = True
            core.callbacks.get_ready()
            if encoded is None and self._quick_keyed:
                core.note_usual(extra)
        return extra

    def _is_usual(self, core: ProducerCore, on_delivery: Any) -> bool:
        if core.usual is None or self._reports is not None or self._chooser is not None:
            return False
        usual = core.usual[ON_DELIVERY]
        # a method is another object each time it is looked up
        return on_delivery is usual or (type(on_delivery) is MethodType and on_delivery == usual)

    def produce_many(self, values: Iterable[Any], partition_key: Any = None, timestamp: Any = None) -> QueuedMessages:
        """Queue many messages at once, all with the same key and timestamp, and return them: by far the cheapest way to produce.

        What is returned is a sequence that makes each message when it is asked for. A sync producer waits until all are
        acknowledged.

        :raises TypeError: naming the type of a value that is neither bytes nor None; nothing is queued then
        :raises MessageSizeTooLarge: when one is larger than ``max_request_size``; nothing is queued then
        :raises ProducerQueueFullError: when there is no room for all and ``block_on_queue_full`` is off; nothing is queued
        """
        core = self._running_core()
        values = listed(values)
        if not values:
            return QueuedMessages([])
        keys: Optional[list[Optional[bytes]]] = None
        if self._serializer is not None:
            pairs = [self._serializer(value, partition_key) for value in values]
            values, keys = [value for value, _key in pairs], [key for _value, key in pairs]
        # everything that can be wrong is found before the first one is queued
        self._check_types(values, [partition_key] if keys is None else keys)
        sizes = lengths(values) if keys is None else list(map(operator.add, lengths(values), lengths(keys)))
        overhead = ROW_BYTES + (len(partition_key or b"") if keys is None else 0)
        if max(sizes) + overhead > self._most_counted:
            raise self._too_large(max(sizes) + overhead - ROW_BYTES)
        if keys is None and partition_key is not None:
            keys = [partition_key] * len(values)
        moment = wall_ns() // 1_000_000 if timestamp is None else to_epoch_ms(timestamp)
        extras: Optional[list[Union[Extra, Literal[True], None]]] = None
        if self._reports is not None or self._chooser is not None:
            extras = [self._dress(core, key, None, None) for key in keys or [None] * len(values)]
        core.has_keys = core.has_keys or keys is not None
        blocks = []
        for start, stop in self._steps(sizes, overhead):
            some_keys, some_extras = keys and keys[start:stop], extras and extras[start:stop]
            blocks.append(Block(values[start:stop], some_keys, moment, some_extras, Fates(core, of_block=True)))
            self._queue_block(core, blocks[-1], sum(sizes[start:stop]) + overhead * (stop - start))
        made = QueuedMessages(blocks)
        if self._sync:
            for message in made:
                self._wait_sync(message, self._pending_deadline())
        return made

    def _check_types(self, values: list[Any], keys: list[Any]) -> None:
        for what, column in (("every message", values), ("partition_key", keys)):
            wrong = set(map(type, column)) - {bytes, type(None)}
            if wrong:
                raise not_bytes(what, wrong.pop())
        if self._needs_key and None in keys:
            raise ValueError("this partitioner needs a partition_key for every message")

    def _steps(self, sizes: list[int], overhead: int) -> Iterator[tuple[int, int]]:
        """Return from where to where messages are queued at once: all of them or, where the queue blocks, a part of it."""
        if not self._options["block_on_queue_full"]:
            return iter([(0, len(sizes))])
        most_rows = min(MANY_AT_ONCE, max(1, self._options["max_queued_messages"] // STEPS_IN_QUEUE))
        return cut(sizes, overhead, most_rows, self._options["max_queued_bytes"] // STEPS_IN_QUEUE)

    def _queue_block(self, core: ProducerCore, block: Block, size: int) -> None:
        count = len(block.values)
        if len(core.segment.rows) + count > core.row_limit or core.room < size:
            self._queue_in_turn(core, block, count, size)
        else:
            core.queue(block, size)
        if core.queued >= core.act_at:
            core.act()

    def _queue_in_turn(self, core: ProducerCore, item: Union[Row, Block], count: int, size: int) -> Fates:
        """Queue ``count`` rows of ``size`` bytes when there is room for them, behind those who wait for that already."""
        if core.failed is not None:
            raise core.failed.with_traceback(None)
        topic = self._topic.name
        if self._options["block_on_queue_full"]:
            # every queued message has an outcome by the delivery timeout, so there is room by then at the latest
            deadline = Deadline(self._options["delivery_timeout_ms"] / 1000.0 + 30.0)
            fates = core.queue_when_room(item, count, size, deadline)
            if fates is None:
                raise ProducerQueueFullError(f"no room in the queue of {topic.decode()} in time", topic=topic)
            return fates
        fates = core.queue_if_room(item, count, size)
        if fates is None:
            core.hurry()
            raise ProducerQueueFullError(
                f"{core.outstanding} messages of {topic.decode()} are waiting"
                f" (max_queued_messages={self._options['max_queued_messages']},"
                f" max_queued_bytes={self._options['max_queued_bytes']}): slow down, or let produce() block",
                topic=topic,
            )
        return fates

    def _too_large(self, size: int) -> MessageSizeTooLarge:
        return MessageSizeTooLarge(
            f"a message of {size} bytes (value, key and headers) is larger than max_request_size={self._max_size}; if the"
            " topic's max.message.bytes allows for it, give the producer a larger one",
            topic=self._topic.name,
        )

    def _refuse_size(self, row: Row, core: ProducerCore) -> QueuedMessage:
        error = self._too_large(size_of(row))
        if self._sync:
            raise error
        message = queued_message(row, refused(core, error), 0)
        reports, on_delivery = message.delivery_report_q, message.on_delivery
        if reports is None and on_delivery is None:
            raise error  # nobody would ever hear of it
        if reports is not None:
            reports.put((message, error))
        if on_delivery is not None:
            core.callbacks.submit_one(on_delivery, message, error)
        return message

    def _wait_sync(self, message: QueuedMessage, deadline: Deadline) -> QueuedMessage:
        pending_ms = self._options["pending_timeout_ms"]
        try:
            return message.result(None if pending_ms < 0 else deadline.left())
        except OperationTimedOut as error:
            raise ProduceFailureError(
                f"not acknowledged within pending_timeout_ms={pending_ms}; the message is still being sent{self._core.trouble}",
                topic=self._topic.name,
            ) from error

    def get_delivery_report(self, block: bool = True, timeout: Optional[float] = None) -> tuple[Message, Optional[Exception]]:
        """Return (message, None or the error) of a message that this thread produced, oldest outcome first.

        :raises queue.Empty: when there is none (within ``timeout`` seconds); a sync producer never has any
        :raises KafkaException: when the producer keeps no reports: give ``delivery_reports=True``
        """
        if self._sync:
            raise queue.Empty  # every outcome was returned or raised by produce()
        if self._reports is None:
            raise KafkaException("this producer keeps no delivery reports: make it with delivery_reports=True")
        return self._reports.queue.get(block, checked_timeout(timeout))

    def _raise_worker_exceptions(self) -> None:
        """Raise what made sending impossible, if anything did (a name that PyKafka code is known to call)."""
        core = self._core if self._running else None
        if core is not None and core.failed is not None:
            raise core.failed.with_traceback(None)
