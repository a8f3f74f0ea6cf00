"""The tables: everything of a project hangs on (project_id, id), moments are integer microseconds, no foreign keys.

Children arrive before their parents and steps before their threads, so nothing here enforces a reference.
What lists sort, filter or add up is a column; what is only shown is JSON.
"""

from typing import Any

from sqlalchemy import JSON, BigInteger, Dialect, Index, Integer, MetaData, Text, text
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


def deleted_rows(table: str, beyond: str = "") -> Index:
    """An index of the deleted rows alone, so that the purge looks at nothing else."""
    which = text(f"deleted_at IS NOT NULL{beyond}")
    return Index(f"ix_{table}_deleted", "deleted_at", sqlite_where=which, postgresql_where=which)


def counted_scores(name: str, *columns: str) -> Index:
    """An index of the scores that count in a thread."""
    which = text("deleted_at IS NULL AND counted_thread_id IS NOT NULL")
    return Index(name, *columns, sqlite_where=which, postgresql_where=which)


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


class User(Base):
    """Somebody who reads the pages of a server that runs alone; `hash` is argon2's."""

    __tablename__ = "users"

    name: Mapped[str] = mapped_column(primary_key=True)
    hash: Mapped[str]
    role: Mapped[str]
    created_at: Mapped[int]
    updated_at: Mapped[int]


class PageSession(Base):
    """A browser that is signed in to the pages; `digest` is its token's, `stamp` the digest of its password's hash."""

    __tablename__ = "page_sessions"

    digest: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str]
    stamp: Mapped[str]
    created_at: Mapped[int]
    expires_at: Mapped[int]


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
        deleted_rows("participants"),
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
        Index(
            "ix_threads_with_errors",
            "project_id",
            "last_activity",
            "id",
            sqlite_where=text("error_count > 0 AND deleted_at IS NULL"),
            postgresql_where=text("error_count > 0 AND deleted_at IS NULL"),
        ),
        deleted_rows("threads"),
    )

    project_id: Mapped[str] = mapped_column(primary_key=True)
    id: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str | None]
    participant_id: Mapped[str | None]
    environment: Mapped[str | None]
    created_at: Mapped[int]
    deleted_at: Mapped[int | None]
    deleted_by: Mapped[str | None]
    last_activity: Mapped[int]
    first_start: Mapped[int | None]
    last_end: Mapped[int | None]
    token_count: Mapped[int] = mapped_column(default=0)
    cost: Mapped[float] = mapped_column(default=0.0)  # dollars of the model calls whose price is known
    unpriced_count: Mapped[int] = mapped_column(default=0)  # and how many others there are
    error_count: Mapped[int] = mapped_column(default=0)
    turn_count: Mapped[int] = mapped_column(default=0)
    open_count: Mapped[int] = mapped_column(default=0)
    # At or after the last activity that was there to be reviewed; gone when a step came that was not.
    reviewed_at: Mapped[int | None]
    reviewed_by: Mapped[str | None]
    tags: Mapped[list[str]]
    metadata_: Mapped[dict[str, Any]] = mapped_column("metadata")
    payloads: Mapped[dict[str, Any] | None]
    writers: Mapped[dict[str, Any] | None]  # see literal_server/certificates.py


class Step(Base):
    """One thing that happened: a message, a run, a model call, a tool call. Its generation is part of it."""

    __tablename__ = "steps"
    __table_args__ = (
        Index(None, "project_id", "thread_id", "start_time"),
        Index(None, "project_id", "created_at", "id"),
        Index(None, "project_id", "parent_id"),
        Index(
            "ix_steps_generations",
            "project_id",
            "created_at",
            "id",
            sqlite_where=text("generation IS NOT NULL"),
            postgresql_where=text("generation IS NOT NULL"),
        ),
        Index(None, "project_id", "prompt_id"),
        deleted_rows("steps", " AND purged_at IS NULL"),
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
    purged_at: Mapped[int | None]
    is_error: Mapped[bool] = mapped_column(default=False)
    model: Mapped[str | None]
    provider: Mapped[str | None]
    input_tokens: Mapped[int | None]
    output_tokens: Mapped[int | None]
    token_count: Mapped[int | None]
    duration: Mapped[float | None]  # seconds that the generation took, as its client measured them
    prompt_id: Mapped[str | None]  # the prompt version (or variant) that its messages were made from
    cost: Mapped[float | None]
    error: Mapped[str | None]
    tags: Mapped[list[str] | None]
    metadata_: Mapped[Any | None] = mapped_column("metadata")
    input: Mapped[Any | None]
    output: Mapped[Any | None]
    generation: Mapped[dict[str, Any] | None]
    stamps: Mapped[dict[str, Any] | None]  # see literal_server/ingest.py
    payloads: Mapped[dict[str, Any] | None]  # see literal_server/payloads.py
    writer: Mapped[str | None]  # see literal_server/stamps.py
    sequence: Mapped[int | None]  # its place among the steps of this writer


class Score(Base):
    """A judgement of a step, of a whole thread or of an item of an experiment."""

    __tablename__ = "scores"
    __table_args__ = (
        Index(None, "project_id", "step_id"),
        Index(None, "project_id", "created_at", "id"),
        Index(None, "project_id", "dataset_experiment_item_id"),
        Index(
            "ix_scores_of_threads",
            "project_id",
            "thread_id",
            sqlite_where=text("thread_id IS NOT NULL"),
            postgresql_where=text("thread_id IS NOT NULL"),
        ),
        counted_scores("ix_scores_counted_by_name", "project_id", "name", "value", "counted_thread_id", "deleted_at"),
        counted_scores("ix_scores_counted_by_thread", "project_id", "counted_thread_id"),
        deleted_rows("scores"),
    )

    project_id: Mapped[str] = mapped_column(primary_key=True)
    id: Mapped[str] = mapped_column(primary_key=True)
    step_id: Mapped[str | None]
    thread_id: Mapped[str | None]  # of a judgement of the whole thread; those of its steps have none
    # The thread in which it counts: that one, or the one of its step while that lives. Triggers keep it.
    counted_thread_id: Mapped[str | None]
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
    __table_args__ = (
        Index(None, "project_id", "step_id"),
        Index(None, "project_id", "object_key"),
        deleted_rows("attachments"),
    )

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


class StoredFile(Base):
    """An uploaded file that lies in the data folder; attachments name it by the object key `files/{id}`."""

    __tablename__ = "files"

    project_id: Mapped[str] = mapped_column(primary_key=True)
    id: Mapped[str] = mapped_column(primary_key=True)
    mime: Mapped[str]
    size: Mapped[int]
    created_at: Mapped[int]


class PurgedId(Base):
    """The id of a purged thread or participant as a digest, so that a late report does not bring it back."""

    __tablename__ = "purged_ids"

    project_id: Mapped[str] = mapped_column(primary_key=True)
    digest: Mapped[str] = mapped_column(primary_key=True)
    deleted_at: Mapped[int]


class SearchChange(Base):
    """A note by a trigger that a step or the name of a thread has changed, for the index of full text to take in."""

    __tablename__ = "search_changes"
    __table_args__ = {"sqlite_autoincrement": True}  # noqa: RUF012 - read once; no number is given out twice

    id: Mapped[int] = mapped_column(BigInteger().with_variant(Integer, "sqlite"), primary_key=True)
    project_id: Mapped[str]
    kind: Mapped[str]
    owner: Mapped[str]
    at: Mapped[int]


class AppliedPrices(Base):
    """By which prices the costs were worked out that are stored: one row."""

    __tablename__ = "applied_prices"

    fingerprint: Mapped[str] = mapped_column(primary_key=True)
