"""Generations as rows: each is a step that carries one, and has the step's id."""

import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from literal_server import fields, filters, generations, ingest, json_text, paging, payloads, steps
from literal_server.errors import Refused
from literal_server.ingest import StepReport
from literal_server.settings import ServerSettings
from literal_server.tables import Step


async def find(session: AsyncSession, project: str, identity: str) -> Step | None:
    """Answer the living step with this id, if it carries a generation."""
    step = await steps.find_row(session, project, identity)
    if step is None or not step.generation:
        return None
    await payloads.fill(session, [step])
    return step


async def create(session: AsyncSession, project: str, given: Any, environment: str | None = None) -> Step:
    """Store a generation that no step was reported for: it becomes an `llm` step.

    Raises Refused when it is none, or brings the id of a step that was purged.
    """
    if not isinstance(given, Mapping):
        raise Refused("A generation is an object.")
    tags = given.get("tags")
    report = StepReport(
        id=json_text.as_text(given.get("id")) or str(uuid.uuid4()),
        type="llm",
        error=json_text.as_text(given.get("error")),
        tags=[json_text.as_text(tag) or "" for tag in tags] if isinstance(tags, list) else None,
        metadata=given.get("metadata"),
        # What says nothing but its kind is a generation too, when it is made as one.
        generation={**given, "type": generations.kind(given)},
    )
    step = await ingest.ingest_step(session, project, report, environment=environment)
    if step is None:
        raise Refused(f"The step with the id {report.id!r} was deleted for good.")
    return step


async def list_page(
    session: AsyncSession,
    project: str,
    settings: ServerSettings,
    request: paging.PageRequest,
    *,
    given_filters: Sequence[Mapping[str, Any]] | None = None,
    given_order: Mapping[str, Any] | None = None,
    anchor: int | None = None,
) -> paging.Page[Step]:
    """Read one page of the living steps that carry a generation. Raises Refused."""
    query = select(Step).where(
        Step.project_id == project,
        Step.deleted_at.is_(None),
        Step.generation.is_not(None),
        *filters.conditions(fields.GENERATIONS, given_filters),
        *([Step.created_at <= anchor] if anchor is not None else []),
    )
    order = filters.order_by(fields.GENERATION_ORDERS, Step.id, given_order)
    page = await paging.read_page(session, query, order, request, settings)
    await payloads.fill(session, page.rows)
    return page
