"""How fast the pages are on a large server: the list with filters, searches and orders, and one long thread."""

import asyncio
import re
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx

from bench import history
from bench.measuring import percentile, table
from bench.options import Options
from tests.literal_server.server_process import ServerProcess

PACKAGES: tuple[str, ...] = ("SQLAlchemy", "aiosqlite", "starlette", "uvicorn", "Jinja2")
PATIENCE_SECONDS = 30 * 60
THREADS = 100_000

# Words of the generator: the first stands in most steps, the next in some thousand, the others in some hundred or less.
FREQUENT = ("ba0", "ce1", "di2", "fo3")
COMMON = ("pa1f4", "ga2bc", "ba384", "ga3e8", "ba4b0", "ba5dc")
RARE = ("ba3a98", "pa4268", "ba4650", "ga4a38")

_SECTION = """\
## Pages of a large server (`bench/pages.py`)

A seeded generator fills the database with {threads:,} threads and {steps:,} steps, which takes {filled:.0f} s. The
running server then makes the index of full text in {indexed:.0f} s ({rate:,.0f} steps a second), beside working out
what calls cost. Pages hold 50 threads and are asked for {rounds} times each, one after the other, over one
connection; the milliseconds run from the request until the whole page is there. Words and users change from one request
to the next.

{table}

While it answered these, the server's memory was {memory} MB at the most; {memory_before} MB when the index was whole.
"""


@dataclass(frozen=True)
class Row:
    """One kind of page: its address without the project, with `{}` where the values go, one after the other."""

    name: str
    path: str
    values: Sequence[str] = ("",)
    goal: tuple[int, int] | None = (30, 80)  # p50 and p95, milliseconds


ROWS = (
    Row("the list, newest first", "/logs/threads"),
    Row("its second page", "/logs/threads?{}", ("next",)),
    Row('filter: `model ~ "llama"`', "/logs/threads?q=model ~ %22{}%22", ("llama", "mini", "sonnet")),
    Row("filter: `user = …`", "/logs/threads?q=user = person{}@example.org", ("7", "77", "777", "4321")),
    Row("aggregate: `errors > 0 and tokens > 20000`", "/logs/threads?q=errors > 0 and tokens > {}", ("20000", "30000")),
    Row("search: a common word", "/logs/threads?q={}", COMMON),
    Row("search: a rare word", "/logs/threads?q={}", RARE),
    Row("search and filter: `… errors > 0`", "/logs/threads?q={} errors > 0", COMMON),
    Row('feedback: `score["user-feedback"] < 1`', "/logs/threads?q=score[%22user-feedback%22] < {}", ("1",)),
    Row("sorted by tokens", "/logs/threads?sort=-tokens", goal=None),
    Row("sorted by cost", "/logs/threads?sort=-cost", goal=None),
    Row("search: a word of every third step", "/logs/threads?q={}", FREQUENT, goal=None),
    Row("filter: a tool's failures (1 of 250 steps)", "/logs/threads?q=tool = {} and tool.error", history.TOOLS, None),
    Row("the counts of all views, loaded late", "/logs/thread-counts", goal=None),
    Row(f"a thread of {history.LONG_TURNS * history.STEPS_OF_A_TURN} steps", "/logs/threads/long", goal=(50, 50)),
)


def run(options: Options) -> str:
    """Fill a server and ask for its pages."""
    threads, rounds = (300, 2) if options.quick else (THREADS, 100)
    with tempfile.TemporaryDirectory() as name:
        data = Path(name) / "data"
        data.mkdir(mode=0o700)
        began = time.monotonic()
        steps = asyncio.run(history.fill(data / "literal.db", threads))
        filled, began = time.monotonic() - began, time.monotonic()
        server = ServerProcess(data)
        try:
            indexed = _wait_for_index(server.url, began)
            before = server.memory("VmRSS")
            with httpx.Client(base_url=server.url, timeout=120) as client:
                rows = [(row.name, *_measured(client, row, rounds)) for row in ROWS]
            memory = server.memory("VmHWM")
        finally:
            server.stop()
    return _SECTION.format(
        threads=threads,
        steps=steps,
        filled=filled,
        indexed=indexed,
        rate=steps / indexed,
        rounds=rounds,
        table=table(("page", "p50", "p95", "goal", ""), rows),
        memory=memory,
        memory_before=before,
    )


def _wait_for_index(url: str, began: float) -> float:
    """Wait until full text search has taken everything in; answers the seconds since `began`."""
    time.sleep(3)  # until then a lag of less says nothing: the server has only just begun to count
    with httpx.Client(base_url=url, timeout=60) as client:
        while time.monotonic() - began < PATIENCE_SECONDS:
            told = client.get("/metrics").text
            values = dict(re.findall(r"^(literal_search_\w+) ([0-9.e+-]+)$", told, re.MULTILINE))
            if float(values["literal_search_lag_seconds"]) < 2 and not float(values["literal_search_waiting"]):
                return time.monotonic() - began
            time.sleep(0.5)
    raise TimeoutError("The index was not made in time.")


def _measured(client: httpx.Client, row: Row, rounds: int) -> tuple[str, str, str, str]:
    print(f"  {row.name}", flush=True)
    page = f"/projects/{history.PROJECT}"
    following = re.search(r'rel="next" href="\?([^"]+)"', client.get(f"{page}/logs/threads").text)
    seconds = []
    for number in range(rounds + 1):
        value = row.values[number % len(row.values)]
        wanted = following[1].replace("&amp;", "&") if value == "next" and following else value
        began = time.monotonic()
        client.get(page + row.path.format(wanted)).raise_for_status()
        seconds.append(time.monotonic() - began)
    measured = [percentile(seconds[1:], share) * 1_000 for share in (0.5, 0.95)]
    p50, p95 = (f"{milliseconds:.0f} ms" for milliseconds in measured)
    return p50, p95, *_judged(measured, row.goal)


def _judged(measured: Sequence[float], goal: tuple[int, int] | None) -> tuple[str, str]:
    if goal is None:
        return "", ""
    is_met = all(milliseconds < most for milliseconds, most in zip(measured, goal, strict=True))
    return "{} / {} ms".format(*goal), "met" if is_met else "**missed**"
