"""PyKafka's concurrency handler: names that user code reaches through ``cluster.handler``. The client itself needs none."""

from __future__ import annotations

import queue
import socket
import threading
import time
from typing import Any, Callable, Optional


class Handler:
    """The base of handlers."""

    def spawn(self, target: Callable[..., object], *args: Any, **kwargs: Any) -> Any:
        """Run ``target`` concurrently."""
        raise NotImplementedError


class ThreadingHandler(Handler):
    """Threads and what belongs to them. Under gevent's monkey patching these are greenlets."""

    Queue = queue.Queue
    Event = threading.Event
    Lock = threading.Lock
    Semaphore = threading.Semaphore
    Socket = socket
    SockErr = socket.error
    GaiError = socket.gaierror
    QueueEmptyError = queue.Empty

    def RLock(self) -> Any:
        """Return a reentrant lock."""
        return threading.RLock()

    def sleep(self, seconds: float = 0) -> None:
        """Let other threads run for ``seconds``."""
        time.sleep(seconds)

    def spawn(self, target: Callable[..., object], *args: Any, name: Optional[str] = None, **kwargs: Any) -> threading.Thread:
        """Return a running daemon thread."""
        thread = threading.Thread(target=target, args=args, kwargs=kwargs, name=name, daemon=True)
        thread.start()
        return thread
