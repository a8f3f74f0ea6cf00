"""The one client of the Chat Completions API: sends a conversation, streams the answer, puts its pieces together."""

import asyncio
import json
import logging
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import httpx2
import openai
from openai import AsyncOpenAI

from agent.errors import AgentError
from agent.events import Message, Usage, new_id
from agent.failures import model_failure, no_answer
from agent.json_text import is_object, whole_characters

logger = logging.getLogger(__name__)

OPENAI_URL = "https://api.openai.com/v1"
ToolChoice = Literal["auto", "none"]


def openai_client(
    *,
    api_key: str | None = None,
    base_url: str | None = None,
    timeout_seconds: float = 60.0,
    max_retries: int = 2,
    http_client: httpx2.AsyncClient | None = None,
) -> AsyncOpenAI:
    """Return the client for an endpoint; without `base_url` it is OpenAI's own, which alone asks for a key.

    `timeout_seconds` is the longest silence, not the longest answer. The client tries again by itself what may
    succeed the second time, `max_retries` times at most.
    """
    return AsyncOpenAI(
        api_key=(api_key or "").strip() or "none",
        base_url=base_url or OPENAI_URL,
        timeout=timeout_seconds,
        max_retries=max_retries,
        http_client=http_client,
    )


class ChatModel:
    """A model behind a Chat Completions endpoint. It holds nothing that a call changes, so calls may overlap.

    `settings` are parameters of the API, such as `temperature`, sent with each call.
    """

    def __init__(self, client: AsyncOpenAI, name: str, settings: Mapping[str, Any] | None = None) -> None:
        self._client = client
        self.name = name
        self.settings = dict(settings or {})
        self.host = client.base_url.netloc.decode()
        self.provider = "openai" if client.base_url.host == "api.openai.com" else client.base_url.host

    def call(self, messages: Sequence[Message], tools: Sequence[Message], tool_choice: ToolChoice) -> "ModelCall":
        """Prepare one call; nothing is sent before it is read. With no tools, there is no choice among them either."""
        settings = {**self.settings, "stream": True, "stream_options": {"include_usage": True}}
        if tools:
            settings["tool_choice"] = tool_choice
        return ModelCall(self, self._client, list(messages), list(tools), settings)

    def like(self, name: str | None, temperature: float | None) -> "ChatModel":
        """Return a model behind the same endpoint with another name or temperature, where these are given."""
        settings = self.settings if temperature is None else {**self.settings, "temperature": temperature}
        return ChatModel(self._client, name or self.name, settings)

    async def listed(self, seconds: float) -> list[str]:
        """Return the names of the models that the endpoint lists. Raises ConnectionError if it does not, in time."""
        try:
            async with asyncio.timeout(seconds):
                page = await self._client.with_options(max_retries=0).models.list()
            return [model.id for model in page.data if isinstance(model.id, str)]
        except (openai.OpenAIError, TimeoutError, ValueError, TypeError, AttributeError) as error:
            raise ConnectionError(f"{self.host} gave no list ({type(error).__name__})") from error

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()


class ModelCall:
    """One call on its way: what it sends, and what has come back so far.

    `messages`, `tools` and `settings` are exactly what is sent. `usage`, `finish_reason`, `time_to_first_token` and
    `duration` (seconds since the call was sent) are filled in as the answer comes.
    """

    def __init__(
        self,
        model: ChatModel,
        client: AsyncOpenAI,
        messages: list[Message],
        tools: list[Message],
        settings: dict[str, Any],
    ) -> None:
        self.messages = messages
        self.tools = tools
        self.settings = settings
        self.usage: Usage | None = None
        self.finish_reason: str | None = None
        self.time_to_first_token: float | None = None
        self._model = model
        self._client = client
        self._text: list[str] = []
        self._calls = _ToolCalls()
        self._begun = False
        self._sent = time.monotonic()

    @property
    def duration(self) -> float:
        """Seconds since the call was sent."""
        return time.monotonic() - self._sent

    @property
    def message(self) -> Message:
        """What the model has said so far, as an assistant message; its arguments are the text that the model wrote."""
        text = "".join(self._text)
        calls = self._calls.as_messages()
        message: Message = {"role": "assistant", "content": text or (None if calls else "")}
        return message | {"tool_calls": calls} if calls else message

    async def read(self, say: Callable[[str], None]) -> None:
        """Send the call and take in its answer to the end; `say` gets each piece of text as it comes.

        Raises AgentError when there is no answer or only a part of one, which then stands in `message`.
        """
        self._sent = time.monotonic()
        try:
            await self._read(say)
        except AgentError:
            raise
        except (openai.OpenAIError, ValueError, TypeError, AttributeError, LookupError) as error:
            # The client checks nothing of what it parses: a server that sends something else shows up as any of these.
            if not isinstance(error, openai.OpenAIError):
                logger.warning("The model server at %s sent what cannot be read", self._model.host, exc_info=error)
            raise model_failure(
                error, model=self._model.name, host=self._model.host, begun=self._begun, key=self._client.api_key
            ) from error

    async def _read(self, say: Callable[[str], None]) -> None:
        body = {"messages": self.messages, **({"tools": self.tools} if self.tools else {}), **self.settings}
        create: Any = self._client.chat.completions.create
        # An extra body is sent as it is. Of its own parameters the client compares each part of every message and tool
        # with its types, which changes nothing here and took a third of the time that a whole call takes.
        stream = await create(model=self._model.name, messages=(), stream=True, extra_body=body)
        async for chunk in stream:
            self._begun = True
            if chunk.usage:
                self.usage = _usage(chunk.usage)
            if not chunk.choices:
                continue
            choice = chunk.choices[0]
            if choice.finish_reason:
                self.finish_reason = choice.finish_reason
            if choice.delta:
                self._take(choice.delta, say)
        if self.finish_reason is None:
            raise no_answer(host=self._model.host, begun=self._begun)

    def _take(self, delta: Any, say: Callable[[str], None]) -> None:
        """Take in one piece. A refusal is text as well: it is what the model has to say."""
        text = delta.content or getattr(delta, "refusal", None)
        if not (text or delta.tool_calls):
            return
        if self.time_to_first_token is None:
            self.time_to_first_token = self.duration
        if text:
            text = whole_characters(text)
            self._text.append(text)
            say(text)
        for piece in delta.tool_calls or ():
            self._calls.take(piece)


