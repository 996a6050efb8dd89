"""``kafka-tools``: runs a command and turns whatever happens into one line on stderr and an exit code."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import traceback
from argparse import Namespace
from collections.abc import Iterator, Sequence
from typing import Optional

from ..exceptions import KafkaConfigError, KafkaException, NoBrokersAvailableError, UnicodeException
from .arguments import build_parser
from .errors import OperationFailed, UsageMistake, one_line
from .settings import resolve

SUCCESS, FAILURE, USAGE, INTERRUPTED = 0, 1, 2, 130


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Run ``kafka-tools`` with ``argv`` (None: those of the process) and return the exit code."""
    with _streams():
        return _main(argv)


def _main(argv: Optional[Sequence[str]]) -> int:
    parser = build_parser()
    try:
        options = parser.parse_args(argv)
    except SystemExit as end:  # --help, or a usage mistake that argparse has explained
        return end.code if isinstance(end.code, int) else USAGE
    if options.command is None:
        parser.print_help()
        return SUCCESS
    if getattr(sys.stdout, "errors", "") == "strict" and hasattr(sys.stdout, "reconfigure"):
        # what other people called their groups must not end in a UnicodeEncodeError on a terminal that lacks a letter
        sys.stdout.reconfigure(errors="backslashreplace")
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
    """Put up with a stdout or stderr that the shell has closed (>&-): Python has None there then."""
    with contextlib.ExitStack() as opened:
        for name in ("stdout", "stderr"):
            if getattr(sys, name) is None:
                opened.callback(setattr, sys, name, None)
                setattr(sys, name, opened.enter_context(open(os.devnull, "w", encoding="utf-8")))  # noqa: SIM115  # the stack closes it
        yield


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
