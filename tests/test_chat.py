"""The chat over its socket: what a tab is shown, what is recorded, and that both agree after a resume."""

import asyncio
import sqlite3
from collections import Counter
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from literalai.api import LiteralAPI

from recording.chainlit_shapes import chainlit_step
from tests.app_process import AppProcess, wait_until
from tests.chat_client import ChatTab

pytestmark = pytest.mark.anyio

TWO_CITIES = "What's the weather in San Francisco and Paris?"
SHOWN = ("id", "parentId", "type", "name", "input", "output", "isError")


def recorded(app: AppProcess, thread_id: str, runs: int = 1) -> Any:
    """Return a thread as the SDK reads it from the app's own server, once it has so many runs and all are closed."""
    key = (app.data / "literal-api-key").read_text().strip()
    api = LiteralAPI(api_key=key, url=f"{app.url}/literal")

    def closed() -> bool:
        thread = api.get_thread(thread_id)
        steps = (thread.steps if thread else None) or []
        return sum(step.type == "run" for step in steps) == runs and all(step.end_time for step in steps)

    wait_until(closed, 10, lambda: f"Thread {thread_id} is not recorded to its end:\n{app.text()[-2000:]}")
    return api.get_thread(thread_id)


async def test_a_turn_is_recorded_as_it_was_shown(app: AppProcess) -> None:
    """What the tab showed live, what is recorded and what a resume shows is the same, step by step."""
    async with ChatTab(app.url) as tab:
        await tab.ask(TWO_CITIES)
        live = {step["id"]: step for step in tab.steps()}
        thread_id = await tab.thread()
    thread = recorded(app, thread_id)
    async with ChatTab(app.url, thread_id) as again:
        resumed = {step["id"]: step for step in again.steps()}

    assert thread.name == TWO_CITIES
    assert thread.participant_identifier == "local"
    assert Counter(step.type for step in thread.steps) == {
        "user_message": 1,
        "run": 1,
        "llm": 2,
        "tool": 2,
        "assistant_message": 1,
    }
    record: dict[str, Any] = {step.id: chainlit_step(step.to_dict()) for step in thread.steps}
    assert record.keys() == resumed.keys()
    for step_id, step in live.items():
        if step["type"] != "run":  # Chainlit's own
            assert {name: step[name] for name in SHOWN} == {name: record[step_id][name] for name in SHOWN}
            assert {name: step[name] for name in SHOWN} == {name: resumed[step_id][name] for name in SHOWN}
    question = next(step.id for step in thread.steps if step.type == "user_message")
    assert live.keys() | {question} == record.keys()  # the browser draws the question by itself


async def test_a_new_chat_takes_a_question_at_once(app: AppProcess) -> None:
    """To open a chat does not make its page busy, for a busy page passes over what a person sends; to ask does."""
    busy: list[Any] = []
    tab = ChatTab(app.url)
    tab._socket.on("task_start", busy.append)
    async with tab:
        assert not busy
        await tab.ask("Hello")
    assert busy


async def test_the_tree_and_the_tokens(app: AppProcess) -> None:
    """One run below the question; below it all else; the model calls carry their token counts although streamed."""
    async with ChatTab(app.url) as tab:
        await tab.ask(TWO_CITIES)
        thread = recorded(app, await tab.thread())

    run = next(step for step in thread.steps if step.type == "run")
    question = next(step for step in thread.steps if step.type == "user_message")
    calls = [step.generation for step in thread.steps if step.type == "llm"]
    assert (question.parent_id, run.parent_id) == (None, question.id)
    assert {step.parent_id for step in thread.steps if step not in (question, run)} == {run.id}
    assert run.input["content"] == TWO_CITIES
    assert [message["role"] for message in run.output["messages"]] == ["assistant", "tool", "tool", "assistant"]
    for generation in calls:
        assert generation.input_token_count > 0
        assert generation.output_token_count > 0
        assert generation.tt_first_token > 0
        assert generation.duration > 0
        assert generation.messages[-1]["role"] in ("user", "tool")
        assert generation.tools


async def test_both_tools_run_at_the_same_time(app: AppProcess) -> None:
    """Both tool steps are on the screen, unfinished, before the first of them is done."""
    async with ChatTab(app.url) as tab:
        await tab.ask(TWO_CITIES)

    tools = [(name, data["id"]) for name, data in tab.events if isinstance(data, dict) and data.get("type") == "tool"]
    assert [name for name, _ in tools] == ["new_message", "new_message", "update_message", "update_message"]


async def test_the_answer_comes_token_by_token(app: AppProcess) -> None:
    """The answer is streamed, and what was streamed is what stands there at the end."""
    async with ChatTab(app.url) as tab:
        final = await tab.ask("Hello!")

    tokens = [data["token"] for name, data in tab.events if name == "stream_token"]
    start = await tab.heard("stream_start")
    assert len(tokens) > 3
    assert start["output"] + "".join(tokens) == final


async def test_a_resumed_thread_knows_what_the_tools_said(start_app: Callable[..., AppProcess]) -> None:
    """After a restart the model's context holds the earlier questions, tool calls and results, from the record."""
    app = start_app()
    async with ChatTab(app.url) as tab:
        await tab.ask(TWO_CITIES)
        thread_id = await tab.thread()
    app.stop()
    app.start()

    async with ChatTab(app.url, thread_id) as tab:
        await tab.ask("And in Tokyo?")
    thread = recorded(app, thread_id, runs=2)

    last = max((step for step in thread.steps if step.type == "llm"), key=lambda step: step.start_time)
    sent = [message["role"] for message in last.generation.messages]
    assert sent == ["system", "user", "assistant", "tool", "tool", "assistant", "user", "assistant", "tool"]
    assert [step.name for step in thread.steps if step.type == "tool"] == ["get_current_weather"] * 3


