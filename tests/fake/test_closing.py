"""Closing at any moment of a rebalance or a send: nothing hangs or stays behind, and everybody gets what is theirs."""

from __future__ import annotations

import itertools
import os
import sys
import threading
import traceback
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from random import Random
from typing import Any, Callable, Optional

import pytest

from pykafka import KafkaClient
from pykafka._engine.group_session import GroupSession
from pykafka.exceptions import ConsumerStoppedException, KafkaException, ProduceFailureError, ProducerStoppedException
from pykafka.groupconsumer import GroupConsumer
from pykafka.testing import FakeCluster
from pykafka.testing.group_common import GroupSettings

from ..support import until

#: How often something is closed in each way; ``CLOSES=300`` is the full measure.
CLOSES = int(os.environ.get("CLOSES", "6"))
#: The first of the seeds: each close has one of its own, which chooses all that is left to chance. ``CLOSES=1 SEED=n`` is again
#: what was printed with that number.
SEED = int(os.environ.get("SEED", "1"))
#: How long closing may take, however busy the machine is; none of the waits of a client is as short as that.
BOUND_S = 20.0
PARTITIONS = 6
OF_GROUPS = {
    "classic": ("FindCoordinator", "JoinGroup", "SyncGroup", "Heartbeat", "OffsetFetch", "OffsetCommit", "LeaveGroup"),
    "consumer": ("FindCoordinator", "ConsumerGroupHeartbeat", "OffsetFetch", "OffsetCommit"),
}
TOPIC = "sent"
OF_PRODUCERS = ("Metadata", "InitProducerId", "Produce")


@pytest.fixture(scope="module")
def kafka() -> Iterator[FakeCluster]:
    with FakeCluster(brokers=2, group_settings=GroupSettings(consumer_heartbeat_interval_ms=30)) as cluster:
        cluster.create_topic(TOPIC, 3, replication_factor=2)
        yield cluster


class Moment:
    """The moment when the broker has got so many more requests of some kinds; from then on those of one kind may be held."""

    def __init__(self, kafka: FakeCluster, kinds: tuple[str, ...], number: int, then: Callable[[], object]) -> None:
        self._come = threading.Event()
        self._left = number
        self._then = then
        for kind in kinds:
            kafka.on(kind, self._note)

    def _note(self, _request: Any, _version: int) -> None:
        self._left -= 1
        if self._left == 0:
            self._then()
            self._come.set()

    def wait(self) -> None:
        """Return once it has come."""
        assert self._come.wait(BOUND_S), f"{self._left} requests are missing"


@contextmanager
def nothing_left_behind() -> Iterator[None]:
    """Fail if there is a thread or a descriptor more in the end."""
    threads, files = set(threading.enumerate()), len(os.listdir("/proc/self/fd"))
    yield
    # close() waits for no callback: their thread ends by itself after the last one
    try:
        until(lambda: not set(threading.enumerate()) - threads, timeout_s=5, what="the end of all threads")
    except AssertionError as error:
        frames = sys._current_frames()
        left = {thread.name: frames.get(thread.ident or 0) for thread in set(threading.enumerate()) - threads}
        where = {name: frame and traceback.extract_stack(frame)[-3:] for name, frame in left.items()}
        raise AssertionError(f"{error}: {where}") from None
    # the broker, in this very process, notices the end of a connection a little later
    until(lambda: len(os.listdir("/proc/self/fd")) <= files, timeout_s=5, what="the end of all descriptors")


class Running(threading.Thread):
    """A thread that has to end in time, and whose error is looked at."""

    def __init__(self, work: Callable[[], object]) -> None:
        super().__init__()
        self._work = work
        self.error: Optional[BaseException] = None
        self.start()

    def run(self) -> None:
        """Work, and keep what was raised."""
        try:
            self._work()
        except BaseException as error:
            self.error = error

    def end(self) -> None:
        """Return when the thread has ended.

        :raises BaseException: what was raised in it
        """
        self.join(BOUND_S)
        assert not self.is_alive(), "it hangs"
        if self.error is not None:
            raise self.error


# -- a rebalance --------------------------------------------------------------------------------------------------------


