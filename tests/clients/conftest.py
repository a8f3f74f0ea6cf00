"""The places clients are sent to: those of the environment they run in, else a server and a model of this run."""

import os
from collections.abc import Iterator
from typing import Any

import pytest
from literalai import AsyncLiteralClient, LiteralClient

from tests.clients.faces import Face
from tests.clients.processes import Places, places
from tests.server_process import KEY

# Read before any test clears the environment: `python -m tests.clients` says here what it has started.
_given = Places(os.environ.get("CLIENTS_SERVER", ""), os.environ.get("CLIENTS_MODEL", ""))


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Places]:
    if _given.server:
        yield _given
        return
    with places(tmp_path_factory.mktemp("clients")) as started:
        yield started


@pytest.fixture
def address(running: Places) -> str:
    """The server's address as a client is given it, here with the slash that people put at its end."""
    return f"{running.server}/"


@pytest.fixture(autouse=True)
def _environment_of_the_sdk(monkeypatch: pytest.MonkeyPatch) -> None:
    # The SDK writes its environment into the process; registered here, it goes with the test.
    monkeypatch.setenv("LITERAL_ENV", "")


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def client(address: str) -> Iterator[Any]:
    made: Any = LiteralClient(url=address, api_key=KEY)
    yield made
    made.reset_context()
    made.flush_and_stop()


@pytest.fixture
def async_client(address: str) -> Iterator[Any]:
    made: Any = AsyncLiteralClient(url=address, api_key=KEY)
    yield made
    made.reset_context()
    made.flush_and_stop()


@pytest.fixture(params=["sync", "async"])
def api(request: pytest.FixtureRequest, client: Any, async_client: Any) -> Face:
    return Face(client.api if request.param == "sync" else async_client.api)


@pytest.fixture(scope="session")
def lasting_client(running: Places) -> Iterator[Any]:
    """One client for the whole run: what instruments another SDK does so once in a process, for the client of then."""
    made: Any = LiteralClient(url=f"{running.server}/", api_key=KEY)
    yield made
    made.flush_and_stop()
