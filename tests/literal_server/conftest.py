"""A server in this process, and one on a port of its own."""

import asyncio
import shutil
import socket
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from literalai import LiteralClient
from pydantic import SecretStr
from starlette.applications import Starlette

from literal_server import db, files
from literal_server.app import create_app
from literal_server.auth import Authenticate
from literal_server.db import Database
from literal_server.guard import Guard
from literal_server.settings import ServerSettings
from tests.literal_server.wire import KEY, Wire


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with its tables, to be copied: making them takes longer than most tests."""
    path = tmp_path_factory.mktemp("migrated") / "literal.db"

    async def make() -> None:
        database = Database(path)
        await database.migrate()
        await database.close()

    asyncio.run(make())
    return path


@pytest.fixture
def server_settings(tmp_path: Path, migrated: Path) -> ServerSettings:
    (tmp_path / "data").mkdir()
    shutil.copy(migrated, tmp_path / "data")
    return ServerSettings(data_dir=tmp_path / "data", api_key=SecretStr(KEY), chat_url="/thread/{thread_id}")


@pytest.fixture
def no_fsync(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out the waiting for the disk, which is most of the time of tests that write a thousand times."""
    monkeypatch.setattr(db, "_PRAGMAS", (*db._PRAGMAS, "PRAGMA synchronous=OFF"))


@pytest.fixture
def door() -> Authenticate | None:
    """Who reads the pages; tests that need other visitors put their own in its place."""
    return None


@pytest.fixture
async def server(
    server_settings: ServerSettings, door: Authenticate | None, anyio_backend: str
) -> AsyncIterator[Starlette]:
    made = create_app(server_settings, door)
    async with made.router.lifespan_context(made):
        yield made


@pytest.fixture
async def http(server: Starlette) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(server)
    async with httpx.AsyncClient(
        transport=transport, base_url="http://localhost", headers={"x-api-key": KEY}
    ) as client:
        yield client


@pytest.fixture
def wire(http: httpx.AsyncClient) -> Wire:
    return Wire(http)


@contextmanager
def serving(settings: ServerSettings) -> Iterator[str]:
    """Serve over a socket while the block runs; gives the base address."""
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(
        Guard(create_app(settings), open_to_read=(files.READ_PREFIX,)), log_level="warning", lifespan="on"
    )
    running = uvicorn.Server(config)
    thread = threading.Thread(target=running.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    running.should_exit = True
    thread.join(timeout=20)
    listener.close()


@pytest.fixture
def address(server_settings: ServerSettings) -> Iterator[str]:
    """The base address of a server that real clients reach over a socket."""
    with serving(server_settings) as base:
        yield base


@pytest.fixture
def client(address: str) -> Iterator[Any]:
    """The installed SDK's synchronous client; it says less about its types than it takes."""
    made = LiteralClient(url=address, api_key=KEY)
    yield made
    made.flush_and_stop()
