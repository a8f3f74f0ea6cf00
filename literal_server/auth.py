"""Who may read the pages: a question to the embedder, which a few ready answers come with."""

import base64
import hashlib
import hmac
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import ClassVar

from starlette.requests import Request

from literal_server.guard import is_local_request

# Answers the user's name, None when the pages stay closed. With an attribute `challenge` (a text) the refusal
# carries it as WWW-Authenticate, and a browser asks for a name and a password.
Authenticate = Callable[[Request], Awaitable[str | None]]


async def anyone(_request: Request) -> str | None:
    """Let everybody read the pages: for an embedder that has its own door in front."""
    return "anyone"


async def local_only(request: Request) -> str | None:
    """Let in the browser on this very machine, and nobody else."""
    return "local" if is_local_request(request.scope) else None


def basic_login(user: str, password: str) -> Authenticate:
    """Let in one user by name and password, which the browser asks for."""
    return _BasicLogin(user, password)


@dataclass(frozen=True, repr=False)
class _BasicLogin:
    user: str
    password: str
    challenge: ClassVar[str] = 'Basic realm="Verbatim", charset="UTF-8"'

    async def __call__(self, request: Request) -> str | None:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        try:
            given = base64.b64decode(token.strip(), validate=True) if scheme.lower() == "basic" else b""
        except ValueError:
            return None
        expected = f"{self.user}:{self.password}".encode()
        # Hashed first, so that the comparison tells nothing about the length either.
        same = hmac.compare_digest(hashlib.sha256(given).digest(), hashlib.sha256(expected).digest())
        return self.user if same else None
