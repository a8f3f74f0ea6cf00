"""The thread that each score counts in, beside the score: to ask its step for it took a look at two tables for each.

Triggers keep it, so that no writer can forget it, whichever of step and score comes first.
"""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"

COUNTS = sa.text("deleted_at IS NULL AND counted_thread_id IS NOT NULL")
# With `deleted_at`, which is null in all of it: without, SQLite looks at each row to see that.
INDEXES = {
    "ix_scores_counted_by_name": ["project_id", "name", "value", "counted_thread_id", "deleted_at"],
    "ix_scores_counted_by_thread": ["project_id", "counted_thread_id"],
}
# As 0005 has them, for rows of which some are deleted or count nowhere.
FIGURES = {
    "ix_scores_counted_by_name": "90000 90000 9000 900 2 2",
    "ix_scores_counted_by_thread": "90000 90000 2",
}

_OF_SCORE = (
    "coalesce(thread_id, (SELECT steps.thread_id FROM steps WHERE steps.project_id = scores.project_id"
    " AND steps.id = scores.step_id AND steps.deleted_at IS NULL))"
)
_LAY_ON_SCORE = f"UPDATE scores SET counted_thread_id = {_OF_SCORE} WHERE project_id = new.project_id AND id = new.id"  # noqa: S608 - ours
_LAY_ON_SCORES = (
    "UPDATE scores SET counted_thread_id = {thread}"
    " WHERE project_id = {row}.project_id AND step_id = {row}.id AND thread_id IS NULL"
)
_OF_LIVING = _LAY_ON_SCORES.format(row="new", thread="CASE WHEN new.deleted_at IS NULL THEN new.thread_id END")
# By name: the event, and what is done.
_TRIGGERS = {
    "counted_scores_insert": (
        "INSERT ON scores WHEN new.step_id IS NOT NULL OR new.thread_id IS NOT NULL",
        _LAY_ON_SCORE,
    ),
    "counted_scores_update": ("UPDATE OF step_id, thread_id ON scores", _LAY_ON_SCORE),
    "counted_steps_insert": ("INSERT ON steps WHEN new.thread_id IS NOT NULL AND new.deleted_at IS NULL", _OF_LIVING),
    "counted_steps_update": (
        "UPDATE OF thread_id, deleted_at ON steps"
        " WHEN new.thread_id IS NOT old.thread_id OR new.deleted_at IS NOT old.deleted_at",
        _OF_LIVING,
    ),
    "counted_steps_delete": ("DELETE ON steps", _LAY_ON_SCORES.format(row="old", thread="NULL")),
}


def upgrade() -> None:
    """Add the column, fill it, and make its indexes and triggers."""
    op.add_column("scores", sa.Column("counted_thread_id", sa.Text(), nullable=True))
    op.execute(f"UPDATE scores SET counted_thread_id = {_OF_SCORE}")  # noqa: S608 - ours
    for name, columns in INDEXES.items():
        op.create_index(name, "scores", columns, sqlite_where=COUNTS, postgresql_where=COUNTS)
    for name, (event, done) in _TRIGGERS.items():
        op.execute(f"CREATE TRIGGER {name} AFTER {event} BEGIN {done}; END")
    if op.get_bind().dialect.name == "sqlite":
        for name, told in FIGURES.items():
            op.execute(f"INSERT INTO sqlite_stat1 VALUES ('scores', '{name}', '{told}')")  # noqa: S608 - ours
        op.execute("ANALYZE sqlite_schema")


def downgrade() -> None:
    """Take them away again."""
    for name in _TRIGGERS:
        op.execute(f"DROP TRIGGER {name}")
    for name in INDEXES:
        if op.get_bind().dialect.name == "sqlite":
            op.execute(f"DELETE FROM sqlite_stat1 WHERE idx = '{name}'")  # noqa: S608 - ours
        op.drop_index(name, "scores")
    op.drop_column("scores", "counted_thread_id")
