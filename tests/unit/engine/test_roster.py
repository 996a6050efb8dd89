"""Who is there can be asked at any time, whoever comes and goes meanwhile."""

from __future__ import annotations

import sys
import threading

from pykafka._engine.roster import Roster


class Member:
    """Something that is known for as long as it lives."""


def test_a_roster_is_told_whole_while_others_are_added_and_forgets_who_is_gone() -> None:
    roster: Roster[Member] = Roster()
    stay = [Member() for _ in range(200)]
    for one in stay:
        roster.add(one)
    ended = threading.Event()

    def come_and_go() -> None:
        while not ended.is_set():
            for one in [Member() for _ in range(100)]:
                roster.add(one)

    coming = threading.Thread(target=come_and_go)
    switched = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        coming.start()
        for _ in range(1000):
            assert set(stay) <= set(roster.present())
    finally:
        ended.set()
        sys.setswitchinterval(switched)
        coming.join(20)
    assert len(roster.present()) == 200
