"""The variables of a prompt, read from the Mustache tags in its messages."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

_TAG = re.compile(r"\{\{\{([^{}]+)\}\}\}|\{\{([^{}]+)\}\}")

# A comment, a change of delimiters and a partial name no variable; `.` is the item of a list itself.
_NO_VARIABLE = ("!", "=", ">")


def of_messages(messages: Iterable[Mapping[str, Any]]) -> list[dict[str, str]]:
    """Answer `{name, language}` for each variable in the order of appearance.

    A section is filled with a list, an object or a yes or no, so its variable is `json`; so is one that is asked for
    by a dotted name. All others are `plaintext`. A name inside a section belongs to what the section is filled with.
    """
    found: dict[str, str] = {}
    for text in _texts(messages):
        inside: list[str] = []
        for unescaped, tag in _TAG.findall(text):
            sigil, name = _taken_apart(unescaped or tag)
            if sigil == "/":
                inside = inside[: inside.index(name)] if name in inside else inside
                continue
            if sigil in _NO_VARIABLE or name in ("", "."):
                continue
            if not inside:
                root = name.split(".")[0]
                is_json = sigil in ("#", "^") or root != name
                found[root] = "json" if is_json else found.get(root, "plaintext")
            if sigil in ("#", "^"):
                inside.append(name)
    return [{"name": name, "language": language} for name, language in found.items()]


def _taken_apart(tag: str) -> tuple[str, str]:
    text = tag.strip()
    sigil = text[0] if text[:1] in ("#", "^", "/", "&", *_NO_VARIABLE) else ""
    return sigil, text.removeprefix(sigil).strip()


def _texts(messages: Iterable[Mapping[str, Any]]) -> Iterable[str]:
    for message in messages:
        content = message.get("content")
        parts = content if isinstance(content, list) else [{"text": content}]
        yield from (part["text"] for part in parts if isinstance(part, dict) and isinstance(part.get("text"), str))
