"""Steps: read as the tree of a thread, one by one and in pages; changed and deleted by hand."""

import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from literal_server import certificates, clock, fields, filters, ingest, paging, payloads, rows, totals, tree
from literal_server.db import Database
from literal_server.errors import NotFound, ThreadDeleted
from literal_server.ingest import StepReport
from literal_server.plain_rows import PlainStep
from literal_server.settings import ServerSettings
from literal_server.tables import Attachment, Participant, Score, Step, Thread

# How many ids one statement asks for.
IDS_AT_ONCE = 1_000
_LONG = ("input", "output", "generation")
_OUTLINED = tuple(name for name in PlainStep.__slots__ if name not in (*_LONG, "stamps"))


@dataclass(frozen=True)
class FullStep:
    """A step with its scores and attachments; `parent_id` is the one to show it under.

    It is a row of the database or, in an outline, a plain one.
    """

    step: Any
    parent_id: str | None
    scores: Sequence[Score] = field(default_factory=list)
    attachments: Sequence[Attachment] = field(default_factory=list)


@dataclass(frozen=True)
class Owner:
    """What a step is and where it belongs: its thread and that thread's participant, None if unknown."""

    type: str
    name: str | None
    thread: Thread | None
    participant: Participant | None


async def find_row(session: AsyncSession, project: str, identity: str) -> Step | None:
    """Answer the row of the living step with this id."""
    step = await session.get(Step, (project, identity))
    return step if step is not None and step.deleted_at is None else None


def is_there(database: Database, project: str, identity: str) -> bool:
    """Tell whether there is a living step with this id, without a session."""
    query = "SELECT 1 FROM steps WHERE project_id = ? AND id = ? AND deleted_at IS NULL"
    return database.look_up(query, (project, identity)) is not None


async def find(session: AsyncSession, project: str, identity: str) -> FullStep | None:
    """Answer the living step with this id."""
    step = await find_row(session, project, identity)
    if step is None:
        return None
    await payloads.fill(session, [step])
    return (await _completed(session, project, [(step, step.parent_id)]))[0]


async def of_threads(session: AsyncSession, project: str, thread_ids: Sequence[str]) -> dict[str, list[FullStep]]:
    """Answer the living steps of each thread: parents first, then in order, lost children under a living ancestor."""
    if not thread_ids:
        return {}
    here = (Step.project_id == project, Step.thread_id.in_(thread_ids), Step.deleted_at.is_(None))
    found = (await session.scalars(select(Step).where(*here))).all()
    deleted = await _parents_of_deleted(session, project, thread_ids)
    living: dict[str, list[Step]] = {identity: [] for identity in thread_ids}
    for step in found:
        living[step.thread_id or ""].append(step)
    skews = await certificates.skews(session, project, found)
    arranged = {identity: tree.arrange(living[identity], deleted[identity], skews) for identity in thread_ids}
    await payloads.fill(session, found)
    completed = await _completed(session, project, [pair for pairs in arranged.values() for pair in pairs])
    by_id = {full.step.id: full for full in completed}
    return {identity: [by_id[step.id] for step, _ in pairs] for identity, pairs in arranged.items()}


async def outline(session: AsyncSession, project: str, thread_id: str) -> list[FullStep]:
    """Answer the living steps of a thread in the same order, without what went in and out of them and the generations.

    Until `load` has read these there is no such attribute. The steps are plain ones: each part of a long thread's page
    needs the outline, and of 3,600 mapped steps it takes twice as long.
    """
    columns = [Step.__mapper__.column_attrs[name].columns[0] for name in _OUTLINED]
    here = (Step.project_id == project, Step.thread_id == thread_id, Step.deleted_at.is_(None))
    found = [_outlined(row) for row in await session.execute(select(*columns).where(*here))]
    deleted = await _parents_of_deleted(session, project, [thread_id])
    skews = await certificates.skews(session, project, found)
    return await _completed(session, project, tree.arrange(found, deleted[thread_id], skews))


def _outlined(values: Iterable[Any]) -> PlainStep:
    step = PlainStep.__new__(PlainStep)  # what is not read must not pass for empty
    for name, value in zip(_OUTLINED, values, strict=True):
        setattr(step, name, value)
    return step


async def load(session: AsyncSession, project: str, outlined: Iterable[PlainStep]) -> None:
    """Read what an outline has left out of these steps; of values too large for a row their beginnings."""
    by_id = {step.id: step for step in outlined}
    identities, columns = list(by_id), [getattr(Step, name) for name in _LONG]
    for start in range(0, len(identities), IDS_AT_ONCE):
        wanted = Step.id.in_(identities[start : start + IDS_AT_ONCE])
        found = await session.execute(select(Step.id, *columns).where(Step.project_id == project, wanted))
        for identity, *values in found:
            for name, value in zip(_LONG, values, strict=True):
                setattr(by_id[identity], name, value)


async def _parents_of_deleted(
    session: AsyncSession, project: str, thread_ids: Sequence[str]
) -> dict[str, dict[str, str | None]]:
    here = (Step.project_id == project, Step.thread_id.in_(thread_ids), Step.deleted_at.is_not(None))
    deleted: dict[str, dict[str, str | None]] = {identity: {} for identity in thread_ids}
    gone = await session.execute(select(Step.thread_id, Step.id, Step.parent_id).where(*here))
    for thread_id, identity, parent_id in gone:
        deleted[thread_id or ""][identity] = parent_id
    return deleted


