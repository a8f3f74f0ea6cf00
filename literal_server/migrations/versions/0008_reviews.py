"""What reviewers leave: who has read a thread and when, judgements of whole threads, and comments."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"

IS_OF_THREAD = sa.text("thread_id IS NOT NULL")
IS_DELETED = sa.text("deleted_at IS NOT NULL")


def upgrade() -> None:
    """Add the columns, the table and the indexes, one with figures for the planner as 0005 has them."""
    op.add_column("threads", sa.Column("reviewed_at", sa.BigInteger(), nullable=True))
    op.add_column("threads", sa.Column("reviewed_by", sa.Text(), nullable=True))
    op.add_column("scores", sa.Column("thread_id", sa.Text(), nullable=True))
    op.create_index(
        "ix_scores_of_threads",
        "scores",
        ["project_id", "thread_id"],
        sqlite_where=IS_OF_THREAD,
        postgresql_where=IS_OF_THREAD,
    )
    op.create_table(
        "comments",
        sa.Column("project_id", sa.Text(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("thread_id", sa.Text(), nullable=False),
        sa.Column("step_id", sa.Text(), nullable=True),
        sa.Column("seconds", sa.Double(), nullable=True),
        sa.Column("author", sa.Text(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("deleted_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("project_id", "id", name="pk_comments"),
    )
    op.create_index("ix_comments_project_id_thread_id", "comments", ["project_id", "thread_id"])
    op.create_index(
        "ix_comments_deleted", "comments", ["deleted_at"], sqlite_where=IS_DELETED, postgresql_where=IS_DELETED
    )
    if op.get_bind().dialect.name == "sqlite":
        op.execute("INSERT INTO sqlite_stat1 VALUES ('scores', 'ix_scores_of_threads', '10000 10000 2')")
        op.execute("ANALYZE sqlite_schema")


def downgrade() -> None:
    """Take them away again."""
    if op.get_bind().dialect.name == "sqlite":
        op.execute("DELETE FROM sqlite_stat1 WHERE idx = 'ix_scores_of_threads'")
    op.drop_table("comments")
    op.drop_index("ix_scores_of_threads", "scores")
    op.drop_column("scores", "thread_id")
    op.drop_column("threads", "reviewed_by")
    op.drop_column("threads", "reviewed_at")
