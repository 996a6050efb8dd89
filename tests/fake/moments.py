"""Signal handlers that come at a chosen moment of a call: wherever CPython may run one, in what queues, starts and stops."""

from __future__ import annotations

import functools
import gc
import opcode
import os
import sys
from types import FrameType
from typing import Any, Callable

import pykafka
from pykafka.exceptions import KafkaException

PACKAGE = os.path.dirname(pykafka.__file__)
#: Where a handler has no business that is looked at here: what is the same for all requests.
ELSEWHERE = ("protocol", "records", "testing")
IS_TOLD_OF_LINES = sys.version_info >= (3, 12)


@functools.cache
def is_ours(path: str) -> bool:
    """Return whether a file is part of what starts and stops."""
    return path.startswith(PACKAGE) and os.path.relpath(path, PACKAGE).split(os.sep)[0] not in ELSEWHERE


class Handler:
    """A trace function that calls ``act`` once, where CPython may run a signal handler.

    That is as a function begins, and after a call of one that is not written in Python.

    :param number: which of these moments, from 1 on; with a higher one than there are it is not called
    """

    def __init__(self, number: int, act: Callable[[], object]) -> None:
        self.seen, self._number, self._act = 0, number, act
        self.has_acted = False
        self._is_moment: dict[FrameType, bool] = {}
        self.where = "nowhere"

    def __call__(self, frame: FrameType, event: str, argument: Any) -> Any:
        """Trace."""
        if event == "call" and frame.f_back in self._is_moment:
            self._is_moment[frame.f_back] = False
        if not is_ours(frame.f_code.co_filename) or frame.f_code.co_name == "__del__":
            return None
        frame.f_trace_opcodes = True
        if event in ("opcode", "line"):
            name = opcode.opname[frame.f_code.co_code[frame.f_lasti]]
            self.seen += self._is_moment.get(frame, False)
            if self._is_moment.get(frame) and self.seen == self._number:
                sys.settrace(None)
                self.has_acted = True
                self.where = f"{frame.f_code.co_name}:{frame.f_lineno}"
                self._act()
            self._is_moment[frame] = event == "line" if IS_TOLD_OF_LINES else name.startswith(("CALL", "RESUME"))
        return self

    def run(self, call: Callable[[], object]) -> bool:
        """Make a call with a handler in the middle of it; return False when there is no such moment: all have been tried.

        ``seen`` is how many there were until then.
        """
        gc.disable()  # what is raised in a finalizer is lost, as CPython says then
        sys.settrace(self)
        try:
            call()
        except (KafkaException, KeyboardInterrupt):
            pass  # such as the start of a consumer that was stopped meanwhile
        finally:
            sys.settrace(None)
            gc.enable()
        return self.has_acted


def raise_ctrl_c() -> None:
    raise KeyboardInterrupt
