"""The migrations make the tables that the code expects."""

from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine

from literal_server.db import Database
from literal_server.tables import Base

pytestmark = pytest.mark.anyio


async def test_migrated_tables_are_the_declared_ones(tmp_path: Path) -> None:
    """From an empty file, and once more, the migrations lead to the declared tables."""
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