async def test_opening_a_page_records_nothing(start_app: Callable[..., AppProcess]) -> None:
    """A tab that asks nothing leaves no thread and no step."""
    app = start_app()
    async with ChatTab(app.url):
        pass
    app.stop()

    with sqlite3.connect(app.data / "literal.db") as database:
        counts = [database.execute(f"select count(*) from {table}").fetchone()[0] for table in ("threads", "steps")]
    assert counts == [0, 0]


async def test_a_question_during_an_answer_is_refused_in_words(start_app: Callable[..., AppProcess]) -> None:
    """The second question is told to wait, the first is answered, and both are in the record."""
    app = start_app(OFFLINE_TOKEN_SECONDS="0.1")
    async with ChatTab(app.url) as tab:
        await tab.send("Hello!")
        await tab.heard("stream_start")
        await tab.send("Are you there?")
        await tab.shown(lambda steps: any("still answering" in str(step["output"]) for step in steps))
        await tab.heard("task_end", times=2)
        thread = recorded(app, await tab.thread())

    types = Counter(step.type for step in thread.steps)
    assert (types["user_message"], types["run"], types["assistant_message"]) == (2, 1, 2)


async def test_two_tabs_see_each_others_turns(app: AppProcess) -> None:
    """Whichever of two tabs asks, the other is shown question, tools and answer, and the context is one."""
    async with ChatTab(app.url) as first:
        await first.ask("What is 2 + 3?")
        thread_id = await first.thread()
        recorded(app, thread_id)
        async with ChatTab(app.url, thread_id) as second:
            answer = await second.ask("What is 20 + 30?")
            await first.shown(lambda steps: any(step["output"] == answer for step in steps))
            reply = await first.ask("What is 200 + 300?")
            await second.shown(lambda steps: any(step["output"] == reply for step in steps))

    questions = {step["output"] for step in second.steps() if step["type"] == "user_message"}
    assert questions == {"What is 2 + 3?", "What is 200 + 300?"}  # its own is drawn by the browser
    thread = recorded(app, thread_id, runs=3)
    last = max((step for step in thread.steps if step.type == "llm"), key=lambda step: step.start_time)
    assert sum(message["role"] == "user" for message in last.generation.messages) == 3


async def test_stop_ends_the_turn_and_the_next_question_works(start_app: Callable[..., AppProcess]) -> None:
    """A stopped turn is recorded as cancelled with what was said so far, and the conversation goes on."""
    app = start_app(OFFLINE_TOKEN_SECONDS="0.2")
    async with ChatTab(app.url) as tab:
        await tab.send("Hello!")
        await tab.heard("stream_token")
        await tab.stop()
        await tab.heard("task_end")
        thread_id = await tab.thread()
        stopped = recorded(app, thread_id)
        await tab.ask("What is 2 + 3?")
    thread = recorded(app, thread_id, runs=2)

    run = next(step for step in stopped.steps if step.type == "run")
    assert run.metadata["outcome"] == "cancelled"
    assert run.output["messages"][-1]["content"]
    assert "Task manually stopped." not in str([step.output for step in thread.steps])
    assert Counter(step.type for step in thread.steps)["run"] == 2


async def test_stop_works_from_a_tab_that_only_watches(start_app: Callable[..., AppProcess]) -> None:
    """Whoever has the thread open can stop the answer, not only the tab that asked."""
    app = start_app(OFFLINE_TOKEN_SECONDS="0.2")
    async with ChatTab(app.url) as asking:
        await asking.ask("What is 2 + 3?")
        thread_id = await asking.thread()
        recorded(app, thread_id)
        async with ChatTab(app.url, thread_id) as watching:
            await asking.send("Hello!")
            await watching.heard("stream_token")
            await watching.stop()
            await asking.heard("task_end", times=2)
            thread = recorded(app, thread_id, runs=2)

    last = max((step for step in thread.steps if step.type == "run"), key=lambda step: step.start_time)
    assert last.metadata["outcome"] == "cancelled"


async def test_without_recording_the_chat_works_and_says_so(start_app: Callable[..., AppProcess]) -> None:
    """RECORDING=off: answers as ever, a word about it, no database."""
    app = start_app(RECORDING="off", LITERAL_API_KEY="unused")
    async with ChatTab(app.url) as tab:
        await tab.ask("What is 2 + 3?")

    assert any("Recording is off" in message for message in tab.messages())
    assert any("5" in message for message in tab.messages())
    assert not (app.data / "literal.db").exists()
    assert httpx.get(f"{app.url}/literal/api/graphql").status_code != 401


async def test_a_dead_recording_server_does_not_disturb_the_chat(start_app: Callable[..., AppProcess]) -> None:
    """With nobody at LITERAL_API_URL the chat answers as ever, and the log says what waits."""
    app = start_app(LITERAL_API_URL="http://127.0.0.1:9", LITERAL_API_KEY="key")
    async with ChatTab(app.url) as tab:
        await asyncio.wait_for(tab.ask("What is 2 + 3?"), 10)

    assert "5" in tab.messages()[-1]
    assert "Recording waits" in app.text()


async def test_one_signal_ends_the_app_although_a_tab_is_open(start_app: Callable[..., AppProcess]) -> None:
    """SIGTERM during an answer, with the tab still there: the app ends, and the turn is recorded as stopped."""
    app = start_app(OFFLINE_TOKEN_SECONDS="0.2")
    async with ChatTab(app.url) as tab:
        await tab.send("Hello!")
        await tab.heard("stream_token")
        thread_id = await tab.thread()
        assert await asyncio.to_thread(app.stop) == 0
    app.start()

    run = next(step for step in recorded(app, thread_id).steps if step.type == "run")
    assert run.metadata["outcome"] == "cancelled"
