"""What happens at interpreter exit: queued messages are sent, within a bound, and losses are counted in one warning."""

from __future__ import annotations

import atexit
import logging
import weakref
from typing import TYPE_CHECKING

from ..exceptions import KafkaException
from .waiting import Deadline

if TYPE_CHECKING:
    from .producing import ProducerCore

log = logging.getLogger(__name__)

#: Seconds that all producers together may take at exit.
EXIT_TIMEOUT_S = 5.0

_producers: weakref.WeakSet[ProducerCore] = weakref.WeakSet()


def flush_at_exit(producer: ProducerCore) -> None:
    """Have ``producer`` flushed at interpreter exit if it is not closed by then."""
    _producers.add(producer)


@atexit.register
def _flush_all() -> None:
    deadline = Deadline(EXIT_TIMEOUT_S)
    lost = 0
    for producer in list(_producers):
        try:
            lost += producer.finish_at_exit(deadline)
            # at exit no thread can be started any more; what a running one has not done by now is its own affair
            producer.engine.callbacks.run_here()
        except KafkaException as error:
            log.warning("a producer could not be finished at exit: %s", error)
    if lost:
        log.warning("%d messages were not acknowledged when the interpreter exited: call stop() or flush() before", lost)
