"""Signing in to the chat by name and password, and what its session tokens say."""

from contextvars import ContextVar

import chainlit as cl
from chainlit.auth.cookie import get_token_from_cookies
from chainlit.auth.jwt import decode_jwt
from fastapi import HTTPException
from jwt import InvalidTokenError
from starlette.datastructures import Headers
from starlette.requests import cookie_parser

from doors import Caller, Claim
from logins import Logins
from pace import Pace

STAMP = "stamp"
WINDOW_SECONDS = 300
TRIES_PER_NAME = 10
TRIES_PER_NETWORK = 60


class PasswordSignIn:
    """Lets in who knows a name and its password, and slows down who tries many."""

    def __init__(self, logins: Logins, caller: ContextVar[Caller]) -> None:
        self._logins = logins
        self._caller = caller
        self._names = Pace(TRIES_PER_NAME, WINDOW_SECONDS)
        self._networks = Pace(TRIES_PER_NETWORK, WINDOW_SECONDS)

    async def log_in(self, username: str, password: str) -> cl.User | None:
        """Return who this is. Raises HTTPException (429) for who has tried too often, whether it would be right or not.

        The browser shows the sentence of its status in its own language.
        """
        name = self._logins.name_of(username)[:100]
        if wait := max(self._networks.take(self._caller.get().network), self._names.take(name)):
            raise HTTPException(429, "Too many attempts to sign in.", {"Retry-After": str(wait)})
        login = await self._logins.check(name, password)
        if login is None:
            return None
        self._names.forget(name)
        return cl.User(identifier=name, metadata={STAMP: login.stamp})


def read_claim(headers: Headers) -> Claim | None:
    """Return what the session token of a request says, where Chainlit would look for it; None where none holds."""
    token = get_token_from_cookies(cookie_parser(headers.get("cookie", "")))
    if not token:
        scheme, _, token = headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            return None
    return claim_of(token)


def claim_of(token: str) -> Claim | None:
    """Return what a session token says, None where its signature or its time is not right."""
    try:
        user = decode_jwt(token)
    except (InvalidTokenError, TypeError, ValueError):
        return None
    return Claim(user.identifier, str(user.metadata.get(STAMP, "")))
