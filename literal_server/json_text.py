"""JSON in and out of text without ever failing on the characters in it, and its values brought to plain kinds."""

import json
import math
from typing import Any

import msgspec

LARGEST_INT = 2**31 - 1

_ENCODER = msgspec.json.Encoder()
_DECODER = msgspec.json.Decoder()


def dumps(value: Any) -> str:
    """Write any JSON value as compact text that can be encoded as UTF-8; numbers that JSON does not have become null.

    Lone surrogates, which UTF-8 cannot hold, make the whole text fall back to escapes.
    """
    try:
        return _ENCODER.encode(value).decode()
    except UnicodeEncodeError:
        return json.dumps(value, separators=(",", ":"))


def loads(text: str | bytes) -> Any:
    """Read JSON; NaN and the infinities, which JSON does not have, become null. Raises ValueError."""
    try:
        return _DECODER.decode(text)
    except ValueError:  # lone surrogates, numbers beyond all bounds, UTF-16 - or no JSON at all
        return json.loads(text, parse_constant=_null)


def _null(_name: str) -> None:
    return None


def encodable(text: str) -> str:
    """Answer a text that UTF-8 can hold: lone surrogates become the replacement character."""
    return text if text.isascii() else text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def comparable(value: Any) -> Any:
    """Answer a plain value as a database takes it: no lone surrogates, whole numbers of 64 bits, beyond them floats."""
    if isinstance(value, str):
        return encodable(value)
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        try:
            return float(value)
        except OverflowError:
            return math.inf if value > 0 else -math.inf
    return value


def size(value: Any) -> int:
    """Answer how many bytes the text of a value has."""
    try:
        return len(_ENCODER.encode(value))
    except UnicodeEncodeError:
        return len(dumps(value))


def is_nested_deeper(value: Any, levels: int) -> bool:
    """Say whether lists and objects lie in each other more than so many levels deep."""
    layer = [value] if isinstance(value, dict | list) else []
    for _ in range(levels):
        if not layer:
            return False
        layer = [
            child
            for node in layer
            for child in (node.values() if isinstance(node, dict) else node)
            if isinstance(child, dict | list)
        ]
    return bool(layer)


def is_blank(value: Any) -> bool:
    """Say whether a value says nothing: null, an empty text, list or object, or one key that holds null or ""."""
    if value is None or value in ("", [], {}):
        return True
    return isinstance(value, dict) and len(value) == 1 and next(iter(value.values())) in (None, "")


def as_text(value: Any) -> str | None:
    """Answer a text as it is, null as None, and anything else as its JSON."""
    return value if value is None or isinstance(value, str) else dumps(value)


def as_whole_number(value: Any) -> int | None:
    """Answer a number as an int within the range of a GraphQL Int, anything else as None."""
    number = as_number(value)
    return None if number is None else round(max(-LARGEST_INT, min(LARGEST_INT, number)))


def as_number(value: Any) -> float | None:
    """Answer a finite number, anything else (true and false too) as None."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None
