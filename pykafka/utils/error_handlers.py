"""What to do about each partition of a response, by its error code."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any, Callable, NoReturn, Optional

from ..common import brief

#: Error code -> the (owned partition or None, partition response) pairs that came with it.
PartsByError = dict[int, list[tuple[Any, Any]]]
PartsHandler = Callable[[list[tuple[Any, Any]]], object]


def handle_partition_responses(
    error_handlers: Mapping[int, PartsHandler],
    parts_by_error: Optional[PartsByError] = None,
    success_handler: Optional[PartsHandler] = None,
    response: Optional[Any] = None,
    partitions_by_id: Optional[Mapping[int, Any]] = None,
) -> PartsByError:
    """Call the handler of each error code with the partitions that have it; return all of them by code.

    A code without a handler is only in what is returned.

    :param error_handlers: error code -> f(list of (owned partition or None, partition response))
    :param parts_by_error: what :func:`build_parts_by_error` returned, or give ``response``
    :param success_handler: the handler of code 0
    """
    if parts_by_error is None and response is None:
        raise TypeError("handle_partition_responses() needs parts_by_error or response")
    handlers = dict(error_handlers)
    if success_handler is not None:
        handlers[0] = success_handler
    parts = build_parts_by_error(response, partitions_by_id) if parts_by_error is None else parts_by_error
    for code, some in list(parts.items()):
        if code in handlers:
            handlers[code](some)
    return parts


def build_parts_by_error(response: Any, partitions_by_id: Optional[Mapping[int, Any]]) -> PartsByError:
    """Return error code -> list of (owned partition, partition response) of everything in ``response.topics``.

    :param partitions_by_id: partition number -> what stands for it; None gives None for each
    :raises KeyError: when the response has a partition that is not among them
    """
    parts: PartsByError = defaultdict(list)
    for topic, partitions in response.topics.items():
        for partition_id, part in partitions.items():
            owned = None
            if partitions_by_id is not None:
                if partition_id not in partitions_by_id:
                    raise KeyError(f"the response is about partition {partition_id} of {topic!r}, which is not one of ours")
                owned = partitions_by_id[partition_id]
            parts[part.err].append((owned, part))
    return parts


def raise_error(error: Callable[[str], BaseException], info: str = "") -> NoReturn:
    """Raise ``error(info)``."""
    raise error(info)


def valid_int(param: Any, allow_zero: bool = False, allow_negative: bool = False) -> Any:
    """Return ``param`` if it is a number that is allowed.

    :raises TypeError: when it is no number
    :raises ValueError: when it is zero, negative, or not a number at all (NaN), and that is not allowed
    """
    if isinstance(param, bool) or not isinstance(param, (int, float)):
        raise TypeError(f"a number is needed, not {type(param).__name__} {brief(param)}")
    if param != param:
        raise ValueError("a number is needed, not NaN")
    if param < 0 and not allow_negative:
        raise ValueError(f"{brief(param)} is negative, which is not allowed here")
    if param == 0 and not allow_zero:
        raise ValueError("0 is not allowed here")
    return param
