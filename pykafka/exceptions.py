"""Every exception of pykafka, under the names PyKafka gave them, and the way from an error code to its exception."""

from __future__ import annotations

from typing import Any, Optional

from ._errors import codes, tree
from ._errors.codes import *  # noqa: F403
from ._errors.codes import ERROR_CODES, UnknownError
from ._errors.tree import *  # noqa: F403
from ._errors.tree import Name, ProtocolClientError, printable

#: What ``from pykafka.exceptions import *`` brings: every exception and ERROR_CODES, as it did in PyKafka.
__all__ = [*codes.__all__, *tree.__all__]


def error_for(
    code: int,
    *,
    broker: Any = None,
    api: Optional[str] = None,
    version: Optional[int] = None,
    topic: Name = None,
    partition: Optional[int] = None,
    detail: Optional[str] = None,
) -> ProtocolClientError:
    """Return the exception for an error code, saying who refused what and why; a code we do not know is an UnknownError.

    :param detail: what the broker added in words
    """
    cls = ERROR_CODES.get(code, UnknownError)
    asked = api or "the request"
    if version is not None:
        asked += f" v{version}"
    place = printable(topic)
    if place is not None:
        asked += f" for {place}" if partition is None else f" for {place}/{partition}"
    who = "the broker" if broker is None else f"broker {broker}"
    hint = cls.hint if code in ERROR_CODES else "a code this version of pykafka does not know"
    message = f"{cls.__name__} ({code}): {who} refused {asked}; {hint}"
    if detail:
        message += f" ({printable(detail)})"
    return cls(message, code=code, broker=broker, api=api, version=version, topic=topic, partition=partition)


for _name, _cls in list(vars().items()):
    if isinstance(_cls, type) and issubclass(_cls, Exception):
        # tracebacks show the name that users import, not the module of ours that defines it
        _cls.__module__ = __name__
del _name, _cls
