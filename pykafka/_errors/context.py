"""What was being done when something failed: an error of a connection knows neither topic nor group."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Optional

from .tree import KafkaException, rebuilt


@contextmanager
def during(what: str, *, group: Optional[str] = None, topic: Optional[str] = None) -> Iterator[None]:
    """Have an error say ``what`` could not be done, unless it names a topic, or ``group``, already.

    It is of the same class, with the same attributes; those that retry see no difference.
    """
    try:
        yield
    except KafkaException as error:
        if error.topic is not None or (group is not None and f"group {group}" in str(error)):
            raise
        told = rebuilt(type(error), (f"{what} failed: {error}", *error.args[1:]), {**vars(error), "topic": topic})
        raise told.with_traceback(error.__traceback__) from error.__cause__


def asking_about(topics: Sequence[str]) -> AbstractContextManager[None]:
    """Have an error of asking the brokers name the topics that this was about; none of them means all."""
    names = f"topic {', '.join(topics[:20])}" if topics else "all topics"
    return during(f"asking the brokers about {names}", topic=topics[0] if len(topics) == 1 else None)
