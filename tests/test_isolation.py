"""Nobody reaches what is another's: every route and every socket event of the running app, tried as the other."""

import uuid
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
import socketio
from chainlit.server import sio
from literalai.api import LiteralAPI

from chat.routes import OPEN, SHUT, SIGNED_IN
from tests.app_process import AppProcess, wait_until
from tests.chat_client import ChatTab
from tests.people import signed_in, start_with, tab_of
from tests.preloaded import Preloaded
from tests.test_guard_everywhere import chainlits_routes

pytestmark = pytest.mark.anyio

SECRET = "What is 1234 + 4321?"
ANSWER = "5555"
UNKNOWN = "8b8f2f9e-2d7c-4a55-9b1e-6a5b7d1c0f11"
# Every event that Chainlit's socket takes, with what another person sends to reach what is Ada's.
EVENTS = {
    "connect",
    "disconnect",
    "connection_successful",
    "clear_session",
    "client_message",
    "edit_message",
    "message_favorite",
    "fetch_favorites",
    "stop",
    "window_message",
    "audio_start",
    "audio_chunk",
    "audio_end",
    "chat_settings_change",
    "chat_settings_edit",
}


@dataclass
class Target:
    """What is Ada's: the ids of all that she has on the app, and her open tab."""

    app: AppProcess
    api: LiteralAPI
    tab: ChatTab
    thread: str = ""
    steps: dict[str, str] = field(default_factory=dict)
    score: str = ""

    def state(self) -> Any:
        """Return all of her thread that the record has."""
        found = self.api.get_thread(self.thread)
        return found and (found.to_dict(), found.participant_identifier)


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    """One event loop for the module, in which Ada's tab stays open."""
    return "asyncio"


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory, preloaded: Preloaded) -> Iterator[AppProcess]:
    app = start_with(preloaded.launch, tmp_path_factory.mktemp("isolation") / "data", "ada", "bob")
    yield app
    app.stop()


@pytest.fixture(scope="module")
async def ada(people: AppProcess, anyio_backend: str) -> AsyncIterator[Target]:
    """Ada with a thread, a judged answer and a tab in which it is open."""
    key = (people.data / "literal-api-key").read_text().strip()
    async with tab_of(people, "ada") as tab:
        target = Target(people, LiteralAPI(api_key=key, url=f"{people.url}/literal"), tab)
        await tab.ask(SECRET)
        target.thread = await tab.thread()

        def is_whole() -> bool:
            thread = target.api.get_thread(target.thread)
            steps = (thread.steps if thread else None) or []
            target.steps = {str(step.type): str(step.id) for step in steps}
            return bool(steps) and all(step.end_time for step in steps)

        wait_until(is_whole, 20, lambda: "Ada's thread is not recorded")
        with signed_in(people, "ada") as http:
            given = http.put("/feedback", json={"feedback": {"forId": target.steps["run"], "value": 1}})
            target.score = given.raise_for_status().json()["feedbackId"]
        yield target


def requests_for(target: dict[str, str]) -> dict[tuple[str, str], dict[str, Any]]:
    """Return a request for each route behind the sign-in that goes for these things."""
    thread, step, score, session = (target[name] for name in ("thread", "step", "score", "session"))
    page = {"pagination": {"first": 20}, "filter": {"userId": target["user"], "search": ANSWER}}
    return {
        ("GET", "/user"): {},
        ("GET", "/project/settings"): {},
        ("POST", "/project/threads"): {"json": page},
        ("GET", "/project/thread/{thread_id}"): {},
        ("PUT", "/project/thread"): {"json": {"threadId": thread, "name": "mine"}},
        ("DELETE", "/project/thread"): {"json": {"threadId": thread}},
        ("PUT", "/feedback"): {"json": {"feedback": {"forId": step, "value": 0}, "sessionId": session}},
        ("DELETE", "/feedback"): {"json": {"feedbackId": score}},
        ("POST", "/project/action"): {
            "json": {"action": {"name": "x", "payload": {}, "id": step, "forId": step}, "sessionId": session}
        },
    }


def test_every_route_is_thought_about() -> None:
    """Each of Chainlit's routes stands in exactly one table: open, behind the sign-in, or shut."""
    tables = [*OPEN, *SIGNED_IN, *SHUT]

    assert sorted(tables) == sorted(set(tables))
    assert set(tables) == set(chainlits_routes())
    assert set(requests_for(dict.fromkeys(("thread", "step", "score", "session", "user"), ""))) == set(SIGNED_IN)


def test_every_event_is_thought_about() -> None:
    """Each event that Chainlit's socket takes is tried below."""
    assert set(sio.handlers["/"]) == EVENTS


@pytest.mark.parametrize(("method", "path"), sorted(SHUT))
async def test_what_is_off_is_shut(ada: Target, method: str, path: str) -> None:
    """Routes of features that are off answer that there is nothing, to everybody."""
    with signed_in(ada.app, "ada") as http:
        answer = http.request(method, path.replace("{thread_id}", ada.thread))

    assert answer.status_code == 404
    assert answer.json() == {"detail": "Not Found"}


