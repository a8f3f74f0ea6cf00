"""The life of turns over the socket: edited, asked again, stopped, joined in the middle, seen from two tabs."""

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from tests.app_process import AppProcess
from tests.chat_client import ChatTab
from tests.test_chat import TWO_CITIES, recorded

pytestmark = pytest.mark.anyio

SLOWLY = {"OFFLINE_TOKEN_SECONDS": "0.1"}


def questions(tab: ChatTab) -> list[str]:
    """Return the questions that a tab was shown; its own are drawn by the browser."""
    return [step["output"] for step in tab.steps() if step["type"] == "user_message"]


def asked(thread: Any) -> dict[str, Any]:
    """Return the questions of a recorded thread by their text, the later one where two are alike."""
    steps = sorted(thread.steps, key=lambda step: step.start_time)
    return {step.output["content"]: step for step in steps if step.type == "user_message"}


def cut(thread: Any) -> list[Any]:
    return [step for step in thread.steps if (step.metadata or {}).get("superseded")]


def last_run(thread: Any) -> Any:
    return max((step for step in thread.steps if step.type == "run"), key=lambda step: step.start_time)


def told_to_the_model(thread: Any) -> list[str]:
    """Return the questions in the context of the thread's last model call."""
    last = max((step for step in thread.steps if step.type == "llm"), key=lambda step: step.start_time)
    return [message["content"] for message in last.generation.messages if message["role"] == "user"]


async def test_an_edit_makes_a_branch_and_deletes_nothing(app: AppProcess) -> None:
    """The edited question is new and names its origin; all steps of the cut turns are marked, none is gone."""
    async with ChatTab(app.url) as tab:
        await tab.ask("What is 2 + 3?")
        question = await tab.send("What is 3 + 4?")
        await tab.heard("task_end", times=2)
        await tab.ask(TWO_CITIES)
        before = recorded(app, await tab.thread(), runs=3)
        already = len(tab.events)
        await tab.edit(question, "What is 30 + 40?")
        await tab.heard("task_end", after=already)
        thread = recorded(app, await tab.thread(), runs=4)

    edited = asked(thread)["What is 30 + 40?"]
    assert edited.metadata["edited_from"] == question
    assert {step.id for step in before.steps} <= {step.id for step in thread.steps}
    assert {step.output["content"] for step in cut(thread) if step.type == "user_message"} == {
        "What is 3 + 4?",
        TWO_CITIES,
    }
    marked = {step.id for step in cut(thread)}
    assert {step.id for step in before.steps if step.parent_id in marked} <= marked
    for step in cut(thread):
        mark = step.metadata["superseded"]
        assert (mark["by"], mark["author"], mark["at"][-1]) == (edited.id, "local", "Z")
        kept = next(old for old in before.steps if old.id == step.id)
        assert step.metadata.items() >= (kept.metadata or {}).items()
    assert told_to_the_model(thread) == ["What is 2 + 3?", "What is 30 + 40?"]
    assert questions(tab) == ["What is 30 + 40?"]
    assert "70" in tab.messages()[-1]


async def test_an_edited_question_is_edited_again_by_its_new_id(app: AppProcess) -> None:
    """The tab was given the branch's question under the id that the record has, and a resume shows the last branch."""
    async with ChatTab(app.url) as tab:
        question = await tab.send("What is 2 + 3?")
        await tab.heard("task_end")
        for text in ("What is 20 + 30?", "What is 200 + 300?"):
            already = len(tab.events)
            await tab.edit(question, text)
            await tab.heard("task_end", after=already)
            question = next(step["id"] for step in tab.steps() if step["output"] == text)
        thread_id = await tab.thread()
        thread = recorded(app, thread_id, runs=3)
        async with ChatTab(app.url, thread_id) as again:
            shown = questions(again)

    assert asked(thread)["What is 200 + 300?"].id == question
    assert asked(thread)["What is 200 + 300?"].metadata["edited_from"] == asked(thread)["What is 20 + 30?"].id
    assert shown == ["What is 200 + 300?"]
    assert told_to_the_model(thread) == ["What is 200 + 300?"]


