"""What the completeness of a thread is told by: what each writer has put in it, and where in that its steps stand."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Add the table and the columns; what was stored before bears no stamp."""
    op.create_table(
        "thread_writers",
        sa.Column("project_id", sa.Text(), nullable=False),
        sa.Column("thread_id", sa.Text(), nullable=False),
        sa.Column("writer", sa.Text(), nullable=False),
        sa.Column("put", sa.BigInteger(), nullable=False),
        sa.Column("covered", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("skew", sa.BigInteger(), nullable=True),
        sa.Column("heard_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("project_id", "thread_id", "writer", name="pk_thread_writers"),
        sqlite_with_rowid=False,
    )
    op.add_column("steps", sa.Column("writer", sa.Text(), nullable=True))
    op.add_column("steps", sa.Column("sequence", sa.BigInteger(), nullable=True))


def downgrade() -> None:
    """Take them away again."""
    op.drop_column("steps", "sequence")
    op.drop_column("steps", "writer")
    op.drop_table("thread_writers")
