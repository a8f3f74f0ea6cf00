"""The end of what was deleted: rows and files removed for good, in short turns of the writer."""

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import load_only

from literal_server import clock, files, payloads, rows, search
from literal_server.collection_tables import Dataset, DatasetItem, Experiment, ExperimentItem, PromptVariant
from literal_server.db import Database
from literal_server.files import FileStore
from literal_server.review_tables import Comment, Share
from literal_server.settings import ServerSettings
from literal_server.tables import Attachment, Participant, PurgedId, Score, Step, Thread

logger = logging.getLogger(__name__)

DAY = 24 * 60 * 60 * 1_000_000
ROUND_SECONDS = 60 * 60
# Steps that one turn of the writer removes: a few milliseconds.
BATCH = 200

# Lists whose items go with them.
COLLECTIONS: tuple[tuple[Any, Any, Any], ...] = (
    (Dataset, DatasetItem, DatasetItem.dataset_id),
    (Experiment, ExperimentItem, ExperimentItem.experiment_id),
)

# What a step keeps when it is purged alone: the tree of its thread still hangs on it.
_PLACE_OF_A_STEP = {"project_id", "id", "thread_id", "parent_id", "type", "created_at", "updated_at", "deleted_at"}


async def purge(database: Database, *, before: int | None = None, again: bool = False) -> Counter[str]:
    """Remove for good all that was deleted before a moment (microseconds; now, if none is given), with its files.

    Answers how many rows of each kind went. Nothing of their text is left in the data folder afterwards, unless a
    long read keeps the old state of the database alive: then the next purge clears it away. `again` clears up what
    one left that failed at that: its rows are gone, and their words are still in the file of the index.
    """
    end = clock.now() + 1 if before is None else before
    gone: Counter[str] = Counter()
    while True:
        async with database.writing() as session:
            some = await purge_some(session, end)
        if not some:
            break
        gone += some
    if gone or again:
        await search.forget_purged(database)
    await database.forget_deleted()
    return gone


async def purge_at_once(database: Database) -> Counter[str]:
    """Purge all that is deleted and write the database file anew, which also clears what older versions left in it.

    For a command: the writer of a running server waits for as long as copying the file takes.
    """
    gone = await purge(database, again=True)
    await database.rewrite()
    return gone


@asynccontextmanager
async def in_rounds(database: Database, settings: ServerSettings) -> AsyncIterator[None]:
    """Purge every hour, as long as the block runs, what was deleted more than `settings.purge_after_days` ago.

    What uploads that were cut off left behind goes, too.
    """
    rounds = asyncio.create_task(_run_rounds(database, settings))
    try:
        yield
    finally:
        rounds.cancel()
        await asyncio.wait([rounds])


async def _run_rounds(database: Database, settings: ServerSettings) -> None:
    has_failed = False
    while True:
        try:
            before = clock.now() + 1 - settings.purge_after_days * DAY
            gone = await purge(database, before=before, again=has_failed)
            has_failed = False
            if gone:
                logger.info("Purged what was deleted: %s.", ", ".join(f"{n} {kind}" for kind, n in gone.items()))
            await asyncio.to_thread(FileStore(settings.files_dir, secret=b"").sweep)
        except Exception:  # whatever went wrong, the next round tries again
            has_failed = True
            logger.exception("Purging what was deleted failed; it is tried again in an hour.")
        await asyncio.sleep(ROUND_SECONDS)


async def purge_some(session: AsyncSession, before: int, limit: int = BATCH) -> Counter[str]:
    """Remove some of what was deleted before a moment, at most `limit` steps; answers what went, nothing at the end."""
    thread = await session.scalar(select(Thread).where(Thread.deleted_at < before).order_by(Thread.deleted_at).limit(1))
    if thread is not None:
        return await _purge_thread(session, thread, limit)
    due = (Step.deleted_at < before, Step.purged_at.is_(None))
    steps = (await session.scalars(select(Step).where(*due).limit(limit))).all()
    if steps:
        return await _empty(session, steps)
    participants = (
        await session.scalars(select(Participant).where(Participant.deleted_at < before).limit(limit))
    ).all()
    if participants:
        return await _purge_participants(session, participants)
    for parent, child, link in COLLECTIONS:
        collection = await session.scalar(select(parent).where(parent.deleted_at < before).limit(1))
        if collection is not None:
            return await _purge_collection(session, collection, child, link, limit)
    for table in (Score, Comment, Attachment, DatasetItem, ExperimentItem, PromptVariant):
        found = (await session.scalars(select(table).where(table.deleted_at < before).limit(limit))).all()
        if found:
            return await _remove(session, table.__tablename__, found)
    return Counter()


