"""The export: lines of a project, of the threads that a filter takes, or of one thread, a few rows in memory."""

from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, exists, func, select, tuple_
from sqlalchemy.ext.asyncio import AsyncSession

from literal_server import clock, fields, files, filters, payloads, tree
from literal_server.collection_tables import Dataset, DatasetItem, Experiment, ExperimentItem
from literal_server.db import Database
from literal_server.exchange import lines
from literal_server.exchange.stored import file_lines
from literal_server.files import FileStore
from literal_server.review_tables import Comment
from literal_server.tables import Attachment, Participant, Project, Score, Step, StoredFile, Thread

Line = dict[str, Any]

# Rows read at once: of threads (small), and of steps (up to megabytes each).
_THREADS_AT_ONCE = 200
_STEPS_AT_ONCE = 20


@dataclass(frozen=True)
class Selection:
    """What an export takes: everything of a project, or only the threads that fit these filters."""

    project: Project
    store: FileStore
    filters: Sequence[Mapping[str, Any]] | None = None
    deleted: bool = False

    @property
    def whole(self) -> bool:
        """Whether it takes the project, not only some threads."""
        return self.filters is None

    def of(self, table: Any) -> list[ColumnElement[bool]]:
        """The conditions that every row of a table has to meet."""
        wanted = [table.project_id == self.project.id]
        return wanted if self.deleted or not hasattr(table, "deleted_at") else [*wanted, table.deleted_at.is_(None)]

    def threads(self) -> list[ColumnElement[bool]]:
        """The conditions of the threads. Raises Refused when the filters make no sense."""
        return [*self.of(Thread), *filters.conditions(fields.THREADS, self.filters)]


async def export(database: Database, selection: Selection) -> AsyncIterator[Line]:
    """Yield the lines of an export, the head first and the counts last. Raises Refused when the filters are wrong."""
    yield {
        "kind": lines.HEAD,
        "schema": lines.SCHEMA,
        "project": selection.project.name,
        "exportedAt": clock.format_time(clock.now()),
        "filters": selection.filters,
        "deleted": selection.deleted,
    }
    counts: Counter[str] = Counter()
    async for line in _content(database, selection):
        counts[line["kind"]] += 1
        yield line
    yield {"kind": lines.END, "counts": dict(counts)}


async def _content(database: Database, selection: Selection) -> AsyncIterator[Line]:
    if selection.whole:
        async for line in _rows(database, selection, "participant"):
            yield line
    async for line in _threads(database, selection):
        yield line
    if not selection.whole:
        return
    alone = [*selection.of(Step), Step.thread_id.is_(None)]
    async for session, steps in pages(database, Step, alone, _STEPS_AT_ONCE):
        told = await _step_lines(session, selection, steps, {})
        async for line in _files_of(session, selection, told):
            yield line
        for line in told:
            yield line
    for kind, table in (("score", Score), ("attachment", Attachment)):
        async for line in _rows(database, selection, kind, _without_step(selection, table)):
            yield line
    for kind in ("prompt", "prompt_version", "prompt_variant"):
        async for line in _rows(database, selection, kind):
            yield line
    for kind, parent, link in _WITH_PARENT:
        of_parent = exists().where(*selection.of(parent), parent.id == link) if parent else None
        async for line in _rows(database, selection, kind, *([] if of_parent is None else [of_parent])):
            yield line


# The items of a deleted list are not deleted themselves, and go with it.
_WITH_PARENT: Sequence[tuple[str, Any, Any]] = (
    ("dataset", None, None),
    ("dataset_item", Dataset, DatasetItem.dataset_id),
    ("experiment", None, None),
    ("experiment_item", Experiment, ExperimentItem.experiment_id),
)


def _without_step(selection: Selection, table: Any) -> ColumnElement[bool]:
    alone = ~exists().where(*selection.of(Step), Step.id == table.step_id)
    return alone & table.thread_id.is_(None) if table is Score else alone


async def pages(
    database: Database, table: Any, conditions: Sequence[ColumnElement[bool]], size: int
) -> AsyncIterator[tuple[AsyncSession, Sequence[Any]]]:
    """Yield rows in the order in which they were made, some at a time, each time with a session of its own.

    One session for all would hold the write-ahead log back for as long as the reader of the export takes.
    """
    query = select(table).where(*conditions).order_by(table.created_at, table.id).limit(size)
    after: tuple[int, str] | None = None
    while True:
        async with database.reading() as session:
            part = query if after is None else query.where(tuple_(table.created_at, table.id) > tuple_(*after))
            found = (await session.scalars(part)).all()
            yield session, found
        if len(found) < size:
            return
        after = (found[-1].created_at, found[-1].id)