async def with_generation(session: AsyncSession, project: str, thread_id: str) -> set[str]:
    """Answer the ids of a thread's steps that carry a generation."""
    here = (Step.project_id == project, Step.thread_id == thread_id, Step.deleted_at.is_(None))
    return set(await session.scalars(select(Step.id).where(*here, Step.generation.is_not(None))))


async def below(session: AsyncSession, project: str, identity: str) -> list[FullStep]:
    """Answer the living steps under a step, parents first, then by start; lost children under a living ancestor."""
    known = {identity}
    found: list[Step] = []
    layer = [identity]
    while layer:
        children = select(Step).where(Step.project_id == project, Step.parent_id.in_(layer[:IDS_AT_ONCE]))
        fresh = [step for step in await session.scalars(children) if step.id not in known]
        known |= {step.id for step in fresh}
        found += fresh
        layer = [*layer[IDS_AT_ONCE:], *(step.id for step in fresh)]
    deleted = {step.id: step.parent_id for step in found if step.deleted_at is not None}
    living = [step for step in found if step.deleted_at is None]
    await payloads.fill(session, living)
    arranged = tree.arrange(living, deleted, await certificates.skews(session, project, living))
    return [FullStep(step, parent_id or identity) for step, parent_id in arranged]


async def _completed(session: AsyncSession, project: str, pairs: Sequence[tuple[Any, str | None]]) -> list[FullStep]:
    identities = [step.id for step, _ in pairs]
    scores: dict[str, list[Score]] = {}
    attachments: dict[str, list[Attachment]] = {}
    for start in range(0, len(identities), IDS_AT_ONCE):
        part = identities[start : start + IDS_AT_ONCE]
        for score in await session.scalars(_belonging(Score, project, part)):
            scores.setdefault(score.step_id or "", []).append(score)
        for attachment in await session.scalars(_belonging(Attachment, project, part)):
            attachments.setdefault(attachment.step_id or "", []).append(attachment)
    return [
        FullStep(step, parent_id, scores.get(step.id, []), attachments.get(step.id, [])) for step, parent_id in pairs
    ]


def _belonging(table: Any, project: str, step_ids: Sequence[str]) -> Any:
    here = (table.project_id == project, table.step_id.in_(step_ids), table.deleted_at.is_(None))
    return select(table).where(*here).order_by(table.created_at, table.id)


async def list_page(
    session: AsyncSession,
    project: str,
    settings: ServerSettings,
    request: paging.PageRequest,
    *,
    given_filters: Sequence[Mapping[str, Any]] | None = None,
    given_order: Mapping[str, Any] | None = None,
    anchor: int | None = None,
) -> paging.Page[FullStep]:
    """Read one page of the living steps of the project, with their own parents. Raises Refused."""
    query = select(Step).where(
        Step.project_id == project,
        Step.deleted_at.is_(None),
        *filters.conditions(fields.STEPS, given_filters),
        *([Step.created_at <= anchor] if anchor is not None else []),
    )
    order = filters.order_by(fields.STEP_ORDERS, Step.id, given_order)
    page = await paging.read_page(session, query, order, request, settings)
    await payloads.fill(session, page.rows)
    full = await _completed(session, project, [(step, step.parent_id) for step in page.rows])
    return paging.Page(full, page.cursors, page.has_next, page.has_previous, page.total)


async def owners(session: AsyncSession, project: str, identities: Iterable[str | None]) -> dict[str, Owner]:
    """Answer by id where these steps belong; those that are not there are left out."""
    query = (
        select(Step.id, Step.type, Step.name, Thread, Participant)
        .outerjoin(Thread, (Thread.project_id == project) & (Thread.id == Step.thread_id))
        .outerjoin(
            Participant,
            (Participant.project_id == project)
            & (Participant.id == Thread.participant_id)
            & Participant.deleted_at.is_(None),
        )
        .where(Step.project_id == project, Step.id.in_(filter(None, set(identities))), Step.deleted_at.is_(None))
    )
    return {row[0]: Owner(*row[1:]) for row in await session.execute(query)}


async def create(session: AsyncSession, project: str, report: StepReport, environment: str | None = None) -> FullStep:
    """Make a step under a new id; the report's own id is not used. Raises ThreadDeleted."""
    report = replace(report, id=str(uuid.uuid4()))
    step = await ingest.ingest_step(session, project, report, environment=environment, edit=True)
    if step is None:
        raise ThreadDeleted
    await session.flush()
    await payloads.fill(session, [step])
    return FullStep(step, step.parent_id)


async def change(session: AsyncSession, project: str, report: StepReport) -> FullStep:
    """Change a step that is there; None keeps. Raises NotFound."""
    if await find(session, project, report.id) is None:
        raise NotFound("step", report.id)
    await ingest.ingest_step(session, project, report, edit=True)
    await session.flush()
    changed = await find(session, project, report.id)
    if changed is None:
        raise NotFound("step", report.id)
    return changed


async def delete(session: AsyncSession, project: str, identity: str) -> Step | None:
    """Hide a step with its scores and attachments, None when there was none; its children stay.

    An id that is not known yet is remembered as deleted: reports of it may still be under way.
    """
    now = clock.now()
    step = await rows.find(session, Step, project, identity)
    if step is not None and step.deleted_at is not None:
        return None
    await rows.hide_belongings(session, project, [identity], now)
    if step is None:
        rows.add(session, Step(project_id=project, id=identity, type="undefined", is_error=False,
                               created_at=now, updated_at=now, deleted_at=now))  # fmt: skip
        return None
    step.deleted_at = step.updated_at = now
    if step.thread_id is not None:
        await totals.recount(session, await totals.ensure_thread(session, project, step.thread_id))
    return step
