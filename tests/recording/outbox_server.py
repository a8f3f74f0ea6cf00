"""A recording server for the outbox alone, and reports to put in."""

from collections.abc import Awaitable, Callable
from typing import Any

import httpx
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from recording.client import LiteralAPI

Variables = dict[str, Any]


def fine(variables: Variables) -> Response:
    """Answer as a server does that has stored everything."""
    steps = [name for name in variables if name.startswith("id_")]
    data: dict[str, Any] = {f"step{n}": {"ok": True, "message": None} for n in range(len(steps))}
    if not steps:
        thread = {"id": variables.get("id"), "participant": None}
        data = {"upsertThread": thread, "deleteStep": {"id": variables.get("id")}}
    return JSONResponse({"data": data})


def refusing(step_id: str) -> Callable[[Variables], Response]:
    """Answer `ok: false` for one step, and as `fine` does for all others."""

    def answer(variables: Variables) -> Response:
        steps = [value for name, value in variables.items() if name.startswith("id_")]
        data = {f"step{n}": {"ok": value != step_id, "message": "bad step"} for n, value in enumerate(steps)}
        return JSONResponse({"data": data}) if steps else fine(variables)

    return answer


class Server:
    """It notes the ids of each request, and `answer` decides how it fares."""

    def __init__(self) -> None:
        self.received: list[list[str]] = []
        self.steps: dict[str, dict[str, Any]] = {}
        self.stamps: list[dict[str, Any] | None] = []
        self.answer: Callable[[Variables], Response] = fine
        self.pause: Callable[[Variables], Awaitable[None]] | None = None
        self.app = Starlette(routes=[Route("/api/graphql", self._handle, methods=["POST"])])
        self.api = LiteralAPI("http://test", "key", httpx.ASGITransport(app=self.app, raise_app_exceptions=False))

    async def _handle(self, request: Request) -> Response:
        variables = (await request.json())["variables"]
        if self.pause:
            await self.pause(variables)
        response = self.answer(variables)
        if response.status_code == 200:
            self.received.append([value for name, value in variables.items() if name.startswith("id")])
            for name, value in variables.items():
                key, _, number = name.rpartition("_")
                if key == "stamp":
                    self.stamps.append(value)
                elif number.isdecimal():
                    self.steps.setdefault(variables[f"id_{number}"], {})[key] = value
        return response


def step(step_id: str, thread_id: str = "t", **more: Any) -> dict[str, Any]:
    return {"id": step_id, "threadId": thread_id, "type": "tool", **more}
