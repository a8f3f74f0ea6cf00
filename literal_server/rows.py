"""Rows of the merge: found once a session, hidden with what belongs to them, and remembered after their purge."""

import hashlib
from collections.abc import Sequence
from typing import Any, TypeVar

from sqlalchemy import Select, bindparam, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from literal_server.tables import Attachment, PurgedId, Score, Step, Thread

Kind = TypeVar("Kind", Thread, Step, Score, Attachment)

# Made once: to put it together takes as long as to run it.
_STEPS = select(Step).where(Step.project_id == bindparam("project"), Step.id.in_(bindparam("ids", expanding=True)))


async def find(session: AsyncSession, kind: type[Kind], project: str, identity: str) -> Kind | None:
    """Answer the row with this id, deleted or not; one that was added in this session is found without a flush."""
    known: dict[Any, Any] = session.info
    key = (kind, project, identity)
    if key not in known:
        with session.no_autoflush:
            known[key] = await session.get(kind, (project, identity))
    found: Kind | None = known[key]
    return found


async def find_ahead(session: AsyncSession, project: str, step_ids: Sequence[str]) -> None:
    """Read the steps of a batch in one statement, so that `find` knows which are there and which are new."""
    unknown = [one for one in step_ids if (Step, project, one) not in session.info]
    if unknown:
        session.info.update({(Step, project, identity): None for identity in unknown})
        with session.no_autoflush:
            stored = await session.scalars(_STEPS, {"project": project, "ids": unknown})
        session.info.update({(Step, project, row.id): row for row in stored})


def add(session: AsyncSession, row: Thread | Step | Score | Attachment) -> None:
    """Add a new row, so that `find` knows it at once."""
    session.info[(type(row), row.project_id, row.id)] = row
    session.add(row)


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
    purged = await session.get(PurgedId, (project, purged_digest(kind, identity)))
    return None if purged is None else purged.deleted_at
