"""Who waits for news of a thread is told when something in it is stored: in this process, without asking the database.

What commands store beside the server is seen after some seconds, and not in which thread: then all count as changed.

A revision is a text that is another one after each change, and after a restart.
"""

import asyncio
import logging
import secrets
from collections import OrderedDict, defaultdict
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress

from sqlalchemy import event
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from literal_server.db import Database
from literal_server.tables import Score, Step, Thread

logger = logging.getLogger(__name__)

BESIDE_SECONDS = 2.0

Key = tuple[str, str]
"""Project and id of a thread."""

_REMEMBERED = 10_000


class Changes:
    """The latest revision of each thread that something was stored in, and those who wait for the next."""

    def __init__(self) -> None:
        self._start = secrets.token_hex(4)
        self._count = 0
        # A thread that is not remembered counts as changed whenever one is forgotten: asked in vain, but not missed.
        self._latest: OrderedDict[Key, int] = OrderedDict()
        self._forgotten = 0
        self._waiting: defaultdict[Key, set[asyncio.Event]] = defaultdict(set)

    def follow(self, session: Session) -> None:
        """Note what a writing session changes, and tell it once that is stored."""
        changed: set[Key] = set()

        def flushed(writing: Session, _context: object) -> None:
            changed.update(_threads(writing, (*writing.new, *writing.dirty, *writing.deleted)))

        def committed(writing: Session) -> None:
            # Steps that are stored without the session's own bookkeeping have had their thread looked up.
            touched = {(key[1], key[2]) for key in writing.info if isinstance(key, tuple) and key[0] is Thread}
            self.tell(changed | touched)

        event.listen(session, "after_flush", flushed)
        event.listen(session, "after_commit", committed)

    def tell(self, changed: Iterable[Key]) -> None:
        """Give threads a new revision and wake those who wait for it."""
        for key in changed:
            self._count += 1
            self._latest[key] = self._count
            self._latest.move_to_end(key)
            if len(self._latest) > _REMEMBERED:
                self._forgotten = self._latest.popitem(last=False)[1]
            for waiting in self._waiting.get(key, ()):
                waiting.set()

    def tell_all(self) -> None:
        """Give every thread a new revision and wake all who wait."""
        self._count += 1
        self._latest.clear()
        self._forgotten = self._count
        for waiting in self._waiting.values():
            for one in waiting:
                one.set()

    @asynccontextmanager
    async def following_commands(self, database: Database) -> AsyncIterator[None]:
        """Tell of what commands store beside the server, within some seconds."""
        task = asyncio.create_task(self._follow_commands(database, await database.unfollowed()))
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def _follow_commands(self, database: Database, seen: int) -> None:
        while True:
            await asyncio.sleep(BESIDE_SECONDS)
            try:
                latest = await database.unfollowed()
            except SQLAlchemyError:
                logger.exception("Whether commands have stored something could not be read; it is tried again.")
                continue
            if latest != seen:
                seen = latest
                self.tell_all()

    def revision(self, key: Key) -> str:
        """Answer the revision of a thread. To be asked for before the thread is read, so that nothing is missed."""
        return f"{self._start}.{self._latest.get(key, self._forgotten)}"

    async def wait(self, key: Key, seconds: float) -> None:
        """Wait until something changes in a thread, at most so long."""
        waiting = asyncio.Event()
        self._waiting[key].add(waiting)
        try:
            async with asyncio.timeout(seconds):
                await waiting.wait()
        except TimeoutError:
            pass
        finally:
            self._waiting[key].discard(waiting)
            if not self._waiting[key]:
                del self._waiting[key]

    @property
    def waiting(self) -> int:
        """How many wait."""
        return sum(map(len, self._waiting.values()))


def _threads(session: Session, rows: Iterable[object]) -> Iterable[Key]:
    for row in rows:
        if isinstance(row, Thread):
            yield row.project_id, row.id
        elif (thread_id := getattr(row, "thread_id", None)) is not None:
            yield getattr(row, "project_id", ""), thread_id
        elif isinstance(row, Score) and row.step_id is not None:
            step = session.identity_map.get(session.identity_key(Step, (row.project_id, row.step_id)))
            if step is not None and step.thread_id is not None:
                yield row.project_id, step.thread_id
