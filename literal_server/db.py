"""The one file that knows which database this is: engine, pragmas, sessions, the writer's turn, JSON in SQL."""

import asyncio
import sqlite3
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    LargeBinary,
    Select,
    SQLColumnExpression,
    Text,
    case,
    cast,
    event,
    exists,
    func,
    select,
    text,
)
from sqlalchemy import column as sql_column
from sqlalchemy import table as sql_table
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import OperationalError
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import Session
from sqlalchemy.pool import ConnectionPoolEntry

from literal_server import json_text, sqlite_connection
from literal_server.errors import DatabaseTooNew, TookTooLong

MIGRATIONS = Path(__file__).parent / "migrations"

# Milliseconds to wait for a lock of another process, and for readers when the log is emptied.
_PATIENCE = 10_000
_CHECKPOINT_PATIENCE = 250
# So many values are looked up in an index; beyond it, going through the table in the order of a list is faster.
_LOOKED_UP = 1_000
_A_MOMENT_SECONDS = 0.1
_KEPT_CONNECTIONS, _MOST_CONNECTIONS = 3, 15

# synchronous=FULL: an answered write survives a power cut. foreign_keys stays off: children come before parents.
# secure_delete: what is deleted is overwritten, so that a purge leaves nothing in the free parts of the file.
_PRAGMAS = (
    "PRAGMA journal_mode=WAL",
    "PRAGMA synchronous=FULL",
    f"PRAGMA busy_timeout={_PATIENCE}",
    "PRAGMA foreign_keys=OFF",
    "PRAGMA secure_delete=ON",
    "PRAGMA temp_store=MEMORY",
    "PRAGMA cache_size=-16000",
)

T = TypeVar("T")


