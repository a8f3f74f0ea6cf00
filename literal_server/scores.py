"""Scores: given to steps by people, code or models; changed, deleted and read in pages."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from literal_server import clock, fields, filters, ingest, paging
from literal_server.errors import NotFound, Refused
from literal_server.json_text import as_number
from literal_server.settings import ServerSettings
from literal_server.tables import Score


async def create(session: AsyncSession, project: str, given: Mapping[str, Any]) -> Score:
    """Store a new score under a new id. Raises Refused when it has no name or no finite value."""
    fields = ingest.as_score(given)
    fields["step_id"] = fields["step_id"] or fields["generation_id"]
    return await ingest.new_score(session, project, fields)


async def change(session: AsyncSession, project: str, identity: str, changes: Mapping[str, Any]) -> Score:
    """Change value and comment of a score; a comment that is not given stays, null empties it. Raises NotFound."""
    score = await _living(session, project, identity)
    if score is None:
        raise NotFound("score", identity)
    value = as_number(changes.get("value"))
    if value is None:
        raise Refused("A score's value is a finite number.")
    score.value = value
    if "comment" in changes:
        score.comment = changes["comment"]
    score.updated_at = clock.now()
    return score


async def delete(session: AsyncSession, project: str, identity: str) -> Score | None:
    """Hide a score, None when there is none."""
    score = await _living(session, project, identity)
    if score is not None:
        score.deleted_at = clock.now()
    return score


async def _living(session: AsyncSession, project: str, identity: str) -> Score | None:
    score = await session.get(Score, (project, identity))
    return score if score is not None and score.deleted_at is None else None


async def list_page(
    session: AsyncSession,
    project: str,
    settings: ServerSettings,
    request: paging.PageRequest,
    *,
    given_filters: Sequence[Mapping[str, Any]] | None = None,
    given_order: Mapping[str, Any] | None = None,
    anchor: int | None = None,
) -> paging.Page[Score]:
    """Read one page of the living scores of the project. Raises Refused."""
    query = select(Score).where(
        Score.project_id == project,
        Score.deleted_at.is_(None),
        *filters.conditions(fields.SCORES, given_filters),
        *([Score.created_at <= anchor] if anchor is not None else []),
    )
    order = filters.order_by(fields.SCORE_ORDERS, Score.id, given_order)
    return await paging.read_page(session, query, order, request, settings)
