"""How soon a server answers after its start, and how much memory it takes, beside others."""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from bench.measuring import in_turns, median, table
from bench.options import Options
from bench.stores import PEERS, Store, Verbatim

PACKAGES: tuple[str, ...] = ("SQLAlchemy", "graphql-core", "uvicorn", "arize-phoenix", "mlflow")

_SECTION = """\
## Start and size (`bench/start_and_size.py`)

Seconds from the start of the process until its health check is answered, on a data folder that has been used before,
and resident memory with that of the processes it starts (pages they share count once): after the first answer, and
after {load} steps were taken in. {rounds} starts each, in turns, medians.

{table}
"""


@dataclass(frozen=True)
class _Size:
    seconds: float
    idle: float
    loaded: float


def run(options: Options) -> str:
    """Start each store again and again."""
    rounds, load = (1, 50) if options.quick else (5, 300)
    with tempfile.TemporaryDirectory() as name:
        peers = [kind(Path(name)) for kind in (PEERS if options.peers else ())]
        stores: list[Store] = [Verbatim(Path(name)), *peers]
        for store in stores:
            _measured(store, 50)  # the first start makes the tables
        sizes = in_turns({store.name: partial(_measured, store, load) for store in stores}, rounds)
    return _SECTION.format(load=load, rounds=rounds, table=_table(sizes))


def _measured(store: Store, load: int) -> _Size:
    try:
        seconds = store.start()
        idle = store.megabytes()
        store.write(50, load)
        return _Size(seconds, idle, store.megabytes())
    finally:
        store.stop()


def _table(sizes: dict[str, list[_Size]]) -> str:
    def told(values: Sequence[float], ours: Sequence[float], unit: str) -> str:
        return f"{median(values):,.{1 if unit == 's' else 0}f} {unit} ({median(values) / median(ours):.1f})"

    own = sizes[Verbatim.name]
    rows = [
        (
            name,
            told([one.seconds for one in measured], [one.seconds for one in own], "s"),
            told([one.idle for one in measured], [one.idle for one in own], "MB"),
            told([one.loaded for one in measured], [one.loaded for one in own], "MB"),
        )
        for name, measured in sizes.items()
    ]
    return table(("store (to ours)", "first answer", "idle", "after the load"), rows)