class Database:
    """The store: `async with reading()` and `async with writing()` hand out sessions.

    Only one writing session is open at a time, so that a read followed by a write in it cannot be overtaken.
    `waiting` counts those that wait for it; `waited` is told how many seconds each has waited.
    What is in `session_info` is in the `info` of every session. `follow` is shown each writing session at its start.
    Work that needs no session goes to `transact`.
    """

    def __init__(
        self,
        path: Path,
        waited: Callable[[float], None] | None = None,
        session_info: Mapping[str, Any] | None = None,
        follow: Callable[[Session], None] | None = None,
    ) -> None:
        self.info = dict(session_info or {})
        self._path = path
        self._writer = ThreadPoolExecutor(1, "database-writer")
        self._connection: sqlite3.Connection | None = None  # of the writer's thread
        self._at_hand: sqlite3.Connection | None = None  # for `look_up`
        self._engine = create_async_engine(
            f"sqlite+aiosqlite:///{path}",
            connect_args={"async_creator_fn": sqlite_connection.connect},
            json_serializer=json_text.dumps,
            json_deserializer=json_text.loads,
            # The connection that was used last is used next: each keeps pages of the file, up to 16 MB. So few stay
            # open when nobody needs them, and more are opened when many read at once.
            pool_use_lifo=True,
            pool_size=_KEPT_CONNECTIONS,
            max_overflow=_MOST_CONNECTIONS - _KEPT_CONNECTIONS,
            hide_parameters=True,  # an error goes to the log, what was said in a thread does not
        )
        self._immediate = self._engine.execution_options(begin_with="BEGIN IMMEDIATE")
        self._plain = self._engine.execution_options(begin_with=None)
        self._turn = asyncio.Lock()
        self.waiting = 0
        self._wrote_at = 0.0
        self._waited = waited
        self._follow = follow
        event.listen(self._engine.sync_engine, "connect", _prepare_connection)
        event.listen(self._engine.sync_engine, "begin", _begin)

    async def migrate(self) -> None:
        """Bring the tables to the newest form, from nothing or from any earlier one."""
        async with self._immediate.begin() as connection:
            await connection.run_sync(_upgrade)

    async def is_migrated(self) -> bool:
        """Say whether the tables have the newest form that this program knows."""
        async with self._engine.connect() as connection:
            return await connection.run_sync(_revision) == _newest_revision()

    async def close(self) -> None:
        """Give the connections back to the system."""
        await self._engine.dispose()
        await asyncio.to_thread(self._writer.shutdown)
        for connection in (self._connection, self._at_hand):
            if connection is not None:
                connection.close()
        self._connection = self._at_hand = None

    def look_up(self, query: str, values: Sequence[Any]) -> tuple[Any, ...] | None:
        """Answer the one row of a query by a whole key, at once: that takes less time than a trip to a thread."""
        if self._at_hand is None:
            self._at_hand = sqlite_connection.open_file(str(self._path))
        found: tuple[Any, ...] | None = self._at_hand.execute(query, values).fetchone()
        return found

    @asynccontextmanager
    async def reading(self, within: float | None = None) -> AsyncIterator[AsyncSession]:
        """A session on one snapshot of the data.

        Raises TookTooLong where its statements are not done `within` so many seconds, all of them together.
        """
        engine = self._engine
        if within is not None:
            engine = engine.execution_options(deadline=time.monotonic() + within)
        try:
            async with AsyncSession(engine, expire_on_commit=False, info=self.info) as session:
                yield session
        except OperationalError as error:
            if within is None or str(error.orig) != "interrupted":
                raise
            raise TookTooLong(within) from error

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[AsyncSession]:
        """A session in the one write transaction; it is committed when the block ends well, else undone."""
        made = AsyncSession(self._immediate, expire_on_commit=False, info=self.info)
        if self._follow is not None:
            self._follow(made.sync_session)
        async with self._in_turn(), made as session, session.begin():
            yield session
            if self._follow is None:
                await _count(session)

    async def unfollowed(self) -> int:
        """Answer a number that is another one after each writing session that nobody followed: those of commands.

        It lies in the file, so that the server beside a command sees it.
        """
        async with self._engine.connect() as connection:
            return int((await connection.execute(text("PRAGMA user_version"))).scalar_one())

    async def transact(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Do this in the one write transaction, in the writer's thread and in one trip to it, and answer its answer.

        It is committed when the work ends well, else undone.
        """
        async with self._in_turn():
            return await asyncio.get_running_loop().run_in_executor(self._writer, self._transact, work)

    def _transact(self, work: Callable[[sqlite3.Connection], T]) -> T:
        if self._connection is None:
            self._connection = sqlite_connection.open_file(str(self._path), check_same_thread=False)
            for pragma in _PRAGMAS:
                self._connection.execute(pragma)
        connection = self._connection
        connection.execute("BEGIN IMMEDIATE")
        try:
            answer = work(connection)
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:  # after a full disk SQLite has undone it already
                connection.execute("ROLLBACK")
            raise
        return answer

    @asynccontextmanager
    async def _in_turn(self) -> AsyncIterator[None]:
        began = time.monotonic()
        self.waiting += 1
        try:
            await self._turn.acquire()
        finally:
            self.waiting -= 1
        try:
            if self._waited is not None:
                self._waited(time.monotonic() - began)
            yield
        finally:
            self._wrote_at = time.monotonic()
            self._turn.release()

    @property
    def is_busy(self) -> bool:
        """Whether somebody writes, or has done so a moment ago: what can wait does better to."""
        return self._turn.locked() or time.monotonic() - self._wrote_at < _A_MOMENT_SECONDS

    async def forget_deleted(self) -> bool:
        """Empty the write-ahead log, in which old forms of rows lie; False while a long read still needs it."""
        async with self._in_turn(), self._plain.connect() as connection:
            await connection.execute(text(f"PRAGMA busy_timeout={_CHECKPOINT_PATIENCE}"))
            busy = (await connection.execute(text("PRAGMA wal_checkpoint(TRUNCATE)"))).scalar_one()
            await connection.execute(text(f"PRAGMA busy_timeout={_PATIENCE}"))
        return not busy

    async def copy_to(self, path: Path) -> None:
        """Copy all that is committed at this moment into a new file, page by page, while others read and write.

        In one step: a copy in several would begin anew with each write in between.
        """
        async with self._plain.connect() as connection:
            raw: Any = (await connection.get_raw_connection()).driver_connection
            target = sqlite3.connect(path, check_same_thread=False)
            try:
                await raw.backup(target)
                target.execute("PRAGMA journal_mode=DELETE")  # one file that needs no other beside it
            finally:
                target.close()

    async def problems(self) -> list[str]:
        """Answer what SQLite finds wrong with the file, in its words; it reads all of it."""
        async with self._plain.connect() as connection:
            found = (await connection.execute(text("PRAGMA integrity_check"))).scalars().all()
        return [str(line) for line in found if line != "ok"]

    async def rewrite(self) -> None:
        """Write the file anew without the free space in it; the writer waits for as long as that takes."""
        async with self._in_turn(), self._plain.connect() as connection:
            await connection.execute(text("VACUUM"))
        await self.forget_deleted()


async def _count(session: AsyncSession) -> None:
    before: int = (await session.execute(text("PRAGMA user_version"))).scalar_one()
    await session.execute(text(f"PRAGMA user_version={(before + 1) % 2**31}"))


def _prepare_connection(connection: DBAPIConnection, _entry: ConnectionPoolEntry) -> None:
    adapted: Any = connection
    cursor = adapted.cursor()
    for pragma in _PRAGMAS:
        cursor.execute(pragma)
    cursor.close()
    adapted.create_function("casefold", 1, _casefold, deterministic=True)


def _casefold(value: bytes | None) -> str | None:
    return None if value is None else value.decode("utf-8", "replace").casefold()


def _begin(connection: Connection) -> None:
    driver: Any = connection.connection.driver_connection
    options = connection.get_execution_options()
    driver.begin_with, driver.deadline = options.get("begin_with", "BEGIN"), options.get("deadline")


def _migrations() -> Config:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    return config


def _upgrade(connection: Connection) -> None:
    config = _migrations()
    config.attributes["connection"] = connection
    try:
        command.upgrade(config, "head")
    except CommandError as error:
        raise DatabaseTooNew(
            "The database has a form that this version of the program does not know: it was used by a newer one."
        ) from error


@lru_cache(maxsize=1)
def _newest_revision() -> str | None:
    return ScriptDirectory.from_config(_migrations()).get_current_head()


def _revision(connection: Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()


def contains(expression: SQLColumnExpression[Any], needle: str) -> ColumnElement[bool]:
    """Say in SQL that the text holds the needle, whatever the case; SQL's own folding knows ASCII only."""
    if needle.isascii():
        return cast(expression, Text).icontains(needle, autoescape=True)
    # As bytes, because a text out of JSON may hold a lone surrogate, which is no text to the driver.
    return func.instr(func.casefold(cast(expression, LargeBinary)), needle.casefold()) > 0


def any_of(json_list: SQLColumnExpression[Any], values: Sequence[Any]) -> ColumnElement[bool]:
    """Say in SQL that a JSON list holds at least one of the values."""
    item = func.json_each(json_list).table_valued("value")
    return exists(select(1).select_from(item).where(item.c.value.in_(values)))


def last_number(table: str) -> Select[int]:
    """Select the last number that was given out as a key of the table, of a row that is there or not."""
    sequence = sql_table("sqlite_sequence", sql_column("name"), sql_column("seq", BigInteger))
    return select(sequence.c.seq).where(sequence.c.name == table)


def last_message(generation: SQLColumnExpression[Any]) -> ColumnElement[Any]:
    """Answer in SQL the JSON of what the last message to a model says, null where there is none."""
    whole, place = cast(generation, Text), "$.messages[#-1].content"
    found = func.nullif(func.json_quote(func.json_extract(whole, place)), "null")
    return case((func.json_valid(whole) == 1, found))  # a number beyond all bounds is no JSON to SQLite


def one_of(expression: SQLColumnExpression[Any], values: Iterable[str]) -> ColumnElement[bool]:
    """Say in SQL that the expression is one of the values, of which there may be more than a statement can bind."""
    given = list(values)
    item = func.json_each(json_text.dumps(given)).table_valued("value")
    # Few are looked up one by one. Many are not: the rows are gone through in their order, until a page is full.
    looked_for = expression if len(given) <= _LOOKED_UP else expression.concat("")
    return looked_for.in_(select(item.c.value))


def any_member(json_list: SQLColumnExpression[Any]) -> ColumnElement[bool]:
    """Say in SQL that a JSON list is not empty."""
    return func.coalesce(func.json_array_length(json_list), 0) > 0
