"""The users of a recorded application: found by id or by identifier, made when first heard of."""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from literal_server import clock, fields, filters, paging, rows
from literal_server.errors import NotFound, Refused
from literal_server.settings import ServerSettings
from literal_server.tables import Participant


@dataclass(frozen=True)
class Engagement:
    """How much a participant took part: last moment (microseconds or None), number of threads, tokens."""

    last_engaged: int | None
    thread_count: int
    token_count: int


async def find(
    session: AsyncSession, project: str, *, identity: str | None = None, identifier: str | None = None
) -> Participant | None:
    """Answer the living participant with this id or, exactly, this identifier."""
    query = select(Participant).where(Participant.project_id == project, Participant.deleted_at.is_(None))
    if identity is not None:
        return await session.scalar(query.where(Participant.id == identity))
    return await session.scalar(query.where(Participant.identifier == identifier))


async def of_ids(session: AsyncSession, project: str, identities: Sequence[str]) -> dict[str, Participant]:
    """Answer the living participants among these ids, by id."""
    query = select(Participant).where(
        Participant.project_id == project, Participant.id.in_(identities), Participant.deleted_at.is_(None)
    )
    return {one.id: one for one in await session.scalars(query)} if identities else {}


async def create(session: AsyncSession, project: str, identifier: str, metadata: Any = None) -> Participant:
    """Make a participant, or answer the one that has the identifier, with the metadata if some is given."""
    found = await find(session, project, identifier=identifier)
    if found is None:
        found = Participant(
            project_id=project, id=str(uuid.uuid4()), identifier=identifier, created_at=clock.now(), metadata_={}
        )
        session.add(found)
    if metadata is not None:
        found.metadata_ = _as_object(metadata)
    return found


async def update(
    session: AsyncSession, project: str, identity: str, identifier: str | None = None, metadata: Any = None
) -> Participant:
    """Change a participant; None keeps what is there. Raises NotFound, and Refused for an identifier that is taken."""
    found = await find(session, project, identity=identity)
    if found is None:
        raise NotFound("participant", identity)
    if identifier is not None and identifier != found.identifier:
        if await find(session, project, identifier=identifier) is not None:
            raise Refused(f"Another participant has the identifier {identifier!r}.")
        found.identifier = identifier
    if metadata is not None:
        found.metadata_ = _as_object(metadata)
    return found


async def delete(session: AsyncSession, project: str, identity: str) -> Participant | None:
    """Delete a participant, None when there is none; the threads stay, without a user."""
    found = await find(session, project, identity=identity)
    if found is not None:
        found.deleted_at = clock.now()
    return found


async def resolve(session: AsyncSession, project: str, given: str) -> str | None:
    """Answer the id for a participant named by id or identifier; an unknown name becomes a new participant.

    The id of a deleted participant stays what it is and that of a purged one becomes None, so that nobody comes back
    from a late report.
    """
    if await session.get(Participant, (project, given)) is not None:
        return given
    found = await find(session, project, identifier=given)
    if found is None and await rows.deletion_before_purge(session, project, "participant", given):
        return None
    return (found or await create(session, project, given)).id


async def list_page(
    session: AsyncSession,
    project: str,
    settings: ServerSettings,
    request: paging.PageRequest,
    *,
    given_filters: Sequence[Mapping[str, Any]] | None = None,
    anchor: int | None = None,
) -> paging.Page[Participant]:
    """Read one page of the living participants, newest first; `anchor` leaves out those made after that moment."""
    query = select(Participant).where(
        Participant.project_id == project,
        Participant.deleted_at.is_(None),
        *filters.conditions(fields.PARTICIPANTS, given_filters),
        *([Participant.created_at <= anchor] if anchor is not None else []),
    )
    order = paging.Order(Participant.created_at, Participant.id)
    return await paging.read_page(session, query, order, request, settings)


async def engagements(session: AsyncSession, project: str, identities: Sequence[str]) -> dict[str, Engagement]:
    """Answer by id how much each of the participants took part."""
    query = select(Participant.id, fields.LAST_ENGAGED, fields.THREAD_COUNT, fields.TOKEN_COUNT).where(
        Participant.project_id == project, Participant.id.in_(identities)
    )
    return {row[0]: Engagement(*row[1:]) for row in await session.execute(query)}


def _as_object(metadata: Any) -> dict[str, Any]:
    return metadata if isinstance(metadata, dict) else {"value": metadata}
