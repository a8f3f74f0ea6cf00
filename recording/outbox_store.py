"""The outbox's file: one SQLite database written by one thread, which commits together what comes together."""

import asyncio
import json
import logging
import queue
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from recording.stamps import Stamp
from recording.updates import Update

logger = logging.getLogger(__name__)

FILE_NAME = "outbox.db"
SCHEMA = """
CREATE TABLE IF NOT EXISTS waiting (
    number INTEGER PRIMARY KEY, lane TEXT NOT NULL, kind TEXT NOT NULL, key TEXT NOT NULL, body TEXT NOT NULL,
    put_at REAL NOT NULL, stamp TEXT);
CREATE TABLE IF NOT EXISTS begun (step_id TEXT PRIMARY KEY, body TEXT NOT NULL, last_at REAL NOT NULL);
CREATE TABLE IF NOT EXISTS journals (name TEXT PRIMARY KEY, read INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS dead_letters (
    number INTEGER PRIMARY KEY, lane TEXT NOT NULL, kind TEXT NOT NULL, key TEXT NOT NULL, body TEXT NOT NULL,
    put_at REAL NOT NULL, reason TEXT NOT NULL, at REAL NOT NULL, retry INTEGER NOT NULL DEFAULT 0,
    stamp TEXT);
"""
COLUMNS = "number, lane, kind, key, body, put_at, stamp"
# What a write can end with that is no bug: a full or broken disk, or a name that holds half a surrogate pair.
UNWRITABLE = (sqlite3.Error, UnicodeEncodeError)

Statement = tuple[str, Sequence[Any]]
Row = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Begun:
    """A step that was begun and not ended: what is known of it, and the last moment at which its turn was alive."""

    body: dict[str, Any]
    last_at: float


@dataclass(frozen=True, slots=True)
class _Job:
    work: Callable[[sqlite3.Connection], Any]
    tell: Callable[[Any], None]  # in the event loop: what came of it, an exception where it failed
    loop: asyncio.AbstractEventLoop


def connect(path: Path) -> sqlite3.Connection:
    """Open the file with the tables in it.

    synchronous=FULL: neither a killed process nor a power cut loses what was committed.
    """
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=10)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.executescript(SCHEMA)
    for table in ("waiting", "dead_letters"):  # a file of an older version has no stamps
        if "stamp" not in {column[1] for column in connection.execute(f"PRAGMA table_info({table})")}:
            connection.execute(f"ALTER TABLE {table} ADD COLUMN stamp TEXT")
    return connection


class OutboxStore:
    """The file as the outbox uses it; made and closed once, written from a running event loop."""

    def __init__(self, path: Path) -> None:
        self._db = _open(path)
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self.is_closed = False

    def waiting(self) -> Iterable[Update]:
        """Yield what an earlier process left, oldest first."""
        rows = self._db.execute(f"SELECT {COLUMNS} FROM waiting ORDER BY number")  # noqa: S608 - ours
        yield from map(_update, rows)

    def begun(self) -> list[Begun]:
        """Return the steps that were begun and not ended, oldest first."""
        rows = self._db.execute("SELECT body, last_at FROM begun ORDER BY rowid")
        return [Begun(json.loads(body), last_at) for body, last_at in rows]

    def journals(self) -> dict[str, int]:
        """Return up to which number of each journal all has been written here."""
        return dict(self._db.execute("SELECT name, read FROM journals"))

    def last_number(self) -> int:
        """Return the highest number that is taken."""
        query = "SELECT max(number) FROM (SELECT number FROM waiting UNION ALL SELECT number FROM dead_letters)"
        return int(self._db.execute(query).fetchone()[0] or 0)

    def write(self, statements: Sequence[Statement], settled: Callable[[Exception | None], None]) -> None:
        """Have statements executed, together; `settled` hears when they are committed, or why they are not.

        It is told in the order of the writes, and must not raise.
        """

        def work(db: sqlite3.Connection) -> None:
            for statement, values in statements:
                db.execute(statement, values)

        self._put(work, settled)

    def ask(self, work: Callable[[sqlite3.Connection], Any]) -> "asyncio.Future[Any]":
        """Have something done in the writer's thread and within a transaction; the future holds what comes of it."""
        answer = asyncio.get_running_loop().create_future()
        self._put(work, partial(_answer, answer))
        return answer

    def _put(self, work: Callable[[sqlite3.Connection], Any], tell: Callable[[Any], None]) -> None:
        job = _Job(work, tell, asyncio.get_running_loop())
        if self.is_closed:  # a turn that outlives the end of the app must not wait for ever
            job.loop.call_soon(tell, sqlite3.ProgrammingError("it is closed"))
            return
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="outbox", daemon=True)
            self._thread.start()
        self._jobs.put(job)

    async def close(self) -> None:
        """Close the file when all that was asked for is done."""
        self.is_closed = True
        self._jobs.put(None)
        if self._thread:
            await asyncio.to_thread(self._thread.join)
        self._db.close()

    def _run(self) -> None:
        going_on = True
        while going_on:
            jobs = [self._jobs.get()]
            while not self._jobs.empty():
                jobs.append(self._jobs.get())
            going_on = None not in jobs
            due = [job for job in jobs if job is not None]
            if due:
                outcomes = self._commit(due)
                due[0].loop.call_soon_threadsafe(_settle, outcomes)

    def _commit(self, jobs: Sequence[_Job]) -> list[tuple[_Job, Any]]:
        """Do the jobs in one transaction; should that fail, each in its own, so that one does not spoil the others."""
        try:
            self._db.execute("BEGIN IMMEDIATE")
            results = [job.work(self._db) for job in jobs]
            self._db.execute("COMMIT")
        except Exception as error:  # noqa: BLE001 - a full disk, or a bug in one job: the writer must outlive it
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            if len(jobs) > 1:
                return [outcome for job in jobs for outcome in self._commit([job])]
            return [(jobs[0], error)]
        return list(zip(jobs, results, strict=True))


