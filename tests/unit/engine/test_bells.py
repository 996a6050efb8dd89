"""What the I/O thread wakes others by: nobody sleeps through it, and no exception of a signal handler leaves it locked."""

from __future__ import annotations

import sys
import threading

from pykafka._engine.loop import Loop
from pykafka._engine.waiting import Bell, News

from ...support import Interrupting, until

LONG_S = 20.0


def test_a_bell_that_was_rung_before_is_heard_once() -> None:
    bell = Bell()
    assert not bell.wait(0.0)
    bell.ring()
    bell.ring()
    assert bell.wait(LONG_S) and not bell.wait(0.0)


def test_a_time_that_no_lock_can_wait_for_is_a_long_one() -> None:
    bell = Bell()
    bell.ring()
    assert bell.wait(float("inf"))


def test_news_wake_everybody_who_waits_and_leave_nobody_in_the_list() -> None:
    news, come = News(), threading.Event()
    threads = [threading.Thread(target=lambda: news.wait(come.is_set, LONG_S)) for _ in range(3)]
    for thread in threads:
        thread.start()
    until(lambda: len(news) == 3, what="three who wait")
    news.tell()
    for thread in threads:
        thread.join(LONG_S)
        assert not thread.is_alive()
    assert len(news) == 0


def test_news_that_come_just_before_the_wait_are_not_waited_for() -> None:
    news = News()
    news.wait(lambda: True, LONG_S)
    # told between the look and the wait
    news.wait(lambda: news.tell() is not None, LONG_S)
    assert len(news) == 0


def test_whoever_tells_is_never_held_up_by_a_waiter_that_ctrl_c_ended_anywhere() -> None:
    ended = 0
    for number in range(1, 500):
        news, told = News(), threading.Event()
        trace = Interrupting(number, {News.wait.__code__.co_filename})
        before = sys.gettrace()
        sys.settrace(trace)
        try:
            news.wait(lambda: False, 0.001)
            done = True
        except KeyboardInterrupt:
            done = False
            ended += 1
        finally:
            sys.settrace(before)
        teller = threading.Thread(target=lambda news=news, told=told: (news.tell(), told.set()))
        teller.start()
        assert told.wait(LONG_S), f"tell() hangs after an interruption at step {number}"
        teller.join()
        assert len(news) == 0
        if done:
            break
    assert done and ended > 10


def test_who_waits_for_the_end_of_a_loop_hears_of_it_although_another_one_was_interrupted() -> None:
    loop = Loop("pykafka-test")
    loop.start()
    assert loop.stop(LONG_S)
    # one who has heard the bell, and was interrupted before he rang it for the next one
    assert loop._over.wait(0.0)
    assert loop.wait_for_end(0.0) and loop.stop(0.0)
