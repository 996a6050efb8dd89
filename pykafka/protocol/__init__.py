"""The wire protocol: declared messages, their codecs, and what turns bytes into replies.

What users import from here are PyKafka's hand-made requests and responses (:mod:`.legacy`) and the Message.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from ..records.message import Message as Message
from .requests import CreateTopicRequest as CreateTopicRequest

if TYPE_CHECKING:
    from .legacy import *  # noqa: F403

_LIGHT = ["CreateTopicRequest", "Message"]


def __getattr__(name: str) -> Any:
    # what begins in lower case is a module of ours, which "from . import" looks for here before it imports it
    if name == "__all__" or name[:1].isupper():
        from .legacy import __all__ as names  # only those who put requests together by hand pay for them

        if name == "__all__":
            return sorted({*_LIGHT, *names})
        if name in names:
            return getattr(sys.modules[f"{__name__}.legacy"], name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
