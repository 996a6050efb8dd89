"""Reading from a socket until there is enough."""

from __future__ import annotations

from typing import Any

from ..exceptions import SocketDisconnectedError


def recvall_into(socket: Any, bytea: bytearray, size: int) -> bytearray:
    """Return ``bytea`` with its first ``size`` bytes read from ``socket``, whose own timeout bounds each wait.

    :raises SocketDisconnectedError: when the peer closes the connection before that, or it breaks
    :raises ValueError: when ``bytea`` has no room for so much
    """
    if not 0 <= size <= len(bytea):
        raise ValueError(f"{size} bytes cannot be read into a buffer of {len(bytea)}")
    view = memoryview(bytea)
    filled = 0
    while filled < size:
        try:
            count = socket.recv_into(view[filled:size])
        except OSError as error:
            raise SocketDisconnectedError(f"the connection broke after {filled} of {size} bytes: {error}") from error
        if not count:
            raise SocketDisconnectedError(f"the peer closed the connection after {filled} of {size} bytes")
        filled += count
    return bytea
