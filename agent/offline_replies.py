"""What the scripted model is asked and what it can reply, its faults among it."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from agent.events import Message, new_id

TOOL_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")


@dataclass(frozen=True, slots=True)
class Conversation:
    """A request to the model, as far as a reply depends on it; `tools` are the functions offered, by name."""

    model: str
    messages: Sequence[Message]
    tools: Mapping[str, Mapping[str, Any]]
    tool_choice: str

    @classmethod
    def of(cls, body: Mapping[str, Any]) -> "Conversation":
        """Read the body of a request; raises TypeError, KeyError or AttributeError where it is none."""
        tools = {tool["function"]["name"]: tool["function"] for tool in body.get("tools") or ()}
        choice = body.get("tool_choice")
        return cls(body["model"], list(body["messages"]), tools, choice if isinstance(choice, str) else "auto")

    @property
    def usable(self) -> Mapping[str, Mapping[str, Any]]:
        """The tools that may be called now."""
        return {} if self.tool_choice == "none" else self.tools


class Call:
    """A tool call: arguments as an object, or as the raw text that the model is to write."""

    def __init__(self, name: str, arguments: Mapping[str, Any] | str, call_id: str | None = None) -> None:
        self.name = name
        self.arguments = arguments
        self.id = call_id or f"call_{new_id().replace('-', '')[:24]}"


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer: text, tool calls (their pieces come interleaved), or both.

    `cut_after` drops the connection after so many pieces; `unfinished` ends the stream without a finish_reason;
    `usage=False` leaves out the token counts; the delays, in seconds, replace the model's own.
    """

    text: str = ""
    calls: Sequence[Call] = ()
    finish_reason: str | None = None
    cut_after: int | None = None
    unfinished: bool = False
    usage: bool = True
    first_token_delay: float | None = None
    token_delay: float | None = None


@dataclass(frozen=True, slots=True)
class Refusal:
    """An HTTP error with the API's error object. `retry_after_ms` is how long the client is told to wait."""

    status: int
    message: str
    code: str | None = None
    retry_after_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """A web page instead of an answer, as proxies send it."""

    status: int = 502
    html: str = "<html><body><h1>502 Bad Gateway</h1></body></html>"


@dataclass(frozen=True, slots=True)
class NoConnection:
    """Nobody listens."""


@dataclass(frozen=True, slots=True)
class Silence:
    """The request is taken and never answered."""


Reply = Answer | Refusal | Page | NoConnection | Silence

WRONG_KEY = Refusal(401, "Incorrect API key provided.", "invalid_api_key")
TOO_LONG = Refusal(
    400, "This model's maximum context length is 8192 tokens. Please shorten the messages.", "context_length_exceeded"
)


def rate_limit(retry_after_ms: int = 1) -> Refusal:
    """Return the refusal that asks to slow down and to try again after so many milliseconds."""
    return Refusal(429, "Rate limit reached for requests.", "rate_limit_exceeded", retry_after_ms)


def endless_calls(conversation: Conversation) -> Answer:
    """Call the first tool again and again, for as long as there is one that may be called."""
    name = next(iter(conversation.usable), None)
    return Answer(calls=[Call(name, {})]) if name else Answer("I would have liked to go on calling tools.")


def check_history(messages: Sequence[Message]) -> str | None:
    """Return why the API would refuse these messages, None if it would not.

    Every tool call must be answered right after it and every answer must have its call; names have an alphabet.
    """
    open_calls: list[str] = []
    for place, message in enumerate(messages):
        role = message.get("role")
        if role == "tool":
            if message.get("tool_call_id") not in open_calls:
                return f"messages.[{place}]: a tool message must follow the tool call that it answers."
            if not isinstance(message.get("content"), str | list):
                return f"messages.[{place}].content: a tool message needs content."
            open_calls.remove(message["tool_call_id"])
            continue
        if open_calls:
            return f"messages.[{place}]: these tool_call_ids have no tool message: {', '.join(open_calls)}."
        if role not in ("system", "developer", "user", "assistant"):
            return f"messages.[{place}].role: {role!r} is not supported."
        calls = message.get("tool_calls")
        if calls == [] or (not calls and not isinstance(message.get("content"), str | list)):
            return f"messages.[{place}]: content or tool_calls are needed."
        for call in calls or ():
            if not TOOL_NAME.fullmatch(call["function"]["name"]):
                return f"messages.[{place}]: {call['function']['name']!r} is no name for a function."
        open_calls = [call["id"] for call in calls or ()]
    return f"These tool_call_ids have no tool message: {', '.join(open_calls)}." if open_calls else None
