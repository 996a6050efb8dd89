"""Deserializers at work: what a user's function makes of messages, one by one or in batches."""

from __future__ import annotations

from collections import deque
from collections.abc import Container, Iterable
from typing import Any, Callable, NamedTuple, Optional

from .common import TopicPartition
from .records.message import Message

#: ``f(value, partition_key)``, either may be None, returns both as the user wants to have them.
Deserializer = Callable[[Optional[bytes], Optional[bytes]], tuple[Any, Any]]


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

    def one(self, message: Message) -> Message:
        """Return the message, deserialized; whatever the deserializer raises is the caller's."""
        message.value, message.partition_key = self._deserializer(message.value, message.partition_key)
        return message

    def batch(self, taken: list[Message], done: list[Message]) -> None:
        """Add to ``done`` the messages of ``taken`` before the first that fails; raise its error only if it is the first of all.

        What is behind is kept; not so when something is raised that is no Exception: that is up to the caller.
        """
        deserialize = self._deserializer
        try:
            for message in taken:  # hot: per message
                message.value, message.partition_key = deserialize(message.value, message.partition_key)
                done.append(message)
        except Exception:
            self.keep(taken[max(len(done), 1) :])
            if not done:
                raise

    # -- what is kept -------------------------------------------------------------------------------------------------

    def keep(self, messages: Iterable[Message], *, are_done: bool = False) -> None:
        """Have messages come again, before all others that are kept."""
        self.kept.extendleft(reversed([_Kept(message, are_done) for message in messages]))

    def kept_batch(self, most: int, is_open: Callable[[TopicPartition], bool]) -> list[Message]:
        """Return up to ``most`` messages that are kept, of partitions that are open, deserialized; see :meth:`batch`."""
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
                    self.one(kept.message)
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
