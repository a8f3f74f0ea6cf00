"""The database as a command uses it: beside a server that runs, or alone."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from literal_server import keys, payloads, prices, projects, search
from literal_server.data_folder import file_secret, initial_api_key, lock_data_folder, make_data_folder
from literal_server.db import Database
from literal_server.errors import DataFolderInUse
from literal_server.files import FileStore
from literal_server.settings import ServerSettings


@asynccontextmanager
async def opened(settings: ServerSettings) -> AsyncIterator[Database]:
    """Open the database, which the process that serves it may have open too: SQLite gives each writer its turn.

    Only bringing the tables to the newest form needs the data folder for itself.
    Raises DataFolderInUse when that is needed and a process of another version serves it.
    """
    make_data_folder(settings.data_dir)
    stores = payloads.session_info(settings) | search.session_info(settings) | prices.session_info(settings)
    database = Database(settings.database_path, session_info=stores)
    try:
        if not await database.is_migrated():
            await _prepare(database, settings)
        async with database.reading() as session:
            is_empty = not await projects.all_projects(session)
        if is_empty:
            async with database.writing() as session:
                await keys.prepare_project(session, settings.project_name, initial_api_key(settings))
        yield database
    finally:
        await database.close()
        stores[search.INDEX].close()


def file_store(settings: ServerSettings) -> FileStore:
    """Answer where the files lie that clients have uploaded."""
    return FileStore(settings.files_dir, file_secret(settings))


async def _prepare(database: Database, settings: ServerSettings) -> None:
    try:
        with lock_data_folder(settings.data_dir):
            await database.migrate()
    except DataFolderInUse as error:
        raise DataFolderInUse(
            f"The database in {settings.data_dir} must be brought to the newest form, and a process of another "
            "version has it open: stop that one first."
        ) from error
