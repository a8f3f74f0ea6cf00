"""Texts as full text search sees them: what of a step is looked at, what counts as a word, where a hit stands.

SQLite's `unicode61` tells words apart by blanks and marks, which some languages do not write between words. In those
every character counts as a word: in the index and in a question alike, so that several stand there as a phrase.
"""

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import takewhile

from literal_server import json_text
from literal_server.query_language import Term

# Of each input, output and error so many characters of its JSON are looked at.
MOST_CHARACTERS = 50_000
SNIPPET_CHARACTERS = 160
_BEFORE_HIT = 50

# Thai, Lao, Tibetan, Myanmar, Khmer; then from the radicals over kana and the signs of Chinese to their later blocks.
_ALONE = "\u0e00-\u0fff\u1000-\u109f\u1780-\u17ff\u2e80-\u312f\u31a0-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_CHARACTER_ALONE = re.compile(f"([{_ALONE}])")
_WORD = re.compile(rf"[{_ALONE}]|(?:(?![{_ALONE}])[^\W_])+")
# A text in JSON and whether it is a name, or a number. The text may be cut off.
_JSON_PART = re.compile(r'"([^"\\]*(?:\\.[^"\\]*)*)(?:"(\s*:)?|\\?\Z)|(-?\d[\d.eE+-]*)', re.DOTALL)


@dataclass(frozen=True)
class Snippet:
    """A piece of a text around a hit: parts of which every second one is the hit itself."""

    parts: Sequence[str]


def of_json(text: str | None) -> str:
    """Answer the texts and numbers in a JSON text, which may be cut off; no names of fields, and no roles."""
    parts, name = [], ""
    for said, is_name, number in _JSON_PART.findall((text or "")[:MOST_CHARACTERS]):
        if not is_name and name != "role":
            parts.append(number or _unescaped(said))
        name = said if is_name else ""
    return " ".join(filter(None, parts))


def _unescaped(text: str) -> str:
    if "\\" not in text:
        return text
    try:
        return json_text.encodable(str(json_text.loads(f'"{text}"')))
    except ValueError:  # cut off within an escape
        return text.replace("\\n", "\n")


def spaced(text: str) -> str:
    """Set apart the characters that count as words of their own."""
    return text if text.isascii() else _CHARACTER_ALONE.sub(r" \1 ", text)


def match_expression(terms: Sequence[Term]) -> str | None:
    """Write terms as FTS5 takes them, None when there is no letter and no digit in them."""
    parts = []
    for term in terms:
        words = _words_of(term)
        if words:
            text = spaced(json_text.encodable(term.text)).replace('"', " ").replace("\0", " ")
            begins = not term.exact and len(words[-1]) > 1
            parts.append(f'"{text}"{"*" if begins else ""}')
    return " ".join(parts) or None


def snippet(text: str, terms: Sequence[Term]) -> Snippet:
    """Answer the piece of a text in which the first hit stands, with all hits in it."""
    hits = _first_hits(text, terms)
    start = max(0, hits[0][0] - _BEFORE_HIT) if hits else 0
    end = min(len(text), start + SNIPPET_CHARACTERS)
    parts, at = ["…" if start else ""], start
    for first, last in takewhile(lambda hit: hit[1] <= end, hits):
        if first >= at:
            parts[-1] += text[at:first]
            parts += [text[first:last], ""]
            at = last
    parts[-1] += text[at:end] + ("…" if end < len(text) else "")
    return Snippet([json_text.encodable(part) for part in parts])


def _first_hits(text: str, terms: Sequence[Term]) -> list[tuple[int, int]]:
    """Answer where the first hit stands, and those that may be in one snippet with it: a text may be very long."""
    wanted = [(words, not term.exact and len(words[-1]) > 1) for term in terms if (words := _words_of(term))]
    found: list[tuple[str, int, int]] = []
    hits: list[tuple[int, int]] = []
    for word in _words(text, _before_first(text, [words[0] for words, _ in wanted])):
        if hits and word[1] > hits[0][0] + SNIPPET_CHARACTERS:
            break
        found.append(word)
        for words, begins in wanted:
            if not (word[0].startswith(words[-1]) if begins else word[0] == words[-1]):
                continue
            run = found[-len(words) :]
            if [each for each, _, _ in run[:-1]] == words[:-1]:
                hits.append((run[0][1], word[2]))
    return sorted(set(hits))


def _before_first(text: str, words: Sequence[str]) -> int:
    """Answer where the first word begins in which one of these stands, so that those before need no look.

    Only where all is in plain letters: what others are without accents is not known before.
    """
    if not text.isascii():
        return 0
    plain = text.lower()
    at = min((place for word in words if (place := plain.find(word)) >= 0), default=len(text))
    while at and plain[at - 1].isalnum():
        at -= 1
    return at


def _words_of(term: Term) -> list[str]:
    return [word for word, _, _ in _words(term.text)]


def _words(text: str, start: int = 0) -> Iterator[tuple[str, int, int]]:
    """Yield the words of a text from a place on, without case and accents, with where they begin and end."""
    for match in _WORD.finditer(text, start):
        yield _folded(match.group()), match.start(), match.end()


def _folded(word: str) -> str:
    if word.isascii():
        return word.lower()
    apart = unicodedata.normalize("NFKD", word.lower())
    return "".join(character for character in apart if not unicodedata.combining(character))
