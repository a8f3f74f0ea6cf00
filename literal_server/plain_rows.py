"""Steps and threads as plain objects, read and written with plain statements in the writer's thread.

The mapped classes watch each of their thirty attributes, and a session crosses to the thread of the database with every
statement: for a batch of steps that took several times as long as the merge and SQLite together. Here is only what
batches need. The columns, and how their values are kept, come from the mapped classes.
"""

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from operator import attrgetter
from typing import Any, Generic, Protocol, TypeVar

from sqlalchemy.dialects import sqlite

from literal_server import clock, json_text
from literal_server.rows import purged_digest
from literal_server.tables import PurgedId, Step, Thread

Key = tuple[str, str]
"""Project and id."""

# So many rows one statement looks up. Few sizes: the connection keeps the statements that it knows.
_LOOKED_UP = (1, 5, 20, 50, 200)

# So many rows one statement stores. A row each would let go of the interpreter's lock for each row, and while the event
# loop is busy it takes milliseconds to get it back.
_INSERTED = 10


class NotPlain(Exception):  # noqa: N818 - leads to the general way, is nobody's error
    """What needs more than the rows of steps and threads: the transaction is undone, and done again in a session."""


@dataclass(slots=True)
class PlainStep:
    """A step: the columns of `Step` as plain attributes, which the merge can lay as it lays those of a row."""

    project_id: str
    id: str
    thread_id: str | None = None
    parent_id: str | None = None
    root_run_id: str | None = None
    type: str = "undefined"
    name: str | None = None
    environment: str | None = None
    start_time: int | None = None
    end_time: int | None = None
    created_at: int = 0
    updated_at: int = 0
    deleted_at: int | None = None
    purged_at: int | None = None
    is_error: bool = False
    model: str | None = None
    provider: str | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    token_count: int | None = None
    duration: float | None = None
    prompt_id: str | None = None
    cost: float | None = None
    error: str | None = None
    tags: list[str] | None = None
    metadata_: Any = None
    input: Any = None
    output: Any = None
    generation: dict[str, Any] | None = None
    stamps: dict[str, Any] | None = None
    payloads: dict[str, Any] | None = None
    writer: str | None = None
    sequence: int | None = None


@dataclass(slots=True)
class PlainThread:
    """A thread: the columns of `Thread` as plain attributes."""

    project_id: str
    id: str
    name: str | None = None
    participant_id: str | None = None
    environment: str | None = None
    created_at: int = 0
    deleted_at: int | None = None
    deleted_by: str | None = None
    last_activity: int = 0
    first_start: int | None = None
    last_end: int | None = None
    token_count: int = 0
    cost: float = 0.0
    unpriced_count: int = 0
    error_count: int = 0
    turn_count: int = 0
    open_count: int = 0
    reviewed_at: int | None = None
    reviewed_by: str | None = None
    tags: Any = ()
    metadata_: Any = None
    payloads: dict[str, Any] | None = None
    writers: dict[str, Any] | None = None


class _Plain(Protocol):
    project_id: str
    id: str


Row = TypeVar("Row", bound=_Plain)


class _Table(Generic[Row]):
    """How the rows of a mapped class are read and written as objects of a plain one, attribute by attribute."""

    def __init__(self, mapped: type[Step] | type[Thread], plain: type[Row]) -> None:
        dialect = sqlite.dialect(json_serializer=json_text.dumps, json_deserializer=json_text.loads)
        attributes = list(mapped.__mapper__.column_attrs)
        columns = [attribute.columns[0] for attribute in attributes]
        kinds = [column.type.dialect_impl(dialect) for column in columns]
        self._plain = plain
        self._names = [attribute.key for attribute in attributes]
        self._values = attrgetter(*self._names)
        self._columns = dict(zip(self._names, (column.name for column in columns), strict=True))
        self._binders = dict(zip(self._names, (kind.bind_processor(dialect) for kind in kinds), strict=True))
        self._readers = [kind.result_processor(dialect, None) for kind in kinds]
        self._table = mapped.__tablename__
        named = ", ".join(self._columns.values())
        marks = ", ".join("?" * len(columns))
        begin = f"INSERT INTO {self._table} ({named}) VALUES "  # noqa: S608 - names of ours
        self._inserts = [begin + ", ".join([f"({marks})"] * count) for count in range(_INSERTED + 1)]
        self._select = f"SELECT {named} FROM {self._table} WHERE project_id = ? AND id IN "  # noqa: S608 - names of ours

    def read(self, connection: sqlite3.Connection, project: str, ids: Sequence[str]) -> Iterator[Row]:
        """Read the rows that there are of these ids."""
        for start in range(0, len(ids), _LOOKED_UP[-1]):
            some = ids[start : start + _LOOKED_UP[-1]]
            size = next(size for size in _LOOKED_UP if size >= len(some))
            query = f"{self._select}({', '.join('?' * size)})"
            wanted = (project, *some, *[some[-1]] * (size - len(some)))
            for row in connection.execute(query, wanted):
                given = zip(row, self._readers, strict=True)
                values = [value if value is None or read is None else read(value) for value, read in given]
                yield self._plain(**dict(zip(self._names, values, strict=True)))

    def values(self, row: Row) -> tuple[Any, ...]:
        """Answer all that the row has, to compare with later on."""
        known: tuple[Any, ...] = self._values(row)
        return known

    def changed(self, row: Row, stored: tuple[Any, ...]) -> list[str]:
        """Answer the names of what is not as it was."""
        pairs = zip(self._names, self._values(row), stored, strict=True)
        return [name for name, new, old in pairs if new is not old and new != old]

    def insert(self, connection: sqlite3.Connection, rows: Iterable[Row]) -> None:
        """Store new rows."""
        binders = list(self._binders.values())
        bound = [
            [value if value is None or bind is None else bind(value)
             for value, bind in zip(self._values(row), binders, strict=True)]
            for row in rows
        ]  # fmt: skip
        for start in range(0, len(bound), _INSERTED):
            some = bound[start : start + _INSERTED]
            connection.execute(self._inserts[len(some)], list(chain.from_iterable(some)))

    def update(self, connection: sqlite3.Connection, row: Row, names: Sequence[str]) -> None:
        """Store what has changed of a row, and nothing else: an index that need not change is not written to."""
        places = ", ".join(f"{self._columns[name]} = ?" for name in names)
        bound = [self._bound(name, getattr(row, name)) for name in names]
        statement = f"UPDATE {self._table} SET {places} WHERE project_id = ? AND id = ?"  # noqa: S608 - names of ours
        connection.execute(statement, (*bound, row.project_id, row.id))

    def _bound(self, name: str, value: Any) -> Any:
        bind: Callable[[Any], Any] | None = self._binders[name]
        return value if value is None or bind is None else bind(value)


