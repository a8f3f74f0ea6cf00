"""The index of full text: an SQLite file of its own beside the database, so that filling it never holds the writer.

It holds nothing that the database does not: a file that is missing, or of another form, is made anew.
"""

import json
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from literal_server import search_text

_FORM = 3  # of the tables below: another number makes every index anew
_PATIENCE_SECONDS = 10
_MERGED_AT_ONCE = 500  # pages

# A word leaves the file when its last entry is merged away; `secure_delete` overwrites the place.
_PRAGMAS = (
    "PRAGMA journal_mode=WAL",
    "PRAGMA synchronous=NORMAL",
    "PRAGMA secure_delete=ON",
    "PRAGMA cache_size=-8000",
)
_TABLES = (
    "CREATE TABLE projects (number INTEGER PRIMARY KEY, project TEXT NOT NULL UNIQUE)",
    # `used` counts the numbers that documents have been given out of a range.
    "CREATE TABLE ranges (number INTEGER PRIMARY KEY, thread TEXT NOT NULL, used INTEGER NOT NULL)",
    "CREATE INDEX ranges_of_threads ON ranges (thread, number)",
    "CREATE TABLE documents (id INTEGER PRIMARY KEY, project INTEGER NOT NULL, kind TEXT NOT NULL, owner TEXT NOT NULL,"
    " UNIQUE (project, owner, kind))",
    # Apart from the documents, so that those of thousands of hits lie close together.
    "CREATE TABLE texts (id INTEGER PRIMARY KEY, text TEXT NOT NULL)",
    # Without a copy of the texts: they lie in `texts`, where they are as they were written.
    "CREATE VIRTUAL TABLE words USING fts5 (text, content='', tokenize='unicode61 remove_diacritics 2')",
    "CREATE TABLE progress (position INTEGER NOT NULL)",
    f"PRAGMA user_version={_FORM}",
)

# The number of a document tells where it is: the project's number, then that of a range, then its own in that range.
# So the hits of a word are cut by project and put together by thread without a look at anything but their numbers.
# A range holds documents of one thread. A thread that goes on after so many newer ranges gets another one: numbers
# follow time, and the latest hits are those with the greatest numbers.
_OWN_BITS, _RANGE_BITS = 10, 33
_NEWER_RANGES = 1_000

# Thousands of rows come as one: each that Python fetches costs as much as finding it. The order of `words` is known to
# go backwards without sorting.
_FIND = (
    "SELECT json_group_array(rowid) FROM"
    " (SELECT rowid FROM words WHERE words MATCH ? AND rowid BETWEEN ? AND ? ORDER BY rowid DESC LIMIT ?)"
)
_THREADS = "SELECT json_group_array(thread) FROM json_each(?) LEFT JOIN ranges ON number = value"


@dataclass(frozen=True)
class Document:
    """What can be found of a step, or of the name of a thread; None as `text` takes it out of the index."""

    project: str
    kind: str
    owner: str
    thread: str | None
    text: str | None


@dataclass(frozen=True)
class Hits:
    """For each thread the first document in which the words stand; `is_cut` when there were too many to look at."""

    documents: dict[str, int]
    is_cut: bool


