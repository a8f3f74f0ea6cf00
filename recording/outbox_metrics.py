"""How the outbox fares, for Prometheus: the figures of `GET /health` under names and in units that it expects."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

PREFIX = "verbatim_recording_"
GAUGES = {
    "waiting": "Reports that wait for the recording server.",
    "waiting_bytes": "What they come to.",
    "oldest_waiting_seconds": "How long the oldest of them has waited.",
    "only_in_memory": "Reports that are not on disk, because it does not take them.",
    "set_aside": "Reports that the server has refused, kept as dead letters.",
    "disk_fails": "1 while the outbox cannot be written.",
    "server_answers": "1 if the recording server took the last request, 0 if not.",
}
COUNTERS = {
    "retries": "Times that the server could not be reached or broke.",
    "refused": "Reports that the full outbox did not take (OUTBOX_LIMIT_BYTES).",
}
DELAYS = {"to_disk": "Time until an event was on disk.", "to_server": "Time until the server had stored it."}


class OutboxMetrics(Collector):
    """Asks for the figures whenever metrics are fetched; they are None where nothing is recorded."""

    def __init__(self, status: Callable[[], Mapping[str, Any] | None]) -> None:
        self.status = status

    def describe(self) -> Iterator[Metric]:
        """Yield nothing, so that nobody asks for figures before the app has started."""
        yield from ()

    def collect(self) -> Iterator[Metric]:
        """Yield each figure that is known; delays are over the last thousand reports."""
        figures = self.status()
        if figures is None:
            return
        for name, meaning in GAUGES.items():
            if figures[name] is not None:
                yield GaugeMetricFamily(PREFIX + name, meaning, value=float(figures[name]))
        for name, meaning in COUNTERS.items():
            yield CounterMetricFamily(PREFIX + name, meaning, value=float(figures[name]))
        for name, meaning in DELAYS.items():
            family = GaugeMetricFamily(f"{PREFIX}{name}_seconds", meaning, labels=["quantile"])
            for share, milliseconds in figures[f"{name}_ms"].items():
                if milliseconds is not None:
                    family.add_metric([str(int(share.removeprefix("p")) / 100)], milliseconds / 1000)
            yield family
