"""The guard lets in its own names and pages, and nothing else."""

from typing import Any

import httpx
import pytest

from literal_server.guard import Guard, is_local_request

pytestmark = pytest.mark.anyio

PUBLIC = "https://chat.example.com"


async def hello(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"hello"})
    elif scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
    else:
        scope["passed"] = True


async def status(headers: list[tuple[str, str]], public_url: str | None = None) -> int:
    sent: list[Any] = []
    raw = [(name.encode(), value.encode()) for name, value in headers]

    async def send(message: Any) -> None:
        sent.append(message)

    await Guard(hello, public_url=public_url)({"type": "http", "headers": raw}, _receive, send)
    return int(sent[0]["status"])


async def _send_nothing(_message: Any) -> None:
    """Take a message and do nothing with it."""


async def _receive() -> Any:
    return {"type": "websocket.connect"}


@pytest.mark.parametrize(
    "host",
    ["localhost", "localhost:8000", "LOCALHOST:1", "127.0.0.1", "127.0.0.1:8000", "127.1.2.3", "[::1]", "[::1]:8000"],
)
async def test_loopback_hosts_pass(host: str) -> None:
    """Every name of this machine itself may be used, with any port."""
    assert await status([("host", host)]) == 200


@pytest.mark.parametrize(
    "host",
    ["evil.com", "localhost.evil.com", "127.0.0.1.evil.com", "192.168.1.2", "0.0.0.0", "127.1", "2130706433", "[::]"],
)
async def test_foreign_hosts_are_misdirected(host: str) -> None:
    """A name that anybody can point to this machine is refused."""
    assert await status([("host", host)]) == 421


@pytest.mark.parametrize(
    "host", ["", "localhost:", "localhost:99999", "a b", "user@localhost", "localhost/x", "[::1", "loc\tal"]
)
async def test_malformed_hosts_are_refused(host: str) -> None:
    """What is no host name at all is a bad request."""
    assert await status([("host", host)]) == 400


async def test_host_must_be_there_once() -> None:
    """No Host header and two of them are bad requests."""
    assert await status([]) == 400
    assert await status([("host", "localhost"), ("host", "localhost")]) == 400


async def test_public_host_passes_only_when_it_is_set() -> None:
    """The name of PUBLIC_URL is one of the server's own."""
    assert await status([("host", "chat.example.com")]) == 421
    assert await status([("host", "chat.example.com")], PUBLIC) == 200
    assert await status([("host", "other.example.com")], PUBLIC) == 421


@pytest.mark.parametrize(
    ("host", "origin", "expected"),
    [
        ("localhost:8000", "http://localhost:8000", 200),
        ("localhost:8000", "https://localhost:8000", 200),
        ("localhost", "http://localhost", 200),
        ("localhost", "http://localhost:80", 200),
        ("[::1]:8000", "http://[::1]:8000", 200),
        ("chat.example.com", PUBLIC, 200),
        ("localhost:8000", PUBLIC, 200),
        ("localhost:8000", "http://localhost:8001", 403),
        ("localhost:8000", "http://127.0.0.1:8000", 403),
        ("localhost:8000", "http://evil.com", 403),
        ("localhost:8000", "http://localhost:8000.evil.com", 403),
        ("localhost:8000", "http://evil.com@localhost:8000", 403),
        ("localhost:8000", "file://localhost:8000", 403),
        ("localhost:8000", "null", 403),
        ("localhost:8000", "", 403),
        ("chat.example.com", "http://evil.com", 403),
    ],
)
async def test_origins(host: str, origin: str, expected: int) -> None:
    """A page may talk to the server it came from, and the public page to it under any of its names."""
    assert await status([("host", host), ("origin", origin)], PUBLIC) == expected


async def test_two_origins_are_refused() -> None:
    """Two Origin headers are nobody's."""
    own = ("origin", "http://localhost")
    assert await status([("host", "localhost"), own, own]) == 403


async def test_socket_is_closed_before_it_opens() -> None:
    """A foreign page's socket gets its refusal in place of the handshake, an own one is accepted."""
    for origin, expected in (("http://evil.com", "websocket.close"), ("http://localhost", "websocket.accept")):
        sent: list[Any] = []

        async def send(message: Any, sent: list[Any] = sent) -> None:
            sent.append(message)

        scope = {"type": "websocket", "headers": [(b"host", b"localhost"), (b"origin", origin.encode())]}
        await Guard(hello)(scope, _receive, send)
        assert [message["type"] for message in sent] == [expected]


async def test_other_scopes_pass() -> None:
    """The lifespan has no host and passes through."""
    scope: dict[str, Any] = {"type": "lifespan"}
    await Guard(hello)(scope, _receive, _send_nothing)
    assert scope["passed"]


async def test_refusal_names_the_setting() -> None:
    """The sentence says what to set."""
    transport = httpx.ASGITransport(Guard(hello))
    async with httpx.AsyncClient(transport=transport, base_url="http://evil.com") as client:
        response = await client.get("/")
    assert response.status_code == 421
    assert "PUBLIC_URL" in response.json()["errors"][0]["message"]


async def test_public_url_must_be_an_address() -> None:
    """A PUBLIC_URL that is none stops the start."""
    with pytest.raises(ValueError, match="PUBLIC_URL"):
        Guard(hello, public_url="chat.example.com")


@pytest.mark.parametrize(
    ("peer", "headers", "expected"),
    [
        ("127.0.0.1", {"host": "localhost:8000"}, True),
        ("::1", {"host": "[::1]:8000"}, True),
        ("::ffff:127.0.0.1", {"host": "localhost"}, True),
        ("192.168.1.7", {"host": "localhost"}, False),
        ("::ffff:192.168.1.7", {"host": "localhost"}, False),
        ("127.0.0.1", {"host": "chat.example.com"}, False),
        ("127.0.0.1", {"host": "localhost", "x-forwarded-for": "1.2.3.4"}, False),
        ("127.0.0.1", {"host": "localhost", "x-forwarded-proto": "https"}, False),
        ("127.0.0.1", {"host": "localhost", "forwarded": "for=1.2.3.4"}, False),
        ("127.0.0.1", {"host": "localhost", "via": "1.1 proxy"}, False),
        ("127.0.0.1", {"host": "localhost", "cf-connecting-ip": "1.2.3.4"}, False),
        ("127.0.0.1", {"host": "localhost", "x-real-ip": "127.0.0.1"}, False),
        ("testclient", {"host": "localhost"}, False),
        ("127.0.0.1", {}, False),
    ],
)
async def test_local_requests(peer: str, headers: dict[str, str], expected: bool) -> None:
    """Local is a loopback peer that asks for a loopback name with no proxy between."""
    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    assert is_local_request({"client": (peer, 1), "headers": raw}) is expected


async def test_peer_unknown_is_not_local() -> None:
    """Without a peer address nothing is known, so nothing is allowed."""
    assert is_local_request({"client": None, "headers": [(b"host", b"localhost")]}) is False
