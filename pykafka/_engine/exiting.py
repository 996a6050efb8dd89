"""What happens at interpreter exit: queued messages are sent, within a bound, and losses are counted in one warning."""

from __future__ import annotations

import atexit
import contextlib
import logging
import sys
import weakref
from typing import TYPE_CHECKING, Optional

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
            producer.callbacks.run_here()
        except KafkaException as error:
            _warn(f"a producer could not be finished at exit: {error}")
        except KeyboardInterrupt:
            # whoever presses Ctrl-C again will not wait, and is told all the same what that costs
            deadline = Deadline(0.0)
            lost += producer.outstanding
    if lost:
        _warn(f"{lost} messages were not acknowledged when the interpreter exited: call stop() or flush() before")


def _warn(words: str) -> None:
    """Log a warning; without anybody to hear it, say it on stderr: this is the last chance to learn of a loss."""
    log.warning("%s", words)
    if not _is_heard():
        with contextlib.suppress(OSError, ValueError, AttributeError):  # stderr is closed, or there is none
            sys.stderr.write(f"pykafka: {words}\n")


def _is_heard() -> bool:
    """Return whether a warning of ours comes to a handler that does something with it."""
    logger: Optional[logging.Logger] = log if log.isEnabledFor(logging.WARNING) else None
    while logger is not None:
        for handler in logger.handlers:
            if not isinstance(handler, logging.NullHandler) and handler.level <= logging.WARNING:
                return True
        logger = logger.parent if logger.propagate else None
    return False
