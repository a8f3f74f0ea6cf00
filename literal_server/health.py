"""What watchers ask: does the process live, can it work, what has it done; and the eye that sees every request."""

import asyncio
import hmac
import logging
import shutil
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import SecretStr
from sqlalchemy.exc import SQLAlchemyError
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Mount, Route

from literal_server.db import Database
from literal_server.guard import ASGIApp, Message, Receive, Scope, Send, is_local_request
from literal_server.logs import without_secrets
from literal_server.metrics import Metrics
from literal_server.rest import JsonResponse, header
from literal_server.search import Follower

requests = logging.getLogger("literal_server.requests")

# With less than this the next writes are likely to fail.
LEAST_FREE_BYTES = 64 * 1024 * 1024


async def health(request: Request) -> Response:
    """`GET /health`: the process lives; with how many seconds full text search may be behind, once it is open."""
    follower: Follower | None = getattr(request.app.state, "search", None)
    behind = {} if follower is None else {"searchLagSeconds": round(follower.lag, 3)}
    return JsonResponse({"status": "ok", **behind})


async def ready(request: Request) -> Response:
    """`GET /ready`: it can do its work; else 503 with what is in the way."""
    api = getattr(request.app.state, "api", None)
    reason = "The server is starting." if api is None else await _obstacle(api.database, api.settings.data_dir)
    return JsonResponse({"status": "ok"}) if reason is None else JsonResponse({"status": reason}, 503)


async def _obstacle(database: Database, folder: Path) -> str | None:
    try:
        if not await database.is_migrated():
            return "The database has another form than this version needs."
    except SQLAlchemyError:
        return "The database does not answer."
    try:
        free = await asyncio.to_thread(_written_and_free, folder)
    except OSError:
        return "The data folder cannot be written to."
    return None if free >= LEAST_FREE_BYTES else "The disk of the data folder is almost full."


def _written_and_free(folder: Path) -> int:
    with tempfile.TemporaryFile(dir=folder) as probe:
        probe.write(b"ready")
        probe.flush()
    return shutil.disk_usage(folder).free


async def metrics(request: Request) -> Response:
    """`GET /metrics`: the counters, for this machine or for who has the token of the settings."""
    api = request.app.state.api
    if not may_read_metrics(request, api.settings.metrics_token):
        return PlainTextResponse("For this machine, or with METRICS_TOKEN as bearer token.\n", 403)
    text = await request.app.state.metrics.text(api.database, api.settings.database_path, request.app.state.search)
    return Response(text, media_type=CONTENT_TYPE_LATEST)


def may_read_metrics(request: Request, token: SecretStr | None) -> bool:
    """Say whether a request may have the figures: with the token; where there is none, from this machine."""
    expected = token.get_secret_value() if token else ""
    if not expected:
        return is_local_request(request.scope)
    scheme, _, given = request.headers.get("authorization", "").partition(" ")
    return scheme.lower() == "bearer" and hmac.compare_digest(given.strip().encode(), expected.encode())


def routes() -> list[Route]:
    """The routes of the watchers."""
    return [Route("/health", health), Route("/ready", ready), Route("/metrics", metrics)]


class Observed:
    """Counts every request and writes a line about it, with nothing in it of what was sent or answered."""

    def __init__(self, app: ASGIApp, metrics: Metrics, known: Sequence[BaseRoute]) -> None:
        self.app = app
        self.metrics = metrics
        paths = {route.path for route in known if isinstance(route, Route | Mount)}
        self._exact = {path for path in paths if "{" not in path}
        beginnings = {path.partition("{")[0] for path in paths if "{" in path}
        beginnings |= {f"{route.path}/" for route in known if isinstance(route, Mount)}
        self._beginnings = sorted(beginnings, key=len, reverse=True)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on and look at its answer."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        began = time.perf_counter()
        status = 500

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self.app(scope, receive, watched)
        finally:
            seconds = time.perf_counter() - began
            self.metrics.count_request(
                self._endpoint(scope["path"].removeprefix(scope.get("root_path", ""))), status, seconds
            )
            if requests.isEnabledFor(logging.INFO):
                _write_line(scope, status, seconds)

    def _endpoint(self, path: str) -> str:
        path = f"/{path.lstrip('/')}"
        if path in self._exact:
            return path
        return next((f"{start}…" for start in self._beginnings if path.startswith(start)), "other")


def _write_line(scope: Scope, status: int, seconds: float) -> None:
    # The path as it was sent, so that no character in it can break the line; without the query, which may hold the
    # signature of a link.
    path = (scope.get("raw_path") or scope["path"].encode("ascii", "backslashreplace")).decode("latin-1")
    request = Request(scope)
    facts = {
        "method": scope["method"],
        "path": without_secrets(path)[:500],
        "status": status,
        "ms": round(seconds * 1_000, 1),
        "project": getattr(request.state, "project", None),
        "client": header(request, "x-client-name"),
    }
    words = [f"{name} {facts[name]!a}" for name in ("project", "client") if facts[name]]
    line = " ".join([f"{facts['method']} {facts['path']} {status} {facts['ms']} ms", *words])
    requests.info("%s", line, extra=facts)
