"""A producer under any interleaving (property P12 of docs/hostile_bytes.rst): leaders that move, connections that end, zombies.

Two partitions on three brokers, one connection to each. A request that was sent before its connection ended may still be read by
its broker, at any time after that. Whatever happens, each row has one outcome, and it is true; logs are in order and have nothing
twice; sequences have no gap within a producer id and epoch; no more batches of a partition are under way than brokers remember.

A partition may be lent to a thread of the user's, which sends one message after the other by a connection of its own, until it is
interrupted in the middle, or the partition is wanted back.
"""

from __future__ import annotations

from collections import deque
from typing import Any, NamedTuple, Optional

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from pykafka._machines.accumulator import Accumulator, Answer, Outcome
from pykafka._machines.batches import Batch
from pykafka._machines.loans import Loan
from pykafka.exceptions import DeliveryTimeout, KafkaException, SocketDisconnectedError
from pykafka.records.queued import VALUE, Row

from .making import BACKOFF_S, ROOMY, TIMEOUT_S, columns_of_rows, row, rows_of
from .making import settings as send_settings
from .simulated_broker import REMEMBERED, REMEMBERED_BY_0_11, SimulatedPartition

PARTITIONS, BROKERS = 2, 3
NOT_LEADER, TIMED_OUT, TOO_LARGE, TOO_FEW, TOO_FEW_NOW, REFUSED = 6, 7, 10, 19, 20, 87
#: A broker takes no batch of more rows.
MOST_ROWS = 3
#: What a broker may say although it has written the batch, although it has not, and for good.
SAID = {"written": 0, "timed out": TIMED_OUT, "too few now": TOO_FEW_NOW, "too few": TOO_FEW, "refused": REFUSED}
DOUBTS = ("written", "timed out", "too few now")
WRITTEN = frozenset(DOUBTS)

#: How far a borrower gets with its message before something else happens.
STEPS = ("sent", "read", "heard")


class Link:
    """A connection: what the broker has not read yet, and answers that the client has not got yet."""

    def __init__(self) -> None:
        self.going: deque[Batch] = deque()
        self.coming: deque[tuple[Batch, Answer]] = deque()


class Zombie(NamedTuple):
    """A request whose connection has ended, as it was sent."""

    broker: int
    partition: int
    data: bytes
    row_count: int


