"""Few file descriptors, all of them taken, and given back: for scripts that tests run in a process of their own."""

from __future__ import annotations

import logging
import os
import resource
import sys

from ..support import until

#: As many as a process may have: so few that taking all of them takes no time.
LIMIT = 64
REFUSAL = "Too many open files"


class Descriptors(logging.Handler):
    """The descriptors of this process. It counts the connections that could not be opened for want of one in ``refused``."""

    def __init__(self) -> None:
        super().__init__()
        resource.setrlimit(resource.RLIMIT_NOFILE, (LIMIT, LIMIT))
        self.refused = 0
        self._held: list[int] = []
        lanes = logging.getLogger("pykafka._engine.lane")
        lanes.setLevel(logging.DEBUG)
        lanes.addHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        """Count a connection that ended, if it was for want of a descriptor."""
        self.refused += REFUSAL in record.getMessage()

    def take_all(self) -> None:
        """Leave none free, also where some are held already."""
        try:
            while True:
                self._held.append(os.open(os.devnull, os.O_RDONLY))
        except OSError:
            pass

    def give_back(self) -> None:
        """Let everybody have them again."""
        while self._held:
            os.close(self._held.pop())

    def wait_for_refusals(self, count: int) -> None:
        """Return once so many more connections could not be opened; what becomes free meanwhile is taken."""
        before = self.refused

        def refused() -> bool:
            self.take_all()
            return self.refused >= before + count

        until(refused, what=f"{count} connections that cannot be opened")


def let_the_test_go_on() -> None:
    """Return once the test that runs this script has taken its next step."""
    print("your turn", flush=True)
    sys.stdin.readline()
