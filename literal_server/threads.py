"""Threads: made, changed and deleted, read one by one and in pages."""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncSession

from literal_server import clock, fields, filters, paging, participants, payloads, rows, totals
from literal_server.errors import NotFound
from literal_server.settings import ServerSettings
from literal_server.tables import Participant, Score, Step, Thread

# A run that was never told to have ended counts as running for so long after the last sign of life.
LIVE_MICROSECONDS = 10 * 60 * 1_000_000


@dataclass(frozen=True)
class ThreadReport:
    """What a client says about a thread; None means not said. `participant` is an id or an identifier."""

    name: str | None = None
    metadata: Any = None
    participant: str | None = None
    tags: list[str] | None = None


async def find(session: AsyncSession, project: str, identity: str) -> Thread | None:
    """Answer the living thread with this id."""
    found = await session.get(Thread, (project, identity))
    if found is None or found.deleted_at is not None:
        return None
    await payloads.fill(session, [found])
    return found


async def state(session: AsyncSession, project: str, identity: str) -> str:
    """Answer `living`, `deleted` (purged or not) or `unknown`."""
    found = await session.get(Thread, (project, identity))
    if found is not None:
        return "living" if found.deleted_at is None else "deleted"
    return "unknown" if await rows.deletion_before_purge(session, project, "thread", identity) is None else "deleted"


async def create(session: AsyncSession, project: str, report: ThreadReport, environment: str | None = None) -> Thread:
    """Make a thread under a new id."""
    return await upsert(session, project, str(uuid.uuid4()), report, environment)


async def upsert(
    session: AsyncSession, project: str, identity: str, report: ThreadReport, environment: str | None = None
) -> Thread:
    """Make or change the thread with this id.

    A deleted one takes the change but stays deleted; of a purged one an empty row is answered that is not stored.
    """
    if await rows.find(session, Thread, project, identity) is None and await rows.deletion_before_purge(
        session, project, "thread", identity
    ):
        return totals.empty_thread(project, identity)
    thread = await totals.ensure_thread(session, project, identity, environment)
    if report.name:
        thread.name = report.name
    if report.metadata is not None:
        await payloads.fill(session, [thread], limited=False)
        merged = merge_metadata(thread.metadata_, report.metadata)
        thread.metadata_ = (await payloads.spill(session, thread, {"metadata": merged}))["metadata"]
    if report.tags is not None:
        thread.tags = report.tags
    if report.participant:
        thread.participant_id = await participants.resolve(session, project, report.participant)
    return thread


async def change(session: AsyncSession, project: str, identity: str, report: ThreadReport) -> Thread:
    """Change a thread that is there. Raises NotFound."""
    if await find(session, project, identity) is None:
        raise NotFound("thread", identity)
    return await upsert(session, project, identity, report)


def merge_metadata(stored: dict[str, Any], reported: Any) -> dict[str, Any]:
    """Lay the reported keys over the stored ones; a key that is reported as null goes away."""
    if not isinstance(reported, dict):
        return stored
    merged = {**stored, **reported}
    return {key: value for key, value in merged.items() if value is not None}


async def delete(session: AsyncSession, project: str, identity: str, by: str | None = None) -> Thread | None:
    """Hide a thread with all that belongs to it, None when there is none; `by` says who asked for it.

    Everything gets the thread's own moment of deletion, so that a restore knows what went with it. An id that is not
    known yet is remembered as deleted: reports of it may still be under way.
    """
    known = await rows.find(session, Thread, project, identity)
    if known is not None and known.deleted_at is not None:
        return None
    if known is None and await rows.deletion_before_purge(session, project, "thread", identity):
        return None
    thread = await totals.ensure_thread(session, project, identity)
    thread.deleted_by = by
    moment = thread.deleted_at = clock.now()
    of_thread = (Step.project_id == project, Step.thread_id == identity)
    await rows.hide_belongings(session, project, select(Step.id).where(*of_thread), moment)
    await session.execute(update(Step).where(*of_thread, Step.deleted_at.is_(None)).values(deleted_at=moment))
    of_whole = (Score.project_id == project, Score.thread_id == identity, Score.deleted_at.is_(None))
    await session.execute(update(Score).where(*of_whole).values(deleted_at=moment))
    return known


async def list_page(
    session: AsyncSession,
    project: str,
    settings: ServerSettings,
    request: paging.PageRequest,
    *,
    given_filters: Sequence[Mapping[str, Any]] | None = None,
    given_order: Mapping[str, Any] | None = None,
    anchor: int | None = None,
) -> paging.Page[Thread]:
    """Read one page of the living threads. Raises Refused.

    `anchor` (microseconds) leaves out those made after that moment.
    """
    query = select(Thread).where(
        Thread.project_id == project,
        Thread.deleted_at.is_(None),
        *filters.conditions(fields.THREADS, given_filters),
        *([Thread.created_at <= anchor] if anchor is not None else []),
    )
    order = filters.order_by(fields.THREAD_ORDERS, Thread.id, given_order)
    page = await paging.read_page(session, query, order, request, settings)
    await payloads.fill(session, page.rows)
    return page


async def participants_of(session: AsyncSession, project: str, found: Sequence[Thread]) -> dict[str, Participant]:
    """Answer the living participants of the threads, by participant id."""
    identities = {thread.participant_id for thread in found if thread.participant_id}
    return await participants.of_ids(session, project, sorted(identities))


def duration(thread: Thread) -> float | None:
    """Answer the seconds from the first start to the last end in the thread, None while one of them is not known."""
    if thread.first_start is None or thread.last_end is None:
        return None
    return max(0, thread.last_end - thread.first_start) / 1_000_000


def is_live(thread: Thread, now: int) -> bool:
    """Say whether a run of the thread is going on."""
    return thread.open_count > 0 and is_fresh(thread, now)


def is_fresh(thread: Thread, now: int) -> bool:
    """Say whether something happened in the thread of late, so that more may come."""
    return now - thread.last_activity < LIVE_MICROSECONDS
