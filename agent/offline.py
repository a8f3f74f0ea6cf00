"""A scripted stand-in for a model: an `httpx2` transport that answers as the Chat Completions API does.

The real `openai` client talks to it, so that demo, tests and benchmarks run the same code as a real model does, with
no network. What it says comes from a script, given to the constructor, or from `agent.offline_brain`.
"""

import asyncio
import itertools
import json
from collections.abc import Callable, Iterable
from typing import Any

import httpx2
from openai import AsyncOpenAI

from agent.model import ChatModel, openai_client
from agent.offline_brain import think
from agent.offline_replies import Answer, Conversation, NoConnection, Page, Refusal, Reply, Silence, check_history
from agent.offline_stream import EventStream, completion, server_sent_events

OFFLINE_URL = "http://offline/v1"
OFFLINE_MODEL = "verbatim-offline"

Script = Iterable[Reply | Callable[[Conversation], Reply]]
"""What to reply to one request after the other; a function decides when it sees the request."""


class OfflineModel(httpx2.AsyncBaseTransport):
    """The scripted model. Without a `script`, and when it is at its end, the conversational brain replies.

    `first_token_delay` is how many seconds an answer takes to begin, `token_delay` lies between its pieces.
    """

    def __init__(self, script: Script = (), *, first_token_delay: float = 0.15, token_delay: float = 0.012) -> None:
        self._script = itertools.chain(script, itertools.repeat(think))
        self._first_token_delay = first_token_delay
        self._token_delay = token_delay

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Answer one request; raises what a real connection would raise where the script says so."""
        if request.method == "GET" and request.url.path.endswith("/models"):
            model = {"id": OFFLINE_MODEL, "object": "model", "created": 0, "owned_by": "verbatim"}
            return httpx2.Response(200, json={"object": "list", "data": [model]})
        if request.method != "POST" or not request.url.path.endswith("/chat/completions"):
            return _refuse(Refusal(404, f"Unknown request URL: {request.method} {request.url.path}."))
        try:
            body = json.loads(await request.aread())
            conversation = Conversation.of(body)
            problem = check_history(conversation.messages)
        except (ValueError, TypeError, KeyError, AttributeError):
            return _refuse(Refusal(400, "The body of the request is not what this API takes."))
        if problem:
            return _refuse(Refusal(400, problem))
        return await self._reply(request, body, conversation)

    async def _reply(
        self, request: httpx2.Request, body: dict[str, Any], conversation: Conversation
    ) -> httpx2.Response:
        scripted = next(self._script)
        match scripted(conversation) if callable(scripted) else scripted:
            case Refusal() as refusal:
                return _refuse(refusal)
            case Page(status, html):
                return httpx2.Response(status, html=html)
            case NoConnection():
                raise httpx2.ConnectError("All connection attempts failed", request=request)
            case Silence():
                await asyncio.sleep(request.extensions["timeout"]["read"])
                raise httpx2.ReadTimeout("The read operation timed out", request=request)
            case Answer() as answer:
                return await self._answer(request, body, conversation, answer)

    async def _answer(
        self, request: httpx2.Request, body: dict[str, Any], conversation: Conversation, answer: Answer
    ) -> httpx2.Response:
        first_delay = self._first_token_delay if answer.first_token_delay is None else answer.first_token_delay
        delay = self._token_delay if answer.token_delay is None else answer.token_delay
        if not body.get("stream"):
            await asyncio.sleep(first_delay)
            return httpx2.Response(200, json=completion(answer, conversation))
        events = server_sent_events(answer, conversation, bool((body.get("stream_options") or {}).get("include_usage")))
        stream = EventStream(events, request, first_delay=first_delay, delay=delay, cut=answer.cut_after)
        return httpx2.Response(200, headers={"content-type": "text/event-stream; charset=utf-8"}, stream=stream)


def offline_client(
    script: Script = (),
    *,
    first_token_delay: float = 0.15,
    token_delay: float = 0.012,
    timeout_seconds: float = 60.0,
    max_retries: int = 2,
) -> AsyncOpenAI:
    """Return the real client, connected to a scripted model."""
    transport = OfflineModel(script, first_token_delay=first_token_delay, token_delay=token_delay)
    return openai_client(
        base_url=OFFLINE_URL,
        timeout_seconds=timeout_seconds,
        max_retries=max_retries,
        http_client=httpx2.AsyncClient(transport=transport),
    )


def offline_model(script: Script = (), **options: Any) -> ChatModel:
    """Return the model of the loop, connected to a scripted model; `options` are those of `offline_client`."""
    return ChatModel(offline_client(script, **options), OFFLINE_MODEL)


def _refuse(refusal: Refusal) -> httpx2.Response:
    kind = "server_error" if refusal.status >= 500 else "invalid_request_error"
    error = {"message": refusal.message, "type": kind, "param": None, "code": refusal.code}
    headers = {} if refusal.retry_after_ms is None else {"retry-after-ms": str(refusal.retry_after_ms)}
    return httpx2.Response(refusal.status, json={"error": error}, headers=headers)
