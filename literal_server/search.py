"""Full text search: the index kept up with the database, behind the writer, and what a query finds in it.

Triggers in the database note which steps and names of threads have changed, whoever changed them. The index reads these
notes in order and remembers how far it is in the same transaction in which it grows, so it can be stopped anywhere.
"""

import asyncio
import logging
import sqlite3
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, Text, cast, delete, func, insert, literal, select
from sqlalchemy.ext.asyncio import AsyncSession

from literal_server import clock, db, payloads, search_text
from literal_server.db import Database
from literal_server.query_language import QueryError, Words
from literal_server.search_index import Document, SearchIndex
from literal_server.search_text import Snippet
from literal_server.settings import ServerSettings
from literal_server.tables import SearchChange, Step, Thread

logger = logging.getLogger(__name__)

INDEX = "search_index"
STEP, THREAD = "step", "thread"

POLL_SECONDS = 0.5
_AFTER_FAILURE_SECONDS = 10.0
_CHANGES_AT_ONCE = 500
_TEXTS_AT_ONCE = 20  # are taken out of steps before whoever waits for an answer gets a turn
_GIVE_WAY = 4  # while somebody writes, a round rests so many times as long as it has worked
# Notes that are done are removed now and then: each time it costs the writer a turn.
_TRIM_SECONDS = 60.0
_TRIMMED_AT_ONCE = 10_000  # some milliseconds

# Words that stand in more documents than these are looked for in the latest of them only.
MOST_DOCUMENTS = 5_000


def session_info(settings: ServerSettings) -> dict[str, Any]:
    """What the sessions of a database have to know of its index."""
    return {INDEX: SearchIndex(settings.search_path)}


@dataclass(frozen=True)
class Place:
    """Where in a thread the words of a query stand: in a step or, without one, in the thread's name."""

    step_id: str | None
    snippet: Snippet


@dataclass(frozen=True)
class Found:
    """The threads in which words stand, each with the document that is the first of its hits."""

    threads: dict[Words, dict[str, int]]
    is_cut: bool


