"""SQLite connections for the asyncio engine that cross to their thread once a statement instead of four times.

The stock adapter makes, runs, reads and closes a cursor in four trips; a trip costs more than most of our statements.
"""

import sqlite3
import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

import aiosqlite

Row = tuple[Any, ...]

# Steps of SQLite's machine between two looks at the clock: less than a millisecond.
INSTRUCTIONS = 10_000


class WholeCursor:
    """A cursor that has all its rows after `execute`."""

    def __init__(self, connection: "Connection") -> None:
        self._connection = connection
        self._rows: list[Row] = []
        self.description: Any = None
        self.rowcount = -1
        self.lastrowid: int | None = None
        self.arraysize = 1

    async def __aenter__(self) -> "WholeCursor":
        """Answer the cursor; nothing is opened before it runs something."""
        return self

    async def execute(self, statement: str, parameters: Sequence[Any] = ()) -> None:
        """Run a statement and read all that it answers."""
        await self._connection.run(self._run, "execute", statement, parameters)

    async def executemany(self, statement: str, parameters: Iterable[Sequence[Any]]) -> None:
        """Run a statement once for each set of parameters."""
        await self._connection.run(self._run, "executemany", statement, parameters)

    def _run(self, how: str, statement: str, parameters: Any) -> None:
        raw = self._connection.opened()
        cursor = raw.cursor()
        deadline = self._connection.deadline
        if deadline is not None:
            raw.set_progress_handler(lambda: time.monotonic() > deadline, INSTRUCTIONS)
        try:
            getattr(cursor, how)(statement, parameters)
            self.description, self.rowcount, self.lastrowid = cursor.description, cursor.rowcount, cursor.lastrowid
            self._rows = cursor.fetchall() if cursor.description else []
        finally:
            cursor.close()
            if deadline is not None:
                raw.set_progress_handler(None, 0)

    async def fetchall(self) -> list[Row]:
        """Answer the rows."""
        return self._rows

    async def close(self) -> None:
        """There is nothing left to close."""


class Connection(aiosqlite.Connection):
    """A connection whose transaction begins with its first statement, in the same trip."""

    begin_with: str | None = None
    # The moment (of time.monotonic) at which a statement that still runs is interrupted.
    deadline: float | None = None
    # Set before a statement is sent: one whose sender was cancelled still runs, and still has to be undone.
    in_use = False

    def cursor(self) -> WholeCursor:  # type: ignore[override]
        """Answer a cursor of ours; the adapter asks for no more than that has."""
        return WholeCursor(self)

    async def run(self, work: Callable[..., None], *arguments: Any) -> None:
        """Run something in the connection's thread."""
        self.in_use = True
        execute: Any = self._execute  # the stock connection's own way into its thread
        await execute(work, *arguments)

    def opened(self) -> sqlite3.Connection:
        """Begin the announced transaction if it has not begun, and answer the raw connection; in its thread only."""
        if self.begin_with is not None:
            statement, self.begin_with = self.begin_with, None
            self._conn.execute(statement)
        return self._conn

    async def commit(self) -> None:
        """Commit, if there is anything to commit."""
        self.begin_with = None
        if self.in_use:
            await super().commit()
            self.in_use = False

    async def rollback(self) -> None:
        """Undo, if there is anything to undo."""
        self.begin_with = None
        if self.in_use:
            await super().rollback()
            self.in_use = False


def open_file(path: str, **options: Any) -> sqlite3.Connection:
    """Open a file with a connection that leaves transactions to us."""
    opened: sqlite3.Connection = sqlite3.connect(path, isolation_level=None, **options)
    return opened


def connect(path: str, **options: Any) -> Connection:
    """Make a connection for the asyncio engine; awaiting it opens the file."""
    connection = Connection(partial(open_file, path, **options), iter_chunk_size=64)
    connection._thread.daemon = True  # a process may end while a statement runs
    return connection
