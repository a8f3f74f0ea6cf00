"""Links to one thread: shown to whoever has them and to nobody else, alone, until they expire or are revoked."""

import html
import logging
import re
from collections.abc import AsyncIterator

import httpx
import pytest
from sqlalchemy import select, update
from starlette.applications import Starlette
from starlette.requests import Request

from literal_server import purge, reviews
from literal_server.app import create_app
from literal_server.auth import Visitor
from literal_server.dashboard.pages import READINGS
from literal_server.logs import without_secrets
from literal_server.review_tables import Share
from literal_server.reviews import Target
from literal_server.settings import ServerSettings
from tests.literal_server.test_pages import stored
from tests.literal_server.wire import Wire, gql

pytestmark = pytest.mark.anyio

ORIGIN = {"origin": "http://localhost"}


async def door(request: Request) -> Visitor | None:
    """Let in whom a header names, ada with the threads of ada alone."""
    name = request.headers.get("x-who")
    return Visitor(name, sees_all=name != "ada") if name else None


@pytest.fixture
async def server(server_settings: ServerSettings, anyio_backend: str) -> AsyncIterator[Starlette]:
    limits = {"max_payload_bytes": 400_000}
    made = create_app(server_settings.model_copy(update=limits), door)
    async with made.router.lifespan_context(made):
        yield made


@pytest.fixture
async def shares(http: httpx.AsyncClient, wire: Wire, server: Starlette) -> str:
    """The address to which the forms about links of a thread of ada's are sent."""
    await wire.send(
        gql.UPSERT_THREAD, {"id": "t", "participantId": "ada", "name": "Shared", "metadata": {"k": "inner"}}
    )
    thumb = {"name": "user-feedback", "type": "HUMAN", "value": 0, "comment": "Not it."}
    picture = await stored(http, b"bytes", "image/png")
    given = {"name": "seen.png", "objectKey": picture["post"]["fields"]["key"]}
    await wire.report(
        {"id": "q", "threadId": "t", "type": "user_message", "output": {"content": "Why?"}, "attachments": [given]},
        {"id": "a", "threadId": "t", "parentId": "q", "type": "tool", "name": "dig",
         "output": {"content": "x" * 500_000}, "scores": [thumb]},
        {"id": "other", "threadId": "u", "type": "tool", "output": {"content": "y" * 500_000}},
    )  # fmt: skip
    async with server.state.api.database.writing() as session:
        for step, seconds in (("a", None), (None, 1.5)):
            await reviews.comment(session, Target(server.state.api.project, "t", step), "between us", "rea", seconds)
        await reviews.score(session, Target(server.state.api.project, "t", "a"), reviews.Judgement("secret", 1), "rea")
        await reviews.tag(session, Target(server.state.api.project, "t"), "angry customer")
    return f"/projects/{server.state.api.project}/logs/shares/t"


async def make(http: httpx.AsyncClient, shares: str, days: str = "7", who: str = "rea") -> httpx.Response:
    return await http.post(shares, data={"do": "create", "days": days}, headers=ORIGIN | {"x-who": who})


async def link_of(http: httpx.AsyncClient, shares: str) -> str:
    """Make a link and answer its path."""
    page = (await make(http, shares)).text
    return str(re.findall("http://localhost(/shared/[A-Za-z0-9_-]+)<", page)[0])


async def test_a_link_shows_the_thread_alone(http: httpx.AsyncClient, shares: str) -> None:
    """Its holder reads the thread in each reading, its files too, and finds no way to anything else."""
    link = await link_of(http, shares)
    assert (await http.get(shares.replace("/shares/", "/threads/"))).status_code == 401
    for reading in READINGS:
        response = await http.get(link, params={"view": reading, "currentStepId": "a"})
        page = response.text
        assert response.status_code == 200, reading
        assert response.headers["referrer-policy"] == "no-referrer"
        assert "noindex" in response.headers["x-robots-tag"]
        assert '<meta name="robots" content="noindex' in page
        for hidden in ("<form", "between us", "secret", "angry", "Open in chat", "/logs/threads", "data-news", "inner"):
            assert hidden not in page.partition("<dialog")[0], (reading, hidden)
        assert '<a class="brand">' in page
    page = (await http.get(link)).text
    assert "Not it." in page
    (picture,) = re.findall('<img src="([^"]+files[^"]+)"', page)
    own = await http.get(html.unescape(picture))
    assert own.content == b"bytes"
    assert own.headers["cache-control"] == "no-store"
    assert picture.startswith(link)
    assert "signature" not in page
    assert (await http.get(f"{link}/files/00000000-0000-0000-0000-000000000000")).status_code == 404
    (whole,) = re.findall('href="([^"]+/payloads[^"]+)"', page)
    assert len((await http.get(html.unescape(whole))).content) > 500_000
    assert (await http.get(f"{link}/payloads?step=other&name=output")).status_code == 404
    part = await http.get(f"{link}/parts?from=q&count=1")
    assert "Why?" in part.text
    assert "between us" not in part.text


