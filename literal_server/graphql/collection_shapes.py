"""Datasets, experiments and prompts as the contract shows them."""

from collections.abc import Sequence
from typing import Any
from urllib.parse import quote, urlencode

from literal_server import clock
from literal_server.collection_tables import (
    Dataset,
    DatasetItem,
    Experiment,
    ExperimentItem,
    PromptLineage,
    PromptVariant,
    PromptVersion,
)
from literal_server.graphql.shapes import Shape


def dataset(row: Dataset) -> Shape:
    """A dataset without its items."""
    names = ("id", "created_at", "name", "description", "type")
    return {name: getattr(row, name) for name in names} | {"metadata": row.metadata_}


def dataset_item(row: DatasetItem) -> Shape:
    """An item of a dataset."""
    names = ("id", "created_at", "dataset_id", "input", "expected_output", "step_id")
    shape = {name: getattr(row, name) for name in names}
    return shape | {"metadata": row.metadata_, "intermediary_steps": row.intermediary_steps or []}


def exported_dataset(row: Dataset, items: Sequence[DatasetItem]) -> dict[str, Any]:
    """A dataset with its items in the names of the wire, for the one answer that is not GraphQL."""
    return _wire(dataset(row)) | {"items": [_wire(dataset_item(item)) for item in items]}


def _wire(shape: Shape) -> dict[str, Any]:
    return {_camel_case(name): value for name, value in shape.items()} | {
        "createdAt": clock.format_time(shape["created_at"])
    }


def _camel_case(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(other.capitalize() for other in others)


def experiment(row: Experiment) -> Shape:
    """An experiment."""
    names = ("id", "created_at", "name", "dataset_id", "params")
    return {name: getattr(row, name) for name in names} | {"prompt_experiment_id": row.prompt_variant_id}


def experiment_item(row: ExperimentItem) -> Shape:
    """A result of an experiment."""
    shape = {name: getattr(row, name) for name in ("id", "dataset_item_id", "input", "output")}
    return shape | {"dataset_experiment_id": row.experiment_id, "experiment_run_id": row.run_id}


def lineage(row: PromptLineage) -> Shape:
    """A prompt lineage."""
    return {name: getattr(row, name) for name in ("id", "name", "description", "created_at", "deleted_at")}


def prompt_version(row: PromptVersion, of: PromptLineage, address: str) -> Shape:
    """A version of a prompt with its lineage; `address` is where browsers find the server."""
    names = ("id", "created_at", "updated_at", "label", "status", "tags", "type", "version", "template_messages",
             "tools", "settings", "variables", "variables_default_values")  # fmt: skip
    query = urlencode({"name": of.name, "version": row.version}, quote_via=quote)
    return {name: getattr(row, name) for name in names} | {
        "version_desc": row.description,
        "url": f"{address}/projects/{quote(row.project_id, safe='')}/playground?{query}",
        "lineage": lineage(of),
    }


def prompt_variant(row: PromptVariant) -> Shape:
    """A variant of a prompt, which the wire calls a prompt experiment."""
    names = ("id", "created_at", "from_lineage_id", "from_version", "score_template_id", "project_id", "tools",
             "settings", "variables", "template_messages")  # fmt: skip
    return {name: getattr(row, name) for name in names} | {"project_user_id": None}


def rollout(row: PromptVersion) -> Shape:
    """A version's weight."""
    return {"version": row.version, "rollout": row.rollout}
