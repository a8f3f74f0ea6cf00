"""News of a thread: told when something in it is stored, to those who may read it, and by streams that end."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette

from literal_server import clock, reviews
from literal_server.auth import Authenticate
from literal_server.changes import Changes
from literal_server.dashboard import live
from literal_server.db import Database
from literal_server.reviews import Judgement, Target
from tests.literal_server.visitors import named_visitor
from tests.literal_server.wire import Wire, gql

pytestmark = pytest.mark.anyio


@pytest.fixture
def door() -> Authenticate:
    return named_visitor


@pytest.fixture
async def thread(wire: Wire, server: Starlette) -> str:
    """The path of a running thread of ada's below the project's logs."""
    await wire.send(gql.UPSERT_THREAD, {"id": "t", "participantId": "ada"})
    start = clock.format_time(clock.now())
    await wire.report({"id": "r", "threadId": "t", "type": "run", "startTime": start})
    await wire.report({"id": "other", "threadId": "another", "startTime": start})
    return f"/projects/{server.state.api.project}/logs/threads/t"


async def news(http: httpx.AsyncClient, thread: str, after: str, **headers: str) -> httpx.Response:
    address = thread.replace("/threads/", "/live/")
    return await http.get(address, params={"after": after}, headers=headers)


async def waited_for(server: Starlette) -> None:
    """Return as soon as somebody waits for news."""
    while not server.state.api.changes.waiting:  # noqa: ASYNC110 - nothing in the server tells it
        await asyncio.sleep(0)


async def step(wire: Wire, server: Starlette) -> None:
    await wire.report({"id": "r", "threadId": "t", "type": "run", "output": {"content": "x"}})


async def new_step(wire: Wire, server: Starlette) -> None:
    await wire.report({"id": "n1", "threadId": "t"}, {"id": "n2", "threadId": "t"})


async def thumb(wire: Wire, server: Starlette) -> None:
    await wire.send(gql.CREATE_SCORE, {"name": "x", "type": "AI", "value": 1, "stepId": "r"})


async def whole(wire: Wire, server: Starlette) -> None:
    async with server.state.api.database.writing() as session:
        await reviews.score(session, Target(server.state.api.project, "t"), Judgement("x", 1), "rea")


async def comment(wire: Wire, server: Starlette) -> None:
    async with server.state.api.database.writing() as session:
        await reviews.comment(session, Target(server.state.api.project, "t"), "x", "rea")


async def rename(wire: Wire, server: Starlette) -> None:
    await wire.send(gql.UPSERT_THREAD, {"id": "t", "name": "new"})


async def delete(wire: Wire, server: Starlette) -> None:
    await wire.send(gql.DELETE_STEP, {"id": "r"})


async def undone(server: Starlette) -> None:
    async with server.state.api.database.writing() as session:
        await reviews.tag(session, Target(server.state.api.project, "t"), "x")
        await session.flush()
        raise ZeroDivisionError


@pytest.mark.parametrize("change", [step, new_step, thumb, whole, comment, rename, delete])
async def test_whatever_changes_in_a_thread_is_told(
    http: httpx.AsyncClient, wire: Wire, server: Starlette, thread: str, change: Callable[..., Awaitable[Any]]
) -> None:
    """Who waits hears of it at once, with the revision to wait for next."""
    changes: Changes = server.state.api.changes
    before = changes.revision((server.state.api.project, "t"))
    waiting = asyncio.create_task(news(http, thread, before))
    await waited_for(server)
    await change(wire, server)
    told = await asyncio.wait_for(waiting, 30)
    after = changes.revision((server.state.api.project, "t"))
    assert told.headers["content-type"].startswith("text/event-stream")
    assert told.text == f"retry: 500\n\nid: {after}\ndata: changed\n\n"
    assert after != before
    assert changes.waiting == 0


async def test_nothing_new_is_silence(
    http: httpx.AsyncClient, wire: Wire, server: Starlette, thread: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What happens in other threads, and what is undone, is no news; the stream ends by itself."""
    monkeypatch.setattr(live, "STREAM_SECONDS", 0.3)
    waiting = asyncio.create_task(
        news(http, thread, server.state.api.changes.revision((server.state.api.project, "t")))
    )
    await waited_for(server)
    await wire.report({"id": "other", "threadId": "another", "output": "x"})
    with pytest.raises(ZeroDivisionError):
        await undone(server)
    assert (await waiting).text == "retry: 500\n\n"


