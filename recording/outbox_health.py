"""How the outbox fares, in figures: what `GET /health` tells of recording."""

import time
from collections import deque
from collections.abc import Iterable

WINDOW = 1000


class OutboxHealth:
    """Counts and a sliding window of delays in seconds; times are those of the monotonic clock."""

    def __init__(self) -> None:
        self.retries = 0
        self.refused = 0
        self.set_aside = 0
        self.disk_fails = False
        self.last_stored = 0.0
        self._to_disk: deque[float] = deque(maxlen=WINDOW)
        self._to_server: deque[float] = deque(maxlen=WINDOW)
        self._answers: bool | None = None

    def written(self, delays: Iterable[float]) -> None:
        """Note that reports are on disk, each so many seconds after it was put."""
        self._to_disk.extend(delays)

    def stored(self, delays: Iterable[float]) -> None:
        """Note that the server has stored reports, each so many seconds after it was put."""
        self._answers, self.last_stored = True, time.monotonic()
        self._to_server.extend(delays)

    def failed(self) -> None:
        """Note that the server could not be reached, or broke, so that it will be asked again."""
        self._answers = False
        self.retries += 1

    def figures(self) -> dict[str, object]:
        """Return the figures by name; the delays are in milliseconds, of the last thousand reports."""
        return {
            "server_answers": self._answers,
            "to_disk_ms": _percentiles(self._to_disk),
            "to_server_ms": _percentiles(self._to_server),
            "retries": self.retries,
            "set_aside": self.set_aside,
            "refused": self.refused,
            "disk_fails": self.disk_fails,
        }


def _percentiles(delays: Iterable[float]) -> dict[str, float | None]:
    ordered = sorted(delays)
    if not ordered:
        return {"p50": None, "p95": None}
    return {f"p{share}": round(ordered[len(ordered) * share // 100] * 1000, 2) for share in (50, 95)}
