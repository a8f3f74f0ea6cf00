"""Two stores side by side, and what lies in them as plain values to compare."""

import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sqlalchemy import select

from literal_server.db import Database
from literal_server.exchange import lines
from literal_server.exchange.export import Selection, export
from literal_server.exchange.importing import Import, Report
from literal_server.exchange.source import Limits, Row, read
from literal_server.exchange.stored import Arrivals
from literal_server.files import FileStore
from literal_server.review_tables import Comment
from literal_server.tables import Project

LIMITS = Limits(line_bytes=2_000_000, nesting=50, id_length=1_000)
PROJECT = Project(id="p-1", name="p", created_at=1)


def store_of(database: Database) -> FileStore:
    """Answer where the files of a store lie: beside its database."""
    return FileStore(Path(f"{database._engine.url.database}.files"), b"secret")


async def export_all(database: Database, project: Project = PROJECT, **selection: Any) -> list[dict[str, Any]]:
    """Answer the lines of an export, as they come out of its text."""
    told = [line async for line in export(database, Selection(project, store_of(database), **selection))]
    return [json.loads(json.dumps(line)) for line in told]


async def take_in(
    database: Database, content: bytes | list[Any], project: Project = PROJECT, limits: Limits = LIMITS
) -> tuple[Report, list[str]]:
    """Import lines or the bytes of a file; answers the report and the words on what was not taken."""
    if isinstance(content, list):
        content = b"".join(json.dumps(line).encode() + b"\n" for line in content)
    words: list[str] = []

    def told(row: Row, reason: str) -> None:
        words.append(f"{row.place}: {reason}")

    arrivals = Arrivals(database, store_of(database), project.id, 3_000_000)
    report = await Import(database, arrivals, project, told).run(read(io.BytesIO(content), limits))
    return report, words


async def everything(database: Database) -> dict[str, list[Mapping[str, Any]]]:
    """Answer all columns of all rows, those that are worked out too; only the project is left out."""
    found: dict[str, list[Mapping[str, Any]]] = {}
    async with database.reading() as session:
        tables: dict[str, Any] = {**lines.KINDS, "comment": Comment}
        for kind, table in tables.items():
            names = {one.key for one in table.__mapper__.column_attrs} - {"project_id"}
            rows = await session.scalars(select(table))
            # The totals of a deleted thread are counted when it is restored.
            found[kind] = sorted(
                ({name: getattr(row, name) for name in names - _hidden(kind, row)} for row in rows),
                key=lambda row: str(row["id"]),
            )
    return found


def _hidden(kind: str, row: Any) -> set[str]:
    return {"turn_count", "token_count", "error_count", "open_count"} if kind == "thread" and row.deleted_at else set()
