"""Group commit: batches that wait for the writer at the same time share a transaction, and one wait for the disk.

Nobody is made to wait for company: a group is whoever came while the one before it was written. Each batch is answered
only after the commit. When anything of a group fails all of it is undone, and each batch is tried on its own, so that
one can never spoil another.
"""

import asyncio
import sqlite3
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

from literal_server.db import Database
from literal_server.plain_rows import Key, PlainRows

# In the size of batches: a group is answered when all of it is written, which must not take seconds.
LARGEST_GROUP = 256

T = TypeVar("T")


@dataclass(frozen=True)
class _Change:
    work: Callable[[PlainRows], Any]
    size: int
    outcome: asyncio.Future[Any]


class GroupCommit:
    """Writes batches: each may find what others of its group have changed, and may be done again.

    `tell` is told the threads of what was written, once it is committed.
    """

    def __init__(self, database: Database, tell: Callable[[Iterable[Key]], None]) -> None:
        self._database = database
        self._tell = tell
        self._waiting: list[_Change] = []
        self._writer: asyncio.Task[None] | None = None

    async def write(self, work: Callable[[PlainRows], T], size: int = 1) -> T:
        """Do this in a transaction, in the writer's thread, and answer what it answers, once that is committed.

        `size` is how much it writes.
        What it raises is raised here, and then nothing of it is stored. One that is cancelled may still be stored.
        """
        change = _Change(work, size, asyncio.get_running_loop().create_future())
        self._waiting.append(change)
        self._database.waiting += 1
        if self._writer is None:
            self._writer = asyncio.create_task(self._write_all())
        answer: T = await change.outcome
        return answer

    async def _write_all(self) -> None:
        try:
            while self._waiting:
                await self._write_together(self._next_group())
        finally:
            self._writer = None

    def _next_group(self) -> list[_Change]:
        group = [self._waiting.pop(0)]
        room = LARGEST_GROUP - group[0].size
        while self._waiting and self._waiting[0].size <= room:
            group.append(self._waiting.pop(0))
            room -= group[-1].size
        self._database.waiting -= len(group)
        return group

    async def _write_together(self, group: list[_Change]) -> None:
        def work(connection: sqlite3.Connection) -> tuple[list[Any], list[Key]]:
            rows = PlainRows(connection, self._database.info)
            done = [change.work(rows) for change in group]
            rows.write()
            return done, rows.threads.found

        try:
            answers, threads = await self._database.transact(work)
        except Exception as error:  # noqa: BLE001 - it belongs to the one who asked, as soon as it is known who that is
            if len(group) == 1:
                _answer(group[0].outcome, error=error)
            else:
                for change in group:
                    await self._write_together([change])
        else:
            self._tell(threads)
            for change, answer in zip(group, answers, strict=True):
                _answer(change.outcome, answer)


def _answer(outcome: asyncio.Future[Any], answer: Any = None, *, error: Exception | None = None) -> None:
    if outcome.done():  # whoever asked has gone
        return
    if error is not None:
        outcome.set_exception(error)
    else:
        outcome.set_result(answer)
