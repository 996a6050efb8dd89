"""Brings the picture of the cluster up to date by what brokers answer, without holding up the I/O thread."""

from __future__ import annotations

import contextlib
import logging
from collections import deque
from typing import Any, Callable, NamedTuple, Optional

from .._machines.metadata import EMPTY_VIEW, ClusterView, Findings, apply_reply
from ..exceptions import KafkaException
from .loop import Loop
from .worker import Worker

log = logging.getLogger(__name__)

#: Answers about more partitions and topics than that are gone through on the decoder's thread: some 20 ms of work.
FEW_ROWS = 5000
#: So many partitions are named in the log when all of a cluster have older epochs at once.
MOST_SAID = 10

#: Called on the I/O thread once the picture shows an answer, with what that has brought, or with what has gone wrong.
OnLearnt = Callable[[Optional[Findings], Optional[Exception]], None]


class _Answer(NamedTuple):
    reply: Any
    asked: Optional[list[str]]
    came_at: float
    then: OnLearnt


class Learner:
    """Keeps :attr:`view`, which any thread may read: it is replaced, never changed. All else is for the I/O thread.

    Answers are gone through one after the other, in the order they came, each on top of what the one before has shown.

    :param on_view: called on the I/O thread whenever there is another picture
    """

    def __init__(self, loop: Loop, decoder: Worker, on_view: Callable[[], None]) -> None:
        self.view: ClusterView = EMPTY_VIEW
        self._loop = loop
        self._decoder = decoder
        self._on_view = on_view
        self._answers: deque[_Answer] = deque()
        self._busy = False

    def learn(self, reply: Any, asked: Optional[list[str]], then: OnLearnt) -> None:
        """Have the picture show ``reply``, the answer about the topics ``asked`` (None: about all of them).

        :param reply: with topics as :func:`~pykafka._machines.metadata.condenser` makes them
        """
        self._answers.append(_Answer(reply, asked, self._loop.now(), then))
        if not self._busy:
            self._next()

    def _next(self) -> None:
        answer = self._answers.popleft()
        self._busy = True
        if _is_long(answer.reply) and self._decoder.ensure_started():
            self._decoder.submit(self._learn_elsewhere, self.view, answer)
        else:
            self._learnt(answer.then, *_learn(self.view, answer))

    def _learn_elsewhere(self, before: ClusterView, answer: _Answer) -> None:
        """Go through an answer on the decoder's thread."""
        found, error = _learn(before, answer)
        with contextlib.suppress(KafkaException):  # the client was closed meanwhile
            self._loop.call_soon(self._learnt, answer.then, found, error)

    def _learnt(self, then: OnLearnt, found: Optional[Findings], error: Optional[Exception]) -> None:
        self._busy = False
        try:
            if found is not None:
                before, self.view = self.view, found.view
                _log_settled(before, self.view)
                self._on_view()
            then(found, error)
        finally:
            if self._answers and not self._busy:
                self._loop.call_soon(self._go_on)

    def _go_on(self) -> None:
        if self._answers and not self._busy:
            self._next()


def _log_settled(before: ClusterView, view: ClusterView) -> None:
    """Say where the picture goes back to an older leader epoch: whoever looks for a reason finds it."""
    settled = []
    for topic, partition in before.disputes.keys() - view.disputes.keys():
        old, fresh = (one.partitions(topic).get(partition) for one in (before, view))
        if old is not None and fresh is not None and fresh.leader_epoch < old.leader_epoch:
            settled.append((topic, partition, old.leader_epoch, fresh.leader_epoch))
    for place in sorted(settled)[:MOST_SAID]:
        log.info("%s/%d: leader epoch %d was told once and not confirmed; going on with %d, as all others tell", *place)
    if len(settled) > MOST_SAID:
        log.info("so it is with %d partitions more: was the cluster restored from a backup?", len(settled) - MOST_SAID)


def _is_long(reply: Any) -> bool:
    return len(reply.topics) > FEW_ROWS or sum(len(info.rows) for info in reply.topics) > FEW_ROWS


def _learn(view: ClusterView, answer: _Answer) -> tuple[Optional[Findings], Optional[Exception]]:
    try:
        return apply_reply(view, answer.reply, answer.asked, answer.came_at), None
    except Exception as error:  # whoever asked has to hear of it, wherever this runs
        return None, error