class Follower:
    """Keeps the index up with the database while the server runs, and knows how far behind it is."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._caught_up_at = clock.now()
        self.waiting = 0

    @property
    def lag(self) -> float:
        """How many seconds old something may be at the most that cannot be found yet."""
        return max(0, clock.now() - self._caught_up_at) / 1_000_000

    @asynccontextmanager
    async def following(self) -> AsyncIterator[None]:
        """Follow the database as long as the block runs."""
        task = asyncio.create_task(self._follow())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait([task])

    async def _follow(self) -> None:
        trimmed_at = asyncio.get_running_loop().time()
        while True:
            try:
                await self._round()
                if asyncio.get_running_loop().time() - trimmed_at >= _TRIM_SECONDS:
                    await trim(self._database)
                    trimmed_at = asyncio.get_running_loop().time()
            except Exception:  # whatever went wrong, the next round tries again
                logger.exception("Full text search could not follow the database; it is tried again.")
                await asyncio.sleep(_AFTER_FAILURE_SECONDS)
            await asyncio.sleep(POLL_SECONDS)

    async def _round(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            began, moment = loop.time(), clock.now()
            self.waiting = await _take_some(self._database)
            if not self.waiting:
                self._caught_up_at = moment
                return
            if self._database.is_busy:  # recording comes first: the index takes a share of the time, and catches up
                await asyncio.sleep(_GIVE_WAY * (loop.time() - began))


async def catch_up(database: Database) -> None:
    """Bring the index up to the present state of the database."""
    while await _take_some(database):
        pass


async def forget_purged(database: Database) -> None:
    """Take what was purged out of the index, so that nothing of it is left in its file or in the notes."""
    index = await _index_of(database)
    if index is not None:
        await catch_up(database)
        await asyncio.to_thread(index.forget_removed)
        await trim(database)


async def trim(database: Database) -> None:
    """Remove the notes that the index has taken in."""
    index = await _index_of(database)
    position = await asyncio.to_thread(index.position) if index is not None else None
    while position is not None:
        async with database.reading() as session:
            first = await session.scalar(select(func.min(SearchChange.id)))
        if first is None or first > position:
            return
        async with database.writing() as session:
            some = SearchChange.id <= min(position, first + _TRIMMED_AT_ONCE)
            await session.execute(delete(SearchChange).where(some))


async def _index_of(database: Database) -> SearchIndex | None:
    async with database.reading() as session:
        index: SearchIndex | None = session.info.get(INDEX)
        return index


async def _take_some(database: Database) -> int:
    """Take some changes into the index; answers how many are left, at least."""
    index = await _index_of(database)
    if index is None:
        return 0
    try:
        return await _take_some_into(index, database)
    except sqlite3.DatabaseError as error:
        if type(error) is not sqlite3.DatabaseError:  # its kinds tell of a lock, a full disk: not of broken content
            raise
        logger.error("The index of full text is broken and made anew: %s.", error)
        await asyncio.to_thread(index.discard)
        return 1


async def _take_some_into(index: SearchIndex, database: Database) -> int:
    position = await asyncio.to_thread(index.position)
    async with database.reading() as session:
        last = await session.scalar(db.last_number(SearchChange.__tablename__)) or 0
        columns = (SearchChange.id, SearchChange.kind, SearchChange.project_id, SearchChange.owner)
        of_index = select(*columns).where(SearchChange.id > (position or 0)).order_by(SearchChange.id)
        changes = (await session.execute(of_index.limit(_CHANGES_AT_ONCE))).all()
        following = changes[0].id if changes else last + 1
        documents = await _documents(session, changes) if position == following - 1 else []
    if position is None or position != following - 1:
        # A new index, or a database from before it, or an index from before notes were removed: their numbers have no
        # gaps. But where it has moved on meanwhile, another task has taken them in and removed them.
        if position == await asyncio.to_thread(index.position):
            await _note_everything(database, index)
        return 1
    if not changes:
        return 0
    is_taken = await asyncio.to_thread(index.apply, documents, position, changes[-1].id)
    return last - changes[-1].id if is_taken else 1


async def _note_everything(database: Database, index: SearchIndex) -> int:
    async with database.writing() as session:
        await session.execute(delete(SearchChange))
        last = await session.scalar(db.last_number(SearchChange.__tablename__)) or 0
        now = literal(clock.now())
        for kind, table in ((THREAD, Thread), (STEP, Step)):
            living = select(table.project_id, literal(kind), table.id, now).where(table.deleted_at.is_(None))
            columns = ["project_id", "kind", "owner", "at"]
            await session.execute(insert(SearchChange).from_select(columns, living.order_by(table.created_at)))
    await asyncio.to_thread(index.begin, last)
    return last


async def _documents(session: AsyncSession, changes: Sequence[Row[int, str, str, str]]) -> list[Document]:
    """Answer what can be found of the owners of the changes, in the order of their first change."""
    keys = dict.fromkeys((kind, project, owner) for _, kind, project, owner in changes)
    found: dict[tuple[str, str, str], Document] = {}
    for kind, project in dict.fromkeys((kind, project) for kind, project, _ in keys):
        owners = [key[2] for key in keys if key[:2] == (kind, project)]
        for number, row in enumerate(await (_threads if kind == THREAD else _steps)(session, project, owners)):
            if number % _TEXTS_AT_ONCE == 0:
                await asyncio.sleep(0)
            text = row.name if kind == THREAD else await _text_of_step(session, row)
            found[(kind, project, row.id)] = Document(project, kind, row.id, row.thread_id, text)
    return [found.get(key) or Document(key[1], key[0], key[2], None, None) for key in keys]


async def _threads(session: AsyncSession, project: str, owners: Sequence[str]) -> Sequence[Any]:
    here = (Thread.project_id == project, Thread.id.in_(owners), Thread.deleted_at.is_(None), Thread.name != "")
    return (await session.execute(select(Thread.id, Thread.id.label("thread_id"), Thread.name).where(*here))).all()


async def _steps(session: AsyncSession, project: str, owners: Sequence[str]) -> Sequence[Any]:
    living = (Step.deleted_at.is_(None), Step.thread_id.is_not(None))
    beginnings = (
        func.substr(cast(column, Text), 1, search_text.MOST_CHARACTERS).label(name)
        for name, column in (("input", Step.input), ("output", Step.output), ("error", Step.error))
    )
    asked = func.substr(db.last_message(Step.generation), 1, search_text.MOST_CHARACTERS).label("asked")
    columns = (Step.project_id, Step.id, Step.thread_id, Step.name, Step.payloads, *beginnings, asked)
    here = (Step.project_id == project, Step.id.in_(owners), *living)
    return (await session.execute(select(*columns).where(*here))).all()


async def _text_of_step(session: AsyncSession, row: Row[Any]) -> str:
    texts = {"input": row.input, "output": row.output}
    for name in texts.keys() & (row.payloads or {}).keys():
        owner = Step(project_id=row.project_id, id=row.id, payloads=row.payloads)
        texts[name] = await payloads.beginning(session, owner, name, search_text.MOST_CHARACTERS) or texts[name]
    if row.asked is not None:
        # What a model was asked repeats all that was said before: only its last message is new.
        texts["input"] = row.asked
    said = (search_text.of_json(texts["input"]), search_text.of_json(texts["output"]))
    return "\n".join(filter(None, (row.name, *said, row.error)))


async def find(session: AsyncSession, project: str, words: Iterable[Words]) -> Found:
    """Look up the words of a query. Raises QueryError for words without a letter or digit in them."""
    index: SearchIndex = session.info[INDEX]
    threads: dict[Words, dict[str, int]] = {}
    is_cut = False
    for one in words:
        expression = search_text.match_expression(one.terms)
        if expression is None:
            raise QueryError("There is no letter and no digit to look for.", one.place)
        hits = await asyncio.to_thread(index.find, project, expression, MOST_DOCUMENTS)
        threads[one] = hits.documents
        is_cut = is_cut or hits.is_cut
    return Found(threads, is_cut)


async def places(session: AsyncSession, found: Found, threads: Iterable[str]) -> dict[str, Place]:
    """Answer for each of these threads where the words stand in it for the first time; not all of them have them."""
    index: SearchIndex = session.info[INDEX]
    hits = {
        thread: (documents[thread], words)
        for thread in threads
        for words, documents in reversed(found.threads.items())
        if thread in documents
    }
    texts = await asyncio.to_thread(index.texts, [document for document, _ in hits.values()])
    return {
        thread: Place(texts[document][1] if texts[document][0] == STEP else None,
                      search_text.snippet(texts[document][2], words.terms))
        for thread, (document, words) in hits.items()
        if document in texts
    }  # fmt: skip
