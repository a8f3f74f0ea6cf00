"""The people who read the pages of a server that runs alone: names, password hashes and roles."""

import asyncio
import hashlib
import re
import secrets
from collections import OrderedDict
from typing import ClassVar, Literal

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from limits import RateLimitItemPerSecond
from limits.storage import MemoryStorage
from limits.strategies import FixedWindowRateLimiter
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.exceptions import HTTPException
from starlette.requests import Request

from literal_server import clock
from literal_server.auth import BASIC, Visitor, basic_credentials, local_only
from literal_server.errors import Refused
from literal_server.tables import User

# As the app's own sign-in has them, so that one person can have one name and password in both.
Role = Literal["user", "reviewer", "admin"]
NAME = re.compile(r"[a-z0-9][a-z0-9._@+-]{0,63}")
SHORTEST_PASSWORD, LONGEST_PASSWORD = 10, 1_000

_HASHER = PasswordHasher()
_HASHES_AT_ONCE = 2  # each takes 64 MB for as long as it works
_ATTEMPTS, _ATTEMPT_SECONDS = 10, 300
_REMEMBERED = 256


async def all_users(session: AsyncSession) -> list[User]:
    """Answer everybody by name."""
    return list(await session.scalars(select(User).order_by(User.name)))


async def add(session: AsyncSession, typed: str, password: str, role: Role) -> User:
    """Let somebody in. Raises Refused when the name or the password cannot be, or the name is there."""
    name = typed.strip().lower()
    if not NAME.fullmatch(name):
        raise Refused(
            "A name has 1 to 64 of the letters a to z, digits and . _ - @ +, and begins with a letter or a digit."
        )
    digest = hashed(password)  # before the transaction begins with its first question: this takes a while
    if await session.get(User, name) is not None:
        raise Refused(f"There is a user {name} already.")
    now = clock.now()
    user = User(name=name, hash=digest, role=role, created_at=now, updated_at=now)
    session.add(user)
    return user


async def named(session: AsyncSession, typed: str) -> User:
    """Answer the user with this name. Raises Refused when there is none."""
    user = await session.get(User, typed.strip().lower())
    if user is None:
        raise Refused(f"There is no user {typed!r}.")
    return user


def hashed(password: str) -> str:
    """Answer the hash to keep of a password. Raises Refused for one that is too short or too long."""
    if not SHORTEST_PASSWORD <= len(password) <= LONGEST_PASSWORD:
        raise Refused(f"A password has {SHORTEST_PASSWORD} to {LONGEST_PASSWORD:,} characters.")
    return _HASHER.hash(password)


class UserLogin:
    """Lets in the users of the database and one of the settings, by name and password, which the browser asks for.

    While there are neither, the browser on this very machine is let in and nobody else. Of two with the same name the
    one of the settings counts.
    """

    challenge: ClassVar[str] = BASIC

    def __init__(self, name: str, password: str | None) -> None:
        self._fixed = (name, _HASHER.hash(password[: LONGEST_PASSWORD + 1])) if password else None
        self._turns = asyncio.Semaphore(_HASHES_AT_ONCE)
        self._attempts = FixedWindowRateLimiter(MemoryStorage())
        self._limit = RateLimitItemPerSecond(_ATTEMPTS, _ATTEMPT_SECONDS)
        self._nobody = _HASHER.hash(secrets.token_hex())
        # A browser shows the password with each request: what was right once is known again by a keyed digest.
        self._secret = secrets.token_bytes()
        self._right: OrderedDict[bytes, None] = OrderedDict()

    async def __call__(self, request: Request) -> Visitor | None:
        """Answer who asks, None when it is nobody. Raises HTTPException after too many attempts."""
        async with request.app.state.api.database.reading() as session:
            anybody = self._fixed or await session.scalar(select(User.name).limit(1)) is not None
            given = basic_credentials(request)
            user = await session.get(User, given[0].strip().lower()) if given else None
        if not anybody:
            return await local_only(request)
        if given is None:
            return None
        # The one of the settings is judged as the others are: else that password could be guessed at without end.
        if self._fixed and given[0] == self._fixed[0]:
            expected, visitor = self._fixed[1], Visitor(given[0], sees_all=True)
        elif user is not None:
            expected, visitor = user.hash, Visitor(user.name, sees_all=user.role != "user")
        else:
            expected, visitor = self._nobody, None
        return visitor if await self._is_right(expected, *given, _peer(request)) else None

    async def _is_right(self, expected: str, name: str, password: str, peer: str) -> bool:
        known = hashlib.blake2b("\0".join((expected, name, password)).encode(), key=self._secret).digest()
        if known in self._right:
            self._right.move_to_end(known)
            return True
        if not self._attempts.hit(self._limit, name) or not self._attempts.hit(self._limit, peer):
            raise HTTPException(429, "Too many attempts to sign in.")
        async with self._turns:
            right = await asyncio.to_thread(_verify, expected, password)
        if right:
            self._attempts.clear(self._limit, name)
            self._attempts.clear(self._limit, peer)
            self._right[known] = None
            if len(self._right) > _REMEMBERED:
                self._right.popitem(last=False)
        return right


def _verify(expected: str, password: str) -> bool:
    try:
        return _HASHER.verify(expected, password[: LONGEST_PASSWORD + 1])
    except (VerificationError, InvalidHashError):
        return False


def _peer(request: Request) -> str:
    return request.client.host if request.client else ""
