"""Reads JSON and text as models write them, and lets through only what can be written again."""

import json
import math
from typing import Any


def parse_object(text: str) -> dict[str, Any]:
    """Return the JSON object that a model wrote as arguments; nothing at all stands for none.

    Raises ValueError or RecursionError for anything else. That includes what could not be written as JSON again:
    NaN, infinities, numbers beyond a float, halves of surrogate pairs.
    """
    value = json.loads(text, parse_constant=_refuse, parse_float=_finite) if text.strip() else {}
    if not isinstance(value, dict):
        raise ValueError("it is no object")
    if "\\u" in text:
        json.dumps(value, ensure_ascii=False).encode()
    return value


def is_object(text: str) -> bool:
    """Tell whether `parse_object` can read the text."""
    try:
        parse_object(text)
    except (ValueError, RecursionError):
        return False
    return True


def whole_characters(text: str) -> str:
    """Return the text without halves of surrogate pairs, which can be neither sent nor stored."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def _refuse(number: str) -> None:
    raise ValueError(f"{number} is no number in JSON")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        _refuse(text)
    return number
