"""The migrations make the tables that the code expects."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy import Connection, Engine, create_engine, inspect, select, text
from sqlalchemy.dialects import sqlite

from literal_server import collection_tables, review_tables, thread_query
from literal_server.db import MIGRATIONS, Database
from literal_server.tables import Base, Thread

pytestmark = pytest.mark.anyio


@contextmanager
def at_revision(engine: Engine, revision: str) -> Iterator[Connection]:
    """Make the tables as an older version had them, for its rows to be put in."""
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
        yield connection


async def test_migrated_tables_are_the_declared_ones(tmp_path: Path) -> None:
    """From an empty file, and once more, the migrations lead to the declared tables."""
    assert collection_tables.Dataset.metadata is review_tables.Comment.metadata is Base.metadata
    path = tmp_path / "literal.db"
    for _ in range(2):
        database = Database(path)
        await database.migrate()
        await database.close()
    engine = create_engine(f"sqlite:///{path}")
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), Base.metadata) == []
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
    engine.dispose()


async def test_older_generations_get_their_columns(tmp_path: Path) -> None:
    """What lists sort by is taken out of the generations that were stored before there were columns for it."""
    path = tmp_path / "literal.db"
    engine = create_engine(f"sqlite:///{path}")
    with at_revision(engine, "0001") as connection:
        for number, generation in enumerate(['{"duration": 1.5, "promptId": "p"}', '{"duration": "long"}', None]):
            connection.exec_driver_sql(
                "INSERT INTO steps (project_id, id, type, created_at, updated_at, is_error, generation)"
                " VALUES ('p', ?, 'llm', 0, 0, 0, ?)",
                (str(number), generation),
            )
    database = Database(path)
    await database.migrate()
    await database.close()
    with engine.connect() as connection:
        found = connection.exec_driver_sql("SELECT duration, prompt_id FROM steps ORDER BY id").all()
    engine.dispose()

    assert [tuple(row) for row in found] == [(1.5, "p"), (None, None), (None, None)]


async def test_older_scores_get_their_threads(tmp_path: Path) -> None:
    """Scores that were stored before count in the thread of their living step, or in the one that they are given to."""
    path = tmp_path / "literal.db"
    engine = create_engine(f"sqlite:///{path}")
    with at_revision(engine, "0011") as connection:
        for step, deleted_at in (("there", None), ("deleted", 1)):
            connection.exec_driver_sql(
                "INSERT INTO steps (project_id, id, thread_id, type, created_at, updated_at, deleted_at, is_error)"
                " VALUES ('p', ?, 't', 'run', 0, 0, ?, 0)",
                (step, deleted_at),
            )
        scores = (("1", "there", None), ("2", "deleted", None), ("3", "unknown", None), ("4", None, "whole"))
        for score in scores:
            connection.exec_driver_sql(
                "INSERT INTO scores (project_id, id, step_id, thread_id, name, type, value, created_at, updated_at)"
                " VALUES ('p', ?, ?, ?, 'n', 'HUMAN', 1, 0, 0)",
                score,
            )
    database = Database(path)
    await database.migrate()
    await database.close()
    with engine.connect() as connection:
        found = connection.exec_driver_sql("SELECT counted_thread_id FROM scores ORDER BY id").scalars().all()
    engine.dispose()

    assert found == ["t", None, None, "whole"]


@pytest.mark.parametrize("query", ['score["user-feedback"] < 1', 'user = ada and tool = "search"', "step.error"])
async def test_the_planner_knows_large_tables(tmp_path: Path, query: str) -> None:
    """Asked of a new database, steps are looked up by their thread and scores by their step, not by the project."""
    database = Database(tmp_path / "literal.db")
    await database.migrate()
    asked = select(Thread.id).where(
        Thread.project_id == "p", thread_query.condition(thread_query.read(query), thread_query.Scope("p", 0, 0, {}))
    )
    written = asked.compile(dialect=sqlite.dialect(), compile_kwargs={"literal_binds": True})
    async with database.reading() as session:
        plan = [row.detail for row in await session.execute(text(f"EXPLAIN QUERY PLAN {written}"))]
    await database.close()

    inner = [line for line in plan if line.startswith("SEARCH") and not line.startswith("SEARCH threads")]
    assert inner
    assert [line for line in inner if line.endswith("(project_id=?)")] == []


@pytest.mark.parametrize("query", ["errors > 3", "errors", "errors >= 1", "tool.error"])
async def test_a_list_of_failed_threads_looks_at_no_others(tmp_path: Path, query: str) -> None:
    """Also with bound values, which tell the planner nothing, the newest of them come from an index of theirs."""
    database = Database(tmp_path / "literal.db")
    await database.migrate()
    living = (Thread.project_id == "p", Thread.deleted_at.is_(None))
    condition = thread_query.condition(thread_query.read(query), thread_query.Scope("p", 0, 0, {}))
    newest = (
        select(Thread.id).where(*living, condition).order_by(Thread.last_activity.desc(), Thread.id.desc()).limit(9)
    )
    asked = newest.compile(dialect=sqlite.dialect(), compile_kwargs={"render_postcompile": True})
    values = tuple(asked.params[name] for name in asked.positiontup or ())
    async with database.reading() as session:
        connection = await session.connection()
        plan = (await connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {asked}", values)).all()
    await database.close()

    assert [row.detail for row in plan if "threads" in row.detail] == [
        "SEARCH threads USING INDEX ix_threads_with_errors (project_id=?)"
    ]


def test_the_planners_figures_are_of_indexes_that_exist(migrated: Path) -> None:
    """Each table that has figures has them for all of its indexes, under their names."""
    engine = create_engine(f"sqlite:///{migrated}")
    with engine.connect() as connection:
        told = {tuple(row) for row in connection.exec_driver_sql("SELECT tbl, idx FROM sqlite_stat1")}
        indexes = connection.exec_driver_sql("SELECT tbl_name, name FROM sqlite_schema WHERE type = 'index'")
        there = {tuple(row) for row in indexes}
    engine.dispose()

    assert told == {(table, index) for table, index in there if table in {table for table, _ in told}}
    assert {table for table, _ in told} == {"participants", "threads", "steps", "scores", "attachments"}


def test_the_way_back(tmp_path: Path) -> None:
    """From the newest form back to the first, with the rows it knows, and forth again; then back to nothing."""
    engine = create_engine(f"sqlite:///{tmp_path / 'literal.db'}")
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    forms: list[dict[str, set[str]]] = []
    for move, revision in (
        (command.upgrade, "0001"),
        (command.upgrade, "head"),
        (command.downgrade, "0001"),
        (command.upgrade, "head"),
        (command.downgrade, "base"),
    ):
        with engine.begin() as connection:
            config.attributes["connection"] = connection
            move(config, revision)
            if not forms:
                connection.exec_driver_sql(
                    "INSERT INTO steps (project_id, id, type, created_at, updated_at, is_error, generation)"
                    " VALUES ('p', 's', 'llm', 1, 2, 0, '{}')"
                )
            looked = inspect(connection)
            forms.append(
                {table: {one["name"] for one in looked.get_columns(table)} for table in looked.get_table_names()}
            )
            if "steps" in forms[-1]:
                row = connection.exec_driver_sql("SELECT id, type, created_at, updated_at, generation FROM steps").one()
                assert tuple(row) == ("s", "llm", 1, 2, "{}")
    engine.dispose()

    assert forms[0] == forms[2] != forms[1] == forms[3]
    assert set(forms[4]) <= {"alembic_version"}
