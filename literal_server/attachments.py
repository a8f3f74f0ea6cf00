"""Attachments of steps: one by one, as the chat asks for them."""

from sqlalchemy.ext.asyncio import AsyncSession

from literal_server import clock
from literal_server.tables import Attachment


async def find(session: AsyncSession, project: str, identity: str) -> Attachment | None:
    """Answer the living attachment with this id."""
    found = await session.get(Attachment, (project, identity))
    return found if found is not None and found.deleted_at is None else None


async def delete(session: AsyncSession, project: str, identity: str) -> Attachment | None:
    """Hide an attachment, None when there is none."""
    found = await find(session, project, identity)
    if found is not None:
        found.deleted_at = clock.now()
    return found
