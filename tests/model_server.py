"""The scripted model behind real HTTP, under several names, as a model server of one's own would be."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from agent.offline import OFFLINE_URL, OfflineModel
from tests.app_process import free_port


class ModelServer:
    """Answers under each of `names`, which may change; `asked` holds the bodies of all requests for an answer."""

    def __init__(self, *names: str) -> None:
        self.names = list(names)
        self.asked: list[dict[str, Any]] = []
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}/v1"
        self._model = OfflineModel(first_token_delay=0, token_delay=0)

    @contextlib.asynccontextmanager
    async def run(self) -> AsyncIterator["ModelServer"]:
        """Serve for as long as the block runs."""
        routes = [Route("/v1/models", self._list), Route("/v1/chat/completions", self._answer, methods=["POST"])]
        app = Starlette(routes=routes)
        server = uvicorn.Server(uvicorn.Config(app, port=self.port, log_level="error", lifespan="off"))
        serving = asyncio.create_task(server.serve())
        while not server.started:
            assert not serving.done(), "The model server did not start."
            await asyncio.sleep(0.01)  # between two looks, not for luck
        try:
            yield self
        finally:
            server.should_exit = True
            await serving

    async def _list(self, _: Request) -> Response:
        return JSONResponse({"object": "list", "data": [{"id": name, "object": "model"} for name in self.names]})

    async def _answer(self, request: Request) -> Response:
        body = await request.body()
        asked = json.loads(body)
        self.asked.append(asked)
        if asked["model"] not in self.names:
            return JSONResponse({"error": {"message": "No such model."}}, 404)
        inner = httpx2.Request("POST", f"{OFFLINE_URL}/chat/completions", content=body)
        answer = await self._model.handle_async_request(inner)
        return StreamingResponse(answer.aiter_raw(), answer.status_code, media_type="text/event-stream")
