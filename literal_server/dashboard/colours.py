"""Colours of code and JSON: Pygments reads it, and a few classes stand for its many kinds of words.

Content is hostile. A reader of a language can be made slow, so each text has so much time, and the rest of it stays
plain; large texts, and languages that are not among these, are plain from the beginning.
"""

import json
import math
import time
from collections.abc import Iterator
from functools import lru_cache
from itertools import groupby

from markupsafe import Markup, escape
from pygments.lexer import Lexer
from pygments.lexers import get_lexer_by_name
from pygments.token import Comment, Generic, Keyword, Literal, Name, Number, String, _TokenType

LONGEST_JSON, LONGEST_FOLDED, LONGEST_CODE = 100_000, 2_000, 20_000
"""Characters that are coloured: of JSON on its own, of JSON that is one of many on a page, and of code in a fence."""
MOST_SECONDS = 0.05
_LONGEST_KEPT = 5_000
_LANGUAGES = {
    **{name: name for name in ("bash", "c", "cpp", "css", "diff", "go", "html", "java", "javascript", "json", "jsx")},
    **{name: name for name in ("python", "rust", "sql", "toml", "tsx", "typescript", "xml", "yaml")},
    **{"js": "javascript", "ts": "typescript", "py": "python", "python3": "python", "sh": "bash", "shell": "bash"},
    **{"yml": "yaml", "c++": "cpp", "golang": "go", "rs": "rust", "jsonc": "json", "patch": "diff"},
}
_CLASSES = {
    Comment: "c-comment",
    Keyword: "c-word",
    Name.Tag: "c-name",
    Name.Attribute: "c-name",
    Name.Builtin: "c-name",
    Name.Class: "c-name",
    Name.Decorator: "c-name",
    Name.Function: "c-name",
    String: "c-text",
    Number: "c-number",
    Literal: "c-number",
    Generic.Deleted: "c-removed",
    Generic.Inserted: "c-text",
}
CLASSES = frozenset(_CLASSES.values())


def json_in_colours(text: str, longest: int = LONGEST_FOLDED) -> Markup:
    """Answer a text as HTML, in colours if it is an object or a list in JSON that is not too long; else as it is."""
    if text[:1] not in ("{", "[") or len(text) > longest:
        return escape(text)
    return _json_kept(text) if len(text) <= _LONGEST_KEPT else _json(text)


def _json(text: str) -> Markup:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return escape(text)
    return _spans(text, "json", math.inf)  # its reader is never slow: half a millisecond for a thousand characters


_json_kept = lru_cache(maxsize=500)(_json)


def code_in_colours(code: str, language: str, until: float) -> Markup:
    """Answer code as HTML, in colours if its language is known and for as long as the (monotonic) clock allows."""
    known = _LANGUAGES.get(language.lower())
    return _spans(code, known, until) if known and len(code) <= LONGEST_CODE else escape(code)


def _spans(text: str, language: str, until: float) -> Markup:
    parts = []
    for kind, words in groupby(_words(text, language, until), key=lambda word: word[0]):
        together = escape("".join(word for _, word in words))
        parts.append(f'<span class="{kind}">{together}</span>' if kind else together)
    return Markup("".join(parts))  # noqa: S704 - escaped piece by piece


def _words(text: str, language: str, until: float) -> Iterator[tuple[str, str]]:
    """Yield a text in pieces, each with its class or none; what time does not suffice for is the last piece."""
    at = 0
    for start, kind, word in _reader(language).get_tokens_unprocessed(text):
        if time.monotonic() > until:
            break
        yield _class_of(kind), word
        at = start + len(word)
    yield "", text[at:]


@lru_cache(maxsize=len(_LANGUAGES))
def _reader(language: str) -> Lexer:
    return get_lexer_by_name(language)


@lru_cache(maxsize=500)
def _class_of(kind: _TokenType) -> str:
    return next((name for known, name in _CLASSES.items() if kind in known), "")
