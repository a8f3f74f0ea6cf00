"""What deleting, merging and large values need.

Who deleted a thread, which rows are emptied, which ids must not come back; by which report a field of a step was told;
which values lie in files.
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

JSON_COLUMNS = (("steps", "stamps"), ("steps", "payloads"), ("threads", "payloads"))
TABLES = ("participants", "threads", "steps", "scores", "attachments")


def upgrade() -> None:
    """Add the columns, the table of purged ids, and an index of the deleted rows of each table."""
    op.add_column("threads", sa.Column("deleted_by", sa.Text(), nullable=True))
    for table, column in JSON_COLUMNS:
        op.add_column(table, sa.Column(column, sa.JSON(none_as_null=True), nullable=True))
    op.add_column("steps", sa.Column("purged_at", sa.BigInteger(), nullable=True))
    op.create_table(
        "purged_ids",
        sa.Column("project_id", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("deleted_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("project_id", "digest", name="pk_purged_ids"),
    )
    for table in TABLES:
        which = sa.text("deleted_at IS NOT NULL" + (" AND purged_at IS NULL" if table == "steps" else ""))
        op.create_index(f"ix_{table}_deleted", table, ["deleted_at"], sqlite_where=which, postgresql_where=which)


def downgrade() -> None:
    """Take them away again."""
    for table in TABLES:
        op.drop_index(f"ix_{table}_deleted", table)
    op.drop_table("purged_ids")
    op.drop_column("steps", "purged_at")
    op.drop_column("threads", "deleted_by")
    for table, column in JSON_COLUMNS:
        op.drop_column(table, column)
