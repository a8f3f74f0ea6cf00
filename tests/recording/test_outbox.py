"""The outbox keeps order, waits for a server that is away, and never drops an update without a word."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from recording import outbox as outbox_module
from recording.client import LiteralAPI
from recording.outbox import Outbox

pytestmark = pytest.mark.anyio

Handler = Callable[[dict[str, Any]], Awaitable[Response]]


def fine(variables: dict[str, Any]) -> Response:
    """Answer as a server does that has stored everything."""
    steps = [name for name in variables if name.startswith("id_")]
    data: dict[str, Any] = {f"step{n}": {"ok": True, "message": None} for n in range(len(steps))}
    if not steps:
        thread = {"id": variables.get("id"), "participant": None}
        data = {"upsertThread": thread, "deleteStep": {"id": variables.get("id")}}
    return JSONResponse({"data": data})


class Server:
    """A recording server for the outbox alone: it notes the ids of each request, and `answer` decides how it fares."""

    def __init__(self) -> None:
        self.received: list[list[str]] = []
        self.answer: Callable[[dict[str, Any]], Response] = fine
        self.app = Starlette(routes=[Route("/api/graphql", self._handle, methods=["POST"])])
        self.api = LiteralAPI("http://test", "key", httpx.ASGITransport(app=self.app))

    async def _handle(self, request: Request) -> Response:
        variables = (await request.json())["variables"]
        response = self.answer(variables)
        if response.status_code == 200:
            self.received.append([value for name, value in variables.items() if name.startswith("id")])
        return response


def step(step_id: str) -> dict[str, Any]:
    return {"id": step_id, "threadId": "t", "type": "tool"}


async def test_updates_arrive_in_order_and_in_batches() -> None:
    """Steps in a row share a request; a thread between them keeps its place."""
    server = Server()
    outbox = Outbox(server.api)
    outbox.put_thread("t", name="n")
    outbox.put_step(step("1"))
    outbox.put_step(step("2"))
    outbox.put_deletion("1")
    outbox.put_step(step("3"))

    outbox.start()

    assert await outbox.flush(5)
    assert server.received == [["t"], ["1", "2"], ["1"], ["3"]]
    await outbox.stop(1)


@pytest.mark.parametrize("status", [500, 503, 429])
async def test_a_server_that_fails_is_asked_again(status: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the server answers 5xx or 429 nothing is lost, and all arrives once it is well again."""
    monkeypatch.setattr(outbox_module, "FIRST_PAUSE_SECONDS", 0.001)
    server = Server()
    failures = iter([Response(status_code=status)] * 3)
    server.answer = lambda variables: next(failures, None) or fine(variables)
    outbox = Outbox(server.api)
    outbox.start()

    outbox.put_step(step("1"))

    assert await outbox.flush(5)
    assert (server.received, outbox.lost) == ([["1"]], 0)
    await outbox.stop(1)


@pytest.mark.parametrize(
    "refusal",
    [
        {"errors": [{"message": "bad step"}]},
        {"data": {"step0": {"ok": False, "message": "bad step"}}},
    ],
    ids=["errors", "ok-false"],
)
async def test_one_refused_update_does_not_hold_the_others_up(
    refusal: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    """A refused batch is sent singly: the culprit alone is lost, with its reason in the log."""
    server = Server()
    server.answer = lambda variables: JSONResponse(refusal) if "bad" in variables.values() else fine(variables)
    outbox = Outbox(server.api)
    for step_id in ("1", "bad", "2"):
        outbox.put_step(step(step_id))

    with caplog.at_level(logging.ERROR, logger="recording.outbox"):
        outbox.start()
        assert await outbox.flush(5)

    assert [ids for ids in server.received if ids != ["1", "bad", "2"] and ids != ["bad"]] == [["1"], ["2"]]
    assert outbox.lost == 1
    assert "tool bad of thread t" in caplog.text
    assert "bad step" in caplog.text
    await outbox.stop(1)


async def test_at_the_limit_the_newest_are_refused_with_a_word(caplog: pytest.LogCaptureFixture) -> None:
    """A full outbox keeps what it has and says which update it did not take."""
    server = Server()
    outbox = Outbox(server.api, limit=2)

    with caplog.at_level(logging.ERROR, logger="recording.outbox"):
        for step_id in ("1", "2", "3"):
            outbox.put_step(step(step_id))
    outbox.start()

    assert await outbox.flush(5)
    assert server.received == [["1", "2"]]
    assert outbox.lost == 1
    assert "tool 3 of thread t" in caplog.text
    await outbox.stop(1)


async def test_stopping_with_a_dead_server_ends_in_time_and_says_what_is_unsent(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Stop waits no longer than told, and the log counts what could not be sent."""
    api = LiteralAPI("http://127.0.0.1:9", "key")  # the discard port: nobody listens
    outbox = Outbox(api)
    outbox.start()
    outbox.put_step(step("1"))

    with caplog.at_level(logging.ERROR, logger="recording.outbox"):
        await asyncio.wait_for(outbox.stop(0.05), 5)

    assert "1 updates unsent" in caplog.text
    await api.close()


async def test_flush_waits_for_what_was_put_before_it_only() -> None:
    """Updates that keep coming do not hold a flush up."""
    server = Server()
    outbox = Outbox(server.api)
    outbox.put_step(step("1"))
    flushing = asyncio.create_task(outbox.flush(5))

    def answer_and_put(variables: dict[str, Any]) -> Response:
        if not flushing.done():
            outbox.put_step(step(f"more {len(server.received)}"))
        return fine(variables)

    server.answer = answer_and_put
    outbox.start()

    assert await flushing
    await outbox.stop(1)
