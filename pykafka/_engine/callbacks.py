"""The users' callbacks of one producer: batch by batch in the order of the outcomes, on a thread of its own."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from typing import TYPE_CHECKING, Callable

from ..exceptions import KafkaException
from ..records.queued import ON_DELIVERY
from .crashes import log_crash
from .waiting import Deadline, Result

if TYPE_CHECKING:
    from .._machines.accumulator import Outcome
    from ..records.message import Message, OnDelivery
    from .engine import Engine

log = logging.getLogger(__name__)

#: Threads that have called nobody back for so long end: a program may have a producer for each of a thousand topics.
IDLE_S = 10.0


class Callbacks:
    """Calls users back; one that blocks holds up the later ones of its producer, and nothing else."""

    def __init__(self, engine: Engine, topic: str) -> None:
        self._engine = engine
        self._topic = topic
        self._worker = engine.make_callback_worker(f"pykafka-callbacks-{topic}", IDLE_S)

    def get_ready(self) -> None:
        """Start the thread: at exit, when an outcome may come, none can be started any more."""
        self._worker.ensure_started()

    def is_interrupted_here(self) -> bool:
        """Return whether a signal handler has come in the middle of starting the thread, on this very one."""
        return self._worker.is_interrupted_here()

    def submit(self, outcome: Outcome, on_called: Callable[..., None], *args: int) -> None:
        """Have the callbacks of one batch run after those of the batches before, then ``on_called(outcome, *args)`` here.

        Called on the I/O thread.
        """
        self._worker.submit(self._call_back, outcome, on_called, *args)

    def submit_one(self, on_delivery: OnDelivery, message: Message, error: Exception) -> None:
        """Have the callback of a message run that was refused before it was queued."""
        self._worker.submit(on_delivery, message, error)

    def wait(self, deadline: Deadline) -> None:
        """Return when everything submitted has run; at once in a callback, whichever producer's: two might wait for each other.

        :raises OperationTimedOut: at ``deadline``
        """
        if self._engine.callback_worker_here() is None:
            ran: Result[None] = Result()
            self._worker.submit(ran.succeed, None)
            self._worker.run_here()  # at exit no thread can be started for them any more
            ran.wait(deadline, f"callbacks of {self._topic}")

    def run_here(self) -> None:
        """Run what was submitted on the calling thread, if no thread could be started for it."""
        self._worker.run_here()

    @contextlib.contextmanager
    def waited_for(self) -> Iterator[Callable[[], bool]]:
        """Note that the calling thread waits for what callbacks of this producer give back, if it runs callbacks itself.

        What it gets tells whether there is no use in that: then these wait for the caller, directly or not.
        """
        here = self._engine.callback_worker_here()
        if here is None:
            yield lambda: False
            return
        before, here.waits_for = here.waits_for, self._worker
        try:
            yield lambda: not self._worker.goes_on_without(here)
        finally:
            here.waits_for = before

    def retire(self) -> None:
        """Have the thread end when everything submitted has run: the producer is closed."""
        self._worker.retire()

    def _call_back(self, outcome: Outcome, on_called: Callable[..., None], *args: int) -> None:
        """Run the callbacks of one batch, in order; when one raises the next one runs, and the first of a batch is logged."""
        error, failures = outcome.error, 0
        for taken, places in outcome.parts:
            for extra, message in taken.messages(places):
                on_delivery = extra[ON_DELIVERY]
                if on_delivery is not None:
                    try:
                        on_delivery(message, error)
                    except BaseException:  # SystemExit too: the others and the count of them must not suffer
                        failures += 1
                        if failures == 1:
                            log_crash(log, "an on_delivery callback raised; the others go on, more of a batch are only counted")
        if failures > 1:
            with contextlib.suppress(Exception):
                log.error("on_delivery callbacks raised for %d of the %d messages of a batch", failures, outcome.row_count)
        with contextlib.suppress(KafkaException):  # closed meanwhile: nobody queues anything any more
            self._engine.loop.call_soon(on_called, outcome, *args)
