"""Whether the server stays as fast as its record grows."""

import http.client
import json
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from bench.measuring import median, table
from bench.options import Options
from bench.stores import Verbatim

PACKAGES: tuple[str, ...] = ("SQLAlchemy", "aiosqlite", "graphql-core", "uvicorn")

BATCH = 50
READS = 21

_LIST = "query { threads(first: 20) { edges { node { id name } } pageInfo { hasNextPage } } }"
_THREAD = "query ($id: String!) { threadDetail(id: $id) { id steps { id type name output generation { messages } } } }"

_SECTION = """\
## Growth (`bench/growth.py`)

One server takes in batches of {batch} steps of 2 to 4 KB over one connection without a pause. At each size: the rate
of the last {window:,} steps; the medians of {reads} times the API's newest 20 threads, a thread of 35 steps from the
middle of the record with its model calls, and the dashboard's first page. Ratios are to the first row.

{table}
"""


def run(options: Options) -> str:
    """Grow the record to each size and measure there."""
    sizes = [200, 400] if options.quick else [size for size in (10_000, 100_000, 1_000_000) if size <= options.growth]
    window = 100 if options.quick else 5_000
    rows: list[tuple[int, list[float]]] = []
    with tempfile.TemporaryDirectory() as folder:
        server = Verbatim(Path(folder))
        try:
            server.start()
            stored = 0
            for size in sizes or [options.growth]:
                while stored < size - window:
                    count = min(20_000, size - window - stored)
                    server.write(BATCH, count)
                    stored += count
                rate = server.write(BATCH, window).rate
                stored += window
                print(f"  {size:,} steps: {rate:,.0f} steps/s", flush=True)
                rows.append((size, [rate, *_latencies(server, 3 if options.quick else READS)]))
        finally:
            server.stop()
    return _SECTION.format(batch=BATCH, window=window, reads=READS, table=_table(rows))


def _latencies(server: Verbatim, reads: int) -> list[float]:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=120)
    thread = server.some_thread()
    asked = (
        ("POST", server.path, json.dumps({"query": _LIST})),
        ("POST", server.path, json.dumps({"query": _THREAD, "variables": {"id": thread}})),
        ("GET", _first_page(connection), None),
    )
    medians = []
    for method, path, body in asked:
        seconds = []
        for _ in range(reads + 1):
            began = time.monotonic()
            connection.request(method, path, body, server.headers)
            response = connection.getresponse()
            answer = response.read()
            seconds.append(time.monotonic() - began)
            if response.status >= 400 or b'"errors"' in answer[:200]:
                raise RuntimeError(f"{path} answered {response.status}: {answer[:300]!r}")
        medians.append(median(seconds[1:]) * 1e3)
    connection.close()
    return medians


def _first_page(connection: http.client.HTTPConnection) -> str:
    connection.request("GET", "/")
    response = connection.getresponse()
    response.read()
    return response.headers.get("location", "/")


def _table(rows: Sequence[tuple[int, Sequence[float]]]) -> str:
    first = rows[0][1]
    lines = []
    for size, (rate, *reads) in rows:
        told = [f"{one:.1f} ms ({one / start:.2f})" for one, start in zip(reads, first[1:], strict=True)]
        lines.append((f"{size:,}", f"{rate:,.0f} ({rate / first[0]:.2f})", *told))
    return table(("steps", "steps/s", "newest threads", "one thread", "first page"), lines)
