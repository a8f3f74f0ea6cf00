"""The tables of datasets, experiments and prompts; as those of `tables.py` are."""

from typing import Any

from sqlalchemy import Index, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from literal_server.tables import Base


class Dataset(Base):
    """A list of examples; `type` is `key_value` or `generation`."""

    __tablename__ = "datasets"
    __table_args__ = (Index(None, "project_id", "created_at", "id"), Index(None, "project_id", "name"))

    project_id: Mapped[str] = mapped_column(primary_key=True)
    id: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str]
    description: Mapped[str | None]
    type: Mapped[str]
    metadata_: Mapped[dict[str, Any]] = mapped_column("metadata")
    created_at: Mapped[int]
    updated_at: Mapped[int]
    deleted_at: Mapped[int | None]


class DatasetItem(Base):
    """One example; `step_id` names the step that it was made from."""

    __tablename__ = "dataset_items"
    __table_args__ = (Index(None, "project_id", "dataset_id", "created_at", "id"),)

    project_id: Mapped[str] = mapped_column(primary_key=True)
    id: Mapped[str] = mapped_column(primary_key=True)
    dataset_id: Mapped[str]
    step_id: Mapped[str | None]
    metadata_: Mapped[dict[str, Any]] = mapped_column("metadata")
    input: Mapped[Any | None]
    expected_output: Mapped[Any | None]
    intermediary_steps: Mapped[Any | None]
    created_at: Mapped[int]
    deleted_at: Mapped[int | None]


class Experiment(Base):
    """A trial of an application, on a dataset or without one."""

    __tablename__ = "experiments"
    __table_args__ = (Index(None, "project_id", "created_at", "id"), Index(None, "project_id", "dataset_id"))

    project_id: Mapped[str] = mapped_column(primary_key=True)
    id: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str]
    dataset_id: Mapped[str | None]
    prompt_variant_id: Mapped[str | None]
    params: Mapped[Any | None]
    created_at: Mapped[int]
    deleted_at: Mapped[int | None]


class ExperimentItem(Base):
    """What an experiment gave for one input; `run_id` is the step of its run, which may arrive later."""

    __tablename__ = "experiment_items"
    __table_args__ = (Index(None, "project_id", "experiment_id", "created_at", "id"),)

    project_id: Mapped[str] = mapped_column(primary_key=True)
    id: Mapped[str] = mapped_column(primary_key=True)
    experiment_id: Mapped[str]
    run_id: Mapped[str | None]
    dataset_item_id: Mapped[str | None]
    input: Mapped[Any | None]
    output: Mapped[Any | None]
    created_at: Mapped[int]
    deleted_at: Mapped[int | None]


class PromptLineage(Base):
    """A named prompt; a deleted one keeps its name and is still served."""

    __tablename__ = "prompt_lineages"
    __table_args__ = (UniqueConstraint("project_id", "name"),)

    project_id: Mapped[str] = mapped_column(primary_key=True)
    id: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str]
    description: Mapped[str | None]
    created_at: Mapped[int]
    deleted_at: Mapped[int | None]


class PromptVersion(Base):
    """One version of a prompt, counted from 0.

    `rollout` is its weight where no version is asked for, null outside the set. `fingerprint` is the same for
    contents that count as equal.
    """

    __tablename__ = "prompt_versions"
    __table_args__ = (
        UniqueConstraint("project_id", "lineage_id", "version"),
        Index(None, "project_id", "lineage_id", "fingerprint"),
    )

    project_id: Mapped[str] = mapped_column(primary_key=True)
    id: Mapped[str] = mapped_column(primary_key=True)
    lineage_id: Mapped[str]
    version: Mapped[int]
    type: Mapped[str]
    label: Mapped[str | None]
    status: Mapped[str | None]
    description: Mapped[str | None]
    tags: Mapped[list[str]]
    template_messages: Mapped[Any]
    tools: Mapped[Any | None]
    settings: Mapped[dict[str, Any]]
    variables: Mapped[Any]
    variables_default_values: Mapped[dict[str, Any]]
    rollout: Mapped[float | None]
    fingerprint: Mapped[str]
    created_at: Mapped[int]
    updated_at: Mapped[int]


class PromptVariant(Base):
    """A prompt tried out in an experiment without becoming a version."""

    __tablename__ = "prompt_variants"
    __table_args__ = (Index(None, "project_id", "created_at", "id"),)

    project_id: Mapped[str] = mapped_column(primary_key=True)
    id: Mapped[str] = mapped_column(primary_key=True)
    from_lineage_id: Mapped[str | None]
    from_version: Mapped[int | None]
    score_template_id: Mapped[str | None]
    template_messages: Mapped[Any]
    tools: Mapped[Any | None]
    settings: Mapped[dict[str, Any]]
    variables: Mapped[Any]
    created_at: Mapped[int]
    deleted_at: Mapped[int | None]
