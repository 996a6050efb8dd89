"""Deserializers at work: what a user's function makes of messages, one by one or in batches."""

from __future__ import annotations

from collections import deque
from collections.abc import Container, Iterable
from typing import Any, Callable, NamedTuple, Optional

from .common import TopicPartition
from .records.message import Message

#: ``f(value, partition_key)``, either may be None, returns both as the user wants to have them.
Deserializer = Callable[[Optional[bytes], Optional[bytes]], tuple[Any, Any]]
#: Whether messages of a partition are delivered.
IsOpen = Callable[[TopicPartition], bool]


class _Kept(NamedTuple):
    message: Message
    #: whether it was deserialized before Ctrl-C came
    is_done: bool

    @property
    def tp(self) -> TopicPartition:
        return TopicPartition((self.message.topic or b"").decode(), self.message.partition_id)


class Deserializing:
    """Changes messages in place. Those that were taken and that nobody has got are kept, and come before all others.

    That is so for the message that fails in the middle of a batch and what is behind it: what came before is delivered, and
    the deserializer is asked again by the next call, which raises. And it is so for all that Ctrl-C, or what else is no
    Exception, has kept from being delivered. Positions are in front of what is kept (:meth:`kept_offsets`).
    """

    def __init__(self, deserializer: Deserializer) -> None:
        self._deserializer = deserializer
        #: what comes before all others
        self.kept: deque[_Kept] = deque()

    def next_one(self, is_open: IsOpen, take: Callable[[], Optional[Message]]) -> Optional[Message]:
        """Return the first message that is kept, else what ``take()`` returns, deserialized; what that raises is the caller's.

        :param is_open: whether messages of a partition are delivered
        """
        kept = self.kept and self.kept_batch(1, is_open)
        if kept:
            return kept[0]
        message = take()
        try:
            return message if message is None else self._deserialize(message)
        except Exception:
            raise  # which tells of the message
        except BaseException:
            self.keep([] if message is None else [message])
            raise

    def next_batch(self, most: int, is_open: IsOpen, take: Callable[[int, bool], list[Message]]) -> list[Message]:
        """Return up to ``most`` messages: those that are kept, and what ``take(count, whether to wait)`` returns.

        It ends before the first that fails; an error is raised only if that is the first of all.
        """
        batch = self.kept_batch(most, is_open) if self.kept else []
        count, taken = len(batch), []
        try:
            taken = take(most - count, not batch) if count < most else []
            self._add(taken, batch)
        except Exception:
            raise
        except BaseException:
            self.keep(taken[len(batch) - count :])
            self.keep(batch, are_done=True)
            raise
        return batch

    def _add(self, taken: list[Message], batch: list[Message]) -> None:
        """Deserialize messages and add them to ``batch``; from the first that fails on, they are kept."""
        deserialize, before = self._deserializer, len(batch)
        try:
            for message in taken:  # hot: per message
                message.value, message.partition_key = deserialize(message.value, message.partition_key)
                batch.append(message)
        except Exception:
            if not batch:
                self.keep(taken[1:])
                raise
            self.keep(taken[len(batch) - before :])

    def _deserialize(self, message: Message) -> Message:
        message.value, message.partition_key = self._deserializer(message.value, message.partition_key)
        return message

    # -- what is kept -------------------------------------------------------------------------------------------------

    def keep(self, messages: Iterable[Message], *, are_done: bool = False) -> None:
        """Have messages come again, before all others that are kept."""
        self.kept.extendleft(reversed([_Kept(message, are_done) for message in messages]))

    def kept_batch(self, most: int, is_open: IsOpen) -> list[Message]:
        """Return up to ``most`` messages that are kept, of partitions that are open, deserialized; see :meth:`next_batch`."""
        batch: list[Message] = []
        taken: Optional[_Kept] = None
        try:
            for kept in list(self.kept):
                if len(batch) >= most:
                    break
                taken = kept if is_open(kept.tp) else None
                if taken is None or not self._claim(kept):
                    continue
                if not kept.is_done:
                    self._deserialize(kept.message)
                batch.append(kept.message)
        except Exception:
            if not batch or taken is None:
                raise
            self.kept.appendleft(taken)
        except BaseException:
            # between any two lines: a message that is neither in its place nor in the batch is on its way
            if taken is not None and taken not in self.kept and batch[-1:] != [taken.message]:
                self.kept.appendleft(taken)
            self.keep(batch, are_done=True)
            raise
        return batch

    def _claim(self, kept: _Kept) -> bool:
        """Return whether a message that is kept is for us, and not for another thread."""
        try:
            self.kept.remove(kept)
            return True
        except ValueError:
            return False

    def kept_offsets(self) -> dict[TopicPartition, int]:
        """Return the lowest offset that is kept of each partition."""
        offsets: dict[TopicPartition, int] = {}
        for kept in list(self.kept):
            offsets[kept.tp] = min(kept.message.offset, offsets.get(kept.tp, kept.message.offset))
        return offsets

    def forget(self, partitions: Container[TopicPartition]) -> None:
        """Keep nothing of these partitions: the user has moved away from there, or others read them."""
        for kept in list(self.kept):
            if kept.tp in partitions:
                self._claim(kept)
