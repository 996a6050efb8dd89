"""What is wrong with a message that could not be encoded: looked for only then, so that encoding itself checks nothing twice."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any, Optional

from .primitives import check_string_size, check_uuid
from .schema import FIXED, Field, Struct

#: A number with more bits than this is described by their count.
_SHOWN_BITS = 128


def find_fault(message: Struct, version: int) -> str:
    """Return the first field that does not fit its type and why, with the type of the value but never what it holds."""
    return next(_faults(message, version), "a value is of the wrong type")


def _faults(one: Struct, version: int, path: str = "") -> Iterator[str]:
    for name, field in type(one).FIELDS.items():
        if field.in_version(version):
            yield from _field_faults(field, getattr(one, name, None), version, f"{path}{name}")


def _field_faults(field: Field, value: Any, version: int, path: str) -> Iterator[str]:
    if value is None and field.is_nullable(version):
        return
    if field.kind == "struct":
        if field.struct is not None and isinstance(value, field.struct):
            yield from _faults(value, version, f"{path}.")
        else:
            yield f"{path}: a {field.struct.__name__ if field.struct else 'struct'} is needed, not {type(value).__name__}"
    elif field.kind == "array":
        if not isinstance(value, (list, tuple)):
            yield f"{path}: a list is needed, not {type(value).__name__}"
            return
        assert field.item is not None
        for number, item in enumerate(value):
            yield from _field_faults(field.item, item, version, f"{path}[{number}]")
    else:
        problem = _scalar_fault(field.kind, value)
        if problem is not None:
            yield f"{path}: {problem}"


def _scalar_fault(kind: str, value: Any) -> Optional[str]:
    try:
        if kind == "uuid":
            check_uuid(value)
        elif kind == "string":
            check_string_size(len(value.encode()))
        elif kind in FIXED:
            struct.pack(">" + FIXED[kind][0], value)
        else:
            memoryview(value)
    except UnicodeEncodeError:
        return "this str cannot be encoded as UTF-8"
    except (struct.error, TypeError, AttributeError, ValueError, OverflowError) as error:
        if isinstance(value, int) and kind.startswith(("int", "uint")):
            shown = value if value.bit_length() <= _SHOWN_BITS else f"one of {value.bit_length()} bits"
            return f"the number does not fit into {kind}: {shown}"
        if type(error) is ValueError:
            return str(error)
        return f"{kind} is needed, not {type(value).__name__}"
    return None
