"""How often somebody may do something: so many times within so many seconds, counted from the first of them."""

import math
import time

from limits import RateLimitItemPerSecond
from limits.storage import MemoryStorage
from limits.strategies import FixedWindowRateLimiter


class Pace:
    """Counts for each key by itself. The counts are kept in memory only, and no longer than their window.

    Args:
        times: how often within the window; 0 is without a limit.
        seconds: how long the window is.
    """

    def __init__(self, times: int, seconds: int) -> None:
        self._item = RateLimitItemPerSecond(times, seconds) if times else None
        self._limiter = FixedWindowRateLimiter(MemoryStorage())

    def take(self, key: str) -> int:
        """Count one time and return 0; where the limit is reached, return for how many whole seconds to wait."""
        if self._item is None or self._limiter.hit(self._item, key):
            return 0
        return max(1, math.ceil(self._limiter.get_window_stats(self._item, key).reset_time - time.time()))

    def forget(self, key: str) -> None:
        """Begin to count anew."""
        if self._item is not None:
            self._limiter.clear(self._item, key)


def in_words(seconds: int) -> str:
    """Return a time to wait as a person would say it: `40 seconds`, `3 minutes`."""
    if seconds < 100:
        return "1 second" if seconds == 1 else f"{seconds} seconds"
    return f"{math.ceil(seconds / 60)} minutes"