class Producer(RuleBasedStateMachine):
    """The accumulator, the brokers, and what became of every row."""

    def __init__(self) -> None:
        super().__init__()
        self.machine = Accumulator(send_settings())
        self.remembered = REMEMBERED
        self.logs: list[SimulatedPartition] = []
        self.leaders = [0] * PARTITIONS
        self.known = [0] * PARTITIONS
        self.links = [Link() for _ in range(BROKERS)]
        #: per partition: what is lent of it, and the connection that its borrower uses
        self.loans: list[Optional[Loan]] = [None] * PARTITIONS
        self.lines = [Link() for _ in range(PARTITIONS)]
        self.zombies: list[deque[Zombie]] = [deque() for _ in range(BROKERS)]
        self.rows: list[list[Row]] = [[] for _ in range(PARTITIONS)]
        self.fates: dict[bytes, list[tuple[int, Optional[Exception]]]] = {}
        #: (producer id, epoch, partition) -> the first sequence that was not sent yet
        self.numbered: dict[tuple[int, int, int], int] = {}
        self.appended_size = self.decided_size = 0
        self.now = 0.0
        self.mark = self.ids = 0
        self.first_epoch = 0

    @initialize(remembered=st.sampled_from([REMEMBERED, REMEMBERED, REMEMBERED_BY_0_11]), epoch=st.sampled_from([0, 0, 32766]))
    def begin(self, remembered: int, epoch: int) -> None:
        """Choose what brokers remember, and how many epochs are left."""
        self.remembered, self.first_epoch = remembered, epoch
        self.logs = [SimulatedPartition(remembered) for _ in range(PARTITIONS)]

    def _settle(self, outcomes: list[Outcome]) -> None:
        for outcome in outcomes:
            self.decided_size += outcome.size
            for index, each in enumerate(rows_of(outcome)):
                offset = outcome.base_offset + index if outcome.base_offset >= 0 else -1
                self.fates.setdefault(each[VALUE] or b"", []).append((offset, outcome.error))
        if self.machine.needs_producer_id:
            self.ids += 1
            self.machine.set_producer_id(self.ids, self.first_epoch)

    # -- the user and the engine --------------------------------------------------------------------------------------

    @rule(where=st.integers(0, PARTITIONS - 1), count=st.integers(1, 8))
    def append(self, where: int, count: int) -> None:
        """Queue some rows."""
        fresh = [row(b"%d/%05d" % (where, len(self.rows[where]) + number)) for number in range(count)]
        self.rows[where] += fresh
        columns = columns_of_rows(fresh)
        self.appended_size += columns.size
        self.machine.append(where, columns, self.now, self.mark)
        self._settle([])

    @rule()
    def flush(self) -> None:
        """Have rows to come not put into one batch with those before."""
        self.mark += 1

    @precondition(lambda self: self.machine.sendable(self.now))
    @rule(which=st.integers(0, PARTITIONS - 1), limit=st.sampled_from([200, 200, 400, ROOMY]), times=st.integers(1, 6))
    def send_some(self, which: int, limit: int, times: int) -> None:
        """Send batches of a partition to the leader that is known."""
        sendable = self.machine.sendable(self.now)
        self.send(sendable[which % len(sendable)], limit, times)

    def send(self, where: int, limit: int, times: int) -> None:
        """Send batches of a partition."""
        link = self.links[self.known[where]]
        for _ in range(times):
            if where not in self.machine.sendable(self.now) or self.machine.is_elsewhere(where, link):
                return
            batch = self.machine.next_batch(where, limit, link)
            if batch is None:
                return
            batch.is_out = True
            self.machine.meet_broker(self.remembered)
            link.going.append(batch)
            self._look_at_numbers(batch)

    def _look_at_numbers(self, batch: Batch) -> None:
        numbers = (batch.producer_id, batch.producer_epoch, batch.partition_id)
        assert batch.base_sequence <= self.numbered.get(numbers, 0), "a sequence was left out"
        self.numbered[numbers] = max(self.numbered.get(numbers, 0), batch.base_sequence + batch.row_count)

    @rule(where=st.integers(0, PARTITIONS - 1))
    def hear_of_the_leader(self, where: int) -> None:
        """Let the client have new metadata of a partition."""
        self.known[where] = self.leaders[where]

    @rule(seconds=st.sampled_from([BACKOFF_S, BACKOFF_S, BACKOFF_S, TIMEOUT_S / 3]))
    def wait(self, seconds: float) -> None:
        """Let time pass; what is too old fails."""
        self.now += seconds
        self._settle(self.machine.expire(self.now))

    @rule(luck=st.integers(0, 19))
    def give_up(self, luck: int) -> None:
        """Fail everything that is not under way, now and then."""
        if luck == 0:
            self._settle(self.machine.fail_all(KafkaException("given up")))

    # -- a borrower ---------------------------------------------------------------------------------------------------

    @rule(where=st.integers(0, PARTITIONS - 1))
    def lend(self, where: int) -> None:
        """Lend a partition, if the machine does."""
        if self.loans[where] is None:
            self.loans[where] = self.machine.lend(where)

    @precondition(lambda self: any(self.loans))
    @rule(which=st.integers(0, 1), fate=st.sampled_from(["written", "written", *SAID]), step=st.sampled_from(STEPS))
    def send_directly(self, which: int, fate: str, step: str) -> None:
        """Have a borrower send a message; it gets as far as ``step`` says, and may be interrupted there by :meth:`end_loan`."""
        lent = [where for where, loan in enumerate(self.loans) if loan is not None]
        where = lent[which % len(lent)]
        loan, line = self.loans[where], self.lines[where]
        assert loan is not None
        if loan.batch is None and not self.machine._queues[where].chunks:
            fresh = [row(b"%d/%05d" % (where, len(self.rows[where])))]
            self.rows[where] += fresh
            columns = columns_of_rows(fresh)
            batch = Batch(where, columns, self.now, self.mark)
            loan.number(batch)
            batch.encode(columns, 0)
            assert loan.begin(batch, line)
            line.going.append(batch)
            self._look_at_numbers(batch)
        if step != "sent" and line.going:
            batch = line.going.popleft()
            line.coming.append((batch, self._read(self.known[where], where, bytes(batch.data), 1, fate)))
        if step == "heard" and line.coming:
            self._hear_directly(where)

    @rule(
        where=st.integers(0, PARTITIONS - 1),
        sends=st.lists(st.tuples(st.sampled_from(["written", "written", *SAID]), st.sampled_from(STEPS)), min_size=1, max_size=4),
        ends=st.sampled_from(["not", "arrives", "is lost"]),
    )
    def borrow(self, where: int, sends: list[tuple[str, str]], ends: str) -> None:
        """Have a partition lent that goes well, and used for some messages: without this, few runs would get far."""
        self.go_well(where)
        self.lend(where)
        for fate, step in sends:
            if self.loans[where] is not None:
                self.send_directly(sum(loan is not None for loan in self.loans[:where]), fate, step)
        if ends != "not" and self.loans[where] is not None:
            self.end_loan(sum(loan is not None for loan in self.loans[:where]), ends == "arrives")
            self.go_well(where)

    def _hear_directly(self, where: int) -> None:
        loan = self.loans[where]
        batch, answer = self.lines[where].coming.popleft()
        assert loan is not None
        if answer.code == 0:
            loan.on_acked(batch, self.now)
            self.fates.setdefault(rows_of(batch)[0][VALUE] or b"", []).append((answer.base_offset, None))
        else:
            self._take_back(where)
            self._settle(self.machine.on_answer(batch, answer, self.now))

    @precondition(lambda self: any(self.loans))
    @rule(which=st.integers(0, 1), arrives=st.booleans())
    def end_loan(self, which: int, arrives: bool) -> None:
        """Take a partition back, whatever its borrower is doing; what it has sent may be read one day."""
        lent = [where for where, loan in enumerate(self.loans) if loan is not None]
        where = lent[which % len(lent)]
        line, self.lines[where] = self.lines[where], Link()
        if arrives:
            self.zombies[self.known[where]] += [Zombie(self.known[where], where, bytes(one.data), 1) for one in line.going]
        batch = self._take_back(where)
        if batch is not None:
            self._settle(self.machine.on_no_answer(batch, SocketDisconnectedError("interrupted"), True, self.now))

    def _take_back(self, where: int) -> Optional[Batch]:
        loan, self.loans[where] = self.loans[where], None
        assert loan is not None
        batch = self.machine.reclaim(loan)
        if batch is not None:
            self.appended_size += batch.size
        return batch

    # -- brokers ------------------------------------------------------------------------------------------------------

    @rule(where=st.integers(0, PARTITIONS - 1), step=st.integers(1, BROKERS - 1), is_told=st.booleans())
    def move_leader(self, where: int, step: int, is_told: bool) -> None:
        """Have another broker lead; the log is the same one. The client hears of it now or later."""
        self.leaders[where] = (self.leaders[where] + step) % BROKERS
        if is_told:
            self.known[where] = self.leaders[where]

    def _read(self, broker: int, partition: int, data: bytes, row_count: int, fate: str) -> Answer:
        if self.leaders[partition] != broker:
            return Answer(NOT_LEADER)
        if fate not in WRITTEN:
            return Answer(SAID[fate])
        if row_count > MOST_ROWS:
            return Answer(TOO_LARGE)
        answer = self.logs[partition].append(data)
        return answer if answer.code or fate == "written" else Answer(SAID[fate])

    @precondition(lambda self: any(link.going for link in self.links))
    @rule(
        which=st.integers(0, 5),
        times=st.integers(1, 5),
        fate=st.sampled_from(["written", "written", *SAID]),
        place=st.sampled_from(["last", "last", "first"]),
    )
    def work_some(self, which: int, times: int, fate: str, place: str) -> None:
        """Have a broker read what has come by its connection; the first or the last of it may go wrong."""
        busy = [broker for broker, link in enumerate(self.links) if link.going]
        self.work(busy[which % len(busy)], times, fate, place)

    def work(self, broker: int, times: int, fate: str, place: str = "last") -> None:
        """Have a broker read what has come."""
        link = self.links[broker]
        count = min(times, len(link.going))
        at = 0 if place == "first" else count - 1
        for number in range(count):
            batch = link.going.popleft()
            said = self._read(broker, batch.partition_id, bytes(batch.data), batch.row_count, fate if number == at else "written")
            link.coming.append((batch, said))

    @rule(where=st.integers(0, PARTITIONS - 1), losses=st.lists(st.sampled_from([*DOUBTS, "cut"]), min_size=1, max_size=4))
    def go_on_behind_a_doubt(self, where: int, losses: list[str]) -> None:
        """Have the oldest batch of a partition be in doubt again and again, while those behind it go well or are lost with it.

        A broker knows a few batches again, and no more: without this, few runs would get that far.
        """
        self.go_well(where)
        for fate in losses:
            for _ in range(REMEMBERED):
                self.append(where, 1)
                self.flush()
            self.wait(BACKOFF_S)
            self.send(where, ROOMY, REMEMBERED)
            broker = self.known[where]
            self.work(broker, 9, "written" if fate == "cut" else fate, "first")
            if fate != "cut":
                self.hear(broker, 9)
            elif self.links[broker].coming:
                self.cut_off(broker, 0, all_sent=True)

    @precondition(lambda self: any(link.coming for link in self.links))
    @rule(which=st.integers(0, 5), times=st.integers(1, 5))
    def hear_some(self, which: int, times: int) -> None:
        """Let the client have answers."""
        busy = [broker for broker, link in enumerate(self.links) if link.coming]
        self.hear(busy[which % len(busy)], times)

    def hear(self, broker: int, times: int) -> None:
        """Let the client have answers of a broker."""
        link = self.links[broker]
        for _ in range(min(times, len(link.coming))):
            batch, answer = link.coming.popleft()
            self._settle(self.machine.on_answer(batch, answer, self.now))

    @rule(where=st.integers(0, PARTITIONS - 1))
    def go_well(self, where: int) -> None:
        """Have everything of a partition go well for a while: without this, few runs would get far."""
        self.append(where, 2)
        self.hear_of_the_leader(where)
        self.wait(BACKOFF_S)
        for _ in range(2):
            self.send(where, ROOMY, 6)
            self.work(self.known[where], 9, "written")
            self.hear(self.known[where], 9)

    @precondition(lambda self: any(link.going or link.coming for link in self.links))
    @rule(which=st.integers(0, 5), arrives=st.integers(0, 5), all_sent=st.booleans())
    def cut(self, which: int, arrives: int, all_sent: bool) -> None:
        """End a connection; the first few of what the broker has not read yet will still be read one day.

        :param all_sent: whether what did not get through counts as sent: the client cannot know what of it the socket had
        """
        busy = [broker for broker, link in enumerate(self.links) if link.going or link.coming]
        self.cut_off(busy[which % len(busy)], arrives, all_sent)

    def cut_off(self, broker: int, arrives: int, all_sent: bool) -> None:
        """End the connection to a broker."""
        link, self.links[broker] = self.links[broker], Link()
        late = list(link.going)[:arrives]
        self.zombies[broker] += [Zombie(broker, one.partition_id, bytes(one.data), one.row_count) for one in late]
        lost = SocketDisconnectedError("cut")
        for batch, _answer in link.coming:
            self._settle(self.machine.on_no_answer(batch, lost, True, self.now))
        for number, batch in enumerate(link.going):
            sent = number < len(late) or all_sent
            self._settle(self.machine.on_no_answer(batch, lost, sent, self.now))

    @precondition(lambda self: any(self.zombies))
    @rule(which=st.integers(0, 5))
    def read_late(self, which: int) -> None:
        """Have a broker read what came by a connection that has ended."""
        waiting = [broker for broker, those in enumerate(self.zombies) if those]
        one = self.zombies[waiting[which % len(waiting)]].popleft()
        self._read(one.broker, one.partition, one.data, one.row_count, "written")

    # -- what always holds --------------------------------------------------------------------------------------------

    @invariant()
    def few_are_under_way(self) -> None:
        """Look at how many batches of each partition are under way, and where."""
        for where in range(PARTITIONS):
            places = [link for link in self.links for batch in (*link.going, *(one for one, _said in link.coming))
                      if batch.partition_id == where]  # fmt: skip
            assert len(places) <= self.remembered
            assert not places or self.loans[where] is None, "the machine has sent to what it has lent"
            assert len(set(map(id, places))) <= 1, "batches of one partition are under way to two brokers"

    @invariant()
    def each_row_has_one_outcome_at_most(self) -> None:
        """Look at the outcomes."""
        assert all(len(outcomes) == 1 for outcomes in self.fates.values())
        assert self.decided_size <= self.appended_size

    @invariant()
    def something_will_happen(self) -> None:
        """Look whether the machine can go on by itself."""
        for where in self.machine.active:
            queue = self.machine._queues[where]
            # a borrower has its answer sooner or later, and then gives back what is wanted
            can_go_on = queue.loan or queue.in_flight or where in self.machine.sendable(self.now) or queue.not_before > self.now
            assert can_go_on, f"partition {where} is stuck: {queue.resend} {queue.must_renumber}"
            # what is under way and expired has been told of, and comes back at the latest at the deadline of its request
            is_over = all(batch.expired for batch in queue.in_flight) and not queue.resend and not queue.chunks
            assert is_over or self.machine.wake_at(self.now) < float("inf")

    @invariant()
    def logs_are_in_order(self) -> None:
        """Look at the logs: rows in order, nothing twice, no gap in the sequences of an epoch.

        But for what was given up in doubt, and nobody was told that it is written. A broker that knows nothing of a producer
        takes any sequence as its first, and then refuses what came before it. And a new producer id, needed after 32,767
        epochs, keeps no broker from reading late what was sent under the old one.
        """
        for log in self.logs:
            assert len(log.log) == len(set(log.log)), "written twice"
            ordered = [value for value in log.log if self.ids < 2 or not any(error for _at, error in self.fates.get(value, ()))]
            assert ordered == sorted(ordered)
            following: dict[tuple[int, int], int] = {}
            known: set[int] = set()
            for producer_id, epoch, first, count in log.accepted:
                assert first == following.get((producer_id, epoch), 0) or producer_id not in known, "a gap in the log"
                following[producer_id, epoch] = first + count
                known.add(producer_id)

    def teardown(self) -> None:
        """Let the trouble be over; look at every outcome, and once more when the last zombie was read."""
        if not self.logs:
            return
        self.known = list(self.leaders)
        while any(self.loans):
            self.end_loan(0, arrives=True)
        for _round in range(2000):
            if not list(self.machine.active):
                break
            self.wait(BACKOFF_S)
            for where in range(PARTITIONS):
                self.send(where, ROOMY, 6)
            for broker in range(BROKERS):
                self.work(broker, 100, "written")
                self.hear(broker, 100)
        assert not list(self.machine.active), "it never comes to rest"
        assert self.decided_size == self.appended_size
        while any(self.zombies):
            self.read_late(0)
        self.logs_are_in_order()
        for rows, log in zip(self.rows, self.logs):
            for each in rows:
                self._check_fate(each[VALUE] or b"", log.log)

    def _check_fate(self, value: bytes, log: list[Any]) -> None:
        ((offset, error),) = self.fates[value]
        if error is None:
            assert value in log and (offset < 0 or log[offset] == value), f"{value!r} is said to be at {offset}"
        elif not (isinstance(error, DeliveryTimeout) and error.possibly_written):
            assert value not in log, f"{value!r} is said not to be written: {error}"


TestProducer = Producer.TestCase
TestProducer.settings = settings(max_examples=120, stateful_step_count=60, deadline=None, database=None)
