"""Who waits for which messages of a producer: a flush waits for what was queued before it, and for nothing after."""

from __future__ import annotations

from .waiting import Result


class Flushes:
    """Counts messages without an outcome by the flush that came after them. The I/O thread's."""

    def __init__(self) -> None:
        #: what is queued now is waited for by the flush of this number, and by all later ones
        self.mark = 0
        self._unresolved: dict[int, int] = {}
        self._waiting: list[tuple[int, Result[None]]] = []

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def add(self, count: int) -> int:
        """Count messages that any flush from now on waits for; return the mark to :meth:`settle` them with."""
        self._unresolved[self.mark] = self._unresolved.get(self.mark, 0) + count
        return self.mark

    def settle(self, mark: int, count: int) -> None:
        """Note that ``count`` messages have their outcome; :meth:`end` lets go who waits for no more."""
        self._unresolved[mark] -= count

    def begin(self, result: Result[None]) -> None:
        """Have ``result`` succeed once everything counted so far is settled."""
        self._waiting.append((self.mark, result))
        self.mark += 1
        self.end()

    def end(self) -> None:
        """Let go whose messages all have their outcomes."""
        for mark in [mark for mark, count in self._unresolved.items() if not count]:
            del self._unresolved[mark]
        oldest = min(self._unresolved, default=self.mark)
        done = [entry for entry in self._waiting if entry[0] < oldest]
        if done:
            self._waiting = [entry for entry in self._waiting if entry[0] >= oldest]
        for _mark, result in done:
            result.succeed(None)