async def test_an_edit_works_after_a_restart(start_app: Callable[..., AppProcess]) -> None:
    """A turn that an earlier process recorded is cut with all its steps, whose metadata stays beside the mark."""
    app = start_app()
    async with ChatTab(app.url) as tab:
        question = await tab.send(TWO_CITIES)
        await tab.heard("task_end")
        thread_id = await tab.thread()
        before = recorded(app, thread_id)
    app.stop()
    app.start()

    async with ChatTab(app.url, thread_id) as tab:
        already = len(tab.events)
        await tab.edit(question, "What is 2 + 3?")
        await tab.heard("task_end", after=already)
    thread = recorded(app, thread_id, runs=2)

    assert {step.id for step in cut(thread)} == {step.id for step in before.steps}
    tool = next(step for step in cut(thread) if step.type == "tool")
    assert tool.metadata["toolCallId"]
    assert told_to_the_model(thread) == ["What is 2 + 3?"]


async def test_an_edit_in_one_tab_is_seen_in_the_other(app: AppProcess) -> None:
    """Whoever edits: the other tab drops what was cut, shows the branch, and waits no longer when it is done."""
    async with ChatTab(app.url) as first:
        question = await first.send("What is 2 + 3?")
        await first.heard("task_end")
        thread_id = await first.thread()
        await first.ask("What is 3 + 4?")
        recorded(app, thread_id, runs=2)
        async with ChatTab(app.url, thread_id) as second:
            await second.edit(question, "What is 20 + 30?")
            for tab in (first, second):
                await tab.shown(lambda steps: any(step["output"] == "What is 20 + 30?" for step in steps))
                await tab.shown(lambda _: bool(tab.buttons()) and not tab.waits())  # noqa: B023 - asked at once
            recorded(app, thread_id, runs=3)
            reply = await first.ask("What is 5 + 6?")
            await second.shown(lambda steps: any(step["output"] == reply for step in steps))

    assert questions(first) == ["What is 20 + 30?"]
    assert questions(second) == ["What is 20 + 30?", "What is 5 + 6?"]
    assert not first.waits()
    assert not second.waits()


async def test_an_edit_during_an_answer_stops_it_and_loses_nothing(start_app: Callable[..., AppProcess]) -> None:
    """The running turn ends as cancelled with what it had said, and its mark outlives its own last report."""
    app = start_app(**SLOWLY)
    async with ChatTab(app.url) as tab:
        question = await tab.send("Hello!")
        await tab.heard("stream_token")
        await tab.edit(question, "What is 2 + 3?")
        await tab.shown(lambda steps: any(step["output"] == "What is 2 + 3?" for step in steps))
        await tab.shown(lambda _: not tab.waits())
        thread = recorded(app, await tab.thread(), runs=2)

    run = next(step for step in cut(thread) if step.type == "run")
    assert run.metadata["outcome"] == "cancelled"
    assert run.output["messages"][-1]["content"]
    assert {step.type for step in cut(thread)} == {"user_message", "run", "llm", "assistant_message"}
    assert told_to_the_model(thread) == ["What is 2 + 3?"]


async def test_an_edit_of_what_is_gone_is_kept_and_explained(app: AppProcess) -> None:
    """A tab that edits what another one has cut off is told so, shown the thread as it is, and its text is recorded."""
    async with ChatTab(app.url) as tab:
        question = await tab.send("What is 2 + 3?")
        await tab.heard("task_end")
        already = len(tab.events)
        await tab.edit(question, "What is 20 + 30?")
        await tab.heard("task_end", after=already)
        await tab.edit(question, "What is 200 + 300?")
        await tab.shown(lambda steps: any("not part of this conversation" in str(step["output"]) for step in steps))
        await tab.ask("What is 5 + 6?")
        after = recorded(app, await tab.thread(), runs=3)

    assert asked(after)["What is 200 + 300?"].metadata["refused"] is True
    assert questions(tab) == ["What is 20 + 30?", "What is 200 + 300?"]
    assert told_to_the_model(after) == ["What is 20 + 30?", "What is 5 + 6?"]