class Reader:
    """A member with a client of its own, whose messages a thread takes."""

    def __init__(self, kafka: FakeCluster, topic: str, protocol: str, name: str) -> None:
        self.name = name
        self.got: list[tuple[int, int]] = []
        self.client = KafkaClient(kafka.hosts)
        self.consumer = self.client.topics[topic].get_balanced_consumer(
            topic,
            managed=True,
            group_protocol=protocol,
            heartbeat_interval_ms=30,
            auto_commit_enable=True,
            auto_start=False,
        )
        self._reading = Running(self._read)

    def _read(self) -> None:
        try:
            self.consumer.start()
        except KafkaException as error:  # it was closed meanwhile, or even before
            assert isinstance(error, ConsumerStoppedException) or "this client was closed" in str(error)
            return
        with suppress(ConsumerStoppedException):
            while True:
                message = self.consumer.consume()
                assert message is not None
                self.got.append((message.partition_id, message.offset))

    @property
    def share(self) -> list[int]:
        """Return which partitions it reads."""
        return list(self.consumer.partitions)

    def close(self, how: str) -> None:
        """Close everything; ``how`` says what of it is closed first."""
        if how == "stop":
            self.consumer.stop()
        self.client.close()
        self._reading.end()


def is_shared(readers: list[Reader]) -> bool:
    """Return whether each partition is read by one of them."""
    return sorted(itertools.chain.from_iterable(reader.share for reader in readers)) == [*range(PARTITIONS)]


class GroupPlay:
    """A group of three, a change of it, and those who are closed in the middle of that."""

    def __init__(self, kafka: FakeCluster, protocol: str, seed: int) -> None:
        self.kafka, self.protocol, self.chance = kafka, protocol, Random(seed)
        self.name = f"closing-{protocol}-{seed}"
        self.written = 0
        #: who leaves by itself, and what sees to that
        self.gone: dict[Reader, Running] = {}
        kafka.create_topic(self.name, PARTITIONS)
        self.readers = [Reader(kafka, self.name, protocol, f"reader {number}") for number in range(3)]

    def write(self) -> None:
        """Write two messages to every partition."""
        for partition in range(PARTITIONS):
            self.kafka.produce(self.name, [b"x"] * 2, partition=partition)
        self.written += 2

    def begin(self) -> None:
        """Return when each has its share, and the first messages were read."""
        self.write()
        until(lambda: is_shared(self.readers) and len(self.got) == PARTITIONS * self.written, what="the beginning")

    @property
    def got(self) -> list[tuple[int, int]]:
        """Return where the messages are that anybody has taken."""
        return [place for reader in self.readers for place in reader.got]

    def hold_something(self) -> None:
        """From now on nothing of one kind is answered, in half of the plays."""
        if self.chance.random() < 0.5:
            self.kafka.hold(self.chance.choice(OF_GROUPS[self.protocol]))

    def change(self) -> tuple[str, list[Reader]]:
        """Begin a rebalance; return what it comes from, and who is to be closed in it."""
        what = self.chance.choice(["join", "leave", "expire"])
        leaving = self.chance.sample(self.readers, self.chance.choice([1, 1, 2]))
        if what == "join":
            newcomer = Reader(self.kafka, self.name, self.protocol, "newcomer")
            self.readers.append(newcomer)
            if self.chance.random() < 0.4:
                leaving[0] = newcomer
        elif what == "leave":
            gone = next(reader for reader in self.readers if reader not in leaving[:1])
            leaving = leaving[:1]
            self.gone[gone] = Running(lambda: gone.close("stop"))
        else:
            self.kafka.expire_session(self.name, self.chance.choice(self.kafka.members(self.name)))
        return what, leaving

    def run(self) -> None:
        """Close some in the middle of a change, and see that the others have everything."""
        self.begin()
        number = self.chance.randrange(1, 25)
        moment = Moment(self.kafka, OF_GROUPS[self.protocol], number, self.hold_something)
        what, leaving = self.change()
        how = [self.chance.choice(["stop", "close"]) for _ in leaving]
        print(f"{self.name}: {what}, then {[reader.name for reader in leaving]} {how} after {number} requests")
        moment.wait()
        self.write()
        closing = [Running(lambda reader=reader, way=way: reader.close(way)) for reader, way in zip(leaving, how)]  # type: ignore[misc]
        until(lambda: self.kafka.held() or not any(one.is_alive() for one in closing), timeout_s=BOUND_S, what="the end")
        self.kafka.heal()
        for one in [*closing, *self.gone.values()]:
            one.end()
        staying = [reader for reader in self.readers if reader not in [*leaving, *self.gone]]
        until(lambda: is_shared(staying), what="everything is read by those who stay")
        assert len(self.kafka.members(self.name)) <= len(staying), "who was closed has not left the group"
        until(lambda: len(self.kafka.members(self.name)) == len(staying), what="who was put out is there again")
        self.write()
        wanted = [(partition, offset) for partition in range(PARTITIONS) for offset in range(self.written)]
        until(lambda: set(self.got) == set(wanted), what="all messages")
        for reader in staying:
            reader.close("stop")
        assert self.kafka.members(self.name) == []
        assert {place[1]: one.offset for place, one in self.kafka.committed(self.name).items()} == dict.fromkeys(
            range(PARTITIONS), self.written
        )
        if what != "expire":  # who is put out cannot commit what it has read
            assert Counter(self.got) == Counter(wanted), "read twice"


