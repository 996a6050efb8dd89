"""How long to wait before the next try: exponential, capped, with jitter; or for as long as a broker asks, capped as well."""

from __future__ import annotations

from typing import Callable

#: The longest that one answer can keep a connection silent (seconds). The pauses that brokers work out of quotas of bytes have no
#: bound; those of other quotas are a second by default. Kafka's Java client waits for whatever it is told, librdkafka not at all.
LONGEST_THROTTLE_S = 60.0


def throttled_s(throttle_time_ms: int) -> float:
    """Return for how many seconds a broker is to be sent nothing after an answer with that ``throttle_time_ms``.

    That is at most :data:`LONGEST_THROTTLE_S`: 32 bits have room for 24 days. A broker that meant it reads nothing either, so who
    goes on too early is heard later, and no more than that.
    """
    return min(max(throttle_time_ms, 0) / 1000.0, LONGEST_THROTTLE_S)


class Spacing:
    """Decides when something that may take long is done again: it takes no more than ``share`` of the time.

    :param max_s: the longest pause
    """

    def __init__(self, share: float, max_s: float) -> None:
        self._share = share
        self._max_s = max_s
        self._not_before = float("-inf")

    def is_due(self, now: float) -> bool:
        """Return whether it may be done now."""
        return now >= self._not_before

    def done(self, began: float, now: float) -> None:
        """Note how long it took."""
        self._not_before = now + min((now - began) / self._share, self._max_s)


class Backoff:
    """Delays in seconds: ``initial_s``, doubling up to ``max_s``, each moved by up to ``jitter`` of itself.

    :param rng: returns a float in [0, 1); passed in so that a test decides what chance brings
    """

    __slots__ = ("_attempts", "_initial_s", "_jitter", "_max_s", "_rng")

    def __init__(self, initial_s: float, max_s: float, rng: Callable[[], float], jitter: float = 0.2) -> None:
        self._initial_s = initial_s
        self._max_s = max(initial_s, max_s)
        self._rng = rng
        self._jitter = jitter
        self._attempts = 0

    @property
    def max_s(self) -> float:
        """Return the longest delay, jitter aside."""
        return self._max_s

    @property
    def attempts(self) -> int:
        """Return how many delays were handed out since the last success."""
        return self._attempts

    def next_delay(self) -> float:
        """Return the seconds to wait before the next try, and remember that it was needed."""
        # 2 ** 30 times any sensible first delay is past any cap: the bound keeps the power small for ever
        plain = min(self._max_s, self._initial_s * 2.0 ** min(self._attempts, 30))
        self._attempts += 1
        return plain * (1.0 - self._jitter + 2.0 * self._jitter * self._rng())

    def reset(self) -> None:
        """Start again from the first delay: the last try worked."""
        self._attempts = 0
