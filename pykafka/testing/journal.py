"""What was asked of the brokers, for tests to look at."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Any, NamedTuple, Optional

from .faults import Api, api_name

#: The journal keeps so many requests, the newest ones, of so many bytes together.
KEPT = 10_000
KEPT_BYTES = 64 * 1024 * 1024


class Seen(NamedTuple):
    """One request: to which broker, from whom, what, and when by the cluster's clock."""

    broker_id: int
    client_id: Optional[str]
    name: str
    version: int
    request: Any
    at: float


class Journal:
    """The requests that came, the oldest first.

    Beyond 10,000 requests or 64 MiB the oldest ones are gone, and ``forgotten`` counts them.
    """

    def __init__(self, kept: int = KEPT, kept_bytes: int = KEPT_BYTES) -> None:
        self._entries: deque[Seen] = deque()
        self._sizes: deque[int] = deque()
        self._bytes = 0
        self._kept = kept
        self._kept_bytes = kept_bytes
        self.forgotten = 0

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[Seen]:
        # a copy: requests go on coming while a test looks
        return iter(self._entries.copy())

    def __repr__(self) -> str:
        lost = f", {self.forgotten} older ones forgotten" if self.forgotten else ""
        return f"<Journal of {len(self)} requests{lost}>"

    def add(self, seen: Seen, size: int) -> None:
        """Note a request of ``size`` bytes."""
        self._entries.append(seen)
        self._sizes.append(size)
        self._bytes += size
        while len(self._entries) > self._kept or self._bytes > self._kept_bytes:
            self._entries.popleft()
            self._bytes -= self._sizes.popleft()
            self.forgotten += 1

    def seen(self, api: Api, broker: Optional[int] = None) -> list[Any]:
        """Return the requests of an API, by its class or name, in the order they came; those to one broker when it is given.

        :raises RuntimeError: when requests have been forgotten, so that some may be missing
        """
        name = api_name(api)
        if self.forgotten:
            raise RuntimeError(f"{self!r}: clear() it before the part of the test that is looked at")
        return [entry.request for entry in self if entry.name == name and broker in (None, entry.broker_id)]

    def clear(self) -> None:
        """Forget all of them."""
        self._entries.clear()
        self._sizes.clear()
        self._bytes = self.forgotten = 0
