"""Signing in to the pages of a server that runs alone, and how a session ends."""

import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
from sqlalchemy import update

from literal_server import clock, users
from literal_server.app import create_app
from literal_server.data_folder import file_secret
from literal_server.settings import ServerSettings
from literal_server.sign_in import COOKIE, SignIn
from literal_server.tables import PageSession

pytestmark = pytest.mark.anyio

HERE = "http://localhost"
PASSWORD = "correct horse battery"


@asynccontextmanager
async def server(
    folder: Path, *, fixed: str | None = None, public_url: str | None = None, mounted_at: str = ""
) -> AsyncIterator[httpx.AsyncClient]:
    """A server with the user ada, and admin of the settings if a password is given, and a browser before it."""
    settings = ServerSettings(data_dir=folder, public_url=public_url, mounted_at=mounted_at)
    app = create_app(settings, SignIn("admin", fixed, file_secret(settings), mounted_at))
    async with app.router.lifespan_context(app):
        async with app.state.api.database.writing() as session:
            if not await users.all_users(session):
                await users.add(session, "ada", PASSWORD, "user")
        async with browser(app) as one:
            yield one


def browser(app: object) -> httpx.AsyncClient:
    """A browser without any cookie."""
    transport = httpx.ASGITransport(app=app)  # type: ignore[arg-type]
    return httpx.AsyncClient(transport=transport, base_url=HERE, headers={"origin": HERE})


async def sign_in(client: httpx.AsyncClient, name: str, password: str, wanted: str = "") -> httpx.Response:
    """Send the form."""
    return await client.post("/sign-in", data={"name": name, "password": password, "next": wanted})


async def test_who_is_sent_to_sign_in_comes_back_to_the_page(tmp_path: Path) -> None:
    """A closed page leads to the form, and the right password leads back to that page, with its query."""
    async with server(tmp_path) as client:
        wanted = "/projects/x/logs/threads?q=errors"
        sent = await client.get(wanted)
        assert (sent.status_code, sent.headers["location"][:14]) == (303, "/sign-in?next=")
        form = await client.get(sent.headers["location"])
        assert f'name="next" value="{wanted}"' in form.text

        wrong = await sign_in(client, "ada", "guess", wanted)
        assert (wrong.status_code, COOKIE in client.cookies) == (401, False)
        assert "is not right" in wrong.text
        assert 'value="ada"' in wrong.text
        assert "guess" not in wrong.text

        right = await sign_in(client, "Ada ", PASSWORD, wanted)
        assert (right.status_code, right.headers["location"]) == (303, wanted)
        assert (await client.get("/")).status_code == 307
        again = await client.get("/sign-in")
        assert (again.status_code, again.headers["location"]) == (303, "/")


@pytest.mark.parametrize(
    "wanted", ["//elsewhere.example", "https://elsewhere.example", "/\\elsewhere.example", "/a\nb"]
)
async def test_signing_in_leads_nowhere_else(tmp_path: Path, wanted: str) -> None:
    """An address of another server in a link to the form is not followed."""
    async with server(tmp_path) as client:
        assert (await sign_in(client, "ada", PASSWORD, wanted)).headers["location"] == "/"


async def test_signing_out_ends_the_session_itself(tmp_path: Path) -> None:
    """After signing out a copy of the cookie opens nothing."""
    async with server(tmp_path) as client:
        await sign_in(client, "ada", PASSWORD)
        page = await client.get("/", follow_redirects=True)
        assert "Sign out" in page.text
        copy = client.cookies[COOKIE]

        out = await client.post("/sign-out")
        assert (out.headers["location"], COOKIE in client.cookies) == ("/sign-in", False)
        stolen = await client.get("/", headers={"cookie": f"{COOKIE}={copy}"})
        assert stolen.headers["location"].startswith("/sign-in")


async def test_a_session_ends_by_itself(tmp_path: Path) -> None:
    """After its time the token opens nothing."""
    async with server(tmp_path) as client:
        await sign_in(client, "ada", PASSWORD)
        app = client._transport.app  # type: ignore[attr-defined]
        async with app.state.api.database.writing() as session:
            await session.execute(update(PageSession).values(expires_at=clock.now()))
        assert (await client.get("/")).headers["location"].startswith("/sign-in")