_STEPS = _Table(Step, PlainStep)
_THREADS = _Table(Thread, PlainThread)
_PURGED = f"SELECT 1 FROM {PurgedId.__tablename__} WHERE project_id = ? AND digest = ?"  # noqa: S608 - a name of ours


class _Known(Generic[Row]):
    """The rows of one table that a transaction has asked for, with what they were when they were read."""

    def __init__(self, table: _Table[Row], connection: sqlite3.Connection) -> None:
        self._table = table
        self._connection = connection
        self._rows: dict[Key, Row | None] = {}
        self._stored: dict[Key, tuple[Any, ...]] = {}

    def read(self, project: str, ids: Iterable[str]) -> None:
        """Read those that are not known yet."""
        unknown = [one for one in dict.fromkeys(ids) if (project, one) not in self._rows]
        self._rows.update({(project, one): None for one in unknown})
        for row in self._table.read(self._connection, project, unknown):
            self._rows[project, row.id] = row
            self._stored[project, row.id] = self._table.values(row)

    def get(self, project: str, identity: str) -> Row | None:
        """Answer the row with this id, None where there is none."""
        if (project, identity) not in self._rows:
            self.read(project, [identity])
        return self._rows[project, identity]

    def add(self, row: Row) -> Row:
        """Add a new row."""
        self._rows[row.project_id, row.id] = row
        return row

    def is_changed(self, row: Row) -> bool:
        """Say whether a row was stored before, and is not as it was."""
        stored = self._stored.get((row.project_id, row.id))
        return stored is not None and bool(self._table.changed(row, stored))

    def write(self) -> None:
        """Store what is new and what has changed."""
        rows = {key: row for key, row in self._rows.items() if row is not None}
        self._table.insert(self._connection, (row for key, row in rows.items() if key not in self._stored))
        for key, stored in self._stored.items():
            if names := self._table.changed(rows[key], stored):
                self._table.update(self._connection, rows[key], names)

    @property
    def found(self) -> list[Key]:
        """The keys of the rows that there are."""
        return [key for key, row in self._rows.items() if row is not None]


class PlainRows:
    """The steps and threads of one transaction. For the writer's thread; `info` is that of sessions."""

    def __init__(self, connection: sqlite3.Connection, info: Mapping[str, Any]) -> None:
        self.info = info
        self.steps = _Known(_STEPS, connection)
        self.threads = _Known(_THREADS, connection)
        self._connection = connection

    def thread(self, project: str, identity: str) -> PlainThread:
        """Answer the thread with this id, an empty new one when there is none. Raises NotPlain for a deleted one."""
        thread = self.threads.get(project, identity)
        if thread is None:
            digest = purged_digest("thread", identity)
            if self._connection.execute(_PURGED, (project, digest)).fetchone() is not None:
                raise NotPlain
            now = clock.now()
            new = PlainThread(project, identity, created_at=now, last_activity=now, tags=[], metadata_={})
            thread = self.threads.add(new)
        if thread.deleted_at is not None:
            raise NotPlain
        return thread

    def write(self) -> None:
        """Store what is new and what has changed."""
        self.threads.write()
        self.steps.write()