async def _purge_collection(session: AsyncSession, row: Any, child: Any, link: Any, limit: int) -> Counter[str]:
    inside = select(child).where(child.project_id == row.project_id, link == row.id)
    found = (await session.scalars(inside.limit(limit))).all()
    gone = await _remove(session, child.__tablename__, found)
    if len(found) < limit:
        gone += await _remove(session, row.__tablename__, [row])
    return gone


async def _purge_thread(session: AsyncSession, thread: Thread, limit: int) -> Counter[str]:
    project = thread.project_id
    # Remembered first: from the first of its steps on the thread cannot be restored any more.
    await _remember(session, project, "thread", thread.id, thread.deleted_at or 0)
    of_thread = select(Step).where(Step.project_id == project, Step.thread_id == thread.id)
    of_thread = of_thread.options(
        load_only(Step.project_id, Step.id, Step.thread_id)
    )  # as who follows the thread is told
    steps = (await session.scalars(of_thread.limit(limit))).all()
    gone = await _remove_belongings(session, project, [step.id for step in steps])
    await payloads.remove(session, [thread, *steps])
    for step in steps:
        await session.delete(step)
    gone["steps"] += len(steps)
    if len(steps) < limit:
        for table in (Score, Comment, Share):
            of_whole = select(table).where(table.project_id == project, table.thread_id == thread.id)
            gone += await _remove(session, table.__tablename__, (await session.scalars(of_whole)).all())
        await session.delete(thread)
        gone["threads"] += 1
    return gone


async def _empty(session: AsyncSession, steps: Sequence[Step]) -> Counter[str]:
    gone: Counter[str] = Counter(steps=len(steps))
    await payloads.remove(session, steps)
    for step in steps:
        gone += await _remove_belongings(session, step.project_id, [step.id])
        for name in set(step.__mapper__.attrs.keys()) - _PLACE_OF_A_STEP:
            setattr(step, name, False if name == "is_error" else None)
        step.purged_at = clock.now()
    return gone


async def _purge_participants(session: AsyncSession, found: Sequence[Participant]) -> Counter[str]:
    for participant in found:
        project, identity = participant.project_id, participant.id
        await _remember(session, project, "participant", identity, participant.deleted_at or 0)
        named = (Thread.project_id == project, Thread.participant_id == identity)
        await session.execute(update(Thread).where(*named).values(participant_id=None))
        await session.delete(participant)
    return Counter(participants=len(found))


async def _remember(session: AsyncSession, project: str, kind: str, identity: str, deleted_at: int) -> None:
    digest = rows.purged_digest(kind, identity)
    if await session.get(PurgedId, (project, digest)) is None:
        session.add(PurgedId(project_id=project, digest=digest, deleted_at=deleted_at))


async def _remove_belongings(session: AsyncSession, project: str, step_ids: Sequence[str]) -> Counter[str]:
    gone: Counter[str] = Counter()
    for table in (Score, Attachment):
        belongs = (table.project_id == project, table.step_id.in_(step_ids))
        gone += await _remove(
            session, table.__tablename__, (await session.scalars(select(table).where(*belongs))).all()
        )
    return gone


async def _remove(session: AsyncSession, name: str, found: Sequence[Any]) -> Counter[str]:
    keys: dict[str, list[str]] = {}
    for row in found:
        if isinstance(row, Attachment) and row.object_key:
            keys.setdefault(row.project_id, []).append(row.object_key)
        await session.delete(row)
    await session.flush()
    folder = session.info.get(payloads.FILES)
    for project, named in keys.items():
        # Before the rows are gone for good: what fails in between is tried again in the next round.
        forgotten = await files.forget(session, project, named)
        if folder is not None:
            await asyncio.to_thread(FileStore(folder, secret=b"").remove, forgotten)
    return Counter({name: len(found)}) if found else Counter()
