"""Members of this library, of confluent-kafka and of kafka-python in one group, each of them as the leader once."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, Callable, Optional

import pytest

from pykafka import KafkaClient, RangeProtocol, RoundRobinProtocol, Topic
from pykafka.exceptions import GroupIdNotFound
from pykafka.membershipprotocol import CooperativeStickyProtocol, GroupMembershipProtocol

from .. import needs
from ..brokers import KafkaCluster
from ..support import create_topic, until

confluent_kafka = needs.package("confluent_kafka")

# kafka-python reads its schemas in a way that Python warns of
pytestmark = [
    pytest.mark.filterwarnings("ignore:(read|open)_text is deprecated:DeprecationWarning"),
    # kafka-python's transport forgets its socket when it is closed in the middle of a read ("NoneType has no attribute recv")
    pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"),
]

HEARTBEAT_MS = 200
SESSION_MS = 10000
PARTITIONS = 7
PROTOCOLS: dict[str, GroupMembershipProtocol] = {
    "range": RangeProtocol,
    "roundrobin": RoundRobinProtocol,
    "cooperative-sticky": CooperativeStickyProtocol,
}
#: A consumer group of the newer protocol (KIP-848) instead of a way of sharing of the classic one.
NEWER = "consumer"


class Player:
    """A member that reads on a thread of its own and commits what it has read, until it is told to leave.

    ``share`` is the set of partitions that it has, ``read`` what it was given: (partition, offset) of every message.
    """

    def __init__(self, kafka: KafkaCluster, group: str, topic: str, sharing: str) -> None:
        self.kafka, self.group, self.topic, self.sharing = kafka, group, topic, sharing
        self.share: set[int] = set()
        self.read: list[tuple[int, int]] = []
        self.error: Optional[BaseException] = None
        self._leave = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"{type(self).__name__} of {group}")

    def __enter__(self) -> Player:
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.leave()

    def leave(self) -> None:
        """Have it commit and leave; twice is harmless."""
        self._leave.set()
        self._thread.join(60)
        assert not self._thread.is_alive()
        self.share = set()
        assert self.error is None, self.error

    def _run(self) -> None:
        try:
            with self._member() as poll:
                while not self._leave.is_set():
                    poll()
        except BaseException as error:  # the test's thread raises it
            self.error = error

    @contextmanager
    def _member(self) -> Iterator[Callable[[], None]]:
        """Yield a function that reads for a moment and notes what it has."""
        raise NotImplementedError
        yield


class Ours(Player):
    """A member of this library."""

    @contextmanager
    def _member(self) -> Iterator[Callable[[], None]]:
        newer = self.sharing == NEWER
        with KafkaClient(self.kafka.hosts) as client:
            consumer = client.topics[self.topic].get_balanced_consumer(
                self.group,
                managed=True,
                membership_protocol=CooperativeStickyProtocol if newer else PROTOCOLS[self.sharing],
                group_protocol=self._protocol(newer),
                heartbeat_interval_ms=HEARTBEAT_MS,
                session_timeout_ms=SESSION_MS,
                auto_commit_enable=True,
                auto_commit_interval_ms=100,
            )

            def poll() -> None:
                for message in consumer.consume_batch(100, timeout_ms=50):
                    self.read.append((message.partition_id, message.offset))
                self.share = {tp.partition for tp in consumer.group_status().owned}

            with consumer:
                yield poll

    @staticmethod
    def _protocol(newer: bool) -> str:
        return "consumer" if newer else "classic"


class Confluent(Player):
    """A member of confluent-kafka."""

    @contextmanager
    def _member(self) -> Iterator[Callable[[], None]]:
        settings: dict[str, Any] = {
            "bootstrap.servers": self.kafka.hosts,
            "group.id": self.group,
            "auto.offset.reset": "earliest",
            "enable.auto.commit": True,
            "auto.commit.interval.ms": 100,
        }
        if self.sharing == NEWER:
            settings["group.protocol"] = "consumer"
        else:
            settings["partition.assignment.strategy"] = self.sharing
            settings.update({"heartbeat.interval.ms": HEARTBEAT_MS, "session.timeout.ms": SESSION_MS})
        consumer = confluent_kafka.Consumer(settings)
        consumer.subscribe([self.topic])

        def poll() -> None:
            for message in consumer.consume(100, 0.05):
                assert message.error() is None, message.error()
                self.read.append((message.partition(), message.offset()))
            self.share = {row.partition for row in consumer.assignment()}

        try:
            yield poll
        finally:
            consumer.close()


class KafkaPython(Player):
    """A member of kafka-python."""

    @contextmanager
    def _member(self) -> Iterator[Callable[[], None]]:
        kafka = needs.package("kafka")
        assignors = needs.package(f"kafka.coordinator.assignors.{_MODULES[self.sharing]}")
        consumer = kafka.KafkaConsumer(
            self.topic,
            bootstrap_servers=self.kafka.hosts,
            group_id=self.group,
            partition_assignment_strategy=[getattr(assignors, _CLASSES[self.sharing])],
            heartbeat_interval_ms=HEARTBEAT_MS,
            session_timeout_ms=SESSION_MS,
            auto_offset_reset="earliest",
            enable_auto_commit=True,
            auto_commit_interval_ms=100,
        )
        # without it kafka-python may join before it knows the topic's partitions, and is then stuck for good if a poll ends
        # while it joins again (docs/design.md, "Non-obvious")
        consumer.partitions_for_topic(self.topic)

        def poll() -> None:
            # not for a moment only: a poll that ends in the middle of a rebalance may drop that it has to join again
            for messages in consumer.poll(timeout_ms=500, max_records=100).values():
                self.read += [(message.partition, message.offset) for message in messages]
            self.share = {row.partition for row in consumer.assignment()}

        try:
            yield poll
        finally:
            consumer.close()


_MODULES = {"range": "range", "roundrobin": "roundrobin", "cooperative-sticky": "cooperative_sticky"}
_CLASSES = {
    "range": "RangePartitionAssignor",
    "roundrobin": "RoundRobinPartitionAssignor",
    "cooperative-sticky": "CooperativeStickyAssignor",
}


class OursNewer(Ours):
    """A member of this library by the newer protocol, in a group of whichever kind."""

    @staticmethod
    def _protocol(newer: bool) -> str:
        return "consumer"


class Play:
    """A topic, the group that reads it, and what was written to it so far."""

    def __init__(self, kafka: KafkaCluster, client: KafkaClient, name: str) -> None:
        self.kafka, self.client, self.name = kafka, client, name
        self.topic: Topic = create_topic(client, name, PARTITIONS)
        self.everybody: list[Player] = []
        self.producer = self.topic.get_producer()
        self._stack = ExitStack()

    def __enter__(self) -> Play:
        self._stack.enter_context(self.producer)
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._stack.close()

    def enter(self, kind: type[Player], sharing: str) -> Player:
        """Return a member that has begun to join."""
        player = kind(self.kafka, self.name, self.name, sharing)
        self.everybody.append(player)
        self._stack.enter_context(player)
        return player

    def until_shared(self, *players: Player) -> None:
        """Return when these members share all partitions as fairly as can be, and nobody else has any."""

        def shared() -> bool:
            for player in self.everybody:
                if player.error is not None:
                    raise AssertionError(f"{type(player).__name__} broke down") from player.error
            shares = [player.share for player in players]
            sizes = sorted(map(len, shares))
            return sorted(number for share in shares for number in share) == list(range(PARTITIONS)) and sizes[-1] - sizes[0] <= 1

        until(shared, what=f"fair shares for {[type(player).__name__ for player in players]}: {[p.share for p in players]}")

    def write(self, count: int = 70) -> None:
        """Write messages to all partitions in turn, and return when some member has read each of them."""
        self.producer.produce_many([b"x"] * count)
        self.producer.flush()
        until(lambda: self.ends() <= self.counts(), what=f"everything read: {self.ends()} of {self.counts()}")

    def ends(self) -> int:
        """Return how many messages there are."""
        return sum(row.offset[0] for row in self.topic.latest_available_offsets().values())

    def counts(self) -> int:
        """Return how many messages were read, each of them counted once: a member that was put out has some read again."""
        return len({one for player in self.everybody for one in list(player.read)})

    def check_read_once(self) -> None:
        """Fail unless every message was read, by exactly one member."""
        read = Counter(one for player in self.everybody for one in player.read)
        ends = {number: row.offset[0] for number, row in self.topic.latest_available_offsets().items()}
        assert read == Counter((number, offset) for number, end in ends.items() for offset in range(end))

    def check_committed(self) -> None:
        """Fail unless every client finds committed what was read, once nobody is in the group any more."""
        ends = {number: row.offset[0] for number, row in self.topic.latest_available_offsets().items()}
        with self.topic.get_simple_consumer(self.name, auto_start=False) as consumer:
            assert {number: row.offset for number, row in consumer.fetch_offsets()} == ends
        theirs = confluent_kafka.Consumer({"bootstrap.servers": self.kafka.hosts, "group.id": self.name})
        rows = theirs.committed([confluent_kafka.TopicPartition(self.name, number) for number in ends], 20)
        theirs.close()
        assert {row.partition: row.offset for row in rows} == ends
        kafka = needs.package("kafka")
        other = kafka.KafkaConsumer(bootstrap_servers=self.kafka.hosts, group_id=self.name)
        assert {number: other.committed(kafka.TopicPartition(self.name, number)) for number in ends} == ends
        other.close()

    def description(self) -> Any:
        """Return what the coordinator says of the group."""
        return self.client.cluster.get_managed_group_descriptions()[self.name.encode()]

    def take_over_from_each_other(
        self, kind: type[Player], other_kind: type[Player], sharing: str, when_shared: Callable[[], None] = lambda: None
    ) -> None:
        """Have two members share, each of them leave once, and fail unless all was read once and is committed."""
        first = self.enter(kind, sharing)
        self.until_shared(first)
        self.write()
        second = self.enter(other_kind, sharing)
        self.until_shared(first, second)
        self.write()
        when_shared()
        first.leave()
        self.until_shared(second)
        self.write()
        again = self.enter(kind, sharing)
        self.until_shared(second, again)
        self.write()
        second.leave()
        again.leave()
        self.check_read_once()
        self.check_committed()

    def go_over_and_back(self, classic_kind: type[Player], sharing: str) -> None:
        """Have members of both protocols come and go, so that the group changes its kind; fail unless all was read once."""
        classic = self.enter(classic_kind, sharing)
        self.until_shared(classic)
        self.write()
        newer = self.enter(OursNewer, sharing)
        self.until_shared(classic, newer)
        self.write()
        newer.leave()
        self.until_shared(classic)
        self.write()
        again = self.enter(OursNewer, sharing)
        self.until_shared(classic, again)
        self.write()
        classic.leave()
        self.until_shared(again)
        self.write()
        back = self.enter(classic_kind, sharing)
        self.until_shared(back, again)
        self.write()
        again.leave()
        self.until_shared(back)
        self.write()
        back.leave()
        self.check_read_once()
        self.check_committed()

    def mix_clients_and_protocols(self) -> None:
        """Have classic members of three clients and newer ones of two be in one group; fail unless all was read once."""
        classic = [self.enter(kind, "range") for kind in (Ours, Confluent, KafkaPython)]
        self.until_shared(*classic)
        self.write()
        newer = [self.enter(Ours, NEWER), self.enter(Confluent, NEWER)]
        self.until_shared(*classic, *newer)
        self.write()
        for player in classic:
            player.leave()
            self.until_shared(*(one for one in classic if one.share), *newer)
            self.write()
        back = self.enter(KafkaPython, "range")
        for player in newer:
            player.leave()
        self.until_shared(back)
        self.write()
        back.leave()
        self.check_read_once()
        self.check_committed()

    def change_one_by_one(self, sharing: str) -> None:
        """Replace three classic members by newer ones while messages come; fail unless all was read once."""
        players = [self.enter(Ours, sharing) for _ in range(3)]
        self.until_shared(*players)
        stop = threading.Event()

        def write() -> None:
            while not stop.wait(0.01):
                self.producer.produce_many([b"x"] * 7)

        writer = threading.Thread(target=write)
        writer.start()
        try:
            for place in range(3):
                players[place].leave()
                players[place] = self.enter(Ours, NEWER)
                self.until_shared(*players)
        finally:
            stop.set()
            writer.join()
        self.write()
        for player in players:
            assert player.sharing == NEWER
            player.leave()
        self.check_read_once()
        self.check_committed()


@pytest.fixture(scope="module")
def brisk(kafka: KafkaCluster) -> Iterator[KafkaCluster]:
    """A broker that has members of the newer protocol ask every half second for what has changed, and not every five."""
    settings = {"group.consumer.heartbeat.interval.ms": 500, "group.consumer.min.heartbeat.interval.ms": 500}
    with KafkaCluster(settings=settings) as cluster:
        yield cluster


@pytest.fixture
def play(brisk: KafkaCluster, topic_name: str) -> Iterator[Play]:
    """A topic and its group, which nobody is in any more in the end."""
    with KafkaClient(brisk.hosts) as client, Play(brisk, client, topic_name) as play:
        yield play


ORDERS = {
    "ours": (Ours, Confluent, KafkaPython),
    "theirs": (Confluent, KafkaPython, Ours),
    "python's": (KafkaPython, Ours, Confluent),
}


@pytest.mark.parametrize("leader", ORDERS)
@pytest.mark.parametrize("sharing", PROTOCOLS)
def test_members_of_three_clients_share_whoever_leads_and_take_over_from_each_other(
    play: Play, sharing: str, leader: str
) -> None:
    kinds = ORDERS[leader]
    # who joins a new group first leads it for as long as it stays
    first = play.enter(kinds[0], sharing)
    play.until_shared(first)
    play.write()
    second, third = play.enter(kinds[1], sharing), play.enter(kinds[2], sharing)
    play.until_shared(first, second, third)
    play.write()
    description = play.description()
    assert description[:5] == (0, play.name.encode(), b"Stable", b"consumer", sharing.encode())
    first.leave()  # another one leads now
    play.until_shared(second, third)
    play.write()
    again = play.enter(kinds[0], sharing)
    play.until_shared(second, third, again)
    play.write()
    for player in (third, second, again):
        player.leave()
    play.check_read_once()
    play.check_committed()


@pytest.mark.parametrize("first_kind", [Ours, Confluent])
def test_members_of_two_clients_share_in_a_group_of_the_newer_protocol(play: Play, first_kind: type[Player]) -> None:
    other_kind = Confluent if first_kind is Ours else Ours
    play.take_over_from_each_other(first_kind, other_kind, NEWER)


@pytest.mark.parametrize(
    ("classic_kind", "sharing"),
    [
        (Ours, "range"),
        (Ours, "cooperative-sticky"),
        (Confluent, "range"),
        (Confluent, "roundrobin"),
        # without kafka-python's cooperative members, which lose their seat at times, also alone (docs/design.md)
        (KafkaPython, "range"),
    ],
)
def test_a_group_goes_over_to_the_newer_protocol_and_back_while_its_members_run(
    play: Play, classic_kind: type[Player], sharing: str
) -> None:
    play.go_over_and_back(classic_kind, sharing)


def test_members_of_three_clients_and_both_protocols_share_one_group(play: Play) -> None:
    play.mix_clients_and_protocols()


@pytest.mark.parametrize("sharing", ["range", "cooperative-sticky"])
def test_members_change_to_the_newer_protocol_one_by_one_while_messages_come(play: Play, sharing: str) -> None:
    play.change_one_by_one(sharing)


def test_a_group_that_its_members_keep_classic_is_left_in_peace_and_who_wanted_it_otherwise_is_told_why(play: Play) -> None:
    # what confluent-kafka says with this way of sharing once it has partitions, the broker takes for a way of the user's own, and
    # takes no such group over
    first = play.enter(Confluent, "cooperative-sticky")
    play.until_shared(first)
    second = play.enter(Confluent, "cooperative-sticky")
    play.until_shared(first, second)
    newer = play.topic.get_balanced_consumer(play.name, managed=True, group_protocol="consumer", auto_start=False)
    with pytest.raises(GroupIdNotFound, match="custom assignor"):
        newer.start()
    play.write()
    assert len(first.share | second.share) == PARTITIONS
    play.check_read_once()
    # one that takes what there is takes part
    play.until_shared(first, second, play.enter(Ours, "cooperative-sticky"))


def test_a_member_that_may_choose_takes_the_protocol_that_the_group_has(play: Play) -> None:
    def protocol_in(group: str, sharing: GroupMembershipProtocol) -> Optional[str]:
        options = {"managed": True, "membership_protocol": sharing, "heartbeat_interval_ms": HEARTBEAT_MS}
        with play.topic.get_balanced_consumer(group, **options) as consumer:
            return consumer.group_status().protocol

    assert protocol_in(f"{play.name}-new", RangeProtocol) == "consumer"
    play.until_shared(play.enter(Confluent, "roundrobin"))
    assert protocol_in(play.name, RoundRobinProtocol) == "roundrobin"
