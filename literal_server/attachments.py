"""Attachments of steps: made, changed, found and deleted one by one."""

import uuid
from collections.abc import Mapping
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from literal_server import clock
from literal_server.errors import NotFound
from literal_server.tables import Attachment, Step

_COLUMNS = {
    "name": "name",
    "mime": "mime",
    "object_key": "object_key",
    "url": "url",
    "metadata": "metadata_",
}


async def find(session: AsyncSession, project: str, identity: str) -> Attachment | None:
    """Answer the living attachment with this id."""
    found = await session.get(Attachment, (project, identity))
    return found if found is not None and found.deleted_at is None else None


async def thread_of(session: AsyncSession, project: str, attachment: Attachment) -> str | None:
    """Answer the thread of an attachment: as it was told, else that of its step, None while neither is known."""
    if attachment.thread_id or not attachment.step_id:
        return attachment.thread_id or None
    step = await session.get(Step, (project, attachment.step_id))
    return step.thread_id if step is not None else None


async def create(session: AsyncSession, project: str, step_id: str, given: Mapping[str, Any]) -> Attachment:
    """Add an attachment under a new id to a step, which may not be there yet; deleted if the step is."""
    step = await session.get(Step, (project, step_id))
    made = Attachment(
        project_id=project,
        id=str(uuid.uuid4()),
        step_id=step_id,
        created_at=clock.now(),
        deleted_at=step.deleted_at if step is not None else None,
        **{column: given.get(key) for key, column in _COLUMNS.items()},
    )
    session.add(made)
    return made


async def change(session: AsyncSession, project: str, identity: str, changes: Mapping[str, Any]) -> Attachment:
    """Change an attachment: what is not given stays, null empties, but a name stays a name. Raises NotFound."""
    found = await find(session, project, identity)
    if found is None:
        raise NotFound("attachment", identity)
    for key, column in _COLUMNS.items():
        if key in changes and (changes[key] is not None or key != "name"):
            setattr(found, column, changes[key])
    return found


async def delete(session: AsyncSession, project: str, identity: str) -> Attachment | None:
    """Hide an attachment, None when there is none."""
    found = await find(session, project, identity)
    if found is not None:
        found.deleted_at = clock.now()
    return found
