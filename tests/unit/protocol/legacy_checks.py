"""What the tests of PyKafka's hand-made requests and responses share."""

from __future__ import annotations

from typing import Any, Callable

import pytest

from pykafka.protocol.api import encode_response

#: What makes something that is not right, the error it is, and the words of that.
Refused = tuple[Callable[[], Any], type[Exception], str]


def check_refused(refused: Refused) -> None:
    """Fail unless making it is this error, in these words."""
    make, error, words = refused
    with pytest.raises(error, match=words):
        make()


def as_received(reply: Any, version: int) -> memoryview:
    """Return an answer as BrokerConnection.response() does: without its correlation id."""
    return memoryview(b"".join(encode_response(reply, version, 0)))[4:]
