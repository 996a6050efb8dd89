"""Consumed messages before they are made: column by column, in the order that the constructor of a ConsumedMessage has.

The columns are values, offsets, timestamps and origins; keys only where a message has one, headers only where one has any.
Messages held by the ten thousand keep the garbage collector busy, columns do not: a message is made when it is taken.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any

from .decode import Columns
from .message import ConsumedMessage, Message, Origin

#: The columns, each a list or a range.
Rows = tuple[Sequence[Any], ...]

VALUES = 0
OFFSETS = 1
NO_ROWS: Rows = ([], [], [], [])


def rows_of(columns: Columns, origin: Origin, floor: int) -> Rows:
    """Return the messages of a decoded batch from offset ``floor`` on: a fetch starts at the front of a batch."""
    offsets, timestamps, keys, values, headers, _size = columns
    rows: Rows = (values, offsets, timestamps, [origin] * len(offsets))
    if headers is not None:
        rows += ([None] * len(offsets) if keys is None else keys, headers)
    elif keys is not None:
        rows += (keys,)
    cut = bisect_left(offsets, floor) if offsets and offsets[0] < floor else 0
    return cut_rows(rows, cut, len(offsets)) if cut else rows


def cut_rows(rows: Rows, start: int, stop: int) -> Rows:
    """Return the messages from number ``start`` to before ``stop``."""
    return tuple([column[start:stop] for column in rows])


def joined(several: Sequence[Rows]) -> Rows:
    """Return the messages of all, one after the other."""
    if len(several) == 1:
        return several[0]
    return tuple([list(chain.from_iterable(columns)) for columns in zip(*_alike(several))])


def dealt(shares: Sequence[Rows]) -> Rows:
    """Return one message of each share in turn, again and again; all have the same number."""
    if len(shares) == 1:
        return shares[0]
    return tuple([_dealt_column(columns) for columns in zip(*_alike(shares))])


# hot: per message, in C
def _dealt_column(columns: Sequence[Sequence[Any]]) -> list[Any]:
    width = len(columns)
    column: list[Any] = [None] * (width * len(columns[0]))
    for k, share in enumerate(columns):
        column[k::width] = share
    return column


def _alike(several: Sequence[Rows]) -> list[Rows]:
    """Return all with as many columns as the one with the most: one without keys or headers has None for each."""
    width = max(map(len, several))
    return [rows + ([None] * len(rows[VALUES]),) * (width - len(rows)) for rows in several]


def messages_of(values: Iterator[Any], rows: Rows) -> Iterator[Message]:
    """Return an iterator that makes each message when it is taken; ``values`` iterates the first column of ``rows``.

    Taking is safe for several threads and signal handlers: reading lists and ranges runs no Python code, nor does it make
    anything that the garbage collector tracks, which would have it run some. So rows are never torn apart. And once ``values``
    is exhausted, by whomever, nothing more is read of the other columns.
    """
    return map(ConsumedMessage, values, *rows[OFFSETS:])
