"""What the server counts about itself, for Prometheus to fetch; nothing here tells what was said in a thread."""

import collections
import time
from collections.abc import Iterable, Sequence
from itertools import groupby
from operator import itemgetter
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.registry import Collector
from sqlalchemy import func, select

from literal_server.db import Database
from literal_server.search import Follower
from literal_server.tables import Step, Thread

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
# Counting rows reads a whole index: not at every fetch.
_COUNT_EVERY_SECONDS = 60.0

Operation = tuple[str, str, float]  # root field, outcome (ok, refused, error, undone), seconds


class Metrics:
    """The counters of one server, in a registry of their own: a process may hold several servers.

    With the figures that the `collectors` of an embedder add.
    """

    def __init__(self, collectors: Iterable[Collector] = ()) -> None:
        self.registry = CollectorRegistry()
        for collector in collectors:
            self.registry.register(collector)
        self.requests = Counter(
            "literal_requests", "Requests answered.", ("endpoint", "status"), registry=self.registry
        )
        self.request_seconds = Histogram(
            "literal_request_seconds", "Time until a request was answered.", ("endpoint",),
            buckets=_SECONDS, registry=self.registry,
        )  # fmt: skip
        self.operations = Counter(
            "literal_operations", "GraphQL root fields executed: ok, refused, error, or undone with the others.",
            ("field", "outcome"), registry=self.registry,
        )  # fmt: skip
        self.operation_seconds = Histogram(
            "literal_operation_seconds", "Time a GraphQL root field took, without its wait for the writer.", ("field",),
            buckets=_SECONDS, registry=self.registry,
        )  # fmt: skip
        self.ingested = Counter("literal_ingested_steps", "Reports of steps stored.", registry=self.registry)
        self.writer_wait = Histogram(
            "literal_writer_wait_seconds", "Time a change waited for its turn to write.",
            buckets=_SECONDS, registry=self.registry,
        )  # fmt: skip
        self.writer_queue = Gauge("literal_writer_queue", "Changes that wait to be written.", registry=self.registry)
        self.database_bytes = Gauge(
            "literal_database_bytes", "Size of the database with its log.", registry=self.registry
        )
        self.threads = Gauge("literal_threads", "Threads stored, deleted ones too.", registry=self.registry)
        self.steps = Gauge("literal_steps", "Steps stored, deleted ones too.", registry=self.registry)
        self.search_lag = Gauge(
            "literal_search_lag_seconds", "Age of the oldest change that full text search may not know yet.",
            registry=self.registry,
        )  # fmt: skip
        self.search_waiting = Gauge(
            "literal_search_waiting", "Changes that full text search has not taken in.", registry=self.registry
        )
        self._counted_at = -_COUNT_EVERY_SECONDS

    def count_request(self, endpoint: str, status: int, seconds: float) -> None:
        """Count an answered request."""
        self.requests.labels(endpoint, str(status)).inc()
        self.request_seconds.labels(endpoint).observe(seconds)

    def count_operations(self, operations: Sequence[Operation], *, stored: bool) -> None:
        """Count the root fields of a document, after its transaction: where that was undone nothing is stored."""
        told = collections.Counter(
            (field, "undone" if how == "ok" and not stored else how) for field, how, _ in operations
        )
        for (field, outcome), count in told.items():
            self.operations.labels(field, outcome).inc(count)
        self.ingested.inc(told["ingestStep", "ok"])
        for field, same in groupby(operations, key=itemgetter(0)):
            observe = self.operation_seconds.labels(field).observe
            for _, _, seconds in same:
                observe(seconds)

    async def text(self, database: Database, path: Path, search: Follower) -> bytes:
        """Answer everything in Prometheus's text form."""
        self.search_lag.set(search.lag)
        self.search_waiting.set(search.waiting)
        self.writer_queue.set(database.waiting)
        self.database_bytes.set(sum(_size(path.with_name(path.name + ending)) for ending in ("", "-wal")))
        if time.monotonic() - self._counted_at >= _COUNT_EVERY_SECONDS:
            self._counted_at = time.monotonic()
            async with database.reading() as session:
                self.threads.set(await session.scalar(select(func.count()).select_from(Thread)) or 0)
                self.steps.set(await session.scalar(select(func.count()).select_from(Step)) or 0)
        return generate_latest(self.registry)


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
