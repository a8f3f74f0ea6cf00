"""The index of full text: an SQLite file of its own beside the database, so that filling it never holds the writer.

It holds nothing that the database does not: a file that is missing, or of another form, is made anew.
"""

import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from literal_server import search_text

_FORM = 2  # of the tables below: another number makes every index anew
_PATIENCE_SECONDS = 10
_MERGED_AT_ONCE = 500  # pages

# A word leaves the file when its last entry is merged away; `secure_delete` overwrites the place.
_PRAGMAS = (
    "PRAGMA journal_mode=WAL",
    "PRAGMA synchronous=NORMAL",
    "PRAGMA secure_delete=ON",
    "PRAGMA cache_size=-16000",
)
_TABLES = (
    "CREATE TABLE documents (id INTEGER PRIMARY KEY, project TEXT NOT NULL, kind TEXT NOT NULL, owner TEXT NOT NULL,"
    " thread TEXT NOT NULL, UNIQUE (project, owner, kind))",
    # Apart from the documents, so that those of thousands of hits lie close together.
    "CREATE TABLE texts (id INTEGER PRIMARY KEY, text TEXT NOT NULL)",
    # Without a copy of the texts: they lie in `texts`, where they are as they were written.
    "CREATE VIRTUAL TABLE words USING fts5 (text, content='', tokenize='unicode61 remove_diacritics 2')",
    "CREATE TABLE progress (position INTEGER NOT NULL)",
    f"PRAGMA user_version={_FORM}",
)


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
        self._lock = threading.Lock()
        self._opening = threading.Lock()  # two that give a new file its form at once: the second is told it is locked
        self._opened: sqlite3.Connection | None = None
        self._inode = 0

    def close(self) -> None:
        """Give the file back to the system."""
        with self._lock:
            self._close()

    def _close(self) -> None:
        if self._opened is not None:
            self._opened.close()
            self._opened = None

    def discard(self) -> None:
        """Remove the file; another is made when it is asked for."""
        with self._lock:
            self._close()
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
            for table in ("documents", "texts"):
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
        # The order of `words` is known to go backwards without sorting; the first of a thread is told last.
        query = (
            "SELECT d.thread, d.id FROM words JOIN documents d ON d.id = words.rowid"
            " WHERE words MATCH ? AND d.project = ? ORDER BY words.rowid DESC LIMIT ?"
        )
        with self._reading() as connection:
            rows = connection.execute(query, (expression, project, most + 1)).fetchall()
        return Hits(dict(rows[:most]), len(rows) > most)

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
        connection = self._connect()
        try:
            yield connection
        finally:
            connection.close()

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            if self._inode != self._present_inode():  # somebody has removed the file: readers have another one
                self._close()
            if self._opened is None:
                self._opened = self._connect()
                self._inode = self._present_inode()
            self._opened.execute("BEGIN IMMEDIATE")
            try:
                yield self._opened
                self._opened.execute("COMMIT")
            except BaseException:
                if self._opened.in_transaction:  # after a full disk SQLite has undone it already
                    self._opened.execute("ROLLBACK")
                raise

    def _present_inode(self) -> int:
        return self._path.stat().st_ino if self._path.exists() else 0

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self._path, timeout=_PATIENCE_SECONDS, isolation_level=None, check_same_thread=False
        )
        with self._opening:
            for pragma in _PRAGMAS:
                connection.execute(pragma)
            if connection.execute("PRAGMA user_version").fetchone()[0] != _FORM:
                _make(connection)
        return connection


def _make(connection: sqlite3.Connection) -> None:
    connection.execute("BEGIN IMMEDIATE")  # where two open it at once, the second finds it made
    if connection.execute("PRAGMA user_version").fetchone()[0] != _FORM:
        for table in ("words", "documents", "texts", "progress"):
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
    key = (document.project, document.owner, document.kind)
    found = connection.execute(
        "SELECT id, thread, text FROM documents JOIN texts USING (id) WHERE project = ? AND owner = ? AND kind = ?", key
    ).fetchone()
    if found is not None:
        if tuple(found[1:]) == (document.thread, document.text):
            return
        # Without its own copy the index has to be told what it knew of a document, to forget it.
        forget = "INSERT INTO words (words, rowid, text) VALUES ('delete', ?, ?)"
        connection.execute(forget, (found[0], search_text.spaced(found[2])))
        for table in ("documents", "texts"):
            connection.execute(f"DELETE FROM {table} WHERE id = ?", (found[0],))  # noqa: S608 - ours
    if document.text is None or document.thread is None:
        return
    number = found[0] if found is not None else None  # it keeps its place in time
    made = connection.execute(
        "INSERT INTO documents (id, project, owner, kind, thread) VALUES (?, ?, ?, ?, ?)",
        (number, *key, document.thread),
    )
    connection.execute("INSERT INTO texts (id, text) VALUES (?, ?)", (made.lastrowid, document.text))
    insert = "INSERT INTO words (rowid, text) VALUES (?, ?)"
    connection.execute(insert, (made.lastrowid, search_text.spaced(document.text)))