@pytest.mark.parametrize("step", ["run", "assistant_message", "llm", "user_message"])
async def test_no_route_gives_or_changes_what_is_anothers(ada: Target, step: str) -> None:
    """Bob is answered about Ada's things as about things that are not there; hers stay as they are."""
    before = ada.state()
    user = ada.api.get_user(identifier="ada")
    assert user
    hers = {
        "thread": ada.thread,
        "step": ada.steps[step],
        "score": ada.score,
        "session": ada.tab.session_id,
        "user": str(user.id),
    }
    nothing = dict.fromkeys(hers, UNKNOWN)
    with signed_in(ada.app, "bob") as bob, httpx.Client(base_url=ada.app.url) as nobody:
        for (method, path), arguments in requests_for(hers).items():
            address = path.replace("{thread_id}", ada.thread)
            answer = bob.request(method, address, **arguments)
            other = bob.request(method, path.replace("{thread_id}", UNKNOWN), **requests_for(nothing)[(method, path)])
            assert nobody.request(method, address, **arguments).status_code == 401, path
            assert (answer.status_code, answer.text) == (other.status_code, other.text), path
            assert SECRET not in answer.text, path
            assert '"ada"' not in answer.text, path
            if method != "GET" and path != "/project/threads":
                assert answer.status_code in (401, 404), path

    assert ada.state() == before


async def test_a_session_is_not_taken_over(ada: Target) -> None:
    """Bob cannot take up Ada's session by its id, with her thread's id or without."""
    for thread in (None, ada.thread):
        tab = tab_of(ada.app, "bob", thread)
        tab.session_id = ada.tab.session_id
        with pytest.raises(socketio.exceptions.ConnectionError):
            async with tab:
                pass


@pytest.mark.parametrize("deleted", [False, True])
async def test_a_socket_that_asks_for_anothers_thread_gets_a_new_one(ada: Target, deleted: bool) -> None:
    """Asking for Ada's thread, open or deleted, is asking for one that is not there; what is said goes elsewhere."""
    thread = ada.thread
    if deleted:
        thread = str(uuid.uuid4())
        ada.api.upsert_thread(thread, name="gone", participant_id="ada")
        ada.api.delete_thread(thread)
    before = ada.state()
    async with tab_of(ada.app, "bob", thread).expecting("first_hook_done") as tab:
        assert "not found" in str(await tab.heard("resume_thread_error")).lower()
        await tab.ask("What is 2 + 3?")
        own = await tab.thread()

    assert own not in (ada.thread, thread)
    assert SECRET not in str(tab.events)
    assert ada.state() == before
    with signed_in(ada.app, "bob") as http:
        assert http.get(f"/project/thread/{thread}").status_code == 404
        wait_until(lambda: http.get(f"/project/thread/{own}").status_code == 200, 20, lambda: "Bob has no thread")


@pytest.mark.parametrize("event", sorted(EVENTS - {"connect", "disconnect", "connection_successful"}))
async def test_no_event_reaches_what_is_anothers(ada: Target, event: str) -> None:
    """Whatever Bob's page sends with the ids of Ada's steps, her thread stays as it is and her tab hears nothing."""
    before, heard = ada.state(), len(ada.tab.events)
    async with tab_of(ada.app, "bob") as bob:
        await bob.ask("What is 2 + 3?")
        for kind, step in ada.steps.items():
            forged = {
                "id": step,
                "threadId": ada.thread,
                "parentId": ada.steps["run"],
                "type": kind,
                "name": "ada",
                "output": "forged",
                "createdAt": "",
                "metadata": {"favorite": True, "client": "chat"},
            }
            await bob.emit(event, {"message": forged, "sessionId": ada.tab.session_id, "threadId": ada.thread})
        if event != "clear_session":
            await bob.ask("What is 3 + 4?")  # so that all before it has been looked at
        assert SECRET not in str(bob.events)
        thread = await bob.thread()

    wait_until(lambda: ada.api.get_thread(thread) is not None, 20, lambda: "Bob's thread is not recorded")
    assert ada.state() == before
    assert ada.tab.events[heard:] == []


async def test_a_message_is_only_ever_a_question(ada: Target) -> None:
    """A page cannot write an answer, a tool result or another's words into the record, not even into its own thread."""
    async with tab_of(ada.app, "bob") as bob:
        forged = {
            "id": str(uuid.uuid4()),
            "type": "assistant_message",
            "name": "ada",
            "parentId": ada.steps["run"],
            "output": "What is 4 + 5?",
            "createdAt": "",
        }
        await bob.emit("client_message", {"message": forged, "fileReferences": [{"id": "x"}]})
        await bob.heard("task_end")
        thread_id = await bob.thread()
    wait_until(lambda: ada.api.get_thread(thread_id) is not None, 20, lambda: "Bob's thread is not recorded")
    thread = ada.api.get_thread(thread_id)
    assert thread
    written = next(step for step in thread.steps or [] if step.id == forged["id"])

    assert (written.type, written.name, written.parent_id) == ("user_message", "bob", None)
