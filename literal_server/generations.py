"""Generations: their numbers taken out, and brought to kinds that clients can read."""

from collections.abc import Callable, Mapping
from typing import Any

from literal_server import json_text

_ROLES = {"user", "assistant", "tool", "function", "system"}
_OTHER_ROLES = {"developer": "system", "human": "user", "ai": "assistant", "model": "assistant", "ipython": "tool"}
_WHOLE_NUMBERS = ("tokenCount", "inputTokenCount", "outputTokenCount")
_NUMBERS = ("ttFirstToken", "duration", "tokenThroughputInSeconds")
_TEXTS = ("provider", "model", "error", "prompt", "completion")
_VALUES = ("variables", "messages", "messageCompletion", "tools", "settings")


def token_count(generation: Mapping[str, Any]) -> int | None:
    """Answer the tokens of a generation: as told, else the sum of those that went in and came out."""
    total = json_text.as_whole_number(generation.get("tokenCount"))
    if total is not None:
        return total
    parts = [json_text.as_whole_number(generation.get(key)) for key in ("inputTokenCount", "outputTokenCount")]
    known = [part for part in parts if part is not None]
    return sum(known) if known else None


def kind(generation: Mapping[str, Any]) -> str:
    """Answer CHAT or COMPLETION: as told, else from the fields that are there."""
    told = str(generation.get("type") or "").upper()
    if told in ("CHAT", "COMPLETION"):
        return told
    is_completion = generation.get("messages") is None and (
        generation.get("prompt") is not None or generation.get("completion") is not None
    )
    return "COMPLETION" if is_completion else "CHAT"


def readable(generation: Mapping[str, Any], *, strict: bool) -> dict[str, Any]:
    """Answer the generation with the kinds that the contract promises.

    `strict` also fits messages, tools and settings to what the Python SDK's own validation accepts: it refuses a
    whole thread for one foreign message role.
    """
    fields: dict[str, Any] = {key: json_text.as_text(generation.get(key)) for key in _TEXTS}
    fields |= {key: json_text.as_whole_number(generation.get(key)) for key in _WHOLE_NUMBERS}
    fields |= {key: json_text.as_number(generation.get(key)) for key in _NUMBERS}
    fields |= {key: generation.get(key) for key in _VALUES}
    fields["tokenCount"] = token_count(generation)
    fields["type"] = kind(generation)
    if strict:
        fields |= {
            "messages": _messages(fields["messages"]),
            "messageCompletion": _message(fields["messageCompletion"]),
            "tools": _objects(fields["tools"]),
            "settings": as_object(fields["settings"]),
            "variables": as_object(fields["variables"]),
        }
    return fields


def as_object(value: Any) -> dict[str, Any] | None:
    """Answer an object or null as it is, anything else under the key `value`."""
    return value if value is None or isinstance(value, dict) else {"value": value}


def _objects(value: Any) -> list[dict[str, Any]] | None:
    if value is None:
        return None
    return [as_object(one) or {} for one in (value if isinstance(value, list) else [value])]


def _messages(value: Any) -> list[dict[str, Any]] | None:
    if value is None:
        return None
    found = (_message(one) for one in (value if isinstance(value, list) else [value]))
    return [message for message in found if message is not None]


def _message(value: Any) -> dict[str, Any] | None:
    if value is None:
        return None
    given = value if isinstance(value, dict) else {"role": "assistant", "content": value}
    message = {key: part for key, part in given.items() if key not in ("role", "content")}
    if "role" in given:
        message["role"] = _role(given["role"])
    if "content" in given:
        message["content"] = _content(given["content"])
    for key, fit in _MESSAGE_PARTS.items():
        if message.get(key) is not None:
            message[key] = fit(message[key])
    return message


def _role(role: Any) -> str | None:
    if role is None or (isinstance(role, str) and role in _ROLES):
        return role
    return _OTHER_ROLES.get(str(role), "assistant")


def _content(content: Any) -> Any:
    if content is None or isinstance(content, str):
        return content
    return [_part(part) for part in (content if isinstance(content, list) else [content])]


def _part(part: Any) -> dict[str, Any]:
    if isinstance(part, dict):
        if part.get("type") == "text" and isinstance(part.get("text"), str):
            return part
        if part.get("type") == "image_url":
            image = part.get("image_url")
            return {"type": "image_url", "image_url": image if isinstance(image, dict) else {"url": str(image)}}
    return {"type": "text", "text": json_text.as_text(part) or ""}


_MESSAGE_PARTS: dict[str, Callable[[Any], Any]] = {
    "tool_calls": _objects,
    "function_call": as_object,
    "name": json_text.as_text,
    "tool_call_id": json_text.as_text,
    "uuid": json_text.as_text,
    "templated": bool,
}
