"""The guard before every route and socket: which Host and which Origin may talk to an application at all.

A program on a machine of one's own is reachable for every page that the browser on it visits: by its address, with
the page's own Origin, or under a foreign name that was made to point here. All of these are refused.
"""

import ipaddress
import json
import re
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
ASGIApp = Callable[[Scope, Receive, Send], Awaitable[None]]

_HOST = re.compile(r"(\[[0-9a-f:.]{2,45}\]|[a-z0-9_]([a-z0-9._-]{0,252}))(?::([0-9]{1,5}))?", re.ASCII)
_READING = ("GET", "HEAD", "OPTIONS")
_DEFAULT_PORTS = {"http": 80, "https": 443}

# A proxy leaves one of these on what it passes on, and then the peer's address says nothing about the person.
_FORWARDING = {
    b"forwarded",
    b"via",
    b"x-real-ip",
    b"x-client-ip",
    b"x-cluster-client-ip",
    b"x-original-forwarded-for",
    b"x-envoy-external-address",
    b"x-appengine-user-ip",
    b"cf-connecting-ip",
    b"cf-connecting-ipv6",
    b"cf-ray",
    b"true-client-ip",
    b"fastly-client-ip",
    b"fly-client-ip",
    b"tailscale-user-login",
}


@dataclass(frozen=True)
class Origin:
    """Scheme, host name and port of an address."""

    scheme: str
    name: str
    port: int


@dataclass(frozen=True)
class Refusal:
    """The answer to a request that is not let in."""

    status: int
    sentence: str


def parse_host(value: bytes | str) -> tuple[str, int | None] | None:
    """Take a Host header apart into name (lower case, without brackets) and port; None when it is malformed."""
    text = value.decode("latin-1") if isinstance(value, bytes) else value
    match = _HOST.fullmatch(text.lower())
    if match is None or (match[3] is not None and int(match[3]) > 65_535):
        return None
    return match[1].strip("[]"), int(match[3]) if match[3] is not None else None


def parse_origin(value: bytes | str) -> Origin | None:
    """Take an Origin header or a base address apart; None when it is `null`, malformed or of another scheme."""
    text = value.decode("latin-1") if isinstance(value, bytes) else value
    try:
        parts = urlsplit(text)
    except ValueError:
        return None
    host = parse_host(parts.netloc)
    if parts.scheme not in _DEFAULT_PORTS or host is None:
        return None
    return Origin(parts.scheme, host[0], host[1] or _DEFAULT_PORTS[parts.scheme])


def check_public_url(value: str) -> str:
    """Return an address that browsers can use for this application. Raises ValueError when it is none."""
    if parse_origin(value) is None:
        raise ValueError(f"PUBLIC_URL must be an address such as https://chat.example.com, not {value!r}.")
    return value


def is_loopback_name(name: str) -> bool:
    """Say whether a host name means this machine whoever resolves it: localhost, 127.0.0.0/8 or ::1."""
    if name == "localhost":
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def is_local_request(scope: Scope) -> bool:
    """Say whether a request comes from this very machine: loopback peer, no forwarding header, loopback Host."""
    client = scope.get("client")
    headers: list[tuple[bytes, bytes]] = scope["headers"]
    hosts = _values(headers, b"host")
    if not client or len(hosts) != 1 or any(_forwards(name) for name, _ in headers):
        return False
    host = parse_host(hosts[0])
    return host is not None and is_loopback_name(host[0]) and _is_loopback_address(str(client[0]))


def is_from_own_page(scope: Scope, public_url: str | None) -> bool:
    """Say whether a request was made by a page of this very application: a browser says so with each form it sends."""
    origins = tuple(_values(scope["headers"], b"origin"))
    hosts = _values(scope["headers"], b"host")
    host = parse_host(hosts[0]) if len(hosts) == 1 else None
    return host is not None and _Rule(parse_origin(public_url) if public_url else None).is_own(origins, *host)


def _is_loopback_address(text: str) -> bool:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback


def _forwards(name: bytes) -> bool:
    return name in _FORWARDING or name.startswith(b"x-forwarded")


def _values(headers: Iterable[tuple[bytes, bytes]], wanted: bytes) -> list[bytes]:
    return [value for name, value in headers if name == wanted]


class Guard:
    """Wraps an ASGI application and lets in only requests and sockets under its own names and from its own pages.

    `public_url` (scheme and host) names the address of the application off this machine, None when there is none.
    Under the paths that begin with one of `open_to_read` pages of any origin may read: what lies there opens to
    whoever knows its signed address, and a chat on another origin shows it.
    Raises ValueError when the address is none.
    """

    def __init__(self, app: ASGIApp, *, public_url: str | None = None, open_to_read: tuple[str, ...] = ()) -> None:
        self.app = app
        self.open_to_read = open_to_read
        public = parse_origin(check_public_url(public_url)) if public_url else None
        self.verdict = lru_cache(maxsize=512)(_Rule(public))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or refuse it."""
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        headers = scope["headers"]
        origins = () if self._is_open(scope) else tuple(_values(headers, b"origin"))
        refusal = self.verdict(tuple(_values(headers, b"host")), origins)
        if refusal is None:
            await self.app(scope, receive, send)
        elif scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1008, "reason": ""})  # before accept: HTTP 403
        else:
            await _refuse(refusal, send)

    def _is_open(self, scope: Scope) -> bool:
        if not self.open_to_read or scope["type"] != "http":
            return False
        return scope["method"] in _READING and str(scope["path"]).startswith(self.open_to_read)


@dataclass(frozen=True)
class _Rule:
    public: Origin | None

    def __call__(self, hosts: tuple[bytes, ...], origins: tuple[bytes, ...]) -> Refusal | None:
        host = parse_host(hosts[0]) if len(hosts) == 1 else None
        if host is None:
            return Refusal(400, "A request names exactly one host in its Host header.")
        name, port = host
        if not is_loopback_name(name) and (self.public is None or name != self.public.name):
            return Refusal(
                421,
                "This address is not one that the server answers to. Use http://localhost, "
                "or set PUBLIC_URL to the address that people use.",
            )
        if origins and not self.is_own(origins, name, port):
            return Refusal(
                403,
                "Pages of another origin may not talk to this server. "
                "If this is its own page, set PUBLIC_URL to the address that people use.",
            )
        return None

    def is_own(self, origins: tuple[bytes, ...], name: str, port: int | None) -> bool:
        """Say whether the one Origin is that of the host asked for, or the public one."""
        origin = parse_origin(origins[0]) if len(origins) == 1 else None
        if origin is None:
            return False
        same = origin.name == name and origin.port == (port or _DEFAULT_PORTS[origin.scheme])
        return same or origin == self.public


async def _refuse(refusal: Refusal, send: Send) -> None:
    body = json.dumps({"errors": [{"message": refusal.sentence}], "detail": refusal.sentence}).encode()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"cache-control", b"no-store"),
        # What came with the request was not read: the connection is not fit for another one.
        (b"connection", b"close"),
    ]
    await send({"type": "http.response.start", "status": refusal.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