@dataclass(slots=True)
class _ToolCall:
    index: int
    id: str
    name: str
    arguments: str


class _ToolCalls:
    """The tool calls of one answer, put together from pieces.

    The API numbers them by `index` and gives id and name with the first piece of each. Others leave out the index or
    the id, repeat the name in every piece, make up a new id for each piece, or number all calls 0 and send each whole.
    """

    def __init__(self) -> None:
        self._calls: list[_ToolCall] = []

    def take(self, piece: Any) -> None:
        """Add one piece to the call it belongs to."""
        function = piece.function
        name = (function.name if function else None) or ""
        arguments = (function.arguments if function else None) or ""
        if not isinstance(arguments, str):
            arguments = json.dumps(arguments)
        index = getattr(piece, "index", None)
        call = self._find(index if isinstance(index, int) else None, getattr(piece, "id", None) or "", name)
        call.name = call.name or str(name)
        call.arguments += whole_characters(arguments)

    def as_messages(self) -> list[Message]:
        """Return the calls in the API's shape, in the order of their indexes, each with an id of its own."""
        seen: set[str] = set()
        messages: list[Message] = []
        for call in sorted(self._calls, key=lambda call: call.index):
            if not call.id or call.id in seen:
                call.id = f"call_{new_id()}"
            seen.add(call.id)
            function = {"name": call.name, "arguments": call.arguments}
            messages.append({"id": call.id, "type": "function", "function": function})
        return messages

    def _find(self, index: int | None, given_id: str, name: str) -> _ToolCall:
        if index is None:
            call = self._unnumbered(given_id, name)
        else:
            call = next((call for call in reversed(self._calls) if call.index == index), None)
            if call and given_id and call.id and given_id != call.id and name and is_object(call.arguments):
                call, index = None, len(self._calls)
        if call is None:
            call = _ToolCall(len(self._calls) if index is None else index, given_id, "", "")
            self._calls.append(call)
        call.id = call.id or given_id
        return call

    def _unnumbered(self, given_id: str, name: str) -> _ToolCall | None:
        if not self._calls:
            return None
        if given_id:
            return next((call for call in self._calls if call.id == given_id), None)
        last = self._calls[-1]
        return None if name and is_object(last.arguments) else last


def for_history(message: Message) -> Message:
    """Return an answer in a form that every server takes back.

    Names outside the API's alphabet, and arguments that are no JSON object (some servers parse them again), would make
    each later request of the conversation fail. The model learns of its mistake from the tool's answer.
    """
    if "tool_calls" not in message:
        return message
    calls = []
    for call in message["tool_calls"]:
        name = re.sub(r"[^a-zA-Z0-9_-]", "_", call["function"]["name"])[:64] or "unnamed"
        arguments = call["function"]["arguments"]
        if not (arguments.strip() and is_object(arguments)):
            arguments = "{}"
        calls.append({**call, "function": {"name": name, "arguments": arguments}})
    return {**message, "tool_calls": calls}


def _usage(counted: Any) -> Usage:
    given, made = counted.prompt_tokens or 0, counted.completion_tokens or 0
    return Usage(given, made, counted.total_tokens or given + made)
