"""The app's threads, as the server certifies them: complete over restarts, and what was lost is counted and named."""

import asyncio
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.app_process import AppProcess, wait_until
from tests.chat_client import ChatTab
from tests.preloaded import Preloaded
from tests.server_process import KEY, ServerProcess

pytestmark = pytest.mark.anyio


def health(app: AppProcess) -> dict[str, Any]:
    recording: dict[str, Any] = httpx.get(f"{app.url}/health", timeout=10).json()["recording"]
    return recording


def all_sent(app: AppProcess) -> None:
    """Wait until the server has all that it will get."""
    wait_until(lambda: health(app)["waiting"] == 0, 30, lambda: f"{health(app)}\n{app.text()[-2000:]}")


def certificate(base: str, key: str, thread_id: str) -> dict[str, Any]:
    address = f"{base}/api/verbatim/threads/{thread_id}/certificate"
    found: dict[str, Any] = httpx.get(address, headers={"x-api-key": key}).raise_for_status().json()
    return found


async def test_a_thread_is_complete_over_a_restart(start_app: Callable[..., AppProcess]) -> None:
    """Each process of the app is a writer of its own; nothing of either is missing, and all steps bear stamps."""
    app = await asyncio.to_thread(start_app)
    message = {"role": "user", "content": "What is 2 + 3?"}
    for ending in (signal.SIGTERM, signal.SIGKILL, None):
        async with httpx.AsyncClient(timeout=60) as http:
            asked = {"message_history": [message], "thread_id": "t"}
            (await http.post(f"{app.url}/process/", json=asked)).raise_for_status()
        if ending is not None:
            await asyncio.to_thread(app.stop, ending)
            await asyncio.to_thread(app.start)
    await asyncio.to_thread(all_sent, app)

    found = certificate(f"{app.url}/literal", (app.data / "literal-api-key").read_text().strip(), "t")

    assert (found["state"], found["unstampedSteps"], len(found["writers"])) == ("complete", 0, 3)
    assert found["events"]["put"] == found["events"]["stored"] > 3 * 6
    assert [writer["clockBehindSeconds"] for writer in found["writers"]] == [None] * 3


async def test_what_a_full_outbox_refused_is_missing(
    start_app: Callable[..., AppProcess], tmp_path: Path, preloaded: Preloaded
) -> None:
    """The server is away, the outbox is full, the app is killed: afterwards the certificate counts what was refused."""
    server = await asyncio.to_thread(ServerProcess(tmp_path / "server", preloaded.launch).start)
    app = await asyncio.to_thread(
        start_app, LITERAL_API_URL=server.url, LITERAL_API_KEY=KEY, OUTBOX_LIMIT_BYTES="30000"
    )
    try:
        async with ChatTab(app.url) as tab:
            await tab.ask("What is 2 + 3?")
            await asyncio.to_thread(all_sent, app)
            thread_id = tab.steps()[0]["threadId"]
            before = certificate(server.url, KEY, thread_id)
            await asyncio.to_thread(server.stop)
            while not health(app)["refused"]:
                await tab.ask("What's the weather in Paris?")
        refused = health(app)["refused"]
        await asyncio.to_thread(app.stop, signal.SIGKILL)
        await asyncio.to_thread(server.start)
        await asyncio.to_thread(app.start)
        await asyncio.to_thread(all_sent, app)
        after = certificate(server.url, KEY, thread_id)
    finally:
        await asyncio.to_thread(server.stop)

    assert before["state"] == "complete"
    assert refused > 0
    assert (after["state"], after["events"]["missing"]) == ("incomplete", refused)
    gaps = [gap for writer in after["writers"] for gap in writer["missing"]]
    assert all(gap["afterStep"]["id"] for gap in gaps)
