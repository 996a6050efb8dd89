"""Commands about messages: reading them out, and sending lines."""

from __future__ import annotations

import base64
import contextlib
import csv
import json
import math
import sys
import time
from argparse import Namespace
from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO, Callable, NamedTuple, Optional, TextIO

from ..client import KafkaClient
from ..common import Message, OffsetType
from ..exceptions import KafkaException, MissingCodecError
from ..partitioners import murmur2_partitioner
from ..producer import Producer
from ..simpleconsumer import SimpleConsumer
from ..topic import Topic
from .errors import OperationFailed, UsageMistake, one_line
from .formats import Column, Report, counted, write
from .progress import progress
from .topics import ends_of, offsets_at, require_topic, some_partitions
from .values import COMPRESSION, Place, Word

#: The group that PyKafka's tool reads as.
DEFAULT_GROUP = "pykafka_cli"
#: What was written is committed this often (seconds), and at the end.
COMMIT_EVERY_S = 3.0
BATCH = 500
#: Outcomes are looked at whenever this many more messages are without one than last time.
SETTLE_EVERY = 20000
#: A line that is longer could not be sent anyway: it is beyond what a producer takes by default.
MAX_LINE_BYTES = 2**22
#: So many partitions without the offset asked for are listed.
MOST_RANGES = 5


# -- reading ----------------------------------------------------------------------------------------------------------


def _consume_topic(client: KafkaClient, options: Namespace, form: str) -> int:
    topic = require_topic(client, options.topic)
    partitions = some_partitions(topic, options.partitions)
    start = None if options.place is None else _positions(topic, options.place, sorted(partitions))
    with _written(options.outfile) as out, _consumer(topic, options) as consumer:
        if start is not None:
            for number, partition in partitions.items():
                consumer.seek(partition, start[number])
        shown = Shown(consumer, out, wanted=_group(options) is not None)
        try:
            with progress(options.limit or None, "messages", wanted=not out.isatty()) as bar:
                _copy(consumer, options, _WRITERS[form](out), shown, bar)
        finally:
            shown.commit()
    return 0


def _positions(topic: Topic, where: Place, wanted: Sequence[int]) -> dict[int, int]:
    """Return where to begin; an offset that a partition does not have is taken for the end that is nearer to it, and said."""
    if not isinstance(where, int) or isinstance(where, Word):
        return offsets_at(topic, where)
    first, after_last = ends_of(topic)
    found = {number: max(first[number], min(where, after_last[number])) for number in first}
    moved = [number for number in wanted if found[number] != where]
    if moved:
        ranges = "; ".join(f"partition {one} has {first[one]} to {after_last[one]}" for one in moved[:MOST_RANGES])
        more = f"; and {len(moved) - MOST_RANGES} more" if len(moved) > MOST_RANGES else ""
        print(f"kafka-tools: offset {where} is not there, reading begins at the nearer end: {ranges}{more}", file=sys.stderr)
    return found


def _is_default(options: Namespace) -> bool:
    return options.group is None and options.place is None


def _group(options: Namespace) -> Optional[str]:
    return DEFAULT_GROUP if _is_default(options) else options.group


def _consumer(topic: Topic, options: Namespace) -> SimpleConsumer:
    return topic.get_simple_consumer(
        consumer_group=_group(options),
        partitions=None if options.partitions is None else some_partitions(topic, options.partitions).values(),
        auto_offset_reset=OffsetType.LATEST if options.place is None else OffsetType.EARLIEST,
        # PyKafka's tool shows what comes from now on, and not what came since it was run last
        reset_offset_on_start=_is_default(options),
        consumer_timeout_ms=-1 if options.timeout is None else options.timeout,
    )


