"""`POST /process/`: what it takes, what it gives back, what it refuses and how it says so."""

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette

from agent.conversation import Conversations, Exchange, Turn
from agent.errors import AgentError
from agent.events import Event, TurnFinished, new_id
from pace import Questions
from process import Process
from recording.history import RecordedThread

pytestmark = pytest.mark.anyio

QUESTION = {"role": "user", "content": "hello"}
CALL = {"id": "c", "type": "function", "function": {"name": "add", "arguments": "{}"}}
CALLED = {"role": "assistant", "content": None, "tool_calls": [CALL]}
RESULT = {"role": "tool", "tool_call_id": "c", "content": "2"}


class OverloadedError(AgentError):
    """A failure with a status of its own."""

    status = 429
    message = "Too many requests. Try later."


class Endpoint:
    """The endpoint over an agent that says how many messages it was given."""

    def __init__(self, record: dict[str, RecordedThread] | None = None, **changes: Any) -> None:
        self.record = record or {}
        self.turns: list[Turn] = []
        values: dict[str, Any] = {
            "conversations": Conversations(),
            "answer": self._answer,
            "recorder": self._note,
            "questions": Questions(0, 100_000, None),
            "lookup": self._lookup,
            "api_key": None,
            "key_user": "api",
            "local_user": lambda request: "local",
            "max_body_bytes": 10_000,
        }
        process = Process(**values | changes)
        self.http = httpx.AsyncClient(
            transport=httpx.ASGITransport(app=Starlette(routes=process.routes())), base_url="http://127.0.0.1:8000"
        )

    async def _answer(self, turn: Turn) -> AsyncIterator[Event]:
        if turn.question["content"] == "fail":
            error = OverloadedError("Too many requests. Try later.")
            yield TurnFinished(
                step_id="e", outcome="failed", messages=[], text=error.message, said_by_us=True, error=error
            )
            return
        text = f"{len(turn.history) + 1} messages"
        message = {"role": "assistant", "content": text}
        yield TurnFinished(step_id=new_id(), outcome="answered", messages=[message], text=text)

    async def _note(self, turn: Turn, event: object) -> None:
        if isinstance(event, TurnFinished):
            self.turns.append(turn)

    async def _lookup(self, thread_id: str) -> RecordedThread | None:
        return self.record.get(thread_id)

    async def post(self, body: Any, path: str = "/process/", **more: Any) -> httpx.Response:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        return await self.http.post(path, content=content, **more)


@pytest.mark.parametrize("path", ["/process/", "/process"])
async def test_the_history_comes_back_with_the_new_messages(path: str) -> None:
    """The answer is the posted history, unchanged to the last unknown field, followed by the turn's new messages."""
    history = [{"role": "system", "content": "Be brief."}, QUESTION | {"name": "ada", "x": 1}]

    response = await Endpoint().post({"message_history": history, "thread_id": "t"}, path)

    assert response.status_code == 200
    assert response.json() == {
        "message_history": [*history, {"role": "assistant", "content": "2 messages"}],
        "thread_id": "t",
    }


async def test_the_answer_can_be_sent_straight_back() -> None:
    """A client goes on by adding one user message to what it got; both turns are in one thread."""
    endpoint = Endpoint()
    first = (await endpoint.post({"message_history": [QUESTION], "thread_id": "t"})).json()

    second = await endpoint.post({**first, "message_history": [*first["message_history"], QUESTION]})

    assert second.json()["message_history"][-1]["content"] == "3 messages"
    assert [(turn.thread_id, turn.rebased) for turn in endpoint.turns] == [("t", False), ("t", False)]


async def test_without_a_thread_id_one_is_made_and_told() -> None:
    """A request without a thread id starts a thread whose id is in the answer."""
    endpoint = Endpoint()

    thread_id = (await endpoint.post({"message_history": [QUESTION]})).json()["thread_id"]

    assert [turn.thread_id for turn in endpoint.turns] == [thread_id]


async def test_a_failed_turn_is_an_error_with_a_fitting_status() -> None:
    """The sentence that the chat would show is the reason, and the status fits it."""
    response = await Endpoint().post({"message_history": [{"role": "user", "content": "fail"}], "thread_id": "t"})

    assert response.status_code == 429
    assert response.json() == {"error": "Too many requests. Try later.", "thread_id": "t"}