@pytest.mark.parametrize("protocol", OF_GROUPS)
def test_a_member_that_is_closed_in_the_middle_of_a_rebalance_leaves_and_the_others_have_everything(
    kafka: FakeCluster, protocol: str
) -> None:
    for seed in range(SEED, SEED + CLOSES):
        with nothing_left_behind():
            GroupPlay(kafka, protocol, seed).run()
        kafka.requests.clear()


# -- a send -------------------------------------------------------------------------------------------------------------


class Outcomes:
    """What became of every message that was given to producers."""

    def __init__(self) -> None:
        self.queued: list[bytes] = []
        self.refused: list[bytes] = []
        #: value -> what its callback was given: the offset, or the error
        self.told: dict[bytes, list[Any]] = {}

    def note(self, message: Any, error: Optional[Exception]) -> None:
        """Note the outcome of one message: for ``on_delivery``."""
        self.told.setdefault(message.value, []).append(message.offset if error is None else error)

    def check(self, log: Counter[Optional[bytes]]) -> Counter[str]:
        """Return how often each fate occurs, once every outcome is what the log shows."""
        assert set(self.told) == set(self.queued), "who was told of what"
        assert {len(told) for told in self.told.values()} <= {1}, "told twice"
        fates: Counter[str] = Counter()
        for value, (outcome,) in self.told.items():
            if not isinstance(outcome, Exception):
                fates["acknowledged"] += 1
                assert log[value] == 1, f"{value!r} is acknowledged"
            elif getattr(outcome, "possibly_written", False):
                fates["unknown"] += 1
                assert log[value] <= 1, f"{value!r} may have been written"
            else:
                fates["not written"] += 1
                assert log[value] == 0, f"{value!r} was not written: {outcome!r}"
        assert not set(self.refused) & set(log), "refused by produce()"
        return fates


#: What may go wrong at the moment when something is closed.
TROUBLES: dict[str, Callable[[FakeCluster, Random], object]] = {
    "nothing": lambda kafka, chance: None,
    "slow answers": lambda kafka, chance: kafka.delay("Produce", 0.05, times=4),
    "no answers": lambda kafka, chance: kafka.hold("Produce"),
    "no producer id": lambda kafka, chance: kafka.hold("InitProducerId"),
    "requests are lost": lambda kafka, chance: kafka.drop_connection(before="Produce", times=2),
    "answers are lost": lambda kafka, chance: kafka.drop_connection(after="Produce", times=2),
    "other leaders": lambda kafka, chance: [kafka.move_leader(TOPIC, part, to=chance.choice([1, 2])) for part in range(3)],
    "a broker is gone": lambda kafka, chance: kafka.stop_broker(chance.choice([1, 2])),
}


