"""Keeps the chat alive under `-w` when a save has a mistake in it: the hooks of the last good one stay in force."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from chainlit.config import CodeSettings, config
from fastapi import FastAPI
from starlette.types import ASGIApp, Receive, Scope, Send


@dataclass(frozen=True)
class LastGood:
    """What Chainlit forgets at each save: its hooks, and what `show` sets in its configuration."""

    code: CodeSettings
    show: Callable[[], None]


def keep_hooks(server: FastAPI, show: Callable[[], None]) -> None:
    """Remember the hooks that app.py has just set, all of them; the first time, begin to watch over them."""
    first = getattr(server.state, "last_good", None) is None
    server.state.last_good = LastGood(config.code, show)
    if first:
        server.add_middleware(Watch, state=server.state)


class Watch:
    """Puts the last good hooks back, at the next request, after a save that could not be run.

    Chainlit empties its hooks before it runs app.py anew, and logs it when that fails; then nobody could even sign in.
    """

    def __init__(self, app: ASGIApp, state: Any) -> None:
        self._app = app
        self._state = state

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Look after the hooks, then pass the request on."""
        last: LastGood = self._state.last_good
        if config.code is not last.code:
            config.code = last.code
            last.show()
        await self._app(scope, receive, send)
