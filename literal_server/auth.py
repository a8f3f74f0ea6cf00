"""Who may read the pages: a question to the embedder, which a few ready answers come with."""

import base64
import hashlib
import hmac
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import ClassVar

from starlette.requests import Request

from literal_server.guard import is_local_request

BASIC = 'Basic realm="Verbatim", charset="UTF-8"'


@dataclass(frozen=True)
class Visitor:
    """Who reads the pages; who does not see all sees the threads of the participant of the same name."""

    name: str
    sees_all: bool


# Answers who reads the pages, None when they stay closed. With an attribute `challenge` (a text) the refusal carries
# it as WWW-Authenticate, and a browser asks for a name and a password. With an attribute `sign_in` (an address) the
# browser is sent there, and told in `next` where it wanted to go.
Authenticate = Callable[[Request], Awaitable[Visitor | None]]


async def anyone(_request: Request) -> Visitor | None:
    """Let everybody read the pages: for an embedder that has its own door in front."""
    return Visitor("anyone", sees_all=True)


async def local_only(request: Request) -> Visitor | None:
    """Let in the browser on this very machine, and nobody else."""
    return Visitor("local", sees_all=True) if is_local_request(request.scope) else None


def basic_login(user: str, password: str) -> Authenticate:
    """Let in one user by name and password, which the browser asks for."""
    return _BasicLogin(user, password)


def basic_credentials(request: Request) -> tuple[str, str] | None:
    """Answer the name and the password that a browser shows, None when it shows none."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        name, colon, password = base64.b64decode(token.strip(), validate=True).decode().partition(":")
    except ValueError:  # UnicodeDecodeError is one too
        return None
    return (name, password) if colon else None


def same_credentials(given: tuple[str, str], expected: tuple[str, str]) -> bool:
    """Compare names and passwords; the time it takes tells nothing about them."""
    # Hashed first, so that it tells nothing about the length either.
    one, other = (hashlib.sha256("\0".join(pair).encode()).digest() for pair in (given, expected))
    return hmac.compare_digest(one, other)


@dataclass(frozen=True, repr=False)
class _BasicLogin:
    user: str
    password: str
    challenge: ClassVar[str] = BASIC

    async def __call__(self, request: Request) -> Visitor | None:
        given = basic_credentials(request)
        same = given is not None and same_credentials(given, (self.user, self.password))
        return Visitor(self.user, sees_all=True) if same else None
