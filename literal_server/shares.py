"""Links that show one thread to whoever has them, until they expire or are revoked. Only a digest of a link is kept."""

import hashlib
import secrets
import uuid
from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from literal_server import clock, threads
from literal_server.errors import NotFound, Refused
from literal_server.review_tables import Share

LONGEST_DAYS, MOST_SHARES = 365, 100
_DAY = 24 * 60 * 60 * 1_000_000
_TOKEN_BYTES = 24


async def create(session: AsyncSession, project: str, thread_id: str, by: str, days: int) -> str:
    """Make a link to a thread and answer its token, which is not kept. Raises NotFound and Refused."""
    if not 1 <= days <= LONGEST_DAYS:
        raise Refused(f"A link lasts 1 to {LONGEST_DAYS} days.")
    if await threads.find(session, project, thread_id) is None:
        raise NotFound("thread", thread_id)
    if len(await of_thread(session, project, thread_id)) >= MOST_SHARES:
        raise Refused(f"A thread has at most {MOST_SHARES} links.")
    token, now = secrets.token_urlsafe(_TOKEN_BYTES), clock.now()
    session.add(
        Share(
            project_id=project,
            id=str(uuid.uuid4()),
            thread_id=thread_id,
            digest=_digest(token),
            created_by=by,
            created_at=now,
            expires_at=now + days * _DAY,
        )
    )
    return token


async def find(session: AsyncSession, token: str) -> Share | None:
    """Answer the link of a token, open or not (`is_open`)."""
    return await session.scalar(select(Share).where(Share.digest == _digest(token)))


def is_open(share: Share, now: int) -> bool:
    """Say whether a link still shows its thread."""
    return share.revoked_at is None and now < share.expires_at


async def revoke(session: AsyncSession, project: str, thread_id: str, identity: str) -> None:
    """Close a link from now on. Raises NotFound."""
    share = await session.get(Share, (project, identity))
    if share is None or share.thread_id != thread_id:
        raise NotFound("link", identity)
    share.revoked_at = share.revoked_at or clock.now()


async def of_thread(session: AsyncSession, project: str, thread_id: str) -> Sequence[Share]:
    """Answer the links of a thread, the newest first."""
    here = (Share.project_id == project, Share.thread_id == thread_id)
    return (await session.scalars(select(Share).where(*here).order_by(Share.created_at.desc(), Share.id))).all()


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()
