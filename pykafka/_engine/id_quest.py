"""How a producer gets its producer id: asked for when there is something to send, and again until a broker gives one."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Optional

from ..exceptions import error_for
from ..protocol.messages import InitProducerIdRequest

if TYPE_CHECKING:
    from .producing import ProducerCore

log = logging.getLogger(__name__)

#: A transaction may take for ever where there is none.
NO_TRANSACTION_TIMEOUT_MS = 2147483647


class IdQuest:
    """The quest of one producer for its id. The I/O thread's."""

    def __init__(self, core: ProducerCore) -> None:
        self._core = core
        self._under_way = False

    def begin(self) -> None:
        """Ask for an id unless that is under way; the producer is told by ``on_producer_id``, or ``fail`` when it gets none."""
        if not self._under_way:
            self._under_way = True
            request = InitProducerIdRequest(transactional_id=None, transaction_timeout_ms=NO_TRANSACTION_TIMEOUT_MS)
            self._core.engine.ask_any(request, self._on_reply)

    def _on_reply(self, reply: Any, error: Optional[Exception]) -> None:
        core = self._core
        topic = core.settings.topic
        if reply is not None and reply.error_code:
            error = error_for(reply.error_code, api="InitProducerId", topic=topic)
        core.accumulator.obstacle = error
        if error is None:
            self._under_way = False
            core.on_producer_id(reply.producer_id, reply.producer_epoch)
        elif getattr(error, "retriable", True):
            log.info("no producer id for %s yet, asking again: %s", topic, error)
            loop = core.engine.loop
            loop.call_at(loop.now() + core.settings.retry_backoff_s, self._again)
        else:
            self._under_way = False
            core.fail(error)

    def _again(self) -> None:
        self._under_way = False
        if not self._core.closed:
            self._core.engine.sender.dispatch_for(self._core)