class Shown:
    """How far messages were written out, which is what is committed: not how far they were read.

    :param wanted: False for who reads as no group and commits nothing
    """

    def __init__(self, consumer: SimpleConsumer, out: TextIO, wanted: bool) -> None:
        self._consumer = consumer
        self._out = out
        self._wanted = wanted
        self._next: dict[int, int] = {}
        self._due_at = 0.0

    @property
    def due_in_s(self) -> float:
        """Return the seconds until there is something to commit; infinite while there is not."""
        return max(0.0, self._due_at - time.monotonic()) if self._next else float("inf")

    def write(self, batch: Sequence[Any], write_one: Callable[[Any], bool]) -> int:
        """Write a batch out; return how many of its messages showed something."""
        new = done = 0
        try:
            try:
                for message in batch:
                    new += write_one(message)
                    done += 1
            finally:
                # Ctrl-C may have come in between: what was not written is for the next run
                self._note(batch[:done])
            # who reads a pipe wants to see them now, and not when a buffer is full
            self._out.flush()
        except OSError:
            # whoever was to read the batches before it may not have got them either
            self._next.clear()
            raise
        return new

    def _note(self, written: Sequence[Any]) -> None:
        if not self._wanted:
            return
        if not self._next:
            self._due_at = time.monotonic() + COMMIT_EVERY_S
        self._next.update((message.partition_id, message.offset + 1) for message in written)

    def commit(self) -> None:
        """Commit what was written.

        :raises KafkaException: when it could not be committed
        """
        if not self._next:
            return
        # Ctrl-C may have come before write() had done so
        self._out.flush()
        found, self._next = self._next, {}
        partitions = self._consumer.partitions
        self._consumer.commit_offsets([(partitions[number], offset) for number, offset in found.items()])


def _copy(consumer: SimpleConsumer, options: Namespace, write_one: Callable[[Any], bool], shown: Shown, bar: Any) -> None:
    """Write messages until there were ``options.limit`` (0: for ever), or none came in time."""
    limit, written = options.limit, 0
    while not limit or written < limit:
        batch = _next_batch(consumer, min(BATCH, limit - written) if limit else BATCH, options.timeout, shown)
        if not batch:
            return
        new = shown.write(batch, write_one)
        written += new
        bar.update(new)


def _next_batch(consumer: SimpleConsumer, count: int, timeout_ms: Optional[int], shown: Shown) -> Sequence[Message]:
    """Return what comes within ``timeout_ms`` (None: however long it takes), committing meanwhile what is due."""
    give_up_at = float("inf") if timeout_ms is None else time.monotonic() + timeout_ms / 1000.0
    while True:
        left_s = max(0.0, give_up_at - time.monotonic())
        wait_s = min(left_s, shown.due_in_s)
        batch = consumer.consume_batch(count, None if wait_s == float("inf") else math.ceil(wait_s * 1000))
        if not shown.due_in_s:
            shown.commit()
        if batch or wait_s == left_s:
            return batch


@contextlib.contextmanager
def _written(path: str) -> Iterator[TextIO]:
    if path == "-":
        yield sys.stdout
        return
    try:
        out = open(path, "w", encoding="utf-8", newline="\n")  # noqa: SIM115  # closed below: only opening it is a usage mistake
    except (OSError, ValueError) as error:
        raise UsageMistake(f"{path} cannot be written: {getattr(error, 'strerror', None) or error}") from None
    with out:
        yield out


def _values_writer(out: TextIO) -> Callable[[Any], bool]:
    def write_one(message: Any) -> bool:
        if message.value:
            out.write(message.value.decode("utf-8", "replace") + "\n")
        return bool(message.value)

    return write_one


def _json_writer(out: TextIO) -> Callable[[Any], bool]:
    def write_one(message: Any) -> bool:
        shown = {
            "topic": message.topic.decode(),
            "partition": message.partition_id,
            "offset": message.offset,
            "timestamp": message.timestamp,
            **_readable("key", message.partition_key),
            **_readable("value", message.value),
            "headers": [{"name": name, **_readable("value", value)} for name, value in message.headers],
        }
        out.write(json.dumps(shown) + "\n")
        return True

    return write_one


def _readable(what: str, data: Optional[bytes]) -> dict[str, Optional[str]]:
    """Return text as text, and what is no UTF-8 in Base64 under another name: nothing is lost."""
    try:
        return {what: None if data is None else data.decode()}
    except UnicodeDecodeError:
        return {f"{what}_base64": base64.b64encode(data or b"").decode()}


def _csv_writer(out: TextIO) -> Callable[[Any], bool]:
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["partition", "offset", "timestamp", "key", "value"])

    def write_one(message: Any) -> bool:
        columns = [(data or b"").decode("utf-8", "replace") for data in (message.partition_key, message.value)]
        writer.writerow([message.partition_id, message.offset, message.timestamp, *columns])
        return True

    return write_one


_WRITERS: dict[str, Callable[[TextIO], Callable[[Any], bool]]] = {
    "table": _values_writer,
    "json": _json_writer,
    "csv": _csv_writer,
}


# -- sending ----------------------------------------------------------------------------------------------------------


