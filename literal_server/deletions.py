"""Deleted things: listed for people, and brought back with all that went with them and nothing else."""

from typing import Any

from sqlalchemy import Select, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from literal_server import paging, rows, totals
from literal_server.collection_tables import Dataset, DatasetItem
from literal_server.errors import NotFound, Refused
from literal_server.review_tables import Comment
from literal_server.settings import ServerSettings
from literal_server.tables import Attachment, Participant, PurgedId, Score, Step, Thread

Deletable = Thread | Step | Score | Comment | Attachment | Participant | Dataset | DatasetItem

KINDS: dict[str, type[Deletable]] = {
    "thread": Thread,
    "step": Step,
    "score": Score,
    "comment": Comment,
    "attachment": Attachment,
    "participant": Participant,
    "dataset": Dataset,
    "dataset_item": DatasetItem,
}


async def list_threads(
    session: AsyncSession, project: str, settings: ServerSettings, request: paging.PageRequest
) -> paging.Page[Thread]:
    """Read one page of the deleted threads, the last deleted first. Raises Refused for a cursor that is none."""
    query = select(Thread).where(Thread.project_id == project, Thread.deleted_at.is_not(None))
    return await paging.read_page(session, query, paging.Order(Thread.deleted_at, Thread.id), request, settings)


async def restore(session: AsyncSession, project: str, kind: str, identity: str) -> Deletable:
    """Bring back what was deleted; `kind` is a key of `KINDS`. Answers the row.

    A thread comes with the steps, scores and attachments that were deleted with it, a step with its scores and
    attachments, a dataset with its items; what was deleted before on its own stays deleted. Raises NotFound when
    nothing deleted has the id, and Refused when it cannot live again as things are.
    """
    row: Deletable | None = await session.get(KINDS[kind], (project, identity))
    if row is None or row.deleted_at is None or (isinstance(row, Step) and row.purged_at is not None):
        raise NotFound(f"deleted {kind}", identity)
    moment = row.deleted_at
    await _check(session, row)
    row.deleted_at = None
    if isinstance(row, Thread):
        row.deleted_by = None
        of_thread = (Step.project_id == project, Step.thread_id == identity)
        await _restore_belongings(session, project, select(Step.id).where(*of_thread), moment)
        await session.execute(update(Step).where(*of_thread, Step.deleted_at == moment).values(deleted_at=None))
        of_whole = (Score.project_id == project, Score.thread_id == identity, Score.deleted_at == moment)
        await session.execute(update(Score).where(*of_whole).values(deleted_at=None))
        await totals.recount(session, row)
    elif isinstance(row, Step):
        await _restore_belongings(session, project, select(Step.id).where(Step.id == identity), moment)
        if row.thread_id is not None:
            await totals.recount(session, await totals.ensure_thread(session, project, row.thread_id))
    elif isinstance(row, Dataset):
        items = (
            DatasetItem.project_id == project,
            DatasetItem.dataset_id == identity,
            DatasetItem.deleted_at == moment,
        )
        await session.execute(update(DatasetItem).where(*items).values(deleted_at=None))
    return row


async def _check(session: AsyncSession, row: Deletable) -> None:
    project = row.project_id
    if isinstance(row, Thread):
        if await session.get(PurgedId, (project, rows.purged_digest("thread", row.id))) is not None:
            raise Refused(f"The thread {row.id!r} is being purged: part of it is gone already.")
    elif isinstance(row, Step):
        thread = await session.get(Thread, (project, row.thread_id)) if row.thread_id else None
        if thread is not None and thread.deleted_at is not None:
            raise Refused(f"The step belongs to the deleted thread {thread.id!r}: restore that one.")
    elif isinstance(row, Participant):
        same = (Participant.project_id == project, Participant.identifier == row.identifier)
        living = await session.scalar(select(Participant.id).where(*same, Participant.deleted_at.is_(None)))
        if living is not None:
            raise Refused(f"Another participant has the identifier {row.identifier!r} by now.")
    elif isinstance(row, DatasetItem):
        dataset = await session.get(Dataset, (project, row.dataset_id))
        if dataset is not None and dataset.deleted_at is not None:
            raise Refused(f"It belongs to the deleted dataset {dataset.name!r}: restore that one.")
    elif isinstance(row, Score | Attachment):
        step = await session.get(Step, (project, row.step_id)) if row.step_id else None
        if step is not None and step.deleted_at is not None:
            raise Refused(f"It belongs to the deleted step {step.id!r}: restore that one.")


async def _restore_belongings(session: AsyncSession, project: str, steps: Select[Any], moment: int) -> None:
    for table in (Attachment, Score):
        gone_with_it = (table.project_id == project, table.step_id.in_(steps), table.deleted_at == moment)
        await session.execute(update(table).where(*gone_with_it).values(deleted_at=None))
