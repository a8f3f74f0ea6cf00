"""The import: rows stored in short turns of the writer, and a word on each that could not be taken."""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from sqlalchemy.exc import IntegrityError

from literal_server.db import Database
from literal_server.errors import Refused
from literal_server.exchange import lines
from literal_server.exchange.source import Row
from literal_server.exchange.stored import Arrivals
from literal_server.exchange.take import mark_of, take, take_mark
from literal_server.tables import Project

# One turn of the writer; a server that runs beside gets its own turn after each.
_ROWS_AT_ONCE = 100
_BYTES_AT_ONCE = 4 * 1024 * 1024
_BREATH_SECONDS = 0.01

Told = Callable[[Row, str], None]


@dataclass
class Report:
    """What an import came to: rows by kind that are new, that were there, and the number of those not taken."""

    added: Counter[str] = field(default_factory=Counter)
    there: Counter[str] = field(default_factory=Counter)
    refused: int = 0


class Import:
    """One import into a project; `refused` is told each row that could not be taken, and why."""

    def __init__(self, database: Database, arrivals: Arrivals, project: Project, refused: Told) -> None:
        self._database = database
        self._arrivals = arrivals
        self._project = project.id
        self._told = refused
        self._marks: dict[str, tuple[int, str]] = {}
        self.report = Report()

    async def run(self, rows: Iterable[Row]) -> Report:
        """Store the rows. Raises Refused for an export of a newer version, which nothing is taken from."""
        batch: list[Row] = []
        seen: Counter[str] = Counter()
        broken = 0
        head = end = None
        for row in rows:
            if row.problem:
                broken += 1
                self._refuse(row, row.problem)
            elif row.kind == lines.HEAD:
                head = _checked_head(row)
            elif row.kind == lines.END:
                end = row
            else:
                seen[row.kind] += 1
                if row.kind == lines.FILE:
                    await self._take_file(row)
                else:
                    batch.append(row)
            if len(batch) >= _ROWS_AT_ONCE or sum(one.size for one in batch) >= _BYTES_AT_ONCE:
                await self._store(batch)
                batch = []
        await self._store(batch)
        await self._mark()
        if head is not None and end is None:
            self._refuse(head, "The export is cut short: its last line is missing.")
        elif end is not None and not _counts(end, seen, broken):
            self._refuse(end, "The export is not whole: this line, its last, counts other rows than there are.")
        return self.report

    async def _store(self, batch: list[Row]) -> None:
        if not batch:
            return
        try:
            await self._take(batch)
        except (Refused, IntegrityError):
            for row in batch:  # one of them; the others are good
                try:
                    await self._take([row])
                except Refused as refused:
                    self._refuse(row, str(refused))
                except IntegrityError:
                    self._refuse(row, "It contradicts what is stored here.")
        await asyncio.sleep(_BREATH_SECONDS)

    async def _take(self, batch: list[Row]) -> None:
        async with self._database.writing() as session:
            new = [await take(session, self._project, row.kind, row.line or {}) for row in batch]
        for row in batch:
            if row.kind == "thread" and (mark := mark_of(row.line or {})) is not None:
                self._marks[(row.line or {})["id"]] = mark
        self.report.added.update(row.kind for row, is_new in zip(batch, new, strict=True) if is_new)
        self.report.there.update(row.kind for row, is_new in zip(batch, new, strict=True) if not is_new)

    async def _mark(self) -> None:
        """Mark the threads that were reviewed, now that all their steps are here."""
        marks = list(self._marks.items())
        for start in range(0, len(marks), _ROWS_AT_ONCE):
            async with self._database.writing() as session:
                for thread_id, mark in marks[start : start + _ROWS_AT_ONCE]:
                    await take_mark(session, self._project, thread_id, mark)
            await asyncio.sleep(_BREATH_SECONDS)

    async def _take_file(self, row: Row) -> None:
        try:
            is_new = await self._arrivals.take(row.line or {})
        except Refused as refused:
            self._refuse(row, str(refused))
            return
        if is_new is not None:
            (self.report.added if is_new else self.report.there)[row.kind] += 1

    def _refuse(self, row: Row, reason: str) -> None:
        self.report.refused += 1
        self._told(row, reason)


def _checked_head(row: Row) -> Row:
    schema = (row.line or {}).get("schema")
    if not isinstance(schema, int) or schema > lines.SCHEMA:
        raise Refused(f"The export has the schema {str(schema)[:20]!r}; this version reads up to {lines.SCHEMA}.")
    return row


def _counts(end: Row, seen: Counter[str], broken: int) -> bool:
    """Say whether the last line counts what was read, with the lines among it that could not be read."""
    counts = (end.line or {}).get("counts")
    if not isinstance(counts, dict) or not all(isinstance(count, int) for count in counts.values()):
        return False
    return Counter(counts) >= seen and sum(counts.values()) == seen.total() + broken