def _settle(outcomes: Sequence[tuple[_Job, Any]]) -> None:
    for job, outcome in outcomes:
        job.tell(outcome)


def _answer(answer: "asyncio.Future[Any]", outcome: Any) -> None:
    if answer.done():  # who asked has gone
        return
    if isinstance(outcome, Exception):
        answer.set_exception(outcome)
    else:
        answer.set_result(outcome)


def _open(path: Path) -> sqlite3.Connection:
    """Open the file, or a new one where it is broken: the app must start, and what is left is not thrown away."""
    try:
        return connect(path)
    except sqlite3.OperationalError:
        raise
    except sqlite3.DatabaseError as error:
        broken = path.with_name(f"{path.name}.broken-{int(time.time())}")
        path.rename(broken)
        logger.error("The outbox cannot be read (%s). It is kept as %s; what it held is not sent.", error, broken)
        return connect(path)


def put(update: Update) -> Statement:
    """Return the statement that writes an update, new or merged."""
    return f"INSERT OR REPLACE INTO waiting ({COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?)", _row(update)  # noqa: S608 - ours


def read_to(journal: str, number: int) -> Statement:
    """Return the statement that notes how far a journal was read."""
    return "INSERT OR REPLACE INTO journals VALUES (?, ?)", (journal, number)


def forget_journals(but: str) -> Statement:
    """Return the statement that forgets the journals of chats that have ended."""
    return "DELETE FROM journals WHERE name <> ?", (but,)


def remove(numbers: Iterable[int]) -> Statement:
    """Return the statement that removes what is settled."""
    return "DELETE FROM waiting WHERE number IN (SELECT value FROM json_each(?))", (json.dumps(list(numbers)),)


def set_aside(update: Update, reason: str) -> list[Statement]:
    """Return the statements that make an update a dead letter."""
    letter = f"INSERT OR REPLACE INTO dead_letters ({COLUMNS}, reason, at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"  # noqa: S608 - ours
    return [remove([update.number]), (letter, (*_row(update), reason, time.time()))]


def begin(step_id: str, text: str, at: float) -> Statement:
    """Return the statement that notes a step as begun."""
    return "INSERT OR REPLACE INTO begun VALUES (?, ?, ?)", (step_id, text, at)


def alive(run_id: str, at: float) -> Statement:
    """Return the statement that notes when something of a run was last heard."""
    return "UPDATE begun SET last_at = ? WHERE step_id = ?", (at, run_id)


def end(step_id: str) -> Statement:
    """Return the statement that notes a step as ended."""
    return "DELETE FROM begun WHERE step_id = ?", (step_id,)


def take_up_dead_letters(db: sqlite3.Connection) -> tuple[list[Update], int]:
    """Let those dead letters wait again that are marked so; return them, and how many others there are."""
    rows = db.execute(f"SELECT {COLUMNS} FROM dead_letters WHERE retry ORDER BY number").fetchall()  # noqa: S608 - ours
    if rows:
        again = f"SELECT {COLUMNS} FROM dead_letters WHERE retry"  # noqa: S608 - ours
        db.execute(f"INSERT OR REPLACE INTO waiting ({COLUMNS}) {again}")
        db.execute("DELETE FROM dead_letters WHERE retry")
    others = int(db.execute("SELECT count(*) FROM dead_letters").fetchone()[0])
    return [_update(row) for row in rows], others


def _row(update: Update) -> Row:
    body, stamp = update.texts
    return (update.number, update.lane, update.kind, update.key, body, update.put_at, stamp)


def _update(row: Row) -> Update:
    number, lane, kind, key, text, put_at, stamp = row
    return Update(number, lane, kind, key, json.loads(text), put_at, Stamp.read(stamp), on_disk=True)