async def test_sessions_outlive_a_restart_but_not_their_password(tmp_path: Path) -> None:
    """The same password of the settings keeps its sessions, another one ends them."""
    async with server(tmp_path, fixed="the first password") as client:
        await sign_in(client, "admin", "the first password")
        token = {"cookie": f"{COOKIE}={client.cookies[COOKIE]}"}
    async with server(tmp_path, fixed="the first password") as client:
        assert (await client.get("/", headers=token)).status_code == 307
    async with server(tmp_path, fixed="the second one") as client:
        assert (await client.get("/", headers=token)).headers["location"].startswith("/sign-in")


async def test_the_cookie_is_for_the_browser_alone(tmp_path: Path) -> None:
    """No script reads it, no other site sends it, and behind https it never travels in the clear."""
    async with server(tmp_path) as client:
        cookie = (await sign_in(client, "ada", PASSWORD)).headers["set-cookie"].lower()
        assert "httponly" in cookie
        assert "samesite=lax" in cookie
        assert "secure" not in cookie
    async with server(tmp_path, public_url="https://record.example.com") as client:
        assert "secure" in (await sign_in(client, "ada", PASSWORD)).headers["set-cookie"].lower()


@pytest.mark.parametrize("path", ["/sign-in", "/sign-out"])
async def test_forms_of_other_sites_are_refused(tmp_path: Path, path: str) -> None:
    """No other page signs somebody in or out."""
    async with server(tmp_path) as client:
        for origin in ("https://elsewhere.example", "null"):
            form = {"name": "ada", "password": PASSWORD}
            answer = await client.post(path, data=form, headers={"origin": origin})
            assert (answer.status_code, "set-cookie" in answer.headers) == (403, False)


@pytest.mark.parametrize(("name", "fixed"), [("ada", None), ("admin", PASSWORD)])
async def test_guessing_is_slow(tmp_path: Path, name: str, fixed: str | None) -> None:
    """After ten wrong passwords even the right one waits; who is in stays in."""
    async with server(tmp_path, fixed=fixed) as client:
        await sign_in(client, name, PASSWORD)
        async with browser(client._transport.app) as stranger:  # type: ignore[attr-defined]
            tried = [(await sign_in(stranger, name, f"guess {number}")).status_code for number in range(10)]
            refused = await sign_in(stranger, name, PASSWORD)
        assert (tried, refused.status_code, refused.headers["retry-after"]) == ([401] * 10, 429, "300")
        assert "Wait five minutes" in refused.text
        assert (await client.get("/")).status_code == 307


async def test_who_has_to_wait_locks_nobody_else_out(tmp_path: Path) -> None:
    """What is tried after the tenth time counts against no name, and nothing of it is kept in memory."""
    async with server(tmp_path) as client:
        door = client._transport.app.state.authenticate  # type: ignore[attr-defined]
        for number in range(10):
            assert (await sign_in(client, f"guess{number}", "x")).status_code == 401
        kept = len(door._attempts.storage.storage)
        for number in range(10):
            for name in ("ada", "x" * 10_000 + str(number)):
                assert (await sign_in(client, name, PASSWORD)).status_code == 429
        assert len(door._attempts.storage.storage) == kept
        transport = httpx.ASGITransport(app=client._transport.app, client=("127.0.0.2", 1))  # type: ignore[attr-defined]
        async with httpx.AsyncClient(transport=transport, base_url=HERE, headers={"origin": HERE}) as other:
            assert (await sign_in(other, "ada", PASSWORD)).status_code == 303
            assert (await sign_in(other, "x" * 10_000, PASSWORD)).status_code == 401
        assert max(map(len, door._attempts.storage.storage)) < 200


@pytest.mark.parametrize("body", [b"name=" + b"a" * 20_000, b"name=%ff&password=x", b"&".join([b"a=b"] * 11), b"\xff"])
async def test_forms_of_no_sense_are_refused(tmp_path: Path, body: bytes) -> None:
    """A form that is too long, or no text, gets a page that says so."""
    async with server(tmp_path) as client:
        answer = await client.post("/sign-in", content=body)
        assert answer.status_code in (400, 413)
        assert "makes no sense" in answer.text


async def test_the_token_is_not_in_the_database(tmp_path: Path) -> None:
    """Who reads the file cannot go on with somebody's session."""
    async with server(tmp_path) as client:
        await sign_in(client, "ada", PASSWORD)
        token = client.cookies[COOKIE].encode()
        assert holding(tmp_path, token) == []
        assert holding(tmp_path, hashlib.sha256(token).hexdigest().encode()) != []


def holding(folder: Path, text: bytes) -> list[str]:
    """The names of the files that hold the text."""
    return [file.name for file in folder.iterdir() if file.is_file() and text in file.read_bytes()]
