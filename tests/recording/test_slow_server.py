"""A recording server that takes every connection and never answers delays pages a little, and then not at all."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import httpx
import pytest

from doors import new_caller
from recording import chainlit_layer
from recording.chainlit_layer import ChainlitLayer
from recording.client import LiteralAPI, UnreachableError
from recording.outbox import Outbox
from tests.app_process import AppProcess
from tests.chat_client import ChatTab

pytestmark = pytest.mark.anyio


class Deaf:
    """A server that accepts and reads, and never answers; it counts the connections."""

    def __init__(self) -> None:
        self.url = ""
        self.connections = 0

    async def take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        while await reader.read(65_536):
            pass
        writer.close()


@pytest.fixture
async def deaf(anyio_backend: str) -> AsyncIterator[Deaf]:
    server = Deaf()
    listener = await asyncio.start_server(server.take, "127.0.0.1", 0)
    server.url = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
    yield server
    listener.close()


async def test_after_one_question_without_an_answer_nobody_waits(
    deaf: Deaf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first question waits for its time; those after it fail at once, until the server is asked again."""
    monkeypatch.setattr(chainlit_layer, "SHORT_SECONDS", 0.3)
    api = LiteralAPI(deaf.url, "key")
    outbox = Outbox(api, tmp_path / "outbox.db")
    layer = ChainlitLayer(api, outbox, lambda thread: None, api.project_id, new_caller(), steps_shown=200)

    user = await layer.get_user("ada")
    assert user
    assert (user.id, user.identifier) == ("ada", "ada")
    asked = deaf.connections
    assert await layer.build_debug_url() == ""
    for question in (layer.get_thread("t"), layer.get_thread_author("t")):
        with pytest.raises(UnreachableError, match="a moment ago"):
            await question
    assert deaf.connections == asked == 1

    monkeypatch.setattr(chainlit_layer, "DOWN_SECONDS", 0.0)
    layer._down_until = 0.0
    await layer.get_user("ada")
    await layer.get_user("ada")
    assert deaf.connections == 3
    await api.close()


async def test_a_page_loads_and_a_turn_is_answered(deaf: Deaf, start_app: Callable[..., AppProcess]) -> None:
    """All that a page asks for on its way up takes seconds together, not ten for each, and the chat answers."""
    app = await asyncio.to_thread(start_app, LITERAL_API_URL=deaf.url, LITERAL_API_KEY="key")
    async with httpx.AsyncClient(base_url=app.url, timeout=30) as http:
        (await http.post("/auth/header")).raise_for_status()
        start = time.monotonic()
        for path in ("/user", "/project/settings", "/user"):
            (await http.get(path)).raise_for_status()
        threads = await http.post("/project/threads", json={"pagination": {"first": 20}, "filter": {}})
        took = time.monotonic() - start
    async with ChatTab(app.url) as tab:
        answer = await tab.ask("What is 2 + 3?")

    assert threads.json()["data"] == []
    assert took < 8
    assert "5" in answer
    assert "Traceback" not in app.text()
