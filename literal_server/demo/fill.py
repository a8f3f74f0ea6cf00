"""The demo data put into a project, through the same functions as everything that clients report."""

from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import islice

from sqlalchemy.ext.asyncio import AsyncSession

from literal_server.db import Database
from literal_server.demo import threads
from literal_server.exchange.take import take
from literal_server.tables import Participant, Project, Thread

_ROWS_AT_ONCE = 200


async def fill(database: Database, project: Project, seed: int, now: int) -> Counter[str]:
    """Add what is missing of the seed's data, dated back from `now` (microseconds); answers how much of each kind.

    What the project had or has deleted of it stays as it is, so that a second time adds nothing.
    """
    async with database.reading() as session:
        there = await _there(session, project, list(threads.rows(seed, now)))
    added: Counter[str] = Counter()
    left = (row for row in threads.rows(seed, now) if _owner(row) not in there)
    for part in _parts(left, _ROWS_AT_ONCE):
        async with database.writing() as session:
            for kind, line in part:
                added[kind] += await take(session, project.id, kind, line)
    return added


async def _there(session: AsyncSession, project: Project, rows: Iterable[threads.Row]) -> set[str]:
    """Answer the ids among the users and threads that the project knows, deleted ones too."""
    known = set()
    for kind, line in rows:
        table = {"participant": Participant, "thread": Thread}.get(kind)
        if table is not None and await session.get(table, (project.id, line["id"])) is not None:
            known.add(line["id"])
    return known


def _owner(row: threads.Row) -> str:
    kind, line = row
    return str(line["threadId"] if kind == "step" else line["id"])


def _parts(rows: Iterator[threads.Row], size: int) -> Iterator[list[threads.Row]]:
    while part := list(islice(rows, size)):
        yield part
