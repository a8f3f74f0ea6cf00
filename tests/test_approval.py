"""Consent to a tool call in the running app: asked in every tab, decided once, recorded, and never given over HTTP."""

import asyncio
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from agent.approval import UNKNOWN
from agent.tool_runs import NEVER_BEGUN
from chat.approval import DECIDE, UNREADABLE
from tests.app_process import AppProcess
from tests.chat_client import ChatTab
from tests.test_chat import recorded

pytestmark = pytest.mark.anyio


def wish(title: str) -> str:
    return f"Save a note {title}: milk and bread"


async def decide(tab: ChatTab, **payload: Any) -> str | None:
    """Press a button of the card, as the page does; return what the card then tells the person."""
    body = {
        "sessionId": tab.session_id,
        "action": {"name": DECIDE, "payload": payload},
    }
    async with tab._http.post(f"{tab.url}/project/action", json=body) as response:
        assert response.status == 200, await response.text()
        told: str | None = (await response.json())["response"]["problem"]
        return told


async def asked(tab: ChatTab, title: str) -> dict[str, Any]:
    """Ask for a note and wait for the card; return what is on it."""
    await tab.send(wish(title))
    card = await tab.heard("element")
    props: dict[str, Any] = card["props"]
    assert card["forId"] == props["step"]
    return props


def tool_of(app: AppProcess, thread_id: str) -> Any:
    """Return the one tool step of a thread's one turn, once all is recorded."""
    [tool] = [step for step in recorded(app, thread_id).steps if step.type == "tool"]
    return tool


def notes(app: AppProcess) -> dict[str, str]:
    """Return the notes that were saved, by name."""
    return {file.name: file.read_text() for file in (app.data / "notes").glob("*")}


async def test_a_call_waits_in_the_chat_and_runs_when_it_is_approved(app: AppProcess) -> None:
    """The card shows the arguments and until when; nothing is written before; who approved it stands in the record."""
    async with ChatTab(app.url) as tab:
        card = await asked(tab, "Approved")
        [waiting] = [step for step in tab.steps() if step["type"] == "tool"]
        assert card["arguments"] == {"title": "Approved", "text": "milk and bread"}
        assert waiting["name"] == "save_note - waits for you"
        assert (waiting["defaultOpen"], waiting["end"]) == (True, None)
        assert "note-approved.md" not in notes(app)

        assert await decide(tab, step_id=card["step"], decision="approve") is None
        await tab.heard("task_end")
        assert tab.messages()[-1].startswith("Saved as note-approved.md.")
        assert (await tab.heard("remove_element"))["id"] == (await tab.heard("element"))["id"]

        tool = tool_of(app, await tab.thread())
    assert notes(app)["note-approved.md"] == "# Approved\n\nmilk and bread\n"
    assert tool.metadata["approval"].keys() == {"decision", "by", "at", "askedAt"}
    assert (tool.metadata["approval"]["decision"], tool.metadata["approval"]["by"]) == ("approved", "local")
    assert tool.start_time >= tool.metadata["approval"]["at"] > tool.metadata["approval"]["askedAt"]


async def test_edited_arguments_run_once_they_fit(app: AppProcess) -> None:
    """What does not fit is refused in words and the call waits on; then the edited call runs, and both are recorded."""
    async with ChatTab(app.url) as tab:
        card = await asked(tab, "Draft")
        problem = await decide(tab, step_id=card["step"], decision="approve", arguments='{"title": "Final"}')
        assert problem is not None
        assert "text: Field required" in problem
        fitting = '{"title": "Final", "text": "tea"}'

        assert await decide(tab, step_id=card["step"], decision="approve", arguments=fitting) is None
        await tab.heard("task_end")

        [shown] = [step for step in tab.steps() if step["type"] == "tool"]
        assert shown["name"] == "save_note Final - changed"
        assert shown["output"].startswith("Approved with changed arguments by local\n\n")
        tool = tool_of(app, await tab.thread())
    assert notes(app)["note-final.md"] == "# Final\n\ntea\n"
    assert "note-draft.md" not in notes(app)
    assert tool.input == {"title": "Final", "text": "tea"}
    assert tool.metadata["approval"]["askedArguments"] == {"title": "Draft", "text": "milk and bread"}


async def test_a_denial_is_told_to_the_model_and_kept(app: AppProcess) -> None:
    """Nothing is written; the reason is in the model's next request, in the record, and in the thread as resumed."""
    async with ChatTab(app.url) as tab:
        card = await asked(tab, "Denied")
        assert await decide(tab, step_id=card["step"], decision="deny", reason="not on Sundays") is None
        await tab.heard("task_end")
        thread_id = await tab.thread()

    thread = recorded(app, thread_id)
    [tool] = [step for step in thread.steps if step.type == "tool"]
    told = [step for step in thread.steps if step.type == "llm"][-1].generation.messages[-1]
    assert "note-denied.md" not in notes(app)
    assert (tool.metadata["approval"]["decision"], tool.metadata["approval"]["reason"]) == ("denied", "not on Sundays")
    assert (tool.start_time, tool.error) == (None, None)
    assert told["role"] == "tool"
    assert "“not on Sundays”" in told["content"]
    async with ChatTab(app.url, thread_id) as again:
        [shown] = [step for step in again.steps() if step["type"] == "tool"]
        assert shown["output"].startswith("Denied by local: not on Sundays")
        assert not shown["defaultOpen"]
        assert not [name for name, _ in again.events if name == "element"]


