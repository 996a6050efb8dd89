"""``kafka-tools``: runs a command and turns whatever happens into one line on stderr and an exit code."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import traceback
from argparse import ArgumentTypeError, Namespace
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Optional, Union

from ..exceptions import KafkaConfigError, KafkaException, NoBrokersAvailableError, UnicodeException
from .arguments import build_parser
from .errors import OperationFailed, UsageMistake, one_line
from .settings import resolve

if TYPE_CHECKING:
    import datetime

    from ..client import KafkaClient
    from ..topic import Topic

SUCCESS, FAILURE, USAGE, INTERRUPTED = 0, 1, 2, 130


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Run ``kafka-tools`` with ``argv`` (None: those of the process) and return the exit code."""
    with _streams():
        return _main(argv)


def fetch_offsets(client: KafkaClient, topic: Topic, offset: Union[str, int, datetime.datetime]) -> dict[int, Any]:
    """Return per partition what ``print_offsets`` prints: a function that programs written for PyKafka import from here.

    The answers are those of ``topic.fetch_offset_limits()``.

    :param offset: ``EARLIEST``, ``LATEST`` or a time like ``2026-01-31T12:00:00`` (UTC); or what ``fetch_offset_limits()`` takes
    :raises ValueError: for another word
    """
    from .values import moment_or_end

    try:
        where = moment_or_end(offset) if isinstance(offset, str) else offset
    except ArgumentTypeError as error:
        raise ValueError(str(error)) from None
    return topic.fetch_offset_limits(where)


def fetch_consumer_lag(
    client: KafkaClient, topic: Topic, consumer_group: Union[str, bytes]
) -> dict[int, tuple[int, int, Optional[str], Optional[str]]]:
    """Return per partition (latest offset, committed offset, consumer id, host): another function that programs import.

    The committed offset is -1 where there is none, as ever: then the difference of the two means nothing. Nothing is changed.
    """
    from .groups import committed_offsets

    committed = committed_offsets(topic, consumer_group)
    # after what is committed, so that a group that reads meanwhile is never ahead of the end
    latest = topic.latest_available_offsets()
    return {
        number: (latest[number].offset[0], -1 if one.offset is None else one.offset, one.consumer_id, one.hostname)
        for number, one in sorted(committed.items())
    }


def _main(argv: Optional[Sequence[str]]) -> int:
    parser = build_parser()
    try:
        options = parser.parse_args(argv)
    except SystemExit as end:  # --help, or a usage mistake that argparse has explained
        return end.code if isinstance(end.code, int) else USAGE
    if options.command is None:
        parser.print_help()
        return USAGE
    with _log_shown("debug" in options):
        return _guarded(options)


def _guarded(options: Namespace) -> int:
    """Return the exit code of a command, having explained on stderr what went wrong."""
    try:
        code = _run(options)
        sys.stdout.flush()
        return code
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:  # | head has seen enough
        _drop_stdout()
        return SUCCESS
    except (UsageMistake, KafkaConfigError, UnicodeException) as error:
        return _explain(error, options, USAGE)
    except NoBrokersAvailableError as error:
        return _explain(error, options, FAILURE, "; kafka-tools doctor with the same flags tells more")
    except (OperationFailed, KafkaException) as error:
        # what a client still had to say when it was interrupted is not what the user asked for
        return INTERRUPTED if _was_interrupted(error) else _explain(error, options, FAILURE)
    except OSError as error:  # the disk is full, or so; what is about the network is a KafkaException
        _drop_stdout()
        return _explain(error, options, FAILURE)


def _run(options: Namespace) -> int:
    settings = resolve(vars(options), os.environ, getattr(options, "config", None))
    if options.command == "doctor":
        from . import doctor

        return doctor.run(settings, sys.stdout)
    # what a command needs is only loaded to run it: --help is there at once
    from . import groups, messages, topics

    run = {**topics.COMMANDS, **messages.COMMANDS, **groups.COMMANDS}[options.command]
    with settings.connect() as client:
        return run(client, options, settings.format)


def _explain(error: BaseException, options: Namespace, code: int, hint: str = "") -> int:
    if "debug" in options:
        traceback.print_exception(type(error), error, error.__traceback__)
    print(f"kafka-tools: {one_line(error)}{hint}", file=sys.stderr)
    return code


def _was_interrupted(error: Optional[BaseException]) -> bool:
    while error is not None:
        if isinstance(error, KeyboardInterrupt):
            return True
        error = error.__context__
    return False


def _drop_stdout() -> None:
    """Have what is still buffered go nowhere: the interpreter would try to write it once more at exit, and complain."""
    with contextlib.suppress(OSError, ValueError):  # a stdout that was replaced may have no descriptor
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


@contextlib.contextmanager
def _streams() -> Iterator[None]:
    """Put up with a stdout or stderr that the shell has closed (>&-), where Python has None, and with letters it lacks."""
    with contextlib.ExitStack() as opened:
        for name in ("stdout", "stderr"):
            if getattr(sys, name) is None:
                opened.callback(setattr, sys, name, None)
                setattr(sys, name, opened.enter_context(open(os.devnull, "w", encoding="utf-8")))  # noqa: SIM115  # the stack closes it
        if getattr(sys.stdout, "errors", "") == "strict" and hasattr(sys.stdout, "reconfigure"):
            # what other people called their groups must not end in a UnicodeEncodeError
            sys.stdout.reconfigure(errors="backslashreplace")
            opened.callback(_be_strict_again)
        yield


def _be_strict_again() -> None:
    with contextlib.suppress(OSError):  # it writes what is left first, which may be the very thing that failed
        sys.stdout.reconfigure(errors="strict")  # type: ignore[union-attr]


@contextlib.contextmanager
def _log_shown(wanted: bool) -> Iterator[None]:
    """Show what the client logs on stderr, if that is ``wanted``."""
    if not wanted:
        yield
        return
    log, handler = logging.getLogger("pykafka"), logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(name)s %(levelname)s: %(message)s"))
    level = log.level
    log.addHandler(handler)
    log.setLevel(logging.DEBUG)
    try:
        yield
    finally:
        log.removeHandler(handler)
        log.setLevel(level)


if __name__ == "__main__":
    sys.exit(main())
