"""Rows of the merge: found once a session, hidden with what belongs to them, and remembered after their purge."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar, cast

from sqlalchemy import Select, Table, bindparam, insert, inspect, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from literal_server.tables import Attachment, PurgedId, Score, Step, Thread

Ahead = TypeVar("Ahead", Thread, Step)
Kind = TypeVar("Kind", Thread, Step, Score, Attachment)

_NEW_STEPS = "new_steps"


@dataclass(slots=True)
class NewStep:
    """A step that is not in the database yet: the columns of `Step` as plain attributes, which the merge can lay.

    The mapped class watches each of its thirty attributes, and costs a new step more than all the rest of its merge.
    A new step is stored with the next `flush`; who wants it back gets the row.
    """

    project_id: str
    id: str
    type: str
    created_at: int
    updated_at: int
    thread_id: str | None = None
    parent_id: str | None = None
    root_run_id: str | None = None
    name: str | None = None
    environment: str | None = None
    start_time: int | None = None
    end_time: int | None = None
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


_STEPS = cast(Table, Step.__table__)
_COLUMNS = [(attribute.key, attribute.columns[0].name) for attribute in inspect(Step).column_attrs]


# Made once: to put them together takes as long as to run them.
_STORED: Mapping[Any, Select[Any]] = {
    kind: select(kind).where(kind.project_id == bindparam("project"), kind.id.in_(bindparam("ids", expanding=True)))
    for kind in (Step, Thread)
}
_PURGED = select(PurgedId).where(
    PurgedId.project_id == bindparam("project"), PurgedId.digest.in_(bindparam("digests", expanding=True))
)


async def find(session: AsyncSession, kind: type[Kind], project: str, identity: str) -> Kind | None:
    """Answer the row with this id, deleted or not; one that was added in this session is found without a flush."""
    known: dict[Any, Any] = session.info
    key = (kind, project, identity)
    if isinstance(known.get(key), NewStep):
        await flush(session)
    if key not in known:
        with session.no_autoflush:
            known[key] = await session.get(kind, (project, identity))
    found: Kind | None = known[key]
    return found


async def find_to_change(session: AsyncSession, project: str, identity: str) -> Step | NewStep | None:
    """Answer a step with this id as `find` does, a new one as it is before it is stored."""
    known = session.info.get((Step, project, identity))
    return known if isinstance(known, NewStep) else await find(session, Step, project, identity)


async def find_ahead(
    session: AsyncSession, project: str, step_ids: Sequence[str], thread_ids: Iterable[str | None] = ()
) -> None:
    """Read the rows of a batch in a statement for each kind, so that `find` knows which are there and which are new."""
    await _know(session, Step, project, step_ids)
    threads = [one for one in dict.fromkeys(thread_ids) if one is not None]
    await _know(session, Thread, project, threads)
    new = [purged_digest("thread", one) for one in threads if session.info[(Thread, project, one)] is None]
    if new:
        session.info.update({(PurgedId, project, digest): None for digest in new})
        with session.no_autoflush:
            purged = await session.scalars(_PURGED, {"project": project, "digests": new})
        session.info.update({(PurgedId, project, one.digest): one for one in purged})


async def _know(session: AsyncSession, kind: type[Ahead], project: str, identities: Sequence[str]) -> None:
    unknown = [one for one in identities if (kind, project, one) not in session.info]
    if unknown:
        session.info.update({(kind, project, identity): None for identity in unknown})
        with session.no_autoflush:
            stored = await session.scalars(_STORED[kind], {"project": project, "ids": unknown})
        session.info.update({(kind, project, row.id): row for row in stored})


def add(session: AsyncSession, row: Thread | Step | NewStep | Score | Attachment) -> None:
    """Add a new row, so that `find` knows it at once."""
    if isinstance(row, NewStep):
        session.info[(Step, row.project_id, row.id)] = row
        session.info.setdefault(_NEW_STEPS, []).append(row)
        return
    session.info[(type(row), row.project_id, row.id)] = row
    session.add(row)


async def flush(session: AsyncSession) -> None:
    """Send everything that was added or changed to the database."""
    new: list[NewStep] = session.info.pop(_NEW_STEPS, [])
    if new:
        values = [{column: getattr(row, name) for name, column in _COLUMNS} for row in new]
        await (await session.connection()).execute(insert(_STEPS), values)
        for row in new:
            del session.info[(Step, row.project_id, row.id)]
    await session.flush()


async def hide_belongings(
    session: AsyncSession, project: str, step_ids: Select[Any] | Sequence[str], moment: int
) -> None:
    """Delete the living scores and attachments of steps, at the moment at which the steps were deleted."""
    for table in (Attachment, Score):
        living = (table.project_id == project, table.step_id.in_(step_ids), table.deleted_at.is_(None))
        await session.execute(update(table).where(*living).values(deleted_at=moment))


def purged_digest(kind: str, identity: str) -> str:
    """The form in which the id of a purged row is remembered: ids may be texts of a person."""
    return hashlib.sha256(f"{kind}\0{identity}".encode("utf-8", "surrogatepass")).hexdigest()


async def deletion_before_purge(session: AsyncSession, project: str, kind: str, identity: str) -> int | None:
    """Answer when a row was deleted that is purged by now, None when there was no such row."""
    known, key = session.info, (PurgedId, project, purged_digest(kind, identity))
    purged = known[key] if key in known else await session.get(PurgedId, key[1:])
    return None if purged is None else purged.deleted_at