async def test_every_tab_asks_and_the_first_decision_counts(app: AppProcess) -> None:
    """A second tab of the thread shows the card too and may decide; both cards go, and a second decision is late."""
    async with ChatTab(app.url) as tab:
        await tab.ask("Hello")
        async with ChatTab(app.url, await tab.thread()) as other:
            await tab.send(wish("Shared"))
            card, same = await tab.heard("element"), await other.heard("element")
            assert card["id"] == same["id"]
            step = card["props"]["step"]
            async with ChatTab(app.url, await tab.thread()) as late:  # as after a reload
                assert (await late.heard("element"))["props"] == card["props"]

            assert await decide(other, step_id=step, decision="deny", reason="from over here") is None
            for one in (tab, other):
                assert (await one.heard("remove_element"))["id"] == card["id"]
            assert await decide(tab, step_id=step, decision="approve") == UNKNOWN

            await other.heard("task_end")
            assert "note-shared.md" not in notes(app)


async def test_only_the_threads_own_person_decides_and_only_in_words_we_know(app: AppProcess) -> None:
    """A tab of another thread, an unknown step and garbage change nothing, and each gets a sentence."""
    async with ChatTab(app.url) as tab, ChatTab(app.url) as stranger:
        step = (await asked(tab, "Guarded"))["step"]
        await stranger.ask("Hello")

        assert await decide(stranger, step_id=step, decision="approve") == UNKNOWN
        assert await decide(tab, step_id="another", decision="approve") == UNKNOWN
        for garbage in ({"step_id": step}, {"step_id": [step], "decision": "approve"}, {"decision": "deny"}):
            assert await decide(tab, **garbage) == UNREADABLE
        assert await decide(tab, step_id=step, decision="approve", arguments={"title": "x"}) == UNREADABLE
        assert await decide(tab, step_id=step, decision="deny", reason=["x"]) == UNREADABLE

        await tab.stop()
        await tab.heard("task_end")
    assert "note-guarded.md" not in notes(app)


async def test_stop_ends_the_wait(app: AppProcess) -> None:
    """The turn ends at once as cancelled, the call as stopped, and the next question is answered."""
    async with ChatTab(app.url) as tab:
        await asked(tab, "Stopped")
        await tab.stop()
        await tab.heard("task_end")
        tool = tool_of(app, await tab.thread())
        assert (tool.metadata["approval"]["decision"], tool.metadata["cancelled"]) == ("stopped", True)
        assert tool.output["content"] == NEVER_BEGUN

        assert "4" in await tab.ask("What is 2 + 2?")
    assert "note-stopped.md" not in notes(app)


async def test_nobody_answers_and_the_app_ends_in_order(start_app: Callable[..., AppProcess]) -> None:
    """After its time a call is not made and the turn goes on; one that waits when the app ends is closed as stopped."""
    app = start_app(TOOL_APPROVAL_SECONDS="2")
    async with ChatTab(app.url) as tab:
        await asked(tab, "Late")
        await tab.heard("task_end")
        assert "nobody gave it within 2 seconds" in tab.messages()[-1]
        late = await tab.thread()
    assert tool_of(app, late).metadata["approval"]["decision"] == "timed_out"
    app.stop()

    app = start_app(data=app.data)
    async with ChatTab(app.url) as tab:
        await asked(tab, "Unanswered")
        waiting = await tab.thread()
        assert await asyncio.to_thread(app.stop) == 0
    app = start_app(data=app.data)
    tool = tool_of(app, waiting)
    assert (tool.metadata["approval"]["decision"], tool.metadata["cancelled"]) == ("stopped", True)
    assert notes(app) == {}


async def test_over_http_nobody_can_consent_unless_a_setting_does(
    app: AppProcess, start_app: Callable[..., AppProcess]
) -> None:
    """By default such a tool is denied and the model told so; PROCESS_APPROVES_TOOLS lets it run, and is named."""

    async def post(app: AppProcess, title: str) -> tuple[str, Any]:
        body = {"message_history": [{"role": "user", "content": wish(title)}]}
        async with httpx.AsyncClient(timeout=30) as client:
            answer = (await client.post(f"{app.url}/process/", json=body)).json()
        [told] = [message["content"] for message in answer["message_history"] if message["role"] == "tool"]
        return told, tool_of(app, answer["thread_id"]).metadata["approval"]

    told, approval = await post(app, "Remote")
    assert "Nobody can be asked over HTTP" in told
    assert approval["decision"] == "denied"
    assert "PROCESS_APPROVES_TOOLS" in approval["reason"]
    assert "note-remote.md" not in notes(app)

    trusting = start_app(PROCESS_APPROVES_TOOLS="on")
    told, approval = await post(trusting, "Remote")
    assert told == "Saved as note-remote.md."
    assert (approval["decision"], approval["by"]) == ("approved", "PROCESS_APPROVES_TOOLS")
    assert list(notes(trusting)) == ["note-remote.md"]
