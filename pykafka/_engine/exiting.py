"""What happens at interpreter exit: queued messages are sent, within a bound, and losses are counted in one warning."""

from __future__ import annotations

import atexit
import contextlib
import logging
import select
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Optional

from ..exceptions import KafkaException
from .roster import Roster
from .waiting import Deadline

if TYPE_CHECKING:
    from .producing import ProducerCore

log = logging.getLogger(__name__)

#: Seconds that all producers together may take at exit.
EXIT_TIMEOUT_S = 5.0

_producers: Roster[ProducerCore] = Roster()


def flush_at_exit(producer: ProducerCore) -> None:
    """Have ``producer`` flushed at interpreter exit if it is not closed by then."""
    _producers.add(producer)


@atexit.register
def _flush_all() -> None:
    deadline = Deadline(EXIT_TIMEOUT_S)
    lost = 0
    for producer in _producers.present():
        left = 0
        try:
            left = producer.finish_at_exit(deadline)
            # at exit no thread can be started any more; what a running one has not done by now is its own affair
            producer.callbacks.run_here()
        except KafkaException as error:
            _warn(f"a producer could not be finished at exit: {error}", deadline)
        except KeyboardInterrupt:
            # whoever presses Ctrl-C again will not wait, and is told all the same what that costs
            deadline = Deadline(0.0)
            left = producer.outstanding
        lost += left
    if lost:
        _warn(f"{lost} messages were not acknowledged when the interpreter exited: call stop() or flush() before", deadline)


def _warn(words: str, deadline: Deadline) -> None:
    """Log a warning; without anybody to hear it, say it on stderr: this is the last chance to learn of a loss.

    Where it would go to a pipe that is full and that nobody empties by ``deadline``, it is not said there: the end goes on.
    """
    handlers = list(_hearing())
    # a handler that writes to no stream waits for nobody, or does so in a way that only its owner knows
    full = [handler for handler in handlers if not _takes_more(getattr(handler, "stream", None), deadline)]
    for handler in full:
        handler.addFilter(_nothing)  # which is asked before the handler's lock, that a waiting thread may have
    log.warning("%s", words)
    for handler in full:
        handler.removeFilter(_nothing)
    if not handlers and _takes_more(sys.stderr, deadline):
        with contextlib.suppress(OSError, ValueError, AttributeError):  # stderr is closed, or there is none
            sys.stderr.write(f"pykafka: {words}\n")


def _nothing(_record: logging.LogRecord) -> bool:
    return False


def _hearing() -> Iterator[logging.Handler]:
    """Yield the handlers that a warning of ours comes to and that do something with it."""
    logger: Optional[logging.Logger] = log if log.isEnabledFor(logging.WARNING) else None
    while logger is not None:
        for handler in logger.handlers:
            if not isinstance(handler, logging.NullHandler) and handler.level <= logging.WARNING:
                yield handler
        logger = logger.parent if logger.propagate else None


def _takes_more(stream: Any, deadline: Deadline) -> bool:
    """Return whether writing a line to ``stream`` blocks nobody, by ``deadline`` at the latest."""
    try:
        poll = select.poll()
        poll.register(stream.fileno(), select.POLLOUT)
    except (AttributeError, OSError, TypeError, ValueError):  # it has no descriptor, or the system no poll()
        return True
    return bool(poll.poll(1000.0 * deadline.left()))
