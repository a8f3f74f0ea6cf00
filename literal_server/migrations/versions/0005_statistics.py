"""What SQLite's planner has to know of large tables: all rows share a few projects, and few share anything else.

Without it every index of a project looks the same to the planner, and lists that ask for scores or for one person's
threads read the whole project for each row. Figures of a large server, set once: a plan that changes with the data
would be slow first and right later, and connections that are open do not hear of new figures.
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

THREADS, STEPS, SCORES, ATTACHMENTS, PARTICIPANTS = 100_000, 1_000_000, 100_000, 50_000, 5_000

# By table and index: rows in it, then how many rows share its first column, its first two, and so on.
FIGURES = {
    ("threads", "sqlite_autoindex_threads_1"): (THREADS, THREADS, 1),
    ("threads", "ix_threads_project_id_created_at_id"): (THREADS, THREADS, 1, 1),
    ("threads", "ix_threads_project_id_last_activity_id"): (THREADS, THREADS, 1, 1),
    ("threads", "ix_threads_project_id_participant_id_created_at"): (THREADS, THREADS, 50, 1),
    ("threads", "ix_threads_deleted"): (1_000, 1),
    ("steps", "sqlite_autoindex_steps_1"): (STEPS, STEPS, 1),
    ("steps", "ix_steps_project_id_created_at_id"): (STEPS, STEPS, 1, 1),
    ("steps", "ix_steps_project_id_thread_id_start_time"): (STEPS, STEPS, 10, 1),
    ("steps", "ix_steps_project_id_parent_id"): (STEPS, STEPS, 5),
    ("steps", "ix_steps_project_id_prompt_id"): (STEPS, STEPS, 1_000),
    ("steps", "ix_steps_generations"): (300_000, 300_000, 1, 1),
    ("steps", "ix_steps_deleted"): (10_000, 10),
    ("scores", "sqlite_autoindex_scores_1"): (SCORES, SCORES, 1),
    ("scores", "ix_scores_project_id_created_at_id"): (SCORES, SCORES, 1, 1),
    ("scores", "ix_scores_project_id_step_id"): (SCORES, SCORES, 2),
    ("scores", "ix_scores_project_id_dataset_experiment_item_id"): (SCORES, SCORES, 1_000),
    ("scores", "ix_scores_deleted"): (1_000, 2),
    ("attachments", "sqlite_autoindex_attachments_1"): (ATTACHMENTS, ATTACHMENTS, 1),
    ("attachments", "ix_attachments_project_id_step_id"): (ATTACHMENTS, ATTACHMENTS, 2),
    ("attachments", "ix_attachments_project_id_object_key"): (ATTACHMENTS, ATTACHMENTS, 2),
    ("attachments", "ix_attachments_deleted"): (1_000, 2),
    ("participants", "sqlite_autoindex_participants_1"): (PARTICIPANTS, PARTICIPANTS, 1),
    ("participants", "ix_participants_project_id_created_at_id"): (PARTICIPANTS, PARTICIPANTS, 1, 1),
    ("participants", "uq_participants_living_identifier"): (PARTICIPANTS, PARTICIPANTS, 1),
    ("participants", "ix_participants_deleted"): (100, 1),
}

LOAD = "ANALYZE sqlite_schema"


def upgrade() -> None:
    """Write the figures; this connection reads them at once, others when they are opened."""
    if op.get_bind().dialect.name != "sqlite":
        return
    op.execute("ANALYZE alembic_version")  # of the smallest table, only to have the planner's own table made
    op.execute("DELETE FROM sqlite_stat1")
    figures = sa.table("sqlite_stat1", sa.column("tbl"), sa.column("idx"), sa.column("stat"))
    rows = [{"tbl": table, "idx": index, "stat": " ".join(map(str, told))} for (table, index), told in FIGURES.items()]
    op.bulk_insert(figures, rows)
    op.execute(LOAD)


def downgrade() -> None:
    """Leave the planner to guess again."""
    if op.get_bind().dialect.name == "sqlite":
        op.execute("DROP TABLE sqlite_stat1")
        op.execute(LOAD)
