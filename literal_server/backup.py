"""A data folder copied while a server works in it, checked, and put back.

Database first, then exactly the files that the copy of it names: a file is there before its row is committed, so none
can be missing but those that a purge has taken since, and what is purged then is due to be purged in the copy as well.
The database gets its name last, so that a half is never taken for a whole.
"""

import asyncio
import hashlib
import os
import secrets
import shutil
import sqlite3
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import exists, func, select
from sqlalchemy.exc import DBAPIError

from literal_server import files, payloads
from literal_server.data_folder import FILE_SECRET, KEY_FILE, make_data_folder, sync
from literal_server.db import Database
from literal_server.errors import Refused
from literal_server.files import FileStore
from literal_server.settings import ServerSettings
from literal_server.tables import Attachment, Step, StoredFile, Thread

_KEPT = (KEY_FILE, FILE_SECRET)
_FOLDERS = ("files", "payloads")


@dataclass(frozen=True)
class NamedFile:
    """A file that the database names: its size or the digest of its content, and whether its row is deleted."""

    path: Path
    size: int | None = None
    digest: str | None = None
    is_deleted: bool = False

    def problem(self) -> str | None:
        """Say what is wrong with it. Blocks: call it in a thread."""
        try:
            content = self.path.read_bytes() if self.digest else b""
            size = self.path.stat().st_size
        except OSError as error:
            return None if self.is_deleted and not self.path.exists() else f"{self.path}: {error.strerror}"
        if self.size not in (None, size):
            return f"{self.path}: {size:,} bytes instead of {self.size:,}"
        if self.digest not in (None, hashlib.sha256(content).hexdigest()):
            return f"{self.path}: its content is not what was stored"
        return None


@dataclass
class Checked:
    """What a look at a data folder has found: how many threads, steps and files, and what is wrong."""

    threads: int = 0
    steps: int = 0
    files: int = 0
    problems: list[str] = field(default_factory=list)


async def back_up(settings: ServerSettings, target: Path) -> Checked:
    """Copy the data folder to a new one, which appears when it is whole, and check the copy.

    Raises Refused when the target is there already or there is nothing to copy, OSError when it cannot be written.
    """
    _must_be_free(target)
    _must_hold_database(settings.data_dir)
    draft = target.with_name(f"{target.name}.{secrets.token_hex(4)}.part")
    try:
        checked = await _copied(settings, draft)
        draft.rename(target)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise
    sync(target.parent)
    return checked


async def check(settings: ServerSettings) -> Checked:
    """Read everything in a data folder: the database page by page, and each file that it names.

    Raises Refused when there is no database in it.
    """
    _must_hold_database(settings.data_dir)
    checked = Checked()
    try:
        async with _opened(settings) as database:
            checked.problems += await database.problems()
            if not checked.problems:
                await _check_rows(database, settings, checked)
    except DBAPIError as error:
        checked.problems.append(f"The database cannot be read: {error.orig}.")
    return checked


async def put_back(settings: ServerSettings, source: Path) -> Checked:
    """Copy a backup into a data folder that holds none of this yet, bring it to the newest form, and check it there.

    The caller holds the lock of the folder. Raises Refused when that holds data, or the backup none; DatabaseTooNew
    when a newer version has made the backup; OSError when the folder cannot be written. It is left empty then.
    """
    _must_hold_database(source)
    made = (settings.database_path.name, _draft(settings).name, *_KEPT, *_FOLDERS)
    there = [name for name in made if (settings.data_dir / name).exists()]
    if there:
        raise Refused(
            f"{settings.data_dir} holds data already ({there[0]}), which is never overwritten. "
            "Set DATA_DIR to a new folder, or move this one away."
        )
    try:
        return await _copied(settings.model_copy(update={"data_dir": source}), settings.data_dir, renew=True)
    except BaseException:
        for name in made:
            _remove(settings.data_dir / name)
        raise


async def _copied(source: ServerSettings, folder: Path, *, renew: bool = False) -> Checked:
    make_data_folder(folder)
    there = source.model_copy(update={"data_dir": folder})
    draft = _draft(there)
    async with _opened(source) as database:
        try:
            await database.copy_to(draft)
        except sqlite3.Error as error:
            raise Refused(f"The database cannot be copied to {folder}: {error}.") from error
    draft.chmod(0o600)
    for name in _KEPT:
        if (source.data_dir / name).exists():
            _copy(source.data_dir / name, folder / name)
    async with _opened(there, draft) as database:
        if renew:
            await database.migrate()
        async with aclosing(_named_files(database, there)) as named:
            async for file in named:
                await asyncio.to_thread(_copy_if_there, source.data_dir / file.path.relative_to(folder), file.path)
    sync(draft)
    draft.rename(there.database_path)
    sync(folder)
    return await check(there)


def _draft(settings: ServerSettings) -> Path:
    return settings.database_path.with_name(f"{settings.database_path.name}.part")


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _must_be_free(target: Path) -> None:
    if os.path.lexists(target):
        raise Refused(f"{target} is there already. Name a folder that is not: a backup never overwrites.")


def _must_hold_database(folder: Path) -> None:
    if not (folder / "literal.db").is_file():
        raise Refused(f"There is no data of a Literal server in {folder}.")


@asynccontextmanager
async def _opened(settings: ServerSettings, path: Path | None = None) -> AsyncIterator[Database]:
    database = Database(path or settings.database_path, session_info=payloads.session_info(settings))
    try:
        yield database
    finally:
        await database.close()


async def _check_rows(database: Database, settings: ServerSettings, checked: Checked) -> None:
    async with database.reading() as session:
        checked.threads = await session.scalar(select(func.count()).select_from(Thread)) or 0
        checked.steps = await session.scalar(select(func.count()).select_from(Step)) or 0
    async with aclosing(_named_files(database, settings)) as named:
        async for file in named:
            checked.files += 1
            if problem := await asyncio.to_thread(file.problem):
                checked.problems.append(problem)


async def _named_files(database: Database, settings: ServerSettings) -> AsyncGenerator[NamedFile, None]:
    store = FileStore(settings.files_dir, b"")
    values = payloads.PayloadStore(settings.payloads_dir, 0, 0, 0)
    async with database.reading() as session:
        living = exists().where(
            Attachment.project_id == StoredFile.project_id,
            Attachment.object_key == files.object_key("") + StoredFile.id,
            Attachment.deleted_at.is_(None),
        )
        for file in await session.execute(select(StoredFile.id, StoredFile.size, living.label("is_living"))):
            yield NamedFile(store.path(file.id), size=file.size, is_deleted=not file.is_living)
        for table in (Thread, Step):
            columns = (table.project_id, table.id, table.payloads, table.deleted_at)
            for row in await session.execute(select(*columns).where(table.payloads.is_not(None))):
                folder = values.folder_of_id(table, row.project_id, row.id)
                for reference in row.payloads.values():
                    digest = reference["digest"]
                    is_deleted = row.deleted_at is not None
                    yield NamedFile(folder / f"{digest}.json", digest=digest, is_deleted=is_deleted)


def _copy_if_there(source: Path, target: Path) -> None:
    if source.exists():
        _copy(source, target)


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    shutil.copyfile(source, target)
    target.chmod(0o600)
    sync(target)