def closed_in_a_send(kafka: FakeCluster, seed: int) -> Counter[str]:
    """Return what became of messages whose producers, or client, were closed while threads went on producing."""
    chance, outcomes = Random(seed), Outcomes()
    client, numbers = KafkaClient(kafka.hosts), itertools.count()
    producers = [
        client.topics[TOPIC].get_producer(
            linger_ms=chance.choice([0, 2]),
            max_queued_messages=chance.choice([10, 1000]),
            pending_timeout_ms=chance.choice([0, 100, 1000]),
        )
        for _ in range(chance.choice([1, 2]))
    ]
    trouble, number = chance.choice([*TROUBLES]), chance.randrange(1, 12)
    moment = Moment(kafka, OF_PRODUCERS, number, lambda: TROUBLES[trouble](kafka, chance))
    how = chance.choice(["stop", "close", "both"])
    print(f"closing in a send, {seed}: {trouble}, {how} after {number} requests, {len(producers)} producers")

    def produce(producer: Any) -> None:
        for count in numbers:
            value = b"%d %d" % (seed, count)
            try:
                message = producer.produce(value, on_delivery=outcomes.note)
            except KafkaException:
                outcomes.refused.append(value)
                return
            outcomes.queued.append(value)
            if count % 20 == 0:  # many wait in the queue, but not millions
                with suppress(KafkaException):
                    message.result(BOUND_S)

    def close() -> None:
        with suppress(ProduceFailureError):  # it says how many messages have no outcome but that they were not acknowledged
            try:
                if how != "close":
                    producers[0].stop()
            finally:
                client.close()

    producing = [Running(lambda producer=producer: produce(producer)) for producer in producers * 2]  # type: ignore[misc]
    moment.wait()
    closing = [Running(close) for _ in range(2 if how == "both" else 1)]
    for one in [*closing, *producing]:
        one.end()
    kafka.heal()
    until(lambda: len(outcomes.told) >= len(outcomes.queued), timeout_s=5, what="all outcomes")
    for broker in (1, 2):
        kafka.start_broker(broker)
    return outcomes.check(Counter(value for value in kafka.values(TOPIC) if value and value.startswith(b"%d " % seed)))


def test_producers_that_are_closed_in_the_middle_of_sends_tell_the_outcome_of_every_message(kafka: FakeCluster) -> None:
    fates: Counter[str] = Counter()
    for seed in range(SEED, SEED + CLOSES * 2):
        with nothing_left_behind():
            fates += closed_in_a_send(kafka, seed)
        kafka.requests.clear()
        for partition in range(3):
            kafka.delete_records(TOPIC, partition, before=len(kafka.records(TOPIC, partition)))
    print(dict(fates))
    assert all(fates[fate] for fate in ("acknowledged", "unknown", "not written")) or CLOSES < 6


