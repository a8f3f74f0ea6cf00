"""How often somebody may do something, and how long a question may be."""

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


class RefusedQuestionError(Exception):
    """A question that is not taken; its text says why.

    `wait` is after how many seconds it would be, 0 where waiting does not help. `kept` tells whether to record it: of
    somebody who goes on asking, not for ever.
    """

    def __init__(self, sentence: str, *, wait: int = 0, kept: bool = True) -> None:
        super().__init__(sentence)
        self.wait = wait
        self.kept = kept


class Questions:
    """What a person may ask, in all tabs and over HTTP together.

    Args:
        per_minute: how many questions, 0 for any number.
        max_characters: how long each may be.
        unhurried: the name of who is not counted: the one person of a machine of one's own.
    """

    def __init__(self, per_minute: int, max_characters: int, unhurried: str | None) -> None:
        self._pace, self._kept = Pace(per_minute, 60), Pace(per_minute, 60)
        self._most = max_characters
        self._unhurried = unhurried

    def admit(self, user: str, text: str) -> None:
        """Count a question. Raises RefusedQuestionError for one that is too long or comes too soon."""
        if len(text) > self._most:
            raise RefusedQuestionError(
                f"That is {len(text):,} characters, and a question may have {self._most:,} at most. Please shorten it."
            )
        wait = 0 if user == self._unhurried else self._pace.take(user)
        if wait:
            sentence = f"Those were many questions within a minute. Please ask again in {in_words(wait)}."
            raise RefusedQuestionError(sentence, wait=wait, kept=not self._kept.take(user))


def in_words(seconds: int) -> str:
    """Return a time to wait as a person would say it: `40 seconds`, `3 minutes`."""
    if seconds < 100:
        return "1 second" if seconds == 1 else f"{seconds} seconds"
    return f"{math.ceil(seconds / 60)} minutes"