async def _rows(
    database: Database, selection: Selection, kind: str, *conditions: ColumnElement[bool]
) -> AsyncIterator[Line]:
    table = lines.KINDS[kind]
    async for _, found in pages(database, table, [*selection.of(table), *conditions], _THREADS_AT_ONCE):
        for row in found:
            yield {"kind": kind, **lines.write_row(row)}


async def _threads(database: Database, selection: Selection) -> AsyncIterator[Line]:
    told: set[str] = set()
    async for session, found in pages(database, Thread, selection.threads(), _THREADS_AT_ONCE):
        named = (Participant.id.in_({thread.participant_id for thread in found}), *selection.of(Participant))
        await payloads.fill(session, found, limited=False)
        users = {user.id: user for user in await session.scalars(select(Participant).where(*named))}
        for thread in found:
            user = users.get(thread.participant_id or "")
            if user is not None and not selection.whole and user.id not in told:
                told.add(user.id)
                yield {"kind": "participant", **lines.write_row(user)}
            yield _thread_line(thread, user) | await _review_of(session, selection, thread)
            async for line in _steps_of(session, selection, thread):
                yield line


async def _files_of(session: AsyncSession, selection: Selection, steps: Sequence[Line]) -> AsyncIterator[Line]:
    """Yield the stored files that attachments of these step lines name."""
    keys = [one["objectKey"] for line in steps for one in line.get("attachments", []) if "objectKey" in one]
    identities = {key.removeprefix(files.object_key("")) for key in keys}
    stored = select(StoredFile).where(StoredFile.project_id == selection.project.id, StoredFile.id.in_(identities))
    for one in await session.scalars(stored.order_by(StoredFile.id)):
        async for line in file_lines(selection.store, one):
            yield line


def _thread_line(thread: Thread, user: Participant | None) -> Line:
    line = {"kind": "thread", **lines.write_row(thread)}
    line.pop("participantId", None)
    if user is not None:
        line["participant"] = {"id": user.id, "identifier": user.identifier}
    return line


async def _review_of(session: AsyncSession, selection: Selection, thread: Thread) -> Line:
    """Answer the scores of the whole thread and its comments, as the thread's line holds them."""
    told = {}
    for name, table in (("scores", Score), ("comments", Comment)):
        here = (*selection.of(table), table.thread_id == thread.id)
        found = await session.scalars(select(table).where(*here).order_by(table.created_at, table.id))
        told[name] = [lines.write_row(row) for row in found]
    return {name: rows for name, rows in told.items() if rows}


async def _steps_of(session: AsyncSession, selection: Selection, thread: Thread) -> AsyncIterator[Line]:
    """Yield the steps of a thread by their start. Of all of them only ids are in memory at once."""
    start = func.coalesce(Step.start_time, Step.created_at)
    here = (Step.project_id == thread.project_id, Step.thread_id == thread.id)
    structure = select(Step.id, Step.parent_id, Step.deleted_at).where(*here).order_by(start, Step.created_at, Step.id)
    found = (await session.execute(structure)).all()
    deleted = {identity: parent for identity, parent, deleted_at in found if deleted_at is not None}
    living = {identity: parent for identity, parent, _ in found if identity not in deleted}
    # A child of a step that stays behind hangs on the nearest ancestor that comes along, as the readers see it.
    lost = {} if selection.deleted else {child: parent for child, parent in living.items() if parent in deleted}
    parents = {child: tree.living_parent(parent, living, deleted) for child, parent in lost.items()}
    identities = [row.id for row in found if selection.deleted or row.id in living]
    for first in range(0, len(identities), _STEPS_AT_ONCE):
        part = identities[first : first + _STEPS_AT_ONCE]
        rows = {row.id: row for row in await session.scalars(select(Step).where(*here, Step.id.in_(part)))}
        told = await _step_lines(session, selection, [rows[identity] for identity in part], parents)
        async for line in _files_of(session, selection, told):
            yield line
        for line in told:
            yield line
        session.expunge_all()


async def _step_lines(
    session: AsyncSession, selection: Selection, steps: Sequence[Step], parents: Mapping[str, str | None]
) -> list[Line]:
    await payloads.fill(session, steps, limited=False)
    identities = [step.id for step in steps]
    belongings: dict[str, dict[str, list[Line]]] = {step.id: {} for step in steps}
    tables: tuple[tuple[str, Any], ...] = (("scores", Score), ("attachments", Attachment))
    for name, table in tables:
        of_steps = (*selection.of(table), table.step_id.in_(identities))
        for row in await session.scalars(select(table).where(*of_steps).order_by(table.created_at, table.id)):
            belongings[row.step_id or ""].setdefault(name, []).append(lines.write_row(row))
    told = []
    for step in steps:
        line = {"kind": "step", **lines.write_row(step), **belongings[step.id]}
        if step.id in parents:
            line["parentId"] = parents[step.id]
        told.append(line)
    return told
