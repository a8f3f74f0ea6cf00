"""Passes what is asked of the Literal server on to the process that runs it, and its answers back as they come."""

import json
import logging
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import httpx
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocketClose

logger = logging.getLogger(__name__)

# What the other process is told of a request beside what it is: a header, which no request may bring along.
TOLD = b"x-verbatim-told"
OF_ONE_CONNECTION = {
    *(b"connection", b"keep-alive", b"proxy-authenticate", b"proxy-authorization", b"proxy-connection"),
    *(b"te", b"trailer", b"transfer-encoding", b"upgrade", b"expect"),
}
AWAY = "The record is being started anew. Please try again in a moment."


class LiteralProxy:
    """An ASGI application that asks the server at a socket.

    `visitor` tells who reads the pages, in the words of the server's `Visitor`, None for nobody: the request's caller
    is known in this process only.
    """

    def __init__(self, socket: Path, visitor: Callable[[], Mapping[str, Any] | None]) -> None:
        self._visitor = visitor
        no_limits = httpx.Limits(max_connections=None, max_keepalive_connections=20)
        transport = httpx.AsyncHTTPTransport(uds=str(socket), limits=no_limits)
        self._client = httpx.AsyncClient(transport=transport, timeout=None, trust_env=False)  # noqa: S113 - it has its own

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request; 503 while the server is not there."""
        if scope["type"] == "websocket":
            await WebSocketClose()(scope, receive, send)
            return
        request = Request(scope, receive)
        try:
            answer = await self._client.send(self._passed_on(request), stream=True)
        except ClientDisconnect:
            return
        except httpx.TransportError:
            told: Response = JSONResponse({"errors": [{"message": AWAY}]}, 503, {"retry-after": "1"})
        else:
            told = _Passing(_pieces(answer), answer.status_code)
            told.raw_headers = _kept(answer.headers.raw)
        await told(scope, receive, send)

    def _passed_on(self, request: Request) -> httpx.Request:
        scope = request.scope
        told = {"client": scope.get("client"), "scheme": scope["scheme"], "visitor": self._visitor()}
        headers = [*_kept(scope["headers"]), (TOLD, json.dumps(told).encode("ascii"))]
        target = scope["raw_path"] + (b"?" + scope["query_string"] if scope["query_string"] else b"")
        has_body = any(name in (b"content-length", b"transfer-encoding") for name, _ in scope["headers"])
        content = request.stream() if has_body else None
        as_it_is = {"target": target}  # an httpx.URL would resolve the dots in it
        return httpx.Request(request.method, "http://literal", headers=headers, content=content, extensions=as_it_is)

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()


class _Passing(StreamingResponse):
    async def stream_response(self, send: Send) -> None:
        """Pass the answer on; one that is cut off is not ended, so that the web server cuts the connection, too."""
        try:
            await super().stream_response(send)
        except httpx.TransportError as error:
            logger.warning("An answer of the record was cut off: %s", error or type(error).__name__)


class Told:
    """ASGI middleware that takes from the proxy's header what it says of a request, and whom of its visitor."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on as the chat's process got it."""
        told: dict[str, Any] = next((json.loads(value) for name, value in scope["headers"] if name == TOLD), {})
        headers = [pair for pair in scope["headers"] if pair[0] != TOLD]
        await self._app({**scope, "headers": headers, "client": None, "visitor": None, **told}, receive, send)


def _kept(headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    return [(name.lower(), value) for name, value in headers if name.lower() not in OF_ONE_CONNECTION | {TOLD}]


async def _pieces(answer: httpx.Response) -> AsyncIterator[bytes]:
    try:
        async for piece in answer.aiter_raw():
            yield piece
    finally:
        await answer.aclose()
