"""Who may come in: API keys for programs, a question to the embedder for people."""

import base64
import hashlib
import hmac
import secrets
import string
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.requests import Request

from literal_server import clock
from literal_server.guard import is_local_request
from literal_server.tables import ApiKey, Project

# Answers the user's name, None when the pages stay closed. With an attribute `challenge` (a text) the refusal
# carries it as WWW-Authenticate, and a browser asks for a name and a password.
Authenticate = Callable[[Request], Awaitable[str | None]]

_SLUG_LETTERS = string.ascii_letters + string.digits


def digest_of(key: str) -> str:
    """The form in which a key is kept: keys are long and random, so a plain hash is enough."""
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()


@dataclass(frozen=True)
class KeyRing:
    """The keys that open a project, by digest."""

    projects: Mapping[str, str]

    @classmethod
    async def load(cls, session: AsyncSession) -> "KeyRing":
        """Read the keys that are not revoked."""
        rows = await session.execute(select(ApiKey.digest, ApiKey.project_id).where(ApiKey.revoked_at.is_(None)))
        return cls({row.digest: row.project_id for row in rows})

    def project_of(self, key: str | None) -> str | None:
        """Answer the project that a key opens; it takes the same time whether and where a key matches."""
        given = digest_of(key or "")
        found = None
        for digest, project in self.projects.items():
            if hmac.compare_digest(digest, given) and key:
                found = project
        return found


async def prepare_project(session: AsyncSession, name: str, key: str) -> str:
    """Make the first project if there is none and see that this key opens it, and no initial key before it does.

    Answers the project's id.
    """
    project = await session.scalar(select(Project).order_by(Project.created_at, Project.id).limit(1))
    if project is None:
        slug = f"{name}-{''.join(secrets.choice(_SLUG_LETTERS) for _ in range(12))}"
        project = Project(id=slug, name=name, created_at=clock.now())
        session.add(project)
    initial = await session.get(ApiKey, digest_of(key))
    if initial is None:
        session.add(ApiKey(digest=digest_of(key), project_id=project.id, name="initial", created_at=clock.now()))
    else:
        initial.revoked_at = None
    others = (ApiKey.name == "initial", ApiKey.digest != digest_of(key), ApiKey.revoked_at.is_(None))
    await session.execute(update(ApiKey).where(*others).values(revoked_at=clock.now()))
    return project.id


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