async def test_a_crafted_edit_changes_nothing(app: AppProcess) -> None:
    """Whatever a client sends in place of an edit, the record stays as it is and the next question is answered."""
    async with ChatTab(app.url) as tab:
        await tab.ask("What is 2 + 3?")
        before = recorded(app, await tab.thread())
        payloads: list[Any] = [None, [], {"message": None}, {"message": {"id": "x"}}, {"message": {"output": {"a": 1}}}]
        for payload in payloads:
            await tab.emit("edit_message", payload)
        await tab.ask("What is 3 + 4?")
        after = recorded(app, await tab.thread(), runs=2)

    assert len(after.steps) > len(before.steps)
    kept = {step.id: step.to_dict() for step in after.steps}
    assert {step.id: step.to_dict() for step in before.steps}.items() <= kept.items()


async def test_another_answer_is_one_click_away(app: AppProcess) -> None:
    """The button stands under the last answer alone, and its click asks the same question again in a branch."""
    async with ChatTab(app.url) as tab:
        await tab.ask("What is 2 + 3?")
        await tab.ask("What is 3 + 4?")
        before = recorded(app, await tab.thread(), runs=2)
        assert [button["forId"] for button in tab.buttons()] == [tab.steps()[-1]["id"]]
        already = len(tab.events)
        assert await tab.ask_again() == 200
        await tab.heard("task_end", after=already)
        thread = recorded(app, await tab.thread(), runs=3)

    again = asked(thread)["What is 3 + 4?"]
    assert again.metadata["regenerated_from"] in {step.id for step in before.steps}
    assert [step.id for step in cut(thread) if step.type == "user_message"] == [again.metadata["regenerated_from"]]
    assert told_to_the_model(thread) == ["What is 2 + 3?", "What is 3 + 4?"]
    answer = [step for step in tab.steps() if step["type"] == "assistant_message"][-1]
    assert [button["forId"] for button in tab.buttons()] == [answer["id"]]


async def test_another_answer_can_be_had_after_a_restart(start_app: Callable[..., AppProcess]) -> None:
    """The button is back on resume, under the last answer, and works."""
    app = start_app()
    async with ChatTab(app.url) as tab:
        await tab.ask("What is 2 + 3?")
        await tab.ask("What is 3 + 4?")
        thread_id = await tab.thread()
        recorded(app, thread_id, runs=2)
    app.stop()
    app.start()

    async with ChatTab(app.url, thread_id) as tab:
        await tab.heard("action")
        answer = [step for step in tab.steps() if step["type"] == "assistant_message"][-1]
        assert [button["forId"] for button in tab.buttons()] == [answer["id"]]
        assert await tab.ask_again() == 200
        await tab.heard("task_end")
        thread = recorded(app, thread_id, runs=3)

    assert len([step for step in cut(thread) if step.type == "user_message"]) == 1


async def test_a_late_click_for_another_answer_does_nothing(app: AppProcess) -> None:
    """A click on a button that another tab's turn has made stale starts no turn."""
    async with ChatTab(app.url) as tab:
        await tab.ask("What is 2 + 3?")
        stale = tab.buttons()[-1]
        await tab.ask("What is 3 + 4?")
        tab.events.append(("action", stale))
        assert await tab.ask_again() == 200
        await tab.ask("What is 4 + 5?")
        thread = recorded(app, await tab.thread(), runs=3)

    assert cut(thread) == []


async def test_stop_ends_a_turn_that_an_edit_began(start_app: Callable[..., AppProcess]) -> None:
    """Such a turn is no task of the tab's own; it stops at once all the same, keeps its text, and the chat goes on."""
    app = start_app(**SLOWLY)
    async with ChatTab(app.url) as tab:
        question = await tab.send("What is 2 + 3?")
        await tab.heard("task_end")
        already = len(tab.events)
        await tab.edit(question, "Hello!")
        await tab.heard("stream_token", after=already)
        await tab.stop()
        await tab.heard("task_end", after=already)
        stopped = recorded(app, await tab.thread(), runs=2)
        await tab.ask("What is 3 + 4?")
        thread = recorded(app, await tab.thread(), runs=3)

    assert last_run(stopped).metadata["outcome"] == "cancelled"
    said = last_run(stopped).output["messages"][-1]["content"]
    assert said
    assert told_to_the_model(thread) == ["Hello!", "What is 3 + 4?"]
    assert not tab.waits()