def test_a_message_that_was_sent_on_while_its_client_was_closed_is_no_error_of_produce(
    kafka: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    kafka.create_topic("late", 1)
    told: list[Any] = []
    client = KafkaClient(kafka.hosts)
    producer = client.topics["late"].get_producer()
    core = producer._core
    act = core.act

    def close_and_act() -> None:  # as if another thread had closed it in between
        client.close()
        act()

    monkeypatch.setattr(core, "act", close_and_act)
    message = producer.produce(b"x", on_delivery=lambda message, error: told.append(error))
    assert kafka.values("late") == [b"x"] and message.offset == 0
    assert told == [None]
    with pytest.raises(ProducerStoppedException):
        producer.produce(b"y")


@pytest.mark.parametrize("ways", [(None, None), (None, 1), (1, None)])
def test_what_two_threads_queue_when_their_client_is_closed_has_its_outcome(
    kafka: FakeCluster, monkeypatch: pytest.MonkeyPatch, ways: tuple[Optional[int], Optional[int]]
) -> None:
    told: dict[bytes, list[Any]] = {b"1": [], b"2": []}
    client = KafkaClient(kafka.hosts)
    producer = client.topics[TOPIC].get_producer()
    core, loop, call_soon = producer._core, client.cluster.engine.loop, client.cluster.engine.loop.call_soon
    client.close()

    def produce(value: bytes, timestamp: Optional[int]) -> Any:
        return producer.produce(value, timestamp=timestamp, on_delivery=lambda _message, error: told[value].append(error))

    def interrupted(*args: Any) -> None:  # another thread queues one, and leaves it to this one to tell of it
        monkeypatch.setattr(loop, "call_soon", call_soon)
        messages.append(produce(b"2", ways[1]))
        call_soon(*args)

    # both threads have looked before it was closed
    producer._running = producer._quick = producer._quick_keyed = True
    core.row_limit = 1000
    monkeypatch.setattr(loop, "call_soon", interrupted)
    messages: list[Any] = []
    messages.append(produce(b"1", ways[0]))
    assert [type(message.error) for message in messages] == [ProducerStoppedException] * 2
    until(lambda: all(told.values()), what="both callbacks")
    assert [type(error) for errors in told.values() for error in errors] == [ProducerStoppedException] * 2
    assert core.queued == 0
    for timestamp in (None, 1):  # from now on both looks show it
        with pytest.raises(ProducerStoppedException):
            producer.produce(b"3", timestamp=timestamp)
    producer._running = producer._quick = producer._quick_keyed = False


def test_who_sees_to_what_is_left_does_not_hold_what_those_need_who_wait_for_room(
    kafka: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = KafkaClient(kafka.hosts)
    producer = client.topics[TOPIC].get_producer()
    core, apply, free = producer._core, producer._core.apply, []
    client.close()

    def look_and_apply(outcomes: Any) -> None:
        other = threading.Thread(target=lambda: free.append(core._lock.acquire(timeout=BOUND_S) and core._lock.release() is None))
        other.start()
        other.join()
        apply(outcomes)

    producer._running = producer._quick = True  # as for a thread that has looked before it was closed
    core.row_limit = 1000
    monkeypatch.setattr(core, "apply", look_and_apply)
    assert isinstance(producer.produce(b"x").error, ProducerStoppedException)
    producer._running = producer._quick = False
    assert free and all(free)


# -- a start ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("protocol", OF_GROUPS)
def test_a_client_that_is_closed_while_a_member_joins_takes_it_out_of_its_group(
    kafka: FakeCluster, protocol: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    start, stop, stopping = GroupSession.start, GroupConsumer.stop, threading.Event()
    closing: list[Running] = []
    group = f"joining-{protocol}"
    kafka.create_topic(group, 1)

    def stop_and_tell(consumer: GroupConsumer) -> None:
        stopping.set()
        stop(consumer)

    def start_and_close(session: GroupSession) -> None:
        start(session)
        until(lambda: kafka.members(group), what="a member")
        closing.append(Running(client.close))
        until(lambda: stopping.is_set() or not closing[0].is_alive(), what="the end of the client, or of the member")

    monkeypatch.setattr(GroupConsumer, "stop", stop_and_tell)
    monkeypatch.setattr(GroupSession, "start", start_and_close)
    with nothing_left_behind():
        client = KafkaClient(kafka.hosts)
        with suppress(ConsumerStoppedException):
            client.topics[group].get_balanced_consumer(group, managed=True, group_protocol=protocol)
        closing[0].end()
        assert kafka.members(group) == []


@pytest.mark.parametrize("kind", ["member", "consumer", "producer"])
def test_what_is_started_while_its_client_is_being_closed_is_refused_and_leaves_nothing(
    kafka: FakeCluster, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    kafka.create_topic(f"refused-{kind}", 1)
    found: list[Any] = []
    with nothing_left_behind():
        client = KafkaClient(kafka.hosts)
        topic = client.topics[f"refused-{kind}"]
        makers: dict[str, Callable[[], Any]] = {
            "member": lambda: topic.get_balanced_consumer("refused", managed=True, group_protocol="consumer"),
            "consumer": lambda: topic.get_simple_consumer(consumer_timeout_ms=100),
            "producer": topic.get_producer,
        }
        first, make = topic.get_producer(), makers[kind]

        def stop() -> None:  # everything that is to be stopped is known by now
            with pytest.raises(KafkaException, match="this client was closed: make a new KafkaClient"):
                make()
            found.append(kind)

        monkeypatch.setattr(first, "stop", stop)
        client.close()
        monkeypatch.undo()
        first.stop()
        assert found == [kind]


def test_an_error_of_a_users_callback_does_not_keep_a_client_from_being_closed(kafka: FakeCluster) -> None:
    kafka.create_topic("callback", 1)

    def fail(_member: Any, _partitions: Any) -> None:
        raise ValueError("a bug")

    with nothing_left_behind():
        client = KafkaClient(kafka.hosts)
        topic = client.topics["callback"]
        others = [topic.get_producer() for _ in range(3)]
        member = topic.get_balanced_consumer("callback", managed=True, group_protocol="consumer", on_revoke=fail)
        others += [topic.get_producer() for _ in range(3)]
        with pytest.raises(ValueError, match="a bug"):
            client.close()
        for producer in others:
            with pytest.raises(ProducerStoppedException):
                producer.produce(b"x")
        assert kafka.members("callback") == []
        with pytest.raises(ConsumerStoppedException):
            member.consume()
