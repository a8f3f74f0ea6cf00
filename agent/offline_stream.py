"""How an answer of the scripted model travels: in the chunks, or in the one object, of the Chat Completions API.

Tokens are not counted but estimated: one for every four characters begun, and four more for each message sent.
"""

import asyncio
import json
import re
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from itertools import zip_longest
from typing import Any

import httpx2

from agent.events import Message, new_id
from agent.offline_replies import Answer, Call, Conversation

PIECE = re.compile(r"\s*\S{1,12}|\s+")
ARGUMENT_CHARACTERS = 8


def estimate_tokens(text: str) -> int:
    """Return the estimate for a text: a quarter of its characters, rounded up."""
    return -(-len(text) // 4)


def chunks(answer: Answer, conversation: Conversation, usage: bool) -> Iterator[dict[str, Any]]:
    """Yield the chunks of a streamed answer; where the request asks for it, the last one holds the usage."""
    frame = _frame("chat.completion.chunk", conversation) | ({"usage": None} if usage else {})
    deltas: list[Message] = [{"role": "assistant", "content": None if answer.calls and not answer.text else ""}]
    deltas += [{"content": piece} for piece in PIECE.findall(answer.text)]
    deltas += _call_deltas(answer.calls)
    for delta in deltas:
        yield frame | {"choices": [_choice(delta=delta, finish_reason=None)]}
    if answer.unfinished:
        return
    yield frame | {"choices": [_choice(delta={}, finish_reason=_finish_reason(answer))]}
    if usage and answer.usage:
        yield frame | {"choices": [], "usage": _usage(answer, conversation)}


def completion(answer: Answer, conversation: Conversation) -> dict[str, Any]:
    """Return the answer as one object, for a request that does not stream."""
    message: Message = {"role": "assistant", "content": answer.text or None, "refusal": None}
    if answer.calls:
        message["tool_calls"] = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": _written(call)}}
            for call in answer.calls
        ]
    choice = _choice(message=message, finish_reason=_finish_reason(answer))
    return _frame("chat.completion", conversation) | {"choices": [choice], "usage": _usage(answer, conversation)}


class EventStream(httpx2.AsyncByteStream):
    """The body of a streamed answer: server-sent events, one piece after the other, as a model makes them.

    Like a connection it is read once: a second reader gets what is left. The client drains it after the last event.
    """

    def __init__(
        self, events: Sequence[bytes], request: httpx2.Request, *, first_delay: float, delay: float, cut: int | None
    ) -> None:
        self._events = iter(enumerate(events))
        self._request = request
        self._first_delay = first_delay
        self._delay = delay
        self._cut = cut

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for index, event in self._events:
            if index == self._cut:
                raise httpx2.RemoteProtocolError(
                    "peer closed connection without sending complete message body", request=self._request
                )
            await asyncio.sleep(self._delay if index else self._first_delay)
            yield event


def server_sent_events(answer: Answer, conversation: Conversation, usage: bool) -> list[bytes]:
    """Return the answer as the events of a stream, the closing `[DONE]` among them."""
    events = [json.dumps(chunk, ensure_ascii=False) for chunk in chunks(answer, conversation, usage)]
    return [f"data: {event}\n\n".encode() for event in ([*events] if answer.unfinished else [*events, "[DONE]"])]


def _frame(kind: str, conversation: Conversation) -> dict[str, Any]:
    return {
        "id": f"chatcmpl-{new_id()}",
        "object": kind,
        "created": int(time.time()),
        "model": conversation.model,
        "system_fingerprint": None,
    }


def _choice(**what: Any) -> dict[str, Any]:
    return {"index": 0, **what, "logprobs": None}


def _finish_reason(answer: Answer) -> str:
    return answer.finish_reason or ("tool_calls" if answer.calls else "stop")


def _call_deltas(calls: Sequence[Call]) -> Iterator[Message]:
    """Open all calls, then give their arguments in turns, a piece of each at a time."""
    for index, call in enumerate(calls):
        function = {"name": call.name, "arguments": ""}
        yield {"tool_calls": [{"index": index, "id": call.id, "type": "function", "function": function}]}
    for row in zip_longest(*(_slices(_written(call)) for call in calls)):
        for index, piece in enumerate(row):
            if piece is not None:
                yield {"tool_calls": [{"index": index, "function": {"arguments": piece}}]}


def _slices(text: str) -> list[str]:
    return [text[start : start + ARGUMENT_CHARACTERS] for start in range(0, len(text), ARGUMENT_CHARACTERS)]


def _written(call: Call) -> str:
    return call.arguments if isinstance(call.arguments, str) else json.dumps(call.arguments, ensure_ascii=False)


def _usage(answer: Answer, conversation: Conversation) -> dict[str, int]:
    sent = sum(4 + estimate_tokens(json.dumps(message, ensure_ascii=False)) for message in conversation.messages)
    sent += sum(estimate_tokens(json.dumps(tool, ensure_ascii=False)) for tool in conversation.tools.values())
    made = estimate_tokens(answer.text) + sum(estimate_tokens(call.name + _written(call)) for call in answer.calls)
    return {"prompt_tokens": sent, "completion_tokens": made, "total_tokens": sent + made}
