"""Deserializers at work: what a user's function makes of messages, one by one or in batches."""

from __future__ import annotations

from collections.abc import Container, Iterable
from typing import Any, Callable, Optional

from .common import TopicPartition
from .records.message import Message

#: ``f(value, partition_key)``, either may be None, returns both as the user wants to have them.
Deserializer = Callable[[Optional[bytes], Optional[bytes]], tuple[Any, Any]]


class Deserializing:
    """Changes messages in place. An error within a batch waits for the next call: what came before it is not lost."""

    def __init__(self, deserializer: Deserializer) -> None:
        self._deserializer = deserializer
        self._failed: Optional[tuple[Message, Exception]] = None

    def one(self, message: Message) -> Message:
        """Return the message, deserialized; whatever the deserializer raises is the caller's."""
        message.value, message.partition_key = self._deserializer(message.value, message.partition_key)
        return message

    def batch(self, messages: Iterable[Message]) -> list[Message]:
        """Return the messages before the first that fails; its error is raised at once only if it is the first of all."""
        deserialize = self._deserializer
        batch: list[Message] = []
        message: Optional[Message] = None
        try:
            for message in messages:  # hot: per message
                message.value, message.partition_key = deserialize(message.value, message.partition_key)
                batch.append(message)
        except Exception as error:
            if not batch or message is None:
                raise
            self._failed = (message, error)
        return batch

    def raise_error(self) -> None:
        """Raise, once, what ended the last batch."""
        failed, self._failed = self._failed, None
        if failed is not None:
            raise failed[1]

    def forget_error(self, partitions: Container[TopicPartition]) -> None:
        """Raise nothing about a message of one of these partitions."""
        if self._failed is not None:
            message = self._failed[0]
            if TopicPartition((message.topic or b"").decode(), message.partition_id) in partitions:
                self._failed = None
