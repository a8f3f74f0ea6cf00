"""The settings of a thread in the running app: offered, checked, used, recorded, kept, and nobody else's."""

from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest

from tests.app_process import AppProcess
from tests.chat_client import ChatTab
from tests.model_server import ModelServer
from tests.test_chat import recorded

pytestmark = pytest.mark.anyio

CHOSEN = {
    "model": "large",
    "temperature": "0.3",
    "system_prompt": "Rhyme.",
    "max_iterations": 2,
    "tool calculate": True,
    "tool get_current_weather": False,
}


@pytest.fixture
async def models() -> AsyncIterator[ModelServer]:
    async with ModelServer("small", "large", "nomic-embed-text").run() as server:
        yield server


@pytest.fixture
def settings(models: ModelServer) -> dict[str, str]:
    return {"OPENAI_BASE_URL": models.url, "OPENAI_MODEL": "small"}


async def panel(tab: ChatTab, times: int = 1) -> dict[str, dict[str, Any]]:
    """Return the panel that a tab was shown, by the ids of its fields."""
    return {field["id"]: field for field in await tab.heard("chat_settings", times=times)}


async def choose(tab: ChatTab, **changes: Any) -> dict[str, dict[str, Any]]:
    """Confirm the panel with these changes; return it as it is shown then."""
    shown = [data for name, data in tab.events if name == "chat_settings"]
    values = {field["id"]: field["initial"] for field in shown[-1]} if shown else {}
    await tab.emit("chat_settings_change", values | changes)
    return await panel(tab, times=len(shown) + 1)


def calls(app: AppProcess, thread_id: str, runs: int = 1) -> list[Any]:
    """Return the generations of a thread's model calls."""
    return [step.generation for step in recorded(app, thread_id, runs).steps if step.type == "llm"]


def offered(generation: Any) -> list[str]:
    return [tool["function"]["name"] for tool in generation.tools or ()]


async def test_the_panel_offers_what_there_is_and_each_call_records_what_it_used(
    start_app: Callable[..., AppProcess], models: ModelServer, settings: dict[str, str]
) -> None:
    """Models come from the endpoint; what is chosen is sent with each call and stands in its generation."""
    app = start_app(**settings)
    async with ChatTab(app.url) as tab:
        before = await choose(tab)
        assert [item["value"] for item in before["model"]["items"]] == ["small", "large"]
        assert (before["model"]["initial"], before["temperature"]["initial"]) == ("small", "default")
        assert (before["system_prompt"]["initial"], before["max_iterations"]["max"]) == ("", 5)
        assert before["tool save_note"]["description"].endswith("Asks you before each call.")

        after = await choose(tab, **CHOSEN)
        assert {key: after[key]["initial"] for key in CHOSEN} == CHOSEN
        await tab.ask("What is 2 + 2?")
        thread_id = await tab.thread()

    first, last = calls(app, thread_id)
    for generation in (first, last):
        assert (generation.model, generation.settings["temperature"]) == ("large", 0.3)
        assert generation.messages[0] == {"role": "system", "content": "Rhyme."}
        assert offered(generation) == ["calculate", "get_current_time", "save_note"]
    assert (first.settings["tool_choice"], last.settings["tool_choice"]) == ("auto", "none")
    assert [(body["model"], body["temperature"]) for body in models.asked] == [("large", 0.3)] * 2


async def test_settings_stay_with_their_thread(
    start_app: Callable[..., AppProcess], models: ModelServer, settings: dict[str, str]
) -> None:
    """Another process finds them; a new chat, another thread and an HTTP call on the thread have the app's own."""
    app = start_app(**settings)
    async with ChatTab(app.url) as tab, ChatTab(app.url) as another:
        await choose(tab, **CHOSEN)
        await tab.ask("Hello")
        await another.ask("Hello")
        thread_id = await tab.thread()
        assert models.asked[-1]["model"] == "small"
    app.stop()

    app = start_app(data=app.data, **settings)
    async with ChatTab(app.url, thread_id) as tab, ChatTab(app.url) as another:
        resumed = await tab.heard("resume_thread")
        values = resumed["metadata"]["chat_settings"]
        assert {key: values[key] for key in CHOSEN} == CHOSEN
        await tab.ask("Hello again")
        assert (models.asked[-1]["model"], models.asked[-1]["messages"][0]["content"]) == ("large", "Rhyme.")
        await another.ask("Hello")
        assert (models.asked[-1]["model"], "temperature" in models.asked[-1]) == ("small", False)

        async with httpx.AsyncClient(timeout=30) as client:
            body = {"message_history": [{"role": "user", "content": "Hi"}], "thread_id": thread_id}
            assert (await client.post(f"{app.url}/process/", json=body)).status_code == 200
        assert models.asked[-1]["model"] == "small"


