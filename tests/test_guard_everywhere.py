"""Nothing of the running app answers a foreign website: every route and the socket, Chainlit's own and ours."""

import re

import aiohttp
import httpx
import pytest
import socketio
from chainlit.server import app as chainlit_app
from chainlit.server import router as chainlit_router

from tests.app_process import AppProcess

FOREIGN = [
    {"Host": "evil.example"},
    {"Host": "localhost.evil.example:8000"},
    {"Origin": "https://evil.example"},
    {"Origin": "null"},
    {"Origin": "http://127.0.0.1:1"},
]
OURS = [
    ("POST", "/process/"),
    ("POST", "/process"),
    ("GET", "/literal"),
    ("GET", "/literal/"),
    ("POST", "/literal/api/graphql"),
]


def chainlits_routes() -> list[tuple[str, str]]:
    """Return (method, path) of all of Chainlit's routes but the socket's."""
    found: list[tuple[str, str]] = []
    for route in [*chainlit_app.routes, *chainlit_router.routes]:
        path, methods = getattr(route, "path", None), set(getattr(route, "methods", None) or {"GET"})
        if path and not path.startswith("/ws/"):
            found += [(method, path) for method in sorted(methods) if method != "HEAD" or "GET" not in methods]
    return found


def every_route() -> list[tuple[str, str]]:
    """Return (method, path) of all of Chainlit's routes and ours, with something in the place of parameters."""
    theirs = [
        (method, re.sub(r"{[^}]*}", "x", path)) for method, path in [*chainlits_routes(), ("GET", "/ws/socket.io")]
    ]
    return sorted(set(theirs + OURS))


@pytest.mark.parametrize("headers", FOREIGN, ids=str)
def test_every_route_refuses_a_foreign_website(app: AppProcess, headers: dict[str, str]) -> None:
    """A foreign Host or Origin is refused on every route before it does anything."""
    routes = every_route()

    with httpx.Client(base_url=app.url) as http:
        statuses = {route: http.request(*route, headers=headers).status_code for route in routes}

    assert len(routes) > 30
    assert {route: status for route, status in statuses.items() if status not in (403, 421)} == {}


@pytest.mark.parametrize("headers", [{}, {"Host": "localhost"}, {"Host": "127.0.0.1:9999"}], ids=str)
def test_this_machine_is_let_in(app: AppProcess, headers: dict[str, str]) -> None:
    """The same routes answer under every name of this machine, so the refusals above are the guard's."""
    assert httpx.get(f"{app.url}/health", headers=headers).status_code == 200
    assert httpx.get(f"{app.url}/", headers=headers).status_code == 200


def test_the_own_origin_is_let_in(app: AppProcess) -> None:
    """A request from the app's own pages passes."""
    assert httpx.post(f"{app.url}/auth/header", headers={"Origin": app.url}).status_code == 200


@pytest.mark.anyio
@pytest.mark.parametrize("headers", FOREIGN, ids=str)
@pytest.mark.parametrize("transport", ["websocket", "polling"])
async def test_the_socket_refuses_a_foreign_website(app: AppProcess, transport: str, headers: dict[str, str]) -> None:
    """Neither the websocket nor its polling stand-in opens for a foreign Host or Origin, signed in or not."""
    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as http:
        async with http.post(f"{app.url}/auth/header") as response:
            assert response.status == 200
        socket = socketio.AsyncClient(http_session=http, reconnection=False)
        with pytest.raises(socketio.exceptions.ConnectionError):
            await socket.connect(app.url, headers=headers, socketio_path="/ws/socket.io", transports=[transport])


@pytest.mark.parametrize(
    "headers",
    [{"X-Forwarded-For": "10.0.0.1"}, {"Forwarded": "for=10.0.0.1"}, {"X-Verbatim-Local": "x"}, {"Via": "1.1 proxy"}],
    ids=str,
)
def test_only_a_direct_request_signs_in_by_itself(app: AppProcess, headers: dict[str, str]) -> None:
    """What came through a proxy is not taken for the person at this machine; our own mark cannot be sent along."""
    forged = headers.keys() == {"X-Verbatim-Local"}

    sign_in = httpx.post(f"{app.url}/auth/header", headers=headers).status_code
    process = httpx.post(f"{app.url}/process/", headers=headers, json={}).status_code
    pages = httpx.get(f"{app.url}/literal/", headers=headers, follow_redirects=True).status_code

    assert (sign_in, process, pages) == ((200, 422, 200) if forged else (401, 403, 401))
