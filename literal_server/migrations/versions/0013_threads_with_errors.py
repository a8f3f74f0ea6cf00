"""The threads with errors by their last activity: most have none, and a filter by errors looked at each thread."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"

NAME = "ix_threads_with_errors"
WHICH = sa.text("error_count > 0 AND deleted_at IS NULL")
FIGURES = "5000 5000 1 1"  # as 0005 has them


def upgrade() -> None:
    """Make the index, and tell the planner of it."""
    columns = ["project_id", "last_activity", "id"]
    op.create_index(NAME, "threads", columns, sqlite_where=WHICH, postgresql_where=WHICH)
    if op.get_bind().dialect.name == "sqlite":
        op.execute(f"INSERT INTO sqlite_stat1 VALUES ('threads', '{NAME}', '{FIGURES}')")  # noqa: S608 - ours
        op.execute("ANALYZE sqlite_schema")


def downgrade() -> None:
    """Take it away again."""
    if op.get_bind().dialect.name == "sqlite":
        op.execute(f"DELETE FROM sqlite_stat1 WHERE idx = '{NAME}'")  # noqa: S608 - ours
    op.drop_index(NAME, "threads")
