"""Limits on what people ask, and the end of sessions: told in words, recorded, and with nothing left behind."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from chainlit.chat_context import chat_contexts
from chainlit.session import WebsocketSession
from chainlit.user_session import user_sessions

from agent.conversation import Conversations
from chat import sessions
from chat.sessions import let_go
from logins import new_login
from pace import Pace, Questions, RefusedQuestionError, in_words
from recording.client import UnreachableError
from tests.app_process import AppProcess
from tests.chat_client import ChatTab
from tests.people import KEY, let_in, start_with, tab_of
from tests.preloaded import Preloaded
from tests.test_chat import recorded

pytestmark = pytest.mark.anyio


def question(text: str) -> dict[str, Any]:
    return {"message_history": [{"role": "user", "content": text}], "thread_id": "t"}


async def test_the_pace_of_a_person_counts_all_tabs(tmp_path: Path, preloaded: Preloaded) -> None:
    """The question too many is refused with the time to wait, in whichever tab; it is recorded, and others go on."""
    app = start_with(
        preloaded.launch, tmp_path / "data", "ada", "bob", QUESTIONS_PER_MINUTE="2", QUESTION_MAX_CHARACTERS="50"
    )
    async with tab_of(app, "ada") as first, tab_of(app, "ada") as second, tab_of(app, "bob") as other:
        await first.ask("What is 2 + 3?")
        await second.ask("What is 3 + 4?")
        refusal = await first.ask("What is 4 + 5?")
        answer = await other.ask("What is 5 + 6?")
        long = await other.ask("x" * 51)
        thread = recorded(app, await first.thread())
    with httpx.Client(base_url=app.url, headers={"Authorization": f"Bearer {KEY}"}, timeout=30) as http:
        statuses = [http.post("/process/", json=question("What is 2 + 3?")).status_code for _ in range(2)]
        too_soon = http.post("/process/", json=question("What is 2 + 3?"))
        too_long = http.post("/process/", json=question("x" * 51))
    app.stop()

    assert "Please ask again in " in refusal
    assert "11" in answer
    assert "51 characters" in long
    refused = next(step for step in thread.steps if step.metadata and step.metadata.get("refused"))
    assert refused.output["content"] == "What is 4 + 5?"
    assert (statuses, too_soon.status_code, too_long.status_code) == ([200, 200], 429, 413)
    assert 0 < int(too_soon.headers["retry-after"]) <= 60
    assert "ask again in" in too_soon.json()["error"]
    assert "50 at most" in too_long.json()["error"]


async def test_a_changed_password_cuts_open_tabs_off(tmp_path: Path, preloaded: Preloaded) -> None:
    """A tab that is open under an old password is disconnected by itself; somebody else's stays."""
    app = start_with(preloaded.launch, tmp_path / "data", "ada", "bob")
    file = let_in(app.data)
    async with tab_of(app, "ada") as ada, tab_of(app, "bob") as bob:
        with file.change() as logins:
            logins["ada"] = new_login("another good password", "user")
        await ada.is_cut_off()
        assert "5" in await bob.ask("What is 2 + 3?")
    app.stop()


async def test_a_packet_that_is_too_large_closes_its_socket(app: AppProcess) -> None:
    """What no question can need is not read in; the app goes on for the others."""
    async with ChatTab(app.url) as tab, ChatTab(app.url) as other:
        await tab.emit("client_message", {"message": {"output": "x" * 2_000_000}})
        await tab.is_cut_off()
        assert "5" in await other.ask("What is 2 + 3?")


async def test_the_person_of_this_machine_is_not_counted(start_app: Callable[..., AppProcess]) -> None:
    """Who is signed in by itself asks as often as it pleases."""
    app = start_app(QUESTIONS_PER_MINUTE="1")

    answers = [httpx.post(f"{app.url}/process/", json=question("What is 2 + 3?"), timeout=30) for _ in range(3)]

    assert [answer.status_code for answer in answers] == [200, 200, 200]


def test_nothing_is_left_of_sessions_that_are_over() -> None:
    """Messages and values that Chainlit keeps for sessions, and screens of theirs, go with them."""
    conversations = Conversations()

    class Screen:
        alive = False

        async def __call__(self, *_: Any) -> None:
            """Hear nothing."""

    for number in range(50):
        chat_contexts[f"gone {number}"] = []
        user_sessions[f"gone {number}"] = {"user": "x"}
        conversations.open("ada", f"t{number}").listeners.append(Screen())

    let_go(conversations)

    assert not [key for key in (*chat_contexts, *user_sessions) if key.startswith("gone")]
    assert [one.listeners for one in conversations.by_thread.values()] == [[]] * 50


def test_a_pace_counts_each_key_by_itself() -> None:
    """So many times go, then the time to wait is told; another key is not held up, and forgetting begins anew."""
    pace = Pace(2, 60)

    assert [pace.take("a"), pace.take("a"), pace.take("b")] == [0, 0, 0]
    assert 0 < pace.take("a") <= 60
    pace.forget("a")
    assert pace.take("a") == 0
    assert [Pace(0, 60).take("a") for _ in range(100)] == [0] * 100
    assert [in_words(1), in_words(40), in_words(150)] == ["1 second", "40 seconds", "3 minutes"]


def test_of_somebody_who_goes_on_asking_not_all_is_kept() -> None:
    """As many refused questions are recorded in a minute as are allowed; what comes on top is refused only."""
    questions = Questions(3, 100, None)
    kept: list[bool] = []
    for _ in range(10):
        try:
            questions.admit("ada", "Hello")
        except RefusedQuestionError as error:
            kept.append(error.kept)

    assert kept == [True] * 3 + [False] * 4


async def test_a_session_waits_for_the_record_to_say_whose_thread_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """While nobody can tell, the socket is refused and its session is gone: it neither gets the thread nor another."""

    class Silent:
        async def get_thread_author(self, _thread_id: str) -> str:
            raise UnreachableError("no answer")

    monkeypatch.setattr(sessions, "get_data_layer", Silent)
    session = WebsocketSession("s", "socket", print, print, {}, "webapp", thread_id="theirs")

    with pytest.raises(ConnectionRefusedError):
        await sessions.keep_to_own_thread(session)

    assert WebsocketSession.get_by_id("s") is None
    assert WebsocketSession.get("socket") is None
