"""An unmodified Chainlit app whose key and address are set, and nothing else: login to deletion."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self

import httpx
import pytest
from anyio import to_thread

from tests.app_process import AppProcess, wait_until
from tests.chat_client import ChatTab
from tests.clients.faces import fresh
from tests.clients.processes import Places
from tests.server_process import KEY

pytestmark = pytest.mark.anyio

SECRET = "a secret for signing that is long enough for tests"


class StockTab(ChatTab):
    """A tab of somebody who signed in with a password."""

    def __init__(self, url: str, user: str, thread_id: str | None = None) -> None:
        super().__init__(url, thread_id)
        self._user = user

    async def __aenter__(self) -> Self:
        form = {"username": self._user, "password": "open sesame"}
        async with self._http.post(f"{self.url}/login", data=form) as response:
            assert response.status == 200, await response.text()
        await self._connect()
        return self

    async def call(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        """Call the app as its page does, with the cookie of the session."""
        async with self._http.request(method, f"{self.url}{path}", json=body) as response:
            assert response.status == 200, await response.text()
            return await response.json()

    async def history(self, **filters: Any) -> list[str]:
        """Return the names in the sidebar."""
        body = {"pagination": {"first": 10}, "filter": filters}
        return [thread["name"] for thread in (await self.call("POST", "/project/threads", body))["data"]]


@pytest.fixture(scope="module")
def start_stock(running: Places, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], AppProcess]]:
    """Start the app in a folder of its own, again and again, each time as a new process."""
    folder = tmp_path_factory.mktemp("stock") / "app"
    shutil.copytree(Path(__file__).resolve().parent / "stock_chainlit", folder)
    settings = {"LITERAL_API_KEY": KEY, "LITERAL_API_URL": running.server, "CHAINLIT_AUTH_SECRET": SECRET}
    started: list[AppProcess] = []

    def start() -> AppProcess:
        started.append(AppProcess(folder.parent / "unused", folder=folder, settings=settings))
        return started[-1].start()

    yield start
    for app in started:
        app.stop()


@pytest.fixture(scope="module")
def stock(start_stock: Callable[[], AppProcess]) -> AppProcess:
    return start_stock()


async def eventually(fact: Callable[[], Any]) -> Any:
    """Wait until a fact about the record holds, as the app reports behind its answer; return what it said."""
    last: list[Any] = []

    def asked() -> bool:
        last[:] = [fact()]
        return bool(last[0])

    await to_thread.run_sync(wait_until, asked, 20.0, lambda: "The record did not come to hold what it should.")
    return last[0]


async def recorded(client: Any, thread_id: str, *names: str) -> Any:
    """Wait until a thread holds ended steps of these names, and return it."""

    def whole() -> Any:
        thread = client.api.get_thread(thread_id)
        ended = {step.name for step in (thread.steps if thread else []) if step.end_time}
        return thread if set(names) <= ended else None

    return await eventually(whole)


async def test_a_chat_is_recorded_whole_and_in_order(stock: AppProcess, client: Any) -> None:
    """User, thread, messages, steps in steps and files all arrive, parents first and in the order of their start."""
    user = fresh("ada")
    async with StockTab(stock.url, user) as tab:
        assert await tab.ask("How high is the tide?") == "You asked: How high is the tide?"
        thread_id = await tab.thread()
    found = await recorded(client, thread_id, "on_message", "on_chat_start", "look up", "read the table")
    assert (found.name, found.participant_identifier) == ("How high is the tide?", user)
    assert client.api.get_user(identifier=user).metadata["role"] == "tester"
    by_name = {step.name: step for step in found.steps}
    run, tool, inside = by_name["on_message"], by_name["look up"], by_name["read the table"]
    assert (tool.parent_id, inside.parent_id) == (run.id, tool.id)
    assert (tool.input, tool.output) == ({"content": "How high is the tide?"}, {"content": "found"})
    assert inside.output == {"content": "two metres"}
    (question,) = (step for step in found.steps if step.type == "user_message")
    assert (question.output, run.parent_id) == ({"content": "How high is the tide?"}, question.id)
    said = [step.output["content"] for step in found.steps if step.type == "assistant_message"]
    assert said == ["Welcome", "You asked: How high is the tide?"]
    positions = [step.id for step in found.steps]
    assert all(positions.index(step.parent_id) < positions.index(step.id) for step in found.steps if step.parent_id)
    starts = [step.start_time for step in found.steps if step.parent_id is None]
    assert starts == sorted(starts)


async def test_elements_come_with_their_bytes(stock: AppProcess, client: Any) -> None:
    """The files of an answer hang on it, and their addresses give them to a browser that has no key."""
    async with StockTab(stock.url, fresh("ada")) as tab:
        await tab.ask("files")
        thread_id = await tab.thread()

        def files() -> Any:
            thread = client.api.get_thread(thread_id)
            found = [file for step in (thread.steps if thread else []) for file in step.attachments]
            return found if len(found) == 2 else None

        found = {file.name: file for file in await eventually(files)}
        assert httpx.get(found["notes"].url).text == "notes on files"
        assert httpx.get(found["table.csv"].url).content == b"a,b\n1,2\n"
        assert (found["notes"].metadata["type"], found["table.csv"].metadata["display"]) == ("text", "inline")
        element = await tab.call("GET", f"/project/thread/{thread_id}/element/{found['table.csv'].id}")
        assert (element["name"], element["type"], element["threadId"]) == ("table.csv", "file", thread_id)


async def test_feedback(stock: AppProcess, client: Any) -> None:
    """A thumb is a score of its step; it is changed, found in the history, shown again, and taken back."""
    async with StockTab(stock.url, fresh("ada")) as tab:
        await tab.ask("thumbs")
        thread_id = await tab.thread()
        answer = next(step["id"] for step in reversed(tab.steps()) if step["type"] == "assistant_message")
        body: dict[str, Any] = {"feedback": {"forId": answer, "value": 1, "comment": "nice"}, "sessionId": "x"}
        given = await tab.call("PUT", "/feedback", body)
        assert await tab.history(feedback=1) == ["thumbs"]
        (score,) = (await eventually(lambda: client.api.get_step(answer))).scores
        assert (score.id, score.name, score.type, score.value, score.comment) == (
            given["feedbackId"], "user-feedback", "HUMAN", 1, "nice",
        )  # fmt: skip
        body["feedback"] |= {"id": score.id, "value": 0, "comment": "not so nice"}
        assert (await tab.call("PUT", "/feedback", body))["feedbackId"] == score.id
        assert (await tab.history(feedback=1), await tab.history(feedback=0)) == ([], ["thumbs"])
        shown = (await tab.call("GET", f"/project/thread/{thread_id}"))["steps"]
        assert [step["feedback"]["value"] for step in shown if step.get("feedback")] == [0]
        await tab.call("DELETE", "/feedback", {"feedbackId": score.id})
        assert await tab.history(feedback=0) == []


async def test_resume_in_another_process(start_stock: Callable[[], AppProcess], stock: AppProcess, client: Any) -> None:
    """Another process shows the chat as it was, and goes on in the same thread."""
    user = fresh("ada")
    async with StockTab(stock.url, user) as tab:
        await tab.ask("first, please fail")
        thread_id = await tab.thread()
        before = {step["id"]: step for step in tab.steps() if step["type"] not in ("run", "undefined")}
    await recorded(client, thread_id, "on_message", "on_chat_start", "look up", "broken")
    another = start_stock()
    async with StockTab(another.url, user, thread_id=thread_id) as tab:
        resumed = await tab.heard("resume_thread")
        shown = {step["id"]: step for step in resumed["steps"]}
        for identity, step in before.items():
            assert shown[identity]["output"] == step["output"], step["name"]
        assert [step["isError"] for step in shown.values() if step["name"] == "broken"] == [True]
        assert {element["name"] for element in resumed["elements"]} == {"notes", "table.csv"}
        assert await tab.ask("second") == "You asked: second"
    thread = await eventually(
        lambda: [
            found
            for found in [client.api.get_thread(thread_id)]
            if {"first, please fail", "second"}
            <= {step.output["content"] for step in found.steps if step.type == "user_message"}
        ]
    )
    questions = [step.output["content"] for step in thread[0].steps if step.type == "user_message"]
    assert questions == ["first, please fail", "second"]


async def test_update_of_a_message(stock: AppProcess, client: Any) -> None:
    """A message that the app changes after sending it reads as it was changed."""
    async with StockTab(stock.url, fresh("ada")) as tab:
        await tab.ask("edit")
        thread_id = await tab.thread()
        answer = next(step["id"] for step in reversed(tab.steps()) if step["type"] == "assistant_message")
    await recorded(client, thread_id, "on_message")
    await eventually(lambda: client.api.get_step(answer).output == {"content": "A better answer"})


async def test_history_search_rename_delete(stock: AppProcess, client: Any) -> None:
    """The sidebar lists one's own chats, newest first; they are found by their words, renamed and deleted."""
    user = fresh("ada")
    threads = {}
    for question in ("about tides", "about moons"):
        async with StockTab(stock.url, user) as tab:
            await tab.ask(question)
            threads[question] = await tab.thread()
        await recorded(client, threads[question], "on_message", "on_chat_start")
    async with StockTab(stock.url, fresh("eve")) as stranger:
        assert await stranger.history() == []
    async with StockTab(stock.url, user) as tab:
        assert await tab.history() == ["about moons", "about tides"]
        assert await tab.history(search="ABOUT TIDES") == ["about tides"]
        await tab.call("PUT", "/project/thread", {"threadId": threads["about tides"], "name": "High water"})
        assert await tab.history() == ["about moons", "High water"]
        renamed = client.api.get_thread(threads["about tides"])
        assert (renamed.name, renamed.participant_identifier) == ("High water", user)
        assert len(renamed.steps) >= 6
        await tab.call("DELETE", "/project/thread", {"threadId": threads["about moons"]})
        assert await tab.history() == ["High water"]
        assert client.api.get_thread(threads["about moons"]) is None


async def test_thread_with_a_file_that_never_arrived(stock: AppProcess, client: Any) -> None:
    """A chat whose file was refused or lost on its way can still be opened; the file's address says it is not there."""
    async with StockTab(stock.url, fresh("ada")) as tab:
        await tab.ask("lost")
        thread_id = await tab.thread()
        answer = next(step["id"] for step in reversed(tab.steps()) if step["type"] == "assistant_message")
        lost = {"id": fresh("lost"), "name": "lost.txt", "mime": "text/plain", "objectKey": None, "url": None}
        client.api.send_steps([{"id": answer, "threadId": thread_id, "attachments": [lost]}])
        elements = (await tab.call("GET", f"/project/thread/{thread_id}"))["elements"]
        (shown,) = (element for element in elements if element["name"] == "lost.txt")
        assert httpx.get(shown["url"]).status_code == 404
