"""How many steps a second are taken in over HTTP until they are on disk, beside others and beside bare SQLite."""

import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from itertools import islice
from pathlib import Path

from bench import workload
from bench.measuring import in_turns, median, percentile, table
from bench.options import Options
from bench.stores import PEERS, Store, Verbatim, Written, raw_inserts

PACKAGES: tuple[str, ...] = ("SQLAlchemy", "aiosqlite", "graphql-core", "uvicorn", "arize-phoenix", "mlflow")

_SECTION = """\
## Ingestion over HTTP, durable (`bench/ingestion.py`)

Steps of a chat with tools, 2 to 4 KB each, are sent as the Python SDK sends them (`AddStep`), one request after the
other over one connection, {rounds} rounds in turns, medians. A step counts when it is committed in the store's own
database, ours with `synchronous=FULL`; our server answers no earlier. Phoenix and MLflow take the same texts as spans
over OTLP (protobuf), and their clock runs until all are in their database. Bare `sqlite3` inserts the rows of these
steps into our table with its indices, prepared before its clock starts: nothing that stores such rows can be faster.

{speed}

Single steps from several clients at once:

{clients}

Long contexts: `llm` steps of about {long_size} KB, each with the whole context of its call, {turns} calls a thread, in
batches of 5. What each call repeats is stored again with each: messages that were seen before are not stored once.

{long}
"""


def run(options: Options) -> str:
    """Measure all of it in turns."""
    counts = {50: 100, 5: 20, 1: 5} if options.quick else {50: 5_000, 5: 1_000, 1: 300}
    rounds, peer_count = (1, 20) if options.quick else (5, 300)
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        ours = Verbatim(folder)
        peers = [kind(folder) for kind in (PEERS if options.peers else ())]
        for store in (ours, *peers):
            stack.callback(store.stop)
            store.start()
            store.write(50, 50)  # what is made at the first request is made
        for batch in counts:
            ours.write(batch, batch)
        variants = _variants(ours, peers, counts, peer_count)
        variants |= {f"raw {batch}": partial(_raw, ours, folder, batch, count) for batch, count in counts.items()}
        results = in_turns(variants, rounds)
        singly = {clients: f"1 from {clients}" for clients in (1, 8, 32)}
        spread = in_turns(
            {label: partial(ours.write, 1, counts[1] * 2, clients) for clients, label in singly.items()}, rounds
        )
        return _SECTION.format(
            rounds=rounds,
            speed=_speed(results, counts, [peer.name for peer in peers]),
            clients=_clients(spread, singly),
            long_size=50,
            turns=20,
            long=_long(ours, 20 if options.quick else 200),
        )


def _variants(
    ours: Store, peers: Sequence[Store], counts: Mapping[int, int], peer_count: int
) -> dict[str, Callable[[], Written]]:
    own: dict[str, Callable[[], Written]] = {
        f"Verbatim {batch}": partial(ours.write, batch, count) for batch, count in counts.items()
    }
    others = {
        f"{peer.name} {batch}": partial(peer.write, batch, peer_count // (1 if batch > 1 else 3))
        for peer in peers
        for batch in counts
    }
    return own | others


def _raw(ours: Verbatim, folder: Path, batch: int, count: int) -> Written:
    return Written(rate=raw_inserts(ours.database, folder, batch, count))


def _speed(results: Mapping[str, Sequence[Written]], counts: Mapping[int, int], peers: Sequence[str]) -> str:
    rows = []
    for batch in counts:
        rates = {name: median([one.rate for one in results[f"{name} {batch}"]]) for name in ("Verbatim", "raw", *peers)}
        for name, rate in rates.items():
            seconds = [second for one in results[f"{name} {batch}"] for second in one.seconds]
            told = f"{median(seconds) * 1e3:.1f} ms" if seconds else ""
            rows.append((f"{batch}", _NAMES.get(name, name), f"{rate:,.0f}", f"{rates['Verbatim'] / rate:.2f}", told))
    return table(("steps a request", "store", "steps/s", "ours is so many times as fast", "answer, p50"), rows)


_NAMES = {"raw": "bare `sqlite3`", "Verbatim": "**Verbatim**"}


def _clients(spread: Mapping[str, Sequence[Written]], singly: Mapping[int, str]) -> str:
    one = median([written.rate for written in spread[singly[1]]])
    rows = []
    for clients, label in singly.items():
        rate = median([written.rate for written in spread[label]])
        seconds = [second for written in spread[label] for second in written.seconds]
        shares = (f"{percentile(seconds, share) * 1e3:.1f} ms" for share in (0.5, 0.95))
        rows.append((f"{clients}", f"{rate:,.0f}", f"{rate / one:.2f}", *shares))
    return table(("clients", "steps/s", "to one client", "answer, p50", "p95"), rows)


def _long(ours: Verbatim, count: int) -> str:
    steps = list(islice(workload.long_calls(), count))
    sent = sum(len(json.dumps(step)) for step in steps)
    messages = {json.dumps(message) for step in steps for message in step["generation"]["messages"]}
    once = sum(map(len, messages))
    before = ours.bytes_on_disk()
    written = ours.send(workload.bodies(iter(steps), 5, count), count)
    disk = ours.bytes_on_disk() - before
    rows = [
        ("steps/s", f"{written.rate:,.0f}"),
        ("bytes a step as sent", f"{sent / count:,.0f}"),
        ("bytes a step on disk, with indices", f"{disk / count:,.0f} ({disk / sent:.2f} of what was sent)"),
        ("bytes a step if each message were stored once", f"{once / count:,.0f} ({once / sent:.2f} of what was sent)"),
    ]
    return table(("", f"{count} steps"), rows)
