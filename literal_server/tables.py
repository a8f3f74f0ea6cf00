"""The tables: everything of a project hangs on (project_id, id), moments are integer microseconds, no foreign keys.

Children arrive before their parents and steps before their threads, so nothing here enforces a reference.
What lists sort, filter or add up is a column; what is only shown is JSON.
"""

from typing import Any

from sqlalchemy import JSON, BigInteger, Dialect, Index, MetaData, Text, text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.types import TypeDecorator

from literal_server import json_text


class PlainText(TypeDecorator[str]):
    """Text of any length; lone surrogates, which no database encodes, become the replacement character."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:  # noqa: ARG002 - the base's shape
        """Make the text encodable."""
        return None if value is None else json_text.encodable(value)


class Base(DeclarativeBase):
    """What the tables have in common: names of constraints, and which Python type is which column type."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {  # noqa: RUF012 - read once by SQLAlchemy, never changed
        str: PlainText(),
        int: BigInteger(),
        Any: JSON(none_as_null=True),
        dict[str, Any]: JSON(none_as_null=True),
        list[str]: JSON(none_as_null=True),
    }


class Project(Base):
    """One workspace; `id` is the slug in addresses."""

    __tablename__ = "projects"

    id: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str]
    created_at: Mapped[int]


class ApiKey(Base):
    """A key of one project, kept as the SHA-256 of its text."""

    __tablename__ = "api_keys"

    digest: Mapped[str] = mapped_column(primary_key=True)
    project_id: Mapped[str]
    name: Mapped[str]
    created_at: Mapped[int]
    revoked_at: Mapped[int | None]


class Participant(Base):
    """A user of the recorded application."""

    __tablename__ = "participants"
    __table_args__ = (
        Index(
            "uq_participants_living_identifier",
            "project_id",
            "identifier",
            unique=True,
            sqlite_where=text("deleted_at IS NULL"),
            postgresql_where=text("deleted_at IS NULL"),
        ),
        Index(None, "project_id", "created_at", "id"),
    )

    project_id: Mapped[str] = mapped_column(primary_key=True)
    id: Mapped[str] = mapped_column(primary_key=True)
    identifier: Mapped[str]
    created_at: Mapped[int]
    deleted_at: Mapped[int | None]
    metadata_: Mapped[dict[str, Any]] = mapped_column("metadata")


class Thread(Base):
    """One conversation, with the totals of its living steps kept beside it."""

    __tablename__ = "threads"
    __table_args__ = (
        Index(None, "project_id", "created_at", "id"),
        Index(None, "project_id", "last_activity", "id"),
        Index(None, "project_id", "participant_id", "created_at"),
    )

    project_id: Mapped[str] = mapped_column(primary_key=True)
    id: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str | None]
    participant_id: Mapped[str | None]
    environment: Mapped[str | None]
    created_at: Mapped[int]
    deleted_at: Mapped[int | None]
    last_activity: Mapped[int]
    first_start: Mapped[int | None]
    last_end: Mapped[int | None]
    token_count: Mapped[int] = mapped_column(default=0)
    cost: Mapped[float] = mapped_column(default=0.0)
    error_count: Mapped[int] = mapped_column(default=0)
    turn_count: Mapped[int] = mapped_column(default=0)
    open_count: Mapped[int] = mapped_column(default=0)
    tags: Mapped[list[str]]
    metadata_: Mapped[dict[str, Any]] = mapped_column("metadata")


class Step(Base):
    """One thing that happened: a message, a run, a model call, a tool call. Its generation is part of it."""

    __tablename__ = "steps"
    __table_args__ = (
        Index(None, "project_id", "thread_id", "start_time"),
        Index(None, "project_id", "created_at", "id"),
        Index(None, "project_id", "parent_id"),
    )

    project_id: Mapped[str] = mapped_column(primary_key=True)
    id: Mapped[str] = mapped_column(primary_key=True)
    thread_id: Mapped[str | None]
    parent_id: Mapped[str | None]
    root_run_id: Mapped[str | None]
    type: Mapped[str]
    name: Mapped[str | None]
    environment: Mapped[str | None]
    start_time: Mapped[int | None]
    end_time: Mapped[int | None]
    created_at: Mapped[int]
    updated_at: Mapped[int]
    deleted_at: Mapped[int | None]
    is_error: Mapped[bool] = mapped_column(default=False)
    model: Mapped[str | None]
    provider: Mapped[str | None]
    input_tokens: Mapped[int | None]
    output_tokens: Mapped[int | None]
    token_count: Mapped[int | None]
    cost: Mapped[float | None]
    error: Mapped[str | None]
    tags: Mapped[list[str] | None]
    metadata_: Mapped[Any | None] = mapped_column("metadata")
    input: Mapped[Any | None]
    output: Mapped[Any | None]
    generation: Mapped[dict[str, Any] | None]


class Score(Base):
    """A judgement of a step (or of an item of an experiment)."""

    __tablename__ = "scores"
    __table_args__ = (
        Index(None, "project_id", "step_id"),
        Index(None, "project_id", "created_at", "id"),
    )

    project_id: Mapped[str] = mapped_column(primary_key=True)
    id: Mapped[str] = mapped_column(primary_key=True)
    step_id: Mapped[str | None]
    generation_id: Mapped[str | None]
    dataset_experiment_item_id: Mapped[str | None]
    name: Mapped[str]
    type: Mapped[str]
    value: Mapped[float]
    label: Mapped[str | None]
    scorer: Mapped[str | None]
    comment: Mapped[str | None]
    tags: Mapped[list[str] | None]
    created_at: Mapped[int]
    updated_at: Mapped[int]
    deleted_at: Mapped[int | None]


class Attachment(Base):
    """A file that belongs to a step: kept here by its key, or elsewhere by its address."""

    __tablename__ = "attachments"
    __table_args__ = (Index(None, "project_id", "step_id"),)

    project_id: Mapped[str] = mapped_column(primary_key=True)
    id: Mapped[str] = mapped_column(primary_key=True)
    step_id: Mapped[str | None]
    thread_id: Mapped[str | None]
    name: Mapped[str | None]
    mime: Mapped[str | None]
    object_key: Mapped[str | None]
    url: Mapped[str | None]
    metadata_: Mapped[Any | None] = mapped_column("metadata")
    created_at: Mapped[int]
    deleted_at: Mapped[int | None]