async def test_two_tabs_share_the_settings_of_their_thread(
    start_app: Callable[..., AppProcess], models: ModelServer, settings: dict[str, str]
) -> None:
    """What one tab sets the other shows and uses; a tab that closes later does not bring back what it knew before."""
    app = start_app(**settings)
    async with ChatTab(app.url) as tab:
        await tab.ask("Hello")
        thread_id = await tab.thread()
        async with ChatTab(app.url, thread_id) as other:
            await choose(tab, **CHOSEN)
            assert (await panel(other))["model"]["initial"] == "large"
            await other.ask("Hello from here")
            assert models.asked[-1]["model"] == "large"
            await choose(other, model="small", temperature="default")
            assert (await panel(tab, times=2))["temperature"]["initial"] == "default"
    app.stop()

    app = start_app(data=app.data, **settings)
    async with ChatTab(app.url, thread_id) as tab:
        values = (await tab.heard("resume_thread"))["metadata"]["chat_settings"]
        assert (values["model"], values["temperature"], values["system_prompt"]) == ("small", "default", "Rhyme.")


async def test_a_model_that_is_gone_gives_way_to_the_apps_own_with_a_word(
    start_app: Callable[..., AppProcess], models: ModelServer, settings: dict[str, str]
) -> None:
    """When the endpoint no longer lists the thread's model, the person is told, and the thread goes on."""
    app = start_app(**settings)
    async with ChatTab(app.url) as tab:
        await choose(tab, **CHOSEN)
        await tab.ask("Hello")
        thread_id = await tab.thread()
    recorded(app, thread_id)
    app.stop()
    models.names.remove("large")

    app = start_app(data=app.data, **settings)
    again = ChatTab(app.url, thread_id)
    toasts: list[dict[str, Any]] = []
    again._socket.on("toast", toasts.append)
    async with again as tab:
        assert [toast["message"] for toast in toasts] == [
            "The model server does not list the model large, so the app's own answers."
        ]
        await tab.ask("Hello again")
        assert models.asked[-1]["model"] == "small"
        assert models.asked[-1]["temperature"] == 0.3
    async with ChatTab(app.url, thread_id) as tab:
        assert (await tab.heard("resume_thread"))["metadata"]["chat_settings"]["model"] == "small"


async def test_a_crafted_client_sets_nothing_beyond_the_limits(app: AppProcess) -> None:
    """Values of any kind leave the thread with the app's own, in words, and the thread works on."""
    async with ChatTab(app.url) as tab:
        hostile = {
            "model": "gpt-4o",
            "temperature": "hot",
            "system_prompt": ["x"],
            "max_iterations": 10**9,
            "tool calculate": "off",
            "tool unknown": False,
            "__class__": {},
        }
        await tab.emit("chat_settings_change", ["no object"])
        after = await choose(tab, **hostile)
        assert after["model"]["initial"] == "verbatim-offline"
        assert (after["temperature"]["initial"], after["max_iterations"]["initial"]) == ("default", 5)
        assert len([data for name, data in tab.events if name == "toast"]) == 4

        await tab.ask("What is 2 + 2?")
        [first, _] = calls(app, await tab.thread())
    assert first.model == "verbatim-offline"
    assert "temperature" not in first.settings
    assert "calculate" in offered(first)


async def test_settings_can_be_changed_while_a_turn_runs(start_app: Callable[..., AppProcess]) -> None:
    """The running turn goes on as it began, and can still be stopped; the next one has the new settings."""
    app = start_app(OFFLINE_TOKEN_SECONDS="0.2")
    async with ChatTab(app.url) as tab:
        await tab.send("What can you do?")
        await tab.heard("stream_start")
        await choose(tab, temperature="0.5")
        assert [name for name, _ in tab.events if name in ("task_start", "task_end")][-1] == "task_start"
        await tab.stop()
        await tab.heard("task_end")
        await tab.send("What can you do?")
        await tab.heard("stream_start", times=2)
        await tab.stop()
        first, second = calls(app, await tab.thread(), runs=2)
    assert "temperature" not in first.settings
    assert second.settings["temperature"] == 0.5


async def test_an_edit_and_another_answer_use_the_settings_of_now(
    start_app: Callable[..., AppProcess], models: ModelServer, settings: dict[str, str]
) -> None:
    """Whichever settings the first answer had, a branch is answered with what the thread is set to when it begins."""
    app = start_app(**settings)
    async with ChatTab(app.url) as tab:
        question = await tab.send("Hello")
        await tab.heard("task_end")
        await choose(tab, **CHOSEN)
        already = len(tab.events)
        await tab.edit(question, "Hello again")
        await tab.heard("task_end", after=already)
        assert (models.asked[-1]["model"], models.asked[-1]["messages"][0]["content"]) == ("large", "Rhyme.")

        await choose(tab, model="small", system_prompt="")
        already = len(tab.events)
        assert await tab.ask_again() == 200
        await tab.heard("task_end", after=already)
        assert (models.asked[-1]["model"], models.asked[-1]["temperature"]) == ("small", 0.3)
        assert models.asked[-1]["messages"][0]["content"] != "Rhyme."


async def test_a_page_that_is_only_opened_records_no_settings(app: AppProcess) -> None:
    """Setting something before the first question makes no thread; the first question keeps it."""
    async with ChatTab(app.url) as tab:
        await choose(tab, temperature="1.5")
        await tab.ask("Hello")
        thread = recorded(app, await tab.thread())
    assert thread.metadata["chat_settings"] == {"temperature": 1.5}
