"""The first tables: projects, keys, participants, threads, steps, scores, attachments."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

LIVING = sa.text("deleted_at IS NULL")


def text(name: str, *, null: bool = True) -> "sa.Column[str]":
    """Make a column of text."""
    return sa.Column(name, sa.Text(), nullable=null)


def moment(name: str, *, null: bool = True) -> "sa.Column[int]":
    """Make a column of microseconds, or of a count."""
    return sa.Column(name, sa.BigInteger(), nullable=null)


def json(name: str, *, null: bool = True) -> "sa.Column[object]":
    """Make a column of JSON."""
    return sa.Column(name, sa.JSON(none_as_null=True), nullable=null)


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "projects",
        text("id", null=False),
        text("name", null=False),
        moment("created_at", null=False),
        sa.PrimaryKeyConstraint("id", name="pk_projects"),
    )
    op.create_table(
        "api_keys",
        text("digest", null=False),
        text("project_id", null=False),
        text("name", null=False),
        moment("created_at", null=False),
        moment("revoked_at"),
        sa.PrimaryKeyConstraint("digest", name="pk_api_keys"),
    )
    _participants_and_threads()
    _steps()
    _scores_and_attachments()


def _participants_and_threads() -> None:
    op.create_table(
        "participants",
        text("project_id", null=False),
        text("id", null=False),
        text("identifier", null=False),
        moment("created_at", null=False),
        moment("deleted_at"),
        json("metadata", null=False),
        sa.PrimaryKeyConstraint("project_id", "id", name="pk_participants"),
    )
    op.create_index("ix_participants_project_id_created_at_id", "participants", ["project_id", "created_at", "id"])
    op.create_index(
        "uq_participants_living_identifier",
        "participants",
        ["project_id", "identifier"],
        unique=True,
        sqlite_where=LIVING,
        postgresql_where=LIVING,
    )
    op.create_table(
        "threads",
        text("project_id", null=False),
        text("id", null=False),
        text("name"),
        text("participant_id"),
        text("environment"),
        moment("created_at", null=False),
        moment("deleted_at"),
        moment("last_activity", null=False),
        moment("first_start"),
        moment("last_end"),
        moment("token_count", null=False),
        sa.Column("cost", sa.Double(), nullable=False),
        moment("error_count", null=False),
        moment("turn_count", null=False),
        moment("open_count", null=False),
        json("tags", null=False),
        json("metadata", null=False),
        sa.PrimaryKeyConstraint("project_id", "id", name="pk_threads"),
    )
    op.create_index("ix_threads_project_id_created_at_id", "threads", ["project_id", "created_at", "id"])
    op.create_index("ix_threads_project_id_last_activity_id", "threads", ["project_id", "last_activity", "id"])
    of_participant = ["project_id", "participant_id", "created_at"]
    op.create_index("ix_threads_project_id_participant_id_created_at", "threads", of_participant)


def _steps() -> None:
    op.create_table(
        "steps",
        text("project_id", null=False),
        text("id", null=False),
        text("thread_id"),
        text("parent_id"),
        text("root_run_id"),
        text("type", null=False),
        text("name"),
        text("environment"),
        moment("start_time"),
        moment("end_time"),
        moment("created_at", null=False),
        moment("updated_at", null=False),
        moment("deleted_at"),
        sa.Column("is_error", sa.Boolean(), nullable=False),
        text("model"),
        text("provider"),
        moment("input_tokens"),
        moment("output_tokens"),
        moment("token_count"),
        sa.Column("cost", sa.Double()),
        text("error"),
        json("tags"),
        json("metadata"),
        json("input"),
        json("output"),
        json("generation"),
        sa.PrimaryKeyConstraint("project_id", "id", name="pk_steps"),
    )
    op.create_index("ix_steps_project_id_created_at_id", "steps", ["project_id", "created_at", "id"])
    op.create_index("ix_steps_project_id_parent_id", "steps", ["project_id", "parent_id"])
    op.create_index("ix_steps_project_id_thread_id_start_time", "steps", ["project_id", "thread_id", "start_time"])


def _scores_and_attachments() -> None:
    op.create_table(
        "scores",
        text("project_id", null=False),
        text("id", null=False),
        text("step_id"),
        text("generation_id"),
        text("dataset_experiment_item_id"),
        text("name", null=False),
        text("type", null=False),
        sa.Column("value", sa.Double(), nullable=False),
        text("label"),
        text("scorer"),
        text("comment"),
        json("tags"),
        moment("created_at", null=False),
        moment("updated_at", null=False),
        moment("deleted_at"),
        sa.PrimaryKeyConstraint("project_id", "id", name="pk_scores"),
    )
    op.create_index("ix_scores_project_id_created_at_id", "scores", ["project_id", "created_at", "id"])
    op.create_index("ix_scores_project_id_step_id", "scores", ["project_id", "step_id"])
    op.create_table(
        "attachments",
        text("project_id", null=False),
        text("id", null=False),
        text("step_id"),
        text("thread_id"),
        text("name"),
        text("mime"),
        text("object_key"),
        text("url"),
        json("metadata"),
        moment("created_at", null=False),
        moment("deleted_at"),
        sa.PrimaryKeyConstraint("project_id", "id", name="pk_attachments"),
    )
    op.create_index("ix_attachments_project_id_step_id", "attachments", ["project_id", "step_id"])


def downgrade() -> None:
    """Drop the tables."""
    for table in ("attachments", "scores", "steps", "threads", "participants", "api_keys", "projects"):
        op.drop_table(table)
