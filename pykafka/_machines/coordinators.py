"""Who coordinates a group, as an answer to FindCoordinator has it; pure."""

from __future__ import annotations

from typing import Any

from ..exceptions import ProtocolError


def about_group(reply: Any, group: str) -> Any:
    """Return what an answer to FindCoordinator says of ``group``: either an error_code, or a broker that has an address.

    Version 4 and later answer about several keys at once, in rows, and leave the fields of the older versions alone.

    :raises ProtocolError: when nothing is said of the group, or nothing that one could connect to: asking again may help
    """
    found = next((row for row in reply.coordinators if row.key == group), None) if reply.coordinators else reply
    if found is None:
        others = ", ".join(sorted(repr(row.key) for row in reply.coordinators))
        raise ProtocolError(f"asked for the coordinator of group {group}, a broker answered about {others}; asked again")
    if not found.error_code and not (found.host and 0 < found.port < 65536):
        raise ProtocolError(
            f"asked for the coordinator of group {group}, a broker named {found.host!r}, port {found.port}; asked again"
        )
    return found