async def test_who_comes_back_hears_what_was_missed(http: httpx.AsyncClient, wire: Wire, thread: str) -> None:
    """A revision of before, or of another start of the server, is answered at once."""
    page = (await http.get(thread)).text
    shown = page.split('data-after="')[1].split('"')[0]
    await wire.report({"id": "r", "threadId": "t", "output": "x"})
    for headers, after in (({}, shown), ({"last-event-id": shown}, "x"), ({}, "0000.1"), ({}, "")):
        assert "data: changed" in (await news(http, thread, after, **headers)).text


async def test_news_have_the_door_of_the_page(http: httpx.AsyncClient, thread: str) -> None:
    """Another person's thread has no news, nor has one that is not there."""
    assert (await news(http, thread, "", **{"x-who": "ada"})).status_code == 200
    assert (await news(http, thread, "", **{"x-who": "bob"})).status_code == 404
    assert (await news(http, thread + "x", "")).status_code == 404


async def test_of_an_old_thread_no_news_are_expected(http: httpx.AsyncClient, wire: Wire, server: Starlette) -> None:
    """Its page asks for none, and a browser that does is told not to ask again."""
    await wire.report({"id": "o", "threadId": "old", "type": "run", "startTime": "2025-01-01T00:00:00Z"})
    path = f"/projects/{server.state.api.project}/logs/threads/old"
    page = await http.get(path)
    assert "data-news" not in page.text
    assert "connect-src 'self'" in page.headers["content-security-policy"]
    revision = server.state.api.changes.revision((server.state.api.project, "old"))
    assert (await news(http, path, revision)).status_code == 204


async def test_watchers_have_a_bound(
    http: httpx.AsyncClient, server: Starlette, thread: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One more than may watch is told to come back later."""
    monkeypatch.setattr(live, "MOST_WATCHERS", 1)
    monkeypatch.setattr(live, "STREAM_SECONDS", 0.3)
    after = server.state.api.changes.revision((server.state.api.project, "t"))
    waiting = asyncio.create_task(news(http, thread, after))
    await waited_for(server)
    assert (await news(http, thread, after)).status_code == 503
    assert (await waiting).status_code == 200


def test_a_forgotten_thread_counts_as_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of more threads than are remembered the eldest are asked for in vain rather than missed."""
    monkeypatch.setattr("literal_server.changes._REMEMBERED", 2)
    changes = Changes()
    changes.tell([("p", "a")])
    first = changes.revision(("p", "a"))
    changes.tell([("p", "b"), ("p", "c"), ("p", "d")])
    assert changes.revision(("p", "a")) != first
    assert changes.revision(("p", "d")) == changes.revision(("p", "d"))


async def test_what_a_command_stores_is_told(
    server: Starlette, http: httpx.AsyncClient, thread: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A command that writes to the database beside the server is seen, by who waits and by who asks later."""
    monkeypatch.setattr(live, "STREAM_SECONDS", 30.0)
    api = server.state.api
    seen = api.changes.revision((api.project, "t"))
    beside = Database(api.settings.database_path)
    waiting = asyncio.create_task(news(http, thread, seen))
    await waited_for(server)

    async with beside.writing() as session:
        await reviews.tag(session, Target(api.project, "t"), "imported")
    await beside.close()

    assert "data: changed" in (await waiting).text
    assert "data: changed" in (await news(http, thread, seen)).text
    latest = api.changes.revision((api.project, "t"))
    assert latest != seen
    assert api.changes.revision((api.project, "another")) == latest
