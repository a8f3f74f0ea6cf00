"""The offline model over HTTP: `python -m tests.clients.model_endpoint PORT`, for clients that bring their own SDK."""

import json
import sys

import httpx2
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from agent.offline import OFFLINE_MODEL, OFFLINE_URL, OfflineModel

_offline = OfflineModel(first_token_delay=0, token_delay=0)


async def chat(request: Request) -> Response:
    """Chat Completions at whatever path an SDK gives them (Azure has the deployment in it)."""
    wanted = httpx2.Request("POST", f"{OFFLINE_URL}/chat/completions", content=await request.body())
    answer = await _offline.handle_async_request(wanted)
    kind = answer.headers["content-type"]
    if "event-stream" in kind:
        return StreamingResponse(answer.aiter_raw(), media_type="text/event-stream")
    return Response(await answer.aread(), answer.status_code, media_type=kind)


async def fill_in(_request: Request) -> Response:
    """Mistral's completion of code, which has the form of a chat answer."""
    message = {"role": "assistant", "content": "return 1"}
    return JSONResponse(
        {
            "id": "cmpl-1",
            "object": "chat.completion",
            "created": 1,
            "model": OFFLINE_MODEL,
            "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 7, "completion_tokens": 4, "total_tokens": 11},
        }
    )


async def complete(request: Request) -> Response:
    """The older completions, whole or streamed."""
    body = await request.json()
    frame = {"id": "cmpl-1", "object": "text_completion", "created": 1, "model": OFFLINE_MODEL}
    choice = {"text": "Once there was", "index": 0, "logprobs": None, "finish_reason": "stop"}
    if body.get("stream"):
        pieces = [frame | {"choices": [choice]}]
        lines = "".join(f"data: {json.dumps(piece)}\n\n" for piece in pieces) + "data: [DONE]\n\n"
        return Response(lines, media_type="text/event-stream")
    usage = {"prompt_tokens": 5, "completion_tokens": 7, "total_tokens": 12}
    return JSONResponse(frame | {"choices": [choice], "usage": usage})


async def health(_request: Request) -> Response:
    """The process answers."""
    return JSONResponse({"status": "ok"})


app = Starlette(
    routes=[
        Route("/health", health),
        Route("/{path:path}/fim/completions", fill_in, methods=["POST"]),
        Route("/{path:path}/chat/completions", chat, methods=["POST"]),
        Route("/{path:path}/completions", complete, methods=["POST"]),
    ]
)

if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), log_level="warning")
