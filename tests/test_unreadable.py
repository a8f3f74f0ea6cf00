"""The record cannot be read just when a thread is resumed: nothing is answered out of nothing, and nothing is lost."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
from literalai.api import LiteralAPI

from tests.app_process import AppProcess, wait_until
from tests.chat_client import ChatTab
from tests.preloaded import Preloaded
from tests.server_process import KEY, ServerProcess

pytestmark = pytest.mark.anyio


class LetInTab(ChatTab):
    """A tab that was let in on its thread, but has not asked yet to be shown it."""

    async def _connect(self) -> None:
        await self._be_let_in()


async def test_a_question_on_a_thread_that_cannot_be_read_is_refused_and_kept(
    start_app: Callable[..., AppProcess], tmp_path: Path, preloaded: Preloaded
) -> None:
    """The server goes away between connecting and asking: the person is told, the question is recorded as refused."""
    server = await asyncio.to_thread(ServerProcess(tmp_path / "server", preloaded.launch).start)
    settings = {"LITERAL_API_URL": server.url, "LITERAL_API_KEY": KEY}
    api = LiteralAPI(api_key=KEY, url=server.url)
    try:
        app = start_app(**settings)
        async with ChatTab(app.url) as tab:
            await tab.ask("What is 2 + 3?")
            thread_id = await tab.thread()
        wait_until(lambda: api.get_thread(thread_id), 20, lambda: "The thread is not recorded")
        app.stop()
        app.start()

        async with LetInTab(app.url, thread_id) as tab:
            await asyncio.to_thread(server.stop)
            await tab.emit("connection_successful", None)
            question = await tab.send("What is 3 + 4?")
            await tab.shown(lambda steps: any("cannot be read at the moment" in str(step["output"]) for step in steps))
            await asyncio.to_thread(server.start)

            def kept() -> bool:
                thread = api.get_thread(thread_id)
                steps = {step.id: step for step in (thread.steps if thread else None) or []}
                return question in steps and bool((steps[question].metadata or {}).get("refused"))

            await asyncio.to_thread(wait_until, kept, 30, lambda: f"The question is lost:\n{app.text()[-3000:]}")
            shown = await tab.heard("resume_thread")
            assert question in {step["id"] for step in shown["steps"]}
            assert "7" in await tab.ask("What is 3 + 4?")
        thread = api.get_thread(thread_id)
        assert thread
        assert thread.name == "What is 2 + 3?"
        assert "Traceback" not in app.text()
    finally:
        server.stop()