async def test_stop_leaves_no_notice_and_shows_what_was_said(start_app: Callable[..., AppProcess]) -> None:
    """The tab keeps the part of the answer that was streamed, and gets nothing that is not in the record."""
    app = start_app(**SLOWLY)
    async with ChatTab(app.url) as tab:
        await tab.send("Hello!")
        await tab.heard("stream_token")
        await tab.stop()
        await tab.heard("task_end")
        thread = recorded(app, await tab.thread())

    answer = next(step for step in thread.steps if step.type == "assistant_message")
    assert tab.messages() == [f"{answer.output['content']}\n\n*Stopped.*"]
    call = next(step for step in thread.steps if step.type == "llm")
    assert (call.metadata["cancelled"], call.output["content"]) == (True, answer.output["content"])
    assert call.generation.message_completion["content"] == answer.output["content"]


async def test_a_reload_joins_the_running_answer(start_app: Callable[..., AppProcess]) -> None:
    """A page that opens the thread in the middle shows what was said, streams the rest, and can stop it."""
    app = start_app(**SLOWLY)
    async with ChatTab(app.url) as tab:
        await tab.send("Hello!")
        thread_id = await tab.thread()
        await tab.heard("stream_token", times=2)
    async with ChatTab(app.url, thread_id) as reloaded:
        start = await reloaded.heard("stream_start")
        await reloaded.heard("stream_token")
        assert reloaded.waits()
        assert start["output"].startswith(tab.messages()[-1])
        assert questions(reloaded) == ["Hello!"]
        await reloaded.stop()
        await reloaded.heard("task_end")
        thread = recorded(app, thread_id)

    answer = next(step for step in thread.steps if step.type == "assistant_message")
    assert reloaded.messages()[-1].removesuffix("\n\n*Stopped.*") == answer.output["content"]
    assert last_run(thread).metadata["outcome"] == "cancelled"
    assert reloaded.buttons()[-1]["forId"] == answer.id


async def test_tools_that_ran_before_a_reload_are_shown(start_app: Callable[..., AppProcess]) -> None:
    """Whoever joins sees the steps so far too, each once and in its place, and at the end what the record has."""
    app = start_app(OFFLINE_TOKEN_SECONDS="0.1")
    async with ChatTab(app.url) as tab:
        await tab.send(TWO_CITIES)
        thread_id = await tab.thread()
        await tab.heard("stream_token")
        async with ChatTab(app.url, thread_id) as second:
            await second.heard("task_end")
    thread = recorded(app, thread_id)

    shown = {step["id"]: step for step in second.steps()}
    assert shown.keys() == {step.id for step in thread.steps}
    assert {step["id"]: step["parentId"] for step in shown.values()} == {
        step.id: step.parent_id for step in thread.steps
    }
    assert "sunny" in second.messages()[-1]


@pytest.mark.parametrize("recording", ["on", "off"])
async def test_a_lost_line_loses_nothing(start_app: Callable[..., AppProcess], recording: str) -> None:
    """The page of a new thread that was away for the end of an answer has all of it when it is back."""
    app = start_app(OFFLINE_TOKEN_SECONDS="0.1", RECORDING=recording)
    async with ChatTab(app.url) as away:
        await away.send("Hello!")
        await away.heard("stream_token")
        await away.lose_the_line()
        begun = away.messages()[-1]
        await away.find_the_line()
        await away.shown(lambda _: any(len(text) > len(begun) for text in away.messages()[-1:]))
        await away.lose_the_line()
        known = len(away.events)
        await away.find_the_line()
        await away.heard("action", after=known)
        await away.shown(lambda _: not away.waits())

    assert away.messages()[-1].startswith(begun)
    assert len(away.messages()) == (1 if recording == "on" else 2)  # the other says that nothing is kept


async def test_after_a_lost_line_in_a_resumed_thread_an_edit_cuts_what_it_should(app: AppProcess) -> None:
    """Chainlit would delete all earlier messages then; here the turns before the edited one stay as they were."""
    async with ChatTab(app.url) as tab:
        await tab.ask("What is 2 + 3?")
        question = await tab.send("What is 3 + 4?")
        await tab.heard("task_end", times=2)
        thread_id = await tab.thread()
        before = recorded(app, thread_id, runs=2)
    async with ChatTab(app.url, thread_id) as resumed:
        await resumed.lose_the_line()
        already = len(resumed.events)
        await resumed.find_the_line()
        await resumed.heard("resume_thread", after=already)
        await resumed.edit(question, "What is 30 + 40?")
        await resumed.shown(lambda steps: any(step["output"] == "What is 30 + 40?" for step in steps))
        thread = recorded(app, thread_id, runs=3)

    assert {step.id for step in before.steps} <= {step.id for step in thread.steps}
    assert [step.output["content"] for step in cut(thread) if step.type == "user_message"] == ["What is 3 + 4?"]
    assert questions(resumed) == ["What is 2 + 3?", "What is 30 + 40?"]


