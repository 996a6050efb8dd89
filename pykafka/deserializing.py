"""Deserializers at work: what a user's function makes of messages, one by one or in batches."""

from __future__ import annotations

from collections import deque
from collections.abc import Container, Iterable
from typing import Any, Callable, Optional

from .common import TopicPartition
from .records.message import Message

#: ``f(value, partition_key)``, either may be None, returns both as the user wants to have them.
Deserializer = Callable[[Optional[bytes], Optional[bytes]], tuple[Any, Any]]
#: A message, and what the deserializer raised about it.
Failed = tuple[Message, Exception]


class Deserializing:
    """Changes messages in place."""

    def __init__(self, deserializer: Deserializer) -> None:
        self._deserializer = deserializer
        #: those that nobody has heard of, and that cannot come again: another thread has taken messages meanwhile
        self.unheard: deque[Failed] = deque()

    def one(self, message: Message) -> Message:
        """Return the message, deserialized; whatever the deserializer raises is the caller's."""
        message.value, message.partition_key = self._deserializer(message.value, message.partition_key)
        return message

    def batch(self, messages: Iterable[Message], done: list[Message]) -> Optional[Failed]:
        """Add ``messages``, which are taken one by one, to ``done``; return the first that fails, with its error.

        What is raised comes from taking them, or is no Exception.
        """
        deserialize = self._deserializer
        message: Optional[Message] = None
        try:
            for message in messages:  # hot: per message
                message.value, message.partition_key = deserialize(message.value, message.partition_key)
                done.append(message)
        except Exception as error:
            if message is None or done[-1:] == [message]:
                raise
            return message, error
        return None

    def raise_error(self) -> None:
        """Raise, once, what the deserializer has raised and nobody has heard of."""
        if self.unheard:
            raise self.unheard.popleft()[1]

    def forget_error(self, partitions: Container[TopicPartition]) -> None:
        """Raise nothing about messages of these partitions."""
        for failed in list(self.unheard):
            message = failed[0]
            if TopicPartition((message.topic or b"").decode(), message.partition_id) in partitions:
                self.unheard.remove(failed)
