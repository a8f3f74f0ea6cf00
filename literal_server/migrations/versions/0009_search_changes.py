"""Notes of what has changed, for the index of full text: written by triggers, so that no writer can forget them."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"

_NOTE = (
    "INSERT INTO search_changes (project_id, kind, owner, at) VALUES ({row}.project_id, '{kind}', {row}.id,"
    " CAST((julianday('now') - 2440587.5) * 86400000000 AS INTEGER))"
)
# By table and event: when it says something about what can be found.
_TRIGGERS = (
    ("steps", "INSERT", "WHEN new.thread_id IS NOT NULL AND new.deleted_at IS NULL"),
    ("steps", "UPDATE OF thread_id, name, input, output, error, generation, deleted_at", ""),
    ("steps", "DELETE", ""),
    ("threads", "INSERT", "WHEN new.name IS NOT NULL AND new.deleted_at IS NULL"),
    ("threads", "UPDATE OF name, deleted_at", "WHEN new.name IS NOT NULL OR old.name IS NOT NULL"),
    ("threads", "DELETE", "WHEN old.name IS NOT NULL"),
)


def upgrade() -> None:
    """Make the table and the triggers; an index that does not exist yet notes all that is there by itself."""
    op.create_table(
        "search_changes",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("project_id", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sqlite_autoincrement=True,
    )
    for table, event, condition in _TRIGGERS:
        word = event.split()[0]
        note = _NOTE.format(row="old" if word == "DELETE" else "new", kind=table.removesuffix("s"))
        op.execute(f"CREATE TRIGGER {_name(table, word)} AFTER {event} ON {table} {condition} BEGIN {note}; END")


def downgrade() -> None:
    """Drop them."""
    for table, event, _ in _TRIGGERS:
        op.execute(f"DROP TRIGGER {_name(table, event.split()[0])}")
    op.drop_table("search_changes")


def _name(table: str, word: str) -> str:
    return f"search_{table}_{word.lower()}"
