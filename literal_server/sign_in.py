"""Signing in to the pages of a server that runs alone: passwords judged, sessions kept until they end."""

import asyncio
import hashlib
import secrets
from dataclasses import dataclass

from limits import RateLimitItemPerSecond
from limits.storage import MemoryStorage
from limits.strategies import FixedWindowRateLimiter
from sqlalchemy import delete, select
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.requests import Request

from literal_server import clock, users
from literal_server.auth import Visitor, local_only
from literal_server.db import Database
from literal_server.tables import PageSession, User

COOKIE = "verbatim-session"
SESSION_SECONDS = 14 * 24 * 3600
WAIT_SECONDS = 300
_ATTEMPTS = 10
_HASHES_AT_ONCE = 2  # each takes 64 MB for as long as it works


class TooManyAttempts(Exception):  # noqa: N818 - not a fault, but a reason to wait
    """Somebody has tried too often to sign in: nothing is judged for a while, right or wrong."""


@dataclass(frozen=True)
class _Known:
    """Somebody who may sign in."""

    name: str
    hash: str
    role: str

    @property
    def stamp(self) -> str:
        """What a session keeps of the password it began with: another password has another one."""
        return hashlib.sha256(self.hash.encode()).hexdigest()


class SignIn:
    """The door of a server that runs alone: the users of its database, and one of its settings.

    While there are neither, the browser on this very machine is let in and nobody else. Of two with the same name the
    one of the settings counts. A session ends after two weeks, with its password, with its user, or by signing out.
    """

    def __init__(self, name: str, password: str | None, secret: bytes, mounted_at: str = "") -> None:
        self.sign_in = f"{mounted_at.rstrip('/')}/sign-in"
        # The same salt at each start, so that sessions outlive a restart; the secret is the server's own.
        salt = hashlib.blake2b(name.encode(), key=secret[:64], digest_size=16).digest()
        self._fixed = _Known(name, users.hash_of_settings(password, salt), "admin") if password else None
        self._nobody = users.hash_of_settings(secrets.token_hex(), secrets.token_bytes(16))
        self._turns = asyncio.Semaphore(_HASHES_AT_ONCE)
        self._attempts = FixedWindowRateLimiter(MemoryStorage())
        self._limit = RateLimitItemPerSecond(_ATTEMPTS, WAIT_SECONDS)

    async def __call__(self, request: Request) -> Visitor | None:
        """Answer whose session the request shows, None where it shows none that holds."""
        token = request.cookies.get(COOKIE, "")
        async with request.app.state.api.database.reading() as session:
            if not self._fixed and await session.scalar(select(User.name).limit(1)) is None:
                return await local_only(request)
            kept = await session.get(PageSession, _digest(token)) if token else None
            if kept is None or kept.expires_at <= clock.now():
                return None
            known = await self._find(session, kept.name)
        if known is None or not secrets.compare_digest(known.stamp, kept.stamp):
            return None
        return Visitor(known.name, known.role != "user", signed_in=True, is_admin=known.role == "admin")

    async def open(self, database: Database, name: str, password: str, peer: str) -> str | None:
        """Answer the token of a new session, None where name or password is wrong. Raises TooManyAttempts."""
        typed = name if self._fixed and name == self._fixed.name else name.strip().lower()
        named = _digest(typed)  # a name can be long
        # The one of the settings is judged as the others are: else that password could be guessed at without end.
        # The peer comes first: who has to wait anyway neither fills the memory with names nor locks one of them out.
        if not self._attempts.hit(self._limit, "peer", peer) or not self._attempts.hit(self._limit, "name", named):
            raise TooManyAttempts
        async with database.reading() as session:
            known = await self._find(session, typed)
        # It takes as long for a name that nobody has as for a wrong password.
        async with self._turns:
            right = await asyncio.to_thread(users.is_right, known.hash if known else self._nobody, password)
        if known is None or not right:
            return None
        self._attempts.clear(self._limit, "name", named)
        self._attempts.clear(self._limit, "peer", peer)
        token, now = secrets.token_urlsafe(32), clock.now()
        async with database.writing() as session:
            await session.execute(delete(PageSession).where(PageSession.expires_at <= now))
            expires_at = now + SESSION_SECONDS * 1_000_000
            session.add(
                PageSession(digest=_digest(token), name=typed, stamp=known.stamp, created_at=now, expires_at=expires_at)
            )
        return token

    async def close(self, database: Database, token: str) -> None:
        """End a session."""
        async with database.writing() as session:
            await session.execute(delete(PageSession).where(PageSession.digest == _digest(token)))

    async def _find(self, session: AsyncSession, name: str) -> _Known | None:
        if self._fixed and name == self._fixed.name:
            return self._fixed
        user = await session.get(User, name)
        return _Known(user.name, user.hash, user.role) if user is not None else None


def _digest(text: str) -> str:
    """What is kept of a token: who reads the database cannot go on with somebody's session."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
