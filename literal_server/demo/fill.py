"""The demo data put into a project, through the same functions as everything that clients report."""

from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from literal_server.db import Database
from literal_server.demo import threads
from literal_server.demo.lists import add_lists
from literal_server.exchange.lines import FILE
from literal_server.exchange.stored import Arrivals
from literal_server.exchange.take import take
from literal_server.files import FileStore
from literal_server.tables import Participant, Project, Thread

_ROWS_AT_ONCE = 200
_LARGEST_FILE = 100_000
_EXAMPLES = 6


async def fill(database: Database, store: FileStore, project: Project, seed: int, now: int) -> Counter[str]:
    """Add what is missing of the seed's data, dated back from `now` (microseconds); answers how much of each kind.

    What the project had or has deleted of it stays as it is, so that a second time adds nothing.
    """
    rows = list(threads.rows(seed, now))
    async with database.reading() as session:
        there = await _there(session, project, rows)
    added: Counter[str] = Counter()
    left = [row for row in rows if _owner(row) not in there]
    arrivals = Arrivals(database, store, project.id, _LARGEST_FILE)
    for kind, line in left:
        if kind == FILE:
            added[kind] += bool(await arrivals.take(line))
    for part in _parts((row for row in left if row[0] != FILE), _ROWS_AT_ONCE):
        async with database.writing() as session:
            for kind, line in part:
                added[kind] += await take(session, project.id, kind, line)
    steps = [line for kind, line in left if kind == "step" and not line.get("error")]
    runs = [line["id"] for line in steps if line["type"] == "run" and len(line["output"]["messages"]) > 1]
    answers = [line["id"] for line in steps if line["type"] == "llm" and line["output"]["content"]]
    async with database.writing() as session:
        added += await add_lists(session, project, runs[:_EXAMPLES], answers[:_EXAMPLES])
    return added


async def _there(session: AsyncSession, project: Project, rows: Iterable[threads.Row]) -> set[str]:
    """Answer the ids among the users and threads that the project knows, deleted ones too."""
    known = set()
    for kind, line in rows:
        table: Any = {"participant": Participant, "thread": Thread}.get(kind)
        if table is not None and await session.get(table, (project.id, line["id"])) is not None:
            known.add(line["id"])
    return known


def _owner(row: threads.Row) -> str:
    kind, line = row
    return str(line["threadId"] if kind in ("step", FILE) else line["id"])


def _parts(rows: Iterator[threads.Row], size: int) -> Iterator[list[threads.Row]]:
    while part := list(islice(rows, size)):
        yield part