def _produce_topic(client: KafkaClient, options: Namespace, form: str) -> int:
    topic = require_topic(client, options.topic)
    outcome = Outcome()
    try:
        _send_lines(topic, options, outcome)
    except KeyboardInterrupt:
        outcome.settle()
        print(f"kafka-tools: interrupted; {counted(outcome.acknowledged, 'message')} acknowledged", file=sys.stderr)
        raise
    outcome.settle()
    columns = [Column("topic", "Topic"), Column("acknowledged", "Acknowledged", True), Column("failed", "Failed", True)]
    write(Report(columns, [(options.topic, outcome.acknowledged, outcome.failed)]), form, sys.stdout)
    if outcome.failed:
        raise OperationFailed(f"{counted(outcome.failed, 'message')} failed; the first is {outcome.first_error}")
    return 0


def _send_lines(topic: Topic, options: Namespace, outcome: Outcome) -> None:
    """Send all lines; return when each has its outcome. Interrupted, what was read is still sent."""
    with _read(options.infile) as source, _producer(topic, options) as producer:
        with progress(None, "messages", wanted=not source.isatty()) as bar:
            for number, line in enumerate(_lines(source), 1):
                outcome.send(producer, number, line, options)
                bar.update()
        producer.flush()


def _producer(topic: Topic, options: Namespace) -> Producer:
    try:
        return topic.get_producer(
            # as Java's console producer does it; without keys they are dealt out in turn
            partitioner=None if options.key_separator is None else murmur2_partitioner,
            compression=COMPRESSION[options.compression],
            delivery_timeout_ms=options.timeout,
        )
    except MissingCodecError as error:
        raise UsageMistake(one_line(error)) from error


class Line(NamedTuple):
    """What one line says."""

    key: Optional[bytes]
    value: bytes


class BadLine(Exception):
    """A line cannot be made into a message."""


def _lines(source: BinaryIO) -> Iterator[bytes]:
    """Yield lines; of one that is too long only the beginning, so that it is never in memory as a whole."""
    while line := source.readline(MAX_LINE_BYTES):
        yield line
        while len(line) == MAX_LINE_BYTES and not line.endswith(b"\n"):
            line = source.readline(MAX_LINE_BYTES)


def _split(line: bytes, separator: Optional[bytes]) -> Line:
    """Return what a line says.

    :raises BadLine: when it lacks the separator, or is too long
    """
    if len(line) == MAX_LINE_BYTES:
        raise BadLine(f"it is longer than {MAX_LINE_BYTES} bytes")
    line = line[:-1] if line.endswith(b"\n") else line
    if separator is None:
        return Line(None, line)
    key, found, value = line.partition(separator)
    if not found:
        raise BadLine("there is no key separator in it")
    return Line(key, value)


class Outcome:
    """How many messages were acknowledged and how many failed, and why the first of those did."""

    def __init__(self) -> None:
        self.acknowledged = 0
        self.failed = 0
        self._first: tuple[int, str] = (0, "")
        self._undecided: list[tuple[int, Any]] = []
        self._settle_at = SETTLE_EVERY

    @property
    def first_error(self) -> str:
        """Return the number of the first line that failed, and why."""
        return f"line {self._first[0]}: {self._first[1]}"

    def send(self, producer: Producer, number: int, line: bytes, options: Namespace) -> None:
        """Queue one line; one that is wrong has failed already, and the others go on."""
        try:
            key, value = _split(line, options.key_separator)
            message: Message = producer.produce(value, partition_key=key, headers=options.headers)
        except (KafkaException, BadLine) as error:
            self._fail(number, one_line(error))
            return
        self._undecided.append((number, message))
        if len(self._undecided) >= self._settle_at:
            self.settle()
            self._settle_at = len(self._undecided) + SETTLE_EVERY

    def settle(self) -> None:
        """Count those whose outcome is known, and forget them."""
        undecided = []
        for number, message in self._undecided:
            if not message.done:
                undecided.append((number, message))
            elif message.error is not None:
                self._fail(number, one_line(message.error))
            else:
                self.acknowledged += 1
        self._undecided = undecided

    def _fail(self, number: int, reason: str) -> None:
        self.failed += 1
        if not self._first[0] or number < self._first[0]:
            self._first = (number, reason)


@contextlib.contextmanager
def _read(path: str) -> Iterator[BinaryIO]:
    if path == "-":
        if sys.stdin is None:
            raise UsageMistake("standard input is closed: give --infile FILE")
        yield sys.stdin.buffer
        return
    try:
        lines = open(path, "rb")  # noqa: SIM115  # closed below: only opening it is a usage mistake
    except (OSError, ValueError) as error:
        raise UsageMistake(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}") from None
    with lines:
        yield lines


COMMANDS = {"consume_topic": _consume_topic, "produce_topic": _produce_topic}
