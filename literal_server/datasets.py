"""Datasets: lists of examples, written by hand or taken from steps and generations that were recorded."""

import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncSession

from literal_server import clock, generation_steps, generations, paging, steps
from literal_server.collection_tables import Dataset, DatasetItem
from literal_server.errors import NotFound, Refused
from literal_server.settings import ServerSettings


async def find(
    session: AsyncSession, project: str, *, identity: str | None = None, name: str | None = None
) -> Dataset | None:
    """Answer the living dataset with this id, or the newest one with this name; both together must fit."""
    query = select(Dataset).where(Dataset.project_id == project, Dataset.deleted_at.is_(None))
    if identity is not None:
        query = query.where(Dataset.id == identity)
    if name is not None:
        query = query.where(Dataset.name == name)
    return await session.scalar(query.order_by(Dataset.created_at.desc(), Dataset.id.desc()).limit(1))


async def list_page(
    session: AsyncSession,
    project: str,
    settings: ServerSettings,
    request: paging.PageRequest,
    anchor: int | None = None,
) -> paging.Page[Dataset]:
    """Read one page of the living datasets, newest first; `anchor` leaves out those made after that moment."""
    query = select(Dataset).where(
        Dataset.project_id == project,
        Dataset.deleted_at.is_(None),
        *([Dataset.created_at <= anchor] if anchor is not None else []),
    )
    return await paging.read_page(session, query, paging.Order(Dataset.created_at, Dataset.id), request, settings)


async def items_of(session: AsyncSession, project: str, identity: str) -> Sequence[DatasetItem]:
    """Answer the living items of a dataset in the order in which they were added."""
    query = select(DatasetItem).where(
        DatasetItem.project_id == project, DatasetItem.dataset_id == identity, DatasetItem.deleted_at.is_(None)
    )
    return (await session.scalars(query.order_by(DatasetItem.created_at, DatasetItem.id))).all()


async def create(
    session: AsyncSession,
    project: str,
    name: str,
    *,
    description: str | None = None,
    metadata: Any = None,
    type: str | None = None,
) -> Dataset:
    """Make a dataset. Names may repeat: a script that makes one may be run again."""
    now = clock.now()
    made = Dataset(
        project_id=project,
        id=str(uuid.uuid4()),
        name=name,
        description=description,
        type=type or "key_value",
        metadata_=generations.as_object(metadata) or {},
        created_at=now,
        updated_at=now,
    )
    session.add(made)
    return made


async def change(session: AsyncSession, project: str, identity: str, changes: Mapping[str, Any]) -> Dataset:
    """Change name, description or metadata; what is not given or null stays. Raises NotFound."""
    found = await _existing(session, project, identity)
    for column, key in (("name", "name"), ("description", "description"), ("metadata_", "metadata")):
        value = changes.get(key)
        if value is not None:
            setattr(found, column, generations.as_object(value) if key == "metadata" else value)
    found.updated_at = clock.now()
    return found


async def delete(session: AsyncSession, project: str, identity: str) -> Dataset:
    """Hide a dataset with its items; its experiments stay. Raises NotFound."""
    found = await _existing(session, project, identity)
    found.deleted_at = found.updated_at = clock.now()
    items = (DatasetItem.project_id == project, DatasetItem.dataset_id == identity, DatasetItem.deleted_at.is_(None))
    # One moment for all of them, so that a restore knows what went with the dataset.
    await session.execute(update(DatasetItem).where(*items).values(deleted_at=found.deleted_at))
    return found


async def find_item(session: AsyncSession, project: str, identity: str) -> DatasetItem | None:
    """Answer the living item with this id."""
    found = await session.get(DatasetItem, (project, identity))
    return found if found is not None and found.deleted_at is None else None


async def add_item(session: AsyncSession, project: str, dataset_id: str, given: Mapping[str, Any]) -> DatasetItem:
    """Add an item with `input`, and perhaps `expected_output`, `metadata` and the `generation_id` it came from.

    Raises NotFound.
    """
    await _existing(session, project, dataset_id)
    return _add(session, project, dataset_id, given.get("metadata"), step_id=given.get("generation_id"),
                input=given["input"], expected_output=given.get("expected_output"))  # fmt: skip


async def delete_item(session: AsyncSession, project: str, identity: str) -> DatasetItem:
    """Hide an item. Raises NotFound."""
    found = await find_item(session, project, identity)
    if found is None:
        raise NotFound("dataset item", identity)
    found.deleted_at = clock.now()
    return found


async def add_step(
    session: AsyncSession, project: str, dataset_id: str, step_id: str, metadata: Any = None
) -> DatasetItem:
    """Add a step's input and output with all the steps below it. Raises NotFound, and Refused on a generation dataset.

    The steps below come parents first with their `parentId`: frameworks put one step between a run and what matters.
    """
    dataset = await _existing(session, project, dataset_id)
    if dataset.type == "generation":
        raise Refused("A dataset of generations takes generations, not steps.")
    found = await steps.find(session, project, step_id)
    if found is None:
        raise NotFound("step", step_id)
    below = [_intermediary(full) for full in await steps.below(session, project, step_id)]
    return _add(session, project, dataset_id, metadata, step_id=step_id, input=found.step.input,
                expected_output=found.step.output, intermediary_steps=below)  # fmt: skip


def _intermediary(full: steps.FullStep) -> dict[str, Any]:
    step = full.step
    told = {"id": step.id, "parentId": full.parent_id, "type": step.type, "name": step.name}
    return told | {"input": step.input, "output": step.output, "error": step.error or None}


async def add_generation(
    session: AsyncSession, project: str, dataset_id: str, generation_id: str, metadata: Any = None
) -> DatasetItem:
    """Add what a model was given and what it answered. Raises NotFound."""
    await _existing(session, project, dataset_id)
    found = await generation_steps.find(session, project, generation_id)
    if found is None:
        raise NotFound("generation", generation_id)
    given, kind = found.generation or {}, generations.kind(found.generation or {})
    if kind == "CHAT":
        values = {"messages": given.get("messages") or []}, given.get("messageCompletion")
    else:
        completion = given.get("completion")
        values = {"prompt": given.get("prompt")}, None if completion is None else {"completion": completion}
    labelled = (generations.as_object(metadata) or {}) | {"promptType": kind}
    return _add(session, project, dataset_id, labelled, step_id=generation_id, input=values[0],
                expected_output=values[1] or {})  # fmt: skip


async def _existing(session: AsyncSession, project: str, identity: str) -> Dataset:
    found = await find(session, project, identity=identity)
    if found is None:
        raise NotFound("dataset", identity)
    return found


def _add(session: AsyncSession, project: str, dataset_id: str, metadata: Any, **values: Any) -> DatasetItem:
    item = DatasetItem(
        project_id=project,
        id=str(uuid.uuid4()),
        dataset_id=dataset_id,
        metadata_=generations.as_object(metadata) or {},
        created_at=clock.now(),
        **values,
    )
    session.add(item)
    return item
