"""Deserializers at work: what a user's function makes of messages, one by one or in batches."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Callable, Optional

from .records.message import Message

#: ``f(value, partition_key)``, either may be None, returns both as the user wants to have them.
Deserializer = Callable[[Optional[bytes], Optional[bytes]], tuple[Any, Any]]


class Deserializing:
    """Changes messages in place. An error within a batch waits for the next call: what came before it is not lost."""

    def __init__(self, deserializer: Deserializer) -> None:
        self._deserializer = deserializer
        self._error: Optional[Exception] = None

    def one(self, message: Message) -> Message:
        """Return the message, deserialized; whatever the deserializer raises is the caller's."""
        message.value, message.partition_key = self._deserializer(message.value, message.partition_key)
        return message

    def batch(self, messages: Iterable[Message]) -> list[Message]:
        """Return the messages before the first that fails; its error is raised at once only if it is the first of all."""
        batch: list[Message] = []
        for message in messages:
            try:
                batch.append(self.one(message))
            except Exception as error:
                if not batch:
                    raise
                self._error = error
                break
        return batch

    def raise_error(self) -> None:
        """Raise, once, what ended the last batch."""
        error, self._error = self._error, None
        if error is not None:
            raise error
