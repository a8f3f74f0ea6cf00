"""The bytes of stored files in an export: some lines a file, a part in each, put together again by an import."""

import asyncio
import base64
import binascii
import tempfile
import uuid
from collections.abc import AsyncIterator, Mapping
from typing import Any, BinaryIO

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from literal_server import clock, files
from literal_server.db import Database
from literal_server.errors import Refused
from literal_server.exchange import lines
from literal_server.files import FileStore
from literal_server.tables import StoredFile

PART_BYTES = 1024 * 1024


async def file_lines(store: FileStore, stored: StoredFile) -> AsyncIterator[dict[str, Any]]:
    """Yield the lines of a file; none when its bytes are lost."""
    parts = max(1, -(-stored.size // PART_BYTES))
    try:
        with store.path(stored.id).open("rb") as file:
            for part in range(parts):
                content = await asyncio.to_thread(file.read, PART_BYTES)
                line = {"kind": lines.FILE, **lines.write_row(stored), "part": part, "parts": parts}
                yield line | {"base64": base64.b64encode(content).decode()}
    except OSError:
        return


async def own_id(session: AsyncSession, project: str, identity: str) -> str:
    """Answer the id of an imported file: another one where a file of another project has it, as bytes lie by id."""
    others = select(StoredFile.id).where(StoredFile.id == identity, StoredFile.project_id != project)
    if await session.scalar(others.limit(1)) is None:
        return identity
    return str(uuid.uuid5(uuid.NAMESPACE_OID, f"{project} {identity}"))


async def own_key(session: AsyncSession, project: str, key: Any) -> Any:
    """Answer the object key of an imported attachment; one that is none of ours stays what it is."""
    prefix = files.object_key("")
    if not isinstance(key, str) or not key.startswith(prefix):
        return key
    return files.object_key(await own_id(session, project, key.removeprefix(prefix)))


class Arrivals:
    """Puts the parts of files together, one file at a time, and stores each that is whole."""

    def __init__(self, database: Database, store: FileStore, project: str, max_bytes: int) -> None:
        self._database = database
        self._store = store
        self._project = project
        self._max_bytes = max_bytes
        self._draft: BinaryIO | None = None
        self._expected: tuple[str, int] = ("", 0)

    async def take(self, line: Mapping[str, Any]) -> bool | None:
        """Take one part: None while others are missing, else whether the file is new. Raises Refused."""
        identity, mime = lines.text(line, "id", required=True) or "", files.media_type(line.get("mime"))
        part, parts = line.get("part"), line.get("parts")
        if type(part) is not int or type(parts) is not int or not 0 <= part < parts:
            raise Refused("A line of a file says which part of how many it is.")
        if part == 0:
            self.close()
            self._draft = tempfile.TemporaryFile()  # noqa: SIM115 - it stays open until the last part
        elif self._expected != (identity, part):
            raise Refused("The part before this one is missing.")
        if self._draft is None:
            raise Refused("The part before this one is missing.")
        self._expected = (identity, part + 1)
        await asyncio.to_thread(self._draft.write, _decoded(line.get("base64")))
        if self._draft.tell() > self._max_bytes:
            self.close()
            raise Refused(f"The file is larger than MAX_FILE_BYTES ({self._max_bytes}).")
        return await self._finish(identity, mime, line) if part + 1 == parts else None

    async def _finish(self, identity: str, mime: str, line: Mapping[str, Any]) -> bool:
        draft = self._draft
        if draft is None:
            raise Refused("The part before this one is missing.")
        async with self._database.reading() as session:
            identity = await own_id(session, self._project, identity)
        draft.seek(0)
        size = await asyncio.to_thread(self._store.put, identity, draft)
        self.close()
        async with self._database.writing() as session:
            is_new = await session.get(StoredFile, (self._project, identity)) is None
            if is_new:
                moment = lines.moment(line, "createdAt") or clock.now()
                row = StoredFile(project_id=self._project, id=identity, mime=mime, size=size, created_at=moment)
                session.add(row)
        return is_new

    def close(self) -> None:
        """Forget what has come of a file that is not whole."""
        if self._draft is not None:
            self._draft.close()
        self._draft, self._expected = None, ("", 0)


def _decoded(value: Any) -> bytes:
    try:
        return base64.b64decode(value if isinstance(value, str) else "?", validate=True)
    except (binascii.Error, ValueError):
        raise Refused("The content of the file is not base64.") from None