class SearchIndex:
    """One index file. Every method blocks: call it in a thread."""

    def __init__(self, path: Path) -> None:
        self._path = path
        opening = threading.Lock()  # two that give a new file its form at once: the second is told it is locked
        self._writer, self._reader = _Kept(path, opening), _Kept(path, opening)

    def close(self) -> None:
        """Give the file back to the system."""
        for kept in (self._writer, self._reader):
            with kept.lock:
                kept.close()

    def discard(self) -> None:
        """Remove the file; another is made when it is asked for."""
        with self._writer.lock, self._reader.lock:
            self._writer.close()
            self._reader.close()
            for ending in ("", "-wal", "-shm"):
                self._path.with_name(self._path.name + ending).unlink(missing_ok=True)

    def position(self) -> int | None:
        """Answer up to which change the index is filled, None when it was never begun."""
        with self._reading() as connection:
            return _position(connection)

    def begin(self, position: int) -> None:
        """Empty the index; from this change on it will be filled."""
        with self._writing() as connection:
            connection.execute("INSERT INTO words (words) VALUES ('delete-all')")
            for table in ("documents", "texts", "ranges", "projects"):
                connection.execute(f"DELETE FROM {table}")  # noqa: S608 - ours
            _move(connection, position)

    def apply(self, documents: Sequence[Document], since: int | None, position: int) -> bool:
        """Lay documents over those of the same owners, and remember that all up to this change is done.

        Answers False, and does nothing, where the index is not at `since` any more: another was faster, a purge maybe,
        and may have taken out what stands in these documents.
        """
        with self._writing() as connection:
            if _position(connection) != since:
                return False
            for document in documents:
                _replace(connection, document)
            _move(connection, position)
            return True

    def find(self, project: str, expression: str, most: int) -> Hits:
        """Look an FTS5 expression up, at most so many documents, the latest ones."""
        with self._reading() as connection:
            number = _number_of(connection, project)
            if number is None:
                return Hits({}, is_cut=False)
            first, last = (value << _RANGE_BITS + _OWN_BITS for value in (number, number + 1))
            (told,) = connection.execute(_FIND, (expression, first, last - 1, most + 1)).fetchone()
            found = json.loads(told)
            first_of_range = {document >> _OWN_BITS: document for document in found[:most]}  # the first is told last
            (told,) = connection.execute(_THREADS, (json.dumps(list(first_of_range)),)).fetchone()
        # In the order of the numbers given: what a thread has in its first range is told last, too. A range may be gone
        # by now, and has no thread.
        threads = zip(json.loads(told), first_of_range.values(), strict=True)
        documents = {thread: document for thread, document in threads if thread is not None}
        return Hits(documents, len(found) > most)

    def texts(self, identities: Sequence[int]) -> dict[int, tuple[str, str, str]]:
        """Answer kind, owner and text of documents by their number."""
        with self._reading() as connection:
            places = ", ".join("?" * len(identities))
            query = f"SELECT id, kind, owner, text FROM documents JOIN texts USING (id) WHERE id IN ({places})"  # noqa: S608 - marks only
            return {row[0]: tuple(row[1:]) for row in connection.execute(query, identities)}

    def forget_removed(self) -> None:
        """Leave nothing in the file of documents that were taken out, some pages at a time."""
        pages = -_MERGED_AT_ONCE  # below zero it begins to bring all into one
        while True:
            with self._writing() as connection:
                before = connection.total_changes
                connection.execute("INSERT INTO words (words, rank) VALUES ('merge', ?)", (pages,))
                # Fewer than two changes say that there was nothing left to do, as SQLite's manual has it.
                if connection.total_changes - before < 2:
                    break
            pages = _MERGED_AT_ONCE
        with self._reading() as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        with self._reader.lock:
            try:
                yield self._reader.opened()
            except sqlite3.DatabaseError:
                self._reader.close()  # whatever is wrong with the file, the next one finds out anew
                raise

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with self._writer.lock:
            connection = self._writer.opened()
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:  # after a full disk SQLite has undone it already
                    connection.execute("ROLLBACK")
                raise


