"""The line in front of a full queue: in order, nobody twice, nobody forgotten, and over as soon as there is room."""

from __future__ import annotations

import threading
from typing import Callable

import pytest

from pykafka._engine.line import WaitingLine
from pykafka._engine.waiting import Deadline

from ...support import until


class Queue:
    """Something bounded, and the line in front of it."""

    def __init__(self, room: int) -> None:
        self.room = room
        self.entered: list[str] = []
        self.recounts = 0
        self.line = WaitingLine(lambda count, size: count <= self.room)

    def enter(self, name: str, count: int) -> Callable[[], None]:
        """Return what happens when ``name`` gets in: it takes ``count`` of the room."""

        def enter() -> None:
            self.room -= count
            self.entered.append(name)

        return enter

    def wait(self, name: str, count: int = 1, *, seconds: float = 20.0, may_wait: Callable[[], bool] = lambda: True) -> bool:
        """Stand in the line."""
        return self.line.wait(count, 0, self.enter(name, count), may_wait, self._recount, Deadline(seconds))

    def _recount(self) -> None:
        self.recounts += 1

    def behind(self, name: str, count: int = 1) -> threading.Thread:
        """Have another thread stand at the end of the line."""
        length = len(self.line)
        thread = threading.Thread(target=self.wait, args=(name, count), daemon=True)
        thread.start()
        until(lambda: len(self.line) == length + 1, what=f"{name} in the line")
        return thread

    def make_room(self, room: int) -> None:
        """Make room, and let in who fits."""
        self.room += room
        self.line.let_in()


def test_where_there_is_room_nobody_waits() -> None:
    queue = Queue(5)
    assert queue.wait("a", 3)
    assert (queue.room, queue.entered, len(queue.line)) == (2, ["a"], 0)


def test_everybody_who_fits_is_let_in_at_once_and_in_order() -> None:
    queue = Queue(0)
    threads = [queue.behind(name) for name in "abcd"]
    queue.make_room(3)
    assert queue.entered == ["a", "b", "c"]
    assert len(queue.line) == 1
    queue.make_room(1)
    for thread in threads:
        thread.join(20)
    assert queue.entered == ["a", "b", "c", "d"]


def test_who_needs_much_is_not_overtaken_by_who_needs_little() -> None:
    queue = Queue(0)
    threads = [queue.behind("much", 10), queue.behind("little")]
    queue.make_room(5)
    assert queue.entered == []
    queue.make_room(6)
    for thread in threads:
        thread.join(20)
    assert queue.entered == ["much", "little"]


def test_who_gives_up_lets_those_behind_go_on() -> None:
    queue = Queue(1)
    patience = threading.Event()

    def may_wait() -> bool:
        if patience.is_set():
            raise RuntimeError("gave up")
        return True

    def give_up() -> None:
        with pytest.raises(RuntimeError):
            queue.wait("much", 10, may_wait=may_wait)

    first = threading.Thread(target=give_up, daemon=True)
    first.start()
    until(lambda: len(queue.line) == 1, what="the first in the line")
    second = queue.behind("little")
    assert queue.entered == []
    patience.set()
    queue.line.wake_all()
    for thread in (first, second):
        thread.join(20)
    assert queue.entered == ["little"]


def test_time_that_is_up_means_that_nothing_was_entered() -> None:
    queue = Queue(0)
    assert not queue.wait("a", seconds=0.0)
    queue.make_room(9)
    assert (queue.entered, len(queue.line)) == ([], 0)


def test_what_makes_waiting_useless_is_raised_and_leaves_no_trace() -> None:
    def broken() -> bool:
        raise RuntimeError("closed")

    queue = Queue(0)
    with pytest.raises(RuntimeError, match="closed"):
        queue.wait("a", may_wait=broken)
    assert (queue.entered, len(queue.line)) == ([], 0)


def test_who_must_not_wait_is_let_in_although_there_is_no_room() -> None:
    queue = Queue(0)
    assert queue.wait("callback", may_wait=lambda: False)
    assert queue.entered == ["callback"]


def test_a_signal_handler_does_not_wait_for_the_thread_it_interrupted() -> None:
    queue = Queue(0)

    def interrupted() -> bool:
        if "handler" not in queue.entered:
            assert queue.wait("handler")
            queue.make_room(2)
        return True

    assert queue.wait("thread", may_wait=interrupted)
    assert queue.entered == ["handler", "thread"]


def test_everybody_is_asked_again_when_the_queue_is_closed() -> None:
    queue, closed = Queue(0), threading.Event()
    errors: list[BaseException] = []

    def may_wait() -> bool:
        if closed.is_set():
            raise RuntimeError("closed")
        return True

    def stand(name: str) -> None:
        try:
            queue.wait(name, may_wait=may_wait)
        except RuntimeError as error:
            errors.append(error)

    threads = [threading.Thread(target=stand, args=(name,), daemon=True) for name in "abc"]
    for thread in threads:
        thread.start()
    until(lambda: len(queue.line) == 3, what="three in the line")
    closed.set()
    queue.line.wake_all()
    for thread in threads:
        thread.join(20)
    assert len(errors) == 3
    assert len(queue.line) == 0


def test_many_threads_at_a_small_bound_all_get_everything_in() -> None:
    queue, each = Queue(3), 30

    def work(name: str) -> None:
        for _ in range(each):
            assert queue.wait(name)

    threads = [threading.Thread(target=work, args=(str(number),), daemon=True) for number in range(8)]
    for thread in threads:
        thread.start()

    def finished() -> bool:
        taken = len(queue.entered)
        with queue.line._lock:
            queue.room = 3
        queue.line.let_in()
        return taken == 8 * each

    until(finished, what="everything in the queue")
    assert all(queue.entered.count(str(number)) == each for number in range(8))
