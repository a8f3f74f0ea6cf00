"""Uploaded files, datasets, experiments and prompts; what lists of generations sort and filter by becomes columns."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

GENERATIONS = sa.text("generation IS NOT NULL")


def text(name: str, *, null: bool = True) -> "sa.Column[str]":
    """Make a column of text."""
    return sa.Column(name, sa.Text(), nullable=null)


def number(name: str, *, null: bool = True) -> "sa.Column[int]":
    """Make a column of microseconds, of a count or of a size."""
    return sa.Column(name, sa.BigInteger(), nullable=null)


def json(name: str, *, null: bool = True) -> "sa.Column[object]":
    """Make a column of JSON."""
    return sa.Column(name, sa.JSON(none_as_null=True), nullable=null)


def in_project(table: str, *columns: sa.schema.SchemaItem, deletable: bool = True) -> None:
    """Make a table whose rows have an id in a project and a moment of creation."""
    op.create_table(
        table,
        text("project_id", null=False),
        text("id", null=False),
        *columns,
        number("created_at", null=False),
        *([number("deleted_at")] if deletable else []),
        sa.PrimaryKeyConstraint("project_id", "id", name=f"pk_{table}"),
    )


def index(table: str, *columns: str) -> None:
    """Make an index within the project."""
    op.create_index(f"ix_{table}_{'_'.join(('project_id', *columns))}", table, ["project_id", *columns])


def upgrade() -> None:
    """Make the tables and columns."""
    _generations()
    index("scores", "dataset_experiment_item_id")
    index("attachments", "object_key")
    in_project("files", text("mime", null=False), number("size", null=False), deletable=False)
    _datasets()
    _prompts()


def _generations() -> None:
    op.add_column("steps", sa.Column("duration", sa.Double()))
    op.add_column("steps", text("prompt_id"))
    op.create_index(
        "ix_steps_generations",
        "steps",
        ["project_id", "created_at", "id"],
        sqlite_where=GENERATIONS,
        postgresql_where=GENERATIONS,
    )
    index("steps", "prompt_id")
    _fill_new_columns(op.get_bind())


def _fill_new_columns(connection: sa.Connection) -> None:
    steps = sa.Table("steps", sa.MetaData(), text("project_id"), text("id"), text("prompt_id"), json("generation"))
    steps.append_column(sa.Column("duration", sa.Double()))
    generations = sa.select(steps.c.project_id, steps.c.id, steps.c.generation).where(GENERATIONS)
    for project, identity, told in connection.execute(generations).all():
        seconds, prompt = told.get("duration"), told.get("promptId")
        is_number = isinstance(seconds, int | float) and not isinstance(seconds, bool)
        values = {"duration": seconds if is_number else None, "prompt_id": prompt if isinstance(prompt, str) else None}
        if any(values.values()):
            here = (steps.c.project_id == project, steps.c.id == identity)
            connection.execute(steps.update().where(*here).values(values))


def _datasets() -> None:
    in_project(
        "datasets",
        text("name", null=False),
        text("description"),
        text("type", null=False),
        json("metadata", null=False),
        number("updated_at", null=False),
    )
    index("datasets", "created_at", "id")
    index("datasets", "name")
    in_project(
        "dataset_items",
        text("dataset_id", null=False),
        text("step_id"),
        json("metadata", null=False),
        json("input"),
        json("expected_output"),
        json("intermediary_steps"),
    )
    index("dataset_items", "dataset_id", "created_at", "id")
    in_project("experiments", text("name", null=False), text("dataset_id"), text("prompt_variant_id"), json("params"))
    index("experiments", "created_at", "id")
    index("experiments", "dataset_id")
    in_project(
        "experiment_items",
        text("experiment_id", null=False),
        text("run_id"),
        text("dataset_item_id"),
        json("input"),
        json("output"),
    )
    index("experiment_items", "experiment_id", "created_at", "id")


def _prompts() -> None:
    in_project(
        "prompt_lineages",
        text("name", null=False),
        text("description"),
        sa.UniqueConstraint("project_id", "name", name="uq_prompt_lineages_project_id_name"),
    )
    in_project(
        "prompt_versions",
        text("lineage_id", null=False),
        number("version", null=False),
        text("type", null=False),
        text("label"),
        text("status"),
        text("description"),
        json("tags", null=False),
        json("template_messages", null=False),
        json("tools"),
        json("settings", null=False),
        json("variables", null=False),
        json("variables_default_values", null=False),
        sa.Column("rollout", sa.Double()),
        text("fingerprint", null=False),
        number("updated_at", null=False),
        sa.UniqueConstraint(
            "project_id", "lineage_id", "version", name="uq_prompt_versions_project_id_lineage_id_version"
        ),
        deletable=False,
    )
    index("prompt_versions", "lineage_id", "fingerprint")
    in_project(
        "prompt_variants",
        text("from_lineage_id"),
        number("from_version"),
        text("score_template_id"),
        json("template_messages", null=False),
        json("tools"),
        json("settings", null=False),
        json("variables", null=False),
    )
    index("prompt_variants", "created_at", "id")


def downgrade() -> None:
    """Drop them."""
    prompts = ("prompt_variants", "prompt_versions", "prompt_lineages")
    for table in (*prompts, "experiment_items", "experiments", "dataset_items", "datasets", "files"):
        op.drop_table(table)
    op.drop_index("ix_attachments_project_id_object_key", "attachments")
    op.drop_index("ix_scores_project_id_dataset_experiment_item_id", "scores")
    op.drop_index("ix_steps_project_id_prompt_id", "steps")
    op.drop_index("ix_steps_generations", "steps")
    op.drop_column("steps", "prompt_id")
    op.drop_column("steps", "duration")
