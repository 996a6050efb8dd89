"""The two ways a command ends without success, besides the exceptions of the client itself."""

from __future__ import annotations


class UsageMistake(Exception):
    """What was asked for makes no sense, which is known without asking a broker: exit code 2."""


class OperationFailed(Exception):
    """What was asked for could not be done: exit code 1."""


def one_line(error: BaseException) -> str:
    """Return what an error says, on one line; its name when it says nothing."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if not lines:
        return type(error).__name__
    if len(lines) > 1 and lines[0].endswith(":"):
        return f"{lines[0]} {'; '.join(lines[1:])}"
    return "; ".join(lines)