async def test_a_button_that_cannot_be_pressed_is_refused_in_words(app: AppProcess) -> None:
    """A session that is over, a button or a body that is none: each is a 4xx, and none leaves a trace in the log."""
    async with ChatTab(app.url) as tab:
        await tab.ask("What is 2 + 3?")
        button = tab.buttons()[-1]
        bodies: list[tuple[Any, int]] = [
            ({"sessionId": "gone", "action": button}, 404),
            ({"sessionId": tab.session_id, "action": button | {"name": "none"}}, 404),
            ({"sessionId": tab.session_id, "action": {}}, 422),
            ([], 422),
        ]
        already = len(app.text())
        for body, status in bodies:
            async with tab._http.post(f"{app.url}/project/action", json=body) as answer:
                assert (answer.status, "detail" in await answer.json()) == (status, True), body

    assert "Traceback" not in app.text()[already:]


async def test_nobody_can_press_buttons_or_stop_in_anothers_session(app: AppProcess) -> None:
    """The action route asks for the session's own user; without a sign-in it answers 401."""
    async with ChatTab(app.url) as tab:
        await tab.ask("What is 2 + 3?")
        body = {"sessionId": tab.session_id, "action": tab.buttons()[-1]}
        assert httpx.post(f"{app.url}/project/action", json=body).status_code == 401
        thread = recorded(app, await tab.thread())

    assert cut(thread) == []


async def test_a_long_thread_opens_by_its_last_turns(start_app: Callable[..., AppProcess]) -> None:
    """The tab is shown whole turns from the end and where the others are; the model is told of all of them."""
    app = start_app(CHAT_STEPS_SHOWN="14")
    async with ChatTab(app.url) as tab:
        for number in range(4):
            await tab.ask(f"What is {number} + 1?")
        thread_id = await tab.thread()
        recorded(app, thread_id, runs=4)
    app.stop()
    app.start()
    async with ChatTab(app.url, thread_id) as again:
        assert questions(again) == ["What is 2 + 1?", "What is 3 + 1?"]
        notice = again.messages()[0]
        await again.ask("What is 4 + 1?")
        thread = recorded(app, thread_id, runs=5)

    assert notice.startswith("*2 earlier turns are not shown here")
    page = notice.partition("](")[2].partition(")")[0]
    assert page.startswith("/literal/projects/")
    assert page.endswith(f"/logs/threads/{thread_id}")
    assert len(told_to_the_model(thread)) == 5


async def test_a_question_in_a_deleted_thread_begins_a_new_one(start_app: Callable[..., AppProcess]) -> None:
    """Neither an open tab nor an HTTP client that keeps the id writes into what nobody can read any more."""
    app = start_app()
    async with ChatTab(app.url) as tab, httpx.AsyncClient(base_url=app.url) as http:
        await tab.ask("What is 2 + 3?")
        thread_id = await tab.thread()
        recorded(app, thread_id)
        (await http.post("/auth/header")).raise_for_status()
        deleted = await http.request("DELETE", "/project/thread", json={"threadId": thread_id})
        assert deleted.status_code == 200
        await tab.ask("What is 3 + 4?")
        moved = (await tab.heard("resume_thread"))["id"]
        await tab.ask("What is 4 + 5?")
        thread = recorded(app, moved, runs=2)
        body = {"message_history": [{"role": "user", "content": "Hello!"}], "thread_id": thread_id}
        answer = await http.post("/process/", json=body, timeout=30)
        after = recorded(app, moved, runs=3)

    assert moved != thread_id
    assert thread.participant_identifier == "local"
    assert thread.name == "What is 3 + 4?"
    assert told_to_the_model(thread) == ["What is 3 + 4?", "What is 4 + 5?"]
    assert answer.json()["thread_id"] == thread_id
    assert told_to_the_model(after) == ["Hello!"]
    assert any("was deleted" in data["message"] for name, data in tab.events if name == "toast")
