"""The resolvers of what people collect: datasets and their items, experiments, prompts."""

from typing import Any

from ariadne import MutationType, QueryType

from literal_server import datasets, experiments, prompts
from literal_server.graphql import collection_shapes, shapes
from literal_server.graphql.context import Context, page_request, resolver

Arguments = Any
Shape = shapes.Shape

query = QueryType()
mutation = MutationType()


@query.field("datasets")
@resolver
async def list_datasets(context: Context, **arguments: Arguments) -> Shape:
    """Answer a page of datasets."""
    anchor = arguments.get("cursor_anchor")
    page = await datasets.list_page(context.session, context.project, context.settings, page_request(arguments), anchor)
    return shapes.connection(page, collection_shapes.dataset)


@mutation.field("createDataset")
@resolver
async def create_dataset(context: Context, name: str, **given: Arguments) -> Shape:
    """Make a dataset."""
    return collection_shapes.dataset(await datasets.create(context.session, context.project, name, **given))


@mutation.field("updateDataset")
@resolver
async def update_dataset(context: Context, id: str, **changes: Arguments) -> Shape:
    """Change a dataset."""
    return collection_shapes.dataset(await datasets.change(context.session, context.project, id, changes))


@mutation.field("deleteDataset")
@resolver
async def delete_dataset(context: Context, id: str) -> Shape:
    """Delete a dataset with its items."""
    return collection_shapes.dataset(await datasets.delete(context.session, context.project, id))


@query.field("datasetItem")
@resolver
async def get_dataset_item(context: Context, id: str) -> Shape | None:
    """Answer one item."""
    found = await datasets.find_item(context.session, context.project, id)
    return collection_shapes.dataset_item(found) if found else None


@mutation.field("createDatasetItem")
@resolver
async def create_dataset_item(context: Context, dataset_id: str, **given: Arguments) -> Shape:
    """Add an item by hand."""
    made = await datasets.add_item(context.session, context.project, dataset_id, given)
    return collection_shapes.dataset_item(made)


@mutation.field("deleteDatasetItem")
@resolver
async def delete_dataset_item(context: Context, id: str) -> Shape:
    """Delete an item."""
    return collection_shapes.dataset_item(await datasets.delete_item(context.session, context.project, id))


@mutation.field("addStepToDataset")
@resolver
async def add_step(context: Context, dataset_id: str, step_id: str, metadata: Any = None) -> Shape:
    """Add a recorded step as an item."""
    made = await datasets.add_step(context.session, context.project, dataset_id, step_id, metadata)
    return collection_shapes.dataset_item(made)


@mutation.field("addGenerationToDataset")
@resolver
async def add_generation(context: Context, dataset_id: str, generation_id: str, metadata: Any = None) -> Shape:
    """Add a recorded generation as an item."""
    made = await datasets.add_generation(context.session, context.project, dataset_id, generation_id, metadata)
    return collection_shapes.dataset_item(made)


@mutation.field("createDatasetExperiment")
@resolver
async def create_experiment(
    context: Context,
    name: str,
    dataset_id: str | None = None,
    prompt_experiment_id: str | None = None,
    params: Any = None,
) -> Shape:
    """Make an experiment."""
    of = {"dataset_id": dataset_id, "prompt_variant_id": prompt_experiment_id, "params": params}
    return collection_shapes.experiment(await experiments.create(context.session, context.project, name, **of))


@mutation.field("createDatasetExperimentItem")
@resolver
async def create_experiment_item(
    context: Context, dataset_experiment_id: str, experiment_run_id: str | None = None, **given: Arguments
) -> Shape:
    """Add a result to an experiment."""
    made = await experiments.add_item(
        context.session, context.project, dataset_experiment_id, run_id=experiment_run_id, **given
    )
    return collection_shapes.experiment_item(made)


@query.field("promptLineage")
@resolver
async def get_prompt_lineage(context: Context, name: str) -> Shape | None:
    """Answer the lineage with a name."""
    found = await prompts.find_lineage(context.session, context.project, name)
    return collection_shapes.lineage(found) if found else None


@mutation.field("createPromptLineage")
@resolver
async def create_prompt_lineage(context: Context, name: str, description: str | None = None) -> Shape:
    """Make a lineage, or answer the one with the name."""
    made = await prompts.create_lineage(context.session, context.project, name, description)
    return collection_shapes.lineage(made)


@query.field("promptVersion")
@resolver
async def get_prompt_version(
    context: Context, id: str | None = None, name: str | None = None, version: int | None = None
) -> Shape:
    """Answer a version of a prompt."""
    found, lineage = await prompts.find_version(
        context.session, context.project, identity=id, name=name, version=version
    )
    return collection_shapes.prompt_version(found, lineage, context.address)


@mutation.field("createPromptVersion")
@resolver
async def create_prompt_version(context: Context, lineage_id: str, **content: Arguments) -> Shape:
    """Make a version of a prompt, or answer the one with the content."""
    made, lineage = await prompts.create_version(context.session, context.project, lineage_id, content)
    return collection_shapes.prompt_version(made, lineage, context.address)


@mutation.field("createPromptExperiment")
@resolver
async def create_prompt_experiment(context: Context, **content: Arguments) -> Shape:
    """Keep a variant of a prompt for an experiment."""
    return collection_shapes.prompt_variant(await prompts.create_variant(context.session, context.project, content))


@query.field("promptLineageRollout")
@resolver
async def get_prompt_lineage_rollout(context: Context, lineage_name: str, **arguments: Arguments) -> Shape:
    """Answer the weights of a lineage's versions."""
    page = await prompts.list_rollout(
        context.session, context.project, context.settings, page_request(arguments), lineage_name
    )
    return shapes.connection(page, collection_shapes.rollout)


@mutation.field("updatePromptLineageRollout")
@resolver
async def update_prompt_lineage_rollout(context: Context, name: str, rollouts: Any, **_more: Arguments) -> Shape:
    """Set the weights of a lineage's versions."""
    await prompts.set_rollout(context.session, context.project, name, rollouts)
    return {"ok": True, "message": None, "error_code": None}