class _Kept:
    """A connection that stays open from one use to the next, with what it has read of the file, up to 8 MB."""

    def __init__(self, path: Path, opening: threading.Lock) -> None:
        self.lock = threading.Lock()
        self._path, self._opening = path, opening
        self._connection: sqlite3.Connection | None = None
        self._inode = 0

    def opened(self) -> sqlite3.Connection:
        """Answer the connection to the file that is there now, which somebody may have removed meanwhile."""
        if self._inode != self._present_inode():
            self.close()
        if self._connection is None:
            with self._opening:
                self._connection = _connect(self._path)
            self._inode = self._present_inode()
        return self._connection

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _present_inode(self) -> int:
        return self._path.stat().st_ino if self._path.exists() else 0


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=_PATIENCE_SECONDS, isolation_level=None, check_same_thread=False)
    try:
        for pragma in _PRAGMAS:
            connection.execute(pragma)
        if connection.execute("PRAGMA user_version").fetchone()[0] != _FORM:
            _make(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def _make(connection: sqlite3.Connection) -> None:
    connection.execute("BEGIN IMMEDIATE")  # where two open it at once, the second finds it made
    if connection.execute("PRAGMA user_version").fetchone()[0] != _FORM:
        for table in ("words", "documents", "texts", "progress", "ranges", "projects"):
            connection.execute(f"DROP TABLE IF EXISTS {table}")
        for statement in _TABLES:
            connection.execute(statement)
    connection.execute("COMMIT")


def _position(connection: sqlite3.Connection) -> int | None:
    row = connection.execute("SELECT position FROM progress").fetchone()
    return int(row[0]) if row else None


def _move(connection: sqlite3.Connection, position: int) -> None:
    connection.execute("DELETE FROM progress")
    connection.execute("INSERT INTO progress VALUES (?)", (position,))


def _replace(connection: sqlite3.Connection, document: Document) -> None:
    project = _number_of(connection, document.project)
    if project is None:
        made = connection.execute("INSERT INTO projects (project) VALUES (?)", (document.project,))
        project = made.lastrowid or 0
    key = (project, document.owner, document.kind)
    found = connection.execute(
        f"SELECT id, ranges.thread, text FROM documents JOIN texts USING (id) JOIN ranges ON number = id >> {_OWN_BITS}"  # noqa: S608 - ours
        " WHERE project = ? AND owner = ? AND kind = ?",
        key,
    ).fetchone()
    if found is not None and found[1:] == (document.thread, document.text):
        return
    keeps_place = found is not None and found[1] == document.thread and document.text is not None
    if found is not None:
        _take_out(connection, found[0], found[2], keeps_range=keeps_place)
    if document.text is None or document.thread is None:
        return
    number = found[0] if keeps_place else _new_number(connection, project, document.thread)
    connection.execute("INSERT INTO documents (id, project, owner, kind) VALUES (?, ?, ?, ?)", (number, *key))
    connection.execute("INSERT INTO texts (id, text) VALUES (?, ?)", (number, document.text))
    insert = "INSERT INTO words (rowid, text) VALUES (?, ?)"
    connection.execute(insert, (number, search_text.spaced(document.text)))


def _take_out(connection: sqlite3.Connection, number: int, text: str, *, keeps_range: bool) -> None:
    # Without its own copy the index has to be told what it knew of a document, to forget it.
    forget = "INSERT INTO words (words, rowid, text) VALUES ('delete', ?, ?)"
    connection.execute(forget, (number, search_text.spaced(text)))
    for table in ("documents", "texts"):
        connection.execute(f"DELETE FROM {table} WHERE id = ?", (number,))  # noqa: S608 - ours
    own = number >> _OWN_BITS
    bounds = (own << _OWN_BITS, (own + 1) << _OWN_BITS)
    is_empty = not connection.execute("SELECT 1 FROM documents WHERE id >= ? AND id < ?", bounds).fetchone()
    if is_empty and not keeps_range:
        connection.execute("DELETE FROM ranges WHERE number = ?", (own,))


def _number_of(connection: sqlite3.Connection, project: str) -> int | None:
    row = connection.execute("SELECT number FROM projects WHERE project = ?", (project,)).fetchone()
    return int(row[0]) if row else None


def _new_number(connection: sqlite3.Connection, project: int, thread: str) -> int:
    """Answer the number for another document of a thread, the first of a new range where it is due."""
    bounds = (project << _RANGE_BITS, (project + 1) << _RANGE_BITS)
    newest = connection.execute("SELECT max(number) FROM ranges WHERE number >= ? AND number < ?", bounds).fetchone()[0]
    number, used = connection.execute(
        "SELECT number, used FROM ranges WHERE thread = ? AND number >= ? AND number < ? ORDER BY number DESC LIMIT 1",
        (thread, *bounds),
    ).fetchone() or (None, 0)
    if number is None or used >> _OWN_BITS or newest - number > _NEWER_RANGES:
        number, used = (bounds[0] if newest is None else newest + 1), 0
        connection.execute("INSERT INTO ranges (number, thread, used) VALUES (?, ?, 0)", (number, thread))
    connection.execute("UPDATE ranges SET used = ? WHERE number = ?", (used + 1, number))
    return int(number) << _OWN_BITS | int(used)
