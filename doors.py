"""The app's doors: who a request comes from, found out once in front of everything, and what may stand open."""

import ipaddress
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass, replace

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from logins import Logins


@dataclass(frozen=True, slots=True)
class Caller:
    """Whom a request comes from.

    `name` is that of the person who is signed in, or None; `network` is what to count attempts by; `at_machine` tells
    that the request comes from this very machine.
    """

    name: str | None = None
    sees_all: bool = False
    is_admin: bool = False
    network: str = ""
    at_machine: bool = False


NOBODY = Caller()


def new_caller() -> ContextVar[Caller]:
    """Return what tells whom the request or socket comes from that is being answered; a process has one."""
    return ContextVar("caller", default=NOBODY)


@dataclass(frozen=True, slots=True)
class Claim:
    """What a session token says of itself, its signature and its time being right: a name, and the login's stamp."""

    name: str
    stamp: str


ReadClaim = Callable[[Headers], Claim | None]
"""Reads the session token that a request carries; None where there is none, or none that holds."""


def who_is(claim: Claim, logins: Logins | None, local_user: str) -> Caller | None:
    """Return who claims to be signed in, None for who is not, or is not any more.

    Without `logins` the browser of this machine signs in by itself, as `local_user` and nobody else.
    """
    if logins is None:
        return Caller(local_user, sees_all=True, is_admin=True) if claim.name == local_user else None
    login = logins.session(claim.name, claim.stamp)
    return Caller(claim.name, sees_all=login.sees_all, is_admin=login.role == "admin") if login else None


class Doorkeeper:
    """ASGI middleware that knows who is signed in, and takes a session away that must not be any more.

    Chainlit checks a token's signature and time only: not whether the person may still come in. So a token that does
    not pass here goes no further, and Chainlit answers as to anybody who is not signed in.

    Args:
        app: what stands behind.
        caller: where to say who it is.
        read_claim: reads a request's session token.
        logins: whom to let in by password; None where the browser of this machine signs in by itself.
        local_user: the name under which it does.
        is_local: tells whether a request comes from this very machine.
        secure_host: the host for which cookies are marked to travel by https only, None for none.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        caller: ContextVar[Caller],
        read_claim: ReadClaim,
        logins: Logins | None,
        local_user: str,
        is_local: Callable[[Scope], bool],
        secure_host: str | None,
    ) -> None:
        self._app = app
        self._caller = caller
        self._read_claim = read_claim
        self._logins = logins
        self._local_user = local_user
        self._is_local = is_local
        self._secure_host = secure_host

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass one request or socket on, with its caller in the context."""
        if scope["type"] in ("http", "websocket"):
            known: Caller | None = None
            for carrier in (b"cookie", b"authorization"):  # Chainlit looks at the second where the first has no token
                claim = self._read_claim(Headers(scope=scope))
                known = self._known(claim) if claim else None
                if known or not claim:
                    break
                scope = {**scope, "headers": [pair for pair in scope["headers"] if pair[0] != carrier]}
            self._caller.set(replace(known or NOBODY, network=_network(scope), at_machine=self._is_local(scope)))
            if self._secure_host and Headers(scope=scope).get("host", "").partition(":")[0] == self._secure_host:
                send = _SecureCookies(send)
        await self._app(scope, receive, send)

    def _known(self, claim: Claim) -> Caller | None:
        return who_is(claim, self._logins, self._local_user)


def _network(scope: Scope) -> str:
    """Return whom to count attempts for: an address, or for IPv6 the network that one household has."""
    client = scope.get("client")
    try:
        address = ipaddress.ip_address(str(client[0]) if client else "")
    except ValueError:
        return ""
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is None:
        return str(ipaddress.ip_network((address, 64), strict=False))
    return str(getattr(address, "ipv4_mapped", None) or address)


class _SecureCookies:
    """Marks the cookies of an answer so that a browser sends them back by https only."""

    def __init__(self, send: Send) -> None:
        self._send = send

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            marked = [
                (name, value + b"; Secure" if name == b"set-cookie" and b"secure" not in value.lower() else value)
                for name, value in message["headers"]
            ]
            message = {**message, "headers": marked}
        await self._send(message)


def is_loopback(host: str) -> bool:
    """Tell whether a bind address is reachable from this machine only."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
