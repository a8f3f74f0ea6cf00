"""A real server on this machine that answers each request with given bytes and then hangs up."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

STREAM = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"


@contextlib.asynccontextmanager
async def serve(answer: bytes) -> AsyncIterator[str]:
    """Serve the bytes for as long as the block runs, and give its address."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = next((line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")), b":0")
        await reader.readexactly(int(length.split(b":")[1]))
        writer.write(answer)
        with contextlib.suppress(ConnectionError):
            await writer.drain()
            writer.close()
            await writer.wait_closed()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


def http(body: str, status: str = "200 OK", kind: str = "application/json") -> bytes:
    """Return a whole HTTP response."""
    data = body.encode()
    head = f"HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length: {len(data)}\r\nconnection: close\r\n\r\n"
    return head.encode() + data


def stream(*chunks: Any, whole: bool = True) -> bytes:
    """Return a streamed HTTP response with an event for each chunk; `whole=False` hangs up before its end."""
    body = "".join(f"data: {chunk if isinstance(chunk, str) else json.dumps(chunk)}\n\n" for chunk in chunks).encode()
    return STREAM + f"{len(body):x}\r\n".encode() + body + (b"\r\n0\r\n\r\n" if whole else b"")


def delta(finish_reason: str | None = None, **what: Any) -> dict[str, Any]:
    """Return a chunk with one choice."""
    return {"choices": [{"index": 0, "delta": what, "finish_reason": finish_reason}]}


def piece(name: str | None = None, arguments: Any = None, **more: Any) -> dict[str, Any]:
    """Return a chunk with a piece of one tool call."""
    return delta(tool_calls=[{**more, "function": {"name": name, "arguments": arguments}}])