async def test_a_link_ends(http: httpx.AsyncClient, shares: str, server: Starlette, wire: Wire) -> None:
    """Revoked, expired or of a deleted thread, a link says so in words; one that never was is not there."""
    revoked, expired, open_one = [await link_of(http, shares) for _ in range(3)]
    file_id = re.findall(r"/files/([0-9a-f-]{36})", (await http.get(revoked)).text)[0]
    assert (await http.get(f"{revoked}/files/{file_id}")).status_code == 200
    thread = shares.replace("/shares/", "/threads/")
    page = (await http.get(thread, headers={"x-who": "rea"})).text
    assert page.count("Made by rea") == 3
    identities = re.findall('name="id" value="([0-9a-f-]{36})"><button class="link" name="do" value="revoke"', page)
    form = {"do": "revoke", "id": identities[-1]}
    assert (await http.post(shares, data=form, headers=ORIGIN | {"x-who": "bob"})).status_code == 303
    async with server.state.api.database.writing() as session:
        rows = (await session.scalars(select(Share).order_by(Share.created_at))).all()
        rows[1].expires_at = rows[1].created_at
        assert all(revoked.rpartition("/")[2] not in row.digest for row in rows)
    for link, words in ((revoked, "was revoked"), (expired, "has expired")):
        parts = ("/parts?from=q&count=1", "/payloads?step=a&name=output", f"/files/{file_id}")
        for path in (link, *(link + part for part in parts)):
            response = await http.get(path)
            assert (response.status_code, words in response.text) == (410, True), path
    assert (await http.get(open_one)).status_code == 200
    assert (await http.get("/shared/nothing")).status_code == 404
    page = (await http.get(thread, headers={"x-who": "rea"})).text
    assert ("revoked <time" in page, "expired <time" in page) == (True, True)
    await wire.send(gql.DELETE_THREAD, {"thread_id": "t"})
    assert "was deleted" in (await http.get(open_one)).text
    await purge.purge(server.state.api.database)
    async with server.state.api.database.reading() as session:
        assert (await session.scalars(select(Share))).all() == []


async def test_who_gives_links(http: httpx.AsyncClient, shares: str) -> None:
    """Reviewers give them, from our own page and for a sensible time; who sees the own threads alone does not."""
    assert (await make(http, shares, who="ada")).status_code == 403
    assert "Make a link" not in (await http.get(shares.replace("/shares/", "/threads/"), headers={"x-who": "ada"})).text
    assert (await http.post(shares, data={"days": "1"}, headers={"x-who": "rea"})).status_code == 403
    assert (await http.post(shares, data={"days": "1"}, headers=ORIGIN)).status_code == 401
    for days in ("0", "366", "x", "-1", "9" * 400):
        assert (await make(http, shares, days)).status_code == 400, days
    assert (await make(http, shares + "x")).status_code == 400


async def test_the_log_does_not_hold_the_token(
    http: httpx.AsyncClient, shares: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The line on a request for a shared thread, or for a part of it, opens nothing."""
    link = await link_of(http, shares)
    with caplog.at_level(logging.INFO, "literal_server.requests"):
        await http.get(link)
        await http.get(f"{link}/parts?from=q&count=1")
    assert link.rpartition("/")[2] not in caplog.text
    assert "/shared/…" in caplog.text
    assert without_secrets("/literal/shared/abc/parts?x=1") == "/literal/shared/…"
    assert without_secrets("/projects/p?x=1") == "/projects/p"


async def test_digests_do_not_open(http: httpx.AsyncClient, shares: str, server: Starlette) -> None:
    """What is stored of a link is no link."""
    await link_of(http, shares)
    async with server.state.api.database.writing() as session:
        (digest,) = await session.scalars(select(Share.digest))
        await session.execute(update(Share).values(created_by="x"))
    assert (await http.get(f"/shared/{digest}")).status_code == 404
