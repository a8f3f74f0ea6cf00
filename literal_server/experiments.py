"""Experiments: what an application gave for the items of a dataset, or for inputs of its own."""

import uuid
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from literal_server import clock, datasets
from literal_server.collection_tables import Experiment, ExperimentItem
from literal_server.errors import NotFound


async def create(
    session: AsyncSession,
    project: str,
    name: str,
    *,
    dataset_id: str | None = None,
    prompt_variant_id: str | None = None,
    params: Any = None,
) -> Experiment:
    """Make an experiment, with or without a dataset. Raises NotFound for a dataset that is not there."""
    if dataset_id and await datasets.find(session, project, identity=dataset_id) is None:
        raise NotFound("dataset", dataset_id)
    made = Experiment(
        project_id=project,
        id=str(uuid.uuid4()),
        name=name,
        dataset_id=dataset_id or None,
        prompt_variant_id=prompt_variant_id or None,
        params=params,
        created_at=clock.now(),
    )
    session.add(made)
    return made


async def add_item(
    session: AsyncSession,
    project: str,
    experiment_id: str,
    *,
    run_id: str | None = None,
    dataset_item_id: str | None = None,
    input: Any = None,
    output: Any = None,
) -> ExperimentItem:
    """Add a result to an experiment; the step of its run may arrive later. Raises NotFound."""
    experiment = await session.get(Experiment, (project, experiment_id))
    if experiment is None or experiment.deleted_at is not None:
        raise NotFound("experiment", experiment_id)
    item = ExperimentItem(
        project_id=project,
        id=str(uuid.uuid4()),
        experiment_id=experiment_id,
        run_id=run_id or None,
        dataset_item_id=dataset_item_id or None,
        input=input,
        output=output,
        created_at=clock.now(),
    )
    session.add(item)
    return item
