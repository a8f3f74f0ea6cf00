"""The people who read the pages of a server that runs alone: names, password hashes and roles."""

import re
from typing import Literal

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from literal_server import clock
from literal_server.errors import Refused
from literal_server.tables import User

# As the app's own sign-in has them, so that one person can have one name and password in both.
Role = Literal["user", "reviewer", "admin"]
NAME = re.compile(r"[a-z0-9][a-z0-9._@+-]{0,63}")
SHORTEST_PASSWORD, LONGEST_PASSWORD = 10, 1_000

_HASHER = PasswordHasher()


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


def hash_of_settings(password: str, salt: bytes) -> str:
    """Answer the hash of a password that stands in the settings, the same one at each start for the same salt."""
    return _HASHER.hash(password[: LONGEST_PASSWORD + 1], salt=salt)


def is_right(expected: str, password: str) -> bool:
    """Say whether a password is the one of a hash; it takes some 50 ms and 64 MB."""
    try:
        return _HASHER.verify(expected, password[: LONGEST_PASSWORD + 1])
    except (VerificationError, InvalidHashError):
        return False