@pytest.mark.parametrize(
    ("body", "status", "reason"),
    [
        (b"", 400, "not JSON"),
        (b"{", 400, "not JSON"),
        (b"[" * 5_000, 400, "not JSON"),
        (b"[]", 422, "dictionary"),
        (b'{"message_history": [{"role": "user", "content": "x", "y": NaN}]}', 400, "not JSON"),
        (b'{"message_history": [{"role": "user", "content": "\\ud83d"}]}', 400, "not JSON"),
        ({}, 422, "message_history"),
        ({"message_history": []}, 422, "message_history"),
        ({"message_history": "hello"}, 422, "message_history"),
        ({"message_history": ["hello"]}, 422, "message_history.0"),
        ({"message_history": [{"role": "wizard", "content": "x"}]}, 422, "wizard"),
        ({"message_history": [{"content": "x"}]}, 422, "role"),
        ({"message_history": [{"role": "user"}]}, 422, "content"),
        ({"message_history": [{"role": "user", "content": 1}]}, 422, "content"),
        ({"message_history": [QUESTION, {"role": "assistant", "content": "x"}]}, 422, "the question"),
        ({"message_history": [RESULT, QUESTION]}, 422, "tool_call_id"),
        ({"message_history": [CALLED, QUESTION]}, 422, "not all answered"),
        ({"message_history": [CALLED, RESULT, RESULT, QUESTION]}, 422, "tool_call_id"),
        ({"message_history": [{"role": "assistant", "tool_calls": [{"id": "c"}]}, QUESTION]}, 422, "tool_calls"),
        ({"message_history": [QUESTION], "thread_id": ""}, 422, "thread_id"),
        ({"message_history": [QUESTION], "thread_id": 5}, 422, "thread_id"),
        ({"message_history": [QUESTION | {"content": "x" * 10_001}]}, 413, "PROCESS_MAX_BODY_BYTES"),
    ],
)
async def test_a_bad_body_is_refused_with_its_reason(body: Any, status: int, reason: str) -> None:
    """Whatever is wrong with a body, the answer is JSON that says it, and nothing runs."""
    endpoint = Endpoint()

    response = await endpoint.post(body)

    assert response.status_code == status
    assert reason in response.json()["error"]
    assert endpoint.turns == []


async def test_a_history_with_answered_calls_is_taken() -> None:
    """Tool calls with their results are a history like any other."""
    response = await Endpoint().post({"message_history": [CALLED, RESULT, QUESTION]})

    assert response.status_code == 200


async def test_another_users_thread_answers_like_an_unknown_one() -> None:
    """The thread of another user is neither read nor written, and the answer does not tell that it exists."""
    endpoint = Endpoint(
        record={"theirs": RecordedThread("eve", [Exchange("q", {"role": "user", "content": "secret"})])}
    )

    theirs = await endpoint.post({"message_history": [QUESTION], "thread_id": "theirs"})
    unknown = await endpoint.post({"message_history": [QUESTION], "thread_id": "unknown"})

    assert theirs.json() | {"thread_id": ""} == unknown.json() | {"thread_id": ""}
    assert theirs.json()["thread_id"] == "theirs"
    assert endpoint.turns[0].thread_id != "theirs"
    assert endpoint.turns[1].thread_id == "unknown"


async def test_going_on_beside_another_users_thread_stays_in_one_thread() -> None:
    """The same id of somebody else's thread always leads to the same thread of one's own."""
    endpoint = Endpoint(record={"theirs": RecordedThread("eve", [])})

    for _ in range(2):
        await endpoint.post({"message_history": [QUESTION], "thread_id": "theirs"})

    assert len({turn.thread_id for turn in endpoint.turns}) == 1


async def test_while_the_record_does_not_answer_a_thread_of_ones_own_is_used() -> None:
    """Without an owner to compare with, the turn is answered and recorded apart, named and owned as a new thread is."""

    async def dead(thread_id: str) -> RecordedThread | None:
        raise ConnectionError("no answer")

    endpoint = Endpoint(lookup=dead)

    response = await endpoint.post({"message_history": [QUESTION], "thread_id": "t"})

    assert response.status_code == 200
    assert [(turn.thread_id != "t", turn.first, turn.user) for turn in endpoint.turns] == [(True, True, "local")]


async def test_a_bug_answers_in_json_too() -> None:
    """Whatever breaks, the caller reads a sentence and no stack trace."""

    async def broken(thread_id: str) -> RecordedThread | None:
        raise KeyError("bug")

    response = await Endpoint(lookup=broken).post({"message_history": [QUESTION], "thread_id": "t"})

    assert response.status_code == 500
    assert "in the log" in response.json()["error"]


async def test_the_own_recorded_thread_goes_on() -> None:
    """A thread of one's own is continued from its record after a restart, not marked as a foreign history."""
    past = [QUESTION, {"role": "assistant", "content": "1 messages"}]
    endpoint = Endpoint(record={"mine": RecordedThread("local", [Exchange("q", past[0], past[1:])])})

    await endpoint.post({"message_history": [*past, QUESTION], "thread_id": "mine"})

    assert [(turn.rebased, turn.first) for turn in endpoint.turns] == [(False, False)]


@pytest.mark.parametrize("sent", [None, "Bearer wrong", "Basic a2V5", "Bearer", "key"])
async def test_with_a_key_set_nothing_else_opens(sent: str | None) -> None:
    """Without the right bearer key the answer is 401, from this machine too."""
    endpoint = Endpoint(api_key="key")

    response = await endpoint.post({"message_history": [QUESTION]}, headers={"Authorization": sent} if sent else {})

    assert response.status_code == 401
    assert "PROCESS_API_KEY" in response.json()["error"]


async def test_the_key_opens_as_its_own_user() -> None:
    """With the key the turn belongs to the user of the key."""
    endpoint = Endpoint(api_key="key")

    response = await endpoint.post({"message_history": [QUESTION]}, headers={"Authorization": "bearer key"})

    assert response.status_code == 200
    assert endpoint.turns[0].user == "api"


async def test_without_a_key_only_this_machine_is_answered() -> None:
    """A request from elsewhere is refused while no key is set, and told which setting opens the door."""
    response = await Endpoint(local_user=lambda request: None).post({"message_history": [QUESTION]})

    assert response.status_code == 403
    assert "PROCESS_API_KEY" in response.json()["error"]
